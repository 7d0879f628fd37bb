//! Unregisters a broker: one that a mistyped number created, or that will not come back.
//!
//! 1. Its liveness lock is held meanwhile, so it does not run and cannot be started.
//! 2. No topic counts on it, and its log directory, if that can be read, holds no replica: only the
//!    registration is lost.
//! 3. The registration is removed by one rename under the store's fenced lock. The remaining claim
//!    on a log directory elsewhere is removed after that.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::maintenance::OrphanCollection;
use crate::error::{Error, Kind, Result};
use crate::store::brokers::log_dir;
use crate::store::topics::topic_file;
use crate::store::{self, FencedGuard, FencedLock, LivenessLock, PartitionMeta, StoreDir, layout};
use crate::types::{BrokerId, EMBEDDED_BROKER, TopicPartition};

/// Partitions that an error names.
const NAMED_MAX: usize = 5;

/// Removes a broker's registration; returns its log directory, if that is elsewhere and stays.
///
/// # Errors
/// [`Kind::BrokerState`] if there is no such broker, it runs, it is the embedded one, or a topic or
/// its log directory still counts on it; [`Kind::Damaged`] for a topic file that may name it;
/// [`Kind::Busy`].
pub fn unregister(
    store: &Arc<StoreDir>,
    broker: BrokerId,
    timeout: Duration,
) -> Result<Option<PathBuf>> {
    let refuse = |text: String, cure: String| {
        let text = format!("broker {broker} {text}");
        Err(Error::new(Kind::BrokerState, text).cure(cure))
    };
    if broker == EMBEDDED_BROKER {
        return refuse(
            "belongs to the store: it serves single replicas without a daemon".to_owned(),
            "it cannot be removed".to_owned(),
        );
    }
    let dir = store.broker_dir(broker)?;
    let Some(_lock) = LivenessLock::try_take(&dir, store::BROKER_LOCK)? else {
        return refuse(
            "runs".to_owned(),
            format!("'mq-broker stop {broker}' ends it"),
        );
    };
    // A request that is refused anyway changes nothing, not even the lock's file.
    refuse_counted_on(store, broker)?;
    // Replicas that were deleted or reassigned since its daemon last swept. The check below finds
    // what this cannot remove.
    let _ = OrphanCollection::new(store, broker).sweep(true, &|| true);
    refuse_needed(store, broker)?;
    let guard = FencedLock::acquire_store(store, "unregister a broker", timeout)?;
    let place = refuse_needed(store, broker)?;
    let file = store.broker_file(broker)?;
    let elsewhere = file.log_dir.is_some();
    forget_retired(store, &guard, broker)?;
    guard.remove(&layout::broker_dir(broker))?;
    drop(guard);
    if !elsewhere {
        return Ok(None);
    }
    store::unclaim(store, broker, &place)?;
    let left = match store.disk().open_dir(&place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        _ => Some(place),
    };
    Ok(left)
}

/// Forgets the replicas that reassignments removed from it: no later sweep will look for them.
fn forget_retired(store: &StoreDir, guard: &FencedGuard, broker: BrokerId) -> Result<()> {
    topic_file::update_all(store, guard, &topic_file::list(store)?, |meta| {
        let before = meta.retired.len();
        meta.retired.retain(|entry| entry.broker != broker);
        Ok(meta.retired.len() != before)
    })
    .map(drop)
}

/// Refuses a broker that topics or its log directory count on; returns where that directory is.
fn refuse_needed(store: &StoreDir, broker: BrokerId) -> Result<PathBuf> {
    refuse_counted_on(store, broker)?;
    let file = store.broker_file(broker)?;
    // No topic counts on it: any replica found here is an orphan.
    log_dir::refuse_to_leave(store, &file).map_err(|e| match e.kind() {
        Kind::BrokerState => e.cure(
            "'mq-topics verify' names the files that belong to no topic: move them elsewhere; the \
             rest is removed within a minute: try again then",
        ),
        _ => e,
    })?;
    Ok(log_dir::registered_path(store, &file))
}

/// Refuses a broker that topics count on.
fn refuse_counted_on(store: &StoreDir, broker: BrokerId) -> Result<()> {
    let mut found = Vec::new();
    for name in topic_file::list(store)? {
        if let Some((meta, _)) = topic_file::read_if_there(store, &name)? {
            let holds = |p: &&PartitionMeta| p.uuid_of(broker).is_some();
            let partitions = meta.partitions.iter().filter(holds);
            found.extend(partitions.map(|p| TopicPartition::new(name.clone(), p.partition)));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let names = TopicPartition::first_of(&found, NAMED_MAX);
    let text = format!("broker {broker} has replicas of {names}");
    Err(Error::new(Kind::BrokerState, text)
        .cure("'mq-broker reassign TOPIC=BROKERS' gives them to others"))
}
