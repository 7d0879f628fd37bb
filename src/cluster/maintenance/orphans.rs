//! Orphan collection: finds and removes what dead creators and deleters left in a log directory.
//!
//! 1. A replica directory in its place is removed by the rule of deletion (`lifecycle::Remover`): only
//!    under its own append lock, if no topic file read under that lock names it, and if its maker
//!    is not at work (`lifecycle::maker_lock`).
//! 2. A directory moved aside, or not yet in place, is removed if its state page is sound, its lock
//!    is free, its maker is not at work and no topic file names it.
//! 3. A directory without a sound state page may be one that is being filled. It is removed after
//!    it was seen for a minute, and is renamed first: a creator that resumes then finds no
//!    directory to put in place. One that no deletion or dead creator accounts for is a stray, and
//!    stays.
//! 4. A replica that a reassignment removed from its topic is deleted by the entry in the topic
//!    file that says so, and the entry is deleted once there is no such directory.
//! 5. A directory whose state page and ids are both unreadable is left where it is.
//! 6. What was checked and stays is checked again once the topics or the names in the log directory
//!    changed, and not before.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, Entry, EntryKind, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::lifecycle::{Remover, is_replica_there, maker_lock};
use crate::partition::{PAGE_FILE, Replica, StatePage, remove_flat};
use crate::store::topics::{deleted_topics, topic_file};
use crate::store::{FencedLock, KnownTopic, StoreDir, Suspects, layout, staging};
use crate::timing::UNFINISHED_AFTER;
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

/// The timeout for the store's lock when deletion proofs are removed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);

/// Finds the orphans of one broker.
#[derive(Debug)]
pub struct OrphanCollection {
    store: Arc<StoreDir>,
    broker: BrokerId,
    /// Directories without a sound state page, held open, and when they were first seen.
    unfinished: HashMap<String, (Arc<dyn Dir>, Duration)>,
    /// The same for the staging directories of stores, groups and brokers.
    staging: [Suspects; 3],
    /// The hash of the names in the log directory when nothing was left to do there.
    settled: Option<u64>,
}

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct Collected {
    /// The names of the removed directories.
    pub gone: Vec<String>,
    /// The errors that kept something from being removed.
    pub errors: Vec<Error>,
    /// Something has to be checked again, even if nothing changes.
    again: bool,
}

impl OrphanCollection {
    /// For this broker's log directory.
    pub fn new(store: &Arc<StoreDir>, broker: BrokerId) -> Self {
        OrphanCollection {
            store: Arc::clone(store),
            broker,
            unfinished: HashMap::new(),
            staging: Default::default(),
            settled: None,
        }
    }

    /// Removes the orphans, for as long as `go_on` says. Checks topics and replica directories only
    /// if `topics_changed`, or names were added or removed, or something was left to do.
    ///
    /// # Errors
    /// What keeps it from checking.
    pub fn sweep(&mut self, topics_changed: bool, go_on: &dyn Fn() -> bool) -> Result<Collected> {
        let mut swept = Collected {
            // If another process holds the lock, the next pass does it.
            again: deleted_topics::gather_proofs(&self.store, SETTLE_TIMEOUT).is_err(),
            ..Collected::default()
        };
        let logs = self.store.logs_dir(self.broker)?;
        let entries = logs
            .list(".")
            .map_err(|e| Error::io("list", logs.path(), e))?;
        let names = hash_of(&entries);
        if topics_changed || self.settled != Some(names) {
            self.settled = None;
            self.sweep_logs(&*logs, &entries, &mut swept, go_on)?;
            let done = swept.gone.is_empty() && swept.errors.is_empty() && !swept.again;
            self.settled = (done && go_on()).then_some(names);
        }
        match deleted_topics::forget_deleted(&self.store, SETTLE_TIMEOUT) {
            Err(e) if e.kind() != Kind::Busy => swept.errors.push(e),
            _ => {}
        }
        if let Err(e) = maker_lock::remove_dead(&self.store) {
            swept.errors.push(e);
        }
        self.sweep_staging(&mut swept.gone, &mut swept.errors);
        Ok(swept)
    }

