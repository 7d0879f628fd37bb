//! Giving partitions up, and taking them over, with the offsets where they begin.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::following::source_of;
use super::giving_up::{KeepOrRelease, Stopping, decide};
use super::{
    Failing, GRACE, Holding, MembershipThread, QUICK_POLL, StartPosition, TRY_AGAIN, TRY_SOON,
    lock, removed,
};
use crate::client::group_session::orders::{CommitWhen, Order};
use crate::client::group_session::starts;
use crate::client::unresolved_offset::UnresolvedOffset;
use crate::client::{missed, open_reader};
use crate::disk::descriptors_max;
use crate::error::{Error, Kind, Result, shell_word};
use crate::group::{self, Committed, OffsetCheck, OffsetsEntry, check_offset};
use crate::partition::PartitionReader;
use crate::types::{Offset, TopicName, TopicPartition, Uuid};

/// How much longer each next member waits for another to commit a topic's start.
const START_WAIT: Duration = Duration::from_millis(100);
/// How long partitions that can be given up wait for the others that are to be given up.
const TOGETHER: Duration = Duration::from_millis(20);
/// Partitions are handed over at once up to this share of the descriptors, at two each: the caller
/// has one such hand-over open while the next is prepared.
const OPEN_SHARE: usize = 8;

/// An owned partition whose reader is open, and that is not read yet.
pub(crate) struct OpenedPartition {
    tp: TopicPartition,
    topic_id: Uuid,
    reader: PartitionReader,
}

impl MembershipThread {
    /// Gives up partitions that are another member's target now.
    pub(crate) fn give_up(&mut self) -> Result<()> {
        let now = self.now();
        let Some(me) = self.member.me() else {
            return Err(removed());
        };
        let gone: Vec<_> = self
            .held
            .keys()
            .filter(|tp| !me.owned.contains(tp))
            .cloned()
            .collect();
        let mut unread: BTreeSet<TopicPartition> = me
            .owned
            .difference(&me.target)
            .filter(|tp| !self.held.contains_key(tp))
            .cloned()
            .collect();
        for (tp, holding) in &mut self.held {
            let moves = !me.target.contains(tp) && !gone.contains(tp);
            if moves && holding.stopping.is_none() {
                holding.stopping = Some(now);
                self.shared
                    .order(Order::Revoke(holding.generation, tp.clone()));
            }
        }
        // Read after the orders were given: the caller takes the orders before it reads another
        // assignment.
        let works_on = lock(&self.shared.reported).works_on;
        let mut waits_since = None;
        let mut ready = Vec::new();
        let mut moving = BTreeSet::new();
        for (tp, holding) in &self.held {
            let Some(since) = holding.stopping.filter(|_| !gone.contains(tp)) else {
                continue;
            };
            let is_idle = works_on.is_some_and(|generation| generation != holding.generation);
            let found = Stopping {
                is_unread: holding.is_stopped || is_idle || self.ended.is_some(),
                is_delivered: self.delivery.is_settled(holding.generation),
                is_output_closed: self.delivery.is_closed(),
                is_late: (self.options.settle).is_some_and(|limit| now - since >= limit),
                is_target: me.target.contains(tp),
            };
            let then = decide(found);
            match then {
                KeepOrRelease::Wait => {
                    let first = waits_since.map_or(since, |other: Duration| other.min(since));
                    waits_since = Some(first);
                }
                KeepOrRelease::Release | KeepOrRelease::TakeAgain => ready.push(tp.clone()),
            }
            if then == KeepOrRelease::Release {
                moving.insert(tp.clone());
            }
        }
        for tp in gone {
            // Its topic was deleted: its committed offset has no use any more.
            self.drop_holding(&tp, true);
        }
        // All in one critical section, unless some take long.
        let waits = waits_since.is_some_and(|since| now - since < TOGETHER);
        if waits || (ready.is_empty() && unread.is_empty()) {
            return Ok(());
        }
        self.take_deliveries();
        let commits = self.options.commit == CommitWhen::AfterWrite;
        let entries = if commits {
            self.entries(|tp| ready.contains(tp))
        } else {
            Vec::new()
        };
        unread.extend(moving.iter().cloned());
        if unread.is_empty() {
            self.busy(|member| member.commit(entries))?;
        } else {
            self.busy(|member| member.release(unread, entries))?;
        }
        for tp in ready {
            if let Some(holding) = self.held.get_mut(&tp) {
                if commits {
                    holding.committed = holding.committed.max(holding.position);
                }
                if moving.contains(&tp) {
                    self.note_given_up(&tp);
                } else {
                    let start = StartPosition {
                        from: holding.position,
                        committed: holding.committed,
                        leader_epoch: holding.leader_epoch,
                    };
                    self.stayed.insert(tp.clone(), start);
                }
            }
            self.drop_holding(&tp, false);
        }
        Ok(())
    }

