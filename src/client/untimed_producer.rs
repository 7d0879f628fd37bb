//! The producer without a timer: builds batches on the caller's thread, appends them on a second,
//! and waits for their durability on others, so that batch n+1 is built while batch n is synced.
//!
//! 1. Records of one partition are stored in the order in which they were sent.
//! 2. Receipts cover acknowledged records only, in the order of each partition.
//! 3. The first failure ends the producer: later records are not stored, and
//!    [`Failure::first_unacknowledged`] says where to continue.
//! 4. Memory and the unacknowledged bytes are bounded by the options, not by what is sent.
//! 5. An altered topic file applies from the next time that it is read. The delivery reads it at
//!    each append, and the sender learns of the change from the delivery.
//! 6. An error of [`UntimedProducer::send`] says that the record was not taken, or that the
//!    producer has failed. An unreadable topic file causes neither: its last content applies, and
//!    the delivery reports the error if it matters.

pub(super) mod pace;
mod queued;
mod topic_refresh;

pub(super) use pace::Pace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::completion::{Completion, CompletionOf};
use super::delivery::Delivery;
use super::delivery::delivery_state::PendingBatch;
use super::ledger::{Batch, Ledger};
use super::producer_options::{Keyless, ProducerOptions, ProducerRecord, Receipt, Sent};
use super::producer_topic::ProducerTopic;
use crate::error::{Error, Kind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchBuilder, RECORD_OVERHEAD_MAX, partition_for_key};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Compression, PartitionId, Timestamp, TopicName, Uuid};

/// How many batches may wait between the caller and the appending thread.
const QUEUE: usize = 4;
/// How often the topic file is read for new partitions.
const METADATA_INTERVAL: Duration = Duration::from_millis(500);

/// Sends records to one topic, and hands them on when the caller asks for it: for a caller that
/// knows when its input pauses. A [`super::Producer`] does that by itself, and takes a lock for
/// each record.
///
/// Dropping it hands on what was sent, and waits as [`UntimedProducer::close`] does; an error is
/// lost then.
#[must_use = "close it to learn whether everything is stored"]
#[derive(Debug)]
pub struct UntimedProducer {
    store: Arc<StoreDir>,
    target: ProducerTopic,
    options: ProducerOptions,
    slots: Vec<Slot>,
    next_keyless: usize,
    building_bytes: usize,
    sequence: u64,
    ledger: Arc<Ledger>,
    outbox: Outbox,
    spare: Receiver<BatchBuilder>,
    /// `None` if a [`super::SharedProducer`] has it.
    delivery: Option<Delivery>,
    checked: Duration,
}

/// Where a finished batch is handed on to.
#[derive(Debug)]
enum Outbox {
    /// To the appending thread; `None` once no more batches come. The caller waits while the
    /// channel is full.
    Channel(Option<SyncSender<PendingBatch>>),
    /// Kept until the appending thread takes it. The caller bounds the bytes: it sees to it that
    /// there is room before it sends. Nothing waits here, since the appending thread needs the lock
    /// that the caller holds.
    Queue(BatchQueue),
}

#[derive(Debug)]
struct BatchQueue {
    jobs: VecDeque<PendingBatch>,
    /// Batches came since the appending thread was last woken.
    has_new: bool,
    of: Arc<CompletionOf>,
}

/// One partition's batch in the making.
#[derive(Debug, Default)]
struct Slot {
    builder: Option<BatchBuilder>,
    /// The number of its first record among all sent records.
    first_sent: u64,
    /// The same among the records of the partition.
    first: u64,
    begun: Duration,
    /// Of the batch in the making; if there is none, of the previous one. Only in a shared
    /// producer.
    completion: Option<Arc<Completion>>,
    /// A caller waits for the batch: it does not linger.
    is_urgent: bool,
}

