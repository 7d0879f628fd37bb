//! One sync of `offsets.log` for all processes that wait for it.
//!
//! `offsets.INODE.sync` belongs to the `offsets.log` of that inode. A process that syncs the log
//! holds the file's lock, and writes into it, without syncing it, a note of 48 bytes,
//! little-endian:
//!
//! ```text
//! 0 magic "mqos" u32  | 4 process id u32 | 8 boot id 16 bytes | 24 durable u64 | 32 at work u64
//! 40 4 zeros u32      | 44 CRC-32 of bytes 0 to 44
//! 64 the holder's counter, 20 digits (`store::lock::heartbeat`)
//! ```
//!
//! `durable` is the length, bytes, up to which a sync is known to have succeeded. `at work` is the
//! log's length when a sync began whose success was not noted; 0: there is none.
//!
//! 1. A process that waits for the lock, or holds it, and finds `durable` at the end of its line or
//!    beyond, is done.
//! 2. `at work` is noted before a sync. Only the sync's success removes it, together with noting
//!    `durable`.
//! 3. A process that finds `at work` under the lock knows that a sync failed, or that its process
//!    died before it reported the result. The kernel reports an error once: a descriptor opened
//!    since then gets no error of earlier writes. So each process that finds the note rewrites the
//!    log, under the group's lock, until that succeeds. The same applies if the holder is stopped.
//! 4. No note is ever applied to another log with its inode number. The log is replaced by a file
//!    that was created first; the system gives an inode in use to no second file, so by then no
//!    process can write notes under the new file's number. All notes but the current log's are
//!    removed next, then the log is replaced, and once that is durable the old log's note is
//!    removed: a failure is not forgotten before.
//! 5. A process that cannot leave a note (a full disk) syncs alone. The descriptor that it appended
//!    through reports any error since, so the process knows about its own line, and vouches for no
//!    other.
//! 6. The file is created with its log, before the log is in place. If it is missing, its notes are
//!    lost: it is created again with the note of a sync without a known end, under another name,
//!    and renamed into place. Rule 3 does the rest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, File, FileId, LockKind, Open};
use crate::error::{Error, Result};
use crate::store::lock::{heartbeat, suspend_guard};
use crate::store::{FencedGuard, Heartbeat, HolderLost, StoreDir, SuspendGuard, SyncWatch, layout};
use crate::timing::LOCK_STOPPED_AFTER;
use crate::types::Uuid;

/// Tries for this lock in the time of one for the group's: only processes that held the group's
/// lock wait here, and each moment between two syncs is one in which all of them wait for nothing.
const TRIES: u32 = 5;

const NOTE_BYTES: usize = 48;
const NOTE_AT: u64 = 0;
/// The position of the holder's counter.
const HEARTBEAT_AT: u64 = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"mqos");

/// The result of a wait for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// The line is on disk.
    Durable,
    /// No sync of this file can be relied on any more: the file has to be rewritten.
    Unknown,
}

/// Removes the notes of former logs, except one.
pub fn remove_notes(guard: &FencedGuard, except: Option<&str>) -> Result<()> {
    let dir = guard.dir();
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    for entry in entries {
        let is_note = layout::parse_offsets_sync(&entry.name).is_some();
        if is_note && except != Some(entry.name.as_str()) {
            guard.rename_in(&entry.name)?;
        }
    }
    Ok(())
}

/// Makes the file of a log that is not in place yet, with no note in it.
pub fn make(dir: &dyn Dir, log: FileId) {
    // If that fails, the next commit rewrites the log once more.
    let _ = dir.open(&layout::offsets_sync(log.inode), Open::Create);
}

/// The lock and note of one `offsets.log`. It has descriptors of its own: sharing them shares the
/// lock.
#[derive(Debug)]
pub struct OffsetsSync {
    store: Arc<StoreDir>,
    dir: Arc<dyn Dir>,
    name: String,
    file: Arc<dyn File>,
    id: FileId,
}

