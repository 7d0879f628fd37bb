//! The keeper: what a member does besides reading, one turn after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::ends::Ends;
use super::heartbeat::Heartbeat;
use super::starts::{self, Checked};
use super::watching::{Changed, Watching};
use super::{CommitWhen, Delivery, End, Generation, GroupOptions, Order, Shared, Ticket, lock};
use crate::client::open_reader;
use crate::client::point::Point;
use crate::disk::WatchId;
use crate::error::{Error, Kind, Result};
use crate::group::{Entry, JoinOptions, Membership};
use crate::store::{PartitionReader, StoreDir, topics};
use crate::types::{LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};

/// Joins have calmed down when none came for so long, and for each member [`QUIET_OF_MEMBER`]
/// longer: a burst is one rebalance, and the larger the group, the more one costs.
const QUIET: Duration = Duration::from_millis(10);
/// What each member adds.
const QUIET_OF_MEMBER: Duration = Duration::from_millis(1);
/// A stream of joins puts the assignment off for so many times that.
const QUIETS_MAX: u32 = 10;
/// What each next member waits longer before it does what one does for all.
const STAGGER: Duration = Duration::from_millis(3);
/// From here on they all wait as long.
const STAGGER_MAX: u32 = 8;
/// A process that dies closes its file some time before its lock is free: so long after the close
/// it is looked at again.
const PROBES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(6),
    Duration::from_millis(15),
    Duration::from_millis(40),
    Duration::from_millis(100),
];
/// Between two looks at what a pipe's reader has taken: it tells nobody.
const PIPE_LOOK: Duration = Duration::from_millis(50);
/// The same while something waits for it.
const QUICK_LOOK: Duration = Duration::from_millis(2);
/// Between two looks at the topics: what no watch reported is seen then.
const TOPICS_LOOK: Duration = Duration::from_secs(5);
/// The same without a watch.
const TOPICS_LOOK_BLIND: Duration = Duration::from_millis(900);
/// What each next member waits longer for another to commit where a topic is started.
const START_WAIT: Duration = Duration::from_millis(100);

/// The keeper of one membership.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<StoreDir>,
    options: GroupOptions,
    delivery: Arc<dyn Delivery>,
    shared: Arc<Shared>,
    watching: Watching,
    member: Membership,
    heartbeat: Heartbeat,
    ends: Option<Ends>,
    held: BTreeMap<TopicPartition, Holding>,
    last_generation: Generation,
    joins: Option<Joins>,
    /// When the members' files were seen closed, and which of the [`PROBES`] is next.
    closes: Option<(Duration, usize)>,
    watched_at: Duration,
    topics_at: Duration,
    committed_at: Duration,
    idle: bool,
    ended: Option<End>,
    interrupted: bool,
    finished: bool,
    noted_unused: bool,
}

/// A partition that is owned and was handed to the caller.
#[derive(Debug)]
struct Holding {
    generation: Generation,
    topic_id: Uuid,
    /// All before it is delivered, or was before this assignment.
    position: Offset,
    leader_epoch: LeaderEpoch,
    committed: Offset,
    until: Option<Offset>,
    page: Option<WatchId>,
    /// Since when it is to be given up.
    stopping: Option<Duration>,
    is_stopped: bool,
}

/// Joins that no target was made for yet.
#[derive(Debug)]
struct Joins {
    group_epoch: i32,
    since: Duration,
    first: Duration,
}

impl Keeper {
    /// Joins the group.
    pub(super) fn join(
        store: &Arc<StoreDir>,
        options: GroupOptions,
        delivery: Arc<dyn Delivery>,
        shared: Arc<Shared>,
        poked: UnixStream,
    ) -> Result<Self> {
        let ends = Ends::fix(store, &options)?;
        let member = enter(store, &options, ends.as_ref())?;
        for note in member.notes() {
            shared.order(Order::Warn(note));
        }
        let watching = Watching::new(store, &**member.dir(), poked)?;
        let heartbeat = Heartbeat::start(member.heart(), options.session_timeout)?;
        let now = store.clock().monotonic();
        Ok(Keeper {
            store: Arc::clone(store),
            options,
            delivery,
            shared,
            watching,
            member,
            heartbeat,
            ends,
            held: BTreeMap::new(),
            last_generation: 0,
            joins: None,
            closes: None,
            watched_at: now,
            topics_at: now,
            committed_at: now,
            idle: false,
            ended: None,
            interrupted: false,
            finished: false,
            noted_unused: false,
        })
    }

