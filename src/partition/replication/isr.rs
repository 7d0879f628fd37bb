//! What the other in-sync replicas have, for a leader that lost records: if it began a new epoch
//! with less than another in-sync replica has, that replica would lose the difference, too.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::partition::state_page::StatePage;
use crate::partition::timed_reads::{TimedReads, read_page};
use crate::store::{PartitionMeta, StoreDir};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// How much of a log certainly exists: the epoch of its last batch, and its end.
pub type Extent = (LeaderEpoch, Offset);

/// How much of the log a replica has, by its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of this boot, and no recovery lost records since it last followed or led.
    pub whole: bool,
    /// The replica's leader epoch.
    pub epoch: LeaderEpoch,
    /// The epoch of its last batch, and its certain end.
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
    /// epoch `epoch`, whatever the other in-sync replicas have. Every in-sync replica had them all.
    /// A power cut or a recovery may have taken some; the page says so (`whole`) until the next
    /// epoch, which only a replica that lacks nothing leads. A follower has caught up with that
    /// leader once its last batch is of that epoch, or it has as much as that leader. `leader`:
    /// what is known of the leader of the epoch; `leads`: this is its page.
    pub fn has_all(self, leads: bool, leader: Option<Known>, epoch: LeaderEpoch) -> bool {
        let level = |leader: Known| leader.whole && self.extent >= leader.extent;
        let began_here = self.epoch == epoch && self.extent.0 == epoch;
        self.whole && (leads || began_here || leader.is_some_and(level))
    }
}

/// Why a broker may not lead the next epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ahead {
    /// This broker's in-sync replica has more.
    More(BrokerId),
    /// This broker's replica cannot be read. It may have what the next leader lost; if it is the
    /// next leader, it may have lost what others have.
    Unknown(BrokerId, String),
}

/// Which in-sync replica has more of a partition's log than another, dead brokers' included.
pub trait Extents {
    /// An in-sync replica that has, or may have, more than `to`, which is to lead the next epoch.
    /// The leader that `to` takes over from does not count: it is sealed or unusable.
    fn ahead_of(
        &self,
        tp: &TopicPartition,
        partition: &PartitionMeta,
        to: BrokerId,
    ) -> Option<Ahead>;
}

/// A broker whose replica cannot be read, and why.
type Unread = (BrokerId, String);

/// By the pages of the replicas, within a metadata update: a disk that does not answer within a
/// second counts as unreadable.
#[derive(Debug)]
pub struct InSync<'s> {
    store: &'s Arc<StoreDir>,
    reads: RefCell<TimedReads>,
}

impl<'s> InSync<'s> {
    /// Of a store, for one metadata update.
    pub fn new(store: &'s Arc<StoreDir>) -> Self {
        InSync {
            store,
            reads: RefCell::default(),
        }
    }

    /// Of a store, for one metadata update that cannot be split: slow disks have `timeout` to
    /// answer.
    pub fn patient(store: &'s Arc<StoreDir>, timeout: Duration) -> Self {
        InSync {
            store,
            reads: RefCell::new(TimedReads::within(timeout)),
        }
    }

    /// A replica's page, or why it cannot be read, which does not show what the replica has.
    fn page(&self, tp: &TopicPartition, broker: BrokerId) -> Result<StatePage, String> {
        self.reads.borrow_mut().page(self.store, tp, broker)
    }

    fn known(&self, page: &StatePage) -> Known {
        Known::of(page, self.store.boot_id())
    }
}

/// The in-sync replica with the longest log, `but_for` excepted; `None` if no readable one holds a
/// record. And the first replica that cannot be read.
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
                // A replica that was replaced, or is offline, has nothing to wait for.
                let listed = partition.uuid_of(*broker) == Some(page.replica_uuid);
                // A log that retention emptied counts by its end, too.
                if listed && page.offline.is_none() && page.tail.end > 0 {
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

/// An in-sync replica that has records, for a leader whose page is lost, so that its extent is
/// unknown. An unreadable one does not prevent the lost-state recovery: that seals the log, and the
/// next epoch waits for the unreadable replica.
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
        // What the replica has, whether it leads epoch 5, what is known of that leader, and the
        // answer.
        for (own, leads, leader, has_all) in [
            (known(true, 5, 5, 9), true, None, true),
            (known(true, 4, 4, 9), true, None, true),
            (known(false, 5, 5, 9), true, None, false),
            (known(true, 5, 5, 9), false, None, true),
            (known(false, 5, 5, 9), false, Some(leader), false),
            // It follows the leader, but may not have reached the start of the epoch yet.
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
