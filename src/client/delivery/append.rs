//! Appends one batch, to a partition of one replica or of several.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::delivery_state::{
    DeliveryState, KEEP_BYTES_MAX, PendingBatch, Threads, UNREADABLE, hand_to_sync, is_sync_due,
    perhaps_stored,
};
use super::passes::makes_room;
use super::split::halves;
use crate::client::leader_retry;
use crate::client::ledger::Ticket;
use crate::client::producer_options::Acks;
use crate::client::replicated::Appending;
use crate::error::{Kind, Result};
use crate::partition::{PartitionWriter, confirm};
use crate::record::BatchBuilder;
use crate::types::{Compression, PartitionId, TimestampType, TopicPartition};

/// What the append of one batch needs.
pub(super) struct BatchAppender<'a> {
    pub shared: &'a Arc<DeliveryState>,
    pub appending: &'a mut Appending,
    pub threads: &'a mut Threads,
    pub give_back: &'a Sender<BatchBuilder>,
}

impl BatchAppender<'_> {
    pub fn append(
        &mut self,
        writers: &mut BTreeMap<PartitionId, PartitionWriter>,
        mut job: PendingBatch,
    ) -> Result<()> {
        let (shared, partition) = (self.shared, job.ticket.partition());
        let writer = match writers.entry(partition) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let open = || open_writer(shared, partition);
                entry.insert(shared.with_topic(&UNREADABLE, open)?)
            }
        };
        // The codec is the topic's present one. An error here comes up in the append again.
        let _ = shared.with_topic(&UNREADABLE, || writer.observe());
        shared.ledger.saw_topic(writer.topic().meta().version);
        let batch = job
            .builder
            .finish(self.compression(writer), TimestampType::CreateTime)?;
        self.deliver(writer, batch, job.ticket, &mut job.builder)?;
        let _ = self.give_back.send(job.builder);
        Ok(())
    }

    fn compression(&self, writer: &PartitionWriter) -> Compression {
        let configs = writer.configs();
        configs.compression.unwrap_or(self.shared.compression)
    }

    /// Appends a batch and arranges its acknowledgement. Its buffer, or another, goes to `builder`.
    fn deliver(
        &mut self,
        writer: &mut PartitionWriter,
        mut batch: Vec<u8>,
        mut ticket: Ticket,
        builder: &mut BatchBuilder,
    ) -> Result<()> {
        let shared = self.shared;
        let partition = ticket.partition();
        let has_failed = || shared.has_failed();
        let removes_old = writer.configs().removes_old();
        if removes_old || writer.configs().cleanup_policy.compacts() {
            let version = writer.topic().meta().version;
            self.threads.start_passes(shared, version);
        }
        let replicated = writer.topic().partition(partition)?.replicas.len() > 1;
        let waits_for_replicas = replicated && shared.acks != Acks::None;
        if waits_for_replicas {
            self.threads.start_waiter(shared)?;
            self.appending.wait_for_room(writer, &has_failed)?;
        } else {
            shared.wait_for_rolls(partition);
        }
        // After a disk error a part of the batch may be on disk: only `Damaged` is retried.
        let mut append = |writer: &mut PartitionWriter| {
            if replicated {
                self.appending.append(writer, &mut batch, &has_failed)
            } else {
                writer.append(&mut batch)
            }
        };
        let appended = shared.with_topic(&[Kind::Damaged], || match append(writer) {
            Err(e)
                if e.kind() == Kind::DiskFull
                    && removes_old
                    && makes_room(writer, shared.lock_timeout) =>
            {
                append(writer)
            }
            appended => appended,
        });
        let appended = match appended {
            // The topic's limit is lower than when the batch was begun.
            Err(e) if e.kind() == Kind::MessageTooLarge && ticket.count() > 1 => {
                let compression = self.compression(writer);
                let [(head, count), (tail, _)] = halves(&batch, compression)?;
                let rest = ticket.split_off(count);
                self.deliver(writer, head, ticket, builder)?;
                return self.deliver(writer, tail, rest, builder);
            }
            appended => appended?,
        };
        if waits_for_replicas {
            let len = batch.len();
            self.appending.keep(writer, batch, ticket, appended);
            // The batch is kept until it is acknowledged; the next one may be as long.
            let spare = shared.replicated.take_spare();
            let buffer = spare
                .unwrap_or_else(|| Vec::with_capacity(len.min(KEEP_BYTES_MAX).next_power_of_two()));
            builder.recycle(buffer);
            // Syncs that are due without a waiting caller. If a caller waits, the waiting thread
            // syncs.
            let configs = writer.configs();
            if !configs.every_message() && is_sync_due(configs, &appended) {
                hand_to_sync(shared, self.threads, appended, partition, configs, None)?;
            }
            return Ok(());
        }
        if batch.len() <= KEEP_BYTES_MAX {
            builder.recycle(batch);
        }
        let waits_for_sync = if shared.acks == Acks::None {
            false
        } else {
            waits_for_sync(writer)
        };
        if waits_for_sync {
            return hand_to_sync(
                shared,
                self.threads,
                appended,
                partition,
                writer.configs(),
                Some(ticket),
            );
        }
        if shared.acks != Acks::None {
            let (replica, topic) = writer.parts();
            let store = writer.store();
            let confirmed =
                shared.with_topic(&UNREADABLE, || confirm(store, replica, topic, &appended));
            confirmed.map_err(|e| perhaps_stored(e, partition))?;
        }
        shared.ledger.acknowledge([(ticket, appended)]);
        let configs = writer.configs();
        if configs.every_message() || is_sync_due(configs, &appended) {
            hand_to_sync(shared, self.threads, appended, partition, configs, None)?;
        }
        Ok(())
    }
}

/// Whether an append is acknowledged only after a sync, by the present topic file, which may have
/// changed since the append. If the topic file cannot be read, the sync reports the error.
fn waits_for_sync(writer: &mut PartitionWriter) -> bool {
    writer.configs().every_message()
        || writer.observe().is_err()
        || writer.configs().every_message()
}

fn open_writer(shared: &DeliveryState, partition: PartitionId) -> Result<PartitionWriter> {
    let tp = TopicPartition::new(shared.topic.clone(), partition);
    let has_failed = || shared.has_failed();
    leader_retry::open_writer(&shared.store, &tp, shared.lock_timeout, &has_failed)
}
