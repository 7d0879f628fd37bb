//! Replaces a follower's replica: its directory is gone, damaged, offline, or a stopped process
//! holds its append lock. The new one has another id. It reuses segments of the old log where that
//! is safe ([`super::segment_reuse`]), or none; the leader has the rest.
//!
//! 1. The broker's own daemon replaces it, or a repair, and only while no topic file has the
//!    replica in sync: if one has, the broker leaves the ISR first, in the same critical section of
//!    the store's lock, so that no controller elects it meanwhile.
//! 2. The new directory is complete before the old one is moved aside, and the topic file names it
//!    last. A process that dies between leaves a directory that no topic file names, and the next
//!    starts over.
//! 3. This is the one case in which a directory is moved aside without its append lock. A process
//!    that holds it resumes in a directory that no process reads. One that is gone, damaged or
//!    offline has nothing that its lock could guard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock::{self, MakerLock};
use super::planned_replica::PlannedReplica;
use super::replica_creation::{are_in_place, make_beside};
use super::segment_reuse::take_over;
use super::strays::{ReplicaIds, ReplicaStatus, certain_status, read_ids};
use super::unpublished_replica::UnpublishedReplica;
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::partition::{Offline, Replica, Role, remove_dir};
use crate::store::{self, FencedLock, LogDir, PartitionMeta, StoreDir, TopicHandle, TopicMeta};
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

/// Replaces the replica that `broker` holds of `tp`, if the topic file still lists it as `uuid` and
/// another broker leads.
///
/// # Errors
/// [`Kind::Fenced`] if it does not, or this broker leads; [`Kind::Busy`], [`Kind::DiskFull`],
/// [`Kind::Io`].
pub fn replace_replica(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    uuid: Uuid,
    timeout: Duration,
) -> Result<()> {
    let mut done = replace_replicas(store, broker, &[(tp.clone(), uuid)], timeout)?;
    done.pop().unwrap_or_else(|| Err(not_mine(tp, broker)))
}

/// Replaces many in one critical section of the store's lock; returns the outcome of each. A topic
/// file is replaced once for all of them, and once more before that if any of them was in sync.
///
/// # Errors
/// Those that keep all of them from being replaced.
pub fn replace_replicas(
    store: &Arc<StoreDir>,
    broker: BrokerId,
    lost: &[(TopicPartition, Uuid)],
    timeout: Duration,
) -> Result<Vec<Result<()>>> {
    let log_dir = LogDir::open(store, broker)?;
    let maker = Arc::new(MakerLock::begin(store)?);
    let mut batch = Batch {
        log_dir: &log_dir,
        making: Vec::with_capacity(lost.len()),
        failed: BTreeMap::new(),
    };
    for (at, (tp, old)) in lost.iter().enumerate() {
        match make_one(store, &log_dir, &maker, tp, *old) {
            Ok((new, made)) => batch.making.push(Making {
                at,
                old: *old,
                new,
                made,
                aside: String::new(),
                worthless: false,
                kept: None,
            }),
            Err(e) => drop(batch.failed.insert(at, e)),
        }
    }
    if !batch.making.is_empty()
        && let Err(e) = batch.place(store, timeout)
    {
        // Still beside their places, or directories that were never used.
        for one in &batch.making {
            remove_dir(&**log_dir.dir(), &one.new);
        }
        return Err(e);
    }
    let mut failed = batch.failed;
    let outcome = |at| failed.remove(&at).map_or(Ok(()), Err);
    Ok((0..lost.len()).map(outcome).collect())
}

fn make_one(
    store: &StoreDir,
    log_dir: &LogDir,
    maker: &Arc<MakerLock>,
    tp: &TopicPartition,
    old: Uuid,
) -> Result<(String, UnpublishedReplica)> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    mine(topic.meta(), tp, log_dir.broker(), old)?;
    let plan = PlannedReplica {
        tp: tp.clone(),
        topic_id: topic.meta().topic_id,
        broker: log_dir.broker(),
        role: Role::Follower,
    };
    make_beside(store, log_dir, maker, &plan)
}

/// Replicas that are replaced together.
struct Batch<'a> {
    log_dir: &'a LogDir,
    making: Vec<Making>,
    /// Failures of single replicas, by index in the order.
    failed: BTreeMap<usize, Error>,
}

