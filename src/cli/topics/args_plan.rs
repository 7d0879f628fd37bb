//! Options and values that several commands of `mq-topics` share.

use crate::cli::common::usage;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::error::Result;
use crate::types::{PARTITIONS_MAX, PartitionId, TopicName};

/// A typical config, for messages.
pub(crate) const CONFIG_EXAMPLE: &str = "segment.bytes=104857600";

/// `--dry-run` of commands that need no consent.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    pub dry_run: bool,
}

pub(crate) fn partition_count(text: &str) -> Result<PartitionId> {
    text.parse()
        .ok()
        .filter(|n| (1..=PARTITIONS_MAX).contains(n))
        .ok_or_else(|| {
            usage(
                format!("'{}' is not a number of partitions", text.escape_debug()),
                format!("use 1 to {PARTITIONS_MAX}"),
            )
        })
}

/// Names, each once, in the order given.
pub(crate) fn topic_names(args: &[String]) -> Result<Vec<TopicName>> {
    args.iter()
        .map(|name| TopicName::new(name.as_str()))
        .collect::<Result<Vec<_>>>()
        .map(once)
}

pub(crate) fn once<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// A place in a topic: refuses `stored`.
///
/// # Errors
/// [`crate::error::Kind::Usage`].
pub(crate) fn of_topic(point: UnresolvedOffset) -> Result<UnresolvedOffset> {
    match point {
        UnresolvedOffset::Stored => Err(usage(
            "'stored' is a group's committed offset, and a topic has none",
            "use start, end, N, +N, -N or @TIME; see 'mq-groups describe' for groups",
        )),
        point => Ok(point),
    }
}
