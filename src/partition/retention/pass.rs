//! One pass over a partition's log: removes what retention says, on the leader.

use std::time::Duration;

use super::cleanup_file::CleanupFile;
use super::plan::{NextRemoval, RetentionLimits, RetentionPlan};
use super::segment_facts::retention_plan;
use crate::clock::Moment;
use crate::error::Result;
use crate::partition::append::PartitionWriter;
use crate::partition::clock_note::{ClockNote, ClockVerdict};
use crate::partition::log_start::{Removed, raise_log_start};
use crate::partition::state_page::{Intent, StatePage};
use crate::types::Offset;

/// The most segments that one raise of the log start removes. A raise holds the append lock for a rename
/// and a page, however many these are, and costs three syncs; this bounds what a kill leaves.
const SEGMENTS_AT_ONCE: usize = 1024;
/// How long a pass takes until it leaves the rest to the next one.
const PASS_TIME_MAX: Duration = Duration::from_secs(1);

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The log start.
    pub log_start: Offset,
    /// What was removed.
    pub removed: Removed,
    /// What goes next, and when; in the past: what this pass left because its time was over, the
    /// wall clock is not believed, or the high watermark is lower.
    pub next: Option<NextRemoval>,
    /// How long until the wall clock may be believed, if it is not.
    pub clock_wait: Option<Duration>,
}

/// Removes the old segments of the partition that `writer` writes to; `None` if its topic keeps
/// everything. `timeout` bounds each wait for a lock.
///
/// # Errors
/// Those of a raise of the log start ([`raise_log_start`]), and of a look-up by time. The log is whole
/// after each, and the next pass begins where this one ended.
pub fn remove_old(writer: &mut PartitionWriter, timeout: Duration) -> Result<Option<Pass>> {
    writer.observe()?;
    let Some(limits) = RetentionLimits::of(writer.configs()) else {
        return Ok(None);
    };
    let done = remove(writer, limits, timeout);
    let error = done.as_ref().err().map(ToString::to_string);
    let did_work = done.as_ref().is_ok_and(|pass| pass.removed.segments > 0);
    let now_ms = writer.store().clock().now_ms();
    CleanupFile::note(&**writer.replica().dir(), now_ms, error, did_work);
    done.map(Some)
}

fn remove(
    writer: &mut PartitionWriter,
    limits: RetentionLimits,
    timeout: Duration,
) -> Result<Pass> {
    let started = writer.store().clock().monotonic();
    let now = Moment::now(&**writer.store().clock());
    let (note, mut verdict) = clock_of(limits, &ready_page(writer)?, now);
    let (mut page, mut planned) = plan_with(writer, limits, now, verdict)?;
    let is_noted =
        note == page.clock || (verdict == ClockVerdict::Believed && page.clock.is_fresh(now));
    if planned.due.is_empty() && planned.left_behind == 0 && is_noted {
        return Ok(Pass::without_work(&page, &planned, verdict));
    }
    if limits.ms.is_some() {
        let under_lock = note_clock(writer, now)?;
        if under_lock != verdict {
            verdict = under_lock;
            (page, planned) = plan_with(writer, limits, now, verdict)?;
        }
    }
    let mut removed = Removed::default();
    if planned.due.is_empty() && planned.left_behind > 0 {
        removed = raise_log_start(writer, page.tail.log_start, timeout)?.removed;
    }
    for ends in planned.due.chunks(SEGMENTS_AT_ONCE) {
        let Some(to) = ends.last().copied() else {
            break;
        };
        let Some(to) = closed_up_to(writer, &page, to)? else {
            break;
        };
        let raised = raise_log_start(writer, to, timeout)?;
        removed.segments += raised.removed.segments;
        removed.bytes += raised.removed.bytes;
        if writer.store().clock().monotonic().saturating_sub(started) >= PASS_TIME_MAX {
            break;
        }
    }
    let (page, left) = plan_with(writer, limits, now, verdict)?;
    Ok(Pass {
        removed,
        ..Pass::without_work(&page, &left, verdict)
    })
}

impl Pass {
    fn without_work(page: &StatePage, planned: &RetentionPlan, verdict: ClockVerdict) -> Self {
        let clock_wait = match verdict {
            ClockVerdict::Believed => None,
            ClockVerdict::First { wait_ms } | ClockVerdict::Ahead { wait_ms, .. } => {
                Some(Duration::from_millis(wait_ms.max(0).unsigned_abs()))
            }
        };
        Pass {
            log_start: page.tail.log_start,
            removed: Removed::default(),
            next: planned.next,
            clock_wait,
        }
    }
}

/// The page, of a log that is in order. Takes the append lock only if it is not.
fn ready_page(writer: &mut PartitionWriter) -> Result<StatePage> {
    let page = writer.replica().read_page()?;
    let boot_id = writer.store().boot_id();
    match page.filter(|page| {
        page.boot_id == boot_id
            && page.intent == Intent::None
            && page.seal.is_none()
            && page.offline.is_none()
    }) {
        Some(page) => Ok(page),
        None => writer.make_ready(),
    }
}

fn clock_of(limits: RetentionLimits, page: &StatePage, now: Moment) -> (ClockNote, ClockVerdict) {
    match limits.ms {
        Some(_) => page.clock.step(now),
        None => (page.clock, ClockVerdict::Believed),
    }
}

fn plan_with(
    writer: &PartitionWriter,
    limits: RetentionLimits,
    now: Moment,
    verdict: ClockVerdict,
) -> Result<(StatePage, RetentionPlan)> {
    let is_believed = verdict == ClockVerdict::Believed;
    retention_plan(writer.replica(), limits, now.wall_ms, is_believed)
}

/// Notes the clock in the page; returns whether that may age records. A jump ahead is reported once.
fn note_clock(writer: &mut PartitionWriter, now: Moment) -> Result<ClockVerdict> {
    let mut jumped = None;
    let verdict = writer.when_ready(|ready| {
        let (note, verdict) = ready.page.clock.step(now);
        if note != ready.page.clock {
            ready.page.clock = note;
            ready.recovery.held.publish(ready.page)?;
        }
        if let ClockVerdict::Ahead {
            by_ms,
            is_new: true,
            ..
        } = verdict
        {
            jumped = Some(by_ms);
        }
        Ok(verdict)
    })?;
    if let Some(by_ms) = jumped {
        writer.store().add_note(format!(
            "{}: the wall clock jumped {} s ahead: nothing is removed by age until it has stood so \
             for an hour",
            writer.tp(),
            by_ms / 1000
        ));
    }
    Ok(verdict)
}

/// Closes the active segment if it is to go up to `to`. If it has grown since the plan, only what lies
/// before it goes: `None` if that is nothing.
fn closed_up_to(
    writer: &mut PartitionWriter,
    planned: &StatePage,
    to: Offset,
) -> Result<Option<Offset>> {
    let active = planned.tail.active;
    if to <= active {
        return Ok(Some(to));
    }
    let page = writer.roll(to)?;
    if page.tail.active >= to {
        return Ok(Some(to));
    }
    Ok((active > page.tail.log_start).then_some(active))
}
