//! The topic that a producer sends to, and the batch limits that follow from it, updated together.

use super::producer_options::{ProducerOptions, ProducerRecord};
use crate::error::{Error, Kind, Result};
use crate::partition::needs_key;
use crate::record::{BatchBuilder, DECOMPRESSED_LEN_MAX};
use crate::store::{TopicConfigs, TopicHandle};
use crate::types::{Compression, Timestamp, TimestampType, TopicName};

/// The least size of a batch, however many partitions share the memory.
const BATCH_BYTES_MIN: usize = 16 * 1024;

/// A topic as last read.
#[derive(Debug)]
pub(super) struct ProducerTopic {
    topic: TopicHandle,
    /// A batch is handed on when it reaches this size.
    pub batch_bytes: usize,
    /// The most bytes of a batch as stored.
    pub message_bytes: usize,
    pub compression: Compression,
    /// Whether the topic is compacted: a record without a key would stay for ever.
    pub needs_key: bool,
}

impl ProducerTopic {
    pub fn new(topic: TopicHandle, options: &ProducerOptions) -> Self {
        let configs = topic.configs();
        let message_bytes = configs.batch_bytes_max() as usize;
        let share = options.building_bytes_max / topic.meta().partitions.len().max(1);
        ProducerTopic {
            batch_bytes: options
                .batch_bytes
                .min(share.max(BATCH_BYTES_MIN))
                .min(message_bytes),
            message_bytes,
            compression: configs.compression.unwrap_or(options.compression),
            needs_key: configs.cleanup_policy.compacts(),
            topic,
        }
    }

    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// Refuses a record without a key for a compacted topic.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`].
    pub fn check_key(&self, record: &ProducerRecord<'_>) -> Result<()> {
        if self.needs_key && record.key.is_none() {
            return Err(needs_key(&self.topic.meta().name));
        }
        Ok(())
    }

    /// Whether a record that is large for its batch fits the topic's limit, compressed if asked;
    /// `exact`: its size as a batch of its own, without compression.
    ///
    /// # Errors
    /// [`Kind::MessageTooLarge`].
    pub fn weigh(
        &self,
        builder: &mut BatchBuilder,
        exact: usize,
        record: &ProducerRecord<'_>,
        timestamp: Timestamp,
    ) -> Result<()> {
        let (name, compression) = (&self.topic.meta().name, self.compression);
        weigh(
            name,
            self.message_bytes,
            compression,
            builder,
            exact,
            record,
            timestamp,
        )
        .map_err(|(stored, e)| {
            let raise = self.topic.configs().raise_for(name, stored);
            e.cure(match compression {
                Compression::None => format!("{raise}, or compress with -z"),
                _ => raise,
            })
        })
    }
}

/// Whether a topic that is created with the default configs takes a record of that size.
///
/// # Errors
/// [`Kind::MessageTooLarge`].
pub fn check_for_new_topic(
    name: &TopicName,
    compression: Compression,
    record: &ProducerRecord<'_>,
    timestamp: Timestamp,
) -> Result<()> {
    let mut builder = BatchBuilder::new();
    let headers = record.headers.iter().copied();
    let exact = builder.size_with(timestamp, record.key, record.value, headers);
    let most = TopicConfigs::default().batch_bytes_max() as usize;
    weigh(
        name,
        most,
        compression,
        &mut builder,
        exact,
        record,
        timestamp,
    )
    .map_err(|(stored, e)| e.cure(make_with(name, stored)))
}

/// How to create a topic that takes batches of this many bytes.
pub fn make_with(name: &TopicName, bytes: usize) -> String {
    format!("create the topic first: 'mq-topics create {name} -c max.message.bytes={bytes}'")
}

/// The size of a record as a batch, with the error if that is too large.
fn weigh(
    name: &TopicName,
    most: usize,
    compression: Compression,
    builder: &mut BatchBuilder,
    exact: usize,
    record: &ProducerRecord<'_>,
    timestamp: Timestamp,
) -> Result<(), (usize, Error)> {
    let mut stored = exact;
    let bomb = exact > DECOMPRESSED_LEN_MAX.max(most);
    if exact > most && compression != Compression::None && !bomb {
        let mut alone = BatchBuilder::new();
        let headers = record.headers.iter().copied();
        let batch = alone
            .append(timestamp, record.key, record.value, headers)
            .and_then(|()| alone.finish(compression, TimestampType::CreateTime))
            .map_err(|e| (exact, e))?;
        stored = batch.len();
        builder.recycle(batch);
    }
    if stored > most || bomb {
        let text = format!(
            "MESSAGE_TOO_LARGE: a record that takes {stored} bytes as a batch, where topic {name} allows {most}"
        );
        return Err((stored, Error::new(Kind::MessageTooLarge, text)));
    }
    Ok(())
}
