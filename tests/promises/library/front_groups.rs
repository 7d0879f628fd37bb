//! The front door's group consumer.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use mq::error::Kind;
use mq::types::TopicPartition;
use mq::{Event, GroupConsumer, GroupOptions, OffsetSpec, OnMissed, Record, RecordId};

use super::{Place, wait_until};

const SOON: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3600);

impl Place {
    /// A member that commits only when it has to.
    fn member(&self) -> GroupOptions {
        self.front().group("g").topics(["t"]).commit_interval(NEVER)
    }

    fn committed_of(&self, partition: i32) -> i64 {
        let group = mq::group::describe(&self.store, "g").expect("described");
        let offset = group
            .offsets
            .iter()
            .find(|offset| offset.partition == partition);
        offset
            .and_then(|offset| offset.committed_offset)
            .unwrap_or(0)
    }

    fn members(&self) -> usize {
        let group = mq::group::describe(&self.store, "g").expect("described");
        group.members.map_or(0, |members| members.len())
    }
}

fn take(consumer: &mut GroupConsumer, count: usize) -> Vec<Record> {
    let records = (0..count).map(|_| consumer.try_next(SOON).expect("in time").expect("a record"));
    records.collect()
}

/// Polls until something that is not idle comes.
fn next_event<T>(consumer: &mut GroupConsumer, pick: impl Fn(Event<'_>) -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < until, "it does not come");
        let event = consumer.poll(Duration::from_millis(100)).expect("an event");
        if let Some(picked) = pick(event) {
            return picked;
        }
    }
}

fn revoked(event: Event<'_>) -> Option<Vec<TopicPartition>> {
    match event {
        Event::Revoked(partitions) => Some(partitions),
        _ => None,
    }
}

#[test]
fn a_dropped_consumer_leaves_with_what_is_done_and_without_the_record_in_hand() {
    let place = Place::with(1);
    place.fill(100);
    let mut consumer = place.member().open().expect("joined");
    assert_eq!(take(&mut consumer, 8).last().expect("some").offset(), 7);
    assert_eq!(place.members(), 1);
    drop(consumer);
    assert_eq!((place.members(), place.committed_of(0)), (0, 7));
    // The next reads it again; by batches it is the batch that is in hand.
    let mut consumer = place.member().open().expect("joined");
    let first = next_event(&mut consumer, |event| match event {
        Event::Records(batch) => batch.iter().next().expect("one").expect("sound").offset,
        _ => None,
    });
    assert_eq!(first, 7);
    drop(consumer);
    assert_eq!((place.members(), place.committed_of(0)), (0, 7));
}

#[test]
fn a_panic_leaves_the_group_with_what_is_done() {
    let place = Place::with(1);
    place.fill(100);
    let options = place.member();
    let panics = catch_unwind(AssertUnwindSafe(move || {
        for record in options.open().expect("joined") {
            assert_ne!(record.expect("a record").offset(), 5, "as it should");
        }
    }));
    assert!(panics.is_err());
    assert_eq!((place.members(), place.committed_of(0)), (0, 5));
}

#[test]
fn an_early_return_by_an_error_does_not_commit_the_record_in_hand() {
    let place = Place::with(1);
    place.fill(10);
    let handle = |options: GroupOptions| -> Result<(), i64> {
        for record in options.open().expect("joined") {
            let record = record.expect("a record");
            if record.offset() == 3 {
                return Err(record.offset());
            }
        }
        Ok(())
    };
    assert_eq!(handle(place.member().to_end()), Err(3));
    assert_eq!((place.members(), place.committed_of(0)), (0, 3));
}

#[test]
fn the_record_in_hand_is_done_if_that_is_said() {
    let place = Place::with(1);
    place.fill(10);
    let mut consumer = place.member().open().expect("joined");
    let records = take(&mut consumer, 4);
    consumer.done(&records[3].id()).expect("in hand");
    consumer.done(&records[0].id()).expect("done already");
    let committed = consumer.commit().expect("committed");
    assert_eq!(committed.get(&place.tp(0)), Some(4));
    assert_eq!(place.committed_of(0), 4);
    take(&mut consumer, 2);
    // What is in hand is not among what a commit commits.
    assert_eq!(
        consumer.commit().expect("committed").get(&place.tp(0)),
        Some(5)
    );
    assert_eq!(place.committed_of(0), 5);
    consumer.close().expect("closed");
    assert_eq!((place.members(), place.committed_of(0)), (0, 5));
}

