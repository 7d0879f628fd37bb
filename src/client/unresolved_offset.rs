//! Offset specs and ranges of a partition, before they are resolved against a log.

use crate::types::{Offset, PartitionId, Timestamp};

/// A place in a partition, as a user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnresolvedOffset {
    /// The log start.
    Start,
    /// The high watermark.
    End,
    /// The group's committed offset.
    Stored,
    /// This offset.
    At(Offset),
    /// This many offsets after the start (as the end of a range: after its beginning).
    Plus(i64),
    /// This many offsets before the end.
    Minus(i64),
    /// The first record that is not older, else the end. Milliseconds since the epoch.
    Time(Timestamp),
}

/// From one place (included) to another (not included). `None`: from the tool's default, without
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnresolvedRange {
    /// First offset.
    pub from: Option<UnresolvedOffset>,
    /// The offset after the last.
    pub to: Option<UnresolvedOffset>,
}

/// Which range of which partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadRanges {
    /// The same range of each partition.
    All(UnresolvedRange),
    /// Only these partitions, each with its own range.
    Each(Vec<(PartitionId, UnresolvedRange)>),
}
