//! `kill -9` at each system call that changes the store, of each command that does; then the next
//! process has to go on as if nothing had happened, with all that was acknowledged.
//!
//! A counting run finds which calls a command makes and how often; the sweep goes over all of
//! them, thinned evenly to a budget of kills (`MQ_LONG=1`: sixty times as many, in rounds, since threads meet
//! differently each time).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::compaction;
use super::retained::{LIMITED, retained};
use crate::kill_sweep::{self, Calls, Share};
use crate::proc::{self, Failure, Place, Ran, acknowledged, check_log, seen, works_on};
use crate::sweep::{CALLS, calls_in, killing};

const ECHO: &str = "%p %o %v\\n";

/// Commands that were really killed, and records that they had acknowledged by then.
static KILLED: AtomicUsize = AtomicUsize::new(0);
static OWED: AtomicUsize = AtomicUsize::new(0);

type Check = fn(&Place, &Ran) -> Result<(), Failure>;

/// A command that is killed, in which store, and what must hold then.
struct Scenario {
    name: &'static str,
    /// Makes the store that it begins with.
    prepare: fn(&Place) -> Result<(), Failure>,
    tool: &'static str,
    args: &'static [&'static str],
    /// How many lines it is fed.
    lines: usize,
    /// How many kills of 500.
    share: usize,
    check: Check,
}

const SCENARIOS: [Scenario; 15] = [
    // All of its calls: the store, the topic and the record are made one after the other.
    Scenario {
        name: "the very first record",
        prepare: nothing,
        tool: "mq-produce",
        args: &["-q", "-o", ECHO, "t"],
        lines: 1,
        share: 300,
        check: first_written,
    },
    Scenario {
        name: "produce into nothing",
        prepare: nothing,
        tool: "mq-produce",
        args: &["-q", "--batch-size", "1KiB", "-o", ECHO, "t"],
        lines: 300,
        share: 90,
        check: produced,
    },
    Scenario {
        name: "produce into three partitions",
        prepare: |place| create(place, &["t", "-p", "3"]).and_then(|()| fill(place)),
        tool: "mq-produce",
        args: &["-q", "--batch-size", "1KiB", "-o", ECHO, "t"],
        lines: 300,
        share: 60,
        check: produced_after_fill,
    },
    Scenario {
        name: "produce into rolling segments",
        prepare: |place| {
            create(place, &["t", "-c", "segment.bytes=1024"]).and_then(|()| fill(place))
        },
        tool: "mq-produce",
        args: &["-q", "--batch-size", "1KiB", "-o", ECHO, "t"],
        lines: 200,
        share: 110,
        check: produced_after_fill,
    },
    Scenario {
        name: "produce and remove old segments",
        prepare: |place| create(place, &LIMITED).and_then(|()| fill(place)),
        tool: "mq-produce",
        args: &["-q", "--batch-size", "1KiB", "-o", ECHO, "t"],
        lines: 100,
        share: 90,
        check: retained,
    },
    Scenario {
        name: "create",
        prepare: full,
        tool: "mq-topics",
        args: &["create", "u", "-p", "3"],
        lines: 0,
        share: 40,
        check: created,
    },
    Scenario {
        name: "alter to never",
        prepare: full,
        tool: "mq-topics",
        args: &["alter", "t", "-c", "flush.messages=never"],
        lines: 0,
        share: 25,
        check: |place, ran| altered(place, ran, "never"),
    },
    Scenario {
        name: "alter back to 1",
        prepare: |place| {
            full(place)?;
            place
                .run("mq-topics", &["alter", "t", "-c", "flush.messages=never"])?
                .expect(0)?;
            fill_more(place)
        },
        tool: "mq-topics",
        args: &["alter", "t", "-c", "flush.messages=1"],
        lines: 0,
        share: 30,
        check: |place, ran| altered(place, ran, "1"),
    },
    Scenario {
        name: "alter --partitions",
        prepare: full,
        tool: "mq-topics",
        args: &["alter", "t", "--partitions", "4"],
        lines: 0,
        share: 35,
        check: widened,
    },
    Scenario {
        name: "delete",
        prepare: full,
        tool: "mq-topics",
        args: &["delete", "t", "--yes"],
        lines: 0,
        share: 40,
        check: deleted,
    },
    Scenario {
        name: "trim",
        prepare: |place| {
            create(place, &["t", "-p", "2", "-c", "segment.bytes=1024"])?;
            fill(place)
        },
        tool: "mq-topics",
        args: &["trim", "t", "--to", "15", "--yes"],
        lines: 0,
        share: 60,
        check: trimmed,
    },
    Scenario {
        name: "compact",
        prepare: compaction::prepare,
        tool: "mq-topics",
        args: &["compact", "t"],
        lines: 0,
        share: 120,
        check: compaction::check,
    },
    Scenario {
        name: "a group's first run",
        prepare: |place| create(place, &["t"]).and_then(|()| fill(place)),
        tool: "mq-consume",
        args: &["-g", "g", "-e", "-c", "20", "t"],
        lines: 0,
        share: 40,
        check: |place, ran| committed(place, ran, 0),
    },
    Scenario {
        name: "a group's second run",
        prepare: |place| {
            create(place, &["t"]).and_then(|()| fill(place))?;
            let first = place
                .run("mq-consume", &["-g", "g", "-e", "-c", "20", "t"])?
                .expect(0)?;
            hold!(
                first.lines() == sent(20),
                "{} printed {:?}",
                first.what,
                first.lines()
            );
            Ok(())
        },
        tool: "mq-consume",
        args: &["-g", "g", "-e", "-c", "20", "t"],
        lines: 0,
        share: 40,
        check: |place, ran| committed(place, ran, 20),
    },
    Scenario {
        name: "mq-groups commit",
        prepare: |place| {
            create(place, &["t"]).and_then(|()| fill(place))?;
            place
                .run("mq-consume", &["-g", "g", "-e", "-c", "20", "t"])?
                .expect(0)?;
            Ok(())
        },
        tool: "mq-groups",
        args: &["commit", "g", "t:0=7"],
        lines: 0,
        share: 20,
        check: set,
    },
];

