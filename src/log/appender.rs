//! Appends a batch to the active segment, and begins a new one.
//!
//! Nothing here is visible until the caller publishes the returned [`Tail`]. A failed write is cut
//! back, so that nothing of it stays; a failed index entry is left out, since a whole sound batch
//! is never cut.

use std::sync::Arc;

use super::epoch_checkpoint::LeaderEpochs;
use super::file_name::{FileKind, SegmentFile};
use super::offset_index::OffsetIndexEntry;
use super::tail::Tail;
use super::temporary_file::remove_if_there;
use super::time_index::TimeIndexEntry;
use super::walk::{WalkFrom, walk};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::record::BatchHeader;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// When a segment is full (`LogSegment.shouldRoll`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollLimits {
    /// Most bytes of a segment.
    pub segment_bytes: u64,
    /// Longest span of timestamps in a segment, ms.
    pub segment_ms: i64,
    /// Most bytes of an index.
    pub index_bytes: u64,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u64,
}

/// The open files of the active segment.
#[derive(Debug)]
struct Active {
    base: Offset,
    log: Arc<dyn File>,
    index: Arc<dyn File>,
    time_index: Arc<dyn File>,
}

/// Writes to the end of one replica's log. Its caller holds the append lock.
#[derive(Debug)]
pub struct Appender {
    dir: Arc<dyn Dir>,
    active: Option<Active>,
    entered: Option<(u64, LeaderEpoch)>,
}

impl Appender {
    /// For the replica in `dir`.
    pub fn new(dir: Arc<dyn Dir>) -> Self {
        Appender {
            dir,
            active: None,
            entered: None,
        }
    }

    /// Drops the open files: the generation changed, and they may have been replaced.
    pub fn forget(&mut self) {
        self.active = None;
        self.entered = None;
    }

    /// Sets the generation and leader epoch of the log that is written to next. A new generation
    /// means that files may have been replaced: the open ones are dropped, and `true` is returned,
    /// since all else that was read of the replica is void, too.
    pub fn enter(&mut self, generation: u64, epoch: LeaderEpoch) -> bool {
        let changed = self.entered != Some((generation, epoch));
        if changed {
            self.entered = Some((generation, epoch));
            self.active = None;
        }
        changed
    }

    /// Cuts off what was appended after `tail` and not published.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`]: it is still there, and the next writer adopts it.
    pub fn take_back(&mut self, tail: &Tail) -> Result<()> {
        let path = self.log_path(tail.active);
        let active = self.active(tail.active)?;
        active
            .log
            .set_len(tail.log_bytes)
            .map_err(|e| Error::io("cut", path, e))
    }

    /// Whether a batch of that size, largest timestamp and last offset needs a new segment.
    pub fn must_roll(
        tail: &Tail,
        bytes: u64,
        max_timestamp: Timestamp,
        last_offset: Offset,
        limits: &RollLimits,
    ) -> bool {
        if tail.last.is_none() {
            return false;
        }
        let span = max_timestamp.saturating_sub(tail.first_timestamp);
        tail.log_bytes + bytes > limits.segment_bytes
            || (tail.first_timestamp >= 0 && span > limits.segment_ms)
            || tail.index_bytes + OffsetIndexEntry::BYTES > limits.index_bytes
            || tail.time_index_bytes + TimeIndexEntry::BYTES > limits.index_bytes
            || i32::try_from(last_offset - tail.active).is_err()
    }

    /// The length of the active segment's file, committed or not.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if the file was removed or replaced since it was opened: it is dropped, so
    /// that the next use opens its replacement. [`Kind::Io`].
    pub fn file_len(&mut self, tail: &Tail) -> Result<u64> {
        let path = self.log_path(tail.active);
        let len = self.active(tail.active)?.log.named_len();
        if len.is_err() {
            self.active = None;
        }
        len.map_err(|e| Error::io("look at", path, e))
    }

    /// The active segment's log file.
    pub fn log_file(&mut self, tail: &Tail) -> Result<Arc<dyn File>> {
        Ok(Arc::clone(&self.active(tail.active)?.log))
    }

    /// Writes a stamped batch at the end; returns the new tail.
    ///
    /// # Errors
    /// A failed write is cut back: [`crate::error::Kind::DiskFull`] or `Io`, nothing stored.
    pub fn append(
        &mut self,
        tail: &Tail,
        batch: &[u8],
        header: &BatchHeader,
        index_interval_bytes: u64,
    ) -> Result<Tail> {
        let path = self.log_path(tail.active);
        let active = self.active(tail.active)?;
        if let Err(e) = active.log.write_at(batch, tail.log_bytes) {
            // If it cannot be cut back now, the next writer finds the file too long and cuts it.
            let _ = active.log.set_len(tail.log_bytes);
            return Err(Error::io("append to", path, e));
        }
        Ok(self.index_batch(tail, header, index_interval_bytes))
    }

