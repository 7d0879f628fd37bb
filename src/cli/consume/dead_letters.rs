//! Where batches go that no try could handle.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{Admin, NewTopic, Producer, ProducerOptions, ProducerRecord};
use crate::error::{Error, Kind, Result};
use crate::record::{BatchBuilder, BatchView, Decompressor, Header, Record, stamp};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{Compression, Offset, TimestampType, TopicName, TopicPartition};

/// How long sending may wait for locks.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the headers of a dead letter take at the most: names, numbers, and a topic of 249 bytes.
const HEADERS_ROOM: u64 = 1024;
/// The largest `max.message.bytes`.
const MESSAGE_BYTES_MAX: u64 = 2_147_483_647;

/// A topic for dead letters, and the records that may become some.
#[derive(Debug)]
pub struct DeadLetters {
    store: Arc<StoreDir>,
    topic: TopicName,
    kept: BatchBuilder,
    offsets: Vec<Offset>,
    compression: Compression,
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
            compression: Compression::None,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Keeps a record of the batch that is tried next; `compression`: as its topic holds it.
    ///
    /// # Errors
    /// A batch too large to be held.
    pub fn keep(&mut self, record: &Record<'_>, compression: Compression) -> Result<()> {
        self.kept.append_record(record)?;
        self.offsets.push(record.offset);
        self.compression = compression;
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
    /// As [`Producer::close`], naming the record.
    pub fn send(&mut self, origin: &Origin<'_>) -> Result<()> {
        let source = TopicHandle::open(&self.store, &origin.tp.topic)?;
        let most = source
            .configs()
            .max_message_bytes
            .saturating_add(HEADERS_ROOM);
        let mut new = NewTopic::new(self.topic.clone(), 1);
        new.configs.insert(
            "max.message.bytes".to_owned(),
            most.min(MESSAGE_BYTES_MAX).to_string(),
        );
        Admin::new(&self.store, PATIENCE).open_or_create(&new)?;
        let mut kept = std::mem::take(&mut self.kept);
        let offsets = std::mem::take(&mut self.offsets);
        let mut bytes = kept.finish(Compression::None, TimestampType::CreateTime)?;
        stamp(&mut bytes, 0, 0);
        let options = ProducerOptions {
            // What fitted into the source compressed need not fit otherwise.
            compression: self.compression,
            ..ProducerOptions::default()
        };
        let mut producer = Producer::open(&self.store, &self.topic, options)?;
        let partition = origin.tp.partition.to_string();
        let attempts = origin.attempts.to_string();
        let mut decompressor = Decompressor::default();
        let view = BatchView::parse(&bytes)?;
        for (record, offset) in view.records(&mut decompressor)?.zip(&offsets) {
            let record = record?;
            let at = offset.to_string();
            let mut headers: Vec<Header<'_>> = record.headers.iter().collect();
            for (key, value) in [
                ("mq.error.topic", origin.tp.topic.as_str()),
                ("mq.error.partition", &partition),
                ("mq.error.offset", &at),
                ("mq.error.status", &origin.status),
                ("mq.error.attempts", &attempts),
            ] {
                headers.push(Header {
                    key: key.as_bytes(),
                    value: Some(value.as_bytes()),
                });
            }
            let sent = producer.send(&ProducerRecord {
                partition: None,
                timestamp: Some(record.timestamp),
                key: record.key,
                value: record.value,
                headers: &headers,
            });
            if let Err(e) = sent {
                return Err(self.unsent(e, origin, *offset, most.max(len_of(&record))));
            }
        }
        let first = offsets.first().copied().unwrap_or_default();
        match producer.close(|_| ()) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.unsent(failure.error, origin, first, most)),
        }
    }

    /// What to tell of a record that the topic did not take; `room`: how large a record it is to
    /// take for that.
    fn unsent(&self, e: Error, origin: &Origin<'_>, offset: Offset, room: u64) -> Error {
        let (topic, tp) = (&self.topic, origin.tp);
        let is_too_large = e.kind() == Kind::MessageTooLarge;
        let e = e.at(format!(
            "offset {offset} of {tp} cannot be stored among the dead letters in {topic}"
        ));
        if !is_too_large {
            return e;
        }
        let room = room.min(MESSAGE_BYTES_MAX);
        e.cure(format!(
            "'mq-topics alter {topic} -c max.message.bytes={room}' lets it in; 'mq-groups skip' \
             passes over it"
        ))
    }
}

/// About how large a record is as a dead letter.
fn len_of(record: &Record<'_>) -> u64 {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
    let headers = record.headers.iter();
    let headers = headers.map(|h| h.key.len() as u64 + len(h.value) + 16);
    len(record.key) + len(record.value) + headers.sum::<u64>() + HEADERS_ROOM
}
