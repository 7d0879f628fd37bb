//! Signals: the first asks to stop, the second ends at once; Ctrl-Z takes effect once no lock is
//! held.
//!
//! If a job needs no orderly end, the first signal ends it as soon as no lock is held, wherever the
//! program is ([`Signals::end_by_first`]).

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};

use crate::client::stores;

/// A write that takes this long after a signal asked to stop has no active reader.
const STUCK: Duration = Duration::from_millis(200);
/// How long a job that the first signal ends may take to report this.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What signals have asked for.
#[derive(Debug)]
pub struct Signals {
    which: Arc<AtomicUsize>,
    end_by_first: Arc<AtomicBool>,
    writes: Writes,
    wake: Option<UnixStream>,
    wake_by: Option<Arc<UnixStream>>,
}

/// Is raised once a signal asks to stop.
#[derive(Debug, Clone)]
pub struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// Whether the flag is raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// Writes that may block as long as the reader does not read: a signal does not wait for them.
#[derive(Debug, Clone, Default)]
pub struct Writes(Arc<AtomicU64>);

impl Writes {
    /// Performs such a write.
    pub fn make<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        let outcome = write();
        self.0.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Ends this process by that signal if a write blocks from now on.
    fn die_if_stuck(&self, signal: i32) {
        let mut last = None;
        loop {
            let now = self.0.load(Ordering::Relaxed);
            if now % 2 == 1 && last == Some(now) {
                Signals::die(signal);
            }
            last = Some(now);
            std::thread::park_timeout(STUCK);
        }
    }
}

impl Signals {
    /// Handles INT, TERM, HUP, TSTP and XFSZ. Signals that were ignored when the process began stay
    /// ignored, as `nohup` and `&` in a script intend.
    ///
    /// # Errors
    /// The system's.
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
            // The order matters: the first signal finds the flag down, and only then raises it.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&second))?;
            signal_hook::flag::register(signal, Arc::clone(&second))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&which), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, wake_by.try_clone()?)?;
        }
        // A file that would grow past a limit is an error of that write; it must not end the
        // process.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let writes = Writes::default();
        let end_by_first = Arc::new(AtomicBool::new(false));
        let watched = [SIGTSTP, SIGINT, SIGTERM, SIGHUP];
        let watched: Vec<i32> = watched.into_iter().filter(|s| !ignored.has(*s)).collect();
        if !watched.is_empty() {
            let (which, end_by_first) = (Arc::clone(&which), Arc::clone(&end_by_first));
            watch(&watched, writes.clone(), which, end_by_first)?;
        }
        Ok(Signals {
            which,
            end_by_first,
            writes,
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

    /// `ends`: from now on, the first signal ends this process as soon as no lock is held. Work
    /// that is interrupted is left as a killed process would leave it.
    pub fn end_by_first(&self, ends: bool) {
        self.end_by_first.store(ends, Ordering::SeqCst);
        if let Some(signal) = self.stopping().filter(|_| ends) {
            // The watching thread may have handled the signal before `ends` was set.
            stores::while_unlocked(|| Signals::die(signal));
        }
    }

    /// Readable once a signal has asked to stop.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(AsFd::as_fd)
    }

    /// A flag that is raised once a signal asks to stop.
    pub fn stop_flag(&self) -> StopFlag {
        StopFlag(Arc::clone(&self.which))
    }

    /// For writes that a signal does not wait for.
    pub fn writes(&self) -> Writes {
        self.writes.clone()
    }

    /// Makes [`Signals::wake_fd`] readable, from any thread.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wake_by = self.wake_by.clone();
        move || {
            if let Some(wake_by) = &wake_by {
                // A full socket is readable too.
                let _ = (&**wake_by).write(&[1]);
            }
        }
    }

    /// Makes [`Signals::wake_fd`] unreadable again; [`Signals::stopping`] says whether to stop.
    pub fn drain(&self) {
        let mut drained = [0; 64];
        if let Some(wake) = &self.wake {
            while matches!((&*wake).read(&mut drained), Ok(n) if n == drained.len()) {}
        }
    }

    /// Ends this process by that signal, so that a shell's loop ends too.
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

/// The signals that this process was started with as ignored; none if the system does not say.
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

/// Does on a thread what a signal handler cannot. A suspended process would keep its locks and
/// block all others; a process that is blocked in a write would not notice that it should end.
fn watch(
    watched: &[i32],
    writes: Writes,
    which: Arc<AtomicUsize>,
    end_by_first: Arc<AtomicBool>,
) -> io::Result<()> {
    let end = move |signal| {
        if end_by_first.load(Ordering::SeqCst) {
            std::thread::park_timeout(LAST_WORDS);
            stores::while_unlocked(|| {
                if end_by_first.load(Ordering::SeqCst) {
                    Signals::die(signal);
                }
            });
        }
        writes.die_if_stuck(signal);
    };
    let mut signals = signal_hook::iterator::Signals::new(watched)?;
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            // A signal that came before this thread started.
            let early = which.load(Ordering::Relaxed);
            if early != 0 {
                end(early as i32);
            }
            for signal in &mut signals {
                if signal == SIGTSTP {
                    stores::while_unlocked(|| {
                        let _ = signal_hook::low_level::raise(signal_hook::consts::signal::SIGSTOP);
                    });
                } else {
                    end(signal);
                }
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
