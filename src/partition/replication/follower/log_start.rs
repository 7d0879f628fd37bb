//! A follower's log start: it follows the leader's.

use super::Follower;
use crate::error::{Kind, Result};
use crate::log::{Appender, LOG_START_FILE, Tail, log_start_text, sync_failed};
use crate::partition::append::{Committer, begin_segment};
use crate::partition::log_start::{PreparedStart, Published, remove_below};
use crate::partition::recovery::ReplicaRecovery;
use crate::partition::replica::AppendGuard;
use crate::partition::state_page::{Intent, Role, StatePage};
use crate::types::{LeaderEpoch, Offset};

/// How a follower's log lies to its leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgainstStart {
    /// They have offsets in common, or meet.
    Fits,
    /// This one is empty and ends below the leader's start: it begins there.
    Empty,
    /// They have nothing in common.
    Apart,
}

/// How the log of `own` lies to one whose first batch begins at `leaders_start`, and which ends at
/// `leaders_end`.
pub(super) fn against_start(
    own: &Tail,
    leaders_start: Offset,
    leaders_end: Offset,
) -> AgainstStart {
    let is_empty = own.end <= own.log_start;
    if own.end < leaders_start {
        if is_empty {
            AgainstStart::Empty
        } else {
            AgainstStart::Apart
        }
    } else if own.log_start > leaders_end {
        AgainstStart::Apart
    } else {
        AgainstStart::Fits
    }
}

/// Begins an empty log at the base of its leader's first batch, by a roll to there. The log start may lie
/// within that batch: it follows once the batch is here. A process that dies on the way leaves
/// an empty log, or segments that [`remove_below`] removes.
pub(super) fn begin_at(
    held: &AppendGuard<'_>,
    appender: &mut Appender,
    mut page: StatePage,
    start: Offset,
) -> Result<StatePage> {
    let replica = held.replica();
    let dir = &**replica.dir();
    page.intent = Intent::Roll(start);
    held.publish(&mut page)?;
    let to = Tail {
        log_start: start,
        end: start,
        ..page.tail
    };
    page.tail = appender.begin_segment(&to)?;
    page.durable = page.tail.place();
    page.high_watermark = page.high_watermark.max(start);
    page.last_stable_offset = page.high_watermark;
    page.intent = Intent::None;
    page.unsynced_names = 0;
    // The page names the new segment as durable, so that name is durable first.
    dir.sync().map_err(|e| sync_failed(dir.path(), e))?;
    held.publish_synced(&mut page)?;
    let text = log_start_text(replica.tp(), start);
    replica.replace_small(LOG_START_FILE, text.as_bytes())?;
    remove_below(replica, start)?;
    Ok(page)
}

impl Follower {
    /// Raises the log start to the leader's, once this log has all below it.
    ///
    /// # Errors
    /// As an append, a group commit, and [`PreparedStart::finish`].
    pub(super) fn follow_log_start(&mut self, epoch: LeaderEpoch) -> Result<()> {
        let to = self.leaders_start;
        let is_due = |page: &StatePage| {
            page.role == Role::Follower
                && page.leader_epoch == epoch
                && to > page.tail.log_start
                && to <= page.tail.end
        };
        if self.matched != Some(epoch) {
            return Ok(());
        }
        let Some(page) = self.replica.read_page()?.filter(is_due) else {
            return Ok(());
        };
        if to == page.tail.end && page.tail.last.is_some() {
            self.when_following(epoch, |recovery, page| {
                if page.tail.end == to && page.tail.last.is_some() {
                    begin_segment(recovery.held, recovery.appender, page)?;
                    page.intent = Intent::None;
                    recovery.held.publish(page)?;
                }
                Ok(())
            })?;
        }
        if page.durable.offset < to {
            self.committer()?.commit(to)?;
        }
        let Some(page) = self.replica.read_page()?.filter(is_due) else {
            return Ok(());
        };
        let mut prepared = PreparedStart::prepare(&self.replica, &page, to, self.timeout)?;
        let published = self.when_following(epoch, |recovery, page| {
            // The leader shows all up to its start, and this log has the same up to its end.
            page.high_watermark = page.high_watermark.max(to);
            page.last_stable_offset = page.high_watermark;
            prepared.publish(recovery, page)
        })?;
        if published == Some(Published::Yes) {
            prepared.finish(&self.replica, self.timeout)?;
        }
        // Otherwise the next step tries again.
        Ok(())
    }

    /// Whether the page shows nothing yet, and starts below the leader's start: then the high watermark
    /// waits for [`Follower::follow_log_start`], so that no record below that start is ever shown.
    pub(super) fn shows_nothing_yet(&self, page: &StatePage) -> bool {
        page.tail.log_start < self.leaders_start && page.high_watermark <= page.tail.log_start
    }

    pub(super) fn committer(&mut self) -> Result<&mut Committer> {
        match &mut self.committer {
            Some(committer) => Ok(committer),
            none => {
                let (store, tp) = (&self.store, &self.tp);
                let opened = Committer::open_at(store, tp, self.broker, self.timeout)?;
                Ok(none.insert(opened))
            }
        }
    }

    /// Does `work` under the append lock, on the page of a ready follower of that epoch. `None` if it is
    /// none any more.
    fn when_following<T>(
        &mut self,
        epoch: LeaderEpoch,
        work: impl FnOnce(&mut ReplicaRecovery<'_>, &mut StatePage) -> Result<T>,
    ) -> Result<Option<T>> {
        let expected = self.expected()?;
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Ok(None);
        }
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let mut page = recovery.ready(held.page()?, self.known, self.first)?;
        if page.role != Role::Follower || page.leader_epoch != epoch || page.seal.is_some() {
            self.matched = None;
            return Ok(None);
        }
        let done = work(&mut recovery, &mut page);
        self.first = matches!(&done, Err(e) if e.kind() == Kind::Fenced);
        self.known = Some(page.sequence);
        done.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_logs_fit_if_they_meet() {
        let tail = |log_start, end| Tail {
            log_start,
            end,
            ..Tail::empty(log_start)
        };
        for (own, leaders, wanted) in [
            (tail(0, 0), (0, 0), AgainstStart::Fits),
            (tail(0, 0), (5, 9), AgainstStart::Empty),
            (tail(3, 3), (5, 9), AgainstStart::Empty),
            (tail(0, 4), (5, 9), AgainstStart::Apart),
            (tail(0, 5), (5, 9), AgainstStart::Fits),
            (tail(5, 5), (5, 5), AgainstStart::Fits),
            (tail(9, 12), (5, 9), AgainstStart::Fits),
            (tail(10, 12), (5, 9), AgainstStart::Apart),
            (tail(10, 10), (5, 9), AgainstStart::Apart),
        ] {
            let found = against_start(&own, leaders.0, leaders.1);
            assert_eq!(found, wanted, "{own:?} {leaders:?}");
        }
    }
}
