//! Rewrite of unsynced bytes, which no successful fsync covers.
//!
//! The kernel reports a failed writeback once, and the process that got the error may be dead. The
//! next fsync returns 0 while the range reads as zeros later, even if it is rewritten in place. So
//! everything above the durable offset is copied into new files, synced there, and renamed into
//! place.

use super::appender::make_empty;
use super::epoch_checkpoint::LeaderEpochs;
use super::file_name::{FileKind, SegmentFile};
use super::recovery::{
    Cut, RecoverFrom, Recovered, cut, cut_segment, index_closed, io_error, open_log, recover,
    sync_indexes,
};
use super::segments::{Segments, damaged, sync_failed};
use super::tail::LogPosition;
use super::temporary_file::{self, Unfinished, remove_if_there};
use super::walk::{Break, WalkFrom, walk};
use crate::disk::{Dir, Open, join};
use crate::error::{Error, Result};
use crate::record::BatchHeader;
use crate::types::Offset;

/// Copies the log from `durable` on, syncs the copies and puts them in place: the first as a
/// segment that begins at the durable offset. Sound batches in sequence are kept; a break ends the
/// log, and what follows it is set aside. The caller has published an intent and a new generation
/// before, and publishes durable = end after. A process that finishes another's rewrite calls this
/// again from the same place. What is cut is added to `cuts`, as in [`recover`].
pub fn copy_from(
    dir: &dyn Dir,
    log_start: Offset,
    durable: LogPosition,
    epochs: &LeaderEpochs,
    index_interval_bytes: u64,
    cuts: &mut Vec<Cut>,
) -> Result<Recovered> {
    // Never reuse the file of an earlier try: its sync may have failed unnoticed.
    temporary_file::remove_all(dir)?;
    let mut sources = Vec::new();
    let segments = Segments::list(dir)?;
    if segments.bases().contains(&durable.offset) {
        // An earlier try may have renamed it already, or the segment begins there anyway.
        sources.extend_from_slice(segments.from(durable.offset));
    } else {
        sources.push(durable.segment);
        sources.extend_from_slice(segments.from(durable.offset));
    }
    let mut made = Vec::new();
    let mut sources = sources.into_iter().peekable();
    while let Some(base) = sources.next() {
        let file = open_log(dir, base, Open::Write)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
        let first = base < durable.offset;
        let (position, target) = if first {
            (durable.position, durable.offset)
        } else {
            (0, base)
        };
        if position > len {
            return Err(damaged(
                dir,
                base,
                len,
                "the file ends before its durable offset",
            ));
        }
        let name = SegmentFile::new(target, FileKind::Rewrite);
        let (unfinished, copy) = Unfinished::make(dir, name)?;
        let path = unfinished.path();
        let mut written = 0;
        let from = WalkFrom {
            position,
            offset: target,
            epoch: 0,
        };
        let next = sources.peek().copied();
        let walked = walk(&*file, from, len, next, Some(epochs), &mut |_, _, bytes| {
            copy.write_at(bytes, written)?;
            written += bytes.len() as u64;
            Ok(())
        })
        .map_err(|e| Error::io("copy into", &path, e))?;
        let end = walked.offset;
        copy.sync_data().map_err(|e| sync_failed(&path, e))?;
        made.push((unfinished, target));
        let stopped = walked.stopped.or_else(|| {
            next.filter(|next| *next != end).map(|next| Break {
                position: walked.position,
                why: format!("the segment ends at offset {end}, the next begins at {next}"),
            })
        });
        if let Some(stopped) = stopped {
            if len > stopped.position {
                cuts.push(cut(dir, base, &*file, &stopped, len, end)?);
            }
            for later in sources.by_ref() {
                cuts.push(cut_segment(dir, later, end)?);
            }
        }
    }
    for (mut copy, base) in made {
        let log = SegmentFile::new(base, FileKind::Log);
        copy.rename_with(|name| dir.rename(name, &log.name()))
            .map_err(|e| io_error(dir, "rename", base, e))?;
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            remove_if_there(dir, SegmentFile::new(base, kind))?;
        }
    }
    if durable.segment != durable.offset {
        let old = open_log(dir, durable.segment, Open::Write)?;
        old.set_len(durable.position)
            .map_err(|e| io_error(dir, "cut", durable.segment, e))?;
        let name = SegmentFile::new(durable.segment, FileKind::Log).name();
        old.sync_data()
            .map_err(|e| sync_failed(join(dir, &name), e))?;
        // The indexes still cover what was cut. After a crash before this line, the process that
        // finishes the rewrite recreates them.
        index_closed(
            dir,
            durable.segment,
            &*old,
            durable.position,
            index_interval_bytes,
        )?;
    }
    dir.sync().map_err(|e| sync_failed(dir.path(), e))?;
    let from = RecoverFrom {
        log_start: Some(log_start),
        durable: Some(LogPosition {
            offset: durable.offset,
            segment: durable.offset,
            position: 0,
        }),
        index_interval_bytes,
    };
    let recovered = recover(dir, from, Some(epochs), cuts)?;
    // The caller publishes that all of it is durable, so no later group commit syncs these files.
    let active = recovered.tail.active;
    for base in Segments::list(dir)?.from(durable.offset) {
        if *base < active {
            sync_indexes(dir, *base)?;
        }
    }
    dir.sync().map_err(|e| sync_failed(dir.path(), e))?;
    Ok(recovered)
}

