//! Which segments are to go: no I/O, no clock.

use crate::error::Result;
use crate::store::TopicConfigs;
use crate::types::{Offset, Timestamp};

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// `retention.ms`; `None`: for ever.
    pub ms: Option<i64>,
    /// `retention.bytes`; `None`: all.
    pub bytes: Option<u64>,
}

impl RetentionLimits {
    /// By a topic's configs; `None` if nothing is removed.
    pub fn of(configs: &TopicConfigs) -> Option<Self> {
        configs.removes_old().then_some(RetentionLimits {
            ms: configs.retention_ms,
            bytes: configs.retention_bytes,
        })
    }
}

impl RetentionLimits {
    /// Whether less is kept than by other limits; `None` keeps everything.
    pub fn keep_less_than(self, other: Option<Self>) -> bool {
        let Some(other) = other else {
            return true;
        };
        let is_less = |own: Option<u64>, other: Option<u64>| match (own, other) {
            (Some(own), Some(other)) => own < other,
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        };
        let ms = |limits: Self| limits.ms.map(|ms| ms.max(0).unsigned_abs());
        is_less(ms(self), ms(other)) || is_less(self.bytes, other.bytes)
    }
}

/// A segment of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub base: Offset,
    /// The offset after its last record.
    pub end: Offset,
    pub bytes: u64,
}

/// A log as a pass finds it.
#[derive(Debug)]
pub(super) struct LogFacts<'a> {
    /// From the one that the log start lies in on; the last one is the active one.
    pub segments: &'a [Segment],
    /// Nothing above is removed: the high watermark, or the last stable offset.
    pub removable_to: Offset,
    /// The wall clock, ms.
    pub now_ms: i64,
    /// Whether the wall clock may age records.
    pub is_clock_believed: bool,
}

/// What a pass would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionPlan {
    /// The ends of the segments that go now, in order.
    pub due: Vec<Offset>,
    /// What goes next: now, if anything is due.
    pub next: Option<NextRemoval>,
    /// The segment that a time in the future keeps.
    pub future: Option<FutureSegment>,
    /// Segments below the log start, which a killed pass left.
    pub left_behind: usize,
}

/// The next removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRemoval {
    /// The log start after it.
    pub offset: Offset,
    /// When, by the wall clock, ms.
    pub at_ms: i64,
}

/// A segment whose largest timestamp is in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutureSegment {
    /// Its base offset.
    pub base: Offset,
    /// Its largest timestamp, ms.
    pub timestamp: Timestamp,
}

