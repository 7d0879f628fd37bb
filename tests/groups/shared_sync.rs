//! Many commit to one group at once: one sync for all that wait, each commit on disk when it
//! returns, and a sync that failed, or whose end nobody saw, forgotten by nobody.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::common::groups::{GROUP, GROUP_DIR, TIMEOUT, entries, join, open, store_of, topic};
use crate::common::sim_disk::SimDisk;
use mq::disk::{Dir, Disk, LockKind, Open};
use mq::error::Kind;
use mq::group::{self, CommitEntry, Line, LineKind, Membership};
use mq::types::{TopicPartition, Uuid};
use rustix::io::Errno;

const MEMBERS: usize = 8;
const ROUNDS: i64 = 5;
const SYNC: Duration = Duration::from_millis(30);

/// Members, a process each, that own a partition each: which.
fn members(sim: &SimDisk) -> Vec<(SimDisk, Membership, i32)> {
    let mut members: Vec<(SimDisk, Membership)> = (0..MEMBERS)
        .map(|_| {
            let process = sim.process();
            let member = join(&process).unwrap();
            (process, member)
        })
        .collect();
    for _ in 0..3 {
        for (_, member) in &mut members {
            while let Some(pause) = member.refresh_due().unwrap() {
                std::thread::sleep(pause);
                member.refresh().unwrap();
            }
            member.assign().unwrap();
            let me = member.me().unwrap();
            let surplus = me.owned.difference(&me.target).cloned().collect();
            member.release(surplus, Vec::new()).unwrap();
        }
    }
    let with_own = |(process, mut member): (SimDisk, Membership)| {
        while let Some(pause) = member.refresh_due().unwrap() {
            std::thread::sleep(pause);
            member.refresh().unwrap();
        }
        let own = member.me().unwrap().owned.first().unwrap().partition;
        (process, member, own)
    };
    members.into_iter().map(with_own).collect()
}

/// What is committed, by partition, on this disk.
fn committed(sim: &SimDisk, id: Uuid) -> Vec<Option<i64>> {
    let state = group::committed_offsets(&open(sim).unwrap(), GROUP).unwrap();
    (0..MEMBERS as i32)
        .map(|p| state.committed(&topic(), id, p).map(|c| c.offset))
        .collect()
}

fn at(sim: &SimDisk, id: Uuid, partition: i32) -> Option<i64> {
    committed(sim, id)[partition as usize]
}

fn dir(sim: &SimDisk) -> Arc<dyn Dir> {
    sim.open_dir(Path::new(GROUP_DIR)).unwrap()
}

/// The sync notes in the group's directory, and the name of the one that is current.
fn notes(sim: &SimDisk) -> (Vec<String>, String) {
    let dir = dir(sim);
    let names = dir.list(".").unwrap().into_iter().map(|entry| entry.name);
    let is_note = |name: &String| name.starts_with("offsets.") && name.ends_with(".sync");
    let current = dir.id("offsets.log").unwrap().inode;
    let notes = names.filter(is_note).collect();
    (notes, format!("offsets.{current}.sync"))
}

/// How often this process synced the log.
fn syncs(process: &SimDisk) -> usize {
    let trace = process.trace();
    let is_sync = |op: &&String| op.starts_with("sync_data") && op.ends_with("/offsets.log");
    trace.iter().filter(is_sync).count()
}

/// Which operation of this process the sync of its next commit will be.
fn next_sync(process: &SimDisk, member: &mut Membership, id: Uuid, partition: i32) -> u64 {
    let mut at = 0;
    // The first may do more: once is no measure.
    for _ in 0..2 {
        let tp = TopicPartition::new(topic(), partition);
        let now = member.committed(&tp, id).map_or(0, |now| now.offset);
        let before = process.ops();
        member.commit(entries(id, &[(partition, now)])).unwrap();
        let ops = process.trace().split_off(before as usize);
        let is_sync = |op: &String| op.starts_with("sync_data") && op.ends_with("/offsets.log");
        at = ops.iter().position(is_sync).unwrap() as u64;
    }
    process.ops() + at + 1
}

