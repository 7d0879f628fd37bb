//! The numbered invariants of the module, over random groups and random events.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Topics = BTreeMap<TopicName, PartitionId>;

fn id(n: u8) -> Uuid {
    Uuid([n; 16])
}

fn topic(n: u8) -> TopicName {
    TopicName::new(format!("t{n}")).expect("a name")
}

fn tp(t: u8, partition: PartitionId) -> TopicPartition {
    TopicPartition::new(topic(t), partition)
}

fn subscriber(n: u8, topics: &[u8], current: &[(u8, PartitionId)]) -> Subscriber {
    Subscriber {
        id: id(n),
        topics: topics.iter().map(|t| topic(*t)).collect(),
        current: current.iter().map(|(t, n)| tp(*t, *n)).collect(),
    }
}

fn topics(counts: &[PartitionId]) -> Topics {
    (0..).map(topic).zip(counts.iter().copied()).collect()
}

/// The topics of the bits of `mask`.
fn topics_of(mask: u8) -> Vec<u8> {
    (0..8).filter(|bit| mask & (1 << bit) != 0).collect()
}

/// The same subscribers, with a result as their current partitions.
fn settled(subscribers: &[Subscriber], assignment: &Assignment) -> Vec<Subscriber> {
    let settle = |s: &Subscriber| Subscriber {
        current: assignment[&s.id].clone(),
        ..s.clone()
    };
    subscribers.iter().map(settle).collect()
}

/// What each has now that it may keep, the lower id first.
fn keepable(subscribers: &[Subscriber], topics: &Topics) -> Assignment {
    let mut sorted: Vec<&Subscriber> = subscribers.iter().collect();
    sorted.sort_by_key(|s| s.id);
    let mut taken = BTreeSet::new();
    let mut keepable = Assignment::new();
    for s in sorted {
        let valid = |tp: &&TopicPartition| {
            s.topics.contains(&tp.topic)
                && topics
                    .get(&tp.topic)
                    .is_some_and(|n| (0..*n).contains(&tp.partition))
        };
        let own = s
            .current
            .iter()
            .filter(valid)
            .filter(|tp| taken.insert((*tp).clone()));
        keepable.insert(s.id, own.cloned().collect());
    }
    keepable
}

fn kept(keepable: &Assignment, assignment: &Assignment) -> usize {
    keepable
        .iter()
        .map(|(id, had)| had.intersection(&assignment[id]).count())
        .sum()
}

fn have_equal_subscriptions(subscribers: &[Subscriber]) -> bool {
    subscribers
        .windows(2)
        .all(|two| two[0].topics == two[1].topics)
}

/// The largest and the smallest of some counts, which are within one of each other.
fn assert_within_one(counts: impl Iterator<Item = usize> + Clone, of: &str) {
    let (most, least) = (counts.clone().max(), counts.min());
    assert!(most <= least.map(|n| n + 1), "{of}: {most:?} and {least:?}");
}

/// Invariants 1 to 3.
fn check_any(assignor: Assignor, subscribers: &[Subscriber], topics: &Topics) -> Assignment {
    let assignment = assign(assignor, subscribers, topics);
    let ids: BTreeSet<Uuid> = subscribers.iter().map(|s| s.id).collect();
    assert_eq!(
        assignment.keys().copied().collect::<BTreeSet<_>>(),
        ids,
        "an entry for each"
    );

    let wanted: BTreeSet<&TopicName> = subscribers.iter().flat_map(|s| &s.topics).collect();
    let mut unowned: BTreeSet<TopicPartition> = topics
        .iter()
        .filter(|(name, _)| wanted.contains(name))
        .flat_map(|(name, n)| (0..*n).map(|p| TopicPartition::new(name.clone(), p)))
        .collect();
    for s in subscribers {
        for tp in &assignment[&s.id] {
            assert!(
                s.topics.contains(&tp.topic),
                "{tp:?} is read by one that subscribed to it"
            );
            assert!(unowned.remove(tp), "{tp:?} exists and has one owner");
        }
    }
    assert!(unowned.is_empty(), "{unowned:?} have an owner");

    let mut turned = subscribers.to_vec();
    turned.reverse();
    assert_eq!(
        assign(assignor, &turned, topics),
        assignment,
        "in whatever order"
    );
    let half = turned.len() / 2;
    turned.rotate_left(half);
    assert_eq!(
        assign(assignor, &turned, topics),
        assignment,
        "in whatever order"
    );

    let again = assign(assignor, &settled(subscribers, &assignment), topics);
    assert_eq!(again, assignment, "a second time");
    assignment
}

