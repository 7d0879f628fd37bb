//! Checks a committed offset against the log that it was committed for.

use super::offsets_state::Committed;
use crate::error::{Error, Kind, Result, shell_word};
use crate::log::LeaderEpochs;
use crate::partition::{PartitionReader, StatePage};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// The result for a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetCheck {
    /// The log has it: continue there.
    Within,
    /// The log begins after it, at this offset: the records between are gone.
    BelowStart(Offset),
    /// It is beyond the log, or beyond its epoch: records were lost, or it is another log. Up to
    /// this offset the log has the records that were read, as far as the epochs show.
    Beyond(Offset),
}

/// Checks a committed offset against the log, as of that state page.
///
/// # Errors
/// Those of reading the epochs.
pub fn check_offset(
    reader: &PartitionReader,
    page: &StatePage,
    committed: &Committed,
) -> Result<OffsetCheck> {
    let (start, end) = (page.tail.log_start, page.tail.end);
    if committed.offset < start {
        return Ok(OffsetCheck::BelowStart(start));
    }
    if committed.leader_epoch < 0 && committed.offset > end {
        return Ok(OffsetCheck::Beyond(end));
    }
    if committed.leader_epoch < 0 || committed.offset == start {
        return Ok(OffsetCheck::Within);
    }
    let epochs = reader.replica().epochs()?.unwrap_or_default();
    let (offset, epoch) = (committed.offset, committed.leader_epoch);
    Ok(check_epoch(&epochs, start, end, offset, epoch))
}

/// Checks an offset, committed in `epoch`, against a log from `start` to `end` with these epochs.
/// Also where the log is shorter than the offset, its end is not the point of divergence: records
/// of newer epochs may have been written behind a cut.
fn check_epoch(
    epochs: &LeaderEpochs,
    start: Offset,
    end: Offset,
    offset: Offset,
    epoch: LeaderEpoch,
) -> OffsetCheck {
    match epochs.end_of(epoch, end).map(|of_epoch| of_epoch.min(end)) {
        Some(epoch_end) if offset <= epoch_end => OffsetCheck::Within,
        Some(epoch_end) => OffsetCheck::Beyond(epoch_end.max(start)),
        // An epoch that this log never had, as after an unclean election: older records may be the
        // same.
        None => {
            let same = end_of_older(epochs, epoch, end).unwrap_or(start).max(start);
            OffsetCheck::Beyond(same.min(end).min(offset))
        }
    }
}

/// Where the largest epoch below `epoch` ends.
fn end_of_older(epochs: &LeaderEpochs, epoch: LeaderEpoch, log_end: Offset) -> Option<Offset> {
    let mut older = epochs.entries().iter().rev().filter(|(e, _)| *e < epoch);
    epochs.end_of(older.next()?.0, log_end)
}

/// The error for a committed offset beyond the log, with its remedy. It names the point of
/// divergence, since continuing at the log's end would skip records written meanwhile.
pub fn beyond(group: &str, tp: &TopicPartition, committed: Offset, point: Offset) -> Error {
    let group_text = group.escape_debug();
    Error::new(
        Kind::OffsetOutOfRange,
        format!(
            "OFFSET_OUT_OF_RANGE: group '{group_text}' committed offset {committed} of {tp}, but the log \
             matches what it read only up to offset {point}: records were lost, or the log was replaced"
        ),
    )
    .cure(format!(
        "'mq-groups reset {} --to {point} --topic {tp}' continues where the logs diverge",
        shell_word(group)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_part_where_the_last_epoch_they_share_ends() {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in [(0, 0), (3, 10), (8, 20)] {
            epochs.begin(epoch, start);
        }
        for (epoch, end) in [(0, None), (1, Some(10)), (5, Some(20)), (9, Some(30))] {
            assert_eq!(end_of_older(&epochs, epoch, 30), end, "{epoch}");
        }
    }

    /// A repair cut a log from 3000 to 1000; then a new epoch wrote records behind the cut.
    #[test]
    fn a_log_cut_and_written_again_diverges_at_the_cut() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(0, 0);
        assert_eq!(
            check_epoch(&epochs, 0, 1000, 3000, 0),
            OffsetCheck::Beyond(1000)
        );
        epochs.begin(1, 1000);
        for (start, end, offset, epoch, found) in [
            (0, 1005, 3000, 0, OffsetCheck::Beyond(1000)),
            (0, 4000, 3000, 0, OffsetCheck::Beyond(1000)),
            (1002, 1005, 3000, 0, OffsetCheck::Beyond(1002)),
            (0, 1005, 3000, 1, OffsetCheck::Beyond(1005)),
            (0, 1005, 3000, 7, OffsetCheck::Beyond(1005)),
            (0, 1005, 1000, 0, OffsetCheck::Within),
            (0, 1005, 1003, 1, OffsetCheck::Within),
        ] {
            let checked = check_epoch(&epochs, start, end, offset, epoch);
            assert_eq!(checked, found, "{start} {end} {offset} {epoch}");
        }
    }

    #[test]
    fn the_cure_names_the_point() {
        let tp = TopicPartition::new(crate::types::TopicName::new("t").expect("a name"), 2);
        let e = beyond("my group", &tp, 9, 4);
        let cure = "'mq-groups reset 'my group' --to 4 --topic t:2'";
        assert!(
            e.cure_text().is_some_and(|text| text.contains(cure)),
            "{:?}",
            e.cure_text()
        );
    }
}
