//! `cleanup.json` in a replica's directory: what the last cleanup did. It is a hint for `describe`:
//! not synced, and missing or unreadable is as good as none.

use serde::{Deserialize, Serialize};

use crate::disk::{Dir, Open};
use crate::store::{json_file, read_small};

const FILE: &str = "cleanup.json";
const TEMPORARY: &str = "cleanup.json.tmp";
/// A pass that found nothing to do is noted after so long, ms.
const FRESH_FOR_MS: i64 = 10_000;

/// What the last cleanup did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupFile {
    /// When it was, ms since the Unix epoch.
    pub last_pass: i64,
    /// Why it could not do its work; `None`: it did.
    pub last_error: Option<String>,
    /// Records without a key that the last compaction saw; `None` before one.
    pub keyless_records: Option<u64>,
}

impl CleanupFile {
    /// Reads it; `None` before a pass.
    pub fn read(dir: &dyn Dir) -> Option<Self> {
        let bytes = read_small(dir, FILE).ok()??;
        json_file::decode(&bytes, FILE).ok()
    }

    /// Notes a compaction, with the records without a key that it saw, if it went through the log.
    pub(crate) fn note_compaction(
        dir: &dyn Dir,
        now_ms: i64,
        error: Option<String>,
        keyless: Option<u64>,
    ) {
        let known = CleanupFile::read(dir).and_then(|known| known.keyless_records);
        let next = CleanupFile {
            last_pass: now_ms,
            last_error: error,
            keyless_records: keyless.or(known),
        };
        let _ = next.write(dir);
    }

    /// Notes a pass. `did_work`: it is noted also where the last note is of a moment ago.
    pub(super) fn note(dir: &dyn Dir, now_ms: i64, error: Option<String>, did_work: bool) {
        let known = CleanupFile::read(dir);
        let is_noted = known.as_ref().is_some_and(|known| {
            known.last_error == error && (0..FRESH_FOR_MS).contains(&(now_ms - known.last_pass))
        });
        if is_noted && !did_work {
            return;
        }
        let next = CleanupFile {
            last_pass: now_ms,
            last_error: error,
            keyless_records: known.and_then(|known| known.keyless_records),
        };
        // Another process that writes it at the same time knows as much.
        let _ = next.write(dir);
    }

    fn write(&self, dir: &dyn Dir) -> std::io::Result<()> {
        let _ = dir.remove(TEMPORARY);
        let file = dir.open(TEMPORARY, Open::CreateNew)?;
        file.write_at(&json_file::encode(self), 0)?;
        dir.rename(TEMPORARY, FILE)
    }
}
