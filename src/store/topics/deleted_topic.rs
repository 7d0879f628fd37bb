//! A deletion proof that was read, and a cache of the last ones.

use std::collections::HashSet;
use std::sync::Arc;

use super::topic_meta::TopicMeta;
use crate::store::file_cache::{CachedFile, LruCache};
use crate::types::Uuid;

/// A deletion proof that was read. Its content never changes; it counts while its path names it.
#[derive(Debug)]
pub(crate) struct DeletedTopic {
    pub(crate) meta: TopicMeta,
    /// All replica directories that it names, including retired ones.
    pub(crate) uuids: HashSet<Uuid>,
    pub(crate) file: CachedFile,
}

/// The proofs that were read last: a removal reads the same one thousands of times.
pub(crate) type DeletedTopics = LruCache<Uuid, Arc<DeletedTopic>, DELETED_TOPICS_MAX>;

/// Number of proofs that are cached.
pub(crate) const DELETED_TOPICS_MAX: usize = 4;
