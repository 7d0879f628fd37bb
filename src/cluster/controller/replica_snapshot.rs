//! Snapshots of replicas, taken from outside their brokers.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::state::{AckedUpTo, Lock, PageSnapshot, ProbeRequest, ProbeResult, ReplicaSnapshot};
use crate::disk::Dir;
use crate::error::{Error, Kind, Result};
use crate::partition::{Known, PAGE_FILE, Replica, Seal};
use crate::store::{StoreDir, WriteProbe, layout};
use crate::types::{BrokerId, TopicPartition};

/// What an unreadable disk answers (`EIO`).
const EIO: i32 = 5;

/// A disk with less room than this is full: a batch may take as much.
const FREE_BYTES_MIN: u64 = 1 << 20;

/// How long to wait for a log directory that is missing, or is not the broker's: its disk may be
/// mounted late.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// What the controller knows of a broker's disk from one probe to the next. One probe proves
/// neither that a lock's holder is stopped nor that a disk is lost.
#[derive(Debug, Default)]
pub struct DiskState {
    served: WriteProbe,
    /// Since when the log directory is missing.
    away: Option<Duration>,
}

/// The disks of all brokers. A probe locks its broker's disk while it runs.
#[derive(Debug, Default)]
pub struct Disks(HashMap<BrokerId, Arc<Mutex<DiskState>>>);

impl Disks {
    /// The disk of a broker.
    pub fn of(&mut self, broker: BrokerId) -> Arc<Mutex<DiskState>> {
        Arc::clone(self.0.entry(broker).or_default())
    }

    /// Errors of the disks that served no write at their last probe, except those under probe now.
    pub fn slow(&self) -> impl Iterator<Item = Error> {
        let slow =
            |disk: &Mutex<DiskState>| disk.try_lock().is_ok_and(|disk| disk.served.is_slow());
        let slow = self.0.iter().filter(move |(_, disk)| slow(disk));
        slow.map(|(broker, _)| {
            let text = format!(
                "the disk of broker {broker} serves no writes now, so no lock holder on it \
                 counts as stopped"
            );
            Error::new(Kind::Busy, text).cure("check the disk")
        })
    }
}

impl DiskState {
    /// Whether the log directory was missing for so long that the disk counts as lost.
    fn is_lost(&mut self, now: Duration) -> bool {
        let since = *self.away.get_or_insert(now);
        now.saturating_sub(since) >= AWAY_MAX
    }
}

/// Probes many replicas: each broker's log directory is opened once.
pub struct SnapshotReader<'a> {
    store: &'a StoreDir,
    /// The controller's knowledge of the one broker that it probes; none for a single probe.
    disk: Option<&'a Mutex<DiskState>>,
    /// Each broker's log directory, and whether its disk is full.
    logs: HashMap<BrokerId, Result<(Arc<dyn Dir>, bool), ReplicaSnapshot>>,
    /// The first failure that says nothing of the replica.
    pub trouble: Option<Error>,
}

impl<'a> SnapshotReader<'a> {
    /// For one round of probes.
    pub fn new(store: &'a StoreDir) -> Self {
        SnapshotReader {
            store,
            disk: None,
            logs: HashMap::new(),
            trouble: None,
        }
    }

    /// For one round of the controller's probes of one broker.
    pub fn of_controller(store: &'a StoreDir, disk: &'a Mutex<DiskState>) -> Self {
        SnapshotReader {
            disk: Some(disk),
            ..SnapshotReader::new(store)
        }
    }

    /// Opens each log directory again.
    pub fn probe_again(&mut self) {
        self.logs.clear();
        self.trouble = None;
    }

    /// Probes a partition's replicas.
    pub fn observe(&mut self, at: &ProbeRequest, acked: AckedUpTo) -> ProbeResult {
        let mut lock = Lock::Untried;
        let mut replicas = Vec::with_capacity(at.brokers.len());
        for broker in at.brokers.iter().copied() {
            let probe = at.probe && broker == at.leader;
            let (observe, tried) = self.probe_once(&at.tp, broker, probe, acked);
            if probe {
                lock = tried;
            }
            replicas.push((broker, observe));
        }
        ProbeResult {
            job: at.job,
            tp: at.tp.clone(),
            replicas,
            lock,
        }
    }

    /// Probes one replica. `probe`: also its append lock.
    pub fn probe_once(
        &mut self,
        tp: &TopicPartition,
        broker: BrokerId,
        probe: bool,
        acked: AckedUpTo,
    ) -> (ReplicaSnapshot, Lock) {
        let seen = self.examine(tp, broker, probe, acked);
        seen.unwrap_or_else(|e| (self.failed(e), Lock::Untried))
    }

