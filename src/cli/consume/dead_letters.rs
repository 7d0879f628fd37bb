//! Where batches go that no try could handle.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{Admin, NewTopic, Producer, ProducerOptions, ProducerRecord};
use crate::error::Result;
use crate::record::{BatchBuilder, BatchView, Decompressor, Header, Record, stamp};
use crate::store::StoreDir;
use crate::types::{Compression, Offset, TimestampType, TopicName, TopicPartition};

/// How long sending may wait for locks.
const PATIENCE: Duration = Duration::from_secs(30);

/// A topic for dead letters, and the records that may become some.
#[derive(Debug)]
pub struct DeadLetters {
    store: Arc<StoreDir>,
    topic: TopicName,
    kept: BatchBuilder,
    offsets: Vec<Offset>,
}

/// Where a batch came from, and why it is dead.
#[derive(Debug)]
pub struct Origin<'a> {
    /// Its partition.
    pub tp: &'a TopicPartition,
    /// The last exit status.
    pub status: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl DeadLetters {
    /// For a topic, which is made when it is needed first.
    pub fn new(store: &Arc<StoreDir>, topic: TopicName) -> Self {
        DeadLetters {
            store: Arc::clone(store),
            topic,
            kept: BatchBuilder::new(),
            offsets: Vec::new(),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Keeps a record of the batch that is tried next.
    ///
    /// # Errors
    /// A batch too large to be held.
    pub fn keep(&mut self, record: &Record<'_>) -> Result<()> {
        self.kept.append_record(record)?;
        self.offsets.push(record.offset);
        Ok(())
    }

    /// The batch was handled.
    pub fn forget(&mut self) {
        self.kept.reset();
        self.offsets.clear();
    }

    /// Sends the batch, and returns when it is acknowledged: key, value, headers and timestamp as
    /// they were, with its origin in headers behind them.
    ///
    /// # Errors
    /// As [`Producer::close`].
    pub fn send(&mut self, origin: &Origin<'_>) -> Result<()> {
        let admin = Admin::new(&self.store, PATIENCE);
        admin.open_or_create(&NewTopic::new(self.topic.clone(), 1))?;
        let mut kept = std::mem::take(&mut self.kept);
        let offsets = std::mem::take(&mut self.offsets);
        let mut bytes = kept.finish(Compression::None, TimestampType::CreateTime)?;
        stamp(&mut bytes, 0, 0);
        let mut producer = Producer::open(&self.store, &self.topic, ProducerOptions::default())?;
        let partition = origin.tp.partition.to_string();
        let attempts = origin.attempts.to_string();
        let mut decompressor = Decompressor::default();
        let view = BatchView::parse(&bytes)?;
        for (record, offset) in view.records(&mut decompressor)?.zip(offsets) {
            let record = record?;
            let offset = offset.to_string();
            let mut headers: Vec<Header<'_>> = record.headers.iter().collect();
            for (key, value) in [
                ("mq.error.topic", origin.tp.topic.as_str()),
                ("mq.error.partition", &partition),
                ("mq.error.offset", &offset),
                ("mq.error.status", &origin.status),
                ("mq.error.attempts", &attempts),
            ] {
                headers.push(Header {
                    key: key.as_bytes(),
                    value: Some(value.as_bytes()),
                });
            }
            producer.send(&ProducerRecord {
                partition: None,
                timestamp: Some(record.timestamp),
                key: record.key,
                value: record.value,
                headers: &headers,
            })?;
        }
        producer.close(|_| ()).map_err(|failure| failure.error)?;
        Ok(())
    }
}
