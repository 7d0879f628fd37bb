//! The numbered invariants of the module, over random events in a group; and that the group
//! settles.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::group::state::TopicState;
use crate::group::subscription::Subscription;
use crate::types::TopicPartition;

const TOPICS: u8 = 3;

/// An event, described so that it can be generated: members by their index among the current ones.
#[derive(Debug, Clone)]
enum Op {
    /// With topics of that mask; a dead member of the same instance is replaced.
    Join(u8, Option<u8>, Option<Assignor>),
    /// A topic gets more partitions, or is made.
    Grow(u8, PartitionId),
    Drop(u8),
    /// Deleted and created again, with another id.
    Replace(u8, PartitionId),
    Want(usize, u8),
    Assign,
    /// Releases a part of the surplus, by the bits of the mask.
    Release(usize, u16),
    Remove(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let assignor = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Assignor::Uniform)),
        1 => Just(Some(Assignor::Range)),
    ];
    let instance = prop_oneof![2 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    let masks = prop_oneof![3 => Just(0xff_u8), 1 => any::<u8>()];
    let (topic, count) = (0..TOPICS, 1..5_i32);
    prop_oneof![
        6 => (masks.clone(), instance, assignor).prop_map(|(m, i, a)| Op::Join(m, i, a)),
        2 => (topic.clone(), count.clone()).prop_map(|(t, n)| Op::Grow(t, n)),
        1 => topic.clone().prop_map(Op::Drop),
        1 => (topic, count).prop_map(|(t, n)| Op::Replace(t, n)),
        1 => (any::<usize>(), masks).prop_map(|(at, m)| Op::Want(at, m)),
        4 => Just(Op::Assign),
        8 => (any::<usize>(), any::<u16>()).prop_map(|(at, m)| Op::Release(at, m)),
        3 => any::<usize>().prop_map(Op::Remove),
    ]
}

fn name(topic: u8) -> TopicName {
    TopicName::new(format!("t{topic}")).expect("a name")
}

fn member(topics: BTreeSet<TopicName>, instance: Option<u8>) -> MemberState {
    MemberState {
        epoch: 0,
        instance_id: instance.map(|n| n.to_string()),
        subscription: Subscription::default(),
        topics,
        owned: BTreeSet::new(),
        target: BTreeSet::new(),
        ends: None,
        session_timeout_ms: 45_000,
        pid: 1,
        host: "h".to_owned(),
    }
}

/// A partition, of the topic with that id.
type Of = (Uuid, TopicPartition);

/// A group, its events, and everything observed of it.
struct Run {
    state: GroupState,
    ids: u8,
    masks: BTreeMap<Uuid, u8>,
    /// The first in the chain of members that each member replaced.
    first_of: BTreeMap<Uuid, Uuid>,
    /// The owner of a partition in a member epoch.
    owners: BTreeMap<(Of, i32), Uuid>,
}

