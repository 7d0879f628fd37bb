//! `members/ID`: a member's liveness lock, and its heartbeat.
//!
//! Line: `COUNTER STATE PID HOST`, the counter in 20 digits, the state `joining` or `entered`.
//! Other processes read only the lock and the state, and, when they watch for hangs, whether the
//! counter moves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::disk::{Dir, EntryKind, File, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::{FencedGuard, Process, layout};
use crate::timing::PROBE_WITHIN;
use crate::types::Uuid;

const COUNTER_LEN: usize = 20;
const STATE_AT: usize = COUNTER_LEN + 1;
const JOINING: &str = "joining";
const ENTERED: &str = "entered";
/// More than a line has: a host's name is 64 bytes at most.
const LINE_BYTES_MAX: usize = 512;

/// The pause between two attempts.
const RETRY: Duration = Duration::from_millis(1);
/// How often a file may be removed before its maker could lock it.
const TRIES: u32 = 16;

/// The file of this process's member. The lock is released when it and every [`MemberHeartbeat`] of
/// it are dropped.
#[derive(Debug)]
pub struct MemberFile {
    id: Uuid,
    file: Arc<dyn File>,
    path: std::path::PathBuf,
    counter: Arc<AtomicU64>,
}

/// Writes the heartbeat; it may run on a thread of its own.
#[derive(Debug, Clone)]
pub struct MemberHeartbeat {
    file: Arc<dyn File>,
    path: std::path::PathBuf,
    counter: Arc<AtomicU64>,
}

/// What another member's file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatReading {
    /// Its process has it locked; the counter of its heartbeats.
    Alive(u64),
    /// No process has it locked, or it is gone.
    Dead,
}

impl MemberFile {
    /// Makes and locks a file for a new member of the group in `dir`.
    pub fn create(dir: &dyn Dir, clock: &dyn Clock) -> Result<Self> {
        for _ in 0..TRIES {
            let id = Uuid::random()?;
            let name = layout::member_file(&id);
            let error = |op, e| Error::io(op, join(dir, &name), e);
            let file = dir
                .open(&name, Open::CreateNew)
                .map_err(|e| error("make", e))?;
            let started = clock.monotonic();
            let mut locked = file
                .try_lock(LockKind::Exclusive)
                .map_err(|e| error("lock", e))?;
            while !locked && clock.monotonic().saturating_sub(started) < PROBE_WITHIN {
                clock.sleep(RETRY);
                locked = file
                    .try_lock(LockKind::Exclusive)
                    .map_err(|e| error("lock", e))?;
            }
            // Before it was locked, another process may have taken it for a dead member's.
            if !locked || !names(dir, &name, &*file).map_err(|e| error("look at", e))? {
                continue;
            }
            let process = Process::current(clock);
            let text = format!(
                "{:0width$} {JOINING} {} {}\n",
                0,
                process.pid,
                process.host.escape_debug(),
                width = COUNTER_LEN
            );
            file.write_at(text.as_bytes(), 0)
                .map_err(|e| error("write", e))?;
            let path = join(dir, &name);
            // Other processes wait for the lock of a killed member.
            let early = file.closed_early().map_err(|e| error("open", e))?;
            return Ok(MemberFile {
                id,
                file: early.unwrap_or(file),
                path,
                counter: Arc::new(AtomicU64::new(0)),
            });
        }
        Err(Error::new(
            Kind::Busy,
            format!(
                "{}: each new member's file was removed at once",
                dir.path().display()
            ),
        )
        .cure("other processes keep changing it: try again"))
    }

    /// The member's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Marks the member as entered in `group.json`.
    pub fn mark_entered(&self) -> Result<()> {
        self.file
            .write_at(ENTERED.as_bytes(), STATE_AT as u64)
            .map_err(|e| Error::io("write", &self.path, e))
    }

    /// Its heartbeat.
    pub fn heartbeat(&self) -> MemberHeartbeat {
        MemberHeartbeat {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            counter: Arc::clone(&self.counter),
        }
    }
}

