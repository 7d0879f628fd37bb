//! Elections that a user requests.
//!
//! 1. A preferred leader gets its leadership by a leadership transfer: no records are lost.
//! 2. An unclean election is for a partition that no in-sync replica can lead. The records that the
//!    elected replica lacks are lost, so it is the live replica with the most log, unless the user
//!    names one.
//! 3. It is a forced failover: the topic file names the new leader, alone in the ISR, in the next
//!    epoch, if it still names the leader and the epoch that the plan was made on.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::changes::apply;
use super::leadership_transfer::LeadershipTransfer;
use super::replica_snapshot::SnapshotReader;
use super::state::{
    AckedUpTo, Change, ChangeKind, LeaderElection, PageSnapshot, ProbeRequest, ProbeResult,
    ReplicaSnapshot,
};
use super::work_id::WorkId;
use crate::error::{Error, Kind, Result};
use crate::partition::{InSync, until_answered};
use crate::store::topics::topic_file;
use crate::store::{FencedLock, Liveness, PartitionMeta, StoreDir, TopicHandle, TopicMeta};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// The transfer that gives a partition to its preferred leader; `None` if that leads it already.
///
/// # Errors
/// [`Kind::BrokerState`] if the preferred leader cannot lead it now.
pub fn move_to_preferred(
    store: &StoreDir,
    liveness: &Liveness,
    meta: &TopicMeta,
    partition: &PartitionMeta,
) -> Result<Option<LeadershipTransfer>> {
    let tp = TopicPartition::new(meta.name.clone(), partition.partition);
    let to = partition.preferred_leader();
    if to == partition.leader {
        return Ok(None);
    }
    let refused = |why: &str, cure: String| {
        let text = format!(
            "PREFERRED_LEADER_NOT_AVAILABLE: {tp} stays with broker {}: its preferred leader, \
             broker {to}, {why}",
            partition.leader
        );
        Err(Error::new(Kind::BrokerState, text).cure(cure))
    };
    if !liveness.is_alive(to) {
        return refused("does not run", format!("mq-broker start --id {to}"));
    }
    if !partition.is_in_sync(to) {
        let cure = format!(
            "'mq-topics describe {}' shows how far behind it is",
            meta.name
        );
        return refused("is not in sync", cure);
    }
    if store.broker_file(to)?.drained {
        return refused("is drained", format!("mq-broker drain {to} --undo"));
    }
    Ok(Some(LeadershipTransfer {
        tp,
        topic_id: meta.topic_id,
        from: partition.leader,
        epoch: partition.leader_epoch,
        to,
        drop_from_isr: Vec::new(),
    }))
}

/// An unclean election that may be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncleanElection {
    /// Of which partition.
    pub tp: TopicPartition,
    /// The leader, which cannot lead.
    pub from: BrokerId,
    /// The broker to elect.
    pub to: BrokerId,
    /// The epoch that it will lead in.
    pub epoch: LeaderEpoch,
    /// Its log end: records of others from that offset on are lost.
    pub log_end_offset: Offset,
    change: Change,
}

/// Plans an unclean election: of the broker `to`, else of the live replica with the most log.
///
/// # Errors
/// [`Kind::BrokerState`] if an in-sync replica can lead, or no replica can; [`Kind::UnknownTopic`];
/// errors of probing replicas.
pub fn plan_unclean(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    to: Option<BrokerId>,
) -> Result<UncleanElection> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    let partition = topic.partition(tp.partition)?;
    if to.is_some_and(|to| partition.uuid_of(to).is_none()) {
        return Err(nobody(tp, partition, to));
    }
    let liveness = Liveness::new(store);
    let mut reader = SnapshotReader::new(store);
    let observed = reader.observe(
        &ProbeRequest {
            job: WorkId(0),
            tp: tp.clone(),
            leader: partition.leader,
            brokers: partition.replicas.iter().map(|r| r.broker).collect(),
            probe: false,
        },
        AckedUpTo::of(topic.configs()),
    );
    let assessment = Assessed {
        partition,
        observed,
    };
    for broker in &partition.isr {
        let leads = *broker == partition.leader;
        // A leader's directory serves without its daemon, too.
        if !leads && !liveness.is_alive(*broker) {
            continue;
        }
        if matches!(assessment.of(*broker), Some(ReplicaSnapshot::Failed)) {
            return Err(reader.trouble.unwrap_or_else(|| {
                let text = format!("the replica of {tp} on broker {broker} cannot be examined");
                Error::new(Kind::BrokerState, text)
            }));
        }
        if assessment.page(*broker).is_some()
            || matches!(assessment.of(*broker), Some(ReplicaSnapshot::Unreadable))
        {
            let usable = match leads {
                false => Usable::Follower,
                true if liveness.is_alive(*broker) => Usable::Leader,
                true => Usable::LeaderWithoutDaemon,
            };
            return Err(not_needed(tp, *broker, usable));
        }
    }
    let fit = |broker: &BrokerId| *broker != partition.leader && liveness.is_alive(*broker);
    let found = partition.replicas.iter().map(|r| r.broker).enumerate();
    let best = found
        .filter(|(_, broker)| fit(broker) && to.is_none_or(|to| to == *broker))
        .filter_map(|(at, broker)| {
            let page = assessment.page(broker)?;
            Some(((page.last_epoch, page.end, Reverse(at)), broker, page))
        })
        .max_by_key(|(key, ..)| *key);
    let Some((_, broker, page)) = best else {
        return Err(nobody(tp, partition, to));
    };
    let election = LeaderElection {
        to: broker,
        uuid: page.uuid,
        drop_from_isr: Vec::new(),
        unclean: true,
        why: "by request",
        forced: None,
    };
    Ok(UncleanElection {
        tp: tp.clone(),
        from: partition.leader,
        to: broker,
        epoch: partition.leader_epoch.saturating_add(1),
        log_end_offset: page.end,
        change: Change {
            job: WorkId(0),
            tp: tp.clone(),
            topic_id: topic.meta().topic_id,
            leader: partition.leader,
            epoch: partition.leader_epoch,
            kind: ChangeKind::Elect(election),
        },
    })
}

