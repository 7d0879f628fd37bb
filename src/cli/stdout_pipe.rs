//! The pipe on standard output, if it is one.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::FileType;

/// Bytes in the pipe that its reader has not taken; `None` if it is no pipe. Linux answers this on
/// the write end, even after the reader is gone.
pub fn unread() -> Option<u64> {
    let stdout = io::stdout();
    if file_type(&stdout) != Some(FileType::Fifo) {
        return None;
    }
    rustix::io::ioctl_fionread(&stdout).ok()
}

/// Whether it is a pipe or a socket whose reader is gone: who writes seldom would learn it late, or
/// never.
pub fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    if !matches!(file_type(&stdout), Some(FileType::Fifo | FileType::Socket)) {
        return false;
    }
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
        stdout.as_fd(),
        rustix::event::PollFlags::empty(),
    )];
    let zero = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&zero)).is_ok()
        && fds.iter().any(|fd| {
            fd.revents()
                .intersects(rustix::event::PollFlags::ERR | rustix::event::PollFlags::HUP)
        })
}

fn file_type(stdout: &io::Stdout) -> Option<FileType> {
    let stat = rustix::fs::fstat(stdout).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
