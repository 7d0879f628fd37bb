//! What the processes do that crash.

use std::path::Path;
use std::sync::Arc;

use mq::disk::Disk;
use mq::error::Result;
use mq::partition::PAGE_FILE;
use mq::types::TopicPartition;

use crate::common::rig::{Ledger, Worker, open, tp};
use crate::common::sim_disk::SimDisk;

pub const STORE: &str = "/store";
pub const SYNC_EACH: &[(&str, &str)] = &[("index.interval.bytes", "0")];
pub const ROLLS: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "200")];
/// Every append has the same steps: index entries each time.
pub const ROLLS_EACH: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "0")];
pub const SYNC_FIVE: &[(&str, &str)] = &[("flush.messages", "5"), ("segment.bytes", "1024")];
pub const SYNC_NEVER: &[(&str, &str)] =
    &[("flush.messages", "never"), ("index.interval.bytes", "0")];
pub const NEVER_ROLLS: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "100"),
];

pub fn worker(sim: &SimDisk, id: u32) -> Result<Worker> {
    let seen = sim.clone();
    Ok(Worker::new(
        open(Arc::new(sim.clone()), Path::new(STORE))?,
        id,
        move || !seen.is_dead(),
    ))
}

/// What comes before the faults, and what they fall into.
#[derive(Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    pub before: fn(&SimDisk, &mut Ledger) -> Result<()>,
    pub run: fn(&SimDisk, &mut Ledger) -> Result<()>,
}

/// The disk and the ledger before the faults, and the process that will meet them.
pub fn prepare(workload: &Workload) -> (SimDisk, Ledger) {
    let sim = SimDisk::new();
    let mut ledger = Ledger::default();
    (workload.before)(&sim, &mut ledger).expect("the preparation has no faults");
    (sim.process(), ledger)
}

#[allow(clippy::unnecessary_wraps, reason = "it has the shape of the others")]
pub fn nothing(_: &SimDisk, _: &mut Ledger) -> Result<()> {
    Ok(())
}

pub fn made(sim: &SimDisk, ledger: &mut Ledger, pairs: &[(&str, &str)]) -> Result<()> {
    worker(sim, 0)?.create(ledger, "t", 1, pairs)
}

