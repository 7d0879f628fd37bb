#![expect(
    clippy::disallowed_methods,
    reason = "tests damage files behind the disk's back"
)]

use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::disk::OsDisk;
use crate::store::fenced_lock::FencedLock;

const LONG: Duration = Duration::from_secs(30);

fn store() -> (tempfile::TempDir, StoreDir) {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("store");
    let store = StoreDir::open_or_create(Arc::new(OsDisk), Arc::new(SystemClock::default()), &path)
        .expect("store");
    (temp, store)
}

fn meta(name: &str) -> TopicMeta {
    let partition = |partition| PartitionMeta {
        partition,
        replicas: vec![ReplicaMeta {
            broker: 0,
            uuid: Uuid([partition as u8 + 1; 16]),
        }],
        isr: vec![0],
        leader: 0,
        leader_epoch: 0,
    };
    TopicMeta {
        name: TopicName::new(name).expect("name"),
        topic_id: Uuid([7; 16]),
        version: 1,
        explicit_configs: [("segment.bytes".to_owned(), "2048".to_owned())].into(),
        partitions: (0..3).map(partition).collect(),
    }
}

fn lock(store: &StoreDir) -> FencedLock {
    FencedLock::new(Arc::clone(store.root()), Arc::clone(store.clock()))
}

fn create(store: &StoreDir, meta: &TopicMeta) -> Result<()> {
    let lock = lock(store);
    let staged = lock.stage(&meta.encode())?;
    let guard = lock.acquire("create", LONG)?;
    write_new(&guard, staged, &meta.name)
}

#[test]
fn a_topic_comes_changes_and_goes() {
    let (_temp, store) = store();
    let mut orders = meta("orders");
    let unknown = read(&store, &orders.name).expect_err("not yet");
    assert_eq!(unknown.kind(), Kind::UnknownTopic);

    create(&store, &orders).expect("created");
    assert_eq!(
        create(&store, &orders).expect_err("twice").kind(),
        Kind::TopicExists
    );
    let (found, file) = read(&store, &orders.name).expect("there");
    assert_eq!(found, orders);
    assert_eq!(found.configs().expect("configs").segment_bytes, 2048);
    assert!(file.is_current().expect("look"));

    orders.version += 1;
    orders.partitions[1].leader_epoch = 5;
    let guard = lock(&store).acquire("alter", LONG).expect("lock");
    replace(&guard, &orders).expect("replaced");
    drop(guard);
    assert!(!file.is_current().expect("look"));
    let (found, file) = read(&store, &orders.name).expect("there");
    assert_eq!(found, orders);

    let typo = read(&store, &TopicName::new("ordres").expect("name")).expect_err("typo");
    assert!(typo.cure_text().is_some_and(|cure| cure.contains("orders")));

    let guard = lock(&store).acquire("delete", LONG).expect("lock");
    remove(&guard, &orders.name).expect("removed");
    drop(guard);
    assert!(!file.is_current().expect("look"));
    assert!(list(&store).expect("list").is_empty());
}

#[test]
fn topics_are_listed_sorted_and_nothing_else_is() {
    let (_temp, store) = store();
    for name in ["b", "a.x", "a"] {
        create(&store, &meta(name)).expect("created");
    }
    let topics = store.topics_dir().expect("dir").path().to_owned();
    std::fs::write(topics.join("no topic.json"), "x").expect("write");
    std::fs::create_dir(topics.join("c.json")).expect("dir");
    let names: Vec<_> = list(&store)
        .expect("list")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["a", "a.x", "b"]);
    let all = read_all(&store).expect("read");
    assert_eq!(
        all.iter()
            .map(|(meta, _)| meta.name.to_string())
            .collect::<Vec<_>>(),
        names
    );

    let known = list(&store).expect("list");
    let new = TopicName::new("a_x").expect("name");
    assert!(warn_collision(&new, &known).is_some_and(|text| text.contains("a.x")));
    assert_eq!(
        warn_collision(&TopicName::new("a-x").expect("name"), &known),
        None
    );
}

#[test]
fn a_flipped_bit_or_another_topics_file_is_damage() {
    let (_temp, store) = store();
    let good = meta("t");
    create(&store, &good).expect("created");
    let path = store.topics_dir().expect("dir").path().join("t.json");
    let bytes = std::fs::read(&path).expect("read");
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, flipped).expect("write");
        let error = read(&store, &good.name).expect_err("damaged");
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.to_string().contains("topics/t.json"), "{error}");
    }
    std::fs::write(&path, meta("other").encode()).expect("write");
    assert_eq!(
        read(&store, &good.name).expect_err("swapped").kind(),
        Kind::Damaged
    );
}

#[test]
fn what_contradicts_itself_is_damage_and_is_never_written() {
    let (_temp, store) = store();
    let spoilers: [fn(&mut TopicMeta); 9] = [
        |m| m.topic_id = Uuid::ZERO,
        |m| m.partitions.clear(),
        |m| m.partitions[0].partition = 1,
        |m| m.partitions[0].leader = 9,
        |m| m.partitions[0].leader_epoch = -1,
        |m| m.partitions[0].isr = vec![0, 9],
        |m| m.partitions[0].isr = vec![0, 0],
        |m| m.partitions[0].replicas.clear(),
        |m| {
            m.partitions[0].replicas.push(ReplicaMeta {
                broker: 0,
                uuid: Uuid([9; 16]),
            });
        },
    ];
    let guard = lock(&store).acquire("spoil", LONG).expect("lock");
    for (number, spoil) in spoilers.iter().enumerate() {
        let mut bad = meta("t");
        spoil(&mut bad);
        let error = TopicMeta::decode(&bad.encode(), "t.json").expect_err("contradiction");
        assert_eq!(error.kind(), Kind::Damaged, "{number}");
        assert!(replace(&guard, &bad).is_err(), "{number}");
    }
    assert!(list(&store).expect("list").is_empty());
    let good = meta("t");
    assert_eq!(
        TopicMeta::decode(&good.encode(), "t.json").expect("good"),
        good
    );
}
