//! `mq-topics create`, `alter`, `delete`.

use std::collections::BTreeMap;

use super::job::{Alter, Create, Delete};
use super::run::PATIENCE;
use crate::cli::lang::shown;
use crate::cli::output::{Cell, Column, Listing, OutputOptions};
use crate::cli::{Env, Failures, Outcome};
use crate::client::Admin;
use crate::error::{Error, Kind, Result};
use crate::store::{NewTopic, TopicConfigs, topics};
use crate::types::TopicName;

/// What a plan says.
const PLAN: [Column; 3] = [
    Column::text("topic"),
    Column::text("change"),
    Column::text("detail"),
];

fn print_plan(plan: Vec<[String; 3]>, output: OutputOptions, env: &Env) -> Result<()> {
    let mut rows = Listing::stdout(env, &PLAN, output);
    for [topic, change, detail] in plan {
        rows.row(vec![
            Cell::Text(topic),
            Cell::Text(change),
            Cell::Text(detail),
        ])?;
    }
    rows.finish()
}

fn partitions_text(partitions: i32) -> String {
    if partitions == 1 {
        "1 partition".to_owned()
    } else {
        format!("{partitions} partitions")
    }
}

/// Makes topics.
pub fn create(job: Create, env: &mut Env) -> Result<Outcome> {
    let store = if job.dry_run || job.like.is_some() {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && job.like.is_none() => None,
            other => Some(other?),
        }
    } else {
        Some(env.open_or_create_store()?)
    };
    let admin = store.as_ref().map(|store| Admin::new(store, PATIENCE));
    let (mut configs, mut partitions) = (BTreeMap::new(), 1);
    if let (Some(like), Some(admin)) = (&job.like, &admin) {
        let meta = admin.metadata(like)?;
        configs = meta.explicit;
        partitions = meta.partitions.len() as i32;
    }
    configs.extend(job.configs);
    let partitions = job.partitions.unwrap_or(partitions);
    TopicConfigs::from_explicit(configs.clone())?;
    let (mut failures, mut plan) = (Failures::default(), Vec::new());
    for name in job.names {
        if let Some(admin) = &admin {
            for other in admin.colliding(&name)? {
                env.warn(&format!(
                    "'{name}' and '{other}' differ only in . and _: in Kafka their metrics collide"
                ));
            }
        }
        let new = NewTopic {
            name: name.clone(),
            partitions,
            configs: configs.clone(),
        };
        let made = match &admin {
            Some(admin) if !job.dry_run => admin.create_topic(&new).map(|_| ()),
            Some(admin) if admin.list()?.contains(&name) => Err(Error::new(
                Kind::TopicExists,
                format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
            )),
            _ => Ok(()),
        };
        match made {
            Err(e) if e.kind() == Kind::TopicExists && job.if_not_exists => {
                env.note(&format!("topic {name} is there already"));
            }
            Err(e) => failures.tell(env, &e),
            Ok(()) if job.dry_run => {
                let mut detail = partitions_text(partitions);
                for (config, value) in &configs {
                    detail.push_str(&format!(" {config}={value}"));
                }
                plan.push([name.to_string(), "create".to_owned(), detail]);
            }
            Ok(()) => {}
        }
    }
    if job.dry_run {
        print_plan(plan, job.output, env)?;
    }
    Ok(failures.outcome())
}

