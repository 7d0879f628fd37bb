//! When a broker's next pass of retention over a log is due: no I/O, no clock.

use std::time::Duration;

use super::policy::Policy;
use crate::error::Error;
use crate::partition::Pass;
use crate::store::TopicConfigs;
use crate::types::Offset;

/// Between two passes of which the first one removed something, or could not.
const INTERVAL: Duration = Duration::from_secs(30);
/// Between two passes at least.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Between two passes at most: the wall clock may have been set meanwhile.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Between two passes at most over a log whose growth is not watched: as often as Kafka looks.
const INTERVAL_UNWATCHED: Duration = Duration::from_secs(300);

/// When a pass over one log is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetentionDue {
    /// By the store's monotonic clock; `None`: the log keeps everything, or is not led here.
    at: Option<Duration>,
    /// The log's end as of the last look.
    end: Option<Offset>,
    /// How soon after it has grown a pass is due: records may have come that are old soon.
    after_growth: Duration,
    interval_max: Duration,
}

impl RetentionDue {
    /// At once, if the log has a limit.
    pub fn of(configs: &TopicConfigs, leads: bool) -> Self {
        let at = (leads && configs.removes_old()).then_some(Duration::ZERO);
        let ms = configs.retention_ms.and_then(|ms| u64::try_from(ms).ok());
        let age = ms.map_or(INTERVAL_MAX, Duration::from_millis);
        let is_watched = Policy::of(configs) != Policy::Never;
        RetentionDue {
            at,
            end: None,
            after_growth: age.clamp(INTERVAL_MIN, INTERVAL),
            interval_max: if is_watched {
                INTERVAL_MAX
            } else {
                age.clamp(INTERVAL_MIN, INTERVAL_UNWATCHED)
            },
        }
    }

    /// The log ends there now.
    pub fn observed(&mut self, end: Offset, now: Duration) {
        if self.end.replace(end).is_some_and(|known| known != end) {
            let soon = now + self.after_growth;
            self.at = self.at.map(|at| at.min(soon));
        }
    }

    pub fn is_due(self, now: Duration) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// A pass is under way: none is due until it has ended.
    pub fn begun(&mut self) {
        self.at = None;
    }

    pub fn due(self) -> Option<Duration> {
        self.at
    }

    /// After a pass that ended at `now`, when the wall clock said `now_ms`.
    pub fn passed(&mut self, now: Duration, now_ms: i64, pass: Result<&Option<Pass>, &Error>) {
        self.at = match pass {
            Err(_) => Some(now + INTERVAL),
            Ok(None) => None,
            Ok(Some(pass)) => Some(now + pause(pass, now_ms).min(self.interval_max)),
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
        let mut due = limited("604800000");
        let pass = pass(segments, at_ms, clock_wait);
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
        due = limited("1");
        assert!(due.is_due(Duration::ZERO));
        due.passed(NOW, 0, Ok(&None));
        assert_eq!(due.due(), None);
        assert!(!RetentionDue::of(&configs(&[("retention.ms", "1")]), false).is_due(NOW));
    }

    /// An empty log has nothing that is due; then records come.
    #[test]
    fn a_log_that_has_grown_is_due_soon() {
        for (ms, soon) in [("5000", 5), ("604800000", 30), ("1", 1)] {
            let mut due = limited(ms);
            due.observed(0, NOW);
            due.passed(NOW, 0, Ok(&Some(pass(0, None, None))));
            assert_eq!(due.due(), Some(NOW + INTERVAL_MAX));
            due.observed(0, 2 * NOW);
            assert_eq!(due.due(), Some(NOW + INTERVAL_MAX));
            due.observed(10, 2 * NOW);
            assert_eq!(due.due(), Some(2 * NOW + Duration::from_secs(soon)), "{ms}");
        }
    }

    #[test]
    fn a_log_that_is_not_watched_is_looked_at_now_and_then() {
        for (ms, most) in [("5000", 5), ("604800000", 300)] {
            let pairs = [("retention.ms", ms), ("flush.messages", "never")];
            let mut due = RetentionDue::of(&configs(&pairs), true);
            due.passed(NOW, 0, Ok(&Some(pass(0, None, None))));
            assert_eq!(due.due(), Some(NOW + Duration::from_secs(most)), "{ms}");
        }
    }

    fn configs(pairs: &[(&str, &str)]) -> TopicConfigs {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        TopicConfigs::from_explicit(owned.collect()).expect("configs")
    }

    fn limited(ms: &str) -> RetentionDue {
        RetentionDue::of(&configs(&[("retention.ms", ms)]), true)
    }

    fn pass(segments: u64, at_ms: Option<i64>, clock_wait: Option<Duration>) -> Pass {
        Pass {
            log_start: 5,
            removed: Removed { segments, bytes: 1 },
            next: at_ms.map(|at_ms| NextRemoval { offset: 9, at_ms }),
            clock_wait,
        }
    }
}
