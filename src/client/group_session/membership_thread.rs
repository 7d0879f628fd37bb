//! The membership thread: what a member does besides reading, one turn after the other.

mod duties;
mod following;
mod given_up;
mod giving_up;
mod progress;
mod reconciliation;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Began;
use super::ends::Ends;
use super::heartbeat_thread::HeartbeatThread;
use super::options::GroupOptions;
use super::orders::{CommitWhen, End, Generation, Order, OutputProgress};
use super::session_state::{Seen, SessionState, lock};
use super::watching::{Changed, Watching};
use crate::client::read_from::Chooser;
use crate::disk::WatchId;
use crate::error::{Error, Kind, Result};
use crate::group::{JoinOptions, Membership, OffsetsEntry};
use crate::store::topics::topic_file;
use crate::store::{StoreDir, TopicHandle};
use crate::types::{LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};
use given_up::GivenUp;
use source::ReplicaSource;

/// How often a join that is interrupted is tried.
const JOINS: u32 = 5;
/// Interval of the checks of how much a pipe's reader has taken: a pipe gives no notice.
const PIPE_POLL: Duration = Duration::from_millis(50);
/// The same while the membership thread waits for it.
const QUICK_POLL: Duration = Duration::from_millis(2);
/// Interval of the tries to watch a state page: its directory may be replaced in a moment.
const UNWATCHED_POLL: Duration = Duration::from_millis(100);
/// How often the caller checks for records by itself while the membership thread waits for the
/// group's lock, and how much each member adds: all members may wait at once.
const BUSY_TICK: Duration = Duration::from_millis(2);
const BUSY_TICK_OF_MEMBER: Duration = Duration::from_micros(300);
/// A partition that is not given up after this time may depend on a long-running command: it is then
/// polled at [`PIPE_POLL`].
const TAKES_LONG: Duration = Duration::from_secs(2);
/// An owned partition that cannot be opened is retried for this long before it is reported: its
/// leadership may be changing.
const GRACE: Duration = Duration::from_millis(500);
/// Interval of the retries during [`GRACE`].
const TRY_SOON: Duration = Duration::from_millis(20);
/// Interval of the retries after [`GRACE`].
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// A member that is done reports that it waits for others after this long.
pub(crate) const WAITS_LONG: Duration = Duration::from_secs(2);
/// Interval of the checks of the topics: they find what no watch reported.
const TOPICS_POLL: Duration = Duration::from_secs(5);
/// The same without a watch.
const TOPICS_POLL_BLIND: Duration = Duration::from_millis(900);

/// Without a watch, a lone member checks everything at this interval. The interval grows with the
/// square of the number of members: a compromise between the load of a hundred and the delays among
/// a few.
const BLIND: Duration = Duration::from_millis(8);
/// What the square of the number adds, for `group.json` and the state pages of the partitions.
const BLIND_OF_MEMBERS: Duration = Duration::from_micros(100);
/// What it adds for the other members' liveness locks: each member probes all of them.
const BLIND_PROBE_OF_MEMBERS: Duration = Duration::from_micros(250);

