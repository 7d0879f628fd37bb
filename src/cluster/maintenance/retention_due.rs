//! When a broker's next pass of retention over a log is due: no I/O, no clock.

use std::time::Duration;

use crate::error::Error;
use crate::partition::Pass;
use crate::store::TopicConfigs;

/// Between two passes of which the first one removed something, or could not.
const INTERVAL: Duration = Duration::from_secs(30);
/// Between two passes at least.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Between two passes at most: the wall clock may have been set meanwhile.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// When a pass over one log is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetentionDue {
    /// By the store's monotonic clock; `None`: the log keeps everything, or is not led here.
    at: Option<Duration>,
}

impl RetentionDue {
    /// At once, if the log has a limit.
    pub fn of(configs: &TopicConfigs, leads: bool) -> Self {
        let at = (leads && configs.removes_old()).then_some(Duration::ZERO);
        RetentionDue { at }
    }

    pub fn is_due(self, now: Duration) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    pub fn due(self) -> Option<Duration> {
        self.at
    }

    /// After a pass that ended at `now`, when the wall clock said `now_ms`.
    pub fn passed(&mut self, now: Duration, now_ms: i64, pass: Result<&Option<Pass>, &Error>) {
        self.at = match pass {
            Err(_) => Some(now + INTERVAL),
            Ok(None) => None,
            Ok(Some(pass)) => Some(now + pause(pass, now_ms)),
        };
    }
}

fn pause(pass: &Pass, now_ms: i64) -> Duration {
    if let Some(wait) = pass.clock_wait {
        return wait.clamp(INTERVAL_MIN, INTERVAL_MAX);
    }
    let Some(next) = pass.next else {
        return INTERVAL_MAX;
    };
    let wait_ms = u64::try_from(next.at_ms.saturating_sub(now_ms)).unwrap_or(0);
    let wait = Duration::from_millis(wait_ms).min(INTERVAL_MAX);
    match (pass.removed.segments > 0, wait_ms > 0) {
        // Its time was over.
        (true, false) => INTERVAL_MIN,
        // The high watermark is lower, for instance.
        (false, false) => INTERVAL,
        (true, true) => wait.max(INTERVAL),
        (false, true) => wait.max(INTERVAL_MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{NextRemoval, Removed};

    const NOW: Duration = Duration::from_secs(7);

    fn after(segments: u64, at_ms: Option<i64>, clock_wait: Option<Duration>) -> Option<Duration> {
        let mut due = RetentionDue {
            at: Some(Duration::ZERO),
        };
        let pass = Pass {
            log_start: 5,
            removed: Removed { segments, bytes: 1 },
            next: at_ms.map(|at_ms| NextRemoval { offset: 9, at_ms }),
            clock_wait,
        };
        due.passed(NOW, 1_000_000, Ok(&Some(pass)));
        Some(due.due()? - NOW)
    }

    #[test]
    fn the_next_pass_comes_when_something_is_due_but_not_in_a_loop() {
        let s = Duration::from_secs;
        for (segments, at_ms, clock_wait, expected) in [
            (0, None, None, s(3600)),
            (0, Some(1_000_100), None, s(1)),
            (0, Some(1_005_000), None, s(5)),
            (0, Some(i64::MAX), None, s(3600)),
            (0, Some(1_000_000), None, s(30)),
            (3, Some(1_005_000), None, s(30)),
            (3, Some(1_060_000), None, s(60)),
            (3, Some(999_000), None, s(1)),
            (3, None, None, s(3600)),
            (0, Some(1), Some(s(10)), s(10)),
            (0, Some(1), Some(s(0)), s(1)),
            (0, None, Some(s(7200)), s(3600)),
        ] {
            let due = after(segments, at_ms, clock_wait);
            assert_eq!(due, Some(expected), "{segments} {at_ms:?} {clock_wait:?}");
        }
    }

    #[test]
    fn a_log_without_a_limit_is_left_alone() {
        let mut due = RetentionDue::of(&TopicConfigs::default(), true);
        assert!(!due.is_due(NOW) && due.due().is_none());
        due = RetentionDue { at: Some(NOW) };
        assert!(due.is_due(NOW) && !due.is_due(Duration::ZERO));
        due.passed(NOW, 0, Ok(&None));
        assert_eq!(due.due(), None);
        let pairs = [("retention.ms".to_owned(), "1".to_owned())];
        let limited = TopicConfigs::from_explicit(pairs.into()).expect("configs");
        assert!(RetentionDue::of(&limited, true).is_due(Duration::ZERO));
        assert!(!RetentionDue::of(&limited, false).is_due(NOW));
    }
}
