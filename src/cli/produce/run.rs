//! `mq-produce` at work: from inputs to acknowledged records.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::echo::Echoes;
use super::input::{Input, Ready};
use super::job::{AutoCreate, Echo, Job};
use super::lines::Lines;
use super::onlooker::Waits;
use crate::cli::{Env, Outcome};
use crate::client::{Admin, NewTopic, ProducerOptions, UntimedProducer};
use crate::error::{Error, Kind, Result};
use crate::store::{StoreDir, topics};
use crate::types::Timestamp;

/// Bytes of input read at a time.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// How often a producer that waits for input looks whether its topic is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long acknowledgements are waited for before the input is looked at again.
const ECHO_PATIENCE: Duration = Duration::from_millis(2);

/// Runs the job.
///
/// # Errors
/// What ended it, with how many records are acknowledged and the first line that is not.
pub fn run(mut job: Job, env: &mut Env) -> Result<Outcome> {
    let store = env.open_or_create_store()?;
    prepare_topic(&store, &job, env)?;
    let waits = Arc::new(Waits::new(env.signals().stop_flag()));
    let options = ProducerOptions {
        onlooker: Some(waits.clone()),
        ..job.delivery.clone()
    };
    let producer = UntimedProducer::open(&store, &job.topic, options)?;
    let stop = env.signals().stop_flag();
    let echo = std::mem::replace(&mut job.echo, Echo::Nothing);
    let mut run = Run {
        echoes: Echoes::new(echo, job.topic.clone(), stop, env.stdout_is_terminal()),
        producer,
        waits,
        lines: Lines::default(),
        line: 1,
        source_bytes: None,
        skipped: None,
        env,
        job,
    };
    let fed = run.feed();
    run.finish(fed)
}

fn prepare_topic(store: &Arc<StoreDir>, job: &Job, env: &mut Env) -> Result<()> {
    if topics::read_if_there(store, &job.topic)?.is_some() {
        return Ok(());
    }
    let AutoCreate::With(partitions) = job.create else {
        return Err(topics::unknown(store, &job.topic));
    };
    if Path::new(job.topic.as_str()).exists() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "'{}' is no topic yet, but a file here: is the topic's name missing?",
                job.topic
            ),
        )
        .cure(format!(
            "say 'mq-produce TOPIC {}', or make the topic first: 'mq-topics create {}'",
            job.topic, job.topic
        )));
    }
    let known = topics::list(store)?;
    let near = crate::error::near_names(job.topic.as_str(), known.iter().map(|t| t.as_str()));
    let admin = Admin::new(store, job.delivery.timeout);
    let (_, made) = admin.open_or_create(&NewTopic::new(job.topic.clone(), partitions))?;
    if made {
        let count = if partitions == 1 {
            "1 partition".to_owned()
        } else {
            format!("{partitions} partitions")
        };
        let like = if near.is_empty() {
            String::new()
        } else {
            format!(" (there is also {})", near.join(", "))
        };
        env.note(&format!("made topic {} with {count}{like}", job.topic));
    }
    Ok(())
}

pub(super) struct Run<'e> {
    pub(super) env: &'e mut Env,
    pub(super) job: Job,
    pub(super) producer: UntimedProducer,
    pub(super) waits: Arc<Waits>,
    pub(super) echoes: Echoes,
    pub(super) lines: Lines,
    /// Where the next record begins in the current source; counted from 1.
    pub(super) line: u64,
    /// How long the current source is, if it is a file.
    pub(super) source_bytes: Option<usize>,
    pub(super) skipped: Option<(u64, String)>,
}

/// What a wait for input ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A read will not block.
    Input,
    /// Nothing came for as long as was to be waited.
    Nothing,
    /// A signal asks to stop.
    Stop,
}

