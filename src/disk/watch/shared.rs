//! One kernel watcher for all waiting threads of a process: the kernel gives a user only a few.
//!
//! Each part has its own watches. Of the waiting parts, one sleeps on the kernel's descriptor,
//! reads the events and gives each to the part that owns it. The others each sleep on a bell, an
//! own descriptor created on first use. The bell is rung if there are events for the part, or if no
//! part sleeps on the kernel's descriptor. With one waiting thread at a time there is no extra
//! descriptor and no extra wake-up.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::poll::{POLL_PERIOD, Polled, wait_for};
use crate::disk::{Dir, Disk, Wake, WatchId, Watcher};

/// A shared watcher. Each user has a part of it ([`SharedWatcher::part`]).
#[derive(Debug, Clone, Default)]
pub struct SharedWatcher(Arc<Mutex<WatchState>>);

#[derive(Debug, Default)]
struct WatchState {
    /// Present as long as there are parts.
    kernel: Option<Kernel>,
    parts: HashMap<u64, Part>,
    owners: HashMap<WatchId, u64>,
    last_part: u64,
    /// The part that sleeps on the kernel's descriptor.
    sleeper: Option<u64>,
}

#[derive(Debug)]
struct Kernel {
    watcher: Box<dyn Watcher>,
    readable: Arc<OwnedFd>,
}

#[derive(Debug, Default)]
struct Part {
    changed: Vec<WatchId>,
    anything: bool,
    /// The descriptor that it sleeps on.
    bell: Option<Arc<OwnedFd>>,
    sleeps: bool,
}

impl SharedWatcher {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        // A panic elsewhere leaves a list of hints, at worst too many.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of the watcher, or a separate watcher if the disk's cannot be shared.
    ///
    /// # Errors
    /// As [`Disk::watcher`].
    pub fn part(&self, disk: &dyn Disk) -> io::Result<Box<dyn Watcher>> {
        let mut state = self.lock();
        if state.kernel.is_none() {
            let watcher = disk.watcher()?;
            let Some(readable) = watcher.readable() else {
                return Ok(watcher);
            };
            state.kernel = Some(Kernel { watcher, readable });
        }
        state.last_part += 1;
        let id = state.last_part;
        state.parts.insert(id, Part::default());
        drop(state);
        let shared = self.clone();
        Ok(Box::new(OwnPart { shared, id }))
    }
}

impl WatchState {
    /// Takes the events for a part.
    fn take(&mut self, id: u64) -> Option<Wake> {
        let part = self.parts.get_mut(&id)?;
        let mut changed = std::mem::take(&mut part.changed);
        if std::mem::take(&mut part.anything) {
            return Some(Wake::Anything);
        }
        changed.sort_unstable();
        changed.dedup();
        (!changed.is_empty()).then_some(Wake::Changed(changed))
    }

    /// Reads the kernel's events, and gives each to the part that owns it.
    fn share_out(&mut self) -> io::Result<()> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(());
        };
        match kernel.watcher.wait(Duration::ZERO, None)? {
            Wake::Nothing => {}
            Wake::Anything => self
                .parts
                .values_mut()
                .for_each(|part| part.anything = true),
            Wake::Changed(ids) => {
                for id in ids {
                    let owner = self.owners.get(&id);
                    if let Some(part) = owner.and_then(|owner| self.parts.get_mut(owner)) {
                        part.changed.push(id);
                    }
                }
            }
        }
        for part in self.parts.values() {
            if part.sleeps && part.has_something() {
                part.ring();
            }
        }
        Ok(())
    }

    /// Wakes a part to sleep on the kernel's descriptor, if no part does and any sleeps.
    fn appoint(&self) {
        if self.sleeper.is_none()
            && let Some(part) = self.parts.values().find(|part| part.sleeps)
        {
            part.ring();
        }
    }

    fn is_blind(&self) -> bool {
        let kernel = self.kernel.as_ref();
        kernel.is_none_or(|kernel| kernel.watcher.is_blind())
    }
}