fn sent(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("line {n} of a producer that does not live long, {n}"))
        .collect()
}

#[allow(clippy::unnecessary_wraps, reason = "it has the shape of the others")]
fn nothing(_: &Place) -> Result<(), Failure> {
    Ok(())
}

fn create(place: &Place, args: &[&str]) -> Result<(), Failure> {
    let argv: Vec<&str> = ["create"].into_iter().chain(args.iter().copied()).collect();
    place.run("mq-topics", &argv)?.expect(0).map(drop)
}

/// The lines that were there before, apart from those of the killed command.
fn old_lines() -> Vec<String> {
    sent(60)
}

fn new_lines(count: usize) -> Vec<String> {
    sent(count)
        .into_iter()
        .map(|line| format!("new {line}"))
        .collect()
}

fn fill(place: &Place) -> Result<(), Failure> {
    let input = place.input("old", &old_lines());
    place
        .feed("mq-produce", &["-q", "--batch-size", "1KiB", "t"], &input)?
        .expect(0)
        .map(drop)
}

fn fill_more(place: &Place) -> Result<(), Failure> {
    let input = place.input("newer", &new_lines(60));
    place
        .feed("mq-produce", &["-q", "t"], &input)?
        .expect(0)
        .map(drop)
}

fn full(place: &Place) -> Result<(), Failure> {
    create(place, &["t", "-p", "2"]).and_then(|()| fill(place))
}

/// Everything that the echo promised is there, and what else is there is a prefix.
fn produced(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let owed = acknowledged(ran)?;
    OWED.fetch_add(owed.len(), Ordering::Relaxed);
    if owed.is_empty() && (!place.store().exists() || !place.store().join("topics/t.json").exists())
    {
        return works_on(place, "t");
    }
    check_log(place, "t", &[&new_lines(300)], &owed)?;
    works_on(place, "t")
}

