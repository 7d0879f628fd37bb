//! The options of one `mq-topics` run, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::consent::Consent;
use crate::cli::output::OutputOptions;
use crate::cli::topic_selection::TopicSelection;
use crate::client::unresolved_offset::{UnresolvedOffset, UnresolvedRange};
use crate::types::{BrokerId, PartitionId, TopicName};

/// One run of `mq-topics`.
#[derive(Debug)]
pub enum TopicsJob {
    /// `create`
    Create(Create),
    /// `list`
    List(List),
    /// `describe`
    Describe(Describe),
    /// `alter`
    Alter(Alter),
    /// `delete`
    Delete(Delete),
    /// `offsets`
    Offsets(Offsets),
    /// `trim`
    Trim(Trim),
    /// `stats`
    Stats(StatsJob),
    /// `compact`
    Compact(Compact),
    /// `dump`
    Dump(Dump),
    /// `verify`
    Verify(Verify),
}

/// `mq-topics compact`.
#[derive(Debug)]
pub struct Compact {
    /// The topics and partitions.
    pub wanted: TopicSelection,
}

/// `mq-topics create`.
#[derive(Debug)]
pub struct Create {
    /// The topics, each once, in the order given.
    pub names: Vec<TopicName>,
    /// The number of partitions; `None`: as `like`, else 1.
    pub partitions: Option<PartitionId>,
    /// The number of replicas of each partition; `None`: as `like`, else 1.
    pub replication_factor: Option<usize>,
    /// The brokers of each partition, the preferred leader first; consistent with the two fields
    /// above.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
    /// Configs to set. Without `like` they were checked together; with it only their names.
    pub configs: BTreeMap<String, String>,
    /// Partitions and configs come from this topic where they are not given.
    pub like: Option<TopicName>,
    /// Whether an existing topic counts as success.
    pub if_not_exists: bool,
    /// Whether only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics list`.
#[derive(Debug)]
pub struct List {
    /// The topics; empty: all.
    pub wanted: TopicSelection,
    /// Whether offsets and bytes are counted.
    pub sizes: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics describe`.
#[derive(Debug)]
pub struct Describe {
    /// The topics and partitions; empty: all.
    pub wanted: TopicSelection,
    /// Which of these partitions are shown.
    pub only: Only,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// Which partitions `mq-topics describe` shows: all if neither is set, else those that either
/// selects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Only {
    /// Partitions with a replica that is not in sync.
    pub under_replicated: bool,
    /// Partitions that cannot be used.
    pub offline: bool,
}

/// `mq-topics alter`. At least one of `set`, `unset` and `partitions` is given.
#[derive(Debug)]
pub struct Alter {
    /// The topics, without partitions.
    pub wanted: TopicSelection,
    /// Configs to set; their names were checked.
    pub set: BTreeMap<String, String>,
    /// Configs to reset to their defaults; none of them is in `set`.
    pub unset: Vec<String>,
    /// The new number of partitions.
    pub partitions: Option<PartitionId>,
    /// Whether it is done if records fall due by it; `None`: refused then, since consent was not given
    /// and cannot be asked for. A change that removes nothing needs none.
    pub consent: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// What a deletion does, for messages about consent.
pub const DELETING: &str = "deleting topics";

/// `mq-topics delete`.
#[derive(Debug)]
pub struct Delete {
    /// The topics, without partitions.
    pub wanted: TopicSelection,
    /// Whether a missing topic counts as success.
    pub if_exists: bool,
    /// Whether the deletion is done; `None`: refused if there is something to delete, since consent
    /// was not given and cannot be asked for.
    pub consent: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics offsets`.
#[derive(Debug)]
pub struct Offsets {
    /// The topics and partitions.
    pub wanted: TopicSelection,
    /// The point; never `stored`. `None`: log start and high watermark.
    pub at: Option<UnresolvedOffset>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// What `mq-topics stats` counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatsBy {
    /// The record's key
    Key,
    /// The hour of its timestamp, local time
    Hour,
    /// The minute of its timestamp
    Minute,
    /// Its size, in powers of two
    Size,
    /// Its partition
    Partition,
}

/// `mq-topics stats`.
#[derive(Debug)]
pub struct StatsJob {
    /// The topics and partitions.
    pub wanted: TopicSelection,
    /// What is counted by.
    pub by: StatsBy,
    /// Which records are counted; never from `stored`.
    pub range: UnresolvedRange,
    /// The most rows; `None`: all.
    pub limit: Option<usize>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// What a trim does, for messages about consent.
pub const TRIMMING: &str = "removing records";

/// `mq-topics trim`.
#[derive(Debug)]
pub struct Trim {
    /// The topics and partitions.
    pub wanted: TopicSelection,
    /// Where their logs are to start; never `stored`.
    pub to: UnresolvedOffset,
    /// Whether the records are removed; `None`: refused if there is something to remove, since consent
    /// was not given and cannot be asked for.
    pub consent: Option<Consent>,
    /// How long to wait for the in-sync replicas.
    pub timeout: Duration,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics dump`.
#[derive(Debug)]
pub struct Dump {
    /// What is dumped.
    pub what: DumpWhat,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// What `mq-topics dump` reads.
#[derive(Debug)]
pub enum DumpWhat {
    /// Logs of partitions in the store.
    Topics(TopicSelection),
    /// A segment file, at any path.
    File(PathBuf),
}

/// `mq-topics verify`.
#[derive(Debug)]
pub struct Verify {
    /// The topics and partitions; empty: all.
    pub wanted: TopicSelection,
    /// Whether every checksum and record is checked, not only the structure.
    pub deep: bool,
    /// `--repair truncate`: whether damaged logs are cut.
    pub repair: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}
