//! The command line of `mq-consume`.

use std::ffi::OsString;
use std::time::Duration;

use regex::bytes::Regex;

use super::command::check_command;
use super::exec::is_source;
use super::filter::{Filter, HeaderIs};
use super::job::{ExecJob, GroupJob, Job, Topics};
use crate::cli::common::{Common, broker_id, bytes_as_given, usage};
use crate::cli::lang::{
    Delimiter, FIELDS_HELP, Format, Framing, FramingOptions, Now, Renderer, Template,
    literal_braces, parse_count, parse_duration, parse_partitions, parse_selection,
};
use crate::cli::pattern::{NamePattern, bad_regex};
use crate::cli::rules::How;
use crate::cli::selection::Selection as Named;
use crate::cli::{Env, Outcome, Rule, Tool};
use crate::client::point::Selection;
use crate::client::{CommitWhen, ReadFrom};
use crate::error::Result;
use crate::group::Assignor;
use crate::types::TopicName;

/// Print a topic's records, then follow new ones
///
/// Reads topics from the start and then follows them, until Ctrl-C; -e ends at the end. Prints
/// each record's value and a newline, unless a format says otherwise.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-consume", version, after_help = EXAMPLES, after_long_help = format!("{FIELDS_HELP}\n\n{EXAMPLES}"), max_term_width = 100)]
pub struct Args {
    /// Topics: names, or quoted globs such as 'logs.*', which take later topics too; behind each of them
    /// :P means that partition alone
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
    /// TOPIC is a regular expression that the whole name matches
    #[arg(short = 'r', long, help_heading = "Selection")]
    regex: bool,
    /// Wait for topics that do not exist yet; topics that exist are read meanwhile (with -g -e, after
    /// the wait)
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
    /// When to commit the offsets of records that were written out
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
    #[arg(long, value_name = "N", help_heading = "Work queue", requires = "exec")]
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

/// How often a group commits, if nobody says.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a member may stand still, if nobody says: as Kafka's.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// Shorter ones take a busy machine for a dead member.
const SESSION_TIMEOUT_MIN: Duration = Duration::from_millis(500);

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

impl Args {
    /// What is asked for, typed; everything that can be checked without the store is.
    fn job(self, now: &Now) -> Result<Job> {
        let framing = FramingOptions {
            format: self.format.as_deref(),
            json: self.json,
            delimiter: self.delimiter.as_deref(),
            nul: self.nul,
        };
        let format = match framing.parse()? {
            Framing::Format(format) => format,
            Framing::Ended(delimiter) => {
                let key = self
                    .key_delimiter
                    .as_deref()
                    .map(|k| Delimiter::parse("-K", k))
                    .transpose()?;
                Format::Template(Template::lines(&delimiter, key.as_ref()))
            }
        };
        if self.null_marker.is_some() {
            check_marker(&format)?;
        }
        let marker = self
            .null_marker
            .map(|text| bytes_as_given("--null-marker", text))
            .transpose()?;
        let renderer = Renderer::new(format, marker.as_deref(), now.zone.clone());
        let filter = Filter {
            key: self
                .key
                .map(|key| bytes_as_given("--key", key))
                .transpose()?,
            key_regex: regex("--key-regex", self.key_regex.as_deref())?,
            headers: self
                .headers
                .into_iter()
                .map(HeaderIs::parse)
                .collect::<Result<_>>()?,
            grep: regex("--grep", self.grep.as_deref())?,
            invert: self.invert_match,
            no_tombstones: self.no_tombstones,
        };
        let selection = self
            .offset
            .as_deref()
            .map(|o| parse_selection(o, now))
            .transpose()?;
        if self.group.is_some() && matches!(selection, Some(Selection::Each(_))) {
            return Err(usage(
                "a group reads all partitions: -o cannot name them with -g",
                "say -o A:B for all, or read without -g",
            ));
        }
        if self.partitions.is_some() && matches!(selection, Some(Selection::Each(_))) {
            return Err(usage(
                "-p and -o both name partitions",
                "name them in one of the two",
            ));
        }
        if self.commit_interval.is_some() && self.commit != CommitArg::AfterWrite {
            return Err(usage(
                "--commit-interval is for --commit after-write: nothing is committed on the way",
                "leave one of the two out",
            ));
        }
        let interval = match &self.commit_interval {
            None => COMMIT_INTERVAL,
            Some(interval) => parse_duration(interval)?.max(Duration::from_millis(1)),
        };
        let (topics, named) = topics(&self.topics, self.regex)?;
        if named.has_partitions() {
            let by_option = self.partitions.is_some();
            if by_option || matches!(selection, Some(Selection::Each(_))) {
                let option = if by_option { "-p" } else { "-o" };
                return Err(usage(
                    format!("{option} and T:P both name partitions"),
                    "name them in one of the two",
                ));
            }
            if self.group.is_some() {
                return Err(usage(
                    "a group reads all partitions: T:P cannot name them with -g",
                    "name the topic alone, or read without -g",
                ));
            }
        }
        let session_timeout = match &self.session_timeout {
            None => SESSION_TIMEOUT,
            Some(timeout) => parse_duration(timeout)?,
        };
        if session_timeout < SESSION_TIMEOUT_MIN {
            return Err(usage(
                "--session-timeout is shorter than 500ms",
                "a member on a busy machine would be taken for dead: use 500ms or more",
            ));
        }
        if self.instance_id.as_deref() == Some("") {
            return Err(usage("--instance-id is empty", "name the member"));
        }
        let exec = match self.exec {
            None => None,
            Some(command) => Some(exec_job(
                command,
                self.batch,
                self.retries,
                self.dead_letter.as_deref(),
                &topics,
            )?),
        };
        let group = match self.group {
            None => None,
            Some(name) => {
                crate::store::layout::group_dir(&name)?;
                Some(GroupJob {
                    name,
                    assignor: self.assignor,
                    instance_id: self.instance_id,
                    session_timeout,
                    exec,
                    commit: match self.commit {
                        CommitArg::AfterWrite => CommitWhen::AfterWrite,
                        CommitArg::OnExit => CommitWhen::OnExit,
                        CommitArg::Never => CommitWhen::Never,
                    },
                    interval,
                })
            }
        };
        if group.is_none() && points_to_stored(selection.as_ref()) {
            return Err(usage(
                "'stored' is where a group left off",
                "name the group with -g",
            ));
        }
        Ok(Job {
            topics,
            named,
            wait: self.wait,
            partitions: self
                .partitions
                .as_deref()
                .map(parse_partitions)
                .transpose()?,
            selection,
            read_from: read_from(self.replica.as_deref(), self.rack)?,
            to_end: self.end,
            count: self.count,
            tail: self.tail,
            idle_timeout: self
                .idle_timeout
                .as_deref()
                .map(parse_duration)
                .transpose()?,
            filter,
            renderer,
            raw: self.raw,
            fail_if_empty: self.fail_if_empty,
            group,
        })
    }
}

/// The expression of an option.
fn regex(option: &str, text: Option<&str>) -> Result<Option<Regex>> {
    let parse = |text| Regex::new(text).map_err(|e| bad_regex(option, text, &e));
    text.map(parse).transpose()
}

/// Refuses a null marker where a null never prints as it.
fn check_marker(format: &Format) -> Result<()> {
    match format {
        Format::Json => Err(NULL_IN_JSON.refusal()),
        Format::Template(template) if !template.prints_null_marker() => Err(usage(
            "--null-marker does not apply to this template: no null prints as it",
            "leave it out, or use a field such as %k or %v (without {json}, {escape} or its length)",
        )),
        Format::Template(_) => Ok(()),
    }
}

fn read_from(replica: Option<&str>, rack: Option<String>) -> Result<ReadFrom> {
    match (replica, rack) {
        (Some(replica), _) => broker_id(replica).map(ReadFrom::Replica),
        (None, Some(rack)) if rack.is_empty() => {
            Err(usage("--rack is empty", "name a rack: 'mq-broker list'"))
        }
        (None, Some(rack)) => Ok(ReadFrom::Rack(rack)),
        (None, None) => Ok(ReadFrom::Leader),
    }
}

fn exec_job(
    command: String,
    batch: Option<u64>,
    retries: Option<u32>,
    dead_letter: Option<&str>,
    sources: &Topics,
) -> Result<ExecJob> {
    if batch == Some(0) {
        return Err(usage("--batch 0 hands out nothing", "use 1 or more"));
    }
    let dead_letter = dead_letter.map(TopicName::new).transpose()?;
    if let Some(topic) = &dead_letter
        && sources.subscription().matcher()?.matches(topic)
    {
        return Err(is_source(topic.as_str()));
    }
    check_command(&command)?;
    Ok(ExecJob {
        command,
        batch: batch.unwrap_or(1),
        retries: retries.unwrap_or(0),
        dead_letter,
    })
}

fn points_to_stored(selection: Option<&Selection>) -> bool {
    use crate::client::point::Point;
    let stored = |range: &crate::client::point::PointRange| {
        range.from == Some(Point::Stored) || range.to == Some(Point::Stored)
    };
    match selection {
        None => false,
        Some(Selection::All(range)) => stored(range),
        Some(Selection::Each(each)) => each.iter().any(|(_, range)| stored(range)),
    }
}

/// The topics, and which of their partitions are named with them.
fn topics(args: &[String], regex: bool) -> Result<(Topics, Named)> {
    if regex {
        let patterns = args.iter().map(|arg| NamePattern::regex("-r", arg));
        let topics = Topics::Matching(patterns.collect::<Result<_>>()?);
        return Ok((topics, Named::default()));
    }
    let named = Named::parse(args)?;
    if named.has_globs() {
        let patterns = named.patterns().cloned().collect();
        return Ok((Topics::Matching(patterns), named));
    }
    let names = named.patterns().map(|name| TopicName::new(name.text()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok((Topics::Names(names), named))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
