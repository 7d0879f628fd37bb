//! The brokers whose disks did not answer a read in time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::timing::{PAGE_READ_WITHIN, PAGE_READ_WITHIN_MAX};
use crate::types::BrokerId;

/// The brokers whose disks did not answer in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unanswered(pub(crate) Arc<Mutex<HashMap<BrokerId, Late>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The read is still in progress.
    Still,
    /// The answer came after that time.
    Came(Duration),
}

impl Unanswered {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<BrokerId, Late>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_waited_for(&self, broker: BrokerId) -> bool {
        self.lock().get(&broker) == Some(&Late::Still)
    }

    /// The time limit for that disk.
    pub(crate) fn within(&self, broker: BrokerId) -> Duration {
        match self.lock().get(&broker) {
            Some(Late::Came(after)) => (*after * 2).clamp(PAGE_READ_WITHIN, PAGE_READ_WITHIN_MAX),
            _ => PAGE_READ_WITHIN,
        }
    }
}
