//! The content of the simulated disk, in the cache and durable, and what a power cut leaves of it.
//!
//! 1. A file's bytes reach the disk in sectors of 512 bytes, each whole or not at all, in any
//!    order, each in any of the states it had since the last sync. Its length takes one of the
//!    values it had, whichever sectors arrived: missing ones read as zeros.
//! 2. A directory's entries reach the disk in their order, up to any one of them.
//! 3. A rename is one step, between two directories too; the entry is never lost from both nor
//!    present in both. A directory's removal reaches the disk only with the steps that emptied the
//!    directory. (A journal does this.)
//! 4. `sync_data` saves a file's bytes and length, and not its name. A sync of a directory saves
//!    its entries (and by 3 the steps that they depend on), and not the files that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use mq::disk::{Entry, EntryKind};
use rustix::io::Errno;

use super::bytes::FileState;

/// The inode of `/`.
pub const ROOT: u64 = 2;

/// A fault planned for an operation of a process.
#[derive(Debug, Clone)]
pub struct Fault {
    pub at: u64,
    /// `None`: the process dies.
    pub errno: Option<Errno>,
    /// How many bytes a write writes before that.
    pub bytes: usize,
}

#[derive(Debug, Clone, Default)]
pub struct ProcessState {
    pub dead: bool,
    pub trace: Vec<String>,
    pub faults: Vec<Fault>,
    /// Calls of any kind so far.
    pub calls: u64,
    pub freeze_at: Option<u64>,
    pub is_frozen: bool,
}

#[derive(Debug)]
pub struct World {
    pub boot: u64,
    pub free_bytes: u64,
    pub sync_time: Duration,
    inodes: BTreeMap<u64, Inode>,
    locks: BTreeMap<u64, Lock>,
    processes: BTreeMap<u64, ProcessState>,
    last_number: u64,
}

#[derive(Debug)]
enum Inode {
    File(FileState),
    Dir(DirState),
}

type Entries = BTreeMap<String, u64>;

#[derive(Debug, Default)]
struct DirState {
    cached: Entries,
    durable: Entries,
    unsynced: Vec<Step>,
    removed: bool,
}

/// One step of a directory.
#[derive(Debug)]
struct Step {
    number: u64,
    sets: Vec<(String, Option<u64>)>,
    /// Directories and the step of each that must be on the disk before this one.
    hangs_on: Vec<u64>,
}

/// By open file description.
#[derive(Debug)]
struct Lock {
    inode: u64,
    process: u64,
    exclusive: bool,
}

impl World {
    pub fn new() -> World {
        World {
            boot: 1,
            free_bytes: 1 << 40,
            sync_time: Duration::ZERO,
            inodes: BTreeMap::from([(ROOT, Inode::Dir(DirState::default()))]),
            locks: BTreeMap::new(),
            processes: BTreeMap::new(),
            last_number: ROOT,
        }
    }

    pub fn start_process(&mut self) -> u64 {
        let id = self.new_number();
        self.processes.insert(id, ProcessState::default());
        id
    }

    pub fn process_mut(&mut self, id: u64) -> &mut ProcessState {
        self.processes.entry(id).or_default()
    }

    pub fn end_process(&mut self, id: u64) {
        self.process_mut(id).dead = true;
        self.locks.retain(|_, lock| lock.process != id);
    }

    pub fn end_all(&mut self) {
        for process in self.processes.values_mut() {
            process.dead = true;
        }
        self.locks.clear();
    }

    /// An unused number: of an inode, a process, a description or a step.
    pub fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    // Names.

    pub fn lookup(&self, from: u64, name: &str) -> io::Result<u64> {
        let (dir, last) = self.parent(from, name)?;
        self.dir(dir)?
            .cached
            .get(last)
            .copied()
            .ok_or_else(|| Errno::NOENT.into())
    }

    pub fn lookup_or_self(&self, from: u64, name: &str) -> io::Result<u64> {
        if name == "." {
            Ok(from)
        } else {
            self.lookup(from, name)
        }
    }

    pub fn must_be_dir(&self, inode: u64) -> io::Result<()> {
        self.dir(inode).map(drop)
    }

    pub fn must_be_file(&self, inode: u64) -> io::Result<()> {
        match self.inodes.get(&inode) {
            Some(Inode::File(_)) => Ok(()),
            _ => Err(io::Error::other("not a regular file")),
        }
    }

    pub fn list(&self, inode: u64) -> io::Result<Vec<Entry>> {
        let kind = |inode| match self.inodes.get(inode) {
            Some(Inode::File(_)) => EntryKind::File,
            _ => EntryKind::Dir,
        };
        let entries = self.dir(inode)?.cached.iter();
        Ok(entries
            .map(|(name, inode)| Entry {
                name: name.clone(),
                kind: kind(inode),
            })
            .collect())
    }

    pub fn create_file(&mut self, from: u64, name: &str) -> io::Result<u64> {
        self.create(from, name, Inode::File(FileState::default()))
    }

    pub fn create_dir(&mut self, from: u64, name: &str) -> io::Result<u64> {
        self.create(from, name, Inode::Dir(DirState::default()))
    }

