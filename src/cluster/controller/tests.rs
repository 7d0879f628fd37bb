//! Tests of the rules, one by one; a simulation that they are checked in; and tests on files.

mod driver;
mod failover;
mod simulation;
mod stale;
mod upkeep;
mod walks;

use std::collections::BTreeMap;
use std::time::Duration;

use super::changes::apply;
use super::leadership_transfer::LeadershipTransfer;
use super::state::{
    BrokerLiveness, Change, ChangeKind, ControllerEvent, ControllerState, Effects, Ended, Forced,
    LeaderElection, Lock, PageSnapshot, ProbeResult, ReplicaSnapshot, Rules,
};
use super::step::step;
use super::work_id::WorkId;
use crate::partition::{Ahead, Extents, Joining};
use crate::store::{PartitionMeta, Reassignment, ReplicaMeta, TopicMeta};
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

pub(crate) use walks::walked;

fn uuid(broker: BrokerId) -> Uuid {
    Uuid([broker as u8 + 1; 16])
}

fn partition(replicas: &[BrokerId], leader: BrokerId, isr: &[BrokerId]) -> PartitionMeta {
    let replica = |b: &BrokerId| ReplicaMeta {
        broker: *b,
        uuid: uuid(*b),
    };
    PartitionMeta {
        partition: 0,
        leader,
        leader_epoch: 4,
        replicas: replicas.iter().map(replica).collect(),
        isr: isr.to_vec(),
        reassignment: None,
    }
}

fn page(broker: BrokerId, end: i64) -> PageSnapshot {
    PageSnapshot {
        uuid: uuid(broker),
        sequence: 7,
        this_boot: true,
        whole: true,
        epoch: 4,
        sealed: false,
        moving: None,
        full: false,
        joining: Vec::new(),
        acked: end,
        last_epoch: 4,
        end,
    }
}

/// No replica has more than another.
struct Nobody;

impl Extents for Nobody {
    fn ahead_of(&self, _: &TopicPartition, _: &PartitionMeta, _: BrokerId) -> Option<Ahead> {
        None
    }
}

/// One topic, whose probes are answered at once.
struct Bench {
    state: ControllerState,
    now: Duration,
    brokers: BTreeMap<BrokerId, BrokerLiveness>,
    topic: TopicMeta,
    rules: Rules,
    observations: BTreeMap<BrokerId, ReplicaSnapshot>,
    lock: Lock,
    observed: usize,
    /// Notices about the changes of other processes.
    change_notes: Vec<String>,
}

const UP: BrokerLiveness = BrokerLiveness {
    alive: true,
    drained: false,
    incarnation: 1,
};
const DOWN: BrokerLiveness = BrokerLiveness {
    alive: false,
    drained: false,
    incarnation: 1,
};
const DRAINED: BrokerLiveness = BrokerLiveness {
    alive: true,
    drained: true,
    incarnation: 1,
};

impl Bench {
    /// Brokers 1 to 4, all alive and sound; in office.
    fn new(partition: PartitionMeta) -> Self {
        Bench::with(vec![partition])
    }

    fn with(mut partitions: Vec<PartitionMeta>) -> Self {
        for (at, partition) in partitions.iter_mut().enumerate() {
            partition.partition = at as i32;
        }
        let mut bench = Bench {
            state: ControllerState::default(),
            now: Duration::from_secs(1000),
            brokers: (1..=4).map(|b| (b, UP)).collect(),
            topic: TopicMeta {
                name: TopicName::new("t").unwrap(),
                topic_id: Uuid([9; 16]),
                version: 1,
                explicit: BTreeMap::new(),
                partitions,
                retired: Vec::new(),
            },
            rules: Rules {
                unclean: false,
                lag_max: Duration::from_secs(30),
            },
            observations: (1..=4)
                .map(|b| (b, ReplicaSnapshot::Page(page(b, 10))))
                .collect(),
            lock: Lock::Free,
            observed: 0,
            change_notes: Vec::new(),
        };
        let nothing = bench.see_brokers();
        assert_eq!(nothing, Effects::default());
        bench
    }

    /// In office, with nothing to do.
    fn quiet(partition: PartitionMeta) -> Self {
        let mut bench = Bench::new(partition);
        assert_eq!(bench.see_topic(), Effects::default());
        bench
    }