/// The first reader finds a store and a topic, or reports that there is none; the next writer
/// goes on.
fn first_written(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let owed = acknowledged(ran)?;
    OWED.fetch_add(owed.len(), Ordering::Relaxed);
    let read = place.run("mq-consume", &["-e", "t"])?;
    let is_missing = read.stderr.contains("no store") || read.stderr.contains("UNKNOWN_TOPIC");
    hold!(
        read.code() == Some(0) || (read.code() == Some(1) && is_missing && owed.is_empty()),
        "{} ended with {}: {}",
        read.what,
        read.status,
        read.stderr
    );
    if read.code() == Some(0) {
        check_log(place, "t", &[&new_lines(1)], &owed)?;
        let found = partitions(place, "t")?;
        hold!(found == Some(1), "half a topic: {found:?} partitions");
    }
    works_on(place, "t")?;
    let staging = fs::read_dir(place.store()).map_err(|e| e.to_string())?;
    let names: Vec<_> = staging.flatten().map(|entry| entry.file_name()).collect();
    hold!(names.len() <= 8, "leftovers in the store: {names:?}");
    Ok(())
}

fn produced_after_fill(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let owed = acknowledged(ran)?;
    OWED.fetch_add(owed.len(), Ordering::Relaxed);
    let there = check_log(place, "t", &[&old_lines(), &new_lines(300)], &owed)?;
    let old = there
        .iter()
        .filter(|record| record.value.starts_with("line"))
        .count();
    hold!(old == 60, "{old} of 60 old records are there");
    works_on(place, "t")
}

/// What describe says of a topic, one line for the topic and one for each partition: its number of
/// partitions, or none if there is no such topic.
fn partitions(place: &Place, topic: &str) -> Result<Option<usize>, Failure> {
    let ran = place.run("mq-topics", &["describe", topic, "--format", "tsv"])?;
    if ran.code() == Some(1) && ran.stderr.contains("UNKNOWN_TOPIC") {
        return Ok(None);
    }
    let ran = ran.expect(0)?;
    Ok(Some(ran.lines().len()))
}

fn created(place: &Place, _: &Ran) -> Result<(), Failure> {
    let found = partitions(place, "u")?;
    hold!(
        found.is_none_or(|count| count == 3),
        "half a topic: {found:?} partitions"
    );
    let list = place
        .run("mq-topics", &["list", "--format", "tsv"])?
        .expect(0)?;
    let listed = list
        .lines()
        .iter()
        .any(|line| line.starts_with("u\t") || line == "u");
    hold!(
        listed == found.is_some(),
        "listed: {listed}, described: {found:?}"
    );
    place
        .run("mq-topics", &["create", "u", "-p", "3", "--if-not-exists"])?
        .expect(0)?;
    let found = partitions(place, "u")?;
    hold!(found == Some(3), "{found:?} partitions of 3, made again");
    works_on(place, "u")?;
    untouched(place)
}

/// The topic of [`full`] has all that it had.
fn untouched(place: &Place) -> Result<(), Failure> {
    let there = check_log(place, "t", &[&old_lines(), &new_lines(60)], &[])?;
    let old = there
        .iter()
        .filter(|record| record.value.starts_with("line"))
        .count();
    hold!(old == 60, "{old} of 60 records are left");
    works_on(place, "t")
}

