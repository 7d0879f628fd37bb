//! Sizes in bytes, with the suffixes of GNU tools.

use super::escape::shown;
use super::usage;
use crate::error::Result;

/// Suffixes (in lower case) and their bytes: `k`, `ki` and `kib` are 1024, `kb` is 1000.
const SUFFIXES: [(&str, u64); 18] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// Parses `16384`, `16k`, `1MiB`, `1MB`: a whole number of bytes that fits an i64.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) for anything else.
pub fn parse_size(text: &str) -> Result<u64> {
    let refuse = |why: &str| {
        usage(
            format!("'{}' is not a size: {why}", shown(text)),
            "use bytes, or a suffix: k or KiB (1024), kB (1000), m or MiB, MB, g or GiB, GB",
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    if digits == 0 {
        return Err(refuse("expected a whole number"));
    }
    let lower = suffix.to_ascii_lowercase();
    let Some((_, unit)) = SUFFIXES.into_iter().find(|(name, _)| *name == lower) else {
        let is_fraction = suffix.starts_with(['.', ',']);
        return Err(refuse(if is_fraction {
            "its number is whole: 512KiB instead of 0.5MiB"
        } else {
            "its suffix is not known"
        }));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| refuse("it is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("16384", 16384),
            ("16k", 16384),
            ("16K", 16384),
            ("16KiB", 16384),
            ("16kB", 16000),
            ("1m", 1 << 20),
            ("1MiB", 1 << 20),
            ("1MB", 1_000_000),
            ("2g", 2 << 30),
            ("10B", 10),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(text).expect(text), bytes, "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "1.5m",
            "1 m",
            "1x",
            "1kk",
            "99999999999999999999",
            "8388608t",
        ] {
            assert_eq!(
                parse_size(text).expect_err(text).kind(),
                Kind::Usage,
                "{text}"
            );
        }
    }
}