impl Run {
    fn new(topics: &[PartitionId]) -> Run {
        let mut run = Run {
            state: GroupState::new(0, Assignor::Uniform),
            ids: 0,
            masks: BTreeMap::new(),
            first_of: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for (topic, partitions) in topics.iter().enumerate() {
            run.happens(&Op::Grow(topic as u8, *partitions));
        }
        run
    }

    /// A new id; ids come in no order.
    fn fresh_id(&mut self) -> Uuid {
        self.ids = self.ids.checked_add(1).expect("few enough");
        Uuid([self.ids.wrapping_mul(167); 16])
    }

    fn nth(&self, at: usize) -> Option<Uuid> {
        let count = self.state.members.len();
        self.state
            .members
            .keys()
            .nth(at.checked_rem(count)?)
            .copied()
    }

    fn wanted(mask: u8, topics: &Topics) -> BTreeSet<TopicName> {
        (0..TOPICS)
            .filter(|t| mask & (1 << t) != 0)
            .map(name)
            .filter(|t| topics.contains_key(t))
            .collect()
    }

    fn surplus(&self, id: Uuid) -> BTreeSet<TopicPartition> {
        let member = &self.state.members[&id];
        member.owned.difference(&member.target).cloned().collect()
    }

    fn topics_event(&self, topics: Topics) -> GroupEvent {
        let wanted = self.masks.iter();
        let wanted = wanted.map(|(id, mask)| (*id, Run::wanted(*mask, &topics)));
        GroupEvent::Topics {
            wanted: wanted.collect(),
            topics,
        }
    }

    fn event(&mut self, op: &Op) -> Option<GroupEvent> {
        let mut topics = self.state.topics.clone();
        Some(match op {
            Op::Join(mask, instance, assignor) => {
                let id = self.fresh_id();
                let new = member(Run::wanted(*mask, &topics), *instance);
                let mut members = self.state.members.iter();
                let replaces = members
                    .find(|(_, old)| instance.is_some() && old.instance_id == new.instance_id)
                    .map(|(id, _)| *id);
                self.masks.insert(id, *mask);
                let first = replaces.map_or(id, |old| self.first_of[&old]);
                self.first_of.insert(id, first);
                let (member, assignor) = (Box::new(new), *assignor);
                GroupEvent::Join {
                    id,
                    member,
                    replaces,
                    assignor,
                }
            }
            Op::Grow(topic, by) => {
                let topic_id = self.fresh_id();
                let new = TopicState {
                    topic_id,
                    partitions: 0,
                    came_later: false,
                };
                topics.entry(name(*topic)).or_insert(new).partitions += by;
                self.topics_event(topics)
            }
            Op::Drop(topic) => {
                topics.remove(&name(*topic));
                self.topics_event(topics)
            }
            Op::Replace(topic, partitions) => {
                let topic_id = self.fresh_id();
                let new = TopicState {
                    topic_id,
                    partitions: *partitions,
                    came_later: false,
                };
                topics.insert(name(*topic), new);
                self.topics_event(topics)
            }
            Op::Want(at, mask) => {
                let id = self.nth(*at)?;
                self.masks.insert(id, *mask);
                self.topics_event(topics)
            }
            Op::Assign => GroupEvent::Assign,
            Op::Release(at, mask) => {
                let id = self.nth(*at)?;
                let chosen = self.surplus(id).into_iter().enumerate();
                let chosen = chosen.filter(|(bit, _)| mask & (1 << (bit % 16)) != 0);
                let partitions = chosen.map(|(_, tp)| tp).collect();
                GroupEvent::Release { id, partitions }
            }
            Op::Remove(at) => GroupEvent::Remove { id: self.nth(*at)? },
        })
    }

    fn happens(&mut self, op: &Op) {
        let Some(event) = self.event(op) else { return };
        let before = self.state.clone();
        match step(&before, event.clone()) {
            Ok((after, effects)) => {
                self.state = after;
                self.check(&before, &event, &effects);
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Assignor(has) if has == before.assignor));
                assert!(
                    before.members.len() > 1
                        || matches!(event, GroupEvent::Join { replaces: None, .. })
                );
            }
        }
        self.masks
            .retain(|id, _| self.state.members.contains_key(id));
    }

    fn check(&mut self, before: &GroupState, event: &GroupEvent, effects: &[GroupEffect]) {
        let now = &self.state;
        assert!(now.group_epoch >= before.group_epoch);
        assert!(now.assignment_epoch >= before.assignment_epoch);
        assert!(now.assignment_epoch <= now.group_epoch);
        if now.assignment_epoch == before.assignment_epoch {
            for (id, member) in &now.members {
                let same = |old: &MemberState| {
                    old.target == member.target || matches!(event, GroupEvent::Topics { .. })
                };
                assert!(
                    before.members.get(id).is_none_or(same),
                    "a target moved in its epoch"
                );
            }
        }

        let replaced = match event {
            GroupEvent::Join {
                id,
                replaces: Some(old),
                ..
            } => Some((*id, *old)),
            _ => None,
        };
        let mut owned_by_any = BTreeSet::new();
        for (id, member) in &now.members {
            assert!(member.epoch <= now.assignment_epoch);
            for tp in &member.owned {
                assert!(tp.partition < now.topics[&tp.topic].partitions);
                assert!(owned_by_any.insert(tp.clone()), "1: {tp} has two owners");
                let of = (now.topics[&tp.topic].topic_id, tp.clone());
                let first = self.first_of[id];
                let owner = *self.owners.entry((of, member.epoch)).or_insert(first);
                let epoch = member.epoch;
                assert_eq!(owner, first, "4: {tp} had another owner in epoch {epoch}");
            }
        }
        for (id, old) in &before.members {
            let is_there = |tp: &TopicPartition| {
                let (was, is) = (before.topics.get(&tp.topic), now.topics.get(&tp.topic));
                is.is_some_and(|is| was.is_some_and(|was| was.topic_id == is.topic_id))
            };
            let successor = match replaced {
                Some((new, old)) if old == *id => new,
                _ => *id,
            };
            let Some(member) = now.members.get(&successor) else {
                assert!(matches!(event, GroupEvent::Remove { id: removed } if removed == id));
                continue;
            };
            assert!(member.epoch >= old.epoch, "its epoch fell");
            for lost in old
                .owned
                .difference(&member.owned)
                .filter(|tp| is_there(tp))
            {
                let by_itself = matches!(event, GroupEvent::Release { id: by, partitions }
                    if by == id && partitions.contains(lost));
                assert!(by_itself, "2: {lost} was taken from its owner");
            }
        }

        // Partitions of a topic that was created again, or is gone, have no owner.
        for (tp, id) in owned(before) {
            let (was, is) = (before.topics.get(&tp.topic), now.topics.get(&tp.topic));
            let freed = |effect: &GroupEffect| matches!(effect, GroupEffect::Freed(of, freed) if *of == id && freed.contains(&tp));
            let same = was.map(|was| was.topic_id) == is.map(|is| is.topic_id);
            assert!(
                same || effects.iter().any(freed),
                "{tp} is another, or none"
            );
        }
        // The effects are exactly the changes.
        let mut reported = owned(before);
        for effect in effects {
            match effect {
                GroupEffect::Freed(id, partitions) => {
                    for tp in partitions {
                        assert_eq!(reported.remove(tp), Some(*id), "{tp} freed");
                    }
                }
                GroupEffect::Granted(id, partitions) => {
                    assert!(!partitions.is_empty() || replaced.is_some());
                    for tp in partitions {
                        assert_eq!(reported.insert(tp.clone(), *id), None, "{tp} granted");
                    }
                    let member = &now.members[id];
                    let ready = member.epoch == now.assignment_epoch
                        && member.owned.is_subset(&member.target);
                    let took_over = replaced.is_some_and(|(new, _)| new == *id);
                    assert!(ready || took_over, "3: granted before it gave up the rest");
                }
                GroupEffect::Forget(id) => {
                    assert!(before.members.contains_key(id) && !now.members.contains_key(id));
                }
                GroupEffect::Settings => assert_ne!(before.assignor, now.assignor),
            }
        }
        assert_eq!(reported, owned(now));
    }

    /// Every member releases its surplus; nothing else happens.
    fn comes_to_rest(&mut self) {
        self.happens(&Op::Assign);
        let before = self.state.clone();
        for at in 0..before.members.len() {
            self.happens(&Op::Release(at, u16::MAX));
        }
        let members = &self.state.members;
        let name = self.state.name();
        assert_eq!(
            name,
            if members.is_empty() {
                "Empty"
            } else {
                "Stable"
            }
        );
        for (id, member) in members {
            assert_eq!(
                member.target, before.members[id].target,
                "no further rebalance"
            );
        }
        let all = owned(&self.state);
        for (name, topic) in &self.state.topics {
            let wanted = members.values().any(|member| member.topics.contains(name));
            for partition in 0..topic.partitions {
                let owner = all.get(&TopicPartition::new(name.clone(), partition));
                assert_eq!(owner.is_some(), wanted, "{name}-{partition}");
                assert!(owner.is_none_or(|id| members[id].topics.contains(name)));
            }
        }
        if self.is_even() {
            let counts = members.values().map(|member| member.owned.len());
            let (most, least) = (counts.clone().max(), counts.min());
            assert!(
                most <= least.map(|least| least + 1),
                "{most:?} and {least:?}"
            );
        }
    }

    /// Whether its members should have equally many partitions.
    fn is_even(&self) -> bool {
        let mut topics = self.state.members.values().map(|member| &member.topics);
        let first = topics.next();
        self.state.assignor == Assignor::Uniform && topics.all(|other| Some(other) == first)
    }
}

