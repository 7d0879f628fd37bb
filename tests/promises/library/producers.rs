//! Producers of the library: what is sent, stored, acknowledged, and reported.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mq::client::{ProducerOptions, ProducerRecord};
use mq::error::Kind;

use super::{Place, wait_until};
use crate::cli::Shell;

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
fn a_record_lingers_as_long_as_linger_says() {
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
fn sending_reports_the_cause_of_a_failure() {
    let place = Place::with(1);
    let mut producer = place.producer(ProducerOptions::default());
    producer.send_value(1, b"x").expect("sent");
    producer.flush().expect("flushed");
    place.admin.delete_topic(&place.topic).expect("deleted");
    let mut reported = None;
    wait_until("failed", || {
        let sent = producer.send_value(1, b"x").and_then(|_| producer.flush());
        reported = sent.err();
        reported.is_some() && producer.has_failed()
    });
    let reported = producer.send_value(1, b"x").and_then(|_| producer.flush());
    let reported = reported.expect_err("it has failed");
    assert_eq!(reported.kind(), Kind::UnknownTopic, "{reported}");
    assert!(reported.to_string().contains("UNKNOWN_TOPIC"), "{reported}");
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
    // The topic file is examined now and then.
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
