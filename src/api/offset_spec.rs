//! A place in a partition, before it is resolved to an offset.

use crate::client::unresolved_offset::UnresolvedOffset;
use crate::error::Result;
use crate::partition::{PartitionReader, StatePage};
use crate::types::{Offset, Timestamp};

/// A place in each partition that is read.
///
/// ```
/// use mq::OffsetSpec;
///
/// // The last ten records of each partition; the records since a time.
/// let (last_ten, since) = (OffsetSpec::EndMinus(10), OffsetSpec::Time(1_700_000_000_000));
/// assert_eq!(OffsetSpec::default(), OffsetSpec::Start);
/// # let _ = (last_ten, since);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The log start: the oldest record that is kept.
    #[default]
    Start,
    /// The high watermark: after the last record that can be read.
    End,
    /// This offset.
    At(Offset),
    /// This many offsets after the log start. As a beginning, the high watermark at most.
    StartPlus(u64),
    /// This many offsets before the high watermark, the log start at least.
    EndMinus(u64),
    /// The first record whose timestamp is not older, milliseconds since the Unix epoch. If there
    /// is none: the high watermark as a beginning; as an end, the place that the log has reached
    /// when the clock passes that time.
    Time(Timestamp),
}

impl OffsetSpec {
    /// The engine's form of it, as a beginning.
    pub(super) fn unresolved(self) -> UnresolvedOffset {
        let count = |n: u64| Offset::try_from(n).unwrap_or(Offset::MAX);
        match self {
            OffsetSpec::Start => UnresolvedOffset::Start,
            OffsetSpec::End => UnresolvedOffset::End,
            OffsetSpec::At(offset) => UnresolvedOffset::At(offset),
            OffsetSpec::StartPlus(n) => UnresolvedOffset::Plus(count(n)),
            OffsetSpec::EndMinus(n) => UnresolvedOffset::Minus(count(n)),
            OffsetSpec::Time(time) => UnresolvedOffset::Time(time),
        }
    }

    /// The engine's form of it, as an end: there, a count would begin where the read begins.
    pub(super) fn unresolved_end(self, page: &StatePage) -> UnresolvedOffset {
        match self.unresolved() {
            UnresolvedOffset::Plus(n) => {
                UnresolvedOffset::At(page.tail.log_start.saturating_add(n))
            }
            point => point,
        }
    }

    /// The resolved offset, which must lie in the log, or be its end.
    pub(super) fn resolve(self, reader: &PartitionReader) -> Result<Offset> {
        crate::client::resolve_within(reader, &reader.page()?, self.unresolved(), None)
    }
}
