//! The checker of groups' histories: good histories pass, and each way to doctor one is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::checker::check;
use super::history::{Entry, Event, History, Process, Rules, Violation};
use super::view::{Commit, Member, Tp, View};
use crate::tally::Tally;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Of a session timeout of 2 s.
const RULES: Rules = Rules {
    partitions: 2,
    balance: ms(1000),
    pause: ms(5000),
};

fn tp(partition: i64) -> Tp {
    ("t".to_owned(), partition)
}

/// All members in one epoch: id, process, partitions.
fn seen(epoch: i64, members: &[(&str, Process, &[i64])]) -> Event {
    let members = members.iter().map(|(id, pid, owned)| {
        let owned: BTreeSet<Tp> = owned.iter().map(|partition| tp(*partition)).collect();
        let member = Member {
            epoch,
            pid: *pid,
            target: owned.clone(),
            owned,
        };
        ((*id).to_owned(), member)
    });
    Event::Seen(Arc::new(View {
        group_epoch: epoch,
        assignment_epoch: epoch,
        members: members.collect(),
    }))
}

fn committed(n: u64, member: &str, epoch: i64, offsets: &[(i64, i64)]) -> Event {
    Event::Committed(Commit {
        n,
        member: member.to_owned(),
        epoch,
        offsets: offsets
            .iter()
            .map(|(p, offset)| (tp(*p), *offset))
            .collect(),
    })
}

fn payload(partition: i64, offset: i64) -> String {
    format!("{partition}-{offset}")
}

fn delivered(process: Process, partition: i64, offset: i64) -> Event {
    Event::Delivered {
        process,
        tp: tp(partition),
        offset,
        payload: payload(partition, offset),
    }
}

fn stored(partition: i64, offset: i64) -> Event {
    Event::Stored {
        tp: tp(partition),
        offset,
        payload: payload(partition, offset),
    }
}

fn ended(process: Process, status: i32, reported: &[&str]) -> Event {
    Event::Ended {
        process,
        status,
        reported: reported.iter().map(|line| (*line).to_owned()).collect(),
    }
}

const AGAIN: &str =
    "mq-consume: group 'g' removed this member because its heartbeat had stopped: joining again";
const FENCED: &str = "mq-consume: UNKNOWN_MEMBER_ID: the group no longer has this member";

/// Processes 1 to 4 read two partitions of four records each.
///
/// 2 is paused, taken for dead (b), and joins again (c); 1 is killed (a), and 3 takes over (d); 4
/// (e) is paused and ends when it wakes.
fn good() -> History {
    use Event::{Killed, Paused, Resumed, Started, Stopped};
    let events = [
        (0, Started(1)),
        (50, committed(1, "a", 1, &[(0, 0), (1, 0)])),
        (60, seen(1, &[("a", 1, &[0, 1])])),
        (100, Started(2)),
        (300, seen(2, &[("a", 1, &[0]), ("b", 2, &[1])])),
        (400, committed(1, "a", 2, &[(0, 2)])),
        (410, committed(1, "b", 2, &[(1, 1)])),
        (500, Paused(2)),
        (2500, seen(2, &[("a", 1, &[0]), ("b", 2, &[1])])),
        (2700, seen(3, &[("a", 1, &[0, 1])])),
        // It woke with the lock that it had: its line does not count.
        (2800, committed(2, "a", 3, &[(1, 2)])),
        (2900, committed(1, "b", 2, &[(1, 3)])),
        (3000, Resumed(2)),
        (3200, seen(4, &[("a", 1, &[0]), ("c", 2, &[1])])),
        (3300, committed(2, "c", 4, &[(1, 3)])),
        (3400, Started(3)),
        (3500, Killed(1)),
        (3600, ended(1, 137, &[])),
        (3700, seen(5, &[("c", 2, &[1]), ("d", 3, &[0])])),
        (3800, committed(2, "d", 5, &[(0, 4)])),
        // The file was rewritten.
        (3810, committed(2, "c", 4, &[(1, 3)])),
        (3820, committed(2, "d", 5, &[(0, 4)])),
        (3900, Stopped(2)),
        (3950, committed(2, "c", 5, &[(1, 4)])),
        (4000, seen(6, &[("d", 3, &[0, 1])])),
        (4010, ended(2, 143, &[AGAIN])),
        (4100, Started(4)),
        (4300, seen(7, &[("d", 3, &[0]), ("e", 4, &[1])])),
        (4400, Paused(4)),
        (6900, seen(8, &[("d", 3, &[0, 1])])),
        (7000, Resumed(4)),
        (7100, ended(4, 70, &[FENCED])),
        (7200, seen(8, &[("d", 3, &[0, 1])])),
        (7300, Stopped(3)),
        (7400, seen(9, &[])),
        (7500, ended(3, 0, &[])),
    ];
    let mut history = History::default();
    for (at, event) in events {
        history.push(ms(at), event);
    }
    let outputs = [
        (1, vec![(0, 0), (0, 1), (0, 2), (1, 1)]),
        (2, vec![(1, 0), (1, 1), (1, 2), (1, 2), (1, 3)]),
        (3, vec![(0, 2), (0, 3)]),
    ];
    for (process, places) in outputs {
        for (partition, offset) in places {
            history.push(ms(7600), delivered(process, partition, offset));
        }
    }
    for offset in 0..4 {
        history.push(ms(7700), stored(0, offset));
        history.push(ms(7700), stored(1, offset));
    }
    history
}

