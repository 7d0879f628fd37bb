//! The note in `sync.lock`: what its holder was about to make durable.
//!
//! Who finds one left beyond the durable offset knows that its writer died within a sync, whose
//! outcome nobody was told. 48 bytes, little-endian:
//!
//! ```text
//! 0 magic "mqsn" u32 | 4 zeros u32 | 8 boot id 16 bytes | 24 generation u64 | 32 log end i64
//! 40 process id u32  | 44 CRC-32 of bytes 0 to 44
//! ```

use crate::disk::File;
use crate::types::Offset;

/// The file's name.
pub const SYNC_FILE: &str = "sync.lock";
const NOTE_BYTES: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"mqsn");

/// What a group commit covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitNote {
    /// The boot in which it was written.
    pub boot_id: [u8; 16],
    /// The replica's generation as of then.
    pub generation: u64,
    /// The log end as of then.
    pub end: Offset,
    /// Who wrote it.
    pub pid: u32,
}

impl CommitNote {
    /// The note in the file, if there is a whole one.
    pub fn read(file: &dyn File) -> std::io::Result<Option<Self>> {
        let mut raw = [0; NOTE_BYTES];
        if file.read_at(&mut raw, 0)? < NOTE_BYTES {
            return Ok(None);
        }
        Ok(decode(&raw))
    }

    /// Leaves the note.
    pub fn write(&self, file: &dyn File) -> std::io::Result<()> {
        let mut raw = Vec::with_capacity(NOTE_BYTES);
        raw.extend_from_slice(&MAGIC.to_le_bytes());
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(&self.boot_id);
        raw.extend_from_slice(&self.generation.to_le_bytes());
        raw.extend_from_slice(&self.end.to_le_bytes());
        raw.extend_from_slice(&self.pid.to_le_bytes());
        raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
        file.write_at(&raw, 0)
    }

    /// Takes the note away.
    pub fn clear(file: &dyn File) -> std::io::Result<()> {
        file.write_at(&[0; NOTE_BYTES], 0)
    }
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
        file.write_at(&[9], 33).expect("spoil");
        assert_eq!(CommitNote::read(&*file).expect("read"), None);
        CommitNote::clear(&*file).expect("clear");
        assert_eq!(CommitNote::read(&*file).expect("read"), None);
    }
}
