//! Topics with replicas on several brokers: made, described, changed, reassigned, deleted.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make brokers, and lose directories, behind the store's back"
)]

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tally.rs"]
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::Shell;
use mq::clock::SystemClock;
use mq::disk::{Disk, File, LockKind, Open, OsDisk};
use mq::error::Kind;
use mq::store::broker_file::BrokerFile;
use mq::store::topics::{PartitionMeta, TopicMeta};
use mq::store::{
    NewTopic, Page, Replica, StoreDir, cancel_reassignment, create_topic, discard, json_file,
    log_dir, make_replica, start_reassignment, topics,
};
use mq::types::{BrokerId, TopicName, TopicPartition};
use serde_json::{Value, json};
use tally::Tally;

const PATIENCE: Duration = Duration::from_secs(10);

/// A store with brokers whose daemons are played by this process: it holds their locks.
struct Cluster {
    shell: Shell,
    store: Arc<StoreDir>,
    live: BTreeMap<BrokerId, Arc<dyn File>>,
}

/// Files of a store are replaced whole, never written in place.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("written");
    fs::rename(&new, path).expect("in place");
}

impl Cluster {
    /// Broker 0 without a daemon.
    fn new() -> Self {
        let shell = Shell::new();
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, shell.store());
        Cluster {
            store: Arc::new(store.expect("store")),
            shell,
            live: BTreeMap::new(),
        }
    }

    /// Live brokers 0 to `n` - 1.
    fn of(n: BrokerId) -> Self {
        let mut cluster = Cluster::new();
        for id in 0..n {
            cluster.start(id, |_| {});
        }
        cluster
    }

    fn broker_path(&self, id: BrokerId) -> PathBuf {
        self.shell.store().join(format!("brokers/{id}"))
    }

    fn logs(&self, id: BrokerId) -> PathBuf {
        self.broker_path(id).join("logs")
    }

    fn register(&self, id: BrokerId, change: impl FnOnce(&mut BrokerFile)) {
        fs::create_dir_all(self.logs(id)).expect("directory");
        let mut file = BrokerFile::new(id);
        change(&mut file);
        let path = self.broker_path(id).join("broker.json");
        replace(&path, &json_file::encode(&file));
    }

    fn start(&mut self, id: BrokerId, change: impl FnOnce(&mut BrokerFile)) {
        self.register(id, change);
        let dir = OsDisk.open_dir(&self.broker_path(id)).expect("broker");
        let lock = dir.open("broker.lock", Open::Create).expect("lock");
        assert!(lock.try_lock(LockKind::Exclusive).expect("lock"));
        self.live.insert(id, lock);
    }

    fn meta(&self, topic: &str) -> TopicMeta {
        topics::read_to_change(&self.store, &name(topic)).expect("topic")
    }

    fn replica(&self, topic: &str, partition: i32, broker: BrokerId) -> Replica {
        Replica::open(&self.store, &tp(topic, partition), broker).expect("replica")
    }

    fn page(&self, topic: &str, partition: i32, broker: BrokerId) -> Page {
        let replica = self.replica(topic, partition, broker);
        // Whoever made it has let it go.
        drop(replica.lock(Duration::ZERO).expect("free"));
        replica.read_page().expect("page").expect("a sound page")
    }

    fn make(&self, topic: &str, assignment: &[&[BrokerId]]) -> TopicMeta {
        let new = NewTopic {
            name: name(topic),
            assignment: assignment.iter().map(|brokers| brokers.to_vec()).collect(),
            configs: BTreeMap::new(),
        };
        create_topic(&self.store, &new, PATIENCE).expect("topic")
    }

    fn describe(&self, args: &[&str]) -> Vec<Value> {
        let all = [&["describe", "--format", "json"], args].concat();
        let out = self.shell.ok("mq-topics", &all, b"");
        let text = String::from_utf8(out).expect("UTF-8");
        let topics = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        topics.collect()
    }

    /// Everything in the log directories of some brokers.
    fn directories(&self, brokers: &[BrokerId]) -> Vec<String> {
        let mut all = Vec::new();
        for id in brokers {
            let names = names(&self.logs(*id));
            all.extend(names.into_iter().map(|name| format!("{id}/{name}")));
        }
        all.retain(|name| !name.ends_with("/meta.properties"));
        all
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("list");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort_unstable();
    names
}

fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("name")
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(name(topic), partition)
}

fn brokers(partition: &PartitionMeta) -> Vec<BrokerId> {
    partition.replicas.iter().map(|r| r.broker).collect()
}

#[test]
fn replicas_are_made_where_they_are_placed() {
    let _tally = Tally::start();
    let mut cluster = Cluster::new();
    for (id, rack) in [(0, "a"), (1, "a"), (2, "b"), (5, "b")] {
        cluster.start(id, |file| file.rack = Some(rack.to_owned()));
    }
    cluster.register(7, |_| {});
    cluster.shell.topics(&["create", "t", "-p", "8", "-r", "2"]);
    let meta = cluster.meta("t");
    let mut leaders = BTreeMap::new();
    for partition in &meta.partitions {
        Tally::case();
        let brokers = brokers(partition);
        let on_a = brokers.iter().filter(|id| **id < 2).count();
        assert_eq!((brokers.len(), on_a), (2, 1), "{brokers:?}");
        assert_eq!(partition.leader, brokers[0]);
        assert_eq!(partition.isr, brokers);
        *leaders.entry(partition.leader).or_insert(0) += 1;
        for replica in &partition.replicas {
            let page = cluster.page("t", partition.partition, replica.broker);
            assert_eq!(page.topic_id, meta.topic_id);
            assert_eq!(page.replica_uuid, replica.uuid);
            assert_eq!(page.synced_version, 1);
            let role = format!("{:?}", page.role);
            let leads = replica.broker == partition.leader;
            assert_eq!(role, if leads { "Leader" } else { "Follower" });
        }
    }
    assert_eq!(leaders, BTreeMap::from([(0, 2), (1, 2), (2, 2), (5, 2)]));
    assert_eq!(cluster.directories(&[0, 1, 2, 5]).len(), 16);
    assert!(cluster.directories(&[7]).is_empty(), "it does not live");

    cluster
        .shell
        .topics(&["create", "u", "--assign", "5:0,2:7"]);
    let placed: Vec<_> = cluster.meta("u").partitions.iter().map(brokers).collect();
    assert_eq!(placed, [[5, 0], [2, 7]]);
}

#[test]
fn one_replica_needs_no_daemon_and_goes_to_one_that_lives() {
    let _tally = Tally::start();
    let mut cluster = Cluster::new();
    cluster.register(1, |_| {});
    cluster.shell.topics(&["create", "alone", "-p", "3"]);
    let placed: Vec<_> = cluster
        .meta("alone")
        .partitions
        .iter()
        .map(brokers)
        .collect();
    assert_eq!(placed, [[0], [0], [0]]);
    Tally::case();
    cluster.start(1, |_| {});
    // The embedded broker has no daemon, and another has.
    cluster.shell.produce(&["auto"], b"one\n");
    assert_eq!(brokers(&cluster.meta("auto").partitions[0]), [1]);
    assert_eq!(cluster.shell.consume_text(&["auto", "-e"]), "one\n");
    Tally::case();
    // Drained, it takes what nobody else can.
    cluster.start(2, |_| {});
    cluster.register(1, |file| file.drained = true);
    cluster.shell.topics(&["create", "drained", "-p", "2"]);
    let placed: Vec<_> = cluster
        .meta("drained")
        .partitions
        .iter()
        .map(brokers)
        .collect();
    assert_eq!(placed, [[2], [2]]);
    cluster.shell.topics(&["create", "both", "-r", "2"]);
    assert_eq!(brokers(&cluster.meta("both").partitions[0]), [2, 1]);
}

