//! Runs `mq-produce`: from inputs to acknowledged records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::echo::Echoes;
use super::failed::Failed;
use super::input::{Input, InputWait};
use super::job::{Echo, ProduceJob, Source, check_missing};
use super::lines::InputLine;
use super::observer::Waits;
use super::topics::OpenTopics;
use crate::cli::lang::InputFormat;
use crate::cli::{Env, Outcome};
use crate::client::StoreDir;
use crate::client::topics::{self, TopicConfigs};
use crate::error::{Error, Kind, Result};
use crate::types::{Timestamp, Uuid};

/// Bytes of one read of the input.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// How often a producer that waits for input checks that its topic still exists.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait for acknowledgements before checking the input again.
const ECHO_TIMEOUT: Duration = Duration::from_millis(2);

/// Runs the job.
///
/// # Errors
/// The run ended with this error, which gives the number of acknowledged records and the first line
/// that is not acknowledged.
pub fn run(mut job: ProduceJob, env: &mut Env) -> Result<Outcome> {
    let store = env.open_or_note_new_store()?;
    let is_there = match &job.topic {
        Some(topic) => topics::read_if_there(&store, topic)?.is_some(),
        None => false,
    };
    if let (Some(topic), false) = (&job.topic, is_there) {
        check_missing(&store, &job, topic)?;
    }
    let stop = env.signals().stop_flag();
    let echo = std::mem::replace(&mut job.echo, Echo::Nothing);
    let mut run = Run {
        echoes: Echoes::new(echo, stop.clone(), env.stdout_is_terminal()),
        topics: OpenTopics::default(),
        made: BTreeSet::new(),
        waits: Arc::new(Waits::new(stop)),
        source: 0,
        line: 1,
        source_bytes: None,
        each_bytes_max: TopicConfigs::default().batch_bytes_max() as usize,
        limits_seen: None,
        skipped: None,
        acknowledged: 0,
        failures: Vec::new(),
        store,
        env,
        job,
    };
    if let (Some(topic), true) = (run.job.topic.clone(), is_there) {
        run.open(&topic)?;
    }
    let fed = run.feed();
    run.finish(fed)
}

pub(super) struct Run<'e> {
    pub(super) env: &'e mut Env,
    pub(super) job: ProduceJob,
    pub(super) store: Arc<StoreDir>,
    pub(super) topics: OpenTopics,
    /// Topics that this run created, if they get the partitions that records name.
    pub(super) made: BTreeSet<Uuid>,
    pub(super) waits: Arc<Waits>,
    pub(super) echoes: Echoes,
    /// The number of the current source.
    pub(super) source: usize,
    /// The line where the next record of the current source begins; counted from 1.
    pub(super) line: u64,
    /// The length of the current source, if it is a file.
    pub(super) source_bytes: Option<usize>,
    /// The largest limit of any topic, as far as it is known, and when all topics were last read.
    pub(super) each_bytes_max: usize,
    pub(super) limits_seen: Option<Duration>,
    /// The number of skipped records, and what was wrong with the first.
    pub(super) skipped: Option<(u64, String)>,
    /// The number of acknowledged records in closed topics.
    pub(super) acknowledged: u64,
    pub(super) failures: Vec<Failed>,
}

/// Why a wait for input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A read will not block.
    Input,
    /// Timeout: no input came.
    Nothing,
    /// A signal asks to stop.
    Stop,
}

