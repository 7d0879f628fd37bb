//! What a replica's page is compared with: this boot, and the topic file's entry for the replica.

use super::state_page::{Role, StatePage};
use crate::error::{Error, Kind, Result};
use crate::store::{StoreDir, TopicHandle};
use crate::types::{BrokerId, LeaderEpoch, TopicPartition, Uuid};

/// What a process must know before it decides whether to believe a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectedReplica {
    /// This boot.
    pub boot_id: [u8; 16],
    /// The topic's id, by the topic file.
    pub topic_id: Uuid,
    /// The replica's id, by the topic file.
    pub replica_uuid: Uuid,
    /// The partition's leader epoch, by the topic file.
    pub leader_epoch: LeaderEpoch,
    /// Whether every message is synced before it is acknowledged and readable.
    pub every_message: bool,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// The replica's role by the topic file.
    pub role: Role,
    /// The topic file's version.
    pub version: u64,
    /// Whether the partition has other replicas.
    pub replicated: bool,
    /// Whether this replica alone decides what is acknowledged: it is the only in-sync replica, and
    /// `min.insync.replicas` asks for no more.
    pub alone: bool,
}

impl ExpectedReplica {
    /// Raises the high watermark to what is acknowledged, if this replica alone decides that. With
    /// several replicas it is the least of theirs, which `super::replication::high_watermark`
    /// computes.
    pub fn raise_high_watermark(&self, page: &mut StatePage) {
        let leads = self.role == Role::Leader && page.leader_epoch == self.leader_epoch;
        let decides = self.alone && leads && page.joining.at(self.version).next().is_none();
        if decides || !self.replicated {
            let acked = page.acked(self.every_message);
            page.high_watermark = page.high_watermark.max(acked);
            page.last_stable_offset = page.high_watermark;
        }
    }
}

impl ExpectedReplica {
    /// For the partition's leader.
    pub fn of_leader(store: &StoreDir, topic: &TopicHandle, tp: &TopicPartition) -> Result<Self> {
        let leader = topic.partition(tp.partition)?.leader;
        ExpectedReplica::of(store, topic, tp, leader)
    }

    /// For a broker's replica.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`]; [`Kind::Fenced`] if the broker holds no replica.
    pub fn of(
        store: &StoreDir,
        topic: &TopicHandle,
        tp: &TopicPartition,
        broker: BrokerId,
    ) -> Result<Self> {
        let partition = topic.partition(tp.partition)?;
        let replica_uuid = partition.uuid_of(broker).ok_or_else(|| {
            Error::new(
                Kind::Fenced,
                format!("NOT_LEADER_OR_FOLLOWER: broker {broker} holds no replica of {tp}"),
            )
            .cure(format!("'mq-topics describe {}' shows who does", tp.topic))
        })?;
        let leads = partition.leader == broker;
        let configs = topic.configs();
        Ok(ExpectedReplica {
            boot_id: store.boot_id(),
            topic_id: topic.meta().topic_id,
            replica_uuid,
            leader_epoch: partition.leader_epoch,
            every_message: configs.every_message(),
            index_interval_bytes: configs.index_interval_bytes,
            role: if leads { Role::Leader } else { Role::Follower },
            version: topic.meta().version,
            replicated: partition.replicas.len() > 1,
            alone: partition.isr == [broker] && configs.min_insync_replicas <= 1,
        })
    }
}
