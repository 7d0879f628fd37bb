//! Compaction against a model, on a disk that loses what was not synced: after any history of appends,
//! passes, kills and power cuts, a read from the start gives for each key its last value or its deletion,
//! in offset order, and nothing beyond the compacted part is missing.

mod rig;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mq::client::open_reader;
use mq::error::{Error, Kind};
use mq::partition::compaction::{Compacted, Effort, PassStatus};
use mq::partition::{Committer, PartitionWriter, raise_log_start};
use mq::types::Offset;

use crate::common::rig::TIMEOUT;
use crate::common::sim_disk::seeded;
use crate::common::switches::is_long;
use crate::common::tally::Tally;
use rig::{Rig, t0, take_batch};

const RETENTION_MS: i64 = 1_000;
const SMALL: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "100"),
    ("delete.retention.ms", "1000"),
];

/// Keys come again, some are deleted; several segments.
fn some_written(pairs: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(pairs);
    for n in 0..24_u64 {
        let rows = [
            (Some(n % 5), n % 7 != 0),
            (Some(n % 3 + 10), true),
            (Some(n), n % 2 == 0),
        ];
        rig.append(&rows[..1 + n as usize % 3]).expect("appended");
    }
    rig.append(&[(None, true)]).expect("appended");
    rig
}

fn pass_of(rig: &Rig) -> Compacted {
    rig.pass(true).expect("a pass")
}

#[test]
fn a_pass_leaves_the_last_value_of_each_key() {
    let rig = some_written(SMALL);
    let before = rig.page();
    let done = pass_of(&rig);
    assert_eq!(done.status, PassStatus::Done);
    assert_eq!(
        done.cleaned_to,
        rig.model.end(),
        "the active segment was closed first"
    );
    assert_eq!(done.records_before, rig.model.rows.len() as u64);
    assert!(done.records_after < done.records_before && done.bytes_after < done.bytes_before);
    assert_eq!((done.keyless, done.damaged.len()), (1, 0));
    rig.check("after a pass");
    let after = rig.page();
    assert!(
        after.generation >= before.generation + 2,
        "each swap begins two"
    );
    assert_eq!(after.tail.end, before.tail.end);
    rig.clone().aftermath("after a pass");
    // Nothing is left to do.
    let again = pass_of(&rig);
    assert_eq!(again.records_before, again.records_after);
}

/// Each way in which a pass may end early, with what follows.
#[test]
fn a_pass_may_end_at_each_operation() {
    let _tally = Tally::start();
    let rig = some_written(SMALL);
    pass_of(&rig);
    let mut rig = rig.on(rig.sim.kill());
    for n in 0..10_u64 {
        rig.append(&[(Some(n % 4), n % 3 != 0), (Some(20 + n), true)])
            .expect("appended");
    }
    // Deletions of the first pass are dropped in the one that ends early.
    rig.clock
        .pass(Duration::from_millis(2 * RETENTION_MS as u64));
    let copy = || rig.on(rig.sim.if_crashed(&mut |n| n - 1));
    let first = copy();
    first.check("before");
    // The first use after a boot recovers the log, and notes the clocks.
    let prepared = |rig: &Rig| {
        let _ = rig.pass(false).expect("a pass");
        rig.clock.pass(Duration::from_secs(11));
        rig.on(rig.sim.process())
    };
    let counted = prepared(&copy());
    let done = pass_of(&counted);
    let ops = counted.sim.ops();
    assert!(done.records_after < done.records_before);
    assert!(counted.page().deletions_gone > 0, "deletions are dropped");
    assert!(ops > 30, "{ops}");
    let stride = if is_long() { 1 } else { 3 };
    for n in (1..=ops).step_by(stride) {
        let doomed = prepared(&copy());
        doomed.sim.stop_at(n);
        let ended = doomed.pass(true);
        assert!(ended.is_err() || doomed.sim.is_dead(), "{n} of {ops}");
        let at = doomed.sim.trace().last().cloned().unwrap_or_default();
        let what = format!("a pass that ended at {n} of {ops} ({at})");
        for (how, left) in [
            ("all lost", doomed.sim.if_crashed(&mut |_| 0)),
            ("nothing lost", doomed.sim.if_crashed(&mut |n| n - 1)),
            ("some lost", doomed.sim.if_crashed(&mut seeded(n))),
            ("others lost", doomed.sim.if_crashed(&mut seeded(n + 1000))),
        ] {
            doomed.on(left).aftermath(&format!("{what}, {how}"));
        }
        doomed
            .on(doomed.sim.kill())
            .aftermath(&format!("{what}, killed"));
    }
}

