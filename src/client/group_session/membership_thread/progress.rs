//! What was delivered, what is committed, and what is done.

use std::collections::HashMap;

use super::{Holding, MembershipThread, WAITS_LONG};
use crate::client::group_session::ends::Ends;
use crate::client::group_session::orders::{CommitWhen, End, Generation, Order};
use crate::error::{Kind, Result};
use crate::group::OffsetsEntry;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

impl MembershipThread {
    pub(crate) fn take_deliveries(&mut self) {
        let mut furthest: HashMap<Generation, (Offset, LeaderEpoch)> = HashMap::new();
        for delivered in self.delivery.take() {
            let place = (delivered.next, delivered.leader_epoch);
            let known = furthest.entry(delivered.generation).or_insert(place);
            *known = place.max(*known);
        }
        if furthest.is_empty() {
            return;
        }
        for (generation, (next, _)) in &furthest {
            self.given_up.delivered(*generation, *next);
        }
        for holding in self.held.values_mut() {
            if let Some((next, leader_epoch)) = furthest.get(&holding.generation)
                && *next > holding.position
            {
                (holding.position, holding.leader_epoch) = (*next, *leader_epoch);
            }
        }
    }

    /// Follows ends that other members raised, or whose time has passed.
    pub(crate) fn follow_ends(&mut self) -> Result<()> {
        let now_ms = self.store.clock().now_ms();
        if let Some(ends) = &mut self.ends
            && !ends.times.is_empty()
        {
            for (tp, end) in ends.pass_times(&self.chooser, now_ms)? {
                if let Some(holding) = self.held.get_mut(&tp) {
                    holding.until = Some(end);
                    let generation = holding.generation;
                    self.shared.order(Order::Limit(generation, tp, end));
                }
            }
        }
        let group_epoch = self.member.state().group_epoch;
        let is_bounded = self.options.range.to.is_some();
        if group_epoch == self.ends_epoch || !self.options.to_end || is_bounded {
            return Ok(());
        }
        self.ends_epoch = group_epoch;
        self.member.refresh_others()?;
        for (tp, holding) in &mut self.held {
            let is_old = self
                .ends
                .as_ref()
                .is_some_and(|ends| ends.is_of(tp, holding.topic_id));
            let end = self.member.state().end_of(tp).filter(|_| is_old);
            if let (Some(until), Some(end)) = (holding.until, end)
                && end > until
            {
                holding.until = Some(end);
                self.shared
                    .order(Order::Limit(holding.generation, tp.clone(), end));
            }
        }
        Ok(())
    }

    /// What was delivered and is not committed, of the partitions that `which` selects.
    pub(crate) fn entries(&self, which: impl Fn(&TopicPartition) -> bool) -> Vec<OffsetsEntry> {
        self.held
            .iter()
            .filter(|(tp, holding)| holding.position > holding.committed && which(tp))
            .map(|(tp, holding)| OffsetsEntry {
                topic: tp.topic.clone(),
                topic_id: holding.topic_id,
                partition: tp.partition,
                offset: holding.position,
                leader_epoch: holding.leader_epoch,
            })
            .collect()
    }

    pub(crate) fn commit_now(&mut self) -> Result<()> {
        self.take_deliveries();
        let entries = self.entries(|_| true);
        self.committed_at = self.now();
        if entries.is_empty() {
            return Ok(());
        }
        self.busy(|member| member.commit(entries))?;
        for holding in self.held.values_mut() {
            holding.committed = holding.committed.max(holding.position);
        }
        Ok(())
    }

    pub(crate) fn commit_when_due(&mut self) -> Result<()> {
        let commits = self.shared.take_commits();
        if !commits.is_empty() {
            let mut outcome = self.commit_now();
            if outcome.as_ref().is_err_and(|e| e.kind() == Kind::Fenced) {
                // Else the caller gets the commit's error.
                if self.member.refresh().is_ok() && self.member.me().is_some() {
                    // Only the lock was taken over: commit again.
                    outcome = self.commit_now();
                }
            }
            let outcome = outcome.and_then(|()| self.given_up.notify(&self.options.group));
            self.shared.answer(commits, &outcome);
        }
        if self.options.commit != CommitWhen::AfterWrite {
            return Ok(());
        }
        let interval = self.options.interval;
        if self.idle || self.now() - self.committed_at >= interval {
            self.idle = false;
            self.commit_now()?;
        }
        Ok(())
    }

