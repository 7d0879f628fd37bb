//! Verifies a replica's files without changing them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::epoch_checkpoint::LeaderEpochs;
use super::file_name::{FileKind, SegmentFile};
use super::offset_index::OffsetIndexEntry;
use super::recovery::{io_error, open_log};
use super::segments::Segments;
use super::tail::Tail;
use super::time_index::TimeIndexEntry;
use super::walk::{WalkFrom, out_of_place, walk};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView, Decompressor};
use crate::types::{Offset, Timestamp};

/// A problem that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Its position in the file, bytes.
    pub position: u64,
    /// Its description.
    pub what: String,
    /// Whether records are affected: an index is disposable, and recreated automatically.
    pub data: bool,
}

/// The amount that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covered {
    /// Segments.
    pub segments: u64,
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// Bytes of log.
    pub bytes: u64,
}

/// Verifies every segment up to the tail: how batches follow each other, and with `deep` (most
/// bytes that a batch may decompress to) also every checksum, record and index entry. Damage in one
/// segment does not hide the next.
pub fn verify(
    dir: &dyn Dir,
    tail: &Tail,
    epochs: Option<&LeaderEpochs>,
    deep: Option<usize>,
    findings: &mut Vec<Finding>,
) -> Result<Covered> {
    let segments = Segments::list(dir)?.since(tail.log_start);
    let mut covered = Covered::default();
    let mut due = tail.log_start;
    let bases: Vec<Offset> = segments
        .bases()
        .iter()
        .copied()
        .filter(|base| *base <= tail.active)
        .collect();
    if !bases.contains(&tail.active) {
        findings.push(Finding {
            file: join(dir, &SegmentFile::new(tail.active, FileKind::Log).name()),
            position: 0,
            what: "the active segment is missing".to_owned(),
            data: true,
        });
    }
    for base in bases {
        if base > due {
            findings.push(Finding {
                file: join(dir, &SegmentFile::new(base, FileKind::Log).name()),
                position: 0,
                what: format!("the segment begins at offset {base} where {due} is expected"),
                data: true,
            });
        }
        let next = segments.after(base).filter(|next| *next <= tail.active);
        let file = open_log(dir, base, Open::Read)?;
        let len = file.len().map_err(|e| io_error(dir, "look at", base, e))?;
        let end = if base == tail.active {
            tail.log_bytes
        } else {
            len
        };
        if len < end {
            findings.push(Finding {
                file: join(dir, &SegmentFile::new(base, FileKind::Log).name()),
                position: len,
                what: format!(
                    "the file ends here, {} bytes before its published end",
                    end - len
                ),
                data: true,
            });
        }
        let segment = Segment {
            dir,
            base,
            file: &*file,
            end: end.min(len),
            next,
            epochs,
        };
        covered.segments += 1;
        covered.bytes += segment.end;
        due = if let Some(decompressed_len_max) = deep {
            segment.deep(tail, decompressed_len_max, &mut covered, findings)?
        } else {
            segment.shallow(&mut covered, findings)?
        };
    }
    Ok(covered)
}

/// Bytes beyond the published end of the active segment's indexes. A writer puts entries there
/// before it publishes them, so `tail` must have been read under the append lock, and that lock
/// must still be held.
pub fn behind_indexes(dir: &dyn Dir, tail: &Tail, findings: &mut Vec<Finding>) -> Result<()> {
    for (kind, committed) in [
        (FileKind::Index, tail.index_bytes),
        (FileKind::TimeIndex, tail.time_index_bytes),
    ] {
        let path = join(dir, &SegmentFile::new(tail.active, kind).name());
        let file = match dir.open(&SegmentFile::new(tail.active, kind).name(), Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("open", path, e)),
        };
        let len = file.len().map_err(|e| Error::io("look at", &path, e))?;
        if len > committed {
            findings.push(Finding {
                file: path,
                position: committed,
                what: format!(
                    "{} bytes behind the index's published end (reads do without them)",
                    len - committed
                ),
                data: false,
            });
        }
    }
    Ok(())
}

struct Segment<'a> {
    dir: &'a dyn Dir,
    base: Offset,
    file: &'a dyn File,
    end: u64,
    next: Option<Offset>,
    epochs: Option<&'a LeaderEpochs>,
}