/// An error at each operation: the pass ends, no replica is offline, and nothing is left behind.
#[test]
fn a_pass_may_fail_at_each_operation() {
    let _tally = Tally::start();
    let rig = some_written(SMALL);
    let copy = || {
        let rig = rig.on(rig.sim.if_crashed(&mut |n| n - 1));
        rig.pass(false).expect("recovered");
        let ready = rig.on(rig.sim.process());
        ready.store().expect("a store");
        ready
    };
    let counted = copy();
    let before = counted.sim.ops();
    pass_of(&counted);
    let ops = counted.sim.ops();
    for n in (before + 1..=ops).step_by(if is_long() { 1 } else { 2 }) {
        for errno in [rustix::io::Errno::IO, rustix::io::Errno::NOSPC] {
            let failing = copy();
            failing.sim.fail_at(n, errno);
            let _ = failing.pass(true);
            let at = failing
                .sim
                .trace()
                .get(n as usize - 1)
                .cloned()
                .unwrap_or_default();
            let what = format!("a pass with {errno:?} at {n} of {ops} ({at})");
            let next = failing.on(failing.sim.process());
            // A failed sync of the log itself, before the pass, takes the replica offline.
            let is_of_log = at.starts_with("sync") && !at.contains(".cleaned");
            if is_of_log && next.page().offline.is_some() {
                continue;
            }
            assert_eq!(next.page().offline, None, "{what}");
            next.aftermath(&what);
        }
    }
}

/// Random histories.
#[test]
fn the_model_holds_after_any_history() {
    let _tally = Tally::start();
    let histories = if is_long() { 2_000 } else { 30 };
    for seed in 0..histories {
        let mut random = seeded(seed);
        let policy = if seed % 3 == 0 {
            "compact,delete"
        } else {
            "compact"
        };
        let never = if seed % 4 == 0 { "never" } else { "1" };
        let mut pairs = SMALL.to_vec();
        pairs[0].1 = policy;
        pairs.push(("flush.messages", never));
        let mut rig = Rig::new(&pairs);
        let mut trail = Vec::new();
        for _ in 0..25 {
            let step = random(12);
            trail.push(step);
            let what = format!("history {seed} {trail:?}");
            match step {
                0..=4 => {
                    let rows: Vec<(Option<u64>, bool)> = (0..1 + random(5))
                        .map(|_| {
                            let key = random(12) as u64;
                            ((key < 11).then_some(key), random(4) > 0)
                        })
                        .collect();
                    rig.append(&rows).unwrap_or_else(|e| panic!("{what}: {e}"));
                }
                5 => {
                    rig.pass(false).unwrap_or_else(|e| panic!("{what}: {e}"));
                }
                6 => {
                    // Perhaps with room for a few keys only: then it goes through the log again.
                    let done = rig.pass_with(Effort {
                        is_forced: true,
                        key_bytes_max: if random(2) == 0 { 8 * 24 } else { 1 << 20 },
                        ..Effort::default()
                    });
                    let done = done.unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(done.status, PassStatus::Done, "{what}");
                }
                7 => {
                    let doomed = rig.on(rig.sim.process());
                    doomed.sim.stop_at(1 + random(40) as u64);
                    let _ = doomed.clone().append(&[(Some(3), true)]);
                    rig.sim = doomed.sim.kill();
                    rig.model.next_value += 1;
                    rig.take_in(&what);
                }
                8 => {
                    // It may end before the store is open.
                    let doomed = rig.on(rig.sim.process());
                    doomed.sim.stop_at(1 + random(90) as u64);
                    let _ = doomed.pass(true);
                    rig.sim = doomed.sim.kill();
                }
                9 => {
                    let wait = Duration::from_millis(random(3 * RETENTION_MS as usize) as u64);
                    rig.clock.pass(wait + Duration::from_secs(10));
                }
                10 => {
                    rig.sim = rig.sim.crash(&mut |n| random(n));
                }
                _ if policy == "compact,delete" && rig.model.end() > 0 => {
                    let to = random(rig.model.end() as usize + 1) as Offset;
                    let to = to.min(rig.page().high_watermark);
                    if to > rig.model.log_start {
                        let store = rig.store().expect("a store");
                        let mut writer =
                            PartitionWriter::open(&store, &t0(), TIMEOUT).expect("open");
                        raise_log_start(&mut writer, to, TIMEOUT).expect("raised");
                        rig.model.log_start = to;
                    }
                }
                _ => {}
            }
            rig.check(&what);
        }
        rig.aftermath(&format!("history {seed} {trail:?}"));
    }
}

