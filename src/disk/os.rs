//! The real disk.
//!
//! Invariant: no path is resolved twice. A directory is opened once by path; all below it is
//! reached from that descriptor, and no step goes through a symbolic link. A name of several
//! components has its parent opened first, so that the last step always names one entry.
//!
//! What is created in a shared directory of a Unix group (see [`Access`]) is the group's. The bits
//! that the umask removed are restored by fchmod. Between the two calls other members are refused,
//! permanently if the process is killed there; so a directory that is given to a group also gets a
//! default ACL, if the file system has ACLs, and the kernel then ignores the umask.

mod file;
mod handle;
mod machine;
mod shared;
mod stat;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RawMode};
use rustix::io::{Errno, retry_on_intr};

use super::{
    Access, Dir, Disk, Entry, EntryKind, File, FileId, FileSystem, Identity, Open, SHARED_FILE,
    Watcher,
};
use file::OsFile;
use handle::{
    Closing, DIR_FLAGS, Handle, counted, is_link_at, make_room, open_beneath, try_open_beneath,
    with_room,
};
pub use handle::{DescriptorShare, descriptors_denied, descriptors_max};
use shared::{access_of, share, share_made};
pub use shared::{group_id, group_name, sharing_of};
pub(crate) use stat::id_of;
use stat::{is_dir, not_regular, refusal, symlink};

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let fd = open_last_nofollow(path)?;
        Ok(Arc::new(OsDir {
            handle: Handle::open(fd),
            path: path.to_owned(),
        }))
    }

    fn open_dir_through_links(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let mut path = named(path);
        if fs::readlink(&path, Vec::new()).is_ok() {
            // Watches use paths, and follow no link.
            path = std::fs::canonicalize(&path)?;
        }
        let open = || retry_on_intr(|| fs::openat(CWD, &path, DIR_FLAGS, Mode::empty()));
        let handle = Handle::open(counted(with_room(open))?);
        Ok(Arc::new(OsDir { handle, path }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = named(path);
        loop {
            // Links are followed here: those above the directory are up to the user.
            match fs::stat(&at) {
                Ok(stat) if is_dir(&stat) => break,
                Ok(_) => return Err(Errno::NOTDIR.into()),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let parent = parent_of(&at);
            missing.push(at);
            at = parent;
        }
        for path in missing.into_iter().rev() {
            match fs::mkdirat(CWD, &path, Mode::RWXU) {
                // Another process was faster, which is as good; its name is synced all the same.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let parent = fs::openat(CWD, parent_of(&path), DIR_FLAGS, Mode::empty())?;
            fs::fsync(parent)?;
        }
        Ok(())
    }

    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        let mut at = named(path);
        loop {
            match fs::statfs(&at) {
                Ok(found) => return Ok(machine::file_system(&found)),
                Err(Errno::NOENT) if at.as_os_str() != "." => at = parent_of(&at),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn boot_id(&self) -> io::Result<[u8; 16]> {
        machine::boot_id()
    }

    fn lock_holders(&self, id: super::FileId) -> Vec<u32> {
        machine::lock_holders(id)
    }

    fn watcher(&self) -> io::Result<Box<dyn Watcher>> {
        super::watch::kernel_watcher()
    }
}

/// A held directory descriptor.
#[derive(Debug)]
struct OsDir {
    handle: Handle,
    path: PathBuf,
}

impl Dir for OsDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn own_id(&self) -> io::Result<FileId> {
        Ok(id_of(&fs::fstat(self.handle.get()?)?))
    }

    fn access(&self, name: &str) -> io::Result<Access> {
        if name == "." {
            return Ok(access_of(&fs::fstat(self.handle.get()?)?));
        }
        let (parent, last) = self.parent(name)?;
        let found = fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(access_of(&found))
    }

    fn share(&self, name: &str, group: u32) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        share(self.open_below(name, flags)?.as_fd(), group)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let fd = self.open_below(name, DIR_FLAGS)?;
        Ok(Arc::new(OsDir {
            handle: Handle::open(fd),
            path: super::join(self, name),
        }))
    }

    fn open_dir_kept(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        make_room();
        let fd = self.open_below(name, DIR_FLAGS)?;
        Ok(Arc::new(OsDir {
            handle: Handle::kept(&self.handle, name, DIR_FLAGS, fd, Closing::ToReopen),
            path: super::join(self, name),
        }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        let (parent, last) = self.parent(name)?;
        let above = access_of(&fs::fstat(&parent)?);
        if !above.is_shared() {
            return Ok(fs::mkdirat(parent, last, Mode::RWXU)?);
        }
        fs::mkdirat(&parent, last, Mode::RWXU | Mode::RWXG)?;
        let made = open_beneath(parent.as_fd(), last, DIR_FLAGS).map_err(refusal)?;
        share_made(made.as_fd(), &fs::fstat(&made)?, above.group)
    }

    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let (fd, _, id) = self.open_file(name, how)?;
        Ok(Arc::new(OsFile::new(Handle::open(fd), id)))
    }

    fn open_kept(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        make_room();
        let (fd, flags, id) = self.open_file(name, how)?;
        let handle = Handle::kept(&self.handle, name, flags, fd, Closing::ToReopen);
        Ok(Arc::new(OsFile::new(handle, id)))
    }

    fn open_to_compare(&self, name: &str) -> io::Result<Arc<dyn File>> {
        make_room();
        let (fd, flags, id) = self.open_file(name, Open::Read)?;
        let handle = Handle::kept(&self.handle, name, flags, fd, Closing::ToCompare);
        Ok(Arc::new(OsFile::new(handle, id)))
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        let (parent, last) = self.parent(name)?;
        Ok(id_of(&fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn len_of(&self, name: &str) -> io::Result<u64> {
        let (parent, last) = self.parent(name)?;
        Ok(fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW)?.st_size as u64)
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        let (parent, last) = self.parent(name)?;
        machine::identity(parent.as_fd(), last)
    }

    fn list(&self, name: &str) -> io::Result<Vec<Entry>> {
        let mut dir = fs::Dir::new(self.open_below(name, DIR_FLAGS)?)?;
        let mut entries = Vec::new();
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not list the type.
                FileType::Unknown => match fs::statat(dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                },
                known => known,
            };
            let kind = match kind {
                FileType::RegularFile => EntryKind::File,
                FileType::Directory => EntryKind::Dir,
                _ => EntryKind::Other,
            };
            entries.push(Entry {
                name: name.to_owned(),
                kind,
            });
        }
        Ok(entries)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from) = self.parent(from)?;
        let (to_dir, to) = self.parent(to)?;
        Ok(fs::renameat(from_dir, from, to_dir, to)?)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from) = self.parent(from)?;
        let (to_dir, to) = self.parent(to)?;
        machine::rename_new(from_dir.as_fd(), from, to_dir.as_fd(), to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(fs::unlinkat(parent, last, AtFlags::empty())?)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(fs::unlinkat(parent, last, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        // Not retried after a signal: any error of fsync is final.
        Ok(fs::fsync(self.handle.get()?)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(self.handle.get()?)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl OsDir {
    /// An open file, the flags that it was opened with, and its id.
    fn open_file(&self, name: &str, how: Open) -> io::Result<(OwnedFd, OFlags, FileId)> {
        check(name)?;
        // Without O_NONBLOCK the open of a FIFO waits for its other end; regular files ignore it.
        let flags = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let flags = flags
            | match how {
                Open::Read => OFlags::RDONLY,
                Open::Write => OFlags::RDWR,
                Open::Create => OFlags::RDWR | OFlags::CREATE,
                Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
                Open::Append => OFlags::RDWR | OFlags::CREATE | OFlags::APPEND,
            };
        let own = self.handle.get()?;
        let shared = if flags.contains(OFlags::CREATE) {
            Some(self.access_above(name)?).filter(|above| above.is_shared())
        } else {
            None
        };
        let mode = match (shared, flags.contains(OFlags::CREATE)) {
            (Some(_), _) => Mode::from_raw_mode(SHARED_FILE as RawMode),
            (None, true) => Mode::RUSR | Mode::WUSR,
            // openat2 refuses a mode if no file can be created.
            (None, false) => Mode::empty(),
        };
        let opened = counted(with_room(|| {
            try_open_beneath(own.as_fd(), name, flags, mode)
        }));
        let fd = match opened {
            Err(Errno::ISDIR | Errno::NXIO) => return Err(not_regular()),
            other => other.map_err(refusal)?,
        };
        let stat = fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        // No link is allowed: the file was replaced by a rename after it was opened.
        if stat.st_nlink > 1 {
            return Err(io::Error::other("a file with more than one link"));
        }
        if let Some(above) = shared {
            share_made(fd.as_fd(), &stat, above.group)?;
        }
        Ok((fd, flags, id_of(&stat)))
    }

    /// Owner, group and mode of the directory that contains `name`.
    fn access_above(&self, name: &str) -> io::Result<Access> {
        let (above, _) = self.parent(name)?;
        Ok(access_of(&fs::fstat(above)?))
    }

    fn open_below(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        if name != "." {
            check(name)?;
        }
        open_beneath(self.handle.get()?.as_fd(), name, flags).map_err(refusal)
    }

    /// The directory that holds `name`, and its last component.
    fn parent<'a>(&self, name: &'a str) -> io::Result<(Arc<std::fs::File>, &'a str)> {
        check(name)?;
        match name.rsplit_once('/') {
            None => Ok((self.handle.get()?, name)),
            Some((above, last)) => {
                let own = self.handle.get()?;
                let fd = open_beneath(own.as_fd(), above, PARENT_FLAGS).map_err(refusal)?;
                Ok((Arc::new(fd.into()), last))
            }
        }
    }
}

#[cfg(target_os = "linux")]
const PARENT_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PARENT_FLAGS: OFlags = DIR_FLAGS;

/// Opens a directory by the user's path: links are followed above it, but not at its end.
fn open_last_nofollow(path: &Path) -> io::Result<OwnedFd> {
    let path = named(path);
    let flags = DIR_FLAGS | OFlags::NOFOLLOW;
    let open = || retry_on_intr(|| fs::openat(CWD, &path, flags, Mode::empty()));
    match with_room(open) {
        Err(Errno::NOTDIR) if is_link_at(CWD, &path) => Err(symlink()),
        Err(Errno::LOOP | Errno::MLINK) => Err(symlink()),
        done => Ok(counted(done)?),
    }
}

/// The path without trailing slashes and dots, which would make the kernel follow a link at its
/// end.
fn named(path: &Path) -> PathBuf {
    let path: PathBuf = path.components().collect();
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) => PathBuf::from("."),
        None => path.to_owned(),
    }
}

fn check(name: &str) -> io::Result<()> {
    if name
        .split('/')
        .any(|component| matches!(component, "" | "." | ".."))
    {
        let text = "a name with an empty, `.` or `..` component";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}
