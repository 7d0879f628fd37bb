//! What the appending and the syncing threads of one producer share.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::pace::SyncPace;
use super::passes::run_passes;
use crate::client::ledger::{Ledger, Ticket};
use crate::client::producer_options::Acks;
use crate::client::replicated::{self, Replicated};
use crate::error::{Error, Kind, Result};
use crate::partition::{Appended, Committer};
use crate::record::BatchBuilder;
use crate::store::{StoreDir, TopicConfigs, TopicHandle};
use crate::types::{Compression, PartitionId, TopicName, TopicPartition};

/// A batch to append.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    pub builder: BatchBuilder,
    pub ticket: Ticket,
}

/// The source of the appending thread's batches.
pub(crate) trait PendingBatches: Send + 'static {
    /// The next batch; waits for one, up to `timeout` if that is given.
    ///
    /// # Errors
    /// `Timeout`: none came in that time. `Disconnected`: none will come.
    fn next(
        &mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<PendingBatch, RecvTimeoutError>;
}

impl PendingBatches for Receiver<PendingBatch> {
    fn next(
        &mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<PendingBatch, RecvTimeoutError> {
        match timeout {
            Some(timeout) => self.recv_timeout(timeout),
            None => self.recv().map_err(RecvTimeoutError::from),
        }
    }
}

#[derive(Debug)]
pub(crate) struct DeliveryState {
    pub(crate) store: Arc<StoreDir>,
    pub(crate) topic: TopicName,
    pub(crate) lock_timeout: Duration,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) syncs: SyncQueue,
    pub(crate) acks: Acks,
    /// The codec where the topic's `compression.type` is `producer`.
    pub(crate) compression: Compression,
    /// The in-flight batches of partitions with several replicas.
    pub(crate) replicated: Arc<Replicated>,
}

impl DeliveryState {
    pub(crate) fn has_failed(&self) -> bool {
        self.ledger.has_failed()
    }

    pub(crate) fn fail(&self, error: Error) {
        let error = if error.is_out_of_descriptors() {
            error.cure(
                "allow it more open files ('ulimit -n'), or close some that it has open besides: \
                 it keeps four a partition, and works with fewer",
            )
        } else {
            error
        };
        self.ledger.fail(error);
        // Under the lock: a thread that waits there checks for the failure before it sleeps.
        drop(lock(&self.syncs.state));
        self.syncs.changed.notify_all();
    }

    /// Runs `work`, which reads the topic file, and runs it again once an unreadable topic file can be
    /// read. `passing`: the kinds of error after which nothing has changed.
    pub(crate) fn with_topic<T>(
        &self,
        passing: &[Kind],
        mut work: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let started = self.store.clock().monotonic();
        loop {
            let e = match work() {
                Err(e) if passing.contains(&e.kind()) => e,
                done => return done,
            };
            let is_unreadable = || {
                let topic = TopicHandle::open(&self.store, &self.topic);
                topic.is_err_and(|e| UNREADABLE.contains(&e.kind()))
            };
            // Any other error is returned at once: after damage was reported once, a retry returns
            // another text.
            if !is_unreadable() {
                return Err(e);
            }
            while is_unreadable() {
                let waited = self.store.clock().monotonic().saturating_sub(started);
                if waited >= TOPIC_TIMEOUT || self.has_failed() {
                    return Err(e);
                }
                self.store.clock().sleep(TOPIC_INTERVAL);
            }
        }
    }

    /// Waits until the syncs of a partition keep up with its segments.
    pub(crate) fn wait_for_rolls(&self, partition: PartitionId) {
        let state = lock(&self.syncs.state);
        let is_behind = |state: &mut SyncState| {
            let ahead = state.rolls.get(&partition).copied().unwrap_or(0);
            ahead >= ROLLS_AHEAD_MAX && !self.has_failed()
        };
        drop(self.syncs.changed.wait_while(state, is_behind));
    }
}

/// The appends that wait for the sync thread.
#[derive(Debug, Default)]
pub(crate) struct SyncQueue {
    pub(crate) state: Mutex<SyncState>,
    pub(crate) changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct SyncState {
    pub(crate) waiting: BTreeMap<PartitionId, Waiting>,
    pub(crate) order: VecDeque<PartitionId>,
    /// Segments that were begun and are not known to be synced.
    pub(crate) rolls: BTreeMap<PartitionId, u32>,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) end: i64,
    pub(crate) rolls: u32,
    /// A caller waits for the sync, or `flush.messages` records are unsynced: `flush.ms` does not
    /// delay it.
    pub(crate) is_urgent: bool,
    pub(crate) appended: Vec<(Ticket, Appended)>,
}

