//! Names of the files of one partition, made and parsed here and nowhere else.
//!
//! Source: `LogFileUtils.java`: the base offset with 20 digits, then the kind. A compaction adds
//! `.cleaned` to the names of the files that it writes. The names of cut bytes are mq's own: `OFFSET.cut`, and `OFFSET.2.cut` and so on if that name is taken.

use std::borrow::Cow;

use crate::types::Offset;

/// What a file of a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Bytes that a recovery or repair cut off, kept for inspection: the first at its offset is 1,
    /// and no later one replaces it.
    Cut(u32),
    /// A copy that a rewrite of unsynced bytes is writing; worthless until renamed.
    Rewrite,
    /// A future [`FileKind::Cut`], being written; worthless until renamed.
    CutInTheMaking,
    /// A log that a compaction is writing; worthless until renamed.
    Cleaned,
    /// Its offset index.
    CleanedIndex,
    /// Its time index.
    CleanedTimeIndex,
}

impl FileKind {
    fn suffix(self) -> Cow<'static, str> {
        match self {
            FileKind::Log => ".log".into(),
            FileKind::Index => ".index".into(),
            FileKind::TimeIndex => ".timeindex".into(),
            FileKind::Cut(1) => ".cut".into(),
            FileKind::Cut(n) => format!(".{n}.cut").into(),
            FileKind::Rewrite => ".log.rescue".into(),
            FileKind::CutInTheMaking => ".cut.tmp".into(),
            FileKind::Cleaned => ".log.cleaned".into(),
            FileKind::CleanedIndex => ".index.cleaned".into(),
            FileKind::CleanedTimeIndex => ".timeindex.cleaned".into(),
        }
    }

    /// Whether a compaction writes it, and it is worthless until it is renamed.
    pub fn is_of_compaction(self) -> bool {
        matches!(
            self,
            FileKind::Cleaned | FileKind::CleanedIndex | FileKind::CleanedTimeIndex
        )
    }
}

/// A file of a segment: its base offset and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentFile {
    /// First offset of the segment (of a cut: of what was cut).
    pub base: Offset,
    /// What it holds.
    pub kind: FileKind,
}

impl SegmentFile {
    /// Names a file.
    pub fn new(base: Offset, kind: FileKind) -> Self {
        SegmentFile { base, kind }
    }

    /// The file's name.
    pub fn name(self) -> String {
        format!("{:020}{}", self.base, self.kind.suffix())
    }

    /// The file that `name` names, if it is one of a segment.
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.get(..20)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let base = digits.parse().ok()?;
        let suffix = name.get(20..)?;
        let number = suffix
            .strip_prefix('.')
            .and_then(|rest| rest.strip_suffix(".cut"))
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(1);
        [
            FileKind::Log,
            FileKind::Index,
            FileKind::TimeIndex,
            FileKind::Cut(number),
            FileKind::Rewrite,
            FileKind::CutInTheMaking,
            FileKind::Cleaned,
            FileKind::CleanedIndex,
            FileKind::CleanedTimeIndex,
        ]
        .into_iter()
        .find(|kind| kind.suffix() == suffix)
        .map(|kind| SegmentFile { base, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_not_ours() {
        for kind in [
            FileKind::Log,
            FileKind::Index,
            FileKind::TimeIndex,
            FileKind::Cut(1),
            FileKind::Cut(2),
            FileKind::Cut(u32::MAX),
            FileKind::Rewrite,
            FileKind::CutInTheMaking,
            FileKind::Cleaned,
            FileKind::CleanedIndex,
            FileKind::CleanedTimeIndex,
        ] {
            for base in [0, 7, i64::MAX] {
                let file = SegmentFile::new(base, kind);
                assert_eq!(SegmentFile::parse(&file.name()), Some(file));
            }
        }
        assert_eq!(
            SegmentFile::new(42, FileKind::Log).name(),
            "00000000000000000042.log"
        );
        assert_eq!(
            SegmentFile::new(42, FileKind::Cut(2)).name(),
            "00000000000000000042.2.cut"
        );
        for other in [
            "",
            "1.log",
            "0000000000000000004x.log",
            "00000000000000000042.tmp",
            "00000000000000000042.1.cut",
            "00000000000000000042.02.cut",
            "00000000000000000042.+2.cut",
            "00000000000000000042..cut",
            "ä",
        ] {
            assert_eq!(SegmentFile::parse(other), None, "{other}");
        }
    }
}
