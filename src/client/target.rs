//! The topic that a producer sends to, and what its batches may be by that: taken up together.

use super::producer_options::{ProducerOptions, ProducerRecord};
use crate::error::{Error, Kind, Result};
use crate::record::{BatchBuilder, DECOMPRESSED_LEN_MAX};
use crate::store::TopicHandle;
use crate::types::{Compression, Timestamp, TimestampType};

/// Most bytes held in batches that are being built, over all partitions.
pub(super) const BUILDING_BYTES_MAX: usize = 8 << 20;
/// Least size of a batch, however many partitions share the memory.
const BATCH_BYTES_MIN: usize = 16 * 1024;

/// A topic as it was last looked at.
#[derive(Debug)]
pub(super) struct Target {
    topic: TopicHandle,
    /// A batch is handed on when it is this large.
    pub batch_bytes: usize,
    /// Most bytes of a batch as stored.
    pub message_bytes: usize,
    pub compression: Compression,
}

impl Target {
    pub fn new(topic: TopicHandle, options: &ProducerOptions) -> Self {
        let configs = topic.configs();
        let message_bytes = configs.batch_bytes_max() as usize;
        let share = BUILDING_BYTES_MAX / topic.meta().partitions.len().max(1);
        Target {
            batch_bytes: options
                .batch_bytes
                .min(share.max(BATCH_BYTES_MIN))
                .min(message_bytes),
            message_bytes,
            compression: configs.compression.unwrap_or(options.compression),
            topic,
        }
    }

    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// Whether a record that is large for its batch fits the topic's limit, compressed if asked;
    /// `exact`: what it takes alone, without compression.
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
        let (most, name) = (self.message_bytes, &self.topic.meta().name);
        let mut stored = exact;
        let bomb = exact > DECOMPRESSED_LEN_MAX.max(most);
        if exact > most && self.compression != Compression::None && !bomb {
            let mut alone = BatchBuilder::new();
            alone.append(
                timestamp,
                record.key,
                record.value,
                record.headers.iter().copied(),
            )?;
            let batch = alone.finish(self.compression, TimestampType::CreateTime)?;
            stored = batch.len();
            builder.recycle(batch);
        }
        if stored > most || bomb {
            return Err(Error::new(
                Kind::MessageTooLarge,
                format!("MESSAGE_TOO_LARGE: a record that takes {stored} bytes as a batch, where topic {name} allows {most}"),
            )
            .cure(if self.compression == Compression::None {
                format!("{}, or compress with -z", self.topic.configs().raise_for(name, stored))
            } else {
                self.topic.configs().raise_for(name, stored)
            }));
        }
        Ok(())
    }
}