impl SyncState {
    /// Takes the first partition that needs its sync. Once no more appends come, every partition
    /// does.
    pub(crate) fn take_due(
        &mut self,
        pace: &SyncPace,
        now: Duration,
    ) -> Option<(PartitionId, Waiting)> {
        let (waiting, rolls, closed) = (&self.waiting, &self.rolls, self.closed);
        let is_due = |partition: &PartitionId| {
            closed
                || waiting.get(partition).is_some_and(|w| w.is_urgent)
                || rolls.get(partition).is_some_and(|n| *n >= ROLLS_AHEAD_MAX)
                || pace.is_due(*partition, now)
        };
        let at = self.order.iter().position(is_due)?;
        let partition = self.order.remove(at)?;
        Some((partition, self.waiting.remove(&partition)?))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in another thread leaves the lists whole: no change under these locks is partial.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waiting threads; each is started when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) syncer: Option<JoinHandle<()>>,
    pub(crate) waiter: Option<JoinHandle<()>>,
    pub(crate) passes: Option<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start_syncer(&mut self, shared: &Arc<DeliveryState>) -> Result<()> {
        if self.syncer.is_none() {
            let for_thread = Arc::clone(shared);
            self.syncer = Some(spawn("sync", move || {
                let guard = EndGuard(for_thread);
                sync_all(&guard.0);
            })?);
        }
        Ok(())
    }

    /// Starts the thread of retention and compaction. Without one they wait for another process.
    pub(crate) fn start_passes(&mut self, shared: &Arc<DeliveryState>, version: u64) {
        shared.ledger.passes().want(version);
        if self.passes.is_none() {
            let for_thread = Arc::clone(shared);
            let run = move || {
                let shared = for_thread;
                let queue = shared.ledger.passes();
                run_passes(queue, &shared.store, &shared.topic, shared.lock_timeout);
            };
            self.passes = spawn("cleanup", run).ok();
        }
    }

    pub(crate) fn start_waiter(&mut self, shared: &Arc<DeliveryState>) -> Result<()> {
        if self.waiter.is_none() {
            let for_thread = Arc::clone(shared);
            self.waiter = Some(spawn("acks", move || {
                let guard = EndGuard(for_thread);
                let shared = &guard.0;
                let fail = |e| shared.fail(e);
                replicated::waiting::wait_all(&shared.replicated, &shared.ledger, &fail);
            })?);
        }
        Ok(())
    }
}

/// Hands a batch to the sync thread, with its ticket if the sync is to acknowledge it.
pub(crate) fn hand_to_sync(
    shared: &Arc<DeliveryState>,
    threads: &mut Threads,
    appended: Appended,
    partition: PartitionId,
    configs: &TopicConfigs,
    ticket: Option<Ticket>,
) -> Result<()> {
    let mut state = lock(&shared.syncs.state);
    if appended.rolled {
        *state.rolls.entry(partition).or_default() += 1;
    }
    let is_new = !state.waiting.contains_key(&partition);
    let is_urgent = ticket.is_some() || is_count_reached(configs, &appended);
    let waiting = enter(&mut state, partition, appended.last_offset + 1);
    waiting.rolls += u32::from(appended.rolled);
    waiting.is_urgent |= is_urgent;
    waiting
        .appended
        .extend(ticket.map(|ticket| (ticket, appended)));
    drop(state);
    if is_new || is_urgent || appended.rolled {
        shared.syncs.changed.notify_all();
    }
    threads.start_syncer(shared)
}

/// Whether a sync without a waiting caller is needed, at once or within `flush.ms`.
pub(crate) fn is_sync_due(configs: &TopicConfigs, appended: &Appended) -> bool {
    let is_timed = configs.flush_ms != TopicConfigs::NEVER;
    appended.rolled || is_timed || is_count_reached(configs, appended)
}

/// Whether `flush.messages` records are unsynced.
pub(crate) fn is_count_reached(configs: &TopicConfigs, appended: &Appended) -> bool {
    (appended.last_offset + 1 - appended.durable) as u64 >= configs.flush_messages
}

pub(crate) fn enter(state: &mut SyncState, partition: PartitionId, end: i64) -> &mut Waiting {
    if !state.waiting.contains_key(&partition) {
        state.order.push_back(partition);
    }
    let waiting = state.waiting.entry(partition).or_default();
    waiting.end = waiting.end.max(end);
    waiting
}

/// The failure came after the append was published: the records must not be reported as not stored.
pub(crate) fn perhaps_stored(e: Error, partition: PartitionId) -> Error {
    if matches!(e.kind(), Kind::Unknown | Kind::UnknownTopic) {
        return e;
    }
    e.with_kind(Kind::Unknown).at(format!(
        "records of partition {partition} are perhaps stored"
    ))
}

