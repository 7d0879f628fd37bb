//! A follower's log: it copies its leader's, batch by batch, byte for byte.
//!
//! 1. It is compared with the leader's log of an epoch before its page has that epoch: records that
//!    the leader lacks are truncated first (`log::divergence`). Only then does its page count.
//! 2. It fetches, truncates and publishes only against a leader's page with role leader and the
//!    topic file's epoch, read again after the fetch.
//! 3. A fetched batch is appended only if this replica's own page still has that epoch.
//! 4. Its indexes are its own. Its high watermark is the leader's, as far as its own log goes.
//! 5. An error at the leader's replica is reported, and never blamed on this one.
//! 6. It never holds two locks at once: its own log and the leader's are locked one after the
//!    other.

mod comparison;
mod log_start;

use std::sync::Arc;
use std::time::Duration;

use super::follower_append::{begin_filler_at, follow_watermark, next_run};
use super::high_watermark::Watermark;
use crate::error::{Error, Kind, Result, is_stale};
use crate::log::{Appender, Cut, LeaderEpochs, RollLimits};
use crate::partition::append::{Committer, begin_segment};
use crate::partition::expected_replica::ExpectedReplica;
use crate::partition::read::PartitionReader;
use crate::partition::recovery::ReplicaRecovery;
use crate::partition::replica::Replica;
use crate::partition::state_page::{Intent, Role, StatePage};
use crate::record::BatchHeader;
use crate::store::{self, StoreDir, TopicHandle};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Bytes were copied; there may be more.
    Copied(usize),
    /// It has what the leader has.
    CaughtUp,
    /// The leader is not ready, or its files move: step again when something changes, or soon.
    Waits,
    /// This broker leads the partition, or no longer holds a replica of it.
    NoFollower,
}

/// One partition's follower replica on a broker.
#[derive(Debug)]
pub struct Follower {
    store: Arc<StoreDir>,
    tp: TopicPartition,
    broker: BrokerId,
    timeout: Duration,
    topic: TopicHandle,
    replica: Replica,
    appender: Appender,
    epochs: LeaderEpochs,
    known: Option<u64>,
    first: bool,
    /// The epoch whose leader this log was compared with.
    matched: Option<LeaderEpoch>,
    leader: Option<PartitionReader>,
    leader_serial: u64,
    watermark: Option<Watermark>,
    committer: Option<Committer>,
    /// The high watermark was raised as far as this replica allows.
    raised: bool,
    /// The log start of the leader, as of the last fetch.
    leaders_start: Offset,
    /// Deletions below are left out in the leader's log, as of the last fetch.
    leaders_deletions_gone: Offset,
    /// The error at the leader's replica in the last step.
    leader_error: Option<Error>,
    /// Empty except within a step.
    buf: Vec<u8>,
    cuts: Vec<Cut>,
}

impl Follower {
    /// Opens the replica that `broker` holds.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::Fenced`] (its directory is missing), [`Kind::Io`].
    pub fn open(
        store: &Arc<StoreDir>,
        tp: &TopicPartition,
        broker: BrokerId,
        timeout: Duration,
    ) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let replica = Replica::open(store, tp, broker)?;
        let found = match replica.read_page()? {
            Some(page) => Some(page.replica_uuid),
            None => replica.metadata()?.and_then(|ids| ids.replica_uuid),
        };
        let listed = topic.partition(tp.partition)?.uuid_of(broker);
        if found.is_some() && found != listed {
            let text = format!("the directory of {tp} on broker {broker} is another replica's");
            return Err(Error::new(Kind::Fenced, text));
        }
        Ok(Follower {
            store: Arc::clone(store),
            tp: tp.clone(),
            broker,
            timeout,
            topic,
            appender: Appender::new(Arc::clone(replica.dir())),
            epochs: replica.epochs()?.unwrap_or_default(),
            replica,
            known: None,
            first: true,
            matched: None,
            leader: None,
            leader_serial: 0,
            watermark: None,
            committer: None,
            raised: false,
            leaders_start: 0,
            leaders_deletions_gone: 0,
            leader_error: None,
            buf: Vec::new(),
            cuts: Vec::new(),
        })
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The topic, as of the last step.
    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// The leader's replica, if it was read.
    pub fn leader(&self) -> Option<&Replica> {
        self.leader.as_ref().map(PartitionReader::replica)
    }

    /// How often the leader's replica was opened: a new number means another directory to watch.
    pub fn leader_serial(&self) -> u64 {
        self.leader_serial
    }

    /// Whether the topic file lists it in the ISR, as of the last step.
    pub fn is_in_sync(&self) -> bool {
        let partition = self.topic.partition(self.tp.partition);
        partition.is_ok_and(|partition| partition.is_in_sync(self.broker))
    }