#[test]
fn what_cannot_be_made_is_refused_in_one_line_and_changes_nothing() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    cluster
        .shell
        .topics(&["create", "old", "-r", "2", "-c", "min.insync.replicas=2"]);
    cluster.make("mixed", &[&[0, 1], &[1, 0]]);
    let before = (cluster.meta("old"), cluster.meta("mixed"));
    let directories = cluster.directories(&[0, 1]);
    for (args, status, told) in [
        (
            "create t -r 3",
            1,
            "INVALID_REPLICATION_FACTOR: 3 replicas need as many live brokers, and 2 can take one now",
        ),
        ("create t -r 3 --dry-run", 1, "INVALID_REPLICATION_FACTOR"),
        ("create t -r 0", 2, "INVALID_REPLICATION_FACTOR: '0'"),
        (
            "create t -r 40000",
            2,
            "INVALID_REPLICATION_FACTOR: '40000'",
        ),
        (
            "create t -c min.insync.replicas=2",
            2,
            "min.insync.replicas=2, but a partition has 1 replica",
        ),
        (
            "create t -r 2 -c min.insync.replicas=3",
            2,
            "min.insync.replicas=3, but a partition has 2 replicas",
        ),
        (
            "create t --assign 0:1 -c min.insync.replicas=3",
            2,
            "a partition has 2 replicas",
        ),
        (
            "create t --like old -r 1",
            1,
            "min.insync.replicas=2, but a partition has 1 replica",
        ),
        (
            "create t --assign 0:9",
            1,
            "INVALID_REPLICA_ASSIGNMENT: there is no broker 9",
        ),
        ("create t --assign 0:9 --dry-run", 1, "there is no broker 9"),
        (
            "create t --assign 0:0",
            2,
            "INVALID_REPLICA_ASSIGNMENT: partition 0 of it has broker 0 twice",
        ),
        (
            "create t --assign 0:1,1",
            2,
            "INVALID_REPLICA_ASSIGNMENT: partition 1 of it has 1 replica, and partition 0 has 2",
        ),
        (
            "create t --assign 0:1,",
            2,
            "INVALID_REPLICA_ASSIGNMENT: '0:1,' names no brokers",
        ),
        ("create t --assign 0:-1", 2, "names no brokers"),
        (
            "create t --assign 0:1,1:0 -p 3",
            2,
            "INVALID_REPLICA_ASSIGNMENT: -p 3, but --assign has 2",
        ),
        (
            "create t --assign 0:1,1:0 -r 1",
            2,
            "INVALID_REPLICA_ASSIGNMENT: -r 1, but --assign has 2",
        ),
        (
            "alter mixed -c min.insync.replicas=3",
            1,
            "a partition has 2 replicas",
        ),
        (
            "alter mixed -c min.insync.replicas=3 --dry-run",
            1,
            "a partition has 2 replicas",
        ),
    ] {
        Tally::case();
        let words: Vec<&str> = args.split(' ').collect();
        let done = cluster.shell.run("mq-topics", &words, b"");
        assert_eq!(done.status, status, "{args}: {}", done.err);
        assert!(done.err.contains(told), "{args}: {}", done.err);
        assert!(
            done.err.lines().count() <= 2 && done.out.is_empty(),
            "{args}: {}",
            done.err
        );
        assert_eq!(cluster.directories(&[0, 1]), directories, "{args}");
        assert_eq!(
            (cluster.meta("old"), cluster.meta("mixed")),
            before,
            "{args}"
        );
        assert!(
            !cluster.shell.store().join("topics/t.json").exists(),
            "{args}"
        );
    }
}

