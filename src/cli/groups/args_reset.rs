//! The command line of `mq-groups reset`.

use std::path::PathBuf;

use super::job::{Export, GroupsJob, Move, Reset};
use crate::cli::common::usage;
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{Now, parse_one_point};
use crate::cli::output::OutputArgs;
use crate::cli::topic_selection::TopicSelection;
use crate::client::stores;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::error::{Error, Result};

/// Move a group's committed offsets
///
/// Refused while the group has live members. Moves the group's offsets of every partition of
/// the topics that it has committed offsets of, or only of those that --topic, --from-file or
/// --to-group name. 'mq-groups undo' reverts it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub struct ResetArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// Move to this point of each partition: start, end, N, +N, -N or @TIME
    #[arg(
        long,
        value_name = "POINT",
        help_heading = "Group",
        group = "where",
        allow_hyphen_values = true
    )]
    to: Option<String>,
    /// Move by N offsets, back if negative; limited to the log's start and end, with a warning
    #[arg(
        long,
        value_name = "N",
        help_heading = "Group",
        group = "where",
        allow_hyphen_values = true
    )]
    by: Option<String>,
    /// Move to the offsets in this file: rows of TOPIC,PARTITION,OFFSET, with or without such a
    /// header; - is standard input
    #[arg(
        long,
        value_name = "CSV",
        help_heading = "Group",
        group = "where",
        allow_hyphen_values = true
    )]
    from_file: Option<PathBuf>,
    /// Move to the offsets of another group
    #[arg(long, value_name = "OTHER", help_heading = "Group", group = "where")]
    to_group: Option<String>,
    /// Change nothing: print the group's offsets for --from-file
    #[arg(long, help_heading = "Group", group = "where", conflicts_with_all = ["dry_run", "yes", "format", "header"])]
    export: bool,
    /// Only this topic or partition, or those that a quoted glob matches (repeatable)
    #[arg(long, value_name = "T[:P]|GLOB", help_heading = "Group")]
    topic: Vec<String>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  mq-groups reset billing --to start
  mq-groups reset billing --to @2026-01-01T10:00Z --dry-run
  mq-groups reset billing --to -10 --topic orders:0 --topic 'app-*' --yes
  mq-groups reset billing --by -100 --yes
  mq-groups reset billing --to-group audit --dry-run
  mq-groups reset billing --export > offsets.csv
  mq-groups reset billing --from-file offsets.csv --yes";

impl ResetArgs {
    /// Makes the job.
    pub fn job(self, now: &Now, can_ask: bool) -> Result<GroupsJob> {
        stores::group_dir(&self.group)?;
        let topics = TopicSelection::parse(&self.topic)?;
        if self.export {
            let group = self.group;
            return Ok(GroupsJob::Export(Export { group, topics }));
        }
        // Standard input cannot provide both the rows and the answer.
        let rows_on_stdin = self
            .from_file
            .as_ref()
            .is_some_and(|f| f.as_os_str() == "-");
        let to = if let Some(to) = &self.to {
            point(to, now)?
        } else if let Some(by) = &self.by {
            Move::By(by.parse().map_err(|_| {
                usage(
                    format!("'{}' is not a number of offsets", by.escape_debug()),
                    "use a whole number, such as --by 10 or --by -10",
                )
            })?)
        } else if let Some(path) = self.from_file {
            Move::File(path)
        } else if let Some(other) = self.to_group {
            stores::group_dir(&other)?;
            Move::Group(other)
        } else {
            return Err(usage(
                "the new offsets are not given",
                "use --to POINT, --by N, --from-file CSV or --to-group OTHER",
            ));
        };
        let output = self.output.try_into()?;
        let consent = self
            .consent
            .settle(can_ask && !rows_on_stdin, "moving committed offsets")
            .map_err(|e| if rows_on_stdin { no_answer(&e) } else { e })?;
        Ok(GroupsJob::Reset(Reset {
            group: self.group,
            to,
            topics,
            consent,
            output,
        }))
    }
}

/// The error for rows on standard input: even at a terminal, it cannot answer a question.
fn no_answer(e: &Error) -> Error {
    usage(
        "moving committed offsets must be confirmed, and standard input has the rows",
        e.cure_text().unwrap_or_default(),
    )
}

fn point(to: &str, now: &Now) -> Result<Move> {
    match parse_one_point("--to", to, now)? {
        UnresolvedOffset::Stored => Err(usage(
            "--to stored is where the group is already",
            "use start, end, N, +N, -N, @TIME, or --by N",
        )),
        point => Ok(Move::To(point)),
    }
}