/// A deletion stays until `delete.retention.ms` after the pass that first saw it, and the page says once
/// it is gone, also after the page is lost.
#[test]
fn a_deletion_stays_for_its_time() {
    let mut rig = Rig::new(SMALL);
    rig.append(&[(Some(1), true), (Some(2), true)])
        .expect("appended");
    rig.append(&[(Some(1), false)]).expect("appended");
    pass_of(&rig);
    assert!(
        rig.read().expect("read").contains_key(&2),
        "the deletion is there"
    );
    rig.clock
        .pass(Duration::from_millis(RETENTION_MS as u64 - 100));
    pass_of(&rig);
    assert!(
        rig.read().expect("read").contains_key(&2),
        "it is not old enough"
    );
    assert_eq!(rig.page().deletions_gone, 0);
    rig.clock.pass(Duration::from_millis(101));
    pass_of(&rig);
    assert_eq!(rig.read().expect("read").keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(rig.page().deletions_gone, 3);
    rig.check("once it is gone");
    crate::crash::remove_page(&rig.sim);
    let rig = rig.on(rig.sim.kill());
    rig.check("without its page");
    assert_eq!(rig.page().deletions_gone, 3, "the checkpoint has it");
}

/// A clock that jumped drops no deletion.
#[test]
fn no_deletion_goes_by_a_clock_that_jumped() {
    let mut rig = Rig::new(SMALL);
    rig.append(&[(Some(1), true)]).expect("appended");
    rig.append(&[(Some(1), false)]).expect("appended");
    pass_of(&rig);
    // After a boot the clocks are only noted.
    let rig = rig.on(rig.sim.crash_losing_nothing());
    rig.check("after a boot");
    rig.clock.pass(Duration::from_secs(5));
    pass_of(&rig);
    assert!(rig.read().expect("read").contains_key(&1));
    rig.clock.pass(Duration::from_secs(11));
    pass_of(&rig);
    assert!(
        !rig.read().expect("read").contains_key(&1),
        "the clock is believed by now"
    );
}

/// A disk without room: the pass ends, and nothing changed.
#[test]
fn a_full_disk_ends_a_pass() {
    let rig = some_written(SMALL);
    rig.sim.set_free_bytes(64 << 20);
    let refused: Error = rig.pass(true).expect_err("no room");
    assert_eq!(refused.kind(), Kind::DiskFull);
    rig.sim.set_free_bytes(1 << 40);
    rig.aftermath("a disk that was full");
}

/// The dirty ratio says when.
#[test]
fn a_pass_begins_when_enough_is_dirty() {
    let mut rig = some_written(SMALL);
    let done = rig.pass(false).expect("a pass");
    assert_eq!(done.status, PassStatus::Done);
    let again = rig.pass(false).expect("a pass");
    assert_eq!(again.status, PassStatus::NotDue);
    let dirty = |rig: &Rig| {
        let store = rig.store().expect("a store");
        let replica = mq::partition::Replica::open(&store, &t0(), 0).expect("a replica");
        let found = mq::partition::compaction::dirty_part(&replica).expect("looked");
        found.expect("a page")
    };
    let found = dirty(&rig);
    assert_eq!((found.first_offset, found.bytes), (done.cleaned_to, 0));
    assert_eq!((found.of_bytes, found.ratio()), (done.bytes_after, 0.0));
    for n in 0..40 {
        rig.append(&[(Some(n % 2), true)]).expect("appended");
    }
    assert!(dirty(&rig).ratio() > 0.5, "{:?}", dirty(&rig));
    assert_eq!(rig.pass(false).expect("a pass").status, PassStatus::Done);
    rig.aftermath("a pass that was due");
}

/// With more keys than there is room for, a pass goes through the log again; with a bound of bytes it leaves
/// the rest.
#[test]
fn keys_without_room_take_several_rounds() {
    let rig = some_written(SMALL);
    let few = Effort {
        is_forced: true,
        key_bytes_max: 8 * 24,
        ..Effort::default()
    };
    let done = rig.pass_with(few).expect("a pass");
    assert_eq!(
        (done.status, done.cleaned_to),
        (PassStatus::Done, rig.model.end())
    );
    assert_eq!(done.records_before, rig.model.rows.len() as u64);
    rig.aftermath("a pass of several rounds");
    let rig = some_written(SMALL);
    let bounded = Effort {
        dirty_bytes_max: Some(1),
        ..Effort::default()
    };
    let mut rounds = 0;
    while rig.pass_with(bounded).expect("a pass").status == PassStatus::More {
        rounds += 1;
        rig.check("after a part");
    }
    assert!(rounds > 1, "{rounds}");
    rig.aftermath("a pass in parts");
}

/// Records within `min.compaction.lag.ms` stay; after `max.compaction.lag.ms` they are compacted, also
/// those of an idle topic's active segment.
#[test]
fn the_lags_are_kept() {
    let mut pairs = SMALL.to_vec();
    pairs.push(("min.compaction.lag.ms", "60000"));
    let rig = some_written(&pairs);
    let done = pass_of(&rig);
    assert_eq!(
        (done.records_before, done.cleaned_to),
        (0, 0),
        "all of it is too young"
    );
    rig.clock.pass(Duration::from_secs(61));
    assert!(pass_of(&rig).cleaned_to > 0);
    rig.check("a lag that is over");

    let mut pairs = SMALL.to_vec();
    pairs.extend([
        ("max.compaction.lag.ms", "60000"),
        ("min.cleanable.dirty.ratio", "1"),
    ]);
    let mut rig = some_written(&pairs);
    assert_eq!(pass_of(&rig).status, PassStatus::Done);
    rig.append(&[(Some(1), true)]).expect("appended");
    assert_eq!(rig.pass(false).expect("a pass").status, PassStatus::NotDue);
    rig.clock.pass(Duration::from_secs(61));
    let done = rig.pass(false).expect("a pass");
    assert_eq!(
        (done.status, done.cleaned_to),
        (PassStatus::Done, rig.model.end())
    );
    rig.aftermath("a lag that is at its most");
}

/// A damaged segment stays, the others go on, and no deletion behind it is dropped meanwhile.
#[test]
fn a_damaged_segment_stays() {
    let mut rig = Rig::new(SMALL);
    for n in 0..30 {
        rig.append(&[(Some(n % 7), true), (Some(n % 3 + 10), n % 5 != 0)])
            .expect("appended");
    }
    // Its older values are in the segment that is damaged, too.
    rig.append(&[(Some(2), false)]).expect("appended");
    let dir = mq::disk::Disk::open_dir(&rig.sim, Path::new("/store/brokers/0/logs/t-0"));
    let dir = dir.expect("the replica");
    let name = "00000000000000000000.log";
    let log = dir
        .open(name, mq::disk::Open::Write)
        .expect("the first segment");
    let mut byte = [0];
    log.read_at(&mut byte, 100).expect("read");
    log.write_at(&[byte[0] ^ 1], 100).expect("spoiled");
    let before = log.len().expect("len");
    for _ in 0..2 {
        let done = pass_of(&rig);
        assert_eq!((done.damaged.len(), done.cleaned_to), (1, 0), "{done:?}");
        assert!(done.damaged[0].contains(name), "{done:?}");
        assert!(
            done.records_after < 20,
            "the others are compacted: {done:?}"
        );
        rig.clock.pass(Duration::from_secs(100));
    }
    assert_eq!(log.len().expect("len"), before);
    assert_eq!(rig.page().deletions_gone, 0);
    log.write_at(&byte, 100).expect("mended");
    rig.aftermath("a segment that was damaged");
}

/// A repair cuts the log below the offset up to which it was compacted: what comes there next is not
/// compacted, and the repair says what that means.
#[test]
fn a_log_that_is_cut_is_not_compacted_beyond() {
    let mut rig = some_written(SMALL);
    let cleaned_to = pass_of(&rig).cleaned_to;
    let dir = mq::disk::Disk::open_dir(&rig.sim, Path::new("/store/brokers/0/logs/t-0"));
    let dir = dir.expect("the replica");
    let mut logs: Vec<String> = dir
        .list(".")
        .expect("listed")
        .into_iter()
        .map(|it| it.name)
        .collect();
    logs.retain(|name| name.ends_with(".log") && dir.len_of(name).expect("len") > 0);
    logs.sort();
    let log = dir
        .open(logs.last().expect("one"), mq::disk::Open::Write)
        .expect("the last one");
    log.write_at(b"xxxx", 30).expect("spoiled");
    let store = rig.store().expect("a store");
    let mut writer = PartitionWriter::open(&store, &t0(), TIMEOUT).expect("open");
    let end = writer.repair().expect("repaired").tail.end;
    assert!(end < cleaned_to, "{end} {cleaned_to}");
    let notes = store.take_notes().join("\n");
    assert!(notes.contains("the earlier ones are gone, too"), "{notes}");
    let checkpoint = "cleaner-offset-checkpoint";
    assert!(dir.id(checkpoint).is_err(), "it would be beyond the end");
    let kept = rig.read().expect("read");
    rig.model.rows = kept;
    for n in 0..20 {
        rig.append(&[(Some(n % 2), true)]).expect("appended");
    }
    rig.aftermath("a log that was cut");
}

/// Readers and writers that are open go on while segments are replaced and joined.
#[test]
fn open_readers_and_writers_go_on() {
    let mut rig = some_written(SMALL);
    let store = rig.store().expect("a store");
    let mut reader = open_reader(&store, &t0()).expect("a reader");
    let mut writer = PartitionWriter::open(&store, &t0(), TIMEOUT).expect("a writer");
    let mut committer = Committer::open(&store, &t0(), TIMEOUT).expect("a committer");
    let (mut from, mut buf, mut found) = (0, Vec::new(), BTreeMap::new());
    for n in 0.. {
        rig.append_with(&mut writer, &[(Some(n % 3), true)])
            .expect("appended");
        committer.commit(rig.model.end()).expect("committed");
        if n % 3 == 1 {
            pass_of(&rig);
        }
        if reader.read(from, 100, &mut buf).expect("read") == 0 || n > 60 {
            break;
        }
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            from = take_batch(&mut rest, from, &mut found);
        }
    }
    assert!(from > 40, "{from}");
    for (offset, row) in found {
        assert_eq!(rig.model.rows.get(&offset), Some(&row));
    }
    rig.aftermath("open readers and writers");
}