impl MemberHeartbeat {
    /// Raises the counter.
    ///
    /// # Errors
    /// [`Kind::Io`]: other members may take this one for hung.
    pub fn heartbeat(&self) -> Result<()> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        let digits = format!("{counter:0COUNTER_LEN$}");
        self.file
            .write_at(digits.as_bytes(), 0)
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Whether the member's process has its file locked.
pub fn is_alive(dir: &dyn Dir, id: Uuid) -> Result<bool> {
    Ok(probe(dir, id)? != HeartbeatReading::Dead)
}

/// Probes a member's file, by a shared lock on a descriptor that cannot write: closing it wakes no
/// watcher.
pub fn probe(dir: &dyn Dir, id: Uuid) -> Result<HeartbeatReading> {
    let name = layout::member_file(&id);
    let error = |op, e| Error::io(op, join(dir, &name), e);
    let file = match dir.open(&name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HeartbeatReading::Dead),
        Err(e) => return Err(error("open", e)),
    };
    let free = file
        .try_lock(LockKind::Shared)
        .map_err(|e| error("lock", e))?;
    if free {
        return Ok(HeartbeatReading::Dead);
    }
    let mut digits = [0; COUNTER_LEN];
    let read = file.read_at(&mut digits, 0).map_err(|e| error("read", e))?;
    // Only whether it moves matters: text that is no number counts as a constant 0.
    let counter = std::str::from_utf8(digits.get(..read).unwrap_or_default())
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    Ok(HeartbeatReading::Alive(counter))
}

/// The processes of the live members whose files say that they are entered in `group.json`, named
/// for a user on the host of `here`.
pub fn entered_and_alive(dir: &dyn Dir, here: &Process) -> Result<Vec<String>> {
    let mut alive = Vec::new();
    for id in list(dir)? {
        let name = layout::member_file(&id);
        let Ok(file) = dir.open(&name, Open::Read) else {
            continue;
        };
        let mut line = [0; LINE_BYTES_MAX];
        let read = file
            .read_at(&mut line, 0)
            .map_err(|e| Error::io("read", join(dir, &name), e))?;
        let line = line.get(STATE_AT..read).unwrap_or_default();
        if line.starts_with(ENTERED.as_bytes()) && is_alive(dir, id)? {
            alive.push(process_in(line, here));
        }
    }
    Ok(alive)
}

/// The process in `STATE PID HOST`, named for a user on the host of `here`.
fn process_in(line: &[u8], here: &Process) -> String {
    let text = String::from_utf8_lossy(line);
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.splitn(3, ' ').skip(1);
    let pid = words.next().unwrap_or("?");
    match words.next() {
        Some(host) if host != here.host.escape_debug().to_string() => {
            format!("process {pid} on {host}")
        }
        _ => format!("process {pid}"),
    }
}

/// Removes the files of dead members that are not among the `entered`.
pub fn remove_dead(
    dir: &dyn Dir,
    guard: &FencedGuard,
    entered: impl Fn(Uuid) -> bool,
) -> Result<()> {
    for id in list(dir)? {
        if entered(id) || is_alive(dir, id)? {
            continue;
        }
        let name = layout::member_file(&id);
        let Ok(file) = dir.open(&name, Open::Write) else {
            continue;
        };
        let error = |op, e| Error::io(op, join(dir, &name), e);
        let free = file
            .try_lock(LockKind::Exclusive)
            .map_err(|e| error("lock", e))?;
        if free && names(dir, &name, &*file).map_err(|e| error("look at", e))? {
            guard.rename_in(&name)?;
        }
    }
    Ok(())
}

/// The approximate number of members.
pub fn count(dir: &dyn Dir) -> Result<usize> {
    Ok(list(dir)?.len())
}

fn list(dir: &dyn Dir) -> Result<Vec<Uuid>> {
    let entries = dir
        .list(layout::MEMBERS_DIR)
        .map_err(|e| Error::io("list", join(dir, layout::MEMBERS_DIR), e))?;
    Ok(entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| layout::parse_member_file(&entry.name))
        .collect())
}

fn names(dir: &dyn Dir, path: &str, file: &dyn File) -> io::Result<bool> {
    match dir.id(path) {
        Ok(id) => Ok(id == file.id()?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
