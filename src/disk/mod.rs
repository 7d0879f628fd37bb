//! The only module that touches files.
//!
//! Three small object-safe traits: a [`Disk`] opens directories; a [`Dir`] is a held directory
//! descriptor within which everything is reached by name (so a process that was stopped resumes in
//! the directory it knew, even if that was moved aside); a [`File`] reads and writes at positions.
//! [`OsDisk`] is the real disk. Tests use their own, which loses what was not synced.
//!
//! Names given to a [`Dir`] are relative, of one or more components separated by `/`. No component
//! may be a symbolic link: that is refused with [`io::ErrorKind::Other`] and a text that says so.
//! All errors are bare [`io::Error`]s; the callers above add the operation and the path.

mod access;
mod os;
mod watch;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use access::{Access, SHARED_DIR, SHARED_FILE, Sharing};
pub use os::{DescriptorShare, OsDisk, group_id, group_name, sharing_of};
pub use os::{descriptors_denied, descriptors_max};
pub use watch::{PollWatcher, SharedWatcher, new_watcher};

/// Device and inode of a file. Compare it only with a file that is kept open, since an inode's
/// number is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
}

/// How [`Dir::open`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing, created (0600, see [`Access`]) if missing.
    Create,
    /// For reading and writing, created (0600, see [`Access`]); [`io::ErrorKind::AlreadyExists`] if
    /// it exists.
    CreateNew,
    /// For reading and appending (O_APPEND), created (0600, see [`Access`]) if missing.
    Append,
}

/// The two kinds of advisory whole-file lock (flock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Any number of holders.
    Shared,
    /// One holder.
    Exclusive,
}

/// The kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A link, FIFO, socket or device.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name. Names that are not UTF-8 are left out of listings: mq never creates one.
    pub name: String,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of file system that a path is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    /// Locks and caches are reliable for the processes of this machine.
    Local,
    /// They are not; its name (`nfs`, `cifs`, ...).
    Network(&'static str),
}

/// Tells a file from later files of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Reused once the file is gone.
    pub id: FileId,
    /// Its birth time, seconds and nanoseconds, if the file system has it.
    pub born: Option<(i64, u32)>,
}

/// Opens directories.
pub trait Disk: Send + Sync + Debug {
    /// Opens an existing directory. The last component may not be a symbolic link.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;
    /// Opens an existing directory, following links too. On a disk without links: as `open_dir`.
    fn open_dir_through_links(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.open_dir(path)
    }
    /// Creates the directory and its missing parents (0700), and makes the names of those it
    /// created durable.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The kind of file system that `path`, or its nearest existing ancestor, is on.
    fn file_system(&self, path: &Path) -> io::Result<FileSystem>;
    /// An id that is new at each boot of the machine; `Unsupported` if the system has none.
    fn boot_id(&self) -> io::Result<[u8; 16]>;
    /// Processes that hold a lock on the file `id`, if the system lists them: for messages.
    fn lock_holders(&self, _id: FileId) -> Vec<u32> {
        Vec::new()
    }
    /// A watcher for changes, or `Unsupported`: then poll (see [`new_watcher`]).
    fn watcher(&self) -> io::Result<Box<dyn Watcher>>;
}

