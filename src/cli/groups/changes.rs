//! `mq-groups undo`, `delete-offsets`, `clone` and `history`.

use super::job::{Clone, DeleteOffsets, History, Undo};
use super::offsets::{count, print, topics_of};
use super::run::{PATIENCE, warned};
use crate::cli::output::{Column, Listing};
use crate::cli::selection::scopes;
use crate::cli::{Env, Outcome};
use crate::error::Result;
use crate::group::{self, Line, LineKind};

const HISTORY: [Column; 6] = [
    Column::time("time"),
    Column::text("kind"),
    Column::text("member_id"),
    Column::text("topic"),
    Column::number("partition"),
    Column::number("offset"),
];

/// Takes back the last change.
pub fn undo(job: Undo, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let planned = group::plan_undo(&store, &job.group)?;
    if planned.members_since {
        env.note("members have committed since that change: these offsets go back, too");
    }
    if job.consent.is_dry_run() {
        print(&job.group, &planned.changes, job.output, env)?;
        return Ok(Outcome::Done);
    }
    let question = format!(
        "take back the {} of group '{}' ({} go back)?",
        planned.kind.as_str(),
        job.group.escape_debug(),
        count(planned.changes.len()),
    );
    if job.consent.proceed(env, &question)? {
        warned(env, |notes| {
            group::undo(&store, &job.group, &planned, PATIENCE, notes)
        })?;
    }
    Ok(Outcome::Done)
}

/// Deletes offsets.
pub fn delete_offsets(job: DeleteOffsets, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    // Where the group is not there, that is what is wrong.
    group::summarize(&store, &job.group)?;
    let scopes = scopes(&job.topics.resolve_all(|| topics_of(&store, &job.group))?);
    let changes =
        group::delete_offsets(&store, &job.group, &scopes, true, PATIENCE, &mut Vec::new())?;
    if job.consent.is_dry_run() {
        print(&job.group, &changes, job.output, env)?;
        return Ok(Outcome::Done);
    }
    let question = format!(
        "delete {} of group '{}'?",
        count(changes.len()),
        job.group.escape_debug()
    );
    if job.consent.proceed(env, &question)? {
        warned(env, |notes| {
            group::delete_offsets(&store, &job.group, &scopes, false, PATIENCE, notes)
        })?;
    }
    Ok(Outcome::Done)
}

/// Gives one group's offsets to another.
pub fn clone(job: Clone, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let changes =
        group::clone_offsets(&store, &job.from, &job.to, true, PATIENCE, &mut Vec::new())?;
    if job.consent.is_some_and(|consent| consent.is_dry_run()) {
        print(&job.to, &changes, job.output, env)?;
        return Ok(Outcome::Done);
    }
    let moved = changes
        .iter()
        .filter(|change| change.from.is_some() && change.from != change.to)
        .count();
    if moved > 0 {
        // Nothing could be asked before the store was looked at: whether it need be was not known.
        let Some(consent) = job.consent else {
            return Err(super::args::unasked("replacing committed offsets"));
        };
        let question = format!(
            "move or delete {} of group '{}'?",
            count(moved),
            job.to.escape_debug()
        );
        if !consent.proceed(env, &question)? {
            return Ok(Outcome::Done);
        }
    }
    warned(env, |notes| {
        group::clone_offsets(&store, &job.from, &job.to, false, PATIENCE, notes)
    })?;
    Ok(Outcome::Done)
}

/// Tells what happened to a group's offsets.
pub fn history(job: History, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let (lines, notes) = group::history(&store, &job.group)?;
    for note in notes {
        env.warn(&note);
    }
    let mut rows = Listing::stdout(env, &HISTORY, job.output);
    for line in lines {
        let begin = || {
            vec![
                line.time_ms.into(),
                kind(&line).into(),
                line.member.clone().into(),
            ]
        };
        if line.entries.is_empty() {
            let nothing = [None::<i64>.into(), None::<i64>.into(), None::<i64>.into()];
            rows.row(begin().into_iter().chain(nothing).collect())?;
        }
        for entry in &line.entries {
            let what = [
                entry.topic.as_str().into(),
                entry.partition.into(),
                (entry.offset >= 0).then_some(entry.offset).into(),
            ];
            rows.row(begin().into_iter().chain(what).collect())?;
        }
    }
    rows.finish()?;
    Ok(Outcome::Done)
}

fn kind(line: &Line) -> &'static str {
    match line.kind {
        LineKind::Delete if !line.entries.is_empty() => "delete-offsets",
        kind => kind.as_str(),
    }
}
