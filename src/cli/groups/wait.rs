//! `mq-groups wait`: until a group has caught up.
//!
//! 1. Lag is counted as `describe` counts it. The committed offsets are read before the ends of the
//!    logs are, so a sum is never below the lag of the moment in which they were read.
//! 2. What is not known is never low enough: a partition that cannot be read, an offset beyond the log,
//!    partitions that are on their way from one member to another.
//! 3. A look follows what the watches tell; time alone makes one look a second at most, and takes a
//!    small part of a processor, however many partitions there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::args_wait::Wait;
use super::lag_news::{LagNews, News};
use super::show::{OFFSETS, offsets};
use crate::cli::lang::show_duration;
use crate::cli::output::{Listing, OutputFormat, json_line};
use crate::cli::{Env, Outcome};
use crate::error::{Error, Kind, Result, shell_word};
use crate::group::{self, GroupDescription, OffsetDescription};
use crate::types::{TopicName, TopicPartition};

/// From one look to the next, where a commit calls for it.
const PAUSE: Duration = Duration::from_millis(50);
/// The same where only records came: that alone never ends it.
const PAUSE_FOR_RECORDS: Duration = Duration::from_millis(150);
/// Between two looks at what no watch tells of.
const PERIOD: Duration = Duration::from_secs(1);
/// The same where the kernel does not tell of everything.
const BLIND_PERIOD: Duration = Duration::from_millis(200);
/// A period is at least so many times the time that a look takes.
const REST: u32 = 20;
/// What may pass by itself is not warned of before that time.
const PASSING: Duration = Duration::from_secs(1);
/// Partitions that a message names.
const NAMED_MAX: usize = 5;

/// Waits.
pub fn wait(job: Wait, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let started = env.monotonic();
    let mut news: Option<LagNews> = None;
    let mut told = Told::default();
    let mut unread = Unread::default();
    loop {
        if let Some(news) = &mut news {
            news.refresh();
        }
        let began = env.monotonic();
        let described = group::describe(&store, &job.group)?;
        unread.are_there(&described)?;
        let seen = look(described, &job)?;
        unread.note(&seen);
        let now = env.monotonic();
        let lag = Lag::of(&seen);
        if lag.is_at_most(job.lag) {
            env.progress_done();
            let group = job.group.escape_debug();
            env.note(&format!("the lag of group '{group}' is {}", lag.records));
            print(&seen, &job, env)?;
            return Ok(Outcome::Done);
        }
        told.tell(&seen, &lag, now, env);
        let waited = now.saturating_sub(started);
        if env.stopping() {
            return Err(stopped(&job, &lag));
        }
        let left = job.timeout.map(|timeout| timeout.saturating_sub(waited));
        if let Some(timeout) = job.timeout.filter(|_| left == Some(Duration::ZERO)) {
            env.progress_done();
            print(&seen, &job, env)?;
            return Err(late(&job, &seen, &lag, timeout));
        }
        env.progress_text(&format!("{}: {lag}", job.group.escape_debug()));
        let is_first = news.is_none();
        let news = news.get_or_insert_with(|| LagNews::new(&store, &job.group));
        if news.watch(partitions(&seen)) || is_first {
            // It may have changed before it was watched.
            continue;
        }
        let took = now.saturating_sub(began);
        let period = if news.is_blind() {
            BLIND_PERIOD
        } else {
            PERIOD
        };
        let period = period.max(took * REST);
        let pause = match news.within(left.map_or(period, |left| period.min(left)), env)? {
            News::Nothing => continue,
            News::Records => PAUSE_FOR_RECORDS,
            News::Anything => PAUSE,
        };
        let rested = env.monotonic().saturating_sub(now);
        let due = left.map_or(pause.max(took), |left| left.min(pause.max(took)));
        if due > rested {
            env.wait_woken(due.saturating_sub(rested));
        }
    }
}

