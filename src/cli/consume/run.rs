//! Plain reading: all partitions of the topics, and those added later.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::assign::{Assignments, note_none_matches};
use super::job::{ConsumeJob, Topics};
use super::output::Output;
use super::reading::{Idle, Reading, RecordSource, Took, nothing};
use super::tail;
use crate::cli::lang::usage;
use crate::cli::{Env, Outcome, stdout};
use crate::client::{CommitWhen, End, Fetched, ReadFrom, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// Bytes fetched at a time.
const FETCH_BYTES: usize = 1 << 20;
/// The first fetch is small, so that the first record does not wait for a megabyte.
const FIRST_FETCH_BYTES: usize = 16 * 1024;
/// The longest wait: changes that no watch reports are found after it.
const TICK: Duration = Duration::from_millis(500);

/// Runs the job.
///
/// # Errors
/// The run ended with this error. A reader that goes away is no error.
pub fn run(job: ConsumeJob, env: &mut Env) -> Result<Outcome> {
    check_reader(&job)?;
    let mut idle = Idle::new(&job, env);
    let Some((store, was_there)) = open_store(&job, &mut idle, env)? else {
        return Ok(nothing(&job, env));
    };
    warn_of_unknown_rack(&store, &job, env)?;
    // Until a record is printed, there is nothing to finish.
    env.signals().end_by_first(true);
    if let Some(group) = job.group.clone() {
        return super::group_run::run(&store, job, group, idle, was_there, env);
    }
    let output = Output::new(env.signals().writes());
    let mut on = Reading::new(env, &store, job, output, idle)?;
    let mut plain = Plain {
        store,
        assignments: Assignments::default(),
        fetch_bytes: FIRST_FETCH_BYTES,
        observed: on.env.monotonic(),
    };
    plain.refresh(&mut on, was_there)?;
    if on.job.may_wait_for_match() {
        if plain.assignments.is_empty() {
            note_none_matches(&on.job.topics, on.env);
        } else {
            plain.assignments.note_unmatched(&on.job.topics, on.env);
        }
    }
    on.env.signals().end_by_first(false);
    if on.job.to_end || on.job.ends() {
        // The reader of a pipe may print on the same terminal.
        let into_file = stdout::kind() == stdout::StdoutKind::File;
        on.env.progress_source(None, !into_file);
    }
    if let Some(wanted) = on.job.tail {
        let of = std::mem::take(&mut plain.assignments.tail_of);
        tail::print(&plain.store, &mut on, &of, wanted)?;
    }
    on.run(plain)
}

/// Refuses to commit where records may not be delivered: a group's offsets mean that they were.
fn check_reader(job: &ConsumeJob) -> Result<()> {
    let Some(group) = job.group.as_ref().filter(|group| group.exec.is_none()) else {
        return Ok(());
    };
    match stdout::kind() {
        stdout::StdoutKind::Closed => {
            let text =
                "standard output is closed: no reader gets the records, so nothing is committed";
            Err(Error::new(Kind::Io, text).cure(
                "write them to a file, or to /dev/null where they are not wanted (> /dev/null)",
            ))
        }
        stdout::StdoutKind::Socket
            if job.count.is_none() && group.commit == CommitWhen::AfterWrite =>
        {
            Err(usage(
                "standard output is a socket: how much of it was read is not known, so mq-consume \
                 cannot tell what to commit",
                "commit once, at the end (--commit on-exit), say how many records (-c), or run a command \
                 for each (--exec)",
            ))
        }
        _ => Ok(()),
    }
}

/// The store, and whether it existed at once.
fn open_store(
    job: &ConsumeJob,
    idle: &mut Idle,
    env: &mut Env,
) -> Result<Option<(Arc<StoreDir>, bool)>> {
    let mut was_there = true;
    loop {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && job.wait => {
                was_there = false;
                if !idle.wait_for_topic(env) {
                    return Ok(None);
                }
            }
            other => return other.map(|store| Some((store, was_there))),
        }
    }
}

/// Warns of a rack without brokers, perhaps a typing error: everything is then read from leaders.
fn warn_of_unknown_rack(store: &StoreDir, job: &ConsumeJob, env: &Env) -> Result<()> {
    let ReadFrom::Rack(rack) = &job.read_from else {
        return Ok(());
    };
    let mut racks = BTreeSet::new();
    for id in store.brokers()? {
        racks.extend(store.broker_file(id).ok().and_then(|file| file.rack));
    }
    if !racks.contains(rack) {
        let known = match racks.into_iter().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no broker has a rack".to_owned(),
            racks => format!("known racks: {racks}"),
        };
        let rack = rack.escape_debug();
        env.warn(&format!(
            "no broker is on rack '{rack}': reading from leaders ({known})"
        ));
    }
    Ok(())
}

/// All partitions of the named topics.
struct Plain {
    store: Arc<StoreDir>,
    assignments: Assignments,
    fetch_bytes: usize,
    observed: Duration,
}

impl RecordSource for Plain {
    fn fetch_bytes(&mut self) -> usize {
        std::mem::replace(&mut self.fetch_bytes, FETCH_BYTES)
    }

    fn observe(&mut self, _: &mut Reading<'_>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, on: &mut Reading<'_>, fetched: &Fetched) -> Result<Took> {
        Took::of_print(on.printer.print(fetched, &mut on.output))
    }

    fn flush(&mut self, on: &mut Reading<'_>) -> Result<()> {
        on.printer.flush(&mut on.output)
    }

    fn is_done(&mut self, on: &mut Reading<'_>) -> bool {
        pass_time_bounds(on);
        let waits = on.job.wait && self.assignments.lacks(&on.job.topics);
        let fixed = matches!(on.job.topics, Topics::Names(_)) || on.job.to_end;
        on.consumer.is_done() && !waits && (fixed || on.job.ends())
    }

    fn wait(&mut self, on: &mut Reading<'_>, timeout: Duration) -> Result<()> {
        let wake = on.consumer.wait(timeout.min(TICK), on.env.wake_fd())?;
        let now = on.env.monotonic();
        if on.consumer.topics_changed(&wake) || now - self.observed >= TICK {
            self.observed = now;
            self.refresh(on, false)?;
        }
        Ok(())
    }

    fn follows(&self, _: &Reading<'_>) -> bool {
        !self.assignments.is_empty()
    }

    fn passed(&mut self, _: &mut Reading<'_>, _: &TopicPartition, _: Offset) -> Result<()> {
        Ok(())
    }

    fn forget(&mut self, tp: &TopicPartition) {
        self.assignments.forget(&tp.topic);
    }

    fn broken(&mut self, _: &TopicPartition) {}

    fn end(self, _: &mut Reading<'_>, _: End) -> Result<()> {
        Ok(())
    }
}

/// Once the clock has passed a time bound, its partition ends at its present end.
fn pass_time_bounds(on: &mut Reading<'_>) {
    let now = on.env.now_ms();
    let bounds = on.printer.time_bounds.iter();
    let passed = bounds.filter(|(_, bound)| **bound <= now);
    let passed: Vec<TopicPartition> = passed.map(|(tp, _)| tp.clone()).collect();
    for tp in passed {
        match on.position(&tp) {
            Some(position) => on.end_at(&tp, position),
            None => drop(on.printer.time_bounds.remove(&tp)),
        }
    }
}

impl Plain {
    fn refresh(&mut self, on: &mut Reading<'_>, first: bool) -> Result<()> {
        self.assignments.refresh(
            &self.store,
            &on.job,
            &mut on.consumer,
            &mut on.printer,
            on.env,
            first,
        )
    }
}
