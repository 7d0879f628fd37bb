//! Leadership transfers: they lose no records, not even those that only the leader has.
//!
//! 1. The target first has to come within milliseconds of the leader's end, so that the seal is
//!    short. The transfer waits for that as long as the smallest gap so far shrinks: a target that
//!    copies only as fast as producers write never comes nearer.
//! 2. The leader's log is sealed, and the target reaches its end.
//! 3. In one metadata update: if the topic file still names the sealed leader and epoch, and the
//!    target's acknowledged end, in that epoch and replica, is the sealed end, the topic file names
//!    the target, with the next epoch.
//! 4. The seal of a failed transfer is undone by a new epoch of the same leader. The process that
//!    transfers does this; if it died, any process that finds the seal in place for too long does.
//!    Before the first seal, room for the topic files is reserved on the store's disk; if they
//!    cannot be written even so, the process that transfers lifts the seal on the state page.
//! 5. Transfers that began together are written together, but none waits for one that takes long,
//!    nor for the recovery of another's log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::approach::{Approach, Distance, Verdict};
use super::topic_file_reserve::TopicFileReserve;
use crate::error::{Error, Kind, Result};
use crate::partition::{
    Claim, InSync, PartitionWriter, Replica, Role, Sealed, StatePage, begin_epoch, raise_epochs,
};
use crate::store::topics::topic_file;
use crate::store::{FencedGuard, FencedLock, PartitionMeta, StoreDir, TopicConfigs, TopicMeta};
use crate::timing::TRANSFER_STALLED_AFTER;
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};

/// One leadership transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadershipTransfer {
    /// The partition.
    pub tp: TopicPartition,
    /// Its topic's id.
    pub topic_id: Uuid,
    /// The leader.
    pub from: BrokerId,
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// The target, an in-sync broker.
    pub to: BrokerId,
    /// The brokers that leave the ISR in the same change.
    pub drop_from_isr: Vec<BrokerId>,
}

/// Whether the caller is still allowed to transfer leaderships: checked in the critical section in
/// which topic files are replaced.
pub type Authority<'a> = &'a (dyn Fn(&FencedGuard) -> Result<bool> + Sync);

/// The conditions under which leaderships are transferred.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// Checked before topic files are replaced.
    pub authority: Authority<'a>,
    /// Whether the transfers are still called for: polled. Once it is false, the transfers under
    /// way fail.
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
    /// How long a target may make no progress towards its goal.
    pub stalled_after: Duration,
}

/// The progress of transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// Partitions that are not transferred yet.
    pub partitions: usize,
    /// Records that their targets lack.
    pub records: u64,
}

/// Receives the progress of transfers under way.
pub trait Witness {
    /// The transfer at that index of the list ended: called once for each.
    fn ended(&mut self, index: usize, outcome: Result<()>);
    /// The progress of the others. Called many times a second.
    fn progress(&mut self, _progress: TransferProgress) {}
}

/// One outcome each, in order.
impl Witness for Vec<Option<Result<()>>> {
    fn ended(&mut self, index: usize, outcome: Result<()>) {
        if let Some(slot) = self.get_mut(index) {
            *slot = Some(outcome);
        }
    }
}

/// Carries out leadership transfers.
pub trait Mover: Send + Sync {
    /// Makes all transfers and waits for them. The witness receives each end as it comes.
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[LeadershipTransfer],
        terms: Terms<'_>,
        witness: &mut dyn Witness,
    );
}

/// The controller's [`Mover`].
#[derive(Debug, Clone, Copy)]
pub struct Planned;

impl Mover for Planned {
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[LeadershipTransfer],
        terms: Terms<'_>,
        witness: &mut dyn Witness,
    ) {
        move_leaders(store, moves, terms, witness);
    }
}

/// The timeout for the leader's append lock, for its recovery and for the seal (which is retried),
/// and for the store's lock.
const TIMEOUT: Duration = Duration::from_millis(500);
const SEAL_TIMEOUT: Duration = Duration::from_millis(20);
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// Intervals between two polls of the targets: at first, and once it takes longer.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
const POLL_INTERVAL_LATER: Duration = Duration::from_millis(20);
/// How long a target that reached its goal waits for others, to be written with them.
const GATHERED: Duration = Duration::from_millis(20);

