//! Claims a directory as a broker's log directory.
//!
//! Every possible refusal comes before anything is created: [`check`] for an existing store,
//! [`try_place`] for one that is still to be created. If the claim fails, what was created for it
//! is removed again, unless another process put something into it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::log_dir::{
    check_claim, is_same, open_place, read_claim, registered_path, taken, unusable,
};
use super::log_dir_handle::LogDir;
use super::meta_properties::MetaProperties;
use crate::disk::{Dir, Disk, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::dir::StoreDir;
use crate::store::layout;
use crate::store::made_dirs::MadeDirs;
use crate::store::usability::{is_denied, open_warnings, refuse_network};
use crate::types::{BrokerId, Uuid};

/// Maximum number of parent directories that are checked.
const ABOVE_MAX: usize = 256;

/// A directory that was claimed. Unless it is kept, dropping this withdraws the claim if the
/// registration does not name the directory by then.
#[derive(Debug)]
pub struct Claimed<'a> {
    store: &'a StoreDir,
    broker: BrokerId,
    /// For the registration; none for the broker's own `logs`.
    log_dir: Option<String>,
    warnings: Vec<String>,
    /// The claim that was written, and its directory.
    written: Option<(Arc<dyn Dir>, MetaProperties)>,
    made: MadeDirs<'a>,
}

impl Claimed<'_> {
    /// For the registration; none for the broker's own `logs`.
    pub fn log_dir(&self) -> Option<&str> {
        self.log_dir.as_deref()
    }

    /// Whether the claim is new: the directory held nothing of the broker's.
    pub fn is_new(&self) -> bool {
        self.written.is_some()
    }

    /// Keeps the claim: it is registered. Returns warnings about the directory.
    pub fn keep(mut self) -> Vec<String> {
        self.written = None;
        self.made.keep();
        std::mem::take(&mut self.warnings)
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let Some((dir, written)) = self.written.take() else {
            return;
        };
        // The registration may be in place though its sync failed. If it cannot be read, all is
        // left.
        let registered = self.store.broker_file(self.broker).map(|file| file.log_dir);
        let ours = read_claim(&*dir).is_ok_and(|claim| claim.as_ref() == Some(&written));
        let registered = match registered {
            // The broker was never created.
            Err(e) if e.kind() == Kind::BrokerState => Ok(None),
            other => other,
        };
        match registered {
            Ok(registered) if registered != self.log_dir && ours => {
                let _ = dir.remove(layout::META_PROPERTIES);
                let _ = dir.sync();
            }
            _ => self.made.keep(),
        }
    }
}

/// Refuses what [`claim`] would refuse of the directory `path`, and changes nothing.
///
/// # Errors
/// As [`claim`].
pub fn check(store: &StoreDir, broker: BrokerId, path: &Path) -> Result<()> {
    refuse_network(&**store.disk(), path)?;
    let Some(dir) = open_if_there(&**store.disk(), path)? else {
        refuse_within(&**store.disk(), store.root(), path)?;
        return refuse_others(store, broker, path);
    };
    if is_own_logs(store, broker, &*dir)? {
        return Ok(());
    }
    refuse_within(&**store.disk(), store.root(), path)?;
    refuse_others(store, broker, path)?;
    match read_claim(&*dir)? {
        Some(claim) => check_claim(store, broker, &*dir, &claim),
        None => refuse_foreign(&*dir),
    }
}

/// A place that was created, or found empty, for a store that is still to be created.
#[derive(Debug)]
pub struct TriedPlace<'a> {
    made: MadeDirs<'a>,
}

impl TriedPlace<'_> {
    /// The store is created: [`claim`] does the rest.
    pub fn keep(mut self) {
        self.made.keep();
    }
}

/// Creates the directory `path`, which is absolute, for a broker of a store that is still to be
/// created at `store`, and checks that it can be claimed then: so a refusal leaves no store behind.
/// Dropping the result removes the directory again, unless it is kept.
///
/// # Errors
/// As [`claim`].
pub fn try_place<'a>(
    disk: &'a dyn Disk,
    store: &Path,
    broker: BrokerId,
    path: &Path,
) -> Result<TriedPlace<'a>> {
    refuse_network(disk, path)?;
    match disk.open_dir(store) {
        Ok(root) => refuse_within(disk, &root, path)?,
        // The store does not exist yet: by the names, one would be within the other.
        Err(_) if path.starts_with(store) => return Err(within(path, store)),
        Err(_) => {}
    }
    if let Some(dir) = open_if_there(disk, path)? {
        if read_claim(&*dir)?.is_some() {
            return Err(taken(path, broker, "a broker of another store"));
        }
        refuse_foreign(&*dir)?;
    }
    let made = MadeDirs::make(disk, path).map_err(|e| unusable(path, "make", e))?;
    let dir = open_place(disk, path)?;
    let staged = layout::staged_file(&Uuid::random()?);
    dir.open(&staged, Open::CreateNew)
        .and_then(|_| dir.remove(&staged))
        .map_err(|e| unusable(&join(&*dir, &staged), "make", e))?;
    Ok(TriedPlace { made })
}