/// Changes a topic.
pub fn alter(job: Alter, env: &mut Env) -> Result<Outcome> {
    let name = job.name;
    for (config, value) in &job.set {
        TopicConfigs::check_value(config, value)?;
    }
    let admin = Admin::new(&env.open_store()?, PATIENCE);
    let meta = admin.metadata(&name)?;
    let mut explicit = meta.explicit.clone();
    explicit.extend(job.set.clone());
    explicit.retain(|name, _| !job.unset.contains(name));
    TopicConfigs::from_explicit(explicit.clone())?;
    let have = meta.partitions.len() as i32;
    if job.partitions.is_some_and(|partitions| partitions <= have) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "topic {name} has {} already; their number can only grow",
                partitions_text(have)
            ),
        )
        .cure("say a larger number with --partitions"));
    }
    if job.dry_run {
        let mut plan = Vec::new();
        for (config, value) in &explicit {
            if meta.explicit.get(config) != Some(value) {
                plan.push([
                    name.to_string(),
                    "set".to_owned(),
                    format!("{config}={value}"),
                ]);
            }
        }
        for config in meta
            .explicit
            .keys()
            .filter(|config| !explicit.contains_key(*config))
        {
            plan.push([name.to_string(), "unset".to_owned(), config.clone()]);
        }
        if let Some(partitions) = job.partitions {
            let last = partitions - 1;
            let detail = if last == have {
                last.to_string()
            } else {
                format!("{have} to {last}")
            };
            plan.push([name.to_string(), "add partitions".to_owned(), detail]);
        }
        print_plan(plan, job.output, env)?;
        return Ok(Outcome::Done);
    }
    if !job.set.is_empty() || !job.unset.is_empty() {
        admin.alter_configs(&name, &job.set, &job.unset)?;
    }
    if let Some(partitions) = job.partitions {
        admin.add_partitions(&name, partitions)?;
        env.note(&format!(
            "{name} has {} now: a key's partition follows from their number, so keys may move",
            partitions_text(partitions)
        ));
    }
    Ok(Outcome::Done)
}

/// Deletes topics.
pub fn delete(job: Delete, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, PATIENCE);
    let there = admin.list()?;
    let mut failures = Failures::default();
    let mut doomed: Vec<TopicName> = Vec::new();
    for pattern in &job.patterns {
        let before = doomed.len();
        doomed.extend(
            there
                .iter()
                .filter(|topic| pattern.matches(topic.as_str()))
                .cloned(),
        );
        if doomed.len() == before && !job.if_exists {
            let e = if pattern.is_glob() {
                let what = shown(pattern.text());
                Error::new(
                    Kind::UnknownTopic,
                    format!("UNKNOWN_TOPIC_OR_PARTITION: no topic matches '{what}'"),
                )
                .cure("'mq-topics list' shows what there is")
            } else {
                topics::unknown(&store, &TopicName::new(pattern.text())?)
            };
            failures.tell(env, &e);
        }
    }
    doomed.sort_unstable();
    doomed.dedup();
    if job.consent.is_dry_run() {
        let plan = doomed.iter().map(|name| {
            let detail = if is_damaged(&admin, name) {
                "its topic file is damaged: that is set aside, and the data is kept"
            } else {
                "all its data"
            };
            [name.to_string(), "delete".to_owned(), detail.to_owned()]
        });
        print_plan(plan.collect(), job.output, env)?;
        return Ok(failures.outcome());
    }
    if doomed.is_empty() {
        return Ok(failures.outcome());
    }
    let names = doomed
        .iter()
        .map(TopicName::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let what = if doomed.len() == 1 { "topic" } else { "topics" };
    if !job
        .consent
        .proceed(env, &format!("delete {what} {names} with all data?"))?
    {
        return Ok(failures.outcome());
    }
    for name in doomed {
        match admin.delete_topic(&name) {
            Err(e) if e.kind() == Kind::UnknownTopic && job.if_exists => {}
            Err(e) if e.kind() == Kind::Damaged && is_damaged(&admin, &name) => {
                match admin.set_topic_aside(&name) {
                    Ok(kept) => env.warn(&format!(
                        "topic {name} is deleted, but its topic file is damaged and nothing shows \
                         which data was its: the file is kept as {}, the data where it is \
                         ('mq-topics verify' names it)",
                        kept.display()
                    )),
                    Err(e) => failures.tell(env, &e),
                }
            }
            Err(e) => failures.tell(env, &e),
            Ok(()) => {}
        }
    }
    Ok(failures.outcome())
}

/// Whether the topic's own file cannot be read.
fn is_damaged(admin: &Admin, name: &TopicName) -> bool {
    admin
        .metadata(name)
        .is_err_and(|e| e.kind() == Kind::Damaged)
}
