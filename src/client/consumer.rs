//! The consumer: reads assigned partitions in turn, each in order, from a place up to an end.
//!
//! 1. Records of one partition come in order, none twice, none skipped, none at or above the high
//!    watermark.
//! 2. With several partitions each has its turn: a busy one does not starve the rest.
//! 3. A wait cannot miss a publication: the watch stands before the page is read.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::opening;
use super::position::Position;
use super::read_from::{Chooser, ReadFrom};
use super::rebooted::recover_followers;
use crate::cluster::Liveness;
use crate::disk::{PollWatcher, Wake, WatchId, Watcher};
use crate::error::{Error, Kind, Result};
use crate::record::{BatchView, Corrupt, Decompressor, Record};
use crate::store::{PAGE_FILE, PartitionReader, StoreDir, reports, topics};
use crate::types::{Compression, LeaderEpoch, Offset, TimestampType, TopicPartition};

/// How long a new leader may take to hear from the other replicas.
const END_PATIENCE: Duration = Duration::from_secs(10);
const END_LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How long a leader may take to come back, or another to come, where one cannot be read.
const FAILED_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks meanwhile.
const FAILED_LOOK: Duration = Duration::from_millis(20);
/// How long opening a partition may wait for locks when it must be put in order first.
const MEND_PATIENCE: Duration = Duration::from_secs(1);

/// Reads partitions.
#[derive(Debug)]
pub struct Consumer {
    store: Arc<StoreDir>,
    chooser: Chooser,
    lanes: Vec<Lane>,
    next: usize,
    watcher: Option<Box<dyn Watcher>>,
    watched: HashMap<WatchId, TopicPartition>,
    dirs: Vec<WatchId>,
    /// Topic files may have changed: leadership may have moved.
    stale: bool,
    failed_at: Option<TopicPartition>,
}

/// One partition that is read.
#[derive(Debug)]
struct Lane {
    tp: TopicPartition,
    reader: PartitionReader,
    position: Offset,
    until: Option<Offset>,
    watch: Option<WatchId>,
    /// Since when it cannot be read.
    failed_since: Option<Duration>,
}

impl Lane {
    fn place(&self) -> Position {
        Position {
            offset: self.position,
            topic_id: Some(self.reader.topic().meta().topic_id),
        }
    }

    /// Whether to wait, after an error, until another replica leads: this one's directory is being
    /// removed, perhaps. Not for ever: what is damaged on all of them is told.
    fn waits_for_another(&mut self, store: &Arc<StoreDir>, error: &Error) -> bool {
        let passes = error.kind().is_of_one_replica();
        let partition = self.reader.topic().partition(self.tp.partition);
        if !passes || partition.is_ok_and(|partition| partition.replicas.len() < 2) {
            return false;
        }
        let now = store.clock().monotonic();
        let since = *self.failed_since.get_or_insert(now);
        // A hint: without it the controller finds out more slowly.
        let _ = reports::report(store, &self.tp);
        now.saturating_sub(since) < FAILED_PATIENCE
    }
}

/// Whole batches of one partition, checked; some records at the edges may lie outside
/// `from..until`, and are skipped by [`Fetched::for_each`].
#[derive(Debug)]
pub struct Fetched {
    /// The partition.
    pub tp: TopicPartition,
    /// The first offset that was asked for.
    pub from: Offset,
    /// Offsets from here on were not asked for.
    pub until: Offset,
    /// The batches.
    pub bytes: Vec<u8>,
    /// Most bytes that each of them may decompress to, by their topic's config.
    pub decompressed_len_max: usize,
}

/// What a record's batch says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchInfo {
    /// The epoch it was appended in.
    pub leader_epoch: LeaderEpoch,
    /// What its timestamp means.
    pub timestamp_type: TimestampType,
    /// The codec that it is stored with.
    pub compression: Compression,
}

