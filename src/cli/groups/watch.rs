//! `mq-groups watch`: `describe`, repeated.
//!
//! On a terminal the table is drawn in place, once a second and as soon as a group changes.
//! Elsewhere a block of rows is printed at first and after each change; the growing age of a lag
//! does not count as a change.

use std::sync::Arc;
use std::time::Duration;

use super::job::Watch;
use super::screen::{KeyCommand, Screen};
use super::show::{OFFSETS, offsets};
use crate::cli::output::{Cell, Column, OutputFormat, OutputOptions, RowPrinter};
use crate::cli::{Env, Outcome, stdout, store_presence};
use crate::client::groups::{self, GroupDescription};
use crate::client::{StoreDir, stores};
use crate::disk::{Wake, Watcher, new_watcher};
use crate::error::{Error, Kind, Result};

/// The pause between two snapshots without a report from a watch.
const PERIOD: Duration = Duration::from_secs(1);
/// The pause between two checks whether a pipe's reader is gone.
const READER: Duration = Duration::from_millis(500);
/// The pause between two checks for a key or a watch's report.
const STEP: Duration = Duration::from_millis(100);

const DRAWN: [Column; 10] = [
    Column::text("group"),
    Column::text("state"),
    Column::text("topic"),
    Column::number("part"),
    Column::number("offset"),
    Column::number("end"),
    Column::number("lag"),
    Column::duration("age"),
    Column::text("host"),
    Column::number("pid"),
];

/// Shows groups until it is stopped.
pub fn watch(job: Watch, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    if let Some(group) = &job.group {
        // A mistyped name is reported at once.
        groups::describe(&store, group)?;
    }
    if env.stdout_is_terminal() && job.output.format == OutputFormat::Table {
        return draw(&job, &store, env);
    }
    let mut changes = Changes::new(&store);
    let mut before: Option<Vec<GroupDescription>> = None;
    while !env.stopping() {
        let mut seen = observe_there(&store, &job, env)?;
        let rows = block(&seen, job.output, env)?;
        // The age of a lag does not count as a change.
        for row in seen.iter_mut().flat_map(|group| &mut group.offsets) {
            row.lag_seconds = None;
        }
        if before.as_ref() != Some(&seen) {
            let between = before.is_some() && job.output.format == OutputFormat::Table;
            env.stdout()
                .print(&[if between { b"\n" } else { &b""[..] }, &rows].concat())?;
            before = Some(seen);
        }
        let started = env.monotonic();
        while !env.stopping() && env.monotonic().saturating_sub(started) < PERIOD {
            if stdout::reader_is_gone() {
                return Ok(Outcome::Done);
            }
            if changes.within(READER, env)? {
                break;
            }
        }
    }
    Ok(Outcome::Done)
}

fn draw(job: &Watch, store: &Arc<StoreDir>, env: &mut Env) -> Result<Outcome> {
    let mut changes = Changes::new(store);
    let mut screen = Screen::take()?;
    while !env.stopping() {
        let seen = observe_there(store, job, env)?;
        show(&seen, job, env)?;
        let started = env.monotonic();
        while !env.stopping() && env.monotonic().saturating_sub(started) < PERIOD {
            match screen.wait(STEP, env.wake_fd())? {
                KeyCommand::Quit => return Ok(Outcome::Done),
                KeyCommand::Interrupt => {
                    screen.interrupt();
                    return Ok(Outcome::Done);
                }
                KeyCommand::Suspend => {
                    screen.suspend()?;
                    break;
                }
                KeyCommand::Redraw => show(&seen, job, env)?,
                KeyCommand::None => {}
            }
            if changes.within(Duration::ZERO, env)? {
                break;
            }
        }
    }
    Ok(Outcome::Done)
}

fn show(seen: &[GroupDescription], job: &Watch, env: &Env) -> Result<()> {
    let (columns, rows) = Screen::size();
    let bytes = drawn(seen, job.output, columns, env)?;
    let text = String::from_utf8_lossy(&bytes);
    let members: usize = seen
        .iter()
        .flat_map(|group| &group.members)
        .map(Vec::len)
        .sum();
    let title = format!(
        "{}  groups {}  members {members}  q quits",
        clock(env),
        seen.len(),
    );
    let lines: Vec<&str> = text.lines().collect();
    let room = usize::from(rows).saturating_sub(1);
    let mut more = String::new();
    let shown = if lines.len() > room {
        let shown = room.saturating_sub(1);
        more = format!("... {} more lines", lines.len() - shown);
        shown
    } else {
        lines.len()
    };
    let title = cut(&title, columns);
    let more = cut(&more, columns);
    let all = std::iter::once(title)
        .chain(lines.into_iter().take(shown))
        .chain(Some(more).filter(|more| !more.is_empty()));
    Screen::show(all.take(usize::from(rows)))
}

