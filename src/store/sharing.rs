//! A store that is shared by a Unix group: every member may use it, and what any of them creates in
//! it belongs to the group (see [`Access`](crate::disk::Access)).
//!
//! Only the mode of the store's directory says so. A store that is not empty is given to a group
//! from the top, a directory before its contents: what other processes create meanwhile is then
//! found, or inherits the group.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dir::StoreDir;
use super::layout;
use super::made_dirs::MadeDirs;
use super::unix_group::UnixGroup;
use super::usability::{denied, is_denied};
use crate::clock::Clock;
use crate::disk::{Access, Dir, Disk, EntryKind, SHARED_DIR, Sharing, join, sharing_of};
use crate::error::{Error, Kind, Result};

/// Maximum number of paths that are listed.
const NAMED_MAX: usize = 3;
/// Maximum number of passes for what processes created meanwhile for the owner alone.
const PASSES_MAX: usize = 10;

/// Files and directories: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<PathBuf>,
}

impl Paths {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(path);
        }
    }
}

/// The result of giving a store to a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Whether the store was created.
    pub made: bool,
    /// Files and directories that were not the group's before.
    pub changed: usize,
    /// Those of other owners, which are unchanged.
    pub refused: Paths,
    /// A directory above the store that the group's members may not pass through.
    pub barred_by: Option<PathBuf>,
}

impl StoreDir {
    /// The Unix group whose members share the store; `None` if only its owner uses it.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn unix_group(&self) -> Result<Option<UnixGroup>> {
        let access = self
            .root()
            .access(".")
            .map_err(|e| Error::io("look at", self.path(), e))?;
        let shared = access.is_shared().then_some(access.group);
        Ok(shared.map(UnixGroup::of))
    }
}

/// Opens the store at `path`, created if there is none, and gives it and the log directories of its
/// brokers to a Unix group: directories 2770, files 0660.
///
/// # Errors
/// As [`StoreDir::open_or_create`]; [`Kind::UnusableStore`] if the store's directory may not be
/// given to the group by this user.
pub fn create_shared(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    path: &Path,
    group: &UnixGroup,
) -> Result<(StoreDir, Given)> {
    let mut given = Given::default();
    match StoreDir::open(Arc::clone(&disk), Arc::clone(&clock), path) {
        Err(e) if e.kind() == Kind::NoStore => {
            given.made = true;
            let error = |e: io::Error| {
                if is_denied(&e) {
                    denied(path, "made", e)
                } else {
                    Error::io("make", path, e)
                }
            };
            let mut dirs = MadeDirs::make(&*disk, path).map_err(error)?;
            let root = disk.open_dir_through_links(path).map_err(error)?;
            // Before anything is created in it.
            give_root(&*root, group)?;
            dirs.keep();
        }
        opened => {
            let store = opened?;
            given.changed += usize::from(give_root(&**store.root(), group)?);
        }
    }
    given.barred_by = barrier(&*disk, path, group);
    let store = StoreDir::open_or_create(disk, clock, path)?;
    for _ in 0..PASSES_MAX {
        let before = given.changed;
        given.refused = Paths::default();
        each(&store, &mut |dir, name| match dir.share(name, group.id) {
            Ok(changed) => {
                given.changed += usize::from(changed);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                given.refused.add(join(dir, name));
                Ok(())
            }
            Err(e) => Err(e),
        })?;
        if given.changed == before {
            break;
        }
    }
    if given.made {
        given.changed = 0;
    }
    Ok((store, given))
}

/// Shows what in a store would be given to a group: its path, its access now, and its mode then. A
/// store that does not exist has no access now.
pub type ShowShared<'a> = &'a mut dyn FnMut(&Path, Option<Access>, u32) -> Result<()>;

/// What [`create_shared`] would do. Changes nothing, and shows what would change.
///
/// # Errors
/// As [`create_shared`]; those of `show`.
pub fn plan_shared(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    path: &Path,
    group: &UnixGroup,
    show: ShowShared<'_>,
) -> Result<Given> {
    let mut plan = Given::default();
    let store = match StoreDir::open(Arc::clone(&disk), clock, path) {
        Err(e) if e.kind() == Kind::NoStore => {
            plan.made = true;
            plan.barred_by = path
                .parent()
                // It would be created, too, for its owner alone.
                .filter(|above| is_missing(&*disk, above))
                .map(Path::to_owned)
                .or_else(|| barrier(&*disk, path, group));
            let there = disk.open_dir_through_links(path);
            let now = there.and_then(|dir| dir.access(".")).ok();
            show(path, now, SHARED_DIR)?;
            return Ok(plan);
        }
        opened => opened?,
    };
    plan.barred_by = barrier(&*disk, path, group);
    let access = store.root().access(".");
    let access = access.map_err(|e| Error::io("look at", path, e))?;
    match sharing_of(access, group.id) {
        Sharing::Done => {}
        Sharing::Due(mode) => {
            plan.changed += 1;
            show(store.path(), Some(access), mode)?;
        }
        Sharing::Refused => return Err(not_given(store.path(), group)),
    }
    let mut shown = Ok(());
    each(&store, &mut |dir, name| {
        let access = dir.access(name)?;
        match sharing_of(access, group.id) {
            Sharing::Done => {}
            Sharing::Due(mode) => {
                plan.changed += 1;
                if shown.is_ok() {
                    shown = show(&join(dir, name), Some(access), mode);
                }
            }
            Sharing::Refused => plan.refused.add(join(dir, name)),
        }
        Ok(())
    })?;
    shown.map(|()| plan)
}

