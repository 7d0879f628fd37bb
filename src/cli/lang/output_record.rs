//! A record as it is printed.

use crate::client::files::LogEdges;
use crate::record::{Header, Headers};
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp, TimestampType};

/// A record and its place, ready to be written.
#[derive(Debug, Clone, Copy)]
pub struct OutputRecord<'a> {
    /// Its topic's name.
    pub topic: &'a str,
    /// Its partition.
    pub partition: PartitionId,
    /// Its place in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// Whose timestamp it is.
    pub timestamp_type: TimestampType,
    /// The leader epoch in which it was appended.
    pub leader_epoch: LeaderEpoch,
    /// The key; null is not empty.
    pub key: Option<&'a [u8]>,
    /// The value; null is not empty.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: HeaderList<'a>,
    /// How many records this run printed before it.
    pub count: u64,
    /// Its log's edges.
    pub edges: LogEdges,
}

/// Headers as they lie in a batch, or in memory.
#[derive(Debug, Clone, Copy)]
pub enum HeaderList<'a> {
    /// Of a record that was read.
    Stored(Headers<'a>),
    /// Of a record at hand.
    Slice(&'a [Header<'a>]),
}
