//! The command line of `mq-topics`.

use std::path::{Path, PathBuf};

use super::args_compact::{CompactArgs, compact};
use super::args_create::{CreateArgs, create};
use super::args_plan::{CONFIG_EXAMPLE, of_topic, partition_count};
use super::args_stats::{StatsArgs, stats};
use super::args_trim::{TrimArgs, trim};
use super::job::{
    Alter, DELETING, Delete, Describe, Dump, DumpWhat, List, Offsets, Only, TRIMMING, TopicsJob,
    Verify,
};
use crate::cli::common::{Common, usage};
use crate::cli::configs::{config_pairs, unset_keys};
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{Now, parse_point, shown};
use crate::cli::output::OutputArgs;
use crate::cli::tool::Tool;
use crate::cli::topic_selection::TopicSelection;
use crate::cli::{Env, Outcome};
use crate::client::topics::TopicConfigs;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::error::{Result, shell_word};

/// Create, inspect, change, trim, compact, check and delete topics
///
/// A topic is a named log, split into partitions. Its configs are Kafka's, with Kafka's names and
/// units; 'mq-topics describe --format json' shows them all.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-topics", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mq-topics create orders -p 6                       six partitions
  mq-topics create logs -c flush.messages=1000       a sync for each 1000 records
  mq-topics list --sizes
  mq-topics describe orders --format json | jq .
  mq-topics offsets orders --at @yesterday
  mq-topics trim logs --to @-7d --dry-run
  mq-topics stats orders --by key                    who fills my disk
  mq-topics delete 'test-*' --dry-run
  mq-topics verify --deep";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
    List(ListArgs),
    Describe(DescribeArgs),
    Alter(AlterArgs),
    Delete(DeleteArgs),
    Offsets(OffsetsArgs),
    Trim(TrimArgs),
    Stats(StatsArgs),
    Compact(CompactArgs),
    Dump(DumpArgs),
    Verify(VerifyArgs),
}

/// List topics
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// Only these topics: names, or quoted globs
    #[arg(value_name = "NAME|GLOB")]
    patterns: Vec<String>,
    /// Also show how many offsets and bytes each topic holds
    #[arg(long, help_heading = "Topic")]
    sizes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const LIST_EXAMPLES: &str = "\
Examples:
  mq-topics list
  mq-topics list 'app-*' 'web-*' --sizes
  mq-topics list --format tsv | cut -f 1
  mq-topics list --format json | jq -r .topic";

/// Show topics: leaders, replicas, offsets, sizes, and the configs that are set
///
/// --format json also shows every default, and where each config comes from.
#[derive(Debug, clap::Args)]
#[command(after_help = DESCRIBE_EXAMPLES)]
struct DescribeArgs {
    /// Topics, partitions of them, or quoted globs [default: all]
    #[arg(value_name = "T[:P]|GLOB")]
    topics: Vec<String>,
    /// Only partitions with a replica that is not in sync
    #[arg(long, help_heading = "Topic")]
    under_replicated: bool,
    /// Only offline partitions; with --under-replicated, partitions of both kinds
    #[arg(long, help_heading = "Topic")]
    offline: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  mq-topics describe
  mq-topics describe orders payments:3 'app-*'
  mq-topics describe orders --format tsv --header    a row for each partition
  mq-topics describe orders --format json | jq .configs
  mq-topics describe --under-replicated --format tsv";

/// Change configs of topics, or add partitions
///
/// New partitions change where keys go: records of one key are then no longer all in one partition. A
/// change by which records that are there are to be removed, such as a shorter retention.ms, shows them
/// and asks first.
#[derive(Debug, clap::Args)]
#[command(after_help = ALTER_EXAMPLES)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
struct AlterArgs {
    /// Names, or quoted globs
    #[arg(value_name = "NAME|GLOB", required = true)]
    topics: Vec<String>,
    /// Set a config (repeatable)
    #[arg(
        short,
        long = "config",
        value_name = "KEY=VALUE",
        help_heading = "Topic",
        group = "change"
    )]
    configs: Vec<String>,
    /// Reset a config to its default (repeatable)
    #[arg(long, value_name = "KEY", help_heading = "Topic", group = "change")]
    unset: Vec<String>,
    /// The new number of partitions; it can only grow
    #[arg(
        short,
        long,
        value_name = "N",
        help_heading = "Topic",
        group = "change"
    )]
    partitions: Option<String>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const ALTER_EXAMPLES: &str = "\
Examples:
  mq-topics alter logs -c flush.messages=1           from now on each record is synced
  mq-topics alter logs --unset segment.ms
  mq-topics alter logs -c retention.ms=604800000     keep a week; shows what goes, and asks
  mq-topics alter 'app-*' -c max.message.bytes=4194304
  mq-topics alter orders --partitions 12
  mq-topics alter logs -c segment.bytes=1048576 --dry-run";

