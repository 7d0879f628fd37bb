//! Changes by an administrator: offsets are set, groups deleted. Each is one critical section of
//! the group's lock, in which every member is found dead.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::describe::{ready_reader, topic_id_of};
use super::group_file::GroupFile;
use super::group_handle::{Group, GroupGuard};
use super::live_members::refuse_members;
use super::offsets_line::{LineKind, OffsetsEntry};
use super::offsets_state::OffsetsState;
use super::{directory, lost_log, member_file};
use crate::disk::Dir;
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;
use crate::types::{Offset, Scope, TopicName, TopicPartition, Uuid};

/// The wanted offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEntry {
    /// The partition.
    pub tp: TopicPartition,
    /// The next offset to be read.
    pub offset: Offset,
}

/// The change of one partition's offset, made or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetChange {
    /// The partition.
    pub tp: TopicPartition,
    /// The offset before.
    pub from: Option<Offset>,
    /// The offset after.
    pub to: Option<Offset>,
}

/// Sets committed offsets. The group is made if it is missing, as in Kafka. With `dry_run` nothing
/// is changed, but everything is checked. `notes` gets the problems of the group's files, a line
/// each; the same holds for all functions below.
///
/// # Errors
/// [`Kind::OffsetOutOfRange`] outside log start to high watermark; [`Kind::NonEmptyGroup`] while
/// members are alive; [`Kind::UnknownTopic`]; [`Kind::Unknown`] if it is perhaps done.
pub fn reset(
    store: &Arc<StoreDir>,
    group: &str,
    plan: &[CommitEntry],
    dry_run: bool,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    let mut entries = Vec::with_capacity(plan.len());
    for wanted in plan {
        entries.push(check(store, wanted)?);
    }
    if dry_run {
        let (before, members) = super::describe::observe(store, group)?;
        refuse_members(group, &members)?;
        return Ok(changes(plan, &entries, |tp, id| {
            before
                .as_ref()
                .and_then(|state| state.committed(&tp.topic, id, tp.partition))
        }));
    }
    write(store, group, plan, entries, timeout, notes)
}

/// Moves committed offsets of the topics with these ids: as [`reset`], but an offset is not taken for one
/// of a topic of the same name that was created later.
///
/// # Errors
/// [`Kind::UnknownTopic`] also for another topic of that name; as [`reset`].
pub fn commit_places(
    store: &Arc<StoreDir>,
    group: &str,
    places: &[(CommitEntry, Uuid)],
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    let mut plan = Vec::with_capacity(places.len());
    let mut entries = Vec::with_capacity(places.len());
    for (wanted, topic_id) in places {
        let entry = check(store, wanted)?;
        if entry.topic_id != *topic_id {
            let text = format!(
                "UNKNOWN_TOPIC_ID: offset {} is one of another topic: {} was deleted and created again",
                wanted.offset, wanted.tp.topic
            );
            return Err(Error::new(Kind::UnknownTopic, text)
                .cure("commit offsets of the topic that there is now"));
        }
        plan.push(wanted.clone());
        entries.push(entry);
    }
    write(store, group, &plan, entries, timeout, notes)
}

fn write(
    store: &Arc<StoreDir>,
    group: &str,
    plan: &[CommitEntry],
    entries: Vec<OffsetsEntry>,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    let mut group = Group::open_or_create(store, group, timeout)?;
    let held = hold_empty(&mut group, "reset offsets", notes)?;
    let done = changes(plan, &entries, |tp, id| {
        held.state().committed(&tp.topic, id, tp.partition)
    });
    let epoch = held.state().epoch_max();
    if !entries.is_empty() {
        held.write(LineKind::Reset, None, epoch, entries)?;
    }
    Ok(done)
}

/// Commits offsets by hand: as [`reset`], which is never a dry run here.
///
/// # Errors
/// Those of [`reset`].
pub fn commit(
    store: &Arc<StoreDir>,
    group: &str,
    plan: &[CommitEntry],
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    reset(store, group, plan, false, timeout, notes)
}

