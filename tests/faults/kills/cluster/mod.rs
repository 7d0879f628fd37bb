//! `kill -9` of a daemon, or of a command beside daemons, at each system call that changes the
//! store: metadata are old or new, the others go on, and the next controller finishes or undoes
//! what was begun.
//!
//! A daemon that runs already is met by strace in the moment in which the change begins, so that
//! the calls counted are those of the change. As it is_heartbeat and looks around meanwhile, some kills
//! meet it at that.

mod aftermath;
mod play;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kill_sweep::{self, Calls, Share};
use crate::proc::{self, Failure, Place, works_on};
use crate::sweep::{CALLS, calls_in, killing};
use play::Play;

/// Daemons and commands that were killed at the call meant.
static KILLED: AtomicUsize = AtomicUsize::new(0);

/// Of calls that are made again and again, such as tries for a lock.
const TIMES_MAX: usize = 40;

struct Scenario {
    name: &'static str,
    /// Everything that happens up to the kill.
    run: fn(&mut Play<'_>) -> Result<(), Failure>,
    /// What must hold once all live again, apart from what must always.
    after: fn(&mut Play<'_>) -> Result<(), Failure>,
    /// How many kills of 98.
    share: usize,
}

/// Three in-sync replicas each, led by 1 and by 2.
const WIDE: &[&str] = &[
    "create",
    "t",
    "--assign",
    "1:2:3,2:3:1",
    "-c",
    "min.insync.replicas=2",
];
const MADE: &[&str] = &["create", "u", "-p", "2", "-r", "3"];

const SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "the first election",
        run: |play| {
            play.start_victim(1)?;
            play.until_ready(1)?;
            play.stop(1)?;
            play.until("its end", |_| Ok(false))
        },
        after: |play| {
            play.command(WIDE)?;
            play.produce(60)
        },
        share: 12,
    },
    Scenario {
        name: "the election after a death",
        run: |play| {
            play.cluster(WIDE)?;
            play.kill(3)?;
            play.until("3 out of sync", |play| play.in_sync("t", &[1, 2]))?;
            play.meet(2)?;
            play.kill(1)?;
            play.until("2 leads all", |play| play.all_led_by("t", 2))
        },
        after: |_| Ok(()),
        share: 9,
    },
    Scenario {
        name: "a creation",
        run: |play| {
            play.cluster(WIDE)?;
            play.victim_command("mq-topics", MADE)?;
            play.until("its end", |_| Ok(false))
        },
        after: aftermath::made,
        share: 12,
    },
    Scenario {
        name: "a creation beside the controller",
        run: |play| {
            play.cluster(WIDE)?;
            play.meet(1)?;
            // Without the third there is no place for three.
            let done = play.place.run("mq-topics", MADE)?;
            let is_late = done.stderr.contains("INVALID_REPLICATION_FACTOR");
            hold!(
                done.code() == Some(0) || (done.code() == Some(1) && is_late),
                "{}",
                done.ending()
            );
            if is_late {
                return Ok(());
            }
            works_on(play.place, "u")
        },
        after: aftermath::made,
        share: 5,
    },
    Scenario {
        name: "a broker's loss",
        run: |play| {
            play.cluster(WIDE)?;
            play.meet(1)?;
            play.kill(2)?;
            play.pour()?;
            play.until("2 out of sync", |play| play.in_sync("t", &[1, 3]))
        },
        after: |_| Ok(()),
        share: 9,
    },
    Scenario {
        name: "a follower's return",
        run: |play| {
            play.cluster(WIDE)?;
            play.kill(3)?;
            play.until("3 out of sync", |play| play.in_sync("t", &[1, 2]))?;
            play.produce(30)?;
            play.start_victim(3)?;
            play.pour()?;
            play.until("3 in sync", |play| play.in_sync("t", &[1, 2, 3]))
        },
        after: |_| Ok(()),
        share: 12,
    },
    Scenario {
        name: "a reassignment, by its controller",
        run: |play| {
            play.cluster(&["create", "t", "--assign", "2:3"])?;
            play.meet(1)?;
            play.pour()?;
            play.reassign("t", &[3, 1])?;
            play.until("moved", |play| play.moved("t", &[3, 1]))
        },
        after: |play| aftermath::ends(play, "moved", |play| play.moved("t", &[3, 1])),
        share: 9,
    },
    Scenario {
        name: "a reassignment, by the new replica",
        run: |play| {
            play.cluster(&["create", "t", "--assign", "1:2"])?;
            play.meet(3)?;
            play.pour()?;
            play.reassign("t", &[2, 3])?;
            play.until("moved", |play| play.moved("t", &[2, 3]))
        },
        after: |play| aftermath::ends(play, "moved", |play| play.moved("t", &[2, 3])),
        share: 9,
    },
    Scenario {
        name: "the controller's stop",
        run: |play| {
            play.cluster(WIDE)?;
            play.pour()?;
            play.meet(1)?;
            play.stop(1)?;
            play.until("its end", |_| Ok(false))
        },
        after: |_| Ok(()),
        share: 8,
    },
    Scenario {
        name: "a leader's stop",
        run: |play| {
            play.cluster(WIDE)?;
            play.pour()?;
            play.meet(2)?;
            play.stop(2)?;
            play.until("its end", |_| Ok(false))
        },
        after: |_| Ok(()),
        share: 8,
    },
    Scenario {
        name: "a promotion",
        run: |play| {
            play.cluster(&["create", "t", "--assign", "2:3:1,2:3:1"])?;
            play.meet(3)?;
            play.kill(2)?;
            play.pour()?;
            play.until("3 leads all", |play| {
                Ok(play.all_led_by("t", 3)? && play.is_poured()?)
            })
        },
        after: |_| Ok(()),
        share: 5,
    },
];

