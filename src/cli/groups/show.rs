//! `mq-groups list` and `describe`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::job::{Describe, List};
use crate::cli::output::{Cell, Column, OutputFormat, RowPrinter, json_line};
use crate::cli::pattern::NamePattern;
use crate::cli::{Env, Failures, Outcome};
use crate::client::StoreDir;
use crate::client::groups::{self, GroupDescription};
use crate::error::{Kind, Result};

const GROUPS: [Column; 6] = [
    Column::text("group"),
    Column::text("state"),
    Column::number("group_epoch").short("epoch").minor(),
    Column::text("assignor"),
    Column::number("members"),
    Column::number("partitions").short("parts"),
];

pub(super) const OFFSETS: [Column; 11] = [
    Column::text("group"),
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("committed_offset").short("offset"),
    Column::number("log_start_offset").short("start").minor(),
    Column::number("high_watermark").short("end"),
    Column::number("lag"),
    Column::number("lag_seconds").short("lag s"),
    Column::text("member_id").short("member").minor(),
    Column::text("host"),
    Column::number("pid"),
];

const MEMBERS: [Column; 7] = [
    Column::text("group"),
    Column::text("member_id"),
    Column::text("instance_id").short("instance"),
    Column::number("member_epoch").short("epoch").minor(),
    Column::text("host"),
    Column::number("pid"),
    Column::text("assignment"),
];

/// A member as an object of its own: the fields of the group's object, and the group.
#[derive(serde::Serialize)]
struct MemberOf<'a> {
    group: &'a str,
    #[serde(flatten)]
    member: &'a groups::MemberDescription,
}

/// Lists groups.
pub fn list(job: List, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut failures = Failures::default();
    let mut rows = RowPrinter::stdout(env, &GROUPS, job.output);
    for name in groups::list(&store)? {
        match groups::summarize(&store, &name) {
            Ok(seen) => {
                if let Some(damage) = &seen.damage {
                    failures.warn(env, damage);
                }
                rows.row(vec![
                    seen.group.into(),
                    seen.state.into(),
                    seen.group_epoch.into(),
                    seen.assignor.into(),
                    seen.members.map(|members| members as u64).into(),
                    (seen.partitions as u64).into(),
                ])?;
            }
            // Deleted since it was listed.
            Err(e) if e.kind() == Kind::UnknownGroup => {}
            Err(e) => failures.notify(env, &e),
        }
    }
    rows.finish()?;
    Ok(failures.outcome())
}

/// Describes groups.
pub fn describe(job: Describe, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let all = job.groups.is_empty();
    let names = if all {
        groups::list(&store)?
    } else {
        matching(&store, &job.groups)?
    };
    let mut failures = Failures::default();
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        match groups::describe(&store, &name) {
            Ok(mut group) => {
                for note in &group.notes {
                    env.warn(note);
                }
                if let Some(damage) = &group.damage {
                    failures.warn(env, damage);
                } else if !all && !job.members && group.offsets.is_empty() {
                    let name = group.group.escape_debug();
                    env.note(&format!("group '{name}' has no committed offsets"));
                }
                if job.only_lagging {
                    group
                        .offsets
                        .retain(|row| row.lag.is_some_and(|lag| lag > 0));
                }
                seen.push(group);
            }
            Err(e) if e.kind() == Kind::UnknownGroup && all => {}
            Err(e) => failures.notify(env, &e),
        }
    }
    if job.members {
        notify_empty(&seen, all, env);
    }
    if job.output.format == OutputFormat::Json {
        let mut out = Vec::new();
        for group in &seen {
            if job.members {
                for member in group.members.iter().flatten() {
                    let group = &group.group;
                    json_line(&MemberOf { group, member }, &mut out)?;
                }
            } else {
                json_line(group, &mut out)?;
            }
        }
        env.stdout().print(&out)?;
        return Ok(failures.outcome());
    }
    if job.output.format == OutputFormat::Table {
        env.stdout().print(configs(&seen).as_bytes())?;
    }
    let mut rows = RowPrinter::stdout(
        env,
        if job.members {
            &MEMBERS[..]
        } else {
            &OFFSETS[..]
        },
        job.output,
    );
    for group in seen {
        for row in if job.members {
            members(&group)
        } else {
            offsets(&group)
        } {
            rows.row(row)?;
        }
    }
    rows.finish()?;
    Ok(failures.outcome())
}

/// The groups of these names and globs, each once. A name or glob that no group has stands for
/// itself: describing it reports that.
fn matching(store: &Arc<StoreDir>, given: &[String]) -> Result<Vec<String>> {
    let known = groups::list(store)?;
    let mut names: Vec<String> = Vec::with_capacity(given.len());
    for text in given {
        let mut found: Vec<&String> = Vec::new();
        // A group's name may contain anything, also what makes an invalid glob.
        if !known.contains(text)
            && let Ok(pattern) = NamePattern::parse(text)
        {
            found.extend(known.iter().filter(|name| pattern.matches(name)));
        }
        if found.is_empty() {
            found.push(text);
        }
        for name in found {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}

/// Notes that there is no member to show; for all groups, only if none has any.
fn notify_empty(seen: &[GroupDescription], all: bool, env: &Env) {
    let is_empty = |group: &&GroupDescription| group.members.as_ref().is_some_and(Vec::is_empty);
    if !all {
        for group in seen.iter().filter(is_empty) {
            let name = group.group.escape_debug();
            env.note(&format!("group '{name}' has no members"));
        }
    } else if !seen.is_empty() && seen.iter().all(|group| is_empty(&group)) {
        env.note("no group has members");
    }
}

/// The configs that were set explicitly, as `mq-topics describe` shows them.
fn configs(groups: &[GroupDescription]) -> String {
    let mut head = String::new();
    for group in groups.iter().filter(|group| !group.configs.is_empty()) {
        let _ = writeln!(head, "group {}", group.group.escape_debug());
        for (name, value) in &group.configs {
            let _ = writeln!(head, "  {name}={value}");
        }
    }
    head
}

fn members(group: &GroupDescription) -> Vec<Vec<Cell>> {
    let row = |member: &groups::MemberDescription| {
        let owned = member.assignment.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|p| format!("{}:{p}", topic.topic))
        });
        vec![
            group.group.clone().into(),
            member.member_id.to_string().into(),
            member.instance_id.clone().into(),
            member.member_epoch.into(),
            member.host.clone().into(),
            member.pid.into(),
            Cell::list(owned),
        ]
    };
    group.members.iter().flatten().map(row).collect()
}

/// A row for each partition.
pub(super) fn offsets(group: &GroupDescription) -> Vec<Vec<Cell>> {
    let row = |row: &groups::OffsetDescription| {
        let member = group
            .members
            .iter()
            .flatten()
            .find(|member| Some(member.member_id) == row.member_id);
        vec![
            group.group.clone().into(),
            row.topic.clone().into(),
            row.partition.into(),
            row.committed_offset.into(),
            row.log_start_offset.into(),
            row.high_watermark.into(),
            row.lag.into(),
            row.lag_seconds.into(),
            row.member_id.map(|id| id.to_string()).into(),
            member.map(|member| member.host.clone()).into(),
            member.map(|member| member.pid).into(),
        ]
    };
    group.offsets.iter().map(row).collect()
}
