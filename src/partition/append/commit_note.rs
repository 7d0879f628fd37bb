//! The three notes in `sync.lock`. Each is 48 bytes, little-endian:
//!
//! ```text
//! 0 magic "mqsn" u32 | 4 zeros u32 | 8 boot id 16 bytes | 24 generation u64 | 32 log end i64
//! 40 process id u32  | 44 CRC-32 of bytes 0 to 44
//! ```
//!
//! 1. At byte 0, written under the sync lock: what its holder is about to make durable. If the note
//!    remains and lies beyond the durable offset, its writer died within a sync, and no process
//!    knows that sync's outcome.
//! 2. At byte 64, written under the append lock: a sync failed. The page says so, too, but the page
//!    or its newer copy may be lost. Only a repair clears this note.
//!
//! 3. At byte 256, written under the append lock: a recovery or a truncation syncs what it found.
//!    If it remains, it means the same as the first.
//!
//! The notes are not synced: in another boot they are void, as are the syncs of the earlier boot.

use crate::disk::File;
use crate::partition::state_page::{Intent, StatePage};
use crate::types::Offset;

/// The file's name.
pub const SYNC_FILE: &str = "sync.lock";
const NOTE_BYTES: usize = 48;
const WORK_AT: u64 = 0;
const FAILED_AT: u64 = 64;
const RECOVERY_AT: u64 = 256;
const MAGIC: u32 = u32::from_le_bytes(*b"mqsn");

/// What a group commit covers, or what a failed sync covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitNote {
    /// The boot in which it was written.
    pub boot_id: [u8; 16],
    /// The replica's generation as of then.
    pub generation: u64,
    /// The log end as of then.
    pub end: Offset,
    /// The process that wrote it.
    pub pid: u32,
}

impl CommitNote {
    /// The bytes for a file whose notes are lost: a note of an unfinished sync of everything.
    pub fn unseen(boot_id: [u8; 16]) -> Vec<u8> {
        let note = CommitNote {
            boot_id,
            generation: 0,
            end: Offset::MAX,
            pid: 0,
        };
        note.encode()
    }

    /// The note of a commit in progress, if there is a whole one.
    pub fn read(file: &dyn File) -> std::io::Result<Option<Self>> {
        read_at(file, WORK_AT)
    }

    /// Leaves the note of a commit in progress.
    pub fn write(&self, file: &dyn File) -> std::io::Result<()> {
        file.write_at(&self.encode(), WORK_AT)
    }

    /// Clears the note of a commit in progress.
    pub fn clear(file: &dyn File) -> std::io::Result<()> {
        file.write_at(&[0; NOTE_BYTES], WORK_AT)
    }

    /// Leaves the note of a recovery's syncs.
    pub fn write_recovery(&self, file: &dyn File) -> std::io::Result<()> {
        file.write_at(&self.encode(), RECOVERY_AT)
    }

    /// Clears the note of a recovery's syncs: their outcome is known.
    pub fn clear_recovery(file: &dyn File) -> std::io::Result<()> {
        file.write_at(&[0; NOTE_BYTES], RECOVERY_AT)
    }

    /// The note of a failed sync, if there is a whole one.
    pub fn read_failed(file: &dyn File) -> std::io::Result<Option<Self>> {
        read_at(file, FAILED_AT)
    }

    /// Leaves the note of a failed sync.
    pub fn write_failed(&self, file: &dyn File) -> std::io::Result<()> {
        file.write_at(&self.encode(), FAILED_AT)
    }

    /// Clears the note of a failed sync: what it covered was rewritten since.
    pub fn clear_failed(file: &dyn File) -> std::io::Result<()> {
        file.write_at(&[0; NOTE_BYTES], FAILED_AT)
    }

    /// Whether its sync covers bytes beyond the page's durable offset.
    fn covers_beyond(&self, page: &StatePage) -> bool {
        // A truncation begins a generation, and rewrites what a note of the one before it covers.
        let before = matches!(page.intent, Intent::Truncate(_))
            && self.generation.checked_add(1) == Some(page.generation);
        (before || self.generation == page.generation) && self.end > page.durable.offset
    }