/// How a wait for the lock ended.
enum Turn {
    Ours(SyncGuard),
    Covered,
    /// The holder's sync is lost, or the file was replaced and its notes with it.
    NobodyNotifies,
}

/// The lock, held.
struct SyncGuard {
    file: Arc<dyn File>,
    heartbeat: Heartbeat,
    _suspend: SuspendGuard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    boot_id: [u8; 16],
    durable: u64,
    at_work: u64,
    pid: u32,
}

impl OffsetsSync {
    /// For the `offsets.log` in `dir` that is open as `log`. A missing file is created again: rule
    /// 6.
    pub fn open(store: &Arc<StoreDir>, dir: &Arc<dyn Dir>, log: &dyn File) -> io::Result<Self> {
        let name = layout::offsets_sync(log.id()?.inode);
        let file = match dir.open(&name, Open::Write) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_again(store, &**dir, &name, log.len()?)?;
                dir.open(&name, Open::Write)?
            }
            opened => opened?,
        };
        Ok(OffsetsSync {
            store: Arc::clone(store),
            dir: Arc::clone(dir),
            name,
            id: file.id()?,
            file,
        })
    }

    /// Whether the path still names the open file: if it was removed and created again, it would
    /// have two holders, and the notes in the removed file would protect nothing.
    fn in_place(&self) -> bool {
        self.dir.id(&self.name).is_ok_and(|id| id == self.id)
    }

    /// Waits until the log is durable up to `end` at least, and syncs it if no other process does.
    /// `log` is the descriptor that the line before `end` was appended through; `retry` the time
    /// between two tries for the group's lock.
    ///
    /// # Errors
    /// Those of the sync, which are final.
    pub fn cover(&self, log: &dyn File, end: u64, retry: Duration) -> io::Result<Synced> {
        match self.turn(log, end, retry) {
            Ok(Turn::Ours(_held)) => self.sync(log, end),
            Ok(Turn::Covered) => Ok(Synced::Durable),
            Ok(Turn::NobodyNotifies) => Ok(Synced::Unknown),
            Err(_) => alone(log),
        }
    }

    fn turn(&self, log: &dyn File, end: u64, retry: Duration) -> io::Result<Turn> {
        let clock = self.store.clock();
        let counter = || heartbeat::read(&*self.file, HEARTBEAT_AT);
        let now = clock.monotonic();
        let mut watch = SyncWatch::begin(counter(), self.read(log)?, now, LOCK_STOPPED_AFTER);
        loop {
            let suspend = suspend_guard::enter();
            let locked = self.file.try_lock(LockKind::Exclusive)?;
            let held = locked.then(|| SyncGuard {
                file: Arc::clone(&self.file),
                heartbeat: Heartbeat::start(Arc::clone(&self.file), HEARTBEAT_AT),
                _suspend: suspend,
            });
            if !self.in_place() {
                return Ok(Turn::NobodyNotifies);
            }
            if let Some(held) = held {
                return Ok(Turn::Ours(held));
            }
            let seen = self.read(log)?;
            if seen.is_some_and(|note| note.durable >= end) {
                return Ok(Turn::Covered);
            }
            if let Some(lost) = watch.observe(counter(), seen, clock.monotonic()) {
                if lost == HolderLost::Hung {
                    self.note_hung(seen);
                }
                return Ok(Turn::NobodyNotifies);
            }
            clock.sleep(retry / TRIES);
        }
    }

    fn note_hung(&self, seen: Option<Note>) {
        let holder = seen.map_or_else(
            || "another process".to_owned(),
            |note| format!("process {}", note.pid),
        );
        self.store.add_note(format!(
            "{}: a sync of the group's offsets by {holder} has not ended after 30 s, so they \
             are rewritten; check the disk",
            self.dir.path().display()
        ));
    }

    /// With the lock held.
    fn sync(&self, log: &dyn File, end: u64) -> io::Result<Synced> {
        let Ok(found) = self.read(log) else {
            return alone(log);
        };
        if found.is_some_and(|note| note.at_work > 0) {
            return Ok(Synced::Unknown);
        }
        let durable = found.map_or(0, |note| note.durable);
        if durable >= end {
            return Ok(Synced::Durable);
        }
        // Lines appended from here on may or may not be synced.
        let Ok(len) = log.len() else {
            return alone(log);
        };
        if self.write(durable, len).is_err() {
            return alone(log);
        }
        log.sync_data()?;
        if !self.in_place() {
            // This line is durable, but the note is in a file that no other process reads.
            return Ok(Synced::Durable);
        }
        // If this fails, the log is rewritten without need.
        let _ = self.write(len, 0);
        Ok(Synced::Durable)
    }

    /// The note, if there is a complete one of this boot. A note with a length beyond the end of a
    /// log that only grows comes from another log, by way of a copied directory.
    fn read(&self, log: &dyn File) -> io::Result<Option<Note>> {
        let mut raw = [0; NOTE_BYTES];
        if self.file.read_at(&mut raw, NOTE_AT)? < NOTE_BYTES {
            return Ok(None);
        }
        let len = log.len()?;
        let is_sound = |note: &Note| {
            note.boot_id == self.store.boot_id() && note.durable.max(note.at_work) <= len
        };
        Ok(decode(&raw).filter(is_sound))
    }

    fn write(&self, durable: u64, at_work: u64) -> io::Result<()> {
        write_note(&self.store, &*self.file, durable, at_work)
    }
}