impl Slot {
    /// The number of the record that was added last.
    #[inline]
    fn sent(&self, partition: usize) -> Sent {
        let count = self.builder.as_ref().map_or(0, BatchBuilder::count) as u64;
        Sent {
            partition: partition as PartitionId,
            sequence: (self.first + count).saturating_sub(1),
        }
    }
}

/// Why and where a producer ended.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// How many records are acknowledged.
    pub acknowledged: u64,
    /// The number (from 0, in the order of sending) of the first record that is not acknowledged;
    /// `None` if all are.
    pub first_unacknowledged: Option<u64>,
}

impl UntimedProducer {
    /// Opens a topic for sending.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] with near names, [`Kind::Io`].
    pub fn open(
        store: &Arc<StoreDir>,
        topic: &TopicName,
        options: ProducerOptions,
    ) -> Result<Self> {
        let topic = TopicHandle::open(store, topic)?;
        let (jobs, incoming) = sync_channel(QUEUE);
        let (give_back, spare) = channel();
        let ledger = Arc::new(Ledger::new(options.unacknowledged_bytes_max));
        let delivery = Delivery::start(
            Arc::clone(store),
            topic.meta().name.clone(),
            &options,
            Arc::clone(&ledger),
            incoming,
            give_back,
        )?;
        let outbox = Outbox::Channel(Some(jobs));
        Self::with_parts(store, topic, options, ledger, outbox, spare, Some(delivery))
    }

    fn with_parts(
        store: &Arc<StoreDir>,
        topic: TopicHandle,
        options: ProducerOptions,
        ledger: Arc<Ledger>,
        outbox: Outbox,
        spare: Receiver<BatchBuilder>,
        delivery: Option<Delivery>,
    ) -> Result<Self> {
        let partitions = topic.meta().partitions.len();
        let random = u64::from_le_bytes(Uuid::random()?.0[..8].try_into().unwrap_or_default());
        Ok(UntimedProducer {
            store: Arc::clone(store),
            slots: std::iter::repeat_with(Slot::default)
                .take(partitions)
                .collect(),
            next_keyless: (random % partitions.max(1) as u64) as usize,
            building_bytes: 0,
            sequence: 0,
            ledger,
            outbox,
            spare,
            delivery,
            checked: store.clock().monotonic(),
            target: ProducerTopic::new(topic, &options),
            options,
        })
    }

    /// How many partitions the topic has, as last read.
    pub fn partitions(&self) -> usize {
        self.slots.len()
    }

    /// The id of the topic: one of the same name that is created later has another.
    pub fn topic_id(&self) -> Uuid {
        self.target.topic().meta().topic_id
    }

    /// The most bytes of a batch as stored.
    pub fn message_bytes_max(&self) -> usize {
        self.target.message_bytes
    }

    /// How to let the topic take batches of this many bytes.
    pub fn raise_for(&self, bytes: usize) -> String {
        let topic = self.target.topic();
        topic.configs().raise_for(&topic.meta().name, bytes)
    }

    /// The codec that batches are stored with, as last read.
    pub fn compression(&self) -> Compression {
        self.target.compression
    }

