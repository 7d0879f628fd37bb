//! What the system reports about a file: its id, its kind, and why it is refused.

use std::io;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::disk::FileId;

#[allow(
    clippy::unnecessary_cast,
    reason = "the fields have other types on other systems"
)]
pub(crate) fn id_of(stat: &Stat) -> FileId {
    FileId {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
    }
}

pub(crate) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(crate) fn not_regular() -> io::Error {
    io::Error::other("not a regular file")
}

pub(crate) fn refusal(error: Errno) -> io::Error {
    if error == Errno::LOOP {
        symlink()
    } else {
        error.into()
    }
}

pub(crate) fn symlink() -> io::Error {
    io::Error::other("a symbolic link stands in the way")
}
