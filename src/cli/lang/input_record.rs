//! A record as it is read, and how it is read.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::delimiter::Delimiter;
use super::template::Template;
use super::time::Now;
use crate::types::{PartitionId, Timestamp};

/// A header as its input gives it: name, and value or null.
pub type InputHeader<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// A record as its input gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputRecord<'a> {
    /// The key; null and absent are both `None`.
    pub key: Option<Cow<'a, [u8]>>,
    /// Whether the input gave a key, be it null.
    pub key_given: bool,
    /// The value, or null.
    pub value: Option<Cow<'a, [u8]>>,
    /// The headers, in their order.
    pub headers: Vec<InputHeader<'a>>,
    /// Milliseconds since the Unix epoch, -1 for none, if the input gave it.
    pub timestamp: Option<Timestamp>,
    /// The partition, from 0, if the input gave it.
    pub partition: Option<PartitionId>,
    /// The topic's name, which may be none, if the input gave it.
    pub topic: Option<Cow<'a, str>>,
}

/// How the input is divided.
#[derive(Debug, Clone)]
pub enum InputFormat {
    /// Records end with the delimiter, the last one also with the input.
    Lines(Delimiter),
    /// Lines, several a record.
    MultiLine(MultiLine),
    /// Each input is one record.
    Whole,
    /// A JSON envelope a line.
    Json,
    /// kcat's JSON envelope a line.
    Kcat,
    /// Headers, key and value a line, as Kafka's console tools have them.
    Console,
    /// A template.
    Template(Template),
}

impl InputFormat {
    /// Whether each record begins where a line begins.
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

/// What `--on-missing-key` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// A record without the key separator is invalid.
    #[default]
    Fail,
    /// It is all value, and has no key.
    Null,
}

/// How input becomes records.
#[derive(Debug, Clone)]
pub struct InputOptions {
    /// How it is divided.
    pub format: InputFormat,
    /// Divides key and value in lines and whole inputs.
    pub key_delimiter: Option<Delimiter>,
    /// What if it is missing.
    pub missing_key: MissingKey,
    /// An empty value is null.
    pub empty_is_null: bool,
    /// A key or value of these bytes is null.
    pub null_marker: Option<Vec<u8>>,
    /// Empty lines, and records with an empty value and neither key nor headers, are skipped.
    pub skip_empty: bool,
    /// Most bytes of input that one record may take.
    pub record_bytes_max: usize,
    /// For times without a date or a zone.
    pub now: Now,
}

/// How lines are put together.
#[derive(Debug, Clone)]
pub struct MultiLine {
    /// What ends a line.
    pub delimiter: Delimiter,
    /// A line in which this is found begins a record.
    pub begins: Regex,
    /// Most lines of a record; the next line begins another one in any case.
    pub lines_max: Option<u64>,
}
