//! A broker's registration: its liveness lock, then its file under the store's fenced lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::broker_heartbeat::BrokerHeartbeat;
use super::broker_options::{BrokerOptions, First, rack_of};
use super::new_broker;
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::store::brokers::{claim, log_dir};
use crate::store::{
    self, BrokerFile, FencedLock, LivenessLock, Probe, Process, StoreDir, json_file, layout,
};
use crate::types::BrokerId;

/// A running daemon's registration of its broker.
#[derive(Debug)]
pub struct Registration {
    store: Arc<StoreDir>,
    file: BrokerFile,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// Declared before the lock: its last heartbeat comes while the lock is still held.
    _heartbeat: BrokerHeartbeat,
    lock: LivenessLock,
}

impl Registration {
    /// Takes the broker's liveness lock, registers a new incarnation, and starts the heartbeat. A
    /// broker that does not exist yet is created.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] naming the daemon that runs already, or saying why the log directory
    /// cannot be this broker's; [`Kind::UnusableStore`], [`Kind::Busy`].
    pub fn start(
        store: &Arc<StoreDir>,
        broker: BrokerId,
        options: &BrokerOptions,
        timeout: Duration,
    ) -> Result<Self> {
        if !store.has_broker(broker)?
            && let Some(first) = new_broker::start(store, broker, options, timeout)?
        {
            return Registration::of(store, first);
        }
        Registration::start_again(store, broker, options, timeout)
    }

    fn start_again(
        store: &Arc<StoreDir>,
        broker: BrokerId,
        options: &BrokerOptions,
        timeout: Duration,
    ) -> Result<Self> {
        let dir = store.broker_dir(broker)?;
        let clock = &**store.clock();
        let registered = store.broker_file(broker)?.log_dir.map(PathBuf::from);
        let place = options.log_dir.as_ref().or(registered.as_ref());
        if let Some(path) = place {
            // A start that is refused anyway does not even create a lock file.
            if registered.as_ref() == Some(path) {
                store::refuse_gone(store, broker, path)?;
            }
            store::check(store, broker, path)?;
            log_dir::refuse_move(store, broker, path)?;
        } else {
            store::refuse_gone(store, broker, &store.path().join(own_logs(broker)))?;
        }
        let Some(lock) = LivenessLock::take(&dir, store::BROKER_LOCK, clock)? else {
            return Err(runs_already(store, &*dir, broker));
        };
        let process = Process::current(clock);
        // A directory is claimed before the lock is taken: its disk may be slow.
        let claimed = place
            .map(|path| claim::claim(store, broker, path))
            .transpose()?;
        let is_new = match &claimed {
            Some(claimed) => {
                claimed.is_new() && claimed.log_dir().map(Path::new) == registered.as_deref()
            }
            None => store::claim_own(store, broker)?,
        };
        let guard = FencedLock::acquire_store(store, "register a broker", timeout)?;
        let mut file: BrokerFile = json_file::read(&*dir, store::BROKER_FILE)?.0;
        file.incarnation = file.incarnation.checked_add(1).ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                format!("broker {broker} has no incarnation left"),
            )
        })?;
        file.pid = Some(process.pid);
        let mut notes = Vec::new();
        if let (Some(claimed), Some(place)) = (&claimed, place)
            && claimed.log_dir() != file.log_dir.as_deref()
        {
            let before = log_dir::registered_path(store, &file);
            if claimed.is_new() || !log_dir::is_moved(store, &file, place)? {
                log_dir::refuse_to_leave(store, &file)?;
            } else {
                notes.push(format!(
                    "the log directory of broker {broker} is {} now, no longer {}",
                    place.display(),
                    before.display()
                ));
            }
            file.log_dir = claimed.log_dir().map(str::to_owned);
        }
        if let Some(rack) = &options.rack {
            file.rack = rack_of(rack);
        }
        if std::mem::take(&mut file.drained) {
            notes.push(format!(
                "broker {broker} is no longer drained: it may lead again"
            ));
        }
        if is_new {
            notes.push(format!(
                "{} was empty and is claimed as new: its replicas are filled from the \
                 other brokers",
                log_dir::registered_path(store, &file).display()
            ));
        }
        // The line of the former incarnation must not pass for this one's.
        lock.blank()?;
        guard.replace(&layout::broker_file(broker), &json_file::encode(&file))?;
        drop(guard);
        let warnings = claimed.map(store::Claimed::keep).unwrap_or_default();
        lock.write_holder(file.incarnation, process)?;
        Registration::of(
            store,
            First {
                file,
                lock,
                warnings,
                notes,
            },
        )
    }

    fn of(store: &Arc<StoreDir>, first: First) -> Result<Self> {
        let heartbeat = BrokerHeartbeat::start(first.lock.file())?;
        Ok(Registration {
            store: Arc::clone(store),
            file: first.file,
            warnings: first.warnings,
            notes: first.notes,
            _heartbeat: heartbeat,
            lock: first.lock,
        })
    }

    /// Notes for the user about the start.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The registration's content.
    pub fn file(&self) -> &BrokerFile {
        &self.file
    }

    /// Oddities of the log directory that are no reason to refuse it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Checks that the lock is still the broker's lock.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] if it was replaced: another daemon may run by now. [`Kind::NoStore`] if
    /// the store is no longer at its path: a daemon that went on would maintain files that no
    /// other process finds.
    pub fn check(&self) -> Result<()> {
        self.store.check_is_still_at(self.store.path(), "")?;
        if self.lock.in_place()? {
            return Ok(());
        }
        let id = self.file.broker_id;
        Err(Error::new(
            Kind::BrokerState,
            format!("the lock file of broker {id} was removed or replaced"),
        )
        .cure(format!(
            "leave that file alone; start again with 'mq-broker start --id {id}'"
        )))
    }

    /// Marks the broker as stopped and releases its lock.
    pub fn end(mut self, timeout: Duration) -> Result<()> {
        let guard = FencedLock::acquire_store(&self.store, "leave as a broker", timeout)?;
        // Other processes change it, too.
        self.file = self.store.broker_file(self.file.broker_id)?;
        self.file.pid = None;
        guard.replace(
            &layout::broker_file(self.file.broker_id),
            &json_file::encode(&self.file),
        )
    }
}