    fn feed(&mut self, event: ControllerEvent) -> Effects {
        let (state, mut all) = step(std::mem::take(&mut self.state), event, self.now);
        self.state = state;
        let mut rounds = 0;
        while !all.observations.is_empty() {
            rounds += 1;
            assert!(
                rounds < 100,
                "looked at again and again: {:?}",
                all.observations
            );
            let observations = std::mem::take(&mut all.observations);
            self.observed += observations
                .iter()
                .map(|at| at.brokers.len())
                .sum::<usize>();
            let answers = observations.into_iter().map(|at| ProbeResult {
                job: at.job,
                tp: at.tp,
                replicas: at
                    .brokers
                    .iter()
                    .map(|b| (*b, self.observations[b].clone()))
                    .collect(),
                lock: if at.probe { self.lock } else { Lock::Untried },
            });
            let event = ControllerEvent::Observed(answers.collect());
            let (state, more) = step(std::mem::take(&mut self.state), event, self.now);
            self.state = state;
            all.observations.extend(more.observations);
            all.moves.extend(more.moves);
            all.changes.extend(more.changes);
            all.notified.extend(more.notified);
        }
        all
    }

    fn see_brokers(&mut self) -> Effects {
        self.feed(ControllerEvent::Brokers(self.brokers.clone()))
    }

    fn see_topic(&mut self) -> Effects {
        let mut effects = self.feed(ControllerEvent::Topic(self.topic.clone(), self.rules));
        let is_change = |text: &mut String| text.contains("reassign") || text.contains("was given");
        self.change_notes
            .extend(effects.notified.extract_if(.., is_change));
        effects
    }

    fn broker(&mut self, broker: BrokerId, liveness: BrokerLiveness) -> Effects {
        self.brokers.insert(broker, liveness);
        self.see_brokers()
    }

    fn report(&mut self) -> Effects {
        let tp = TopicPartition::new(self.topic.name.clone(), 0);
        self.feed(ControllerEvent::Reported(vec![tp]))
    }

    /// Time passes, and what falls due is done.
    fn pass(&mut self, time: Duration) -> Effects {
        let until = self.now + time;
        let mut all = Effects::default();
        let mut turns = 0;
        while let Some(due) = self.state.due().filter(|due| *due <= until) {
            turns += 1;
            assert!(turns < 1000, "due again and again at {:?}", self.now);
            self.now = self.now.max(due);
            let more = self.feed(ControllerEvent::Tick);
            all.moves.extend(more.moves);
            all.changes.extend(more.changes);
            all.notified.extend(more.notified);
            if all != Effects::default() {
                return all;
            }
        }
        self.now = until;
        all
    }

    fn fail(&mut self, job: WorkId) -> Effects {
        self.end(job, false)
    }

    fn end(&mut self, job: WorkId, done: bool) -> Effects {
        let tp = TopicPartition::new(self.topic.name.clone(), 0);
        self.feed(ControllerEvent::Ended(vec![Ended { job, tp, done }]))
    }

    /// Makes the change and reports its end; returns what follows.
    fn make(&mut self, change: &Change) -> Effects {
        assert!(apply(&Nobody, &mut self.topic, change), "{change:?}");
        self.topic.version += 1;
        assert_eq!(self.see_topic(), Effects::default());
        self.end(change.job, true)
    }

    /// Makes the transfer.
    fn carry(&mut self, job: WorkId, what: &LeadershipTransfer) -> Effects {
        let partition = &mut self.topic.partitions[what.tp.partition as usize];
        assert_eq!(what.from, partition.leader);
        assert_eq!(what.epoch, partition.leader_epoch);
        assert!(partition.isr.contains(&what.to));
        partition.leader = what.to;
        partition.leader_epoch += 1;
        partition.isr.retain(|b| !what.drop_from_isr.contains(b));
        assert_eq!(self.see_topic(), Effects::default());
        let tp = what.tp.clone();
        let done = true;
        self.feed(ControllerEvent::Ended(vec![Ended { job, tp, done }]))
    }
}

#[track_caller]
fn one_move(effects: &Effects) -> (WorkId, &LeadershipTransfer) {
    assert_eq!(effects.moves.len(), 1, "{effects:?}");
    assert_eq!(effects.changes, [], "{effects:?}");
    (effects.moves[0].job, &effects.moves[0].what)
}

#[track_caller]
fn one_change(effects: &Effects) -> &Change {
    assert_eq!(effects.changes.len(), 1, "{effects:?}");
    assert_eq!(effects.moves, [], "{effects:?}");
    &effects.changes[0]
}

#[track_caller]
fn election(effects: &Effects) -> &LeaderElection {
    match &one_change(effects).kind {
        ChangeKind::Elect(election) => election,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn taken_out(effects: &Effects) -> Vec<BrokerId> {
    match &one_change(effects).kind {
        ChangeKind::TakeOut(out) => out.iter().map(|(b, _)| *b).collect(),
        other => panic!("{other:?}"),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
