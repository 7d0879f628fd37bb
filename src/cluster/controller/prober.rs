//! The controller's probes of replicas: those of each broker on a thread of its own.
//!
//! 1. A disk that hangs delays only the partitions that need it: a round of probes waits no longer
//!    than [`SILENCE`] for a broker that answers nothing. The rest comes in later rounds.
//! 2. A round waits for a broker whose answers come, up to [`ROUND_MAX`]: what is decided together
//!    is changed together, and each change of a topic file makes all brokers read its partitions.
//! 3. A round does not wait for a broker that is behind, until it has caught up.
//! 4. A snapshot that does not come for [`GIVEN`] counts as [`ReplicaSnapshot::Failed`]. If it
//!    comes later, it is kept for the next request: otherwise a disk that takes a second for each
//!    read would never be seen.
//! 5. A probe under way is not begun a second time. So there is one thread for each broker, and at
//!    most two probes of each replica wait for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::replica_snapshot::{DiskState, Disks, SnapshotReader};
use super::state::{AckedUpTo, Lock, ProbeRequest, ProbeResult, ReplicaSnapshot};
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;
use crate::types::{BrokerId, TopicPartition};

/// How long a round waits for a broker that answers nothing, and how long for brokers in total.
const SILENCE: Duration = Duration::from_millis(500);
const ROUND_MAX: Duration = Duration::from_secs(2);
/// How long a probe waits for a broker that answers nothing, and for one that answers slowly.
const GIVEN: Duration = Duration::from_secs(1);
const GIVEN_MAX: Duration = Duration::from_secs(5);
/// How long an answer that came too late is kept.
const KEPT: Duration = Duration::from_secs(5);
/// A directory that is being replaced is missing for a moment.
const REPLACING: Duration = Duration::from_millis(10);

/// A controller's probes under way.
#[derive(Debug)]
pub struct Prober {
    store: Arc<StoreDir>,
    workers: BTreeMap<BrokerId, BrokerProber>,
    answer: Sender<Answer>,
    answers: Receiver<Answer>,
    /// The probes that lack the answer of some broker.
    asked: HashMap<TopicPartition, Asked>,
    done: Vec<ProbeResult>,
    trouble: Option<Error>,
}

/// The result of a round.
#[derive(Debug)]
pub struct Round {
    /// The probes that are complete.
    pub observed: Vec<ProbeResult>,
    /// The first failure that says nothing of a replica.
    pub trouble: Option<Error>,
    /// Whether probes are still under way.
    pub goes_on: bool,
}

#[derive(Debug)]
struct Asked {
    at: ProbeRequest,
    since: Duration,
    seen: HashMap<BrokerId, (ReplicaSnapshot, Lock)>,
}