    /// More of it may have been delivered, now or soon, than is committed: the next commit that the
    /// caller asks for reports that.
    pub(crate) fn note_given_up(&mut self, tp: &TopicPartition) {
        if let Some(holding) = self.held.get(tp) {
            self.given_up
                .add(tp, holding.generation, holding.committed, holding.position);
        }
    }

    /// Removes an owned partition. `is_lost`: the caller was not asked before.
    pub(crate) fn drop_holding(&mut self, tp: &TopicPartition, is_lost: bool) {
        let Some(holding) = self.held.remove(tp) else {
            return;
        };
        if let Some(page) = holding.page {
            self.watching.remove_page(page);
        }
        if is_lost {
            self.shared
                .order(Order::Lost(holding.generation, tp.clone()));
        }
    }

    /// Hands newly owned partitions to the caller.
    pub(crate) fn take_over(&mut self) -> Result<()> {
        let Some(me) = self.member.me() else {
            return Err(removed());
        };
        let now = self.store.clock().monotonic();
        self.broken.retain(|tp| me.owned.contains(tp));
        self.failing.retain(|tp, _| me.owned.contains(tp));
        let mut fresh: Vec<(TopicPartition, Uuid)> = me
            .owned
            .intersection(&me.target)
            .filter(|tp| !self.held.contains_key(tp))
            .filter(|tp| match self.failing.get(tp) {
                Some(failing) => failing.again <= now,
                None => !self.broken.contains(tp),
            })
            .filter_map(|tp| {
                let topic = self.member.state().topics.get(&tp.topic)?;
                Some((tp.clone(), topic.topic_id))
            })
            .collect();
        // Each is open until the caller takes it, and the caller keeps no more open than it may:
        // further partitions are handed over once these are taken.
        let open_max = (descriptors_max() / OPEN_SHARE).max(1);
        self.untaken = fresh.len() > open_max;
        if self.untaken {
            if self.shared.has_orders.load(Ordering::Acquire) {
                return Ok(());
            }
            fresh.truncate(open_max);
        }
        if fresh.is_empty() {
            // A partition that is not taken over now may belong to another member before it comes
            // back.
            self.stayed.clear();
            return Ok(());
        }
        self.member.refresh_offsets()?;
        if self.options.to_end {
            // The largest end that any member entered counts.
            self.member.refresh_others()?;
        }
        let mut opened = Vec::with_capacity(fresh.len());
        for (tp, topic_id) in fresh {
            if lock(&self.shared.reported).ended.is_some() {
                // Nothing is begun yet: a caller that was asked to end opens no more.
                return Ok(());
            }
            match self.chooser.open(&tp) {
                Ok(reader) => opened.push(OpenedPartition {
                    tp,
                    topic_id,
                    reader,
                }),
                // Deleted: the next check of the topics finds that.
                Err(e) if e.kind() == Kind::UnknownTopic => self.topics_at = None,
                Err(e) => self.break_off(tp, e)?,
            }
        }
        let begun = self.begin(&opened)?;
        let mut assigned = Vec::with_capacity(opened.len());
        for (opened, start) in opened.into_iter().zip(begun) {
            let OpenedPartition {
                tp,
                topic_id,
                reader,
            } = opened;
            let start = match start {
                Ok(start) => start,
                Err(e) => {
                    self.break_off(tp, e)?;
                    continue;
                }
            };
            self.failing.remove(&tp);
            self.broken.remove(&tp);
            self.unbegun.remove(&tp);
            self.last_generation += 1;
            let generation = self.last_generation;
            let until = self.until_of(&tp, topic_id, start.from);
            let until_time = self
                .ends
                .as_ref()
                .and_then(|ends| ends.times.get(&tp))
                .copied();
            let page = self.watching.add_page(reader.replica());
            let holding = Holding {
                generation,
                topic_id,
                position: start.from,
                leader_epoch: start.leader_epoch,
                committed: start.committed,
                until,
                source: source_of(&reader),
                page,
                stopping: None,
                is_stopped: false,
                is_broken: false,
            };
            self.held.insert(tp, holding);
            assigned.push(Order::Assign {
                generation,
                reader: Box::new(reader),
                from: start.from,
                until,
                until_time,
            });
        }
        self.shared.order_all(assigned);
        // A partition that was not taken over now may belong to another member before it comes
        // back.
        self.stayed.clear();
        Ok(())
    }

