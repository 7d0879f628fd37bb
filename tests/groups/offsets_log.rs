//! Committed offsets through crashes at every operation: old or new, never half, and what was
//! acknowledged stays.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::path::Path;

use crate::common::groups::{
    GROUP, GROUP_DIR, Offsets, TIMEOUT, commit, entries, join, offsets, open, seen_by, store,
    store_of, tp,
};
use crate::common::sim_disk::{SimDisk, seeded};
use mq::disk::{Disk, Open};
use mq::error::{Kind, Result};
use mq::group::{self, CommitEntry, Line, LineKind};
use mq::types::Uuid;
use rustix::io::Errno;

struct Case {
    name: &'static str,
    old: Offsets,
    new: Offsets,
    prepare: fn(&SimDisk, Uuid),
    run: fn(&SimDisk, Uuid) -> Result<()>,
    /// Power cuts that are tried after each stop, besides the two that lose all and nothing.
    seeds: u64,
}

fn two_commits(sim: &SimDisk, id: Uuid) {
    commit(sim, id, &[(0, 5), (1, 6)]).unwrap();
    commit(sim, id, &[(0, 7)]).unwrap();
}

fn reset(sim: &SimDisk, _: Uuid) -> Result<()> {
    let plan = [0, 1].map(|p| CommitEntry {
        tp: tp(p),
        offset: 0,
    });
    group::reset(&open(sim)?, GROUP, &plan, false, TIMEOUT, &mut Vec::new()).map(drop)
}

/// Lines that fill the log until the next lock holder rewrites it.
fn grow(sim: &SimDisk, id: Uuid) {
    two_commits(sim, id);
    let dir = sim.open_dir(Path::new(GROUP_DIR)).unwrap();
    let log = dir.open("offsets.log", Open::Append).unwrap();
    let bytes: Vec<u8> = (0..20_000)
        .flat_map(|offset| {
            let entries = entries(id, &[(2, offset)]);
            let (kind, member) = (LineKind::Commit, Some("m".to_owned()));
            Line {
                n: 0,
                time_ms: 1,
                kind,
                member,
                epoch: 1,
                entries,
            }
            .encode()
        })
        .collect();
    log.append(&bytes).unwrap();
    log.sync_data().unwrap();
    assert!(log.len().unwrap() > 1 << 20, "long enough to be rewritten");
}

const CASES: [Case; 7] = [
    Case {
        name: "the group's first commit",
        old: [None, None, None],
        new: [Some(3), Some(4), None],
        prepare: |_, _| {},
        run: |sim, id| commit(sim, id, &[(0, 3), (1, 4)]),
        seeds: 6,
    },
    Case {
        name: "a commit",
        old: [Some(7), Some(6), None],
        new: [Some(8), Some(6), Some(2)],
        prepare: two_commits,
        run: |sim, id| commit(sim, id, &[(0, 8), (2, 2)]),
        seeds: 6,
    },
    Case {
        name: "a reset",
        old: [Some(7), Some(6), None],
        new: [Some(0), Some(0), None],
        prepare: two_commits,
        run: reset,
        seeds: 6,
    },
    Case {
        name: "a deletion",
        old: [Some(7), Some(6), None],
        new: [None, None, None],
        prepare: two_commits,
        run: |sim, _| group::delete(&open(sim)?, GROUP, false, TIMEOUT, &mut Vec::new()),
        seeds: 6,
    },
    Case {
        name: "a commit that finds the log grown",
        old: [Some(7), Some(6), Some(19_999)],
        new: [Some(7), Some(9), Some(19_999)],
        prepare: grow,
        run: |sim, id| commit(sim, id, &[(1, 9)]),
        // Each reads a megabyte again and again.
        seeds: 1,
    },
    Case {
        name: "an undo of a deletion",
        old: [None, None, None],
        new: [Some(7), Some(6), None],
        prepare: |sim, id| {
            two_commits(sim, id);
            group::delete(&open(sim).unwrap(), GROUP, false, TIMEOUT, &mut Vec::new()).unwrap();
        },
        run: |sim, _| {
            let store = open(sim)?;
            let planned = group::plan_undo(&store, GROUP)?;
            group::undo(&store, GROUP, &planned, TIMEOUT, &mut Vec::new()).map(drop)
        },
        seeds: 6,
    },
    Case {
        name: "a deletion of one offset",
        old: [Some(7), Some(6), None],
        new: [Some(7), None, None],
        prepare: two_commits,
        run: |sim, _| {
            let scope = mq::types::Scope {
                topic: tp(1).topic,
                partition: Some(1),
            };
            group::delete_offsets(
                &open(sim)?,
                GROUP,
                &[scope],
                false,
                TIMEOUT,
                &mut Vec::new(),
            )
            .map(drop)
        },
        seeds: 6,
    },
];

