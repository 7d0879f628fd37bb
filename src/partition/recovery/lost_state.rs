//! Lost-state recovery, for a replica whose page file is gone: its log moves into a new directory
//! with an empty page, which a recovery then fills.
//!
//! A process that held the lock on the lost page and was stopped resumes in the old directory. That
//! is empty by then; or the process has the file of the active segment open, which was copied, not
//! moved. So nothing that it still writes reaches the new directory.
//!
//! 1. Everything happens under the store's fenced lock, and only while the topic file names the
//!    replica whose ids the directory holds.
//! 2. The new directory is created beside the old one, under a name made of the replica's id. It
//!    gets its page (zeros: neither copy sound) before anything is moved into it.
//! 3. Closed segments are renamed into it; the last one is copied. The last one never leaves the
//!    old directory, so that a process that finishes another's lost-state recovery knows which to
//!    copy.
//! 4. Everything is synced before the last segment is removed from the old directory: once the old
//!    one holds no segment, the new one is whole. The other files are removed next, the ids last.
//!    Once the old directory is gone, only the new one's name is missing.
//! 5. The new directory is reached by path only, so that a process that was stopped cannot write to
//!    it. The old one is emptied through its descriptor, and its name is removed only if it is
//!    empty: if the new directory has that name already, it is not empty.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{
    DELETIONS_FILE, FileKind, LOG_START_FILE, LeaderEpochs, PartitionMetadata, SegmentFile,
    sync_failed,
};
use crate::partition::append::{CommitNote, SYNC_FILE};
use crate::partition::replica::Replica;
use crate::partition::replication;
use crate::partition::state_page::{PAGE_FILE, PAGE_FILE_BYTES};
use crate::store::{self, FencedGuard, FencedLock, StoreDir, TopicHandle, read_small};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// The timeout for the store's lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one read while a segment is copied.
const COPY_BYTES: usize = 1 << 20;

/// Opens the partition's leader replica, after a lost-state recovery if its page file is gone. Not
/// if another in-sync replica has records: the directory may be in removal, with only part of the
/// log left. That replica should lead.
///
/// # Errors
/// As [`Replica::open`]; [`Kind::Busy`], [`Kind::UnusableStore`] if it needs a lost-state recovery
/// and this process cannot do it.
pub(crate) fn open_replica(
    store: &StoreDir,
    topic: &TopicHandle,
    tp: &TopicPartition,
) -> Result<Replica> {
    let leader = topic.partition(tp.partition)?.leader;
    match Replica::open(store, tp, leader) {
        Err(e) if e.kind() == Kind::Fenced => {
            let uuid = topic.replica_uuid(tp.partition)?;
            let lost = LostState {
                store,
                tp,
                broker: leader,
                topic_id: topic.meta().topic_id,
                uuid,
            };
            let partition = topic.partition(tp.partition)?;
            if replication::holder(store, tp, partition).is_some() {
                return Err(e);
            }
            if lost.is_due()? && lost.restore()? {
                Replica::open(store, tp, leader)
            } else {
                Err(e)
            }
        }
        other => other,
    }
}

/// A replica whose page file is gone.
struct LostState<'a> {
    store: &'a StoreDir,
    tp: &'a TopicPartition,
    broker: BrokerId,
    topic_id: Uuid,
    uuid: Uuid,
}

/// The files of the replica that were found.
struct Found {
    old: bool,
    old_page: bool,
    new_page: bool,
}

