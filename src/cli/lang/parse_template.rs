//! Input in the template language.

use std::borrow::Cow;

use super::delimiter::Delimiter;
use super::input_record::{InputOptions, InputRecord};
use super::json::{JsonEnd, json_end};
use super::json_words::EXPECTED;
use super::number::NumberFormat;
use super::plan::{Action, End, Mark, NumberOf, plan};
use super::step::{Step, too_large};
use super::template::{BytesOf, Template};
use super::text::TextFormat;
use crate::error::{Error, Kind, Result};

/// Reads records in the form that a template writes.
#[derive(Debug)]
pub(super) struct TemplateReader {
    plan: Vec<Action>,
    search: Search,
}

/// What an earlier search of the same bytes found, so that a record that arrives in many pieces is
/// not searched from its beginning for each of them.
#[derive(Debug, Default, Clone, Copy)]
struct Search {
    /// Where the last unsuccessful search began.
    from: usize,
    /// Where it ended.
    to: usize,
    /// Fewer bytes than this cannot be enough.
    needed: usize,
}

/// Why reading stopped.
enum Halt {
    /// The record is not complete yet.
    More,
    /// The input does not fit the template.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Failed(error)
    }
}

impl TemplateReader {
    pub(super) fn new(template: &Template) -> Result<Self> {
        Ok(TemplateReader {
            plan: plan(template)?,
            search: Search::default(),
        })
    }

    pub(super) fn restart(&mut self) {
        self.search = Search::default();
    }

    /// As [`RecordParser::next`](super::RecordParser::next). A record whose fields are found but
    /// cannot be read is invalid; input that does not fit the template is an error.
    pub(super) fn next<'b>(
        &mut self,
        buf: &'b [u8],
        eof: bool,
        options: &InputOptions,
    ) -> Result<Step<'b>> {
        if buf.is_empty() && eof {
            return Ok(Step::End);
        }
        let max = options.record_bytes_max;
        if !eof && (buf.is_empty() || (buf.len() < self.search.needed && buf.len() <= max)) {
            return Ok(Step::NeedMore);
        }
        let mut run = Run {
            buf,
            at: 0,
            eof,
            options,
            search: &mut self.search,
            record: InputRecord::default(),
            header_count: None,
            invalid: None,
        };
        let mut fields = Fields::default();
        match run.actions(&self.plan, &mut fields) {
            Err(Halt::More) if buf.len() > max => Err(too_large(max)),
            Err(Halt::More) if eof => Err(Error::new(
                Kind::InvalidRecord,
                "the input ends within a record",
            )
            .cure("check the template against the input")),
            Err(Halt::More) => Ok(Step::NeedMore),
            Err(Halt::Failed(error)) => Err(error),
            Ok(()) => {
                let consumed = run.at;
                let error = run.invalid.take();
                let mut record = run.record;
                self.search = Search::default();
                if let Some(error) = error {
                    return Ok(Step::Invalid { error, consumed });
                }
                if consumed > max {
                    return Ok(Step::Invalid {
                        error: too_large(max),
                        consumed,
                    });
                }
                record.key_given = fields.key_given;
                record.key = fields.key;
                record.value = fields.value;
                Ok(Step::Record { record, consumed })
            }
        }
    }
}

/// Key and value of the record, or of one header.
#[derive(Default)]
struct Fields<'b> {
    key: Option<Cow<'b, [u8]>>,
    key_given: bool,
    value: Option<Cow<'b, [u8]>>,
    /// Whether these are a header's: then the key is its name, which cannot be null.
    of_header: bool,
    /// The lengths that were read last; -1 means null.
    key_len: i64,
    value_len: i64,
}

/// One pass over the bytes.
struct Run<'r, 'b> {
    buf: &'b [u8],
    at: usize,
    eof: bool,
    options: &'r InputOptions,
    search: &'r mut Search,
    record: InputRecord<'b>,
    header_count: Option<i64>,
    /// The first field that could not be read.
    invalid: Option<Error>,
}

