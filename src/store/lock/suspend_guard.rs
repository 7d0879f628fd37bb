//! Ctrl-Z is delayed until no short lock is held: a stopped process keeps its locks.
//!
//! Every short lock is taken under a suspend guard ([`enter`]); code that stops the process runs in
//! [`while_unlocked`]. While that waits, a thread without a guard has to wait, and a thread that
//! has one may enter again, so that nested locks finish. If the guarded threads wait for a thread
//! that is kept out, that thread may enter after [`TIMEOUT`].

use std::cell::OnceCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest time that a thread is kept out while others still have guards.
pub const TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct GuardState {
    inside: usize,
    waiting: usize,
    running: bool,
}

static STATE: Mutex<GuardState> = Mutex::new(GuardState {
    inside: 0,
    waiting: 0,
    running: false,
});
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// How many guards this thread has. Shared with them, as a guard may be dropped by another
    /// thread.
    static DEPTH: OnceCell<Arc<AtomicUsize>> = const { OnceCell::new() };
}

/// The process is not suspended while this exists.
#[derive(Debug)]
#[must_use]
pub struct SuspendGuard {
    depth: Arc<AtomicUsize>,
}

/// Creates a guard. Call it just before a short lock is tried, and keep it as long as the lock.
pub fn enter() -> SuspendGuard {
    let depth = DEPTH.with(|cell| Arc::clone(cell.get_or_init(Arc::default)));
    let mut state = lock();
    if depth.load(Ordering::Relaxed) == 0 {
        let mut patient = true;
        while state.running || (patient && state.waiting > 0) {
            let (now, waited) = CHANGED
                .wait_timeout(state, TIMEOUT)
                .unwrap_or_else(PoisonError::into_inner);
            state = now;
            patient &= !waited.timed_out();
        }
    }
    state.inside += 1;
    depth.fetch_add(1, Ordering::Relaxed);
    SuspendGuard { depth }
}

/// Waits until no thread has a guard, keeps all threads out, and runs `f`. `f` creates no guard.
pub fn while_unlocked<T>(f: impl FnOnce() -> T) -> T {
    let mut state = lock();
    state.waiting += 1;
    while state.inside > 0 || state.running {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state.running = true;
    drop(state);
    let _running = Running;
    f()
}

/// Lets threads enter again, also if `f` panicked.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock();
        state.running = false;
        state.waiting -= 1;
        CHANGED.notify_all();
    }
}

impl Drop for SuspendGuard {
    fn drop(&mut self) {
        let mut state = lock();
        self.depth.fetch_sub(1, Ordering::Relaxed);
        state.inside -= 1;
        if state.inside == 0 && state.waiting > 0 {
            CHANGED.notify_all();
        }
    }
}

fn lock() -> MutexGuard<'static, GuardState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    // One test: the state is global to the process, and other tests' locks use it too.
    #[test]
    fn stops_only_between_locks() {
        let outer = enter();
        let (send, receive) = mpsc::channel();
        let stopper = std::thread::spawn(move || while_unlocked(|| send.send(()).expect("send")));
        let early = receive.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        // Nested in the same thread: may enter, though another thread waits.
        let inner = enter();
        // From another thread: may enter after the timeout, since this one waits for it.
        std::thread::spawn(|| drop(enter()))
            .join()
            .expect("kept out for ever");
        drop(outer);
        assert!(receive.recv_timeout(Duration::from_millis(50)).is_err());
        // Dropped by another thread: counted for the thread that entered.
        std::thread::spawn(move || drop(inner))
            .join()
            .expect("drop");
        receive
            .recv_timeout(Duration::from_secs(10))
            .expect("runs once all are out");
        stopper.join().expect("stopper");
        DEPTH.with(|d| assert_eq!(d.get().map(|d| d.load(Ordering::Relaxed)), Some(0)));

        let entered = while_unlocked(|| {
            let late = std::thread::spawn(|| drop(enter()));
            while_running(&late);
            late
        });
        entered.join().expect("enters afterwards");
    }

    fn while_running(late: &std::thread::JoinHandle<()>) {
        let until = Instant::now() + TIMEOUT * 2;
        while Instant::now() < until {
            assert!(!late.is_finished(), "entered while stopped");
            std::thread::yield_now();
        }
    }
}
