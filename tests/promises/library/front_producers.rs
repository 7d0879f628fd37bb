//! The front door's producer: what is sent, waited for, bounded, and reported.

mod deliveries;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, sleep};
use std::time::{Duration, Instant};

use fs2::FileExt;
use mq::api::{
    Admin, Error, Failure, Keyless, Kind, NewTopic, Producer, ProducerOptions, Receipt, RecordRef,
    Result, Sent, Store,
};
use mq::client::Consumer;
use mq::record::Decompressor;
use mq::types::{TopicName, TopicPartition};

use super::wait_until;
use crate::cli::Shell;

const FOREVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(10);

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    /// A store with a topic.
    fn with(partitions: i32) -> Self {
        Place::waiting(partitions, SOON)
    }

    fn waiting(partitions: i32, timeout: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::options().timeout(timeout);
        let store = store.open(dir.path().join("store")).expect("a store");
        let topic = NewTopic::new("t").partitions(partitions);
        store.admin().create(topic).expect("made");
        Place { dir, store }
    }

    fn producer(&self) -> Producer {
        self.store.producer("t").open().expect("opened")
    }

    fn stored(&self) -> i64 {
        let topic = self.store.admin().describe("t").expect("described");
        topic.partitions.iter().filter_map(|p| p.end_offset).sum()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// What a partition holds: values by their offsets.
    fn values(&self, partition: i32) -> BTreeMap<i64, String> {
        let store = super::open(&self.path());
        let mut consumer = Consumer::new(&store);
        let tp = TopicPartition::new(TopicName::new("t").expect("a name"), partition);
        consumer.assign(&tp, 0, None).expect("assigned");
        let mut seen = BTreeMap::new();
        while let Some(fetched) = consumer.fetch(1 << 20, &mut Vec::new()).expect("read") {
            let note = |_, record: mq::record::Record<'_>| {
                let value = record.value.unwrap_or_default();
                seen.insert(record.offset, String::from_utf8_lossy(value).into_owned());
                ControlFlow::<()>::Continue(())
            };
            fetched
                .for_each(&mut Decompressor::default(), note)
                .expect("records");
        }
        seen
    }

    /// Nothing can be appended to the first partition while this is held.
    fn hold(&self) -> std::fs::File {
        let state = self.path().join("brokers/0/logs/t-0/partition.state");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(state)
            .expect("the state file");
        FileExt::lock_exclusive(&file).expect("locked");
        file
    }
}

#[test]
fn what_threads_may_do_with_the_types_is_a_promise() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    fn future<T: Future<Output = Result<Receipt>> + Send + Unpin + 'static>() {}
    fn error<T: std::error::Error + Send + Sync + Clone + 'static>() {}
    shared::<Store>();
    shared::<Producer>();
    shared::<Admin>();
    shared::<Receipt>();
    sent::<ProducerOptions>();
    future::<Sent>();
    error::<Error>();
    error::<Failure>();
}

#[test]
fn a_record_is_on_its_way_without_another_call() {
    let place = Place::with(1);
    let producer = place.producer();
    for round in 1..=20 {
        drop(producer.send("x").expect("sent"));
        wait_until("stored", || place.stored() == round);
    }
    // A burst, whose last records come while others are under way.
    for _ in 0..10_000 {
        drop(producer.send("x").expect("sent"));
    }
    wait_until("stored", || place.stored() == 10_020);
}

#[test]
fn a_record_lingers_as_long_as_linger_says() {
    let place = Place::with(1);
    let linger = Duration::from_millis(300);
    let producer = place.store.producer("t").linger(linger).open();
    let producer = producer.expect("opened");
    let started = Instant::now();
    let first = producer.send("x").expect("sent");
    sleep(Duration::from_millis(50));
    let second = producer.send("y").expect("sent");
    assert_eq!(
        first.wait().expect("stored"),
        second.wait().expect("stored")
    );
    assert!(started.elapsed() >= linger);
    assert_eq!(second.wait().expect("stored").count, 2);
}

#[test]
fn the_last_clone_that_is_dropped_stores_what_was_sent() {
    let place = Place::with(3);
    let producer = place.store.producer("t").linger(FOREVER).open();
    let producer = producer.expect("opened");
    let other = producer.clone();
    for n in 0..1000_u32 {
        let key = n.to_be_bytes();
        drop(producer.send((&key, "x")).expect("sent"));
    }
    drop(producer);
    assert_eq!(place.stored(), 0, "a clone goes on");
    drop(other);
    assert_eq!(place.stored(), 1000);
}