/// One broker's thread.
#[derive(Debug)]
struct BrokerProber {
    requests: Sender<Request>,
    /// Replicas that it was asked to probe, and whether with the append lock.
    under_way: HashSet<(TopicPartition, bool)>,
    /// When it answered last, or began.
    progress: Duration,
    is_behind: bool,
    /// Snapshots that came too late, and when.
    kept: HashMap<TopicPartition, (Duration, ReplicaSnapshot)>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Request {
    tp: TopicPartition,
    probe: bool,
    acked: AckedUpTo,
}

#[derive(Debug)]
struct Answer {
    broker: BrokerId,
    tp: TopicPartition,
    probe: bool,
    observe: ReplicaSnapshot,
    lock: Lock,
    trouble: Option<Error>,
}

impl Prober {
    /// For a controller that takes office.
    pub fn new(store: &Arc<StoreDir>) -> Self {
        let (answer, answers) = mpsc::channel();
        Prober {
            store: Arc::clone(store),
            workers: BTreeMap::new(),
            answer,
            answers,
            asked: HashMap::new(),
            done: Vec::new(),
            trouble: None,
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Begins a probe.
    pub fn ask(&mut self, disks: &mut Disks, at: ProbeRequest, acked: AckedUpTo) {
        let now = self.store.clock().monotonic();
        let mut seen = HashMap::new();
        for broker in at.brokers.iter().copied() {
            let request = Request {
                tp: at.tp.clone(),
                probe: at.wants_lock_of(broker),
                acked,
            };
            match self.worker(disks, broker) {
                Ok(worker) => {
                    if let Some(late) = worker.request(request, now) {
                        seen.insert(broker, (late, Lock::Untried));
                    }
                }
                Err(e) => {
                    self.trouble.get_or_insert(e);
                    seen.insert(broker, (ReplicaSnapshot::Failed, Lock::Untried));
                }
            }
        }
        let tp = at.tp.clone();
        let since = now;
        if let Some(before) = self.asked.insert(tp.clone(), Asked { at, since, seen }) {
            // The topic was deleted and created again meanwhile.
            self.done.push(before.answer());
        }
        self.complete(&tp);
    }

    /// Waits for the requested probes, and takes the answers so far.
    pub fn round(&mut self) -> Round {
        let clock = Arc::clone(self.store.clock());
        let until = clock.monotonic() + ROUND_MAX;
        loop {
            while let Ok(answer) = self.answers.try_recv() {
                self.take(answer);
            }
            let now = clock.monotonic();
            let mut next = None;
            for worker in self.workers.values_mut() {
                let due = until.min(worker.progress + SILENCE);
                if worker.under_way.is_empty() || worker.is_behind {
                    continue;
                }
                worker.is_behind = due <= now;
                if !worker.is_behind {
                    next = Some(next.map_or(due, |next: Duration| next.min(due)));
                }
            }
            let Some(next) = next else {
                break;
            };
            if let Ok(answer) = self.answers.recv_timeout(next.saturating_sub(now)) {
                self.take(answer);
            }
        }
        self.give_up(clock.monotonic());
        self.workers
            .retain(|_, worker| !worker.thread.is_finished());
        Round {
            observed: std::mem::take(&mut self.done),
            trouble: self.trouble.take(),
            goes_on: self.workers.values().any(|worker| worker.is_behind),
        }
    }

    fn worker(&mut self, disks: &mut Disks, broker: BrokerId) -> Result<&mut BrokerProber> {
        match self.workers.entry(broker) {
            Entry::Occupied(worker) => Ok(worker.into_mut()),
            Entry::Vacant(place) => {
                let (store, answer) = (Arc::clone(&self.store), self.answer.clone());
                let disk = disks.of(broker);
                Ok(place.insert(BrokerProber::start(store, broker, disk, answer)?))
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        let now = self.store.clock().monotonic();
        let Some(worker) = self.workers.get_mut(&answer.broker) else {
            return;
        };
        let key = (answer.tp, answer.probe);
        worker.under_way.remove(&key);
        worker.progress = now;
        worker.is_behind &= !worker.under_way.is_empty();
        let (tp, probe) = key;
        if self.trouble.is_none() {
            self.trouble = answer.trouble;
        }
        let broker = answer.broker;
        let asked = self.asked.get_mut(&tp).filter(|asked| {
            let wants = asked.at.brokers.contains(&broker) && !asked.seen.contains_key(&broker);
            wants && asked.at.wants_lock_of(broker) == probe
        });
        let Some(asked) = asked else {
            worker.kept.insert(tp, (now, answer.observe));
            return;
        };
        asked.seen.insert(broker, (answer.observe, answer.lock));
        self.complete(&tp);
    }

    fn complete(&mut self, tp: &TopicPartition) {
        let is_complete = |asked: &Asked| asked.missing().next().is_none();
        if self.asked.get(tp).is_some_and(is_complete)
            && let Some(asked) = self.asked.remove(tp)
        {
            self.done.push(asked.answer());
        }
    }

    /// Answers the probes that waited for too long.
    fn give_up(&mut self, now: Duration) {
        let is_late = |since: Duration, given: Duration| now.saturating_sub(since) >= given;
        let workers = &self.workers;
        let silent = |broker: &BrokerId| {
            let worker = workers.get(broker);
            worker.is_none_or(|worker| is_late(worker.progress, GIVEN))
        };
        let given_up = self.asked.extract_if(|_, asked| {
            is_late(asked.since, GIVEN_MAX)
                || is_late(asked.since, GIVEN) && asked.missing().any(|broker| silent(&broker))
        });
        for (_, asked) in given_up {
            if let Some(broker) = asked.missing().next() {
                self.trouble.get_or_insert_with(|| unanswered(broker));
            }
            self.done.push(asked.answer());
        }
    }
}

impl ProbeRequest {
    fn wants_lock_of(&self, broker: BrokerId) -> bool {
        self.probe && broker == self.leader
    }
}

impl Asked {
    fn missing(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let all = self.at.brokers.iter().copied();
        all.filter(|broker| !self.seen.contains_key(broker))
    }

    /// Answers with the snapshots so far.
    fn answer(mut self) -> ProbeResult {
        let lock = self.seen.get(&self.at.leader).map(|(_, lock)| *lock);
        let mut probe_of = |broker| {
            let seen = self.seen.remove(&broker);
            (
                broker,
                seen.map_or(ReplicaSnapshot::Failed, |(observe, _)| observe),
            )
        };
        ProbeResult {
            job: self.at.job,
            replicas: self.at.brokers.iter().map(|b| probe_of(*b)).collect(),
            tp: self.at.tp,
            lock: lock.unwrap_or(Lock::Untried),
        }
    }
}

impl BrokerProber {
    fn start(
        store: Arc<StoreDir>,
        broker: BrokerId,
        disk: Arc<Mutex<DiskState>>,
        answer: Sender<Answer>,
    ) -> Result<Self> {
        let progress = store.clock().monotonic();
        let (requests, requested) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("mq-look".to_owned())
            .spawn(move || probe_loop(&store, broker, &disk, &requested, &answer))
            .map_err(|e| Error::io("start a thread for", "probes of replicas", e))?;
        Ok(BrokerProber {
            requests,
            under_way: HashSet::new(),
            progress,
            is_behind: false,
            kept: HashMap::new(),
            thread,
        })
    }

    /// A snapshot that came too late for an earlier request; if there is none, it is requested.
    fn request(&mut self, request: Request, now: Duration) -> Option<ReplicaSnapshot> {
        if let Some((at, observe)) = self.kept.remove(&request.tp)
            && now.saturating_sub(at) <= KEPT
        {
            return Some(observe);
        }
        if self.under_way.is_empty() {
            self.progress = now;
        }
        if self.under_way.insert((request.tp.clone(), request.probe)) {
            // If the thread ended, the next probe starts a new one.
            let _ = self.requests.send(request);
        }
        None
    }
}

/// Probes what is requested, until the request channel closes.
fn probe_loop(
    store: &Arc<StoreDir>,
    broker: BrokerId,
    disk: &Mutex<DiskState>,
    requested: &Receiver<Request>,
    answers: &Sender<Answer>,
) {
    while let Ok(first) = requested.recv() {
        // The log directory is opened once for all waiting requests, and again for later ones.
        let waiting: Vec<_> = std::iter::once(first).chain(requested.try_iter()).collect();
        let mut reader = SnapshotReader::of_controller(store, disk);
        let mut gone = Vec::new();
        let observe = |reader: &mut SnapshotReader<'_>, request: &Request| {
            let (observe, lock) =
                reader.probe_once(&request.tp, broker, request.probe, request.acked);
            Answer {
                broker,
                tp: request.tp.clone(),
                probe: request.probe,
                observe,
                lock,
                trouble: reader.trouble.take(),
            }
        };
        for request in waiting {
            let answer = observe(&mut reader, &request);
            if answer.observe == ReplicaSnapshot::Gone {
                gone.push(request);
            } else if answers.send(answer).is_err() {
                return;
            }
        }
        if gone.is_empty() {
            continue;
        }
        store.clock().sleep(REPLACING);
        reader.probe_again();
        for request in gone {
            if answers.send(observe(&mut reader, &request)).is_err() {
                return;
            }
        }
    }
}

fn unanswered(broker: BrokerId) -> Error {
    let text = format!("the disk of broker {broker} does not answer");
    Error::new(Kind::Busy, text).cure("check the disk")
}
