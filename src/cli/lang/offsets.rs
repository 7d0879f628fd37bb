//! The grammar for offsets: points, ranges, and a range for each partition.

use super::duration::parse_duration;
use super::escape::shown;
use super::partitions::{parse_partition, plain_number};
use super::time::{Now, parse_time};
use super::usage;
use crate::client::unresolved_offset::{ReadRanges, UnresolvedOffset, UnresolvedRange};
use crate::error::Result;

const POINTS: &str = "a point is start, end, stored, N, +N (from start), -N (before end) or @TIME";
const RANGES: &str = "a range is A:B, A: or :B, of points: start, end, stored, N, +N, -N or @TIME; \
                      0=10:20,3=-5: gives partitions their own; @A:@+5m ends so long after A";

/// The named points.
pub const NAMED_POINTS: [(&str, UnresolvedOffset); 3] = [
    ("start", UnresolvedOffset::Start),
    ("end", UnresolvedOffset::End),
    ("stored", UnresolvedOffset::Stored),
];

/// Parses `start` `end` `stored` `N` `+N` `-N` `@TIME`.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), with everything that is allowed.
pub fn parse_point(text: &str, now: &Now) -> Result<UnresolvedOffset> {
    let refuse = || {
        let cure = match text {
            "earliest" | "beginning" | "oldest" | "smallest" | "first" => "that is start here",
            "latest" | "newest" | "largest" | "last" => "that is end here",
            "committed" | "resume" => "that is stored here",
            "now" => "the end of the log is end; the time of this moment is @now",
            _ if text.starts_with("@+") => {
                "@+5m counts from the time at which a range begins: @10:00:@+5m"
            }
            _ => "",
        };
        let reported = usage(format!("'{}' is not a point", shown(text)), POINTS);
        if !cure.is_empty() {
            return reported.cure(cure);
        }
        let meant = as_time(text, now).or_else(|| as_range(text));
        match meant.or_else(|| in_our_units(text)) {
            Some(meant) => reported.cure(meant),
            None => reported,
        }
    };
    let number = |digits: &str| plain_number(digits).ok_or_else(refuse);
    if let Some((_, point)) = NAMED_POINTS.iter().find(|(name, _)| *name == text) {
        return Ok(*point);
    }
    Ok(match text.split_at_checked(1) {
        Some(("@", time)) if !time.starts_with('+') => {
            UnresolvedOffset::Time(parse_time(time, now)?)
        }
        Some(("+", digits)) => UnresolvedOffset::Plus(number(digits)?),
        Some(("-", digits)) => UnresolvedOffset::Minus(number(digits)?),
        _ => UnresolvedOffset::At(number(text)?),
    })
}

/// Parses the value of an option that takes one point, and says so of a range.
///
/// # Errors
/// [`crate::error::Kind::Usage`].
pub fn parse_one_point(option: &str, text: &str, now: &Now) -> Result<UnresolvedOffset> {
    parse_point(text, now).map_err(|e| {
        // A time of the day without its @ has a colon, too.
        let is_range = parse_time(text, now).is_err() && parse_range(text, now).is_ok();
        if is_range {
            usage(
                format!(
                    "'{}' is a range, and {option} takes one point",
                    text.escape_debug()
                ),
                "use start, end, N, +N, -N or @TIME",
            )
        } else {
            e
        }
    })
}

