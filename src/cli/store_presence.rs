//! Whether the store is still at its path. If it was moved away or deleted, open descriptors lead
//! to files that no other process uses.

use std::path::Path;
use std::time::Duration;

use super::Env;
use crate::client::StoreDir;
use crate::error::{Error, Result};

/// The pause between two checks by a caller that waits for something else.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long the removal of a store may take after its first file is missed.
const REMOVAL: Duration = Duration::from_millis(500);
/// The pause between two checks during a removal.
const PAUSE: Duration = Duration::from_millis(50);

/// Checks that the store is still at its path.
///
/// # Errors
/// [`NoStore`](crate::error::Kind::NoStore) if it is not.
pub fn check(store: &StoreDir, path: &Path) -> Result<()> {
    store.check_is_still_at(path, " during the wait")
}

/// Returns the failure, or the error that the store is gone if that is its cause. A store that is
/// being removed loses its files first, and its directory last.
pub fn unless_gone(e: Error, store: &StoreDir, path: &Path, env: &Env) -> Error {
    unless_gone_with(e, store, path, " during the wait", env)
}

/// The same for a daemon, which does not wait for anything.
pub fn daemon_unless_gone(e: Error, store: &StoreDir, path: &Path, env: &Env) -> Error {
    unless_gone_with(e, store, path, "", env)
}

fn unless_gone_with(e: Error, store: &StoreDir, path: &Path, when: &str, env: &Env) -> Error {
    let until = env.monotonic() + REMOVAL;
    loop {
        if let Err(gone) = store.check_is_still_at(path, when) {
            return gone;
        }
        if env.stopping() || env.monotonic() >= until {
            return e;
        }
        env.wait_woken(PAUSE);
    }
}