impl LostState<'_> {
    fn old_name(&self) -> String {
        store::replica_dir(self.tp)
    }

    fn new_name(&self) -> String {
        store::future_dir(self.tp, &self.uuid)
    }

    fn observe(&self, logs: &dyn Dir) -> Result<Found> {
        let is = |name: String| match logs.id(&name) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", join(logs, &name), e)),
        };
        Ok(Found {
            old: is(self.old_name())?,
            old_page: is(format!("{}/{PAGE_FILE}", self.old_name()))?,
            new_page: is(format!("{}/{PAGE_FILE}", self.new_name()))?,
        })
    }

    /// Whether there is something to recover from, as far as can be seen without a lock.
    fn is_due(&self) -> Result<bool> {
        let found = self.observe(&*self.store.logs_dir(self.broker)?)?;
        Ok(found.old_page || found.old || found.new_page)
    }

    /// Recovers it; `false` if the topic file no longer names it, or the directory is another
    /// replica's.
    fn restore(&self) -> Result<bool> {
        let guard = FencedLock::acquire_store(self.store, "recover a replica", TIMEOUT)?;
        // If another process took the lock over, it moved the files that this one misses.
        self.restore_under(&guard)
            .map_err(|e| guard.unless_fenced(e))
    }

    fn restore_under(&self, guard: &FencedGuard) -> Result<bool> {
        let logs = self.store.logs_dir(self.broker)?;
        let found = self.observe(&*logs)?;
        if found.old_page {
            return Ok(true);
        }
        let Some((meta, _)) = crate::store::read_if_there(self.store, &self.tp.topic)? else {
            return Ok(false);
        };
        let named = meta.topic_id == self.topic_id
            && meta
                .partitions
                .iter()
                .flat_map(|p| &p.replicas)
                .any(|r| r.uuid == self.uuid);
        if !named {
            return Ok(false);
        }
        if found.old {
            let old = self.open_old(&*logs)?;
            // The lock was held at least until here, so this is not the new directory.
            guard.step()?;
            if !found.new_page || holds_log(&*old)? {
                if !self.is_the_one(&*old)? {
                    return Ok(false);
                }
                self.fill(guard, &*logs)?;
            }
            self.remove_old(guard, &*logs, &*old)?;
        } else if !found.new_page {
            return Ok(false);
        }
        let (from, to) = (self.new_name(), self.old_name());
        match logs.rename_new(&from, &to) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io("put in place", join(&*logs, &to), e));
            }
            _ => {}
        }
        logs.sync().map_err(|e| sync_failed(logs.path(), e))?;
        Ok(true)
    }

    fn open_old(&self, logs: &dyn Dir) -> Result<Arc<dyn Dir>> {
        let name = self.old_name();
        logs.open_dir(&name)
            .map_err(|e| Error::io("open", join(logs, &name), e))
    }

    /// Whether the directory's ids are those of this replica.
    fn is_the_one(&self, old: &dyn Dir) -> Result<bool> {
        let metadata = read_small(old, PartitionMetadata::FILE)?;
        let Some(metadata) = metadata.and_then(|t| PartitionMetadata::parse(&t).ok()) else {
            return Err(Error::new(
                Kind::Damaged,
                format!(
                    "{} has neither a page nor readable ids",
                    old.path().display()
                ),
            )
            .cure("restore the directory from a backup, or delete the topic"));
        };
        Ok(metadata.topic_id == self.topic_id && metadata.replica_uuid == Some(self.uuid))
    }

    /// Removes the old directory: the new one is whole.
    fn remove_old(&self, guard: &FencedGuard, logs: &dyn Dir, old: &dyn Dir) -> Result<()> {
        let rounds: [fn(&str) -> bool; 3] =
            [is_log, |name| name != PartitionMetadata::FILE, |_| true];
        for is_due in rounds {
            guard.step()?;
            let entries = old
                .list(".")
                .map_err(|e| Error::io("list", old.path(), e))?;
            for entry in entries.iter().filter(|entry| is_due(&entry.name)) {
                match old.remove(&entry.name) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        return Err(Error::io("remove", join(old, &entry.name), e));
                    }
                    _ => {}
                }
            }
            old.sync().map_err(|e| sync_failed(old.path(), e))?;
        }
        logs.remove_dir(&self.old_name()).map_err(|e| {
            // A process that was stopped in the directory has just created a file there.
            let is_late = e.kind() == ErrorKind::DirectoryNotEmpty;
            let error = Error::io("remove", old.path(), e);
            if is_late {
                error.with_kind(Kind::Busy).cure("try again")
            } else {
                error
            }
        })
    }

    /// Creates what is missing of the new directory, and moves the log into it.
    fn fill(&self, guard: &FencedGuard, logs: &dyn Dir) -> Result<()> {
        let (old, new) = (self.old_name(), self.new_name());
        let error = |op: &'static str, name: &str, e| Error::io(op, join(logs, name), e);
        match logs.create_dir(&new) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(error("make", &new, e)),
            _ => {}
        }
        let ids = PartitionMetadata {
            topic_id: self.topic_id,
            replica_uuid: Some(self.uuid),
        };
        self.write(logs, PartitionMetadata::FILE, ids.to_text().as_bytes())?;
        if let Some(epochs) = read_small(logs, &format!("{old}/{}", LeaderEpochs::FILE))? {
            self.write(logs, LeaderEpochs::FILE, &epochs)?;
        }
        for checkpoint in [LOG_START_FILE, DELETIONS_FILE] {
            if let Some(text) = read_small(logs, &format!("{old}/{checkpoint}"))? {
                self.write(logs, checkpoint, &text)?;
            }
        }
        // The lost notes may be of syncs whose outcome is unknown, or that failed.
        let lost = || CommitNote::unseen(self.store.boot_id());
        let notes = read_small(logs, &format!("{old}/{SYNC_FILE}"))?.unwrap_or_else(lost);
        self.write(logs, SYNC_FILE, &notes)?;
        let page = format!("{new}/{PAGE_FILE}");
        let file = logs
            .open(&page, Open::Create)
            .map_err(|e| error("make", &page, e))?;
        file.set_len(PAGE_FILE_BYTES)
            .map_err(|e| error("lengthen", &page, e))?;
        file.sync_data()
            .map_err(|e| sync_failed(join(logs, &page), e))?;
        sync_dir(logs, &new)?;
        logs.sync().map_err(|e| sync_failed(logs.path(), e))?;
        let mut files: Vec<SegmentFile> = logs
            .list(&old)
            .map_err(|e| error("list", &old, e))?
            .iter()
            .filter_map(|entry| SegmentFile::parse(&entry.name))
            .filter(|file| matches!(file.kind, FileKind::Log | FileKind::Cut(_)))
            .collect();
        files.sort_unstable();
        let last = files
            .iter()
            .rev()
            .find(|file| file.kind == FileKind::Log)
            .copied();
        for file in files.into_iter().filter(|file| Some(*file) != last) {
            guard.step()?;
            let (from, to) = (
                format!("{old}/{}", file.name()),
                format!("{new}/{}", file.name()),
            );
            logs.rename(&from, &to)
                .map_err(|e| error("move", &from, e))?;
        }
        if let Some(last) = last {
            self.copy(guard, logs, last)?;
        }
        sync_dir(logs, &new)?;
        sync_dir(logs, &old)
    }

    /// Writes a small file of the new directory whole.
    fn write(&self, logs: &dyn Dir, name: &str, bytes: &[u8]) -> Result<()> {
        let to = format!("{}/{name}", self.new_name());
        let temporary = format!("{to}.tmp");
        let file = make_new(logs, &temporary)?;
        file.write_at(bytes, 0)
            .map_err(|e| Error::io("write", join(logs, &temporary), e))?;
        file.sync_data()
            .map_err(|e| sync_failed(join(logs, &temporary), e))?;
        logs.rename(&temporary, &to)
            .map_err(|e| Error::io("put in place", join(logs, &to), e))
    }

    fn copy(&self, guard: &FencedGuard, logs: &dyn Dir, segment: SegmentFile) -> Result<()> {
        let from = format!("{}/{}", self.old_name(), segment.name());
        let to = format!("{}/{}", self.new_name(), segment.name());
        let temporary = format!(
            "{}/{}",
            self.new_name(),
            SegmentFile::new(segment.base, FileKind::Rewrite).name()
        );
        let source = logs
            .open(&from, Open::Read)
            .map_err(|e| Error::io("open", join(logs, &from), e))?;
        let copy = make_new(logs, &temporary)?;
        let (mut buf, mut at) = (vec![0; COPY_BYTES], 0);
        loop {
            guard.step()?;
            let read = source
                .read_at(&mut buf, at)
                .map_err(|e| Error::io("read", join(logs, &from), e))?;
            let part = buf.get(..read).unwrap_or_default();
            copy.write_at(part, at)
                .map_err(|e| Error::io("write", join(logs, &temporary), e))?;
            at += read as u64;
            if read < COPY_BYTES {
                break;
            }
        }
        copy.sync_data()
            .map_err(|e| sync_failed(join(logs, &temporary), e))?;
        logs.rename(&temporary, &to)
            .map_err(|e| Error::io("put in place", join(logs, &to), e))
    }
}