    /// Writes batches that are stamped already, back to back, in one write. Takes each header with
    /// its batch's bytes, in order.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub fn append_run(
        &mut self,
        tail: &Tail,
        bytes: &[u8],
        headers: &[BatchHeader],
        index_interval_bytes: u64,
    ) -> Result<Tail> {
        let path = self.log_path(tail.active);
        let active = self.active(tail.active)?;
        if let Err(e) = active.log.write_at(bytes, tail.log_bytes) {
            let _ = active.log.set_len(tail.log_bytes);
            return Err(Error::io("append to", path, e));
        }
        let count = |tail, header| self.index_batch(&tail, header, index_interval_bytes);
        Ok(headers.iter().fold(*tail, count))
    }

    /// Adds a batch that is already in the file to the tail, with its index entries.
    pub fn index_batch(
        &mut self,
        tail: &Tail,
        header: &BatchHeader,
        index_interval_bytes: u64,
    ) -> Tail {
        let (mut next, entry, time_entry) = tail.with_batch(header, index_interval_bytes);
        let Ok(active) = self.active(tail.active) else {
            return next.without_entries(tail);
        };
        if let Some(entry) = entry {
            let written = entry
                .encode(tail.active)
                .is_some_and(|raw| active.index.write_at(&raw, tail.index_bytes).is_ok());
            if !written {
                return next.without_entries(tail);
            }
        }
        if let Some(entry) = time_entry {
            let written = entry.encode(tail.active).is_some_and(|raw| {
                active
                    .time_index
                    .write_at(&raw, tail.time_index_bytes)
                    .is_ok()
            });
            if !written {
                next.time_index_bytes = tail.time_index_bytes;
                next.time_indexed = tail.time_indexed;
            }
        }
        next
    }

    /// Ends the indexes at a roll: writes the time index entry that Kafka forces then, and cuts off
    /// what an append that was cut back left in them. Their committed lengths are not kept after
    /// that.
    pub fn close_indexes(&mut self, tail: &Tail) -> Result<Tail> {
        let mut closed = *tail;
        if let Some(entry) = tail.due_time_entry()
            && let Some(raw) = entry.encode(tail.active)
        {
            let active = self.active(tail.active)?;
            if active
                .time_index
                .write_at(&raw, tail.time_index_bytes)
                .is_ok()
            {
                closed.time_index_bytes += TimeIndexEntry::BYTES;
                closed.time_indexed = entry.timestamp;
            }
        }
        let active = self.active(tail.active)?;
        for (file, committed) in [
            (&active.index, closed.index_bytes),
            (&active.time_index, closed.time_index_bytes),
        ] {
            // Extra bytes that cannot be cut off are harmless: no batch confirms them.
            if file.len().is_ok_and(|len| len > committed) {
                let _ = file.set_len(committed);
            }
        }
        Ok(closed)
    }

    /// Creates the files of the segment that begins at the log's end. Existing ones are emptied,
    /// but never a log that begins with a sound batch of that place.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if there is such a log: the page is older than it, and a recovery adopts
    /// it.
    pub fn begin_segment(&mut self, tail: &Tail) -> Result<Tail> {
        let next = tail.rolled();
        if begins_with_a_batch(&*self.dir, next.active, None)? {
            let path = self.log_path(next.active);
            let text = format!(
                "{} holds records that the page does not know",
                path.display()
            );
            return Err(Error::new(Kind::Fenced, text).cure("try again: that checks the log first"));
        }
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            make_empty(&*self.dir, SegmentFile::new(next.active, kind))?;
        }
        self.active = None;
        self.active(next.active)?;
        Ok(next)
    }

    /// Removes the files of a segment that was begun and holds nothing. The log goes last, so that
    /// a later process finds what a crash leaves.
    pub fn remove_segment(&mut self, base: Offset) -> Result<()> {
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.base == base)
        {
            self.active = None;
        }
        for kind in [FileKind::TimeIndex, FileKind::Index, FileKind::Log] {
            remove_if_there(&*self.dir, SegmentFile::new(base, kind))?;
        }
        Ok(())
    }

    fn log_path(&self, base: Offset) -> std::path::PathBuf {
        join(&*self.dir, &SegmentFile::new(base, FileKind::Log).name())
    }

    fn active(&mut self, base: Offset) -> Result<&Active> {
        match self.active {
            Some(ref active) if active.base == base => {}
            _ => self.active = Some(open_active(&*self.dir, base)?),
        }
        match &self.active {
            Some(active) => Ok(active),
            None => Err(Error::new(crate::error::Kind::Damaged, "no active segment")),
        }
    }
}

fn open_active(dir: &dyn Dir, base: Offset) -> Result<Active> {
    let open = |kind, how| {
        let name = SegmentFile::new(base, kind).name();
        dir.open_kept(&name, how)
            .map_err(|e| Error::io("open", join(dir, &name), e))
    };
    Ok(Active {
        base,
        log: open(FileKind::Log, Open::Write)?,
        // Indexes are disposable: a missing one starts empty.
        index: open(FileKind::Index, Open::Create)?,
        time_index: open(FileKind::TimeIndex, Open::Create)?,
    })
}

/// Whether there is a segment at `base` that begins with a sound batch, checked by `epochs` if
/// given.
///
/// # Errors
/// [`Kind::Io`].
pub fn begins_with_a_batch(
    dir: &dyn Dir,
    base: Offset,
    epochs: Option<&LeaderEpochs>,
) -> Result<bool> {
    let name = SegmentFile::new(base, FileKind::Log).name();
    let file = match dir.open(&name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("open", join(dir, &name), e)),
    };
    let error = |e| Error::io("read", join(dir, &name), e);
    let from = WalkFrom {
        position: 0,
        offset: base,
        epoch: 0,
    };
    let len = file.len().map_err(error)?;
    let walked = walk(&*file, from, len, Some(base + 1), epochs, &mut |_, _, _| {
        Ok(())
    })
    .map_err(error)?;
    Ok(walked.offset > base)
}

/// Creates an empty file, or empties an existing one.
pub(crate) fn make_empty(dir: &dyn Dir, file: SegmentFile) -> Result<Arc<dyn File>> {
    let name = file.name();
    let path = join(dir, &name);
    let opened = dir
        .open(&name, Open::Create)
        .map_err(|e| Error::io("make", &path, e))?;
    if !opened
        .is_empty()
        .map_err(|e| Error::io("look at", &path, e))?
    {
        opened
            .set_len(0)
            .map_err(|e| Error::io("empty", &path, e))?;
    }
    Ok(opened)
}
