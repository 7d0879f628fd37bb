//! What the controller knows, which events it handles, and which effects it requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::leadership_transfer::LeadershipTransfer;
use super::partition::Partition;
use super::work_id::WorkId;
use crate::partition::{Joining, Known};
use crate::store::{Reassignment, TopicConfigs, TopicMeta};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};

/// A broker, as the controller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLiveness {
    /// Whether its daemon runs and does not hang.
    pub alive: bool,
    /// Whether a user asked that it lead nothing.
    pub drained: bool,
    /// How often its daemon was started: this reveals a daemon that came and went between two
    /// probes.
    pub incarnation: u64,
}

/// What happened.
#[derive(Debug)]
pub enum ControllerEvent {
    /// All registered brokers.
    Brokers(BTreeMap<BrokerId, BrokerLiveness>),
    /// A topic file was read.
    Topic(TopicMeta, Rules),
    /// A topic is gone.
    TopicGone(TopicName),
    /// Replicas were probed: the answer to each [`ProbeRequest`].
    Observed(Vec<ProbeResult>),
    /// Failure reports say that the leaders of these cannot be used.
    Reported(Vec<TopicPartition>),
    /// Transfers and changes ended.
    Ended(Vec<Ended>),
    /// Time passed.
    Tick,
}

/// The topic configs that decide something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `unclean.leader.election.enable`
    pub unclean: bool,
    /// `replica.lag.time.max.ms`
    pub lag_max: Duration,
}

/// The snapshots of one partition's replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// The job that requested it.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// The snapshot of each requested broker.
    pub replicas: Vec<(BrokerId, ReplicaSnapshot)>,
    /// The leader's append lock, if the probe was to try it.
    pub lock: Lock,
}

/// The state of a replica's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaSnapshot {
    /// It is missing, or its log directory is.
    Gone,
    /// It is offline.
    Offline,
    /// Its disk fails: its records are unknown.
    BadDisk,
    /// Neither copy of its state page is sound: its next user recovers it.
    Unreadable,
    /// It could not be probed, perhaps for a reason on the prober's side.
    Failed,
    /// Its state page.
    Page(PageSnapshot),
}

/// The relevant content of a state page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSnapshot {
    /// The replica directory's id.
    pub uuid: Uuid,
    /// The state page's sequence number: it rises with each change.
    pub sequence: u64,
    /// Whether it was written in this boot: if not, the log was not recovered since.
    pub this_boot: bool,
    /// Whether the replica lost none of its records, as [`Known`] defines it.
    pub whole: bool,
    /// The epoch that it is in.
    pub epoch: LeaderEpoch,
    /// Whether nothing is appended until the next epoch, after a recovery.
    pub sealed: bool,
    /// The heartbeat of the process that transfers the leadership, if the log is sealed for that.
    pub moving: Option<u64>,
    /// Whether its disk is full.
    pub full: bool,
    /// The replicas about to join the ISR: the high watermark already waits for them.
    pub joining: Vec<Joining>,
    /// Up to where an acknowledgement may count on it.
    pub acked: Offset,
    /// The epoch of its last batch.
    pub last_epoch: LeaderEpoch,
    /// Its log end; for a state page of another boot, the end that is certain.
    pub end: Offset,
}

impl ReplicaSnapshot {
    /// The state page's sequence number, if there is a state page.
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
    /// No process held it.
    Free,
    /// A process held it, with that heartbeat.
    Held(u64),
}

/// A transfer or change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The job.
    pub job: WorkId,
    /// Of which partition.
    pub tp: TopicPartition,
    /// Whether it succeeded.
    pub done: bool,
}

/// The effects to carry out, in any order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Probe, and answer with [`ControllerEvent::Observed`].
    pub observations: Vec<ProbeRequest>,
    /// Transfer, together and without waiting; answer with [`ControllerEvent::Ended`].
    pub moves: Vec<PlannedMove>,
    /// Change topic files, all in one metadata update; answer with [`ControllerEvent::Ended`].
    pub changes: Vec<Change>,
    /// Notices for users.
    pub notified: Vec<String>,
}

