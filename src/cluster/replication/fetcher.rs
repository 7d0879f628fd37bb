//! The threads that copy the partitions that a broker follows.
//!
//! 1. Each partition belongs to one thread. A turn is bounded, so a busy partition does not delay
//!    the others of its thread.
//! 2. When idle, a thread sleeps until a leader's state page changes, or the topics do.
//! 3. The ISR changes that the partitions of a thread request are written together, one replacement
//!    a topic. Replicas that are lost together are replaced together.
//! 4. If a replica's directory or state page vanishes while nothing is copied, no fetch shows it:
//!    each is checked periodically, and at once when something changed in the log directory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::partition_fetch::{FETCH_BYTES, IsrChange, PartitionFetch, Turn};
use crate::cluster::controller::TopicChanges;
use crate::cluster::maintenance::Schedule;
use crate::cluster::notice::{NOTICES_MAX, Notice};
use crate::disk::{Wake, WatchId, Watcher, descriptors_max, new_watcher};
use crate::error::{Error, Kind, Result};
use crate::lifecycle::replace_replicas;
use crate::store::topics::topic_file;
use crate::store::{FencedLock, PartitionMeta, StoreDir, TopicMeta};
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

/// Threads of one broker.
const THREADS: usize = 4;
/// The interval between two checks of everything if no wait is possible.
const UNWATCHED: Duration = Duration::from_millis(200);
/// The longest sleep.
const REST: Duration = Duration::from_secs(3600);
/// The timeout for the store's lock.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Intervals between two checks for vanished replicas, and after a change in the log directory,
/// which seldom comes alone; and the share of the time, as a divisor, that the checks may take.
/// Every second check also checks the epoch checkpoints and the logs' ends, which costs three times
/// as much.
const PATROL: Duration = Duration::from_secs(2);
const PATROL_OF_ENDS: Duration = Duration::from_secs(4);
const PATROL_SOON: Duration = Duration::from_millis(50);
const PATROL_SHARE: u32 = 50;

/// What a broker follows: partition and replica id.
pub(crate) type FollowedReplicas = BTreeMap<TopicPartition, Uuid>;

enum Order {
    /// Follow exactly these; other changes of topic files.
    Follow(FollowedReplicas, Arc<TopicChanges>),
    Stop,
}

/// The threads of one broker.
#[derive(Debug)]
pub struct Fetchers {
    threads: Vec<Thread>,
    notified: Receiver<Notice>,
}

#[derive(Debug)]
struct Thread {
    orders: Sender<Order>,
    bell: UnixStream,
    handle: Option<JoinHandle<()>>,
}

impl Fetchers {
    /// For a broker; idle until [`Fetchers::follow`].
    ///
    /// # Errors
    /// [`Kind::Io`] if the system gives no thread or pipe.
    pub fn start(store: &Arc<StoreDir>, broker: BrokerId) -> Result<Self> {
        let (notify, notified) = channel();
        let start = |_| -> Result<Thread> {
            let (orders, incoming) = channel();
            let error = |e| Error::io("make a pipe for", "fetchers", e);
            let (ring, bell) = UnixStream::pair().map_err(error)?;
            ring.set_nonblocking(true).map_err(error)?;
            let work = FetchThread {
                store: Arc::clone(store),
                broker,
                orders: incoming,
                ring,
                notify: notify.clone(),
                watcher: new_watcher(&**store.disk()),
                logs_watch: None,
                patrol_due: Duration::ZERO,
                ends_due: Duration::ZERO,
                notified: None,
                buf: Vec::new(),
                fetches: Vec::new(),
                schedule: Schedule::default(),
            };
            let handle = std::thread::Builder::new()
                .name("mq-fetch".to_owned())
                .spawn(move || work.run())
                .map_err(|e| Error::io("start a thread for", "fetchers", e))?;
            Ok(Thread {
                orders,
                bell,
                handle: Some(handle),
            })
        };
        let threads = (0..THREADS).map(start).collect::<Result<_>>()?;
        Ok(Fetchers { threads, notified })
    }

