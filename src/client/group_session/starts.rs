//! Where a group begins a partition: where it left off; else, in a topic that it never read, where
//! it was told to; else at the log start.

use std::sync::Arc;

use crate::client::open_reader;
use crate::client::point::Point;
use crate::client::resolve::resolve_within;
use crate::error::{Error, Kind, Result};
use crate::group::{Committed, Entry};
use crate::store::{PartitionReader, StoreDir};
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
    store: &Arc<StoreDir>,
    topic: &TopicName,
    topic_id: Uuid,
    partitions: PartitionId,
    from: Option<Point>,
) -> Result<Vec<Entry>> {
    (0..partitions)
        .map(|partition| {
            let reader = open_reader(store, &TopicPartition::new(topic.clone(), partition))?;
            fresh_start(&reader, topic_id, from, false)
        })
        .collect()
}

/// A committed offset, held against the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Go on from here.
    At(Offset),
    /// What was committed is gone; the log begins here.
    BelowStart(Offset),
}

/// Looks whether the log has a committed offset.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] if it is beyond the log, or beyond the end of its epoch.
pub fn check(group: &str, reader: &PartitionReader, committed: &Committed) -> Result<Checked> {
    let tp = reader.replica().tp();
    let page = reader.page()?;
    let (offset, epoch) = (committed.offset, committed.leader_epoch);
    let (start, log_end) = (page.tail.log_start, page.tail.end);
    if offset < start {
        return Ok(Checked::BelowStart(start));
    }
    let epoch_end = if epoch < 0 || offset == start {
        Some(log_end)
    } else {
        let epochs = reader.replica().epochs()?.unwrap_or_default();
        epochs.end_of(epoch, log_end)
    };
    if offset <= log_end && epoch_end.is_some_and(|end| offset <= end) {
        return Ok(Checked::At(offset));
    }
    let end = epoch_end.map_or(log_end, |end| end.min(log_end));
    let group_text = group.escape_debug();
    Err(Error::new(
        Kind::OffsetOutOfRange,
        format!("OFFSET_OUT_OF_RANGE: group '{group_text}' has committed offset {offset} of {tp}, and the log ends at {end}: records were lost, or it is another log"),
    )
    .cure(format!("choose where to go on: 'mq-groups reset {group} --to end --topic {tp}'")))
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
