//! Whether the partitions are shared in time by those who run, in a history of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::{Entry, Event, Process, Rules, Violation};
use super::view::View;

/// What is to be balanced, as of one moment of a history.
pub struct Balance<'a> {
    rules: &'a Rules,
    running: BTreeSet<Process>,
    paused: BTreeMap<Process, Pause>,
    /// Those who were resumed since and were not seen in the group yet.
    away: BTreeSet<Process>,
    /// Since the last balance: what was done last, and when it is to be balanced.
    pending: Option<Pending>,
    last_at: Duration,
    /// The longest time from the last disturbance to balance, of each kind.
    pub worst: BTreeMap<String, Duration>,
}

#[derive(Clone, Copy)]
struct Pause {
    since: Duration,
    /// It was seen in the group since.
    was_member: bool,
}

struct Pending {
    kind: &'static str,
    since: Duration,
    /// As if nobody was paused.
    due: Duration,
    is_reported: bool,
}

impl<'a> Balance<'a> {
    pub fn new(rules: &'a Rules) -> Self {
        Balance {
            rules,
            running: BTreeSet::new(),
            paused: BTreeMap::new(),
            away: BTreeSet::new(),
            pending: None,
            last_at: Duration::ZERO,
            worst: BTreeMap::new(),
        }
    }

    pub fn take(&mut self, entry: &Entry, found: &mut Vec<Violation>) {
        let at = entry.at;
        self.last_at = at;
        match &entry.event {
            Event::Started(process) => {
                if self.running.is_empty() {
                    // Nobody watched those who stand still.
                    self.paused.values_mut().for_each(|pause| pause.since = at);
                }
                self.running.insert(*process);
                self.disturb("start", at);
            }
            Event::Stopped(process) => {
                self.gone(*process);
                self.disturb("stop", at);
            }
            Event::Killed(process) => {
                self.gone(*process);
                self.disturb("kill", at);
            }
            Event::Paused(process) => {
                self.running.remove(process);
                self.away.remove(process);
                let pause = Pause {
                    since: at,
                    was_member: false,
                };
                self.paused.insert(*process, pause);
                self.disturb("pause", at);
            }
            Event::Resumed(process) => {
                self.paused.remove(process);
                self.running.insert(*process);
                self.away.insert(*process);
                self.disturb("resume", at);
            }
            Event::Ended { process, .. } => {
                if self.running.contains(process) {
                    self.gone(*process);
                    self.disturb("end", at);
                }
            }
            Event::Seen(view) => self.seen(view, at, found),
            Event::LeftUnread(_)
            | Event::Committed(_)
            | Event::Stored { .. }
            | Event::Delivered { .. } => {}
        }
    }

    /// What was not balanced when the history ended never was.
    pub fn finish(&mut self, found: &mut Vec<Violation>) {
        self.late(self.last_at, true, found);
    }

    fn gone(&mut self, process: Process) {
        self.running.remove(&process);
        self.paused.remove(&process);
        self.away.remove(&process);
    }

    fn disturb(&mut self, kind: &'static str, at: Duration) {
        // A pause is given its own time, below: what was under way is due as it was.
        let due = match &self.pending {
            Some(pending) if kind == "pause" => pending.due,
            None if kind == "pause" => at,
            _ => at + self.rules.balance,
        };
        self.pending = Some(Pending {
            kind,
            since: at,
            due,
            is_reported: false,
        });
    }

    fn seen(&mut self, view: &View, at: Duration, found: &mut Vec<Violation>) {
        let here: BTreeSet<Process> = view.members.values().map(|member| member.pid).collect();
        self.away.retain(|process| !here.contains(process));
        // Who was removed while it stands still keeps nobody waiting any more. Who never came in may
        // hold the group's lock.
        let mut evicted = Vec::new();
        for (process, pause) in &mut self.paused {
            if here.contains(process) {
                pause.was_member = true;
            } else if pause.was_member {
                evicted.push(*process);
            }
        }
        if view.is_shared_by(&self.running, self.rules.partitions) {
            if let Some(pending) = self.pending.take() {
                let (kind, since) = match self.last_pause() {
                    Some(since) => ("pause", since),
                    None => (pending.kind, pending.since),
                };
                let worst = self.worst.entry(kind.to_owned()).or_default();
                *worst = (*worst).max(at - since);
            }
            for process in evicted {
                self.paused.remove(&process);
            }
        } else {
            self.late(at, false, found);
        }
    }

    fn last_pause(&self) -> Option<Duration> {
        self.paused.values().map(|pause| pause.since).max()
    }

    fn late(&mut self, at: Duration, is_end: bool, found: &mut Vec<Violation>) {
        let last_pause = self.last_pause();
        let Some(pending) = self.pending.as_mut().filter(|_| !self.running.is_empty()) else {
            return;
        };
        // Nobody can go on with what one who stands still owns.
        let of_paused = last_pause.map(|since| since + self.rules.pause);
        let due = pending.due.max(of_paused.unwrap_or_default());
        if pending.is_reported || (at <= due && !is_end) {
            return;
        }
        pending.is_reported = true;
        found.push(Violation::TooLate {
            after: pending.kind.to_owned(),
            due,
            seen: at,
        });
        let away = self.away.iter().copied();
        found.extend(away.map(|process| Violation::NotBack { process }));
    }
}
