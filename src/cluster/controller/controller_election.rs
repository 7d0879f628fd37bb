//! The controller's role, carried out: probes, locks and writes for [`super::controller_role`].

use std::sync::Arc;
use std::time::Duration;

use super::controller_file::ControllerFile;
use super::controller_role::{
    ControllerRole, ElectionEffect, ElectionEvent, Me, Named, RoleView, step,
};
use crate::error::{Kind, Result};
use crate::store::{
    self, FencedGuard, FencedLock, LivenessLock, LivenessWatch, LockView, Process, StoreDir,
};
use crate::types::BrokerId;

/// A change of this daemon's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// It became the controller in that epoch.
    Elected(u64),
    /// Another daemon superseded it with that epoch.
    Superseded(u64),
}

/// One daemon's part in elections.
#[derive(Debug)]
pub struct ControllerElection {
    store: Arc<StoreDir>,
    me: Me,
    role: ControllerRole,
    lock: Option<LivenessLock>,
    /// The lock as other processes hold it. It is probed before an attempt to take it: an attempt
    /// closes a file that may be written, and that wakes every process that waits for the lock.
    others: LivenessWatch,
    /// The liveness lock of the broker that `controller.json` names.
    named: Option<(BrokerId, LivenessWatch)>,
    timeout: Duration,
}

impl ControllerElection {
    /// For the daemon `me`, which holds its broker's lock.
    pub fn new(store: &Arc<StoreDir>, me: Me, timeout: Duration) -> Self {
        ControllerElection {
            store: Arc::clone(store),
            me,
            role: ControllerRole::Standby(None),
            lock: None,
            others: LivenessWatch::new(Arc::clone(store.root()), store::CONTROLLER_LOCK),
            named: None,
            timeout,
        }
    }

    /// The epoch in which this daemon is the controller, if it is.
    pub fn epoch(&self) -> Option<u64> {
        match self.role {
            ControllerRole::Active(epoch) => Some(epoch),
            ControllerRole::Standby(_) | ControllerRole::Stopped => None,
        }
    }

    /// Whether the lock is free to take. It costs a system call.
    pub fn is_lock_free(&mut self) -> Result<bool> {
        Ok(self.lock.is_none() && !self.others.is_held()?)
    }

    /// Probes, and carries out what follows.
    pub fn tick(&mut self) -> Result<Vec<RoleChange>> {
        let view = self.view()?;
        self.happen(ElectionEvent::Observed(view))
    }

    /// Resigns the role and releases the lock.
    pub fn stop(&mut self) -> Result<()> {
        self.happen(ElectionEvent::Stop).map(drop)
    }

    fn happen(&mut self, first: ElectionEvent) -> Result<Vec<RoleChange>> {
        let mut changes = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next.take() {
            let now = self.store.clock().monotonic();
            let (role, effects) = step(self.me, self.role, event, now);
            self.role = role;
            for effect in effects {
                next = match effect {
                    ElectionEffect::TakeLock => {
                        if !self.others.is_held()? {
                            let root = self.store.root();
                            self.lock = LivenessLock::try_take(root, store::CONTROLLER_LOCK)?;
                        }
                        match &self.lock {
                            Some(lock) => {
                                let process = Process::current(&**self.store.clock());
                                lock.write_holder(self.me.incarnation, process)?;
                                let view = self.view()?;
                                Some(ElectionEvent::Observed(view))
                            }
                            None => None,
                        }
                    }
                    ElectionEffect::GiveLockBack => {
                        self.lock = None;
                        None
                    }
                    ElectionEffect::Claim(over) => Some(self.claim(over)?),
                    ElectionEffect::Elected(epoch) => {
                        changes.push(RoleChange::Elected(epoch));
                        None
                    }
                    ElectionEffect::Superseded(by) => {
                        changes.push(RoleChange::Superseded(by));
                        None
                    }
                    ElectionEffect::Resign(epoch) => {
                        self.resign(epoch)?;
                        None
                    }
                };
            }
        }
        Ok(changes)
    }

    fn view(&mut self) -> Result<RoleView> {
        if let Some(lock) = &self.lock
            && !lock.in_place()?
        {
            self.lock = None;
        }
        let named = match ControllerFile::read(&self.store)? {
            Some(file) => {
                let who = Me {
                    broker_id: file.broker_id,
                    incarnation: file.incarnation,
                };
                let alive = if file.pid.is_none() {
                    None
                } else {
                    self.heartbeats(who)?
                };
                Some(Named {
                    epoch: file.epoch,
                    who,
                    alive,
                })
            }
            None => None,
        };
        Ok(RoleView {
            named,
            lock_ours: self.lock.is_some(),
        })
    }

