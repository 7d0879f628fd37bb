//! Leaderships: no acknowledged record goes with a planned or a forced change of leader.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::disk::{Disk, LockKind, Open, OsDisk};
use mq::error::Kind;
use mq::lifecycle::{NewTopic, alter_configs, create_topic};
use mq::partition::{
    Claim, InSync, PartitionWriter, Replica, Sealed, begin_epoch, raise_epoch, raise_epochs,
};
use mq::record::BatchBuilder;
use mq::store::BrokerFile;
use mq::store::FencedLock;
use mq::store::ReplicaMeta;
use mq::store::topics::topic_file;
use mq::store::{StoreDir, json_file};
use mq::types::{Compression, Offset, TimestampType, TopicName, TopicPartition};
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::{Running, Shell, TIMEOUT};
use crate::daemons::{brokers, eventually, healthy, topic_file};
use crate::mounts::Mounts;
use crate::scripts::{can, traced};

/// Starts a tool whose system calls are slowed as `inject` says, those on `path` only if one is
/// given.
fn slowed(shell: &Shell, inject: &str, path: Option<&str>, tool: &str, args: &[&str]) -> Running {
    let call = inject.split(':').next().expect("a call");
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    let mut strace = vec!["-e", &trace, "-e", &inject];
    if let Some(path) = path {
        strace.extend(["-P", path]);
    }
    traced(shell, &strace, tool, args)
}

fn leader(topic: &Value) -> (i64, i64) {
    let partition = &topic["partitions"][0];
    let number = |field: &str| partition[field].as_i64().expect("a number");
    (number("leader"), number("leader_epoch"))
}

fn lines(count: usize) -> Vec<u8> {
    let line =
        |n: usize| format!("{n} a log-like line of about seventy bytes, as in the README of it\n");
    (0..count).flat_map(|n| line(n).into_bytes()).collect()
}

/// Brokers 1 (leader), 2 (follower, whose writes take long) and 3, the controller; a burst with
/// acks=1 that the follower takes some seconds to copy.
fn a_burst_with_a_slow_follower(count: usize) -> (Shell, Running, [Running; 2]) {
    let shell = Shell::new();
    let third = brokers(&shell, &[3]).remove(0);
    let inject = "pwrite64:delay_enter=60000";
    let second = slowed(&shell, inject, None, "mq-broker", &["start", "--id", "2"]);
    second.says(" ready: ");
    let first = brokers(&shell, &[1]).remove(0);
    shell.topics(&[
        "create",
        "t",
        "--assign",
        "1:2",
        "-c",
        "flush.messages=never",
    ]);
    healthy(&shell);
    shell.produce(&["t", "--acks", "1"], &lines(count));
    (shell, first, [second, third])
}

const BURST: usize = 200_000;

