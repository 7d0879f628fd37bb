//! The directory that holds a broker's replicas: `logs` beside its registration, or the place that
//! the registration names, which may be on another disk.
//!
//! 1. A place elsewhere is claimed for one broker of one store by its `meta.properties`. If several
//!    processes claim it, the first wins: the file is put in place by a rename that replaces
//!    nothing.
//! 2. The claim is checked whenever the place is opened: an unmounted disk shows an empty
//!    directory, which must not be taken for the broker's.
//! 3. A refused claim leaves the place, and the directories above it, as they were.
//! 4. A broker that holds replicas keeps its place, unless that was moved: then the new place has
//!    the broker's claim, and the registered one has none any more. Before it creates a replica, a
//!    process rereads the registration under the store's fenced lock; the registration changes only
//!    under that lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::broker_file::BrokerFile;
use super::log_dir_handle::LogDir;
use super::meta_properties::MetaProperties;
use crate::disk::{Dir, Disk, EntryKind, FileId, join};
use crate::error::{Error, Kind, Result};
use crate::store::dir::StoreDir;
use crate::store::file_cache::{self, CachedFile};
use crate::store::small_file::read_small;
use crate::store::usability::{is_denied, refuse_network};
use crate::store::{layout, topics};
use crate::types::BrokerId;

impl LogDir {
    /// Opens the log directory of a broker, as it is registered now.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] if there is no such broker, or the place is not its own;
    /// [`Kind::UnusableStore`] for a network file system or a link; [`Kind::Io`].
    pub fn open(store: &StoreDir, broker: BrokerId) -> Result<Self> {
        let place = store.broker_file(broker)?.log_dir;
        if let Some(known) = store.open_logs().get(&broker)
            && known.place == place
            && known.is_there(store)?
        {
            return Ok(known);
        }
        let (dir, claim) = match &place {
            None => {
                let above = store.broker_dir(broker)?;
                let dir = above.open_dir(layout::LOGS_DIR);
                (dir.map_err(|e| own_unusable(broker, &*above, e))?, None)
            }
            Some(path) => {
                let path = Path::new(path);
                let dir = open_place(&**store.disk(), path)?;
                let claim = claim_file(&dir)?;
                match read_claim(&*dir)? {
                    Some(claim) => check_claim(store, broker, &*dir, &claim)?,
                    None => return Err(not_claimed(broker, path)),
                }
                (dir, claim)
            }
        };
        let id = dir
            .own_id()
            .map_err(|e| Error::io("look at", dir.path(), e))?;
        let opened = LogDir {
            broker,
            place,
            dir,
            id,
            claim,
        };
        // The claim that was read is the one that is kept open.
        if opened.is_there(store)? {
            store.open_logs().put(&broker, &opened);
        }
        Ok(opened)
    }

    /// Whether its path still names it, with the claim that was read.
    fn is_there(&self, store: &StoreDir) -> Result<bool> {
        let Some(place) = &self.place else {
            let broker = layout::broker_dir(self.broker);
            let name = format!("{broker}/{}", layout::LOGS_DIR);
            return file_cache::names(&**store.root(), &name, self.id);
        };
        let Some(claim) = &self.claim else {
            return Ok(false);
        };
        Ok(is_at(store, place, self.id) && claim.is_current()?)
    }

    /// The directory.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// Its broker.
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    /// Whether the registration still names it. The answer stays true while the store's fenced lock
    /// is held.
    pub fn is_current(&self, store: &StoreDir) -> Result<bool> {
        Ok(store.broker_file(self.broker)?.log_dir == self.place)
    }
}

