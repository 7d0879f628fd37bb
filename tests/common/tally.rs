//! How many cases a test binary ran: the last test to end prints it.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

static CASES: AtomicUsize = AtomicUsize::new(0);
static FAILURES: AtomicUsize = AtomicUsize::new(0);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One test, from its beginning to its end.
pub struct Tally;

impl Tally {
    pub fn start() -> Tally {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Tally
    }

    /// Counts a case of any test.
    pub fn case() {
        CASES.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if std::thread::panicking() {
            FAILURES.fetch_add(1, Ordering::SeqCst);
        }
        if RUNNING.fetch_sub(1, Ordering::SeqCst) == 1 {
            let (cases, failures) = (
                CASES.load(Ordering::SeqCst),
                FAILURES.load(Ordering::SeqCst),
            );
            // The test harness captures what macros print; this goes past it.
            let mut out = std::io::stdout();
            let _ = writeln!(out, "\n{}: {cases} cases, {failures} failures", name());
        }
    }
}

/// The test binary's name, without the hash that cargo gives it.
fn name() -> String {
    let exe = std::env::current_exe().ok();
    let stem = exe
        .as_deref()
        .and_then(|exe| exe.file_stem())
        .map(|stem| stem.to_string_lossy());
    let stem = stem.unwrap_or_default();
    stem.rsplit_once('-')
        .map_or(stem.as_ref(), |(name, _)| name)
        .to_owned()
}
