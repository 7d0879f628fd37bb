//! Liveness locks, which a daemon holds as long as it lives, with a line that identifies it and a
//! counter that shows that it is not hung.
//!
//! Line: `COUNTER INCARNATION PID STARTED_MS HOST`, the counter in 20 digits, padded with spaces to
//! 254 bytes; then `F` while the holder has no free file descriptors, else a space; and a line
//! break. The lock proves life; a counter that does not change proves a hang. Only the lock is
//! believed: the line of a free lock is a dead holder's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::disk::{Dir, Disk, File, FileId, LockKind, Open, join};
use crate::error::{Error, Result};
use crate::store::process::Process;
use crate::timing::PROBE_WITHIN;

/// Length of the line, bytes.
const LINE_LEN: usize = 256;
const COUNTER_LEN: usize = 20;
const MARK_AT: usize = LINE_LEN - 2;
const FULL: u8 = b'F';
/// The pause between two attempts of a starting daemon.
const RETRY: Duration = Duration::from_millis(5);

/// The holder of a liveness lock, by its line and by the system's lock list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its heartbeat counter.
    pub counter: u64,
    /// Its incarnation.
    pub incarnation: u64,
    /// Its process id.
    pub pid: u32,
    /// When it started, ms since the epoch.
    pub started_ms: i64,
    /// The host it runs on.
    pub host: String,
    /// It had no free file descriptor just now.
    pub out_of_descriptors: bool,
}

/// What a probe of a liveness lock found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The lock is free.
    Free,
    /// The lock is held. The line names the holder, if it can be read (it is written just after the
    /// lock is taken); the system may name processes.
    Held {
        /// The line.
        holder: Option<Holder>,
        /// Process ids; empty if the system does not list them.
        pids: Vec<u32>,
    },
}

/// A liveness lock, held until it is dropped.
#[derive(Debug)]
pub struct LivenessLock {
    dir: Arc<dyn Dir>,
    name: &'static str,
    file: Arc<dyn File>,
}

impl LivenessLock {
    /// Takes the lock; `None` if another process has it.
    pub fn take(dir: &Arc<dyn Dir>, name: &'static str, clock: &dyn Clock) -> Result<Option<Self>> {
        let started = clock.monotonic();
        loop {
            if let Some(lock) = LivenessLock::try_take(dir, name)? {
                return Ok(Some(lock));
            }
            if clock.monotonic().saturating_sub(started) >= PROBE_WITHIN {
                return Ok(None);
            }
            clock.sleep(RETRY);
        }
    }

    /// Tries once, for a caller that tries again anyway.
    pub fn try_take(dir: &Arc<dyn Dir>, name: &'static str) -> Result<Option<Self>> {
        let error = |op| move |e| Error::io(op, join(&**dir, name), e);
        let file = dir.open(name, Open::Create).map_err(error("open"))?;
        if !file.try_lock(LockKind::Exclusive).map_err(error("lock"))? {
            return Ok(None);
        }
        // If the process is killed, others wait until its file is closed.
        let early = file.closed_early().map_err(error("open"))?;
        let lock = LivenessLock {
            dir: Arc::clone(dir),
            name,
            file: early.unwrap_or(file),
        };
        // If the file was replaced meanwhile, it is not the lock.
        Ok(if lock.in_place()? { Some(lock) } else { None })
    }

    /// Whether the path still names the locked file.
    pub fn in_place(&self) -> Result<bool> {
        let error = |e| Error::io("look at", join(&*self.dir, self.name), e);
        let own = self.file.id().map_err(error)?;
        match self.dir.id(self.name) {
            Ok(id) => Ok(id == own),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(error(e)),
        }
    }

    /// Writes the holder's line through a separate descriptor: its close wakes processes that watch
    /// liveness.
    pub fn write_holder(&self, incarnation: u64, process: &Process) -> Result<()> {
        let error = |op| move |e| Error::io(op, join(&*self.dir, self.name), e);
        let file = self
            .dir
            .open(self.name, Open::Write)
            .map_err(error("open"))?;
        let line = encode(0, incarnation, process);
        file.write_at(&line, 0).map_err(error("write"))
    }

    /// Blanks the line of the holder before.
    pub fn blank(&self) -> Result<()> {
        let mut line = [b' '; LINE_LEN];
        if let Some(last) = line.last_mut() {
            *last = b'\n';
        }
        self.file
            .write_at(&line, 0)
            .map_err(|e| Error::io("write", join(&*self.dir, self.name), e))
    }

