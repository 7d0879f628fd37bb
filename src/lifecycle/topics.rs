//! Creation, alteration and deletion of topics.
//!
//! 1. A creator makes each replica directory under another name and renames it into place. Its
//!    state page names the creator, which counts as alive (`lifecycle::maker_lock`) until the topic
//!    file is in place: no process takes it for an orphan. Creators proceed in ascending order, by
//!    topic, partition and broker, so that two of them never wait for each other.
//! 2. Only then does the creator take the fenced lock and write the topic file. The names are
//!    synced before the file is renamed.
//! 3. The rename of the topic file into the lock holder's directory is the moment of deletion; from
//!    there it is moved to `deleted/`, as the deletion proof. Then, with no fenced lock held, state
//!    pages are marked and directories moved aside.
//! 4. A replica directory is moved aside only under its own append lock, if its ids are those to be
//!    removed and no topic file read under that lock names it.
//! 5. It is removed only if there is a deletion proof of its topic, or it was never used. Any other
//!    is a stray, kept under another name if its own is needed. So are all of a topic whose file is
//!    damaged: that file is set aside, and proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::removal::Remover;
use super::replica_creation::{
    LogDirs, MOVES_MAX, are_in_place, discard, keeps_moving, make_replicas, partition_metas, plans,
    settle,
};
use super::unpublished_replica::UnpublishedReplica;
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::partition::{Claim, InSync, begin_epoch, until_answered};
use crate::store::topics::topic_file;
use crate::store::{
    self, FORMAT_WITH_LOG_START, FencedLock, LogDir, StoreDir, TopicConfigs, TopicMeta, exists,
};
use crate::types::{
    BrokerId, EMBEDDED_BROKER, PARTITIONS_MAX, PartitionId, TopicName, TopicPartition, Uuid,
};

/// A topic to create, and where.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// The brokers of each partition, the preferred leader first.
    pub assignment: Vec<Vec<BrokerId>>,
    /// Configs set explicitly.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of so many partitions, each with the embedded broker's replica alone: that needs no
    /// daemon.
    pub fn embedded(name: TopicName, partitions: PartitionId) -> Self {
        let partitions = usize::try_from(partitions).unwrap_or(0);
        NewTopic {
            name,
            assignment: vec![vec![EMBEDDED_BROKER]; partitions],
            configs: BTreeMap::new(),
        }
    }

    /// The same topic with configs set explicitly.
    #[must_use]
    pub fn with_configs(mut self, configs: BTreeMap<String, String>) -> Self {
        self.configs = configs;
        self
    }
}

/// The configs that say when a log is synced.
const FLUSH_CONFIGS: [&str; 2] = ["flush.messages", "flush.ms"];
/// The timeout for the lock when deletion proofs are removed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Creates a topic.
///
/// # Errors
/// [`Kind::TopicExists`], [`Kind::InvalidConfig`], [`Kind::Usage`] (the assignment's shape),
/// [`Kind::BrokerState`] (its brokers), [`Kind::Busy`].
pub fn create_topic(store: &Arc<StoreDir>, new: &NewTopic, timeout: Duration) -> Result<TopicMeta> {
    let configs = TopicConfigs::from_explicit(new.configs.clone())?;
    check_partitions(new.assignment.len())?;
    check_assignment(&new.assignment)?;
    configs.check_replicas(new.assignment.iter().map(Vec::len).min().unwrap_or(0))?;
    if store::read_if_there(store, &new.name)?.is_some() {
        return Err(exists(&new.name));
    }
    raise_format_for(store, &configs, timeout)?;
    at_current_place(store, &new.assignment, |logs| {
        if store::read_if_there(store, &new.name)?.is_some() {
            return Err(exists(&new.name));
        }
        let topic_id = Uuid::random()?;
        let plans = plans(&new.name, topic_id, 0, &new.assignment);
        let made = make_replicas(store, logs, plans, timeout)?;
        let meta = TopicMeta {
            name: new.name.clone(),
            topic_id,
            version: 1,
            explicit: new.configs.clone(),
            partitions: partition_metas(&made, 0, &new.assignment),
            retired: Vec::new(),
        };
        finish(store, logs, made, |made| {
            let guard = FencedLock::acquire_store(store, "create a topic", timeout)?;
            if store::read_if_there(store, &new.name)?.is_some() {
                return Err(exists(&new.name));
            }
            if !logs.are_current(store)? || !are_in_place(made)? {
                return Ok(None);
            }
            store::replace(&guard, &meta)?;
            Ok(Some(meta))
        })
    })
}

