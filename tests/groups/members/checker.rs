//! Finds what cannot be in a history of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::balance::Balance;
use super::history::{Event, History, Process, Rules, Violation};
use super::view::{Commit, Tp, View};

/// What a member tells that was taken for dead, and goes on.
const JOINS_AGAIN: &str = "joining again";

/// The exit status of who is asked to end and does, as a shell tells it.
const TERMINATED: i32 = 128 + 15;

/// Everything in the history that cannot be, in order, each once; and how long balance took.
pub fn check(history: &History, rules: &Rules) -> (Vec<Violation>, BTreeMap<String, Duration>) {
    let mut found = Vec::new();
    let mut members = Members::default();
    let mut offsets = Offsets::default();
    let mut records = Records::default();
    let mut balance = Balance::new(rules);
    for entry in &history.entries {
        balance.take(entry, &mut found);
        match &entry.event {
            Event::Killed(process) => {
                members.killed.insert(*process);
            }
            Event::LeftUnread(process) => {
                members.unread.insert(*process);
            }
            Event::Stopped(process) => {
                members.stopped.insert(*process);
            }
            Event::Ended {
                process,
                status,
                reported,
            } => members.ended(*process, *status, reported, &mut found),
            Event::Seen(view) => members.seen(view, &mut found),
            Event::Committed(commit) => offsets.take(commit, &mut members, &mut found),
            Event::Stored {
                tp,
                offset,
                payload,
            } => {
                records
                    .stored
                    .insert((tp.clone(), *offset), payload.clone());
            }
            Event::Delivered {
                process,
                tp,
                offset,
                payload,
            } => records.deliver(*process, tp, *offset, payload),
            Event::Paused(process) => {
                members.paused.insert(*process);
            }
            Event::Started(_) | Event::Resumed(_) => {}
        }
    }
    balance.finish(&mut found);
    records.check(&members, &offsets, &mut found);
    found.sort();
    found.dedup();
    (found, balance.worst)
}

/// How often a record was delivered again, and how many members joined again.
pub fn report(history: &History) -> (usize, usize) {
    let mut members = Members::default();
    let mut seen = BTreeSet::new();
    let mut again = 0;
    for entry in &history.entries {
        match &entry.event {
            Event::Seen(view) => members.seen(view, &mut Vec::new()),
            Event::Delivered { tp, offset, .. } if !seen.insert((tp, offset)) => again += 1,
            _ => {}
        }
    }
    let rejoined = members.of_process.values().map(|ids| ids.len() - 1).sum();
    (again, rejoined)
}

/// Who was in the group, who owned what.
#[derive(Default)]
struct Members {
    /// The members that a process was, in this order.
    of_process: BTreeMap<Process, Vec<String>>,
    process_of: BTreeMap<String, Process>,
    now: BTreeSet<String>,
    removed: BTreeSet<String>,
    owners: BTreeMap<(Tp, i64), String>,
    owned: BTreeMap<String, BTreeSet<Tp>>,
    killed: BTreeSet<Process>,
    stopped: BTreeSet<Process>,
    /// Removed before its process was asked to end.
    evicted: BTreeSet<String>,
    paused: BTreeSet<Process>,
    unread: BTreeSet<Process>,
    ended_badly: BTreeSet<Process>,
}

impl Members {
    fn seen(&mut self, view: &View, found: &mut Vec<Violation>) {
        let mut at_once: BTreeMap<&Tp, &String> = BTreeMap::new();
        for (id, member) in &view.members {
            if self.process_of.insert(id.clone(), member.pid).is_none() {
                let ids = self.of_process.entry(member.pid).or_default();
                // Only who was removed joins again.
                self.evicted.extend(ids.last().cloned());
                ids.push(id.clone());
            }
            if self.removed.contains(id) {
                found.push(Violation::CameBack { member: id.clone() });
            }
            for tp in &member.owned {
                if let Some(one) = at_once.insert(tp, id) {
                    let (tp, one, other) = (tp.clone(), one.clone(), id.clone());
                    found.push(Violation::TwoAtOnce { tp, one, other });
                }
                self.owns(tp, member.epoch, id, found);
            }
        }
        for id in &self.now {
            if view.members.contains_key(id) {
                continue;
            }
            self.removed.insert(id.clone());
            if self
                .process_of
                .get(id)
                .is_some_and(|process| !self.stopped.contains(process))
            {
                self.evicted.insert(id.clone());
            }
        }
        self.now = view.members.keys().cloned().collect();
    }

