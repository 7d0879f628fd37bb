//! Topic files: `topics/NAME.json`. The file alone says which partitions a topic has, who leads
//! them, in which epoch, and by which replica directories (broker and replica uuid).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::configs::TopicConfigs;
use super::fenced_lock::FencedGuard;
use super::json_file;
use super::kept::KeptFile;
use super::known_topic::KnownTopic;
use super::layout;
use super::open::StoreDir;
use crate::disk::{EntryKind, join};
use crate::error::{Error, Kind, Result, near_names};
use crate::types::{BrokerId, LeaderEpoch, PARTITIONS_MAX, PartitionId, TopicName, Uuid};

/// What a topic file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    /// The topic's name.
    pub name: TopicName,
    /// Its id: a topic made anew has another.
    pub topic_id: Uuid,
    /// Raised by each change.
    pub version: u64,
    /// Configs that were set explicitly.
    pub explicit: BTreeMap<String, String>,
    /// The partitions, from 0.
    pub partitions: Vec<PartitionMeta>,
    /// Replica directories that were the topic's and may be removed.
    pub retired: Vec<Retired>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionMeta {
    /// Its number.
    pub partition: PartitionId,
    /// Who leads it.
    pub leader: BrokerId,
    /// How often that changed.
    pub leader_epoch: LeaderEpoch,
    /// Who holds a replica, the preferred leader first.
    pub replicas: Vec<ReplicaMeta>,
    /// Who of them is in sync. Never empty: the leader is always in it.
    pub isr: Vec<BrokerId>,
    /// A reassignment under way. Meanwhile `replicas` are the old ones and the new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassignment: Option<Reassignment>,
}

/// Where a partition's replicas are going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reassignment {
    /// Who holds a replica in the end, the preferred leader first.
    pub target: Vec<BrokerId>,
    /// Who held one before, in that order: a cancellation goes back to it.
    pub before: Vec<BrokerId>,
    /// Most bytes a second that each new replica copies; none: as fast as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u64>,
}

/// A replica directory that is the topic's no more: the proof that it may be removed. The entry
/// goes once the directory is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// Of which partition.
    pub partition: PartitionId,
    /// In whose log directory.
    pub broker: BrokerId,
    /// The replica directory's id.
    pub uuid: Uuid,
}

impl PartitionMeta {
    /// The id of a broker's replica directory.
    pub fn uuid_of(&self, broker: BrokerId) -> Option<Uuid> {
        let mut replicas = self.replicas.iter();
        replicas.find(|r| r.broker == broker).map(|r| r.uuid)
    }

    /// How many replicas it has, or is to have once a reassignment is done.
    pub fn replication_factor(&self) -> usize {
        let target = self.reassignment.as_ref().map(|r| r.target.len());
        target.unwrap_or(self.replicas.len())
    }

    /// Whether a broker holds a replica that is in sync.
    pub fn is_in_sync(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker)
    }

    /// Who leads it where everybody can: the first replica, of those that stay.
    pub fn preferred_leader(&self) -> BrokerId {
        let target = self.reassignment.as_ref().map(|r| r.target.first());
        let first = self.replicas.first().map(|r| r.broker);
        target.flatten().copied().or(first).unwrap_or(self.leader)
    }
}

/// A replica: broker and directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaMeta {
    /// The broker.
    pub broker: BrokerId,
    /// The replica directory's id.
    pub uuid: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    topic_id: Uuid,
    version: u64,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionMeta>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<Retired>,
}

impl TopicMeta {
    /// The configs, defaults filled in.
    pub fn configs(&self) -> Result<TopicConfigs> {
        TopicConfigs::from_explicit(self.explicit.clone())
    }

    /// A partition: they are numbered from 0.
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionMeta> {
        let at = usize::try_from(partition).ok()?;
        self.partitions.get(at)
    }

    /// A partition that the topic has.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], saying how many there are.
    pub fn known_partition(&self, partition: PartitionId) -> Result<&PartitionMeta> {
        let found = self.partition(partition);
        found.ok_or_else(|| self.no_partition(partition))
    }

    pub(super) fn no_partition(&self, partition: PartitionId) -> Error {
        let text = format!(
            "UNKNOWN_TOPIC_OR_PARTITION: {} has no partition {partition}",
            self.name
        );
        Error::new(Kind::UnknownTopic, text).cure(match self.partitions.len() {
            1 => "it has one partition, 0".to_owned(),
            n => format!("it has {n} partitions, 0 to {}", n.saturating_sub(1)),
        })
    }

