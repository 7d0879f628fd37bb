//! The content of a topic file, cached by a process: read once, and valid while its path names that
//! file.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::configs::TopicConfigs;
use super::topic_meta::TopicMeta;
use crate::error::Result;
use crate::store::file_cache::{CachedFile, LruCache};
use crate::types::{PartitionId, TopicName, Uuid};

/// A topic file that was read. All handles of the topic share its content and its descriptor while
/// the file is the same: a topic may have thousands of partitions, each opened by itself.
#[derive(Debug, Clone)]
pub struct KnownTopic(Arc<Read>);

#[derive(Debug)]
struct Read {
    meta: Arc<TopicMeta>,
    /// `None` if a newer version wrote configs that this one does not know.
    configs: Option<Arc<TopicConfigs>>,
    file: CachedFile,
    uuids: OnceLock<Uuids>,
}

/// The replica directories in a topic file, as a set: orphan collection looks up each of thousands.
#[derive(Debug)]
struct Uuids {
    named: HashSet<Uuid>,
    retired: HashSet<(PartitionId, Uuid)>,
}

/// Names of topics without open handles are dropped when this many more were added.
const FORGET_EVERY: usize = 256;
/// Topics that stay open without a handle: a caller that visits partitions drops one handle before
/// it opens the next.
const KEPT: usize = 16;

/// The topics that are open in this process.
#[derive(Debug, Default)]
pub struct TopicCache {
    shared: Mutex<HashMap<TopicName, Weak<Read>>>,
    recent: LruCache<TopicName, Arc<Read>, KEPT>,
}

impl TopicCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Weak<Read>>> {
        // A panic leaves whole values, and they are only a cache.
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
    /// Caches the file that was just read.
    pub(crate) fn keep(
        open: &TopicCache,
        name: &TopicName,
        meta: TopicMeta,
        file: CachedFile,
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

    /// The cached content, if it is current.
    ///
    /// # Errors
    /// [`Io`](crate::error::Kind::Io).
    pub(crate) fn kept(open: &TopicCache, name: &TopicName) -> Result<Option<Self>> {
        match open.get(name) {
            Some(known) if known.file.is_current()? => {
                open.recent.put(name, &known);
                Ok(Some(KnownTopic(known)))
            }
            _ => Ok(None),
        }
    }

    /// The file's content.
    pub fn meta(&self) -> &Arc<TopicMeta> {
        &self.0.meta
    }

    /// The file.
    pub fn file(&self) -> &CachedFile {
        &self.0.file
    }

    /// Its configs.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::Kind::InvalidConfig) if a newer version wrote them.
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

    /// Whether that replica directory is no longer the topic's, and may be removed.
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
