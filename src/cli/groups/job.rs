//! What `mq-groups` was asked to do, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Env;
use crate::cli::consent::{Consent, ConsentArgs};
use crate::cli::lang::Renderer;
use crate::cli::output::OutputOptions;
use crate::cli::pattern::NamePattern;
use crate::cli::selection::Selection;
use crate::client::offset_spec::Point;
use crate::error::{Error, Kind};
use crate::types::{Offset, TopicPartition};

/// One run of `mq-groups`.
#[derive(Debug)]
pub enum Job {
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
#[derive(Debug, PartialEq, Eq)]
pub enum Move {
    /// To that point; never `stored`.
    To(Point),
    /// By so many offsets, back or on.
    By(i64),
    /// To what the file says, as it was exported; `-`: standard input.
    File(PathBuf),
    /// To where another group is.
    Group(String),
}

/// `mq-groups reset`.
#[derive(Debug)]
pub struct Reset {
    /// The group, by exact name.
    pub group: String,
    /// Where to.
    pub to: Move,
    /// Only these; nothing named: all.
    pub topics: Selection,
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

/// `mq-groups reset --export`.
#[derive(Debug)]
pub struct Export {
    /// The group, by exact name.
    pub group: String,
    /// Only these; nothing named: all.
    pub topics: Selection,
}

/// `mq-groups delete-offsets`.
#[derive(Debug)]
pub struct DeleteOffsets {
    /// The group, by exact name.
    pub group: String,
    /// Which.
    pub topics: Selection,
    /// Whether it is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups undo`.
#[derive(Debug)]
pub struct Undo {
    /// The group, by exact name.
    pub group: String,
    /// Whether it is done.
    pub consent: Consent,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups clone`.
#[derive(Debug)]
pub struct Clone {
    /// Whose offsets.
    pub from: String,
    /// Who gets them.
    pub to: String,
    /// Whether offsets that are there already are replaced; `None`: nobody said and nobody can be
    /// asked, which is no matter where there are none.
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
    /// As mq-consume does.
    Rendered(Renderer),
}

impl RecordOutput {
    /// The same, safe for a terminal where standard output is one.
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
    /// So many records that are read.
    pub before: u64,
    /// So many that are not.
    pub after: u64,
    /// Only these; nothing named: all.
    pub topics: Selection,
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
    /// Whether it is done.
    pub consent: Consent,
    /// How the record is printed.
    pub records: RecordOutput,
}

/// What is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// So many records of lag, over all partitions.
    Records(i64),
    /// The first unread record of any partition is so old.
    Age(Duration),
}

impl Threshold {
    /// Whether a lag is more than that.
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
    /// Above it: a warning.
    pub warn: Option<Threshold>,
    /// Above it: critical.
    pub critical: Option<Threshold>,
}

/// `mq-groups watch`.
#[derive(Debug)]
pub struct Watch {
    /// One group, by exact name; `None`: all.
    pub group: Option<String>,
    /// Only partitions with records still to be read.
    pub only_lagging: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups alter`. At least one of the two is there.
#[derive(Debug)]
pub struct Alter {
    /// The group, by exact name.
    pub group: String,
    /// Configs that are set.
    pub set: BTreeMap<String, String>,
    /// Configs that go back to their defaults.
    pub unset: Vec<String>,
    /// Only the plan is printed.
    pub dry_run: bool,
    /// How rows are printed.
    pub output: OutputOptions,
}

/// `mq-groups wait`.
#[derive(Debug)]
pub struct Wait {
    /// The group, by exact name.
    pub group: String,
    /// The most that its lag may be in the end.
    pub lag: u64,
    /// What counts, one argument each; none: everything.
    pub topics: Vec<Selection>,
    /// Whether what is not there yet is waited for.
    pub wait: bool,
    /// How long, from the start; `None`: without limit.
    pub timeout: Option<Duration>,
    /// How the end is printed, if a format was asked for.
    pub output: OutputOptions,
}

/// Nobody said yes, and nobody can be asked.
pub(crate) fn unasked(what: &str) -> Error {
    ConsentArgs::default()
        .settle(false, what)
        .err()
        .unwrap_or_else(|| Error::new(Kind::Usage, what))
}
