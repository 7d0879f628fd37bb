//! Times on the command line.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset as ZoneOffset, TimeZone};

use super::duration::parse_duration;
use super::escape::shown;
use super::usage;
use crate::cli::lang::civil;
use crate::error::Result;
use crate::types::Timestamp;

/// The time and zone of a command, for times without a date or a zone.
#[derive(Debug, Clone)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub now_ms: Timestamp,
    /// The local time zone.
    pub zone: TimeZone,
}

const CURE: &str = "use 2026-01-31T10:00:00Z (local without a zone), a date, HH:MM or HH:MM:SS (with or without a zone), now, \
                    today, yesterday, -10m (ago), or an epoch of 10 digits (s) or 13 (ms)";

/// Parses RFC 3339 (seconds may be left out, and of an offset the colon or the minutes; without a
/// zone: local), a date (its first moment), `HH:MM` or `HH:MM:SS` of today (past or future; with a
/// zone as in RFC 3339: of the present day there), `now`, `today`, `yesterday`, `-10m` (ago), an
/// epoch of 10 digits (seconds) or 13 (milliseconds). Fractions below a millisecond are cut off. A
/// local time that a change of the clocks skips is read with the offset before the change; of a
/// time that occurs twice, the first one counts.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), with everything that is allowed.
pub fn parse_time(text: &str, now: &Now) -> Result<Timestamp> {
    let refuse = || usage(format!("'{}' is not a time", shown(text)), CURE);
    if let Some(ago) = text.strip_prefix('-') {
        let ago = parse_duration(ago)
            .map_err(|e| usage(format!("'{}' is not a time: {e}", shown(text)), CURE))?;
        return now
            .now_ms
            .checked_sub(ago.as_millis() as i64)
            .ok_or_else(refuse);
    }
    let found = match text {
        "now" => Some(now.now_ms),
        "today" => now.today().and_then(|date| now.first_moment(date)),
        "yesterday" => now
            .today()
            .and_then(|date| date.yesterday().ok())
            .and_then(|date| now.first_moment(date)),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => epoch(text),
        _ => now.clock_or_date(text),
    };
    found.ok_or_else(|| match missing_day(text) {
        Some(why) => usage(format!("'{}' is not a time: {why}", shown(text)), CURE),
        None => refuse(),
    })
}

/// Why a text that looks like a date is none: its month has fewer days.
fn missing_day(text: &str) -> Option<String> {
    let mut scan = Scan(text.as_bytes());
    let year = scan.digits(4)?;
    scan.byte(b"-")?;
    let month = scan.digits(2)?;
    scan.byte(b"-")?;
    let day = scan.digits(2)?;
    let first = Date::new(year as i16, month as i8, 1).ok()?;
    let is_missing = day > i32::from(first.days_in_month());
    is_missing.then(|| format!("{} has no day {day}", first.strftime("%B %Y")))
}

/// An epoch of 10 digits is in seconds, of 13 in milliseconds.
fn epoch(text: &str) -> Option<Timestamp> {
    match text.len() {
        10 => text.parse::<i64>().ok()?.checked_mul(1000),
        13 => text.parse().ok(),
        _ => None,
    }
}

impl Now {
    fn today(&self) -> Option<Date> {
        let offset = civil::offset_at(&self.zone, self.now_ms);
        Some(civil::at(self.now_ms, offset)?.date())
    }

    fn first_moment(&self, date: Date) -> Option<Timestamp> {
        self.local(date.to_datetime(Time::midnight()))
    }

    fn local(&self, local: DateTime) -> Option<Timestamp> {
        Some(civil::local(local, &self.zone))
    }

    fn clock_or_date(&self, text: &str) -> Option<Timestamp> {
        let mut scan = Scan(text.as_bytes());
        if text.as_bytes().get(2) == Some(&b':') {
            let time = scan.clock()?;
            if scan.0.is_empty() {
                return self.local(self.today()?.to_datetime(time));
            }
            // Of the present day in that zone.
            let offset = scan.zone().filter(|_| scan.0.is_empty())?;
            let today = civil::at(self.now_ms, offset)?.date();
            return Some(civil::moment(today.to_datetime(time), offset));
        }
        let year = scan.digits(4)?;
        scan.byte(b"-")?;
        let month = scan.digits(2)?;
        scan.byte(b"-")?;
        let date = Date::new(year as i16, month as i8, scan.digits(2)? as i8).ok()?;
        if scan.0.is_empty() {
            return self.first_moment(date);
        }
        scan.byte(b"Tt ")?;
        let local = date.to_datetime(scan.clock()?);
        if scan.0.is_empty() {
            return self.local(local);
        }
        let offset = scan.zone()?;
        scan.0.is_empty().then(|| civil::moment(local, offset))
    }
}