/// What counts of a group; what is asked for has to be among it.
fn look(mut seen: GroupDescription, job: &Wait) -> Result<GroupDescription> {
    let group = seen.group.escape_debug();
    if let Some(damage) = seen.damage {
        return Err(Error::new(Kind::Damaged, damage).cure(
            "the next member that joins, or the next change of the group, makes it anew from offsets.log",
        ));
    }
    let mut missing = None;
    let mut kept = Vec::with_capacity(seen.offsets.len());
    let mut has_rows = vec![false; job.topics.len()];
    for row in seen.offsets {
        let Some(tp) = partition(&row) else { continue };
        let mut is_meant = job.topics.is_empty();
        for (selection, has) in job.topics.iter().zip(&mut has_rows) {
            if selection.has_partition(&tp) {
                (is_meant, *has) = (true, true);
            }
        }
        if is_meant {
            kept.push(row);
        }
    }
    if job.topics.is_empty() && kept.is_empty() {
        missing = Some(String::new());
    }
    if let Some(at) = has_rows.iter().position(|has| !has) {
        missing = job.topics.get(at).map(|topics| format!(" of {topics}"));
    }
    // A member that has just come gets its partitions in a moment.
    if let Some(of) = missing.filter(|_| !is_moving(seen.state)) {
        let text = format!("group '{group}' has no committed offset{of}, and no member reads any");
        return Err(
            Error::new(Kind::UnknownTopic, text).cure("'mq-groups describe' shows what it has")
        );
    }
    seen.offsets = kept;
    Ok(seen)
}

/// Whether partitions are on their way between members.
fn is_moving(state: Option<&str>) -> bool {
    matches!(state, Some("Assigning" | "Reconciling"))
}

fn partition(row: &OffsetDescription) -> Option<TopicPartition> {
    let topic = TopicName::new(row.topic.as_str()).ok()?;
    Some(TopicPartition::new(topic, row.partition))
}

fn partitions(seen: &GroupDescription) -> BTreeSet<TopicPartition> {
    seen.offsets.iter().filter_map(partition).collect()
}

/// A group's lag, as of one look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lag {
    /// Over all partitions of which it is known.
    records: u64,
    /// Partitions with any.
    behind: usize,
    /// Those of which it is not known, since nothing is committed yet.
    uncommitted: Vec<TopicPartition>,
    /// Those that cannot be read, or whose committed offset is beyond their log.
    unknown: Vec<TopicPartition>,
    /// Whether partitions are on their way between members.
    is_moving: bool,
}

impl Lag {
    fn of(seen: &GroupDescription) -> Self {
        let mut lag = Lag {
            is_moving: is_moving(seen.state),
            ..Lag::default()
        };
        for row in &seen.offsets {
            let known = row.lag.filter(|_| !row.is_unreadable);
            let Some(records) = known else {
                let is_empty =
                    row.high_watermark.is_some() && row.high_watermark == row.log_start_offset;
                match (row.committed_offset, row.high_watermark) {
                    (None, Some(_)) if is_empty => {}
                    (None, Some(_)) => lag.uncommitted.extend(partition(row)),
                    _ => lag.unknown.extend(partition(row)),
                }
                continue;
            };
            let records = u64::try_from(records).unwrap_or(0);
            lag.records = lag.records.saturating_add(records);
            lag.behind += usize::from(records > 0);
        }
        lag
    }

    fn is_known(&self) -> bool {
        self.unknown.is_empty() && self.uncommitted.is_empty() && !self.is_moving
    }

    fn is_at_most(&self, most: u64) -> bool {
        self.is_known() && self.records <= most
    }

    /// What keeps it from being known.
    fn unknown(&self) -> Vec<String> {
        let names = |all: &[TopicPartition]| TopicPartition::first_of(all, NAMED_MAX);
        let mut told = Vec::new();
        if !self.unknown.is_empty() {
            told.push(format!("the lag of {} is not known", names(&self.unknown)));
        }
        if !self.uncommitted.is_empty() {
            let names = names(&self.uncommitted);
            told.push(format!("nothing is committed of {names} yet"));
        }
        if self.is_moving {
            told.push("partitions are moving between members".to_owned());
        }
        told
    }
}

