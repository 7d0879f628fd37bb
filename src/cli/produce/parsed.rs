//! Feeds records of any format, cut out of the input by a parser.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use super::job::Source;
use super::run::{Awaited, READ_BYTES, Run};
use crate::cli::lang::{InputRecord, Origin, RecordParser, Step};
use crate::client::ProducerRecord;
use crate::error::{Error, Kind, Result};
use crate::record::Header;

/// How much of an input that is one record, and too large, is read to find its length.
const MEASURED_BYTES_MAX: usize = 1 << 30;

impl Run<'_> {
    /// Adds advice, for this topic, to the error for a record above the input limit.
    fn with_limit(&self, e: Error) -> Error {
        if e.kind() != Kind::MessageTooLarge {
            return e;
        }
        let cure = self.raise_or_check(self.message_bytes_max());
        e.cure(cure)
    }

    /// Reads an input that is one record, and too large, to its end: the advice needs its length.
    fn measure(&mut self, input: &mut Input, mut read: usize) -> Result<()> {
        if self.source_bytes.is_some() {
            return Ok(());
        }
        let mut buf = vec![0; READ_BYTES];
        while read < MEASURED_BYTES_MAX {
            if self.ready(input, None)? == Awaited::Stop {
                return Ok(());
            }
            let more = input
                .read(&mut buf)
                .map_err(|e| Error::io("read", input.name(), e))?;
            if more == 0 {
                self.source_bytes = Some(read);
                return Ok(());
            }
            read += more;
            self.env.progress(more as u64, self.topics.sent());
        }
        // Its length is not known, so the advice is the largest limit there is.
        self.source_bytes = Some(i32::MAX as usize);
        Ok(())
    }

    /// Feeds records of any format.
    pub(super) fn feed_parsed(&mut self, input: &mut Input) -> Result<()> {
        let mut options = self.job.input.clone();
        options.record_bytes_max = self.input_bytes_max(0);
        let mut parser = RecordParser::new(options)?;
        // Up to `filled` it is input; the rest was zeroed once, not for each read.
        let mut buf: Vec<u8> = vec![0; READ_BYTES];
        let (mut start, mut filled, mut eof) = (0, 0, false);
        // `stop`: a signal came, and the record that it completes is the last one. `lingered`: the
        // idle input completed a record, which has waited long enough by then.
        let (mut stop, mut lingered) = (false, false);
        loop {
            if self.env.stopping() && !stop {
                return Ok(());
            }
            let rest = buf.get(start..filled).unwrap_or_default();
            let step = match parser.next(rest, eof) {
                Ok(step) => step,
                Err(e) => {
                    if e.kind() == Kind::MessageTooLarge && self.is_whole() && !eof {
                        self.measure(input, rest.len())?;
                    }
                    return Err(self.with_limit(e));
                }
            };
            match step {
                Step::Record { record, consumed } => {
                    let taken = rest.get(..consumed).unwrap_or_default();
                    let outcome = self.send(&record, taken);
                    let newlines = memchr::memchr_iter(b'\n', taken).count() as u64;
                    start += consumed;
                    match outcome {
                        Err(e)
                            if matches!(
                                e.kind(),
                                Kind::MessageTooLarge | Kind::InvalidRecord | Kind::UnknownTopic
                            ) && !self.has_failed() =>
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
                    buf.copy_within(start..filled, 0);
                    filled -= start;
                    start = 0;
                    if std::mem::take(&mut lingered) {
                        self.topics.hand_on()?;
                    }
                    let idle = parser.holds_record().then_some(self.job.record_idle);
                    match self.ready(input, idle)? {
                        Awaited::Input => {}
                        // Complete lines are a record if no more input comes.
                        Awaited::Stop if !parser.holds_record() => return Ok(()),
                        awaited => {
                            parser.end_record();
                            lingered = true;
                            stop = awaited == Awaited::Stop;
                            continue;
                        }
                    }
                    if buf.len() - filled < READ_BYTES {
                        buf.resize(filled + READ_BYTES.max(filled), 0);
                    }
                    let room = buf.get_mut(filled..).unwrap_or_default();
                    let read = input
                        .read(room)
                        .map_err(|e| Error::io("read", input.name(), e))?;
                    filled += read;
                    eof = read == 0;
                    self.env.progress(read as u64, self.topics.sent());
                    self.take_receipts(Duration::ZERO)?;
                    if self.job.topic.is_some() {
                        self.refresh_partitions()?;
                    }
                    parser.allow(self.input_bytes_max(filled));
                }
            }
        }
    }

    fn send(&mut self, record: &InputRecord<'_>, taken: &[u8]) -> Result<()> {
        let added = Arc::clone(&self.job.added);
        let mut headers: Vec<Header<'_>> = Vec::new();
        for (key, value) in &record.headers {
            headers.push(Header {
                key,
                value: value.as_deref(),
            });
        }
        let sources = Arc::clone(&self.job.sources);
        let origin = Origin {
            file: sources
                .get(self.source)
                .map_or(OsStr::new("-"), Source::as_given),
            line: self.line,
        };
        let values = added
            .headers
            .iter()
            .map(|(_, value)| value.as_ref().map(|v| v.of(origin)));
        let values: Vec<Option<Cow<'_, [u8]>>> = values.collect();
        for ((name, _), value) in added.headers.iter().zip(&values) {
            headers.push(Header {
                key: name,
                value: value.as_deref(),
            });
        }
        let key: Option<Cow<'_, [u8]>> = match (&record.key, &added.key) {
            (Some(key), _) => Some(Cow::Borrowed(key)),
            (None, Some(key)) if !record.key_given => Some(key.of(origin)),
            (None, _) => None,
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
        let produced = ProducerRecord {
            partition: self.job.partition.or(own),
            timestamp: Some(timestamp),
            key: key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        self.turn_to(record.topic.as_deref(), &produced)?;
        let place = self.here();
        let open = self.topics.current()?;
        open.lines.begins(open.producer.sent(), place);
        let sent = match open.producer.send(&produced) {
            Ok(sent) => sent,
            Err(e) if open.producer.has_failed() => return Err(e),
            Err(e) => return Err(self.with_partitions(e, own, record.topic.as_deref())),
        };
        self.echoes.sent(open, sent, taken, &produced, timestamp);
        Ok(())
    }

    /// Whether delivery to the current topic has failed.
    fn has_failed(&self) -> bool {
        self.topics
            .get()
            .is_some_and(|open| open.producer.has_failed())
    }
}
