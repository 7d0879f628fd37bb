//! Topic configs: Kafka's names, values and defaults (`TopicConfig.java`), as far as this version
//! acts on them. One that would be ignored is refused, not stored.

mod value;

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result, near_names};
use crate::types::{Compression, TimestampType};
use value::{Compressor, parse_choice, parse_count, print_count};

/// Kafka's "never" for `flush.messages` and `flush.ms` (`Long.MAX_VALUE`).
pub const NEVER: i64 = i64::MAX;

/// When an append counts as kept; derived from `flush.messages` and `flush.ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk before it is acknowledged or seen. The default.
    EveryMessage,
    /// Synced each time this many messages are not yet: from 2.
    Messages(i64),
    /// Synced after this many milliseconds: from 0.
    Ms(i64),
    /// Left to the kernel.
    Never,
}

/// A topic's configs: what was set, and for all else the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfigs {
    /// `segment.bytes`: a segment that would pass this is closed. 1024 to 2^31-1.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment whose timestamps would span this is closed. From 1.
    pub segment_ms: i64,
    /// `segment.index.bytes`: a segment whose index would pass this is closed. 24 to 2^31-1.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: log bytes between two index entries. 0 to 2^31-1.
    pub index_interval_bytes: u64,
    /// `max.message.bytes`: longest record batch. 0 to 2^31-1.
    pub max_message_bytes: u64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `compression.type`: the codec of stored batches; none: the producer's.
    pub compression: Option<Compression>,
    /// `flush.messages`: from 1; [`NEVER`].
    pub flush_messages: i64,
    /// `flush.ms`: from 0; [`NEVER`].
    pub flush_ms: i64,
    explicit: BTreeMap<String, String>,
}

/// One config as it is told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigLine {
    /// Its name.
    pub name: &'static str,
    /// Its value, as it would be set.
    pub value: String,
    /// `topic` if it was set for this topic, else `default`.
    pub origin: &'static str,
}

const SEGMENT_BYTES: &str = "segment.bytes";
const SEGMENT_MS: &str = "segment.ms";
const SEGMENT_INDEX_BYTES: &str = "segment.index.bytes";
const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const COMPRESSION_TYPE: &str = "compression.type";
const FLUSH_MESSAGES: &str = "flush.messages";
const FLUSH_MS: &str = "flush.ms";

/// The configs of a topic, by name.
pub const NAMES: [&str; 9] = [
    COMPRESSION_TYPE,
    FLUSH_MESSAGES,
    FLUSH_MS,
    INDEX_INTERVAL_BYTES,
    MAX_MESSAGE_BYTES,
    TIMESTAMP_TYPE,
    SEGMENT_BYTES,
    SEGMENT_INDEX_BYTES,
    SEGMENT_MS,
];

/// Kafka's other topic configs: known, so that their refusal can say so.
const UNSUPPORTED: [&str; 22] = [
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.jitter.ms",
    "unclean.leader.election.enable",
];

/// Most bytes that Kafka's 32-bit fields can say.
const INT_MAX: i64 = i32::MAX as i64;

impl Default for TopicConfigs {
    fn default() -> Self {
        TopicConfigs {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            compression: None,
            flush_messages: 1,
            flush_ms: NEVER,
            explicit: BTreeMap::new(),
        }
    }
}

impl TopicConfigs {
    /// From what was set for a topic.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for an unknown name (with near ones), a value out of its range, and
    /// values that contradict each other.
    pub fn from_explicit(explicit: &BTreeMap<String, String>) -> Result<Self> {
        let mut configs = TopicConfigs::default();
        for (name, value) in explicit {
            configs.apply(name, value)?;
        }
        configs.check()?;
        Ok(configs)
    }

    /// What was set, by name; values in the spelling of [`TopicConfigs::describe`].
    pub fn explicit(&self) -> &BTreeMap<String, String> {
        &self.explicit
    }

