//! Descriptors: those that stay open, and those that are kept open only while there is room.
//!
//! One cache per process holds the kept ones: at most three quarters of the descriptors that the
//! process may have, so that some are always left for short opens and locks. Beyond that the least
//! recently used one is closed, and opened again at its next use, by name within the directory that
//! it was opened in.
//!
//! 1. What is opened again has to be the same inode with the same birth time (the number alone is
//!    reused): else the file was replaced or removed, and the use fails as of a stale handle. If
//!    the file system has no birth times, only files that are never opened again are closed.
//! 2. A file whose lock is held is never closed, nor is its directory: a lock is released with its
//!    descriptor, and its holder resumes in the directory that it knew.
//! 3. Nothing is closed while an operation uses it, nor after its name was removed.
//! 4. Nothing is shared: each handle has its own descriptor, so handles exclude each other.
//! 5. A background write that fails later is reported to the next sync of the file through any
//!    descriptor (Linux 4.17 on): the descriptor that wrote need not be kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::machine;
use crate::disk::Identity;

/// An open file or directory.
#[derive(Debug, Clone)]
pub(super) enum Handle {
    /// Open until the last clone is dropped.
    Open(Arc<File>),
    /// Open while there is room for it.
    Kept(Arc<Kept>),
}

/// A file or directory that may be closed and opened again.
#[derive(Debug)]
pub(super) struct Kept {
    parent: Handle,
    name: String,
    flags: OFlags,
    closing: Closing,
    state: Mutex<HandleState>,
    /// Used since the cache last checked.
    used: AtomicBool,
    /// Locks that need it open: its own, and those of files in it.
    pins: AtomicUsize,
}

#[derive(Debug)]
enum HandleState {
    Open(Arc<File>),
    Closed(Identity),
}

/// What happens after a descriptor was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// It is opened again: without a birth time it could be another file then, so it stays open.
    ToReopen,
    /// It was read, and is compared with its successors: without a birth time it counts as
    /// replaced.
    ToCompare,
}

impl Handle {
    pub(super) fn open(fd: OwnedFd) -> Self {
        Handle::Open(Arc::new(fd.into()))
    }

    /// For what was opened as `name` within `parent`.
    pub(super) fn kept(
        parent: &Handle,
        name: &str,
        flags: OFlags,
        fd: OwnedFd,
        closing: Closing,
    ) -> Self {
        let kept = Arc::new(Kept {
            parent: parent.clone(),
            name: name.to_owned(),
            flags: flags.difference(OFlags::CREATE.union(OFlags::EXCL)),
            closing,
            state: Mutex::new(HandleState::Open(Arc::new(fd.into()))),
            used: AtomicBool::new(true),
            pins: AtomicUsize::new(0),
        });
        CACHE.enter(&kept);
        Handle::Kept(kept)
    }

    /// The open file, for one use.
    pub(super) fn get(&self) -> io::Result<Arc<File>> {
        match self {
            Handle::Open(file) => Ok(Arc::clone(file)),
            Handle::Kept(kept) => kept.get(),
        }
    }

    /// Its identity, if it is closed now.
    pub(super) fn closed(&self) -> Option<Identity> {
        let Handle::Kept(kept) = self else {
            return None;
        };
        match &*kept.state() {
            HandleState::Open(_) => None,
            HandleState::Closed(identity) => Some(*identity),
        }
    }

    /// Keeps it open, and the directories above it, until it is unpinned.
    pub(super) fn pin(&self) {
        if let Handle::Kept(kept) = self {
            kept.pins.fetch_add(1, Ordering::Relaxed);
            kept.parent.pin();
        }
    }

    pub(super) fn unpin(&self) {
        if let Handle::Kept(kept) = self {
            kept.pins.fetch_sub(1, Ordering::Relaxed);
            kept.parent.unpin();
        }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, HandleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(self: &Arc<Self>) -> io::Result<Arc<File>> {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        let mut state = self.state();
        let identity = match &*state {
            HandleState::Open(file) => return Ok(Arc::clone(file)),
            HandleState::Closed(identity) => *identity,
        };
        make_room();
        let parent = self.parent.get()?;
        let opened = open_beneath(parent.as_fd(), &self.name, self.flags);
        let file: Arc<File> = match opened {
            Ok(fd) => Arc::new(fd.into()),
            // The name leads elsewhere by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NXIO) => {
                return Err(Errno::STALE.into());
            }
            Err(e) => return Err(e.into()),
        };
        let found = identity_of(&file)?;
        if found != identity || found.born.is_none() {
            return Err(Errno::STALE.into());
        }
        *state = HandleState::Open(Arc::clone(&file));
        drop(state);
        CACHE.enter(self);
        Ok(file)
    }

