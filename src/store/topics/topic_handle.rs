//! An open topic: its metadata and configs, and the file that they were read from, kept open so
//! that one look-up shows whether it is still the current one.
//!
//! Configs are read from the handle at each use, never cached beside it: replacing the handle
//! replaces its configs.

use std::sync::Arc;

use super::configs::TopicConfigs;
use super::known_topic::KnownTopic;
use super::topic_file;
use super::topic_meta::{PartitionMeta, TopicMeta};
use crate::error::{Error, Kind, Result};
use crate::store::dir::StoreDir;
use crate::types::{PartitionId, TopicName, Uuid};

/// An open topic, whose configs this version knows.
#[derive(Debug, Clone)]
pub struct TopicHandle {
    topic: KnownTopic,
    configs: Arc<TopicConfigs>,
}

impl TopicHandle {
    /// Reads the topic file, unless the cached content is current.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] with near names, [`Kind::InvalidConfig`] (written by a newer
    /// version), [`Kind::Damaged`], [`Kind::Io`].
    pub fn open(store: &StoreDir, name: &TopicName) -> Result<Self> {
        match KnownTopic::open(store, name)? {
            Some(topic) => Ok(TopicHandle {
                configs: topic.configs()?,
                topic,
            }),
            None => Err(topic_file::unknown(store, name)),
        }
    }

    /// The file's content.
    pub fn meta(&self) -> &TopicMeta {
        self.topic.meta()
    }

    /// Whether the path still names the file that was read: one look-up.
    pub fn is_current(&self) -> Result<bool> {
        self.topic.file().is_current()
    }

    /// Its configs, from the file that was read.
    pub fn configs(&self) -> &TopicConfigs {
        &self.configs
    }

    /// A partition.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], saying how many there are.
    pub fn partition(&self, partition: PartitionId) -> Result<&PartitionMeta> {
        self.meta().known_partition(partition)
    }

    /// The id of the replica directory of the partition's leader.
    pub fn replica_uuid(&self, partition: PartitionId) -> Result<Uuid> {
        let found = self.partition(partition)?;
        found.uuid_of(found.leader).ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                format!(
                    "the leader of {}:{partition} is not among its replicas",
                    self.meta().name
                ),
            )
        })
    }
}
