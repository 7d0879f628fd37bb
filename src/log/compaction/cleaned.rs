//! The files of a rewritten segment: written under names of their own, synced, then renamed.

use std::sync::Arc;

use crate::disk::{Dir, File, join};
use crate::error::{Error, Kind, Result};
use crate::log::file_name::{FileKind, SegmentFile};
use crate::log::temporary_file::{Unfinished, remove_if_there};
use crate::types::Offset;

/// A segment that was written again and is durable, under other names. Dropped, it is removed.
pub struct CleanedSegment<'a> {
    dir: &'a dyn Dir,
    base: Offset,
    /// The log, the offset index, the time index.
    files: [Option<Unfinished<'a>>; 3],
}

const KINDS: [(FileKind, FileKind); 3] = [
    (FileKind::Cleaned, FileKind::Log),
    (FileKind::CleanedIndex, FileKind::Index),
    (FileKind::CleanedTimeIndex, FileKind::TimeIndex),
];

impl<'a> CleanedSegment<'a> {
    /// Begins the segment's log.
    pub(super) fn begin(dir: &'a dyn Dir, base: Offset) -> Result<(Self, Arc<dyn File>)> {
        remove_if_there(dir, SegmentFile::new(base, FileKind::Cleaned))?;
        let (log, file) = Unfinished::make(dir, SegmentFile::new(base, FileKind::Cleaned))?;
        let files = [Some(log), None, None];
        Ok((CleanedSegment { dir, base, files }, file))
    }

    /// Writes and syncs the indexes.
    pub(super) fn write_indexes(&mut self, index: &[u8], time_index: &[u8]) -> Result<()> {
        let bytes = [&[], index, time_index];
        for ((place, (kind, _)), bytes) in self.files.iter_mut().zip(KINDS).zip(bytes).skip(1) {
            let name = SegmentFile::new(self.base, kind);
            remove_if_there(self.dir, name)?;
            let (made, file) = Unfinished::make(self.dir, name)?;
            let path = made.path();
            file.write_at(bytes, 0)
                .map_err(|e| Error::io("write", &path, e))?;
            file.sync_data().map_err(|e| not_synced(&path, e))?;
            *place = Some(made);
        }
        Ok(())
    }

    /// Puts the log in place, and with `with_indexes` the indexes, too. After each step the log is
    /// whole: an index is removed before the log that it does not fit comes.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn put_in_place(&mut self, with_indexes: bool) -> Result<()> {
        for kind in [FileKind::TimeIndex, FileKind::Index] {
            remove_if_there(self.dir, SegmentFile::new(self.base, kind))?;
        }
        let count = if with_indexes { self.files.len() } else { 1 };
        self.rename(0..count)
    }

    /// Puts the indexes in place, where only the log was.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn put_indexes_in_place(&mut self) -> Result<()> {
        self.rename(1..self.files.len())
    }

    fn rename(&mut self, which: std::ops::Range<usize>) -> Result<()> {
        let chosen = self.files.iter_mut().zip(KINDS).take(which.end);
        for (file, (_, kind)) in chosen.skip(which.start) {
            let name = SegmentFile::new(self.base, kind).name();
            if let Some(file) = file {
                file.rename_with(|from| self.dir.rename(from, &name))
                    .map_err(|e| Error::io("put in place", join(self.dir, &name), e))?;
            }
        }
        Ok(())
    }
}

/// Removes the segment that follows a joined one, whose log holds its records, too. The log goes last.
///
/// # Errors
/// [`Kind::Io`].
pub(crate) fn remove_joined(dir: &dyn Dir, base: Offset) -> Result<()> {
    for kind in [FileKind::TimeIndex, FileKind::Index, FileKind::Log] {
        remove_if_there(dir, SegmentFile::new(base, kind))?;
    }
    Ok(())
}

/// Removes what killed passes left. The caller holds the lock of compaction.
///
/// # Errors
/// [`Kind::Io`].
pub fn remove_orphans(dir: &dyn Dir) -> Result<()> {
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let files = entries.iter().filter_map(|e| SegmentFile::parse(&e.name));
    for file in files.filter(|file| file.kind.is_of_compaction()) {
        remove_if_there(dir, file)?;
    }
    Ok(())
}

/// The error for a failed sync of a file that no one needs: it is removed, and the log is as before.
pub(super) fn not_synced(path: &std::path::Path, e: std::io::Error) -> Error {
    Error::io("sync", path, e).with_kind(Kind::Io)
}
