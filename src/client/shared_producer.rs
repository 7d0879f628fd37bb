//! The producer that threads share: records are built into batches under one lock, and the
//! appending thread takes a batch when it has nothing else to do.
//!
//! 1. A sent record is delivered without another call: the appending thread wakes up for the first
//!    record of a batch, and for a batch whose linger has passed.
//! 2. Group commit: while a batch is not acknowledged, the next one fills. The appending thread
//!    takes it when the previous one is acknowledged, when it is full, or [`GATHER_MAX`] after its
//!    linger, whichever comes first. So one sync makes durable what all threads sent during the
//!    previous sync. In a stream of records that no caller waits for, a batch fills for
//!    [`STREAM_INTERVAL`].
//! 3. The sent and unacknowledged bytes are bounded by
//!    [`ProducerOptions::unacknowledged_bytes_max`], batches in the making included. A sender waits
//!    for room without the lock.
//! 4. Each record has an outcome: its receipt, or an error. See [`Completion`].
//! 5. Each wait of a caller ends after [`ProducerOptions::timeout`].
//!
//! The promises of [`UntimedProducer`] hold as well, since its batches are used. No thread waits
//! for the delivery while it holds the lock. Locks are taken in this order: the batches, the
//! ledger, a completion.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::appender_waker::AppenderWaker;
use super::completion::Completion;
use super::delivery::Delivery;
use super::delivery::delivery_state::{PendingBatch, PendingBatches};
use super::ledger::{Ledger, Listener};
use super::producer_options::{ProducerOptions, ProducerRecord, Sent};
use super::untimed_producer::{Pace, UntimedProducer};
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;
use crate::types::{PartitionId, Timestamp, TopicName};

/// How long beyond its linger a batch fills while the previous one is not acknowledged.
const GATHER_MAX: Duration = Duration::from_millis(2);
/// Interval of batches that are not full, of records that no caller waits for.
const STREAM_INTERVAL: Duration = Duration::from_millis(1);

/// Sends records to one topic, for any number of threads.
///
/// Dropping it does as [`SharedProducer::close`]; an error is lost then. If its listener drops it, on one
/// of its own threads, that thread does not wait: it delivers what was sent, and ends.
#[derive(Debug)]
pub struct SharedProducer {
    core: Arc<Core>,
    timeout: Duration,
    delivery: Mutex<Option<Delivery>>,
}

/// What the senders and the appending thread share.
#[derive(Debug)]
struct Core {
    batches: Mutex<Batches>,
    ledger: Arc<Ledger>,
    appender: Arc<AppenderWaker>,
    bytes_max: usize,
    /// The appending thread parks until there is a record.
    appender_sleeps: AtomicBool,
}

#[derive(Debug)]
struct Batches {
    producer: UntimedProducer,
    /// No more records are taken.
    closed: bool,
}

/// A record that was taken, and the outcome of its batch.
#[derive(Debug, Clone)]
pub struct SharedSent {
    /// Its partition, and its number within that.
    pub sent: Sent,
    /// The outcome of its batch.
    pub completion: Arc<Completion>,
}

/// Records of one partition that were sent and are not acknowledged.
///
/// ```
/// use mq::Failure;
///
/// fn left(failure: &Failure) -> u64 {
///     failure.unacknowledged.iter().map(|of_partition| of_partition.count).sum()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unacknowledged {
    /// The partition.
    pub partition: PartitionId,
    /// The number of the first of them among the records sent to the partition, from 0.
    pub first_sequence: u64,
    /// How many.
    pub count: u64,
}

/// What a sender does if there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits, up to the timeout.
    Wait,
    /// It returns without having sent.
    Return,
}

impl Core {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Batches> {
        // A panic in another thread leaves whole batches: a record that was not added was not sent.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn is_full(&self, batches: &Batches, bytes: usize) -> bool {
        let used = self.ledger.bytes() + batches.producer.building_bytes();
        used > 0 && used.saturating_add(bytes) > self.bytes_max
    }