/// Parses `A:B` `:B` `A:` or a point alone, which means `A:`. If A is a time, B may be `@+5m`: that
/// long after A.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), with everything that is allowed.
pub fn parse_range(text: &str, now: &Now) -> Result<UnresolvedRange> {
    let (from, to) = match colon(text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    if from.is_empty() && to.is_empty() {
        return Err(usage(format!("'{}' is not a range", shown(text)), RANGES));
    }
    // Offsets are not written like this, but times are: 09:30, 10:05.
    let is_padded = |part: &str| part.len() == 2 && part.starts_with('0');
    if text.len() == 5
        && (is_padded(from) || is_padded(to))
        && let Some(time) = as_time(text, now)
    {
        return Err(usage(
            format!("'{}' looks like a time, not like offsets", shown(text)),
            format!("{time}; offsets have no leading 0"),
        ));
    }
    let point = |part: &str| match part {
        "" => Ok(None),
        _ => parse_point(part, now).map(Some).map_err(|e| {
            if part == text {
                return e;
            }
            let e = e.at(format!("in '{}'", shown(text)));
            // The text was divided at a colon of its own.
            match as_time(text, now) {
                Some(time) => e.cure(time),
                None => e,
            }
        }),
    };
    let from_point = point(from)?;
    let to = match to.strip_prefix("@+") {
        Some(after) => Some(relative_end(text, from, from_point, after)?),
        None => point(to)?,
    };
    let range = UnresolvedRange {
        from: from_point,
        to,
    };
    let backwards = match (range.from, range.to) {
        (Some(UnresolvedOffset::At(from)), Some(UnresolvedOffset::At(to))) => from > to,
        (Some(UnresolvedOffset::Time(from)), Some(UnresolvedOffset::Time(to))) => from > to,
        _ => false,
    };
    if backwards {
        let cure = as_time(text, now);
        return Err(usage(
            format!("'{}' ends before it begins", shown(text)),
            cure.as_deref()
                .unwrap_or("say A:B with the earlier one first; B is not included"),
        ));
    }
    Ok(range)
}

/// The right form of a time without its `@`; `None` if it does not look like a time.
fn as_time(text: &str, now: &Now) -> Option<String> {
    if parse_time(text, now).is_ok() {
        return Some(format!("a time begins with @: @{text}"));
    }
    let ago = parse_duration(text).is_ok();
    ago.then(|| format!("a time begins with @, and one so long ago with @-: @-{text}"))
}

/// The right form of a range with a dash or dots between its offsets.
fn as_range(text: &str) -> Option<String> {
    let (from, to) = text.split_once("..").or_else(|| text.split_once('-'))?;
    plain_number(from).and(plain_number(to))?;
    Some(format!("a range is {from}:{to}"))
}

/// The right form of a time ago with another name for the unit, such as `10min` or `-2hours`.
fn in_our_units(text: &str) -> Option<String> {
    let ago = text.strip_prefix(['-', '@']).unwrap_or(text);
    let ago = ago.strip_prefix('-').unwrap_or(ago);
    let digits = ago.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = ago.split_at(digits);
    plain_number(number)?;
    let unit = match unit.trim_start() {
        "min" | "mins" | "minute" | "minutes" => "m",
        "sec" | "secs" | "second" | "seconds" => "s",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" => "ms",
        _ => return None,
    };
    Some(format!(
        "the units are ms, s, m, h and d, and a time begins with @: @-{number}{unit}"
    ))
}

/// The end that is `after` the time at which the range begins.
fn relative_end(
    text: &str,
    from: &str,
    begins: Option<UnresolvedOffset>,
    after: &str,
) -> Result<UnresolvedOffset> {
    let Some(UnresolvedOffset::Time(begins)) = begins else {
        let what = match from {
            "" => "it begins at none".to_owned(),
            from => format!("'{}' is none", shown(from)),
        };
        return Err(usage(
            format!(
                "in '{}': '@+{}' counts from the time at which the range begins, and {what}",
                shown(text),
                shown(after)
            ),
            "begin it with a time, such as @10:00:@+5m; +N counts offsets: 17:+100",
        ));
    };
    let after = parse_duration(after).map_err(|e| e.at(format!("in '{}'", shown(text))))?;
    let end = begins.checked_add(after.as_millis() as i64);
    end.map(UnresolvedOffset::Time).ok_or_else(|| {
        let what = format!("'{}' ends later than any time", shown(text));
        usage(what, "name an earlier end")
    })
}

/// Parses a range for all partitions, or ranges for some of them: `0=10:20,3=-5:`.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), with everything that is allowed; also for a
/// partition that is named twice.
pub fn parse_selection(text: &str, now: &Now) -> Result<ReadRanges> {
    if !text.contains(['=', ',']) {
        return parse_range(text, now).map(ReadRanges::All);
    }
    let mut each = Vec::new();
    for part in text.split(',') {
        let Some((partition, range)) = part.split_once('=') else {
            return Err(usage(
                format!("'{}' names no partition in '{}'", shown(part), shown(text)),
                "give each range its partition: 0=10:20,3=-5:",
            ));
        };
        let partition = parse_partition(partition)?;
        each.push((partition, parse_range(range, now)?));
    }
    each.sort_by_key(|(partition, _)| *partition);
    if let Some(pair) = each.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(usage(
            format!(
                "partition {} is named twice in '{}'",
                pair[0].0,
                shown(text)
            ),
            "give each partition one range: 0=10:20,3=-5:",
        ));
    }
    Ok(ReadRanges::Each(each))
}

