//! Retention and compaction by a producer: the thread that makes the passes.
//!
//! A pass of retention follows the first acknowledged batch of a partition, and each one that began a
//! segment; one of compaction the latter only. They run on a thread of their own, after the receipts, so
//! that neither appends nor receipts wait for them.

use std::sync::Arc;
use std::time::Duration;

use crate::client::pass_queue::PassQueue;
use crate::error::{Error, Kind, Result};
use crate::partition::compaction::{self, Effort};
use crate::partition::{self, PartitionWriter};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{TopicName, TopicPartition};

/// How long passes go on once the producer has nothing more to append.
const AT_END_MAX: Duration = Duration::from_secs(2);
/// Most bytes of segments whose keys one compaction looks at.
const DIRTY_BYTES_MAX: u64 = 64 << 20;

/// The thread: one pass for each partition that is entered.
pub(super) fn run_passes(
    queue: &PassQueue,
    store: &Arc<StoreDir>,
    topic: &TopicName,
    timeout: Duration,
) {
    let mut closed_at = None;
    let mut is_over = || {
        if !queue.is_closed() {
            return false;
        }
        let now = store.clock().monotonic();
        now.saturating_sub(*closed_at.get_or_insert(now)) >= AT_END_MAX
    };
    while let Some((partition, rolled)) = queue.next() {
        if is_over() {
            return;
        }
        let tp = TopicPartition::new(topic.clone(), partition);
        // The producer's records are acknowledged. What a pass could not do stands in `cleanup.json`,
        // and the next one does it.
        let _: Result<()> = remove_old(store, &tp, timeout);
        if rolled {
            let _: Result<()> = compact(store, &tp, timeout, &mut is_over);
        }
    }
}

fn remove_old(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<()> {
    let mut writer = PartitionWriter::open(store, tp, timeout)?;
    partition::remove_old(&mut writer, timeout).map(drop)
}

/// Compacts the leader's log if that is due: some segments, since a producer is here to produce.
fn compact(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    timeout: Duration,
    is_over: &mut impl FnMut() -> bool,
) -> Result<()> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    if !topic.configs().cleanup_policy.compacts() {
        return Ok(());
    }
    let effort = Effort {
        dirty_bytes_max: Some(DIRTY_BYTES_MAX),
        ..Effort::default()
    };
    let leader = topic.partition(tp.partition)?.leader;
    let mut go_on = |_| {
        if is_over() {
            return Err(Error::new(Kind::Interrupted, "the producer ends"));
        }
        Ok(())
    };
    compaction::pass(store, tp, leader, effort, timeout, &mut go_on).map(drop)
}

/// Whether a pass made room on a full disk: an append that found it full is then tried once more.
pub(super) fn makes_room(writer: &mut PartitionWriter, timeout: Duration) -> bool {
    let done = partition::remove_old(writer, timeout);
    done.is_ok_and(|done| done.is_some_and(|pass| pass.removed.segments > 0))
}
