//! Directories in the making, `.mq-new-HEX`: a fenced lock that is made whole before it is put in
//! place, alone (a store's) or with what belongs to it (a group's).
//!
//! 1. The first thing in one is `lock.0/0`, locked by its maker through the making. One whose lock
//!    is free was left by a maker that died, and may go.
//! 2. One without that file is about to be locked, or its maker died before that. It goes once it
//!    was seen for a minute.
//! 3. A maker whose directory went makes another: nothing of it was in place yet.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::layout;
use super::lock::{create_lock, remove_tree};
use crate::disk::{Dir, EntryKind, File, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::timing::UNFINISHED_AFTER;
use crate::types::Uuid;

/// Directories nested in one.
const DEPTH_MAX: usize = 4;
/// Makers are not that unlucky.
const TRIES: usize = 16;

/// A directory in the making. Dropped, it is removed as far as it was not put in place.
#[derive(Debug)]
pub struct StagingDir {
    parent: Arc<dyn Dir>,
    name: String,
    dir: Arc<dyn Dir>,
    /// Holds the lock that says that the maker lives.
    _lock: Arc<dyn File>,
}

impl StagingDir {
    /// Makes one in `parent`: its lock, synced, and held by this process.
    ///
    /// # Errors
    /// [`Kind::UnusableStore`] where this user may not write; [`Kind::DiskFull`], [`Kind::Io`].
    pub fn make(parent: &Arc<dyn Dir>) -> Result<Self> {
        for _ in 0..TRIES {
            let name = layout::staging_dir(&Uuid::random()?);
            let error = |op, e| super::lock::io_error(&**parent, op, &name, e);
            parent.create_dir(&name).map_err(|e| error("make", e))?;
            let made = parent
                .open_dir(&name)
                .map_err(|e| error("open", e))
                .and_then(|dir| Ok((create_lock(&*dir)?, dir)));
            match made {
                Ok((Some(lock), dir)) => {
                    return Ok(StagingDir {
                        parent: Arc::clone(parent),
                        name,
                        dir,
                        _lock: lock,
                    });
                }
                // Taken for dead before it was locked.
                Ok((None, _)) => {}
                Err(e) if super::json_file::is_missing(&e) => {}
                Err(e) => {
                    // Where this fails, a directory of a telling name stays.
                    let _ = remove_tree(&**parent, &name, EntryKind::Dir, DEPTH_MAX);
                    return Err(e);
                }
            }
        }
        let place = parent.path().display();
        let text = format!("{place}: each new directory was removed at once");
        Err(Error::new(Kind::Busy, text).cure("try again"))
    }

    /// Its name in the directory that it is made in.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        let _ = remove_tree(&*self.parent, &self.name, EntryKind::Dir, DEPTH_MAX);
    }
}

/// Directories in the making whose makers are not known to live or to be dead, held open, and since
/// when they are known.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<String, (Arc<dyn Dir>, Duration)>);

/// Removes from `parent` what dead makers left: at once what is known to be dead, after a minute
/// what nobody has locked. The names of what went.
///
/// # Errors
/// [`Kind::Io`] where the directory cannot be listed; what cannot be removed stays.
pub fn remove_dead(
    parent: &dyn Dir,
    suspects: &mut Suspects,
    now: Duration,
) -> Result<Vec<String>> {
    let entries = parent
        .list(".")
        .map_err(|e| Error::io("list", parent.path(), e))?;
    let staging: Vec<String> = entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::Dir && layout::is_staging_dir(&entry.name))
        .map(|entry| entry.name)
        .collect();
    suspects.0.retain(|name, _| staging.contains(name));
    let mut gone = Vec::new();
    for name in staging {
        match remove_if_dead(parent, &name, suspects, now) {
            Ok(true) => {
                suspects.0.remove(&name);
                gone.push(name);
            }
            Ok(false) => {}
            // Put in place or removed meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", join(parent, &name), e)),
        }
    }
    Ok(gone)
}

fn remove_if_dead(
    parent: &dyn Dir,
    name: &str,
    suspects: &mut Suspects,
    now: Duration,
) -> io::Result<bool> {
    let dir = parent.open_dir(name)?;
    match dir.open(&layout::lock_file(0), Open::Write) {
        Ok(lock) => {
            if !lock.try_lock(LockKind::Exclusive)? {
                return Ok(false);
            }
            // A group's directory takes its lock along when it is put in place: the name must
            // still be that of what is locked.
            if parent.id(name)? != dir.own_id()? {
                return Ok(false);
            }
            remove_tree(parent, name, EntryKind::Dir, DEPTH_MAX)?;
            return Ok(true);
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let own = dir.own_id()?;
    let (known, since) = suspects
        .0
        .entry(name.to_owned())
        .or_insert_with(|| (Arc::clone(&dir), now));
    if known.own_id()? != own {
        (*known, *since) = (dir, now);
    }
    if now.saturating_sub(*since) < UNFINISHED_AFTER {
        return Ok(false);
    }
    remove_tree(parent, name, EntryKind::Dir, DEPTH_MAX)?;
    Ok(true)
}
