//! The offset index: where in the segment a batch lies.
//!
//! Entries of 8 bytes, big-endian, ascending (`OffsetIndex.java`):
//!
//! ```text
//! 0        4          8
//! +--------+----------+
//! | offset | position |   offset: the last of a batch, relative to the segment's base, i32
//! +--------+----------+   position: where that batch starts in the log file, bytes, i32
//! ```
//!
//! It carries no checksum: an entry counts only if the batch it names ends at its offset.

use std::io;

use crate::disk::File;
use crate::types::Offset;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetIndexEntry {
    /// Last offset of the batch.
    pub offset: Offset,
    /// Where the batch starts, bytes.
    pub position: u64,
}

impl OffsetIndexEntry {
    /// An entry's size.
    pub const BYTES: u64 = 8;

    /// The entry's bytes in the index of the segment that begins at `base`; `None` if it does not
    /// fit the format (the segment must roll before that).
    pub fn encode(self, base: Offset) -> Option<[u8; 8]> {
        let relative = i32::try_from(self.offset.checked_sub(base)?).ok()?;
        let position = i32::try_from(self.position).ok()?;
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&relative.to_be_bytes());
        bytes[4..].copy_from_slice(&position.to_be_bytes());
        Some(bytes)
    }

    pub(crate) fn decode(bytes: [u8; 8], base: Offset) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        OffsetIndexEntry {
            offset: base.saturating_add(i64::from(i32::from_be_bytes([a, b, c, d]))),
            position: u64::from(u32::from_be_bytes([e, f, g, h])),
        }
    }

    /// The last entry at or below `target` among the first `bytes` bytes, or `None`. It is only a
    /// hint until its batch confirms it.
    pub fn lookup(
        file: &dyn File,
        base: Offset,
        bytes: u64,
        target: Offset,
    ) -> io::Result<Option<Self>> {
        let (mut low, mut high) = (0, bytes / Self::BYTES);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut raw = [0; 8];
            if file.read_at(&mut raw, middle * Self::BYTES)? < raw.len() {
                high = middle;
                continue;
            }
            let entry = Self::decode(raw, base);
            if entry.offset <= target {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }
}
