//! `controller.json`: the current controller and its epoch. Written under the store's fenced lock
//! only; a daemon that acts as the controller checks its epoch in every critical section of that
//! lock.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::{self, FencedGuard, StoreDir, json_file};
use crate::types::BrokerId;

/// The file's content. The controller's heartbeat is the daemon's own, in `broker.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerFile {
    /// Raised by each election.
    pub epoch: u64,
    /// The broker whose daemon was elected.
    pub broker_id: BrokerId,
    /// The incarnation of that daemon.
    pub incarnation: u64,
    /// Its process; none once it resigned.
    pub pid: Option<u32>,
    /// When it was elected, ms since the epoch.
    pub since_ms: i64,
}

impl ControllerFile {
    /// Reads it; `None` before the first election.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`], [`crate::error::Kind::Io`].
    pub fn read(store: &StoreDir) -> Result<Option<Self>> {
        match json_file::read(&**store.root(), store::CONTROLLER_FILE) {
            Ok((file, _)) => Ok(Some(file)),
            Err(e) if json_file::is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Replaces the file, synced.
    pub(crate) fn write(&self, guard: &FencedGuard) -> Result<()> {
        guard.replace(store::CONTROLLER_FILE, &json_file::encode(self))
    }
}