/// The membership thread's state, for one membership.
#[derive(Debug)]
pub(crate) struct MembershipThread {
    store: Arc<StoreDir>,
    options: GroupOptions,
    chooser: Chooser,
    delivery: Arc<dyn OutputProgress>,
    shared: Arc<SessionState>,
    watching: Watching,
    member: Membership,
    heartbeat: HeartbeatThread,
    ends: Option<Ends>,
    began: Began,
    /// Owned partitions that could not be opened: reported once, and counted as done.
    broken: BTreeSet<TopicPartition>,
    /// Partitions that are being retried: each is broken once it has failed for [`GRACE`].
    failing: BTreeMap<TopicPartition, Failing>,
    /// Partitions that could not be read when this member began their topic, and why.
    unbegun: BTreeMap<TopicPartition, Error>,
    /// Topics whose files could not be read: each is reported once.
    unreadable: BTreeSet<TopicName>,
    held: BTreeMap<TopicPartition, Holding>,
    given_up: GivenUp,
    /// The topics that exist, and their ids.
    known: BTreeMap<TopicName, Uuid>,
    /// Partitions that were to be given up but stay: where to read on.
    stayed: BTreeMap<TopicPartition, StartPosition>,
    /// The topics of owned partitions, as of the last check for new leaders.
    topics: BTreeMap<TopicName, TopicHandle>,
    /// A change of leader could not be followed yet.
    unfollowed: bool,
    /// More partitions are owned than could be handed over at once.
    untaken: bool,
    last_generation: Generation,
    joins: Option<Joins>,
    /// When the close of members' files was seen, and which of the [`PROBES`] is next.
    closes: Option<(Duration, usize)>,
    blind_at: Duration,
    watched_at: Duration,
    /// When the topics were last checked; `None`: check them now.
    topics_at: Option<Duration>,
    committed_at: Duration,
    idle: bool,
    /// The caller hands out records, so that each interval has something to commit.
    moving: bool,
    ended: Option<End>,
    interrupted: bool,
    finished: bool,
    noted_unused: bool,
    /// Since when this member has been done and waiting for others.
    waits_since: Option<Duration>,
    reported_of_wait: bool,
    /// The group epoch in which the other members' ends were read.
    ends_epoch: i32,
}

/// A partition that is owned and was handed to the caller.
#[derive(Debug)]
struct Holding {
    generation: Generation,
    topic_id: Uuid,
    /// Everything before it is delivered, now or before this assignment.
    position: Offset,
    leader_epoch: LeaderEpoch,
    committed: Offset,
    until: Option<Offset>,
    /// The replica whose state page is watched.
    source: ReplicaSource,
    page: Option<WatchId>,
    /// Since when the caller has been asked to give it up.
    stopping: Option<Duration>,
    is_stopped: bool,
    /// The caller cannot read it further: it is kept, and counts as done.
    is_broken: bool,
}

/// Where an assignment begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartPosition {
    /// The first offset to read.
    from: Offset,
    /// The committed offset.
    committed: Offset,
    /// The epoch of the record before.
    leader_epoch: LeaderEpoch,
}

impl StartPosition {
    /// At the committed start of a partition.
    fn of_start(start: &OffsetsEntry) -> Self {
        StartPosition {
            from: start.offset,
            committed: start.offset,
            leader_epoch: start.leader_epoch,
        }
    }
}

/// A partition that could not be opened.
#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Duration,
    /// When it is tried again.
    again: Duration,
}

/// Joins that no target includes yet.
#[derive(Debug, Clone, Copy)]
struct Joins {
    group_epoch: i32,
    assignment_epoch: i32,
    since: Duration,
    first: Duration,
}

impl MembershipThread {
    /// Joins the group.
    pub(crate) fn join(
        store: &Arc<StoreDir>,
        mut options: GroupOptions,
        delivery: Arc<dyn OutputProgress>,
        shared: Arc<SessionState>,
        poked: UnixStream,
    ) -> Result<Self> {
        let chooser = Chooser::new(store, options.read_from.clone());
        let mut unfixed = Vec::new();
        let ends = Ends::fix(store, &chooser, &options, &mut unfixed)?;
        let began = match options.began.take() {
            Some(began) => began,
            None => Began::observe(
                store,
                &options.group,
                &options.subscription,
                options.range.from,
                &options.read_from,
            )?,
        };
        let member = enter(store, &options, ends.as_ref(), &began)?;
        for note in member.notes() {
            shared.order(Order::Warn(note));
        }
        let watching = Watching::new(store, &**member.dir(), poked)?;
        let heartbeat = HeartbeatThread::start(member.heartbeat(), options.session_timeout)?;
        let now = store.clock().monotonic();
        let broken = unfixed.iter().map(|(tp, _)| tp.clone()).collect();
        shared.order_all(unfixed.into_iter().map(|(_, e)| Order::Broken(e)));
        Ok(MembershipThread {
            store: Arc::clone(store),
            options,
            chooser,
            delivery,
            shared,
            watching,
            member,
            heartbeat,
            ends,
            began,
            broken,
            failing: BTreeMap::new(),
            unbegun: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            held: BTreeMap::new(),
            given_up: GivenUp::default(),
            known: BTreeMap::new(),
            stayed: BTreeMap::new(),
            topics: BTreeMap::new(),
            unfollowed: false,
            untaken: false,
            last_generation: 0,
            joins: None,
            // One probe soon finds members that died before there was a watch.
            closes: Some((now, super::membership_thread::PROBES.len() - 1)),
            blind_at: now,
            watched_at: now,
            topics_at: Some(now),
            committed_at: now,
            idle: false,
            moving: false,
            ended: None,
            interrupted: false,
            finished: false,
            noted_unused: false,
            waits_since: None,
            reported_of_wait: false,
            ends_epoch: -1,
        })
    }

