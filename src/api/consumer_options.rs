//! How to read partitions.

use std::collections::BTreeSet;

use super::{OffsetSpec, Positions, Store};
use crate::client::ReadFrom;
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, TopicName};

impl Store {
    /// Options for reading topics: all their partitions, including those that are added later.
    ///
    /// ```
    /// # fn main() -> mq::Result<()> {
    /// # let scratch = tempfile::tempdir().expect("a directory");
    /// # let store = mq::Store::open(scratch.path().join("store"))?;
    /// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
    /// # store.producer("orders").open()?.send("hello")?.wait()?;
    /// let mut values = Vec::new();
    /// for record in store.consumer(["orders"]).to_end().open()? {
    ///     values.push(record?.value().map(<[u8]>::to_vec));
    /// }
    /// assert_eq!(values, [Some(b"hello".to_vec())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn consumer<T: AsRef<str>>(&self, topics: impl IntoIterator<Item = T>) -> ConsumerOptions {
        ConsumerOptions {
            store: self.clone(),
            topics: topics
                .into_iter()
                .map(|topic| topic.as_ref().to_owned())
                .collect(),
            from: OffsetSpec::Start,
            resume: Positions::default(),
            until: None,
            to_end: false,
            partitions: None,
            read_from: ReadFrom::Leader,
            on_missed: OnMissed::default(),
        }
    }
}

/// What happens if records were deleted before they were read: retention or a deletion moved the
/// log start past the position.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// use mq::OnMissed;
///
/// // For an index that must be complete.
/// let consumer = store.consumer(["orders"]).on_missed(OnMissed::Fail).open()?;
/// # drop(consumer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMissed {
    /// [`Event::Missed`](super::Event::Missed) reports it, and the consumer continues at the log
    /// start.
    #[default]
    GoOn,
    /// An error reports it, at each attempt to read the partition: [`Kind::OffsetOutOfRange`].
    /// [`Consumer::seek`](super::Consumer::seek) moves to another place.
    Fail,
}

/// How to read topics; made by [`Store::consumer`].
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// # store.producer("orders").open()?.send("hello")?.wait()?;
/// use mq::OffsetSpec;
///
/// let options = store.consumer(["orders"]).from(OffsetSpec::EndMinus(10)).partitions([0]);
/// assert_eq!(options.to_end().open()?.count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "end it with open()"]
pub struct ConsumerOptions {
    pub(super) store: Store,
    topics: Vec<String>,
    pub(super) from: OffsetSpec,
    pub(super) resume: Positions,
    pub(super) until: Option<OffsetSpec>,
    pub(super) to_end: bool,
    pub(super) partitions: Option<BTreeSet<PartitionId>>,
    pub(super) read_from: ReadFrom,
    pub(super) on_missed: OnMissed,
}

impl ConsumerOptions {
    /// Where each existing partition begins. Default: [`OffsetSpec::Start`]. Partitions that are
    /// added later are read from their start.
    pub fn from(mut self, from: OffsetSpec) -> Self {
        self.from = from;
        self
    }

    /// Where these partitions begin, in place of [`ConsumerOptions::from`]: at another consumer's
    /// positions ([`Consumer::positions`](super::Consumer::positions)). Partitions that are not
    /// read are ignored.
    pub fn resume(mut self, positions: Positions) -> Self {
        self.resume = positions;
        self
    }

    /// Where each partition ends; that offset is not read. Default: no end.
    pub fn until(mut self, until: OffsetSpec) -> Self {
        self.until = Some(until);
        self
    }

    /// Ends each partition at the high watermark that it has when the consumer is opened, if not
    /// earlier. Partitions that are added later are not read.
    pub fn to_end(mut self) -> Self {
        self.to_end = true;
        self
    }

    /// Reads only the partitions with these numbers, of each topic.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = PartitionId>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Which replica of a partition is read. Default: the leader's.
    pub fn read_from(mut self, read_from: ReadFrom) -> Self {
        self.read_from = read_from;
        self
    }

    /// What happens if records were deleted before they were read.
    pub fn on_missed(mut self, on_missed: OnMissed) -> Self {
        self.on_missed = on_missed;
        self
    }

    /// The topics to read.
    ///
    /// # Errors
    /// [`Kind::Usage`] if there are none, [`Kind::InvalidTopic`].
    pub(super) fn names(&self) -> Result<BTreeSet<TopicName>> {
        if self.topics.is_empty() {
            return Err(Error::new(Kind::Usage, "a consumer of no topics")
                .cure("name the topics: store.consumer([\"orders\"])"));
        }
        let names = self.topics.iter().map(TopicName::new);
        names.collect()
    }
}