fn violations(history: &History) -> Vec<Violation> {
    Tally::case();
    check(history, &RULES).0
}

#[test]
fn good_histories_pass() {
    let _tally = Tally::start();
    assert_eq!(violations(&good()), []);
    assert_eq!(violations(&History::default()), []);
    // As far as it went. Where it ends too early, who came later is not known.
    let is_record = |entry: &Entry| entry.at >= ms(7600);
    let (records, events): (Vec<_>, Vec<_>) = good().entries.into_iter().partition(is_record);
    for len in 0..events.len() {
        let entries = [&events[..len], &records].concat();
        let mut found = violations(&History { entries });
        found.retain(|violation| {
            use Violation::{Again, NotBack, TooLate};
            !matches!(violation, Again { .. } | NotBack { .. } | TooLate { .. })
        });
        assert_eq!(found, [], "of {len} events");
    }
}

#[test]
fn balance_is_reported() {
    let _tally = Tally::start();
    Tally::case();
    let (_, worst) = check(&good(), &RULES);
    let worst: BTreeMap<&str, u128> = worst
        .iter()
        .map(|(kind, time)| (kind.as_str(), time.as_millis()))
        .collect();
    let due = [
        ("end", 100),
        ("kill", 200),
        ("pause", 2500),
        ("resume", 200),
    ];
    let due = due.into_iter().chain([("start", 200), ("stop", 100)]);
    assert_eq!(worst, due.collect());
}

/// Doctors the good history and expects violations of that kind (the name of its variant) alone.
fn found(kind: &str, doctor: impl Fn(&mut Vec<Entry>)) {
    let mut history = good();
    doctor(&mut history.entries);
    assert_ne!(history, good(), "{kind}: the doctor did nothing");
    let violations = violations(&history);
    let names: BTreeSet<String> = violations
        .iter()
        .map(|v| {
            format!("{v:?}")
                .split([' ', '{'])
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert!(names.contains(kind), "{kind} not in {violations:#?}");
    let allowed: &[&str] = match kind {
        // Who does not come back keeps the others from being balanced.
        "NotBack" => &["TooLate"],
        // Two owners in one look are no balance either, and two in the epoch.
        "TwoAtOnce" => &["TwoOwners", "TooLate"],
        // Where such a line counts, what was printed after it is printed again.
        "CommitOfRemoved" | "CommitOfFormerOwner" | "CommitFell" => &[
            "Again",
            "CommitFell",
            "CommitOfFormerOwner",
            "CommitSkipped",
            "TwoOwners",
        ],
        // What nobody printed is not excused by a crash.
        "CommitSkipped" => &["Again"],
        _ => &[],
    };
    for name in &names {
        assert!(
            name == kind || allowed.contains(&name.as_str()),
            "{kind}, but also {violations:#?}"
        );
    }
}

fn at(entries: &[Entry], wanted: &Event) -> usize {
    entries
        .iter()
        .position(|entry| entry.event == *wanted)
        .expect("the event is in the history")
}

fn replace(from: Event, to: Event) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        let at = at(entries, &from);
        entries[at].event = to.clone();
    }
}

fn remove(event: Event) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        let at = at(entries, &event);
        entries.remove(at);
    }
}

fn insert(time: u64, event: Event) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        let at = ms(time);
        let n = entries.partition_point(|entry| entry.at <= at);
        let event = event.clone();
        entries.insert(n, Entry { at, event });
    }
}

