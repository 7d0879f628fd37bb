//! Delivery behind a producer: one thread appends, another syncs and confirms.

mod append;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use append::Appender;

use super::producer::outcome;
use super::producer_options::{Acks, ProducerOptions, Receipt};
use super::replicated::{self, Appending, Replicated};
use crate::error::{Error, Kind, Result};
use crate::record::BatchBuilder;
use crate::store::{Appended, Committer, PartitionWriter, StoreDir, TopicConfigs, confirm};
use crate::types::{Compression, PartitionId, TopicName, TopicPartition};

/// A batch to be appended.
#[derive(Debug)]
pub(super) struct Job {
    pub partition: PartitionId,
    pub builder: BatchBuilder,
    pub count: u64,
}

/// When a receipt is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As soon as the append returned.
    Appended,
    /// When it is acknowledged.
    Acknowledged,
}

/// So many segments may a partition have from this producer that no sync has covered: a sync takes
/// its time for each, and whoever finds one at work for long takes its process for stopped.
const ROLLS_AHEAD_MAX: u32 = 4;
/// Between two looks whether leadership moved under what is under way.
const MOVED_INTERVAL: Duration = Duration::from_millis(1);
/// A builder that held a larger batch than this is not kept.
const KEEP_BYTES_MAX: usize = 1 << 20;

/// The threads and what they share.
#[derive(Debug)]
pub(super) struct Delivery {
    shared: Arc<Shared>,
    appender: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<StoreDir>,
    topic: TopicName,
    configs: TopicConfigs,
    outcome: Outcome,
    patience: Duration,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    receipts: Mutex<Vec<Receipt>>,
    received: Condvar,
    ended: AtomicBool,
    syncs: SyncQueue,
    acks: Acks,
    /// What is under way to partitions with several replicas.
    replicated: Arc<Replicated>,
}

