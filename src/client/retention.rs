//! What retention is about to remove, for `describe`, and for a change of configs by which records fall
//! due.

use super::admin::Admin;
use super::leader_reader::open_now;
use crate::clock::Moment;
use crate::error::Result;
use crate::log::{FileKind, SegmentFile};
use crate::partition::{
    CleanupFile, ClockVerdict, FutureSegment, NextRemoval, PartitionReader, RetentionLimits,
    StatePage, retention_plan,
};
use crate::store::{TopicConfigs, TopicMeta};
use crate::types::{Offset, TopicPartition};

/// What was and will be removed of a partition's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CleanupDescription {
    /// What the next pass removes, and when, as far as that is known now.
    pub next: Option<NextRemoval>,
    /// The segment that a time in the future keeps.
    pub future: Option<FutureSegment>,
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

/// Records that are due for removal once a topic has other configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRemoval {
    /// The partition.
    pub tp: TopicPartition,
    /// The log start.
    pub from: Offset,
    /// The log start afterwards.
    pub to: Offset,
}

impl Admin {
    /// What a topic's partitions would lose by configs that it does not have yet, beside what they lose
    /// by those that it has.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`], [`crate::error::Kind::Io`]; those of a reader.
    pub fn removals_by(&self, meta: &TopicMeta, configs: &TopicConfigs) -> Result<Vec<DueRemoval>> {
        let Some(limits) = RetentionLimits::of(configs) else {
            return Ok(Vec::new());
        };
        let before = RetentionLimits::of(&meta.configs()?);
        let now_ms = self.store().clock().now_ms();
        let mut removals = Vec::new();
        for partition in &meta.partitions {
            let tp = TopicPartition::new(meta.name.clone(), partition.partition);
            let reader = open_now(self.store(), &tp)?;
            let page = reader.page()?;
            let dir = &**reader.replica().dir();
            // A wall clock that is not believed only delays it.
            let start = |limits| -> Result<Offset> {
                let plan = retention_plan(dir, &page, limits, now_ms, true)?;
                Ok(plan.due.last().copied().unwrap_or(page.tail.log_start))
            };
            let to = start(limits)?;
            let known = before.map_or(Ok(page.tail.log_start), start)?;
            if to > known {
                let from = page.tail.log_start;
                removals.push(DueRemoval { tp, from, to });
            }
        }
        Ok(removals)
    }
}

/// Describes the cleanup of a leader's log. What cannot be found is left out.
pub(super) fn cleanup_of(
    reader: &PartitionReader,
    page: &StatePage,
    configs: &TopicConfigs,
    now: Moment,
) -> CleanupDescription {
    let dir = &**reader.replica().dir();
    let last = CleanupFile::read(dir);
    let Some(limits) = RetentionLimits::of(configs) else {
        return CleanupDescription {
            last,
            ..CleanupDescription::default()
        };
    };
    let wait_ms = match limits.ms.map(|_| page.clock.step(now).1) {
        None | Some(ClockVerdict::Believed) => 0,
        Some(ClockVerdict::First { wait_ms } | ClockVerdict::Ahead { wait_ms, .. }) => wait_ms,
    };
    let planned = retention_plan(dir, page, limits, now.wall_ms, wait_ms == 0);
    let planned = planned.unwrap_or_default();
    let next = planned.next.map(|next| NextRemoval {
        at_ms: next.at_ms.max(now.wall_ms.saturating_add(wait_ms)),
        ..next
    });
    CleanupDescription {
        next,
        future: planned.future,
        last,
    }
}