    /// Follows exactly these from now on; `changed` is what else topic files say.
    pub fn follow(&mut self, all: &FollowedReplicas, changed: TopicChanges) {
        let changed = Arc::new(changed);
        let count = self.threads.len();
        let mut shares = vec![FollowedReplicas::new(); count];
        for (tp, uuid) in all {
            if let Some(share) = shares.get_mut(share_of(tp, count)) {
                share.insert(tp.clone(), *uuid);
            }
        }
        for (thread, share) in self.threads.iter_mut().zip(shares) {
            thread.order(Order::Follow(share, Arc::clone(&changed)));
        }
    }

    /// The notices since the last call.
    pub fn notified(&self) -> impl Iterator<Item = Notice> {
        self.notified.try_iter()
    }
}

impl Drop for Fetchers {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            thread.order(Order::Stop);
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // It cannot have panicked; if it did, it no longer follows, either.
                let _ = handle.join();
            }
        }
    }
}

impl Thread {
    fn order(&mut self, order: Order) {
        // If the thread ended, the order is lost.
        let _ = self.orders.send(order);
        let _ = self.bell.write(&[1]);
    }
}

/// The partitions of a topic are spread, whatever the topic.
fn share_of(tp: &TopicPartition, count: usize) -> usize {
    let of_name = tp.topic.as_str().bytes().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    of_name.wrapping_add(tp.partition as usize) % count.max(1)
}

/// The state of one thread.
struct FetchThread {
    store: Arc<StoreDir>,
    broker: BrokerId,
    orders: Receiver<Order>,
    /// Readable once there are orders.
    ring: UnixStream,
    notify: Sender<Notice>,
    watcher: Box<dyn Watcher>,
    /// The watch of the broker's log directory: it reports a replica that vanishes.
    logs_watch: Option<WatchId>,
    patrol_due: Duration,
    ends_due: Duration,
    /// Why it could not wait: reported once.
    notified: Option<String>,
    /// The buffer that the partitions fetch into, one after the other.
    buf: Vec<u8>,
    fetches: Vec<PartitionFetch>,
    /// By index in `fetches`.
    schedule: Schedule<usize>,
}

impl FetchThread {
    fn run(mut self) {
        loop {
            let now = self.store.clock().monotonic();
            let patrol = (!self.fetches.is_empty()).then_some(self.patrol_due);
            let due = self.schedule.due().into_iter().chain(patrol).min();
            let rest = due.map_or(REST, |due| due.saturating_sub(now));
            let wake = match self.watcher.wait(rest, Some(self.ring.as_fd())) {
                Ok(wake) => wake,
                Err(e) => {
                    self.cannot_wait(e);
                    Wake::Anything
                }
            };
            if !self.take_orders() {
                return;
            }
            self.mark(&wake);
            self.turns();
        }
    }

    /// Without a wait, only the timeout wakes the thread.
    fn cannot_wait(&mut self, e: std::io::Error) {
        let e = Error::io("wait for changes in", self.store.path(), e);
        let text = e.to_string();
        if self.notified.as_ref() != Some(&text) {
            self.notified = Some(text);
            let _ = self.notify.send(Notice::Problem(e.at("followers")));
        }
        self.store.clock().sleep(UNWATCHED);
    }