/// Holds the election.
///
/// # Errors
/// [`Kind::Fenced`] if the leader or its epoch changed since the plan was made; [`Kind::Busy`].
pub fn elect_unclean(
    store: &Arc<StoreDir>,
    election: &UncleanElection,
    timeout: Duration,
) -> Result<()> {
    let tp = &election.tp;
    let names = std::slice::from_ref(&tp.topic);
    let changed = until_answered(store, timeout, || {
        let guard = FencedLock::acquire_store(store, "elect a leader", timeout)?;
        topic_file::update_all(store, &guard, names, |meta| {
            Ok(apply(&InSync::new(store), meta, &election.change))
        })
    })?;
    if changed.is_empty() {
        let text = format!("the leadership of {tp} changed meanwhile");
        return Err(Error::new(Kind::Fenced, text)
            .cure(format!("'mq-topics describe {}' shows it", tp.topic)));
    }
    Ok(())
}

/// The snapshot of a partition's replicas.
struct Assessed<'a> {
    partition: &'a PartitionMeta,
    observed: ProbeResult,
}

impl Assessed<'_> {
    fn of(&self, broker: BrokerId) -> Option<&ReplicaSnapshot> {
        let mut replicas = self.observed.replicas.iter();
        replicas
            .find(|(id, _)| *id == broker)
            .map(|(_, observe)| observe)
    }

    /// The state page of the replica directory that the topic file names.
    fn page(&self, broker: BrokerId) -> Option<&PageSnapshot> {
        match self.of(broker) {
            Some(ReplicaSnapshot::Page(page))
                if self.partition.uuid_of(broker) == Some(page.uuid) =>
            {
                Some(page)
            }
            _ => None,
        }
    }
}

/// A replica for whose sake no unclean election is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usable {
    /// The leader, whose daemon runs.
    Leader,
    /// The leader, whose daemon does not run.
    LeaderWithoutDaemon,
    /// A follower that is in sync.
    Follower,
}

fn not_needed(tp: &TopicPartition, broker: BrokerId, usable: Usable) -> Error {
    let text = match usable {
        Usable::Leader | Usable::LeaderWithoutDaemon => {
            format!("the leader of {tp}, broker {broker}, can be used")
        }
        Usable::Follower => format!("broker {broker} is in sync, and can lead {tp}"),
    };
    let cure = match usable {
        Usable::Leader => format!(
            "'mq-broker elect preferred {}' and 'mq-broker drain {broker}' move leaders without loss",
            tp.topic
        ),
        Usable::LeaderWithoutDaemon => {
            format!("its directory serves without its daemon; 'mq-broker start --id {broker}'")
        }
        Usable::Follower => {
            "the controller elects it; 'mq-broker health' lists the problems".to_owned()
        }
    };
    Error::new(Kind::BrokerState, format!("ELECTION_NOT_NEEDED: {text}")).cure(cure)
}

fn nobody(tp: &TopicPartition, partition: &PartitionMeta, to: Option<BrokerId>) -> Error {
    let others = partition.replicas.iter().map(|r| r.broker);
    let others: Vec<_> = others
        .filter(|id| *id != partition.leader)
        .map(|id| id.to_string())
        .collect();
    let text = match to {
        Some(to) if partition.uuid_of(to).is_none() => {
            format!("broker {to} holds no replica of {tp}")
        }
        Some(to) if to == partition.leader => format!("broker {to} leads {tp}, and cannot be used"),
        Some(to) => {
            format!("broker {to} cannot lead {tp}: it does not run, or its replica cannot be used")
        }
        None => format!("ELIGIBLE_LEADERS_NOT_AVAILABLE: no broker runs that could lead {tp}"),
    };
    let cure = match others.join(" or ") {
        none if none.is_empty() => "it has no other replica; 'mq-topics verify' examines it".into(),
        others => format!("start broker {others}"),
    };
    Error::new(Kind::BrokerState, text).cure(cure)
}
