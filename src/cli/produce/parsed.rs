//! Records of any form, cut out of the input by a parser.

use std::borrow::Cow;
use std::time::Duration;

use super::input::Input;
use super::run::{Awaited, READ_BYTES, Run};
use crate::cli::lang::{InputFormat, InputRecord, RecordParser, Step};
use crate::client::ProducerRecord;
use crate::error::{Error, Kind, Result};
use crate::record::{DECOMPRESSED_LEN_MAX, Header};
use crate::types::Compression;

impl Run<'_> {
    pub(super) fn too_long(&self, most: usize) -> Error {
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
            InputFormat::MultiLine(_) => {
                format!(
                    "{raise}, or check the expression of --begins, or bound records with --max-lines"
                )
            }
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
    pub(super) fn feed_parsed(&mut self, input: &mut Input) -> Result<()> {
        let mut options = self.job.input.clone();
        options.record_bytes_max = self.input_bytes_max();
        let mut parser = RecordParser::new(options)?;
        let mut buf: Vec<u8> = Vec::with_capacity(READ_BYTES);
        let (mut start, mut eof) = (0, false);
        // A signal came, and what it ended is the last record; an idle input ended one, which has
        // lingered by that.
        let (mut stop, mut lingered) = (false, false);
        loop {
            if self.env.stopping() && !stop {
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
                    if std::mem::take(&mut lingered) {
                        self.producer.hand_on()?;
                    }
                    let idle = parser.holds_record().then_some(self.job.record_idle);
                    match self.ready(input, idle)? {
                        Awaited::Input => {}
                        // Lines that were read whole are a record, if nothing comes any more.
                        Awaited::Stop if !parser.holds_record() => return Ok(()),
                        awaited => {
                            parser.end_record();
                            lingered = true;
                            stop = awaited == Awaited::Stop;
                            continue;
                        }
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
}
