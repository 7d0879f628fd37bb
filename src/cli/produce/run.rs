//! `mq-produce` at work: from inputs to acknowledged records.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::echo::Echoes;
use super::input::{Input, Ready};
use super::job::{AutoCreate, Echo, Job};
use super::onlooker::Waits;
use crate::cli::lang::{InputFormat, InputRecord, RecordParser, Step};
use crate::cli::{Env, Outcome};
use crate::client::{Admin, NewTopic, ProducerOptions, ProducerRecord, UntimedProducer};
use crate::error::{Error, Kind, Result};
use crate::record::DECOMPRESSED_LEN_MAX;
use crate::record::Header;
use crate::store::{StoreDir, topics};
use crate::types::{Compression, Timestamp};

/// Bytes of input read at a time.
const READ_BYTES: usize = 256 * 1024;
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

struct Run<'e> {
    env: &'e mut Env,
    job: Job,
    producer: UntimedProducer,
    waits: Arc<Waits>,
    echoes: Echoes,
    lines: Lines,
    /// Where the next record begins in the current source; counted from 1.
    line: u64,
    /// How long the current source is, if it is a file.
    source_bytes: Option<usize>,
    skipped: Option<(u64, String)>,
}

/// Which input line a record came from, by its number. A run of records with a line each takes
/// one entry.
#[derive(Default)]
struct Lines {
    runs: VecDeque<(u64, String, u64, bool)>,
    source: String,
}

impl Lines {
    /// The record of that number begins at `line` of the current source.
    fn begins(&mut self, sequence: u64, line: u64) {
        let expected = self.runs.back().is_some_and(|(first, source, at, _)| {
            *source == self.source && at + (sequence - first) == line
        });
        if !expected {
            self.runs
                .push_back((sequence, self.source.clone(), line, true));
        }
    }

    /// Forgets what lies before the first number that is not acknowledged.
    fn forget(&mut self, unacked: u64) {
        while self
            .runs
            .get(1)
            .is_some_and(|(first, ..)| *first <= unacked)
        {
            self.runs.pop_front();
        }
    }

    fn of(&self, sequence: u64) -> String {
        self.runs
            .iter()
            .rev()
            .find(|(first, ..)| *first <= sequence)
            .map_or_else(
                || format!("record {}", sequence + 1),
                |(first, source, line, _)| {
                    format!("line {} of {source}", line + (sequence - first))
                },
            )
    }
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

    /// Whether records are lines and nothing else is to be done to them.
    fn is_plain(&self) -> bool {
        let job = &self.job;
        let lines = matches!(&job.input.format, InputFormat::Lines(delimiter) if delimiter.bytes().len() == 1);
        lines
            && job.input.key_delimiter.is_none()
            && !job.input.empty_is_null
            && job.input.null_marker.is_none()
            && !job.input.skip_empty
            && job.key.is_none()
            && job.headers.is_empty()
            && job.partition.is_none()
            && !job.skip_bad
            && matches!(job.delivery.compression, Compression::None)
            && !self.echoes.is_wanted()
    }

    /// Lines, as fast as they come.
    fn feed_plain(&mut self, input: &mut Input) -> Result<()> {
        let delimiter = match &self.job.input.format {
            InputFormat::Lines(delimiter) => delimiter.bytes().first().copied().unwrap_or(b'\n'),
            _ => b'\n',
        };
        let mut buf = vec![0; READ_BYTES];
        let (mut filled, mut line) = (0, 1);
        loop {
            self.line = line;
            if !self.ready(input)? {
                return Ok(());
            }
            if filled == buf.len() {
                // One record fills all of it. The topic may allow more by now.
                self.producer.look_for_partitions()?;
                let most = self.producer.message_bytes_max();
                if buf.len() > most {
                    return Err(self.too_long(most));
                }
                buf.resize(buf.len() * 2, 0);
            }
            let room = buf.get_mut(filled..).unwrap_or_default();
            let read = input
                .read(room)
                .map_err(|e| Error::io("read", input.name(), e))?;
            let now = self.now();
            if read == 0 {
                if filled > 0 {
                    self.lines.begins(self.producer.sent(), line);
                    let rest = buf.get(..filled).unwrap_or_default();
                    self.send_plain(now, rest, line)?;
                    self.line = line + 1;
                }
                return Ok(());
            }
            let scanned = filled;
            filled += read;
            let bytes = buf.get(..filled).unwrap_or_default();
            self.lines.begins(self.producer.sent(), line);
            let mut start = 0;
            for found in memchr::memchr_iter(delimiter, bytes.get(scanned..).unwrap_or_default()) {
                let end = scanned + found;
                let value = bytes.get(start..end).unwrap_or_default();
                self.send_plain(now, value, line)?;
                start = end + 1;
                line += 1;
            }
            self.line = line;
            self.env.progress(read as u64, self.producer.sent());
            buf.copy_within(start..filled, 0);
            filled -= start;
            if buf.len() > READ_BYTES && filled < READ_BYTES {
                buf.truncate(READ_BYTES);
                buf.shrink_to_fit();
            }
            self.take_receipts(Duration::ZERO)?;
        }
    }