struct Making {
    /// Its index in the order.
    at: usize,
    /// The id of the replaced one.
    old: Uuid,
    /// The name of the new directory beside its place.
    new: String,
    made: UnpublishedReplica,
    /// The old directory's name once it is moved aside, and whether it is worthless there.
    aside: String,
    worthless: bool,
    /// The old replica, if another process keeps its lock.
    kept: Option<Replica>,
}

impl Making {
    fn tp(&self) -> &TopicPartition {
        self.made.tp()
    }
}

impl Batch<'_> {
    /// In one critical section of the store's lock, so that no controller elects the broker
    /// meanwhile: it leaves the ISRs, the old directories are moved aside, the new ones come into
    /// their places and into the topic files.
    fn place(&mut self, store: &Arc<StoreDir>, timeout: Duration) -> Result<()> {
        let (log_dir, broker) = (self.log_dir, self.log_dir.broker());
        let logs = &**log_dir.dir();
        let topics: BTreeSet<_> = self.making.iter().map(|one| &one.tp().topic).collect();
        let names: Vec<TopicName> = topics.into_iter().cloned().collect();
        let guard = FencedLock::acquire_store(store, "replace replicas", timeout)?;
        let left = store::update_each(store, &guard, &names, |meta| {
            let mut changed = false;
            self.each_of(Some(&meta.name.clone()), |one| {
                let in_sync = mine(meta, one.tp(), broker, one.old)?;
                if let Some(partition) = partition_mut(meta, one.tp()).filter(|_| in_sync) {
                    partition.isr.retain(|id| *id != broker);
                    changed = true;
                }
                Ok(())
            });
            Ok(changed)
        })?;
        // As long as a topic file cannot be read, its ISR is unknown.
        for (name, e) in &left.failed {
            self.each_of(Some(name), |_| Err(e.copy()));
        }
        self.each_of(None, |one| {
            guard.step()?;
            one.move_old_aside(store, log_dir)
        });
        if self.making.iter().any(|one| one.kept.is_some()) {
            // After a power cut the old directory must not be in its place again without the
            // segments that are reused now.
            logs.sync()
                .map_err(|e| crate::log::sync_failed(logs.path(), e))?;
        }
        self.each_of(None, |one| {
            guard.step()?;
            if let Some(kept) = one.kept.take() {
                take_over(store, logs, &kept, &one.aside, &mut one.made, &one.new)?;
            }
            let name = store::replica_dir(one.tp());
            logs.rename_new(&one.new, &name)
                .map_err(|e| Error::io("put in place", join(logs, &name), e))
        });
        logs.sync()
            .map_err(|e| crate::log::sync_failed(logs.path(), e))?;
        let named = store::update_each(store, &guard, &names, |meta| {
            let mut changed = false;
            self.each_of(Some(&meta.name.clone()), |one| {
                mine(meta, one.tp(), broker, one.old)?;
                if !are_in_place([&one.made])? {
                    return Err(not_mine(one.tp(), broker));
                }
                let replicas = partition_mut(meta, one.tp()).map(|p| &mut p.replicas);
                for replica in replicas.into_iter().flatten() {
                    if replica.uuid == one.old {
                        replica.uuid = one.made.meta().uuid;
                        changed = true;
                    }
                }
                Ok(())
            });
            Ok(changed)
        })?;
        drop(guard);
        for one in self.making.drain(..) {
            let version = named
                .changed
                .iter()
                .find(|meta| meta.name == one.tp().topic)
                .map(|meta| meta.version);
            let settled = version
                .ok_or_else(|| not_mine(one.tp(), broker))
                .and_then(|version| one.made.settle(store, version));
            if let Err(e) = settled {
                self.failed.insert(one.at, e);
            } else if one.worthless {
                remove_dir(logs, &one.aside);
            }
        }
        Ok(())
    }

    /// Applies a step to each, or to those of one topic. One that fails is left out from there on.
    fn each_of(
        &mut self,
        topic: Option<&TopicName>,
        mut work: impl FnMut(&mut Making) -> Result<()>,
    ) {
        let (logs, failed) = (&**self.log_dir.dir(), &mut self.failed);
        self.making.retain_mut(|one| {
            if topic.is_some_and(|topic| one.tp().topic != *topic) {
                return true;
            }
            let Err(e) = work(one) else {
                return true;
            };
            remove_dir(logs, &one.new);
            failed.insert(one.at, e);
            false
        });
    }
}