/// Invariants 1 to 6, where 5 is shown for equal subscriptions only: see `best_of_all`.
fn check_uniform(subscribers: &[Subscriber], topics: &Topics) -> Assignment {
    let assignment = check_any(Assignor::Uniform, subscribers, topics);
    for from in subscribers {
        let mut reached = BTreeSet::from([from.id]);
        let mut left = vec![from.id];
        while let Some(giver) = left.pop() {
            let gives: BTreeSet<&TopicName> =
                assignment[&giver].iter().map(|tp| &tp.topic).collect();
            for s in subscribers {
                if s.topics.iter().any(|t| gives.contains(t)) && reached.insert(s.id) {
                    left.push(s.id);
                }
            }
        }
        for to in reached {
            let (most, least) = (assignment[&from.id].len(), assignment[&to].len());
            assert!(
                most <= least + 1,
                "{:?} could give to {to:?}: {assignment:?}",
                from.id
            );
        }
    }
    if subscribers.is_empty() || !have_equal_subscriptions(subscribers) {
        return assignment;
    }

    let had = keepable(subscribers, topics);
    let total: usize = assignment.values().map(BTreeSet::len).sum();
    let (each, one_more) = (total / subscribers.len(), total % subscribers.len());
    let above = had.values().filter(|had| had.len() > each).count();
    let keeps: usize = had.values().map(|had| had.len().min(each)).sum();
    assert_eq!(
        kept(&had, &assignment),
        keeps + above.min(one_more),
        "kept of {had:?}"
    );
    assert_within_one(assignment.values().map(BTreeSet::len), "in all");
    if had.values().all(BTreeSet::is_empty) {
        for name in topics.keys() {
            let of_topic =
                |own: &BTreeSet<TopicPartition>| own.iter().filter(|tp| tp.topic == *name).count();
            assert_within_one(assignment.values().map(of_topic), "in a topic");
        }
    }
    assignment
}

/// Invariants 1 to 3 and 7.
fn check_range(subscribers: &[Subscriber], topics: &Topics) -> Assignment {
    let assignment = check_any(Assignor::Range, subscribers, topics);
    for name in topics.keys() {
        let mut at = 0;
        let mut lengths = Vec::new();
        let wants = |id: &Uuid| {
            subscribers
                .iter()
                .any(|s| s.id == *id && s.topics.contains(name))
        };
        for own in assignment
            .iter()
            .filter(|(id, _)| wants(id))
            .map(|(_, own)| own)
        {
            let own: Vec<PartitionId> = own
                .iter()
                .filter(|tp| tp.topic == *name)
                .map(|tp| tp.partition)
                .collect();
            let until = at + own.len() as PartitionId;
            assert_eq!(own, (at..until).collect::<Vec<_>>(), "contiguous, by id");
            lengths.push(own.len());
            at = until;
        }
        assert!(
            lengths.is_sorted_by(|a, b| a >= b),
            "the first have more: {lengths:?}"
        );
        assert_within_one(lengths.iter().copied(), "in a topic");
    }
    assignment
}

/// The least squares of loads, then the most kept, of all assignments there are.
fn best_of_all(subscribers: &[Subscriber], topics: &Topics) -> (usize, usize) {
    let had = keepable(subscribers, topics);
    let mut partial: BTreeSet<(Vec<usize>, usize)> = [(vec![0; subscribers.len()], 0)].into();
    for (name, n) in topics {
        if !subscribers.iter().any(|s| s.topics.contains(name)) {
            continue;
        }
        for partition in 0..*n {
            let tp = TopicPartition::new(name.clone(), partition);
            let mut next = BTreeSet::new();
            for (loads, kept) in &partial {
                for (at, s) in subscribers.iter().enumerate() {
                    if s.topics.contains(name) {
                        let mut loads = loads.clone();
                        loads[at] += 1;
                        next.insert((loads, kept + usize::from(had[&s.id].contains(&tp))));
                    }
                }
            }
            partial = next;
        }
    }
    partial
        .into_iter()
        .map(|(loads, kept)| (loads.iter().map(|n| n * n).sum(), kept))
        .min_by_key(|(squares, kept): &(usize, usize)| (*squares, usize::MAX - kept))
        .expect("at least the empty one")
}

