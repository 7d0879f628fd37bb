//! A proof that was read, and those that were read last.

use std::collections::HashSet;
use std::sync::Arc;

use super::topic_meta::TopicMeta;
use crate::store::kept::{KeptFile, Recent};
use crate::types::Uuid;

/// A proof that was read. What it says never changes; it counts while its path names it.
#[derive(Debug)]
pub(crate) struct DeletedTopic {
    pub(crate) meta: TopicMeta,
    /// All replica directories that it names, retired ones too.
    pub(crate) uuids: HashSet<Uuid>,
    pub(crate) file: KeptFile,
}

/// The proofs that were read last: a removal asks for the same one thousands of times.
pub(crate) type DeletedTopics = Recent<Uuid, Arc<DeletedTopic>, DELETED_TOPICS_MAX>;

/// Proofs that are kept.
pub(crate) const DELETED_TOPICS_MAX: usize = 4;
