use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, Open, OsDisk};

const BOOT: [u8; 16] = [7; 16];

fn topic_name() -> impl Strategy<Value = TopicName> {
    "[a-z][a-zA-Z0-9._-]{0,8}".prop_map(|text| TopicName::new(text).expect("a name"))
}

fn partitions() -> impl Strategy<Value = BTreeSet<TopicPartition>> {
    let one = (topic_name(), 0..40_i32);
    btree_set(
        one.prop_map(|(topic, n)| TopicPartition::new(topic, n)),
        0..12,
    )
}

fn member() -> impl Strategy<Value = MemberState> {
    let naming = prop_oneof![
        Just(Naming::Names),
        Just(Naming::Globs),
        Just(Naming::Regexes)
    ];
    let subscription = (naming, vec(any::<String>(), 1..3));
    let ends = btree_map(topic_name(), vec(any::<Offset>(), 0..4), 0..3);
    let numbers = (any::<i32>(), any::<u64>(), any::<u32>());
    (
        (
            proptest::option::of(any::<String>()),
            subscription,
            numbers,
            any::<String>(),
        ),
        (btree_set(topic_name(), 0..4), partitions(), partitions()),
        proptest::option::of(ends),
    )
        .prop_map(|(who, (topics, owned, target), ends)| {
            let (instance_id, (naming, texts), (epoch, session_timeout_ms, pid), host) = who;
            let subscription = Subscription {
                naming,
                topics: texts,
            };
            MemberState {
                epoch,
                instance_id,
                subscription,
                topics,
                owned,
                target,
                ends,
                session_timeout_ms,
                pid,
                host,
            }
        })
}

fn state() -> impl Strategy<Value = GroupState> {
    let topic = (any::<[u8; 16]>(), 0..1000_i32, any::<bool>());
    let topic = topic.prop_map(|(id, partitions, came_later)| TopicState {
        topic_id: Uuid(id),
        partitions,
        came_later,
    });
    (
        (
            any::<i32>(),
            any::<i32>(),
            any::<bool>(),
            proptest::option::of(any::<u32>()),
        ),
        btree_map(topic_name(), topic, 0..5),
        btree_map(any::<[u8; 16]>().prop_map(Uuid), member(), 0..4),
    )
        .prop_map(
            |((group_epoch, assignment_epoch, range, retention), topics, mut members)| {
                // A partition has one owner.
                let mut owned = BTreeSet::new();
                for member in members.values_mut() {
                    member.owned.retain(|tp| owned.insert(tp.clone()));
                }
                GroupState {
                    group_epoch,
                    assignment_epoch,
                    assignor: if range {
                        Assignor::Range
                    } else {
                        Assignor::Uniform
                    },
                    offsets_retention_minutes: retention,
                    topics,
                    former: members
                        .is_empty()
                        .then(Subscription::default)
                        .into_iter()
                        .collect(),
                    members,
                }
            },
        )
}

/// A directory with these bytes as its `group.json`.
fn dir_with(bytes: &[u8]) -> (tempfile::TempDir, Arc<dyn Dir>) {
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    put(&*dir, bytes);
    (temp, dir)
}

fn put(dir: &dyn Dir, bytes: &[u8]) {
    let file = dir.open(layout::GROUP_FILE, Open::Create).expect("open");
    file.set_len(0).expect("empty");
    file.write_at(bytes, 0).expect("write");
}

fn read(dir: &Arc<dyn Dir>) -> Result<GroupState> {
    GroupFile::read(dir, BOOT)?.state(&**dir)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_state_comes_back(state in state()) {
        let (_temp, dir) = dir_with(&GroupFile::of_state(BOOT, &state).encode());
        prop_assert_eq!(read(&dir).expect("ours"), state.clone());
        // Members of another boot are dead: their subscriptions and topics are still known.
        let other = GroupFile::read(&dir, [8; 16]).expect("ours").state(&*dir).expect("ours");
        let mut empty = GroupState::new(state.group_epoch, state.assignor);
        empty.assignment_epoch = state.group_epoch;
        empty.offsets_retention_minutes = state.offsets_retention_minutes;
        empty.topics = state.topics;
        empty.former = state.former;
        for member in state.members.into_values() {
            if !empty.former.contains(&member.subscription) {
                empty.former.push(member.subscription);
            }
        }
        prop_assert_eq!(other, empty);
    }
}

