//! `compact.lock` in a replica's directory: one compaction at a time. It is tried, and never waited for:
//! a process that is stopped with it blocks compaction only.

use std::sync::Arc;

use crate::disk::{Dir, File, LockKind, Open, join};
use crate::error::{Error, Result};

/// The file's name.
pub const COMPACT_LOCK: &str = "compact.lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct CompactLock {
    file: Arc<dyn File>,
}

impl CompactLock {
    /// Tries to take it; `None` if another process has it.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub(super) fn try_take(dir: &dyn Dir) -> Result<Option<Self>> {
        let error = |op| move |e| Error::io(op, join(dir, COMPACT_LOCK), e);
        let file = dir
            .open(COMPACT_LOCK, Open::Create)
            .map_err(error("open"))?;
        let locked = file.try_lock(LockKind::Exclusive).map_err(error("lock"))?;
        // A file that was removed and made again would have two holders.
        let own = file.id().map_err(error("look at"))?;
        let in_place = dir.id(COMPACT_LOCK).is_ok_and(|id| id == own);
        Ok((locked && in_place).then_some(CompactLock { file }))
    }
}

impl Drop for CompactLock {
    fn drop(&mut self) {
        // Closing the file releases the lock as well, so a failure is ignored.
        let _ = self.file.unlock();
    }
}