fn all_are_there(shell: &Shell, count: usize) {
    let until = Instant::now() + TIMEOUT;
    loop {
        let found = shell.consume(&["-e", "t"]);
        let found = found.iter().filter(|byte| **byte == b'\n').count();
        if found == count {
            return;
        }
        let topic = topic_file(shell, "t");
        assert!(Instant::now() < until, "{found} of {count}: {topic}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_orderly_stop_waits_for_a_slow_follower_and_loses_nothing() {
    if !can("leaderships", &["strace"], false) {
        return;
    }
    let (shell, first, _others) = a_burst_with_a_slow_follower(BURST);
    let started = Instant::now();
    let stopped = shell.run("mq-broker", &["stop", "1"], b"");
    assert_eq!(stopped.status, 0, "{}", stopped.err);
    let took = started.elapsed();
    assert!(took > Duration::from_secs(2), "too fast to tell: {took:?}");
    let first = first.end();
    assert_eq!(leader(&topic_file(&shell, "t")), (2, 1), "{}", first.err);
    all_are_there(&shell, BURST);
}

#[test]
fn a_dead_brokers_directory_leads_until_a_slow_follower_has_all() {
    if !can("leaderships", &["strace"], false) {
        return;
    }
    let (shell, first, _others) = a_burst_with_a_slow_follower(BURST);
    first.signal(Signal::KILL);
    let started = Instant::now();
    eventually(TIMEOUT, "moved", || leader(&topic_file(&shell, "t")).0 == 2);
    let took = started.elapsed();
    assert!(took > Duration::from_secs(2), "too fast to tell: {took:?}");
    // Nobody was fenced, nor any seal undone, on the way.
    assert_eq!(leader(&topic_file(&shell, "t")), (2, 1));
    all_are_there(&shell, BURST);
}

#[test]
fn a_leader_whose_disk_is_full_leads_until_a_slow_follower_has_all() {
    if !can("leaderships", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let disk = shell.dir().join("disk");
    let Some(_mounts) = Mounts::new([disk.as_path()].into_iter(), 10) else {
        println!("skipped: may not mount");
        return;
    };
    let _third = brokers(&shell, &[3]);
    let inject = "pwrite64:delay_enter=60000";
    let second = slowed(&shell, inject, None, "mq-broker", &["start", "--id", "2"]);
    let logs = disk.join("logs");
    let logs = logs.to_str().expect("UTF-8");
    let first = shell.start("mq-broker", &["start", "--id", "1", "--log-dir", logs]);
    for broker in [&second, &first] {
        broker.says(" ready: ");
    }
    shell.topics(&[
        "create",
        "t",
        "--assign",
        "1:2",
        "-c",
        "flush.messages=never",
    ]);
    healthy(&shell);
    let args = ["t", "--acks", "1", "--timeout", "1s"];
    let done = shell.run("mq-produce", &args, &lines(BURST));
    assert_ne!(done.status, 0, "there was room for all");
    let acked = acknowledged(&done.err);
    assert!(acked > BURST / 3, "{}", done.err);
    eventually(TIMEOUT, "moved", || leader(&topic_file(&shell, "t")).0 == 2);
    let found = shell.consume(&["-e", "t"]);
    let found = found.iter().filter(|byte| **byte == b'\n').count();
    assert!(found >= acked, "{found} of {acked}");
}

/// How many records a producer that failed says are acknowledged.
fn acknowledged(err: &str) -> usize {
    let before = err.split(" acknowledged").next().expect("a part");
    let words: Vec<&str> = before.split_whitespace().rev().collect();
    let digits = |word: &&&str| word.chars().any(|c| c.is_ascii_digit());
    let number = words.iter().find(digits).expect("a number");
    let number: String = number.chars().filter(char::is_ascii_digit).collect();
    number.parse().expect("a number")
}

#[test]
fn a_follower_that_stands_still_keeps_no_leader_from_serving() {
    let shell = Shell::new();
    let mut running = brokers(&shell, &[3, 2, 1]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    // It holds no lock of the leader's replica then.
    std::thread::sleep(Duration::from_millis(500));
    running[1].signal(Signal::STOP);
    shell.produce(&["t", "--acks", "1"], &lines(100));
    running[2].signal(Signal::KILL);
    // The move to it stalls, and is given up; or it counts as dead before.
    std::thread::sleep(Duration::from_secs(5));
    shell.produce(&["t", "--acks", "1"], &lines(100));
    let said = running
        .iter()
        .map(|broker| broker.err.bytes())
        .collect::<Vec<_>>();
    let said = String::from_utf8_lossy(&said.concat()).into_owned();
    assert_eq!(leader(&topic_file(&shell, "t")).0, 1, "{said}");
    running[1].signal(Signal::CONT);
    all_are_there(&shell, 200);
    running.clear();
}

#[test]
fn an_honest_recovery_that_takes_long_is_not_fenced() {
    if !can("leaderships", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let _running = brokers(&shell, &[2, 1]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    shell.produce(&["t"], &lines(100));
    let dir = shell.store().join("brokers/1/logs/t-0");
    // As a writer leaves it that dies in its write.
    let log = dir.join("00000000000000000000.log");
    let log = OpenOptions::new().append(true).open(log);
    log.and_then(|mut log| log.write_all(&[7; 50]))
        .expect("appended");
    // Each sync of the page, which ends a recovery under the append lock, takes 4 s.
    let page = dir.join("partition.state");
    let page = page.to_str().expect("UTF-8");
    let inject = "fdatasync:delay_enter=4000000:when=1";
    let mut slow = slowed(&shell, inject, Some(page), "mq-produce", &["t"]);
    slow.feed(b"one more\n");
    slow.close_stdin();
    std::thread::sleep(Duration::from_millis(500));
    let reported = shell.store().join("reports/t-0");
    fs::write(reported, b"").expect("reported");
    let done = slow.end();
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(leader(&topic_file(&shell, "t")), (1, 0));
    all_are_there(&shell, 101);
}

const LIBRARY_TIMEOUT: Duration = Duration::from_secs(10);

fn open_store(shell: &Shell) -> Arc<StoreDir> {
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, shell.store());
    Arc::new(store.expect("a store"))
}

fn topic(partitions: i32) -> (Shell, Arc<StoreDir>, TopicName) {
    let shell = Shell::new();
    let store = open_store(&shell);
    let name = TopicName::new("t").expect("a name");
    let new = NewTopic::embedded(name.clone(), partitions);
    create_topic(&store, &new, LIBRARY_TIMEOUT).expect("a topic");
    (shell, store, name)
}

fn append(store: &Arc<StoreDir>, tp: &TopicPartition, count: usize) -> Offset {
    let mut writer = PartitionWriter::open(store, tp, LIBRARY_TIMEOUT).expect("a writer");
    let mut last = 0;
    for _ in 0..count {
        let mut builder = BatchBuilder::new();
        builder.append_value(1, b"value").expect("fits");
        let batch = builder.finish(Compression::None, TimestampType::CreateTime);
        let appended = writer.append(&mut batch.expect("a batch"));
        last = appended.expect("appended").last_offset;
    }
    last
}

fn epoch(store: &Arc<StoreDir>, name: &TopicName) -> (u64, Vec<i32>) {
    let (meta, _) = topic_file::read(store, name).expect("a topic");
    let epochs = meta.partitions.iter().map(|p| p.leader_epoch);
    (meta.version, epochs.collect())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// A topic of one partition whose dead broker 1 is in sync and has all ten records; the store, opened
/// after that, and where the leader's directory stands as it was after the first five.
fn one_in_sync_has_all() -> (Shell, Arc<StoreDir>, TopicPartition, PathBuf) {
    let (shell, store, name) = topic(1);
    let tp = TopicPartition::new(name.clone(), 0);
    let leaders = shell.logs().join("t-0");
    let before = shell.dir().join("before");
    append(&store, &tp, 5);
    copy(&leaders, &before);
    append(&store, &tp, 5);
    let broker = shell.store().join("brokers/1");
    copy(&leaders, &broker.join("logs/t-0"));
    fs::write(
        broker.join("broker.json"),
        json_file::encode(&BrokerFile::new(1)),
    )
    .expect("written");
    let guard = FencedLock::acquire_store(&store, "test", LIBRARY_TIMEOUT).expect("the lock");
    topic_file::update_all(&store, &guard, std::slice::from_ref(&name), |meta| {
        let p = &mut meta.partitions[0];
        let replica = ReplicaMeta {
            broker: 1,
            ..p.replicas[0]
        };
        p.replicas.push(replica);
        p.isr.push(1);
        Ok(true)
    })
    .expect("changed");
    drop(guard);
    let store = open_store(&shell);
    (shell, store, tp, before)
}

#[test]
fn no_epoch_begins_while_an_in_sync_replica_has_more() {
    let (shell, store, tp, before) = one_in_sync_has_all();
    let name = tp.topic.clone();
    // The leader lost the last five.
    copy(&before, &shell.logs().join("t-0"));
    let set = BTreeMap::from([("flush.messages".to_owned(), "1000".to_owned())]);
    let altered = alter_configs(&store, &name, &set, &[], LIBRARY_TIMEOUT);
    let refused = altered.expect_err("it would lose five records");
    assert_eq!(refused.kind(), Kind::Busy);
    let cure = refused.cure_text().expect("a cure");
    assert!(cure.contains("mq-broker start --id 1"), "{cure}");
    let raised = raise_epoch(&store, &tp, 0, LIBRARY_TIMEOUT);
    assert_eq!(raised.expect_err("the same").kind(), Kind::Busy);
    assert_eq!(epoch(&store, &name).1, [0]);
    // The tool says so, too.
    let done = shell.run(
        "mq-topics",
        &["alter", "t", "-c", "flush.messages=1000"],
        b"",
    );
    assert_ne!(done.status, 0);
    assert!(
        done.err.contains("in-sync replica on broker 1"),
        "{}",
        done.err
    );
    // The one that has all may lead.
    let (meta, _) = topic_file::read(&store, &name).expect("a topic");
    let mut partition = meta.partitions[0].clone();
    let extents = InSync::new(&store);
    let begun = begin_epoch(&extents, &tp, &mut partition, 1, Claim::Clean);
    begun.expect("it lacks nothing");
    assert_eq!((partition.leader, partition.leader_epoch), (1, 1));
}

#[test]
fn no_epoch_of_a_leader_that_lost_records_begins_while_one_in_sync_cannot_be_read() {
    let (shell, store, tp, before) = one_in_sync_has_all();
    let set = |messages: &str| BTreeMap::from([("flush.messages".to_owned(), messages.to_owned())]);
    let alter = |messages| alter_configs(&store, &tp.topic, &set(messages), &[], LIBRARY_TIMEOUT);
    // The disk of broker 1 is not mounted. A leader that lost nothing does not care.
    let logs = shell.store().join("brokers/1/logs");
    let unmounted = shell.dir().join("unmounted");
    fs::rename(&logs, &unmounted).expect("moved");
    alter("1000").expect("the leader has all");
    assert_eq!(epoch(&store, &tp.topic).1, [1]);
    // The leader loses the last five, and its page: what it had is not known.
    let leaders = shell.logs().join("t-0");
    copy(&before, &leaders);
    fs::write(leaders.join("partition.state"), [0; 8192]).expect("written");
    let refused = alter("1").expect_err("neither page can be read");
    assert_eq!(refused.kind(), Kind::Busy);
    let opened = PartitionWriter::open(&store, &tp, LIBRARY_TIMEOUT);
    let refused = opened.and_then(|mut writer| writer.make_ready().map(drop));
    let refused = refused.expect_err("it is sealed");
    assert_eq!(refused.kind(), Kind::Busy, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("in-sync replica on broker 1 cannot be read"),
        "{refused}"
    );
    let cure = refused.cure_text().expect("a cure");
    assert!(cure.contains("mount the disk of broker 1"), "{cure}");
    assert_eq!(alter("1").expect_err("the same").kind(), Kind::Busy);
    assert_eq!(epoch(&store, &tp.topic).1, [1]);
    // What was not mounted has more.
    fs::rename(&unmounted, &logs).expect("moved");
    let refused = alter("1").expect_err("it would lose five records");
    assert!(
        refused
            .to_string()
            .contains("lacks records of the in-sync replica on broker 1"),
        "{refused}"
    );
}

#[test]
fn epochs_that_are_raised_together_are_one_version_of_the_topic_file() {
    let (_shell, store, name) = topic(50);
    let (version, _) = epoch(&store, &name);
    let wanted: Vec<_> = (0..50)
        .map(|partition| (TopicPartition::new(name.clone(), partition), 0))
        .collect();
    raise_epochs(&store, &wanted, LIBRARY_TIMEOUT).expect("raised");
    assert_eq!(epoch(&store, &name), (version + 1, vec![1; 50]));
    // Those that moved on meanwhile are left alone.
    raise_epochs(&store, &wanted, LIBRARY_TIMEOUT).expect("nothing to do");
    assert_eq!(epoch(&store, &name), (version + 1, vec![1; 50]));
}

#[test]
fn a_writer_leaves_a_seal_to_a_mover_that_lives_and_undoes_one_that_was_left() {
    let (_shell, store, name) = topic(1);
    let tp = TopicPartition::new(name.clone(), 0);
    append(&store, &tp, 5);
    let (meta, _) = topic_file::read(&store, &name).expect("a topic");
    let leader = (0, meta.partitions[0].replicas[0].uuid);
    let sealed = Sealed::seal(&store, &tp, leader.0, leader.1, 0, LIBRARY_TIMEOUT).expect("sealed");
    let writer = {
        let (store, tp) = (Arc::clone(&store), tp.clone());
        std::thread::spawn(move || append(&store, &tp, 1))
    };
    std::thread::sleep(Duration::from_millis(2800));
    assert!(sealed.holds().expect("the state"), "the writer cut a move");
    assert_eq!(epoch(&store, &name).1, [0]);
    // As one that died.
    let left = Instant::now();
    drop(sealed);
    assert_eq!(writer.join().expect("appended"), 5);
    assert!(left.elapsed() < Duration::from_secs(4));
    assert_eq!(epoch(&store, &name).1, [1]);
}

#[test]
fn a_mover_that_can_write_no_epoch_lifts_its_seal_itself() {
    let (_shell, store, name) = topic(1);
    let tp = TopicPartition::new(name.clone(), 0);
    append(&store, &tp, 5);
    let (meta, _) = topic_file::read(&store, &name).expect("a topic");
    let leader = (0, meta.partitions[0].replicas[0].uuid);
    let sealed = Sealed::seal(&store, &tp, leader.0, leader.1, 0, LIBRARY_TIMEOUT).expect("sealed");
    sealed.undo(LIBRARY_TIMEOUT).expect("undone");
    assert!(!sealed.holds().expect("the state"));
    let began = Instant::now();
    assert_eq!(append(&store, &tp, 1), 5);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(epoch(&store, &name).1, [0]);
}

/// Holds an append lock for a while, as a process at work does: it is_heartbeat.
fn hold(shell: &Shell, tp: &TopicPartition, broker: i32, time: Duration) {
    let store = open_store(shell);
    let replica = Replica::open(&store, tp, broker).expect("a replica");
    let _held = replica.lock(LIBRARY_TIMEOUT).expect("the lock");
    std::thread::sleep(time);
}

/// The same, as a process that stands still does, until the replica is replaced.
fn stand_still_with(shell: &Shell, dir: &str, replaced: &Receiver<()>) {
    let dir = OsDisk
        .open_dir(&shell.store().join(dir))
        .expect("a directory");
    let file = dir.open("partition.state", Open::Write).expect("a page");
    let until = Instant::now() + TIMEOUT;
    while !file.try_lock(LockKind::Exclusive).expect("a try") {
        assert!(Instant::now() < until, "somebody keeps it");
    }
    // Too late is found by the caller.
    let _ = replaced.recv_timeout(Duration::from_secs(12));
}

#[test]
fn a_followers_lock_whose_holder_has_a_heartbeat_is_waited_for() {
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    shell.produce(&["t"], b"a\n");
    let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
    let uuid = || topic_file(&shell, "t")["partitions"][0]["replicas"][1]["uuid"].clone();
    let before = uuid();
    std::thread::scope(|scope| {
        scope.spawn(|| hold(&shell, &tp, 2, Duration::from_secs(4)));
        std::thread::sleep(Duration::from_millis(100));
        // It is waited for by those who want all, too.
        let acked = shell.run("mq-produce", &["t", "--timeout", "30s"], b"b\n");
        assert_eq!(acked.status, 0, "{}", acked.err);
    });
    assert_eq!(uuid(), before, "thrown away");
    std::thread::scope(|scope| {
        let (replaced, until) = channel();
        let shell = &shell;
        scope.spawn(move || stand_still_with(shell, "brokers/2/logs/t-0", &until));
        std::thread::sleep(Duration::from_millis(100));
        shell.produce(&["t", "--timeout", "30s"], b"c\n");
        // The record may be acknowledged by fewer first, once the follower lags for too long.
        eventually(Duration::from_secs(10), "a new replica", || {
            uuid() != before
        });
        replaced.send(()).expect("it stands still");
    });
    all_are_there(&shell, 3);
    drop(running);
}

#[test]
fn a_slow_disk_of_one_topic_keeps_no_change_of_another_waiting() {
    if !can("a slow disk under a change", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    shell.topics(&["create", "s", "--assign", "1"]);
    healthy(&shell);
    shell.produce(&["t"], b"a\n");
    let page = shell.store().join("brokers/2/logs/t-0/partition.state");
    let (page, inject) = (page.to_str(), "pread64:delay_enter=8000000");
    let alter = ["alter", "t", "-c", "flush.messages=1000"];
    let first = slowed(&shell, inject, page, "mq-topics", &alter);
    std::thread::sleep(Duration::from_millis(700));
    let began = Instant::now();
    shell.topics(&["alter", "s", "-c", "max.message.bytes=2000000"]);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    drop((first, running));
}

/// A controller may hold a follower for dead whose beat is late, and take it out each time. Both
/// would write the topic file some hundred times a second.
#[test]
fn a_follower_that_is_taken_out_again_and_again_asks_less_often() {
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, shell.store()).expect("a store");
    let name = TopicName::new("t").expect("a name");
    let mut taken_out = 0;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let (meta, _) = topic_file::read(&store, &name).expect("a topic");
        if meta.partitions[0].isr.contains(&2) {
            let guard = FencedLock::acquire_store(&store, "test", TIMEOUT).expect("the lock");
            topic_file::update_all(&store, &guard, std::slice::from_ref(&name), |meta| {
                meta.partitions[0].isr.retain(|id| *id != 2);
                Ok(true)
            })
            .expect("it is taken out");
            taken_out += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // 2 ms, twice as long each time, up to half a second.
    assert!((2..=16).contains(&taken_out), "{taken_out} times");
    healthy(&shell);
    drop(running);
}
