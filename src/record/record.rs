//! One record, as a batch holds it.

use super::Headers;
use crate::types::{Offset, Timestamp};

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
