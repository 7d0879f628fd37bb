//! `mq-groups wait`: waits until a group has caught up.
//!
//! 1. Lag is counted as in `describe`. The committed offsets are read before the ends of the logs,
//!    so a sum is never below the lag at the moment in which the offsets were read.
//! 2. A lag that is unknown never counts as low enough: of a partition that cannot be read, an
//!    offset beyond the log, partitions that are moving between members.
//! 3. The watches' reports decide when the next snapshot is taken. Without a report there is at
//!    most one snapshot a second, and snapshots take a small share of a processor, however many
//!    partitions there are.
//! 4. The wait ends when the store is moved away or deleted: the open descriptors then lead to
//!    files that no other process uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::job::Wait;
use super::lag::{Lag, NAMED_MAX, Unread, is_moving, partition, partitions};
use super::lag_changes::{Changes, LagChanges};
use super::show::{OFFSETS, offsets};
use crate::cli::lang::show_duration;
use crate::cli::output::{OutputFormat, RowPrinter, json_line};
use crate::cli::{Env, Outcome, store_presence};
use crate::client::StoreDir;
use crate::client::groups::{self, GroupDescription};
use crate::error::{Error, Kind, Result, shell_word};
use crate::types::TopicPartition;

/// The pause between two snapshots after a commit.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause where only records came: records alone never end the wait.
const PAUSE_FOR_RECORDS: Duration = Duration::from_millis(150);
/// The pause between two snapshots without a report from a watch.
const PERIOD: Duration = Duration::from_secs(1);
/// The same where the kernel does not report every change.
const BLIND_PERIOD: Duration = Duration::from_millis(200);
/// The pause is at least so many times as long as a snapshot takes.
const REST: u32 = 20;
/// A condition that may pass by itself is reported only after this time.
const PASSING: Duration = Duration::from_secs(1);
/// The pause between two checks for a missing store.
const STORE_PERIOD: Duration = Duration::from_millis(100);

/// Waits until the group has caught up.
pub fn wait(job: Wait, env: &mut Env) -> Result<Outcome> {
    let started = env.monotonic();
    let mut reported = WaitNotes::default();
    let store = open_store(&job, started, &mut reported, env)?;
    let path = env.store_path()?;
    let mut changes: Option<LagChanges> = None;
    let mut unread = Unread::default();
    loop {
        if let Some(changes) = &mut changes {
            changes.refresh();
        }
        let began = env.monotonic();
        let seen = match examine(&store, &job, &unread) {
            Ok(seen) => Ok(seen),
            Err(e) if job.wait && is_absence(&e) && unread.is_empty() => Err(e),
            Err(e) if changes.is_some() => {
                return Err(store_presence::unless_gone(e, &store, &path, env));
            }
            Err(e) => return Err(e),
        };
        if changes.is_some() {
            store_presence::check(&store, &path)?;
        }
        let now = env.monotonic();
        let left = left(&job, started, now);
        let pages = match &seen {
            Ok(seen) => {
                unread.note(seen);
                let lag = Lag::of(seen);
                if lag.is_at_most(job.lag) {
                    env.progress_done();
                    let group = job.group.escape_debug();
                    env.note(&format!("the lag of group '{group}' is {}", lag.records));
                    print(seen, &job, env)?;
                    return Ok(Outcome::Done);
                }
                reported.notify(seen, &lag, now, env);
                if env.stopping() {
                    return Err(stopped(&job, &lag));
                }
                if let Some(timeout) = job.timeout.filter(|_| left == Some(Duration::ZERO)) {
                    env.progress_done();
                    print(seen, &job, env)?;
                    return Err(late(&job, seen, &lag, timeout));
                }
                env.progress_text(&format!("{}: {lag}", job.group.escape_debug()));
                partitions(seen)
            }
            Err(absent) => {
                await_absent(absent, &job, left, &mut reported, env)?;
                BTreeSet::new()
            }
        };
        let is_first = changes.is_none();
        let changes = changes.get_or_insert_with(|| LagChanges::new(&store, &job.group));
        if changes.watch(pages) || is_first {
            // The partition may have changed before it was watched.
            continue;
        }
        let took = now.saturating_sub(began);
        let period = if changes.is_blind() {
            BLIND_PERIOD
        } else {
            PERIOD
        };
        let period = period.max(took * REST);
        let pause = match changes.within(left.map_or(period, |left| period.min(left)), env)? {
            Changes::Nothing => continue,
            Changes::Records => PAUSE_FOR_RECORDS,
            Changes::Anything => PAUSE,
        };
        let rested = env.monotonic().saturating_sub(now);
        let due = left.map_or(pause.max(took), |left| left.min(pause.max(took)));
        if due > rested {
            env.wait_woken(due.saturating_sub(rested));
        }
    }
}

/// Opens the store. With `--wait`, waits for a missing one.
fn open_store(
    job: &Wait,
    started: Duration,
    reported: &mut WaitNotes,
    env: &mut Env,
) -> Result<Arc<StoreDir>> {
    loop {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && job.wait => {
                let left = left(job, started, env.monotonic());
                await_absent(&e, job, left, reported, env)?;
                env.wait_woken(left.map_or(STORE_PERIOD, |left| STORE_PERIOD.min(left)));
            }
            opened => return opened,
        }
    }
}