    /// Why no more records are taken.
    fn refusal(&self) -> Error {
        match self.ledger.failure() {
            Some(failure) => failure.at("the producer has failed"),
            None => Error::new(Kind::Usage, "the producer is closed")
                .cure("open another one to send more"),
        }
    }

    /// No more batches are handed on.
    fn stop(&self) {
        let mut batches = self.lock();
        batches.closed = true;
        let gone = || Error::new(Kind::Unknown, "the delivery ended unexpectedly");
        let cause = self.ledger.failure().unwrap_or_else(gone);
        batches.producer.fail_building(&cause.at("not sent"));
    }
}

impl SharedProducer {
    /// Opens a topic for sending; `listener` is notified of each outcome.
    ///
    /// # Errors
    /// As [`UntimedProducer::open`].
    pub fn open(
        store: &Arc<StoreDir>,
        topic: &TopicName,
        options: ProducerOptions,
        listener: Option<Box<dyn Listener>>,
    ) -> Result<Self> {
        let bytes_max = options.unacknowledged_bytes_max;
        let appender = Arc::new(AppenderWaker::default());
        let ledger = Ledger::with_completions(bytes_max, Arc::clone(&appender), listener);
        let ledger = Arc::new(ledger);
        let for_delivery = options.clone();
        let (producer, give_back) = UntimedProducer::open_queued(
            store,
            topic,
            options,
            Arc::clone(&ledger),
            Arc::clone(&appender),
        )?;
        let core = Arc::new(Core {
            batches: Mutex::new(Batches {
                producer,
                closed: false,
            }),
            ledger: Arc::clone(&ledger),
            appender,
            bytes_max,
            appender_sleeps: AtomicBool::new(false),
        });
        let jobs = SharedBatches {
            core: Arc::clone(&core),
            is_known: false,
            taken: Duration::ZERO,
            last: None,
        };
        let (store, topic) = (Arc::clone(store), topic.clone());
        let delivery = Delivery::start(store, topic, &for_delivery, ledger, jobs, give_back)?;
        Ok(SharedProducer {
            core,
            timeout: for_delivery.timeout,
            delivery: Mutex::new(Some(delivery)),
        })
    }

    /// Takes the lock, for one record or several.
    #[inline]
    pub fn sending(&self, when_full: WhenFull) -> Sending<'_> {
        Sending {
            batches: Some(self.core.lock()),
            shared: self,
            when_full,
            wakes: false,
        }
    }

    /// Waits until everything that was sent before is acknowledged.
    ///
    /// # Errors
    /// What the producer failed with; [`Kind::Unknown`] if it takes longer than the timeout.
    pub fn flush(&self) -> Result<()> {
        let mut batches = self.core.lock();
        let wanted = batches.producer.sent_by_partition();
        batches.producer.hurry();
        drop(batches);
        self.core.appender.wake();
        match self.core.ledger.wait_until(&wanted, self.timeout) {
            Some(settled) => settled.map_err(|e| e.at("the producer has failed")),
            None => Err(late("records", self.timeout)),
        }
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.core.ledger.acknowledged()
    }

    /// Bytes that are sent and not acknowledged.
    pub fn unacknowledged_bytes(&self) -> usize {
        let batches = self.core.lock();
        self.core.ledger.bytes() + batches.producer.building_bytes()
    }

    /// What was sent and is not acknowledged, by partition.
    pub fn unacknowledged(&self) -> Vec<Unacknowledged> {
        let sent = self.core.lock().producer.sent_by_partition();
        let lacking = sent.into_iter().filter_map(|(partition, sent)| {
            let first_sequence = self.core.ledger.acknowledged_of(partition);
            let count = sent.checked_sub(first_sequence).filter(|n| *n > 0)?;
            Some(Unacknowledged {
                partition,
                first_sequence,
                count,
            })
        });
        lacking.collect()
    }

    /// Takes nothing more, and waits until everything that was sent is acknowledged. Returns how many
    /// records are.
    ///
    /// # Errors
    /// What the producer failed with; [`Kind::Unknown`] if it takes longer than the timeout: what is
    /// not acknowledged by then may still be stored.
    pub fn close(&self) -> Result<u64> {
        self.take_no_more();
        let delivery = &self.delivery;
        let mut delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.core.ledger.wait_for_end(self.timeout) {
            // Its threads end by themselves once the disk lets them.
            return Err(late("the last records", self.timeout));
        }
        match delivery.as_mut().and_then(Delivery::join) {
            None => Ok(self.acknowledged()),
            Some(error) => Err(error),
        }
    }
}

