//! A topic's configs: Kafka's names, spellings, units and defaults.

use std::collections::BTreeMap;

use super::cleanup_policy::CleanupPolicy;
use super::known_configs::{KAFKAS, KNOWN, Known};
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
    /// What is done with old records.
    pub cleanup_policy: CleanupPolicy,
    /// How long a record is kept, ms; `None`: for ever. Kafka's default is 7 days; what people pipe
    /// into a topic is not removed here unless they said so.
    pub retention_ms: Option<i64>,
    /// How many bytes of a partition's log are kept; `None`: all.
    pub retention_bytes: Option<u64>,
    /// How long a tombstone stays after it was first compacted, ms.
    pub delete_retention_ms: u64,
    /// How long a record stays as it is before it is compacted, ms.
    pub min_compaction_lag_ms: u64,
    /// After how long a record is compacted at the latest, ms; [`TopicConfigs::NEVER`]: by the dirty
    /// ratio alone.
    pub max_compaction_lag_ms: u64,
    /// From which share of bytes on that no compaction has seen a log is compacted, in millionths.
    pub min_cleanable_dirty_ppm: u32,
    /// How far before the present a timestamp may be, ms; [`TopicConfigs::NEVER`]: any.
    pub timestamp_before_max_ms: u64,
    /// How far after the present a timestamp may be, ms; [`TopicConfigs::NEVER`]: any.
    pub timestamp_after_max_ms: u64,
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

const INT_MAX: u64 = i32::MAX as u64;

const TIMESTAMP_AFTER: &str = "message.timestamp.after.max.ms";
/// Where `retention.ms` is set, a timestamp that far ahead would keep its segment for too long.
const TIMESTAMP_AFTER_MAX_MS: u64 = 3_600_000;

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
        let limit = |name| -> Result<Option<u64>> {
            let (_, value) = text(name)?;
            if value == "-1" {
                return Ok(None);
            }
            number(name, 0, i64::MAX as u64).map(Some)
        };
        let (known, policy) = text("cleanup.policy")?;
        let cleanup_policy = policy.parse().map_err(|()| refused(known, &policy))?;
        number("file.delete.delay.ms", 60_000, 60_000)?;
        let (known, ratio) = text("min.cleanable.dirty.ratio")?;
        let dirty = parse_ppm(&ratio).ok_or_else(|| refused(known, &ratio))?;
        let retention_ms = limit("retention.ms")?.map(|ms| ms as i64);
        let timestamp_after_max_ms = match (explicit.get(TIMESTAMP_AFTER), retention_ms) {
            (None, Some(_)) => TIMESTAMP_AFTER_MAX_MS,
            _ => number(TIMESTAMP_AFTER, 0, Self::NEVER)?,
        };
        let configs = TopicConfigs {
            cleanup_policy,
            retention_ms,
            retention_bytes: limit("retention.bytes")?,
            delete_retention_ms: number("delete.retention.ms", 0, i64::MAX as u64)?,
            min_compaction_lag_ms: number("min.compaction.lag.ms", 0, i64::MAX as u64)?,
            max_compaction_lag_ms: number("max.compaction.lag.ms", 1, Self::NEVER)?,
            min_cleanable_dirty_ppm: dirty,
            timestamp_before_max_ms: number("message.timestamp.before.max.ms", 0, Self::NEVER)?,
            timestamp_after_max_ms,
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
        if configs.max_compaction_lag_ms < configs.min_compaction_lag_ms {
            let text = format!(
                "max.compaction.lag.ms={} is less than min.compaction.lag.ms={}",
                configs.max_compaction_lag_ms, configs.min_compaction_lag_ms
            );
            return Err(
                Error::new(Kind::InvalidConfig, text).cure("raise the one, or lower the other")
            );
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
        if name == "min.compaction.lag.ms" {
            alone.insert("max.compaction.lag.ms".to_owned(), "never".to_owned());
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
                let value = match set {
                    Some(value) => canonical(known, value).to_owned(),
                    None if known.name == TIMESTAMP_AFTER && self.retention_ms.is_some() => {
                        TIMESTAMP_AFTER_MAX_MS.to_string()
                    }
                    None => known.default.to_owned(),
                };
                DescribedConfig {
                    name: known.name,
                    value,
                    explicit: set.is_some(),
                }
            })
            .collect()
    }

    /// Whether records are removed once they are old, or the log is large.
    pub fn removes_old(&self) -> bool {
        self.cleanup_policy.deletes()
            && (self.retention_ms.is_some() || self.retention_bytes.is_some())
    }

    /// The configs that were set and do nothing beside the others.
    pub fn without_effect(&self) -> Vec<&'static str> {
        if self.cleanup_policy.deletes() {
            return Vec::new();
        }
        let limits = [
            ("retention.ms", self.retention_ms.is_some()),
            ("retention.bytes", self.retention_bytes.is_some()),
        ];
        let set = limits.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(name, _)| name).collect()
    }

    /// Whether a timestamp may be too far from the present.
    pub fn bound_timestamps(&self) -> bool {
        self.timestamp_after_max_ms != Self::NEVER || self.timestamp_before_max_ms != Self::NEVER
    }

    /// Whether an older program would misread a topic with these configs: its page says what such a
    /// program writes zeros over.
    pub fn need_newer_format(&self) -> bool {
        self.cleanup_policy.compacts() || self.removes_old()
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
            cleanup_policy: CleanupPolicy::Delete,
            retention_ms: None,
            retention_bytes: None,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: Self::NEVER,
            min_cleanable_dirty_ppm: 500_000,
            timestamp_before_max_ms: Self::NEVER,
            timestamp_after_max_ms: Self::NEVER,
        }
    }
}

