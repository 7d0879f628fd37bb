//! `--exec`: a command handles batches of records.
//!
//! 1. All records of a batch come from one partition. A batch has up to N records, taken from those
//!    that exist already, and at most 4 MiB. The command gets it on standard input, in the output
//!    format.
//! 2. One command runs at a time. Exit status 0 commits the batch before the next one begins; so
//!    after a run is killed, at most one batch runs again.
//! 3. A command that fails is run again after growing pauses. After the last retry the batch goes
//!    to the dead-letter topic; without one the run fails. Statuses 126 and 127 mean that the
//!    command itself is wrong, and a command that ends because mq is stopped says nothing about the
//!    batch: neither is retried. Any other failure counts as the record's, even if the cause is
//!    outside (such as a full disk): the exit status does not distinguish them.
//! 4. While a dead member's command still runs, its partition is skipped, for one session timeout
//!    at most; the other partitions go on.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use super::command::{CommandBatch, Commands};
use super::dead_letters::{DeadLetterOrigin, DeadLetters};
use super::job::{ExecJob, Topics};
use super::marks::Marks;
use super::print::{Printer, Stop};
use super::reading::FETCH_BYTES;
use crate::cli::lang::shown;
use crate::cli::{Env, stdout};
use crate::client::{BatchInfo, Consumer, Fetched, Generation, GroupSession, StoreDir};
use crate::error::{Error, Kind, Result};
use crate::record::{Decompressor, Record};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// A batch ends at this size even with fewer records, since it is kept in memory for a retry.
/// Gathering a batch reads no more than this either.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The pause before the first retry; it doubles with each further retry.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The shell's exit statuses for a command that it could not run.
const NOT_RUN: [i32; 2] = [126, 127];

/// Runs the command for batch after batch.
#[derive(Debug)]
pub struct Exec {
    job: ExecJob,
    dead_letters: Option<DeadLetters>,
    decompressor: Decompressor,
    commands: Commands,
    buf: Vec<u8>,
}

/// What handling a batch needs.
#[derive(Debug)]
pub struct Tools<'a> {
    /// Renders the batch's records.
    pub printer: &'a mut Printer,
    /// Records how far the batches were handled.
    pub marks: &'a Marks,
    /// The group.
    pub session: &'a GroupSession,
    /// Fetches more records of the partition.
    pub consumer: &'a mut Consumer,
    /// The environment.
    pub env: &'a Env,
}

/// The result of handling a fetch.
#[derive(Debug)]
pub enum Handled {
    /// All records were handled.
    All,
    /// The run ends before the end of the fetch.
    Stopped(Stop),
    /// The group took the partition away; records up to this offset were handled.
    Fenced(Offset),
    /// The sound records were handled; those behind them cannot be decoded.
    Broken(Error),
}

/// The result of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    Done,
    /// Abandoned without a result: by a signal, or because the partition moves.
    Left,
    /// Abandoned too: the command failed after the reader of mq's standard output went away.
    Unread,
}

impl Exec {
    /// Checks that the command and the dead-letter topic can be used.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn new(
        store: &Arc<StoreDir>,
        job: ExecJob,
        sources: &Topics,
        session_timeout: Duration,
    ) -> Result<Self> {
        let dead_letters = match &job.dead_letter {
            None => None,
            Some(topic) => {
                let matcher = sources.subscription().matcher()?;
                if matcher.matches(topic) {
                    return Err(is_source(topic.as_str()));
                }
                Some(DeadLetters::new(store, topic.clone()))
            }
        };
        let command = job.command.clone();
        Ok(Exec {
            job,
            dead_letters,
            decompressor: Decompressor::default(),
            commands: Commands::new(command, store.path().to_owned(), session_timeout),
            buf: Vec::new(),
        })
    }

    /// Resumes the partitions for which no dead member's command runs any more.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn observe(
        &mut self,
        owned: &HashMap<TopicPartition, Generation>,
        session: &GroupSession,
        consumer: &mut Consumer,
        env: &Env,
    ) -> Result<()> {
        for tp in self.commands.freed(owned, session, env)? {
            consumer.pause(&tp, false);
        }
        Ok(())
    }

    /// The time until the next `observe` at the latest.
    pub fn polls_again(&self) -> Option<Duration> {
        self.commands.polls_again()
    }

    /// Handles a fetch, batch by batch; reads more of the partition where that completes a batch.
    ///
    /// # Errors
    /// The command failed for good, or a commit failed.
    pub fn handle(
        &mut self,
        fetched: &Fetched,
        generation: Generation,
        tools: Tools<'_>,
    ) -> Result<Handled> {
        let mut decompressor = std::mem::take(&mut self.decompressor);
        let mut buf = std::mem::take(&mut self.buf);
        let mut turn = Turn {
            exec: self,
            tp: &fetched.tp,
            generation,
            tools,
            batch: CommandBatch::default(),
            next: fetched.from,
            until: fetched.until,
            leader_epoch: -1,
            runs: 0,
        };
        let handled = turn.handle(fetched, &mut decompressor, &mut buf);
        self.decompressor = decompressor;
        self.buf = buf;
        handled
    }
}

