//! Removal of replica directories.
//!
//! Invariant: one is moved aside only under its own append lock, after the path check, if its ids
//! are those to be removed and no topic file read under that lock names it; and it is removed only
//! if its topic was deleted, a reassignment retired it, or it was never used.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock;
use super::strays::{ReplicaIds, ReplicaStatus, certain_status, is_retired, read_ids};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::partition::{AppendGuard, Offline, Replica, remove_dir};
use crate::store::{self, StoreDir};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// Removes replica directories of one broker, many for one sync of their names. Directories moved
/// aside are removed at the latest when this value is dropped; once `go_on` is false, the next
/// sweep removes them.
pub struct Remover<'a> {
    store: Arc<StoreDir>,
    broker: BrokerId,
    go_on: &'a dyn Fn() -> bool,
    /// Their parent directory, and the names of those that are moved aside and not yet removed.
    aside: Option<(Arc<dyn Dir>, Vec<String>)>,
}

/// The number of directories moved aside before their names are synced and they are removed.
const ASIDE_MAX: usize = 64;

impl std::fmt::Debug for Remover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remover")
            .field("broker", &self.broker)
            .field("aside", &self.aside)
            .finish_non_exhaustive()
    }
}

impl<'a> Remover<'a> {
    /// For that broker, for as long as `go_on` says.
    pub fn new(store: &Arc<StoreDir>, broker: BrokerId, go_on: &'a dyn Fn() -> bool) -> Self {
        Remover {
            store: Arc::clone(store),
            broker,
            go_on,
            aside: None,
        }
    }

    /// Moves a replica directory aside, to be removed, if it is the requested one, no topic file
    /// names it, and it is known to be deleted, retired or never used. A directory that is gone, or
    /// belongs to another replica by now, is left alone.
    ///
    /// # Errors
    /// [`Kind::Busy`], [`Kind::Io`].
    pub fn remove(
        &mut self,
        tp: &TopicPartition,
        topic_id: Uuid,
        uuid: Uuid,
        timeout: Duration,
    ) -> Result<()> {
        let (store, broker) = (&self.store, self.broker);
        let replica = match Replica::open(store, tp, broker) {
            Ok(replica) => replica,
            Err(e) if e.kind() == Kind::Fenced => {
                if !store::is_deleted(store, topic_id, uuid)?
                    && !is_retired(store, tp, topic_id, uuid)?
                {
                    return Ok(());
                }
                return crate::partition::remove_lost(store, tp, broker, topic_id, uuid, timeout);
            }
            Err(e) => return Err(e),
        };
        let held = match replica.lock(timeout) {
            Ok(held) => held,
            Err(e) if e.kind() == Kind::Fenced => return Ok(()),
            Err(e) => return Err(e),
        };
        if !is_replica(&replica, &held, topic_id, uuid)? {
            return Ok(());
        }
        let page = held.page()?;
        let (logs, name) = (replica.logs(), store::replica_dir(tp));
        let ids = ReplicaIds {
            topic_id,
            replica: uuid,
        };
        match certain_status(store, &**logs, tp, timeout, page.as_ref(), ids)? {
            ReplicaStatus::Worthless => {}
            ReplicaStatus::Named | ReplicaStatus::Stray => return Ok(()),
            ReplicaStatus::InTheMaking(maker) => return Err(maker_lock::at_work(store, maker, tp)),
        }
        if let Some(mut page) = page {
            // Readers and writers of the old directory notice.
            held.take_offline(&mut page, Offline::Removed)?;
        }
        let aside = store::aside_dir(tp, &Uuid::random()?);
        logs.rename_new(&name, &aside)
            .map_err(|e| Error::io("move aside", join(&**logs, &name), e))?;
        let logs = Arc::clone(logs);
        drop(held);
        if let Some((before, _)) = &self.aside
            && !Arc::ptr_eq(before, &logs)
        {
            // The log directory moved.
            self.finish()?;
        }
        let (_, names) = self.aside.get_or_insert_with(|| (logs, Vec::new()));
        names.push(aside);
        if names.len() >= ASIDE_MAX {
            self.finish()?;
        }
        Ok(())
    }

    /// Makes their new names durable, then removes them.
    ///
    /// # Errors
    /// [`Kind::Io`]: then they are left to the next sweep.
    pub fn finish(&mut self) -> Result<()> {
        let Some((logs, names)) = self.aside.take() else {
            return Ok(());
        };
        if !(self.go_on)() {
            return Ok(());
        }
        logs.sync().map_err(|e| Error::io("sync", logs.path(), e))?;
        for name in names.iter().take_while(|_| (self.go_on)()) {
            remove_dir(&*logs, name);
        }
        Ok(())
    }
}

impl Drop for Remover<'_> {
    fn drop(&mut self) {
        // Directories that stay are worthless, and the next sweep removes them.
        let _ = self.finish();
    }
}

/// Whether a replica directory is in its place, or on its way there. A directory without readable
/// ids may be the replica, so it counts.
pub fn is_replica_there(logs: &dyn Dir, tp: &TopicPartition, uuid: Uuid) -> Result<bool> {
    let is_there = |name: &str| match logs.id(name) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", join(logs, name), e)),
    };
    let name = store::replica_dir(tp);
    if is_there(&store::future_dir(tp, &uuid))? {
        return Ok(true);
    }
    if !is_there(&name)? {
        return Ok(false);
    }
    let there = read_ids(logs, &name)?.and_then(|ids| ids.replica_uuid);
    Ok(there.is_none_or(|there| there == uuid))
}

fn is_replica(
    replica: &Replica,
    held: &AppendGuard<'_>,
    topic_id: Uuid,
    uuid: Uuid,
) -> Result<bool> {
    if let Some(page) = held.page()? {
        return Ok(page.topic_id == topic_id && page.replica_uuid == uuid);
    }
    Ok(replica
        .metadata()?
        .is_some_and(|m| m.topic_id == topic_id && m.replica_uuid == Some(uuid)))
}

/// Renames the directory of `tp` aside and removes it. Under its append lock.
pub(crate) fn move_aside(logs: &dyn Dir, tp: &TopicPartition) -> Result<()> {
    let name = store::replica_dir(tp);
    let aside = store::aside_dir(tp, &Uuid::random()?);
    logs.rename_new(&name, &aside)
        .map_err(|e| Error::io("move aside", join(logs, &name), e))?;
    logs.sync().map_err(|e| Error::io("sync", logs.path(), e))?;
    remove_dir(logs, &aside);
    Ok(())
}

/// Renames the directory of `tp` out of the way of another and keeps it: no deletion accounts for
/// it.
pub(crate) fn move_stray(logs: &dyn Dir, tp: &TopicPartition) -> Result<()> {
    let name = store::replica_dir(tp);
    let stray = store::stray_dir(tp, &Uuid::random()?);
    logs.rename_new(&name, &stray)
        .map_err(|e| Error::io("move aside", join(logs, &name), e))?;
    logs.sync().map_err(|e| Error::io("sync", logs.path(), e))
}