#[test]
fn what_is_done_is_committed_each_interval_and_when_all_is_read() {
    let place = Place::with(1);
    place.fill(10);
    let options = place.member().commit_interval(Duration::from_millis(50));
    let mut consumer = options.open().expect("joined");
    take(&mut consumer, 4);
    wait_until("committed", || place.committed_of(0) == 3);
    drop(consumer);
    let mut consumer = place.member().open().expect("joined");
    take(&mut consumer, 7);
    assert_eq!(place.committed_of(0), 3);
    assert!(consumer.try_next(Duration::ZERO).is_none());
    wait_until("committed", || place.committed_of(0) == 10);
}

#[test]
fn by_hand_records_are_done_in_any_order() {
    let place = Place::with(2);
    place.fill(40);
    let mut consumer = place.member().manual().open().expect("joined");
    let records = take(&mut consumer, 40);
    let id = |partition: i32, offset: i64| -> RecordId {
        let is_it = |r: &&Record| (r.partition(), r.offset()) == (partition, offset);
        records.iter().find(is_it).expect("read").id()
    };
    // Asking for more says nothing.
    assert!(consumer.try_next(Duration::ZERO).is_none());
    let mut committed = |done: &[(i32, i64)]| {
        for (partition, offset) in done {
            consumer.done(&id(*partition, *offset)).expect("handed out");
        }
        let reported = consumer.commit().expect("committed");
        let committed = [0, 1].map(|partition| place.committed_of(partition));
        let reported =
            [0, 1].map(|partition| reported.get(&place.tp(partition)).expect("assigned"));
        assert_eq!(reported, committed);
        committed
    };
    assert_eq!(committed(&[]), [0, 0]);
    assert_eq!(committed(&[(0, 3), (0, 1), (1, 0)]), [0, 1]);
    assert_eq!(committed(&[(0, 0), (0, 0)]), [2, 1]);
    assert_eq!(committed(&[(0, 2)]), [4, 1]);
    let rest: Vec<(i32, i64)> = (1..20).rev().map(|offset| (1, offset)).collect();
    assert_eq!(committed(&rest), [4, 20]);
    drop(consumer);
    assert_eq!(place.members(), 0);
    // What was not done comes again.
    let mut again = place.member().manual().to_end().open().expect("joined");
    let batches = next_event(&mut again, |event| match event {
        Event::Records(batch) => {
            let ids: Vec<_> = batch.iter().map(|r| batch.id(&r.expect("sound"))).collect();
            Some(ids)
        }
        _ => None,
    });
    assert_eq!(batches.first().map(RecordId::offset), Some(4));
    // Batches are done record by record, too.
    again.done(&batches[0]).expect("handed out");
    assert_eq!(
        again.commit().expect("committed").get(&place.tp(0)),
        Some(5)
    );
    let foreign = consumer_of(&place, "other").id();
    assert_eq!(
        again.done(&foreign).expect_err("of another").kind(),
        Kind::Fenced
    );
}

/// A record that another group's consumer read.
fn consumer_of(place: &Place, group: &str) -> Record {
    let mut consumer = place
        .front()
        .group(group)
        .topics(["t"])
        .open()
        .expect("joined");
    take(&mut consumer, 1).remove(0)
}

