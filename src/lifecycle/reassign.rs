//! Reassignments: partitions get other replicas. A reassignment is started, or cancelled. The
//! controller completes it, once the new replicas are in sync.
//!
//! 1. The missing replica directories are made first, as for a new topic, and their locks are kept
//!    until the topic files are in place.
//! 2. While a reassignment is in progress, the replicas are those of the target and the old ones.
//!    It changes neither the ISR nor the leader.
//! 3. Cancelling keeps the former replicas. The others are retired: the topic file names their
//!    directories as ones that may be removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::planned_replica::PlannedReplica;
use super::replica_creation::{
    LogDirs, MOVES_MAX, are_in_place, discard, keeps_moving, make_replicas, settle,
};
use super::topics::repeated;
use super::unpublished_replica::UnpublishedReplica;
use crate::error::{Error, Kind, Result};
use crate::partition::Role;
use crate::store::topics::topic_file;
use crate::store::{
    self, FencedLock, PartitionMeta, Reassignment, ReplicaMeta, Retired, StoreDir, TopicHandle,
    TopicMeta,
};
use crate::types::{BrokerId, PartitionId, TopicName, TopicPartition};

/// A partition, and the brokers for its replicas: the preferred leader first.
pub type PlannedReplicas = (TopicPartition, Vec<BrokerId>);

/// Starts reassignments, all or none. A partition that has its target already is left out.
/// `throttle`: the most bytes per second that each new replica copies. Returns the topics that were
/// changed.
///
/// # Errors
/// [`Kind::Usage`] for a target that names no broker, or one twice; [`Kind::UnknownTopic`];
/// [`Kind::BrokerState`] for an unknown broker, or a partition that is being reassigned;
/// [`Kind::InvalidConfig`] for fewer replicas than `min.insync.replicas`; [`Kind::Busy`].
pub fn start_reassignment(
    store: &Arc<StoreDir>,
    changes: &[PlannedReplicas],
    throttle: Option<u64>,
    timeout: Duration,
) -> Result<Vec<TopicMeta>> {
    let targets = targets(changes)?;
    for _ in 0..MOVES_MAX {
        if let Some(changed) = try_start(store, &targets, throttle, timeout)? {
            return Ok(changed);
        }
    }
    Err(keeps_moving())
}

/// Cancels reassignments, all or none. Returns the topics that were changed.
///
/// # Errors
/// [`Kind::BrokerState`] if none is in progress, or if the leader is a replica that the
/// reassignment added; [`Kind::UnknownTopic`], [`Kind::Busy`].
pub fn cancel_reassignment(
    store: &StoreDir,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<TopicMeta>> {
    let guard = FencedLock::acquire_store(store, "cancel a reassignment", timeout)?;
    let names = names(partitions.iter());
    for name in &names {
        topic_file::read(store, name)?;
    }
    let mut by_topic: BTreeMap<&TopicName, Vec<&TopicPartition>> = BTreeMap::new();
    for tp in partitions {
        by_topic.entry(&tp.topic).or_default().push(tp);
    }
    store::update_all(store, &guard, &names, |meta| {
        let mut changed = false;
        for tp in by_topic.remove(&meta.name).unwrap_or_default() {
            let retired = go_back(tp, partition_of(meta, tp)?)?;
            meta.retired.extend(retired);
            changed = true;
        }
        Ok(changed)
    })
}

type Targets<'a> = BTreeMap<&'a TopicPartition, &'a [BrokerId]>;

fn targets(changes: &[PlannedReplicas]) -> Result<Targets<'_>> {
    let mut targets = Targets::new();
    for (tp, target) in changes {
        let why = if target.is_empty() {
            "has no broker".to_owned()
        } else if let Some(twice) = repeated(target) {
            format!("has broker {twice} twice")
        } else if targets.insert(tp, target).is_some() {
            "is there twice".to_owned()
        } else {
            continue;
        };
        return Err(Error::new(
            Kind::Usage,
            format!("INVALID_REPLICA_ASSIGNMENT: {tp} {why}"),
        )
        .cure("name each partition once, with each of its brokers once"));
    }
    Ok(targets)
}

fn names<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> Vec<TopicName> {
    let names: BTreeSet<&TopicName> = partitions.map(|tp| &tp.topic).collect();
    names.into_iter().cloned().collect()
}

fn partition_of<'a>(meta: &'a mut TopicMeta, tp: &TopicPartition) -> Result<&'a mut PartitionMeta> {
    let missing = meta.no_partition(tp.partition);
    meta.partition_mut(tp.partition).ok_or(missing)
}