/// A transfer under way.
struct Under<'m> {
    index: usize,
    wanted: &'m LeadershipTransfer,
    every_message: bool,
    from_uuid: Uuid,
    to_uuid: Uuid,
    target: Replica,
    leader: Replica,
    approach: Approach,
    sealed: Option<Sealed>,
    /// When the target reached the sealed end.
    reached: Option<Duration>,
    /// How it ended.
    outcome: Option<Result<()>>,
}

impl Under<'_> {
    /// The target's distance to an end; `None` if its state page says nothing of this epoch yet.
    fn distance(&self, store: &StoreDir, end: Offset) -> Result<Option<Distance>> {
        let page = self.target.read_page()?;
        if page.is_some_and(|page| page.offline.is_some()) {
            return Err(late(self.wanted).cure("its replica is offline"));
        }
        let counts =
            |page: &StatePage| page.counts(store.boot_id(), self.to_uuid, self.wanted.epoch);
        // The next leader's log starts where the sealed one does.
        let sealed_start = self.sealed.as_ref().map_or(0, Sealed::log_start);
        let starts_there = |page: &StatePage| page.tail.log_start >= sealed_start;
        Ok(page
            .filter(counts)
            .filter(starts_there)
            .map(|page| Distance {
                acked: page.acked(self.every_message),
                end: page.tail.end,
                goal: end,
            }))
    }

    /// The leader's log end; `None` while its state page does not say.
    fn leaders_end(&self, store: &StoreDir) -> Result<Option<Offset>> {
        let Some(page) = self.leader.read_page()? else {
            return Ok(None);
        };
        if page.leads(store.boot_id(), self.from_uuid, self.wanted.epoch) {
            return Ok(Some(page.tail.end));
        }
        // Its recovery may be under way.
        let may_lead = page.replica_uuid == self.from_uuid
            && page.role == Role::Leader
            && page.leader_epoch <= self.wanted.epoch
            && page.offline.is_none();
        if may_lead {
            Ok(None)
        } else {
            Err(moved_on(self.wanted))
        }
    }

    /// Probes the target; seals the log once the target is near.
    fn step(
        &mut self,
        store: &Arc<StoreDir>,
        terms: Terms<'_>,
        room: &mut TopicFileReserve,
    ) -> Result<()> {
        if self.reached.is_some() {
            return Ok(());
        }
        if !(terms.goes_on)() {
            return Err(moved_on(self.wanted));
        }
        let end = match &self.sealed {
            Some(sealed) => Some(sealed.end()),
            None => self.leaders_end(store)?,
        };
        let distance = match end {
            Some(end) => self.distance(store, end)?,
            None => None,
        };
        let now = store.clock().monotonic();
        let stalled_after = match &self.sealed {
            // Producers wait.
            Some(_) => terms.stalled_after.min(TRANSFER_STALLED_AFTER),
            None => terms.stalled_after,
        };
        match self.approach.observe(distance, now, stalled_after) {
            Verdict::Far => Ok(()),
            Verdict::There if self.sealed.is_some() => {
                self.reached = Some(now);
                Ok(())
            }
            Verdict::There | Verdict::Near if self.sealed.is_none() => {
                room.take(store)?;
                self.seal(store, terms)
            }
            Verdict::There | Verdict::Near => Ok(()),
            Verdict::Stalled => Err(late(self.wanted)),
        }
    }

    fn seal(&mut self, store: &Arc<StoreDir>, terms: Terms<'_>) -> Result<()> {
        let (leader, uuid) = (self.wanted.from, self.from_uuid);
        let (tp, epoch) = (&self.wanted.tp, self.wanted.epoch);
        let now = store.clock().monotonic();
        match Sealed::seal(store, tp, leader, uuid, epoch, SEAL_TIMEOUT) {
            Ok(sealed) => {
                self.approach = Approach::begin(now);
                self.sealed = Some(sealed);
                Ok(())
            }
            // Another process appends, or recovers the log: retry at the next poll.
            Err(e) if e.kind() == Kind::Busy => {
                if self.approach.is_stalled(now, terms.stalled_after) {
                    return Err(e);
                }
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn is_at_goal(&self) -> bool {
        self.reached.is_some() && self.outcome.is_none()
    }
}

/// A transfer and its index in the list.
#[derive(Debug, Clone, Copy)]
struct IndexedTransfer<'m> {
    index: usize,
    transfer: &'m LeadershipTransfer,
}

/// Transfers leaderships, each on its own, and reports each end as it comes. If a leader's log
/// needs recovery first, which may take long, a thread of its own recovers it meanwhile.
pub fn move_leaders(
    store: &Arc<StoreDir>,
    moves: &[LeadershipTransfer],
    terms: Terms<'_>,
    witness: &mut dyn Witness,
) {
    let mut topics: Vec<(&TopicName, Result<(Arc<TopicMeta>, TopicConfigs)>)> = Vec::new();
    let mut under: Vec<Under<'_>> = Vec::new();
    let mut slow: Vec<IndexedTransfer<'_>> = Vec::new();
    for (index, wanted) in moves.iter().enumerate() {
        let listed = IndexedTransfer {
            index,
            transfer: wanted,
        };
        let name = &wanted.tp.topic;
        if topics.last().is_none_or(|(last, _)| *last != name) {
            topics.push((name, read_topic(store, name)));
        }
        let begun = match topics.last() {
            Some((_, Ok((meta, configs)))) => begin(store, listed, meta, configs),
            Some((_, Err(e))) => Err(e.copy()),
            None => continue,
        };
        match begun {
            Ok(Some(one)) => under.push(one),
            Ok(None) => slow.push(listed),
            Err(e) => witness.ended(index, Err(e)),
        }
    }
    let metas = topics.iter().filter_map(|(_, read)| read.as_ref().ok());
    let room = TopicFileReserve::new(metas.map(|(meta, _)| &**meta));
    if slow.is_empty() {
        return go_through(store, under, room, None, terms, witness);
    }
    let (notify, begun) = channel();
    let coming = Coming {
        indices: slow.iter().map(|one| one.index).collect(),
        begun,
    };
    let prepare = move || {
        for one in slow {
            // The receiver is gone once all have ended.
            let _ = notify.send((one.index, begin_in_order(store, one, terms)));
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("mq-ready".to_owned());
        match thread.spawn_scoped(scope, prepare.clone()) {
            Ok(_) => drop(prepare),
            // Without a thread, one after the other.
            Err(_) => prepare(),
        }
        go_through(store, under, room, Some(coming), terms, witness);
    });
}

/// Transfers that begin once their leaders' logs are recovered.
struct Coming<'m> {
    indices: BTreeSet<usize>,
    begun: Receiver<(usize, Result<Under<'m>>)>,
}

impl<'m> Coming<'m> {
    /// Takes those that have begun; waits for one if there is nothing else to do.
    fn take(&mut self, under: &mut Vec<Under<'m>>, witness: &mut dyn Witness) {
        while !self.indices.is_empty() {
            let next = match self.begun.try_recv() {
                Err(TryRecvError::Empty) if under.is_empty() => self.begun.recv().ok(),
                Err(TryRecvError::Empty) => return,
                next => next.ok(),
            };
            let Some((index, begun)) = next else {
                // The thread panicked; joining it will panic here, too.
                return self.indices.clear();
            };
            self.indices.remove(&index);
            match begun {
                Ok(one) => under.push(one),
                Err(e) => witness.ended(index, Err(e)),
            }
        }
    }
}

fn go_through<'m>(
    store: &Arc<StoreDir>,
    mut under: Vec<Under<'m>>,
    mut room: TopicFileReserve,
    mut coming: Option<Coming<'m>>,
    terms: Terms<'_>,
    witness: &mut dyn Witness,
) {
    let started = store.clock().monotonic();
    loop {
        if let Some(coming) = &mut coming {
            coming.take(&mut under, witness);
        }
        for one in &mut under {
            if let Err(e) = one.step(store, terms, &mut room) {
                one.outcome = Some(Err(e));
            }
        }
        write_those_at_goal(store, &mut under, &mut room, terms.authority);
        undo_seals(store, &under);
        for one in under.extract_if(.., |one| one.outcome.is_some()) {
            witness.ended(one.index, one.outcome.unwrap_or(Ok(())));
        }
        let waiting = coming.as_ref().map_or(0, |coming| coming.indices.len());
        if under.is_empty() && waiting == 0 {
            return;
        }
        let records = under.iter().map(|one| one.approach.records()).sum();
        witness.progress(TransferProgress {
            partitions: under.len() + waiting,
            records,
        });
        if under.is_empty() {
            continue;
        }
        let taken = store.clock().monotonic().saturating_sub(started);
        let pause = (taken / 50).clamp(POLL_INTERVAL, POLL_INTERVAL_LATER);
        store.clock().sleep(pause);
    }
}

