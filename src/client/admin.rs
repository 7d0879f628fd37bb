//! Administration of topics: create, list, describe, alter, verify, repair, delete.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cleanup_description::{CleanupDescription, cleanup_of};
use super::followers::{FollowerDescription, followers};
use super::leader_reader::open_now_within;
use crate::clock::Moment;
use crate::disk::EntryKind;
use crate::error::{Error, Result};
use crate::partition::{self, PartitionReader, StatePage};
use crate::store::topics::topic_file;
use crate::store::{DescribedConfig, StoreDir, TopicMeta};
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition, Uuid};
use crate::{lifecycle, log};

/// How long a description waits for leaders that are not there, all of them together: one that is
/// about to be elected needs milliseconds.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(1);

/// Administers the topics of a store.
#[derive(Debug, Clone)]
pub struct Admin {
    store: Arc<StoreDir>,
    timeout: Duration,
}

/// A topic's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub topic_id: Uuid,
    /// Its configs, sorted by name.
    pub configs: Vec<DescribedConfig>,
    /// Its partitions, from 0.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: PartitionId,
    /// The broker that leads it.
    pub leader: BrokerId,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that hold a replica.
    pub replicas: Vec<BrokerId>,
    /// The brokers whose replicas are in sync.
    pub isr: Vec<BrokerId>,
    /// What the log holds; `None` where it cannot be read.
    pub log: Option<LogDescription>,
    /// Why it is offline, if it is.
    pub offline: Option<partition::Offline>,
    /// The broker that leads when every replica could.
    pub preferred_leader: BrokerId,
    /// How far the followers have copied, in the order of the replicas.
    pub followers: Vec<FollowerDescription>,
    /// What was and will be removed; nothing is known where the log cannot be read.
    pub cleanup: CleanupDescription,
}

impl PartitionDescription {
    /// Whether the partition is unusable: its leader is offline, or its log cannot be read.
    pub fn is_offline(&self) -> bool {
        self.offline.is_some() || self.log.is_none()
    }

