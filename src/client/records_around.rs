//! The records around an offset: some before it, and some from it on.

use std::ops::ControlFlow;

use super::consumer::{BatchInfo, Fetched};
use crate::error::{Error, Result};
use crate::partition::PartitionReader;
use crate::record::{BatchView, Decompressor, Record};
use crate::types::Offset;

/// How many bytes are read at once, at least one batch.
const READ_BYTES: usize = 64 << 10;

/// Calls `f` with the last `before` records below `at` and the first `after` records from `at` on,
/// in order, as far as the log has them. Offsets may be missing between them.
///
/// # Errors
/// [`Kind::Damaged`](crate::error::Kind::Damaged); what `f` fails with.
pub fn for_each_around(
    reader: &mut PartitionReader,
    at: Offset,
    before: u64,
    after: u64,
    mut f: impl FnMut(BatchInfo, &Record<'_>) -> Result<()>,
) -> Result<()> {
    let page = reader.page()?;
    let (start, end) = (page.tail.log_start, page.high_watermark);
    let at = at.clamp(start, end.max(start));
    let from = start_of_last(reader, start, at, before)?;
    each(reader, from, at, u64::MAX, &mut f)?;
    each(reader, at, end, after, &mut f)?;
    Ok(())
}

/// The offset from which the log has `count` records below `at`, or the log start. It searches back
/// by twice the distance while there are too few, since offsets may be missing.
fn start_of_last(
    reader: &mut PartitionReader,
    start: Offset,
    at: Offset,
    count: u64,
) -> Result<Offset> {
    let mut span = i64::try_from(count).unwrap_or(i64::MAX);
    if span == 0 {
        return Ok(at);
    }
    loop {
        let from = at.saturating_sub(span).max(start);
        let mut offsets = std::collections::VecDeque::new();
        each(reader, from, at, u64::MAX, &mut |_, record| {
            if offsets.len() as u64 == count {
                offsets.pop_front();
            }
            offsets.push_back(record.offset);
            Ok(())
        })?;
        if offsets.len() as u64 == count || from == start {
            return Ok(offsets.front().copied().unwrap_or(at));
        }
        span = span.saturating_mul(2);
    }
}

/// Up to `count` records in `from..until`.
fn each(
    reader: &mut PartitionReader,
    from: Offset,
    until: Offset,
    count: u64,
    f: &mut impl FnMut(BatchInfo, &Record<'_>) -> Result<()>,
) -> Result<()> {
    let mut decompressor = Decompressor::default();
    let (mut at, mut left, mut bytes) = (from, count, Vec::new());
    while at < until && left > 0 && reader.read(at, READ_BYTES, &mut bytes)? > 0 {
        let fetched = Fetched {
            tp: reader.replica().tp().clone(),
            from: at,
            until,
            bytes: std::mem::take(&mut bytes),
            edges: reader.edges(),
            decompressed_len_max: reader.decompressed_len_max(),
        };
        at = end_of(&fetched.bytes)?;
        let failed = fetched.for_each(&mut decompressor, |info, record| {
            if let Err(e) = f(info, &record) {
                return ControlFlow::Break(Some(e));
            }
            left -= 1;
            if left == 0 {
                return ControlFlow::Break(None);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(Some(e)) = failed {
            return Err(e);
        }
        bytes = fetched.bytes;
    }
    Ok(())
}

/// The offset after the last of these batches.
fn end_of(bytes: &[u8]) -> Result<Offset> {
    let (mut rest, mut end) = (bytes, 0);
    while !rest.is_empty() {
        let view = BatchView::parse(rest).map_err(Error::from)?;
        end = view.header().last_offset() + 1;
        rest = rest.get(view.bytes().len()..).unwrap_or_default();
    }
    Ok(end)
}
