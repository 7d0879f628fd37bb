//! `topics/NAME.json`: what a topic is. It alone says who leads, in which epoch, and who is in
//! sync. Changed only under the store's fenced lock; read without any.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::configs::TopicConfigs;
use super::fenced_lock::{FencedGuard, Staged};
use super::open::StoreDir;
use super::{json_file, layout};
use crate::disk::{Dir, EntryKind, File, join};
use crate::error::{Error, Kind, Result, near_names};
use crate::types::{BrokerId, LeaderEpoch, PARTITIONS_MAX, PartitionId, TopicName, Uuid};

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    /// Its name, as in the file's.
    pub name: TopicName,
    /// Made with it: a topic made anew under the name is another.
    pub topic_id: Uuid,
    /// Raised by each change, from 1.
    pub version: u64,
    /// What was set; see [`TopicMeta::configs`].
    pub explicit_configs: BTreeMap<String, String>,
    /// By number, from 0; at least one.
    pub partitions: Vec<PartitionMeta>,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionMeta {
    /// Its number.
    pub partition: PartitionId,
    /// Who holds a replica, the preferred leader first.
    pub replicas: Vec<ReplicaMeta>,
    /// Who of them is in sync.
    pub isr: Vec<BrokerId>,
    /// Who of them takes appends.
    pub leader: BrokerId,
    /// How often that changed.
    pub leader_epoch: LeaderEpoch,
}

/// A replica of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaMeta {
    /// Who holds it.
    pub broker: BrokerId,
    /// Made with its directory: one made anew is another replica.
    pub uuid: Uuid,
}

/// The file's members.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    name: String,
    topic_id: Uuid,
    version: u64,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionMeta>,
}

/// A topic file that was read, kept open.
#[derive(Debug, Clone)]
pub struct TopicFile {
    topics: Arc<dyn Dir>,
    name: String,
    file: Arc<dyn File>,
}

impl TopicFile {
    /// Whether the path still names the file that was read: one look-up.
    pub fn is_current(&self) -> Result<bool> {
        let error = |e| Error::io("look at", join(&*self.topics, &self.name), e);
        match self.topics.id(&self.name) {
            Ok(id) => Ok(id == self.file.id().map_err(error)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(error(e)),
        }
    }
}

impl TopicMeta {
    /// The configs that what was set makes.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for a file of a version that knew others.
    pub fn configs(&self) -> Result<TopicConfigs> {
        TopicConfigs::from_explicit(&self.explicit_configs).map_err(|e| e.at(&self.name))
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        json_file::encode(&Content {
            name: self.name.as_str().to_owned(),
            topic_id: self.topic_id,
            version: self.version,
            configs: self.explicit_configs.clone(),
            partitions: self.partitions.clone(),
        })
    }

    /// From a file's bytes; `place` names the file in errors.
    ///
    /// # Errors
    /// [`Kind::Damaged`].
    pub fn decode(bytes: &[u8], place: impl std::fmt::Display) -> Result<Self> {
        let content: Content = json_file::decode(bytes, &place)?;
        let wrong = |why: &str| {
            Error::new(Kind::Damaged, format!("{place} is damaged: {why}"))
                .cure("restore it from a backup; it is not to be edited")
        };
        let name = TopicName::new(content.name).map_err(|e| wrong(&e.to_string()))?;
        let meta = TopicMeta {
            name,
            topic_id: content.topic_id,
            version: content.version,
            explicit_configs: content.configs,
            partitions: content.partitions,
        };
        meta.check().map_err(wrong)?;
        Ok(meta)
    }

    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.topic_id == Uuid::ZERO {
            return Err("it has no topic id");
        }
        if self.partitions.is_empty() || self.partitions.len() > PARTITIONS_MAX as usize {
            return Err("it has no partition, or too many");
        }
        for (number, partition) in self.partitions.iter().enumerate() {
            if partition.partition as usize != number {
                return Err("its partitions are not numbered from 0 in order");
            }
            let brokers: BTreeSet<_> = partition.replicas.iter().map(|r| r.broker).collect();
            let in_sync: BTreeSet<_> = partition.isr.iter().copied().collect();
            if brokers.len() != partition.replicas.len() || in_sync.len() != partition.isr.len() {
                return Err("a broker is named twice");
            }
            if brokers.iter().any(|broker| *broker < 0) || partition.leader_epoch < 0 {
                return Err("a negative number");
            }
            if !brokers.contains(&partition.leader) {
                return Err("a leader that has no replica");
            }
            if !in_sync.is_subset(&brokers) {
                return Err("one in sync that has no replica");
            }
        }
        Ok(())
    }
}