/// Refuses to leave a log directory that holds replicas, or that topics rely on. Call it under the
/// store's fenced lock.
///
/// # Errors
/// [`Kind::BrokerState`].
pub fn refuse_to_leave(store: &StoreDir, file: &BrokerFile) -> Result<()> {
    let broker = file.broker_id;
    let place = registered_path(store, file);
    let named = topics::list(store)?.into_iter().find_map(|name| {
        match topics::read_if_there(store, &name) {
            Ok(Some((meta, _))) => meta
                .partitions
                .iter()
                .flat_map(|p| &p.replicas)
                .any(|replica| replica.broker == broker)
                .then(|| Ok(format!("topic {name} among them"))),
            Ok(None) => None,
            Err(e) => Some(Err(e)),
        }
    });
    let found = match named {
        Some(found) => found?,
        None => match store.disk().open_dir(&place).and_then(|dir| dir.list(".")) {
            Ok(entries) => match entries.iter().find(|entry| is_replica(entry)) {
                Some(entry) => format!("{} among them", entry.name),
                None => return Ok(()),
            },
            // It is gone, and no topic relies on it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("list", place, e)),
        },
    };
    Err(Error::new(
        Kind::BrokerState,
        format!(
            "broker {broker} holds replicas in {} ({found}): its log directory stays there",
            place.display()
        ),
    )
    .cure(format!(
        "leave --log-dir out; a new place is for a broker without replicas, or for all that is in \
         {}: move it while the broker is stopped",
        place.display()
    )))
}

/// Whether a directory is the broker's log directory, moved: it has the broker's claim, and the
/// registered place is gone, or has no claim any more.
///
/// # Errors
/// [`Kind::Damaged`] for a claim that cannot be read; [`Kind::Io`].
pub fn is_moved(store: &StoreDir, file: &BrokerFile, path: &Path) -> Result<bool> {
    let claim_at = |path: &Path| match store.disk().open_dir(path) {
        Ok(dir) => read_claim(&*dir),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", path, e)),
    };
    let is_ours = |claim: &MetaProperties| {
        claim.cluster_id == store.cluster_id() && claim.node_id == file.broker_id
    };
    let claimed = claim_at(path)?.as_ref().is_some_and(is_ours);
    Ok(claimed && claim_at(&registered_path(store, file))?.is_none())
}

/// Refuses what [`refuse_to_leave`] would, before anything is created at `path`. The caller checks
/// again under the lock.
///
/// # Errors
/// [`Kind::BrokerState`].
pub fn refuse_move(store: &StoreDir, broker: BrokerId, path: &Path) -> Result<()> {
    let file = store.broker_file(broker)?;
    let registered = registered_path(store, &file);
    let same_place = || {
        let there = store.disk().open_dir(path).ok()?;
        Some(is_same(store, registered.to_str()?, &*there))
    };
    if registered == path || same_place() == Some(true) || is_moved(store, &file, path)? {
        return Ok(());
    }
    refuse_to_leave(store, &file)
}

/// The directory of the replicas, by a registration.
pub fn registered_path(store: &StoreDir, file: &BrokerFile) -> PathBuf {
    file.log_dir.as_ref().map_or_else(
        || {
            let broker = store.path().join(layout::broker_dir(file.broker_id));
            broker.join(layout::LOGS_DIR)
        },
        PathBuf::from,
    )
}

fn is_replica(entry: &crate::disk::Entry) -> bool {
    entry.kind == EntryKind::Dir && layout::holds_replica(&entry.name)
}

