//! One partition that a fetcher follows: when to check it next, and what its failures mean.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::maintenance::When;
use crate::cluster::notice::Notice;
use crate::cluster::notify_once::NotifyOnce;
use crate::disk::{WatchId, Watcher};
use crate::error::{Error, Kind, Result};
use crate::partition::{Followed, Follower, PAGE_FILE};
use crate::store::{Stillness, StoreDir, WriteProbe};
use crate::timing::LOCK_STOPPED_AFTER;
use crate::types::{BrokerId, TopicName, TopicPartition, Uuid};

/// Bytes of one fetch, and of one turn of a partition before the next has its turn.
pub(crate) const FETCH_BYTES: usize = 1 << 20;
const TURN_BYTES: usize = 8 << 20;
/// The timeout for a lock: other partitions wait meanwhile.
const TIMEOUT: Duration = Duration::from_millis(100);
/// The interval between two checks for a leader that is not there yet.
const WAIT_MIN: Duration = Duration::from_millis(2);
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Two joins to the ISR that are so far apart are unrelated.
const JOINS_APART: Duration = Duration::from_secs(2);
/// The interval between two checks of a leader that cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(20);
/// The pause before a lock that another process holds is tried again: its holder is watched without
/// a break.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// One partition that is followed.
#[derive(Debug)]
pub(crate) struct PartitionFetch {
    pub tp: TopicPartition,
    pub uuid: Uuid,
    follower: Option<Follower>,
    watch: Option<(u64, WatchId)>,
    /// To be checked at once.
    pub fresh: bool,
    /// When to check it if nothing changes.
    pub due: Option<Duration>,
    /// Nothing is copied until then: the limit of the copy rate is reached.
    paused_until: Option<Duration>,
    wait: Duration,
    joins: Joins,
    /// The append lock of its replica, while another process holds it: the state page's sequence
    /// number and the holder's heartbeat.
    kept: Option<(WriteProbe, Stillness<(Option<u64>, u64)>)>,
    notified: NotifyOnce,
}

/// When this replica may request to join the ISR again. If its broker's heartbeat is late, a
/// controller may take it for dead and remove it each time: without a pause, both would write the
/// topic file all the time.
#[derive(Debug, Default)]
struct Joins {
    last: Option<Duration>,
    pause: Duration,
}

impl Joins {
    fn not_before(&self, now: Duration) -> Option<Duration> {
        let at = self.last? + self.pause;
        (at > now).then_some(at)
    }

    fn asked(&mut self, now: Duration) {
        let again = self
            .last
            .replace(now)
            .is_some_and(|last| now.saturating_sub(last) < JOINS_APART);
        self.pause = if again {
            (self.pause * 2).clamp(WAIT_MIN, WAIT_MAX)
        } else {
            Duration::ZERO
        };
    }
}

/// A change of the topic file that a partition requests; done for all partitions of a fetcher
/// together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IsrChange {
    /// Join the ISR, if the topic file still has that version.
    Join(u64),
    /// Leave the ISR.
    Leave,
    /// Replace the replica.
    Replace,
}

/// What a turn needs.
pub(crate) struct Turn<'a> {
    pub store: &'a Arc<StoreDir>,
    pub broker: BrokerId,
    pub watcher: &'a mut dyn Watcher,
    /// The buffer for fetched bytes.
    pub buf: &'a mut Vec<u8>,
    pub notify: &'a mut dyn FnMut(Notice),
}

impl PartitionFetch {
    pub fn new(tp: TopicPartition, uuid: Uuid) -> Self {
        PartitionFetch {
            tp,
            uuid,
            follower: None,
            watch: None,
            fresh: true,
            due: None,
            paused_until: None,
            wait: WAIT_MIN,
            joins: Joins::default(),
            kept: None,
            notified: NotifyOnce::default(),
        }
    }

    pub fn topic(&self) -> &TopicName {
        &self.tp.topic
    }

    pub fn watch(&self) -> Option<WatchId> {
        self.watch.map(|(_, id)| id)
    }

    /// Ends its watch.
    pub fn end(&mut self, watcher: &mut dyn Watcher) {
        if let Some((_, id)) = self.watch.take() {
            watcher.remove(id);
        }
    }

