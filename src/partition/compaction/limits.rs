//! How far a pass may go, and whether one is due: no I/O.

use crate::log::Segments;
use crate::partition::state_page::{Intent, StatePage};
use crate::store::TopicConfigs;
use crate::types::{Offset, Timestamp};

/// A closed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub base: Offset,
    pub end: Offset,
    /// Bytes of its log.
    pub bytes: u64,
}

/// Whether the page is of a log in order, of this boot: no pass touches another.
pub(super) fn is_in_order(page: &StatePage, boot_id: [u8; 16]) -> bool {
    page.boot_id == boot_id
        && page.intent == Intent::None
        && page.seal.is_none()
        && page.offline.is_none()
}

/// The end of the last segment that may be compacted: never the active one, nor one that is not durable as
/// a whole, nor one with records that are not committed.
pub(super) fn compactable_to(page: &StatePage, segments: &Segments) -> Offset {
    let least = page
        .tail
        .active
        .min(page.durable.segment)
        .min(page.high_watermark)
        .min(page.last_stable_offset);
    segments.holding(least).unwrap_or(page.tail.log_start)
}

/// A log as a pass finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogFacts<'a> {
    /// The closed segments that may be compacted, in order.
    pub closed: &'a [Closed],
    /// All below was compacted.
    pub cleaned_to: Offset,
    /// The timestamp of the oldest record that was not; `None`: there is none, or it has none.
    pub oldest_dirty: Option<Timestamp>,
    /// The wall clock, ms; `None` while it is not believed.
    pub now_ms: Option<Timestamp>,
}

impl LogFacts<'_> {
    /// Bytes of the segments that were not compacted.
    pub(super) fn dirty_bytes(&self) -> u64 {
        let dirty = self.closed.iter().filter(|it| it.end > self.cleaned_to);
        dirty.map(|it| it.bytes).sum()
    }

    /// Whether a pass is due by the share of bytes that were not compacted, or by their age.
    pub(super) fn is_due(&self, configs: &TopicConfigs) -> bool {
        let dirty = self.dirty_bytes();
        if dirty == 0 {
            return false;
        }
        let all: u64 = self.closed.iter().map(|it| it.bytes).sum();
        let share = u128::from(dirty) * 1_000_000 >= u128::from(all) * ppm(configs);
        let age = self.now_ms.zip(self.oldest_dirty);
        let age = age.map(|(now, oldest)| now.saturating_sub(oldest));
        let lag_max = configs.max_compaction_lag_ms;
        share || age.is_some_and(|age| lag_max != TopicConfigs::NEVER && over(age, lag_max))
    }
}

fn ppm(configs: &TopicConfigs) -> u128 {
    u128::from(configs.min_cleanable_dirty_ppm)
}

fn over(age: i64, most: u64) -> bool {
    u64::try_from(age).is_ok_and(|age| age > most)
}

/// Whether the active segment is to be closed by age: an idle log is compacted, too.
pub(super) fn must_close(page: &StatePage, configs: &TopicConfigs, now_ms: Timestamp) -> bool {
    let most = configs
        .max_compaction_lag_ms
        .min(configs.segment_ms.unsigned_abs());
    let first = page.tail.first_timestamp;
    page.tail.last.is_some() && first >= 0 && over(now_ms.saturating_sub(first), most)
}

/// Whether a pass may find something to do: the log has a closed segment that the last one, which left
/// nothing, did not see, or one is to be closed by age, or age decides what may be compacted. `known`: the
/// active segment as of that pass.
pub fn is_worth_a_pass(
    page: &StatePage,
    configs: &TopicConfigs,
    known: Option<Offset>,
    now_ms: Timestamp,
) -> bool {
    let by_age =
        configs.min_compaction_lag_ms > 0 || configs.max_compaction_lag_ms != TopicConfigs::NEVER;
    known != Some(page.tail.active) || by_age || must_close(page, configs, now_ms)
}

/// Whether a segment's records are old enough to be compacted.
pub(super) fn is_past_lag(
    newest: Timestamp,
    configs: &TopicConfigs,
    now_ms: Option<Timestamp>,
) -> bool {
    let lag = configs.min_compaction_lag_ms;
    lag == 0 || now_ms.is_some_and(|now| over(now.saturating_sub(newest), lag))
}

