//! One member of a group: the driver of the [state machine](super::machine).
//!
//! 1. Everything that changes together is changed in one critical section of the group's lock,
//!    after the group is read under it: a release and its commit, a removal and the partitions that
//!    it frees.
//! 2. A lock proves that a member is alive; its authority is its entry in `group.json`. A member
//!    without an entry is fenced: ids are never used twice.
//! 3. No clock is compared across processes: a member is hung if its heartbeat did not move for a
//!    session timeout of this process's own unbroken watching.
//!
//! It has no thread and waits for nothing but the group's lock; the caller decides when to check.

mod commits;
mod effects;
mod entry;
mod errors;
mod join_options;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::group_file::GroupFile;
use super::group_handle::{Group, GroupGuard};
use super::machine::{self, GroupEvent};
use super::member_file::{self, HeartbeatReading, MemberFile, MemberHeartbeat};
use super::offsets_line::LineKind;
use super::offsets_state::{Committed, OffsetsState};
use super::state::{GroupState, MemberState};
use crate::disk::{Dir, File, join};
use crate::error::{Error, Result};
use crate::store::{StoreDir, layout};
use crate::timing::{MEMBER_HEARTBEAT_MAX, SESSION_HEARTBEATS, SESSION_WATCH_BREAK};
use crate::types::{TopicName, TopicPartition, Uuid};
use effects::put;
pub use entry::owned_by;
use entry::{enter, is_change, see_topics};
use errors::{refused, with_cure};
pub use join_options::JoinOptions;

/// This many members are probed every [`MEMBER_HEARTBEAT_MAX`], twice as many half as often.
const WATCHED_OFTEN: u32 = 25;

/// The minimum time between two reads of `group.json`, per member of the group: every member reads
/// it at each change, so in a large group one read covers several changes.
const READ_PAUSE: Duration = Duration::from_micros(300);
/// The maximum of that pause, however many members there are.
const READ_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Membership of a group. Dropping it without [`Membership::leave`] acts like a crash: other
/// members find it dead.
#[derive(Debug)]
pub struct Membership {
    store: Arc<StoreDir>,
    group: Group,
    file: MemberFile,
    is_static: bool,
    /// The entries of other members may be older.
    state: GroupState,
    others_are_old: bool,
    reconciling: usize,
    /// The open `group.json` that was read: it is current while its path names it.
    seen: Arc<dyn File>,
    read_at: Duration,
    watched: HashMap<Uuid, WatchedMember>,
    /// Topics whose files could not be read at the last check.
    unreadable: Vec<(TopicName, Error)>,
}

/// A watcher's last reading of another member.
#[derive(Debug)]
struct WatchedMember {
    reading: HeartbeatReading,
    since: Duration,
    observed: Duration,
}

/// A member to be removed, and the reading that shows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The member.
    pub id: Uuid,
    reading: HeartbeatReading,
}

impl Membership {
    /// Joins the group, which is made if it is missing.
    ///
    /// # Errors
    /// [`crate::error::Kind::Busy`] if the holder of the instance id is alive, naming its process;
    /// [`crate::error::Kind::Usage`] for an invalid group name, or an assignor that the group's
    /// members do not use; [`crate::error::Kind::Damaged`] for a `group.json` that is unreadable
    /// while members are alive.
    pub fn join(store: &Arc<StoreDir>, group: &str, options: &JoinOptions) -> Result<Self> {
        let mut group = Group::open_or_create(store, group, options.lock_timeout)?;
        // A joining member retries more often than members that release and take over: otherwise
        // a rebalance keeps the joins out, and each late join causes another rebalance.
        group.expect_members(member_file::count(&**group.dir())? / 2);
        let dir = Arc::clone(group.dir());
        let matcher = options.subscription.matcher()?;
        let file = MemberFile::create(&*dir, &**store.clock())?;
        let mut held = group.hold("join the group")?;
        match enter(store, &mut held, &file, options, &matcher) {
            Ok((state, unreadable)) => {
                let seen = held.open_group_file()?;
                let reconciling = state.reconciling();
                if held.state().is_deleted() {
                    // The group is in use again.
                    let (member, epoch) = (file.id().to_string(), state.group_epoch);
                    held.write(LineKind::Live, Some(member), epoch, Vec::new())?;
                } else {
                    drop(held);
                }
                Ok(Membership {
                    store: Arc::clone(store),
                    group,
                    is_static: options.instance_id.is_some(),
                    file,
                    state,
                    others_are_old: false,
                    reconciling,
                    seen,
                    read_at: store.clock().monotonic(),
                    watched: HashMap::new(),
                    unreadable,
                })
            }
            Err(e) => {
                // If that fails, the next member to join finds it unlocked and removes it.
                let _ = held.guard().rename_in(&layout::member_file(&file.id()));
                Err(e)
            }
        }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.file.id()
    }

