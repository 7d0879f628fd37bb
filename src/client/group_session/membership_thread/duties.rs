//! What any member can do for the group: make the targets, report topics, remove dead members.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    BLIND_PROBE_OF_MEMBERS, Joins, MembershipThread, PROBES, TOPICS_POLL, TOPICS_POLL_BLIND,
};
use crate::client::group_session::orders::Order;
use crate::error::{Error, Kind, Result};
use crate::group::Membership;
use crate::types::TopicName;

/// Joins have settled when none came for this long, and [`QUIET_OF_MEMBER`] longer for each member:
/// a burst then makes one rebalance. The larger the group, the more a rebalance costs.
const QUIET: Duration = Duration::from_millis(10);
/// What each member adds.
const QUIET_OF_MEMBER: Duration = Duration::from_millis(1);
/// A stream of joins delays the assignment for at most this many times that.
const QUIETS_MAX: u32 = 25;
/// Targets that are not reached yet are replaced only after this long: each replacement makes all
/// members give up other partitions.
const REACH: Duration = Duration::from_millis(100);
/// What each member adds.
const REACH_OF_MEMBER: Duration = Duration::from_millis(10);
/// How much longer each next member waits before it does a task that one member does for all.
const STAGGER: Duration = Duration::from_millis(3);
/// From this member on, each adds only [`STAGGER_OF_MANY`]: the first few mostly suffice.
const STAGGER_MAX: u32 = 8;
const STAGGER_OF_MANY: Duration = Duration::from_millis(1);
/// The last of many members checks the topics this many times less often than the first.
const TOPICS_POLLS_MAX: u32 = 10;

impl MembershipThread {
    /// A delay, so that one of all members that see the same acts first.
    pub(crate) fn stagger(&self) -> Duration {
        let rank = u32::try_from(self.member.rank()).unwrap_or(u32::MAX);
        STAGGER * rank.min(STAGGER_MAX)
            + STAGGER_OF_MANY * rank.saturating_sub(STAGGER_MAX).min(200)
    }

    /// Makes the targets once no more joins come.
    pub(crate) fn settle_joins(&mut self) -> Result<()> {
        let Some(wait) = self.joins_settle_in() else {
            self.joins = None;
            return Ok(());
        };
        if wait.is_zero() {
            self.busy(Membership::assign)?;
            self.joins = None;
        }
        Ok(())
    }

    pub(crate) fn joins_settle_in(&mut self) -> Option<Duration> {
        let (now, stagger) = (self.now(), self.stagger());
        let state = self.member.state();
        if state.group_epoch == state.assignment_epoch {
            return None;
        }
        let (group_epoch, assignment_epoch) = (state.group_epoch, state.assignment_epoch);
        let fresh = Joins {
            group_epoch,
            assignment_epoch,
            since: now,
            first: now,
        };
        let joins = self.joins.get_or_insert(fresh);
        if joins.assignment_epoch != assignment_epoch {
            // Other members made targets meanwhile, and more joins came.
            *joins = fresh;
        } else if joins.group_epoch != group_epoch {
            (joins.group_epoch, joins.since) = (group_epoch, now);
        }
        let members = u32::try_from(state.members.len()).unwrap_or(u32::MAX);
        let members = members.min(200);
        let calm = QUIET + QUIET_OF_MEMBER * members;
        let quiet = (joins.since + calm + stagger).saturating_sub(now);
        let longest = (joins.first + calm * QUIETS_MAX + stagger).saturating_sub(now);
        let reach = if self.member.reconciling() == 0 {
            Duration::ZERO
        } else {
            (joins.first + REACH + REACH_OF_MEMBER * members + stagger).saturating_sub(now)
        };
        Some(quiet.max(reach).min(longest))
    }

    pub(crate) fn refresh_topics(&mut self, changed: bool) -> Result<()> {
        let now = self.now();
        let is_reported = changed && !self.watching.is_blind;
        if is_reported || self.topics_due_in(now).is_zero() {
            self.topics_at = Some(now);
            self.member.update_topics()?;
            self.notify_unreadable();
            self.member.say_alive()?;
        }
        Ok(())
    }

    /// Reports damaged topic files, each once.
    pub(crate) fn notify_unreadable(&mut self) {
        let unreadable = self.member.take_unreadable();
        let names: BTreeSet<TopicName> = unreadable.iter().map(|(name, _)| name.clone()).collect();
        for (name, e) in unreadable {
            if !self.unreadable.contains(&name) {
                self.shared.order(Order::Broken(e));
            }
        }
        let topics = &self.member.state().topics;
        for gone in self.unreadable.difference(&names) {
            if !topics.contains_key(gone) {
                self.began.forget_unreadable(gone);
            }
        }
        self.unreadable = names;
    }

    /// When to check the topics next. All members learn what one of them finds, so in a large group
    /// the first two suffice; the next ones act if these stand still.
    pub(crate) fn topics_due_in(&self, now: Duration) -> Duration {
        let Some(at) = self.topics_at else {
            return Duration::ZERO;
        };
        let observe = if self.watching.is_blind {
            TOPICS_POLL_BLIND
        } else {
            TOPICS_POLL
        };
        let rank = u32::try_from(self.member.rank()).unwrap_or(u32::MAX);
        let period = observe * (1 + rank / 2).min(TOPICS_POLLS_MAX);
        (at + period).saturating_sub(now)
    }

    /// Ends the membership if a topic that is read by name was deleted; reports other deleted
    /// topics.
    pub(crate) fn find_deleted(&mut self) -> Result<()> {
        let topics = &self.member.state().topics;
        let gone: Vec<TopicName> = self
            .known
            .iter()
            .filter(|(name, id)| topics.get(*name).is_none_or(|now| now.topic_id != **id))
            .map(|(name, _)| name.clone())
            .collect();
        let own = self.member.me().map(|me| me.topics.clone());
        self.known = topics
            .iter()
            .filter(|(name, _)| own.as_ref().is_some_and(|own| own.contains(*name)))
            .map(|(name, topic)| (name.clone(), topic.topic_id))
            .collect();
        for name in gone {
            let deleted = format!("UNKNOWN_TOPIC_OR_PARTITION: topic {name} was deleted");
            if self.options.subscription.is_of_names() {
                return Err(Error::new(Kind::UnknownTopic, deleted).cure(
                    "'mq-topics list' shows the topics; start again for a new topic of that name",
                ));
            }
            self.shared.order(Order::Note(deleted));
        }
        Ok(())
    }

    /// Removes members that died or hang.
    pub(crate) fn probe_others(&mut self, closed: bool) -> Result<()> {
        let now = self.now();
        if closed && !self.watching.is_blind {
            self.closes = Some((now + self.stagger(), 0));
        }
        let probe_due = self.probe_at().is_some_and(|at| at <= now);
        let is_due = probe_due
            || (self.watching.is_blind
                && now - self.watched_at >= self.blind_period(BLIND_PROBE_OF_MEMBERS))
            || now - self.watched_at >= self.member.watch_interval();
        if !is_due {
            return Ok(());
        }
        self.watched_at = now;
        let suspects = self.member.suspects()?;
        if !suspects.is_empty() {
            self.busy(|member| member.evict(&suspects))?;
        }
        if probe_due && let Some((_, probe)) = &mut self.closes {
            *probe += 1;
        }
        Ok(())
    }

    pub(crate) fn probe_at(&self) -> Option<Duration> {
        let (closed_at, probe) = self.closes?;
        Some(closed_at + *PROBES.get(probe)?)
    }
}
