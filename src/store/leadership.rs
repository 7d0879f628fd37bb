//! New leader epochs of partitions that have one replica: no daemon is needed for them.

use std::sync::Arc;
use std::time::Duration;

use super::fenced_lock::FencedLock;
use super::open::StoreDir;
use super::topics;
use crate::error::Result;
use crate::types::{LeaderEpoch, TopicPartition};

/// Raises the partition's leader epoch in the topic file, if that still names `from`. Whoever
/// appends next promotes the replica. Not to be called while an append lock is held.
pub fn raise_epoch(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    from: LeaderEpoch,
    patience: Duration,
) -> Result<()> {
    let guard = FencedLock::acquire_store(store, "raise a leader epoch", patience)?;
    let (mut meta, _) = topics::read(store, &tp.topic)?;
    let raised = match usize::try_from(tp.partition)
        .ok()
        .and_then(|at| meta.partitions.get_mut(at))
    {
        Some(partition) if partition.leader_epoch == from => {
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
