//! The checkpoints of compaction in a replica's directory: up to where the log is compacted (a hint), and
//! up to where deletions were left out.

use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::log::{CLEANED_FILE, DELETIONS_FILE, log_start_text, parse_log_start, sync_failed};
use crate::partition::recovery::ReplicaRecovery;
use crate::partition::replica::Replica;
use crate::partition::state_page::StatePage;
use crate::store::{is_missing, read_small};
use crate::types::Offset;

impl Replica {
    /// The offset up to which the log is compacted; 0 without a readable checkpoint.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(crate) fn cleaned_to(&self) -> Result<Offset> {
        self.checkpoint(CLEANED_FILE)
    }

    /// The offset up to which deletions were left out, by the checkpoint alone; 0: none were.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(crate) fn checkpointed_deletions(&self) -> Result<Offset> {
        self.checkpoint(DELETIONS_FILE)
    }

    fn checkpoint(&self, name: &str) -> Result<Offset> {
        let text = read_small(&**self.dir(), name)?;
        let offset = text.and_then(|text| parse_log_start(self.tp(), &text).ok());
        Ok(offset.unwrap_or_default())
    }

    /// Notes on disk that deletions below an offset are left out. A failed sync is of this file only.
    ///
    /// # Errors
    /// [`Kind::DiskFull`], [`Kind::Io`].
    pub(crate) fn checkpoint_deletions(&self, to: Offset) -> Result<()> {
        if self.checkpointed_deletions()? >= to {
            return Ok(());
        }
        let text = log_start_text(self.tp(), to);
        let written = self.replace_small(DELETIONS_FILE, text.as_bytes());
        written.map_err(|e| match e.kind() {
            Kind::Offline => e.with_kind(Kind::Io),
            _ => e,
        })
    }
}

impl ReplicaRecovery<'_> {
    /// Before a log that ends at `end` is published: if it was compacted beyond, what comes there next is
    /// not compacted.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Offline`] after a failed sync.
    pub(crate) fn forget_cleaned_beyond(&self, end: Offset) -> Result<()> {
        let replica = self.held.replica();
        if replica.cleaned_to()? <= end {
            return Ok(());
        }
        let dir = &**replica.dir();
        let removed = dir
            .remove(CLEANED_FILE)
            .map_err(|e| Error::io("remove", join(dir, CLEANED_FILE), e));
        match removed {
            Err(e) if !is_missing(&e) => Err(e),
            _ => dir.sync().map_err(|e| sync_failed(dir.path(), e)),
        }
    }

    /// Takes the offset up to which deletions were left out from its checkpoint: the page is lost, or of
    /// another boot.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(crate) fn adopt_deletions_gone(&self, page: &mut StatePage) -> Result<()> {
        let gone = self.held.replica().checkpointed_deletions()?;
        page.deletions_gone = page.deletions_gone.max(gone);
        Ok(())
    }
}