    /// Whether a replica is not in sync.
    pub fn is_under_replicated(&self) -> bool {
        self.isr.len() < self.replicas.len()
    }
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDescription {
    /// First offset.
    pub log_start_offset: Offset,
    /// Consumers read the records below it.
    pub high_watermark: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
    /// Bytes of all its files.
    pub size_bytes: u64,
}

impl Admin {
    /// Administers a store; `timeout` bounds each wait for a lock.
    pub fn new(store: &Arc<StoreDir>, timeout: Duration) -> Self {
        Admin {
            store: Arc::clone(store),
            timeout,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<StoreDir> {
        &self.store
    }

    /// The bound of each wait for a lock.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Topics whose names differ from `name` only in `.` and `_`: they share metric names in
    /// Kafka.
    pub fn colliding(&self, name: &TopicName) -> Result<Vec<TopicName>> {
        Ok(self
            .list()?
            .into_iter()
            .filter(|other| other.collides_with(name))
            .collect())
    }

    /// Changes configs.
    pub fn alter_configs(
        &self,
        name: &TopicName,
        set: &BTreeMap<String, String>,
        unset: &[String],
    ) -> Result<TopicMeta> {
        lifecycle::alter_configs(&self.store, name, set, unset, self.timeout)
    }

    /// Deletes a topic and its data.
    pub fn delete_topic(&self, name: &TopicName) -> Result<()> {
        lifecycle::delete_topic(&self.store, name, self.timeout)
    }

    /// Deletes a topic whose file is damaged, and keeps that file and the data.
    ///
    /// # Errors
    /// As [`lifecycle::set_topic_aside`].
    pub fn set_topic_aside(&self, name: &TopicName) -> Result<PathBuf> {
        lifecycle::set_topic_aside(&self.store, name, self.timeout)
    }

    /// The names of all topics, sorted.
    pub fn list(&self) -> Result<Vec<TopicName>> {
        topic_file::list(&self.store)
    }

    /// A topic's metadata alone: no replica is opened.
    pub fn metadata(&self, name: &TopicName) -> Result<Arc<TopicMeta>> {
        topic_file::read(&self.store, name).map(|(meta, _)| meta)
    }

    /// A topic with its configs, partitions and what their logs hold.
    ///
    /// # Errors
    /// [`crate::error::Kind::UnknownTopic`], `Damaged` (the topic file); a partition that cannot be read
    /// has no log in the result.
    pub fn describe(&self, name: &TopicName) -> Result<TopicDescription> {
        self.describe_read(&*self.metadata(name)?, |_| true)
    }

    /// As [`Admin::describe`], of a topic file that the caller has read, and of these partitions
    /// only.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn describe_read(
        &self,
        meta: &TopicMeta,
        is_meant: impl Fn(PartitionId) -> bool,
    ) -> Result<TopicDescription> {
        let name = &meta.name;
        let configs = meta.configs()?;
        let now = Moment::now(&**self.store.clock());
        let meant = meta.partitions.iter().filter(|p| is_meant(p.partition));
        let started = self.store.clock().monotonic();
        let partitions = meant.map(|partition| {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            let waited = self.store.clock().monotonic().saturating_sub(started);
            let timeout = LEADERS_TIMEOUT.saturating_sub(waited);
            let observed = open_now_within(&self.store, &tp, timeout).and_then(|reader| {
                let page = reader.page()?;
                let cleanup = cleanup_of(&reader, &page, &configs, now);
                Ok((page.offline, log_description(&reader, &page)?, cleanup))
            });
            let (offline, log, cleanup) = match observed {
                Ok((offline, log, cleanup)) => (offline, Some(log), cleanup),
                Err(_) => (None, None, CleanupDescription::default()),
            };
            let end = log.map(|log| log.log_end_offset);
            PartitionDescription {
                partition: partition.partition,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition
                    .replicas
                    .iter()
                    .map(|replica| replica.broker)
                    .collect(),
                isr: partition.isr.clone(),
                log,
                offline,
                preferred_leader: partition.preferred_leader(),
                followers: followers(&self.store, meta, partition, end),
                cleanup,
            }
        });
        let partitions = partitions.collect();
        Ok(TopicDescription {
            name: name.clone(),
            topic_id: meta.topic_id,
            configs: configs.describe(),
            partitions,
        })
    }

    /// Strays of all brokers: replica directories that no topic lists and that no deletion proof
    /// covers. Their topic file may have been lost. A broker whose log directory is missing is left
    /// out.
    ///
    /// # Errors
    /// If no broker's log directory can be read.
    pub fn strays(&self) -> Result<Vec<lifecycle::Stray>> {
        let mut found = Vec::new();
        let (mut observed, mut failed) = (false, None);
        for broker in self.store.brokers()? {
            match lifecycle::strays(&self.store, broker) {
                Ok(strays) => {
                    observed = true;
                    found.extend(strays);
                }
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        match failed {
            Some(e) if !observed => Err(e),
            _ => Ok(found),
        }
    }
}

fn log_description(reader: &PartitionReader, page: &StatePage) -> Result<LogDescription> {
    let dir = reader.replica().dir();
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let mut size_bytes = 0;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        let Some(file) = log::SegmentFile::parse(&entry.name) else {
            continue;
        };
        if matches!(
            file.kind,
            log::FileKind::Cut(_) | log::FileKind::CutInTheMaking | log::FileKind::Rewrite
        ) || file.kind.is_of_compaction()
        {
            // Not part of the log.
            continue;
        }
        if file.kind == log::FileKind::Log && file.base == page.tail.active {
            size_bytes += page.tail.log_bytes;
        } else if let Ok(open) = dir.open(&entry.name, crate::disk::Open::Read) {
            size_bytes += open.len().unwrap_or(0);
        }
    }
    Ok(LogDescription {
        log_start_offset: page.tail.log_start,
        high_watermark: page.high_watermark,
        log_end_offset: page.tail.end,
        size_bytes,
    })
}
