//! Finds a batch by offset or by time.
//!
//! Indexes only say where to begin: an entry counts once the batch it names confirms it, and
//! without one the search begins at the segment's start. The results are the same.

use std::sync::Arc;

use super::file_name::{FileKind, SegmentFile};
use super::offset_index::OffsetIndexEntry;
use super::segments::{Segments, damaged};
use super::tail::Tail;
use super::time_index::TimeIndexEntry;
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView, Decompressor};
use crate::types::{Offset, Timestamp};

/// A batch's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Base of the segment it is in.
    pub segment: Offset,
    /// Where it starts, bytes.
    pub position: u64,
    /// Its base offset.
    pub offset: Offset,
}

/// How many entries at the end of a time index are tried: behind the last of them a segment is walked.
const ENTRIES_TRIED: usize = 8;

/// One segment opened for a search.
struct Searched<'a> {
    dir: &'a dyn Dir,
    base: Offset,
    log: Arc<dyn File>,
    log_bytes: u64,
    /// Committed bytes of the indexes if the segment is the active one.
    committed: Option<(u64, u64)>,
}

/// Finds the batch that holds `target`, or the place where it will be (at the log's end).
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] if no segment begins at or below it (the log start moved);
/// [`Kind::Damaged`] if the batches on the way do not follow each other.
pub fn locate(dir: &dyn Dir, segments: &Segments, tail: &Tail, target: Offset) -> Result<Located> {
    let segment = segments.holding(target).ok_or_else(|| {
        Error::new(
            Kind::OffsetOutOfRange,
            format!(
                "OFFSET_OUT_OF_RANGE: no segment in {} holds offset {target}",
                dir.path().display()
            ),
        )
    })?;
    Searched::open(dir, segment, tail)?.locate(target)
}