fn owned(state: &GroupState) -> BTreeMap<TopicPartition, Uuid> {
    let members = state.members.iter();
    members
        .flat_map(|(id, member)| member.owned.iter().map(|tp| (tp.clone(), *id)))
        .collect()
}

/// A settled group of `members` that share `partitions` of one topic.
fn at_rest(partitions: PartitionId, members: usize) -> Run {
    let mut run = Run::new(&[partitions]);
    for _ in 0..members {
        run.happens(&Op::Join(1, None, None));
    }
    run.comes_to_rest();
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(
        topics in vec(0..6_i32, TOPICS as usize),
        ops in vec(op(), 0..40),
    ) {
        let mut run = Run::new(&topics);
        for op in &ops {
            run.happens(op);
        }
        run.comes_to_rest();
        // In a settled group, a join moves the fewest partitions, and a leave moves none of the
        // others'.
        let before = owned(&run.state);
        let is_even = run.is_even() && !run.state.members.is_empty();
        let joined = run.state.members.len();
        let topics = run.state.members.values().next().map(|member| member.topics.clone());
        if is_even && joined > 0 {
            let mask = (0..TOPICS).filter(|t| topics.iter().any(|of| of.contains(&name(*t))));
            let mask = mask.fold(0, |mask, t| mask | (1 << t));
            run.happens(&Op::Join(mask, None, None));
            run.comes_to_rest();
            let after = owned(&run.state);
            let moved = before.iter().filter(|(tp, owner)| after[*tp] != **owner).count();
            prop_assert_eq!(moved, before.len() / (joined + 1));
            let gone = run.nth(ops.len()).expect("a member");
            run.happens(&Op::Remove(ops.len()));
            run.comes_to_rest();
            let last = owned(&run.state);
            let moved = after.iter().filter(|(tp, owner)| last[*tp] != **owner);
            prop_assert!(moved.clone().all(|(_, owner)| *owner == gone));
        }
    }

    /// A static member comes back: it has its former partitions, and no other member is affected.
    #[test]
    fn a_return_is_no_rebalance(
        partitions in 0..12_i32,
        range in any::<bool>(),
        members in 1..6_usize,
        at in any::<usize>(),
        give_up in any::<u16>(),
    ) {
        let mut run = Run::new(&[partitions]);
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        run.happens(&Op::Join(1, Some(0), Some(assignor)));
        for _ in 1..members {
            run.happens(&Op::Join(1, None, None));
        }
        run.happens(&Op::Assign);
        run.happens(&Op::Release(at, give_up));
        let before = run.state.clone();
        let is_static = |member: &MemberState| member.instance_id.is_some();
        let (old_id, old) = before.members.iter().find(|(_, m)| is_static(m)).expect("it");
        run.happens(&Op::Join(1, Some(0), None));
        let (new_id, new) = run.state.members.iter().find(|(_, m)| is_static(m)).expect("it");
        prop_assert!(new_id != old_id && !run.state.members.contains_key(old_id));
        prop_assert_eq!((&new.owned, &new.target), (&old.owned, &old.target));
        for (id, member) in before.members.iter().filter(|(id, _)| *id != old_id) {
            prop_assert_eq!(&run.state.members[id].target, &member.target);
            prop_assert_eq!(&run.state.members[id].owned, &member.owned);
        }
        prop_assert_eq!(run.state.assignment_epoch, run.state.group_epoch);
        // Its id has another place in the order now: that is no reason to move a partition.
        let epoch = run.state.assignment_epoch;
        run.comes_to_rest();
        prop_assert_eq!(run.state.assignment_epoch, epoch);
    }
}

