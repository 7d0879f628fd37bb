//! What `mq-groups` was asked to do, typed.

use crate::cli::consent::Consent;
use crate::cli::output::OutputOptions;
use crate::cli::pattern::NamePattern;
use crate::client::point::Point;
use crate::types::{Offset, PartitionId, TopicName, TopicPartition};

/// One run of `mq-groups`.
#[derive(Debug)]
pub enum Job {
    /// `list`
    List(List),
    /// `describe`
    Describe(Describe),
    /// `reset`
    Reset(Reset),
    /// `delete`
    Delete(Delete),
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
    /// The groups, by exact name; none: all.
    pub groups: Vec<String>,
    /// A row for each member instead of each committed offset.
    pub members: bool,
    /// Only partitions with records still to be read.
    pub only_lagging: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// Where committed offsets are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// To that point; never `stored`.
    To(Point),
    /// By so many offsets, back or on.
    By(i64),
}

/// `mq-groups reset`.
#[derive(Debug)]
pub struct Reset {
    /// The group, by exact name.
    pub group: String,
    /// Where to.
    pub to: Move,
    /// Only this topic, or one partition of it.
    pub topic: Option<(TopicName, Option<PartitionId>)>,
    /// Whether it is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups delete`.
#[derive(Debug)]
pub struct Delete {
    /// Names and globs; an exact name wins over a glob.
    pub patterns: Vec<NamePattern>,
    /// What is not there is no failure.
    pub if_exists: bool,
    /// Whether it is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups commit`.
#[derive(Debug)]
pub struct Commit {
    /// The group, by exact name.
    pub group: String,
    /// The offsets, each partition once: the next to be read.
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// Only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}
