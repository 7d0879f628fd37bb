//! Linux's inotify(7).
//!
//! Each watch has its own id. The kernel gives one descriptor per inode, so several ids may share
//! one; it is given back with the last of them.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;

use super::poll::{POLL_PERIOD, Polled, wait_for};
use crate::disk::os::id_of;
use crate::disk::{Dir, FileId, Wake, WatchId, Watcher, join};

// Besides writes, the events that show that the name leads elsewhere now. IN_ATTRIB comes with an
// unlink, but IN_DELETE_SELF only once the last descriptor is closed.
const OF_FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::DONT_FOLLOW);

const OF_DIR: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);

const OF_CLOSES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);

/// Events of one drain: as many as the kernel queues by default.
const DRAIN_MAX: usize = 16_384;
/// Bytes of one read: some dozen events with long names.
const BUFFER_BYTES: usize = 8_192;

#[derive(Debug)]
pub(super) struct InotifyWatcher {
    fd: Arc<OwnedFd>,
    last_id: WatchId,
    ids: HashMap<i32, Vec<WatchId>>,
    descriptors: HashMap<WatchId, i32>,
    /// Watches that the kernel had no room for: while there are any, only the timeout wakes.
    unseen: Vec<WatchId>,
}

impl InotifyWatcher {
    pub(super) fn new() -> io::Result<InotifyWatcher> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(InotifyWatcher {
            fd: Arc::new(fd),
            last_id: 0,
            ids: HashMap::new(),
            descriptors: HashMap::new(),
            unseen: Vec::new(),
        })
    }

    /// Adds a watch. The kernel has one watch for each inode, so the flags are added to an existing
    /// one.
    fn add(&mut self, path: &Path, want: FileId, flags: WatchFlags) -> io::Result<WatchId> {
        let wd = match inotify::add_watch(&self.fd, path, flags | WatchFlags::MASK_ADD) {
            Ok(wd) => Some(wd),
            // This user's limit of watches is reached.
            Err(Errno::NOSPC | Errno::NOMEM) => None,
            Err(error) => return Err(error.into()),
        };
        self.last_id += 1;
        let id = self.last_id;
        let Some(wd) = wd else {
            self.unseen.push(id);
            return Ok(id);
        };
        self.ids.entry(wd).or_default().push(id);
        self.descriptors.insert(id, wd);
        // Watches use paths, and the directory may have been moved since it was opened.
        let there = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(|stat| id_of(&stat));
        if there != Ok(want) {
            self.remove(id);
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(id)
    }

    /// Takes all queued events.
    fn drain(&mut self) -> io::Result<Wake> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&*self.fd, &mut buffer);
        let mut changed: Vec<WatchId> = Vec::new();
        let mut seen_last = None;
        let mut anything = false;
        for _ in 0..DRAIN_MAX {
            let (wd, events) = match reader.next() {
                Ok(event) => (event.wd(), event.events()),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => return Err(error.into()),
            };
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                anything = true;
            } else if events.contains(ReadFlags::IGNORED) {
                // Still known only if the kernel ended it: the file or directory is gone.
                if let Some(ids) = self.ids.remove(&wd) {
                    anything = true;
                    for id in ids {
                        self.descriptors.remove(&id);
                    }
                }
            } else if seen_last != Some(wd) {
                seen_last = Some(wd);
                changed.extend(self.ids.get(&wd).into_iter().flatten());
            }
        }
        if anything {
            return Ok(Wake::Anything);
        }
        changed.sort_unstable();
        changed.dedup();
        // None changed: the events were of a watch that has been removed since.
        Ok(if changed.is_empty() {
            Wake::Nothing
        } else {
            Wake::Changed(changed)
        })
    }
}

impl Watcher for InotifyWatcher {
    fn add_file(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(&join(dir, name), dir.id(name)?, OF_FILE)
    }

    fn add_dir(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(&join(dir, name), id_of_dir(dir, name)?, OF_DIR)
    }

    fn add_closes(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(&join(dir, name), id_of_dir(dir, name)?, OF_CLOSES)
    }

    fn remove(&mut self, id: WatchId) {
        self.unseen.retain(|&unseen| unseen != id);
        let Some(wd) = self.descriptors.remove(&id) else {
            return;
        };
        let Some(ids) = self.ids.get_mut(&wd) else {
            return;
        };
        ids.retain(|&other| other != id);
        if ids.is_empty() {
            self.ids.remove(&wd);
            // Fails only if the kernel has ended it already.
            let _ = inotify::remove_watch(&self.fd, wd);
        }
    }

    fn readable(&self) -> Option<Arc<OwnedFd>> {
        Some(Arc::clone(&self.fd))
    }

    fn is_blind(&self) -> bool {
        !self.unseen.is_empty()
    }

    fn wait(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Wake> {
        let blind = !self.unseen.is_empty();
        let timeout = if blind {
            timeout.min(POLL_PERIOD)
        } else {
            timeout
        };
        match wait_for(Some(self.fd.as_fd()), wake, timeout)? {
            Polled::Watched if blind => self.drain().map(|_| Wake::Anything),
            Polled::Watched => self.drain(),
            Polled::Late if blind => Ok(Wake::Anything),
            Polled::Wake | Polled::Late => Ok(Wake::Nothing),
        }
    }
}

fn id_of_dir(dir: &dyn Dir, name: &str) -> io::Result<FileId> {
    if name == "." {
        dir.own_id()
    } else {
        dir.id(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_the_kernel_has_no_room_for_is_polled() {
        let mut watcher = InotifyWatcher::new().unwrap();
        let long = Duration::from_secs(30);
        watcher.unseen.push(7);
        assert_eq!(watcher.wait(long, None).unwrap(), Wake::Anything);
        watcher.remove(7);
        assert_eq!(watcher.wait(Duration::ZERO, None).unwrap(), Wake::Nothing);
    }
}
