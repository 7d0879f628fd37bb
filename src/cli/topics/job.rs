//! What `mq-topics` was asked to do, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::consent::Consent;
use crate::cli::output::OutputOptions;
use crate::cli::selection::Selection;
use crate::client::offset_spec::Point;
use crate::types::{BrokerId, PartitionId, TopicName};

/// One run of `mq-topics`.
#[derive(Debug)]
pub enum Job {
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
    /// `dump`
    Dump(Dump),
    /// `verify`
    Verify(Verify),
}

/// `mq-topics create`.
#[derive(Debug)]
pub struct Create {
    /// The topics, each once, in the order given.
    pub names: Vec<TopicName>,
    /// How many partitions; `None`: as `like`, else 1.
    pub partitions: Option<PartitionId>,
    /// How many replicas of each; `None`: as `like`, else 1.
    pub replication_factor: Option<usize>,
    /// The brokers of each partition, the preferred leader first; the two above agree with it.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
    /// Configs that are set. Without `like` they are checked together; with it only their names.
    pub configs: BTreeMap<String, String>,
    /// Partitions and configs are taken from this topic, where they are not given.
    pub like: Option<TopicName>,
    /// A topic that is there is no failure.
    pub if_not_exists: bool,
    /// Only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics list`.
#[derive(Debug)]
pub struct List {
    /// Which; nothing named: all.
    pub wanted: Selection,
    /// With records and bytes.
    pub sizes: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics describe`.
#[derive(Debug)]
pub struct Describe {
    /// Which; nothing named: all.
    pub wanted: Selection,
    /// Which partitions of those.
    pub only: Only,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// Which partitions `mq-topics describe` shows: all if neither is set, else what either selects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Only {
    /// Those with a replica that is not in sync.
    pub under_replicated: bool,
    /// Those that nobody can use.
    pub offline: bool,
}

/// `mq-topics alter`. At least one of the three is there.
#[derive(Debug)]
pub struct Alter {
    /// Which, whole.
    pub wanted: Selection,
    /// Configs that are set; their names are checked.
    pub set: BTreeMap<String, String>,
    /// Configs that go back to their default; none of them is in `set`.
    pub unset: Vec<String>,
    /// How many partitions in all.
    pub partitions: Option<PartitionId>,
    /// Only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics delete`.
#[derive(Debug)]
pub struct Delete {
    /// Which, whole.
    pub wanted: Selection,
    /// What is not there is no failure.
    pub if_exists: bool,
    /// Whether it is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-topics offsets`.
#[derive(Debug)]
pub struct Offsets {
    /// Which.
    pub wanted: Selection,
    /// Where; never `stored`. `None`: log start and high watermark.
    pub at: Option<Point>,
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
    /// Logs of the store.
    Topics(Selection),
    /// A segment, wherever it lies.
    File(PathBuf),
}

/// `mq-topics verify`.
#[derive(Debug)]
pub struct Verify {
    /// Which; nothing named: all.
    pub wanted: Selection,
    /// Every checksum and record, not only the structure.
    pub deep: bool,
    /// `--repair truncate`: whether damaged logs are cut.
    pub repair: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}
