//! The fenced lock: for the store's metadata, and for each group.
//!
//! A short lock that other processes can take from a stopped holder, so that whatever the holder
//! does after it resumes fails. Its rules:
//!
//! 1. The lock is the flock of the file `lock.N/N` with the largest N. The file was renamed into
//!    place whole ([`create_lock`]), alone or with its directory; a `lock.N` is never created in
//!    place. A store's lock was moved beyond `lock.0` before the store was whole: from then on a
//!    `lock.0` belongs to a late creator of the store, and is never the lock.
//! 2. The holder changes files only by renames out of its own directory `lock.N/ID/`, and removes
//!    them only by renames into it, always by that path.
//! 3. The holder's line in the lock file holds a counter. It rises at each step and, once the lock
//!    has been held for 100 ms, by a [`super::heartbeat`]: a slow disk is not a stopped process.
//! 4. A waiter takes the holder for stopped if it sees that line unchanged for 2 s of its own
//!    unbroken watching, in which its own writes to the lock file complete
//!    (`store::lock::write_probe`). Then it renames `lock.N` to `lock.N+1` and competes for
//!    `lock.N+1/N+1`. The old holder's paths are gone.
//! 5. A new holder first removes every other `ID/` and lock file in `lock.N` (a deletion proof is
//!    moved on, see `store::lock::deletion_proof`), then reads the state: until then a rename
//!    already in the kernel may still complete; from or into a removed directory it fails. A
//!    `lock.K` below its own N was never the lock, and is removed too.
//!
//! 6. A holder that releases the lock in good order empties its `ID/` and leaves it as
//!    `lock.N/spare`, which the next holder that needs a directory renames to its own name: on a
//!    full disk, a deletion must not need a new block first. No other process's late rename can
//!    name a spare: its last holder has finished all its own.
//!
//! Line: `COUNTER ID PID HOST PURPOSE`, the counter in 20 digits, padded with spaces to 255 bytes
//! and a line break. Only an unchanged line means anything; its other fields are for people.