impl std::fmt::Display for Lag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unknown = self.unknown();
        if self.behind == 0 && !unknown.is_empty() {
            return write!(f, "{}", unknown.join("; "));
        }
        let what = if self.behind == 1 {
            "partition"
        } else {
            "partitions"
        };
        write!(f, "lag {} in {} {what}", self.records, self.behind)?;
        for more in unknown {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}

/// What was unread at the last look: it may not go without having been read.
#[derive(Debug, Default)]
struct Unread(BTreeMap<TopicPartition, i64>);

impl Unread {
    /// # Errors
    /// [`Kind::UnknownTopic`], where a partition that had unread records is no longer the group's: its
    /// topic, or what was committed of it, was deleted.
    fn are_there(&self, seen: &GroupDescription) -> Result<()> {
        let there = partitions(seen);
        let gone = self.0.iter().find(|(tp, _)| !there.contains(tp));
        if let Some((tp, lag)) = gone {
            let group = seen.group.escape_debug();
            let text = format!("{tp} went while group '{group}' had {lag} of its records to read");
            return Err(Error::new(Kind::UnknownTopic, text)
                .cure("its topic, or what was committed of it, was deleted: those are not read"));
        }
        Ok(())
    }

    /// One whose lag is not known now keeps the last that was.
    fn note(&mut self, seen: &GroupDescription) {
        for row in &seen.offsets {
            let Some(tp) = partition(row) else { continue };
            match row.lag {
                Some(lag) if lag > 0 => drop(self.0.insert(tp, lag)),
                Some(_) => drop(self.0.remove(&tp)),
                None => {}
            }
        }
    }
}

/// What was told already: each thing is told once.
#[derive(Debug, Default)]
struct Told {
    notes: BTreeSet<String>,
    /// Since when the lag of a partition is not known; `None`: it was told.
    unknown: BTreeMap<TopicPartition, Option<Duration>>,
    /// That no member is there.
    alone: bool,
}

impl Told {
    fn tell(&mut self, seen: &GroupDescription, lag: &Lag, now: Duration, env: &Env) {
        for note in &seen.notes {
            // The same of another offset is nothing new.
            let key: String = note.chars().filter(|c| !c.is_ascii_digit()).collect();
            if self.notes.insert(key) {
                env.warn(note);
            }
        }
        self.unknown.retain(|tp, _| lag.unknown.contains(tp));
        let mut due = Vec::new();
        for row in &seen.offsets {
            let Some(tp) = partition(row).filter(|tp| lag.unknown.contains(tp)) else {
                continue;
            };
            let since = self.unknown.entry(tp.clone()).or_insert(Some(now));
            // A note tells of an offset beyond the log.
            if since.is_some_and(|since| now.saturating_sub(since) >= PASSING) {
                *since = None;
                due.extend(Some(tp).filter(|_| !row.is_beyond));
            }
        }
        if !due.is_empty() {
            let names = TopicPartition::first_of(&due, NAMED_MAX);
            env.warn(&format!(
                "the lag of {names} is not known: what is unread cannot be read; 'mq-topics describe' and \
                 'mq-topics verify' tell why"
            ));
        }
        let is_alone = seen.members.as_ref().is_some_and(Vec::is_empty);
        if is_alone && !std::mem::replace(&mut self.alone, true) {
            let group = seen.group.escape_debug();
            env.note(&format!("no member reads for group '{group}' now: {lag}"));
        }
    }
}

fn print(seen: &GroupDescription, job: &Wait, env: &Env) -> Result<()> {
    if !job.output.is_given {
        return Ok(());
    }
    if job.output.format == OutputFormat::Json {
        let mut out = Vec::new();
        json_line(seen, &mut out)?;
        return env.stdout().print(&out);
    }
    let mut rows = Listing::stdout(env, &OFFSETS, job.output);
    for row in offsets(seen) {
        rows.row(row)?;
    }
    rows.finish()
}

