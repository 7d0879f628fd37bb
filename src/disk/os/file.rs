//! An open regular file. Reads and writes are one system call each and allocate nothing.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::{Errno, retry_on_intr};

use super::super::{File, FileId, LockKind};

#[derive(Debug)]
pub(super) struct OsFile {
    file: fs::File,
    // What an open file is does not change, so asking for it costs nothing.
    id: FileId,
}

/// Above the descriptors that a process opens first, its watchers among them. When a process is
/// killed, Linux lets go of what it has open from the largest descriptor down (`task_work_run`), and
/// waits some 10 ms at each inotify instance (measured on Linux 6.18).
const EARLY_FD_MIN: i32 = 512;

impl OsFile {
    pub(super) fn new(fd: OwnedFd, id: FileId) -> OsFile {
        OsFile {
            file: fd.into(),
            id,
        }
    }
}

impl File for OsFile {
    fn id(&self) -> io::Result<FileId> {
        Ok(self.id)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(buf, at)
    }

    fn append(&self, buf: &[u8]) -> io::Result<()> {
        // Never the rest in a second write: another's bytes could be between.
        if retry_on_intr(|| rustix::io::write(&self.file, buf))? < buf.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_size as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.file, len))?)
    }

    #[cfg(target_os = "linux")]
    fn sync_data(&self) -> io::Result<()> {
        // Not tried again after a signal: any error of fdatasync is final.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_data(&self) -> io::Result<()> {
        // Knows that some systems need another call for what reaches the disk itself.
        self.file.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        loop {
            // By the trait's name: since Rust 1.89 the plain call would be another's.
            let tried = match kind {
                LockKind::Shared => fs2::FileExt::try_lock_shared(&self.file),
                LockKind::Exclusive => fs2::FileExt::try_lock_exclusive(&self.file),
            };
            match tried {
                Ok(()) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn closed_early(&self) -> io::Result<Option<Arc<dyn File>>> {
        match rustix::io::fcntl_dupfd_cloexec(&self.file, EARLY_FD_MIN) {
            Ok(fd) => Ok(Some(Arc::new(OsFile::new(fd, self.id)))),
            // More descriptors than the process may have.
            Err(Errno::INVAL | Errno::MFILE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        // A lock that stays would keep everybody out until this process ends.
        loop {
            match fs2::FileExt::unlock(&self.file) {
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                other => return other,
            }
        }
    }
}
