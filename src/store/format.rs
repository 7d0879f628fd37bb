//! The store's format version: raised when something is done that an older program would misread.

use std::time::Duration;

use super::lock::FencedLock;
use super::small_file::replace_small;
use super::store_file::{StoreFile, not_a_store};
use super::{StoreDir, layout};
use crate::error::Result;

/// From this version on a log may start above its first offset, and its page says so in bytes that an
/// older program writes zeros over.
pub const FORMAT_WITH_LOG_START: u32 = 2;

/// Raises the store's format version to `to`, unless it is that or newer. A program that has the store
/// open goes on; an older one does not open it any more.
///
/// # Errors
/// [`crate::error::Kind::Busy`] if the store's lock stays taken; [`crate::error::Kind::Io`].
pub fn raise_format(store: &StoreDir, to: u32, timeout: Duration) -> Result<()> {
    let root = &**store.root();
    let read = || StoreFile::read_if_there(root)?.ok_or_else(|| not_a_store(root));
    if read()?.format_version >= to {
        return Ok(());
    }
    let guard = FencedLock::acquire_store(store, "raise the store's format version", timeout)?;
    let mut file = read()?;
    if file.format_version < to {
        file.format_version = to;
        guard.step()?;
        // A late lock holder writes the same bytes.
        replace_small(root, layout::STORE_FILE, &file.encode())?;
    }
    Ok(())
}
