//! A handle on one replica directory: its page, its append lock, and whether its path still names
//! this directory.
//!
//! Each handle has its own descriptors, so two threads with a handle each exclude each other as two
//! processes do. Files are opened by name within the directory that was opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::append::{CommitNote, SYNC_FILE, SyncNotes};
use super::state_page::{
    HEARTBEAT_AT, MOVER_HEARTBEAT_AT, Offline, PAGE_FILE, SERVED_AT, StatePage, UnseenSync,
};
use crate::clock::Clock;
use crate::disk::{Dir, File, FileId, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{LeaderEpochs, PartitionMetadata, sync_failed};
use crate::store::{self, Heartbeat, StoreDir, WriteProbe, read_small, replace_small};
use crate::types::{BrokerId, Offset, TopicPartition};

/// The pause between two tries for a lock. It does not grow: that would starve the longest waiter.
pub(crate) const RETRY: Duration = Duration::from_micros(50);

/// A replica directory that is open.
#[derive(Debug)]
pub struct Replica {
    tp: TopicPartition,
    logs: Arc<dyn Dir>,
    dir: Arc<dyn Dir>,
    page: Arc<dyn File>,
    name: String,
    dir_id: FileId,
    boot_id: [u8; 16],
    clock: Arc<dyn Clock>,
    disk: Arc<dyn crate::disk::Disk>,
    /// Whether the page was compared with the log's files.
    proven: AtomicBool,
}

impl Replica {
    /// Opens the replica of `tp` that `broker` holds.
    ///
    /// # Errors
    /// [`Kind::Damaged`] where the directory or its page is missing; [`Kind::Io`].
    pub fn open(store: &StoreDir, tp: &TopicPartition, broker: BrokerId) -> Result<Self> {
        Replica::open_in(store, tp, store.logs_dir(broker)?)
    }

    /// Opens the replica of `tp` in a log directory that is open.
    ///
    /// # Errors
    /// As [`Replica::open`].
    pub fn open_in(store: &StoreDir, tp: &TopicPartition, logs: Arc<dyn Dir>) -> Result<Self> {
        let name = store::replica_dir(tp);
        let dir = logs
            .open_dir_kept(&name)
            .map_err(|e| missing(&*logs, &name, tp, e))?;
        let page = dir.open_kept(PAGE_FILE, Open::Write).or_else(|e| {
            // A store that this process may only read can still be read.
            if matches!(
                e.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) {
                dir.open_kept(PAGE_FILE, Open::Read)
            } else {
                Err(e)
            }
        });
        let page = page.map_err(|e| missing(&*dir, PAGE_FILE, tp, e))?;
        // An open file's id does not change, so it is read once.
        let dir_id = dir
            .own_id()
            .map_err(|e| Error::io("look at", dir.path(), e))?;
        Ok(Replica {
            tp: tp.clone(),
            name,
            dir_id,
            logs,
            dir,
            page,
            boot_id: store.boot_id(),
            clock: Arc::clone(store.clock()),
            disk: Arc::clone(store.disk()),
            proven: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(crate) fn set_proven(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Its partition.
    pub fn tp(&self) -> &TopicPartition {
        &self.tp
    }

    /// The replica's directory.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// The log directory that contains it.
    pub(crate) fn logs(&self) -> &Arc<dyn Dir> {
        &self.logs
    }

    /// This boot.
    pub(crate) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn page_file(&self) -> &dyn File {
        &*self.page
    }

    /// Whether the path still names the page that is open: two look-ups.
    pub fn in_place(&self) -> Result<bool> {
        // If the directory's descriptor was closed, the ids are compared when it is opened again.
        Ok(store::names(&*self.logs, &self.name, self.dir_id)?
            && store::leads_to(&*self.dir, PAGE_FILE, &*self.page)?)
    }

    /// The published page; `None` if neither copy is sound. Takes no lock.
    pub fn read_page(&self) -> Result<Option<StatePage>> {
        StatePage::read(&*self.page, &*self.clock).map_err(|e| self.page_error("read", e))
    }

    /// Whether each of the page's two copies is sound.
    pub fn page_copies(&self) -> Result<[bool; 2]> {
        StatePage::copies(&*self.page, &*self.clock).map_err(|e| self.page_error("read", e))
    }

    /// The published page, if both its copies are sound: a bad copy may be the newer one.
    pub(crate) fn read_whole_page(&self) -> Result<Option<StatePage>> {
        let copies =
            StatePage::copies(&*self.page, &*self.clock).map_err(|e| self.page_error("read", e))?;
        if copies == [true, true] {
            self.read_page()
        } else {
            Ok(None)
        }
    }

    /// Takes the append lock, trying for up to `timeout`.
    ///
    /// # Errors
    /// [`Kind::Busy`] naming the holder; [`Kind::Fenced`] if the path names another directory now.
    pub fn lock(&self, timeout: Duration) -> Result<AppendGuard<'_>> {
        let started = self.clock.monotonic();
        let mut first_heartbeat = None;
        loop {
            let suspend = store::enter();
            let locked = self
                .page
                .try_lock(LockKind::Exclusive)
                .map_err(|e| self.page_error("lock", e))?;
            if locked {
                let held = AppendGuard {
                    replica: self,
                    heartbeat: Heartbeat::start(Arc::clone(&self.page), HEARTBEAT_AT),
                    _suspend: suspend,
                };
                if !self.in_place()? {
                    return Err(Error::new(
                        Kind::Fenced,
                        format!("the directory of {} was replaced", self.tp),
                    )
                    .cure("look at the topic again: it was deleted, or created again"));
                }
                return Ok(held);
            }
            drop(suspend);
            let first_heartbeat = *first_heartbeat.get_or_insert_with(|| self.heartbeat());
            if self.clock.monotonic() - started >= timeout {
                return Err(self.busy(timeout, first_heartbeat));
            }
            self.clock.sleep(RETRY);
        }
    }

    /// The heartbeat counter of the append lock's holder. A holder increments it only once it holds
    /// the lock long; it does not change if the holder is stopped.
    pub fn heartbeat(&self) -> u64 {
        store::read(&*self.page, HEARTBEAT_AT)
    }

    /// The reading that must not change before the holder of the append lock counts as stopped.
    pub fn holders_reading(&self, served: &mut WriteProbe) -> u64 {
        served.reading(&self.page, HEARTBEAT_AT, SERVED_AT, &self.clock)
    }

    /// The reading that must not change before a seal counts as abandoned by the process that
    /// transfers leadership.
    pub fn movers_reading(&self, served: &mut WriteProbe) -> u64 {
        served.reading(&self.page, MOVER_HEARTBEAT_AT, SERVED_AT, &self.clock)
    }

    /// Starts the heartbeat for a seal before a leadership transfer.
    pub(crate) fn heartbeat_as_mover(&self) -> Heartbeat {
        Heartbeat::start(Arc::clone(&self.page), MOVER_HEARTBEAT_AT)
    }

    /// Whether the append lock is free: takes it and releases it at once.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn is_free(&self) -> Result<bool> {
        let _suspend = store::enter();
        let free = self
            .page
            .try_lock(LockKind::Exclusive)
            .map_err(|e| self.page_error("lock", e))?;
        if free {
            self.page
                .unlock()
                .map_err(|e| self.page_error("unlock", e))?;
        }
        Ok(free)
    }

    fn busy(&self, timeout: Duration, first_heartbeat: u64) -> Error {
        let holder = self
            .page
            .id()
            .map(|id| self.disk.lock_holders(id))
            .unwrap_or_default()
            .first()
            .map_or_else(
                || "another process".to_owned(),
                |pid| format!("process {pid}"),
            );
        if self.heartbeat() != first_heartbeat {
            let text = format!(
                "REQUEST_TIMED_OUT: {holder} has been working on the log of {} for {} ms or more: it \
                 recovers or rewrites the log, or its disk is slow",
                self.tp,
                timeout.as_millis()
            );
            return Error::new(Kind::Busy, text).cure("try again, or wait for longer (--timeout)");
        }
        Error::new(
            Kind::Busy,
            format!(
                "REQUEST_TIMED_OUT: {holder} holds the append lock of {} for {} ms",
                self.tp,
                timeout.as_millis()
            ),
        )
        .cure("if that process is stopped, continue or kill it ('mq-broker locks' lists holders), then try again")
    }

    /// Makes the published page and the directory durable. A failed sync takes the replica offline.
    ///
    /// # Errors
    /// [`Kind::Offline`]; [`Kind::Busy`] if the append lock stays taken after a failed sync.
    pub(crate) fn sync_page_and_names(&self, timeout: Duration) -> Result<()> {
        let dir = &*self.dir;
        let names = dir.sync().map_err(|e| sync_failed(dir.path(), e));
        let synced = names.and_then(|()| {
            let page = self.page.sync_data();
            page.map_err(|e| sync_failed(join(dir, PAGE_FILE), e))
        });
        let Err(e) = synced else {
            return Ok(());
        };
        let held = self.lock(timeout)?;
        if let Some(mut page) = held.page()?.filter(|page| page.offline.is_none()) {
            held.take_offline(&mut page, Offline::SyncFailed)?;
        }
        Err(e)
    }

    pub(crate) fn page_error(&self, op: &'static str, e: std::io::Error) -> Error {
        Error::io(op, join(&*self.dir, PAGE_FILE), e)
    }

    /// The epoch checkpoint; `None` if it is missing or unreadable (recovery recreates it from the
    /// batches).
    pub fn epochs(&self) -> Result<Option<LeaderEpochs>> {
        Ok(self
            .read_small(LeaderEpochs::FILE)?
            .and_then(|text| LeaderEpochs::parse(&text).ok()))
    }

    /// Whether there is an epoch checkpoint.
    pub(crate) fn has_epochs(&self) -> Result<bool> {
        match self.dir.id(LeaderEpochs::FILE) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io(
                "look at",
                join(&*self.dir, LeaderEpochs::FILE),
                e,
            )),
        }
    }

    /// The ids that the directory was created with; `None` if unreadable.
    pub fn metadata(&self) -> Result<Option<PartitionMetadata>> {
        let text = self.read_small(PartitionMetadata::FILE)?;
        Ok(text.and_then(|text| PartitionMetadata::parse(&text).ok()))
    }

    /// Replaces a small file whole: temporary file, sync, rename, sync of the directory.
    pub(crate) fn replace_small(&self, name: &str, bytes: &[u8]) -> Result<()> {
        replace_small(&*self.dir, name, bytes)
    }

    /// The notes in `sync.lock`.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(crate) fn sync_notes(&self) -> Result<SyncNotes> {
        match self.dir.open(SYNC_FILE, Open::Read) {
            Ok(file) => {
                SyncNotes::read(&*file, self.boot_id).map_err(|e| self.sync_error("read", e))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(SyncNotes {
                lost: true,
                ..SyncNotes::default()
            }),
            Err(e) => Err(self.sync_error("open", e)),
        }
    }

    /// Why the replica is offline, by its page or by the note of a failed sync: if the page's newer
    /// copy was lost, only the note still says so.
    pub fn offline(&self, page: &StatePage) -> Result<Option<Offline>> {
        if page.offline.is_some() {
            return Ok(page.offline);
        }
        let failed = self.sync_notes()?.failed;
        let lost = failed.is_some_and(|note| note.generation > page.generation);
        Ok(lost.then_some(Offline::SyncFailed))
    }

    pub(crate) fn sync_error(&self, op: &'static str, e: std::io::Error) -> Error {
        Error::io(op, join(&*self.dir, SYNC_FILE), e)
    }

    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read_small(&*self.dir, name)
    }
}

