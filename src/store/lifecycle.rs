//! Topics come and go.
//!
//! 1. A creator makes each replica directory under a name aside, locks its page, renames it into
//!    place, and keeps that lock until the topic file is in place: nobody takes it for a leftover.
//! 2. Only then, partition by partition in ascending order, comes the fenced lock and the topic
//!    file. The names are synced before the file is renamed.
//! 3. The rename of the topic file into the holder's directory is the moment of deletion. Then,
//!    with no fenced lock held, pages are marked and directories moved aside.
//! 4. A replica directory is moved aside only under its own append lock, if its ids are those to
//!    be removed and no topic file read under that lock names it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::commit_note::SYNC_FILE;
use super::configs::TopicConfigs;
use super::fenced_lock::FencedLock;
use super::layout;
use super::log_dir::LogDir;
use super::open::StoreDir;
use super::page::{Offline, PAGE_FILE, Page};
use super::replica::{Held, RETRY, Replica};
use super::topic_handle::TopicHandle;
use super::topics::{self, PartitionMeta, ReplicaMeta, TopicMeta};
use crate::disk::{Dir, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::storage::{FileKind, LeaderEpochs, PartitionMetadata, SegmentFile};
use crate::types::{
    BrokerId, EMBEDDED_BROKER, PARTITIONS_MAX, PartitionId, TopicName, TopicPartition, Uuid,
};

/// How a topic is to be made.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions, from 1.
    pub partitions: PartitionId,
    /// Configs set explicitly.
    pub configs: BTreeMap<String, String>,
}

/// How long a new page's lock may be in the hands of a probe.
const PROBED: Duration = Duration::from_secs(1);

/// A replica directory that was made and is locked until its topic file is in place.
struct Made {
    dir: Arc<dyn Dir>,
    page_file: Arc<dyn crate::disk::File>,
    page: Page,
    meta: ReplicaMeta,
}

/// Makes a topic.
///
/// # Errors
/// [`Kind::TopicExists`], [`Kind::InvalidConfig`], [`Kind::Usage`] (partitions), [`Kind::Busy`].
pub fn create_topic(
    store: &Arc<StoreDir>,
    new: &NewTopic,
    patience: Duration,
) -> Result<TopicMeta> {
    TopicConfigs::from_explicit(new.configs.clone())?;
    check_partitions(new.partitions)?;
    at_current_place(store, |logs| {
        if topics::read_if_there(store, &new.name)?.is_some() {
            return Err(exists(&new.name));
        }
        let topic_id = Uuid::random()?;
        let made = make_replicas(store, logs, new, 0, topic_id, patience)?;
        let meta = TopicMeta {
            name: new.name.clone(),
            topic_id,
            version: 1,
            explicit: new.configs.clone(),
            partitions: partition_metas(&made, 0),
        };
        finish(store, logs, &new.name, 0, made, || {
            let guard = FencedLock::acquire_store(store, "create a topic", patience)?;
            if topics::read_if_there(store, &new.name)?.is_some() {
                return Err(exists(&new.name));
            }
            if !logs.is_current(store)? {
                return Ok(None);
            }
            topics::replace(&guard, &meta)?;
            Ok(Some(meta))
        })
    })
}

/// Gives a topic more partitions: `partitions` in all.
///
/// # Errors
/// [`Kind::Usage`] if that is not more than there are.
pub fn add_partitions(
    store: &Arc<StoreDir>,
    name: &TopicName,
    partitions: PartitionId,
    patience: Duration,
) -> Result<TopicMeta> {
    check_partitions(partitions)?;
    at_current_place(store, |logs| {
        let (before, _) = topics::read(store, name)?;
        let first = before.partitions.len() as PartitionId;
        if partitions <= first {
            return Err(Error::new(
                Kind::Usage,
                format!("topic {name} has {first} partitions already; their number can only grow"),
            )
            .cure("say a larger number with --partitions"));
        }
        let new = NewTopic {
            name: name.clone(),
            partitions,
            configs: BTreeMap::new(),
        };
        let made = make_replicas(store, logs, &new, first, before.topic_id, patience)?;
        let more = partition_metas(&made, first);
        finish(store, logs, name, first, made, || {
            let guard = FencedLock::acquire_store(store, "add partitions", patience)?;
            let (mut meta, _) = topics::read(store, name)?;
            if meta.topic_id != before.topic_id || meta.partitions.len() as PartitionId != first {
                return Err(
                    Error::new(Kind::Busy, format!("topic {name} was changed meanwhile"))
                        .cure("look at it with 'mq-topics describe', then try again"),
                );
            }
            if !logs.is_current(store)? {
                return Ok(None);
            }
            meta.partitions.extend(more);
            meta.version += 1;
            topics::replace(&guard, &meta)?;
            Ok(Some(meta))
        })
    })
}

