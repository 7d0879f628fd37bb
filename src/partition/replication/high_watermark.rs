//! The high watermark of a partition with several replicas: what every in-sync replica has.
//!
//! 1. Any process that finds that it may be raised raises it (followers, syncers, waiting
//!    producers, the controller), under the leader's append lock; it is never lowered here.
//! 2. It is raised only while the topic file names this leader and epoch, the raising process has
//!    synced the topic file at this version, and the ISR has `min.insync.replicas`.
//! 3. It is the least acknowledged end over the in-sync **and the joining** replicas. A page counts
//!    only with this boot, this epoch and the listed replica's id.
//! 4. A replica joins the ISR in three steps: it reads the topic file; under the leader's lock it
//!    enters itself in the leader's page with that version, if it has all that is acknowledged; it
//!    writes the topic file, if that still has this version. So the high watermark waits for each
//!    replica that can be elected. If the replica's process died between the steps, the controller
//!    raises the version.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::joining::Joining;
use crate::error::{Error, Kind, Result};
use crate::partition::dir_sync::sync_names;
use crate::partition::replica::{AppendGuard, Replica};
use crate::partition::state_page::StatePage;
use crate::store::{PartitionMeta, StoreDir, TopicHandle};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition, Uuid};

/// How often a raise starts over because the metadata changed.
const TRIES: u32 = 5;

/// Raises one partition's high watermark. Keeps open what it has read.
#[derive(Debug)]
pub struct Watermark {
    store: Arc<StoreDir>,
    tp: TopicPartition,
    topic: TopicHandle,
    /// Shared with the lock guard, so that the guard does not borrow `self`.
    leader: Arc<Replica>,
    leader_id: BrokerId,
    peers: HashMap<BrokerId, Replica>,
    synced_version: u64,
}

/// What a leader's page showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The high watermark.
    pub high_watermark: Offset,
    /// The leader's acknowledged end: what is durable if every message is synced, else the log end.
    pub acked: Offset,
    /// The epoch of the topic file.
    pub leader_epoch: LeaderEpoch,
    /// Whether the leader has begun that epoch.
    pub promoted: bool,
}

impl Watermark {
    /// Opens a partition's.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::Fenced`] (the leader's directory is missing).
    pub fn open(store: &Arc<StoreDir>, tp: &TopicPartition) -> Result<Self> {
        let topic = TopicHandle::open(store, &tp.topic)?;
        let leader_id = topic.partition(tp.partition)?.leader;
        Ok(Watermark {
            store: Arc::clone(store),
            tp: tp.clone(),
            leader: Arc::new(Replica::open(store, tp, leader_id)?),
            leader_id,
            topic,
            peers: HashMap::new(),
            synced_version: 0,
        })
    }

    /// The topic, as of the last observation.
    pub fn topic(&self) -> &TopicHandle {
        &self.topic
    }

    /// The leader's replica, as of the last observation.
    pub fn leader(&self) -> &Replica {
        &self.leader
    }

    /// Raises it as far as it may be; returns its value then.
    ///
    /// # Errors
    /// [`Kind::Busy`] (another process has the leader's append lock), [`Kind::UnknownTopic`],
    /// [`Kind::Fenced`], [`Kind::Io`].
    pub fn raise(&mut self, timeout: Duration) -> Result<Shown> {
        let mut shown = self.observe()?;
        for _ in 0..TRIES {
            let Some(page) = self.leaders_page()? else {
                return Ok(shown);
            };
            if self.due(&page)? <= page.high_watermark {
                return Ok(shown);
            }
            let version = self.topic.meta().version;
            if self.synced_version < version {
                sync_names(&self.store, &self.leader, version, timeout)?;
                self.synced_version = version;
            }
            if let Some(raised) = self.try_raise(timeout)? {
                shown.high_watermark = raised;
                return Ok(shown);
            }
            shown = self.observe()?;
        }
        Ok(shown)
    }

    /// Observes topic file and leader, without a lock.
    pub fn observe(&mut self) -> Result<Shown> {
        self.refresh()?;
        let epoch = self.partition()?.leader_epoch;
        let page = self.leader.read_page()?;
        Ok(Shown {
            high_watermark: page.map_or(0, |page| page.high_watermark),
            acked: page.map_or(0, |page| page.acked(self.topic.configs().every_message())),
            leader_epoch: epoch,
            promoted: page.is_some_and(|page| self.leads(&page, epoch)),
        })
    }

    /// Enters a follower as joining the ISR, if it has all that is acknowledged. Returns the topic
    /// file's version that the entry counts for: only a change of that very version may list the
    /// replica. `None` if it has not caught up, or there is no room.
    ///
    /// # Errors
    /// As [`Watermark::raise`].
    pub fn enter_joining(
        &mut self,
        follower: BrokerId,
        epoch_start: Offset,
        timeout: Duration,
    ) -> Result<Option<u64>> {
        self.refresh()?;
        let (epoch, version) = (self.partition()?.leader_epoch, self.topic.meta().version);
        let Some(uuid) = self.partition()?.uuid_of(follower) else {
            return Ok(None);
        };
        let far_enough = |this: &mut Self, page: &StatePage| -> Result<bool> {
            let acked = this.acked_of(follower, uuid, epoch)?;
            Ok(acked.is_some_and(|acked| acked >= page.high_watermark && acked >= epoch_start))
        };
        // First without the lock: most calls end here.
        let Some(page) = self.leaders_page()? else {
            return Ok(None);
        };
        if !far_enough(self, &page)? {
            return Ok(None);
        }
        sync_names(&self.store, &self.leader, version, timeout)?;
        let leader = Arc::clone(&self.leader);
        let held = leader.lock(timeout)?;
        if !self.topic.is_current()? {
            return Ok(None);
        }
        let Some(mut page) = held.page()?.filter(|page| self.leads(page, epoch)) else {
            return Ok(None);
        };
        let joining = Joining {
            replica: uuid,
            version,
        };
        if !far_enough(self, &page)? || !page.joining.enter(joining) {
            return Ok(None);
        }
        held.publish(&mut page)?;
        Ok(Some(version))
    }

