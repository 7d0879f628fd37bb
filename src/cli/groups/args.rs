//! The command line of `mq-groups`.

use std::ffi::OsString;

use super::args_alter::AlterArgs;
use super::args_changes::{CloneArgs, DeleteOffsetsArgs, HistoryArgs, UndoArgs};
use super::args_reset::ResetArgs;
use super::args_show::{CheckArgs, PeekArgs, SkipArgs, WatchArgs};
use super::args_wait::WaitArgs;
use super::job::{Commit, DELETING, Delete, Describe, GroupsJob, List};
use crate::cli::common::{Common, usage};
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{Now, parse_partition_offset};
use crate::cli::output::OutputArgs;
use crate::cli::pattern::NamePattern;
use crate::cli::tool::Tool;
use crate::cli::{Env, Outcome, Rule};
use crate::client::stores;
use crate::error::Result;

/// Inspect consumer groups, and move or delete their offsets
///
/// A group remembers, for each partition, the offset up to which its members (mq-consume -g) have
/// read. Lag is the number of records from there to the end.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-groups", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mq-groups list
  mq-groups describe billing --only-lagging
  mq-groups watch billing
  mq-groups wait billing --timeout 5m && echo all read
  mq-groups reset billing --to @yesterday --dry-run
  mq-groups reset billing --by -100 --topic orders:0 --yes
  mq-groups undo billing
  mq-groups commit billing orders:0=42 orders:1=17
  mq-groups delete 'test-*' --yes";

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Describe(DescribeArgs),
    Alter(AlterArgs),
    Reset(ResetArgs),
    Undo(UndoArgs),
    Commit(CommitArgs),
    Skip(SkipArgs),
    Clone(CloneArgs),
    Delete(DeleteArgs),
    DeleteOffsets(DeleteOffsetsArgs),
    Peek(PeekArgs),
    History(HistoryArgs),
    Watch(WatchArgs),
    Wait(WaitArgs),
    Check(CheckArgs),
}

/// List groups and their states
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

const LIST_EXAMPLES: &str = "\
Examples:
  mq-groups list
  mq-groups list --format tsv --header
  mq-groups list --format tsv | cut -f 1
  mq-groups list --format json | jq -r 'select(.state == \"Empty\").group'";

/// Show groups: committed offsets, lag and members
#[derive(Debug, clap::Args)]
#[command(after_help = DESCRIBE_EXAMPLES)]
struct DescribeArgs {
    /// The groups, or quoted globs [default: all]
    #[arg(value_name = "GROUP|GLOB")]
    groups: Vec<String>,
    /// A row (in JSON: an object) for each member
    #[arg(long, help_heading = "Group", conflicts_with = "only_lagging")]
    members: bool,
    /// Only partitions with records still to be read
    #[arg(long, help_heading = "Group")]
    only_lagging: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  mq-groups describe
  mq-groups describe billing
  mq-groups describe billing --members
  mq-groups describe 'app-*'
  mq-groups describe --members --format json | jq -r .host
  mq-groups describe --only-lagging --format tsv";

/// Delete groups and their committed offsets
///
/// Refused while a group has live members. No record is deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
struct DeleteArgs {
    /// Names, or quoted globs; an exact name wins over a glob
    #[arg(value_name = "GROUP|GLOB", required = true)]
    patterns: Vec<String>,
    /// Do not fail if a group does not exist
    #[arg(long, help_heading = "Group")]
    if_exists: bool,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const DELETE_EXAMPLES: &str = "\
Examples:
  mq-groups delete billing
  mq-groups delete 'test-*' --dry-run
  mq-groups delete 'test-*' --yes
  mq-groups delete scratch --if-exists --yes";

/// Commit offsets for a group
///
/// Commit the offset of the next record to read (last read + 1). Never asks: this is for scripts
/// that read without -g and keep their place themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = COMMIT_EXAMPLES)]
struct CommitArgs {
    /// The group; created if it does not exist
    #[arg(value_name = "GROUP")]
    group: String,
    /// Partitions and offsets, such as orders:0=42
    #[arg(value_name = "T:P=N", required = true)]
    offsets: Vec<String>,
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const COMMIT_EXAMPLES: &str = "\
Examples:
  mq-groups commit billing orders:0=42
  mq-groups commit billing orders:0=42 orders:1=17
  mq-groups commit billing orders:0=42 --dry-run
  mq-consume -e -c 10 -f '%t:%p=%o\\n' orders | tail -1    which offsets were read";

impl Tool for Args {
    const NAME: &'static str = "mq-groups";