impl Fetched {
    /// Gives each record to `f`, in order, until that breaks. Control batches are passed over. The
    /// decompressor is allowed what the topic allows.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for records that do not decode, though their checksum holds.
    pub fn for_each<B>(
        &self,
        decompressor: &mut Decompressor,
        mut f: impl FnMut(BatchInfo, Record<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        decompressor.allow(self.decompressed_len_max);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let view = BatchView::parse(rest).map_err(|e| self.damaged(e, "a batch"))?;
            let header = *view.header();
            let at = |e| self.damaged(e, &format!("the batch at offset {}", header.base_offset));
            if !header.is_control() {
                let info = BatchInfo {
                    leader_epoch: header.leader_epoch,
                    timestamp_type: header.timestamp_type(),
                    compression: header.compression(),
                };
                let inside = header.base_offset >= self.from && header.last_offset() < self.until;
                for record in view.records(decompressor).map_err(at)? {
                    let record = record.map_err(at)?;
                    if !inside && (record.offset < self.from || record.offset >= self.until) {
                        continue;
                    }
                    if let ControlFlow::Break(stop) = f(info, record) {
                        return Ok(Some(stop));
                    }
                }
            }
            rest = rest.get(header.total_len()..).unwrap_or_default();
        }
        Ok(None)
    }

    fn damaged(&self, corrupt: Corrupt, which: &str) -> Error {
        let topic = &self.tp.topic;
        Error::from(corrupt)
            .at(format!("{which} of {}", self.tp))
            .cure(format!(
                "'mq-topics verify {topic} --deep' names the file and the position"
            ))
    }
}

impl Consumer {
    /// A consumer with nothing assigned yet. It reads from leaders.
    pub fn new(store: &Arc<StoreDir>) -> Self {
        Consumer::reading_from(store, ReadFrom::Leader)
    }

    /// A consumer with nothing assigned yet, which reads these replicas.
    pub fn reading_from(store: &Arc<StoreDir>, read_from: ReadFrom) -> Self {
        Consumer {
            store: Arc::clone(store),
            chooser: Chooser::new(store, read_from),
            lanes: Vec::new(),
            next: 0,
            watcher: None,
            watched: HashMap::new(),
            dirs: Vec::new(),
            stale: false,
            failed_at: None,
        }
    }

    /// Assigns a partition: reads from `from` (included) up to `until` (not included; `None`: on
    /// and on). One that is assigned already is read from there on, once.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], also if `from` is a [`Position`] in another topic of that name;
    /// [`Kind::Damaged`], [`Kind::Io`].
    pub fn assign(
        &mut self,
        tp: &TopicPartition,
        from: impl Into<Position>,
        until: Option<Offset>,
    ) -> Result<()> {
        let reader = self.open_reader(tp)?;
        let from = from.into();
        from.check(reader.topic())?;
        self.assign_reader(reader, from.offset, until);
        Ok(())
    }

    /// Opens a partition at the replica that this consumer reads.
    ///
    /// # Errors
    /// As [`open_reader`]; [`Kind::BrokerState`] if the broker to be read from holds no replica.
    pub fn open_reader(&self, tp: &TopicPartition) -> Result<PartitionReader> {
        self.chooser.open(tp)
    }

    /// Assigns a partition whose reader is open already, in the place of what it was assigned as before.
    pub fn assign_reader(&mut self, reader: PartitionReader, from: Offset, until: Option<Offset>) {
        let tp = reader.replica().tp().clone();
        self.unassign(&tp);
        let mut lane = Lane {
            tp,
            reader,
            position: from,
            until,
            watch: None,
            failed_since: None,
        };
        if let Some(watcher) = &mut self.watcher {
            watch(&mut **watcher, &mut self.watched, &mut lane);
        }
        self.lanes.push(lane);
    }

    /// Takes a partition away; where it was read up to.
    pub fn unassign(&mut self, tp: &TopicPartition) -> Option<Offset> {
        let at = self.lanes.iter().position(|lane| lane.tp == *tp)?;
        let lane = self.lanes.swap_remove(at);
        if let (Some(watcher), Some(id)) = (&mut self.watcher, lane.watch) {
            watcher.remove(id);
            self.watched.remove(&id);
        }
        Some(lane.position)
    }

