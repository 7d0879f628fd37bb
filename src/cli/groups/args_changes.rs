//! The command lines of `mq-groups undo`, `delete-offsets`, `clone` and `history`.

use super::job::{Clone, DeleteOffsets, GroupsJob, History, Undo};
use crate::cli::common::usage;
use crate::cli::consent::ConsentArgs;
use crate::cli::output::OutputArgs;
use crate::cli::topic_selection::TopicSelection;
use crate::client::stores;
use crate::error::Result;

/// Revert the last change of a group's offsets
///
/// Reverts the last reset, commit, skip, clone, delete, delete-offsets or undo by mq-groups;
/// commits by members do not count. All offsets of the group are then as they were right before
/// that change. A deleted group is restored. A second undo reverts the first. Refused while the
/// group has live members.
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
    /// Makes the job.
    pub fn job(self, can_ask: bool) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        Ok(GroupsJob::Undo(Undo {
            group: self.group,
            output: self.output.try_into()?,
            consent: self
                .consent
                .settle(can_ask, "moving committed offsets")
                .ok(),
        }))
    }
}

/// Delete a group's committed offsets of topics
///
/// The group then counts as never having read these topics. They may have been deleted already.
/// Refused while a live member reads one of them.
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_OFFSETS_EXAMPLES)]
pub struct DeleteOffsetsArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// A topic or partition, or those that a quoted glob matches (repeatable)
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
    /// Makes the job.
    pub fn job(self, can_ask: bool) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        Ok(GroupsJob::DeleteOffsets(DeleteOffsets {
            group: self.group,
            topics: TopicSelection::parse(&self.topic)?,
            output: self.output.try_into()?,
            consent: self.consent.settle(can_ask, "deleting committed offsets")?,
        }))
    }
}

/// Copy a group's offsets to another group
///
/// OTHER then has exactly the offsets of GROUP; offsets that only OTHER had are deleted. Refused
/// while OTHER has live members. Asks if OTHER has offsets already.
#[derive(Debug, clap::Args)]
#[command(after_help = CLONE_EXAMPLES)]
pub struct CloneArgs {
    /// The group to copy from
    #[arg(value_name = "GROUP")]
    from: String,
    /// The group to copy to; created if it does not exist
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
    /// Makes the job.
    pub fn job(self, can_ask: bool) -> Result<GroupsJob> {
        stores::group_dir(&self.from)?;
        stores::group_dir(&self.to)?;
        if self.from == self.to {
            return Err(usage(
                "a group cannot be cloned to itself",
                "name another group",
            ));
        }
        Ok(GroupsJob::Clone(Clone {
            from: self.from,
            to: self.to,
            consent: self.consent.settle(can_ask, "replacing offsets").ok(),
            output: self.output.try_into()?,
        }))
    }
}

/// Show the history of a group's offsets
///
/// Each change and each commit, oldest first, as far back as offsets.log reaches. A log that
/// has grown is compacted: it then begins with the offsets of that moment, and with those
/// before the last change by mq-groups. Kinds: commit (by a member), reset (by mq-groups reset, skip,
/// commit or clone), undo, delete, delete-offsets, live (a member joined), expire.
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
    /// Makes the job.
    pub fn job(self) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        Ok(GroupsJob::History(History {
            group: self.group,
            output: self.output.try_into()?,
        }))
    }
}
