//! A topic as a process has it open: its metadata and configs, and the file that they were read from,
//! kept open so that one look-up tells whether it is still the current one.
//!
//! Configs are read from the handle at each use, never kept beside it: a handle that is replaced takes
//! its configs with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::configs::TopicConfigs;
use super::open::StoreDir;
use super::topics::{self, PartitionMeta, TopicFile, TopicMeta};
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, TopicName, Uuid};

/// An open topic. Whoever opens it while the file is the same shares what was read, and the
/// descriptor: a topic may have thousands of partitions, each opened by itself.
#[derive(Debug, Clone)]
pub struct TopicHandle(Arc<OpenTopic>);

#[derive(Debug)]
struct OpenTopic {
    meta: TopicMeta,
    configs: TopicConfigs,
    file: TopicFile,
}

/// Names of topics that nobody has open any more are forgotten when so many more came.
const FORGET_EVERY: usize = 256;

/// The topics that are open in this process.
#[derive(Debug, Default)]
pub struct OpenTopics(Mutex<HashMap<TopicName, Weak<OpenTopic>>>);

impl OpenTopics {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Weak<OpenTopic>>> {
        // What a panic left behind is whole, and a hint at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TopicHandle {
    /// Reads the topic file.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] with near names, [`Kind::InvalidConfig`] (written by a newer version),
    /// [`Kind::Damaged`], [`Kind::Io`].
    pub fn open(store: &StoreDir, name: &TopicName) -> Result<Self> {
        let mut open = store.open_topics().lock();
        if let Some(known) = open.get(name).and_then(Weak::upgrade)
            && known.file.is_current()?
        {
            return Ok(TopicHandle(known));
        }
        let (meta, file) = topics::read(store, name)?;
        let configs = meta.configs()?;
        let topic = Arc::new(OpenTopic {
            meta,
            configs,
            file,
        });
        if open.len() % FORGET_EVERY == FORGET_EVERY - 1 {
            open.retain(|_, topic| topic.strong_count() > 0);
        }
        open.insert(name.clone(), Arc::downgrade(&topic));
        Ok(TopicHandle(topic))
    }

    /// What the file said.
    pub fn meta(&self) -> &TopicMeta {
        &self.0.meta
    }

    /// Whether the path still names the file that was read: one look-up.
    pub fn is_current(&self) -> Result<bool> {
        self.0.file.is_current()
    }

    /// Its configs, as the file that was read has them.
    pub fn configs(&self) -> &TopicConfigs {
        &self.0.configs
    }

    /// A partition.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], saying how many there are.
    pub fn partition(&self, partition: PartitionId) -> Result<&PartitionMeta> {
        usize::try_from(partition)
            .ok()
            .and_then(|at| self.0.meta.partitions.get(at))
            .ok_or_else(|| {
                let count = self.0.meta.partitions.len();
                Error::new(
                    Kind::UnknownTopic,
                    format!(
                        "UNKNOWN_TOPIC_OR_PARTITION: {} has no partition {partition}",
                        self.0.meta.name
                    ),
                )
                .cure(match count {
                    1 => "it has one partition, 0".to_owned(),
                    n => format!("it has {n} partitions, 0 to {}", n - 1),
                })
            })
    }

    /// The id of the replica directory of the partition's leader.
    pub fn replica_uuid(&self, partition: PartitionId) -> Result<Uuid> {
        let found = self.partition(partition)?;
        found.uuid_of(found.leader).ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                format!(
                    "the leader of {}:{partition} is not among its replicas",
                    self.0.meta.name
                ),
            )
        })
    }
}
