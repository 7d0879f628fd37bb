//! The topic file, read again.

use super::{ProducerTopic, Slot, UntimedProducer};
use crate::client::ProducerRecord;
use crate::error::{Error, Kind, Result};
use crate::record::BatchBuilder;
use crate::store::TopicHandle;
use crate::types::PartitionId;

impl UntimedProducer {
    /// Whether the topic takes that record, by its size and key, by its topic file as last read.
    /// Nothing is sent.
    ///
    /// # Errors
    /// [`Kind::MessageTooLarge`], [`Kind::InvalidRecord`].
    pub fn check(&self, record: &ProducerRecord<'_>) -> Result<()> {
        let timestamp = record
            .timestamp
            .unwrap_or_else(|| self.store.clock().now_ms());
        self.target.check_key(record)?;
        let mut alone = BatchBuilder::new();
        let headers = record.headers.iter().copied();
        let exact = alone.size_with(timestamp, record.key, record.value, headers);
        self.target.weigh(&mut alone, exact, record, timestamp)
    }

    /// Reads the topic file again: new partitions are used from now on. While it cannot be read,
    /// its last content applies.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic is gone.
    pub fn refresh_partitions(&mut self) -> Result<()> {
        match self.observe() {
            Err(e) if e.kind() != Kind::UnknownTopic => Ok(()),
            observed => observed,
        }
    }

    fn observe(&mut self) -> Result<()> {
        if self.target.topic().is_current()? {
            return Ok(());
        }
        let topic = TopicHandle::open(&self.store, &self.target.topic().meta().name)?;
        if topic.meta().topic_id == self.target.topic().meta().topic_id {
            let partitions = topic.meta().partitions.len();
            self.slots
                .resize_with(partitions.max(self.slots.len()), Slot::default);
            self.target = ProducerTopic::new(topic, &self.options);
        }
        Ok(())
    }

    pub(super) fn explicit(&mut self, partition: PartitionId) -> Result<usize> {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        if at >= self.slots.len() {
            self.refresh_partitions()?;
            if at >= self.slots.len() {
                return Err(self
                    .target
                    .topic()
                    .partition(partition)
                    .err()
                    .unwrap_or_else(|| {
                        Error::new(Kind::UnknownTopic, format!("no partition {partition}"))
                    }));
            }
        }
        Ok(at)
    }

    pub(super) fn knows_newer_topic(&self) -> bool {
        self.ledger.topic_version() > self.target.topic().meta().version
    }
}