/// The calls of an undisturbed run.
fn count(scenario: &Scenario, place: &Place) -> Result<Calls, Failure> {
    let trace = format!("trace={}", CALLS.join(","));
    let mut play = Play::new(place, &["-o", "trace", "-e", &trace]);
    (scenario.run)(&mut play)?;
    drop(play);
    let trace = fs::read_to_string(place.dir().join("trace")).map_err(|e| e.to_string())?;
    let mut calls = calls_in(&trace);
    hold!(
        calls.contains_key("flock"),
        "the counting run saw {calls:?}"
    );
    for times in calls.values_mut() {
        *times = TIMES_MAX.min(*times);
    }
    Ok(calls)
}

fn kill(scenario: &Scenario, call: &str, n: usize, place: &Place) -> Result<(), Failure> {
    let [trace, inject] = killing(call, n);
    let mut play = Play::new(place, &["-o", "trace", "-e", &trace, "-e", &inject]);
    (scenario.run)(&mut play)?;
    if play.lose_victim()? {
        KILLED.fetch_add(1, Ordering::Relaxed);
    }
    // In turns, the others go on before it comes back.
    aftermath::goes_on(&mut play, n.is_multiple_of(2), scenario.after)
}

#[test]
fn a_killed_daemon_leaves_a_cluster_that_goes_on() {
    if !proc::has_strace("kills") || !play::may_attach() {
        return;
    }
    let _beside = crate::beside_others();
    let shares = SCENARIOS.each_ref().map(|scenario| Share {
        name: scenario.name,
        weight: scenario.share,
    });
    kill_sweep::over_all(
        "kills",
        &shares,
        |at, place| count(&SCENARIOS[at], place),
        |at, _, (call, n), place| kill(&SCENARIOS[at], call, n, place),
    );
    let killed = KILLED.load(Ordering::Relaxed);
    println!("{killed} killed at the call meant");
    assert!(killed > 8, "too few kills to tell: {killed}");
}
