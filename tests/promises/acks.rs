//! Acknowledged, shown, durable: receipts, and configs that change under open programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mq::client::{
    Admin, Consumer, Producer, ProducerOptions, ProducerRecord, Receipt, Sent, StoreDir,
    TopicRequest,
};
use mq::error::Kind;
use mq::types::{Compression, TopicName, TopicPartition};

use crate::cli::Shell;
use crate::scripts::{can, traced};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const ECHO: [&str; 2] = ["-o", "%o %v\n"];

/// Each line of an echo (`offset value`) must be what the log has at that offset.
fn assert_true(shell: &Shell, echoed: &str, topic: &str) {
    let stored = shell.consume_text(&["-e", "-f", "%o %v\n", topic]);
    for line in echoed.lines() {
        assert!(
            stored.lines().any(|stored| stored == line),
            "acknowledged: {line:?}; stored: {stored:?}"
        );
    }
}

#[test]
fn a_batch_that_failed_its_sync_is_not_credited_with_the_next_one() {
    let test = "a_batch_that_failed_its_sync_is_not_credited_with_the_next_one";
    if !can(test, &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    shell.topics(&["create", "s"]);
    shell.produce(&["s"], b"zero\n");
    let slow = "inject=fdatasync:delay_enter=1500000:when=1";
    let strace = ["-e", "trace=fdatasync", "-e", slow];
    let mut producer = traced(&shell, &strace, "mq-produce", &[&ECHO[..], &["s"]].concat());
    producer.feed(b"FIRST\n");
    sleep(ms(700));
    std::fs::remove_file(shell.logs().join("s-0/partition.state")).expect("removed");
    // Appended while the sync of the first is under way.
    producer.feed(b"SECOND\n");
    sleep(ms(1500));
    producer.close_stdin();
    let done = producer.end();
    assert_ne!(done.status, 0);
    assert_eq!(done.text(), "");
    assert!(
        done.err.contains("no record is acknowledged: "),
        "{}",
        done.err
    );
}

#[test]
fn a_batch_that_another_overwrote_is_not_credited_with_the_next_one() {
    let test = "a_batch_that_another_overwrote_is_not_credited_with_the_next_one";
    if !can(test, &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    shell.topics(&["create", "s"]);
    shell.produce(&["s"], b"zero\n");
    let strace = [
        "-e",
        "trace=fdatasync,pwrite64",
        "-e",
        "inject=pwrite64:delay_enter=1200000:when=1",
        "-e",
        "inject=fdatasync:delay_enter=1600000:when=1",
    ];
    let mut producer = traced(&shell, &strace, "mq-produce", &[&ECHO[..], &["s"]].concat());
    producer.feed(b"FIRST\n");
    sleep(ms(500));
    std::fs::remove_file(shell.logs().join("s-0/partition.state")).expect("removed");
    sleep(ms(200));
    shell.produce(&["s"], b"other\n");
    producer.feed(b"SECOND\n");
    sleep(ms(2600));
    producer.close_stdin();
    let done = producer.end();
    assert_true(&shell, &done.text(), "s");
    let stored = shell.consume_text(&["-e", "s"]);
    if !stored.contains("FIRST\n") {
        assert_ne!(done.status, 0, "stored: {stored:?}");
        assert!(!done.text().contains("FIRST"), "{}", done.text());
        assert!(
            done.err.contains("no record is acknowledged"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_batch_that_was_given_up_is_not_credited_with_the_next_one() {
    let test = "a_batch_that_was_given_up_is_not_credited_with_the_next_one";
    if !can(test, &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let brokers: Vec<_> = ["1", "2"]
        .iter()
        .map(|id| {
            let broker = shell.start("mq-broker", &["start", "--id", id]);
            broker.says("ready:");
            broker
        })
        .collect();
    shell.topics(&["create", "--assign", "1:2", "s"]);
    shell.produce(&["s"], b"zero\n");
    sleep(ms(300));
    let log = shell
        .store()
        .join("brokers/1/logs/s-0/00000000000000000000.log");
    let log = log.to_str().expect("text").to_owned();
    brokers[1].signal(rustix::process::Signal::STOP);
    // The second append is under way when the first is given up.
    let slow = "inject=pwrite64:delay_enter=1500000:when=2";
    let strace = ["-P", &log, "-e", "trace=pwrite64", "-e", slow];
    let args = [&["--timeout", "1s"], &ECHO[..], &["s"]].concat();
    let mut producer = traced(&shell, &strace, "mq-produce", &args);
    producer.feed(b"FIRST\n");
    sleep(ms(600));
    producer.feed(b"SECOND\n");
    sleep(ms(2000));
    producer.close_stdin();
    let done = producer.end();
    brokers[1].signal(rustix::process::Signal::CONT);
    assert_ne!(done.status, 0);
    assert_eq!(done.text(), "");
    assert!(
        done.err.contains("no record is acknowledged"),
        "{}",
        done.err
    );
}

/// A topic of one partition, and a producer that has it open.
struct Open {
    shell: Shell,
    store: Arc<StoreDir>,
    topic: TopicName,
    producer: Producer,
}

impl Open {
    fn new(configs: &[(&str, &str)]) -> Self {
        let shell = Shell::new();
        let clock = Arc::new(mq::clock::SystemClock::default());
        let disk = Arc::new(mq::disk::OsDisk);
        let store = StoreDir::open_or_create(disk, clock, shell.store()).expect("a store");
        let store = Arc::new(store);
        let topic = TopicName::new("t").expect("a name");
        let mut new = TopicRequest::new(topic.clone(), 1);
        new.configs = pairs(configs);
        let admin = Admin::new(&store, Duration::from_secs(10));
        admin.create_topic(&new).expect("created");
        let options = ProducerOptions::default();
        let producer = Producer::open(&store, &topic, options).expect("opened");
        let mut open = Open {
            shell,
            store,
            topic,
            producer,
        };
        open.send(b"before");
        open
    }

    fn alter(&self, name: &str, value: &str) {
        let admin = Admin::new(&self.store, Duration::from_secs(10));
        let altered = admin.alter_configs(&self.topic, &pairs(&[(name, value)]), &[]);
        altered.expect("altered");
    }

    fn take(&mut self, value: &[u8], timestamp: i64) -> mq::error::Result<Sent> {
        self.producer.send(&ProducerRecord {
            timestamp: Some(timestamp),
            value: Some(value),
            ..ProducerRecord::default()
        })
    }

    /// Sends a record, and waits for its receipt.
    fn send(&mut self, value: &[u8]) -> Receipt {
        self.send_at(value, 1)
    }

    fn send_at(&mut self, value: &[u8], timestamp: i64) -> Receipt {
        self.take(value, timestamp).expect("sent");
        self.producer.flush().expect("flushed");
        let last = self.producer.receipts(Duration::ZERO).pop();
        last.expect("a receipt")
    }

    /// Sends a record that the topic refuses, which ends the producer.
    fn refuses(&mut self, timestamp: i64, says: &str) {
        let end = self.page().tail.end;
        self.take(b"refused", timestamp).expect("taken");
        let e = self.producer.flush().expect_err("refused");
        assert!(e.to_string().contains(says), "{e}");
        assert_eq!(self.page().tail.end, end);
    }

    fn page(&self) -> mq::partition::StatePage {
        let tp = TopicPartition::new(self.topic.clone(), 0);
        let reader = mq::client::open_now(&self.store, &tp).expect("opened");
        reader.page().expect("a page")
    }

    fn unsynced(&self) -> i64 {
        let page = self.page();
        page.tail.end - page.durable.offset
    }

    /// Name and size of the partition's files of that kind.
    fn files(&self, ends: &str) -> Vec<u64> {
        let dir = std::fs::read_dir(self.shell.logs().join("t-0")).expect("a directory");
        let files = dir.map(|entry| entry.expect("an entry"));
        let kind = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(ends));
        kind.map(|entry| entry.metadata().expect("a file").len())
            .collect()
    }

    fn last_codec(&self) -> Compression {
        let mut consumer = Consumer::new(&self.store);
        let tp = TopicPartition::new(self.topic.clone(), 0);
        consumer.assign(&tp, 0, None).expect("assigned");
        let mut codec = Compression::None;
        while let Some(fetched) = consumer.fetch(1 << 20, &mut Vec::new()).expect("fetched") {
            let mut rest = fetched.bytes.as_slice();
            while let Ok(header) = mq::record::BatchHeader::parse(rest) {
                codec = header.compression();
                rest = &rest[header.total_len()..];
            }
        }
        codec
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Every config there is, so that a new one is not forgotten here.
#[test]
fn an_open_producer_obeys_every_config_that_is_altered() {
    for name in mq::client::TopicConfigs::names() {
        println!("{name}");
        match name {
            "compression.type" => {
                let mut open = Open::new(&[]);
                open.alter(name, "zstd");
                open.send(&[b'x'; 1000]);
                assert_eq!(open.last_codec(), Compression::Zstd);
                open.alter(name, "uncompressed");
                open.send(&[b'x'; 1000]);
                assert_eq!(open.last_codec(), Compression::None);
            }
            "flush.messages" => {
                let mut open = Open::new(&[(name, "never")]);
                assert_eq!(open.unsynced(), 1);
                open.alter(name, "1");
                open.send(b"durable");
                assert_eq!(open.unsynced(), 0);
                open.alter(name, "never");
                open.send(b"not durable");
                open.send(b"not durable");
                assert!(open.unsynced() > 0);
                // The change itself leaves nothing that is not durable.
                open.alter(name, "2");
                assert_eq!(open.unsynced(), 0);
                open.send(b"not due");
                open.send(b"due");
                wait_until("synced", || open.unsynced() == 0);
            }
            "flush.ms" => {
                let mut open = Open::new(&[("flush.messages", "never")]);
                open.alter(name, "20");
                open.send(b"due soon");
                wait_until("synced", || open.unsynced() == 0);
            }
            "index.interval.bytes" => {
                let mut open = Open::new(&[(name, "2147483647")]);
                open.send(b"no entry");
                open.alter(name, "0");
                open.send(b"an entry");
                open.send(b"another");
                let synced = open.page().tail.index_bytes;
                assert!(synced > 0, "{synced}");
            }
            "max.message.bytes" => {
                let mut open = Open::new(&[(name, "1000")]);
                let refused = open.take(&[b'x'; 5000], 1).expect_err("too large");
                assert_eq!(refused.kind(), Kind::MessageTooLarge);
                open.alter(name, "100000");
                open.send(&[b'x'; 5000]);
                // A batch that was begun under the larger limit is divided.
                for _ in 0..100 {
                    open.take(&[b'y'; 100], 1).expect("taken");
                }
                open.alter(name, "1000");
                open.send(b"the last");
                assert_eq!(open.page().tail.end, 103);
                let refused = open.take(&[b'x'; 5000], 1).expect_err("too large");
                assert_eq!(refused.kind(), Kind::MessageTooLarge);
            }
            "message.timestamp.type" => {
                let mut open = Open::new(&[]);
                open.alter(name, "LogAppendTime");
                assert!(open.send(b"stamped").append_time.is_some());
                open.alter(name, "CreateTime");
                assert!(open.send(b"its own").append_time.is_none());
            }
            "segment.bytes" => {
                let mut open = Open::new(&[]);
                open.alter(name, "1024");
                for _ in 0..3 {
                    open.send(&[b'x'; 700]);
                }
                assert_eq!(open.files(".log").len(), 3);
            }
            "segment.index.bytes" => {
                let mut open = Open::new(&[("index.interval.bytes", "0")]);
                open.alter(name, "24");
                for at in 0..12 {
                    open.send_at(b"an entry", 1 + at);
                }
                assert!(open.files(".log").len() > 1);
            }
            "segment.ms" => {
                let mut open = Open::new(&[]);
                open.alter(name, "10");
                open.send_at(b"later", 1000);
                assert_eq!(open.files(".log").len(), 2);
            }
            "message.timestamp.after.max.ms" => {
                let mut open = Open::new(&[]);
                let far = open.store.clock().now_ms() + 3_600_000;
                open.send_at(b"far", far);
                open.alter(name, "1000");
                open.refuses(far, "message.timestamp.after.max.ms is 1000");
            }
            "message.timestamp.before.max.ms" => {
                let mut open = Open::new(&[]);
                open.send_at(b"old", 1);
                open.alter(name, "1000");
                open.refuses(1, "message.timestamp.before.max.ms is 1000");
            }
            "retention.bytes" | "retention.ms" => {
                let mut open = Open::new(&[("segment.bytes", "1024")]);
                for _ in 0..5 {
                    open.send(&[b'x'; 700]);
                }
                open.alter(name, "1");
                // Its first append afterwards begins a pass, though it begins no segment.
                open.send(b"a small one");
                wait_until("removed", || open.page().tail.log_start > 0);
            }
            // Without effect.
            "file.delete.delay.ms" => {}
            "cleanup.policy" => {
                let mut open = Open::new(&[]);
                open.alter(name, "compact");
                let end = open.page().tail.end;
                let taken = open.take(b"without a key", 1);
                let refused = taken.and_then(|_| open.producer.flush());
                let e = refused.expect_err("refused").to_string();
                assert!(e.contains("key"), "{e}");
                assert_eq!(open.page().tail.end, end);
            }
            // Of compactions, which read the topic file themselves.
            "delete.retention.ms"
            | "max.compaction.lag.ms"
            | "min.cleanable.dirty.ratio"
            | "min.compaction.lag.ms" => {}
            // With replicas: below. The two others are the controller's and the followers'.
            "min.insync.replicas"
            | "replica.lag.time.max.ms"
            | "unclean.leader.election.enable" => {}
            other => panic!("{other}: how does an open producer obey it?"),
        }
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "not {what}");
        sleep(ms(5));
    }
}

#[test]
fn an_open_producer_obeys_an_altered_min_insync_replicas() {
    let shell = Shell::new();
    let mut brokers: Vec<_> = ["1", "2"]
        .iter()
        .map(|id| {
            let broker = shell.start("mq-broker", &["start", "--id", id]);
            broker.says("ready:");
            broker
        })
        .collect();
    shell.topics(&["create", "--assign", "1:2", "s"]);
    let args = [&["--timeout", "1s"], &ECHO[..], &["s"]].concat();
    let mut producer = shell.start("mq-produce", &args);
    producer.feed(b"two have it\n");
    producer.says("two have it");
    drop(brokers.pop());
    wait_until("alone", || {
        let text = shell.ok("mq-topics", &["describe", "s", "--format", "json"], b"");
        let text: String = String::from_utf8_lossy(&text).split_whitespace().collect();
        text.contains("\"isr\":[1]")
    });
    producer.feed(b"one has it\n");
    producer.says("one has it");
    shell.topics(&["alter", "s", "-c", "min.insync.replicas=2"]);
    producer.feed(b"too few\n");
    let done = producer.end();
    assert_ne!(done.status, 0);
    assert!(done.err.contains("NOT_ENOUGH_REPLICAS"), "{}", done.err);
}

#[test]
fn mq_produce_takes_a_record_that_its_topic_allows_by_now() {
    for echo in [&[][..], &ECHO] {
        let shell = Shell::new();
        shell.topics(&["create", "t", "-c", "max.message.bytes=1000"]);
        let mut producer = shell.start("mq-produce", &[echo, &["t"]].concat());
        producer.feed(b"a\n");
        sleep(ms(300));
        shell.topics(&["alter", "t", "-c", "max.message.bytes=1000000"]);
        let mut large = vec![b'x'; 500_000];
        large.push(b'\n');
        producer.feed(&large);
        producer.feed(b"b\n");
        producer.close_stdin();
        let done = producer.end();
        assert_eq!(done.status, 0, "{}", done.err);
        assert_eq!(shell.consume(&["-e", "t"]).len(), 500_001 + 4);
    }
}
