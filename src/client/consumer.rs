//! The consumer: reads assigned partitions in turn, each in order, from a start to an end.
//!
//! 1. Records of one partition come in order, none twice, none skipped, none at or above the high
//!    watermark.
//! 2. Partitions are read in turn: a busy one does not starve the others.
//! 3. A wait cannot miss a publication: the watch is set up before the state page is read.
//! 4. At most a third of this process's descriptors is used for open partitions. The others are
//!    closed, and opened again in their turn when they may have records.

mod assigned_partition;
mod fetched;

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::position::Position;
use super::read_from::{Chooser, ReadFrom};
use crate::disk::{DescriptorShare, PollWatcher, Wake, WatchId, Watcher, descriptors_max};
use crate::error::{Error, Kind, Result};
use crate::partition::{LogEdges, PAGE_FILE, PartitionReader};
use crate::store::StoreDir;
use crate::store::topics::topic_file;
use crate::types::{Offset, TopicPartition};
use assigned_partition::{AssignedPartition, deleted};
use fetched::end_of;

pub use fetched::{BatchInfo, Fetched};

/// Interval of the retries while a partition cannot be read.
const FAILED_POLL: Duration = Duration::from_millis(20);

/// Descriptors of an open partition: directory, state page, segment, and an index while it is
/// searched.
const PARTITION_DESCRIPTORS: usize = 4;

/// Reads partitions.
#[derive(Debug)]
pub struct Consumer {
    store: Arc<StoreDir>,
    chooser: Chooser,
    assigned_all: Vec<AssignedPartition>,
    /// Where in `assigned_all` each partition is.
    places: HashMap<TopicPartition, usize>,
    next: usize,
    /// How many partitions are open, how many may be, and where the search for one to close goes
    /// on.
    open: usize,
    open_max: usize,
    _descriptors: DescriptorShare,
    hand: usize,
    watcher: Option<Box<dyn Watcher>>,
    watched: HashMap<WatchId, TopicPartition>,
    dirs: Vec<WatchId>,
    /// Topic files may have changed, and with them the leaders.
    stale: bool,
    failed_at: Option<TopicPartition>,
}

impl Consumer {
    /// A consumer without partitions, which reads from leaders.
    pub fn new(store: &Arc<StoreDir>) -> Self {
        Consumer::reading_from(store, ReadFrom::Leader)
    }

    /// A consumer without partitions, which reads the replicas that `read_from` chooses.
    pub fn reading_from(store: &Arc<StoreDir>, read_from: ReadFrom) -> Self {
        let open_max = (descriptors_max() / 3 / PARTITION_DESCRIPTORS).max(1);
        Consumer {
            store: Arc::clone(store),
            chooser: Chooser::new(store, read_from),
            assigned_all: Vec::new(),
            places: HashMap::new(),
            next: 0,
            open: 0,
            open_max,
            _descriptors: DescriptorShare::new(open_max * PARTITION_DESCRIPTORS),
            hand: 0,
            watcher: None,
            watched: HashMap::new(),
            dirs: Vec::new(),
            stale: false,
            failed_at: None,
        }
    }

    /// Assigns a partition: reads from `from` (included) up to `until` (not included; `None`:
    /// without end). If the partition is assigned already, it continues at `from`.
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
    /// As [`open_reader`]; [`Kind::BrokerState`] if the chosen broker holds no replica.
    pub fn open_reader(&self, tp: &TopicPartition) -> Result<PartitionReader> {
        self.chooser.open(tp)
    }

    /// Assigns a partition whose reader is open already, and replaces its earlier assignment.
    pub fn assign_reader(&mut self, reader: PartitionReader, from: Offset, until: Option<Offset>) {
        let mut assigned = AssignedPartition::new(reader, from, until);
        self.unassign(&assigned.tp);
        if let Some(watcher) = &mut self.watcher {
            watch(&mut **watcher, &mut self.watched, &mut assigned);
        }
        if self.open < self.open_max && !assigned.is_done() {
            self.open += 1;
        } else {
            assigned.close(false);
        }
        self.places
            .insert(assigned.tp.clone(), self.assigned_all.len());
        self.assigned_all.push(assigned);
    }

