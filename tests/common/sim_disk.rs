//! A disk in memory that forgets what was not synced.
//!
//! A [`SimDisk`] is one process's view of a world (see [`world`] for what a power cut leaves).
//! [`SimDisk::process`] starts another process on the same world, [`SimDisk::kill`] ends this one
//! and starts its successor, [`SimDisk::crash`] cuts the power of the whole world and starts a
//! process on what is left of it. Dead processes keep their handles, and every use of them fails.
//!
//! Every call that changes something is an operation, counted from 1, as is every sync. A plan
//! stops or fails the nth, or makes something happen before it: run once to count, then once for
//! each n.
//!
//! It is stricter than a real disk where that finds mistakes: `append` needs a file opened with
//! `Open::Append`, and `write_at` one opened without it.

mod bytes;
mod choice;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use choice::{every_choice, first_choices, seeded};
use mq::disk::{Dir, Disk, Entry, File, FileId, FileSystem, LockKind, Open, Watcher, join};
use rustix::io::Errno;
use world::{Fault, ROOT, World};

/// One process's view of a simulated disk. Clones are the same process.
#[derive(Clone)]
pub struct SimDisk {
    process: Process,
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk (`/` alone), and the first process on it.
    pub fn new() -> SimDisk {
        SimDisk::on(Arc::new(Mutex::new(World::new())))
    }

    fn on(world: Arc<Mutex<World>>) -> SimDisk {
        let id = lock(&world).start_process();
        let hooks = Arc::default();
        SimDisk {
            process: Process { world, id, hooks },
        }
    }

    /// Another process on the same disk, in the same boot.
    pub fn process(&self) -> SimDisk {
        SimDisk::on(Arc::clone(&self.process.world))
    }

    /// Ends this process: what it wrote stays, its locks are free, others continue. Returns its
    /// successor.
    pub fn kill(&self) -> SimDisk {
        lock(&self.process.world).end_process(self.process.id);
        self.process()
    }

    /// Cuts the power: all processes end. Returns a process on a new disk, with what is left after
    /// the next boot by `choice`: given n, that returns one of 0..n. Another call on the same disk
    /// makes another choice from the same state.
    pub fn crash(&self, choice: &mut dyn FnMut(usize) -> usize) -> SimDisk {
        lock(&self.process.world).end_all();
        self.if_crashed(choice)
    }

    /// What [`SimDisk::crash`] would leave, while this disk goes on.
    pub fn if_crashed(&self, choice: &mut dyn FnMut(usize) -> usize) -> SimDisk {
        let left = lock(&self.process.world).after_power_cut(choice);
        SimDisk::on(Arc::new(Mutex::new(left)))
    }

    /// [`SimDisk::crash`] with random choices, the same for the same seed.
    pub fn crash_seeded(&self, seed: u64) -> SimDisk {
        self.crash(&mut seeded(seed))
    }

    /// A power cut that loses all that was not synced.
    pub fn crash_losing_all(&self) -> SimDisk {
        self.crash(&mut |_| 0)
    }

    /// A power cut that loses nothing but the boot and its locks.
    pub fn crash_losing_nothing(&self) -> SimDisk {
        self.crash(&mut |n| n - 1)
    }

    /// Ends all processes and begins the next boot. Everything stays, unsynced bytes included: a
    /// boot id cannot show more.
    pub fn in_next_boot(&self) -> SimDisk {
        let mut world = lock(&self.process.world);
        world.end_all();
        world.boot += 1;
        drop(world);
        self.process()
    }

    /// This process dies at its nth operation, which has no effect.
    pub fn stop_at(&self, n: u64) {
        self.plan(Fault {
            at: n,
            errno: None,
            bytes: 0,
        });
    }

    /// This process dies within its nth operation: a write or append writes its first `bytes`.
    pub fn stop_within(&self, n: u64, bytes: usize) {
        self.plan(Fault {
            at: n,
            errno: None,
            bytes,
        });
    }

