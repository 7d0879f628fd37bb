//! What the controller knows of one partition: the work under way, what is known of its leader in
//! its epoch, and when to act next.
//!
//! # Work under way
//!
//! One piece of work at a time ([`Phase`]). The transitions, as in [`MAY_FOLLOW`]:
//!
//! | | steady | observing | moving | electing | changing | pausing |
//! |---|---|---|---|---|---|---|
//! | **steady** | | yes | | | yes | |
//! | **observing** | yes | yes | yes | yes | yes | |
//! | **moving** | yes | yes | | | yes | |
//! | **electing** | yes | yes | | | yes | yes |
//! | **changing** | yes | yes | | | yes | yes |
//! | **pausing** | yes | yes | | | yes | |
//!
//! - A transfer ("moving") and an election follow a probe ("observing"), and nothing else.
//! - A pause follows a change or an election that failed, and nothing else. It goes on to steady
//!   only if its cause is gone: in a new epoch, or if there is one replica.
//! - Failures are counted from one change to the next. The count ends when nothing is left to do.
//!
//! # What goes together
//!
//! - A request for the next probe ([`Ask`]) may come at any time, and waits for the work under way.
//! - A time ([`ActionTimes`]) counts while steady only. A pause has its own, and no other counts in it.
//! - What is known of the leader ([`Reign`]) is reset with each leader and epoch. Only the brokers
//!   that the same leader's leadership could not be transferred to are kept: undoing a seal takes
//!   an epoch.
//! - A leader is sound, or its partition is leaderless, or neither is known ([`LeaderView`]), never two
//!   of them. Its append lock may be watched in each.
//! - A [`super::context::MoveReason`], which nothing forces, is ignored while the partition is
//!   leaderless or the leader's lock is watched: it could not succeed, and would be requested again
//!   at once.
//! - A failover tries one stand-in after the other, or rests ([`Failover`]).

use std::time::Duration;

use super::work_id::WorkId;
use crate::store::{PartitionMeta, Stillness};
use crate::types::{BrokerId, LeaderEpoch, Offset};

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) meta: PartitionMeta,
    /// When `meta` changed last.
    pub(crate) since: Duration,
    phase: Phase,
    /// The request for the next probe, if any.
    pub(crate) asked: Option<Ask>,
    pub(crate) due: ActionTimes,
    pub(crate) reign: Reign,
    /// The pause after failed work that nothing forces.
    pub(crate) rest: Rest,
}

/// The work under way.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// None: an event or a time comes first.
    Steady,
    /// No other work begins meanwhile.
    Working(PartitionWork),
    /// A change failed: the next probe follows a pause, or an event.
    Pausing { until: Duration, failures: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionWork {
    pub(crate) job: WorkId,
    pub(crate) kind: WorkKind,
    /// The leader, and its epoch, when the work began.
    pub(crate) leader: BrokerId,
    pub(crate) epoch: LeaderEpoch,
    /// Changes that failed in a row before it.
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// A probe of all replicas that may have to lead, or of the leader only.
    Observation { coverage: Coverage },
    /// A leadership transfer to that broker that the leader's state requires.
    Failover(BrokerId),
    /// A leadership transfer that nothing forces.
    Voluntary,
    /// A new epoch that waits for no append lock.
    Elect,
    /// Any other change.
    Change,
}

/// A phase; for work, its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Steady,
    Observing,
    Moving,
    Electing,
    Changing,
    Pausing,
}

/// The phases that may follow each phase.
pub(crate) const MAY_FOLLOW: [(Stage, &[Stage]); 6] = {
    use Stage::{Changing, Electing, Moving, Observing, Pausing, Steady};
    [
        (Steady, &[Observing, Changing]),
        (Observing, &[Steady, Observing, Moving, Electing, Changing]),
        (Moving, &[Steady, Observing, Changing]),
        (Electing, &[Steady, Observing, Changing, Pausing]),
        (Changing, &[Steady, Observing, Changing, Pausing]),
        (Pausing, &[Steady, Observing, Changing]),
    ]
};

/// A request for a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ask {
    pub(crate) coverage: Coverage,
    pub(crate) lock: AppendLockProbe,
}

