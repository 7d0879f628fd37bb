//! Delivery to partitions with several replicas: an appended batch is kept until it is
//! acknowledged, since leadership may change meanwhile.
//!
//! 1. A batch is known by the names (leader epoch, last offset) that it was appended under. After
//!    the promotion of a new leader, the appending thread looks up each name in that leader's log.
//!    Only if none is there, it appends the batch again. So a failover neither loses nor doubles a
//!    batch.
//! 2. Batches of a partition are appended again in their order, and before new ones: while batches
//!    are in flight, a new one is appended only in the epoch in which those were looked up.
//! 3. An acknowledgement means what the acks ask for: all: the high watermark passed the batch, in
//!    the topic file's epoch. 1: the leader of that epoch has it, durable if the topic says so.
//! 4. Memory is bounded by the bytes in flight.

pub(super) mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::enough_replicas::check_replicas;
use super::ledger::Ticket;
use super::producer_options::{Acks, Observer, ProducerOptions};
use crate::error::{Error, Kind, Result};
use crate::log::LeaderEpochs;
use crate::partition::{Appended, PartitionWriter, StatePage};
use crate::store::brokers::failure_reports;
use crate::store::{Liveness, StoreDir};
use crate::types::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// The most bytes of in-flight batches.
const UNDER_WAY_BYTES_MAX: usize = 8 << 20;
/// The most buffers that are kept for later batches, and the largest batch that they held.
const SPARE_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 1 << 20;
/// Interval of the tries to append while the leader cannot be used.
const TRY_INTERVAL: Duration = Duration::from_millis(5);
/// A wait that takes longer is reported to the observer.
const NOTIFY_AFTER: Duration = Duration::from_secs(1);
/// How often leadership may change within one append.
const RESOLVES: u32 = 16;
/// How long to wait for a lock before the partition is reported.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The in-flight batches, shared by the appending thread and the waiting thread.
#[derive(Debug)]
pub(super) struct Replicated {
    store: Arc<StoreDir>,
    topic: TopicName,
    acks: Acks,
    timeout: Duration,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<InFlightState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct InFlightState {
    /// Only partitions with in-flight batches have an entry.
    in_flight_all: BTreeMap<PartitionId, InFlightBatches>,
    /// The partitions in which another epoch has begun: the appending thread has to look up their
    /// in-flight batches, and until it has, none of them is acknowledged.
    moved: BTreeSet<PartitionId>,
    bytes: usize,
    /// Buffers of acknowledged batches, for later ones.
    spare: Vec<Vec<u8>>,
    closed: bool,
}

#[derive(Debug)]
struct InFlightBatches {
    /// The epoch that all in-flight batches are known to be in.
    epoch: LeaderEpoch,
    under_way: VecDeque<UnderWay>,
    /// The topic that they were appended to: another may have its name now.
    topic_id: Uuid,
}

impl InFlightState {
    /// Removes the entry of a partition whose batches were acknowledged or given up.
    fn end(&mut self, partition: PartitionId) -> Option<InFlightBatches> {
        self.moved.remove(&partition);
        self.in_flight_all.remove(&partition)
    }
}

/// A batch that is appended and not acknowledged.
#[derive(Debug)]
struct UnderWay {
    batch: Vec<u8>,
    ticket: Ticket,
    /// Every name that it was appended under, the last one first.
    names: Vec<(LeaderEpoch, Offset)>,
    appended: Appended,
    since: Duration,
}

impl Replicated {
    pub fn new(store: Arc<StoreDir>, topic: TopicName, options: &ProducerOptions) -> Self {
        Replicated {
            store,
            topic,
            acks: options.acks,
            timeout: options.timeout,
            observer: options.observer.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, InFlightState> {
        // A panic in another thread leaves the lists whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    fn tp(&self, partition: PartitionId) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), partition)
    }

    fn gives_up(&self) -> bool {
        self.observer.as_ref().is_some_and(|o| o.gives_up())
    }

    /// Whether no batch is in flight.
    pub fn is_idle(&self) -> bool {
        self.lock().in_flight_all.is_empty()
    }

    /// No more batches come: the waiting thread ends once none is in flight.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for room.
    fn wait_for_room(&self, failed: &dyn Fn() -> bool) {
        let state = self.lock();
        let is_full = |state: &mut InFlightState| state.bytes >= UNDER_WAY_BYTES_MAX && !failed();
        let lock_timeout = Duration::from_millis(5);
        // A short wait: after a change of epoch, this thread itself has to look the batches up.
        drop(
            self.changed
                .wait_timeout_while(state, lock_timeout, is_full),
        );
    }

    fn is_full(&self) -> bool {
        self.lock().bytes >= UNDER_WAY_BYTES_MAX
    }

    /// The partitions whose leadership changed under in-flight batches.
    pub fn moved(&self) -> Vec<PartitionId> {
        self.lock().moved.iter().copied().collect()
    }

    /// The epoch of the in-flight batches, if there are any.
    fn epoch_under_way(&self, partition: PartitionId) -> Option<LeaderEpoch> {
        self.lock()
            .in_flight_all
            .get(&partition)
            .map(|in_flight| in_flight.epoch)
    }

    /// A buffer that once held a batch.
    pub fn take_spare(&self) -> Option<Vec<u8>> {
        self.lock().spare.pop()
    }

    /// Drops the in-flight batches of a partition; returns how many there were.
    pub fn give_up(&self, partition: PartitionId) -> usize {
        let mut state = self.lock();
        let Some(in_flight) = state.end(partition) else {
            return 0;
        };
        let bytes: usize = in_flight.under_way.iter().map(|one| one.batch.len()).sum();
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.changed.notify_all();
        in_flight.under_way.len()
    }
}

/// The appending thread's part.
#[derive(Debug)]
pub(super) struct Appending {
    shared: Arc<Replicated>,
    /// The start of the wait that was reported.
    reported: Option<Duration>,
    liveness: Liveness,
    /// Whether a daemon of a replica has ever run: if it is down now, it may be back within the
    /// timeout. If none ever ran, there is nothing to wait for.
    met_daemon: bool,
    /// Whether that was checked.
    observed: bool,
}

impl Appending {
    pub fn new(shared: Arc<Replicated>) -> Self {
        Appending {
            liveness: Liveness::new(&shared.store),
            met_daemon: false,
            observed: false,
            reported: None,
            shared,
        }
    }

    /// Waits until a batch has room beside the in-flight batches.
    ///
    /// # Errors
    /// As [`Appending::resolve`].
    pub fn wait_for_room(
        &mut self,
        writer: &mut PartitionWriter,
        failed: &dyn Fn() -> bool,
    ) -> Result<()> {
        let partition = writer.tp().partition;
        while self.shared.is_full() && !failed() {
            self.shared.wait_for_room(failed);
            if self.shared.moved().contains(&partition) {
                self.resolve(writer, failed)?;
            }
        }
        Ok(())
    }

    /// Keeps an appended batch, behind all in-flight batches of the partition, until it is
    /// acknowledged.
    pub fn keep(
        &mut self,
        writer: &PartitionWriter,
        batch: Vec<u8>,
        ticket: Ticket,
        appended: Appended,
    ) {
        let partition = writer.tp().partition;
        let mut state = self.shared.lock();
        state.bytes += batch.len();
        let in_flight = state
            .in_flight_all
            .entry(partition)
            .or_insert_with(|| InFlightBatches {
                epoch: appended.leader_epoch,
                under_way: VecDeque::new(),
                topic_id: writer.topic().meta().topic_id,
            });
        in_flight.under_way.push_back(UnderWay {
            batch,
            ticket,
            names: vec![(appended.leader_epoch, appended.last_offset)],
            appended,
            since: self.shared.now(),
        });
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Appends a finished batch, trying until the timeout.
    ///
    /// # Errors
    /// The error of the last try: nothing of this batch is stored.
    pub fn append(
        &mut self,
        writer: &mut PartitionWriter,
        batch: &mut [u8],
        failed: &dyn Fn() -> bool,
    ) -> Result<Appended> {
        let started = self.shared.now();
        loop {
            if failed() {
                return Err(Error::new(Kind::Interrupted, "the producer has failed"));
            }
            match self.try_append(writer, batch, failed) {
                Ok(appended) => return Ok(appended),
                Err(e) => self.again(writer, e, started, failed)?,
            }
        }
    }

    fn try_append(
        &mut self,
        writer: &mut PartitionWriter,
        batch: &mut [u8],
        failed: &dyn Fn() -> bool,
    ) -> Result<Appended> {
        if !self.observed {
            let partition = writer.topic().partition(writer.tp().partition)?;
            self.met_daemon = self.liveness.any_alive(partition);
            self.observed = true;
        }
        if self.shared.acks == Acks::All {
            check_replicas(writer, &self.liveness)?;
        }
        let mut tries = 0;
        loop {
            let only = self.shared.epoch_under_way(writer.tp().partition);
            match writer.append_in(batch, only) {
                Err(e) if e.kind() == Kind::Fenced && only.is_some() && tries < RESOLVES => {
                    tries += 1;
                    self.resolve(writer, failed)?;
                }
                other => return other,
            }
        }
    }

    /// After a failed try: waits a little, and returns whether to try again.
    fn again(
        &mut self,
        writer: &mut PartitionWriter,
        error: Error,
        started: Duration,
        failed: &dyn Fn() -> bool,
    ) -> Result<()> {
        let passing = error.kind().is_of_one_replica();
        let waited = self.shared.now().saturating_sub(started);
        let late = waited >= self.shared.timeout || self.shared.gives_up();
        let partition = writer.topic().partition(writer.tp().partition)?;
        self.met_daemon = self.met_daemon || self.liveness.any_alive(partition);
        if !passing || late || failed() || !self.met_daemon {
            return Err(error);
        }
        if waited >= NOTIFY_AFTER
            && self.reported != Some(started)
            && let Some(observer) = &self.shared.observer
        {
            self.reported = Some(started);
            observer.waits(&error);
        }
        // A hint: without it the controller notices the failure later.
        let _ = failure_reports::report(&self.shared.store, writer.tp());
        self.shared.store.clock().sleep(TRY_INTERVAL);
        match writer.reopen() {
            Err(e) if e.kind() == Kind::UnknownTopic => Err(e),
            // Its directory may be gone, or about to be replaced.
            _ => Ok(()),
        }
    }

    /// Looks up all in-flight batches of a partition at the leader of the present epoch, and
    /// appends the missing ones again.
    ///
    /// # Errors
    /// [`Kind::Unknown`] if the outcome can no longer be known; else as [`Appending::append`].
    pub fn resolve(
        &mut self,
        writer: &mut PartitionWriter,
        failed: &dyn Fn() -> bool,
    ) -> Result<()> {
        let started = self.shared.now();
        loop {
            match self.try_resolve(writer) {
                Ok(()) => return Ok(()),
                Err(e) => self.again(writer, e, started, failed)?,
            }
        }
    }

    fn try_resolve(&mut self, writer: &mut PartitionWriter) -> Result<()> {
        let partition = writer.tp().partition;
        let (page, epochs) = ask(writer)?;
        let epoch = page.leader_epoch;
        // No other thread changes the order of the batches; acknowledged ones leave at the front.
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let Some(in_flight) = state.in_flight_all.get_mut(&partition) else {
            return Ok(());
        };
        if in_flight.epoch == epoch {
            state.moved.remove(&partition);
            return Ok(());
        }
        // Until the lookup is finished, none of its batches is acknowledged.
        state.moved.insert(partition);
        for one in &mut in_flight.under_way {
            let is_there = |(began, offset): &(LeaderEpoch, Offset)| {
                epochs
                    .end_of(*began, page.tail.end)
                    .is_some_and(|end| end > *offset)
            };
            if let Some(found) = one.names.iter().find(|name| is_there(name)) {
                one.appended.leader_epoch = found.0;
                one.appended.base_offset += found.1 - one.appended.last_offset;
                one.appended.last_offset = found.1;
                continue;
            }
            let below = |(_, offset): &(LeaderEpoch, Offset)| *offset < page.tail.log_start;
            if one.names.iter().any(below) {
                return Err(unknown(writer.tp(), "the log now begins after them"));
            }
            one.appended = writer.append_in(&mut one.batch, Some(epoch))?;
            let name = (one.appended.leader_epoch, one.appended.last_offset);
            one.names.insert(0, name);
        }
        in_flight.epoch = epoch;
        state.moved.remove(&partition);
        Ok(())
    }
}

/// The leader's state page and epochs, both of one state of its log.
fn ask(writer: &mut PartitionWriter) -> Result<(StatePage, LeaderEpochs)> {
    for _ in 0..RESOLVES {
        let page = writer.make_ready()?;
        let epochs = writer.replica().epochs()?.unwrap_or_default();
        let same = |now: StatePage| {
            now.generation == page.generation && now.leader_epoch == page.leader_epoch
        };
        // It may follow another leader now, and its log may be truncated.
        if writer.replica().read_page()?.is_some_and(same) {
            return Ok((page, epochs));
        }
    }
    let text = format!("the leader of {} keeps changing", writer.tp());
    Err(Error::new(Kind::Fenced, text))
}

fn unknown(tp: &TopicPartition, why: &str) -> Error {
    Error::new(
        Kind::Unknown,
        format!("records for {tp} are perhaps stored: {why}"),
    )
    .cure("read them back before sending them again")
}

/// How long to wait for the append lock of a partition with several replicas.
pub(super) fn lock_timeout(timeout: Duration) -> Duration {
    timeout.min(LOCK_TIMEOUT)
}