impl Run<'_> {
    fn feed(&mut self) -> Result<()> {
        let sources = self.job.sources.clone();
        for source in &sources {
            self.lines.source = source.name();
            self.line = 1;
            let mut input = Input::open(source).map_err(|e| match source {
                super::job::Source::Stdin => Error::io("open", "standard input", e),
                super::job::Source::File(path) => Error::io("open", path, e),
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

    /// A record that cannot be taken: the end, or counted.
    pub(super) fn bad(&mut self, e: Error) -> Result<()> {
        if !self.job.skip_bad {
            return Err(e);
        }
        let e = e.at(format!("line {} of {}", self.line, self.lines.source));
        match &mut self.skipped {
            Some((count, _)) => *count += 1,
            None => self.skipped = Some((1, e.to_string())),
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.job.timestamp.unwrap_or_else(|| self.clock_now())
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        self.env.now_ms()
    }

    /// Waits until input can be read; with `idle` for so long at most. Meanwhile what was sent is
    /// handed on, and echoed.
    pub(super) fn ready(&mut self, input: &Input, idle: Option<Duration>) -> Result<Awaited> {
        let error = |e| Error::io("wait for", input.name(), e);
        let begun = idle.map(|_| self.env.monotonic()).unwrap_or_default();
        loop {
            if self.env.stopping() {
                return Ok(Awaited::Stop);
            }
            if input.wait(Some(Duration::ZERO), None).map_err(error)? == Ready::Input {
                return Ok(Awaited::Input);
            }
            let left = match idle {
                Some(idle) => idle.saturating_sub(self.env.monotonic().saturating_sub(begun)),
                None => LOOK_INTERVAL,
            };
            if left.is_zero() {
                return Ok(Awaited::Nothing);
            }
            let linger = self.producer.idle()?;
            if self.echoes.is_waiting() {
                self.take_receipts(ECHO_PATIENCE)?;
                continue;
            }
            let patience = linger.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL).min(left);
            if input
                .wait(Some(patience), self.env.wake_fd())
                .map_err(error)?
                == Ready::Input
            {
                return Ok(Awaited::Input);
            }
            self.take_receipts(Duration::ZERO)?;
            self.producer.look_for_partitions()?;
        }
    }

    pub(super) fn take_receipts(&mut self, patience: Duration) -> Result<()> {
        let receipts = self.producer.receipts(patience);
        self.env.tell_cuts();
        if let Some(why) = self.waits.take() {
            self.env.note(&why);
        }
        self.echoes.acknowledged(&receipts)?;
        self.lines.forget(self.producer.first_unacknowledged());
        if self.producer.has_failed() {
            return Err(Error::new(Kind::Interrupted, "the producer has failed"));
        }
        Ok(())
    }

    pub(super) fn drain_echoes(&mut self) -> Result<()> {
        self.producer.hand_on()?;
        while self.echoes.is_full() {
            self.take_receipts(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Waits for everything that was sent, and says what came of it.
    fn finish(self, fed: Result<()>) -> Result<Outcome> {
        let Run {
            env,
            producer,
            waits,
            mut echoes,
            lines,
            line,
            skipped,
            ..
        } = self;
        let sent = producer.sent();
        let mut echoed = Ok(());
        let closed = producer.close(|receipts| {
            if let Some(why) = waits.take() {
                env.note(&why);
            }
            let outcome = echoes.acknowledged(receipts);
            if echoed.is_ok() {
                echoed = outcome;
            }
        });
        env.progress_done();
        let acked = match &closed {
            Ok(acked) => *acked,
            Err(failure) => failure.acknowledged,
        };
        let counted = |e: Error, first: &str| e.at(format!("{}, {first}", acknowledged(acked)));
        // What was dropped belongs to a failure: the exit status is not 0, and quiet is no reason.
        if let Some((count, first)) = &skipped {
            let what = match count {
                1 => "1 record was".to_owned(),
                more => format!("{more} records were"),
            };
            env.say(&format!("{what} skipped; the first: {first}"));
        }
        if let Err(failure) = closed {
            let first = failure.first_unacknowledged.unwrap_or(sent);
            let mut error = failure.error;
            if error.kind() == Kind::Busy && acked > 0 {
                // Only a run that stored nothing may be tried again blindly.
                error = error.with_kind(Kind::Io);
            }
            return Err(counted(error, &format!("{} is not", lines.of(first))));
        }
        let next = format!("line {line} of {} is not", lines.source);
        match (fed, echoed) {
            (Err(e), _) if e.kind() != Kind::Interrupted => return Err(counted(e, &next)),
            (Ok(()), Err(e)) if !env.stopping() => {
                return Err(counted(e, "all that was read; the echo is not complete"));
            }
            (_, Err(e)) => return Err(counted(e, &next)),
            _ => {}
        }
        if env.stopping() {
            env.say(&format!("stopped: {}", acknowledged(acked)));
        }
        if skipped.is_some() {
            return Ok(Outcome::Partial);
        }
        Ok(Outcome::Done)
    }
}

fn acknowledged(records: u64) -> String {
    match records {
        0 => "nothing is acknowledged".to_owned(),
        1 => "1 record is acknowledged".to_owned(),
        more => format!("{more} records are acknowledged"),
    }
}
