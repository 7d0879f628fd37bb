//! Whether a file system completes writes: if not, an unchanged heartbeat says nothing.
//!
//! 1. A heartbeat is itself a write to the file system of its lock. While that is frozen or slow,
//!    no holder's heartbeat continues, even if the holder runs well.
//! 2. So a watcher repeatedly writes to the same file meanwhile, on a separate thread, as such a
//!    write may hang. The holder's counter counts only while these writes complete: each
//!    observation in which one did not makes the watcher start over ([`WriteProbe::reading`]).
//! 3. A holder whose own writes alone are slow, as under a tracer, cannot be told from a stopped
//!    one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::heartbeat::{self, COUNTER_LEN};
use crate::clock::Clock;
use crate::disk::File;
use crate::timing::{WRITE_PROBE_INTERVAL, WRITE_PROBE_WITHIN};

/// A watcher's own writes to one file system.
#[derive(Debug, Default)]
pub struct WriteProbe {
    state: Arc<Mutex<ProbeState>>,
    missed: u64,
    slow: bool,
}

#[derive(Debug, Default)]
struct ProbeState {
    /// When the write in progress began.
    begun: Option<Duration>,
    /// When the last one ended.
    ended: Option<Duration>,
    /// Whether that was late, and no observation has seen it yet.
    late: bool,
}

impl WriteProbe {
    /// The value that must not change before the lock's holder counts as stopped: the counter at
    /// `heartbeat_at`, and how often a write of the watcher's own did not complete in time, to the
    /// [`COUNTER_LEN`] bytes at `own_at`, which no process reads.
    pub fn reading(
        &mut self,
        file: &Arc<dyn File>,
        heartbeat_at: u64,
        own_at: u64,
        clock: &Arc<dyn Clock>,
    ) -> u64 {
        let missed = self.observe(file, own_at, clock);
        heartbeat::read(&**file, heartbeat_at).wrapping_add(missed << 32)
    }

    /// How often no write completed in time so far. Begins the next one if none is in progress.
    pub fn observe(&mut self, file: &Arc<dyn File>, own_at: u64, clock: &Arc<dyn Clock>) -> u64 {
        let now = clock.monotonic();
        let mut state = lock(&self.state);
        let hangs = state
            .begun
            .is_some_and(|begun| now.saturating_sub(begun) > WRITE_PROBE_WITHIN);
        if hangs || std::mem::take(&mut state.late) {
            self.missed += 1;
            self.slow = true;
        } else if state.begun.is_none() {
            self.slow = false;
        }
        let is_due = state
            .ended
            .is_none_or(|ended| now.saturating_sub(ended) >= WRITE_PROBE_INTERVAL);
        if state.begun.is_none() && is_due {
            state.begun = Some(now);
            drop(state);
            if !self.begin(file, own_at, clock) {
                self.missed += 1;
            }
        }
        self.missed
    }

    /// Whether the last observed write did not complete in time.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    fn begin(&self, file: &Arc<dyn File>, own_at: u64, clock: &Arc<dyn Clock>) -> bool {
        let (file, clock) = (Arc::clone(file), Arc::clone(clock));
        let state = Arc::clone(&self.state);
        let write = move || {
            // An immediate error counts as an answer.
            let _ = file.write_at(&[b'0'; COUNTER_LEN], own_at);
            let now = clock.monotonic();
            let mut state = lock(&state);
            let begun = state.begun.take().unwrap_or(now);
            state.late = now.saturating_sub(begun) > WRITE_PROBE_WITHIN;
            state.ended = Some(now);
        };
        let thread = std::thread::Builder::new().name("mq-served".to_owned());
        let begun = thread.spawn(write).is_ok();
        if !begun {
            lock(&self.state).begun = None;
        }
        begun
    }
}

fn lock(state: &Mutex<ProbeState>) -> MutexGuard<'_, ProbeState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::{FileId, LockKind};

    /// A file whose file system can be frozen: reads complete, writes do not.
    #[derive(Debug, Default)]
    struct Freezing(AtomicBool);

    impl File for Freezing {
        fn id(&self) -> io::Result<FileId> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn read_at(&self, buf: &mut [u8], _at: u64) -> io::Result<usize> {
            buf.fill(b'0');
            Ok(buf.len())
        }
        fn write_at(&self, _buf: &[u8], _at: u64) -> io::Result<()> {
            while self.0.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        }
        fn append(&self, _buf: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn set_len(&self, _len: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn try_lock(&self, _kind: LockKind) -> io::Result<bool> {
            Ok(true)
        }
        fn unlock(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn stillness_counts_only_while_writes_are_served() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let freezing = Arc::new(Freezing::default());
        let file: Arc<dyn File> = Arc::<Freezing>::clone(&freezing);
        let mut served = WriteProbe::default();
        // The longest time within that span that the reading did not change.
        let mut watch = |time: u64| {
            let (began, mut still, mut longest) = (clock.monotonic(), None, Duration::ZERO);
            while clock.monotonic() - began < Duration::from_millis(time) {
                let (now, reading) = (clock.monotonic(), served.reading(&file, 0, 64, &clock));
                let still = still.get_or_insert_with(|| heartbeat::Stillness::begin(reading, now));
                longest = longest.max(still.observe(reading, now));
                clock.sleep(Duration::from_millis(20));
            }
            longest
        };
        assert!(watch(1500) > Duration::from_millis(1200), "served");
        freezing.0.store(true, Ordering::SeqCst);
        let frozen = watch(2500);
        assert!(frozen < Duration::from_millis(1200), "frozen: {frozen:?}");
        freezing.0.store(false, Ordering::SeqCst);
        watch(300);
        assert!(watch(1500) > Duration::from_millis(1200), "served again");
    }
}