fn write_note(store: &StoreDir, file: &dyn File, durable: u64, at_work: u64) -> io::Result<()> {
    let note = Note {
        boot_id: store.boot_id(),
        durable,
        at_work,
        pid: std::process::id(),
    };
    file.write_at(&note.encode(), NOTE_AT)
}

/// Creates a missing file with the note of a sync of all `len` bytes without a known end: the lost
/// file said whether one was at work, or failed.
fn make_again(store: &StoreDir, dir: &dyn Dir, name: &str, len: u64) -> io::Result<()> {
    let temporary = layout::staged_file(&Uuid::random().map_err(io::Error::other)?);
    let file = dir.open(&temporary, Open::CreateNew)?;
    let made = write_note(store, &*file, 0, len).and_then(|()| dir.rename_new(&temporary, name));
    match made {
        Err(e) => {
            // If that fails, the file stays: holders of the group's lock remove such files.
            let _ = dir.remove(&temporary);
            if e.kind() == io::ErrorKind::AlreadyExists {
                Ok(())
            } else {
                Err(e)
            }
        }
        Ok(()) => Ok(()),
    }
}

impl Drop for SyncGuard {
    fn drop(&mut self) {
        self.heartbeat.end();
        // Closing the file would release it as well; a failure needs no report.
        let _ = self.file.unlock();
    }
}

/// Rule 5.
fn alone(log: &dyn File) -> io::Result<Synced> {
    log.sync_data().map(|()| Synced::Durable)
}

impl Note {
    fn encode(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(NOTE_BYTES);
        raw.extend_from_slice(&MAGIC.to_le_bytes());
        raw.extend_from_slice(&self.pid.to_le_bytes());
        raw.extend_from_slice(&self.boot_id);
        raw.extend_from_slice(&self.durable.to_le_bytes());
        raw.extend_from_slice(&self.at_work.to_le_bytes());
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
        raw
    }
}

fn decode(raw: &[u8; NOTE_BYTES]) -> Option<Note> {
    fn field<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
        raw.get(at..at + N)?.try_into().ok()
    }
    let is_sound = u32::from_le_bytes(field(raw, 0)?) == MAGIC
        && u32::from_le_bytes(field(raw, 44)?) == crc32fast::hash(raw.get(..44)?);
    is_sound.then_some(Note {
        pid: u32::from_le_bytes(field(raw, 4)?),
        boot_id: field(raw, 8)?,
        durable: u64::from_le_bytes(field(raw, 24)?),
        at_work: u64::from_le_bytes(field(raw, 32)?),
    })
}

#[cfg(test)]
mod tests;