/// Moves the events of such times by so much.
fn shift(times: std::ops::RangeFrom<u64>, by: u64) -> impl Fn(&mut Vec<Entry>) {
    move |entries| {
        for entry in entries {
            if entry.at >= ms(times.start) {
                entry.at += ms(by);
            }
        }
    }
}

#[test]
fn owners() {
    let _tally = Tally::start();
    let both = seen(2, &[("a", 1, &[0, 1]), ("b", 2, &[1])]);
    found("TwoAtOnce", insert(350, both));
    // b's partition goes to a, in the epoch in which b had it.
    found(
        "TwoOwners",
        insert(450, seen(2, &[("a", 1, &[1]), ("b", 2, &[0])])),
    );
    found(
        "CameBack",
        insert(
            3250,
            seen(4, &[("b", 2, &[]), ("c", 2, &[1]), ("a", 1, &[0])]),
        ),
    );
}

#[test]
fn records() {
    let _tally = Tally::start();
    found("Lost", |entries| {
        // Nobody has printed it, and nobody committed it.
        entries.push(Entry {
            at: ms(7700),
            event: stored(1, 4),
        });
    });
    // Printed once more by one that ended well, before or after its commit of it.
    found("Again", insert(7600, delivered(3, 0, 3)));
    found("Again", insert(7600, delivered(3, 1, 3)));
    // By one that was killed, which had committed it.
    found("Again", insert(7600, delivered(3, 0, 1)));
    // By one that was taken for dead, which had committed it.
    found("Again", insert(7600, delivered(1, 1, 0)));
    // Once more than there were members that could not commit it.
    found("Again", insert(7600, delivered(3, 1, 2)));
    // One that was paused and not taken for dead is no excuse.
    found("Again", |entries| {
        entries.retain(|entry| entry.event != Event::Killed(1));
        replace(ended(1, 137, &[]), ended(1, 0, &[]))(entries);
        insert(3450, Event::Stopped(1))(entries);
    });
    found("Invented", |entries| {
        let at = at(entries, &delivered(3, 0, 3));
        entries[at].event = Event::Delivered {
            process: 3,
            tp: tp(0),
            offset: 3,
            payload: payload(0, 2),
        };
    });
    found("Invented", insert(7600, delivered(3, 1, 4)));
}

#[test]
fn one_left_unread() {
    let _tally = Tally::start();
    let unread = |offset| {
        let mut history = good();
        insert(3450, Event::LeftUnread(2))(&mut history.entries);
        insert(7600, delivered(2, 1, 3))(&mut history.entries);
        insert(7600, delivered(3, 1, offset))(&mut history.entries);
        history
    };
    // c committed up to 4.
    assert!(matches!(
        violations(&unread(3))[..],
        [Violation::Again { .. }]
    ));
    let mut history = unread(3);
    // It did not: d did, who printed it.
    replace(
        committed(2, "c", 5, &[(1, 4)]),
        committed(2, "d", 6, &[(1, 4)]),
    )(&mut history.entries);
    assert_eq!(violations(&history), []);
}

#[test]
fn commits() {
    let _tally = Tally::start();
    // With the N of the one who holds the lock now, it counts.
    found(
        "CommitOfRemoved",
        replace(
            committed(1, "b", 2, &[(1, 3)]),
            committed(2, "b", 2, &[(1, 3)]),
        ),
    );
    found(
        "CommitOfRemoved",
        insert(2750, committed(2, "b", 2, &[(1, 2)])),
    );
    // d has it, and committed it; c is a member still.
    found(
        "CommitOfFormerOwner",
        insert(3850, committed(2, "c", 4, &[(0, 4)])),
    );
    found(
        "CommitOfFormerOwner",
        insert(3350, committed(2, "a", 4, &[(1, 3)])),
    );
    found("CommitFell", insert(3850, committed(2, "d", 5, &[(0, 3)])));
    found(
        "CommitSkipped",
        insert(3970, committed(2, "d", 6, &[(1, 5)])),
    );
    // Printed, but by another.
    found(
        "CommitSkipped",
        replace(
            committed(1, "a", 2, &[(0, 2)]),
            committed(1, "a", 2, &[(0, 4)]),
        ),
    );
    // Where nothing is committed yet, too.
    found(
        "CommitSkipped",
        replace(
            committed(1, "a", 1, &[(0, 0), (1, 0)]),
            committed(1, "a", 1, &[(0, 0), (1, 1)]),
        ),
    );
}

