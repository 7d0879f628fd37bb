//! Seals a leader's log for a leadership transfer: nothing is appended any more, so the next leader
//! can catch up to the end. A new leader epoch lifts the seal; if none can be written, the
//! transferring process lifts it itself.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::partition::append::PartitionWriter;
use crate::partition::replica::Replica;
use crate::partition::state_page::{Intent, Seal, StatePage};
use crate::store::{Heartbeat, StoreDir};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition, Uuid};

/// A leader's log that is sealed. While this value exists, its process writes a heartbeat in the
/// page's file: a writer that meets the seal waits while the heartbeat goes on, and undoes the seal
/// of a process that died or is stopped.
#[derive(Debug)]
pub struct Sealed {
    leader: Replica,
    uuid: Uuid,
    epoch: LeaderEpoch,
    end: Offset,
    log_start: Offset,
    _heartbeat: Heartbeat,
}

impl Sealed {
    /// Seals the log of the partition's leader, which is `leader` with that replica in that epoch.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if it is not, [`Kind::Busy`] (another process keeps its append lock),
    /// [`Kind::Offline`], [`Kind::Io`].
    pub fn seal(
        store: &Arc<StoreDir>,
        tp: &TopicPartition,
        leader: BrokerId,
        uuid: Uuid,
        epoch: LeaderEpoch,
        timeout: Duration,
    ) -> Result<Self> {
        let in_order = |page: &StatePage| {
            page.leads(store.boot_id(), uuid, epoch) && page.intent == Intent::None
        };
        let mut made_ready = false;
        loop {
            let replica = Replica::open(store, tp, leader)?;
            let held = replica.lock(timeout)?;
            let page = held.page()?.filter(in_order);
            // This process has not used the log before, so the page is compared with the files: if
            // the page is old, the next leader would truncate what lies beyond it.
            let fits = match &page {
                Some(page) => replica.end_of_files(page)? == Ordering::Equal,
                None => false,
            };
            if let Some(mut page) = page.filter(|_| fits) {
                let (log_start, end) = (page.tail.log_start, page.tail.end);
                page.seal = Some(Seal::Moving);
                held.publish(&mut page)?;
                drop(held);
                return Ok(Sealed {
                    _heartbeat: replica.heartbeat_as_mover(),
                    leader: replica,
                    uuid,
                    epoch,
                    end,
                    log_start,
                });
            }
            drop(held);
            if made_ready {
                return Err(moved_on(tp));
            }
            PartitionWriter::open(store, tp, timeout)?.make_ready()?;
            made_ready = true;
        }
    }

    /// Where the log ends.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Where the log starts.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Whether the log is still as it was sealed.
    pub fn holds(&self) -> Result<bool> {
        let page = self.leader.read_page()?;
        Ok(page.is_some_and(|page| self.is_of(&page)))
    }

    /// Lifts the seal in the same epoch after a leadership transfer failed. The caller holds the
    /// store's lock, and the topic file still names that leader and epoch: then no other transfer
    /// relies on this seal. A writer checks the topic file under the append lock, so a late call
    /// does not allow appends to a log that another broker leads by now.
    ///
    /// # Errors
    /// [`Kind::Busy`], [`Kind::Io`].
    pub fn undo(&self, timeout: Duration) -> Result<()> {
        let held = self.leader.lock(timeout)?;
        let Some(mut page) = held.page()?.filter(|page| self.is_of(page)) else {
            return Ok(());
        };
        page.seal = None;
        held.publish(&mut page)
    }

    fn is_of(&self, page: &StatePage) -> bool {
        page.replica_uuid == self.uuid
            && page.leader_epoch == self.epoch
            && page.tail.end == self.end
            && page.seal == Some(Seal::Moving)
    }
}

fn moved_on(tp: &TopicPartition) -> Error {
    Error::new(
        Kind::Fenced,
        format!("FENCED_LEADER_EPOCH: the leadership of {tp} moved on"),
    )
    .cure("look at it again with 'mq-topics describe'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::{NewTopic, create_topic};
    use crate::partition::state_page::PAGE_FILE;
    use crate::record::BatchBuilder;
    use crate::types::{Compression, TimestampType, TopicName};

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_log_is_sealed_at_its_end_though_its_page_is_older() {
        let at = tempfile::tempdir().expect("a place");
        let path = at.path().join("store");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store");
        let store = Arc::new(store);
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        let topic = NewTopic::embedded(tp.topic.clone(), 1);
        create_topic(&store, &topic, TIMEOUT).expect("topic");
        let append = || {
            let mut writer = PartitionWriter::open(&store, &tp, TIMEOUT).expect("open");
            let mut builder = BatchBuilder::new();
            builder.append_value(1, b"v").expect("append");
            let batch = builder.finish(Compression::None, TimestampType::CreateTime);
            writer.append(&mut batch.expect("finish")).expect("append")
        };
        let first = append();
        let page = path.join("brokers/0/logs/t-0").join(PAGE_FILE);
        let old = std::fs::read(&page).expect("read");
        append();
        std::fs::write(&page, old).expect("restored");
        let leader = (0, first.replica);
        let sealed = Sealed::seal(&store, &tp, leader.0, leader.1, first.leader_epoch, TIMEOUT);
        assert_eq!(sealed.expect("sealed").end(), 2);
    }
}
