//! The state that the lines of `offsets.log` define.

use std::collections::{BTreeMap, BTreeSet};

use super::offsets_line::{Line, LineKind, OffsetsEntry};
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

/// The offsets at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Moment {
    slots: Slots,
    deleted: bool,
    /// The last `live` line of a member since the group was made or deleted.
    live: Option<(Timestamp, String, i32)>,
}

/// The last change by an administrator, and the state before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    kind: LineKind,
    time_ms: Timestamp,
    before: Moment,
}

impl Slot {
    fn entry(&self, (topic, partition): &(TopicName, PartitionId)) -> OffsetsEntry {
        OffsetsEntry {
            topic: topic.clone(),
            topic_id: self.topic_id,
            partition: *partition,
            offset: self.offset,
            leader_epoch: self.leader_epoch,
        }
    }
}

/// Whether a partition's slot has the entry's offset. None and -1 are the same.
fn says(slot: Option<&Slot>, entry: &OffsetsEntry) -> bool {
    match slot.filter(|slot| slot.offset >= 0) {
        None => entry.offset < 0,
        Some(slot) => {
            (slot.topic_id, slot.offset, slot.leader_epoch)
                == (entry.topic_id, entry.offset, entry.leader_epoch)
        }
    }
}

impl Moment {
    fn deleted() -> Self {
        Moment {
            deleted: true,
            ..Moment::default()
        }
    }
}

impl Change {
    fn of(line: &Line, before: Moment) -> Self {
        let (kind, time_ms) = (line.kind, line.time_ms);
        Change {
            kind,
            time_ms,
            before,
        }
    }
}

/// The state that lines, taken in order, define.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetsState {
    now: Moment,
    change: Option<Change>,
    last_n: Option<u64>,
    newest_ms: Option<Timestamp>,
    epoch_max: i32,
}

impl OffsetsState {
    /// Takes the next line and returns whether it counts. A line behind a larger N does not: its
    /// writer's lock was broken.
    pub fn take(&mut self, line: &Line) -> bool {
        if self.last_n.is_some_and(|last| last > line.n) {
            return false;
        }
        self.last_n = Some(line.n);
        self.newest_ms = Some(self.newest_ms.unwrap_or(line.time_ms).max(line.time_ms));
        self.epoch_max = self.epoch_max.max(line.epoch);
        match line.kind {
            LineKind::Commit => self.now.deleted = false,
            LineKind::Reset | LineKind::Delete => {
                let before = self.now.clone();
                self.change = Some(Change::of(line, before));
            }
            LineKind::Undo => {
                let target = self.change.take().map(|change| change.before);
                let target = target.unwrap_or_else(|| self.now.clone());
                let before = std::mem::replace(&mut self.now, target);
                self.change = Some(Change::of(line, before));
            }
            LineKind::Live => {
                if let Some(member) = &line.member {
                    self.now.deleted = false;
                    self.now.live = Some((line.time_ms, member.clone(), line.epoch));
                }
            }
            LineKind::Expire | LineKind::Clear => self.now = Moment::deleted(),
        }
        match line.kind {
            LineKind::Commit | LineKind::Reset | LineKind::Undo => self.enter(line),
            LineKind::Delete if line.entries.is_empty() => self.now = Moment::deleted(),
            // As if never committed: a topic without offsets is like one that was never read.
            LineKind::Delete => self.forget(&line.entries),
            LineKind::Live | LineKind::Expire | LineKind::Clear => {}
        }
        true
    }

    /// Enters the line's offsets, except those of an undo that are in place already: it restores
    /// them whole.
    fn enter(&mut self, line: &Line) {
        for entry in &line.entries {
            let key = (entry.topic.clone(), entry.partition);
            let is_undo = line.kind == LineKind::Undo;
            if is_undo && says(self.now.slots.get(&key), entry) {
                continue;
            }
            self.now.deleted = false;
            let slot = Slot {
                topic_id: entry.topic_id,
                offset: entry.offset,
                leader_epoch: entry.leader_epoch,
                time_ms: line.time_ms,
                member: line.member.clone(),
                epoch: line.epoch,
            };
            self.now.slots.insert(key, slot);
        }
    }

    /// The last change by an administrator: its kind, and its time in ms.
    pub fn last_change(&self) -> Option<(LineKind, Timestamp)> {
        self.change.as_ref().map(|c| (c.kind, c.time_ms))
    }