mod guard;
mod staged;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::heartbeat::Stillness;
use super::lock_files::{DEPTH_MAX, io_error, line, names, read_line, remove_tree};
use super::write_probe::WriteProbe;
use super::{deletion_proof, suspend_guard};
use crate::clock::Clock;
use crate::disk::{Dir, EntryKind, File, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::layout;
use crate::store::process::Process;
use crate::timing::{LOCK_QUIET, LOCK_STOPPED_AFTER};
use crate::types::Uuid;

pub use guard::FencedGuard;
pub use staged::Staged;

/// The pause between two tries. It does not grow: that would starve the longest waiter.
const RETRY: Duration = Duration::from_micros(50);
/// The same for a group's lock, and what each group member adds.
const RETRY_OF_GROUP: Duration = Duration::from_micros(300);
const RETRY_OF_MEMBER: Duration = Duration::from_micros(50);
/// How long a rename may hide an existing `lock.N` from listings.
const HIDDEN: Duration = Duration::from_millis(200);

/// Where a waiter writes, to see whether writes complete.
const SERVED_AT: u64 = 512;

/// Creates the lock of a directory that is being created whole under another name: `lock.0/0`,
/// synced, and held by its creator; `None` if another process took the creator for dead. The caller
/// syncs the directory itself.
pub fn create_lock(dir: &dyn Dir) -> Result<Option<Arc<dyn File>>> {
    let (name, file) = (layout::lock_dir(0), layout::lock_file(0));
    let error = |op, name: &str, e| Error::io(op, join(dir, name), e);
    dir.create_dir(&name).map_err(|e| error("make", &name, e))?;
    let made = dir
        .open(&file, Open::CreateNew)
        .map_err(|e| error("make", &file, e))?;
    if !made
        .try_lock(LockKind::Exclusive)
        .map_err(|e| error("lock", &file, e))?
        || !names(dir, &file, &*made).map_err(|e| error("look at", &file, e))?
    {
        return Ok(None);
    }
    made.write_at(&line(0, "-", "free"), 0)
        .map_err(|e| error("write", &file, e))?;
    made.sync_data().map_err(|e| error("sync", &file, e))?;
    let opened = dir.open_dir(&name).map_err(|e| error("open", &name, e))?;
    opened.sync().map_err(|e| error("sync", &name, e))?;
    Ok(Some(made))
}

/// A fenced lock that a caller can acquire.
#[derive(Debug, Clone)]
pub struct FencedLock {
    dir: Arc<dyn Dir>,
    clock: Arc<dyn Clock>,
    /// The least N that can be the lock's.
    least: u64,
    /// The pause between two tries.
    retry: Duration,
}

/// What a waiter last saw of the holder.
#[derive(Debug)]
struct WatchedHolder {
    n: u64,
    file: Arc<dyn File>,
    /// The holder's line, and how often a write of the waiter's own did not complete in time.
    line: Stillness<(Vec<u8>, u64)>,
    served: WriteProbe,
}

impl FencedLock {
    /// The lock of a group, whose directory was renamed into place with it.
    pub fn of_group(dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Self {
        FencedLock {
            dir,
            clock,
            least: 0,
            retry: RETRY_OF_GROUP,
        }
    }

    /// The number of processes that may wait at once, after a rebalance of a group: the more, the
    /// less often each tries. A hundred that try as often as for the store's lock would starve the
    /// holder of CPU time. The pause between tries does not grow with waiting, so no waiter
    /// starves.
    pub fn expect_waiters(&mut self, waiters: usize) {
        let waiters = u32::try_from(waiters).unwrap_or(u32::MAX);
        self.retry = RETRY_OF_GROUP + RETRY_OF_MEMBER.saturating_mul(waiters.min(1000));
    }

    /// The time between two tries.
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// The lock of a store that is not whole yet.
    pub fn of_unfinished_store(dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Self {
        FencedLock {
            dir,
            clock,
            least: 0,
            retry: RETRY,
        }
    }

    /// The lock of a store's metadata.
    pub fn of_store(dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Self {
        FencedLock {
            dir,
            clock,
            least: 1,
            retry: RETRY,
        }
    }

    /// Takes the lock, trying for up to `timeout`. Waiting processes see `purpose` meanwhile.
    ///
    /// # Errors
    /// [`Kind::Busy`] naming the holder; [`Kind::UnusableStore`] if this user may not write;
    /// [`Kind::Damaged`] if there is no lock; [`Kind::Io`].
    pub fn acquire(&self, purpose: &str, timeout: Duration) -> Result<FencedGuard> {
        let started = self.clock.monotonic();
        let id = Uuid::random()?.hex();
        let mut hidden_since = None;
        let mut watched: Option<WatchedHolder> = None;
        loop {
            let now = self.clock.monotonic();
            if let Some(seen) = watched.take() {
                watched = self.examine_again(seen, now)?;
            }
            if watched.is_none() {
                match self.find()? {
                    Some((n, file)) => {
                        let line = Stillness::begin((read_line(&*file), 0), now);
                        let served = WriteProbe::default();
                        watched = Some(WatchedHolder {
                            n,
                            file,
                            line,
                            served,
                        });
                        hidden_since = None;
                    }
                    None if now.saturating_sub(*hidden_since.get_or_insert(now)) >= HIDDEN => {
                        return Err(self.no_lock());
                    }
                    None => {}
                }
            }
            if let Some(seen) = &watched {
                let suspend = suspend_guard::enter();
                let (n, file) = (seen.n, &seen.file);
                let path = layout::lock_file(n);
                if file
                    .try_lock(LockKind::Exclusive)
                    .map_err(|e| self.error("lock", &path, e))?
                {
                    if self.names(&path, &**file)? {
                        match self.taken(n, Arc::clone(file), id.clone(), purpose, suspend) {
                            // The lock was taken over before its first step: nothing was done yet.
                            Err(e) if e.kind() == Kind::Fenced => {}
                            done => return done,
                        }
                    }
                    // Dropped with its lock, as it is no longer the lock's file.
                    watched = None;
                    continue;
                }
            }
            if now.saturating_sub(started) >= timeout {
                return Err(self.busy(watched.as_ref(), timeout));
            }
            self.clock.sleep(self.retry);
        }
    }

    /// Creates a file of these bytes, synced, to be put into place under the lock.
    ///
    /// # Errors
    /// [`Kind::DiskFull`], [`Kind::Io`].
    pub fn stage(&self, bytes: &[u8]) -> Result<Staged> {
        Staged::make(&self.dir, bytes)
    }

    /// Opens the lock with the largest N; creates its file if N is new.
    fn find(&self) -> Result<Option<(u64, Arc<dyn File>)>> {
        let Some(n) = newest(&*self.dir, self.least)? else {
            return Ok(None);
        };
        let path = layout::lock_file(n);
        match self.dir.open(&path, Open::Create) {
            Ok(file) => Ok(Some((n, file))),
            // Renamed since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error("open", &path, e)),
        }
    }

    /// Reads the holder's line again; takes the lock over if the line did not change. `None` if the
    /// lock has another name now.
    fn examine_again(
        &self,
        mut seen: WatchedHolder,
        now: Duration,
    ) -> Result<Option<WatchedHolder>> {
        if !self.names(&layout::lock_file(seen.n), &*seen.file)? {
            return Ok(None);
        }
        let mut missed = seen.line.seen().1;
        if seen.line.length() >= LOCK_QUIET {
            missed = seen.served.observe(&seen.file, SERVED_AT, &self.clock);
        }
        let still = seen.line.observe((read_line(&*seen.file), missed), now);
        if still < LOCK_STOPPED_AFTER {
            return Ok(Some(seen));
        }
        let next = seen.n.checked_add(1).ok_or_else(|| self.no_lock())?;
        let (from, to) = (layout::lock_dir(seen.n), layout::lock_dir(next));
        match self.dir.rename_new(&from, &to) {
            Ok(()) => Ok(None),
            // Another waiter, or the holder itself, was faster.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(self.error("break the lock", &from, e)),
        }
    }

    /// Returns a guard of the lock just taken: rules 3 and 5.
    fn taken(
        &self,
        n: u64,
        file: Arc<dyn File>,
        id: String,
        purpose: &str,
        suspend: suspend_guard::SuspendGuard,
    ) -> Result<FencedGuard> {
        let process = Process::current(&*self.clock);
        let about = format!(
            "{} {} {}",
            process.pid,
            process.host,
            purpose.escape_debug()
        );
        let path = layout::lock_file(n);
        file.write_at(&line(1, &id, &about), 0)
            .map_err(|e| self.error("write", &path, e))?;
        let guard = FencedGuard::new(Arc::clone(&self.dir), file, n, id, suspend);
        self.clean(n).map_err(|e| guard.unless_fenced(e))?;
        self.remove_abandoned(n);
        guard.step()?;
        Ok(guard)
    }

    /// Removes what dead and fenced-out holders left.
    fn clean(&self, n: u64) -> Result<()> {
        let lock_dir = layout::lock_dir(n);
        let own = n.to_string();
        let entries = self
            .dir
            .list(&lock_dir)
            .map_err(|e| self.error("list", &lock_dir, e))?;
        for entry in entries.iter().filter(|entry| entry.name != own) {
            let path = format!("{lock_dir}/{}", entry.name);
            deletion_proof::move_proofs_on(&*self.dir, &path)
                .map_err(|e| self.error("move", &path, e))?;
            if entry.name == layout::SPARE_DIR && entry.kind == EntryKind::Dir {
                continue;
            }
            remove_tree(&*self.dir, &path, entry.kind, DEPTH_MAX)
                .map_err(|e| self.error("remove", &path, e))?;
        }
        Ok(())
    }

    /// Removes what dead and late creators left beside the lock.
    fn remove_abandoned(&self, n: u64) {
        let Ok(entries) = self.dir.list(".") else {
            return;
        };
        for entry in entries {
            // Only cleaning up: if it cannot be removed now, the next holder tries again.
            if entry.kind == EntryKind::File && layout::is_staged_file(&entry.name) {
                let _ = staged::remove_if_abandoned(&*self.dir, &entry.name);
            } else if layout::parse_lock_dir(&entry.name).is_some_and(|stray| stray < n) {
                let _ = remove_tree(&*self.dir, &entry.name, entry.kind, DEPTH_MAX);
            }
        }
    }

    fn names(&self, path: &str, file: &dyn File) -> Result<bool> {
        names(&*self.dir, path, file).map_err(|e| self.error("look at", path, e))
    }

    fn busy(&self, watched: Option<&WatchedHolder>, timeout: Duration) -> Error {
        let holder = watched.map_or_else(
            || "another process".to_owned(),
            |seen| describe(&read_line(&*seen.file)),
        );
        Error::new(
            Kind::Busy,
            format!(
                "REQUEST_TIMED_OUT: {holder} has held the lock of {} for {} ms or more",
                self.dir.path().display(),
                timeout.as_millis()
            ),
        )
        .cure("try again; if that process is stopped, continue or end it")
    }

    fn no_lock(&self) -> Error {
        Error::new(
            Kind::Damaged,
            format!("{} has no lock.N in it", self.dir.path().display()),
        )
        .cure("restore the directory from a backup, whole")
    }

    fn error(&self, op: &'static str, name: &str, e: io::Error) -> Error {
        io_error(&*self.dir, op, name, e)
    }
}

/// The largest N, from `least`, of a `lock.N` in `dir`.
fn newest(dir: &dyn Dir, least: u64) -> Result<Option<u64>> {
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    Ok(entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Dir)
        .filter_map(|entry| layout::parse_lock_dir(&entry.name))
        .filter(|n| *n >= least)
        .max())
}

/// Names the holder whose line this is.
fn describe(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut fields = text.trim_end().splitn(5, ' ').skip(2);
    match (fields.next(), fields.next(), fields.next()) {
        (Some(pid), Some(host), Some(purpose)) => format!(
            "process {} on {} ({})",
            pid.escape_debug(),
            host.escape_debug(),
            purpose.escape_debug()
        ),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests;
