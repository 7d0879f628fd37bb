//! Removal of replica directories that were moved aside: their contents are worthless, and what one
//! process could not remove, a later one does.

use std::io::ErrorKind;

use super::state_page::PAGE_FILE;
use crate::disk::{Dir, join};
use crate::error::{Error, Result};

/// Removes a directory that was moved aside, as far as possible: a later process removes the rest.
pub(crate) fn remove_dir(logs: &dyn Dir, aside: &str) {
    let _ = remove_flat(logs, aside);
}

/// Removes a directory that has no subdirectories. Its page goes last: if the process dies before
/// that, a later one still recognizes a replica that was moved aside, not one that is being filled.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io).
pub fn remove_flat(logs: &dyn Dir, name: &str) -> Result<()> {
    let error = |e| Error::io("remove", join(logs, name), e);
    let gone = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    };
    let mut entries = match logs.list(name) {
        Ok(entries) => entries,
        Err(e) => return gone(e).map_err(error),
    };
    entries.sort_by_key(|entry| entry.name == PAGE_FILE);
    for entry in entries {
        let removed = logs.remove(&format!("{name}/{}", entry.name));
        removed.or_else(gone).map_err(error)?;
    }
    logs.remove_dir(name).or_else(gone).map_err(error)
}
