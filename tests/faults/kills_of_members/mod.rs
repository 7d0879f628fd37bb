//! `kill -9` at each system call of one member of a group that changes something, while others live
//! beside it or come later: what it had not finished the others go on with, and every record comes
//! out.
//!
//! As in `kills`, a counting run finds the calls, and the sweep is thinned evenly to a budget of
//! kills (`MQ_LONG=1`: sixty times as many).

mod play;
mod records;
mod stays;

use crate::kill_sweep;
use crate::proc;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::kill_sweep::{Calls, Share};
use crate::proc::{Failure, Place};
use crate::sweep::{CALLS, calls_in, killing};
use play::{EAGER, FOLLOW, KILLED, Play, TO_END};
use records::{BEFORE, LATER, full, grow};

struct Scenario {
    name: &'static str,
    prepare: fn(&Place) -> Result<(), Failure>,
    /// Everything that happens; the one to be killed is started behind the prefix.
    run: fn(&mut Play, &[&str]) -> Result<(), Failure>,
    /// How many kills of 150.
    share: usize,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "commit",
        prepare: full,
        run: |play, prefix| {
            play.start_victim(prefix, &EAGER)?;
            play.victim_ends()
        },
        share: 25,
    },
    Scenario {
        name: "join",
        prepare: full,
        run: |play, prefix| {
            play.start(&FOLLOW)?;
            play.all_come(BEFORE, false)?;
            play.start_victim(prefix, &FOLLOW)?;
            play.is_shared_by(2)?;
            play.more()?;
            play.all_come(BEFORE + LATER, false)?;
            play.stop_victim()
        },
        share: 30,
    },
    Scenario {
        name: "release",
        prepare: full,
        run: |play, prefix| {
            play.start_victim(prefix, &FOLLOW)?;
            play.all_come(BEFORE, true)?;
            play.start(&FOLLOW)?;
            play.is_shared_by(2)?;
            play.more()?;
            play.all_come(BEFORE + LATER, false)?;
            play.stop_victim()
        },
        share: 35,
    },
    Scenario {
        name: "leave",
        prepare: full,
        run: |play, prefix| {
            play.start(&FOLLOW)?;
            play.all_come(BEFORE, false)?;
            play.start_victim(prefix, &TO_END)?;
            play.victim_ends()?;
            play.more()?;
            play.all_come(BEFORE + LATER, false)
        },
        share: 20,
    },
    Scenario {
        name: "eviction",
        prepare: full,
        run: |play, prefix| {
            play.start(&FOLLOW)?;
            play.start_victim(prefix, &FOLLOW)?;
            play.is_shared_by(2)?;
            play.all_come(BEFORE, false)?;
            play.kill_first()?;
            play.is_shared_by(1)?;
            play.more()?;
            play.all_come(BEFORE + LATER, true)?;
            play.stop_victim()
        },
        share: 25,
    },
    Scenario {
        name: "compaction",
        prepare: |place| full(place).and_then(|()| grow(place)),
        run: |play, prefix| {
            play.start_victim(prefix, &TO_END)?;
            play.victim_ends()
        },
        share: 15,
    },
];

fn play(place: &Place, scenario: &Scenario, prefix: &[&str]) -> Result<(), Failure> {
    let mut play = Play {
        place,
        members: Vec::new(),
        victim: None,
        ended: Vec::new(),
        fed: BEFORE,
    };
    (scenario.run)(&mut play, prefix)?;
    play.ends()
}

/// The calls of an undisturbed run; what it began with is kept as `template`.
fn count(scenario: &Scenario, place: &Place) -> Result<Calls, Failure> {
    (scenario.prepare)(place)?;
    let template = place.dir().join("template");
    place.with_store(template).copy_store(place.store());
    let trace = format!("trace={}", CALLS.join(","));
    play(
        place,
        scenario,
        &["strace", "-f", "-qq", "-o", "trace", "-e", &trace],
    )?;
    let trace = fs::read_to_string(place.dir().join("trace")).map_err(|e| e.to_string())?;
    hold!(
        scenario.name != "compaction" || trace.contains("\"offsets.log\""),
        "the log was not rewritten"
    );
    hold!(
        scenario.name != "commit" || trace.contains("\"mqos"),
        "no sync of the log was noted"
    );
    let calls = calls_in(&trace);
    hold!(
        calls.contains_key("flock"),
        "the counting run saw {calls:?}"
    );
    Ok(calls)
}

fn kill(
    scenario: &Scenario,
    template: &Path,
    call: &str,
    n: usize,
    place: &Place,
) -> Result<(), Failure> {
    place.copy_store(template);
    let [trace, inject] = killing(call, n);
    let prefix = [
        "strace", "-f", "-qq", "-o", "trace", "-e", &trace, "-e", &inject,
    ];
    play(place, scenario, &prefix)
}

#[test]
fn a_killed_member_leaves_a_group_that_goes_on() {
    if !proc::has_strace("kills_groups") {
        return;
    }
    let _beside = crate::beside_others();
    let shares = SCENARIOS.each_ref().map(|scenario| Share {
        name: scenario.name,
        weight: scenario.share,
    });
    kill_sweep::over_all(
        "kills_groups",
        &shares,
        |at, place| count(&SCENARIOS[at], place),
        |at, template, (call, n), place| kill(&SCENARIOS[at], template, call, n, place),
    );
    let killed = KILLED.load(Ordering::Relaxed);
    println!("{killed} members killed");
    assert!(killed > 12, "too few kills to tell: {killed}");
}
