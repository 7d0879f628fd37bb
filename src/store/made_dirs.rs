//! Directories that are created for an operation that may still fail.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// Directories that were created for a place. Unless they are kept, dropping this removes those
/// that are empty.
#[derive(Debug)]
pub(crate) struct MadeDirs<'a> {
    disk: &'a dyn Disk,
    /// The deepest first.
    paths: Vec<PathBuf>,
}

impl<'a> MadeDirs<'a> {
    /// Creates `path` and its missing parents.
    pub(crate) fn make(disk: &'a dyn Disk, path: &Path) -> io::Result<Self> {
        let is_missing = |at: &&Path| {
            let opened = disk.open_dir_through_links(at);
            opened.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        let paths = path.ancestors().take_while(is_missing);
        let made = MadeDirs {
            disk,
            paths: paths.map(Path::to_owned).collect(),
        };
        disk.create_dir_all(path)?;
        Ok(made)
    }

    /// Keeps them.
    pub(crate) fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for MadeDirs<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return;
            };
            let Some(name) = name.to_str() else { return };
            let removed = self
                .disk
                .open_dir_through_links(parent)
                .and_then(|parent| parent.remove_dir(name));
            // Another process uses it, and so those above it.
            if removed.is_err() {
                return;
            }
        }
    }
}
