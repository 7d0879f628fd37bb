//! A batch of records, borrowed from the consumer that read it.

use std::sync::Arc;

use super::record::{Origin, RecordId, read_ref};
use super::record_ref::RecordRef;
use crate::error::{Error, Result};
use crate::partition::LogEdges;
use crate::record::{BatchHeader, Corrupt, Record, Records};
use crate::types::{Compression, LeaderEpoch, Offset, TimestampType, TopicPartition};

/// The records of one batch of one partition, as the producer made it, without those outside of the
/// requested range. They borrow from the consumer: nothing is copied, unless the batch is
/// compressed.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// use std::time::Duration;
///
/// use mq::Event;
///
/// let mut consumer = store.consumer(["orders"]).to_end().open()?;
/// let mut bytes = 0;
/// loop {
///     match consumer.poll(Duration::from_secs(1))? {
///         Event::Records(batch) => {
///             for record in &batch {
///                 bytes += record?.value.map_or(0, <[u8]>::len);
///             }
///         }
///         Event::End => break,
///         _ => {}
///     }
/// }
/// assert_eq!(bytes, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    pub(super) origin: &'a Arc<Origin>,
    pub(super) header: BatchHeader,
    pub(super) records: Records<'a>,
    /// Records below `from` are not handed out, nor those from `until` on.
    pub(super) from: Offset,
    pub(super) until: Offset,
    pub(super) edges: LogEdges,
}

impl Batch<'_> {
    /// The records, in their order.
    pub fn iter(&self) -> BatchRecords<'_> {
        BatchRecords {
            records: self.records.clone(),
            from: self.from,
            until: self.until,
            tp: &self.origin.tp,
            base_offset: self.header.base_offset,
        }
    }

    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.origin.tp
    }

    /// The offset after the batch: its records were read when that offset is read next.
    pub fn next_offset(&self) -> Offset {
        self.header.next_offset().min(self.until)
    }

    /// The leader epoch in which it was appended.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.header.leader_epoch
    }

    /// What its records' timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.timestamp_type()
    }

    /// The codec that it is stored with.
    pub fn compression(&self) -> Compression {
        self.header.compression()
    }

    /// Log start and high watermark of the partition when the batch was read.
    pub fn log_edges(&self) -> LogEdges {
        self.edges
    }

    /// The id of a record of this batch.
    pub fn id(&self, record: &RecordRef<'_>) -> RecordId {
        RecordId {
            origin: Arc::clone(self.origin),
            // Every record that was read has an offset; -1 names no record.
            offset: record.offset.unwrap_or(-1),
        }
    }
}

impl<'b> IntoIterator for &'b Batch<'_> {
    type Item = Result<RecordRef<'b>>;
    type IntoIter = BatchRecords<'b>;

    fn into_iter(self) -> BatchRecords<'b> {
        self.iter()
    }
}

/// Iterates over the records of a [`Batch`].
///
/// ```
/// use mq::{Batch, BatchRecords};
///
/// fn keys<'b>(batch: &'b Batch<'_>) -> impl Iterator<Item = Option<&'b [u8]>> {
///     let records: BatchRecords<'b> = batch.into_iter();
///     records.map_while(Result::ok).map(|record| record.key)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct BatchRecords<'b> {
    records: Records<'b>,
    from: Offset,
    until: Offset,
    tp: &'b TopicPartition,
    base_offset: Offset,
}

impl<'b> BatchRecords<'b> {
    /// The next record, as the engine reads it.
    #[inline]
    pub(super) fn next_record(&mut self) -> Option<Result<Record<'b>>> {
        loop {
            match self.records.next()? {
                Ok(record) if record.offset < self.from => {}
                Ok(record) if record.offset >= self.until => return None,
                Ok(record) => return Some(Ok(record)),
                Err(e) => return Some(Err(damaged(e, self.tp, self.base_offset))),
            }
        }
    }
}

impl<'b> Iterator for BatchRecords<'b> {
    type Item = Result<RecordRef<'b>>;

    #[inline]
    fn next(&mut self) -> Option<Result<RecordRef<'b>>> {
        let record = self.next_record()?;
        Some(record.map(|record| read_ref(self.tp.partition, &record)))
    }
}

impl std::iter::FusedIterator for BatchRecords<'_> {}

/// The same error, with the partition named.
pub(super) fn about(e: Error, tp: &TopicPartition) -> Error {
    e.of_topic(&tp.topic).of_partition(tp.partition)
}

#[cold]
pub(super) fn damaged(corrupt: Corrupt, tp: &TopicPartition, base_offset: Offset) -> Error {
    about(Error::from(corrupt), tp)
        .of_offset(base_offset)
        .at(format!("the batch at offset {base_offset} of {tp}"))
        .cure(format!(
            "'mq-topics verify {} --deep' names the file and the position",
            tp.topic
        ))
}
