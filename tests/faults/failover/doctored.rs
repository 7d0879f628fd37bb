//! The checker of histories: a good one passes, and each way to doctor it is found.

use std::time::Duration;

use super::checker::{Rule, SETTLED, check};
use super::history::{Copy, Event, History, Led, Page, Stored, Tp};
use crate::tally::Tally;

fn tp() -> Tp {
    ("t".to_owned(), 0)
}

fn value(offset: i64) -> String {
    format!("v{offset}")
}

fn acknowledged(offset: i64) -> Event {
    Event::Acknowledged {
        producer: 0,
        tp: tp(),
        offset,
        value: value(offset),
    }
}

fn read(offset: i64) -> Event {
    Event::Read {
        reader: 0,
        tp: tp(),
        offset,
        value: value(offset),
    }
}

fn topic(version: u64, leader: i64, epoch: i64, isr: &[i64]) -> Event {
    let replicas = [1, 2, 3].map(|broker| (broker, format!("uuid-{broker}")));
    Event::Topic {
        version,
        partitions: vec![Led {
            tp: tp(),
            leader,
            epoch,
            isr: isr.to_vec(),
            replicas: replicas.to_vec(),
        }],
    }
}

fn page(broker: i64, sequence: u64, epoch: i64, leads: bool, ends: (i64, i64)) -> Event {
    Event::Page(Page {
        tp: tp(),
        broker,
        uuid: format!("uuid-{broker}"),
        sequence,
        epoch,
        leads,
        log_start: 0,
        end: ends.0,
        high_watermark: ends.1,
    })
}

fn copy(broker: i64) -> Event {
    let records = (0..4).map(|offset| Stored {
        offset,
        value: value(offset),
    });
    Event::Copy(Copy {
        tp: tp(),
        broker,
        high_watermark: 4,
        records: records.collect(),
        bytes: b"the log".to_vec(),
    })
}

/// Broker 1 leads, then broker 2; four records, the last of them never acknowledged.
fn good() -> History {
    vec![
        topic(1, 1, 0, &[1, 2, 3]),
        page(1, 1, 0, true, (2, 2)),
        page(2, 1, 0, false, (2, 1)),
        topic(2, 2, 1, &[2, 3]),
        page(2, 2, 1, true, (2, 1)),
        page(2, 3, 1, true, (4, 4)),
        topic(3, 2, 1, &[2, 3, 1]),
        page(1, 2, 1, false, (4, 4)),
        Event::Ended {
            what: "producer 0".to_owned(),
            status: 0,
            said: String::new(),
        },
        Event::Settled(Some(Duration::from_secs(1))),
        acknowledged(0),
        acknowledged(1),
        acknowledged(2),
        copy(1),
        copy(2),
        copy(3),
        read(0),
        read(1),
        read(2),
        read(3),
        Event::ReadAll {
            reader: 0,
            tp: tp(),
            until: 4,
        },
    ]
}

/// The rules that a doctored history breaks.
fn broken(doctor: impl FnOnce(&mut History)) -> Vec<Rule> {
    Tally::case();
    let mut history = good();
    doctor(&mut history);
    let mut rules: Vec<Rule> = check(&history, 3)
        .into_iter()
        .map(|(rule, _)| rule)
        .collect();
    rules.sort();
    rules.dedup();
    rules
}

/// Changes the copies in it.
fn each_copy(history: &mut History, change: impl Fn(&mut Copy)) {
    for event in history {
        if let Event::Copy(copy) = event {
            change(copy);
        }
    }
}

fn at(history: &History, wanted: &Event) -> usize {
    let found = history.iter().position(|event| event == wanted);
    found.expect("it is there")
}

#[test]
fn a_good_history_passes() {
    let _tally = Tally::start();
    assert_eq!(broken(|_| ()), []);
    // A record that nobody read, for it came later.
    assert_eq!(
        broken(|history| {
            history.truncate(history.len() - 2);
        }),
        []
    );
}

#[test]
fn records_that_are_lost_or_doubled() {
    let _tally = Tally::start();
    // On all replicas, or on one.
    let lose = |copy: &mut Copy| copy.high_watermark = 2;
    assert_eq!(broken(|history| each_copy(history, lose)), [Rule::Lost]);
    let found = broken(|history| {
        each_copy(history, |copy| {
            if copy.broker == 3 {
                copy.records.truncate(2);
                copy.high_watermark = 2;
            }
        });
    });
    assert_eq!(found, [Rule::Lost, Rule::Differs]);
    // Also one that was not acknowledged.
    let double = |copy: &mut Copy| {
        copy.records.push(Stored {
            offset: 4,
            value: value(3),
        });
    };
    assert_eq!(broken(|history| each_copy(history, double)), [Rule::Twice]);
    let hole = |copy: &mut Copy| copy.records[3].offset = 4;
    assert_eq!(broken(|history| each_copy(history, hole)), [Rule::Hole]);
}