/// Which replicas a probe covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Coverage {
    /// The leader's only.
    #[default]
    Leader,
    /// Every replica that may have to lead.
    Full,
}

/// Whether a probe tries the leader's append lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum AppendLockProbe {
    /// It leaves the lock alone.
    #[default]
    Skipped,
    /// It tries the lock.
    Tried,
}

/// When to act if nothing happens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ActionTimes {
    /// Probe the leader again.
    pub(crate) again: Option<Duration>,
    /// Probe the followers.
    pub(crate) followers: Option<Duration>,
    /// Begin work that nothing forces.
    pub(crate) reason: Option<Duration>,
}

/// What is known of the leader in its epoch.
#[derive(Debug)]
pub(crate) struct Reign {
    pub(crate) view: LeaderView,
    /// Its append lock was found held.
    pub(crate) watch: Option<WatchedLock>,
    /// The heartbeat of a process other than this controller that transfers the leadership, while
    /// the state page is sealed for that.
    pub(crate) others_move: Option<Stillness<u64>>,
    /// A replica is about to join as of that version of the topic file, since that time.
    pub(crate) joining: Option<(u64, Duration)>,
    pub(crate) lag: FollowerLag,
    pub(crate) failover: Failover,
    /// Whether a transfer or an election of this controller was to end it.
    ends_from_here: bool,
}

/// The result of the last probes of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaderView {
    /// Not yet seen with all its records, or found ineligible since.
    Unknown,
    /// Seen with all its records.
    Stands,
    /// The leader cannot be used, and no other replica can lead. Notified once.
    Leaderless,
}

/// A held append lock: the state page's sequence number and the holder's heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchedLock {
    pub(crate) since: Duration,
    pub(crate) seen: Stillness<(Option<u64>, u64)>,
}

/// Which followers keep up.
#[derive(Debug, Default)]
pub(crate) struct FollowerLag {
    /// The last probe of all: when, and the leader's log end.
    pub(crate) last: Option<(Duration, Offset)>,
    /// When each follower was last known to have all the leader's records.
    pub(crate) caught_up: Vec<(BrokerId, Duration)>,
}

/// Transfers away from a leader that should not lead.
#[derive(Debug)]
pub(crate) enum Failover {
    /// The transfers to these brokers failed.
    Tries(Vec<BrokerId>),
    /// All transfers failed: the leader's directory continues to serve.
    Rests(Duration),
}

/// The pause doubles with each failure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rest {
    pub(crate) until: Duration,
    pub(crate) length: Duration,
}

impl Partition {
    pub(crate) fn new(meta: PartitionMeta, now: Duration) -> Self {
        Partition {
            meta,
            since: now,
            phase: Phase::Steady,
            asked: Some(Ask::LEADER),
            due: ActionTimes::default(),
            reign: Reign::new(Failover::default()),
            rest: Rest::default(),
        }
    }

    /// Takes the partition's state from the topic file.
    pub(crate) fn update(&mut self, next: PartitionMeta, now: Duration) {
        let before = std::mem::replace(&mut self.meta, next);
        let next = &self.meta;
        self.since = now;
        let others = before.isr != next.isr
            || before.replicas != next.replicas
            || before.reassignment != next.reassignment;
        if (before.leader, before.leader_epoch) != (next.leader, next.leader_epoch) {
            self.begin_reign(before.leader);
        }
        if others {
            self.retry();
            let caught_up = &mut self.reign.lag.caught_up;
            caught_up.retain(|(b, _)| before.isr.contains(b));
        }
    }

    /// The one place that resets what is known of a leader in its epoch.
    fn begin_reign(&mut self, before: BrokerId) {
        let failover = std::mem::take(&mut self.reign.failover);
        let same = before == self.meta.leader;
        self.reign = Reign::new(if same { failover } else { Failover::default() });
        match &mut self.phase {
            Phase::Steady => {}
            Phase::Working(work) => work.failures = 0,
            Phase::Pausing { until, .. } => {
                self.due.again = Some(*until);
                self.enter(Phase::Steady);
            }
        }
    }