/// Deletes a group, also one whose `offsets.log` is missing: its offsets are gone. With `dry_run`
/// nothing is changed, but everything is checked.
///
/// # Errors
/// [`Kind::UnknownGroup`] with near names; [`Kind::NonEmptyGroup`] while members are alive;
/// [`Kind::Unknown`] if it is perhaps done.
pub fn delete(
    store: &Arc<StoreDir>,
    group: &str,
    dry_run: bool,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<()> {
    let dir = directory::open(store, group)?;
    if lost_log::is_lost(&*dir)? {
        let is_done = if dry_run {
            lost_log::refuse_living(store, group, &dir).map(|()| true)
        } else {
            lost_log::delete(store, group, &dir, timeout)
        };
        if is_done? {
            return Ok(());
        }
    }
    if dry_run {
        let (state, members) = super::describe::observe(store, group)?;
        refuse_members(group, &members)?;
        return match state {
            Some(state) if !state.is_deleted() => Ok(()),
            _ => Err(directory::unknown(store, group)),
        };
    }
    let mut opened = Group::open(store, group, timeout)?;
    let held = hold_empty(&mut opened, "delete the group", notes)?;
    if held.state().is_deleted() {
        drop(held);
        return Err(directory::unknown(store, group));
    }
    let epoch = held.state().epoch_max();
    held.write(LineKind::Delete, None, epoch, Vec::new())?;
    Ok(())
}

/// Deletes the offsets of topics, or of single partitions, all or none: the group is then as if it
/// never read them. The topics themselves may be gone; members may be alive, if none reads them
/// [KIP-496]. With `dry_run` nothing is changed, but everything is checked.
///
/// # Errors
/// [`Kind::UnknownTopic`] if the group has none of one of them; [`Kind::NonEmptyGroup`] while a
/// member reads one of the topics; [`Kind::Unknown`] if it is perhaps done.
pub fn delete_offsets(
    store: &Arc<StoreDir>,
    group: &str,
    scopes: &[Scope],
    dry_run: bool,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    if dry_run {
        let dir = directory::open(store, group)?;
        match GroupFile::read(&dir, store.boot_id()) {
            Ok(file) => {
                for scope in scopes {
                    refuse_readers(group, &*dir, &file, &scope.topic)?;
                }
            }
            // If the file is damaged, the readers are unknown: any live member counts as one.
            Err(e) if e.kind() == Kind::Damaged => {
                let (_, members) = super::describe::observe(store, group)?;
                refuse_members(group, &members)?;
            }
            Err(e) => return Err(e),
        }
        let state = super::describe::committed_offsets(store, group)?;
        return doomed(group, &state, scopes).map(|doomed| differences(&state, &doomed));
    }
    let mut opened = Group::open(store, group, timeout)?;
    let mut held = opened.hold("delete offsets")?;
    let file = held.group_file()?;
    notes.extend(held.notes());
    for scope in scopes {
        refuse_readers(group, &**held.guard().dir(), &file, &scope.topic)?;
    }
    let doomed = doomed(group, held.state(), scopes)?;
    let done = differences(held.state(), &doomed);
    let epoch = held.state().epoch_max();
    held.write(LineKind::Delete, None, epoch, doomed)?;
    Ok(done)
}

fn doomed(group: &str, state: &OffsetsState, scopes: &[Scope]) -> Result<Vec<OffsetsEntry>> {
    let mut by_topic: HashMap<&TopicName, Vec<usize>> = HashMap::new();
    for (at, scope) in scopes.iter().enumerate() {
        by_topic.entry(&scope.topic).or_default().push(at);
    }
    let mut found = vec![false; scopes.len()];
    let mut entries = Vec::new();
    for entry in state.entries() {
        let mut wanted = false;
        for at in by_topic.get(&entry.topic).into_iter().flatten() {
            let has = |scope: &Scope| scope.has(&entry.topic, entry.partition);
            if scopes.get(*at).is_some_and(has) {
                wanted = true;
                if let Some(found) = found.get_mut(*at) {
                    *found = true;
                }
            }
        }
        if wanted {
            entries.push(OffsetsEntry {
                offset: -1,
                leader_epoch: -1,
                ..entry
            });
        }
    }
    match scopes.iter().zip(found).find(|(_, found)| !found) {
        None => Ok(entries),
        Some((scope, _)) => {
            let group = group.escape_debug();
            let text = format!("group '{group}' has no committed offset of {scope}");
            Err(Error::new(Kind::UnknownTopic, text).cure("'mq-groups describe' shows its offsets"))
        }
    }
}

/// What entries change.
pub(super) fn differences(before: &OffsetsState, entries: &[OffsetsEntry]) -> Vec<OffsetChange> {
    let one = |entry: &OffsetsEntry| OffsetChange {
        tp: TopicPartition::new(entry.topic.clone(), entry.partition),
        from: before.last_offset(&entry.topic, entry.partition),
        to: (entry.offset >= 0).then_some(entry.offset),
    };
    entries.iter().map(one).collect()
}

/// Takes the lock of a group without a live member. `notes` gets the problems of its files, also if
/// the change is refused later.
pub(super) fn hold_empty<'a>(
    group: &'a mut Group,
    purpose: &str,
    notes: &mut Vec<String>,
) -> Result<GroupGuard<'a>> {
    let name = group.name().to_owned();
    let mut held = group.hold(purpose)?;
    let alive = held.alive()?;
    notes.extend(held.notes());
    refuse_members(&name, &alive)?;
    Ok(held)
}

