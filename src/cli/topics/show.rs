//! `mq-topics list`, `describe`, `offsets`.

use serde_json::{Map, Value, json};

use super::args::{DescribeArgs, ListArgs, OffsetsArgs, PATIENCE};
use super::change::fail;
use crate::cli::lang::{Now, parse_point};
use crate::cli::output::{Format, Rows, print_objects, print_text};
use crate::cli::{Env, Outcome};
use crate::client::{Admin, TopicDescription, open_reader, resolve_point};
use crate::error::{Error, Kind, Result};
use crate::store::TopicHandle;
use crate::types::{PartitionId, TopicName, TopicPartition};

/// Lists topics.
pub fn list(args: ListArgs, env: &mut Env) -> Result<Outcome> {
    let glob = args.glob.as_deref().map(|glob| {
        globset::Glob::new(glob).map(|glob| glob.compile_matcher()).map_err(|e| {
            Error::new(Kind::Usage, format!("'{}' is no glob: {}", glob.escape_debug(), e.kind()))
                .cure("quote it, and use * ? [a-z] {a,b}")
        })
    });
    let glob = glob.transpose()?;
    let admin = Admin::new(&env.open_store()?, PATIENCE);
    let names = admin.list()?;
    let names = names.iter().filter(|n| glob.as_ref().is_none_or(|g| g.is_match(n.as_str())));
    let mut failed = None;
    let mut columns = vec!["name", "partitions", "replicas"];
    if args.sizes {
        columns.extend(["records", "size_bytes"]);
    }
    let mut rows = Rows::new(&columns);
    for name in names {
        // A topic that is deleted meanwhile is not listed.
        let row = if args.sizes { sized_row(&admin, name) } else { row(&admin, name) };
        match row {
            Err(e) if e.kind() == Kind::UnknownTopic => {}
            Err(e) => fail(env, &mut failed, &e),
            Ok(row) => rows.push(row),
        }
    }
    rows.print(args.output, env)?;
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}

fn row(admin: &Admin, name: &TopicName) -> Result<Vec<Value>> {
    let meta = admin.metadata(name)?;
    let replicas = meta.partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(0);
    Ok(vec![json!(name.as_str()), json!(meta.partitions.len()), json!(replicas)])
}

fn sized_row(admin: &Admin, name: &TopicName) -> Result<Vec<Value>> {
    let described = admin.describe(name)?;
    let replicas = described.partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(0);
    let logs = described.partitions.iter().map(|p| p.log);
    let all: Option<Vec<_>> = logs.collect();
    let (records, bytes) = match all {
        Some(logs) => (
            json!(logs.iter().map(|log| log.high_watermark - log.log_start_offset).sum::<i64>()),
            json!(logs.iter().map(|log| log.size_bytes).sum::<u64>()),
        ),
        None => (Value::Null, Value::Null),
    };
    Ok(vec![json!(name.as_str()), json!(described.partitions.len()), json!(replicas), records, bytes])
}

/// Shows topics.
pub fn describe(args: DescribeArgs, env: &mut Env) -> Result<Outcome> {
    let names = args.names.iter().map(|n| TopicName::new(n.as_str())).collect::<Result<Vec<_>>>()?;
    let admin = Admin::new(&env.open_store()?, PATIENCE);
    let names = if names.is_empty() { admin.list()? } else { names };
    let mut failed = None;
    let mut described = Vec::new();
    for name in &names {
        match admin.describe(name) {
            Err(e) if e.kind() == Kind::UnknownTopic && args.names.is_empty() => {}
            Err(e) => fail(env, &mut failed, &e),
            Ok(topic) => described.push(topic),
        }
    }
    match args.output.format {
        Format::Json => print_objects(described.iter().map(as_json))?,
        Format::Tsv => partitions(&described).print(args.output, env)?,
        Format::Table => {
            for (at, topic) in described.iter().enumerate() {
                let mut head = if at == 0 { String::new() } else { "\n".to_owned() };
                head.push_str(&format!("topic {}  id {}\n", topic.name, topic.topic_id));
                for config in topic.configs.iter().filter(|config| config.explicit) {
                    head.push_str(&format!("  {}={}\n", config.name, config.value));
                }
                print_text(head.as_bytes())?;
                partitions(std::slice::from_ref(topic)).print(args.output, env)?;
            }
        }
    }
    let offline = described.iter().flat_map(|topic| &topic.partitions).any(|p| p.offline.is_some());
    if offline {
        env.warn("a partition is offline: 'mq-topics verify' says which and why");
    }
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}