    /// The group's directory: a change of `group.json` is a rename in it.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        self.group.dir()
    }

    /// The open `group.json` that this member read last.
    pub fn seen(&self) -> &Arc<dyn File> {
        &self.seen
    }

    /// Writes its heartbeat, due every [`Membership::heartbeat_interval`].
    pub fn heartbeat(&self) -> MemberHeartbeat {
        self.file.heartbeat()
    }

    /// The interval between two heartbeats.
    pub fn heartbeat_interval(session_timeout: Duration) -> Duration {
        MEMBER_HEARTBEAT_MAX.min(session_timeout / SESSION_HEARTBEATS)
    }

    /// The problems of the group's files that are no reason to stop.
    pub fn notes(&self) -> Vec<String> {
        self.group.notes()
    }

    /// The group, as it was last read; the other members' entries may be older
    /// ([`Membership::refresh_others`]).
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    /// This member, as it was last read; `None`: it was removed.
    pub fn me(&self) -> Option<&MemberState> {
        self.state.members.get(&self.id())
    }

    /// The number of members before this one: members act in this order when each of them could.
    pub fn rank(&self) -> usize {
        let id = self.id();
        self.state
            .members
            .keys()
            .take_while(|other| **other < id)
            .count()
    }

    /// Checks whether `group.json` was replaced, and if so reads it, unless it was read just
    /// before; returns whether it was read.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`], with a remedy.
    pub fn refresh(&mut self) -> Result<bool> {
        let dir = Arc::clone(self.group.dir());
        if is_current(&*dir, &*self.seen)? || !self.read_pause().is_zero() {
            return Ok(false);
        }
        self.read_at = self.store.clock().monotonic();
        let (id, boot_id) = (self.id(), self.store.boot_id());
        let (file, seen) = GroupFile::read_own(&dir, boot_id, id).map_err(with_cure)?;
        self.reconciling = file.reconciling;
        let mut own = file.state(&*dir).map_err(with_cure)?;
        let me = own.members.remove(&id);
        let mut members = std::mem::take(&mut self.state.members);
        match me {
            Some(me) => members.insert(id, me),
            None => members.remove(&id),
        };
        own.members = members;
        self.state = own;
        self.others_are_old = true;
        self.seen = seen;
        Ok(true)
    }

    /// Reads `group.json` for all members, if it was only read for this one.
    ///
    /// # Errors
    /// Those of [`Membership::refresh`].
    pub fn refresh_others(&mut self) -> Result<()> {
        if !self.others_are_old {
            return Ok(());
        }
        let dir = Arc::clone(self.group.dir());
        let (file, seen) = GroupFile::read_open(&dir, self.store.boot_id()).map_err(with_cure)?;
        let state = file.state(&*dir).map_err(with_cure)?;
        self.take_state(state, seen);
        Ok(())
    }

    /// Takes a complete state.
    fn take_state(&mut self, state: GroupState, seen: Arc<dyn File>) {
        self.group.expect_members(state.members.len());
        self.watched.retain(|id, _| state.members.contains_key(id));
        self.reconciling = state.reconciling();
        self.state = state;
        self.others_are_old = false;
        self.seen = seen;
    }

    /// How many members had not reached their targets yet.
    pub fn reconciling(&self) -> usize {
        self.reconciling
    }

    /// How long [`Membership::refresh`] will not read yet, if there is anything to read.
    pub fn refresh_due(&self) -> Result<Option<Duration>> {
        let is_read = is_current(&**self.group.dir(), &*self.seen)?;
        Ok((!is_read).then(|| self.read_pause()))
    }

    fn read_pause(&self) -> Duration {
        let members = u32::try_from(self.state.members.len()).unwrap_or(u32::MAX);
        let pause = READ_PAUSE.saturating_mul(members).min(READ_PAUSE_MAX);
        (self.read_at + pause).saturating_sub(self.store.clock().monotonic())
    }

    /// Reads the new lines of `offsets.log`.
    pub fn refresh_offsets(&mut self) -> Result<()> {
        self.group.refresh()
    }

    /// All offsets, as they were last read.
    pub fn offsets(&self) -> &OffsetsState {
        self.group.state()
    }

    /// The offset committed for a partition of the topic with that id, as it was last read.
    pub fn committed(&self, tp: &TopicPartition, topic_id: Uuid) -> Option<Committed> {
        self.group
            .state()
            .committed(&tp.topic, topic_id, tp.partition)
    }

    /// Makes the targets, if they are out of date, and no other member made them since this member
    /// read the group: joins after that have to calm down first.
    pub fn assign(&mut self) -> Result<()> {
        let seen = self.state.assignment_epoch;
        self.change("assign partitions", |state, _| {
            if state.assignment_epoch == seen && state.group_epoch > seen {
                vec![GroupEvent::Assign]
            } else {
                Vec::new()
            }
        })
    }

    /// Writes the current topics to the group, if they changed.
    pub fn update_topics(&mut self) -> Result<()> {
        self.refresh_others()?;
        let seen = see_topics(&self.store, &self.state, None)?;
        self.unreadable = seen.unreadable;
        if !is_change(&self.state, &seen.topics, &seen.wanted) {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        self.change_or("update topics", |state, _| {
            let seen = see_topics(&store, state, None)?;
            Ok(vec![GroupEvent::Topics {
                topics: seen.topics,
                wanted: seen.wanted,
            }])
        })
    }

    /// Topics whose files could not be read at the last check, each with its error. A topic that
    /// was known before stays as it was.
    pub fn take_unreadable(&mut self) -> Vec<(TopicName, Error)> {
        std::mem::take(&mut self.unreadable)
    }

    /// The other members that look dead or hung by now, and may be removed.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn suspects(&mut self) -> Result<Vec<Suspect>> {
        self.refresh_others()?;
        let dir = Arc::clone(self.group.dir());
        let own = self.id();
        let mut suspects = Vec::new();
        for (id, member) in &self.state.members {
            if *id == own {
                continue;
            }
            let reading = member_file::probe(&*dir, *id)?;
            let now = self.store.clock().monotonic();
            let timeout = Duration::from_millis(member.session_timeout_ms);
            let seen = self.watched.entry(*id).or_insert(WatchedMember {
                reading,
                since: now,
                observed: now,
            });
            let slept = now.saturating_sub(seen.observed) > timeout / SESSION_WATCH_BREAK;
            if seen.reading != reading || slept {
                (seen.reading, seen.since) = (reading, now);
            }
            seen.observed = now;
            let dead = reading == HeartbeatReading::Dead && member.instance_id.is_none();
            if dead || now.saturating_sub(seen.since) >= timeout {
                suspects.push(Suspect { id: *id, reading });
            }
        }
        Ok(suspects)
    }

    /// The longest interval between two checks for dead or hung members. It grows with the number
    /// of members: there are more to check, and more to do the checks.
    pub fn watch_interval(&self) -> Duration {
        let members = u32::try_from(self.state.members.len()).unwrap_or(u32::MAX);
        let shortest = self
            .state
            .members
            .values()
            .map(|m| m.session_timeout_ms)
            .min();
        let shortest = Duration::from_millis(shortest.unwrap_or(u64::MAX).max(60));
        let longest = MEMBER_HEARTBEAT_MAX * (1 + members / WATCHED_OFTEN).min(10);
        longest.min(shortest / (2 * SESSION_WATCH_BREAK))
    }

    /// Removes the suspects whose reading is still the same.
    pub fn evict(&mut self, suspects: &[Suspect]) -> Result<()> {
        let dir = Arc::clone(self.group.dir());
        self.change_or("remove dead members", |state, _| {
            let mut events = Vec::new();
            for Suspect { id, reading } in suspects {
                if state.members.contains_key(id) && member_file::probe(&*dir, *id)? == *reading {
                    events.push(GroupEvent::Remove { id: *id });
                }
            }
            Ok(events)
        })
    }

    /// Writes that the group is in use, if its offsets would expire otherwise.
    ///
    /// # Errors
    /// Those of [`Membership::commit`].
    pub fn say_alive(&mut self) -> Result<()> {
        let (id, epoch) = (self.id(), self.me().map_or(0, |me| me.epoch));
        if self.group.is_live_due()? {
            let held = self.group.hold("mark the group as in use")?;
            held.write_live_if_due(id, epoch)?;
        }
        Ok(())
    }

    /// Takes the lock, and reads the group as it is now.
    fn locked(&mut self, purpose: &str) -> Result<(GroupGuard<'_>, &GroupState)> {
        let dir = Arc::clone(self.group.dir());
        let mut held = self.group.hold(purpose)?;
        if self.others_are_old || !is_current(&*dir, &*self.seen)? {
            let (file, seen) = held.group_file_open()?;
            self.state = file.state(&*dir).map_err(with_cure)?;
            self.reconciling = self.state.reconciling();
            self.others_are_old = false;
            self.seen = seen;
        }
        Ok((held, &self.state))
    }

    fn change(
        &mut self,
        purpose: &str,
        events: impl FnOnce(&GroupState, Uuid) -> Vec<GroupEvent>,
    ) -> Result<()> {
        self.change_or(purpose, |state, id| Ok(events(state, id)))
    }

    /// Applies events in one critical section; nothing is written if nothing changes.
    fn change_or(
        &mut self,
        purpose: &str,
        events: impl FnOnce(&GroupState, Uuid) -> Result<Vec<GroupEvent>>,
    ) -> Result<()> {
        let (id, boot_id) = (self.id(), self.store.boot_id());
        let (held, state) = self.locked(purpose)?;
        let mut next = state.clone();
        let mut all_effects = Vec::new();
        for event in events(state, id)? {
            let (stepped, effects) = machine::step(&next, event).map_err(refused)?;
            next = stepped;
            all_effects.extend(effects);
        }
        if next == *state {
            return Ok(());
        }
        put(&held, boot_id, &next, &all_effects)?;
        let seen = held.open_group_file()?;
        drop(held);
        self.take_state(next, seen);
        Ok(())
    }
}

fn is_current(dir: &dyn Dir, seen: &dyn File) -> Result<bool> {
    let error = |e| Error::io("look at", join(dir, layout::GROUP_FILE), e);
    match dir.identity(layout::GROUP_FILE) {
        Ok(found) => seen.is(found).map_err(error),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(error(e)),
    }
}

#[cfg(test)]
mod tests;