    /// Checks again a little later.
    pub fn later(&mut self, now: Duration) {
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }

    /// Takes a turn; returns the change that it requests of the topic file.
    pub fn turn(&mut self, turn: &mut Turn<'_>) -> Option<IsrChange> {
        self.fresh = false;
        self.due = None;
        let paused = self.paused_until.take();
        if let Some(until) = paused.filter(|until| *until > turn.store.clock().monotonic()) {
            // Whatever woke it: its limit holds.
            self.paused_until = Some(until);
            self.due = Some(until);
            return None;
        }
        let turned = self.try_turn(turn);
        let now = turn.store.clock().monotonic();
        match turned {
            Ok(change) => {
                if let Some(e) = self.follower.as_mut().and_then(Follower::take_leader_error) {
                    self.problem(e, turn.notify);
                    self.later(now);
                }
                change
            }
            Err(e) => self.failed(e, now, turn),
        }
    }

    fn try_turn(&mut self, turn: &mut Turn<'_>) -> Result<Option<IsrChange>> {
        let mut copied = 0;
        loop {
            let (store, tp, broker) = (turn.store, &self.tp, turn.broker);
            let follower = match &mut self.follower {
                Some(follower) => follower,
                none => none.insert(Follower::open(store, tp, broker, TIMEOUT)?),
            };
            let rate = throttle(follower, tp, broker);
            // Not much more than a second's worth at a time.
            let bytes_max = rate.map_or(FETCH_BYTES, |rate| {
                usize::try_from(rate).map_or(FETCH_BYTES, |rate| rate.min(FETCH_BYTES))
            });
            let followed = follower.step_with(bytes_max, turn.buf)?;
            let now = turn.store.clock().monotonic();
            self.kept = None;
            match followed {
                Followed::Copied(bytes) => {
                    self.wait = WAIT_MIN;
                    copied += bytes;
                    if let Some(rate) = rate {
                        let pause = Duration::from_secs_f64(bytes as f64 / rate as f64);
                        self.paused_until = Some(now + pause);
                        self.due = self.paused_until;
                        return Ok(None);
                    }
                    if copied >= TURN_BYTES {
                        self.fresh = true;
                        return Ok(None);
                    }
                }
                Followed::CaughtUp => {
                    if self.watch_leader(turn.watcher) {
                        // It may have changed before it was watched.
                        continue;
                    }
                    self.notified = NotifyOnce::default();
                    let Some(follower) = &mut self.follower else {
                        return Ok(None);
                    };
                    if !follower.is_settled() {
                        self.later(now);
                        return Ok(None);
                    }
                    if follower.is_in_sync() {
                        self.wait = WAIT_MIN;
                        if self.watch.is_none() {
                            self.due = Some(now + UNWATCHED);
                        }
                        return Ok(None);
                    }
                    if let Some(at) = self.joins.not_before(now) {
                        self.due = Some(at);
                        return Ok(None);
                    }
                    let entered = follower.enter_joining()?;
                    match entered {
                        Some(_) => self.joins.asked(now),
                        None => self.later(now),
                    }
                    return Ok(entered.map(IsrChange::Join));
                }
                Followed::Waits => {
                    self.later(now);
                    return Ok(None);
                }
                Followed::NoFollower => return Ok(None),
            }
        }
    }

    /// Watches the leader's state page; returns whether it was not watched yet. Without a watch,
    /// only timeouts wake it.
    fn watch_leader(&mut self, watcher: &mut dyn Watcher) -> bool {
        let Some(follower) = &self.follower else {
            return false;
        };
        let (serial, Some(leader)) = (follower.leader_serial(), follower.leader()) else {
            return false;
        };
        if self.watch.is_some_and(|(of, _)| of == serial) {
            return false;
        }
        let added = watcher.add_file(&**leader.dir(), PAGE_FILE);
        self.end(watcher);
        match added {
            Ok(id) => {
                self.watch = Some((serial, id));
                true
            }
            Err(_) => false,
        }
    }