    /// These with some set and some back at their defaults, checked as a whole.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`], as [`TopicConfigs::from_explicit`]; a name both set and unset.
    pub fn altered(&self, set: &BTreeMap<String, String>, unset: &[String]) -> Result<Self> {
        let mut explicit = self.explicit.clone();
        for name in unset {
            known(name)?;
            if set.contains_key(name) {
                return Err(invalid(format!("{name} is both set and unset")));
            }
            explicit.remove(name);
        }
        explicit.extend(
            set.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        TopicConfigs::from_explicit(&explicit)
    }

    /// When an append counts as kept.
    pub fn durability(&self) -> Durability {
        match (self.flush_messages, self.flush_ms) {
            (1, _) => Durability::EveryMessage,
            (NEVER, NEVER) => Durability::Never,
            (NEVER, ms) => Durability::Ms(ms),
            (messages, _) => Durability::Messages(messages),
        }
    }

    /// Every config with its value and origin, by name.
    pub fn describe(&self) -> Vec<ConfigLine> {
        NAMES
            .iter()
            .map(|&name| {
                let origin = if self.explicit.contains_key(name) {
                    "topic"
                } else {
                    "default"
                };
                ConfigLine {
                    name,
                    value: self.value(name),
                    origin,
                }
            })
            .collect()
    }

    fn value(&self, name: &str) -> String {
        match name {
            SEGMENT_BYTES => self.segment_bytes.to_string(),
            SEGMENT_MS => self.segment_ms.to_string(),
            SEGMENT_INDEX_BYTES => self.segment_index_bytes.to_string(),
            INDEX_INTERVAL_BYTES => self.index_interval_bytes.to_string(),
            MAX_MESSAGE_BYTES => self.max_message_bytes.to_string(),
            TIMESTAMP_TYPE => self.timestamp_type.as_str().to_owned(),
            COMPRESSION_TYPE => Compressor(self.compression).as_str().to_owned(),
            FLUSH_MESSAGES => print_count(self.flush_messages),
            _ => print_count(self.flush_ms),
        }
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<()> {
        let bytes =
            |min: i64| parse_count(name, value, min..=INT_MAX, false).map(|bytes| bytes as u64);
        match known(name)? {
            SEGMENT_BYTES => self.segment_bytes = bytes(1024)?,
            SEGMENT_MS => self.segment_ms = parse_count(name, value, 1..=i64::MAX, false)?,
            SEGMENT_INDEX_BYTES => self.segment_index_bytes = bytes(24)?,
            INDEX_INTERVAL_BYTES => self.index_interval_bytes = bytes(0)?,
            MAX_MESSAGE_BYTES => self.max_message_bytes = bytes(0)?,
            TIMESTAMP_TYPE => {
                let types = [TimestampType::CreateTime, TimestampType::LogAppendTime];
                self.timestamp_type = parse_choice(name, value, &types, |t| t.as_str())?;
            }
            COMPRESSION_TYPE => {
                let chosen = parse_choice(name, value, &Compressor::ALL, |c| c.as_str())?;
                self.compression = chosen.0;
            }
            FLUSH_MESSAGES => self.flush_messages = parse_count(name, value, 1..=NEVER, true)?,
            _ => self.flush_ms = parse_count(name, value, 0..=NEVER, true)?,
        }
        self.explicit.insert(name.to_owned(), self.value(name));
        Ok(())
    }

    /// Durability never weakens unasked.
    fn check(&self) -> Result<()> {
        if self.flush_ms != NEVER && self.flush_messages == 1 {
            return Err(invalid(format!(
                "{FLUSH_MS}={} would do nothing: with {FLUSH_MESSAGES}=1, the default, every \
                 message is on disk before it is acknowledged",
                self.flush_ms
            ))
            .cure(format!(
                "leave {FLUSH_MS} out, or set {FLUSH_MESSAGES}=never too and accept that a power \
                 cut may take the last {} ms",
                self.flush_ms
            )));
        }
        Ok(())
    }
}

/// The name as we spell it, if there is such a config.
fn known(name: &str) -> Result<&'static str> {
    if let Some(known) = NAMES.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    if UNSUPPORTED.contains(&name) {
        return Err(
            invalid(format!("Kafka's {name} is not supported in this version"))
                .cure("leave it out: it would have no effect"),
        );
    }
    let near = near_names(name, NAMES);
    let cure = if near.is_empty() {
        format!("there are {}", NAMES.join(", "))
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Err(invalid(format!(
        "there is no topic config '{}'",
        name.escape_debug()
    ))
    .cure(cure))
}

fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidConfig, message)
}

#[cfg(test)]
mod tests;
