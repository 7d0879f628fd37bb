//! Small file systems, mounted for a test.
#![allow(dead_code, reason = "each binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The mounts of a test; dropping this unmounts them.
pub struct Mounts(Vec<PathBuf>);

impl Mounts {
    /// Creates each place and mounts a file system with room for `megabytes` there. `None` if this
    /// user may not mount.
    pub fn new<'a>(places: impl Iterator<Item = &'a Path>, megabytes: u32) -> Option<Mounts> {
        Self::with(places, &format!("size={megabytes}m"))
    }

    /// The same, with these options of tmpfs.
    pub fn with<'a>(places: impl Iterator<Item = &'a Path>, options: &str) -> Option<Mounts> {
        let mut mounts = Mounts(Vec::new());
        for at in places {
            std::fs::create_dir_all(at).ok()?;
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(at)
                .stderr(Stdio::null());
            if !mount.status().is_ok_and(|status| status.success()) {
                return None;
            }
            mounts.0.push(at.to_owned());
        }
        Some(mounts)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in &self.0 {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
    }
}
