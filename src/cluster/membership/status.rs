//! The status of brokers, for any process. Takes no lock, and needs no daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::controller::ControllerFile;
use crate::error::{Error, Kind, Result};
use crate::lifecycle::strays;
use crate::store::brokers::log_dir;
use crate::store::topics::topic_file;
use crate::store::{self, Holder, LivenessLock, Probe, StoreDir};
use crate::types::{BrokerId, TopicPartition};

/// The status of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Its number.
    pub broker_id: BrokerId,
    /// How often a daemon was started for it.
    pub incarnation: u64,
    /// The daemon that holds its lock now.
    pub running: Option<Holder>,
    /// Its role as the controller, if it is the controller and runs.
    pub controller: Option<ControllerStatus>,
    /// Whether a user asked that it lead nothing.
    pub drained: bool,
    /// Its rack, if one was given.
    pub rack: Option<String>,
    /// Where its replicas are.
    pub log_dir: PathBuf,
    /// Replica directories there that no topic counts on and no deletion accounts for; `None` if
    /// they cannot be listed.
    pub strays: Option<usize>,
}

/// A live controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerStatus {
    /// Its epoch.
    pub epoch: u64,
    /// When it was elected, ms since the epoch.
    pub since_ms: i64,
}

/// Reads a broker's status. Takes no lock.
///
/// # Errors
/// [`Kind::BrokerState`] if there is no such broker; [`Kind::Damaged`], [`Kind::Io`].
pub fn broker_status(store: &StoreDir, broker: BrokerId) -> Result<BrokerStatus> {
    let running = broker_holder(store, broker)?;
    let file = store.broker_file(broker)?;
    let controller = ControllerFile::read(store)?.filter(|c| {
        let ours = running
            .as_ref()
            .is_some_and(|h| h.incarnation == c.incarnation);
        c.broker_id == broker && c.pid.is_some() && ours
    });
    Ok(BrokerStatus {
        broker_id: broker,
        incarnation: file.incarnation,
        running,
        controller: controller.map(|c| ControllerStatus {
            epoch: c.epoch,
            since_ms: c.since_ms,
        }),
        drained: file.drained,
        log_dir: log_dir::registered_path(store, &file),
        rack: file.rack,
        strays: strays(store, broker).ok().map(|strays| strays.len()),
    })
}

/// The daemon that holds the broker's lock now. If the system names the lock's processes, the daemon
/// is one of them.
///
/// # Errors
/// [`Kind::Busy`] while a daemon that just started has not written its line yet.
pub fn broker_holder(store: &StoreDir, broker: BrokerId) -> Result<Option<Holder>> {
    let dir = store.broker_dir(broker)?;
    let probe = || LivenessLock::probe(&**store.disk(), &*dir, store::BROKER_LOCK);
    // A daemon enters a critical section of the fenced lock between taking its lock and writing its
    // line.
    for _ in 0..100 {
        match probe()? {
            Probe::Free => return Ok(None),
            Probe::Held {
                holder: Some(holder),
                pids,
            } if pids.is_empty() || pids.contains(&holder.pid) => {
                return Ok(Some(holder));
            }
            Probe::Held { .. } => store.clock().sleep(Duration::from_millis(20)),
        }
    }
    Err(Error::new(
        Kind::Busy,
        format!("broker {broker} is held by a process that has not named itself yet"),
    )
    .cure("try again; 'mq-broker locks' names the process"))
}

/// A broker's share of the topics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Partitions that it leads.
    pub leaders: u64,
    /// Replicas that it holds.
    pub replicas: u64,
}

/// Each broker's share, by the topic files. A topic whose file cannot be read is not counted.
///
/// # Errors
/// [`Kind::Io`] if the topics cannot be listed.
pub fn shares(store: &StoreDir) -> Result<BTreeMap<BrokerId, Share>> {
    let mut shares: BTreeMap<BrokerId, Share> = BTreeMap::new();
    for name in topic_file::list(store)? {
        let Ok(Some((meta, _))) = topic_file::read_if_there(store, &name) else {
            continue;
        };
        for partition in &meta.partitions {
            shares.entry(partition.leader).or_default().leaders += 1;
            for replica in &partition.replicas {
                shares.entry(replica.broker).or_default().replicas += 1;
            }
        }
    }
    Ok(shares)
}

/// The partitions that a broker leads, in order.
///
/// # Errors
/// [`Kind::Damaged`] for a damaged topic file: it may name the broker.
pub fn led_by(store: &StoreDir, broker: BrokerId) -> Result<Vec<TopicPartition>> {
    let mut led = Vec::new();
    for name in topic_file::list(store)? {
        if let Some((meta, _)) = topic_file::read_if_there(store, &name)? {
            let partitions = meta.partitions.iter().filter(|p| p.leader == broker);
            led.extend(partitions.map(|p| TopicPartition::new(name.clone(), p.partition)));
        }
    }
    Ok(led)
}
