//! A process dies, others go on with what it left, and only then the power is cut: what they saw
//! and said lasts.

use std::sync::{Arc, Mutex};

use mq::client::open_reader;

use super::aftermath::{after_power_cut, aftermath, assess};
use super::workloads::{
    ADD_PARTITIONS, ALTER, APPEND, APPEND_FIVE, APPEND_NEVER, APPEND_ROLLS, CREATE, DELETE,
    LOST_STATE, NEVER_AND_ROLL, REWRITE, Workload, t0, worker,
};
use super::{count_ops, run_with};
use crate::common::rig::{Ledger, read_on};
use crate::common::sim_disk::{SimDisk, seeded};
use crate::common::tally::Tally;

/// Cuts the power once others went on, as `on` has it, after each death.
fn cut_later(workload: &Workload, on: impl Fn(&SimDisk, &mut Ledger)) {
    let ops = count_ops(workload);
    for n in 1..=ops + 1 {
        let (sim, mut ledger) = run_with(workload, |sim| sim.stop_at(n));
        let at = sim.trace().get(n as usize - 1).cloned().unwrap_or_default();
        let next = sim.kill();
        ledger.errors.clear();
        on(&next, &mut ledger);
        let cut = after_power_cut(&ledger);
        let what = format!(
            "{} stopped at {n} of {ops} ({at}), cut later",
            workload.name
        );
        assess(
            &format!("{what}, all lost"),
            &next.if_crashed(&mut |_| 0),
            &cut,
        );
        for seed in 0..3 {
            let left = next.if_crashed(&mut seeded(seed * 1000 + n));
            assess(&format!("{what}, lost by seed {seed}"), &left, &cut);
        }
    }
}

/// A reader changes nothing: what it is shown must be safe already.
#[test]
fn what_a_reader_saw_meanwhile() {
    let _tally = Tally::start();
    for workload in [
        &APPEND,
        &APPEND_ROLLS,
        &APPEND_FIVE,
        &APPEND_NEVER,
        &NEVER_AND_ROLL,
    ] {
        cut_later(workload, |sim, ledger| {
            let read = worker(sim, 7).and_then(|worker| worker.read(ledger, &t0()));
            read.unwrap_or_else(|e| panic!("{}: a reader: {e}", workload.name));
        });
    }
}

/// One that was open before looks whenever it likes: between an append and its sync, too.
#[test]
fn what_an_open_reader_saw_meanwhile() {
    let _tally = Tally::start();
    for workload in [
        &APPEND,
        &APPEND_ROLLS,
        &APPEND_FIVE,
        &APPEND_NEVER,
        &NEVER_AND_ROLL,
    ] {
        let ops = count_ops(workload);
        for n in 1..=ops {
            let saw = Arc::new(Mutex::new(Ledger::default()));
            let slot = Arc::clone(&saw);
            let (sim, mut ledger) = run_with(workload, |sim| {
                let store = worker(&sim.process(), 7).expect("a reader").store;
                let mut reader = open_reader(&store, &t0()).expect("a reader");
                sim.before(n, move || {
                    let mut ledger = slot.lock().expect("one at a time");
                    read_on(&mut reader, &store, 700, &mut ledger, &t0()).expect("it reads");
                });
                sim.stop_at(n);
            });
            let at = sim.trace().last().cloned().unwrap_or_default();
            let saw = saw.lock().expect("one at a time");
            assert!(!saw.history.events.is_empty(), "nobody observed before {n}");
            ledger.history.events.extend(saw.history.events.clone());
            let cut = after_power_cut(&ledger);
            let what = format!("{}, read and cut before {n} of {ops} ({at})", workload.name);
            assess(
                &format!("{what}, all lost"),
                &sim.if_crashed(&mut |_| 0),
                &cut,
            );
            let left = sim.if_crashed(&mut seeded(n));
            assess(&format!("{what}, lost by seed"), &left, &cut);
        }
    }
}

/// An appending process answers for all that it built on.
fn successor_then_cut(workload: &Workload) {
    cut_later(workload, |sim, ledger| {
        let done = aftermath(sim, ledger);
        done.unwrap_or_else(|e| panic!("{}: a successor: {e}", workload.name));
    });
}

macro_rules! successors {
    ($($test:ident: $workload:ident,)*) => { $(
        #[test]
        fn $test() {
            let _tally = Tally::start();
            successor_then_cut(&$workload);
        }
    )* };
}

successors! {
    successor_in_create: CREATE,
    successor_in_append: APPEND,
    successor_in_rolls: APPEND_ROLLS,
    successor_in_append_five: APPEND_FIVE,
    successor_in_append_never: APPEND_NEVER,
    successor_in_never_and_roll: NEVER_AND_ROLL,
    successor_in_alter: ALTER,
    successor_in_add_partitions: ADD_PARTITIONS,
    successor_in_delete: DELETE,
    successor_in_rewrite: REWRITE,
    successor_in_lost_state_recovery: LOST_STATE,
}

/// Another boot id alone says nothing about the disk: what is found is synced before it is shown.
#[test]
fn a_boot_that_lost_nothing() {
    let _tally = Tally::start();
    for workload in [&APPEND, &APPEND_ROLLS] {
        cut_later(workload, |sim, ledger| {
            let sim = sim.in_next_boot();
            let done = aftermath(&sim, ledger);
            done.unwrap_or_else(|e| panic!("{}: a successor: {e}", workload.name));
        });
    }
}
