//! A topic as a process has it open: its metadata, and the file that was read, kept open so that
//! one look-up tells whether it is still the current one.

use super::configs::TopicConfigs;
use super::open::StoreDir;
use super::topics::{self, PartitionMeta, TopicFile, TopicMeta};
use crate::error::{Error, Kind, Result};
use crate::types::{EMBEDDED_BROKER, PartitionId, TopicName, Uuid};

/// An open topic.
#[derive(Debug)]
pub struct TopicHandle {
    meta: TopicMeta,
    file: TopicFile,
}

impl TopicHandle {
    /// Reads the topic file.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] with near names, [`Kind::Damaged`], [`Kind::Io`].
    pub fn open(store: &StoreDir, name: &TopicName) -> Result<Self> {
        let (meta, file) = topics::read(store, name)?;
        Ok(TopicHandle { meta, file })
    }

    /// What the file said.
    pub fn meta(&self) -> &TopicMeta {
        &self.meta
    }

    /// Whether the path still names the file that was read: one look-up.
    pub fn is_current(&self) -> Result<bool> {
        self.file.is_current()
    }

    /// Its configs.
    pub fn configs(&self) -> Result<TopicConfigs> {
        self.meta.configs()
    }

    /// A partition.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], saying how many there are.
    pub fn partition(&self, partition: PartitionId) -> Result<&PartitionMeta> {
        usize::try_from(partition)
            .ok()
            .and_then(|at| self.meta.partitions.get(at))
            .ok_or_else(|| {
                let count = self.meta.partitions.len();
                Error::new(
                    Kind::UnknownTopic,
                    format!(
                        "UNKNOWN_TOPIC_OR_PARTITION: {} has no partition {partition}",
                        self.meta.name
                    ),
                )
                .cure(match count {
                    1 => "it has one partition, 0".to_owned(),
                    n => format!("it has {n} partitions, 0 to {}", n - 1),
                })
            })
    }

    /// A partition that the embedded broker leads.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if another broker leads it.
    pub fn led_here(&self, partition: PartitionId) -> Result<&PartitionMeta> {
        let found = self.partition(partition)?;
        if found.leader == EMBEDDED_BROKER {
            return Ok(found);
        }
        Err(Error::new(
            Kind::Fenced,
            format!(
                "NOT_LEADER_OR_FOLLOWER: broker {} leads {}:{partition}",
                found.leader, self.meta.name
            ),
        )
        .cure("try again; 'mq-topics describe' shows who leads"))
    }

    /// The id of the replica directory of the partition's leader.
    pub fn replica_uuid(&self, partition: PartitionId) -> Result<Uuid> {
        let found = self.partition(partition)?;
        found
            .replicas
            .iter()
            .find(|r| r.broker == found.leader)
            .map(|r| r.uuid)
            .ok_or_else(|| {
                Error::new(
                    Kind::Damaged,
                    format!(
                        "the leader of {}:{partition} is not among its replicas",
                        self.meta.name
                    ),
                )
            })
    }
}