#[test]
fn names_are_kafkas() {
    for (text, assignor) in [
        ("uniform", Some(Assignor::Uniform)),
        ("sticky", Some(Assignor::Uniform)),
        ("range", Some(Assignor::Range)),
        ("Range", None),
        ("roundrobin", None),
        ("", None),
    ] {
        assert_eq!(Assignor::parse(text), assignor, "{text}");
    }
    for assignor in [Assignor::Uniform, Assignor::Range] {
        assert_eq!(Assignor::parse(assignor.as_str()), Some(assignor));
    }
}

#[test]
fn assignments_are_as_expected() {
    type Given<'a> = &'a [(&'a [u8], &'a [(u8, PartitionId)])];
    type Expected<'a> = &'a [&'a [(u8, PartitionId)]];
    use Assignor::{Range, Uniform};
    let cases: &[(&str, Assignor, &[PartitionId], Given, Expected)] = &[
        ("nobody", Uniform, &[3], &[], &[]),
        (
            "no partitions",
            Uniform,
            &[0, -1],
            &[(&[0, 1, 2], &[])],
            &[&[]],
        ),
        (
            "one",
            Uniform,
            &[2, 2],
            &[(&[0], &[])],
            &[&[(0, 0), (0, 1)]],
        ),
        (
            "more members than partitions",
            Uniform,
            &[1],
            &[(&[0], &[]), (&[0], &[(0, 0)])],
            &[&[], &[(0, 0)]],
        ),
        (
            "spread from the start",
            Uniform,
            &[2, 2],
            &[(&[0, 1], &[]), (&[0, 1], &[])],
            &[&[(0, 0), (1, 0)], &[(0, 1), (1, 1)]],
        ),
        (
            "one that joins gets of each topic",
            Uniform,
            &[2, 2],
            &[(&[0, 1], &[(0, 0), (0, 1), (1, 0), (1, 1)]), (&[0, 1], &[])],
            &[&[(0, 0), (1, 0)], &[(0, 1), (1, 1)]],
        ),
        (
            "what one left goes first to the one that has less",
            Uniform,
            &[5],
            &[(&[0], &[(0, 0), (0, 1)]), (&[0], &[(0, 2)])],
            &[&[(0, 0), (0, 1), (0, 4)], &[(0, 2), (0, 3)]],
        ),
        (
            "two claim one: the lower id has it",
            Uniform,
            &[2],
            &[(&[0], &[(0, 0)]), (&[0], &[(0, 0)])],
            &[&[(0, 0)], &[(0, 1)]],
        ),
        (
            "claims that no longer hold",
            Uniform,
            &[2, 2],
            &[(&[0], &[(0, 2), (0, -1), (1, 0), (7, 0)]), (&[0], &[])],
            &[&[(0, 0)], &[(0, 1)]],
        ),
        (
            "a chain: 0 has room only if 1 hands on what 2 can read",
            Uniform,
            &[2, 2],
            &[(&[0], &[(0, 0), (0, 1)]), (&[0, 1], &[(1, 0)]), (&[1], &[])],
            &[&[(0, 0), (0, 1)], &[(1, 0)], &[(1, 1)]],
        ),
        (
            "a chain is as short as can be",
            Uniform,
            &[3, 1, 1],
            &[
                (&[0], &[(0, 0), (0, 1), (0, 2)]),
                (&[0, 1], &[(1, 0)]),
                (&[0, 2], &[]),
            ],
            &[&[(0, 0), (0, 1)], &[(1, 0)], &[(0, 2), (2, 0)]],
        ),
        (
            "what was to move after all stays, when another takes its place",
            Uniform,
            &[1, 1, 2],
            &[(&[0, 1], &[(0, 0), (1, 0)]), (&[1, 2], &[]), (&[2], &[])],
            &[&[(0, 0), (1, 0)], &[(2, 0)], &[(2, 1)]],
        ),
        (
            "range: co-partitioned, the first get more",
            Range,
            &[3, 3, 1],
            &[(&[0, 1, 2], &[(0, 2)]), (&[0, 1], &[])],
            &[&[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)], &[(0, 2), (1, 2)]],
        ),
    ];
    for (name, assignor, counts, given, expected) in cases {
        let subscribers: Vec<Subscriber> = (0..)
            .zip(*given)
            .map(|(n, (topics, current))| subscriber(n, topics, current))
            .collect();
        let topics = topics(counts);
        let assignment = match assignor {
            Uniform => check_uniform(&subscribers, &topics),
            Range => check_range(&subscribers, &topics),
        };
        let expected: Assignment = (0..)
            .zip(*expected)
            .map(|(n, own)| (id(n), own.iter().map(|(t, p)| tp(*t, *p)).collect()))
            .collect();
        assert_eq!(assignment, expected, "{name}");
    }
    assert_eq!(cases.len(), 13);
}