/// Claims the directory `path`, which is absolute, for a broker, creating it (0700) if it is
/// missing. The caller holds the broker's liveness lock, so its registration does not change.
///
/// # Errors
/// [`Kind::BrokerState`] if it belongs to another broker or store, or holds other files;
/// [`Kind::UnusableStore`] for a network file system, a link, or a place this user may not write;
/// [`Kind::Usage`] for a path that is not UTF-8.
pub fn claim<'a>(store: &'a StoreDir, broker: BrokerId, path: &Path) -> Result<Claimed<'a>> {
    let Some(text) = path.to_str().filter(|_| path.is_absolute()) else {
        let text = format!("{} cannot be registered as a log directory", path.display());
        return Err(Error::new(Kind::Usage, text).cure("name it by an absolute path in UTF-8"));
    };
    check(store, broker, path)?;
    let made = MadeDirs::make(&**store.disk(), path).map_err(|e| unusable(path, "make", e))?;
    let dir = open_place(&**store.disk(), path)?;
    let mut claimed = Claimed {
        store,
        broker,
        log_dir: None,
        warnings: open_warnings(&*dir)?,
        written: None,
        made,
    };
    if is_own_logs(store, broker, &*dir)? {
        return Ok(claimed);
    }
    claimed.warnings.extend(share_place(store, &*dir)?);
    let wanted = MetaProperties {
        cluster_id: store.cluster_id(),
        node_id: broker,
        directory_id: Uuid::random()?,
    };
    // Another path to the registered place is kept as it was registered.
    claimed.log_dir = Some(match registered(store, broker)? {
        Some(place) if is_same(store, &place, &*dir) => place,
        _ => text.to_owned(),
    });
    // A concurrent claim by another process is found in the second round.
    for _ in 0..3 {
        if let Some(claim) = read_claim(&*dir)? {
            check_claim(store, broker, &*dir, &claim)?;
            // The process that wrote it may have died before it synced its name.
            dir.sync().map_err(|e| Error::io("sync", path, e))?;
            return Ok(claimed);
        }
        refuse_foreign(&*dir)?;
        match put_claim(&*dir, &wanted) {
            Ok(true) => {
                claimed.written = Some((Arc::clone(&dir), wanted));
                remove_staged(&*dir);
                dir.sync().map_err(|e| Error::io("sync", path, e))?;
                return Ok(claimed);
            }
            Ok(false) => {}
            Err(e) => return Err(e),
        }
    }
    let text = format!(
        "{} was claimed by another process at each try",
        path.display()
    );
    Err(Error::new(Kind::Busy, text).cure("try again"))
}

/// Claims the broker's own `logs` if it is empty and unclaimed; returns whether it did.
///
/// # Errors
/// [`Kind::BrokerState`] if it is gone; [`Kind::UnusableStore`], [`Kind::Io`].
pub fn claim_own(store: &StoreDir, broker: BrokerId) -> Result<bool> {
    let above = store.broker_dir(broker)?;
    let path = join(&*above, layout::LOGS_DIR);
    let dir = match above.open_dir(layout::LOGS_DIR) {
        Ok(dir) => dir,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(gone(store, broker, &path)),
        Err(e) => return Err(unusable(&path, "open", e)),
    };
    if refuse_foreign(&*dir).is_err() {
        return Ok(false);
    }
    claim_empty(store, broker, &*dir)
}

/// Claims a directory that is empty, or being claimed by another process for the same broker;
/// returns whether this call did.
///
/// # Errors
/// [`Kind::UnusableStore`], [`Kind::Io`].
pub fn claim_empty(store: &StoreDir, broker: BrokerId, dir: &dyn Dir) -> Result<bool> {
    let wanted = MetaProperties {
        cluster_id: store.cluster_id(),
        node_id: broker,
        directory_id: Uuid::random()?,
    };
    let placed = put_claim(dir, &wanted)?;
    dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
    Ok(placed)
}

