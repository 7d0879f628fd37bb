//! Applies a change of one partition to its topic's metadata, if the change is still called for.

use super::state::{Change, ChangeKind, LeaderElection};
use crate::partition::{Claim, Extents, begin_epoch};
use crate::store::{PartitionMeta, Reassignment, Retired, TopicMeta};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// Applies the change, in the critical section in which `meta` was read. `false`: the partition
/// changed since the decision, or nothing is left to change; `meta` is unmodified.
pub fn apply(extents: &dyn Extents, meta: &mut TopicMeta, change: &Change) -> bool {
    if meta.topic_id != change.topic_id {
        return false;
    }
    let at = usize::try_from(change.tp.partition).unwrap_or(usize::MAX);
    let Some(partition) = meta.partitions.get_mut(at) else {
        return false;
    };
    if (partition.leader, partition.leader_epoch) != (change.leader, change.epoch) {
        return false;
    }
    match &change.kind {
        ChangeKind::TakeOut(out) => take_out(partition, out),
        ChangeKind::Renew => true,
        ChangeKind::Finish(reassignment) => match finish(partition, reassignment) {
            Some(retired) => {
                meta.retired.extend(retired);
                true
            }
            None => false,
        },
        ChangeKind::Elect(election) => elect(extents, &change.tp, partition, election),
    }
}

fn take_out(partition: &mut PartitionMeta, out: &[(BrokerId, Uuid)]) -> bool {
    let leader = partition.leader;
    let before = partition.isr.len();
    let replicas = &partition.replicas;
    partition.isr.retain(|broker| {
        let uuid = replicas
            .iter()
            .find(|r| r.broker == *broker)
            .map(|r| r.uuid);
        *broker == leader || !out.iter().any(|(b, u)| b == broker && Some(*u) == uuid)
    });
    partition.isr.len() < before
}

fn finish(partition: &mut PartitionMeta, asked: &Reassignment) -> Option<Vec<Retired>> {
    let same = partition
        .reassignment
        .as_ref()
        .is_some_and(|r| r.target == asked.target);
    let target = &asked.target;
    if !same
        || !target.contains(&partition.leader)
        || !target.iter().all(|b| partition.is_in_sync(*b))
    {
        return None;
    }
    let (stay, go): (Vec<_>, Vec<_>) = partition
        .replicas
        .iter()
        .copied()
        .partition(|r| target.contains(&r.broker));
    partition.replicas = target
        .iter()
        .filter_map(|b| stay.iter().find(|r| r.broker == *b).copied())
        .collect();
    partition.isr.retain(|b| target.contains(b));
    partition.reassignment = None;
    let retired = |r: crate::store::ReplicaMeta| Retired {
        partition: partition.partition,
        broker: r.broker,
        uuid: r.uuid,
    };
    Some(go.into_iter().map(retired).collect())
}

fn elect(
    extents: &dyn Extents,
    tp: &TopicPartition,
    partition: &mut PartitionMeta,
    election: &LeaderElection,
) -> bool {
    let to = election.to;
    if partition.uuid_of(to) != Some(election.uuid) {
        return false;
    }
    let claim = if election.unclean {
        Claim::Unclean
    } else {
        Claim::Clean
    };
    if begin_epoch(extents, tp, partition, to, claim).is_err() {
        return false;
    }
    let stays = |b: &BrokerId| *b == to || !election.drop_from_isr.contains(b);
    partition.isr.retain(stays);
    true
}
