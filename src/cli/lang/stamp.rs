//! Timestamps in templates.

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset as ZoneOffset, TimeZone};

use super::escape::shown;
use super::number::{NumberFormat, push_decimal};
use super::time::{Now, parse_time};
use super::usage;
use crate::cli::lang::civil;
use crate::error::{Error, Kind, Result};
use crate::types::Timestamp;

/// How a timestamp is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeFormat {
    /// As a number of milliseconds.
    Ms(NumberFormat),
    /// Whole seconds since the epoch, in decimal.
    Seconds,
    /// RFC 3339 in UTC, with milliseconds.
    Rfc3339,
    /// RFC 3339 in the local zone, with milliseconds.
    Local,
    /// The local time in a strftime pattern.
    Strftime(String),
}

impl TimeFormat {
    /// The format with that name: `ms`, `s`, `rfc3339`, `local`, `strftime[...]` or a number
    /// format.
    ///
    /// # Errors
    /// [`Kind::Usage`], with the names, or for an invalid strftime pattern.
    pub(super) fn from_name(name: &str) -> Result<Option<Self>> {
        Ok(Some(match name {
            "ms" => TimeFormat::Ms(NumberFormat::Ascii),
            "s" => TimeFormat::Seconds,
            "rfc3339" => TimeFormat::Rfc3339,
            "local" => TimeFormat::Local,
            _ => match name
                .strip_prefix("strftime[")
                .and_then(|rest| rest.strip_suffix(']'))
            {
                Some(format) => {
                    let strftime = TimeFormat::Strftime(format.to_owned());
                    strftime
                        .write(0, &TimeZone::UTC, &mut Vec::new())
                        .map_err(|e| {
                            usage(
                                format!("strftime[{}]: {e}", shown(format)),
                                "use strftime's conversions, such as %Y-%m-%dT%H:%M:%S%z",
                            )
                        })?;
                    strftime
                }
                None => return Ok(NumberFormat::from_name(name).map(TimeFormat::Ms)),
            },
        }))
    }

    /// Appends `timestamp`.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] if it cannot be written in this format.
    pub(super) fn write(
        &self,
        timestamp: Timestamp,
        zone: &TimeZone,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let unfit = || {
            Error::new(
                Kind::InvalidRecord,
                format!("the timestamp {timestamp} is not a date"),
            )
            .cure("use %d{ms} in the template")
        };
        let moment = || jiff::Timestamp::from_millisecond(timestamp).map_err(|_| unfit());
        match self {
            TimeFormat::Ms(number) => number.write(timestamp, out)?,
            TimeFormat::Seconds => push_decimal(timestamp.div_euclid(1000), out),
            TimeFormat::Rfc3339 => {
                push_rfc3339(timestamp, ZoneOffset::UTC, out).ok_or_else(unfit)?;
            }
            TimeFormat::Local => {
                let offset = civil::offset_at(zone, timestamp);
                push_rfc3339(timestamp, offset, out).ok_or_else(unfit)?;
            }
            TimeFormat::Strftime(format) => {
                let local = moment()?.to_zoned_datetime(zone.clone());
                let text = jiff::fmt::strtime::format(format, &local).map_err(|e| {
                    Error::new(
                        Kind::InvalidRecord,
                        format!("cannot write the timestamp {timestamp}: {e}"),
                    )
                })?;
                out.extend(text.into_bytes());
            }
        }
        Ok(())
    }

    /// Whether written times can be read back. A pattern may leave out the smaller units, down to
    /// the day, but none in between: 12-hour times need `%p`.
    pub(super) fn can_be_read(&self) -> bool {
        let zone = TimeZone::UTC;
        let read = |moment: i64| {
            let now = Now {
                now_ms: moment,
                zone: zone.clone(),
            };
            let (mut text, mut again) = (Vec::new(), Vec::new());
            self.write(moment, &zone, &mut text).ok()?;
            let read = self.read(&text, &now)?;
            self.write(read, &zone, &mut again).ok()?;
            (text == again).then_some(read)
        };
        UNITS_MS.into_iter().any(|unit| {
            let is_exact =
                |moment: i64| read(moment) == Some(moment.div_euclid(unit).saturating_mul(unit));
            PROBES.into_iter().all(is_exact)
        })
    }

    /// The timestamp that makes up all of `text`; `None` if it is none of this format.
    pub(super) fn read(&self, text: &[u8], now: &Now) -> Option<Timestamp> {
        let time = match self {
            TimeFormat::Ms(number) => number.read(text)?,
            TimeFormat::Seconds => NumberFormat::Ascii.read(text)?.checked_mul(1000)?,
            TimeFormat::Rfc3339 | TimeFormat::Local => {
                // The other forms of a time are only for arguments.
                let text = std::str::from_utf8(text)
                    .ok()
                    .filter(|text| text.get(10..11).is_some())?;
                text.get(4..5).filter(|dash| *dash == "-")?;
                parse_time(text, now).ok()?
            }
            TimeFormat::Strftime(format) => {
                let parsed = BrokenDownTime::parse(format, text).ok()?;
                let moment = parsed.to_timestamp().or_else(|_| {
                    let local = parsed.to_datetime().or_else(|_| {
                        parsed
                            .to_date()
                            .map(|date| date.to_datetime(jiff::civil::Time::midnight()))
                    })?;
                    now.zone.to_ambiguous_timestamp(local).compatible()
                });
                moment.ok()?.as_nanosecond().div_euclid(1_000_000) as i64
            }
        };
        Some(time)
    }
}

