//! Finds out what a log holds if its last writer did not publish it.
//!
//! 1. Nothing below the durable offset is cut: a break there is damage, and an error.
//! 2. Nothing above it is trusted: the log ends at the first break, even if sound batches follow,
//!    since a power cut leaves zeros before data. What is cut is set aside as `OFFSET.cut`, and
//!    never replaces an earlier cut.
//! 3. If nothing is known to be durable, a break followed by a sound batch is damage, too.
//!
//! Indexes of the walked segments are written again.

use std::path::PathBuf;
use std::sync::Arc;

use super::appender::{Appender, make_empty};
use super::epoch_checkpoint::LeaderEpochs;
use super::file_name::{FileKind, SegmentFile};
use super::segments::{Segments, damaged, sync_failed};
use super::tail::{LogPosition, Tail};
use super::temporary_file::{self, Unfinished, remove_if_there};
use super::walk::{Break, WalkFrom, sound_batch_behind, walk};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader};
use crate::types::{LeaderEpoch, Offset};

/// What is known before a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverFrom {
    /// The log start; `None`: the first segment's base.
    pub log_start: Option<Offset>,
    /// Everything below this place is durable; `None`: unknown.
    pub durable: Option<LogPosition>,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u64,
}

/// What a recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The log as it is now.
    pub tail: Tail,
    /// Its epochs.
    pub epochs: LeaderEpochs,
}

/// Bytes that are no longer part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment they were in.
    pub file: PathBuf,
    /// The offset at which the log ends now.
    pub offset: Offset,
    /// Where they began, bytes.
    pub position: u64,
    /// Their number.
    pub bytes: u64,
    /// What is wrong with the first of them.
    pub why: String,
    /// The file where they are kept; `None`: they were all zeros.
    pub kept: Option<PathBuf>,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the log ends at offset {}: {} bytes of {} from byte {} on were cut ({}), ",
            self.offset,
            self.bytes,
            self.file.display(),
            self.position,
            self.why
        )?;
        match &self.kept {
            Some(path) => write!(f, "kept in {}", path.display()),
            None => f.write_str("all of them zeros"),
        }
    }
}

/// Adopts what a dead writer of this boot left beyond the committed end: its whole sound batches
/// become part of the log, its torn rest is cut. Returns the new tail.
pub fn adopt(
    appender: &mut Appender,
    tail: &Tail,
    epochs: &LeaderEpochs,
    index_interval_bytes: u64,
) -> Result<Tail> {
    let log = appender.log_file(tail)?;
    let len = appender.file_len(tail)?;
    let from = WalkFrom {
        position: tail.log_bytes,
        offset: tail.end,
        epoch: tail.epoch,
    };
    let mut grown = *tail;
    let walked = walk(&*log, from, len, None, Some(epochs), &mut |_, header, _| {
        grown = appender.index_batch(&grown, header, index_interval_bytes);
        Ok(())
    })
    .map_err(|e| Error::io("read", "the active segment", e))?;
    if walked.position < len {
        log.set_len(walked.position)
            .map_err(|e| Error::io("cut", "the active segment", e))?;
    }
    Ok(grown)
}

