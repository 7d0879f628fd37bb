//! Reads batches at a cursor and checks each before a caller sees it.
//!
//! 1. Sound batches are returned even if damage follows: the next call, which begins at the damage,
//!    reports it.
//! 2. If the disk fails a read, it is retried in smaller pieces, so that one bad block does not
//!    hide the batches before it.

use std::ops::Range;

use super::cursor::Cursor;
use crate::disk::{Dir, join};
use crate::error::{Error, Result};
use crate::log::{self, FileKind, LeaderEpochs, SegmentFile, damaged};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView};
use crate::types::{LeaderEpoch, Offset};

/// Smallest read that is tried in place of one that failed.
const SMALLEST_READ: usize = 4096;

/// What a buffer of batches held.
struct Scanned {
    /// Bytes of whole, sound batches.
    used: usize,
    /// Bytes of those among them that end before the requested offset.
    before: usize,
    /// The offset and the epoch that the next batch follows.
    offset: Offset,
    epoch: LeaderEpoch,
    /// Bytes that the next batch takes from its start, if its header was there.
    next_bytes: usize,
    /// The next segment, if its base was found while looking for it.
    next_segment: Option<Offset>,
    /// Why the next batch is not sound.
    damage: Option<Error>,
}

/// Reads whole batches at the cursor into `buf`, from the one that holds the first of the `wanted`
/// offsets, about `bytes_max` bytes, and moves the cursor behind them; the number of bytes.
/// `active`: the published length of the cursor's segment, where it is the active one.
///
/// # Errors
/// [`crate::error::Kind::Damaged`] with file and position, if the first batch is not sound;
/// [`crate::error::Kind::Io`].
pub(crate) fn fill(
    dir: &dyn Dir,
    cursor: &mut Cursor,
    epochs: Option<&LeaderEpochs>,
    active: Option<u64>,
    wanted: &Range<Offset>,
    bytes_max: usize,
    buf: &mut Vec<u8>,
) -> Result<usize> {
    let name = SegmentFile::new(cursor.segment, FileKind::Log).name();
    let error = |e| Error::io("read", join(dir, &name), e);
    let end = match active {
        Some(published) => published,
        None => cursor.file.len().map_err(error)?,
    };
    let room = |position: u64| usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
    let mut want = bytes_max.max(BATCH_HEADER_LEN).min(room(cursor.position));
    // A read failed, so the next ones read no more than they need.
    let mut sparing = false;
    loop {
        buf.resize(want, 0);
        let read = match cursor.file.read_at(buf, cursor.position) {
            Ok(read) => read,
            Err(_) if !sparing && want > SMALLEST_READ => {
                want = (want / 2).max(SMALLEST_READ);
                if want == SMALLEST_READ {
                    sparing = true;
                }
                continue;
            }
            Err(e) => return Err(error(e)),
        };
        let ends_early = read < want;
        buf.truncate(read);
        let scanned = scan(dir, cursor, epochs, end, active.is_none(), wanted, buf);
        if scanned.next_segment.is_some() {
            cursor.next_segment = scanned.next_segment;
        }
        let at = cursor.position;
        cursor.position += scanned.used as u64;
        cursor.offset = scanned.offset;
        cursor.epoch = scanned.epoch;
        let at_end = scanned.offset >= wanted.end || cursor.next_segment == Some(scanned.offset);
        if scanned.used > scanned.before || at_end {
            buf.truncate(scanned.used);
            buf.drain(..scanned.before);
            return Ok(buf.len());
        }
        if let Some(damage) = scanned.damage {
            return Err(damage);
        }
        if ends_early {
            let position = at + read as u64;
            return Err(damaged(
                dir,
                cursor.segment,
                position,
                "the file ends early",
            ));
        }
        // Not even one requested batch fits: go on from there, with as many bytes as the next one
        // takes.
        let least = scanned.next_bytes.max(BATCH_HEADER_LEN);
        let more = if sparing { least } else { least.max(bytes_max) };
        let more = more.min(room(cursor.position));
        if scanned.used == 0 && more <= want {
            let why = "the segment ends before its published end";
            return Err(damaged(dir, cursor.segment, cursor.position, why));
        }
        want = more;
    }
}

/// Checks batch after batch, up to the first that is not whole, not sound or not requested.
/// The segment ends at `end`; `is_closed`: it grows no more.
fn scan(
    dir: &dyn Dir,
    cursor: &Cursor,
    epochs: Option<&LeaderEpochs>,
    end: u64,
    is_closed: bool,
    wanted: &Range<Offset>,
    buf: &[u8],
) -> Scanned {
    let mut scanned = Scanned {
        used: 0,
        before: 0,
        offset: cursor.offset,
        epoch: cursor.epoch,
        next_bytes: 0,
        next_segment: cursor.next_segment,
        damage: None,
    };
    let probes = is_closed && cursor.next_segment.is_none();
    while scanned.offset < wanted.end && scanned.next_segment != Some(scanned.offset) {
        let rest = buf.get(scanned.used..).unwrap_or_default();
        if rest.len() < BATCH_HEADER_LEN {
            break;
        }
        let at = cursor.position + scanned.used as u64;
        match checked(
            rest,
            scanned.offset,
            scanned.epoch,
            epochs,
            end - at.min(end),
        ) {
            Ok(Checked::Whole(header)) => {
                scanned.used += header.total_len();
                scanned.offset = header.last_offset() + 1;
                scanned.epoch = header.leader_epoch;
                if scanned.offset <= wanted.start {
                    scanned.before = scanned.used;
                }
                let next = SegmentFile::new(scanned.offset, FileKind::Log).name();
                if probes && dir.id(&next).is_ok() {
                    scanned.next_segment = Some(scanned.offset);
                }
            }
            Ok(Checked::Longer(bytes)) => {
                scanned.next_bytes = bytes;
                break;
            }
            Err(why) => {
                scanned.damage = Some(damaged(dir, cursor.segment, at, why));
                break;
            }
        }
    }
    scanned
}

/// The batch at the start of some bytes.
enum Checked {
    /// It is whole and sound.
    Whole(BatchHeader),
    /// It takes that many bytes, of which some are missing.
    Longer(usize),
}

/// Checks a batch against the one before it; `left` bytes of the segment begin here.
fn checked(
    rest: &[u8],
    offset: Offset,
    epoch: LeaderEpoch,
    epochs: Option<&LeaderEpochs>,
    left: u64,
) -> Result<Checked, String> {
    let header = BatchHeader::parse(rest).map_err(|corrupt| corrupt.to_string())?;
    if let Some(why) = log::out_of_place(&header, offset, epoch, epochs) {
        return Err(why);
    }
    let total = header.total_len();
    let Some(batch) = rest.get(..total) else {
        if total as u64 > left {
            return Err(format!(
                "a batch of {total} bytes, of which {left} are there"
            ));
        }
        return Ok(Checked::Longer(total));
    };
    BatchView::parse(batch)
        .and_then(|view| view.check_crc())
        .map_err(|corrupt| corrupt.to_string())?;
    Ok(Checked::Whole(header))
}
