//! The command line of `mq-consume`.

use std::ffi::OsString;

use crate::cli::common::Common;
use crate::cli::lang::{FIELDS_HELP, literal_braces, parse_count};
use crate::cli::rules::How;
use crate::cli::tool::Tool;
use crate::cli::{Env, Outcome, Rule};
use crate::client::groups::Assignor;
use crate::error::Result;

/// Print a topic's records, then follow new ones
///
/// Reads topics from the start and then follows them, until Ctrl-C; -e ends at the end. Prints
/// each record's value and a newline, unless a format says otherwise.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-consume", version, after_help = EXAMPLES, after_long_help = format!("{FIELDS_HELP}\n\n{EXAMPLES}"), max_term_width = 100)]
pub struct Args {
    /// Topics: names, or quoted globs such as 'logs.*', which take later topics too;
    /// NAME:P is partition P only
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
    /// TOPIC is a regular expression that the whole name matches
    #[arg(short = 'r', long, help_heading = "Selection")]
    regex: bool,
    /// Wait for topics that do not exist yet; topics that exist are read meanwhile (with -g -e,
    /// they are read once all exist)
    #[arg(long, help_heading = "Selection")]
    wait: bool,
    /// Only these partitions, such as 0,2-5
    #[arg(
        short,
        long,
        value_name = "LIST",
        help_heading = "Selection",
        conflicts_with = "group"
    )]
    partitions: Option<String>,
    /// The range to read: POINT, A:B, or 0=A:B,3=C by partition. Points: start end N +N -N @TIME
    /// stored; B may be @+5m: five minutes after the time A. TIME is 10:00, 2026-01-31T10:00,
    /// yesterday, -10m (ago) and others (mq(7)): the first record whose timestamp is not older, as
    /// in Kafka. With -g, A counts only where the group has committed nothing
    #[arg(short, long, value_name = "RANGE", help_heading = "Selection")]
    offset: Option<String>,
    /// Stop at the end, as it is when the command starts
    #[arg(short = 'e', long, help_heading = "Selection")]
    end: bool,
    /// Stop after N printed records
    #[arg(short, long, value_name = "N", value_parser = parse_count::<u64>, help_heading = "Selection")]
    count: Option<u64>,
    /// Begin with the last N records that match (not with -o): takes the last N of each partition
    /// by offset, then the N newest of these by timestamp
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, help_heading = "Selection", conflicts_with_all = ["offset", "group"])]
    tail: Option<u64>,
    /// Read this broker's replica, up to its own high watermark
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Replicas",
        allow_hyphen_values = true
    )]
    replica: Option<String>,
    /// Read in-sync replicas on this rack; where there is none, the leader
    #[arg(
        long,
        value_name = "RACK",
        help_heading = "Replicas",
        conflicts_with = "replica"
    )]
    rack: Option<String>,
    /// What to do about records that were removed before they were read: warn and go on at the log
    /// start, or fail. With an end (-e, -c, -o A:B), warn goes on as well, and then exits with status 1
    /// if they were removed while the command ran
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "warn",
        help_heading = "Selection"
    )]
    on_missed: OnMissedArg,
    /// Stop when no record has arrived for this long
    #[arg(long, value_name = "DURATION", help_heading = "Selection")]
    idle_timeout: Option<String>,

    /// Only records with this key
    #[arg(long, value_name = "KEY", help_heading = "Filters")]
    key: Option<OsString>,
    /// Only records whose key matches
    #[arg(long, value_name = "REGEX", help_heading = "Filters")]
    key_regex: Option<String>,
    /// Only records with this header. NAME alone matches any value; if repeated, all must match
    #[arg(long = "header", value_name = "NAME[=VALUE]", help_heading = "Filters")]
    headers: Vec<OsString>,
    /// Only records whose value matches. ^ and $ are the ends of the value; (?m) makes them those
    /// of its lines
    #[arg(long, value_name = "REGEX", help_heading = "Filters")]
    grep: Option<String>,
    /// Print only records that fail at least one of the filters above
    #[arg(long, help_heading = "Filters")]
    invert_match: bool,
    /// Leave out records with a null value
    #[arg(long, help_heading = "Filters")]
    no_tombstones: bool,

    /// A template such as '%k=%v\n' (fields: --help, mq(7)), or one of the names value and json
    #[arg(short, long, value_name = "TEMPLATE", help_heading = "Output", conflicts_with_all = ["json", "delimiter", "nul", "key_delimiter"])]
    format: Option<String>,
    /// Print a JSON object a line, lossless: mq-produce -J reads it back
    #[arg(short = 'J', long, help_heading = "Output", conflicts_with_all = ["delimiter", "nul", "key_delimiter"])]
    json: bool,
    /// What ends a record, with escapes \n \t \r \0 \\ \xNN [default: \n]
    #[arg(
        short = 'D',
        value_name = "DELIM",
        help_heading = "Output",
        conflicts_with = "nul"
    )]
    delimiter: Option<String>,
    /// Records end with NUL, for xargs -0
    #[arg(short = '0', long = "null", help_heading = "Output")]
    nul: bool,
    /// Print the key and this before the value
    #[arg(short = 'K', value_name = "DELIM", help_heading = "Output")]
    key_delimiter: Option<String>,
    /// Do not escape control characters on a terminal
    #[arg(long, help_heading = "Output")]
    raw: bool,
    /// Print this for a null key or value [default: nothing]
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    null_marker: Option<OsString>,
    /// Exit with status 4 if no record was printed, or fewer than -c N
    #[arg(long, help_heading = "Output")]
    fail_if_empty: bool,

    /// Read as a member of this consumer group: continue at its committed offsets, and commit. A
    /// partition without a committed offset is read from the start, or from where -o says
    #[arg(short, long, value_name = "GROUP", help_heading = "Group")]
    group: Option<String>,
    /// When to commit the offsets of records that were written out. Behind a pipe use -c N: a reader
    /// such as head takes more records than it prints, and those are committed, too
    #[arg(
        long,
        value_name = "WHEN",
        help_heading = "Group",
        requires = "group",
        default_value = "after-write"
    )]
    commit: CommitArg,
    /// How often to commit; offsets are also committed as soon as nothing is left to read [default:
    /// 1s]
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Group",
        requires = "group"
    )]
    commit_interval: Option<String>,

    /// How members share partitions [default: the group's]
    #[arg(long, value_name = "NAME", help_heading = "Group", requires = "group")]
    assignor: Option<Assignor>,
    /// Join as a static member: restarted under this name, it gets the same partitions, without a
    /// rebalance
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Group",
        requires = "group",
        allow_hyphen_values = true
    )]
    instance_id: Option<String>,
    /// How long a member may be silent, or a static member absent, before others take its
    /// partitions [default: 45s]
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Group",
        requires = "group"
    )]
    session_timeout: Option<String>,

    /// Run a command (sh -c) for each record, with the record on its standard input; exit status 0
    /// commits the record
    #[arg(
        long,
        value_name = "CMD",
        help_heading = "Work queue",
        requires = "group",
        allow_hyphen_values = true
    )]
    exec: Option<String>,
    /// Pass up to N records of one partition to each command, 4 MiB at most [default: 1]
    #[arg(long, value_name = "N", help_heading = "Work queue", requires = "exec")]
    batch: Option<u64>,
    /// Retry a failed command up to N times, with growing pauses [default: 0]
    #[arg(long, value_name = "N", value_parser = parse_count::<u32>, help_heading = "Work queue", requires = "exec")]
    retries: Option<u32>,
    /// After the last retry, copy the records to this topic (error details in headers) and continue
    #[arg(
        long,
        value_name = "TOPIC",
        help_heading = "Work queue",
        requires = "exec"
    )]
    dead_letter: Option<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CommitArg {
    /// Periodically, for output already delivered
    AfterWrite,
    /// Once, on exit with status 0
    OnExit,
    /// Not at all
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnMissedArg {
    /// Name them on stderr, and go on
    Warn,
    /// Name them on stderr, and exit with status 1
    Fail,
}

const EXAMPLES: &str = "\
Examples:
  mq-consume logs                                    all records, then new ones
  mq-consume -e logs | grep ERROR                    the current records, then end
  mq-consume --tail 10 logs                          the last ten, then follow
  mq-consume --tail 10 -e --grep ERROR logs          the last ten that match, then end
  mq-consume -e -o -100 logs                         the last hundred of each partition
  mq-consume -e -o @09:00:@10:30 logs                between two times today
  mq-consume -e -o @09:00:@+5m logs                  five minutes from 09:00 on
  mq-consume -e -J orders | jq .value                as JSON
  mq-consume -f '%p:%o %T %k = %v\\n' orders          with a template
  mq-consume -g billing orders | ./bill              from the committed offsets on
  mq-consume -g jobs jobs --exec 'sh ./work.sh' --retries 3 --dead-letter failed
                                                     a work queue: start as many as you like
  mq-consume --rack cellar logs                      from replicas on this rack
  mq-consume -e -0 paths | xargs -0 ls -l";

const NULL_IN_JSON: Rule = Rule {
    command: "",
    arg: "null_marker",
    how: How::Refuses(&["json"]),
    what: "--null-marker does not apply to JSON, which has null",
    cure: "leave it out, or print with a template",
};

const RULES: &[Rule] = &[
    NULL_IN_JSON,
    Rule {
        command: "",
        arg: "invert_match",
        how: How::Needs(&["key", "key_regex", "headers", "grep"]),
        what: "--invert-match has nothing to invert",
        cure: "use it with --key, --key-regex, --header or --grep",
    },
];

impl Tool for Args {
    const NAME: &'static str = "mq-consume";

    fn rules() -> &'static [Rule] {
        RULES
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let now = env.now();
        let literal = self.format.as_deref().and_then(literal_braces);
        let job = self.job(&now)?;
        if let Some(literal) = literal {
            env.note(&literal);
        }
        let outcome = super::run::run(job, env)?;
        Ok(env.with_failures(outcome))
    }
}

mod as_job;
