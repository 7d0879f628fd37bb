//! What the other replicas in sync have, for a leader that lost something: whoever begins a new
//! epoch with less than another in sync takes it from that one, too.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::partition::state_page::StatePage;
use crate::partition::timed_reads::{TimedReads, read_page};
use crate::store::{PartitionMeta, StoreDir};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// How much of a log there is, for certain: the epoch of its last batch, and its end.
pub type Extent = (LeaderEpoch, Offset);

/// What a replica's page says of how much of the log it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of this boot, and nothing was lost in a recovery since it last followed or led.
    pub whole: bool,
    /// The epoch that it is in.
    pub epoch: LeaderEpoch,
    /// The epoch of its last batch, and its end, for certain.
    pub extent: Extent,
}

impl Known {
    /// By the page of the replica directory that the topic file lists, in the boot `boot_id`.
    pub fn of(page: &StatePage, boot_id: [u8; 16]) -> Self {
        let this_boot = page.boot_id == boot_id;
        let end = if this_boot {
            page.tail.end
        } else {
            page.durable.offset
        };
        Known {
            whole: page.counts(boot_id, page.replica_uuid, page.leader_epoch),
            epoch: page.leader_epoch,
            extent: (page.tail.epoch, end),
        }
    }

    /// Whether it certainly has each record that was acknowledged with acks=all up to the leader
    /// epoch `epoch`, whatever the others in sync have. Whoever is in sync had them all. A power cut
    /// or a recovery may have taken some; the page says so (`whole`) until the next epoch, which only
    /// one that lacks nothing leads. A follower has caught up with that leader once its last batch is
    /// of that epoch, or it has as much as that leader. `leader`: what is known of the leader of the
    /// epoch; `leads`: this is its page.
    pub fn has_all(self, leads: bool, leader: Option<Known>, epoch: LeaderEpoch) -> bool {
        let level = |leader: Known| leader.whole && self.extent >= leader.extent;
        let began_here = self.epoch == epoch && self.extent.0 == epoch;
        self.whole && (leads || began_here || leader.is_some_and(level))
    }
}

/// Why a broker may not lead the next epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ahead {
    /// This one has more in sync.
    More(BrokerId),
    /// The replica of this one cannot be read: it may have what the next leader lost, or, where it
    /// is the next leader, it may have lost what others have.
    Unknown(BrokerId, String),
}

/// Who in sync has more of a partition's log than another, dead ones too.
pub trait Extents {
    /// Who in sync has more than `to`, which is to lead the next epoch, or may have. The leader that
    /// `to` takes over from does not count: it is sealed or of no use.
    fn ahead_of(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        to: BrokerId,
    ) -> Option<Ahead>;
}

/// A broker whose replica cannot be read, and why.
type Unread = (BrokerId, String);

/// By the pages of the replicas, within a hold of the store's lock: a disk that does not answer within
/// a second counts as one that cannot be read.
#[derive(Debug)]
pub struct InSync<'s> {
    store: &'s Arc<StoreDir>,
    reads: RefCell<TimedReads>,
}

impl<'s> InSync<'s> {
    /// Of a store, for one change.
    pub fn new(store: &'s Arc<StoreDir>) -> Self {
        InSync {
            store,
            reads: RefCell::default(),
        }
    }

    /// Of a store, for one change that is made as a whole or not at all: slow disks have `timeout` to
    /// answer.
    pub fn patient(store: &'s Arc<StoreDir>, timeout: Duration) -> Self {
        InSync {
            store,
            reads: RefCell::new(TimedReads::within(timeout)),
        }
    }

    /// A replica's page, or why it cannot be read: that says nothing of what the replica has.
    fn page(&self, tp: &TopicPartition, broker: BrokerId) -> Result<StatePage, String> {
        self.reads.borrow_mut().page(self.store, tp, broker)
    }

    fn known(&self, page: &StatePage) -> Known {
        Known::of(page, self.store.boot_id())
    }
}

