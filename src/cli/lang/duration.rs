//! Durations: a number and a unit, largest unit first (`1h30m`).

use std::time::Duration;

use super::escape::shown;
use super::usage;
use crate::error::Result;

/// Units and their milliseconds, largest first. `ms` comes before `m`, so that it is matched first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("ms", 1),
    ("m", 60_000),
    ("s", 1000),
];

const CURE: &str = "use a number with a unit, such as 250ms, 1s, 5m, 2h, 7d or 1h30m";

/// Parses `250ms`, `1s`, `5m`, `2h`, `7d`, `1h30m`: each unit at most once, the largest first.
/// The result is whole milliseconds that fit an i64.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) for anything else, including a number without a unit.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let refuse = |why: &str| usage(format!("'{}' is not a duration: {why}", shown(text)), CURE);
    if text.is_empty() {
        return Err(refuse("it is empty"));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if digits == 0 {
            return Err(refuse("expected a whole number"));
        }
        // All letters belong to the unit: in 10min it is not m.
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let Some((unit, unit_ms)) = UNITS
            .into_iter()
            .find(|(unit, _)| tail.get(..letters) == Some(*unit))
        else {
            return Err(refuse(if tail.is_empty() {
                "it has no unit"
            } else if tail.starts_with(['.', ',']) {
                "its numbers are whole: 1500ms instead of 1.5s"
            } else {
                "the units are d, h, m, s and ms"
            }));
        };
        if unit_ms >= last_unit {
            return Err(refuse("each unit comes once, the largest first"));
        }
        last_unit = unit_ms;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(unit_ms))
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| i64::try_from(*ms).is_ok())
            .ok_or_else(|| refuse("it is too long"))?;
        rest = &tail[unit.len()..];
    }
    Ok(Duration::from_millis(total))
}

/// A duration as [`parse_duration`] reads it, to the millisecond.
pub fn show_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0ms".to_owned();
    }
    let mut shown = String::new();
    for (unit, unit_ms) in [UNITS[0], UNITS[1], UNITS[3], UNITS[4], UNITS[2]] {
        let count = ms / unit_ms;
        ms %= unit_ms;
        if count > 0 {
            shown.push_str(&format!("{count}{unit}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for (ms, text) in [
            (0, "0ms"),
            (250, "250ms"),
            (30_000, "30s"),
            (90_000, "1m30s"),
            (93_784_005, "1d2h3m4s5ms"),
            (i64::MAX as u64, "106751991167d7h12m55s807ms"),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(show_duration(duration), text);
            assert_eq!(parse_duration(text).expect(text), duration);
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", 250),
            ("0ms", 0),
            ("1s", 1000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("90m", 5_400_000),
            ("9223372036854775807ms", i64::MAX as u64),
        ] {
            assert_eq!(
                parse_duration(text).expect(text),
                Duration::from_millis(ms),
                "{text}"
            );
        }
        for text in [
            "",
            "1",
            "0",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "1 s",
            "1sec",
            "1w",
            "30m1h",
            "1s1s",
            "1ms1s",
            "1H",
            "9223372036854775808ms",
            "99999999999999999999d",
            "1s ",
            "١s",
        ] {
            let e = parse_duration(text).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.cure_text().is_some());
        }
    }
}
