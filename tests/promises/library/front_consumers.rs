//! The front door's consumer: which records it gives, what they hold, and when.

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use mq::client::{Keyless, Producer, ProducerOptions, ProducerRecord};
use mq::error::Kind;
use mq::record::Header;
use mq::types::Compression;
use mq::{Consumer, Event, OffsetSpec, Positions, Record, Store};

use super::{Place, wait_until};

pub const SOON: Duration = Duration::from_secs(20);

impl Place {
    /// The store as another program opens it.
    pub fn front(&self) -> Store {
        Store::open(self.store.path()).expect("a store")
    }

    /// Sends records with these timestamps and the offset as value, each its own batch.
    pub fn send_timed(&self, times: &[i64]) {
        let mut producer = self.producer(ProducerOptions::default());
        for (n, time) in times.iter().enumerate() {
            producer
                .send_value(*time, n.to_string().as_bytes())
                .expect("sent");
            producer.flush().expect("flushed");
        }
        producer.close(|_| ()).expect("closed");
    }

    /// As retention does: the first records of a partition are gone.
    pub fn raise_log_start(&self, partition: i32, to: i64) {
        let wanted = format!("{}-{partition}", self.topic);
        let logs = self.store.path().join("brokers/0/logs");
        let entries = std::fs::read_dir(&logs).expect("logs");
        let dirs = entries.map(|entry| entry.expect("entry").path());
        let is_it = |dir: &std::path::PathBuf| {
            dir.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&wanted))
        };
        let dir = dirs.into_iter().find(is_it).expect("the replica");
        let page = dir.join("partition.state");
        let mut raw = std::fs::read(&page).expect("page");
        for copy in [0, 4096] {
            raw[copy + 128..copy + 136].copy_from_slice(&to.to_le_bytes());
            let crc = crc32fast::hash(&raw[copy..copy + 508]);
            raw[copy + 508..copy + 512].copy_from_slice(&crc.to_le_bytes());
        }
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&page)
            .expect("page");
        std::os::unix::fs::FileExt::write_all_at(&file, &raw, 0).expect("written");
    }
}

/// The offsets of what comes until the consumer ends, by partition and offset.
pub fn offsets(consumer: &mut Consumer) -> Vec<(i32, i64)> {
    let records = consumer.map(|record| record.expect("a record"));
    let mut all: Vec<(i32, i64)> = records.map(|r| (r.partition(), r.offset())).collect();
    all.sort_unstable();
    all
}

#[test]
fn types_move_between_threads_as_promised() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync + Clone>() {}
    send::<Consumer>();
    send::<mq::GroupConsumer>();
    shared::<Record>();
    shared::<mq::RecordId>();
    shared::<Positions>();
    shared::<mq::Closer>();
    shared::<mq::ConsumerOptions>();
    shared::<mq::GroupOptions>();
    shared::<OffsetSpec>();
}

#[test]
fn all_partitions_are_read_also_later_ones() {
    let place = Place::with(2);
    place.fill(10);
    let mut consumer = place.front().consumer(["t"]).open().expect("opened");
    let Event::Assigned(partitions) = consumer.poll(SOON).expect("an event") else {
        panic!("the partitions come first");
    };
    assert_eq!(partitions, [place.tp(0), place.tp(1)]);
    let mut seen = Vec::new();
    while let Some(record) = consumer.try_next(Duration::ZERO) {
        let record = record.expect("a record");
        assert_eq!((record.value(), record.timestamp()), (Some(&b"x"[..]), 1));
        assert_eq!(record.topic().as_str(), "t");
        seen.push((record.partition(), record.offset()));
    }
    assert_eq!(seen.len(), 10);
    // While it waits.
    let waiting = spawn(move || {
        let mut added = Vec::new();
        let mut late = 0;
        while late == 0 {
            match consumer.poll(SOON).expect("an event") {
                Event::Assigned(partitions) => added = partitions,
                Event::Records(batch) if batch.topic_partition().partition == 2 => {
                    late = batch.iter().count();
                }
                Event::Records(_) => {}
                other => panic!("{other:?}"),
            }
        }
        (added, consumer)
    });
    sleep(Duration::from_millis(100));
    place.admin.add_partitions(&place.topic, 3).expect("added");
    place.fill(6);
    let (added, consumer) = waiting.join().expect("no panic");
    assert_eq!(added, [place.tp(2)]);
    assert_eq!(consumer.positions().len(), 3);
}

