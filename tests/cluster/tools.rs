//! Reassignments, elections, health, and readers that choose their replica.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use mq::client::{Chooser, ReadFrom};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::StoreDir;
use mq::types::{BrokerId, TopicName, TopicPartition};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::cli::{PATIENCE, Running, Shell};
use super::tally::Tally;
use super::{eventually, refused, start, stop};

/// Brokers that run, each on a rack of its own: `rack-1`, `rack-2` and so on.
pub(super) struct Brokers {
    pub shell: Shell,
    running: BTreeMap<i32, Running>,
}

impl Brokers {
    pub fn of(n: i32) -> Self {
        let shell = Shell::new();
        let mut brokers = Brokers {
            shell,
            running: BTreeMap::new(),
        };
        (1..=n).for_each(|id| brokers.start(id));
        brokers
    }

    pub fn start(&mut self, id: i32) {
        self.start_with(id, &[]);
    }

    pub fn start_with(&mut self, id: i32, more: &[&str]) {
        let (name, rack) = (id.to_string(), format!("rack-{id}"));
        let args = [&["--id", &name, "--rack", &rack], more].concat();
        let running = start(&self.shell, &args);
        self.running.insert(id, running);
    }

    pub fn kill(&mut self, id: i32) {
        let running = self.running.remove(&id).expect("it runs");
        running.signal(Signal::KILL);
        running.end();
    }

    pub fn stop(&mut self, id: i32) {
        let running = self.running.remove(&id).expect("it runs");
        stop(&self.shell, &id.to_string(), running);
    }

    pub fn healthy(&self) {
        let args = ["health", "--wait", "--timeout", "60s"];
        let done = self.shell.run("mq-broker", &args, b"");
        assert_eq!(done.status, 0, "{}{}", done.text(), done.err);
    }

    /// A partition as `mq-topics describe` shows it.
    pub fn partition(&self, topic: &str, partition: usize) -> Value {
        let args = ["describe", "--format", "json", topic];
        let out = self.shell.ok("mq-topics", &args, b"");
        let topic: Value = serde_json::from_slice(&out).expect("JSON");
        topic["partitions"][partition].clone()
    }

    pub fn until(&self, topic: &str, partition: usize, field: &str, value: Value) {
        eventually(&format!("{topic}:{partition} {field} {value}"), || {
            self.partition(topic, partition)[field] == value
        });
        Tally::case();
    }

    fn replica(&self, topic: &str, partition: i32, broker: i32) -> std::path::PathBuf {
        let path = format!("brokers/{broker}/logs/{topic}-{partition}");
        self.shell.store().join(path)
    }

    /// Status, output and errors of `mq-broker`.
    pub fn tool(&self, args: &[&str]) -> (i32, String, String) {
        Tally::case();
        let done = self.shell.run("mq-broker", args, b"");
        (done.status, done.text(), done.err)
    }

    fn reassignments(&self) -> Vec<Value> {
        lines(&self.tool(&["reassign", "--format", "json"]).1)
    }

