//! New leader epochs. Each begins here, whichever process asks for it and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::isr::{Ahead, Extents, InSync};
use crate::error::{Error, Kind, Result};
use crate::partition::timed_reads::NO_ANSWER;
use crate::store::{self, FencedLock, PartitionMeta, StoreDir};
use crate::types::{BrokerId, LeaderEpoch, TopicName, TopicPartition};

/// The grounds on which a broker leads the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is in sync, and no other in-sync replica has more: no record is lost.
    Clean,
    /// The topic, or a person, allows that records are lost.
    Unclean,
}

/// Begins the partition's next leader epoch, led by `to`: the only place where epochs are made. The
/// metadata was read under the fenced lock; after an error it is unchanged.
///
/// # Errors
/// [`Kind::Busy`] if another in-sync replica, a dead broker's included, has more than `to` and
/// would lose the difference in the new epoch; also if `to` may have lost records and another
/// in-sync replica cannot be read. [`Kind::Fenced`] if `to` may not lead.
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

/// Raises the partition's leader epoch in the topic file, if that still names `from`. The next
/// append promotes the replica; no daemon is needed. Must not be called while an append lock is
/// held.
///
/// # Errors
/// [`Kind::Busy`] if another in-sync replica has more: that replica should lead.
pub fn raise_epoch(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    from: LeaderEpoch,
    timeout: Duration,
) -> Result<()> {
    raise_epochs(store, &[(tp.clone(), from)], timeout)
}

/// As [`raise_epoch`] for each, in one metadata update.
///
/// # Errors
/// The first error; the other epochs are raised.
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
                "broker {leader} would lead it, but lacks records of the in-sync replica on broker {ahead}"
            ),
            format!("start broker {ahead}: 'mq-broker start --id {ahead}'"),
        ),
        Ahead::Unknown(broker, why) => (
            format!(
                "broker {leader} would lead it, but may lack records, and the in-sync replica on \
                 broker {broker} cannot be read ({why})"
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
    let text = format!("{tp} cannot begin a new leader epoch: {why}");
    Error::new(Kind::Busy, text).cure(cure)
}
