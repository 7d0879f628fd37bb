//! Whole numbers of things.

use std::str::FromStr;

/// Parses a number of records or partitions: digits alone.
///
/// # Errors
/// What is wrong with the text, to follow the option's name.
pub fn parse_count<T: FromStr>(text: &str) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("expected a whole number from 0, in digits (1000, not 1k)".to_owned());
    }
    text.parse().map_err(|_| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_alone() {
        assert_eq!(parse_count("0"), Ok(0_u64));
        assert_eq!(parse_count("0012"), Ok(12_i32));
        for text in ["", "-1", "+1", "1.5", "1k", " 1", "x"] {
            let e = parse_count::<u64>(text).expect_err(text);
            assert!(e.contains("whole number"), "{text}: {e}");
        }
        let e = parse_count::<i32>("2147483648").expect_err("refused");
        assert!(e.contains("too large"), "{e}");
    }
}
