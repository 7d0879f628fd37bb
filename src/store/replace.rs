//! A follower's replica made anew: its directory is gone, damaged, offline, or its append lock is
//! in the hands of a process that stands still. The new one has another id. It takes what is safe
//! to take of the old one's log ([`super::inherited`]), or nothing; the rest comes from the leader.
//!
//! 1. Done by the broker's own daemon, or by a repair, and only while no topic file has the replica
//!    in sync: if one has, the broker leaves the in-sync set first, in the same hold of the store's
//!    lock, so that nobody elects it meanwhile.
//! 2. The new directory is whole before the old one goes aside, and the topic file names it last.
//!    Whoever dies between leaves a directory that no topic file names, and starts over.
//! 3. This is the one case in which a directory is moved aside without its append lock. A process
//!    that holds it wakes in a directory that no one reads. One that is gone, damaged or offline
//!    has nothing that its lock could guard.

use std::sync::Arc;
use std::time::Duration;

use super::fenced_lock::FencedLock;
use super::inherited::take_over;
use super::layout;
use super::log_dir::LogDir;
use super::new_replica::{MadeReplica, Plan, make_beside};
use super::open::StoreDir;
use super::page::{Offline, Role};
use super::removal::remove_dir;
use super::replica::Replica;
use super::strays::{is_garbage, read_ids};
use super::topics::{self, TopicMeta};
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// Makes the replica that `broker` holds of `tp` anew, if the topic file still lists it as `uuid`
/// and another broker leads.
///
/// # Errors
/// [`Kind::Fenced`] if it does not, or this broker leads; [`Kind::Busy`], [`Kind::DiskFull`],
/// [`Kind::Io`].
pub fn replace_replica(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    uuid: Uuid,
    patience: Duration,
) -> Result<()> {
    let (meta, _) = topics::read(store, &tp.topic)?;
    mine(&meta, tp, broker, uuid)?;
    let log_dir = LogDir::open(store, broker)?;
    let plan = Plan {
        tp: tp.clone(),
        topic_id: meta.topic_id,
        broker,
        role: Role::Follower,
    };
    let (new, mut made) = make_beside(store, &log_dir, &plan)?;
    let placed = place(store, tp, &log_dir, (uuid, &new, &mut made), patience);
    let (version, aside) = placed.inspect_err(|_| {
        // Still beside its place, or a directory that was never used.
        remove_dir(&**log_dir.dir(), &new);
    })?;
    made.settle(version)?;
    if let Some(aside) = aside {
        remove_dir(&**log_dir.dir(), &aside);
    }
    Ok(())
}

/// In one hold of the store's lock, so that nobody elects the broker meanwhile: it leaves the in-sync
/// set, the old directory goes aside, the new one comes into its place and into the topic file. The
/// topic file's version then, and the old directory's name where it is worth nothing.
fn place(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    log_dir: &LogDir,
    (old, new, made): (Uuid, &str, &mut MadeReplica),
    patience: Duration,
) -> Result<(u64, Option<String>)> {
    let (logs, name) = (&**log_dir.dir(), layout::replica_dir(tp));
    let guard = FencedLock::acquire_store(store, "make a replica anew", patience)?;
    let names = [tp.topic.clone()];
    let meta = made.meta();
    let broker = meta.broker;
    topics::update_all(store, &guard, &names, |meta| {
        let in_sync = mine(meta, tp, broker, old)?;
        for partition in &mut meta.partitions {
            if partition.partition == tp.partition {
                partition.isr.retain(|id| *id != broker);
            }
        }
        Ok(in_sync)
    })?;
    let worthless = is_worthless(store, tp, log_dir, old)?;
    let aside = if worthless {
        layout::aside_dir(tp, &Uuid::random()?)
    } else {
        layout::stray_dir(tp, &Uuid::random()?)
    };
    let kept = mark_removed(store, tp, broker)?;
    guard.step()?;
    match logs.rename_new(&name, &aside) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("move aside", join(logs, &name), e));
        }
        _ => {}
    }
    if let Some(kept) = kept.filter(|_| worthless) {
        // After a power cut it must not stand in its place again without what is taken now.
        logs.sync()
            .map_err(|e| crate::storage::sync_failed(logs.path(), e))?;
        take_over(logs, (&kept, &aside), (made, new))?;
    }
    logs.rename_new(new, &name)
        .map_err(|e| Error::io("put in place", join(logs, &name), e))?;
    logs.sync()
        .map_err(|e| crate::storage::sync_failed(logs.path(), e))?;
    let changed = topics::update_all(store, &guard, &names, |topic| {
        mine(topic, tp, broker, old)?;
        for replica in topic.partitions.iter_mut().flat_map(|p| &mut p.replicas) {
            if replica.uuid == old {
                replica.uuid = meta.uuid;
            }
        }
        Ok(true)
    })?;
    let version = changed.first().map(|meta| meta.version);
    let version = version.ok_or_else(|| not_mine(tp, broker))?;
    Ok((version, worthless.then_some(aside)))
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

/// Whether what stands in the replica's place is that replica, or was never used.
fn is_worthless(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    log_dir: &LogDir,
    uuid: Uuid,
) -> Result<bool> {
    let (logs, name) = (&**log_dir.dir(), layout::replica_dir(tp));
    let page = match Replica::open(store, tp, log_dir.broker()) {
        Ok(replica) => replica.read_page()?,
        Err(e) if e.kind() == Kind::Fenced => None,
        Err(e) => return Err(e),
    };
    let ids = match &page {
        Some(page) => Some((page.topic_id, page.replica_uuid)),
        None => read_ids(logs, &name)?.and_then(|ids| Some((ids.topic_id, ids.replica_uuid?))),
    };
    match ids {
        Some((_, found)) if found == uuid => Ok(true),
        Some((id, found)) => is_garbage(store, logs, &name, page.as_ref(), id, found),
        // Nothing there, or nothing that says whose it is.
        None => Ok(logs.id(&name).is_err()),
    }
}

/// Readers and writers of the old directory notice, where its lock can be had. Where it cannot, the
/// old replica.
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
        // A holder that stands still: it wakes in a directory that no one reads.
        Err(e) => e.kind() == Kind::Busy,
    };
    Ok(kept.then_some(replica))
}

fn not_mine(tp: &TopicPartition, broker: BrokerId) -> Error {
    Error::new(
        Kind::Fenced,
        format!("the replica of {tp} on broker {broker} is another by now, or leads"),
    )
    .cure("look at it again with 'mq-topics describe'")
}
