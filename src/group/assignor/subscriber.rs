//! The input of an assignment: the members and the topics that they subscribe to.

use std::collections::{BTreeSet, HashMap};

use crate::types::{TopicName, TopicPartition, Uuid};

/// A member as an assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The member's id; no two subscribers have the same.
    pub id: Uuid,
    /// The topics that it subscribes to. A topic may not exist.
    pub topics: BTreeSet<TopicName>,
    /// Its last target, to be kept as far as possible. Partitions that it may no longer have are
    /// ignored; if two members claim a partition, the one with the lower id has it.
    pub current: BTreeSet<TopicPartition>,
}

/// A topic that has partitions and subscribers.
pub(crate) struct SubscribedTopic<'a> {
    pub(crate) name: &'a TopicName,
    /// How many; at least 1.
    pub(crate) partitions: usize,
    /// Numbers of its subscribers among the members, rising; at least one.
    pub(crate) subscribers: Vec<usize>,
}

/// Where each topic is in `topics`.
pub(crate) fn numbers_of<'a>(topics: &[SubscribedTopic<'a>]) -> HashMap<&'a TopicName, usize> {
    topics
        .iter()
        .enumerate()
        .map(|(n, topic)| (topic.name, n))
        .collect()
}
