//! The part of a group's history that `offsets.log` still has, and the bad lines in it.

use std::collections::HashSet;
use std::sync::Arc;

use super::directory;
use super::group_file::GroupFile;
use super::offsets_line::{Line, LineKind, OffsetsEntry};
use super::offsets_log::OffsetsLog;
use crate::error::{Kind, Result};
use crate::store::StoreDir;

/// The lines that count, oldest first, and the problems of the file. Lines that only order the file
/// are left out. If the file was rewritten, the former lines are gone except for the current
/// offsets of that time and those before the last change by an administrator.
///
/// # Errors
/// [`Kind::UnknownGroup`] with near names; a deleted group still has a history. [`Kind::Damaged`].
pub fn history(store: &Arc<StoreDir>, group: &str) -> Result<(Vec<Line>, Vec<String>)> {
    let dir = directory::open(store, group)?;
    let mut log = OffsetsLog::open_to_read(&dir)?;
    let mut lines: Vec<Line> = Vec::new();
    log.refresh_with(&mut |line| lines.push(line.clone()))?;
    if lines.iter().any(|line| line.kind == LineKind::Clear) {
        // A rewritten file is not in the order of time, and repeats some offsets.
        lines = lines.into_iter().flat_map(single).collect();
        lines.sort_by_key(|line| line.time_ms);
        let mut reported = HashSet::new();
        lines.retain(|line| {
            let Line {
                n: _,
                time_ms,
                kind,
                member,
                epoch: _,
                entries,
            } = line;
            reported.insert(format!("{time_ms} {kind:?} {member:?} {entries:?}"))
        });
    }
    lines.retain(|line| match line.kind {
        LineKind::Clear => false,
        LineKind::Live => line.member.is_some(),
        LineKind::Commit => !line.entries.is_empty(),
        _ => true,
    });
    Ok((lines, log.notes()))
}

/// A line for each offset.
fn single(line: Line) -> Vec<Line> {
    if line.entries.len() < 2 {
        return vec![line];
    }
    let one = |entry: &OffsetsEntry| Line {
        entries: vec![entry.clone()],
        ..line.clone()
    };
    line.entries.iter().map(one).collect()
}

/// The problems of the files of all groups, a note each: the bad lines of `offsets.log`, file and
/// byte, and a `group.json` that cannot be read.
///
/// # Errors
/// [`Kind::Io`]. A missing file is a note, too.
pub fn findings(store: &Arc<StoreDir>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in directory::list_all(store)? {
        let dir = match store.group_dir(&name) {
            Err(e) if e.kind() == Kind::UnknownGroup => continue,
            other => other?,
        };
        let log = OffsetsLog::open_to_read(&dir).and_then(|mut log| {
            log.refresh()?;
            Ok(log.notes())
        });
        let file = GroupFile::read(&dir, store.boot_id()).map(|_| Vec::new());
        for observed in [log, file] {
            match observed {
                Ok(found) => notes.extend(found),
                Err(e) if matches!(e.kind(), Kind::Damaged | Kind::UnusableStore) => {
                    notes.push(e.to_string());
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok(notes)
}
