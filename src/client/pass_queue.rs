//! The partitions of a producer whose log may have old segments.

use std::collections::{BTreeMap, BTreeSet};
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
    /// With whether a segment was begun since the last pass.
    waiting: BTreeMap<PartitionId, bool>,
    /// Of which a batch was acknowledged under the limits of now.
    seen: BTreeSet<PartitionId>,
    /// The version of the topic file that set them.
    version: u64,
    is_closed: bool,
}

impl PassQueue {
    /// From now on partitions are entered: the topic has a limit, by this version of its file. With
    /// another version each partition is due once more.
    pub fn want(&self, version: u64) {
        let mut state = self.lock();
        if state.version != version {
            state.version = version;
            state.seen.clear();
        }
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether partitions are to be entered.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// A batch of each of these was acknowledged; `true`: it began a segment.
    pub fn acknowledged(&self, batches: impl IntoIterator<Item = (PartitionId, bool)>) {
        let mut state = self.lock();
        let mut is_due = false;
        for (partition, rolled) in batches {
            if state.seen.insert(partition) || rolled {
                let known = state.waiting.insert(partition, rolled);
                if known == Some(true) {
                    state.waiting.insert(partition, true);
                }
                is_due |= known.is_none();
            }
        }
        drop(state);
        if is_due {
            self.changed.notify_all();
        }
    }

    /// No more are entered.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The next one, and whether a segment of it was begun; `None` once there is none and no more come.
    pub fn next(&self) -> Option<(PartitionId, bool)> {
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
