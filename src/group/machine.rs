//! The group's state machine: `step(state, event) -> (state, effects)`, pure.
//!
//! After KIP-848: an event raises the group epoch; a target assignment is made for it; members
//! reconcile towards their targets. Kafka's coordinator does this for all members; here the holder
//! of the group's lock does it.
//!
//! 1. A partition has one owner at most, always.
//! 2. Only its owner's release, or its removal from the group, makes an owned partition free.
//! 3. A member reaches an assignment epoch once it owns nothing outside its target; only then it is
//!    given more.
//! 4. In one assignment epoch a partition never has two owners one after the other, unless the
//!    second joined in a later group epoch: removal and return raise it.
//!
//! Time is not in here: no clock is compared across processes. Each watcher finds out by its own
//! clock that joins have calmed down, or that a heartbeat did not move for a session timeout, and
//! reports it by [`GroupEvent::Assign`] and [`GroupEvent::Remove`].

use std::collections::BTreeSet;

use super::Assignor;
use super::assignor::{self, Assignment, Subscriber};
use super::state::{GroupState, MemberState, Topics};
use crate::types::{PartitionId, TopicName, TopicPartition, Uuid};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// A member joins. Its epoch, its owned partitions and its target are left empty.
    Join {
        /// Its id, never used before.
        id: Uuid,
        /// The member.
        member: Box<MemberState>,
        /// The dead static member of the same instance id that it replaces.
        replaces: Option<Uuid>,
        /// The assignor that it requests.
        assignor: Option<Assignor>,
    },
    /// These topics exist, and each member wants some of them.
    Topics {
        /// The topics.
        topics: Topics,
        /// Each member's; a member that is not listed keeps its topics.
        wanted: Vec<(Uuid, BTreeSet<TopicName>)>,
    },
    /// Joins have calmed down: make the targets.
    Assign,
    /// A member no longer reads these.
    Release {
        /// The member.
        id: Uuid,
        /// The partitions.
        partitions: BTreeSet<TopicPartition>,
    },
    /// A member left, died, or hung for a session timeout.
    Remove {
        /// The member.
        id: Uuid,
    },
}

/// An effect, for the lock holder to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEffect {
    /// A member owns these from now on.
    Granted(Uuid, BTreeSet<TopicPartition>),
    /// A member no longer owns these.
    Freed(Uuid, BTreeSet<TopicPartition>),
    /// A member's file is to be removed.
    Forget(Uuid),
    /// A setting of the group changed: the file has to be synced.
    Settings,
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The group has members that use another assignor.
    Assignor(Assignor),
    /// No such member: it was removed.
    Unknown(Uuid),
    /// No epoch is left.
    NoEpoch,
}

/// Applies an event.
///
/// # Errors
/// The former state stays valid.
pub fn step(
    state: &GroupState,
    event: GroupEvent,
) -> Result<(GroupState, Vec<GroupEffect>), Refusal> {
    let mut machine = Machine {
        state: state.clone(),
        effects: Vec::new(),
    };
    match event {
        GroupEvent::Join {
            id,
            member,
            replaces,
            assignor,
        } => machine.join(id, *member, replaces, assignor)?,
        GroupEvent::Topics { topics, wanted } => machine.topics(topics, wanted)?,
        // The targets of an epoch are made once: what a member owns in that epoch stays its own.
        GroupEvent::Assign if state.group_epoch == state.assignment_epoch => {}
        GroupEvent::Assign => machine.assign(),
        GroupEvent::Release { id, partitions } => machine.release(id, &partitions)?,
        GroupEvent::Remove { id } => machine.remove(id)?,
    }
    Ok((machine.state, machine.effects))
}

struct Machine {
    state: GroupState,
    effects: Vec<GroupEffect>,
}

impl Machine {
    fn join(
        &mut self,
        id: Uuid,
        member: MemberState,
        replaces: Option<Uuid>,
        assignor: Option<Assignor>,
    ) -> Result<(), Refusal> {
        let others = self.state.members.keys().any(|old| Some(*old) != replaces);
        if let Some(assignor) = assignor
            && assignor != self.state.assignor
        {
            if others {
                return Err(Refusal::Assignor(self.state.assignor));
            }
            self.state.assignor = assignor;
            self.effects.push(GroupEffect::Settings);
        }
        let mut member = member;
        member.epoch = 0;
        let was_assigned = self.state.group_epoch == self.state.assignment_epoch;
        self.raise_epoch()?;
        let old = replaces.and_then(|old| Some((old, self.state.members.remove(&old)?)));
        let mut returns = false;
        if let Some((old_id, old)) = old {
            returns = was_assigned && old.topics == member.topics;
            member.owned = old.owned;
            member.target = old.target;
            // It may still be reading its partitions in that epoch.
            member.epoch = old.epoch;
            self.effects
                .push(GroupEffect::Freed(old_id, member.owned.clone()));
            self.effects
                .push(GroupEffect::Granted(id, member.owned.clone()));
            self.effects.push(GroupEffect::Forget(old_id));
        }
        self.state.former.clear();
        self.state.members.insert(id, member);
        if returns {
            // No member's target changes: no rebalance.
            self.state.assignment_epoch = self.state.group_epoch;
            self.reconcile();
        } else if !others {
            self.assign();
        }
        Ok(())
    }