    /// Reports a partition that cannot be read, keeps it, and counts it as done. Unless it is
    /// damaged, it is retried.
    fn break_off(&mut self, tp: TopicPartition, e: Error) -> Result<()> {
        if !e.is_of_one_partition() {
            return Err(e);
        }
        if e.kind() == Kind::Damaged {
            self.failing.remove(&tp);
        } else {
            let now = self.now();
            let fresh = Failing {
                since: now,
                again: now,
            };
            let failing = self.failing.entry(tp.clone()).or_insert(fresh);
            let is_young = now - failing.since < GRACE;
            failing.again = now + if is_young { TRY_SOON } else { TRY_AGAIN };
            if is_young {
                return Ok(());
            }
        }
        let is_known = self.unreadable.contains(&tp.topic);
        if self.broken.insert(tp) && !is_known {
            self.shared.order(Order::Broken(e));
        }
        Ok(())
    }

    /// Where each of these begins. If no offset is committed yet, one is committed first.
    pub(crate) fn begin(
        &mut self,
        opened: &[OpenedPartition],
    ) -> Result<Vec<Result<StartPosition>>> {
        let missing: Vec<&OpenedPartition> = opened
            .iter()
            .filter(|one| self.member.committed(&one.tp, one.topic_id).is_none())
            .collect();
        if missing.len() < opened.len() {
            self.note_unused_start();
        }
        let mut starts: BTreeMap<TopicPartition, OffsetsEntry> = BTreeMap::new();
        if !missing.is_empty() {
            let entries = self.starts_of(&missing)?;
            for entry in &entries {
                if let Some(asked) = self.asked_below(entry.offset) {
                    let tp = TopicPartition::new(entry.topic.clone(), entry.partition);
                    self.report_missed(&tp, entry.topic_id, asked, entry.offset)?;
                }
            }
            if self.options.commit != CommitWhen::Never {
                let starts = entries.clone();
                self.busy(|member| member.commit_starts(starts))?;
            }
            starts = entries
                .into_iter()
                .map(|entry| {
                    (
                        TopicPartition::new(entry.topic.clone(), entry.partition),
                        entry,
                    )
                })
                .collect();
        }
        let mut begun = Vec::with_capacity(opened.len());
        for OpenedPartition {
            tp,
            topic_id,
            reader,
        } in opened
        {
            let committed = self.member.committed(tp, *topic_id);
            // If this member stood still during a release, another member may have owned the
            // partition meanwhile, and read further.
            if let Some(start) = self.stayed.remove(tp)
                && committed.as_ref().is_none_or(|c| c.offset <= start.from)
            {
                begun.push(Ok(start));
                continue;
            }
            begun.push(match (committed, starts.get(tp)) {
                (Some(committed), _) => self.resume(reader, &committed),
                (None, Some(start)) => Ok(StartPosition::of_start(start)),
                (None, None) => match self.unbegun.get(tp) {
                    Some(e) => Err(e.clone()),
                    None => {
                        let start = starts::fresh_start(reader, *topic_id, None);
                        start.map(|start| StartPosition::of_start(&start))
                    }
                },
            });
        }
        Ok(begun)
    }

    /// Where to continue from the committed offset.
    fn resume(&self, reader: &PartitionReader, committed: &Committed) -> Result<StartPosition> {
        let tp = reader.replica().tp();
        let from = match self.check_offset(reader, committed)? {
            OffsetCheck::Within => committed.offset,
            OffsetCheck::Beyond(end) => {
                let name = &self.options.group;
                return Err(group::beyond(name, tp, committed.offset, end));
            }
            OffsetCheck::BelowStart(start) => {
                let topic_id = reader.topic().meta().topic_id;
                self.report_missed(tp, topic_id, committed.offset, start)?;
                start
            }
        };
        Ok(StartPosition {
            from,
            committed: committed.offset,
            leader_epoch: committed.leader_epoch,
        })
    }

    /// The offset where a group without a committed one was to begin, if the log starts behind it: a
    /// range from the first record to an offset begins at 0.
    fn asked_below(&self, start: Offset) -> Option<Offset> {
        let range = self.options.range;
        let asked = match (range.from, range.to) {
            (Some(UnresolvedOffset::At(from)), _) => from,
            (None | Some(UnresolvedOffset::Start), Some(UnresolvedOffset::At(to))) => {
                (to <= start).then_some(0)?
            }
            _ => return None,
        };
        (asked < start).then_some(asked)
    }

    /// Reports that the group goes on at the log start `to`, and not at `from`.
    fn report_missed(
        &self,
        tp: &TopicPartition,
        topic_id: Uuid,
        from: Offset,
        to: Offset,
    ) -> Result<()> {
        let until = self.until_of(tp, topic_id, to);
        let gone = until.map_or(to, |until| until.min(to));
        if self.options.fails_on_missed && from < gone {
            let group = &self.options.group;
            return Err(missed(tp, from, gone).cure(format!(
                "'mq-groups reset {} --to start --topic {tp}' goes on at the log start, {to}",
                shell_word(group)
            )));
        }
        let tp = tp.clone();
        self.shared.order(Order::Missed {
            tp,
            from,
            to,
            until,
        });
        Ok(())
    }