/// Reads a topic.
///
/// # Errors
/// [`Kind::UnknownTopic`] with near names; [`Kind::Damaged`]; [`Kind::Io`].
pub fn read(store: &StoreDir, name: &TopicName) -> Result<(TopicMeta, TopicFile)> {
    read_if_there(store, name)?.ok_or_else(|| unknown(store, name))
}

/// Reads a topic; none if there is none.
pub fn read_if_there(store: &StoreDir, name: &TopicName) -> Result<Option<(TopicMeta, TopicFile)>> {
    let topics = store.topics_dir()?;
    let file_name = layout::topic_file(name);
    let (bytes, file) = match json_file::read_bytes(&**topics, &file_name) {
        Ok(read) => read,
        Err(e) if json_file::is_missing(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let place = join(&**topics, &file_name);
    let meta = TopicMeta::decode(&bytes, place.display())?;
    if meta.name != *name {
        return Err(Error::new(
            Kind::Damaged,
            format!(
                "{} is damaged: it is the file of topic {}",
                place.display(),
                meta.name
            ),
        )
        .cure("restore it from a backup"));
    }
    let file = TopicFile {
        topics: Arc::clone(topics),
        name: file_name,
        file,
    };
    Ok(Some((meta, file)))
}

/// The names of all topics, sorted.
pub fn list(store: &StoreDir) -> Result<Vec<TopicName>> {
    let topics = store.topics_dir()?;
    let entries = topics
        .list(".")
        .map_err(|e| Error::io("list", topics.path(), e))?;
    let mut names: Vec<TopicName> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| layout::parse_topic_file(&entry.name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads all topics, sorted by name. One deleted meanwhile is left out.
pub fn read_all(store: &StoreDir) -> Result<Vec<(TopicMeta, TopicFile)>> {
    list(store)?
        .iter()
        .filter_map(|name| read_if_there(store, name).transpose())
        .collect()
}

/// Makes a topic's file under the lock: the moment from which there is the topic.
///
/// # Errors
/// [`Kind::TopicExists`]; as [`FencedGuard::publish`].
pub fn write_new(guard: &FencedGuard, staged: Staged, name: &TopicName) -> Result<()> {
    let path = path(name);
    match guard.dir().id(&path) {
        Ok(_) => Err(Error::new(
            Kind::TopicExists,
            format!("TOPIC_ALREADY_EXISTS: there is a topic {name}"),
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => guard.publish(staged, &path),
        Err(e) => Err(Error::io("look at", join(&**guard.dir(), &path), e)),
    }
}

/// Replaces a topic's file under the lock. The caller has read it under the same lock and raised
/// its version.
///
/// # Errors
/// [`Kind::Damaged`] for a topic that could not be read back; as [`FencedGuard::replace`].
pub fn replace(guard: &FencedGuard, meta: &TopicMeta) -> Result<()> {
    meta.check().map_err(|why| {
        Error::new(
            Kind::Damaged,
            format!("topic {} cannot be written: {why}", meta.name),
        )
    })?;
    guard.replace(&path(&meta.name), &meta.encode())
}

/// Removes a topic's file under the lock: the moment from which there is no topic.
///
/// # Errors
/// As [`FencedGuard::remove`].
pub fn remove(guard: &FencedGuard, name: &TopicName) -> Result<()> {
    guard.remove(&path(name))
}

/// What to tell who makes the topic `new` where these are: Kafka's metrics take `.` and `_` for
/// one character.
pub fn warn_collision<'a>(
    new: &TopicName,
    known: impl IntoIterator<Item = &'a TopicName>,
) -> Option<String> {
    let other = known.into_iter().find(|known| known.collides_with(new))?;
    Some(format!(
        "topics {new} and {other} would share their metrics' name in Kafka"
    ))
}

/// The topic's file, from the store's directory.
fn path(name: &TopicName) -> String {
    format!("{}/{}", layout::TOPICS_DIR, layout::topic_file(name))
}

fn unknown(store: &StoreDir, name: &TopicName) -> Error {
    let error = Error::new(
        Kind::UnknownTopic,
        format!("UNKNOWN_TOPIC_OR_PARTITION: no topic {name}"),
    );
    let known = list(store).unwrap_or_default();
    let near = near_names(name.as_str(), known.iter().map(TopicName::as_str));
    if near.is_empty() {
        error.cure("mq-topics list shows those there are")
    } else {
        error.cure(format!("did you mean {}?", near.join(", ")))
    }
}

#[cfg(test)]
mod tests;