    /// The heartbeat of a daemon, if exactly that incarnation holds its broker's lock.
    fn heartbeats(&mut self, who: Me) -> Result<Option<u64>> {
        if who == self.me {
            // Its own heartbeat says nothing to it.
            return Ok(Some(0));
        }
        let mut watch = match self.named.take() {
            Some((broker, watch)) if broker == who.broker_id && watch.is_open() => watch,
            _ => match self.store.broker_dir(who.broker_id) {
                Ok(dir) => LivenessWatch::new(dir, store::BROKER_LOCK),
                Err(e) if e.kind() == Kind::BrokerState => return Ok(None),
                Err(e) => return Err(e),
            },
        };
        let assessment = watch.observe()?;
        self.named = Some((who.broker_id, watch));
        Ok(match assessment {
            LockView::Held(Some(h)) if h.incarnation == who.incarnation => Some(h.counter),
            LockView::Held(_) | LockView::Free => None,
        })
    }

    fn claim(&self, over: Option<u64>) -> Result<ElectionEvent> {
        let guard = FencedLock::acquire_store(&self.store, "elect a controller", self.timeout)?;
        if ControllerFile::read(&self.store)?.map(|file| file.epoch) != over {
            return Ok(ElectionEvent::Lost);
        }
        let process = Process::current(&**self.store.clock());
        let epoch = over.map_or(Some(1), |over| over.checked_add(1));
        let Some(epoch) = epoch else {
            return Ok(ElectionEvent::Lost);
        };
        let file = ControllerFile {
            epoch,
            broker_id: self.me.broker_id,
            incarnation: self.me.incarnation,
            pid: Some(process.pid),
            since_ms: self.store.clock().now_ms(),
        };
        file.write(&guard)?;
        Ok(ElectionEvent::Claimed(epoch))
    }

    fn resign(&self, epoch: u64) -> Result<()> {
        let guard = FencedLock::acquire_store(&self.store, "resign as controller", self.timeout)?;
        match self.authority(&guard, epoch)? {
            Some(file) => ControllerFile { pid: None, ..file }.write(&guard),
            None => Ok(()),
        }
    }

    /// The controller's file, if it still names this daemon in that epoch: read in every critical
    /// section of the metadata lock.
    fn authority(&self, _held: &FencedGuard, epoch: u64) -> Result<Option<ControllerFile>> {
        Ok(ControllerFile::read(&self.store)?.filter(|file| {
            file.epoch == epoch
                && file.broker_id == self.me.broker_id
                && file.incarnation == self.me.incarnation
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;

    #[test]
    fn epochs_rise_from_one_daemon_to_the_next() {
        let at = tempfile::tempdir().expect("tempdir");
        let clock = Arc::new(SystemClock::default());
        let path = at.path().join("store");
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store");
        let store = Arc::new(store);
        let timeout = Duration::from_secs(5);
        for incarnation in 1..=3 {
            let me = Me {
                broker_id: 0,
                incarnation,
            };
            let mut election = ControllerElection::new(&store, me, timeout);
            assert_eq!(
                election.tick().expect("tick"),
                [RoleChange::Elected(incarnation)]
            );
            assert_eq!(election.epoch(), Some(incarnation));
            let mut other = ControllerElection::new(
                &store,
                Me {
                    broker_id: 1,
                    incarnation: 1,
                },
                timeout,
            );
            // Broker 0 holds no lock of its own here, so it counts as dead; but its controller lock
            // is held, so that the other has to watch first.
            assert_eq!(other.tick().expect("tick"), []);
            assert_eq!(election.tick().expect("tick"), []);
            election.stop().expect("stop");
            assert_eq!(
                ControllerFile::read(&store)
                    .expect("read")
                    .and_then(|f| f.pid),
                None
            );
        }
        let mut other = ControllerElection::new(
            &store,
            Me {
                broker_id: 1,
                incarnation: 1,
            },
            timeout,
        );
        assert_eq!(other.tick().expect("tick"), [RoleChange::Elected(4)]);
        assert_eq!(other.epoch(), Some(4));
    }
}