impl Making {
    fn move_old_aside(&mut self, store: &Arc<StoreDir>, log_dir: &LogDir) -> Result<()> {
        let (logs, tp) = (&**log_dir.dir(), self.made.tp());
        let name = store::replica_dir(tp);
        self.worthless = is_worthless(store, tp, log_dir, self.old)?;
        self.aside = if self.worthless {
            store::aside_dir(tp, &Uuid::random()?)
        } else {
            store::stray_dir(tp, &Uuid::random()?)
        };
        let kept = mark_removed(store, tp, log_dir.broker())?;
        self.kept = kept.filter(|_| self.worthless);
        match logs.rename_new(&name, &self.aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("move aside", join(logs, &name), e))
            }
            _ => Ok(()),
        }
    }
}

fn partition_mut<'m>(
    meta: &'m mut TopicMeta,
    tp: &TopicPartition,
) -> Option<&'m mut PartitionMeta> {
    let at = usize::try_from(tp.partition).ok()?;
    meta.partitions.get_mut(at)
}

/// Whether the replica is in sync.
///
/// # Errors
/// [`Kind::Fenced`] if the topic file does not list it, or the broker leads.
fn mine(meta: &TopicMeta, tp: &TopicPartition, broker: BrokerId, uuid: Uuid) -> Result<bool> {
    let partition = usize::try_from(tp.partition)
        .ok()
        .and_then(|at| meta.partitions.get(at))
        .filter(|p| p.uuid_of(broker) == Some(uuid) && p.leader != broker)
        .ok_or_else(|| not_mine(tp, broker))?;
    Ok(partition.is_in_sync(broker))
}

/// Whether the directory in the replica's place is that replica, or was never used.
fn is_worthless(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    log_dir: &LogDir,
    uuid: Uuid,
) -> Result<bool> {
    let (logs, name) = (&**log_dir.dir(), store::replica_dir(tp));
    let page = match Replica::open(store, tp, log_dir.broker()) {
        Ok(replica) => replica.read_page()?,
        Err(e) if e.kind() == Kind::Fenced => None,
        Err(e) => return Err(e),
    };
    let ids = match &page {
        Some(page) => Some(ReplicaIds::of_page(page)),
        None => read_ids(logs, &name)?.and_then(ReplicaIds::of_metadata),
    };
    match ids {
        Some(ids) if ids.replica == uuid => Ok(true),
        // Inside a critical section of the store's lock: no deletion proof is on its way.
        Some(ids) => match certain_status(store, logs, tp, Duration::ZERO, page.as_ref(), ids)? {
            ReplicaStatus::Worthless => Ok(true),
            ReplicaStatus::Named | ReplicaStatus::Stray => Ok(false),
            ReplicaStatus::InTheMaking(maker) => Err(maker_lock::at_work(store, maker, tp)),
        },
        // Nothing is there, or nothing that identifies the replica.
        None => Ok(logs.id(&name).is_err()),
    }
}

/// Lets readers and writers of the old directory notice, if its lock can be had. If it cannot,
/// returns the old replica.
fn mark_removed(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
) -> Result<Option<Replica>> {
    let Ok(replica) = Replica::open(store, tp, broker) else {
        return Ok(None);
    };
    let kept = match replica.lock(Duration::ZERO) {
        Ok(held) => {
            if let Some(mut page) = held.page()? {
                held.take_offline(&mut page, Offline::Removed)?;
            }
            false
        }
        // A stopped holder: it resumes in a directory that no process reads.
        Err(e) => e.kind() == Kind::Busy,
    };
    Ok(kept.then_some(replica))
}

fn not_mine(tp: &TopicPartition, broker: BrokerId) -> Error {
    Error::new(
        Kind::Fenced,
        format!("the replica of {tp} on broker {broker} was replaced meanwhile, or leads"),
    )
    .cure("'mq-topics describe' shows it")
}