/// Decides. `time_of` looks up a segment's largest timestamp, by its place in `facts.segments`; it is
/// asked for as few as possible.
///
/// # Errors
/// Those of `time_of`.
pub(super) fn plan(
    limits: RetentionLimits,
    facts: &LogFacts<'_>,
    mut time_of: impl FnMut(usize) -> Result<Option<Timestamp>>,
) -> Result<RetentionPlan> {
    let mut plan = RetentionPlan::default();
    let mut bytes: u64 = facts.segments.iter().map(|segment| segment.bytes).sum();
    for (at, segment) in facts.segments.iter().enumerate() {
        // The active one may be empty; so may one that was rolled at the log start.
        if segment.end <= segment.base {
            break;
        }
        let is_large = limits
            .bytes
            .is_some_and(|limit| bytes.saturating_sub(segment.bytes) >= limit);
        let mut is_due = is_large;
        if !is_large && let Some(ms) = limits.ms {
            let timestamp = time_of(at)?;
            if let Some(timestamp) = timestamp {
                let expires = timestamp.saturating_add(ms);
                if timestamp > facts.now_ms {
                    let base = segment.base;
                    plan.future = Some(FutureSegment { base, timestamp });
                }
                is_due = facts.is_clock_believed && facts.now_ms > expires;
                if !is_due && plan.due.is_empty() {
                    plan.next = Some(NextRemoval {
                        offset: segment.end,
                        at_ms: expires.saturating_add(1),
                    });
                }
            }
        }
        if !is_due {
            break;
        }
        if segment.end > facts.removable_to {
            // As soon as the high watermark is there.
            plan.next = Some(NextRemoval {
                offset: segment.end,
                at_ms: facts.now_ms,
            });
            break;
        }
        plan.due.push(segment.end);
        bytes -= segment.bytes;
    }
    if let Some(last) = plan.due.last() {
        plan.next = Some(NextRemoval {
            offset: *last,
            at_ms: facts.now_ms,
        });
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    /// Segments of ten offsets each, with these sizes; the last one is the active one.
    fn segments(sizes: &[u64]) -> Vec<Segment> {
        let each = sizes.iter().zip(0..).map(|(bytes, n)| Segment {
            base: n * 10,
            end: if *bytes == 0 { n * 10 } else { n * 10 + 10 },
            bytes: *bytes,
        });
        each.collect()
    }

    fn limits(ms: Option<i64>, bytes: Option<u64>) -> RetentionLimits {
        RetentionLimits { ms, bytes }
    }

    struct Case<'a> {
        limits: RetentionLimits,
        sizes: &'a [u64],
        times: &'a [Option<Timestamp>],
        removable_to: Offset,
        believed: bool,
    }

    impl Case<'_> {
        fn plan(&self) -> RetentionPlan {
            let segments = segments(self.sizes);
            let facts = LogFacts {
                segments: &segments,
                removable_to: self.removable_to,
                now_ms: NOW,
                is_clock_believed: self.believed,
            };
            plan(self.limits, &facts, |at| Ok(self.times[at])).expect("no I/O")
        }
    }

    fn by_age(times: &[Option<Timestamp>]) -> Case<'_> {
        Case {
            limits: limits(Some(100), None),
            sizes: &[5, 5, 5, 5],
            times,
            removable_to: 40,
            believed: true,
        }
    }

    fn next(offset: Offset, at_ms: i64) -> Option<NextRemoval> {
        Some(NextRemoval { offset, at_ms })
    }

    #[test]
    fn age_counts_from_the_largest_timestamp_and_stops_at_the_first_young_segment() {
        let old = Some(NOW - 101);
        let edge = Some(NOW - 100);
        let planned = by_age(&[old, old, edge, old]).plan();
        assert_eq!(planned.due, [10, 20]);
        assert_eq!(planned.next, next(20, NOW));
        let planned = by_age(&[edge, old, old, old]).plan();
        assert!(planned.due.is_empty());
        assert_eq!(planned.next, next(10, NOW + 1));
        let planned = by_age(&[old, old, old, old]).plan();
        assert_eq!(planned.due, [10, 20, 30, 40], "the active one too");
        let planned = by_age(&[None, old, old, old]).plan();
        assert!(
            planned.due.is_empty() && planned.next.is_none(),
            "without a time"
        );
    }

    #[test]
    fn nothing_goes_by_age_while_the_clock_is_not_believed() {
        let old = Some(NOW - 101);
        let times = [old; 4];
        let case = Case {
            believed: false,
            ..by_age(&times)
        };
        let planned = case.plan();
        assert!(planned.due.is_empty());
        assert_eq!(planned.next, next(10, NOW), "once the clock is believed");
        let case = Case {
            limits: limits(Some(100), Some(10)),
            ..case
        };
        assert_eq!(case.plan().due, [10, 20], "by size it does");
    }

    #[test]
    fn nothing_goes_above_the_high_watermark() {
        let old = Some(NOW - 101);
        let times = [old; 4];
        for (shown, due) in [(9, 0), (10, 1), (19, 1), (30, 3), (39, 3), (40, 4)] {
            let case = Case {
                removable_to: shown,
                ..by_age(&times)
            };
            assert_eq!(case.plan().due.len(), due, "{shown}");
            assert!(case.plan().next.is_some(), "{shown}");
        }
    }

    #[test]
    fn size_keeps_at_least_the_limit() {
        let all = |bytes, sizes: &[u64]| {
            let case = Case {
                limits: limits(None, Some(bytes)),
                sizes,
                times: &[],
                removable_to: 1000,
                believed: true,
            };
            case.plan().due.len()
        };
        for (bytes, due) in [(20, 0), (19, 0), (15, 1), (14, 1), (10, 2), (5, 3), (4, 3)] {
            assert_eq!(all(bytes, &[5, 5, 5, 5]), due, "{bytes}");
        }
        assert_eq!(all(0, &[5, 5, 5, 5]), 4);
        assert_eq!(all(0, &[5, 5, 0]), 2, "an empty active segment stays");
        assert_eq!(all(5, &[5, 5, 0]), 1);
    }

    #[test]
    fn the_second_limit_goes_on_where_the_first_one_stops() {
        let (old, young) = (Some(NOW - 101), Some(NOW));
        let times = [old, young, old, young];
        let case = Case {
            limits: limits(Some(100), Some(10)),
            ..by_age(&times)
        };
        assert_eq!(case.plan().due, [10, 20, 30]);
    }

    #[test]
    fn limits_are_compared() {
        let (day, week) = (limits(Some(1), None), limits(Some(7), None));
        assert!(day.keep_less_than(None) && day.keep_less_than(Some(week)));
        assert!(!week.keep_less_than(Some(day)) && !day.keep_less_than(Some(day)));
        let both = limits(Some(7), Some(100));
        assert!(both.keep_less_than(Some(week)) && both.keep_less_than(Some(day)));
        assert!(!week.keep_less_than(Some(both)));
    }

    #[test]
    fn a_time_in_the_future_is_named() {
        let planned = by_age(&[Some(NOW - 101), Some(NOW + 5), None, None]).plan();
        let future = FutureSegment {
            base: 10,
            timestamp: NOW + 5,
        };
        assert_eq!((planned.due, planned.future), (vec![10], Some(future)));
        let planned = by_age(&[Some(i64::MAX), None, None, None]).plan();
        assert_eq!(planned.next, next(10, i64::MAX));
    }
}
