//! `mq-groups reset` and `commit`: committed offsets, moved.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::job::{Commit, Move, Reset};
use super::run::PATIENCE;
use crate::cli::output::{Column, Listing, OutputOptions};
use crate::cli::{Env, Outcome};
use crate::client::{open_reader, resolve_within};
use crate::error::{Error, Kind, Result};
use crate::group::{self, CommitEntry, OffsetChange, OffsetsState};
use crate::store::{StoreDir, topics};
use crate::types::{Offset, TopicName, TopicPartition, Uuid};

const PLAN: [Column; 5] = [
    Column::text("group"),
    Column::text("topic"),
    Column::number("partition"),
    Column::number("committed_offset"),
    Column::number("new_offset"),
];

/// Moves a group's offsets.
pub fn reset(job: Reset, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let state = group::committed_offsets(&store, &job.group)?;
    let mut plan = Vec::new();
    for tp in partitions(&store, &job, &state)? {
        let topic_id = topics::read(&store, &tp.topic)?.0.topic_id;
        if let Some(offset) = target(&store, &job, &state, &tp, topic_id)? {
            plan.push(CommitEntry { tp, offset });
        }
    }
    if plan.is_empty() {
        let name = job.group.escape_debug();
        return Err(Error::new(
            Kind::UnknownTopic,
            format!("group '{name}' has no committed offset that could be moved"),
        )
        .cure("name a place with --to, and a topic with --topic"));
    }
    let changes = group::reset(&store, &job.group, &plan, true, PATIENCE)?;
    if job.consent.is_dry_run() {
        print(&job.group, &changes, job.output, env)?;
        return Ok(Outcome::Done);
    }
    let what = if plan.len() == 1 { "offset" } else { "offsets" };
    let question = format!(
        "move {} committed {what} of group '{}'?",
        plan.len(),
        job.group.escape_debug()
    );
    if job.consent.proceed(env, &question)? {
        group::reset(&store, &job.group, &plan, false, PATIENCE)?;
    }
    Ok(Outcome::Done)
}

/// Commits offsets by hand.
pub fn commit(job: Commit, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let plan: Vec<CommitEntry> = job
        .offsets
        .into_iter()
        .map(|(tp, offset)| CommitEntry { tp, offset })
        .collect();
    if job.dry_run {
        let changes = group::reset(&store, &job.group, &plan, true, PATIENCE)?;
        print(&job.group, &changes, job.output, env)?;
    } else {
        group::commit(&store, &job.group, &plan, PATIENCE)?;
    }
    Ok(Outcome::Done)
}

/// The partitions that are meant: those that are named, else all of the topics that the group
/// has offsets of.
fn partitions(
    store: &Arc<StoreDir>,
    job: &Reset,
    state: &OffsetsState,
) -> Result<Vec<TopicPartition>> {
    let names: BTreeSet<TopicName> = match &job.topic {
        Some((topic, Some(partition))) => {
            return Ok(vec![TopicPartition::new(topic.clone(), *partition)]);
        }
        Some((topic, None)) => [topic.clone()].into(),
        None => {
            // Where the group is not there, that is what is wrong.
            group::summarize(store, &job.group)?;
            let mut names = BTreeSet::new();
            for (topic, _, topic_id, _) in state.offsets() {
                let found = topics::read_if_there(store, topic)?;
                if found.is_some_and(|(meta, _)| meta.topic_id == topic_id) {
                    names.insert(topic.clone());
                }
            }
            names
        }
    };
    let mut all = Vec::new();
    for name in names {
        let (meta, _) = topics::read(store, &name)?;
        all.extend(
            meta.partitions
                .iter()
                .map(|p| TopicPartition::new(name.clone(), p.partition)),
        );
    }
    Ok(all)
}

/// Where a partition's offset goes; `None`: it has none that could be moved on or back.
fn target(
    store: &Arc<StoreDir>,
    job: &Reset,
    state: &OffsetsState,
    tp: &TopicPartition,
    topic_id: Uuid,
) -> Result<Option<Offset>> {
    let stored = state
        .committed(&tp.topic, topic_id, tp.partition)
        .map(|c| c.offset);
    let reader = open_reader(store, tp)?;
    let page = reader.page()?;
    match job.to {
        Move::To(point) => resolve_within(&reader, &page, point, stored).map(Some),
        Move::By(n) => Ok(stored.map(|offset| {
            let edge = page.tail.log_start;
            offset
                .saturating_add(n)
                .clamp(edge, page.high_watermark.max(edge))
        })),
    }
}

fn print(group: &str, changes: &[OffsetChange], output: OutputOptions, env: &Env) -> Result<()> {
    let mut rows = Listing::stdout(env, &PLAN, output);
    for change in changes {
        rows.row(vec![
            group.into(),
            change.tp.topic.as_str().into(),
            change.tp.partition.into(),
            change.from.into(),
            change.to.into(),
        ])?;
    }
    rows.finish()
}