    /// As [`TopicMeta::partition`], to be changed.
    pub fn partition_mut(&mut self, partition: PartitionId) -> Option<&mut PartitionMeta> {
        let at = usize::try_from(partition).ok()?;
        self.partitions.get_mut(at)
    }

    /// Whether a broker holds a replica of a partition.
    pub fn has_replica(&self, partition: PartitionId, broker: BrokerId) -> bool {
        let found = self.partition(partition);
        found.is_some_and(|p| p.uuid_of(broker).is_some())
    }

    /// Refuses `min.insync.replicas` above what a partition has, or is to have: it would take no
    /// record with acks=all.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`].
    pub fn check_min_insync(&self, configs: &TopicConfigs) -> Result<()> {
        let factors = self
            .partitions
            .iter()
            .map(PartitionMeta::replication_factor);
        configs.check_replicas(factors.min().unwrap_or(0))
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        json_file::encode(&Raw {
            name: self.name.as_str().to_owned(),
            topic_id: self.topic_id,
            version: self.version,
            configs: self.explicit.clone(),
            partitions: self.partitions.clone(),
            retired: self.retired.clone(),
        })
    }

    /// The file of a deleted topic: of whatever name.
    pub(super) fn decode_buried(bytes: &[u8], place: &std::path::Path) -> Result<Self> {
        let raw: Raw = json_file::decode(bytes, place.display())?;
        let name = TopicName::new(raw.name)?;
        TopicMeta::decode(bytes, &name, place)
    }

    fn decode(bytes: &[u8], name: &TopicName, place: &std::path::Path) -> Result<Self> {
        let raw: Raw = json_file::decode(bytes, place.display())?;
        let damaged = |why: &str| {
            Error::new(
                Kind::Damaged,
                format!("{} is damaged: {why}", place.display()),
            )
            .cure("restore it from a backup")
        };
        if raw.name != name.as_str() {
            return Err(damaged("it names another topic"));
        }
        let numbers = raw.partitions.iter().map(|p| p.partition);
        if raw.partitions.is_empty()
            || raw.partitions.len() > PARTITIONS_MAX as usize
            || !numbers.eq(0..raw.partitions.len() as PartitionId)
        {
            return Err(damaged("its partitions are not numbered from 0"));
        }
        let led = |p: &PartitionMeta| {
            p.leader_epoch >= 0 && p.replicas.iter().any(|r| r.broker == p.leader)
        };
        if !raw.partitions.iter().all(led) {
            return Err(damaged("a leader is not among its replicas"));
        }
        let in_sync = |p: &PartitionMeta| {
            p.isr.contains(&p.leader) && p.isr.iter().all(|id| p.uuid_of(*id).is_some())
        };
        if !raw.partitions.iter().all(in_sync) {
            return Err(damaged(
                "its in-sync set lacks the leader, or names a stranger",
            ));
        }
        Ok(TopicMeta {
            name: name.clone(),
            topic_id: raw.topic_id,
            version: raw.version,
            explicit: raw.configs,
            partitions: raw.partitions,
            retired: raw.retired,
        })
    }
}

/// A topic file that was read, so that it can be told from its successors.
pub type TopicFile = KeptFile;

/// Reads a topic, unless what was read last is current: whoever goes through its partitions reads
/// it once.
///
/// # Errors
/// [`Kind::UnknownTopic`] with near names, [`Kind::Damaged`].
pub fn read(store: &StoreDir, name: &TopicName) -> Result<(Arc<TopicMeta>, TopicFile)> {
    match read_if_there(store, name)? {
        Some(found) => Ok(found),
        None => Err(unknown(store, name)),
    }
}

/// As [`read`]; `None` if there is none of that name.
pub fn read_if_there(
    store: &StoreDir,
    name: &TopicName,
) -> Result<Option<(Arc<TopicMeta>, TopicFile)>> {
    let known = KnownTopic::open(store, name)?;
    Ok(known.map(|topic| (Arc::clone(topic.meta()), topic.file().clone())))
}

/// A copy of what [`read`] reads, to be changed and written anew.
///
/// # Errors
/// As [`read`].
pub fn read_to_change(store: &StoreDir, name: &TopicName) -> Result<TopicMeta> {
    read(store, name).map(|(meta, _)| Arc::unwrap_or_clone(meta))
}