fn partitions(topics: &[TopicDescription]) -> Rows {
    let mut rows = Rows::new(&[
        "topic",
        "partition",
        "leader",
        "leader_epoch",
        "replicas",
        "isr",
        "log_start_offset",
        "high_watermark",
        "log_end_offset",
        "size_bytes",
    ]);
    for topic in topics {
        for p in &topic.partitions {
            rows.push(vec![
                json!(topic.name.as_str()),
                json!(p.partition),
                json!(p.leader),
                json!(p.leader_epoch),
                json!(p.replicas),
                json!(p.isr),
                json!(p.log.map(|log| log.log_start_offset)),
                json!(p.log.map(|log| log.high_watermark)),
                json!(p.log.map(|log| log.log_end_offset)),
                json!(p.log.map(|log| log.size_bytes)),
            ]);
        }
    }
    rows
}

fn as_json(topic: &TopicDescription) -> Value {
    let configs: Map<String, Value> = topic
        .configs
        .iter()
        .map(|config| {
            let origin = if config.explicit { "topic" } else { "default" };
            (config.name.to_owned(), json!({"value": config.value, "origin": origin}))
        })
        .collect();
    let partitions: Vec<Value> = topic
        .partitions
        .iter()
        .map(|p| {
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
            })
        })
        .collect();
    json!({
        "name": topic.name.as_str(),
        "topic_id": topic.topic_id.to_string(),
        "configs": configs,
        "partitions": partitions,
    })
}

/// Shows the offsets of points.
pub fn offsets(args: OffsetsArgs, env: &mut Env) -> Result<Outcome> {
    let name = TopicName::new(args.name)?;
    let now = Now { now_ms: env.now_ms(), zone: jiff::tz::TimeZone::system() };
    let point = args.at.as_deref().map(|at| parse_point(at, &now)).transpose()?;
    if point == Some(crate::client::point::Point::Stored) {
        return Err(Error::new(Kind::Usage, "'stored' is where a group left off, and there is none here")
            .cure("'mq-groups describe' shows committed offsets"));
    }
    let store = env.open_store()?;
    let topic = TopicHandle::open(&store, &name)?;
    let columns: &[&str] = if point.is_some() {
        &["topic", "partition", "offset"]
    } else {
        &["topic", "partition", "log_start_offset", "high_watermark"]
    };
    let mut rows = Rows::new(columns);
    let mut failed = None;
    for partition in 0..topic.meta().partitions.len() {
        let tp = TopicPartition::new(name.clone(), partition as PartitionId);
        let looked = open_reader(&store, &tp).and_then(|reader| {
            let page = reader.page()?;
            Ok(match point {
                Some(point) => {
                    let at = crate::client::resolve_within(&reader, &page, point, None)?;
                    debug_assert_eq!(Some(at), resolve_point(&reader, &page, point, None).ok());
                    vec![json!(name.as_str()), json!(tp.partition), json!(at)]
                }
                None => vec![
                    json!(name.as_str()),
                    json!(tp.partition),
                    json!(page.tail.log_start),
                    json!(page.high_watermark),
                ],
            })
        });
        match looked {
            Ok(row) => rows.push(row),
            Err(e) => fail(env, &mut failed, &e),
        }
    }
    rows.print(args.output, env)?;
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}
