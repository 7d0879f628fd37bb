//! How the appending thread of a shared producer is woken.
//!
//! It parks while nothing is due. A flag says what it wants to be woken for, so that nobody makes a
//! system call that is of no use. It sets the flag, then looks at what the flag is about; others change
//! that first, and then look at the flag (all sequentially consistent): so no change is missed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

/// The appending thread, and what it waits for.
#[derive(Debug, Default)]
pub struct AppenderWaker {
    thread: OnceLock<Thread>,
    when_idle: AtomicBool,
    when_awaited: AtomicBool,
}

impl AppenderWaker {
    /// The calling thread is the one that appends.
    pub fn set_thread(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Wakes it, if it parks.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// A batch is built: the appending thread wants to know when nothing is under way any more, and when
    /// somebody begins to wait for the batch.
    pub fn wants_progress(&self, wanted: bool) {
        self.when_idle.store(wanted, Ordering::SeqCst);
        self.when_awaited.store(wanted, Ordering::SeqCst);
    }

    /// Nothing is under way any more.
    pub fn idle(&self) {
        if self.when_idle.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Somebody begins to wait for a batch.
    pub fn awaited(&self) {
        if self.when_awaited.load(Ordering::SeqCst) {
            self.wake();
        }
    }
}
