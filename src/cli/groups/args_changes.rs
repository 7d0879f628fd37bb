//! The command lines of `mq-groups undo`, `delete-offsets`, `clone` and `history`.

use super::job::{Clone, DeleteOffsets, History, Job, Undo};
use crate::cli::common::usage;
use crate::cli::consent::ConsentArgs;
use crate::cli::output::OutputArgs;
use crate::cli::selection::Selection;
use crate::error::Result;
use crate::store::layout;

/// Take back the last change of a group's offsets
///
/// The last reset, commit, skip, clone, delete, delete-offsets or undo by mq-groups is taken back,
/// not what members committed: all offsets of the group are again as they were right before it. A
/// deleted group comes back. Undo an undo to do it again. Refused while members live.
#[derive(Debug, clap::Args)]
#[command(after_help = UNDO_EXAMPLES)]
pub struct UndoArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const UNDO_EXAMPLES: &str = "\
Examples:
  mq-groups undo billing --dry-run
  mq-groups undo billing
  mq-groups undo billing --yes
  mq-groups delete billing --yes && mq-groups undo billing --yes";

impl UndoArgs {
    /// What is asked for.
    pub fn job(self, can_ask: bool) -> Result<Job> {
        layout::group_dir(&self.group)?;
        Ok(Job::Undo(Undo {
            group: self.group,
            consent: self.consent.settle(can_ask, "moving committed offsets")?,
            output: self.output.try_into()?,
        }))
    }
}

/// Delete a group's offsets of topics
///
/// The group is then as one that never read them. The topics may be gone already. Refused while
/// a member lives that reads one of them.
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_OFFSETS_EXAMPLES)]
pub struct DeleteOffsetsArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// A topic, a partition, or what a quoted glob matches (repeatable)
    #[arg(
        long,
        value_name = "T[:P]|GLOB",
        help_heading = "Group",
        required = true
    )]
    topic: Vec<String>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const DELETE_OFFSETS_EXAMPLES: &str = "\
Examples:
  mq-groups delete-offsets billing --topic orders
  mq-groups delete-offsets billing --topic orders:3 --topic 'app-*'
  mq-groups delete-offsets billing --topic orders --dry-run
  mq-groups delete-offsets billing --topic orders --yes";

impl DeleteOffsetsArgs {
    /// What is asked for.
    pub fn job(self, can_ask: bool) -> Result<Job> {
        layout::group_dir(&self.group)?;
        Ok(Job::DeleteOffsets(DeleteOffsets {
            group: self.group,
            topics: Selection::parse(&self.topic)?,
            consent: self.consent.settle(can_ask, "deleting committed offsets")?,
            output: self.output.try_into()?,
        }))
    }
}

/// Give one group's offsets to another
///
/// The other group has then exactly the same: what the first has no offset of is deleted in it.
/// Refused while members of the other group live. Asks if it has offsets already.
#[derive(Debug, clap::Args)]
#[command(after_help = CLONE_EXAMPLES)]
pub struct CloneArgs {
    /// Whose offsets
    #[arg(value_name = "GROUP")]
    from: String,
    /// Which group gets them; made if there is none yet
    #[arg(value_name = "OTHER")]
    to: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const CLONE_EXAMPLES: &str = "\
Examples:
  mq-groups clone billing billing-test
  mq-groups clone billing billing-test --dry-run
  mq-groups clone billing billing-test --yes
  mq-groups clone billing billing-$(date +%F)    a backup";

impl CloneArgs {
    /// What is asked for.
    pub fn job(self, can_ask: bool) -> Result<Job> {
        layout::group_dir(&self.from)?;
        layout::group_dir(&self.to)?;
        if self.from == self.to {
            return Err(usage(
                "a group cannot be cloned to itself",
                "name another group",
            ));
        }
        Ok(Job::Clone(Clone {
            from: self.from,
            to: self.to,
            consent: self.consent.settle(can_ask, "replacing offsets").ok(),
            output: self.output.try_into()?,
        }))
    }
}

/// Tell what happened to a group's offsets
///
/// Each change and each commit, oldest first, as far back as the group's offsets.log goes. A log that
/// has grown is compacted: it then begins with the offsets as they stood, and with those before the
/// last change by mq-groups. Kinds: commit (by a member), reset (by mq-groups), undo, delete, delete-offsets,
/// live (a member came), expire.
#[derive(Debug, clap::Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct HistoryArgs {
    /// The group, also a deleted one
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    output: OutputArgs,
}

const HISTORY_EXAMPLES: &str = "\
Examples:
  mq-groups history billing
  mq-groups history billing | tail
  mq-groups history billing --format tsv --header
  mq-groups history billing --format json | jq -c 'select(.kind != \"commit\")'";

impl HistoryArgs {
    /// What is asked for.
    pub fn job(self) -> Result<Job> {
        layout::group_dir(&self.group)?;
        Ok(Job::History(History {
            group: self.group,
            output: self.output.try_into()?,
        }))
    }
}
