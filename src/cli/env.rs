//! A tool's environment: the store's place, standard input and output, signals, clock.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, poll};

use super::Outcome;
use super::exit::weightier;
use super::lang::Now;
use super::progress::ProgressDisplay;
use super::signals::Signals;
use super::stdout::{self, Stdout};
use crate::client::StoreDir;
use crate::client::stores::sharing_cure;
use crate::clock::{Clock, SystemClock};
use crate::disk::OsDisk;
use crate::error::{Error, Kind, Result};
use crate::types::Timestamp;

/// The environment of one run.
#[derive(Debug)]
pub struct Env {
    tool: &'static str,
    store: Option<PathBuf>,
    quiet: bool,
    color: bool,
    signals: Signals,
    stdout: Stdout,
    clock: Arc<SystemClock>,
    progress: ProgressDisplay,
    observed: AtomicBool,
    opened: OnceLock<Arc<StoreDir>>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    worst: Option<Kind>,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Env {
    /// Reads the environment. `store`: the value of `--store`.
    pub fn new(
        tool: &'static str,
        store: Option<PathBuf>,
        quiet: bool,
        color: Color,
        signals: Signals,
    ) -> Self {
        let stdout_is_terminal = stdout::is_terminal();
        let stderr_is_terminal = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stdout_is_terminal && !no_color,
        };
        Env {
            tool,
            store,
            quiet,
            color,
            stdout: Stdout::new(signals.writes()),
            signals,
            clock: Arc::new(SystemClock::default()),
            progress: ProgressDisplay::off(),
            observed: AtomicBool::new(false),
            opened: OnceLock::new(),
            stdout_is_terminal,
            stderr_is_terminal,
            worst: None,
        }
    }

    /// Reports one failure among several; the run goes on.
    pub fn complain(&self, e: &Error) {
        let cured = self.cure_of_sharing(e).map(|cure| e.clone().cure(cure));
        let e = cured.as_ref().unwrap_or(e);
        self.progress.suspend(|| super::report::error(self.tool, e));
    }

    /// Advice for a user who may not use a file of a store that belongs to a Unix group.
    fn cure_of_sharing(&self, e: &Error) -> Option<String> {
        let is_denied = |e: &std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied;
        let store = self.opened.get()?;
        if !e.io_source().is_some_and(is_denied) {
            return None;
        }
        let group = store.unix_group().ok()??;
        let reported = e.to_string();
        let mut places = vec![store.path().to_owned()];
        for broker in store.brokers().unwrap_or_default() {
            let file = store.broker_file(broker).ok();
            places.extend(file.and_then(|file| file.log_dir).map(PathBuf::from));
        }
        let is_within = |place: &PathBuf| {
            let place = place.display().to_string();
            let mut behind = reported.split(&place).skip(1);
            behind.any(|rest| rest.starts_with(['/', ':', ' ']))
        };
        places.iter().any(is_within).then(|| sharing_cure(&group))
    }

    /// Reports a failure after which the run goes on, and remembers it for the run's outcome.
    pub fn fail(&mut self, e: &Error) {
        self.complain(e);
        let worst = self.worst.map(|worst| weightier(worst, e.kind()));
        self.worst = Some(worst.unwrap_or_else(|| e.kind()));
    }

    /// Whether the run went on after a failure.
    pub fn has_failed(&self) -> bool {
        self.worst.is_some()
    }

    /// The outcome of the run, with the failures after which it went on.
    pub fn with_failures(&self, outcome: Outcome) -> Outcome {
        self.worst.map_or(outcome, Outcome::Failed)
    }

    /// The store's path: `--store`, `$MQ_STORE`, `$XDG_DATA_HOME/mq`, `~/.local/share/mq`.
    ///
    /// # Errors
    /// [`Kind::Usage`] if none of them is set.
    pub fn store_path(&self) -> Result<PathBuf> {
        store_path(self.store.clone())
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`Kind::NoStore`], with the path; [`Kind::UnusableStore`].
    pub fn open_store(&self) -> Result<Arc<StoreDir>> {
        self.with_store(|disk, clock, path| StoreDir::open(disk, clock, path))
    }

    /// Opens the store, and creates a missing one.
    pub fn open_or_create_store(&self) -> Result<Arc<StoreDir>> {
        self.with_store(|disk, clock, path| StoreDir::open_or_create(disk, clock, path))
    }

