//! The part of a [`SharedProducer`](crate::client::SharedProducer): handed-on batches are kept here
//! until the appending thread takes them, and each has a [`Completion`]. Nothing here waits, since
//! callers hold the lock that the appending thread needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::pace::Pace;
use super::{
    BatchBuilder, BatchQueue, Ledger, Outbox, PendingBatch, ProducerOptions, Slot, UntimedProducer,
};
use crate::client::appender_waker::AppenderWaker;
use crate::client::completion::{Completion, CompletionOf};
use crate::error::{Error, Result};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{PartitionId, TopicName};

impl Slot {
    fn is_building(&self) -> bool {
        self.builder.as_ref().is_some_and(|b| !b.is_empty())
    }

    /// When its batch is to be handed on, full or not.
    fn due(&self, linger: Duration, pace: Pace) -> Duration {
        let is_awaited = || self.completion.as_ref().is_some_and(|one| one.is_awaited());
        let (linger, earliest) = match self.is_urgent {
            true => (Duration::ZERO, Duration::ZERO),
            false if is_awaited() => (linger, Duration::ZERO),
            false => (linger, pace.unawaited_from),
        };
        let due = self.begun.saturating_add(linger).max(earliest);
        due.saturating_add(pace.gather)
    }
}

impl UntimedProducer {
    /// As [`UntimedProducer::open`], without threads. Also returns where builders are returned to.
    ///
    /// # Errors
    /// As there.
    pub(in crate::client) fn open_queued(
        store: &Arc<StoreDir>,
        topic: &TopicName,
        options: ProducerOptions,
        ledger: Arc<Ledger>,
        appender: Arc<AppenderWaker>,
    ) -> Result<(Self, Sender<BatchBuilder>)> {
        let topic = TopicHandle::open(store, topic)?;
        let of = CompletionOf {
            topic: topic.meta().name.clone(),
            timeout: options.timeout,
            appender,
            clock: Arc::clone(store.clock()),
        };
        let (give_back, spare) = channel();
        let outbox = Outbox::Queue(BatchQueue {
            jobs: VecDeque::new(),
            has_new: false,
            of: Arc::new(of),
        });
        let producer = Self::with_parts(store, topic, options, ledger, outbox, spare, None)?;
        Ok((producer, give_back))
    }

    /// Takes the batch that was handed on first.
    pub(in crate::client) fn take_job(&mut self) -> Option<PendingBatch> {
        match &mut self.outbox {
            Outbox::Queue(queue) => queue.jobs.pop_front(),
            Outbox::Channel(_) => None,
        }
    }

    /// Whether a batch was handed on since the last call.
    #[inline]
    pub(in crate::client) fn take_has_new_jobs(&mut self) -> bool {
        match &mut self.outbox {
            Outbox::Queue(queue) => std::mem::take(&mut queue.has_new),
            Outbox::Channel(_) => false,
        }
    }

    /// Bytes of all batches in the making.
    #[inline]
    pub(in crate::client) fn building_bytes(&self) -> usize {
        self.building_bytes
    }

    /// The outcome of the batch with the last record of a partition.
    #[inline]
    pub(in crate::client) fn completion(&self, partition: PartitionId) -> Option<&Arc<Completion>> {
        let slot = self.slots.get(usize::try_from(partition).ok()?)?;
        slot.completion.as_ref()
    }

    /// Hands on the batches whose time has come. Returns how long the rest may still wait, `None`
    /// if nothing is left.
    ///
    /// # Errors
    /// What the delivery failed with.
    pub(in crate::client) fn hand_on_due(&mut self, pace: Pace) -> Result<Option<Duration>> {
        if self.building_bytes == 0 {
            return Ok(None);
        }
        let now = self.store.clock().monotonic();
        let mut wait: Option<Duration> = None;
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at).filter(|slot| slot.is_building()) else {
                continue;
            };
            let left = slot.due(self.options.linger, pace).saturating_sub(now);
            if left.is_zero() {
                self.dispatch(at)?;
            } else {
                wait = Some(wait.map_or(left, |wait| wait.min(left)));
            }
        }
        Ok(wait)
    }

    /// The time that batches are handed on by.
    pub(in crate::client) fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    /// A caller waits for all sent records: no batch in the making lingers.
    pub(in crate::client) fn hurry(&mut self) {
        for slot in &mut self.slots {
            slot.is_urgent = true;
        }
    }

    /// How many records were sent to each partition, if any were.
    pub(in crate::client) fn sent_by_partition(&self) -> Vec<(PartitionId, u64)> {
        let counts = self
            .slots
            .iter()
            .map(|slot| slot.first + slot.builder.as_ref().map_or(0, BatchBuilder::count) as u64);
        let numbered = counts.enumerate().map(|(at, n)| (at as PartitionId, n));
        numbered.filter(|(_, count)| *count > 0).collect()
    }

    /// The batches in the making will not be handed on: callers that wait for their records get the
    /// error.
    pub(in crate::client) fn fail_building(&mut self, error: &Error) {
        let building = self.slots.iter().filter(|slot| slot.is_building());
        for completion in building.filter_map(|slot| slot.completion.as_ref()) {
            completion.fail(error);
        }
    }
}
