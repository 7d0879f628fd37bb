//! The members of a case, and what they are to come to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::records::{LATER, feed, lines, records};
use crate::proc::{Failure, Place, Ran, Running, TIMEOUT, seen, works_on};
use rustix::process::Signal;

/// A member that follows.
pub const FOLLOW: [&str; 4] = ["-J", "-g", "g", "t"];
/// A member that ends at the end.
pub const TO_END: [&str; 5] = ["-J", "-e", "-g", "g", "t"];
/// The same, that commits as often as it can.
pub const EAGER: [&str; 7] = ["-J", "-e", "-g", "g", "--commit-interval", "1ms", "t"];

pub static KILLED: AtomicUsize = AtomicUsize::new(0);

/// The members of a case, of which one is the victim.
pub struct Play<'a> {
    pub place: &'a Place,
    pub members: Vec<Running>,
    pub victim: Option<Running>,
    pub ended: Vec<Ran>,
    pub fed: usize,
}

impl Play<'_> {
    pub fn start(&mut self, args: &[&str]) -> Result<(), Failure> {
        let member = self.place.start(&[], "mq-consume", args, None)?;
        self.members.push(member);
        Ok(())
    }

    pub fn start_victim(&mut self, prefix: &[&str], args: &[&str]) -> Result<(), Failure> {
        self.victim = Some(self.place.start(prefix, "mq-consume", args, None)?);
        Ok(())
    }

    /// Records come while they read.
    pub fn more(&mut self) -> Result<(), Failure> {
        feed(self.place, self.fed, LATER)?;
        self.fed += LATER;
        Ok(())
    }

    pub fn come(&self) -> Result<BTreeSet<String>, Failure> {
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
    pub fn all_come(&mut self, count: usize, hangs_on_victim: bool) -> Result<(), Failure> {
        let begun = Instant::now();
        let owed: BTreeSet<String> = lines(0, count).into_iter().collect();
        loop {
            let is_over = self.victim_is_over()?;
            let come = self.come()?;
            if owed.is_subset(&come) || (hangs_on_victim && is_over) {
                return Ok(());
            }
            if begun.elapsed() > TIMEOUT {
                let missing: Vec<_> = owed.difference(&come).collect();
                return Err(format!(
                    "those who live do not read on: {missing:?} are missing"
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until so many members are in the group and own partitions each, or the victim is over.
    pub fn is_shared_by(&mut self, count: usize) -> Result<(), Failure> {
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
            if begun.elapsed() > TIMEOUT {
                return Err(format!("the group is not shared by {count}: {group}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn victim_is_over(&mut self) -> Result<bool, Failure> {
        let Some(victim) = &mut self.victim else {
            return Ok(true);
        };
        let status = victim.child.try_wait().map_err(|e| e.to_string())?;
        Ok(status.is_some())
    }

    pub fn victim_ends(&mut self) -> Result<(), Failure> {
        let Some(victim) = self.victim.take() else {
            return Ok(());
        };
        let ran = victim.end()?;
        let (signal, code) = (ran.signal(), ran.code());
        hold!(
            matches!(signal, Some(9 | 15)) || code == Some(0),
            "{}",
            ran.ending()
        );
        if signal == Some(9) {
            KILLED.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.push(ran);
        Ok(())
    }

    pub fn stop_victim(&mut self) -> Result<(), Failure> {
        if let Some(victim) = &self.victim {
            victim.signal_group(Signal::TERM);
        }
        self.victim_ends()
    }

    pub fn kill_first(&mut self) -> Result<(), Failure> {
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
    pub fn ends(mut self) -> Result<(), Failure> {
        let place = self.place;
        let described = place.run("mq-groups", &["describe", "g"])?;
        let said = &described.stderr;
        let staging = said.contains("GROUP_ID_NOT_FOUND") && self.members.is_empty();
        hold!(
            staging || (described.code() == Some(0) && said.is_empty()),
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