impl SharedProducer {
    fn take_no_more(&self) {
        self.core.lock().closed = true;
        self.core.appender.wake();
    }
}

impl Drop for SharedProducer {
    fn drop(&mut self) {
        if self.core.ledger.is_in_listener() {
            // A wait would be for the thread that runs this.
            self.take_no_more();
            return;
        }
        // `drop` cannot return an error.
        let _ = self.close();
    }
}

fn late(what: &str, timeout: Duration) -> Error {
    Error::new(
        Kind::Unknown,
        format!("{what} are not acknowledged after {timeout:?}; they may still be stored later"),
    )
    .cure("wait longer (timeout), or read them back before sending them again")
}

/// A sender that holds the lock.
#[derive(Debug)]
pub struct Sending<'a> {
    shared: &'a SharedProducer,
    batches: Option<MutexGuard<'a, Batches>>,
    when_full: WhenFull,
    /// The appending thread has to be woken.
    wakes: bool,
}

impl Drop for Sending<'_> {
    #[inline]
    fn drop(&mut self) {
        // Before the wake-up: the appending thread would wait for the lock.
        self.batches = None;
        if self.wakes {
            self.shared.core.appender.wake();
        }
    }
}

impl Sending<'_> {
    /// Takes a record of about this many bytes. `None`: there was no room, and `when_full` says not
    /// to wait.
    ///
    /// # Errors
    /// As [`UntimedProducer::send`]; [`Kind::Busy`] if there was no room within the timeout,
    /// [`Kind::Usage`] if the producer is closed.
    pub fn send(&mut self, record: &ProducerRecord<'_>, bytes: usize) -> Result<Option<Sent>> {
        self.add(bytes, |producer| producer.send(record))
    }

    /// As [`Sending::send`] for a value without key and headers.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_value(&mut self, timestamp: Timestamp, value: &[u8]) -> Result<Option<Sent>> {
        self.add(value.len(), |producer| {
            producer.send_value(timestamp, value)
        })
    }

    #[inline]
    fn add(
        &mut self,
        bytes: usize,
        add: impl FnOnce(&mut UntimedProducer) -> Result<Sent>,
    ) -> Result<Option<Sent>> {
        let core = &*self.shared.core;
        loop {
            let batches = self.batches.get_or_insert_with(|| core.lock());
            if batches.closed {
                return Err(core.refusal());
            }
            if !core.is_full(batches, bytes) {
                let sent = add(&mut batches.producer);
                if batches.producer.take_has_new_jobs()
                    | core.appender_sleeps.load(Ordering::Relaxed)
                {
                    core.appender_sleeps.store(false, Ordering::Relaxed);
                    self.wakes = true;
                }
                return sent.map(Some);
            }
            if !self.wait_for_room(bytes)? {
                return Ok(None);
            }
        }
    }

    /// Whether there may be room now.
    #[cold]
    fn wait_for_room(&mut self, bytes: usize) -> Result<bool> {
        let (core, timeout) = (&*self.shared.core, self.shared.timeout);
        let known = core.ledger.acknowledged();
        let batches = self.batches.get_or_insert_with(|| core.lock());
        if !core.is_full(batches, bytes) {
            // There is room since the caller checked.
            return Ok(true);
        }
        batches.producer.hurry();
        self.batches = None;
        core.appender.wake();
        if self.when_full == WhenFull::Return {
            return Ok(false);
        }
        if core.ledger.wait_for_more(known, timeout) {
            return Ok(true);
        }
        let text = format!(
            "REQUEST_TIMED_OUT: no record was acknowledged for {timeout:?}, and the unacknowledged bytes \
             are at their limit"
        );
        Err(Error::new(Kind::Busy, text)
            .cure("wait longer (timeout), or raise the limit (in_flight_bytes)"))
    }

    /// The outcome of the batch of the last record taken for a partition. The next call may release
    /// the lock.
    #[inline]
    pub fn completion(&self, partition: PartitionId) -> Option<&Arc<Completion>> {
        self.batches.as_ref()?.producer.completion(partition)
    }
}