/// Adds the partitions of the assignment to those that `known` has.
///
/// # Errors
/// Those of [`create_topic`]; [`Kind::Busy`] also if it has another number of them by now, or is
/// another topic of that name.
pub fn add_partitions(
    store: &Arc<StoreDir>,
    known: &TopicMeta,
    assignment: &[Vec<BrokerId>],
    timeout: Duration,
) -> Result<TopicMeta> {
    let (name, first) = (&known.name, known.partitions.len() as PartitionId);
    check_partitions(known.partitions.len() + assignment.len())?;
    check_assignment(assignment)?;
    let changed = || {
        Error::new(Kind::Busy, format!("topic {name} was changed meanwhile"))
            .cure("check it with 'mq-topics describe', then try again")
    };
    at_current_place(store, assignment, |logs| {
        let (before, _) = topic_file::read(store, name)?;
        let factor = assignment.iter().map(Vec::len).min();
        before.configs()?.check_replicas(factor.unwrap_or(0))?;
        let is_known = before.topic_id == known.topic_id;
        if !is_known || before.partitions.len() as PartitionId != first {
            return Err(changed());
        }
        let plans = plans(name, before.topic_id, first, assignment);
        let made = make_replicas(store, logs, plans, timeout)?;
        let more = partition_metas(&made, first, assignment);
        finish(store, logs, made, |made| {
            let guard = FencedLock::acquire_store(store, "add partitions", timeout)?;
            let mut meta = store::read_to_change(store, name)?;
            if meta.topic_id != before.topic_id || meta.partitions.len() as PartitionId != first {
                return Err(changed());
            }
            if !logs.are_current(store)? || !are_in_place(made)? {
                return Ok(None);
            }
            meta.partitions.extend(more);
            meta.version += 1;
            store::replace(&guard, &meta)?;
            Ok(Some(meta))
        })
    })
}

/// Makes replicas at their places. It repeats that if such a place moved before the topic file was
/// made (no process would look for them in the old one), or if they were removed by hand.
fn at_current_place(
    store: &Arc<StoreDir>,
    assignment: &[Vec<BrokerId>],
    mut make: impl FnMut(&LogDirs) -> Result<Option<TopicMeta>>,
) -> Result<TopicMeta> {
    for _ in 0..MOVES_MAX {
        let logs = LogDirs::open(store, assignment.iter().flatten().copied())?;
        if let Some(meta) = make(&logs)? {
            return Ok(meta);
        }
    }
    Err(keeps_moving())
}

/// Lets `publish` put the topic file in place, then releases the replicas; or removes them.
fn finish(
    store: &Arc<StoreDir>,
    logs: &LogDirs,
    made: Vec<UnpublishedReplica>,
    publish: impl FnOnce(&[UnpublishedReplica]) -> Result<Option<TopicMeta>>,
) -> Result<Option<TopicMeta>> {
    match logs.sync().and_then(|()| publish(&made)) {
        Ok(Some(meta)) => {
            settle(store, made, meta.version)?;
            Ok(Some(meta))
        }
        other => {
            discard(store, made);
            other
        }
    }
}

