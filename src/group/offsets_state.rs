//! What the lines of `offsets.log` come to.

use std::collections::BTreeMap;

use super::offsets_line::{Entry, Line, LineKind};
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicName, Uuid};

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to be read.
    pub offset: Offset,
    /// The epoch of the record before; -1: unknown.
    pub leader_epoch: LeaderEpoch,
    /// When it was committed, milliseconds since the epoch.
    pub time_ms: Timestamp,
}

/// The last line about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    topic_id: Uuid,
    offset: Offset,
    leader_epoch: LeaderEpoch,
    time_ms: Timestamp,
    member: Option<String>,
    epoch: i32,
}

type Slots = BTreeMap<(TopicName, PartitionId), Slot>;

/// The offsets as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Moment {
    slots: Slots,
    deleted: bool,
    /// The last sign of life of a member since the group was made or deleted.
    live: Option<(Timestamp, String, i32)>,
}

/// The last change by an administrator, and what was before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    kind: LineKind,
    time_ms: Timestamp,
    before: Moment,
}

/// The state that lines, taken in order, come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetsState {
    now: Moment,
    change: Option<Change>,
    last_n: Option<u64>,
    newest_ms: Option<Timestamp>,
    epoch_max: i32,
}

impl OffsetsState {
    /// Takes the next line. One behind a larger N is of a holder whose lock was broken: it does
    /// not count.
    pub fn take(&mut self, line: &Line) {
        if self.last_n.is_some_and(|last| last > line.n) {
            return;
        }
        self.last_n = Some(line.n);
        self.newest_ms = Some(self.newest_ms.unwrap_or(line.time_ms).max(line.time_ms));
        self.epoch_max = self.epoch_max.max(line.epoch);
        match line.kind {
            LineKind::Commit => {}
            LineKind::Reset | LineKind::Undo | LineKind::Delete => {
                let before = self.now.clone();
                self.change = Some(Change {
                    kind: line.kind,
                    time_ms: line.time_ms,
                    before,
                });
            }
            LineKind::Live => {
                if let Some(member) = &line.member {
                    self.now.deleted = false;
                    self.now.live = Some((line.time_ms, member.clone(), line.epoch));
                }
                return;
            }
        }
        if line.kind == LineKind::Delete {
            self.now = Moment {
                deleted: true,
                ..Moment::default()
            };
            return;
        }
        self.now.deleted &= line.entries.is_empty();
        for entry in &line.entries {
            let slot = Slot {
                topic_id: entry.topic_id,
                offset: entry.offset,
                leader_epoch: entry.leader_epoch,
                time_ms: line.time_ms,
                member: line.member.clone(),
                epoch: line.epoch,
            };
            self.now
                .slots
                .insert((entry.topic.clone(), entry.partition), slot);
        }
    }

    /// The largest N of any line that counted.
    pub fn last_n(&self) -> Option<u64> {
        self.last_n
    }

    /// The newest time in any line, milliseconds since the epoch.
    pub fn newest_ms(&self) -> Option<Timestamp> {
        self.newest_ms
    }

    /// The largest epoch in any line.
    pub fn epoch_max(&self) -> i32 {
        self.epoch_max
    }

    /// Whether the group was deleted and not used since.
    pub fn is_deleted(&self) -> bool {
        self.now.deleted
    }

    /// The offset committed for a partition of the topic with that id.
    pub fn committed(
        &self,
        topic: &TopicName,
        topic_id: Uuid,
        partition: PartitionId,
    ) -> Option<Committed> {
        let slot = self.now.slots.get(&(topic.clone(), partition))?;
        (slot.topic_id == topic_id && slot.offset >= 0).then_some(Committed {
            offset: slot.offset,
            leader_epoch: slot.leader_epoch,
            time_ms: slot.time_ms,
        })
    }

    /// Whether any line since the group was made or deleted is about a topic of that name.
    pub fn knows_topic(&self, topic: &TopicName) -> bool {
        let from = (topic.clone(), 0);
        self.now
            .slots
            .range(from..)
            .next()
            .is_some_and(|((name, _), _)| name == topic)
    }

    /// Every partition with an offset, and the id of the topic that is meant.
    pub fn offsets(&self) -> impl Iterator<Item = (&TopicName, PartitionId, Uuid, Offset)> {
        self.now
            .slots
            .iter()
            .filter(|(_, slot)| slot.offset >= 0)
            .map(|((topic, partition), slot)| (topic, *partition, slot.topic_id, slot.offset))
    }

    /// Lines that come to the same state: the current offsets, and what was before the last change
    /// by an administrator. All carry `n`, the first says so before any other counts.
    pub fn compacted(&self, n: u64, now_ms: Timestamp) -> Vec<Line> {
        let mut lines = vec![self.mark(n, now_ms)];
        if let Some(change) = &self.change {
            if change.before.deleted {
                lines.push(bare(n, change.time_ms, LineKind::Delete, None, 0));
            }
            push_moment(&mut lines, n, &change.before);
            lines.push(bare(n, change.time_ms, change.kind, None, 0));
        }
        push_moment(&mut lines, n, &self.now);
        lines
    }

    /// A line that says no more than the lock's N; it makes nothing look newer than it is.
    pub fn mark(&self, n: u64, now_ms: Timestamp) -> Line {
        bare(
            n,
            self.newest_ms.unwrap_or(now_ms),
            LineKind::Live,
            None,
            self.epoch_max,
        )
    }
}