/// The time that is left; `None`: no limit.
fn left(job: &Wait, started: Duration, now: Duration) -> Option<Duration> {
    let waited = now.saturating_sub(started);
    job.timeout.map(|timeout| timeout.saturating_sub(waited))
}

/// Waits for something that is missing, and notes this once.
///
/// # Errors
/// [`Kind::Busy`] after the timeout; [`Kind::Interrupted`].
fn await_absent(
    absent: &Error,
    job: &Wait,
    left: Option<Duration>,
    reported: &mut WaitNotes,
    env: &mut Env,
) -> Result<()> {
    let ends = |kind, text| {
        let error = Error::new(kind, text);
        match absent.cure_text() {
            Some(cure) => error.cure(cure),
            None => error,
        }
    };
    if env.stopping() {
        let text = format!("stopped while it waited: {absent}");
        return Err(ends(Kind::Interrupted, text));
    }
    if let Some(timeout) = job.timeout.filter(|_| left == Some(Duration::ZERO)) {
        env.progress_done();
        let text = format!("gave up after {}: {absent}", show_duration(timeout));
        return Err(ends(Kind::Busy, text));
    }
    let near = absent.cure_text().filter(|cure| cure.ends_with('?'));
    let near = near.map(|near| format!(" ({near})")).unwrap_or_default();
    reported.once(&format!("{absent}{near}; waiting (Ctrl-C ends)"), env);
    env.progress_text(&format!("{}: not there yet", job.group.escape_debug()));
    Ok(())
}

/// Whether the error means that a store, group or topic is missing.
fn is_absence(e: &Error) -> bool {
    matches!(e.kind(), Kind::UnknownGroup | Kind::UnknownTopic)
}

/// Takes one snapshot of the group.
fn examine(store: &Arc<StoreDir>, job: &Wait, unread: &Unread) -> Result<GroupDescription> {
    let described = groups::describe(store, &job.group)?;
    unread.are_there(&described)?;
    observe(described, job)
}

/// The part of a group's snapshot that counts; the selected partitions have to be in it.
fn observe(mut seen: GroupDescription, job: &Wait) -> Result<GroupDescription> {
    let group = seen.group.escape_debug();
    if let Some(damage) = seen.damage {
        return Err(Error::new(Kind::Damaged, damage).cure(
            "the next member that joins, or the next change of the group, creates it again from offsets.log",
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
    // A member that has just joined gets its partitions in a moment.
    if let Some(of) = missing.filter(|_| !is_moving(seen.state)) {
        let text = format!("group '{group}' has no committed offset{of}, and no member reads any");
        return Err(
            Error::new(Kind::UnknownTopic, text).cure("'mq-groups describe' shows what it has")
        );
    }
    seen.offsets = kept;
    Ok(seen)
}

/// The notices that were given already: each is given once.
#[derive(Debug, Default)]
struct WaitNotes {
    notes: BTreeSet<String>,
    /// Since when a partition's lag is unknown; `None`: this was reported.
    unknown: BTreeMap<TopicPartition, Option<Duration>>,
    /// Whether it was reported that the group has no members.
    alone: bool,
}

impl WaitNotes {
    fn once(&mut self, note: &str, env: &Env) {
        if self.notes.insert(note.to_owned()) {
            env.note(note);
        }
    }

    fn notify(&mut self, seen: &GroupDescription, lag: &Lag, now: Duration, env: &Env) {
        for note in &seen.notes {
            // The same text with other numbers is not reported again.
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
            // A note already reports an offset beyond the log.
            if since.is_some_and(|since| now.saturating_sub(since) >= PASSING) {
                *since = None;
                due.extend(Some(tp).filter(|_| !row.is_beyond));
            }
        }
        if !due.is_empty() {
            let names = TopicPartition::first_of(&due, NAMED_MAX);
            env.warn(&format!(
                "the lag of {names} is not known: its unread records cannot be read; 'mq-topics describe' \
                 and 'mq-topics verify' say why"
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
    let mut rows = RowPrinter::stdout(env, &OFFSETS, job.output);
    for row in offsets(seen) {
        rows.row(row)?;
    }
    rows.finish()
}

fn late(job: &Wait, seen: &GroupDescription, lag: &Lag, timeout: Duration) -> Error {
    let (group, after) = (job.group.escape_debug(), show_duration(timeout));
    let text = format!("group '{group}' has not caught up after {after}: {lag}");
    let word = shell_word(&job.group);
    let cure = if seen.offsets.iter().any(|row| row.is_beyond) {
        format!(
            "a committed offset is beyond the end of the log: 'mq-groups describe {word}' shows the \
             reset that moves it back"
        )
    } else if seen.members.as_ref().is_some_and(Vec::is_empty) {
        format!("it has no members; start one: mq-consume -g {word} TOPIC")
    } else {
        format!("wait longer with --timeout; 'mq-groups describe {word}' shows its offsets")
    };
    Error::new(Kind::Busy, text).cure(cure)
}

fn stopped(job: &Wait, lag: &Lag) -> Error {
    let group = job.group.escape_debug();
    let text = format!("stopped before group '{group}' has caught up: {lag}");
    let word = shell_word(&job.group);
    Error::new(Kind::Interrupted, text)
        .cure(format!("'mq-groups describe {word}' shows its offsets"))
}