/// The handling of one fetch, and of the records gathered after it.
struct Turn<'a> {
    exec: &'a mut Exec,
    tp: &'a TopicPartition,
    generation: Generation,
    tools: Tools<'a>,
    batch: CommandBatch,
    /// The offset after the last record that was taken.
    next: Offset,
    /// The offset after the last record that was fetched.
    until: Offset,
    leader_epoch: LeaderEpoch,
    /// How many batches were run.
    runs: u64,
}

impl Turn<'_> {
    fn handle(
        &mut self,
        fetched: &Fetched,
        decompressor: &mut Decompressor,
        buf: &mut Vec<u8>,
    ) -> Result<Handled> {
        let mut handled = self.take_all(fetched, decompressor)?;
        let (mut gathered, runs) = (fetched.bytes.len(), self.runs);
        while handled.is_none()
            && self.batch.count > 0
            && self.runs == runs
            && gathered < BATCH_BYTES_MAX
        {
            let (consumer, env) = (&mut *self.tools.consumer, self.tools.env);
            if self.tools.session.has_orders() || env.stopping() {
                return Ok(self.put_back());
            }
            // The next fetch meets the failure again, after the sound records were handled.
            let Ok(Some(more)) = consumer.fetch_of(self.tp, FETCH_BYTES, buf) else {
                break;
            };
            gathered += more.bytes.len();
            self.until = more.until;
            handled = self.take_all(&more, decompressor)?;
            *buf = more.bytes;
        }
        match handled {
            Some(handled) => Ok(handled),
            // The records after the completed batch wait for the next turn; other partitions come
            // first.
            None if self.runs > runs && self.batch.count > 0 => Ok(self.put_back()),
            None => self.finish(),
        }
    }

    fn put_back(&mut self) -> Handled {
        let batch = std::mem::take(&mut self.batch);
        self.tools.printer.uncount(batch.count);
        drop(self.tools.printer.take_rendered());
        self.exec.forget();
        Handled::Stopped(Stop::Paused(batch.first))
    }

    /// Takes all records of a fetch; `Some` if handling ends earlier.
    fn take_all(
        &mut self,
        fetched: &Fetched,
        decompressor: &mut Decompressor,
    ) -> Result<Option<Handled>> {
        let stopped = fetched.for_each(decompressor, |info, record| {
            match self.take(info, &record) {
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(handled)) => ControlFlow::Break(Ok(handled)),
                Err(e) => ControlFlow::Break(Err(e)),
            }
        });
        match stopped {
            Err(e) => Ok(Some(self.run()?.unwrap_or(Handled::Broken(e)))),
            Ok(handled) => handled.transpose(),
        }
    }

    fn take(&mut self, info: BatchInfo, record: &Record<'_>) -> Result<Option<Handled>> {
        let is_between = self.batch.count == 0;
        if is_between {
            // If the process was suspended, the group may have given its partitions away by now.
            let (session, env) = (self.tools.session, self.tools.env);
            let is_confirmed = session.confirm(std::iter::once(self.tp))?;
            if !is_confirmed || session.has_orders() || env.stopping() {
                return Ok(Some(Handled::Stopped(Stop::Paused(record.offset))));
            }
            let commands = &mut self.exec.commands;
            if !commands.is_free(self.tp, self.generation, session, env)? {
                self.tools.consumer.pause(self.tp, true);
                return Ok(Some(Handled::Stopped(Stop::Paused(record.offset))));
            }
        }
        let (rendered, stop) = self.tools.printer.take_one(self.tp, info, record)?;
        if let Some(Stop::Time(..)) = stop {
            let handled = self.run()?;
            return Ok(handled.or(stop.map(Handled::Stopped)));
        }
        self.next = record.offset + 1;
        self.leader_epoch = info.leader_epoch;
        if rendered {
            if is_between {
                self.batch.first = record.offset;
                self.batch.key = record.key.map(<[u8]>::to_vec);
            }
            self.batch.last = record.offset;
            self.batch.count += 1;
            self.batch.bytes += record.key.map_or(0, <[u8]>::len);
            self.batch.bytes += record.value.map_or(0, <[u8]>::len);
            if let Some(dead_letters) = &mut self.exec.dead_letters {
                dead_letters.keep(record, info.compression)?;
            }
        } else if is_between {
            self.tools
                .marks
                .deliver(self.generation, self.next, self.leader_epoch);
        }
        let is_full = self.batch.count >= self.exec.job.batch
            || self.tools.printer.rendered_len().max(self.batch.bytes) >= BATCH_BYTES_MAX
            || stop.is_some();
        if is_full && let Some(handled) = self.run()? {
            return Ok(Some(handled));
        }
        Ok(stop.map(Handled::Stopped))
    }

    fn finish(&mut self) -> Result<Handled> {
        if let Some(handled) = self.run()? {
            return Ok(handled);
        }
        let (marks, until) = (self.tools.marks, self.until);
        marks.deliver(self.generation, until, self.leader_epoch);
        Ok(Handled::All)
    }

    /// Runs the batch, if there is one, and commits it; `Some` if handling ends there.
    fn run(&mut self) -> Result<Option<Handled>> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.count == 0 {
            return Ok(None);
        }
        self.runs += 1;
        batch.input = Arc::new(self.tools.printer.take_rendered());
        // While the command runs, however long that takes, the other partitions may move.
        let (session, env) = (self.tools.session, self.tools.env);
        session.works_on(Some(self.generation));
        let ran = self
            .exec
            .run(&batch, self.tp, self.generation, session, env);
        session.works_on(None);
        let ran = ran?;
        if ran != Ran::Done {
            self.tools.printer.uncount(batch.count);
            let stop = match ran {
                Ran::Unread => Stop::Closed,
                _ => Stop::Paused(batch.first),
            };
            return Ok(Some(Handled::Stopped(stop)));
        }
        self.tools
            .marks
            .deliver(self.generation, self.next, self.leader_epoch);
        match self.tools.session.commit_after_write() {
            Ok(()) => Ok(None),
            // It was reported to the user when this member was taken for dead.
            Err(e) if e.kind() == Kind::Rebalanced => Ok(None),
            Err(e) if e.kind() == Kind::Fenced => Ok(Some(Handled::Fenced(self.next))),
            Err(e) => Err(e),
        }
    }
}