    fn create(&mut self, from: u64, name: &str, what: Inode) -> io::Result<u64> {
        let (dir, last) = self.parent(from, name)?;
        if self.dir(dir)?.cached.contains_key(last) {
            return Err(Errno::EXIST.into());
        }
        self.must_be_in_place(dir)?;
        let inode = self.new_number();
        self.inodes.insert(inode, what);
        self.step(dir, vec![(last.to_owned(), Some(inode))], vec![])?;
        Ok(inode)
    }

    pub fn rename(&mut self, dir: u64, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let moved = self.lookup(dir, from)?;
        let (from_dir, from) = self.parent(dir, from)?;
        let (to_dir, to) = self.parent(dir, to)?;
        self.must_be_in_place(to_dir)?;
        if self.is_within(to_dir, moved) {
            return Err(Errno::INVAL.into());
        }
        let mut emptied = None;
        if let Some(&there) = self.dir(to_dir)?.cached.get(to) {
            match (self.inodes.get(&moved), self.inodes.get(&there)) {
                _ if !replace => return Err(Errno::EXIST.into()),
                _ if there == moved => return Ok(()),
                (Some(Inode::File(_)), Some(Inode::File(_))) => {}
                (Some(Inode::File(_)), _) => return Err(Errno::ISDIR.into()),
                (_, Some(Inode::File(_))) => return Err(Errno::NOTDIR.into()),
                _ => {
                    self.must_be_empty(there)?;
                    emptied = Some(there);
                }
            }
        }
        let (out, into) = ((from.to_owned(), None), (to.to_owned(), Some(moved)));
        let mut hangs_on: Vec<u64> = emptied.into_iter().collect();
        if from_dir == to_dir {
            self.step(to_dir, vec![out, into], hangs_on)?;
        } else {
            hangs_on.extend([from_dir, to_dir]);
            let number = self.new_number();
            self.step_numbered(number, from_dir, vec![out], hangs_on.clone())?;
            self.step_numbered(number, to_dir, vec![into], hangs_on)?;
        }
        if let Some(emptied) = emptied {
            self.dir_mut(emptied)?.removed = true;
        }
        Ok(())
    }

    pub fn remove(&mut self, from: u64, name: &str) -> io::Result<()> {
        let inode = self.lookup(from, name)?;
        if self.must_be_file(inode).is_err() {
            return Err(Errno::ISDIR.into());
        }
        let (dir, last) = self.parent(from, name)?;
        self.step(dir, vec![(last.to_owned(), None)], vec![])
    }

    pub fn remove_dir(&mut self, from: u64, name: &str) -> io::Result<()> {
        let inode = self.lookup(from, name)?;
        self.must_be_empty(inode)?;
        let (dir, last) = self.parent(from, name)?;
        self.step(dir, vec![(last.to_owned(), None)], vec![inode])?;
        self.dir_mut(inode)?.removed = true;
        Ok(())
    }

    fn step(
        &mut self,
        dir: u64,
        sets: Vec<(String, Option<u64>)>,
        hangs_on: Vec<u64>,
    ) -> io::Result<()> {
        let number = self.new_number();
        self.step_numbered(number, dir, sets, hangs_on)
    }

    fn step_numbered(
        &mut self,
        number: u64,
        dir: u64,
        sets: Vec<(String, Option<u64>)>,
        hangs_on: Vec<u64>,
    ) -> io::Result<()> {
        let state = self.dir_mut(dir)?;
        let step = Step {
            number,
            sets,
            hangs_on,
        };
        step.apply(&mut state.cached);
        state.unsynced.push(step);
        Ok(())
    }