/// Removes what a lost-state recovery, or the loss of a page, left of the replica of a deleted
/// topic.
pub(crate) fn remove_lost(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    topic_id: Uuid,
    uuid: Uuid,
    timeout: Duration,
) -> Result<()> {
    let lost = LostState {
        store,
        tp,
        broker,
        topic_id,
        uuid,
    };
    let logs = store.logs_dir(broker)?;
    // Without a page it has no append lock, so it is moved in a critical section of the store's
    // lock, as every process moves such directories.
    let found = lost.observe(&*logs)?;
    let guard = (found.old && !found.old_page)
        .then(|| FencedLock::acquire_store(store, "remove a directory without a page", timeout))
        .transpose()?;
    let found = lost.observe(&*logs)?;
    let is_the_one = || {
        let old = lost.open_old(&*logs);
        old.and_then(|old| lost.is_the_one(&*old)).unwrap_or(false)
    };
    if let Some(guard) = &guard
        && found.old
        && !found.old_page
        && is_the_one()
    {
        guard.step()?;
        let aside = store::aside_dir(tp, &Uuid::random()?);
        if logs.rename_new(&lost.old_name(), &aside).is_ok() {
            crate::partition::removal::remove_dir(&*logs, &aside);
        }
    }
    crate::partition::removal::remove_dir(&*logs, &lost.new_name());
    Ok(())
}

fn is_log(name: &str) -> bool {
    SegmentFile::parse(name).is_some_and(|file| file.kind == FileKind::Log)
}

fn holds_log(dir: &dyn Dir) -> Result<bool> {
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    Ok(entries.iter().any(|entry| is_log(&entry.name)))
}

/// Creates a file that no other process has open.
fn make_new(logs: &dyn Dir, name: &str) -> Result<Arc<dyn File>> {
    match logs.remove(name) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", join(logs, name), e));
        }
        _ => {}
    }
    logs.open(name, Open::CreateNew)
        .map_err(|e| Error::io("make", join(logs, name), e))
}

fn sync_dir(logs: &dyn Dir, name: &str) -> Result<()> {
    let dir = logs
        .open_dir(name)
        .map_err(|e| Error::io("open", join(logs, name), e))?;
    dir.sync().map_err(|e| sync_failed(join(logs, name), e))
}
