//! When offsets expire: one retention after the group's newest line, if no member is alive.
//!
//! No process has to run for that. A process that only reads treats expired offsets as absent; the
//! next holder of the group's lock writes the `expire` line, before any other line could make the
//! group look recently used.

use std::sync::Arc;

use super::group_file::{GroupFile, RETENTION_MINUTES_DEFAULT};
use super::offsets_state::OffsetsState;
use crate::disk::Dir;
use crate::error::{Kind, Result};
use crate::store::StoreDir;
use crate::types::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// The number of `live` lines per retention that a group in use writes, if it is below four days.
const LIVE_IN_RETENTION: i64 = 4;

/// Whether the offsets are older than the retention. They expire only if no member is alive.
pub fn is_overdue(state: &OffsetsState, retention_minutes: u32, now_ms: Timestamp) -> bool {
    let kept_ms = i64::from(retention_minutes) * MINUTE_MS;
    !state.is_deleted()
        && state
            .newest_ms()
            .is_some_and(|newest| now_ms.saturating_sub(newest) > kept_ms)
}

/// Whether a member should write that the group is in use: a day after the newest line, or four
/// times in a shorter retention.
pub fn is_live_due(state: &OffsetsState, retention_minutes: u32, now_ms: Timestamp) -> bool {
    let period_ms = DAY_MS.min(i64::from(retention_minutes) * MINUTE_MS / LIVE_IN_RETENTION);
    state
        .newest_ms()
        .is_none_or(|newest| now_ms.saturating_sub(newest) >= period_ms)
}

/// The retention of the group in `dir`; the default if its settings cannot be read.
pub fn retention_minutes(store: &StoreDir, dir: &Arc<dyn Dir>) -> Result<u32> {
    match GroupFile::read(dir, store.boot_id()) {
        Ok(file) => Ok(file.retention_minutes()),
        Err(e) if e.kind() == Kind::Damaged => Ok(RETENTION_MINUTES_DEFAULT),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