fn canonical<'a>(known: &Known, value: &'a str) -> &'a str {
    let never = known.words.contains(&"never") && value == "9223372036854775807";
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
    if text == "never" && known.words.contains(&"never") {
        return Ok(TopicConfigs::NEVER);
    }
    text.parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| refused(known, text))
}

/// A share from 0 to 1, in millionths.
fn parse_ppm(text: &str) -> Option<u32> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share: f64 = text.parse().ok().filter(|_| plain)?;
    (0.0..=1.0)
        .contains(&share)
        .then_some((share * 1e6).round() as u32)
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
            (&[("preallocate", "true")], "it has: "),
            (&[("retention.ms", "-2")], "-1: no limit"),
            (&[("cleanup.policy", "compress")], "compact,delete"),
            (&[("file.delete.delay.ms", "1")], "60000 only"),
            (&[("min.cleanable.dirty.ratio", "1.1")], "from 0 to 1"),
            (&[("min.cleanable.dirty.ratio", "1e-1")], "from 0 to 1"),
            (
                &[
                    ("min.compaction.lag.ms", "9"),
                    ("max.compaction.lag.ms", "8"),
                ],
                "raise the one",
            ),
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
        assert_eq!(seen, 18);
        assert!(TopicConfigs::words("retention.ms").is_empty());
    }

    #[test]
    fn retention_is_asked_for_and_bounds_timestamps() {
        let after = |configs: &TopicConfigs| {
            let described = configs.describe().into_iter();
            let mut after = described.filter(|config| config.name == TIMESTAMP_AFTER);
            after.next().map(|config| (config.value, config.explicit))
        };
        let plain = with(&[]).expect("configs");
        assert!(!plain.removes_old() && !plain.need_newer_format());
        assert_eq!(after(&plain), Some(("never".to_owned(), false)));
        let week = with(&[("retention.ms", "604800000")]).expect("configs");
        assert!(week.removes_old());
        assert_eq!(week.retention_ms, Some(604_800_000));
        assert_eq!(week.timestamp_after_max_ms, 3_600_000);
        assert_eq!(after(&week), Some(("3600000".to_owned(), false)));
        let pairs = [("retention.ms", "1"), (TIMESTAMP_AFTER, "never")];
        let any = with(&pairs).expect("configs");
        assert_eq!(any.timestamp_after_max_ms, TopicConfigs::NEVER);
        assert_eq!(after(&any), Some(("never".to_owned(), true)));
        let compacts = [("retention.ms", "1"), ("cleanup.policy", "compact")];
        let compacts = with(&compacts).expect("configs");
        assert!(!compacts.removes_old() && compacts.need_newer_format());
        assert_eq!(compacts.without_effect(), ["retention.ms"]);
        assert!(week.without_effect().is_empty());
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
