//! The clock note of a state page: whether records may be removed by the wall clock.
//!
//! A wall clock that jumps ahead would make young records old. So each pass that removes by age
//! notes the wall clock beside the time since the boot, which no one can set. If the wall clock is
//! ahead of what the note and the boot's time make of it, nothing is removed by age until it has stood
//! so for an hour. After a boot the first pass only notes, since a machine may boot with a wrong
//! clock that is set right a moment later. A wall clock that was set back keeps records for longer.

use crate::clock::Moment;

/// So far ahead a wall clock is believed at once.
const AHEAD_MAX_MS: i64 = 60_000;
/// How long a wall clock has to stand ahead until it is believed.
const AHEAD_FOR_MS: i64 = 3_600_000;
/// How long after the first pass of a boot the next one may act.
const FIRST_FOR_MS: i64 = 10_000;
/// In the place of [`ClockTrust::Ahead`]'s `since_s`.
const FIRST: u32 = u32::MAX;

/// Wall clock and boot's time as of the last pass that believed the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockNote {
    /// `None`: no pass in this boot.
    noted: Option<Noted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noted {
    at: Moment,
    trust: ClockTrust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClockTrust {
    /// The wall clock was believed.
    Believed,
    /// Noted by the first pass of a boot.
    First,
    /// The wall clock is ahead since that second of the boot, by so many seconds.
    Ahead { since_s: u32, by_s: u32 },
}

/// Whether a pass may remove by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockVerdict {
    /// It may.
    Believed,
    /// It is the first pass of a boot, or came soon after it: it may after so many ms.
    First {
        /// Until it may, ms.
        wait_ms: i64,
    },
    /// The wall clock jumped ahead.
    Ahead {
        /// By so much, ms.
        by_ms: i64,
        /// Until it is believed, ms.
        wait_ms: i64,
        /// No pass has seen this jump before.
        is_new: bool,
    },
}

impl ClockNote {
    /// Its bytes in a page.
    pub(super) const BYTES: usize = 24;

    /// The note of a replica that is created: it has no older records, so its first pass may act.
    pub fn created(now: Moment) -> Self {
        Noted::new(now, ClockTrust::Believed).into()
    }

    /// The note as of a pass, and whether that may remove by age.
    #[must_use]
    pub fn step(self, now: Moment) -> (Self, ClockVerdict) {
        let known = self.noted.filter(|n| n.at.boottime_ms <= now.boottime_ms);
        let Some(noted) = known else {
            let verdict = ClockVerdict::First {
                wait_ms: FIRST_FOR_MS,
            };
            return (Noted::new(now, ClockTrust::First).into(), verdict);
        };
        let passed = now.boottime_ms - noted.at.boottime_ms;
        let by_ms = now
            .wall_ms
            .saturating_sub(noted.at.wall_ms)
            .saturating_sub(passed);
        if by_ms <= AHEAD_MAX_MS {
            return match noted.trust {
                ClockTrust::First if passed < FIRST_FOR_MS => {
                    let wait_ms = FIRST_FOR_MS - passed;
                    (self, ClockVerdict::First { wait_ms })
                }
                _ => (Self::created(now), ClockVerdict::Believed),
            };
        }
        if let ClockTrust::Ahead { since_s, by_s } = noted.trust {
            let moved = by_ms.saturating_sub(i64::from(by_s) * 1000);
            let wait_ms = i64::from(since_s) * 1000 + AHEAD_FOR_MS - now.boottime_ms;
            if moved.abs() <= AHEAD_MAX_MS {
                if wait_ms <= 0 {
                    return (Self::created(now), ClockVerdict::Believed);
                }
                let is_new = false;
                let verdict = ClockVerdict::Ahead {
                    by_ms,
                    wait_ms,
                    is_new,
                };
                return (self, verdict);
            }
        }
        // Rounded up, so that the hour is whole.
        let trust = ClockTrust::Ahead {
            since_s: seconds(now.boottime_ms + 999),
            by_s: seconds(by_ms),
        };
        let verdict = ClockVerdict::Ahead {
            by_ms,
            wait_ms: AHEAD_FOR_MS,
            is_new: true,
        };
        (Noted::new(noted.at, trust).into(), verdict)
    }

    /// Whether the pages of two passes need not differ: the wall clock was believed a moment ago.
    pub fn is_fresh(self, now: Moment) -> bool {
        self.noted.is_some_and(|noted| {
            let age = now.boottime_ms - noted.at.boottime_ms;
            noted.trust == ClockTrust::Believed && (0..FIRST_FOR_MS).contains(&age)
        })
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut raw = [0; Self::BYTES];
        let Some(Noted { at, trust }) = self.noted else {
            return raw;
        };
        let (since, by) = match trust {
            ClockTrust::Believed => (0, 0),
            ClockTrust::First => (FIRST, 0),
            ClockTrust::Ahead { since_s, by_s } => (since_s, by_s),
        };
        raw[..8].copy_from_slice(&at.wall_ms.to_le_bytes());
        raw[8..16].copy_from_slice(&at.boottime_ms.to_le_bytes());
        raw[16..20].copy_from_slice(&since.to_le_bytes());
        raw[20..].copy_from_slice(&by.to_le_bytes());
        raw
    }

