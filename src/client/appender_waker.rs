//! How the appending thread of a shared producer is woken.
//!
//! The appending thread parks while it has nothing to do. A flag says which event it wants to be
//! woken for, so that other threads make no needless system call. It sets the flag, then checks for
//! the event; other threads cause the event first, then check the flag (all sequentially
//! consistent). So no event is missed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

/// The appending thread, and the event that it waits for.
#[derive(Debug, Default)]
pub struct AppenderWaker {
    thread: OnceLock<Thread>,
    when_idle: AtomicBool,
    when_awaited: AtomicBool,
}

impl AppenderWaker {
    /// Registers the calling thread as the appending thread.
    pub fn set_thread(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Wakes the appending thread if it parks.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// A batch is being built: the appending thread wants to be woken when no batch is in flight
    /// any more, and when a caller begins to wait for the batch.
    pub fn wants_progress(&self, wanted: bool) {
        self.when_idle.store(wanted, Ordering::SeqCst);
        self.when_awaited.store(wanted, Ordering::SeqCst);
    }

    /// No batch is in flight any more.
    pub fn idle(&self) {
        if self.when_idle.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// A caller begins to wait for a batch.
    pub fn awaited(&self) {
        if self.when_awaited.load(Ordering::SeqCst) {
            self.wake();
        }
    }
}
