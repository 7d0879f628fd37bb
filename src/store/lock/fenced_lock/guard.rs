//! The fenced lock, held.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::staged::Staged;
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::layout;
use crate::store::lock::deletion_proof;
use crate::store::lock::heartbeat::Heartbeat;
use crate::store::lock::lock_files::{DEPTH_MAX, empty_dir, io_error, names, read_line};
use crate::store::lock::suspend_guard::SuspendGuard;

/// Files that are synced at the same time.
const SYNC_THREADS: usize = 8;

/// The fenced lock, held. Dropping it releases it.
///
/// Paths are relative to the lock's directory. Each change is a step: it raises the counter, and
/// fails with [`Kind::Fenced`] once another process has taken the lock over; then nothing of the
/// step was done.
#[derive(Debug)]
pub struct FencedGuard {
    dir: Arc<dyn Dir>,
    heartbeat: Heartbeat,
    n: u64,
    id: String,
    has_own_dir: AtomicBool,
    next_name: AtomicU64,
    _suspend: SuspendGuard,
}

impl FencedGuard {
    pub(crate) fn new(
        dir: Arc<dyn Dir>,
        file: Arc<dyn File>,
        n: u64,
        id: String,
        suspend: SuspendGuard,
    ) -> Self {
        FencedGuard {
            dir,
            // The holder's line was just written with counter 1.
            heartbeat: Heartbeat::start_from(file, 0, 1),
            n,
            id,
            has_own_dir: AtomicBool::new(false),
            next_name: AtomicU64::new(0),
            _suspend: suspend,
        }
    }

    /// The N of `lock.N`: it only rises.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The directory that contains the lock.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// Raises the counter.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if the lock was taken over.
    pub fn step(&self) -> Result<()> {
        let path = layout::lock_file(self.n);
        self.heartbeat
            .raise()
            .map_err(|e| io_error(&*self.dir, "write", &path, e))?;
        if self.holds()? {
            Ok(())
        } else {
            Err(self.fenced())
        }
    }

    /// Replaces or creates `to`: written in the holder's own directory, synced, renamed into place,
    /// the directory of `to` synced.
    ///
    /// # Errors
    /// [`Kind::Fenced`]; [`Kind::Unknown`] if only the last sync failed.
    pub fn replace(&self, to: &str, bytes: &[u8]) -> Result<()> {
        let name = self.write_own(bytes, true)?;
        self.put(&name, to)?;
        self.sync_parent(to)
    }

    /// As [`FencedGuard::replace`] for each, all in one directory: they are synced concurrently,
    /// and the directory once. If the process dies, some are replaced, each whole.
    ///
    /// # Errors
    /// As [`FencedGuard::replace`].
    pub fn replace_all(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        let Some((first, _)) = files.first() else {
            return Ok(());
        };
        // The directory is created before threads share it.
        self.own_name()?;
        let write = |part: &[(String, Vec<u8>)]| -> Result<Vec<String>> {
            part.iter()
                .map(|(_, bytes)| self.write_own(bytes, true))
                .collect()
        };
        let share = files.len().div_ceil(SYNC_THREADS);
        let written = std::thread::scope(|scope| -> Result<Vec<String>> {
            let mut parts = files.chunks(share);
            let own = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(|part| scope.spawn(move || write(part))).collect();
            let mut names = write(own)?;
            for other in others {
                let joined = other.join().unwrap_or_else(|_| {
                    Err(Error::new(
                        Kind::Io,
                        "a thread that wrote files ended unexpectedly",
                    ))
                });
                names.extend(joined?);
            }
            Ok(names)
        })?;
        for (name, (to, _)) in written.iter().zip(files) {
            self.put(name, to)?;
        }
        self.sync_parent(first)
    }

