//! A plan for reading what a template writes: how the end of each field is found.

use super::delimiter::Delimiter;
use super::number::NumberFormat;
use super::stamp::TimeFormat;
use super::template::{BytesOf, Piece, Template};
use super::text::TextFormat;
use super::usage;
use crate::cli::lang::ambiguity;
use crate::error::Result;

/// One step of reading.
#[derive(Debug)]
pub(super) enum Action {
    /// These bytes must follow.
    Literal(Mark),
    /// A field of bytes.
    Bytes {
        of: BytesOf,
        how: TextFormat,
        end: End,
    },
    /// A number or a time.
    Number { of: NumberOf, end: End },
    /// Headers: a counted number, or up to the literal.
    Headers {
        body: Vec<Action>,
        until: Option<Mark>,
    },
}

/// A literal of the template.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) delimiter: Delimiter,
    /// Whether it is the template's last piece: the end of the input may take its place.
    pub(super) last: bool,
}

/// Where a field ends.
#[derive(Debug)]
pub(super) enum End {
    /// After the length that was read before it.
    Measured,
    /// After so many bytes.
    Width(usize),
    /// Where its JSON value ends.
    Json,
    /// At the first occurrence of the literal; for an escaped field, at the first unescaped one. In
    /// a header block, also at the literal that ends the block.
    Mark { mark: Mark, outside: Option<Mark> },
}

/// What a number means.
#[derive(Debug, Clone)]
pub(super) enum NumberOf {
    KeyLength(NumberFormat),
    ValueLength(NumberFormat),
    HeaderCount(NumberFormat),
    Partition(NumberFormat),
    Timestamp(TimeFormat),
    /// A value that a producer cannot set.
    Nothing(NumberFormat),
}

/// Plans how to read what `template` writes.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) if a field has no end, or the template sets nothing.
pub(super) fn plan(template: &Template) -> Result<Vec<Action>> {
    let pieces = &template.pieces;
    let sets = |piece: &Piece| match piece {
        Piece::Bytes(field) => field.of != BytesOf::Topic,
        Piece::Headers(_) => true,
        _ => false,
    };
    if !pieces.iter().any(sets) {
        return Err(usage(
            "the template cannot be used for input: it has neither key, value nor header",
            "use %k, %v, %h{ } or %h[name] in it",
        ));
    }
    let plan = actions(pieces, true, None)?;
    ambiguity::check(pieces)?;
    Ok(plan)
}

/// `pieces` are the body of a header block that ends at the literal `outside`.
fn actions(pieces: &[Piece], top: bool, outside: Option<&Mark>) -> Result<Vec<Action>> {
    let mut plan = Vec::with_capacity(pieces.len());
    let mut counted = false;
    for (at, piece) in pieces.iter().enumerate() {
        let mark = |at: usize| match pieces.get(at) {
            Some(Piece::Literal(bytes)) => Delimiter::new(bytes).map(|delimiter| Mark {
                delimiter,
                last: top && at + 1 == pieces.len(),
            }),
            _ => None,
        };
        let marked = |field: &str| match mark(at + 1) {
            Some(mark) => Ok(End::Mark {
                mark,
                outside: outside.cloned(),
            }),
            None => Err(no_end(field)),
        };
        let number = |field: &str, format: NumberFormat| match format.width() {
            Some(width) => Ok(End::Width(width)),
            None => marked(field),
        };
        plan.push(match piece {
            Piece::Literal(_) => match mark(at) {
                Some(mark) => Action::Literal(mark),
                None => continue,
            },
            Piece::Bytes(field) => {
                let name = match field.of {
                    BytesOf::Topic => "%t",
                    BytesOf::Key => "%k",
                    BytesOf::Value => "%v",
                    BytesOf::Header(_) => "%h[name]",
                };
                let end = match field.how {
                    _ if field.measured => End::Measured,
                    TextFormat::Json => End::Json,
                    TextFormat::Escape => {
                        let literals = [mark(at + 1), outside.cloned()];
                        if literals.iter().flatten().any(|m| m.delimiter.bytes()[0] == b'\\') {
                            return Err(usage(
                                format!("the template cannot be used for input: a backslash follows {name}{{escape}}"),
                                "begin the literal after it with another character",
                            ));
                        }
                        marked(name)?
                    }
                    _ => marked(name)?,
                };
                Action::Bytes { of: field.of.clone(), how: field.how, end }
            }
            Piece::Length(length) => {
                let format = length.number;
                let (name, of) = match length.measures.of {
                    BytesOf::Key => ("%K", NumberOf::KeyLength(format)),
                    _ => ("%V", NumberOf::ValueLength(format)),
                };
                Action::Number { of, end: number(name, format)? }
            }
            Piece::Partition(format) => {
                Action::Number { of: NumberOf::Partition(*format), end: number("%p", *format)? }
            }
            Piece::ConsumerField(reported, format) => {
                Action::Number { of: NumberOf::Nothing(*format), end: number(reported.field(), *format)? }
            }
            Piece::HeaderCount(format) => {
                counted = true;
                Action::Number { of: NumberOf::HeaderCount(*format), end: number("%H", *format)? }
            }
            Piece::Time(format) => {
                if !format.can_be_read() {
                    return Err(usage(
                        "the template cannot be used for input: its strftime pattern does not say the time",
                        "use one with a date, such as %Y-%m-%dT%H:%M:%S%z, or %d{ms}",
                    ));
                }
                let end = match format {
                    TimeFormat::Ms(format) => number("%d", *format)?,
                    _ => marked("%d")?,
                };
                Action::Number { of: NumberOf::Timestamp(format.clone()), end }
            }
            Piece::Headers(body) => {
                let until = match (counted, mark(at + 1)) {
                    (true, _) => None,
                    (false, Some(mark)) => Some(mark),
                    (false, None) => return Err(no_end("%h{ }")),
                };
                if !body.iter().any(|p| matches!(p, Piece::Bytes(f) if f.of == BytesOf::Key)) {
                    return Err(usage(
                        "the template cannot be used for input: %h{ } has no %k",
                        "write how a header's name is given, such as %h{%k=%v;}",
                    ));
                }
                Action::Headers { body: actions(body, false, until.as_ref())?, until }
            }
        });
    }
    Ok(plan)
}

fn no_end(field: &str) -> crate::error::Error {
    usage(
        format!("the template cannot be used for input: nothing says where {field} ends"),
        format!(
            "put a literal after it (such as \\n), its length before it (%V{{big32}}%v, %H before %h{{ }}), \
             or use {{json}} or a number of fixed width with {field}"
        ),
    )
}
