//! A record that owns its bytes, together with the others of its batch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::record_ref::RecordRef;
use crate::client::Generation;
use crate::record::{self, Headers};
use crate::types::{Offset, PartitionId, Timestamp, TopicName, TopicPartition, Uuid};

/// A record that was read. It keeps the bytes of its batch, which it shares with the batch's other
/// records: a clone copies no bytes, and a record that is kept for long keeps its whole batch.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// let mut consumer = store.consumer(["orders"]).to_end().open()?;
/// let record = consumer.next().expect("a record")?;
/// assert_eq!(record.value(), Some(&b"hello"[..]));
/// assert_eq!((record.partition(), record.offset()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Record {
    batch: Arc<SharedBatch>,
    place: RecordSpans,
}

/// The records of a batch, and their origin.
#[derive(Debug)]
pub(super) struct SharedBatch {
    /// Their origin.
    pub origin: Arc<Origin>,
    /// The records, not compressed.
    pub bytes: Vec<u8>,
}

/// One assignment of a partition.
#[derive(Debug)]
pub(super) struct Origin {
    /// The partition.
    pub tp: TopicPartition,
    /// Its topic.
    pub topic_id: Uuid,
    /// In a group: which assignment of the partition.
    pub generation: Generation,
}

/// Where in its batch a record lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordSpans {
    pub offset: Offset,
    timestamp: Timestamp,
    key: Option<Span>,
    value: Option<Span>,
    headers: Span,
    header_count: usize,
}

/// A part of the batch's bytes: where it begins, and its length.
type Span = (usize, usize);

impl RecordSpans {
    /// The place of a record that was read from `bytes`.
    pub(super) fn within(bytes: &[u8], record: &record::Record<'_>) -> Self {
        let span = |part: &[u8]| {
            // An empty part may lie anywhere.
            let at = part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            (if part.is_empty() { 0 } else { at }, part.len())
        };
        RecordSpans {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(span),
            value: record.value.map(span),
            headers: span(record.headers.raw()),
            header_count: record.headers.len(),
        }
    }
}

impl Record {
    pub(super) fn new(batch: Arc<SharedBatch>, place: RecordSpans) -> Self {
        Record { batch, place }
    }

    /// The key; `None` is not an empty one.
    pub fn key(&self) -> Option<&[u8]> {
        self.place.key.map(|span| self.bytes(span))
    }

    /// The value; `None` (a tombstone) is not an empty one.
    pub fn value(&self) -> Option<&[u8]> {
        self.place.value.map(|span| self.bytes(span))
    }

    /// The headers, in their order.
    pub fn headers(&self) -> Headers<'_> {
        Headers::of_parsed(self.place.header_count, self.bytes(self.place.headers))
    }

    /// Milliseconds since the Unix epoch.
    pub fn timestamp(&self) -> Timestamp {
        self.place.timestamp
    }

    /// Its offset in the partition.
    pub fn offset(&self) -> Offset {
        self.place.offset
    }

    /// The partition's number.
    pub fn partition(&self) -> PartitionId {
        self.batch.origin.tp.partition
    }

    /// The topic.
    pub fn topic(&self) -> &TopicName {
        &self.batch.origin.tp.topic
    }

    /// The partition, with its topic.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.batch.origin.tp
    }

    /// The id of this record: for [`GroupConsumer::done`](super::GroupConsumer::done), and to
    /// compare records.
    pub fn id(&self) -> RecordId {
        RecordId {
            origin: Arc::clone(&self.batch.origin),
            offset: self.place.offset,
        }
    }

    /// The record, borrowed: it can be sent on, to a partition of the same number.
    pub fn to_ref(&self) -> RecordRef<'_> {
        let record = record::Record {
            offset: self.offset(),
            timestamp: self.timestamp(),
            key: self.key(),
            value: self.value(),
            headers: self.headers(),
        };
        read_ref(self.partition(), &record)
    }

    fn bytes(&self, (at, len): Span) -> &[u8] {
        let bytes = self.batch.bytes.get(at..);
        bytes.and_then(|rest| rest.get(..len)).unwrap_or_default()
    }
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> Self {
        record.to_ref()
    }
}

/// A record that was read from a partition.
#[inline]
pub(super) fn read_ref<'a>(partition: PartitionId, record: &record::Record<'a>) -> RecordRef<'a> {
    let mut read = RecordRef::default();
    read.partition = Some(partition);
    read.offset = Some(record.offset);
    read.timestamp = Some(record.timestamp);
    (read.key, read.value) = (record.key, record.value);
    if record.headers.is_empty() {
        return read;
    }
    read.encoded_headers(record.headers)
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &format_args!("{}", self.id()))
            .field("record", &self.to_ref())
            .finish()
    }
}

/// Names a record: topic (also by its id), partition and offset. From a group's consumer, it also
/// names the assignment of the partition in which the record was read. Two ids are equal if they
/// name the same record.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// let mut consumer = store.consumer(["orders"]).to_end().open()?;
/// let id = consumer.next().expect("a record")?.id();
/// assert_eq!(id.to_string(), "orders:0:0");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RecordId {
    pub(super) origin: Arc<Origin>,
    pub(super) offset: Offset,
}

impl RecordId {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.origin.tp
    }

    /// The offset.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    fn parts(&self) -> (Uuid, &TopicPartition, Offset) {
        (self.origin.topic_id, &self.origin.tp, self.offset)
    }
}

impl PartialEq for RecordId {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for RecordId {}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl fmt::Display for RecordId {
    /// `TOPIC:PARTITION:OFFSET`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.origin.tp, self.offset)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