/// A fresh disk for a case, and a process of its own to run it.
fn prepared(case: &Case) -> (SimDisk, SimDisk, Uuid) {
    let (sim, id) = store();
    (case.prepare)(&sim, id);
    assert_eq!(offsets(&sim, id), case.old, "{}", case.name);
    let runner = sim.process();
    (sim, runner, id)
}

/// Looks at what is left, and goes on with it.
fn check(left: &SimDisk, id: Uuid, case: &Case, done: Option<bool>, place: &str) {
    let seen = offsets(left, id);
    let right = match done {
        Some(true) => seen == case.new,
        Some(false) => seen == case.old,
        None => seen == case.old || seen == case.new,
    };
    assert!(
        right,
        "{}, {place}: {seen:?} with done = {done:?}",
        case.name
    );
    let mut member = join(left).unwrap_or_else(|e| panic!("{}, {place}: {e}", case.name));
    assert_eq!(seen_by(&member, id), seen, "{}, {place}", case.name);
    member.commit(entries(id, &[(0, 77)])).unwrap();
    let [_, one, two] = seen;
    let now = seen_by(&member, id);
    assert_eq!(now, [Some(77), one, two], "{}, {place}", case.name);
    let after = left.crash_losing_all();
    assert_eq!(
        offsets(&after, id),
        [Some(77), one, two],
        "{}, {place}: later",
        case.name
    );
}

fn check_cuts(sim: &SimDisk, id: Uuid, case: &Case, done: Option<bool>, place: &str) {
    check(&sim.if_crashed(&mut |_| 0), id, case, done, place);
    check(&sim.if_crashed(&mut |n| n - 1), id, case, done, place);
    for seed in 0..case.seeds {
        let place = format!("{place}, seed {seed}");
        check(&sim.if_crashed(&mut seeded(seed)), id, case, done, &place);
    }
}

fn every_operation(case: &Case) {
    let (_, runner, id) = prepared(case);
    (case.run)(&runner, id).unwrap();
    let ops = runner.ops();
    let rewritten = runner
        .trace()
        .iter()
        .any(|op| op.ends_with(" to offsets.log"));
    assert!(
        ops > 5 && rewritten == (case.seeds == 1),
        "{}: {:?}",
        case.name,
        runner.trace()
    );
    check_cuts(&runner, id, case, Some(true), "done");
    for n in 1..=ops {
        for bytes in if case.seeds > 1 {
            &[0, 1, 40][..]
        } else {
            &[0]
        } {
            let (sim, runner, id) = prepared(case);
            runner.stop_within(n, *bytes);
            let done = (case.run)(&runner, id).is_ok().then_some(true);
            let trace = runner.trace();
            let what = trace.get(n as usize - 1).map_or("?", String::as_str);
            let place = format!("stopped within {bytes} bytes of {n}: {what}");
            check_cuts(&sim, id, case, done, &place);
            check(&sim.process(), id, case, done, &place);
        }
    }
}

/// What an error says of what happened holds for every process, and after a power cut too.
fn every_error(case: &Case, errno: Errno) {
    let (_, runner, id) = prepared(case);
    (case.run)(&runner, id).unwrap();
    for n in 1..=runner.ops() {
        let (sim, runner, id) = prepared(case);
        runner.fail_at(n, errno);
        let outcome = (case.run)(&runner, id);
        let done = match &outcome {
            Ok(()) => Some(true),
            Err(e) if e.kind() == Kind::Unknown => None,
            Err(_) => Some(false),
        };
        let trace = runner.trace();
        let what = trace.get(n as usize - 1).map_or("?", String::as_str);
        let place = format!("{errno:?} at {n}: {what} -> {outcome:?}");
        check_cuts(&sim, id, case, done, &place);
        check(&sim.process(), id, case, done, &place);
    }
}

