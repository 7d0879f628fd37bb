//! A group whose `offsets.log` is missing: its committed offsets are lost, and it can only be
//! deleted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::group_file::GroupFile;
use super::live_members::refuse_members;
use super::offsets_line::{Line, LineKind};
use super::{directory, member_file, offsets_sync};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::store::{FencedLock, Process, StoreDir, layout};

/// Whether the group in `dir` has no log.
pub(super) fn is_lost(dir: &dyn Dir) -> Result<bool> {
    match dir.id(layout::OFFSETS_LOG) {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io("look at", join(dir, layout::OFFSETS_LOG), e)),
    }
}

/// Deletes the group in `dir`: a new log says so. `false` if it has a log by now.
///
/// # Errors
/// [`Kind::NonEmptyGroup`] while members are alive; [`Kind::Busy`]; [`Kind::Fenced`];
/// [`Kind::Unknown`] if it is perhaps done.
pub(super) fn delete(
    store: &Arc<StoreDir>,
    group: &str,
    dir: &Arc<dyn Dir>,
    timeout: Duration,
) -> Result<bool> {
    let lock = FencedLock::of_group(Arc::clone(dir), Arc::clone(store.clock()));
    let guard = lock.acquire("delete the group", timeout)?;
    if !is_lost(&**dir)? {
        return Ok(false);
    }
    refuse_living(store, group, dir)?;
    // No epoch is used twice while group.json still has the last one.
    let epoch = GroupFile::read(dir, store.boot_id()).map_or(0, |file| file.group_epoch);
    let line = Line {
        n: guard.n(),
        time_ms: store.clock().now_ms(),
        kind: LineKind::Delete,
        member: None,
        epoch,
        entries: Vec::new(),
    };
    // In this order: rule 4 of `offsets_sync`.
    let staged = lock.stage(&line.encode())?;
    offsets_sync::remove_notes(&guard, None)?;
    offsets_sync::make(&**dir, staged.id()?);
    guard.publish(staged, layout::OFFSETS_LOG)?;
    Ok(true)
}

/// # Errors
/// [`Kind::NonEmptyGroup`] while members are alive.
pub(super) fn refuse_living(store: &Arc<StoreDir>, group: &str, dir: &Arc<dyn Dir>) -> Result<()> {
    let e = match directory::alive(store, dir) {
        Ok(members) => return refuse_members(group, &members),
        Err(e) if e.kind() == Kind::Damaged => e,
        Err(e) => return Err(e),
    };
    let here = Process::current(&**store.clock());
    let alive = member_file::entered_and_alive(&**dir, here)?;
    if alive.is_empty() {
        return Ok(());
    }
    let name = group.escape_debug();
    Err(e
        .with_kind(Kind::NonEmptyGroup)
        .at(format!("NON_EMPTY_GROUP: group '{name}' has live members"))
        .cure(format!("end them first: {}", alive.join(", "))))
}
