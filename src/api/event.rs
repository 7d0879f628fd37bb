//! What a poll comes to.

use super::batch::Batch;
use crate::types::{Offset, TopicPartition};

/// What a poll of a consumer comes to.
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
///     panic!("the partitions are told of first");
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
    /// Nothing came within the timeout, or the consumer was woken.
    Idle,
    /// Nothing will come any more: all was read that was asked for, or the consumer was closed.
    End,
    /// Records that were to be read are gone: the log start has moved past the position. The next
    /// record of that partition is at `to`, or later.
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
    /// These partitions move to another member of the group. The next poll says that the program has
    /// stopped working on their records: then they are given up, with what is done committed.
    Revoked(Vec<TopicPartition>),
    /// These partitions are no longer this member's: another may be reading them already, or the topic
    /// was deleted. What was not committed is read again by their next owner.
    Lost(Vec<TopicPartition>),
}
