//! One batch, appended: to a partition of one replica, or of several.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use super::{
    Confirm, Job, KEEP_BYTES_MAX, Outcome, Shared, Threads, hand_to_sync, is_sync_due, receipt,
};
use crate::client::opening;
use crate::client::producer_options::Acks;
use crate::client::replicated::Appending;
use crate::error::Result;
use crate::record::BatchBuilder;
use crate::store::{Appended, PartitionWriter};
use crate::types::{Compression, PartitionId, TimestampType, TopicPartition};

/// What one batch's append needs.
pub(super) struct Appender<'a> {
    pub shared: &'a Arc<Shared>,
    pub compression: Compression,
    pub appending: &'a mut Appending,
    pub threads: &'a mut Threads,
    pub give_back: &'a Sender<BatchBuilder>,
}

impl Appender<'_> {
    pub fn append(
        &mut self,
        writers: &mut BTreeMap<PartitionId, PartitionWriter>,
        mut job: Job,
    ) -> Result<()> {
        let (shared, partition) = (self.shared, job.partition);
        let writer = match writers.entry(partition) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(open_writer(shared, partition)?),
        };
        let batch = job
            .builder
            .finish(self.compression, TimestampType::CreateTime)?;
        let replicas = writer.topic().partition(partition)?.replicas.len();
        if replicas > 1 && shared.acks != Acks::None {
            self.threads.start_waiter(shared)?;
            let has_failed = || shared.failed.load(Ordering::Relaxed);
            let len = batch.len();
            let appended = self
                .appending
                .append(writer, batch, job.count, &has_failed)?;
            // The batch stays until it is acknowledged; the next one may be as long.
            let spare = shared.replicated.take_spare();
            let buffer = spare
                .unwrap_or_else(|| Vec::with_capacity(len.min(KEEP_BYTES_MAX).next_power_of_two()));
            job.builder.recycle(buffer);
            let _ = self.give_back.send(job.builder);
            // Syncs that are due but not waited for. Where each is, the waiting thread does it.
            if !shared.configs.every_message() && is_sync_due(shared, &appended) {
                hand_to_sync(shared, self.threads, partition, appended, None)?;
            }
            return Ok(());
        }
        shared.wait_for_rolls(partition);
        let (appended, sync_due) = if replicas > 1 {
            let mut batch = batch;
            let has_failed = || shared.failed.load(Ordering::Relaxed);
            let appended = self
                .appending
                .append_only(writer, &mut batch, &has_failed)?;
            (appended, is_sync_due(shared, &appended))
        } else {
            append_one(shared, writer, batch, &mut job)?
        };
        let _ = self.give_back.send(job.builder);
        if shared.acked_when_appended() {
            shared.acknowledge([receipt(partition, &appended, job.count)]);
        }
        if sync_due {
            let count = (!shared.acked_when_appended()).then_some(job.count);
            hand_to_sync(shared, self.threads, partition, appended, count)?;
        }
        Ok(())
    }
}

fn open_writer(shared: &Shared, partition: PartitionId) -> Result<PartitionWriter> {
    let tp = TopicPartition::new(shared.topic.clone(), partition);
    let has_failed = || shared.failed.load(Ordering::Relaxed);
    opening::open_writer(&shared.store, &tp, shared.patience, &has_failed)
}

fn append_one(
    shared: &Arc<Shared>,
    writer: &mut PartitionWriter,
    mut batch: Vec<u8>,
    job: &mut Job,
) -> Result<(Appended, bool)> {
    let appended = writer.append(&mut batch)?;
    if batch.len() <= KEEP_BYTES_MAX {
        job.builder.recycle(batch);
    }
    if shared.acked_when_appended() && shared.outcome == Outcome::Acknowledged {
        writer.confirm(&appended)?;
    }
    let sync_due = shared.configs.every_message() || is_sync_due(shared, &appended);
    Ok((appended, sync_due))
}
