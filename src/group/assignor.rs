//! Assigns partitions to members: pure decisions, after KIP-848's server-side assignors.
//!
//! For every assignor:
//!
//! 1. Each partition of a topic that has a subscriber belongs to exactly one member, and that
//!    member subscribed to the topic.
//! 2. The same input gives the same assignment, in whatever order the subscribers come.
//! 3. Assigning again with the result as `current` changes nothing.
//!
//! For [`Assignor::Uniform`] also:
//!
//! 4. Balanced: no hand-over, nor chain of hand-overs, leads from a member of n partitions to one
//!    of n - 2 or fewer. Among members of equal subscriptions all are thus within one partition.
//! 5. Sticky: no assignment as balanced takes fewer partitions from the members that had them.
//! 6. Spread: if no member had any and all subscribe to the same topics, the members are within one
//!    partition in each topic too.
//!
//! For [`Assignor::Range`] also:
//!
//! 7. Each topic is cut in contiguous ranges, in the order of its subscribers' ids; the first ones
//!    get one partition more. Topics of as many partitions and the same subscribers are cut alike:
//!    one member reads all records of a key.
//!
//! Invariant: no I/O, no time, no randomness.

mod range;
mod shares;
mod subscriber;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{PartitionId, TopicName, TopicPartition, Uuid};
pub use subscriber::Subscriber;
use subscriber::{SubscribedTopic, numbers_of};

/// How partitions are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// As many partitions for each member, and as few moved as that allows.
    Uniform,
    /// Contiguous ranges of each topic, whatever the current assignment.
    Range,
}

impl Assignor {
    /// Every assignor.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// From its name or its alias; `None` for any other text.
    pub fn parse(text: &str) -> Option<Assignor> {
        let is_it = |one: &Assignor| one.as_str() == text || one.alias() == Some(text);
        Self::ALL.into_iter().find(is_it)
    }

    /// Its alias.
    pub fn alias(self) -> Option<&'static str> {
        (self == Assignor::Uniform).then_some("sticky")
    }

    /// Kafka's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }
}

/// Each subscriber's partitions, perhaps none.
pub type Assignment = BTreeMap<Uuid, BTreeSet<TopicPartition>>;

/// Assigns the partitions of `topics` (how many each has) to `subscribers`. Left out are topics
/// without a subscriber, and those that are not in `topics`.
pub fn assign(
    assignor: Assignor,
    subscribers: &[Subscriber],
    topics: &BTreeMap<TopicName, PartitionId>,
) -> Assignment {
    let mut members: Vec<&Subscriber> = subscribers.iter().collect();
    members.sort_by_key(|member| member.id);
    let topics = subscribed(&members, topics);
    let owned = match assignor {
        Assignor::Uniform => uniform::assign(&members, &topics),
        Assignor::Range => range::assign(members.len(), &topics),
    };
    let mut assignment = Assignment::new();
    for (member, owned) in members.into_iter().zip(owned) {
        assignment.entry(member.id).or_default().extend(owned);
    }
    assignment
}

impl SubscribedTopic<'_> {
    fn partition(&self, n: usize) -> TopicPartition {
        TopicPartition::new(self.name.clone(), n as PartitionId)
    }
}

/// The topics to assign, by name.
fn subscribed<'a>(
    members: &[&Subscriber],
    topics: &'a BTreeMap<TopicName, PartitionId>,
) -> Vec<SubscribedTopic<'a>> {
    let mut found: Vec<SubscribedTopic<'a>> = topics
        .iter()
        .filter(|(_, partitions)| **partitions > 0)
        .map(|(name, partitions)| SubscribedTopic {
            name,
            partitions: *partitions as usize,
            subscribers: Vec::new(),
        })
        .collect();
    let numbers = numbers_of(&found);
    for (member, subscriber) in members.iter().enumerate() {
        for name in &subscriber.topics {
            if let Some(topic) = numbers.get(name) {
                found[*topic].subscribers.push(member);
            }
        }
    }
    found.retain(|topic| !topic.subscribers.is_empty());
    found
}
