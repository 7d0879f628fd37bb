//! The library as a program embeds it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mq::client::point::PointRange;
use mq::client::{
    Admin, CommitWhen, Consumer, Delivered, Delivery, End, Generation, GroupOptions, GroupSession,
    NewTopic, Order, Producer, ProducerOptions, ProducerRecord, ReadFrom, Store,
};
use mq::error::Kind;
use mq::group::Subscription;
use mq::record::Decompressor;
use mq::types::{TopicName, TopicPartition};

use crate::cli::Shell;

struct Place {
    _dir: tempfile::TempDir,
    store: Arc<Store>,
    admin: Admin,
    topic: TopicName,
}

impl Place {
    /// A store with a topic.
    fn with(partitions: i32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir.path().join("store"));
        let admin = Admin::new(&store, Duration::from_secs(10));
        let place = Place {
            topic: TopicName::new("t").expect("a name"),
            _dir: dir,
            store,
            admin,
        };
        place.create(partitions);
        place
    }

    fn create(&self, partitions: i32) {
        let new = NewTopic::new(self.topic.clone(), partitions);
        self.admin.create_topic(&new).expect("created");
    }

    fn tp(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), partition)
    }

    fn producer(&self, options: ProducerOptions) -> Producer {
        Producer::open(&self.store, &self.topic, options).expect("opened")
    }

    fn fill(&self, records: u64) {
        let mut producer = self.producer(ProducerOptions::default());
        for _ in 0..records {
            producer.send_value(1, b"x").expect("sent");
        }
        producer.close(|_| ()).expect("closed");
    }

    fn stored(&self) -> i64 {
        let described = self.admin.describe(&self.topic).expect("described");
        let logs = described.partitions.iter().filter_map(|p| p.log.as_ref());
        logs.map(|log| log.log_end_offset).sum()
    }
}

fn open(path: &Path) -> Arc<Store> {
    let clock = Arc::new(mq::clock::SystemClock::default());
    let disk = Arc::new(mq::disk::OsDisk);
    Arc::new(Store::open_or_create(disk, clock, path).expect("a store"))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "not {what}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_record_that_was_sent_is_stored_in_time() {
    let place = Place::with(4);
    let mut producer = place.producer(ProducerOptions::default());
    for round in 1..=3_u64 {
        for _ in 0..250 {
            producer.send_value(1, b"x").expect("sent");
        }
        wait_until("acknowledged", || producer.acknowledged() == round * 250);
        assert_eq!(producer.first_unacknowledged(), round * 250);
        // The timer sleeps meanwhile.
        sleep(Duration::from_millis(20));
    }
    assert_eq!(place.stored(), 750);
}

#[test]
fn a_record_lingers_as_long_as_it_was_told_to() {
    let place = Place::with(1);
    let mut producer = place.producer(ProducerOptions {
        linger: Duration::from_millis(300),
        ..ProducerOptions::default()
    });
    let sent = Instant::now();
    producer.send_value(1, b"x").expect("sent");
    sleep(Duration::from_millis(50));
    producer.send_value(1, b"y").expect("sent");
    let receipts = producer.receipts(Duration::from_secs(10));
    assert!(sent.elapsed() >= Duration::from_millis(300));
    assert_eq!(receipts.first().map(|receipt| receipt.count), Some(2));
}

#[test]
fn a_dropped_producer_stores_what_was_sent() {
    let place = Place::with(1);
    let mut producer = place.producer(ProducerOptions {
        linger: Duration::from_secs(3600),
        ..ProducerOptions::default()
    });
    for _ in 0..1000 {
        producer.send_value(1, b"x").expect("sent");
    }
    drop(producer);
    assert_eq!(place.stored(), 1000);
}

#[test]
fn a_flush_waits_until_all_is_acknowledged() {
    let place = Place::with(3);
    let mut producer = place.producer(ProducerOptions::default());
    for round in 1..=20_u64 {
        for _ in 0..10 {
            producer.send_value(1, b"x").expect("sent");
        }
        producer.flush().expect("flushed");
        assert_eq!(producer.acknowledged(), round * 10);
    }
}

