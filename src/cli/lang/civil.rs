//! Moments as dates of the years 0 to 9999, the whole range of RFC 3339: [`jiff::Timestamp`] ends a
//! day before the last of them, so that each zone has a date for it.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::types::Timestamp;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The date and time at `offset`; `None` outside the years 0 to 9999.
pub(super) fn at(timestamp: Timestamp, offset: Offset) -> Option<DateTime> {
    let local = timestamp.checked_add(ms_of(offset))?;
    let date = EPOCH.checked_add(SignedDuration::from_millis(local)).ok()?;
    (0..=9999).contains(&date.year()).then_some(date)
}

/// The moment of a date and time at `offset`: whole milliseconds, rounded down.
pub(super) fn moment(date: DateTime, offset: Offset) -> Timestamp {
    let nanos = date.duration_since(EPOCH).as_nanos();
    nanos.div_euclid(1_000_000) as i64 - ms_of(offset)
}

/// The offset of a zone at a moment; outside the range of jiff, that of the nearest moment.
pub(super) fn offset_at(zone: &TimeZone, timestamp: Timestamp) -> Offset {
    let least = jiff::Timestamp::MIN.as_millisecond();
    let most = jiff::Timestamp::MAX.as_millisecond();
    let known = jiff::Timestamp::from_millisecond(timestamp.clamp(least, most));
    zone.to_offset(known.unwrap_or_default())
}

/// The moment of a local date and time. A time that a change of the clocks skips is read with the
/// offset before the change; of a time that occurs twice, the first one counts.
pub(super) fn local(date: DateTime, zone: &TimeZone) -> Timestamp {
    match zone.to_ambiguous_timestamp(date).compatible() {
        Ok(known) => known.as_nanosecond().div_euclid(1_000_000) as i64,
        Err(_) => {
            let offset = offset_at(zone, moment(date, Offset::UTC));
            moment(date, offset)
        }
    }
}

fn ms_of(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_year_have_all_their_days() {
        for (ms, year, month, day) in [
            (253_402_300_799_999, 9999, 12, 31),
            (-62_167_219_200_000, 0, 1, 1),
            (0, 1970, 1, 1),
            (-1, 1969, 12, 31),
        ] {
            let date = at(ms, Offset::UTC).expect("a date");
            assert_eq!((date.year(), date.month(), date.day()), (year, month, day));
            assert_eq!(moment(date, Offset::UTC), ms);
            assert_eq!(local(date, &TimeZone::UTC), ms);
        }
        assert_eq!(at(253_402_300_800_000, Offset::UTC), None);
        assert_eq!(at(-62_167_219_200_001, Offset::UTC), None);
        assert_eq!(at(i64::MAX, Offset::MAX), None);
    }
}
