//! The command lines of `mq-groups peek`, `skip`, `check` and `watch`.

use super::job::{Check, GroupsJob, Peek, RecordOutput, Skip, Threshold, Watch};
use crate::cli::Rule;
use crate::cli::common::usage;
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{
    Format, Now, Renderer, literal_braces, parse_duration, parse_topic_partition,
};
use crate::cli::output::{OutputArgs, OutputOptions};
use crate::cli::rules::How;
use crate::cli::topic_selection::TopicSelection;
use crate::client::stores;
use crate::error::Result;

/// --format and --header apply to rows, not to printed records.
const fn no_rows(arg: &'static str) -> Rule {
    Rule {
        command: "",
        arg,
        how: How::Refuses(&["format", "header"]),
        what: "--format and --header are for rows, and -f and -J print records",
        cure: "leave one of them out",
    }
}

pub(super) const RULES: &[Rule] = &[no_rows("template"), no_rows("json")];

/// How records are printed: as rows, or in the format of mq-consume.
#[derive(Debug, clap::Args)]
struct RecordArgs {
    /// Print records with a template such as '%k=%v\n' (see mq(7)), or one of the names value and
    /// json, instead of rows
    #[arg(
        short = 'f',
        long = "template",
        value_name = "TEMPLATE",
        help_heading = "Output",
        allow_hyphen_values = true,
        conflicts_with = "json"
    )]
    template: Option<String>,
    /// Print records as a JSON object a line, as mq-consume -J
    #[arg(short = 'J', long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl RecordArgs {
    /// A note on template text that is taken literally, but was probably meant as a field.
    fn literal(&self) -> Option<String> {
        self.template.as_deref().and_then(literal_braces)
    }

    fn records(self, now: &Now) -> Result<RecordOutput> {
        let output: OutputOptions = self.output.try_into()?;
        let format = match self.template {
            Some(template) => Format::parse(&template)?,
            None if self.json => Format::Json,
            None => return Ok(RecordOutput::Rows(output)),
        };
        Ok(RecordOutput::Rendered(Renderer::new(
            format,
            None,
            now.zone.clone(),
        )))
    }
}

/// Show the records around a group's committed offsets
///
/// For each partition: the records that were read last, and the next ones. The place of a record is
/// read, next (the group continues here) or unread.
#[derive(Debug, clap::Args)]
#[command(after_help = PEEK_EXAMPLES)]
pub struct PeekArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// How many records before the committed offset, already read
    #[arg(
        short = 'B',
        long,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Group"
    )]
    before: u64,
    /// How many records from the committed offset on, to be read next
    #[arg(
        short = 'A',
        long,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Group"
    )]
    after: u64,
    /// Only this topic or partition, or those that a quoted glob matches (repeatable)
    #[arg(long, value_name = "T[:P]|GLOB", help_heading = "Group")]
    topic: Vec<String>,
    #[command(flatten)]
    records: RecordArgs,
}

const PEEK_EXAMPLES: &str = "\
Examples:
  mq-groups peek billing
  mq-groups peek billing -B 5 -A 0
  mq-groups peek billing --topic orders:0 -B 0 -A 3 -J
  mq-groups peek billing -f '%t:%p %o %v\\n'";

impl PeekArgs {
    /// A note on the template.
    pub fn literal(&self) -> Option<String> {
        self.records.literal()
    }

    /// Makes the job.
    pub fn job(self, now: &Now) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        Ok(GroupsJob::Peek(Peek {
            group: self.group,
            before: self.before,
            after: self.after,
            topics: TopicSelection::parse(&self.topic)?,
            records: self.records.records(now)?,
        }))
    }
}

/// Skip one record for a group
///
/// For a record that the group's readers cannot process: prints the record, then commits the offset
/// after it. The record stays in the topic. Refused while the group has live members.
#[derive(Debug, clap::Args)]
#[command(after_help = SKIP_EXAMPLES)]
pub struct SkipArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// The partition
    #[arg(value_name = "T:P")]
    partition: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    records: RecordArgs,
}

const SKIP_EXAMPLES: &str = "\
Examples:
  mq-groups skip billing orders:0 --dry-run
  mq-groups skip billing orders:0
  mq-groups skip billing orders:0 --yes
  mq-groups skip billing orders:0 --yes -J >> skipped.jsonl";

