//! Processes that die at an operation, or are cut off there with the power.

use super::aftermath::{after_power_cut, aftermath, assess};
use super::workloads::{
    ADD_PARTITIONS, ALTER, APPEND, APPEND_FIVE, APPEND_NEVER, APPEND_ROLLS, CREATE, DELETE,
    LOST_STATE, NEVER_AND_ROLL, RETAIN, RETAIN_NEVER, RETAIN_NONE, REWRITE, SURVIVOR,
    SURVIVOR_NEVER, TRIM, TRIM_AND_LOST_STATE, TRIM_BESIDE, TRIM_NEVER, TWO_WRITERS, Workload,
};
use super::{count_ops, run_with};
use crate::common::sim_disk::{first_choices, seeded};
use crate::common::switches::is_long;
use crate::common::tally::Tally;

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
            let seeds = if is_long() { 40 } else { 2 };
            assess(
                &format!("{what}, all lost"),
                &sim.if_crashed(&mut |_| 0),
                &cut,
            );
            assess(
                &format!("{what}, nothing lost"),
                &sim.if_crashed(&mut |n| n - 1),
                &cut,
            );
            for seed in 0..seeds {
                let left = sim.if_crashed(&mut seeded(seed * 1000 + n));
                assess(&format!("{what}, lost by seed {seed}"), &left, &cut);
            }
            assess(&format!("{what}, killed"), &sim.kill(), &ledger);
        }
    }
}

/// A second crash, at every operation of what follows the first.
fn stop_twice(workload: &Workload, stride: u64) {
    let stride = if is_long() { 1 } else { stride };
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
                assess(
                    &format!("{what}, all lost"),
                    &first.if_crashed(&mut |_| 0),
                    &cut,
                );
                assess(
                    &format!("{what}, by seed"),
                    &first.if_crashed(&mut seeded(n * 77 + m)),
                    &cut,
                );
                assess(&format!("{what}, killed"), &first.kill(), &ledger);
                m += stride;
            }
        }
    }
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
    stop_in_rewrite: REWRITE,
    stop_in_lost_state_recovery: LOST_STATE,
    stop_in_trim: TRIM,
    stop_in_trim_never: TRIM_NEVER,
    stop_in_trim_beside_a_writer: TRIM_BESIDE,
    stop_in_lost_state_recovery_after_a_trim: TRIM_AND_LOST_STATE,
    stop_in_retention: RETAIN,
    stop_in_retention_never: RETAIN_NEVER,
    stop_in_retention_of_all: RETAIN_NONE,
}

#[test]
fn stop_in_the_recovery_from_a_stop() {
    let _tally = Tally::start();
    stop_twice(&APPEND, 5);
    stop_twice(&APPEND_ROLLS, 17);
    stop_twice(&NEVER_AND_ROLL, 11);
    stop_twice(&ALTER, 13);
    stop_twice(&REWRITE, 13);
    stop_twice(&LOST_STATE, 7);
    stop_twice(&TRIM, 17);
    stop_twice(&TRIM_NEVER, 19);
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
            let most = if is_long() { 3_000 } else { 60 };
            first_choices(most, |choice| {
                let what = format!("{} cut at {n} ({at})", workload.name);
                assess(&what, &sim.if_crashed(choice), &ledger);
            });
        }
    }
}
