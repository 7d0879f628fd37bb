//! Where the front door's consumer begins, ends and goes on.

use std::thread::{sleep, spawn};
use std::time::Duration;

use mq::error::Kind;
use mq::{Event, OffsetSpec, OnMissed, Positions};

use super::Place;
use super::front_consumers::{SOON, offsets};

#[test]
fn positions_count_what_was_handed_out_and_go_on_there() {
    let place = Place::with(2);
    place.fill(100);
    let store = place.front();
    let mut consumer = store.consumer(["t"]).to_end().open().expect("opened");
    let mut seen = Vec::new();
    for _ in 0..30 {
        let record = consumer.next().expect("there are more").expect("a record");
        seen.push((record.partition(), record.offset()));
    }
    let sum = |positions: &Positions| positions.iter().map(|(_, offset)| offset).sum::<i64>();
    let kept = consumer.positions();
    assert_eq!(sum(&kept), 30, "{kept}");
    // A poll goes on behind the iterator, and the other way round.
    let first = loop {
        if let Event::Records(batch) = consumer.poll(SOON).expect("an event") {
            break batch.iter().next().expect("one").expect("sound").offset;
        }
    };
    assert_eq!(first, kept.get(&place.tp(0)));
    drop(consumer);
    let kept = kept.to_string().parse().expect("as it was written");
    let mut again = store
        .consumer(["t"])
        .resume(kept)
        .to_end()
        .open()
        .expect("opened");
    seen.extend(offsets(&mut again));
    seen.sort_unstable();
    let all: Vec<(i32, i64)> = (0..2).flat_map(|p| (0..50).map(move |o| (p, o))).collect();
    assert_eq!(seen, all);
    assert_eq!(sum(&again.positions()), 100);
}

#[test]
fn no_offset_is_used_on_a_topic_that_was_made_again() {
    let place = Place::with(1);
    place.fill(20);
    let store = place.front();
    let mut consumer = store.consumer(["t"]).open().expect("opened");
    assert!(consumer.try_next(SOON).is_some());
    let kept = consumer.positions();
    place.admin.delete_topic(&place.topic).expect("deleted");
    place.create(1);
    place.fill(50);
    let refused = store.consumer(["t"]).resume(kept.clone()).open();
    assert_eq!(
        refused.expect_err("another topic").kind(),
        Kind::UnknownTopic
    );
    // The one that was open gives what it had, tells of it once, and never reads the new one.
    let mut errors = Vec::new();
    let mut read = 1;
    for record in consumer.by_ref() {
        match record {
            Ok(_) => read += 1,
            Err(e) => errors.push(e.kind()),
        }
    }
    assert_eq!(errors, [Kind::UnknownTopic]);
    assert!(read <= 20, "{read}");
    let refused = consumer.seek(&place.tp(0), OffsetSpec::Start);
    assert_eq!(refused.expect_err("not read").kind(), Kind::Usage);
    assert!(consumer.positions().is_empty());
    // A kept position of another topic does not hinder.
    let other = kept
        .to_string()
        .replace("t@", "u@")
        .parse()
        .expect("positions");
    let mut fresh = store
        .consumer(["t"])
        .resume(other)
        .to_end()
        .open()
        .expect("opened");
    assert_eq!(offsets(&mut fresh).len(), 50);
}

#[test]
fn a_position_beyond_the_log_is_refused() {
    let place = Place::with(1);
    place.fill(5);
    let store = place.front();
    let mut consumer = store.consumer(["t"]).to_end().open().expect("opened");
    assert_eq!(offsets(&mut consumer).len(), 5);
    let beyond = consumer.positions().to_string().replace("0=5", "0=9");
    let beyond = beyond.parse().expect("positions");
    let refused = store.consumer(["t"]).resume(beyond).to_end().open();
    assert_eq!(refused.expect_err("beyond").kind(), Kind::OffsetOutOfRange);
    let refused = store.consumer(["t"]).from(OffsetSpec::At(6)).open();
    assert_eq!(refused.expect_err("beyond").kind(), Kind::OffsetOutOfRange);
}

#[test]
fn ranges_begin_and_end_where_they_say() {
    let place = Place::with(1);
    place.send_timed(&[1000, 2000, 3000, 4000, 5000, 6000]);
    let store = place.front();
    use OffsetSpec::{At, End, EndMinus, Start, StartPlus, Time};
    for (from, until, due) in [
        (Start, None, 0..6),
        (At(2), None, 2..6),
        (StartPlus(4), None, 4..6),
        (StartPlus(99), None, 6..6),
        (EndMinus(2), None, 4..6),
        (EndMinus(99), None, 0..6),
        (Time(2500), None, 2..6),
        (End, None, 6..6),
        (Start, Some(At(3)), 0..3),
        // Counted from the log start, wherever the read begins.
        (At(2), Some(StartPlus(3)), 2..3),
        (Start, Some(EndMinus(1)), 0..5),
        (Start, Some(Time(4000)), 0..3),
        (At(4), Some(Start), 4..4),
    ] {
        let options = store.consumer(["t"]).from(from);
        let options = match until {
            None => options.to_end(),
            Some(until) => options.until(until),
        };
        let mut consumer = options.open().expect("opened");
        let read: Vec<i64> = offsets(&mut consumer).into_iter().map(|(_, o)| o).collect();
        assert_eq!(read, due.collect::<Vec<_>>(), "{from:?} {until:?}");
        assert!(matches!(consumer.poll(SOON), Ok(Event::End)));
    }
}

