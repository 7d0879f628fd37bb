//! Creates a store in place: a mount point can become one, and keeps its mode.
//!
//! 1. The lock is created whole in its own directory and renamed to `lock.0`, in a directory that
//!    is empty. From then on that is an unfinished store: a process that opens it completes it.
//! 2. A process that completes it holds the lock, renames it beyond `lock.0` first, and puts
//!    `store.json` in place last. Each file is put in place by a rename that replaces nothing, so
//!    that two such processes agree; all of it is synced before `store.json` is.
//! 3. In a whole store `lock.0` is never the lock: a creator that was stopped before its rename may
//!    put one there at any time. The next holder removes it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::brokers::{BrokerFile, MetaProperties};
use super::lock::{FencedGuard, FencedLock};
use super::small_file::read_small;
use super::staging::{self, StagingDir, Suspects};
use super::store_file::StoreFile;
use super::usability::{denied, is_denied, refuse_network};
use super::{json_file, layout};
use crate::clock::Clock;
use crate::disk::{Dir, Disk, Entry, join};
use crate::error::{Error, Kind, Result};
use crate::types::{EMBEDDED_BROKER, Uuid};

/// The timeout for the lock of an unfinished store.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A rename can hide the lock from one listing, not from this many.
const POLLS: usize = 3;

/// What a directory without `store.json` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirContent {
    /// Nothing, or what dead creators left.
    Empty,
    /// An unfinished store: there is a lock.
    Unfinished,
    /// Foreign files, or what is left of a store.
    Foreign,
}

/// Classifies a directory without `store.json`. A store that has topics or groups does not count as
/// unfinished, since completing it would hide what it lost.
pub(crate) fn observe(root: &dyn Dir) -> Result<DirContent> {
    for _ in 0..POLLS {
        let entries = list(root, ".")?;
        let is_nothing = |entry: &Entry| {
            layout::is_staging_dir(&entry.name)
                || layout::is_staged_file(&entry.name)
                || entry.name == layout::LOST_FOUND
        };
        let rest: Vec<&str> = entries
            .iter()
            .filter(|entry| !is_nothing(entry))
            .map(|entry| entry.name.as_str())
            .collect();
        if rest.is_empty() {
            return Ok(DirContent::Empty);
        }
        let (locks, rest): (Vec<&str>, Vec<&str>) = rest
            .into_iter()
            .partition(|name| layout::parse_lock_dir(name).is_some());
        if !rest.iter().all(|name| SKELETON.contains(name)) || !is_skeleton(root)? {
            return Ok(DirContent::Foreign);
        }
        if !locks.is_empty() {
            return Ok(DirContent::Unfinished);
        }
    }
    Ok(DirContent::Foreign)
}

const SKELETON: [&str; 4] = [
    layout::TOPICS_DIR,
    layout::DELETED_DIR,
    layout::GROUPS_DIR,
    layout::BROKERS_DIR,
];

/// Whether what there is of a store contains only what a creator puts there.
fn is_skeleton(root: &dyn Dir) -> Result<bool> {
    let broker = layout::broker_dir(EMBEDDED_BROKER);
    let id = EMBEDDED_BROKER.to_string();
    let logs = format!("{broker}/{}", layout::LOGS_DIR);
    for (dir, may_hold) in [
        (layout::TOPICS_DIR, &[][..]),
        (layout::DELETED_DIR, &[]),
        (layout::GROUPS_DIR, &[]),
        (layout::BROKERS_DIR, &[id.as_str()]),
        (&broker, &[layout::LOGS_DIR, layout::BROKER_FILE]),
        (&logs, &[layout::META_PROPERTIES]),
    ] {
        let entries = list(root, dir)?;
        if !entries
            .iter()
            .all(|entry| may_hold.contains(&entry.name.as_str()))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(root: &dyn Dir, dir: &str) -> Result<Vec<Entry>> {
    match root.list(dir) {
        Ok(entries) => Ok(entries),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) && dir != "." => Ok(Vec::new()),
        Err(e) => Err(Error::io("list", join(root, dir), e)),
    }
}

/// Creates a store at `path`, or finds that another creator was faster; the caller opens it to see
/// which.
pub(crate) fn create(disk: &dyn Disk, clock: &Arc<dyn Clock>, path: &Path) -> Result<()> {
    refuse_network(disk, path)?;
    let refused = |e: io::Error| {
        if is_denied(&e) {
            denied(path, "made", e)
        } else {
            Error::io("make", path, e)
        }
    };
    disk.create_dir_all(path).map_err(refused)?;
    let root = disk.open_dir_through_links(path).map_err(refused)?;
    // From here on it uses the directory that is open, whatever its path names.
    if observe(&*root)? != DirContent::Empty {
        return Ok(());
    }
    let staging = StagingDir::make(&root)?;
    let from = format!("{}/{}", staging.name(), layout::lock_dir(0));
    match root.rename_new(&from, &layout::lock_dir(0)) {
        Ok(()) => {}
        // Another creator's lock is, or was, there, and that creator took this one for dead.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
            ) => {}
        Err(e) => return Err(Error::io("put the lock in place in", path, e)),
    }
    root.sync().map_err(|e| Error::io("sync", path, e))?;
    // Releases the lock as well.
    drop(staging);
    complete(&root, clock)
}