    fn failed(&mut self, error: Error, now: Duration, turn: &mut Turn<'_>) -> Option<IsrChange> {
        let mut change = None;
        match error.kind() {
            // The topic is gone, or another process holds a lock for a moment.
            Kind::UnknownTopic => {}
            Kind::Busy => {
                if self.is_kept_by_one_that_stands_still(now) {
                    change = Some(IsrChange::Replace);
                }
                self.due = Some(now + BUSY_PAUSE);
            }
            Kind::DiskFull => {
                change = Some(IsrChange::Leave);
                self.due = Some(now + PAUSE);
                self.problem(error, turn.notify);
            }
            // It has nothing in common with its leader's log, which lost its beginning meanwhile.
            Kind::OffsetOutOfRange => change = Some(IsrChange::Replace),
            Kind::Fenced | Kind::Offline | Kind::Damaged => {
                change = Some(IsrChange::Replace);
                self.problem(error, turn.notify);
            }
            _ => {
                self.due = Some(now + PAUSE);
                self.problem(error, turn.notify);
            }
        }
        if change == Some(IsrChange::Replace) {
            self.follower = None;
            self.kept = None;
        }
        change
    }

    /// The outcome of a replacement: whether the replica was replaced. If not, the request that
    /// follows.
    pub fn recreated(
        &mut self,
        outcome: Result<()>,
        now: Duration,
        notify: &mut dyn FnMut(Notice),
    ) -> (bool, Option<IsrChange>) {
        match outcome {
            Ok(()) => (true, None),
            // It leads, or is another replica by now: the topic file says so.
            Err(e) if matches!(e.kind(), Kind::Fenced | Kind::UnknownTopic) => {
                self.due = Some(now + WAIT_MAX);
                (false, None)
            }
            Err(e) => {
                self.due = Some(now + PAUSE);
                self.problem(e, notify);
                // The high watermark must not wait for it.
                (false, Some(IsrChange::Leave))
            }
        }
    }

    /// Whether its directory and state page are in their places; `with_ends` also checks its epoch
    /// checkpoint and all of its log, as far as visible: what cannot be checked now is checked the
    /// next time. If not, its next turn checks them as a first use does.
    pub fn is_whole(&mut self, with_ends: bool) -> bool {
        let Some(follower) = &mut self.follower else {
            return true;
        };
        let replica = follower.replica();
        let whole = if with_ends {
            replica.is_whole()
        } else {
            replica.in_place()
        };
        let whole = whole.unwrap_or(true);
        if !whole {
            follower.forget_files();
        }
        whole
    }

    /// When its next turn is.
    pub fn when(&self) -> When {
        if self.fresh {
            When::Now
        } else {
            self.due.map_or(When::Changed, When::At)
        }
    }

    /// Whether one holder keeps the append lock of this replica without a heartbeat for too long. A
    /// holder whose heartbeat moves is at work: the replica is left to it.
    fn is_kept_by_one_that_stands_still(&mut self, now: Duration) -> bool {
        let Some(follower) = &self.follower else {
            return false;
        };
        let replica = follower.replica();
        let sequence = replica.read_page().ok().flatten().map(|page| page.sequence);
        let begin = || (WriteProbe::default(), Stillness::begin((sequence, 0), now));
        let (served, still) = self.kept.get_or_insert_with(begin);
        let seen = (sequence, replica.holders_reading(served));
        still.observe(seen, now) >= LOCK_STOPPED_AFTER
    }

    /// Reports an error, once.
    fn problem(&mut self, error: Error, notify: &mut dyn FnMut(Notice)) {
        if matches!(error.kind(), Kind::UnknownTopic | Kind::Fenced | Kind::Busy) {
            return;
        }
        let place = self.tp.to_string();
        if self.notified.is_change(&place, &error) {
            notify(Notice::Problem(error.at(place)));
        }
    }
}

/// The maximum copy rate of a new replica in bytes per second, if its reassignment sets one.
fn throttle(follower: &Follower, tp: &TopicPartition, broker: BrokerId) -> Option<u64> {
    let partition = follower.topic().partition(tp.partition).ok()?;
    let reassignment = partition.reassignment.as_ref()?;
    let is_new = !reassignment.before.contains(&broker) && !partition.is_in_sync(broker);
    reassignment.throttle.filter(|rate| is_new && *rate > 0)
}
