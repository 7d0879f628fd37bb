//! A broker that is created with its first start.
//!
//! 1. Its directory is completed in a staging directory (`store::staging`), whose name and lock say
//!    that it is being made: with the registration, the log directory, and its liveness lock held.
//!    It is renamed into place under the store's fenced lock, so that no process ever sees it
//!    incomplete.
//! 2. A start that is refused, or dies, leaves no broker: its staging directory is removed with it,
//!    or swept later.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::broker_options::{BrokerOptions, First, rack_of};
use crate::disk::{Dir, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::brokers::claim;
use crate::store::{
    self, BrokerFile, FencedLock, LivenessLock, Process, StagingDir, StoreDir, json_file, layout,
};
use crate::types::BrokerId;

/// Creates the broker and registers its first incarnation; `None` if another start was quicker.
///
/// # Errors
/// Those of the registration.
pub(crate) fn start(
    store: &Arc<StoreDir>,
    broker: BrokerId,
    options: &BrokerOptions,
    timeout: Duration,
) -> Result<Option<First>> {
    if broker < 0 {
        let text = format!("{broker} cannot be a broker's id");
        return Err(Error::new(Kind::Usage, text).cure("ids are whole numbers from 0"));
    }
    if let Some(path) = &options.log_dir {
        store::check(store, broker, path)?;
    }
    let staging = StagingDir::make(&store.brokers_dir()?)?;
    let name = broker.to_string();
    let dir = make_dir(&**staging.dir(), &name)?;
    let Some(lock) = LivenessLock::try_take(&dir, store::BROKER_LOCK)? else {
        let text = format!("{} was taken by another process", dir.path().display());
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    };
    if options.log_dir.is_none() {
        let logs = make_dir(&*dir, store::LOGS_DIR)?;
        store::claim_empty(store, broker, &*logs)?;
    }
    let guard = FencedLock::acquire_store(store, "make a broker", timeout)?;
    if store.has_broker(broker)? {
        return Ok(None);
    }
    // Under the lock: no other process claims it for the same new broker.
    let claimed = options
        .log_dir
        .as_ref()
        .map(|path| claim::claim(store, broker, path))
        .transpose()?;
    let process = Process::current(&**store.clock());
    let file = BrokerFile {
        incarnation: 1,
        pid: Some(process.pid),
        rack: options.rack.as_deref().and_then(rack_of),
        log_dir: claimed
            .as_ref()
            .and_then(|claimed| claimed.log_dir().map(str::to_owned)),
        ..BrokerFile::new(broker)
    };
    write(&*dir, store::BROKER_FILE, &json_file::encode(&file))?;
    lock.write_holder(file.incarnation, process)?;
    dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
    let from = format!("{}/{}/{name}", store::BROKERS_DIR, staging.name());
    guard.publish_dir(&from, &layout::broker_dir(broker))?;
    drop(guard);
    let warnings = claimed.map(store::Claimed::keep).unwrap_or_default();
    let notes = vec![format!("broker {broker} is new")];
    Ok(Some(First {
        file,
        lock: lock.moved_to(store.broker_dir(broker)?),
        warnings,
        notes,
    }))
}

fn make_dir(parent: &dyn Dir, name: &str) -> Result<Arc<dyn Dir>> {
    let error = |op| move |e: io::Error| Error::io(op, join(parent, name), e);
    parent.create_dir(name).map_err(error("make"))?;
    parent.open_dir(name).map_err(error("open"))
}

fn write(dir: &dyn Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let error = |op| move |e: io::Error| Error::io(op, join(dir, name), e);
    let file = dir.open(name, Open::CreateNew).map_err(error("make"))?;
    file.write_at(bytes, 0).map_err(error("write"))?;
    file.sync_data().map_err(error("sync"))
}