#[test]
fn members_that_stood_still() {
    let _tally = Tally::start();
    // It is not there for a second and more, the others share its partitions.
    found("NotBack", |entries| {
        replace(
            seen(4, &[("a", 1, &[0]), ("c", 2, &[1])]),
            seen(4, &[("a", 1, &[0])]),
        )(entries);
        shift(3200.., 900)(entries);
    });
    found("NotBack", |entries| {
        remove(ended(4, 70, &[FENCED]))(entries);
        shift(7200.., 900)(entries);
    });
    // More than one line, or no line, or a bad end of one that never stood still.
    let twice = [FENCED, "mq-consume: it is so"];
    for (process, bad) in [
        (4, ended(4, 70, &twice)),
        (4, ended(4, 70, &[])),
        (4, ended(4, 0, &[FENCED])),
        (4, ended(4, 143, &[])),
        (3, ended(3, 70, &[FENCED])),
        (3, ended(3, 0, &["a warning"])),
    ] {
        let good = if process == 4 {
            ended(4, 70, &[FENCED])
        } else {
            ended(3, 0, &[])
        };
        found("EndedBadly", replace(good, bad));
    }
}

#[test]
fn balances() {
    let _tally = Tally::start();
    // After a start, a kill, a stop, a resume and a pause.
    let mut late = 0;
    for (time, view) in [
        (1101, seen(2, &[("a", 1, &[0]), ("b", 2, &[])])),
        (3500 + 1001, seen(5, &[("c", 2, &[1])])),
        (3900 + 1001, seen(5, &[("c", 2, &[1]), ("d", 3, &[0])])),
        (3000 + 1001, seen(3, &[("a", 1, &[0, 1])])),
        (500 + 5001, seen(2, &[("a", 1, &[0]), ("b", 2, &[1])])),
    ] {
        late += 1;
        let from = [300, 3700, 4000, 3200, 2700][late - 1];
        let delayed = |by: u64| {
            let view = view.clone();
            move |entries: &mut Vec<Entry>| {
                shift(from.., 10_000)(entries);
                insert(time - by, view.clone())(entries);
            }
        };
        match late {
            4 => found("NotBack", delayed(0)),
            _ => found("TooLate", delayed(0)),
        }
        // At the last moment it is in time.
        let mut history = good();
        delayed(1)(&mut history.entries);
        assert_eq!(violations(&history), [], "case {late}");
    }
    // Nobody observed any more whether it ever came to that.
    let last = [
        seen(8, &[("d", 3, &[0, 1])]),
        seen(7, &[("d", 3, &[0]), ("e", 4, &[1])]),
    ];
    found("TooLate", |entries| {
        entries.retain(|entry| !last.contains(&entry.event));
        entries.retain(|entry| entry.event != Event::Stopped(3));
        entries.retain(|entry| entry.event != seen(9, &[]) && entry.event != ended(3, 0, &[]));
    });
}

#[test]
fn a_lone_member_that_stands_still() {
    let _tally = Tally::start();
    let history = |last: u64| {
        let mut history = History::default();
        let shared = seen(2, &[("a", 1, &[0]), ("b", 2, &[1])]);
        let alone = seen(1, &[("a", 1, &[0, 1])]);
        for (at, event) in [
            (0, Event::Started(1)),
            (100, alone.clone()),
            (200, Event::Paused(1)),
            (20_000, alone),
            // From now on somebody sees that it stands still.
            (21_000, Event::Started(2)),
            (last, shared),
            (26_500, seen(3, &[("b", 2, &[0, 1])])),
        ] {
            history.push(ms(at), event);
        }
        history
    };
    assert_eq!(violations(&history(26_000)), []);
    let found = violations(&history(26_001));
    assert!(
        matches!(found[..], [Violation::TooLate { .. }]),
        "{found:?}"
    );
}

#[test]
fn a_member_that_stands_still_before_it_has_joined() {
    let _tally = Tally::start();
    let history = |last: u64| {
        let mut history = History::default();
        let alone = seen(1, &[("a", 1, &[0, 1])]);
        for (at, event) in [
            (0, Event::Started(1)),
            (100, alone.clone()),
            (200, Event::Started(2)),
            // It may have the group's lock.
            (250, Event::Paused(2)),
            (300, alone.clone()),
            (400, Event::Started(3)),
            (last, alone),
            (5300, seen(2, &[("a", 1, &[0]), ("c", 3, &[1])])),
        ] {
            history.push(ms(at), event);
        }
        history
    };
    assert_eq!(violations(&history(5250)), []);
    let found = violations(&history(5251));
    assert!(
        matches!(found[..], [Violation::TooLate { .. }]),
        "{found:?}"
    );
}
