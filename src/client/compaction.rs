//! Compaction of a topic on request: its partitions, one after the other.

use super::admin::Admin;
use crate::error::{Error, Kind, Result};
use crate::partition::compaction::{Compacted, Effort, PassStatus, Progress, pass};
use crate::store::{Liveness, TopicHandle};
use crate::types::{BrokerId, TopicName, TopicPartition};

/// What the compaction of some partitions did, by their leaders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactionTotal {
    /// Partitions.
    pub partitions: u64,
    /// Bytes of closed segments before.
    pub bytes_before: u64,
    /// Bytes of those after.
    pub bytes_after: u64,
    /// Records in them before.
    pub records_before: u64,
    /// Records in them after.
    pub records_after: u64,
    /// Of those, without a key.
    pub keyless: u64,
}

impl CompactionTotal {
    /// Adds a partition.
    pub fn add(&mut self, done: &Compacted) {
        self.partitions += 1;
        self.bytes_before += done.bytes_before;
        self.bytes_after += done.bytes_after;
        self.records_before += done.records_before;
        self.records_after += done.records_after;
        self.keyless += done.keyless;
    }
}

impl Admin {
    /// Refuses a topic that is not compacted.
    ///
    /// # Errors
    /// [`Kind::PolicyViolation`]; [`Kind::UnknownTopic`].
    pub fn check_is_compacted(&self, name: &TopicName) -> Result<()> {
        let topic = TopicHandle::open(self.store(), name)?;
        if topic.configs().cleanup_policy.compacts() {
            return Ok(());
        }
        let text =
            format!("POLICY_VIOLATION: topic {name} is not compacted (cleanup.policy=delete)");
        Err(Error::new(Kind::PolicyViolation, text).cure(format!(
            "if a later record of a key is to replace the earlier ones: 'mq-topics alter {name} -c \
             cleanup.policy=compact'"
        )))
    }

    /// Compacts a partition at its leader, whatever its dirty ratio is: the active segment is closed first.
    /// A follower whose broker's daemon does not run is compacted, too. `go_on` is called with each batch of
    /// the leader's log, and its error ends the compaction: what was compacted stays so.
    ///
    /// # Errors
    /// [`Kind::PolicyViolation`]; [`Kind::Busy`] while another process compacts the partition;
    /// [`Kind::DiskFull`], [`Kind::Io`]; those of an append.
    pub fn compact(
        &self,
        tp: &TopicPartition,
        go_on: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Compacted> {
        self.check_is_compacted(&tp.topic)?;
        let topic = TopicHandle::open(self.store(), &tp.topic)?;
        let partition = topic.partition(tp.partition)?;
        let done = self.compact_at(tp, partition.leader, go_on)?;
        let liveness = Liveness::new(self.store());
        for replica in &partition.replicas {
            if replica.broker != partition.leader && !liveness.is_alive(replica.broker) {
                let mut go_on_only = |_| go_on(Progress::default());
                match self.compact_at(tp, replica.broker, &mut go_on_only) {
                    // One that cannot be used now is compacted once its broker runs.
                    Err(e) if !e.kind().is_of_one_replica() => return Err(e),
                    _ => {}
                }
            }
        }
        Ok(done)
    }

    fn compact_at(
        &self,
        tp: &TopicPartition,
        broker: BrokerId,
        go_on: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Compacted> {
        let effort = Effort {
            is_forced: true,
            ..Effort::default()
        };
        let done = pass(self.store(), tp, broker, effort, self.timeout(), go_on)?;
        let busy = |why: &str| {
            let text = format!("{tp} was not compacted: {why}");
            Error::new(Kind::Busy, text)
                .cure("try again; 'mq-broker locks' lists who holds which lock")
        };
        match done.status {
            PassStatus::Busy => Err(busy("another process compacts it")),
            PassStatus::NotReady => {
                Err(busy("its log is about to move, or waits for its recovery"))
            }
            _ => Ok(done),
        }
    }
}