    /// Something changed: failed work may succeed now.
    pub(crate) fn retry(&mut self) {
        self.reign.failover = Failover::default();
        self.rest = Rest::default();
        if self.reign.view == LeaderView::Leaderless {
            self.ask(Ask::ALL.with(Ask::REPORTED));
        }
    }

    /// Adds a request to those for the next probe.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asked = Some(self.asked.unwrap_or_default().with(ask));
    }

    /// Whether a failure report says that the leader is unusable, and no probe followed.
    pub(crate) fn is_reported(&self) -> bool {
        self.asked
            .is_some_and(|ask| ask.lock == AppendLockProbe::Tried)
    }

    /// Whether a transfer or an election of this controller was to begin that epoch.
    pub(crate) fn was_to_begin(&self, epoch: LeaderEpoch) -> bool {
        self.reign.ends_from_here && epoch == self.meta.leader_epoch.saturating_add(1)
    }

    /// Whether there is anything to decide: a single replica has no alternative.
    pub(crate) fn is_replicated(&self) -> bool {
        self.meta.replicas.len() > 1 || self.meta.reassignment.is_some()
    }

    /// Whether no work is under way, and none failed just now.
    pub(crate) fn is_steady(&self) -> bool {
        matches!(self.phase, Phase::Steady)
    }

    /// The work under way.
    pub(crate) fn work(&self) -> Option<PartitionWork> {
        match self.phase {
            Phase::Working(work) => Some(work),
            Phase::Steady | Phase::Pausing { .. } => None,
        }
    }

    /// The work under way, if it is that job.
    pub(crate) fn work_of(&self, job: WorkId) -> Option<PartitionWork> {
        self.work().filter(|work| work.job == job)
    }

    /// The end of the pause after a failed change.
    pub(crate) fn pauses_until(&self) -> Option<Duration> {
        match self.phase {
            Phase::Pausing { until, .. } => Some(until),
            Phase::Steady | Phase::Working(_) => None,
        }
    }

    /// When to act if nothing happens.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Steady => self.due.first(),
            Phase::Working(_) => None,
            Phase::Pausing { until, .. } => Some(until),
        }
    }

    /// Begins work, when none is under way or it has just ended.
    pub(crate) fn begin(&mut self, job: WorkId, kind: WorkKind, now: Duration) {
        let failures = match self.phase {
            Phase::Steady => 0,
            Phase::Working(work) => work.failures,
            Phase::Pausing { until, failures } => {
                // The probe after the failure comes at that time anyway.
                self.due.again = Some(until).filter(|until| *until > now);
                failures
            }
        };
        match kind {
            WorkKind::Observation { .. } => (self.asked, self.due.again) = (None, None),
            WorkKind::Failover(_) | WorkKind::Voluntary | WorkKind::Elect => {
                self.reign.ends_from_here = true;
            }
            WorkKind::Change => {}
        }
        let (leader, epoch) = (self.meta.leader, self.meta.leader_epoch);
        self.enter(Phase::Working(PartitionWork {
            job,
            kind,
            leader,
            epoch,
            failures,
        }));
    }

    /// The work under way succeeded: the count of failures restarts.
    pub(crate) fn succeed(&mut self) {
        if let Phase::Working(work) = &mut self.phase {
            work.failures = 0;
        }
    }

    /// The change under way failed.
    pub(crate) fn pause(&mut self, until: Duration) {
        let failures = self.work().map_or(0, |work| work.failures) + 1;
        self.due.again = None;
        self.enter(Phase::Pausing { until, failures });
    }

    /// Ends that job, if no other work followed it.
    pub(crate) fn settle(&mut self, job: WorkId) {
        if self.work_of(job).is_some() {
            self.enter(Phase::Steady);
        }
    }

    /// Nothing is left to decide.
    pub(crate) fn retire(&mut self) {
        (self.asked, self.due) = (None, ActionTimes::default());
        if let Phase::Pausing { .. } = self.phase {
            self.enter(Phase::Steady);
        }
    }

    /// The one place where the phase changes.
    fn enter(&mut self, next: Phase) {
        let (from, to) = (self.phase.stage(), next.stage());
        debug_assert!(from.may_go_to(to), "{from:?} to {to:?}: {self:?}");
        #[cfg(test)]
        super::tests::walked(from, to);
        self.phase = next;
    }

    /// The replicas, in the order in which they are preferred as leaders.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let target = self.meta.reassignment.as_ref().map(|r| r.target.as_slice());
        let target = target.unwrap_or_default();
        let others = self.meta.replicas.iter().map(|r| r.broker);
        let others = others.filter(|broker| !target.contains(broker));
        let held = |broker: &BrokerId| self.meta.uuid_of(*broker).is_some();
        target.iter().copied().filter(held).chain(others)
    }
}

