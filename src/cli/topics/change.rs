//! `mq-topics create`, `alter`, `delete`.

use std::collections::BTreeMap;

use super::args::{AlterArgs, CreateArgs, DeleteArgs, PATIENCE};
use crate::cli::consent;
use crate::cli::exit::weightier;
use crate::cli::output::print_text;
use crate::cli::{Env, Outcome};
use crate::client::Admin;
use crate::error::{Error, Kind, Result};
use crate::store::{NewTopic, TopicConfigs, topics};
use crate::types::{PARTITIONS_MAX, TopicName};

/// `NAME=VALUE` pairs.
fn parse_configs(configs: &[String]) -> Result<BTreeMap<String, String>> {
    configs
        .iter()
        .map(|config| {
            config
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| {
                    Error::new(Kind::Usage, format!("'{}' is no config", config.escape_debug()))
                        .cure("say NAME=VALUE, such as segment.bytes=104857600")
                })
        })
        .collect()
}

fn check_partitions(partitions: Option<i32>) -> Result<()> {
    match partitions {
        Some(n) if !(1..=PARTITIONS_MAX).contains(&n) => {
            Err(Error::new(Kind::Usage, format!("{n} is no number of partitions"))
                .cure(format!("use 1 to {PARTITIONS_MAX}")))
        }
        _ => Ok(()),
    }
}

/// Makes topics.
pub fn create(args: CreateArgs, env: &mut Env) -> Result<Outcome> {
    let names: Vec<TopicName> = args.names.iter().map(|n| TopicName::new(n.as_str())).collect::<Result<_>>()?;
    let given = parse_configs(&args.configs)?;
    let like = args.like.as_deref().map(TopicName::new).transpose()?;
    check_partitions(args.partitions)?;
    if like.is_none() {
        TopicConfigs::from_explicit(given.clone())?;
    } else {
        for name in given.keys() {
            TopicConfigs::check_name(name)?;
        }
    }
    let store = if args.dry_run || like.is_some() {
        match env.open_store() {
            Err(e) if e.kind() == Kind::NoStore && like.is_none() => None,
            other => Some(other?),
        }
    } else {
        Some(env.open_or_create_store()?)
    };
    let admin = store.as_ref().map(|store| Admin::new(store, PATIENCE));
    let (mut configs, mut partitions) = (BTreeMap::new(), 1);
    if let (Some(like), Some(admin)) = (&like, &admin) {
        let meta = admin.metadata(like)?;
        configs = meta.explicit;
        partitions = meta.partitions.len() as i32;
    }
    configs.extend(given);
    let partitions = args.partitions.unwrap_or(partitions);
    TopicConfigs::from_explicit(configs.clone())?;
    let mut failed: Option<Kind> = None;
    for name in names {
        if let Some(admin) = &admin {
            for other in admin.colliding(&name)? {
                env.warn(&format!("'{name}' and '{other}' differ only in . and _: in Kafka their metrics collide"));
            }
        }
        let outcome = match &admin {
            Some(admin) if !args.dry_run => admin
                .create_topic(&NewTopic { name: name.clone(), partitions, configs: configs.clone() })
                .map(|_| ()),
            Some(admin) if admin.list()?.contains(&name) => Err(Error::new(
                Kind::TopicExists,
                format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
            )),
            _ => Ok(()),
        };
        match outcome {
            Err(e) if e.kind() == Kind::TopicExists && args.if_not_exists => {
                env.note(&format!("topic {name} is there already"));
            }
            Err(e) => fail(env, &mut failed, &e),
            Ok(()) if args.dry_run => {
                let configs: String = configs.iter().map(|(k, v)| format!(" {k}={v}")).collect();
                print_text(format!("would make topic {name} with {partitions} partitions{configs}\n").as_bytes())?;
            }
            Ok(()) => {}
        }
    }
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}

/// Tells of one item's failure, and goes on.
pub fn fail(env: &Env, failed: &mut Option<Kind>, e: &Error) {
    crate::cli::report::error(env.tool(), e);
    *failed = Some(failed.map_or(e.kind(), |kind| weightier(kind, e.kind())));
}

