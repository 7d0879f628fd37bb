//! Daemons: replicas made again, removals, memory.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Running, Shell, TIMEOUT};

/// Starts brokers and waits until they are ready.
pub fn brokers(shell: &Shell, ids: &[u32]) -> Vec<Running> {
    let start = |id: &u32| {
        let id = id.to_string();
        shell.start("mq-broker", &["start", "--id", &id])
    };
    let running: Vec<_> = ids.iter().map(start).collect();
    for broker in &running {
        broker.says(" ready: ");
    }
    running
}

pub fn healthy(shell: &Shell) {
    shell.ok("mq-broker", &["health", "--wait", "--timeout", "60s"], b"");
}

pub fn topic_file(shell: &Shell, topic: &str) -> Value {
    let path = shell.store().join(format!("topics/{topic}.json"));
    serde_json::from_slice(&fs::read(path).expect("a topic file")).expect("JSON")
}

pub fn eventually(timeout: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + timeout;
    while !holds() {
        assert!(Instant::now() < until, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(broker: &Running, word: &str) -> usize {
    let all = [broker.out.bytes(), broker.err.bytes()].concat();
    String::from_utf8_lossy(&all).matches(word).count()
}

fn assignment(brokers: &str, partitions: usize) -> String {
    vec![brokers; partitions].join(",")
}

#[test]
fn what_a_follower_lost_on_an_idle_partition_is_recreated() {
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2,1:2,1:2"]);
    healthy(&shell);
    shell.produce(&["t"], b"a\nb\nc\n");
    let is_full = || {
        let partitions = topic_file(&shell, "t")["partitions"].clone();
        let mut isr = partitions.as_array().expect("partitions").iter();
        isr.all(|p| p["isr"].as_array().is_some_and(|isr| isr.len() == 2))
    };
    eventually(TIMEOUT, "in sync", is_full);
    let logs = shell.store().join("brokers/2/logs");
    let before = topic_file(&shell, "t");
    for (at, lost) in ["t-0/partition.state", "t-1"].iter().enumerate() {
        let path = logs.join(lost);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("removed");
        let uuid = |topic: &Value| topic["partitions"][at]["replicas"][1].clone();
        eventually(Duration::from_secs(5), "recreated", || {
            uuid(&topic_file(&shell, "t")) != uuid(&before) && is_full() && path.exists()
        });
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(said(&running[1], "recreated the replica"), 2);
    healthy(&shell);
}

#[test]
fn health_names_at_once_a_replica_that_is_gone() {
    let shell = Shell::new();
    let mut running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    shell.produce(&["t"], b"a\n");
    healthy(&shell);
    // Its daemon, standing still, mends nothing meanwhile.
    running[1].signal(rustix::process::Signal::STOP);
    fs::remove_dir_all(shell.store().join("brokers/2/logs/t-0")).expect("removed");
    let done = shell.run("mq-broker", &["health"], b"");
    let text = done.text() + &done.err;
    assert!(text.contains("replica on broker 2 is gone"), "{text}");
    running[1].signal(rustix::process::Signal::CONT);
    running.clear();
}

#[test]
fn replicas_lost_together_are_recreated_together() {
    let count = 200;
    let shell = Shell::new();
    let _running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", &assignment("1:2", count)]);
    healthy(&shell);
    let version = |topic: &Value| topic["version"].as_u64().expect("a version");
    let before = topic_file(&shell, "t");
    let logs = shell.store().join("brokers/2/logs");
    for at in 0..count {
        let name = format!("t-{at}");
        fs::rename(logs.join(&name), shell.dir().join(&name)).expect("moved");
    }
    let started = Instant::now();
    eventually(Duration::from_secs(15), "all recreated, in sync", || {
        let now = topic_file(&shell, "t");
        (0..count).all(|at| {
            let p = &now["partitions"][at];
            p["isr"].as_array().is_some_and(|isr| isr.len() == 2)
                && p["replicas"][1] != before["partitions"][at]["replicas"][1]
        })
    });
    let versions = version(&topic_file(&shell, "t")) - version(&before);
    println!(
        "{count} recreated in {:?}, {versions} versions",
        started.elapsed()
    );
    assert!(
        versions <= count as u64 / 2,
        "{versions} versions of the topic file"
    );
}

/// In memory, where there is such a place: what is counted is not the disk's.
pub fn quick_shell() -> Shell {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        Shell::on(memory)
    } else {
        Shell::new()
    }
}

/// Makes a topic of many partitions on broker 1 and lets its deletion die at once.
fn delete_by_halves(shell: &Shell, partitions: usize) -> usize {
    let logs = shell.store().join("brokers/1/logs");
    shell.topics(&["create", "gone", "--assign", &assignment("1", partitions)]);
    let mut deletion = shell.start("mq-topics", &["delete", "--yes", "gone"]);
    let file = shell.store().join("topics/gone.json");
    eventually(TIMEOUT, "the deletion begins", || !file.exists());
    deletion.child.kill().expect("killed");
    drop(deletion);
    left(&logs)
}

fn left(logs: &std::path::Path) -> usize {
    let names = fs::read_dir(logs).expect("list").flatten();
    names
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("gone-"))
        .count()
}

#[test]
fn what_a_dead_deletion_left_is_swept_while_the_daemon_goes_on() {
    let partitions = 600;
    let shell = quick_shell();
    let mut running = brokers(&shell, &[1, 2]);
    assert!(delete_by_halves(&shell, partitions) > partitions / 2);
    let logs = shell.store().join("brokers/1/logs");
    let many = left(&logs);
    eventually(TIMEOUT, "the sweep begins", || left(&logs) < many);
    let started = Instant::now();
    shell.topics(&["create", "t", "--assign", "2:1"]);
    shell.produce(&["t"], b"a\n");
    println!(
        "a new topic's first record after {:?}, {} directories left",
        started.elapsed(),
        left(&logs)
    );
    assert!(started.elapsed() < Duration::from_secs(8));
    eventually(Duration::from_secs(20), "all removed", || left(&logs) == 0);
    println!("{many} removed in {:?}", started.elapsed());
    eventually(TIMEOUT, "the proof goes", || {
        fs::read_dir(shell.store().join("deleted"))
            .expect("list")
            .count()
            == 0
    });
    eventually(TIMEOUT, "reported", || said(&running[0], "removed ") == 1);
    running.clear();
}

#[test]
fn a_stop_does_not_wait_for_a_sweep() {
    let partitions = 600;
    let shell = quick_shell();
    let mut running = brokers(&shell, &[1]);
    assert!(delete_by_halves(&shell, partitions) > partitions / 2);
    let logs = shell.store().join("brokers/1/logs");
    let many = left(&logs);
    eventually(TIMEOUT, "the sweep begins", || left(&logs) < many);
    let started = Instant::now();
    running[0].signal(rustix::process::Signal::TERM);
    let done = running[0].end_within(TIMEOUT);
    assert_eq!(done.status, 0, "{}", done.err);
    println!("ended after {:?}, {} left", started.elapsed(), left(&logs));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_broker_that_was_unregistered_leaves_no_entries() {
    let shell = Shell::new();
    let mut running = brokers(&shell, &[1, 3]);
    let place = shell.dir().join("elsewhere");
    let place = place.to_str().expect("UTF-8").to_owned();
    let second = shell.start("mq-broker", &["start", "--id", "2", "--log-dir", &place]);
    second.says(" ready: ");
    shell.topics(&["create", "t", "--assign", "1:2"]);
    shell.topics(&["create", "u", "--assign", "1:2"]);
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-broker", &["stop", "2"], b"");
    drop(second);
    fs::remove_dir_all(&place).expect("a disk that is lost");
    for topic in ["t=1,3", "u=1,3"] {
        let reassign = ["reassign", topic, "--wait", "--timeout", "20s"];
        shell.ok("mq-broker", &reassign, b"");
    }
    let retired = |topic: &str| topic_file(&shell, topic)["retired"].clone();
    let count = |topic| retired(topic).as_array().map_or(0, Vec::len);
    assert_eq!(count("t"), 1);
    shell.topics(&["delete", "--yes", "u"]);
    shell.ok("mq-broker", &["unregister", "2"], b"");
    assert_eq!(count("t"), 0, "{}", retired("t"));
    // Nor does the proof of a deletion wait for it.
    eventually(Duration::from_secs(15), "no proof is kept", || {
        fs::read_dir(shell.store().join("deleted"))
            .expect("list")
            .count()
            == 0
    });
    running.clear();
}

/// The most memory that a process ever took, bytes.
fn peak(running: &Running) -> u64 {
    let path = format!("/proc/{}/status", running.child.id());
    let status = fs::read_to_string(path).expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1024
}

#[test]
fn a_follower_has_one_buffer_a_thread() {
    let partitions = 200;
    let shell = quick_shell();
    let mut running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", &assignment("1:2", partitions)]);
    healthy(&shell);
    shell.ok("mq-broker", &["stop", "2"], b"");
    // Half a MiB for each, which comes in one fetch.
    let line = [vec![b'x'; 65_535], vec![b'\n']].concat();
    shell.produce(&["t", "--acks", "1"], &line.repeat(partitions * 8));
    running.truncate(1);
    let second = shell.start("mq-broker", &["start", "--id", "2"]);
    second.says(" ready: ");
    healthy(&shell);
    let peak = peak(&second);
    println!("{partitions} partitions: at most {} KiB", peak >> 10);
    assert!(peak < 48 << 20, "{} MiB", peak >> 20);
}