/// Delete topics and all their records
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
struct DeleteArgs {
    /// Names, or quoted globs
    #[arg(value_name = "NAME|GLOB", required = true)]
    patterns: Vec<String>,
    /// Do not fail if a topic does not exist
    #[arg(long, help_heading = "Topic")]
    if_exists: bool,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const DELETE_EXAMPLES: &str = "\
Examples:
  mq-topics delete orders
  mq-topics delete 'test-*' --dry-run
  mq-topics delete 'test-*' --yes
  mq-topics delete scratch --if-exists --yes";

/// Show where partitions start and end, or the offset of a point in them
#[derive(Debug, clap::Args)]
#[command(after_help = OFFSETS_EXAMPLES)]
struct OffsetsArgs {
    /// Topics, partitions of them, or quoted globs
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
    /// A point: start, end, N, +N, -N or @TIME
    #[arg(long, value_name = "POINT", help_heading = "Topic")]
    at: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

const OFFSETS_EXAMPLES: &str = "\
Examples:
  mq-topics offsets orders
  mq-topics offsets orders --at @yesterday
  mq-topics offsets orders:3 'app-*' --at -100
  mq-topics offsets orders --at @2026-01-01T10:00Z --format tsv";

/// Show the batches of partitions, or of any segment file
#[derive(Debug, clap::Args)]
#[command(after_help = DUMP_EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true))]
struct DumpArgs {
    /// Topics, partitions of them, or quoted globs
    #[arg(value_name = "T[:P]|GLOB", group = "what")]
    topics: Vec<String>,
    /// A segment file (.log), instead of partitions
    #[arg(long, value_name = "FILE", help_heading = "Topic", group = "what")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

const DUMP_EXAMPLES: &str = "\
Examples:
  mq-topics dump orders
  mq-topics dump orders:0
  mq-topics dump orders:0 --format json | jq -c 'select(.records > 1)'
  mq-topics dump --file 00000000000000000000.log";

/// Check topics for damage, and repair them
///
/// Ends with 65 if anything is damaged. Without --deep only the structure is checked: changed bytes
/// within records are not found. With --deep every checksum and every record is checked.
#[derive(Debug, clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
struct VerifyArgs {
    /// Topics, partitions of them, or quoted globs [default: all]
    #[arg(value_name = "T[:P]|GLOB")]
    topics: Vec<String>,
    /// Read every record and check every checksum
    #[arg(long, help_heading = "Topic")]
    deep: bool,
    /// Repair damage, with the checks of --deep: truncate cuts the log before the damage, so all
    /// records after the damage are cut, too. It keeps the part that it cuts in a file beside the
    /// log, and clears the offline mark
    #[arg(long, value_name = "HOW", help_heading = "Changes")]
    repair: Option<Repair>,
    #[command(flatten)]
    consent: RepairConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  mq-topics verify
  mq-topics verify orders 'app-*' --deep
  mq-topics verify orders --repair truncate --dry-run
  mq-topics verify orders --repair truncate --yes";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Repair {
    /// Cut the log before the damage
    Truncate,
}

/// Consent to a repair.
#[derive(Debug, clap::Args)]
struct RepairConsentArgs {
    /// Print what a repair would do, change nothing
    #[arg(long, help_heading = "Changes", requires = "repair")]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = "Changes", requires = "repair")]
    yes: bool,
}

impl Tool for Args {
    const NAME: &'static str = "mq-topics";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let now = env.now();
        let job = self.job(&now, env.stdin_is_terminal())?;
        super::run::run(job, env)
    }
}

impl Args {
    /// Makes the job, and checks everything that can be checked without the store.
    fn job(self, now: &Now, can_ask: bool) -> Result<TopicsJob> {
        match self.command {
            Command::Create(args) => create(args).map(TopicsJob::Create),
            Command::List(args) => Ok(TopicsJob::List(List {
                wanted: TopicSelection::parse_topics(&args.patterns)?,
                sizes: args.sizes,
                output: args.output.try_into()?,
            })),
            Command::Describe(args) => Ok(TopicsJob::Describe(Describe {
                wanted: TopicSelection::parse(&args.topics)?,
                only: Only {
                    under_replicated: args.under_replicated,
                    offline: args.offline,
                },
                output: args.output.try_into()?,
            })),
            Command::Alter(args) => alter(args, can_ask).map(TopicsJob::Alter),
            Command::Delete(args) => delete(args, can_ask).map(TopicsJob::Delete),
            Command::Offsets(args) => Ok(TopicsJob::Offsets(Offsets {
                wanted: TopicSelection::parse(&args.topics)?,
                at: args.at.map(|at| point(&at, now)).transpose()?,
                output: args.output.try_into()?,
            })),
            Command::Trim(args) => trim(args, now, can_ask).map(TopicsJob::Trim),
            Command::Stats(args) => stats(args, now).map(TopicsJob::Stats),
            Command::Compact(args) => compact(&args).map(TopicsJob::Compact),
            Command::Dump(args) => dump(args).map(TopicsJob::Dump),
            Command::Verify(args) => verify(args, can_ask).map(TopicsJob::Verify),
        }
    }
}

fn alter(args: AlterArgs, can_ask: bool) -> Result<Alter> {
    let set = config_pairs(&args.configs, TopicConfigs::check_name, CONFIG_EXAMPLE)?;
    Ok(Alter {
        wanted: TopicSelection::parse_topics(&args.topics)?,
        unset: unset_keys(args.unset, &set, TopicConfigs::check_name)?,
        set,
        partitions: args
            .partitions
            .as_deref()
            .map(partition_count)
            .transpose()?,
        consent: args.consent.settle(can_ask, TRIMMING).ok(),
        output: args.output.try_into()?,
    })
}

fn delete(args: DeleteArgs, can_ask: bool) -> Result<Delete> {
    Ok(Delete {
        wanted: TopicSelection::parse_topics(&args.patterns)?,
        if_exists: args.if_exists,
        output: args.output.try_into()?,
        consent: args.consent.settle(can_ask, DELETING).ok(),
    })
}

fn dump(args: DumpArgs) -> Result<Dump> {
    let what = match args.file {
        Some(file) => DumpWhat::File(file),
        None => {
            if let Some(file) = args.topics.iter().find(|text| is_file(text)) {
                return Err(usage(
                    format!("'{}' is a file, not a topic", shown(file)),
                    format!(
                        "a segment file is named with --file: mq-topics dump --file {}",
                        shell_word(file)
                    ),
                ));
            }
            DumpWhat::Topics(TopicSelection::parse(&args.topics)?)
        }
    };
    let output = args.output.try_into()?;
    Ok(Dump { what, output })
}

/// Whether this names a file rather than a topic: it contains a `/`, or is a segment's name.
fn is_file(text: &str) -> bool {
    let is_segment = |stem: &str| stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit());
    (text.contains('/') || text.strip_suffix(".log").is_some_and(is_segment))
        && Path::new(text).is_file()
}

fn verify(args: VerifyArgs, can_ask: bool) -> Result<Verify> {
    let wanted = TopicSelection::parse(&args.topics)?;
    let output = args.output.try_into()?;
    let repair = match args.repair {
        None => None,
        Some(Repair::Truncate) => {
            let consent = ConsentArgs {
                dry_run: args.consent.dry_run,
                yes: args.consent.yes,
            };
            Some(consent.settle(can_ask, "cutting damaged logs")?)
        }
    };
    Ok(Verify {
        wanted,
        deep: args.deep,
        repair,
        output,
    })
}

fn point(text: &str, now: &Now) -> Result<UnresolvedOffset> {
    of_topic(parse_point(text, now)?)
}

#[cfg(test)]
mod tests;
