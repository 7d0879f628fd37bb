//! A group's lag at one moment. A lag that is unknown never counts as low enough.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::groups::{GroupDescription, OffsetDescription};
use crate::error::{Error, Kind, Result};
use crate::types::{TopicName, TopicPartition};

/// The most partitions that a message names.
pub const NAMED_MAX: usize = 5;

/// Whether partitions are moving between members.
pub fn is_moving(state: Option<&str>) -> bool {
    matches!(state, Some("Assigning" | "Reconciling"))
}

/// The partition of a row; `None` if its topic name is not valid.
pub fn partition(row: &OffsetDescription) -> Option<TopicPartition> {
    let topic = TopicName::new(row.topic.as_str()).ok()?;
    Some(TopicPartition::new(topic, row.partition))
}

/// All partitions that count.
pub fn partitions(seen: &GroupDescription) -> BTreeSet<TopicPartition> {
    seen.offsets.iter().filter_map(partition).collect()
}

/// A group's lag at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// The sum over all partitions whose lag is known.
    pub records: u64,
    /// The number of partitions with lag.
    behind: usize,
    /// Partitions whose lag is unknown because nothing is committed yet.
    uncommitted: Vec<TopicPartition>,
    /// Partitions that cannot be read, or whose committed offset is beyond their log.
    pub unknown: Vec<TopicPartition>,
    /// Whether partitions are moving between members.
    is_moving: bool,
}

impl Lag {
    /// Sums up a group's partitions.
    pub fn of(seen: &GroupDescription) -> Self {
        let mut lag = Lag {
            is_moving: is_moving(seen.state),
            ..Lag::default()
        };
        for row in &seen.offsets {
            let known = row.lag.filter(|_| !row.is_unreadable);
            let Some(records) = known else {
                let is_empty =
                    row.high_watermark.is_some() && row.high_watermark == row.log_start_offset;
                match (row.committed_offset, row.high_watermark) {
                    (None, Some(_)) if is_empty => {}
                    (None, Some(_)) => lag.uncommitted.extend(partition(row)),
                    _ => lag.unknown.extend(partition(row)),
                }
                continue;
            };
            let records = u64::try_from(records).unwrap_or(0);
            lag.records = lag.records.saturating_add(records);
            lag.behind += usize::from(records > 0);
        }
        lag
    }

    fn is_known(&self) -> bool {
        self.unknown.is_empty() && self.uncommitted.is_empty() && !self.is_moving
    }

    /// Whether the lag is known and at most this.
    pub fn is_at_most(&self, most: u64) -> bool {
        self.is_known() && self.records <= most
    }

    /// Why the lag is unknown.
    fn unknown(&self) -> Vec<String> {
        let names = |all: &[TopicPartition]| TopicPartition::first_of(all, NAMED_MAX);
        let mut reported = Vec::new();
        if !self.unknown.is_empty() {
            reported.push(format!("the lag of {} is not known", names(&self.unknown)));
        }
        if !self.uncommitted.is_empty() {
            let names = names(&self.uncommitted);
            reported.push(format!("nothing is committed of {names} yet"));
        }
        if self.is_moving {
            reported.push("partitions are moving between members".to_owned());
        }
        reported
    }
}

impl std::fmt::Display for Lag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unknown = self.unknown();
        if self.behind == 0 && !unknown.is_empty() {
            return write!(f, "{}", unknown.join("; "));
        }
        let what = if self.behind == 1 {
            "partition"
        } else {
            "partitions"
        };
        write!(f, "lag {} in {} {what}", self.records, self.behind)?;
        for more in unknown {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}

/// The partitions with unread records in the last snapshot: they must not disappear unread.
#[derive(Debug, Default)]
pub struct Unread(BTreeMap<TopicPartition, i64>);