impl<'b> Run<'_, 'b> {
    fn actions(&mut self, plan: &[Action], fields: &mut Fields<'b>) -> Result<(), Halt> {
        for action in plan {
            match action {
                Action::Literal(mark) => self.literal(mark)?,
                Action::Bytes { of, how, end } => self.bytes(of, *how, end, fields)?,
                Action::Number { of, end } => self.number(of, end, fields)?,
                Action::Headers {
                    body,
                    until: Some(mark),
                } => {
                    while !self.stands_here(mark)? {
                        self.header(body)?;
                    }
                }
                Action::Headers { body, until: None } => {
                    for _ in 0..self.header_count.unwrap_or_default() {
                        self.header(body)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn rest(&self) -> &'b [u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }

    fn header(&mut self, body: &[Action]) -> Result<(), Halt> {
        let mut fields = Fields {
            of_header: true,
            ..Fields::default()
        };
        self.actions(body, &mut fields)?;
        match fields.key {
            Some(name) => self.record.headers.push((name, fields.value)),
            None => self.is_invalid(
                Error::new(Kind::InvalidRecord, "a header's name cannot be null")
                    .cure("give it a name, which may be empty"),
            ),
        }
        Ok(())
    }

    /// Whether the literal is next, or the end of the input in its place.
    fn stands_here(&self, mark: &Mark) -> Result<bool, Halt> {
        let rest = self.rest();
        let literal = mark.delimiter.bytes();
        if rest.starts_with(literal) || (rest.is_empty() && self.eof && mark.last) {
            return Ok(true);
        }
        if !self.eof && literal.starts_with(rest) {
            return Err(Halt::More);
        }
        Ok(false)
    }

    fn literal(&mut self, mark: &Mark) -> Result<(), Halt> {
        let literal = mark.delimiter.bytes();
        if !self.stands_here(mark)? {
            if literal.starts_with(self.rest()) {
                return Err(Halt::More);
            }
            let found: Vec<u8> = self
                .rest()
                .iter()
                .copied()
                .take(literal.len().max(8))
                .collect();
            return Err(Halt::Failed(
                Error::new(
                    Kind::InvalidRecord,
                    format!(
                        "expected '{}' at byte {} of the record, not '{}'",
                        literal.escape_ascii(),
                        self.at,
                        found.escape_ascii()
                    ),
                )
                .cure("check the template against the input"),
            ));
        }
        self.at = (self.at + literal.len()).min(self.buf.len());
        Ok(())
    }

    fn bytes(
        &mut self,
        of: &BytesOf,
        how: TextFormat,
        end: &End,
        fields: &mut Fields<'b>,
    ) -> Result<(), Halt> {
        let text = match end {
            End::Measured => {
                let len = if *of == BytesOf::Key {
                    fields.key_len
                } else {
                    fields.value_len
                };
                match usize::try_from(len) {
                    Ok(len) => Some(self.take(len)?),
                    Err(_) => None,
                }
            }
            _ => Some(self.text(end, how == TextFormat::Escape)?),
        };
        let a_name = *of == BytesOf::Topic || (*of == BytesOf::Key && fields.of_header);
        let marker = self.options.null_marker.as_deref().filter(|_| !a_name);
        let read = match text {
            Some(text) => how.read(text, marker),
            None => Ok(None),
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(e) => {
                let name = match of {
                    BytesOf::Topic => "topic",
                    BytesOf::Key => "key",
                    BytesOf::Value => "value",
                    BytesOf::Header(_) => "header",
                };
                self.is_invalid(e.at(name));
                None
            }
        };
        match of {
            BytesOf::Topic => {}
            BytesOf::Key => (fields.key, fields.key_given) = (bytes, true),
            BytesOf::Value => fields.value = bytes,
            BytesOf::Header(name) => {
                self.record.headers.push((Cow::Owned(name.clone()), bytes));
            }
        }
        Ok(())
    }

    fn number(&mut self, of: &NumberOf, end: &End, fields: &mut Fields<'b>) -> Result<(), Halt> {
        let text = self.text(end, false)?;
        let not_one = |what: &str| {
            let shown: Vec<u8> = text.iter().copied().take(32).collect();
            Error::new(
                Kind::InvalidRecord,
                format!("'{}' is not {what}", shown.escape_ascii()),
            )
        };
        // Without a valid length, the positions of later fields are unknown: the record cannot be
        // skipped.
        let length = |format: &NumberFormat, least: i64, what: &str| match format.read(text) {
            Some(number) if number > self.options.record_bytes_max as i64 => {
                Err(too_large(self.options.record_bytes_max))
            }
            Some(number) if number >= least => Ok(number),
            _ => Err(not_one(what)),
        };
        match of {
            NumberOf::KeyLength(format) => fields.key_len = length(format, -1, "a key's length")?,
            NumberOf::ValueLength(format) => {
                fields.value_len = length(format, -1, "a value's length")?;
            }
            NumberOf::HeaderCount(format) => {
                self.header_count = Some(length(format, 0, "a header count")?);
            }
            NumberOf::Partition(format) => {
                match format.read(text).and_then(|number| number.try_into().ok()) {
                    Some(partition) => self.record.partition = Some(partition),
                    None => self.is_invalid(not_one("a partition")),
                }
            }
            NumberOf::Timestamp(format) => match format.read(text, &self.options.now) {
                Some(timestamp) => self.record.timestamp = Some(timestamp),
                None => self.is_invalid(not_one("a timestamp of the template's format")),
            },
            NumberOf::Nothing(format) => {
                if format.read(text).is_none() {
                    self.is_invalid(not_one("a number"));
                }
            }
        }
        Ok(())
    }

    fn is_invalid(&mut self, error: Error) {
        self.invalid.get_or_insert(error);
    }

    /// The next `len` bytes.
    fn take(&mut self, len: usize) -> Result<&'b [u8], Halt> {
        match self.rest().get(..len) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => {
                self.search.needed = self.at.saturating_add(len);
                Err(Halt::More)
            }
        }
    }

    /// A field's text, which ends by itself or at a literal.
    fn text(&mut self, end: &End, escaped: bool) -> Result<&'b [u8], Halt> {
        match end {
            // In a plan, a measured field always has its length before it.
            End::Measured => Ok(b""),
            End::Width(width) => self.take(*width),
            End::Json => match json_end(self.rest()) {
                JsonEnd::At(len) => self.take(len),
                JsonEnd::More => Err(Halt::More),
                JsonEnd::Never => Err(Halt::Failed(
                    Error::new(
                        Kind::InvalidRecord,
                        format!("expected {EXPECTED}, at byte {} of the record", self.at),
                    )
                    .cure("check the template against the input"),
                )),
            },
            End::Mark { mark, outside } => {
                let outside = outside.as_ref().map(|mark| &mark.delimiter);
                let len = if escaped {
                    self.find_unescaped(mark, outside)?
                } else {
                    self.find(mark, outside)?
                };
                self.take(len)
            }
        }
    }

    fn find(&mut self, mark: &Mark, outside: Option<&Delimiter>) -> Result<usize, Halt> {
        let rest = self.rest();
        let skip = self.searched().min(rest.len());
        let found = mark.delimiter.find(&rest[skip..]).map(|at| skip + at);
        let before = &rest[..found.unwrap_or(rest.len())];
        if outside.is_some_and(|outside| outside.find(before).is_some()) {
            return Err(self.block_ends(mark));
        }
        if let Some(found) = found {
            return Ok(found);
        }
        self.search_later(rest.len().saturating_sub(mark.delimiter.bytes().len() - 1));
        self.or_at_end(mark)
    }

    fn find_unescaped(&mut self, mark: &Mark, outside: Option<&Delimiter>) -> Result<usize, Halt> {
        let rest = self.rest();
        let literal = mark.delimiter.bytes();
        let outside = outside.map_or(&b""[..], |outside| outside.bytes());
        let first = literal.first().copied().unwrap_or_default();
        let first_outside = outside.first().copied().unwrap_or(first);
        let mut at = self.searched().min(rest.len());
        loop {
            at += memchr::memchr3(b'\\', first, first_outside, &rest[at..])
                .unwrap_or(rest.len() - at);
            let left = &rest[at..];
            if left.is_empty() {
                break;
            }
            if left[0] == b'\\' {
                let len = if left.get(1) == Some(&b'x') { 4 } else { 2 };
                if left.len() < len {
                    break;
                }
                at += len;
                continue;
            }
            if left.starts_with(literal) {
                return Ok(at);
            }
            if !outside.is_empty() && left.starts_with(outside) {
                return Err(self.block_ends(mark));
            }
            if literal.starts_with(left) || outside.starts_with(left) {
                break;
            }
            at += 1;
        }
        self.search_later(at);
        self.or_at_end(mark)
    }

    /// The literal was not found: the end of the input may take its place.
    fn or_at_end(&self, mark: &Mark) -> Result<usize, Halt> {
        if self.eof && mark.last {
            Ok(self.rest().len())
        } else {
            Err(Halt::More)
        }
    }

    fn block_ends(&self, mark: &Mark) -> Halt {
        Halt::Failed(
            Error::new(
                Kind::InvalidRecord,
                format!(
                    "expected '{}' after a header, at byte {} of the record",
                    mark.delimiter.bytes().escape_ascii(),
                    self.at
                ),
            )
            .cure("check the template against the input"),
        )
    }

    /// How many of the remaining bytes were searched before without success.
    fn searched(&self) -> usize {
        if self.search.from == self.at {
            self.search.to
        } else {
            0
        }
    }

    fn search_later(&mut self, searched: usize) {
        (self.search.from, self.search.to) = (self.at, searched);
    }
}
