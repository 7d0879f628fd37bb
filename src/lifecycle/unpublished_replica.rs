//! A replica directory that was made, and that the topic file does not name yet.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock::MakerLock;
use super::strays::named;
use crate::clock::Clock;
use crate::disk::{Dir, File, Identity, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{DELETIONS_FILE, FileKind, LeaderEpochs, SegmentFile, Tail, log_start_text};
use crate::partition::{PAGE_FILE, RETRY, StatePage};
use crate::store::{self, ReplicaMeta, StoreDir, replace_small};
use crate::timing::PROBE_WITHIN;
use crate::types::{Offset, TopicPartition};

/// A replica directory that was made. It is in place, and does not count as an orphan until it is
/// settled or discarded, or this value is dropped. It keeps no file open: thousands are made
/// together.
#[derive(Debug)]
pub struct UnpublishedReplica {
    pub(crate) tp: TopicPartition,
    pub(crate) logs: Arc<dyn Dir>,
    /// Its name in there, when it was filled.
    pub(crate) name: String,
    pub(crate) page: StatePage,
    pub(crate) meta: ReplicaMeta,
    /// The directory's identity, to distinguish it from others that get its name.
    pub(crate) identity: Identity,
    /// Shared by the replicas that are made together.
    pub(crate) maker: Arc<MakerLock>,
}

impl UnpublishedReplica {
    /// Its partition.
    pub fn tp(&self) -> &TopicPartition {
        &self.tp
    }

    /// What the topic file will say of it.
    pub fn meta(&self) -> ReplicaMeta {
        self.meta
    }

    /// Whether it is still in its place. A caller that names it in a topic file checks this in the
    /// same critical section of the store's lock: no process would make a replica again that was
    /// removed by hand meanwhile.
    pub(crate) fn is_in_place(&self) -> Result<bool> {
        let name = store::replica_dir(&self.tp);
        match self.logs.identity(&name) {
            Ok(found) => Ok(found == self.identity),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", join(&*self.logs, &name), e)),
        }
    }

    pub(crate) fn open_dir(&self) -> Result<Arc<dyn Dir>> {
        let opened = self.logs.open_dir(&self.name);
        opened.map_err(|e| Error::io("open", join(&*self.logs, &self.name), e))
    }

    /// Removes the empty segment that it was made with: other segments come into the directory.
    pub(crate) fn remove_first_segment(&self) -> Result<()> {
        let dir = self.open_dir()?;
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(0, kind).name();
            let removed = dir.remove(&name);
            removed.map_err(|e| Error::io("remove", join(&*dir, &name), e))?;
        }
        Ok(())
    }

    /// Its state page in that directory, locked, and the page's content. `None` if another process
    /// has the lock, or the directory is another replica's by now.
    pub(crate) fn lock_page(
        &self,
        clock: &dyn Clock,
        dir: &str,
        timeout: Duration,
    ) -> Result<Option<(Arc<dyn File>, StatePage)>> {
        let path = format!("{dir}/{PAGE_FILE}");
        let error =
            |op| move |e| Error::io(op, join(&*self.logs, &format!("{dir}/{PAGE_FILE}")), e);
        let file = match self.logs.open(&path, Open::Write) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error("open")(e)),
        };
        let started = clock.monotonic();
        while !file.try_lock(LockKind::Exclusive).map_err(error("lock"))? {
            if clock.monotonic().saturating_sub(started) >= timeout {
                return Ok(None);
            }
            clock.sleep(RETRY);
        }
        let page = StatePage::read(&*file, clock).map_err(error("read"))?;
        let own = page.filter(|page| page.replica_uuid == self.meta.uuid);
        Ok(own.map(|page| (file, page)))
    }

    /// Makes it begin with segments that were moved into it. Everything is synced.
    pub(crate) fn begin_with(&mut self, clock: &dyn Clock, reused: &ReusedSegments) -> Result<()> {
        let opened = self.open_dir()?;
        let (dir, tail) = (&*opened, reused.tail);
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(tail.active, kind).name();
            let made = dir.open(&name, Open::CreateNew);
            made.map_err(|e| Error::io("make", join(dir, &name), e))?;
        }
        let epochs = reused.epochs.to_text();
        replace_small(dir, LeaderEpochs::FILE, epochs.as_bytes())?;
        if reused.deletions_gone > 0 {
            let text = log_start_text(&self.tp, reused.deletions_gone);
            replace_small(dir, DELETIONS_FILE, text.as_bytes())?;
        }
        dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        self.page.tail = tail;
        self.page.durable = tail.place();
        self.page.high_watermark = tail.log_start;
        self.page.last_stable_offset = tail.log_start;
        self.page.deletions_gone = reused.deletions_gone;
        let error = |op| move |e| Error::io(op, join(dir, PAGE_FILE), e);
        let Some((file, _)) = self.lock_page(clock, &self.name, PROBE_WITHIN)? else {
            let text = format!("{} was taken from its maker", dir.path().display());
            return Err(Error::new(Kind::Busy, text).cure("try again"));
        };
        self.page.write(&*file).map_err(error("write"))?;
        file.sync_data().map_err(error("sync"))
    }

    /// Releases the directory, once a topic file of that version names it: its name is synced.
    pub(crate) fn settle(&self, store: &StoreDir, version: u64) -> Result<()> {
        let name = store::replica_dir(&self.tp);
        let clock = &**store.clock();
        // If a writer has the lock by now, the writer syncs the names itself.
        let locked = self.lock_page(clock, &name, Duration::ZERO)?;
        let Some((file, mut page)) = locked else {
            if self.is_in_place()? || !named(store, &self.tp, self.meta.uuid)? {
                return Ok(());
            }
            let text = format!(
                "{} was removed while it was made",
                join(&*self.logs, &name).display()
            );
            return Err(Error::new(Kind::Io, text).cure(format!(
                "delete topic {} and create it again",
                self.tp.topic
            )));
        };
        page.synced_version = page.synced_version.max(version);
        page.maker = None;
        let written = page.write(&*file);
        let path = format!("{name}/{PAGE_FILE}");
        written.map_err(|e| Error::io("write", join(&*self.logs, &path), e))
    }
}

/// How a log begins whose first segments are reused.
#[derive(Debug)]
pub(crate) struct ReusedSegments {
    /// Its tail: an empty segment after the reused ones.
    pub tail: Tail,
    /// The leader epochs of the reused segments.
    pub epochs: LeaderEpochs,
    /// Deletions of keys below this offset are left out in them.
    pub deletions_gone: Offset,
}