    fn partition(&self) -> Result<&PartitionMeta> {
        self.topic.partition(self.tp.partition)
    }

    /// Reads the topic file again if it changed, and opens the leader's replica if it is another.
    fn refresh(&mut self) -> Result<()> {
        if !self.topic.is_current()? {
            let topic = TopicHandle::open(&self.store, &self.tp.topic)?;
            if topic.meta().topic_id != self.topic.meta().topic_id {
                let text = format!("{} was deleted and created again", self.tp.topic);
                return Err(Error::new(Kind::UnknownTopic, text));
            }
            self.topic = topic;
            // A peer's directory may have been replaced.
            self.peers.clear();
        }
        let leader = self.partition()?.leader;
        if leader != self.leader_id || !self.leader.in_place()? {
            self.leader = Arc::new(Replica::open(&self.store, &self.tp, leader)?);
            self.leader_id = leader;
        }
        Ok(())
    }

    /// Whether a page is that of the leader of that epoch, by the topic file.
    fn leads(&self, page: &StatePage, epoch: LeaderEpoch) -> bool {
        let replica = self.topic.replica_uuid(self.tp.partition);
        replica.is_ok_and(|replica| page.leads(self.store.boot_id(), replica, epoch))
    }

    /// The leader's page, if it leads in the topic file's epoch.
    fn leaders_page(&self) -> Result<Option<StatePage>> {
        let epoch = self.partition()?.leader_epoch;
        Ok(self
            .leader
            .read_page()?
            .filter(|page| self.leads(page, epoch)))
    }

    /// Raises it under the lock; `None` if the metadata changed.
    fn try_raise(&mut self, timeout: Duration) -> Result<Option<Offset>> {
        let leader = Arc::clone(&self.leader);
        let held = match leader.lock(timeout) {
            Err(e) if e.kind() == Kind::Fenced => return Ok(None),
            held => held?,
        };
        if !self.topic.is_current()? {
            return Ok(None);
        }
        let epoch = self.partition()?.leader_epoch;
        let Some(mut page) = held.page()?.filter(|page| self.leads(page, epoch)) else {
            return Ok(None);
        };
        self.raise_held(&held, &mut page)?;
        Ok(Some(page.high_watermark))
    }

    fn raise_held(&mut self, held: &AppendGuard<'_>, page: &mut StatePage) -> Result<()> {
        let due = self.due(page)?;
        if due > page.high_watermark {
            page.high_watermark = due;
            page.last_stable_offset = due;
            page.synced_version = page.synced_version.max(self.synced_version);
            held.publish(page)?;
        }
        Ok(())
    }

    /// What it may be raised to, by the pages of the leader and the other replicas.
    fn due(&mut self, page: &StatePage) -> Result<Offset> {
        let every_message = self.topic.configs().every_message();
        let partition = self.partition()?;
        if partition.isr.len() < self.topic.configs().min_insync_replicas {
            return Ok(page.high_watermark);
        }
        let epoch = partition.leader_epoch;
        let joining: Vec<Uuid> = page.joining.at(self.topic.meta().version).collect();
        let others: Vec<_> = partition
            .replicas
            .iter()
            .filter(|replica| replica.broker != self.leader_id)
            .filter(|replica| {
                partition.is_in_sync(replica.broker) || joining.contains(&replica.uuid)
            })
            .copied()
            .collect();
        let mut least = page.acked(every_message);
        for replica in others {
            match self.acked_of(replica.broker, replica.uuid, epoch)? {
                Some(acked) => least = least.min(acked),
                None => return Ok(page.high_watermark),
            }
        }
        Ok(least)
    }

    /// The acknowledged end of a replica; `None` if its page does not count.
    fn acked_of(
        &mut self,
        broker: BrokerId,
        uuid: Uuid,
        epoch: LeaderEpoch,
    ) -> Result<Option<Offset>> {
        for _ in 0..2 {
            if !self.peers.contains_key(&broker) {
                match Replica::open(&self.store, &self.tp, broker) {
                    Ok(replica) => self.peers.insert(broker, replica),
                    // The replica or its disk is gone: it does not count.
                    Err(_) => return Ok(None),
                };
            }
            let Some(page) = self
                .peers
                .get(&broker)
                .map(Replica::read_page)
                .transpose()?
                .flatten()
            else {
                return Ok(None);
            };
            if page.counts(self.store.boot_id(), uuid, epoch) {
                return Ok(Some(page.acked(self.topic.configs().every_message())));
            }
            if page.replica_uuid == uuid {
                return Ok(None);
            }
            // The page of another directory: the path may lead to the right one by now.
            self.peers.remove(&broker);
        }
        Ok(None)
    }
}
