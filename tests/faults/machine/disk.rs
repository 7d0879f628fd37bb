//! Disks and files that are full.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::logs::{ECHO, check, clear, lines, prepare};
use crate::proc::{Failure, Place, acknowledged, works_on};

/// No file may grow beyond a limit.
pub fn limited(place: &Place, limit: usize, fresh: bool) -> Result<(), Failure> {
    let owed = if fresh {
        Vec::new()
    } else {
        prepare(place, &[])?
    };
    let new = lines("new", 300);
    place.input("new", &new);
    // The echo goes through a pipe: its file has no limit.
    let ran = place.shell(&format!(
        "prlimit --fsize={limit} mq-produce -q --batch-size 1KiB -o '%p %o %v\\n' t < new | cat; \
         exit ${{PIPESTATUS[0]}}"
    ))?;
    match ran.code() {
        Some(0) => {
            let count = acknowledged(&ran)?.len();
            hold!(
                count == new.len(),
                "0, but {count} of {} are acknowledged",
                new.len()
            );
        }
        Some(1) => clear(&ran)?,
        // The page's second copy has no room: what was appended may come to light.
        Some(74) if limit < 4608 => clear(&ran)?,
        _ => {
            return Err(ran.ending());
        }
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

/// A file system that is mounted for a case.
struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

pub fn full_disk(place: &Place) -> Result<(), Failure> {
    let at = place.dir().join("small");
    fs::create_dir(&at).map_err(|e| e.to_string())?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&at)
        .stderr(Stdio::null());
    if !mount.status().is_ok_and(|status| status.success()) {
        println!("a full disk: skipped: may not mount");
        return Ok(());
    }
    let _mount = Mount(&at);
    let ballast = at.join("ballast");
    fs::write(&ballast, vec![7; 256 * 1024]).map_err(|e| e.to_string())?;
    let place = &place.with_store(at.join("store"));
    let owed = prepare(place, &[])?;
    let new = lines("new", 20_000);
    let input = place.input("new", &new);
    let ran = place.feed(
        "mq-produce",
        &["-q", "--batch-size", "8KiB", "-o", ECHO, "t"],
        &input,
    )?;
    let ran = ran.expect(1)?;
    clear(&ran)?;
    hold!(
        ran.stderr.to_lowercase().contains("space"),
        "nothing of space: {}",
        ran.stderr
    );
    check(place, owed.clone(), &ran, &new)?;
    let first = acknowledged(&ran)?;
    hold!(!first.is_empty(), "nothing was stored");
    // Once more, on a disk that is still full.
    let one = place.input("one", &["x".repeat(100_000)]);
    let again = place
        .feed("mq-produce", &["-q", "-o", ECHO, "t"], &one)?
        .expect(1)?;
    hold!(again.stdout.is_empty(), "acknowledged on a full disk");
    fs::remove_file(&ballast).map_err(|e| e.to_string())?;
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}
