//! `mq-groups undo`, `delete-offsets`, `clone` and `history`.

use super::asked::{Asked, topics_of};
use super::job::{Clone, DeleteOffsets, History, Undo};
use crate::cli::common::TIMEOUT;
use crate::cli::consent::Consent;
use crate::cli::output::{Cell, Column, OutputFormat, RowPrinter};
use crate::cli::topic_selection::scopes;
use crate::cli::{Env, Outcome};
use crate::client::groups::{self, Line, LineKind, OffsetChange};
use crate::error::Result;
use crate::types::Offset;

const HISTORY: [Column; 6] = [
    Column::time("time"),
    Column::text("kind"),
    Column::text("member_id").short("member").minor(),
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("offset"),
];

/// Undoes the last change.
pub fn undo(job: Undo, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let planned = groups::plan_undo(&store, &job.group)?;
    let consent = job
        .consent
        .ok_or_else(|| env.unasked("moving committed offsets"))?;
    if planned.members_since {
        env.note("members have committed since that change: their commits are undone, too");
    }
    let asked = Asked {
        group: &job.group,
        consent,
        output: job.output,
    };
    let what = planned.kind.as_str();
    asked.change(
        env,
        || Ok(planned.changes.clone()),
        |moved| {
            let group = job.group.escape_debug();
            format!("undo the {what} of group '{group}' ({moved})?")
        },
        |notes| groups::undo(&store, &job.group, &planned, TIMEOUT, notes).map(|done| done.changes),
    )
}

/// Deletes offsets.
pub fn delete_offsets(job: DeleteOffsets, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    // A missing group is reported first.
    groups::summarize(&store, &job.group)?;
    let scopes = scopes(&job.topics.resolve_all(|| topics_of(&store, &job.group))?);
    let asked = Asked {
        group: &job.group,
        consent: job.consent,
        output: job.output,
    };
    let delete = |dry_run, notes: &mut Vec<String>| {
        groups::delete_offsets(&store, &job.group, &scopes, dry_run, TIMEOUT, notes)
    };
    asked.change(
        env,
        || delete(true, &mut Vec::new()),
        |deleted| format!("delete {deleted} of group '{}'?", job.group.escape_debug()),
        |notes| delete(false, notes),
    )
}

/// Copies one group's offsets to another.
pub fn clone(job: Clone, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let clone = |dry_run, notes: &mut Vec<String>| {
        groups::clone_offsets(&store, &job.from, &job.to, dry_run, TIMEOUT, notes)
    };
    let planned = clone(true, &mut Vec::new())?;
    let replaces = |change: &OffsetChange| change.from.is_some() && change.from != change.to;
    let consent = match job.consent {
        Some(consent) if consent.is_dry_run() || planned.iter().any(replaces) => consent,
        // Whether consent is needed was unknown before the store was read, so it is refused only
        // here.
        None if planned.iter().any(replaces) => {
            return Err(env.unasked("replacing committed offsets"));
        }
        // A group without offsets loses none.
        Some(_) | None => Consent::Given,
    };
    let asked = Asked {
        group: &job.to,
        consent,
        output: job.output,
    };
    asked.change(
        env,
        || Ok(planned.clone()),
        |moved| {
            format!(
                "move or delete {moved} of group '{}'?",
                job.to.escape_debug()
            )
        },
        |notes| clone(false, notes),
    )
}

/// Prints the changes of a group's offsets.
pub fn history(job: History, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let (lines, notes) = groups::history(&store, &job.group)?;
    for note in notes {
        env.warn(&note);
    }
    let mut rows = RowPrinter::stdout(env, &HISTORY, job.output);
    for line in lines {
        let begin = || {
            vec![
                line.time_ms.into(),
                kind(&line).into(),
                line.member.clone().into(),
            ]
        };
        if line.entries.is_empty() {
            let nothing = [Cell::Null, Cell::Null, Cell::Null];
            rows.row(begin().into_iter().chain(nothing).collect())?;
        }
        for entry in &line.entries {
            let what = [
                entry.topic.as_str().into(),
                entry.partition.into(),
                offset(entry.offset, job.output.format),
            ];
            rows.row(begin().into_iter().chain(what).collect())?;
        }
    }
    rows.finish()?;
    Ok(Outcome::Done)
}

/// A committed offset. A deleted one is null for scripts; a table shows it differently from an
/// unknown one.
fn offset(offset: Offset, format: OutputFormat) -> Cell {
    match format {
        _ if offset >= 0 => offset.into(),
        OutputFormat::Table => "none".into(),
        OutputFormat::Json | OutputFormat::Tsv => Cell::Null,
    }
}

fn kind(line: &Line) -> &'static str {
    match line.kind {
        LineKind::Delete if !line.entries.is_empty() => "delete-offsets",
        kind => kind.as_str(),
    }
}
