//! A look at a partition's replicas, held against what the topic file says of them.

use super::state::{Look, Looked, PageLook, Partition};
use crate::types::{BrokerId, LeaderEpoch, Offset};

/// A look, and the partition it is of.
pub(super) struct Sight<'a> {
    pub looked: &'a Looked,
    /// Whether all were looked at that may have to lead.
    pub full: bool,
}

impl Sight<'_> {
    pub fn of(&self, broker: BrokerId) -> Option<&Look> {
        let mut replicas = self.looked.replicas.iter();
        replicas.find(|(b, _)| *b == broker).map(|(_, look)| look)
    }

    /// The page of the replica directory that the topic file names.
    pub fn page(&self, p: &Partition, broker: BrokerId) -> Option<&PageLook> {
        match self.of(broker) {
            Some(Look::Page(page)) if p.meta.uuid_of(broker) == Some(page.uuid) => Some(page),
            _ => None,
        }
    }

    /// How much of the log it has: the epoch of its last batch, and its end.
    pub fn extent(&self, p: &Partition, broker: BrokerId) -> Option<(LeaderEpoch, Offset)> {
        let page = self.page(p, broker)?;
        Some((page.last_epoch, page.end))
    }

    /// Whether its disk has room for what a leader is sent.
    pub fn has_room(&self, p: &Partition, broker: BrokerId) -> bool {
        self.page(p, broker).is_some_and(|page| !page.full)
    }

    /// Why a directory is of no use, if that is certain.
    pub fn useless(&self, p: &Partition, broker: BrokerId) -> Option<&'static str> {
        match self.of(broker)? {
            Look::Gone => Some("its directory is gone"),
            Look::Offline => Some("its directory is offline"),
            Look::Page(page) if p.meta.uuid_of(broker) != Some(page.uuid) => {
                Some("another directory stands in its place")
            }
            Look::Page(_) | Look::Unreadable | Look::Failed => None,
        }
    }
}
