//! Waits for changes: by the kernel's notices if possible, else by polling.
//!
//! A watch only gives hints. No result depends on them: a process that is woken reads the page, and
//! one that sleeps too long only loses time.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::{Dir, Disk, Wake, WatchId, Watcher};
use poll::{POLL_PERIOD, Polled, wait_for};

mod inotify;
#[cfg(target_os = "linux")]
mod poll;
mod shared;

pub use shared::SharedWatcher;

/// The best watcher of `disk`: one that polls if it has no other.
pub fn new_watcher(disk: &dyn Disk) -> Box<dyn Watcher> {
    disk.watcher()
        .unwrap_or_else(|_| Box::new(PollWatcher::default()))
}

/// A watcher without notices: it sleeps for a period and returns [`Wake::Anything`].
#[derive(Debug)]
pub struct PollWatcher {
    period: Duration,
    next: WatchId,
}

impl Default for PollWatcher {
    fn default() -> Self {
        PollWatcher::new(POLL_PERIOD)
    }
}

impl PollWatcher {
    /// A watcher that wakes once in each `period`.
    pub fn new(period: Duration) -> PollWatcher {
        PollWatcher { period, next: 0 }
    }
}

impl Watcher for PollWatcher {
    fn add_file(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add_dir(dir, name)
    }

    fn add_dir(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        if name == "." {
            dir.own_id()?;
        } else {
            dir.id(name)?;
        }
        self.next += 1;
        Ok(self.next)
    }

    fn remove(&mut self, _id: WatchId) {}

    fn wait(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Wake> {
        Ok(match wait_for(None, wake, timeout.min(self.period))? {
            Polled::Wake => Wake::Nothing,
            Polled::Watched | Polled::Late => Wake::Anything,
        })
    }
}

#[cfg(target_os = "linux")]
pub(super) fn kernel_watcher() -> io::Result<Box<dyn Watcher>> {
    Ok(Box::new(inotify::InotifyWatcher::new()?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kernel_watcher() -> io::Result<Box<dyn Watcher>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
