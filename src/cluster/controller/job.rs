//! The number of a job that the controller asked for.

/// Something that was asked for, until its end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);
