//! What the controller knows, what happens, and what it wants done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::job::WorkId;
use super::leadership_transfer::LeadershipTransfer;
use super::partition::Partition;
use crate::partition::{Joining, Known};
use crate::store::{Reassignment, TopicMeta};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};

/// A broker, as the controller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLiveness {
    /// Whether its daemon runs and does not hang.
    pub alive: bool,
    /// Whether it was asked to lead nothing.
    pub drained: bool,
    /// How often its daemon was started: one that came and went between two looks is told by it.
    pub incarnation: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// All brokers there are.
    Brokers(BTreeMap<BrokerId, BrokerLiveness>),
    /// A topic file was read.
    Topic(TopicMeta, Rules),
    /// A topic is gone.
    TopicGone(TopicName),
    /// Replicas were looked at: the answer to each [`ProbeRequest`].
    Observed(Vec<ProbeResult>),
    /// Somebody could not use the leaders of these.
    Reported(Vec<TopicPartition>),
    /// Moves and changes ended.
    Ended(Vec<Ended>),
    /// Time passed.
    Tick,
}

/// Those of a topic's configs that decide something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `unclean.leader.election.enable`
    pub unclean: bool,
    /// `replica.lag.time.max.ms`
    pub lag_max: Duration,
}

/// What one partition's replicas looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// Who asked.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// What was seen of each broker that was to be looked at.
    pub replicas: Vec<(BrokerId, ReplicaSnapshot)>,
    /// The leader's append lock, if that was to be tried.
    pub lock: Lock,
}

/// A replica's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaSnapshot {
    /// It is not there, or its log directory is not.
    Gone,
    /// It is offline.
    Offline,
    /// Its disk fails: what it has is not known.
    BadDisk,
    /// It has a page that neither copy of is sound: whoever uses it next recovers it.
    Unreadable,
    /// It could not be looked at, which may be the looker's trouble.
    Failed,
    /// Its page.
    Page(PageSnapshot),
}

/// What counts of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSnapshot {
    /// The replica directory's id.
    pub uuid: Uuid,
    /// The page's number: it rises with each change.
    pub sequence: u64,
    /// Whether it is this boot's: else nobody recovered the log since.
    pub this_boot: bool,
    /// Whether nothing that it had was lost, as [`Known`] has it.
    pub whole: bool,
    /// The epoch that it is in.
    pub epoch: LeaderEpoch,
    /// Whether nothing is appended until the next epoch, after a recovery.
    pub sealed: bool,
    /// The heartbeat of its mover, if it is sealed for a move, of whoever's.
    pub moving: Option<u64>,
    /// Whether its disk is full.
    pub full: bool,
    /// Who is about to join the in-sync set: waited for already.
    pub joining: Vec<Joining>,
    /// Up to where an acknowledgement may count on it.
    pub acked: Offset,
    /// The epoch of its last batch.
    pub last_epoch: LeaderEpoch,
    /// Its log's end; of another boot's page, what is certainly there.
    pub end: Offset,
}

impl ReplicaSnapshot {
    /// The page's number, if there is a page.
    pub fn sequence(&self) -> Option<u64> {
        match self {
            ReplicaSnapshot::Page(page) => Some(page.sequence),
            _ => None,
        }
    }
}

impl PageSnapshot {
    /// How much of the log it has.
    pub fn known(&self) -> Known {
        Known {
            whole: self.whole,
            epoch: self.epoch,
            extent: (self.last_epoch, self.end),
        }
    }
}

/// An append lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Not tried.
    Untried,
    /// Nobody had it.
    Free,
    /// Somebody had it, whose heartbeat stood there.
    Held(u64),
}

/// A move or change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub job: WorkId,
    /// Of which partition.
    pub tp: TopicPartition,
    /// Whether it was done.
    pub done: bool,
}

