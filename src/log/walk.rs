//! Walks the batches of a segment, and checks each one and how they follow each other.

use std::io;

use super::epoch_checkpoint::LeaderEpochs;
use crate::disk::File;
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView};
use crate::types::{LeaderEpoch, Offset};

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkFrom {
    /// Position of the first batch, bytes.
    pub position: u64,
    /// The offset it must begin at.
    pub offset: Offset,
    /// The epoch before it: a smaller one is a break.
    pub epoch: LeaderEpoch,
}

/// The first thing that was not a sound batch in sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where it is, bytes.
    pub position: u64,
    /// The reason.
    pub why: String,
}

/// The end of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The position after the last sound batch, bytes.
    pub position: u64,
    /// The offset after it.
    pub offset: Offset,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The break that stopped the walk before its end.
    pub stopped: Option<Break>,
}

/// Least bytes of a read.
const READ_BYTES: usize = 256 * 1024;

/// A window onto a file, moved forward only.
struct Window<'f> {
    file: &'f dyn File,
    buf: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn File) -> Self {
        Window {
            file,
            buf: Vec::new(),
            start: 0,
            filled: 0,
        }
    }

    /// Up to `want` bytes at `position`; fewer only if the file (or `end`) ends. The memory used is
    /// bounded by what is really there.
    fn at(&mut self, position: u64, want: usize, end: u64) -> io::Result<&[u8]> {
        let want = want.min(usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX));
        let inside =
            position >= self.start && position + want as u64 <= self.start + self.filled as u64;
        if !inside {
            let room = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            let size = want.max(READ_BYTES).min(room);
            if self.buf.len() < size {
                self.buf.resize(size, 0);
            }
            let target = self.buf.get_mut(..size).unwrap_or_default();
            self.filled = self.file.read_at(target, position)?;
            self.start = position;
        }
        let from = (position - self.start) as usize;
        let to = (from + want).min(self.filled);
        Ok(self.buf.get(from..to).unwrap_or_default())
    }
}

/// Walks the batches from `from` to `end` bytes, or until the batches reach `until`, and gives
/// each sound one (position, header, bytes) to `on_batch`.
pub fn walk(
    file: &dyn File,
    from: WalkFrom,
    end: u64,
    until: Option<Offset>,
    epochs: Option<&LeaderEpochs>,
    on_batch: &mut dyn FnMut(u64, &BatchHeader, &[u8]) -> io::Result<()>,
) -> io::Result<Walked> {
    let mut window = Window::new(file);
    let WalkFrom {
        mut position,
        mut offset,
        mut epoch,
    } = from;
    let stopped = loop {
        if position >= end || until.is_some_and(|until| offset >= until) {
            break None;
        }
        let broken = |why: String| Some(Break { position, why });
        let head = window.at(position, BATCH_HEADER_LEN, end)?;
        if head.len() < BATCH_HEADER_LEN {
            break broken(format!("{} bytes, less than a batch's header", head.len()));
        }
        let header = match BatchHeader::parse(head) {
            Ok(header) => header,
            Err(corrupt) => break broken(corrupt.to_string()),
        };
        if let Some(why) = out_of_place(&header, offset, epoch, epochs) {
            break broken(why);
        }
        let total = header.total_len();
        let bytes = window.at(position, total, end)?;
        if bytes.len() < total {
            break broken(format!(
                "a batch of {total} bytes, of which {} are there",
                bytes.len()
            ));
        }
        if let Err(corrupt) = BatchView::parse(bytes).and_then(|view| view.check_crc()) {
            break broken(corrupt.to_string());
        }
        on_batch(position, &header, bytes)?;
        position += total as u64;
        offset = header.last_offset() + 1;
        epoch = header.leader_epoch;
    };
    Ok(Walked {
        position,
        offset,
        epoch,
        stopped,
    })
}

/// Why a batch with this header cannot follow the one before: the fields outside the checksum are
/// checked against their neighbours and the epoch checkpoint.
pub fn out_of_place(
    header: &BatchHeader,
    offset: Offset,
    epoch: LeaderEpoch,
    epochs: Option<&LeaderEpochs>,
) -> Option<String> {
    if header.base_offset != offset {
        return Some(format!(
            "base offset {} where {offset} is expected",
            header.base_offset
        ));
    }
    if header.leader_epoch < epoch {
        return Some(format!(
            "leader epoch {} after {epoch}",
            header.leader_epoch
        ));
    }
    if let Some(epochs) = epochs {
        let due = epochs.at(offset);
        if due != Some(header.leader_epoch) {
            return Some(format!(
                "leader epoch {} where the epoch checkpoint has {}",
                header.leader_epoch,
                due.map_or_else(|| "none".to_owned(), |e| e.to_string())
            ));
        }
    }
    None
}

/// Whether a sound batch with a base offset above `offset` lies anywhere at or after `position`:
/// this tells damage inside a log from a torn end.
pub fn sound_batch_behind(
    file: &dyn File,
    position: u64,
    end: u64,
    offset: Offset,
) -> io::Result<bool> {
    next_sound_batch(file, position, end, offset).map(|found| found.is_some())
}

/// The first sound batch with a base offset above `offset` at or after `position`: where it begins,
/// and its header.
pub fn next_sound_batch(
    file: &dyn File,
    position: u64,
    end: u64,
    offset: Offset,
) -> io::Result<Option<(u64, BatchHeader)>> {
    let mut window = Window::new(file);
    let mut probe = Window::new(file);
    let mut at = position;
    while at + BATCH_HEADER_LEN as u64 <= end {
        let bytes = window.at(at, READ_BYTES, end)?;
        if bytes.len() < BATCH_HEADER_LEN {
            return Ok(None);
        }
        let mut candidates = Vec::new();
        for (i, head) in bytes.windows(BATCH_HEADER_LEN).enumerate() {
            // Byte 16 is the magic: checked first, since nearly all places fail it.
            if head.get(16) != Some(&2) {
                continue;
            }
            if let Ok(header) = BatchHeader::parse(head)
                && header.base_offset > offset
                && at + i as u64 + header.total_len() as u64 <= end
            {
                candidates.push((at + i as u64, header));
            }
        }
        let step = (bytes.len() - BATCH_HEADER_LEN + 1) as u64;
        for (start, header) in candidates {
            let bytes = probe.at(start, header.total_len(), end)?;
            if BatchView::parse(bytes)
                .and_then(|view| view.check_crc())
                .is_ok()
            {
                return Ok(Some((start, header)));
            }
        }
        at += step;
    }
    Ok(None)
}

/// The number of records in sound batches at or after `position`, behind damage at `offset`. A
/// batch that begins at an offset already counted is not counted again.
pub fn sound_records_behind(
    file: &dyn File,
    mut position: u64,
    end: u64,
    mut offset: Offset,
) -> io::Result<(u64, Offset)> {
    let mut records = 0;
    while let Some((at, header)) = next_sound_batch(file, position, end, offset)? {
        let from = WalkFrom {
            position: at,
            offset: header.base_offset,
            epoch: 0,
        };
        let walked = walk(file, from, end, None, None, &mut |_, header, _| {
            records += u64::try_from(header.record_count).unwrap_or_default();
            Ok(())
        })?;
        offset = walked.offset - 1;
        // Moves past a sound batch that does not fit there, so that the loop ends.
        position = walked.position.max(at + 1);
    }
    Ok((records, offset))
}