    /// Removes a partition; returns the position up to which it was read.
    pub fn unassign(&mut self, tp: &TopicPartition) -> Option<Offset> {
        let at = self.places.remove(tp)?;
        let assigned = self.assigned_all.swap_remove(at);
        if let Some(moved) = self.assigned_all.get(at) {
            self.places.insert(moved.tp.clone(), at);
        }
        self.open -= usize::from(assigned.is_open());
        if let (Some(watcher), Some(id)) = (&mut self.watcher, assigned.watch) {
            watcher.remove(id);
            self.watched.remove(&id);
        }
        Some(assigned.position)
    }

    fn assigned(&self, tp: &TopicPartition) -> Option<&AssignedPartition> {
        self.places
            .get(tp)
            .and_then(|at| self.assigned_all.get(*at))
    }

    fn assigned_mut(&mut self, tp: &TopicPartition) -> Option<&mut AssignedPartition> {
        let at = self.places.get(tp)?;
        self.assigned_all.get_mut(*at)
    }

    /// Where an assigned partition is read next.
    pub fn position(&self, tp: &TopicPartition) -> Option<Offset> {
        self.assigned(tp).map(|assigned| assigned.position)
    }

    /// Where the reading of an assigned partition ends; `None`: it has no end.
    pub fn end_of(&self, tp: &TopicPartition) -> Option<Offset> {
        self.assigned(tp).and_then(|assigned| assigned.until)
    }

