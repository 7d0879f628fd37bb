//! The producer: a timer thread hands on batches that have lingered, so that [`Producer::send`]
//! alone stores a record in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::Ledger;
use super::producer_options::{ProducerOptions, ProducerRecord, Receipt, Sent};
use super::untimed_producer::{Failure, UntimedProducer};
use crate::error::{Error, Result};
use crate::store::StoreDir;
use crate::types::{Timestamp, TopicName};

/// The shortest interval of the timer's checks.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Sends records to one topic. A record is handed on once its batch is full, or
/// [`ProducerOptions::linger`] after the batch was begun. The receipts say which records are
/// acknowledged.
///
/// Dropping it hands on what was sent, and waits as [`Producer::close`] does; an error is lost
/// then.
#[must_use = "close it to learn whether everything is stored"]
#[derive(Debug)]
pub struct Producer {
    timed: Arc<Timed>,
    ledger: Arc<Ledger>,
    timer: Option<JoinHandle<()>>,
}

/// What the caller and the timer share.
#[derive(Debug)]
struct Timed {
    producer: Mutex<UntimedProducer>,
    /// The timer waits for the first record of a batch.
    sleeps: AtomicBool,
    closed: AtomicBool,
}

impl Timed {
    fn lock(&self) -> MutexGuard<'_, UntimedProducer> {
        // A panic in another thread leaves whole batches: a record that was not added was not sent.
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timer's thread. It only tries the lock: a caller that has it is at work, and must not be
    /// delayed.
    fn keep_time(&self) {
        while !self.closed.load(Ordering::Acquire) {
            let wait = match self.producer.try_lock() {
                Err(_) => Some(POLL_INTERVAL),
                Ok(mut producer) => {
                    let wait = match producer.hand_on_in_time(POLL_INTERVAL) {
                        // The caller's next call reports it.
                        Err(_) if producer.has_failed() => None,
                        Err(_) => Some(POLL_INTERVAL),
                        Ok(wait) => wait,
                    };
                    // Under the lock: the next `send` sees it.
                    self.sleeps.store(wait.is_none(), Ordering::Relaxed);
                    wait
                }
            };
            match wait {
                Some(wait) => std::thread::park_timeout(wait),
                None => std::thread::park(),
            }
        }
    }
}

impl Producer {
    /// Opens a topic for sending.
    ///
    /// # Errors
    /// As [`UntimedProducer::open`].
    pub fn open(
        store: &Arc<StoreDir>,
        topic: &TopicName,
        options: ProducerOptions,
    ) -> Result<Self> {
        let producer = UntimedProducer::open(store, topic, options)?;
        let ledger = Arc::clone(producer.ledger());
        let timed = Arc::new(Timed {
            producer: Mutex::new(producer),
            sleeps: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&timed);
        let timer = std::thread::Builder::new()
            .name("linger".to_owned())
            .spawn(move || for_thread.keep_time())
            .map_err(|e| {
                Error::io("start a thread for", "linger", e)
                    .cure("raise the limit on threads (ulimit -u)")
            })?;
        Ok(Producer {
            timed,
            ledger,
            timer: Some(timer),
        })
    }

    /// How many partitions the topic has, as last read.
    pub fn partitions(&self) -> usize {
        self.timed.lock().partitions()
    }

    /// The most bytes of a batch as stored, as last read.
    pub fn message_bytes_max(&self) -> usize {
        self.timed.lock().message_bytes_max()
    }

    /// How many records [`Producer::send`] has taken.
    pub fn sent(&self) -> u64 {
        self.timed.lock().sent()
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// The number (from 0, in the order of sending) of the first record that is not acknowledged;
    /// [`Producer::sent`] if all are.
    pub fn first_unacknowledged(&self) -> u64 {
        self.timed.lock().first_unacknowledged()
    }

    /// Takes a record. Returns its partition, and the number by which its receipt names it.
    ///
    /// # Errors
    /// As long as the producer [has not failed](Producer::has_failed), nothing of this record is stored,
    /// and others may follow: [`crate::error::Kind::MessageTooLarge`],
    /// [`crate::error::Kind::UnknownTopic`] (no such partition). All others: what the producer failed
    /// with, see [`Producer::close`].
    pub fn send(&mut self, record: &ProducerRecord<'_>) -> Result<Sent> {
        let mut producer = self.timed.lock();
        let sent = producer.send(record);
        self.wake_timer();
        sent
    }

    /// [`Producer::send`] for a value without key and headers.
    ///
    /// # Errors
    /// As [`Producer::send`].
    #[inline]
    pub fn send_value(&mut self, timestamp: Timestamp, value: &[u8]) -> Result<Sent> {
        let mut producer = self.timed.lock();
        let sent = producer.send_value(timestamp, value);
        self.wake_timer();
        sent
    }

    /// The caller has the lock.
    #[inline]
    fn wake_timer(&self) {
        if self.timed.sleeps.load(Ordering::Relaxed)
            && let Some(timer) = &self.timer
        {
            self.timed.sleeps.store(false, Ordering::Relaxed);
            timer.thread().unpark();
        }
    }

    /// Hands on all batches in the making, and waits until everything that was sent is acknowledged.
    ///
    /// # Errors
    /// What the producer failed with.
    pub fn flush(&mut self) -> Result<()> {
        self.timed.lock().flush()
    }

    /// Hands on all batches in the making, and waits for none of them.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub fn hand_on(&mut self) -> Result<()> {
        self.timed.lock().hand_on()
    }

    /// The records that were acknowledged since the last call; if there are none, waits up to
    /// `timeout`. Some 65,000 receipts wait to be taken; beyond that the oldest are dropped, though
    /// [`Producer::acknowledged`] counts them.
    pub fn receipts(&mut self, timeout: Duration) -> Vec<Receipt> {
        self.ledger.receipts(timeout)
    }

    /// Whether a failure has ended the delivery: nothing more will be stored.
    pub fn has_failed(&self) -> bool {
        self.ledger.has_failed()
    }

    /// Whether the topic takes a record of that size, by its topic file as last read. Nothing is
    /// sent.
    ///
    /// # Errors
    /// [`crate::error::Kind::MessageTooLarge`].
    pub fn check(&self, record: &ProducerRecord<'_>) -> Result<()> {
        self.timed.lock().check(record)
    }

    /// Reads the topic file again: it applies to all records sent from now on. While it cannot be
    /// read, its last content applies.
    ///
    /// # Errors
    /// [`crate::error::Kind::UnknownTopic`] if the topic is gone.
    pub fn refresh_partitions(&mut self) -> Result<()> {
        self.timed.lock().refresh_partitions()
    }

    /// Hands on everything, waits until all of it is acknowledged (and synced, if the topic's
    /// configs ask for that at exit), and ends. `on_receipts` gets the records that are
    /// acknowledged meanwhile.
    ///
    /// # Errors
    /// What went wrong first, with what is acknowledged and what is not.
    pub fn close(mut self, on_receipts: impl FnMut(&[Receipt])) -> Result<u64, Box<Failure>> {
        self.stop_timer();
        self.timed.lock().finish(on_receipts)
    }

    fn stop_timer(&mut self) {
        self.timed.closed.store(true, Ordering::Release);
        if let Some(timer) = self.timer.take() {
            timer.thread().unpark();
            // A panic of the timer loses nothing: all sent records are handed on at the end.
            let _ = timer.join();
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop_timer();
    }
}
