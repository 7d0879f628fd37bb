//! Reads the inputs without delaying a complete record: it distinguishes reads that would block
//! from those that would not.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::job::Source;

/// One open input.
#[derive(Debug)]
pub struct Input {
    file: InputReader,
    name: String,
    plain_file: bool,
}

#[derive(Debug)]
enum InputReader {
    Stdin(io::Stdin),
    File(File),
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputWait {
    /// A read will not block.
    Input,
    /// Timeout, or a signal.
    Nothing,
}

impl Input {
    /// Opens a source.
    pub fn open(source: &Source) -> io::Result<Self> {
        match source {
            Source::Stdin => Ok(Input {
                file: InputReader::Stdin(io::stdin()),
                name: "standard input".to_owned(),
                plain_file: false,
            }),
            Source::File(path) => {
                let file = File::open(path)?;
                let plain_file = file.metadata()?.is_file();
                let name = path.display().to_string();
                Ok(Input {
                    file: InputReader::File(file),
                    name,
                    plain_file,
                })
            }
        }
    }

    /// The input's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the input is typed at a terminal.
    pub fn is_terminal(&self) -> bool {
        match &self.file {
            InputReader::Stdin(stdin) => stdin.is_terminal(),
            InputReader::File(file) => file.is_terminal(),
        }
    }

    /// The length in bytes, if it is known.
    pub fn len_bytes(&self) -> Option<u64> {
        let meta = match &self.file {
            InputReader::File(file) => file.metadata().ok()?,
            InputReader::Stdin(stdin) => {
                let stat = rustix::fs::fstat(stdin).ok()?;
                let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
                return regular.then(|| u64::try_from(stat.st_size).ok()).flatten();
            }
        };
        meta.is_file().then_some(meta.len())
    }

    /// Waits up to `max_wait` (`None`: without limit) until a read will not block, or `wake` is
    /// readable.
    pub fn wait(
        &self,
        max_wait: Option<Duration>,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<InputWait> {
        if self.plain_file {
            return Ok(InputWait::Input);
        }
        let fd = match &self.file {
            InputReader::Stdin(stdin) => stdin.as_fd(),
            InputReader::File(file) => file.as_fd(),
        };
        let mut fds = vec![PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        if let Some(wake) = wake {
            fds.push(PollFd::from_borrowed_fd(wake, PollFlags::IN));
        }
        let timeout = max_wait.map(|max_wait| Timespec {
            tv_sec: max_wait.as_secs() as i64,
            tv_nsec: i64::from(max_wait.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(InputWait::Nothing),
            Err(e) => return Err(e.into()),
        }
        let ready = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        Ok(if ready {
            InputWait::Input
        } else {
            InputWait::Nothing
        })
    }

    /// Reads what is available; 0: the end.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.file {
                // Bypasses the standard library's buffer, whose bytes poll would not see.
                InputReader::Stdin(stdin) => {
                    rustix::io::read(&*stdin, &mut *buf).map_err(io::Error::from)
                }
                InputReader::File(file) => file.read(buf),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