/// Walks the log from the durable offset to its end, cuts what is broken above that, and writes the
/// indexes again. `epochs` is the epoch checkpoint, `None` if that is unreadable: it is then
/// recreated from the batches. Each cut is added to `cuts` at once, so that the caller can report
/// it even if the recovery fails later.
///
/// # Errors
/// [`Kind::Damaged`], naming file and position, if cutting would lose what may be durable.
pub fn recover(
    dir: &dyn Dir,
    from: RecoverFrom,
    epochs: Option<&LeaderEpochs>,
    cuts: &mut Vec<Cut>,
) -> Result<Recovered> {
    temporary_file::remove_all(dir)?;
    let segments = Segments::list(dir)?.since(from.log_start.unwrap_or_default());
    let Some(first) = segments.bases().first().copied() else {
        return Err(Error::new(
            Kind::Damaged,
            format!("CORRUPT_MESSAGE: {} holds no segment", dir.path().display()),
        )
        .cure("restore the directory from a backup, or delete the topic"));
    };
    let log_start = from.log_start.unwrap_or(first);
    if first > log_start {
        return Err(damaged(dir, log_start, 0, "the segment is missing"));
    }
    let start = from.durable.unwrap_or(LogPosition {
        offset: first,
        segment: first,
        position: 0,
    });
    if !segments.bases().contains(&start.segment) {
        return Err(damaged(
            dir,
            start.segment,
            start.position,
            "the segment is missing",
        ));
    }
    let mut seen = SeenEpochs::default();
    if epochs.is_none() {
        for base in segments
            .bases()
            .iter()
            .copied()
            .filter(|base| *base < start.segment)
        {
            let file = open_log(dir, base, Open::Read)?;
            let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
            hop(
                dir,
                base,
                &*file,
                len,
                segments.after(base),
                &mut |header| seen.note(header),
            )?;
        }
    }
    let known = epochs.unwrap_or(&seen.epochs);
    let epoch = known.at(start.segment.saturating_sub(1)).unwrap_or(0);
    let mut tail = Tail {
        epoch,
        ..Tail::empty(start.segment)
    };
    let mut bases = segments.from(start.segment).iter().copied().peekable();
    while let Some(base) = bases.next() {
        let file = open_log(dir, base, Open::Write)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
        let mut indexes = Indexes::new(base, tail.epoch, from.index_interval_bytes);
        let mut at = WalkFrom {
            position: 0,
            offset: base,
            epoch: tail.epoch,
        };
        if base == start.segment {
            if start.position > len {
                return Err(damaged(
                    dir,
                    base,
                    len,
                    format!(
                        "the file ends here, and {} bytes of it are durable",
                        start.position
                    ),
                ));
            }
            hop(dir, base, &*file, start.position, None, &mut |header| {
                seen.note(header);
                indexes.add(header);
            })?;
            let found = indexes.tail.end;
            if found != start.offset {
                return Err(damaged(
                    dir,
                    base,
                    start.position,
                    format!(
                        "offset {found} where the durable offset is {}",
                        start.offset
                    ),
                ));
            }
            at = WalkFrom {
                position: start.position,
                offset: start.offset,
                epoch: indexes.tail.epoch,
            };
        }
        let next = bases.peek().copied();
        let walked = walk(&*file, at, len, next, epochs, &mut |_, header, _| {
            seen.note(header);
            indexes.add(header);
            Ok(())
        })
        .map_err(|e| io_error(dir, "read", base, e))?;
        let stopped = walked.stopped.or_else(|| {
            next.filter(|next| walked.offset != *next)
                .map(|next| Break {
                    position: walked.position,
                    why: format!(
                        "the segment ends at offset {}, the next begins at {next}",
                        walked.offset
                    ),
                })
        });
        tail = indexes.tail;
        if let Some(stopped) = stopped {
            if from.durable.is_none()
                && sound_behind(dir, &segments, base, &*file, &stopped, len, tail.end)?
            {
                return Err(damaged(dir, base, stopped.position, stopped.why));
            }
            if len > stopped.position {
                cuts.push(cut(dir, base, &*file, &stopped, len, tail.end)?);
            }
            for later in bases.by_ref() {
                cuts.push(cut_segment(dir, later, tail.end)?);
            }
        }
        indexes.write(dir, bases.peek().is_some())?;
        tail = indexes.tail;
    }
    tail.log_start = log_start;
    if tail.end < log_start {
        return Err(damaged(
            dir,
            tail.active,
            tail.log_bytes,
            format!("the log ends at {} before its start {log_start}", tail.end),
        ));
    }
    let mut epochs = epochs.cloned().unwrap_or(seen.epochs);
    // An epoch that begins just at the end is of a leader that has not written yet: it stays.
    epochs.cut(tail.end + 1);
    Ok(Recovered { tail, epochs })
}

/// The epochs of batches.
#[derive(Default)]
struct SeenEpochs {
    epochs: LeaderEpochs,
}

impl SeenEpochs {
    fn note(&mut self, header: &BatchHeader) {
        self.epochs.begin(header.leader_epoch, header.base_offset);
    }
}

/// The indexes of one segment, as they are built while it is walked.
pub(super) struct Indexes {
    tail: Tail,
    interval: u64,
    index: Vec<u8>,
    time_index: Vec<u8>,
}

