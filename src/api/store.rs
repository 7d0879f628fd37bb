//! The store: a directory that all its producers and consumers share.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::SystemClock;
use crate::disk::OsDisk;
use crate::error::Result;
use crate::store::StoreDir;

/// The bound of a wait for a lock or an acknowledgement if [`StoreOptions::timeout`] gives none.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An open store. A clone is another handle of the same store. Several processes may have a store open.
///
/// ```
/// use mq::{NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let path = scratch.path().join("store");
/// let store = Store::open(path)?;
/// store.admin().ensure_topic(NewTopic::new("orders"))?;
/// let orders = store.producer("orders").open()?;
/// orders.send(("order-7", "paid"))?;
/// assert_eq!(orders.close()?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    dir: Arc<StoreDir>,
    timeout: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.dir.path())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a directory, or creates it there, with the default options.
    ///
    /// # Errors
    /// As [`StoreOptions::open`].
    pub fn open(at: impl AsRef<Path>) -> Result<Store> {
        Store::options().open(at)
    }

    /// Options for opening a store.
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// The engine's store.
    pub(crate) fn dir(&self) -> &Arc<StoreDir> {
        &self.dir
    }

    /// The bound of each wait.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// How to open a [`Store`].
///
/// ```
/// use std::time::Duration;
/// use mq::{Kind, Store};
///
/// let options = Store::options().create(false).timeout(Duration::from_secs(5));
/// let error = options.open("/nowhere/store").expect_err("there is none");
/// assert_eq!(error.kind(), Kind::NoStore);
/// ```
#[derive(Debug, Clone)]
#[must_use = "end it with open()"]
pub struct StoreOptions {
    create: bool,
    timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            create: true,
            timeout: TIMEOUT,
        }
    }
}

impl StoreOptions {
    /// Whether to create the store if it does not exist. Default: true.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Bounds every wait: for a lock, and for an acknowledgement. Default: 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens the store in the directory `at`.
    ///
    /// # Errors
    /// [`Kind::NoStore`](crate::error::Kind::NoStore) if `at` is missing or an empty directory, and
    /// [`StoreOptions::create`] is off; [`Kind::UnusableStore`](crate::error::Kind::UnusableStore) for
    /// a file, a directory that is no store, a network file system, or one that this user may not
    /// write; [`Kind::Io`](crate::error::Kind::Io).
    pub fn open(self, at: impl AsRef<Path>) -> Result<Store> {
        let (disk, clock) = (Arc::new(OsDisk), Arc::new(SystemClock::default()));
        let dir = if self.create {
            StoreDir::open_or_create(disk, clock, at.as_ref())?
        } else {
            StoreDir::open(disk, clock, at.as_ref())?
        };
        Ok(Store {
            dir: Arc::new(dir),
            timeout: self.timeout,
        })
    }
}