    fn owns(&mut self, tp: &Tp, epoch: i64, id: &String, found: &mut Vec<Violation>) {
        let one = self
            .owners
            .entry((tp.clone(), epoch))
            .or_insert_with(|| id.clone());
        if one != id {
            found.push(Violation::TwoOwners {
                tp: tp.clone(),
                epoch,
                one: one.clone(),
                other: id.clone(),
            });
        }
        self.owned.entry(id.clone()).or_default().insert(tp.clone());
    }

    fn ended(
        &mut self,
        process: Process,
        status: i32,
        reported: &[String],
        found: &mut Vec<Violation>,
    ) {
        if self.killed.contains(&process) {
            return;
        }
        let others = reported.iter().filter(|line| !line.contains(JOINS_AGAIN));
        let others = others.count();
        let mut ids = self.of_process.get(&process).into_iter().flatten();
        let was_away = self.paused.contains(&process) || ids.any(|id| self.evicted.contains(id));
        let is_good = status == 0 || status == TERMINATED && self.stopped.contains(&process);
        let is_well = is_good && others == 0;
        let gave_up = status != 0 && others == 1 && was_away;
        if !is_well {
            self.ended_badly.insert(process);
        }
        if !is_well && !gave_up {
            found.push(Violation::EndedBadly {
                process,
                status,
                reported: reported.to_vec(),
            });
        }
    }

    /// The members that this process was and whose last output may come again: they were killed,
    /// taken for dead, or left with an unread pipe.
    fn lost(&self, process: Process) -> Vec<&String> {
        let ids = self.of_process.get(&process).map_or(&[][..], Vec::as_slice);
        let died = [&self.killed, &self.unread, &self.ended_badly]
            .iter()
            .any(|set| set.contains(&process));
        let is_lost = |n: usize| died && n + 1 == ids.len() || self.evicted.contains(&ids[n]);
        (0..ids.len())
            .filter(|n| is_lost(*n))
            .map(|n| &ids[n])
            .collect()
    }
}

/// The last commit of a partition.
#[derive(Clone)]
struct Last {
    offset: i64,
    by: String,
    epoch: i64,
    is_start: bool,
}

impl Last {
    fn says(&self, offset: i64, commit: &Commit) -> bool {
        (self.offset, &self.by, self.epoch) == (offset, &commit.member, commit.epoch)
    }
}

/// What is committed.
#[derive(Default)]
struct Offsets {
    last_n: u64,
    now: BTreeMap<Tp, Last>,
    /// Of each member and partition.
    last: BTreeMap<(String, Tp), i64>,
    /// What the commits of each member passed, from and to.
    passed: BTreeMap<(String, Tp), Vec<(i64, i64)>>,
}

impl Offsets {
    fn take(&mut self, commit: &Commit, members: &mut Members, found: &mut Vec<Violation>) {
        if commit.n < self.last_n {
            // Of a holder whose lock had been taken over: it does not count.
            return;
        }
        self.last_n = commit.n;
        let id = &commit.member;
        for (tp, to) in &commit.offsets {
            let before = self.now.get(tp).cloned();
            if before
                .as_ref()
                .is_some_and(|before| before.says(*to, commit))
            {
                // Of a file that was rewritten: it says the same again.
                continue;
            }
            if members.removed.contains(id) {
                found.push(Violation::CommitOfRemoved {
                    member: id.clone(),
                    tp: tp.clone(),
                });
            }
            // Where the group starts a partition, any of its members may say.
            if let Some(before) = before.as_ref().filter(|before| !before.is_start) {
                let is_past = commit.epoch < before.epoch;
                if is_past || (commit.epoch == before.epoch && before.by != *id) {
                    found.push(Violation::CommitOfFormerOwner {
                        member: id.clone(),
                        tp: tp.clone(),
                        epoch: commit.epoch,
                    });
                }
            }
            if let Some(before) = &before {
                members.owns(tp, commit.epoch, id, found);
                if *to < before.offset {
                    let (tp, from, to) = (tp.clone(), before.offset, *to);
                    found.push(Violation::CommitFell { tp, from, to });
                }
            }
            let from = before.as_ref().map_or(0, |before| before.offset);
            let passed = self.passed.entry((id.clone(), tp.clone())).or_default();
            passed.push((from, *to));
            self.last.insert((id.clone(), tp.clone()), *to);
            let now = Last {
                offset: *to,
                by: id.clone(),
                epoch: commit.epoch,
                is_start: before.is_none(),
            };
            self.now.insert(tp.clone(), now);
        }
    }
}

