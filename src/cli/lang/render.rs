//! Records as output.

use jiff::tz::TimeZone;

use super::envelope::write_envelope;
use super::output_record::{HeaderList, OutputRecord};
use super::template::{BytesField, BytesOf, ConsumerField, Format, LengthField, Piece, Template};
use super::terminal::TerminalEscaper;
use super::text::TextFormat;
use crate::client::BatchInfo;
use crate::error::Result;
use crate::record::{Header, HeaderIter, Record};
use crate::types::TopicPartition;

impl<'a> OutputRecord<'a> {
    /// A stored record; the run printed `count` records before it.
    pub fn stored(
        tp: &'a TopicPartition,
        info: BatchInfo,
        record: &Record<'a>,
        count: u64,
    ) -> Self {
        OutputRecord {
            topic: tp.topic.as_str(),
            partition: tp.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: info.timestamp_type,
            leader_epoch: info.leader_epoch,
            key: record.key,
            value: record.value,
            headers: HeaderList::Stored(record.headers),
            count,
            edges: info.edges,
        }
    }
}

impl<'a> HeaderList<'a> {
    /// The number of headers.
    pub fn len(&self) -> usize {
        match self {
            HeaderList::Stored(headers) => headers.len(),
            HeaderList::Slice(headers) => headers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let (stored, slice): (Option<HeaderIter<'a>>, &'a [Header<'a>]) = match self {
            HeaderList::Stored(headers) => (Some(headers.iter()), &[]),
            HeaderList::Slice(headers) => (None, headers),
        };
        stored.into_iter().flatten().chain(slice.iter().copied())
    }
}

/// Writes records in one format.
#[derive(Debug, Clone)]
pub struct Renderer {
    format: Format,
    null_marker: Vec<u8>,
    zone: TimeZone,
    /// Whether control characters of fields are escaped.
    escapes: bool,
}

/// The key and value that fields refer to: the record's, or a header's.
#[derive(Clone, Copy)]
struct Scope<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl Renderer {
    /// `null_marker` is printed for null where the format has no null of its own; `zone` is the
    /// local time zone.
    pub fn new(format: Format, null_marker: Option<&[u8]>, zone: TimeZone) -> Self {
        Renderer {
            format,
            null_marker: null_marker.unwrap_or_default().to_vec(),
            zone,
            escapes: false,
        }
    }

    /// The same for a terminal, if `escapes`: control characters in a record's fields are escaped.
    /// The template's own text is the user's, and stays.
    #[must_use]
    pub fn escaping(mut self, escapes: bool) -> Self {
        self.escapes = escapes;
        self
    }

    /// The delimiter, if each record is printed as its plain value (nothing for null) and the
    /// delimiter: then a caller may write records without this renderer.
    pub fn is_value_line(&self) -> Option<&[u8]> {
        match &self.format {
            Format::Template(template) if self.null_marker.is_empty() && !self.escapes => {
                template.value_line()
            }
            _ => None,
        }
    }

    /// Appends one record to `out`.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`](crate::error::Kind::InvalidRecord) if a number does not fit or a
    /// timestamp is no valid date; then `out` is unchanged.
    #[inline]
    pub fn render(&self, record: &OutputRecord<'_>, out: &mut Vec<u8>) -> Result<()> {
        if let Some(delimiter) = self.is_value_line() {
            out.extend_from_slice(record.value.unwrap_or_default());
            out.extend_from_slice(delimiter);
            return Ok(());
        }
        match &self.format {
            Format::Json => {
                let at = out.len();
                write_envelope(record, out);
                self.escape_from(at, out);
                Ok(())
            }
            Format::Template(Template { pieces }) => {
                let before = out.len();
                let scope = Scope {
                    key: record.key,
                    value: record.value,
                };
                self.pieces(pieces, record, scope, out)
                    .inspect_err(|_| out.truncate(before))
            }
        }
    }

    fn pieces(
        &self,
        pieces: &[Piece],
        record: &OutputRecord<'_>,
        scope: Scope<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        for piece in pieces {
            let at = out.len();
            match piece {
                Piece::Literal(literal) => {
                    out.extend_from_slice(literal);
                    continue;
                }
                Piece::Bytes(field) => self.bytes(field, record, scope, out),
                Piece::Length(length) => write_length(length, record, scope, out)?,
                Piece::Partition(number) => number.write(i64::from(record.partition), out)?,
                Piece::ConsumerField(reported, number) => {
                    let reported = match reported {
                        ConsumerField::Offset => record.offset,
                        ConsumerField::Count => record.count as i64,
                        ConsumerField::LogStart => record.edges.log_start,
                        ConsumerField::HighWatermark => record.edges.high_watermark,
                    };
                    number.write(reported, out)?;
                }
                Piece::HeaderCount(number) => number.write(record.headers.len() as i64, out)?,
                Piece::Time(format) => format.write(record.timestamp, &self.zone, out)?,
                Piece::Headers(body) => {
                    for header in record.headers.iter() {
                        let scope = Scope {
                            key: Some(header.key),
                            value: header.value,
                        };
                        self.pieces(body, record, scope, out)?;
                    }
                    // Each piece was escaped by itself.
                    continue;
                }
            }
            self.escape_from(at, out);
        }
        Ok(())
    }

    /// Escapes what was written from `at` on.
    fn escape_from(&self, at: usize, out: &mut Vec<u8>) {
        if self.escapes {
            let field = out.split_off(at);
            let mut escaper = TerminalEscaper::new();
            escaper.escape(&field, out);
            escaper.finish(out);
        }
    }

    fn bytes(
        &self,
        field: &BytesField,
        record: &OutputRecord<'_>,
        scope: Scope<'_>,
        out: &mut Vec<u8>,
    ) {
        match bytes_of(field, record, scope) {
            Some(bytes) => field.how.write(bytes, &field.stops, out),
            None if field.measured => {}
            None => field.how.write_null(&self.null_marker, out),
        }
    }
}

fn write_length(
    length: &LengthField,
    record: &OutputRecord<'_>,
    scope: Scope<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let field = &length.measures;
    let printed = bytes_of(field, record, scope).map(|bytes| match field.how {
        TextFormat::Plain => bytes.len(),
        TextFormat::Hex => bytes.len() * 2,
        TextFormat::Base64 => bytes.len().div_ceil(3) * 4,
        TextFormat::Json | TextFormat::Escape => {
            let mut text = Vec::with_capacity(bytes.len() + 16);
            field.how.write(bytes, &field.stops, &mut text);
            text.len()
        }
    });
    length
        .number
        .write(printed.map_or(-1, |len| len as i64), out)
}

fn bytes_of<'a>(
    field: &BytesField,
    record: &OutputRecord<'a>,
    scope: Scope<'a>,
) -> Option<&'a [u8]> {
    match &field.of {
        BytesOf::Topic => Some(record.topic.as_bytes()),
        BytesOf::Key => scope.key,
        BytesOf::Value => scope.value,
        BytesOf::Header(name) => {
            record
                .headers
                .iter()
                .filter(|header| header.key == name.as_slice())
                .last()?
                .value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lang::delimiter::Delimiter;
    use crate::client::files::LogEdges;
    use crate::error::Kind;
    use crate::types::TimestampType;

    const HEADERS: [Header<'static>; 3] = [
        Header {
            key: b"a",
            value: Some(b"1"),
        },
        Header {
            key: b"b",
            value: None,
        },
        Header {
            key: b"a",
            value: Some(b"\xff"),
        },
    ];

    fn record() -> OutputRecord<'static> {
        OutputRecord {
            topic: "orders",
            partition: 3,
            offset: 300,
            timestamp: 1_774_785_600_123,
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: 2,
            key: Some(b"k,1"),
            value: Some(b"v\x00\n"),
            headers: HeaderList::Slice(&HEADERS),
            count: 7,
            edges: LogEdges {
                deletions_gone: 0,
                log_start: 12,
                high_watermark: 301,
            },
        }
    }

    fn rendered(
        template: &str,
        record: &OutputRecord<'_>,
        marker: Option<&[u8]>,
    ) -> Result<String> {
        let renderer = Renderer::new(Format::parse(template)?, marker, TimeZone::UTC);
        let mut out = b"before".to_vec();
        let result = renderer.render(record, &mut out);
        if result.is_err() {
            assert_eq!(out, b"before");
        }
        result.map(|()| out[6..].escape_ascii().to_string())
    }

    #[test]
    fn templates_print() {
        for (template, text) in [
            ("value", r"v\x00\n\n"),
            (
                "%t %p %o %d %k %v|",
                r"orders 3 300 1774785600123 k,1 v\x00\n|",
            ),
            ("%T %s %S", r"1774785600123 v\x00\n 3"),
            ("%K %V %H", "3 3 3"),
            ("%i %w %W|%i{hex} %W{big16}", r"7 12 301|7 \x01-"),
            ("%h{%k%i }", "a7 b7 a7 "),
            ("%%%{%}{x}\\t\\x41", r"%{}{x}\tA"),
            ("%p{hex} %o{big16} %o{little32}", r"3 \x01, ,\x01\x00\x00"),
            (
                "%v{hex} %v{base64} %v{json} %v{escape}",
                r#"76000a dgAK \"v\\u0000\\n\" v\\0\\n"#,
            ),
            ("%k{escape},%k{escape}", r"k\\x2c1,k,1"),
            ("%h{ %k=%v}", r" a=1 b= a=\xff"),
            (
                "%h{%k{hex}=%v{json};}",
                r#"61=\"1\";62=null;61={\"base64\":\"/w==\"};"#,
            ),
            ("%h{%{%k%}}", "{a}{b}{a}"),
            ("%h{%v{escape},}", r"1,\\N,\\xff,"),
            ("%h{%K%k%V%v}", r"1a111b-11a1\xff"),
            ("%h[a]|%h[b]|%h[c]|%h[a]{hex}", r"\xff|||ff"),
            ("%h{%k%o }{", "a300 b300 a300 {"),
            ("%K{big8}%k%V{ascii}%v{hex}", r"\x03k,1676000a"),
            ("%V{ascii}:%v{json} %V", r#"11:\"v\\u0000\\n\" 3"#),
            (
                "%d{s} %d{rfc3339} %d{local}",
                "1774785600 2026-03-29T12:00:00.123Z 2026-03-29T12:00:00.123Z",
            ),
            ("%d{strftime[%H:%M]}}", "12:00}"),
            ("%d{big64}", r"\x00\x00\x01\x9d9w\x1a{"),
        ] {
            assert_eq!(
                rendered(template, &record(), None).expect(template),
                text,
                "{template}"
            );
        }
    }

    #[test]
    fn null_prints_as_asked() {
        let null = OutputRecord {
            key: None,
            value: None,
            ..record()
        };
        for (template, marker, text) in [
            ("%k|%v|", None, "||"),
            (
                "%k|%v{hex}|%v{base64}|",
                Some(&b"NULL"[..]),
                "NULL|NULL|NULL|",
            ),
            ("%k{json}%v{escape}%h[c]", Some(b"-"), r"null\\N-"),
            ("%K %k%V{big8}%v{json}", Some(b"-"), r"-1 \xff"),
            ("value", Some(b"-"), r"-\n"),
        ] {
            assert_eq!(
                rendered(template, &null, marker).expect(template),
                text,
                "{template}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let far = OutputRecord {
            timestamp: i64::MAX,
            ..record()
        };
        for template in ["%v%o{big8}", "%d{rfc3339}", "%d{strftime[%Y]}", "%d{big32}"] {
            let e = rendered(template, &far, None).expect_err(template);
            assert_eq!(e.kind(), Kind::InvalidRecord, "{template}");
        }
    }

    #[test]
    fn lines_need_no_renderer() {
        let line = |key: Option<&Delimiter>, marker: Option<&[u8]>| {
            let template = Template::lines(&Delimiter::nul(), key);
            Renderer::new(Format::Template(template), marker, TimeZone::UTC)
        };
        assert_eq!(line(None, None).is_value_line(), Some(&b"\0"[..]));
        assert_eq!(line(None, Some(b"NULL")).is_value_line(), None);
        let with_key = line(Delimiter::new(b"\t").as_ref(), None);
        assert_eq!(with_key.is_value_line(), None);
        let mut out = Vec::new();
        with_key.render(&record(), &mut out).expect("line");
        assert_eq!(out, b"k,1\tv\0\n\0");
    }
}