#[test]
fn a_copy_keeps_the_replication_factor_while_enough_brokers_live() {
    let _tally = Tally::start();
    let mut cluster = Cluster::of(3);
    cluster.shell.topics(&[
        "create",
        "t",
        "-p",
        "2",
        "-r",
        "3",
        "-c",
        "min.insync.replicas=2",
    ]);
    cluster.shell.topics(&["create", "copy", "--like", "t"]);
    let copy = cluster.meta("copy");
    assert!(copy.partitions.iter().all(|p| p.replicas.len() == 3));
    cluster
        .shell
        .topics(&["create", "less", "--like", "t", "-r", "2"]);
    cluster.live.remove(&2);
    let done = cluster
        .shell
        .run("mq-topics", &["create", "late", "--like", "t"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("INVALID_REPLICATION_FACTOR"),
        "{}",
        done.err
    );
    let done = cluster
        .shell
        .run("mq-topics", &["alter", "t", "--partitions", "3"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("INVALID_REPLICATION_FACTOR"),
        "{}",
        done.err
    );
    assert_eq!(cluster.meta("t").partitions.len(), 2);
    cluster
        .shell
        .topics(&["alter", "less", "--partitions", "5"]);
    let grown = cluster.meta("less");
    assert_eq!(grown.partitions.len(), 5);
    let added: Vec<_> = grown.partitions[2..].iter().map(brokers).collect();
    assert!(
        added.iter().all(|of| of.len() == 2 && !of.contains(&2)),
        "{added:?}"
    );
    let leaders: BTreeSet<_> = added.iter().map(|of| of[0]).collect();
    assert_eq!(leaders, BTreeSet::from([0, 1]));
}

#[test]
fn a_plan_says_where() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    for (args, detail) in [
        (
            &["t", "-p", "2", "-r", "2"][..],
            "2 partitions of 2 replicas",
        ),
        (&["t", "--assign", "0:1,1:0"], "2 partitions on 0:1,1:0"),
        (&["t"], "1 partition"),
    ] {
        Tally::case();
        let all = [&["create", "--dry-run", "--format", "tsv"], args].concat();
        let out = cluster.shell.ok("mq-topics", &all, b"");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, format!("t\tcreate\t{detail}\n"));
    }
    let nowhere = Shell::new();
    for (args, status) in [
        ("-r 1", 0),
        ("-r 2", 1),
        ("--assign 0", 0),
        ("--assign 1", 1),
    ] {
        Tally::case();
        let words: Vec<&str> = args.split(' ').collect();
        let all = [&["create", "t", "--dry-run"], &words[..]].concat();
        let done = nowhere.run("mq-topics", &all, b"");
        assert_eq!(done.status, status, "{args}: {}", done.err);
        assert!(!nowhere.store().exists());
    }
}

