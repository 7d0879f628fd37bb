//! What workers did and saw, and what must hold for it.
//!
//! A [`History`] outlives every crash of what it records. An event is entered as soon as its
//! outcome is known, an invocation before its work begins. [`check`] finds contradictions.
//!
//! A *log* is one partition of one topic id: a topic that is created again under the same name is
//! another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One partition of one topic id.
pub type Log = String;

/// Where a record is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub offset: i64,
    pub epoch: i32,
}

/// What an acknowledgement promises to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The end of any process, not a power cut.
    Kill,
    /// A power cut, too.
    PowerCut,
}

/// One thing that happened. Payloads are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A producer is about to append a payload.
    Invoked {
        producer: u32,
        log: Log,
        payload: String,
    },
    /// The producer got an acknowledgement with the payload's place.
    Acknowledged {
        producer: u32,
        log: Log,
        payload: String,
        place: Place,
        promise: Promise,
    },
    /// The producer got an error: nothing was stored.
    Failed {
        producer: u32,
        log: Log,
        payload: String,
    },
    /// The producer got an error: the outcome is unknown.
    Unknown {
        producer: u32,
        log: Log,
        payload: String,
    },
    /// A reader is assigned a log from an offset on; its reads follow.
    Assigned { reader: u32, log: Log, from: i64 },
    /// It read a record.
    Read {
        reader: u32,
        log: Log,
        place: Place,
        payload: String,
        promise: Promise,
    },
    /// A reader saw a log's bounds.
    Bounds {
        log: Log,
        log_start: i64,
        high_watermark: i64,
        promise: Promise,
    },
    /// The power was cut.
    PowerCut,
    /// A trim to this offset was begun.
    TrimInvoked { log: Log, to: i64 },
    /// It was reported as done: the log never starts below again.
    Trimmed { log: Log, to: i64 },
    /// A reader read everything from `from` up to the high watermark `until`, at the end.
    Finished {
        reader: u32,
        log: Log,
        from: i64,
        until: i64,
    },
}

/// A contradiction in a history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// One (epoch, offset) names two records.
    TwoRecords {
        log: Log,
        offset: i64,
        epoch: i32,
        one: String,
        other: String,
    },
    /// One payload is at two offsets.
    TwoPlaces {
        log: Log,
        payload: String,
        one: i64,
        other: i64,
    },
    /// An acknowledged or shown record is not at its place, in a read that covers it.
    Lost {
        log: Log,
        offset: i64,
        payload: String,
        found: Option<String>,
    },
    /// A record was read that no producer appended there.
    Invented {
        log: Log,
        offset: i64,
        payload: String,
    },
    /// A record was read though its producer got the error that nothing was stored.
    NotFailed {
        log: Log,
        offset: i64,
        payload: String,
    },
    /// A producer's later record has a smaller offset.
    OutOfOrder {
        log: Log,
        producer: u32,
        payload: String,
        offset: i64,
    },
    /// A reader skipped or repeated an offset.
    Gap {
        log: Log,
        reader: u32,
        due: i64,
        read: i64,
    },
    /// A reader read at or above the high watermark that it finished with.
    BeyondEnd {
        log: Log,
        reader: u32,
        offset: i64,
        until: i64,
    },
    /// A high watermark fell.
    HighWatermarkFell { log: Log, from: i64, to: i64 },
    /// A log starts below a trim that was reported, or above every trim that was begun.
    NotTrimmed {
        log: Log,
        least: i64,
        most: i64,
        log_start: i64,
    },
    /// A log start fell, or passed the high watermark.
    LogStartFell { log: Log, from: i64, to: i64 },
    /// The epochs of a log fall with rising offsets.
    EpochFell {
        log: Log,
        reader: u32,
        offset: i64,
        from: i32,
        to: i32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Events in the order in which they became known.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub events: Vec<Event>,
}

impl History {
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Every payload that was ever invoked.
    pub fn invoked(&self) -> usize {
        self.events
            .iter()
            .filter(|event| matches!(event, Event::Invoked { .. }))
            .count()
    }
}

