//! What the controller knows of one partition: what is under way for it, what is known of its
//! leader in its epoch, and when something is due.
//!
//! # What is under way
//!
//! One thing at a time ([`Phase`]). What may follow what, as [`MAY_FOLLOW`] has it:
//!
//! | | steady | looking | moving | electing | changing | pausing |
//! |---|---|---|---|---|---|---|
//! | **steady** | | yes | | | yes | |
//! | **looking** | yes | yes | yes | yes | yes | |
//! | **moving** | yes | yes | | | yes | |
//! | **electing** | yes | yes | | | yes | yes |
//! | **changing** | yes | yes | | | yes | yes |
//! | **pausing** | yes | yes | | | yes | |
//!
//! - A move and an election follow a look, and nothing else.
//! - A pause follows a change or an election that failed, and nothing else. It goes on to steady
//!   only where nothing is left of it: in a new epoch, or if there is one replica.
//! - Failures are counted from one change to the next. The row ends where nothing is left to do.
//!
//! # What goes together
//!
//! - What is wanted of the next look ([`Ask`]) may come at any time, and waits for what is under way.
//! - A time ([`Due`]) counts while steady only. A pause has its own, and nothing else is due in it.
//! - What is known of the leader ([`Reign`]) is made new with each leader and epoch. It takes along
//!   only to whom the same leader's leadership could not be moved: the undoing of a seal is an epoch.
//! - A leader stands, or strands its partition, or neither is known ([`View`]), never two of them. Its
//!   append lock may be watched in each.
//! - A wish, which nothing forces, is none while the leader strands its partition or its lock is
//!   watched: it could not be fulfilled, and would be asked for again at once.
//! - A failover tries one stand-in after the other, or rests ([`Failover`]).

use std::time::Duration;

use super::job::WorkId;
use crate::store::{PartitionMeta, Stillness};
use crate::types::{BrokerId, LeaderEpoch, Offset};

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) meta: PartitionMeta,
    /// `meta` unchanged since.
    pub(crate) since: Duration,
    phase: Phase,
    /// What is wanted of the next look, if one is wanted.
    pub(crate) asked: Option<Ask>,
    pub(crate) due: Due,
    pub(crate) reign: Reign,
    /// Pause after failures of what nothing forces.
    pub(crate) rest: Rest,
}

/// What is under way.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Nothing: something happens or becomes due first.
    Steady,
    /// Nothing else is begun meanwhile.
    Working(Work),
    /// A change failed: it is looked at again after a pause, or once something happens.
    Pausing { until: Duration, failures: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) job: WorkId,
    pub(crate) kind: WorkKind,
    /// The leader, and its epoch, as of when it began.
    pub(crate) leader: BrokerId,
    pub(crate) epoch: LeaderEpoch,
    /// Changes that failed in a row before it.
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// At all that may have to lead, or at the leader only.
    Observation { all: bool },
    /// The leadership is moved to that broker, as it must be.
    Failover(BrokerId),
    /// The same, as it had better be.
    Voluntary,
    /// A new epoch that waits for no append lock.
    Elect,
    /// Any other change.
    Change,
}

/// A phase, and of work its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Steady,
    Observing,
    Moving,
    Electing,
    Changing,
    Pausing,
}

/// What may follow what.
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

/// What is wanted of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ask {
    /// At all that may have to lead, not at the leader only.
    pub(crate) all: bool,
    /// With the leader's append lock.
    pub(crate) probe: bool,
}

/// When something is to be done though nothing happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Due {
    /// The leader is to be looked at again.
    pub(crate) again: Option<Duration>,
    /// Followers are to be looked at.
    pub(crate) followers: Option<Duration>,
    /// Something that nothing forces may be begun.
    pub(crate) reason: Option<Duration>,
}

/// What is known of the leader in its epoch.
#[derive(Debug)]
pub(crate) struct Reign {
    pub(crate) view: View,
    /// Its append lock was found held.
    pub(crate) watch: Option<Watch>,
    /// The heartbeat of a mover that is not this controller, while its page is seen sealed for that.
    pub(crate) others_move: Option<Stillness<u64>>,
    /// Somebody is seen about to join as of that version of the topic file, since then.
    pub(crate) joining: Option<(u64, Duration)>,
    pub(crate) lag: Lag,
    pub(crate) failover: Failover,
    /// Whether a move or an election from here was to end it.
    ends_from_here: bool,
}

/// What the last looks at the leader came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Not seen with all that it had, or found of no use since.
    Unknown,
    /// Seen with all that it had.
    Stands,
    /// It cannot be used, and no other can lead. Told once.
    Leaderless,
}

/// An append lock that is held: the page's sequence number and the holder's heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    pub(crate) since: Duration,
    pub(crate) seen: Stillness<(Option<u64>, u64)>,
}

/// Which followers keep up.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// The last look at all: when, and the leader's log end.
    pub(crate) last: Option<(Duration, Offset)>,
    /// When each was known to have all that the leader had.
    pub(crate) caught_up: Vec<(BrokerId, Duration)>,
}

