//! Kafka's basic terms as types: names, ids, offsets.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Kind, Result};

/// A position in a partition: consecutive from 0, never reused.
pub type Offset = i64;
/// A partition's number within its topic, from 0.
pub type PartitionId = i32;
/// A broker's number, from 0. Broker 0 always exists.
pub type BrokerId = i32;
/// How often the leadership of a partition has changed, from 0.
pub type LeaderEpoch = i32;
/// Milliseconds since the Unix epoch; -1 means none.
pub type Timestamp = i64;

/// The embedded broker that needs no daemon.
pub const EMBEDDED_BROKER: BrokerId = 0;
/// Most partitions of a topic: bounds what a topic file can make mq allocate.
pub const PARTITIONS_MAX: i32 = 10_000;

/// A topic's name: 1 to 249 characters of `[A-Za-z0-9._-]`, neither `.` nor `..` (Kafka's rule,
/// `Topic.java`), and not beginning with a dash (it would read as an option).
///
/// ```
/// use mq::{Kind, TopicName};
///
/// # fn main() -> mq::Result<()> {
/// let orders = TopicName::new("orders")?;
/// assert_eq!(orders.as_str(), "orders");
/// let refused = TopicName::new("orders/eu").expect_err("a slash");
/// assert_eq!(refused.kind(), Kind::InvalidTopic);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(String);

impl TopicName {
    /// Most characters of a name (`Topic.java`).
    pub const LEN_MAX: usize = 249;

    /// Checks `name` by the rule.
    ///
    /// # Errors
    /// [`Kind::InvalidTopic`], saying what is allowed.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let why = if name.is_empty() {
            "it is empty"
        } else if name == "." || name == ".." {
            "'.' and '..' are directories"
        } else if name.len() > Self::LEN_MAX {
            "it is longer than 249 characters"
        } else if name.starts_with('-') {
            "it begins with a dash"
        } else if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            "it has a character outside A-Z a-z 0-9 . _ -"
        } else {
            return Ok(TopicName(name));
        };
        Err(Error::new(
            Kind::InvalidTopic,
            format!("'{}' cannot be a topic's name: {why}", name.escape_debug()),
        )
        .cure("use 1 to 249 characters of A-Z a-z 0-9 . _ -"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both would share one metric name in Kafka, where `.` and `_` are one.
    pub fn collides_with(&self, other: &TopicName) -> bool {
        self != other && self.0.replace('.', "_") == other.0.replace('.', "_")
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TopicName {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        TopicName::new(s)
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A partition of a topic, written `TOPIC:N`.
///
/// ```
/// use mq::{TopicName, TopicPartition};
///
/// # fn main() -> mq::Result<()> {
/// let third = TopicPartition::new(TopicName::new("orders")?, 2);
/// assert_eq!(third.to_string(), "orders:2");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Names a partition, which need not exist.
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        TopicPartition { topic, partition }
    }

    /// The first `max` of them, and how many more there are: for messages.
    pub fn first_of(partitions: &[TopicPartition], max: usize) -> String {
        let named = partitions.iter().take(max);
        let mut names: Vec<_> = named.map(TopicPartition::to_string).collect();
        if let Some(more) = partitions.len().checked_sub(max).filter(|more| *more > 0) {
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

/// A topic, or one partition of it, written `TOPIC` or `TOPIC:N`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The topic.
    pub topic: TopicName,
    /// One partition of it; `None`: all.
    pub partition: Option<PartitionId>,
}

impl Scope {
    /// Whether it includes a partition.
    pub fn has(&self, topic: &TopicName, partition: PartitionId) -> bool {
        self.topic == *topic && self.partition.is_none_or(|only| only == partition)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "{}:{partition}", self.topic),
            None => write!(f, "{}", self.topic),
        }
    }
}

/// 128 random bits. Written as Kafka writes ids: base64url without padding (`Uuid.java`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zeros: no id.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A new random id whose text does not begin with a dash, as Kafka's.
    ///
    /// # Errors
    /// [`Kind::Io`] if the system has no randomness to give.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)
                .map_err(|e| Error::new(Kind::Io, format!("cannot read random bytes: {e}")))?;
            let id = Uuid(bytes);
            if id != Uuid::ZERO && !id.to_string().starts_with('-') {
                return Ok(id);
            }
        }
    }

    /// 32 hexadecimal digits: safe in any file name.
    pub fn hex(&self) -> String {
        self.0
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Uuid {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        URL_SAFE_NO_PAD
            .decode(s)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Uuid)
            .ok_or_else(|| {
                Error::new(
                    Kind::Damaged,
                    format!("'{}' is not an id", s.escape_debug()),
                )
            })
    }
}

impl serde::Serialize for Uuid {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Uuid {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which time a batch's timestamps are (attributes bit 3).
///
/// ```
/// use std::time::Duration;
///
/// use mq::{Event, NewTopic, Store, TimestampType};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = Store::open(scratch.path().join("store"))?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// store.producer("orders").open()?.send("paid")?.wait()?;
/// let mut orders = store.consumer(["orders"]).to_end().open()?;
/// if let Event::Records(batch) = orders.poll(Duration::from_secs(1))? {
///     assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// Set by the producer.
    #[default]
    CreateTime,
    /// Set by the log when the batch was appended.
    LogAppendTime,
}

impl TimestampType {
    /// Kafka's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

/// A batch's compression (attributes bits 0-2).
///
/// ```
/// use mq::Compression;
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let store = mq::Store::open(scratch.path().join("store"))?;
/// # store.admin().ensure_topic(mq::NewTopic::new("orders"))?;
/// let orders = store.producer("orders").compression(Compression::Zstd).open()?;
/// assert_eq!("zstd".parse::<Compression>()?, Compression::Zstd);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Compression {
    /// Uncompressed records.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in xerial framing.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// Kafka's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// From attributes bits 0-2; `None` for 5 to 7.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| *c as u8 == bits)
    }
}

impl FromStr for Compression {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|c| c.as_str() == s);
        found.ok_or_else(|| {
            let what = format!("'{}' is not a compression codec", s.escape_debug());
            let names = Self::ALL.map(Self::as_str);
            Error::new(Kind::InvalidConfig, what).cure(format!("use one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "a.b_c-D9", &"x".repeat(249)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "-a",
            "ä",
            "a\0",
            &"x".repeat(250),
        ] {
            let e = TopicName::new(bad).expect_err(bad);
            assert_eq!(e.kind(), Kind::InvalidTopic);
        }
    }

    #[test]
    fn ids_round_trip_in_kafkas_spelling() {
        let id = Uuid::random().expect("random");
        assert_eq!(id.to_string().parse::<Uuid>().expect("parse"), id);
        assert_eq!(id.to_string().len(), 22);
        assert!("short".parse::<Uuid>().is_err());
    }
}
