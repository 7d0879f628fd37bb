//! The input of a decision about one partition, and the effects that it may request.

use std::collections::BTreeSet;
use std::time::Duration;

use super::partition::{AppendLockProbe, Ask, Coverage, Partition, WorkKind};
use super::state::{Brokers, Change, ChangeKind, Effects, ProbeRequest, Rules};
use super::work_id::WorkId;
use crate::store::PartitionMeta;
use crate::types::{BrokerId, TopicPartition};

/// What a decision about one partition sees, beside the partition.
pub(crate) struct Context<'a> {
    pub(crate) brokers: &'a Brokers,
    pub(crate) topic: &'a TopicPartition,
    pub(crate) topic_id: crate::types::Uuid,
    /// The version of the topic file.
    pub(crate) version: u64,
    pub(crate) rules: Rules,
    pub(crate) now: Duration,
    pub(crate) jobs: &'a mut u64,
    pub(crate) balancing: &'a mut BTreeSet<WorkId>,
    pub(crate) out: &'a mut Effects,
}

/// Why a leadership transfer is desirable, although nothing forces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MoveReason {
    /// The reassignment leaves the leader out.
    Reassign,
    /// The leader is drained.
    Drain,
    /// The preferred leader can lead.
    Balance,
}

impl Context<'_> {
    /// Begins work on the partition.
    pub(crate) fn begin(&mut self, p: &mut Partition, kind: WorkKind) -> WorkId {
        *self.jobs += 1;
        let job = WorkId(*self.jobs);
        p.begin(job, kind, self.now);
        job
    }

    pub(crate) fn observe(&mut self, p: &mut Partition, ask: Ask) {
        let leader = p.meta.leader;
        let ask = ask.with(p.asked.unwrap_or_default());
        let job = self.begin(
            p,
            WorkKind::Observation {
                coverage: ask.coverage,
            },
        );
        // An unclean election needs a snapshot of its candidates, too.
        let matters = |broker: &BrokerId| {
            *broker != leader && (p.meta.is_in_sync(*broker) || self.rules.unclean)
        };
        let others: Vec<_> = p.in_order().filter(matters).collect();
        let mut brokers = vec![leader];
        if ask.coverage == Coverage::Full {
            brokers.extend(others);
        }
        let probe = ask.lock == AppendLockProbe::Tried
            || p.reign.watch.is_some()
            || !self.brokers.is_alive(leader);
        self.out.observations.push(ProbeRequest {
            job,
            tp: self.topic.clone(),
            leader,
            brokers,
            probe,
        });
    }

    pub(crate) fn change(&mut self, p: &mut Partition, kind: ChangeKind) {
        let work = match kind {
            ChangeKind::Elect(_) => WorkKind::Elect,
            ChangeKind::TakeOut(_) | ChangeKind::Renew | ChangeKind::Finish(_) => WorkKind::Change,
        };
        let job = self.begin(p, work);
        self.out.changes.push(Change {
            job,
            tp: self.topic.clone(),
            topic_id: self.topic_id,
            leader: p.meta.leader,
            epoch: p.meta.leader_epoch,
            kind,
        });
    }

    /// Whether one more leadership may be transferred back to its preferred leader.
    pub(crate) fn may_balance(&self) -> bool {
        self.balancing.len() < BALANCING_MAX
    }

    /// Counts a job as a transfer back to the preferred leader.
    pub(crate) fn balances(&mut self, job: Option<WorkId>) {
        self.balancing.extend(job);
    }

    /// In-sync followers that are not alive.
    pub(crate) fn dead_followers(&self, p: &Partition) -> Vec<BrokerId> {
        let dead = |b: &BrokerId| *b != p.meta.leader && !self.brokers.is_alive(*b);
        p.meta.isr.iter().copied().filter(dead).collect()
    }

    /// Why a transfer is desirable, and from when on.
    pub(crate) fn reason(&self, p: &Partition) -> Option<(MoveReason, Duration)> {
        let meta = &p.meta;
        let leader = meta.leader;
        // Forced changes come first.
        if !self.brokers.is_alive(leader) || p.reign.is_in_doubt() {
            return None;
        }
        let others = || meta.isr.iter().filter(|b| **b != leader);
        if let Some(to) = &meta.reassignment {
            let complete = to.target.iter().all(|b| meta.is_in_sync(*b));
            let leads_on = to.target.contains(&leader);
            let can = to.target.iter().any(|b| self.brokers.is_alive(*b));
            if complete && !leads_on && can {
                return Some((MoveReason::Reassign, p.rest.until));
            }
        }
        if self.brokers.is_drained(leader) {
            let can = others().any(|b| self.brokers.may_lead(*b));
            return can.then_some((MoveReason::Drain, p.rest.until));
        }
        let preferred = meta.preferred_leader();
        let can = meta.reassignment.is_none()
            && preferred != leader
            && meta.is_in_sync(preferred)
            && self.brokers.may_lead(preferred);
        can.then(|| {
            let since = p.since.max(self.brokers.since(preferred));
            (MoveReason::Balance, p.rest.until.max(since + STABLE))
        })
    }

    /// Schedules the next probe for the case that nothing happens.
    pub(crate) fn schedule(&self, p: &mut Partition) {
        if p.due.followers.is_none() {
            p.due.followers = Some(next_lag_probe(self.rules, self.now));
        }
        p.due.reason = match self.reason(p) {
            Some((MoveReason::Balance, _)) if !self.may_balance() => None,
            Some((_, when)) => Some(when),
            None => None,
        };
    }
}

pub(crate) fn take_out(cx: &mut Context<'_>, p: &mut Partition, who: &[BrokerId]) {
    let uuid = |b: &BrokerId| Some((*b, p.meta.uuid_of(*b)?));
    let out = who.iter().filter_map(uuid).collect();
    cx.change(p, ChangeKind::TakeOut(out));
}

pub(crate) fn postpone(p: &mut Partition, now: Duration) {
    p.rest.length = (p.rest.length * 2).clamp(REST_FIRST, REST_MAX);
    p.rest.until = now + p.rest.length;
}

/// The reassignment, if only its completion remains to be written.
pub(crate) fn finishable(meta: &PartitionMeta) -> Option<crate::store::Reassignment> {
    let to = meta.reassignment.as_ref()?;
    let complete = to.target.iter().all(|b| meta.is_in_sync(*b));
    (complete && to.target.contains(&meta.leader)).then(|| to.clone())
}

/// The interval between two probes of followers.
pub(crate) fn lag_interval(rules: Rules) -> Duration {
    (rules.lag_max / 2).max(LAG_POLL_MIN)
}

/// At whole multiples of the interval, so that one wake-up serves all partitions.
pub(crate) fn next_lag_probe(rules: Rules, now: Duration) -> Duration {
    let interval = lag_interval(rules).as_millis().max(1);
    let next = (now.as_millis() / interval + 1) * interval;
    Duration::from_millis(u64::try_from(next).unwrap_or(u64::MAX))
}

/// The minimum interval between two probes of followers.
pub(crate) const LAG_POLL_MIN: Duration = Duration::from_secs(1);

/// The maximum number of concurrent transfers to preferred leaders.
pub(crate) const BALANCING_MAX: usize = 64;

/// The first pause after a failed transfer that nothing forced; doubled each time.
pub(crate) const REST_FIRST: Duration = Duration::from_secs(10);

pub(crate) const REST_MAX: Duration = Duration::from_secs(600);

/// How long a leader stays before its leadership is transferred to the preferred one.
pub(crate) const STABLE: Duration = Duration::from_secs(5);