    /// The same lock, after its directory was renamed.
    #[must_use]
    pub fn moved_to(self, dir: Arc<dyn Dir>) -> Self {
        LivenessLock { dir, ..self }
    }

    /// The file, for a heartbeat.
    pub fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }

    /// Finds out whether the lock is held, and by which process, without disturbing the holder: a
    /// shared try on a read-only descriptor.
    pub fn probe(disk: &dyn Disk, dir: &dyn Dir, name: &str) -> Result<Probe> {
        let error = |op| move |e| Error::io(op, join(dir, name), e);
        let file = match dir.open(name, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Probe::Free),
            Err(e) => return Err(error("open")(e)),
        };
        if file.try_lock(LockKind::Shared).map_err(error("probe"))? {
            file.unlock().map_err(error("probe"))?;
            return Ok(Probe::Free);
        }
        let mut line = [0; LINE_LEN];
        let read = file.read_at(&mut line, 0).map_err(error("read"))?;
        let pids = file
            .id()
            .map(|id| disk.lock_holders(id))
            .unwrap_or_default();
        Ok(Probe::Held {
            holder: decode(line.get(..read).unwrap_or_default()),
            pids,
        })
    }
}

/// What an observation of a liveness lock showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockView {
    /// The lock is free.
    Free,
    /// The lock is held, by this holder if its line can be read.
    Held(Option<Holder>),
}

/// Observes a liveness lock repeatedly: the file stays open, and the system is not asked for
/// processes. An observation of a held lock is one try and one read.
#[derive(Debug)]
pub struct LivenessWatch {
    dir: Arc<dyn Dir>,
    name: &'static str,
    file: Option<(Arc<dyn File>, FileId)>,
}

impl LivenessWatch {
    /// For the lock `name` in `dir`, which may not exist yet.
    pub fn new(dir: Arc<dyn Dir>, name: &'static str) -> Self {
        LivenessWatch {
            dir,
            name,
            file: None,
        }
    }

