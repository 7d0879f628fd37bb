//! `--exec`: a command handles batches of records.
//!
//! 1. A batch is of one partition: up to so many records, what a fetch has of them, on the
//!    command's standard input in the output format.
//! 2. One command runs at a time. Exit status 0 commits the batch before the next begins; so of a
//!    run that is killed, one batch runs again and no other.
//! 3. A command that fails is run again after growing pauses, then the batch goes to the dead
//!    letters; without these the run fails. Statuses 126 and 127 say that the command itself is
//!    wrong, and our own stop says nothing about the batch: neither is tried again.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::dead_letters::{DeadLetters, Origin};
use super::job::{ExecJob, Topics};
use super::marks::Marks;
use super::print::{Printer, Stop};
use crate::cli::Env;
use crate::cli::lang::shown;
use crate::cli::stdout_pipe;
use crate::client::{BatchInfo, Fetched, Generation, GroupSession};
use crate::error::{Error, Kind, Result};
use crate::record::{Decompressor, Record};
use crate::store::StoreDir;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// A batch is cut here though it has fewer records: it is held in memory for the next try.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The pause before the second try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest key that goes into the environment: Linux takes no string over 128 KiB there, and
/// this one begins with `MQ_KEY=` and ends with a NUL.
const KEY_LEN_MAX: usize = (128 << 10) - "MQ_KEY=".len() - 1;
/// Exit statuses of a shell that could not run the command.
const NOT_RUN: [i32; 2] = [126, 127];

/// Runs the command.
#[derive(Debug)]
pub struct Exec {
    job: ExecJob,
    dead_letters: Option<DeadLetters>,
    decompressor: Decompressor,
    /// For the command's environment: `--store` is no part of ours.
    store: PathBuf,
    told_of_key: bool,
}

/// What became of a fetch.
#[derive(Debug)]
pub enum Handled {
    /// All of it was handled.
    All,
    /// It ended before that.
    Stopped(Stop),
    /// The group took the partition away; it was handled up to there.
    Fenced(Offset),
    /// What follows its sound records, which were handled, cannot be decoded.
    Broken(Error),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    Done,
    /// It was given up without a verdict: a signal, or the partition moves.
    Left,
    /// The same: it failed after the reader of its output, which is ours, went away.
    Unread,
}

/// The records that the command is to handle next.
#[derive(Debug, Default)]
struct Batch {
    first: Offset,
    last: Offset,
    count: u64,
    key: Option<Vec<u8>>,
    input: Arc<Vec<u8>>,
}

impl Exec {
    /// Looks whether the command and the dead-letter topic can do.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn new(store: &Arc<StoreDir>, job: ExecJob, sources: &Topics) -> Result<Self> {
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
        Ok(Exec {
            job,
            dead_letters,
            decompressor: Decompressor::default(),
            store: store.path().to_owned(),
            told_of_key: false,
        })
    }

    /// Has a fetch handled, batch by batch.
    ///
    /// # Errors
    /// A command that failed for good; damage; a commit that failed.
    pub fn handle(
        &mut self,
        fetched: &Fetched,
        generation: Generation,
        printer: &mut Printer,
        marks: &Marks,
        session: &GroupSession,
        env: &Env,
    ) -> Result<Handled> {
        let mut decompressor = std::mem::take(&mut self.decompressor);
        let mut turn = Turn {
            exec: self,
            tp: &fetched.tp,
            generation,
            printer,
            marks,
            session,
            env,
            batch: Batch::default(),
            next: fetched.from,
            leader_epoch: -1,
        };
        let stopped = fetched.for_each(&mut decompressor, |info, record| {
            match turn.take(info, &record) {
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(handled)) => ControlFlow::Break(Ok(handled)),
                Err(e) => ControlFlow::Break(Err(e)),
            }
        });
        let handled = match stopped {
            Err(e) => turn
                .run()
                .map(|handled| handled.unwrap_or(Handled::Broken(e))),
            Ok(Some(handled)) => handled,
            Ok(None) => turn.finish(fetched.until),
        };
        self.decompressor = decompressor;
        handled
    }
}

