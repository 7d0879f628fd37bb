//! Numbers in templates.

use crate::error::{Error, Kind, Result};

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberFormat {
    /// Decimal digits, with a minus sign if negative.
    Ascii,
    /// Hexadecimal digits of the 64-bit two's complement, without leading zeros.
    Hex,
    /// Two's complement of 1, 2, 4 or 8 bytes.
    Fixed { width: usize, big: bool },
}

/// The names, for messages.
pub(super) const NUMBER_FORMATS: &str =
    "ascii, hex, big8, big16, big32, big64, little8, little16, little32, little64";

impl NumberFormat {
    /// The format with that name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let fixed = |bits: &str, big| {
            let width = match bits {
                "8" => 1,
                "16" => 2,
                "32" => 4,
                "64" => 8,
                _ => return None,
            };
            Some(NumberFormat::Fixed { width, big })
        };
        match name {
            "ascii" => Some(NumberFormat::Ascii),
            "hex" => Some(NumberFormat::Hex),
            _ => match name.strip_prefix("big") {
                Some(bits) => fixed(bits, true),
                None => fixed(name.strip_prefix("little")?, false),
            },
        }
    }

    /// The number of bytes, if it is fixed.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            NumberFormat::Fixed { width, .. } => Some(width),
            _ => None,
        }
    }

    /// Appends `number`.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] if it does not fit.
    pub(super) fn write(self, number: i64, out: &mut Vec<u8>) -> Result<()> {
        match self {
            NumberFormat::Ascii => push_decimal(number, out),
            NumberFormat::Hex => out.extend(format!("{number:x}").into_bytes()),
            NumberFormat::Fixed { width, big } => {
                let spare = 64 - 8 * width as u32;
                if number << spare >> spare != number {
                    return Err(Error::new(
                        Kind::InvalidRecord,
                        format!("{number} does not fit into {} bits", 8 * width),
                    )
                    .cure("use a wider number in the template, such as {big64}"));
                }
                if big {
                    out.extend(&number.to_be_bytes()[8 - width..]);
                } else {
                    out.extend(&number.to_le_bytes()[..width]);
                }
            }
        }
        Ok(())
    }

    /// The number that makes up all of `text`; `None` if it is no number of this format.
    pub(super) fn read(self, text: &[u8]) -> Option<i64> {
        match self {
            NumberFormat::Ascii => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                let plain = digits.first().is_some_and(u8::is_ascii_digit);
                std::str::from_utf8(text)
                    .ok()
                    .filter(|_| plain)?
                    .parse()
                    .ok()
            }
            NumberFormat::Hex => {
                let plain = text.first().is_some_and(u8::is_ascii_hexdigit);
                let digits = std::str::from_utf8(text).ok().filter(|_| plain)?;
                u64::from_str_radix(digits, 16).ok().map(|bits| bits as i64)
            }
            NumberFormat::Fixed { width, big } => {
                if text.len() != width {
                    return None;
                }
                let spare = 64 - 8 * width as u32;
                let mut bytes = [0; 8];
                let bits = if big {
                    bytes[8 - width..].copy_from_slice(text);
                    i64::from_be_bytes(bytes)
                } else {
                    bytes[..width].copy_from_slice(text);
                    i64::from_le_bytes(bytes)
                };
                Some(bits << spare >> spare)
            }
        }
    }
}

/// Appends a number in decimal.
pub(super) fn push_decimal(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(name: &str, number: i64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        NumberFormat::from_name(name)
            .expect(name)
            .write(number, &mut out)
            .map(|()| out)
    }

    #[test]
    fn numbers() {
        for (name, number, bytes) in [
            ("ascii", 0, &b"0"[..]),
            ("ascii", i64::MIN, b"-9223372036854775808"),
            ("hex", 255, b"ff"),
            ("hex", -1, b"ffffffffffffffff"),
            ("big8", -1, b"\xff"),
            ("big16", 258, b"\x01\x02"),
            ("big32", -2, b"\xff\xff\xff\xfe"),
            ("big64", 1, b"\0\0\0\0\0\0\0\x01"),
            ("little8", 127, b"\x7f"),
            ("little16", 258, b"\x02\x01"),
            ("little32", -2, b"\xfe\xff\xff\xff"),
            ("little64", 1, b"\x01\0\0\0\0\0\0\0"),
        ] {
            assert_eq!(written(name, number).expect(name), bytes, "{name} {number}");
            let read = NumberFormat::from_name(name).expect(name).read(bytes);
            assert_eq!(read, Some(number), "{name} {number}");
        }
        for (name, number) in [("big8", 128), ("little16", -32769), ("big32", 1 << 31)] {
            assert_eq!(
                written(name, number).expect_err(name).kind(),
                Kind::InvalidRecord
            );
        }
        for name in ["", "big", "big7", "little", "Big8", "dec"] {
            assert_eq!(NumberFormat::from_name(name), None, "{name}");
        }
        for (name, text) in [
            ("ascii", &b""[..]),
            ("ascii", b"-"),
            ("ascii", b"+1"),
            ("ascii", b"1 "),
            ("ascii", b"--1"),
            ("ascii", b"9223372036854775808"),
            ("hex", b""),
            ("hex", b"+1"),
            ("hex", b"-1"),
            ("hex", b"10000000000000000"),
            ("big16", b"1"),
            ("big16", b"123"),
        ] {
            assert_eq!(
                NumberFormat::from_name(name).expect(name).read(text),
                None,
                "{name} {text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_written(number: i64, narrow: i8) {
            for name in NUMBER_FORMATS.split(", ") {
                let format = NumberFormat::from_name(name).expect(name);
                for number in [number, i64::from(narrow)] {
                    if let Ok(bytes) = written(name, number) {
                        prop_assert_eq!(format.read(&bytes), Some(number));
                        prop_assert!(format.width().is_none_or(|width| width == bytes.len()));
                    }
                }
            }
        }
    }
}
