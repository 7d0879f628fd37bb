//! How bytes are written in templates.

use std::borrow::Cow;

use crate::cli::lang::{escape, json};
use crate::error::{Error, Kind, Result};

/// How keys, values and names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFormat {
    /// As they are.
    Plain,
    /// Two hexadecimal digits per byte.
    Hex,
    /// Standard base64, padded.
    Base64,
    /// A JSON string, `{"base64":...}` or `null`.
    Json,
    /// With backslash escapes; null is `\N`.
    Escape,
}

/// The names, for messages.
pub(super) const TEXT_FORMATS: &str = "hex, base64, json, escape";

impl TextFormat {
    /// The format with that name. [`TextFormat::Plain`] has none.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "hex" => Some(TextFormat::Hex),
            "base64" => Some(TextFormat::Base64),
            "json" => Some(TextFormat::Json),
            "escape" => Some(TextFormat::Escape),
            _ => None,
        }
    }

    /// Appends `bytes`. In `{escape}`, none of `stops` appears unescaped.
    #[inline]
    pub(super) fn write(self, bytes: &[u8], stops: &[u8], out: &mut Vec<u8>) {
        match self {
            TextFormat::Plain => out.extend_from_slice(bytes),
            TextFormat::Hex => bytes.iter().for_each(|byte| escape::push_hex(*byte, out)),
            TextFormat::Base64 => json::push_base64(bytes, out),
            TextFormat::Json => json::push_bytes(Some(bytes), out),
            TextFormat::Escape => escape::encode_field(bytes, stops, out),
        }
    }

    /// Appends the text for null.
    pub(super) fn write_null(self, marker: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            TextFormat::Json => b"null",
            TextFormat::Escape => b"\\N",
            _ => marker,
        });
    }

    /// The bytes that make up all of `text`; null is `None`. The null marker is compared with the
    /// text if null is written as the marker, else with the bytes.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] if `text` is not in this format.
    pub(super) fn read<'a>(
        self,
        text: &'a [u8],
        marker: Option<&[u8]>,
    ) -> Result<Option<Cow<'a, [u8]>>> {
        let bytes = match self {
            TextFormat::Plain => Cow::Borrowed(text),
            TextFormat::Hex | TextFormat::Base64 if marker == Some(text) => return Ok(None),
            TextFormat::Hex => return Ok(Some(Cow::Owned(read_hex(text)?))),
            TextFormat::Base64 => {
                let bytes = json::read_base64(text).ok_or_else(|| {
                    Error::new(Kind::InvalidRecord, "not base64 with padding")
                        .cure("use A-Z a-z 0-9 + / and pad with = to a multiple of four")
                })?;
                return Ok(Some(Cow::Owned(bytes)));
            }
            TextFormat::Json => match json::read_bytes(text)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
            TextFormat::Escape if text == b"\\N" => return Ok(None),
            TextFormat::Escape => escape::decode_field(text)?,
        };
        Ok(Some(bytes).filter(|bytes| marker != Some(bytes.as_ref())))
    }
}

fn read_hex(text: &[u8]) -> Result<Vec<u8>> {
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(escape::hex_digit(*high)? << 4 | escape::hex_digit(*low)?),
        _ => None,
    };
    text.chunks(2)
        .map(pair)
        .collect::<Option<_>>()
        .ok_or_else(|| {
            Error::new(Kind::InvalidRecord, "not pairs of hexadecimal digits")
                .cure("use two digits of 0-9 a-f for each byte")
        })
}