/// Changes a topic's configs: `set`, then `unset`. A change of `flush.messages` begins a new leader
/// epoch. If `flush.messages` or `flush.ms` is named, changed or not, each log is brought to that
/// epoch, and made durable if the topic asks for syncs, before this returns: so repeating the same
/// change completes one that was interrupted.
///
/// # Errors
/// [`Kind::InvalidConfig`], [`Kind::UnknownTopic`].
pub fn alter_configs(
    store: &Arc<StoreDir>,
    name: &TopicName,
    set: &BTreeMap<String, String>,
    unset: &[String],
    timeout: Duration,
) -> Result<TopicMeta> {
    let (meta, after) = until_answered(store, timeout, || {
        change_configs(store, name, set, unset, timeout)
    })?;
    let names_flush =
        |name: &&str| set.contains_key(*name) || unset.iter().any(|unset| unset == name);
    if FLUSH_CONFIGS.iter().any(names_flush) {
        let syncs =
            after.flush_messages != TopicConfigs::NEVER || after.flush_ms != TopicConfigs::NEVER;
        for partition in &meta.partitions {
            store.go_on()?;
            let tp = TopicPartition::new(name.clone(), partition.partition);
            let page =
                crate::partition::PartitionWriter::open(store, &tp, timeout)?.make_ready()?;
            if syncs && page.durable.offset < page.tail.end {
                crate::partition::Committer::open(store, &tp, timeout)?.commit(page.tail.end)?;
            }
        }
    }
    Ok(meta)
}

/// Raises the store's format version if an older program would misread a topic with these configs.
fn raise_format_for(store: &StoreDir, configs: &TopicConfigs, timeout: Duration) -> Result<()> {
    if configs.need_newer_format() {
        store::raise_format(store, FORMAT_WITH_LOG_START, timeout)?;
    }
    Ok(())
}

/// A topic's configs after a change.
fn changed_configs(
    meta: &TopicMeta,
    set: &BTreeMap<String, String>,
    unset: &[String],
) -> Result<TopicConfigs> {
    let mut explicit = meta.explicit.clone();
    explicit.extend(
        set.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    for name in unset {
        // An unknown name is refused; a known one that was not set needs no change.
        TopicConfigs::check_name(name)?;
        explicit.remove(name);
    }
    TopicConfigs::from_explicit(explicit)
}

/// Changes them in the topic file; returns the effective ones.
fn change_configs(
    store: &Arc<StoreDir>,
    name: &TopicName,
    set: &BTreeMap<String, String>,
    unset: &[String],
    timeout: Duration,
) -> Result<(TopicMeta, TopicConfigs)> {
    // Without the lock, which the raise takes; under it another change may ask for the raise.
    let (known, _) = topic_file::read(store, name)?;
    let wanted = changed_configs(&known, set, unset)?;
    if wanted.min_insync_replicas > known.configs()?.min_insync_replicas {
        known.check_min_insync(&wanted)?;
    }
    raise_format_for(store, &wanted, timeout)?;
    let guard = FencedLock::acquire_store(store, "alter a topic", timeout)?;
    let mut meta = store::read_to_change(store, name)?;
    let before = meta.configs()?;
    let after = changed_configs(&meta, set, unset)?;
    if after.need_newer_format() && !wanted.need_newer_format() {
        let text = format!("topic {name} was changed meanwhile");
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    }
    if after.min_insync_replicas > before.min_insync_replicas {
        meta.check_min_insync(&after)?;
    }
    let mode_changes = before.flush_messages != after.flush_messages;
    meta.explicit = after.explicit().clone();
    meta.version += 1;
    if mode_changes {
        // If a leader lacks records that another in-sync replica has, this is refused before
        // anything is changed.
        let extents = InSync::patient(store, timeout);
        for partition in &mut meta.partitions {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            let leader = partition.leader;
            begin_epoch(&extents, &tp, partition, leader, Claim::Clean)?;
        }
    }
    store::replace(&guard, &meta)?;
    Ok((meta, after))
}

/// Deletes a topic and its data.
///
/// # Errors
/// [`Kind::UnknownTopic`], [`Kind::Busy`].
pub fn delete_topic(store: &Arc<StoreDir>, name: &TopicName, timeout: Duration) -> Result<()> {
    let guard = FencedLock::acquire_store(store, "delete a topic", timeout)?;
    let (meta, _) = topic_file::read(store, name)?;
    store::keep_proof(&guard, &meta)?;
    drop(guard);
    let mut reachable = BTreeMap::new();
    let replicas = meta.partitions.iter().flat_map(|partition| {
        let replicas = partition.replicas.iter();
        replicas.map(|replica| (partition.partition, replica.broker, replica.uuid))
    });
    let retired = meta.retired.iter();
    let retired = retired.map(|gone| (gone.partition, gone.broker, gone.uuid));
    for (partition, broker, uuid) in replicas.chain(retired) {
        let tp = TopicPartition::new(name.clone(), partition);
        // A missing disk delays nothing: once it is back, its broker sweeps it.
        let remover = reachable.entry(broker).or_insert_with(|| {
            let opened = LogDir::open(store, broker);
            opened
                .is_ok()
                .then(|| Remover::new(store, broker, &|| true))
        });
        if let Some(remover) = remover {
            remover.remove(&tp, meta.topic_id, uuid, timeout)?;
        }
    }
    for remover in reachable.values_mut().flatten() {
        remover.finish()?;
    }
    // If another process holds the lock, the next deletion or the daemon does this.
    let _ = store::forget_deleted(store, SETTLE_TIMEOUT);
    Ok(())
}

/// Deletes a topic whose file is damaged: the file is copied to another name, then removed. It may
/// be the only record of the topic's replicas, so these stay, as strays. Returns where the file is
/// kept.
///
/// # Errors
/// [`Kind::UnknownTopic`]; [`Kind::Busy`], also if the file can be read by now; those of copying
/// the file.
pub fn set_topic_aside(
    store: &Arc<StoreDir>,
    name: &TopicName,
    timeout: Duration,
) -> Result<PathBuf> {
    let guard = FencedLock::acquire_store(store, "set a damaged topic file aside", timeout)?;
    match topic_file::read(store, name) {
        Err(e) if e.kind() == Kind::Damaged => {}
        Err(e) => return Err(e),
        Ok(_) => {
            return Err(
                Error::new(Kind::Busy, format!("the file of topic {name} was replaced"))
                    .cure("try again"),
            );
        }
    }
    let path = store::path_in_store(name);
    let (bytes, _) = store::read_bytes(&**store.root(), &path)?;
    let kept = store::damaged_topic_file(name, &Uuid::random()?);
    let to = format!("{}/{kept}", store::TOPICS_DIR);
    // The copy is durable first: after a crash there is one of the two, or both.
    guard.replace(&to, &bytes)?;
    guard.remove(&path)?;
    Ok(join(&**store.root(), &to))
}

/// Refuses a number of partitions that a topic cannot have.
///
/// # Errors
/// [`Kind::Usage`].
pub fn check_partitions(partitions: usize) -> Result<()> {
    if (1..=PARTITIONS_MAX as usize).contains(&partitions) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("{partitions} is not a number of partitions"),
    )
    .cure(format!("use 1 to {PARTITIONS_MAX}")))
}