#[test]
fn commits_at_once_share_a_sync() {
    let (sim, id) = store_of(MEMBERS as i32);
    let members = members(&sim);
    let processes: Vec<SimDisk> = members.iter().map(|(p, _, _)| p.clone()).collect();
    let before: usize = processes.iter().map(syncs).sum();
    sim.set_sync_time(SYNC);
    let barrier = Barrier::new(MEMBERS);
    // Described at the end: who panics leaves the others at the barrier.
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (_, mut member, own) in members {
            let (barrier, failures, sim) = (&barrier, &failures, &sim);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    barrier.wait();
                    let outcome = member.commit(entries(id, &[(own, round)]));
                    let left = at(&sim.if_crashed(&mut |_| 0), id, own);
                    if outcome.is_err() || left != Some(round) {
                        let failure = format!("{own}, {round}: {outcome:?}, on disk: {left:?}");
                        failures.lock().unwrap().push(failure);
                    }
                }
                // Not dropped while others commit.
                barrier.wait();
            });
        }
    });
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
    let commits = MEMBERS * ROUNDS as usize;
    let syncs = processes.iter().map(syncs).sum::<usize>() - before;
    println!("{commits} commits, {syncs} syncs");
    assert!(syncs >= ROUNDS as usize, "{syncs}");
    assert!(syncs <= commits / 2, "{syncs} syncs of {commits} commits");
    assert_eq!(committed(&sim, id), [Some(ROUNDS); MEMBERS]);
    let (found, current) = notes(&sim);
    assert_eq!(found, [current], "nothing was rewritten");
}

#[test]
fn a_failed_sync_is_seen_by_waiting_and_by_later_processes() {
    let (sim, id) = store_of(MEMBERS as i32);
    let mut members = members(&sim);
    let (mut late, mut waiting, mut failing) = {
        let mut next = || members.pop().unwrap();
        (next(), next(), next())
    };
    let n = next_sync(&failing.0, &mut failing.1, id, failing.2);
    failing.0.fail_at(n, Errno::IO);
    let first = notes(&sim).1;
    sim.set_sync_time(SYNC * 10);
    std::thread::scope(|scope| {
        let fails = scope.spawn(|| {
            let error = failing.1.commit(entries(id, &[(failing.2, 7)]));
            assert_eq!(error.unwrap_err().kind(), Kind::Unknown);
        });
        std::thread::sleep(SYNC * 3);
        let waits = scope.spawn(|| {
            waiting.1.commit(entries(id, &[(waiting.2, 8)])).unwrap();
            let left = sim.if_crashed(&mut |_| 0);
            assert_eq!(at(&left, id, waiting.2), Some(8), "it was rewritten");
            assert_eq!(at(&left, id, failing.2), Some(7), "with all that was shown");
        });
        waits.join().unwrap();
        fails.join().unwrap();
    });
    sim.set_sync_time(Duration::ZERO);
    let (found, current) = notes(&sim);
    assert_ne!(current, first);
    assert!(!found.contains(&first), "{found:?}");
    // Nobody is left to tell the next.
    let n = next_sync(&failing.0, &mut failing.1, id, failing.2);
    failing.0.fail_at(n, Errno::IO);
    let error = failing
        .1
        .commit(entries(id, &[(failing.2, 9)]))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    let second = notes(&sim).1;
    failing.0.kill();
    drop(failing);
    late.1.commit(entries(id, &[(late.2, 10)])).unwrap();
    assert_ne!(notes(&sim).1, second, "the next commit rewrites it");
    let left = sim.crash_losing_all();
    let seen = committed(&left, id);
    assert_eq!(seen[late.2 as usize], Some(10), "{seen:?}");
    assert!(seen.contains(&Some(9)), "what was shown is saved: {seen:?}");
}

#[test]
fn a_death_within_a_sync_is_no_success() {
    let (sim, id) = store_of(MEMBERS as i32);
    let mut members = members(&sim);
    let mut dying = members.pop().unwrap();
    let mut next = members.pop().unwrap();
    let n = next_sync(&dying.0, &mut dying.1, id, dying.2);
    dying.0.stop_at(n);
    dying.1.commit(entries(id, &[(dying.2, 7)])).unwrap_err();
    assert!(dying.0.is_dead());
    let before = dir(&sim).id("offsets.log").unwrap();
    drop(dying);
    next.1.commit(entries(id, &[(next.2, 8)])).unwrap();
    assert_ne!(dir(&sim).id("offsets.log").unwrap(), before);
    for (_, member, _) in members {
        member.leave(Vec::new()).unwrap();
    }
    let next_own = next.2;
    next.1.leave(Vec::new()).unwrap();
    // Once it is rewritten, no member does it again.
    let before = dir(&sim).id("offsets.log").unwrap();
    let tp = TopicPartition::new(topic(), next_own);
    let plan = [CommitEntry { tp, offset: 0 }];
    group::reset(
        &open(&sim).unwrap(),
        GROUP,
        &plan,
        false,
        TIMEOUT,
        &mut Vec::new(),
    )
    .unwrap();
    assert_eq!(dir(&sim).id("offsets.log").unwrap(), before);
    assert_eq!(at(&sim.crash_losing_all(), id, next_own), Some(0));
}

