//! Whether what is read is in order, and whether it is still what is to be read.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::reader::PartitionReader;
use crate::error::{Error, Kind, Result};
use crate::partition::append::{Committer, PartitionWriter};
use crate::partition::first_use::make_follower_ready;
use crate::partition::recovery::open_replica;
use crate::partition::replica::Replica;
use crate::partition::state_page::{Intent, Role, StatePage};
use crate::store::{StoreDir, TopicHandle};
use crate::types::TopicPartition;

impl PartitionReader {
    /// This reader, if its replica is in order; else the replica is put in order, where this user
    /// may write, and `open` opens it again: unsynced records of a killed producer become readable by
    /// that. Where it cannot be put in order, what is durable is read, and a page that is older than
    /// its log is told ([`StoreDir::take_notes`]).
    ///
    /// # Errors
    /// Those that do not [leave what is durable readable](Kind::leaves_durable_readable); as `open`.
    pub fn in_good_order(
        self,
        timeout: Duration,
        open: impl FnOnce() -> Result<PartitionReader>,
    ) -> Result<PartitionReader> {
        if self.in_order()? {
            return Ok(self);
        }
        let store = Arc::clone(self.store());
        let tp = self.replica().tp();
        match put_in_order(&store, tp, timeout) {
            Err(e) if e.kind().leaves_durable_readable() => {
                if matches!(self.end_of_files(), Ok(Ordering::Greater)) {
                    store.add_note(older_page(tp, &e));
                }
            }
            other => other?,
        }
        open()
    }

    /// Takes in what lies beyond the published end, where the page is older than its log: for a look
    /// at a replica whose files are judged as they are otherwise. As [`PartitionReader::in_good_order`],
    /// but does nothing where the log is shorter than its page says, which is damage.
    ///
    /// # Errors
    /// [`Kind::Io`] if the files cannot be looked at.
    pub fn take_in_unshown(&self, timeout: Duration) -> Result<()> {
        if self.end_of_files()? == Ordering::Greater {
            let store = self.store();
            let tp = self.replica().tp();
            let leads = self.topic().partition(tp.partition)?.leader == self.broker();
            let taken_in = if leads {
                put_in_order(store, tp, timeout)
            } else {
                make_follower_ready(store, tp, self.broker(), timeout)
            };
            if let Err(e) = taken_in {
                store.add_note(older_page(tp, &e));
            }
        }
        Ok(())
    }

    /// Whether the log ends where its page says. A page may be older than its log in the same boot,
    /// too: after a mount was lost, or a copy restored.
    fn page_fits(&self) -> Result<bool> {
        Ok(self.end_of_files()? == Ordering::Equal)
    }

    /// Where the log's files end, compared with where the page says that the log ends; without a page,
    /// nowhere.
    fn end_of_files(&self) -> Result<Ordering> {
        let found = self.replica().page_and_end()?;
        Ok(found.map_or(Ordering::Less, |found| found.ends))
    }

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
        let begun = page.intent != Intent::None;
        if begun || page.boot_id != self.boot_id() || page.offline.is_some() {
            return Ok(false);
        }
        if !self.page_fits()? {
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

    fn is_promoted(&self, page: &StatePage) -> Result<bool> {
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
            Error::new(Kind::UnknownTopic, text)
                .cure("'mq-topics list' shows the topics; start again for a new topic of that name")
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

/// Does what a first append would do, and makes durable what the topic wants durable.
fn put_in_order(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<()> {
    let mut writer = PartitionWriter::open(store, tp, timeout)?;
    let page = writer.make_ready()?;
    if writer.configs().every_message() && page.durable.offset < page.tail.end {
        // Another's sync makes durable what it covers, however long that takes: readers need not wait.
        Committer::open(store, tp, timeout)?.commit_in_turn(page.tail.end)?;
    }
    Ok(())
}

/// The note for records that a page does not show, and that cannot be taken in by this process.
fn older_page(tp: &TopicPartition, e: &Error) -> String {
    format!(
        "{tp}: the page is older than the log, so the last records are not shown: the next process \
         that may write to the partition takes them in ({e})"
    )
}