    /// Closes it, if nothing needs it open.
    fn close(&self) -> Closed {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return Closed::Later,
        };
        let HandleState::Open(file) = &*state else {
            return Closed::Never;
        };
        let busy = Arc::strong_count(file) > 1 || self.pins.load(Ordering::Relaxed) > 0;
        if busy || !has_name(file) {
            return Closed::Later;
        }
        match identity_of(file) {
            Ok(Identity { born: None, .. }) if self.closing == Closing::ToReopen => Closed::Never,
            Ok(identity) => {
                *state = HandleState::Closed(identity);
                CACHE.open.fetch_sub(1, Ordering::Relaxed);
                Closed::Now
            }
            Err(_) => Closed::Later,
        }
    }
}

/// What an attempt to close a file did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// It is closed.
    Now,
    /// It is needed; it is to be checked again.
    Later,
    /// The cache has nothing to do with it any more: it is closed, or must stay open.
    Never,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(state, HandleState::Open(_)) {
            CACHE.open.fetch_sub(1, Ordering::Relaxed);
        }
        for _ in 0..*self.pins.get_mut() {
            self.parent.unpin();
        }
    }
}

fn has_name(file: &File) -> bool {
    fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0)
}

fn identity_of(file: &File) -> io::Result<Identity> {
    machine::identity(file.as_fd(), "")
}

/// The kept descriptors.
struct Cache {
    /// The number of open ones.
    open: AtomicUsize,
    /// In the order in which they are checked.
    queue: Mutex<VecDeque<Weak<Kept>>>,
    /// Descriptors that users of this process asked for; none: the maximum.
    shares: AtomicUsize,
}

static CACHE: Cache = Cache {
    open: AtomicUsize::new(0),
    queue: Mutex::new(VecDeque::new()),
    shares: AtomicUsize::new(0),
};

/// Below this number, closing is not worth the effort.
const LEAST: usize = 256;
/// Number closed at once: each run checks all.
const TOGETHER: usize = 16;

impl Cache {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Weak<Kept>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, kept: &Arc<Kept>) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let mut queue = self.queue();
        if queue.len() > 2 * open + LEAST {
            queue.retain(|kept| kept.strong_count() > 0);
        }
        queue.push_back(Arc::downgrade(kept));
    }

    fn limit(&self) -> usize {
        let most = descriptors_max() / 4 * 3;
        match self.shares.load(Ordering::Relaxed) {
            0 => most,
            shares => most.min(shares.max(LEAST)),
        }
    }

    /// Closes up to `count` of the least recently used; returns how many.
    fn close(&self, count: usize) -> usize {
        let mut queue = self.queue();
        // In the second round, nothing was used since the first.
        let mut observations = queue.len() * 2;
        let mut closed = 0;
        let mut dropped = Vec::new();
        while closed < count && observations > 0 {
            observations -= 1;
            let Some(weak) = queue.pop_front() else {
                break;
            };
            let Some(kept) = weak.upgrade() else {
                continue;
            };
            let outcome = if kept.used.swap(false, Ordering::Relaxed) {
                Closed::Later
            } else {
                kept.close()
            };
            closed += usize::from(outcome == Closed::Now);
            if outcome == Closed::Later {
                queue.push_back(weak);
            }
            // This may be the last reference: it must not be dropped under the lock.
            dropped.push(kept);
        }
        drop(queue);
        drop(dropped);
        closed
    }
}

/// Call it before another kept descriptor is opened.
pub(super) fn make_room() {
    let limit = CACHE.limit();
    let open = CACHE.open.load(Ordering::Relaxed);
    if open >= limit {
        CACHE.close(open - limit + TOGETHER);
    }
}

/// After the system had no descriptor left: whether some were given back.
pub(super) fn give_back() -> bool {
    CACHE.close(TOGETHER) > 0
}

/// More than any system gives a process.
const SHARE_MAX: usize = 1 << 24;

