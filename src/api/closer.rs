//! Ending a consumer from another thread.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// Ends a consumer, or wakes it, from any thread: the consumer itself may be blocked in a poll.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let mut consumer = store.consumer(["orders"]).open()?;
/// let closer = consumer.closer();
/// let reader = std::thread::spawn(move || consumer.by_ref().count());
/// closer.close();
/// assert_eq!(reader.join().expect("no panic"), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Closer(Arc<Signal>);

impl Closer {
    /// Ends the consumer: the present poll and each later one return
    /// [`Event::End`](super::Event::End), and the iterator ends.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.ring();
    }

    /// Wakes the consumer: the present poll, or else the next one, returns
    /// [`Event::Idle`](super::Event::Idle) before its timeout. The iterator skips it.
    pub fn wake(&self) {
        self.0.woken.store(true, Ordering::Release);
        self.0.ring();
    }
}

/// What other threads ask of a consumer.
#[derive(Debug)]
pub(super) struct Signal {
    closed: AtomicBool,
    woken: AtomicBool,
    /// Whether `ring` was called since the last wait.
    rung: Mutex<bool>,
    changed: Condvar,
    /// For a wait on a descriptor: it is readable after a call of `ring`.
    poke: Option<(UnixStream, UnixStream)>,
}

impl Signal {
    /// For a consumer that waits in [`Signal::wait`].
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Signal::with(None))
    }

    /// For a consumer that waits on [`Signal::fd`].
    pub(super) fn with_fd() -> Result<Arc<Self>> {
        let (poke, poked) = UnixStream::pair().map_err(|e| Error::io("make", "a socket", e))?;
        for end in [&poke, &poked] {
            end.set_nonblocking(true)
                .map_err(|e| Error::io("set up", "a socket", e))?;
        }
        Ok(Arc::new(Signal::with(Some((poke, poked)))))
    }

    fn with(poke: Option<(UnixStream, UnixStream)>) -> Self {
        Signal {
            closed: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            rung: Mutex::new(false),
            changed: Condvar::new(),
            poke,
        }
    }

    pub(super) fn closer(self: &Arc<Self>) -> Closer {
        Closer(Arc::clone(self))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether [`Closer::wake`] was called since the last call.
    pub(super) fn take_wake(&self) -> bool {
        // Mostly it was not, and a load costs less than a swap.
        self.woken.load(Ordering::Acquire) && self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether the consumer was closed or woken.
    pub(super) fn is_set(&self) -> bool {
        self.is_closed() || self.woken.load(Ordering::Acquire)
    }

    /// Ends the present wait, or else the next one.
    pub(super) fn ring(&self) {
        *self.rung() = true;
        self.changed.notify_all();
        if let Some((poke, _)) = &self.poke {
            // A full socket is readable as well.
            let _ = (&*poke).write(&[1]);
        }
    }

    /// Waits for a call of `ring`.
    pub(super) fn wait(&self, timeout: Duration) {
        let rung = self.rung();
        let waited = self
            .changed
            .wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    /// The descriptor to wait on.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.poke.as_ref().map(|(_, poked)| poked.as_fd())
    }

    /// Makes the descriptor unreadable, until the next call of `ring`.
    pub(super) fn drain(&self) {
        if let Some((_, poked)) = &self.poke {
            let mut bytes = [0; 64];
            while (&*poked).read(&mut bytes).is_ok_and(|read| read > 0) {}
        }
    }

    fn rung(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
