//! The only way to append: a writer takes the lock, verifies that the page, the log and the topic
//! file match its assumptions, stamps, writes, and publishes last.
//!
//! 1. A batch is neither readable nor acknowledged until the state page includes it: the page is
//!    written after everything else.
//! 2. The topic file and the path of the page are checked under the lock, and again before an
//!    acknowledgement ([`super::confirm()`]).
//! 3. A write that fails publishes nothing; a whole sound batch is never cut.

use std::sync::Arc;
use std::time::Duration;

use super::key_check::check_keys;
use super::segment_roll::begin_segment;
use super::timestamps;
use crate::error::{Error, Kind, Result};
use crate::log::{Appender, Cut, LeaderEpochs, RollLimits};
use crate::partition::dir_sync::sync_names;
use crate::partition::expected_replica::ExpectedReplica;
use crate::partition::recovery::{ReplicaRecovery, open_replica};
use crate::partition::replica::Replica;
use crate::partition::replication;
use crate::partition::state_page::{Intent, Seal, StatePage};
use crate::record::{self, BatchHeader};
use crate::store::{Stillness, StoreDir, TopicConfigs, TopicHandle, WriteProbe};
use crate::timing::SEAL_LEFT_AFTER;
use crate::types::{BrokerId, LeaderEpoch, Offset, Timestamp, TimestampType, TopicPartition, Uuid};

/// Where an append was stored, and what is needed to find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The epoch it is stamped with.
    pub leader_epoch: LeaderEpoch,
    /// Its checksum.
    pub crc: u32,
    /// The replica that it was appended to: a topic that was created again has others.
    pub replica: Uuid,
    /// The replica's generation as of the append.
    pub generation: u64,
    /// The timestamp that the log gave it, if the topic says LogAppendTime, ms.
    pub append_time: Option<i64>,
    /// A segment was closed: the caller should begin a group commit.
    pub rolled: bool,
    /// The durable offset as of the append.
    pub durable: Offset,
}

/// Appends to one partition. Holds the lock only within [`PartitionWriter::append`].
#[derive(Debug)]
pub struct PartitionWriter {
    store: Arc<StoreDir>,
    tp: TopicPartition,
    timeout: Duration,
    topic: TopicHandle,
    leader: BrokerId,
    replica: Replica,
    appender: Appender,
    epochs: LeaderEpochs,
    known: Option<u64>,
    first: bool,
    synced_version: u64,
    /// The sealed log that it waits for: epoch, generation, and the heartbeat of the process that
    /// transfers leadership.
    sealed: Option<Stillness<(LeaderEpoch, u64, u64)>>,
    served: WriteProbe,
    cuts: Vec<Cut>,
}

/// A leader's replica that is ready, under its append lock.
pub(crate) struct ReadyLeader<'r, 'a> {
    pub recovery: &'r mut ReplicaRecovery<'a>,
    /// The published page.
    pub page: &'r mut StatePage,
}

/// How often an append started over: because its log was sealed, and because the metadata changed.
#[derive(Debug, Default)]
struct Tries {
    sealed: u32,
    moved_on: u32,
}

/// How often an append starts over because the metadata changed.
const TRIES: u32 = 100;
/// The pause before it does.
const PAUSE: Duration = Duration::from_micros(200);
const MOVING_PAUSE: Duration = Duration::from_millis(2);

impl PartitionWriter {
    /// Opens a partition for appends; `timeout` bounds each wait for a lock.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::Fenced`] (led elsewhere), [`Kind::Io`].
    pub fn open(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let replica = open_replica(store, &topic, tp)?;
        let epochs = replica.epochs()?.unwrap_or_default();
        Ok(PartitionWriter {
            store: Arc::clone(store),
            tp: tp.clone(),
            timeout,
            appender: Appender::new(Arc::clone(replica.dir())),
            leader: topic.partition(tp.partition)?.leader,
            topic,
            replica,
            epochs,
            known: None,
            first: true,
            synced_version: 0,
            sealed: None,
            served: WriteProbe::default(),
            cuts: Vec::new(),
        })
    }

    /// The topic's configs, as of the last read of the topic file.
    pub fn configs(&self) -> &TopicConfigs {
        self.topic.configs()
    }

    /// The partition.
    pub fn tp(&self) -> &TopicPartition {
        &self.tp
    }

    /// The store it is in.
    pub fn store(&self) -> &Arc<StoreDir> {
        &self.store
    }

    /// Replica and topic, for a confirmation.
    pub fn parts(&self) -> (&Replica, &TopicHandle) {
        (&self.replica, &self.topic)
    }