    /// Runs until the caller ends it.
    pub(crate) fn run(mut self) -> Result<()> {
        let mut changed = Changed::default();
        self.notify_unreadable();
        loop {
            let outcome = self.turn(changed).and_then(|done| {
                if done {
                    return Ok(None);
                }
                self.wait().map(Some)
            });
            match outcome {
                Ok(Some(next)) => {
                    if next.pages {
                        (self.shared.wake_caller)();
                    }
                    changed = next;
                }
                Ok(None) => return self.leave(),
                Err(e) => match self.recover(e) {
                    Ok(()) => changed = Changed::default(),
                    Err(e) => return self.fail(e),
                },
            }
        }
    }

    /// One turn: checks everything; returns whether to end.
    fn turn(&mut self, changed: Changed) -> Result<bool> {
        self.listen();
        self.member.refresh()?;
        if self.member.me().is_none() {
            return Err(removed());
        }
        self.settle_joins()?;
        self.refresh_topics(changed.topics)?;
        self.find_deleted()?;
        self.follow_leaderships(changed.topics);
        self.probe_others(changed.members)?;
        self.take_deliveries();
        self.give_up()?;
        if self.ended.is_none() {
            self.take_over()?;
            self.follow_ends()?;
        }
        self.show_seen();
        self.commit_when_due()?;
        if let Some(end) = self.ended {
            let waits = end != End::Aborted
                && self.commits_at(end)
                && !self.interrupted
                && !self.delivery.is_all_settled()
                && !self.delivery.is_closed();
            return Ok(!waits);
        }
        self.finish_if_done()?;
        Ok(false)
    }

    /// Takes the caller's notices.
    fn listen(&mut self) {
        let mut reported = lock(&self.shared.reported);
        let stopped: BTreeSet<Generation> = reported.stopped.drain(..).collect();
        let broken: BTreeSet<Generation> = reported.broken.drain(..).collect();
        if !stopped.is_empty() || !broken.is_empty() {
            for holding in self.held.values_mut() {
                holding.is_stopped |= stopped.contains(&holding.generation);
                holding.is_broken |= broken.contains(&holding.generation);
            }
        }
        self.idle |= std::mem::take(&mut reported.idle);
        self.moving = reported.moving.take().unwrap_or(self.moving);
        self.ended = self.ended.or(reported.ended.take());
        self.interrupted |= reported.interrupted;
    }

    /// How often to check everything, without a watch.
    fn blind_period(&self, of_members: Duration) -> Duration {
        let state = self.member.state();
        let members = u32::try_from(state.members.len()).unwrap_or(u32::MAX);
        let period = BLIND + of_members.saturating_mul(members.min(200).pow(2));
        // While the group settles, every member waits for the others.
        let settles = state.group_epoch > state.assignment_epoch || self.member.reconciling() > 0;
        if settles { period / 4 } else { period }
    }

