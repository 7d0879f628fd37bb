//! Which partitions are read, from where to where; and what comes later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::job::{Job, Topics};
use super::print::Printer;
use super::tail::TailOf;
use crate::cli::Env;
use crate::cli::lang::shown;
use crate::client::offset_spec::{Point, PointRange, Selection};
use crate::client::topics::{self, TopicHandle};
use crate::client::{Consumer, StoreDir, Until, open_reader, resolve_range};
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, TopicName, TopicPartition};

/// The topics that are read, and how many of their partitions are assigned.
#[derive(Debug, Default)]
pub struct Assignments {
    topics: BTreeMap<TopicName, Known>,
    /// Of which partitions `--tail` wants the last records: those that were there at first, sorted.
    pub tail_of: Vec<TailOf>,
    read: ReadAtAll,
    /// Topics whose file is damaged, each told of once; and whether the points of the selection hold
    /// for it, should it become readable.
    damaged: HashMap<TopicName, bool>,
    /// Partitions that cannot be opened, each told of once and tried again; and whether the points
    /// of the selection hold for it.
    failing: BTreeMap<TopicPartition, bool>,
}

/// Whether the ranges that were asked for leave anything to read, in partitions that hold records.
#[derive(Debug, Default)]
struct ReadAtAll {
    empty: bool,
    some: bool,
}

#[derive(Debug)]
struct Known {
    topic: TopicHandle,
    partitions: usize,
}

impl Assignments {
    /// Whether no topic is read yet.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whether a topic that was asked for is not there: one by its name, or any for a pattern.
    pub fn lacks(&self, wanted: &Topics) -> bool {
        let there =
            |name: &TopicName| self.topics.contains_key(name) || self.damaged.contains_key(name);
        wanted.lack(there) || self.is_empty() && self.damaged.is_empty()
    }

    /// Says which patterns match no topic yet, while others are read.
    pub fn note_unmatched(&self, wanted: &Topics, env: &Env) {
        let Topics::Matching(patterns) = wanted else {
            return;
        };
        for pattern in patterns.iter().filter(|pattern| !pattern.is_name()) {
            let mut there = self.topics.keys().chain(self.damaged.keys());
            if !there.any(|topic| pattern.matches(topic.as_str())) {
                env.note(&format!(
                    "no topic matches '{}' yet; waiting for one, and reading the others",
                    shown(pattern.text())
                ));
            }
        }
    }

    /// Forgets a topic that was deleted.
    pub fn forget(&mut self, name: &TopicName) {
        self.topics.remove(name);
    }

    /// Assigns what there is now. `first`: it was there when the command began, and the points of
    /// the selection hold for it; what comes later is read from its start.
    pub fn refresh(
        &mut self,
        store: &Arc<StoreDir>,
        job: &Job,
        consumer: &mut Consumer,
        printer: &mut Printer,
        env: &mut Env,
        first: bool,
    ) -> Result<()> {
        for (tp, first) in self.failing.clone() {
            match self.assign(job, &tp, consumer, printer, env, first) {
                Err(e) if e.is_of_one_partition() => {}
                Err(e) if e.kind() != Kind::UnknownTopic => return Err(e),
                Ok(()) | Err(_) => drop(self.failing.remove(&tp)),
            }
        }
        let mut failures = Vec::new();
        let wanted = wanted(store, job, first)?;
        // One that was deleted and is made anew came later.
        self.damaged.retain(|name, _| wanted.contains(name));
        for name in wanted {
            let current = match self.topics.get(&name) {
                Some(known) => known.topic.is_current()?,
                None => false,
            };
            if current {
                continue;
            }
            let topic = match TopicHandle::open(store, &name) {
                // Deleted since it was listed. Whatever else fails must not look like no records.
                Err(e) if e.kind() == Kind::UnknownTopic => continue,
                // The others can be read.
                Err(e) if e.kind() == Kind::Damaged => {
                    self.damaged.entry(name).or_insert_with(|| {
                        env.fail(&e);
                        first
                    });
                    continue;
                }
                other => other?,
            };
            let known = self.topics.get(&name);
            if known.is_some_and(|known| known.topic.meta().topic_id != topic.meta().topic_id) {
                // Made anew: the reader of the old one ends by itself.
                continue;
            }
            let have = known.map_or(0, |known| known.partitions);
            let first = first || have == 0 && self.damaged.get(&name) == Some(&true);
            // What is waited for is its records: its end is fixed once there are some.
            let is_awaited = job.wait && !first && have == 0 && (job.to_end || job.ends());
            if is_awaited && is_empty(store, job, &topic) {
                continue;
            }
            let count = topic.meta().partitions.len();
            for partition in have..count {
                let tp = TopicPartition::new(name.clone(), partition as PartitionId);
                match self.assign(job, &tp, consumer, printer, env, first) {
                    // The others can be read.
                    Err(e) if e.is_of_one_partition() => {
                        if e.kind() != Kind::Damaged {
                            self.failing.insert(tp, first);
                        }
                        failures.push(e);
                    }
                    other => other?,
                }
            }
            if first || have == 0 && is_named(&job.topics, &name) {
                check_partitions(job, &name, &topic)?;
            }
            self.topics.insert(
                name,
                Known {
                    topic,
                    partitions: count,
                },
            );
        }
        if first
            && consumer.is_empty()
            && let Some(e) = failures.pop()
        {
            // There are no others.
            return Err(e);
        }
        for e in &failures {
            env.fail(e);
        }
        if first && self.read.empty && !self.read.some {
            env.note("nothing to read: the range given with -o is empty");
        }
        Ok(())
    }

