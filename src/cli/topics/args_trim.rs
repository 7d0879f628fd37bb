//! The command line of `mq-topics trim`.

use super::args_plan::of_topic;
use super::job::{TRIMMING, Trim};
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{Now, parse_duration, parse_one_point};
use crate::cli::output::OutputArgs;
use crate::cli::topic_selection::TopicSelection;
use crate::error::Result;

/// Remove the oldest records, up to a point
///
/// The log of each partition then starts at the point. Offsets do not change, and the next record gets
/// the offset that it would have got. A segment file is deleted once all of its records are below the
/// point; the file in which the point lies stays, so the disk may get less space back than the records
/// took. All partitions are checked first: if the point is beyond the end of one, nothing changes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrimArgs {
    /// Topics, partitions of them, or quoted globs
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
    /// Where the logs are to start: start, end, N, +N, -N or @TIME. end removes all records; -N keeps
    /// the last N offsets of each partition
    #[arg(
        long,
        value_name = "POINT",
        help_heading = "Topic",
        required = true,
        allow_hyphen_values = true
    )]
    to: String,
    /// How long to wait until all in-sync replicas start there; exit status 75 if it expires first
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Topic"
    )]
    timeout: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  mq-topics trim logs --to @-7d --dry-run
  mq-topics trim logs --to @-7d --yes                from cron: keep a week
  mq-topics trim orders:3 'app-*' --to -1000000      keep the last million offsets
  mq-topics trim scratch --to end --yes              remove all records";

/// Makes the job.
///
/// # Errors
/// [`crate::error::Kind::Usage`], [`crate::error::Kind::InvalidTopic`].
pub(super) fn trim(args: TrimArgs, now: &Now, can_ask: bool) -> Result<Trim> {
    Ok(Trim {
        wanted: TopicSelection::parse(&args.topics)?,
        to: of_topic(parse_one_point("--to", &args.to, now)?)?,
        consent: args.consent.settle(can_ask, TRIMMING).ok(),
        timeout: parse_duration(&args.timeout).map_err(|e| e.at("--timeout"))?,
        output: args.output.try_into()?,
    })
}