#[test]
fn replicas_on_one_device_are_warned_of() {
    let _tally = Tally::start();
    let cluster = Cluster::of(2);
    let warned = |cluster: &Cluster, topic: &str, assign: &str| {
        let args = ["create", topic, "--assign", assign];
        let done = cluster.shell.run("mq-topics", &args, b"");
        assert_eq!(done.status, 0, "{}", done.err);
        done.err
    };
    assert_eq!(warned(&cluster, "one", "0,1"), "");
    let told = warned(&cluster, "two", "0:1,1:0");
    assert!(
        told.contains("warning: brokers 0, 1 keep replicas of two on one device"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let done = cluster
        .shell
        .run("mq-topics", &["alter", "two", "--partitions", "3"], b"");
    assert!(
        done.err.contains("keep replicas of two on one device"),
        "{}",
        done.err
    );
    let Some(other) = another_device(cluster.shell.store()) else {
        return;
    };
    cluster.register(2, |_| {});
    let claimed = log_dir::claim(&cluster.store, 2, other.path()).expect("claim");
    let place = claimed.log_dir().map(str::to_owned);
    cluster.register(2, |file| file.log_dir = place);
    claimed.keep();
    assert_eq!(warned(&cluster, "three", "0:2,2:1"), "");
    assert!(other.path().join("three-0").exists());
}

/// A directory on another device than `path`, where the machine has one.
fn another_device(path: &Path) -> Option<tempfile::TempDir> {
    let other = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| OsDisk.open_dir(path).and_then(|dir| dir.own_id());
    let differs = device(other.path()).ok()?.device != device(path).ok()?.device;
    differs.then_some(other)
}

#[test]
fn a_creation_that_fails_leaves_no_replica_anywhere() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    fs::remove_dir(cluster.logs(2)).expect("lose");
    let done = cluster
        .shell
        .run("mq-topics", &["create", "t", "--assign", "0:1,1:2"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(cluster.directories(&[0, 1]).is_empty());
    // The last replica cannot be put in place: somebody's file is there.
    fs::create_dir(cluster.logs(2)).expect("make");
    fs::write(cluster.logs(2).join("t-1"), b"").expect("in the way");
    let done = cluster
        .shell
        .run("mq-topics", &["create", "t", "--assign", "0:1,1:2"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert_eq!(cluster.directories(&[0, 1, 2]), ["2/t-1"]);
    fs::remove_file(cluster.logs(2).join("t-1")).expect("out of the way");
    cluster
        .shell
        .topics(&["create", "t", "--assign", "0:1,1:2"]);
    assert_eq!(
        cluster.directories(&[0, 1, 2]),
        ["0/t-0", "1/t-0", "1/t-1", "2/t-1"]
    );
}

#[test]
fn creators_of_one_topic_with_other_brokers_do_not_wait_for_each_other_for_good() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    for round in 0..20 {
        Tally::case();
        let topic = format!("t{round}");
        let assignments = [[0, 1], [1, 0], [2, 1], [0, 2]];
        let made = std::thread::scope(|scope| {
            let racing: Vec<_> = assignments
                .iter()
                .map(|brokers| {
                    let new = NewTopic {
                        name: name(&topic),
                        assignment: vec![brokers.to_vec(); 3],
                        configs: BTreeMap::new(),
                    };
                    let store = &cluster.store;
                    scope.spawn(move || create_topic(store, &new, PATIENCE))
                })
                .collect();
            racing
                .into_iter()
                .map(|racer| racer.join().expect("racer"))
                .collect::<Vec<_>>()
        });
        let winners: Vec<_> = made.iter().filter_map(|made| made.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        for e in made.iter().filter_map(|made| made.as_ref().err()) {
            assert_eq!(e.kind(), Kind::TopicExists, "{e}");
        }
        let meta = cluster.meta(&topic);
        assert_eq!(&meta, winners[0]);
        let mut expected: Vec<_> = meta
            .partitions
            .iter()
            .flat_map(|p| brokers(p).into_iter().map(move |id| (id, p.partition)))
            .map(|(id, partition)| format!("{id}/{topic}-{partition}"))
            .collect();
        expected.sort_unstable();
        let mut found = cluster.directories(&[0, 1, 2]);
        found.retain(|path| path.contains(&format!("/{topic}-")));
        assert_eq!(found, expected);
    }
}

#[test]
fn deletion_reaches_every_broker_and_waits_for_no_lost_disk() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    for topic in ["t", "u"] {
        cluster.make(topic, &[&[0, 1, 2], &[2, 0, 1]]);
    }
    cluster.shell.topics(&["delete", "t", "--yes"]);
    let left = cluster.directories(&[0, 1, 2]);
    assert!(
        left.iter().all(|name| name.contains("/u-")) && left.len() == 6,
        "{left:?}"
    );
    let away = cluster.shell.dir().join("away");
    fs::rename(cluster.logs(1), &away).expect("lose");
    cluster.shell.topics(&["delete", "u", "--yes"]);
    assert!(cluster.directories(&[0, 2]).is_empty());
    // It is back, and the proof is still there: the next creator takes its place.
    fs::rename(&away, cluster.logs(1)).expect("bring back");
    assert_eq!(names(&cluster.shell.store().join("deleted")).len(), 1);
    cluster.shell.topics(&["create", "u", "--assign", "1"]);
    assert_eq!(cluster.directories(&[1]), ["1/u-0", "1/u-1"]);
}

#[test]
fn describe_tells_of_followers_and_of_what_needs_a_look() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    cluster.make("t", &[&[0, 1], &[1, 2], &[2, 0]]);
    cluster.make("sound", &[&[2]]);
    cluster.shell.produce(&["sound"], b"a\nb\n");
    let partition = |n: usize| cluster.describe(&["t"])[0]["partitions"][n].clone();
    let first = partition(0);
    let follower = json!({"replica": 1, "log_end_offset": 0, "lag": 0, "in_sync": true});
    assert_eq!(first["preferred_leader"], 0);
    assert_eq!(first["offline"], false);
    assert_eq!(first["followers"], json!([follower]));
    let sound = &cluster.describe(&["sound"])[0]["partitions"][0];
    assert_eq!(
        (&sound["log_end_offset"], &sound["followers"]),
        (&json!(2), &json!([]))
    );
    for filter in ["--under-replicated", "--offline"] {
        Tally::case();
        assert_eq!(cluster.describe(&[filter]), [Value::Null; 0]);
    }

    // A follower that is another's counts for nothing, one that is gone neither.
    let unknown = json!({"replica": 1, "log_end_offset": null, "lag": null, "in_sync": true});
    fs::rename(cluster.logs(1).join("t-0"), cluster.logs(1).join("kept")).expect("lose");
    assert_eq!(partition(0)["followers"], json!([unknown]));
    cluster.make("other", &[&[1]]);
    fs::rename(cluster.logs(1).join("other-0"), cluster.logs(1).join("t-0")).expect("another");
    assert_eq!(partition(0)["followers"], json!([unknown]));
    fs::remove_dir_all(cluster.logs(1).join("t-0")).expect("remove");
    fs::remove_file(cluster.shell.store().join("topics/other.json")).expect("remove");
    fs::rename(cluster.logs(1).join("kept"), cluster.logs(1).join("t-0")).expect("back");

    // Out of sync, behind, and without a leader's log.
    let mut meta = topics::read_to_change(&cluster.store, &name("t")).expect("topic");
    meta.partitions[0].isr = vec![0];
    let path = cluster.shell.store().join("topics/t.json");
    meta.version += 1;
    replace(&path, &meta.encode());
    fs::rename(cluster.logs(2).join("t-2"), cluster.logs(2).join("gone")).expect("lose");
    cluster
        .shell
        .produce(&["t", "-p", "0", "--acks", "1"], b"x\ny\n");
    let numbers = |args: &[&str]| -> Vec<(String, i64)> {
        let topics = cluster.describe(args);
        let of = |topic: &Value| {
            let name = topic["name"].as_str().expect("name").to_owned();
            let all = topic["partitions"].as_array().expect("partitions").clone();
            all.into_iter()
                .map(move |p| (name.clone(), p["partition"].as_i64().expect("number")))
        };
        topics.iter().flat_map(of).collect()
    };
    let t = |n| ("t".to_owned(), n);
    assert_eq!(numbers(&["--under-replicated"]), [t(0)]);
    assert_eq!(numbers(&["--offline"]), [t(2)]);
    assert_eq!(numbers(&["--offline", "--under-replicated"]), [t(0), t(2)]);
    let behind = json!({"replica": 1, "log_end_offset": 0, "lag": 2, "in_sync": false});
    assert_eq!(partition(0)["followers"], json!([behind]));
    let last = partition(2);
    assert_eq!(
        (&last["offline"], &last["log_end_offset"]),
        (&json!(true), &Value::Null)
    );
    let args = ["describe", "t", "--format", "tsv", "--header"];
    let out = cluster.shell.ok("mq-topics", &args, b"");
    let text = String::from_utf8(out).expect("UTF-8");
    let ends: Vec<_> = text
        .lines()
        .map(|line| line.rsplitn(3, '\t').take(2).collect::<Vec<_>>())
        .collect();
    let expected = [
        ["offline", "preferred_leader"],
        ["false", "0"],
        ["false", "1"],
        ["true", "2"],
    ];
    assert_eq!(ends, expected);
}

#[test]
fn a_reassignment_is_begun_and_taken_back() {
    let _tally = Tally::start();
    let cluster = Cluster::of(4);
    cluster.make("t", &[&[0, 1], &[1, 0]]);
    let start = |changes: &[(i32, &[BrokerId])]| {
        let changes: Vec<_> = changes
            .iter()
            .map(|(n, to)| (tp("t", *n), to.to_vec()))
            .collect();
        start_reassignment(&cluster.store, &changes, Some(1000), PATIENCE)
    };
    let changed = start(&[(0, &[2, 1]), (1, &[1, 0])]).expect("begun");
    assert_eq!(changed.len(), 1);
    let meta = cluster.meta("t");
    assert_eq!(meta, changed[0]);
    assert_eq!(meta.version, 2);
    let first = &meta.partitions[0];
    assert_eq!(brokers(first), [2, 1, 0]);
    assert_eq!((first.leader, first.isr.as_slice()), (0, &[0, 1][..]));
    assert_eq!(
        (first.preferred_leader(), first.replication_factor()),
        (2, 2)
    );
    let under_way = first.reassignment.as_ref().expect("under way");
    assert_eq!(under_way.before, [0, 1]);
    assert_eq!(under_way.throttle, Some(1000));
    // As it was already.
    assert!(meta.partitions[1].reassignment.is_none());
    let page = cluster.page("t", 0, 2);
    assert_eq!(Some(page.replica_uuid), first.uuid_of(2));
    assert_eq!(
        (format!("{:?}", page.role).as_str(), page.synced_version),
        ("Follower", 2)
    );

    for (changes, kind, told) in [
        (
            &[(0, &[3][..])][..],
            Kind::BrokerState,
            "REASSIGNMENT_IN_PROGRESS",
        ),
        (&[(1, &[9])], Kind::BrokerState, "there is no broker 9"),
        (&[(1, &[3, 3])], Kind::Usage, "broker 3 twice"),
        (&[(1, &[])], Kind::Usage, "has no broker"),
        (&[(1, &[3]), (1, &[2])], Kind::Usage, "is there twice"),
        (&[(5, &[3])], Kind::UnknownTopic, "no partition t:5"),
        (
            &[(1, &[3]), (0, &[3])],
            Kind::BrokerState,
            "REASSIGNMENT_IN_PROGRESS",
        ),
    ] {
        Tally::case();
        let e = start(changes).expect_err(told);
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.to_string().contains(told), "{e}");
        assert_eq!(cluster.meta("t"), meta);
        assert!(cluster.directories(&[3]).is_empty());
    }
    let cancel = |n| cancel_reassignment(&cluster.store, &[tp("t", n)], PATIENCE);
    let e = cancel(1).expect_err("none");
    assert_eq!(e.kind(), Kind::BrokerState);
    assert!(e.to_string().contains("NO_REASSIGNMENT_IN_PROGRESS"), "{e}");

    let new = first.uuid_of(2);
    cancel(0).expect("taken back");
    let back = cluster.meta("t");
    assert_eq!(brokers(&back.partitions[0]), [0, 1]);
    assert_eq!(back.partitions[0].reassignment, None);
    assert_eq!(back.partitions[0].isr, [0, 1]);
    let retired: Vec<_> = back
        .retired
        .iter()
        .map(|r| (r.partition, r.broker, Some(r.uuid)))
        .collect();
    assert_eq!(retired, [(0, 2, new)]);

    // Its place is taken by the next one: what was retired is no stray.
    start(&[(0, &[0, 2])]).expect("again");
    assert_eq!(cluster.directories(&[2]), ["2/t-0"]);
    assert_ne!(cluster.meta("t").partitions[0].uuid_of(2), new);

    start(&[(1, &[1, 3])]).expect("begun");
    cancel(1).expect("taken back");
    assert_eq!(cluster.directories(&[3]), ["3/t-1"]);

    // The leader came with the reassignment.
    let mut meta = cluster.meta("t");
    (meta.partitions[0].leader, meta.partitions[0].isr) = (2, vec![2, 0]);
    meta.version += 1;
    replace(&cluster.shell.store().join("topics/t.json"), &meta.encode());
    let e = cancel(0).expect_err("its leader would go");
    assert_eq!(e.kind(), Kind::BrokerState);
    assert_eq!(cluster.meta("t"), meta);

    // Deleted meanwhile, it leaves nothing, retired directories included.
    cluster.shell.topics(&["delete", "t", "--yes"]);
    assert!(cluster.directories(&[0, 1, 2, 3]).is_empty());
}

#[test]
fn what_a_dead_maker_left_is_taken_away_and_what_a_living_one_holds_is_not() {
    let _tally = Tally::start();
    let cluster = Cluster::new();
    cluster.register(1, |_| {});
    let topic_id = cluster.make("t", &[&[1], &[1]]).topic_id;
    cluster.shell.produce(&["t"], b"a\nb\n");
    let make = |partition| {
        let tp = tp("t", partition);
        make_replica(&cluster.store, &tp, 0, topic_id, PATIENCE).expect("made")
    };
    // Its lock goes as with its process.
    drop(make(0));
    let held = make(1);
    assert_eq!(cluster.directories(&[0]), ["0/t-0", "0/t-1"]);
    // A sweep goes on beside all else, and a stop ends it.
    let sweep = |left: &str| {
        let broker = cluster.shell.start("mq-broker", &["start"]);
        broker.says(" ready: ");
        std::thread::sleep(Duration::from_millis(300));
        let until = Instant::now() + PATIENCE;
        while cluster.directories(&[0]) != [left] && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster.shell.ok("mq-broker", &["stop"], b"");
        assert_eq!(broker.end().status, 0);
        assert_eq!(cluster.directories(&[0]), [left]);
    };
    sweep("0/t-1");
    assert_eq!(cluster.directories(&[1]), ["1/t-0", "1/t-1"]);
    discard(&cluster.store, vec![held]);
    assert!(cluster.directories(&[0]).is_empty());
    // Or the next maker takes its place.
    drop(make(0));
    let changes = [(tp("t", 0), vec![0])];
    start_reassignment(&cluster.store, &changes, None, PATIENCE).expect("begun");
    assert_eq!(cluster.directories(&[0]), ["0/t-0"]);
    // What a topic file names is nobody's leftover, though its partition is led elsewhere.
    sweep("0/t-0");
    let e = make_replica(&cluster.store, &tp("t", 0), 0, topic_id, PATIENCE).expect_err("named");
    assert_eq!(e.kind(), Kind::TopicExists, "{e}");
    assert_eq!(cluster.shell.consume_text(&["t", "-e"]).lines().count(), 2);
}

#[test]
fn fewer_replicas_than_must_be_in_sync_are_refused() {
    let _tally = Tally::start();
    let cluster = Cluster::of(3);
    cluster
        .shell
        .topics(&["create", "t", "-r", "2", "-c", "min.insync.replicas=2"]);
    let changes = [(tp("t", 0), vec![2])];
    let e = start_reassignment(&cluster.store, &changes, None, PATIENCE).expect_err("too few");
    assert_eq!(e.kind(), Kind::InvalidConfig, "{e}");
    // What is to be counts: a third replica on the way allows three.
    let changes = [(tp("t", 0), vec![0, 1, 2])];
    start_reassignment(&cluster.store, &changes, None, PATIENCE).expect("begun");
    cluster
        .shell
        .topics(&["alter", "t", "-c", "min.insync.replicas=3"]);
    // Another config is not refused for it.
    cluster.shell.topics(&["alter", "t", "-c", "segment.ms=5"]);
}
