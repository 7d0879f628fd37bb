//! `mq-consume` at work: fetch, have it printed or handled, write out, wait.
//!
//! One loop for plain reading and for groups: where partitions come from, and whom it tells how far
//! it came, is its [`Source`]'s. So both end, wait and fail alike:
//!
//! 1. A reader of the output that went away, a signal, `-c` and `--idle-timeout` end it, also while
//!    it waits for a store or a topic.
//! 2. What is damaged is told at once, and once; the partition counts as read to its end, the others
//!    go on, and the exit status is 65. A partition that cannot be opened is told of alike, and tried
//!    again.
//! 3. A topic that was deleted ends it, unless only a pattern named it. So does a store that was moved
//!    away or deleted: it is looked for once a second while nothing comes, and when something fails.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::job::{Job, Topics};
use super::output::Output;
use super::print::{Printer, Stop};
use crate::cli::{Env, Outcome, presence, stdout};
use crate::client::{Consumer, Fetched, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// Between two looks for a store or topic that is waited for.
const WAIT_FOR_TOPIC: Duration = Duration::from_millis(100);

/// A run, without what its source keeps.
#[derive(Debug)]
pub struct Reading<'e> {
    /// Its surroundings.
    pub env: &'e mut Env,
    /// What was asked for.
    pub job: Job,
    /// Reads the partitions.
    pub consumer: Consumer,
    /// Renders their records.
    pub printer: Printer,
    /// Where they are printed.
    pub output: Output,
    idle: Idle,
    presence: Presence,
    buf: Vec<u8>,
    broken: HashSet<TopicPartition>,
    noted_end: bool,
}

/// Where the store was found, and when it was last looked for there.
#[derive(Debug)]
struct Presence {
    store: Arc<StoreDir>,
    path: PathBuf,
    observed: Duration,
    /// Whether a failure was held against it.
    is_asked: bool,
}

