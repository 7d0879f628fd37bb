//! A cache of what was read from files that are replaced whole, valid while they are current.
//!
//! Invariant: a cached value counts only if its path still names the inode that was read, which is
//! looked up at each use. While the file is open, no other file gets its inode number; once its
//! descriptor was given back, the inode's birth time tells it from a later file with the same
//! number.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Dir, File, FileId, join};
use crate::error::{Error, Result, is_stale};

/// A file that was read, and can be told from its successors.
#[derive(Debug, Clone)]
pub struct CachedFile {
    dir: Arc<dyn Dir>,
    name: String,
    file: Arc<dyn File>,
}

impl CachedFile {
    /// For the file that was opened as `name` in `dir`, [to be compared](Dir::open_to_compare).
    pub(crate) fn new(dir: &Arc<dyn Dir>, name: String, file: Arc<dyn File>) -> Self {
        let dir = Arc::clone(dir);
        CachedFile { dir, name, file }
    }

    /// Whether the path still names this file: one look-up.
    pub fn is_current(&self) -> Result<bool> {
        leads_to(&*self.dir, &self.name, &*self.file)
    }
}

/// Whether a name leads to that file. `false` also if the name of the directory itself leads
/// elsewhere by now.
pub(crate) fn leads_to(dir: &dyn Dir, name: &str, file: &dyn File) -> Result<bool> {
    match dir.identity(name).and_then(|found| file.is(found)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || is_stale(&e) => Ok(false),
        observed => observed.map_err(|e| Error::io("look at", join(dir, name), e)),
    }
}

/// Whether a name leads to that directory, which is kept open.
pub(crate) fn names(dir: &dyn Dir, name: &str, id: FileId) -> Result<bool> {
    match dir.id(name) {
        Ok(found) => Ok(found == id),
        Err(e) if e.kind() == io::ErrorKind::NotFound || is_stale(&e) => Ok(false),
        Err(e) => Err(Error::io("look at", join(dir, name), e)),
    }
}

/// A cache of at most `N` values, by key; the most recently used stay.
#[derive(Debug)]
pub(crate) struct LruCache<K, V, const N: usize>(Mutex<VecDeque<(K, V)>>);

impl<K, V, const N: usize> Default for LruCache<K, V, N> {
    fn default() -> Self {
        LruCache(Mutex::default())
    }
}

impl<K: Clone + Eq, V: Clone, const N: usize> LruCache<K, V, N> {
    /// The cached value for a key. The caller checks whether it is still current, with no lock
    /// held.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == key)?;
        if at > 0 {
            let found = kept.remove(at)?;
            kept.push_front(found);
        }
        kept.front().map(|(_, value)| value.clone())
    }

    /// Caches a value; the least recently used one is dropped.
    pub(crate) fn put(&self, key: &K, value: &V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != key);
        kept.push_front((key.clone(), value.clone()));
        kept.truncate(N);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_used_for_longest_goes() {
        let recent: LruCache<u8, &str, 2> = LruCache::default();
        recent.put(&1, &"one");
        recent.put(&2, &"two");
        assert_eq!(recent.get(&1), Some("one"));
        recent.put(&3, &"three");
        assert_eq!(recent.get(&2), None);
        recent.put(&1, &"uno");
        assert_eq!(
            (recent.get(&1), recent.get(&3)),
            (Some("uno"), Some("three"))
        );
    }
}
