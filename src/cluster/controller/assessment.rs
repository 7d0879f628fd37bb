//! Compares a snapshot of a partition's replicas with what the topic file says of them.

use super::partition::{Coverage, Partition};
use super::state::{PageSnapshot, ProbeResult, ReplicaSnapshot};
use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid};

/// A snapshot, and its partition.
pub(crate) struct Assessment<'a> {
    pub observed: &'a ProbeResult,
    pub coverage: Coverage,
}

impl Assessment<'_> {
    pub fn is_full(&self) -> bool {
        self.coverage == Coverage::Full
    }

    pub fn of(&self, broker: BrokerId) -> Option<&ReplicaSnapshot> {
        let mut replicas = self.observed.replicas.iter();
        replicas
            .find(|(b, _)| *b == broker)
            .map(|(_, observe)| observe)
    }

    /// The state page of the replica directory that the topic file names.
    pub fn page(&self, p: &Partition, broker: BrokerId) -> Option<&PageSnapshot> {
        match self.of(broker) {
            Some(ReplicaSnapshot::Page(page)) if p.meta.uuid_of(broker) == Some(page.uuid) => {
                Some(page)
            }
            _ => None,
        }
    }

    /// How much of the log a replica has: the epoch of its last batch, and its end.
    pub fn extent(&self, p: &Partition, broker: BrokerId) -> Option<(LeaderEpoch, Offset)> {
        let page = self.page(p, broker)?;
        Some((page.last_epoch, page.end))
    }

    /// Whether the replica's disk has room for appends.
    pub fn has_room(&self, p: &Partition, broker: BrokerId) -> bool {
        self.page(p, broker).is_some_and(|page| !page.full)
    }

    /// Whether an in-sync broker may have more than `to`: its state page says so, or its state page
    /// cannot be read and `to` may have lost records. A replica that is offline or was replaced has
    /// nothing.
    pub fn is_ahead(&self, p: &Partition, broker: BrokerId, to: BrokerId) -> bool {
        match self.of(broker) {
            Some(ReplicaSnapshot::Page(_)) => self.extent(p, broker) > self.extent(p, to),
            Some(ReplicaSnapshot::Offline) => false,
            Some(
                ReplicaSnapshot::Gone
                | ReplicaSnapshot::BadDisk
                | ReplicaSnapshot::Unreadable
                | ReplicaSnapshot::Failed,
            )
            | None => !self.has_all(p, to),
        }
    }

    /// Whether the replica's log extent could be read.
    pub fn is_read(&self, broker: BrokerId) -> bool {
        matches!(self.of(broker), Some(ReplicaSnapshot::Page(_)))
    }

    fn has_all(&self, p: &Partition, broker: BrokerId) -> bool {
        let leader = self.page(p, p.meta.leader).map(PageSnapshot::known);
        let leads = broker == p.meta.leader;
        let own = self.page(p, broker).map(PageSnapshot::known);
        own.is_some_and(|own| own.has_all(leads, leader, p.meta.leader_epoch))
    }

    /// Why a replica directory is ineligible, if that is certain.
    pub fn ineligible(&self, p: &Partition, broker: BrokerId) -> Option<&'static str> {
        ineligible(self.of(broker)?, p.meta.uuid_of(broker))
    }
}

/// Why a directory is ineligible as the replica `listed`, if that is certain.
pub(crate) fn ineligible(observe: &ReplicaSnapshot, listed: Option<Uuid>) -> Option<&'static str> {
    match observe {
        ReplicaSnapshot::Gone => Some("its directory is gone"),
        ReplicaSnapshot::Offline => Some("its directory is offline"),
        ReplicaSnapshot::BadDisk => Some("its disk cannot be read"),
        ReplicaSnapshot::Page(page) if listed != Some(page.uuid) => {
            Some("another directory stands in its place")
        }
        ReplicaSnapshot::Page(_) | ReplicaSnapshot::Unreadable | ReplicaSnapshot::Failed => None,
    }
}