#[test]
fn a_consumer_that_never_waits_reads_later_partitions_too() {
    let place = Place::with(1);
    let mut consumer = place.front().consumer(["t"]).open().expect("opened");
    assert!(consumer.try_next(Duration::ZERO).is_none());
    place.admin.add_partitions(&place.topic, 2).expect("added");
    place.fill(4);
    let mut from_both = [0, 0];
    wait_until("read from both", || {
        while let Some(record) = consumer.try_next(Duration::ZERO) {
            from_both[record.expect("a record").partition() as usize] += 1;
        }
        from_both == [2, 2]
    });
}

#[test]
fn only_the_partitions_that_were_asked_for_are_read() {
    let place = Place::with(3);
    place.fill(30);
    let store = place.front();
    let mut consumer = store
        .consumer(["t"])
        .partitions([2, 0])
        .to_end()
        .open()
        .expect("opened");
    let read = offsets(&mut consumer);
    assert_eq!(read.len(), 20);
    assert!(read.iter().all(|(partition, _)| *partition != 1));
    let refused = store.consumer(["t"]).partitions([3]).open();
    assert_eq!(refused.expect_err("not there").kind(), Kind::UnknownTopic);
    let refused = store.consumer(["t", "nowhere"]).open();
    assert_eq!(refused.expect_err("not there").kind(), Kind::UnknownTopic);
    let refused = store.consumer([""; 0]).open();
    assert_eq!(refused.expect_err("none").kind(), Kind::Usage);
}

#[test]
fn idle_comes_in_time_and_a_closer_ends_a_wait() {
    let place = Place::with(1);
    let mut consumer = place.front().consumer(["t"]).open().expect("opened");
    assert!(matches!(
        consumer.poll(Duration::ZERO),
        Ok(Event::Assigned(_))
    ));
    let started = Instant::now();
    assert!(matches!(
        consumer.poll(Duration::from_millis(200)),
        Ok(Event::Idle)
    ));
    let waited = started.elapsed();
    assert!(
        (Duration::from_millis(200)..Duration::from_secs(3)).contains(&waited),
        "{waited:?}"
    );
    let closer = consumer.closer();
    let other = closer.clone();
    let rings = spawn(move || {
        sleep(Duration::from_millis(100));
        other.wake();
    });
    assert!(matches!(consumer.poll(Duration::MAX), Ok(Event::Idle)));
    rings.join().expect("no panic");
    // Before the poll, too; once.
    closer.wake();
    assert!(matches!(consumer.poll(Duration::MAX), Ok(Event::Idle)));
    let follows = spawn(move || (consumer.by_ref().count(), consumer));
    place.fill(3);
    closer.wake();
    sleep(Duration::from_millis(100));
    closer.close();
    let (count, mut consumer) = follows.join().expect("no panic");
    assert_eq!(count, 3, "a wake does not end the iterator");
    assert!(matches!(consumer.poll(Duration::MAX), Ok(Event::End)));
}

