//! What is to be made for a new partition: which replicas, on which brokers.

use crate::partition::Role;
use crate::types::{BrokerId, TopicPartition, Uuid};

/// A replica to be made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    pub broker: BrokerId,
    pub role: Role,
}