fn is_missing(disk: &dyn Disk, path: &Path) -> bool {
    let opened = disk.open_dir_through_links(path);
    opened.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// What in a store of a Unix group, or in its log directories, is not the group's: only the owner
/// can use it.
///
/// # Errors
/// [`Kind::Io`].
pub fn not_shared(store: &StoreDir, group: &UnixGroup) -> Result<Paths> {
    let mut found = Paths::default();
    each(store, &mut |dir, name| {
        let access = dir.access(name)?;
        if access.group != group.id || !access.is_shared() {
            found.add(join(dir, name));
        }
        Ok(())
    })?;
    Ok(found)
}

/// The nearest directory above that neither the group nor other users may pass through.
fn barrier(disk: &dyn Disk, path: &Path, group: &UnixGroup) -> Option<PathBuf> {
    let is_barrier = |above: &&Path| {
        let opened = disk.open_dir_through_links(above);
        opened.and_then(|dir| dir.access(".")).is_ok_and(|access| {
            let may = if access.group == group.id {
                0o010
            } else {
                0o001
            };
            access.mode & may == 0
        })
    };
    path.ancestors()
        .skip(1)
        .find(is_barrier)
        .map(Path::to_owned)
}

fn give_root(root: &dyn Dir, group: &UnixGroup) -> Result<bool> {
    root.share(".", group.id).map_err(|e| {
        if is_denied(&e) {
            return not_given(root.path(), group);
        }
        Error::io("give to a group", root.path(), e)
    })
}

fn not_given(path: &Path, group: &UnixGroup) -> Error {
    let (path, name) = (path.display(), &group.name);
    let text = format!("{path} cannot be given to the Unix group {name} by this user");
    Error::new(Kind::UnusableStore, text)
        .cure("run as root, or as the user who owns it and is in the group ('id -nG' says)")
}

/// Calls `act` with every directory and file of a store and its log directories, a directory before
/// its contents. What is removed meanwhile is skipped.
fn each(store: &StoreDir, act: &mut impl FnMut(&dyn Dir, &str) -> io::Result<()>) -> Result<()> {
    below(store.root(), act)?;
    for broker in store.brokers()? {
        // Unusable log directories are reported by processes that need them.
        let elsewhere = store
            .broker_file(broker)
            .is_ok_and(|file| file.log_dir.is_some());
        if elsewhere && let Ok(logs) = store.logs_dir(broker) {
            let done = act(&*logs, ".");
            pass_gone(done).map_err(|e| Error::io("look at", logs.path(), e))?;
            below(&logs, act)?;
        }
    }
    Ok(())
}

fn below(
    root: &Arc<dyn Dir>,
    act: &mut impl FnMut(&dyn Dir, &str) -> io::Result<()>,
) -> Result<()> {
    // By parent and name: one descriptor for each level, not for each directory.
    let mut open: Vec<(Arc<dyn Dir>, String)> = vec![(Arc::clone(root), ".".to_owned())];
    while let Some((parent, name)) = open.pop() {
        let dir = match name.as_str() {
            "." => Ok(parent),
            name => parent.open_dir(name),
        };
        let dir = match dir {
            // `act` on its name has reported it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            dir => dir.map_err(|e| Error::io("open", root.path(), e))?,
        };
        let entries = match dir.list(".") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| Error::io("list", dir.path(), e))?,
        };
        for entry in entries {
            if entry.kind == EntryKind::Other || entry.name == layout::LOST_FOUND {
                continue;
            }
            pass_gone(act(&*dir, &entry.name))
                .map_err(|e| Error::io("look at", join(&*dir, &entry.name), e))?;
            if entry.kind == EntryKind::Dir {
                open.push((Arc::clone(&dir), entry.name));
            }
        }
    }
    Ok(())
}

fn pass_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
