//! The configs that a topic can have, and those that it has in Kafka only.

/// A config: its name, default, and what it accepts.
pub(super) struct Known {
    pub name: &'static str,
    pub default: &'static str,
    pub allowed: &'static str,
    /// The values that it takes by name, if any.
    pub words: &'static [&'static str],
}

/// All, sorted by name.
pub(super) const KNOWN: [Known; 22] = [
    Known {
        name: "cleanup.policy",
        default: "delete",
        allowed: "delete, compact or compact,delete",
        words: &["delete", "compact", "compact,delete"],
    },
    Known {
        name: "compression.type",
        default: "producer",
        allowed: "producer, uncompressed, gzip, snappy, lz4 or zstd",
        words: &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
    },
    Known {
        name: "delete.retention.ms",
        default: "86400000",
        allowed: "0 or more ms",
        words: &[],
    },
    Known {
        name: "file.delete.delay.ms",
        default: "60000",
        allowed: "60000 only, without effect: files are removed at once",
        words: &[],
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
        name: "max.compaction.lag.ms",
        default: "never",
        allowed: "1 or more ms, or 'never'",
        words: &["never"],
    },
    Known {
        name: "max.message.bytes",
        default: "1048588",
        allowed: "128 to 2147483647 bytes",
        words: &[],
    },
    Known {
        name: "message.timestamp.after.max.ms",
        default: "never",
        allowed: "0 or more ms, or 'never'",
        words: &["never"],
    },
    Known {
        name: "message.timestamp.before.max.ms",
        default: "never",
        allowed: "0 or more ms, or 'never'",
        words: &["never"],
    },
    Known {
        name: "message.timestamp.type",
        default: "CreateTime",
        allowed: "CreateTime or LogAppendTime",
        words: &["CreateTime", "LogAppendTime"],
    },
    Known {
        name: "min.cleanable.dirty.ratio",
        default: "0.5",
        allowed: "a number from 0 to 1",
        words: &[],
    },
    Known {
        name: "min.compaction.lag.ms",
        default: "0",
        allowed: "0 or more ms",
        words: &[],
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
        name: "retention.bytes",
        default: "-1",
        allowed: "0 or more bytes, or -1: no limit",
        words: &[],
    },
    Known {
        name: "retention.ms",
        default: "-1",
        allowed: "0 or more ms, or -1: no limit",
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
pub(super) const KAFKAS: [&str; 12] = [
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "message.downconversion.enable",
    "message.format.version",
    "preallocate",
    "remote.storage.enable",
    "segment.jitter.ms",
];
