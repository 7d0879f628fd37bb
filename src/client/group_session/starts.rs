//! Where a group begins a partition: where it left off; else, in a topic that it never read, where
//! it was told to; else at the log start.

use crate::client::point::Point;
use crate::client::read_from::Chooser;
use crate::client::resolve::resolve_within;
use crate::error::{Error, Kind, Result, shell_word};
use crate::group::Entry;
use crate::store::PartitionReader;
use crate::types::{LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// A partition's start where nothing is committed for it. `known`: the group has read the topic
/// before, so `from` does not count.
pub fn fresh_start(
    reader: &PartitionReader,
    topic_id: Uuid,
    from: Option<Point>,
    known: bool,
) -> Result<Entry> {
    let page = reader.page()?;
    let offset = if known {
        page.tail.log_start
    } else {
        resolve_within(reader, &page, from.unwrap_or(Point::Start), None)?
    };
    let leader_epoch = epoch_before(reader, offset)?;
    let tp = reader.replica().tp();
    Ok(Entry {
        topic: tp.topic.clone(),
        topic_id,
        partition: tp.partition,
        offset,
        leader_epoch,
    })
}

/// The starts of all partitions of a topic that the group never read: committed together, so that
/// whoever gets another of them later does not take the topic for one that was read before.
pub fn fresh_starts(
    chooser: &Chooser,
    topic: &TopicName,
    topic_id: Uuid,
    partitions: PartitionId,
    from: Option<Point>,
) -> Result<Vec<Entry>> {
    (0..partitions)
        .map(|partition| {
            let reader = chooser.open(&TopicPartition::new(topic.clone(), partition))?;
            fresh_start(&reader, topic_id, from, false)
        })
        .collect()
}

/// What to tell of a committed offset that is beyond the log.
pub fn beyond(group: &str, tp: &TopicPartition, offset: Offset, end: Offset) -> Error {
    let group_text = group.escape_debug();
    Error::new(
        Kind::OffsetOutOfRange,
        format!("OFFSET_OUT_OF_RANGE: group '{group_text}' has committed offset {offset} of {tp}, and the log ends at {end}: records were lost, or it is another log"),
    )
    .cure(format!(
        "choose where to go on: 'mq-groups reset {} --to end --topic {tp}'",
        shell_word(group)
    ))
}

/// The epoch of the record before an offset; -1: unknown.
pub fn epoch_before(reader: &PartitionReader, offset: Offset) -> Result<LeaderEpoch> {
    if offset == 0 {
        return Ok(-1);
    }
    let epochs = reader.replica().epochs()?;
    Ok(epochs
        .and_then(|epochs| epochs.at(offset - 1))
        .unwrap_or(-1))
}