impl Exec {
    fn run(
        &mut self,
        batch: &CommandBatch,
        tp: &TopicPartition,
        generation: Generation,
        session: &GroupSession,
        env: &Env,
    ) -> Result<Ran> {
        let leaves = || env.stopping() || session.is_revoked(generation);
        let with_key = self.job.batch == 1;
        let mut pause = PAUSE;
        let mut attempts = 0;
        loop {
            // Gathering the batch, or the pause before this try, may have taken long.
            if leaves() || !session.confirm(std::iter::once(tp))? || leaves() {
                self.forget();
                return Ok(Ran::Left);
            }
            let status = self.commands.run(batch, tp, with_key, env)?;
            attempts += 1;
            if status.success() {
                if let Some(dead_letters) = &mut self.dead_letters {
                    dead_letters.forget();
                }
                return Ok(Ran::Done);
            }
            // No reader is left for the command's output, so the failure is not the record's.
            if stdout::reader_is_gone() {
                self.forget();
                return Ok(Ran::Unread);
            }
            if status.code().is_some_and(|code| NOT_RUN.contains(&code)) {
                return Err(self.failed(batch, tp, status).cure(
                    "the shell could not run it: correct the command, then start again; the group \
                     goes on with this batch",
                ));
            }
            if leaves() {
                self.forget();
                return Ok(Ran::Left);
            }
            if attempts > self.job.retries {
                return self.give_up(batch, tp, status, attempts, env);
            }
            env.note(&format!(
                "{}; trying again in {} ms",
                self.failed(batch, tp, status),
                pause.as_millis()
            ));
            let until = env.monotonic() + pause;
            while env.monotonic() < until {
                env.wait_woken(until.saturating_sub(env.monotonic()));
                if leaves() {
                    self.forget();
                    return Ok(Ran::Left);
                }
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn forget(&mut self) {
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.forget();
        }
    }

    fn give_up(
        &mut self,
        batch: &CommandBatch,
        tp: &TopicPartition,
        status: ExitStatus,
        attempts: u32,
        env: &Env,
    ) -> Result<Ran> {
        let failed = self.failed(batch, tp, status);
        let Some(dead_letters) = &mut self.dead_letters else {
            let add = if self.job.retries == 0 {
                "--retries, --dead-letter"
            } else {
                "--dead-letter"
            };
            return Err(failed.cure(format!(
                "correct what made it fail and start again, or add {add}; 'mq-groups skip' passes \
                 over a record"
            )));
        };
        let origin = DeadLetterOrigin {
            tp,
            status: status_text(status),
            attempts,
        };
        dead_letters.send(&origin)?;
        env.note(&format!("{failed}; sent to {}", dead_letters.topic()));
        Ok(Ran::Done)
    }

    fn failed(&self, batch: &CommandBatch, tp: &TopicPartition, status: ExitStatus) -> Error {
        let offsets = if batch.first == batch.last {
            format!("offset {}", batch.first)
        } else {
            format!("offsets {} to {}", batch.first, batch.last)
        };
        Error::new(
            Kind::Io,
            format!(
                "the command '{}' failed with {} at {offsets} of {tp}",
                shown(&self.job.command),
                status_words(status)
            ),
        )
    }
}

/// The error for a dead-letter topic that is a source: dead letters would be handled again.
pub fn is_source(topic: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("--dead-letter {topic} is also read here, so dead letters would be read again"),
    )
    .cure("name another topic")
}

fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => (128 + signal).to_string(),
        (None, None) => "unknown".to_owned(),
    }
}

fn status_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}
