//! Finds templates that write different records as the same bytes. Such a template is refused for
//! input, since a record would come back changed without notice.
//!
//! 1. A field that ends at the literal after it must not be able to contain that literal, such as
//!    the number `12` before the literal `1`. Plain fields may contain it, as documented in
//!    `mq(7)`; escaped fields escape its first byte; JSON values end by themselves.
//! 2. A header block without a count ends at the literal after it. So no header may begin with that
//!    literal or be written as nothing.
//! 3. A value that is written twice could be read as two different values.

use std::collections::HashSet;

use super::number::NumberFormat;
use super::stamp::TimeFormat;
use super::template::{BytesField, BytesOf, Piece};
use super::text::TextFormat;
use super::usage;
use crate::error::Result;

const DECIMAL: &[u8] = b"-0123456789";
const HEX: &[u8] = b"0123456789abcdefABCDEF";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
const RFC3339: &[u8] = b"0123456789-+:.TZtz";

/// Refuses a template whose output cannot be read back unchanged.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage).
pub(super) fn check(pieces: &[Piece]) -> Result<()> {
    observe(pieces, None)
}

/// `pieces` are the body of a header block that ends at `outside`; `None`: the headers are counted.
fn observe(pieces: &[Piece], outside: Option<&[u8]>) -> Result<()> {
    said_once(pieces)?;
    let mut counted = false;
    for (at, piece) in pieces.iter().enumerate() {
        let after = match pieces.get(at + 1) {
            Some(Piece::Literal(literal)) => Some(literal.as_slice()),
            _ => None,
        };
        if let Some(literal) = after
            && may_hold(piece, literal)
        {
            return Err(refused(
                format!(
                    "'{}' after {} may be part of it",
                    literal.escape_ascii(),
                    name(piece)
                ),
                "put a literal after it that it cannot hold, such as a space",
            ));
        }
        if let Some(outside) = outside.filter(|_| ends_at_a_literal(piece))
            && (may_hold(piece, outside)
                || after.is_some_and(|after| may_meet(piece, after, outside)))
        {
            return Err(refused(
                format!(
                    "'{}', which ends %h{{ }}, may stand in it, after {} or in it",
                    outside.escape_ascii(),
                    name(piece)
                ),
                "end %h{ } with another literal, or put the header count %H before it",
            ));
        }
        match piece {
            Piece::HeaderCount(_) => counted = true,
            Piece::Headers(body) => {
                observe(body, after.filter(|_| !counted))?;
                if let Some(literal) = after.filter(|_| !counted)
                    && may_begin(body, literal)
                {
                    return Err(refused(
                        format!(
                            "a header in %h{{ }} may begin as '{}' does, which ends them",
                            literal.escape_ascii()
                        ),
                        "begin %h{ } with another literal, end it with another, or put the header count \
                         %H before it",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(what: String, cure: &str) -> crate::error::Error {
    usage(
        format!("the template cannot be used for input: {what}"),
        cure,
    )
}

/// Refuses a template that writes a value of the record twice.
fn said_once(pieces: &[Piece]) -> Result<()> {
    let mut seen = HashSet::new();
    let mut names_one = false;
    for piece in pieces {
        let sets = match piece {
            Piece::Bytes(field) => field.of != BytesOf::Topic,
            Piece::Partition(_) | Piece::HeaderCount(_) | Piece::Time(_) | Piece::Headers(_) => {
                true
            }
            Piece::Length(_) | Piece::Literal(_) | Piece::ConsumerField(..) => false,
        };
        let name = name(piece);
        names_one |= name.starts_with("%h[");
        if sets && !seen.insert(name.clone()) {
            return Err(refused(
                format!("{name} comes twice"),
                "use each field once",
            ));
        }
    }
    if names_one && seen.contains("%h{ }") {
        return Err(refused(
            "a header of %h[name] comes in %h{ }, too".to_owned(),
            "use one of them",
        ));
    }
    Ok(())
}

fn name(piece: &Piece) -> String {
    match piece {
        Piece::Literal(literal) => literal.escape_ascii().to_string(),
        Piece::Bytes(field) => match &field.of {
            BytesOf::Topic => "%t".to_owned(),
            BytesOf::Key => "%k".to_owned(),
            BytesOf::Value => "%v".to_owned(),
            BytesOf::Header(name) => format!("%h[{}]", name.escape_ascii()),
        },
        Piece::Length(length) if length.measures.of == BytesOf::Key => "%K".to_owned(),
        Piece::Length(_) => "%V".to_owned(),
        Piece::Partition(_) => "%p".to_owned(),
        Piece::ConsumerField(reported, _) => reported.field().to_owned(),
        Piece::HeaderCount(_) => "%H".to_owned(),
        Piece::Time(_) => "%d".to_owned(),
        Piece::Headers(_) => "%h{ }".to_owned(),
    }
}

/// The bytes that a field may be written with; `None`: any.
fn alphabet(piece: &Piece) -> Option<&'static [u8]> {
    let of_number = |number: &NumberFormat| match number {
        NumberFormat::Ascii => Some(DECIMAL),
        NumberFormat::Hex => Some(HEX),
        NumberFormat::Fixed { .. } => None,
    };
    match piece {
        Piece::Bytes(field) => match field.how {
            TextFormat::Hex => Some(HEX),
            TextFormat::Base64 => Some(BASE64),
            TextFormat::Plain | TextFormat::Json | TextFormat::Escape => None,
        },
        Piece::Length(length) => of_number(&length.number),
        Piece::Partition(number) | Piece::ConsumerField(_, number) | Piece::HeaderCount(number) => {
            of_number(number)
        }
        Piece::Time(TimeFormat::Ms(number)) => of_number(number),
        Piece::Time(TimeFormat::Seconds) => Some(DECIMAL),
        Piece::Time(TimeFormat::Rfc3339 | TimeFormat::Local) => Some(RFC3339),
        Piece::Time(TimeFormat::Strftime(_)) | Piece::Literal(_) | Piece::Headers(_) => None,
    }
}

/// Whether the end of a field is found by the literal after it.
fn ends_at_a_literal(piece: &Piece) -> bool {
    match piece {
        Piece::Bytes(field) => !field.measured && field.how != TextFormat::Json,
        Piece::Time(TimeFormat::Strftime(_)) => true,
        Piece::Literal(_) | Piece::Headers(_) => false,
        // Fields of fixed width may contain any bytes.
        _ => alphabet(piece).is_some(),
    }
}

/// Whether a field that ends at `literal` may contain it. If the field is never written with some
/// byte of the literal, the literal's first occurrence is the field's end.
fn may_hold(piece: &Piece, literal: &[u8]) -> bool {
    let measured = matches!(piece, Piece::Bytes(field) if field.measured);
    let alphabet = alphabet(piece).filter(|_| !measured);
    alphabet.is_some_and(|alphabet| literal.iter().all(|byte| alphabet.contains(byte)))
}

/// Whether `outside` may begin within the written field, or directly behind it, where `after`
/// stands: the number `a` and the literal `;x` contain `a;`.
fn may_meet(piece: &Piece, after: &[u8], outside: &[u8]) -> bool {
    let alphabet = alphabet(piece).unwrap_or_default();
    let of_field = outside.iter().take_while(|byte| alphabet.contains(byte));
    (0..=of_field.count()).any(|within| {
        let rest = outside.get(within..).unwrap_or_default();
        after.starts_with(rest) || rest.starts_with(after)
    })
}

/// Whether a written header may begin with `literal`, or be empty.
fn may_begin(body: &[Piece], literal: &[u8]) -> bool {
    let mut left = literal;
    for piece in body {
        let Some(next) = left.first() else {
            return true;
        };
        match piece {
            Piece::Literal(bytes) => match (bytes.starts_with(left), left.strip_prefix(&**bytes)) {
                (true, _) => return true,
                (false, Some(rest)) => left = rest,
                (false, None) => return false,
            },
            Piece::Bytes(field) => {
                if left.len() < literal.len() {
                    // Within the literal: the field's value may be the rest of it.
                    return true;
                }
                match begins_with(field, *next) {
                    Begins::Yes => return true,
                    Begins::No => return false,
                    Begins::OnlyIfEmpty => {}
                }
            }
            Piece::Time(TimeFormat::Strftime(_)) => return true,
            // Never empty.
            _ => return alphabet(piece).is_none_or(|alphabet| alphabet.contains(next)),
        }
    }
    true
}

enum Begins {
    Yes,
    No,
    /// It may be empty; if it is not, it does not begin so.
    OnlyIfEmpty,
}

/// Whether a field at the start of a header may begin with a byte.
fn begins_with(field: &BytesField, byte: u8) -> Begins {
    let of_alphabet = |alphabet: &[u8]| {
        if alphabet.contains(&byte) {
            Begins::Yes
        } else {
            Begins::OnlyIfEmpty
        }
    };
    match field.how {
        // A string, `{"base64":...}` or null.
        TextFormat::Json if b"\"{n".contains(&byte) => Begins::Yes,
        TextFormat::Json => Begins::No,
        TextFormat::Escape if field.stops.contains(&byte) => Begins::OnlyIfEmpty,
        TextFormat::Hex => of_alphabet(HEX),
        TextFormat::Base64 => of_alphabet(BASE64),
        TextFormat::Escape => Begins::Yes,
        TextFormat::Plain if field.measured => Begins::Yes,
        // The plain format is documented as not exact.
        TextFormat::Plain => Begins::No,
    }
}