fn late(job: &Wait, seen: &GroupDescription, lag: &Lag, timeout: Duration) -> Error {
    let (group, after) = (job.group.escape_debug(), show_duration(timeout));
    let text = format!("group '{group}' has not caught up after {after}: {lag}");
    let word = shell_word(&job.group);
    let cure = if seen.members.as_ref().is_some_and(Vec::is_empty) {
        format!("no member reads for it: 'mq-consume -g {word}' is one")
    } else {
        format!("wait longer with --timeout; 'mq-groups describe {word}' shows where it is")
    };
    Error::new(Kind::Busy, text).cure(cure)
}

fn stopped(job: &Wait, lag: &Lag) -> Error {
    let group = job.group.escape_debug();
    let text = format!("stopped before group '{group}' has caught up: {lag}");
    let word = shell_word(&job.group);
    Error::new(Kind::Interrupted, text)
        .cure(format!("'mq-groups describe {word}' shows where it is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(committed: Option<i64>, end: Option<i64>) -> OffsetDescription {
        OffsetDescription {
            topic: "t".to_owned(),
            partition: 0,
            committed_offset: committed,
            log_start_offset: end.map(|_| 0),
            high_watermark: end,
            lag: committed.and_then(|at| end.map(|end| end - at)),
            lag_seconds: None,
            member_id: None,
            is_beyond: false,
            is_unreadable: false,
        }
    }

    fn group(state: &'static str, offsets: Vec<OffsetDescription>) -> GroupDescription {
        GroupDescription {
            group: "g".to_owned(),
            state: Some(state),
            group_epoch: Some(1),
            assignor: None,
            members: Some(Vec::new()),
            offsets,
            configs: BTreeMap::new(),
            notes: Vec::new(),
            damage: None,
        }
    }

    fn lag(state: &'static str, offsets: Vec<OffsetDescription>) -> Lag {
        Lag::of(&group(state, offsets))
    }

    #[test]
    fn what_was_unread_does_not_go_by_way_of_not_being_known() {
        let of = |offsets| group("Empty", offsets);
        let mut unread = Unread::default();
        unread.note(&of(vec![row(Some(5), Some(9))]));
        let not_known = of(vec![row(Some(5), None)]);
        unread.are_there(&not_known).expect("there");
        unread.note(&not_known);
        let error = unread.are_there(&of(Vec::new())).expect_err("gone");
        assert!(error.to_string().contains("4 of its records"), "{error}");
        unread.note(&of(vec![row(Some(9), Some(9))]));
        unread.are_there(&of(Vec::new())).expect("all was read");
    }

    #[test]
    fn what_is_not_known_is_never_low_enough() {
        let read = || row(Some(7), Some(10));
        let beyond = OffsetDescription {
            is_beyond: true,
            lag: None,
            ..row(Some(11), Some(10))
        };
        let unreadable = OffsetDescription {
            is_unreadable: true,
            ..read()
        };
        for (state, rows, most, is_low, text) in [
            (
                "Stable",
                vec![read(), read()],
                6,
                true,
                "lag 6 in 2 partitions",
            ),
            (
                "Empty",
                vec![read(), read()],
                5,
                false,
                "lag 6 in 2 partitions",
            ),
            (
                "Empty",
                vec![read(), row(None, Some(0))],
                3,
                true,
                "lag 3 in 1 partition",
            ),
            (
                "Stable",
                vec![read(), row(None, Some(4))],
                99,
                false,
                "lag 3 in 1 partition; nothing is committed of t:0 yet",
            ),
            (
                "Stable",
                vec![row(None, None)],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![row(Some(3), None)],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![beyond],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![unreadable],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Reconciling",
                vec![row(Some(10), Some(10))],
                99,
                false,
                "partitions are moving between members",
            ),
        ] {
            let lag = lag(state, rows);
            assert_eq!(lag.to_string(), text);
            assert_eq!(lag.is_at_most(most), is_low, "{text}");
        }
    }
}
