//! A topic's configs: Kafka's names, spellings, units and defaults.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result, did_you_mean, near_names};
use crate::record::DECOMPRESSED_LEN_MAX;
use crate::types::{Compression, TimestampType, TopicName};

/// A topic's configs, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfigs {
    explicit: BTreeMap<String, String>,
    /// Most bytes of a segment.
    pub segment_bytes: u64,
    /// Longest span of timestamps in a segment, ms.
    pub segment_ms: i64,
    /// Most bytes of an index.
    pub segment_index_bytes: u64,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u64,
    /// Most bytes of a batch as stored.
    pub max_message_bytes: u64,
    /// Which time timestamps are.
    pub timestamp_type: TimestampType,
    /// The codec that batches are stored with; `None`: the producer's.
    pub compression: Option<Compression>,
    /// Records appended before a sync; 1: each, before it is acknowledged or readable.
    pub flush_messages: u64,
    /// Time before a sync, ms; [`TopicConfigs::NEVER`]: none.
    pub flush_ms: u64,
    /// The least number of in-sync replicas that an acknowledged record is on.
    pub min_insync_replicas: usize,
    /// Whether a replica that is not in sync may become the leader if no other can.
    pub unclean_leader_election: bool,
    /// How long a follower may be behind before it leaves the ISR, ms. A broker's config in Kafka,
    /// with the same name and default.
    pub replica_lag_time_max_ms: u64,
}

/// One config as it is described: name, value as text, and whether it was set on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether it was set on the topic; else it is the default.
    pub explicit: bool,
}

/// A config: its name, default, and what it accepts.
struct Known {
    name: &'static str,
    default: &'static str,
    allowed: &'static str,
    /// The values that it takes by name, if any.
    words: &'static [&'static str],
}

const KNOWN: [Known; 12] = [
    Known {
        name: "compression.type",
        default: "producer",
        allowed: "producer, uncompressed, gzip, snappy, lz4 or zstd",
        words: &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
    },
    Known {
        name: "flush.messages",
        default: "1",
        allowed: "1 or more records, or 'never'",
        words: &["never"],
    },
    Known {
        name: "flush.ms",
        default: "never",
        allowed: "1 or more ms, or 'never'",
        words: &["never"],
    },
    Known {
        name: "index.interval.bytes",
        default: "4096",
        allowed: "0 to 2147483647 bytes",
        words: &[],
    },
    Known {
        name: "max.message.bytes",
        default: "1048588",
        allowed: "128 to 2147483647 bytes",
        words: &[],
    },
    Known {
        name: "message.timestamp.type",
        default: "CreateTime",
        allowed: "CreateTime or LogAppendTime",
        words: &["CreateTime", "LogAppendTime"],
    },
    Known {
        name: "min.insync.replicas",
        default: "1",
        allowed: "1 to 32767 replicas",
        words: &[],
    },
    Known {
        name: "replica.lag.time.max.ms",
        default: "30000",
        allowed: "100 or more ms",
        words: &[],
    },
    Known {
        name: "segment.bytes",
        default: "1073741824",
        allowed: "1024 to 2147483647 bytes",
        words: &[],
    },
    Known {
        name: "segment.index.bytes",
        default: "10485760",
        allowed: "24 to 2147483647 bytes",
        words: &[],
    },
    Known {
        name: "segment.ms",
        default: "604800000",
        allowed: "1 or more ms",
        words: &[],
    },
    Known {
        name: "unclean.leader.election.enable",
        default: "false",
        allowed: "true or false",
        words: &["true", "false"],
    },
];

/// Configs that Kafka has for topics and this version does not: the error for them says so.
const KAFKAS: [&str; 22] = [
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
    "message.downconversion.enable",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "preallocate",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.jitter.ms",
    "message.format.version",
];

const INT_MAX: u64 = i32::MAX as u64;

impl TopicConfigs {
    /// Most bytes of a batch as stored: no segment holds a larger one.
    pub fn batch_bytes_max(&self) -> u64 {
        self.max_message_bytes.min(self.segment_bytes)
    }

    /// How to raise the topic's limit for a batch of this many bytes, which exceeds it now.
    pub fn raise_for(&self, topic: &TopicName, bytes: usize) -> String {
        let limits = [
            ("max.message.bytes", self.max_message_bytes),
            ("segment.bytes", self.segment_bytes),
        ];
        let low = limits.iter().filter(|(_, most)| *most < bytes as u64);
        let set: String = low.map(|(name, _)| format!(" -c {name}={bytes}")).collect();
        format!("raise the limit with 'mq-topics alter {topic}{set}'")
    }

    /// No limit: Kafka's `9223372036854775807`, spelled `never` here.
    pub const NEVER: u64 = i64::MAX as u64;

