//! The log-start checkpoint in a replica's directory: read, and replaced in two steps.

use std::sync::Arc;

use crate::disk::{Dir, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{LOG_START_FILE, log_start_text, parse_log_start, sync_failed};
use crate::partition::replica::Replica;
use crate::store::read_small;
use crate::types::{Offset, Uuid};

/// The end of a temporary file's name.
const TEMPORARY: &str = ".tmp";

impl Replica {
    /// The log start by its checkpoint; `None` without a readable one. It may be above the page's for
    /// a moment, and stays so if the process that raises the start dies.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(crate) fn checkpointed_start(&self) -> Result<Option<Offset>> {
        let text = read_small(&**self.dir(), LOG_START_FILE)?;
        Ok(text.and_then(|text| parse_log_start(self.tp(), &text).ok()))
    }
}

/// A checkpoint that is written and synced under a temporary name of its own. It is removed if it is
/// dropped before it is put in place.
#[derive(Debug)]
pub(super) struct UnplacedCheckpoint {
    dir: Arc<dyn Dir>,
    name: String,
    is_placed: bool,
}

impl UnplacedCheckpoint {
    /// Writes and syncs it.
    ///
    /// # Errors
    /// [`Kind::DiskFull`], [`Kind::Io`]; [`Kind::Offline`] for a failed sync: of this file only, so the
    /// replica stays online.
    pub(super) fn write(replica: &Replica, log_start: Offset) -> Result<Self> {
        let dir = Arc::clone(replica.dir());
        let name = format!("{LOG_START_FILE}.{}{TEMPORARY}", Uuid::random()?);
        let made = dir.open(&name, Open::CreateNew);
        let file = made.map_err(|e| Error::io("make", join(&*dir, &name), e))?;
        let unplaced = UnplacedCheckpoint {
            dir,
            name,
            is_placed: false,
        };
        let path = join(&*unplaced.dir, &unplaced.name);
        file.write_at(log_start_text(replica.tp(), log_start).as_bytes(), 0)
            .map_err(|e| Error::io("write", &path, e))?;
        file.sync_data().map_err(|e| sync_failed(&path, e))?;
        Ok(unplaced)
    }

    /// Renames it into place. The caller holds the append lock.
    ///
    /// # Errors
    /// [`Kind::Busy`] if another raise removed it as a leftover: write it again.
    pub(super) fn put_in_place(&mut self) -> Result<()> {
        match self.dir.rename(&self.name, LOG_START_FILE) {
            Ok(()) => {
                self.is_placed = true;
                Ok(())
            }
            Err(e) => {
                let is_gone = e.kind() == std::io::ErrorKind::NotFound;
                let error = Error::io("put in place", join(&*self.dir, LOG_START_FILE), e);
                Err(if is_gone {
                    error.with_kind(Kind::Busy).cure("try again")
                } else {
                    error
                })
            }
        }
    }
}

impl Drop for UnplacedCheckpoint {
    fn drop(&mut self) {
        if !self.is_placed {
            // If it fails, the next raise removes it.
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Whether a file is a checkpoint under a temporary name. One that is still being put in place may be
/// removed, too: its writer writes it again.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_prefix(LOG_START_FILE)
        .is_some_and(|rest| rest.ends_with(TEMPORARY))
}
