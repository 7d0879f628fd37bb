//! New leader epochs of the leader there is: no daemon is needed for them.

use std::sync::Arc;
use std::time::Duration;

use super::fenced_lock::FencedLock;
use super::in_sync;
use super::open::StoreDir;
use super::topics;
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, LeaderEpoch, TopicPartition};

/// Raises the partition's leader epoch in the topic file, if that still names `from`. Whoever
/// appends next promotes the replica. Not to be called while an append lock is held.
///
/// # Errors
/// [`Kind::Busy`] where another replica in sync has more: in a new epoch of this leader it would
/// lose that. Another is to lead.
pub fn raise_epoch(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    from: LeaderEpoch,
    patience: Duration,
) -> Result<()> {
    let guard = FencedLock::acquire_store(store, "raise a leader epoch", patience)?;
    let mut meta = topics::read_to_change(store, &tp.topic)?;
    let raised = match meta.partition_mut(tp.partition) {
        Some(partition) if partition.leader_epoch == from => {
            if let Some(ahead) = in_sync::ahead(store, tp, partition) {
                return Err(behind(tp, partition.leader, ahead));
            }
            partition.leader_epoch += 1;
            true
        }
        _ => false,
    };
    if raised {
        meta.version += 1;
        topics::replace(&guard, &meta)?;
    }
    Ok(())
}

fn behind(tp: &TopicPartition, leader: BrokerId, ahead: BrokerId) -> Error {
    Error::new(
        Kind::Busy,
        format!(
            "the leader of {tp}, broker {leader}, lost records that broker {ahead} has in sync: \
             that one is to lead"
        ),
    )
    .cure(format!("start it: 'mq-broker start --id {ahead}'"))
}