    /// The nth operation fails (EIO, ENOSPC, ...) and has no effect. If it is a `sync_data`, what
    /// it should have synced counts as clean afterwards, as on Linux: no later sync saves it.
    pub fn fail_at(&self, n: u64, errno: Errno) {
        self.plan(Fault {
            at: n,
            errno: Some(errno),
            bytes: 0,
        });
    }

    /// The nth operation, a write or append, writes its first `bytes` and then fails.
    pub fn fail_short_at(&self, n: u64, errno: Errno, bytes: usize) {
        self.plan(Fault {
            at: n,
            errno: Some(errno),
            bytes,
        });
    }

    /// This process stands still before its nth call of any kind, as by SIGSTOP, until
    /// [`SimDisk::thaw`].
    pub fn freeze_at(&self, n: u64) {
        lock(&self.process.world)
            .process_mut(self.process.id)
            .freeze_at = Some(n);
    }

    /// Lets the process continue.
    pub fn thaw(&self) {
        let mut world = lock(&self.process.world);
        let process = world.process_mut(self.process.id);
        (process.freeze_at, process.is_frozen) = (None, false);
    }

    /// Whether it stands still.
    pub fn is_frozen(&self) -> bool {
        lock(&self.process.world)
            .process_mut(self.process.id)
            .is_frozen
    }

    /// How many calls of any kind it made, including those that change nothing.
    pub fn calls(&self) -> u64 {
        lock(&self.process.world).process_mut(self.process.id).calls
    }

    fn plan(&self, fault: Fault) {
        lock(&self.process.world)
            .process_mut(self.process.id)
            .faults
            .push(fault);
    }

    /// Right before the nth operation of this process, another process does something.
    pub fn before(&self, n: u64, what: impl FnOnce() + Send + 'static) {
        lock(&self.process.hooks).insert(n, Box::new(what));
    }

    /// How many operations this process began.
    pub fn ops(&self) -> u64 {
        lock(&self.process.world)
            .process_mut(self.process.id)
            .trace
            .len() as u64
    }

    /// Its operations, for messages: the nth is at n - 1.
    pub fn trace(&self) -> Vec<String> {
        lock(&self.process.world)
            .process_mut(self.process.id)
            .trace
            .clone()
    }

    /// Whether a plan, a kill or a crash ended this process.
    pub fn is_dead(&self) -> bool {
        lock(&self.process.world).process_mut(self.process.id).dead
    }

    /// Drops the cached pages of all files: after a failed sync, reads return what is on the disk.
    pub fn drop_caches(&self) {
        lock(&self.process.world).drop_caches();
    }

    /// Sets the result of `free_bytes` from now on.
    pub fn set_free_bytes(&self, bytes: u64) {
        lock(&self.process.world).free_bytes = bytes;
    }

    /// How long each `sync_data` takes from now on. It does not save what is written meanwhile.
    pub fn set_sync_time(&self, time: Duration) {
        lock(&self.process.world).sync_time = time;
    }

