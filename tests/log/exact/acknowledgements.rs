//! What is acknowledged: echoes, bad records, times, syncs.

use std::sync::Arc;

use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::partition::Replica;
use mq::store::StoreDir;
use mq::types::{TopicName, TopicPartition};
use serde_json::{Value, json};

use super::CODECS;
use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn the_echo_keeps_the_input_order() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    let input: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    Tally::case();
    let out = shell.ok("mq-produce", &["-T", "t"], input.as_bytes());
    assert!(
        out == input.as_bytes(),
        "the tee is not the input: {} bytes",
        out.len()
    );
    Tally::case();
    let out = shell.ok("mq-produce", &["-o", "%v %p %o\\n", "t"], input.as_bytes());
    let out = String::from_utf8(out).expect("text");
    let values: String = out
        .lines()
        .map(|line| format!("{}\n", line.split(' ').next().expect("a value")))
        .collect();
    assert!(values == input, "the echo is out of order");
    let stored = shell.consume_text(&["-e", "-f", "%v %p %o\\n", "-o", "5000", "t"]);
    let (mut reported, mut stored): (Vec<&str>, Vec<&str>) =
        (out.lines().collect(), stored.lines().collect());
    reported.sort_unstable();
    stored.sort_unstable();
    assert!(
        reported == stored,
        "the echo names other places than the log"
    );
}

#[test]
fn a_bad_record_ends_or_is_counted() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-c", "max.message.bytes=2000"]);
    let input = [b"a\nb\n".as_slice(), &vec![b'x'; 3000], b"\nc\n"].concat();
    Tally::case();
    for args in [["t"].as_slice(), &["-z", "none", "-H", "a=b", "t"]] {
        let before = shell.consume_text(&["-e", "t"]);
        let done = shell.run("mq-produce", args, &input);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(
            done.err.contains("MESSAGE_TOO_LARGE") && done.err.contains("line 3 of standard input"),
            "{}",
            done.err
        );
        assert_eq!(shell.consume_text(&["-e", "t"]), before + "a\nb\n");
    }
    Tally::case();
    shell.topics(&["create", "s", "--like", "t"]);
    let done = shell.run("mq-produce", &["--on-error", "skip", "s"], &input);
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("1 record was skipped") && done.err.contains("line 3"),
        "{}",
        done.err
    );
    assert_eq!(shell.consume_text(&["-e", "s"]), "a\nb\nc\n");
    Tally::case();
    let done = shell.run(
        "mq-produce",
        &["-K", "=", "--on-error", "skip", "s"],
        b"k=v\nbad\nbad\nk=w\n",
    );
    assert_eq!(done.status, 1);
    assert!(done.err.contains("2 records were skipped"), "{}", done.err);
    assert_eq!(shell.consume_text(&["-e", "-o", "3", "s"]), "v\nw\n");
    Tally::case();
    let done = shell.run("mq-produce", &["-K", "=", "s"], b"k=x\nbad\nk=y\n");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("line 2 of standard input"),
        "{}",
        done.err
    );
    assert_eq!(shell.consume_text(&["-e", "-o", "5", "s"]), "x\n");
}

#[test]
fn log_append_time_is_the_leaders() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for codec in CODECS {
        Tally::case();
        let before = now_ms();
        shell.topics(&[
            "create",
            codec,
            "-c",
            "message.timestamp.type=LogAppendTime",
        ]);
        shell.produce(
            &["--timestamp", "2001-01-01", "-z", codec, codec],
            b"a\nb\n",
        );
        for line in shell.consume_text(&["-e", "-J", codec]).lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(record["timestamp_type"], json!("LogAppendTime"));
            let at = record["timestamp"].as_i64().expect("a time");
            assert!((before..=now_ms()).contains(&at), "{at} is not now");
        }
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("in range")
}

#[test]
fn every_flush_mode_is_synced_at_the_end() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (n, configs) in [
        ["-c", "flush.messages=1"].as_slice(),
        &["-c", "flush.messages=never"],
        &["-c", "flush.messages=7"],
        &["-c", "flush.messages=never", "-c", "flush.ms=20"],
    ]
    .iter()
    .enumerate()
    {
        Tally::case();
        let topic = format!("t{n}");
        shell.topics(&[["create", topic.as_str()].as_slice(), configs].concat());
        let input: String = (0..1000).map(|n| format!("{n}\n")).collect();
        shell.produce(&[&topic], input.as_bytes());
        assert_eq!(shell.consume_text(&["-e", &topic]), input, "{configs:?}");
        let store = StoreDir::open(
            Arc::new(OsDisk),
            Arc::new(SystemClock::default()),
            shell.store(),
        );
        let tp = TopicPartition::new(TopicName::new(topic).expect("a name"), 0);
        let replica = Replica::open(&Arc::new(store.expect("a store")), &tp, 0).expect("a replica");
        let page = replica.read_page().expect("read").expect("sound");
        assert_eq!(page.tail.end, 1000, "{configs:?}");
        // Never alone leaves it to the kernel: that is what was asked for.
        if configs != &["-c", "flush.messages=never"] {
            assert_eq!(page.durable.offset, 1000, "{configs:?}");
        }
    }
}
