//! The time index: from a timestamp to an offset.
//!
//! Entries of 12 bytes, big-endian, both fields ascending (`TimeIndex.java`):
//!
//! ```text
//! 0           8        12
//! +-----------+--------+
//! | timestamp | offset |   timestamp: the largest so far in the segment, ms, i64
//! +-----------+--------+   offset: the last of the batch that set it, relative to the base, i32
//! ```

use std::io;

use crate::disk::File;
use crate::types::{Offset, Timestamp};

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeIndexEntry {
    /// The largest timestamp so far, ms.
    pub timestamp: Timestamp,
    /// Last offset of the batch that set it.
    pub offset: Offset,
}

impl TimeIndexEntry {
    /// An entry's size.
    pub const BYTES: u64 = 12;

    /// The entry's bytes in the index of the segment that begins at `base`; `None` if it does not
    /// fit the format.
    pub fn encode(self, base: Offset) -> Option<[u8; 12]> {
        let relative = i32::try_from(self.offset.checked_sub(base)?).ok()?;
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&relative.to_be_bytes());
        Some(bytes)
    }

    pub(crate) fn decode(bytes: [u8; 12], base: Offset) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        TimeIndexEntry {
            timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            offset: base.saturating_add(i64::from(i32::from_be_bytes([i, j, k, l]))),
        }
    }

    /// The last entry older than `target` among the first `bytes` bytes, or `None`. It is only a
    /// hint until its batch confirms it.
    pub fn lookup(
        file: &dyn File,
        base: Offset,
        bytes: u64,
        target: Timestamp,
    ) -> io::Result<Option<Self>> {
        let (mut low, mut high) = (0, bytes / Self::BYTES);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut raw = [0; 12];
            if file.read_at(&mut raw, middle * Self::BYTES)? < raw.len() {
                high = middle;
                continue;
            }
            let entry = Self::decode(raw, base);
            if entry.timestamp < target {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }
}
