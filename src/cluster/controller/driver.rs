//! The controller: carries out what [`super::step`] decides.
//!
//! The caller watches `topics/` and `reports/` ([`crate::store::brokers::failure_reports::open`])
//! and knows the brokers; it calls [`Controller::turn`] when one of them changed, and when
//! [`Controller::due`] says. A turn replaces topic files; probes, leadership transfers, and raising
//! high watermarks after each change have threads of their own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::controller_role::Me;
use super::leadership_transfer::{LeadershipTransfer, Mover, Terms};
use super::metadata_update::{Made, Warrant, change_all, leaders, notify_elections, notify_moves};
use super::prober::Prober;
use super::replica_snapshot::Disks;
use super::state::{
    AckedUpTo, BrokerLiveness, Change, ControllerEvent, ControllerState, Effects, Ended,
    PlannedMove, ProbeRequest, Rules,
};
use super::step::step;
use super::transfers_under_way::{TransferEnds, TransfersUnderWay, panicked};
use super::work_id::WorkId;
use crate::cluster::notice::Notice;
use crate::cluster::notify_once::NotifyOnce;
use crate::error::{Error, Kind, Result};
use crate::store::brokers::failure_reports;
use crate::store::topics::topic_file;
use crate::store::{FencedGuard, StoreDir, TopicFile};
use crate::timing::TRANSFER_STALLED_AFTER;
use crate::types::{BrokerId, TopicName, TopicPartition};

/// Intervals between two polls of the transfer threads: at first, once a transfer takes longer, and
/// of other threads.
const TRANSFER_POLL: Duration = Duration::from_millis(5);
const POLL_LONG_MOVES: Duration = Duration::from_millis(100);
const LONG_MOVE: Duration = Duration::from_secs(2);
const POLL_OTHERS: Duration = Duration::from_millis(200);
/// The pause after topics or reports could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// The interval between two polls of probes on slow disks.
const POLL_PROBES: Duration = Duration::from_millis(20);

/// Raises a partition's high watermark as far as its topic file and its in-sync replicas allow,
/// after one of them changed.
pub type Raise = Arc<dyn Fn(&Arc<StoreDir>, &TopicPartition) -> Result<()> + Send + Sync>;

/// What changed since the last turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnChanges {
    /// Topic files may have been created, deleted or replaced.
    pub topics: bool,
    /// Failure reports may have been written.
    pub reports: bool,
}

/// One daemon's controller. It does nothing until it takes office.
pub struct Controller {
    store: Arc<StoreDir>,
    mover: Arc<dyn Mover>,
    raise: Raise,
    timeout: Duration,
    office: Option<Office>,
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("office", &self.office.as_ref().map(|o| o.warrant.epoch()))
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Office {
    warrant: Arc<Warrant>,
    state: ControllerState,
    disks: Disks,
    prober: Prober,
    topics: HashMap<TopicName, ControllerTopic>,
    /// When to read all topics and reports, whatever changed: at first, and after a failure.
    unread: Option<Duration>,
    moving: Vec<TransfersUnderWay>,
    raising: Vec<JoinHandle<Vec<Error>>>,
    /// The errors of each topic, and of other failures.
    notified: NotifyOnce,
}

#[derive(Debug)]
struct ControllerTopic {
    file: TopicFile,
    acked: AckedUpTo,
}

type Notify<'a> = &'a mut dyn FnMut(Notice);

impl Controller {
    /// For a store. `timeout`: how long to wait for the fenced lock.
    pub fn new(
        store: &Arc<StoreDir>,
        mover: Arc<dyn Mover>,
        raise: Raise,
        timeout: Duration,
    ) -> Self {
        Controller {
            store: Arc::clone(store),
            mover,
            raise,
            timeout,
            office: None,
        }
    }

