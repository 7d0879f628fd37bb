//! Sizes and ages of a log's segments.

use super::plan::{LogFacts, RetentionLimits, RetentionPlan, Segment, plan};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::log::{self, FileKind, SegmentFile, Segments};
use crate::partition::read::unreadable;
use crate::partition::replica::Replica;
use crate::partition::state_page::StatePage;
use crate::types::{Offset, Timestamp};

/// How often a plan starts over because other processes remove segments meanwhile.
const TRIES: u32 = 100;

/// What retention would do with a log at `now_ms` of the wall clock, and the page that it was planned by.
///
/// # Errors
/// [`crate::error::Kind::Damaged`] if the age of a segment cannot be found, or both copies of the page are
/// damaged; [`crate::error::Kind::Io`].
pub fn retention_plan(
    replica: &Replica,
    limits: RetentionLimits,
    now_ms: i64,
    is_clock_believed: bool,
) -> Result<(StatePage, RetentionPlan)> {
    let read = || -> Result<StatePage> {
        let page = replica.read_page()?.ok_or_else(|| unreadable(replica))?;
        Ok(page.as_of_boot(replica.boot_id()))
    };
    let mut page = read()?;
    for _ in 0..TRIES {
        let planned = plan_by(&**replica.dir(), &page, limits, now_ms, is_clock_believed);
        let Err(e) = planned else {
            return planned.map(|plan| (page, plan));
        };
        // A listed file that is missing was removed, or moved, by another process.
        let after = read()?;
        let has_moved =
            after.generation != page.generation || after.tail.log_start != page.tail.log_start;
        if !has_moved {
            return Err(e);
        }
        page = after;
    }
    let text = format!("the log of {} keeps changing", replica.tp());
    Err(Error::new(Kind::Busy, text).cure("try again"))
}

fn plan_by(
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
    let mut times = SegmentTimes {
        dir,
        page,
        segments: &each,
        first_behind: None,
    };
    let planned = plan(limits, &facts, |at| times.of(at))?;
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

/// The largest timestamps of a log's segments. One whose batches have none ends before the first batch with
/// one behind it.
struct SegmentTimes<'a> {
    dir: &'a dyn Dir,
    page: &'a StatePage,
    segments: &'a [Segment],
    /// From which segment on the first timestamp was looked for, and in which one it was found.
    first_behind: Option<(usize, usize, Option<Timestamp>)>,
}

impl SegmentTimes<'_> {
    fn of(&mut self, at: usize) -> Result<Option<Timestamp>> {
        let Some(segment) = self.segments.get(at) else {
            return Ok(None);
        };
        if segment.base == self.page.tail.active {
            return Ok(known(self.page.tail.max_timestamp));
        }
        let largest = log::largest_timestamp(self.dir, segment.base, &self.page.tail)?;
        if largest.is_some() {
            return Ok(largest);
        }
        self.first_behind(at + 1)
    }

    /// The first timestamp from a segment on. Looked for once for a row of segments without any.
    fn first_behind(&mut self, from: usize) -> Result<Option<Timestamp>> {
        if let Some((since, until, found)) = self.first_behind
            && (since..=until).contains(&from)
        {
            return Ok(found);
        }
        let mut at = from;
        let mut found = None;
        while let Some(later) = self.segments.get(at) {
            found = if later.base == self.page.tail.active {
                known(self.page.tail.first_timestamp)
            } else {
                log::first_timestamp(self.dir, later.base)?
            };
            if found.is_some() {
                break;
            }
            at += 1;
        }
        self.first_behind = Some((from, at, found));
        Ok(found)
    }
}

fn known(timestamp: Timestamp) -> Option<Timestamp> {
    Some(timestamp).filter(|timestamp| *timestamp >= 0)
}
