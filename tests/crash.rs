//! Crashes at every operation: of each workload, one process dies (or meets an error) at its nth
//! operation for each n, then the next one looks at what is left, appends and reads; and the same
//! for power cuts, and for a second crash within the recovery from the first.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::history::{Event, check};
use common::rig::{Ledger, PATIENCE, Worker, log_of, open, tp, view};
use common::sim_disk::{SimDisk, first_choices, seeded};
use common::tally::Tally;
use mq::client::Admin;
use mq::disk::Disk;
use mq::error::{Kind, Result};
use mq::store::{PAGE_FILE, topics};
use mq::types::TopicPartition;
use rustix::io::Errno;

const STORE: &str = "/store";
const SYNC_EACH: &[(&str, &str)] = &[("index.interval.bytes", "0")];
const ROLLS: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "200")];
/// Every append has the same steps: index entries each time.
const ROLLS_EACH: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "0")];
const SYNC_FIVE: &[(&str, &str)] = &[("flush.messages", "5"), ("segment.bytes", "1024")];
const SYNC_NEVER: &[(&str, &str)] = &[("flush.messages", "never"), ("index.interval.bytes", "0")];
const NEVER_ROLLS: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "100"),
];

fn long() -> bool {
    std::env::var_os("MQ_LONG").is_some()
}

fn worker(sim: &SimDisk, id: u32) -> Result<Worker> {
    let seen = sim.clone();
    Ok(Worker::new(
        open(Arc::new(sim.clone()), Path::new(STORE))?,
        id,
        move || !seen.is_dead(),
    ))
}

/// What comes before the faults, and what they fall into.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    before: fn(&SimDisk, &mut Ledger) -> Result<()>,
    run: fn(&SimDisk, &mut Ledger) -> Result<()>,
}

/// The disk and the ledger before the faults, and the process that will meet them.
fn prepare(workload: &Workload) -> (SimDisk, Ledger) {
    let sim = SimDisk::new();
    let mut ledger = Ledger::default();
    (workload.before)(&sim, &mut ledger).expect("the preparation has no faults");
    (sim.process(), ledger)
}

/// A process that comes after: everything promised must be there, and work goes on.
fn aftermath(sim: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let mut worker = worker(sim, 9)?;
    let expected = ledger.views.clone();
    for (topic, states) in expected {
        let found = view(&worker.store, &topic)?;
        assert!(
            states.contains(&found),
            "{topic} is {found:?}, which is none of {states:?}"
        );
        let Some((partitions, _)) = found.clone() else {
            worker.create(ledger, &topic, 2, SYNC_EACH)?;
            worker.append(ledger, &tp(&topic, 1), 1, 20)?;
            continue;
        };
        for partition in 0..partitions as i32 {
            let tp = tp(&topic, partition);
            worker.read(ledger, &tp)?;
            worker.append(ledger, &tp, 2, 30)?;
            // Who appends has synced what the topic file says; who only looked has not.
            ledger.views.insert(topic.clone(), vec![found.clone()]);
            worker.read(ledger, &tp)?;
            // Once a writer has been there, nothing is left for a deep look to find, not even what
            // reads would do without.
            let looked = Admin::new(&worker.store, PATIENCE).verify(&tp, true)?;
            assert!(looked.findings.is_empty(), "{tp}: {:#?}", looked.findings);
        }
    }
    Ok(())
}

/// Looks at what a fault left, and fails the test if that is not as promised.
fn judge(what: &str, sim: &SimDisk, ledger: &Ledger) -> usize {
    Tally::case();
    let mut ledger = ledger.clone();
    ledger.errors.clear();
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| aftermath(sim, &mut ledger)));
    let failure = match outcome {
        Ok(Ok(())) => {
            let violations = check(&ledger.history);
            (!violations.is_empty()).then(|| format!("{violations:#?}"))
        }
        Ok(Err(e)) => Some(format!("{:?}: {e} ({:?})", e.kind(), e.cure_text())),
        Err(panic) => Some(format!("panic: {:?}", panic.downcast_ref::<String>())),
    };
    match failure {
        None => sim.ops() as usize,
        Some(text) => panic!(
            "{what}: {text}\nerrors: {:#?}\ntrace: {:#?}",
            ledger.errors,
            sim.trace()
        ),
    }
}