    #[inline]
    fn send_plain(&mut self, now: Timestamp, value: &[u8], line: u64) -> Result<()> {
        match self.producer.send_value(now, value) {
            Ok(_) => Ok(()),
            Err(e) => {
                self.line = line;
                Err(e)
            }
        }
    }

    fn too_long(&self, most: usize) -> Error {
        let topic = &self.job.topic;
        let text = format!(
            "MESSAGE_TOO_LARGE: a record of more than {most} bytes, what topic {topic} allows for a batch"
        );
        Error::new(Kind::MessageTooLarge, text).cure(self.raise_or_check(most))
    }

    /// What to do about a record that is larger than its topic allows, or that is none.
    fn raise_or_check(&self, most: usize) -> String {
        // Where nobody knows yet how large it is, a round limit above this one shows how.
        let round = most.saturating_mul(2).next_power_of_two();
        let whole = self
            .source_bytes
            .filter(|_| matches!(self.job.input.format, InputFormat::Whole));
        let bytes = whole.map_or(round, |bytes| bytes + 1024);
        let raise = self.producer.raise_for(bytes.min(i32::MAX as usize));
        match &self.job.input.format {
            InputFormat::Whole => format!("the file is one record: {raise}"),
            InputFormat::Lines(_) => format!("{raise}, or name another delimiter with -D"),
            InputFormat::Json => format!("{raise}; a record is one line of JSON"),
            InputFormat::Template(_) => format!("{raise}, or check the template of -f"),
        }
    }

    /// A record over what the input may take says what to do about it for this topic.
    fn with_limit(&self, e: Error) -> Error {
        if e.kind() != Kind::MessageTooLarge {
            return e;
        }
        let cure = self.raise_or_check(self.producer.message_bytes_max());
        e.cure(cure)
    }

    /// Records of any form.
    fn feed_parsed(&mut self, input: &mut Input) -> Result<()> {
        let mut options = self.job.input.clone();
        options.record_bytes_max = self.input_bytes_max();
        let mut parser = RecordParser::new(options)?;
        let mut buf: Vec<u8> = Vec::with_capacity(READ_BYTES);
        let (mut start, mut eof) = (0, false);
        loop {
            if self.env.stopping() {
                return Ok(());
            }
            let rest = buf.get(start..).unwrap_or_default();
            let step = parser.next(rest, eof).map_err(|e| self.with_limit(e))?;
            match step {
                Step::Record { record, consumed } => {
                    let taken = rest.get(..consumed).unwrap_or_default();
                    self.lines.begins(self.producer.sent(), self.line);
                    let outcome = self.send(&record, taken);
                    let newlines = memchr::memchr_iter(b'\n', taken).count() as u64;
                    start += consumed;
                    match outcome {
                        Err(e)
                            if matches!(
                                e.kind(),
                                Kind::MessageTooLarge | Kind::InvalidRecord | Kind::UnknownTopic
                            ) && !self.producer.has_failed() =>
                        {
                            self.bad(e)?;
                        }
                        other => other?,
                    }
                    self.line += newlines;
                    if self.echoes.is_full() {
                        self.drain_echoes()?;
                    }
                }
                Step::Skip { consumed } => {
                    self.line += memchr::memchr_iter(
                        b'\n',
                        rest.get(..consumed).unwrap_or_default(),
                    )
                    .count() as u64;
                    start += consumed;
                }
                Step::Invalid { error, consumed } => {
                    let newlines = memchr::memchr_iter(
                        b'\n',
                        rest.get(..consumed).unwrap_or_default(),
                    )
                    .count() as u64;
                    start += consumed;
                    self.bad(self.with_limit(error))?;
                    self.line += newlines;
                }
                Step::End => return Ok(()),
                Step::NeedMore => {
                    buf.drain(..start);
                    start = 0;
                    if !self.ready(input)? {
                        return Ok(());
                    }
                    let filled = buf.len();
                    buf.resize(filled + READ_BYTES.max(filled), 0);
                    let room = buf.get_mut(filled..).unwrap_or_default();
                    let read = input
                        .read(room)
                        .map_err(|e| Error::io("read", input.name(), e))?;
                    buf.truncate(filled + read);
                    eof = read == 0;
                    self.env.progress(read as u64, self.producer.sent());
                    self.take_receipts(Duration::ZERO)?;
                    self.producer.look_for_partitions()?;
                    parser.allow(self.input_bytes_max());
                }
            }
        }
    }

