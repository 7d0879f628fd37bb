//! Topics come and go.
//!
//! 1. A creator makes each replica directory under a name aside, locks its page, renames it into
//!    place, and keeps that lock until the topic file is in place: nobody takes it for a leftover.
//! 2. Only then, partition by partition in ascending order, comes the fenced lock and the topic
//!    file. The names are synced before the file is renamed.
//! 3. The rename of the topic file into the holder's directory is the moment of deletion; from
//!    there it goes on to the graveyard. Then, with no fenced lock held, pages are marked and
//!    directories moved aside.
//! 4. A replica directory is moved aside only under its own append lock, if its ids are those to
//!    be removed and no topic file read under that lock names it.
//! 5. It is removed only if the graveyard knows its topic, or it was never used. Any other is a
//!    stray, kept under another name where its own is needed. So are all of a topic whose file is
//!    damaged: that is set aside, and proves nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::configs::TopicConfigs;
use super::fenced_lock::FencedLock;
use super::graveyard;
use super::json_file;
use super::layout;
use super::log_dir::LogDir;
use super::new_replica::{Made, discard, make_replicas, partition_metas, settle};
use super::open::StoreDir;
use super::removal::remove_replica;
use super::topic_handle::TopicHandle;
use super::topics::{self, TopicMeta};
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::types::{EMBEDDED_BROKER, PARTITIONS_MAX, PartitionId, TopicName, TopicPartition, Uuid};

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

/// How long the lock is waited for to forget what was deleted.
const SETTLE_PATIENCE: Duration = Duration::from_millis(500);

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
            retired: Vec::new(),
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
    graveyard::bury(&guard, &meta)?;
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
    // Where somebody has the lock, the next deletion or the daemon sees to it.
    let _ = graveyard::settle(store, SETTLE_PATIENCE);
    Ok(())
}

/// Deletes a topic whose file is damaged: that is copied to another name, then removed. It may be
/// all that says which replicas were the topic's, so these stay, as strays. Returns where the file
/// is kept.
///
/// # Errors
/// [`Kind::UnknownTopic`]; [`Kind::Busy`], also if the file can be read by now; what kept the file
/// from being copied.
pub fn set_topic_aside(
    store: &Arc<StoreDir>,
    name: &TopicName,
    patience: Duration,
) -> Result<PathBuf> {
    let guard = FencedLock::acquire_store(store, "set a damaged topic file aside", patience)?;
    match topics::read(store, name) {
        Err(e) if e.kind() == Kind::Damaged => {}
        Err(e) => return Err(e),
        Ok(_) => {
            return Err(
                Error::new(Kind::Busy, format!("the file of topic {name} was replaced"))
                    .cure("try again"),
            );
        }
    }
    let path = topics::path_in_store(name);
    let (bytes, _) = json_file::read_bytes(&**store.root(), &path)?;
    let kept = layout::damaged_topic_file(name, &Uuid::random()?);
    let to = format!("{}/{kept}", layout::TOPICS_DIR);
    // The copy is durable first: a crash leaves the one or both.
    guard.replace(&to, &bytes)?;
    guard.remove(&path)?;
    Ok(join(&**store.root(), &to))
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

pub(super) fn exists(name: &TopicName) -> Error {
    Error::new(
        Kind::TopicExists,
        format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
    )
    .cure("--if-not-exists takes that for done; 'mq-topics describe' shows it")
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
    )
    .cure("others change it all the time: try again"))
}