    fn examine(
        &mut self,
        tp: &TopicPartition,
        broker: BrokerId,
        probe: bool,
        acked: AckedUpTo,
    ) -> Result<(ReplicaSnapshot, Lock)> {
        let (logs, full) = match self.logs(broker) {
            Ok(found) => found,
            Err(observe) => return Ok((observe, Lock::Untried)),
        };
        let replica = Replica::open_in(self.store, tp, logs)?;
        // The lock first: a state page that did not change since the lock was seen held is the
        // holder's.
        let lock = match probe {
            false => Lock::Untried,
            true if replica.is_free()? => Lock::Free,
            true => Lock::Held(self.served(|served| replica.holders_reading(served))),
        };
        let Some(page) = replica.proven_page()? else {
            return Ok((ReplicaSnapshot::Unreadable, lock));
        };
        if replica.offline(&page)?.is_some() {
            return Ok((ReplicaSnapshot::Offline, lock));
        }
        if replica.lacks_its_end()? {
            // Files of its log are gone. Its next user finds damage, and takes it offline.
            return Ok((ReplicaSnapshot::Offline, lock));
        }
        let known = Known::of(&page, self.store.boot_id());
        let (last_epoch, end) = known.extent;
        let page = PageSnapshot {
            uuid: page.replica_uuid,
            sequence: page.sequence,
            this_boot: page.boot_id == self.store.boot_id(),
            whole: known.whole,
            epoch: page.leader_epoch,
            sealed: page.seal == Some(Seal::Recovered),
            moving: (page.seal == Some(Seal::Moving))
                .then(|| self.served(|served| replica.movers_reading(served))),
            full,
            joining: page.joining.iter().copied().collect(),
            acked: match acked {
                AckedUpTo::DurableOffset => page.durable.offset,
                AckedUpTo::LogEnd => end,
            },
            last_epoch,
            end,
        };
        Ok((ReplicaSnapshot::Page(page), lock))
    }

    /// Whether a replica's directory or state page is certainly missing, although its log directory
    /// is there: one lookup.
    pub fn is_gone(&mut self, tp: &TopicPartition, broker: BrokerId) -> bool {
        let Ok((logs, _)) = self.logs(broker) else {
            return false;
        };
        let page = format!("{}/{PAGE_FILE}", layout::replica_dir(tp));
        logs.id(&page)
            .is_err_and(|e| e.kind() == ErrorKind::NotFound)
    }

    fn logs(&mut self, broker: BrokerId) -> Result<(Arc<dyn Dir>, bool), ReplicaSnapshot> {
        if !self.logs.contains_key(&broker) {
            let opened = open_logs(self.store, broker);
            let logs = opened.map_err(|e| self.no_logs(broker, e));
            if let (Ok(_), Some(disk)) = (&logs, self.disk) {
                known(disk).away = None;
            }
            self.logs.insert(broker, logs);
        }
        self.logs
            .get(&broker)
            .cloned()
            .unwrap_or(Err(ReplicaSnapshot::Failed))
    }

    /// What a log directory that cannot be opened means. If the registration cannot be read,
    /// nothing is known of it.
    fn no_logs(&mut self, broker: BrokerId, error: Error) -> ReplicaSnapshot {
        let now = self.store.clock().monotonic();
        let Some(disk) = self.disk else {
            return self.failed(error);
        };
        let is_registered = self.store.broker_file(broker).is_ok();
        let is_lost = known(disk).is_lost(now);
        if is_registered && is_lost || !is_away(&error) {
            return self.failed(error);
        }
        self.trouble.get_or_insert(error);
        ReplicaSnapshot::Failed
    }

    /// A heartbeat of the disk. It means nothing to a single probe.
    fn served(&mut self, observe: impl FnOnce(&mut WriteProbe) -> u64) -> u64 {
        self.disk.map_or(0, |disk| observe(&mut known(disk).served))
    }

    fn failed(&mut self, error: Error) -> ReplicaSnapshot {
        let io = error.io_source();
        match error.kind() {
            _ if is_away(&error) => ReplicaSnapshot::Gone,
            _ if io.and_then(std::io::Error::raw_os_error) == Some(EIO) => ReplicaSnapshot::BadDisk,
            _ => {
                self.trouble.get_or_insert(error);
                ReplicaSnapshot::Failed
            }
        }
    }
}

fn known(disk: &Mutex<DiskState>) -> MutexGuard<'_, DiskState> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something is missing, or belongs to another broker or replica.
fn is_away(error: &Error) -> bool {
    let not_found = |io: &std::io::Error| io.kind() == ErrorKind::NotFound;
    matches!(error.kind(), Kind::Fenced | Kind::BrokerState)
        || error.io_source().is_some_and(not_found)
}

/// A broker's log directory, and whether its disk is full.
///
/// # Errors
/// As [`StoreDir::logs_dir`]; [`Kind::Io`].
pub fn open_logs(store: &StoreDir, broker: BrokerId) -> Result<(Arc<dyn Dir>, bool)> {
    let logs = store.logs_dir(broker)?;
    let free = logs.free_bytes();
    let free = free.map_err(|e| Error::io("read the free space of", logs.path(), e))?;
    Ok((logs, free < FREE_BYTES_MIN))
}
