//! The result of a poll.

use super::batch::Batch;
use crate::types::{Offset, TopicPartition};

/// The result of a consumer's poll.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// use std::time::Duration;
///
/// use mq::Event;
///
/// let mut consumer = store.consumer(["orders"]).open()?;
/// let Event::Assigned(partitions) = consumer.poll(Duration::ZERO)? else {
///     panic!("the partitions are reported first");
/// };
/// assert_eq!(partitions.len(), 1);
/// assert!(matches!(consumer.poll(Duration::ZERO)?, Event::Idle));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Records of one partition.
    Records(Batch<'a>),
    /// No records came within the timeout, or the consumer was woken.
    Idle,
    /// No more records come: the requested range was read, or the consumer was closed.
    End,
    /// Records were deleted before they were read: the log start has moved past the position. The
    /// next record of that partition is at `to`, or later.
    Missed {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        from: Offset,
        /// The log start.
        to: Offset,
    },
    /// These partitions are read from now on.
    Assigned(Vec<TopicPartition>),
    /// These partitions go to another member of the group. The next poll tells the group that the
    /// program has stopped working on their records: then what is done is committed, and the
    /// partitions are given up.
    Revoked(Vec<TopicPartition>),
    /// These partitions are no longer this member's: another member may be reading them already, or
    /// the topic was deleted. Their next owner reads again what was not committed.
    Lost(Vec<TopicPartition>),
}
