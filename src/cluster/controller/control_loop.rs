//! The thread that runs the controller's role, beside the LogManager's: a recovery or a sync that
//! takes seconds does not keep this daemon from taking the role over.
//!
//! It probes at each tick, and at once when a liveness lock's file is closed: the kernel closes the
//! files of a process that dies, so a death wakes the watchers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::controller_election::{ControllerElection, RoleChange};
use super::controller_role::Me;
use super::driver::{Controller, Raise, TurnChanges};
use super::leadership_transfer::Planned;
use super::state::BrokerLiveness;
use crate::cluster::membership::{BrokerMembership, ObservedBroker, Settle};
use crate::cluster::notice::Notice;
use crate::cluster::notify_once::NotifyOnce;
use crate::disk::{Wake, WatchId, Watcher, new_watcher};
use crate::error::{Error, Kind, Result};
use crate::partition::Watermark;
use crate::store::StoreDir;
use crate::store::brokers::failure_reports;
use crate::types::BrokerId;

/// The interval between two probes of the roles when nothing wakes the thread.
const TICK: Duration = Duration::from_millis(500);

/// The timeout for the store's lock, and for append locks.
const TIMEOUT: Duration = Duration::from_secs(5);
const RAISE_TIMEOUT: Duration = Duration::from_millis(500);

/// Raises a high watermark, for the controller.
fn raise() -> Raise {
    Arc::new(|store, tp| {
        let raised = Watermark::open(store, tp)?.raise(RAISE_TIMEOUT);
        raised.map(drop)
    })
}

/// The running thread.
#[derive(Debug)]
pub struct ControlLoop {
    thread: Option<JoinHandle<Result<()>>>,
    /// Closed to end the thread.
    stop: Option<PipeWriter>,
    notified: Receiver<Notice>,
    first_role: Option<u64>,
}

impl ControlLoop {
    /// Probes once, then continues in a thread.
    ///
    /// # Errors
    /// [`Kind::Io`] if the system gives no pipe, no watch or no thread.
    pub fn start(store: &Arc<StoreDir>, me: Me, election: ControllerElection) -> Result<Self> {
        let (stopped, stop) = std::io::pipe().map_err(|e| Error::io("make", "a pipe", e))?;
        let (notify, notified) = mpsc::channel();
        let mut control = Control {
            store: Arc::clone(store),
            me,
            election,
            controller: Controller::new(store, Arc::new(Planned), raise(), TIMEOUT),
            brokers: BTreeMap::new(),
            office_watches: None,
            members: BrokerMembership::new(store, Some(me.broker_id)),
            lived: None,
            drained: BTreeSet::new(),
            watcher: new_watcher(&**store.disk()),
            root_watch: None,
            settle: Settle::default(),
            notify,
            notified: NotifyOnce::default(),
        };
        let root = store.root();
        let watch = control.watcher.add_closes(&**root, ".");
        control.root_watch = Some(watch.map_err(|e| Error::io("watch", root.path(), e))?);
        // A daemon that died just before the watch began may still have held its lock.
        control.settle.wake(control.now());
        control.tick();
        let first_role = control.election.epoch();
        let thread = std::thread::Builder::new()
            .name("mq-control".to_owned())
            .spawn(move || control.run(&stopped))
            .map_err(|e| Error::io("start a thread for", "the controller's role", e))?;
        Ok(ControlLoop {
            thread: Some(thread),
            stop: Some(stop),
            notified,
            first_role,
        })
    }

    /// The epoch in which this daemon was the controller after the first probe, if it was.
    pub fn first_role(&self) -> Option<u64> {
        self.first_role
    }

    /// Forwards the pending notices.
    pub fn notify(&self, notify: &mut dyn FnMut(Notice)) {
        while let Ok(notified) = self.notified.try_recv() {
            notify(notified);
        }
    }

    /// Checks that the thread still runs.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn check(&self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(ended());
        }
        Ok(())
    }

    /// Resigns the role and ends the thread.
    ///
    /// # Errors
    /// Those of resigning.
    pub fn stop(mut self, notify: &mut dyn FnMut(Notice)) -> Result<()> {
        let done = self.end();
        self.notify(notify);
        done
    }

    fn end(&mut self) -> Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(ended()),
            None => Ok(()),
        }
    }
}

impl Drop for ControlLoop {
    fn drop(&mut self) {
        // The error that ended the daemon is reported, not this one.
        let _ = self.end();
    }
}

fn ended() -> Error {
    Error::new(
        Kind::Io,
        "the thread for the controller's role ended unexpectedly",
    )
}