/// A held directory. Clones of the `Arc` share the descriptor.
pub trait Dir: Send + Sync + Debug {
    /// Its path when it was opened: for messages and watches only.
    fn path(&self) -> &Path;
    /// This directory's own id.
    fn own_id(&self) -> io::Result<FileId>;
    /// Owner, group and mode of the file or directory `name` (`.` for this one), links not
    /// followed. On a disk without users: its owner's alone.
    fn access(&self, _name: &str) -> io::Result<Access> {
        Ok(Access {
            owner: 0,
            group: 0,
            mode: 0o700,
            is_dir: true,
        })
    }
    /// Gives the file or directory `name` (`.` for this one) to a Unix group: [`SHARED_FILE`],
    /// [`SHARED_DIR`]. Returns whether it was not the group's before. `PermissionDenied` if this
    /// user does not own it or is not in the group.
    fn share(&self, _name: &str, _group: u32) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Opens a directory below.
    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>>;
    /// The same, for a directory that keeps its name: while it is not used its descriptor may be
    /// given back. A use fails as of a stale handle (`ESTALE`) if the name leads elsewhere by then.
    /// It stays open while a lock on a file in it is held.
    fn open_dir_kept(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        self.open_dir(name)
    }
    /// Creates a directory (0700, see [`Access`]); `AlreadyExists` if it exists.
    fn create_dir(&self, name: &str) -> io::Result<()>;
    /// Opens a file. Refuses, without a hang, anything that is not a regular file or has more than
    /// one link. (A file without any link was replaced or removed meanwhile: check whether the name
    /// still leads to it.)
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>>;
    /// The same, for a file that keeps its name, as [`Dir::open_dir_kept`]. It stays open while its
    /// lock is held.
    fn open_kept(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        self.open(name, how)
    }
    /// The same, for a file that is read at once and compared with its successors later
    /// ([`File::is`]): its descriptor may be given back, whatever the file system.
    fn open_to_compare(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open(name, Open::Read)
    }
    /// The id of the file that `name` names now, links not followed; `NotFound` if there is none.
    fn id(&self, name: &str) -> io::Result<FileId>;
    /// The length of the file `name`, bytes; `NotFound` if there is none.
    fn len_of(&self, name: &str) -> io::Result<u64> {
        self.open(name, Open::Read)?.len()
    }
    /// The same as [`Dir::id`], with the birth time if that is known.
    fn identity(&self, name: &str) -> io::Result<Identity> {
        let id = self.id(name)?;
        Ok(Identity { id, born: None })
    }
    /// The entries of the directory `name` (`.` for this one), in no order, without `.` and `..`.
    fn list(&self, name: &str) -> io::Result<Vec<Entry>>;
    /// Renames, replacing a file (or an empty directory) at `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Renames; `AlreadyExists` if something is at `to`.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, name: &str) -> io::Result<()>;
    /// Makes the names in this directory itself durable (fsync).
    fn sync(&self) -> io::Result<()>;
    /// Bytes that this user may still write on this file system.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file. Reads and writes go to positions; there is no cursor. EINTR is retried inside.
pub trait File: Send + Sync + Debug {
    /// Its own id.
    fn id(&self) -> io::Result<FileId>;
    /// Whether it is the file `found`. If its descriptor was given back and the file system has no
    /// birth times, this is unknown, and returns `false`.
    fn is(&self, found: Identity) -> io::Result<bool> {
        Ok(found.id == self.id()?)
    }
    /// Reads until `buf` is full or the file ends; the number of bytes read.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of `buf` at a position. On an error a part may be written.
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()>;
    /// Writes at the end in one write; for files opened with [`Open::Append`]. A short write is an
    /// error, as of a full disk.
    fn append(&self, buf: &[u8]) -> io::Result<()>;
    /// Its length, bytes.
    fn len(&self) -> io::Result<u64>;
    /// Its length, bytes, if a name still leads to it; else an error as of a stale handle
    /// (`ESTALE`): what is written to it from now on is lost with it.
    fn named_len(&self) -> io::Result<u64> {
        self.len()
    }
    /// Whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes its bytes and its length durable (fdatasync). An error is final, EINTR too: never
    /// retry.
    fn sync_data(&self) -> io::Result<()>;
    /// Tries to take the lock; `false` if another handle has it. The lock belongs to this open
    /// file: [`File::unlock`] releases it, or the drop of the last clone of the `Arc`.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;
    /// Releases the lock.
    fn unlock(&self) -> io::Result<()>;
    /// The same open file, with its lock, by a descriptor that the system closes early when the
    /// process is killed: before the watchers, which take long to close. `None` if there is no such
    /// descriptor.
    fn closed_early(&self) -> io::Result<Option<Arc<dyn File>>> {
        Ok(None)
    }
    /// Whether programs that this process starts inherit the open file and its lock.
    fn set_inheritable(&self, _on: bool) -> io::Result<()> {
        Ok(())
    }
}

/// Names a watch within its [`Watcher`].
pub type WatchId = u64;

/// The result of [`Watcher::wait`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// These changed (each at most once).
    Changed(Vec<WatchId>),
    /// The timeout passed, the wake descriptor became readable, or a signal came.
    Nothing,
    /// Anything may have changed: the queue overflowed, or this watcher cannot tell.
    Anything,
}

/// Waits for changes. A file watch reports writes into that file; a directory watch reports entries
/// created, renamed, removed, and files closed after writing.
pub trait Watcher: Send + Debug {
    /// Watches for writes into the file `name` of `dir`.
    fn add_file(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId>;
    /// Watches the entries of the directory `name` (`.` for itself) of `dir`.
    fn add_dir(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId>;
    /// Watches the directory `name` (`.` for itself) of `dir` only for files closed after writing:
    /// when a process dies, its open files are closed.
    fn add_closes(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add_dir(dir, name)
    }
    /// Ends a watch.
    fn remove(&mut self, id: WatchId);
    /// Waits up to `timeout`. `wake` is a descriptor that ends the wait when it is readable (a
    /// signal's pipe); it is not read.
    fn wait(
        &mut self,
        timeout: Duration,
        wake: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> io::Result<Wake>;
    /// A descriptor that is readable when there are changes, if there is one.
    fn readable(&self) -> Option<std::sync::Arc<std::os::fd::OwnedFd>> {
        None
    }
    /// Whether some watches are not served: then only the timeout wakes.
    fn is_blind(&self) -> bool {
        false
    }
}

/// `dir`'s path with `name` below it, for messages.
pub fn join(dir: &dyn Dir, name: &str) -> PathBuf {
    if name == "." {
        dir.path().to_owned()
    } else {
        dir.path().join(name)
    }
}
