//! Directory syncs that make names durable, once a version: a process that acts on a version of a
//! topic file syncs it itself, since it cannot see whether the file's writer synced it.

use std::time::Duration;

use super::replica::Replica;
use super::state_page::Offline;
use crate::error::{Kind, Result};
use crate::log;
use crate::store::StoreDir;

/// Makes the names of a replica and of the topic files durable, unless its state page says that
/// this was done for that version.
///
/// # Errors
/// [`Kind::Offline`] after a failed sync, which is never retried; the replica is marked offline.
pub(crate) fn sync_names(
    store: &StoreDir,
    replica: &Replica,
    version: u64,
    timeout: Duration,
) -> Result<()> {
    let known = replica.read_page()?.map_or(0, |page| page.synced_version);
    if known >= version {
        return Ok(());
    }
    let logs = replica.logs();
    let synced = logs
        .sync()
        .map_err(|e| log::sync_failed(logs.path(), e))
        .and_then(|()| store.sync_topics().map_err(|e| e.with_kind(Kind::Offline)));
    if let Err(e) = synced {
        let held = replica.lock(timeout)?;
        if let Some(mut page) = held.page()? {
            held.take_offline(&mut page, Offline::SyncFailed)?;
        }
        return Err(e);
    }
    Ok(())
}
