//! The number of a job that the controller requested.

/// Work that was requested and whose end is not reported yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);
