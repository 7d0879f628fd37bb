//! The producer, shared by threads.

use std::fmt;
use std::sync::Arc;

use super::failure::Failure;
use super::record_ref::RecordRef;
use super::sent::Sent;
use crate::client::{self, Sending, SharedProducer, SharedSent, WhenFull};
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;

/// How many records [`Producer::send_all`] takes from the iterator at once, before it takes the
/// lock.
const CHUNK: usize = 64;

/// Sends records to one topic. A clone is another handle of the same producer: threads share it.
///
/// - A sent record is delivered without another call.
/// - Records of one partition are stored in the order in which they were sent.
/// - While one batch is made durable, the records of all threads gather in the next: threads that each
///   wait for their records share the cost.
/// - When the last clone is dropped, the producer waits until everything is acknowledged, up to the
///   store's timeout. Close it to get the error if it failed. If the function of
///   [`ProducerOptions::on_delivery`](super::ProducerOptions::on_delivery) drops the last clone, it does
///   not wait; what was sent is delivered if the process lives on.
///
/// After its first failure a producer stores nothing more. Open another one to continue.
///
/// ```
/// use mq::{NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let path = scratch.path().join("store");
/// let store = Store::open(path)?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// let orders = store.producer("orders").open()?;
/// std::thread::scope(|scope| {
///     for name in ["a", "b"] {
///         let orders = &orders;
///         scope.spawn(move || orders.send((name, "paid"))?.wait());
///     }
/// });
/// assert_eq!(orders.close()?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    topic: Arc<str>,
    engine: Arc<SharedProducer>,
    store: Arc<StoreDir>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn new(topic: Arc<str>, engine: SharedProducer, store: &Arc<StoreDir>) -> Self {
        Producer {
            topic,
            engine: Arc::new(engine),
            store: Arc::clone(store),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Sends a record. Waits while `in_flight_bytes` are unacknowledged.
    ///
    /// # Errors
    /// [`Kind::MessageTooLarge`], [`Kind::InvalidRecord`], and [`Kind::UnknownTopic`] for a missing
    /// partition: this record is not stored, and others may follow. [`Kind::Busy`]: no room within
    /// the store's timeout. All others: the error that the producer failed with.
    pub fn send<'r>(&self, record: impl Into<RecordRef<'r>>) -> Result<Sent> {
        let sent = self.send_one(&record.into(), WhenFull::Wait)?;
        sent.ok_or_else(|| Error::new(Kind::Busy, "no room for the record"))
    }

    /// As [`Producer::send`]; `None` if that would wait: the record is then not sent.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn try_send<'r>(&self, record: impl Into<RecordRef<'r>>) -> Result<Option<Sent>> {
        self.send_one(&record.into(), WhenFull::Return)
    }

    #[inline]
    fn send_one(&self, record: &RecordRef<'_>, when_full: WhenFull) -> Result<Option<Sent>> {
        let mut sending = self.engine.sending(when_full);
        let sent = self.put(&mut sending, record)?;
        Ok(sent.and_then(|sent| {
            let completion = Arc::clone(sending.completion(sent.partition)?);
            Some(Sent::new(SharedSent { sent, completion }))
        }))
    }

    #[inline]
    fn put(
        &self,
        sending: &mut Sending<'_>,
        record: &RecordRef<'_>,
    ) -> Result<Option<client::Sent>> {
        let sent = match record.plain_value() {
            Some(value) => {
                let now = || self.store.clock().now_ms();
                sending.send_value(record.timestamp.unwrap_or_else(now), value)
            }
            None => record.with_engine_record(|engine| sending.send(engine, record.size_bytes())),
        };
        sent.map_err(|e| self.placed(e, record.partition))
    }

    /// Sends several records at once, which takes the producer's lock once for many of them. The
    /// returned value stands for all: waiting for it waits for each.
    ///
    /// # Errors
    /// As [`Producer::send`]; the records before the refused one are sent. [`Kind::Usage`] for no record
    /// at all.
    pub fn send_all<'r>(&self, records: impl IntoIterator<Item = RecordRef<'r>>) -> Result<Sent> {
        let mut records = records.into_iter();
        let mut last = None;
        let mut chunk = [RecordRef::default(); CHUNK];
        loop {
            // Without the lock: the iterator is the caller's, and may be slow or use this producer.
            let mut count = 0;
            for (place, record) in chunk.iter_mut().zip(records.by_ref()) {
                *place = record;
                count += 1;
            }
            self.send_chunk(&chunk[..count], &mut last)?;
            if count < CHUNK {
                break;
            }
        }
        last.ok_or_else(|| Error::new(Kind::Usage, "no record to send"))
    }

    /// Sends these records under one lock. `last` stands for the records sent before, and then for
    /// these, too.
    fn send_chunk(&self, records: &[RecordRef<'_>], last: &mut Option<Sent>) -> Result<()> {
        let mut sending = self.engine.sending(WhenFull::Wait);
        for record in records {
            let sent = self.put(&mut sending, record)?;
            let Some((sent, batch)) =
                sent.and_then(|s| Some((s, sending.completion(s.partition)?)))
            else {
                continue;
            };
            // The last record of a batch stands for the earlier ones.
            if let Some(last) = last
                && last.extended_by(sent, batch)
            {
                continue;
            }
            let completion = Arc::clone(batch);
            let sent = SharedSent { sent, completion };
            match last {
                Some(last) => last.followed_by(sent),
                None => *last = Some(Sent::new(sent)),
            }
        }
        Ok(())
    }

    fn placed(&self, error: Error, partition: Option<i32>) -> Error {
        let error = error.of_topic(&self.topic);
        match partition {
            Some(partition) => error.of_partition(partition),
            None => error,
        }
    }

    /// Waits until everything that was sent before is acknowledged.
    ///
    /// # Errors
    /// What the producer failed with; [`Kind::Unknown`] after the store's timeout.
    pub fn flush(&self) -> Result<()> {
        self.engine.flush().map_err(|e| self.placed(e, None))
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.engine.acknowledged()
    }

    /// Bytes that are sent and not acknowledged.
    pub fn in_flight_bytes(&self) -> usize {
        self.engine.unacknowledged_bytes()
    }

    /// Waits until everything that was sent is acknowledged, and ends the producer, for its clones,
    /// too. Returns how many records are acknowledged.
    ///
    /// # Errors
    /// What went wrong first, with what is acknowledged and what is not. After the store's timeout:
    /// [`Kind::Unknown`].
    pub fn close(self) -> Result<u64, Failure> {
        self.engine.close().map_err(|error| Failure {
            error: self.placed(error, None),
            acknowledged: self.engine.acknowledged(),
            unacknowledged: self.engine.unacknowledged(),
        })
    }
}
