//! An open group, and its lock while held.

use std::sync::Arc;
use std::time::Duration;

use super::group_file::{GroupFile, Member};
use super::offsets_line::{Line, LineKind, OffsetsEntry};
use super::offsets_log::OffsetsLog;
use super::offsets_state::OffsetsState;
use super::offsets_sync::{self, OffsetsSync, Synced};
use super::{directory, expiry, member_file};
use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};
use crate::store::{FencedGuard, FencedLock, Process, StoreDir, layout};
use crate::types::{Timestamp, Uuid};

/// A group, opened for changes.
#[derive(Debug)]
pub struct Group {
    store: Arc<StoreDir>,
    name: String,
    dir: Arc<dyn Dir>,
    lock: FencedLock,
    timeout: Duration,
    log: OffsetsLog,
    /// The sync of the open log; opened when it is first needed.
    sync: Option<OffsetsSync>,
    /// Whether the directory entries of the open log, and of the directories above it, are known to
    /// be durable.
    names_synced: bool,
    /// After a failed sync, none of the log's cached pages is known to be on disk.
    sync_failed: bool,
    notes: Vec<String>,
}

/// The group's lock, held, with the log read to its end under it.
#[derive(Debug)]
pub struct GroupGuard<'a> {
    group: &'a mut Group,
    guard: FencedGuard,
}

impl Group {
    /// Opens a group; `timeout` bounds each wait for its lock.
    ///
    /// # Errors
    /// [`Kind::UnknownGroup`], [`Kind::Usage`], [`Kind::Damaged`].
    pub fn open(store: &Arc<StoreDir>, name: &str, timeout: Duration) -> Result<Self> {
        Group::in_dir(store, name, directory::open(store, name)?, timeout)
    }

    /// Opens a group, which is made if it is missing.
    pub fn open_or_create(store: &Arc<StoreDir>, name: &str, timeout: Duration) -> Result<Self> {
        Group::in_dir(
            store,
            name,
            directory::open_or_create(store, name)?,
            timeout,
        )
    }

    fn in_dir(
        store: &Arc<StoreDir>,
        name: &str,
        dir: Arc<dyn Dir>,
        timeout: Duration,
    ) -> Result<Self> {
        Ok(Group {
            store: Arc::clone(store),
            name: name.to_owned(),
            lock: FencedLock::of_group(Arc::clone(&dir), Arc::clone(store.clock())),
            timeout,
            log: OffsetsLog::open(&dir)?,
            dir,
            sync: None,
            names_synced: false,
            sync_failed: false,
            notes: Vec::new(),
        })
    }

    /// The number of members that may wait for the lock at once.
    pub fn expect_members(&mut self, members: usize) {
        self.lock.expect_waiters(members);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    pub fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// The offsets, as of the last critical section.
    pub fn state(&self) -> &OffsetsState {
        self.log.state()
    }

    /// The problems of its files that are no reason to stop.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.log.notes());
        notes
    }

    /// Reads the log's new lines, without the lock: the N of a line alone says whether it counts.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn refresh(&mut self) -> Result<()> {
        if !self.log.is_current()? {
            self.reopen()?;
        }
        self.log.refresh()
    }

    /// Opens the log that is in place now.
    fn reopen(&mut self) -> Result<()> {
        self.log = OffsetsLog::open(&self.dir)?;
        self.sync = None;
        self.names_synced = false;
        self.sync_failed = false;
        Ok(())
    }

    /// Takes the lock and reads the log to its end.
    ///
    /// # Errors
    /// [`Kind::Busy`] naming the holder, [`Kind::Fenced`] if it was taken over at once.
    pub fn hold(&mut self, purpose: &str) -> Result<GroupGuard<'_>> {
        let mut guard = self.lock.acquire(purpose, self.timeout)?;
        if !self.log.is_current()? {
            self.reopen()?;
        }
        self.log.refresh()?;
        let last = self.log.state().last_n().unwrap_or(0);
        if last > guard.n() {
            guard.rename_beyond(last)?;
        }
        if last < guard.n() {
            // From here on no line of a holder whose lock was broken counts; lines before this mark
            // are read with it.
            let mark = self
                .log
                .state()
                .mark(guard.n(), self.store.clock().now_ms());
            guard.step()?;
            self.log.append(&mark)?;
        }
        let mut held = GroupGuard { group: self, guard };
        held.expire_if_overdue()?;
        held.compact()?;
        Ok(held)
    }
}

