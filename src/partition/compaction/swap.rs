//! Puts a rewritten segment in place, under the sync lock and the append lock.

use std::time::Duration;

use super::limits::is_in_order;
use crate::error::{Error, Kind, Result};
use crate::log::compaction::{CleanedSegment, remove_joined};
use crate::partition::append::{SyncHeld, SyncLock, SyncNotes};
use crate::partition::replica::{RETRY, Replica};
use crate::partition::state_page::{StatePage, UnseenSync};
use crate::types::{Offset, Uuid};

/// What a swap relies on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis {
    pub boot_id: [u8; 16],
    pub topic_id: Uuid,
    pub replica: Uuid,
    /// As of before the segment was read.
    pub generation: u64,
}

impl Basis {
    /// By a page; `None` if no pass may rely on it.
    pub(super) fn of(page: &StatePage, boot_id: [u8; 16]) -> Option<Self> {
        is_in_order(page, boot_id).then_some(Basis {
            boot_id,
            topic_id: page.topic_id,
            replica: page.replica_uuid,
            generation: page.generation,
        })
    }

    fn holds(&self, page: &StatePage) -> bool {
        is_in_order(page, self.boot_id)
            && page.topic_id == self.topic_id
            && page.replica_uuid == self.replica
            && page.generation == self.generation
    }
}

/// A segment whose files change: where it begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub base: Offset,
    pub end: Offset,
}

/// What must hold of the page.
struct Bounds {
    /// The log starts below.
    starts_below: Offset,
    /// All below is durable, in closed segments.
    durable_to: Offset,
}

/// The locks of a replica's files, and how long each is waited for.
pub(super) struct Swapper<'a> {
    pub replica: &'a Replica,
    pub sync: &'a mut SyncLock,
    pub timeout: Duration,
}

impl Swapper<'_> {
    /// Puts the segment in place; returns the generation then, or `None` if the log changed meanwhile, and
    /// the files are worthless. Deletions below `deletions_gone` are left out in it.
    ///
    /// # Errors
    /// [`Kind::Busy`] if a lock stays taken; [`Kind::Io`]. The log is whole.
    pub(super) fn swap(
        &mut self,
        basis: &Basis,
        changed: Changed,
        cleaned: &mut CleanedSegment<'_>,
        is_joined: bool,
        deletions_gone: Offset,
    ) -> Result<Option<u64>> {
        if deletions_gone > 0 {
            self.replica.checkpoint_deletions(deletions_gone)?;
        }
        let bounds = Bounds {
            starts_below: changed.end,
            durable_to: changed.end,
        };
        self.change(basis, &bounds, |page| {
            page.deletions_gone = page.deletions_gone.max(deletions_gone);
            || cleaned.put_in_place(!is_joined)
        })
    }

    /// Removes the segment that begins where `changed` does: the one before it has its records. With `last`,
    /// that one gets its indexes.
    ///
    /// # Errors
    /// As [`Swapper::swap`].
    pub(super) fn remove(
        &mut self,
        basis: &Basis,
        changed: Changed,
        last: Option<&mut CleanedSegment<'_>>,
    ) -> Result<Option<u64>> {
        let dir = &**self.replica.dir();
        let bounds = Bounds {
            // Else the segment before it is no log, and about to be removed by name.
            starts_below: changed.base,
            durable_to: changed.end,
        };
        self.change(basis, &bounds, |_| {
            move || {
                remove_joined(dir, changed.base)?;
                last.map_or(Ok(()), CleanedSegment::put_indexes_in_place)
            }
        })
    }

    fn change<F: FnOnce() -> Result<()>>(
        &mut self,
        basis: &Basis,
        bounds: &Bounds,
        prepare: impl FnOnce(&mut StatePage) -> F,
    ) -> Result<Option<u64>> {
        let replica = self.replica;
        // No commit is under way then, so none has the old files open, and none is voided.
        let held_sync = self.take_sync()?;
        let held = replica.lock(self.timeout)?;
        let Some(mut page) = held.page()?.filter(|page| basis.holds(page)) else {
            return Ok(None);
        };
        let notes = SyncNotes::read(held_sync.file(), basis.boot_id)
            .map_err(|e| replica.sync_error("read", e))?;
        let is_clear = !notes.unfinished(Some(&page)) && notes.failed.is_none();
        let is_log = page.tail.log_start < bounds.starts_below;
        if !is_clear || !is_log || page.durable.segment < bounds.durable_to {
            return Ok(None);
        }
        let work = prepare(&mut page);
        // A reader that has the old file open sees that it changed, and so does one that opens the new
        // file with what it knows of the old one.
        page.begin_generation(UnseenSync::None);
        held.publish(&mut page)?;
        let done = work();
        page.begin_generation(UnseenSync::None);
        held.publish(&mut page)?;
        drop(held);
        drop(held_sync);
        done?;
        let dir = replica.dir();
        // Nothing unlinked or renamed is needed by anyone, whatever of it a power cut takes back.
        dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        Ok(Some(page.generation))
    }

    fn take_sync(&mut self) -> Result<SyncHeld> {
        let clock = self.replica.clock();
        let started = clock.monotonic();
        loop {
            if let Some(held) = self.sync.try_take(self.replica)? {
                return Ok(held);
            }
            if clock.monotonic().saturating_sub(started) >= self.timeout {
                let text = format!("another process is syncing {}", self.replica.tp());
                return Err(Error::new(Kind::Busy, text).cure("try again"));
            }
            clock.sleep(RETRY);
        }
    }
}
