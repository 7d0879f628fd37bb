//! The main loop of `mq-consume`: fetch, print or handle, write, wait.
//!
//! The same loop serves plain reading and groups; a [`RecordSource`] supplies the partitions and records
//! the progress. So both end, wait and fail in the same way:
//!
//! 1. The loop ends when the output's reader goes away, on a signal, at `-c`, and on
//!    `--idle-timeout`, also while it waits for a store or a topic.
//! 2. Damage is reported at once, and once. The partition then counts as read to its end, the
//!    others go on, and the exit status is 65. A partition that cannot be opened is reported in the
//!    same way, and tried again.
//! 3. The loop ends when a topic is deleted, unless only a pattern selected the topic. It also ends
//!    when the store is moved away or deleted: the loop checks for this once a second while no
//!    records come, and after a failure.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::job::{ConsumeJob, Topics};
use super::missed::report;
use super::output::Output;
use super::print::{Printer, Stop};
use crate::cli::{Env, Outcome, stdout, store_presence};
use crate::client::{Consumer, End, Fetched, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// The pause between two checks for a missing store or topic.
const WAIT_FOR_TOPIC: Duration = Duration::from_millis(100);

/// The part of a run that does not depend on its source.
#[derive(Debug)]
pub struct Reading<'e> {
    /// The environment.
    pub env: &'e mut Env,
    /// The options of the run.
    pub job: ConsumeJob,
    /// Reads the partitions.
    pub consumer: Consumer,
    /// Renders their records.
    pub printer: Printer,
    /// Where the records are printed.
    pub output: Output,
    idle: Idle,
    presence: Presence,
    buf: Vec<u8>,
    broken: HashSet<TopicPartition>,
    /// Up to where removed records were reported.
    missed: HashMap<TopicPartition, Offset>,
    /// Up to where deletions of keys were gone at the last fetch of a partition.
    deletions_gone: HashMap<TopicPartition, Offset>,
    noted_end: bool,
}

/// Where the store was found, and when this was last checked.
#[derive(Debug)]
struct Presence {
    store: Arc<StoreDir>,
    path: PathBuf,
    observed: Duration,
    /// Whether a failure was already checked for a missing store.
    is_asked: bool,
}