/// One fetch under way.
struct Turn<'a> {
    exec: &'a mut Exec,
    tp: &'a TopicPartition,
    generation: Generation,
    printer: &'a mut Printer,
    marks: &'a Marks,
    session: &'a GroupSession,
    env: &'a Env,
    batch: Batch,
    /// The offset after the last record that was looked at.
    next: Offset,
    leader_epoch: LeaderEpoch,
}

impl Turn<'_> {
    fn take(&mut self, info: BatchInfo, record: &Record<'_>) -> Result<Option<Handled>> {
        let is_between = self.batch.count == 0;
        if is_between {
            // A process that was stopped may own nothing any more when it wakes.
            self.session.confirm(std::iter::once(self.tp));
        }
        if is_between && (self.session.has_orders() || self.env.stopping()) {
            return Ok(Some(Handled::Stopped(Stop::Paused(record.offset))));
        }
        let (rendered, stop) = self.printer.take_one(self.tp, info, record)?;
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
            if let Some(dead_letters) = &mut self.exec.dead_letters {
                dead_letters.keep(record, info.compression)?;
            }
        } else if is_between {
            self.marks
                .deliver(self.generation, self.next, self.leader_epoch);
        }
        let is_full = self.batch.count >= self.exec.job.batch
            || self.printer.rendered_len() >= BATCH_BYTES_MAX
            || stop.is_some();
        if is_full && let Some(handled) = self.run()? {
            return Ok(Some(handled));
        }
        Ok(stop.map(Handled::Stopped))
    }

    fn finish(mut self, until: Offset) -> Result<Handled> {
        if let Some(handled) = self.run()? {
            return Ok(handled);
        }
        self.marks
            .deliver(self.generation, until, self.leader_epoch);
        Ok(Handled::All)
    }

    /// Runs the batch, if there is one, and commits it; `Some` if the fetch ends there.
    fn run(&mut self) -> Result<Option<Handled>> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.count == 0 {
            return Ok(None);
        }
        batch.input = Arc::new(self.printer.take_rendered());
        // Whatever the command takes its time for, the other partitions may move.
        self.session.works_on(Some(self.generation));
        let ran = self
            .exec
            .run(&batch, self.tp, self.generation, self.session, self.env);
        self.session.works_on(None);
        let ran = ran?;
        if ran != Ran::Done {
            self.printer.uncount(batch.count);
            let stop = match ran {
                Ran::Unread => Stop::Closed,
                _ => Stop::Paused(batch.first),
            };
            return Ok(Some(Handled::Stopped(stop)));
        }
        self.marks
            .deliver(self.generation, self.next, self.leader_epoch);
        match self.session.commit_after_write() {
            Ok(()) => Ok(None),
            Err(e) if e.kind() == Kind::Fenced => Ok(Some(Handled::Fenced(self.next))),
            Err(e) => Err(e),
        }
    }
}

