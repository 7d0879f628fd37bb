//! The checker of histories: a good history passes, and each way to doctor it is found.

use crate::common::history::{Event, History, Place, Promise, Violation, check};
use crate::common::tally::Tally;

const LOG: &str = "t:0";

fn invoked(producer: u32, payload: &str) -> Event {
    Event::Invoked {
        producer,
        log: LOG.into(),
        payload: payload.into(),
    }
}

fn acked(producer: u32, payload: &str, offset: i64, epoch: i32, promise: Promise) -> Event {
    let (log, payload, place) = (LOG.into(), payload.into(), Place { offset, epoch });
    Event::Acknowledged {
        producer,
        log,
        payload,
        place,
        promise,
    }
}

fn read(reader: u32, payload: &str, offset: i64, epoch: i32, promise: Promise) -> Event {
    let (log, payload, place) = (LOG.into(), payload.into(), Place { offset, epoch });
    Event::Read {
        reader,
        log,
        place,
        payload,
        promise,
    }
}

fn bounds(log_start: i64, high_watermark: i64, promise: Promise) -> Event {
    Event::Bounds {
        log: LOG.into(),
        log_start,
        high_watermark,
        promise,
    }
}

/// Two producers, a kill and a power cut; d was lost by it, as was allowed.
fn good() -> Vec<Event> {
    use Promise::{Kill, PowerCut};
    vec![
        invoked(1, "a"),
        acked(1, "a", 0, 0, PowerCut),
        invoked(2, "b"),
        invoked(1, "c"),
        acked(1, "c", 2, 0, PowerCut),
        Event::Unknown {
            producer: 2,
            log: LOG.into(),
            payload: "b".into(),
        },
        invoked(1, "f"),
        Event::Failed {
            producer: 1,
            log: LOG.into(),
            payload: "f".into(),
        },
        bounds(0, 3, PowerCut),
        Event::Assigned {
            reader: 1,
            log: LOG.into(),
            from: 0,
        },
        read(1, "a", 0, 0, PowerCut),
        read(1, "b", 1, 0, PowerCut),
        invoked(1, "d"),
        acked(1, "d", 3, 0, Kill),
        Event::PowerCut,
        invoked(1, "e"),
        acked(1, "e", 3, 1, PowerCut),
        bounds(0, 4, PowerCut),
        Event::Assigned {
            reader: 2,
            log: LOG.into(),
            from: 0,
        },
        read(2, "a", 0, 0, PowerCut),
        read(2, "b", 1, 0, PowerCut),
        read(2, "c", 2, 0, PowerCut),
        read(2, "e", 3, 1, PowerCut),
        Event::Finished {
            reader: 2,
            log: LOG.into(),
            from: 0,
            until: 4,
        },
    ]
}

fn violations(events: Vec<Event>) -> Vec<Violation> {
    Tally::case();
    check(&History { events })
}

#[test]
fn a_good_history_passes() {
    let _tally = Tally::start();
    assert_eq!(violations(good()), []);
}

/// Doctors the good history and expects a violation of that kind (the name of its variant).
fn found(kind: &str, doctor: impl Fn(&mut Vec<Event>)) {
    let mut events = good();
    doctor(&mut events);
    assert_ne!(events, good(), "{kind}: the doctor did nothing");
    let violations = violations(events);
    let names: Vec<String> = violations.iter().map(|v| format!("{v:?}")).collect();
    assert!(
        names.iter().any(|name| name.starts_with(kind)),
        "{kind} not in {names:?}"
    );
}

fn at(events: &[Event], wanted: &Event) -> usize {
    events
        .iter()
        .position(|event| event == wanted)
        .expect("the event is in the history")
}

#[test]
fn every_kind_of_violation_is_found() {
    let _tally = Tally::start();
    use Promise::{Kill, PowerCut};
    let replace = |from: Event, to: Event| {
        move |events: &mut Vec<Event>| {
            let at = at(events, &from);
            events[at] = to.clone();
        }
    };
    let remove = |event: Event| {
        move |events: &mut Vec<Event>| {
            let at = at(events, &event);
            events.remove(at);
        }
    };
    // The same epoch and offset with another record, acknowledged or read.
    found(
        "TwoRecords",
        replace(acked(1, "e", 3, 1, PowerCut), acked(1, "e", 3, 0, PowerCut)),
    );
    found(
        "TwoRecords",
        replace(read(2, "b", 1, 0, PowerCut), read(2, "c", 1, 0, PowerCut)),
    );
    found("TwoPlaces", |events| {
        events.insert(12, read(1, "a", 2, 0, PowerCut));
    });
    // Gone from the middle, from the end, or replaced.
    found("Lost", remove(read(2, "c", 2, 0, PowerCut)));
    found("Lost", remove(read(2, "e", 3, 1, PowerCut)));
    found("Lost", |events| {
        let cut = at(events, &Event::PowerCut);
        events.remove(cut);
    });
    found(
        "Lost",
        replace(acked(1, "d", 3, 0, Kill), acked(1, "d", 3, 0, PowerCut)),
    );
    found(
        "Invented",
        replace(read(2, "a", 0, 0, PowerCut), read(2, "z", 0, 0, PowerCut)),
    );
    found("NotFailed", |events| {
        let last = events.len() - 1;
        events.insert(last, read(2, "f", 4, 1, PowerCut));
    });
    found("OutOfOrder", |events| {
        events.insert(2, invoked(1, "x"));
        events.insert(8, acked(1, "x", 7, 0, PowerCut));
    });
    found("Gap", remove(read(2, "b", 1, 0, PowerCut)));
    found("Gap", |events| {
        let again = read(2, "b", 1, 0, PowerCut);
        let at = at(events, &again);
        events.insert(at, again);
    });
    found("Gap", remove(read(1, "a", 0, 0, PowerCut)));
    found("BeyondEnd", |events| {
        let last = events.len() - 1;
        events[last] = Event::Finished {
            reader: 2,
            log: LOG.into(),
            from: 0,
            until: 3,
        };
    });
    found(
        "HighWatermarkFell",
        replace(bounds(0, 4, PowerCut), bounds(0, 2, PowerCut)),
    );
    found(
        "LogStartFell",
        replace(bounds(0, 3, PowerCut), bounds(1, 3, PowerCut)),
    );
    found(
        "EpochFell",
        replace(read(2, "a", 0, 0, PowerCut), read(2, "a", 0, 2, PowerCut)),
    );
}

#[test]
fn a_high_watermark_may_fall_where_a_power_cut_may_take_records() {
    let _tally = Tally::start();
    let events = vec![
        bounds(0, 5, Promise::Kill),
        Event::PowerCut,
        bounds(0, 2, Promise::Kill),
    ];
    assert_eq!(violations(events), []);
    let events = vec![bounds(0, 5, Promise::Kill), bounds(0, 2, Promise::Kill)];
    assert_eq!(violations(events).len(), 1);
}
