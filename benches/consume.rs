//! Reading 1 GB by the library's consumer and by the engine's: `cargo bench --bench consume`.
//!
//! `engine`: fetch and `for_each`; `poll`: borrowed batches; `iterator`: owned records. Each runs
//! once per round, in turns; the best of five rounds counts. Records have 100 bytes, or 1000 with
//! `-- 1000`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq::client::{Consumer, Producer, ProducerOptions, TopicRequest};
use mq::record::Decompressor;
use mq::types::{TopicName, TopicPartition};
use mq::{Event, Store};

const BYTES: usize = 1 << 30;
const ROUNDS: u32 = 5;

fn main() {
    let mut lens = std::env::args().filter_map(|arg| arg.parse().ok());
    let len: usize = lens.next_back().unwrap_or(100);
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("store");
    let clock = Arc::new(mq::clock::SystemClock::default());
    let engine = mq::client::StoreDir::open_or_create(Arc::new(mq::disk::OsDisk), clock, &path);
    let engine = Arc::new(engine.expect("a store"));
    let topic = TopicName::new("t").expect("a name");
    let admin = mq::client::Admin::new(&engine, Duration::from_secs(10));
    admin
        .create_topic(&TopicRequest::new(topic.clone(), 1))
        .expect("created");
    let options = ProducerOptions::default();
    let mut producer = Producer::open(&engine, &topic, options).expect("opened");
    let value = vec![b'x'; len];
    let count = BYTES / len;
    for n in 0..count {
        producer.send_value(n as i64, &value).expect("sent");
    }
    producer.close(|_| ()).expect("closed");
    let store = Store::open(&path).expect("a store");

    let by_engine = || {
        let mut consumer = Consumer::new(&engine);
        let tp = TopicPartition::new(topic.clone(), 0);
        consumer.assign(&tp, 0, None).expect("assigned");
        let (mut decompressor, mut buf, mut bytes) = (Decompressor::default(), Vec::new(), 0);
        while let Some(fetched) = consumer.fetch(1 << 20, &mut buf).expect("fetched") {
            let stopped = fetched.for_each(&mut decompressor, |_, record| {
                bytes += record.value.map_or(0, <[u8]>::len);
                ControlFlow::<()>::Continue(())
            });
            stopped.expect("sound");
            buf = fetched.bytes;
        }
        bytes
    };
    let by_poll = || {
        let mut consumer = store.consumer(["t"]).to_end().open().expect("opened");
        let mut bytes = 0;
        loop {
            match consumer.poll(Duration::MAX).expect("an event") {
                Event::Records(batch) => {
                    for record in &batch {
                        bytes += record.expect("sound").value.map_or(0, <[u8]>::len);
                    }
                }
                Event::End => return bytes,
                _ => {}
            }
        }
    };
    let by_iterator = || {
        let consumer = store.consumer(["t"]).to_end().open().expect("opened");
        let value = |record: mq::Result<mq::Record>| {
            record.expect("a record").value().map_or(0, <[u8]>::len)
        };
        consumer.map(value).sum::<usize>()
    };
    let by_group = || {
        let group = store.group("bench").topics(["t"]);
        let consumer = group.to_end().open().expect("joined");
        let value = |record: mq::Result<mq::Record>| {
            record.expect("a record").value().map_or(0, <[u8]>::len)
        };
        consumer.take(count / 10).map(value).sum::<usize>()
    };
    let ways: [(&str, &dyn Fn() -> usize, usize); 4] = [
        ("engine", &by_engine, count),
        ("poll", &by_poll, count),
        ("iterator", &by_iterator, count),
        ("group", &by_group, 0),
    ];
    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        for ((_, read, due), best) in ways.iter().zip(&mut best) {
            let started = Instant::now();
            let bytes = read();
            *best = started.elapsed().min(*best);
            assert!(*due == 0 || bytes == due * len, "{bytes}");
        }
    }
    for ((name, _, due), best) in ways.iter().zip(best) {
        let records = if *due == 0 { count / 10 } else { *due };
        let rate = records as f64 / best.as_secs_f64() / 1e6;
        println!(
            "{name:9} {:7.3} s  {rate:7.2} million records/s",
            best.as_secs_f64()
        );
    }
}
