//! Processes that make replicas: the lock of one file, `makers/HEX`, shows that a maker is alive,
//! for all replicas that it makes together.
//!
//! 1. The file exists and is locked before the first of its replicas exists, whose state page names
//!    it; so thousands that are made together need one descriptor.
//! 2. A replica that no topic file names, and whose state page names a maker whose file is gone or
//!    not locked, is an orphan of a dead maker. A name is never used again.
//! 3. A maker removes its file. The next maker to begin, and a broker's sweeps, remove the files of
//!    dead ones. A file that was removed before its maker locked it is made again: no state page
//!    names it yet.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::{Dir, File, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::{self, StoreDir};
use crate::types::{TopicPartition, Uuid};

/// Random names collide practically never; the bound only stops a loop on a broken random source.
const TRIES: usize = 16;

/// This process, for as long as it makes replicas.
#[derive(Debug)]
pub(crate) struct MakerLock {
    root: Arc<dyn Dir>,
    id: Uuid,
    /// Its lock shows that the maker is alive.
    lock: Arc<dyn File>,
}

impl MakerLock {
    /// Begins, and removes the files of dead makers.
    ///
    /// # Errors
    /// [`Kind::DiskFull`], [`Kind::Io`].
    pub(crate) fn begin(store: &StoreDir) -> Result<Self> {
        let root = store.root();
        let dir = &**root;
        match dir.create_dir(store::MAKERS_DIR) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io("make", join(dir, store::MAKERS_DIR), e));
            }
            _ => {}
        }
        // A file that cannot be removed does no harm.
        let _ = remove_dead(store);
        for _ in 0..TRIES {
            let id = Uuid::random()?;
            let path = store::maker_file(&id);
            let error = |op| move |e| Error::io(op, join(dir, &store::maker_file(&id)), e);
            let file = dir.open(&path, Open::CreateNew).map_err(error("make"))?;
            let locked = file.try_lock(LockKind::Exclusive).map_err(error("lock"))?;
            // Before it was locked, another process may have taken it for a dead maker's and
            // removed it.
            if locked && is_there(dir, &path, &*file).map_err(error("look at"))? {
                return Ok(MakerLock {
                    root: Arc::clone(root),
                    id,
                    lock: file,
                });
            }
        }
        let place = join(dir, store::MAKERS_DIR);
        let text = format!("{}: each new file was removed at once", place.display());
        Err(Error::new(Kind::Busy, text).cure("try again"))
    }

    /// Whether its file is where other processes look for it.
    pub(crate) fn is_seen(&self) -> Result<bool> {
        let path = store::maker_file(&self.id);
        let seen = is_there(&*self.root, &path, &*self.lock);
        seen.map_err(|e| Error::io("look at", join(&*self.root, &path), e))
    }

    /// The id that the state pages of its replicas name.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

impl Drop for MakerLock {
    fn drop(&mut self) {
        // A file that stays is not locked; the next maker to begin removes it.
        let _ = self.root.remove(&store::maker_file(&self.id));
    }
}

/// Whether that maker is at work.
///
/// # Errors
/// [`Kind::Io`].
pub fn is_alive(store: &StoreDir, maker: Uuid) -> Result<bool> {
    let (dir, path) = (&**store.root(), store::maker_file(&maker));
    let file = match dir.open(&path, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("open", join(dir, &path), e)),
    };
    let free = file.try_lock(LockKind::Shared);
    Ok(!free.map_err(|e| Error::io("probe", join(dir, &path), e))?)
}

/// The error for a replica in the way of the caller whose maker is at work.
pub(crate) fn at_work(store: &StoreDir, maker: Uuid, tp: &TopicPartition) -> Error {
    let (dir, path) = (&**store.root(), store::maker_file(&maker));
    let holders = dir.id(&path).map(|id| store.disk().lock_holders(id));
    let holder = holders.unwrap_or_default().first().map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    );
    let text = format!("REQUEST_TIMED_OUT: {holder} is making the replica of {tp}");
    Error::new(Kind::Busy, text).cure("try again, or wait for longer (--timeout)")
}

/// Removes the files of makers that died.
///
/// # Errors
/// [`Kind::Io`].
pub fn remove_dead(store: &StoreDir) -> Result<()> {
    let dir = &**store.root();
    let error = |op, path: &str, e| Error::io(op, join(dir, path), e);
    let entries = match dir.list(store::MAKERS_DIR) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(error("list", store::MAKERS_DIR, e)),
    };
    for entry in entries {
        let Some(id) = store::parse_maker_file(&entry.name) else {
            continue;
        };
        let path = store::maker_file(&id);
        let removed = dir.open(&path, Open::Write).and_then(|file| {
            if file.try_lock(LockKind::Exclusive)? {
                dir.remove(&path)?;
            }
            Ok(())
        });
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(error("remove", &path, e)),
            _ => {}
        }
    }
    Ok(())
}

fn is_there(dir: &dyn Dir, path: &str, file: &dyn File) -> std::io::Result<bool> {
    match dir.identity(path) {
        Ok(found) => file.is(found),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;

    #[test]
    fn a_maker_lives_while_its_file_is_locked_and_what_a_dead_one_left_goes() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("store");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).unwrap();
        let files = || {
            std::fs::read_dir(path.join(store::MAKERS_DIR))
                .unwrap()
                .count()
        };
        let first = MakerLock::begin(&store).unwrap();
        // As a killed maker leaves it.
        let dead = Uuid([5; 16]);
        std::fs::write(path.join(store::maker_file(&dead)), "").unwrap();
        assert!(is_alive(&store, first.id()).unwrap() && !is_alive(&store, dead).unwrap());
        let second = MakerLock::begin(&store).unwrap();
        assert_eq!(files(), 2, "those of the living");
        assert!(is_alive(&store, first.id()).unwrap());
        let id = first.id();
        drop(first);
        assert!(!is_alive(&store, id).unwrap() && is_alive(&store, second.id()).unwrap());
        let tp = TopicPartition::new(crate::types::TopicName::new("t").unwrap(), 3);
        let reported = at_work(&store, second.id(), &tp).to_string();
        assert!(
            reported.contains("t:3") && reported.contains(&std::process::id().to_string()),
            "{reported}"
        );
        assert!(second.is_seen().unwrap());
        std::fs::remove_dir_all(path.join(store::MAKERS_DIR)).unwrap();
        assert!(!second.is_seen().unwrap());
    }
}
