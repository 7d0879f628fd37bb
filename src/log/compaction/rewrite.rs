//! Reads closed segments for their keys, and writes them again without what is replaced.

use std::sync::Arc;

use super::cleaned::{CleanedSegment, not_synced};
use super::key_map::KeyMap;
use super::retention::{CleanCounts, RetainRules, are_compacted};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::epoch_checkpoint::LeaderEpochs;
use crate::log::file_name::{FileKind, SegmentFile};
use crate::log::recovery::{Indexes, hop, io_error, open_log};
use crate::log::segments::damaged;
use crate::log::walk::{WalkFrom, walk};
use crate::record::{
    BATCH_OFFSETS_MAX, BatchHeader, BatchView, Decompressor, Thinner, emptied, filler,
};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Closed segments that follow each other, and how they are read.
#[derive(Clone, Copy)]
pub struct SegmentRun<'a> {
    /// The replica's directory.
    pub dir: &'a dyn Dir,
    /// The base offsets.
    pub bases: &'a [Offset],
    /// Where the next segment begins.
    pub end: Offset,
    /// The epoch checkpoint.
    pub epochs: &'a LeaderEpochs,
    /// Most bytes that a batch may decompress to.
    pub decompressed_len_max: usize,
}

/// What became of a run of segments.
pub struct Rewritten<'a> {
    /// The new files; `None`: nothing is to be left out, and the files stay.
    pub cleaned: Option<CleanedSegment<'a>>,
    /// What was found.
    pub counts: CleanCounts,
    /// Bytes of log after.
    pub bytes_after: u64,
}

impl SegmentRun<'_> {
    /// Calls `on_batch` with each batch of the segment at `base`, checked, and the segment's file.
    fn walk(
        &self,
        base: Offset,
        file: &dyn File,
        on_batch: &mut dyn FnMut(u64, &BatchHeader, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let len = file
            .len()
            .map_err(|e| io_error(self.dir, "look at", base, e))?;
        let after = self.bases.iter().copied().find(|other| *other > base);
        let until = after.unwrap_or(self.end);
        let from = WalkFrom {
            position: 0,
            offset: base,
            epoch: 0,
        };
        let mut failed = None;
        let mut step = |position, header: &BatchHeader, bytes: &[u8]| {
            on_batch(position, header, bytes).map_err(|e| {
                failed = Some(e);
                std::io::Error::other("stopped")
            })
        };
        let walked = walk(file, from, len, Some(until), Some(self.epochs), &mut step);
        if let Some(e) = failed {
            return Err(e);
        }
        let walked = walked.map_err(|e| io_error(self.dir, "read", base, e))?;
        if let Some(stopped) = walked.stopped {
            return Err(damaged(self.dir, base, stopped.position, stopped.why));
        }
        if walked.offset != until {
            let why = format!(
                "the segment ends at offset {}, the next begins at {until}",
                walked.offset
            );
            return Err(damaged(self.dir, base, walked.position, why));
        }
        Ok(())
    }

    fn open(&self, base: Offset) -> Result<Arc<dyn File>> {
        open_log(self.dir, base, Open::Read)
    }
}

/// The first and the largest timestamp of a closed segment, by the headers of its batches; `None` if none
/// has one.
///
/// # Errors
/// [`Kind::Damaged`], [`Kind::Io`].
pub fn timestamps(
    dir: &dyn Dir,
    base: Offset,
    end: Offset,
) -> Result<Option<(Timestamp, Timestamp)>> {
    let file = open_log(dir, base, Open::Read)?;
    let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
    let mut found = None;
    hop(dir, base, &*file, len, Some(end), &mut |header| {
        let time = header.max_timestamp;
        if time >= 0 {
            let (first, newest) = found.unwrap_or((time, time));
            found = Some((first, time.max(newest)));
        }
    })?;
    Ok(found)
}

