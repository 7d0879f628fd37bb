//! Records that are lines, and nothing else: as fast as they come.

use std::time::Duration;

use super::input::Input;
use super::run::{Awaited, READ_BYTES, Run};
use crate::cli::lang::InputFormat;
use crate::error::{Error, Result};
use crate::types::{Compression, Timestamp};

impl Run<'_> {
    /// Whether records are lines and nothing else is to be done to them.
    pub(super) fn is_plain(&self) -> bool {
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
}
