//! `mq-topics list`, `describe`, `offsets`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::cleanup;
use super::job::{Describe, List, Offsets, Only};
use crate::cli::common::TIMEOUT;
use crate::cli::lang::shown;
use crate::cli::output::{
    Cell, Column, OutputFormat, OutputOptions, RowPrinter, json_line, listing_width,
};
use crate::cli::topic_selection::Chosen;
use crate::cli::{Env, Failures, Outcome};
use crate::client::stores::UnixGroup;
use crate::client::topics::{self, TopicHandle};
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::client::{
    Admin, FollowerDescription, LogDescription, PartitionDescription, StoreDir, TopicDescription,
    open_reader, resolve_within,
};
use crate::error::{Kind, Result};
use crate::types::{Offset, TopicName, TopicPartition};

const LIST: [Column; 3] = [
    Column::text("topic"),
    Column::number("partitions"),
    Column::number("replicas"),
];
const LIST_SIZES: [Column; 5] = [
    Column::text("topic"),
    Column::number("partitions"),
    Column::number("replicas"),
    Column::number("offsets"),
    Column::size("size_bytes").short("size"),
];
const PARTITIONS: [Column; 14] = [
    Column::text("topic").minor(),
    Column::number("partition").short("part"),
    Column::number("leader"),
    Column::number("leader_epoch").short("epoch"),
    Column::text("replicas"),
    Column::text("isr"),
    Column::number("log_start_offset").short("start"),
    Column::number("high_watermark").short("end"),
    Column::number("log_end_offset").short("log end").minor(),
    Column::size("size_bytes").short("size"),
    Column::number("preferred_leader")
        .short("preferred")
        .minor(),
    Column::text("offline"),
    Column::number("next_removal_offset")
        .short("removed to")
        .minor(),
    Column::time("next_removal_at").short("at").minor(),
];
/// How many of the columns a table has where nothing is to be removed.
const WITHOUT_REMOVAL: usize = 12;
const OFFSETS: [Column; 3] = [
    Column::text("topic"),
    Column::number("partition"),
    Column::number("offset"),
];
const EDGES: [Column; 4] = [
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::number("log_start_offset").short("start"),
    Column::number("high_watermark").short("end"),
];

/// Lists topics.
pub fn list(job: List, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let admin = Admin::new(&store, TIMEOUT);
    let names = admin.list()?;
    let mut failures = Failures::default();
    // A filter that matches nothing is no failure; a named topic that is missing is one, as with
    // ls.
    for text in job.wanted.unmatched(&names) {
        env.note(&format!("no topic matches '{}'", shown(text)));
    }
    for text in job.wanted.unknown(&names) {
        failures.notify(env, &topics::unknown(&store, &TopicName::new(text)?));
    }
    let columns: &'static [Column] = if job.sizes { &LIST_SIZES } else { &LIST };
    let mut rows = RowPrinter::stdout(env, columns, job.output);
    for name in names.iter().filter(|name| job.wanted.has(name)) {
        let row = if job.sizes {
            sized_row(&admin, name)
        } else {
            plain_row(&admin, name)
        };
        match row {
            // A topic that is deleted meanwhile is not listed.
            Err(e) if e.kind() == Kind::UnknownTopic => {}
            Err(e) => failures.notify(env, &e),
            Ok(row) => rows.row(row)?,
        }
    }
    rows.finish()?;
    Ok(failures.outcome())
}

fn plain_row(admin: &Admin, name: &TopicName) -> Result<Vec<Cell>> {
    let meta = admin.metadata(name)?;
    let replicas = meta
        .partitions
        .iter()
        .map(|p| p.replicas.len())
        .max()
        .unwrap_or(0);
    Ok(vec![
        name.as_str().into(),
        (meta.partitions.len() as u64).into(),
        (replicas as u64).into(),
    ])
}

