//! Delivery behind a producer: one thread appends, another syncs and confirms.

mod append;
mod pace;
mod split;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::{Ledger, Ticket};
use super::producer_options::{Acks, ProducerOptions};
use super::replicated::{self, Appending, Replicated};
use crate::disk::DescriptorShare;
use crate::error::{Error, Kind, Result};
use crate::partition::{Appended, Committer, PartitionWriter};
use crate::record::BatchBuilder;
use crate::store::{StoreDir, TopicConfigs, TopicHandle};
use crate::types::{Compression, PartitionId, TopicName, TopicPartition};
use append::Appender;
use pace::Pace;

/// A batch to be appended.
#[derive(Debug)]
pub(super) struct Job {
    pub builder: BatchBuilder,
    pub ticket: Ticket,
}

/// Where the appending thread gets its batches from.
pub(super) trait Jobs: Send + 'static {
    /// The next batch; waits for one, up to `timeout` where that is said.
    ///
    /// # Errors
    /// `Timeout`: none came in that time. `Disconnected`: none will come.
    fn next(&mut self, timeout: Option<Duration>) -> std::result::Result<Job, RecvTimeoutError>;
}

impl Jobs for Receiver<Job> {
    fn next(&mut self, timeout: Option<Duration>) -> std::result::Result<Job, RecvTimeoutError> {
        match timeout {
            Some(timeout) => self.recv_timeout(timeout),
            None => self.recv().map_err(RecvTimeoutError::from),
        }
    }
}

/// So many segments may a partition have from this producer that no sync has covered: a sync takes
/// its time for each, and whoever finds one at work for long takes its process for stopped.
const ROLLS_AHEAD_MAX: u32 = 4;
/// Between two looks whether leadership moved under what is under way.
const MOVED_INTERVAL: Duration = Duration::from_millis(1);
/// How long a topic file may be one that cannot be read: it is being put back, perhaps.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks whether it can.
const TOPIC_INTERVAL: Duration = Duration::from_millis(20);
/// A builder that held a larger batch than this is not kept.
const KEEP_BYTES_MAX: usize = 1 << 20;
/// What reading a file that is not as it should be comes to.
const UNREADABLE: [Kind; 2] = [Kind::Damaged, Kind::Io];
/// Descriptors that are kept for a partition: what is not used for long is closed.
const DESCRIPTORS: usize = 4;

/// The threads.
#[derive(Debug)]
pub(super) struct Delivery {
    ledger: Arc<Ledger>,
    appender: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<StoreDir>,
    topic: TopicName,
    lock_timeout: Duration,
    ledger: Arc<Ledger>,
    syncs: SyncQueue,
    acks: Acks,
    /// Where the topic leaves it to the producer.
    compression: Compression,
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
    /// Somebody waits for the sync, or the count of `flush.messages` is reached: no `flush.ms` delays it.
    is_urgent: bool,
    appended: Vec<(Ticket, Appended)>,
}

