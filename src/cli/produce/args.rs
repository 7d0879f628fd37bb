//! The command line of `mq-produce`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::hints;
use crate::cli::common::Common;
use crate::cli::lang::{FIELDS_HELP, parse_count};
use crate::cli::rules::How;
use crate::cli::tool::Tool;
use crate::cli::{Env, Outcome, Rule};
use crate::client::{Acks, Keyless};
use crate::error::Result;
use crate::record::Partitioner;
use crate::types::{Compression, PartitionId};

/// Send lines, files or JSON into a topic
///
/// Reads records from standard input, or from files in order, and stores them in a topic. By
/// default each line is a record. Exit status 0 means that every record was acknowledged; by
/// default, that it is on disk.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-produce", version, after_help = EXAMPLES, after_long_help = format!("{FIELDS_HELP}\n\n{EXAMPLES}"), max_term_width = 100)]
pub struct Args {
    /// The topic, created if it does not exist; TOPIC:P is its partition P, as -p P
    #[arg(value_name = "TOPIC", required_unless_present = "each_topic")]
    topic: Option<OsString>,
    /// Files to read, in order; - is standard input [default: -]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What ends a record, with escapes \n \t \r \0 \\ \xNN [default: \n]
    #[arg(short = 'D', value_name = "DELIM", help_heading = "Input", conflicts_with_all = ["nul", "whole", "json", "format"])]
    delimiter: Option<String>,
    /// Records end with NUL, as from find -print0
    #[arg(short = '0', long = "null", help_heading = "Input", conflicts_with_all = ["whole", "json", "format"])]
    nul: bool,
    /// Each input, a file or standard input, is one record
    #[arg(long, help_heading = "Input", conflicts_with_all = ["json", "format"])]
    whole: bool,
    /// Each line is a record as mq-consume -J prints it; only "value" is required
    #[arg(short = 'J', long, help_heading = "Input", conflicts_with = "format")]
    json: bool,
    /// A record begins with each line in which REGEX is found, so that a stack trace is one record.
    /// A record also ends when the input is idle for --linger (default 1s)
    #[arg(long, value_name = "REGEX", help_heading = "Input", conflicts_with_all = ["whole", "json", "format"])]
    begins: Option<String>,
    /// Most lines of a record with --begins; a longer record is split
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, help_heading = "Input", requires = "begins")]
    max_lines: Option<u64>,
    /// Read lines as another tool writes them: kcat -J, or Kafka's console tools with headers and
    /// key (HEADERS TAB KEY TAB VALUE)
    #[arg(long, value_name = "TOOL", help_heading = "Input", conflicts_with_all = ["delimiter", "nul", "whole", "json", "format", "key_delimiter", "begins"])]
    input_format: Option<OtherTool>,
    /// Send each record to the topic named in it (-J, --input-format kcat). Do not give TOPIC then
    #[arg(long, help_heading = "Input")]
    each_topic: bool,
    /// Read the input by a template such as '%k=%v\n' (fields: --help, mq(7))
    #[arg(short, long, value_name = "TEMPLATE", help_heading = "Input")]
    format: Option<String>,
    /// Each record begins with its key; this delimiter ends the key
    #[arg(short = 'K', value_name = "DELIM", help_heading = "Input", conflicts_with_all = ["json", "format"])]
    key_delimiter: Option<String>,
    /// What to do with a record in which -K finds no key
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Input",
        requires = "key_delimiter",
        default_value = "fail"
    )]
    on_missing_key: OnMissingKey,
    /// Key of records that have none; it may contain %{file}, %{name} (the file without folder) and
    /// %{line}: where the record came from
    #[arg(short, long, value_name = "KEY", help_heading = "Input")]
    key: Option<OsString>,
    /// Add a header to every record (repeatable). VALUE may contain the same fields; without = its
    /// value is null
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME[=VALUE]",
        help_heading = "Input"
    )]
    headers: Vec<OsString>,
    /// An empty value is null: a tombstone
    #[arg(short = 'Z', long, help_heading = "Input")]
    empty_is_null: bool,
    /// A key or value that is exactly this text is null
    #[arg(long, value_name = "TEXT", help_heading = "Input")]
    null_marker: Option<OsString>,
    /// Skip empty records
    #[arg(long, help_heading = "Input")]
    skip_empty: bool,

    /// Send every record to this partition
    #[arg(short, long, value_name = "N", value_parser = parse_count::<PartitionId>, help_heading = "Placement", conflicts_with_all = ["keep_partition", "partitioner", "keyless"])]
    partition: Option<PartitionId>,
    /// Send each record to the partition named in it (-J, %p). For a copy, create the topic first:
    /// 'mq-topics create NEW --like OLD'
    #[arg(long, help_heading = "Placement")]
    keep_partition: bool,
    /// The hash that maps keys to partitions
    #[arg(
        long,
        value_name = "HASH",
        help_heading = "Placement",
        default_value = "murmur2"
    )]
    partitioner: Partitioner,
    /// How records without a key are spread over the partitions
    #[arg(
        long,
        value_name = "HOW",
        help_heading = "Placement",
        default_value = "round-robin"
    )]
    keyless: Keyless,
    /// The timestamp of records that have none [default: now]
    #[arg(long, value_name = "TIME", help_heading = "Placement")]
    timestamp: Option<String>,

    /// Which replicas must acknowledge a record: none, the leader, or all in sync
    #[arg(
        long,
        value_name = "ACKS",
        help_heading = "Delivery",
        default_value = "all"
    )]
    acks: Acks,
    /// How to compress batches
    #[arg(
        short = 'z',
        long,
        value_name = "CODEC",
        help_heading = "Delivery",
        default_value = "none"
    )]
    compression: Compression,
    /// How long to keep trying for a lock, a leader, or enough in-sync replicas
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Delivery",
        default_value = "30s"
    )]
    timeout: String,
    /// Send a batch when it reaches this size
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Delivery",
        default_value = "1MiB"
    )]
    batch_size: String,
    /// How long to wait for more records of a batch while the input is idle [default: 0ms]
    #[arg(long, value_name = "DURATION", help_heading = "Delivery")]
    linger: Option<String>,
    /// Fail if the topic is missing
    #[arg(long, help_heading = "Delivery", conflicts_with = "create_partitions")]
    no_create: bool,
    /// How many partitions to create a missing topic with [default: 1]
    #[arg(long, value_name = "N", value_parser = parse_count::<PartitionId>, help_heading = "Delivery")]
    create_partitions: Option<PartitionId>,

    /// Copy each record's input bytes to standard output once the record is acknowledged. If the
    /// reader of that output exits, a note says so, and mq-produce goes on
    #[arg(short = 'T', long, help_heading = "Echo", conflicts_with = "echo")]
    tee: bool,
    /// Print a template for each acknowledged record, such as '%p %o\n'
    #[arg(short = 'o', long, value_name = "TEMPLATE", help_heading = "Echo")]
    echo: Option<String>,
    /// What to do with a bad record
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Echo",
        default_value = "fail"
    )]
    on_error: OnError,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnMissingKey {
    /// End the run
    Fail,
    /// Store it with a null key
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OtherTool {
    /// kcat -J: fields payload and ts, headers as one flat list
    Kcat,
    /// kafka-console-producer with parse.headers and parse.key
    Console,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// End the run
    Fail,
    /// Skip it and go on; the exit status is then 1
    Skip,
}

const EXAMPLES: &str = "\
Examples:
  seq 1000 | mq-produce numbers                      a record for each line
  mq-produce logs /var/log/syslog                    a file's lines
  tail -F app.log | mq-produce logs                  each line as it comes
  echo 'user1=hello' | mq-produce -K = chat          key and value
  jq -c '{key:(.id|tostring),value:tojson}' in.json | mq-produce -J orders
  mq-topics create b --like a && mq-consume -J -e a | mq-produce -J --keep-partition b
  mq-consume -J -e a b | mq-produce --store copy -J --each-topic
  seq 3 | mq-produce -o '%p %o\\n' numbers            where each record went
  find . -print0 | mq-produce -0 paths
  mq-produce --begins '^[0-9]{4}-' logs app.log      a stack trace is one record";

/// The input formats in which each record names its partition or topic.
const EACH_NAMED_BY: How = How::Needs(&["json", "format", "input_format"]);

const KEEP_PARTITION: Rule = Rule {
    command: "",
    arg: "keep_partition",
    how: EACH_NAMED_BY,
    what: "--keep-partition needs records that name their partition",
    cure: "use it with -J, or with a template (-f) that has %p",
};

const EACH_TOPIC: Rule = Rule {
    command: "",
    arg: "each_topic",
    how: EACH_NAMED_BY,
    what: "--each-topic needs records that name their topic",
    cure: "use it with -J; without it, name the topic: mq-produce TOPIC",
};

/// With --each-topic, all positional arguments are files, including the first one.
const NO_TOPIC: Rule = Rule {
    command: "",
    arg: "each_topic",
    how: How::RefusesAsRead(&["topic"]),
    what: "--each-topic has no TOPIC argument",
    cure: "with --each-topic all arguments are files: each record names its topic",
};

const RULES: &[Rule] = &[KEEP_PARTITION, EACH_TOPIC, NO_TOPIC];

impl Tool for Args {
    const NAME: &'static str = "mq-produce";

    fn rules() -> &'static [Rule] {
        RULES
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let now = env.now();
        let notes = hints::notes(&self.headers, [&self.format, &self.echo]);
        let job = self.job(now)?;
        for note in notes {
            env.note(&note);
        }
        super::run::run(job, env)
    }
}

mod as_job;
