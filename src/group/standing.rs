//! Where a committed offset stands in the log that it was committed for.

use super::offsets_state::Committed;
use crate::error::Result;
use crate::store::{Page, PartitionReader};
use crate::types::Offset;

/// Where a committed offset stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The log has it: go on there.
    Within,
    /// What was committed is gone; the log begins there.
    BelowStart(Offset),
    /// It is beyond the log, or beyond its epoch, which ends there: records were lost, or it is
    /// another log.
    Beyond(Offset),
}

/// Holds a committed offset against the log, as of that page.
///
/// # Errors
/// What reading the epochs may meet.
pub fn standing(reader: &PartitionReader, page: &Page, committed: &Committed) -> Result<Standing> {
    let (start, end) = (page.tail.log_start, page.tail.end);
    if committed.offset > end {
        return Ok(Standing::Beyond(end));
    }
    if committed.offset < start {
        return Ok(Standing::BelowStart(start));
    }
    if committed.leader_epoch < 0 || committed.offset == start {
        return Ok(Standing::Within);
    }
    let epochs = reader.replica().epochs()?.unwrap_or_default();
    Ok(match epochs.end_of(committed.leader_epoch, end) {
        Some(epoch_end) if committed.offset <= epoch_end => Standing::Within,
        Some(epoch_end) => Standing::Beyond(epoch_end.min(end)),
        None => Standing::Beyond(end),
    })
}