fn read_topic(store: &StoreDir, name: &TopicName) -> Result<(Arc<TopicMeta>, TopicConfigs)> {
    let (meta, _) = topic_file::read(store, name)?;
    let configs = meta.configs()?;
    Ok((meta, configs))
}

/// Begins a transfer; `None` if the leader's log needs recovery.
fn begin<'m>(
    store: &Arc<StoreDir>,
    listed: IndexedTransfer<'m>,
    meta: &TopicMeta,
    configs: &TopicConfigs,
) -> Result<Option<Under<'m>>> {
    let IndexedTransfer {
        index,
        transfer: wanted,
    } = listed;
    let partition = usize::try_from(wanted.tp.partition)
        .ok()
        .and_then(|at| meta.partitions.get(at))
        .filter(|partition| still_is(meta, partition, wanted))
        .ok_or_else(|| moved_on(wanted))?;
    let uuids = (partition.uuid_of(wanted.from), partition.uuid_of(wanted.to));
    let (Some(from_uuid), Some(to_uuid)) = uuids else {
        return Err(moved_on(wanted));
    };
    let leader = Replica::open(store, &wanted.tp, wanted.from)?;
    let in_order = |page: StatePage| page.leads(store.boot_id(), from_uuid, wanted.epoch);
    if !leader.proven_page()?.is_some_and(in_order) {
        return Ok(None);
    }
    let target = Replica::open(store, &wanted.tp, wanted.to)?;
    if target.lacks_its_end()? {
        return Err(late(wanted).cure("files of its replica's log are gone or cut"));
    }
    Ok(Some(Under {
        index,
        wanted,
        every_message: configs.every_message(),
        from_uuid,
        to_uuid,
        target,
        leader,
        approach: Approach::begin(store.clock().monotonic()),
        sealed: None,
        reached: None,
        outcome: None,
    }))
}