impl Unread {
    /// Whether no unread records are known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// [`Kind::UnknownTopic`] if a partition with unread records no longer belongs to the group:
    /// its topic or its committed offset was deleted.
    pub fn are_there(&self, seen: &GroupDescription) -> Result<()> {
        let there = partitions(seen);
        let gone = self.0.iter().find(|(tp, _)| !there.contains(tp));
        if let Some((tp, lag)) = gone {
            let group = seen.group.escape_debug();
            let text = format!("group '{group}' lost {tp} with {lag} of its records unread");
            return Err(Error::new(Kind::UnknownTopic, text)
                .cure("its topic or its committed offset was deleted: these records stay unread"));
        }
        Ok(())
    }

    /// A partition whose lag is unknown now keeps its last known lag.
    pub fn note(&mut self, seen: &GroupDescription) {
        for row in &seen.offsets {
            let Some(tp) = partition(row) else { continue };
            match row.lag {
                Some(lag) if lag > 0 => drop(self.0.insert(tp, lag)),
                Some(_) => drop(self.0.remove(&tp)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(committed: Option<i64>, end: Option<i64>) -> OffsetDescription {
        OffsetDescription {
            topic: "t".to_owned(),
            partition: 0,
            committed_offset: committed,
            log_start_offset: end.map(|_| 0),
            high_watermark: end,
            lag: committed.and_then(|at| end.map(|end| end - at)),
            lag_seconds: None,
            member_id: None,
            is_beyond: false,
            is_unreadable: false,
        }
    }

    fn group(state: &'static str, offsets: Vec<OffsetDescription>) -> GroupDescription {
        GroupDescription {
            group: "g".to_owned(),
            state: Some(state),
            group_epoch: Some(1),
            assignor: None,
            members: Some(Vec::new()),
            offsets,
            configs: BTreeMap::new(),
            notes: Vec::new(),
            damage: None,
        }
    }

    fn lag(state: &'static str, offsets: Vec<OffsetDescription>) -> Lag {
        Lag::of(&group(state, offsets))
    }

    #[test]
    fn what_was_unread_does_not_go_by_way_of_not_being_known() {
        let of = |offsets| group("Empty", offsets);
        let mut unread = Unread::default();
        unread.note(&of(vec![row(Some(5), Some(9))]));
        let not_known = of(vec![row(Some(5), None)]);
        unread.are_there(&not_known).expect("there");
        unread.note(&not_known);
        let error = unread.are_there(&of(Vec::new())).expect_err("gone");
        assert!(error.to_string().contains("4 of its records"), "{error}");
        unread.note(&of(vec![row(Some(9), Some(9))]));
        unread.are_there(&of(Vec::new())).expect("all was read");
    }

    #[test]
    fn what_is_not_known_is_never_low_enough() {
        let read = || row(Some(7), Some(10));
        let beyond = OffsetDescription {
            is_beyond: true,
            lag: None,
            ..row(Some(11), Some(10))
        };
        let unreadable = OffsetDescription {
            is_unreadable: true,
            ..read()
        };
        for (state, rows, most, is_low, text) in [
            (
                "Stable",
                vec![read(), read()],
                6,
                true,
                "lag 6 in 2 partitions",
            ),
            (
                "Empty",
                vec![read(), read()],
                5,
                false,
                "lag 6 in 2 partitions",
            ),
            (
                "Empty",
                vec![read(), row(None, Some(0))],
                3,
                true,
                "lag 3 in 1 partition",
            ),
            (
                "Stable",
                vec![read(), row(None, Some(4))],
                99,
                false,
                "lag 3 in 1 partition; nothing is committed of t:0 yet",
            ),
            (
                "Stable",
                vec![row(None, None)],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![row(Some(3), None)],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![beyond],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Stable",
                vec![unreadable],
                99,
                false,
                "the lag of t:0 is not known",
            ),
            (
                "Reconciling",
                vec![row(Some(10), Some(10))],
                99,
                false,
                "partitions are moving between members",
            ),
        ] {
            let lag = lag(state, rows);
            assert_eq!(lag.to_string(), text);
            assert_eq!(lag.is_at_most(most), is_low, "{text}");
        }
    }
}
