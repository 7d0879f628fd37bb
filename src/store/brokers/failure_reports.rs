//! Failure reports to the controller: a file in `reports/` for each partition that a client could
//! not use.
//!
//! A report is a hint and proves nothing: the controller removes the file, then checks for itself.
//! So a needless report does no harm, and a lost one only costs time.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::{Dir, Open, join};
use crate::error::{Error, Result};
use crate::store::dir::StoreDir;
use crate::store::layout;
use crate::types::TopicPartition;

/// Reports that a partition's leader could not be used.
///
/// # Errors
/// [`crate::error::Kind::Io`].
pub fn report(store: &StoreDir, tp: &TopicPartition) -> Result<()> {
    let name = layout::replica_dir(tp);
    let dir = open(store)?;
    match dir.open(&name, Open::CreateNew) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(Error::io("make", join(&*dir, &name), e))
        }
        _ => Ok(()),
    }
}

/// The directory of reports, for a watch; created if it is missing.
///
/// # Errors
/// [`crate::error::Kind::Io`].
pub fn open(store: &StoreDir) -> Result<Arc<dyn Dir>> {
    let root = store.root();
    let error = |op| move |e| Error::io(op, join(&**root, layout::REPORTS_DIR), e);
    match root.create_dir(layout::REPORTS_DIR) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(error("make")(e)),
        _ => {}
    }
    root.open_dir(layout::REPORTS_DIR).map_err(error("open"))
}

/// Removes and returns all reports.
///
/// # Errors
/// [`crate::error::Kind::Io`].
pub fn take(store: &StoreDir) -> Result<Vec<TopicPartition>> {
    let dir = open(store)?;
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let mut taken = Vec::new();
    for entry in entries {
        match dir.remove(&entry.name) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", join(&*dir, &entry.name), e));
            }
            _ => taken.extend(layout::parse_replica_dir(&entry.name)),
        }
    }
    Ok(taken)
}