/// What to do. The order of the parts says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Look, and come back with [`Event::ProbeResult`].
    pub observations: Vec<ProbeRequest>,
    /// Move, together and without waiting for it; come back with [`Event::Ended`].
    pub moves: Vec<PlannedMove>,
    /// Change topic files, all in one hold of the fenced lock; come back with [`Event::Ended`].
    pub changes: Vec<Change>,
    /// Tell people.
    pub notified: Vec<String>,
}

/// Look at replicas of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Goes into the answer.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// Its leader, who is among `brokers`.
    pub leader: BrokerId,
    /// Whose replicas.
    pub brokers: Vec<BrokerId>,
    /// Whether to try the leader's append lock.
    pub probe: bool,
}

/// A planned move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMove {
    /// Goes into the answer.
    pub job: WorkId,
    /// What to move.
    pub what: LeadershipTransfer,
    /// Why, in words that follow the name of the broker that led.
    pub why: &'static str,
}

/// A change of one partition in its topic file. It is made only if topic id, leader and epoch are
/// still these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Goes into the answer.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// The topic's id.
    pub topic_id: Uuid,
    /// Who leads it.
    pub leader: BrokerId,
    /// In which epoch.
    pub epoch: LeaderEpoch,
    /// What changes.
    pub kind: ChangeKind,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// These replica directories leave the in-sync set.
    TakeOut(Vec<(BrokerId, Uuid)>),
    /// Only the file's version: who was about to join as of an older one is waited for no more.
    Renew,
    /// The reassignment, if it is still this one, is finished.
    Finish(Reassignment),
    /// The fence: the next epoch, led by this one.
    Elect(Election),
}

/// A new epoch that waits for no append lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Who leads it: perhaps who led before.
    pub to: BrokerId,
    /// By which directory.
    pub uuid: Uuid,
    /// Who leaves the in-sync set with it.
    pub drop_from_isr: Vec<BrokerId>,
    /// Whether the new leader need not be in sync, and is the in-sync set then.
    pub unclean: bool,
    /// Why, for people.
    pub why: &'static str,
    /// What was seen of the leader that forces it, if it is the fence: it must be so still in the
    /// hold of the store's lock in which the election is made.
    pub forced: Option<Forced>,
}

/// What forces a leadership away without a planned move. Nothing else does: a leader whose directory
/// is sound and whose lock is free is never fenced, however late a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// The leader's directory is of no use, and why.
    DirectoryUnusable(&'static str),
    /// Its append lock is kept by a holder that does not beat: the page's number, if there was a page,
    /// and the heartbeat.
    LockKept(Option<u64>, u64),
}

/// All that the controller knows.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) brokers: Brokers,
    pub(crate) topics: BTreeMap<TopicName, Topic>,
    pub(crate) jobs: u64,
    /// Moves to preferred leaders that are under way.
    pub(crate) balancing: BTreeSet<WorkId>,
}

impl State {
    /// When something is to be done though nothing happened.
    pub fn due(&self) -> Option<Duration> {
        let topics = self.topics.values();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        partitions.filter_map(Partition::due).min()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Brokers(pub(crate) BTreeMap<BrokerId, Broker>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Broker {
    pub(crate) liveness: BrokerLiveness,
    /// Unchanged since.
    pub(crate) since: Duration,
}

impl Brokers {
    pub(crate) fn is_alive(&self, broker: BrokerId) -> bool {
        self.0.get(&broker).is_some_and(|b| b.liveness.alive)
    }

    pub(crate) fn is_drained(&self, broker: BrokerId) -> bool {
        self.0.get(&broker).is_some_and(|b| b.liveness.drained)
    }

    /// May be given a leadership that nothing forces.
    pub(crate) fn may_lead(&self, broker: BrokerId) -> bool {
        self.is_alive(broker) && !self.is_drained(broker)
    }

    pub(crate) fn since(&self, broker: BrokerId) -> Duration {
        self.0.get(&broker).map_or(Duration::MAX, |b| b.since)
    }
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) topic_id: Uuid,
    pub(crate) version: u64,
    pub(crate) rules: Rules,
    pub(crate) partitions: Vec<Partition>,
}
