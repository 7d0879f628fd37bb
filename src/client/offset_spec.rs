//! Points and ranges in a partition, before they are resolved against a log.

use crate::types::{Offset, PartitionId, Timestamp};

/// A place in a partition, as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The log start.
    Start,
    /// The high watermark.
    End,
    /// The group's committed offset.
    Stored,
    /// That offset.
    At(Offset),
    /// So many after the start (as the end of a range: after its beginning).
    Plus(i64),
    /// So many before the end.
    Minus(i64),
    /// The first record not older, else the end. Milliseconds since the epoch.
    Time(Timestamp),
}

/// From a point (included) to a point (not included). `None`: from the tool's default, to no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PointRange {
    /// First offset.
    pub from: Option<Point>,
    /// The offset after the last.
    pub to: Option<Point>,
}

/// Which range is read of which partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The same range of each partition.
    All(PointRange),
    /// Only these partitions, each with a range of its own.
    Each(Vec<(PartitionId, PointRange)>),
}
