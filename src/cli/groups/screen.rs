//! The full-screen terminal: it is restored however the program ends.
//!
//! 1. Output goes to the alternate screen, so that the scrollback stays as it was.
//! 2. Keys arrive at once and without echo. Ctrl-C and Ctrl-Z are read as keys too: the terminal is
//!    restored first, then the process group gets the usual signal. So a second Ctrl-C cannot
//!    arrive before the first has taken effect.
//! 3. Dropping the value restores everything.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::cli::stdout::{self, Stdout};
use crate::error::{Error, Result};

const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// `_POSIX_VDISABLE` on Linux: disables a special key.
const NO_KEY: u8 = 0;
const CTRL_C: u8 = 0x03;
const CTRL_Z: u8 = 0x1a;

/// The terminal in full-screen mode.
#[derive(Debug)]
pub struct Screen {
    keys: Option<Termios>,
    resized: UnixStream,
    handler: signal_hook::SigId,
    shown: bool,
}

/// A command that the user gave by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCommand {
    /// No command.
    None,
    /// Draw everything again.
    Redraw,
    /// End.
    Quit,
    /// End as by Ctrl-C.
    Interrupt,
    /// Stop as by Ctrl-Z.
    Suspend,
}

impl Screen {
    /// Takes the terminal of standard output and, if it is one, of standard input.
    ///
    /// # Errors
    /// The terminal's.
    pub fn take() -> Result<Self> {
        let error = |e| Error::io("take over", "the terminal", e);
        let (resized, resized_by) = UnixStream::pair().map_err(error)?;
        resized.set_nonblocking(true).map_err(error)?;
        let winch = signal_hook::consts::signal::SIGWINCH;
        let handler = signal_hook::low_level::pipe::register(winch, resized_by).map_err(error)?;
        let stdin = std::io::stdin();
        let keys = if stdin.is_terminal() {
            Some(tcgetattr(&stdin).map_err(|e| error(e.into()))?)
        } else {
            None
        };
        let mut screen = Screen {
            keys,
            resized,
            handler,
            shown: false,
        };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> Result<()> {
        if let Some(before) = &self.keys {
            let mut now = before.clone();
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            now.special_codes[SpecialCodeIndex::VINTR] = NO_KEY;
            now.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
            now.special_codes[SpecialCodeIndex::VMIN] = 1;
            now.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(std::io::stdin(), OptionalActions::Now, &now)
                .map_err(|e| Error::io("set", "the terminal", e.into()))?;
        }
        self.shown = true;
        write(ENTER)
    }

    fn leave(&mut self) {
        if !std::mem::take(&mut self.shown) {
            return;
        }
        // A terminal that is gone needs no restoring.
        let _ = write(LEAVE);
        if let Some(before) = &self.keys {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }

    /// Restores the terminal and signals the job as Ctrl-C does.
    pub fn interrupt(&mut self) {
        self.leave();
        // If the signal is refused, this process still ends.
        let _ = kill_current_process_group(Signal::INT);
    }

    /// Restores the terminal, stops the job as Ctrl-Z does, and goes on when it is continued.
    ///
    /// # Errors
    /// The terminal's.
    pub fn suspend(&mut self) -> Result<()> {
        self.leave();
        // If the signal is refused, the process goes on at once.
        let _ = kill_current_process_group(Signal::STOP);
        self.enter()
    }

    /// The terminal's columns and rows.
    pub fn size() -> (u16, u16) {
        let known = stdout::size().filter(|(columns, rows)| *columns > 0 && *rows > 0);
        known.unwrap_or((80, 24))
    }

    /// Shows these lines and nothing else, in one write to avoid flicker. The lines fit the
    /// terminal, and contain nothing that moves the cursor.
    ///
    /// # Errors
    /// The terminal's.
    pub fn show<'a>(lines: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut text = b"\x1b[H".to_vec();
        for (at, line) in lines.enumerate() {
            if at > 0 {
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(b"\x1b[K");
        }
        text.extend_from_slice(b"\x1b[J");
        write(&text)
    }

    /// Waits for a key, a new size, `wake`, or the timeout.
    ///
    /// # Errors
    /// The terminal's.
    pub fn wait(&self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> Result<KeyCommand> {
        let stdin = std::io::stdin();
        let polled = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![polled(self.resized.as_fd())];
        let keys_at = self.keys.as_ref().map(|_| fds.len());
        if keys_at.is_some() {
            fds.push(polled(stdin.as_fd()));
        }
        fds.extend(wake.map(polled));
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        if poll(&mut fds, Some(&timeout)).unwrap_or(0) == 0 {
            return Ok(KeyCommand::None);
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        if keys_at.is_some_and(ready) {
            let mut keys = [0; 64];
            let read = rustix::io::read(&stdin, &mut keys);
            return Ok(match read {
                Ok(0) => KeyCommand::Quit,
                Ok(read) => reason(keys.get(..read).unwrap_or_default()),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => KeyCommand::None,
                Err(_) => KeyCommand::Quit,
            });
        }
        if ready(0) {
            let mut bytes = [0; 64];
            while matches!(rustix::io::read(&self.resized, &mut bytes), Ok(read) if read > 0) {}
            return Ok(KeyCommand::Redraw);
        }
        Ok(KeyCommand::None)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
        signal_hook::low_level::unregister(self.handler);
    }
}

fn reason(keys: &[u8]) -> KeyCommand {
    let mut reason = KeyCommand::None;
    for key in keys {
        reason = match key {
            b'q' | b'Q' => return KeyCommand::Quit,
            &CTRL_C => return KeyCommand::Interrupt,
            &CTRL_Z => return KeyCommand::Suspend,
            // Ctrl-L and space redraw, as in other programs.
            0x0c | b' ' => KeyCommand::Redraw,
            _ => reason,
        };
    }
    reason
}

fn write(bytes: &[u8]) -> Result<()> {
    Stdout::default().print(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (keys, wanted) in [
            (&b""[..], KeyCommand::None),
            (b"x", KeyCommand::None),
            (b"xq", KeyCommand::Quit),
            (b"Q", KeyCommand::Quit),
            (b" x", KeyCommand::Redraw),
            (b"\x0c", KeyCommand::Redraw),
            (b"\x1a", KeyCommand::Suspend),
            (b"\x03\x03", KeyCommand::Interrupt),
            // An arrow key is no command.
            (b"\x1b[A", KeyCommand::None),
        ] {
            assert_eq!(reason(keys), wanted, "{keys:?}");
        }
    }
}
