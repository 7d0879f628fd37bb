//! Which partitions are read, over which ranges; and partitions that are added later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::job::{ConsumeJob, Topics};
use super::missed::{below_start, removed_range, report};
use super::print::Printer;
use super::tail::TailOf;
use crate::cli::Env;
use crate::cli::lang::shown;
use crate::client::topics::{self, TopicHandle};
use crate::client::unresolved_offset::{ReadRanges, UnresolvedOffset};
use crate::client::{Consumer, StoreDir, Until, open_reader, resolve_range};
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, TopicName, TopicPartition};

/// The topics that are read, and how many of their partitions are assigned.
#[derive(Debug, Default)]
pub struct Assignments {
    topics: BTreeMap<TopicName, Known>,
    /// The partitions whose last records `--tail` prints: those that existed at first, sorted.
    pub tail_of: Vec<TailOf>,
    read: ReadAtAll,
    /// Topics whose file is damaged, each reported once. The value says whether the selection's
    /// points apply to the topic, should it become readable.
    damaged: HashMap<TopicName, bool>,
    /// Partitions that cannot be opened: each is reported once and tried again. The value says
    /// whether the selection's points apply to it.
    failing: BTreeMap<TopicPartition, bool>,
}

/// Whether the selected ranges leave anything to read, in partitions that have records.
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

    /// Whether a selected topic is missing: any of those named, or for patterns all of them.
    pub fn lacks(&self, wanted: &Topics) -> bool {
        let there =
            |name: &TopicName| self.topics.contains_key(name) || self.damaged.contains_key(name);
        wanted.lack(there) || self.is_empty() && self.damaged.is_empty()
    }

    /// Notes which patterns match no topic yet, while topics that match others are read.
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

    /// Assigns the partitions that exist now. `first`: they existed when the command began, so the
    /// selection's points apply to them; partitions that are added later are read from their start.
    pub fn refresh(
        &mut self,
        store: &Arc<StoreDir>,
        job: &ConsumeJob,
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
        // If a damaged topic is deleted and created again, the new one counts as added later.
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
                // Deleted since it was listed. Any other failure must not look like a topic without
                // records.
                Err(e) if e.kind() == Kind::UnknownTopic => continue,
                // The other topics can be read.
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
                // The topic was created again: the reader of the deleted one ends by itself.
                continue;
            }
            let have = known.map_or(0, |known| known.partitions);
            let first = first || have == 0 && self.damaged.get(&name) == Some(&true);
            // With `--wait`, the run waits for records: the end is fixed only once there are some.
            let is_awaited = job.wait && !first && have == 0 && (job.to_end || job.ends());
            if is_awaited && is_empty(store, job, &topic) {
                continue;
            }
            let count = topic.meta().partitions.len();
            for partition in have..count {
                let tp = TopicPartition::new(name.clone(), partition as PartitionId);
                match self.assign(job, &tp, consumer, printer, env, first) {
                    // The other partitions can be read.
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
            // There are no other partitions.
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
        job: &ConsumeJob,
        tp: &TopicPartition,
        consumer: &mut Consumer,
        printer: &mut Printer,
        env: &mut Env,
        first: bool,
    ) -> Result<()> {
        if !job.reads(tp) {
            return Ok(());
        }
        let Some(mut range) = job.range_of(tp.partition) else {
            return Ok(());
        };
        if !first {
            range.from = Some(UnresolvedOffset::Start);
        }
        let is_tail = job.tail.is_some() && first;
        let default = if is_tail {
            UnresolvedOffset::End
        } else {
            UnresolvedOffset::Start
        };
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
        let start = page.tail.log_start;
        let gone = removed_range(range, &resolved, start);
        if let Some((from, to)) = gone {
            report(job, tp, from, to, true, env)?;
        } else if let Some(asked) = resolved.below_start {
            if job.fails_on_missed {
                report(job, tp, asked, start, true, env)?;
            }
            env.warn(&below_start(tp, asked, start));
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
            let ends = gone.is_none()
                && range.to.is_some()
                && until.is_some_and(|until| until <= resolved.from);
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

/// Checks that the partitions selected by number exist.
fn check_partitions(job: &ConsumeJob, name: &TopicName, topic: &TopicHandle) -> Result<()> {
    let asked = job.partitions.iter().flatten().copied();
    let each = match &job.selection {
        Some(ReadRanges::Each(each)) => each.iter().map(|(partition, _)| *partition).collect(),
        _ => Vec::new(),
    };
    let named = job.named.named_of(name);
    for partition in asked.chain(each).chain(named) {
        topic.partition(partition)?;
    }
    Ok(())
}

/// The selected topics that exist.
fn wanted(store: &Arc<StoreDir>, job: &ConsumeJob, first: bool) -> Result<Vec<TopicName>> {
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

/// Whether a topic was selected by its name, and not just by a pattern.
fn is_named(topics: &Topics, name: &TopicName) -> bool {
    match topics {
        Topics::Names(names) => names.contains(name),
        Topics::Matching(patterns) => patterns
            .iter()
            .any(|pattern| pattern.is_name() && pattern.text() == name.as_str()),
    }
}

/// Whether the selected partitions of a topic have no records yet. If a partition cannot be read,
/// the failure is reported when it is assigned.
pub fn is_empty(store: &Arc<StoreDir>, job: &ConsumeJob, topic: &TopicHandle) -> bool {
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

/// The error for a topic that was selected by its name and does not exist.
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

/// Notes that nothing is printed because no topic matches yet.
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

/// The error for patterns that no topic matches.
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
