//! A broker's daemon: registers, takes part in elections, and maintains its partitions until it is
//! asked to stop.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::controller::{
    ControlLoop, ControllerElection, LeadershipTransfer, Me, Terms, TransferProgress, Witness,
    leaders, move_leaders, notify_moves, shutdown_transfers,
};
use super::maintenance::{CompactedReplicas, Compactor, LogManager, Sweeper};
use super::membership::{BrokerOptions, Registration};
use super::notice::{NOTICES_MAX, Notice};
use super::replication::Fetchers;
use crate::disk::{Wake, new_watcher};
use crate::error::{Kind, Result};
use crate::store::StoreDir;
use crate::types::{BrokerId, TopicPartition};

/// The timeout for the fenced lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The interval between two probes of the roles: at most two wake-ups a second.
const TICK: Duration = Duration::from_millis(500);
/// How long the transfers of a controlled shutdown may make no progress. After that the directory
/// continues to lead.
const TRANSFERS_STALLED_AFTER: Duration = Duration::from_secs(30);
/// Intervals between two progress notices of these transfers, and between two rounds of log
/// maintenance meanwhile.
const TRANSFERS_NOTIFIED: Duration = Duration::from_secs(5);
const TRANSFERS_TENDED: Duration = Duration::from_millis(200);

/// The daemon is fully operational.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The broker.
    pub broker_id: BrokerId,
    /// The epoch in which it is the controller, if it is.
    pub controller_epoch: Option<u64>,
}

/// How the caller asks a daemon to stop.
pub struct StopRequest<'a> {
    /// Whether a stop was requested.
    pub asked: &'a dyn Fn() -> bool,
    /// Readable once a stop was requested.
    pub wake: Option<BorrowedFd<'a>>,
}

impl fmt::Debug for StopRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopRequest")
            .field("asked", &(self.asked)())
            .finish_non_exhaustive()
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    store: Arc<StoreDir>,
    registration: Registration,
    me: Me,
    log_manager: LogManager,
}

impl Daemon {
    /// Takes the broker's lock and registers.
    ///
    /// # Errors
    /// [`crate::error::Kind::BrokerState`] naming the daemon that runs already, or saying why the
    /// log directory cannot be this broker's.
    pub fn start(store: &Arc<StoreDir>, broker: BrokerId, options: &BrokerOptions) -> Result<Self> {
        let registration = Registration::start(store, broker, options, TIMEOUT)?;
        let me = Me {
            broker_id: broker,
            incarnation: registration.file().incarnation,
        };
        Ok(Daemon {
            store: Arc::clone(store),
            registration,
            me,
            log_manager: LogManager::new(store, broker, new_watcher(&**store.disk())),
        })
    }

    /// Notes for the user about its start.
    pub fn notes(&self) -> &[String] {
        self.registration.notes()
    }

    /// Oddities of its log directory that are no reason to refuse it.
    pub fn warnings(&self) -> &[String] {
        self.registration.warnings()
    }