    /// The partitions with the place that is read next in each. Who keeps one can go on there later,
    /// and is told if the topic is another by then.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.lanes.iter().map(|lane| (&lane.tp, lane.place()))
    }

    /// Whether every assigned partition was read up to its end.
    pub fn is_done(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.until.is_some_and(|until| lane.position >= until))
    }

    /// Whether an assigned partition's topic was deleted: the topic file says so, before any
    /// directory goes.
    pub fn is_deleted(&self, tp: &TopicPartition) -> bool {
        let Some(lane) = self.lanes.iter().find(|lane| lane.tp == *tp) else {
            return false;
        };
        let id = lane.reader.topic().meta().topic_id;
        let there = topics::read_if_there(&self.store, &tp.topic);
        there.is_ok_and(|found| found.is_none_or(|(meta, _)| meta.topic_id != id))
    }

    /// Whether nothing is assigned.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// The next batches of the next partition that has some, about `bytes_max` bytes, in `buf`
    /// (its memory is used again); `None` if every partition was read up to its high watermark or
    /// end.
    ///
    /// # Errors
    /// [`Kind::Damaged`], [`Kind::OffsetOutOfRange`], [`Kind::UnknownTopic`] (deleted meanwhile).
    pub fn fetch(&mut self, bytes_max: usize, buf: &mut Vec<u8>) -> Result<Option<Fetched>> {
        if std::mem::take(&mut self.stale) {
            self.follow_leaderships()?;
        }
        self.failed_at = None;
        for _ in 0..self.lanes.len() {
            if self.next >= self.lanes.len() {
                self.next = 0;
            }
            let at = self.next;
            self.next += 1;
            match self.fetch_lane(at, bytes_max, buf) {
                Ok(None) => {}
                Err(e) => {
                    self.failed_at = self.lanes.get(at).map(|lane| lane.tp.clone());
                    return Err(e);
                }
                found => return found,
            }
        }
        Ok(None)
    }

    /// As [`Consumer::fetch`], of one partition; whose turn is next stays as it is.
    ///
    /// # Errors
    /// As there.
    pub fn fetch_of(
        &mut self,
        tp: &TopicPartition,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        match self.lanes.iter().position(|lane| lane.tp == *tp) {
            Some(at) => self.fetch_lane(at, bytes_max, buf),
            None => Ok(None),
        }
    }

    /// The partition that the last [`Consumer::fetch`] failed at.
    pub fn failed_at(&self) -> Option<&TopicPartition> {
        self.failed_at.as_ref()
    }

    /// Makes it that partition's turn.
    pub fn begin_with(&mut self, tp: &TopicPartition) {
        if let Some(at) = self.lanes.iter().position(|lane| lane.tp == *tp) {
            self.next = at;
        }
    }

    fn fetch_lane(
        &mut self,
        at: usize,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        let Some(lane) = self.lanes.get_mut(at) else {
            return Ok(None);
        };
        if lane.until.is_some_and(|until| lane.position >= until) {
            return Ok(None);
        }
        let from = lane.position;
        let read = match lane.reader.read(from, bytes_max, buf) {
            // Another replica may be the one to read by now, or will be in a moment.
            Err(e) => match self.chooser.follow(&mut lane.reader) {
                Ok(true) => {
                    rewatch(&mut self.watcher, &mut self.watched, lane);
                    lane.reader.read(from, bytes_max, buf)
                }
                Err(gone) if gone.kind() == Kind::UnknownTopic => return Err(gone),
                _ => Err(e),
            },
            read => read,
        };
        let read = match read {
            Ok(read) => read,
            Err(e) if lane.waits_for_another(&self.store, &e) => {
                self.stale = true;
                return Ok(None);
            }
            Err(e) if e.kind() == Kind::Io && deleted(lane) => {
                let text = format!("UNKNOWN_TOPIC_OR_PARTITION: {} was deleted", lane.tp);
                return Err(Error::new(Kind::UnknownTopic, text).cure(
                    "'mq-topics list' shows what there is; start again for a new topic of that \
                     name",
                ));
            }
            Err(e) => return Err(e),
        };
        lane.failed_since = None;
        if read == 0 {
            return Ok(None);
        }
        // A reader that is always busy never waits, so it would not hear of a change otherwise.
        self.stale |= !lane.reader.topic().is_current().unwrap_or(false);
        let (end, compressed) = end_of(buf, from);
        let until = lane.until.map_or(end, |until| until.min(end));
        lane.position = until;
        let bytes = std::mem::take(buf);
        let decompressed_len_max = if compressed {
            lane.reader.decompressed_len_max()
        } else {
            0
        };
        Ok(Some(Fetched {
            tp: lane.tp.clone(),
            from,
            until,
            bytes,
            decompressed_len_max,
        }))
    }

    /// Reads from who leads now. A new leader's high watermark may be below what was read: it is
    /// waited for.
    fn follow_leaderships(&mut self) -> Result<()> {
        for lane in &mut self.lanes {
            match self.chooser.follow(&mut lane.reader) {
                Ok(true) => rewatch(&mut self.watcher, &mut self.watched, lane),
                Ok(false) => {}
                // Its directory may be another in a moment, and a topic file that is damaged be
                // repaired; what is there can be read meanwhile.
                Err(e) if matches!(e.kind(), Kind::Fenced | Kind::Io | Kind::Damaged) => {
                    self.stale = true;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// When to fetch again though nothing changed: something cannot be read just now.
    pub fn retry_in(&self) -> Option<Duration> {
        let failed = self.lanes.iter().any(|lane| lane.failed_since.is_some());
        failed.then_some(FAILED_LOOK)
    }

    /// Looks before the next fetch who leads now: for who does not [`Consumer::wait`].
    pub fn look_for_leaders(&mut self) {
        self.stale = true;
    }

    /// Goes back to (or on to) a place in an assigned partition.
    ///
    /// # Errors
    /// [`Kind::Usage`] if it is not assigned; [`Kind::UnknownTopic`] for a [`Position`] in another topic
    /// of that name.
    pub fn seek(&mut self, tp: &TopicPartition, to: impl Into<Position>) -> Result<()> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.tp == *tp) else {
            let text = format!("{tp} is not assigned to this consumer");
            return Err(Error::new(Kind::Usage, text).cure("assign it first"));
        };
        let to = to.into();
        to.check(lane.reader.topic())?;
        lane.position = to.offset;
        Ok(())
    }

    /// Ends the reading of an assigned partition at an offset.
    pub fn limit(&mut self, tp: &TopicPartition, until: Offset) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.tp == *tp) {
            lane.until = Some(until);
        }
    }

    /// Waits until something may have been published, for up to `patience`, or until `wake` is
    /// readable. Call [`Consumer::fetch`] after it, whatever it says: a wait may end early. The
    /// first call only sets up the watches, and returns at once.
    pub fn wait(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Wake> {
        if self.watcher.is_none() {
            let watcher = self.store.watcher();
            let mut watcher = watcher.unwrap_or_else(|_| Box::new(PollWatcher::default()));
            for lane in &mut self.lanes {
                watch(&mut *watcher, &mut self.watched, lane);
            }
            if let Ok(topics) = self.store.topics_dir()
                && let Ok(id) = watcher.add_dir(&**topics, ".")
            {
                self.dirs.push(id);
            }
            self.watcher = Some(watcher);
            self.stale = true;
            return Ok(Wake::Anything);
        }
        let patience = self.retry_in().map_or(patience, |look| patience.min(look));
        let Some(watcher) = &mut self.watcher else {
            return Ok(Wake::Anything);
        };
        let woken = watcher
            .wait(patience, wake)
            .map_err(|e| crate::error::Error::io("wait for changes in", self.store.path(), e))?;
        self.stale |= self.topics_changed(&woken);
        Ok(woken)
    }

    /// Whether `wake` says that topics came, went or changed.
    pub fn topics_changed(&self, wake: &Wake) -> bool {
        match wake {
            Wake::Changed(ids) => ids.iter().any(|id| self.dirs.contains(id)),
            Wake::Anything => true,
            Wake::Nothing => false,
        }
    }
}