    /// Whether the lock is held. If it is free, this holds it for a moment, which delays another
    /// process no longer than that.
    pub fn is_held(&mut self) -> Result<bool> {
        let error = |op| {
            let place = join(&*self.dir, self.name);
            move |e| Error::io(op, place, e)
        };
        loop {
            let known = self.file.take();
            let was_known = known.is_some();
            let (file, id) = match known {
                Some(known) => known,
                None => match self.dir.open(self.name, Open::Read) {
                    Ok(file) => {
                        let id = file.id().map_err(error("look at"))?;
                        (file, id)
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(e) => return Err(error("open")(e)),
                },
            };
            if !file.try_lock(LockKind::Shared).map_err(error("probe"))? {
                self.file = Some((file, id));
                return Ok(true);
            }
            file.unlock().map_err(error("probe"))?;
            match self.dir.id(self.name) {
                Ok(there) if there == id => {
                    self.file = Some((file, id));
                    return Ok(false);
                }
                // A file that was replaced is no longer the lock.
                Ok(_) if was_known => {}
                Ok(_) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(error("look at")(e)),
            }
        }
    }

    /// Whether the file existed at the last observation.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the lock is held, and the holder by its line.
    pub fn observe(&mut self) -> Result<LockView> {
        if !self.is_held()? {
            return Ok(LockView::Free);
        }
        let mut line = [0; LINE_LEN];
        let read = match &self.file {
            Some((file, _)) => file
                .read_at(&mut line, 0)
                .map_err(|e| Error::io("read", join(&*self.dir, self.name), e))?,
            None => 0,
        };
        Ok(LockView::Held(decode(line.get(..read).unwrap_or_default())))
    }
}

/// Writes a counter into a line.
pub fn heartbeat(file: &dyn File, counter: u64) -> io::Result<()> {
    file.write_at(format!("{counter:0COUNTER_LEN$}").as_bytes(), 0)
}

/// Writes into a line whether its holder has no free file descriptors.
pub fn mark(file: &dyn File, out_of_descriptors: bool) -> io::Result<()> {
    file.write_at(
        &[if out_of_descriptors { FULL } else { b' ' }],
        MARK_AT as u64,
    )
}

fn encode(counter: u64, incarnation: u64, process: &Process) -> Vec<u8> {
    let mut line = format!(
        "{counter:0width$} {incarnation} {} {} {}",
        process.pid,
        process.started_ms,
        process.host.escape_debug(),
        width = COUNTER_LEN
    )
    .into_bytes();
    line.resize(MARK_AT, b' ');
    line.push(b' ');
    line.push(b'\n');
    line
}

fn decode(line: &[u8]) -> Option<Holder> {
    if line.len() != LINE_LEN {
        return None;
    }
    let (line, mark) = line.split_at_checked(MARK_AT)?;
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.trim_end().splitn(5, ' ');
    let holder = Holder {
        counter: fields.next()?.parse().ok()?,
        incarnation: fields.next()?.parse().ok()?,
        pid: fields.next()?.parse().ok()?,
        started_ms: fields.next()?.parse().ok()?,
        host: fields.next()?.to_owned(),
        out_of_descriptors: mark.first() == Some(&FULL),
    };
    Some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;

    #[test]
    fn one_holds_it_and_others_see_who() {
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        let probe = || LivenessLock::probe(&OsDisk, &*dir, "x.lock").expect("probe");
        assert_eq!(probe(), Probe::Free);
        let lock = LivenessLock::try_take(&dir, "x.lock")
            .expect("take")
            .expect("free");
        let process = Process {
            pid: 17,
            host: "a b".into(),
            started_ms: 5,
        };
        lock.write_holder(3, &process).expect("sign");
        heartbeat(&*lock.file(), 42).expect("beat");
        let Probe::Held { holder, .. } = probe() else {
            panic!("held")
        };
        let expected = Holder {
            counter: 42,
            incarnation: 3,
            pid: 17,
            started_ms: 5,
            host: "a b".into(),
            out_of_descriptors: false,
        };
        assert_eq!(holder, Some(expected.clone()));
        mark(&*lock.file(), true).expect("marked");
        let Probe::Held { holder, .. } = probe() else {
            panic!("held")
        };
        let full = Holder {
            out_of_descriptors: true,
            ..expected
        };
        assert_eq!(holder, Some(full));
        assert!(
            LivenessLock::try_take(&dir, "x.lock")
                .expect("take")
                .is_none()
        );
        assert!(lock.in_place().expect("look"));
        dir.rename("x.lock", "y.lock").expect("rename");
        assert!(!lock.in_place().expect("look"));
        drop(lock);
        assert!(
            LivenessLock::take(&dir, "x.lock", &SystemClock::default())
                .expect("take")
                .is_some()
        );
    }

    #[test]
    fn a_watch_follows_the_lock_through_lives_and_replacements() {
        let at = tempfile::tempdir().expect("tempdir");
        let dir = OsDisk.open_dir(at.path()).expect("open");
        let mut watch = LivenessWatch::new(Arc::clone(&dir), "x.lock");
        assert_eq!(watch.observe().expect("look"), LockView::Free);
        let process = Process {
            pid: 17,
            host: "h".into(),
            started_ms: 5,
        };
        for incarnation in 1..4 {
            let lock = LivenessLock::try_take(&dir, "x.lock").expect("take");
            let lock = lock.expect("free: an observation releases it at once");
            lock.blank().expect("blank");
            assert_eq!(watch.observe().expect("look"), LockView::Held(None));
            lock.write_holder(incarnation, &process).expect("sign");
            let LockView::Held(Some(holder)) = watch.observe().expect("look") else {
                panic!("held")
            };
            assert_eq!(holder.incarnation, incarnation);
            drop(lock);
            assert_eq!(watch.observe().expect("look"), LockView::Free);
            // The next one is another file.
            dir.rename("x.lock", "y.lock").expect("rename");
        }
        assert_eq!(watch.observe().expect("look"), LockView::Free);
    }

    #[test]
    fn a_line_that_is_not_whole_names_nobody() {
        let process = Process {
            pid: 1,
            host: "h".into(),
            started_ms: 2,
        };
        let line = encode(1, 1, &process);
        assert!(decode(&line).is_some());
        assert_eq!(decode(&line[..LINE_LEN - 1]), None);
        assert_eq!(decode(&[0xff; LINE_LEN]), None);
        assert_eq!(decode(&[b' '; LINE_LEN]), None);
    }
}
