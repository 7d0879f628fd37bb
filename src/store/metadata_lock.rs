//! The lock of a store's metadata.

use std::sync::Arc;
use std::time::Duration;

use super::dir::StoreDir;
use super::lock::{FencedGuard, FencedLock};
use crate::error::Result;

impl FencedLock {
    /// Takes the lock of a store's metadata: [`FencedLock::acquire`].
    pub fn acquire_store(
        store: &StoreDir,
        purpose: &str,
        timeout: Duration,
    ) -> Result<FencedGuard> {
        FencedLock::of_store(Arc::clone(store.root()), Arc::clone(store.clock()))
            .acquire(purpose, timeout)
    }
}