#[test]
fn stopped_in_the_first_commit() {
    every_operation(&CASES[0]);
}

#[test]
fn stopped_in_a_commit() {
    every_operation(&CASES[1]);
}

#[test]
fn stopped_in_a_reset() {
    every_operation(&CASES[2]);
}

#[test]
fn stopped_in_a_deletion() {
    every_operation(&CASES[3]);
}

#[test]
fn stopped_in_a_compaction() {
    every_operation(&CASES[4]);
}

#[test]
fn stopped_in_an_undo() {
    every_operation(&CASES[5]);
}

#[test]
fn stopped_in_a_deletion_of_one_offset() {
    every_operation(&CASES[6]);
}

#[test]
fn errors_are_true() {
    for case in &CASES {
        every_error(case, Errno::IO);
    }
    every_error(&CASES[1], Errno::NOSPC);
}

#[test]
fn a_config_is_old_or_new_and_stays_once_it_is_set() {
    const NAME: &str = "offsets.retention.minutes";
    let alter = |sim: &SimDisk, minutes: &str| {
        let set = [(NAME.to_owned(), minutes.to_owned())].into();
        group::alter_configs(&open(sim)?, GROUP, &set, &[], TIMEOUT)
    };
    let seen = |sim: &SimDisk| {
        let mut configs = group::configs(&open(sim).unwrap(), GROUP).unwrap();
        configs.remove(NAME).unwrap_or_default()
    };
    let prepared = || {
        let (sim, id) = store();
        two_commits(&sim, id);
        alter(&sim, "60").unwrap();
        (sim.clone(), sim.process(), id)
    };
    let (_, runner, _) = prepared();
    alter(&runner, "70").unwrap();
    let ops = runner.ops();
    assert_eq!(seen(&runner.if_crashed(&mut |_| 0)), "70");
    alter(&runner, "70").unwrap();
    assert!(
        !runner.trace()[ops as usize..]
            .iter()
            .any(|op| op.ends_with(" to group.json")),
        "what is set already is not written"
    );
    for n in 1..=ops {
        for fault in [None, Some(Errno::IO)] {
            let (sim, runner, id) = prepared();
            match fault {
                None => runner.stop_at(n),
                Some(errno) => runner.fail_at(n, errno),
            }
            let outcome = alter(&runner, "70");
            let mut found = vec![seen(&sim.process())];
            found.extend((0..6).map(|seed| seen(&sim.if_crashed(&mut seeded(seed)))));
            found.push(seen(&sim.if_crashed(&mut |_| 0)));
            let right = |minutes: &String| match &outcome {
                Ok(_) => minutes == "70",
                Err(e) if fault.is_some() && e.kind() != Kind::Unknown => minutes == "60",
                Err(_) => minutes == "60" || minutes == "70",
            };
            assert!(
                found.iter().all(right),
                "{fault:?} at {n}: {outcome:?}, {found:?}"
            );
            // Members keep it.
            let mut member = join(&sim).unwrap();
            let kept = seen(&sim.process());
            member.commit(entries(id, &[(0, 9)])).unwrap();
            member.leave(Vec::new()).unwrap();
            assert_eq!(seen(&sim.process()), kept);
        }
    }
    println!("{} cases", 2 * ops);
}

#[test]
fn a_commit_after_a_failed_sync_saves_all_that_is_shown() {
    let (sim, id) = store_of(100);
    let mut member = join(&sim).unwrap();
    member.commit(entries(id, &[(0, 1)])).unwrap();
    // A line of many sectors, which no later line would save by sharing one with it.
    let wide = |offset| entries(id, &(1..100).map(|p| (p, offset)).collect::<Vec<_>>());
    // The operations of one commit are those of the one before.
    let before = sim.ops();
    member.commit(wide(2)).unwrap();
    let ops = sim.trace().split_off(before as usize);
    let sync = ops
        .iter()
        .position(|op| op.starts_with("sync_data"))
        .unwrap() as u64;
    sim.fail_at(sim.ops() + sync + 1, Errno::IO);
    let error = member.commit(wide(3)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    assert_eq!(offsets(&sim, id), [Some(1), Some(3), Some(3)]);
    member.commit(entries(id, &[(2, 4)])).unwrap();
    let left = sim.crash_losing_all();
    assert_eq!(offsets(&left, id), [Some(1), Some(3), Some(4)]);
}
