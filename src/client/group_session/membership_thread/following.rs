//! Changes of leaders while partitions are owned: the new replicas are read, and their state pages
//! watched.

use std::collections::BTreeSet;

use super::MembershipThread;
use super::source::ReplicaSource;
use crate::client::group_session::orders::Order;
use crate::error::Result;
use crate::partition::PartitionReader;
use crate::store::TopicHandle;
use crate::types::{TopicName, TopicPartition};

/// The replica that a reader reads.
pub(crate) fn source_of(reader: &PartitionReader) -> ReplicaSource {
    let (broker, tp) = (reader.broker(), reader.replica().tp());
    let partition = reader.topic().partition(tp.partition).ok();
    (broker, partition.and_then(|p| p.uuid_of(broker)))
}

impl MembershipThread {
    /// After a change of a topic with owned partitions, watches the state pages of the replicas
    /// that are to be read now, and makes the caller check, too. What cannot be opened is retried
    /// in the next turn.
    pub(crate) fn follow_leaderships(&mut self, changed: bool) {
        let unwatched = self.has_unwatched();
        if !(changed || self.unfollowed || unwatched) {
            return;
        }
        self.unfollowed = false;
        let names: BTreeSet<TopicName> = self.held.keys().map(|tp| tp.topic.clone()).collect();
        self.topics.retain(|name, topic| {
            names.contains(name) && topic.is_current().is_ok_and(|current| current)
        });
        let mut stale = false;
        for name in names {
            if self.topics.contains_key(&name) && !unwatched {
                continue;
            }
            stale = true;
            let followed = TopicHandle::open(&self.store, &name).and_then(|topic| {
                self.rewatch(&topic)?;
                Ok(topic)
            });
            match followed {
                Ok(topic) => {
                    self.topics.insert(name, topic);
                }
                // It may be deleted, or its directory is about to be created: the caller finds out,
                // too.
                Err(_) => self.unfollowed = true,
            }
        }
        if stale {
            self.shared.order(Order::Follow);
        }
    }

    /// Whether the kernel reports changes, but not of all state pages.
    pub(crate) fn has_unwatched(&self) -> bool {
        !self.watching.is_blind && self.held.values().any(|holding| holding.page.is_none())
    }

    fn rewatch(&mut self, topic: &TopicHandle) -> Result<()> {
        let name = &topic.meta().name;
        let first = TopicPartition::new(name.clone(), 0);
        let held = self.held.range_mut(&first..);
        for (tp, holding) in held.take_while(|(tp, _)| tp.topic == *name) {
            let broker = self.chooser.broker(topic, tp.partition)?;
            let uuid = topic.partition(tp.partition)?.uuid_of(broker);
            let watched = holding.page.is_some() || self.watching.is_blind;
            if holding.source == (broker, uuid) && watched {
                continue;
            }
            let reader = PartitionReader::open_at(&self.store, tp, broker)?;
            if let Some(page) = holding.page.take() {
                self.watching.remove_page(page);
            }
            holding.page = self.watching.add_page(reader.replica());
            holding.source = source_of(&reader);
        }
        Ok(())
    }
}
