//! How a producer delivers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind};
use crate::record::{Header, Partitioner};
use crate::types::{Compression, LeaderEpoch, Offset, PartitionId, Timestamp};

/// When a record counts as delivered.
///
/// ```
/// use mq::Acks;
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let orders = store.producer("orders").acks(Acks::Leader).open()?;
/// assert_eq!("all".parse::<Acks>()?, Acks::All); // Kafka's spelling, as in a file of settings
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// The delivery does not wait for an acknowledgement.
    None,
    /// The leader has it.
    Leader,
    /// Every in-sync replica has it.
    #[default]
    All,
}

impl Acks {
    /// Every one.
    pub const ALL: [Acks; 3] = [Acks::None, Acks::Leader, Acks::All];

    /// Kafka's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        }
    }

    /// Kafka's other spelling.
    pub fn alias(self) -> Option<&'static str> {
        (self == Acks::All).then_some("-1")
    }
}

impl FromStr for Acks {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let is_it = |acks: &Acks| acks.as_str() == s || acks.alias() == Some(s);
        Self::ALL.into_iter().find(is_it).ok_or_else(|| {
            let what = format!("'{}' is not a number of acknowledgements", s.escape_debug());
            let names = Self::ALL.map(Self::as_str);
            Error::new(Kind::Usage, what).cure(format!("use one of {}", names.join(", ")))
        })
    }
}

/// Where records without a key go.
///
/// ```
/// use mq::{Keyless, NewTopic};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("logs").partitions(4))?;
/// let logs = store.producer("logs").keyless(Keyless::Sticky).open()?;
/// let [first, next] = [logs.send("a line")?, logs.send("another")?];
/// assert_eq!(first.partition(), next.partition());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyless {
    /// To each partition in turn, beginning at a random one.
    #[default]
    RoundRobin,
    /// To one partition for a batch, then to the next.
    Sticky,
}

impl Keyless {
    /// Every one.
    pub const ALL: [Keyless; 2] = [Keyless::RoundRobin, Keyless::Sticky];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Keyless::RoundRobin => "round-robin",
            Keyless::Sticky => "sticky",
        }
    }
}

/// Is asked and notified while a delivery has to wait for replicas.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Whether to give up: batches that are not appended yet are dropped, and appended batches have
    /// a moment left to be acknowledged.
    fn gives_up(&self) -> bool;
    /// Is notified of the reason, once for each wait that takes longer than a second.
    fn waits(&self, why: &Error);
}

/// How a [`super::Producer`] delivers.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// When a record counts as delivered.
    pub acks: Acks,
    /// Codec, where the topic's `compression.type` is `producer`.
    pub compression: Compression,
    /// A batch is handed on when it reaches this size, bytes; it may hold one larger record.
    pub batch_bytes: usize,
    /// How long a record may wait for others of its batch; while the delivery is busy it waits in
    /// any case. An [`super::UntimedProducer`] applies it only when its caller says that the input
    /// pauses.
    pub linger: Duration,
    /// How long to try: for a lock, for a leader, for enough in-sync replicas.
    pub timeout: Duration,
    /// The most bytes that are sent and not acknowledged, give or take a batch: beyond them,
    /// sending waits.
    pub unacknowledged_bytes_max: usize,
    /// The most bytes of batches that are being built, over all partitions.
    pub building_bytes_max: usize,
    /// Chooses the partition of a key.
    pub partitioner: Partitioner,
    /// Where records without a key go.
    pub keyless: Keyless,
    /// The observer, if there is one.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            acks: Acks::All,
            compression: Compression::None,
            batch_bytes: 1 << 20,
            linger: Duration::ZERO,
            timeout: Duration::from_secs(30),
            unacknowledged_bytes_max: 32 << 20,
            building_bytes_max: 8 << 20,
            partitioner: Partitioner::Murmur2,
            keyless: Keyless::RoundRobin,
            observer: None,
        }
    }
}

/// A record to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProducerRecord<'a> {
    /// The partition; `None`: by key, or as [`Keyless`] says.
    pub partition: Option<PartitionId>,
    /// Its timestamp, ms; `None`: now.
    pub timestamp: Option<Timestamp>,
    /// The key; null is not empty.
    pub key: Option<&'a [u8]>,
    /// The value; null (a tombstone) is not empty.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys are UTF-8.
    pub headers: &'a [Header<'a>],
}

/// Names one of the records that a producer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The partition that it goes to.
    pub partition: PartitionId,
    /// Its number among the records that the producer sent to that partition, from 0.
    pub sequence: u64,
}

/// Acknowledged records: `count` records of `partition`, in the order in which they were sent to
/// it, from number `sequence` and offset `base_offset` on. The receipts of a partition come in
/// order, and after a failure there are no more. A program that takes them sees no gap: some 65,000
/// wait to be taken, and beyond that the oldest are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The partition.
    pub partition: PartitionId,
    /// The number of the first among the records that were sent to the partition, from 0: as
    /// [`Sent::sequence`].
    pub sequence: u64,
    /// The offset of the first.
    pub base_offset: Offset,
    /// How many records.
    pub count: u64,
    /// The epoch they are in.
    pub leader_epoch: LeaderEpoch,
    /// The timestamp that the log gave them, if the topic says LogAppendTime, ms.
    pub append_time: Option<Timestamp>,
}
