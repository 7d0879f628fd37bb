//! Retention by a producer: the thread that removes old segments.
//!
//! A pass follows the first acknowledged batch of a partition, and each one that began a segment. It
//! runs on a thread of its own, after the receipts, so that neither appends nor receipts wait for it.

use std::sync::Arc;
use std::time::Duration;

use crate::client::pass_queue::PassQueue;
use crate::error::Result;
use crate::partition::{self, PartitionWriter};
use crate::store::StoreDir;
use crate::types::{TopicName, TopicPartition};

/// How long passes go on once the producer has nothing more to append.
const AT_END_MAX: Duration = Duration::from_secs(2);

/// The thread: one pass for each partition that is entered.
pub(super) fn run_passes(
    queue: &PassQueue,
    store: &Arc<StoreDir>,
    topic: &TopicName,
    timeout: Duration,
) {
    let mut closed_at = None;
    while let Some(partition) = queue.next() {
        if queue.is_closed() {
            let now = store.clock().monotonic();
            if now.saturating_sub(*closed_at.get_or_insert(now)) >= AT_END_MAX {
                return;
            }
        }
        let tp = TopicPartition::new(topic.clone(), partition);
        // The producer's records are acknowledged. What a pass could not do stands in `cleanup.json`,
        // and the next one does it.
        let _: Result<()> = pass(store, &tp, timeout);
    }
}

fn pass(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<()> {
    let mut writer = PartitionWriter::open(store, tp, timeout)?;
    partition::remove_old(&mut writer, timeout).map(drop)
}

/// Whether a pass made room on a full disk: an append that found it full is then tried once more.
pub(super) fn makes_room(writer: &mut PartitionWriter, timeout: Duration) -> bool {
    let done = partition::remove_old(writer, timeout);
    done.is_ok_and(|done| done.is_some_and(|pass| pass.removed.segments > 0))
}
