//! The command line of `mq-topics`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::cli::common::Common;
use crate::cli::consent::ConsentArgs;
use crate::cli::output::OutputArgs;
use crate::cli::{Env, Outcome, Tool};
use crate::error::Result;

/// Make, look at, change, check and delete topics
#[derive(Debug, clap::Parser)]
#[command(name = "mq-topics", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// How long a change tries for a lock.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
enum Command {
    /// Make topics
    #[command(after_help = "Examples:\n  mq-topics create orders -p 6\n  mq-topics create logs -c segment.bytes=104857600 -c compression.type=zstd\n  mq-topics create orders-copy --like orders")]
    Create(CreateArgs),
    /// List topics
    #[command(after_help = "Examples:\n  mq-topics list\n  mq-topics list 'logs.*' --sizes\n  mq-topics list --format json | jq -r .name")]
    List(ListArgs),
    /// Show configs, partitions and offsets of topics
    #[command(after_help = "Examples:\n  mq-topics describe orders\n  mq-topics describe --format json orders | jq .configs")]
    Describe(DescribeArgs),
    /// Change configs, or add partitions
    #[command(after_help = "Examples:\n  mq-topics alter logs -c segment.ms=3600000\n  mq-topics alter logs --unset segment.ms\n  mq-topics alter logs --partitions 12")]
    Alter(AlterArgs),
    /// Delete topics and their data
    #[command(after_help = "Examples:\n  mq-topics delete old-logs\n  mq-topics delete 'tmp.*' --yes\n  mq-topics delete maybe --if-exists --yes")]
    Delete(DeleteArgs),
    /// Show the offset of a point in each partition
    #[command(after_help = "Examples:\n  mq-topics offsets logs\n  mq-topics offsets logs --at @yesterday\n  mq-topics offsets logs --at -100 --format tsv")]
    Offsets(OffsetsArgs),
    /// Print the batches of a partition or segment file
    #[command(after_help = "Examples:\n  mq-topics dump logs:0\n  mq-topics dump --file 00000000000000000000.log --format json")]
    Dump(DumpArgs),
    /// Check topics: structure, and with --deep every checksum and record
    #[command(after_help = "Examples:\n  mq-topics verify\n  mq-topics verify --deep logs\n  mq-topics verify --repair truncate logs")]
    Verify(VerifyArgs),
}

/// `create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The topics' names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// How many partitions [default: 1, or as --like has]
    #[arg(short, long, value_name = "N")]
    pub partitions: Option<i32>,
    /// A config (repeatable)
    #[arg(short, long = "config", value_name = "NAME=VALUE")]
    pub configs: Vec<String>,
    /// Partitions and configs as this topic has, unless said otherwise
    #[arg(long, value_name = "TOPIC")]
    pub like: Option<String>,
    /// A topic that is there already is as good as made
    #[arg(long)]
    pub if_not_exists: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only names that match
    #[arg(value_name = "GLOB")]
    pub glob: Option<String>,
    /// Also how many bytes and records they have
    #[arg(long)]
    pub sizes: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// The topics [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `alter`.
#[derive(Debug, clap::Args)]
pub struct AlterArgs {
    /// The topic
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Set a config (repeatable)
    #[arg(short, long = "config", value_name = "NAME=VALUE", required_unless_present_any = ["unset", "partitions"])]
    pub configs: Vec<String>,
    /// Back to the default (repeatable)
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// So many partitions in all: their number only grows
    #[arg(long, value_name = "N")]
    pub partitions: Option<i32>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Names, or quoted globs
    #[arg(value_name = "NAME|GLOB", required = true)]
    pub names: Vec<String>,
    /// A topic that is not there is as good as deleted
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// `offsets`.
#[derive(Debug, clap::Args)]
pub struct OffsetsArgs {
    /// The topic
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A point: start, end, N, +N, -N, @TIME [default: start and end]
    #[arg(long, value_name = "POINT", allow_hyphen_values = true)]
    pub at: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `dump`.
#[derive(Debug, clap::Args)]
pub struct DumpArgs {
    /// A topic, or one partition of it
    #[arg(value_name = "TOPIC[:P]", required_unless_present = "file", conflicts_with = "file")]
    pub topic: Option<String>,
    /// A segment file, mq's or Kafka's
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The topics [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Also every checksum, record and index entry
    #[arg(long)]
    pub deep: bool,
    /// truncate: end damaged logs at the first damage, keep what is cut beside them, and lift an
    /// offline mark
    #[arg(long, value_name = "HOW")]
    pub repair: Option<Repair>,
    #[command(flatten)]
    pub consent: ConsentArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Repair {
    /// End the log at the first damage
    Truncate,
}

const EXAMPLES: &str = "\
Examples:
  mq-topics create orders -p 6                       six partitions
  mq-topics list --sizes
  mq-topics describe orders
  mq-topics alter orders -c flush.messages=never     faster, at a price: see mq(7)
  mq-topics offsets orders --at @09:00               which offsets were due at nine
  mq-topics verify --deep orders                     every checksum
  mq-topics delete 'tmp.*'                           asks first";

impl Tool for Args {
    const NAME: &'static str = "mq-topics";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        match self.command {
            Command::Create(args) => super::change::create(args, env),
            Command::Alter(args) => super::change::alter(args, env),
            Command::Delete(args) => super::change::delete(args, env),
            Command::List(args) => super::show::list(args, env),
            Command::Describe(args) => super::show::describe(args, env),
            Command::Offsets(args) => super::show::offsets(args, env),
            Command::Dump(args) => super::dump::dump(args, env),
            Command::Verify(args) => super::verify::verify(args, env),
        }
    }
}
