//! `commands/MEMBER`: which command a member runs, locked by the member and by that command's
//! processes. A member that is killed leaves its command running; the next reader of the partition
//! sees the lock, and waits.
//!
//! Line: `TOPIC-PARTITION PID`, the pid once it is known; nothing while no command runs.

use std::io;
use std::sync::Arc;

use crate::disk::{Dir, File, LockKind, Open, join};
use crate::error::{Error, Result};
use crate::store::layout;
use crate::types::{TopicPartition, Uuid};

/// More than a line has.
const LINE_BYTES_MAX: usize = 512;

/// This member's file. Dropping it removes it.
#[derive(Debug)]
pub struct CommandFile {
    dir: Arc<dyn Dir>,
    name: String,
    file: Arc<dyn File>,
}

impl CommandFile {
    /// Makes and locks the file of a member of the group in `dir`.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn create(dir: &Arc<dyn Dir>, member: Uuid) -> Result<Self> {
        let name = layout::command_file(&member);
        let error = |op, e| Error::io(op, join(&**dir, &name), e);
        match dir.create_dir(layout::COMMANDS_DIR) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                let place = join(&**dir, layout::COMMANDS_DIR);
                return Err(Error::io("make", place, e));
            }
            _ => {}
        }
        // No other process makes a file of that name, and none locks an empty one.
        let file = dir
            .open(&name, Open::CreateNew)
            .map_err(|e| error("make", e))?;
        file.try_lock(LockKind::Exclusive)
            .map_err(|e| error("lock", e))?;
        // A descriptor number that no script redirects.
        let early = file.closed_early().map_err(|e| error("open", e))?;
        Ok(CommandFile {
            dir: Arc::clone(dir),
            file: early.unwrap_or(file),
            name,
        })
    }

    /// A command for that partition is about to be started: programs that are started from now on
    /// hold the lock, too.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn begin(&self, tp: &TopicPartition) -> Result<()> {
        self.write(&format!("{tp}\n"))?;
        self.inherit(true)
    }

    /// The command was started.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn started(&self, tp: &TopicPartition, pid: u32) -> Result<()> {
        self.inherit(false)?;
        self.write(&format!("{tp} {pid}\n"))
    }

    /// The command has ended, or could not be started.
    ///
    /// # Errors
    /// [`crate::error::Kind::Io`].
    pub fn end(&self) -> Result<()> {
        self.inherit(false)?;
        self.file.set_len(0).map_err(|e| self.error("cut", e))
    }

    fn inherit(&self, on: bool) -> Result<()> {
        let set = self.file.set_inheritable(on);
        set.map_err(|e| self.error("pass on", e))
    }

    fn write(&self, text: &str) -> Result<()> {
        let written = self.file.set_len(0);
        let written = written.and_then(|()| self.file.write_at(text.as_bytes(), 0));
        written.map_err(|e| self.error("write", e))
    }

    fn error(&self, op: &'static str, e: io::Error) -> Error {
        Error::io(op, join(&*self.dir, &self.name), e)
    }
}

impl Drop for CommandFile {
    fn drop(&mut self) {
        // If that fails, the file stays: a later check removes a file without a lock.
        let _ = self.dir.remove(&self.name);
    }
}

/// The process of a command for a partition that runs although `own` has the partition now: the
/// member that started it is dead, or was stopped. `Some(None)`: its process id is unknown. Removes
/// the files of dead members.
///
/// # Errors
/// [`crate::error::Kind::Io`].
pub fn running_command(
    dir: &Arc<dyn Dir>,
    tp: &TopicPartition,
    own: Uuid,
) -> Result<Option<Option<u32>>> {
    let error = |op, name: &str, e| Error::io(op, join(&**dir, name), e);
    let entries = match dir.list(layout::COMMANDS_DIR) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        listed => listed.map_err(|e| error("list", layout::COMMANDS_DIR, e))?,
    };
    let mut running = None;
    for entry in entries {
        let Some(member) = layout::parse_member_file(&entry.name) else {
            continue;
        };
        let name = layout::command_file(&member);
        if member == own {
            continue;
        }
        let file = match dir.open(&name, Open::Read) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|e| error("open", &name, e))?,
        };
        let mut line = [0; LINE_BYTES_MAX];
        let len = file
            .read_at(&mut line, 0)
            .map_err(|e| error("read", &name, e))?;
        let line = String::from_utf8_lossy(line.get(..len).unwrap_or_default()).into_owned();
        let mut words = line.split_whitespace();
        let place = words.next();
        // A file at rest is removed by its member, while there is one.
        if place.is_none() && dir.id(&layout::member_file(&member)).is_ok() {
            continue;
        }
        let is_locked = !file
            .try_lock(LockKind::Shared)
            .map_err(|e| error("lock", &name, e))?;
        if !is_locked {
            // No process of the command runs any more. Another process may remove the file first.
            let _ = dir.remove(&name);
        } else if place == Some(&tp.to_string()) {
            running = Some(words.next().and_then(|pid| pid.parse().ok()));
        }
    }
    Ok(running)
}