fn after_power_cut(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.history.push(Event::PowerCut);
    ledger
}

/// Runs the workload with the fault planned by `plan`; the disk and the ledger then, and whether
/// the fault was met.
fn run_with(workload: &Workload, plan: impl Fn(&SimDisk)) -> (SimDisk, Ledger) {
    let (sim, mut ledger) = prepare(workload);
    plan(&sim);
    let _ = (workload.run)(&sim, &mut ledger);
    (sim, ledger)
}

fn count_ops(workload: &Workload) -> u64 {
    let (sim, mut ledger) = prepare(workload);
    let outcome = (workload.run)(&sim, &mut ledger);
    assert!(
        outcome.is_ok(),
        "{}: {:?} {:?}",
        workload.name,
        outcome.err(),
        ledger.errors
    );
    assert_eq!(
        check(&ledger.history),
        [],
        "{} without faults",
        workload.name
    );
    sim.ops()
}

/// Every way in which the nth operation may be the last.
fn stop_everywhere(workload: &Workload) {
    let ops = count_ops(workload);
    for n in 1..=ops + 1 {
        for within in [None, Some(1), Some(40), Some(300)] {
            let (sim, ledger) = run_with(workload, |sim| match within {
                None => sim.stop_at(n),
                Some(bytes) => sim.stop_within(n, bytes),
            });
            let at = sim.trace().get(n as usize - 1).cloned().unwrap_or_default();
            if within.is_some() && !at.starts_with("write_at") {
                continue;
            }
            let what = format!(
                "{} stopped at {n} of {ops} ({at}; within {within:?})",
                workload.name
            );
            let cut = after_power_cut(&ledger);
            let seeds = if long() { 40 } else { 4 };
            judge(
                &format!("{what}, all lost"),
                &sim.if_crashed(&mut |_| 0),
                &cut,
            );
            judge(
                &format!("{what}, nothing lost"),
                &sim.if_crashed(&mut |n| n - 1),
                &cut,
            );
            for seed in 0..seeds {
                let left = sim.if_crashed(&mut seeded(seed * 1000 + n));
                judge(&format!("{what}, lost by seed {seed}"), &left, &cut);
            }
            judge(&format!("{what}, killed"), &sim.kill(), &ledger);
        }
    }
}

/// A second crash, at every operation of what follows the first.
fn stop_twice(workload: &Workload, stride: u64) {
    let stride = if long() { 1 } else { stride };
    let ops = count_ops(workload);
    stop_twice_at(workload, (1..=ops + 1).step_by(stride as usize), stride);
}