impl Phase {
    fn stage(self) -> Stage {
        match self {
            Phase::Steady => Stage::Steady,
            Phase::Pausing { .. } => Stage::Pausing,
            Phase::Working(work) => match work.kind {
                WorkKind::Observation { .. } => Stage::Observing,
                WorkKind::Failover(_) | WorkKind::Voluntary => Stage::Moving,
                WorkKind::Elect => Stage::Electing,
                WorkKind::Change => Stage::Changing,
            },
        }
    }
}

impl Stage {
    fn may_go_to(self, next: Stage) -> bool {
        let mut all = MAY_FOLLOW.iter();
        all.any(|(from, to)| *from == self && to.contains(&next))
    }
}

impl Ask {
    pub(crate) const LEADER: Ask = Ask {
        coverage: Coverage::Leader,
        lock: AppendLockProbe::Skipped,
    };
    pub(crate) const ALL: Ask = Ask {
        coverage: Coverage::Full,
        lock: AppendLockProbe::Skipped,
    };
    pub(crate) const REPORTED: Ask = Ask {
        coverage: Coverage::Leader,
        lock: AppendLockProbe::Tried,
    };

    /// Both requests.
    pub(crate) fn with(self, other: Ask) -> Ask {
        Ask {
            coverage: self.coverage.max(other.coverage),
            lock: self.lock.max(other.lock),
        }
    }
}

impl ActionTimes {
    /// Probe the leader again at that time at the latest.
    pub(crate) fn again_by(&mut self, at: Duration) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    fn first(self) -> Option<Duration> {
        let all = [self.again, self.followers, self.reason];
        all.into_iter().flatten().min()
    }
}

impl Reign {
    fn new(failover: Failover) -> Self {
        Reign {
            view: LeaderView::Unknown,
            watch: None,
            others_move: None,
            joining: None,
            lag: FollowerLag::default(),
            failover,
            ends_from_here: false,
        }
    }

    /// Whether the leader is unusable, or may turn out so: no unforced work begins then.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.view == LeaderView::Leaderless || self.watch.is_some()
    }

    /// The leader cannot be used, and no other replica can lead. Returns whether that is new.
    pub(crate) fn strand(&mut self) -> bool {
        self.watch = None;
        std::mem::replace(&mut self.view, LeaderView::Leaderless) != LeaderView::Leaderless
    }
}

impl Failover {
    /// The transfer to that broker failed.
    pub(crate) fn fail(&mut self, to: BrokerId) {
        match self {
            Failover::Tries(tried) => tried.push(to),
            Failover::Rests(_) => *self = Failover::Tries(vec![to]),
        }
    }

    /// Whether a transfer to that broker may be tried now.
    pub(crate) fn may_try(&self, to: BrokerId, now: Duration) -> bool {
        match self {
            Failover::Tries(tried) => !tried.contains(&to),
            Failover::Rests(until) => *until <= now,
        }
    }

    /// No broker is left to try. Returns whether any was tried.
    pub(crate) fn rest(&mut self, until: Duration) {
        if matches!(self, Failover::Tries(tried) if !tried.is_empty()) {
            *self = Failover::Rests(until);
        }
    }

    /// When to try again, if it rests.
    pub(crate) fn rests_until(&self, now: Duration) -> Option<Duration> {
        match self {
            Failover::Rests(until) => Some(*until).filter(|until| *until > now),
            Failover::Tries(_) => None,
        }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Failover::Tries(Vec::new())
    }
}
