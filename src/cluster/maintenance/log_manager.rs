//! The LogManager: maintains the logs of one broker's partitions, as [`super::policy`] decides.
//!
//! It recovers and promotes the logs that the broker leads. It syncs those and the ones that the
//! broker follows, if the topic's configs leave that to the broker.
//! [`crate::cluster::replication::fetcher`] copies the followed ones.
//!
//! When idle it costs nothing: it watches a clean log's state page, and does not watch a changed
//! one until its log is clean again, so that the appends of a busy producer do not wake it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::compactor::CompactedReplicas;
use super::maintained_partition::{HeldHere, MaintainedPartition, MaintenanceTask};
use super::policy::{LogState, LogTask, Policy};
use super::retention_due::RetentionDue;
use super::retention_thread::{MadePass, RetentionThread};
use super::schedule::{Schedule, When};
use crate::cluster::controller::{ChangedPartitions, TopicChanges};
use crate::cluster::notice::Notice;
use crate::cluster::notify_once::NotifyOnce;
use crate::cluster::replication::FollowedReplicas;
use crate::disk::{Wake, WatchId, Watcher};
use crate::error::{Error, Kind, Result};
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicConfigs, TopicFile, TopicMeta};
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

/// The pause until topics that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// The interval between two checks of everything if nothing can be watched.
const UNWATCHED: Duration = Duration::from_millis(500);
/// Logs that are synced or recovered at the same time.
const THREADS: usize = 4;

/// Maintains the partitions of a broker.
#[derive(Debug)]
pub struct LogManager {
    store: Arc<StoreDir>,
    broker: BrokerId,
    watcher: Box<dyn Watcher>,
    topics_watch: Option<WatchId>,
    /// When to read topics although none changed: some could not be read.
    unread: Option<Duration>,
    topics: HashMap<TopicName, ManagedTopic>,
    /// Of all topics, by replica id.
    partitions: HashMap<Uuid, MaintainedPartition>,
    schedule: Schedule<Uuid>,
    /// Starts with the first pass that is due.
    retention: Option<RetentionThread>,
    followed: FollowedReplicas,
    /// Changes of topic files, for the fetchers.
    changed: TopicChanges,
    /// The errors of each topic or partition.
    notified: NotifyOnce,
}

#[derive(Debug)]
struct ManagedTopic {
    file: TopicFile,
    meta: Arc<TopicMeta>,
    /// The replicas that it maintains.
    replicas: Vec<Uuid>,
    /// Its configs, if it is compacted.
    compacted: Option<Arc<TopicConfigs>>,
}

impl LogManager {
    /// For the replicas of `broker`.
    pub fn new(store: &Arc<StoreDir>, broker: BrokerId, watcher: Box<dyn Watcher>) -> Self {
        LogManager {
            store: Arc::clone(store),
            broker,
            watcher,
            topics_watch: None,
            unread: None,
            topics: HashMap::new(),
            partitions: HashMap::new(),
            schedule: Schedule::default(),
            retention: None,
            followed: FollowedReplicas::new(),
            changed: TopicChanges::new(),
            notified: NotifyOnce::default(),
        }
    }

    /// When to act if nothing changes.
    pub fn due(&self) -> Option<Duration> {
        self.schedule.due().into_iter().chain(self.unread).min()
    }

    /// Waits for a change, up to `timeout`. If the system cannot wait for changes, only the timeout
    /// wakes it.
    pub fn wait(
        &mut self,
        timeout: Duration,
        wake: Option<std::os::fd::BorrowedFd<'_>>,
        notify: &mut dyn FnMut(Notice),
    ) -> Wake {
        match self.watcher.wait(timeout, wake) {
            Ok(wake) => wake,
            Err(e) => {
                let e = Error::io("watch", self.store.path(), e);
                self.problem("watches".to_owned(), e, notify);
                self.store.clock().sleep(UNWATCHED);
                Wake::Anything
            }
        }
    }

