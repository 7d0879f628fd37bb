//! What the other replicas in sync have, for a leader that lost something: whoever begins a new
//! epoch with less than another in sync takes it from that one, too.

use super::open::StoreDir;
use super::page::Page;
use super::replica::Replica;
use super::topics::PartitionMeta;
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// How much of a log there is, for certain: the epoch of its last batch, and its end.
type Extent = (LeaderEpoch, Offset);

fn extent(store: &StoreDir, page: &Page) -> Extent {
    let this_boot = page.boot_id == store.boot_id();
    let end = if this_boot {
        page.tail.end
    } else {
        page.durable.offset
    };
    (page.tail.epoch, end)
}

/// The replica in sync that has most, but for the leader's: none where no page of them can be read
/// or none holds a record.
fn most(
    store: &StoreDir,
    tp: &TopicPartition,
    partition: &PartitionMeta,
) -> Option<(Extent, BrokerId)> {
    let others = partition.isr.iter().filter(|id| **id != partition.leader);
    others
        .filter_map(|broker| {
            let page = Replica::open(store, tp, *broker).ok()?.read_page().ok()??;
            let listed = partition.uuid_of(*broker) == Some(page.replica_uuid);
            let is_sound = listed && page.offline.is_none() && page.tail.end > page.tail.log_start;
            is_sound.then(|| (extent(store, &page), *broker))
        })
        .max()
}

/// Who in sync has records, where the leader's page is lost and nobody knows what it had.
pub(super) fn holder(
    store: &StoreDir,
    tp: &TopicPartition,
    partition: &PartitionMeta,
) -> Option<BrokerId> {
    most(store, tp, partition).map(|(_, broker)| broker)
}

/// Who in sync has more than the leader.
pub(super) fn ahead(
    store: &StoreDir,
    tp: &TopicPartition,
    partition: &PartitionMeta,
) -> Option<BrokerId> {
    let (theirs, broker) = most(store, tp, partition)?;
    let leader = Replica::open(store, tp, partition.leader).ok()?;
    let page = leader.read_page().ok()??;
    (theirs > extent(store, &page)).then_some(broker)
}
