//! Creation of topics and partitions, and the placement of their replicas.

use std::collections::{BTreeMap, BTreeSet};

use super::admin::Admin;
use crate::cluster::placement::{self, place, place_of};
use crate::cluster::{Wanted, candidates};
use crate::error::{Error, Kind, Result};
use crate::lifecycle;
use crate::store::topics::topic_file;
use crate::store::{LogDir, PartitionMeta, TopicHandle, TopicMeta};
use crate::types::{BrokerId, EMBEDDED_BROKER, PartitionId, TopicName, Uuid};

/// What topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRequest {
    /// Its name.
    pub name: TopicName,
    /// How many partitions and replicas, or an explicit assignment.
    pub replicas: NewReplicas,
    /// Configs set explicitly.
    pub configs: BTreeMap<String, String>,
}

/// The replicas of a new topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewReplicas {
    /// Placed over the live brokers and their racks.
    Placed {
        /// How many partitions, from 1.
        partitions: PartitionId,
        /// How many replicas each, from 1. With one, no daemon is needed.
        replication_factor: usize,
    },
    /// The brokers of each partition, the preferred leader first.
    Assigned(Vec<Vec<BrokerId>>),
}

impl TopicRequest {
    /// A topic of this many partitions with one replica each.
    pub fn new(name: TopicName, partitions: PartitionId) -> Self {
        TopicRequest {
            name,
            replicas: NewReplicas::Placed {
                partitions,
                replication_factor: 1,
            },
            configs: BTreeMap::new(),
        }
    }
}

impl Admin {
    /// Creates a topic.
    ///
    /// # Errors
    /// [`Kind::TopicExists`], [`Kind::InvalidConfig`], [`Kind::Usage`]; [`Kind::BrokerState`] for
    /// more replicas than live brokers, and for unknown ones.
    pub fn create_topic(&self, new: &TopicRequest) -> Result<TopicMeta> {
        let new = lifecycle::NewTopic {
            name: new.name.clone(),
            assignment: self.assignment(&new.replicas)?,
            configs: new.configs.clone(),
        };
        lifecycle::create_topic(self.store(), &new, self.timeout())
    }

    /// The brokers that a topic's partitions would be placed on now, the preferred leader first.
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub fn assignment(&self, replicas: &NewReplicas) -> Result<Vec<Vec<BrokerId>>> {
        match replicas {
            NewReplicas::Placed {
                partitions,
                replication_factor,
            } => {
                lifecycle::check_partitions(usize::try_from(*partitions).unwrap_or(0))?;
                let brokers = candidates(self.store())?;
                let wanted = Wanted {
                    first: 0,
                    partitions: *partitions,
                    replication_factor: *replication_factor,
                    start: if brokers.len() > 1 { any_start()? } else { 0 },
                };
                place(&brokers, wanted)
            }
            NewReplicas::Assigned(assignment) => {
                lifecycle::check_assignment(assignment)?;
                let known = self.store().brokers()?;
                let unknown = assignment.iter().flatten().find(|id| !known.contains(id));
                match unknown {
                    Some(id) => Err(lifecycle::unknown_broker(*id)),
                    None => Ok(assignment.clone()),
                }
            }
        }
    }

