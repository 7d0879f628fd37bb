//! Reassignments of partitions: begun, cancelled, and their progress.

use std::collections::BTreeSet;

use super::admin::Admin;
use super::followers::{FollowerDescription, followers};
use crate::error::{Error, Kind, Result};
use crate::lifecycle;
use crate::partition::Replica;
use crate::store::{Liveness, TopicMeta};
use crate::types::{BrokerId, Offset, PartitionId, Scope, TopicPartition};

/// A planned reassignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedReassignment {
    /// The partition.
    pub tp: TopicPartition,
    /// The brokers of its replicas.
    pub from: Vec<BrokerId>,
    /// The brokers of its new replicas, the preferred leader first.
    pub to: Vec<BrokerId>,
}

/// A reassignment under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReassignmentDescription {
    /// The partition.
    pub tp: TopicPartition,
    /// The brokers that held its replicas before.
    pub from: Vec<BrokerId>,
    /// The brokers of its new replicas, the preferred leader first.
    pub to: Vec<BrokerId>,
    /// How far the added replicas have copied.
    pub adding: Vec<FollowerDescription>,
    /// The most bytes a second that each of them copies; `None`: no limit.
    pub throttle: Option<u64>,
}

impl Admin {
    /// The changes that give the partitions these replicas: a topic stands for all of its
    /// partitions. Partitions that have them already are left out.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`]; [`Kind::InvalidConfig`] for fewer than `min.insync.replicas`;
    /// [`Kind::BrokerState`] for an unknown broker, for one that does not run and holds no replica
    /// yet, and for a partition that is being reassigned.
    pub fn plan_reassignment(
        &self,
        wanted: &[(Scope, Vec<BrokerId>)],
    ) -> Result<Vec<PlannedReassignment>> {
        let liveness = Liveness::new(self.store());
        let known = self.store().brokers()?;
        let mut plan = Vec::new();
        for (scope, to) in wanted {
            let meta = self.metadata(&scope.topic)?;
            check_partition(&meta, scope.partition)?;
            if let Some(id) = to.iter().find(|id| known.binary_search(id).is_err()) {
                return Err(lifecycle::unknown_broker(*id));
            }
            meta.configs()?.check_replicas(to.len())?;
            for partition in &meta.partitions {
                if !scope.has(&meta.name, partition.partition) {
                    continue;
                }
                let tp = TopicPartition::new(meta.name.clone(), partition.partition);
                if partition.reassignment.is_some() {
                    return Err(lifecycle::under_way(&tp));
                }
                let new = to.iter().filter(|id| partition.uuid_of(**id).is_none());
                for id in new {
                    if !liveness.is_alive(*id) {
                        return Err(does_not_run(&tp, *id));
                    }
                }
                let from: Vec<_> = partition.replicas.iter().map(|r| r.broker).collect();
                if from != *to {
                    let to = to.clone();
                    plan.push(PlannedReassignment { tp, from, to });
                }
            }
        }
        Ok(plan)
    }

    /// Begins reassignments, all or none; the controller finishes them. `throttle`: the most bytes
    /// a second that each new replica copies.
    ///
    /// # Errors
    /// As [`lifecycle::start_reassignment`].
    pub fn reassign(&self, plan: &[PlannedReassignment], throttle: Option<u64>) -> Result<()> {
        let changes: Vec<_> = plan
            .iter()
            .map(|planned| (planned.tp.clone(), planned.to.clone()))
            .collect();
        lifecycle::start_reassignment(self.store(), &changes, throttle, self.timeout()).map(drop)
    }

    /// Cancels reassignments, all or none; returns which.
    ///
    /// # Errors
    /// As [`lifecycle::cancel_reassignment`].
    pub fn cancel_reassignments(&self, scopes: &[Scope]) -> Result<Vec<TopicPartition>> {
        let cancelled = self.reassigning(scopes)?;
        lifecycle::cancel_reassignment(self.store(), &cancelled, self.timeout())?;
        Ok(cancelled)
    }

    /// The partitions of these scopes that are being reassigned.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`]; [`Kind::BrokerState`] for a partition that is not being
    /// reassigned, and for a topic without such a partition.
    pub fn reassigning(&self, scopes: &[Scope]) -> Result<Vec<TopicPartition>> {
        let mut found = BTreeSet::new();
        for scope in scopes {
            let meta = self.metadata(&scope.topic)?;
            check_partition(&meta, scope.partition)?;
            let under_way = meta.partitions.iter().filter(|p| p.reassignment.is_some());
            let mut all: Vec<_> = under_way.map(|p| p.partition).collect();
            all.retain(|p| scope.has(&meta.name, *p));
            if all.is_empty() {
                let text = format!("NO_REASSIGNMENT_IN_PROGRESS: {scope} is not being reassigned");
                return Err(Error::new(Kind::BrokerState, text)
                    .cure("'mq-broker reassign' lists what is under way"));
            }
            found.extend(
                all.into_iter()
                    .map(|p| TopicPartition::new(meta.name.clone(), p)),
            );
        }
        Ok(found.into_iter().collect())
    }

    /// All reassignments under way. A topic whose file is damaged is left out.
    ///
    /// # Errors
    /// [`Kind::Io`] if the topics cannot be listed.
    pub fn reassignments(&self) -> Result<Vec<ReassignmentDescription>> {
        let mut all = Vec::new();
        for name in self.list()? {
            let Ok(meta) = self.metadata(&name) else {
                continue;
            };
            for partition in &meta.partitions {
                let Some(under_way) = &partition.reassignment else {
                    continue;
                };
                let tp = TopicPartition::new(name.clone(), partition.partition);
                let end = self.log_end(&tp, partition.leader);
                let mut adding = followers(self.store(), &meta, partition, end);
                adding.retain(|follower| !under_way.before.contains(&follower.broker));
                all.push(ReassignmentDescription {
                    tp,
                    from: under_way.before.clone(),
                    to: under_way.target.clone(),
                    adding,
                    throttle: under_way.throttle,
                });
            }
        }
        Ok(all)
    }

    fn log_end(&self, tp: &TopicPartition, leader: BrokerId) -> Option<Offset> {
        let replica = Replica::open(self.store(), tp, leader).ok()?;
        let page = replica.read_page().ok().flatten()?;
        Some(page.tail.end)
    }
}

fn check_partition(meta: &TopicMeta, only: Option<PartitionId>) -> Result<()> {
    only.map_or(Ok(()), |p| meta.known_partition(p).map(drop))
}

fn does_not_run(tp: &TopicPartition, id: BrokerId) -> Error {
    let text = format!(
        "INVALID_REPLICA_ASSIGNMENT: broker {id} does not run, and holds no replica of {tp} that \
         could wait for it"
    );
    Error::new(Kind::BrokerState, text).cure(format!("start it first: mq-broker start --id {id}"))
}