#[test]
fn what_is_not_acknowledged_is_bounded() {
    let place = Place::with(1);
    let most = 256 << 10;
    let mut producer = place.producer(ProducerOptions {
        batch_bytes: 64 << 10,
        unacknowledged_bytes_max: most,
        ..ProducerOptions::default()
    });
    let value = vec![b'x'; 1000];
    for _ in 0..5_000 {
        producer.send_value(1, &value).expect("sent");
        let unacknowledged = producer.sent() - producer.acknowledged();
        // With the batch that is being built.
        assert!(unacknowledged * 1000 <= (most + (128 << 10)) as u64);
    }
    assert_eq!(producer.close(|_| ()).expect("closed"), 5_000);
    assert_eq!(
        ProducerOptions::default().unacknowledged_bytes_max,
        32 << 20
    );
}

#[test]
fn a_receipt_names_the_records_by_what_send_returned() {
    let place = Place::with(3);
    let mut producer = place.producer(ProducerOptions::default());
    let mut sent = Vec::new();
    for at in 0..300_i64 {
        let value = at.to_string();
        let record = ProducerRecord {
            value: Some(value.as_bytes()),
            key: (at % 3 == 0).then_some(b"key".as_slice()),
            ..ProducerRecord::default()
        };
        sent.push(producer.send(&record).expect("sent"));
        if at % 70 == 0 {
            producer.hand_on().expect("handed on");
        }
    }
    producer.flush().expect("flushed");
    let receipts = producer.receipts(Duration::ZERO);
    for sent in sent {
        let names = receipts.iter().filter(|receipt| {
            let numbers = receipt.sequence..receipt.sequence + receipt.count;
            receipt.partition == sent.partition && numbers.contains(&sent.sequence)
        });
        let offsets: Vec<_> = names
            .map(|receipt| receipt.base_offset + (sent.sequence - receipt.sequence) as i64)
            .collect();
        // Nobody else writes: the n-th record is at offset n.
        assert_eq!(offsets, [sent.sequence as i64]);
    }
}

#[test]
fn sending_tells_the_cause_of_a_failure() {
    let place = Place::with(1);
    let mut producer = place.producer(ProducerOptions::default());
    producer.send_value(1, b"x").expect("sent");
    producer.flush().expect("flushed");
    place.admin.delete_topic(&place.topic).expect("deleted");
    let mut told = None;
    wait_until("failed", || {
        let sent = producer.send_value(1, b"x").and_then(|_| producer.flush());
        told = sent.err();
        told.is_some() && producer.has_failed()
    });
    let told = producer.send_value(1, b"x").and_then(|_| producer.flush());
    let told = told.expect_err("it has failed");
    assert_eq!(told.kind(), Kind::UnknownTopic, "{told}");
    assert!(told.to_string().contains("UNKNOWN_TOPIC"), "{told}");
}

/// Puts something unreadable in the place of a topic file, and what was there back after a while.
fn spoil_for(store: &Path, topic: &str, time: Duration) -> std::thread::JoinHandle<()> {
    let path = store.join(format!("topics/{topic}.json"));
    let put = {
        let aside = path.with_extension("aside");
        move |bytes: &[u8]| {
            std::fs::write(&aside, bytes).expect("written");
            std::fs::rename(&aside, &path).expect("renamed");
        }
    };
    let good = std::fs::read(store.join(format!("topics/{topic}.json"))).expect("read");
    put(b"{}");
    std::thread::spawn(move || {
        sleep(time);
        put(&good);
    })
}

#[test]
fn a_record_that_was_taken_is_no_error_of_sending() {
    let place = Place::with(1);
    let mut producer = place.producer(ProducerOptions {
        batch_bytes: 200,
        ..ProducerOptions::default()
    });
    // Each fills a batch, which is handed on at once.
    let value = [b'v'; 150];
    producer.send_value(1, &value).expect("sent");
    producer.flush().expect("flushed");
    // The topic file is looked at now and then.
    sleep(Duration::from_millis(600));
    let spoiled = spoil_for(
        place.store.path(),
        place.topic.as_str(),
        Duration::from_millis(700),
    );
    for _ in 0..3 {
        producer.send_value(1, &value).expect("taken");
        sleep(Duration::from_millis(300));
    }
    producer.flush().expect("stored");
    spoiled.join().expect("put back");
    assert_eq!(producer.close(|_| ()).expect("closed"), 4);
    assert_eq!(place.stored(), 4);
}

