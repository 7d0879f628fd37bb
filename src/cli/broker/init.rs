//! `mq-broker init`.

use std::path::Path;

use super::job::Init;
use crate::cli::common::usage;
use crate::cli::output::{Column, OutputOptions, RowPrinter};
use crate::cli::{Env, Outcome};
use crate::client::stores::{Given, Paths, UnixGroup, create_shared, plan_shared};
use crate::disk::{Access, group_id};
use crate::error::Result;

/// The columns of a plan.
const PLAN: &[Column] = &[
    Column::text("path"),
    Column::number("owner"),
    Column::text("unix_group"),
    Column::text("mode"),
    Column::text("new_mode"),
];

pub(super) fn init(job: Init, env: &mut Env) -> Result<Outcome> {
    let Some(name) = job.group else {
        return private(job.is_dry_run, env);
    };
    let Some(id) = group_id(&name) else {
        return Err(usage(
            format!("this machine has no group '{name}'"),
            "'getent group' lists the groups",
        ));
    };
    let group = UnixGroup { id, name };
    if job.is_dry_run {
        return plan(&group, job.output, env);
    }
    let mut given = Given::default();
    let store = env.with_store(|disk, clock, path| {
        let (store, done) = create_shared(disk, clock, path, &group)?;
        given = done;
        Ok(store)
    })?;
    env.note(&reported(store.path(), &group, &given));
    Ok(warned(&group, &given, false, env))
}

fn private(is_dry_run: bool, env: &Env) -> Result<Outcome> {
    let there = env.is_store_there()?;
    let (path, done) = match (there, is_dry_run) {
        (false, true) => (env.store_path()?, "would be made a store"),
        _ => {
            let store = if is_dry_run {
                env.open_store()?
            } else {
                env.open_or_create_store()?
            };
            let done = if there {
                "is a store already"
            } else {
                "is a store now"
            };
            (store.path().to_owned(), done)
        }
    };
    env.note(&format!("{} {done}", path.display()));
    Ok(Outcome::Done)
}

/// Prints the changes, a row for each.
fn plan(group: &UnixGroup, output: OutputOptions, env: &Env) -> Result<Outcome> {
    let path = env.store_path()?;
    let mut rows = RowPrinter::stdout(env, PLAN, output);
    let mut show = |path: &Path, now: Option<Access>, mode: u32| {
        let octal = |mode: u32| format!("{mode:04o}");
        rows.row(vec![
            path.display().to_string().into(),
            now.map(|now| now.owner).into(),
            now.map(|now| UnixGroup::of(now.group).name).into(),
            now.map(|now| octal(now.mode)).into(),
            octal(mode).into(),
        ])
    };
    let plan = env.observing(|disk, clock| plan_shared(disk, clock, &path, group, &mut show))?;
    rows.finish()?;
    let (path, name) = (path.display(), &group.name);
    env.note(&match plan {
        Given { made: true, .. } => {
            format!("{path} would be made a store of the Unix group {name}")
        }
        Given { changed: 0, .. } => {
            format!("{path}: nothing is to be given to the Unix group {name}")
        }
        Given { changed, .. } => {
            format!(
                "{path}: {} would be given to the Unix group {name}",
                entries(changed)
            )
        }
    });
    Ok(warned(group, &plan, true, env))
}

/// Warns of obstacles to sharing the store with the group.
fn warned(group: &UnixGroup, given: &Given, is_dry_run: bool, env: &Env) -> Outcome {
    if let Some(above) = &given.barred_by {
        let lets = if is_dry_run && !above.exists() {
            "would let"
        } else {
            "lets"
        };
        env.warn(&format!(
            "{} {lets} no member of {} through to the store (chmod o+x it, or make the store elsewhere)",
            above.display(),
            group.name
        ));
    }
    let Paths { count, first } = &given.refused;
    if *count == 0 {
        return Outcome::Done;
    }
    let named: Vec<String> = first
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let more = if *count > first.len() { ", ..." } else { "" };
    let stay = if is_dry_run { "would stay" } else { "stay" };
    env.warn(&format!(
        "{count} of another owner {stay} as they are: {}{more} (run this as that user, or as root)",
        named.join(", ")
    ));
    Outcome::Partial
}

fn entries(count: usize) -> String {
    let what = if count == 1 { "entry" } else { "entries" };
    format!("{count} {what}")
}

fn reported(path: &Path, group: &UnixGroup, given: &Given) -> String {
    let (path, name) = (path.display(), &group.name);
    match given {
        Given { made: true, .. } => format!("{path} is a store of the Unix group {name} now"),
        Given { changed: 0, .. } => format!("{path} is a store of the Unix group {name} already"),
        Given { changed, .. } => {
            let what = entries(*changed);
            format!("{path} is a store of the Unix group {name} now: {what} changed")
        }
    }
}