fn missing(dir: &dyn Dir, name: &str, tp: &TopicPartition, e: std::io::Error) -> Error {
    if e.kind() == std::io::ErrorKind::NotFound {
        Error::new(
            Kind::Fenced,
            format!(
                "NOT_LEADER_OR_FOLLOWER: {} is not there",
                join(dir, name).display()
            ),
        )
        .cure(format!(
            "run 'mq-topics describe {}'; if the topic exists, restore the directory from a backup",
            tp.topic
        ))
    } else {
        Error::io("open", join(dir, name), e)
    }
}

/// The append lock, held. Dropping the guard releases it.
#[derive(Debug)]
pub struct AppendGuard<'a> {
    replica: &'a Replica,
    /// A heartbeat starts once the lock is held long, for an append too: on a slow disk its writes
    /// wait.
    heartbeat: Heartbeat,
    _suspend: store::SuspendGuard,
}

impl AppendGuard<'_> {
    /// The lock's replica.
    pub(crate) fn replica(&self) -> &Replica {
        self.replica
    }

    /// Stops the heartbeat, as if this process were stopped.
    #[cfg(test)]
    pub fn stand_still(&self) {
        self.heartbeat.stand_still();
    }

    /// The page, read under the lock.
    pub fn page(&self) -> Result<Option<StatePage>> {
        self.replica.read_page()
    }

    /// Publishes.
    pub(crate) fn publish(&self, page: &mut StatePage) -> Result<()> {
        page.write(self.replica.page_file())
            .map_err(|e| self.replica.page_error("write", e))
    }

    /// Publishes and makes the page durable.
    pub(crate) fn publish_synced(&self, page: &mut StatePage) -> Result<()> {
        self.publish(page)?;
        self.replica.page_file().sync_data().map_err(|e| {
            if page.offline.is_none() {
                // The mark is in the page cache, where every process sees it; no caller could act
                // on a failure.
                page.offline = Some(Offline::SyncFailed);
                page.begin_generation(UnseenSync::Offline);
                self.note_failed(page);
                let _ = self.publish(page);
            }
            sync_failed(join(&*self.replica.dir, PAGE_FILE), e)
        })
    }

    /// Takes the replica offline for every process.
    pub(crate) fn take_offline(&self, page: &mut StatePage, why: Offline) -> Result<()> {
        page.offline = Some(why);
        page.begin_generation(UnseenSync::Offline);
        if why == Offline::SyncFailed {
            self.note_failed(page);
        }
        if why == Offline::Removed {
            // The mark is for processes that have the page open: after a power cut there is none.
            return self.publish(page);
        }
        self.publish_synced(page)
    }

    /// Leaves the note of a failed sync, which outlives a lost page. The page's mark decides, so a
    /// failure to write the note is ignored.
    pub(crate) fn note_failed(&self, page: &StatePage) {
        let note = CommitNote {
            boot_id: self.replica.boot_id,
            generation: page.generation,
            end: page.tail.end,
            pid: std::process::id(),
        };
        if let Ok(file) = self.replica.dir.open(SYNC_FILE, Open::Create) {
            let _ = note.write_failed(&*file);
        }
    }

    /// Leaves the note of a recovery's syncs: if this process dies within one, no process believes
    /// a later sync. `end`: the log end that they cover.
    pub(crate) fn note_recovery(&self, generation: u64, end: Offset) -> Result<()> {
        let note = CommitNote {
            boot_id: self.replica.boot_id,
            generation,
            end,
            pid: std::process::id(),
        };
        self.replica
            .dir
            .open(SYNC_FILE, Open::Create)
            .and_then(|file| note.write_recovery(&*file))
            .map_err(|e| self.replica.sync_error("write", e))
    }

    /// Clears the note of a recovery's syncs. The new generation voids the note as well, so a
    /// failure is ignored.
    pub(crate) fn clear_recovery(&self) {
        if let Ok(file) = self.replica.dir.open(SYNC_FILE, Open::Write) {
            let _ = CommitNote::clear_recovery(&*file);
        }
    }

    /// Clears the note of a failed sync, after all that the sync covered was rewritten.
    pub(crate) fn clear_failed(&self) -> Result<()> {
        self.replica
            .dir
            .open(SYNC_FILE, Open::Create)
            .and_then(|file| CommitNote::clear_failed(&*file))
            .map_err(|e| self.replica.sync_error("write", e))
    }
}

