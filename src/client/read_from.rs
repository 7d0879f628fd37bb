//! Chooses the replica of a partition that is read.
//!
//! 1. No replica gives out anything beyond its own high watermark.
//! 2. A reader near a rack reads an in-sync replica of a live broker on that rack, the leader's
//!    first; if there is none, the leader's. The choice is repeated when the leader or the in-sync
//!    set changes.

use std::sync::Arc;

use super::leader_reader::{open_now, open_reader};
use crate::error::Result;
use crate::partition::{PartitionReader, first_follower_reader};
use crate::store::{Liveness, StoreDir, TopicHandle};
use crate::types::{BrokerId, PartitionId, TopicPartition};

/// Which replica is read.
///
/// ```
/// use mq::{NewTopic, ReadFrom, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// store.producer("orders").open()?.send("paid")?.wait()?;
/// let near = ReadFrom::Rack("rack-7".to_owned());
/// let records = store.consumer(["orders"]).read_from(near).to_end().open()?;
/// assert_eq!(records.count(), 1, "no replica is on that rack: the leader's is read");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The leader's.
    #[default]
    Leader,
    /// This broker's, leader or not.
    Replica(BrokerId),
    /// A replica on this rack, else the leader's.
    Rack(String),
}

/// Chooses replicas, and knows which brokers are alive.
#[derive(Debug)]
pub struct Chooser {
    store: Arc<StoreDir>,
    read_from: ReadFrom,
    liveness: Liveness,
}

impl Chooser {
    /// A chooser for a store.
    pub fn new(store: &Arc<StoreDir>, read_from: ReadFrom) -> Self {
        Chooser {
            store: Arc::clone(store),
            read_from,
            liveness: Liveness::new(store),
        }
    }

    /// Opens the chosen replica. The leader's is opened as by [`open_reader`].
    ///
    /// # Errors
    /// As [`PartitionReader::open_at`].
    pub fn open(&self, tp: &TopicPartition) -> Result<PartitionReader> {
        match self.replica(tp)? {
            None => open_reader(&self.store, tp),
            Some(broker) => open_replica(&self.store, tp, broker),
        }
    }

    /// Opens the chosen replica of a partition that was readable before.
    ///
    /// # Errors
    /// As [`PartitionReader::open_at`].
    pub fn reopen(&self, tp: &TopicPartition) -> Result<PartitionReader> {
        match self.replica(tp)? {
            None => PartitionReader::open(&self.store, tp),
            Some(broker) => PartitionReader::open_at(&self.store, tp, broker),
        }
    }

    /// Checks whether another replica is to be read now; returns whether it changed.
    ///
    /// # Errors
    /// As [`PartitionReader::follow_leadership`].
    pub fn follow(&self, reader: &mut PartitionReader) -> Result<bool> {
        let ReadFrom::Rack(_) = self.read_from else {
            return reader.follow_leadership();
        };
        let in_place = reader.replica().in_place()?;
        if reader.topic().is_current()? && in_place {
            return Ok(false);
        }
        let tp = reader.replica().tp().clone();
        let topic_id = reader.topic().meta().topic_id;
        let next = match self.replica(&tp) {
            // Its directory is gone, and no process has noticed that yet.
            Ok(Some(broker)) if !in_place && reader.is_pinned() && broker == reader.broker() => {
                open_now(&self.store, &tp)?
            }
            Ok(Some(broker)) if broker != reader.broker() || !reader.is_pinned() => {
                PartitionReader::open_at(&self.store, &tp, broker)?
            }
            Ok(None) if reader.is_pinned() => open_now(&self.store, &tp)?,
            // The topic may be gone: this call then returns that error.
            Ok(_) | Err(_) => return reader.follow_leadership(),
        };
        if next.topic().meta().topic_id != topic_id {
            return reader.follow_leadership();
        }
        *reader = next;
        Ok(true)
    }

    /// The broker of the chosen replica, by a topic file.
    ///
    /// # Errors
    /// [`crate::error::Kind::UnknownTopic`] for a partition that is not there.
    pub fn broker(&self, topic: &TopicHandle, partition: PartitionId) -> Result<BrokerId> {
        let leader = topic.partition(partition)?.leader;
        Ok(self.choose(topic, partition)?.unwrap_or(leader))
    }

    /// The broker of the chosen replica; `None`: the leader's.
    fn replica(&self, tp: &TopicPartition) -> Result<Option<BrokerId>> {
        match &self.read_from {
            ReadFrom::Leader => Ok(None),
            ReadFrom::Replica(broker) => Ok(Some(*broker)),
            ReadFrom::Rack(_) => {
                let topic = TopicHandle::open(&self.store, &tp.topic)?;
                self.choose(&topic, tp.partition)
            }
        }
    }

    fn choose(&self, topic: &TopicHandle, partition: PartitionId) -> Result<Option<BrokerId>> {
        let rack = match &self.read_from {
            ReadFrom::Leader => return Ok(None),
            ReadFrom::Replica(broker) => return Ok(Some(*broker)),
            ReadFrom::Rack(rack) => rack,
        };
        let partition = topic.partition(partition)?;
        let near = |broker: BrokerId| {
            let file = self.store.broker_file(broker);
            file.is_ok_and(|file| file.rack.as_ref() == Some(rack))
        };
        if near(partition.leader) {
            return Ok(None);
        }
        let replicas = partition.replicas.iter().map(|replica| replica.broker);
        let mut in_sync =
            replicas.filter(|id| *id != partition.leader && partition.is_in_sync(*id));
        Ok(in_sync.find(|id| self.liveness.is_alive(*id) && near(*id)))
    }
}

/// Opens the replica that a broker holds. Recovery runs first: of a follower in its own daemon, or
/// here if none runs.
fn open_replica(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
) -> Result<PartitionReader> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    if topic.partition(tp.partition)?.leader != broker {
        return first_follower_reader(store, tp, broker);
    }
    open_reader(store, tp)?;
    PartitionReader::open_at(store, tp, broker)
}
