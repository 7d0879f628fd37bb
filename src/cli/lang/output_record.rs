//! A record for output.

use crate::client::files::LogEdges;
use crate::record::{Header, Headers};
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp, TimestampType};

/// A record and its place.
#[derive(Debug, Clone, Copy)]
pub struct OutputRecord<'a> {
    /// Its topic's name.
    pub topic: &'a str,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// Whether the producer or the append set the timestamp.
    pub timestamp_type: TimestampType,
    /// The leader epoch in which it was appended.
    pub leader_epoch: LeaderEpoch,
    /// The key; null is not empty.
    pub key: Option<&'a [u8]>,
    /// The value; null is not empty.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: HeaderList<'a>,
    /// How many records this run printed before it.
    pub count: u64,
    /// The edges of its log.
    pub edges: LogEdges,
}

/// Headers of a stored batch, or in memory.
#[derive(Debug, Clone, Copy)]
pub enum HeaderList<'a> {
    /// Of a stored record.
    Stored(Headers<'a>),
    /// Of a record in memory.
    Slice(&'a [Header<'a>]),
}