/// Refuses a change of a topic's offsets while a live member reads it, or is about to.
fn refuse_readers(group: &str, dir: &dyn Dir, file: &GroupFile, topic: &TopicName) -> Result<()> {
    let state = file.state(dir)?;
    for (id, member) in &state.members {
        let reads = member.topics.contains(topic)
            || member.owned.iter().any(|tp| tp.topic == *topic)
            || member.subscription.matcher()?.matches(topic);
        if reads && member_file::is_alive(dir, *id)? {
            return Err(Error::new(
                Kind::NonEmptyGroup,
                format!(
                    "GROUP_SUBSCRIBED_TO_TOPIC: group '{}' has a live member that reads {topic}: {id} \
                     (process {} on {})",
                    group.escape_debug(),
                    member.pid,
                    member.host.escape_debug()
                ),
            )
            .cure("end it first: it would commit over the change"));
        }
    }
    Ok(())
}

/// The line's entry for an offset that lies within its log.
fn check(store: &Arc<StoreDir>, wanted: &CommitEntry) -> Result<OffsetsEntry> {
    let CommitEntry { tp, offset } = wanted;
    let topic_id = topic_id_of(store, tp)?;
    let page = ready_reader(store, tp)?.page()?;
    let (start, end) = (page.tail.log_start, page.high_watermark);
    if !(start..=end).contains(offset) {
        return Err(Error::new(
            Kind::OffsetOutOfRange,
            format!("OFFSET_OUT_OF_RANGE: {tp} has offsets {start} to {end}, not {offset}"),
        )
        .cure(format!("use a number from {start} to {end}")));
    }
    let (topic, partition) = (tp.topic.clone(), tp.partition);
    Ok(OffsetsEntry {
        topic,
        topic_id,
        partition,
        offset: *offset,
        leader_epoch: -1,
    })
}

fn changes(
    plan: &[CommitEntry],
    entries: &[OffsetsEntry],
    before: impl Fn(&TopicPartition, Uuid) -> Option<super::offsets_state::Committed>,
) -> Vec<OffsetChange> {
    plan.iter()
        .zip(entries)
        .map(|(wanted, entry)| OffsetChange {
            tp: wanted.tp.clone(),
            from: before(&wanted.tp, entry.topic_id).map(|committed| committed.offset),
            to: Some(wanted.offset),
        })
        .collect()
}

#[cfg(test)]
mod tests;
