//! The options of one `mq-consume` run, typed.

use std::time::Duration;

use super::filter::Filter;
use crate::cli::lang::Renderer;
use crate::cli::pattern::NamePattern;
use crate::cli::topic_selection::TopicSelection as Named;
use crate::client::groups::{Assignor, Naming, Subscription};
use crate::client::unresolved_offset::{ReadRanges, UnresolvedRange};
use crate::client::{CommitWhen, ReadFrom};
use crate::types::{PartitionId, TopicName, TopicPartition};

/// Which topics are read.
#[derive(Debug, Clone)]
pub enum Topics {
    /// These topics, by name.
    Names(Vec<TopicName>),
    /// All topics whose names match, including later ones.
    Matching(Vec<NamePattern>),
}

impl Topics {
    /// Whether a topic that was selected by its name is missing.
    pub fn lack(&self, is_there: impl Fn(&TopicName) -> bool) -> bool {
        match self {
            Topics::Names(names) => !names.iter().all(is_there),
            Topics::Matching(patterns) => {
                let mut names = patterns.iter().filter(|pattern| pattern.is_name());
                // A text that cannot be a topic's name is refused when the topic is opened.
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

/// The group that the run reads for.
#[derive(Debug, Clone)]
pub struct GroupJob {
    /// The group's name.
    pub name: String,
    /// When to commit.
    pub commit: CommitWhen,
    /// How often to commit.
    pub interval: Duration,
    /// How members share the partitions.
    pub assignor: Option<Assignor>,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How long a member's heartbeat may stand still.
    pub session_timeout: Duration,
    /// The command that handles the records; without it they are printed.
    pub exec: Option<ExecJob>,
}

/// A command for each batch of records.
#[derive(Debug, Clone)]
pub struct ExecJob {
    /// The argument of `sh -c`.
    pub command: String,
    /// The most records of a batch.
    pub batch: u64,
    /// How often a failed command is run again.
    pub retries: u32,
    /// The topic for batches that failed every retry.
    pub dead_letter: Option<TopicName>,
}

/// One run of `mq-consume`.
#[derive(Debug)]
pub struct ConsumeJob {
    /// The topics.
    pub topics: Topics,
    /// The topics as they were named, some with a partition; empty: all partitions of each.
    pub named: Named,
    /// Whether to wait for missing topics.
    pub wait: bool,
    /// Only these partitions.
    pub partitions: Option<Vec<PartitionId>>,
    /// The ranges to read; `None`: from the start, without end.
    pub selection: Option<ReadRanges>,
    /// Which replicas are read.
    pub read_from: ReadFrom,
    /// Whether to stop at the end.
    pub to_end: bool,
    /// Most records printed.
    pub count: Option<u64>,
    /// Begin with so many last records over all partitions, by time.
    pub tail: Option<u64>,
    /// Whether the run fails at records that were removed before they were read.
    pub fails_on_missed: bool,
    /// How long the run may go without a record.
    pub idle_timeout: Option<Duration>,
    /// Which records are printed.
    pub filter: Filter,
    /// How records are rendered.
    pub renderer: Renderer,
    /// Whether control characters reach a terminal unescaped.
    pub raw: bool,
    /// Whether to fail if no record (or fewer than `count`) was printed.
    pub fail_if_empty: bool,
    /// The group.
    pub group: Option<GroupJob>,
}

impl ConsumeJob {
    /// Whether the run waits while no topic matches its patterns, which is worth a note. A user who
    /// named a topic with `--wait` needs none.
    pub fn may_wait_for_match(&self) -> bool {
        let goes_on = self.wait || !self.to_end && !self.ends();
        matches!(self.topics, Topics::Matching(_)) && goes_on && self.count != Some(0)
    }

    /// Whether a partition of one of the topics is read.
    pub fn reads(&self, tp: &TopicPartition) -> bool {
        let only = self.partitions.as_ref();
        only.is_none_or(|only| only.contains(&tp.partition)) && self.named.has_partition(tp)
    }

    /// The range of a partition; `None`: it is not selected.
    pub fn range_of(&self, partition: PartitionId) -> Option<UnresolvedRange> {
        match &self.selection {
            None => Some(UnresolvedRange::default()),
            Some(ReadRanges::All(range)) => Some(*range),
            Some(ReadRanges::Each(each)) => {
                let found = each.iter().find(|(p, _)| *p == partition);
                found.map(|(_, range)| *range)
            }
        }
    }

    /// Whether the reading of a partition has an end that was asked for.
    pub fn is_bounded(&self, partition: PartitionId) -> bool {
        let has_end = |range: UnresolvedRange| range.to.is_some();
        self.to_end || self.count.is_some() || self.range_of(partition).is_some_and(has_end)
    }

    /// Whether every selected range has an end.
    pub fn ends(&self) -> bool {
        match &self.selection {
            None => false,
            Some(ReadRanges::All(range)) => range.to.is_some(),
            Some(ReadRanges::Each(each)) => each.iter().all(|(_, range)| range.to.is_some()),
        }
    }
}
