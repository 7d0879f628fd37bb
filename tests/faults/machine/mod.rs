//! What a machine does to a store: full disks, failing syncs, too few descriptors, stopped holders
//! of locks, readers that go away. The promise stays: what was acknowledged is there, and the
//! message of what failed says how to go on.

mod calls;
mod cases;
mod disk;
mod holders;
mod logs;
mod readers;
mod signals;
mod syncs;

use crate::proc;
use std::sync::Mutex;

use crate::proc::Score;
use calls::{failed_sync, few_descriptors, survived};
use cases::Cases;
use disk::{full_disk, limited};
use holders::stopped_holder;
use readers::{reader_gone, tee_gone};
use signals::{interrupted_consumer, interrupted_producer, interrupted_twice};
use syncs::slow_syncs;

#[test]
fn faults_of_the_machine_lose_nothing() {
    let _beside = crate::beside_others();
    static HELD: Mutex<usize> = Mutex::new(0);
    let mut cases = Cases::default();
    cases.add("a full disk", full_disk);
    if proc::has("prlimit") {
        let mut limits: Vec<usize> = (1..=24).map(|step| step * 1024).collect();
        limits.extend([4100, 4607, 4608, 4609, 8191, 8193, 15_001, 15_555]);
        for limit in limits {
            cases.add(format!("files of at most {limit}"), move |p| {
                limited(p, limit, false)
            });
            if limit % 2048 == 0 {
                let name = format!("files of at most {limit}, from nothing");
                cases.add(name, move |p| limited(p, limit, true));
            }
        }
    } else {
        println!("file size limits: skipped: prlimit is missing");
    }
    for count in 5..=24 {
        cases.add(format!("{count} descriptors"), move |p| {
            few_descriptors(p, count)
        });
    }
    cases.add("a consumer's reader that goes away", reader_gone);
    cases.add("a tee's reader that goes away", tee_gone);
    cases.add("an interrupted consumer", |p| {
        interrupted_consumer(p, false)
    });
    cases.add("an interrupted member", |p| interrupted_consumer(p, true));
    cases.add("a consumer interrupted twice", interrupted_twice);
    cases.add("an interrupted producer", interrupted_producer);
    let strace = proc::has_strace("faults that strace injects");
    if strace {
        cases.add("slow syncs hold a producer back", slow_syncs);
        for n in 1..=8 {
            cases.add(format!("fdatasync {n} fails"), move |p| {
                failed_sync(p, n, &[])
            });
            let name = format!("fdatasync {n} fails, rolling");
            cases.add(name, move |p| {
                failed_sync(p, n, &["-c", "segment.bytes=1024"])
            });
        }
        for n in 1..=14 {
            let fault = format!("fsync:error=EIO:when={n}");
            let name = format!("fsync {n} fails, from nothing");
            let copy = fault.clone();
            cases.add(name, move |p| survived(p, &copy, None));
            if n <= 4 {
                let name = format!("fsync {n} fails, rolling");
                cases.add(name, move |p| {
                    survived(p, &fault, Some(&["-c", "segment.bytes=1024"]))
                });
            }
        }
        for call in [
            "pwrite64",
            "fdatasync",
            "fsync",
            "ftruncate",
            "renameat",
            "flock",
            "write",
        ] {
            for first in 1..=3 {
                let fault = format!("{call}:error=EINTR:when={first}+4");
                let name = format!("{call} is interrupted at {first} and each fourth");
                cases.add(name, move |p| survived(p, &fault, Some(&[])));
            }
        }
        for first in [8, 9, 10, 11] {
            // Those before are the dynamic loader's.
            let fault = format!("read:error=EINTR:when={first}+4");
            let name = format!("read is interrupted at {first} and each fourth");
            cases.add(name, move |p| survived(p, &fault, Some(&[])));
        }
        for n in 1..=8 {
            cases.add(format!("stopped at pwrite64 {n}"), move |p| {
                stopped_holder(p, n, &HELD)
            });
        }
    }
    let score = Score::default();
    cases.run(&score);
    let held = *HELD.lock().expect("held");
    println!("{held} stopped holders of an append lock");
    score.close("faults");
    assert!(
        !strace || held > 0,
        "nobody was stopped while holding the append lock"
    );
}
