//! Waiting for change: the kernel's word where it can be had, else looking again and again.
//!
//! A watch tells only that it may be worth looking. Nothing depends on its being right: who is
//! woken reads the page, and who sleeps too long loses time and nothing else.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::{Dir, Disk, Wake, WatchId, Watcher};
use ready::{POLL_PERIOD, Ready, wait_for};

mod inotify;
#[cfg(target_os = "linux")]
mod ready;
mod shared;

pub use shared::SharedWatcher;

/// The best watcher that `disk` can give: one that polls if it has no other.
pub fn new_watcher(disk: &dyn Disk) -> Box<dyn Watcher> {
    disk.watcher()
        .unwrap_or_else(|_| Box::new(PollWatcher::default()))
}

/// A watcher that cannot tell: it sleeps for a period and answers [`Wake::Anything`].
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
    /// A watcher that looks once in each `period`.
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
            Ready::Wake => Wake::Nothing,
            Ready::Watched | Ready::Late => Wake::Anything,
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