fn sized_row(admin: &Admin, name: &TopicName) -> Result<Vec<Cell>> {
    let described = admin.describe(name)?;
    let replicas = described
        .partitions
        .iter()
        .map(|p| p.replicas.len())
        .max()
        .unwrap_or(0);
    let logs: Option<Vec<LogDescription>> = described.partitions.iter().map(|p| p.log).collect();
    let offsets = logs.as_ref().map(|logs| {
        logs.iter()
            .map(|log| log.high_watermark - log.log_start_offset)
            .sum::<Offset>()
    });
    let bytes = logs
        .as_ref()
        .map(|logs| logs.iter().map(|log| log.size_bytes).sum::<u64>());
    Ok(vec![
        name.as_str().into(),
        (described.partitions.len() as u64).into(),
        (replicas as u64).into(),
        offsets.into(),
        bytes.into(),
    ])
}

/// Describes topics.
pub fn describe(job: Describe, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let group = store.unix_group()?;
    let admin = Admin::new(&store, TIMEOUT);
    let all = job.wanted.is_empty();
    let mut failures = Failures::default();
    let (chosen, unmatched) = job.wanted.resolve_or_all(|| admin.list())?;
    failures.notify_all(env, &unmatched);
    let mut described = Vec::new();
    for chosen in &chosen {
        match describe_chosen(&admin, chosen) {
            Err(e) if e.kind() == Kind::UnknownTopic && all => {}
            Err(e) => failures.notify(env, &e),
            Ok(topic) => described.push(topic),
        }
    }
    let Only {
        under_replicated,
        offline,
    } = job.only;
    if under_replicated || offline {
        for topic in &mut described {
            topic.partitions.retain(|p| {
                (under_replicated && p.is_under_replicated()) || (offline && p.is_offline())
            });
        }
        described.retain(|topic| !topic.partitions.is_empty());
    }
    match job.output.format {
        OutputFormat::Json => {
            let mut out = Vec::new();
            for topic in &described {
                json_line(&as_json(topic, group.as_ref()), &mut out)?;
            }
            env.stdout().print(&out)?;
        }
        OutputFormat::Tsv => partitions(&described, job.output, env)?,
        OutputFormat::Table => {
            for (at, topic) in described.iter().enumerate() {
                let mut head = if at == 0 {
                    String::new()
                } else {
                    "\n".to_owned()
                };
                let mut facts = vec![format!("id {}", topic.topic_id)];
                facts.extend(group.as_ref().map(|g| format!("Unix group {}", g.name)));
                head.push_str(&headline(&topic.name, &facts, listing_width(env)));
                for config in topic.configs.iter().filter(|config| config.explicit) {
                    head.push_str(&format!("  {}={}\n", config.name, config.value));
                }
                head.push_str(&cleanup::size_line(topic).unwrap_or_default());
                env.stdout().print(head.as_bytes())?;
                partitions(std::slice::from_ref(topic), job.output, env)?;
            }
        }
    }
    cleanup::warn(&described, env);
    let offline = described
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|p| p.offline.is_some());
    if offline {
        env.warn("a partition is offline: 'mq-topics verify' says which and why");
    }
    Ok(failures.outcome())
}

/// The line above a topic's table; facts that do not fit beside the name go below it.
fn headline(name: &TopicName, facts: &[String], width: Option<u16>) -> String {
    let one = format!("topic {name}  {}\n", facts.join("  "));
    if width.is_some_and(|width| one.len() > usize::from(width)) {
        let facts = facts.iter().map(|fact| format!("  {fact}\n"));
        return format!("topic {name}\n{}", facts.collect::<String>());
    }
    one
}

fn describe_chosen(admin: &Admin, chosen: &Chosen) -> Result<TopicDescription> {
    let meta = admin.metadata(&chosen.topic)?;
    let only = chosen.partitions_of(&meta)?;
    admin.describe_read(&meta, |partition| only.binary_search(&partition).is_ok())
}

