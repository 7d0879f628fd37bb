//! `mq-topics create`, `alter`, `delete`.

use std::collections::BTreeMap;

use super::job::{Alter, Create, DELETING, Delete, TRIMMING};
use crate::cli::common::TIMEOUT;
use crate::cli::consent::Consent;
use crate::cli::output::{Cell, Column, OutputOptions, RowPrinter};
use crate::cli::{Env, Failures, Outcome};
use crate::client::topics::{self, PartitionMeta, TopicConfigs, TopicMeta, unknown_broker};
use crate::client::{Admin, DueRemoval, NewReplicas, TopicRequest, check_factor_alone};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, EMBEDDED_BROKER, PartitionId, TopicName, TopicPartition};

/// The most partitions that a question names.
const NAMED_MAX: usize = 10;

/// The columns of a plan.
const PLAN: [Column; 3] = [
    Column::text("topic"),
    Column::text("change"),
    Column::text("detail"),
];

fn print_plan(plan: Vec<[String; 3]>, output: OutputOptions, env: &Env) -> Result<()> {
    let mut rows = RowPrinter::stdout(env, &PLAN, output);
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

/// Creates topics.
pub fn create(job: Create, env: &mut Env) -> Result<Outcome> {
    if !job.dry_run
        && job.like.is_none()
        && let Err(e) = check_without_brokers(&wanted_replicas(&job, 1, 1))
        && !env.is_store_there()?
    {
        // If the topics are refused, no store is created.
        return Err(e);
    }
    let store = if job.dry_run || job.like.is_some() {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && job.like.is_none() => None,
            other => Some(other?),
        }
    } else {
        Some(env.open_or_note_new_store()?)
    };
    if let Some(store) = &store {
        env.end_changes_by_signal(store);
    }
    let admin = store.as_ref().map(|store| Admin::new(store, TIMEOUT));
    let (mut configs, mut partitions, mut factor) = (BTreeMap::new(), 1, 1);
    if let (Some(like), Some(admin)) = (&job.like, &admin) {
        let meta = admin.metadata(like)?;
        partitions = meta.partitions.len() as i32;
        let factors = meta
            .partitions
            .iter()
            .map(PartitionMeta::replication_factor);
        factor = factors.max().unwrap_or(1);
        configs = meta.explicit.clone();
    }
    let replicas = wanted_replicas(&job, partitions, factor);
    configs.extend(job.configs);
    let checked = TopicConfigs::from_explicit(configs.clone())?;
    checked.check_replicas(factor_of(&replicas))?;
    note_without_effect(&checked, env);
    let (mut failures, mut plan) = (Failures::default(), Vec::new());
    for name in job.names {
        if let Some(admin) = &admin {
            for other in admin.colliding(&name)? {
                env.warn(&format!(
                    "'{name}' and '{other}' differ only in . and _: in Kafka their metrics collide"
                ));
            }
        }
        let new = TopicRequest {
            name: name.clone(),
            replicas: replicas.clone(),
            configs: configs.clone(),
        };
        let made = match &admin {
            Some(admin) if !job.dry_run => admin.create_topic(&new).map(|made| {
                warn_of_shared_devices(admin, &made, env);
            }),
            Some(admin) if admin.list()?.contains(&name) => Err(Error::new(
                Kind::TopicExists,
                format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
            )),
            Some(admin) => admin.assignment(&replicas).map(|_| ()),
            None => check_without_brokers(&replicas),
        };
        match made {
            Err(e) if e.kind() == Kind::Interrupted => return Err(e),
            Err(e) if e.kind() == Kind::TopicExists && job.if_not_exists => {
                env.note(&format!("topic {name} is there already"));
            }
            Err(e) => failures.notify(env, &e),
            Ok(()) => {
                let mut detail = replicas_text(&replicas);
                for (config, value) in &configs {
                    detail.push_str(&format!(" {config}={value}"));
                }
                plan.push([name.to_string(), "create".to_owned(), detail]);
            }
        }
    }
    if job.dry_run || job.output.is_given {
        print_plan(plan, job.output, env)?;
    }
    Ok(failures.outcome())
}

fn factor_of(replicas: &NewReplicas) -> usize {
    match replicas {
        NewReplicas::Placed {
            replication_factor, ..
        } => *replication_factor,
        NewReplicas::Assigned(assignment) => assignment.first().map_or(0, Vec::len),
    }
}

fn replicas_text(replicas: &NewReplicas) -> String {
    let (partitions, assigned) = match replicas {
        NewReplicas::Placed { partitions, .. } => (*partitions, None),
        NewReplicas::Assigned(assignment) => (assignment.len() as i32, Some(assignment)),
    };
    let mut text = partitions_text(partitions);
    if let Some(assignment) = assigned {
        let brokers = |of: &Vec<BrokerId>| of.iter().map(i32::to_string).collect::<Vec<_>>();
        let each: Vec<String> = assignment.iter().map(|of| brokers(of).join(":")).collect();
        text.push_str(&format!(" on {}", each.join(",")));
    } else if factor_of(replicas) > 1 {
        text.push_str(&format!(" of {} replicas", factor_of(replicas)));
    }
    text
}