impl SkipArgs {
    /// A note on the template.
    pub fn literal(&self) -> Option<String> {
        self.records.literal()
    }

    /// Makes the job.
    pub fn job(self, now: &Now, can_ask: bool) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        Ok(GroupsJob::Skip(Skip {
            group: self.group,
            tp: parse_topic_partition(&self.partition)?,
            records: self.records.records(now)?,
            consent: self.consent.settle(can_ask, "moving committed offsets")?,
        }))
    }
}

/// Check lag, with a Nagios plugin's output and exit statuses
///
/// A plain number is a lag in records, over all partitions of a group; a duration is the age of
/// its oldest unread record. Above these limits the result is WARNING or CRITICAL. Exit status: 0
/// OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: also for a missing group, a lag that is not known or a
/// wrong command line.
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
// Otherwise a usage error shows a GROUP that was given as if it were required.
#[command(
    override_usage = "mq-groups check [OPTIONS] <--warn <N|DURATION>|--critical <N|DURATION>> [GROUP]..."
)]
#[command(group = clap::ArgGroup::new("thresholds").required(true).multiple(true))]
pub struct CheckArgs {
    /// The groups [default: all]
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// Warn above this lag or age
    #[arg(
        long,
        value_name = "N|DURATION",
        help_heading = "Group",
        group = "thresholds"
    )]
    warn: Option<String>,
    /// Critical above this lag or age
    #[arg(
        long,
        value_name = "N|DURATION",
        help_heading = "Group",
        group = "thresholds"
    )]
    critical: Option<String>,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  mq-groups check billing --warn 1000 --critical 10000
  mq-groups check billing --warn 5m --critical 1h
  mq-groups check --warn 1000 --critical 15m
  mq-groups check billing audit --critical 10m";

impl CheckArgs {
    /// Makes the job.
    pub fn job(self) -> Result<GroupsJob> {
        for group in &self.groups {
            stores::group_dir(group)?;
        }
        let warn = self.warn.as_deref().map(threshold).transpose()?;
        let critical = self.critical.as_deref().map(threshold).transpose()?;
        let reversed = match (warn, critical) {
            (Some(Threshold::Records(warn)), Some(Threshold::Records(critical))) => warn > critical,
            (Some(Threshold::Age(warn)), Some(Threshold::Age(critical))) => warn > critical,
            _ => false,
        };
        if reversed {
            return Err(usage(
                "--warn is above --critical",
                "a warning comes first: give it the smaller lag",
            ));
        }
        Ok(GroupsJob::Check(Check {
            groups: self.groups,
            warn,
            critical,
        }))
    }
}

fn threshold(text: &str) -> Result<Threshold> {
    if let Ok(records) = text.parse::<i64>()
        && records >= 0
    {
        return Ok(Threshold::Records(records));
    }
    parse_duration(text).map(Threshold::Age).map_err(|_| {
        usage(
            format!("'{}' is not a lag", text.escape_debug()),
            "use a number of records, such as 1000, or a duration, such as 5m",
        )
    })
}

/// Watch groups' progress live
///
/// On a terminal, a table that is redrawn once a second and whenever a group changes, until q or
/// Ctrl-C. Elsewhere, all rows at the start and after each change.
#[derive(Debug, clap::Args)]
#[command(after_help = WATCH_EXAMPLES)]
pub struct WatchArgs {
    /// The group [default: all]
    #[arg(value_name = "GROUP")]
    group: Option<String>,
    /// Only partitions with records still to be read
    #[arg(long, help_heading = "Group")]
    only_lagging: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const WATCH_EXAMPLES: &str = "\
Examples:
  mq-groups watch
  mq-groups watch billing
  mq-groups watch --only-lagging
  mq-groups watch billing --format json | jq -c '[.topic, .partition, .lag]'";

impl WatchArgs {
    /// Makes the job.
    pub fn job(self) -> Result<GroupsJob> {
        if let Some(group) = &self.group {
            stores::group_dir(group)?;
        }
        Ok(GroupsJob::Watch(Watch {
            group: self.group,
            only_lagging: self.only_lagging,
            output: self.output.try_into()?,
        }))
    }
}
