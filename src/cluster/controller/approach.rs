//! Measures how the target of a leadership transfer approaches its leader's log end: pure.
//!
//! A transfer is bounded by progress, not by time: it continues while the smallest gap so far
//! shrinks. The log is sealed once the target is so near that the seal is short.

use std::time::Duration;

use crate::types::Offset;

/// A target is near if it has everything that the leader had this long ago: the seal takes about as
/// long.
const NEAR: Duration = Duration::from_millis(50);
/// A target that stops approaching also counts as near if it has everything that the leader had
/// this long ago: on a slow disk, each sync keeps the target at a distance.
const NEAR_ENOUGH: Duration = Duration::from_secs(1);

/// Where the target's log ends, and the end that it has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Distance {
    /// The target's acknowledged end.
    pub acked: Offset,
    /// The target's log end.
    pub end: Offset,
    /// The end to reach.
    pub goal: Offset,
}

impl Distance {
    /// Whether the target has reached the goal.
    pub fn is_none(&self) -> bool {
        self.acked >= self.goal
    }

    /// It shrinks with each append and with each sync.
    fn gap(&self) -> u64 {
        let lacks = |has: Offset| self.goal.saturating_sub(has).max(0).unsigned_abs();
        lacks(self.acked) + lacks(self.end)
    }
}

/// What follows from an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The target approaches, or may still do so.
    Far,
    /// The rest takes milliseconds.
    Near,
    /// The target has reached the goal.
    There,
    /// The target makes no progress.
    Stalled,
}

/// The observations of one target, as far as they count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approach {
    /// The smallest gap so far, and the time since which it is the smallest.
    smallest: Option<u64>,
    since: Duration,
    /// A goal of an earlier observation that is not reached yet, and the time of that observation.
    mark: Option<(Offset, Duration)>,
    /// How long it took to reach the last such goal.
    lag: Option<Duration>,
    lacks: u64,
}

impl Approach {
    pub fn begin(now: Duration) -> Self {
        Approach {
            smallest: None,
            since: now,
            mark: None,
            lag: None,
            lacks: 0,
        }
    }

    /// Adds an observation. `None`: the distance is unknown.
    pub fn observe(
        &mut self,
        seen: Option<Distance>,
        now: Duration,
        stalled_after: Duration,
    ) -> Verdict {
        let Some(distance) = seen else {
            return if self.is_stalled(now, stalled_after) {
                Verdict::Stalled
            } else {
                Verdict::Far
            };
        };
        self.lacks = distance
            .goal
            .saturating_sub(distance.acked)
            .max(0)
            .unsigned_abs();
        let gap = distance.gap();
        if self.smallest.is_none_or(|smallest| gap < smallest) {
            (self.smallest, self.since) = (Some(gap), now);
        }
        if distance.is_none() {
            return Verdict::There;
        }
        let (mark, at) = *self.mark.get_or_insert((distance.goal, now));
        if distance.acked >= mark {
            self.lag = Some(now.saturating_sub(at));
            self.mark = Some((distance.goal, now));
        }
        // A goal that is not reached yet takes at least the time that has passed since.
        let taken = self
            .mark
            .map_or(Duration::ZERO, |(_, at)| now.saturating_sub(at));
        let lag = self.lag.map(|lag| lag.max(taken));
        if lag.is_some_and(|lag| lag <= NEAR) {
            return Verdict::Near;
        }
        if self.is_stalled(
            now,
            stalled_after.min(crate::timing::TRANSFER_STALLED_AFTER),
        ) && lag.is_some_and(|lag| lag <= NEAR_ENOUGH)
        {
            return Verdict::Near;
        }
        if self.is_stalled(now, stalled_after) {
            return Verdict::Stalled;
        }
        Verdict::Far
    }

    /// Whether the target has made no progress for that long.
    pub fn is_stalled(&self, now: Duration, stalled_after: Duration) -> bool {
        now.saturating_sub(self.since) >= stalled_after
    }

    /// Records that the target lacks, as of the last observation.
    pub fn records(&self) -> u64 {
        self.lacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(2);

    fn at(acked: Offset, goal: Offset) -> Option<Distance> {
        Some(Distance {
            acked,
            end: acked,
            goal,
        })
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_target_that_comes_nearer_is_waited_for_however_long_it_takes() {
        let mut approach = Approach::begin(ms(0));
        for second in 0..600 {
            let seen = at(second * 1000, 1_000_000);
            let verdict = approach.observe(seen, ms(second as u64 * 1000), STALL);
            assert_eq!(verdict, Verdict::Far, "after {second} s");
        }
        assert_eq!(approach.records(), 401_000);
        assert_eq!(
            approach.observe(at(1_000_000, 1_000_000), ms(600_100), STALL),
            Verdict::There
        );
    }

    #[test]
    fn one_that_copies_as_fast_as_producers_write_comes_no_nearer() {
        let mut approach = Approach::begin(ms(0));
        let mut verdicts = Vec::new();
        for tenth in 0..40 {
            let end = 1_000_000 + tenth * 1000;
            let seen = at(end - 500_000, end);
            verdicts.push(approach.observe(seen, ms(tenth as u64 * 100), STALL));
        }
        let stalled = verdicts.iter().position(|v| *v == Verdict::Stalled);
        assert_eq!(stalled, Some(20), "{verdicts:?}");
    }

    #[test]
    fn one_that_is_a_moment_behind_a_busy_leader_is_near() {
        // A thousand records a second, and twenty milliseconds to copy them.
        let mut approach = Approach::begin(ms(0));
        let mut verdicts = (0..100).map(|step| {
            let end = 1000 + step * 10;
            approach.observe(at(end - 20, end), ms(step as u64 * 10), STALL)
        });
        assert!(verdicts.any(|verdict| verdict == Verdict::Near));
        // With a sync that takes half a second, the target is near enough once it stops
        // approaching.
        let mut approach = Approach::begin(ms(0));
        let verdicts: Vec<_> = (0..400)
            .map(|step| {
                let end = 10_000 + step * 10;
                let acked = end - 500 - (step * 10) % 500;
                approach.observe(at(acked, end), ms(step as u64 * 10), STALL)
            })
            .collect();
        assert!(verdicts.contains(&Verdict::Near));
        assert!(!verdicts.contains(&Verdict::Stalled));
    }

    #[test]
    fn one_of_which_nothing_is_seen_has_stalled() {
        let mut approach = Approach::begin(ms(0));
        assert_eq!(approach.observe(None, ms(1999), STALL), Verdict::Far);
        assert_eq!(approach.observe(None, ms(2000), STALL), Verdict::Stalled);
    }
}
