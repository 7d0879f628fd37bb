//! The template language: `-f` compiled into pieces, for output and input.

use super::delimiter::Delimiter;
use super::escape::{bad_escape, escape_at, shown, unescape};
use super::number::{NUMBER_FORMATS, NumberFormat};
use super::stamp::TimeFormat;
use super::text::{TEXT_FORMATS, TextFormat};
use super::usage;
use crate::error::{Error, Result};

const FIELDS: &str = "the fields are %t topic, %p partition, %o offset, %d timestamp, %T the same, %k key, \
                      %v value, %K %V their lengths, %H header count, %h{ %k=%v } each header, \
                      %h[name] one header, %i count of this run, %w log start, %W high watermark; \
                      %% %{ %} stand for themselves";

/// The field that [`FIELDS`] lists under a name, such as `%k` for `key`.
pub(super) fn field_named(name: &str) -> Option<&'static str> {
    let (all, _) = FIELDS.strip_prefix("the fields are ")?.split_once(';')?;
    let fields = all.split(", ").filter_map(|field| field.split_once(' '));
    let mut named = fields.filter(|(_, its)| *its == name);
    named.next().map(|(field, _)| field)
}

/// A shorter form for `--help`, several fields on a line.
pub const FIELDS_HELP: &str = "\
Fields of -f (more in mq(7)):
  %t topic   %p partition   %o offset   %d %T timestamp   %k key   %v value
  %K %V lengths of the key and value that follow, -1 for null
  %H number of headers   %h{ %k=%v } each header   %h[NAME] one header
  %i count of this run, from 0   %w log start   %W high watermark
  %% %{ %} a percent sign, braces   \\n \\t \\r \\0 \\\\ \\xNN bytes
  With a modifier: %v{hex|base64|json|escape}
                   %o{ascii|hex|big8|big16|big32|big64|little8|...|little64}
                   %d{ms|s|rfc3339|local|strftime[%H:%M]}
  mq-produce reads by it too, and drops what it cannot set: %t %o %i %w %W";

/// The format that `-f` requests.
#[derive(Debug, Clone)]
pub enum Format {
    /// The JSON envelope, one record per line.
    Json,
    /// A template; the name `value` is `%v\n`.
    Template(Template),
}

impl Format {
    /// Compiles the argument of `-f`: a template, or, without a `%`, a name: `value` or `json`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage), saying what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Format::Json),
            "value" => Ok(Format::Template(Template::lines(
                &Delimiter::newline(),
                None,
            ))),
            _ if !text.contains('%') => {
                unescape(text)?;
                Err(usage(
                    format!("'{}' is not a format", shown(text)),
                    "use value, json, or a template with fields such as '%k\\t%v\\n'",
                ))
            }
            _ => Template::compile(text).map(Format::Template),
        }
    }
}

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) pieces: Vec<Piece>,
}

/// One piece of a template, in order. Adjacent literals are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    Bytes(BytesField),
    Length(LengthField),
    Partition(NumberFormat),
    ConsumerField(ConsumerField, NumberFormat),
    HeaderCount(NumberFormat),
    Time(TimeFormat),
    /// A block for each header, in which key and value are the header's.
    Headers(Vec<Piece>),
}

/// A number that a producer cannot set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerField {
    Offset,
    /// How many records this run printed before it.
    Count,
    LogStart,
    HighWatermark,
}

impl ConsumerField {
    /// Its name in a template.
    pub(super) fn field(self) -> &'static str {
        match self {
            ConsumerField::Offset => "%o",
            ConsumerField::Count => "%i",
            ConsumerField::LogStart => "%w",
            ConsumerField::HighWatermark => "%W",
        }
    }
}

/// A field of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BytesField {
    pub(super) of: BytesOf,
    pub(super) how: TextFormat,
    /// Whether its length is written before it: then null has the length -1 and prints nothing.
    pub(super) measured: bool,
    /// The first bytes of the literals that may end it.
    pub(super) stops: Vec<u8>,
}

/// The source of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BytesOf {
    Topic,
    Key,
    Value,
    /// The value of the last header with that name.
    Header(Vec<u8>),
}

/// The length of the key or the value as the next such field prints it; without such a field, the
/// length of the plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LengthField {
    pub(super) number: NumberFormat,
    pub(super) measures: BytesField,
}