/// The first record at or after `from` and before `until` whose timestamp is not older than
/// `timestamp`: its offset, or `None`. A batch may decompress to `decompressed_len_max` bytes.
///
/// # Errors
/// [`Kind::Damaged`] for a batch that is not sound, and if the log has a gap before `until`.
pub fn first_not_older(
    dir: &dyn Dir,
    segments: &Segments,
    tail: &Tail,
    from: Offset,
    until: Offset,
    timestamp: Timestamp,
    decompressed_len_max: usize,
) -> Result<Option<Offset>> {
    if from >= until {
        return Ok(None);
    }
    let Some(first) = segments.holding(from) else {
        return Err(damaged(dir, from, 0, "the segment is missing"));
    };
    for base in segments
        .from(first)
        .iter()
        .copied()
        .take_while(|base| *base < until)
    {
        let next = segments.after(base);
        if next.is_some_and(|next| next <= from) {
            continue;
        }
        let segment = Searched::open(dir, base, tail)?;
        // The largest timestamp of a closed segment is unknown: its last index entry may be lost.
        if base == tail.active && tail.max_timestamp < timestamp {
            continue;
        }
        let end = next.unwrap_or(until).min(until);
        if let Some(found) = segment.first_not_older(from, end, timestamp, decompressed_len_max)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The largest timestamp of a segment, ms; `None` if none of its batches has one. As a search by time
/// does, it begins at the last entry of the time index that its batch confirms, and goes by headers to
/// the end.
///
/// # Errors
/// [`Kind::Damaged`] if the batches on the way do not follow each other; [`Kind::Io`].
pub fn largest_timestamp(dir: &dyn Dir, base: Offset, tail: &Tail) -> Result<Option<Timestamp>> {
    Searched::open(dir, base, tail)?.largest_timestamp()
}

/// The largest timestamp of a segment's first batch, ms; `None` if it has none.
///
/// # Errors
/// [`Kind::Io`].
pub fn first_timestamp(dir: &dyn Dir, base: Offset) -> Result<Option<Timestamp>> {
    let first = header_at(dir, base, 0)?.map(|header| header.max_timestamp);
    Ok(first.filter(|timestamp| *timestamp >= 0))
}

impl<'a> Searched<'a> {
    fn open(dir: &'a dyn Dir, base: Offset, tail: &Tail) -> Result<Self> {
        let name = SegmentFile::new(base, FileKind::Log).name();
        let log = dir
            .open(&name, Open::Read)
            .map_err(|e| Error::io("open", join(dir, &name), e))?;
        let (log_bytes, committed) = if base == tail.active {
            (
                tail.log_bytes,
                Some((tail.index_bytes, tail.time_index_bytes)),
            )
        } else {
            (
                log.len()
                    .map_err(|e| Error::io("look at", join(dir, &name), e))?,
                None,
            )
        };
        Ok(Searched {
            dir,
            base,
            log,
            log_bytes,
            committed,
        })
    }

    fn start(&self) -> Located {
        Located {
            segment: self.base,
            position: 0,
            offset: self.base,
        }
    }

    fn header(&self, position: u64) -> Result<Option<BatchHeader>> {
        let mut raw = [0; BATCH_HEADER_LEN];
        if position + BATCH_HEADER_LEN as u64 > self.log_bytes {
            return Ok(None);
        }
        let name = SegmentFile::new(self.base, FileKind::Log).name();
        let read = self
            .log
            .read_at(&mut raw, position)
            .map_err(|e| Error::io("read", join(self.dir, &name), e))?;
        Ok((read == raw.len())
            .then(|| BatchHeader::parse(&raw).ok())
            .flatten())
    }

    fn index(&self, kind: FileKind) -> Option<(Arc<dyn File>, u64)> {
        let file = self
            .dir
            .open(&SegmentFile::new(self.base, kind).name(), Open::Read)
            .ok()?;
        let len = file.len().ok()?;
        let bytes = match (self.committed, kind) {
            (Some((index, _)), FileKind::Index) => len.min(index),
            (Some((_, time_index)), _) => len.min(time_index),
            (None, _) => len,
        };
        Some((file, bytes))
    }

    /// A confirmed place at or before the batch that holds `target`.
    fn hint(&self, target: Offset) -> Result<Located> {
        let Some((file, bytes)) = self.index(FileKind::Index) else {
            return Ok(self.start());
        };
        let found = OffsetIndexEntry::lookup(&*file, self.base, bytes, target);
        let Ok(Some(entry)) = found else {
            return Ok(self.start());
        };
        match self.header(entry.position)? {
            Some(header)
                if header.last_offset() == entry.offset && header.base_offset >= self.base =>
            {
                Ok(Located {
                    segment: self.base,
                    position: entry.position,
                    offset: header.base_offset,
                })
            }
            _ => Ok(self.start()),
        }
    }

    fn locate(&self, target: Offset) -> Result<Located> {
        let hint = self.hint(target)?;
        match self.hop(hint, |header| header.last_offset() >= target) {
            // A batch confirmed the index entry by chance: search from the start.
            Err(e) if e.kind() == Kind::Damaged && hint.position > 0 => {
                self.hop(self.start(), |header| header.last_offset() >= target)
            }
            other => other,
        }
    }

    /// The header of the batch that must be there.
    fn due_header(&self, at: Located) -> Result<BatchHeader> {
        let why = match self.header(at.position)? {
            Some(header) if header.base_offset == at.offset => return Ok(header),
            Some(header) => format!(
                "base offset {} where {} is expected",
                header.base_offset, at.offset
            ),
            None => "no batch header".to_owned(),
        };
        Err(damaged(self.dir, self.base, at.position, why))
    }

    /// From batch to batch until `found`, or to the end.
    fn hop(&self, from: Located, found: impl Fn(&BatchHeader) -> bool) -> Result<Located> {
        let mut at = from;
        while at.position < self.log_bytes {
            let header = self.due_header(at)?;
            if found(&header) {
                return Ok(at);
            }
            at.position += header.total_len() as u64;
            at.offset = header.last_offset() + 1;
        }
        Ok(at)
    }

    /// The batch that a time index entry names, if it matches the entry.
    fn confirmed(&self, entry: TimeIndexEntry) -> Result<Option<Located>> {
        if entry.offset < self.base {
            return Ok(None);
        }
        let at = self.locate(entry.offset)?;
        let sound = self.header(at.position)?.is_some_and(|header| {
            header.last_offset() == entry.offset && header.max_timestamp == entry.timestamp
        });
        Ok(sound.then_some(at))
    }

    fn first_not_older(
        &self,
        from: Offset,
        until: Offset,
        timestamp: Timestamp,
        decompressed_len_max: usize,
    ) -> Result<Option<Offset>> {
        let mut at = self.start();
        if let Some((file, bytes)) = self.index(FileKind::TimeIndex)
            && let Ok(Some(entry)) = TimeIndexEntry::lookup(&*file, self.base, bytes, timestamp)
            && let Some(confirmed) = self.confirmed(entry)?
        {
            at = confirmed;
        }
        let mut decompressor = Decompressor::new(decompressed_len_max);
        let mut batch = Vec::new();
        while at.position < self.log_bytes && at.offset < until {
            // Skipped batches are checked, too: a damaged time would hide a record.
            let header = self.due_header(at)?;
            self.read_batch(at.position, header.total_len(), &mut batch)?;
            let found = first_in_batch(&batch, &mut decompressor, from, timestamp)
                .map_err(|corrupt| damaged(self.dir, self.base, at.position, corrupt))?;
            if let Some(offset) = found {
                return Ok((offset < until).then_some(offset));
            }
            at.position += header.total_len() as u64;
            at.offset = header.last_offset() + 1;
        }
        if at.offset < until {
            // Without an error, the missing records would be taken for older ones.
            let why = format!(
                "the segment ends at offset {}, where {until} is expected",
                at.offset
            );
            return Err(damaged(self.dir, self.base, at.position, why));
        }
        Ok(None)
    }

    fn largest_timestamp(&self) -> Result<Option<Timestamp>> {
        let mut at = self.last_indexed_time()?.unwrap_or_else(|| self.start());
        let mut largest = -1;
        while at.position < self.log_bytes {
            let header = self.due_header(at)?;
            largest = largest.max(header.max_timestamp);
            at.position += header.total_len() as u64;
            at.offset = header.last_offset() + 1;
        }
        Ok((largest >= 0).then_some(largest))
    }

    /// The batch of the last time index entry that it confirms.
    fn last_indexed_time(&self) -> Result<Option<Located>> {
        let Some((file, bytes)) = self.index(FileKind::TimeIndex) else {
            return Ok(None);
        };
        let entries = bytes / TimeIndexEntry::BYTES;
        for at in (0..entries).rev().take(ENTRIES_TRIED) {
            let mut raw = [0; TimeIndexEntry::BYTES as usize];
            let read = file.read_at(&mut raw, at * TimeIndexEntry::BYTES);
            if !read.is_ok_and(|read| read == raw.len()) {
                continue;
            }
            let confirmed = self.confirmed(TimeIndexEntry::decode(raw, self.base))?;
            if confirmed.is_some() {
                return Ok(confirmed);
            }
        }
        Ok(None)
    }

    fn read_batch(&self, position: u64, total: usize, into: &mut Vec<u8>) -> Result<()> {
        if position + total as u64 > self.log_bytes {
            return Err(damaged(
                self.dir,
                self.base,
                position,
                "a batch beyond the segment's end",
            ));
        }
        into.resize(total, 0);
        let name = SegmentFile::new(self.base, FileKind::Log).name();
        let read = self
            .log
            .read_at(into, position)
            .map_err(|e| Error::io("read", join(self.dir, &name), e))?;
        if read < total {
            return Err(damaged(
                self.dir,
                self.base,
                position,
                "a batch that ends early",
            ));
        }
        Ok(())
    }
}

fn first_in_batch(
    batch: &[u8],
    decompressor: &mut Decompressor,
    from: Offset,
    timestamp: Timestamp,
) -> std::result::Result<Option<Offset>, crate::record::Corrupt> {
    let view = BatchView::parse(batch)?;
    view.check_crc()?;
    if view.header().max_timestamp < timestamp || view.header().last_offset() < from {
        return Ok(None);
    }
    for record in view.records(decompressor)? {
        let record = record?;
        if record.timestamp >= timestamp && record.offset >= from {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}

/// The header of the batch at a place, if there is a plausible one.
pub fn header_at(dir: &dyn Dir, segment: Offset, position: u64) -> Result<Option<BatchHeader>> {
    let name = SegmentFile::new(segment, FileKind::Log).name();
    let error = |e| Error::io("read", join(dir, &name), e);
    let file = dir.open(&name, Open::Read).map_err(error)?;
    let mut raw = [0; BATCH_HEADER_LEN];
    let read = file.read_at(&mut raw, position).map_err(error)?;
    Ok(if read == raw.len() {
        BatchHeader::parse(&raw).ok()
    } else {
        None
    })
}
