//! The options of one `mq-groups` run, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Env;
use crate::cli::consent::Consent;
use crate::cli::lang::Renderer;
use crate::cli::output::OutputOptions;
use crate::cli::pattern::NamePattern;
use crate::cli::topic_selection::TopicSelection;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::types::{Offset, TopicPartition};

/// One run of `mq-groups`.
#[derive(Debug)]
pub enum GroupsJob {
    /// `list`
    List(List),
    /// `describe`
    Describe(Describe),
    /// `alter`
    Alter(Alter),
    /// `reset`
    Reset(Reset),
    /// `reset --export`
    Export(Export),
    /// `delete`
    Delete(Delete),
    /// `delete-offsets`
    DeleteOffsets(DeleteOffsets),
    /// `undo`
    Undo(Undo),
    /// `clone`
    Clone(Clone),
    /// `history`
    History(History),
    /// `peek`
    Peek(Peek),
    /// `skip`
    Skip(Skip),
    /// `check`
    Check(Check),
    /// `watch`
    Watch(Watch),
    /// `wait`
    Wait(Wait),
    /// `commit`
    Commit(Commit),
}

/// `mq-groups list`.
#[derive(Debug)]
pub struct List {
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups describe`.
#[derive(Debug)]
pub struct Describe {
    /// The groups, by name or glob; none: all.
    pub groups: Vec<String>,
    /// A row for each member instead of each committed offset.
    pub members: bool,
    /// Only partitions with unread records.
    pub only_lagging: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// The offsets that a reset commits.
#[derive(Debug, PartialEq, Eq)]
pub enum Move {
    /// Those of a point; never `stored`.
    To(UnresolvedOffset),
    /// The committed offsets, moved back or forward by so many records.
    By(i64),
    /// Those of an exported file; `-`: standard input.
    File(PathBuf),
    /// Those of another group.
    Group(String),
}

/// `mq-groups reset`.
#[derive(Debug)]
pub struct Reset {
    /// The group, by exact name.
    pub group: String,
    /// Where to move the offsets.
    pub to: Move,
    /// Only these topics and partitions; empty: all.
    pub topics: TopicSelection,
    /// Whether the reset is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// What a deletion does, for messages about consent.
pub const DELETING: &str = "deleting groups";

/// `mq-groups delete`.
#[derive(Debug)]
pub struct Delete {
    /// Names and globs; an exact name wins over a glob.
    pub patterns: Vec<NamePattern>,
    /// Whether a missing group counts as success.
    pub if_exists: bool,
    /// Whether the deletion is done; `None`: refused if there is something to delete, since consent
    /// was not given and cannot be asked for.
    pub consent: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups commit`.
#[derive(Debug)]
pub struct Commit {
    /// The group, by exact name.
    pub group: String,
    /// The offsets of the next records to read, each partition once.
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// Whether only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups reset --export`.
#[derive(Debug)]
pub struct Export {
    /// The group, by exact name.
    pub group: String,
    /// Only these topics and partitions; empty: all.
    pub topics: TopicSelection,
}

/// `mq-groups delete-offsets`.
#[derive(Debug)]
pub struct DeleteOffsets {
    /// The group, by exact name.
    pub group: String,
    /// The topics and partitions.
    pub topics: TopicSelection,
    /// Whether the deletion is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups undo`.
#[derive(Debug)]
pub struct Undo {
    /// The group, by exact name.
    pub group: String,
    /// Whether the change is undone; `None`: refused once it is known, since consent was not given
    /// and cannot be asked for.
    pub consent: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups clone`.
#[derive(Debug)]
pub struct Clone {
    /// The group that is copied from.
    pub from: String,
    /// The group that is copied to.
    pub to: String,
    /// Whether existing offsets are replaced; `None`: consent was neither given nor can be asked
    /// for, which only matters if there are offsets to replace.
    pub consent: Option<Consent>,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups history`.
#[derive(Debug)]
pub struct History {
    /// The group, by exact name.
    pub group: String,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// How records are printed.
#[derive(Debug)]
pub enum RecordOutput {
    /// As rows.
    Rows(OutputOptions),
    /// In the format of mq-consume.
    Rendered(Renderer),
}

impl RecordOutput {
    /// The same, with control characters escaped if standard output is a terminal.
    pub fn for_screen(&self, env: &Env) -> Self {
        match self {
            RecordOutput::Rows(output) => RecordOutput::Rows(*output),
            RecordOutput::Rendered(renderer) => {
                RecordOutput::Rendered(renderer.clone().escaping(env.stdout_is_terminal()))
            }
        }
    }
}

/// `mq-groups peek`.
#[derive(Debug)]
pub struct Peek {
    /// The group, by exact name.
    pub group: String,
    /// How many records before the committed offset are shown.
    pub before: u64,
    /// How many records after it are shown.
    pub after: u64,
    /// Only these topics and partitions; empty: all.
    pub topics: TopicSelection,
    /// How records are printed.
    pub records: RecordOutput,
}

/// `mq-groups skip`.
#[derive(Debug)]
pub struct Skip {
    /// The group, by exact name.
    pub group: String,
    /// The partition.
    pub tp: TopicPartition,
    /// Whether the record is skipped.
    pub consent: Consent,
    /// How the record is printed.
    pub records: RecordOutput,
}

/// A threshold: the largest lag that is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Lag in records, over all partitions.
    Records(i64),
    /// Age of the oldest unread record of any partition.
    Age(Duration),
}

impl Threshold {
    /// Whether a lag is above the threshold.
    pub fn is_above(self, records: i64, seconds: i64) -> bool {
        match self {
            Threshold::Records(most) => records > most,
            Threshold::Age(most) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) > most,
        }
    }
}

/// `mq-groups check`.
#[derive(Debug)]
pub struct Check {
    /// The groups, by exact name; none: all.
    pub groups: Vec<String>,
    /// A lag above it is a warning.
    pub warn: Option<Threshold>,
    /// A lag above it is critical.
    pub critical: Option<Threshold>,
}

/// `mq-groups watch`.
#[derive(Debug)]
pub struct Watch {
    /// One group, by exact name; `None`: all.
    pub group: Option<String>,
    /// Only partitions with unread records.
    pub only_lagging: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups alter`. At least one of `set` and `unset` is not empty.
#[derive(Debug)]
pub struct Alter {
    /// The group, by exact name.
    pub group: String,
    /// Configs to set.
    pub set: BTreeMap<String, String>,
    /// Configs to reset to their defaults.
    pub unset: Vec<String>,
    /// Whether only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups wait`.
#[derive(Debug)]
pub struct Wait {
    /// The group, by exact name.
    pub group: String,
    /// The largest lag at which the wait ends.
    pub lag: u64,
    /// The topics and partitions that count, one argument each; empty: all.
    pub topics: Vec<TopicSelection>,
    /// Whether to wait for a missing store, group or topic.
    pub wait: bool,
    /// The time limit, from the start; `None`: none.
    pub timeout: Option<Duration>,
    /// How the result is printed, if a format was given.
    pub output: OutputOptions,
}
