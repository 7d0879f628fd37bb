//! The content of a topic file: the topic's partitions, and each one's leader, leader epoch and
//! replica directories (broker and replica uuid).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::configs::TopicConfigs;
use crate::error::{Error, Kind, Result};
use crate::store::json_file;
use crate::types::{BrokerId, LeaderEpoch, PARTITIONS_MAX, PartitionId, TopicName, Uuid};

/// The content of a topic file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    /// The topic's name.
    pub name: TopicName,
    /// Its id: a topic that is created again gets another.
    pub topic_id: Uuid,
    /// Raised by each change.
    pub version: u64,
    /// Configs that were set explicitly.
    pub explicit: BTreeMap<String, String>,
    /// The partitions, from 0.
    pub partitions: Vec<PartitionMeta>,
    /// Replica directories that are no longer the topic's and may be removed.
    pub retired: Vec<Retired>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionMeta {
    /// Its number.
    pub partition: PartitionId,
    /// The broker that leads it.
    pub leader: BrokerId,
    /// The leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<ReplicaMeta>,
    /// The in-sync replicas (ISR). Never empty: the leader is always in it.
    pub isr: Vec<BrokerId>,
    /// A reassignment in progress. Meanwhile `replicas` has both the old and the new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassignment: Option<Reassignment>,
}

/// The target of a partition's reassignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reassignment {
    /// The brokers that hold a replica in the end, the preferred leader first.
    pub target: Vec<BrokerId>,
    /// The brokers that held one before, in order: a cancellation goes back to them.
    pub before: Vec<BrokerId>,
    /// Most bytes a second that each new replica copies; none: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u64>,
}

/// A replica directory that is no longer the topic's: the proof that it may be removed. The entry
/// is removed once the directory is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// Its partition.
    pub partition: PartitionId,
    /// The broker whose log directory it is in.
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

    /// The number of its replicas, or of the target's during a reassignment.
    pub fn replication_factor(&self) -> usize {
        let target = self.reassignment.as_ref().map(|r| r.target.len());
        target.unwrap_or(self.replicas.len())
    }

    /// Whether a broker holds a replica that is in sync.
    pub fn is_in_sync(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker)
    }

    /// The leader if every replica can lead: the first replica of those that stay.
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
pub(crate) struct Raw {
    pub(crate) name: String,
    pub(crate) topic_id: Uuid,
    pub(crate) version: u64,
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) partitions: Vec<PartitionMeta>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired: Vec<Retired>,
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

    pub(crate) fn no_partition(&self, partition: PartitionId) -> Error {
        let text = format!(
            "UNKNOWN_TOPIC_OR_PARTITION: {} has no partition {partition}",
            self.name
        );
        Error::new(Kind::UnknownTopic, text).cure(match self.partitions.len() {
            1 => "it has one partition, 0".to_owned(),
            n => format!("it has {n} partitions, 0 to {}", n.saturating_sub(1)),
        })
    }

    /// As [`TopicMeta::partition`], mutable.
    pub fn partition_mut(&mut self, partition: PartitionId) -> Option<&mut PartitionMeta> {
        let at = usize::try_from(partition).ok()?;
        self.partitions.get_mut(at)
    }

    /// Whether a broker holds a replica of a partition.
    pub fn has_replica(&self, partition: PartitionId, broker: BrokerId) -> bool {
        let found = self.partition(partition);
        found.is_some_and(|p| p.uuid_of(broker).is_some())
    }

    /// Refuses `min.insync.replicas` above the replication factor of a partition: acks=all would
    /// accept no record.
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

    /// Decodes the file of a deleted topic, whatever its name.
    pub(crate) fn decode_proof(bytes: &[u8], place: &std::path::Path) -> Result<Self> {
        let raw: Raw = json_file::decode(bytes, place.display())?;
        let name = TopicName::new(raw.name)?;
        TopicMeta::decode(bytes, &name, place)
    }

    pub(crate) fn decode(bytes: &[u8], name: &TopicName, place: &std::path::Path) -> Result<Self> {
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
                "its in-sync set lacks the leader, or names a broker without a replica",
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