    /// Where a committed offset stands in its log. Other replicas may have what this one does not
    /// have yet.
    fn check_offset(&self, reader: &PartitionReader, committed: &Committed) -> Result<OffsetCheck> {
        let stands = check_offset(reader, &reader.page()?, committed)?;
        if reader.is_pinned() && matches!(stands, OffsetCheck::Beyond(_)) {
            let leader = open_reader(&self.store, reader.replica().tp())?;
            return check_offset(&leader, &leader.page()?, committed);
        }
        Ok(stands)
    }

    /// Starts for these, and for all partitions of topics that the group has never read.
    pub(crate) fn starts_of(&mut self, missing: &[&OpenedPartition]) -> Result<Vec<OffsetsEntry>> {
        let mut by_topic: BTreeMap<&TopicName, Vec<&OpenedPartition>> = BTreeMap::new();
        for one in missing {
            by_topic.entry(&one.tp.topic).or_default().push(one);
        }
        let from = self.options.range.from;
        let mut entries = Vec::new();
        for (topic, missing) in by_topic {
            if self.options.commit != CommitWhen::Never && !self.is_known_soon(topic)? {
                let Some(seen) = self.member.state().topics.get(topic).copied() else {
                    continue;
                };
                let (chooser, began) = (&self.chooser, &self.began);
                let (begun, unbegun) = starts::fresh_starts(chooser, began, topic, seen, from)?;
                entries.extend(begun);
                self.unbegun.extend(unbegun);
                continue;
            }
            let known = self.member.offsets().knows_topic(topic);
            let seen = self.member.state().topics.get(topic).copied();
            for OpenedPartition {
                tp,
                topic_id,
                reader,
            } in missing
            {
                // A partition that could not begin with the rest of its topic begins in the same
                // way.
                let begins = !known || self.unbegun.contains_key(tp);
                let entry = match seen.filter(|_| begins) {
                    Some(seen) => self.began.start_of(&self.chooser, tp, seen, from),
                    None => starts::fresh_start(reader, *topic_id, None),
                };
                match entry {
                    // It is reported where it is begun.
                    Err(e) if e.is_of_one_partition() => {
                        self.unbegun.insert(tp.clone(), e);
                    }
                    entry => entries.push(entry?),
                }
            }
        }
        Ok(entries)
    }

    /// Whether an offset of the topic is committed. If none is, the first of its readers commits
    /// the start of all its partitions; the others wait a little for that.
    pub(crate) fn is_known_soon(&mut self, topic: &TopicName) -> Result<bool> {
        let own = self.member.id();
        let before = self
            .member
            .state()
            .members
            .iter()
            .filter(|(id, member)| **id < own && member.topics.contains(topic))
            .count();
        let until = self.now() + START_WAIT * u32::try_from(before.min(5)).unwrap_or(5);
        loop {
            if self.member.offsets().knows_topic(topic) {
                return Ok(true);
            }
            if self.now() >= until {
                return Ok(false);
            }
            self.store.clock().sleep(QUICK_POLL);
            self.member.refresh_offsets()?;
        }
    }

    pub(crate) fn note_unused_start(&mut self) {
        let asked = self
            .options
            .range
            .from
            .is_some_and(|from| from != UnresolvedOffset::Stored);
        if asked && !self.noted_unused {
            self.noted_unused = true;
            self.shared.order(Order::Note(format!(
                "group '{}' goes on where it left off; -o begins only where nothing is committed ('mq-groups reset' rewinds)",
                self.options.group.escape_debug()
            )));
        }
    }

    /// The end of a partition that begins at `from`: with `-e` the largest that any member entered.
    pub(crate) fn until_of(
        &self,
        tp: &TopicPartition,
        topic_id: Uuid,
        from: Offset,
    ) -> Option<Offset> {
        let ends = self.ends.as_ref()?;
        if self.options.to_end && !ends.is_of(tp, topic_id) {
            // It was added after this member's ends were fixed.
            return Some(from);
        }
        let bounded = self.options.range.to.is_some();
        let end = if bounded {
            ends.of(tp)
        } else {
            self.member.state().end_of(tp)
        };
        match end {
            Some(Offset::MAX) => None,
            Some(end) => Some(end),
            // It was added after this member's ends were fixed.
            None if self.options.to_end => Some(from),
            None => None,
        }
    }
}