/// A claim on the kept descriptors of this process. If there are claims, no more are kept than
/// their sum (and some hundred in any case).
#[derive(Debug)]
pub struct DescriptorShare(usize);

impl DescriptorShare {
    /// A claim on this many.
    pub fn new(descriptors: usize) -> Self {
        let descriptors = descriptors.min(SHARE_MAX);
        CACHE.shares.fetch_add(descriptors, Ordering::Relaxed);
        DescriptorShare(descriptors)
    }
}

impl Drop for DescriptorShare {
    fn drop(&mut self) {
        CACHE.shares.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// How many descriptors this process may have (`ulimit -n`).
pub fn descriptors_max() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// How often this process got no descriptor for a file because it, or the system, had too many
/// open.
pub fn descriptors_denied() -> u64 {
    DENIED.load(Ordering::Relaxed)
}

/// Counts an open that failed for lack of a descriptor.
pub(crate) fn counted<T>(opened: Result<T, Errno>) -> Result<T, Errno> {
    if matches!(opened, Err(Errno::MFILE | Errno::NFILE)) {
        DENIED.fetch_add(1, Ordering::Relaxed);
    }
    opened
}

/// Opens, and tries once more if no descriptor was left and some kept ones could be given back.
pub(crate) fn with_room<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match open() {
            Err(Errno::MFILE | Errno::NFILE) if give_back() => {}
            done => return done,
        }
    }
}

/// Opens `name` below `dir` through no symbolic link; creates nothing.
pub(crate) fn open_beneath(
    dir: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    counted(with_room(|| {
        try_open_beneath(dir, name, flags.difference(OFlags::CREATE), Mode::empty())
    }))
}

/// Opens `name` below `dir` through no symbolic link. `mode` is for a file that is created.
pub(crate) fn try_open_beneath(
    dir: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        match retry_on_intr(|| fs::openat2(dir, name, flags, mode, resolve)) {
            // The kernel has no such call, or a sandbox forbids it, or the kernel could not decide
            // (AGAIN; XDEV: the file was renamed meanwhile): then by single steps, which repeat
            // real errors.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::XDEV) => {}
            done => return done,
        }
    }
    open_by_steps(dir, name, flags, mode)
}

pub(crate) fn open_by_steps(
    dir: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let mut held: Option<OwnedFd> = None;
    let mut rest = name;
    while let Some((first, below)) = rest.split_once('/') {
        let at = held.as_ref().map_or(dir, |fd| fd.as_fd());
        held = Some(open_one(at, first, DIR_FLAGS, Mode::empty())?);
        rest = below;
    }
    let at = held.as_ref().map_or(dir, |fd| fd.as_fd());
    open_one(at, rest, flags, mode)
}

pub(crate) fn open_one(
    dir: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW;
    match retry_on_intr(|| fs::openat(dir, name, flags, mode)) {
        // With O_DIRECTORY the error for a link is only "not a directory".
        Err(Errno::NOTDIR) if is_link_at(dir, Path::new(name)) => Err(Errno::LOOP),
        // Some systems' error for a link met with O_NOFOLLOW.
        Err(Errno::MLINK) => Err(Errno::LOOP),
        done => done,
    }
}

pub(crate) const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