/// A state with something in every field.
fn full() -> GroupState {
    let tp = |n| TopicPartition::new(TopicName::new("t").expect("a name"), n);
    let topic = tp(0).topic;
    let mut state = GroupState::new(9, Assignor::Range);
    state.assignment_epoch = 8;
    let seen = TopicState {
        topic_id: Uuid([3; 16]),
        partitions: 3,
        came_later: true,
    };
    state.topics.insert(topic.clone(), seen);
    for n in 1..3 {
        let member = MemberState {
            epoch: 8,
            instance_id: (n == 1).then(|| "a".to_owned()),
            subscription: Subscription {
                naming: Naming::Globs,
                topics: vec!["t*".to_owned()],
            },
            topics: [topic.clone()].into(),
            owned: [tp(i32::from(n))].into(),
            target: [tp(0), tp(i32::from(n))].into(),
            ends: (n == 2).then(|| [(topic.clone(), vec![1, 2, 3])].into()),
            session_timeout_ms: 45_000,
            pid: 4242,
            host: "host".to_owned(),
        };
        state.members.insert(Uuid([n; 16]), member);
    }
    state
}

#[test]
fn a_flipped_bit_or_a_cut_never_makes_another_state() {
    let bytes = GroupFile::of_state(BOOT, &full()).encode();
    let (_temp, dir) = dir_with(&bytes);
    assert_eq!(read(&dir).expect("whole"), full());
    let mut cases = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        put(&*dir, &flipped);
        let error = read(&dir).expect_err("damaged");
        assert_eq!(error.kind(), Kind::Damaged, "bit {bit}");
        assert!(error.to_string().contains("group.json"), "{error}");
        cases += 1;
    }
    for len in 0..bytes.len() {
        put(&*dir, &bytes[..len]);
        assert_eq!(
            read(&dir).expect_err("cut").kind(),
            Kind::Damaged,
            "{len} bytes"
        );
        cases += 1;
    }
    println!("group.json: {cases} damages, all found");
}

#[test]
fn what_none_of_ours_writes_is_damage_though_its_checksum_holds() {
    let good = GroupFile::of_state(BOOT, &full());
    let alter = |what: &dyn Fn(&mut GroupFile)| {
        let mut file = good.clone();
        what(&mut file);
        let (_temp, dir) = dir_with(&file.encode());
        read(&dir)
    };
    let two_owners = alter(&|file| file.members[0].assignment = file.members[1].assignment.clone());
    let error = two_owners.expect_err("two owners");
    assert!(
        error.to_string().contains("two members own one partition"),
        "{error}"
    );
    for what in [
        (&|file: &mut GroupFile| file.assignor = "fair".to_owned()) as &dyn Fn(&mut GroupFile),
        &|file| file.topics[0].topic = "a/b".to_owned(),
        &|file| file.members[0].matching = Some(vec![String::new()]),
    ] {
        assert_eq!(alter(what).expect_err("damage").kind(), Kind::Damaged);
    }
    let newer = alter(&|file| file.version += 1).expect_err("newer");
    assert_eq!(newer.kind(), Kind::UnusableStore);

    // An older file lacks the fields that were added later.
    let text =
        r#"{"version": 1, "boot_id": "x", "group_epoch": 4, "assignor": "sticky", "members": []}"#;
    let file: GroupFile = serde_json::from_str(text).expect("an older file");
    let (_temp, dir) = dir_with(&file.encode());
    let state = read(&dir).expect("an older file");
    assert_eq!((state.group_epoch, state.assignment_epoch), (4, 4));
}

#[test]
fn a_missing_file_is_damage() {
    let temp = tempfile::tempdir().expect("temp");
    let dir = OsDisk.open_dir(temp.path()).expect("open");
    assert_eq!(read(&dir).expect_err("missing").kind(), Kind::Damaged);
}