fn partitions(topics: &[TopicDescription], output: OutputOptions, env: &Env) -> Result<()> {
    let is_plain = output.format == OutputFormat::Table && !cleanup::has_next(topics);
    let columns: &'static [Column] = match PARTITIONS.split_at(WITHOUT_REMOVAL) {
        (plain, _) if is_plain => plain,
        _ => &PARTITIONS,
    };
    let mut rows = RowPrinter::stdout(env, columns, output);
    for topic in topics {
        for p in &topic.partitions {
            let next = p.cleanup.next;
            let mut row: Vec<Cell> = vec![
                topic.name.as_str().into(),
                p.partition.into(),
                p.leader.into(),
                p.leader_epoch.into(),
                Cell::list(p.replicas.iter().copied()),
                Cell::list(p.isr.iter().copied()),
                p.log.map(|log| log.log_start_offset).into(),
                p.log.map(|log| log.high_watermark).into(),
                p.log.map(|log| log.log_end_offset).into(),
                p.log.map(|log| log.size_bytes).into(),
                p.preferred_leader.into(),
                p.is_offline().into(),
                next.map(|next| next.offset).into(),
                next.map(|next| next.at_ms).into(),
            ];
            row.truncate(columns.len());
            rows.row(row)?;
        }
    }
    rows.finish()
}

fn as_json(topic: &TopicDescription, group: Option<&UnixGroup>) -> Value {
    let configs: Map<String, Value> = topic
        .configs
        .iter()
        .map(|config| {
            let origin = if config.explicit { "topic" } else { "default" };
            (
                config.name.to_owned(),
                json!({"value": config.value, "origin": origin}),
            )
        })
        .collect();
    json!({
        "topic": topic.name.as_str(),
        "topic_id": topic.topic_id.to_string(),
        "unix_group": group.map(|group| &group.name),
        "configs": configs,
        "partitions": topic.partitions.iter().map(partition_json).collect::<Vec<_>>(),
    })
}

fn partition_json(p: &PartitionDescription) -> Value {
    json!({
        "partition": p.partition,
        "leader": p.leader,
        "leader_epoch": p.leader_epoch,
        "replicas": p.replicas,
        "isr": p.isr,
        "log_start_offset": p.log.map(|log| log.log_start_offset),
        "high_watermark": p.log.map(|log| log.high_watermark),
        "log_end_offset": p.log.map(|log| log.log_end_offset),
        "size_bytes": p.log.map(|log| log.size_bytes),
        "preferred_leader": p.preferred_leader,
        "offline": p.is_offline(),
        "followers": p.followers.iter().map(follower_json).collect::<Vec<_>>(),
        "cleanup": cleanup::as_json(&p.cleanup),
    })
}

fn follower_json(follower: &FollowerDescription) -> Value {
    json!({
        "broker": follower.broker,
        "log_end_offset": follower.log_end_offset,
        "lag": follower.lag,
        "in_sync": follower.in_sync,
    })
}

/// Prints the offsets of a point, or the edges of the logs.
pub fn offsets(job: Offsets, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut failures = Failures::default();
    let (chosen, unmatched) = job.wanted.resolve(|| topics::list(&store))?;
    failures.notify_all(env, &unmatched);
    let columns: &'static [Column] = if job.at.is_some() { &OFFSETS } else { &EDGES };
    let mut rows = RowPrinter::stdout(env, columns, job.output);
    for chosen in &chosen {
        let topic = TopicHandle::open(&store, &chosen.topic);
        let partitions = match topic.and_then(|topic| chosen.partitions_of(topic.meta())) {
            Ok(partitions) => partitions,
            Err(e) => {
                failures.notify(env, &e);
                continue;
            }
        };
        for partition in partitions {
            let tp = TopicPartition::new(chosen.topic.clone(), partition);
            match offsets_row(&store, &tp, job.at) {
                Ok(row) => rows.row(row)?,
                Err(e) => failures.notify(env, &e),
            }
        }
    }
    rows.finish()?;
    Ok(failures.outcome())
}

fn offsets_row(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    at: Option<UnresolvedOffset>,
) -> Result<Vec<Cell>> {
    let reader = open_reader(store, tp)?;
    let page = reader.page()?;
    let mut row: Vec<Cell> = vec![tp.topic.as_str().into(), tp.partition.into()];
    match at {
        Some(point) => row.push(resolve_within(&reader, &page, point, None)?.into()),
        None => row.extend([page.tail.log_start.into(), page.high_watermark.into()]),
    }
    Ok(row)
}