impl Offsets {
    fn has_passed(&self, id: &str, tp: &Tp, offset: i64) -> bool {
        let passed = self.passed.get(&(id.to_owned(), tp.clone()));
        let mut passed = passed.into_iter().flatten();
        passed.any(|(from, to)| (*from..*to).contains(&offset))
    }
}

/// What came out.
#[derive(Default)]
struct Records {
    stored: BTreeMap<(Tp, i64), String>,
    delivered: BTreeMap<(Tp, i64), Vec<(Process, String)>>,
}

impl Records {
    fn deliver(&mut self, process: Process, tp: &Tp, offset: i64, payload: &str) {
        let by = self.delivered.entry((tp.clone(), offset)).or_default();
        by.push((process, payload.to_owned()));
    }

    fn check(&self, members: &Members, offsets: &Offsets, found: &mut Vec<Violation>) {
        for (tp, offset) in self.stored.keys() {
            if !self.delivered.contains_key(&(tp.clone(), *offset)) {
                let (tp, offset) = (tp.clone(), *offset);
                found.push(Violation::Lost { tp, offset });
            }
        }
        for (place, by) in &self.delivered {
            let (tp, offset) = place;
            for (process, payload) in by {
                if self.stored.get(place) != Some(payload) {
                    found.push(Violation::Invented {
                        process: *process,
                        tp: tp.clone(),
                        offset: *offset,
                        payload: payload.clone(),
                    });
                }
            }
            let by: Vec<Process> = by.iter().map(|(process, _)| *process).collect();
            if by.len() > 1 && !is_excused(tp, *offset, &by, members, offsets) {
                let (tp, offset) = (tp.clone(), *offset);
                found.push(Violation::Again { tp, offset, by });
            }
        }
        for ((id, tp), passed) in &offsets.passed {
            let process = members.process_of.get(id);
            for offset in passed.iter().flat_map(|(from, to)| *from..*to) {
                let by = self.delivered.get(&(tp.clone(), offset));
                let is_out = by.is_some_and(|by| match process {
                    Some(process) => by.iter().any(|(by, _)| by == process),
                    // A member of a moment that nobody saw.
                    None => true,
                });
                if !is_out {
                    found.push(Violation::CommitSkipped {
                        member: id.clone(),
                        tp: tp.clone(),
                        offset,
                    });
                    break;
                }
            }
        }
    }
}

/// Whether all but one of those who delivered a record were killed, evicted or left unread before
/// they could commit it.
fn is_excused(tp: &Tp, offset: i64, by: &[Process], members: &Members, offsets: &Offsets) -> bool {
    let mut times: BTreeMap<Process, usize> = BTreeMap::new();
    for process in by {
        *times.entry(*process).or_default() += 1;
    }
    let mut counts = 0;
    for (process, times) in times {
        let is_unseen = !members.of_process.contains_key(&process);
        if is_unseen && members.killed.contains(&process) {
            continue;
        }
        let ids = members
            .of_process
            .get(&process)
            .map_or(&[][..], Vec::as_slice);
        let is_one = ids.len() == 1;
        let excuses = members.lost(process).into_iter().filter(|id| {
            let owned = members
                .owned
                .get(*id)
                .is_some_and(|owned| owned.contains(tp));
            let last = offsets.last.get(&((*id).clone(), tp.clone())).copied();
            (owned || is_one) && last.unwrap_or(0) <= offset
        });
        // As which of its members it printed a record is unknown, but for one that passed it by a commit.
        let passed = ids.iter().filter(|id| offsets.has_passed(id, tp, offset));
        counts += times.saturating_sub(excuses.count()).max(passed.count());
    }
    counts <= 1
}