impl Run<'_> {
    fn feed(&mut self) -> Result<()> {
        let sources = Arc::clone(&self.job.sources);
        for (number, source) in sources.iter().enumerate() {
            (self.source, self.line) = (number, 1);
            let mut input = Input::open(source).map_err(|e| match source {
                Source::Stdin => Error::io("open", "standard input", e),
                Source::File(path) => Error::io("open", path, e),
            })?;
            let data_on_terminal =
                input.is_terminal() || (self.echoes.is_wanted() && self.env.stdout_is_terminal());
            let len = input.len_bytes();
            self.source_bytes = len.and_then(|len| usize::try_from(len).ok());
            self.env.progress_source(len, data_on_terminal);
            if self.is_plain() {
                self.feed_plain(&mut input)?;
            } else {
                self.feed_parsed(&mut input)?;
            }
            if self.env.stopping() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Handles a record that cannot be taken: ends the run, or counts the record.
    pub(super) fn bad(&mut self, e: Error) -> Result<()> {
        if !self.job.skip_bad {
            return Err(e);
        }
        let e = e.at(self.place(self.here()));
        match &mut self.skipped {
            Some((count, _)) => *count += 1,
            None => self.skipped = Some((1, e.to_string())),
        }
        Ok(())
    }

    /// Whether each source is one record.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.job.input.format, InputFormat::Whole)
    }

    /// Where the next record begins.
    pub(super) fn here(&self) -> InputLine {
        InputLine {
            source: self.source,
            line: self.line,
        }
    }

    /// A place in the input, for messages.
    pub(super) fn place(&self, place: InputLine) -> String {
        let source = self.job.sources.get(place.source).map(Source::name);
        let source = source.unwrap_or_default();
        if self.is_whole() {
            return source;
        }
        format!("line {} of {source}", place.line)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.job.timestamp.unwrap_or_else(|| self.clock_now())
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        self.env.now_ms()
    }

    /// Waits until input can be read, for `idle` at most. Meanwhile, hands on the sent records, and
    /// echoes those that are acknowledged.
    pub(super) fn ready(&mut self, input: &Input, idle: Option<Duration>) -> Result<Awaited> {
        let error = |e| Error::io("wait for", input.name(), e);
        let begun = idle.map(|_| self.env.monotonic()).unwrap_or_default();
        loop {
            if self.env.stopping() {
                return Ok(Awaited::Stop);
            }
            if input.wait(Some(Duration::ZERO), None).map_err(error)? == InputWait::Input {
                return Ok(Awaited::Input);
            }
            let left = match idle {
                Some(idle) => idle.saturating_sub(self.env.monotonic().saturating_sub(begun)),
                None => POLL_INTERVAL,
            };
            if left.is_zero() {
                return Ok(Awaited::Nothing);
            }
            let linger = self.topics.idle()?;
            if self.echoes.is_waiting() {
                self.take_receipts(ECHO_TIMEOUT)?;
                continue;
            }
            let timeout = linger.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL).min(left);
            if input
                .wait(Some(timeout), self.env.wake_fd())
                .map_err(error)?
                == InputWait::Input
            {
                return Ok(Awaited::Input);
            }
            self.take_receipts(Duration::ZERO)?;
            self.refresh_partitions()?;
        }
    }

    /// Takes acknowledgements; waits up to `timeout` for that of the next record to echo.
    pub(super) fn take_receipts(&mut self, timeout: Duration) -> Result<()> {
        let next = self.echoes.next_opening();
        let mut failed = false;
        for open in self.topics.iter_mut() {
            let timeout = match next {
                Some(next) if next != open.opening => Duration::ZERO,
                _ => timeout,
            };
            let receipts = open.producer.receipts(timeout);
            self.echoes.acknowledged(open.opening, &receipts)?;
            open.lines.forget(open.producer.first_unacknowledged());
            failed |= open.producer.has_failed();
        }
        self.env.notify_cuts();
        self.notify_lost_reader();
        self.waits.notify(self.env);
        if failed {
            return Err(Error::new(Kind::Interrupted, "the producer has failed"));
        }
        Ok(())
    }

    /// Notes, once, that the echo has no reader any more.
    pub(super) fn notify_lost_reader(&mut self) {
        if self.echoes.has_lost_reader() {
            self.env.note(
                "the reader of standard output is gone: records are stored as before, and not echoed",
            );
        }
    }

    pub(super) fn drain_echoes(&mut self) -> Result<()> {
        self.topics.hand_on()?;
        while self.echoes.is_full() {
            self.take_receipts(Duration::from_millis(20))?;
        }
        Ok(())
    }
}
