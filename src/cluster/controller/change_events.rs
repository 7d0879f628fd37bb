//! Describes what other processes did to a topic's partitions: reassignments that began, ended or
//! were cancelled, and changes of leader that this controller did not make.

use std::collections::BTreeMap;

use super::partition::Partition;
use crate::cluster::notice::NOTICES_MAX;
use crate::store::PartitionMeta;
use crate::types::{BrokerId, TopicName, TopicPartition};

/// What is new in one reading of a topic file.
#[derive(Debug, Default)]
pub(crate) struct ChangeEvents {
    begun: Vec<TopicPartition>,
    done: Vec<TopicPartition>,
    taken_back: Vec<TopicPartition>,
    moved: BTreeMap<(BrokerId, BrokerId), Vec<TopicPartition>>,
}

impl ChangeEvents {
    /// Adds a partition that is seen for the first time.
    pub fn first(&mut self, topic: &TopicName, next: &PartitionMeta) {
        if next.reassignment.is_some() {
            self.begun.push(of(topic, next));
        }
    }

    /// Adds a partition whose known state differs.
    pub fn changed(&mut self, topic: &TopicName, known: &Partition, next: &PartitionMeta) {
        let before = &known.meta;
        match (&before.reassignment, &next.reassignment) {
            (was, Some(now)) if was.as_ref() != Some(now) => self.begun.push(of(topic, next)),
            (Some(was), None) => {
                let held: Vec<_> = next.replicas.iter().map(|r| r.broker).collect();
                let all = if held == was.target {
                    &mut self.done
                } else {
                    &mut self.taken_back
                };
                all.push(of(topic, next));
            }
            _ => {}
        }
        if before.leader != next.leader && !known.was_to_begin(next.leader_epoch) {
            let moved = self.moved.entry((before.leader, next.leader)).or_default();
            moved.push(of(topic, next));
        }
    }

    /// As sentences for notices.
    pub fn notified(&self) -> impl Iterator<Item = String> {
        let reassigned = [
            ("being reassigned", &self.begun),
            ("reassigned", &self.done),
            ("reassignment cancelled", &self.taken_back),
        ];
        let reassigned = reassigned
            .into_iter()
            .filter(|(_, tps)| !tps.is_empty())
            .map(|(what, tps)| format!("{what}: {}", TopicPartition::first_of(tps, NOTICES_MAX)));
        let moved = self.moved.iter().map(|((from, to), tps)| {
            let tps = TopicPartition::first_of(tps, NOTICES_MAX);
            format!("broker {to} was given {tps}, which broker {from} led")
        });
        reassigned.chain(moved)
    }
}

fn of(topic: &TopicName, meta: &PartitionMeta) -> TopicPartition {
    TopicPartition::new(topic.clone(), meta.partition)
}