    /// Waits for changes. Without a watch, everything may have changed once the period has passed.
    fn wait(&mut self) -> Result<Changed> {
        let timeout = self.timeout();
        let changed = self.watching.wait(timeout)?;
        let now = self.now();
        if self.watching.is_blind && now - self.blind_at >= self.blind_period(BLIND_OF_MEMBERS) {
            self.blind_at = now;
            return Ok(Changed::all());
        }
        Ok(changed)
    }

    /// Runs `work`, which may wait for the group's lock or the disk, and lets the caller check for
    /// records by itself meanwhile.
    fn busy<T>(&mut self, work: impl FnOnce(&mut Membership) -> Result<T>) -> Result<T> {
        let members = u32::try_from(self.member.state().members.len()).unwrap_or(u32::MAX);
        let tick = BUSY_TICK + BUSY_TICK_OF_MEMBER * members.min(200);
        let micros = u32::try_from(tick.as_micros()).unwrap_or(u32::MAX);
        self.shared.busy_tick_us.store(micros, Ordering::Release);
        (self.shared.wake_caller)();
        let outcome = work(&mut self.member);
        self.shared.busy_tick_us.store(0, Ordering::Release);
        outcome
    }

    /// Shows the caller which state of the group its orders belong to.
    pub(crate) fn show_seen(&self) {
        let seen = Seen {
            member: self.member.id(),
            dir: Arc::clone(self.member.dir()),
            file: Arc::clone(self.member.seen()),
        };
        *lock(&self.shared.seen) = Some(seen);
        self.shared.replied.notify_all();
    }

    fn now(&self) -> Duration {
        self.store.clock().monotonic()
    }

    /// How long nothing needs to be done, as far as is known now.
    fn timeout(&mut self) -> Duration {
        let now = self.now();
        let mut timeout = (self.watched_at + self.member.watch_interval()).saturating_sub(now);
        timeout = timeout.min(self.topics_due_in(now));
        if self.watching.is_blind {
            let due = self.blind_at + self.blind_period(BLIND_OF_MEMBERS);
            timeout = timeout.min(due.saturating_sub(now));
        }
        if self.has_unwatched() {
            timeout = timeout.min(UNWATCHED_POLL);
        }
        if self.untaken {
            timeout = timeout.min(QUICK_POLL);
        }
        if let Some(again) = self.failing.values().map(|failing| failing.again).min() {
            timeout = timeout.min(again.saturating_sub(now));
        }
        if let Some(wait) = self.joins_settle_in() {
            timeout = timeout.min(wait);
        }
        // If this fails, the next turn reports why.
        if let Some(wait) = self.member.refresh_due().ok().flatten() {
            timeout = timeout.min(wait);
        }
        if let Some(at) = self.probe_at() {
            timeout = timeout.min(at.saturating_sub(now));
        }
        let last_stop = self.held.values().filter_map(|held| held.stopping).max();
        if self.ended.is_some() || last_stop.is_some_and(|at| now - at < TAKES_LONG) {
            timeout = timeout.min(QUICK_POLL);
        } else if last_stop.is_some() {
            timeout = timeout.min(PIPE_POLL);
        }
        let notifies = !self.reported_of_wait && self.ended.is_none();
        if let Some(since) = self.waits_since.filter(|_| notifies) {
            timeout = timeout.min((since + WAITS_LONG).saturating_sub(now));
        }
        if self
            .ends
            .as_ref()
            .is_some_and(|ends| !ends.times.is_empty())
        {
            timeout = timeout.min(TOPICS_POLL_BLIND);
        }
        let wants_probes = self.options.commit == CommitWhen::AfterWrite || self.ends.is_some();
        if wants_probes && !self.delivery.is_all_settled() && !self.delivery.is_closed() {
            timeout = timeout.min(PIPE_POLL);
        }
        let uncommitted = self.held.values().any(|h| h.position > h.committed);
        if self.options.commit == CommitWhen::AfterWrite && (uncommitted || self.moving) {
            let due = self.committed_at + self.options.interval;
            timeout = timeout.min(due.saturating_sub(now));
        }
        timeout
    }