    /// `None` if there are too few bytes.
    pub(super) fn decode(raw: &[u8]) -> Option<Self> {
        let (wall_ms, raw) = raw.split_first_chunk()?;
        let (boottime_ms, raw) = raw.split_first_chunk()?;
        let (since_s, raw) = raw.split_first_chunk()?;
        let by_s = raw.first_chunk()?;
        let at = Moment {
            wall_ms: i64::from_le_bytes(*wall_ms),
            boottime_ms: i64::from_le_bytes(*boottime_ms),
        };
        let trust = match (u32::from_le_bytes(*since_s), u32::from_le_bytes(*by_s)) {
            (0, 0) => ClockTrust::Believed,
            (FIRST, 0) => ClockTrust::First,
            (since_s, by_s) => ClockTrust::Ahead { since_s, by_s },
        };
        let noted = (at.boottime_ms > 0).then_some(Noted { at, trust });
        Some(ClockNote { noted })
    }
}

impl Noted {
    fn new(at: Moment, trust: ClockTrust) -> Self {
        Noted { at, trust }
    }
}

impl From<Noted> for ClockNote {
    fn from(noted: Noted) -> Self {
        ClockNote { noted: Some(noted) }
    }
}

fn seconds(ms: i64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(FIRST - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: i64 = 5_000_000;
    const WALL: i64 = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    /// So long after the boot's first moment here, with a wall clock that is off by that much.
    fn at(passed: i64, off: i64) -> Moment {
        Moment {
            wall_ms: WALL + passed + off,
            boottime_ms: BOOT + passed,
        }
    }

    fn kind(verdict: ClockVerdict) -> &'static str {
        match verdict {
            ClockVerdict::Believed => "acts",
            ClockVerdict::First { .. } => "first",
            ClockVerdict::Ahead { is_new: true, .. } => "jumped",
            ClockVerdict::Ahead { .. } => "ahead",
        }
    }

    /// Passes one after the other, each through the page's bytes.
    fn passes(mut note: ClockNote, passes: &[(i64, i64, &str)]) {
        for (passed, off, says) in passes {
            let (next, verdict) = note.step(at(*passed, *off));
            assert_eq!(kind(verdict), *says, "{passed} {off} {note:?}");
            note = ClockNote::decode(&next.encode()).expect("whole");
            assert_eq!(note, next);
        }
    }

    #[test]
    fn a_boot_is_waited_out_once() {
        passes(
            ClockNote::default(),
            &[
                (0, 0, "first"),
                (9_999, 0, "first"),
                (10_000, 0, "acts"),
                (10_001, 0, "acts"),
            ],
        );
        // The wall clock was set right between the first pass and the second.
        passes(
            ClockNote::default(),
            &[
                (0, -YEAR, "first"),
                (20_000, 0, "jumped"),
                (20_001, 0, "ahead"),
                (21_000 + HOUR, 0, "acts"),
            ],
        );
    }

    #[test]
    fn a_replica_that_was_just_created_is_not_waited_for() {
        passes(ClockNote::created(at(0, 0)), &[(1, 0, "acts")]);
    }

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour() {
        let created = ClockNote::created(at(0, 0));
        passes(created, &[(5, 60_000, "acts")]);
        passes(
            created,
            &[
                (5, 60_001, "jumped"),
                (HOUR, 60_001, "ahead"),
                // Seconds are counted up.
                (HOUR + 1_005, 60_001, "acts"),
                (HOUR + 1_006, 60_001, "acts"),
            ],
        );
        // A further jump begins the hour again; the way back ends it.
        passes(
            created,
            &[
                (5, YEAR, "jumped"),
                (HOUR / 2, 2 * YEAR, "jumped"),
                (HOUR + 1_005, 2 * YEAR, "ahead"),
                (HOUR + 2_000, 0, "acts"),
                (HOUR + 2_001, YEAR, "jumped"),
            ],
        );
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed() {
        let created = ClockNote::created(at(0, 0));
        passes(
            created,
            &[(5, -YEAR, "acts"), (6, 0, "jumped"), (7, -YEAR, "acts")],
        );
    }

    #[test]
    fn a_time_before_the_note_is_of_another_boot() {
        passes(ClockNote::created(at(10, 0)), &[(9, 0, "first")]);
    }

    #[test]
    fn only_a_note_of_a_moment_ago_is_fresh() {
        let note = ClockNote::created(at(0, 0));
        assert!(note.is_fresh(at(9_999, 0)) && !note.is_fresh(at(10_000, 0)));
        assert!(!ClockNote::default().is_fresh(at(0, 0)));
        let (first, _) = ClockNote::default().step(at(0, 0));
        assert!(!first.is_fresh(at(1, 0)));
    }
}
