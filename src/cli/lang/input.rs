//! Parses input into records: the common part of all input formats.

use std::borrow::Cow;

use super::console::read_console;
use super::delimiter::Delimiter;
use super::envelope::read_envelope;
use super::input_record::{InputFormat, InputOptions, InputRecord, MissingKey, MultiLine};
use super::kcat::read_kcat;
use super::lines::{Line, LineReader};
use super::multi_line::MultiLineReader;
use super::parse_template::TemplateReader;
use super::step::{Step, too_large};
use crate::error::{Error, Kind, Result};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Divides a stream into records. The caller owns the buffer: it drops consumed bytes, and after
/// [`Step::NeedMore`] calls again with the same bytes and more after them.
#[derive(Debug)]
pub struct RecordParser {
    reader: FormatReader,
    options: InputOptions,
}

#[derive(Debug)]
enum FormatReader {
    Lines(LineReader),
    MultiLine(MultiLineReader),
    /// Each line is a record, in the form that the options name.
    Forms(LineReader),
    Whole {
        done: bool,
    },
    Template(TemplateReader),
}

impl RecordParser {
    /// A parser at the beginning of an input.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a template that cannot be used for input.
    pub fn new(options: InputOptions) -> Result<Self> {
        let reader = match &options.format {
            InputFormat::Lines(delimiter) => {
                FormatReader::Lines(LineReader::new(delimiter.clone()))
            }
            InputFormat::MultiLine(how) => {
                FormatReader::MultiLine(MultiLineReader::new(how.clone()))
            }
            InputFormat::Json | InputFormat::Kcat | InputFormat::Console => {
                FormatReader::Forms(LineReader::new(Delimiter::newline()))
            }
            InputFormat::Whole => FormatReader::Whole { done: false },
            InputFormat::Template(template) => {
                match template.value_line().and_then(Delimiter::new) {
                    Some(delimiter) => FormatReader::Lines(LineReader::new(delimiter)),
                    None => FormatReader::Template(TemplateReader::new(template)?),
                }
            }
        };
        Ok(RecordParser { reader, options })
    }

    /// Sets the most bytes of input that one record may take from now on.
    pub fn allow(&mut self, record_bytes_max: usize) {
        self.options.record_bytes_max = record_bytes_max;
    }

    /// Begins the next input.
    pub fn restart(&mut self) {
        match &mut self.reader {
            FormatReader::Lines(lines) | FormatReader::Forms(lines) => lines.restart(),
            FormatReader::MultiLine(lines) => lines.restart(),
            FormatReader::Whole { done } => *done = false,
            FormatReader::Template(template) => template.restart(),
        }
    }

    /// Whether lines are held that may be a complete record: only the next line would show it.
    pub fn holds_record(&self) -> bool {
        matches!(&self.reader, FormatReader::MultiLine(lines) if lines.holds_record())
    }

    /// Ends the held record, since the input is idle: the next call returns it.
    pub fn end_record(&mut self) {
        if let FormatReader::MultiLine(lines) = &mut self.reader {
            lines.end_record();
        }
    }

    /// The next record of `buf`, which has the next bytes of the input; with `eof` no more follow.
    /// A record whose end is in `buf` is never held back.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] if the input does not fit the template any more, and
    /// [`Kind::MessageTooLarge`] if the end of a record is not found within the limit. Reading
    /// cannot continue after either.
    #[inline]
    pub fn next<'b>(&mut self, buf: &'b [u8], eof: bool) -> Result<Step<'b>> {
        let max = self.options.record_bytes_max;
        let (record, consumed) = match &mut self.reader {
            FormatReader::Lines(lines) => match lines.next(buf, eof, max) {
                Line::Whole {
                    line: b"",
                    consumed,
                } if self.options.skip_empty => {
                    return Ok(Step::Skip { consumed });
                }
                Line::Whole { line, consumed } => (self.options.split_key(line), consumed),
                other => return Ok(other.into_step()),
            },
            FormatReader::MultiLine(lines) => match lines.next(buf, eof, max) {
                Line::Whole { line, consumed } => (self.options.split_key(line), consumed),
                other => return Ok(other.into_step()),
            },
            FormatReader::Forms(lines) => match lines.next(buf, eof, max) {
                Line::Whole {
                    line: b"" | b"\r",
                    consumed,
                } if self.options.skip_empty => {
                    return Ok(Step::Skip { consumed });
                }
                Line::Whole { line, consumed } => (self.options.form(line), consumed),
                other => return Ok(other.into_step()),
            },
            FormatReader::Whole { done: true } => return Ok(Step::End),
            FormatReader::Whole { .. } if buf.len() > max => return Err(too_large(max)),
            FormatReader::Whole { .. } if !eof => return Ok(Step::NeedMore),
            FormatReader::Whole { done } => {
                *done = true;
                (self.options.split_key(buf), buf.len())
            }
            FormatReader::Template(template) => match template.next(buf, eof, &self.options)? {
                Step::Record { record, consumed } => (Ok(record), consumed),
                other => return Ok(other),
            },
        };
        Ok(
            match record.and_then(|record| self.options.finish(record)) {
                Ok(Some(record)) => Step::Record { record, consumed },
                Ok(None) => Step::Skip { consumed },
                Err(error) => Step::Invalid { error, consumed },
            },
        )
    }
}