fn stop_twice_at(workload: &Workload, stops: impl Iterator<Item = u64>, stride: u64) {
    for n in stops {
        for power_cut in [false, true] {
            let mut m = 1;
            loop {
                let (sim, ledger) = run_with(workload, |sim| sim.stop_at(n));
                let (first, mut ledger) = if power_cut {
                    (sim.crash_seeded(n), after_power_cut(&ledger))
                } else {
                    (sim.kill(), ledger)
                };
                ledger.errors.clear();
                first.stop_at(m);
                let done = aftermath(&first, &mut ledger).is_ok() && !first.is_dead();
                let what = format!(
                    "{} stopped at {n} (power cut: {power_cut}), then at {m}",
                    workload.name
                );
                if done {
                    break;
                }
                let died_at = first
                    .trace()
                    .get(m as usize - 1)
                    .cloned()
                    .unwrap_or_default();
                assert!(first.is_dead(), "{what}: {:?}", ledger.errors);
                let what = format!("{what} ({died_at})");
                let cut = after_power_cut(&ledger);
                judge(
                    &format!("{what}, all lost"),
                    &first.if_crashed(&mut |_| 0),
                    &cut,
                );
                judge(
                    &format!("{what}, by seed"),
                    &first.if_crashed(&mut seeded(n * 77 + m)),
                    &cut,
                );
                judge(&format!("{what}, killed"), &first.kill(), &ledger);
                m += stride;
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it has the shape of the others")]
fn nothing(_: &SimDisk, _: &mut Ledger) -> Result<()> {
    Ok(())
}

fn made(sim: &SimDisk, ledger: &mut Ledger, pairs: &[(&str, &str)]) -> Result<()> {
    worker(sim, 0)?.create(ledger, "t", 1, pairs)
}

fn some_written(
    sim: &SimDisk,
    ledger: &mut Ledger,
    pairs: &[(&str, &str)],
    batches: usize,
) -> Result<()> {
    made(sim, ledger, pairs)?;
    let mut worker = worker(sim, 1)?;
    for _ in 0..batches {
        worker.append(ledger, &t0(), 1, 120)?;
    }
    worker.read(ledger, &t0()).map(drop)
}

fn t0() -> TopicPartition {
    tp("t", 0)
}

fn append_and_read(sim: &SimDisk, ledger: &mut Ledger, batches: usize, bytes: usize) -> Result<()> {
    let mut writer = worker(sim, 2)?;
    for n in 0..batches {
        writer.append(ledger, &t0(), 1 + n % 3, bytes)?;
        if n % 2 == 1 {
            writer.read(ledger, &t0())?;
        }
    }
    Ok(())
}

const CREATE: Workload = Workload {
    name: "create store and topic",
    before: nothing,
    run: |sim, ledger| {
        let mut worker = worker(sim, 1)?;
        worker.create(ledger, "t", 2, SYNC_EACH)?;
        worker.append(ledger, &t0(), 1, 20)
    },
};

const APPEND: Workload = Workload {
    name: "append, flush.messages=1",
    before: |sim, ledger| made(sim, ledger, SYNC_EACH),
    run: |sim, ledger| append_and_read(sim, ledger, 3, 30),
};

const APPEND_ROLLS: Workload = Workload {
    name: "append and roll, flush.messages=1",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 4),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

const APPEND_FIVE: Workload = Workload {
    name: "append and roll, flush.messages=5",
    before: |sim, ledger| some_written(sim, ledger, SYNC_FIVE, 2),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

const APPEND_NEVER: Workload = Workload {
    name: "append, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, SYNC_NEVER, 2),
    run: |sim, ledger| append_and_read(sim, ledger, 5, 30),
};

const NEVER_AND_ROLL: Workload = Workload {
    name: "append and roll, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, NEVER_ROLLS, 4),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

const TWO_WRITERS: Workload = Workload {
    name: "two writers in turn",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 2),
    run: |sim, ledger| {
        let (mut one, mut other) = (worker(sim, 2)?, worker(sim, 3)?);
        for _ in 0..4 {
            one.append(ledger, &t0(), 2, 100)?;
            other.append(ledger, &t0(), 1, 200)?;
        }
        one.read(ledger, &t0()).map(drop)
    },
};

/// Another process lives on, with everything open.
const SURVIVOR: Workload = Workload {
    name: "a survivor goes on",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 3),
    run: |sim, ledger| {
        let other = sim.process();
        let mut survivor = worker(&other, 4)?;
        survivor.append(ledger, &t0(), 1, 100)?;
        let outcome = append_and_read(sim, ledger, 4, 300);
        let dead = sim.is_dead();
        if dead {
            survivor
                .append(ledger, &t0(), 1, 100)
                .expect("the survivor appends");
            survivor
                .append(ledger, &t0(), 1, 300)
                .expect("the survivor appends again");
            let read = survivor.read(ledger, &t0());
            assert!(
                read.is_ok(),
                "{read:?}\n{:#?}\n{:#?}",
                sim.trace(),
                other.trace()
            );
        }
        outcome
    },
};

const SURVIVOR_NEVER: Workload = Workload {
    name: "a survivor goes on, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, NEVER_ROLLS, 3),
    run: SURVIVOR.run,
};

const ALTER: Workload = Workload {
    name: "alter flush.messages there and back",
    before: |sim, ledger| some_written(sim, ledger, SYNC_NEVER, 2),
    run: |sim, ledger| {
        let mut worker = worker(sim, 2)?;
        worker.append(ledger, &t0(), 1, 30)?;
        worker.alter(ledger, "t", &[("flush.messages", "1")])?;
        worker.append(ledger, &t0(), 1, 30)?;
        worker.alter(ledger, "t", &[("flush.messages", "never")])?;
        worker.append(ledger, &t0(), 1, 30)
    },
};

const DELETE: Workload = Workload {
    name: "delete and make anew",
    before: |sim, ledger| some_written(sim, ledger, SYNC_EACH, 2),
    run: |sim, ledger| {
        let mut one = worker(sim, 2)?;
        one.delete(ledger, "t")?;
        one.create(ledger, "t", 2, SYNC_EACH)?;
        one.append(ledger, &t0(), 1, 30)
    },
};

const ADD_PARTITIONS: Workload = Workload {
    name: "add partitions",
    before: |sim, ledger| some_written(sim, ledger, SYNC_EACH, 2),
    run: |sim, ledger| {
        let mut one = worker(sim, 2)?;
        one.add_partitions(ledger, "t", 3)?;
        one.append(ledger, &tp("t", 2), 1, 30)
    },
};

/// A dead holder of the sync lock left its note: the next one copies.
const RESCUE: Workload = Workload {
    name: "rescue",
    before: |sim, ledger| some_written(sim, ledger, ROLLS_EACH, 3),
    run: |sim, ledger| {
        let dying = sim.process();
        let mut one = worker(&dying, 5)?;
        one.append(ledger, &t0(), 1, 20)?;
        // One more, to learn where in an append the sync is: there it dies.
        let from = dying.ops() as usize;
        one.append(ledger, &t0(), 1, 20)?;
        let trace = dying.trace();
        let sync = trace
            .iter()
            .skip(from)
            .position(|op| op.starts_with("sync_data"));
        dying.stop_at(dying.ops() + 1 + sync.expect("an append syncs") as u64);
        let _ = one.append(ledger, &t0(), 2, 20);
        let died_at = dying.trace().last().cloned().unwrap_or_default();
        assert!(
            dying.is_dead() && died_at.starts_with("sync_data") && died_at.ends_with(".log"),
            "it died not in its sync, but at {died_at}"
        );
        append_and_read(sim, ledger, 2, 100)
    },
};

/// The page file is gone: the log is moved into a new directory.
const REBUILD: Workload = Workload {
    name: "rebuild without a page",
    before: |sim, ledger| {
        some_written(sim, ledger, ROLLS, 9)?;
        remove_page(sim);
        Ok(())
    },
    run: |sim, ledger| append_and_read(sim, ledger, 2, 100),
};

fn remove_page(sim: &SimDisk) {
    let dir = sim
        .open_dir(Path::new("/store/brokers/0/logs/t-0"))
        .expect("the replica");
    dir.remove(PAGE_FILE).expect("the page goes");
    dir.sync().expect("for good");
}

macro_rules! stops {
    ($($test:ident: $workload:ident,)*) => { $(
        #[test]
        fn $test() {
            let _tally = Tally::start();
            stop_everywhere(&$workload);
        }
    )* };
}

stops! {
    stop_in_create: CREATE,
    stop_in_append: APPEND,
    stop_in_rolls: APPEND_ROLLS,
    stop_in_append_five: APPEND_FIVE,
    stop_in_append_never: APPEND_NEVER,
    stop_in_never_and_roll: NEVER_AND_ROLL,
    stop_with_two_writers: TWO_WRITERS,
    stop_with_a_survivor: SURVIVOR,
    stop_with_a_survivor_never: SURVIVOR_NEVER,
    stop_in_alter: ALTER,
    stop_in_delete: DELETE,
    stop_in_add_partitions: ADD_PARTITIONS,
    stop_in_rescue: RESCUE,
    stop_in_rebuild: REBUILD,
}

#[test]
fn stop_in_the_recovery_from_a_stop() {
    let _tally = Tally::start();
    stop_twice(&APPEND, 5);
    stop_twice(&APPEND_ROLLS, 17);
    stop_twice(&NEVER_AND_ROLL, 11);
    stop_twice(&ALTER, 13);
    stop_twice(&RESCUE, 13);
    stop_twice(&REBUILD, 7);
}

/// The first roll: who recovers from a stop within it answers for the names it made.
#[test]
fn stop_in_the_recovery_from_a_roll() {
    let _tally = Tally::start();
    stop_twice_at(&APPEND_ROLLS, 3..=7, 1);
}

/// Every state that a power cut may leave, where there are not too many; else the first of them.
#[test]
fn every_choice_of_a_power_cut() {
    let _tally = Tally::start();
    for workload in [&APPEND, &APPEND_NEVER] {
        let ops = count_ops(workload);
        for n in 1..=ops + 1 {
            let (sim, ledger) = run_with(workload, |sim| sim.stop_at(n));
            let ledger = after_power_cut(&ledger);
            let at = sim.trace().get(n as usize - 1).cloned().unwrap_or_default();
            let most = if long() { 3_000 } else { 60 };
            first_choices(most, |choice| {
                let what = format!("{} cut at {n} ({at})", workload.name);
                judge(&what, &sim.if_crashed(choice), &ledger);
            });
        }
    }
}

/// Every operation fails once; what is told must be true, and work goes on, if need be after a
/// repair.
fn fail_everywhere(workload: &Workload, errno: Errno) {
    let ops = count_ops(workload);
    for n in 1..=ops {
        for short in [None, Some(30)] {
            let (sim, ledger) = run_with(workload, |sim| match short {
                None => sim.fail_at(n, errno),
                Some(bytes) => sim.fail_short_at(n, errno, bytes),
            });
            let at = sim.trace().get(n as usize - 1).cloned().unwrap_or_default();
            let is_write = at.starts_with("write_at");
            let is_sync = at.starts_with("sync");
            if short.is_some() && !is_write {
                continue;
            }
            let what = format!(
                "{}: {errno:?} at {n} ({at}), short {short:?}",
                workload.name
            );
            for power_cut in [true, false] {
                let (sim, mut ledger) = if power_cut {
                    (sim.if_crashed(&mut |_| 0), after_power_cut(&ledger))
                } else if is_sync {
                    // What the sync did not get to the disk is gone, as after a power cut.
                    sim.drop_caches();
                    (sim.process(), after_power_cut(&ledger))
                } else {
                    (sim.process(), ledger.clone())
                };
                ledger.errors.clear();
                repair_offline(&what, &sim, &mut ledger);
                judge(
                    &format!("{what}, power cut {power_cut}"),
                    &sim.process(),
                    &ledger,
                );
            }
        }
    }
}

/// Partitions that a failed sync took offline are refused, then repaired.
fn repair_offline(what: &str, sim: &SimDisk, ledger: &mut Ledger) {
    let Ok(mut worker) = worker(sim, 8) else {
        return;
    };
    for topic in topics::list(&worker.store).expect("the topics are listed") {
        let Some((partitions, _)) = view(&worker.store, topic.as_str()).expect("the topic is read")
        else {
            continue;
        };
        for partition in 0..partitions as i32 {
            let tp = tp(topic.as_str(), partition);
            assert!(log_of(&worker.store, &tp).is_ok());
            match worker.append(ledger, &tp, 1, 40) {
                Err(e) if e.kind() == Kind::Offline => {
                    worker
                        .repair(ledger, &tp)
                        .unwrap_or_else(|e| panic!("{what}: repair: {e}"));
                    worker
                        .append(ledger, &tp, 1, 40)
                        .unwrap_or_else(|e| panic!("{what}: after repair: {e}"));
                }
                Err(e) => panic!(
                    "{what}: next append: {:?} {e}\ntrace {:#?}",
                    e.kind(),
                    sim.trace()
                ),
                Ok(()) => {}
            }
        }
    }
}

#[test]
fn an_error_at_every_operation() {
    let _tally = Tally::start();
    for workload in [
        &APPEND,
        &APPEND_ROLLS,
        &NEVER_AND_ROLL,
        &CREATE,
        &ALTER,
        &ADD_PARTITIONS,
    ] {
        fail_everywhere(workload, Errno::IO);
        fail_everywhere(workload, Errno::NOSPC);
    }
}