impl GroupGuard<'_> {
    /// The offsets.
    pub fn state(&self) -> &OffsetsState {
        self.group.state()
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.group.name
    }

    /// Those of [`Group::notes`].
    pub fn notes(&self) -> Vec<String> {
        self.group.notes()
    }

    /// The lock's guard.
    pub fn guard(&self) -> &FencedGuard {
        &self.guard
    }

    /// Reads `group.json`; an unreadable one is made again if none of its members is alive.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if a member is alive.
    pub fn group_file(&mut self) -> Result<GroupFile> {
        Ok(self.group_file_open()?.0)
    }

    /// As [`GroupGuard::group_file`], with the open file that was read.
    ///
    /// # Errors
    /// Those of [`GroupGuard::group_file`]; [`Kind::Fenced`].
    pub fn group_file_open(&mut self) -> Result<(GroupFile, Arc<dyn File>)> {
        let boot_id = self.group.store.boot_id();
        let error = match GroupFile::read_open(&self.group.dir, boot_id) {
            Ok(read) => return Ok(read),
            Err(e) if e.kind() == Kind::Damaged => e,
            Err(e) => return Err(e),
        };
        let here = Process::current(&**self.group.store.clock());
        let alive = member_file::entered_and_alive(&*self.group.dir, here)?;
        if !alive.is_empty() {
            return Err(error.cure(format!(
                "end its members, then try again: it is rebuilt then; alive: {}",
                alive.join(", ")
            )));
        }
        let file = GroupFile::new(boot_id, self.state().epoch_max());
        self.guard.replace(layout::GROUP_FILE, &file.encode())?;
        self.group.notes.push(format!(
            "{error}; it was rebuilt from {}, its settings are the defaults",
            layout::OFFSETS_LOG
        ));
        let open = self.open_group_file()?;
        Ok((file, open))
    }

    /// `group.json` as this critical section put it in place, open.
    ///
    /// # Errors
    /// [`Kind::Fenced`] if the lock was taken over: then it may be another holder's.
    pub fn open_group_file(&self) -> Result<Arc<dyn File>> {
        let dir = &self.group.dir;
        let open = dir
            .open(layout::GROUP_FILE, Open::Read)
            .map_err(|e| Error::io("open", join(&**dir, layout::GROUP_FILE), e))?;
        self.guard.step()?;
        Ok(open)
    }

    /// Puts `group.json` in place. Members die with the boot: it is not synced.
    pub fn put_group_file(&self, file: &GroupFile) -> Result<()> {
        self.guard
            .replace_unsynced(layout::GROUP_FILE, &file.encode())
    }

    /// Puts `group.json` in place, synced: a setting changed.
    pub fn put_settings(&self, file: &GroupFile) -> Result<()> {
        self.guard.replace(layout::GROUP_FILE, &file.encode())
    }

    /// The members in `group.json` that are alive.
    pub fn alive(&mut self) -> Result<Vec<Member>> {
        let mut alive = Vec::new();
        for member in self.group_file()?.members {
            if member_file::is_alive(&*self.group.dir, member.member_id)? {
                alive.push(member);
            }
        }
        Ok(alive)
    }

    /// Expires overdue offsets before any other line counts.
    fn expire_if_overdue(&mut self) -> Result<()> {
        let now_ms = self.group.store.clock().now_ms();
        // No retention is shorter than a minute: mostly the settings need not be read.
        if !expiry::is_overdue(self.state(), 1, now_ms) {
            return Ok(());
        }
        let kept = expiry::retention_minutes(&self.group.store, &self.group.dir)?;
        if !expiry::is_overdue(self.state(), kept, now_ms) || !self.alive()?.is_empty() {
            return Ok(());
        }
        let (partitions, topics) = self.state().counts();
        if partitions > 0 {
            self.group.notes.push(format!(
                "the offsets of group '{}' have expired (partitions: {partitions}, topics: {topics}), \
                 since no member joined for {kept} minutes: it starts over ('mq-groups history' shows \
                 what it had; offsets.retention.minutes says how long they are kept)",
                self.group.name.escape_debug()
            ));
        }
        let line = Line {
            n: self.guard.n(),
            time_ms: now_ms,
            kind: LineKind::Expire,
            member: None,
            epoch: self.state().epoch_max(),
            entries: Vec::new(),
        };
        self.guard.step()?;
        self.group.log.append(&line)
    }

    /// Writes that the group is in use, if its offsets would expire otherwise; a member calls this
    /// periodically. Returns whether a line was written.
    ///
    /// # Errors
    /// Those of [`GroupGuard::write`].
    pub fn write_live_if_due(mut self, member: Uuid, epoch: i32) -> Result<bool> {
        let now_ms = self.group.store.clock().now_ms();
        let file = self.group_file()?;
        let due = expiry::is_live_due(self.state(), file.retention_minutes(), now_ms);
        if !due || !file.members.iter().any(|m| m.member_id == member) {
            return Ok(false);
        }
        self.write(LineKind::Live, Some(member.to_string()), epoch, Vec::new())?;
        Ok(true)
    }

    /// Writes a line, releases the lock and makes the line durable.
    ///
    /// # Errors
    /// [`Kind::Fenced`], [`Kind::DiskFull`]: nothing is changed. [`Kind::Unknown`]: perhaps it is.
    pub fn write(
        mut self,
        kind: LineKind,
        member: Option<String>,
        epoch: i32,
        entries: Vec<OffsetsEntry>,
    ) -> Result<Timestamp> {
        let time_ms = self.append(kind, member, epoch, entries)?;
        self.finish().map_err(|e| e.with_kind(Kind::Unknown))?;
        Ok(time_ms)
    }

    /// Writes a line; [`GroupGuard::finish`] makes it durable.
    ///
    /// # Errors
    /// Those of [`GroupGuard::write`].
    pub fn append(
        &mut self,
        kind: LineKind,
        member: Option<String>,
        epoch: i32,
        entries: Vec<OffsetsEntry>,
    ) -> Result<Timestamp> {
        let time_ms = self.group.store.clock().now_ms();
        self.guard.step()?;
        self.group.log.append(&Line {
            n: self.guard.n(),
            time_ms,
            kind,
            member,
            epoch,
            entries,
        })?;
        Ok(time_ms)
    }

    /// Releases the lock and makes the appended lines durable.
    ///
    /// # Errors
    /// [`Kind::Unknown`] if they are perhaps not durable; [`Kind::Fenced`] if the lock was taken
    /// over meanwhile: perhaps they count, perhaps not.
    pub fn finish(self) -> Result<()> {
        let GroupGuard { group, guard } = self;
        let n = guard.n();
        // No other process appends meanwhile. If the length is unknown, no other process's sync
        // suffices.
        let end = group.log.file().len().unwrap_or(u64::MAX);
        drop(guard);
        let outcome = group.make_durable(end);
        if outcome.is_err() {
            group.sync_failed = true;
        }
        outcome.map_err(|e| {
            e.with_kind(Kind::Unknown)
                .cure("it is written, but a power cut may still lose it")
        })?;
        match group.dir.id(&layout::lock_dir(n)) {
            Ok(_) => Ok(()),
            // This process may have been stopped for so long that its line came too late.
            Err(_) => Err(Error::lost_lock(format!(
                "the lock of group '{}' was taken over while its offsets were written",
                group.name.escape_debug()
            ))
            .cure("'mq-groups describe' shows whether they count")),
        }
    }

    /// Rewrites the log if it has grown far beyond its content, and after a failed sync: bytes that
    /// the kernel still shows may never reach the disk from the old file's pages.
    fn compact(&mut self) -> Result<()> {
        let (n, now_ms) = (self.guard.n(), self.group.store.clock().now_ms());
        let bytes = if self.group.sync_failed {
            Some(self.group.log.rewritten(n, now_ms))
        } else {
            self.group.log.compacted(n, now_ms)?
        };
        let Some(bytes) = bytes else { return Ok(()) };
        // In this order: rule 4 of `offsets_sync`.
        let staged = self.group.lock.stage(&bytes)?;
        let own_note = layout::offsets_sync(self.group.log.id().inode);
        offsets_sync::remove_notes(&self.guard, Some(&own_note))?;
        offsets_sync::make(&*self.group.dir, staged.id()?);
        self.guard.publish(staged, layout::OFFSETS_LOG)?;
        // If that fails, or no process synced, the next rewrite of the log removes it.
        let _ = self.guard.rename_in(&own_note);
        self.group.reopen()?;
        self.group.log.refresh()
    }
}