#[test]
fn owned_and_borrowed_records_have_what_was_sent() {
    for compression in [Compression::None, Compression::Zstd, Compression::Lz4] {
        let place = Place::with(1);
        let options = ProducerOptions {
            compression,
            ..ProducerOptions::default()
        };
        let mut producer = place.producer(options);
        let headers = [
            Header {
                key: b"a",
                value: Some(b"1"),
            },
            Header {
                key: b"a",
                value: None,
            },
        ];
        for n in 0..200_i64 {
            let (key, value) = (format!("k{n}"), format!("value {n}"));
            let record = ProducerRecord {
                partition: None,
                timestamp: Some(n),
                key: (n % 3 != 0).then_some(key.as_bytes()),
                value: (n % 5 != 0).then_some(value.as_bytes()),
                headers: if n % 2 == 0 { &headers } else { &[] },
            };
            producer.send(&record).expect("sent");
        }
        producer.close(|_| ()).expect("closed");
        let store = place.front();
        // Kept beyond their batches.
        let consumer = store.consumer(["t"]).to_end().open().expect("opened");
        let owned: Vec<Record> = consumer.collect::<Result<_, _>>().expect("records");
        assert_eq!(owned.len(), 200);
        let mut borrowing = store.consumer(["t"]).to_end().open().expect("opened");
        let mut owned_ones = owned.iter().enumerate();
        loop {
            let batch = match borrowing.poll(SOON).expect("an event") {
                Event::Records(batch) => batch,
                Event::End => break,
                _ => continue,
            };
            assert_eq!(batch.compression(), compression);
            for record in &batch {
                let record = record.expect("sound");
                let (n, owned) = owned_ones.next().expect("as many");
                let (key, value) = (format!("k{n}"), format!("value {n}"));
                assert_eq!(record.key, (n % 3 != 0).then_some(key.as_bytes()));
                assert_eq!(record.value, (n % 5 != 0).then_some(value.as_bytes()));
                assert_eq!((record.offset, record.partition), (Some(n as i64), Some(0)));
                assert_eq!(record.timestamp, Some(n as i64));
                let due: &[Header<'_>] = if n % 2 == 0 { &headers } else { &[] };
                assert_eq!(record.header_iter().collect::<Vec<_>>(), due);
                assert_eq!(owned.headers().iter().collect::<Vec<_>>(), due);
                assert_eq!((owned.key(), owned.value()), (record.key, record.value));
                assert_eq!((owned.offset(), owned.timestamp()), (n as i64, n as i64));
                assert_eq!(batch.id(&record), owned.id());
            }
        }
        assert!(owned_ones.next().is_none());
    }
}

#[test]
fn damage_is_reported_once_and_the_other_partitions_are_read() {
    let place = Place::with(2);
    let mut producer = Producer::open(
        &place.store,
        &place.topic,
        ProducerOptions {
            keyless: Keyless::RoundRobin,
            ..ProducerOptions::default()
        },
    )
    .expect("opened");
    for _ in 0..10 {
        producer.send_value(1, &[b'x'; 1000]).expect("sent");
        producer.flush().expect("flushed");
    }
    producer.close(|_| ()).expect("closed");
    let logs = place.store.path().join("brokers/0/logs");
    let dirs = std::fs::read_dir(&logs)
        .expect("logs")
        .map(|entry| entry.expect("entry").path());
    let is_it = |dir: &std::path::PathBuf| {
        dir.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("t-0"))
    };
    let log = dirs
        .into_iter()
        .find(is_it)
        .expect("it")
        .join("00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("log");
    let third = bytes.len() / 2;
    bytes[third] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let mut consumer = place
        .front()
        .consumer(["t"])
        .to_end()
        .open()
        .expect("opened");
    let (mut errors, mut read) = (Vec::new(), [0, 0]);
    for record in &mut consumer {
        match record {
            Ok(record) => read[record.partition() as usize] += 1,
            Err(e) => errors.push(e.kind()),
        }
    }
    assert_eq!((errors, read), (vec![Kind::Damaged], [2, 5]));
    // Where it is to be read on, once it is repaired.
    assert_eq!(consumer.positions().get(&place.tp(0)), Some(2));
    // Or behind it.
    assert_eq!(
        consumer
            .seek(&place.tp(0), OffsetSpec::At(3))
            .expect("sought"),
        3
    );
    assert_eq!(offsets(&mut consumer), [(0, 3), (0, 4)]);
}

#[test]
fn what_comes_while_it_waits_is_read_at_once() {
    let place = Place::with(1);
    let mut consumer = place.front().consumer(["t"]).open().expect("opened");
    let waiting = spawn(move || {
        let record = consumer.next().expect("a record").expect("a record");
        (record.offset(), Instant::now())
    });
    sleep(Duration::from_millis(300));
    place.fill(1);
    let filled = Instant::now();
    let (offset, at) = waiting.join().expect("no panic");
    assert_eq!(offset, 0);
    // Without a watch it would be seen after seconds.
    assert!(at.saturating_duration_since(filled) < Duration::from_secs(1));
}