/// Makes replicas where they are placed, again if that place moved before the topic file was made:
/// nobody would look for them in the old one.
fn at_current_place(
    store: &Arc<StoreDir>,
    mut make: impl FnMut(&LogDir) -> Result<Option<TopicMeta>>,
) -> Result<TopicMeta> {
    for _ in 0..16 {
        // The embedded default: it is there without any daemon.
        let logs = LogDir::open(store, EMBEDDED_BROKER)?;
        if let Some(meta) = make(&logs)? {
            return Ok(meta);
        }
    }
    let text = format!("the log directory of broker {EMBEDDED_BROKER} keeps moving");
    Err(Error::new(Kind::Busy, text).cure("try again"))
}

/// Makes the replicas of the partitions from `first` on, or none.
fn make_replicas(
    store: &Arc<StoreDir>,
    logs: &LogDir,
    new: &NewTopic,
    first: PartitionId,
    topic_id: Uuid,
    patience: Duration,
) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for partition in first..new.partitions {
        let tp = TopicPartition::new(new.name.clone(), partition);
        match make_replica(store, logs, &tp, topic_id, patience) {
            Ok(replica) => made.push(replica),
            Err(e) => {
                discard(store, logs, &new.name, first, made);
                return Err(e);
            }
        }
    }
    Ok(made)
}

/// Puts the topic file in place, which is up to `publish`, and lets the replicas go; or removes
/// them.
fn finish(
    store: &Arc<StoreDir>,
    logs: &LogDir,
    name: &TopicName,
    first: PartitionId,
    made: Vec<Made>,
    publish: impl FnOnce() -> Result<Option<TopicMeta>>,
) -> Result<Option<TopicMeta>> {
    let dir = logs.dir();
    let synced = dir.sync().map_err(|e| Error::io("sync", dir.path(), e));
    match synced.and_then(|()| publish()) {
        Ok(Some(meta)) => {
            settle(made, meta.version)?;
            Ok(Some(meta))
        }
        other => {
            discard(store, logs, name, first, made);
            other
        }
    }
}

fn partition_metas(made: &[Made], first: PartitionId) -> Vec<PartitionMeta> {
    made.iter()
        .zip(first..)
        .map(|(made, n)| partition_meta(n, made))
        .collect()
}