impl Template {
    /// Compiles a template that has at least one `%`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage), saying what is allowed.
    pub fn compile(text: &str) -> Result<Self> {
        let mut compiler = Compiler { text, at: 0 };
        let mut pieces = compiler.pieces(false)?;
        link(&mut pieces, None);
        Ok(Template { pieces })
    }

    /// Values, each followed by `delimiter`; with a `key_delimiter`, the key and that before each.
    pub fn lines(delimiter: &Delimiter, key_delimiter: Option<&Delimiter>) -> Self {
        let field = |of| {
            Piece::Bytes(BytesField {
                of,
                how: TextFormat::Plain,
                measured: false,
                stops: Vec::new(),
            })
        };
        let mut pieces = Vec::with_capacity(4);
        if let Some(key_delimiter) = key_delimiter {
            pieces.push(field(BytesOf::Key));
            pieces.push(Piece::Literal(key_delimiter.bytes().to_vec()));
        }
        pieces.push(field(BytesOf::Value));
        pieces.push(Piece::Literal(delimiter.bytes().to_vec()));
        Template { pieces }
    }

    /// Whether it contains `%p`.
    pub fn names_partition(&self) -> bool {
        self.any(&|piece| matches!(piece, Piece::Partition(_)))
    }

    /// Whether it contains `%w` or `%W`.
    pub fn notifies_edges(&self) -> bool {
        self.any(&|piece| {
            matches!(
                piece,
                Piece::ConsumerField(ConsumerField::LogStart | ConsumerField::HighWatermark, _)
            )
        })
    }

    /// Whether null can be printed as the null marker: not with a length, nor as JSON or escaped.
    pub fn prints_null_marker(&self) -> bool {
        self.any(&|piece| {
            matches!(piece, Piece::Bytes(field)
                if field.of != BytesOf::Topic
                    && !field.measured
                    && !matches!(field.how, TextFormat::Json | TextFormat::Escape))
        })
    }

    /// Whether it contains such a piece, also within a block for each header.
    fn any(&self, is_such: &dyn Fn(&Piece) -> bool) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Headers(body) => body.iter().any(is_such),
            piece => is_such(piece),
        })
    }

    /// The delimiter, if each record is printed as its plain value and the delimiter.
    pub(super) fn value_line(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [
                Piece::Bytes(BytesField {
                    of: BytesOf::Value,
                    how: TextFormat::Plain,
                    ..
                }),
                Piece::Literal(delimiter),
            ] => Some(delimiter),
            _ => None,
        }
    }
}

/// Tells each field about its surroundings: lengths before it, literals after it.
fn link(pieces: &mut [Piece], stop_outside: Option<u8>) {
    for at in 0..pieces.len() {
        let stop = match pieces.get(at + 1) {
            Some(Piece::Literal(literal)) => literal.first().copied(),
            _ => None,
        };
        match &mut pieces[at] {
            Piece::Headers(body) => link(body, stop),
            Piece::Bytes(field) if field.how == TextFormat::Escape => {
                field.stops = stop.into_iter().chain(stop_outside).collect();
            }
            _ => {}
        }
    }
    for at in 0..pieces.len() {
        let (before, after) = pieces.split_at_mut(at + 1);
        let Some(Piece::Length(length)) = before.last_mut() else {
            continue;
        };
        let next = after.iter_mut().find_map(|piece| match piece {
            Piece::Bytes(field) if field.of == length.measures.of => Some(field),
            _ => None,
        });
        if let Some(field) = next {
            field.measured = true;
            length.measures = field.clone();
        }
    }
}