/// Where partitions come from, and what becomes of their records.
pub trait Source {
    /// Most bytes of the next fetch.
    fn fetch_bytes(&mut self) -> usize;
    /// Looks what is to be read by now; `Break`: all is done.
    ///
    /// # Errors
    /// What ends the run.
    fn observe(&mut self, on: &mut Reading<'_>) -> Result<ControlFlow<()>>;
    /// Has a fetch printed or handled.
    ///
    /// # Errors
    /// What ends the run.
    fn take(&mut self, on: &mut Reading<'_>, fetched: &Fetched) -> Result<Took>;
    /// Writes out what is rendered.
    ///
    /// # Errors
    /// A failed write.
    fn flush(&mut self, on: &mut Reading<'_>) -> Result<()>;
    /// Whether that everything was read, and written out, is the end.
    fn is_done(&mut self, on: &mut Reading<'_>) -> bool;
    /// Waits until there may be more, for `timeout` at most.
    ///
    /// # Errors
    /// What ends the run.
    fn wait(&mut self, on: &mut Reading<'_>, timeout: Duration) -> Result<()>;
    /// Whether the end of what there is may be followed by more.
    fn follows(&self, on: &Reading<'_>) -> bool;
    /// A partition is read no more: its topic was deleted.
    fn forget(&mut self, tp: &TopicPartition);
    /// A partition cannot be read on.
    fn broken(&mut self, tp: &TopicPartition);
    /// The end; `good`: neither by a signal nor by an error, `exits_0`: nor with another status.
    ///
    /// # Errors
    /// What could not be brought to an end.
    fn end(self, on: &mut Reading<'_>, good: bool, exits_0: bool) -> Result<()>;
}

/// What became of a fetch.
#[derive(Debug)]
pub enum Took {
    /// All of it was taken.
    All,
    /// It ended before that.
    Stopped(Stop),
    /// What follows its sound records cannot be decoded.
    Broken(Error),
}

impl Took {
    /// What printing comes to: damage is in what was read.
    ///
    /// # Errors
    /// All but damage.
    pub fn of_print(printed: Result<Option<Stop>>) -> Result<Self> {
        match printed {
            Ok(None) => Ok(Took::All),
            Ok(Some(stop)) => Ok(Took::Stopped(stop)),
            Err(e) if e.kind() == Kind::Damaged => Ok(Took::Broken(e)),
            Err(e) => Err(e),
        }
    }
}

/// How long nothing may come: counted from the start, and from each record.
#[derive(Debug)]
pub struct Idle {
    limit: Option<Duration>,
    since: Duration,
    seen: u64,
}

impl Idle {
    /// From now on.
    pub fn new(job: &Job, env: &Env) -> Self {
        Idle {
            limit: job.idle_timeout,
            since: env.monotonic(),
            seen: 0,
        }
    }

    /// How long it may still take; `None`: for ever.
    fn left(&mut self, seen: u64, now: Duration) -> Option<Duration> {
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
        }
        let limit = self.limit?;
        Some(limit.saturating_sub(now.saturating_sub(self.since)))
    }

    /// Waits a moment for a store or a topic; `false`: it is waited for no longer.
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
    /// For a job.
    ///
    /// # Errors
    /// As [`Env::store_path`].
    pub fn new(
        env: &'e mut Env,
        store: &Arc<StoreDir>,
        job: Job,
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
        // What a command reads is no terminal.
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
            noted_end: false,
        })
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// What ended it. A reader that goes away is no error.
    pub fn run(mut self, mut source: impl Source) -> Result<Outcome> {
        let outcome = self.go(&mut source).map_err(|e| self.unless_gone(e));
        self.end(source, outcome)
    }

    /// Whether it is known that a partition cannot be read.
    pub fn is_broken(&self, tp: &TopicPartition) -> bool {
        self.broken.contains(tp)
    }

    fn go(&mut self, source: &mut impl Source) -> Result<()> {
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

    /// Looks, once a second, whether the store is still there: asked by who waits anyway.
    fn find_store(&mut self) -> Result<()> {
        let now = self.env.monotonic();
        if now.saturating_sub(self.presence.observed) < presence::POLL_INTERVAL {
            return Ok(());
        }
        self.presence.observed = now;
        presence::check(&self.presence.store, &self.presence.path)
    }

    /// The same failure, or that the store is gone. Only the first of a run that follows is looked
    /// into: that takes a moment.
    pub fn unless_gone(&mut self, e: Error) -> Error {
        if self.job.to_end || std::mem::replace(&mut self.presence.is_asked, true) {
            return e;
        }
        presence::unless_gone(e, &self.presence.store, &self.presence.path, self.env)
    }

    fn failed(&mut self, source: &mut impl Source, e: Error) -> Result<()> {
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

    fn break_off(&mut self, source: &mut impl Source, tp: &TopicPartition, e: &Error) {
        self.notify_broken(tp, e);
        source.broken(tp);
    }

    /// Tells of a partition that is damaged from here on, and reads it no further.
    pub fn notify_broken(&mut self, tp: &TopicPartition, e: &Error) {
        if self.broken.insert(tp.clone()) {
            self.env.fail(e);
        }
        if let Some(position) = self.position(tp) {
            self.end_at(tp, position);
        }
    }

    /// A topic was deleted: the end, unless it was one of those that match a pattern.
    fn deleted(&mut self, source: &mut impl Source, e: Error) -> Result<()> {
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

    /// Everything that is there was taken: write it out, and end or wait. `true`: the end.
    fn caught_up(&mut self, source: &mut impl Source) -> Result<bool> {
        source.flush(self)?;
        // Asked before each wait, which a tick ends: where nothing comes, no write tells it. A
        // command may well print nothing.
        let has_command = self.job.group.as_ref().is_some_and(|g| g.exec.is_some());
        let is_unread = !has_command && stdout::reader_is_gone();
        if self.output.is_closed() || is_unread || source.is_done(self) {
            return Ok(true);
        }
        // Nothing that is counted can come of partitions that are damaged.
        let is_counting = self.job.count.is_some() && !self.broken.is_empty();
        if is_counting && self.consumer.is_done() {
            return Ok(true);
        }
        let is_paused = self.consumer.has_paused();
        let left = if is_paused {
            // What is passed over for a moment is there to be read.
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

    fn end(mut self, mut source: impl Source, outcome: Result<()>) -> Result<Outcome> {
        let flushed = source.flush(&mut self);
        self.env.progress_done();
        let stopped_by_signal = self.env.stopping();
        let printed = self.printer.printed();
        let short = printed == 0 || self.job.count.is_some_and(|count| printed < count);
        let empty = self.job.fail_if_empty && short && !stopped_by_signal;
        let good = outcome.is_ok() && flushed.is_ok() && !stopped_by_signal;
        let exits_0 = good && !empty && !self.env.has_failed();
        let ended = source.end(&mut self, good, exits_0);
        outcome?;
        flushed?;
        ended?;
        Ok(if empty { Outcome::Empty } else { Outcome::Done })
    }
}

/// Bytes fetched at a time.
pub const FETCH_BYTES: usize = 256 << 10;

/// What a run comes to that ended before there was anything to read.
pub fn nothing(job: &Job, env: &Env) -> Outcome {
    if job.fail_if_empty && !env.stopping() {
        Outcome::Empty
    } else {
        Outcome::Done
    }
}
