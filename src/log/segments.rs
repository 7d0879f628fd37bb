//! The segments of a replica directory.

use super::file_name::{FileKind, SegmentFile};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::types::Offset;

/// The base offsets of the segments in a directory, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments {
    bases: Vec<Offset>,
}

impl Segments {
    /// Lists the directory.
    pub fn list(dir: &dyn Dir) -> Result<Self> {
        let entries = dir
            .list(".")
            .map_err(|e| Error::io("list", dir.path(), e))?;
        let mut bases: Vec<Offset> = entries
            .iter()
            .filter_map(|entry| SegmentFile::parse(&entry.name))
            .filter(|file| file.kind == FileKind::Log)
            .map(|file| file.base)
            .collect();
        bases.sort_unstable();
        Ok(Segments { bases })
    }

    /// The base offsets.
    pub fn bases(&self) -> &[Offset] {
        &self.bases
    }

    /// The base of the segment that holds `offset`, if there is one at or below it.
    pub fn holding(&self, offset: Offset) -> Option<Offset> {
        let after = self.bases.partition_point(|base| *base <= offset);
        self.bases.get(after.checked_sub(1)?).copied()
    }

    /// The base of the segment after the one at `base`.
    pub fn after(&self, base: Offset) -> Option<Offset> {
        self.bases
            .get(self.bases.partition_point(|b| *b <= base))
            .copied()
    }

    /// The bases from `base` on.
    pub fn from(&self, base: Offset) -> &[Offset] {
        self.bases
            .get(self.bases.partition_point(|b| *b < base)..)
            .unwrap_or_default()
    }

    /// Those that begin at or below `base`.
    #[must_use]
    pub fn up_to(mut self, base: Offset) -> Self {
        self.bases
            .truncate(self.bases.partition_point(|b| *b <= base));
        self
    }

    /// Those that reach beyond `log_start`: all but the ones that lie wholly below it.
    #[must_use]
    pub fn since(mut self, log_start: Offset) -> Self {
        let below = self.wholly_below(log_start).len();
        self.bases.drain(..below);
        self
    }

    /// Those that end at or below `log_start`: each but the last one ends where the next begins.
    pub fn wholly_below(&self, log_start: Offset) -> &[Offset] {
        let begun = self.bases.partition_point(|base| *base <= log_start);
        self.bases
            .get(..begun.saturating_sub(1))
            .unwrap_or_default()
    }

    /// The bases below `base`.
    pub fn below(&self, base: Offset) -> &[Offset] {
        self.bases
            .get(..self.bases.partition_point(|b| *b < base))
            .unwrap_or_default()
    }
}

/// The error for a failed sync: what it covered may be lost, and the kernel reports the failure
/// only once. Of kind [`Kind::Offline`], since the caller takes the replica offline.
pub fn sync_failed(path: impl AsRef<std::path::Path>, e: std::io::Error) -> Error {
    Error::io("sync", path, e)
        .with_kind(Kind::Offline)
        .cure("check the disk, then 'mq-topics verify --repair truncate TOPIC'")
}

/// CORRUPT_MESSAGE, with file and position.
pub fn damaged(dir: &dyn Dir, base: Offset, position: u64, why: impl std::fmt::Display) -> Error {
    let file = SegmentFile::new(base, FileKind::Log).name();
    Error::new(
        Kind::Damaged,
        format!(
            "CORRUPT_MESSAGE: {} is damaged at byte {position}: {why}",
            join(dir, &file).display()
        ),
    )
    .cure("look at it with 'mq-topics verify --deep TOPIC', then repair with 'mq-topics verify --repair truncate TOPIC'")
}