/// The local time of day.
fn clock(env: &Env) -> String {
    let now = env.now();
    jiff::Timestamp::from_millisecond(now.now_ms).map_or_else(
        |_| String::new(),
        |time| now.zone.to_datetime(time).strftime("%H:%M:%S").to_string(),
    )
}

/// ASCII text, cut to the columns.
fn cut(text: &str, columns: u16) -> &str {
    text.get(..usize::from(columns)).unwrap_or(text)
}

/// As [`observe`], of a store that is still at its path: a deleted one would look like one without
/// groups.
fn observe_there(store: &Arc<StoreDir>, job: &Watch, env: &Env) -> Result<Vec<GroupDescription>> {
    let path = env.store_path()?;
    let seen =
        observe(store, job).map_err(|e| store_presence::unless_gone(e, store, &path, env))?;
    store_presence::check(store, &path)?;
    Ok(seen)
}

fn observe(store: &Arc<StoreDir>, job: &Watch) -> Result<Vec<GroupDescription>> {
    let names = match &job.group {
        Some(group) => vec![group.clone()],
        None => groups::list(store)?,
    };
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        match groups::describe(store, &name) {
            Ok(mut group) => {
                if job.only_lagging {
                    group
                        .offsets
                        .retain(|row| row.lag.is_some_and(|lag| lag > 0));
                }
                seen.push(group);
            }
            // Deleted meanwhile; it may be created again.
            Err(e) if e.kind() == Kind::UnknownGroup => {}
            Err(e) => return Err(e),
        }
    }
    Ok(seen)
}

fn block(seen: &[GroupDescription], output: OutputOptions, env: &Env) -> Result<Vec<u8>> {
    let mut rows = RowPrinter::memory(env, &OFFSETS, output, None);
    for group in seen {
        for row in offsets(group) {
            rows.row(row)?;
        }
    }
    rows.into_bytes()
}

/// The table for a terminal: the values that change, in columns that fit. A group without offsets
/// has a row too.
fn drawn(
    seen: &[GroupDescription],
    output: OutputOptions,
    width: u16,
    env: &Env,
) -> Result<Vec<u8>> {
    let mut rows = RowPrinter::memory(env, &DRAWN, output, Some(width));
    for group in seen {
        let begin = || -> Vec<Cell> { vec![group.group.clone().into(), group.state.into()] };
        if group.offsets.is_empty() && group.members.as_ref().is_none_or(|all| !all.is_empty()) {
            rows.row([begin(), vec![Cell::Null; DRAWN.len() - 2]].concat())?;
        }
        for row in &group.offsets {
            let members = &mut group.members.iter().flatten();
            let member = members.find(|member| Some(member.member_id) == row.member_id);
            let rest: Vec<Cell> = vec![
                row.topic.clone().into(),
                row.partition.into(),
                row.committed_offset.into(),
                row.high_watermark.into(),
                row.lag.into(),
                row.lag_seconds
                    .map(|seconds| seconds.saturating_mul(1000))
                    .into(),
                member.map(|member| member.host.clone()).into(),
                member.map(|member| member.pid).into(),
            ];
            rows.row([begin(), rest].concat())?;
        }
    }
    rows.into_bytes()
}

/// Reports changes of the groups' files, as far as the system can.
struct Changes {
    store: Arc<StoreDir>,
    watcher: Box<dyn Watcher>,
    known: std::collections::BTreeSet<String>,
}

impl Changes {
    fn new(store: &Arc<StoreDir>) -> Self {
        let mut changes = Changes {
            store: Arc::clone(store),
            watcher: new_watcher(&**store.disk()),
            known: std::collections::BTreeSet::new(),
        };
        if let Ok(groups) = store.groups_dir() {
            // Without a watch, changes are seen at the next snapshot.
            let _ = changes.watcher.add_dir(&*groups, ".");
        }
        changes.watch_new();
        changes
    }

    fn watch_new(&mut self) {
        for name in groups::list_all(&self.store).unwrap_or_default() {
            if self.known.contains(&name) {
                continue;
            }
            if let Ok(dir) = self.store.group_dir(&name) {
                let _ = self.watcher.add_dir(&*dir, ".");
                let _ = self.watcher.add_file(&*dir, stores::OFFSETS_LOG);
                self.known.insert(name);
            }
        }
    }

    /// Whether files changed within that time.
    fn within(&mut self, timeout: Duration, env: &Env) -> Result<bool> {
        let wake = self
            .watcher
            .wait(timeout, env.wake_fd())
            .map_err(|e| Error::io("watch", self.store.path(), e))?;
        // A watcher that cannot report changes says so at each wait: the period has to do.
        let fresh = matches!(wake, Wake::Changed(_));
        if fresh {
            self.watch_new();
        }
        Ok(fresh)
    }
}
