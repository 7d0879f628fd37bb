//! Sizes and ages of a log's segments.

use super::plan::{LogFacts, RetentionLimits, RetentionPlan, Segment, plan};
use crate::disk::{Dir, join};
use crate::error::{Error, Result};
use crate::log::{self, FileKind, SegmentFile, Segments};
use crate::partition::state_page::StatePage;
use crate::types::{Offset, Timestamp};

/// What retention would do with the log in `dir` that `page` describes, at `now_ms` of the wall clock.
///
/// # Errors
/// [`crate::error::Kind::Damaged`] if the age of a segment cannot be found; [`crate::error::Kind::Io`],
/// also if a segment was removed meanwhile.
pub fn retention_plan(
    dir: &dyn Dir,
    page: &StatePage,
    limits: RetentionLimits,
    now_ms: i64,
    is_clock_believed: bool,
) -> Result<RetentionPlan> {
    let segments = Segments::list(dir)?.up_to(page.tail.active);
    let left_behind = segments.wholly_below(page.tail.log_start).len();
    let segments = segments.since(page.tail.log_start);
    let mut each = Vec::with_capacity(segments.bases().len());
    for (at, base) in segments.bases().iter().copied().enumerate() {
        let next = segments.bases().get(at + 1).copied();
        each.push(Segment {
            base,
            end: next.unwrap_or(page.tail.end),
            // Without a limit no size is asked for.
            bytes: match (next, limits.bytes) {
                (None, _) => page.tail.log_bytes,
                (Some(_), None) => 0,
                (Some(_), Some(_)) => len_of(dir, base)?,
            },
        });
    }
    let facts = LogFacts {
        segments: &each,
        removable_to: page.high_watermark.min(page.last_stable_offset),
        now_ms,
        is_clock_believed,
    };
    let planned = plan(limits, &facts, |at| time_of(dir, page, &each, at))?;
    Ok(RetentionPlan {
        left_behind,
        ..planned
    })
}

fn len_of(dir: &dyn Dir, base: Offset) -> Result<u64> {
    let name = SegmentFile::new(base, FileKind::Log).name();
    dir.len_of(&name)
        .map_err(|e| Error::io("look at", join(dir, &name), e))
}

/// A segment's largest timestamp. One whose batches have none ends before the first batch with one
/// behind it.
fn time_of(
    dir: &dyn Dir,
    page: &StatePage,
    segments: &[Segment],
    at: usize,
) -> Result<Option<Timestamp>> {
    let Some(segment) = segments.get(at) else {
        return Ok(None);
    };
    let known = |timestamp: Timestamp| Some(timestamp).filter(|timestamp| *timestamp >= 0);
    if segment.base == page.tail.active {
        return Ok(known(page.tail.max_timestamp));
    }
    let largest = log::largest_timestamp(dir, segment.base, &page.tail)?;
    if largest.is_some() {
        return Ok(largest);
    }
    for later in segments.get(at + 1..).unwrap_or_default() {
        let first = if later.base == page.tail.active {
            known(page.tail.first_timestamp)
        } else {
            log::first_timestamp(dir, later.base)?
        };
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}
