//! Whether the replica is ready to be read, and whether it is still the one to read.

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
    /// This reader, if its replica is in order. Else the replica is recovered, if this user may
    /// write, and `open` opens it again: unsynced records of a killed producer become readable that
    /// way. If it cannot be recovered, the durable part is read, and a page that is older than its
    /// log is reported as a note ([`StoreDir::take_notes`]).
    ///
    /// # Errors
    /// Those that do not [leave what is durable readable](Kind::leaves_durable_readable); as
    /// `open`.
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

    /// Recovers what lies beyond the published end if the page is older than its log: for a check
    /// that judges the files as they are otherwise. As [`PartitionReader::in_good_order`], but does
    /// nothing if the log is shorter than its page says, which is damage.
    ///
    /// # Errors
    /// [`Kind::Io`] if the files cannot be read.
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

    /// Where the log's files end, compared with the log end of the page; `Less` without a page.
    fn end_of_files(&self) -> Result<Ordering> {
        let found = self.replica().page_and_end()?;
        Ok(found.map_or(Ordering::Less, |found| found.ends))
    }

    /// Whether the page is of this boot, and everything it includes is readable, and durable if the
    /// topic requires that. If not, a writer, a commit or a change of configs that died left work
    /// to finish. The same work recreates a lost epoch checkpoint, and finds in the log what a
    /// damaged copy of the page said.
    ///
    /// With several replicas the leader shows only what the others have, too: their daemons finish
    /// that.
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

    /// Whether records become readable only once other replicas have them.
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

    /// Whether the high watermark may be taken for the end: a new leader does not know its
    /// predecessor's until its own has reached the start of its epoch.
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

    /// Switches to another replica if the topic file now names one: the new leader's, or one that
    /// replaced this. Returns whether it changed.
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

/// Does what a first append would do, and makes durable what the topic requires to be durable.
fn put_in_order(store: &Arc<StoreDir>, tp: &TopicPartition, timeout: Duration) -> Result<()> {
    let mut writer = PartitionWriter::open(store, tp, timeout)?;
    let page = writer.make_ready()?;
    if writer.configs().every_message() && page.durable.offset < page.tail.end {
        // Another process's long sync makes durable what it covers: readers need not wait for it.
        Committer::open(store, tp, timeout)?.commit_in_turn(page.tail.end)?;
    }
    Ok(())
}

/// The note about records beyond the page that this process cannot recover.
fn older_page(tp: &TopicPartition, e: &Error) -> String {
    format!(
        "{tp}: the page is older than the log, so the last records cannot be read yet: the next \
         process that may write to the partition recovers them ({e})"
    )
}
