//! Kafka's record batch, version 2 ("magic 2"; `DefaultRecordBatch.java`, `DefaultRecord.java`):
//! the unit of append, checksum and compression, in files and in memory.
//!
//! A [`BatchBuilder`] builds batches, [`stamp()`] gives them their offsets, a [`BatchView`] reads
//! them. Everything from outside is checked before it is used, and nothing is allocated for a
//! length that exceeds the available bytes.
//!
//! Invariant: knows neither files nor topics; a [`Corrupt`] says where in the batch, its caller
//! says in which file.

mod builder;
mod compression;
mod corrupt;
mod header;
mod headers;
mod partitioner;
mod snappy;
mod stamp;
#[cfg(test)]
mod tests;
mod view;

use crate::types::{Offset, Timestamp};

pub use builder::{BatchBuilder, RECORD_OVERHEAD_MAX};
pub use compression::{Compressor, DECOMPRESSED_LEN_MAX, Decompressor};
pub use corrupt::Corrupt;
pub use header::BATCH_LEN_MAX;
pub use header::{
    BASE_OFFSET_AT, BATCH_HEADER_LEN, BATCH_LENGTH_AT, BatchHeader, CRC_AT, LEADER_EPOCH_AT,
    LENGTH_FROM, MAGIC, MAGIC_AT,
};
pub use headers::{HeaderIter, Headers};
pub use partitioner::{Partitioner, murmur2, partition_for_key};
pub use stamp::{recompress, stamp, stamp_append_time};
pub use view::{BatchView, Records};

/// A header of a record: a name, which may occur more than once, and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name: UTF-8 by Kafka's rule, never null; not checked here.
    pub key: &'a [u8],
    /// The value; null is not empty.
    pub value: Option<&'a [u8]>,
}

/// One message in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch: the producer's, or in a batch of
    /// [`TimestampType::LogAppendTime`](crate::types::TimestampType::LogAppendTime) the log's.
    pub timestamp: Timestamp,
    /// The key; null is not empty.
    pub key: Option<&'a [u8]>,
    /// The value; null (a tombstone) is not empty.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: Headers<'a>,
}
