//! How far a partition's followers have copied.

use crate::partition::{Replica, StatePage};
use crate::store::{PartitionMeta, StoreDir, TopicMeta};
use crate::types::{BrokerId, Offset, TopicPartition};

/// A follower's state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerDescription {
    /// Its broker.
    pub broker: BrokerId,
    /// The next offset that it will copy; `None` if its state page cannot be read, or belongs to
    /// another replica than the listed one.
    pub log_end_offset: Option<Offset>,
    /// How many offsets it is behind the leader; `None` if either end is unknown.
    pub lag: Option<Offset>,
    /// Whether it is in sync.
    pub in_sync: bool,
}

/// The followers of a partition whose leader's log ends at `end`, in the order of the replicas.
pub(super) fn followers(
    store: &StoreDir,
    topic: &TopicMeta,
    partition: &PartitionMeta,
    end: Option<Offset>,
) -> Vec<FollowerDescription> {
    let tp = TopicPartition::new(topic.name.clone(), partition.partition);
    let followers = partition.replicas.iter();
    followers
        .filter(|replica| replica.broker != partition.leader)
        .map(|replica| {
            let page = page_of(store, &tp, replica.broker)
                .filter(|p| p.topic_id == topic.topic_id && p.replica_uuid == replica.uuid);
            // After a reboot, a state page is valid only for what is on disk.
            let own = page.map(|page| {
                if page.boot_id == store.boot_id() {
                    page.tail.end
                } else {
                    page.durable.offset
                }
            });
            FollowerDescription {
                broker: replica.broker,
                log_end_offset: own,
                lag: end.zip(own).map(|(end, own)| (end - own).max(0)),
                in_sync: partition.is_in_sync(replica.broker),
            }
        })
        .collect()
}

fn page_of(store: &StoreDir, tp: &TopicPartition, broker: BrokerId) -> Option<StatePage> {
    let replica = Replica::open(store, tp, broker).ok()?;
    replica.read_page().ok().flatten()
}
