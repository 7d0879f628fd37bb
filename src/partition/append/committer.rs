//! Group commit: one sync for all waiting callers, and the only place where a sync's error shows.
//!
//! 1. A caller takes `sync.lock`. If another caller's sync already covered its batch, it returns.
//! 2. A note of what is about to be synced stays in the file until the result is published: a note
//!    that remains shows that the process that knew the sync's outcome is dead.
//! 3. Every segment from the durable offset's to the active one is synced, oldest first, and the
//!    directory if names came or went.
//! 4. Under the append lock the durable offset is published, if the generation is unchanged.
//! 5. Any error takes the replica offline for every process. **A failed sync is never retried.**

use std::sync::Arc;
use std::time::Duration;

use super::commit_note::{CommitNote, SYNC_FILE, SyncNotes};
use super::sync_lock::{SyncHeld, SyncLock};
use crate::disk::{File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{Appender, Cut, FileKind, SegmentFile, Segments};
use crate::partition::dir_sync::sync_names;
use crate::partition::expected_replica::ExpectedReplica;
use crate::partition::recovery::{ReplicaRecovery, open_replica};
use crate::partition::replica::{AppendGuard, RETRY, Replica, offline_error};
use crate::partition::state_page::{Offline, StatePage};
use crate::store::{HolderLost, StoreDir, TopicConfigs, TopicHandle, is_missing};
use crate::types::{BrokerId, Offset, TopicPartition};

/// How often a commit starts over if the log moves within it.
const COMMITS: u32 = 10;
/// How often the topic file may change while the lock is taken.
const TRIES: u32 = 100;
/// The maximum age of the synced copy of the page while commits go on.
const PAGE_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Syncs one replica, a leader's or a follower's. It has its own descriptors, so it works beside a
/// writer as another process would.
#[derive(Debug)]
pub struct Committer {
    store: Arc<StoreDir>,
    topic: TopicHandle,
    broker: BrokerId,
    /// Shared with the lock guard, so that the guard does not borrow `self`.
    replica: Arc<Replica>,
    sync: SyncLock,
    timeout: Duration,
    segment: Option<(u64, Offset, Arc<dyn File>)>,
    page_synced: Duration,
    cuts: Vec<Cut>,
}

impl Committer {
    /// For the partition's leader replica.
    pub fn open(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let leader = topic.partition(tp.partition)?.leader;
        let replica = open_replica(store, &topic, tp)?;
        Committer::of_replica(store, topic, leader, replica, timeout)
    }

    /// For the replica that a broker holds.
    pub fn open_at(
        store: &Arc<StoreDir>,
        tp: &TopicPartition,
        broker: BrokerId,
        timeout: Duration,
    ) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let replica = Replica::open(store, tp, broker)?;
        Committer::of_replica(store, topic, broker, replica, timeout)
    }

    fn of_replica(
        store: &Arc<StoreDir>,
        topic: TopicHandle,
        broker: BrokerId,
        replica: Replica,
        timeout: Duration,
    ) -> Result<Self> {
        let sync = SyncLock::open(&replica)?;
        Ok(Committer {
            page_synced: store.clock().monotonic(),
            store: Arc::clone(store),
            topic,
            broker,
            replica: Arc::new(replica),
            sync,
            timeout,
            segment: None,
            cuts: Vec::new(),
        })
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The topic's configs, as of the last read of the topic file.
    pub fn configs(&self) -> &TopicConfigs {
        self.topic.configs()
    }

    /// Whether the replica is the leader's, by the current topic file.
    pub fn is_the_leaders(&mut self) -> Result<bool> {
        self.expected()?;
        let partition = self.topic.partition(self.replica.tp().partition)?;
        Ok(partition.leader == self.broker && self.replica.in_place()?)
    }

    /// Whether the partition has other replicas.
    pub fn is_replicated(&self) -> Result<bool> {
        let partition = self.topic.partition(self.replica.tp().partition)?;
        Ok(partition.replicas.len() > 1)
    }

    /// Checks that an append may be acknowledged: [`super::confirm()`].
    pub fn confirm(&self, appended: &super::writer::Appended) -> Result<()> {
        super::confirm::confirm(&self.store, &self.replica, &self.topic, appended)
    }

    /// Makes the log durable up to `target` at least; returns the durable offset.
    ///
    /// # Errors
    /// [`Kind::Offline`] after a failed sync, [`Kind::Busy`], [`Kind::Io`]; [`Kind::Unknown`] if
    /// the log was repaired meanwhile and ends below `target`.
    pub fn commit(&mut self, target: Offset) -> Result<Offset> {
        self.commit_by(target, None)
    }

    /// As [`Committer::commit`], but waits for another process's sync only as long as for any lock.
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] if another process is still syncing.
    pub fn commit_in_turn(&mut self, target: Offset) -> Result<Offset> {
        self.commit_by(target, Some(self.timeout))
    }

    fn commit_by(&mut self, target: Offset, timeout: Option<Duration>) -> Result<Offset> {
        for _ in 0..COMMITS {
            let durable = match self.take_sync_lock(target, timeout)? {
                Some(held) => self.commit_held(&held, target)?,
                None => self.page()?.durable.offset,
            };
            if durable >= target {
                return Ok(durable);
            }
            if self.page()?.tail.end < target {
                break;
            }
            // The log moved within the commit, or its lock was replaced: the synced files may not
            // be the ones that are there now.
        }
        let tp = self.replica.tp();
        let text = format!(
            "offsets up to {target} of {tp} are perhaps stored: the log was repaired during their sync"
        );
        Err(Error::new(Kind::Unknown, text).cure("read them back before sending them again"))
    }

    /// One group commit, with the sync lock held; returns the durable offset. It may be below
    /// `target` if the log moved meanwhile.
    fn commit_held(&mut self, held: &SyncHeld, target: Offset) -> Result<Offset> {
        let page = self.page()?;
        if page.boot_id != self.store.boot_id() || page.intent.moves_bytes() {
            // No process recovered it yet: the page's end may lie beyond the log. Or the process
            // that rewrote or truncated it died: that is finished first.
            return self.rewrite();
        }
        if page.durable.offset >= target {
            return Ok(page.durable.offset);
        }
        let notes = SyncNotes::read(held.file(), self.store.boot_id())
            .map_err(|e| self.sync_error("read", e))?;
        if notes
            .failed
            .is_some_and(|note| note.generation > page.generation)
        {
            // The page that marked the replica offline is lost.
            return Err(offline_error(&self.replica, Offline::SyncFailed));
        }
        if notes.unfinished(Some(&page)) {
            return self.rewrite();
        }
        let note = CommitNote {
            boot_id: self.store.boot_id(),
            generation: page.generation,
            end: page.tail.end,
            pid: std::process::id(),
        };
        note.write(held.file())
            .map_err(|e| self.sync_error("write", e))?;
        let clear =
            |this: &Self| CommitNote::clear(held.file()).map_err(|e| this.sync_error("write", e));
        let again = self.page()?;
        if again.generation != page.generation || again.intent.moves_bytes() {
            // The process that began the new generation may have read the notes before this one was
            // written.
            clear(self)?;
            return Ok(again.durable.offset);
        }
        let files = match self.open_files(&page) {
            Ok(files) => files,
            Err(e) => {
                // No sync was begun, so no outcome is unknown.
                clear(self)?;
                let now = self.page()?;
                if now.tail.log_start > page.tail.log_start && is_missing(&e) {
                    // A segment below the new log start: all of it was durable before.
                    return Ok(now.durable.offset);
                }
                return Err(e);
            }
        };
        if let Err(e) = self.sync_files(&page, &files, held) {
            return self.sync_failed(&page, e);
        }
        if !self.sync.in_place()? {
            // Another process may hold the new file's lock; it rewrites the unsynced bytes.
            return Ok(self.page()?.durable.offset);
        }
        // The sync's outcome is known, even if it cannot be published: no note remains to cause a
        // rewrite.
        let published = self.publish(&page);
        let cleared = clear(self);
        match published {
            // With its bytes durable, the note is harmless.
            Ok(durable) if durable >= note.end => Ok(durable),
            Ok(durable) => cleared.map(|()| durable),
            Err(e) => Err(e),
        }
    }

    /// The sync lock, or `None` if another process's commit, or a rewrite of unsynced bytes,
    /// covered `target` meanwhile.
    fn take_sync_lock(
        &mut self,
        target: Offset,
        timeout: Option<Duration>,
    ) -> Result<Option<SyncHeld>> {
        let clock = Arc::clone(self.store.clock());
        let started = clock.monotonic();
        let mut tries = 0_u32;
        let mut watch = None;
        loop {
            if let Some(held) = self.sync.try_take(&self.replica)? {
                return Ok(Some(held));
            }
            tries += 1;
            if tries.is_multiple_of(8) {
                if self.page()?.durable.offset >= target {
                    return Ok(None);
                }
                let watch = watch.get_or_insert_with(|| self.sync.watch(&*clock));
                if let Some(lost) = self.sync.observe(watch, &*clock) {
                    if lost == HolderLost::Hung {
                        self.note_hung();
                    }
                    self.rewrite()?;
                    return Ok(None);
                }
                let waited = clock.monotonic().saturating_sub(started);
                if timeout.is_some_and(|timeout| waited >= timeout) {
                    let text = format!("another process is syncing {}", self.replica.tp());
                    return Err(Error::new(Kind::Busy, text).cure("try again"));
                }
            }
            clock.sleep(RETRY);
        }
    }

    fn note_hung(&self) {
        let tp = self.replica.tp();
        let holder = match self.replica.sync_notes() {
            Ok(SyncNotes {
                work: Some(note), ..
            }) => format!("process {}", note.pid),
            _ => "another process".to_owned(),
        };
        self.store.add_note(format!(
            "{tp}: a sync by {holder} did not finish within 30 s, so what it covers is rewritten; \
             check the disk"
        ));
    }

    fn page(&self) -> Result<StatePage> {
        let page = self.replica.read_page()?.ok_or_else(|| {
            Error::new(
                Kind::Fenced,
                format!("the page of {} is unreadable", self.replica.tp()),
            )
        })?;
        match page.offline {
            Some(why) => Err(offline_error(&self.replica, why)),
            None => Ok(page),
        }
    }

    /// The files that a commit covers, oldest first. All are opened before the first is synced.
    fn open_files(&mut self, page: &StatePage) -> Result<Vec<(String, Arc<dyn File>)>> {
        let dir = Arc::clone(self.replica.dir());
        let mut files = Vec::new();
        if page.durable.segment != page.tail.active {
            for base in Segments::list(&*dir)?
                .from(page.durable.segment)
                .iter()
                .copied()
            {
                if base >= page.tail.active {
                    break;
                }
                for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
                    let name = SegmentFile::new(base, kind).name();
                    match dir.open(&name, Open::Write) {
                        Ok(file) => files.push((name, file)),
                        // A missing index is harmless: it can be recreated.
                        Err(e)
                            if e.kind() == std::io::ErrorKind::NotFound
                                && kind != FileKind::Log => {}
                        Err(e) => return Err(Error::io("open", join(&*dir, &name), e)),
                    }
                }
            }
        }
        let name = SegmentFile::new(page.tail.active, FileKind::Log).name();
        let file = match &self.segment {
            Some((generation, base, file))
                if *generation == page.generation
                    && *base == page.tail.active
                    && file.named_len().is_ok() =>
            {
                Arc::clone(file)
            }
            _ => {
                let file = dir
                    .open_kept(&name, Open::Write)
                    .map_err(|e| Error::io("open", join(&*dir, &name), e))?;
                self.segment = Some((page.generation, page.tail.active, Arc::clone(&file)));
                file
            }
        };
        let len = file.named_len();
        let len = len.map_err(|e| Error::io("look at", join(&*dir, &name), e))?;
        if len < page.tail.log_bytes && self.page()?.generation == page.generation {
            // Another file has replaced the one that was appended to.
            let text = format!(
                "records of {} are perhaps stored: {} ends before them, so it was replaced or cut",
                self.replica.tp(),
                join(&*dir, &name).display()
            );
            return Err(Error::new(Kind::Unknown, text)
                .cure("'mq-topics verify' shows what the log has; read the records back"));
        }
        files.push((name, file));
        Ok(files)
    }

    fn sync_files(
        &self,
        page: &StatePage,
        files: &[(String, Arc<dyn File>)],
        held: &SyncHeld,
    ) -> Result<()> {
        let dir = self.replica.dir();
        for (name, file) in files {
            file.sync_data()
                .map_err(|e| Error::io("sync", join(&**dir, name), e))?;
            if files.len() > 1 {
                held.progressed();
            }
        }
        if page.unsynced_names > 0 {
            dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        }
        Ok(())
    }

    /// Publishes that everything up to `synced`'s end is durable; returns the durable offset.
    fn publish(&mut self, synced: &StatePage) -> Result<Offset> {
        let replica = Arc::clone(&self.replica);
        let (expected, held) = self.expected_and_lock(&replica)?;
        let Some(mut page) = held.page()? else {
            return Err(Error::new(Kind::Fenced, "the page is unreadable"));
        };
        if let Some(why) = page.offline {
            return Err(offline_error(&self.replica, why));
        }
        if page.generation != synced.generation || page.boot_id != synced.boot_id {
            return Ok(page.durable.offset);
        }
        if synced.tail.end > page.durable.offset {
            page.durable = synced.tail.place();
        }
        page.unsynced_names = page.unsynced_names.saturating_sub(synced.unsynced_names);
        expected.raise_high_watermark(&mut page);
        held.publish(&mut page)?;
        drop(held);
        let now = self.store.clock().monotonic();
        let rolled = synced.durable.segment != synced.tail.active;
        if rolled || now - self.page_synced >= PAGE_SYNC_INTERVAL {
            self.page_synced = now;
            self.replica.page_file().sync_data().or_else(|e| {
                let error = self.replica.page_error("sync", e);
                self.sync_failed(&page, error).map(drop)
            })?;
        }
        Ok(page.durable.offset)
    }

    fn expected(&mut self) -> Result<ExpectedReplica> {
        if !self.topic.is_current()? {
            self.topic = TopicHandle::open(&self.store, &self.replica.tp().topic)?;
        }
        let tp = self.replica.tp();
        ExpectedReplica::of(&self.store, &self.topic, tp, self.broker)
    }

    /// The append lock, and the ExpectedReplica while it is held: until then the topic file may
    /// change, and with it which replicas decide what is acknowledged.
    fn expected_and_lock<'r>(
        &mut self,
        replica: &'r Replica,
    ) -> Result<(ExpectedReplica, AppendGuard<'r>)> {
        for _ in 0..TRIES {
            let expected = self.expected()?;
            if expected.alone && expected.replicated {
                // The topic file may be a moment old.
                sync_names(&self.store, replica, expected.version, self.timeout)?;
            }
            let held = replica.lock(self.timeout)?;
            if self.topic.is_current()? {
                return Ok((expected, held));
            }
        }
        let text = format!(
            "the file of topic {} keeps being replaced",
            replica.tp().topic
        );
        Err(Error::new(Kind::Busy, text).cure("other processes keep changing it: try again"))
    }

    /// A sync's outcome is unknown: everything above the durable offset is rewritten.
    fn rewrite(&mut self) -> Result<Offset> {
        let rewritten = self.try_rewrite();
        self.store.add_cuts(self.replica.tp(), &mut self.cuts);
        rewritten
    }

    fn try_rewrite(&mut self) -> Result<Offset> {
        let replica = Arc::clone(&self.replica);
        let (expected, held) = self.expected_and_lock(&replica)?;
        let mut appender = Appender::new(Arc::clone(self.replica.dir()));
        let mut epochs = self.replica.epochs()?.unwrap_or_default();
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut appender,
            epochs: &mut epochs,
            cuts: &mut self.cuts,
        };
        // What a dead writer left beyond the page is rewritten too.
        let page = recovery.ready(held.page()?, None, false)?;
        let page = if page.durable.offset < page.tail.end {
            recovery.rewrite(page)?
        } else {
            page
        };
        drop(held);
        self.segment = None;
        // The new generation voids the note, and it may be another process's by now: it stays.
        Ok(page.durable.offset)
    }

    /// Takes the replica offline: what the failed sync left on disk is unknown. If another process
    /// took this sync for lost meanwhile and rewrote its bytes, the error concerns replaced files:
    /// then returns the durable offset.
    fn sync_failed(&self, synced: &StatePage, error: Error) -> Result<Offset> {
        let mut copied = None;
        let marked = self
            .replica
            .lock(self.timeout)
            .and_then(|held| match held.page()? {
                Some(page)
                    if page.generation > synced.generation
                        && page.boot_id == synced.boot_id
                        && page.durable.offset >= synced.tail.end =>
                {
                    copied = Some(page.durable.offset);
                    Ok(())
                }
                Some(mut page) => held.take_offline(&mut page, Offline::SyncFailed),
                None => {
                    // A process that recreates the lost page finds the note.
                    held.note_failed(synced);
                    Ok(())
                }
            });
        if let Some(durable) = copied {
            return Ok(durable);
        }
        let tp = self.replica.tp();
        let cure = format!(
            "check the disk, then 'mq-topics verify --repair truncate {}'",
            tp.topic
        );
        let text = match marked {
            Ok(()) => format!("{tp} was taken offline, its last records are perhaps stored"),
            Err(e) => format!(
                "{tp} could not be taken offline ({e}), its last records are perhaps stored"
            ),
        };
        Err(error.with_kind(Kind::Unknown).at(text).cure(cure))
    }

    fn sync_error(&self, op: &'static str, e: std::io::Error) -> Error {
        Error::io(op, join(&**self.replica.dir(), SYNC_FILE), e)
    }
}
