//! The trouble of one topic, disk or registration stays its own.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::cli::{Shell, TIMEOUT};
use crate::common::switches::is_long;
use crate::daemons::{brokers, eventually, healthy, topic_file};
use crate::mounts::Mounts;
use crate::scripts::{bash, can};

#[test]
fn a_damaged_topic_file_keeps_no_other_topic_from_its_changes() {
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2, 3]);
    for topic in ["bad", "good"] {
        shell.topics(&["create", topic, "--assign", "2:1:3"]);
    }
    healthy(&shell);
    let file = shell.store().join("topics/bad.json");
    let text = fs::read_to_string(&file).expect("a topic file");
    let damaged = shell.store().join("damaged");
    fs::write(&damaged, text.replacen("\"leader\"", "\"leadex\"", 1)).expect("written");
    fs::rename(&damaged, &file).expect("replaced");
    running[0].signal(Signal::KILL);
    eventually(Duration::from_secs(8), "the dead one leaves", || {
        topic_file(&shell, "good")["partitions"][0]["isr"] == serde_json::json!([2, 3])
    });
    shell.produce(&["good", "--timeout", "5s"], b"a\n");
}

/// A file system of its own at `mnt` in the shell's directory, from a script that ends with 42 where
/// that may not be.
const A_DISK: &str = r#"
trap 'fsfreeze -u mnt 2> /dev/null; kill -9 $(jobs -p) 2> /dev/null; wait; umount -l mnt' EXIT
truncate -s 256M disk.img && mkfs.ext4 -q disk.img && mkdir -p mnt
mount -o loop disk.img mnt 2> /dev/null || exit 42
start() { id=$1; shift; "$@" > b$id 2>&1 & echo $! > pid$id; until grep -q ready: b$id; do sleep 0.05; done; }
"#;

#[test]
fn a_leader_whose_file_system_is_frozen_for_seconds_is_not_fenced() {
    if !can("a frozen disk", &["strace", "mkfs.ext4", "fsfreeze"], true) {
        return;
    }
    let shell = Shell::new();
    let script = r#"
start 3 mq-broker start --id 3
start 1 mq-broker start --id 1 --log-dir $PWD/mnt/logs
start 2 strace -f -qq -o trace -e trace=pwrite64 -e inject=pwrite64:delay_enter=60000 mq-broker start --id 2
mq-topics create --assign 1:2 -c flush.messages=never t && mq-broker health --wait --timeout 60s > health
yes 'a log-like line of about seventy bytes, as in the README of the house..' | head -n 200000 |
  mq-produce --acks 1 t || exit 1
(for i in $(seq 60); do echo $i; sleep 0.05; done) | mq-produce --acks 1 --timeout 30s t & producer=$!
sleep 0.5; fsfreeze -f mnt || exit 42; sleep 0.3; : > $MQ_STORE/reports/t-0
sleep 4; fsfreeze -u mnt
wait $producer || exit 1
grep -o '"leader_epoch": *[0-9]*' $MQ_STORE/topics/t.json | tr -d ' '
for i in $(seq 300); do [ "$(mq-consume -e t | wc -l)" = 200060 ] && echo all && break; sleep 0.1; done
grep -c 'serves no writes' b1 b2 b3 | cut -d : -f 2 | sort -n | tail -1
"#;
    let done = bash(&shell, &format!("{A_DISK}{script}"));
    if done.status == 42 {
        println!("a frozen disk: skipped: nothing can be mounted here");
        return;
    }
    let out = done.text();
    assert_eq!(out, "\"leader_epoch\":0\nall\n1\n", "{}", done.err);
}

#[test]
fn moves_fail_before_a_seal_where_the_stores_disk_is_full() {
    let shell = Shell::new();
    let disk = shell.store().to_owned();
    let Some(_mounts) = Mounts::new([disk.as_path()].into_iter(), 4) else {
        println!("a full store: skipped: may not mount");
        return;
    };
    let start = |id: &str| {
        let logs = shell.dir().join(format!("logs{id}"));
        let logs = logs.to_str().expect("UTF-8");
        let broker = shell.start("mq-broker", &["start", "--id", id, "--log-dir", logs]);
        broker.says(" ready: ");
        broker
    };
    let first = start("1");
    let _second = start("2");
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-broker", &["stop", "1"], b"");
    drop(first);
    let first = start("1");
    eventually(TIMEOUT, "in sync", || {
        topic_file(&shell, "t")["partitions"][0]["isr"] == serde_json::json!([1, 2])
    });
    bash(&shell, "cat /dev/zero > $MQ_STORE/fill");
    let done = shell.run("mq-broker", &["elect", "preferred", "t"], b"");
    assert_ne!(done.status, 0, "there was room: {}", done.text());
    assert!(!done.err.contains("panicked"), "{}", done.err);
    for acks in ["1", "all"] {
        shell.produce(&["t", "--acks", acks, "--timeout", "1s"], b"b\n");
    }
    // The controller tries as well, and tells it once.
    std::thread::sleep(Duration::from_secs(if is_long() { 25 } else { 0 }));
    shell.produce(&["t", "--timeout", "1s"], b"c\n");
    fs::remove_file(shell.store().join("fill")).expect("room");
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\nb\nb\nc\n");
    drop(first);
}