    /// How many records [`UntimedProducer::send`] has taken.
    pub fn sent(&self) -> u64 {
        self.sequence
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// Takes a record. It is stored once its batch is full, or is handed on. Returns its partition,
    /// and the number by which its receipt names it.
    ///
    /// # Errors
    /// As long as the producer [has not failed](UntimedProducer::has_failed), nothing of this record is
    /// stored, and others may follow: [`Kind::MessageTooLarge`], [`Kind::UnknownTopic`] (no such
    /// partition). All others: what it failed with, see [`UntimedProducer::close`].
    pub fn send(&mut self, record: &ProducerRecord<'_>) -> Result<Sent> {
        let timestamp = record
            .timestamp
            .unwrap_or_else(|| self.store.clock().now_ms());
        if self.target.needs_key && record.key.is_none() {
            // The topic may have been altered for this record.
            self.refresh_partitions()?;
            self.target.check_key(record)?;
        }
        let at = match (record.partition, record.key) {
            (Some(partition), _) => self.explicit(partition)?,
            (None, Some(key)) => {
                let count = self.slots.len() as PartitionId;
                partition_for_key(self.options.partitioner, key, count) as usize
            }
            (None, None) => self.keyless(),
        };
        let plain = record.key.is_none() && record.headers.is_empty();
        let bytes = RECORD_OVERHEAD_MAX
            + record.key.map_or(0, <[u8]>::len)
            + record.value.map_or(0, <[u8]>::len)
            + record
                .headers
                .iter()
                .map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len) + 10)
                .sum::<usize>();
        if bytes > self.target.batch_bytes {
            // The topic may have been altered for this record.
            self.refresh_partitions()?;
        }
        self.make_room(at, bytes)?;
        let mut builder = self.builder(at)?;
        let before = builder.len_bytes();
        if before + bytes > self.target.message_bytes {
            // Only a record alone comes here: compute its exact size.
            let headers = record.headers.iter().copied();
            let exact = builder.size_with(timestamp, record.key, record.value, headers);
            if let Err(e) = self.target.weigh(&mut builder, exact, record, timestamp) {
                self.give_back(at, builder);
                return Err(e);
            }
        }
        let added = match (plain, record.value) {
            (true, Some(value)) => builder.append_value(timestamp, value),
            _ => builder.append(
                timestamp,
                record.key,
                record.value,
                record.headers.iter().copied(),
            ),
        };
        self.building_bytes += builder.len_bytes() - before;
        let full = builder.len_bytes() >= self.target.batch_bytes;
        self.give_back(at, builder);
        added?;
        self.sequence += 1;
        let sent = self.sent_to(at);
        if full {
            self.dispatch(at)?;
        } else if self.building_bytes > self.options.building_bytes_max {
            self.hand_on()?;
        }
        Ok(sent)
    }

    fn sent_to(&self, at: usize) -> Sent {
        self.slots.get(at).map_or(
            Sent {
                partition: at as PartitionId,
                sequence: 0,
            },
            |slot| slot.sent(at),
        )
    }

    /// [`UntimedProducer::send`] for a value without key and headers: most records are such.
    #[inline]
    pub fn send_value(&mut self, timestamp: Timestamp, value: &[u8]) -> Result<Sent> {
        let at = self.keyless();
        let batch_bytes = self.target.batch_bytes;
        let sequence = self.sequence;
        if !self.target.needs_key
            && let Some(slot) = self.slots.get_mut(at)
            && let Some(builder) = &mut slot.builder
            && !builder.is_empty()
        {
            let before = builder.len_bytes();
            if before + value.len() + RECORD_OVERHEAD_MAX <= batch_bytes {
                builder.append_value(timestamp, value)?;
                self.building_bytes += builder.len_bytes() - before;
                self.sequence = sequence + 1;
                let sent = slot.sent(at);
                if self.building_bytes > self.options.building_bytes_max {
                    self.hand_on()?;
                }
                return Ok(sent);
            }
        }
        self.send(&ProducerRecord {
            partition: Some(at as PartitionId),
            timestamp: Some(timestamp),
            value: Some(value),
            ..ProducerRecord::default()
        })
    }

    /// Hands on all batches in the making, and waits until everything that was sent is acknowledged.
    ///
    /// # Errors
    /// What the producer failed with.
    pub fn flush(&mut self) -> Result<()> {
        self.hand_on()?;
        let settled = self.ledger.wait_for_all();
        settled.map_err(|e| e.at("the producer has failed"))
    }

    /// Hands on all batches in the making, and waits for none of them.
    ///
    /// # Errors
    /// As [`UntimedProducer::flush`].
    pub fn hand_on(&mut self) -> Result<()> {
        for at in 0..self.slots.len() {
            self.dispatch(at)?;
        }
        Ok(())
    }

    /// The caller has no further record now: hands on what has lingered long enough. Returns how
    /// long the rest may still wait, `None` if nothing is left.
    pub fn idle(&mut self) -> Result<Option<Duration>> {
        let now = self.store.clock().monotonic();
        let mut wait = None;
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else {
                continue;
            };
            if slot.builder.as_ref().is_none_or(BatchBuilder::is_empty) {
                continue;
            }
            let age = now.saturating_sub(slot.begun);
            if slot.is_urgent || age >= self.options.linger {
                self.dispatch(at)?;
            } else {
                let left = self.options.linger - age;
                wait = Some(wait.map_or(left, |wait: Duration| wait.min(left)));
            }
        }
        Ok(wait)
    }

    /// Hands on what has lingered long enough, unless the delivery is busy. Returns when to check
    /// again; `None`: nothing is left.
    pub(super) fn hand_on_in_time(&mut self, again: Duration) -> Result<Option<Duration>> {
        if self.building_bytes == 0 {
            return Ok(None);
        }
        if !self.ledger.is_idle_for(self.building_bytes) {
            return Ok(Some(again));
        }
        Ok(self.idle()?.map(|left| left.max(again)))
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The records that were acknowledged since the last call; if there are none, waits up to
    /// `timeout`. Some 65,000 receipts wait to be taken; beyond that the oldest are dropped, though
    /// [`UntimedProducer::acknowledged`] counts them.
    pub fn receipts(&mut self, timeout: Duration) -> Vec<Receipt> {
        self.ledger.receipts(timeout)
    }

    /// The number (from 0, in the order of sending) of the first record that is not acknowledged;
    /// [`UntimedProducer::sent`] if all are.
    pub fn first_unacknowledged(&self) -> u64 {
        let building = self.slots.iter().filter_map(|slot| {
            let building = slot.builder.as_ref().is_some_and(|b| !b.is_empty());
            building.then_some(slot.first_sent)
        });
        let under_way = self.ledger.first_unacknowledged();
        building.chain(under_way).min().unwrap_or(self.sequence)
    }

    /// Whether a failure has ended the delivery: nothing more will be stored.
    pub fn has_failed(&self) -> bool {
        self.ledger.has_failed()
    }

    /// Hands on everything, waits until all of it is acknowledged (and synced, if the topic's
    /// configs ask for that at exit), and ends. `on_receipts` gets the records that are
    /// acknowledged meanwhile.
    ///
    /// # Errors
    /// What went wrong first, with what is acknowledged and what is not.
    pub fn close(mut self, on_receipts: impl FnMut(&[Receipt])) -> Result<u64, Box<Failure>> {
        self.finish(on_receipts)
    }

    pub(super) fn finish(
        &mut self,
        mut on_receipts: impl FnMut(&[Receipt]),
    ) -> Result<u64, Box<Failure>> {
        let flushed = self.hand_on();
        if let Outbox::Channel(jobs) = &mut self.outbox {
            drop(jobs.take());
        }
        loop {
            let ended = self.ledger.has_ended();
            let receipts = self.receipts(Duration::from_millis(if ended { 0 } else { 20 }));
            on_receipts(&receipts);
            if ended && receipts.is_empty() {
                break;
            }
        }
        let acknowledged = self.acknowledged();
        let failure = self.delivery.as_mut().and_then(Delivery::join);
        match failure.or(flushed.err()) {
            None => Ok(acknowledged),
            Some(error) => {
                let first = self.first_unacknowledged();
                Err(Box::new(Failure {
                    error,
                    acknowledged,
                    first_unacknowledged: (first < self.sequence).then_some(first),
                }))
            }
        }
    }

    /// What ended the delivery, for a caller that goes on sending.
    fn failure(&self) -> Error {
        let gone = || Error::new(Kind::Unknown, "the delivery ended unexpectedly");
        let cause = self.ledger.failure().unwrap_or_else(gone);
        cause.at("the producer has failed")
    }

    #[inline]
    fn keyless(&mut self) -> usize {
        let at = self.next_keyless;
        if self.options.keyless == Keyless::RoundRobin {
            self.advance();
        }
        at
    }

    fn advance(&mut self) {
        self.next_keyless += 1;
        if self.next_keyless >= self.slots.len() {
            self.next_keyless = 0;
        }
    }

    /// Hands on the partition's batch if a record of `bytes` does not fit it any more. A new batch
    /// obeys the topic file that the delivery has read.
    fn make_room(&mut self, at: usize, bytes: usize) -> Result<()> {
        let room = self.target.batch_bytes;
        let built = self.slots.get(at).and_then(|slot| slot.builder.as_ref());
        match built.map_or(0, |b| if b.is_empty() { 0 } else { b.len_bytes() }) {
            0 if self.knows_newer_topic() => self.refresh_partitions(),
            0 => Ok(()),
            built if built + bytes > room => self.dispatch(at),
            _ => Ok(()),
        }
    }

    fn builder(&mut self, at: usize) -> Result<BatchBuilder> {
        let taken = self.slots.get_mut(at).and_then(|slot| slot.builder.take());
        let builder = match taken {
            Some(builder) => builder,
            None => self.spare.try_recv().unwrap_or_default(),
        };
        if builder.is_empty()
            && let Some(slot) = self.slots.get_mut(at)
        {
            slot.first_sent = self.sequence;
            slot.begun = self.store.clock().monotonic();
            slot.is_urgent = false;
            if let Outbox::Queue(queue) = &self.outbox {
                slot.completion = Some(Arc::new(Completion::new(&queue.of)));
            }
        }
        if self.ledger.has_failed() {
            self.give_back(at, builder);
            return Err(self.failure());
        }
        Ok(builder)
    }

    fn give_back(&mut self, at: usize, builder: BatchBuilder) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.builder = Some(builder);
        }
    }

    fn dispatch(&mut self, at: usize) -> Result<()> {
        let Some(slot) = self.slots.get_mut(at) else {
            return Ok(());
        };
        let Some(builder) = slot.builder.take_if(|builder| !builder.is_empty()) else {
            return Ok(());
        };
        let (count, bytes) = (builder.count() as u64, builder.len_bytes());
        let batch = Batch {
            partition: at as PartitionId,
            first_sent: slot.first_sent,
            count,
            bytes,
            building: self.building_bytes,
            completion: slot.completion.clone(),
        };
        let entered = match &self.outbox {
            // The waits here and below slow the caller to the disk's pace.
            Outbox::Channel(_) => self.ledger.enter(batch),
            Outbox::Queue(..) => self.ledger.enter_at_once(batch),
        };
        let Some(ticket) = entered else {
            slot.builder = Some(builder);
            return Err(self.failure());
        };
        slot.first += count;
        self.building_bytes -= bytes - BATCH_HEADER_LEN;
        if self.options.keyless == Keyless::Sticky && self.next_keyless == at {
            self.advance();
        }
        let job = PendingBatch { builder, ticket };
        let sent = match &mut self.outbox {
            Outbox::Channel(jobs) => jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()),
            Outbox::Queue(queue) => {
                queue.jobs.push_back(job);
                queue.has_new = true;
                true
            }
        };
        if !sent {
            return Err(self.failure());
        }
        self.refresh_now_and_then();
        Ok(())
    }

    fn refresh_now_and_then(&mut self) {
        let now = self.store.clock().monotonic();
        if self.knows_newer_topic() || now - self.checked >= METADATA_INTERVAL {
            self.checked = now;
            // The batch is handed on: the delivery reports its outcome.
            let _ = self.refresh_partitions();
        }
    }
}

impl Drop for UntimedProducer {
    fn drop(&mut self) {
        if matches!(self.outbox, Outbox::Channel(Some(_))) {
            // `drop` cannot return an error.
            let _ = self.finish(|_| ());
        }
    }
}
