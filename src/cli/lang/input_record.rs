//! A record from the input, and the options for reading it.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::delimiter::Delimiter;
use super::template::Template;
use super::time::Now;
use crate::types::{PartitionId, Timestamp};

/// A header from the input: name, and value or null.
pub type InputHeader<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// A record from the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputRecord<'a> {
    /// The key; null and absent are both `None`.
    pub key: Option<Cow<'a, [u8]>>,
    /// Whether the input gave a key, even null.
    pub key_given: bool,
    /// The value, or null.
    pub value: Option<Cow<'a, [u8]>>,
    /// The headers, in order.
    pub headers: Vec<InputHeader<'a>>,
    /// Milliseconds since the Unix epoch, -1 for none, if the input gave it.
    pub timestamp: Option<Timestamp>,
    /// The partition, from 0, if the input gave it.
    pub partition: Option<PartitionId>,
    /// The topic's name, unchecked, if the input gave it.
    pub topic: Option<Cow<'a, str>>,
}

/// How the input is divided into records.
#[derive(Debug, Clone)]
pub enum InputFormat {
    /// Records end with the delimiter; the last one may end with the input.
    Lines(Delimiter),
    /// A record has several lines.
    MultiLine(MultiLine),
    /// Each input is one record.
    Whole,
    /// Each line is a JSON envelope.
    Json,
    /// Each line is a JSON envelope of kcat.
    Kcat,
    /// Each line has headers, key and value, as in Kafka's console tools.
    Console,
    /// A template.
    Template(Template),
}

impl InputFormat {
    /// Whether each record begins at the beginning of a line.
    pub fn begins_at_lines(&self) -> bool {
        match self {
            InputFormat::Lines(delimiter) => delimiter.bytes() == b"\n",
            InputFormat::MultiLine(_)
            | InputFormat::Json
            | InputFormat::Kcat
            | InputFormat::Console => true,
            InputFormat::Whole | InputFormat::Template(_) => false,
        }
    }
}

/// The value of `--on-missing-key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// A record without the key separator is invalid.
    #[default]
    Fail,
    /// The whole record is the value, without a key.
    Null,
}

/// The options for reading input.
#[derive(Debug, Clone)]
pub struct InputOptions {
    /// How the input is divided.
    pub format: InputFormat,
    /// Separates key and value in lines and whole inputs.
    pub key_delimiter: Option<Delimiter>,
    /// What to do if the key delimiter is missing.
    pub missing_key: MissingKey,
    /// An empty value is null.
    pub empty_is_null: bool,
    /// A key or value of these bytes is null.
    pub null_marker: Option<Vec<u8>>,
    /// Empty lines, and records with an empty value and neither key nor headers, are skipped.
    pub skip_empty: bool,
    /// The most bytes of input that one record may take.
    pub record_bytes_max: usize,
    /// For times without a date or a zone.
    pub now: Now,
}

/// How lines are joined into records.
#[derive(Debug, Clone)]
pub struct MultiLine {
    /// What ends a line.
    pub delimiter: Delimiter,
    /// A line that matches begins a record.
    pub begins: Regex,
    /// The most lines of a record; the next line begins another one in any case.
    pub lines_max: Option<u64>,
}
