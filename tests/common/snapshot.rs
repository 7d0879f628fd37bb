//! Texts that are compared with files in tests/snapshots. `MQ_BLESS=1` rewrites the files.
#![allow(dead_code, reason = "each binary uses a part")]

use std::fs;
use std::path::PathBuf;

use super::switches::is_blessing;

/// The file of a text.
pub fn path(suite: &str, name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    dir.join(suite).join(format!("{name}.txt"))
}

/// How a text differs from its file; `None` if it does not, or was written just now.
pub fn differs(suite: &str, name: &str, found: &str) -> Option<String> {
    let path = path(suite, name);
    if is_blessing() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, found).expect("written");
        return None;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let text = format!("{name}:\n--- expected\n{expected}+++ found\n{found}");
    (found != expected).then_some(text)
}