    fn rules() -> &'static [Rule] {
        super::args_show::RULES
    }

    fn usage_status(args: &[OsString]) -> u8 {
        if is_check(args) {
            crate::cli::check_status::Status::Unknown.code()
        } else {
            crate::cli::exit::USAGE
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let now = env.now();
        let is_check = matches!(self.command, Command::Check(_));
        let literal = match &self.command {
            Command::Peek(args) => args.literal(),
            Command::Skip(args) => args.literal(),
            _ => None,
        };
        match self.job(&now, env.stdin_is_terminal()) {
            Ok(job) => {
                if let Some(literal) = literal {
                    env.note(&literal);
                }
                super::run::run(job, env)
            }
            // A monitor expects the check's own output and exit statuses.
            Err(e) if is_check => super::check::notify_unknown(&e),
            Err(e) => Err(e),
        }
    }
}

/// Whether clap refused arguments of `check`: the first one that is not a common option.
fn is_check(args: &[OsString]) -> bool {
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--store" || arg == "--color" {
            args.next();
        } else if !arg.to_string_lossy().starts_with('-') {
            return arg == "check";
        }
    }
    false
}

impl Args {
    /// Makes the job, and checks everything that can be checked without the store.
    fn job(self, now: &Now, can_ask: bool) -> Result<GroupsJob> {
        Ok(match self.command {
            Command::List(args) => GroupsJob::List(List {
                output: args.output.try_into()?,
            }),
            Command::Describe(args) => {
                for group in &args.groups {
                    stores::group_dir(group)?;
                }
                GroupsJob::Describe(Describe {
                    groups: args.groups,
                    members: args.members,
                    only_lagging: args.only_lagging,
                    output: args.output.try_into()?,
                })
            }
            Command::Alter(args) => args.job()?,
            Command::Reset(args) => args.job(now, can_ask)?,
            Command::Delete(args) => {
                let patterns: Vec<NamePattern> = args
                    .patterns
                    .iter()
                    .map(|text| NamePattern::parse(text))
                    .collect::<Result<_>>()?;
                for name in patterns.iter().filter(|pattern| !pattern.is_glob()) {
                    stores::group_dir(name.text())?;
                }
                GroupsJob::Delete(Delete {
                    patterns,
                    if_exists: args.if_exists,
                    output: args.output.try_into()?,
                    consent: args.consent.settle(can_ask, DELETING).ok(),
                })
            }
            Command::Commit(args) => GroupsJob::Commit(commit(args)?),
            Command::DeleteOffsets(args) => args.job(can_ask)?,
            Command::Undo(args) => args.job(can_ask)?,
            Command::Clone(args) => args.job(can_ask)?,
            Command::History(args) => args.job()?,
            Command::Peek(args) => args.job(now)?,
            Command::Skip(args) => args.job(now, can_ask)?,
            Command::Check(args) => args.job()?,
            Command::Watch(args) => args.job()?,
            Command::Wait(args) => args.job()?,
        })
    }
}

fn commit(args: CommitArgs) -> Result<Commit> {
    stores::group_dir(&args.group)?;
    let mut offsets = Vec::with_capacity(args.offsets.len());
    for arg in &args.offsets {
        let (tp, offset) = parse_partition_offset(arg)?;
        if offsets.iter().any(|(other, _)| *other == tp) {
            return Err(usage(
                format!("{tp} is named twice"),
                "give each partition one offset",
            ));
        }
        offsets.push((tp, offset));
    }
    Ok(Commit {
        group: args.group,
        offsets,
        dry_run: args.dry_run,
        output: args.output.try_into()?,
    })
}

#[cfg(test)]
mod tests;