/// Opens a partition for reading. What a dead process or another boot left is put in order first,
/// where this user may write: unsynced records of a killed producer become readable by that.
///
/// # Errors
/// [`Kind::UnknownTopic`], [`Kind::Damaged`], [`Kind::Io`].
pub fn open_reader(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    let mut reader = open_now(store, tp)?;
    recover_followers(store, &reader)?;
    if reader.knows_end()? {
        return Ok(reader);
    }
    // Leadership has just moved: until the others are there, nobody knows where the records end.
    let liveness = Liveness::new(store);
    let started = store.clock().monotonic();
    loop {
        let partition = reader.topic().partition(tp.partition)?;
        let others = partition.isr.iter().filter(|id| **id != partition.leader);
        let anyone =
            others.into_iter().any(|id| liveness.is_alive(*id)) || liveness.controller_lives();
        if !anyone {
            // Nobody comes: what is shown is what there is.
            return Ok(reader);
        }
        if store.clock().monotonic().saturating_sub(started) >= END_PATIENCE {
            return Err(Error::new(
                Kind::Busy,
                format!(
                    "OFFSET_NOT_AVAILABLE: the leader of {tp} has not heard from its replicas in \
                     sync since leadership moved"
                ),
            )
            .cure("try again; 'mq-broker health' shows what is amiss"));
        }
        store.clock().sleep(END_LOOK_INTERVAL);
        match reader.follow_leadership() {
            // Its directory may be another in a moment.
            Err(e) if e.kind() == Kind::Fenced => continue,
            followed => followed?,
        };
        if reader.knows_end()? {
            return Ok(reader);
        }
    }
}