#[test]
fn an_end_that_is_to_come_is_waited_for() {
    let place = Place::with(1);
    let store = place.front();
    let now = place.store.clock().now_ms();
    // By an offset; by a record that is not older; by the clock.
    let by_offset = store.consumer(["t"]).until(OffsetSpec::At(3));
    let by_record = store
        .consumer(["t"])
        .until(OffsetSpec::Time(now + 3_600_000));
    let by_clock = store.consumer(["t"]).until(OffsetSpec::Time(now + 2_000));
    let counts: Vec<_> = [by_offset, by_record, by_clock]
        .into_iter()
        .map(|options| {
            let mut consumer = options.open().expect("opened");
            spawn(move || offsets(&mut consumer).len())
        })
        .collect();
    sleep(Duration::from_millis(100));
    place.send_timed(&[now, now + 1, now + 3_600_000, now, now]);
    let counts: Vec<usize> = counts
        .into_iter()
        .map(|one| one.join().expect("ended"))
        .collect();
    assert_eq!(counts, [3, 2, 2]);
}

#[test]
fn what_is_gone_is_reported_or_an_error() {
    let place = Place::with(1);
    place.send_timed(&[1; 10]);
    let store = place.front();
    let mut goes_on = store.consumer(["t"]).to_end().open().expect("opened");
    let mut fails = store
        .consumer(["t"])
        .to_end()
        .on_missed(OnMissed::Fail)
        .open();
    let kept = goes_on.positions();
    place.raise_log_start(0, 4);
    let mut events = Vec::new();
    let mut read = Vec::new();
    loop {
        match goes_on.poll(SOON).expect("an event") {
            Event::Records(batch) => {
                read.extend(
                    batch
                        .iter()
                        .map(|r| r.expect("sound").offset.expect("read")),
                );
            }
            Event::Missed {
                partition,
                from,
                to,
            } => events.push((partition, from, to)),
            Event::Assigned(_) => {}
            Event::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events, [(place.tp(0), 0, 4)]);
    assert_eq!(read, [4, 5, 6, 7, 8, 9]);
    // Kept positions, and beginnings, that are gone.
    for options in [
        store.consumer(["t"]).resume(kept),
        store.consumer(["t"]).from(OffsetSpec::At(0)),
    ] {
        let refused = options.clone().on_missed(OnMissed::Fail).open();
        assert_eq!(refused.expect_err("gone").kind(), Kind::OffsetOutOfRange);
        let mut consumer = options.to_end().open().expect("opened");
        let mut missed = 0;
        while !matches!(consumer.poll(SOON).expect("an event"), Event::End) {
            missed += 1;
        }
        // One that was missed, one that is assigned, six records.
        assert_eq!(missed, 8);
    }
    let fails = fails.as_mut().expect("opened");
    for _ in 0..2 {
        let refused = fails.next().expect("more").expect_err("gone");
        assert_eq!(refused.kind(), Kind::OffsetOutOfRange, "{refused}");
    }
    assert_eq!(
        fails.seek(&place.tp(0), OffsetSpec::Start).expect("sought"),
        4
    );
    assert_eq!(offsets(fails).len(), 6);
}

#[test]
fn seek_goes_where_it_says() {
    let place = Place::with(2);
    place.fill(20);
    let mut consumer = place
        .front()
        .consumer(["t"])
        .to_end()
        .open()
        .expect("opened");
    for _ in 0..3 {
        consumer.next().expect("more").expect("a record");
    }
    // In the middle of a batch that is handed out record by record.
    assert_eq!(
        consumer
            .seek(&place.tp(0), OffsetSpec::EndMinus(1))
            .expect("sought"),
        9
    );
    assert_eq!(consumer.positions().get(&place.tp(0)), Some(9));
    let rest = offsets(&mut consumer);
    assert_eq!(
        rest.iter().filter(|(partition, _)| *partition == 0).count(),
        1
    );
    // Back, after the end.
    assert_eq!(
        consumer
            .seek(&place.tp(1), OffsetSpec::At(7))
            .expect("sought"),
        7
    );
    assert_eq!(offsets(&mut consumer), [(1, 7), (1, 8), (1, 9)]);
    let refused = consumer
        .seek(&place.tp(1), OffsetSpec::At(11))
        .expect_err("beyond");
    assert_eq!(refused.kind(), Kind::OffsetOutOfRange);
    let refused = consumer
        .seek(&place.tp(2), OffsetSpec::Start)
        .expect_err("not read");
    assert_eq!(refused.kind(), Kind::Usage);
}