/// Completes an unfinished store, if no other process has by now.
///
/// # Errors
/// [`Kind::Busy`] naming the process that does; [`Kind::UnusableStore`] if this user may not write.
pub(crate) fn complete(root: &Arc<dyn Dir>, clock: &Arc<dyn Clock>) -> Result<()> {
    if StoreFile::read_if_there(&**root)?.is_some() {
        return Ok(());
    }
    let lock = FencedLock::of_unfinished_store(Arc::clone(root), Arc::clone(clock));
    let mut guard = match lock.acquire("make the store", TIMEOUT) {
        // This process was stopped, and another one took its lock and completes the store.
        Err(e) if e.kind() == Kind::Fenced => return Ok(()),
        other => other?,
    };
    if StoreFile::read_if_there(&**root)?.is_some() || observe(&**root)? != DirContent::Unfinished {
        return Ok(());
    }
    match guard.rename_beyond(0) {
        Err(e) if e.kind() == Kind::Fenced || is_taken(&e) => return Ok(()),
        done => done?,
    }
    match fill(&guard) {
        Err(e) if e.kind() == Kind::Fenced => Ok(()),
        done => done,
    }
}

/// Another process's lock is beyond `lock.0` already: this process's lock is the stray one.
fn is_taken(error: &Error) -> bool {
    error
        .io_source()
        .is_some_and(|e| e.kind() == io::ErrorKind::AlreadyExists)
}

/// Fills the store's directory and syncs all of it, each directory after what is in it.
fn fill(guard: &FencedGuard) -> Result<()> {
    let root = &**guard.dir();
    // Only cleaning up: the daemon removes what stays.
    let _ = staging::remove_dead(root, &mut Suspects::default(), Duration::ZERO);
    let broker = layout::broker_dir(EMBEDDED_BROKER);
    let logs = format!("{broker}/{}", layout::LOGS_DIR);
    let dirs = [
        layout::TOPICS_DIR,
        layout::DELETED_DIR,
        layout::GROUPS_DIR,
        layout::BROKERS_DIR,
        &broker,
        &logs,
    ];
    for dir in dirs {
        match root.create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", join(root, dir), e));
            }
            _ => {}
        }
    }
    // The first process decides the cluster id.
    let name = format!("{logs}/{}", layout::META_PROPERTIES);
    let new = MetaProperties {
        cluster_id: Uuid::random()?,
        node_id: EMBEDDED_BROKER,
        directory_id: Uuid::random()?,
    };
    guard.create(&name, new.encode().as_bytes())?;
    let properties = read_small(root, &name)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| MetaProperties::parse(&text))
        .ok_or_else(|| {
            let text = format!("{} is damaged", join(root, &name).display());
            Error::new(Kind::Damaged, text).cure("remove it, then try again")
        })?;
    let registration = json_file::encode(&BrokerFile::new(EMBEDDED_BROKER));
    guard.create(&format!("{broker}/{}", layout::BROKER_FILE), &registration)?;
    for dir in dirs.iter().rev() {
        root.open_dir(dir)
            .and_then(|dir| dir.sync())
            .map_err(|e| Error::io("sync", join(root, dir), e))?;
    }
    root.sync().map_err(|e| Error::io("sync", root.path(), e))?;
    let store = StoreFile::new(properties.cluster_id);
    guard.create(layout::STORE_FILE, &store.encode())?;
    guard.sync_parent(layout::STORE_FILE)
}

/// Makes the store's own name durable: its creator may have died before it did. `real` is where the
/// store is; if `path` is a link, the store has its name elsewhere, and the link's own name is up
/// to its user.
pub(crate) fn sync_store_name(disk: &dyn Disk, path: &Path, real: &Path) -> Result<()> {
    if real != path {
        sync_name(disk, real)?;
    }
    sync_name(disk, path)
}

fn sync_name(disk: &dyn Disk, path: &Path) -> Result<()> {
    match open_parent(disk, path) {
        Ok(parent) => parent
            .sync()
            .map_err(|e| Error::io("sync", parent.path(), e)),
        // This user may not read it, so another created it and shared it.
        Err(e) if is_denied(&e) => Ok(()),
        Err(e) => Err(Error::io("open the directory of", path, e)),
    }
}

/// The parent directory of `path`, which exists. It follows `path`: links above it are followed,
/// and its parent's own name may be one.
fn open_parent(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn Dir>> {
    disk.open_dir(&parent_of(path))
        .or_else(|_| disk.open_dir(&path.join("..")))
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