/// The text of a time that is not parsed yet.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digits(&mut self, count: usize) -> Option<i32> {
        let mut number = 0;
        for _ in 0..count {
            number = number * 10 + i32::from(self.byte(b"0123456789")? - b'0');
        }
        Some(number)
    }

    /// `HH:MM`, `HH:MM:SS`, or with a fraction.
    fn clock(&mut self) -> Option<Time> {
        let hour = self.digits(2)? as i8;
        self.byte(b":")?;
        let minute = self.digits(2)? as i8;
        let (mut second, mut nanos) = (0, 0);
        if self.byte(b":").is_some() {
            // RFC 3339 allows a leap second; it is read as the last second before it.
            second = self.digits(2).filter(|s| *s <= 60)?.min(59) as i8;
            if self.byte(b".").is_some() {
                nanos = self.fraction()?;
            }
        }
        Time::new(hour, minute, second, nanos).ok()
    }

    /// At least one digit; digits below nanoseconds are cut off.
    fn fraction(&mut self) -> Option<i32> {
        let mut nanos = self.digits(1)? * 100_000_000;
        let mut unit = 10_000_000;
        while let Some(digit) = self.byte(b"0123456789") {
            nanos += i32::from(digit - b'0') * unit;
            unit /= 10;
        }
        Some(nanos)
    }

    /// `Z`, `+01:00`, or the short forms of ISO 8601: `+0100`, `+01`.
    fn zone(&mut self) -> Option<ZoneOffset> {
        let sign = match self.byte(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(ZoneOffset::UTC),
        };
        let hour = self.digits(2)?;
        let minute = match (self.byte(b":"), self.0) {
            (None, []) => 0,
            _ => self.digits(2)?,
        };
        if hour > 23 || minute > 59 {
            return None;
        }
        ZoneOffset::from_seconds(sign * (hour * 3600 + minute * 60)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// 2026-03-29T12:00:00Z: the day on which Berlin's clocks went from 02:00 to 03:00.
    const NOON: i64 = 1_774_785_600_000;

    fn berlin() -> Now {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("zone");
        Now { now_ms: NOON, zone }
    }

    #[test]
    fn a_day_that_a_month_does_not_have_is_named() {
        for (text, why) in [
            ("2026-02-30", "February 2026 has no day 30"),
            ("2026-02-29T10:00Z", "February 2026 has no day 29"),
            ("2026-04-31", "April 2026 has no day 31"),
        ] {
            let e = parse_time(text, &berlin()).expect_err(text);
            assert!(e.to_string().contains(why), "{e}");
        }
        let e = parse_time("2026-13-01", &berlin()).expect_err("no month");
        assert!(!e.to_string().contains("has no day"), "{e}");
    }

    #[test]
    fn all_years_of_rfc_3339_have_all_their_days() {
        for (text, ms) in [
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59+01:00", 253_402_297_199_000),
            // Local times.
            ("9999-12-31T23:59:59", 253_402_297_199_000),
            ("0000-01-01T00:00Z", -62_167_219_200_000),
        ] {
            assert_eq!(parse_time(text, &berlin()).expect(text), ms, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("2026-03-29T12:00:00Z", NOON),
            ("2026-03-29t12:00z", NOON),
            ("2026-03-29 12:00Z", NOON),
            ("2026-03-29T14:00:00+02:00", NOON),
            ("2026-03-29T14:00", NOON),
            ("14:00", NOON),
            ("23:59", NOON + 10 * 3_600_000 - 60_000),
            ("14:00:00", NOON),
            ("14:00:01.5", NOON + 1500),
            ("12:00Z", NOON),
            ("14:00+0200", NOON),
            ("14:00:00.5+02:00", NOON + 500),
            ("07:30-04:30", NOON),
            // In these zones it is the next day already, or still the day before.
            ("02:00+14", NOON),
            ("00:00-12", NOON),
            ("now", NOON),
            ("2026-03-29T14:00:00+0200", NOON),
            ("2026-03-29 14:00+02", NOON),
            ("2026-03-29T07:30:00-0430", NOON),
            ("2026-03-29T07:30:00.5-04:30", NOON + 500),
            ("2026-03-29T12:00:00.1239999999999Z", NOON + 123),
            ("1969-12-31T23:59:59.9995Z", -1),
            ("2026-03-29", NOON - 13 * 3_600_000),
            ("today", NOON - 13 * 3_600_000),
            ("yesterday", NOON - 37 * 3_600_000),
            ("2026-03-29T02:30", NOON - 12 * 3_600_000 + 90 * 60_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("-10m", NOON - 600_000),
            ("-1h30m", NOON - 5_400_000),
            ("1774785600", NOON),
            ("1774785600123", NOON + 123),
        ] {
            assert_eq!(parse_time(text, &berlin()).expect(text), ms, "{text}");
        }
    }

    #[test]
    fn no_times() {
        for text in [
            "",
            "Now",
            "Today",
            "-",
            "-10",
            "10m",
            "+10m",
            "1",
            "123456789",
            "12345678901",
            "99999999999999",
            "25:00",
            "10:60",
            "1:00",
            "10:00:",
            "10:00:0",
            "10:00:61",
            "10:00:00:",
            "10:00:00ZZ",
            "10:00+2",
            "10:00+24",
            "10:00+0060",
            "10:00 UTC",
            "2026-02-30",
            "2026-1-1",
            "2026-01-01T",
            "2026-01-01T10",
            "2026-01-01T10:00:",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:61Z",
            "2026-01-01T24:00Z",
            "2026-01-01T10:00+2",
            "2026-01-01T10:00+02:",
            "2026-01-01T10:00+020",
            "2026-01-01T10:00+02000",
            "2026-01-01T10:00+2400",
            "2026-01-01T10:00+24:00",
            "2026-01-01T10:00ZZ",
            "2026-01-01T10:00Z ",
            " today",
            "-99999999999999999d",
            "２026-01-01",
            "12:é",
        ] {
            let e = parse_time(text, &berlin()).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.cure_text().expect("cure").contains("yesterday"));
        }
    }
}
