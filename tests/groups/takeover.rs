//! A member stands still in the middle of what it does, its lock is taken over, and it wakes: what
//! its successor found stays so, and what is reported to the member is true.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::groups::{GROUP_DIR, Offsets, entries, join, offsets, seen_by, store, tp};
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;
use mq::disk::Disk;
use mq::error::{Kind, Result};
use mq::group::Membership;
use mq::types::Uuid;

const OLD: Offsets = [Some(5), Some(6), None];
const NEW: Offsets = [Some(7), Some(6), None];

type Act = fn(Membership, Uuid) -> (Result<()>, Option<Membership>);

const ACTS: [(&str, Act); 3] = [
    ("commits", |mut member, id| {
        (member.commit(entries(id, &[(0, 7)])), Some(member))
    }),
    ("gives a partition up", |mut member, id| {
        let partitions = [tp(0)].into();
        let done = member.release(partitions, entries(id, &[(0, 7)]));
        (done, Some(member))
    }),
    ("leaves", |member, id| {
        (member.leave(entries(id, &[(0, 7)])), None)
    }),
];

/// Breaks the group's lock, as one who saw its line stand still, and takes it.
fn take_over(sim: &SimDisk) -> Membership {
    let dir = sim.open_dir(Path::new(GROUP_DIR)).unwrap();
    let names = dir.list(".").unwrap();
    let number = |name: &str| name.strip_prefix("lock.")?.parse::<u64>().ok();
    let n = names.iter().filter_map(|e| number(&e.name)).max().unwrap();
    let (from, to) = (format!("lock.{n}"), format!("lock.{}", n + 1));
    dir.rename_new(&from, &to).unwrap();
    join(sim).unwrap()
}

/// A member that owns all, with something committed.
fn prepare() -> (SimDisk, Uuid, Membership) {
    let (sim, id) = store();
    let mut member = join(&sim).unwrap();
    member.commit(entries(id, &[(0, 5), (1, 6)])).unwrap();
    (sim, id, member)
}

#[test]
fn a_lock_taken_over_at_any_operation() {
    let _tally = Tally::start();
    for (name, act) in ACTS {
        let (sim, id, member) = prepare();
        let before = sim.ops();
        let (done, _) = act(member, id);
        done.unwrap();
        let ops = sim.ops() - before;
        assert_eq!(offsets(&sim, id), NEW);
        let (mut came_late, mut was_in_time) = (0, 0);
        for k in 1..=ops {
            Tally::case();
            let (sim, id, member) = prepare();
            // Where time passed in between, a heartbeat may have been one more.
            let before = sim.ops();
            let other = sim.process();
            let successor = Arc::new(Mutex::new(None));
            let (by, slot) = (other.clone(), Arc::clone(&successor));
            sim.before(before + k, move || {
                let member = take_over(&by);
                let seen = seen_by(&member, id);
                *slot.lock().unwrap() = Some((member, seen));
            });
            let (done, member) = act(member, id);
            let at = sim.trace()[(before + k) as usize - 1].clone();
            let what =
                format!("a member that {name}, taken over before {k} of {ops} ({at}): {done:?}");
            let (mut successor, seen) = successor.lock().unwrap().take().expect(&what);
            let now = offsets(&other, id);
            match &done {
                Ok(()) => {
                    was_in_time += 1;
                    assert_eq!(now, NEW, "{what}");
                }
                Err(e) => {
                    came_late += usize::from(seen == OLD);
                    assert!(matches!(e.kind(), Kind::Fenced | Kind::Unknown), "{what}");
                    assert_eq!(now, seen, "{what}: the successor saw something else");
                }
            }
            successor.refresh().unwrap();
            assert!(successor.me().is_some(), "{what}: the successor is lost");
            drop(member);
        }
        assert!(came_late > 0, "a member that {name} was never late");
        assert!(was_in_time > 0, "a member that {name} was never in time");
    }
}
