//! Resolves offset specs against a log, once, when a command starts.

use super::unresolved_offset::{UnresolvedOffset, UnresolvedRange};
use crate::error::{Error, Kind, Result};
use crate::partition::{PartitionReader, StatePage};
use crate::types::{Offset, Timestamp};

/// Where a read of one partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolvedRange {
    /// First offset.
    pub from: Offset,
    /// The end.
    pub until: Until,
    /// The requested offset, if it is deleted: the read then begins at the log start.
    pub below_start: Option<Offset>,
}

/// Where a read ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Without end.
    Never,
    /// Before this offset.
    Offset(Offset),
    /// Before the first record that is not older, or when the clock passes this time, ms.
    Time(Timestamp),
}

/// Resolves an offset spec that stands alone, or begins a range. A place relative to the log's start
/// or end is kept within the log; a plain offset is returned unchanged.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] for `stored` where nothing is committed.
fn resolve_point(
    reader: &PartitionReader,
    page: &StatePage,
    point: UnresolvedOffset,
    stored: Option<Offset>,
) -> Result<Offset> {
    let (start, end) = (page.tail.log_start, page.high_watermark);
    Ok(match point {
        UnresolvedOffset::Start => start,
        UnresolvedOffset::End => end,
        UnresolvedOffset::Stored => stored.ok_or_else(|| {
            Error::new(
                Kind::OffsetOutOfRange,
                format!("no offset is committed for {}", reader.replica().tp()),
            )
            .cure("name another place to begin, such as -o start")
        })?,
        UnresolvedOffset::At(offset) => offset,
        UnresolvedOffset::Plus(n) => start.saturating_add(n).min(end),
        UnresolvedOffset::Minus(n) => end.saturating_sub(n).max(start),
        UnresolvedOffset::Time(time) => reader.first_not_older(start, time)?.unwrap_or(end),
    })
}

/// Resolves a point that must lie within the log: log start to high watermark, both included.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`], saying what the log has.
pub fn resolve_within(
    reader: &PartitionReader,
    page: &StatePage,
    point: UnresolvedOffset,
    stored: Option<Offset>,
) -> Result<Offset> {
    let offset = resolve_point(reader, page, point, stored)?;
    if (page.tail.log_start..=page.high_watermark).contains(&offset) {
        return Ok(offset);
    }
    Err(outside(reader, page, offset))
}

/// Resolves the point that a log is to start at: up to the high watermark. A point below the log start
/// stands for that.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`], saying what the log has.
pub(super) fn resolve_for_trim(
    reader: &PartitionReader,
    page: &StatePage,
    point: UnresolvedOffset,
) -> Result<Offset> {
    let offset = resolve_point(reader, page, point, None)?.max(page.tail.log_start);
    if offset > page.high_watermark {
        return Err(outside(reader, page, offset));
    }
    Ok(offset)
}

fn outside(reader: &PartitionReader, page: &StatePage, offset: Offset) -> Error {
    Error::new(
        Kind::OffsetOutOfRange,
        format!(
            "OFFSET_OUT_OF_RANGE: {} has offsets {} to {}, not {offset}",
            reader.replica().tp(),
            page.tail.log_start,
            page.high_watermark
        ),
    )
    .cure(match offset.to_string().len() {
        // The number of digits of a time since the epoch in seconds or milliseconds.
        10 | 13 => format!("a time begins with @: @{offset}"),
        _ => format!(
            "use a number from {} to {}",
            page.tail.log_start, page.high_watermark
        ),
    })
}

/// Resolves a range. `default` stands for a missing beginning; `to_end` (`-e`) ends at the high
/// watermark at the latest; `now` is the wall clock, ms.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] for a beginning beyond the end of the log.
pub fn resolve_range(
    reader: &PartitionReader,
    page: &StatePage,
    range: UnresolvedRange,
    default: UnresolvedOffset,
    stored: Option<Offset>,
    to_end: bool,
    now: Timestamp,
) -> Result<ResolvedRange> {
    let (start, end) = (page.tail.log_start, page.high_watermark);
    let asked = resolve_point(reader, page, range.from.unwrap_or(default), stored)?;
    if asked > end {
        return Err(outside(reader, page, asked));
    }
    let from = asked.max(start);
    let until = match range.to {
        None => Until::Never,
        Some(UnresolvedOffset::Plus(n)) => Until::Offset(from.saturating_add(n)),
        Some(UnresolvedOffset::Time(time)) => match reader.first_not_older(start, time)? {
            Some(found) => Until::Offset(found),
            None if time <= now => Until::Offset(end),
            None => Until::Time(time),
        },
        Some(point) => Until::Offset(resolve_point(reader, page, point, stored)?),
    };
    let until = match until {
        Until::Offset(offset) if to_end => Until::Offset(offset.min(end)),
        _ if to_end => Until::Offset(end),
        other => other,
    };
    Ok(ResolvedRange {
        from,
        until,
        below_start: (asked < start).then_some(asked),
    })
}
