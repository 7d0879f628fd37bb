//! What retention did and will do with a partition's log, for `describe`.

use crate::clock::Moment;
use crate::log::{FileKind, SegmentFile};
use crate::partition::compaction::{DirtyPart, dirty_part};
use crate::partition::{
    CleanupFile, ClockVerdict, FutureSegment, NextRemoval, PartitionReader, RetentionLimits,
    StatePage, retention_plan,
};
use crate::store::TopicConfigs;

/// A time is called future from so far ahead on, ms: what `message.timestamp.after.max.ms` allows.
const FUTURE_MS: i64 = 3_600_000;

/// What was and will be removed of a partition's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CleanupDescription {
    /// What the next pass removes, and when, as far as that is known now.
    pub next: Option<NextRemoval>,
    /// The segment that a time in the future keeps.
    pub future: Option<FutureSegment>,
    /// How much no compaction has seen, if the topic is compacted.
    pub dirty: Option<DirtyPart>,
    /// What the last pass on this replica did.
    pub last: Option<CleanupFile>,
}

impl CleanupDescription {
    /// The name of the segment file that a time in the future keeps.
    pub fn future_file(&self) -> Option<String> {
        let future = self.future?;
        Some(SegmentFile::new(future.base, FileKind::Log).name())
    }
}

/// Describes the cleanup of a leader's log. What cannot be found is left out.
pub(super) fn cleanup_of(
    reader: &PartitionReader,
    page: &StatePage,
    configs: &TopicConfigs,
    now: Moment,
) -> CleanupDescription {
    let is_cleaned = configs.removes_old() || configs.cleanup_policy.compacts();
    let last = CleanupFile::read(&**reader.replica().dir()).map(|last| CleanupFile {
        // An error of a pass that is not made any more says nothing.
        last_error: last.last_error.filter(|_| is_cleaned),
        ..last
    });
    let dirty = if configs.cleanup_policy.compacts() {
        dirty_part(reader.replica()).unwrap_or_default()
    } else {
        None
    };
    let Some(limits) = RetentionLimits::of(configs) else {
        return CleanupDescription {
            dirty,
            last,
            ..CleanupDescription::default()
        };
    };
    let wait_ms = match limits.ms.map(|_| page.clock.step(now).1) {
        None | Some(ClockVerdict::Believed) => 0,
        Some(ClockVerdict::First { wait_ms } | ClockVerdict::Ahead { wait_ms, .. }) => wait_ms,
    };
    let planned = retention_plan(reader.replica(), limits, now.wall_ms, wait_ms == 0);
    let planned = planned.map(|(_, plan)| plan).unwrap_or_default();
    // What goes by size goes while the wall clock is not believed, too.
    let wait_ms = if planned.due.is_empty() { wait_ms } else { 0 };
    let next = planned.next.map(|next| NextRemoval {
        at_ms: next.at_ms.max(now.wall_ms.saturating_add(wait_ms)),
        ..next
    });
    // A clock that is a little behind is none of the owner's concern.
    let far = now.wall_ms.saturating_add(FUTURE_MS);
    let future = planned.future.filter(|future| future.timestamp > far);
    CleanupDescription {
        next,
        future,
        dirty,
        last,
    }
}
