//! A store, opened or created.
//!
//! A store is created in place, `store.json` last. If several processes create it at once, one wins
//! and all use its store; what a dead creator left is completed by the next process that opens it.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fmt, io};

use super::brokers::{BrokerFile, LogDir, Unanswered};
use super::create::DirContent;
use super::file_cache::{CachedFile, LruCache};
use super::store_file::{StoreFile, no_store, not_a_store};
use super::topics::{DeletedTopics, TopicCache};
use super::unix_group::sharing_cure;
use super::usability::{denied, is_denied, open_warnings, refuse_network};
use super::{json_file, layout};
use crate::clock::Clock;
use crate::disk::{Dir, Disk, EntryKind, Open, SharedWatcher, Watcher, join};
use crate::error::{Error, Kind, Result, is_stale};
use crate::log::Cut;
use crate::types::{BrokerId, TopicPartition, Uuid};

/// A store's directory, held open. Files below it are opened on demand.
pub struct StoreDir {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    root: Arc<dyn Dir>,
    topics: OnceLock<Arc<dyn Dir>>,
    cluster_id: Uuid,
    boot_id: [u8; 16],
    warnings: Vec<String>,
    stop: OnceLock<StopAsked>,
    cuts: Mutex<Vec<(TopicPartition, Cut)>>,
    notes: Mutex<Vec<String>>,
    watching: SharedWatcher,
    open_topics: TopicCache,
    deleted_topics: DeletedTopics,
    registrations: LruCache<BrokerId, Arc<Registration>, BROKERS_KEPT>,
    open_logs: LruCache<BrokerId, LogDir, BROKERS_KEPT>,
    unanswered: Unanswered,
}

/// Returns whether long changes should end early.
struct StopAsked(Box<dyn Fn() -> bool + Send + Sync>);

impl std::fmt::Debug for StopAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StopAsked")
    }
}

/// A broker's registration, and the file that it was read from.
#[derive(Debug, Clone)]
struct Registration {
    content: BrokerFile,
    file: CachedFile,
}

/// Brokers whose registration and log directory stay open: thousands of replicas share them.
pub(crate) const BROKERS_KEPT: usize = 64;

/// Maximum number of cuts that are kept until the caller takes them.
const CUTS_MAX: usize = 10_000;