    /// The names of all configs, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// The values that a config accepts, in words: `1 or more ms`.
    pub fn allowed(name: &str) -> Option<&'static str> {
        let known = KNOWN.iter().find(|known| known.name == name);
        known.map(|known| known.allowed)
    }

    /// The values that a config takes by name; empty for an unknown config, or one that takes
    /// numbers.
    pub fn words(name: &str) -> &'static [&'static str] {
        let known = KNOWN.iter().find(|known| known.name == name);
        known.map_or(&[], |known| known.words)
    }

    /// Checks what was set explicitly and fills in the defaults.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`]: an unknown name (with near ones), a value out of range, or a
    /// combination that would weaken durability unasked.
    pub fn from_explicit(explicit: BTreeMap<String, String>) -> Result<Self> {
        for name in explicit.keys() {
            find(name)?;
        }
        let text = |name: &'static str| -> Result<(&'static Known, String)> {
            let known = find(name)?;
            Ok((
                known,
                explicit
                    .get(name)
                    .map_or(known.default, String::as_str)
                    .to_owned(),
            ))
        };
        let number = |name, least, most| -> Result<u64> {
            let (known, text) = text(name)?;
            parse_number(known, &text, least, most)
        };
        let (known, compression) = text("compression.type")?;
        let compression = match compression.as_str() {
            "producer" => None,
            "uncompressed" => Some(Compression::None),
            "none" => return Err(refused(known, &compression)),
            other => Some(other.parse().map_err(|_| refused(known, other))?),
        };
        let (known, timestamp_type) = text("message.timestamp.type")?;
        let timestamp_type = match timestamp_type.as_str() {
            "CreateTime" => TimestampType::CreateTime,
            "LogAppendTime" => TimestampType::LogAppendTime,
            other => return Err(refused(known, other)),
        };
        let (known, unclean) = text("unclean.leader.election.enable")?;
        let unclean = unclean.parse().map_err(|_| refused(known, &unclean))?;
        let configs = TopicConfigs {
            min_insync_replicas: number("min.insync.replicas", 1, i16::MAX as u64)? as usize,
            unclean_leader_election: unclean,
            replica_lag_time_max_ms: number("replica.lag.time.max.ms", 100, i64::MAX as u64)?,
            segment_bytes: number("segment.bytes", 1024, INT_MAX)?,
            segment_ms: number("segment.ms", 1, i64::MAX as u64)? as i64,
            segment_index_bytes: number("segment.index.bytes", 24, INT_MAX)?,
            index_interval_bytes: number("index.interval.bytes", 0, INT_MAX)?,
            max_message_bytes: number("max.message.bytes", 128, INT_MAX)?,
            timestamp_type,
            compression,
            flush_messages: number("flush.messages", 1, Self::NEVER)?,
            flush_ms: number("flush.ms", 1, Self::NEVER)?,
            explicit,
        };
        if configs.flush_ms != Self::NEVER && !configs.explicit.contains_key("flush.messages") {
            return Err(Error::new(
                Kind::InvalidConfig,
                "flush.ms without flush.messages would weaken durability unasked: the default flush.messages=1 syncs every message, and overrides it",
            )
            .cure("say flush.messages=never (or a number) beside flush.ms"));
        }
        if configs.flush_ms != Self::NEVER && configs.flush_messages == 1 {
            return Err(Error::new(
                Kind::InvalidConfig,
                "flush.ms does nothing beside flush.messages=1, which syncs every message",
            )
            .cure("leave flush.ms out (of a topic that has it: --unset flush.ms), or say flush.messages=never"));
        }
        Ok(configs)
    }

    /// Whether a config of that name is known.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] with near names.
    pub fn check_name(name: &str) -> Result<()> {
        find(name).map(|_| ())
    }

    /// Checks a value of one config, regardless of the others.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`], saying what it accepts.
    pub fn check_value(name: &str, value: &str) -> Result<()> {
        let mut alone = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        if name == "flush.ms" {
            alone.insert("flush.messages".to_owned(), "never".to_owned());
        }
        Self::from_explicit(alone).map(|_| ())
    }

    /// Refuses `min.insync.replicas` above the number of replicas: acks=all would accept no record.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`].
    pub fn check_replicas(&self, replication_factor: usize) -> Result<()> {
        let least = self.min_insync_replicas;
        if least <= replication_factor {
            return Ok(());
        }
        let of = match replication_factor {
            1 => "a partition has 1 replica".to_owned(),
            n => format!("a partition has {n} replicas"),
        };
        Err(Error::new(
            Kind::InvalidConfig,
            format!("INVALID_CONFIG: min.insync.replicas={least}, but {of}: nothing could be written with acks=all"),
        )
        .cure(format!(
            "set it to {replication_factor} or less, or use more replicas"
        )))
    }

    /// What was set explicitly.
    pub fn explicit(&self) -> &BTreeMap<String, String> {
        &self.explicit
    }

    /// Every config with its value and origin, sorted by name.
    pub fn describe(&self) -> Vec<DescribedConfig> {
        KNOWN
            .iter()
            .map(|known| {
                let set = self.explicit.get(known.name);
                let value = set.map_or(known.default, String::as_str);
                DescribedConfig {
                    name: known.name,
                    value: canonical(known, value).to_owned(),
                    explicit: set.is_some(),
                }
            })
            .collect()
    }

    /// Whether every message is synced before it is acknowledged or readable.
    pub fn every_message(&self) -> bool {
        self.flush_messages == 1
    }

    /// Most bytes that a batch may decompress to: 64 MiB, or the largest batch that may be stored
    /// if that is more.
    pub fn decompressed_len_max(&self) -> usize {
        let stored = usize::try_from(self.max_message_bytes).unwrap_or(usize::MAX);
        stored.max(DECOMPRESSED_LEN_MAX)
    }
}