    /// The kinds of what is amiss, with what each is about.
    pub fn amiss(&self) -> Vec<(String, Value)> {
        let (status, out, err) = self.tool(&["health", "--format", "json"]);
        let found: Vec<_> = lines(&out)
            .iter()
            .map(|line| {
                let reason = line["reason"].as_str().expect("a reason").to_owned();
                let partition = format!("{}:{}", line["topic"], line["partition"]);
                let about = if reason.starts_with("broker") {
                    line["broker"].clone()
                } else {
                    json!(partition.replace('"', ""))
                };
                (reason, about)
            })
            .collect();
        assert_eq!(status, i32::from(!found.is_empty()), "{out}{err}");
        found
    }
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn numbers(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

fn sorted(text: &str) -> Vec<usize> {
    let mut all: Vec<usize> = text.lines().map(|l| l.parse().expect("a number")).collect();
    all.sort_unstable();
    all
}

#[test]
fn reassignments() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let shell = &brokers.shell;
    shell.topics(&[
        "create",
        "t",
        "--assign",
        "1:2,2:1",
        "-c",
        "min.insync.replicas=2",
    ]);
    brokers.healthy();
    for (args, status, words) in [
        (&["t:0=1,7"][..], 1, &["no broker 7"][..]),
        (&["t:0=7"], 1, &["no broker 7"]),
        (&["t:0=1,0"], 1, &["broker 0 does not run", "start --id 0"]),
        (&["t:0=1,1"], 2, &["broker 1 twice"]),
        (&["t:0=1,2", "t=2,3"], 2, &["named twice"]),
        (
            &["t:0=1,x"],
            2,
            &["INVALID_REPLICA_ASSIGNMENT", "'x' is not"],
        ),
        (&["t:0=", "t:1=3"], 2, &["INVALID_REPLICA_ASSIGNMENT"]),
        (&["t:0"], 2, &["says no brokers"]),
        (&["t:2=1,2"], 1, &["no partition t:2"]),
        (&["u:0=1,2"], 1, &["no topic 'u'"]),
        (&["t:0=3"], 1, &["min.insync.replicas=2"]),
        (&["t:0=2,3", "--throttle", "0"], 2, &["--throttle"]),
        (&["--cancel", "t"], 1, &["NO_REASSIGNMENT_IN_PROGRESS"]),
        (&["--cancel", "t:1"], 1, &["NO_REASSIGNMENT_IN_PROGRESS"]),
        (&["--cancel", "t:0", "t"], 2, &["named twice"]),
        (&["--dry-run"], 2, &["nothing to plan"]),
        (&["--throttle", "1MB"], 2, &["BROKERS"]),
        (&["--cancel"], 2, &["BROKERS"]),
        (&["--cancel", "t:0=1,2"], 2, &["t:0=1,2"]),
    ] {
        let args = [&["reassign"], args].concat();
        refused(shell, &args, status, words);
    }
    let plan = [
        "reassign",
        "t:0=3,2",
        "t:1=2,1",
        "--dry-run",
        "--format",
        "tsv",
    ];
    assert_eq!(brokers.tool(&plan).1, "t\t0\t1,2\t3,2\n");
    assert_eq!(brokers.reassignments(), [Value::Null; 0]);

    shell.produce(&["t"], numbers(0..1000).as_bytes());
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3,2", "--wait"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(brokers.partition("t", 0)["replicas"], json!([3, 2]));
    assert_eq!(brokers.partition("t", 1)["replicas"], json!([2, 1]));
    let gone = brokers.replica("t", 0, 1);
    eventually("the old replica is swept", || !gone.exists());
    let all: Vec<usize> = (0..1000).collect();
    assert_eq!(sorted(&shell.consume_text(&["-e", "t"])), all);
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3,2"]);
    assert!(status == 0 && err.contains("nothing to change"), "{err}");

    // One that takes its time.
    let line = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
    shell.produce(&["-p", "1", "t"], &line.repeat(40));
    let slow = ["reassign", "t:1=3,2", "--throttle", "10kB"];
    assert_eq!(brokers.tool(&slow).0, 0);
    let under_way = brokers.reassignments();
    let lag = under_way[0]["lag"][0].as_i64().expect("a lag");
    assert!(lag > 0, "{under_way:?}");
    let expected = json!({
        "topic": "t", "partition": 1, "from": [2, 1], "to": [3, 2], "adding": [3],
        "lag": [lag], "throttle": 10_000,
    });
    assert_eq!(under_way[0].to_string(), expected.to_string());
    let (status, _, err) = brokers.tool(&["health"]);
    assert!(
        status == 0 && err.contains("being reassigned: t:1"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["reassign", "t:1=1,2"]);
    assert!(
        status == 1 && err.contains("REASSIGNMENT_IN_PROGRESS"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["reassign", "--wait", "--timeout", "100ms"]);
    assert!(
        status == 75 && err.contains("still being reassigned: t:1"),
        "{err}"
    );
    let plan = ["reassign", "--cancel", "t", "--dry-run", "--format", "tsv"];
    assert_eq!(brokers.tool(&plan).1, "t\t1\t3,2\t2,1\n");
    assert_eq!(brokers.tool(&["reassign", "--cancel", "t"]).0, 0);
    assert_eq!(brokers.partition("t", 1)["replicas"], json!([2, 1]));
    assert_eq!(brokers.reassignments(), [Value::Null; 0]);

    // A topic's name stands for all of its partitions.
    shell.topics(&["alter", "t", "--unset", "min.insync.replicas"]);
    let (status, _, err) = brokers.tool(&["reassign", "t=2,3", "--wait"]);
    assert_eq!(status, 0, "{err}");
    for partition in [0, 1] {
        assert_eq!(brokers.partition("t", partition)["replicas"], json!([2, 3]));
    }
    // Without a controller it waits for one.
    brokers.healthy();
    for id in [1, 2, 3] {
        brokers.stop(id);
    }
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3"]);
    assert!(status == 0 && err.contains("no controller lives"), "{err}");
    assert_eq!(brokers.reassignments()[0]["to"], json!([3]));
    brokers.start(3);
    brokers.start(2);
    let (status, _, err) = brokers.tool(&["reassign", "--wait"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(brokers.partition("t", 0)["replicas"], json!([3]));
}

#[test]
fn preferred_leaders_are_elected() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    brokers
        .shell
        .topics(&["create", "t", "--assign", "1:2:3,2:3:1"]);
    brokers.healthy();
    let (status, out, err) = brokers.tool(&["elect", "preferred"]);
    assert!(status == 0 && out.is_empty() && err.contains("nothing to do"));
    brokers.stop(1);
    brokers.until("t", 0, "leader", json!(2));
    let (_, _, err) = brokers.tool(&["health"]);
    let cannot = "not led by the preferred leader, which does not run";
    assert!(
        err.contains(cannot) && !err.contains("elect preferred"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["elect", "preferred"]);
    assert_eq!(status, 1);
    for word in [
        "PREFERRED_LEADER_NOT_AVAILABLE",
        "t:0",
        "broker 1",
        "does not run",
    ] {
        assert!(err.contains(word), "{err}");
    }
    let (status, _, err) = brokers.tool(&["elect", "preferred", "t:1"]);
    assert_eq!(status, 0, "{err}");
    brokers.start(1);
    brokers.healthy();
    // The controller would do it, too, after a while.
    let (status, out, err) = brokers.tool(&["elect", "preferred", "t", "--format", "tsv"]);
    assert_eq!(status, 0, "{err}");
    assert!(out == "t\t0\t2\t1\t-\telected\n" || out.is_empty(), "{out}");
    assert_eq!(brokers.partition("t", 0)["leader"], json!(1));
    brokers.tool(&["drain", "1"]);
    let (status, _, err) = brokers.tool(&["elect", "preferred"]);
    assert!(status == 1 && err.contains("is drained"), "{err}");
    for (args, words) in [
        (&["elect", "preferred", "--to", "1"][..], "unclean"),
        (&["elect", "preferred", "t", "t:1"], "named twice"),
        (&["elect", "sideways"], "preferred"),
        (&["elect", "unclean", "--yes"], "needs partitions"),
        (&["elect", "unclean", "t:0"], "needs a yes"),
    ] {
        refused(&brokers.shell, args, 2, &[words]);
    }
    let (status, _, err) = brokers.tool(&["elect", "preferred", "u", "t:7"]);
    assert!(
        status == 1 && err.contains("'u'") && err.contains("no partition 7"),
        "{err}"
    );
}

#[test]
fn an_unclean_election_is_the_last_resort() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let unclean = ["-c", "unclean.leader.election.enable=true"];
    for (topic, configs) in [("t", &[][..]), ("u", &unclean)] {
        let create = [&["create", topic, "--assign", "1:2"][..], configs].concat();
        brokers.shell.topics(&create);
        brokers.shell.produce(&[topic], b"a\nb\n");
    }
    brokers.healthy();
    let elect = ["elect", "unclean", "t:0", "--yes"];
    refused(
        &brokers.shell,
        &elect,
        1,
        &["ELECTION_NOT_NEEDED", "broker 1"],
    );
    brokers.kill(2);
    for topic in ["t", "u"] {
        brokers.until(topic, 0, "isr", json!([1]));
        brokers.shell.produce(&[topic], b"c\n");
    }
    let (status, _, err) = brokers.tool(&elect);
    assert!(status == 1 && err.contains("ELECTION_NOT_NEEDED"), "{err}");
    brokers.kill(1);
    // Its directory serves on.
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\nc\n");
    for topic in ["t", "u"] {
        fs::remove_dir_all(brokers.replica(topic, 0, 1)).expect("lost");
    }
    let (status, _, err) = brokers.tool(&elect);
    assert!(status == 1 && err.contains("start broker 2"), "{err}");
    brokers.start(2);
    // Where the topic allows it, nobody needs to ask.
    brokers.until("u", 0, "leader", json!(2));
    assert_eq!(brokers.shell.consume_text(&["-e", "u"]), "a\nb\n");
    assert!(
        brokers
            .amiss()
            .contains(&("offline".to_owned(), json!("t:0")))
    );
    let (status, _, err) = brokers.tool(&["elect", "unclean", "t:0", "--yes", "--to", "3"]);
    assert!(
        status == 1 && err.contains("broker 3 holds no replica"),
        "{err}"
    );
    let plan = ["elect", "unclean", "t:0", "--dry-run", "--format", "tsv"];
    assert_eq!(brokers.tool(&plan).1, "t\t0\t1\t2\t2\tplanned\n");
    assert_eq!(brokers.partition("t", 0)["leader"], json!(1));
    let elect = ["elect", "unclean", "t:0", "--yes", "--format", "tsv"];
    let (status, out, err) = brokers.tool(&elect);
    assert_eq!(
        (status, out.as_str()),
        (0, "t\t0\t1\t2\t2\telected\n"),
        "{err}"
    );
    assert_eq!(brokers.partition("t", 0)["isr"], json!([2]));
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\n");
    brokers.shell.produce(&["t"], b"d\n");
    brokers.start(1);
    brokers.healthy();
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\nd\n");
    let copied = || brokers.shell.consume_text(&["-e", "--replica", "1", "t"]) == "a\nb\nd\n";
    eventually("broker 1 has it all", copied);
}

#[test]
fn health_names_each_reason() {
    let _tally = Tally::start();
    let single = Shell::new();
    let done = single.run("mq-broker", &["health"], b"");
    assert_eq!(done.status, 1, "there is no store");
    single.produce(&["t"], b"a\n");
    let done = single.run("mq-broker", &["health"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
    // Nobody misses the daemon of single replicas: their directories serve.
    let zero = start(&single, &[]);
    let one = start(&single, &["--id", "1"]);
    assert_eq!(single.run("mq-broker", &["health"], b"").status, 0);
    stop(&single, "0", zero);
    let done = single.run("mq-broker", &["health", "--format", "tsv"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
    stop(&single, "1", one);
    assert_eq!(single.run("mq-broker", &["health"], b"").status, 0);

    let mut brokers = Brokers::of(3);
    let create = [
        "create",
        "t",
        "--assign",
        "1:2:3",
        "-c",
        "min.insync.replicas=2",
    ];
    brokers.shell.topics(&create);
    brokers.healthy();
    let reason = |name: &str, about: Value| (name.to_owned(), about);
    assert_eq!(brokers.amiss(), []);
    brokers.running[&3].signal(Signal::STOP);
    let hangs = reason("broker-hangs", json!(3));
    assert!(brokers.amiss().contains(&hangs));
    let soon = ["health", "--wait", "--timeout", "300ms"];
    let (status, _, err) = brokers.tool(&soon);
    assert!(status == 1 && err.contains("still so after 300ms"), "{err}");
    brokers.running[&3].signal(Signal::CONT);
    brokers.healthy();
    assert_eq!(brokers.amiss(), []);

    let replica = brokers.replica("t", 0, 3);
    let (logs, away) = (
        replica.parent().expect("logs"),
        brokers.shell.dir().join("away"),
    );
    fs::rename(logs, &away).expect("moved");
    let unusable = reason("broker-log-dir", json!(3));
    assert!(brokers.amiss().contains(&unusable));
    fs::rename(&away, logs).expect("back");
    brokers.healthy();

    brokers.kill(3);
    brokers.kill(2);
    brokers.until("t", 0, "isr", json!([1]));
    let mut expected = vec![
        reason("broker-stopped", json!(2)),
        reason("broker-stopped", json!(3)),
        reason("under-min-isr", json!("t:0")),
        reason("under-replicated", json!("t:0")),
    ];
    eventually("a controller", || brokers.amiss() == expected);
    brokers.kill(1);
    let (_, out, _) = brokers.tool(&["health"]);
    assert!(out.contains("dies ('mq-broker start --id 1')"), "{out}");
    expected.insert(0, reason("no-controller", json!("null:null")));
    expected.insert(1, reason("broker-stopped", json!(1)));
    assert_eq!(brokers.amiss(), expected);
    fs::rename(brokers.replica("t", 0, 1), brokers.shell.dir().join("away")).expect("moved");
    expected.insert(4, reason("offline", json!("t:0")));
    assert_eq!(brokers.amiss(), expected);
    fs::rename(brokers.shell.dir().join("away"), brokers.replica("t", 0, 1)).expect("back");
    for id in [1, 2, 3] {
        brokers.start(id);
    }
    brokers.healthy();
    let topic = brokers.shell.store().join("topics/t.json");
    let sound = fs::read(&topic).expect("read");
    fs::write(&topic, "{").expect("damaged");
    assert_eq!(
        brokers.amiss(),
        [reason("topic-unreadable", json!("null:null"))]
    );
    fs::write(&topic, sound).expect("mended");
    for args in [
        &["health", "--timeout", "1s"][..],
        &["health", "--wait", "--timeout", "x"],
    ] {
        refused(&brokers.shell, args, 2, &["--timeout"]);
    }
}

#[test]
fn readers_choose_their_replica() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let shell = &brokers.shell;
    shell.topics(&["create", "t", "--assign", "1:2:3,2:3:1"]);
    shell.topics(&["create", "one", "--assign", "1"]);
    shell.produce(&["t"], numbers(0..100).as_bytes());
    brokers.healthy();
    let read = |args: &[&str]| {
        Tally::case();
        sorted(&shell.consume_text(&[&["-e", "t"], args].concat()))
    };
    let first: Vec<usize> = (0..100).collect();
    let all: Vec<usize> = (0..110).collect();
    for id in ["1", "2", "3"] {
        eventually("all is copied", || read(&["--replica", id]) == first);
    }
    for (args, status, words) in [
        (
            &["--replica", "9", "t"][..],
            1,
            "its replicas are on 1, 2, 3",
        ),
        (&["--replica", "2", "one"], 1, "its replicas are on 1"),
        (
            &["-g", "g", "--replica", "2", "one"],
            1,
            "its replicas are on 1",
        ),
        (&["--replica", "x", "t"], 2, "whole numbers"),
        (&["--replica", "1", "--rack", "rack-1", "t"], 2, "--rack"),
        (&["--rack", "", "t"], 2, "--rack is empty"),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &[&["-e"], args].concat(), b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(words), "{args:?}: {}", done.err);
        assert!(done.out.is_empty());
    }
    let done = shell.run("mq-consume", &["-e", "--rack", "attic", "t"], b"");
    assert_eq!(sorted(&done.text()), first);
    assert!(
        done.err.contains("no broker is on rack 'attic'"),
        "{}",
        done.err
    );

    // Who is read.
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, shell.store()).expect("store");
    let store = Arc::new(store);
    let read_by = |read_from: &ReadFrom| -> Vec<BrokerId> {
        let chooser = Chooser::new(&store, read_from.clone());
        let tp = |p| TopicPartition::new(TopicName::new("t").expect("name"), p);
        let open = |p| chooser.open(&tp(p)).expect("open").broker();
        [0, 1].map(open).to_vec()
    };
    let rack = |id: i32| ReadFrom::Rack(format!("rack-{id}"));
    assert_eq!(read_by(&ReadFrom::Leader), [1, 2]);
    assert_eq!(read_by(&ReadFrom::Replica(3)), [3, 3]);
    for id in [1, 2, 3] {
        assert_eq!(read_by(&rack(id)), [id, id]);
    }
    assert_eq!(read_by(&ReadFrom::Rack("attic".to_owned())), [1, 2]);

    // One that is behind shows what it has, and is not in sync.
    brokers.running[&3].signal(Signal::STOP);
    for partition in [0, 1] {
        let isr: &[i32] = if partition == 0 { &[1, 2] } else { &[2, 1] };
        eventually("it left", || {
            let now = &brokers.partition("t", partition)["isr"];
            isr.iter()
                .all(|id| now.as_array().is_some_and(|now| now.contains(&json!(id))))
                && now.as_array().is_some_and(|now| now.len() == 2)
        });
    }
    shell.produce(&["t"], numbers(100..110).as_bytes());
    assert_eq!(read(&[]), all);
    assert_eq!(read(&["--replica", "3"]), first);
    assert_eq!(read(&["--rack", "rack-3"]), all, "by the leaders");
    assert_eq!(read_by(&rack(3)), [1, 2]);
    let tail = read(&["--replica", "3", "--tail", "2"]);
    assert!(tail.len() == 2 && tail.iter().all(|n| *n < 100), "{tail:?}");
    assert_eq!(read(&["--replica", "3", "-o", "-1"]).len(), 2);
    assert!(
        read(&["--replica", "3", "-o", "-1"])
            .iter()
            .all(|n| *n < 100)
    );
    // A group that others read on further for is not told that records were lost.
    assert_eq!(read(&["-g", "far"]), all);
    assert_eq!(read(&["-g", "far", "--replica", "3"]), [0; 0]);
    assert_eq!(read(&["-g", "near", "--replica", "3"]), first);
    let rest = read(&["-g", "near"]);
    assert_eq!(rest, all[100..]);
    brokers.running[&3].signal(Signal::CONT);
    brokers.healthy();
    eventually("it caught up", || read(&["--replica", "3"]) == all);
    assert_eq!(read(&["-g", "racks", "--rack", "rack-3"]), all);

    // Followers go on when a broker dies, without a gap or a repeat.
    let kinds = [
        &["--rack", "rack-3", "t"][..],
        &["--rack", "rack-1", "t"],
        &["--replica", "2", "t"],
        &["-g", "follow", "--rack", "rack-1", "t"],
    ];
    let follow = |args: &&'static [&'static str]| (*args, shell.start("mq-consume", args));
    let followers: Vec<_> = kinds.iter().map(follow).collect();
    let heard = |(args, follower): &(&[&str], Running), n: usize| {
        let lines = |out: &[u8]| memchr::memchr_iter(b'\n', out).count();
        let found = follower.out.until(PATIENCE, |out| lines(out) >= n);
        let out = String::from_utf8(follower.out.bytes()).expect("text");
        let err = String::from_utf8_lossy(&follower.err.bytes()).into_owned();
        assert!(found, "{args:?}: {} of {n}: {err}", lines(out.as_bytes()));
        assert_eq!(sorted(&out), (0..n).collect::<Vec<_>>());
        Tally::case();
    };
    let mut n = 110;
    for round in 0..2 {
        for follower in &followers {
            heard(follower, n);
        }
        let victim = if round == 0 { 3 } else { 1 };
        brokers
            .running
            .remove(&victim)
            .expect("it runs")
            .signal(Signal::KILL);
        let shell = &brokers.shell;
        shell.produce(&["t"], numbers(n..n + 50).as_bytes());
        n += 50;
        for follower in &followers {
            heard(follower, n);
        }
        brokers.start(victim);
        brokers.healthy();
        brokers.shell.produce(&["t"], numbers(n..n + 50).as_bytes());
        n += 50;
    }
    for follower in &followers {
        heard(follower, n);
    }
}