/// Each partition begins where it began, or at the point; all above is there, and a trim goes on.
fn trimmed(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let offsets = |place: &Place| -> Result<Vec<Vec<i64>>, Failure> {
        let read = place
            .run("mq-consume", &["-q", "-e", "-f", "%p %o\n", "t"])?
            .expect(0)?;
        let mut of = vec![Vec::new(); 2];
        for line in read.lines() {
            let (partition, offset) = line.split_once(' ').ok_or("a line")?;
            let partition: usize = partition.parse().map_err(|_| "a partition")?;
            of[partition].push(offset.parse().map_err(|_| "an offset")?);
        }
        Ok(of)
    };
    let is_done = ran.code() == Some(0);
    let mut count = 0;
    for of in offsets(place)? {
        let start = of.first().copied().unwrap_or_default();
        hold!(
            start == 15 || (start == 0 && !is_done),
            "a log begins at {start}"
        );
        let end = of.last().map_or(start, |last| last + 1);
        hold!(of == (start..end).collect::<Vec<_>>(), "a gap: {of:?}");
        count += end;
    }
    hold!(count == 60, "{count} offsets of 60");
    place
        .run("mq-topics", &["verify", "--deep", "t"])?
        .expect(0)?;
    place
        .run("mq-topics", &["trim", "t", "--to", "15", "--yes"])?
        .expect(0)?;
    let after = offsets(place)?;
    hold!(
        after.iter().all(|of| of.first() == Some(&15)),
        "not trimmed: {after:?}"
    );
    works_on(place, "t")
}

fn altered(place: &Place, _: &Ran, value: &str) -> Result<(), Failure> {
    let found = partitions(place, "t")?;
    hold!(found == Some(2), "{found:?} partitions of 2");
    let config = format!("flush.messages={value}");
    place
        .run("mq-topics", &["alter", "t", "-c", &config])?
        .expect(0)?;
    let json = place
        .run("mq-topics", &["describe", "t", "--format", "json"])?
        .expect(0)?;
    let text = String::from_utf8_lossy(&json.stdout).into_owned();
    hold!(
        text.contains("flush.messages"),
        "the config is not there: {text}"
    );
    untouched(place)
}

fn widened(place: &Place, _: &Ran) -> Result<(), Failure> {
    let found = partitions(place, "t")?;
    hold!(
        matches!(found, Some(2 | 4)),
        "{found:?} partitions, neither 2 nor 4"
    );
    if found == Some(2) {
        place
            .run("mq-topics", &["alter", "t", "--partitions", "4"])?
            .expect(0)?;
    }
    let found = partitions(place, "t")?;
    hold!(found == Some(4), "{found:?} partitions of 4");
    untouched(place)
}

fn deleted(place: &Place, _: &Ran) -> Result<(), Failure> {
    match partitions(place, "t")? {
        None => {}
        Some(2) => untouched(place)?,
        some => return Err(format!("half a topic: {some:?} partitions")),
    }
    place
        .run("mq-topics", &["delete", "t", "--yes", "--if-exists"])?
        .expect(0)?;
    let found = partitions(place, "t")?;
    hold!(found.is_none(), "deleted, but it has {found:?} partitions");
    create(place, &["t", "-p", "2"])?;
    let there = check_log(place, "t", &[], &[])?;
    hold!(there.is_empty(), "created again, but {there:?} is there");
    works_on(place, "t")
}

/// The next member begins at the old offset or where the killed one had printed up to.
fn committed(place: &Place, ran: &Ran, before: usize) -> Result<(), Failure> {
    let lines = old_lines();
    let printed = ran.lines();
    hold!(
        lines.get(before..before + printed.len()) == Some(&printed[..]),
        "{} printed {printed:?}, from {before}",
        ran.what
    );
    let rest = seen(
        &place
            .run("mq-consume", &["-J", "-g", "g", "-e", "t"])?
            .expect(0)?,
    )?;
    let first = rest
        .first()
        .map_or(lines.len(), |record| record.offset as usize);
    hold!(
        first == before || first == before + printed.len(),
        "committed is {first}: neither {before} nor {before} + {}",
        printed.len()
    );
    let values: Vec<&String> = rest.iter().map(|record| &record.value).collect();
    hold!(
        values == lines[first..].iter().collect::<Vec<_>>(),
        "the rest is {values:?}"
    );
    let again = place
        .run("mq-consume", &["-g", "g", "-e", "t"])?
        .expect(0)?;
    hold!(again.stdout.is_empty(), "read again: {:?}", again.lines());
    works_on(place, "t")
}