    /// Works until the caller says that it is the end.
    pub(super) fn run(mut self) -> Result<()> {
        let mut changed = Changed::default();
        loop {
            let outcome = self.turn(changed).and_then(|done| {
                if done {
                    return Ok(None);
                }
                let timeout = self.timeout();
                self.watching.wait(timeout).map(Some)
            });
            match outcome {
                Ok(Some(next)) => {
                    if next.pages {
                        (self.shared.wake_caller)();
                    }
                    changed = next;
                }
                Ok(None) => return self.leave(),
                Err(e) => match self.recover(e) {
                    Ok(()) => changed = Changed::default(),
                    Err(e) => return self.fail(e),
                },
            }
        }
    }

    /// One look at everything; whether it is the end.
    fn turn(&mut self, changed: Changed) -> Result<bool> {
        self.listen();
        let regrouped = self.member.refresh()?;
        if self.member.me().is_none() {
            return Err(removed());
        }
        self.settle_joins()?;
        self.look_at_topics(changed.topics)?;
        self.look_at_others(changed.members)?;
        self.take_deliveries();
        self.give_up()?;
        if self.ended.is_none() {
            self.take_over()?;
            self.follow_ends(regrouped)?;
        }
        self.show_seen();
        self.commit_when_due()?;
        if let Some(end) = self.ended {
            let waits = end.good
                && self.commits_at(end)
                && !self.interrupted
                && !self.delivery.is_all_settled()
                && !self.delivery.is_closed();
            return Ok(!waits);
        }
        self.finish_if_done()?;
        Ok(false)
    }

    /// Takes what the caller told.
    fn listen(&mut self) {
        let mut told = lock(&self.shared.told);
        for generation in told.stopped.drain(..) {
            for holding in self.held.values_mut() {
                holding.is_stopped |= holding.generation == generation;
            }
        }
        self.idle |= std::mem::take(&mut told.idle);
        self.ended = self.ended.or(told.ended.take());
        self.interrupted |= told.interrupted;
    }