/// Recovers the leader's log, before any log is sealed for the transfer, and begins the transfer.
fn begin_in_order<'m>(
    store: &Arc<StoreDir>,
    listed: IndexedTransfer<'m>,
    terms: Terms<'_>,
) -> Result<Under<'m>> {
    let wanted = listed.transfer;
    if !(terms.goes_on)() {
        return Err(moved_on(wanted));
    }
    PartitionWriter::open(store, &wanted.tp, TIMEOUT)?.make_ready()?;
    let (meta, configs) = read_topic(store, &wanted.tp.topic)?;
    begin(store, listed, &meta, &configs)?.ok_or_else(|| moved_on(wanted))
}

/// Whether the topic file still matches the transfer.
fn still_is(meta: &TopicMeta, partition: &PartitionMeta, wanted: &LeadershipTransfer) -> bool {
    meta.topic_id == wanted.topic_id
        && partition.leader == wanted.from
        && partition.leader_epoch == wanted.epoch
        && wanted.from != wanted.to
        && partition.is_in_sync(wanted.to)
}

/// Writes the topic files of all transfers whose targets reached their goals, in one metadata
/// update, once no other target is about to.
fn write_those_at_goal(
    store: &Arc<StoreDir>,
    under: &mut [Under<'_>],
    room: &mut TopicFileReserve,
    authority: Authority<'_>,
) {
    let now = store.clock().monotonic();
    let at_goal = || under.iter().filter(|one| one.is_at_goal());
    let waited = at_goal()
        .filter_map(|one| one.reached)
        .map(|since| now.saturating_sub(since))
        .max();
    let Some(waited) = waited else { return };
    let sealed = |one: &Under<'_>| one.sealed.is_some() && one.reached.is_none();
    let others_come = under.iter().any(|one| one.outcome.is_none() && sealed(one));
    if others_come && waited < GATHERED {
        return;
    }
    let mut by_topic: BTreeMap<TopicName, Vec<usize>> = BTreeMap::new();
    for (at, one) in under.iter().enumerate().filter(|(_, one)| one.is_at_goal()) {
        let topic = one.wanted.tp.topic.clone();
        by_topic.entry(topic).or_default().push(at);
    }
    let names: Vec<TopicName> = by_topic.keys().cloned().collect();
    let written =
        FencedLock::acquire_store(store, "transfer leaderships", STORE_TIMEOUT).and_then(|guard| {
            if !authority(&guard)? {
                return Err(Error::new(Kind::Fenced, "another controller is at work"));
            }
            room.give_back();
            let extents = InSync::new(store);
            topic_file::update_each(store, &guard, &names, |meta| {
                let mut changed = false;
                for at in by_topic.get(&meta.name).into_iter().flatten() {
                    if let Some(one) = under.get_mut(*at) {
                        let applied = apply(store, &extents, meta, one);
                        changed |= applied.is_ok();
                        one.outcome = Some(applied);
                    }
                }
                Ok(changed)
            })
        });
    // Transfers of a topic that is gone have no outcome yet.
    for one in under.iter_mut().filter(|one| one.reached.is_some()) {
        let failure = match &written {
            Ok(updated) => updated.failure(&one.wanted.tp.topic),
            Err(e) => Some(e),
        };
        match (failure, &one.outcome) {
            (Some(e), None | Some(Ok(()))) => one.outcome = Some(Err(e.copy())),
            (None, None) => one.outcome = Some(Err(moved_on(one.wanted))),
            _ => {}
        }
    }
}

fn apply(
    store: &StoreDir,
    extents: &InSync<'_>,
    meta: &mut TopicMeta,
    one: &Under<'_>,
) -> Result<()> {
    let wanted = one.wanted;
    let moved_on = || moved_on(wanted);
    let at = usize::try_from(wanted.tp.partition).map_err(|_| moved_on())?;
    let current = meta.partitions.get(at).ok_or_else(moved_on)?;
    let named = current.uuid_of(wanted.to) == Some(one.to_uuid);
    let sealed = one.sealed.as_ref().ok_or_else(moved_on)?;
    let reached = one.distance(store, sealed.end())?;
    let stands = named
        && still_is(meta, current, wanted)
        && sealed.holds()?
        && one.leader.in_place()?
        && one.target.in_place()?
        && reached.is_some_and(|distance| distance.is_none());
    let partition = meta.partitions.get_mut(at).filter(|_| stands);
    let partition = partition.ok_or_else(moved_on)?;
    begin_epoch(extents, &wanted.tp, partition, wanted.to, Claim::Clean)?;
    let stays = |broker: &BrokerId| *broker == wanted.to || !wanted.drop_from_isr.contains(broker);
    partition.isr.retain(stays);
    Ok(())
}

/// Undoes the seals of failed transfers, all in one metadata update.
fn undo_seals(store: &Arc<StoreDir>, under: &[Under<'_>]) {
    let failed = |one: &&Under<'_>| matches!(one.outcome, Some(Err(_))) && one.sealed.is_some();
    let failed = || under.iter().filter(failed);
    let sealed: Vec<_> = failed()
        .map(|one| (one.wanted.tp.clone(), one.wanted.epoch))
        .collect();
    if sealed.is_empty() {
        return;
    }
    // On failure, any process that finds the seal undoes it as well.
    if let Err(e) = raise_epochs(store, &sealed, STORE_TIMEOUT)
        && matches!(e.kind(), Kind::DiskFull | Kind::Io)
        && let Ok(_guard) = FencedLock::acquire_store(store, "undo seals", STORE_TIMEOUT)
    {
        // No topic file can be written, so no epoch can begin: producers must not wait for one.
        for one in failed() {
            if let Ok((meta, _)) = topic_file::read(store, &one.wanted.tp.topic)
                && let Some(partition) = meta.partition(one.wanted.tp.partition)
                && still_is(&meta, partition, one.wanted)
                && let Some(sealed) = &one.sealed
            {
                let _ = sealed.undo(TIMEOUT);
            }
        }
    }
}

fn moved_on(wanted: &LeadershipTransfer) -> Error {
    Error::new(
        Kind::Fenced,
        format!("the leadership of {} changed meanwhile", wanted.tp),
    )
    .cure("'mq-topics describe' shows it")
}

fn late(wanted: &LeadershipTransfer) -> Error {
    Error::new(
        Kind::Busy,
        format!(
            "broker {} made no progress towards the end of {}, which it should lead",
            wanted.to, wanted.tp
        ),
    )
    .cure("'mq-topics describe' shows how far it is; check that its daemon runs")
}

#[cfg(test)]
mod tests;