/// Moves away from a leader that had better not lead.
#[derive(Debug)]
pub(crate) enum Failover {
    /// It could not be moved to these.
    Tries(Vec<BrokerId>),
    /// It could not be moved to anyone: the leader's directory serves on.
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
            due: Due::default(),
            reign: Reign::new(Failover::default()),
            rest: Rest::default(),
        }
    }

    /// It is as the topic file has it now.
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

    /// The one place where what is known of a leader in its epoch is made new.
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

    /// What failed may succeed now: something changed.
    pub(crate) fn retry(&mut self) {
        self.reign.failover = Failover::default();
        self.rest = Rest::default();
        if self.reign.view == View::Leaderless {
            let (all, probe) = (true, true);
            self.ask(Ask { all, probe });
        }
    }

    /// That is wanted of the next look, beside what is wanted already.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asked = Some(self.asked.unwrap_or_default().with(ask));
    }

    /// Whether somebody could not use the leader, and it was not looked at since.
    pub(crate) fn is_reported(&self) -> bool {
        self.asked.is_some_and(|ask| ask.probe)
    }

    /// Whether a move or an election from here was to begin that epoch.
    pub(crate) fn was_to_begin(&self, epoch: LeaderEpoch) -> bool {
        self.reign.ends_from_here && epoch == self.meta.leader_epoch.saturating_add(1)
    }

    /// Whether there is anything to decide: one replica has nobody to give the leadership to.
    pub(crate) fn is_replicated(&self) -> bool {
        self.meta.replicas.len() > 1 || self.meta.reassignment.is_some()
    }

    /// Whether nothing is under way, nor failed just now.
    pub(crate) fn is_steady(&self) -> bool {
        matches!(self.phase, Phase::Steady)
    }

    /// What is under way.
    pub(crate) fn work(&self) -> Option<Work> {
        match self.phase {
            Phase::Working(work) => Some(work),
            Phase::Steady | Phase::Pausing { .. } => None,
        }
    }

    /// What is under way, if it is that job.
    pub(crate) fn work_of(&self, job: WorkId) -> Option<Work> {
        self.work().filter(|work| work.job == job)
    }

    /// Until when it pauses after a change that failed.
    pub(crate) fn pauses_until(&self) -> Option<Duration> {
        match self.phase {
            Phase::Pausing { until, .. } => Some(until),
            Phase::Steady | Phase::Working(_) => None,
        }
    }

    /// When something is to be done though nothing happened.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Steady => self.due.first(),
            Phase::Working(_) => None,
            Phase::Pausing { until, .. } => Some(until),
        }
    }

    /// Begins something, where nothing is under way, or what was ended just now.
    pub(crate) fn begin(&mut self, job: WorkId, kind: WorkKind, now: Duration) {
        let failures = match self.phase {
            Phase::Steady => 0,
            Phase::Working(work) => work.failures,
            Phase::Pausing { until, failures } => {
                // What failed is looked at then all the same.
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
        self.enter(Phase::Working(Work {
            job,
            kind,
            leader,
            epoch,
            failures,
        }));
    }

    /// What is under way was done: failures before it count no more.
    pub(crate) fn succeed(&mut self) {
        if let Phase::Working(work) = &mut self.phase {
            work.failures = 0;
        }
    }

    /// The change that is under way failed.
    pub(crate) fn pause(&mut self, until: Duration) {
        let failures = self.work().map_or(0, |work| work.failures) + 1;
        self.due.again = None;
        self.enter(Phase::Pausing { until, failures });
    }

    /// That job is over, if nothing followed it.
    pub(crate) fn settle(&mut self, job: WorkId) {
        if self.work_of(job).is_some() {
            self.enter(Phase::Steady);
        }
    }

    /// Nothing is to be decided any more.
    pub(crate) fn retire(&mut self) {
        (self.asked, self.due) = (None, Due::default());
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
        all: false,
        probe: false,
    };
    pub(crate) const ALL: Ask = Ask {
        all: true,
        probe: false,
    };
    pub(crate) const REPORTED: Ask = Ask {
        all: false,
        probe: true,
    };

    /// Both.
    pub(crate) fn with(self, other: Ask) -> Ask {
        Ask {
            all: self.all || other.all,
            probe: self.probe || other.probe,
        }
    }
}

impl Due {
    /// The leader is to be looked at again then at the latest.
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
            view: View::Unknown,
            watch: None,
            others_move: None,
            joining: None,
            lag: Lag::default(),
            failover,
            ends_from_here: false,
        }
    }

    /// Whether it cannot be used, or may turn out so: nothing is begun then that nothing forces.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.view == View::Leaderless || self.watch.is_some()
    }

    /// The leader cannot be used, and no other can lead. Whether that is new.
    pub(crate) fn strand(&mut self) -> bool {
        self.watch = None;
        std::mem::replace(&mut self.view, View::Leaderless) != View::Leaderless
    }
}

impl Failover {
    /// It could not be moved there.
    pub(crate) fn fail(&mut self, to: BrokerId) {
        match self {
            Failover::Tries(tried) => tried.push(to),
            Failover::Rests(_) => *self = Failover::Tries(vec![to]),
        }
    }

    /// Whether it may be moved there now.
    pub(crate) fn may_try(&self, to: BrokerId, now: Duration) -> bool {
        match self {
            Failover::Tries(tried) => !tried.contains(&to),
            Failover::Rests(until) => *until <= now,
        }
    }

    /// Nobody is left to be tried. Whether anyone was.
    pub(crate) fn rest(&mut self, until: Duration) {
        if matches!(self, Failover::Tries(tried) if !tried.is_empty()) {
            *self = Failover::Rests(until);
        }
    }

    /// When it may be tried again, if it rests.
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