/// As [`open_reader`], but does not wait where leadership has just moved: the high watermark may be
/// below one that was shown before.
///
/// # Errors
/// As [`open_reader`].
pub fn open_now(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<PartitionReader> {
    opening::open_reader(store, tp)?
        .in_good_order(MEND_PATIENCE, || opening::open_reader(store, tp))
}

fn watch(
    watcher: &mut dyn Watcher,
    watched: &mut HashMap<WatchId, TopicPartition>,
    lane: &mut Lane,
) {
    // A watch that cannot be had is made up for by the wait's timeout.
    if let Ok(id) = watcher.add_file(&**lane.reader.replica().dir(), PAGE_FILE) {
        watched.insert(id, lane.tp.clone());
        lane.watch = Some(id);
    }
}

/// Watches the page of the replica that is read now.
fn rewatch(
    watcher: &mut Option<Box<dyn Watcher>>,
    watched: &mut HashMap<WatchId, TopicPartition>,
    lane: &mut Lane,
) {
    let Some(watcher) = watcher else { return };
    if let Some(id) = lane.watch.take() {
        watcher.remove(id);
        watched.remove(&id);
    }
    watch(&mut **watcher, watched, lane);
}

fn deleted(lane: &Lane) -> bool {
    !lane.reader.replica().in_place().unwrap_or(true)
}

/// The offset after the last batch in `bytes`, and whether one of them is compressed.
fn end_of(bytes: &[u8], from: Offset) -> (Offset, bool) {
    let (mut rest, mut end, mut compressed) = (bytes, from, false);
    while let Ok(header) = crate::record::BatchHeader::parse(rest) {
        end = header.last_offset() + 1;
        compressed |= header.compression() != Compression::None;
        rest = rest.get(header.total_len()..).unwrap_or_default();
    }
    (end, compressed)
}