    /// Tells the caller which state of the group its orders are of.
    fn show_seen(&self) {
        let seen = (
            Arc::clone(self.member.dir()),
            Arc::clone(self.member.seen()),
        );
        *lock(&self.shared.seen) = Some(seen);
        self.shared.replied.notify_all();
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    /// One of all that see the same is to act first.
    fn stagger(&self) -> Duration {
        let rank = u32::try_from(self.member.rank()).unwrap_or(u32::MAX);
        STAGGER * rank.min(STAGGER_MAX)
    }

    /// Makes the targets once no more joins come.
    fn settle_joins(&mut self) -> Result<()> {
        let Some(wait) = self.joins_settle_in() else {
            self.joins = None;
            return Ok(());
        };
        if wait.is_zero() {
            self.member.assign()?;
            self.joins = None;
        }
        Ok(())
    }

    fn joins_settle_in(&mut self) -> Option<Duration> {
        let (now, stagger) = (self.now(), self.stagger());
        let state = self.member.state();
        if state.group_epoch == state.assignment_epoch {
            return None;
        }
        let group_epoch = state.group_epoch;
        let joins = self.joins.get_or_insert(Joins {
            group_epoch,
            since: now,
            first: now,
        });
        if joins.group_epoch != group_epoch {
            (joins.group_epoch, joins.since) = (group_epoch, now);
        }
        let members = u32::try_from(state.members.len()).unwrap_or(u32::MAX);
        let calm = QUIET + QUIET_OF_MEMBER * members.min(200);
        let quiet = (joins.since + calm + stagger).saturating_sub(now);
        let longest = (joins.first + calm * QUIETS_MAX + stagger).saturating_sub(now);
        Some(quiet.min(longest))
    }

    fn look_at_topics(&mut self, changed: bool) -> Result<()> {
        let now = self.now();
        let due = if self.watching.is_blind {
            now - self.topics_at >= TOPICS_LOOK_BLIND
        } else {
            changed || now - self.topics_at >= TOPICS_LOOK
        };
        if due {
            self.topics_at = now;
            self.member.update_topics()?;
            self.member.say_alive()?;
        }
        Ok(())
    }

    /// Removes members that died or hang.
    fn look_at_others(&mut self, closed: bool) -> Result<()> {
        let now = self.now();
        if closed && !self.watching.is_blind {
            self.closes = Some((now + self.stagger(), 0));
        }
        let probe_due = self.probe_at().is_some_and(|at| at <= now);
        let is_due = probe_due
            || (closed && self.watching.is_blind)
            || now - self.watched_at >= self.member.watch_interval();
        if !is_due {
            return Ok(());
        }
        self.watched_at = now;
        let suspects = self.member.suspects()?;
        if !suspects.is_empty() {
            self.member.evict(&suspects)?;
        }
        if probe_due && let Some((_, probe)) = &mut self.closes {
            *probe += 1;
        }
        Ok(())
    }

    fn probe_at(&self) -> Option<Duration> {
        let (closed_at, probe) = self.closes?;
        Some(closed_at + *PROBES.get(probe)?)
    }

    fn take_deliveries(&mut self) {
        for delivered in self.delivery.take() {
            for holding in self.held.values_mut() {
                if holding.generation == delivered.generation && delivered.next > holding.position {
                    holding.position = delivered.next;
                    holding.leader_epoch = delivered.leader_epoch;
                }
            }
        }
    }

    /// Gives up what is another's target by now.
    fn give_up(&mut self) -> Result<()> {
        let now = self.now();
        let Some(me) = self.member.me() else {
            return Err(removed());
        };
        let gone: Vec<_> = self
            .held
            .keys()
            .filter(|tp| !me.owned.contains(tp))
            .cloned()
            .collect();
        let mut unread: BTreeSet<TopicPartition> = me
            .owned
            .difference(&me.target)
            .filter(|tp| !self.held.contains_key(tp))
            .cloned()
            .collect();
        let mut is_waiting = false;
        let mut ready = Vec::new();
        for (tp, holding) in &mut self.held {
            if gone.contains(tp) || me.target.contains(tp) {
                continue;
            }
            let since = match holding.stopping {
                Some(since) => since,
                None => {
                    holding.stopping = Some(now);
                    self.shared
                        .order(Order::Revoke(holding.generation, tp.clone()));
                    now
                }
            };
            let is_stopped = holding.is_stopped || self.ended.is_some();
            let is_out = is_stopped && self.delivery.is_settled(holding.generation);
            let is_late = self
                .options
                .settle
                .is_some_and(|limit| now - since >= limit);
            if is_out || is_late || (is_stopped && self.delivery.is_closed()) {
                ready.push(tp.clone());
            } else {
                is_waiting = true;
            }
        }
        for tp in gone {
            // Its topic is no more: what is committed of it counts for nobody.
            self.drop_holding(&tp, true);
        }
        if is_waiting || (ready.is_empty() && unread.is_empty()) {
            return Ok(());
        }
        self.take_deliveries();
        let commits = self.options.commit == CommitWhen::AfterWrite;
        let entries = if commits {
            self.entries(|tp| ready.contains(tp))
        } else {
            Vec::new()
        };
        unread.extend(ready.iter().cloned());
        self.member.release(unread, entries)?;
        for tp in ready {
            self.drop_holding(&tp, false);
        }
        Ok(())
    }

    fn drop_holding(&mut self, tp: &TopicPartition, revoke: bool) {
        let Some(holding) = self.held.remove(tp) else {
            return;
        };
        if let Some(page) = holding.page {
            self.watching.remove_page(page);
        }
        if revoke && holding.stopping.is_none() {
            self.shared
                .order(Order::Revoke(holding.generation, tp.clone()));
        }
    }

    /// Hands what is owned newly to the caller.
    fn take_over(&mut self) -> Result<()> {
        let Some(me) = self.member.me() else {
            return Err(removed());
        };
        let fresh: Vec<(TopicPartition, Uuid)> = me
            .owned
            .intersection(&me.target)
            .filter(|tp| !self.held.contains_key(tp))
            .filter_map(|tp| {
                let topic = self.member.state().topics.get(&tp.topic)?;
                Some((tp.clone(), topic.topic_id))
            })
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        self.member.refresh_offsets()?;
        let mut opened = Vec::with_capacity(fresh.len());
        for (tp, topic_id) in fresh {
            match open_reader(&self.store, &tp) {
                Ok(reader) => opened.push((tp, topic_id, reader)),
                // Deleted: seen with the next look at the topics.
                Err(e) if e.kind() == Kind::UnknownTopic => self.topics_at = Duration::ZERO,
                Err(e) => return Err(e),
            }
        }
        let begun = self.begin(&opened)?;
        for ((tp, topic_id, reader), (from, committed, leader_epoch)) in
            opened.into_iter().zip(begun)
        {
            self.last_generation += 1;
            let generation = self.last_generation;
            let until = self.until_of(&tp, from);
            let until_time = self
                .ends
                .as_ref()
                .and_then(|ends| ends.times.get(&tp))
                .copied();
            let page = self.watching.add_page(&reader);
            let holding = Holding {
                generation,
                topic_id,
                position: from,
                leader_epoch,
                committed,
                until,
                page,
                stopping: None,
                is_stopped: false,
            };
            self.held.insert(tp, holding);
            self.shared.order(Order::Assign {
                generation,
                reader,
                from,
                until,
                until_time,
            });
        }
        Ok(())
    }

    /// Where each of these begins, what is committed of it, and the epoch before; what nothing is
    /// committed of yet is committed first.
    fn begin(
        &mut self,
        opened: &[(TopicPartition, Uuid, PartitionReader)],
    ) -> Result<Vec<(Offset, Offset, LeaderEpoch)>> {
        let missing: Vec<&(TopicPartition, Uuid, PartitionReader)> = opened
            .iter()
            .filter(|(tp, topic_id, _)| self.member.committed(tp, *topic_id).is_none())
            .collect();
        if missing.len() < opened.len() {
            self.note_unused_start();
        }
        let mut starts: BTreeMap<TopicPartition, Entry> = BTreeMap::new();
        if !missing.is_empty() {
            let entries = self.starts_of(&missing)?;
            if self.options.commit != CommitWhen::Never {
                self.member.commit_starts(entries.clone())?;
            }
            starts = entries
                .into_iter()
                .map(|entry| {
                    (
                        TopicPartition::new(entry.topic.clone(), entry.partition),
                        entry,
                    )
                })
                .collect();
        }
        let mut begun = Vec::with_capacity(opened.len());
        for (tp, topic_id, reader) in opened {
            let place = match (self.member.committed(tp, *topic_id), starts.get(tp)) {
                (Some(committed), _) => {
                    let from = match starts::check(&self.options.group, reader, &committed)? {
                        Checked::At(offset) => offset,
                        Checked::BelowStart(start) => {
                            self.shared.order(Order::Warn(format!(
                                "group '{}' left {tp} at offset {}, which is gone: going on from {start}",
                                self.options.group.escape_debug(),
                                committed.offset
                            )));
                            start
                        }
                    };
                    (from, committed.offset, committed.leader_epoch)
                }
                (None, Some(start)) => (start.offset, start.offset, start.leader_epoch),
                (None, None) => {
                    let start = starts::fresh_start(reader, *topic_id, None, true)?;
                    (start.offset, start.offset, start.leader_epoch)
                }
            };
            begun.push(place);
        }
        Ok(begun)
    }

    /// Starts for these, and for all partitions of topics that the group has never read.
    fn starts_of(
        &mut self,
        missing: &[&(TopicPartition, Uuid, PartitionReader)],
    ) -> Result<Vec<Entry>> {
        let mut by_topic: BTreeMap<&TopicName, Vec<&(TopicPartition, Uuid, PartitionReader)>> =
            BTreeMap::new();
        for one in missing {
            by_topic.entry(&one.0.topic).or_default().push(one);
        }
        let from = self.options.range.from;
        let mut entries = Vec::new();
        for (topic, missing) in by_topic {
            if self.options.commit != CommitWhen::Never && !self.is_known_soon(topic)? {
                let Some(seen) = self.member.state().topics.get(topic).copied() else {
                    continue;
                };
                let (id, count) = (seen.topic_id, seen.partitions);
                entries.extend(starts::fresh_starts(&self.store, topic, id, count, from)?);
                continue;
            }
            let known = self.member.offsets().knows_topic(topic);
            for (_, topic_id, reader) in missing {
                entries.push(starts::fresh_start(reader, *topic_id, from, known)?);
            }
        }
        Ok(entries)
    }

    /// Whether anything is committed of a topic. Where nothing is, the first of its readers
    /// commits the start of all its partitions; the others wait a little for that.
    fn is_known_soon(&mut self, topic: &TopicName) -> Result<bool> {
        let own = self.member.id();
        let before = self
            .member
            .state()
            .members
            .iter()
            .filter(|(id, member)| **id < own && member.topics.contains(topic))
            .count();
        let until = self.now() + START_WAIT * u32::try_from(before.min(5)).unwrap_or(5);
        loop {
            if self.member.offsets().knows_topic(topic) {
                return Ok(true);
            }
            if self.now() >= until {
                return Ok(false);
            }
            self.store.clock().sleep(QUICK_LOOK);
            self.member.refresh_offsets()?;
        }
    }

    fn note_unused_start(&mut self) {
        let asked = self
            .options
            .range
            .from
            .is_some_and(|from| from != Point::Stored);
        if asked && !self.noted_unused {
            self.noted_unused = true;
            self.shared.order(Order::Note(format!(
                "group '{}' goes on where it left off; -o begins only where nothing is committed ('mq-groups reset' rewinds)",
                self.options.group.escape_debug()
            )));
        }
    }

    /// The end of a partition that begins at `from`: with `-e` the largest that a member entered.
    fn until_of(&self, tp: &TopicPartition, from: Offset) -> Option<Offset> {
        let ends = self.ends.as_ref()?;
        let bounded = self.options.range.to.is_some();
        let end = if bounded {
            ends.of(tp)
        } else {
            self.member.state().end_of(tp)
        };
        match end {
            Some(Offset::MAX) => None,
            Some(end) => Some(end),
            // It came after this member's ends were fixed.
            None if self.options.to_end => Some(from),
            None => None,
        }
    }

    /// Ends that were raised by others, or whose time has passed.
    fn follow_ends(&mut self, regrouped: bool) -> Result<()> {
        let now_ms = self.store.clock().now_ms();
        if let Some(ends) = &mut self.ends
            && !ends.times.is_empty()
        {
            for (tp, end) in ends.pass_times(&self.store, now_ms)? {
                if let Some(holding) = self.held.get_mut(&tp) {
                    holding.until = Some(end);
                    let generation = holding.generation;
                    self.shared.order(Order::Limit(generation, tp, end));
                }
            }
        }
        if !regrouped || !self.options.to_end || self.options.range.to.is_some() {
            return Ok(());
        }
        for (tp, holding) in &mut self.held {
            let end = self.member.state().end_of(tp);
            if let (Some(until), Some(end)) = (holding.until, end)
                && end > until
            {
                holding.until = Some(end);
                self.shared
                    .order(Order::Limit(holding.generation, tp.clone(), end));
            }
        }
        Ok(())
    }

    /// What was delivered and is not committed, of partitions that `which` names.
    fn entries(&self, which: impl Fn(&TopicPartition) -> bool) -> Vec<Entry> {
        self.held
            .iter()
            .filter(|(tp, holding)| holding.position > holding.committed && which(tp))
            .map(|(tp, holding)| Entry {
                topic: tp.topic.clone(),
                topic_id: holding.topic_id,
                partition: tp.partition,
                offset: holding.position,
                leader_epoch: holding.leader_epoch,
            })
            .collect()
    }

    fn commit_now(&mut self) -> Result<()> {
        self.take_deliveries();
        let entries = self.entries(|_| true);
        self.committed_at = self.now();
        if entries.is_empty() {
            return Ok(());
        }
        self.member.commit(entries)?;
        for holding in self.held.values_mut() {
            holding.committed = holding.committed.max(holding.position);
        }
        Ok(())
    }

    fn commit_when_due(&mut self) -> Result<()> {
        let wanted = matches!(lock(&self.shared.told).commit, Some(Ticket::Wanted));
        if wanted {
            let outcome = if self.options.commit == CommitWhen::AfterWrite {
                self.commit_now()
            } else {
                Ok(())
            };
            lock(&self.shared.told).commit = Some(Ticket::Done(outcome));
            self.shared.replied.notify_all();
        }
        if self.options.commit != CommitWhen::AfterWrite {
            return Ok(());
        }
        let interval = self.options.interval;
        if self.idle || self.now() - self.committed_at >= interval {
            self.idle = false;
            self.commit_now()?;
        }
        Ok(())
    }

    /// Says that all is done once it is: written out here, or committed by others.
    fn finish_if_done(&mut self) -> Result<()> {
        let Some(ends) = &self.ends else {
            return Ok(());
        };
        if self.finished || !self.is_done_here(ends) {
            self.watching.watch_offsets(&**self.member.dir(), false);
            return Ok(());
        }
        if self.options.commit == CommitWhen::Never {
            let state = self.member.state();
            let settled = state.group_epoch == state.assignment_epoch
                && self
                    .member
                    .me()
                    .is_some_and(|me| me.is_reconciled(state.assignment_epoch));
            if settled {
                self.finished = true;
                self.shared.order(Order::Finished);
            }
            return Ok(());
        }
        // A member that is done commits, with `on-exit` too: this is its exit.
        self.commit_now()?;
        self.watching.watch_offsets(&**self.member.dir(), true);
        self.member.refresh_offsets()?;
        if self.is_done_everywhere() {
            self.finished = true;
            self.shared.order(Order::Finished);
        }
        Ok(())
    }

    fn is_done_here(&self, ends: &Ends) -> bool {
        self.held.iter().all(|(tp, holding)| {
            let end = ends.of(tp).or(holding.until).unwrap_or(Offset::MAX);
            holding.position >= end
        })
    }

    fn is_done_everywhere(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        ends.iter().all(|(tp, end)| {
            if end == 0 || self.held.get(&tp).is_some_and(|held| held.position >= end) {
                return true;
            }
            let Some(topic) = self.member.state().topics.get(&tp.topic) else {
                // Deleted: there is nothing left to wait for.
                return true;
            };
            let committed = self.member.committed(&tp, topic.topic_id);
            committed.is_some_and(|committed| committed.offset >= end)
        })
    }

    fn commits_at(&self, end: End) -> bool {
        match self.options.commit {
            CommitWhen::AfterWrite => true,
            CommitWhen::OnExit => end.exits_0,
            CommitWhen::Never => false,
        }
    }

    /// How long nothing needs to be done, as far as is known now.
    fn timeout(&mut self) -> Duration {
        let now = self.now();
        let mut timeout = (self.watched_at + self.member.watch_interval()).saturating_sub(now);
        let topics = if self.watching.is_blind {
            TOPICS_LOOK_BLIND
        } else {
            TOPICS_LOOK
        };
        timeout = timeout.min((self.topics_at + topics).saturating_sub(now));
        if let Some(wait) = self.joins_settle_in() {
            timeout = timeout.min(wait);
        }
        // Where it cannot be looked at, the next turn says why.
        if let Some(wait) = self.member.refresh_due().ok().flatten() {
            timeout = timeout.min(wait);
        }
        if let Some(at) = self.probe_at() {
            timeout = timeout.min(at.saturating_sub(now));
        }
        if self.ended.is_some() || self.held.values().any(|holding| holding.stopping.is_some()) {
            timeout = timeout.min(QUICK_LOOK);
        }
        if self
            .ends
            .as_ref()
            .is_some_and(|ends| !ends.times.is_empty())
        {
            timeout = timeout.min(TOPICS_LOOK_BLIND);
        }
        let wants_looks = self.options.commit == CommitWhen::AfterWrite || self.ends.is_some();
        if wants_looks && !self.delivery.is_all_settled() && !self.delivery.is_closed() {
            timeout = timeout.min(PIPE_LOOK);
        }
        let uncommitted = self.held.values().any(|h| h.position > h.committed);
        if self.options.commit == CommitWhen::AfterWrite && uncommitted {
            let due = self.committed_at + self.options.interval;
            timeout = timeout.min(due.saturating_sub(now));
        }
        timeout
    }

    /// Goes on after an error, where that can be.
    fn recover(&mut self, e: Error) -> Result<()> {
        if e.kind() != Kind::Fenced {
            return Err(e);
        }
        self.member.refresh()?;
        if self.member.me().is_some() {
            // Only a lock was taken over while this process stood still.
            self.store.clock().sleep(QUICK_LOOK);
            return Ok(());
        }
        let held: Vec<TopicPartition> = self.held.keys().cloned().collect();
        for tp in held {
            self.drop_holding(&tp, true);
        }
        if self.ended.is_some() {
            return Err(e);
        }
        self.shared.order(Order::Note(format!(
            "group '{}' took this member for dead, as it stood still: joining again",
            self.options.group.escape_debug()
        )));
        self.heartbeat.stop();
        self.member = enter(&self.store, &self.options, self.ends.as_ref())?;
        self.heartbeat = Heartbeat::start(self.member.heart(), self.options.session_timeout)?;
        self.joins = None;
        Ok(())
    }

    fn leave(mut self) -> Result<()> {
        self.take_deliveries();
        let commits = self.ended.is_some_and(|end| self.commits_at(end));
        let entries = if commits {
            self.entries(|_| true)
        } else {
            Vec::new()
        };
        self.heartbeat.stop();
        self.member.leave(entries)
    }

    /// Tells what ended the membership, and waits for the caller to end as well.
    fn fail(mut self, e: Error) -> Result<()> {
        if let Some(ticket) = &mut lock(&self.shared.told).commit {
            *ticket = Ticket::Done(Err(Error::new(e.kind(), e.to_string())));
            self.shared.replied.notify_all();
        }
        if self.ended.is_some() {
            return Err(e);
        }
        self.shared.order(Order::Failed(e));
        while self.ended.is_none() {
            self.watching.wait(TOPICS_LOOK)?;
            self.listen();
        }
        // What ended it has been told. If leaving fails too, the others find this member dead.
        let _ = self.leave();
        Ok(())
    }
}

/// Joins the group; topics by name must be there.
fn enter(store: &Arc<StoreDir>, options: &GroupOptions, ends: Option<&Ends>) -> Result<Membership> {
    let entered = ends.filter(|_| options.to_end && options.range.to.is_none());
    let join = JoinOptions {
        subscription: options.subscription.clone(),
        assignor: options.assignor,
        instance_id: options.instance_id.clone(),
        session_timeout: options.session_timeout,
        ends: entered.map(|ends| ends.offsets.clone()),
        patience: options.patience,
    };
    if options.subscription.is_of_names() {
        let there = topics::list(store)?;
        for name in &options.subscription.topics {
            let name = TopicName::new(name.as_str())?;
            if !there.contains(&name) {
                return Err(topics::unknown(store, &name));
            }
        }
    }
    Membership::join(store, &options.group, &join)
}

fn removed() -> Error {
    Error::new(
        Kind::Fenced,
        "UNKNOWN_MEMBER_ID: the group has this member no more",
    )
}
