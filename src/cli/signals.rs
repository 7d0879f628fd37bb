//! Signals: the first asks to stop, the second ends at once; Ctrl-Z waits until no lock is held.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};

use crate::store::gate;

/// What has been asked by signals.
#[derive(Debug)]
pub struct Signals {
    which: Arc<AtomicUsize>,
    wake: Option<UnixStream>,
    wake_by: Option<Arc<UnixStream>>,
}

/// Raised once a signal asked to stop.
#[derive(Debug, Clone)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

impl Signals {
    /// Takes over INT, TERM, HUP, TSTP and XFSZ. What was ignored when the process began stays
    /// so: `nohup`, and `&` in a script, mean it.
    ///
    /// # Errors
    /// The system's, when it refuses.
    pub fn install() -> io::Result<Self> {
        let which = Arc::new(AtomicUsize::new(0));
        let second = Arc::new(AtomicBool::new(false));
        let ignored = ignored_at_start();
        let (wake, wake_by) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        wake_by.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|s| !ignored.has(*s))
        {
            // In this order: the first signal finds the flag down, and only then raises it.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&second))?;
            signal_hook::flag::register(signal, Arc::clone(&second))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&which), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, wake_by.try_clone()?)?;
        }
        // A file that would grow past a limit is an error of that write, not the process's end.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        if !ignored.has(SIGTSTP) {
            put_off_stops()?;
        }
        Ok(Signals {
            which,
            wake: Some(wake),
            wake_by: Some(Arc::new(wake_by)),
        })
    }

    /// The signal that asked to stop.
    pub fn stopping(&self) -> Option<i32> {
        match self.which.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// Readable once a signal asked to stop.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(AsFd::as_fd)
    }

    /// Raised once a signal asked to stop.
    pub fn stop_flag(&self) -> StopFlag {
        StopFlag(Arc::clone(&self.which))
    }

    /// Makes [`Signals::wake_fd`] readable, from any thread.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wake_by = self.wake_by.clone();
        move || {
            if let Some(wake_by) = &wake_by {
                // A full socket wakes as well.
                let _ = (&**wake_by).write(&[1]);
            }
        }
    }

    /// Takes what made [`Signals::wake_fd`] readable. Who stops is told by [`Signals::stopping`].
    pub fn drain(&self) {
        let mut drained = [0; 64];
        if let Some(wake) = &self.wake {
            while matches!((&*wake).read(&mut drained), Ok(n) if n == drained.len()) {}
        }
    }

    /// Ends this process by that signal, so that a shell's loop ends with it.
    pub fn die(signal: i32) {
        // If the system refuses, the caller's exit status says the same.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// A set of signals, as the kernel shows it: bit `n - 1` for signal `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SignalSet(u64);

impl SignalSet {
    fn has(self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.0 & (1 << (signal - 1)) != 0
    }
}

/// The signals that this process was told to ignore; none where the system does not say.
fn ignored_at_start() -> SignalSet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_ignored(&status)
}

/// The line `SigIgn:` of a process's status: 16 hexadecimal digits (`proc_pid_status(5)`).
fn parse_ignored(status: &str) -> SignalSet {
    let digits = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap_or_default();
    SignalSet(u64::from_str_radix(digits.trim(), 16).unwrap_or(0))
}

/// A process that is stopped keeps its locks, and everyone else waits for it.
fn put_off_stops() -> io::Result<()> {
    let mut stops = signal_hook::iterator::Signals::new([SIGTSTP])?;
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            for _ in &mut stops {
                gate::while_unlocked(|| {
                    let _ = signal_hook::low_level::raise(signal_hook::consts::signal::SIGSTOP);
                });
            }
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_is_read_from_the_status() {
        let set = parse_ignored("Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001001\n");
        assert_eq!(set, SignalSet(0x1001));
        assert!(set.has(SIGHUP));
        assert!(!set.has(SIGINT));
        assert!(!set.has(0) && !set.has(65));
        assert_eq!(parse_ignored(""), SignalSet(0));
    }
}