#[test]
fn a_stopped_holder_delays_a_commit_once() {
    let (sim, id) = store_of(MEMBERS as i32);
    let mut members = members(&sim);
    let (_, first, own) = &mut members[0];
    first.commit(entries(id, &[(*own, 1)])).unwrap();
    let stopped = sim.process();
    let (_, current) = notes(&stopped);
    let held = dir(&stopped).open(&current, Open::Write).unwrap();
    assert!(held.try_lock(LockKind::Exclusive).unwrap());
    for (n, bound) in [(2, 4000), (3, 1000)] {
        let begun = Instant::now();
        first.commit(entries(id, &[(*own, n)])).unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(bound), "commit {n}: {took:?}");
        let left = sim.if_crashed(&mut |_| 0);
        assert_eq!(at(&left, id, *own), Some(n));
        assert!(!notes(&sim).0.contains(&current), "all left the file");
    }
    let (_, second, own) = &mut members[1];
    let begun = Instant::now();
    second.commit(entries(id, &[(*own, 4)])).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    // The holder wakes: nothing of it is used any more.
    held.unlock().unwrap();
    assert_eq!(at(&sim.crash_losing_all(), id, *own), Some(4));
}

#[test]
fn a_log_rewritten_meanwhile_has_what_waits() {
    let (sim, id) = store_of(MEMBERS as i32);
    let mut members = members(&sim);
    let (_, mut other, other_own) = members.pop().unwrap();
    let (_, mut waiting, own) = members.pop().unwrap();
    waiting.commit(entries(id, &[(own, 1)])).unwrap();
    let stopped = sim.process();
    let held = dir(&stopped).open(&notes(&sim).1, Open::Write).unwrap();
    assert!(held.try_lock(LockKind::Exclusive).unwrap());
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let waits = scope.spawn(|| waiting.commit(entries(id, &[(own, 2)])));
        while at(&sim, id, own) != Some(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let line = Line {
            n: 0,
            time_ms: 1,
            kind: LineKind::Commit,
            member: None,
            epoch: 1,
            entries: entries(id, &[(other_own, 3)]),
        };
        let log = dir(&sim).open("offsets.log", Open::Append).unwrap();
        log.append(&line.encode().repeat(20_000)).unwrap();
        other.commit(entries(id, &[(other_own, 4)])).unwrap();
        assert_ne!(dir(&sim).id("offsets.log").unwrap(), log.id().unwrap());
        // A machine that is busy for so long sees the holder count as stopped.
        let is_late = begun.elapsed() > Duration::from_secs(2);
        assert!(!waits.is_finished() || is_late, "its file's lock is held");
        let left = sim.if_crashed(&mut |_| 0);
        assert_eq!(at(&left, id, other_own), Some(4));
        let renamed = dir(&sim).id("offsets.log").unwrap();
        waits.join().unwrap().unwrap();
        assert_eq!(
            dir(&sim).id("offsets.log").unwrap(),
            renamed,
            "once is enough"
        );
    });
    assert_eq!(at(&sim.crash_losing_all(), id, own), Some(2));
}

#[test]
fn what_is_left_of_other_logs_goes_when_the_log_is_rewritten() {
    let (sim, id) = store_of(MEMBERS as i32);
    let mut members = members(&sim);
    let (_, first, own) = &mut members[0];
    first.commit(entries(id, &[(*own, 1)])).unwrap();
    let old = notes(&sim).1;
    for stray in ["offsets.1.sync", "offsets.99999.sync"] {
        dir(&sim).open(stray, Open::CreateNew).unwrap();
    }
    assert_eq!(notes(&sim).0.len(), 3);
    let stopped = sim.process();
    let held = dir(&stopped).open(&old, Open::Write).unwrap();
    assert!(held.try_lock(LockKind::Exclusive).unwrap());
    // Its timeout over, it rewrites the log.
    first.commit(entries(id, &[(*own, 2)])).unwrap();
    let (found, made) = notes(&sim);
    assert_ne!(made, old);
    assert_eq!(found, [made], "it is made with its log");
    first.commit(entries(id, &[(*own, 3)])).unwrap();
    let (found, current) = notes(&sim);
    assert_eq!(found, [current]);
    assert_eq!(at(&sim.crash_losing_all(), id, *own), Some(3));
}
