//! Waits for one of several descriptors.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// There are changes of what is watched.
    Watched,
    /// The wake descriptor is readable, or a signal came.
    Wake,
    /// The timeout passed.
    Late,
}

/// Sleeps until one of the descriptors is readable, a signal comes or the timeout passes.
pub(crate) fn wait_for(
    watched: Option<BorrowedFd<'_>>,
    wake: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<Polled> {
    // Longer than a day is as good as forever, and fits every system's time.
    let timeout = timeout.min(Duration::from_secs(86_400));
    let timeout = Timespec {
        tv_sec: timeout.as_secs() as _,
        tv_nsec: timeout.subsec_nanos().into(),
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
        Ok((true, _)) => Ok(Polled::Watched),
        Ok((false, true)) | Err(Errno::INTR) => Ok(Polled::Wake),
        Ok((false, false)) => Ok(Polled::Late),
        Err(error) => Err(error.into()),
    }
}

/// A compromise of delay and load: fifty polls a second.
pub(crate) const POLL_PERIOD: Duration = Duration::from_millis(20);