struct Compiler<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Compiler<'t> {
    /// Pieces up to the end of the text, or of the header block.
    fn pieces(&mut self, in_headers: bool) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        loop {
            let rest = self.rest();
            match rest.as_bytes() {
                [] if in_headers => {
                    return Err(self.refuse("%h{ is not closed", "end the header block with }"));
                }
                [] => break,
                [b'}', ..] if in_headers => {
                    self.at += 1;
                    break;
                }
                [b'{', ..] if in_headers => {
                    return Err(self.refuse("a { stands alone in %h{ }", "write %{ there"));
                }
                [b'\\', ..] => {
                    let (byte, len) =
                        escape_at(rest.as_bytes()).ok_or_else(|| bad_escape(self.text, self.at))?;
                    literal.push(byte);
                    self.at += len;
                }
                [b'%', sign @ (b'%' | b'{' | b'}'), ..] => {
                    literal.push(*sign);
                    self.at += 2;
                }
                [b'%', ..] => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    self.at += 1;
                    pieces.push(self.field(in_headers)?);
                }
                _ => {
                    let run = rest
                        .bytes()
                        .take_while(|b| !b"%\\{}".contains(b))
                        .count()
                        .max(1);
                    literal.extend(&rest.as_bytes()[..run]);
                    self.at += run;
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(pieces)
    }

    /// Parses the field whose letter is next.
    fn field(&mut self, in_headers: bool) -> Result<Piece> {
        let Some(letter) = self.rest().chars().next() else {
            return Err(self.refuse("it ends with a lone %", FIELDS));
        };
        self.at += letter.len_utf8();
        Ok(match letter {
            't' => self.bytes(BytesOf::Topic)?,
            'k' => self.bytes(BytesOf::Key)?,
            'v' | 's' => self.bytes(BytesOf::Value)?,
            'K' => self.length(BytesOf::Key)?,
            'V' | 'S' => self.length(BytesOf::Value)?,
            'p' => Piece::Partition(self.number()?),
            'o' => Piece::ConsumerField(ConsumerField::Offset, self.number()?),
            'i' => Piece::ConsumerField(ConsumerField::Count, self.number()?),
            'w' => Piece::ConsumerField(ConsumerField::LogStart, self.number()?),
            'W' => Piece::ConsumerField(ConsumerField::HighWatermark, self.number()?),
            'H' => Piece::HeaderCount(self.number()?),
            'd' | 'T' => Piece::Time(self.time()?),
            'h' if in_headers => {
                return Err(self.refuse("%h stands within %h{ }", "header blocks do not nest"));
            }
            'h' => self.header()?,
            _ => {
                let what = format!("%{} is not a field", letter.escape_debug());
                return Err(self.refuse(&what, FIELDS));
            }
        })
    }

    fn header(&mut self) -> Result<Piece> {
        let rest = self.rest();
        if rest.starts_with('{') {
            self.at += 1;
            let body = self.pieces(true)?;
            let named = |piece: &Piece| {
                matches!(
                    piece,
                    Piece::Bytes(BytesField {
                        of: BytesOf::Key | BytesOf::Value,
                        ..
                    })
                )
            };
            if !body.iter().any(named) {
                return Err(self.refuse(
                    "%h{ } has neither %k nor %v in it",
                    "write what to print of each header, such as %h{ %k=%v }",
                ));
            }
            return Ok(Piece::Headers(body));
        }
        let name = rest
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .map(|(name, _)| name);
        let Some(name) = name else {
            return Err(self.refuse(
                "a bare %h",
                "use %h{ %k=%v } for each header, or %h[name] for one",
            ));
        };
        self.at += name.len() + 2;
        self.bytes(BytesOf::Header(name.as_bytes().to_vec()))
    }

    fn bytes(&mut self, of: BytesOf) -> Result<Piece> {
        let how = match self.modifier("}")? {
            None => TextFormat::Plain,
            Some(name) => TextFormat::from_name(name)
                .ok_or_else(|| self.refuse_modifier(name, TEXT_FORMATS))?,
        };
        Ok(Piece::Bytes(BytesField {
            of,
            how,
            measured: false,
            stops: Vec::new(),
        }))
    }

    fn length(&mut self, of: BytesOf) -> Result<Piece> {
        let number = self.number()?;
        let measures = BytesField {
            of,
            how: TextFormat::Plain,
            measured: true,
            stops: Vec::new(),
        };
        Ok(Piece::Length(LengthField { number, measures }))
    }

    fn number(&mut self) -> Result<NumberFormat> {
        match self.modifier("}")? {
            None => Ok(NumberFormat::Ascii),
            Some(name) => NumberFormat::from_name(name)
                .ok_or_else(|| self.refuse_modifier(name, NUMBER_FORMATS)),
        }
    }

    fn time(&mut self) -> Result<TimeFormat> {
        let strftime = self.rest().starts_with("{strftime[");
        match self.modifier(if strftime { "]}" } else { "}" })? {
            None => Ok(TimeFormat::Ms(NumberFormat::Ascii)),
            Some(name) => TimeFormat::from_name(name)?.ok_or_else(|| {
                let allowed = format!("ms, s, rfc3339, local, strftime[...], {NUMBER_FORMATS}");
                self.refuse_modifier(name, &allowed)
            }),
        }
    }

    /// The text between `{` and the brace that ends `close`, if a `{` is next.
    fn modifier(&mut self, close: &str) -> Result<Option<&'t str>> {
        let text = self.text;
        let Some(rest) = text.get(self.at..).and_then(|rest| rest.strip_prefix('{')) else {
            return Ok(None);
        };
        let Some(end) = rest.find(close) else {
            return Err(self.refuse(
                "a { right after a field is not closed",
                "write %{ for a brace after a field",
            ));
        };
        // The bracket of strftime's `]}` belongs to the modifier, the brace does not.
        let name = &rest[..end + close.len() - 1];
        self.at += name.len() + 2;
        Ok(Some(name))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn refuse(&self, what: &str, cure: &str) -> Error {
        usage(
            format!("the template '{}' cannot be used: {what}", shown(self.text)),
            cure,
        )
    }

    fn refuse_modifier(&self, name: &str, allowed: &str) -> Error {
        let what = format!("{{{}}} is not a modifier of that field", shown(name));
        self.refuse(
            &what,
            &format!("use one of {allowed}; write %{{ for a brace after a field"),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn names_and_the_line_are_known() {
        assert!(matches!(Format::parse("json"), Ok(Format::Json)));
        for (text, delimiter) in [
            ("value", Some(&b"\n"[..])),
            ("%v\\n", Some(b"\n")),
            ("%s\\0", Some(b"\0")),
            ("%v{hex}\\n", None),
            ("%v", None),
        ] {
            let Format::Template(template) = Format::parse(text).expect(text) else {
                panic!("{text}")
            };
            assert_eq!(template.value_line(), delimiter, "{text}");
        }
    }

    #[test]
    fn the_help_names_all_fields() {
        // Other names, as in kcat.
        let others = ['s', 'S', 'T'];
        for letter in ('a'..='z').chain('A'..='Z').filter(|c| !others.contains(c)) {
            let known = ["", "{%k}", "[name]"]
                .iter()
                .any(|rest| Format::parse(&format!("%{letter}{rest}")).is_ok());
            for help in [FIELDS, FIELDS_HELP] {
                let named = help
                    .match_indices(&format!("%{letter}"))
                    .any(|(at, field)| {
                        let next = help[at + field.len()..].chars().next();
                        next.is_none_or(|next| b" {[\n".contains(&(next as u8)))
                    });
                assert_eq!(named, known, "%{letter} in {help}");
            }
        }
        assert!(FIELDS_HELP.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "values",
            "JSON",
            "hello\\n",
            "%",
            "%v%",
            "%x",
            "%é",
            "%v\\q",
            "%v\\",
            "%v\\x1",
            "%h",
            "%h\\n",
            "%h[name",
            "%h{%k",
            "%h{}",
            "%h{ %t }",
            "%h{%K%V}",
            "%h{%k%h[a]}",
            "%h{%k%h{%v}}",
            "%h{ {%k} }",
            "%v{",
            "%v{}",
            "%v{HEX}",
            "%v{big32}",
            "%V{hex8}",
            "%o{base64}",
            "%p{s}",
            "%d{iso}",
            "%d{strftime[%Y}",
            "%d{strftime[%!]}",
            "%t{ms}",
        ] {
            let e = Format::parse(text).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.cure_text().is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_compiled_or_refused(
            text in "\\PC*",
            grammar in "(%[a-zA-Z%{}]|\\{(hex|json|escape|big16|ms|strftime\\[%Y\\])\\}|[{}\\[\\]]|\\\\[nx0q\\\\]|[ ,a]){0,12}",
        ) {
            for text in [&text, &grammar] {
                if let Err(e) = Format::parse(text) {
                    prop_assert_eq!(e.kind(), Kind::Usage);
                }
            }
        }
    }
}