    /// Whether to continue.
    fn take_orders(&mut self) -> bool {
        // An order is sent before its byte: a byte read here has its order in the channel already,
        // and a later one makes the socket readable again.
        while self.ring.read(&mut [0; 64]).is_ok_and(|rung| rung > 0) {}
        loop {
            match self.orders.try_recv() {
                Ok(Order::Follow(share, changed)) => self.follow(share, &changed),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn follow(&mut self, mut share: FollowedReplicas, changed: &TopicChanges) {
        let watcher = &mut *self.watcher;
        self.fetches.retain_mut(|fetch| {
            let stays = share.get(&fetch.tp) == Some(&fetch.uuid);
            if stays {
                share.remove(&fetch.tp);
                let of_topic = changed.get(fetch.topic());
                fetch.fresh |= of_topic.is_some_and(|it| it.concerns(fetch.tp.partition));
            } else {
                fetch.end(watcher);
            }
            stays
        });
        let new = share
            .into_iter()
            .map(|(tp, uuid)| PartitionFetch::new(tp, uuid));
        self.fetches.extend(new);
        if self.logs_watch.is_none()
            && !self.fetches.is_empty()
            && let Ok(logs) = self.store.logs_dir(self.broker)
        {
            // Without it a vanished replica is found at the next fetch.
            self.logs_watch = self.watcher.add_dir(&*logs, ".").ok();
        }
        self.schedule = Schedule::default();
        for (at, fetch) in self.fetches.iter().enumerate() {
            self.schedule.set(at, fetch.when(), fetch.watch());
        }
    }

    fn mark(&mut self, wake: &Wake) {
        let now = self.store.clock().monotonic();
        if let Wake::Changed(ids) = wake
            && self.logs_watch.is_some_and(|watch| ids.contains(&watch))
        {
            self.patrol_due = self.patrol_due.min(now + PATROL_SOON);
        }
        self.schedule.wake(wake, now);
        if self.patrol_due <= now {
            // Slightly early: otherwise the check after this one would be late by a whole interval.
            let with_ends = self.ends_due <= now + PATROL / 2;
            if with_ends {
                self.ends_due = now + PATROL_OF_ENDS;
            }
            for (at, fetch) in self.fetches.iter_mut().enumerate() {
                if !fetch.is_whole(with_ends) {
                    self.schedule.now(at);
                }
            }
            let end = self.store.clock().monotonic();
            let took = end.saturating_sub(now);
            self.patrol_due = end + PATROL.max(took * PATROL_SHARE);
        }
    }

    fn turns(&mut self) {
        let mut changes: BTreeMap<TopicName, Vec<(usize, IsrChange)>> = BTreeMap::new();
        for at in self.schedule.take() {
            let Some(fetch) = self.fetches.get_mut(at) else {
                continue;
            };
            let sender = &self.notify;
            let change = fetch.turn(&mut Turn {
                store: &self.store,
                broker: self.broker,
                watcher: &mut *self.watcher,
                buf: &mut self.buf,
                notify: &mut |notified| {
                    // The receiver is gone: the daemon is about to end.
                    let _ = sender.send(notified);
                },
            });
            self.schedule.set(at, fetch.when(), fetch.watch());
            if let Some(change) = change {
                changes
                    .entry(fetch.topic().clone())
                    .or_default()
                    .push((at, change));
            }
        }
        if self.buf.capacity() > 2 * FETCH_BYTES {
            // A huge batch was copied.
            self.buf = Vec::new();
        }
        for (tp, cut) in self.store.take_cuts() {
            let _ = self.notify.send(Notice::Note(format!("{tp}: {cut}")));
        }
        for note in self.store.take_notes() {
            let _ = self.notify.send(Notice::Note(note));
        }
        if !changes.is_empty() {
            self.replace_all(&mut changes);
            self.fulfil(&changes);
        }
    }

    /// Replaces lost replicas, together, as far as descriptors suffice.
    fn replace_all(&mut self, changes: &mut BTreeMap<TopicName, Vec<(usize, IsrChange)>>) {
        let fetches = &self.fetches;
        let mut lost = Vec::new();
        for (at, _) in changes.values_mut().flat_map(|of_topic| {
            of_topic.extract_if(.., |(_, change)| *change == IsrChange::Replace)
        }) {
            if let Some(fetch) = fetches.get(at) {
                lost.push((at, (fetch.tp.clone(), fetch.uuid)));
            }
        }
        let mut replaced = Vec::new();
        for lost in lost.chunks(replaced_max()) {
            let replicas: Vec<_> = lost.iter().map(|(_, replica)| replica.clone()).collect();
            let made = replace_replicas(&self.store, self.broker, &replicas, TIMEOUT);
            let outcomes = match made {
                Ok(outcomes) => outcomes,
                Err(e) => lost.iter().map(|_| Err(e.copy())).collect(),
            };
            let now = self.store.clock().monotonic();
            for ((at, (tp, _)), outcome) in lost.iter().zip(outcomes) {
                let Some(fetch) = self.fetches.get_mut(*at) else {
                    continue;
                };
                let sender = &self.notify;
                let (made, change) = fetch.recreated(outcome, now, &mut |notified| {
                    let _ = sender.send(notified);
                });
                self.schedule.set(*at, fetch.when(), fetch.watch());
                if made {
                    replaced.push(tp.clone());
                }
                if let Some(change) = change {
                    changes
                        .entry(tp.topic.clone())
                        .or_default()
                        .push((*at, change));
                }
            }
        }
        changes.retain(|_, of_topic| !of_topic.is_empty());
        if !replaced.is_empty() {
            let _ = self.notify.send(Notice::Note(replaced_note(&replaced)));
        }
    }

    /// Writes the ISR changes that the partitions request into their topic files.
    fn fulfil(&mut self, changes: &BTreeMap<TopicName, Vec<(usize, IsrChange)>>) {
        let (broker, fetches) = (self.broker, &self.fetches);
        let names: Vec<TopicName> = changes.keys().cloned().collect();
        let written = FencedLock::acquire_store(&self.store, "change in-sync replicas", TIMEOUT)
            .and_then(|guard| {
                topic_file::update_each(&self.store, &guard, &names, |meta| {
                    let of_topic = changes.get(&meta.name).map_or(&[][..], Vec::as_slice);
                    let mut changed = false;
                    for (at, change) in of_topic {
                        if let Some(fetch) = fetches.get(*at) {
                            changed |= fulfil_one(meta, fetch, broker, change);
                        }
                    }
                    Ok(changed)
                })
            });
        // The partitions of a topic whose file cannot be read report that themselves.
        if let Err(e) = &written
            && !matches!(e.kind(), Kind::Busy | Kind::Fenced)
        {
            let _ = self.notify.send(Notice::Problem(e.copy()));
        }
        // The requests that came too late are checked again.
        let now = self.store.clock().monotonic();
        for (at, _) in changes.values().flatten() {
            if let Some(fetch) = self.fetches.get_mut(*at) {
                fetch.later(now);
                self.schedule.set(*at, fetch.when(), fetch.watch());
            }
        }
    }
}

/// How many replicas are replaced together: each takes two descriptors meanwhile, and other threads
/// replace replicas, too.
fn replaced_max() -> usize {
    (descriptors_max() / 32).clamp(8, 1024)
}

fn replaced_note(replaced: &[TopicPartition]) -> String {
    let names = TopicPartition::first_of(replaced, NOTICES_MAX);
    match replaced.len() {
        1 => format!("{names}: recreated the replica; it fills from the leader"),
        _ => format!("{names}: recreated the replicas; they fill from the leaders"),
    }
}

/// Changes the topic file as a partition requests, if the file still matches what the request was
/// based on.
fn fulfil_one(
    meta: &mut TopicMeta,
    fetch: &PartitionFetch,
    broker: BrokerId,
    change: &IsrChange,
) -> bool {
    let version = meta.version;
    let partition = usize::try_from(fetch.tp.partition)
        .ok()
        .and_then(|at| meta.partitions.get_mut(at))
        .filter(|p| p.uuid_of(broker) == Some(fetch.uuid) && p.leader != broker);
    let Some(partition) = partition else {
        return false;
    };
    match change {
        IsrChange::Join(as_of) if *as_of == version && !partition.is_in_sync(broker) => {
            partition.isr.push(broker);
            sort_as_replicas(partition);
            true
        }
        IsrChange::Leave if partition.is_in_sync(broker) => {
            partition.isr.retain(|id| *id != broker);
            true
        }
        _ => false,
    }
}

fn sort_as_replicas(partition: &mut PartitionMeta) {
    let order: Vec<BrokerId> = partition.replicas.iter().map(|r| r.broker).collect();
    partition
        .isr
        .sort_by_key(|id| order.iter().position(|broker| broker == id));
}