    /// The replica written to.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The topic written to.
    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// Appends a finished batch (offsets and epoch are stamped here) and publishes it.
    ///
    /// # Errors
    /// [`Kind::MessageTooLarge`], [`Kind::DiskFull`], [`Kind::Busy`], [`Kind::Offline`],
    /// [`Kind::Damaged`], [`Kind::UnknownTopic`]: of this batch nothing is stored.
    pub fn append(&mut self, batch: &mut [u8]) -> Result<Appended> {
        self.append_in(batch, None)
    }

    /// As [`PartitionWriter::append`], but only in that leader epoch, if one is given.
    ///
    /// # Errors
    /// [`Kind::Fenced`] also if the topic file names another epoch.
    pub fn append_in(&mut self, batch: &mut [u8], only: Option<LeaderEpoch>) -> Result<Appended> {
        let mut tries = Tries::default();
        loop {
            if only.is_some_and(|only| self.led_epoch().is_ok_and(|epoch| epoch != only)) {
                return Err(fenced(&self.tp));
            }
            let appended = self.try_append(batch, only);
            self.store.add_cuts(&self.tp, &mut self.cuts);
            match appended {
                // The metadata changed: read it again, a bounded number of times.
                Err(e) if e.kind() == Kind::Fenced => {
                    if !self.try_again(&mut tries)? {
                        return Err(e);
                    }
                }
                other => {
                    self.sealed = None;
                    return other;
                }
            }
        }
    }

    /// Makes the replica ready (recovery, promotion) as the first append would, without an append.
    pub fn make_ready(&mut self) -> Result<StatePage> {
        self.when_ready(|ready| Ok(*ready.page))
    }

    /// Makes the replica ready, and does `work` in the same hold of its append lock. If the metadata
    /// changes meanwhile, both are done again, perhaps on another broker's replica.
    ///
    /// # Errors
    /// Those of an append, and of `work`.
    pub(crate) fn when_ready<T>(
        &mut self,
        mut work: impl FnMut(ReadyLeader<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let mut tries = Tries::default();
        loop {
            let done = self.try_ready(&mut work);
            self.store.add_cuts(&self.tp, &mut self.cuts);
            match done {
                Err(e) if e.kind() == Kind::Fenced => {
                    if !self.try_again(&mut tries)? {
                        return Err(e);
                    }
                }
                other => {
                    self.sealed = None;
                    return other;
                }
            }
        }
    }

    /// Begins a segment if the log still ends at `end` and its active segment holds records.
    pub(crate) fn roll(&mut self, end: Offset) -> Result<StatePage> {
        self.when_ready(|ready| {
            let page = ready.page;
            if page.tail.end == end && page.tail.last.is_some() {
                begin_segment(ready.recovery.held, ready.recovery.appender, page)?;
                page.intent = Intent::None;
                ready.recovery.held.publish(page)?;
            }
            Ok(*page)
        })
    }

    fn try_ready<T>(
        &mut self,
        work: &mut impl FnMut(ReadyLeader<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let epoch = self.led_epoch()?;
        self.sync_names()?;
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Err(fenced(&self.tp));
        }
        let expected = ExpectedReplica::of_leader(&self.store, &self.topic, &self.tp)?;
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let mut page = match ready(&mut recovery, self.known, self.first, epoch)? {
            LeaderPage::Page(page) => page,
            LeaderPage::Sealed(page) => {
                drop(held);
                self.unseal(&page)?;
                return Err(fenced(&self.tp));
            }
        };
        let shown = page.high_watermark;
        expected.raise_high_watermark(&mut page);
        if page.high_watermark > shown {
            held.publish(&mut page)?;
        }
        let done = work(ReadyLeader {
            recovery: &mut recovery,
            page: &mut page,
        });
        drop(held);
        // Only if the page is older than the log: then the next try checks as a first use does.
        self.first = matches!(&done, Err(e) if e.kind() == Kind::Fenced);
        if !self.topic.is_current()? {
            // The process that changed it could not raise the high watermark, as there was no
            // promotion yet.
            return Err(fenced(&self.tp));
        }
        done
    }

    /// Repairs a damaged or offline replica: see `ReplicaRecovery::repair`. The caller has asked
    /// for consent.
    pub fn repair(&mut self) -> Result<StatePage> {
        self.observe()?;
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Err(fenced(&self.tp));
        }
        let page = held.page()?;
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected: ExpectedReplica::of_leader(&self.store, &self.topic, &self.tp)?,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let cleaned_to = self.replica.cleaned_to()?;
        let repaired = recovery.repair(page);
        drop(held);
        self.store.add_cuts(&self.tp, &mut self.cuts);
        if let Ok(page) = &repaired
            && page.tail.end < cleaned_to
        {
            self.store.add_note(format!(
                "{}: the log was compacted up to offset {cleaned_to} and ends at {} now: where a record that \
                 was cut off was the last of its key, the earlier ones are gone, too",
                self.tp, page.tail.end
            ));
        }
        repaired
    }