/// Refuses an assignment whose shape is wrong; its brokers are checked elsewhere.
///
/// # Errors
/// [`Kind::Usage`] (INVALID_REPLICA_ASSIGNMENT).
pub fn check_assignment(assignment: &[Vec<BrokerId>]) -> Result<()> {
    let factor = assignment.first().map_or(0, Vec::len);
    for (partition, brokers) in assignment.iter().enumerate() {
        let why = if brokers.is_empty() {
            "no broker".to_owned()
        } else if let Some(twice) = repeated(brokers) {
            format!("broker {twice} twice")
        } else if brokers.len() != factor {
            format!("{}, and partition 0 has {factor}", replicas(brokers.len()))
        } else {
            continue;
        };
        return Err(Error::new(
            Kind::Usage,
            format!("INVALID_REPLICA_ASSIGNMENT: partition {partition} of it has {why}"),
        )
        .cure("give each partition as many brokers as the others, each of them once"));
    }
    Ok(())
}

fn replicas(count: usize) -> String {
    match count {
        1 => "1 replica".to_owned(),
        n => format!("{n} replicas"),
    }
}

pub(crate) fn repeated(brokers: &[BrokerId]) -> Option<BrokerId> {
    let mut seen = BTreeSet::new();
    brokers
        .iter()
        .find(|broker| !seen.insert(**broker))
        .copied()
}