#[test]
fn the_first_of_a_group_owns_all_at_once() {
    let run = at_rest(3, 1);
    let (_, member) = run.state.members.iter().next().expect("it");
    assert_eq!(
        (member.owned.len(), member.epoch),
        (3, run.state.assignment_epoch)
    );
    assert_eq!(run.state.name(), "Stable");
}

#[test]
fn a_hand_over_goes_through_the_named_states() {
    let mut run = at_rest(4, 1);
    run.happens(&Op::Join(1, None, None));
    assert_eq!(run.state.name(), "Assigning");
    run.happens(&Op::Assign);
    assert_eq!(run.state.name(), "Reconciling");
    let one = Op::Release(0, 1);
    let other = Op::Release(1, 1);
    for op in [&one, &other, &one, &other] {
        run.happens(op);
    }
    assert_eq!(run.state.name(), "Stable");
    run.happens(&Op::Remove(0));
    assert_eq!(run.state.name(), "Stable", "who stays takes all at once");
    run.happens(&Op::Remove(0));
    assert_eq!(run.state.name(), "Empty");
}

#[test]
fn a_second_assignment_in_one_epoch_moves_nothing() {
    let mut run = Run::new(&[4]);
    run.happens(&Op::Join(1, Some(0), Some(Assignor::Range)));
    run.happens(&Op::Join(1, Some(1), None));
    run.comes_to_rest();
    // Their ids come in another order with each return, and `range` depends on ids.
    for n in 0..8 {
        run.happens(&Op::Join(1, Some(n % 2), None));
        let before = run.state.clone();
        run.happens(&Op::Assign);
        assert_eq!(run.state, before);
    }
}

