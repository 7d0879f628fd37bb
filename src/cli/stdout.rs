//! Standard output: the one way that data leaves a tool.
//!
//! 1. A signal waits for no reader: a write that is blocked after a signal ends the process
//!    (`Writes`), or is given up if the caller needs an orderly end.
//! 2. A reader that goes away needs no more output: everything printed from then on counts as
//!    written, and the run goes on to its own exit status. A command that prints much checks
//!    [`Stdout::is_unread`].
//! 3. A closed standard output is `/dev/null`, open for reading and writing: the standard library
//!    opens it. Users that discard output open `/dev/null` for writing only.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::signals::{StopFlag, Writes};
use crate::error::{Error, Result};

/// The most bytes that a pipe takes without blocking once poll reports room (PIPE_BUF).
const PAGE_BYTES: usize = 4096;
/// The longest wait for room before other conditions are checked again.
const POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Standard output, for code that prints.
#[derive(Debug, Clone, Default)]
pub struct Stdout {
    writes: Writes,
    unread: Arc<AtomicBool>,
}

impl Stdout {
    /// For a run whose signals watch such `writes`.
    pub fn new(writes: Writes) -> Self {
        Stdout {
            writes,
            unread: Arc::default(),
        }
    }

    /// Whether its reader went away.
    pub fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub fn print(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.write_all(bytes);
        written.map_err(failed)
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_unread() {
            return Ok(bytes.len());
        }
        match self.writes.make(|| write_some(bytes)) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.unread.store(true, Ordering::Relaxed);
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error for a failed write.
pub fn failed(e: io::Error) -> Error {
    let is_io = e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    let error = Error::io("write to", "standard output", e);
    if is_io && kind() == StdoutKind::Device {
        // A terminal that was closed or disconnected fails with this error; it does not concern a
        // disk.
        return error.cure("the terminal is gone: run it again in another one, or into a file");
    }
    error
}

/// The type of standard output, as far as it decides when output counts as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutKind {
    /// Closed when this process began.
    Closed,
    /// A pipe: it is known how much the reader took.
    Pipe,
    /// A socket: it is unknown how much the peer took.
    Socket,
    /// A file on a disk.
    File,
    /// A terminal, or another device.
    Device,
}

/// The type of standard output.
pub fn kind() -> StdoutKind {
    let stdout = io::stdout();
    let Ok(stat) = rustix::fs::fstat(&stdout) else {
        return StdoutKind::Closed;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => StdoutKind::Pipe,
        FileType::Socket => StdoutKind::Socket,
        FileType::RegularFile => StdoutKind::File,
        FileType::CharacterDevice if is_stand_in(&stdout, stat.st_rdev) => StdoutKind::Closed,
        _ => StdoutKind::Device,
    }
}

fn is_stand_in(stdout: &io::Stdout, device: rustix::fs::Dev) -> bool {
    let is_null = rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == device);
    let flags = rustix::fs::fcntl_getfl(stdout);
    is_null && flags.is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR)
}

/// Whether it is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns and rows, if it is a terminal that knows them.
pub fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Bytes in the pipe that its reader has not taken; `None` if it is not a pipe. Linux answers this
/// on the write end, even after the reader is gone.
pub fn unread() -> Option<u64> {
    if kind() != StdoutKind::Pipe {
        return None;
    }
    rustix::io::ioctl_fionread(io::stdout()).ok()
}

/// Whether it is a pipe or a socket whose reader is gone. A process that writes seldom would
/// otherwise notice this late or never.
pub fn reader_is_gone() -> bool {
    if !matches!(kind(), StdoutKind::Pipe | StdoutKind::Socket) {
        return false;
    }
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    poll(&mut fds, Some(&AT_ONCE)).is_ok()
        && fds
            .iter()
            .any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Writes without the standard library's line buffer; `gone` counts the written bytes.
pub fn write_all(mut bytes: &[u8], gone: &AtomicU64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = write_some(bytes)?;
        gone.fetch_add(written as u64, Ordering::Release);
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn write_some(bytes: &[u8]) -> io::Result<usize> {
    let stdout = io::stdout();
    loop {
        match rustix::io::write(&stdout, bytes) {
            Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            // Another process that shares the output made it non-blocking.
            Err(Errno::AGAIN) => {
                wait_writable()?;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// The same, page by page, so that no write blocks; `Interrupted` if `stop` is raised and there is
/// no room. `ends` are the ends of the records, ascending: a page ends with a record if possible.
pub fn write_in_pages(
    bytes: &[u8],
    ends: &[usize],
    gone: &AtomicU64,
    stop: &StopFlag,
) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let next = page_end(at, bytes.len(), ends);
        while !wait_writable()? {
            if stop.is_raised() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        write_all(bytes.get(at..next).unwrap_or_default(), gone)?;
        at = next;
    }
    Ok(())
}

/// Where a page that begins at `at` ends: with the last record that ends in it, if there is one.
fn page_end(at: usize, len: usize, ends: &[usize]) -> usize {
    let most = len.min(at + PAGE_BYTES);
    let fit = ends.partition_point(|end| *end <= most);
    match fit.checked_sub(1).and_then(|last| ends.get(last)) {
        Some(end) if *end > at => *end,
        _ => most,
    }
}

/// Waits for a while; returns whether there is room, or an error that the write will report.
fn wait_writable() -> io::Result<bool> {
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::OUT)];
    match poll(&mut fds, Some(&POLL)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_with_records_where_they_can() {
        let ends = [10, 4000, 4100, 9000, 9010];
        let pages = |len| {
            let mut at = 0;
            std::iter::from_fn(|| {
                (at < len).then(|| {
                    at = page_end(at, len, &ends);
                    at
                })
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(pages(9010), [4000, 4100, 8196, 9010]);
        assert_eq!(pages(5), [5]);
        assert_eq!(page_end(0, 9000, &[]), PAGE_BYTES);
    }
}
