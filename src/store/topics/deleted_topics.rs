//! Deletion proofs: `deleted/ID.json` is the topic file of a deleted topic, under its topic id,
//! until the last replica directory that it names is gone. Only it proves that a replica may be
//! removed: a topic file that is merely missing may have been lost.
//!
//! 1. A deletion renames the topic file into the lock holder's directory as `deleted.ID`: from that
//!    moment the topic is deleted. Once the names are synced, the file is moved to `deleted/`.
//! 2. A process that empties a holder's directory moves files with such names on before it removes
//!    the rest.
//! 3. A deletion proof does not count while a topic file of the same topic id exists: a power cut,
//!    or a backup, may have restored that.

use std::sync::Arc;
use std::time::Duration;

use super::deleted_topic::DeletedTopic;
use super::known_topic::KnownTopic;
use super::topic_file;
use super::topic_meta::{PartitionMeta, TopicMeta};
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::log::PartitionMetadata;
use crate::store::dir::StoreDir;
use crate::store::file_cache::CachedFile;
use crate::store::lock::{FencedGuard, FencedLock, is_gone, make_place, path_of};
use crate::store::small_file::read_small;
use crate::store::{json_file, layout};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// Removes a topic file and keeps it as the deletion proof.
///
/// # Errors
/// As [`FencedGuard::remove`].
pub(crate) fn keep_proof(guard: &FencedGuard, meta: &TopicMeta) -> Result<()> {
    let dir = &**guard.dir();
    make_place(dir).map_err(|e| Error::io("make", join(dir, layout::DELETED_DIR), e))?;
    let path = topic_file::path_in_store(&meta.name);
    let proof = guard.rename_in_as(&path, &layout::proof_file(&meta.topic_id))?;
    // The proof is durable before the removal is: so no power cut leaves the removal without a
    // proof.
    guard.sync_parent(&proof)?;
    guard.sync_own_name()?;
    guard.sync_parent(&path)?;
    let to = path_of(&meta.topic_id);
    guard.put(&proof, &to)?;
    guard.sync_parent(&to)
}

/// Moves the proofs that a dead holder left in its directory to their place: takes the lock once if
/// there are any. Called before it is concluded that something was not deleted.
///
/// # Errors
/// [`Kind::Busy`] naming the lock holder.
pub fn gather_proofs(store: &StoreDir, timeout: Duration) -> Result<()> {
    if !on_the_way(store).is_empty() {
        FencedLock::acquire_store(store, "look for deleted topics", timeout)?;
    }
    Ok(())
}

/// The topics whose proofs are in a holder's directory: their deletion is in progress, or its
/// process died.
fn on_the_way(store: &StoreDir) -> Vec<Uuid> {
    let root = &**store.root();
    let names = |dir: &str| -> Vec<String> {
        let entries = root.list(dir).unwrap_or_default();
        entries.into_iter().map(|entry| entry.name).collect()
    };
    names(".")
        .into_iter()
        .filter(|name| layout::parse_lock_dir(name).is_some())
        .flat_map(|lock| {
            names(&lock)
                .into_iter()
                .map(move |own| format!("{lock}/{own}"))
        })
        .flat_map(|own| names(&own))
        .filter_map(|name| layout::parse_proof_file(&name))
        .collect()
}

/// Whether a deletion of that topic is in progress, or its process died before the proof was in
/// place. Takes no lock.
pub(crate) fn is_on_the_way(store: &StoreDir, topic_id: Uuid) -> bool {
    on_the_way(store).contains(&topic_id)
}

/// Whether that replica was deleted with its topic.
pub(crate) fn is_deleted(store: &StoreDir, topic_id: Uuid, replica: Uuid) -> Result<bool> {
    let Some(deleted) = read(store, topic_id)? else {
        return Ok(false);
    };
    Ok(deleted.uuids.contains(&replica) && !is_back(store, &deleted.meta)?)
}

/// Removes the proofs that are no longer needed: of topics with no replica directory left, and of
/// topics that are back.
///
/// # Errors
/// [`Kind::Busy`]; what is in doubt stays.
pub fn forget_deleted(store: &StoreDir, timeout: Duration) -> Result<()> {
    let mut ineligible = Vec::new();
    for topic_id in list(store)? {
        if let Some(deleted) = read(store, topic_id)?
            && (is_back(store, &deleted.meta)? || is_all_gone(store, &deleted.meta))
        {
            ineligible.push(topic_id);
        }
    }
    if ineligible.is_empty() {
        return Ok(());
    }
    let guard = FencedLock::acquire_store(store, "forget deleted topics", timeout)?;
    for topic_id in ineligible {
        match guard.remove(&path_of(&topic_id)) {
            Err(e) if json_file::is_missing(&e) => {}
            done => done?,
        }
    }
    Ok(())
}