pub(super) fn open_place(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn Dir>> {
    refuse_network(disk, path)?;
    disk.open_dir(path).map_err(|e| unusable(path, "open", e))
}

/// Why the directory beside the registration cannot be opened.
fn own_unusable(broker: BrokerId, above: &dyn Dir, e: io::Error) -> Error {
    let is_gone = e.kind() == io::ErrorKind::NotFound;
    let path = join(above, layout::LOGS_DIR);
    let error = Error::io("open", &path, e);
    if !is_gone {
        return error;
    }
    let path = crate::error::shell_word(&path.display().to_string());
    // In a Unix group's store: mode for the group, which the directory above passes on.
    let mode = match above.access(".") {
        Ok(access) if access.is_shared() => "-m 2770 ",
        _ => "",
    };
    error.cure(format!(
        "all replicas of broker {broker} were in it: put it back, from a backup if need be; what no \
         other broker has is lost without it ('mq-broker health' shows what), and 'mkdir {mode}{path}' \
         makes room for new topics"
    ))
}

pub(super) fn unusable(path: &Path, op: &'static str, e: io::Error) -> Error {
    let denied = is_denied(&e);
    let kind = e.kind();
    let error = Error::io(op, path, e);
    match kind {
        io::ErrorKind::ReadOnlyFilesystem => error.with_kind(Kind::UnusableStore),
        _ if denied => error
            .with_kind(Kind::UnusableStore)
            .cure("run as the user who owns the log directory"),
        // A symbolic link, in the disk layer's own words.
        io::ErrorKind::Other => error
            .with_kind(Kind::UnusableStore)
            .cure("name the directory itself"),
        io::ErrorKind::NotADirectory => error
            .with_kind(Kind::UnusableStore)
            .cure("name a directory, or a place where one can be made"),
        io::ErrorKind::NotFound => error.cure("mount the disk that the log directory is on"),
        _ => error,
    }
}

pub(super) fn read_claim(dir: &dyn Dir) -> Result<Option<MetaProperties>> {
    let Some(bytes) = read_small(dir, layout::META_PROPERTIES)? else {
        return Ok(None);
    };
    let parsed = std::str::from_utf8(&bytes)
        .ok()
        .and_then(MetaProperties::parse);
    parsed.map(Some).ok_or_else(|| {
        let place = join(dir, layout::META_PROPERTIES);
        Error::new(
            Kind::Damaged,
            format!(
                "{} does not name the broker that its directory belongs to",
                place.display()
            ),
        )
        .cure("restore it from a backup")
    })
}

pub(super) fn check_claim(
    store: &StoreDir,
    broker: BrokerId,
    dir: &dyn Dir,
    claim: &MetaProperties,
) -> Result<()> {
    let whose = if claim.cluster_id != store.cluster_id() {
        format!(
            "a broker of another store (cluster id {}; this one's is {})",
            claim.cluster_id,
            store.cluster_id()
        )
    } else if claim.node_id != broker {
        format!("broker {}", claim.node_id)
    } else {
        return Ok(());
    };
    Err(taken(dir.path(), broker, &whose))
}

pub(super) fn taken(place: &Path, broker: BrokerId, whose: &str) -> Error {
    let text = format!(
        "{} is not a log directory of broker {broker}: its {} says that it belongs to {whose}",
        place.display(),
        layout::META_PROPERTIES
    );
    Error::new(Kind::BrokerState, text)
        .cure("name another directory with --log-dir, one that is empty or new")
}

fn not_claimed(broker: BrokerId, path: &Path) -> Error {
    Error::new(
        Kind::BrokerState,
        format!(
            "{} is registered as the log directory of broker {broker}, but has no {}",
            path.display(),
            layout::META_PROPERTIES
        ),
    )
    .cure(format!(
        "mount the disk that the log directory is on, or restore that file from a backup; if what \
         was there is lost for good and the directory is empty, 'mq-broker start --id {broker}' \
         claims it as new"
    ))
}

/// The file of a claim, if there is one.
fn claim_file(dir: &Arc<dyn Dir>) -> Result<Option<CachedFile>> {
    let name = layout::META_PROPERTIES;
    match dir.open_to_compare(name) {
        Ok(file) => Ok(Some(CachedFile::new(dir, name.to_owned(), file))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", join(&**dir, name), e)),
    }
}

pub(super) fn is_same(store: &StoreDir, place: &str, dir: &dyn Dir) -> bool {
    dir.own_id().is_ok_and(|own| is_at(store, place, own))
}

/// Whether that directory, which is kept open, is at that place.
fn is_at(store: &StoreDir, place: &str, id: FileId) -> bool {
    let there = store.disk().open_dir(Path::new(place));
    there
        .and_then(|there| there.own_id())
        .is_ok_and(|there| there == id)
}
