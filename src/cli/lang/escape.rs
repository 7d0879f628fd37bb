//! Backslash escapes: in templates and delimiters, in `{escape}` fields, in tsv.

use std::borrow::Cow;

use super::usage;
use crate::error::{Error, Kind, Result};

const ALLOWED: &str = "the escapes are \\n \\t \\r \\0 \\\\ and \\xNN";

/// The bytes of a delimiter or template text: `\n \t \r \0 \\ \xNN` and everything else as it is.
///
/// # Errors
/// [`Kind::Usage`] for another escape.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    decode(text.as_bytes())
        .map(Cow::into_owned)
        .map_err(|at| bad_escape(text, at))
}

/// An argument for a message: as it was given, with unprintable characters escaped.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// The error for an invalid escape at byte `at` of an argument.
pub(super) fn bad_escape(text: &str, at: usize) -> Error {
    let escape: String = text.get(at..).unwrap_or_default().chars().take(2).collect();
    usage(
        format!("'{}' has an unknown escape {escape}", shown(text)),
        ALLOWED,
    )
}

/// The byte of the escape at the start of `bytes`, and the escape's length. `None` if the escape is
/// unknown or incomplete.
pub(super) fn escape_at(bytes: &[u8]) -> Option<(u8, usize)> {
    let byte = match (bytes.first()?, bytes.get(1)?) {
        (b'\\', b'n') => b'\n',
        (b'\\', b't') => b'\t',
        (b'\\', b'r') => b'\r',
        (b'\\', b'0') => 0,
        (b'\\', b'\\') => b'\\',
        (b'\\', b'x') => {
            let byte = hex_digit(*bytes.get(2)?)? << 4 | hex_digit(*bytes.get(3)?)?;
            return Some((byte, 4));
        }
        _ => return None,
    };
    Some((byte, 2))
}

/// The value of a hexadecimal digit of either case.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Appends `byte` as two hexadecimal digits, in lower case.
pub(super) fn push_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
}

/// Appends `bytes` as an `{escape}` field, which [`decode_field`] reads back. Besides backslash,
/// controls and bytes that are not UTF-8, every character that contains one of `stops` is escaped,
/// so that none of these bytes appears unescaped.
pub(super) fn encode_field(bytes: &[u8], stops: &[u8], out: &mut Vec<u8>) {
    encode(bytes, stops, out, |c| match c {
        '\n' => Some(b'n'),
        '\t' => Some(b't'),
        '\r' => Some(b'r'),
        '\0' => Some(b'0'),
        '\\' => Some(b'\\'),
        _ => None,
    });
}

/// The bytes of an `{escape}` field that is not `\N`.
///
/// # Errors
/// [`Kind::InvalidRecord`] for an unknown escape.
pub(super) fn decode_field(text: &[u8]) -> Result<Cow<'_, [u8]>> {
    decode(text).map_err(|at| {
        Error::new(
            Kind::InvalidRecord,
            format!("unknown escape at byte {at} of a field"),
        )
        .cure(ALLOWED)
    })
}

/// Appends one field of a tsv line: empty is `-`; tab, newline, backslash, unprintable bytes and
/// a lone `-` are `\t \n \\ \xNN`.
pub fn tsv_field(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes {
        b"" => out.push(b'-'),
        b"-" => out.extend(b"\\x2d"),
        _ => encode(bytes, b"", out, |c| match c {
            '\n' => Some(b'n'),
            '\t' => Some(b't'),
            '\\' => Some(b'\\'),
            _ => None,
        }),
    }
}

/// Whether `c` could change how the text around it is shown: controls, and the characters that
/// set the direction of writing.
pub(in crate::cli) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn encode(bytes: &[u8], stops: &[u8], out: &mut Vec<u8>, short: fn(char) -> Option<u8>) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut written = 0;
        for (at, c) in text.char_indices() {
            let end = at + c.len_utf8();
            let raw = &text.as_bytes()[at..end];
            let stopped = raw.iter().any(|b| stops.contains(b));
            if c != '\\' && !stopped && !is_unprintable(c) {
                continue;
            }
            out.extend(&text.as_bytes()[written..at]);
            written = end;
            match short(c) {
                Some(letter) => out.extend([b'\\', letter]),
                None => push_escaped(raw, out),
            }
        }
        out.extend(&text.as_bytes()[written..]);
        push_escaped(chunk.invalid(), out);
    }
}

fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend(b"\\x");
        push_hex(*byte, out);
    }
}

/// Decodes escapes; the error is the position of an unknown one.
fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, usize> {
    if memchr::memchr(b'\\', text).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(skip) = memchr::memchr(b'\\', &text[at..]) {
        bytes.extend(&text[at..at + skip]);
        at += skip;
        let (byte, len) = escape_at(&text[at..]).ok_or(at)?;
        bytes.push(byte);
        at += len;
    }
    bytes.extend(&text[at..]);
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delimiters() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("abc", b"abc"),
            ("\\n\\t\\r\\0\\\\", b"\n\t\r\0\\"),
            ("\\x00\\xfF|", b"\0\xff|"),
            ("é\\n", "é\n".as_bytes()),
        ] {
            assert_eq!(unescape(text).expect(text), bytes, "{text}");
        }
        for text in [
            "\\", "a\\", "\\q", "\\x", "\\x1", "\\xg0", "\\N", "\\é", "\\u0041",
        ] {
            assert_eq!(
                unescape(text).expect_err(text).kind(),
                Kind::Usage,
                "{text}"
            );
        }
    }

    #[test]
    fn a_refused_text_is_shown_as_given() {
        assert_eq!(shown("%k\\t'\"\u{1b}é\n"), "%k\\t'\"\\u{1b}é\\n");
        let reported = unescape("\\x41\\x4").expect_err("cut short").to_string();
        assert_eq!(reported, "'\\x41\\x4' has an unknown escape \\x");
    }

    #[test]
    fn tsv() {
        for (bytes, text) in [
            (&b""[..], "-"),
            (b"-", "\\x2d"),
            (b"--", "--"),
            (b"a-b", "a-b"),
            (b"a\tb\nc\\d", "a\\tb\\nc\\\\d"),
            (b"\r\0\x1b\x7f", "\\x0d\\x00\\x1b\\x7f"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("é\u{9b}\u{202e}".as_bytes(), "é\\xc2\\x9b\\xe2\\x80\\xae"),
        ] {
            let mut out = Vec::new();
            tsv_field(bytes, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), text);
        }
    }

    #[test]
    fn fields_escape_what_would_end_them() {
        let mut out = Vec::new();
        encode_field("a,b\n→\\N".as_bytes(), b",\x86", &mut out);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "a\\x2cb\\n\\xe2\\x86\\x92\\\\N"
        );
    }

    proptest! {
        #[test]
        fn fields_are_read_as_written(bytes: Vec<u8>, stops in proptest::collection::vec(any::<u8>(), 0..3)) {
            let mut out = Vec::new();
            encode_field(&bytes, &stops, &mut out);
            prop_assert!(std::str::from_utf8(&out).is_ok());
            prop_assert_eq!(decode_field(&out).expect("escaped").into_owned(), bytes);
        }

        #[test]
        fn any_text_is_decoded_or_refused(text: Vec<u8>, grammar in "[\\\\xnN0a]{0,12}") {
            let _ = decode_field(&text);
            if let Ok(bytes) = unescape(&grammar) {
                prop_assert!(bytes.len() <= grammar.len());
            }
        }
    }
}
