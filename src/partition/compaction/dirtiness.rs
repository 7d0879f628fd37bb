//! How much of a log no pass has seen.

use super::limits::compactable_to;
use crate::disk::join;
use crate::error::{Error, Result};
use crate::log::{FileKind, SegmentFile};
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::replica::Replica;
use crate::types::Offset;

/// What a pass may take, and how much of it none has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirtiness {
    /// The first offset that no pass has seen.
    pub first_dirty_offset: Offset,
    /// Bytes of closed segments.
    pub closed_bytes: u64,
    /// Of those, in segments that no pass has seen.
    pub dirty_bytes: u64,
}

impl Dirtiness {
    /// Their share, 0 without a closed segment.
    pub fn ratio(&self) -> f64 {
        if self.closed_bytes == 0 {
            return 0.0;
        }
        self.dirty_bytes as f64 / self.closed_bytes as f64
    }
}

/// Looks at a replica's log; `None` without a sound page.
///
/// # Errors
/// [`crate::error::Kind::Io`], also if a segment is removed meanwhile.
pub fn dirtiness(replica: &Replica) -> Result<Option<Dirtiness>> {
    let Some(snapshot) = LogSnapshot::take(replica)? else {
        return Ok(None);
    };
    let dir = &**replica.dir();
    let (page, segments) = (snapshot.page, snapshot.segments);
    let cleaned = replica.cleaned_to()?;
    let cleaned = if cleaned > page.tail.end { 0 } else { cleaned };
    let mut found = Dirtiness {
        first_dirty_offset: cleaned.max(page.tail.log_start),
        closed_bytes: 0,
        dirty_bytes: 0,
    };
    for base in segments.below(compactable_to(&page, &segments)) {
        let name = SegmentFile::new(*base, FileKind::Log).name();
        let len = dir.len_of(&name);
        let bytes = len.map_err(|e| Error::io("look at", join(dir, &name), e))?;
        found.closed_bytes += bytes;
        if segments
            .after(*base)
            .is_none_or(|end| end > found.first_dirty_offset)
        {
            found.dirty_bytes += bytes;
        }
    }
    Ok(Some(found))
}
