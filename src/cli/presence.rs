//! Whether the store is still where it was found: descriptors that are held may lead to a place that
//! nobody else uses any more.

use std::path::Path;
use std::time::Duration;

use super::Env;
use crate::client::StoreDir;
use crate::error::{Error, Kind, Result};

/// Between two looks of somebody who waits anyway.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long the removal of a store may go on after its first file is missed.
const REMOVAL: Duration = Duration::from_millis(500);
/// Between two looks at a removal.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks whether the store is still at its path.
///
/// # Errors
/// [`Kind::NoStore`] if it is not.
pub fn check(store: &StoreDir, path: &Path) -> Result<()> {
    if store.is_still_at(path) {
        return Ok(());
    }
    let text = format!(
        "the store at {} was moved or deleted during the wait",
        path.display()
    );
    Err(Error::new(Kind::NoStore, text).cure("if it was moved, name where it is now with --store"))
}

/// What is behind a failure: that, or that the store is gone. A store that is being removed loses its
/// files first, and its directory last.
pub fn unless_gone(e: Error, store: &StoreDir, path: &Path, env: &Env) -> Error {
    let until = env.monotonic() + REMOVAL;
    loop {
        if let Err(gone) = check(store, path) {
            return gone;
        }
        if env.stopping() || env.monotonic() >= until {
            return e;
        }
        env.wait_woken(PAUSE);
    }
}
