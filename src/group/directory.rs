//! The groups' directories: completed in a staging directory, then renamed into place.

use std::sync::Arc;

use super::group_file::GroupFile;
use super::offsets_log::OffsetsLog;
use super::{expiry, member_file, offsets_sync};
use crate::disk::{Dir, EntryKind, Open, join};
use crate::error::{Error, Kind, Result, did_you_mean, near_names};
use crate::store::{StagingDir, StoreDir, layout};

/// The directory of a group.
///
/// # Errors
/// [`Kind::UnknownGroup`] with near names; [`Kind::Usage`] for an invalid name.
pub fn open(store: &StoreDir, group: &str) -> Result<Arc<dyn Dir>> {
    store.group_dir(group).map_err(|e| match e.kind() {
        Kind::UnknownGroup => unknown(store, group),
        _ => e,
    })
}

/// The directory of a group, which is made if it is missing.
pub fn open_or_create(store: &StoreDir, group: &str) -> Result<Arc<dyn Dir>> {
    match store.group_dir(group) {
        Err(e) if e.kind() == Kind::UnknownGroup => create(store, group)?,
        other => return other,
    }
    store.group_dir(group)
}

/// GROUP_ID_NOT_FOUND, with near names.
pub fn unknown(store: &StoreDir, group: &str) -> Error {
    let known = list(store).unwrap_or_default();
    let near = near_names(group, known.iter().map(String::as_str));
    let cure =
        did_you_mean(&near).unwrap_or_else(|| "'mq-groups list' shows the groups".to_owned());
    Error::new(
        Kind::UnknownGroup,
        format!(
            "GROUP_ID_NOT_FOUND: there is no group '{}' in {}",
            group.escape_debug(),
            store.path().display()
        ),
    )
    .cure(cure)
}

/// The names of all groups, sorted. Left out are deleted and expired ones, and those in which
/// nothing was ever committed and no member is alive: a member that failed to begin leaves one.
pub fn list(store: &StoreDir) -> Result<Vec<String>> {
    let mut names = list_all(store)?;
    // A damaged group counts; describing it reports the damage.
    names.retain(|name| {
        let there = store.group_dir(name).and_then(|dir| is_there(store, &dir));
        there.unwrap_or_else(|e| e.kind() != Kind::UnknownGroup)
    });
    Ok(names)
}

/// The names of all groups that have a directory, sorted.
pub fn list_all(store: &StoreDir) -> Result<Vec<String>> {
    let groups = store.groups_dir()?;
    let entries = groups
        .list(".")
        .map_err(|e| Error::io("list", groups.path(), e))?;
    let mut names = Vec::new();
    for entry in entries {
        if entry.kind != EntryKind::Dir || layout::is_staging_dir(&entry.name) {
            continue;
        }
        let Some(name) = layout::parse_group_dir(&entry.name) else {
            continue;
        };
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether the group is neither deleted, expired nor unused, or has a member.
fn is_there(store: &StoreDir, dir: &Arc<dyn Dir>) -> Result<bool> {
    let mut log = OffsetsLog::open_to_read(dir)?;
    log.refresh()?;
    let kept = expiry::retention_minutes(store, dir)?;
    let state = log.state();
    let gone = state.is_deleted()
        || expiry::is_overdue(state, kept, store.clock().now_ms())
        || state.is_unused() && GroupFile::read(dir, store.boot_id())?.sets_nothing();
    Ok(!gone || !alive(store, dir)?.is_empty())
}

/// The members in `group.json` that are alive.
pub fn alive(store: &StoreDir, dir: &Arc<dyn Dir>) -> Result<Vec<super::group_file::Member>> {
    let mut members = GroupFile::read(dir, store.boot_id())?.members;
    let mut alive = Vec::with_capacity(members.len());
    for member in members.drain(..) {
        if member_file::is_alive(&**dir, member.member_id)? {
            alive.push(member);
        }
    }
    Ok(alive)
}

/// Makes a group, unless another process was quicker.
fn create(store: &StoreDir, group: &str) -> Result<()> {
    let groups = store.groups_dir()?;
    let name = layout::group_dir(group)?;
    let staging = StagingDir::make(&groups)?;
    fill(store, &staging)?;
    match groups.rename_new(staging.name(), &name) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("make", join(&*groups, &name), e));
        }
        // Put in place; or another process was quicker, and this directory is removed.
        _ => drop(staging),
    }
    groups
        .sync()
        .map_err(|e| Error::io("sync", groups.path(), e))
}

/// Fills the new group's directory and syncs all of it, each directory after its content.
fn fill(store: &StoreDir, staging: &StagingDir) -> Result<()> {
    let dir = staging.dir();
    let error = |op, name: &str, e| Error::io(op, join(&**dir, name), e);
    dir.create_dir(layout::MEMBERS_DIR)
        .map_err(|e| error("make", layout::MEMBERS_DIR, e))?;
    let group = GroupFile::new(store.boot_id(), 0).encode();
    for (name, bytes) in [
        (layout::GROUP_FILE, group),
        (layout::OFFSETS_LOG, Vec::new()),
    ] {
        let file = dir
            .open(name, Open::CreateNew)
            .map_err(|e| error("make", name, e))?;
        file.write_at(&bytes, 0)
            .map_err(|e| error("write", name, e))?;
        file.sync_data().map_err(|e| error("sync", name, e))?;
        if name == layout::OFFSETS_LOG {
            offsets_sync::make(&**dir, file.id().map_err(|e| error("look at", name, e))?);
        }
    }
    dir.open_dir(layout::MEMBERS_DIR)
        .and_then(|members| members.sync())
        .map_err(|e| error("sync", layout::MEMBERS_DIR, e))?;
    dir.sync().map_err(|e| error("sync", ".", e))
}