#[test]
fn a_producer_outlives_a_topic_file_that_is_unreadable_for_a_moment() {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let mut producer = shell.start("mq-produce", &["t"]);
    let mut stdin = producer.child.stdin.take().expect("a pipe");
    let mut line = |text: &[u8]| std::io::Write::write_all(&mut stdin, text).expect("written");
    line(b"before\n");
    wait_until("stored", || shell.consume(&["t", "-e"]) == b"before\n");
    let spoiled = spoil_for(shell.store(), "t", Duration::from_millis(700));
    sleep(Duration::from_millis(100));
    line(b"meanwhile\n");
    spoiled.join().expect("put back");
    line(b"after\n");
    drop(stdin);
    let done = producer.end_within(Duration::from_secs(20));
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(shell.consume(&["t", "-e"]), b"before\nmeanwhile\nafter\n");
}

/// How many records a consumer gets at once, and the offset of the first.
fn drain(consumer: &mut Consumer) -> mq::error::Result<(u64, i64)> {
    let (mut count, mut first) = (0, -1);
    while let Some(fetched) = consumer.fetch(1 << 20, &mut Vec::new())? {
        fetched.for_each(&mut Decompressor::default(), |_, record| {
            if count == 0 {
                first = record.offset;
            }
            count += 1;
            ControlFlow::<()>::Continue(())
        })?;
    }
    Ok((count, first))
}

#[test]
fn a_kept_place_is_not_one_in_a_topic_that_was_made_anew() {
    let place = Place::with(1);
    place.fill(100);
    let mut consumer = Consumer::new(&place.store);
    consumer.assign(&place.tp(0), 0, None).expect("assigned");
    assert_eq!(drain(&mut consumer).expect("read"), (100, 0));
    let kept = consumer.positions().next().expect("assigned").1;
    assert_eq!(kept.offset, 100);
    // It goes on there.
    let mut again = Consumer::new(&place.store);
    again.assign(&place.tp(0), kept, None).expect("assigned");
    place.fill(1);
    assert_eq!(drain(&mut again).expect("read"), (1, 100));
    drop((consumer, again));

    place.admin.delete_topic(&place.topic).expect("deleted");
    place.create(1);
    place.fill(50);
    let mut consumer = Consumer::new(&place.store);
    let told = consumer.assign(&place.tp(0), kept, None);
    assert_eq!(told.expect_err("another topic").kind(), Kind::UnknownTopic);
    consumer.assign(&place.tp(0), 0, None).expect("assigned");
    let told = consumer.seek(&place.tp(0), kept);
    assert_eq!(told.expect_err("another topic").kind(), Kind::UnknownTopic);
    // A plain offset says only how far the log has to go.
    consumer.seek(&place.tp(0), 100).expect("sought");
    for _ in 0..2 {
        let told = drain(&mut consumer).expect_err("beyond the end");
        assert_eq!(told.kind(), Kind::OffsetOutOfRange, "{told}");
        assert!(told.cure_text().is_some());
    }
    consumer.seek(&place.tp(0), 50).expect("sought");
    assert_eq!(drain(&mut consumer).expect("the end"), (0, -1));
}

#[test]
fn a_partition_that_is_assigned_twice_is_read_once() {
    let place = Place::with(2);
    place.fill(20);
    let mut consumer = Consumer::new(&place.store);
    for from in [0, 0, 5] {
        consumer.assign(&place.tp(0), from, None).expect("assigned");
    }
    assert_eq!(drain(&mut consumer).expect("read"), (5, 5));
    let told = consumer.seek(&place.tp(1), 0).expect_err("not assigned");
    assert_eq!(told.kind(), Kind::Usage, "{told}");
}