impl Part {
    fn has_something(&self) -> bool {
        self.anything || !self.changed.is_empty()
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // A bell that is rung already stays so.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(target_os = "linux")]
fn new_bell() -> io::Result<OwnedFd> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

#[cfg(not(target_os = "linux"))]
fn new_bell() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The state of one part.
#[derive(Debug)]
struct OwnPart {
    shared: SharedWatcher,
    id: u64,
}

impl OwnPart {
    fn add(
        &mut self,
        add: impl FnOnce(&mut dyn Watcher) -> io::Result<WatchId>,
    ) -> io::Result<WatchId> {
        let mut state = self.shared.lock();
        let Some(kernel) = &mut state.kernel else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let id = add(&mut *kernel.watcher)?;
        state.owners.insert(id, self.id);
        Ok(id)
    }

    /// Sleeps on the kernel's descriptor for all parts.
    fn watch(
        &self,
        readable: &OwnedFd,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Polled> {
        let ready = wait_for(Some(readable.as_fd()), wake, timeout);
        let mut state = self.shared.lock();
        state.sleeper = None;
        match ready {
            Ok(Polled::Watched) => state.share_out().map(|()| Polled::Watched),
            other => other,
        }
    }

    /// Sleeps until the bell rings.
    fn sleep(
        &self,
        bell: &OwnedFd,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Polled> {
        let ready = wait_for(Some(bell.as_fd()), wake, timeout);
        let mut state = self.shared.lock();
        if let Some(part) = state.parts.get_mut(&self.id) {
            part.sleeps = false;
        }
        // Rung or not: from here on, a new ring is for the next sleep.
        let _ = rustix::io::read(bell, &mut [0; 8]);
        ready
    }

    /// Sleeps, unless there are events for it. It checks for events and marks itself as asleep
    /// under one lock: so it sees earlier events, and later ones ring its bell.
    fn wait_once(&self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Polled> {
        let mut state = self.shared.lock();
        if state.parts.get(&self.id).is_some_and(Part::has_something) {
            return Ok(Polled::Watched);
        }
        let readable = state.kernel.as_ref().map(|k| Arc::clone(&k.readable));
        match readable {
            Some(readable) if state.sleeper.is_none() => {
                state.sleeper = Some(self.id);
                drop(state);
                self.watch(&readable, timeout, wake)
            }
            _ => {
                let Some(part) = state.parts.get_mut(&self.id) else {
                    return Ok(Polled::Late);
                };
                if part.bell.is_none() {
                    part.bell = new_bell().ok().map(Arc::new);
                }
                let Some(bell) = part.bell.clone() else {
                    // No descriptor is left: poll.
                    drop(state);
                    return wait_for(None, wake, timeout.min(POLL_PERIOD));
                };
                part.sleeps = true;
                drop(state);
                self.sleep(&bell, timeout, wake)
            }
        }
    }
}

impl Watcher for OwnPart {
    fn add_file(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(|watcher| watcher.add_file(dir, name))
    }

    fn add_dir(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(|watcher| watcher.add_dir(dir, name))
    }

    fn add_closes(&mut self, dir: &dyn Dir, name: &str) -> io::Result<WatchId> {
        self.add(|watcher| watcher.add_closes(dir, name))
    }

    fn remove(&mut self, id: WatchId) {
        let mut state = self.shared.lock();
        if state.owners.get(&id) != Some(&self.id) {
            return;
        }
        state.owners.remove(&id);
        if let Some(kernel) = &mut state.kernel {
            kernel.watcher.remove(id);
        }
    }

    fn wait(&mut self, timeout: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Wake> {
        // Events that came while this part did not sleep.
        let mut state = self.shared.lock();
        if let Some(reported) = state.take(self.id) {
            return Ok(reported);
        }
        let is_blind = state.is_blind();
        drop(state);
        let timeout = if is_blind {
            timeout.min(POLL_PERIOD)
        } else {
            timeout
        };
        let started = Instant::now();
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            let ready = self.wait_once(left, wake);
            let mut state = self.shared.lock();
            let reported = state.take(self.id);
            if reported.is_none() && matches!(ready, Ok(Polled::Watched)) && !left.is_zero() {
                // The events were for other parts, or no part sleeps on the kernel's descriptor.
                continue;
            }
            state.appoint();
            drop(state);
            let unseen = ready? != Polled::Wake && is_blind;
            let nothing = if unseen {
                Wake::Anything
            } else {
                Wake::Nothing
            };
            return Ok(reported.unwrap_or(nothing));
        }
    }
}

impl Drop for OwnPart {
    fn drop(&mut self) {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        state.parts.remove(&self.id);
        if let Some(kernel) = &mut state.kernel {
            let own = self.id;
            state.owners.retain(|id, owner| {
                if *owner == own {
                    kernel.watcher.remove(*id);
                }
                *owner != own
            });
        }
        if state.parts.is_empty() {
            state.kernel = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::disk::{Open, OsDisk};

    const LONG: Duration = Duration::from_secs(30);

    fn descriptors() -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").expect("a directory");
        let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        links
            .filter(|link| link.to_string_lossy().contains("inotify"))
            .count()
    }

    #[test]
    fn many_that_wait_share_one_watcher_and_hear_what_is_theirs() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = OsDisk.open_dir(temp.path()).expect("opened");
        let shared = SharedWatcher::default();
        let before = descriptors();
        let names: Vec<String> = (0..40).map(|n| format!("f{n}")).collect();
        let (notify, reported) = channel();
        let waiters: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let file = dir.open(name, Open::Create).expect("a file");
                let mut part = shared.part(&OsDisk).expect("a part");
                let id = part.add_file(&*dir, name).expect("watched");
                let notify = notify.clone();
                let thread = std::thread::spawn(move || {
                    for _ in 0..20 {
                        let reported = part.wait(LONG, None).expect("waited");
                        assert_eq!(reported, Wake::Changed(vec![id]));
                        notify.send(at).expect("heard");
                    }
                });
                (file, thread)
            })
            .collect();
        // Other tests of this process have some of their own, at most a few.
        assert!(descriptors() < before + 20);
        for round in 0..20_u64 {
            // In another order each time, so that another part sleeps for all.
            for at in 0..waiters.len() {
                let at = (at * 7 + round as usize) % waiters.len();
                waiters[at].0.write_at(b"x", round).expect("written");
                assert_eq!(reported.recv_timeout(LONG).expect("told"), at);
            }
        }
        for (_, thread) in waiters {
            thread.join().expect("no panic");
        }
        assert!(shared.lock().kernel.is_none());
    }

    #[test]
    fn a_part_hears_what_came_while_it_did_not_wait() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = OsDisk.open_dir(temp.path()).expect("opened");
        let file = dir.open("f", Open::Create).expect("a file");
        let shared = SharedWatcher::default();
        let mut busy = shared.part(&OsDisk).expect("a part");
        let id = busy.add_file(&*dir, "f").expect("watched");
        let mut other = shared.part(&OsDisk).expect("another");
        file.write_at(b"x", 0).expect("written");
        let short = Duration::from_millis(20);
        assert_eq!(other.wait(short, None).expect("waited"), Wake::Nothing);
        let reported = busy.wait(LONG, None).expect("waited");
        assert_eq!(reported, Wake::Changed(vec![id]));
        drop(busy);
        assert_eq!(shared.lock().owners.len(), 0);
    }

    /// An event comes after the part checked and before it sleeps.
    #[test]
    fn a_part_does_not_sleep_over_what_came_after_it_looked() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = OsDisk.open_dir(temp.path()).expect("opened");
        let file = dir.open("f", Open::Create).expect("a file");
        let shared = SharedWatcher::default();
        let mut busy = shared.part(&OsDisk).expect("a part");
        let id = busy.add_file(&*dir, "f").expect("watched");
        let busy = OwnPart {
            shared: shared.clone(),
            id: shared.lock().owners[&id],
        };
        let mut other = shared.part(&OsDisk).expect("another");
        for sleeper in [None, Some(0)] {
            file.write_at(b"x", 0).expect("written");
            let short = Duration::from_millis(20);
            assert_eq!(other.wait(short, None).expect("waited"), Wake::Nothing);
            shared.lock().sleeper = sleeper;
            let started = Instant::now();
            let ready = busy.wait_once(LONG, None).expect("waited");
            assert!(matches!(ready, Polled::Watched) && started.elapsed() < LONG);
            shared.lock().sleeper = None;
            let reported = shared.lock().take(busy.id);
            assert_eq!(reported, Some(Wake::Changed(vec![id])));
        }
    }
}