/// Errors of reading a file that is not whole.
pub(crate) const UNREADABLE: [Kind; 2] = [Kind::Damaged, Kind::Io];

/// A builder that held a larger batch than this is not kept.
pub(crate) const KEEP_BYTES_MAX: usize = 1 << 20;

/// How long a topic file may be unreadable: it may be in replacement.
pub(crate) const TOPIC_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval of the retries meanwhile.
pub(crate) const TOPIC_INTERVAL: Duration = Duration::from_millis(20);

/// Fails the delivery if its thread panics: other threads wait for that thread's results.
pub(crate) struct EndGuard(pub(crate) Arc<DeliveryState>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(
                Error::new(Kind::Unknown, "a thread of the producer ended unexpectedly")
                    .cure("see what is stored with mq-consume before sending anything again"),
            );
            self.0.ledger.end();
        }
    }
}

/// How many segments of a partition this producer may write ahead of its syncs. A sync takes time
/// for each segment, and other processes count a process as stopped if its sync takes too long.
pub(crate) const ROLLS_AHEAD_MAX: u32 = 4;

pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(f)
        .map_err(|e| {
            Error::io("start a thread for", name, e).cure("raise the limit on threads (ulimit -u)")
        })
}

/// The sync thread: one group commit for all that wait on a partition, then the next partition.
pub(crate) fn sync_all(shared: &Arc<DeliveryState>) {
    let queue = &shared.syncs;
    let mut committers: BTreeMap<PartitionId, Committer> = BTreeMap::new();
    let mut failed = BTreeSet::new();
    let mut pace = SyncPace::new(&shared.store, &shared.topic);
    while let Some((partition, mut waiting)) = next_to_sync(shared, &mut pace) {
        if failed.contains(&partition) || (shared.has_failed() && waiting.appended.is_empty()) {
            continue;
        }
        let outcome = sync_one(shared, &mut committers, partition, &mut waiting);
        if waiting.rolls > 0 {
            let mut state = lock(&queue.state);
            if let Some(rolls) = state.rolls.get_mut(&partition) {
                *rolls = rolls.saturating_sub(waiting.rolls);
            }
            drop(state);
            queue.changed.notify_all();
        }
        match outcome {
            Ok(()) => pace.synced(partition, shared.store.clock().monotonic()),
            Err(e) => {
                failed.insert(partition);
                shared.fail(e);
            }
        }
    }
}

/// Syncs a partition, and acknowledges the batches that wait for it.
pub(crate) fn sync_one(
    shared: &Arc<DeliveryState>,
    committers: &mut BTreeMap<PartitionId, Committer>,
    partition: PartitionId,
    waiting: &mut Waiting,
) -> Result<()> {
    let is_waited_for = !waiting.appended.is_empty();
    let doubt = |e: Error| {
        if is_waited_for {
            perhaps_stored(e, partition)
        } else {
            e
        }
    };
    if committers
        .get_mut(&partition)
        .is_some_and(|committer| !committer.is_the_leaders().unwrap_or(false))
    {
        committers.remove(&partition);
    }
    let committer = match committers.entry(partition) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let tp = TopicPartition::new(shared.topic.clone(), partition);
            let open = || Committer::open(&shared.store, &tp, shared.lock_timeout);
            entry.insert(shared.with_topic(&UNREADABLE, open).map_err(doubt)?)
        }
    };
    if let Err(e) = committer.commit(waiting.end) {
        if !is_waited_for && committer.is_replicated()? {
            // No caller waits for it, and the other replicas have what this one may have lost.
            committers.remove(&partition);
            return Ok(());
        }
        return Err(doubt(e));
    }
    for (ticket, appended) in waiting.appended.drain(..) {
        shared
            .with_topic(&UNREADABLE, || committer.confirm(&appended))
            .map_err(doubt)?;
        shared.ledger.acknowledge([(ticket, appended)]);
    }
    Ok(())
}

/// The next partition that needs its sync; `None` once there is none left and no more appends come.
/// A sync without a waiting caller also covers the appends of the next `flush.ms`, by the present
/// topic file.
pub(crate) fn next_to_sync(
    shared: &DeliveryState,
    pace: &mut SyncPace,
) -> Option<(PartitionId, Waiting)> {
    let queue = &shared.syncs;
    let mut state = lock(&queue.state);
    loop {
        let now = shared.store.clock().monotonic();
        if let Some(next) = state.take_due(pace, now) {
            return Some(next);
        }
        if state.order.is_empty() {
            if state.closed {
                return None;
            }
            state = queue
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        } else {
            let pause = pace.pause(state.order.iter(), now);
            let waited = queue.changed.wait_timeout(state, pause);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            // Without the queue's lock: the read may take long.
            pace.observe(shared.store.clock().monotonic());
            state = lock(&queue.state);
        }
    }
}
