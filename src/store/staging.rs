//! Staging directories, `.mq-new-HEX`: a fenced lock is created whole in one before it is put in
//! place, alone (a store's) or with what belongs to it (a group's).
//!
//! 1. The first file in a staging directory is `lock.0/0`, which its creator holds locked. If that
//!    lock is free, the creator is dead, and the directory may be removed.
//! 2. A staging directory without that file is about to be locked, or its creator died before that.
//!    It is removed once it has been seen for a minute.
//! 3. A creator whose staging directory was removed creates another: nothing of it was in place
//!    yet.

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

/// Depth of nested directories in a staging directory.
const DEPTH_MAX: usize = 4;
/// Random names collide practically never; the bound only stops a loop on a broken random source.
const TRIES: usize = 16;

/// A staging directory. Dropping it removes it, unless it was put in place.
#[derive(Debug)]
pub struct StagingDir {
    parent: Arc<dyn Dir>,
    name: String,
    dir: Arc<dyn Dir>,
    /// Holds the lock that shows that the creator lives.
    _lock: Arc<dyn File>,
}

impl StagingDir {
    /// Creates a staging directory in `parent`, with its lock synced and held by this process.
    ///
    /// # Errors
    /// [`Kind::UnusableStore`] if this user may not write; [`Kind::DiskFull`], [`Kind::Io`].
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
                // Another process took it for abandoned before it was locked.
                Ok((None, _)) => {}
                Err(e) if super::json_file::is_missing(&e) => {}
                Err(e) => {
                    // If this fails, a directory stays whose name shows what it is.
                    let _ = remove_tree(&**parent, &name, EntryKind::Dir, DEPTH_MAX);
                    return Err(e);
                }
            }
        }
        let place = parent.path().display();
        let text = format!("{place}: each new directory was removed at once");
        Err(Error::new(Kind::Busy, text).cure("try again"))
    }

    /// Its name in its parent directory.
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

/// Staging directories whose creators may or may not live, held open, and since when they are
/// known.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<String, (Arc<dyn Dir>, Duration)>);

/// Removes from `parent` what dead creators left: at once if the creator is certainly dead, after a
/// minute if it is not locked. Returns the removed names.
///
/// # Errors
/// [`Kind::Io`] if the directory cannot be listed; what cannot be removed stays.
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
            // It was put in place or removed meanwhile.
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
            // A group's directory is put in place together with its lock: the name must still be
            // that of what is locked.
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