impl Exec {
    fn run(
        &mut self,
        batch: &Batch,
        tp: &TopicPartition,
        generation: Generation,
        session: &GroupSession,
        env: &Env,
    ) -> Result<Ran> {
        let mut pause = PAUSE;
        let mut attempts = 0;
        loop {
            let status = self.spawn(batch, tp, env)?;
            attempts += 1;
            if status.success() {
                if let Some(dead_letters) = &mut self.dead_letters {
                    dead_letters.forget();
                }
                return Ok(Ran::Done);
            }
            // Nothing that it could print would be read: no fault of the records.
            if stdout_pipe::reader_is_gone() {
                self.forget();
                return Ok(Ran::Unread);
            }
            if status.code().is_some_and(|code| NOT_RUN.contains(&code)) {
                return Err(self.failed(batch, tp, status).cure(
                    "the shell could not run it: mend the command, then start again; the group goes on with this batch",
                ));
            }
            let leaves = || env.stopping() || session.is_revoked(generation);
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
        batch: &Batch,
        tp: &TopicPartition,
        status: ExitStatus,
        attempts: u32,
        env: &Env,
    ) -> Result<Ran> {
        let failed = self.failed(batch, tp, status);
        let Some(dead_letters) = &mut self.dead_letters else {
            return Err(failed.cure(
                "mend what it choked on and start again, or add --retries, --dead-letter; 'mq-groups skip' passes over a record",
            ));
        };
        let origin = Origin {
            tp,
            status: status_text(status),
            attempts,
        };
        dead_letters.send(&origin)?;
        env.note(&format!("{failed}; sent to {}", dead_letters.topic()));
        Ok(Ran::Done)
    }

    fn failed(&self, batch: &Batch, tp: &TopicPartition, status: ExitStatus) -> Error {
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

    fn spawn(&mut self, batch: &Batch, tp: &TopicPartition, env: &Env) -> Result<ExitStatus> {
        let key = batch.key.as_deref().filter(|_| self.job.batch == 1);
        let fits = key.filter(|key| key.len() <= KEY_LEN_MAX && !key.contains(&0));
        if fits != key {
            self.tell_of_key(batch, tp, env);
        }
        let mut child = match self.command(batch, tp, fits).spawn() {
            // All strings together have a bound as well, and others set most of them.
            Err(e) if e.kind() == io::ErrorKind::ArgumentListTooLong && fits.is_some() => {
                self.tell_of_key(batch, tp, env);
                self.command(batch, tp, None).spawn()
            }
            spawned => spawned,
        }
        .map_err(|e| Error::io("run", "sh", e))?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = Arc::clone(&batch.input);
            // It is judged by its exit status, whether it reads or not. The thread is not waited
            // for: a child of the command may keep its input open.
            std::thread::Builder::new()
                .name("feed".to_owned())
                .spawn(move || stdin.write_all(&input))
                .map_err(|e| Error::io("start", "the thread that feeds the command", e))?;
        }
        child.wait().map_err(|e| Error::io("wait for", "sh", e))
    }

    fn command(&self, batch: &Batch, tp: &TopicPartition, key: Option<&[u8]>) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(&self.job.command)
            .stdin(Stdio::piped())
            .env("MQ_STORE", &self.store)
            .env("MQ_TOPIC", tp.topic.as_str())
            .env("MQ_PARTITION", tp.partition.to_string())
            .env("MQ_OFFSET", batch.first.to_string())
            .env("MQ_OFFSET_LAST", batch.last.to_string())
            .env("MQ_COUNT", batch.count.to_string())
            .env_remove("MQ_KEY");
        if let Some(key) = key {
            command.env("MQ_KEY", OsStr::from_bytes(key));
        }
        command
    }

    /// Once: such keys seldom come alone.
    fn tell_of_key(&mut self, batch: &Batch, tp: &TopicPartition, env: &Env) {
        if !std::mem::replace(&mut self.told_of_key, true) {
            env.note(&format!(
                "the key at offset {} of {tp} does not fit into the environment: the command runs \
                 without MQ_KEY wherever a key has a NUL or is too long",
                batch.first
            ));
        }
    }
}

/// A dead letter must not come back as work.
pub fn is_source(topic: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!(
            "--dead-letter {topic} is among the topics that are read: its records would come back"
        ),
    )
    .cure("name another topic")
}

/// Whether a shell finds the command; one that is more than a plain word is left to the shell.
///
/// # Errors
/// [`Kind::Usage`] if it does not.
pub fn check_command(command: &str) -> Result<()> {
    let word = command.split_whitespace().next().unwrap_or_default();
    if word.is_empty() {
        return Err(Error::new(Kind::Usage, "--exec has no command")
            .cure("say what handles a record, such as --exec 'jq .'"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
    if !word.chars().all(is_plain) {
        return Ok(());
    }
    let found = Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh", word])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| Error::io("run", "sh", e))?;
    if found.success() {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("--exec: there is no command '{word}'"))
            .cure("look at its spelling, and at PATH"),
    )
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