/// What is known of one log while a history is checked.
#[derive(Default)]
struct Known {
    /// By epoch and offset, from all events.
    named: BTreeMap<(i32, i64), String>,
    /// Offset of each payload that was acknowledged or read.
    places: BTreeMap<String, i64>,
    /// The records that must be there: offset, payload, and whether a power cut may take it.
    owed: BTreeMap<i64, (String, Promise)>,
    invoked: BTreeSet<String>,
    failed: BTreeSet<String>,
    order: BTreeMap<String, (u32, usize)>,
    acked_order: BTreeMap<u32, BTreeMap<usize, i64>>,
    bounds: Option<(i64, i64, Promise)>,
    /// The largest trim that was reported, and the largest that was begun.
    trimmed: i64,
    trim_invoked: i64,
}

struct Reading {
    due: i64,
    epoch: i32,
    seen: BTreeMap<i64, String>,
}

/// All contradictions in the history, in order, each once.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut logs: BTreeMap<Log, Known> = BTreeMap::new();
    let mut readings: BTreeMap<(u32, Log), Reading> = BTreeMap::new();
    for (number, event) in history.events.iter().enumerate() {
        match event {
            Event::Invoked {
                producer,
                log,
                payload,
            } => {
                let known = logs.entry(log.clone()).or_default();
                known.invoked.insert(payload.clone());
                known.order.insert(payload.clone(), (*producer, number));
            }
            Event::Acknowledged {
                log,
                payload,
                place,
                promise,
                ..
            } => {
                let known = logs.entry(log.clone()).or_default();
                known.name(log, *place, payload, &mut found);
                known.owe(place.offset, payload, *promise);
                known.in_order(log, payload, place.offset, &mut found);
            }
            Event::Failed { log, payload, .. } => {
                logs.entry(log.clone())
                    .or_default()
                    .failed
                    .insert(payload.clone());
            }
            Event::Unknown { .. } => {}
            Event::Assigned { reader, log, from } => {
                let reading = Reading {
                    due: *from,
                    epoch: -1,
                    seen: BTreeMap::new(),
                };
                readings.insert((*reader, log.clone()), reading);
            }
            Event::Read {
                reader,
                log,
                place,
                payload,
                promise,
            } => {
                let known = logs.entry(log.clone()).or_default();
                if !known.invoked.contains(payload) {
                    found.push(Violation::Invented {
                        log: log.clone(),
                        offset: place.offset,
                        payload: payload.clone(),
                    });
                } else if known.failed.contains(payload) {
                    found.push(Violation::NotFailed {
                        log: log.clone(),
                        offset: place.offset,
                        payload: payload.clone(),
                    });
                }
                known.name(log, *place, payload, &mut found);
                known.in_order(log, payload, place.offset, &mut found);
                known.owe(place.offset, payload, *promise);
                if let Some(reading) = readings.get_mut(&(*reader, log.clone())) {
                    reading.take(*reader, log, *place, payload, &mut found);
                }
            }
            Event::Bounds {
                log,
                log_start,
                high_watermark,
                promise,
            } => {
                let known = logs.entry(log.clone()).or_default();
                known.bound(log, *log_start, *high_watermark, *promise, &mut found);
            }
            Event::TrimInvoked { log, to } => {
                let known = logs.entry(log.clone()).or_default();
                known.trim_invoked = known.trim_invoked.max(*to);
            }
            Event::Trimmed { log, to } => {
                let known = logs.entry(log.clone()).or_default();
                known.trimmed = known.trimmed.max(*to);
            }
            Event::PowerCut => logs.values_mut().for_each(Known::lose_what_may_be_lost),
            Event::Finished {
                reader,
                log,
                from,
                until,
            } => {
                let known = logs.entry(log.clone()).or_default();
                let Some(reading) = readings.get(&(*reader, log.clone())) else {
                    continue;
                };
                known.finished(log, *reader, (*from, *until), reading, &mut found);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

impl Known {
    fn name(&mut self, log: &Log, place: Place, payload: &str, found: &mut Vec<Violation>) {
        let key = (place.epoch, place.offset);
        let first = self.named.entry(key).or_insert_with(|| payload.to_owned());
        if first != payload {
            found.push(Violation::TwoRecords {
                log: log.clone(),
                offset: place.offset,
                epoch: place.epoch,
                one: first.clone(),
                other: payload.to_owned(),
            });
        }
        let at = *self
            .places
            .entry(payload.to_owned())
            .or_insert(place.offset);
        if at != place.offset {
            found.push(Violation::TwoPlaces {
                log: log.clone(),
                payload: payload.to_owned(),
                one: at,
                other: place.offset,
            });
        }
    }

    fn owe(&mut self, offset: i64, payload: &str, promise: Promise) {
        let entry = self
            .owed
            .entry(offset)
            .or_insert_with(|| (payload.to_owned(), promise));
        if promise == Promise::PowerCut {
            entry.1 = promise;
        }
    }

    /// Checks that a producer's records stand in the order of their invocations.
    fn in_order(&mut self, log: &Log, payload: &str, offset: i64, found: &mut Vec<Violation>) {
        let Some((producer, number)) = self.order.get(payload).copied() else {
            return;
        };
        let of = self.acked_order.entry(producer).or_default();
        let before = of
            .range(..number)
            .next_back()
            .is_some_and(|(_, o)| *o >= offset);
        let after = of
            .range(number + 1..)
            .next()
            .is_some_and(|(_, o)| *o <= offset);
        if before || after {
            found.push(Violation::OutOfOrder {
                log: log.clone(),
                producer,
                payload: payload.to_owned(),
                offset,
            });
        }
        of.insert(number, offset);
    }

    fn bound(
        &mut self,
        log: &Log,
        log_start: i64,
        high_watermark: i64,
        promise: Promise,
        found: &mut Vec<Violation>,
    ) {
        if log_start < self.trimmed || log_start > self.trim_invoked {
            found.push(Violation::NotTrimmed {
                log: log.clone(),
                least: self.trimmed,
                most: self.trim_invoked,
                log_start,
            });
        }
        if let Some((start, end, _)) = self.bounds {
            if log_start < start || log_start > high_watermark {
                found.push(Violation::LogStartFell {
                    log: log.clone(),
                    from: start,
                    to: log_start,
                });
            }
            if high_watermark < end {
                found.push(Violation::HighWatermarkFell {
                    log: log.clone(),
                    from: end,
                    to: high_watermark,
                });
            }
        }
        self.bounds = Some((log_start, high_watermark, promise));
    }

    fn lose_what_may_be_lost(&mut self) {
        self.owed
            .retain(|_, (_, promise)| *promise == Promise::PowerCut);
        // A record that was lost may be sent again, and get another offset in another epoch.
        let owed: BTreeSet<String> = self
            .owed
            .values()
            .map(|(payload, _)| payload.clone())
            .collect();
        self.places.retain(|payload, _| owed.contains(payload));
        for of in self.acked_order.values_mut() {
            of.retain(|_, offset| self.owed.contains_key(offset));
        }
        if let Some((_, _, Promise::Kill)) = self.bounds {
            self.bounds = None;
        }
    }

    fn finished(
        &self,
        log: &Log,
        reader: u32,
        (from, until): (i64, i64),
        reading: &Reading,
        found: &mut Vec<Violation>,
    ) {
        if reading.due != until.max(from) {
            let (due, read) = (reading.due, until);
            found.push(Violation::Gap {
                log: log.clone(),
                reader,
                due,
                read,
            });
        }
        for offset in reading
            .seen
            .keys()
            .copied()
            .filter(|offset| *offset >= until)
        {
            found.push(Violation::BeyondEnd {
                log: log.clone(),
                reader,
                offset,
                until,
            });
        }
        for (offset, (payload, _)) in self.owed.range(from..) {
            let seen = reading.seen.get(offset);
            if seen != Some(payload) {
                found.push(Violation::Lost {
                    log: log.clone(),
                    offset: *offset,
                    payload: payload.clone(),
                    found: seen.cloned(),
                });
            }
        }
    }
}

impl Reading {
    fn take(
        &mut self,
        reader: u32,
        log: &Log,
        place: Place,
        payload: &str,
        found: &mut Vec<Violation>,
    ) {
        if place.offset != self.due {
            let (due, read) = (self.due, place.offset);
            found.push(Violation::Gap {
                log: log.clone(),
                reader,
                due,
                read,
            });
        }
        if place.epoch < self.epoch {
            found.push(Violation::EpochFell {
                log: log.clone(),
                reader,
                offset: place.offset,
                from: self.epoch,
                to: place.epoch,
            });
        }
        self.due = place.offset + 1;
        self.epoch = place.epoch;
        self.seen.insert(place.offset, payload.to_owned());
    }
}