fn own_logs(broker: BrokerId) -> String {
    format!("{}/{}", layout::broker_dir(broker), store::LOGS_DIR)
}

/// Marks a running broker as one that leads nothing, or reverts that; returns whether that changed
/// anything.
///
/// # Errors
/// [`Kind::BrokerState`] if there is no such broker; [`Kind::Busy`].
pub fn set_drained(
    store: &StoreDir,
    broker: BrokerId,
    drained: bool,
    timeout: Duration,
) -> Result<bool> {
    let guard = FencedLock::acquire_store(store, "drain a broker", timeout)?;
    let file = store.broker_file(broker)?;
    if file.drained == drained {
        return Ok(false);
    }
    guard.replace(
        &layout::broker_file(broker),
        &json_file::encode(&BrokerFile { drained, ..file }),
    )?;
    Ok(true)
}

fn runs_already(store: &StoreDir, dir: &dyn Dir, broker: BrokerId) -> Error {
    let probe = LivenessLock::probe(&**store.disk(), dir, store::BROKER_LOCK);
    let who = match probe {
        Ok(Probe::Held { holder, pids }) => {
            pids.first().copied().or(holder.map(|h| h.pid)).map_or_else(
                || "another process".to_owned(),
                |pid| format!("process {pid}"),
            )
        }
        _ => "another process".to_owned(),
    };
    Error::new(
        Kind::BrokerState,
        format!(
            "broker {broker} runs already: {who} holds {}",
            join(dir, store::BROKER_LOCK).display()
        ),
    )
    .cure(format!(
        "'mq-broker status' shows it, 'mq-broker stop {broker}' ends it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::{Disk as _, OsDisk};

    #[test]
    fn a_refusal_after_the_claim_leaves_the_place_as_it_was() {
        let temp = tempfile::tempdir().expect("tempdir");
        let disk = Arc::new(OsDisk);
        let clock = Arc::new(SystemClock::default());
        let at = temp.path().join("store");
        let store = StoreDir::open_or_create(disk.clone(), clock, &at).expect("store");
        let store = Arc::new(store);
        let there = temp.path().join("there");
        disk.create_dir_all(&there).expect("mkdir");
        let busy = FencedLock::acquire_store(&store, "a test", Duration::ZERO).expect("lock");
        let start = |log_dir: &Path| {
            let options = BrokerOptions {
                log_dir: Some(log_dir.to_owned()),
                rack: None,
            };
            Registration::start(&store, 0, &options, Duration::from_millis(50))
        };
        for path in [temp.path().join("new/deeper"), there.clone()] {
            let refused = start(&path).expect_err("the store's lock is held");
            assert_eq!(refused.kind(), Kind::Busy, "{refused}");
        }
        let entries = |path: &Path| {
            let dir = disk.open_dir(path).expect("open");
            dir.list(".").expect("list").len()
        };
        assert_eq!(entries(&there), 0);
        assert_eq!(entries(temp.path()), 2);
        drop(busy);
        for path in [temp.path().join("new/deeper"), there] {
            let registered = start(&path).expect("registered");
            assert_eq!(registered.file().log_dir.as_deref(), path.to_str());
            assert_eq!(entries(&path), 1);
        }
    }
}
