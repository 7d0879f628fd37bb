//! A topic: one to create, and the description of one.

use std::collections::BTreeMap;

/// A topic to create: by default with one partition and one replica.
///
/// ```
/// use mq::NewTopic;
///
/// let topic = NewTopic::new("orders").partitions(4).config("retention.ms", "3600000");
/// assert_eq!(topic.partitions, 4);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "give it to Admin::create or Admin::ensure_topic"]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, from 1.
    pub partitions: i32,
    /// How many replicas each partition has, from 1. More than one needs running brokers.
    pub replication_factor: usize,
    /// Configs that differ from their defaults, by Kafka's names.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of one partition with one replica.
    pub fn new(name: impl Into<String>) -> Self {
        NewTopic {
            name: name.into(),
            partitions: 1,
            replication_factor: 1,
            configs: BTreeMap::new(),
        }
    }

    /// With this many partitions.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// With this many replicas of each partition.
    pub fn replication_factor(mut self, replicas: usize) -> Self {
        self.replication_factor = replicas;
        self
    }

    /// With a config, by Kafka's name: `retention.ms`, `max.message.bytes`.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(name.into(), value.into());
        self
    }
}

/// A topic's state at one moment.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let orders = store.admin().describe("orders")?;
/// let records = orders.partitions.iter().filter_map(|one| Some(one.end_offset? - one.start_offset?));
/// assert_eq!(records.sum::<i64>(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its id: a topic of the same name that is created later has another.
    pub id: String,
    /// Its partitions, from 0.
    pub partitions: Vec<PartitionInfo>,
    /// Configs that were set; all others have their defaults.
    pub configs: BTreeMap<String, String>,
}

/// A partition's state at one moment.
///
/// ```
/// use mq::NewTopic;
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("orders").partitions(2))?;
/// let orders = store.admin().describe("orders")?;
/// let records = orders.partitions.iter().map(|partition| {
///     let (start, end) = (partition.start_offset?, partition.end_offset?);
///     Some(end - start)
/// });
/// assert_eq!(records.collect::<Vec<_>>(), [Some(0), Some(0)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it.
    pub leader: i32,
    /// The brokers that hold a replica.
    pub replicas: Vec<i32>,
    /// The brokers whose replicas are in sync.
    pub isr: Vec<i32>,
    /// The first offset; `None` if the log cannot be read now.
    pub start_offset: Option<i64>,
    /// Where a consumer's reading ends now (the high watermark); `None` if the log cannot be read
    /// now.
    pub end_offset: Option<i64>,
    /// Bytes of the log; `None` if it cannot be read now.
    pub size_bytes: Option<u64>,
}