/// Changes a topic's configs: `set`, then `unset`. A change of `flush.messages` begins a new
/// leader epoch, and to 1 it makes the log durable before it returns.
///
/// # Errors
/// [`Kind::InvalidConfig`], [`Kind::UnknownTopic`].
pub fn alter_configs(
    store: &Arc<StoreDir>,
    name: &TopicName,
    set: &BTreeMap<String, String>,
    unset: &[String],
    patience: Duration,
) -> Result<TopicMeta> {
    let guard = FencedLock::acquire_store(store, "alter a topic", patience)?;
    let (mut meta, _) = topics::read(store, name)?;
    let before = meta.configs()?;
    let mut explicit = meta.explicit.clone();
    explicit.extend(
        set.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    for name in unset {
        // An unknown name is refused, a known one that was not set is as it should be.
        TopicConfigs::check_name(name)?;
        explicit.remove(name);
    }
    let after = TopicConfigs::from_explicit(explicit.clone())?;
    let mode_changes = before.flush_messages != after.flush_messages;
    meta.explicit = explicit;
    meta.version += 1;
    if mode_changes {
        for partition in &mut meta.partitions {
            partition.leader_epoch += 1;
        }
    }
    topics::replace(&guard, &meta)?;
    drop(guard);
    if mode_changes {
        for partition in &meta.partitions {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            let page = super::writer::PartitionWriter::open(store, &tp, patience)?.make_ready()?;
            if after.every_message() && page.durable.offset < page.tail.end {
                super::committer::Committer::open(store, &tp, patience)?.commit(page.tail.end)?;
            }
        }
    }
    Ok(meta)
}

/// Deletes a topic and its data.
///
/// # Errors
/// [`Kind::UnknownTopic`], [`Kind::Busy`].
pub fn delete_topic(store: &Arc<StoreDir>, name: &TopicName, patience: Duration) -> Result<()> {
    let guard = FencedLock::acquire_store(store, "delete a topic", patience)?;
    let (meta, _) = topics::read(store, name)?;
    topics::remove(&guard, name)?;
    drop(guard);
    for partition in &meta.partitions {
        let tp = TopicPartition::new(name.clone(), partition.partition);
        for replica in &partition.replicas {
            remove_replica(
                store,
                &tp,
                replica.broker,
                meta.topic_id,
                replica.uuid,
                patience,
            )?;
        }
    }
    Ok(())
}

/// Moves a replica directory aside and removes it, if it is the one meant and no topic file names
/// it. A directory that is gone, or another's by now, is left alone.
pub fn remove_replica(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    topic_id: Uuid,
    uuid: Uuid,
    patience: Duration,
) -> Result<()> {
    let replica = match Replica::open(store, tp, broker) {
        Ok(replica) => replica,
        Err(e) if e.kind() == Kind::Fenced => {
            return super::rebuild::remove_lost(store, tp, broker, topic_id, uuid);
        }
        Err(e) => return Err(e),
    };
    let held = match replica.lock(patience) {
        Ok(held) => held,
        Err(e) if e.kind() == Kind::Fenced => return Ok(()),
        Err(e) => return Err(e),
    };
    if !is_replica(&replica, &held, topic_id, uuid)? || named(store, tp, uuid)? {
        return Ok(());
    }
    if let Some(mut page) = held.page()? {
        // Readers and writers of the old directory notice.
        held.take_offline(&mut page, Offline::Removed)?;
    }
    move_aside(&**replica.logs(), tp)
}

fn is_replica(replica: &Replica, held: &Held<'_>, topic_id: Uuid, uuid: Uuid) -> Result<bool> {
    if let Some(page) = held.page()? {
        return Ok(page.topic_id == topic_id && page.replica_uuid == uuid);
    }
    Ok(replica
        .metadata()?
        .is_some_and(|m| m.topic_id == topic_id && m.replica_uuid == Some(uuid)))
}

/// Whether the topic file names that replica directory.
fn named(store: &StoreDir, tp: &TopicPartition, uuid: Uuid) -> Result<bool> {
    let Some((meta, _)) = topics::read_if_there(store, &tp.topic)? else {
        return Ok(false);
    };
    Ok(meta
        .partitions
        .iter()
        .flat_map(|p| &p.replicas)
        .any(|r| r.uuid == uuid))
}

/// Renames the directory of `tp` aside and removes it. Under its append lock.
fn move_aside(logs: &dyn Dir, tp: &TopicPartition) -> Result<()> {
    let name = layout::replica_dir(tp);
    let aside = layout::aside_dir(tp, &Uuid::random()?);
    logs.rename_new(&name, &aside)
        .map_err(|e| Error::io("move aside", join(logs, &name), e))?;
    logs.sync().map_err(|e| Error::io("sync", logs.path(), e))?;
    remove_dir(logs, &aside);
    Ok(())
}

/// Removes a directory that is aside, as far as that goes: what stays is worthless, and the next
/// one to look removes it.
pub(super) fn remove_dir(logs: &dyn Dir, aside: &str) {
    for entry in logs.list(aside).unwrap_or_default() {
        let _ = logs.remove(&format!("{aside}/{}", entry.name));
    }
    let _ = logs.remove_dir(aside);
}

fn check_partitions(partitions: PartitionId) -> Result<()> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("{partitions} is no number of partitions"),
    )
    .cure(format!("use 1 to {PARTITIONS_MAX}")))
}