    /// Starts from an empty state, as the controller of that epoch.
    pub fn take_office(&mut self, epoch: u64, me: Me) {
        self.resign();
        self.office = Some(Office {
            warrant: Arc::new(Warrant::new(epoch, me)),
            state: ControllerState::default(),
            disks: Disks::default(),
            prober: Prober::new(&self.store),
            topics: HashMap::new(),
            unread: Some(Duration::ZERO),
            moving: Vec::new(),
            raising: Vec::new(),
            notified: NotifyOnce::default(),
        });
    }

    /// Stops deciding. Transfers under way fail; it does not wait for them.
    pub fn resign(&mut self) {
        if let Some(office) = self.office.take() {
            office.warrant.give_up();
        }
    }

    /// Whether probes are under way that the last turn did not wait for.
    #[cfg(test)]
    pub fn is_probing(&self) -> bool {
        let office = self.office.as_ref();
        office.is_some_and(|office| !office.prober.is_idle())
    }

    /// When to run the next turn if nothing changes; `None` out of office.
    pub fn due(&self) -> Option<Duration> {
        let office = self.office.as_ref()?;
        let now = self.store.clock().monotonic();
        let newest = office.moving.iter().map(|moving| moving.since).max();
        let poll = match (newest, office.raising.is_empty()) {
            (Some(since), _) if now.saturating_sub(since) < LONG_MOVE => Some(TRANSFER_POLL),
            (Some(_), _) => Some(POLL_LONG_MOVES),
            (None, false) => Some(POLL_OTHERS),
            (None, true) => None,
        };
        let poll = poll.map(|pause| now + pause);
        let observations = (!office.prober.is_idle()).then_some(now + POLL_PROBES);
        [poll, observations, office.unread, office.state.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes in what changed and does what it calls for. `brokers` are all registered brokers; in
    /// the first turn their liveness has to be settled.
    ///
    /// # Errors
    /// What keeps it from reading topics or reports; the next turn continues. Errors of a single
    /// topic become notices.
    pub fn turn(
        &mut self,
        brokers: &std::collections::BTreeMap<BrokerId, BrokerLiveness>,
        changed: TurnChanges,
        notify: Notify<'_>,
    ) -> Result<()> {
        let Some(office) = &mut self.office else {
            return Ok(());
        };
        let (store, now) = (&self.store, self.store.clock().monotonic());
        let mut todo = Effects::default();
        office.happen(ControllerEvent::Brokers(brokers.clone()), now, &mut todo);
        let ended = office.ended_transfers(store, &self.raise, notify);
        let unread = office.unread.take_if(|due| *due <= now).is_some();
        let mut failed = None;
        if unread || changed.topics || !ended.is_empty() {
            failed = office.refresh(store, &mut todo, notify).err();
        }
        office.happen(ControllerEvent::Ended(ended), now, &mut todo);
        if unread || changed.reports {
            match failure_reports::take(store) {
                Ok(reported) => office.happen(ControllerEvent::Reported(reported), now, &mut todo),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        if !office.prober.is_idle() {
            office.observed(store, &mut todo, notify);
        }
        office.happen(ControllerEvent::Tick, now, &mut todo);
        // Whatever failed, decided effects are carried out: the state waits for their end.
        failed = self.carry_out(todo, notify).or(failed);
        match failed {
            Some(e) => {
                if let Some(office) = &mut self.office {
                    office.unread = Some(now + READ_AGAIN);
                }
                Err(e)
            }
            None => Ok(()),
        }
    }

    /// Carries out all effects, and those that follow from them. Probes come first, then transfers:
    /// both are quick, and the failover of a dead leader waits for them. Resigns once this daemon
    /// is no longer the controller. Returns what kept it from reading topics.
    fn carry_out(&mut self, mut todo: Effects, notify: Notify<'_>) -> Option<Error> {
        let mut failed = None;
        let office = self.office.as_mut()?;
        let store = &self.store;
        loop {
            for text in todo.notified.drain(..) {
                notify(Notice::Note(text));
            }
            if !todo.observations.is_empty() {
                let observations = std::mem::take(&mut todo.observations);
                office.ask(observations);
                office.observed(store, &mut todo, notify);
            } else if !todo.moves.is_empty() {
                let moves = std::mem::take(&mut todo.moves);
                let ended = office.start_transfers(store, &self.mover, moves, notify);
                let now = store.clock().monotonic();
                office.happen(ControllerEvent::Ended(ended), now, &mut todo);
            } else if !todo.changes.is_empty() {
                let changes = std::mem::take(&mut todo.changes);
                let (holds, ended) =
                    office.change(store, &self.raise, changes, self.timeout, notify);
                if !holds {
                    self.resign();
                    return failed;
                }
                failed = office.refresh(store, &mut todo, notify).err().or(failed);
                let now = store.clock().monotonic();
                office.happen(ControllerEvent::Ended(ended), now, &mut todo);
            } else {
                return failed;
            }
        }
    }
}

impl Office {
    fn happen(&mut self, event: ControllerEvent, now: Duration, todo: &mut Effects) {
        let state = std::mem::take(&mut self.state);
        let (state, effects) = step(state, event, now);
        self.state = state;
        todo.observations.extend(effects.observations);
        todo.moves.extend(effects.moves);
        todo.changes.extend(effects.changes);
        todo.notified.extend(effects.notified);
    }

    fn refresh(&mut self, store: &StoreDir, todo: &mut Effects, notify: Notify<'_>) -> Result<()> {
        let now = store.clock().monotonic();
        let names = topic_file::list(store)?;
        let there: HashSet<_> = names.iter().collect();
        let known = self.topics.keys();
        let gone: Vec<_> = known.filter(|n| !there.contains(n)).cloned().collect();
        for name in gone {
            self.forget(name, now, todo);
        }
        for name in names {
            match self.refresh_topic(store, &name, todo) {
                Ok(()) => {
                    self.notified.is_well(name.as_str());
                }
                Err(e) => {
                    // Its known state stays: its leaders may die meanwhile.
                    self.problem(name.as_str().to_owned(), e, notify);
                    self.unread.get_or_insert(now + READ_AGAIN);
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self, name: TopicName, now: Duration, todo: &mut Effects) {
        self.topics.remove(&name);
        self.happen(ControllerEvent::TopicGone(name), now, todo);
    }

    fn refresh_topic(
        &mut self,
        store: &StoreDir,
        name: &TopicName,
        todo: &mut Effects,
    ) -> Result<()> {
        if let Some(topic) = self.topics.get(name)
            && topic.file.is_current()?
        {
            return Ok(());
        }
        let now = store.clock().monotonic();
        let Some((meta, file)) = topic_file::read_if_there(store, name)? else {
            self.forget(name.clone(), now, todo);
            return Ok(());
        };
        let configs = meta.configs()?;
        let rules = Rules {
            unclean: configs.unclean_leader_election,
            lag_max: Duration::from_millis(configs.replica_lag_time_max_ms),
        };
        let acked = AckedUpTo::of(&configs);
        self.topics
            .insert(name.clone(), ControllerTopic { file, acked });
        self.happen(
            ControllerEvent::Topic(Arc::unwrap_or_clone(meta), rules),
            now,
            todo,
        );
        Ok(())
    }

    fn ask(&mut self, observations: Vec<ProbeRequest>) {
        for at in observations {
            let topic = self.topics.get(&at.tp.topic);
            let acked = topic.map_or(AckedUpTo::DurableOffset, |topic| topic.acked);
            self.prober.ask(&mut self.disks, at, acked);
        }
    }

    /// Takes in the snapshots so far. It does not wait for a broker that is behind.
    fn observed(&mut self, store: &StoreDir, todo: &mut Effects, notify: Notify<'_>) {
        let round = self.prober.round();
        let place = "the controller's probes of replicas".to_owned();
        match round.trouble {
            Some(e) => self.problem(place, e, notify),
            None if round.goes_on => {}
            None => self.notified.is_well(&place),
        }
        self.notify_slow_disks(notify);
        let now = store.clock().monotonic();
        self.happen(ControllerEvent::Observed(round.observed), now, todo);
    }

    /// Reports, once, the disks on which no heartbeat can be observed.
    fn notify_slow_disks(&mut self, notify: Notify<'_>) {
        let place = "writes to disks";
        let slow: Vec<_> = self.disks.slow().collect();
        if slow.is_empty() {
            self.notified.is_well(place);
        }
        for error in slow {
            self.problem(place.to_owned(), error, notify);
        }
    }

    /// Begins transfers; those from one broker to another share a thread, so a hanging disk does
    /// not delay the others. A transfer that could not begin has failed.
    fn start_transfers(
        &mut self,
        store: &Arc<StoreDir>,
        mover: &Arc<dyn Mover>,
        planned: Vec<PlannedMove>,
        notify: Notify<'_>,
    ) -> Vec<Ended> {
        let mut groups: BTreeMap<(BrokerId, BrokerId), Vec<PlannedMove>> = BTreeMap::new();
        for one in planned {
            let way = (one.what.from, one.what.to);
            groups.entry(way).or_default().push(one);
        }
        let mut failed = Vec::new();
        for planned in groups.into_values() {
            let (ends, ended) = mpsc::channel();
            match self.start_group(store, mover, &planned, ends) {
                Ok(()) => {
                    let now = store.clock().monotonic();
                    self.moving
                        .push(TransfersUnderWay::new(planned, now, ended));
                }
                Err(e) => {
                    self.problem("leadership transfers".to_owned(), e, notify);
                    failed.extend(not_done(planned.into_iter().map(|p| (p.job, p.what.tp))));
                }
            }
        }
        failed
    }

    fn start_group(
        &self,
        store: &Arc<StoreDir>,
        mover: &Arc<dyn Mover>,
        planned: &[PlannedMove],
        ends: Sender<(usize, Result<()>)>,
    ) -> Result<()> {
        let moves: Vec<LeadershipTransfer> = planned.iter().map(|p| p.what.clone()).collect();
        let (store, mover) = (Arc::clone(store), Arc::clone(mover));
        let warrant = Arc::clone(&self.warrant);
        let work = move || {
            let terms = Terms {
                authority: &|_held: &FencedGuard| warrant.holds(&store),
                goes_on: &|| !warrant.is_given_up(),
                stalled_after: TRANSFER_STALLED_AFTER,
            };
            mover.move_leaders(&store, &moves, terms, &mut TransferEnds(ends));
        };
        spawn("mq-move", work).map(drop)
    }

    fn ended_transfers(
        &mut self,
        store: &Arc<StoreDir>,
        raise: &Raise,
        notify: Notify<'_>,
    ) -> Vec<Ended> {
        for thread in self.raising.extract_if(.., |thread| thread.is_finished()) {
            let errors = thread.join().unwrap_or_else(|_| vec![panicked()]);
            if let Some(e) = errors.into_iter().next() {
                notify(Notice::Problem(e.at("a high watermark")));
            }
        }
        let mut outcomes = Vec::new();
        for moving in &mut self.moving {
            moving.take_ends(&mut outcomes);
        }
        self.moving.retain(|moving| !moving.are_over());
        let mut ended = Vec::new();
        let mut moved = Vec::new();
        let mut failed = Vec::new();
        for (PlannedMove { job, what, why }, outcome) in outcomes {
            let (done, tp) = (outcome.is_ok(), what.tp.clone());
            match outcome {
                Ok(()) => {
                    self.notified.is_well(&failed_from(what.from));
                    moved.push((what, why));
                }
                // Another change came first, which is no error.
                Err(e) if matches!(e.kind(), Kind::Fenced | Kind::UnknownTopic) => {}
                Err(e) => failed.push((what.from, e.at(&tp))),
            }
            ended.push(Ended { job, tp, done });
        }
        let tps: Vec<_> = moved.iter().map(|(what, _)| what.tp.clone()).collect();
        self.raise_in_thread(store, raise, tps, notify);
        notify_moves(moved, notify);
        self.notify_failed(failed, notify);
        ended
    }

    /// Reports failed transfers, once for each source broker.
    fn notify_failed(&mut self, failed: Vec<(BrokerId, Error)>, notify: Notify<'_>) {
        let count = failed.len();
        let mut first = None;
        for (from, e) in failed {
            let is_change = self.notified.is_change(&failed_from(from), &e);
            first = first.or(is_change.then_some(e));
        }
        if let Some(first) = first {
            let place = format!("{} could not be transferred", leaders(count));
            notify(Notice::Problem(first.at(place)));
        }
    }

    /// Raises high watermarks after a change. A lost attempt only costs time: the next sync or
    /// fetch raises it.
    fn raise_in_thread(
        &mut self,
        store: &Arc<StoreDir>,
        raise: &Raise,
        tps: Vec<TopicPartition>,
        notify: Notify<'_>,
    ) {
        if tps.is_empty() {
            return;
        }
        let (store, raise) = (Arc::clone(store), Arc::clone(raise));
        match spawn("mq-raise", move || raise_all(&store, &raise, &tps)) {
            Ok(thread) => self.raising.push(thread),
            Err(e) => self.problem("high watermarks".to_owned(), e, notify),
        }
    }

    /// Changes topic files, in one metadata update. `false` if this daemon is no longer the
    /// controller.
    fn change(
        &mut self,
        store: &Arc<StoreDir>,
        raise: &Raise,
        changes: Vec<Change>,
        timeout: Duration,
        notify: Notify<'_>,
    ) -> (bool, Vec<Ended>) {
        let place = "changes of leaders and in-sync replicas".to_owned();
        let outcome = change_all(store, &self.warrant, &mut self.disks, &changes, timeout);
        let made = match outcome {
            Ok(Some(Made { jobs, failed })) => {
                self.notified.is_well(&place);
                for (name, e) in failed {
                    self.problem(name.as_str().to_owned(), e, notify);
                }
                jobs
            }
            Ok(None) => return (false, Vec::new()),
            Err(e) => {
                self.problem(place, e, notify);
                HashSet::new()
            }
        };
        notify_elections(changes.iter().filter(|c| made.contains(&c.job)), notify);
        let tps: Vec<_> = changes
            .iter()
            .filter(|change| made.contains(&change.job))
            .map(|change| change.tp.clone())
            .collect();
        self.raise_in_thread(store, raise, tps, notify);
        let ended = changes.into_iter().map(|change| Ended {
            done: made.contains(&change.job),
            job: change.job,
            tp: change.tp,
        });
        (true, ended.collect())
    }

    fn problem(&mut self, of: String, error: Error, notify: Notify<'_>) {
        if self.notified.is_change(&of, &error) {
            notify(Notice::Problem(error.at(of)));
        }
    }
}

fn raise_all(store: &Arc<StoreDir>, raise: &Raise, tps: &[TopicPartition]) -> Vec<Error> {
    let raised = tps.iter().map(|tp| raise(store, tp).map_err(|e| e.at(tp)));
    raised
        .filter_map(Result::err)
        .filter(|e| !matches!(e.kind(), Kind::Fenced | Kind::UnknownTopic))
        .collect()
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| {
            Error::new(Kind::Io, format!("cannot start a thread: {e}"))
                .cure("allow more processes ('ulimit -u')")
        })
}

fn failed_from(broker: BrokerId) -> String {
    format!("moves from broker {broker}")
}

fn not_done(jobs: impl Iterator<Item = (WorkId, TopicPartition)>) -> Vec<Ended> {
    let done = false;
    let ended = jobs.map(|(job, tp)| Ended { job, tp, done });
    ended.collect()
}