#[test]
fn two_values_at_one_offset() {
    let _tally = Tally::start();
    let other = |copy: &mut Copy| {
        if copy.broker == 2 {
            copy.records[3].value = "other".to_owned();
        }
    };
    assert_eq!(
        broken(|history| each_copy(history, other)),
        [Rule::TwoValues]
    );
    // A reader saw what was truncated later.
    let found = broken(|history| {
        let at = at(history, &read(3));
        history[at] = Event::Read {
            reader: 0,
            tp: tp(),
            offset: 3,
            value: "gone".to_owned(),
        };
    });
    assert_eq!(found, [Rule::TwoValues]);
}

#[test]
fn readers_that_miss_or_repeat() {
    let _tally = Tally::start();
    let found = broken(|history| {
        let at = at(history, &read(1));
        history.remove(at);
    });
    assert_eq!(found, [Rule::Gap]);
    let found = broken(|history| {
        let at = at(history, &read(3));
        history.insert(at, read(2));
    });
    assert_eq!(found, [Rule::Repeat]);
    let found = broken(|history| {
        let at = at(history, &read(3));
        history.remove(at);
    });
    assert_eq!(found, [Rule::Unread]);
}

#[test]
fn high_watermarks_that_sink() {
    let _tally = Tally::start();
    let found = broken(|history| history.push(page(1, 3, 1, false, (4, 3))));
    assert_eq!(found, [Rule::Sunk]);
    // An older copy of a page, seen while the newer one was written, is no such thing.
    let found = broken(|history| history.push(page(1, 1, 0, false, (2, 2))));
    assert_eq!(found, []);
    // Nor is the page of another replica in its place.
    let found = broken(|history| {
        if let Event::Page(mut new) = page(1, 1, 1, false, (0, 0)) {
            new.uuid = "uuid-new".to_owned();
            history.push(Event::Page(new));
        }
    });
    assert_eq!(found, []);
    let found = broken(|history| {
        let at = at(history, &page(2, 2, 1, true, (2, 1)));
        history[at] = page(2, 2, 1, true, (1, 1));
    });
    assert_eq!(found, [Rule::Shrunk]);
}

#[test]
fn leaders_and_epochs() {
    let _tally = Tally::start();
    let found = broken(|history| history.push(topic(4, 3, 1, &[2, 3, 1])));
    assert_eq!(found, [Rule::TwoLeaders]);
    // By its page, too.
    let found = broken(|history| history.push(page(3, 1, 1, true, (4, 4))));
    assert_eq!(found, [Rule::TwoLeaders]);
    let found = broken(|history| history.push(topic(4, 1, 0, &[1, 2])));
    assert_eq!(found, [Rule::EpochFell]);
    let found = broken(|history| history.push(topic(2, 2, 1, &[2, 3])));
    assert_eq!(found, [Rule::VersionFell]);
    let found = broken(|history| history.push(topic(3, 2, 1, &[2])));
    assert_eq!(found, [Rule::VersionFell], "one version, two contents");
    for isr in [&[1, 3][..], &[2, 4], &[2, 2], &[]] {
        let found = broken(|history| history.push(topic(4, 2, 1, isr)));
        assert_eq!(found, [Rule::BadSet], "{isr:?}");
    }
}

#[test]
fn replicas_that_differ_or_are_not_there() {
    let _tally = Tally::start();
    let found = broken(|history| {
        each_copy(history, |copy| {
            if copy.broker == 3 {
                copy.bytes[4] = b'f';
            }
        });
    });
    assert_eq!(found, [Rule::Differs]);
    let found = broken(|history| {
        let at = at(history, &copy(2));
        history.remove(at);
    });
    assert_eq!(found, [Rule::Missing]);
    let found = broken(|history| history.retain(|event| !matches!(event, Event::Copy(_))));
    assert_eq!(found, [Rule::Missing]);
}

#[test]
fn ends_that_are_not_good() {
    let _tally = Tally::start();
    let late = SETTLED + Duration::from_millis(1);
    for took in [Some(late), None] {
        let found = broken(|history| history.push(Event::Settled(took)));
        assert_eq!(found, [Rule::NotSettled]);
    }
    let found = broken(|history| history.retain(|event| !matches!(event, Event::Settled(_))));
    assert_eq!(found, [Rule::NotSettled]);
    let failed = Event::Ended {
        what: "producer 1".to_owned(),
        status: 75,
        said: "NOT_ENOUGH_REPLICAS".to_owned(),
    };
    assert_eq!(broken(|history| history.push(failed)), [Rule::Failed]);
}
