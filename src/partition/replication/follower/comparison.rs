//! The comparison of a follower's log with its leader's, once an epoch.

use super::Follower;
use super::log_start::{AgainstStart, against_start, begin_at};
use crate::error::{Error, Kind, Result};
use crate::log::{LeaderEpochs, divergence};
use crate::partition::append::PartitionWriter;
use crate::partition::dir_sync::sync_names;
use crate::partition::recovery::{ReplicaRecovery, given_up};
use crate::partition::replica::Replica;
use crate::partition::replication::JoiningSet;
use crate::partition::state_page::{Offline, Role, StatePage};
use crate::store::TopicHandle;
use crate::types::{LeaderEpoch, Offset};

/// The leader's log, once it leads in the epoch.
struct LeadersLog {
    epochs: LeaderEpochs,
    log_start: Offset,
    /// Base offset of the batch that holds the log start.
    first_base: Offset,
    end: Offset,
    deletions_gone: Offset,
}

impl Follower {
    /// Compares the log with the leader's of that epoch: truncates what the leader lacks, and
    /// publishes the epoch. An empty log begins at the leader's start. `false`: there is no leader of
    /// that epoch yet.
    ///
    /// # Errors
    /// [`Kind::OffsetOutOfRange`] if the two logs have no offset in common: this one is to be replaced.
    pub(super) fn hold_against(&mut self, epoch: LeaderEpoch) -> Result<bool> {
        let asked = self.ask(epoch);
        let Some(leaders) = self.at_leader(asked)?.flatten() else {
            return Ok(false);
        };
        let version = self.topic.meta().version;
        sync_names(&self.store, &self.replica, version, self.timeout)?;
        let expected = self.expected()?;
        let held = self.replica.lock(self.timeout)?;
        if !self.topic.is_current()? {
            return Ok(false);
        }
        let mut recovery = ReplicaRecovery {
            held: &held,
            expected,
            appender: &mut self.appender,
            epochs: &mut self.epochs,
            cuts: &mut self.cuts,
        };
        let mut own = recovery.ready(held.page()?, self.known, self.first)?;
        match against_start(&own.tail, leaders.first_base, leaders.end) {
            AgainstStart::Fits => {}
            AgainstStart::Empty => {
                // Epochs of what this log once held may be larger than those of the leader's first
                // batches. They go first: an empty log needs none.
                let first = leaders.first_base;
                let epoch = leaders.epochs.at(first).unwrap_or_default();
                recovery.change_epochs(&mut own, |epochs| {
                    *epochs = LeaderEpochs::default();
                    epochs.begin(epoch, first);
                })?;
                own = begin_at(&held, recovery.appender, own, first)?;
            }
            AgainstStart::Apart => return Err(self.apart(&own, &leaders)),
        }
        let own_end = own.tail.end;
        let first = leaders.first_base;
        let to = if own_end > own.tail.log_start {
            divergence(
                recovery.epochs,
                own_end,
                &leaders.epochs,
                first,
                leaders.end,
            )
        } else {
            // It holds no record, and its epochs are those that it was made with.
            own_end
        };
        if to < own_end && own.tail.log_start > 0 && to <= own.tail.log_start {
            return Err(self.apart(&own, &leaders));
        }
        if lacks_deletions(&self.replica, &own, to.min(own_end), leaders.deletions_gone)? {
            return Err(self.apart(&own, &leaders));
        }
        if to < own.tail.end {
            let note = given_up(&self.tp, to, own.tail.end, epoch);
            own = recovery.truncate(own, to)?;
            self.store.add_note(note);
        }
        own.role = Role::Follower;
        own.leader_epoch = epoch;
        own.seal = None;
        own.joining = JoiningSet::default();
        own.synced_version = own.synced_version.max(version);
        held.publish_synced(&mut own)?;
        self.appender.enter(own.generation, epoch);
        drop(held);
        self.first = false;
        self.known = Some(own.sequence);
        self.matched = Some(epoch);
        self.leaders_start = leaders.log_start;
        self.raised = false;
        Ok(true)
    }

    /// The error if no offset, or no record, of this log is the leader's.
    fn apart(&self, own: &StatePage, leaders: &LeadersLog) -> Error {
        let text = format!(
            "OFFSET_OUT_OF_RANGE: the log of {} on broker {} has offsets {} to {}, its leader's has {} to {}",
            self.tp, self.broker, own.tail.log_start, own.tail.end, leaders.log_start, leaders.end
        );
        Error::new(Kind::OffsetOutOfRange, text)
    }

    /// Whether a replacement of this replica died once it had marked the state page, and before it moved
    /// the directory aside: the topic file still names the replica.
    pub(super) fn is_half_replaced(&self) -> Result<bool> {
        let Some(page) = self.replica.read_page()? else {
            return Ok(false);
        };
        if page.offline != Some(Offline::Removed) || !self.replica.in_place()? {
            return Ok(false);
        }
        let topic = match TopicHandle::open(&self.store, &self.tp.topic) {
            Err(e) if e.kind() == Kind::UnknownTopic => return Ok(false),
            opened => opened?,
        };
        let named = topic.partition(self.tp.partition)?.uuid_of(self.broker);
        Ok(topic.meta().topic_id == page.topic_id && named == Some(page.replica_uuid))
    }

    /// The leader's log, once it leads in that epoch; `None` before.
    fn ask(&mut self, epoch: LeaderEpoch) -> Result<Option<LeadersLog>> {
        self.leader_reader()?;
        let leads = |this: &Self| -> Result<Option<StatePage>> {
            Ok(this.leaders_page()?.filter(|page| this.leads(page, epoch)))
        };
        let has_epochs = self.leader_reader()?.replica().has_epochs()?;
        let page = match leads(self)?.filter(|_| has_epochs) {
            Some(page) => page,
            None => {
                // Any process may promote the leader, and recreate a lost checkpoint from the
                // batches.
                PartitionWriter::open(&self.store, &self.tp, self.timeout)?.make_ready()?;
                self.leader_reader()?;
                match leads(self)? {
                    Some(page) => page,
                    None => return Ok(None),
                }
            }
        };
        let Some(theirs) = self.leader_reader()?.replica().epochs()? else {
            return Ok(None);
        };
        let log_start = page.tail.log_start;
        let first_base = self.leader_reader()?.batch_base(&page, log_start);
        let again = leads(self)?;
        let same = again.is_some_and(|now| {
            now.generation == page.generation && now.tail.log_start == log_start
        });
        if !same {
            return Ok(None);
        }
        let first_base = first_base?;
        Ok(Some(LeadersLog {
            epochs: theirs,
            log_start,
            first_base,
            end: page.tail.end,
            deletions_gone: page.deletions_gone,
        }))
    }

    fn leaders_page(&self) -> Result<Option<StatePage>> {
        let Some(leader) = &self.leader else {
            return Ok(None);
        };
        leader.replica().proven_page()
    }
}

/// Whether a log that ends at `end` may hold values whose deletions the leader, or this replica itself, has
/// left out; or lacks values that a compaction removed for records that are cut off now.
fn lacks_deletions(
    replica: &Replica,
    own: &StatePage,
    end: Offset,
    leaders_gone: Offset,
) -> Result<bool> {
    let holds_any = end > own.tail.log_start;
    let is_cut = end < own.tail.end && end < replica.cleaned_to()?;
    Ok(holds_any && (is_cut || end < leaders_gone.max(own.deletions_gone)))
}