#[test]
fn a_partition_moves_once_the_program_has_stopped() {
    for manual in [false, true] {
        let place = Place::with(2);
        place.fill(20);
        let options = if manual {
            place.member().manual()
        } else {
            place.member()
        };
        let mut first = options.clone().open().expect("joined");
        let mut ids = Vec::new();
        while ids.len() < 20 {
            ids.extend(next_event(&mut first, |event| match event {
                Event::Records(batch) => {
                    let ids = batch.iter().map(|r| batch.id(&r.expect("sound")));
                    Some(ids.collect::<Vec<_>>())
                }
                _ => None,
            }));
        }
        let mut second = options.open().expect("joined");
        let moving = next_event(&mut first, revoked);
        assert_eq!(moving.len(), 1, "{moving:?}");
        let tp = &moving[0];
        // It is not the second's as long as the first does not poll.
        let until = Instant::now() + Duration::from_millis(700);
        while Instant::now() < until {
            match second.poll(Duration::from_millis(50)).expect("an event") {
                Event::Idle => {}
                other => panic!("{other:?}"),
            }
        }
        // What it is done with until then is committed.
        let done = ids.iter().filter(|id| id.topic_partition() == tp).take(3);
        if manual {
            done.for_each(|id| first.done(id).expect("still this member's"));
        }
        assert!(matches!(first.poll(Duration::ZERO), Ok(Event::Idle)));
        let came = next_event(&mut second, |event| match event {
            Event::Assigned(partitions) => Some(partitions),
            _ => None,
        });
        assert_eq!(&came, &moving);
        let due = if manual { 3 } else { 10 };
        assert_eq!(place.committed_of(tp.partition), due, "manual: {manual}");
        if manual {
            let one = ids
                .iter()
                .find(|id| id.topic_partition() == tp)
                .expect("one");
            assert_eq!(first.done(one).expect_err("moved").kind(), Kind::Fenced);
            let read = take(&mut second, 1);
            assert_eq!(read[0].offset(), 3);
            second.done(&read[0].id()).expect("its own by now");
        }
    }
}

#[test]
fn a_record_that_takes_long_keeps_only_its_own_partition() {
    let place = Place::with(2);
    place.fill(20);
    let mut first = place.member().open().expect("joined");
    let in_hand = take(&mut first, 1).remove(0);
    // It does not ask for the next; the other partition moves nevertheless, and only that.
    let mut second = place.member().to_end().open().expect("joined");
    let mut read = BTreeSet::new();
    for record in take(&mut second, 10) {
        read.insert(record.partition());
    }
    assert_eq!(read, BTreeSet::from([1 - in_hand.partition()]));
    let next = take(&mut first, 1).remove(0);
    assert_eq!((next.partition(), next.offset()), (in_hand.partition(), 1));
}

#[test]
fn nothing_is_read_twice_or_skipped_while_members_come_and_go() {
    let place = Place::with(4);
    place.fill(400);
    let worker = |options: GroupOptions, most: usize| {
        spawn(move || {
            let mut seen = Vec::new();
            let mut consumer = options.open().expect("joined");
            while seen.len() < most {
                let Some(record) = consumer.next() else { break };
                let record = record.expect("a record");
                seen.push((record.partition(), record.offset()));
                sleep(Duration::from_millis(1));
                // The last one is done, too.
                consumer.done(&record.id()).expect("in hand");
            }
            consumer.close().expect("closed");
            seen
        })
    };
    let mut workers = Vec::new();
    for most in [40, 60, 1000, 1000] {
        workers.push(worker(place.member().to_end(), most));
        sleep(Duration::from_millis(30));
    }
    let mut seen: Vec<(i32, i64)> = Vec::new();
    for worker in workers {
        seen.extend(worker.join().expect("no panic"));
    }
    seen.sort_unstable();
    let all: Vec<(i32, i64)> = (0..4).flat_map(|p| (0..100).map(move |o| (p, o))).collect();
    assert_eq!(seen, all);
    let committed: Vec<i64> = (0..4).map(|p| place.committed_of(p)).collect();
    assert_eq!(committed, [100; 4]);
}