    /// Rereads the topic file and the replica.
    pub fn refresh(&mut self) -> Result<()> {
        let id = self.topic.meta().topic_id;
        let topic = TopicHandle::open(&self.store, &self.tp.topic)?;
        if topic.meta().topic_id != id {
            return Err(recreated(&self.tp));
        }
        let leader = topic.partition(self.tp.partition)?.leader;
        if leader != self.leader || !self.replica.in_place()? {
            self.replica = open_replica(&self.store, &topic, &self.tp)?;
            self.appender = Appender::new(Arc::clone(self.replica.dir()));
            self.leader = leader;
            self.first = true;
            self.known = None;
        }
        self.epochs = self.replica.epochs()?.unwrap_or_default();
        self.topic = topic;
        Ok(())
    }

    /// Switches to a changed topic file.
    pub fn observe(&mut self) -> Result<()> {
        self.led_epoch().map(drop)
    }

    /// Opens the leader's replica again, whatever state it was in.
    ///
    /// # Errors
    /// As [`PartitionWriter::open`].
    pub fn reopen(&mut self) -> Result<()> {
        let again = PartitionWriter::open(&self.store, &self.tp, self.timeout)?;
        if again.topic.meta().topic_id != self.topic.meta().topic_id {
            return Err(recreated(&self.tp));
        }
        *self = again;
        Ok(())
    }

    fn check_size(&self, bytes: usize) -> Result<()> {
        let configs = self.topic.configs();
        let most = configs.batch_bytes_max();
        if bytes as u64 > most {
            let text = format!(
                "MESSAGE_TOO_LARGE: a batch of {bytes} bytes for {}, which takes {most}",
                self.tp
            );
            return Err(Error::new(Kind::MessageTooLarge, text)
                .cure(configs.raise_for(&self.tp.topic, bytes)));
        }
        Ok(())
    }

    /// The epoch in which this broker leads the partition, by the topic file that is open.
    fn led_epoch(&mut self) -> Result<LeaderEpoch> {
        if !self.topic.is_current()? {
            self.refresh()?;
        }
        Ok(self.topic.partition(self.tp.partition)?.leader_epoch)
    }

    /// Makes the names of the replica and of the topic file durable, once a version.
    fn sync_names(&mut self) -> Result<()> {
        let version = self.topic.meta().version;
        if self.synced_version < version {
            sync_names(&self.store, &self.replica, version, self.timeout)?;
            self.synced_version = version;
        }
        Ok(())
    }

    /// Waits for a sealed log, or begins a new epoch: at once after a recovery; before a leadership
    /// transfer, once the heartbeat of the transferring process stops.
    fn unseal(&mut self, page: &StatePage) -> Result<()> {
        let now = self.store.clock().monotonic();
        let seen = (
            page.leader_epoch,
            page.generation,
            self.replica.movers_reading(&mut self.served),
        );
        let watched = self
            .sealed
            .get_or_insert_with(|| Stillness::begin(seen, now));
        let is_left = watched.observe(seen, now) >= SEAL_LEFT_AFTER;
        if page.seal == Some(Seal::Recovered) || is_left {
            replication::raise_epoch(&self.store, &self.tp, page.leader_epoch, self.timeout)?;
            self.sealed = None;
        }
        Ok(())
    }

    /// Whether to reread the metadata after a try that was fenced.
    fn try_again(&mut self, tries: &mut Tries) -> Result<bool> {
        // A leadership transfer is about to end: that wait has its own bound.
        let count = if self.sealed.is_some() {
            &mut tries.sealed
        } else {
            &mut tries.moved_on
        };
        *count += 1;
        if tries.moved_on > TRIES {
            return Ok(false);
        }
        let pause = if tries.sealed > TRIES {
            MOVING_PAUSE
        } else {
            PAUSE
        };
        self.store.clock().sleep(pause);
        self.refresh()?;
        Ok(true)
    }

