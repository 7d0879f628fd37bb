//! Exit statuses, in one table.

use super::groups::Status;
use crate::error::Kind;

/// How a run ended, unless it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done: 0.
    Done,
    /// Done except for some items, which were reported: 1.
    Partial,
    /// No record, or fewer than requested, with `--fail-if-empty`: 4.
    Empty,
    /// The status of a check.
    Check(Status),
    /// Several things failed; this is the most serious kind.
    Failed(Kind),
}

/// Done.
pub const DONE: u8 = 0;
/// Failed; also if one item of many failed.
pub const FAILED: u8 = 1;
/// A wrong command line.
pub const USAGE: u8 = 2;
/// `--fail-if-empty`.
pub const EMPTY: u8 = 4;
/// Damaged data (EX_DATAERR).
pub const DAMAGED: u8 = 65;
/// Outcome unknown: perhaps stored (EX_IOERR).
pub const UNKNOWN: u8 = 74;
/// Try again (EX_TEMPFAIL): nothing of this run was acknowledged.
pub const TRY_AGAIN: u8 = 75;

/// The exit status of a failure.
pub fn status(kind: Kind) -> u8 {
    match kind {
        Kind::Usage | Kind::InvalidTopic | Kind::InvalidConfig => USAGE,
        Kind::Damaged => DAMAGED,
        Kind::Unknown => UNKNOWN,
        Kind::Busy | Kind::Fenced | Kind::Rebalanced => TRY_AGAIN,
        _ => FAILED,
    }
}

/// The exit status of an outcome.
pub fn outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => DONE,
        Outcome::Partial => FAILED,
        Outcome::Empty => EMPTY,
        Outcome::Check(status) => status.code(),
        Outcome::Failed(kind) => status(kind),
    }
}

/// The more serious of two failures: 74, 65, 75, then the rest.
pub fn weightier(one: Kind, other: Kind) -> Kind {
    let weight = |kind| match status(kind) {
        UNKNOWN => 3,
        DAMAGED => 2,
        TRY_AGAIN => 1,
        _ => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_the_weightiest_wins() {
        let others = [
            (Kind::Usage, USAGE),
            (Kind::InvalidTopic, USAGE),
            (Kind::InvalidConfig, USAGE),
            (Kind::Damaged, DAMAGED),
            (Kind::Unknown, UNKNOWN),
            (Kind::Busy, TRY_AGAIN),
            (Kind::Fenced, TRY_AGAIN),
            (Kind::Rebalanced, TRY_AGAIN),
        ];
        for kind in Kind::ALL {
            let due = others
                .iter()
                .find(|(other, _)| *other == kind)
                .map_or(FAILED, |o| o.1);
            assert_eq!(status(kind), due, "{kind:?}");
        }
        assert_eq!(weightier(Kind::Io, Kind::Busy), Kind::Busy);
        assert_eq!(weightier(Kind::Damaged, Kind::Busy), Kind::Damaged);
        assert_eq!(weightier(Kind::Damaged, Kind::Unknown), Kind::Unknown);
    }
}
