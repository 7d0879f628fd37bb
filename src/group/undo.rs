//! Undoes the last change by an administrator; and copies one group's offsets to another.
//!
//! Both bring a group to a complete state: each partition's offset as it is there, and none where
//! there is none. Nothing is checked against the logs, since that state was valid before: a member
//! reports it if its log has changed meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::change::{OffsetChange, differences, hold_empty};
use super::describe::observe_empty;
use super::directory;
use super::group_handle::Group;
use super::offsets_line::{LineKind, OffsetsEntry};
use super::offsets_state::OffsetsState;
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;
use crate::store::topics::topic_file;
use crate::types::{Timestamp, TopicPartition};

/// A change that is undone, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The kind of the change.
    pub kind: LineKind,
    /// When it was made, milliseconds since the epoch.
    pub time_ms: Timestamp,
    /// Whether members have committed since: these offsets go back, too.
    pub members_since: bool,
    /// The offsets that change.
    pub changes: Vec<OffsetChange>,
}

/// Plans what [`undo`] would do.
///
/// # Errors
/// Those of [`undo`].
pub fn plan_undo(store: &Arc<StoreDir>, group: &str) -> Result<Undo> {
    let (state, _) = super::describe::observe(store, group)?;
    if state.is_none() {
        return Err(directory::unknown(store, group));
    }
    let state = observe_empty(store, group)?;
    Ok(step(group, &state)?.0)
}

/// Undoes the last change that was made by an administrator (reset, commit by hand, delete, undo),
/// not by members: the group's offsets are as they were right before it. A deleted group exists
/// again. Undoing an undo makes the change again.
///
/// `planned` is the result of [`plan_undo`]: only that change is undone.
///
/// # Errors
/// [`Kind::UnknownGroup`] if there is no such group, or nothing to undo; [`Kind::NonEmptyGroup`]
/// while members are alive; [`Kind::Busy`] if there was another change since it was planned;
/// [`Kind::Unknown`] if it is perhaps done.
pub fn undo(
    store: &Arc<StoreDir>,
    group: &str,
    planned: &Undo,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Undo> {
    let mut opened = Group::open(store, group, timeout)?;
    let held = hold_empty(&mut opened, "undo a change", notes)?;
    let (undo, entries) = step(group, held.state())?;
    if (undo.kind, undo.time_ms) != (planned.kind, planned.time_ms) {
        return Err(changed_meanwhile(group));
    }
    let epoch = held.state().epoch_max();
    held.write(LineKind::Undo, None, epoch, entries)?;
    Ok(undo)
}

fn step(group: &str, state: &OffsetsState) -> Result<(Undo, Vec<OffsetsEntry>)> {
    let (Some((kind, time_ms)), Some(undone)) = (state.last_change(), state.undone()) else {
        let group = group.escape_debug();
        return Err(Error::new(
            Kind::UnknownGroup,
            format!("group '{group}' has no change to undo"),
        )
        .cure("undo reverts changes by mq-groups; members' commits stay"));
    };
    let entries = state.difference(&undone);
    let undo = Undo {
        kind,
        time_ms,
        members_since: state.committed_since_change(),
        changes: differences(state, &entries),
    };
    Ok((undo, entries))
}

/// Gives the group `to` the offsets of `from`, and none where that has none. `to` is made if it is
/// missing. With `dry_run` nothing is changed, but everything is checked. Returns the outcome for
/// each partition that either has an offset of, also if it does not change.
///
/// # Errors
/// [`Kind::UnknownGroup`] if `from` is missing or has no offset; [`Kind::NonEmptyGroup`] while
/// members of `to` are alive; [`Kind::Unknown`] if it is perhaps done.
pub fn clone_offsets(
    store: &Arc<StoreDir>,
    from: &str,
    to: &str,
    dry_run: bool,
    timeout: Duration,
    notes: &mut Vec<String>,
) -> Result<Vec<OffsetChange>> {
    let source = living(store, super::describe::present(store, from)?)?;
    if source.entries().next().is_none() {
        return Err(Error::new(
            Kind::UnknownGroup,
            format!("group '{}' has no committed offset", from.escape_debug()),
        )
        .cure("'mq-groups describe' shows what groups have"));
    }
    if dry_run {
        let before = observe_empty(store, to)?;
        return Ok(clone_plan(&before, &source));
    }
    let mut opened = Group::open_or_create(store, to, timeout)?;
    let held = hold_empty(&mut opened, "clone offsets", notes)?;
    let entries = held.state().difference(&source);
    let done = clone_plan(held.state(), &source);
    let epoch = held.state().epoch_max();
    if !entries.is_empty() {
        held.write(LineKind::Reset, None, epoch, entries)?;
    }
    Ok(done)
}

fn clone_plan(before: &OffsetsState, source: &OffsetsState) -> Vec<OffsetChange> {
    let mut plan = differences(before, &before.difference(source));
    let changed: HashSet<TopicPartition> = plan.iter().map(|change| change.tp.clone()).collect();
    let all: Vec<OffsetsEntry> = source.entries().collect();
    let kept = differences(before, &all).into_iter();
    plan.extend(kept.filter(|kept| !changed.contains(&kept.tp)));
    plan.sort_unstable_by(|a, b| a.tp.cmp(&b.tp));
    plan
}

/// The offsets of topics that still exist.
fn living(store: &Arc<StoreDir>, mut state: OffsetsState) -> Result<OffsetsState> {
    let mut gone = Vec::new();
    for entry in state.entries() {
        let found = topic_file::read_if_there(store, &entry.topic)?;
        if found.is_none_or(|(meta, _)| meta.topic_id != entry.topic_id) {
            gone.push(entry);
        }
    }
    state.forget(&gone);
    Ok(state)
}

fn changed_meanwhile(group: &str) -> Error {
    let group = group.escape_debug();
    Error::new(
        Kind::Busy,
        format!("group '{group}' was changed by another command meanwhile"),
    )
    .cure("check it with 'mq-groups describe', then try again")
}
