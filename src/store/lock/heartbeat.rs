//! Heartbeats of locks that are held long: they tell a slow disk from a stopped process.
//!
//! 1. The holder of a lock has a counter at a fixed place of the lock's file, in 20 digits. While a
//!    [`Heartbeat`] exists, its own thread raises that counter every 100 ms, once the lock was held
//!    for about 100 ms. A shorter critical section costs no thread and no write.
//! 2. Each lock has its thread: a heartbeat is itself a write, and a file system that delays it
//!    must not delay another lock's. Beyond `THREADS_MAX` threads, one thread serves all further
//!    locks.
//! 3. A process that waits for the lock watches the counter ([`Stillness`]). Only an unchanged
//!    counter means anything, by the watcher's own observations on one monotonic clock: a watcher
//!    that slept counts little of that time.
//! 4. A heartbeat proves that the process runs. It does not prove progress.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Duration;

use crate::disk::File;
use crate::timing::{LOCK_HEARTBEAT_INTERVAL, LOCK_WATCH_BREAK, SYNC_HUNG_AFTER};

/// Length of a counter in a file, bytes.
pub const COUNTER_LEN: usize = 20;

/// Polls without a held lock before the thread sleeps until it is woken: a series of short critical
/// sections does not wake it each time.
const IDLE_POLLS: u32 = 20;

/// Maximum number of threads that serve one lock each.
const THREADS_MAX: usize = 16;

/// The heartbeat of a lock, until it ends or is dropped. That must happen before the lock is
/// released, so that no late write changes the counter of the next holder.
#[derive(Debug)]
pub struct Heartbeat(Arc<HeartbeatState>);

#[derive(Debug)]
struct HeartbeatState {
    state: Mutex<CounterState>,
    ended: Condvar,
    /// Whether the lock was held at an earlier poll.
    seen: AtomicBool,
    /// Whether it has its own thread.
    has_thread: AtomicBool,
}

#[derive(Debug)]
struct CounterState {
    file: Arc<dyn File>,
    at: u64,
    /// Unknown before the first heartbeat, if it was not given.
    counter: Option<u64>,
    held: bool,
    /// Behaves as if the process were stopped.
    stopped: bool,
}

/// The thread that finds the locks that are held long: one for the process, started with the first
/// lock, asleep while none is held.
#[derive(Debug)]
struct HeartbeatThread {
    held: Vec<Weak<HeartbeatState>>,
    asleep: bool,
}

static WATCHER: Mutex<HeartbeatThread> = Mutex::new(HeartbeatThread {
    held: Vec::new(),
    asleep: false,
});
static CHANGED: Condvar = Condvar::new();
static THREAD: Once = Once::new();
/// Number of threads that serve one lock each.
static THREADS: AtomicUsize = AtomicUsize::new(0);

impl Heartbeat {
    /// Starts for a held lock, whose counter is at byte `at` of the file.
    pub fn start(file: Arc<dyn File>, at: u64) -> Self {
        Heartbeat::begin(file, at, None)
    }

    /// As [`Heartbeat::start`], if the counter was just written with that value.
    pub fn start_from(file: Arc<dyn File>, at: u64, counter: u64) -> Self {
        Heartbeat::begin(file, at, Some(counter))
    }

    fn begin(file: Arc<dyn File>, at: u64, counter: Option<u64>) -> Self {
        let state = Mutex::new(CounterState {
            file,
            at,
            counter,
            held: true,
            stopped: false,
        });
        let heartbeat = Arc::new(HeartbeatState {
            state,
            ended: Condvar::new(),
            seen: AtomicBool::new(false),
            has_thread: AtomicBool::new(false),
        });
        THREAD.call_once(|| {
            // Without the thread a holder that works for 2 s may count as stopped, which is safe.
            let _ = spawn("mq-lock-lookout", watch_all);
        });
        let mut prober = lock(&WATCHER);
        prober.held.push(Arc::downgrade(&heartbeat));
        if prober.asleep {
            prober.asleep = false;
            CHANGED.notify_one();
        }
        drop(prober);
        Heartbeat(heartbeat)
    }

    /// Raises the counter now.
    ///
    /// # Errors
    /// Those of the file.
    pub fn raise(&self) -> io::Result<()> {
        lock(&self.0.state).raise()
    }

    /// The file that contains the counter.
    pub fn file(&self) -> Arc<dyn File> {
        Arc::clone(&lock(&self.0.state).file)
    }

    /// Ends the heartbeat, after any write in progress.
    pub fn end(&self) {
        lock(&self.0.state).held = false;
        self.0.ended.notify_all();
        let own = Arc::as_ptr(&self.0);
        lock(&WATCHER)
            .held
            .retain(|heartbeat| heartbeat.as_ptr() != own);
    }