    /// Runs until asked to stop. `ready` is called once, when the partitions are recovered and the
    /// role is known; `notify` with every notice.
    ///
    /// # Errors
    /// What keeps the daemon from running. Errors of a single partition do not.
    pub fn run(
        mut self,
        stop: &StopRequest<'_>,
        ready: &mut dyn FnMut(Ready) -> Result<()>,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<()> {
        let election = ControllerElection::new(&self.store, self.me, TIMEOUT);
        let control = ControlLoop::start(&self.store, self.me, election)?;
        let role = control.first_role();
        control.notify(notify);
        let mut fetchers = Fetchers::start(&self.store, self.me.broker_id)?;
        self.refresh(&mut fetchers, notify);
        // After a reboot this recovers every log, including losses of a power cut.
        self.log_manager.tend(&Wake::Anything, notify);
        let mut sweeper = Sweeper::start(&self.store, self.me.broker_id)?;
        let mut compaction = Compaction::default();
        compaction.follow(&self.store, self.me.broker_id, self.log_manager.compacted())?;
        ready(Ready {
            broker_id: self.me.broker_id,
            controller_epoch: role,
        })?;
        let mut tick = self.now() + TICK;
        while !(stop.asked)() {
            let next = self.log_manager.due().map_or(tick, |due| due.min(tick));
            let timeout = next.saturating_sub(self.now());
            let wake = self.log_manager.wait(timeout, stop.wake, notify);
            if self.log_manager.must_refresh(&wake) {
                self.refresh(&mut fetchers, notify);
                sweeper.topics_changed();
                let compacted = self.log_manager.compacted();
                compaction.follow(&self.store, self.me.broker_id, compacted)?;
            }
            self.log_manager.tend(&wake, notify);
            if self.now() >= tick {
                tick = self.now() + TICK;
                match self.registration.check() {
                    // The daemon still holds its lock.
                    Err(e) if e.kind() == Kind::Io => {}
                    checked => checked?,
                }
                control.check()?;
            }
            control.notify(notify);
            fetchers.notified().for_each(&mut *notify);
            sweeper.notified().for_each(&mut *notify);
            compaction.notified(notify);
        }
        sweeper.end();
        compaction.end();
        self.transfer_leaderships(notify);
        drop(fetchers);
        self.log_manager.finish(notify);
        control.stop(notify)?;
        self.registration.end(TIMEOUT)
    }

    /// Reads which topics exist now.
    fn refresh(&mut self, fetchers: &mut Fetchers, notify: &mut dyn FnMut(Notice)) {
        self.log_manager.refresh(notify);
        if let Some((followed, changed)) = self.log_manager.followed() {
            fetchers.follow(followed, changed);
        }
    }

    /// Before the daemon ends: transfers its leaderships to brokers that can lead, as long as the
    /// transfers make progress. The remaining partitions stay led by its directory.
    fn transfer_leaderships(&mut self, notify: &mut dyn FnMut(Notice)) {
        let moves = match shutdown_transfers(&self.store, self.me.broker_id) {
            Ok(moves) if moves.is_empty() => return,
            Ok(moves) => moves,
            Err(e) => return notify(Notice::Problem(e.at("leadership"))),
        };
        let now = self.now();
        let terms = Terms {
            authority: &|_| Ok(true),
            goes_on: &|| true,
            stalled_after: TRANSFERS_STALLED_AFTER,
        };
        let mut seen = ControlledShutdown {
            moves: &moves,
            log_manager: &mut self.log_manager,
            store: &self.store,
            notify,
            stay: Vec::new(),
            moved: Vec::new(),
            notified: now,
            tended: now,
        };
        move_leaders(&self.store, &moves, terms, &mut seen);
        seen.notify_moved();
        if !seen.stay.is_empty() {
            let names = TopicPartition::first_of(&seen.stay, NOTICES_MAX);
            notify(Notice::Note(format!(
                "could not transfer the leadership of {names}: this broker's directory stays \
                 the leader"
            )));
        }
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }
}

/// The compaction of the broker's replicas: its thread starts with the first of them.
#[derive(Debug, Default)]
struct Compaction {
    thread: Option<Compactor>,
    known: CompactedReplicas,
}

impl Compaction {
    fn follow(
        &mut self,
        store: &Arc<StoreDir>,
        broker: BrokerId,
        replicas: CompactedReplicas,
    ) -> Result<()> {
        if replicas == self.known {
            return Ok(());
        }
        self.known.clone_from(&replicas);
        let thread = match &mut self.thread {
            Some(thread) => thread,
            none => none.insert(Compactor::start(store, broker)?),
        };
        thread.replicas_changed(replicas);
        Ok(())
    }

    fn notified(&self, notify: &mut dyn FnMut(Notice)) {
        if let Some(thread) = &self.thread {
            thread.notified().for_each(notify);
        }
    }

    fn end(&mut self) {
        if let Some(thread) = &mut self.thread {
            thread.end();
        }
    }
}

/// Follows the transfers of the daemon's leaderships at its end, and maintains its partitions
/// meanwhile.
struct ControlledShutdown<'a> {
    moves: &'a [LeadershipTransfer],
    log_manager: &'a mut LogManager,
    store: &'a Arc<StoreDir>,
    notify: &'a mut dyn FnMut(Notice),
    moved: Vec<(LeadershipTransfer, &'static str)>,
    stay: Vec<TopicPartition>,
    notified: Duration,
    tended: Duration,
}

impl ControlledShutdown<'_> {
    fn notify_moved(&mut self) {
        notify_moves(std::mem::take(&mut self.moved), self.notify);
    }
}

impl Witness for ControlledShutdown<'_> {
    fn ended(&mut self, index: usize, outcome: Result<()>) {
        let Some(what) = self.moves.get(index) else {
            return;
        };
        match outcome {
            Ok(()) => self.moved.push((what.clone(), "which ends")),
            Err(_) => self.stay.push(what.tp.clone()),
        }
    }

    fn progress(&mut self, progress: TransferProgress) {
        let now = self.store.clock().monotonic();
        if now.saturating_sub(self.tended) >= TRANSFERS_TENDED {
            self.tended = now;
            self.log_manager.tend(&Wake::Nothing, self.notify);
        }
        if now.saturating_sub(self.notified) >= TRANSFERS_NOTIFIED {
            self.notified = now;
            self.notify_moved();
            (self.notify)(Notice::Note(format!(
                "hands over: {} to transfer, {} records to copy",
                leaders(progress.partitions),
                progress.records
            )));
        }
    }
}
