//! Whether what is read is in order, and whether it is still what is to be read.

use super::page::{Intent, Page, Role};
use super::reader::PartitionReader;
use super::rebuild::open_replica;
use super::replica::Replica;
use super::topic_handle::TopicHandle;
use crate::error::{Error, Kind, Result};

impl PartitionReader {
    /// Whether the page is of this boot and everything it knows of is shown, and durable where the
    /// topic says so: if not, a writer, a commit or a change of configs that died left something
    /// to be finished. A lost epoch checkpoint is made anew by the same
    /// means, and what a damaged copy of the page knew is found in the log.
    ///
    /// Of several replicas the leader shows what the others have, too: that is theirs to finish.
    pub fn in_order(&self) -> Result<bool> {
        if self.replica().epochs()?.is_none() {
            return Ok(false);
        }
        let Some(page) = self.replica().read_whole_page()? else {
            return Ok(false);
        };
        if page.boot_id != self.boot_id() || page.offline.is_some() {
            return Ok(false);
        }
        if self.waits_for_others()? {
            return Ok(page.intent == Intent::None && self.is_promoted(&page)?);
        }
        Ok(page.high_watermark == page.tail.end
            && (!self.every_message() || page.durable.offset == page.tail.end))
    }

    /// Whether records are shown once other replicas have them.
    fn waits_for_others(&self) -> Result<bool> {
        let partition = self.topic().partition(self.replica().tp().partition)?;
        let alone = partition.isr.len() == 1 && self.topic().configs().min_insync_replicas <= 1;
        Ok(partition.replicas.len() > 1 && !alone)
    }

    fn is_promoted(&self, page: &Page) -> Result<bool> {
        let partition = self.topic().partition(self.replica().tp().partition)?;
        Ok(partition.leader != self.broker()
            || (page.role == Role::Leader && page.leader_epoch >= partition.leader_epoch))
    }

    /// Whether the high watermark may be taken for the end: a new leader does not know how far its
    /// predecessor's went, until it has reached where its own epoch began.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn knows_end(&self) -> Result<bool> {
        let page = self.page()?;
        if page.role != Role::Leader || !self.waits_for_others()? {
            return Ok(true);
        }
        let epochs = self.replica().epochs()?.unwrap_or_default();
        let began = epochs
            .entries()
            .iter()
            .find(|(epoch, _)| *epoch == page.leader_epoch);
        Ok(began.is_none_or(|(_, start)| page.high_watermark >= *start))
    }

    /// Looks whether another replica is to be read by now: the new leader's, or the one that stands
    /// in the place of this. Whether it changed.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] if the topic is gone; as [`PartitionReader::open`].
    pub fn follow_leadership(&mut self) -> Result<bool> {
        let tp = self.replica().tp().clone();
        let current = self.topic().is_current()?;
        if current && self.replica().in_place()? {
            return Ok(false);
        }
        let deleted = || {
            let text = format!("UNKNOWN_TOPIC_OR_PARTITION: {tp} was deleted");
            Error::new(Kind::UnknownTopic, text).cure(
                "'mq-topics list' shows what there is; start again for a new topic of that name",
            )
        };
        let topic = TopicHandle::open(self.store(), &tp.topic).map_err(|e| match e.kind() {
            Kind::UnknownTopic => deleted(),
            _ => e,
        })?;
        if topic.meta().topic_id != self.topic().meta().topic_id {
            return Err(deleted());
        }
        let partition = topic.partition(tp.partition)?;
        let broker = if self.is_pinned() {
            self.broker()
        } else {
            partition.leader
        };
        if partition.uuid_of(broker).is_none() {
            let text = format!("broker {broker} holds no replica of {tp} any more");
            let cure = format!("'mq-topics describe {}' shows who does", tp.topic);
            return Err(Error::new(Kind::BrokerState, text).cure(cure));
        }
        if broker == self.broker() && self.replica().in_place()? {
            self.take_topic(topic);
            return Ok(false);
        }
        let replica = if self.is_pinned() {
            Replica::open(self.store(), &tp, broker)?
        } else {
            open_replica(self.store(), &topic, &tp)?
        };
        self.take_replica(topic, broker, replica);
        Ok(true)
    }
}