#[test]
fn partitions_are_made_with_few_descriptors() {
    let shell = Shell::new();
    let limited = |args: &[&str]| {
        let command = shell.command("mq-topics", args);
        let mut limited = std::process::Command::new("sh");
        limited
            .arg("-c")
            .arg("ulimit -n 64 && exec \"$0\" \"$@\"")
            .arg(command.get_program())
            .args(command.get_args())
            .env("MQ_STORE", shell.store())
            .current_dir(shell.dir())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let done = crate::cli::run(limited, b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
    };
    limited(&["create", "wide", "-p", "1100"]);
    limited(&["alter", "wide", "--partitions", "1300"]);
    limited(&["delete", "wide", "--yes"]);
}

/// What a member handed out.
#[derive(Debug, Default)]
struct Output(Mutex<Vec<Delivered>>);

impl Delivery for Output {
    fn take(&self) -> Vec<Delivered> {
        std::mem::take(&mut self.0.lock().expect("unpoisoned"))
    }
    fn is_settled(&self, _: Generation) -> bool {
        true
    }
    fn is_all_settled(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
}

impl Place {
    fn options(topic: &TopicName, commit: CommitWhen) -> GroupOptions {
        GroupOptions {
            group: "g".to_owned(),
            subscription: Subscription::to_names([topic.clone()]),
            assignor: None,
            instance_id: None,
            session_timeout: Duration::from_secs(3600),
            commit,
            interval: Duration::from_secs(3600),
            range: PointRange::default(),
            to_end: false,
            began: None,
            read_from: ReadFrom::Leader,
            commits_when_done: true,
            settle: Some(Duration::from_secs(1)),
            patience: Duration::from_secs(10),
        }
    }

    fn join(&self, commit: CommitWhen) -> (GroupSession, Arc<Output>) {
        let options = Self::options(&self.topic, commit);
        let output = Arc::new(Output::default());
        let session = GroupSession::start(&self.store, options, output.clone(), Box::new(|| ()));
        (session.expect("joined"), output)
    }

    fn committed(&self) -> i64 {
        let group = mq::group::describe(&self.store, "g").expect("described");
        let committed = group.offsets.iter().map(|offset| offset.committed_offset);
        committed.map(|offset| offset.unwrap_or(0)).sum()
    }
}

/// The assignments that a member gets, so many.
fn assigned(session: &GroupSession, count: usize) -> Vec<Generation> {
    let mut got = Vec::new();
    wait_until("assigned", || {
        for order in session.take_orders() {
            match order {
                Order::Assign { generation, .. } => got.push(generation),
                Order::Revoke(generation, _) => session.stopped(&[generation]),
                Order::Failed(e) => panic!("{e}"),
                _ => {}
            }
        }
        got.len() >= count
    });
    got
}

#[test]
fn a_dropped_session_leaves_its_group() {
    let place = Place::with(3);
    let (session, _) = place.join(CommitWhen::AfterWrite);
    assigned(&session, 3);
    drop(session);
    let group = mq::group::describe(&place.store, "g").expect("described");
    assert_eq!(group.members.map(|members| members.len()), Some(0));
    let (second, _) = place.join(CommitWhen::AfterWrite);
    assigned(&second, 3);
}

#[test]
fn threads_commit_side_by_side() {
    let place = Place::with(2);
    place.fill(100);
    let (session, output) = place.join(CommitWhen::AfterWrite);
    let generations = assigned(&session, 2);
    std::thread::scope(|scope| {
        for generation in generations {
            let (session, output) = (&session, &output);
            scope.spawn(move || {
                for next in 1..=20 {
                    let delivered = Delivered {
                        generation,
                        next,
                        leader_epoch: 0,
                    };
                    output.0.lock().expect("unpoisoned").push(delivered);
                    session.commit().expect("committed");
                }
            });
        }
    });
    assert_eq!(place.committed(), 40);
}

#[test]
fn an_explicit_commit_commits_whatever_else_does() {
    for when in [CommitWhen::OnExit, CommitWhen::Never] {
        let place = Place::with(1);
        place.fill(100);
        let (session, output) = place.join(when);
        let generation = assigned(&session, 1)[0];
        let delivered = |next| Delivered {
            generation,
            next,
            leader_epoch: 0,
        };
        output.0.lock().expect("unpoisoned").push(delivered(25));
        session.commit_after_write().expect("not asked for");
        assert_eq!(place.committed(), 0, "{when:?}");
        session.commit().expect("committed");
        assert_eq!(place.committed(), 25, "{when:?}");
        output.0.lock().expect("unpoisoned").push(delivered(50));
        let end = End {
            good: true,
            exits_0: true,
        };
        session.end(end, || false).expect("ended");
        let due = if when == CommitWhen::OnExit { 50 } else { 25 };
        assert_eq!(place.committed(), due, "{when:?}");
    }
}

#[test]
fn consumers_of_a_store_share_one_watcher() {
    let place = Place::with(1);
    let mut consumers: Vec<_> = (0..150)
        .map(|_| {
            let mut consumer = Consumer::new(&place.store);
            consumer.assign(&place.tp(0), 0, None).expect("assigned");
            consumer.wait(Duration::ZERO, None).expect("set up");
            assert_eq!(drain(&mut consumer).expect("read"), (0, -1));
            consumer
        })
        .collect();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = consumers
            .iter_mut()
            .map(|consumer| {
                scope.spawn(|| {
                    let (mut waits, mut read) = (0, 0);
                    while read < 3 {
                        consumer.wait(Duration::from_secs(20), None).expect("woken");
                        waits += 1;
                        read += drain(consumer).expect("read").0;
                    }
                    waits
                })
            })
            .collect();
        for _ in 0..3 {
            sleep(Duration::from_millis(200));
            place.fill(1);
        }
        for one in waiting {
            let waits = one.join().expect("no panic");
            // One that polls looks fifty times a second.
            assert!(waits < 25, "{waits}");
        }
    });
}