    fn assign(
        &mut self,
        job: &Job,
        tp: &TopicPartition,
        consumer: &mut Consumer,
        printer: &mut Printer,
        env: &mut Env,
        first: bool,
    ) -> Result<()> {
        if !job.reads(tp) {
            return Ok(());
        }
        let mut range = match &job.selection {
            None => PointRange::default(),
            Some(Selection::All(range)) => *range,
            Some(Selection::Each(each)) => match each.iter().find(|(p, _)| *p == tp.partition) {
                Some((_, range)) => *range,
                None => return Ok(()),
            },
        };
        if !first {
            range.from = Some(Point::Start);
        }
        let is_tail = job.tail.is_some() && first;
        let default = if is_tail { Point::End } else { Point::Start };
        let reader = consumer.open_reader(tp)?;
        let page = reader.page()?;
        let resolved = resolve_range(
            &reader,
            &page,
            range,
            default,
            None,
            job.to_end,
            env.now_ms(),
        )?;
        if let Some(asked) = resolved.below_start {
            env.warn(&format!(
                "{tp} begins at offset {}, {asked} is gone: reading from there",
                page.tail.log_start
            ));
        }
        if is_tail {
            self.tail_of.push(TailOf {
                tp: tp.clone(),
                topic_id: reader.topic().meta().topic_id,
                start: page.tail.log_start,
                end: resolved.from,
            });
        }
        let until = match resolved.until {
            Until::Never => None,
            Until::Offset(offset) => Some(offset),
            Until::Time(time) => {
                printer.time_bounds.insert(tp.clone(), time);
                None
            }
        };
        if page.tail.log_start < page.high_watermark {
            let ends = range.to.is_some() && until.is_some_and(|until| until <= resolved.from);
            *(if ends {
                &mut self.read.empty
            } else {
                &mut self.read.some
            }) = true;
        }
        consumer.assign_reader(reader, resolved.from, until);
        Ok(())
    }
}

/// Partitions that were asked for by number are there.
fn check_partitions(job: &Job, name: &TopicName, topic: &TopicHandle) -> Result<()> {
    let asked = job.partitions.iter().flatten().copied();
    let each = match &job.selection {
        Some(Selection::Each(each)) => each.iter().map(|(partition, _)| *partition).collect(),
        _ => Vec::new(),
    };
    let named = job.named.named_of(name);
    for partition in asked.chain(each).chain(named) {
        topic.partition(partition)?;
    }
    Ok(())
}

/// The topics that are asked for and there.
fn wanted(store: &Arc<StoreDir>, job: &Job, first: bool) -> Result<Vec<TopicName>> {
    let there = topics::list(store)?;
    match &job.topics {
        Topics::Names(names) => {
            if first && !job.wait {
                for name in names {
                    if !there.contains(name) {
                        return Err(missing(store, name));
                    }
                }
            }
            Ok(names
                .iter()
                .filter(|name| there.contains(name))
                .cloned()
                .collect())
        }
        Topics::Matching(patterns) => {
            let matching: Vec<TopicName> = there
                .into_iter()
                .filter(|name| {
                    patterns
                        .iter()
                        .any(|pattern| pattern.matches(name.as_str()))
                })
                .collect();
            if first && !job.wait {
                for pattern in patterns.iter().filter(|pattern| pattern.is_name()) {
                    let name = TopicName::new(pattern.text())?;
                    if !matching.contains(&name) {
                        return Err(missing(store, &name));
                    }
                }
                if matching.is_empty() && job.to_end {
                    return Err(none_matches(&job.topics));
                }
            }
            Ok(matching)
        }
    }
}

/// Whether a topic was asked for by its name, and not just by a pattern.
fn is_named(topics: &Topics, name: &TopicName) -> bool {
    match topics {
        Topics::Names(names) => names.contains(name),
        Topics::Matching(patterns) => patterns
            .iter()
            .any(|pattern| pattern.is_name() && pattern.text() == name.as_str()),
    }
}

/// Whether the partitions of a topic that are read hold no records yet. What a partition that cannot be
/// read meets is told where it is read.
pub fn is_empty(store: &Arc<StoreDir>, job: &Job, topic: &TopicHandle) -> bool {
    let meta = topic.meta();
    (0..meta.partitions.len()).all(|partition| {
        let tp = TopicPartition::new(meta.name.clone(), partition as PartitionId);
        if !job.reads(&tp) {
            return true;
        }
        let page = open_reader(store, &tp).and_then(|reader| reader.page());
        page.is_ok_and(|page| page.high_watermark == 0)
    })
}

/// A topic that was asked for by its name is not there.
pub fn missing(store: &StoreDir, name: &TopicName) -> Error {
    let error = topics::unknown(store, name);
    let cure = match error.cure_text() {
        Some(cure) if cure.ends_with('?') => {
            format!("{cure} --wait waits until one is created")
        }
        Some(cure) => format!("{cure}; --wait waits until one is created"),
        None => "--wait waits until one is created".to_owned(),
    };
    error.cure(cure)
}

/// Says that nothing is printed because no topic matches yet.
pub fn note_none_matches(topics: &Topics, env: &Env) {
    env.note(&format!(
        "no topic matches {} yet; waiting for one (Ctrl-C ends)",
        patterns(topics)
    ));
}

fn patterns(topics: &Topics) -> String {
    let patterns = topics.subscription().topics.join("' or '");
    format!("'{}'", shown(&patterns))
}

/// No topic is there that matches a pattern.
pub fn none_matches(topics: &Topics) -> Error {
    Error::new(
        Kind::UnknownTopic,
        format!(
            "UNKNOWN_TOPIC_OR_PARTITION: no topic matches {}",
            patterns(topics)
        ),
    )
    .cure("'mq-topics list' shows the topics; --wait waits for one")
}