/// Supplies the partitions, and takes their records.
pub trait RecordSource {
    /// Most bytes of the next fetch.
    fn fetch_bytes(&mut self) -> usize;
    /// Updates the set of partitions to read; `Break`: the run is complete.
    ///
    /// # Errors
    /// The run ends with this error.
    fn observe(&mut self, on: &mut Reading<'_>) -> Result<ControlFlow<()>>;
    /// Prints or handles a fetch.
    ///
    /// # Errors
    /// The run ends with this error.
    fn take(&mut self, on: &mut Reading<'_>, fetched: &Fetched) -> Result<Took>;
    /// Writes everything that is rendered.
    ///
    /// # Errors
    /// A failed write.
    fn flush(&mut self, on: &mut Reading<'_>) -> Result<()>;
    /// Whether the run ends once everything was read and written.
    fn is_done(&mut self, on: &mut Reading<'_>) -> bool;
    /// Waits until there may be more records, for `timeout` at most.
    ///
    /// # Errors
    /// The run ends with this error.
    fn wait(&mut self, on: &mut Reading<'_>, timeout: Duration) -> Result<()>;
    /// Whether more records may come after the present end.
    fn follows(&self, on: &Reading<'_>) -> bool;
    /// Goes on with a partition at `next`: the records before it were removed before they were read.
    ///
    /// # Errors
    /// A failed write.
    fn passed(&mut self, on: &mut Reading<'_>, tp: &TopicPartition, next: Offset) -> Result<()>;
    /// Stops reading a partition whose topic was deleted.
    fn forget(&mut self, tp: &TopicPartition);
    /// Stops reading a partition that cannot be read on.
    fn broken(&mut self, tp: &TopicPartition);
    /// Finishes the run.
    ///
    /// # Errors
    /// A step of finishing that failed.
    fn end(self, on: &mut Reading<'_>, end: End) -> Result<()>;
}

/// The result of a fetch.
#[derive(Debug)]
pub enum Took {
    /// All records were taken.
    All,
    /// The run ends before the end of the fetch.
    Stopped(Stop),
    /// The sound records were taken; those behind them cannot be decoded.
    Broken(Error),
}

impl Took {
    /// From the result of printing: damage was found in the records.
    ///
    /// # Errors
    /// All errors except damage.
    pub fn of_print(printed: Result<Option<Stop>>) -> Result<Self> {
        match printed {
            Ok(None) => Ok(Took::All),
            Ok(Some(stop)) => Ok(Took::Stopped(stop)),
            Err(e) if e.kind() == Kind::Damaged => Ok(Took::Broken(e)),
            Err(e) => Err(e),
        }
    }
}

/// How long the run may go without a record: since its start, and after each record.
#[derive(Debug)]
pub struct Idle {
    limit: Option<Duration>,
    since: Duration,
    seen: u64,
}

impl Idle {
    /// Starts now.
    pub fn new(job: &ConsumeJob, env: &Env) -> Self {
        Idle {
            limit: job.idle_timeout,
            since: env.monotonic(),
            seen: 0,
        }
    }

    /// The time that is left; `None`: no limit.
    fn left(&mut self, seen: u64, now: Duration) -> Option<Duration> {
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
        }
        let limit = self.limit?;
        Some(limit.saturating_sub(now.saturating_sub(self.since)))
    }

    /// Waits a moment for a store or a topic; `false`: the wait is over.
    pub fn wait_for_topic(&mut self, env: &Env) -> bool {
        let left = self.left(self.seen, env.monotonic());
        let is_over = left.is_some_and(|left| left.is_zero());
        if is_over || env.stopping() || stdout::reader_is_gone() {
            return false;
        }
        env.wait_woken(WAIT_FOR_TOPIC.min(left.unwrap_or(WAIT_FOR_TOPIC)));
        true
    }
}

impl<'e> Reading<'e> {
    /// Makes the run of a job.
    ///
    /// # Errors
    /// As [`Env::store_path`].
    pub fn new(
        env: &'e mut Env,
        store: &Arc<StoreDir>,
        job: ConsumeJob,
        output: Output,
        idle: Idle,
    ) -> Result<Self> {
        let presence = Presence {
            store: Arc::clone(store),
            path: env.store_path()?,
            observed: env.monotonic(),
            is_asked: false,
        };
        let consumer = Consumer::reading_from(store, job.read_from.clone());
        // A command's standard input is not a terminal.
        let on_terminal =
            env.stdout_is_terminal() && job.group.as_ref().is_none_or(|group| group.exec.is_none());
        let renderer = job.renderer.clone().escaping(on_terminal && !job.raw);
        Ok(Reading {
            printer: Printer::new(renderer, job.filter.clone(), job.count),
            env,
            job,
            consumer,
            output,
            idle,
            presence,
            buf: Vec::new(),
            broken: HashSet::new(),
            missed: HashMap::new(),
            deletions_gone: HashMap::new(),
            noted_end: false,
        })
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// The run ended with this error. A reader that goes away is no error.
    pub fn run(mut self, mut source: impl RecordSource) -> Result<Outcome> {
        let outcome = self.go(&mut source).map_err(|e| self.unless_gone(e));
        self.end(source, outcome)
    }

    /// Whether a partition is known to be unreadable.
    pub fn is_broken(&self, tp: &TopicPartition) -> bool {
        self.broken.contains(tp)
    }

    fn go(&mut self, source: &mut impl RecordSource) -> Result<()> {
        loop {
            let is_counted = self.printer.is_counted() || self.job.count == Some(0);
            if self.env.stopping() || self.output.is_closed() || is_counted {
                return Ok(());
            }
            if source.observe(self)?.is_break() {
                return Ok(());
            }
            let fetched = match self.consumer.fetch(source.fetch_bytes(), &mut self.buf) {
                Ok(Some(fetched)) => fetched,
                Ok(None) => {
                    if self.caught_up(source)? {
                        return Ok(());
                    }
                    continue;
                }
                Err(e) => {
                    self.failed(source, e)?;
                    continue;
                }
            };
            self.notify_deletions(&fetched);
            let took = source.take(self, &fetched)?;
            let tp = fetched.tp;
            self.buf = fetched.bytes;
            self.env
                .progress(self.buf.len() as u64, self.printer.seen());
            match took {
                Took::All | Took::Stopped(Stop::Counted(..)) => {}
                Took::Stopped(Stop::Closed) => return Ok(()),
                Took::Stopped(Stop::Paused(offset)) => self.consumer.seek(&tp, offset)?,
                Took::Stopped(Stop::Time(tp, offset)) => {
                    self.consumer.seek(&tp, offset)?;
                    self.end_at(&tp, offset);
                }
                Took::Broken(e) => self.break_off(source, &tp, &e),
            }
        }
    }

    /// Ends the reading of a partition at an offset.
    pub fn end_at(&mut self, tp: &TopicPartition, offset: Offset) {
        self.printer.time_bounds.remove(tp);
        self.consumer.limit(tp, offset);
    }

    /// Where a partition is read next.
    pub fn position(&self, tp: &TopicPartition) -> Option<Offset> {
        self.consumer.position(tp)
    }

    /// Checks, once a second, that the store still exists; called before a wait.
    fn find_store(&mut self) -> Result<()> {
        let now = self.env.monotonic();
        if now.saturating_sub(self.presence.observed) < store_presence::POLL_INTERVAL {
            return Ok(());
        }
        self.presence.observed = now;
        store_presence::check(&self.presence.store, &self.presence.path)
    }

    /// Returns the failure, or the error that the store is gone. A run that follows checks only the
    /// first failure, since the check takes a moment.
    pub fn unless_gone(&mut self, e: Error) -> Error {
        if self.job.to_end || std::mem::replace(&mut self.presence.is_asked, true) {
            return e;
        }
        store_presence::unless_gone(e, &self.presence.store, &self.presence.path, self.env)
    }

    fn failed(&mut self, source: &mut impl RecordSource, e: Error) -> Result<()> {
        if e.kind() == Kind::OffsetOutOfRange
            && let Some(tp) = self.consumer.failed_at().cloned()
            && let Some(position) = self.position(&tp)
        {
            return match self.log_start(&tp) {
                Ok(start) if position < start => self.missed(source, &tp, position, start),
                Ok(_) => Err(e),
                Err(e) => self.failed(source, e),
            };
        }
        let e = self.unless_gone(e);
        match (e.kind(), self.consumer.failed_at().cloned()) {
            (Kind::UnknownTopic, _) => self.deleted(source, e),
            (Kind::Damaged, Some(tp)) => {
                self.break_off(source, &tp, &e);
                Ok(())
            }
            _ => Err(e),
        }
    }

    fn log_start(&self, tp: &TopicPartition) -> Result<Offset> {
        Ok(self.consumer.open_reader(tp)?.page()?.tail.log_start)
    }

    /// Goes on at the log start, or at the end of the reading if that is before it.
    fn missed(
        &mut self,
        source: &mut impl RecordSource,
        tp: &TopicPartition,
        position: Offset,
        start: Offset,
    ) -> Result<()> {
        let end = self.consumer.end_of(tp);
        let next = end.map_or(start, |end| end.min(start));
        // A run that fails here begins here again: nothing is passed, nor committed.
        self.report_missed(tp, position, next)?;
        self.consumer.seek(tp, next)?;
        source.passed(self, tp, next)
    }

    /// Up to where records of a partition were reported as removed.
    pub fn missed_up_to(&self, tp: &TopicPartition) -> Offset {
        self.missed.get(tp).copied().unwrap_or(0)
    }

    /// Reports records that were removed while the command runs, each offset once.
    ///
    /// # Errors
    /// These words, with `--on-missed fail`.
    pub fn report_missed(&mut self, tp: &TopicPartition, from: Offset, to: Offset) -> Result<()> {
        let reported = self.missed.entry(tp.clone()).or_insert(0);
        let from = from.max(*reported);
        if from >= to {
            return Ok(());
        }
        *reported = to;
        let is_failure = self.job.is_bounded(tp.partition);
        report(&self.job, tp, from, to, is_failure, self.env)
    }

    /// Warns once for each partition if a compaction left out deletions that this reader was to read: it read
    /// earlier records, or its group did.
    fn notify_deletions(&mut self, fetched: &Fetched) {
        let gone = fetched.edges.deletions_gone;
        let Some(known) = self.deletions_gone.get_mut(&fetched.tp) else {
            let known = if self.job.group.is_some() { 0 } else { gone };
            self.deletions_gone.insert(fetched.tp.clone(), known);
            if known < gone {
                self.notify_deletions(fetched);
            }
            return;
        };
        if gone <= *known {
            return;
        }
        *known = gone;
        if fetched.from > fetched.edges.log_start && fetched.from < gone {
            *known = Offset::MAX;
            self.env.warn(&format!(
                "{}: deletions of keys below offset {gone} were compacted away before they were read from \
                 offset {} on: to learn which keys are deleted, read again from 'start'",
                fetched.tp, fetched.from
            ));
        }
    }

    fn break_off(&mut self, source: &mut impl RecordSource, tp: &TopicPartition, e: &Error) {
        self.notify_broken(tp, e);
        source.broken(tp);
    }

    /// Reports that a partition is damaged from here on, and stops reading it.
    pub fn notify_broken(&mut self, tp: &TopicPartition, e: &Error) {
        if self.broken.insert(tp.clone()) {
            self.env.fail(e);
        }
        if let Some(position) = self.position(tp) {
            self.end_at(tp, position);
        }
    }

    /// Handles a deleted topic: the run ends, unless the topic was selected by a pattern.
    fn deleted(&mut self, source: &mut impl RecordSource, e: Error) -> Result<()> {
        let gone: Vec<TopicPartition> = self
            .consumer
            .positions()
            .map(|(tp, _)| tp.clone())
            .filter(|tp| self.consumer.is_deleted(tp))
            .collect();
        if matches!(self.job.topics, Topics::Names(_)) || gone.is_empty() {
            return Err(e);
        }
        for tp in gone {
            self.consumer.unassign(&tp);
            source.forget(&tp);
        }
        self.env.note(&e.to_string());
        Ok(())
    }

    /// All present records were taken: writes them out, then ends or waits. `true`: the run ends.
    fn caught_up(&mut self, source: &mut impl RecordSource) -> Result<bool> {
        source.flush(self)?;
        // Checked before each wait: as long as no records come, no write would fail. A command may
        // print nothing at all.
        let has_command = self.job.group.as_ref().is_some_and(|g| g.exec.is_some());
        let is_unread = !has_command && stdout::reader_is_gone();
        if self.output.is_closed() || is_unread || source.is_done(self) {
            return Ok(true);
        }
        // With damaged partitions, the count can no longer be reached.
        let is_counting = self.job.count.is_some() && !self.broken.is_empty();
        if is_counting && self.consumer.is_done() {
            return Ok(true);
        }
        let is_paused = self.consumer.has_paused();
        let left = if is_paused {
            // Partitions that are skipped for a moment have records to read.
            self.idle.since = self.env.monotonic();
            None
        } else {
            self.idle.left(self.printer.seen(), self.env.monotonic())
        };
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(true);
        }
        self.env.notify_cuts();
        if !is_paused && !self.noted_end && self.env.stdout_is_terminal() && source.follows(self) {
            self.noted_end = true;
            self.env.note("at the end; waiting for more (Ctrl-C ends)");
        }
        self.find_store()?;
        source.wait(self, left.unwrap_or(Duration::MAX))?;
        Ok(false)
    }

    fn end(mut self, mut source: impl RecordSource, outcome: Result<()>) -> Result<Outcome> {
        let flushed = source.flush(&mut self);
        self.env.progress_done();
        let stopped_by_signal = self.env.stopping();
        let printed = self.printer.printed();
        let short = printed == 0 || self.job.count.is_some_and(|count| printed < count);
        let empty = self.job.fail_if_empty && short && !stopped_by_signal;
        let end = if stopped_by_signal || outcome.is_err() || flushed.is_err() {
            End::Aborted
        } else if empty || self.env.has_failed() {
            End::Finished
        } else {
            End::Succeeded
        };
        let ended = source.end(&mut self, end);
        outcome?;
        flushed?;
        ended?;
        Ok(if empty { Outcome::Empty } else { Outcome::Done })
    }
}

/// Bytes fetched at a time.
pub const FETCH_BYTES: usize = 256 << 10;

/// The outcome of a run that ended before there was anything to read.
pub fn nothing(job: &ConsumeJob, env: &Env) -> Outcome {
    if job.fail_if_empty && !env.stopping() {
        Outcome::Empty
    } else {
        Outcome::Done
    }
}
