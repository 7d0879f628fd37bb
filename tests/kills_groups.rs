//! `kill -9` at each system call of one member of a group that changes something, while others live
//! beside it or come later: what it had not finished the others go on with, and every record comes
//! out.
//!
//! As in `kills.rs`, a counting run finds the calls, and the sweep is thinned evenly to a budget of
//! kills (`MQ_LONG=1`: ten times as many).

#[macro_use]
#[path = "common/proc.rs"]
mod proc;
#[path = "common/sweep.rs"]
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::group::{Entry, JoinOptions, Line, LineKind, Membership, Subscription};
use mq::store::StoreDir;
use mq::types::{TopicName, Uuid};
use proc::{Failure, PATIENCE, Place, Ran, Running, Score, is_long, seen, works_on};
use rustix::process::Signal;
use sweep::{CALLS, calls_in, thinned};

const WORKERS: usize = 2;
/// How many records there are before, and how many come while members are at work.
const BEFORE: usize = 60;
const LATER: usize = 30;
/// A member that follows.
const FOLLOW: [&str; 4] = ["-J", "-g", "g", "t"];
/// A member that ends at the end.
const TO_END: [&str; 5] = ["-J", "-e", "-g", "g", "t"];
/// The same, that commits as often as it can.
const EAGER: [&str; 7] = ["-J", "-e", "-g", "g", "--commit-interval", "1ms", "t"];

static KILLED: AtomicUsize = AtomicUsize::new(0);

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

/// The members of a case, of which one is the victim.
struct Play<'a> {
    place: &'a Place,
    members: Vec<Running>,
    victim: Option<Running>,
    ended: Vec<Ran>,
    fed: usize,
}

fn lines(from: usize, count: usize) -> Vec<String> {
    (from..from + count)
        .map(|n| format!("record {n} for whoever reads it"))
        .collect()
}

fn full(place: &Place) -> Result<(), Failure> {
    place
        .run("mq-topics", &["create", "t", "-p", "3"])?
        .expect(0)?;
    feed(place, 0, BEFORE)
}

/// Keys spread the records over the partitions.
fn feed(place: &Place, from: usize, count: usize) -> Result<(), Failure> {
    let keyed: Vec<String> = lines(from, count)
        .iter()
        .enumerate()
        .map(|(n, line)| format!("{}:{line}", from + n))
        .collect();
    let input = place.input(&format!("from {from}"), &keyed);
    place
        .feed("mq-produce", &["-q", "-K", ":", "t"], &input)?
        .expect(0)
        .map(drop)
}

/// A log that whoever takes the group's lock next writes anew.
fn grow(place: &Place) -> Result<(), Failure> {
    place
        .run("mq-groups", &["commit", "g", "t:0=0"])?
        .expect(0)?;
    let path = place.store().join("groups/g/offsets.log");
    let many: Vec<u8> = (0..20_000)
        .flat_map(|n| other_topics_line(n).encode())
        .collect();
    let mut file = OpenOptions::new()
        .append(true)
        .open(&path)
        .map_err(|e| e.to_string())?;
    file.write_all(&many).map_err(|e| e.to_string())
}

/// A commit for a topic that is no more.
fn other_topics_line(offset: i64) -> Line {
    let entry = Entry {
        topic: TopicName::new("gone").expect("a name"),
        topic_id: Uuid([1; 16]),
        partition: 0,
        offset,
        leader_epoch: -1,
    };
    Line {
        n: 0,
        time_ms: 1,
        kind: LineKind::Commit,
        member: Some("m".to_owned()),
        epoch: 1,
        entries: vec![entry],
    }
}

/// The whole lines of an output that may be torn at its end: partition, offset, value.
fn records(what: &str, bytes: &[u8]) -> Result<Vec<(i64, i64, String)>, Failure> {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| e.to_string())?;
    let parse = |line: &str| {
        let json: serde_json::Value =
            serde_json::from_str(line).map_err(|e| format!("{what}: {e}: {line}"))?;
        let number = |name: &str| json[name].as_i64().unwrap_or(-1);
        let value = json["value"].as_str().unwrap_or_default().to_owned();
        Ok((number("partition"), number("offset"), value))
    };
    text.lines().map(parse).collect()
}