impl Segment<'_> {
    fn finding(&self, position: u64, what: String) -> Finding {
        let file = join(self.dir, &SegmentFile::new(self.base, FileKind::Log).name());
        Finding {
            file,
            position,
            what,
            data: true,
        }
    }

    fn shallow(&self, covered: &mut Covered, findings: &mut Vec<Finding>) -> Result<Offset> {
        let (mut position, mut offset, mut epoch) = (0, self.base, 0);
        while position < self.end && self.next.is_none_or(|next| offset < next) {
            let mut raw = [0; BATCH_HEADER_LEN];
            let read = self
                .file
                .read_at(&mut raw, position)
                .map_err(|e| io_error(self.dir, "read", self.base, e))?;
            let why = match BatchHeader::parse(raw.get(..read).unwrap_or_default()) {
                Err(corrupt) => Some(corrupt.to_string()),
                Ok(header) => match out_of_place(&header, offset, epoch, self.epochs) {
                    Some(why) => Some(why),
                    None if position + header.total_len() as u64 > self.end => {
                        Some("a batch beyond the segment's end".to_owned())
                    }
                    None => {
                        covered.batches += 1;
                        covered.records += u64::from(header.record_count.unsigned_abs());
                        position += header.total_len() as u64;
                        offset = header.last_offset() + 1;
                        epoch = header.leader_epoch;
                        None
                    }
                },
            };
            if let Some(why) = why {
                findings.push(self.finding(position, why));
                return Ok(self.next.unwrap_or(offset));
            }
        }
        Ok(offset)
    }

    fn deep(
        &self,
        tail: &Tail,
        decompressed_len_max: usize,
        covered: &mut Covered,
        findings: &mut Vec<Finding>,
    ) -> Result<Offset> {
        let mut decompressor = Decompressor::new(decompressed_len_max);
        let mut by_position: HashMap<u64, Offset> = HashMap::new();
        let mut by_offset: HashMap<Offset, Timestamp> = HashMap::new();
        let from = WalkFrom {
            position: 0,
            offset: self.base,
            epoch: 0,
        };
        let mut bad_records = Vec::new();
        let walked = walk(
            self.file,
            from,
            self.end,
            self.next,
            self.epochs,
            &mut |position, header, bytes| {
                covered.batches += 1;
                by_position.insert(position, header.last_offset());
                by_offset.insert(header.last_offset(), header.max_timestamp);
                let mut count = 0;
                let decoded = BatchView::parse(bytes).and_then(|view| {
                    for record in view.records(&mut decompressor)? {
                        record?;
                        count += 1;
                    }
                    Ok(())
                });
                covered.records += count;
                if let Err(corrupt) = decoded {
                    bad_records.push((position, corrupt.to_string()));
                }
                Ok(())
            },
        )
        .map_err(|e| io_error(self.dir, "read", self.base, e))?;
        findings.extend(
            bad_records
                .into_iter()
                .map(|(at, why)| self.finding(at, why)),
        );
        if let Some(stopped) = walked.stopped {
            findings.push(self.finding(stopped.position, stopped.why));
            return Ok(self.next.unwrap_or(walked.offset));
        }
        self.indexes(tail, &by_position, &by_offset, findings)?;
        Ok(walked.offset)
    }

    /// Checks that each index entry names a batch that confirms it.
    fn indexes(
        &self,
        tail: &Tail,
        by_position: &HashMap<u64, Offset>,
        by_offset: &HashMap<Offset, Timestamp>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let active = self.base == tail.active;
        for (kind, size, committed) in [
            (FileKind::Index, OffsetIndexEntry::BYTES, tail.index_bytes),
            (
                FileKind::TimeIndex,
                TimeIndexEntry::BYTES,
                tail.time_index_bytes,
            ),
        ] {
            let name = SegmentFile::new(self.base, kind).name();
            let path = join(self.dir, &name);
            let file = match self.dir.open(&name, Open::Read) {
                Ok(file) => file,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io("open", path, e)),
            };
            let error = |e| Error::io("read", &path, e);
            let len = file.len().map_err(error)?;
            let end = if active { len.min(committed) } else { len };
            let mut at = 0;
            while at + size <= end {
                let mut raw = [0; 12];
                let part = raw.get_mut(..size as usize).unwrap_or_default();
                file.read_at(part, at).map_err(error)?;
                let confirmed = if kind == FileKind::Index {
                    let [a, b, c, d, e, f, g, h, ..] = raw;
                    let entry = OffsetIndexEntry::decode([a, b, c, d, e, f, g, h], self.base);
                    by_position.get(&entry.position) == Some(&entry.offset)
                } else {
                    let entry = TimeIndexEntry::decode(raw, self.base);
                    by_offset.get(&entry.offset) == Some(&entry.timestamp)
                };
                if !confirmed {
                    findings.push(Finding {
                        file: path.clone(),
                        position: at,
                        what: "an index entry that no batch confirms (reads do without it)"
                            .to_owned(),
                        data: false,
                    });
                }
                at += size;
            }
            if at < end {
                findings.push(Finding {
                    file: path.clone(),
                    position: at,
                    what: "a part of an index entry (reads do without it)".to_owned(),
                    data: false,
                });
            }
        }
        Ok(())
    }
}