/// The possible precisions of a pattern: a millisecond, second, minute, hour, day.
const UNITS_MS: [i64; 5] = [1, 1000, 60_000, 3_600_000, 86_400_000];
/// Times that a pattern is tried with: in the morning and in the afternoon, at noon and after
/// midnight: 2001-02-03T04:05:06Z, 1999-12-31T23:59:59Z, 2026-03-29T12:00:00.789Z,
/// 2024-02-29T00:34:01Z. Their years can be written with two digits.
const PROBES: [i64; 4] = [
    981_173_106_000,
    946_684_799_000,
    1_774_785_600_789,
    1_709_166_841_000,
];

/// `None` outside the years 0 to 9999, which RFC 3339 cannot express.
fn push_rfc3339(moment: Timestamp, offset: ZoneOffset, out: &mut Vec<u8>) -> Option<()> {
    let local = civil::at(moment, offset)?;
    let fields = [
        (b'-', i32::from(local.month())),
        (b'-', i32::from(local.day())),
        (b'T', i32::from(local.hour())),
        (b':', i32::from(local.minute())),
        (b':', i32::from(local.second())),
    ];
    push_digits(i32::from(local.year()), 4, out);
    for (before, number) in fields {
        out.push(before);
        push_digits(number, 2, out);
    }
    out.push(b'.');
    push_digits(local.subsec_nanosecond() / 1_000_000, 3, out);
    let seconds = offset.seconds();
    if seconds == 0 {
        out.push(b'Z');
        return Some(());
    }
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let minutes = seconds.abs() / 60;
    push_digits(minutes / 60, 2, out);
    out.push(b':');
    push_digits(minutes % 60, 2, out);
    Some(())
}

fn push_digits(number: i32, width: u32, out: &mut Vec<u8>) {
    out.extend(
        (0..width)
            .rev()
            .map(|place| b'0' + (number / 10_i32.pow(place) % 10) as u8),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Now {
        Now {
            now_ms: 0,
            zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("zone"),
        }
    }

    fn format(name: &str) -> TimeFormat {
        TimeFormat::from_name(name).expect(name).expect(name)
    }

    #[test]
    fn patterns_that_can_be_read() {
        for (pattern, can_be_read) in [
            ("%Y-%m-%d %H:%M:%S", true),
            ("%FT%T%.3f%z", true),
            ("%Y-%m-%d %I:%M:%S %p", true),
            ("%y%m%d %H%M", true),
            ("%A, %d %B %Y", true),
            ("%s", true),
            // Without morning or afternoon.
            ("%Y-%m-%d %I:%M:%S", false),
            // Without the hour.
            ("%F %M:%S", false),
            ("%H:%M:%S", false),
            ("%Y", false),
            ("%m-%d", false),
        ] {
            let format = format(&format!("strftime[{pattern}]"));
            assert_eq!(format.can_be_read(), can_be_read, "{pattern}");
        }
    }

    #[test]
    fn timestamps() {
        for (name, timestamp, text) in [
            ("ms", 1_774_785_600_123, "1774785600123"),
            ("ms", -1, "-1"),
            ("s", 1_774_785_600_999, "1774785600"),
            ("s", -1, "-1"),
            ("rfc3339", 1_774_785_600_123, "2026-03-29T12:00:00.123Z"),
            ("rfc3339", -1, "1969-12-31T23:59:59.999Z"),
            ("local", 1_774_785_600_123, "2026-03-29T14:00:00.123+02:00"),
            (
                "strftime[%Y/%m/%d %H:%M:%S %z]",
                1_774_785_600_000,
                "2026/03/29 14:00:00 +0200",
            ),
            ("strftime[%F]", 1_774_785_600_000, "2026-03-29"),
            ("hex", 255, "ff"),
        ] {
            let mut out = Vec::new();
            format(name)
                .write(timestamp, &now().zone, &mut out)
                .expect(name);
            assert_eq!(String::from_utf8(out).expect("text"), text, "{name}");
        }
        assert!(
            TimeFormat::from_name("rfc2822")
                .expect("no error")
                .is_none()
        );
        assert!(TimeFormat::from_name("strftime[%Q%!]").is_err());
        let far = TimeFormat::Rfc3339.write(i64::MAX, &TimeZone::UTC, &mut Vec::new());
        assert_eq!(far.expect_err("far").kind(), Kind::InvalidRecord);
        for text in [
            "today",
            "10:00",
            "-10m",
            "1774785600",
            "2026-03-29",
            "",
            "x",
        ] {
            assert_eq!(
                TimeFormat::Rfc3339.read(text.as_bytes(), &now()),
                None,
                "{text}"
            );
        }
        let date = format("strftime[%F]").read(b"2026-03-29", &now());
        assert_eq!(date, Some(1_774_785_600_000 - 13 * 3_600_000));
    }

    proptest! {
        #[test]
        fn timestamps_are_read_as_written(seconds in 0..4_000_000_000_i64, ms in 0..1000_i64) {
            for (name, timestamp) in [
                ("ms", seconds * 1000 + ms),
                ("s", seconds * 1000),
                ("rfc3339", seconds * 1000 + ms),
                ("local", seconds * 1000 + ms),
                ("big64", seconds * 1000 + ms),
                ("strftime[%FT%T%.3f%z]", seconds * 1000 + ms),
            ] {
                let mut out = Vec::new();
                format(name).write(timestamp, &now().zone, &mut out).expect(name);
                prop_assert_eq!(format(name).read(&out, &now()), Some(timestamp), "{}", name);
            }
        }
    }
}
