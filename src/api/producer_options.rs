//! How a producer sends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::producer::Producer;
use super::receipt::Receipt;
use super::store::Store;
use crate::client::{self, Acks, Keyless, Listener};
use crate::error::{Error, Result};
use crate::types::{Compression, TopicName};

type OnDelivery = Box<dyn FnMut(Result<Receipt>) + Send>;

/// How a [`Producer`] sends: made by [`Store::producer`]; [`ProducerOptions::open`] opens the producer.
///
/// ```
/// use std::time::Duration;
/// use mq::{Compression, NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let path = scratch.path().join("store");
/// let store = Store::open(path)?;
/// store.admin().ensure_topic(NewTopic::new("metrics").partitions(4))?;
/// let metrics = store
///     .producer("metrics")
///     .linger(Duration::from_millis(5))
///     .compression(Compression::Zstd)
///     .open()?;
/// metrics.send(("cpu", "0.25"))?;
/// assert_eq!(metrics.close()?, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "end it with open()"]
pub struct ProducerOptions {
    store: Store,
    topic: String,
    engine: client::ProducerOptions,
    on_delivery: Option<OnDelivery>,
}

impl fmt::Debug for ProducerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerOptions")
            .field("topic", &self.topic)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Options of a producer for a topic; open it with [`ProducerOptions::open`].
    pub fn producer(&self, topic: &str) -> ProducerOptions {
        ProducerOptions {
            engine: client::ProducerOptions {
                timeout: self.timeout(),
                keyless: Keyless::Sticky,
                ..client::ProducerOptions::default()
            },
            store: self.clone(),
            topic: topic.to_owned(),
            on_delivery: None,
        }
    }
}

impl ProducerOptions {
    /// When a record counts as acknowledged. Default: [`Acks::All`].
    pub fn acks(mut self, acks: Acks) -> Self {
        self.engine.acks = acks;
        self
    }

    /// How long a batch waits for more records while no other batch is in flight. Default: 0, at
    /// once.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.engine.linger = linger;
        self
    }

    /// The codec if the topic's `compression.type` is `producer`. Default: none.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.engine.compression = compression;
        self
    }

    /// The most bytes that are sent and not acknowledged, give or take a batch: beyond them
    /// [`Producer::send`] waits. Default: 32 MiB. One record is always taken.
    pub fn in_flight_bytes(mut self, bytes: usize) -> Self {
        self.engine.unacknowledged_bytes_max = bytes;
        // Two batches at least: one fills while the other is in flight.
        let batch = client::ProducerOptions::default().batch_bytes;
        self.engine.batch_bytes = batch.min(bytes / 2);
        self
    }

    /// Where records without a key go. Default: [`Keyless::Sticky`], to one partition for a batch, then
    /// to the next.
    pub fn keyless(mut self, keyless: Keyless) -> Self {
        self.engine.keyless = keyless;
        self
    }

    /// Is called with each receipt, in the order of each partition, and with the error if the producer
    /// fails. It runs on the producer's own threads, so it must not block: it must not wait for room
    /// ([`Producer::try_send`] is fine), flush, or wait for a record.
    pub fn on_delivery(mut self, reported: impl FnMut(Result<Receipt>) + Send + 'static) -> Self {
        self.on_delivery = Some(Box::new(reported));
        self
    }

    /// Opens the topic for sending.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`](crate::error::Kind::UnknownTopic): make it first, with
    /// [`Admin::ensure_topic`](super::Admin::ensure_topic).
    pub fn open(self) -> Result<Producer> {
        let name = TopicName::new(self.topic)?;
        let topic: Arc<str> = Arc::from(name.as_str());
        let listener = self.on_delivery.map(|reported| {
            let topic = Arc::clone(&topic);
            Box::new(DeliveryListener { topic, reported }) as Box<dyn Listener>
        });
        let engine = client::SharedProducer::open(self.store.dir(), &name, self.engine, listener);
        let engine = engine.map_err(|e| e.of_topic(&topic))?;
        Ok(Producer::new(topic, engine, self.store.dir()))
    }
}

/// Notifies a program's function.
struct DeliveryListener {
    topic: Arc<str>,
    reported: OnDelivery,
}

impl fmt::Debug for DeliveryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryListener").finish_non_exhaustive()
    }
}

impl Listener for DeliveryListener {
    fn acknowledged(&mut self, receipt: client::Receipt) {
        (self.reported)(Ok(Receipt::new(&self.topic, receipt)));
    }

    fn failed(&mut self, error: &Error) {
        (self.reported)(Err(error.clone().of_topic(&self.topic)));
    }
}