/// The state of the thread.
struct Control {
    store: Arc<StoreDir>,
    me: Me,
    election: ControllerElection,
    controller: Controller,
    /// All brokers, as of the last probe.
    brokers: BTreeMap<BrokerId, BrokerLiveness>,
    /// The watches of topics and failure reports, while this daemon is the controller.
    office_watches: Option<[WatchId; 2]>,
    members: BrokerMembership,
    /// The incarnations that were alive at the last probe; `None` while another daemon is the
    /// controller.
    lived: Option<BTreeMap<BrokerId, u64>>,
    /// Those that were alive and drained.
    drained: BTreeSet<BrokerId>,
    watcher: Box<dyn Watcher>,
    root_watch: Option<WatchId>,
    settle: Settle,
    notify: Sender<Notice>,
    /// The errors of each part.
    notified: NotifyOnce,
}

impl Control {
    fn run(mut self, stopped: &PipeReader) -> Result<()> {
        let mut tick = self.now() + TICK;
        while !is_closed(stopped) {
            let now = self.now();
            let due = [self.settle.due(now), self.controller.due()];
            let next = due.into_iter().flatten().fold(tick, Duration::min);
            let timeout = next.saturating_sub(now);
            let wake = match self.watcher.wait(timeout, Some(stopped.as_fd())) {
                Ok(wake) => wake,
                Err(e) => {
                    // Without a watch, only timeouts wake the thread.
                    let e = Error::io("watch", self.store.path(), e);
                    self.trouble("watch", Err(e));
                    self.store.clock().sleep(timeout);
                    Wake::Nothing
                }
            };
            if self.is_about(&wake) {
                self.settle.wake(self.now());
            }
            if self.now() >= tick {
                tick = self.now() + TICK;
                self.tick();
            } else if wake == Wake::Anything || self.settle.due(self.now()).is_some() {
                // A watcher that cannot say what changed wakes again shortly: there is nothing to
                // settle.
                self.glance();
            }
            self.govern(&wake);
        }
        self.controller.resign();
        self.election.stop()
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    fn is_about(&mut self, wake: &Wake) -> bool {
        let is_of_root = match (wake, self.root_watch) {
            (Wake::Changed(ids), Some(watch)) => ids.contains(&watch),
            _ => false,
        };
        let is_known = matches!(wake, Wake::Changed(_));
        let is_of_members = is_known && self.lived.is_some() && self.members.is_about(wake);
        is_of_root || is_of_members
    }

    /// Probes everything.
    fn tick(&mut self) {
        self.roles();
        self.probe_members();
    }

    /// After a wake: probes what may have died.
    fn glance(&mut self) {
        match self.election.is_lock_free() {
            Ok(true) => self.tick(),
            Ok(false) => self.probe_members(),
            Err(e) => self.trouble("the controller's role", Err(e)),
        }
    }

    /// Updates the controller's role. A daemon that fails to do so still maintains its logs.
    fn roles(&mut self) {
        match self.election.tick() {
            Ok(changes) => {
                self.trouble("the controller's role", Ok(()));
                for change in changes {
                    let note = match change {
                        RoleChange::Elected(epoch) => {
                            // As at the start, for the daemons that are watched from now on.
                            self.settle.wake(self.now());
                            self.controller.take_office(epoch, self.me);
                            format!("elected controller in epoch {epoch}")
                        }
                        RoleChange::Superseded(by) => {
                            self.controller.resign();
                            format!("no longer the controller: epoch {by} has begun")
                        }
                    };
                    self.note(note);
                }
            }
            Err(e) => self.trouble("the controller's role", Err(e)),
        }
    }

    /// The controller's turn, if this daemon is the controller.
    fn govern(&mut self, wake: &Wake) {
        if self.election.epoch().is_none() {
            for watch in self.office_watches.take().into_iter().flatten() {
                self.watcher.remove(watch);
            }
            return;
        }
        if self.lived.is_none() {
            // The brokers are not known yet, which does not mean that none is alive.
            return;
        }
        let governed = self.watch_office().and_then(|fresh| {
            let is_of = |at: usize| match (wake, &self.office_watches) {
                (Wake::Anything, _) => true,
                (Wake::Changed(ids), Some(watches)) => {
                    watches.get(at).is_some_and(|watch| ids.contains(watch))
                }
                _ => false,
            };
            let changed = TurnChanges {
                topics: fresh || is_of(0),
                reports: fresh || is_of(1),
            };
            if changed.topics {
                // A broker whose replica joined an ISR is alive, although it may have been dead a
                // moment ago: what the new file decides needs a new probe.
                self.probe_members();
            }
            let notify = &self.notify;
            self.controller
                .turn(&self.brokers, changed, &mut |notified| {
                    // The receiver is gone once the daemon ends.
                    let _ = notify.send(notified);
                })
        });
        self.trouble("the controller's work", governed);
    }

    /// Watches what the controller has to know; returns whether that was not watched before.
    fn watch_office(&mut self) -> Result<bool> {
        if self.office_watches.is_some() {
            return Ok(false);
        }
        let mut watch = |dir: &Arc<dyn crate::disk::Dir>| {
            let added = self.watcher.add_dir(&**dir, ".");
            added.map_err(|e| Error::io("watch", dir.path(), e))
        };
        let topics = watch(self.store.topics_dir()?)?;
        let reports = watch(&failure_reports::open(&self.store)?)?;
        self.office_watches = Some([topics, reports]);
        Ok(true)
    }

    /// The controller watches which brokers are alive.
    fn probe_members(&mut self) {
        if self.election.epoch().is_none() {
            if self.lived.take().is_some() {
                self.members.unwatch(&mut *self.watcher);
                self.members = BrokerMembership::new(&self.store, Some(self.me.broker_id));
            }
            return;
        }
        let observed = self.members.observe(self.now()).and_then(|members| {
            // A broker that is found only now is probed again once it is watched.
            self.members.watch(&mut *self.watcher)?;
            Ok(members)
        });
        match observed {
            Ok(members) => {
                self.trouble("the brokers", Ok(()));
                self.compare(&members);
            }
            Err(e) => self.trouble("the brokers", Err(e)),
        }
        for e in self.members.take_troubles() {
            self.trouble("a broker", Err(e));
        }
    }

    fn compare(&mut self, members: &BTreeMap<BrokerId, ObservedBroker>) {
        self.brokers = members
            .iter()
            .map(|(id, member)| {
                let liveness = BrokerLiveness {
                    alive: member.alive,
                    drained: member.drained,
                    incarnation: member.incarnation,
                };
                (*id, liveness)
            })
            .collect();
        let live = members.iter().filter(|(_, member)| member.alive);
        let live: BTreeMap<_, _> = live.map(|(id, m)| (*id, m.incarnation)).collect();
        let drained = members.iter().filter(|(_, m)| m.alive && m.drained);
        let drained: BTreeSet<_> = drained.map(|(id, _)| *id).collect();
        let were = std::mem::replace(&mut self.drained, drained.clone());
        if self.lived.is_some() {
            for id in drained.difference(&were) {
                self.note(format!("broker {id} is drained"));
            }
            for id in were.difference(&drained).filter(|id| live.contains_key(id)) {
                self.note(format!("broker {id} is no longer drained"));
            }
        }
        let before = self.lived.replace(live.clone());
        for note in changes(&before.unwrap_or_else(|| live.clone()), &live) {
            self.note(note);
        }
    }

    fn note(&self, text: String) {
        // The receiver is gone once the daemon ends.
        let _ = self.notify.send(Notice::Note(text));
    }

    /// Reports an error of a part, once until that part succeeds.
    fn trouble(&mut self, of: &str, done: Result<()>) {
        let Err(error) = done else {
            self.notified.is_well(of);
            return;
        };
        if self.notified.is_change(of, &error) {
            let _ = self.notify.send(Notice::Problem(error.at(of)));
        }
    }
}

/// How the brokers changed between two probes, as sentences.
fn changes(before: &BTreeMap<BrokerId, u64>, now: &BTreeMap<BrokerId, u64>) -> Vec<String> {
    let gone = before
        .keys()
        .filter(|id| !now.contains_key(id))
        .map(|id| format!("broker {id} no longer runs"));
    let come = now
        .iter()
        .filter_map(|(id, incarnation)| match before.get(id) {
            None => Some(format!("broker {id} is running")),
            Some(old) if old != incarnation => Some(format!("broker {id} was restarted")),
            Some(_) => None,
        });
    gone.chain(come).collect()
}

/// Whether the other end of the pipe is closed.
fn is_closed(pipe: &PipeReader) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_brokers() {
        let of = |pairs: &[(BrokerId, u64)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        let before = of(&[(0, 1), (1, 4), (2, 7)]);
        assert!(changes(&before, &before).is_empty());
        let now = of(&[(0, 1), (2, 8), (9, 1)]);
        assert_eq!(
            changes(&before, &now),
            [
                "broker 1 no longer runs",
                "broker 2 was restarted",
                "broker 9 is running"
            ]
        );
    }
}
