//! Directories that are made for something that may come to nothing.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// Directories that were made for a place. Those that are empty go when this is dropped and not
/// kept.
#[derive(Debug)]
pub(crate) struct MadeDirs<'a> {
    disk: &'a dyn Disk,
    /// The deepest first.
    paths: Vec<PathBuf>,
}

impl<'a> MadeDirs<'a> {
    /// Makes `path` and what is missing above it.
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

    /// They stay.
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
            // Another process uses it, and with it those above.
            if removed.is_err() {
                return;
            }
        }
    }
}