impl Default for TopicConfigs {
    fn default() -> Self {
        TopicConfigs {
            explicit: BTreeMap::new(),
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            compression: None,
            flush_messages: 1,
            flush_ms: Self::NEVER,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            replica_lag_time_max_ms: 30_000,
        }
    }
}

fn canonical<'a>(known: &Known, value: &'a str) -> &'a str {
    let never = known.name.starts_with("flush.") && value == "9223372036854775807";
    if never { "never" } else { value }
}

fn find(name: &str) -> Result<&'static Known> {
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        return Ok(known);
    }
    if KAFKAS.contains(&name) {
        return Err(Error::new(
            Kind::InvalidConfig,
            format!("this version of mq does not have Kafka's config {name}"),
        )
        .cure(format!(
            "it has: {}",
            TopicConfigs::names().collect::<Vec<_>>().join(", ")
        )));
    }
    let near = near_names(name, TopicConfigs::names());
    let cure = did_you_mean(&near).unwrap_or_else(|| {
        format!(
            "known here: {}",
            TopicConfigs::names().collect::<Vec<_>>().join(", ")
        )
    });
    Err(Error::new(
        Kind::InvalidConfig,
        format!("'{}' is not a config of a topic", name.escape_debug()),
    )
    .cure(cure))
}

fn parse_number(known: &'static Known, text: &str, least: u64, most: u64) -> Result<u64> {
    if text == "never" && most == TopicConfigs::NEVER && known.name.starts_with("flush.") {
        return Ok(TopicConfigs::NEVER);
    }
    text.parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| refused(known, text))
}

fn refused(known: &Known, value: &str) -> Error {
    Error::new(
        Kind::InvalidConfig,
        format!("{}={} is not allowed", known.name, value.escape_debug()),
    )
    .cure(format!("{} takes {}", known.name, known.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<TopicConfigs> {
        TopicConfigs::from_explicit(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn defaults_are_kafkas_but_for_the_sync() {
        let configs = with(&[]).expect("defaults");
        assert_eq!(configs, TopicConfigs::default());
        assert!(configs.every_message());
        assert!(configs.describe().iter().all(|config| !config.explicit));
    }

    #[test]
    fn good_and_bad_values() {
        for good in [
            &[("segment.bytes", "1024")][..],
            &[("flush.messages", "never"), ("flush.ms", "100")],
            &[("flush.messages", "9223372036854775807")],
            &[
                ("compression.type", "zstd"),
                ("message.timestamp.type", "LogAppendTime"),
            ],
        ] {
            assert!(with(good).is_ok(), "{good:?}");
        }
        for (bad, says) in [
            (&[("segment.bytes", "1023")][..], "1024"),
            (&[("segment.byts", "1024")], "segment.bytes"),
            (&[("retention.ms", "1")], "it has: "),
            (&[("flush.ms", "100")], "flush.messages=never"),
            (
                &[("flush.messages", "1"), ("flush.ms", "100")],
                "leave flush.ms out",
            ),
            (&[("compression.type", "none")], "uncompressed"),
            (&[("flush.messages", "0")], "1 or more"),
        ] {
            let e = with(bad).expect_err("refused");
            assert_eq!(e.kind(), Kind::InvalidConfig);
            assert!(
                e.cure_text().unwrap_or_default().contains(says),
                "{e} {:?}",
                e.cure_text()
            );
        }
    }

    #[test]
    fn words_are_taken_and_reported() {
        let mut seen = 0;
        for name in TopicConfigs::names() {
            let allowed = TopicConfigs::allowed(name).expect("known");
            for word in TopicConfigs::words(name) {
                TopicConfigs::check_value(name, word).expect(word);
                assert!(allowed.contains(word), "{name} {word}");
                seen += 1;
            }
            // A config that takes only words takes all that its text names.
            if let Some((before, _)) = allowed.split_once(" or ")
                && !allowed.contains("more")
            {
                let reported = before.split(", ").count() + 1;
                assert_eq!(reported, TopicConfigs::words(name).len(), "{name}");
            }
        }
        assert_eq!(seen, 12);
        assert!(TopicConfigs::words("retention.ms").is_empty());
    }

    #[test]
    fn never_has_one_spelling() {
        let configs = with(&[("flush.messages", "9223372036854775807")]).expect("configs");
        let flush = configs
            .describe()
            .into_iter()
            .find(|c| c.name == "flush.messages");
        assert_eq!(
            flush.map(|c| (c.value, c.explicit)),
            Some(("never".to_owned(), true))
        );
    }
}