    /// Opens a topic, or creates it if it is missing; returns whether it was created.
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub fn open_or_create(&self, new: &TopicRequest) -> Result<(TopicHandle, bool)> {
        for _ in 0..100 {
            if topic_file::read_if_there(self.store(), &new.name)?.is_some() {
                return Ok((TopicHandle::open(self.store(), &new.name)?, false));
            }
            match self.create_topic(new) {
                Ok(created) => {
                    let topic = TopicHandle::open(self.store(), &new.name)?;
                    let is_it = topic.meta().topic_id == created.topic_id;
                    return Ok((topic, is_it));
                }
                Err(e) if e.kind() == Kind::TopicExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::new(
            Kind::Busy,
            format!("topic {} is created and deleted again and again", new.name),
        )
        .cure("other processes keep changing it: try again"))
    }

    /// Raises a topic's number of partitions to `partitions`. The new ones get as many replicas as
    /// the existing partition that has the most.
    ///
    /// # Errors
    /// [`Kind::Usage`] if that is not more than now; [`Kind::BrokerState`] for more replicas
    /// than live brokers.
    pub fn add_partitions(&self, name: &TopicName, partitions: PartitionId) -> Result<TopicMeta> {
        let meta = self.metadata(name)?;
        self.add_partitions_to(&meta, partitions)
    }

    /// As [`Admin::add_partitions`], for the topic version that the caller has seen.
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] if the topic has changed, or was created again.
    pub fn add_partitions_to(
        &self,
        known: &TopicMeta,
        partitions: PartitionId,
    ) -> Result<TopicMeta> {
        let assignment = self.more_partitions(known, partitions)?;
        lifecycle::add_partitions(self.store(), known, &assignment, self.timeout())
    }

    /// Where [`Admin::add_partitions`] would place the new partitions now.
    ///
    /// # Errors
    /// As there.
    pub fn more_partitions(
        &self,
        meta: &TopicMeta,
        partitions: PartitionId,
    ) -> Result<Vec<Vec<BrokerId>>> {
        let first = meta.partitions.len() as PartitionId;
        lifecycle::check_partitions(usize::try_from(partitions).unwrap_or(0))?;
        if partitions <= first {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "topic {} has {first} partitions already; their number can only grow",
                    meta.name
                ),
            )
            .cure("give a larger number with --partitions"));
        }
        let brokers = candidates(self.store())?;
        let factors = meta
            .partitions
            .iter()
            .map(PartitionMeta::replication_factor);
        let leader = meta.partitions.first().map(PartitionMeta::preferred_leader);
        let wanted = Wanted {
            first,
            partitions: partitions - first,
            replication_factor: factors.max().unwrap_or(1),
            start: leader.map_or(0, |leader| place_of(&brokers, leader)),
        };
        place(&brokers, wanted)
    }

    /// Brokers that share a device and hold replicas of one partition: if that device fails, these
    /// replicas are lost together. Sorted by device; a broker whose log directory cannot be read is
    /// left out.
    pub fn sharing_devices(&self, meta: &TopicMeta) -> Vec<Vec<BrokerId>> {
        let mut devices = BTreeMap::new();
        for partition in meta.partitions.iter().filter(|p| p.replicas.len() > 1) {
            for replica in &partition.replicas {
                devices
                    .entry(replica.broker)
                    .or_insert_with(|| self.device(replica.broker));
            }
        }
        let mut sharing: BTreeMap<u64, BTreeSet<BrokerId>> = BTreeMap::new();
        for partition in &meta.partitions {
            let mut here: BTreeMap<u64, Vec<BrokerId>> = BTreeMap::new();
            for replica in &partition.replicas {
                if let Some(Some(device)) = devices.get(&replica.broker) {
                    here.entry(*device).or_default().push(replica.broker);
                }
            }
            for (device, brokers) in here.into_iter().filter(|(_, brokers)| brokers.len() > 1) {
                sharing.entry(device).or_default().extend(brokers);
            }
        }
        sharing
            .into_values()
            .map(|brokers| brokers.into_iter().collect())
            .collect()
    }

    fn device(&self, broker: BrokerId) -> Option<u64> {
        let logs = LogDir::open(self.store(), broker).ok()?;
        logs.dir().own_id().ok().map(|id| id.device)
    }
}

/// Refuses a replication factor that cannot be met where no store exists yet.
///
/// # Errors
/// As [`placement::check_factor`].
pub fn check_factor_alone(replication_factor: usize) -> Result<()> {
    placement::check_factor(&[EMBEDDED_BROKER], replication_factor)
}

/// The broker that the placement of a new topic begins with. It is random, so that the topics of
/// one partition do not all go to one broker.
fn any_start() -> Result<usize> {
    let [a, b, ..] = Uuid::random()?.0;
    Ok(usize::from(u16::from_le_bytes([a, b])))
}
