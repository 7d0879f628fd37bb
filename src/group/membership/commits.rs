//! A member's commits, releases and its leave: each in one critical section of the group's lock.

use std::collections::BTreeSet;

use super::Membership;
use super::effects::put;
use super::errors::{fenced, refused};
use crate::error::{Error, Kind, Result};
use crate::group::group_handle::GroupGuard;
use crate::group::machine::{self, GroupEvent};
use crate::group::offsets_line::{LineKind, OffsetsEntry};
use crate::group::state::GroupState;
use crate::types::{TopicPartition, Uuid};

impl Membership {
    /// Commits where the group starts partitions without a committed offset; other partitions are
    /// not changed.
    ///
    /// # Errors
    /// Those of [`Membership::commit`].
    pub fn commit_starts(&mut self, entries: Vec<OffsetsEntry>) -> Result<()> {
        let id = self.id();
        let (mut held, state) = self.locked("commit start offsets")?;
        let Some(me) = state.members.get(&id) else {
            return Err(fenced(id));
        };
        let epoch = me.epoch;
        let entries: Vec<OffsetsEntry> = entries
            .into_iter()
            .filter(|e| {
                held.state()
                    .committed(&e.topic, e.topic_id, e.partition)
                    .is_none()
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        held.append(LineKind::Commit, Some(id.to_string()), epoch, entries)?;
        held.finish()
    }

    /// Commits offsets up to which the output was written. Partitions that this member does not own
    /// are left out. Durable when it returns.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if the group no longer has this member, or the lock was taken over while
    /// this process was stopped: a member that is still in the group commits again;
    /// [`Kind::Unknown`] if it is perhaps committed; [`Kind::Busy`], [`Kind::DiskFull`]: it is not.
    pub fn commit(&mut self, entries: Vec<OffsetsEntry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let id = self.id();
        let (mut held, state) = self.locked("commit offsets")?;
        if append_commit(&mut held, state, id, entries)? {
            held.finish()
        } else {
            Ok(())
        }
    }

    /// Releases partitions, with a last commit of them: in one critical section, so that their next
    /// owner begins there.
    ///
    /// # Errors
    /// Those of [`Membership::commit`].
    pub fn release(
        &mut self,
        partitions: BTreeSet<TopicPartition>,
        entries: Vec<OffsetsEntry>,
    ) -> Result<()> {
        let id = self.id();
        let boot_id = self.store.boot_id();
        let (mut held, state) = self.locked("release partitions")?;
        let (next, effects) =
            machine::step(state, GroupEvent::Release { id, partitions }).map_err(refused)?;
        let appended = append_commit(&mut held, state, id, entries)?;
        let put = put(&held, boot_id, &next, &effects);
        put.map_err(|e| perhaps_committed(appended, e))?;
        let seen = held.open_group_file();
        let seen = seen.map_err(|e| perhaps_committed(appended, e))?;
        if appended {
            held.finish()?;
        } else {
            drop(held);
        }
        self.take_state(next, seen);
        Ok(())
    }

    /// Leaves the group, with a last commit. A static member keeps its partitions for a session
    /// timeout.
    ///
    /// # Errors
    /// Those of [`Membership::commit`]; it has left even so, as by a crash.
    pub fn leave(mut self, entries: Vec<OffsetsEntry>) -> Result<()> {
        let id = self.id();
        let (boot_id, is_static) = (self.store.boot_id(), self.is_static);
        let (mut held, state) = self.locked("leave the group")?;
        if !state.members.contains_key(&id) {
            // Removed before: there is no entry to remove, and no offset that could be committed.
            return if entries.is_empty() {
                Ok(())
            } else {
                Err(fenced(id))
            };
        }
        let removal = if is_static {
            None
        } else {
            Some(machine::step(state, GroupEvent::Remove { id }).map_err(refused)?)
        };
        let appended = append_commit(&mut held, state, id, entries)?;
        if let Some((next, effects)) = removal {
            let put = put(&held, boot_id, &next, &effects);
            put.map_err(|e| match e.kind() {
                Kind::Fenced if appended => e.with_kind(Kind::Unknown),
                _ => perhaps_committed(appended, e),
            })?;
        }
        if !appended {
            return Ok(());
        }
        held.finish().map_err(|e| e.with_kind(Kind::Unknown))
    }
}

/// Writes a commit of the entries that the member owns; returns whether there were any.
fn append_commit(
    held: &mut GroupGuard<'_>,
    state: &GroupState,
    id: Uuid,
    entries: Vec<OffsetsEntry>,
) -> Result<bool> {
    let Some(me) = state.members.get(&id) else {
        return Err(fenced(id));
    };
    let owned: Vec<OffsetsEntry> = entries
        .into_iter()
        .filter(|entry| {
            let tp = TopicPartition::new(entry.topic.clone(), entry.partition);
            let topic = state.topics.get(&entry.topic);
            let committed = held
                .state()
                .committed(&entry.topic, entry.topic_id, entry.partition);
            // A member that was stopped in the middle of a release may be behind another.
            let is_on = committed.is_none_or(|committed| committed.offset <= entry.offset);
            let is_own = me.owned.contains(&tp)
                && topic.is_some_and(|topic| topic.topic_id == entry.topic_id);
            is_own && is_on
        })
        .collect();
    if owned.is_empty() {
        return Ok(false);
    }
    held.append(LineKind::Commit, Some(id.to_string()), me.epoch, owned)?;
    Ok(true)
}

/// The error for a failure after a commit's line was written, which may count or be lost. A
/// takeover of the lock stays one: a member that is still in the group repeats all of it.
fn perhaps_committed(appended: bool, e: Error) -> Error {
    if appended && e.kind() != Kind::Fenced {
        e.with_kind(Kind::Unknown)
            .cure("'mq-groups describe' shows whether the last offsets are committed")
    } else {
        e
    }
}