    fn topics(
        &mut self,
        topics: Topics,
        wanted: Vec<(Uuid, BTreeSet<TopicName>)>,
    ) -> Result<(), Refusal> {
        let mut changed = self.state.topics != topics;
        for (id, names) in wanted {
            if let Some(member) = self.state.members.get_mut(&id)
                && member.topics != names
            {
                member.topics = names;
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        let old = std::mem::replace(&mut self.state.topics, topics);
        let now = &self.state.topics;
        let is_there = |tp: &TopicPartition| {
            now.get(&tp.topic).is_some_and(|topic| {
                tp.partition < topic.partitions
                    && old
                        .get(&tp.topic)
                        .is_none_or(|before| before.topic_id == topic.topic_id)
            })
        };
        for (id, member) in &mut self.state.members {
            // Partitions that no longer exist cannot be read: they need no release.
            let gone: BTreeSet<_> = member
                .owned
                .iter()
                .filter(|tp| !is_there(tp))
                .cloned()
                .collect();
            if !gone.is_empty() {
                member.owned.retain(|tp| !gone.contains(tp));
                self.effects.push(GroupEffect::Freed(*id, gone));
            }
            member.target.retain(is_there);
        }
        self.raise_epoch()?;
        self.assign();
        Ok(())
    }

    fn release(&mut self, id: Uuid, partitions: &BTreeSet<TopicPartition>) -> Result<(), Refusal> {
        let member = self
            .state
            .members
            .get_mut(&id)
            .ok_or(Refusal::Unknown(id))?;
        let freed: BTreeSet<_> = member.owned.intersection(partitions).cloned().collect();
        member.owned.retain(|tp| !freed.contains(tp));
        if !freed.is_empty() {
            self.effects.push(GroupEffect::Freed(id, freed));
        }
        self.reconcile();
        Ok(())
    }

    fn remove(&mut self, id: Uuid) -> Result<(), Refusal> {
        let member = self.state.members.remove(&id).ok_or(Refusal::Unknown(id))?;
        self.raise_epoch()?;
        if !member.owned.is_empty() {
            self.effects.push(GroupEffect::Freed(id, member.owned));
        }
        self.effects.push(GroupEffect::Forget(id));
        if self.state.members.is_empty() {
            self.state.former = vec![member.subscription];
        }
        // At once: partitions of the removed member are unread.
        self.assign();
        Ok(())
    }

    fn raise_epoch(&mut self) -> Result<(), Refusal> {
        self.state.group_epoch = self
            .state
            .group_epoch
            .checked_add(1)
            .ok_or(Refusal::NoEpoch)?;
        Ok(())
    }

    fn assign(&mut self) {
        let subscribers: Vec<Subscriber> = self
            .state
            .members
            .iter()
            .map(|(id, member)| Subscriber {
                id: *id,
                topics: member.topics.clone(),
                current: member.target.clone(),
            })
            .collect();
        let counts = self
            .state
            .topics
            .iter()
            .map(|(name, topic)| (name.clone(), topic.partitions))
            .collect::<std::collections::BTreeMap<TopicName, PartitionId>>();
        let mut targets: Assignment = assignor::assign(self.state.assignor, &subscribers, &counts);
        for (id, member) in &mut self.state.members {
            member.target = targets.remove(id).unwrap_or_default();
        }
        self.state.assignment_epoch = self.state.group_epoch;
        self.reconcile();
    }

    /// Lets members reach the assignment epoch, and gives free partitions to those that did.
    fn reconcile(&mut self) {
        let epoch = self.state.assignment_epoch;
        let mut owned: BTreeSet<TopicPartition> = BTreeSet::new();
        for member in self.state.members.values_mut() {
            if member.owned.is_subset(&member.target) {
                member.epoch = epoch;
            }
            owned.extend(member.owned.iter().cloned());
        }
        for (id, member) in &mut self.state.members {
            if member.epoch != epoch {
                continue;
            }
            let granted: BTreeSet<_> = member.target.difference(&owned).cloned().collect();
            if !granted.is_empty() {
                member.owned.extend(granted.iter().cloned());
                self.effects.push(GroupEffect::Granted(*id, granted));
            }
        }
    }
}

#[cfg(test)]
mod tests;