impl Play<'_> {
    fn start(&mut self, args: &[&str]) -> Result<(), Failure> {
        let member = self.place.start(&[], "mq-consume", args, None)?;
        self.members.push(member);
        Ok(())
    }

    fn start_victim(&mut self, prefix: &[&str], args: &[&str]) -> Result<(), Failure> {
        self.victim = Some(self.place.start(prefix, "mq-consume", args, None)?);
        Ok(())
    }

    /// Records come while they read.
    fn more(&mut self) -> Result<(), Failure> {
        feed(self.place, self.fed, LATER)?;
        self.fed += LATER;
        Ok(())
    }

    fn come(&self) -> Result<BTreeSet<String>, Failure> {
        let mut all = BTreeSet::new();
        let running = self.members.iter().chain(&self.victim);
        let outputs = running.map(|running| running.printed());
        let outputs = outputs.chain(self.ended.iter().map(|ran| ran.stdout.clone()));
        for output in outputs {
            all.extend(
                records("a member", &output)?
                    .into_iter()
                    .map(|(_, _, value)| value),
            );
        }
        Ok(all)
    }

    /// Waits until the first so many records were printed by someone. If it `hangs_on_victim`,
    /// that is over with the victim.
    fn all_come(&mut self, count: usize, hangs_on_victim: bool) -> Result<(), Failure> {
        let begun = Instant::now();
        let owed: BTreeSet<String> = lines(0, count).into_iter().collect();
        loop {
            let is_over = self.victim_is_over()?;
            let come = self.come()?;
            if owed.is_subset(&come) || (hangs_on_victim && is_over) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let missing: Vec<_> = owed.difference(&come).collect();
                return Err(format!(
                    "those who live do not read on: {missing:?} are missing"
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until so many members are in the group and own partitions each, or the victim is over.
    fn is_shared_by(&mut self, count: usize) -> Result<(), Failure> {
        let begun = Instant::now();
        let path = self.place.store().join("groups/g/group.json");
        while !self.victim_is_over()? {
            let text = fs::read(&path).unwrap_or_default();
            let group: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let members = group["members"].as_array().cloned().unwrap_or_default();
            let owns = |member: &serde_json::Value| {
                member["assignment"]
                    .as_object()
                    .is_some_and(|owned| !owned.is_empty())
            };
            if members.len() == count && members.iter().all(owns) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the group is not shared by {count}: {group}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn victim_is_over(&mut self) -> Result<bool, Failure> {
        let Some(victim) = &mut self.victim else {
            return Ok(true);
        };
        let status = victim.child.try_wait().map_err(|e| e.to_string())?;
        Ok(status.is_some())
    }

    fn victim_ends(&mut self) -> Result<(), Failure> {
        let Some(victim) = self.victim.take() else {
            return Ok(());
        };
        let ran = victim.end()?;
        let (signal, code) = (ran.signal(), ran.code());
        hold!(
            matches!(signal, Some(9 | 15)) || code == Some(0),
            "{} ended with {}: {}",
            ran.what,
            ran.status,
            ran.stderr
        );
        if signal == Some(9) {
            KILLED.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.push(ran);
        Ok(())
    }

    fn stop_victim(&mut self) -> Result<(), Failure> {
        if let Some(victim) = &self.victim {
            victim.signal_group(Signal::TERM);
        }
        self.victim_ends()
    }

    fn kill_first(&mut self) -> Result<(), Failure> {
        let first = self.members.remove(0);
        first.signal_group(Signal::KILL);
        let ran = first.end()?;
        hold!(
            ran.signal() == Some(9),
            "{} ended with {}",
            ran.what,
            ran.status
        );
        self.ended.push(ran);
        Ok(())
    }

    /// The others stop, somebody finishes, and nothing is missing.
    fn ends(mut self) -> Result<(), Failure> {
        let place = self.place;
        let described = place.run("mq-groups", &["describe", "g"])?;
        let said = &described.stderr;
        let unborn = said.contains("GROUP_ID_NOT_FOUND") && self.members.is_empty();
        hold!(
            unborn || (described.code() == Some(0) && said.is_empty()),
            "describe ended with {}: {said}",
            described.status
        );
        for member in std::mem::take(&mut self.members) {
            member.signal_group(Signal::TERM);
            let ran = member.end()?;
            hold!(
                ran.signal() == Some(15) && ran.stderr.is_empty(),
                "{}: {}: {}",
                ran.what,
                ran.status,
                ran.stderr
            );
            self.ended.push(ran);
        }
        let rest = place.run("mq-consume", &TO_END)?.expect(0)?;
        hold!(rest.stderr.is_empty(), "{} says {}", rest.what, rest.stderr);
        seen(&rest)?;
        self.ended.push(rest);
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for ran in &self.ended {
            let mut last = BTreeMap::new();
            for (partition, offset, value) in records(&ran.what, &ran.stdout)? {
                let before = last.insert(partition, offset);
                // What came back to a member after another died with it uncommitted goes back.
                hold!(
                    before != Some(offset),
                    "{} printed {partition}:{offset} twice on end",
                    ran.what
                );
                *times.entry(value).or_default() += 1;
            }
        }
        let all: BTreeSet<String> = lines(0, self.fed).into_iter().collect();
        let come: BTreeSet<String> = times.keys().cloned().collect();
        hold!(
            come == all,
            "missing: {:?}",
            all.difference(&come).collect::<Vec<_>>()
        );
        // Again comes only what a killed one had printed and not committed.
        let killed = self
            .ended
            .iter()
            .filter(|ran| ran.signal() == Some(9))
            .count();
        for (value, times) in &times {
            hold!(
                *times <= 1 + killed,
                "{value} came {times} times, {killed} were killed"
            );
        }
        let again = place.run("mq-consume", &TO_END)?.expect(0)?;
        hold!(again.stdout.is_empty(), "read again: {:?}", again.lines());
        works_on(place, "t")
    }
}

/// Whatever is still at work when a case failed is ended.
impl Drop for Play<'_> {
    fn drop(&mut self) {
        for running in self.members.iter_mut().chain(&mut self.victim) {
            running.signal_group(Signal::KILL);
            let _ = running.child.wait();
        }
    }
}

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
fn count(scenario: &Scenario, place: &Place) -> Result<BTreeMap<&'static str, usize>, Failure> {
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
        "the log was not written anew"
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
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=KILL:when={n}");
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
    let times = if is_long() { 10 } else { 1 };
    let score = Score::default();
    let mut jobs = Vec::new();
    let mut counted = Vec::new();
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        let place = Place::new("kills-groups");
        let calls = match count(scenario, &place) {
            Ok(calls) => calls,
            Err(failure) => {
                let kept = place.dir().display();
                score.case(scenario.name, |_| {
                    Err(format!("counting: {failure} in {kept}"))
                });
                continue;
            }
        };
        let chosen = thinned(&calls, scenario.share * times);
        println!(
            "{}: {} kills of {} calls {calls:?}",
            scenario.name,
            chosen.len(),
            calls.values().sum::<usize>()
        );
        let from = counted.len();
        jobs.extend(chosen.into_iter().map(|(call, n)| (at, from, call, n)));
        counted.push(place);
    }
    jobs.reverse();
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((at, from, call, n)) = jobs.lock().expect("jobs").pop() else {
                        break;
                    };
                    let scenario = &SCENARIOS[at];
                    let template = counted[from].dir().join("template");
                    score.case(
                        &format!("{}, killed at {call} {n}", scenario.name),
                        |place| kill(scenario, &template, call, n, place),
                    );
                }
            });
        }
    });
    for place in counted {
        place.remove();
    }
    let killed = KILLED.load(Ordering::Relaxed);
    println!("{killed} members killed");
    score.close("kills_groups");
    assert!(killed > 75, "too few kills to tell: {killed}");
}