/// The requested replicas; `partitions` and `factor` are the defaults.
fn wanted_replicas(job: &Create, partitions: PartitionId, factor: usize) -> NewReplicas {
    match &job.assignment {
        Some(assignment) => NewReplicas::Assigned(assignment.clone()),
        None => NewReplicas::Placed {
            partitions: job.partitions.unwrap_or(partitions),
            replication_factor: job.replication_factor.unwrap_or(factor),
        },
    }
}

/// Checks the replicas for a store that does not exist yet: it will have the embedded broker only.
fn check_without_brokers(replicas: &NewReplicas) -> Result<()> {
    if let NewReplicas::Assigned(assignment) = replicas
        && let Some(id) = assignment
            .iter()
            .flatten()
            .find(|id| **id != EMBEDDED_BROKER)
    {
        return Err(unknown_broker(*id));
    }
    check_factor_alone(factor_of(replicas))
}

fn warn_of_shared_devices(admin: &Admin, topic: &TopicMeta, env: &Env) {
    for brokers in admin.sharing_devices(topic) {
        let ids: Vec<String> = brokers.iter().map(i32::to_string).collect();
        env.warn(&format!(
            "brokers {} keep replicas of {} on one device: if it fails, they all do ('mq-broker \
             start --id N --log-dir DIR' gives a new broker another)",
            ids.join(", "),
            topic.name
        ));
    }
}

/// Changes topics: all are checked before any is changed.
pub fn alter(job: Alter, env: &mut Env) -> Result<Outcome> {
    for (config, value) in &job.set {
        TopicConfigs::check_value(config, value)?;
    }
    let store = env.open_store()?;
    env.end_changes_by_signal(&store);
    let admin = Admin::new(&store, TIMEOUT);
    let chosen = job.wanted.resolve_all(|| admin.list())?;
    let mut plans = Vec::with_capacity(chosen.len());
    let mut removals = Vec::new();
    for chosen in &chosen {
        let meta = admin.metadata(&chosen.topic)?;
        let (plan, mut due) = plan_of(&admin, &meta, &job, env)?;
        plans.push(plan);
        removals.append(&mut due);
    }
    let is_dry_run = job.consent.is_some_and(Consent::is_dry_run);
    if !removals.is_empty() && !is_dry_run {
        let consent = job.consent.ok_or_else(|| env.unasked(TRIMMING))?;
        if consent == Consent::Ask {
            print_plan(plans.concat(), job.output, env)?;
        }
        if !consent.proceed(env, &removal_question(&removals))? {
            return Ok(Outcome::Done);
        }
    }
    let mut failures = Failures::default();
    let mut rows = Vec::new();
    for (chosen, plan) in chosen.iter().zip(plans) {
        if !is_dry_run && let Err(e) = alter_one(&admin, &chosen.topic, &job, env) {
            if e.kind() == Kind::Interrupted {
                return Err(e);
            }
            failures.notify(env, &e);
            continue;
        }
        rows.extend(plan);
    }
    if is_dry_run || job.output.is_given {
        print_plan(rows, job.output, env)?;
    }
    if !removals.is_empty() && !is_dry_run {
        env.note(
            "they are removed with the next append to their partition, or by the broker's daemon",
        );
    }
    Ok(failures.outcome())
}

fn note_without_effect(configs: &TopicConfigs, env: &Env) {
    for name in configs.without_effect() {
        env.note(&format!(
            "{name} has no effect with cleanup.policy=compact; it has one with compact,delete"
        ));
    }
}

fn removal_question(removals: &[DueRemoval]) -> String {
    let offsets: i64 = removals.iter().map(|due| due.to - due.from).sum();
    let partitions: Vec<TopicPartition> = removals.iter().map(|due| due.tp.clone()).collect();
    format!(
        "let {offsets} {} of {} be removed?",
        if offsets == 1 { "offset" } else { "offsets" },
        TopicPartition::first_of(&partitions, NAMED_MAX)
    )
}