/// Probe replicas of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Repeated in the answer.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// Its leader, which is among `brokers`.
    pub leader: BrokerId,
    /// The brokers whose replicas are probed.
    pub brokers: Vec<BrokerId>,
    /// Whether to try the leader's append lock.
    pub probe: bool,
}

/// Up to where a leader's log is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckedUpTo {
    /// An acknowledgement waits for no sync.
    LogEnd,
    /// An acknowledgement counts synced bytes only.
    DurableOffset,
}

impl AckedUpTo {
    /// As a topic's configs say.
    pub fn of(configs: &TopicConfigs) -> Self {
        if configs.every_message() {
            AckedUpTo::DurableOffset
        } else {
            AckedUpTo::LogEnd
        }
    }
}

/// A leadership transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMove {
    /// Repeated in the answer.
    pub job: WorkId,
    /// The transfer.
    pub what: LeadershipTransfer,
    /// Why, in words that follow the name of the former leader.
    pub why: &'static str,
}

/// A change of one partition in its topic file. It is made only if topic id, leader and epoch are
/// still these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Repeated in the answer.
    pub job: WorkId,
    /// The partition.
    pub tp: TopicPartition,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The leader.
    pub leader: BrokerId,
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// What changes.
    pub kind: ChangeKind,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// These replica directories leave the ISR.
    TakeOut(Vec<(BrokerId, Uuid)>),
    /// Only the file's version: a replica about to join as of an older version is no longer waited
    /// for.
    Renew,
    /// The reassignment, if it is still this one, is complete.
    Finish(Reassignment),
    /// The next epoch, led by this broker.
    Elect(LeaderElection),
}

/// A new epoch that waits for no append lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// The elected leader, possibly the former one.
    pub to: BrokerId,
    /// Its replica directory.
    pub uuid: Uuid,
    /// The brokers that leave the ISR with it.
    pub drop_from_isr: Vec<BrokerId>,
    /// Whether the new leader need not be in sync, and becomes the whole ISR.
    pub unclean: bool,
    /// Why, for users.
    pub why: &'static str,
    /// For a forced failover, what was seen of the leader: it must still hold in the critical
    /// section in which the election is made.
    pub forced: Option<Forced>,
}

/// The causes that force a failover. Nothing else does: a leader whose directory is sound and whose
/// lock is free is never fenced, however late a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// The leader's directory is ineligible, and why.
    DirectoryUnusable(&'static str),
    /// Its append lock is held without a moving heartbeat: the state page's sequence number, if
    /// there was a state page, and the heartbeat.
    LockKept(Option<u64>, u64),
}

/// All that the controller knows.
#[derive(Debug, Default)]
pub struct ControllerState {
    pub(crate) brokers: Brokers,
    pub(crate) topics: BTreeMap<TopicName, ControlledTopic>,
    pub(crate) jobs: u64,
    /// Transfers to preferred leaders that are under way.
    pub(crate) balancing: BTreeSet<WorkId>,
}

impl ControllerState {
    /// When to act if nothing happens.
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
    /// When it changed last.
    pub(crate) since: Duration,
}

impl Brokers {
    pub(crate) fn is_alive(&self, broker: BrokerId) -> bool {
        self.0.get(&broker).is_some_and(|b| b.liveness.alive)
    }

    pub(crate) fn is_drained(&self, broker: BrokerId) -> bool {
        self.0.get(&broker).is_some_and(|b| b.liveness.drained)
    }

    /// Whether a broker may be given a leadership that nothing forces.
    pub(crate) fn may_lead(&self, broker: BrokerId) -> bool {
        self.is_alive(broker) && !self.is_drained(broker)
    }

    pub(crate) fn since(&self, broker: BrokerId) -> Duration {
        self.0.get(&broker).map_or(Duration::MAX, |b| b.since)
    }
}

#[derive(Debug)]
pub(crate) struct ControlledTopic {
    pub(crate) name: TopicName,
    pub(crate) topic_id: Uuid,
    pub(crate) version: u64,
    pub(crate) rules: Rules,
    pub(crate) partitions: Vec<Partition>,
}