pub fn some_written(
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

pub fn t0() -> TopicPartition {
    tp("t", 0)
}

pub fn append_and_read(
    sim: &SimDisk,
    ledger: &mut Ledger,
    batches: usize,
    bytes: usize,
) -> Result<()> {
    let mut writer = worker(sim, 2)?;
    for n in 0..batches {
        writer.append(ledger, &t0(), 1 + n % 3, bytes)?;
        if n % 2 == 1 {
            writer.read(ledger, &t0())?;
        }
    }
    Ok(())
}

pub const CREATE: Workload = Workload {
    name: "create store and topic",
    before: nothing,
    run: |sim, ledger| {
        let mut worker = worker(sim, 1)?;
        worker.create(ledger, "t", 2, SYNC_EACH)?;
        worker.append(ledger, &t0(), 1, 20)
    },
};

pub const APPEND: Workload = Workload {
    name: "append, flush.messages=1",
    before: |sim, ledger| made(sim, ledger, SYNC_EACH),
    run: |sim, ledger| append_and_read(sim, ledger, 3, 30),
};

pub const APPEND_ROLLS: Workload = Workload {
    name: "append and roll, flush.messages=1",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 4),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

pub const APPEND_FIVE: Workload = Workload {
    name: "append and roll, flush.messages=5",
    before: |sim, ledger| some_written(sim, ledger, SYNC_FIVE, 2),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

pub const APPEND_NEVER: Workload = Workload {
    name: "append, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, SYNC_NEVER, 2),
    run: |sim, ledger| append_and_read(sim, ledger, 5, 30),
};

pub const NEVER_AND_ROLL: Workload = Workload {
    name: "append and roll, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, NEVER_ROLLS, 4),
    run: |sim, ledger| append_and_read(sim, ledger, 6, 250),
};

pub const TWO_WRITERS: Workload = Workload {
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
pub const SURVIVOR: Workload = Workload {
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

pub const SURVIVOR_NEVER: Workload = Workload {
    name: "a survivor goes on, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, NEVER_ROLLS, 3),
    run: SURVIVOR.run,
};

pub const ALTER: Workload = Workload {
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

pub const DELETE: Workload = Workload {
    name: "delete and create again",
    before: |sim, ledger| some_written(sim, ledger, SYNC_EACH, 2),
    run: |sim, ledger| {
        let mut one = worker(sim, 2)?;
        one.delete(ledger, "t")?;
        one.create(ledger, "t", 2, SYNC_EACH)?;
        one.append(ledger, &t0(), 1, 30)
    },
};

pub const ADD_PARTITIONS: Workload = Workload {
    name: "add partitions",
    before: |sim, ledger| some_written(sim, ledger, SYNC_EACH, 2),
    run: |sim, ledger| {
        let mut one = worker(sim, 2)?;
        one.add_partitions(ledger, "t", 3)?;
        one.append(ledger, &tp("t", 2), 1, 30)
    },
};

pub const TRIM: Workload = Workload {
    name: "trim, flush.messages=1",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 9),
    run: trim_and_go_on,
};

pub const TRIM_NEVER: Workload = Workload {
    name: "trim, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, NEVER_ROLLS, 9),
    run: trim_and_go_on,
};

/// Within a segment, at a segment's start, of all that is there.
fn trim_and_go_on(sim: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let mut one = worker(sim, 2)?;
    one.append(ledger, &t0(), 1, 120)?;
    one.trim(ledger, &t0(), 7)?;
    one.read(ledger, &t0())?;
    one.append(ledger, &t0(), 2, 120)?;
    one.trim(ledger, &t0(), 12)?;
    one.read(ledger, &t0())?;
    one.append(ledger, &t0(), 1, 120)?;
    one.read(ledger, &t0()).map(drop)
}

/// As `ROLLS` and `NEVER_ROLLS`, with a limit.
const LIMITED: &[(&str, &str)] = &[
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "200"),
    ("retention.bytes", "1500"),
];
const LIMITED_NEVER: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.bytes", "1024"),
    ("retention.bytes", "1500"),
];
/// Everything is older than this.
const ALL_EXPIRE: &[(&str, &str)] = &[
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "200"),
    ("retention.ms", "0"),
];

pub const RETAIN: Workload = Workload {
    name: "retention by size, flush.messages=1",
    before: |sim, ledger| some_written(sim, ledger, LIMITED, 15),
    run: remove_old_and_go_on,
};

pub const RETAIN_NEVER: Workload = Workload {
    name: "retention by size, flush.messages=never",
    before: |sim, ledger| some_written(sim, ledger, LIMITED_NEVER, 15),
    run: remove_old_and_go_on,
};

pub const RETAIN_NONE: Workload = Workload {
    name: "retention by age, of all that is there",
    before: |sim, ledger| some_written(sim, ledger, ALL_EXPIRE, 7),
    run: remove_old_and_go_on,
};

fn remove_old_and_go_on(sim: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let mut one = worker(sim, 2)?;
    assert!(one.remove_old(ledger, &t0())? > 0, "something to remove");
    one.read(ledger, &t0())?;
    for _ in 0..6 {
        one.append(ledger, &t0(), 2, 120)?;
    }
    assert!(one.remove_old(ledger, &t0())? > 0, "something to remove");
    one.append(ledger, &t0(), 1, 120)?;
    one.read(ledger, &t0()).map(drop)
}

/// Another process has the log open while it is trimmed.
pub const TRIM_BESIDE: Workload = Workload {
    name: "trim beside a writer",
    before: |sim, ledger| some_written(sim, ledger, ROLLS, 9),
    run: |sim, ledger| {
        let other = sim.process();
        let mut survivor = worker(&other, 4)?;
        survivor.append(ledger, &t0(), 1, 100)?;
        let mut one = worker(sim, 2)?;
        let outcome = one.trim(ledger, &t0(), 10);
        survivor
            .append(ledger, &t0(), 1, 100)
            .expect("the survivor appends");
        survivor.read(ledger, &t0()).expect("the survivor reads");
        outcome
    },
};

/// The page file is gone after a trim: what was trimmed stays gone.
pub const TRIM_AND_LOST_STATE: Workload = Workload {
    name: "lost-state recovery of a trimmed log",
    before: |sim, ledger| {
        some_written(sim, ledger, ROLLS, 9)?;
        worker(sim, 2)?.trim(ledger, &t0(), 7)?;
        remove_page(sim);
        Ok(())
    },
    run: |sim, ledger| append_and_read(sim, ledger, 2, 100),
};

/// A dead holder of the sync lock left its note: the next one copies.
pub const REWRITE: Workload = Workload {
    name: "rewrite of unsynced bytes",
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
pub const LOST_STATE: Workload = Workload {
    name: "lost-state recovery",
    before: |sim, ledger| {
        some_written(sim, ledger, ROLLS, 9)?;
        remove_page(sim);
        Ok(())
    },
    run: |sim, ledger| append_and_read(sim, ledger, 2, 100),
};

pub fn remove_page(sim: &SimDisk) {
    let dir = sim
        .open_dir(Path::new("/store/brokers/0/logs/t-0"))
        .expect("the replica");
    dir.remove(PAGE_FILE).expect("the page goes");
    dir.sync().expect("for good");
}
