//! An open regular file. Reads and writes are one system call each and allocate nothing.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, FdFlags, retry_on_intr};

use super::handle::Handle;
use crate::disk::{File, FileId, Identity, LockKind};

#[derive(Debug)]
pub(super) struct OsFile {
    handle: Handle,
    /// Whether its lock is held: then it stays open.
    locked: AtomicBool,
    // An open file's id does not change, so it is read once.
    id: FileId,
}

/// Above the descriptors that a process opens first, its watchers among them. When a process is
/// killed, Linux closes its open files from the largest descriptor down (`task_work_run`), and
/// waits some 10 ms at each inotify instance (measured on Linux 6.18).
const EARLY_FD_MIN: i32 = 512;

impl OsFile {
    pub(super) fn new(handle: Handle, id: FileId) -> OsFile {
        OsFile {
            handle,
            locked: AtomicBool::new(false),
            id,
        }
    }
}

impl Drop for OsFile {
    fn drop(&mut self) {
        if *self.locked.get_mut() {
            self.handle.unpin();
        }
    }
}

impl File for OsFile {
    fn id(&self) -> io::Result<FileId> {
        Ok(self.id)
    }

    fn is(&self, found: Identity) -> io::Result<bool> {
        Ok(match self.handle.closed() {
            None => found.id == self.id,
            Some(own) => own.born.is_some() && own == found,
        })
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let file = self.handle.get()?;
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.handle.get()?.write_all_at(buf, at)
    }

    fn append(&self, buf: &[u8]) -> io::Result<()> {
        // The rest is never written in a second write: another process's bytes could be between. A
        // write is short only if the disk, or the file size limit, is full.
        let file = self.handle.get()?;
        if retry_on_intr(|| rustix::io::write(&*file, buf))? < buf.len() {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(self.handle.get()?)?.st_size as u64)
    }

    fn named_len(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstat(self.handle.get()?)?;
        if stat.st_nlink == 0 {
            return Err(rustix::io::Errno::STALE.into());
        }
        Ok(stat.st_size as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let file = self.handle.get()?;
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&*file, len))?)
    }

    #[cfg(target_os = "linux")]
    fn sync_data(&self) -> io::Result<()> {
        // Not retried after a signal: any error of fdatasync is final.
        Ok(rustix::fs::fdatasync(self.handle.get()?)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_data(&self) -> io::Result<()> {
        // The standard library knows that some systems need another call to reach the disk itself.
        self.handle.get()?.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let file = self.handle.get()?;
        loop {
            // By the trait's name: since Rust 1.89 the plain call would be the standard library's.
            let tried = match kind {
                LockKind::Shared => fs2::FileExt::try_lock_shared(&*file),
                LockKind::Exclusive => fs2::FileExt::try_lock_exclusive(&*file),
            };
            match tried {
                Ok(()) => {
                    if !self.locked.swap(true, Ordering::Relaxed) {
                        self.handle.pin();
                    }
                    return Ok(true);
                }
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn closed_early(&self) -> io::Result<Option<Arc<dyn File>>> {
        match rustix::io::fcntl_dupfd_cloexec(self.handle.get()?, EARLY_FD_MIN) {
            Ok(fd) => Ok(Some(Arc::new(OsFile::new(Handle::open(fd), self.id)))),
            // More descriptors than the process may have.
            Err(Errno::INVAL | Errno::MFILE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_inheritable(&self, on: bool) -> io::Result<()> {
        let flags = if on {
            FdFlags::empty()
        } else {
            FdFlags::CLOEXEC
        };
        Ok(rustix::io::fcntl_setfd(self.handle.get()?, flags)?)
    }

    fn unlock(&self) -> io::Result<()> {
        // A lock that stays would exclude all other processes until this one ends.
        let file = self.handle.get()?;
        loop {
            match fs2::FileExt::unlock(&*file) {
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Ok(()) => {
                    if self.locked.swap(false, Ordering::Relaxed) {
                        self.handle.unpin();
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