pub(crate) fn is_link_at(dir: BorrowedFd<'_>, path: &Path) -> bool {
    fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

pub(crate) static DENIED: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::os::OsDisk;
    use crate::disk::{Disk as _, LockKind, Open};

    /// Closes everything that may be closed.
    fn close_all() {
        while CACHE.close(usize::MAX) > 0 {}
    }

    #[test]
    fn what_was_closed_is_opened_again_and_is_the_same() {
        let at = tempfile::tempdir().expect("tempdir");
        let logs = OsDisk.open_dir(at.path()).expect("open");
        logs.create_dir("t-0").expect("made");
        let dir = logs.open_dir_kept("t-0").expect("open");
        dir.open("log", Open::CreateNew).expect("made");
        let file = dir.open_kept("log", Open::Write).expect("open");
        for round in 0..3_u8 {
            close_all();
            file.write_at(&[round], u64::from(round)).expect("written");
            close_all();
            let mut byte = [9];
            file.read_at(&mut byte, u64::from(round)).expect("read");
            assert_eq!(byte, [round]);
            assert_eq!(dir.list(".").expect("listed").len(), 1);
        }
    }

    #[test]
    fn what_was_replaced_is_stale() {
        let at = tempfile::tempdir().expect("tempdir");
        let logs = OsDisk.open_dir(at.path()).expect("open");
        logs.create_dir("t-0").expect("made");
        let dir = logs.open_dir_kept("t-0").expect("open");
        dir.open("log", Open::CreateNew).expect("made");
        let file = dir.open_kept("log", Open::Read).expect("open");
        close_all();
        dir.remove("log").expect("removed");
        let stale = |e: io::Error| e.raw_os_error() == Some(Errno::STALE.raw_os_error());
        assert!(stale(file.len().expect_err("gone")));
        // The number of the inode may be the same.
        std::thread::sleep(std::time::Duration::from_millis(20));
        dir.open("log", Open::CreateNew).expect("made");
        assert!(stale(file.len().expect_err("another")));
        // A file under a name that was reused is another file, too.
        let file = dir.open_kept("log", Open::Read).expect("open");
        close_all();
        logs.rename("t-0", "t-0.aside").expect("aside");
        logs.create_dir("t-0").expect("made");
        assert!(stale(file.len().expect_err("another directory")));
        assert!(stale(dir.own_id().expect_err("another directory")));
    }

    #[test]
    fn what_was_read_is_told_from_its_successors_though_it_is_closed() {
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        dir.open("topic", Open::CreateNew).expect("made");
        let file = dir.open_to_compare("topic").expect("open");
        let is_current = || {
            file.is(dir.identity("topic").expect("there"))
                .expect("told")
        };
        for close in [false, true] {
            if close {
                close_all();
            }
            assert!(is_current());
        }
        // The number of the inode may be the same.
        std::thread::sleep(std::time::Duration::from_millis(20));
        dir.remove("topic").expect("removed");
        dir.open("topic", Open::CreateNew).expect("made");
        assert!(!is_current());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_birth_time_is_not_opened_again() {
        // This file system has no birth times.
        let process = format!("/proc/{}", std::process::id());
        let dir = OsDisk.open_dir(process.as_ref()).expect("open");
        let is_open = |file: &dyn crate::disk::File| {
            let id = file.id().expect("known");
            let found = Identity { id, born: None };
            file.is(found).expect("told")
        };
        let kept = dir.open_kept("limits", Open::Read).expect("open");
        let read = dir.open_to_compare("limits").expect("open");
        assert!(is_open(&*kept) && is_open(&*read));
        close_all();
        assert!(is_open(&*kept), "closed, it could be another");
        assert!(!is_open(&*read), "closed, it counts as replaced");
    }

    #[test]
    fn what_is_locked_stays_open_with_its_directory() {
        let at = tempfile::tempdir().expect("tempdir");
        let logs = OsDisk.open_dir(at.path()).expect("open");
        logs.create_dir("t-0").expect("made");
        let dir = logs.open_dir_kept("t-0").expect("open");
        let page = dir.open_kept("page", Open::Create).expect("open");
        let other = dir.open_kept("page", Open::Write).expect("open");
        assert!(page.try_lock(LockKind::Exclusive).expect("locked"));
        close_all();
        assert!(!other.try_lock(LockKind::Exclusive).expect("tried"));
        logs.rename("t-0", "t-0.aside").expect("aside");
        dir.open("log", Open::CreateNew)
            .expect("in the directory that it knew");
        page.unlock().expect("unlocked");
        logs.rename("t-0.aside", "t-0").expect("back");
        close_all();
        assert!(other.try_lock(LockKind::Exclusive).expect("free"));
        drop(other);
        assert!(page.try_lock(LockKind::Shared).expect("free"));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let _share = DescriptorShare::new(1);
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        let files: Vec<_> = (0..LEAST + 200)
            .map(|at| {
                dir.open_kept(&format!("f{at}"), Open::Create)
                    .expect("open")
            })
            .collect();
        // Other tests run at the same time.
        let mine = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| {
            let links = fds
                .flatten()
                .filter_map(|fd| std::fs::read_link(fd.path()).ok());
            links.filter(|link| link.starts_with(at.path())).count()
        });
        assert!(mine <= LEAST + 1, "{mine}");
        assert!(files.iter().all(|file| file.is_empty().expect("read")));
    }
}