    /// The error at the leader's replica in the last step.
    pub fn take_leader_error(&mut self) -> Option<Error> {
        self.leader_error.take()
    }

    /// Whether the high watermark was raised as far as this replica allows.
    pub fn is_settled(&self) -> bool {
        self.raised
    }

    /// One step: copies up to about `bytes_max` bytes, makes them durable if the topic requires
    /// that, and raises the high watermark.
    ///
    /// # Errors
    /// [`Kind::Busy`]: a lock stayed taken; [`Kind::Offline`], [`Kind::Damaged`]: this replica
    /// needs a repair; [`Kind::DiskFull`]; [`Kind::UnknownTopic`]; [`Kind::Fenced`]: its directory
    /// is gone.
    pub fn step(&mut self, bytes_max: usize) -> Result<Followed> {
        self.step_with(bytes_max, &mut Vec::new())
    }

    /// The same with the caller's buffer, which many followers may share: its contents do not
    /// matter before or after.
    ///
    /// # Errors
    /// As [`Follower::step`].
    pub fn step_with(&mut self, bytes_max: usize, buf: &mut Vec<u8>) -> Result<Followed> {
        std::mem::swap(&mut self.buf, buf);
        let stepped = self.try_step(bytes_max);
        std::mem::swap(&mut self.buf, buf);
        self.store.add_cuts(&self.tp, &mut self.cuts);
        match stepped {
            Err(e) if e.kind() == Kind::Fenced => {
                // The metadata changed, or a directory was replaced.
                self.leader = None;
                self.watermark = None;
                self.matched = None;
                if e.io_source().is_some_and(is_stale) {
                    // A file that replaced a log file is checked as at a first use.
                    self.first = true;
                    self.appender.forget();
                }
                if self.replica.in_place()? {
                    Ok(Followed::Waits)
                } else {
                    Err(e)
                }
            }
            Err(e) if e.kind() == Kind::UnknownTopic && self.is_half_replaced()? => {
                let text = format!(
                    "the replacement of {} on broker {} was not finished",
                    self.tp, self.broker
                );
                Err(Error::new(Kind::Fenced, text))
            }
            // An idle follower takes no lock, which would find that out.
            Ok(Followed::CaughtUp | Followed::Waits) if !self.replica.in_place()? => {
                let text = format!("the directory of {} is gone, or was replaced", self.tp);
                Err(Error::new(Kind::Fenced, text))
            }
            Ok(Followed::CaughtUp | Followed::Waits) if !self.replica.has_epochs()? => {
                // The next step recreates it from the batches.
                self.forget_files();
                Ok(Followed::Waits)
            }
            other => other,
        }
    }

    /// Makes the next step check the log's files as a first use does.
    pub fn forget_files(&mut self) {
        self.first = true;
        self.matched = None;
        self.appender.forget();
    }

    fn try_step(&mut self, bytes_max: usize) -> Result<Followed> {
        self.refresh()?;
        let partition = self.topic.partition(self.tp.partition)?;
        if partition.leader == self.broker || partition.uuid_of(self.broker).is_none() {
            return Ok(Followed::NoFollower);
        }
        let epoch = partition.leader_epoch;
        if self.matched != Some(epoch) && !self.hold_against(epoch)? {
            return Ok(Followed::Waits);
        }
        let followed = self.fetch(epoch, bytes_max)?;
        match followed {
            Followed::Copied(_) => {
                self.raised = false;
                self.sync_if_due()?;
            }
            Followed::CaughtUp if self.topic.configs().every_message() => self.sync_if_due()?,
            _ => {}
        }
        if !self.raised {
            self.raise()?;
        }
        self.follow_log_start(epoch)?;
        Ok(followed)
    }