fn list(store: &StoreDir) -> Result<Vec<Uuid>> {
    match store.root().list(layout::DELETED_DIR) {
        Ok(entries) => Ok(entries
            .iter()
            .filter_map(|entry| layout::parse_deleted_file(&entry.name))
            .collect()),
        Err(e) if is_gone(&e) => Ok(Vec::new()),
        Err(e) => {
            let place = join(&**store.root(), layout::DELETED_DIR);
            Err(Error::io("list", place, e))
        }
    }
}

/// The topic file of a deleted topic. A damaged one proves nothing.
fn read(store: &StoreDir, topic_id: Uuid) -> Result<Option<Arc<DeletedTopic>>> {
    let (root, path) = (&**store.root(), path_of(&topic_id));
    if let Some(known) = store.deleted_topics().get(&topic_id)
        && known.file.is_current()?
    {
        return Ok(Some(known));
    }
    let (bytes, file) = match json_file::read_bytes(root, &path) {
        Ok(read) => read,
        Err(e) if json_file::is_missing(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let meta = TopicMeta::decode_proof(&bytes, &join(root, &path)).ok();
    let Some(meta) = meta.filter(|meta| meta.topic_id == topic_id) else {
        return Ok(None);
    };
    let replicas = meta.partitions.iter().flat_map(|p| &p.replicas);
    let retired = meta.retired.iter().map(|gone| gone.uuid);
    let deleted = Arc::new(DeletedTopic {
        uuids: replicas.map(|r| r.uuid).chain(retired).collect(),
        meta,
        file: CachedFile::new(store.root(), path, file),
    });
    store.deleted_topics().put(&topic_id, &deleted);
    Ok(Some(deleted))
}

fn is_back(store: &StoreDir, meta: &TopicMeta) -> Result<bool> {
    match KnownTopic::open(store, &meta.name) {
        Ok(found) => Ok(found.is_some_and(|found| found.meta().topic_id == meta.topic_id)),
        // It cannot be told apart from this topic's.
        Err(e) if e.kind() == Kind::Damaged => Ok(true),
        Err(e) => Err(e),
    }
}

fn is_all_gone(store: &StoreDir, meta: &TopicMeta) -> bool {
    let is_gone = |partition, broker, uuid| {
        let tp = TopicPartition::new(meta.name.clone(), partition);
        is_replica_gone(store, &tp, broker, meta.topic_id, uuid).unwrap_or(false)
    };
    let replicas = |p: &PartitionMeta| {
        let mut replicas = p.replicas.iter();
        replicas.all(|replica| is_gone(p.partition, replica.broker, replica.uuid))
    };
    let mut retired = meta.retired.iter();
    meta.partitions.iter().all(replicas)
        && retired.all(|gone| is_gone(gone.partition, gone.broker, gone.uuid))
}

fn is_replica_gone(
    store: &StoreDir,
    tp: &TopicPartition,
    broker: BrokerId,
    topic_id: Uuid,
    uuid: Uuid,
) -> Result<bool> {
    if !store.has_broker(broker)? {
        // The broker was unregistered, which requires an empty or lost log directory.
        return Ok(true);
    }
    let logs = store.logs_dir(broker)?;
    let is_there = |name: &str| match logs.id(name) {
        Ok(_) => Ok(true),
        Err(e) if is_gone(&e) => Ok(false),
        Err(e) => Err(Error::io("look at", join(&*logs, name), e)),
    };
    let name = layout::replica_dir(tp);
    if is_there(&layout::future_dir(tp, &uuid))? {
        return Ok(false);
    }
    if !is_there(&name)? {
        return Ok(true);
    }
    // A topic that was created again, or a stray, may be in its place. An unreadable one may be it.
    let text = read_small(&*logs, &format!("{name}/{}", PartitionMetadata::FILE))?;
    let ids = text.and_then(|text| PartitionMetadata::parse(&text).ok());
    Ok(ids.is_some_and(|ids| ids.topic_id != topic_id))
}