/// Puts neighbours together whose bytes fit one segment.
pub(super) fn joined(closed: &[Closed], bytes_max: u64) -> Vec<&[Closed]> {
    let mut runs = Vec::new();
    let mut rest = closed;
    while let Some(first) = rest.first() {
        let mut bytes = 0_u64;
        let fits = rest.iter().take_while(|it| {
            bytes = bytes.saturating_add(it.bytes);
            bytes <= bytes_max && it.end - first.base <= i64::from(i32::MAX)
        });
        let (run, after) = rest.split_at(fits.count().max(1));
        runs.push(run);
        rest = after;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::LogPosition;
    use crate::types::Uuid;

    fn closed(base: Offset, end: Offset, bytes: u64) -> Closed {
        Closed { base, end, bytes }
    }

    fn configs(pairs: &[(&str, &str)]) -> TopicConfigs {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        TopicConfigs::from_explicit(pairs.iter().map(own).collect::<BTreeMap<_, _>>())
            .expect("configs")
    }

    #[test]
    fn a_pass_ends_before_the_least_of_its_bounds() {
        let at = tempfile::tempdir().expect("a place");
        let dir = crate::disk::Disk::open_dir(&crate::disk::OsDisk, at.path()).expect("open");
        for base in [0, 10, 20, 30] {
            let name = crate::log::SegmentFile::new(base, crate::log::FileKind::Log).name();
            dir.open(&name, crate::disk::Open::Create).expect("made");
        }
        let segments = Segments::list(&*dir).expect("listed");
        let mut page = StatePage::new([0; 16], Uuid([0; 16]), Uuid([0; 16]), 0);
        page.tail.active = 30;
        page.tail.end = 35;
        let place = |segment, offset| LogPosition {
            segment,
            offset,
            position: 1,
        };
        for (durable, watermark, stable, due) in [
            (place(30, 35), 35, 35, 30),
            (place(20, 30), 35, 35, 20),
            (place(30, 35), 29, 35, 20),
            (place(30, 35), 35, 20, 20),
            (place(30, 35), 35, 19, 10),
            (place(0, 0), 35, 35, 0),
        ] {
            page.durable = durable;
            (page.high_watermark, page.last_stable_offset) = (watermark, stable);
            assert_eq!(compactable_to(&page, &segments), due, "{durable:?}");
        }
    }

    #[test]
    fn a_pass_is_due_by_bytes_or_by_age() {
        let log = [closed(0, 10, 60), closed(10, 20, 40)];
        let facts = |cleaned_to, now_ms| LogFacts {
            closed: &log,
            cleaned_to,
            oldest_dirty: Some(1000),
            now_ms,
        };
        let half = configs(&[]);
        assert!(facts(0, None).is_due(&half));
        assert!(facts(9, None).is_due(&half), "it is compacted in part");
        assert!(!facts(10, None).is_due(&half));
        let less = configs(&[("min.cleanable.dirty.ratio", "0.4")]);
        assert!(facts(10, None).is_due(&less));
        let none = configs(&[("min.cleanable.dirty.ratio", "0")]);
        assert!(!facts(20, None).is_due(&none), "nothing new");
        let aged = configs(&[("max.compaction.lag.ms", "500")]);
        assert!(!facts(10, Some(1500)).is_due(&aged));
        assert!(facts(10, Some(1501)).is_due(&aged));
        assert!(!facts(10, None).is_due(&aged));
    }

    #[test]
    fn neighbours_are_joined_up_to_the_size_of_a_segment() {
        let log = [
            closed(0, 10, 90),
            closed(10, 20, 60),
            closed(20, 30, 40),
            closed(30, 40, 0),
            closed(40, 50, 200),
            closed(50, 60, 1),
        ];
        let runs: Vec<Vec<Offset>> = joined(&log, 100)
            .iter()
            .map(|run| run.iter().map(|it| it.base).collect())
            .collect();
        assert_eq!(runs, [vec![0], vec![10, 20, 30], vec![40], vec![50]]);
        let far = [closed(0, 5, 1), closed(5, 1 << 31, 1)];
        assert_eq!(joined(&far, 100).len(), 2, "an index cannot reach that far");
    }

    #[test]
    fn records_within_the_lag_stay() {
        let lag = configs(&[("min.compaction.lag.ms", "100")]);
        assert!(!is_past_lag(1000, &lag, Some(1100)));
        assert!(is_past_lag(1000, &lag, Some(1101)));
        assert!(!is_past_lag(1000, &lag, None), "the clock is not believed");
        assert!(is_past_lag(1000, &configs(&[]), None));
    }
}