/// Changes a topic.
pub fn alter(args: AlterArgs, env: &mut Env) -> Result<Outcome> {
    let name = TopicName::new(args.name)?;
    let set = parse_configs(&args.configs)?;
    for config in set.keys().chain(&args.unset) {
        TopicConfigs::check_name(config)?;
    }
    check_partitions(args.partitions)?;
    let admin = Admin::new(&env.open_store()?, PATIENCE);
    let meta = admin.metadata(&name)?;
    let mut explicit = meta.explicit.clone();
    explicit.extend(set.clone());
    explicit.retain(|name, _| !args.unset.contains(name));
    TopicConfigs::from_explicit(explicit.clone())?;
    if let Some(partitions) = args.partitions
        && partitions <= meta.partitions.len() as i32
    {
        return Err(Error::new(
            Kind::Usage,
            format!("topic {name} has {} partitions already; their number can only grow", meta.partitions.len()),
        )
        .cure("say a larger number with --partitions"));
    }
    if args.dry_run {
        let mut plan = String::new();
        for (config, value) in &explicit {
            if meta.explicit.get(config) != Some(value) {
                plan.push_str(&format!("would set {config}={value} on {name}\n"));
            }
        }
        for config in meta.explicit.keys().filter(|config| !explicit.contains_key(*config)) {
            plan.push_str(&format!("would unset {config} on {name}\n"));
        }
        if let Some(partitions) = args.partitions {
            plan.push_str(&format!("would add partitions {} to {} to {name}\n", meta.partitions.len(), partitions - 1));
        }
        print_text(plan.as_bytes())?;
        return Ok(Outcome::Done);
    }
    if !set.is_empty() || !args.unset.is_empty() {
        admin.alter_configs(&name, &set, &args.unset)?;
    }
    if let Some(partitions) = args.partitions {
        admin.add_partitions(&name, partitions)?;
        env.note(&format!("keys may move: {name} has {partitions} partitions now, and a key's partition follows from their number"));
    }
    Ok(Outcome::Done)
}

/// Deletes topics.
pub fn delete(args: DeleteArgs, env: &mut Env) -> Result<Outcome> {
    let patterns = args
        .names
        .iter()
        .map(|name| {
            if name.contains(['*', '?', '[', '{']) {
                globset::Glob::new(name).map(|glob| (None, Some(glob.compile_matcher()))).map_err(|e| {
                    Error::new(Kind::Usage, format!("'{}' is no glob: {}", name.escape_debug(), e.kind()))
                        .cure("quote it, and use * ? [a-z] {a,b}")
                })
            } else {
                Ok((Some(TopicName::new(name.as_str())?), None))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let store = env.open_store()?;
    let admin = Admin::new(&store, PATIENCE);
    let there = admin.list()?;
    let mut failed = None;
    let mut doomed: Vec<TopicName> = Vec::new();
    for (name, glob) in patterns {
        let before = doomed.len();
        doomed.extend(there.iter().filter(|topic| {
            name.as_ref() == Some(topic) || glob.as_ref().is_some_and(|glob| glob.is_match(topic.as_str()))
        }).cloned());
        if doomed.len() == before && !args.if_exists {
            let e = match &name {
                Some(name) => topics::unknown(&store, name),
                None => Error::new(Kind::UnknownTopic, "UNKNOWN_TOPIC_OR_PARTITION: no topic matches")
                    .cure("'mq-topics list' shows what there is"),
            };
            fail(env, &mut failed, &e);
        }
    }
    doomed.sort_unstable();
    doomed.dedup();
    if doomed.is_empty() {
        return Ok(failed.map_or(Outcome::Done, Outcome::Failed));
    }
    if args.consent.dry_run {
        let plan: String = doomed.iter().map(|name| format!("would delete topic {name}\n")).collect();
        print_text(plan.as_bytes())?;
        return Ok(failed.map_or(Outcome::Done, Outcome::Failed));
    }
    let names = doomed.iter().map(TopicName::as_str).collect::<Vec<_>>().join(", ");
    let what = if doomed.len() == 1 { "topic" } else { "topics" };
    consent::ask(args.consent, &format!("delete {what} {names} with all data"), env)?;
    for name in doomed {
        match admin.delete_topic(&name) {
            Err(e) if e.kind() == Kind::UnknownTopic && args.if_exists => {}
            Err(e) => fail(env, &mut failed, &e),
            Ok(()) => {}
        }
    }
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}