    /// Changes bytes without a process, durably and uncounted (bit rot).
    pub fn damage(&self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = lock(&self.process.world);
        let inode = world.lookup(ROOT, path.trim_start_matches('/'))?;
        world.file(inode)?.damage(at as usize, bytes);
        Ok(())
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

impl Disk for SimDisk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let world = self.process.alive()?;
        let inode = world.lookup_or_self(ROOT, &below_root(path)?)?;
        world.must_be_dir(inode)?;
        Ok(Arc::new(SimDir {
            process: self.process.clone(),
            inode,
            path: path.to_owned(),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = below_root(path)?;
        let mut parent = ROOT;
        for name in path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
        {
            let found = self.process.alive()?.lookup(parent, name);
            parent = match found {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mut world = self
                        .process
                        .begin(format!("create_dir_all {path}: {name}"))?;
                    let made = world.create_dir(parent, name)?;
                    world.sync_dir(parent)?;
                    made
                }
                other => other?,
            };
            self.process.alive()?.must_be_dir(parent)?;
        }
        Ok(())
    }

    fn file_system(&self, _path: &Path) -> io::Result<FileSystem> {
        drop(self.process.alive()?);
        Ok(FileSystem::Local)
    }

    fn boot_id(&self) -> io::Result<[u8; 16]> {
        let boot = self.process.alive()?.boot;
        Ok((u128::from(boot) | 0xB007 << 112).to_be_bytes())
    }

    fn watcher(&self) -> io::Result<Box<dyn Watcher>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

type Hooks = BTreeMap<u64, Box<dyn FnOnce() + Send>>;

#[derive(Clone)]
struct Process {
    world: Arc<Mutex<World>>,
    id: u64,
    hooks: Arc<Mutex<Hooks>>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of a simulated disk", self.id)
    }
}

impl Process {
    /// The world, for a call that changes nothing.
    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        loop {
            let mut world = lock(&self.world);
            let process = world.process_mut(self.id);
            if process.dead {
                return Err(dead());
            }
            if !process.is_frozen {
                process.calls += 1;
                process.is_frozen = process.freeze_at == Some(process.calls);
            }
            if !process.is_frozen {
                return Ok(world);
            }
            // The heartbeat thread of the locks is one for all simulated processes.
            if std::thread::current().name() == Some("mq-lock-pulse") {
                return Err(Errno::INTR.into());
            }
            drop(world);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    }

    /// The world, for an operation that happens entirely or not at all.
    fn begin(&self, what: String) -> io::Result<MutexGuard<'_, World>> {
        match self.begin_partly(what)? {
            (world, None) => Ok(world),
            (_, Some(fault)) => Err(error_of(&fault)),
        }
    }

    /// The world, for an operation that fails in its own way.
    fn begin_partly(&self, what: String) -> io::Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let next = self.alive()?.process_mut(self.id).trace.len() as u64 + 1;
        let hook = lock(&self.hooks).remove(&next);
        if let Some(hook) = hook {
            hook();
        }
        let mut world = self.alive()?;
        let process = world.process_mut(self.id);
        process.trace.push(what);
        let n = process.trace.len() as u64;
        let fault = process.faults.iter().find(|fault| fault.at == n).cloned();
        if fault.as_ref().is_some_and(|fault| fault.errno.is_none()) {
            world.end_process(self.id);
        }
        Ok((world, fault))
    }
}

#[derive(Debug)]
struct SimDir {
    process: Process,
    inode: u64,
    path: PathBuf,
}

impl SimDir {
    fn named(&self, name: &str) -> String {
        join(self, name).display().to_string()
    }
}

impl Dir for SimDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn own_id(&self) -> io::Result<FileId> {
        drop(self.process.alive()?);
        Ok(file_id(self.inode))
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let world = self.process.alive()?;
        let inode = world.lookup_or_self(self.inode, name)?;
        world.must_be_dir(inode)?;
        Ok(Arc::new(SimDir {
            process: self.process.clone(),
            inode,
            path: join(self, name),
        }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        let mut world = self
            .process
            .begin(format!("create_dir {}", self.named(name)))?;
        world.create_dir(self.inode, name).map(drop)
    }

    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let found = self.process.alive()?.lookup(self.inode, name);
        let mut world = self.process.alive()?;
        let inode = match (found, how) {
            (Ok(_), Open::CreateNew) => return Err(Errno::EXIST.into()),
            (Ok(inode), _) => inode,
            (Err(error), Open::Create | Open::CreateNew | Open::Append)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                drop(world);
                world = self.process.begin(format!("create {}", self.named(name)))?;
                match world.lookup(self.inode, name) {
                    Ok(_) if how == Open::CreateNew => return Err(Errno::EXIST.into()),
                    Ok(inode) => inode,
                    Err(_) => world.create_file(self.inode, name)?,
                }
            }
            (Err(error), _) => return Err(error),
        };
        world.must_be_file(inode)?;
        let description = world.new_number();
        drop(world);
        let (process, path) = (self.process.clone(), self.named(name));
        Ok(Arc::new(SimFile {
            process,
            inode,
            description,
            how,
            path,
        }))
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        self.process.alive()?.lookup(self.inode, name).map(file_id)
    }

    fn list(&self, name: &str) -> io::Result<Vec<Entry>> {
        let world = self.process.alive()?;
        let inode = world.lookup_or_self(self.inode, name)?;
        world.list(inode)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let what = format!("rename {} to {to}", self.named(from));
        self.process.begin(what)?.rename(self.inode, from, to, true)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let what = format!("rename_new {} to {to}", self.named(from));
        self.process
            .begin(what)?
            .rename(self.inode, from, to, false)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process
            .begin(format!("remove {}", self.named(name)))?
            .remove(self.inode, name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        let what = format!("remove_dir {}", self.named(name));
        self.process.begin(what)?.remove_dir(self.inode, name)
    }

    fn sync(&self) -> io::Result<()> {
        self.process
            .begin(format!("sync {}", self.path.display()))?
            .sync_dir(self.inode)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.process.alive()?.free_bytes)
    }
}

