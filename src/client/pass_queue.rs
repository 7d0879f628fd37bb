//! The partitions of a producer whose log may have old segments.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::types::PartitionId;

/// The partitions that wait for a pass.
#[derive(Debug, Default)]
pub(super) struct PassQueue {
    is_wanted: AtomicBool,
    state: Mutex<PassState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct PassState {
    waiting: BTreeSet<PartitionId>,
    is_closed: bool,
}

impl PassQueue {
    /// From now on partitions are entered: the topic has a limit.
    pub fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether partitions are to be entered.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Enters partitions.
    pub fn enter(&self, partitions: impl IntoIterator<Item = PartitionId>) {
        self.lock().waiting.extend(partitions);
        self.changed.notify_all();
    }

    /// No more are entered.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The next one; `None` once there is none and no more come.
    pub fn next(&self) -> Option<PartitionId> {
        let idle = |state: &mut PassState| state.waiting.is_empty() && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_first()
    }

    /// Whether no more are entered.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, PassState> {
        // A panic in another thread leaves the set whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