/// Members with random subscriptions that claim random partitions, most of them below `topics` and
/// `partitions`.
fn any_subscribers(
    members: usize,
    topics: u8,
    partitions: PartitionId,
) -> impl Strategy<Value = Vec<Subscriber>> {
    let claim = (0..=topics, -1..=partitions);
    (
        any::<bool>(),
        vec((0..1_u8 << topics, vec(claim, 0..12)), 0..=members),
    )
        .prop_map(|(equal, members)| {
            let first = members.first().map_or(0, |(mask, _)| *mask);
            (0..)
                .zip(members)
                .map(|(n, (mask, claims))| {
                    subscriber(n, &topics_of(if equal { first } else { mask }), &claims)
                })
                .collect()
        })
}

/// What can happen to a group.
#[derive(Debug, Clone)]
enum MembershipChange {
    Join(u8, u8),
    Leave(u8),
    Subscribe(u8, u8),
    Create(u8, PartitionId),
    Extend(u8, PartitionId),
    Delete(u8),
}

fn any_event() -> impl Strategy<Value = MembershipChange> {
    let (member, topic) = (0..8_u8, 0..5_u8);
    // Most subscribe to the same, as most groups do.
    let mask = || prop_oneof![2 => Just(0b1_1111_u8), 1 => 0..0b10_0000_u8];
    prop_oneof![
        3 => (member.clone(), mask()).prop_map(|(m, mask)| MembershipChange::Join(m, mask)),
        1 => member.clone().prop_map(MembershipChange::Leave),
        1 => (member, mask()).prop_map(|(m, mask)| MembershipChange::Subscribe(m, mask)),
        2 => (topic.clone(), 0..13).prop_map(|(t, n)| MembershipChange::Create(t, n)),
        1 => (topic.clone(), 0..5).prop_map(|(t, n)| MembershipChange::Extend(t, n)),
        1 => topic.prop_map(MembershipChange::Delete),
    ]
}

fn happen(event: &MembershipChange, subscribers: &mut Vec<Subscriber>, topics: &mut Topics) {
    match *event {
        MembershipChange::Join(n, mask) => {
            if subscribers.iter().all(|s| s.id != id(n)) {
                subscribers.push(subscriber(n, &topics_of(mask), &[]));
            }
        }
        MembershipChange::Leave(n) => subscribers.retain(|s| s.id != id(n)),
        MembershipChange::Subscribe(n, mask) => {
            if let Some(s) = subscribers.iter_mut().find(|s| s.id == id(n)) {
                s.topics = topics_of(mask).into_iter().map(topic).collect();
            }
        }
        MembershipChange::Create(t, n) => {
            topics.entry(topic(t)).or_insert(n);
        }
        MembershipChange::Extend(t, n) => {
            if let Some(partitions) = topics.get_mut(&topic(t)) {
                *partitions += n;
            }
        }
        MembershipChange::Delete(t) => {
            topics.remove(&topic(t));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn invariants_hold_whatever_is_claimed(
        subscribers in any_subscribers(7, 5, 9),
        counts in vec(-1..12, 0..6),
    ) {
        let topics = topics(&counts);
        check_uniform(&subscribers, &topics);
        check_range(&subscribers, &topics);
    }

    #[test]
    fn invariants_hold_whatever_happens(events in vec(any_event(), 1..24)) {
        let (mut subscribers, mut topics) = (Vec::new(), Topics::new());
        for event in &events {
            happen(event, &mut subscribers, &mut topics);
            check_range(&subscribers, &topics);
            let assignment = check_uniform(&subscribers, &topics);
            subscribers = settled(&subscribers, &assignment);
        }
    }

    #[test]
    fn no_assignment_is_more_even_or_as_even_and_keeps_more(
        subscribers in any_subscribers(4, 4, 3),
        counts in vec(0..4, 0..5),
    ) {
        let topics = topics(&counts);
        let assignment = check_uniform(&subscribers, &topics);
        let squares: usize = assignment.values().map(|own| own.len() * own.len()).sum();
        let kept = kept(&keepable(&subscribers, &topics), &assignment);
        prop_assert_eq!((squares, kept), best_of_all(&subscribers, &topics));
    }
}