/// Refuses to start on a registered log directory that is missing: its disk may not be mounted.
///
/// # Errors
/// [`Kind::BrokerState`].
pub fn refuse_gone(store: &StoreDir, broker: BrokerId, path: &Path) -> Result<()> {
    match open_if_there(&**store.disk(), path)? {
        Some(_) => Ok(()),
        None => Err(gone(store, broker, path)),
    }
}

fn gone(store: &StoreDir, broker: BrokerId, path: &Path) -> Error {
    let made = crate::error::shell_word(&path.display().to_string());
    let made = match store.unix_group() {
        Ok(Some(group)) => {
            let name = crate::error::shell_word(&group.name);
            format!("mkdir -p {made} && chgrp {name} {made} && chmod 2770 {made}")
        }
        _ => format!("mkdir -p {made}"),
    };
    let path = path.display();
    Error::new(
        Kind::BrokerState,
        format!("the log directory of broker {broker}, {path}, is gone"),
    )
    .cure(format!(
        "mount the disk that it is on; if it was moved, 'mq-broker start --id {broker} --log-dir' \
         with where it is now; if what was there is lost for good, '{made}': an empty one \
         is claimed as new, and filled from the other replicas"
    ))
}

/// Removes the claim of an unregistered broker from a directory that holds nothing else, so that
/// another broker may claim it. A directory that cannot be used is left.
///
/// # Errors
/// [`Kind::Io`] if it cannot be removed.
pub fn unclaim(store: &StoreDir, broker: BrokerId, path: &Path) -> Result<()> {
    let Ok(dir) = store.disk().open_dir(path) else {
        return Ok(());
    };
    let ours = read_claim(&*dir)
        .ok()
        .flatten()
        .is_some_and(|claim| check_claim(store, broker, &*dir, &claim).is_ok());
    if !ours {
        return Ok(());
    }
    dir.remove(layout::META_PROPERTIES)
        .and_then(|()| dir.sync())
        .map_err(|e| Error::io("remove", join(&*dir, layout::META_PROPERTIES), e))
}

/// The registered log directory of the broker, if it exists.
fn registered(store: &StoreDir, broker: BrokerId) -> Result<Option<String>> {
    match store.broker_file(broker) {
        Ok(file) => Ok(file.log_dir),
        Err(e) if e.kind() == Kind::BrokerState => Ok(None),
        Err(e) => Err(e),
    }
}

/// Puts a claim in place; `false` if another process was faster.
fn put_claim(dir: &dyn Dir, wanted: &MetaProperties) -> Result<bool> {
    let staged = layout::staged_file(&Uuid::random()?);
    let error = |op| {
        let staged = &staged;
        move |e| unusable(&join(dir, staged), op, e)
    };
    let written = dir
        .open(&staged, Open::CreateNew)
        .map_err(error("make"))
        .and_then(|file| {
            file.write_at(wanted.encode().as_bytes(), 0)
                .map_err(error("write"))?;
            file.sync_data().map_err(error("sync"))
        });
    let placed = written.map(|()| dir.rename_new(&staged, layout::META_PROPERTIES));
    if !matches!(placed, Ok(Ok(()))) {
        // What stays is recognized by its name.
        let _ = dir.remove(&staged);
    }
    match placed? {
        Ok(()) => Ok(true),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
            ) =>
        {
            Ok(false)
        }
        Err(e) => Err(unusable(dir.path(), "claim", e)),
    }
}

/// The directory, or `None` if it does not exist.
fn open_if_there(disk: &dyn Disk, path: &Path) -> Result<Option<Arc<dyn Dir>>> {
    match disk.open_dir(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unusable(path, "open", e)),
    }
}

/// Refuses a directory with foreign files: they must not be mixed with the store's.
fn refuse_foreign(dir: &dyn Dir) -> Result<()> {
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let foreign = entries
        .iter()
        .find(|entry| !layout::is_staged_file(&entry.name) && entry.name != layout::LOST_FOUND);
    match foreign {
        None => Ok(()),
        Some(entry) => Err(Error::new(
            Kind::BrokerState,
            format!(
                "{} cannot become a log directory: it has files of its own ('{}'), but no {}",
                dir.path().display(),
                entry.name.escape_debug(),
                layout::META_PROPERTIES
            ),
        )
        .cure("name an empty directory, or one that does not exist yet")),
    }
}

