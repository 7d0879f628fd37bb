//! What a topic file says, as a process knows it: read once, and kept for as long as its path names
//! that file.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::configs::TopicConfigs;
use super::topic_meta::TopicMeta;
use crate::error::Result;
use crate::store::kept::{KeptFile, Recent};
use crate::types::{PartitionId, TopicName, Uuid};

/// A topic file that was read. Whoever opens the topic while the file is the same shares what was
/// read, and the descriptor: a topic may have thousands of partitions, each opened by itself.
#[derive(Debug, Clone)]
pub struct KnownTopic(Arc<Read>);

#[derive(Debug)]
struct Read {
    meta: Arc<TopicMeta>,
    /// `None` where a newer version wrote what this one does not know.
    configs: Option<Arc<TopicConfigs>>,
    file: KeptFile,
    uuids: OnceLock<Uuids>,
}

/// The replica directories in a topic file, found at once: whoever sweeps asks for each of
/// thousands.
#[derive(Debug)]
struct Uuids {
    named: HashSet<Uuid>,
    retired: HashSet<(PartitionId, Uuid)>,
}

/// Names of topics that nobody has open any more are forgotten when so many more came.
const FORGET_EVERY: usize = 256;
/// Topics that stay open though nobody has a handle: whoever goes through partitions drops one
/// handle before it opens the next.
const KEPT: usize = 16;

/// The topics that are open in this process.
#[derive(Debug, Default)]
pub struct OpenTopics {
    shared: Mutex<HashMap<TopicName, Weak<Read>>>,
    recent: Recent<TopicName, Arc<Read>, KEPT>,
}

impl OpenTopics {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Weak<Read>>> {
        // What a panic left behind is whole, and a hint at most.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &TopicName) -> Option<Arc<Read>> {
        self.recent
            .get(name)
            .or_else(|| self.lock().get(name).and_then(Weak::upgrade))
    }

    fn keep(&self, name: &TopicName, topic: &Arc<Read>) {
        let mut shared = self.lock();
        if shared.len() % FORGET_EVERY == FORGET_EVERY - 1 {
            shared.retain(|_, topic| topic.strong_count() > 0);
        }
        shared.insert(name.clone(), Arc::downgrade(topic));
        drop(shared);
        self.recent.put(name, topic);
    }
}

impl KnownTopic {
    /// Of the file that was just read. It is kept for the next to open it.
    pub(crate) fn keep(
        open: &OpenTopics,
        name: &TopicName,
        meta: TopicMeta,
        file: KeptFile,
    ) -> Self {
        let topic = Arc::new(Read {
            configs: meta.configs().ok().map(Arc::new),
            meta: Arc::new(meta),
            file,
            uuids: OnceLock::new(),
        });
        open.keep(name, &topic);
        KnownTopic(topic)
    }

    /// What was read before, if it is current.
    ///
    /// # Errors
    /// [`Io`](crate::error::Kind::Io).
    pub(crate) fn kept(open: &OpenTopics, name: &TopicName) -> Result<Option<Self>> {
        match open.get(name) {
            Some(known) if known.file.is_current()? => {
                open.recent.put(name, &known);
                Ok(Some(KnownTopic(known)))
            }
            _ => Ok(None),
        }
    }

    /// What the file said.
    pub fn meta(&self) -> &Arc<TopicMeta> {
        &self.0.meta
    }

    /// The file.
    pub fn file(&self) -> &KeptFile {
        &self.0.file
    }

    /// Its configs.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::Kind::InvalidConfig) where a newer version wrote them.
    pub fn configs(&self) -> Result<Arc<TopicConfigs>> {
        match &self.0.configs {
            Some(configs) => Ok(Arc::clone(configs)),
            None => self.0.meta.configs().map(Arc::new),
        }
    }

    /// Whether that replica directory is one of the topic's.
    pub fn names(&self, uuid: Uuid) -> bool {
        self.uuids().named.contains(&uuid)
    }

    /// Whether that replica directory is the topic's no more, and may be removed.
    pub fn is_retired(&self, partition: PartitionId, uuid: Uuid) -> bool {
        self.uuids().retired.contains(&(partition, uuid)) && !self.names(uuid)
    }

    fn uuids(&self) -> &Uuids {
        self.0.uuids.get_or_init(|| {
            let partitions = self.0.meta.partitions.iter();
            let retired = self.0.meta.retired.iter();
            Uuids {
                named: partitions
                    .flat_map(|p| &p.replicas)
                    .map(|r| r.uuid)
                    .collect(),
                retired: retired.map(|r| (r.partition, r.uuid)).collect(),
            }
        })
    }
}