impl Indexes {
    pub(super) fn new(base: Offset, epoch: LeaderEpoch, interval: u64) -> Self {
        let tail = Tail {
            epoch,
            ..Tail::empty(base)
        };
        Indexes {
            tail,
            interval,
            index: Vec::new(),
            time_index: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, header: &BatchHeader) {
        let base = self.tail.active;
        let (tail, entry, time_entry) = self.tail.with_batch(header, self.interval);
        self.tail = tail;
        if let Some(raw) = entry.and_then(|entry| entry.encode(base)) {
            self.index.extend_from_slice(&raw);
        }
        if let Some(raw) = time_entry.and_then(|entry| entry.encode(base)) {
            self.time_index.extend_from_slice(&raw);
        }
        self.tail.index_bytes = self.index.len() as u64;
        self.tail.time_index_bytes = self.time_index.len() as u64;
    }

    /// Adds the entry that Kafka forces when a segment is closed.
    fn close(&mut self) {
        if let Some(entry) = self.tail.due_time_entry()
            && let Some(raw) = entry.encode(self.tail.active)
        {
            self.time_index.extend_from_slice(&raw);
            self.tail.time_index_bytes = self.time_index.len() as u64;
            self.tail.time_indexed = entry.timestamp;
        }
    }

    /// The bytes of the offset index and of the time index of a closed segment.
    pub(super) fn into_closed(mut self) -> (Vec<u8>, Vec<u8>) {
        self.close();
        (self.index, self.time_index)
    }

    fn write(&mut self, dir: &dyn Dir, closed: bool) -> Result<()> {
        let base = self.tail.active;
        if closed {
            self.close();
        }
        for (kind, bytes) in [
            (FileKind::Index, &self.index),
            (FileKind::TimeIndex, &self.time_index),
        ] {
            let name = SegmentFile::new(base, kind);
            let file = make_empty(dir, name)?;
            file.write_at(bytes, 0)
                .map_err(|e| Error::io("write", join(dir, &name.name()), e))?;
        }
        Ok(())
    }
}

/// Recreates the indexes of a closed segment from its first `end` bytes of log, and syncs them,
/// since no recovery checks them again. If those bytes are damaged, there are no indexes
/// afterwards: a reader of the log reports the damage.
pub(crate) fn index_closed(
    dir: &dyn Dir,
    base: Offset,
    log: &dyn File,
    end: u64,
    interval: u64,
) -> Result<()> {
    let mut indexes = Indexes::new(base, 0, interval);
    let hopped = hop(dir, base, log, end, None, &mut |header| indexes.add(header));
    match hopped {
        Err(e) if e.kind() == Kind::Damaged => {
            for kind in [FileKind::Index, FileKind::TimeIndex] {
                remove_if_there(dir, SegmentFile::new(base, kind))?;
            }
            return Ok(());
        }
        other => other?,
    }
    indexes.write(dir, true)?;
    sync_indexes(dir, base)
}

/// Makes the indexes of a segment durable.
pub(crate) fn sync_indexes(dir: &dyn Dir, base: Offset) -> Result<()> {
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        let name = SegmentFile::new(base, kind).name();
        let path = join(dir, &name);
        let file = dir
            .open(&name, Open::Write)
            .map_err(|e| Error::io("open", &path, e))?;
        file.sync_data().map_err(|e| sync_failed(&path, e))?;
    }
    Ok(())
}

pub(crate) fn open_log(dir: &dyn Dir, base: Offset, how: Open) -> Result<Arc<dyn File>> {
    let name = SegmentFile::new(base, FileKind::Log).name();
    dir.open(&name, how)
        .map_err(|e| Error::io("open", join(dir, &name), e))
}

pub(crate) fn io_error(dir: &dyn Dir, op: &'static str, base: Offset, e: std::io::Error) -> Error {
    Error::io(
        op,
        join(dir, &SegmentFile::new(base, FileKind::Log).name()),
        e,
    )
}

/// From header to header up to `end` bytes, for a log that is known to be sound.
pub(super) fn hop(
    dir: &dyn Dir,
    base: Offset,
    file: &dyn File,
    end: u64,
    until: Option<Offset>,
    on_header: &mut dyn FnMut(&BatchHeader),
) -> Result<()> {
    let (mut position, mut offset) = (0, base);
    while position < end && until.is_none_or(|until| offset < until) {
        let mut raw = [0; BATCH_HEADER_LEN];
        let read = file
            .read_at(&mut raw, position)
            .map_err(|e| io_error(dir, "read", base, e))?;
        let header = if read < raw.len() {
            None
        } else {
            BatchHeader::parse(&raw).ok()
        };
        let Some(header) = header.filter(|header| header.base_offset == offset) else {
            return Err(damaged(
                dir,
                base,
                position,
                "no batch where one was durable",
            ));
        };
        on_header(&header);
        position += header.total_len() as u64;
        offset = header.last_offset() + 1;
    }
    Ok(())
}