    fn sweep_logs(
        &mut self,
        logs: &dyn Dir,
        entries: &[Entry],
        swept: &mut Collected,
        go_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut metas = HashMap::new();
        let mut remover = Remover::new(&self.store, self.broker, go_on);
        let names: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        self.unfinished.retain(|name, _| names.contains(&**name));
        for entry in entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Dir)
            .take_while(|_| go_on())
        {
            let name = &entry.name;
            let removed = if layout::is_aside_dir(name) {
                let removed = self.sweep_aside(logs, name);
                swept.again |= matches!(removed, Ok(false));
                removed
            } else if let Some(tp) = layout::parse_replica_dir(name) {
                self.sweep_replica(logs, &tp, &mut metas, &mut remover)
            } else {
                Ok(false)
            };
            match removed {
                Ok(true) => swept.gone.push(name.clone()),
                Ok(false) => {}
                // Another remover was quicker, or a creator has it.
                Err(e) if matches!(e.kind(), Kind::Busy | Kind::Fenced) || is_gone(&e) => {
                    swept.again = true;
                }
                Err(e) => swept.errors.push(e),
            }
        }
        self.sweep_retired(logs, &mut metas, &mut remover, swept, go_on)?;
        if let Err(e) = remover.finish() {
            swept.errors.push(e);
        }
        Ok(())
    }

    /// Stores and groups whose makers died (`store::staging`).
    fn sweep_staging(&mut self, gone: &mut Vec<String>, errors: &mut Vec<Error>) {
        let now = self.store.clock().monotonic();
        let places = [
            Ok(Arc::clone(self.store.root())),
            self.store.groups_dir(),
            self.store.brokers_dir(),
        ];
        for (place, suspects) in places.into_iter().zip(&mut self.staging) {
            match place.and_then(|place| staging::remove_dead(&*place, suspects, now)) {
                Ok(names) => gone.extend(names),
                Err(e) => errors.push(e),
            }
        }
    }

    /// Replicas that reassignments removed from topics, and the entries of those on unregistered
    /// brokers.
    fn sweep_retired(
        &self,
        logs: &dyn Dir,
        metas: &mut Metas,
        remover: &mut Remover<'_>,
        swept: &mut Collected,
        go_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut names = Vec::new();
        let mut done = HashSet::new();
        let mut known = HashMap::new();
        for name in topic_file::list(&self.store)? {
            // Other parts report a topic file that cannot be read.
            let Ok(Some(topic)) = self.topic(metas, &name) else {
                continue;
            };
            let meta = topic.meta();
            for entry in meta.retired.iter().take_while(|_| go_on()) {
                if entry.broker != self.broker {
                    let is_known = match known.get(&entry.broker) {
                        Some(is_known) => *is_known,
                        None => self.store.has_broker(entry.broker)?,
                    };
                    known.insert(entry.broker, is_known);
                    if !is_known {
                        done.insert(entry.uuid);
                        names.push(name.clone());
                    }
                    continue;
                }
                if !topic.is_retired(entry.partition, entry.uuid) {
                    continue;
                }
                let tp = TopicPartition::new(name.clone(), entry.partition);
                let removed = is_replica_there(logs, &tp, entry.uuid).and_then(|there| {
                    if there {
                        remover.remove(&tp, meta.topic_id, entry.uuid, Duration::ZERO)?;
                    }
                    Ok(there && !is_replica_there(logs, &tp, entry.uuid)?)
                });
                match removed {
                    Ok(true) => swept.gone.push(layout::replica_dir(&tp)),
                    Ok(false) => {}
                    Err(e) if matches!(e.kind(), Kind::Busy | Kind::Fenced) => {
                        swept.again = true;
                        continue;
                    }
                    Err(e) => {
                        swept.errors.push(e);
                        continue;
                    }
                }
                if is_replica_there(logs, &tp, entry.uuid)? {
                    swept.again = true;
                } else {
                    done.insert(entry.uuid);
                    names.push(name.clone());
                }
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        // A forgotten entry is gone for good.
        remover.finish()?;
        if !go_on() {
            return Ok(());
        }
        names.dedup();
        let forget = || {
            let purpose = "forget retired replicas";
            let guard = FencedLock::acquire_store(&self.store, purpose, SETTLE_TIMEOUT)?;
            topic_file::update_each(&self.store, &guard, &names, |meta| {
                let before = meta.retired.len();
                meta.retired.retain(|entry| !done.contains(&entry.uuid));
                Ok(meta.retired.len() != before)
            })
        };
        match forget() {
            // The next pass does it.
            Err(e) if matches!(e.kind(), Kind::Busy | Kind::Fenced) => swept.again = true,
            Err(e) => swept.errors.push(e),
            Ok(updated) => {
                let failed = updated.failed.into_iter();
                swept.errors.extend(failed.map(|(_, e)| e));
            }
        }
        Ok(())
    }

    /// The content of a topic file, read once a pass: a hint, checked again under the lock.
    fn topic<'m>(&self, metas: &'m mut Metas, name: &TopicName) -> Result<Option<&'m KnownTopic>> {
        if !metas.contains_key(name) {
            let read = KnownTopic::open(&self.store, name)?;
            metas.insert(name.clone(), read);
        }
        Ok(metas.get(name).and_then(Option::as_ref))
    }

    fn sweep_replica(
        &self,
        logs: &dyn Dir,
        tp: &TopicPartition,
        metas: &mut Metas,
        remover: &mut Remover<'_>,
    ) -> Result<bool> {
        let named = self
            .topic(metas, &tp.topic)?
            .is_some_and(|topic| topic.meta().has_replica(tp.partition, self.broker));
        if named {
            return Ok(false);
        }
        let replica = Replica::open(&self.store, tp, self.broker)?;
        let ids = match replica.read_page()? {
            Some(page) => Some((page.topic_id, page.replica_uuid)),
            None => replica
                .metadata()?
                .and_then(|m| Some((m.topic_id, m.replica_uuid?))),
        };
        let Some((topic_id, uuid)) = ids else {
            return Ok(false);
        };
        let own = replica
            .dir()
            .own_id()
            .map_err(|e| list_error(logs, tp, e))?;
        drop(replica);
        remover.remove(tp, topic_id, uuid, Duration::ZERO)?;
        // It leaves other directories of that name alone.
        match logs.id(&layout::replica_dir(tp)) {
            Ok(id) => Ok(id != own),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) => Err(list_error(logs, tp, e)),
        }
    }

    fn sweep_aside(&mut self, logs: &dyn Dir, name: &str) -> Result<bool> {
        let error = |op| move |e| Error::io(op, join(logs, name), e);
        let dir = logs.open_dir(name).map_err(error("open"))?;
        let page = match dir.open(PAGE_FILE, Open::Write) {
            Ok(page) => Some(page),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(error("open the state page of")(e)),
        };
        if let Some(file) = page {
            if !file.try_lock(LockKind::Exclusive).map_err(error("lock"))? {
                return Ok(false);
            }
            let read = StatePage::read(&*file, &**self.store.clock());
            if let Some(page) = read.map_err(error("read the state page of"))? {
                if self.is_being_made(&page)? || self.is_named(page.replica_uuid)? {
                    return Ok(false);
                }
                // The lock is held until everything is removed.
                remove_flat(logs, name)?;
                drop(file);
                return Ok(true);
            }
            // Not sound: its maker may be about to fill it.
            file.unlock().map_err(error("unlock"))?;
        }
        self.sweep_unfinished(logs, name, dir)
    }

    fn sweep_unfinished(&mut self, logs: &dyn Dir, name: &str, dir: Arc<dyn Dir>) -> Result<bool> {
        let now = self.store.clock().monotonic();
        let own = dir
            .own_id()
            .map_err(|e| Error::io("look at", join(logs, name), e))?;
        let (known, since) = self
            .unfinished
            .entry(name.to_owned())
            .or_insert_with(|| (Arc::clone(&dir), now));
        if known
            .own_id()
            .map_err(|e| Error::io("look at", join(logs, name), e))?
            != own
        {
            (*known, *since) = (dir, now);
        }
        if now.saturating_sub(*since) < UNFINISHED_AFTER {
            return Ok(false);
        }
        let Some(tp) = aside_of(name) else {
            return Ok(false);
        };
        let claimed = layout::aside_dir(&tp, &Uuid::random()?);
        logs.rename_new(name, &claimed)
            .map_err(|e| Error::io("move", join(logs, name), e))?;
        self.unfinished.remove(name);
        remove_flat(logs, &claimed)?;
        Ok(true)
    }

    fn is_being_made(&self, page: &StatePage) -> Result<bool> {
        let maker = page.maker;
        maker.map_or(Ok(false), |maker| maker_lock::is_alive(&self.store, maker))
    }

    /// Whether any topic file names that replica directory.
    fn is_named(&self, uuid: Uuid) -> Result<bool> {
        for name in topic_file::list(&self.store)? {
            let topic = KnownTopic::open(&self.store, &name)?;
            if topic.is_some_and(|topic| topic.names(uuid)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A hash of the entries' names, independent of their order.
fn hash_of(entries: &[Entry]) -> u64 {
    let hash = |name: &str| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    };
    let hashes = entries.iter().map(|entry| hash(&entry.name));
    hashes.fold(0, u64::wrapping_add)
}

type Metas = HashMap<TopicName, Option<KnownTopic>>;

/// The partition in the name of a directory that was moved aside.
fn aside_of(name: &str) -> Option<TopicPartition> {
    layout::parse_replica_dir(name.rsplit_once('.')?.0)
}

fn list_error(logs: &dyn Dir, tp: &TopicPartition, e: io::Error) -> Error {
    Error::io("look at", join(logs, &layout::replica_dir(tp)), e)
}

fn is_gone(error: &Error) -> bool {
    error
        .io_source()
        .is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::{NewTopic, create_topic};

    #[test]
    fn what_is_aside_when_a_sweep_ends_early_is_left_to_the_next() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("store");
        let clock = Arc::new(SystemClock::default());
        let store = Arc::new(StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).unwrap());
        let new = NewTopic::embedded(TopicName::new("t").unwrap(), 8);
        create_topic(&store, &new, Duration::from_secs(1)).unwrap();
        // As a deletion that died leaves it.
        let (meta, _) = topic_file::read(&store, &TopicName::new("t").unwrap()).unwrap();
        std::fs::create_dir_all(path.join("deleted")).unwrap();
        let proof = layout::deleted_file(&meta.topic_id);
        let proof = path.join(layout::DELETED_DIR).join(proof);
        std::fs::rename(path.join("topics/t.json"), proof).unwrap();
        let count = || store.logs_dir(0).unwrap().list(".").unwrap();
        let aside = || {
            let entries = count();
            let names = entries.iter().filter(|e| layout::is_aside_dir(&e.name));
            names.count()
        };
        let mut orphans = OrphanCollection::new(&store, 0);
        // It ends once five are moved aside.
        let asked = Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            aside() < 5 && asked.get() < 100
        };
        let swept = orphans.sweep(true, &go_on).unwrap();
        assert_eq!(aside(), 5, "none is removed after the end: {swept:?}");
        orphans.sweep(false, &|| true).unwrap();
        let left = count();
        let dirs = left.iter().filter(|entry| entry.kind == EntryKind::Dir);
        assert_eq!(dirs.count(), 0, "{left:?}");
    }
}
