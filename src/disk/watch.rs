//! Waiting for change: the kernel's word where it can be had, else looking again and again.
//!
//! A watch tells only that it may be worth looking. Nothing depends on its being right: who is
//! woken reads the page, and who sleeps too long loses time and nothing else.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Dir, Disk, Wake, WatchId, Watcher};

#[cfg(target_os = "linux")]
mod inotify;
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

/// A compromise of delay and load: fifty looks a second.
const POLL_PERIOD: Duration = Duration::from_millis(20);

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// There is news of what is watched.
    Watched,
    /// The wake descriptor is readable, or a signal came.
    Wake,
    /// The time is up.
    Late,
}

/// Sleeps until one of the descriptors is readable, a signal comes or the time is up.
fn wait_for(
    watched: Option<BorrowedFd<'_>>,
    wake: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<Ready> {
    // Longer than a day is as good as for ever, and fits every system's time.
    let timeout = timeout.min(Duration::from_secs(86_400));
    let timeout = Timespec {
        tv_sec: timeout.as_secs() as _,
        tv_nsec: timeout.subsec_nanos() as _,
    };
    let polled = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let ready = match (watched, wake) {
        (Some(watched), Some(wake)) => {
            let mut fds = [polled(watched), polled(wake)];
            poll(&mut fds, Some(&timeout)).map(|_| {
                let [watched, wake] = &fds;
                (!watched.revents().is_empty(), !wake.revents().is_empty())
            })
        }
        (Some(watched), None) => {
            let mut fds = [polled(watched)];
            poll(&mut fds, Some(&timeout)).map(|ready| (ready > 0, false))
        }
        (None, Some(wake)) => {
            let mut fds = [polled(wake)];
            poll(&mut fds, Some(&timeout)).map(|ready| (false, ready > 0))
        }
        (None, None) => poll(&mut [], Some(&timeout)).map(|_| (false, false)),
    };
    match ready {
        Ok((true, _)) => Ok(Ready::Watched),
        Ok((false, true)) | Err(Errno::INTR) => Ok(Ready::Wake),
        Ok((false, false)) => Ok(Ready::Late),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