/// The changes, as rows, and the records that fall due by them; or the error that would refuse them.
fn plan_of(
    admin: &Admin,
    meta: &TopicMeta,
    job: &Alter,
    env: &Env,
) -> Result<(Vec<[String; 3]>, Vec<DueRemoval>)> {
    let name = &meta.name;
    let mut explicit = meta.explicit.clone();
    explicit.extend(job.set.clone());
    explicit.retain(|name, _| !job.unset.contains(name));
    let configs = TopicConfigs::from_explicit(explicit.clone())?;
    if explicit != meta.explicit {
        note_without_effect(&configs, env);
    }
    if job.set.contains_key("min.insync.replicas") {
        meta.check_min_insync(&configs)?;
    }
    let have = meta.partitions.len() as i32;
    if job.partitions.is_some_and(|partitions| partitions <= have) {
        let text = format!(
            "topic {name} has {} already; their number can only grow",
            partitions_text(have)
        );
        return Err(Error::new(Kind::Usage, text).cure("say a larger number with --partitions"));
    }
    let mut plan = Vec::new();
    for (config, value) in &explicit {
        if meta.explicit.get(config) != Some(value) {
            let detail = format!("{config}={value}");
            plan.push([name.to_string(), "set".to_owned(), detail]);
        }
    }
    let there = meta.explicit.keys();
    for config in there.filter(|config| !explicit.contains_key(*config)) {
        plan.push([name.to_string(), "unset".to_owned(), config.clone()]);
    }
    if let Some(partitions) = job.partitions {
        admin.more_partitions(meta, partitions)?;
        let detail = format!("from {have} to {}", partitions_text(partitions));
        plan.push([name.to_string(), "add partitions".to_owned(), detail]);
    }
    let removals = if explicit == meta.explicit {
        Vec::new()
    } else {
        admin.removals_by(meta, &configs)?
    };
    for due in &removals {
        let detail = format!(
            "partition {}: offsets {} to {}",
            due.tp.partition,
            due.from,
            due.to - 1
        );
        plan.push([name.to_string(), "remove".to_owned(), detail]);
    }
    Ok((plan, removals))
}

fn alter_one(admin: &Admin, name: &TopicName, job: &Alter, env: &Env) -> Result<()> {
    if !job.set.is_empty() || !job.unset.is_empty() {
        admin.alter_configs(name, &job.set, &job.unset)?;
    }
    if let Some(partitions) = job.partitions {
        let meta = admin.add_partitions(name, partitions)?;
        warn_of_shared_devices(admin, &meta, env);
        env.note(&format!(
            "{name} has {} now: a key's partition depends on the number of partitions, so keys \
             may move",
            partitions_text(partitions)
        ));
    }
    Ok(())
}

/// Deletes topics.
pub fn delete(job: Delete, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, TIMEOUT);
    let there = admin.list()?;
    let mut failures = Failures::default();
    let (chosen, unmatched) = job.wanted.resolve(|| Ok(there.clone()))?;
    if !job.if_exists {
        failures.notify_all(env, &unmatched);
    }
    let mut doomed: Vec<TopicName> = Vec::new();
    for name in chosen.into_iter().map(|chosen| chosen.topic) {
        if there.contains(&name) {
            doomed.push(name);
        } else if !job.if_exists {
            failures.notify(env, &topics::unknown(&store, &name));
        }
    }
    doomed.sort_unstable();
    let row_of = |name: &TopicName| {
        let detail = if is_damaged(&admin, name) {
            "its topic file is damaged: that is set aside, and the data is kept"
        } else {
            "all its data"
        };
        [name.to_string(), "delete".to_owned(), detail.to_owned()]
    };
    if job.consent.is_some_and(Consent::is_dry_run) {
        print_plan(doomed.iter().map(row_of).collect(), job.output, env)?;
        return Ok(failures.outcome());
    }
    if doomed.is_empty() {
        return Ok(failures.outcome());
    }
    let consent = job.consent.ok_or_else(|| env.unasked(DELETING))?;
    let names = doomed
        .iter()
        .map(TopicName::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let what = if doomed.len() == 1 { "topic" } else { "topics" };
    if !consent.proceed(env, &format!("delete {what} {names} with all data?"))? {
        return Ok(failures.outcome());
    }
    let mut rows = Vec::new();
    for name in doomed {
        let row = job.output.is_given.then(|| row_of(&name));
        match admin.delete_topic(&name) {
            Err(e) if e.kind() == Kind::UnknownTopic && job.if_exists => {}
            Err(e) if e.kind() == Kind::Damaged && is_damaged(&admin, &name) => {
                match admin.set_topic_aside(&name) {
                    Ok(kept) => {
                        env.warn(&format!(
                            "topic {name} is deleted, but its topic file is damaged and nothing \
                             shows which data was its: the file is kept as {}, the data where it \
                             is ('mq-topics verify' names it)",
                            kept.display()
                        ));
                        rows.extend(row);
                    }
                    Err(e) => failures.notify(env, &e),
                }
            }
            Err(e) => failures.notify(env, &e),
            Ok(()) => rows.extend(row),
        }
    }
    if job.output.is_given {
        print_plan(rows, job.output, env)?;
    }
    Ok(failures.outcome())
}

/// Whether the topic's own file cannot be read.
fn is_damaged(admin: &Admin, name: &TopicName) -> bool {
    admin
        .metadata(name)
        .is_err_and(|e| e.kind() == Kind::Damaged)
}