    fn try_append(&mut self, batch: &mut [u8], only: Option<LeaderEpoch>) -> Result<Appended> {
        let epoch = self.led_epoch()?;
        if only.is_some_and(|only| only != epoch) {
            return Err(fenced(&self.tp));
        }
        self.check_size(batch.len())?;
        // One that was built before an 'alter' of the policy comes here, too.
        check_keys(batch, &self.tp.topic, self.topic.configs())?;
        self.sync_names()?;
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Err(fenced(&self.tp));
        }
        let expected = ExpectedReplica::of_leader(&self.store, &self.topic, &self.tp)?;
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let ready = ready(&mut recovery, self.known, self.first, epoch)?;
        let mut page = match ready {
            LeaderPage::Page(page) => page,
            LeaderPage::Sealed(page) => {
                drop(held);
                self.unseal(&page)?;
                return Err(fenced(&self.tp));
            }
        };
        self.first = false;
        page.synced_version = page.synced_version.max(self.synced_version);
        let configs = self.topic.configs();
        let append_time = (configs.timestamp_type == TimestampType::LogAppendTime)
            .then(|| self.store.clock().now_ms());
        if let Some(now) = append_time {
            record::stamp_append_time(batch, now);
        }
        record::stamp(batch, page.tail.end, page.leader_epoch);
        let header = BatchHeader::parse(batch).map_err(|corrupt| {
            Error::new(
                Kind::InvalidRecord,
                format!("a batch for {} is not sound: {corrupt}", self.tp),
            )
        })?;
        if append_time.is_none() && configs.bound_timestamps() {
            let now_ms = self.store.clock().now_ms();
            timestamps::check(&self.tp, configs, batch, &header, now_ms)?;
        }
        let limits = RollLimits {
            segment_bytes: configs.segment_bytes,
            segment_ms: configs.segment_ms,
            index_bytes: configs.segment_index_bytes,
            index_interval_bytes: configs.index_interval_bytes,
        };
        let must_roll = Appender::must_roll(
            &page.tail,
            batch.len() as u64,
            header.max_timestamp,
            header.last_offset(),
            &limits,
        );
        let rolled = must_roll || has_expired(&self.store, configs, &page, header.max_timestamp);
        let mut tail = page.tail;
        if rolled {
            begin_segment(&held, &mut self.appender, &mut page).inspect_err(|e| {
                // The page may be older than the log: the next try checks as a first use does.
                self.first |= e.kind() == Kind::Fenced;
            })?;
            tail = page.tail;
        }
        page.tail = self
            .appender
            .append(&tail, batch, &header, limits.index_interval_bytes)?;
        page.intent = Intent::None;
        expected.raise_high_watermark(&mut page);
        if let Err(e) = held.publish(&mut page) {
            // Else the next writer would recover the batch, though this writer reports that nothing
            // was stored.
            return Err(match self.appender.take_back(&tail) {
                Ok(()) => e,
                Err(_) => e
                    .with_kind(Kind::Unknown)
                    .cure("read it back before sending it again"),
            });
        }
        drop(held);
        self.known = Some(page.sequence);
        Ok(Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            leader_epoch: page.leader_epoch,
            crc: header.crc,
            replica: page.replica_uuid,
            generation: page.generation,
            append_time,
            rolled,
            durable: page.durable.offset,
        })
    }
}

/// Whether all of the active segment is older than `retention.ms`, and the new records are not. They would
/// keep it: they go into a segment of their own instead.
fn has_expired(
    store: &StoreDir,
    configs: &TopicConfigs,
    page: &StatePage,
    timestamp: Timestamp,
) -> bool {
    let Some(ms) = configs.retention_ms.filter(|_| configs.removes_old()) else {
        return false;
    };
    let newest = page.tail.max_timestamp;
    let now_ms = store.clock().now_ms();
    let is_old = |timestamp: Timestamp| now_ms.saturating_sub(timestamp) > ms;
    page.tail.last.is_some() && newest >= 0 && is_old(newest) && !is_old(timestamp)
}

pub(crate) fn recreated(tp: &TopicPartition) -> Error {
    let text = format!(
        "UNKNOWN_TOPIC_OR_PARTITION: {} was deleted and created again",
        tp.topic
    );
    Error::new(Kind::UnknownTopic, text).cure("start again to use the new one")
}

fn fenced(tp: &TopicPartition) -> Error {
    Error::new(
        Kind::Fenced,
        format!("FENCED_LEADER_EPOCH: the leadership of {tp} keeps moving"),
    )
    .cure("try again")
}

/// A replica that is ready, or one that waits for a new leader epoch.
enum LeaderPage {
    /// Appends may go on.
    Page(StatePage),
    /// Only a new epoch lifts the seal.
    Sealed(StatePage),
}

/// Recovers the replica, and promotes it if the topic file names a newer epoch.
/// `known` and `first`: as for [`ReplicaRecovery::ready`].
fn ready(
    recovery: &mut ReplicaRecovery<'_>,
    known: Option<u64>,
    first: bool,
    epoch: LeaderEpoch,
) -> Result<LeaderPage> {
    let held = recovery.held;
    let mut page = recovery.ready(held.page()?, known, first)?;
    if page.leader_epoch < epoch {
        page = recovery.promote(page, epoch)?;
    } else if page.leader_epoch > epoch {
        return Err(fenced(held.replica().tp()));
    }
    Ok(if page.seal.is_some() {
        LeaderPage::Sealed(page)
    } else {
        LeaderPage::Page(page)
    })
}
