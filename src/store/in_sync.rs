//! What the other replicas in sync have, for a leader that lost something: whoever begins a new
//! epoch with less than another in sync takes it from that one, too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::open::StoreDir;
use super::page::Page;
use super::replica::Replica;
use super::topics::PartitionMeta;
use crate::disk::Dir;
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

/// Who in sync has more of a partition's log than another, dead ones too.
pub trait Extents {
    /// Who in sync has more than `to`, which is to lead the next epoch. The leader that `to` takes
    /// over from does not count: it is sealed or of no use.
    fn ahead_of(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        to: BrokerId,
    ) -> Option<BrokerId>;
}

/// By the pages of the replicas. Each broker's log directory is opened once.
#[derive(Debug)]
pub struct InSync<'s> {
    store: &'s StoreDir,
    logs: RefCell<HashMap<BrokerId, Option<Arc<dyn Dir>>>>,
}

impl<'s> InSync<'s> {
    /// Of a store, for one change.
    pub fn new(store: &'s StoreDir) -> Self {
        InSync {
            store,
            logs: RefCell::default(),
        }
    }

    fn page(&self, tp: &TopicPartition, broker: BrokerId) -> Option<Page> {
        let mut known = self.logs.borrow_mut();
        let logs = known
            .entry(broker)
            .or_insert_with(|| self.store.logs_dir(broker).ok());
        let replica = Replica::open_in(self.store, tp, Arc::clone(logs.as_ref()?)).ok()?;
        replica.read_page().ok()?
    }

    /// The replica in sync that has most, but for some: none where no page of them can be read or
    /// none holds a record.
    fn most(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        but_for: [BrokerId; 2],
    ) -> Option<(Extent, BrokerId)> {
        let others = partition.isr.iter().filter(|id| !but_for.contains(id));
        others
            .filter_map(|broker| {
                let page = self.page(tp, *broker)?;
                let listed = partition.uuid_of(*broker) == Some(page.replica_uuid);
                let is_sound =
                    listed && page.offline.is_none() && page.tail.end > page.tail.log_start;
                is_sound.then(|| (extent(self.store, &page), *broker))
            })
            .max()
    }
}

impl Extents for InSync<'_> {
    fn ahead_of(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        to: BrokerId,
    ) -> Option<BrokerId> {
        let (theirs, broker) = self.most(tp, partition, [partition.leader, to])?;
        let page = self.page(tp, to)?;
        (theirs > extent(self.store, &page)).then_some(broker)
    }
}

/// Who in sync has records, where the leader's page is lost and nobody knows what it had.
pub(super) fn holder(
    store: &StoreDir,
    tp: &TopicPartition,
    partition: &PartitionMeta,
) -> Option<BrokerId> {
    let leader = partition.leader;
    InSync::new(store)
        .most(tp, partition, [leader, leader])
        .map(|(_, broker)| broker)
}
