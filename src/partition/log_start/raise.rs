//! Raises the log start of a partition's leader.

use std::time::Duration;

use super::prepared::{PreparedStart, Published, Removed, remove_below};
use crate::error::{Error, Kind, Result};
use crate::partition::append::{Committer, PartitionWriter};
use crate::types::Offset;

/// How often a raise begins again because the page changed in what it relies on.
const TRIES: u32 = 100;

/// A log start as it is after a raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaisedStart {
    /// The log start.
    pub log_start: Offset,
    /// What was removed below it.
    pub removed: Removed,
}

/// Raises the log start of the partition that `writer` writes to. A point at or below the start
/// changes nothing.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] beyond the high watermark; those of an append and of a group commit.
pub fn raise_log_start(
    writer: &mut PartitionWriter,
    to: Offset,
    timeout: Duration,
) -> Result<RaisedStart> {
    for _ in 0..TRIES {
        let mut page = writer.make_ready()?;
        if to <= page.tail.log_start {
            // A process that was killed behind its raise may have left segments, unsynced.
            writer.replica().sync_page_and_names(timeout)?;
            return Ok(RaisedStart {
                log_start: page.tail.log_start,
                removed: remove_below(writer.replica(), page.tail.log_start)?,
            });
        }
        if to > page.high_watermark.min(page.last_stable_offset) {
            let text = format!(
                "OFFSET_OUT_OF_RANGE: the log start of {} cannot rise to {to}, beyond the high watermark {}",
                writer.tp(),
                page.high_watermark
            );
            return Err(Error::new(Kind::OffsetOutOfRange, text)
                .cure("name an offset up to the high watermark, or 'end'"));
        }
        if to == page.tail.end && page.tail.last.is_some() {
            page = writer.roll(to)?;
        }
        if page.durable.offset < to {
            Committer::open(writer.store(), writer.tp(), timeout)?.commit(to)?;
            page = writer.make_ready()?;
        }
        let mut prepared = PreparedStart::prepare(writer.replica(), &page, to, timeout)?;
        let published = writer.when_ready(|ready| prepared.publish(ready.recovery, ready.page))?;
        if published == Published::Yes {
            let removed = prepared.finish(writer.replica(), timeout)?;
            return Ok(RaisedStart {
                log_start: to,
                removed,
            });
        }
    }
    let text = format!("the log of {} keeps changing", writer.tp());
    Err(Error::new(Kind::Busy, text).cure("try again"))
}