    /// Stops the heartbeat, as if this process were stopped.
    #[cfg(test)]
    pub fn stand_still(&self) {
        lock(&self.0.state).stopped = true;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end();
    }
}

impl CounterState {
    fn heartbeat(&mut self) {
        if self.held && !self.stopped {
            // The holder gets the same error at its next step.
            let _ = self.raise();
        }
    }

    fn raise(&mut self) -> io::Result<()> {
        let counter = match self.counter {
            Some(counter) => counter,
            None => read(&*self.file, self.at),
        };
        let next = counter.wrapping_add(1);
        self.counter = Some(next);
        let digits = format!("{next:0COUNTER_LEN$}");
        self.file.write_at(digits.as_bytes(), self.at)
    }
}

/// The counter at byte `at` of the file. An unreadable one reads as 0, so it does not change.
pub fn read(file: &dyn File, at: u64) -> u64 {
    let mut digits = [0; COUNTER_LEN];
    let read = file.read_at(&mut digits, at).unwrap_or(0);
    let digits = digits.get(..read).unwrap_or_default();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// How long a value has not changed, by the watcher's own observations. A gap between two
/// observations counts at most [`LOCK_WATCH_BREAK`]: a watcher that was stopped has not seen what
/// happened meanwhile, and one with slow observations still comes to a conclusion.
#[derive(Debug, Clone, Copy)]
pub struct Stillness<T> {
    seen: T,
    still: Duration,
    observed: Duration,
}

impl<T: PartialEq> Stillness<T> {
    /// The first observation.
    pub fn begin(seen: T, now: Duration) -> Self {
        Stillness {
            seen,
            still: Duration::ZERO,
            observed: now,
        }
    }

    /// One more observation: how long the value has not changed by now; zero if it changed.
    pub fn observe(&mut self, seen: T, now: Duration) -> Duration {
        if seen == self.seen {
            self.still += now.saturating_sub(self.observed).min(LOCK_WATCH_BREAK);
        } else {
            (self.seen, self.still) = (seen, Duration::ZERO);
        }
        self.observed = now;
        self.still
    }

    /// The value seen last.
    pub fn seen(&self) -> &T {
        &self.seen
    }

    /// How long the value had not changed at the last observation.
    pub fn length(&self) -> Duration {
        self.still
    }
}

/// Why the work of a lock's holder counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderLost {
    /// The process is stopped.
    Stopped,
    /// The process lives, but its work makes no progress.
    Hung,
}

/// A watcher's view of a lock holder that syncs: its counter, and its progress.
#[derive(Debug)]
pub struct SyncWatch<P> {
    heartbeat: Stillness<u64>,
    progress: Stillness<P>,
    stopped_after: Duration,
}

impl<P: PartialEq> SyncWatch<P> {
    /// The first observation. The holder counts as stopped if its counter does not change for
    /// `stopped_after`.
    pub fn begin(heartbeat: u64, progress: P, now: Duration, stopped_after: Duration) -> Self {
        SyncWatch {
            heartbeat: Stillness::begin(heartbeat, now),
            progress: Stillness::begin(progress, now),
            stopped_after,
        }
    }

    /// One more observation. A holder that makes progress lives, whatever its counter says: it may
    /// be the next holder, with a heartbeat that has not begun yet.
    pub fn observe(&mut self, heartbeat: u64, progress: P, now: Duration) -> Option<HolderLost> {
        if progress != *self.progress.seen() {
            self.heartbeat = Stillness::begin(heartbeat, now);
        }
        let without_progress = self.progress.observe(progress, now);
        if self.heartbeat.observe(heartbeat, now) >= self.stopped_after {
            Some(HolderLost::Stopped)
        } else if without_progress >= SYNC_HUNG_AFTER {
            Some(HolderLost::Hung)
        } else {
            None
        }
    }
}

/// Finds the locks that are still held since the last poll, and starts a heartbeat for each.
fn watch_all() {
    let mut idle_polls = 0;
    let mut prober = lock(&WATCHER);
    loop {
        if prober.held.is_empty() && idle_polls >= IDLE_POLLS {
            prober.asleep = true;
            while prober.asleep {
                prober = CHANGED.wait(prober).unwrap_or_else(PoisonError::into_inner);
            }
            idle_polls = 0;
        }
        prober = CHANGED
            .wait_timeout(prober, LOCK_HEARTBEAT_INTERVAL)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        idle_polls = if prober.held.is_empty() {
            idle_polls + 1
        } else {
            0
        };
        let held = prober.held.iter().filter_map(Weak::upgrade);
        let long = held.filter(|heartbeat| {
            let was_seen = heartbeat.seen.swap(true, Ordering::Relaxed);
            was_seen && !heartbeat.has_thread.load(Ordering::Relaxed)
        });
        let long: Vec<_> = long.collect();
        // A write may be slow: no thread may wait behind it to take or release another lock.
        drop(prober);
        for heartbeat in long {
            if !heartbeat.begin_thread() {
                lock(&heartbeat.state).heartbeat();
            }
        }
        prober = lock(&WATCHER);
    }
}

