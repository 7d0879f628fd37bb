//! The command line of `mq-topics stats`.

use super::args_plan::of_topic;
use super::job::{StatsBy, StatsJob};
use crate::cli::lang::{Now, parse_count, parse_range};
use crate::cli::output::OutputArgs;
use crate::cli::topic_selection::TopicSelection;
use crate::error::Result;

/// Count records and bytes by key, time, size or partition
///
/// Reads all records once, and keeps about 64 MiB: beyond that the keys with most bytes are kept, and the
/// last column says by how many bytes at most each is counted too low; of such keys there may be more
/// records, too. Bytes are those of keys, values and headers before compression.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatsArgs {
    /// Topics, partitions of them, or quoted globs
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
    /// What to count by
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "partition",
        help_heading = "Topic"
    )]
    by: StatsBy,
    /// Count only these records: a range A:B of offsets or times, or a point for all from there
    #[arg(
        short,
        long,
        value_name = "RANGE",
        help_heading = "Topic",
        allow_hyphen_values = true
    )]
    offsets: Option<String>,
    /// Print the first N rows only; by default 20 keys, and all of the others
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count::<usize>, help_heading = "Output")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  mq-topics stats orders                             records and bytes of each partition
  mq-topics stats orders --by key                    who fills my disk
  mq-topics stats logs --by hour -o @-1d:            the last day, hour by hour
  mq-topics stats '*' --by size
  mq-topics stats orders --by key -n 1000 --format tsv";

/// Rows of keys that are printed by default.
const KEYS: usize = 20;

/// Makes the job.
///
/// # Errors
/// [`crate::error::Kind::Usage`], [`crate::error::Kind::InvalidTopic`].
pub(super) fn stats(args: StatsArgs, now: &Now) -> Result<StatsJob> {
    let range = args.offsets.map(|text| -> Result<_> {
        let range = parse_range(&text, now)?;
        for point in [range.from, range.to].into_iter().flatten() {
            of_topic(point)?;
        }
        Ok(range)
    });
    let limit = args.limit.or((args.by == StatsBy::Key).then_some(KEYS));
    Ok(StatsJob {
        wanted: TopicSelection::parse(&args.topics)?,
        by: args.by,
        range: range.transpose()?.unwrap_or_default(),
        limit,
        output: args.output.try_into()?,
    })
}