    /// The state that an undo restores; `None`: there is nothing to undo.
    pub fn undone(&self) -> Option<OffsetsState> {
        let change = self.change.as_ref()?;
        Some(OffsetsState {
            now: change.before.clone(),
            ..self.clone()
        })
    }

    /// Whether a member committed after the last change by an administrator.
    pub fn committed_since_change(&self) -> bool {
        let Some(change) = &self.change else {
            return false;
        };
        let slots = self.now.slots.iter();
        slots
            .filter(|(_, slot)| slot.member.is_some())
            .any(|(key, slot)| {
                slot.time_ms > change.time_ms && change.before.slots.get(key) != Some(slot)
            })
    }

    /// The offsets that differ in `to`, with their values there.
    pub fn difference(&self, to: &OffsetsState) -> Vec<OffsetsEntry> {
        let (from, to) = (&self.now.slots, &to.now.slots);
        let keys: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
        let mut entries = Vec::new();
        for key in keys {
            let entry = match (to.get(key), from.get(key)) {
                (Some(slot), _) => slot.entry(key),
                (None, Some(slot)) => OffsetsEntry {
                    offset: -1,
                    leader_epoch: -1,
                    ..slot.entry(key)
                },
                (None, None) => continue,
            };
            if !says(from.get(key), &entry) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Every partition with an offset, as a line's entry.
    pub fn entries(&self) -> impl Iterator<Item = OffsetsEntry> {
        let slots = self.now.slots.iter();
        slots
            .filter(|(_, slot)| slot.offset >= 0)
            .map(|(key, slot)| slot.entry(key))
    }

    /// Drops the offsets of these partitions.
    pub fn forget(&mut self, entries: &[OffsetsEntry]) {
        for entry in entries {
            let key = (entry.topic.clone(), entry.partition);
            self.now.slots.remove(&key);
        }
    }

    /// The offsets are gone; the last change can still be undone.
    pub fn expire(&mut self) {
        self.now = Moment::deleted();
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

    /// Whether nothing was ever committed, by members or by hand.
    pub fn is_unused(&self) -> bool {
        self.now.slots.is_empty() && self.change.is_none()
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

    /// The offset last committed for a partition, whatever the topic's id.
    pub fn last_offset(&self, topic: &TopicName, partition: PartitionId) -> Option<Offset> {
        let slot = self.now.slots.get(&(topic.clone(), partition))?;
        (slot.offset >= 0).then_some(slot.offset)
    }

    /// Whether any line since the group was made or deleted has a topic of that name.
    pub fn knows_topic(&self, topic: &TopicName) -> bool {
        let from = (topic.clone(), 0);
        self.now
            .slots
            .range(from..)
            .next()
            .is_some_and(|((name, _), _)| name == topic)
    }

    /// The number of partitions with an offset, and of their topics.
    pub fn counts(&self) -> (usize, usize) {
        let topics: BTreeSet<&TopicName> = self.offsets().map(|(topic, ..)| topic).collect();
        (self.offsets().count(), topics.len())
    }

    /// Every partition with an offset, and its topic's id.
    pub fn offsets(&self) -> impl Iterator<Item = (&TopicName, PartitionId, Uuid, Offset)> {
        self.now
            .slots
            .iter()
            .filter(|(_, slot)| slot.offset >= 0)
            .map(|((topic, partition), slot)| (topic, *partition, slot.topic_id, slot.offset))
    }

    /// Lines that define the same state: the current offsets, and those before the last change by
    /// an administrator. All carry `n`; the first one marks it before any other counts.
    pub fn compacted(&self, n: u64, now_ms: Timestamp) -> Vec<Line> {
        let mark = self.mark(n, now_ms);
        let clear = bare(n, mark.time_ms, LineKind::Clear, None, 0);
        let mut lines = vec![mark];
        if let Some(change) = &self.change {
            lines.push(clear.clone());
            push_moment(&mut lines, n, &change.before);
            lines.push(bare(n, change.time_ms, change.kind, None, 0));
        }
        if self.change.is_some() || self.now.deleted {
            lines.push(clear);
        }
        push_moment(&mut lines, n, &self.now);
        lines
    }

    /// A line that carries only the lock's N; it makes nothing look newer than it is.
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

/// The lines of one moment, beginning from a deleted group.
fn push_moment(lines: &mut Vec<Line>, n: u64, moment: &Moment) {
    if moment.deleted {
        return;
    }
    if moment.slots.is_empty() && moment.live.is_none() {
        let time_ms = lines.first().map_or(0, |mark| mark.time_ms);
        lines.push(bare(n, time_ms, LineKind::Commit, None, 0));
    }
    for (key, slot) in &moment.slots {
        let entry = slot.entry(key);
        match lines.last_mut() {
            Some(last)
                if last.kind == LineKind::Commit
                    && !last.entries.is_empty()
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

/// Entries in a line of a compacted file: far below the longest line.
const ENTRIES_OF_LINE: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(n: u8) -> TopicName {
        TopicName::new(format!("t{n}")).expect("topic")
    }

    fn line(n: u64, kind: LineKind, member: Option<&str>, entries: Vec<OffsetsEntry>) -> Line {
        Line {
            n,
            time_ms: 7,
            kind,
            member: member.map(str::to_owned),
            epoch: 3,
            entries,
        }
    }

    fn entry(t: u8, partition: i32, offset: i64) -> OffsetsEntry {
        let (topic, topic_id) = (topic(t), Uuid([t; 16]));
        OffsetsEntry {
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

    #[test]
    fn an_undo_leads_to_the_state_before_and_another_one_back() {
        let changes: [&[Line]; 4] = [
            &[line(
                0,
                LineKind::Reset,
                None,
                vec![entry(0, 0, 1), entry(2, 0, 4)],
            )],
            &[line(0, LineKind::Delete, None, vec![])],
            &[line(0, LineKind::Delete, None, vec![entry(0, 0, -1)])],
            &[
                line(0, LineKind::Delete, None, vec![]),
                line(0, LineKind::Commit, Some("b"), vec![entry(1, 1, 2)]),
            ],
        ];
        for (at, lines) in changes.into_iter().enumerate() {
            for known in [true, false] {
                let mut state = OffsetsState::default();
                assert!(state.undone().is_none());
                if known {
                    state.take(&line(
                        0,
                        LineKind::Commit,
                        Some("a"),
                        vec![entry(0, 0, 5), entry(0, 1, 6), entry(1, 0, 7)],
                    ));
                }
                let before = state.now.clone();
                for line in lines {
                    state.take(line);
                }
                let after = state.now.clone();
                for expected in [&before, &after, &before] {
                    let undone = state.undone().expect("a change");
                    assert_eq!(undone.now, *expected, "{at} {known}");
                    state.take(&line(0, LineKind::Undo, None, state.difference(&undone)));
                    assert_eq!(state.now, *expected, "{at} {known}");
                }
                assert!(!state.committed_since_change(), "{at} {known}");
            }
        }
    }

    #[test]
    fn deleted_offsets_are_as_if_they_had_never_been() {
        let mut state = OffsetsState::default();
        state.take(&line(
            0,
            LineKind::Commit,
            Some("a"),
            vec![entry(0, 0, 5), entry(1, 0, 7), entry(1, 1, 8)],
        ));
        state.take(&line(
            0,
            LineKind::Delete,
            None,
            vec![entry(0, 0, -1), entry(1, 1, -1)],
        ));
        assert!(!state.knows_topic(&topic(0)) && state.knows_topic(&topic(1)));
        assert!(!state.is_deleted(), "the group is still there");
        assert_eq!(state.entries().collect::<Vec<_>>(), [entry(1, 0, 7)]);
        state.take(&line(0, LineKind::Expire, None, vec![]));
        assert!(state.is_deleted() && state.entries().next().is_none());
    }

    proptest! {
        #[test]
        fn compaction_keeps_all_answers(
            steps in proptest::collection::vec(
                (0u8..8, 0i64..50, 0u8..3, proptest::collection::vec((0u8..3, 0..3i32, -1..9i64), 0..4)),
                0..24,
            ),
        ) {
            let mut state = OffsetsState::default();
            let mut n = 0;
            for (kind, time_ms, member, entries) in steps {
                let member = (kind < 2 || kind == 5).then(|| format!("m{member}"));
                let kind = [
                    LineKind::Commit, LineKind::Commit, LineKind::Reset,
                    LineKind::Undo, LineKind::Delete, LineKind::Live, LineKind::Expire, LineKind::Delete,
                ][kind as usize];
                let entries = match kind {
                    LineKind::Live | LineKind::Expire => Vec::new(),
                    LineKind::Delete if time_ms % 2 == 0 => Vec::new(),
                    LineKind::Undo => state
                        .undone()
                        .map_or_else(Vec::new, |undone| state.difference(&undone)),
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