    /// A result from the leader's replica; an error there is reported.
    fn at_leader<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind() == Kind::UnknownTopic => Err(e),
            Err(e) => {
                self.leader = None;
                self.watermark = None;
                if !e.is_out_of_descriptors() {
                    // Only a hint: without it the controller notices later.
                    let _ = store::report(&self.store, &self.tp);
                }
                self.leader_error = Some(e);
                Ok(None)
            }
        }
    }

    /// Raises the leader's high watermark as far as this replica allows, and adopts it.
    fn raise(&mut self) -> Result<()> {
        let timeout = self.timeout;
        let shown = self.watermark().and_then(|mark| mark.raise(timeout));
        let Some(shown) = self.at_leader(shown)? else {
            return Ok(());
        };
        if !shown.promoted || self.matched != Some(shown.leader_epoch) {
            // Below another epoch's high watermark the leader's log may differ from this one.
            return Ok(());
        }
        self.raised = true;
        self.take_watermark(shown.high_watermark)
    }

    fn watermark(&mut self) -> Result<&mut Watermark> {
        match &mut self.watermark {
            Some(watermark) => Ok(watermark),
            none => Ok(none.insert(Watermark::open(&self.store, &self.tp)?)),
        }
    }

    /// Enters this replica as joining the in-sync replicas, if it may. Returns the topic file's
    /// version that the entry counts for.
    ///
    /// # Errors
    /// As [`Watermark::enter_joining`].
    pub fn enter_joining(&mut self) -> Result<Option<u64>> {
        let partition = self.topic.partition(self.tp.partition)?;
        if partition.is_in_sync(self.broker) || self.matched != Some(partition.leader_epoch) {
            return Ok(None);
        }
        let epoch = partition.leader_epoch;
        let Some(leader) = &self.leader else {
            return Ok(None);
        };
        let started = leader.replica().epochs()?.unwrap_or_default();
        let start = started
            .entries()
            .iter()
            .find(|(began, _)| *began == epoch)
            .map(|(_, start)| *start);
        let Some(start) = start else {
            return Ok(None);
        };
        let (broker, timeout) = (self.broker, self.timeout);
        let entered = self
            .watermark()
            .and_then(|mark| mark.enter_joining(broker, start, timeout));
        let entered = self.at_leader(entered)?.flatten();
        Ok(entered.filter(|version| *version == self.topic.meta().version))
    }

    fn refresh(&mut self) -> Result<()> {
        if self.topic.is_current()? {
            return Ok(());
        }
        let id = self.topic.meta().topic_id;
        let topic = TopicHandle::open(&self.store, &self.tp.topic)?;
        if topic.meta().topic_id != id {
            return Err(Error::new(
                Kind::UnknownTopic,
                format!("{} was deleted and created again", self.tp.topic),
            ));
        }
        let leader = topic.partition(self.tp.partition)?.leader;
        if self.leader.as_ref().is_some_and(|l| l.broker() != leader) {
            self.leader = None;
        }
        self.topic = topic;
        Ok(())
    }

    fn expected(&self) -> Result<ExpectedReplica> {
        ExpectedReplica::of(&self.store, &self.topic, &self.tp, self.broker)
    }

    fn leader_reader(&mut self) -> Result<&mut PartitionReader> {
        let leader = self.topic.partition(self.tp.partition)?.leader;
        let stale = match &self.leader {
            Some(reader) => reader.broker() != leader || !reader.replica().in_place()?,
            None => true,
        };
        if stale {
            self.leader = None;
        }
        match &mut self.leader {
            Some(reader) => Ok(reader),
            none => {
                self.leader_serial += 1;
                Ok(none.insert(PartitionReader::open_at(&self.store, &self.tp, leader)?))
            }
        }
    }

    /// Whether a page is that of the leader of that epoch, by the topic file.
    fn leads(&self, page: &StatePage, epoch: LeaderEpoch) -> bool {
        let replica = self.topic.replica_uuid(self.tp.partition);
        replica.is_ok_and(|replica| page.leads(self.store.boot_id(), replica, epoch))
    }

    fn fetch(&mut self, epoch: LeaderEpoch, bytes_max: usize) -> Result<Followed> {
        let Some(own) = self.replica.read_page()? else {
            // Both copies are lost: a recovery recreates them.
            self.matched = None;
            return Ok(Followed::Waits);
        };
        if own.role != Role::Follower || own.leader_epoch != epoch || own.offline.is_some() {
            self.matched = None;
            return Ok(Followed::Waits);
        }
        // If the leader's start lies within its first batch, that batch is read from there.
        let (end, from) = (own.tail.end, own.tail.end.max(self.leaders_start));
        let mut buf = std::mem::take(&mut self.buf);
        let fetched = self
            .leader_reader()
            .and_then(|leader| leader.read_to_end(from, bytes_max, &mut buf));
        self.buf = buf;
        if matches!(&fetched, Err(e) if e.kind() == Kind::OffsetOutOfRange) {
            // The leader's log starts beyond this one's end: the next comparison says what is due.
            self.matched = None;
            return Ok(Followed::Waits);
        }
        let Some((page, len)) = self.at_leader(fetched)? else {
            return Ok(Followed::Waits);
        };
        if !self.leads(&page, epoch) {
            self.matched = None;
            return Ok(Followed::Waits);
        }
        self.leaders_start = page.tail.log_start;
        self.leaders_deletions_gone = page.deletions_gone;
        if end > own.tail.log_start && end < page.deletions_gone {
            // This log may hold values whose deletions are gone: the next comparison says so.
            self.matched = None;
            return Ok(Followed::Waits);
        }
        let next = if len > 0 {
            begin_filler_at(&mut self.buf, end)?;
            BatchHeader::parse(&self.buf)?.base_offset
        } else {
            end.max(self.leaders_start)
        };
        if next != end {
            // The leader's log start passed the end of this log.
            self.matched = None;
            return Ok(Followed::Waits);
        }
        if len == 0 {
            if page.high_watermark < page.acked(self.topic.configs().every_message()) {
                // The leader may have synced its log after the last raise.
                self.raised = false;
            }
            self.take_watermark(page.high_watermark)?;
            return Ok(Followed::CaughtUp);
        }
        if page.deletions_gone > own.deletions_gone {
            self.replica.checkpoint_deletions(page.deletions_gone)?;
        }
        self.append(epoch, end, page.high_watermark)
    }

    /// Appends the fetched batches, if this log is still of that epoch and ends where the fetch
    /// began.
    fn append(
        &mut self,
        epoch: LeaderEpoch,
        from: Offset,
        leaders_watermark: Offset,
    ) -> Result<Followed> {
        let expected = self.expected()?;
        let limits = RollLimits {
            segment_bytes: self.topic.configs().segment_bytes,
            segment_ms: self.topic.configs().segment_ms,
            index_bytes: self.topic.configs().segment_index_bytes,
            index_interval_bytes: self.topic.configs().index_interval_bytes,
        };
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Ok(Followed::Waits);
        }
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let mut page = recovery.ready(held.page()?, self.known, self.first)?;
        let fits = page.role == Role::Follower
            && page.leader_epoch == epoch
            && page.seal.is_none()
            && page.tail.end == from;
        if !fits {
            self.matched = None;
            return Ok(Followed::Waits);
        }
        let mut copied = 0;
        let mut rest = self.buf.as_slice();
        while !rest.is_empty() {
            let (run, headers, roll) = next_run(&page, rest, &limits)?;
            if roll {
                begin_segment(&held, recovery.appender, &mut page).inspect_err(|e| {
                    // The page may be older than the log: the next step checks as a first use does.
                    self.first |= e.kind() == Kind::Fenced;
                })?;
            }
            for header in &headers {
                if recovery.epochs.at(header.base_offset) != Some(header.leader_epoch) {
                    // An epoch that begins at the log's end has no batch, and may be newer than
                    // this one.
                    recovery.change_epochs(&mut page, |epochs| {
                        epochs.cut(header.base_offset);
                        epochs.begin(header.leader_epoch, header.base_offset);
                    })?;
                }
            }
            let (bytes, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            page.tail = recovery.appender.append_run(
                &page.tail,
                bytes,
                &headers,
                limits.index_interval_bytes,
            )?;
            page.intent = Intent::None;
            copied += bytes.len();
            rest = after;
        }
        if !self.shows_nothing_yet(&page) {
            follow_watermark(&mut page, leaders_watermark, &expected);
        }
        page.deletions_gone = page.deletions_gone.max(self.leaders_deletions_gone);
        held.publish(&mut page)?;
        drop(held);
        self.first = false;
        self.known = Some(page.sequence);
        Ok(Followed::Copied(copied))
    }

    /// Publishes the leader's high watermark, as far as this log goes.
    fn take_watermark(&mut self, leaders: Offset) -> Result<()> {
        let expected = self.expected()?;
        let due = |page: &StatePage| leaders.min(page.acked(expected.every_message));
        let lags =
            |page: &StatePage| due(page) > page.high_watermark && !self.shows_nothing_yet(page);
        if !self.replica.read_page()?.is_some_and(|page| lags(&page)) {
            return Ok(());
        }
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            // Under another topic file another log end may count.
            return Ok(());
        }
        let Some(mut page) = held.page()? else {
            return Ok(());
        };
        let matched = self.matched == Some(page.leader_epoch)
            && page.role == Role::Follower
            && page.replica_uuid == expected.replica_uuid;
        if matched && page.seal.is_none() && lags(&page) {
            let in_order = self.known == Some(page.sequence);
            follow_watermark(&mut page, leaders, &expected);
            held.publish(&mut page)?;
            if in_order {
                self.known = Some(page.sequence);
            }
        }
        Ok(())
    }

    /// Makes the log durable if the topic requires that.
    fn sync_if_due(&mut self) -> Result<()> {
        let Some(page) = self.replica.read_page()? else {
            return Ok(());
        };
        let unsynced = (page.tail.end - page.durable.offset).max(0) as u64;
        let rolled = page.durable.segment != page.tail.active;
        let due = unsynced > 0
            && (self.topic.configs().every_message()
                || unsynced >= self.topic.configs().flush_messages
                || rolled);
        if !due {
            return Ok(());
        }
        self.committer()?.commit(page.tail.end)?;
        self.raised = false;
        Ok(())
    }
}