    /// Most bytes of input that a record may take, by what its topic allows now.
    fn input_bytes_max(&self) -> usize {
        let most = self.producer.message_bytes_max();
        // A record over the topic's limit may fit once it is compressed.
        let most = if self.producer.compression() == Compression::None {
            most
        } else {
            most.max(DECOMPRESSED_LEN_MAX)
        };
        // JSON escapes a byte as six.
        let bytes = match self.job.input.format {
            InputFormat::Json => most.saturating_mul(6),
            _ => most,
        };
        bytes.saturating_add(65_536)
    }

    fn send(&mut self, record: &InputRecord<'_>, taken: &[u8]) -> Result<()> {
        let mut headers: Vec<Header<'_>> = Vec::new();
        for (key, value) in &record.headers {
            headers.push(Header {
                key,
                value: value.as_deref(),
            });
        }
        for (name, value) in &self.job.headers {
            headers.push(Header {
                key: name,
                value: Some(value),
            });
        }
        let key: Option<Cow<'_, [u8]>> = if record.key_given {
            record.key.as_deref().map(Cow::Borrowed)
        } else {
            record
                .key
                .as_deref()
                .or(self.job.key.as_deref())
                .map(Cow::Borrowed)
        };
        let own = if self.job.keep_partition {
            record.partition
        } else {
            None
        };
        let timestamp = record
            .timestamp
            .or(self.job.timestamp)
            .unwrap_or_else(|| self.clock_now());
        let sent = self.producer.send(&ProducerRecord {
            partition: self.job.partition.or(own),
            timestamp: Some(timestamp),
            key: key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        })?;
        self.echoes.sent(
            sent,
            taken,
            key.as_deref(),
            record.value.as_deref(),
            &headers,
            timestamp,
        );
        Ok(())
    }

    /// A record that cannot be taken: the end, or counted.
    fn bad(&mut self, e: Error) -> Result<()> {
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

    fn now(&self) -> Timestamp {
        self.job.timestamp.unwrap_or_else(|| self.clock_now())
    }

    fn clock_now(&self) -> Timestamp {
        self.env.now_ms()
    }

    /// Waits until input can be read. Meanwhile what was sent is handed on, and echoed. `false`:
    /// a signal asks to stop.
    fn ready(&mut self, input: &Input) -> Result<bool> {
        let error = |e| Error::io("wait for", input.name(), e);
        loop {
            if self.env.stopping() {
                return Ok(false);
            }
            if input.wait(Some(Duration::ZERO), None).map_err(error)? == Ready::Input {
                return Ok(true);
            }
            let linger = self.producer.idle()?;
            if self.echoes.is_waiting() {
                self.take_receipts(ECHO_PATIENCE)?;
                continue;
            }
            let patience = linger.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL);
            if input
                .wait(Some(patience), self.env.wake_fd())
                .map_err(error)?
                == Ready::Input
            {
                return Ok(true);
            }
            self.take_receipts(Duration::ZERO)?;
            self.producer.look_for_partitions()?;
        }
    }

    fn take_receipts(&mut self, patience: Duration) -> Result<()> {
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

    fn drain_echoes(&mut self) -> Result<()> {
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