impl fmt::Debug for StoreDir {
    /// The path alone: a store is in most structs, and what it keeps open is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreDir")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl StoreDir {
    /// Opens the store at `path`. If its creator left it unfinished, it is completed.
    ///
    /// # Errors
    /// [`Kind::NoStore`] if nothing, or an empty directory, is there; [`Kind::UnusableStore`] for a
    /// file, a directory that is no store, a newer format, a network file system, one that may not
    /// be read; [`Kind::Damaged`]; [`Kind::Io`].
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, path: &Path) -> Result<Self> {
        // The store's own path may be a link; nothing within it may.
        let root = disk.open_dir_through_links(path);
        let root = root.map_err(|e| unusable_dir(path, e))?;
        refuse_network(&*disk, path)?;
        let file = find(&root, &clock, path)?;
        let boot_id = disk
            .boot_id()
            .map_err(|e| Error::io("read", "the boot id", e))?;
        let warnings = open_warnings(&*root)?;
        let (topics, cluster_id) = (OnceLock::new(), file.cluster_id);
        Ok(StoreDir {
            disk,
            clock,
            root,
            topics,
            cluster_id,
            boot_id,
            warnings,
            stop: OnceLock::new(),
            cuts: Mutex::new(Vec::new()),
            notes: Mutex::new(Vec::new()),
            watching: SharedWatcher::default(),
            open_topics: TopicCache::default(),
            deleted_topics: DeletedTopics::default(),
            registrations: LruCache::default(),
            open_logs: LruCache::default(),
            unanswered: Unanswered::default(),
        })
    }

    /// Opens the store at `path` for changes, creating it first if nothing, or an empty directory,
    /// is there.
    ///
    /// # Errors
    /// As [`StoreDir::open`] but [`Kind::NoStore`]; [`Kind::UnusableStore`] also if this user may
    /// not write.
    pub fn open_or_create(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, path: &Path) -> Result<Self> {
        // A creator that loses the race finds the winner's store in the second round.
        for _ in 0..3 {
            match StoreDir::open_for_changes(Arc::clone(&disk), Arc::clone(&clock), path) {
                Err(e) if e.kind() == Kind::NoStore => super::create::create(&*disk, &clock, path)?,
                opened => return opened,
            }
        }
        StoreDir::open(disk, clock, path)
    }

    /// Opens the store at `path` for changes. Its name is durable then, also if another process created it.
    ///
    /// # Errors
    /// As [`StoreDir::open_or_create`], and [`Kind::NoStore`].
    pub fn open_for_changes(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        path: &Path,
    ) -> Result<Self> {
        let store = StoreDir::open(Arc::clone(&disk), clock, path)?;
        store.check_writable()?;
        super::create::sync_store_name(&*disk, path, store.path())?;
        Ok(store)
    }

    /// Whether this user may change the store.
    ///
    /// # Errors
    /// [`Kind::UnusableStore`] if not.
    pub fn check_writable(&self) -> Result<()> {
        let entries = self
            .root
            .list(".")
            .map_err(|e| Error::io("list", self.path(), e))?;
        let newest = entries
            .iter()
            .filter_map(|e| layout::parse_lock_dir(&e.name))
            .max();
        let Some(n) = newest else { return Ok(()) };
        match self.root.open(&layout::lock_file(n), Open::Write) {
            Err(e) if is_denied(&e) => {
                let is_permission = e.kind() == io::ErrorKind::PermissionDenied;
                let error = denied(self.path(), "written", e);
                Err(match self.unix_group() {
                    Ok(Some(group)) if is_permission => error.cure(sharing_cure(&group)),
                    _ => error,
                })
            }
            // Any other error shows when the lock is taken.
            _ => Ok(()),
        }
    }

    /// Calls `asked` between the steps of changes that create many replicas: once it returns true,
    /// what was created is removed, and they end with [`Kind::Interrupted`]. Only the first call of
    /// this counts.
    pub fn stopped_by(&self, asked: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.stop.set(StopAsked(Box::new(asked)));
    }

    /// Whether a change may go on.
    ///
    /// # Errors
    /// [`Kind::Interrupted`].
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.stop.get().is_some_and(|stop| (stop.0)()) {
            return Err(Error::new(
                Kind::Interrupted,
                "stopped by a signal before it was done",
            ));
        }
        Ok(())
    }

    /// Warnings about the store that are no reason to refuse it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What recoveries, rewrites of unsynced bytes and repairs through this handle cut off since
    /// the last call: the caller should report it.
    pub fn take_cuts(&self) -> Vec<(TopicPartition, Cut)> {
        std::mem::take(&mut *self.cuts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Other notes for the user of this store since the last call: what cannot be read, and why.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a note until the caller takes it.
    pub fn add_note(&self, note: String) {
        let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < CUTS_MAX && !all.contains(&note) {
            all.push(note);
        }
    }

    /// Keeps cuts until the caller takes them.
    pub(crate) fn add_cuts(&self, tp: &TopicPartition, cuts: &mut Vec<Cut>) {
        if cuts.is_empty() {
            return;
        }
        let mut all = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CUTS_MAX.saturating_sub(all.len());
        all.extend(cuts.drain(..).take(room).map(|cut| (tp.clone(), cut)));
    }

    /// The store's directory.
    pub fn root(&self) -> &Arc<dyn Dir> {
        &self.root
    }

    /// Where the store was opened.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Refuses a store that is no longer at `path`: open descriptors lead to files that no other process
    /// uses. `when`: what was done meanwhile, with a space before it.
    ///
    /// # Errors
    /// [`Kind::NoStore`].
    pub fn check_is_still_at(&self, path: &Path, when: &str) -> Result<()> {
        if self.is_still_at(path) {
            return Ok(());
        }
        let text = format!("the store at {} was moved or deleted{when}", path.display());
        Err(Error::new(Kind::NoStore, text)
            .cure("if it was moved, name where it is now with --store"))
    }

    /// Whether `path` still leads to this store; `true` if that cannot be checked.
    pub fn is_still_at(&self, path: &Path) -> bool {
        let is_gone = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) || is_stale(e)
        };
        let found = self.disk.open_dir_through_links(path).and_then(|there| {
            there.id(layout::STORE_FILE)?;
            Ok(there.own_id()? == self.root.own_id()?)
        });
        found.unwrap_or_else(|e| !is_gone(&e))
    }

    /// A watcher for changes in the store: all watchers of this process share one of the kernel's.
    ///
    /// # Errors
    /// If the system has none: then poll.
    pub fn watcher(&self) -> io::Result<Box<dyn Watcher>> {
        self.watching.part(&*self.disk)
    }

    /// The store's disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The clock it was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The id of the machine's current boot.
    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// The store's own id, Kafka's cluster id.
    pub fn cluster_id(&self) -> Uuid {
        self.cluster_id
    }

    /// The topics that this process has open.
    pub(crate) fn open_topics(&self) -> &TopicCache {
        &self.open_topics
    }

    /// The deleted topics that this process has read.
    pub(crate) fn deleted_topics(&self) -> &DeletedTopics {
        &self.deleted_topics
    }

    /// The directory of the topic files.
    pub fn topics_dir(&self) -> Result<&Arc<dyn Dir>> {
        if let Some(topics) = self.topics.get() {
            return Ok(topics);
        }
        let opened = self.sub_dir(layout::TOPICS_DIR)?;
        // If another thread was faster, this is its handle: of the same directory.
        Ok(self.topics.get_or_init(|| opened))
    }

    /// Makes the names of all topic files durable.
    pub fn sync_topics(&self) -> Result<()> {
        let topics = self.topics_dir()?;
        topics
            .sync()
            .map_err(|e| Error::io("sync", topics.path(), e))
    }

    /// A broker's directory.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] if there is no such broker.
    pub fn broker_dir(&self, broker: BrokerId) -> Result<Arc<dyn Dir>> {
        let name = layout::broker_dir(broker);
        self.root.open_dir(&name).map_err(|e| {
            let missing = e.kind() == io::ErrorKind::NotFound;
            let error = Error::io("open", join(&*self.root, &name), e);
            if missing {
                error
                    .with_kind(Kind::BrokerState)
                    .cure(format!("start it once: mq-broker start --id {broker}"))
            } else {
                error
            }
        })
    }

    /// The directory of the brokers' directories.
    pub fn brokers_dir(&self) -> Result<Arc<dyn Dir>> {
        self.sub_dir(layout::BROKERS_DIR)
    }

    /// The brokers that are registered, in order.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn brokers(&self) -> Result<Vec<BrokerId>> {
        let entries = self
            .root
            .list(layout::BROKERS_DIR)
            .map_err(|e| Error::io("list", join(&*self.root, layout::BROKERS_DIR), e))?;
        let mut ids: Vec<BrokerId> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Dir)
            .filter_map(|entry| layout::parse_broker_dir(&entry.name))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Whether there is such a broker.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn has_broker(&self, broker: BrokerId) -> Result<bool> {
        let name = layout::broker_dir(broker);
        match self.root.id(&name) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", join(&*self.root, &name), e)),
        }
    }

    /// A broker's registration, read again only if it changed.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] if there is no such broker; [`Kind::Damaged`], [`Kind::Io`].
    pub fn broker_file(&self, broker: BrokerId) -> Result<BrokerFile> {
        if let Some(known) = self.registrations.get(&broker)
            && known.file.is_current()?
        {
            return Ok(known.content.clone());
        }
        let name = layout::broker_file(broker);
        let (content, file) = match json_file::read::<BrokerFile>(&*self.root, &name) {
            Err(e) if json_file::is_missing(&e) => {
                self.broker_dir(broker)?;
                return Err(e);
            }
            read => read?,
        };
        let file = CachedFile::new(&self.root, name, file);
        let known = Registration { content, file };
        self.registrations.put(&broker, &Arc::new(known.clone()));
        Ok(known.content)
    }

    /// The directory of a broker's replicas, by its registration.
    ///
    /// # Errors
    /// As [`LogDir::open`].
    pub fn logs_dir(&self, broker: BrokerId) -> Result<Arc<dyn Dir>> {
        LogDir::open(self, broker).map(|logs| Arc::clone(logs.dir()))
    }

    /// The brokers whose disks did not answer a read in time, and have not since.
    pub(crate) fn unanswered(&self) -> &Unanswered {
        &self.unanswered
    }

    /// The log directories that this process has open.
    pub(crate) fn open_logs(&self) -> &LruCache<BrokerId, LogDir, BROKERS_KEPT> {
        &self.open_logs
    }

    /// The directory of the groups' directories.
    pub fn groups_dir(&self) -> Result<Arc<dyn Dir>> {
        self.sub_dir(layout::GROUPS_DIR)
    }

    /// A group's directory.
    ///
    /// # Errors
    /// [`Kind::UnknownGroup`] if there is none; [`Kind::Usage`] for a name that cannot be one.
    pub fn group_dir(&self, group: &str) -> Result<Arc<dyn Dir>> {
        let groups = self.groups_dir()?;
        let name = layout::group_dir(group)?;
        groups.open_dir(&name).map_err(|e| {
            if e.kind() == io::ErrorKind::NotFound {
                let text = format!("GROUP_ID_NOT_FOUND: no group '{}'", group.escape_debug());
                Error::new(Kind::UnknownGroup, text)
            } else {
                Error::io("open", join(&*groups, &name), e)
            }
        })
    }

    fn sub_dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        self.root
            .open_dir(name)
            .map_err(|e| Error::io("open", join(&*self.root, name), e))
    }
}

/// The store file in the directory; an unfinished store is completed first.
fn find(root: &Arc<dyn Dir>, clock: &Arc<dyn Clock>, path: &Path) -> Result<StoreFile> {
    for _ in 0..3 {
        if let Some(file) = StoreFile::read_if_there(&**root)? {
            return Ok(file);
        }
        match super::create::observe(&**root)? {
            DirContent::Empty => return Err(no_store(path)),
            DirContent::Foreign => break,
            DirContent::Unfinished => match super::create::complete(root, clock) {
                // A process that may only read finds nothing to read.
                Err(e) if e.kind() == Kind::UnusableStore => return Err(no_store(path)),
                other => other?,
            },
        }
    }
    // Another process may have completed it, and used it, meanwhile.
    StoreFile::read_if_there(&**root)?.ok_or_else(|| not_a_store(&**root))
}

fn unusable_dir(path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => no_store(path),
        io::ErrorKind::NotADirectory => Error::new(
            Kind::UnusableStore,
            format!("{} is not a store: it is not a directory", path.display()),
        )
        .cure("name a directory, or a place where one can be made"),
        io::ErrorKind::PermissionDenied => denied(path, "read", e),
        _ => Error::io("open", path, e),
    }
}

#[cfg(test)]
mod tests;