impl Drop for AppendGuard<'_> {
    fn drop(&mut self) {
        self.heartbeat.end();
        // Closing the file releases the lock as well, so a failure is ignored.
        let _ = self.replica.page_file().unlock();
    }
}

/// The error for a replica that is offline.
pub(crate) fn offline_error(replica: &Replica, why: Offline) -> Error {
    let tp = replica.tp();
    match why {
        Offline::SyncFailed => Error::new(
            Kind::Offline,
            format!(
                "{tp} is offline: a sync to {} failed, and what it covered may be lost",
                replica.dir().path().display()
            ),
        )
        .cure(format!(
            "check the disk, then 'mq-topics verify --repair truncate {}'",
            tp.topic
        )),
        Offline::Damaged => Error::new(
            Kind::Offline,
            format!(
                "{tp} is offline: damage was found in {}",
                replica.dir().path().display()
            ),
        )
        .cure(format!(
            "run 'mq-topics verify --deep {}', then 'mq-topics verify --repair truncate {}'",
            tp.topic, tp.topic
        )),
        Offline::Removed => Error::new(
            Kind::UnknownTopic,
            format!("UNKNOWN_TOPIC_OR_PARTITION: {tp} was deleted"),
        )
        .cure("'mq-topics list' shows the topics; start again for a new topic of that name"),
    }
}
