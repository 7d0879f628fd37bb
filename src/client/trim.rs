//! Trims: the log start of a partition rises to a point that the owner names.

use std::time::Duration;

use super::admin::Admin;
use super::leader_reader::open_now;
use super::resolve::resolve_for_trim;
use super::unresolved_offset::UnresolvedOffset;
use crate::error::{Error, Kind, Result};
use crate::partition::{self, PartitionWriter, RaisedStart, Replica};
use crate::store::{self, FORMAT_WITH_LOG_START, Liveness, TopicHandle};
use crate::types::{BrokerId, Offset, TopicPartition, Uuid};

/// Between two looks at the in-sync replicas.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A trim that was looked at, and not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTrim {
    /// The partition.
    pub tp: TopicPartition,
    /// Its topic's id: a topic that is created again under the name is not trimmed.
    pub topic_id: Uuid,
    /// The log start.
    pub from: Offset,
    /// The log start afterwards: `from`, or above.
    pub to: Offset,
}

impl PlannedTrim {
    /// How many offsets are removed. After a compaction fewer records have them.
    pub fn offsets(&self) -> Offset {
        self.to - self.from
    }
}

impl Admin {
    /// What a trim of a partition to that point does. Changes nothing. A point at or below the log
    /// start stands for the log start.
    ///
    /// # Errors
    /// [`Kind::OffsetOutOfRange`](crate::error::Kind::OffsetOutOfRange) for an offset beyond the high
    /// watermark; [`Kind::PolicyViolation`] if the topic is compacted only; those of a reader.
    pub fn plan_trim(&self, tp: &TopicPartition, point: UnresolvedOffset) -> Result<PlannedTrim> {
        let reader = open_now(self.store(), tp)?;
        if !reader.topic().configs().cleanup_policy.deletes() {
            return Err(compacted_only(tp));
        }
        let page = reader.page()?;
        Ok(PlannedTrim {
            tp: tp.clone(),
            topic_id: reader.topic().meta().topic_id,
            from: page.tail.log_start,
            to: resolve_for_trim(&reader, &page, point)?,
        })
    }

    /// Raises the log start of the partition's leader. The other replicas follow by themselves:
    /// [`Admin::await_trims`].
    ///
    /// # Errors
    /// As [`partition::raise_log_start`].
    pub fn trim(&self, plan: &PlannedTrim) -> Result<RaisedStart> {
        let mut writer = PartitionWriter::open(self.store(), &plan.tp, self.timeout())?;
        check_id(writer.topic(), plan)?;
        store::raise_format(self.store(), FORMAT_WITH_LOG_START, self.timeout())?;
        partition::raise_log_start(&mut writer, plan.to, self.timeout())
    }

    /// Waits until each in-sync replica has the log start of each trim; returns the brokers that do not
    /// have it after `timeout`, by partition. A replica whose broker's daemon does not run is brought
    /// there by this process.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`](crate::error::Kind::UnknownTopic), [`Kind::Io`](crate::error::Kind::Io),
    /// and `go_on`'s.
    pub fn await_trims(
        &self,
        plans: &[PlannedTrim],
        timeout: Duration,
        mut go_on: impl FnMut() -> Result<()>,
    ) -> Result<Vec<(TopicPartition, Vec<BrokerId>)>> {
        let clock = self.store().clock();
        let started = clock.monotonic();
        let mut left: Vec<&PlannedTrim> = plans.iter().collect();
        loop {
            let mut behind = Vec::new();
            for plan in left {
                go_on()?;
                let brokers = self.behind(plan)?;
                if !brokers.is_empty() {
                    behind.push((plan, brokers));
                }
            }
            if behind.is_empty() || clock.monotonic().saturating_sub(started) >= timeout {
                let named = behind.into_iter().map(|(plan, ids)| (plan.tp.clone(), ids));
                return Ok(named.collect());
            }
            left = behind.into_iter().map(|(plan, _)| plan).collect();
            clock.sleep(POLL_INTERVAL);
        }
    }

