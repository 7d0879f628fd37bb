//! Runs `mq-groups`.

use super::asked::warned;
use super::job::{DELETING, Delete, GroupsJob};
use super::{alter, changes, check, offsets, peek, show, wait, watch};
use crate::cli::common::TIMEOUT;
use crate::cli::consent::Consent;
use crate::cli::output::{Column, RowPrinter};
use crate::cli::{Env, Failures, Outcome};
use crate::client::groups;
use crate::error::{Error, Kind, Result};

/// The columns of a deletion's plan.
const PLAN: [Column; 2] = [Column::text("group"), Column::text("change")];

/// Runs the job.
///
/// # Errors
/// The run ended with this error.
pub fn run(job: GroupsJob, env: &mut Env) -> Result<Outcome> {
    // The watch has to restore the terminal first.
    if !matches!(job, GroupsJob::Watch(_)) {
        env.signals().end_by_first(true);
    }
    match job {
        GroupsJob::List(job) => show::list(job, env),
        GroupsJob::Describe(job) => show::describe(job, env),
        GroupsJob::Alter(job) => alter::alter(job, env),
        GroupsJob::Reset(job) => offsets::reset(job, env),
        GroupsJob::Export(job) => offsets::export(&job, env),
        GroupsJob::Delete(job) => delete(job, env),
        GroupsJob::DeleteOffsets(job) => changes::delete_offsets(job, env),
        GroupsJob::Undo(job) => changes::undo(job, env),
        GroupsJob::Clone(job) => changes::clone(job, env),
        GroupsJob::History(job) => changes::history(job, env),
        GroupsJob::Commit(job) => offsets::commit(job, env),
        GroupsJob::Peek(job) => peek::peek(job, env),
        GroupsJob::Skip(job) => peek::skip(job, env),
        GroupsJob::Check(job) => check::check(&job, env),
        GroupsJob::Watch(job) => watch::watch(job, env),
        GroupsJob::Wait(job) => wait::wait(job, env),
    }
}

fn delete(job: Delete, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let there = groups::list(&store)?;
    let mut failures = Failures::default();
    let mut doomed: Vec<&String> = Vec::new();
    for pattern in &job.patterns {
        let before = doomed.len();
        match there.iter().find(|name| *name == pattern.text()) {
            Some(exact) => doomed.push(exact),
            None => doomed.extend(there.iter().filter(|name| pattern.matches(name))),
        }
        if doomed.len() == before && !job.if_exists {
            let e = if pattern.is_glob() {
                let what = pattern.text().escape_debug();
                Error::new(
                    Kind::UnknownGroup,
                    format!("GROUP_ID_NOT_FOUND: no group matches '{what}'"),
                )
                .cure("'mq-groups list' shows the groups")
            } else {
                groups::unknown(&store, pattern.text())
            };
            failures.notify(env, &e);
        }
    }
    doomed.sort_unstable();
    doomed.dedup();
    // A group with members is refused before the user is asked.
    let mut free = Vec::with_capacity(doomed.len());
    for name in doomed {
        match groups::delete(&store, name, true, TIMEOUT, &mut Vec::new()) {
            Err(e) if e.kind() == Kind::UnknownGroup && job.if_exists => {}
            Err(e) => failures.notify(env, &e),
            Ok(()) => free.push(name),
        }
    }
    if job.consent.is_some_and(Consent::is_dry_run) {
        let mut rows = RowPrinter::stdout(env, &PLAN, job.output);
        for name in free {
            rows.row(vec![name.as_str().into(), "delete".into()])?;
        }
        rows.finish()?;
        return Ok(failures.outcome());
    }
    if free.is_empty() {
        return Ok(failures.outcome());
    }
    let consent = job.consent.ok_or_else(|| env.unasked(DELETING))?;
    let names = free
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let what = if free.len() == 1 { "group" } else { "groups" };
    if !consent.proceed(
        env,
        &format!("delete {what} {names} and their committed offsets?"),
    )? {
        return Ok(failures.outcome());
    }
    let mut rows = RowPrinter::stdout(env, &PLAN, job.output);
    for name in free {
        let deleted = warned(env, |notes| {
            groups::delete(&store, name, false, TIMEOUT, notes)
        });
        match deleted {
            Err(e) if e.kind() == Kind::UnknownGroup && job.if_exists => {}
            Err(e) => failures.notify(env, &e),
            Ok(()) if job.output.is_given => {
                rows.row(vec![name.as_str().into(), "delete".into()])?;
            }
            Ok(()) => {}
        }
    }
    if job.output.is_given {
        rows.finish()?;
    }
    Ok(failures.outcome())
}