fn exists(name: &TopicName) -> Error {
    Error::new(
        Kind::TopicExists,
        format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
    )
    .cure("--if-not-exists takes that for done; 'mq-topics describe' shows it")
}

fn partition_meta(partition: PartitionId, made: &Made) -> PartitionMeta {
    PartitionMeta {
        partition,
        leader: made.meta.broker,
        leader_epoch: 0,
        replicas: vec![made.meta],
        isr: vec![made.meta.broker],
    }
}

/// Makes an empty replica directory, locked and in place.
fn make_replica(
    store: &Arc<StoreDir>,
    log_dir: &LogDir,
    tp: &TopicPartition,
    topic_id: Uuid,
    patience: Duration,
) -> Result<Made> {
    let logs = log_dir.dir();
    let aside = layout::aside_dir(tp, &Uuid::random()?);
    let made = fill_replica(store, log_dir, &aside, topic_id).inspect_err(|_| {
        remove_dir(&**logs, &aside);
    })?;
    let name = layout::replica_dir(tp);
    let started = store.clock().monotonic();
    loop {
        match logs.rename_new(&aside, &name) {
            Ok(()) => return Ok(made),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                remove_dir(&**logs, &aside);
                return Err(Error::io("put in place", join(&**logs, &name), e));
            }
        }
        // Somebody's directory stands there: one that is being made (its lock is kept until the
        // topic file is in place), or a leftover.
        let cleared = clear_leftover(store, logs, tp, topic_id, patience);
        let late = store.clock().monotonic() - started >= patience;
        if let Err(e) = cleared {
            remove_dir(&**logs, &aside);
            return Err(e);
        }
        if late {
            remove_dir(&**logs, &aside);
            return Err(Error::new(
                Kind::Busy,
                format!("the directory of {tp} keeps being made anew"),
            ));
        }
    }
}

fn fill_replica(store: &StoreDir, log_dir: &LogDir, aside: &str, topic_id: Uuid) -> Result<Made> {
    let logs = &**log_dir.dir();
    let error = |op| move |e| Error::io(op, join(logs, aside), e);
    logs.create_dir(aside).map_err(error("make"))?;
    let dir = logs.open_dir(aside).map_err(error("open"))?;
    let meta = ReplicaMeta {
        broker: log_dir.broker(),
        uuid: Uuid::random()?,
    };
    let mut epochs = LeaderEpochs::default();
    epochs.begin(0, 0);
    let ids = PartitionMetadata {
        topic_id,
        replica_uuid: Some(meta.uuid),
    };
    for (name, text) in [
        (PartitionMetadata::FILE, ids.to_text()),
        (LeaderEpochs::FILE, epochs.to_text()),
        (&SegmentFile::new(0, FileKind::Log).name(), String::new()),
        (&SegmentFile::new(0, FileKind::Index).name(), String::new()),
        (
            &SegmentFile::new(0, FileKind::TimeIndex).name(),
            String::new(),
        ),
        (SYNC_FILE, String::new()),
    ] {
        let file = dir
            .open(name, Open::CreateNew)
            .map_err(error("make a file in"))?;
        if !text.is_empty() {
            file.write_at(text.as_bytes(), 0)
                .map_err(error("write a file in"))?;
            file.sync_data().map_err(error("sync a file in"))?;
        }
    }
    let page_file = dir
        .open(PAGE_FILE, Open::CreateNew)
        .map_err(error("make the page of"))?;
    // Somebody's probe may have it for a moment; a remover has it for good.
    let started = store.clock().monotonic();
    while !page_file
        .try_lock(LockKind::Exclusive)
        .map_err(error("lock"))?
    {
        if store.clock().monotonic().saturating_sub(started) >= PROBED {
            let text = format!(
                "another process holds the lock of {}",
                join(logs, aside).display()
            );
            return Err(Error::new(Kind::Busy, text).cure("try again"));
        }
        store.clock().sleep(RETRY);
    }
    let mut page = Page::new(store.boot_id(), topic_id, meta.uuid, 0);
    page.write_first(&*page_file)
        .map_err(error("write the page of"))?;
    page_file.sync_data().map_err(error("sync the page of"))?;
    dir.sync().map_err(error("sync"))?;
    Ok(Made {
        dir,
        page_file,
        page,
        meta,
    })
}