#[test]
fn drop_and_close_wait_no_longer_than_the_timeout() {
    let timeout = Duration::from_millis(300);
    for closes in [false, true] {
        let place = Place::waiting(1, timeout);
        let producer = place.producer();
        let held = place.hold();
        let sent = producer.send("x").expect("sent");
        let started = Instant::now();
        if closes {
            let failure = producer.close().expect_err("it cannot be stored");
            assert_eq!(failure.acknowledged, 0);
            let lost = failure.unacknowledged.first().expect("one");
            assert_eq!((lost.partition, lost.first_sequence, lost.count), (0, 0, 1));
            assert_eq!(failure.error.topic(), Some("t"));
        } else {
            drop(producer);
        }
        assert!(started.elapsed() < timeout * 5, "{:?}", started.elapsed());
        sent.wait().expect_err("it cannot be stored");
        drop(held);
    }
}

#[test]
fn a_flush_waits_for_what_was_sent_before_it_and_for_no_more() {
    let place = Place::with(2);
    let producer = place.store.producer("t").linger(FOREVER).open();
    let producer = producer.expect("opened");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    producer.send("more").expect("sent");
                }
            });
        }
        for _ in 0..50 {
            let sent = producer.send("x").expect("sent");
            producer.flush().expect("flushed");
            let outcome = sent.wait_timeout(Duration::ZERO).expect("known");
            outcome.expect("stored");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn bytes_that_are_not_acknowledged_are_bounded() {
    let most = 64 << 10;
    let place = Place::with(1);
    let producer = place.store.producer("t").in_flight_bytes(most).open();
    let producer = producer.expect("opened");
    let held = place.hold();
    let value = "x".repeat(1000);
    let mut sent = Vec::new();
    while let Some(one) = producer.try_send(&value).expect("taken") {
        sent.push(one);
        assert!(producer.in_flight_bytes() <= most);
    }
    assert!(sent.len() > 50, "{}", sent.len());
    // A sender that waits, waits for an acknowledgement.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| producer.send(&value));
        sleep(Duration::from_millis(100));
        assert!(!waits.is_finished());
        assert!(
            sent.iter()
                .all(|one| one.wait_timeout(Duration::ZERO).is_none())
        );
        drop(held);
        waits.join().expect("no panic").expect("sent");
    });
    for (n, one) in sent.iter().enumerate() {
        let receipt = one.wait().expect("stored");
        assert_eq!(receipt.offset_of(one.sequence()), Some(n as i64));
    }
    // One record is always taken.
    let large = "x".repeat(most * 2);
    producer.send(&large).expect("sent").wait().expect("stored");
}

#[test]
fn a_sender_waits_for_room_no_longer_than_the_timeout() {
    let place = Place::waiting(1, Duration::from_millis(300));
    let producer = place.store.producer("t").in_flight_bytes(4096).open();
    let producer = producer.expect("opened");
    let _held = place.hold();
    let started = Instant::now();
    let error = loop {
        if let Err(error) = producer.send(&[0; 1000]) {
            break error;
        }
    };
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.is_retriable() && !error.outcome_unknown());
    assert_eq!(error.topic(), Some("t"));
}

#[test]
fn threads_share_a_producer_and_each_learns_where_its_record_is() {
    let place = Place::with(3);
    let producer = place.producer();
    let reported: Vec<(i32, i64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let producer = &producer;
                scope.spawn(move || {
                    let mut reported = Vec::new();
                    for n in 0..50 {
                        let (key, value) = (format!("{thread}"), format!("{thread}-{n}"));
                        let sent = producer.send((&key, &value)).expect("sent");
                        let receipt = sent.wait().expect("stored");
                        let offset = receipt.offset_of(sent.sequence()).expect("its own");
                        assert_eq!(receipt.partition, sent.partition());
                        reported.push((receipt.partition, offset, value));
                    }
                    reported
                })
            })
            .collect();
        let reported = threads.into_iter().map(|one| one.join().expect("no panic"));
        reported.flatten().collect()
    });
    assert_eq!(producer.close().expect("closed"), 800);
    let stored: Vec<_> = (0..3).map(|partition| place.values(partition)).collect();
    assert_eq!(stored.iter().map(BTreeMap::len).sum::<usize>(), 800);
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (partition, offset, value) in &reported {
        let there = &stored[*partition as usize];
        assert_eq!(there.get(offset), Some(value));
        // A thread's records have one key, and keep their order.
        let thread = value.split('-').next().expect("a thread");
        let before = last.insert(thread, *offset);
        assert!(before.is_none_or(|before| before < *offset));
    }
}