    /// As [`Env::open_or_create_store`], and notes that a missing store was created.
    pub fn open_or_note_new_store(&self) -> Result<Arc<StoreDir>> {
        let there =
            self.with_store(|disk, clock, path| StoreDir::open_for_changes(disk, clock, path));
        match there {
            Err(e) if e.kind() == Kind::NoStore => {}
            opened => return opened,
        }
        let store = self.open_or_create_store()?;
        self.note(&format!("created the store {}", store.path().display()));
        Ok(store)
    }

    /// Lets a signal end a change that creates many files; these are removed then.
    pub fn end_changes_by_signal(&self, store: &StoreDir) {
        let stop = self.signals.stop_flag();
        store.stopped_by(move || stop.is_raised());
    }

    /// Whether there is a store, usable or not.
    ///
    /// # Errors
    /// As [`Env::store_path`].
    pub fn is_store_there(&self) -> Result<bool> {
        let clock = Arc::clone(&self.clock);
        let opened = StoreDir::open(Arc::new(OsDisk), clock, &self.store_path()?);
        Ok(!opened.is_err_and(|e| e.kind() == Kind::NoStore))
    }

    /// Calls `observe`, which reads the store: later errors are not usage errors.
    pub(super) fn observing<T>(
        &self,
        observe: impl FnOnce(Arc<OsDisk>, Arc<SystemClock>) -> Result<T>,
    ) -> Result<T> {
        self.observed.store(true, Ordering::Relaxed);
        observe(Arc::new(OsDisk), Arc::clone(&self.clock))
    }

    /// Opens a store at a path that was given.
    pub(super) fn with_store(
        &self,
        open: impl FnOnce(Arc<OsDisk>, Arc<SystemClock>, &Path) -> Result<StoreDir>,
    ) -> Result<Arc<StoreDir>> {
        let path = self.store_path()?;
        self.observed.store(true, Ordering::Relaxed);
        let store = Arc::new(open(Arc::new(OsDisk), Arc::clone(&self.clock), &path)?);
        for warning in store.warnings() {
            self.warn(warning);
        }
        Ok(Arc::clone(self.opened.get_or_init(|| store)))
    }

    /// Warns of data that recoveries cut off since the last call.
    pub fn notify_cuts(&self) {
        let Some(store) = self.opened.get() else {
            return;
        };
        for (tp, cut) in store.take_cuts() {
            self.warn(&format!("{tp}: {cut}"));
        }
        for note in store.take_notes() {
            self.warn(&note);
        }
    }

    /// Standard output.
    pub fn stdout(&self) -> Stdout {
        self.stdout.clone()
    }

    /// The error where consent was neither given nor can be asked for. It is one of the command
    /// line, though it is found only once the store shows that there is something to change.
    pub fn unasked(&self, what: &str) -> Error {
        self.observed.store(false, Ordering::Relaxed);
        unasked(what)
    }

    /// Whether the store was read: later errors are not usage errors.
    pub fn has_observed(&self) -> bool {
        self.observed.load(Ordering::Relaxed)
    }

    /// Prints a note. --quiet silences it.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    /// Writes a line to stderr, above a progress bar.
    pub fn say(&self, text: &str) {
        let text = super::report::plain(text, self.stderr_is_terminal);
        self.progress.suspend(|| {
            // Where stderr is gone, the failure cannot be reported.
            let _ = writeln!(std::io::stderr().lock(), "{}: {text}", self.tool);
        });
    }

    /// Writes a question to stderr; the answer comes on the same line.
    pub fn prompt(&self, text: &str) {
        let text = super::report::plain(text, self.stderr_is_terminal);
        // Where stderr is gone, the failure cannot be reported.
        let _ = write!(std::io::stderr().lock(), "{}: {text}", self.tool);
    }

    /// Ends the line of a question that got no answer.
    pub fn end_line(&self) {
        // Where stderr is gone, the failure cannot be reported.
        let _ = writeln!(std::io::stderr().lock());
    }

