//! Bytes as JSON: a string where they are UTF-8, else `{"base64":"..."}`; null is null.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::json_words::{Due, EXPECTED, refused};
use crate::error::Result;

/// Appends bytes or null.
pub(super) fn push_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend(b"null"),
        Some((_, Ok(text))) => push_string(text, out),
        Some((bytes, Err(_))) => {
            out.extend(b"{\"base64\":\"");
            push_base64(bytes, out);
            out.extend(b"\"}");
        }
    }
}

/// Appends a JSON string.
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            b'\r' => out.extend(b"\\r"),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            _ => {
                out.extend(b"\\u00");
                super::escape::push_hex(*byte, out);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// Appends base64 in its standard alphabet, padded.
pub(super) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    // Three bytes at a time, so that only the last piece is padded and nothing else is allocated.
    for piece in bytes.chunks(3 * 256) {
        let mut text = [0; 4 * 256];
        if let Ok(len) = STANDARD.encode_slice(piece, &mut text) {
            out.extend_from_slice(&text[..len]);
        }
    }
}

/// The bytes of a padded base64 text; `None` if it is not one.
pub(super) fn read_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Bytes written by [`push_bytes`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonBytes<'a>(pub(super) Option<Cow<'a, [u8]>>);

impl<'de> Deserialize<'de> for JsonBytes<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = JsonBytes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(JsonBytes(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
        Ok(JsonBytes(Some(Cow::Borrowed(text.as_bytes()))))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
        Ok(JsonBytes(Some(Cow::Owned(text.as_bytes().to_vec()))))
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let expected = || {
            A::Error::custom(format_args!(
                "an object here must be {{\"base64\":\"...\"}}"
            ))
        };
        if map
            .next_key::<Text<'de>>()?
            .is_none_or(|name| name.0 != "base64")
        {
            return Err(expected());
        }
        let text: Text<'de> = map.next_value()?;
        let bytes = read_base64(text.0.as_bytes()).ok_or_else(|| {
            A::Error::custom("what follows \"base64\" is not base64 with padding")
        })?;
        match map.next_key::<Text<'de>>()? {
            Some(_) => Err(expected()),
            None => Ok(JsonBytes(Some(Cow::Owned(bytes)))),
        }
    }
}

/// A string, borrowed where it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(TextVisitor)
    }
}

/// Reads the whole of `text` as bytes or null.
///
/// # Errors
/// [`Kind::InvalidRecord`](crate::error::Kind::InvalidRecord), with the problem and its column.
pub(super) fn read_bytes(text: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
    serde_json::from_slice::<JsonBytes<'_>>(text)
        .map(|bytes| bytes.0)
        .map_err(|e| refused(text, &e, "", Due::Bytes))
}

/// The end of the JSON value at the start of `bytes`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonEnd {
    /// After so many bytes. The content is checked when it is read.
    At(usize),
    /// Not within these bytes.
    More,
    /// Never: it is neither a string nor null nor an object.
    Never,
}

/// Finds the end of a string, a null, or a flat object.
pub(super) fn json_end(bytes: &[u8]) -> JsonEnd {
    match bytes.first() {
        None => JsonEnd::More,
        Some(b'"') => string_end(bytes).map_or(JsonEnd::More, JsonEnd::At),
        Some(b'n') if bytes.starts_with(b"null") => JsonEnd::At(4),
        Some(b'n') if b"null".starts_with(bytes) => JsonEnd::More,
        Some(b'{') => {
            let mut at = 1;
            while let Some(skip) = bytes
                .get(at..)
                .and_then(|rest| memchr::memchr2(b'"', b'}', rest))
            {
                at += skip;
                if bytes[at] == b'}' {
                    return JsonEnd::At(at + 1);
                }
                match string_end(&bytes[at..]) {
                    Some(len) => at += len,
                    None => return JsonEnd::More,
                }
            }
            JsonEnd::More
        }
        Some(_) => JsonEnd::Never,
    }
}

/// The length of the string that begins with the first byte.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn bytes_as_json() {
        for (bytes, text) in [
            (None, "null"),
            (Some(&b""[..]), "\"\""),
            (
                Some(b"a\"b\\c\n\r\t\x08\x0c\x01\x7f"),
                "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\x7f\"",
            ),
            (Some("é😀".as_bytes()), "\"é😀\""),
            (Some(b"\xff"), "{\"base64\":\"/w==\"}"),
        ] {
            let mut out = Vec::new();
            push_bytes(bytes, &mut out);
            assert_eq!(std::str::from_utf8(&out).expect("text"), text);
            assert_eq!(read_bytes(&out).expect(text).as_deref(), bytes);
        }
        for bad in [
            "",
            "1",
            "true",
            "[]",
            "{}",
            "nul",
            "\"",
            "\"a\"b",
            "{\"base64\":1}",
            "{\"hex\":\"00\"}",
            "{\"base64\":\"/w\"}",
            "{\"base64\":\"/x==\"}",
            "{\"base64\":\"\",\"base64\":\"\"}",
            "\"\\ud800\"",
        ] {
            assert_eq!(
                read_bytes(bad.as_bytes()).expect_err(bad).kind(),
                Kind::InvalidRecord
            );
        }
        assert!(read_bytes(b"\"\xff\"").is_err());
    }

    #[test]
    fn values_end_by_themselves() {
        for (text, end) in [
            ("\"a\"b", JsonEnd::At(3)),
            ("\"\\\"\"b", JsonEnd::At(4)),
            ("nullx", JsonEnd::At(4)),
            ("{\"base64\":\"}\"}x", JsonEnd::At(14)),
            ("{}", JsonEnd::At(2)),
            ("", JsonEnd::More),
            ("nu", JsonEnd::More),
            ("\"a\\", JsonEnd::More),
            ("\"a\\\"", JsonEnd::More),
            ("{\"base64\":\"}", JsonEnd::More),
            ("1", JsonEnd::Never),
            ("nix", JsonEnd::Never),
            (" \"a\"", JsonEnd::Never),
        ] {
            assert_eq!(json_end(text.as_bytes()), end, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_written(bytes: Option<Vec<u8>>, text: Option<String>, tail: Vec<u8>) {
            for bytes in [bytes, text.map(String::into_bytes)] {
                let mut out = Vec::new();
                push_bytes(bytes.as_deref(), &mut out);
                let len = out.len();
                prop_assert_eq!(read_bytes(&out).expect("json").map(Cow::into_owned), bytes);
                out.extend(&tail);
                prop_assert_eq!(json_end(&out), JsonEnd::At(len));
            }
        }

        #[test]
        fn large_base64_is_standard(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut out = Vec::new();
            push_base64(&bytes, &mut out);
            prop_assert_eq!(STANDARD.encode(&bytes).into_bytes(), out);
        }

        #[test]
        fn any_json_end_is_safe(bytes: Vec<u8>) {
            if let JsonEnd::At(end) = json_end(&bytes) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