    fn parent<'a>(&self, from: u64, name: &'a str) -> io::Result<(u64, &'a str)> {
        let mut dir = from;
        let mut rest = name;
        if name
            .split('/')
            .any(|component| matches!(component, "" | "." | ".."))
        {
            let text = "a name with an empty, `.` or `..` component";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        while let Some((first, below)) = rest.split_once('/') {
            dir = *self.dir(dir)?.cached.get(first).ok_or(Errno::NOENT)?;
            rest = below;
        }
        self.dir(dir)?;
        Ok((dir, rest))
    }

    fn must_be_in_place(&self, dir: u64) -> io::Result<()> {
        if self.dir(dir)?.removed {
            Err(Errno::NOENT.into())
        } else {
            Ok(())
        }
    }

    fn must_be_empty(&self, dir: u64) -> io::Result<()> {
        if self.dir(dir)?.cached.is_empty() {
            Ok(())
        } else {
            Err(Errno::NOTEMPTY.into())
        }
    }

    fn is_within(&self, inode: u64, above: u64) -> bool {
        inode == above
            || self.dir(above).is_ok_and(|dir| {
                dir.cached
                    .values()
                    .any(|&below| self.is_within(inode, below))
            })
    }

    fn dir(&self, inode: u64) -> io::Result<&DirState> {
        match self.inodes.get(&inode) {
            Some(Inode::Dir(dir)) => Ok(dir),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn dir_mut(&mut self, inode: u64) -> io::Result<&mut DirState> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::Dir(dir)) => Ok(dir),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    // Bytes.

    pub fn file(&mut self, inode: u64) -> io::Result<&mut FileState> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => Ok(file),
            _ => Err(Errno::BADF.into()),
        }
    }

    pub fn drop_caches(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode {
                file.drop_cache();
            }
        }
    }

    // Locks.

    /// A description that asks for another kind first gives up its present one, and may end with
    /// none (flock(2)).
    pub fn try_lock(
        &mut self,
        inode: u64,
        description: u64,
        process: u64,
        exclusive: bool,
    ) -> bool {
        let held = self
            .locks
            .get(&description)
            .is_some_and(|held| held.exclusive == exclusive);
        if held {
            return true;
        }
        self.locks.remove(&description);
        let mut others = self.locks.values().filter(|lock| lock.inode == inode);
        if others.any(|lock| lock.exclusive || exclusive) {
            return false;
        }
        self.locks.insert(
            description,
            Lock {
                inode,
                process,
                exclusive,
            },
        );
        true
    }

    pub fn unlock(&mut self, description: u64) {
        self.locks.remove(&description);
    }

    // Durability.

    pub fn sync_dir(&mut self, inode: u64) -> io::Result<()> {
        // How many steps of each directory go to the disk: all of this one's, and those that they
        // need.
        let mut taken = BTreeMap::from([(inode, self.dir(inode)?.unsynced.len())]);
        let mut to_visit = vec![inode];
        while let Some(dir) = to_visit.pop() {
            let count = taken.get(&dir).copied().unwrap_or(0);
            for step in self.dir(dir)?.unsynced.iter().take(count) {
                for &other in &step.hangs_on {
                    let needed = self.dir(other)?.steps_up_to(step.number);
                    let has = taken.entry(other).or_insert(0);
                    if *has < needed {
                        *has = needed;
                        to_visit.push(other);
                    }
                }
            }
        }
        for (dir, count) in taken {
            let state = self.dir_mut(dir)?;
            for step in state.unsynced.drain(..count) {
                step.apply(&mut state.durable);
            }
        }
        Ok(())
    }

    /// The disk as the next boot finds it.
    pub fn after_power_cut(&self, choice: &mut dyn FnMut(usize) -> usize) -> World {
        let taken = self.choose_steps(choice);
        let mut inodes = BTreeMap::new();
        let mut reached = BTreeSet::from([ROOT]);
        let mut to_visit = vec![ROOT];
        while let Some(inode) = to_visit.pop() {
            let left = match self.inodes.get(&inode) {
                Some(Inode::Dir(dir)) => {
                    let mut entries = dir.durable.clone();
                    let count = taken.get(&inode).copied().unwrap_or(0);
                    for step in dir.unsynced.iter().take(count) {
                        step.apply(&mut entries);
                    }
                    for &below in entries.values() {
                        assert!(reached.insert(below), "an inode with two names");
                        to_visit.push(below);
                    }
                    let (cached, durable) = (entries.clone(), entries);
                    Inode::Dir(DirState {
                        cached,
                        durable,
                        ..DirState::default()
                    })
                }
                Some(Inode::File(file)) => Inode::File(file.after_power_cut(choice)),
                None => unreachable!("an entry without an inode"),
            };
            inodes.insert(inode, left);
        }
        World {
            boot: self.boot + 1,
            free_bytes: self.free_bytes,
            sync_time: Duration::ZERO,
            inodes,
            locks: BTreeMap::new(),
            processes: BTreeMap::new(),
            last_number: self.last_number,
        }
    }

    /// How many steps of each directory survive: as chosen, without those whose needed steps are
    /// missing.
    fn choose_steps(&self, choice: &mut dyn FnMut(usize) -> usize) -> BTreeMap<u64, usize> {
        let mut taken = BTreeMap::new();
        for (&inode, state) in &self.inodes {
            if let Inode::Dir(dir) = state {
                let steps = dir.unsynced.len();
                taken.insert(inode, if steps == 0 { 0 } else { choice(steps + 1) });
            }
        }
        loop {
            let lacking = taken.iter().find_map(|(&inode, &count)| {
                let steps = &self.dir(inode).ok()?.unsynced;
                let lacks = |step: &Step| {
                    step.hangs_on.iter().any(|other| {
                        let needed = self.dir(*other).map_or(0, |d| d.steps_up_to(step.number));
                        taken.get(other).copied().unwrap_or(0) < needed
                    })
                };
                Some((inode, steps.iter().take(count).position(lacks)?))
            });
            match lacking {
                Some((inode, first)) => taken.insert(inode, first),
                None => return taken,
            };
        }
    }
}

impl DirState {
    fn steps_up_to(&self, number: u64) -> usize {
        self.unsynced
            .iter()
            .take_while(|step| step.number <= number)
            .count()
    }
}

impl Step {
    fn apply(&self, entries: &mut Entries) {
        for (name, inode) in &self.sets {
            match inode {
                Some(inode) => entries.insert(name.clone(), *inode),
                None => entries.remove(name),
            };
        }
    }
}