    /// Whether the wake says that topics were created, deleted or changed, or some have to be read
    /// again.
    pub fn must_refresh(&self, wake: &Wake) -> bool {
        let now = self.store.clock().monotonic();
        if self.unread.is_some_and(|due| due <= now) {
            return true;
        }
        match (wake, self.topics_watch) {
            (Wake::Anything, _) => true,
            (Wake::Changed(ids), Some(watch)) => ids.contains(&watch),
            _ => false,
        }
    }

    /// Reads which topics exist now. A topic that cannot be read stays as it is known, and is read
    /// again soon.
    pub fn refresh(&mut self, notify: &mut dyn FnMut(Notice)) {
        self.unread = None;
        if let Err(e) = self.try_refresh(notify) {
            self.problem("topics".to_owned(), e, notify);
            self.read_again();
        } else {
            self.notified.is_well("topics");
        }
    }

    fn read_again(&mut self) {
        let now = self.store.clock().monotonic();
        self.unread.get_or_insert(now + READ_AGAIN);
    }

    fn try_refresh(&mut self, notify: &mut dyn FnMut(Notice)) -> Result<()> {
        if self.topics_watch.is_none() {
            let dir = Arc::clone(self.store.topics_dir()?);
            let watch = self.watcher.add_dir(&*dir, ".");
            self.topics_watch = Some(watch.map_err(|e| Error::io("watch", dir.path(), e))?);
        }
        let names = topic_file::list(&self.store)?;
        let gone: Vec<_> = self
            .topics
            .keys()
            .filter(|name| names.binary_search(name).is_err())
            .cloned()
            .collect();
        for name in gone {
            self.forget(&name);
        }
        for name in names {
            match self.refresh_topic(&name) {
                Ok(()) => {
                    self.notified.is_well(name.as_str());
                }
                Err(e) => {
                    self.problem(name.as_str().to_owned(), e, notify);
                    self.read_again();
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, name: &TopicName) {
        let Some(topic) = self.topics.remove(name) else {
            return;
        };
        self.notified.is_well(name.as_str());
        self.followed.retain(|tp, _| tp.topic != *name);
        self.changed.insert(name.clone(), ChangedPartitions::All);
        for replica in topic.replicas {
            if let Some(tp) = self.forget_replica(replica) {
                self.notified.is_well(&tp.to_string());
            }
        }
    }

    fn forget_replica(&mut self, replica: Uuid) -> Option<TopicPartition> {
        self.schedule.remove(replica);
        let partition = self.partitions.remove(&replica)?;
        if let Some(watch) = partition.watch {
            self.watcher.remove(watch);
        }
        Some(partition.tp)
    }

    fn refresh_topic(&mut self, name: &TopicName) -> Result<()> {
        if let Some(topic) = self.topics.get(name)
            && topic.file.is_current()?
        {
            return Ok(());
        }
        let Some((meta, file)) = topic_file::read_if_there(&self.store, name)? else {
            self.forget(name);
            return Ok(());
        };
        let configs = meta.configs()?;
        let policy = Policy::of(&configs);
        let known = self.topics.remove(name);
        let changed = ChangedPartitions::between(
            known.as_ref().map(|topic| &*topic.meta),
            &meta,
            self.broker,
        );
        let cared_for: Vec<_> = self
            .held_here(&meta)
            .filter(|held| held.leads.is_some() || policy != Policy::Never)
            .collect();
        let replicas: Vec<Uuid> = cared_for.iter().map(|held| held.uuid).collect();
        for held in cared_for {
            let uuid = held.uuid;
            let retention = RetentionDue::of(&configs, held.leads.is_some());
            if self.partitions.contains_key(&uuid) && !changed.concerns(held.tp.partition) {
                continue;
            }
            let partition = match self.partitions.remove(&uuid) {
                Some(known) => MaintainedPartition {
                    leads: held.leads,
                    replicated: held.replicated,
                    policy,
                    task: LogTask::Clean,
                    retention,
                    ..known
                },
                None => MaintainedPartition::new(held, policy, retention),
            };
            self.schedule.set(uuid, When::Now, partition.watch);
            self.partitions.insert(uuid, partition);
        }
        let stays: HashSet<Uuid> = replicas.iter().copied().collect();
        let gone = known
            .map(|topic| topic.replicas)
            .unwrap_or_default()
            .into_iter();
        for uuid in gone.filter(|uuid| !stays.contains(uuid)) {
            self.forget_replica(uuid);
        }
        self.followed.retain(|tp, _| tp.topic != *name);
        let followed = self.held_here(&meta).filter(|held| held.leads.is_none());
        let followed: Vec<_> = followed.map(|held| (held.tp, held.uuid)).collect();
        self.followed.extend(followed);
        self.changed.entry(name.clone()).or_default().add(changed);
        let topic = ManagedTopic {
            file,
            meta,
            replicas,
            compacted: configs.cleanup_policy.compacts().then(|| Arc::new(configs)),
        };
        self.topics.insert(name.clone(), topic);
        Ok(())
    }

    /// What the broker follows, and what changed in topic files, if anything did since the last
    /// call.
    pub fn followed(&mut self) -> Option<(&FollowedReplicas, TopicChanges)> {
        if self.changed.is_empty() {
            return None;
        }
        Some((&self.followed, std::mem::take(&mut self.changed)))
    }

    /// The replicas of this broker that are compacted, by the topic files as last read.
    pub fn compacted(&self) -> CompactedReplicas {
        let mut replicas = CompactedReplicas::new();
        for topic in self.topics.values() {
            if let Some(configs) = &topic.compacted {
                let held = self.held_here(&topic.meta);
                replicas.extend(held.map(|held| (held.tp, Arc::clone(configs))));
            }
        }
        replicas
    }

    fn held_here(&self, meta: &TopicMeta) -> impl Iterator<Item = HeldHere> {
        let broker = self.broker;
        meta.partitions.iter().filter_map(move |p| {
            Some(HeldHere {
                tp: TopicPartition::new(meta.name.clone(), p.partition),
                uuid: p.uuid_of(broker)?,
                leads: (p.leader == broker).then_some(p.leader_epoch),
                replicated: p.replicas.len() > 1,
            })
        })
    }

    /// Does the maintenance that is called for, by time or by `wake`.
    pub fn tend(&mut self, wake: &Wake, notify: &mut dyn FnMut(Notice)) {
        self.end_passes(notify);
        self.schedule.wake(wake, self.store.clock().monotonic());
        // After its job a log is checked again; what is appended meanwhile waits for the next
        // round.
        for _ in 0..2 {
            self.round(notify);
        }
    }

    /// Schedules the next pass of each log of which one has ended.
    fn end_passes(&mut self, notify: &mut dyn FnMut(Notice)) {
        let passes: Vec<MadePass> = match &self.retention {
            Some(thread) => thread.made().collect(),
            None => return,
        };
        for pass in passes {
            // It may be led elsewhere since, or its topic deleted.
            let Some(partition) = self.partitions.get_mut(&pass.replica) else {
                continue;
            };
            let (retention, outcome) = (&mut partition.retention, pass.outcome);
            retention.passed(pass.ended, pass.ended_ms, outcome.as_ref());
            let tp = partition.tp.to_string();
            let when = partition.when();
            self.schedule.set(pass.replica, when, partition.watch);
            match outcome {
                // The log serves all the same; the pass is tried again.
                Err(e) => self.problem(tp, e, notify),
                Ok(_) => {
                    self.notified.is_well(&tp);
                }
            }
        }
    }

    fn round(&mut self, notify: &mut dyn FnMut(Notice)) {
        let now = self.store.clock().monotonic();
        let (store, watcher) = (&self.store, &mut *self.watcher);
        let mut jobs = Vec::new();
        let mut failed = Vec::new();
        let mut removals = Vec::new();
        for uuid in self.schedule.take() {
            let Some(mut partition) = self.partitions.remove(&uuid) else {
                continue;
            };
            match partition.attend(store, self.broker, watcher, now) {
                Ok(Some(job)) => jobs.push(MaintenanceJob::new(partition, job)),
                attended => {
                    if let Err(e) = attended {
                        failed.push(partition.fail(store, watcher, e, now));
                    } else if partition.is_removal_due(now) {
                        removals.push((uuid, partition.tp.clone()));
                        partition.retention.begun();
                    }
                    self.schedule.set(uuid, partition.when(), partition.watch);
                    self.partitions.insert(uuid, partition);
                }
            }
        }
        if !removals.is_empty() {
            match retention_thread(&mut self.retention, store) {
                Ok(thread) => removals.iter().for_each(|(uuid, tp)| thread.ask(*uuid, tp)),
                Err(e) => failed.push(("retention".to_owned(), e)),
            }
        }
        do_all(store, self.broker, &mut jobs);
        let now = self.store.clock().monotonic();
        let mut done = Vec::new();
        for job in jobs {
            let mut partition = job.partition;
            let when = match job.outcome {
                Ok(()) => {
                    done.push(partition.tp.to_string());
                    When::Now
                }
                Err(e) => {
                    failed.push(partition.fail(store, watcher, e, now));
                    partition.when()
                }
            };
            self.schedule.set(partition.uuid, when, partition.watch);
            self.partitions.insert(partition.uuid, partition);
        }
        notify_notes(store, notify);
        for tp in done {
            self.notified.is_well(&tp);
        }
        for (tp, error) in failed {
            self.problem(tp, error, notify);
        }
    }

    /// Syncs what is not durable, whichever process maintains it next.
    pub fn finish(mut self, notify: &mut dyn FnMut(Notice)) {
        let store = &self.store;
        let mut jobs = Vec::new();
        for (_, mut partition) in self.partitions.drain() {
            if partition.policy == Policy::Never {
                continue;
            }
            if let Ok(LogState::Log { durable, end }) = partition.observe(store, self.broker)
                && durable < end
            {
                jobs.push(MaintenanceJob::new(partition, MaintenanceTask::Commit(end)));
            }
        }
        do_all(store, self.broker, &mut jobs);
        notify_notes(store, notify);
        let failed: Vec<_> = jobs
            .into_iter()
            .filter_map(|job| Some((job.partition.tp.to_string(), job.outcome.err()?)))
            .collect();
        for (tp, error) in failed {
            self.problem(tp, error, notify);
        }
    }

    /// Reports an error, once. A topic that is gone or changed since is no error.
    fn problem(&mut self, of: String, error: Error, notify: &mut dyn FnMut(Notice)) {
        if matches!(error.kind(), Kind::UnknownTopic | Kind::Fenced) {
            return;
        }
        if self.notified.is_change(&of, &error) {
            notify(Notice::Problem(error.at(of)));
        }
    }
}

fn retention_thread<'t>(
    thread: &'t mut Option<RetentionThread>,
    store: &Arc<StoreDir>,
) -> Result<&'t RetentionThread> {
    Ok(match thread {
        Some(thread) => thread,
        none => none.insert(RetentionThread::start(store)?),
    })
}

/// Reports what was cut, and other notes on this process's use of the logs.
fn notify_notes(store: &StoreDir, notify: &mut dyn FnMut(Notice)) {
    for (tp, cut) in store.take_cuts() {
        notify(Notice::Note(format!("{tp}: {cut}")));
    }
    for note in store.take_notes() {
        notify(Notice::Note(note));
    }
}

/// A task for one partition's log, and what came of it.
struct MaintenanceJob {
    partition: MaintainedPartition,
    task: MaintenanceTask,
    outcome: Result<()>,
}

impl MaintenanceJob {
    fn new(partition: MaintainedPartition, task: MaintenanceTask) -> Self {
        let outcome = Ok(());
        MaintenanceJob {
            partition,
            task,
            outcome,
        }
    }
}

/// Does the jobs, a few at a time: they mostly wait for the disk.
fn do_all(store: &Arc<StoreDir>, broker: BrokerId, jobs: &mut [MaintenanceJob]) {
    let work = |jobs: &mut [MaintenanceJob]| {
        for job in jobs {
            job.outcome = job.partition.perform(store, broker, job.task);
        }
    };
    if jobs.len() < 2 {
        return work(jobs);
    }
    let share = jobs.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        for part in jobs.chunks_mut(share) {
            scope.spawn(|| work(part));
        }
    });
}