/// One open file description.
#[derive(Debug)]
struct SimFile {
    process: Process,
    inode: u64,
    description: u64,
    how: Open,
    path: String,
}

impl SimFile {
    fn write(&self, op: &str, buf: &[u8], at: Option<u64>) -> io::Result<()> {
        let place = at.map_or_else(|| "the end".to_owned(), |at| at.to_string());
        let what = format!("{op} {} at {place}, {} bytes", self.path, buf.len());
        let (mut world, fault) = self.process.begin_partly(what)?;
        let bytes = fault
            .as_ref()
            .map_or(buf.len(), |fault| fault.bytes.min(buf.len()));
        world.file(self.inode)?.write(at, &buf[..bytes]);
        fault.map_or(Ok(()), |fault| Err(error_of(&fault)))
    }
}

impl File for SimFile {
    fn id(&self) -> io::Result<FileId> {
        drop(self.process.alive()?);
        Ok(file_id(self.inode))
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(self.process.alive()?.file(self.inode)?.read(buf, at))
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        match self.how {
            Open::Read => Err(Errno::BADF.into()),
            Open::Append => Err(misuse("write_at on a file opened for appending")),
            Open::Write | Open::Create | Open::CreateNew => self.write("write_at", buf, Some(at)),
        }
    }

    fn append(&self, buf: &[u8]) -> io::Result<()> {
        match self.how {
            Open::Read => Err(Errno::BADF.into()),
            Open::Append => self.write("append", buf, None),
            _ => Err(misuse("append on a file not opened for appending")),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.process.alive()?.file(self.inode)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.how == Open::Read {
            return Err(Errno::INVAL.into());
        }
        self.process
            .begin(format!("set_len {} to {len}", self.path))?
            .file(self.inode)?
            .set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut world, fault) = self
            .process
            .begin_partly(format!("sync_data {}", self.path))?;
        match &fault {
            None => world.file(self.inode)?.sync(),
            Some(fault) if fault.errno.is_some() => world.file(self.inode)?.fail_sync(),
            Some(_) => {}
        }
        let time = world.sync_time;
        drop(world);
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        fault.map_or(Ok(()), |fault| Err(error_of(&fault)))
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let exclusive = kind == LockKind::Exclusive;
        let mut world = self.process.alive()?;
        Ok(world.try_lock(self.inode, self.description, self.process.id, exclusive))
    }

    fn unlock(&self) -> io::Result<()> {
        self.process.alive()?.unlock(self.description);
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        lock(&self.process.world).unlock(self.description);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn below_root(path: &Path) -> io::Result<String> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let names: Vec<&str> = path
        .split('/')
        .filter(|n| !n.is_empty() && *n != ".")
        .collect();
    Ok(if names.is_empty() {
        ".".to_owned()
    } else {
        names.join("/")
    })
}

fn file_id(inode: u64) -> FileId {
    FileId { device: 1, inode }
}

fn error_of(fault: &Fault) -> io::Error {
    fault.errno.map_or_else(dead, io::Error::from)
}

fn dead() -> io::Error {
    io::Error::other("the simulated process is dead")
}

fn misuse(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
