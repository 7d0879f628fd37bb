//! `mq-groups reset` and `commit`: moving committed offsets, and exporting them for a later reset.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::asked::{Asked, of_topics, print, warned};
use super::csv;
use super::job::{Commit, Export, Move, Reset};
use crate::cli::common::TIMEOUT;
use crate::cli::topic_selection::{Chosen, TopicSelection};
use crate::cli::{Env, Outcome};
use crate::client::groups::{self, CommitEntry, OffsetsState};
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::client::{StoreDir, open_reader, resolve_within, topics};
use crate::error::{Error, Kind, Result, near_names};
use crate::types::{Offset, TopicPartition, Uuid};

/// Moves a group's offsets.
pub fn reset(job: Reset, env: &mut Env) -> Result<Outcome> {
    // An unreadable file is reported before the store is read.
    let given = match &job.to {
        Move::File(path) => Some(csv::read(path)?),
        _ => None,
    };
    if let Move::To(UnresolvedOffset::Plus(n)) = job.to {
        env.note(&format!(
            "+{n} counts from the log start; --by {n} moves forward"
        ));
    }
    let store = env.open_store()?;
    let plan = match (&job.to, given) {
        (_, Some(rows)) => scoped(rows, &job.topics),
        (Move::Group(other), None) => scoped(offsets_of(&store, other, env)?, &job.topics),
        (to, None) => plan(&store, &job, to, env)?,
    };
    if plan.is_empty() {
        return Err(nothing_to_move(&job));
    }
    let asked = Asked {
        group: &job.group,
        consent: job.consent,
        output: job.output,
    };
    let created = Created::of(&store, &job.group)?;
    let env = &*env;
    asked.change(
        env,
        || groups::reset(&store, &job.group, &plan, true, TIMEOUT, &mut Vec::new()),
        |moved| format!("move {moved} of group '{}'?", job.group.escape_debug()),
        |notes| {
            let done = groups::reset(&store, &job.group, &plan, false, TIMEOUT, notes)?;
            created.note(env);
            Ok(done)
        },
    )
}

/// The note on a group that a change creates: its name may be mistyped.
struct Created(Option<String>);

impl Created {
    /// To be called before the change.
    fn of(store: &Arc<StoreDir>, group: &str) -> Result<Self> {
        let known = groups::list(store)?;
        if known.iter().any(|name| name == group) {
            return Ok(Created(None));
        }
        let near: Vec<String> = near_names(group, known.iter().map(String::as_str))
            .iter()
            .map(|name| format!("'{}'", name.escape_debug()))
            .collect();
        let like = if near.is_empty() {
            String::new()
        } else {
            format!(" (there is also {})", near.join(", "))
        };
        let group = group.escape_debug();
        Ok(Created(Some(format!("created group '{group}'{like}"))))
    }

    fn note(&self, env: &Env) {
        if let Some(note) = &self.0 {
            env.note(note);
        }
    }
}

fn nothing_to_move(job: &Reset) -> Error {
    let of = of_topics(&job.topics);
    let (what, cure) = match &job.to {
        Move::Group(other) => (
            format!(
                "group '{}' has no committed offset{of}",
                other.escape_debug()
            ),
            "'mq-groups describe' shows its offsets",
        ),
        Move::File(path) => (
            format!("{} has no row{of}", csv::place(path)),
            "'mq-groups reset --export' prints such rows",
        ),
        Move::To(_) | Move::By(_) => (
            format!(
                "group '{}' has no committed offset that could be moved",
                job.group.escape_debug()
            ),
            "name a place with --to, and a topic with --topic",
        ),
    };
    Error::new(Kind::UnknownTopic, what).cure(cure)
}

pub(super) fn plan(
    store: &Arc<StoreDir>,
    job: &Reset,
    to: &Move,
    env: &Env,
) -> Result<Vec<CommitEntry>> {
    let state = groups::committed_offsets(store, &job.group)?;
    let mut plan = Vec::new();
    for tp in partitions(store, job, &state)? {
        let topic_id = topics::read(store, &tp.topic)?.0.topic_id;
        if let Some(offset) = target(store, to, &state, &tp, topic_id, env)? {
            plan.push(CommitEntry { tp, offset });
        }
    }
    Ok(plan)
}

fn scoped(mut rows: Vec<CommitEntry>, topics: &TopicSelection) -> Vec<CommitEntry> {
    rows.retain(|row| topics.has_partition(&row.tp));
    rows
}

