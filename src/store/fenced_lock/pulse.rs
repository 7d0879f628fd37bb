//! Raises the counters of locks that are held long: one thread for the process, started with the
//! first lock, asleep while none is held.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Duration;

use super::{COUNTER_LEN, read_line};
use crate::disk::File;

/// A lock that was held at one look of the thread is raised at the next; between them is this.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks without a lock held before the thread sleeps until it is woken: short holds in a row do
/// not wake it each time.
const IDLE_LOOKS: u32 = 20;

/// The counter of one held lock.
#[derive(Debug)]
pub(super) struct Beat {
    state: Mutex<State>,
    seen: AtomicBool,
}

#[derive(Debug)]
struct State {
    file: Arc<dyn File>,
    counter: u64,
    /// Cleared before the lock is let go, so that no late beat falls on the next holder's line.
    held: bool,
}

#[derive(Debug)]
struct Pulse {
    held: Vec<Weak<Beat>>,
    asleep: bool,
}

static PULSE: Mutex<Pulse> = Mutex::new(Pulse {
    held: Vec::new(),
    asleep: false,
});
static CHANGED: Condvar = Condvar::new();
static THREAD: Once = Once::new();

impl Beat {
    /// Begins for a lock whose line was just written with counter 1.
    pub(super) fn start(file: Arc<dyn File>) -> Arc<Self> {
        let state = Mutex::new(State {
            file,
            counter: 1,
            held: true,
        });
        let beat = Arc::new(Beat {
            state,
            seen: AtomicBool::new(false),
        });
        THREAD.call_once(|| {
            // Without the thread a hold over 2 s may be broken, which is safe.
            let _ = std::thread::Builder::new()
                .name("mq-lock-pulse".to_owned())
                .spawn(run);
        });
        let mut pulse = lock(&PULSE);
        pulse.held.push(Arc::downgrade(&beat));
        if pulse.asleep {
            pulse.asleep = false;
            CHANGED.notify_one();
        }
        drop(pulse);
        beat
    }

    /// Raises the counter in the lock file.
    pub(super) fn raise(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if !state.held {
            return Ok(());
        }
        state.counter += 1;
        let digits = format!("{:0width$}", state.counter, width = COUNTER_LEN);
        state.file.write_at(digits.as_bytes(), 0)
    }

    /// The lock file.
    pub(super) fn file(&self) -> Arc<dyn File> {
        Arc::clone(&lock(&self.state).file)
    }

    /// Goes on with the file that `take` made, locked and wrote this line to; lets the old one go.
    pub(super) fn move_to(
        &self,
        take: impl FnOnce(&[u8]) -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<Beat>> {
        let file = take(&read_line(&*self.file()))?;
        self.end();
        let beat = Beat::start(file);
        beat.raise()?;
        Ok(beat)
    }

    /// As if this process were stopped: the thread raises the counter no more.
    #[cfg(test)]
    pub(super) fn stand_still(&self) {
        lock(&PULSE)
            .held
            .retain(|beat| !std::ptr::eq(beat.as_ptr(), self));
    }

    /// Lets the lock go.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        if state.held {
            state.held = false;
            // If it fails the lock goes with the file's last handle.
            let _ = state.file.unlock();
        }
        drop(state);
        lock(&PULSE)
            .held
            .retain(|beat| !std::ptr::eq(beat.as_ptr(), self));
    }
}

fn run() {
    let mut idle_looks = 0;
    let mut pulse = lock(&PULSE);
    loop {
        if pulse.held.is_empty() && idle_looks >= IDLE_LOOKS {
            pulse.asleep = true;
            while pulse.asleep {
                pulse = CHANGED.wait(pulse).unwrap_or_else(PoisonError::into_inner);
            }
            idle_looks = 0;
        }
        pulse = CHANGED
            .wait_timeout(pulse, INTERVAL)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let beats: Vec<_> = pulse.held.iter().filter_map(Weak::upgrade).collect();
        idle_looks = if beats.is_empty() { idle_looks + 1 } else { 0 };
        // A write may be slow: nobody takes or lets go of another lock behind it.
        drop(pulse);
        for beat in &beats {
            if beat.seen.swap(true, Ordering::Relaxed) {
                // The holder meets the same error at its next step.
                let _ = beat.raise();
            }
        }
        drop(beats);
        pulse = lock(&PULSE);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
