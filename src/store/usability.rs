//! Whether a directory can be used as a store, or as a log directory, and why not.

use std::io;
use std::path::Path;

use crate::disk::{Access, Dir, Disk, FileSystem};
use crate::error::{Error, Kind, Result};

pub(crate) fn refuse_network(disk: &dyn Disk, path: &Path) -> Result<()> {
    let found = disk.file_system(path).map_err(|e| {
        let is_file_above = e.kind() == io::ErrorKind::NotADirectory;
        let error = Error::io("look at the file system of", path, e);
        if is_file_above {
            error
                .with_kind(Kind::UnusableStore)
                .cure("name a directory, or a place where one can be made")
        } else {
            error
        }
    });
    match found? {
        FileSystem::Local => Ok(()),
        FileSystem::Network(kind) => Err(Error::new(
            Kind::UnusableStore,
            format!("{} is on a network file system ({kind})", path.display()),
        )
        .cure("use a local disk: locks and caches over a network do not keep what mq promises")),
    }
}

pub(crate) fn is_denied(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// `what`: opened, written or the like.
pub(crate) fn denied(path: &Path, what: &'static str, e: io::Error) -> Error {
    let path = path.display();
    if e.kind() == io::ErrorKind::ReadOnlyFilesystem {
        // No user may: running mq as another user does not help.
        let text = format!("the store {path} may not be {what}: its disk is mounted read-only");
        return Error::new(Kind::UnusableStore, text)
            .cure("mount that disk for writing, or name another store with --store");
    }
    Error::new(
        Kind::UnusableStore,
        format!("the store {path} may not be {what} by this user"),
    )
    .cure(
        "run as the user who owns it, be a member of its Unix group if it has one (mq-broker init \
         --group), or name another with --store",
    )
}

/// Warnings about a directory of the store that are no reason to refuse it.
pub(crate) fn open_warnings(dir: &dyn Dir) -> Result<Vec<String>> {
    let Access { mode, .. } = dir
        .access(".")
        .map_err(|e| Error::io("look at", dir.path(), e))?;
    let mut warnings = Vec::new();
    if mode & OTHERS_WRITE != 0 {
        warnings.push(format!(
            "{} may be written by every user of this machine, and every user who can write a store \
             is trusted: chmod o-w it",
            dir.path().display()
        ));
    }
    Ok(warnings)
}

/// The permission bit that lets every user write (`S_IWOTH`).
pub(crate) const OTHERS_WRITE: u32 = 0o002;