/// Reads the file; `None` if there is none.
pub(super) fn load(store: &StoreDir, name: &TopicName) -> Result<Option<(TopicMeta, TopicFile)>> {
    let dir = store.topics_dir()?;
    let path = layout::topic_file(name);
    let (bytes, file) = match json_file::read_bytes(&**dir, &path) {
        Ok(read) => read,
        Err(e) if json_file::is_missing(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let place = join(&**dir, &path);
    let meta = TopicMeta::decode(&bytes, name, &place).map_err(|e| {
        e.cure(format!(
            "restore it from a backup, or 'mq-topics delete {name}': that sets the file aside and \
             keeps the data"
        ))
    })?;
    Ok(Some((meta, KeptFile::new(dir, path, file))))
}

/// The names of all topics, sorted.
pub fn list(store: &StoreDir) -> Result<Vec<TopicName>> {
    let dir = store.topics_dir()?;
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let mut names: Vec<TopicName> = entries
        .iter()
        .filter(|entry| entry.kind != EntryKind::Dir)
        .filter_map(|entry| layout::parse_topic_file(&entry.name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// UNKNOWN_TOPIC_OR_PARTITION, with near names.
pub fn unknown(store: &StoreDir, name: &TopicName) -> Error {
    let known = list(store).unwrap_or_default();
    let near = near_names(name.as_str(), known.iter().map(TopicName::as_str));
    let cure = if near.is_empty() {
        "'mq-topics list' shows the topics".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    Error::new(
        Kind::UnknownTopic,
        format!(
            "UNKNOWN_TOPIC_OR_PARTITION: there is no topic '{name}' in {}",
            store.root().path().display()
        ),
    )
    .cure(cure)
}

/// Puts a topic file in place: a new one, or the next version.
pub fn replace(guard: &FencedGuard, meta: &TopicMeta) -> Result<()> {
    guard.replace(&path_in_store(&meta.name), &meta.encode())
}

/// What became of a change of several topics.
#[derive(Debug, Default)]
pub struct Updated {
    /// Those that were changed, as they are now.
    pub changed: Vec<TopicMeta>,
    /// Those whose file is damaged or cannot be read, or whose change failed: they are as they were.
    pub failed: Vec<(TopicName, Error)>,
}

impl Updated {
    /// Why that topic failed, if it did.
    pub fn failure(&self, name: &TopicName) -> Option<&Error> {
        let mut failed = self.failed.iter();
        failed.find(|(of, _)| of == name).map(|(_, error)| error)
    }
}

/// Changes topics together, each by one replacement, each for itself: one that is damaged keeps no
/// other from its change. `change` is given every topic of `names` that is there, and says whether it
/// changed it. The version is raised here.
///
/// # Errors
/// Those of [`FencedGuard::replace_all`].
pub fn update_each(
    store: &StoreDir,
    guard: &FencedGuard,
    names: &[TopicName],
    mut change: impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Updated> {
    let mut updated = Updated::default();
    for name in names {
        match changed_one(store, name, &mut change) {
            Ok(changed) => updated.changed.extend(changed),
            Err(e) => updated.failed.push((name.clone(), e)),
        }
    }
    replace_all(guard, &updated.changed)?;
    Ok(updated)
}

/// As [`update_each`], all or none, for what somebody asked for as a whole. Returns what was changed.
///
/// # Errors
/// Of the first that failed: then nothing is changed. Those of [`FencedGuard::replace_all`].
pub fn update_all(
    store: &StoreDir,
    guard: &FencedGuard,
    names: &[TopicName],
    mut change: impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Vec<TopicMeta>> {
    let mut changed = Vec::new();
    for name in names {
        changed.extend(changed_one(store, name, &mut change)?);
    }
    replace_all(guard, &changed)?;
    Ok(changed)
}

/// The topic as `change` wants it, if it is there and anything changes.
fn changed_one(
    store: &StoreDir,
    name: &TopicName,
    change: &mut impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Option<TopicMeta>> {
    let Some((meta, _)) = read_if_there(store, name)? else {
        return Ok(None);
    };
    let mut meta = Arc::unwrap_or_clone(meta);
    if !change(&mut meta)? {
        return Ok(None);
    }
    meta.version += 1;
    Ok(Some(meta))
}

fn replace_all(guard: &FencedGuard, changed: &[TopicMeta]) -> Result<()> {
    let file = |meta: &TopicMeta| (path_in_store(&meta.name), meta.encode());
    guard.replace_all(&changed.iter().map(file).collect::<Vec<_>>())
}

pub(super) fn path_in_store(name: &TopicName) -> String {
    format!("{}/{}", layout::TOPICS_DIR, layout::topic_file(name))
}