/// Wakes a thread, and counts.
struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unpark();
    }
}

#[test]
fn a_task_is_woken_once_its_record_is_stored() {
    let place = Place::with(1);
    let producer = place.producer();
    let held = place.hold();
    let mut sent = pin!(producer.send("x").expect("sent"));
    let unpark = Arc::new(Unpark(std::thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(sent.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(unpark.1.load(Ordering::Relaxed), 0);
    drop(held);
    let receipt = loop {
        match sent.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => break outcome.expect("stored"),
            Poll::Pending => std::thread::park_timeout(SOON),
        }
    };
    assert_eq!((receipt.base_offset, receipt.count), (0, 1));
    assert_eq!(unpark.1.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_sent_at_once_is_waited_for_at_once() {
    let place = Place::with(4);
    let producer = place
        .store
        .producer("t")
        .keyless(Keyless::RoundRobin)
        .open();
    let producer = producer.expect("opened");
    let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let sent = producer.send_all(values.iter().map(RecordRef::from));
    let sent = sent.expect("sent");
    sent.wait().expect("stored");
    assert_eq!(place.stored(), 1000, "of every partition");
    assert_eq!(producer.acknowledged(), 1000);
    for partition in 0..4 {
        let stored = place.values(partition);
        let numbers = stored.values().map(|n| n.parse::<u32>().expect("a number"));
        assert!(numbers.collect::<Vec<_>>().is_sorted());
    }
    let none = producer.send_all([]).expect_err("nothing to wait for");
    assert_eq!(none.kind(), Kind::Usage);
    // The iterator runs without the producer's lock.
    let nested = (0..200).map(|_| {
        drop(producer.send("inner").expect("sent"));
        RecordRef::new("outer")
    });
    producer
        .send_all(nested)
        .expect("sent")
        .wait()
        .expect("stored");
    assert_eq!(producer.close().expect("closed"), 1400);
}

#[test]
fn a_batch_that_is_split_gives_each_record_its_own_offset() {
    let place = Place::with(1);
    let producer = place.store.producer("t").linger(FOREVER).open();
    let producer = producer.expect("opened");
    let value = "x".repeat(1000);
    let send = |_| producer.send(&value).expect("sent");
    let sent: Vec<Sent> = (0..100).map(send).collect();
    let admin = place.store.admin();
    let limit = ("max.message.bytes", Some("20000"));
    admin.alter("t", [limit]).expect("altered");
    producer.flush().expect("flushed");
    let mut counts = Vec::new();
    for (n, one) in sent.iter().enumerate() {
        let receipt = one.wait().expect("stored");
        assert_eq!(receipt.offset_of(one.sequence()), Some(n as i64));
        counts.push(receipt.count);
    }
    assert!(counts.iter().all(|count| *count < 20), "{counts:?}");
}

#[test]
fn a_record_that_is_refused_ends_nothing() {
    let place = Place::with(2);
    let producer = place.producer();
    let large = vec![0; 3 << 20];
    let error = producer.send(&large).expect_err("too large");
    assert_eq!(error.kind(), Kind::MessageTooLarge);
    let nowhere = RecordRef::new("x").partition(7);
    let error = producer.send(nowhere).expect_err("no such partition");
    assert_eq!(error.kind(), Kind::UnknownTopic);
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(7)));
    producer.send("x").expect("sent").wait().expect("stored");
    let unknown = place.store.producer("nobody").open().expect_err("no topic");
    assert_eq!(unknown.kind(), Kind::UnknownTopic);
    assert_eq!(unknown.topic(), Some("nobody"));
    assert_eq!(producer.close().expect("closed"), 1);
}

#[test]
fn a_close_ends_all_clones() {
    let place = Place::with(1);
    let producer = place.producer();
    let other = producer.clone();
    drop(other.send("x").expect("sent"));
    assert_eq!(producer.close().expect("closed"), 1);
    let error = other.send("y").expect_err("closed");
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(other.close().expect("closed"), 1);
    assert_eq!(place.stored(), 1);
}

#[test]
fn a_failure_is_reported_to_all_callers() {
    let place = Place::waiting(1, Duration::from_millis(300));
    let reported = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&reported);
    let note = move |outcome: Result<Receipt>| notes.lock().expect("no panic").push(outcome);
    let producer = place.store.producer("t").on_delivery(note).open();
    let producer = producer.expect("opened");
    producer
        .send("stored")
        .expect("sent")
        .wait()
        .expect("stored");
    let held = place.hold();
    let lost: Vec<Sent> = (0..3).map(|_| producer.send("x").expect("sent")).collect();
    for one in &lost {
        let error = one
            .wait_timeout(SOON)
            .expect("known")
            .expect_err("not stored");
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        assert!(!error.outcome_unknown(), "{error}");
    }
    producer.flush().expect_err("it has failed");
    producer.send("y").expect_err("it has failed");
    drop(held);
    let failure = producer.close().expect_err("it has failed");
    assert_eq!(failure.acknowledged, 1);
    let unacknowledged = failure.unacknowledged.first().expect("one partition");
    assert_eq!(
        (unacknowledged.first_sequence, unacknowledged.count),
        (1, 3)
    );
    let failure: Box<dyn std::error::Error> = Box::new(failure);
    assert!(!failure.to_string().is_empty());
    let reported = reported.lock().expect("no panic");
    let [Ok(receipt), Err(error)] = reported.as_slice() else {
        panic!("{reported:?}");
    };
    assert_eq!((receipt.base_offset, receipt.count), (0, 1));
    assert_eq!(error.kind(), Kind::Busy);
    assert_eq!(place.stored(), 1);
}

#[test]
fn debug_texts_are_short() {
    let place = Place::with(1);
    let producer = place.producer();
    let sent = producer.send("x").expect("sent");
    sent.wait().expect("stored");
    for text in [
        format!("{:?}", place.store),
        format!("{:?}", place.store.admin()),
        format!("{:?}", place.store.consumer(["t"])),
        format!("{:?}", place.store.group("g")),
        format!("{producer:?}"),
    ] {
        assert!(text.len() < 800, "{} bytes: {text}", text.len());
    }
}

#[test]
fn records_keep_what_they_were_sent_with() {
    let place = Place::with(1);
    let producer = place.producer();
    let record = RecordRef::new("v").key("k").header("h", "1").timestamp(77);
    producer.send(record).expect("sent").wait().expect("stored");
    let gone = producer.send(RecordRef::tombstone("k")).expect("sent");
    gone.wait().expect("stored");
    let store = super::open(&place.path());
    let mut consumer = Consumer::new(&store);
    let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
    consumer.assign(&tp, 0, None).expect("assigned");
    let mut seen = Vec::new();
    while let Some(fetched) = consumer.fetch(1 << 20, &mut Vec::new()).expect("read") {
        let note = |_, record: mq::record::Record<'_>| {
            let headers: Vec<_> = record.headers.iter().map(|h| h.key.to_vec()).collect();
            let (key, value) = (
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
            );
            seen.push((record.timestamp, key, value, headers));
            ControlFlow::<()>::Continue(())
        };
        fetched
            .for_each(&mut Decompressor::default(), note)
            .expect("records");
    }
    let [sent, deleted] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    let key = Some(b"k".to_vec());
    assert_eq!(
        *sent,
        (77, key.clone(), Some(b"v".to_vec()), vec![b"h".to_vec()])
    );
    assert_eq!((&deleted.1, &deleted.2), (&key, &None));
}

#[test]
fn records_of_several_replicas_are_acknowledged_and_bounded_likewise() {
    let shell = Shell::new();
    let brokers = ["1", "2"].map(|id| shell.start("mq-broker", &["start", "--id", id]));
    for broker in &brokers {
        broker.says("ready:");
    }
    let store = Store::open(shell.store()).expect("a store");
    let topic = NewTopic::new("t").replication_factor(2);
    let made = store.admin().create(topic).expect("made");
    assert_eq!(made.partitions[0].replicas.len(), 2);
    let most = 32 << 10;
    let producer = store.producer("t").in_flight_bytes(most).open();
    let producer = producer.expect("opened");
    let value = "x".repeat(500);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..200 {
                    let sent = producer.send(&value).expect("sent");
                    assert!(producer.in_flight_bytes() <= most + 1000);
                    if n % 20 == 0 {
                        let receipt = sent.wait().expect("stored");
                        assert!(receipt.offset_of(sent.sequence()).is_some());
                    }
                }
            });
        }
    });
    assert_eq!(producer.close().expect("closed"), 800);
    let described = store.admin().describe("t").expect("described");
    assert_eq!(
        described.partitions[0].end_offset,
        Some(800),
        "on both replicas"
    );
}