/// An output that keeps the session's thread waiting while it is asked how far it was taken.
#[derive(Debug, Default)]
struct Stuck(Mutex<()>);

impl Delivery for Stuck {
    fn take(&self) -> Vec<Delivered> {
        drop(self.0.lock());
        Vec::new()
    }
    fn is_settled(&self, _: Generation) -> bool {
        true
    }
    fn is_all_settled(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
}

#[test]
fn what_nobody_answers_for_is_not_confirmed() {
    let place = Place::with(1);
    let output = Arc::new(Stuck::default());
    let options = Place::options(&place.topic, CommitWhen::AfterWrite);
    let session = GroupSession::start(&place.store, options, output.clone(), Box::new(|| ()));
    let session = session.expect("joined");
    assigned(&session, 1);
    let tp = place.tp(0);
    wait_until("confirmed", || {
        session.confirm([&tp].into_iter()).expect("it lives")
    });
    let stuck = output.0.lock().expect("unpoisoned");
    // Another `group.json`, of which nothing can be told.
    let file = place.store.path().join("groups/g/group.json");
    let text = std::fs::read(&file).expect("read");
    std::fs::write(file.with_extension("new"), b"{").expect("written");
    std::fs::rename(file.with_extension("new"), &file).expect("replaced");
    assert!(!session.confirm([&tp].into_iter()).expect("it lives"));
    std::fs::write(file.with_extension("new"), text).expect("written");
    std::fs::rename(file.with_extension("new"), &file).expect("replaced");
    drop(stuck);
    wait_until("confirmed", || {
        session.confirm([&tp].into_iter()).expect("it lives")
    });
}

#[test]
fn a_commit_tells_of_partitions_that_were_given_up() {
    // How far the first delivers before it gives a partition up, and after that.
    for (before, after) in [(5, None), (0, Some(7))] {
        let place = Place::with(2);
        place.fill(100);
        let (first, output) = place.join(CommitWhen::Never);
        let own = assigned(&first, 2);
        let deliver = |next| {
            let delivered = own.iter().map(|generation| Delivered {
                generation: *generation,
                next,
                leader_epoch: 0,
            });
            output.0.lock().expect("unpoisoned").extend(delivered);
        };
        deliver(before);
        let (_second, _) = std::thread::scope(|scope| {
            let joins = scope.spawn(|| {
                let (second, output) = place.join(CommitWhen::Never);
                assigned(&second, 1);
                (second, output)
            });
            wait_until("given up", || {
                for order in first.take_orders() {
                    if let Order::Revoke(generation, _) = order {
                        first.stopped(&[generation]);
                    }
                }
                joins.is_finished()
            });
            joins.join().expect("joined")
        });
        if let Some(next) = after {
            first.commit().expect("nothing is delivered");
            deliver(next);
        }
        let told = first.commit().expect_err("one partition is another's");
        assert_eq!(told.kind(), mq::error::Kind::Rebalanced, "{told}");
        let due = after.unwrap_or(before);
        assert_eq!(place.committed(), due, "the rest is committed");
        first.commit().expect("told once");
    }
}