/// Inserts the keys of the run's records at or after the offset up to which `keys` goes. Returns `false`
/// once the map is full. `go_on` is called with the bytes of each batch.
///
/// # Errors
/// [`Kind::Damaged`] for a batch that is not sound; [`Kind::Io`]; `go_on`'s.
pub fn map_keys(
    run: &SegmentRun<'_>,
    keys: &mut KeyMap,
    go_on: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<bool> {
    let mut decompressor = Decompressor::new(run.decompressed_len_max);
    let mut is_full = false;
    for base in run.bases {
        let file = run.open(*base)?;
        run.walk(*base, &*file, &mut |position, header, bytes| {
            go_on(bytes.len() as u64)?;
            if is_full || header.last_offset() < keys.covers().end {
                return Ok(());
            }
            if header.producer_id >= 0 {
                keys.note_producer(header.producer_id, header.base_offset);
            }
            if !are_compacted(header) {
                keys.cover(header.next_offset());
                return Ok(());
            }
            let wrong = |corrupt| damaged(run.dir, *base, position, corrupt);
            let view = BatchView::parse(bytes).map_err(wrong)?;
            for record in view.records(&mut decompressor).map_err(wrong)? {
                let record = record.map_err(wrong)?;
                let from = keys.covers().start;
                if let Some(key) = record.key.filter(|_| record.offset >= from)
                    && !keys.insert(key, record.offset)
                {
                    keys.cover(record.offset);
                    is_full = true;
                    return Ok(());
                }
            }
            keys.cover(header.next_offset());
            Ok(())
        })?;
        if is_full {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the run's segments again, as one that begins where the first does, without the records that
/// `rules` leave out. A single segment that would not change is not written.
///
/// # Errors
/// [`Kind::Damaged`] for a batch that is not sound; [`Kind::DiskFull`], [`Kind::Io`], also after a failed
/// sync; `go_on`'s. Nothing is left then.
pub fn rewrite<'a>(
    run: &SegmentRun<'a>,
    rules: &RetainRules<'_>,
    index_interval_bytes: u64,
    go_on: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Rewritten<'a>> {
    let Some(first) = run.bases.first().copied() else {
        return Err(Error::new(Kind::Damaged, "no segment to compact"));
    };
    let source = run.open(first)?;
    let mut output = Output::new(run.dir, first, Arc::clone(&source), index_interval_bytes);
    if run.bases.len() > 1 {
        output.begin(0)?;
    }
    let mut batches = Batches {
        rules,
        counts: CleanCounts::default(),
        decompressor: Decompressor::new(run.decompressed_len_max),
        thinner: Thinner::default(),
        thinned: Vec::new(),
    };
    let mut bytes_before = 0;
    for base in run.bases {
        // Until the next segment is removed, the joined log ends where that begins: between two batches.
        output.flush_filler()?;
        let file = if *base == first {
            Arc::clone(&source)
        } else {
            run.open(*base)?
        };
        run.walk(*base, &*file, &mut |position, header, bytes| {
            go_on(bytes.len() as u64)?;
            bytes_before += bytes.len() as u64;
            batches
                .take(position, header, bytes, &mut output)
                .map_err(|e| match e.kind() {
                    Kind::Damaged => damaged(run.dir, *base, position, e),
                    _ => e,
                })
        })?;
    }
    output.flush_filler()?;
    let (cleaned, bytes_after) = output.finish()?;
    Ok(Rewritten {
        bytes_after: if cleaned.is_some() {
            bytes_after
        } else {
            bytes_before
        },
        cleaned,
        counts: batches.counts,
    })
}

/// Takes batch after batch.
struct Batches<'r> {
    rules: &'r RetainRules<'r>,
    counts: CleanCounts,
    decompressor: Decompressor,
    thinner: Thinner,
    thinned: Vec<u8>,
}

impl Batches<'_> {
    fn take(
        &mut self,
        position: u64,
        header: &BatchHeader,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let records = u64::from(header.record_count.unsigned_abs());
        self.counts.records_before += records;
        if header.is_filler() {
            return output.fill(position, header, false);
        }
        if !are_compacted(header) {
            self.counts.records_after += records;
            return output.keep(header, bytes);
        }
        let view = BatchView::parse(bytes)?;
        let (mut has_tombstone, mut left) = (false, 0);
        for record in view.records(&mut self.decompressor)? {
            let record = record?;
            if self.rules.keeps(header, &record, &mut self.counts) {
                left += 1;
                has_tombstone |= record.value.is_none() && record.key.is_some();
            }
        }
        self.counts.records_after += left;
        if left == 0 {
            return self.leave_out(position, header, bytes, output);
        }
        let horizon = has_tombstone
            .then(|| self.rules.horizon_for(header))
            .flatten();
        if left == records && horizon.is_none() {
            return output.keep(header, bytes);
        }
        let mut ignored = CleanCounts::default();
        let rules = self.rules;
        self.thinner.thin(
            &view,
            horizon,
            &mut self.decompressor,
            &mut self.thinned,
            |record| rules.keeps(header, record, &mut ignored),
        )?;
        output.replace(position, &self.thinned)
    }

    /// A batch of which no record is left: offsets only, or the state of its producer.
    fn leave_out(
        &mut self,
        position: u64,
        header: &BatchHeader,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<()> {
        let id = header.producer_id;
        if id < 0 || self.rules.keys.has_later_batch(id, header.base_offset) {
            return output.fill(position, header, true);
        }
        let empty = emptied(header);
        if empty == bytes {
            output.keep(header, bytes)
        } else {
            output.replace(position, &empty)
        }
    }
}

/// A run of removed batches that is not written yet.
struct Filler {
    base: Offset,
    last: Offset,
    epoch: LeaderEpoch,
    /// Where the first of them is in the first segment.
    position: u64,
}

/// The new log. Nothing is written before the first change.
struct Output<'a> {
    dir: &'a dyn Dir,
    base: Offset,
    source: Arc<dyn File>,
    target: Option<(CleanedSegment<'a>, Arc<dyn File>)>,
    written: u64,
    buffer: Vec<u8>,
    indexes: Indexes,
    filler: Option<Filler>,
}

impl<'a> Output<'a> {
    fn new(dir: &'a dyn Dir, base: Offset, source: Arc<dyn File>, interval: u64) -> Self {
        Output {
            dir,
            base,
            source,
            target: None,
            written: 0,
            buffer: Vec::new(),
            indexes: Indexes::new(base, 0, interval),
            filler: None,
        }
    }

    /// Begins to write: the first `same` bytes are the source's.
    fn begin(&mut self, same: u64) -> Result<()> {
        if self.target.is_some() {
            return Ok(());
        }
        self.target = Some(CleanedSegment::begin(self.dir, self.base)?);
        let mut at = 0;
        while at < same {
            let len = usize::try_from(same - at).map_or(WRITE_BYTES, |left| left.min(WRITE_BYTES));
            let mut part = vec![0; len];
            let read = self
                .source
                .read_at(&mut part, at)
                .map_err(|e| io_error(self.dir, "read", self.base, e))?;
            if read < len {
                let why = "the file ends early";
                return Err(damaged(self.dir, self.base, at + read as u64, why));
            }
            self.push(&part)?;
            at += len as u64;
        }
        Ok(())
    }

    /// A batch stays as it is.
    fn keep(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<()> {
        self.flush_filler()?;
        self.indexes.add(header);
        self.push(bytes)
    }

    /// Another batch comes in place of the one at `position`.
    fn replace(&mut self, position: u64, batch: &[u8]) -> Result<()> {
        // A filler before it that is alone is in the source as it is.
        let same = self.filler.as_ref().map_or(position, |it| it.position);
        self.begin(same)?;
        let header = BatchHeader::parse(batch)?;
        self.keep(&header, batch)
    }

    /// Only the offsets of a batch are left. `is_new`: it had records before.
    fn fill(&mut self, position: u64, header: &BatchHeader, is_new: bool) -> Result<()> {
        let (base, last, epoch) = (
            header.base_offset,
            header.last_offset(),
            header.leader_epoch,
        );
        if let Some(filler) = &mut self.filler {
            let joins = filler.epoch == epoch && last - filler.base < BATCH_OFFSETS_MAX;
            let from = filler.position;
            if joins {
                filler.last = last;
                return self.begin(from);
            }
            self.flush_filler()?;
        }
        if is_new {
            self.begin(position)?;
        }
        self.filler = Some(Filler {
            base,
            last,
            epoch,
            position,
        });
        Ok(())
    }

    fn flush_filler(&mut self) -> Result<()> {
        let Some(it) = self.filler.take() else {
            return Ok(());
        };
        let Some(batch) = filler(it.base, it.last, it.epoch) else {
            let why = "the offsets do not fit a batch";
            return Err(damaged(self.dir, self.base, it.position, why));
        };
        self.indexes.add(&BatchHeader::parse(&batch)?);
        self.push(&batch)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.target.is_none() {
            return Ok(());
        }
        if self.buffer.len() + bytes.len() > WRITE_BYTES {
            self.write_out()?;
        }
        if bytes.len() >= WRITE_BYTES {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((_, file)) = &self.target else {
            return Ok(());
        };
        let name = SegmentFile::new(self.base, FileKind::Cleaned).name();
        file.write_at(bytes, self.written)
            .map_err(|e| Error::io("write", join(self.dir, &name), e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the files.
    fn finish(mut self) -> Result<(Option<CleanedSegment<'a>>, u64)> {
        self.write_out()?;
        let Some((mut cleaned, file)) = self.target else {
            return Ok((None, 0));
        };
        let name = SegmentFile::new(self.base, FileKind::Cleaned).name();
        file.sync_data()
            .map_err(|e| not_synced(&join(self.dir, &name), e))?;
        let (index, time_index) = self.indexes.into_closed();
        cleaned.write_indexes(&index, &time_index)?;
        Ok((Some(cleaned), self.written))
    }
}
