//! The command line of `mq-groups wait`.

use super::job::{GroupsJob, Wait};
use crate::cli::lang::{parse_count, parse_duration};
use crate::cli::output::OutputArgs;
use crate::cli::topic_selection::TopicSelection;
use crate::client::stores;
use crate::error::Result;

/// Wait until a group has caught up
///
/// Ends with status 0 as soon as the group's lag is at most --lag, over all partitions that the
/// group has committed offsets of or that a member reads. Records that arrive later do not count.
/// The wait goes on while the lag of a partition is unknown, or while partitions move between
/// members. Exit status 75 if --timeout expires first. If the group or the selected part of it does
/// not exist, the exit status is 1 at once, unless --wait is given. It is also 1 if a partition
/// with unread records is deleted meanwhile, or the store is moved or deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct WaitArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// The lag, in records, that is low enough
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, default_value_t = 0, help_heading = "Group")]
    lag: u64,
    /// Only this topic, partition, or what a quoted glob matches (repeatable)
    #[arg(long, value_name = "T[:P]|GLOB", help_heading = "Group")]
    topic: Vec<String>,
    /// Wait for a store, a group and committed offsets that do not exist yet
    #[arg(long, help_heading = "Group")]
    wait: bool,
    /// How long to wait in all [default: no limit]
    #[arg(long, value_name = "DURATION", help_heading = "Group")]
    timeout: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  mq-groups wait billing && echo all read
  mq-groups wait billing --timeout 5m || mq-groups describe billing
  mq-groups wait billing --wait --timeout 5m   # it may not have begun yet
  mq-groups wait billing --lag 1000 --topic orders --topic 'app-*'
  mq-groups wait billing --format json | jq -c '.offsets[] | [.topic, .partition, .lag]'";

impl WaitArgs {
    /// Makes the job.
    pub fn job(self) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        let one = |text: &String| TopicSelection::parse(&[text]);
        let timeout = self.timeout.as_deref().map(parse_duration).transpose();
        Ok(GroupsJob::Wait(Wait {
            group: self.group,
            lag: self.lag,
            topics: self.topic.iter().map(one).collect::<Result<_>>()?,
            wait: self.wait,
            timeout: timeout.map_err(|e| e.at("--timeout"))?,
            output: self.output.try_into()?,
        }))
    }
}
