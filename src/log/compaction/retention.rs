//! Which records a compaction keeps.

use super::key_map::KeyMap;
use crate::record::{BatchHeader, Record};
use crate::types::{Offset, Timestamp};

/// By which a pass keeps records.
#[derive(Debug, Clone, Copy)]
pub struct RetainRules<'a> {
    /// The last offset of each key.
    pub keys: &'a KeyMap,
    /// The wall clock, ms; `None` while it is not believed.
    pub now_ms: Option<Timestamp>,
    /// How long a tombstone stays after the pass that first saw it, ms.
    pub delete_retention_ms: u64,
    /// Whether all older segments were compacted by these keys, so that no older value is left that a
    /// tombstone here deletes.
    pub is_older_compacted: bool,
}

/// What a rewrite found and left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanCounts {
    /// Records before.
    pub records_before: u64,
    /// Records after.
    pub records_after: u64,
    /// Of those, without a key.
    pub keyless: u64,
    /// The offset after the last tombstone that was left out; 0: none was.
    pub dropped_to: Offset,
}

impl CleanCounts {
    /// The two together.
    #[cfg(test)]
    pub(super) fn add(&mut self, other: &CleanCounts) {
        self.records_before += other.records_before;
        self.records_after += other.records_after;
        self.keyless += other.keyless;
        self.dropped_to = self.dropped_to.max(other.dropped_to);
    }
}

/// Whether the records of a batch are looked at. Those of transactions stay: only a marker says whether
/// they count.
pub(super) fn are_compacted(header: &BatchHeader) -> bool {
    !header.is_control() && !header.is_transactional()
}

impl RetainRules<'_> {
    /// Whether a record stays.
    pub(super) fn keeps(
        &self,
        header: &BatchHeader,
        record: &Record<'_>,
        counts: &mut CleanCounts,
    ) -> bool {
        let Some(key) = record.key else {
            counts.keyless += 1;
            return true;
        };
        if record.offset >= self.keys.covers().end {
            return true;
        }
        if self.keys.last_offset(key) > Some(record.offset) {
            return false;
        }
        let is_expired = |horizon| self.now_ms.is_some_and(|now| now >= horizon);
        let is_dropped = record.value.is_none()
            && self.is_older_compacted
            && header.delete_horizon().is_some_and(is_expired);
        if is_dropped {
            counts.dropped_to = counts.dropped_to.max(record.offset + 1);
        }
        !is_dropped
    }

    /// The delete horizon that a batch with a tombstone gets, if it has none. It counts from the pass
    /// that removed the older values.
    pub(super) fn horizon_for(&self, header: &BatchHeader) -> Option<Timestamp> {
        let is_seen = header.last_offset() < self.keys.covers().end;
        if header.delete_horizon().is_some() || !is_seen || !self.is_older_compacted {
            return None;
        }
        let delay = i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX);
        self.now_ms.map(|now| now.saturating_add(delay))
    }
}