/// A partition is to move and is no longer read, but its last records are not taken yet; then its
/// next owner is gone: it is read on.
#[test]
fn a_partition_that_was_to_move_and_stays_is_read_on() {
    let score = Score::default();
    for way in ["leaves", "dies"] {
        score.case(way, |place| stays(place, way == "dies"));
    }
    score.close("a partition stays");
}

fn stays(place: &Place, dies: bool) -> Result<(), Failure> {
    full(place)?;
    let mut member = Command::new(proc::tool("mq-consume"))
        .args(FOLLOW)
        .env("MQ_STORE", place.store())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let outcome = stays_with(place, &mut member, dies);
    let _ = member.kill();
    let _ = member.wait();
    outcome
}

fn stays_with(place: &Place, member: &mut Child, dies: bool) -> Result<(), Failure> {
    let moment = Duration::from_millis(300);
    std::thread::sleep(moment);
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, place.store());
    let store = Arc::new(store.map_err(|e| e.to_string())?);
    let options = JoinOptions {
        subscription: Subscription::to_names([TopicName::new("t").expect("a name")]),
        assignor: None,
        instance_id: None,
        session_timeout: PATIENCE,
        ends: None,
        patience: PATIENCE,
    };
    let mut other = Membership::join(&store, "g", &options).map_err(|e| e.to_string())?;
    other.assign().map_err(|e| e.to_string())?;
    std::thread::sleep(moment);
    let owned = other.me().map(|me| me.owned.len());
    hold!(
        owned == Some(0),
        "its reader took nothing, but {owned:?} moved"
    );
    if dies {
        drop(other);
    } else {
        other.leave(Vec::new()).map_err(|e| e.to_string())?;
    }
    std::thread::sleep(moment);
    feed(place, BEFORE, LATER)?;
    let stdout = member.stdout.take().ok_or("no pipe")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut printed = Vec::new();
    while printed.len() < BEFORE + LATER {
        match receiver.recv_timeout(PATIENCE) {
            Ok(line) => printed.push(line),
            Err(_) => return Err(format!("{} of {} came", printed.len(), BEFORE + LATER)),
        }
    }
    let all: BTreeSet<&String> = printed.iter().collect();
    hold!(all.len() == printed.len(), "some came twice");
    Ok(())
}