/// What waits for the sync thread.
#[derive(Debug, Default)]
struct SyncQueue {
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    waiting: BTreeMap<PartitionId, Waiting>,
    order: VecDeque<PartitionId>,
    /// Segments that were begun and are not known to be synced.
    rolls: BTreeMap<PartitionId, u32>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    end: i64,
    rolls: u32,
    appended: Vec<(Appended, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves lists that are whole: nothing is half-changed under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivery {
    pub fn start(
        store: Arc<StoreDir>,
        topic: TopicName,
        configs: TopicConfigs,
        options: &ProducerOptions,
        compression: Compression,
        jobs: Receiver<Job>,
        give_back: Sender<BatchBuilder>,
    ) -> Result<Self> {
        let replicated = Replicated::new(Arc::clone(&store), topic.clone(), options);
        let shared = Arc::new(Shared {
            acks: options.acks,
            replicated: Arc::new(replicated),
            store,
            topic,
            configs,
            outcome: outcome(options),
            patience: options.timeout,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            receipts: Mutex::new(Vec::new()),
            received: Condvar::new(),
            ended: AtomicBool::new(false),
            syncs: SyncQueue::default(),
        });
        let for_thread = Arc::clone(&shared);
        let appender = spawn("append", move || {
            append_all(&for_thread, compression, jobs, give_back);
            for_thread.ended.store(true, Ordering::Release);
            for_thread.received.notify_all();
        })?;
        Ok(Delivery {
            shared,
            appender: Some(appender),
        })
    }

    pub fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    pub fn ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    pub fn receipts(&self, patience: Duration) -> Vec<Receipt> {
        let mut receipts = lock(&self.shared.receipts);
        if receipts.is_empty() && !patience.is_zero() && !self.ended() && !self.failed() {
            receipts = self
                .shared
                .received
                .wait_timeout(receipts, patience)
                .map_or_else(|e| e.into_inner().0, |(receipts, _)| receipts);
        }
        std::mem::take(&mut *receipts)
    }

    /// Waits for the threads; the failure, if there was one.
    pub fn join(&mut self) -> Option<Error> {
        let panicked = self
            .appender
            .take()
            .is_some_and(|thread| thread.join().is_err());
        let failure = lock(&self.shared.failure).take();
        failure.or_else(|| {
            panicked.then(|| {
                Error::new(Kind::Unknown, "the delivery thread ended unexpectedly")
                    .cure("see what is stored with mq-consume before sending anything again")
            })
        })
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(f)
        .map_err(|e| {
            Error::io("start a thread for", name, e).cure("raise the limit on threads (ulimit -u)")
        })
}

impl Shared {
    /// The first failure counts, but for one that leaves an outcome unknown: that must be said.
    fn fail(&self, error: Error) {
        let mut failure = lock(&self.failure);
        let known = failure
            .as_ref()
            .is_none_or(|first| first.kind() != Kind::Unknown);
        if failure.is_none() || (known && error.kind() == Kind::Unknown) {
            *failure = Some(error);
        }
        drop(failure);
        self.failed.store(true, Ordering::Relaxed);
        self.received.notify_all();
        // Under the lock: whoever waits there looks at the failure before he sleeps.
        drop(lock(&self.syncs.state));
        self.syncs.changed.notify_all();
    }

    fn acknowledge(&self, receipts: impl IntoIterator<Item = Receipt>) {
        lock(&self.receipts).extend(receipts);
        self.received.notify_all();
    }

    /// Waits until the syncs of a partition keep up with its segments.
    fn wait_for_rolls(&self, partition: PartitionId) {
        let state = lock(&self.syncs.state);
        let is_behind = |state: &mut SyncState| {
            let ahead = state.rolls.get(&partition).copied().unwrap_or(0);
            ahead >= ROLLS_AHEAD_MAX && !self.failed.load(Ordering::Relaxed)
        };
        drop(self.syncs.changed.wait_while(state, is_behind));
    }

    /// Whether records are acknowledged without waiting for a sync.
    fn acked_when_appended(&self) -> bool {
        self.outcome == Outcome::Appended || !self.configs.every_message()
    }
}

fn receipt(partition: PartitionId, appended: &Appended, count: u64) -> Receipt {
    Receipt {
        partition,
        base_offset: appended.base_offset,
        count,
        leader_epoch: appended.leader_epoch,
        append_time: appended.append_time,
    }
}

/// The appending thread.
fn append_all(
    shared: &Arc<Shared>,
    compression: Compression,
    jobs: Receiver<Job>,
    give_back: Sender<BatchBuilder>,
) {
    let mut threads = Threads::default();
    let mut writers: BTreeMap<PartitionId, PartitionWriter> = BTreeMap::new();
    let has_failed = || shared.failed.load(Ordering::Relaxed);
    let mut appending = Appending::new(Arc::clone(&shared.replicated));
    loop {
        let job = if threads.waiter.is_some() && !shared.replicated.is_idle() {
            // Leadership may move under what is under way.
            resolve_moved(shared, &mut appending, &mut writers);
            match jobs.recv_timeout(MOVED_INTERVAL) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        } else {
            match jobs.recv() {
                Ok(job) => job,
                Err(_) => break,
            }
        };
        // After a failure the rest is taken and dropped, so that the sender does not block.
        if has_failed() {
            continue;
        }
        let mut work = Appender {
            shared,
            compression,
            appending: &mut appending,
            threads: &mut threads,
            give_back: &give_back,
        };
        if let Err(e) = work.append(&mut writers, job) {
            shared.fail(e);
        }
    }
    while !shared.replicated.is_idle() {
        resolve_moved(shared, &mut appending, &mut writers);
        shared.store.clock().sleep(MOVED_INTERVAL);
    }
    shared.replicated.close();
    if shared.configs.flush_messages != TopicConfigs::NEVER
        || shared.configs.flush_ms != TopicConfigs::NEVER
    {
        for (partition, writer) in &writers {
            // At exit everything this process appended is on disk.
            if let Ok(Some(page)) = writer.replica().read_page()
                && page.durable.offset < page.tail.end
                && !shared.failed.load(Ordering::Relaxed)
            {
                let mut state = lock(&shared.syncs.state);
                enter(&mut state, *partition, page.tail.end);
                drop(state);
                if let Err(e) = threads.start_syncer(shared) {
                    shared.fail(e);
                }
            }
        }
    }
    lock(&shared.syncs.state).closed = true;
    shared.syncs.changed.notify_all();
    let panicked = [threads.syncer, threads.waiter]
        .into_iter()
        .flatten()
        .any(|thread| thread.join().is_err());
    if panicked {
        shared.fail(
            Error::new(Kind::Unknown, "a thread that syncs ended unexpectedly")
                .cure("see what is stored with mq-consume before sending anything again"),
        );
    }
}

/// Asks anew for what is under way where leadership moved.
fn resolve_moved(
    shared: &Shared,
    appending: &mut Appending,
    writers: &mut BTreeMap<PartitionId, PartitionWriter>,
) {
    for partition in shared.replicated.moved() {
        let Some(writer) = writers.get_mut(&partition) else {
            continue;
        };
        if let Err(e) = appending.resolve(writer, &|| false) {
            shared.replicated.give_up(partition);
            shared.fail(e.with_kind(Kind::Unknown));
        }
    }
}

/// The threads that wait, started when there is something to wait for.
#[derive(Debug, Default)]
struct Threads {
    syncer: Option<JoinHandle<()>>,
    waiter: Option<JoinHandle<()>>,
}

impl Threads {
    fn start_syncer(&mut self, shared: &Arc<Shared>) -> Result<()> {
        if self.syncer.is_none() {
            let for_thread = Arc::clone(shared);
            self.syncer = Some(spawn("sync", move || sync_all(&for_thread))?);
        }
        Ok(())
    }

    fn start_waiter(&mut self, shared: &Arc<Shared>) -> Result<()> {
        if self.waiter.is_none() {
            let for_thread = Arc::clone(shared);
            self.waiter = Some(spawn("acks", move || {
                let acknowledge = |receipts| for_thread.acknowledge(receipts);
                let fail = |e| for_thread.fail(e);
                let (replicated, configs) = (&for_thread.replicated, &for_thread.configs);
                replicated::wait_all(replicated, configs, &acknowledge, &fail);
            })?);
        }
        Ok(())
    }
}

/// Whether a sync is due that nobody waits for.
fn is_sync_due(shared: &Shared, appended: &Appended) -> bool {
    let configs = &shared.configs;
    let unsynced = (appended.last_offset + 1 - appended.durable) as u64;
    appended.rolled || unsynced >= configs.flush_messages || configs.flush_ms != TopicConfigs::NEVER
}

fn enter(state: &mut SyncState, partition: PartitionId, end: i64) -> &mut Waiting {
    if !state.waiting.contains_key(&partition) {
        state.order.push_back(partition);
    }
    let waiting = state.waiting.entry(partition).or_default();
    waiting.end = waiting.end.max(end);
    waiting
}

/// Hands a batch to the sync thread; with the number of its records where they are to be
/// acknowledged then.
fn hand_to_sync(
    shared: &Arc<Shared>,
    threads: &mut Threads,
    partition: PartitionId,
    appended: Appended,
    count: Option<u64>,
) -> Result<()> {
    let mut state = lock(&shared.syncs.state);
    if appended.rolled {
        *state.rolls.entry(partition).or_default() += 1;
    }
    let waiting = enter(&mut state, partition, appended.last_offset + 1);
    waiting.rolls += u32::from(appended.rolled);
    waiting
        .appended
        .extend(count.map(|count| (appended, count)));
    drop(state);
    shared.syncs.changed.notify_all();
    threads.start_syncer(shared)
}

/// The sync thread: one group commit for all that wait on a partition, then the next partition.
fn sync_all(shared: &Arc<Shared>) {
    let queue = &shared.syncs;
    let mut committers: BTreeMap<PartitionId, Committer> = BTreeMap::new();
    loop {
        let mut state = lock(&queue.state);
        let (partition, waiting) = loop {
            let next = state.order.pop_front();
            if let Some(partition) = next
                && let Some(waiting) = state.waiting.remove(&partition)
            {
                break (partition, waiting);
            }
            if state.closed {
                return;
            }
            state = queue
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        let closed = state.closed;
        drop(state);
        if shared.failed.load(Ordering::Relaxed) && waiting.appended.is_empty() {
            continue;
        }
        let outcome = sync_one(shared, &mut committers, partition, &waiting);
        if waiting.rolls > 0 {
            let mut state = lock(&queue.state);
            if let Some(rolls) = state.rolls.get_mut(&partition) {
                *rolls = rolls.saturating_sub(waiting.rolls);
            }
            drop(state);
            queue.changed.notify_all();
        }
        if let Err(e) = outcome {
            // What is appended and not confirmed may come to light yet, whatever went wrong.
            let doubtful = e.kind().is_of_one_replica();
            shared.fail(if doubtful && !waiting.appended.is_empty() {
                e.with_kind(Kind::Unknown)
            } else {
                e
            });
            continue;
        }
        if !closed
            && !shared.configs.every_message()
            && shared.configs.flush_ms != TopicConfigs::NEVER
        {
            // What comes within the interval shares the next sync.
            let pause = Duration::from_millis(shared.configs.flush_ms);
            let state = lock(&queue.state);
            let closed = state.closed;
            if !closed {
                let may_wait = |state: &mut SyncState| {
                    !state.closed && state.rolls.values().all(|rolls| *rolls < ROLLS_AHEAD_MAX)
                };
                drop(queue.changed.wait_timeout_while(state, pause, may_wait));
            }
        }
    }
}

fn sync_one(
    shared: &Arc<Shared>,
    committers: &mut BTreeMap<PartitionId, Committer>,
    partition: PartitionId,
    waiting: &Waiting,
) -> Result<()> {
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
            entry.insert(Committer::open(&shared.store, &tp, shared.patience)?)
        }
    };
    if let Err(e) = committer.commit(waiting.end) {
        if waiting.appended.is_empty() && committer.is_replicated()? {
            // Nobody waits for it, and the other replicas have what this one may have lost.
            committers.remove(&partition);
            return Ok(());
        }
        return Err(perhaps_stored(e, waiting, partition));
    }
    for (appended, count) in &waiting.appended {
        committer.confirm(appended)?;
        shared.acknowledge([receipt(partition, appended, *count)]);
    }
    Ok(())
}

/// What failed came after the append was published: nothing of it may be said to be not stored.
fn perhaps_stored(e: Error, waiting: &Waiting, partition: PartitionId) -> Error {
    let tells = matches!(e.kind(), Kind::Unknown | Kind::UnknownTopic);
    if waiting.appended.is_empty() || tells {
        return e;
    }
    e.with_kind(Kind::Unknown).at(format!(
        "records of partition {partition} are perhaps stored"
    ))
}

/// Confirms an append outside of a group commit.
trait Confirm {
    fn confirm(&mut self, appended: &Appended) -> Result<()>;
}

impl Confirm for PartitionWriter {
    fn confirm(&mut self, appended: &Appended) -> Result<()> {
        let store = Arc::clone(self.store());
        let (replica, topic) = self.parts();
        confirm(&store, replica, topic, appended)
    }
}