#[test]
fn a_topic_that_is_deleted_is_lost() {
    // By name it is the end.
    let place = Place::with(1);
    place.fill(3);
    let mut named = place.member().open().expect("joined");
    take(&mut named, 3);
    place.admin.delete_topic(&place.topic).expect("deleted");
    let until = Instant::now() + SOON;
    let mut lost = 0;
    let reported = loop {
        assert!(Instant::now() < until);
        match named.poll(Duration::from_millis(100)) {
            Ok(Event::Lost(partitions)) => lost += partitions.len(),
            Ok(Event::Idle) => {}
            Ok(other) => panic!("{other:?}"),
            Err(e) => break e,
        }
    };
    assert_eq!((reported.kind(), lost), (Kind::UnknownTopic, 1));
    assert!(matches!(named.poll(SOON), Ok(Event::End)));
    assert!(named.next().is_none());
    drop(named);

    // By a pattern the others go on, and one that is created later is read from its start.
    place.create(1);
    place.fill(5);
    let options = place
        .front()
        .group("p")
        .matching(["t*"])
        .from(OffsetSpec::End);
    let mut consumer = options.open().expect("joined");
    next_event(&mut consumer, |event| {
        matches!(event, Event::Assigned(_)).then_some(())
    });
    place.admin.delete_topic(&place.topic).expect("deleted");
    let lost = next_event(&mut consumer, |event| match event {
        Event::Lost(partitions) => Some(partitions),
        _ => None,
    });
    assert_eq!(lost, [place.tp(0)]);
    place.create(1);
    place.fill(2);
    let read: Vec<i64> = take(&mut consumer, 2).iter().map(Record::offset).collect();
    assert_eq!(read, [0, 1]);
}

#[test]
fn a_member_begins_at_the_given_offset_and_ends_at_the_end() {
    let place = Place::with(1);
    place.fill(10);
    let read = |options: GroupOptions| {
        let consumer = options.to_end().open().expect("joined");
        let offsets = consumer.map(|record| record.expect("a record").offset());
        offsets.collect::<Vec<_>>()
    };
    assert_eq!(
        read(place.member().from(OffsetSpec::EndMinus(3))),
        [7, 8, 9]
    );
    assert!(
        read(place.member().from(OffsetSpec::Start)).is_empty(),
        "it goes on"
    );
    let reported = place
        .front()
        .group("h")
        .topics(["t"])
        .from(OffsetSpec::At(11))
        .open();
    let mut consumer = reported.expect("joined");
    let reported = consumer
        .try_next(SOON)
        .expect("reported")
        .expect_err("beyond");
    assert_eq!(reported.kind(), Kind::OffsetOutOfRange);
}

#[test]
fn what_is_gone_is_reported_to_a_member() {
    let place = Place::with(1);
    place.fill(2);
    let mut consumer = place.member().open().expect("joined");
    take(&mut consumer, 2);
    drop(consumer);
    place.fill(8);
    place.raise_log_start(0, 5);
    let mut consumer = place.member().to_end().open().expect("joined");
    let missed = next_event(&mut consumer, |event| match event {
        Event::Missed { from, to, .. } => Some((from, to)),
        _ => None,
    });
    assert_eq!(missed, (1, 5));
    assert_eq!(
        consumer
            .map(|record| record.expect("a record").offset())
            .next(),
        Some(5)
    );
}

#[test]
fn a_member_that_must_miss_nothing_fails() {
    let place = Place::with(1);
    place.fill(2);
    let member = || place.member().on_missed(OnMissed::Fail);
    let mut consumer = member().open().expect("joined");
    take(&mut consumer, 2);
    consumer.commit().expect("committed");
    place.fill(8);
    place.raise_log_start(0, 5);
    // While it reads, each attempt fails, and nothing is passed over.
    for _ in 0..2 {
        let reported = consumer
            .try_next(SOON)
            .expect("reported")
            .expect_err("gone");
        assert_eq!(
            (reported.kind(), reported.offset()),
            (Kind::OffsetOutOfRange, Some(2))
        );
    }
    consumer.close().expect("closed");
    assert_eq!(place.committed_of(0), 2);
    // As it begins, the membership ends.
    let mut consumer = member().open().expect("joined");
    let reported = consumer
        .try_next(SOON)
        .expect("reported")
        .expect_err("gone");
    assert_eq!(reported.kind(), Kind::OffsetOutOfRange);
    let words = "t:0: offsets 2 to 4 were removed before they were read";
    assert!(reported.to_string().contains(words), "{reported}");
    assert!(consumer.try_next(SOON).is_none());
    drop(consumer);
    assert_eq!(place.committed_of(0), 2);
    // And a group that begins below the log start.
    let group = place.front().group("h").topics(["t"]);
    let below = group.from(OffsetSpec::At(1)).on_missed(OnMissed::Fail);
    let mut consumer = below.open().expect("joined");
    let reported = consumer
        .try_next(SOON)
        .expect("reported")
        .expect_err("gone");
    assert!(
        reported.to_string().contains("offsets 1 to 4 were removed"),
        "{reported}"
    );
}