impl SyncState {
    /// Takes the first partition whose sync is due. All are, once no more appends come.
    fn take_due(&mut self, pace: &Pace, now: Duration) -> Option<(PartitionId, Waiting)> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves lists that are whole: nothing is half-changed under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivery {
    pub fn start(
        store: Arc<StoreDir>,
        topic: TopicName,
        options: &ProducerOptions,
        ledger: Arc<Ledger>,
        jobs: impl Jobs,
        give_back: Sender<BatchBuilder>,
    ) -> Result<Self> {
        let replicated = Replicated::new(Arc::clone(&store), topic.clone(), options);
        let shared = Arc::new(Shared {
            acks: options.acks,
            compression: options.compression,
            replicated: Arc::new(replicated),
            store,
            topic,
            lock_timeout: options.timeout,
            ledger: Arc::clone(&ledger),
            syncs: SyncQueue::default(),
        });
        let appender = spawn("append", move || {
            let guard = EndGuard(Arc::clone(&shared));
            append_all(&shared, jobs, give_back);
            guard.0.ledger.end();
        })?;
        Ok(Delivery {
            ledger,
            appender: Some(appender),
        })
    }

    /// Waits for the threads; the failure, if there was one.
    pub fn join(&mut self) -> Option<Error> {
        let panicked = self
            .appender
            .take()
            .is_some_and(|thread| thread.join().is_err());
        self.ledger.failure().or_else(|| {
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
    fn has_failed(&self) -> bool {
        self.ledger.has_failed()
    }

    fn fail(&self, error: Error) {
        let error = if error.is_out_of_descriptors() {
            error.cure(
                "allow it more open files ('ulimit -n'), or close some that it has open besides: \
                 it keeps four a partition, and works with fewer",
            )
        } else {
            error
        };
        self.ledger.fail(error);
        // Under the lock: whoever waits there looks at the failure before it sleeps.
        drop(lock(&self.syncs.state));
        self.syncs.changed.notify_all();
    }

    /// Does what looks at the topic file, and does it again once that can be read. `passing`: errors
    /// after which nothing is changed.
    fn with_topic<T>(&self, passing: &[Kind], mut work: impl FnMut() -> Result<T>) -> Result<T> {
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
            // Any other cause is told as it is: damage that was found once is told in other words.
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
    fn wait_for_rolls(&self, partition: PartitionId) {
        let state = lock(&self.syncs.state);
        let is_behind = |state: &mut SyncState| {
            let ahead = state.rolls.get(&partition).copied().unwrap_or(0);
            ahead >= ROLLS_AHEAD_MAX && !self.has_failed()
        };
        drop(self.syncs.changed.wait_while(state, is_behind));
    }
}

/// The appending thread.
fn append_all(shared: &Arc<Shared>, mut jobs: impl Jobs, give_back: Sender<BatchBuilder>) {
    let mut threads = Threads::default();
    let mut writers: BTreeMap<PartitionId, PartitionWriter> = BTreeMap::new();
    let mut appending = Appending::new(Arc::clone(&shared.replicated));
    let mut descriptors = None;
    loop {
        let looks_again = threads.waiter.is_some() && !shared.replicated.is_idle();
        if looks_again {
            // Leadership may move under what is under way.
            resolve_moved(shared, &mut appending, &mut writers);
        }
        let job = match jobs.next(looks_again.then_some(MOVED_INTERVAL)) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        shared.ledger.begun();
        // After a failure the rest is taken and dropped, so that the sender does not block.
        if shared.has_failed() {
            continue;
        }
        let mut work = Appender {
            shared,
            appending: &mut appending,
            threads: &mut threads,
            give_back: &give_back,
        };
        let known = writers.len();
        if let Err(e) = work.append(&mut writers, job) {
            shared.fail(e);
        }
        if writers.len() != known || descriptors.is_none() {
            descriptors = Some(DescriptorShare::new(writers.len() * DESCRIPTORS));
        }
    }
    while !shared.replicated.is_idle() {
        resolve_moved(shared, &mut appending, &mut writers);
        shared.store.clock().sleep(MOVED_INTERVAL);
    }
    shared.replicated.close();
    for (partition, writer) in &mut writers {
        // A topic that is gone has nothing to be synced.
        let _ = writer.observe();
        let configs = writer.configs();
        if configs.flush_messages == TopicConfigs::NEVER && configs.flush_ms == TopicConfigs::NEVER
        {
            continue;
        }
        // At exit everything this process appended is on disk.
        if let Ok(Some(page)) = writer.replica().read_page()
            && page.durable.offset < page.tail.end
            && !shared.has_failed()
        {
            let mut state = lock(&shared.syncs.state);
            enter(&mut state, *partition, page.tail.end);
            drop(state);
            if let Err(e) = threads.start_syncer(shared) {
                shared.fail(e);
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

/// Fails the delivery if its thread panics: others wait for what it would have told.
struct EndGuard(Arc<Shared>);

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
            self.syncer = Some(spawn("sync", move || {
                let guard = EndGuard(for_thread);
                sync_all(&guard.0);
            })?);
        }
        Ok(())
    }

    fn start_waiter(&mut self, shared: &Arc<Shared>) -> Result<()> {
        if self.waiter.is_none() {
            let for_thread = Arc::clone(shared);
            self.waiter = Some(spawn("acks", move || {
                let guard = EndGuard(for_thread);
                let shared = &guard.0;
                let fail = |e| shared.fail(e);
                replicated::wait_all(&shared.replicated, &shared.ledger, &fail);
            })?);
        }
        Ok(())
    }
}

/// Whether a sync is due that nobody waits for, at once or within `flush.ms`.
fn is_sync_due(configs: &TopicConfigs, appended: &Appended) -> bool {
    let is_timed = configs.flush_ms != TopicConfigs::NEVER;
    appended.rolled || is_timed || is_count_reached(configs, appended)
}

/// Whether as many records are unsynced as `flush.messages` allows.
fn is_count_reached(configs: &TopicConfigs, appended: &Appended) -> bool {
    (appended.last_offset + 1 - appended.durable) as u64 >= configs.flush_messages
}

fn enter(state: &mut SyncState, partition: PartitionId, end: i64) -> &mut Waiting {
    if !state.waiting.contains_key(&partition) {
        state.order.push_back(partition);
    }
    let waiting = state.waiting.entry(partition).or_default();
    waiting.end = waiting.end.max(end);
    waiting
}

/// Hands a batch to the sync thread; with its ticket where it is to be acknowledged then.
fn hand_to_sync(
    shared: &Arc<Shared>,
    threads: &mut Threads,
    appended: Appended,
    (partition, configs): (PartitionId, &TopicConfigs),
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

/// The next partition whose sync is due; `None` once there is none left and no more appends come.
/// What may wait shares its sync with what comes within `flush.ms`, by the topic file as it is now.
fn next_to_sync(shared: &Shared, pace: &mut Pace) -> Option<(PartitionId, Waiting)> {
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
            // Without the queue's lock: the disk may take its time.
            pace.observe(shared.store.clock().monotonic());
            state = lock(&queue.state);
        }
    }
}

/// The sync thread: one group commit for all that wait on a partition, then the next partition.
fn sync_all(shared: &Arc<Shared>) {
    let queue = &shared.syncs;
    let mut committers: BTreeMap<PartitionId, Committer> = BTreeMap::new();
    let mut failed = BTreeSet::new();
    let mut pace = Pace::new(&shared.store, &shared.topic);
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

/// Syncs a partition, and acknowledges what waits for that.
fn sync_one(
    shared: &Arc<Shared>,
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
            // Nobody waits for it, and the other replicas have what this one may have lost.
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

/// What failed came after the append was published: nothing of it may be said to be not stored.
fn perhaps_stored(e: Error, partition: PartitionId) -> Error {
    if matches!(e.kind(), Kind::Unknown | Kind::UnknownTopic) {
        return e;
    }
    e.with_kind(Kind::Unknown).at(format!(
        "records of partition {partition} are perhaps stored"
    ))
}
