//! Consumers of the library.

use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::Duration;

use mq::client::Consumer;
use mq::error::Kind;
use mq::record::Decompressor;

use super::Place;

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
fn a_kept_place_is_not_one_in_a_topic_that_was_created_again() {
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
    let refused = consumer.assign(&place.tp(0), kept, None);
    assert_eq!(
        refused.expect_err("another topic").kind(),
        Kind::UnknownTopic
    );
    consumer.assign(&place.tp(0), 0, None).expect("assigned");
    let refused = consumer.seek(&place.tp(0), kept);
    assert_eq!(
        refused.expect_err("another topic").kind(),
        Kind::UnknownTopic
    );
    // A plain offset says only how far the log has to go.
    consumer.seek(&place.tp(0), 100).expect("sought");
    for _ in 0..2 {
        let refused = drain(&mut consumer).expect_err("beyond the end");
        assert_eq!(refused.kind(), Kind::OffsetOutOfRange, "{refused}");
        assert!(refused.cure_text().is_some());
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
    let refused = consumer.seek(&place.tp(1), 0).expect_err("not assigned");
    assert_eq!(refused.kind(), Kind::Usage, "{refused}");
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
