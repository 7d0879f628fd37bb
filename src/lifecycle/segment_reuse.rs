//! Segment reuse: what a replacement takes from the replica that was in its place: closed segments
//! that are durable there to the last byte. The rest comes from the leader.
//!
//! 1. Only if another process keeps the old replica's append lock: its state page then describes
//!    its log. A replica that failed, is damaged, or is being cut has nothing to reuse.
//! 2. Segments below that of the durable offset: neither an append nor a recovery writes to them. A
//!    truncation does, and says so in the state page before it opens a file. So the state page is
//!    read once more after they left the old directory: if it is unchanged, the lock holder finds
//!    nothing there when it resumes.
//! 3. Files are moved, not copied. Until the new directory is in its place it is one that no topic
//!    file names; if the process dies meanwhile, the directory is removed, and the leader has all
//!    records.

use std::io::ErrorKind;

use super::unpublished_replica::{ReusedSegments, UnpublishedReplica};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::log::{FileKind, LeaderEpochs, SegmentFile, Segments, Tail};
use crate::partition::{Intent, Replica, StatePage};
use crate::store::StoreDir;
use crate::types::Offset;

/// Moves the reusable segments of `old`, whose directory has the name `from`, into the replica that
/// was made under the name `to`. Often there are none: then nothing changed.
///
/// # Errors
/// [`Kind::Busy`] if the holder of the old replica's lock resumed meanwhile; [`Kind::Io`]. The new
/// directory is worthless then.
pub(crate) fn take_over(
    store: &StoreDir,
    logs: &dyn Dir,
    old: &Replica,
    from: &str,
    made: &mut UnpublishedReplica,
    to: &str,
) -> Result<()> {
    let Some(page) = old.read_page()? else {
        return Ok(());
    };
    let in_order = matches!(page.intent, Intent::None | Intent::Roll(_));
    if !in_order || old.offline(&page)?.is_some() {
        return Ok(());
    }
    let segments = Segments::list(&**old.dir())?.since(page.tail.log_start);
    let Some((closed, reused)) = closed(&page, &segments, old.epochs()?) else {
        return Ok(());
    };
    made.remove_first_segment()?;
    for base in closed {
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(*base, kind).name();
            let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
            match logs.rename(&from, &to) {
                // An index is disposable.
                Err(e) if e.kind() == ErrorKind::NotFound && kind != FileKind::Log => {}
                moved => moved.map_err(|e| Error::io("move", join(logs, &from), e))?,
            }
        }
    }
    if old
        .read_page()?
        .is_none_or(|now| now.sequence != page.sequence)
    {
        let text = format!("the holder of the lock of {} resumed", old.tp());
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    }
    made.begin_with(&**store.clock(), &reused)
}

/// The reusable segments, ascending, and the log that they make.
fn closed<'s>(
    page: &StatePage,
    segments: &'s Segments,
    epochs: Option<LeaderEpochs>,
) -> Option<(&'s [Offset], ReusedSegments)> {
    let end = page.durable.segment;
    let closed = segments.below(end);
    let last_epoch = epochs.as_ref()?.at(end.checked_sub(1)?)?;
    if closed.is_empty() || end > page.tail.active {
        return None;
    }
    let mut epochs = epochs?;
    epochs.cut(end);
    let tail = Tail {
        log_start: page.tail.log_start,
        epoch: last_epoch,
        ..Tail::empty(end)
    };
    let deletions_gone = page.deletions_gone;
    let reused = ReusedSegments {
        tail,
        epochs,
        deletions_gone,
    };
    Some((closed, reused))
}