impl HeartbeatState {
    /// Starts a thread that writes heartbeats until the lock is released; `false` if it cannot.
    fn begin_thread(self: &Arc<Self>) -> bool {
        if THREADS.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            THREADS.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.has_thread.store(true, Ordering::Relaxed);
        let heartbeat = Arc::clone(self);
        let spawned = spawn("mq-lock-beat", move || {
            heartbeat.heartbeat_on();
            THREADS.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            self.has_thread.store(false, Ordering::Relaxed);
            THREADS.fetch_sub(1, Ordering::Relaxed);
        }
        spawned.is_ok()
    }

    fn heartbeat_on(&self) {
        let mut state = lock(&self.state);
        while state.held {
            state.heartbeat();
            state = self
                .ended
                .wait_timeout(state, LOCK_HEARTBEAT_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::disk::{Disk, Open, OsDisk};

    fn file() -> (tempfile::TempDir, Arc<dyn File>) {
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        let file = dir.open("x.lock", Open::Create).expect("create");
        (at, file)
    }

    #[test]
    fn a_long_hold_beats_and_a_short_one_writes_nothing() {
        let (_at, file) = file();
        let clock = SystemClock::default();
        drop(Heartbeat::start(Arc::clone(&file), 64));
        assert_eq!(file.len().expect("len"), 0, "a short critical section");
        let heartbeat = Heartbeat::start(Arc::clone(&file), 64);
        let mut still = Stillness::begin(read(&*file, 64), clock.monotonic());
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            clock.sleep(Duration::from_millis(10));
            longest = longest.max(still.observe(read(&*file, 64), clock.monotonic()));
        }
        assert!(*still.seen() >= 3, "the counter rose: {still:?}");
        assert!(longest < Duration::from_millis(700), "{longest:?}");
        drop(heartbeat);
        let last = read(&*file, 64);
        clock.sleep(LOCK_HEARTBEAT_INTERVAL * 3);
        assert_eq!(read(&*file, 64), last, "none after the end");
        // The next holder's counter continues from the last one's.
        let next = Heartbeat::start(Arc::clone(&file), 64);
        next.raise().expect("raise");
        assert_eq!(read(&*file, 64), last + 1);
    }

    #[test]
    fn a_sync_is_lost_where_its_holder_stands_or_makes_no_progress() {
        let ms = Duration::from_millis;
        let mut watch = SyncWatch::begin(0, 1, ms(0), ms(5000));
        let mut at = 0;
        let mut observe = |heartbeat: u64, progress: u64| {
            at += 400;
            watch.observe(heartbeat, progress, ms(at))
        };
        assert!((1..=12).all(|_| observe(0, 1).is_none()), "up to 4.8 s");
        assert_eq!(observe(0, 1), Some(HolderLost::Stopped));
        assert_eq!(observe(0, 2), None, "the next heartbeat has not begun yet");
        let heartbeats = |range: std::ops::Range<u64>| range.map(|heartbeat| (heartbeat, 2));
        assert!(
            heartbeats(1..75).all(|(heartbeat, progress)| observe(heartbeat, progress).is_none())
        );
        assert_eq!(
            observe(75, 2),
            Some(HolderLost::Hung),
            "30 s of heartbeats without progress"
        );
        assert_eq!(observe(76, 3), None);
        // Observations that take 3 s count half a second each.
        let mut slow = SyncWatch::begin(0, 1, ms(0), ms(5000));
        assert!((1..=9).all(|n| slow.observe(0, 1, ms(n * 3000)).is_none()));
        assert_eq!(slow.observe(0, 1, ms(30_000)), Some(HolderLost::Stopped));
    }

    #[test]
    fn a_watcher_that_slept_counts_little_of_it() {
        let ms = Duration::from_millis;
        let mut still = Stillness::begin(7, ms(0));
        assert_eq!(still.observe(7, ms(400)), ms(400));
        assert_eq!(still.observe(7, ms(800)), ms(800));
        assert_eq!(still.observe(8, ms(1200)), ms(0), "it changed");
        assert_eq!(still.observe(8, ms(1600)), ms(400));
        assert_eq!(still.observe(8, ms(60_000)), ms(900), "the watcher slept");
        assert_eq!(still.observe(9, ms(90_000)), ms(0), "it changed meanwhile");
        assert_eq!(still.length(), ms(0));
    }
}