    /// Creates `to` if it does not exist; `false` if it does. Its bytes are synced, the directory
    /// of `to` is not.
    ///
    /// # Errors
    /// [`Kind::Fenced`], [`Kind::Io`].
    pub fn create(&self, to: &str, bytes: &[u8]) -> Result<bool> {
        let name = self.write_own(bytes, true)?;
        self.step()?;
        match self.dir.rename_new(&name, to) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(self.late(io_error(&*self.dir, "rename", &name, e))),
        }
    }

    /// As [`FencedGuard::replace`], but without a sync: for files that may be lost with the boot.
    pub fn replace_unsynced(&self, to: &str, bytes: &[u8]) -> Result<()> {
        let name = self.write_own(bytes, false)?;
        self.put(&name, to)
    }

    /// Puts a file that was created before the lock was taken in the place of `to`, and syncs the
    /// directory of `to`.
    ///
    /// # Errors
    /// As [`FencedGuard::replace`].
    pub fn publish(&self, staged: Staged, to: &str) -> Result<()> {
        // Through the own directory: a rename from elsewhere would complete even if late.
        let name = self.own_name()?;
        self.rename(staged.name(), &name)?;
        staged.moved();
        self.put(&name, to)?;
        self.sync_parent(to)
    }

    /// Puts a directory that was created and synced elsewhere in the place of `to`, which must not
    /// exist, and syncs the directory of `to`.
    ///
    /// # Errors
    /// As [`FencedGuard::replace`]; [`Kind::Io`] if `to` exists.
    pub fn publish_dir(&self, from: &str, to: &str) -> Result<()> {
        // Through the own directory, as a staged file.
        let name = self.own_name()?;
        self.rename(from, &name)?;
        self.step()?;
        self.dir
            .rename_new(&name, to)
            .map_err(|e| self.late(io_error(&*self.dir, "rename", &name, e)))?;
        self.sync_parent(to)
    }

    /// Removes the file `path`, or the flat directory, and syncs the directory it was in.
    ///
    /// # Errors
    /// As [`FencedGuard::replace`]; [`Kind::Io`] if it does not exist.
    pub fn remove(&self, path: &str) -> Result<()> {
        self.rename_in(path)?;
        self.sync_parent(path)
    }

    /// Moves `path` into the holder's own directory, where it is removed when the lock is released;
    /// returns its path there. The directory it was in is not synced.
    pub fn rename_in(&self, path: &str) -> Result<String> {
        let name = self.own_name()?;
        self.rename(path, &name)?;
        Ok(name)
    }

    /// As [`FencedGuard::rename_in`], under this name.
    pub(crate) fn rename_in_as(&self, path: &str, name: &str) -> Result<String> {
        self.own_name()?;
        let name = format!("{}/{name}", self.own_dir());
        self.rename(path, &name)?;
        Ok(name)
    }

    /// Makes the name of the holder's own directory durable.
    pub(crate) fn sync_own_name(&self) -> Result<()> {
        self.sync_parent(&self.own_dir())
    }

    /// Renames `lock.N` to `lock.(beyond + 1)`, for a lock whose N must exceed one that was
    /// recorded. Does nothing if N is larger already.
    ///
    /// # Errors
    /// [`Kind::Fenced`]; [`Kind::Damaged`] if no number is left.
    pub fn rename_beyond(&mut self, beyond: u64) -> Result<()> {
        if self.n > beyond {
            return Ok(());
        }
        let next = beyond.checked_add(1).ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                format!("{}: no N is left", self.dir.path().display()),
            )
        })?;
        let (from, to) = (layout::lock_dir(self.n), layout::lock_dir(next));
        // The new lock file is locked before another process can find it under its path.
        let staging = format!("{from}/{next}");
        let line = read_line(&*self.heartbeat.file());
        let take = || -> io::Result<Arc<dyn File>> {
            let file = self.dir.open(&staging, Open::Create)?;
            if !file.try_lock(crate::disk::LockKind::Exclusive)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            file.write_at(&line, 0)?;
            self.dir.rename_new(&from, &to)?;
            Ok(file)
        };
        let file = take().map_err(|e| self.late(io_error(&*self.dir, "rename", &from, e)))?;
        let old = self.n;
        let former = std::mem::replace(&mut self.heartbeat, Heartbeat::start(file, 0));
        former.end();
        // If it fails, the lock is released with the file's last handle.
        let _ = former.file().unlock();
        self.n = next;
        // If it fails, the next holder removes it.
        let _ = self.dir.remove(&format!("{to}/{old}"));
        self.step()
    }

    /// Syncs the directory that `path` is in.
    pub fn sync_parent(&self, path: &str) -> Result<()> {
        let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        let synced = if parent == "." {
            self.dir.sync()
        } else {
            self.dir.open_dir(parent).and_then(|dir| dir.sync())
        };
        synced.map_err(|e| {
            Error::io("sync", join(&*self.dir, parent), e)
                .with_kind(Kind::Unknown)
                .cure("the change is made, but a power cut may still lose it: check the disk")
        })
    }

    #[cfg(test)]
    pub(crate) fn stand_still(&self) {
        self.heartbeat.stand_still();
    }

    /// The error, or [`Kind::Fenced`] if the lock was taken over, which explains it.
    pub(crate) fn unless_fenced(&self, error: Error) -> Error {
        self.late(error)
    }

    pub(crate) fn write_own(&self, bytes: &[u8], synced: bool) -> Result<String> {
        let name = self.own_name()?;
        let error = |op, e| self.late(io_error(&*self.dir, op, &name, e));
        let file = self
            .dir
            .open(&name, Open::CreateNew)
            .map_err(|e| error("make", e))?;
        file.write_at(bytes, 0).map_err(|e| error("write", e))?;
        if synced {
            file.sync_data().map_err(|e| error("sync", e))?;
        }
        Ok(name)
    }

    /// A new name in the holder's own directory, which is created on first use.
    fn own_name(&self) -> Result<String> {
        let own = self.own_dir();
        if !self.has_own_dir.swap(true, Ordering::Relaxed) {
            // A full disk has no block for a new directory, and a deletion, which frees space,
            // needs one.
            let taken = match self.dir.rename(&self.spare_dir(), &own) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => self.dir.create_dir(&own),
                // A power cut may have restored its former contents.
                taken => taken.and_then(|()| empty_dir(&*self.dir, &own, DEPTH_MAX)),
            };
            taken.map_err(|e| self.late(io_error(&*self.dir, "make", &own, e)))?;
        }
        Ok(format!(
            "{own}/{}",
            self.next_name.fetch_add(1, Ordering::Relaxed)
        ))
    }

    fn own_dir(&self) -> String {
        format!("{}/{}", layout::lock_dir(self.n), self.id)
    }

    fn spare_dir(&self) -> String {
        format!("{}/{}", layout::lock_dir(self.n), layout::SPARE_DIR)
    }

    /// Empties the own directory and leaves it to the next holder. If that fails, the next holder
    /// removes it.
    fn leave_own_dir(&self) {
        let own = self.own_dir();
        if deletion_proof::move_proofs_on(&*self.dir, &own).is_ok()
            && empty_dir(&*self.dir, &own, DEPTH_MAX).is_ok()
        {
            let _ = self.dir.rename(&own, &self.spare_dir());
        }
    }

    pub(crate) fn put(&self, name: &str, to: &str) -> Result<()> {
        self.rename(name, to)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.step()?;
        self.dir
            .rename(from, to)
            .map_err(|e| self.late(io_error(&*self.dir, "rename", from, e)))
    }

    fn late(&self, error: Error) -> Error {
        match self.holds() {
            Ok(false) => self.fenced(),
            Ok(true) | Err(_) => error,
        }
    }

    fn holds(&self) -> Result<bool> {
        let path = layout::lock_file(self.n);
        names(&*self.dir, &path, &*self.heartbeat.file())
            .map_err(|e| io_error(&*self.dir, "look at", &path, e))
    }

    fn fenced(&self) -> Error {
        Error::lost_lock(format!(
            "the lock of {} was taken over while this process was stopped",
            self.dir.path().display()
        ))
        .cure("nothing of this step was done: try again")
    }
}

impl Drop for FencedGuard {
    fn drop(&mut self) {
        if self.has_own_dir.load(Ordering::Relaxed) {
            self.leave_own_dir();
        }
        self.heartbeat.end();
        // If it fails, the lock is released with the file's last handle.
        let _ = self.heartbeat.file().unlock();
    }
}
