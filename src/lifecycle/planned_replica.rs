//! Which replicas to make for a new partition, and on which brokers.

use crate::partition::Role;
use crate::types::{BrokerId, TopicPartition, Uuid};

/// A replica to make.
#[derive(Debug, Clone)]
pub(crate) struct PlannedReplica {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    pub broker: BrokerId,
    pub role: Role,
}