/// The replica in sync that has most, but for some: none where none that can be read holds a record.
/// And the first that cannot be read.
fn most(
    boot_id: [u8; 16],
    partition: &PartitionMeta,
    but_for: [BrokerId; 2],
    page: impl Fn(BrokerId) -> Result<StatePage, String>,
) -> (Option<(Extent, BrokerId)>, Option<Unread>) {
    let (mut most, mut unread) = (None, None);
    for broker in partition.isr.iter().filter(|id| !but_for.contains(id)) {
        match page(*broker) {
            Ok(page) => {
                // One that was replaced, or is offline, has nothing that anyone waits for.
                let listed = partition.uuid_of(*broker) == Some(page.replica_uuid);
                if listed && page.offline.is_none() && page.tail.end > page.tail.log_start {
                    most = most.max(Some((Known::of(&page, boot_id).extent, *broker)));
                }
            }
            Err(why) => unread = unread.or(Some((*broker, why))),
        }
    }
    (most, unread)
}

impl Extents for InSync<'_> {
    fn ahead_of(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        to: BrokerId,
    ) -> Option<Ahead> {
        let leader = partition.leader;
        let boot_id = self.store.boot_id();
        let page = |broker| self.page(tp, broker);
        let (most, unread) = most(boot_id, partition, [leader, to], page);
        if most.is_none() && unread.is_none() {
            return None;
        }
        let own = match self.page(tp, to) {
            Ok(page) => self.known(&page),
            Err(why) => return Some(Ahead::Unknown(to, why)),
        };
        if let Some((_, broker)) = most.filter(|(theirs, _)| *theirs > own.extent) {
            return Some(Ahead::More(broker));
        }
        let (broker, why) = unread?;
        let leaders = || {
            let page = self.page(tp, leader).ok()?;
            (partition.uuid_of(leader) == Some(page.replica_uuid)).then(|| self.known(&page))
        };
        let has_all = own.has_all(to == leader, None, partition.leader_epoch)
            || own.has_all(false, leaders(), partition.leader_epoch);
        (!has_all).then_some(Ahead::Unknown(broker, why))
    }
}

/// Who in sync has records, where the leader's page is lost and nobody knows what it had. One that
/// cannot be read keeps nobody from the rebuild: its outcome is sealed, and the epoch after that
/// waits for that one.
pub(crate) fn holder(
    store: &StoreDir,
    tp: &TopicPartition,
    partition: &PartitionMeta,
) -> Option<BrokerId> {
    let leader = partition.leader;
    let page = |broker| {
        let logs = store.logs_dir(broker).map_err(|e| e.to_string())?;
        read_page(store, tp, &logs)
    };
    let (most, _) = most(store.boot_id(), partition, [leader, leader], page);
    most.map(|(_, broker)| broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_may_have_lost_records_waits_for_what_cannot_be_read() {
        let known = |whole, epoch, last, end| Known {
            whole,
            epoch,
            extent: (last, end),
        };
        let leader = known(true, 5, 5, 10);
        // What it has, whether it leads epoch 5, what is known of that leader, and the answer.
        for (own, leads, leader, has_all) in [
            (known(true, 5, 5, 9), true, None, true),
            (known(true, 4, 4, 9), true, None, true),
            (known(false, 5, 5, 9), true, None, false),
            (known(true, 5, 5, 9), false, None, true),
            (known(false, 5, 5, 9), false, Some(leader), false),
            // It follows the leader, but did not reach the start of the epoch yet, perhaps.
            (known(true, 5, 4, 9), false, None, false),
            (known(true, 5, 4, 9), false, Some(leader), false),
            (known(true, 4, 4, 9), false, None, false),
            // No record came in this epoch.
            (
                known(true, 5, 4, 9),
                false,
                Some(known(true, 5, 4, 9)),
                true,
            ),
            (
                known(true, 5, 4, 9),
                false,
                Some(known(false, 5, 4, 9)),
                false,
            ),
        ] {
            let case = format!("{own:?} {leads} {leader:?}");
            assert_eq!(own.has_all(leads, leader, 5), has_all, "{case}");
        }
    }
}