#[test]
fn refusals_say_why_and_change_nothing() {
    let run = at_rest(2, 2);
    let (stranger, none) = (Uuid([255; 16]), BTreeSet::new());
    let join = |assignor| GroupEvent::Join {
        id: stranger,
        member: Box::new(member(BTreeSet::new(), None)),
        replaces: None,
        assignor,
    };
    let release = GroupEvent::Release {
        id: stranger,
        partitions: none,
    };
    let remove = GroupEvent::Remove { id: stranger };
    let unknown = Err(Refusal::Unknown(stranger));
    assert_eq!(step(&run.state, release), unknown);
    assert_eq!(step(&run.state, remove), unknown);
    let other = Err(Refusal::Assignor(Assignor::Uniform));
    assert_eq!(step(&run.state, join(Some(Assignor::Range))), other);
    step(&run.state, join(Some(Assignor::Uniform))).expect("the same one");

    let empty = GroupState::new(7, Assignor::Uniform);
    let (state, effects) = step(&empty, join(Some(Assignor::Range))).expect("empty");
    assert_eq!(state.assignor, Assignor::Range);
    assert!(effects.contains(&GroupEffect::Settings));

    let mut last = run.state.clone();
    (last.group_epoch, last.assignment_epoch) = (i32::MAX, i32::MAX);
    let id = *last.members.keys().next().expect("a member");
    assert_eq!(step(&last, join(None)), Err(Refusal::NoEpoch));
    assert_eq!(
        step(&last, GroupEvent::Remove { id }),
        Err(Refusal::NoEpoch)
    );
    let topics = Topics::new();
    let gone = GroupEvent::Topics {
        topics,
        wanted: Vec::new(),
    };
    assert_eq!(step(&last, gone), Err(Refusal::NoEpoch));
    let topics = last.topics.clone();
    let same = GroupEvent::Topics {
        topics,
        wanted: Vec::new(),
    };
    assert_eq!(
        step(&last, same),
        Ok((last.clone(), Vec::new())),
        "no news needs no epoch"
    );
}
