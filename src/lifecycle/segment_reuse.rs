//! What a replica that is made anew takes from the one that stood in its place: closed segments,
//! every byte of which is durable there. The rest comes from the leader.
//!
//! 1. Only where somebody keeps the old one's append lock: its page then says how its log is. One
//!    that failed, is damaged, or is being cut has nothing that could be taken.
//! 2. Segments below that of the durable offset: neither an append nor a recovery writes to them.
//!    A truncation does, and says so in the page before it opens a file. So the page is read once
//!    more when they are gone from the old directory: if it is as before, whoever has the lock
//!    finds nothing there when he wakes.
//! 3. Files are moved, not copied. Until the new directory is in its place it is one that no topic
//!    file names; what a death within leaves is removed, and the leader has all of it.

use std::io::ErrorKind;

use super::made_replica::{MadeReplica, ReusedSegments};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::log::{FileKind, LeaderEpochs, SegmentFile, Segments, Tail};
use crate::partition::{Intent, Replica, StatePage};
use crate::store::StoreDir;
use crate::types::Offset;

/// Moves what can be taken of `old`, which stands under the name `from`, into the replica that was
/// made under the name `to`. Nothing can, often: then nothing changed.
///
/// # Errors
/// [`Kind::Busy`] if whoever has the old one's lock woke meanwhile; [`Kind::Io`]. The new directory
/// is worth nothing then.
pub(crate) fn take_over(
    store: &StoreDir,
    logs: &dyn Dir,
    (old, from): (&Replica, &str),
    (made, to): (&mut MadeReplica, &str),
) -> Result<()> {
    let Some(page) = old.read_page()? else {
        return Ok(());
    };
    let in_order = matches!(page.intent, Intent::None | Intent::Roll(_));
    if !in_order || old.offline(&page)?.is_some() {
        return Ok(());
    }
    let segments = Segments::list(&**old.dir())?;
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
        let text = format!("whoever had the lock of {} goes on", old.tp());
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    }
    made.begin_with(&**store.clock(), &reused)
}

/// The segments that can be taken, ascending, and the log that they make.
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
    Some((closed, ReusedSegments { tail, epochs }))
}
