//! Which brokers exist and which of them are alive, as one watcher sees it.
//!
//! 1. A broker is alive if the registered incarnation holds its liveness lock, and that
//!    incarnation's heartbeat moved within 2 s of this watcher's own unbroken watching. No clock is
//!    compared across processes.
//! 2. A watcher that was suspended knows nothing of the time between: it gives each broker another
//!    2 s, except those that it found hung before. A hung broker stays hung until its heartbeat
//!    moves.
//! 3. An incarnation whose lock was seen free is never alive again. The registration is read before
//!    the lock is probed, so that a new incarnation is not mistaken for the one before.
//!
//! A probe costs two lookups and a read for each broker: everything stays open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Dir, File, FileId, Wake, WatchId, Watcher, join};
use crate::error::{Error, Result};
use crate::store::brokers::log_dir;
use crate::store::{self, BrokerFile, LivenessWatch, LockView, StoreDir, json_file, layout};
use crate::timing::{BROKER_STOPPED_AFTER, BROKER_WATCH_BREAK};
use crate::types::BrokerId;

/// The interval between two listings of the brokers; a watch reports changes sooner.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// A broker, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedBroker {
    /// Whether its daemon is alive.
    pub alive: bool,
    /// How often a daemon was started for it.
    pub incarnation: u64,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether a user asked that it lead nothing.
    pub drained: bool,
    /// Where its replicas are.
    pub log_dir: PathBuf,
}

/// What a probe of one broker showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BrokerListing {
    /// The incarnation that is registered.
    registered: u64,
    lock: Lock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Free,
    /// Held by a process that has not written its incarnation yet.
    Starting,
    Held {
        incarnation: u64,
        heartbeats: u64,
    },
}

/// What a watcher knows of one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct WatchedBroker {
    /// Incarnation and heartbeat.
    seen: Option<(u64, u64)>,
    since: Duration,
    observed: Duration,
    hung: bool,
    /// The last incarnation whose lock was seen free.
    ended: Option<u64>,
}

/// Updates the state; returns whether it is alive.
fn classify(
    watched: WatchedBroker,
    observe: BrokerListing,
    now: Duration,
) -> (WatchedBroker, bool) {
    let gone = |ended| WatchedBroker {
        ended,
        observed: now,
        ..WatchedBroker::default()
    };
    let (incarnation, heartbeats) = match observe.lock {
        Lock::Free => return (gone(watched.ended.max(Some(observe.registered))), false),
        Lock::Starting => return (gone(watched.ended), false),
        Lock::Held {
            incarnation,
            heartbeats,
        } => (incarnation, heartbeats),
    };
    if incarnation != observe.registered || watched.ended >= Some(incarnation) {
        return (gone(watched.ended), false);
    }
    let seen = Some((incarnation, heartbeats));
    let stands = watched.seen == seen;
    let unbroken = stands && now.saturating_sub(watched.observed) <= BROKER_WATCH_BREAK;
    let since = if unbroken { watched.since } else { now };
    let hung = stands && (watched.hung || now.saturating_sub(since) >= BROKER_STOPPED_AFTER);
    let next = WatchedBroker {
        seen,
        since,
        observed: now,
        hung,
        ended: watched.ended,
    };
    (next, !hung)
}

/// Watches the brokers of a store.
#[derive(Debug)]
pub struct BrokerMembership {
    store: Arc<StoreDir>,
    me: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, Broker>,
    listed: Option<Duration>,
    dir_watch: Option<WatchId>,
    /// Watches of brokers that are gone.
    stale: Vec<WatchId>,
    troubles: Vec<Error>,
}

#[derive(Debug)]
struct Broker {
    dir: Arc<dyn Dir>,
    dir_id: FileId,
    lock: LivenessWatch,
    /// The registration; its file stays open, to be distinguished from its successor.
    file: Option<(BrokerFile, Arc<dyn File>)>,
    watched: WatchedBroker,
    watch: Option<WatchId>,
}