/// One attempt; `None` if a log directory moved meanwhile.
fn try_start(
    store: &Arc<StoreDir>,
    targets: &Targets<'_>,
    throttle: Option<u64>,
    timeout: Duration,
) -> Result<Option<Vec<TopicMeta>>> {
    let names = names(targets.keys().copied());
    let mut before = BTreeMap::new();
    for name in &names {
        before.insert(name, TopicHandle::open(store, name)?);
    }
    let mut plans = Vec::new();
    for (tp, target) in targets {
        let Some(topic) = before.get(&tp.topic) else {
            continue;
        };
        topic.configs().check_replicas(target.len())?;
        let meta = topic.meta();
        let topic_id = meta.topic_id;
        let partition = meta.partition(tp.partition);
        let partition = partition.ok_or_else(|| meta.no_partition(tp.partition))?;
        if partition.reassignment.is_some() {
            return Err(under_way(tp));
        }
        let missing = target.iter().filter(|id| partition.uuid_of(**id).is_none());
        plans.extend(missing.map(|broker| PlannedReplica {
            tp: (*tp).clone(),
            topic_id,
            broker: *broker,
            role: Role::Follower,
        }));
    }
    let logs = LogDirs::open(store, plans.iter().map(|plan| plan.broker))?;
    let made = make_replicas(store, &logs, plans, timeout).map_err(|e| {
        // Another process's replica is there by now.
        if e.kind() == Kind::TopicExists {
            changed_meanwhile()
        } else {
            e
        }
    })?;
    let mut by_topic: BTreeMap<TopicName, Vec<UnpublishedReplica>> = BTreeMap::new();
    for replica in made {
        let topic = replica.tp().topic.clone();
        by_topic.entry(topic).or_default().push(replica);
    }
    let mut made = by_topic;
    let published = logs.sync().and_then(|()| {
        let guard = FencedLock::acquire_store(store, "reassign partitions", timeout)?;
        if !logs.are_current(store)? || !are_in_place(made.values().flatten())? {
            return Ok(None);
        }
        for name in &names {
            topic_file::read(store, name)?;
        }
        let changed = store::update_all(store, &guard, &names, |meta| {
            let known = before.get(&meta.name);
            if known.is_none_or(|known| known.meta().topic_id != meta.topic_id) {
                return Err(changed_meanwhile());
            }
            let made = made.get(&meta.name).map_or(&[][..], Vec::as_slice);
            enter(meta, targets, made, throttle)
        });
        changed.map(Some)
    });
    match published {
        Ok(Some(changed)) => {
            for meta in &changed {
                let made = made.remove(&meta.name).unwrap_or_default();
                settle(store, made, meta.version)?;
            }
            Ok(Some(changed))
        }
        other => {
            discard(store, made.into_values().flatten().collect());
            other
        }
    }
}

/// Writes a topic's reassignments into its metadata; returns whether there are any.
fn enter(
    meta: &mut TopicMeta,
    targets: &Targets<'_>,
    made: &[UnpublishedReplica],
    throttle: Option<u64>,
) -> Result<bool> {
    let name = meta.name.clone();
    let mut new: BTreeMap<(PartitionId, BrokerId), ReplicaMeta> = made
        .iter()
        .map(|made| ((made.tp().partition, made.meta().broker), made.meta()))
        .collect();
    let mut changed = false;
    let first = TopicPartition::new(name.clone(), 0);
    let own = targets.range::<TopicPartition, _>(&first..);
    for (tp, target) in own.take_while(|(tp, _)| tp.topic == name) {
        let partition = partition_of(meta, tp)?;
        if partition.reassignment.is_some() {
            return Err(under_way(tp));
        }
        let before: Vec<BrokerId> = partition.replicas.iter().map(|r| r.broker).collect();
        if before == *target {
            continue;
        }
        let old = |broker: &BrokerId| {
            let mut replicas = partition.replicas.iter();
            replicas.find(|replica| replica.broker == *broker).copied()
        };
        let mut replicas: Vec<ReplicaMeta> = target
            .iter()
            .map(|broker| old(broker).or_else(|| new.remove(&(tp.partition, *broker))))
            .collect::<Option<_>>()
            // One of them was discarded since it was checked.
            .ok_or_else(changed_meanwhile)?;
        let stays = |replica: &&ReplicaMeta| !target.contains(&replica.broker);
        replicas.extend(partition.replicas.iter().filter(stays));
        partition.replicas = replicas;
        partition.reassignment = Some(Reassignment {
            target: target.to_vec(),
            before,
            throttle,
        });
        changed = true;
    }
    // Another process gave a broker a replica since it was checked.
    if !new.is_empty() {
        return Err(changed_meanwhile());
    }
    Ok(changed)
}

/// Restores a partition's former replicas; returns those that are retired.
fn go_back(tp: &TopicPartition, partition: &mut PartitionMeta) -> Result<Vec<Retired>> {
    let Some(Reassignment { before, .. }) = partition.reassignment.take() else {
        let text = format!("NO_REASSIGNMENT_IN_PROGRESS: {tp} is not being reassigned");
        return Err(Error::new(Kind::BrokerState, text)
            .cure("'mq-topics describe' shows the replicas that it has"));
    };
    let leader = partition.leader;
    if !before.contains(&leader) {
        return Err(Error::new(
            Kind::BrokerState,
            format!("{tp} is led by broker {leader}, which is there by the reassignment only"),
        )
        .cure("let the reassignment end, then reassign the partition back"));
    }
    let gone: Vec<Retired> = partition
        .replicas
        .iter()
        .filter(|replica| !before.contains(&replica.broker))
        .map(|replica| Retired {
            partition: tp.partition,
            broker: replica.broker,
            uuid: replica.uuid,
        })
        .collect();
    let replicas = &partition.replicas;
    partition.replicas = before
        .iter()
        .filter_map(|broker| replicas.iter().find(|r| r.broker == *broker).copied())
        .collect();
    partition.isr.retain(|broker| before.contains(broker));
    Ok(gone)
}

/// REASSIGNMENT_IN_PROGRESS.
pub fn under_way(tp: &TopicPartition) -> Error {
    let text = format!("REASSIGNMENT_IN_PROGRESS: {tp} is being reassigned already");
    Error::new(Kind::BrokerState, text).cure("wait for its end, or cancel it first")
}

fn changed_meanwhile() -> Error {
    Error::new(Kind::Busy, "a topic was changed meanwhile")
        .cure("check it with 'mq-topics describe', then try again")
}
