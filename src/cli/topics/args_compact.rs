//! The command line of `mq-topics compact`.

use super::job::Compact;
use crate::cli::topic_selection::TopicSelection;
use crate::error::Result;

/// Remove the records that a later record of their key replaces
///
/// Of each key the last record stays, and offsets do not change. A record with a null value deletes its key:
/// it stays for delete.retention.ms, so that readers see the deletion, and goes in a later run. The topic's
/// cleanup.policy must contain compact. Producers and consumers may go on meanwhile. An interrupted run keeps
/// what it did, and the next one does the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompactArgs {
    /// Topics, partitions of them, or quoted globs
    #[arg(value_name = "T[:P]|GLOB", required = true)]
    topics: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  mq-topics compact users                            one record for each key is left
  mq-topics compact users && mq-consume -e users     the last record of each key
  mq-topics compact orders:3 'state-*'
  mq-topics compact -q 'state-*'                     from cron, without a broker's daemon";

/// Makes the job.
///
/// # Errors
/// [`crate::error::Kind::Usage`], [`crate::error::Kind::InvalidTopic`].
pub(super) fn compact(args: &CompactArgs) -> Result<Compact> {
    Ok(Compact {
        wanted: TopicSelection::parse(&args.topics)?,
    })
}
