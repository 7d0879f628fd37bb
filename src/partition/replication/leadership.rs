//! New leader epochs. Each begins here, whoever asks for it and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::isr::{Ahead, Extents, InSync};
use crate::error::{Error, Kind, Result};
use crate::partition::timed_reads::NO_ANSWER;
use crate::store::{self, FencedLock, PartitionMeta, StoreDir};
use crate::types::{BrokerId, LeaderEpoch, TopicName, TopicPartition};

/// By what right a broker leads the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is in sync, and nobody else in sync has more: no record is lost.
    Clean,
    /// The topic, or a person, allows that records are lost.
    Unclean,
}

/// Begins the partition's next leader epoch, led by `to`: the one place where epochs are made. The
/// metadata was read in a hold of the fenced lock. It is as it was after an error.
///
/// # Errors
/// [`Kind::Busy`] where another replica in sync, dead ones too, has more than `to`: in a new epoch of
/// this leader it would lose that. So it is where `to` may have lost records, and another in sync
/// cannot be read. [`Kind::Fenced`] where `to` may not lead.
pub fn begin_epoch(
    extents: &dyn Extents,
    tp: &TopicPartition,
    partition: &mut PartitionMeta,
    to: BrokerId,
    claim: Claim,
) -> Result<()> {
    let epoch = partition.leader_epoch.checked_add(1);
    let listed = partition.uuid_of(to).is_some();
    let may_lead = listed && (claim == Claim::Unclean || partition.is_in_sync(to));
    let Some(epoch) = epoch.filter(|_| may_lead) else {
        let text = format!("NOT_LEADER_OR_FOLLOWER: broker {to} may not lead {tp}");
        return Err(Error::new(Kind::Fenced, text).cure("look at it with 'mq-topics describe'"));
    };
    if claim == Claim::Clean
        && let Some(ahead) = extents.ahead_of(tp, partition, to)
    {
        return Err(behind(tp, to, &ahead));
    }
    if !partition.is_in_sync(to) {
        partition.isr = vec![to];
    }
    partition.leader = to;
    partition.leader_epoch = epoch;
    Ok(())
}

/// Raises the partition's leader epoch in the topic file, if that still names `from`. Whoever
/// appends next promotes the replica. No daemon is needed. Not to be called while an append lock is
/// held.
///
/// # Errors
/// [`Kind::Busy`] where another replica in sync has more: that one is to lead.
pub fn raise_epoch(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    from: LeaderEpoch,
    timeout: Duration,
) -> Result<()> {
    raise_epochs(store, &[(tp.clone(), from)], timeout)
}

/// As [`raise_epoch`] of each, in one hold of the fenced lock.
///
/// # Errors
/// Of the first that fails; the others are raised.
pub fn raise_epochs(
    store: &Arc<StoreDir>,
    wanted: &[(TopicPartition, LeaderEpoch)],
    timeout: Duration,
) -> Result<()> {
    let mut by_topic: BTreeMap<TopicName, Vec<_>> = BTreeMap::new();
    for one in wanted {
        by_topic.entry(one.0.topic.clone()).or_default().push(one);
    }
    let names: Vec<TopicName> = by_topic.keys().cloned().collect();
    let guard = FencedLock::acquire_store(store, "raise a leader epoch", timeout)?;
    let extents = InSync::new(store);
    let mut failed = None;
    let updated = store::update_each(store, &guard, &names, |meta| {
        let mut raised = false;
        for (tp, from) in by_topic.get(&meta.name).into_iter().flatten() {
            let partition = meta.partition_mut(tp.partition);
            let Some(partition) = partition.filter(|p| p.leader_epoch == *from) else {
                continue;
            };
            let leader = partition.leader;
            match begin_epoch(&extents, tp, partition, leader, Claim::Clean) {
                Ok(()) => raised = true,
                Err(e) => failed = failed.take().or(Some(e)),
            }
        }
        Ok(raised)
    })?;
    let unread = updated.failed.into_iter().map(|(_, e)| e).next();
    failed.or(unread).map_or(Ok(()), Err)
}

fn behind(tp: &TopicPartition, leader: BrokerId, ahead: &Ahead) -> Error {
    let (why, cure) = match ahead {
        Ahead::More(ahead) => (
            format!(
                "broker {leader}, which would lead it, lacks records that broker {ahead} has in sync"
            ),
            format!("start that one: 'mq-broker start --id {ahead}'"),
        ),
        Ahead::Unknown(broker, why) => (
            format!(
                "broker {leader}, which would lead it, may lack records, and what broker {broker} has \
                 in sync cannot be read ({why})"
            ),
            if why == NO_ANSWER {
                format!("check the disk of broker {broker}; if it is slow, try again")
            } else {
                format!(
                    "mount the disk of broker {broker}, or start it: 'mq-broker start --id {broker}'"
                )
            },
        ),
    };
    let text = format!("{tp} begins no new leader epoch: {why}");
    Error::new(Kind::Busy, text).cure(cure)
}