    /// Waits until standard input can be read. `false`: a signal asked to stop.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn await_stdin(&self) -> Result<bool> {
        let stdin = std::io::stdin();
        let mut fds = vec![PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        fds.extend(
            self.wake_fd()
                .map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)),
        );
        loop {
            if self.stopping() {
                return Ok(false);
            }
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::io("wait for", "standard input", e.into())),
                Ok(_) if fds.first().is_some_and(|fd| !fd.revents().is_empty()) => {
                    return Ok(true);
                }
                Ok(_) => {}
            }
        }
    }

    /// The tool's name.
    pub fn tool(&self) -> &'static str {
        self.tool
    }

    /// Whether notes and progress are silenced.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether output is coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Whether stdout is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether the user can be asked: stdin is a terminal.
    pub fn stdin_is_terminal(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// Whether stderr is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Whether a signal asked to stop.
    pub fn stopping(&self) -> bool {
        self.signals.stopping().is_some()
    }

    /// The signals.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Readable once a signal asked to stop.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.signals.wake_fd()
    }

    /// Sleeps until a signal, the waker of [`Signals::waker`], or the timeout.
    pub fn wait_woken(&self, max_wait: Duration) {
        let Some(wake) = self.wake_fd() else {
            return self.sleep(max_wait);
        };
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(
            wake,
            rustix::event::PollFlags::IN,
        )];
        let timeout = rustix::event::Timespec {
            tv_sec: max_wait.as_secs().min(86_400) as _,
            tv_nsec: max_wait.subsec_nanos().into(),
        };
        // An interrupted wait is a short one: the caller checks its condition again.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        self.signals.drain();
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<SystemClock>::clone(&self.clock)
    }

    /// The wall clock, ms.
    pub fn now_ms(&self) -> Timestamp {
        self.clock.now_ms()
    }

    /// What times without a date or a zone refer to.
    pub fn now(&self) -> Now {
        Now {
            now_ms: self.clock.now_ms(),
            zone: local_zone(),
        }
    }

    /// Monotonic time.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Sleeps.
    pub fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration);
    }

    /// Shows progress from now on, if stderr is a terminal and the data does not go there. `bytes`:
    /// how many there are, if known.
    pub fn progress_source(&mut self, bytes: Option<u64>, data_on_terminal: bool) {
        if !self.quiet && self.stderr_is_terminal && !data_on_terminal {
            self.progress = ProgressDisplay::on(bytes);
        }
    }

    /// Adds to the bytes, and sets the records so far.
    pub fn progress(&mut self, bytes: u64, records: u64) {
        self.progress.advance(bytes, records);
    }

    /// Shows the progress of a wait, if stderr is a terminal.
    pub fn progress_text(&mut self, text: &str) {
        if self.quiet || !self.stderr_is_terminal {
            return;
        }
        if !self.progress.is_on() {
            self.progress = ProgressDisplay::text();
        }
        self.progress.say(&super::report::plain(text, true));
    }

    /// Shows how many of how many bytes are done, and of what, if stderr is a terminal.
    pub fn progress_of(&mut self, done: u64, all: u64, what: &str) {
        if self.quiet || !self.stderr_is_terminal {
            return;
        }
        if !self.progress.is_on() {
            self.progress = ProgressDisplay::on(Some(all));
        }
        let what = super::report::plain(what, true);
        self.progress.set(done, all, &what);
    }

    /// Removes the progress display.
    pub fn progress_done(&mut self) {
        self.progress.done();
    }
}

/// The store's path, for a given value of `--store`: see [`Env::store_path`].
///
/// # Errors
/// [`Kind::Usage`] if none is set.
pub(super) fn store_path(given: Option<PathBuf>) -> Result<PathBuf> {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let path = given
        .or_else(|| named("MQ_STORE"))
        .or_else(|| named("XDG_DATA_HOME").map(|data| data.join("mq")))
        .or_else(|| named("HOME").map(|home| home.join(".local/share/mq")))
        .ok_or_else(|| {
            Error::new(
                Kind::Usage,
                "where is the store? neither MQ_STORE nor HOME is set",
            )
            .cure("name it with --store DIR")
        })?;
    std::path::absolute(&path).map_err(|e| Error::io("find", path, e))
}

/// The local time zone: that of `TZ`, else of `/etc/localtime`. The latter is parsed directly,
/// since finding its name among all zones takes longer than a whole run of these tools.
pub fn local_zone() -> TimeZone {
    if std::env::var_os("TZ").is_none()
        && let Ok(rules) = std::fs::read("/etc/localtime")
        && let Ok(zone) = TimeZone::tzif("Local", &rules)
    {
        return zone;
    }
    TimeZone::system()
}

/// The error where consent was neither given nor can be asked for.
pub fn unasked(what: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("{what} must be confirmed, and standard input is not a terminal"),
    )
    .cure("add --yes, or look at the plan with --dry-run")
}