impl Group {
    /// Whether a member should call [`GroupGuard::write_live_if_due`], as far as visible without
    /// the lock.
    pub fn is_live_due(&self) -> Result<bool> {
        let now_ms = self.store.clock().now_ms();
        // No retention is shorter than a minute: mostly the settings need not be read.
        if !expiry::is_live_due(self.state(), 1, now_ms) {
            return Ok(false);
        }
        let kept = expiry::retention_minutes(&self.store, &self.dir)?;
        Ok(expiry::is_live_due(self.state(), kept, now_ms))
    }

    /// Makes the log durable up to `end`, bytes, at least.
    fn make_durable(&mut self, end: u64) -> Result<()> {
        self.sync_names()?;
        if self.sync.is_none() {
            self.sync = OffsetsSync::open(&self.store, &self.dir, &**self.log.file()).ok();
        }
        let log = self.log.file();
        let synced = match &self.sync {
            Some(sync) => sync.cover(&**log, end, self.lock.retry()),
            None => log.sync_data().map(|()| Synced::Durable),
        };
        match synced.map_err(|e| Error::io("sync", join(&*self.dir, layout::OFFSETS_LOG), e))? {
            Synced::Durable => Ok(()),
            Synced::Unknown => self.rewrite(),
        }
    }

    /// Rewrites all appended lines into a new file, by this process or another.
    fn rewrite(&mut self) -> Result<()> {
        self.sync_failed = true;
        drop(self.hold("rewrite the offsets")?);
        // The process that put the new file in place may have died before its name was durable.
        self.sync_names()
    }

    fn sync_names(&mut self) -> Result<()> {
        if !self.names_synced {
            let groups = self.store.groups_dir()?;
            for dir in [&self.dir, &groups] {
                dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
            }
            self.names_synced = true;
        }
        Ok(())
    }
}
