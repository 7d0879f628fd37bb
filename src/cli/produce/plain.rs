//! Feeds records that are plain lines, as fast as they come.

use std::time::Duration;

use super::input::Input;
use super::lines::InputLine;
use super::run::{Awaited, READ_BYTES, Run};
use crate::cli::lang::InputFormat;
use crate::client::ProducerRecord;
use crate::error::{Error, Kind, Result};
use crate::types::{Compression, Timestamp};

impl Run<'_> {
    /// Whether records are plain lines and need no further processing.
    pub(super) fn is_plain(&self) -> bool {
        let job = &self.job;
        let lines = matches!(&job.input.format, InputFormat::Lines(delimiter) if delimiter.bytes().len() == 1);
        lines
            && job.input.key_delimiter.is_none()
            && !job.input.empty_is_null
            && job.input.null_marker.is_none()
            && !job.input.skip_empty
            && job.added.key.is_none()
            && job.added.headers.is_empty()
            && job.topic.is_some()
            && job.partition.is_none()
            && !job.skip_bad
            && matches!(job.delivery.compression, Compression::None)
            && !self.echoes.is_wanted()
    }

    /// Feeds lines, as fast as they come.
    pub(super) fn feed_plain(&mut self, input: &mut Input) -> Result<()> {
        let delimiter = match &self.job.input.format {
            InputFormat::Lines(delimiter) => delimiter.bytes().first().copied().unwrap_or(b'\n'),
            _ => b'\n',
        };
        let mut buf = vec![0; READ_BYTES];
        let (mut filled, mut line) = (0, 1);
        loop {
            self.line = line;
            if self.ready(input, None)? == Awaited::Stop {
                return Ok(());
            }
            if filled == buf.len() {
                // One record fills the whole buffer. The topic's limit may be higher by now.
                self.refresh_partitions()?;
                let most = self.message_bytes_max();
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
            let scanned = filled;
            filled += read;
            let bytes = buf.get(..filled).unwrap_or_default();
            let ends = memchr::memchr(delimiter, bytes.get(scanned..).unwrap_or_default());
            let first = match ends {
                Some(found) => bytes.get(..scanned + found),
                None if read == 0 && filled > 0 => Some(bytes),
                None => None,
            };
            if let Some(first) = first {
                self.begin(now, first, line)?;
            }
            if read == 0 {
                if filled > 0 {
                    self.topics.current()?.producer.send_value(now, bytes)?;
                    self.line = line + 1;
                }
                return Ok(());
            }
            let mut start = 0;
            if first.is_some() {
                let producer = &mut self.topics.current()?.producer;
                let new = bytes.get(scanned..).unwrap_or_default();
                for found in memchr::memchr_iter(delimiter, new) {
                    let end = scanned + found;
                    let value = bytes.get(start..end).unwrap_or_default();
                    if let Err(e) = producer.send_value(now, value) {
                        self.line = line;
                        return Err(e);
                    }
                    start = end + 1;
                    line += 1;
                }
            }
            self.line = line;
            self.env.progress(read as u64, self.topics.sent());
            buf.copy_within(start..filled, 0);
            filled -= start;
            if buf.len() > READ_BYTES && filled < READ_BYTES {
                buf.truncate(READ_BYTES);
                buf.shrink_to_fit();
            }
            self.take_receipts(Duration::ZERO)?;
        }
    }

    /// Before the records from `line` on: makes sure that their topic exists.
    fn begin(&mut self, now: Timestamp, value: &[u8], line: u64) -> Result<()> {
        let record = ProducerRecord {
            timestamp: Some(now),
            value: Some(value),
            ..ProducerRecord::default()
        };
        self.turn_to(None, &record)?;
        let source = self.source;
        let open = self.topics.current()?;
        open.lines
            .begins(open.producer.sent(), InputLine { source, line });
        Ok(())
    }

    fn too_long(&self, most: usize) -> Error {
        let what = match &self.job.topic {
            Some(topic) => format!("what topic {topic} allows for a batch"),
            None => "what a topic allows for a batch".to_owned(),
        };
        let text = format!("MESSAGE_TOO_LARGE: a record of more than {most} bytes, {what}");
        Error::new(Kind::MessageTooLarge, text).cure(self.raise_or_check(most))
    }
}