/// Where the appending thread takes its batches.
struct SharedBatches {
    core: Arc<Core>,
    is_known: bool,
    /// When it last took a batch that was not full, and that batch's outcome.
    taken: Duration,
    last: Option<Arc<Completion>>,
}

/// What the appending thread is to do.
enum Next {
    Append(PendingBatch),
    /// Nothing to do for this long; `None`: until a record is sent.
    Wait(Option<Duration>),
    End,
}

impl SharedBatches {
    fn observe(&mut self) -> Next {
        let core = &*self.core;
        let mut batches = core.lock();
        core.appender_sleeps.store(false, Ordering::Relaxed);
        if core.ledger.has_failed() {
            return Next::End;
        }
        if let Some(job) = batches.producer.take_job() {
            return Next::Append(job);
        }
        // Before the checks whether a batch is in flight, and whether a caller waits.
        core.appender.wants_progress(true);
        let is_stream = self.last.as_ref().is_some_and(|last| !last.is_awaited());
        let pace = Pace {
            gather: match core.ledger.bytes() {
                0 => Duration::ZERO,
                _ => GATHER_MAX,
            },
            unawaited_from: if is_stream {
                self.taken + STREAM_INTERVAL
            } else {
                Duration::ZERO
            },
        };
        let handed_on = if batches.closed {
            batches.producer.hand_on().map(|()| None)
        } else {
            batches.producer.hand_on_due(pace)
        };
        match (handed_on, batches.producer.take_job()) {
            (_, Some(job)) => {
                // It does not park, and checks again before it does.
                core.appender.wants_progress(false);
                self.taken = batches.producer.now();
                self.last = batches.producer.completion(job.ticket.partition()).cloned();
                Next::Append(job)
            }
            // The producer has failed.
            (Err(_), None) => Next::End,
            (Ok(_), None) if batches.closed => Next::End,
            (Ok(wait), None) => {
                let sleeps = wait.is_none();
                core.appender_sleeps.store(sleeps, Ordering::Relaxed);
                core.appender.wants_progress(!sleeps);
                Next::Wait(wait)
            }
        }
    }
}

impl PendingBatches for SharedBatches {
    fn next(&mut self, timeout: Option<Duration>) -> Result<PendingBatch, RecvTimeoutError> {
        if !self.is_known {
            self.core.appender.set_thread();
            self.is_known = true;
        }
        loop {
            let wait = match self.observe() {
                Next::Append(job) => return Ok(job),
                Next::End => {
                    self.core.stop();
                    return Err(RecvTimeoutError::Disconnected);
                }
                Next::Wait(wait) => wait,
            };
            match (wait, timeout) {
                (None, None) => std::thread::park(),
                (Some(wait), None) => std::thread::park_timeout(wait),
                (wait, Some(timeout)) => {
                    std::thread::park_timeout(wait.map_or(timeout, |wait| wait.min(timeout)));
                    return Err(RecvTimeoutError::Timeout);
                }
            }
        }
    }
}

impl Drop for SharedBatches {
    /// Also runs if the appending thread panics.
    fn drop(&mut self) {
        self.core.stop();
    }
}