fn is_own_logs(store: &StoreDir, broker: BrokerId, dir: &dyn Dir) -> Result<bool> {
    let own = match store.broker_dir(broker) {
        Ok(own) => own,
        Err(e) if e.kind() == Kind::BrokerState => return Ok(false),
        Err(e) => return Err(e),
    };
    let error = |e| Error::io("look at", join(&*own, layout::LOGS_DIR), e);
    match own.id(layout::LOGS_DIR) {
        Ok(id) => Ok(id == dir.own_id().map_err(error)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(error(e)),
    }
}

/// Refuses a place within the store whose directory is `root`, even if it does not exist yet: a
/// directory of the store's own may be empty, and is still not free.
fn refuse_within(disk: &dyn Disk, root: &Arc<dyn Dir>, path: &Path) -> Result<()> {
    let error = |e| Error::io("look at", path, e);
    let root_id = root.own_id().map_err(error)?;
    // Links above the place are followed, so the remaining way goes by `..` only.
    let mut at = path.to_owned();
    let mut above = loop {
        match disk.open_dir_through_links(&at) {
            Ok(dir) => break dir,
            Err(e) if e.kind() == io::ErrorKind::NotFound && at.pop() => {}
            Err(e) => return Err(unusable(&at, "open", e)),
        }
    };
    let mut is_place = at == path;
    for _ in 0..ABOVE_MAX {
        let id = above.own_id().map_err(error)?;
        if id == root_id {
            return Err(within(path, root.path()));
        }
        if !std::mem::take(&mut is_place)
            && let Ok(Some(claim)) = read_claim(&*above)
        {
            let text = format!(
                "{} is within a log directory of broker {} (cluster id {})",
                path.display(),
                claim.node_id,
                claim.cluster_id
            );
            return Err(Error::new(Kind::BrokerState, text)
                .cure("name a directory outside of it: each broker has its own"));
        }
        at.push("..");
        match disk.open_dir(&at) {
            Ok(next) if next.own_id().map_err(error)? != id => above = next,
            // The root, or a directory that this user may not read and that is therefore not this
            // store.
            _ => break,
        }
    }
    Ok(())
}

/// Refuses a place that is, is within, or contains the registered place of another broker, even one
/// whose disk is not mounted.
fn refuse_others(store: &StoreDir, broker: BrokerId, path: &Path) -> Result<()> {
    for other in store.brokers()?.into_iter().filter(|id| *id != broker) {
        let Some(place) = registered(store, other)? else {
            continue;
        };
        let theirs = Path::new(&place);
        let what = if path == theirs {
            format!("is the log directory of broker {other}")
        } else if path.starts_with(theirs) {
            format!("is within {place}, the log directory of broker {other}")
        } else if theirs.starts_with(path) {
            format!("contains {place}, the log directory of broker {other}")
        } else {
            continue;
        };
        let text = format!("{} {what}", path.display());
        return Err(Error::new(Kind::BrokerState, text)
            .cure("name another directory with --log-dir: each broker has its own"));
    }
    Ok(())
}

fn within(path: &Path, store: &Path) -> Error {
    let text = format!("{} is within the store {}", path.display(), store.display());
    Error::new(Kind::BrokerState, text).cure("name a directory outside of the store")
}

/// Removes what dead processes left of other claims: the place is taken by now.
fn remove_staged(dir: &dyn Dir) {
    for entry in dir.list(".").unwrap_or_default() {
        if layout::is_staged_file(&entry.name) {
            let _ = dir.remove(&entry.name);
        }
    }
}

/// Gives a log directory to the store's Unix group, if the store has one. Returns a warning if this
/// user may not do that.
fn share_place(store: &StoreDir, dir: &dyn Dir) -> Result<Option<String>> {
    let Some(group) = store.unix_group()? else {
        return Ok(None);
    };
    let access = dir
        .access(".")
        .map_err(|e| Error::io("look at", dir.path(), e))?;
    if access.is_shared() && access.group == group.id {
        return Ok(None);
    }
    match dir.share(".", group.id) {
        Ok(_) => Ok(None),
        Err(e) if is_denied(&e) => Ok(Some(format!(
            "{} cannot be given to the Unix group {}, which shares the store: other members of the \
             group cannot use what is in it",
            dir.path().display(),
            group.name
        ))),
        Err(e) => Err(unusable(dir.path(), "give", e)),
    }
}

/// Refuses a registered place that cannot be used now.
///
/// # Errors
/// As [`refuse_gone`] and [`LogDir::open`].
pub fn refuse_unusable(store: &StoreDir, broker: BrokerId) -> Result<()> {
    let file = store.broker_file(broker)?;
    refuse_gone(store, broker, &registered_path(store, &file))?;
    LogDir::open(store, broker).map(drop)
}