    /// The partitions and the next position of each. A caller that stores a position can continue
    /// there later; it gets an error if the topic was created again meanwhile.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.assigned_all
            .iter()
            .map(|assigned| (&assigned.tp, assigned.place()))
    }

    /// Whether every assigned partition was read up to its end.
    pub fn is_done(&self) -> bool {
        self.assigned_all.iter().all(AssignedPartition::is_done)
    }

    /// Whether an assigned partition's topic was deleted, by the topic file: that changes before
    /// any directory is removed.
    pub fn is_deleted(&self, tp: &TopicPartition) -> bool {
        let Some(assigned) = self.assigned(tp) else {
            return false;
        };
        let id = assigned.topic().meta().topic_id;
        let there = topic_file::read_if_there(&self.store, &tp.topic);
        there.is_ok_and(|found| found.is_none_or(|(meta, _)| meta.topic_id != id))
    }

    /// Whether nothing is assigned.
    pub fn is_empty(&self) -> bool {
        self.assigned_all.is_empty()
    }

    /// The next batches of the next partition that has some, about `bytes_max` bytes, in `buf` (its
    /// memory is reused); `None` if every partition was read up to its high watermark or end.
    ///
    /// # Errors
    /// [`Kind::Damaged`], [`Kind::OffsetOutOfRange`], [`Kind::UnknownTopic`] (deleted meanwhile).
    pub fn fetch(&mut self, bytes_max: usize, buf: &mut Vec<u8>) -> Result<Option<Fetched>> {
        if std::mem::take(&mut self.stale) {
            self.follow_leaderships()?;
        }
        self.failed_at = None;
        for _ in 0..self.assigned_all.len() {
            if self.next >= self.assigned_all.len() {
                self.next = 0;
            }
            let at = self.next;
            self.next += 1;
            match self.fetch_assigned(at, bytes_max, buf) {
                Ok(None) => {}
                Err(e) => {
                    self.failed_at = self
                        .assigned_all
                        .get(at)
                        .map(|assigned| assigned.tp.clone());
                    return Err(e);
                }
                found => return found,
            }
        }
        Ok(None)
    }

    /// As [`Consumer::fetch`], of one partition; the turn of the others does not change.
    ///
    /// # Errors
    /// As there.
    pub fn fetch_of(
        &mut self,
        tp: &TopicPartition,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        match self.places.get(tp).copied() {
            Some(at) => self.fetch_assigned(at, bytes_max, buf),
            None => Ok(None),
        }
    }

    /// The partition that the last [`Consumer::fetch`] failed at.
    pub fn failed_at(&self) -> Option<&TopicPartition> {
        self.failed_at.as_ref()
    }

    /// Makes this partition the next in turn.
    pub fn begin_with(&mut self, tp: &TopicPartition) {
        if let Some(at) = self.places.get(tp) {
            self.next = *at;
        }
    }

    fn fetch_assigned(
        &mut self,
        at: usize,
        bytes_max: usize,
        buf: &mut Vec<u8>,
    ) -> Result<Option<Fetched>> {
        if !self.is_to_be_read(at) {
            return Ok(None);
        }
        let opened = self.open_assigned(at);
        let Some(assigned) = self.assigned_all.get_mut(at) else {
            return Ok(None);
        };
        let from = assigned.position;
        let read = match (opened, assigned.reader()) {
            (Err(e), _) => Err(e),
            (Ok(()), None) => return Ok(None),
            (Ok(()), Some(reader)) => match reader.read(from, bytes_max, buf) {
                // Another replica may have to be read now, or in a moment.
                Err(e) => match self.chooser.follow(reader) {
                    Ok(true) => {
                        rewatch(&mut self.watcher, &mut self.watched, assigned);
                        match assigned.reader() {
                            Some(reader) => reader.read(from, bytes_max, buf),
                            None => Ok(0),
                        }
                    }
                    Err(gone) if gone.kind() == Kind::UnknownTopic => return Err(gone),
                    _ => Err(e),
                },
                read => read,
            },
        };
        let read = match read {
            Ok(read) => read,
            Err(e) if assigned.waits_for_another(&self.store, &e) => {
                self.stale = true;
                return Ok(None);
            }
            Err(e) if e.kind() == Kind::Io && assigned.is_replaced() => {
                return Err(deleted(&assigned.tp));
            }
            Err(e) => return Err(e),
        };
        assigned.failed_since = None;
        if read == 0 {
            if self.assigned_all.len() > self.open_max {
                self.close_assigned(at, true);
            }
            return Ok(None);
        }
        // A reader that is always busy never waits, and the watch is only evaluated in a wait.
        self.stale |= !assigned.topic().is_current().unwrap_or(false);
        let (end, compressed) = end_of(buf, from);
        let until = assigned.until.map_or(end, |until| until.min(end));
        assigned.position = until;
        let bytes = std::mem::take(buf);
        let (mut edges, mut decompressed_len_max) = (LogEdges::default(), 0);
        if let Some(reader) = assigned.reader() {
            edges = reader.edges();
            if compressed {
                decompressed_len_max = reader.decompressed_len_max();
            }
        }
        let fetched = Fetched {
            tp: assigned.tp.clone(),
            from,
            until,
            bytes,
            edges,
            decompressed_len_max,
        };
        if assigned.is_done() {
            self.close_assigned(at, false);
        }
        Ok(Some(fetched))
    }

    fn is_to_be_read(&mut self, at: usize) -> bool {
        let Some(assigned) = self.assigned_all.get(at) else {
            return false;
        };
        if assigned.is_done() {
            self.close_assigned(at, false);
            return false;
        }
        !assigned.is_paused && !assigned.is_quiet()
    }

    fn close_assigned(&mut self, at: usize, empty: bool) {
        if let Some(assigned) = self.assigned_all.get_mut(at) {
            self.open -= usize::from(assigned.close(empty));
        }
    }

    fn open_assigned(&mut self, at: usize) -> Result<()> {
        if self
            .assigned_all
            .get(at)
            .is_none_or(AssignedPartition::is_open)
        {
            return Ok(());
        }
        // The partition that has been open for longest is closed (clock algorithm).
        for _ in 0..self.assigned_all.len() {
            if self.open < self.open_max {
                break;
            }
            self.hand = (self.hand + 1) % self.assigned_all.len();
            self.close_assigned(self.hand, false);
        }
        if let Some(assigned) = self.assigned_all.get_mut(at) {
            assigned.open(&self.chooser)?;
            self.open += 1;
            // It may be another replica than before.
            rewatch(&mut self.watcher, &mut self.watched, assigned);
        }
        Ok(())
    }

    /// Switches to the present leaders. A new leader's high watermark may be below the position:
    /// the consumer then waits for it.
    fn follow_leaderships(&mut self) -> Result<()> {
        for assigned in &mut self.assigned_all {
            let Some(reader) = assigned.reader() else {
                if !assigned.topic().is_current().unwrap_or(false) {
                    assigned.stir();
                }
                continue;
            };
            match self.chooser.follow(reader) {
                Ok(true) => rewatch(&mut self.watcher, &mut self.watched, assigned),
                Ok(false) => {}
                // Its directory may be replaced in a moment, or a damaged topic file be repaired;
                // the open replica stays readable meanwhile.
                Err(e) if matches!(e.kind(), Kind::Fenced | Kind::Io | Kind::Damaged) => {
                    self.stale = true;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// When to fetch again without a change: some partition cannot be read now.
    pub fn retry_in(&self) -> Option<Duration> {
        let failed = self
            .assigned_all
            .iter()
            .any(|assigned| assigned.failed_since.is_some());
        failed.then_some(FAILED_POLL)
    }

    /// Checks for new leaders before the next fetch, for a caller that does not [`Consumer::wait`].
    pub fn find_leaders(&mut self) {
        self.stale = true;
    }

    /// Goes back to (or on to) a place in an assigned partition.
    ///
    /// # Errors
    /// [`Kind::Usage`] if it is not assigned; [`Kind::UnknownTopic`] for a [`Position`] in another topic
    /// of that name.
    pub fn seek(&mut self, tp: &TopicPartition, to: impl Into<Position>) -> Result<()> {
        let Some(assigned) = self.assigned_mut(tp) else {
            let text = format!("{tp} is not assigned to this consumer");
            return Err(Error::new(Kind::Usage, text).cure("assign it first"));
        };
        let to = to.into();
        to.check(assigned.topic())?;
        assigned.position = to.offset;
        assigned.stir();
        Ok(())
    }

    /// Pauses an assigned partition, or resumes it. Its position does not change.
    pub fn pause(&mut self, tp: &TopicPartition, is_paused: bool) {
        if let Some(assigned) = self.assigned_mut(tp) {
            assigned.is_paused = is_paused;
        }
    }

    /// Whether any partition is paused.
    pub fn has_paused(&self) -> bool {
        self.assigned_all.iter().any(|assigned| assigned.is_paused)
    }

    /// Ends the reading of an assigned partition at an offset.
    pub fn limit(&mut self, tp: &TopicPartition, until: Offset) {
        if let Some(assigned) = self.assigned_mut(tp) {
            assigned.until = Some(until);
            assigned.stir();
        }
    }

    /// Waits until records may have been published, for up to `timeout`, or until `wake` is
    /// readable. Call [`Consumer::fetch`] after it in any case: a wait may end early. The first
    /// call only sets up the watches, and returns at once.
    pub fn wait(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Wake> {
        if self.watcher.is_none() {
            let watcher = self.store.watcher();
            let mut watcher = watcher.unwrap_or_else(|_| Box::new(PollWatcher::default()));
            for assigned in &mut self.assigned_all {
                watch(&mut *watcher, &mut self.watched, assigned);
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
        let timeout = self
            .retry_in()
            .map_or(timeout, |observe| timeout.min(observe));
        let Some(watcher) = &mut self.watcher else {
            return Ok(Wake::Anything);
        };
        let woken = watcher
            .wait(timeout, wake)
            .map_err(|e| crate::error::Error::io("wait for changes in", self.store.path(), e))?;
        self.stale |= self.topics_changed(&woken);
        match &woken {
            Wake::Nothing => {}
            Wake::Anything => self
                .assigned_all
                .iter_mut()
                .for_each(AssignedPartition::stir),
            Wake::Changed(ids) => {
                for tp in ids.iter().filter_map(|id| self.watched.get(id)) {
                    let at = self.places.get(tp);
                    if let Some(assigned) = at.and_then(|at| self.assigned_all.get_mut(*at)) {
                        assigned.stir();
                    }
                }
            }
        }
        Ok(woken)
    }

    /// Whether `wake` says that topics were created, deleted or changed.
    pub fn topics_changed(&self, wake: &Wake) -> bool {
        match wake {
            Wake::Changed(ids) => ids.iter().any(|id| self.dirs.contains(id)),
            Wake::Anything => true,
            Wake::Nothing => false,
        }
    }
}

fn watch(
    watcher: &mut dyn Watcher,
    watched: &mut HashMap<WatchId, TopicPartition>,
    assigned: &mut AssignedPartition,
) {
    let Some(reader) = assigned.reader() else {
        return;
    };
    // Without a watch, the wait's timeout bounds the delay.
    if let Ok(id) = watcher.add_file(&**reader.replica().dir(), PAGE_FILE) {
        watched.insert(id, assigned.tp.clone());
        assigned.watch = Some(id);
    }
}

/// Watches the state page of the replica that is read now.
fn rewatch(
    watcher: &mut Option<Box<dyn Watcher>>,
    watched: &mut HashMap<WatchId, TopicPartition>,
    assigned: &mut AssignedPartition,
) {
    let Some(watcher) = watcher else { return };
    if let Some(id) = assigned.watch.take() {
        watcher.remove(id);
        watched.remove(&id);
    }
    watch(&mut **watcher, watched, assigned);
}
