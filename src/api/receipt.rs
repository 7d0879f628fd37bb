//! What a producer returns for acknowledged records.

use crate::client;

/// Records that are acknowledged: `count` records of one partition, in the order in which they were sent
/// to it, stored at consecutive offsets.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let orders = store.producer("orders").open()?;
/// let sent = orders.send("first")?;
/// let receipt = sent.wait()?;
/// assert_eq!((receipt.topic.as_str(), receipt.partition), ("orders", 0));
/// assert_eq!(receipt.offset_of(sent.sequence()), Some(0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The number of the first record among those that the producer sent to the partition, from 0: as
    /// [`Sent::sequence`](super::Sent::sequence).
    pub first_sequence: u64,
    /// The offset of the first record.
    pub base_offset: i64,
    /// How many records.
    pub count: u64,
    /// The timestamp that the log gave them, milliseconds since the Unix epoch, if the topic's
    /// `message.timestamp.type` is `LogAppendTime`.
    pub append_time: Option<i64>,
}

impl Receipt {
    pub(super) fn new(topic: &str, receipt: client::Receipt) -> Self {
        Receipt {
            topic: topic.to_owned(),
            partition: receipt.partition,
            first_sequence: receipt.sequence,
            base_offset: receipt.base_offset,
            count: receipt.count,
            append_time: receipt.append_time,
        }
    }

    /// The offset of the record with that [sequence](super::Sent::sequence); `None` if the receipt
    /// does not cover that record.
    pub fn offset_of(&self, sequence: u64) -> Option<i64> {
        let at = sequence.checked_sub(self.first_sequence)?;
        (at < self.count).then(|| self.base_offset + at as i64)
    }
}