impl InputOptions {
    /// The key and value of a line or of a whole input.
    #[inline]
    fn split_key<'b>(&self, line: &'b [u8]) -> Result<InputRecord<'b>> {
        let mut record = InputRecord::default();
        let mut value = line;
        if let Some(delimiter) = &self.key_delimiter {
            match (delimiter.find(self.first_line(line)), self.missing_key) {
                (Some(at), _) => {
                    record.key = self.unless_null(Cow::Borrowed(&line[..at]));
                    record.key_given = true;
                    value = &line[at + delimiter.bytes().len()..];
                }
                (None, MissingKey::Null) => {}
                (None, MissingKey::Fail) => {
                    let delimiter = delimiter.bytes().escape_ascii();
                    return Err(Error::new(
                        Kind::InvalidRecord,
                        format!("there is no key separator '{delimiter}'"),
                    )
                    .cure("add one, or use --on-missing-key null"));
                }
            }
        }
        record.value = self.unless_null(Cow::Borrowed(value));
        Ok(record)
    }

    /// Where the key is searched: in a record of several lines, only in the first line.
    #[inline]
    fn first_line<'b>(&self, record: &'b [u8]) -> &'b [u8] {
        let InputFormat::MultiLine(MultiLine { delimiter, .. }) = &self.format else {
            return record;
        };
        let end = delimiter
            .find(record)
            .map(|at| at + delimiter.bytes().len());
        end.and_then(|end| record.get(..end)).unwrap_or(record)
    }

    fn form<'b>(&self, line: &'b [u8]) -> Result<InputRecord<'b>> {
        // A byte order mark is not part of the JSON: Windows programs write one at the start of a
        // file.
        let json = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let mut record = match self.format {
            InputFormat::Console => return read_console(line, self.null_marker.as_deref()),
            InputFormat::Kcat => read_kcat(json)?,
            _ => read_envelope(json)?,
        };
        record.key = record.key.and_then(|key| self.unless_null(key));
        record.value = record.value.and_then(|value| self.unless_null(value));
        Ok(record)
    }

    #[inline]
    fn unless_null<'b>(&self, bytes: Cow<'b, [u8]>) -> Option<Cow<'b, [u8]>> {
        Some(bytes).filter(|bytes| self.null_marker.as_deref() != Some(bytes.as_ref()))
    }

    /// Applies the options to the record; `None` if it is to be skipped.
    #[inline]
    fn finish<'b>(&self, mut record: InputRecord<'b>) -> Result<Option<InputRecord<'b>>> {
        if let Some(partition) = record.partition.filter(|partition| *partition < 0) {
            return Err(Error::new(
                Kind::InvalidRecord,
                format!("there is no partition {partition}"),
            )
            .cure("partitions are whole numbers from 0"));
        }
        if record.value.as_ref().is_some_and(|value| value.is_empty()) {
            let nothing =
                record.key.as_ref().is_none_or(|key| key.is_empty()) && record.headers.is_empty();
            if self.skip_empty && nothing {
                return Ok(None);
            }
            if self.empty_is_null {
                record.value = None;
            }
        }
        Ok(Some(record))
    }
}