#[test]
fn a_closer_ends_a_member_that_waits() {
    let place = Place::with(1);
    let mut consumer = place.member().open().expect("joined");
    let closer = consumer.closer();
    let waits = spawn(move || {
        let count = consumer.by_ref().count();
        (count, consumer)
    });
    place.fill(3);
    closer.wake();
    wait_until("read", || place.committed_of(0) == 3);
    closer.close();
    let (count, consumer) = waits.join().expect("no panic");
    assert_eq!(count, 3);
    consumer.close().expect("closed");
    assert_eq!(place.members(), 0);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let place = Place::with(1);
    let store = place.front();
    for (options, kind) in [
        (store.group("g"), Kind::Usage),
        (store.group("").topics(["t"]), Kind::Usage),
        (store.group("g").topics(["a/b"]), Kind::InvalidTopic),
        (store.group("g").topics(["nowhere"]), Kind::UnknownTopic),
        (store.group("g").matching(["a["]), Kind::Usage),
        (store.group("g").topics(["t"]).instance_id(""), Kind::Usage),
        (
            store
                .group("g")
                .topics(["t"])
                .session_timeout(Duration::from_millis(1)),
            Kind::Usage,
        ),
    ] {
        assert_eq!(options.open().expect_err("refused").kind(), kind);
    }
    let one = store.group("g").topics(["t"]).instance_id("one");
    let _holder = one.clone().open().expect("joined");
    assert_eq!(one.open().expect_err("it lives").kind(), Kind::Busy);
}

#[test]
fn a_member_that_the_group_removed_has_lost_its_partitions_and_joins_again() {
    let place = Place::with(1);
    place.fill(20);
    let mut consumer = place.member().manual().open().expect("joined");
    let before = take(&mut consumer, 5);
    // As another member does with one whose process stood still.
    let file = place.store.path().join("groups/g/group.json");
    let text = std::fs::read(&file).expect("read");
    let group = mq::store::json_file::decode(&text, file.display());
    let mut group: serde_json::Value = group.expect("JSON");
    group["members"] = serde_json::json!([]);
    let new = file.with_extension("new");
    std::fs::write(&new, mq::store::json_file::encode(&group)).expect("written");
    std::fs::rename(&new, &file).expect("replaced");
    let lost = next_event(&mut consumer, |event| match event {
        Event::Lost(partitions) => Some(partitions),
        Event::Records(_) => panic!("it has no partition"),
        _ => None,
    });
    assert_eq!(lost, [place.tp(0)]);
    let reported = consumer.done(&before[0].id()).expect_err("lost");
    assert_eq!(
        (reported.kind(), reported.group()),
        (Kind::Fenced, Some("g"))
    );
    assert_eq!(
        (reported.topic(), reported.partition()),
        (Some("t"), Some(0))
    );
    // Nothing was done: all of it comes again, and can be done.
    let again = take(&mut consumer, 5);
    assert_eq!(again[0].offset(), 0);
    consumer.done(&again[0].id()).expect("this member's");
    assert_eq!(
        consumer.commit().expect("committed").get(&place.tp(0)),
        Some(1)
    );
}

#[test]
fn the_tool_says_what_is_gone() {
    let place = Place::with(1);
    place.fill(2);
    let mut consumer = place.member().open().expect("joined");
    take(&mut consumer, 2);
    drop(consumer);
    place.fill(8);
    place.raise_log_start(0, 5);
    let shell = crate::cli::Shell::new();
    let mut command = shell.command("mq-consume", &["-g", "g", "-e", "t"]);
    command.env("MQ_STORE", place.store.path());
    let done = crate::cli::run(command, b"");
    assert_eq!(done.status, 0, "{}", done.err);
    let warns = "group 'g' left t:0 at offset 1, which is gone: going on from 5";
    assert!(done.err.contains(warns), "{}", done.err);
    assert_eq!(done.out.len(), 10);
}