    /// Reports that all is done, once it is written out here or committed by other members.
    pub(crate) fn finish_if_done(&mut self) -> Result<()> {
        let Some(ends) = &self.ends else {
            return Ok(());
        };
        let is_trying = self.failing.keys().any(|tp| !self.broken.contains(tp));
        if self.finished || self.untaken || is_trying || !self.is_done_here(ends) {
            self.watching.watch_offsets(&**self.member.dir(), false);
            self.waits_since = None;
            return Ok(());
        }
        // Its exit status will not be 0.
        let is_spoilt = !self.broken.is_empty()
            || !self.unreadable.is_empty()
            || self.held.values().any(|holding| holding.is_broken);
        let commits = self.options.commit == CommitWhen::AfterWrite || !is_spoilt;
        if !(self.options.commits_when_done && commits) {
            let state = self.member.state();
            let settled = state.group_epoch == state.assignment_epoch
                && self
                    .member
                    .me()
                    .is_some_and(|me| me.is_reconciled(state.assignment_epoch));
            if settled {
                self.finished = true;
                self.shared.order(Order::Finished);
            }
            return Ok(());
        }
        // A member that is done commits, with `on-exit` too: this is its exit.
        self.commit_now()?;
        self.watching.watch_offsets(&**self.member.dir(), true);
        self.member.refresh_offsets()?;
        match self.first_undone() {
            None => {
                self.finished = true;
                self.shared.order(Order::Finished);
            }
            Some((tp, end)) => self.notify_of_wait(&tp, end)?,
        }
        Ok(())
    }

    /// Reports which partition this member waits for, once that takes long: if its owner never
    /// commits, the wait never ends.
    fn notify_of_wait(&mut self, tp: &TopicPartition, end: Offset) -> Result<()> {
        let now = self.now();
        let since = *self.waits_since.get_or_insert(now);
        if self.reported_of_wait || now.saturating_sub(since) < WAITS_LONG {
            return Ok(());
        }
        self.reported_of_wait = true;
        self.member.refresh_others()?;
        let state = self.member.state();
        let owner = state.owner(tp).and_then(|id| state.members.get(&id));
        let owner = match owner {
            Some(member) => format!("process {} on {}", member.pid, member.host),
            None => "its next owner".to_owned(),
        };
        self.shared.order(Order::Note(format!(
            "all is read here; waiting until {owner} has committed {tp} up to offset {end} (a \
             member with --commit never does not, and one with --commit on-exit only when it ends: \
             end it, or this one)"
        )));
        Ok(())
    }

    pub(crate) fn is_done_here(&self, ends: &Ends) -> bool {
        self.held.iter().all(|(tp, holding)| {
            let own = ends.of(tp).filter(|_| ends.is_of(tp, holding.topic_id));
            holding.is_broken || holding.position >= own.or(holding.until).unwrap_or(Offset::MAX)
        })
    }

    /// A partition that is not committed up to its end, and that end.
    pub(crate) fn first_undone(&self) -> Option<(TopicPartition, Offset)> {
        let ends = self.ends.as_ref()?;
        ends.iter().find(|(tp, end)| !self.is_done(tp, *end))
    }

    fn is_done(&self, tp: &TopicPartition, end: Offset) -> bool {
        let Some(ends) = &self.ends else { return false };
        let is_read = |held: &Holding| held.is_broken || held.position >= end;
        if end == 0 || self.broken.contains(tp) || self.held.get(tp).is_some_and(is_read) {
            return true;
        }
        let Some(topic) = self.member.state().topics.get(&tp.topic) else {
            // Deleted: there is nothing left to wait for.
            return true;
        };
        if !ends.is_of(tp, topic.topic_id) {
            return true;
        }
        let committed = self.member.committed(tp, topic.topic_id);
        committed.is_some_and(|committed| committed.offset >= end)
    }

    pub(crate) fn commits_at(&self, end: End) -> bool {
        match self.options.commit {
            CommitWhen::AfterWrite => true,
            CommitWhen::OnExit => end == End::Succeeded,
            CommitWhen::Never => false,
        }
    }
}