    fn encode(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(NOTE_BYTES);
        raw.extend_from_slice(&MAGIC.to_le_bytes());
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(&self.boot_id);
        raw.extend_from_slice(&self.generation.to_le_bytes());
        raw.extend_from_slice(&self.end.to_le_bytes());
        raw.extend_from_slice(&self.pid.to_le_bytes());
        raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
        raw
    }
}

/// What the file says of syncs in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncNotes {
    /// Of a commit in progress, or of one whose process died within it.
    pub work: Option<CommitNote>,
    /// Of a recovery's syncs, or of those of a process that died within them.
    pub recovery: Option<CommitNote>,
    /// Of a failed sync.
    pub failed: Option<CommitNote>,
    /// The file is missing, and its notes with it.
    pub lost: bool,
}

impl SyncNotes {
    /// Reads all three; notes of another boot do not count.
    ///
    /// # Errors
    /// Those of the file.
    pub fn read(file: &dyn File, boot_id: [u8; 16]) -> std::io::Result<Self> {
        let of_this_boot = |note: &CommitNote| note.boot_id == boot_id;
        Ok(SyncNotes {
            work: CommitNote::read(file)?.filter(of_this_boot),
            recovery: read_at(file, RECOVERY_AT)?.filter(of_this_boot),
            failed: CommitNote::read_failed(file)?.filter(of_this_boot),
            lost: false,
        })
    }

    /// The notes that count beside a page: with a page of another boot, a lost file does not
    /// matter.
    #[must_use]
    pub fn of_page(mut self, of_this_boot: bool) -> Self {
        self.lost &= of_this_boot;
        self
    }

    /// Whether there may have been an unfinished sync beyond the durable offset. Without a page any
    /// note may be of one. Call it under the sync lock, or before the log begins another
    /// generation, which voids the note.
    pub fn unfinished(&self, page: Option<&StatePage>) -> bool {
        let mut notes = [self.work, self.recovery].into_iter().flatten();
        match page {
            None => self.lost || notes.next().is_some(),
            Some(page) => {
                notes.any(|note| note.covers_beyond(page))
                    || (self.lost && page.tail.end > page.durable.offset)
            }
        }
    }
}

fn read_at(file: &dyn File, at: u64) -> std::io::Result<Option<CommitNote>> {
    let mut raw = [0; NOTE_BYTES];
    if file.read_at(&mut raw, at)? < NOTE_BYTES {
        return Ok(None);
    }
    Ok(decode(&raw))
}

fn decode(raw: &[u8; NOTE_BYTES]) -> Option<CommitNote> {
    fn field<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
        raw.get(at..at + N)?.try_into().ok()
    }
    let sound = u32::from_le_bytes(field(raw, 0)?) == MAGIC
        && u32::from_le_bytes(field(raw, 44)?) == crc32fast::hash(raw.get(..44)?);
    sound.then_some(CommitNote {
        boot_id: field(raw, 8)?,
        generation: u64::from_le_bytes(field(raw, 24)?),
        end: i64::from_le_bytes(field(raw, 32)?),
        pid: u32::from_le_bytes(field(raw, 40)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, Open, OsDisk};

    #[test]
    fn a_note_is_read_back_whole_or_not_at_all() {
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        let file = dir.open(SYNC_FILE, Open::Create).expect("create");
        assert_eq!(CommitNote::read(&*file).expect("read"), None);
        let note = CommitNote {
            boot_id: [3; 16],
            generation: 4,
            end: 5,
            pid: 6,
        };
        note.write(&*file).expect("write");
        assert_eq!(CommitNote::read(&*file).expect("read"), Some(note));
        assert_eq!(CommitNote::read_failed(&*file).expect("read"), None);
        let failed = CommitNote {
            generation: 5,
            ..note
        };
        failed.write_failed(&*file).expect("write");
        assert_eq!(CommitNote::read(&*file).expect("read"), Some(note));
        assert_eq!(CommitNote::read_failed(&*file).expect("read"), Some(failed));
        file.write_at(&[9], 33).expect("spoil");
        assert_eq!(CommitNote::read(&*file).expect("read"), None);
        CommitNote::clear(&*file).expect("clear");
        assert_eq!(CommitNote::read(&*file).expect("read"), None);
        assert_eq!(CommitNote::read_failed(&*file).expect("read"), Some(failed));
        CommitNote::clear_failed(&*file).expect("clear");
        assert_eq!(CommitNote::read_failed(&*file).expect("read"), None);
    }
}
