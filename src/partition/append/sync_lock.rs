//! `sync.lock` of one replica: the lock of group commit, its notes ([`CommitNote`]) and its
//! holder's heartbeat.
//!
//! 1. After the lock is taken, and again before what was synced is published, the path must name
//!    the locked file: a file that was removed and created again would have two holders, and the
//!    notes in the removed one would protect nothing.
//! 2. The file is created with its replica. If it is missing, its notes are lost: it is created
//!    again under another name, with the note of an unfinished sync, and renamed into place.
//! 3. The holder's counter is at byte 128 ([`Heartbeat`]), 20 digits. A second one, at byte 160,
//!    rises with each file that a commit of several files has synced. The holder counts as stopped
//!    once the first does not change for 5 s, and as hung once it made no progress for 30 s: the
//!    note, the second counter and the file's lock did not change.

use std::sync::Arc;

use super::commit_note::{CommitNote, SYNC_FILE};
use crate::clock::Clock;
use crate::disk::{Dir, File, FileId, LockKind, Open, join};
use crate::error::{Error, Kind, Result, is_stale};
use crate::partition::replica::Replica;
use crate::partition::state_page::StatePage;
use crate::store::{self, COUNTER_LEN, Heartbeat, HolderLost, SyncWatch};
use crate::timing::SYNC_LOCK_STOPPED_AFTER;
use crate::types::Uuid;

const HEARTBEAT_AT: u64 = 128;
const PROGRESS_AT: u64 = 160;

/// How often the file may be replaced while it is opened or locked.
const TRIES: u32 = 100;

/// The file, open.
#[derive(Debug)]
pub(crate) struct SyncLock {
    dir: Arc<dyn Dir>,
    file: Arc<dyn File>,
    id: FileId,
}

/// The lock, held. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct SyncHeld {
    file: Arc<dyn File>,
    heartbeat: Heartbeat,
    _suspend: store::SuspendGuard,
}

/// What a waiting caller sees of the holder.
pub(crate) type Watch = SyncWatch<(Option<CommitNote>, u64)>;

impl SyncLock {
    /// Opens the replica's file; creates it again if it is missing.
    ///
    /// # Errors
    /// [`Kind::Io`], [`Kind::Fenced`] if the file is missing and the page is unreadable.
    pub fn open(replica: &Replica) -> Result<Self> {
        let dir = replica.dir();
        let error = |op| move |e| Error::io(op, join(&**dir, SYNC_FILE), e);
        for _ in 0..TRIES {
            match dir.open_kept(SYNC_FILE, Open::Write) {
                Ok(file) => {
                    let id = file.id().map_err(error("look at"))?;
                    let dir = Arc::clone(dir);
                    return Ok(SyncLock { dir, file, id });
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => make_again(replica)?,
                Err(e) => return Err(error("open")(e)),
            }
        }
        let text = format!("{} keeps going", join(&**dir, SYNC_FILE).display());
        Err(Error::new(Kind::Busy, text).cure("find out which program removes it, then try again"))
    }

    /// Tries to take the lock; `None` if another process has it. A replaced file is opened again.
    ///
    /// # Errors
    /// As [`SyncLock::open`].
    pub fn try_take(&mut self, replica: &Replica) -> Result<Option<SyncHeld>> {
        for _ in 0..TRIES {
            let suspend = store::enter();
            let locked = match self.file.try_lock(LockKind::Exclusive) {
                Ok(locked) => locked,
                Err(e) if is_stale(&e) => {
                    *self = SyncLock::open(replica)?;
                    continue;
                }
                Err(e) => return Err(self.error("lock", e)),
            };
            if locked {
                let held = SyncHeld {
                    heartbeat: Heartbeat::start(Arc::clone(&self.file), HEARTBEAT_AT),
                    file: Arc::clone(&self.file),
                    _suspend: suspend,
                };
                if self.in_place()? {
                    return Ok(Some(held));
                }
            } else if self.in_place()? {
                return Ok(None);
            }
            *self = SyncLock::open(replica)?;
        }
        Ok(None)
    }

    /// Whether the path still names the file that is open.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn in_place(&self) -> Result<bool> {
        match self.dir.id(SYNC_FILE) {
            Ok(id) => Ok(id == self.id),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.error("look at", e)),
        }
    }

    /// Begins to watch the holder.
    pub fn watch(&self, clock: &dyn Clock) -> Watch {
        SyncWatch::begin(
            self.counter(),
            self.progress(),
            clock.monotonic(),
            SYNC_LOCK_STOPPED_AFTER,
        )
    }

    /// Observes the holder once more.
    pub fn observe(&self, watch: &mut Watch, clock: &dyn Clock) -> Option<HolderLost> {
        watch.observe(self.counter(), self.progress(), clock.monotonic())
    }

    fn counter(&self) -> u64 {
        store::read(&*self.file, HEARTBEAT_AT)
    }

    fn progress(&self) -> (Option<CommitNote>, u64) {
        let note = CommitNote::read(&*self.file).unwrap_or_default();
        (note, store::read(&*self.file, PROGRESS_AT))
    }

    fn error(&self, op: &'static str, e: std::io::Error) -> Error {
        Error::io(op, join(&*self.dir, SYNC_FILE), e)
    }
}

impl SyncHeld {
    /// The file with the notes.
    pub fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Records that one more file of this commit is synced. An error is ignored: at worst a waiting
    /// caller takes the holder for hung a little early, which costs a rewrite.
    pub fn progressed(&self) {
        let next = store::read(&*self.file, PROGRESS_AT).wrapping_add(1);
        let digits = format!("{next:0COUNTER_LEN$}");
        let _ = self.file.write_at(digits.as_bytes(), PROGRESS_AT);
    }
}

impl Drop for SyncHeld {
    fn drop(&mut self) {
        self.heartbeat.end();
        // Closing the file releases the lock as well, so a failure is ignored.
        let _ = self.file.unlock();
    }
}

/// Creates a missing file again, with the note of an unfinished sync of everything: the lost file
/// alone said whether a sync was in progress or had failed.
fn make_again(replica: &Replica) -> Result<()> {
    let page: StatePage = replica.read_page()?.ok_or_else(|| {
        let text = format!("the page of {} is unreadable", replica.tp());
        Error::new(Kind::Fenced, text)
    })?;
    let dir = &**replica.dir();
    let temporary = format!("{SYNC_FILE}.{}.tmp", Uuid::random()?.hex());
    let error = |op| {
        let path = join(dir, SYNC_FILE);
        move |e| Error::io(op, path, e)
    };
    let file = dir
        .open(&temporary, Open::CreateNew)
        .map_err(error("make"))?;
    let note = CommitNote {
        boot_id: replica.boot_id(),
        generation: page.generation,
        end: page.tail.end,
        pid: std::process::id(),
    };
    let made = note
        .write(&*file)
        .and_then(|()| dir.rename_new(&temporary, SYNC_FILE));
    match made {
        Ok(()) => Ok(()),
        Err(e) => {
            // If it cannot be removed, a small unused file remains.
            let _ = dir.remove(&temporary);
            if e.kind() == std::io::ErrorKind::AlreadyExists {
                return Ok(());
            }
            Err(error("make")(e))
        }
    }
}
