//! A file being written that is worthless until it is renamed. It is removed on failure: otherwise
//! a recovery that fails on a full disk would use more space at each try.

use std::path::PathBuf;
use std::sync::Arc;

use super::file_name::{FileKind, SegmentFile};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Result};

/// Such a file. If it is dropped before it is renamed, it is removed.
pub(crate) struct Unfinished<'a> {
    dir: &'a dyn Dir,
    name: String,
    renamed: bool,
}

impl<'a> Unfinished<'a> {
    /// Creates it, empty.
    pub(crate) fn make(dir: &'a dyn Dir, file: SegmentFile) -> Result<(Self, Arc<dyn File>)> {
        let name = file.name();
        let open = dir
            .open(&name, Open::CreateNew)
            .map_err(|e| Error::io("make", join(dir, &name), e))?;
        let renamed = false;
        Ok((Unfinished { dir, name, renamed }, open))
    }

    pub(crate) fn path(&self) -> PathBuf {
        join(self.dir, &self.name)
    }

    /// Renames it, once it is whole and on disk.
    pub(crate) fn rename_with(
        &mut self,
        rename: impl FnOnce(&str) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        rename(&self.name)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // If it fails, the next recovery removes it.
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Removes what killed recoveries and compactions left. A compaction that is under way ends then: the
/// caller begins a new generation.
pub(crate) fn remove_all(dir: &dyn Dir) -> Result<()> {
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    for entry in entries {
        match SegmentFile::parse(&entry.name) {
            Some(file)
                if matches!(file.kind, FileKind::CutInTheMaking | FileKind::Rewrite)
                    || file.kind.is_of_compaction() =>
            {
                remove_if_there(dir, file)?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn remove_if_there(dir: &dyn Dir, file: SegmentFile) -> Result<()> {
    match dir.remove(&file.name()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", join(dir, &file.name()), e))
        }
        _ => Ok(()),
    }
}