/// The position of the colon between A and B. A colon before a digit belongs to a time: after a
/// time, B is never a plain N, so this colon cannot be the one between A and B.
fn colon(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let in_time = bytes.first() == Some(&b'@');
    (0..bytes.len()).find(|&at| {
        bytes[at] == b':' && !(in_time && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use UnresolvedOffset::{At, End, Minus, Plus, Start, Stored, Time};
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    /// 2026-01-01T10:00:00Z.
    const T: i64 = 1_767_261_600_000;

    fn now() -> Now {
        Now {
            now_ms: T,
            zone: TimeZone::UTC,
        }
    }

    fn range(
        from: impl Into<Option<UnresolvedOffset>>,
        to: impl Into<Option<UnresolvedOffset>>,
    ) -> UnresolvedRange {
        UnresolvedRange {
            from: from.into(),
            to: to.into(),
        }
    }

    #[test]
    fn ranges() {
        for (text, want) in [
            ("start", range(Start, None)),
            ("end", range(End, None)),
            ("stored", range(Stored, None)),
            ("stored:end", range(Stored, End)),
            ("17", range(At(17), None)),
            ("17:", range(At(17), None)),
            (":17", range(None, At(17))),
            ("17:+1", range(At(17), Plus(1))),
            ("+5:-5", range(Plus(5), Minus(5))),
            ("-10", range(Minus(10), None)),
            ("-10:", range(Minus(10), None)),
            ("0:0", range(At(0), At(0))),
            ("9223372036854775807", range(At(i64::MAX), None)),
            (
                "@2026-01-01T10:00Z:@2026-01-01T11:30Z",
                range(Time(T), Time(T + 5_400_000)),
            ),
            ("@2026-01-01T10:00:00Z:", range(Time(T), None)),
            (
                "@2026-01-01T11:00:00+02:00:@-1m",
                range(Time(T - 3_600_000), Time(T - 60_000)),
            ),
            (
                "@yesterday:@today",
                range(Time(T - 34 * 3_600_000), Time(T - 10 * 3_600_000)),
            ),
            ("@10:00:@11:30", range(Time(T), Time(T + 5_400_000))),
            ("@10:00", range(Time(T), None)),
            ("@10:00:", range(Time(T), None)),
            ("@10:00:30", range(Time(T + 30_000), None)),
            ("@10:00:00:@11:30:00", range(Time(T), Time(T + 5_400_000))),
            ("@10:00:00:@+5m", range(Time(T), Time(T + 300_000))),
            ("@2026-01-01T11:00:00+0100:@now", range(Time(T), Time(T))),
            ("@2026-01-01T11:00+01:+5", range(Time(T), Plus(5))),
            (":@10:00", range(None, Time(T))),
            ("5:@10:00", range(At(5), Time(T))),
            ("@10:00:+5", range(Time(T), Plus(5))),
            ("@10:00:-5", range(Time(T), Minus(5))),
            ("@10:00:@+5m", range(Time(T), Time(T + 300_000))),
            (
                "@2026-01-01T10:00:00Z:@+1h30m",
                range(Time(T), Time(T + 5_400_000)),
            ),
            ("@-10m:@+10m", range(Time(T - 600_000), Time(T))),
            (
                "@today:@+0s",
                range(Time(T - 36_000_000), Time(T - 36_000_000)),
            ),
            ("@1767261600:end", range(Time(T), End)),
            ("@1767261600000", range(Time(T), None)),
            ("@-10m:end", range(Time(T - 600_000), End)),
        ] {
            assert_eq!(parse_range(text, &now()).expect(text), want, "{text}");
            assert_eq!(
                parse_selection(text, &now()).expect(text),
                ReadRanges::All(want),
                "{text}"
            );
        }
        for text in [
            "",
            ":",
            "::",
            "1:2:3",
            "x",
            "begin",
            "Start",
            "--1",
            "+",
            "-",
            "@",
            "1 ",
            "@10:00:3",
            "@1767261600:17",
            "@2026-01-01T10:00Z:17",
            "@10:",
            "1:@10:00:",
            "9223372036854775808",
            "1.5",
            "@tomorrow",
            "é",
            "1:é",
            "@10:00:x",
            "-+1",
        ] {
            let e = parse_range(text, &now()).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.cure_text().is_some(), "{text}");
        }
    }

    #[test]
    fn a_time_without_its_sign_is_told_of_it() {
        for (text, cure) in [
            ("2026-01-01", "@2026-01-01"),
            ("2026-01-01T10:00:00Z", "@2026-01-01T10:00:00Z"),
            ("2026-01-01 10:00", "@2026-01-01 10:00"),
            ("2026-01-01T11:00:00+0100", "@2026-01-01T11:00:00+0100"),
            ("10:00", "@10:00; offsets have no leading 0"),
            ("10:00:00", "@10:00:00"),
            ("09:30", "@09:30; offsets have no leading 0"),
            ("10:05", "@10:05; offsets have no leading 0"),
            ("today", "@today"),
            ("yesterday:today", "@yesterday"),
            ("-1h", "@-1h"),
            ("10m", "@-10m"),
            ("now", "@now"),
            ("10-15", "a range is 10:15"),
            ("10..15", "a range is 10:15"),
            ("0=3-9", "a range is 3:9"),
            ("-10min", "begins with @: @-10m"),
            ("10min:", "begins with @: @-10m"),
            ("2hours", "begins with @: @-2h"),
        ] {
            let e = parse_selection(text, &now()).expect_err(text);
            let reported = e.cure_text().expect("a cure");
            assert!(reported.ends_with(cure), "{text}: {reported}");
        }
        for text in ["9:30", "10:35", "00:99"] {
            parse_range(text, &now()).expect(text);
        }
        for text in ["x", "1.5", "begin"] {
            let e = parse_range(text, &now()).expect_err(text);
            assert!(!e.cure_text().expect("a cure").contains("a time begins"));
        }
    }

    #[test]
    fn a_relative_end_needs_a_time_to_count_from() {
        for (text, says) in [
            (":@+5m", "it begins at none"),
            ("5:@+5m", "'5' is none"),
            ("start:@+5m", "'start' is none"),
            ("-10:@+1s", "'-10' is none"),
            ("@+5m", "is not a point"),
            ("@+5m:@+5m", "is not a point"),
            ("@+5m:", "is not a point"),
            ("@10:00:@+5", "it has no unit"),
            ("@10:00:@+", "it is empty"),
            ("@10:00:@+-5m", "a whole number"),
            ("@10:00:@+106751991167d", "ends later"),
        ] {
            let e = parse_range(text, &now()).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.to_string().contains(says), "{text}: {e}");
            assert!(e.cure_text().is_some(), "{text}");
        }
        let alone = parse_point("@+5m", &now()).expect_err("alone");
        assert!(
            alone
                .cure_text()
                .is_some_and(|cure| cure.contains("@10:00:@+5m"))
        );
        assert_eq!(
            parse_selection("1=@10:00:@+1m", &now()).expect("selection"),
            ReadRanges::Each(vec![(1, range(Time(T), Time(T + 60_000)))])
        );
    }

    #[test]
    fn each_partition() {
        assert_eq!(
            parse_selection("3=-5:,0=10:20", &now()).expect("selection"),
            ReadRanges::Each(vec![(0, range(At(10), At(20))), (3, range(Minus(5), None))])
        );
        assert_eq!(
            parse_selection("7=@10:00:@11:30", &now()).expect("selection"),
            ReadRanges::Each(vec![(7, range(Time(T), Time(T + 5_400_000)))])
        );
        for text in [
            "0=", "=1", "0=1,", "0=1,2", "1,2", "0=1,0=2", "-1=0", "0=1=2", "x=1", "0-2=1",
        ] {
            let e = parse_selection(text, &now()).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_parsed_or_refused(text in "\\PC*", grammar in "[-+@:=,0-9TZsted ]{0,24}") {
            for text in [&text, &grammar] {
                if let Err(e) = parse_selection(text, &now()) {
                    prop_assert_eq!(e.kind(), Kind::Usage);
                }
            }
        }

        #[test]
        fn plain_ranges_are_read_as_written(a in 0..=i64::MAX, b in 0..=i64::MAX) {
            let read = parse_range(&format!("{a}:+{b}"), &now()).expect("range");
            prop_assert_eq!(read, range(At(a), Plus(b)));
        }
    }
}
