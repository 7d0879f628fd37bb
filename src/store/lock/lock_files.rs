//! Files and directories beside a fenced lock: the holder creates, reads and removes them.

use std::io;

use super::heartbeat::COUNTER_LEN;
use crate::disk::{Dir, EntryKind, File, join};
use crate::error::Error;
use crate::store::usability::{denied, is_denied};

/// Depth of directories below an `ID/` that are removed with it: what is moved there is flat.
pub(crate) const DEPTH_MAX: usize = 4;

/// Length of the line in a lock file, bytes.
pub(crate) const LINE_LEN: usize = 256;

/// Whether `path` names the file that is open.
pub(crate) fn names(dir: &dyn Dir, path: &str, file: &dyn File) -> io::Result<bool> {
    match dir.id(path) {
        Ok(id) => Ok(id == file.id()?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes a file, or a directory and its contents. A missing one is no error.
pub(crate) fn remove_tree(
    dir: &dyn Dir,
    path: &str,
    kind: EntryKind,
    depth_max: usize,
) -> io::Result<()> {
    let gone = |e: io::Error| {
        if e.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(e)
        }
    };
    if kind != EntryKind::Dir {
        return dir.remove(path).or_else(gone);
    }
    // A rename into it may complete between the emptying and the removal: then try again.
    for _ in 0..8 {
        match empty_dir(dir, path, depth_max) {
            Ok(()) => {}
            Err(e) => return gone(e),
        }
        match dir.remove_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done.or_else(gone),
        }
    }
    Err(io::ErrorKind::DirectoryNotEmpty.into())
}

/// Removes the contents of a directory.
pub(crate) fn empty_dir(dir: &dyn Dir, path: &str, depth_max: usize) -> io::Result<()> {
    for entry in dir.list(path)? {
        let below = depth_max
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("nested deeper than any directory that mq creates"))?;
        remove_tree(dir, &format!("{path}/{}", entry.name), entry.kind, below)?;
    }
    Ok(())
}

pub(crate) fn io_error(dir: &dyn Dir, op: &'static str, name: &str, e: io::Error) -> Error {
    if is_denied(&e) {
        return denied(dir.path(), "written", e);
    }
    Error::io(op, join(dir, name), e)
}

/// A holder's line: [`LINE_LEN`] bytes.
pub(crate) fn line(counter: u64, id: &str, about: &str) -> Vec<u8> {
    let mut line = format!("{counter:0COUNTER_LEN$} {id} {about}").into_bytes();
    line.resize(LINE_LEN - 1, b' ');
    line.push(b'\n');
    line
}

/// The line of a lock file. An unreadable file reads as empty, which does not change either.
pub(crate) fn read_line(file: &dyn File) -> Vec<u8> {
    let mut line = vec![0; LINE_LEN];
    let read = file.read_at(&mut line, 0).unwrap_or(0);
    line.truncate(read);
    line
}