fn bare(n: u64, time_ms: Timestamp, kind: LineKind, member: Option<String>, epoch: i32) -> Line {
    Line {
        n,
        time_ms,
        kind,
        member,
        epoch,
        entries: Vec::new(),
    }
}

/// The lines of one moment, beginning from nothing or from one with the same partitions.
fn push_moment(lines: &mut Vec<Line>, n: u64, moment: &Moment) {
    for ((topic, partition), slot) in &moment.slots {
        let entry = Entry {
            topic: topic.clone(),
            topic_id: slot.topic_id,
            partition: *partition,
            offset: slot.offset,
            leader_epoch: slot.leader_epoch,
        };
        match lines.last_mut() {
            Some(last)
                if last.kind == LineKind::Commit
                    && last.entries.len() < ENTRIES_OF_LINE
                    && (last.time_ms, &last.member, last.epoch)
                        == (slot.time_ms, &slot.member, slot.epoch) =>
            {
                last.entries.push(entry);
            }
            _ => {
                let member = slot.member.clone();
                let mut line = bare(n, slot.time_ms, LineKind::Commit, member, slot.epoch);
                line.entries.push(entry);
                lines.push(line);
            }
        }
    }
    if let Some((time_ms, member, epoch)) = &moment.live {
        lines.push(bare(
            n,
            *time_ms,
            LineKind::Live,
            Some(member.clone()),
            *epoch,
        ));
    }
}

/// Entries in a line of a compacted file: far from the longest line.
const ENTRIES_OF_LINE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(n: u8) -> TopicName {
        TopicName::new(format!("t{n}")).expect("topic")
    }

    fn line(n: u64, kind: LineKind, member: Option<&str>, entries: Vec<Entry>) -> Line {
        Line {
            n,
            time_ms: 7,
            kind,
            member: member.map(str::to_owned),
            epoch: 3,
            entries,
        }
    }

    fn entry(t: u8, partition: i32, offset: i64) -> Entry {
        let (topic, topic_id) = (topic(t), Uuid([t; 16]));
        Entry {
            topic,
            topic_id,
            partition,
            offset,
            leader_epoch: -1,
        }
    }

    #[test]
    fn a_line_behind_a_larger_n_does_not_count() {
        let mut state = OffsetsState::default();
        state.take(&line(2, LineKind::Commit, Some("a"), vec![entry(0, 0, 5)]));
        state.take(&line(3, LineKind::Live, None, vec![]));
        state.take(&line(2, LineKind::Commit, Some("a"), vec![entry(0, 0, 9)]));
        let committed = |state: &OffsetsState| {
            state
                .committed(&topic(0), Uuid([0; 16]), 0)
                .map(|c| c.offset)
        };
        assert_eq!(committed(&state), Some(5));
        state.take(&line(3, LineKind::Commit, Some("b"), vec![entry(0, 0, 6)]));
        assert_eq!(committed(&state), Some(6));
        assert_eq!(
            state.committed(&topic(0), Uuid([1; 16]), 0),
            None,
            "another topic id"
        );
        assert!(state.knows_topic(&topic(0)) && !state.knows_topic(&topic(1)));
        state.take(&line(3, LineKind::Delete, None, vec![]));
        assert!(state.is_deleted() && committed(&state).is_none());
        assert!(!state.knows_topic(&topic(0)));
        state.take(&line(4, LineKind::Live, None, vec![]));
        assert!(state.is_deleted(), "a mark is no sign of life");
        state.take(&line(4, LineKind::Live, Some("c"), vec![]));
        assert!(!state.is_deleted());
    }

    proptest! {
        #[test]
        fn compaction_keeps_all_answers(
            steps in proptest::collection::vec(
                (0u8..6, 0i64..50, 0u8..3, proptest::collection::vec((0u8..3, 0..3i32, -1..9i64), 0..4)),
                0..24,
            ),
        ) {
            let mut state = OffsetsState::default();
            let mut n = 0;
            for (kind, time_ms, member, entries) in steps {
                let member = (kind < 2 || kind == 5).then(|| format!("m{member}"));
                let kind = [
                    LineKind::Commit, LineKind::Commit, LineKind::Reset,
                    LineKind::Undo, LineKind::Delete, LineKind::Live,
                ][kind as usize];
                let entries = match kind {
                    LineKind::Delete | LineKind::Live => Vec::new(),
                    _ => entries.into_iter().map(|(t, p, o)| entry(t, p, o)).collect(),
                };
                n += u64::from(time_ms % 5 == 0);
                state.take(&Line { n, time_ms, kind, member, epoch: time_ms as i32, entries });
            }
            let mut again = OffsetsState::default();
            for line in state.compacted(n + 1, 99) {
                let text = line.encode();
                again.take(&Line::decode(&text[1..]).expect("whole"));
            }
            prop_assert_eq!(again.last_n(), Some(n + 1));
            prop_assert_eq!(&again.now, &state.now);
            prop_assert_eq!(again.change.as_ref().map(|c| (c.kind, &c.before)),
                            state.change.as_ref().map(|c| (c.kind, &c.before)));
            prop_assert_eq!(again.epoch_max(), state.epoch_max());
        }
    }
}