fn sound_behind(
    dir: &dyn Dir,
    segments: &Segments,
    base: Offset,
    file: &dyn File,
    stopped: &Break,
    len: u64,
    offset: Offset,
) -> Result<bool> {
    let here = sound_batch_behind(file, stopped.position, len, offset)
        .map_err(|e| io_error(dir, "read", base, e))?;
    if here {
        return Ok(true);
    }
    for later in segments.from(base + 1).iter().copied() {
        let file = open_log(dir, later, Open::Read)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", later, e))?;
        if sound_batch_behind(&*file, 0, len, offset)
            .map_err(|e| io_error(dir, "read", later, e))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sets the bytes from a break on aside, and cuts them off.
pub(crate) fn cut(
    dir: &dyn Dir,
    base: Offset,
    file: &dyn File,
    stopped: &Break,
    len: u64,
    end: Offset,
) -> Result<Cut> {
    let kept = set_aside(dir, base, file, stopped.position, len, end)?;
    file.set_len(stopped.position)
        .map_err(|e| io_error(dir, "cut", base, e))?;
    Ok(Cut {
        file: join(dir, &SegmentFile::new(base, FileKind::Log).name()),
        offset: end,
        position: stopped.position,
        bytes: len - stopped.position,
        why: stopped.why.clone(),
        kept,
    })
}

/// Copies `file` from `position` to `len` into a separate file, unless it is all zeros.
fn set_aside(
    dir: &dyn Dir,
    base: Offset,
    file: &dyn File,
    position: u64,
    len: u64,
    end: Offset,
) -> Result<Option<PathBuf>> {
    let mut buf = vec![0; 256 * 1024];
    let (mut copy, mut at): (Option<(Unfinished<'_>, Arc<dyn File>)>, u64) = (None, position);
    while at < len {
        let want = usize::try_from(len - at)
            .unwrap_or(buf.len())
            .min(buf.len());
        let part = buf.get_mut(..want).unwrap_or_default();
        let read = file
            .read_at(part, at)
            .map_err(|e| io_error(dir, "read", base, e))?;
        let part = part.get(..read).unwrap_or_default();
        if copy.is_none() && part.iter().any(|byte| *byte != 0) {
            let name = SegmentFile::new(end, FileKind::CutInTheMaking);
            copy = Some(Unfinished::make(dir, name)?);
        }
        if let Some((unfinished, copy)) = &copy {
            copy.write_at(part, at - position)
                .map_err(|e| Error::io("write", unfinished.path(), e))?;
        }
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    let Some((mut unfinished, copy)) = copy else {
        return Ok(None);
    };
    copy.sync_data()
        .map_err(|e| sync_failed(unfinished.path(), e))?;
    let path = under_a_free_name(dir, end, |name| {
        unfinished.rename_with(|unfinished| dir.rename_new(unfinished, name))
    })?;
    dir.sync().map_err(|e| sync_failed(dir.path(), e))?;
    Ok(Some(path))
}

/// Sets a whole segment aside.
pub(crate) fn cut_segment(dir: &dyn Dir, base: Offset, end: Offset) -> Result<Cut> {
    let log = SegmentFile::new(base, FileKind::Log);
    let file = open_log(dir, base, Open::Read)?;
    let bytes = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
    let kept = under_a_free_name(dir, base, |name| dir.rename_new(&log.name(), name))?;
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        remove_if_there(dir, SegmentFile::new(base, kind))?;
    }
    Ok(Cut {
        file: join(dir, &log.name()),
        offset: end,
        position: 0,
        bytes,
        why: "the log ends before this segment".to_owned(),
        kept: Some(kept),
    })
}

/// Renames to the next free `.cut` file of an offset: nothing that was kept before is overwritten,
/// not even by a repeated recovery.
fn under_a_free_name(
    dir: &dyn Dir,
    offset: Offset,
    mut rename: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let name = SegmentFile::new(offset, FileKind::Cut(number)).name();
        match rename(&name) {
            Ok(()) => return Ok(join(dir, &name)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && number < u32::MAX => {
                number += 1;
            }
            Err(e) => return Err(Error::io("set aside as", join(dir, &name), e)),
        }
    }
}
