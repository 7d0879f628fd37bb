//! How a follower appends what it copies: what goes into one segment, and its high watermark.

use crate::error::{Error, Result};
use crate::log::{Appender, RollLimits};
use crate::partition::expected_replica::ExpectedReplica;
use crate::partition::state_page::StatePage;
use crate::record::{self, BatchHeader};
use crate::types::Offset;

/// Raises the high watermark to the leader's, as far as this log goes.
pub(crate) fn follow_watermark(page: &mut StatePage, leaders: Offset, expected: &ExpectedReplica) {
    let due = leaders.min(page.acked(expected.every_message));
    page.high_watermark = page.high_watermark.max(due);
    page.last_stable_offset = page.high_watermark;
}

/// Lets fetched batches begin at `end` where a filler holds it: the leader's compaction joined the fillers of
/// batches that this log has with those of batches that it lacks.
pub(crate) fn begin_filler_at(batches: &mut [u8], end: Offset) -> Result<()> {
    let header = BatchHeader::parse(batches).map_err(Error::from)?;
    if !header.is_filler() || header.base_offset >= end {
        return Ok(());
    }
    let rest = record::filler(end, header.last_offset(), header.leader_epoch);
    if let (Some(rest), Some(head)) = (rest, batches.get_mut(..header.total_len())) {
        head.copy_from_slice(&rest);
    }
    Ok(())
}

/// The batches that go into one segment in one write: how many bytes, their headers, and whether a
/// new segment begins with them.
pub(crate) fn next_run(
    page: &StatePage,
    bytes: &[u8],
    limits: &RollLimits,
) -> Result<(usize, Vec<BatchHeader>, bool)> {
    let (mut used, mut headers, mut roll) = (0, Vec::new(), false);
    let mut tail = page.tail;
    while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
        let header = BatchHeader::parse(rest).map_err(Error::from)?;
        let len = header.total_len();
        let must_roll = Appender::must_roll(
            &tail,
            len as u64,
            header.max_timestamp,
            header.last_offset(),
            limits,
        );
        if must_roll {
            if !headers.is_empty() {
                break;
            }
            roll = true;
            tail = tail.rolled();
        }
        (tail, _, _) = tail.with_batch(&header, limits.index_interval_bytes);
        used += len;
        headers.push(header);
    }
    Ok((used, headers, roll))
}