/// The committed offsets of a group, for topics that still exist.
fn offsets_of(store: &Arc<StoreDir>, group: &str, env: &Env) -> Result<Vec<CommitEntry>> {
    // A missing group is reported first.
    let seen = groups::summarize(store, group)?;
    for note in seen.notes.iter().chain(&seen.damage) {
        env.warn(note);
    }
    let state = groups::committed_offsets(store, group)?;
    let mut rows = Vec::new();
    for (topic, partition, topic_id, offset) in state.offsets() {
        let found = topics::read_if_there(store, topic)?;
        if found.is_some_and(|(meta, _)| meta.topic_id == topic_id) {
            let tp = TopicPartition::new(topic.clone(), partition);
            rows.push(CommitEntry { tp, offset });
        }
    }
    Ok(rows)
}

/// Prints a group's offsets as `reset --from-file` reads them.
pub fn export(job: &Export, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut out = Vec::new();
    for row in scoped(offsets_of(&store, &job.group, env)?, &job.topics) {
        csv::write(&row.tp.topic, row.tp.partition, row.offset, &mut out);
    }
    env.stdout().print(&out)?;
    Ok(Outcome::Done)
}

/// Commits the given offsets.
pub fn commit(job: Commit, env: &mut Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let plan: Vec<CommitEntry> = job
        .offsets
        .into_iter()
        .map(|(tp, offset)| CommitEntry { tp, offset })
        .collect();
    if job.dry_run {
        let changes = groups::reset(&store, &job.group, &plan, true, TIMEOUT, &mut Vec::new())?;
        print(&job.group, &changes, job.output, env)?;
    } else {
        let created = Created::of(&store, &job.group)?;
        let done = warned(env, |notes| {
            groups::commit(&store, &job.group, &plan, TIMEOUT, notes)
        })?;
        created.note(env);
        if job.output.is_given {
            print(&job.group, &done, job.output, env)?;
        }
    }
    Ok(Outcome::Done)
}

/// The selected partitions: those that are named, else all partitions of the topics that the group
/// has offsets of.
fn partitions(
    store: &Arc<StoreDir>,
    job: &Reset,
    state: &OffsetsState,
) -> Result<Vec<TopicPartition>> {
    let chosen = if job.topics.is_empty() {
        // A missing group is reported first.
        groups::summarize(store, &job.group)?;
        let mut names = BTreeSet::new();
        for (topic, _, topic_id, _) in state.offsets() {
            let found = topics::read_if_there(store, topic)?;
            if found.is_some_and(|(meta, _)| meta.topic_id == topic_id) {
                names.insert(topic.clone());
            }
        }
        names.into_iter().map(Chosen::all_of).collect()
    } else {
        job.topics.resolve_all(|| topics::list(store))?
    };
    let mut all = Vec::new();
    for chosen in chosen {
        let (meta, _) = topics::read(store, &chosen.topic)?;
        let partitions = chosen.partitions_of(&meta)?.into_iter();
        all.extend(partitions.map(|p| TopicPartition::new(chosen.topic.clone(), p)));
    }
    Ok(all)
}

/// The new offset of a partition; `None`: there is no committed offset to move.
fn target(
    store: &Arc<StoreDir>,
    to: &Move,
    state: &OffsetsState,
    tp: &TopicPartition,
    topic_id: Uuid,
    env: &Env,
) -> Result<Option<Offset>> {
    let stored = state
        .committed(&tp.topic, topic_id, tp.partition)
        .map(|c| c.offset);
    let reader = open_reader(store, tp)?;
    let page = reader.page()?;
    match to {
        Move::To(point) => resolve_within(&reader, &page, *point, stored).map(Some),
        Move::File(_) | Move::Group(_) => Ok(stored),
        Move::By(n) => Ok(stored.map(|offset| {
            let edge = page.tail.log_start;
            let wanted = offset.saturating_add(*n);
            let within = wanted.clamp(edge, page.high_watermark.max(edge));
            if within != wanted {
                let (beyond, edge) = if wanted > within {
                    ("beyond the end", "end")
                } else {
                    ("before the start", "start")
                };
                let (sign, by) = (if *n < 0 { '-' } else { '+' }, n.unsigned_abs());
                env.warn(&format!(
                    "{tp}: {offset} {sign} {by} is {beyond} of the log: using the {edge}, {within}"
                ));
            }
            within
        })),
    }
}
