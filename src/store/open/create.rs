//! Making a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::broker_file::BrokerFile;
use super::super::fenced_lock::{create_lock, remove_tree};
use super::super::meta_properties::MetaProperties;
use super::super::store_file::StoreFile;
use super::super::{json_file, layout};
use super::{denied, is_denied, refuse_network};
use crate::disk::{Dir, Disk, EntryKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::types::{EMBEDDED_BROKER, Uuid};

/// Directories nested in a new store.
const DEPTH_MAX: usize = 4;

/// Makes a store at `path`, or finds that another maker was quicker; which of the two, the caller
/// sees by opening it.
pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<()> {
    refuse_network(disk, path)?;
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(Error::new(
            Kind::UnusableStore,
            format!(
                "{} has no name that a store can be renamed to",
                path.display()
            ),
        )
        .cure("name the directory by its own name, in UTF-8"));
    };
    let unborn = layout::unborn_dir(&Uuid::random()?);
    let parent = parent_of(path);
    let refused = |op, e: io::Error| {
        if is_denied(&e) {
            denied(path, "made", e)
        } else {
            Error::io(op, path, e)
        }
    };
    disk.create_dir_all(&parent.join(&unborn))
        .map_err(|e| refused("make", e))?;
    let parent = open_parent(disk, &parent.join(&unborn)).map_err(|e| refused("make", e))?;
    let made = fill(&*parent, &unborn).and_then(|()| match parent.rename(&unborn, name) {
        Ok(()) => Ok(true),
        // Another maker's store is there now, or files that are none: the next look tells.
        Err(e) if is_taken(&e) => Ok(false),
        Err(e) => Err(refused("make", e).cure("name a directory that does not exist yet")),
    });
    if !matches!(made, Ok(true)) {
        // Where this fails, a directory of a telling name stays, which nobody looks at.
        let _ = remove_tree(&*parent, &unborn, EntryKind::Dir, DEPTH_MAX);
    }
    made?;
    parent
        .sync()
        .map_err(|e| Error::io("sync", parent.path(), e))
}

/// Makes the store's own name durable: its maker may have died before he did.
pub(super) fn sync_name(disk: &dyn Disk, path: &Path) -> Result<()> {
    match open_parent(disk, path) {
        Ok(parent) => parent
            .sync()
            .map_err(|e| Error::io("sync", parent.path(), e)),
        // Not ours to read, so made by someone else and given to us.
        Err(e) if is_denied(&e) => Ok(()),
        Err(e) => Err(Error::io("open the directory of", path, e)),
    }
}

/// The directory that `path`, which exists, is in. By way of `path`: links above it are followed,
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

fn is_taken(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
    )
}

/// Fills the new store's directory and syncs all of it, each directory after what is in it.
fn fill(parent: &dyn Dir, unborn: &str) -> Result<()> {
    let root = parent
        .open_dir(unborn)
        .map_err(|e| Error::io("open", join(parent, unborn), e))?;
    let store = StoreFile::new()?;
    let broker = layout::broker_dir(EMBEDDED_BROKER);
    let logs = format!("{broker}/{}", layout::LOGS_DIR);
    let meta = MetaProperties {
        cluster_id: store.cluster_id,
        node_id: EMBEDDED_BROKER,
        directory_id: Uuid::random()?,
    };
    let dirs = [
        layout::TOPICS_DIR,
        layout::GROUPS_DIR,
        layout::BROKERS_DIR,
        &broker,
        &logs,
    ];
    for dir in dirs {
        root.create_dir(dir)
            .map_err(|e| Error::io("make", join(&*root, dir), e))?;
    }
    create_lock(&*root)?;
    write(&*root, layout::STORE_FILE, &store.encode())?;
    let registration = json_file::encode(&BrokerFile::new(EMBEDDED_BROKER));
    write(
        &*root,
        &format!("{broker}/{}", layout::BROKER_FILE),
        &registration,
    )?;
    let properties = format!("{logs}/{}", layout::META_PROPERTIES);
    write(&*root, &properties, meta.encode().as_bytes())?;
    for dir in dirs.iter().rev() {
        root.open_dir(dir)
            .and_then(|dir| dir.sync())
            .map_err(|e| Error::io("sync", join(&*root, dir), e))?;
    }
    root.sync().map_err(|e| Error::io("sync", root.path(), e))
}

fn write(root: &dyn Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let error = |op| move |e| Error::io(op, join(root, name), e);
    let file = root.open(name, Open::CreateNew).map_err(error("make"))?;
    file.write_at(bytes, 0).map_err(error("write"))?;
    file.sync_data().map_err(error("sync"))
}