fn set(place: &Place, _: &Ran) -> Result<(), Failure> {
    let one = seen(
        &place
            .run("mq-consume", &["-J", "-g", "g", "-e", "-c", "1", "t"])?
            .expect(0)?,
    )?;
    let offset = one.first().map(|record| record.offset);
    hold!(
        matches!(offset, Some(7 | 20)),
        "committed is {offset:?}, neither 7 nor 20"
    );
    place
        .run("mq-groups", &["commit", "g", "t:0=7"])?
        .expect(0)?;
    let one = seen(
        &place
            .run("mq-consume", &["-J", "-g", "g", "-e", "-c", "1", "t"])?
            .expect(0)?,
    )?;
    let offset = one.first().map(|record| record.offset);
    hold!(offset == Some(7), "committed is {offset:?}, not 7");
    works_on(place, "t")
}

/// A place with the scenario's store and input in it.
fn set_up(
    place: &Place,
    scenario: &Scenario,
    template: Option<&Path>,
) -> Result<Option<PathBuf>, Failure> {
    match template {
        Some(store) => place.copy_store(store),
        None => (scenario.prepare)(place)?,
    }
    let input = (scenario.lines > 0).then(|| place.input("new", &new_lines(scenario.lines)));
    Ok(input)
}

/// How often each call occurs: in the thread with the most of them, as strace counts `when`.
fn count(scenario: &Scenario, place: &Place) -> Result<Calls, Failure> {
    let input = set_up(place, scenario, None)?;
    let trace = format!("trace={}", CALLS.join(","));
    let prefix = ["strace", "-f", "-qq", "-o", "trace", "-e", &trace];
    // The store is kept as it was before: the killed runs begin with copies of it.
    let store = place.store();
    let template = place.dir().join("template");
    if store.exists() {
        let done = std::process::Command::new("cp")
            .arg("-a")
            .arg(store)
            .arg(&template)
            .status();
        hold!(
            done.is_ok_and(|status| status.success()),
            "cp -a {}",
            store.display()
        );
    }
    place
        .start(&prefix, scenario.tool, scenario.args, input.as_deref())?
        .end()?
        .expect(0)?;
    let trace = fs::read_to_string(place.dir().join("trace")).map_err(|e| e.to_string())?;
    let calls = calls_in(&trace);
    hold!(!calls.is_empty(), "the counting run saw no call");
    Ok(calls)
}

fn kill(
    scenario: &Scenario,
    template: Option<&Path>,
    call: &str,
    n: usize,
    place: &Place,
) -> Result<(), Failure> {
    let input = set_up(place, scenario, template)?;
    let [trace, inject] = killing(call, n);
    let prefix = [
        "strace", "-f", "-qq", "-o", "trace", "-e", &trace, "-e", &inject,
    ];
    let ran = place
        .start(&prefix, scenario.tool, scenario.args, input.as_deref())?
        .end()?;
    // Threads share the calls differently in each run: it may end before one gets to its Nth.
    hold!(
        ran.signal() == Some(9) || ran.code() == Some(0),
        "{}",
        ran.ending()
    );
    if ran.signal() == Some(9) {
        KILLED.fetch_add(1, Ordering::Relaxed);
    }
    (scenario.check)(place, &ran)
}

#[test]
fn a_killed_command_leaves_a_store_that_goes_on() {
    if !proc::has_strace("kills") {
        return;
    }
    let _alone = crate::alone();
    let shares = SCENARIOS.each_ref().map(|scenario| Share {
        name: scenario.name,
        weight: scenario.share,
    });
    kill_sweep::over_all(
        "kills",
        &shares,
        |at, place| count(&SCENARIOS[at], place),
        |at, template, (call, n), place| {
            let template = template.exists().then_some(template);
            kill(&SCENARIOS[at], template, call, n, place)
        },
    );
    let (killed, owed) = (KILLED.load(Ordering::Relaxed), OWED.load(Ordering::Relaxed));
    println!("{killed} commands killed, {owed} records acknowledged before");
    assert!(
        killed > 50 && owed > 150,
        "too few kills to tell: {killed}, {owed}"
    );
}
