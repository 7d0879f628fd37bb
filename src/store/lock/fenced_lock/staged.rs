//! Files created and synced before the lock is taken.
//!
//! A staged file stands beside the lock under a random name, locked by its creator. If it can be
//! locked, its creator died.

use std::io;
use std::sync::Arc;

use crate::disk::{Dir, File, FileId, LockKind, Open};
use crate::error::{Error, Kind, Result};
use crate::store::layout;
use crate::store::lock::lock_files::{io_error, names};
use crate::types::Uuid;

/// A file that waits for [`super::guard::FencedGuard::publish`]; if dropped before, it is removed.
#[derive(Debug)]
pub struct Staged {
    dir: Arc<dyn Dir>,
    name: String,
    /// Holds the lock that shows that the creator lives.
    file: Arc<dyn File>,
    moved: bool,
}

impl Staged {
    /// Creates a file of these bytes, synced, beside a lock, to be put into place under it.
    ///
    /// # Errors
    /// [`Kind::DiskFull`], [`Kind::Io`].
    pub(crate) fn make(beside: &Arc<dyn Dir>, bytes: &[u8]) -> Result<Self> {
        for _ in 0..16 {
            let name = layout::staged_file(&Uuid::random()?);
            let error = |op, e| io_error(&**beside, op, &name, e);
            let file = beside
                .open(&name, Open::CreateNew)
                .map_err(|e| error("make", e))?;
            // Before it is locked, another process may take it for abandoned.
            let locked = file
                .try_lock(LockKind::Exclusive)
                .map_err(|e| error("lock", e))?;
            if !locked || !names(&**beside, &name, &*file).map_err(|e| error("look at", e))? {
                continue;
            }
            let dir = Arc::clone(beside);
            let staged = Staged {
                dir,
                name,
                file: Arc::clone(&file),
                moved: false,
            };
            let error = |op, e| io_error(&**beside, op, staged.name(), e);
            file.write_at(bytes, 0).map_err(|e| error("write", e))?;
            file.sync_data().map_err(|e| error("sync", e))?;
            return Ok(staged);
        }
        let place = beside.path().display();
        Err(Error::new(
            Kind::Io,
            format!("{place}: each new file was removed at once"),
        ))
    }

    /// Its name in the lock's directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, which it keeps when it is published.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn id(&self) -> Result<FileId> {
        let id = self.file.id();
        id.map_err(|e| io_error(&*self.dir, "look at", &self.name, e))
    }

    pub(crate) fn moved(mut self) {
        self.moved = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.moved {
            // If it fails, the next holder removes it.
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Removes a staged file if its creator died. Called with the lock held, so that no two processes
/// do.
pub(crate) fn remove_if_abandoned(dir: &dyn Dir, name: &str) -> io::Result<()> {
    let file = dir.open(name, Open::Write)?;
    if file.try_lock(LockKind::Exclusive)? && names(dir, name, &*file)? {
        dir.remove(name)?;
    }
    Ok(())
}
