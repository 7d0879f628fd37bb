//! A raise of the log start from its checkpoint to the removal of segments, on one replica.

use std::io::ErrorKind;
use std::time::Duration;

use super::checkpoint::{UnplacedCheckpoint, is_temporary};
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::log::{FileKind, LogPosition, SegmentFile, Segments};
use crate::partition::recovery::ReplicaRecovery;
use crate::partition::replica::Replica;
use crate::partition::state_page::{Intent, StatePage};
use crate::types::{Offset, Uuid};

/// A raise whose checkpoint is on disk, but not in place.
#[derive(Debug)]
pub(crate) struct PreparedStart {
    replica: Uuid,
    /// A compaction that joins segments, or a repair, begins another one.
    generation: u64,
    to: Offset,
    /// The first segment that stays.
    first_kept: Offset,
    /// `None` on a full disk.
    checkpoint: Option<UnplacedCheckpoint>,
}

/// The outcome of [`PreparedStart::publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The page has the new start, or a later one.
    Yes,
    /// The page changed meanwhile in what the raise relies on: prepare it again.
    Changed,
}

/// What a raise removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Segments.
    pub segments: u64,
    /// Bytes of log.
    pub bytes: u64,
}

impl PreparedStart {
    /// Writes the checkpoint of `to`. By `page` the log is durable up to there, and if the start is to
    /// be the log's end, the active segment is empty.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Offline`] after a failed sync of the names, which takes the replica offline.
    pub(crate) fn prepare(
        replica: &Replica,
        page: &StatePage,
        to: Offset,
        timeout: Duration,
    ) -> Result<Self> {
        let dir = &**replica.dir();
        let segments = Segments::list(dir)?.up_to(page.tail.active);
        let gone = segments.wholly_below(to).last();
        let first_kept = match gone {
            Some(last) => segments.after(*last).unwrap_or(page.tail.active),
            None => segments
                .bases()
                .first()
                .copied()
                .unwrap_or(page.tail.active),
        };
        if page.durable.segment < first_kept {
            // The page is about to name the next segment as durable: so is that segment's name.
            replica.sync_page_and_names(timeout)?;
        }
        let checkpoint = match UnplacedCheckpoint::write(replica, to) {
            Ok(written) => Some(written),
            Err(e) if e.kind() == Kind::DiskFull => None,
            Err(e) => return Err(e),
        };
        Ok(PreparedStart {
            replica: page.replica_uuid,
            generation: page.generation,
            to,
            first_kept,
            checkpoint,
        })
    }

    /// Puts the checkpoint in place and publishes the start, in one hold of the append lock. `page` is
    /// the page under that lock, of a replica that is ready.
    ///
    /// # Errors
    /// [`Kind::Io`]; the checkpoint may be in place then, and the next first use adopts it.
    pub(crate) fn publish(
        &mut self,
        recovery: &mut ReplicaRecovery<'_>,
        page: &mut StatePage,
    ) -> Result<Published> {
        if page.replica_uuid != self.replica {
            return Ok(Published::Changed);
        }
        if page.tail.log_start >= self.to {
            return Ok(Published::Yes);
        }
        let shown = page.high_watermark.min(page.last_stable_offset);
        let is_in_order = page.intent == Intent::None
            && page.seal.is_none()
            && page.offline.is_none()
            && page.generation == self.generation;
        let moves_place = page.durable.segment < self.first_kept;
        let is_covered = page.durable.offset >= self.to
            && shown >= self.to
            && page.tail.active >= self.first_kept
            && (!moves_place || page.durable.offset == self.first_kept);
        if !is_in_order || !is_covered {
            return Ok(Published::Changed);
        }
        if let Some(checkpoint) = &mut self.checkpoint {
            match checkpoint.put_in_place() {
                Err(e) if e.kind() == Kind::Busy => return Ok(Published::Changed),
                placed => placed?,
            }
        }
        page.tail.log_start = self.to;
        if moves_place {
            page.durable = LogPosition {
                offset: self.first_kept,
                segment: self.first_kept,
                position: 0,
            };
        }
        recovery.held.publish(page)?;
        // Seldom: as often as leadership moved.
        if recovery.epochs.has_ended_by(self.first_kept) {
            let first = self.first_kept;
            recovery.change_epochs(page, |epochs| epochs.forget_ended_by(first))?;
        }
        Ok(Published::Yes)
    }

    /// Syncs what was published, then removes what lies below the start.
    ///
    /// # Errors
    /// [`Kind::Offline`] after a failed sync, which takes the replica offline; [`Kind::Io`] for a
    /// segment that cannot be removed: the start is raised all the same.
    pub(crate) fn finish(self, replica: &Replica, timeout: Duration) -> Result<Removed> {
        replica.sync_page_and_names(timeout)?;
        remove_below(replica, self.to)
    }
}

/// Removes the segments that lie wholly below `log_start`, which a synced page has published, and what
/// killed raises left.
///
/// # Errors
/// [`Kind::Io`].
pub(crate) fn remove_below(replica: &Replica, log_start: Offset) -> Result<Removed> {
    let dir = &**replica.dir();
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    for entry in entries.iter().filter(|entry| is_temporary(&entry.name)) {
        remove(replica, &entry.name)?;
    }
    let mut removed = Removed::default();
    for base in Segments::list(dir)?.wholly_below(log_start) {
        let log = SegmentFile::new(*base, FileKind::Log).name();
        removed.segments += 1;
        removed.bytes += dir.len_of(&log).unwrap_or_default();
        // The log last: what a kill leaves is found by it.
        for kind in [FileKind::TimeIndex, FileKind::Index, FileKind::Log] {
            remove(replica, &SegmentFile::new(*base, kind).name())?;
        }
    }
    Ok(removed)
}

fn remove(replica: &Replica, name: &str) -> Result<()> {
    match replica.dir().remove(name) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", join(&**replica.dir(), name), e))
        }
        _ => Ok(()),
    }
}
