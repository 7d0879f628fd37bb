//! Statistics of records: how many there are of each key, time, size or partition, in one pass and in
//! bounded memory.

mod frequency_sketch;

use std::collections::BTreeMap;

use crate::record::Record;
use crate::types::{PartitionId, Timestamp, TopicName, TopicPartition};
use frequency_sketch::FrequencySketch;

pub use frequency_sketch::{Estimate, Tally};

/// By what records are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// The key.
    Key,
    /// The time span in which the timestamp lies; the caller says where it begins.
    Time,
    /// The size of key, value and headers: 0, then powers of two.
    Size,
    /// The partition.
    Partition,
}

/// What the records of one group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordGroup {
    /// The key; `None`: none.
    Key(Option<Vec<u8>>),
    /// The beginning of the time span, ms; `None`: no timestamp.
    Time(Option<Timestamp>),
    /// The least size, bytes; the largest is below the double of it.
    Size(u64),
    /// The partition.
    Partition(TopicPartition),
}

/// The records of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordGroupStats {
    /// Which they are.
    pub group: RecordGroup,
    /// How many, and their bytes, before compression.
    pub estimate: Estimate,
}

/// Counts records.
#[derive(Debug)]
pub struct Stats {
    grouping: Grouping,
    /// Keys, or times in big-endian.
    sketch: FrequencySketch,
    /// Records without a key, or without a timestamp.
    without: Tally,
    sizes: BTreeMap<u64, Tally>,
    partitions: BTreeMap<(TopicName, PartitionId), Tally>,
    total: Tally,
}

impl Stats {
    /// Counts by `grouping`, in about `memory` bytes at most.
    pub fn new(grouping: Grouping, memory: usize) -> Self {
        Stats {
            grouping,
            sketch: FrequencySketch::new(memory),
            without: Tally::default(),
            sizes: BTreeMap::new(),
            partitions: BTreeMap::new(),
            total: Tally::default(),
        }
    }

    /// Counts a partition without records.
    pub fn add_partition(&mut self, tp: &TopicPartition) {
        if self.grouping == Grouping::Partition {
            self.partition(tp);
        }
    }

    /// Counts a record. `begins`: where the time span begins that a timestamp lies in.
    pub fn add(
        &mut self,
        tp: &TopicPartition,
        record: &Record<'_>,
        begins: impl FnOnce(Timestamp) -> Timestamp,
    ) {
        let bytes = bytes_of(record);
        self.total.add(bytes);
        match self.grouping {
            Grouping::Key => match record.key {
                Some(key) => self.sketch.add(key, bytes),
                None => self.without.add(bytes),
            },
            Grouping::Time if record.timestamp < 0 => self.without.add(bytes),
            Grouping::Time => {
                let begin = begins(record.timestamp);
                self.sketch.add(&begin.to_be_bytes(), bytes);
            }
            Grouping::Size => {
                let least = bytes.checked_ilog2().map_or(0, |power| 1 << power);
                self.sizes.entry(least).or_default().add(bytes);
            }
            Grouping::Partition => self.partition(tp).add(bytes),
        }
    }

    fn partition(&mut self, tp: &TopicPartition) -> &mut Tally {
        let key = (tp.topic.clone(), tp.partition);
        self.partitions.entry(key).or_default()
    }

    /// All records.
    pub fn total(&self) -> Tally {
        self.total
    }

    /// The most bytes that the records of a key, or of a time, have which is not among the groups; 0: all
    /// are.
    pub fn unkept_max(&self) -> u64 {
        self.sketch.unkept_max()
    }

    /// The groups: keys by bytes, the most first, and by the key; times, sizes and partitions in their
    /// order.
    pub fn groups(&self) -> Vec<RecordGroupStats> {
        let exact = |group, tally: &Tally| RecordGroupStats {
            group,
            estimate: Estimate::exact(*tally),
        };
        let without = |group| {
            let is_there = self.without.records > 0;
            is_there.then(|| exact(group, &self.without))
        };
        match self.grouping {
            Grouping::Key => {
                let known = self
                    .sketch
                    .estimates()
                    .map(|(key, estimate)| RecordGroupStats {
                        group: RecordGroup::Key(Some(key.to_vec())),
                        estimate,
                    });
                let mut groups: Vec<_> = known.chain(without(RecordGroup::Key(None))).collect();
                groups.sort_by(|a, b| {
                    let by_bytes = b.estimate.tally.bytes.cmp(&a.estimate.tally.bytes);
                    by_bytes.then_with(|| key_of(a).cmp(&key_of(b)))
                });
                groups
            }
            Grouping::Time => {
                let known = self
                    .sketch
                    .estimates()
                    .map(|(begin, estimate)| RecordGroupStats {
                        group: RecordGroup::Time(begin.try_into().ok().map(i64::from_be_bytes)),
                        estimate,
                    });
                let mut groups: Vec<_> = known.chain(without(RecordGroup::Time(None))).collect();
                groups.sort_by_key(|one| match one.group {
                    RecordGroup::Time(begin) => begin,
                    _ => None,
                });
                groups
            }
            Grouping::Size => {
                let sizes = self.sizes.iter();
                sizes
                    .map(|(least, tally)| exact(RecordGroup::Size(*least), tally))
                    .collect()
            }
            Grouping::Partition => {
                let partitions = self.partitions.iter().map(|((topic, partition), tally)| {
                    let tp = TopicPartition::new(topic.clone(), *partition);
                    exact(RecordGroup::Partition(tp), tally)
                });
                partitions.collect()
            }
        }
    }
}

fn key_of(stats: &RecordGroupStats) -> Option<&[u8]> {
    match &stats.group {
        RecordGroup::Key(key) => key.as_deref(),
        _ => None,
    }
}

/// Bytes of key, value and headers.
fn bytes_of(record: &Record<'_>) -> u64 {
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len))
        .sum();
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    (len(record.key) + len(record.value) + headers) as u64
}
