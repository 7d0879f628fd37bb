//! What `mq-consume` was asked to do, typed.

use std::time::Duration;

use super::filter::Filter;
use crate::cli::lang::Renderer;
use crate::cli::pattern::NamePattern;
use crate::cli::selection::Selection as Named;
use crate::client::groups::{Assignor, Naming, Subscription};
use crate::client::offset_spec::Selection;
use crate::client::{CommitWhen, ReadFrom};
use crate::types::{PartitionId, TopicName, TopicPartition};

/// Which topics are read.
#[derive(Debug, Clone)]
pub enum Topics {
    /// These, by name.
    Names(Vec<TopicName>),
    /// All whose names match, later ones too.
    Matching(Vec<NamePattern>),
}

impl Topics {
    /// Whether one that is asked for by its name is not among those that are there.
    pub fn lack(&self, is_there: impl Fn(&TopicName) -> bool) -> bool {
        match self {
            Topics::Names(names) => !names.iter().all(is_there),
            Topics::Matching(patterns) => {
                let mut names = patterns.iter().filter(|pattern| pattern.is_name());
                // What cannot be a topic's name is refused where it is looked for.
                names.any(|name| TopicName::new(name.text()).is_ok_and(|name| !is_there(&name)))
            }
        }
    }

    /// As a group's subscription.
    pub fn subscription(&self) -> Subscription {
        match self {
            Topics::Names(names) => Subscription::to_names(names.iter().cloned()),
            Topics::Matching(patterns) => Subscription {
                naming: if patterns.iter().any(NamePattern::is_regex) {
                    Naming::Regexes
                } else {
                    Naming::Globs
                },
                topics: patterns.iter().map(|p| p.text().to_owned()).collect(),
            },
        }
    }
}

/// The group that is read for.
#[derive(Debug, Clone)]
pub struct GroupJob {
    /// Its name.
    pub name: String,
    /// When to commit.
    pub commit: CommitWhen,
    /// How often.
    pub interval: Duration,
    /// How partitions are to be shared out.
    pub assignor: Option<Assignor>,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How long the heartbeat may stand still.
    pub session_timeout: Duration,
    /// What handles the records instead of printing them.
    pub exec: Option<ExecJob>,
}

/// A command for each batch of records.
#[derive(Debug, Clone)]
pub struct ExecJob {
    /// For `sh -c`.
    pub command: String,
    /// Most records a batch.
    pub batch: u64,
    /// How often to run it again after it failed.
    pub retries: u32,
    /// Who takes the batch then.
    pub dead_letter: Option<TopicName>,
}

/// One run of `mq-consume`.
#[derive(Debug)]
pub struct Job {
    /// The topics.
    pub topics: Topics,
    /// As they were named, some with a partition; empty: all partitions of each.
    pub named: Named,
    /// Whether a missing one is waited for.
    pub wait: bool,
    /// Only these partitions.
    pub partitions: Option<Vec<PartitionId>>,
    /// From where to where; `None`: from the start, on and on.
    pub selection: Option<Selection>,
    /// Which replicas are read.
    pub read_from: ReadFrom,
    /// Whether to stop at the end.
    pub to_end: bool,
    /// Most records printed.
    pub count: Option<u64>,
    /// First the last so many of all, by time.
    pub tail: Option<u64>,
    /// How long nothing may come.
    pub idle_timeout: Option<Duration>,
    /// What is printed.
    pub filter: Filter,
    /// How.
    pub renderer: Renderer,
    /// Whether control characters go to a terminal as they are.
    pub raw: bool,
    /// Whether to fail if nothing (or less than `count`) was printed.
    pub fail_if_empty: bool,
    /// The group.
    pub group: Option<GroupJob>,
}

impl Job {
    /// Whether it waits for topics that match a pattern, where there are none. Who named a topic and
    /// waits for it knows.
    pub fn may_wait_for_match(&self) -> bool {
        let goes_on = self.wait || !self.to_end && !self.ends();
        matches!(self.topics, Topics::Matching(_)) && goes_on && self.count != Some(0)
    }

    /// Whether a partition of one of the topics is read.
    pub fn reads(&self, tp: &TopicPartition) -> bool {
        let only = self.partitions.as_ref();
        only.is_none_or(|only| only.contains(&tp.partition)) && self.named.has_partition(tp)
    }

    /// Whether every range that was asked for has an end.
    pub fn ends(&self) -> bool {
        match &self.selection {
            None => false,
            Some(Selection::All(range)) => range.to.is_some(),
            Some(Selection::Each(each)) => each.iter().all(|(_, range)| range.to.is_some()),
        }
    }
}
