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

    /// The first `limit` groups, and how many more there are: keys by bytes, the most first, and by the key;
    /// times, sizes and partitions in their order.
    pub fn groups(&self, limit: usize) -> (Vec<RecordGroupStats>, usize) {
        let mut groups = match self.grouping {
            Grouping::Key => return self.keys(limit),
            Grouping::Time => self.times(),
            Grouping::Size => {
                let sizes = self.sizes.iter();
                let exact = |(least, tally): (&u64, &Tally)| {
                    RecordGroupStats::exact(RecordGroup::Size(*least), *tally)
                };
                sizes.map(exact).collect()
            }
            Grouping::Partition => {
                let partitions = self.partitions.iter().map(|((topic, partition), tally)| {
                    let tp = TopicPartition::new(topic.clone(), *partition);
                    RecordGroupStats::exact(RecordGroup::Partition(tp), *tally)
                });
                partitions.collect::<Vec<_>>()
            }
        };
        let left = groups.len().saturating_sub(limit);
        groups.truncate(limit);
        (groups, left)
    }

    /// Only those that are asked for are copied.
    fn keys(&self, limit: usize) -> (Vec<RecordGroupStats>, usize) {
        let known = self.sketch.estimates();
        let mut keys: Vec<_> = known.map(|(key, estimate)| (Some(key), estimate)).collect();
        if self.without.records > 0 {
            keys.push((None, Estimate::exact(self.without)));
        }
        keys.sort_unstable_by(|(a, of_a), (b, of_b)| {
            let by_bytes = of_b.tally.bytes.cmp(&of_a.tally.bytes);
            by_bytes.then_with(|| a.cmp(b))
        });
        let left = keys.len().saturating_sub(limit);
        let first = keys.into_iter().take(limit);
        let groups = first.map(|(key, estimate)| RecordGroupStats {
            group: RecordGroup::Key(key.map(<[u8]>::to_vec)),
            estimate,
        });
        (groups.collect(), left)
    }

    fn times(&self) -> Vec<RecordGroupStats> {
        let known = self.sketch.estimates();
        let mut times: Vec<_> = known
            .map(|(begin, estimate)| RecordGroupStats {
                group: RecordGroup::Time(begin.try_into().ok().map(i64::from_be_bytes)),
                estimate,
            })
            .collect();
        if self.without.records > 0 {
            times.push(RecordGroupStats::exact(
                RecordGroup::Time(None),
                self.without,
            ));
        }
        times.sort_unstable_by_key(|one| match one.group {
            RecordGroup::Time(begin) => begin,
            _ => None,
        });
        times
    }
}

impl RecordGroupStats {
    fn exact(group: RecordGroup, tally: Tally) -> Self {
        RecordGroupStats {
            group,
            estimate: Estimate::exact(tally),
        }
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