/// Moves a leftover out of the way of a new replica.
///
/// # Errors
/// [`Kind::TopicExists`] if a topic file names it.
fn clear_leftover(
    store: &Arc<StoreDir>,
    logs: &Arc<dyn Dir>,
    tp: &TopicPartition,
    topic_id: Uuid,
    patience: Duration,
) -> Result<()> {
    let replica = match Replica::open_in(store, tp, Arc::clone(logs)) {
        Ok(replica) => replica,
        Err(e) if e.kind() == Kind::Fenced => {
            // A directory without a page: nobody's, if no topic file names the partition.
            let taken = topics::read_if_there(store, &tp.topic)?
                .is_some_and(|(meta, _)| (tp.partition as usize) < meta.partitions.len());
            return if taken {
                Err(exists(&tp.topic))
            } else {
                move_aside_if_there(&**logs, tp)
            };
        }
        Err(e) => return Err(e),
    };
    let held = match replica.lock(patience) {
        Ok(held) => held,
        Err(e) if e.kind() == Kind::Fenced => return Ok(()),
        Err(e) => return Err(e),
    };
    if let Some((meta, _)) = topics::read_if_there(store, &tp.topic)?
        && (meta.topic_id != topic_id || (tp.partition as usize) < meta.partitions.len())
    {
        return Err(exists(&tp.topic));
    }
    if let Some(mut page) = held.page()? {
        held.take_offline(&mut page, Offline::Removed)?;
    }
    move_aside(&**logs, tp)
}

fn move_aside_if_there(logs: &dyn Dir, tp: &TopicPartition) -> Result<()> {
    match move_aside(logs, tp) {
        Err(e)
            if e.io_source()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Lets the replica directories of a finished creation go, noting that their names are synced.
fn settle(made: Vec<Made>, version: u64) -> Result<()> {
    for mut replica in made {
        replica.page.synced_version = version;
        let written = replica.page.write(&*replica.page_file);
        written.map_err(|e| Error::io("write", join(&*replica.dir, PAGE_FILE), e))?;
        let _ = replica.page_file.unlock();
    }
    Ok(())
}

/// Removes the replica directories of a creation that failed, locks still held.
fn discard(
    store: &Arc<StoreDir>,
    logs: &LogDir,
    name: &TopicName,
    first: PartitionId,
    made: Vec<Made>,
) {
    for (replica, partition) in made.into_iter().zip(first..) {
        let tp = TopicPartition::new(name.clone(), partition);
        // The topic file may be in place though its sync failed: then the directory is not ours.
        if named(store, &tp, replica.meta.uuid).unwrap_or(true) {
            continue;
        }
        // What cannot be removed is a leftover that the next creator moves aside.
        let _ = move_aside(&**logs.dir(), &tp);
        drop(replica);
    }
}

/// A topic that is opened, or made first if it is missing.
pub fn open_or_create(
    store: &Arc<StoreDir>,
    new: &NewTopic,
    patience: Duration,
) -> Result<(TopicHandle, bool)> {
    for _ in 0..100 {
        if topics::read_if_there(store, &new.name)?.is_some() {
            return Ok((TopicHandle::open(store, &new.name)?, false));
        }
        match create_topic(store, new, patience) {
            Ok(_) => return Ok((TopicHandle::open(store, &new.name)?, true)),
            Err(e) if e.kind() == Kind::TopicExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::new(
        Kind::Busy,
        format!("topic {} keeps coming and going", new.name),
    ))
}
