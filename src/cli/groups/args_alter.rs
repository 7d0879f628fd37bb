//! The command line of `mq-groups alter`.

use super::job::{Alter, GroupsJob};
use crate::cli::configs::{config_pairs, unset_keys};
use crate::cli::output::OutputArgs;
use crate::client::groups::check_config_name;
use crate::client::stores;
use crate::error::Result;

/// Change a group's configs
///
/// The only one is offsets.retention.minutes: how long committed offsets are kept after the group's
/// last use (7 days by default). Nothing expires while the group has members.
#[derive(Debug, clap::Args)]
#[command(after_help = ALTER_EXAMPLES)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct AlterArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// Set a config (repeatable)
    #[arg(
        short,
        long = "config",
        value_name = "KEY=VALUE",
        help_heading = "Group",
        group = "change"
    )]
    configs: Vec<String>,
    /// Reset a config to its default (repeatable)
    #[arg(long, value_name = "KEY", help_heading = "Group", group = "change")]
    unset: Vec<String>,
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const ALTER_EXAMPLES: &str = "\
Examples:
  mq-groups alter billing -c offsets.retention.minutes=43200     a month
  mq-groups alter billing --unset offsets.retention.minutes
  mq-groups alter scratch -c offsets.retention.minutes=60 && mq-groups describe scratch
  mq-groups alter billing -c offsets.retention.minutes=60 --dry-run";

impl AlterArgs {
    /// Makes the job.
    pub fn job(self) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        let example = "offsets.retention.minutes=43200";
        let set = config_pairs(&self.configs, check_config_name, example)?;
        Ok(GroupsJob::Alter(Alter {
            group: self.group,
            unset: unset_keys(self.unset, &set, check_config_name)?,
            set,
            dry_run: self.dry_run,
            output: self.output.try_into()?,
        }))
    }
}
