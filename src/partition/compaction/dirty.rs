//! Which part of a log no compaction has seen.

use super::closing::end_of;
use super::limits::{Closed, compactable_to};
use crate::disk::{Dir, join};
use crate::error::{Error, Result};
use crate::log::{FileKind, SegmentFile, Segments};
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::replica::Replica;
use crate::partition::state_page::StatePage;
use crate::types::Offset;

/// The part of a log that no compaction has seen, among the segments that one may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirtyPart {
    /// Where it begins.
    pub first_offset: Offset,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Bytes of all segments that a compaction may take.
    pub of_bytes: u64,
}

impl DirtyPart {
    /// Its share of the bytes, as `min.cleanable.dirty.ratio` counts it.
    pub fn ratio(&self) -> f64 {
        if self.of_bytes == 0 {
            return 0.0;
        }
        self.bytes as f64 / self.of_bytes as f64
    }
}

/// Looks at a replica's log, and changes nothing; `None` if its page is unreadable.
///
/// # Errors
/// [`Kind::Busy`](crate::error::Kind::Busy) if the log keeps moving, [`Kind::Io`](crate::error::Kind::Io).
pub fn dirty_part(replica: &Replica) -> Result<Option<DirtyPart>> {
    let Some(LogSnapshot { page, segments, .. }) = LogSnapshot::take(replica)? else {
        return Ok(None);
    };
    let first_offset = first_dirty(replica, &page)?;
    let closed = compactable(&**replica.dir(), &page, &segments)?;
    let dirty = closed.iter().filter(|it| it.end > first_offset);
    Ok(Some(DirtyPart {
        first_offset,
        bytes: dirty.map(|it| it.bytes).sum(),
        of_bytes: closed.iter().map(|it| it.bytes).sum(),
    }))
}

/// The offset up to which the log is compacted, by its checkpoint. One beyond the end is of a log that was
/// cut.
pub(super) fn first_dirty(replica: &Replica, page: &StatePage) -> Result<Offset> {
    let cleaned = replica.cleaned_to()?;
    let cleaned = if cleaned > page.tail.end { 0 } else { cleaned };
    Ok(cleaned.max(page.tail.log_start))
}

/// The segments that a compaction may take, in order.
pub(super) fn compactable(
    dir: &dyn Dir,
    page: &StatePage,
    segments: &Segments,
) -> Result<Vec<Closed>> {
    let point = compactable_to(page, segments);
    let closed = segments.below(point).iter().map(|base| {
        let name = SegmentFile::new(*base, FileKind::Log).name();
        let bytes = dir
            .len_of(&name)
            .map_err(|e| Error::io("look at", join(dir, &name), e))?;
        Ok(Closed {
            base: *base,
            end: end_of(segments, *base, page.tail.active),
            bytes,
        })
    });
    closed.collect()
}
