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
    if committed.offset > end {
        return Ok(OffsetCheck::Beyond(end));
    }
    if committed.offset < start {
        return Ok(OffsetCheck::BelowStart(start));
    }
    if committed.leader_epoch < 0 || committed.offset == start {
        return Ok(OffsetCheck::Within);
    }
    let epochs = reader.replica().epochs()?.unwrap_or_default();
    let epoch = committed.leader_epoch;
    Ok(match epochs.end_of(epoch, end) {
        Some(epoch_end) if committed.offset <= epoch_end => OffsetCheck::Within,
        Some(epoch_end) => OffsetCheck::Beyond(epoch_end.min(end)),
        // An epoch that this log never had, as after an unclean election: older records may be the
        // same.
        None => {
            let same = end_of_older(&epochs, epoch, end)
                .unwrap_or(start)
                .max(start);
            OffsetCheck::Beyond(same.min(end).min(committed.offset))
        }
    })
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