impl BrokerMembership {
    /// For a store. The broker `me`, if any, is this process's own: it needs no watching.
    pub fn new(store: &Arc<StoreDir>, me: Option<BrokerId>) -> Self {
        BrokerMembership {
            store: Arc::clone(store),
            me,
            brokers: BTreeMap::new(),
            listed: None,
            dir_watch: None,
            stale: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Probes all brokers. One that cannot be probed counts as dead; [`BrokerMembership::take_troubles`]
    /// says why. `now` is monotonic.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`] if the brokers cannot be listed, or this process has no
    /// descriptor left to probe with.
    pub fn observe(&mut self, now: Duration) -> Result<BTreeMap<BrokerId, ObservedBroker>> {
        if self
            .listed
            .is_none_or(|listed| now.saturating_sub(listed) >= LIST_INTERVAL)
        {
            self.list(now)?;
        }
        let mut members = BTreeMap::new();
        for (id, broker) in &mut self.brokers {
            let alive = match broker.observe(now, self.me == Some(*id)) {
                // That says nothing of the broker.
                Err(e) if e.is_out_of_descriptors() => return Err(e),
                observed => observed,
            };
            if let Some((file, ..)) = &broker.file {
                let member = ObservedBroker {
                    alive: *alive.as_ref().unwrap_or(&false),
                    incarnation: file.incarnation,
                    rack: file.rack.clone(),
                    drained: file.drained,
                    log_dir: log_dir::registered_path(&self.store, file),
                };
                members.insert(*id, member);
            }
            if let Err(e) = alive {
                self.troubles.push(e.at(format!("broker {id}")));
            }
        }
        Ok(members)
    }

    /// The errors of probes since the last call.
    pub fn take_troubles(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.troubles)
    }

    /// Watches the known brokers, and for new ones.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn watch(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        for watch in self.stale.drain(..) {
            watcher.remove(watch);
        }
        if self.dir_watch.is_none() {
            let dir = self.store.brokers_dir()?;
            let watch = watcher.add_dir(&*dir, ".");
            self.dir_watch = Some(watch.map_err(|e| Error::io("watch", dir.path(), e))?);
            self.listed = None;
        }
        for broker in self.brokers.values_mut().filter(|b| b.watch.is_none()) {
            match watcher.add_closes(&*broker.dir, ".") {
                Ok(watch) => broker.watch = Some(watch),
                // Gone: the next listing shows it.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("watch", broker.dir.path(), e)),
            }
        }
        Ok(())
    }

    /// Ends all watches.
    pub fn unwatch(&mut self, watcher: &mut dyn Watcher) {
        let brokers = self.brokers.values_mut();
        let watches = brokers.filter_map(|broker| broker.watch.take());
        for watch in watches
            .chain(self.dir_watch.take())
            .chain(self.stale.drain(..))
        {
            watcher.remove(watch);
        }
    }

    /// Whether the wake may mean that a broker was registered, unregistered or died. The event of a
    /// death precedes the freed lock: probe again until [`Settle`] ends.
    pub fn is_about(&mut self, wake: &Wake) -> bool {
        match wake {
            Wake::Anything => true,
            Wake::Nothing => false,
            Wake::Changed(ids) => {
                let is_of_dir = self.dir_watch.is_some_and(|id| ids.contains(&id));
                if is_of_dir {
                    self.listed = None;
                }
                let mut watches = self.brokers.values().filter_map(|broker| broker.watch);
                is_of_dir || watches.any(|id| ids.contains(&id))
            }
        }
    }

    fn list(&mut self, now: Duration) -> Result<()> {
        let ids = self.store.brokers()?;
        let root = Arc::clone(self.store.root());
        for id in &ids {
            let name = layout::broker_dir(*id);
            if let Some(known) = self.brokers.get(id)
                && root.id(&name).is_ok_and(|there| there == known.dir_id)
            {
                continue;
            }
            self.forget(*id);
            match Broker::open(&self.store, *id) {
                Ok(broker) => {
                    self.brokers.insert(*id, broker);
                }
                Err(e) if e.is_out_of_descriptors() => return Err(e),
                Err(e) => self.troubles.push(e.at(format!("broker {id}"))),
            }
        }
        let gone: Vec<_> = self.brokers.keys().copied().collect();
        for id in gone.into_iter().filter(|id| ids.binary_search(id).is_err()) {
            self.forget(id);
        }
        self.listed = Some(now);
        Ok(())
    }

    fn forget(&mut self, id: BrokerId) {
        let gone = self.brokers.remove(&id);
        self.stale.extend(gone.and_then(|broker| broker.watch));
    }
}

impl Broker {
    fn open(store: &StoreDir, id: BrokerId) -> Result<Self> {
        let dir = store.broker_dir(id)?;
        let dir_id = dir
            .own_id()
            .map_err(|e| Error::io("look at", dir.path(), e))?;
        Ok(Broker {
            lock: LivenessWatch::new(Arc::clone(&dir), store::BROKER_LOCK),
            dir,
            dir_id,
            file: None,
            watched: WatchedBroker::default(),
            watch: None,
        })
    }

    fn observe(&mut self, now: Duration, is_me: bool) -> Result<bool> {
        let registered = self.registration()?.incarnation;
        let lock = match self.lock.observe()? {
            LockView::Free => Lock::Free,
            LockView::Held(None) => Lock::Starting,
            LockView::Held(Some(holder)) => Lock::Held {
                incarnation: holder.incarnation,
                heartbeats: holder.counter,
            },
        };
        if is_me {
            return Ok(lock != Lock::Free);
        }
        let (watched, alive) = classify(self.watched, BrokerListing { registered, lock }, now);
        self.watched = watched;
        Ok(alive)
    }

    fn registration(&mut self) -> Result<&BrokerFile> {
        let name = store::BROKER_FILE;
        let error = |e| Error::io("look at", join(&*self.dir, name), e);
        let there = self.dir.identity(name).map_err(error)?;
        let is_known = match &self.file {
            Some((_, open)) => open.is(there).map_err(error)?,
            None => false,
        };
        if !is_known {
            self.file = Some(json_file::read::<BrokerFile>(&*self.dir, name)?);
        }
        match &self.file {
            Some((file, _)) => Ok(file),
            None => Err(error(std::io::ErrorKind::NotFound.into())),
        }
    }
}

/// After a wake: repeats probes for a while, since the event of a death precedes the freed lock.
#[derive(Debug, Default)]
pub struct Settle {
    woken: Option<Duration>,
}

impl Settle {
    /// The interval between two probes at first: the lock is free within microseconds, if the dead
    /// process gets a core.
    const STEP: Duration = Duration::from_millis(1);
    const AT_FIRST: Duration = Duration::from_millis(20);
    /// The interval between two probes after that, and their end: on a busy machine a dying process
    /// waits, too.
    const LATER_STEP: Duration = Duration::from_millis(5);
    const FOR: Duration = Duration::from_millis(200);

    /// A wake came.
    pub fn wake(&mut self, now: Duration) {
        self.woken = Some(now);
    }

    /// When to probe again, if at all.
    pub fn due(&mut self, now: Duration) -> Option<Duration> {
        let passed = |woken| now.saturating_sub(woken);
        self.woken = self.woken.filter(|woken| passed(*woken) < Self::FOR);
        self.woken.map(|woken| {
            let at_first = passed(woken) < Self::AT_FIRST;
            now + if at_first {
                Self::STEP
            } else {
                Self::LATER_STEP
            }
        })
    }
}

#[cfg(test)]
mod tests;