/// Begins an empty log at `log_start` if no segment is left; returns whether it did.
pub fn begin_if_lost(dir: &dyn Dir, log_start: Offset) -> Result<bool> {
    let is_lost = Segments::list(dir)?.bases().is_empty();
    if is_lost {
        make_empty(dir, SegmentFile::new(log_start, FileKind::Log))?;
        dir.sync().map_err(|e| sync_failed(dir.path(), e))?;
    }
    Ok(is_lost)
}

/// The epochs of the batches, up to the first break.
pub fn epochs_of_batches(dir: &dyn Dir, segments: &Segments) -> Result<LeaderEpochs> {
    let mut epochs = LeaderEpochs::default();
    walk_log(dir, segments, &mut |header| {
        epochs.begin(header.leader_epoch, header.base_offset);
    })?;
    Ok(epochs)
}

/// Walks the whole log up to the first break, without the epoch checkpoint; returns the offset
/// there.
pub(crate) fn walk_log(
    dir: &dyn Dir,
    segments: &Segments,
    on_header: &mut dyn FnMut(&BatchHeader),
) -> Result<Offset> {
    let (mut epoch, mut end) = (0, 0);
    for base in segments.bases().iter().copied() {
        let file = open_log(dir, base, Open::Read)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
        let from = WalkFrom {
            position: 0,
            offset: base,
            epoch,
        };
        let next = segments.after(base);
        let walked = walk(&*file, from, len, next, None, &mut |_, header, _| {
            on_header(header);
            Ok(())
        })
        .map_err(|e| io_error(dir, "read", base, e))?;
        end = walked.offset;
        if walked.stopped.is_some() || next.is_some_and(|next| next != walked.offset) {
            break;
        }
        epoch = walked.epoch;
    }
    Ok(end)
}

/// The last place up to which the log is sound: `until`, or the first break before it.
pub fn last_sound_place(
    dir: &dyn Dir,
    segments: &Segments,
    from: LogPosition,
    until: LogPosition,
    epochs: Option<&LeaderEpochs>,
) -> Result<LogPosition> {
    let mut place = from;
    for base in segments
        .from(from.segment)
        .iter()
        .copied()
        .take_while(|b| *b <= until.segment)
    {
        let file = open_log(dir, base, Open::Read)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
        let end = if base == until.segment {
            len.min(until.position)
        } else {
            len
        };
        if place.offset != base && base != from.segment {
            return Ok(place);
        }
        let from = WalkFrom {
            position: 0,
            offset: base,
            epoch: 0,
        };
        let next = segments.after(base);
        let walked = walk(&*file, from, end, next, epochs, &mut |_, _, _| Ok(()))
            .map_err(|e| io_error(dir, "read", base, e))?;
        place = LogPosition {
            offset: walked.offset,
            segment: base,
            position: walked.position,
        };
        if walked.stopped.is_some() {
            return Ok(place);
        }
    }
    Ok(place)
}