    /// Continues after an error, if that is possible.
    fn recover(&mut self, e: Error) -> Result<()> {
        if e.kind() != Kind::Fenced {
            return Err(e);
        }
        self.member.refresh()?;
        if self.member.me().is_some() {
            // Nothing more is needed if only the lock was taken over while this process stood still.
            if !e.is_lost_lock() {
                return Err(e);
            }
            self.store.clock().sleep(QUICK_POLL);
            return Ok(());
        }
        let held: Vec<TopicPartition> = self.held.keys().cloned().collect();
        for tp in held {
            self.note_given_up(&tp);
            self.drop_holding(&tp, true);
        }
        self.stayed.clear();
        if self.ended.is_some() {
            return Err(e);
        }
        self.shared.order(Order::Note(format!(
            "group '{}' removed this member because its heartbeat had stopped: joining again",
            self.options.group.escape_debug()
        )));
        self.heartbeat.stop();
        self.member = enter(&self.store, &self.options, self.ends.as_ref(), &self.began)?;
        self.heartbeat =
            HeartbeatThread::start(self.member.heartbeat(), self.options.session_timeout)?;
        self.joins = None;
        Ok(())
    }

    fn leave(mut self) -> Result<()> {
        self.take_deliveries();
        let commits = self.ended.is_some_and(|end| self.commits_at(end));
        let entries = if commits {
            self.entries(|_| true)
        } else {
            Vec::new()
        };
        self.heartbeat.stop();
        self.member.leave(entries)
    }

    /// Reports what ended the membership, and waits for the caller to end as well.
    fn fail(mut self, e: Error) -> Result<()> {
        if self.ended.is_some() {
            return Err(e);
        }
        self.shared.order(Order::Failed(e));
        loop {
            // A caller that waits for a commit, or begins to, gets the error from the order.
            let commits = self.shared.take_commits();
            self.shared.answer(commits, &Err(removed()));
            self.listen();
            if self.ended.is_some() {
                break;
            }
            self.watching.wait(TOPICS_POLL)?;
        }
        // The reason was already reported. If leaving fails too, the others find this member dead.
        let _ = self.leave();
        Ok(())
    }
}

/// Joins the group; topics by name must exist.
fn enter(
    store: &Arc<StoreDir>,
    options: &GroupOptions,
    ends: Option<&Ends>,
    began: &Began,
) -> Result<Membership> {
    let entered = ends.filter(|_| options.to_end && options.range.to.is_none());
    let join = JoinOptions {
        subscription: options.subscription.clone(),
        assignor: options.assignor,
        instance_id: options.instance_id.clone(),
        session_timeout: options.session_timeout,
        ends: entered.map(|ends| ends.offsets.clone()),
        began_with: Some(began.topics()),
        lock_timeout: options.lock_timeout,
    };
    if options.subscription.is_of_names() {
        let there = topic_file::list(store)?;
        for name in &options.subscription.topics {
            let name = TopicName::new(name.as_str())?;
            if !there.contains(&name) {
                return Err(topic_file::unknown(store, &name));
            }
        }
    }
    for _ in 1..JOINS {
        match Membership::join(store, &options.group, &join) {
            // This process stood still during the join, and the group's lock was taken over: the
            // join did not happen. To the others, what remains of it looks like a dead member.
            Err(e) if e.kind() == Kind::Fenced => {}
            done => return done,
        }
    }
    Membership::join(store, &options.group, &join)
}

fn removed() -> Error {
    Error::new(
        Kind::Fenced,
        "UNKNOWN_MEMBER_ID: the group no longer has this member",
    )
}

/// When a process dies, its file is closed some time before its lock is free: the lock is probed at
/// these times after the close.
pub(crate) const PROBES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(6),
    Duration::from_millis(15),
    Duration::from_millis(40),
    Duration::from_millis(100),
];