    /// The in-sync brokers whose replica's log starts below the trim's point.
    fn behind(&self, plan: &PlannedTrim) -> Result<Vec<BrokerId>> {
        let topic = TopicHandle::open(self.store(), &plan.tp.topic)?;
        check_id(&topic, plan)?;
        let partition = topic.partition(plan.tp.partition)?;
        let liveness = Liveness::new(self.store());
        let mut behind = Vec::new();
        for broker in partition.isr.iter().copied() {
            // A replica that cannot be read now is not there yet; if it fails, it leaves the ISR.
            let has = || -> Result<bool> {
                let page = Replica::open(self.store(), &plan.tp, broker)?.read_page()?;
                Ok(page.is_some_and(|page| page.tail.log_start >= plan.to))
            };
            if has().unwrap_or(false) {
                continue;
            }
            if broker != partition.leader && !liveness.is_alive(broker) {
                let _: Result<()> = partition::follow(self.store(), &plan.tp, broker);
                if has().unwrap_or(false) {
                    continue;
                }
            }
            behind.push(broker);
        }
        Ok(behind)
    }
}

/// The error for a topic that keeps the last record of each key.
fn compacted_only(tp: &TopicPartition) -> Error {
    let name = &tp.topic;
    let text = format!(
        "POLICY_VIOLATION: topic {name} is compacted only (cleanup.policy=compact): a trim would remove the last \
         records of keys"
    );
    Error::new(Kind::PolicyViolation, text).cure(format!(
        "to allow it: 'mq-topics alter {name} -c cleanup.policy=compact,delete'"
    ))
}

/// A writer keeps to the topic that it was opened with, so this is checked once.
fn check_id(topic: &TopicHandle, plan: &PlannedTrim) -> Result<()> {
    if topic.meta().topic_id == plan.topic_id {
        return Ok(());
    }
    let name = &plan.tp.topic;
    let text = format!("UNKNOWN_TOPIC_OR_PARTITION: {name} was deleted and created again");
    Err(Error::new(Kind::UnknownTopic, text).cure("start again to trim the new one"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::{NewTopic, create_topic, delete_topic};
    use crate::record::BatchBuilder;
    use crate::store::StoreDir;
    use crate::types::{Compression, TimestampType, TopicName};

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// As while a person is asked for consent.
    #[test]
    fn a_topic_that_is_created_again_is_not_trimmed() {
        let at = tempfile::tempdir().expect("a place");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &at.path().join("store"));
        let store = Arc::new(store.expect("a store"));
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
        let begin = || {
            create_topic(&store, &NewTopic::embedded(tp.topic.clone(), 1), TIMEOUT).expect("made");
            let mut writer = PartitionWriter::open(&store, &tp, TIMEOUT).expect("open");
            let mut builder = BatchBuilder::new();
            builder.append_value(1, b"v").expect("append");
            let batch = builder.finish(Compression::None, TimestampType::CreateTime);
            writer.append(&mut batch.expect("finish")).expect("append");
            partition::Committer::open(&store, &tp, TIMEOUT)
                .and_then(|mut committer| committer.commit(1))
                .expect("committed");
        };
        begin();
        let admin = Admin::new(&store, TIMEOUT);
        let plan = admin
            .plan_trim(&tp, UnresolvedOffset::End)
            .expect("planned");
        assert_eq!((plan.from, plan.to), (0, 1));
        delete_topic(&store, &tp.topic, TIMEOUT).expect("deleted");
        begin();
        let refused = admin.trim(&plan).expect_err("another topic");
        assert_eq!(refused.kind(), Kind::UnknownTopic);
        let start = || open_now(&store, &tp).and_then(|reader| reader.page());
        assert_eq!(start().expect("a page").tail.log_start, 0);
        let plan = admin
            .plan_trim(&tp, UnresolvedOffset::End)
            .expect("planned");
        admin.trim(&plan).expect("trimmed");
        assert_eq!(start().expect("a page").tail.log_start, 1);
    }
}
