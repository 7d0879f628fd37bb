//! The state of a group at one moment, in KIP-848's terms.
//!
//! ```text
//! group epoch       raised by each change of members, subscriptions or topics
//! assignment epoch  the group epoch that the target assignment was made for
//! member epoch      the assignment epoch that the member has reached; 0: it has just joined
//! target            the partitions a member should read
//! owned             the partitions it reads, or may still be reading
//!
//! Empty         it has no member
//! Assigning     group epoch > assignment epoch: the target is out of date
//! Reconciling   a member still owns part of another's target, or has not reached the epoch
//! Stable        every member owns its target
//! Dead          deleted (that is written in offsets.log, not here)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::assignor::Assignor;
use super::subscription::Subscription;
use crate::types::{Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// The topics that members subscribed to, as they were last seen.
pub type Topics = BTreeMap<TopicName, TopicState>;

/// A topic, as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicState {
    /// Its id: a topic with another id is another topic.
    pub topic_id: Uuid,
    /// How many partitions it has.
    pub partitions: PartitionId,
    /// It was created after the group's members wanted it, even if they are gone by then, or after
    /// the command of its first member began: none of its records is older than the group, so it is
    /// read from its start.
    pub came_later: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Raised by each change of members, subscriptions or topics.
    pub group_epoch: i32,
    /// The group epoch that the targets were made for.
    pub assignment_epoch: i32,
    /// How partitions are assigned.
    pub assignor: Assignor,
    /// How long offsets are kept after the last use of the group, minutes; `None`: the default.
    pub offsets_retention_minutes: Option<u32>,
    /// The topics to read.
    pub topics: Topics,
    /// The subscriptions of the last members; empty while there are members. `topics` are still the
    /// topics that they saw, so a topic that is not among these was created after them.
    pub former: Vec<Subscription>,
    /// The members.
    pub members: BTreeMap<Uuid, MemberState>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// The assignment epoch that it has reached; 0: it has just joined.
    pub epoch: i32,
    /// The name that a static member keeps [KIP-345].
    pub instance_id: Option<String>,
    /// The topics that it wants to read.
    pub subscription: Subscription,
    /// The existing topics of these.
    pub topics: BTreeSet<TopicName>,
    /// The partitions that it reads, or may still be reading.
    pub owned: BTreeSet<TopicPartition>,
    /// The partitions that it should read.
    pub target: BTreeSet<TopicPartition>,
    /// Where it stops reading (`-e`), each partition's offset from partition 0; a topic that is
    /// missing has no end for it. `None`: it follows.
    pub ends: Option<BTreeMap<TopicName, Vec<Offset>>>,
    /// How long its heartbeat may not move, milliseconds.
    pub session_timeout_ms: u64,
    /// Its process.
    pub pid: u32,
    /// That process's host.
    pub host: String,
}

impl GroupState {
    /// A group without members.
    pub fn new(group_epoch: i32, assignor: Assignor) -> Self {
        GroupState {
            group_epoch,
            assignment_epoch: group_epoch,
            assignor,
            offsets_retention_minutes: None,
            topics: Topics::new(),
            former: Vec::new(),
            members: BTreeMap::new(),
        }
    }

    /// Kafka's name of its state.
    pub fn name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.group_epoch > self.assignment_epoch {
            "Assigning"
        } else if self.reconciling() > 0 {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// How many members do not own yet what the last assignment gave them; members that joined
    /// after it do not count.
    pub fn reconciling(&self) -> usize {
        let epoch = self.assignment_epoch;
        let members = self.members.values();
        members
            .filter(|member| member.epoch > 0 && !member.is_reconciled(epoch))
            .count()
    }

    /// The owner of a partition.
    pub fn owner(&self, tp: &TopicPartition) -> Option<Uuid> {
        self.members
            .iter()
            .find(|(_, member)| member.owned.contains(tp))
            .map(|(id, _)| *id)
    }

    /// The largest end of a partition that any of its members set.
    pub fn end_of(&self, tp: &TopicPartition) -> Option<Offset> {
        self.members
            .values()
            .filter_map(|member| member.end_of(tp))
            .max()
    }
}

impl MemberState {
    /// Whether it owns its target, in that assignment epoch.
    pub fn is_reconciled(&self, assignment_epoch: i32) -> bool {
        self.epoch == assignment_epoch && self.owned == self.target
    }

    /// The end of a partition that it set.
    pub fn end_of(&self, tp: &TopicPartition) -> Option<Offset> {
        let ends = self.ends.as_ref()?.get(&tp.topic)?;
        ends.get(usize::try_from(tp.partition).ok()?).copied()
    }
}
