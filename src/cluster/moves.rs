//! Planned moves of leadership: nothing is lost by them, not even what only the leader has.
//!
//! 1. The target has first to reach what the leader has now, so that the seal is short.
//! 2. The leader's log is sealed, and the target reaches its end.
//! 3. In one hold of the store's lock: if the topic file still names the sealed leader and epoch,
//!    and the target's acknowledged end, in that epoch and replica, is the sealed end, the topic
//!    file names the target, with the next epoch.
//! 4. A seal of a move that came to nothing is undone by a new epoch of the same leader: by the
//!    mover, or, where that died, by whoever meets it for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::liveness::Liveness;
use crate::error::{Error, Kind, Result};
use crate::store::fenced_lock::{FencedGuard, FencedLock};
use crate::store::topics::{self, PartitionMeta, TopicMeta};
use crate::store::{Replica, Sealed, StoreDir, TopicConfigs, raise_epoch};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicName, TopicPartition, Uuid};

/// One move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub tp: TopicPartition,
    /// Its topic's id.
    pub topic_id: Uuid,
    /// Who leads it.
    pub from: BrokerId,
    /// In which epoch.
    pub epoch: LeaderEpoch,
    /// Who is to lead it: in sync.
    pub to: BrokerId,
    /// Who leaves the in-sync set by the same change.
    pub drop_from_isr: Vec<BrokerId>,
}

/// Whether whoever moves still may: asked in the hold of the store's lock in which topic files are
/// replaced.
pub type Authority<'a> = &'a (dyn Fn(&FencedGuard) -> Result<bool> + Sync);

/// Carries out planned moves.
pub trait Mover: Send + Sync {
    /// Moves all of them, together, and waits for it: one outcome each, in order. What was not
    /// moved within `deadline` has failed.
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[Move],
        authority: Authority<'_>,
        deadline: Duration,
    ) -> Vec<Result<()>>;
}

/// The mover of a controller.
#[derive(Debug, Clone, Copy)]
pub struct Planned;

impl Mover for Planned {
    fn move_leaders(
        &self,
        store: &Arc<StoreDir>,
        moves: &[Move],
        authority: Authority<'_>,
        deadline: Duration,
    ) -> Vec<Result<()>> {
        move_leaders(store, moves, authority, deadline)
    }
}

/// How long the leader's append lock, and the store's lock, are waited for.
const PATIENCE: Duration = Duration::from_millis(500);
const STORE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the targets.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);

/// A move under way.
struct Under<'m> {
    wanted: &'m Move,
    every_message: bool,
    from_uuid: Uuid,
    to_uuid: Uuid,
    target: Replica,
    leader: Replica,
    /// What the target must reach before the seal.
    first_goal: Offset,
    sealed: Option<Sealed>,
}

impl Under<'_> {
    fn target_reached(&self, store: &StoreDir, goal: Offset) -> Result<bool> {
        let page = self.target.read_page()?;
        if page.is_some_and(|page| page.offline.is_some()) {
            return Err(late(self.wanted).cure("its replica is offline"));
        }
        Ok(page.is_some_and(|page| {
            page.counts(store.boot_id(), self.to_uuid, self.wanted.epoch)
                && page.acked(self.every_message) >= goal
        }))
    }
}

/// Moves leaderships, each for itself; waits for the targets up to `patience`. `authority` is asked
/// in the hold that writes the topic files.
pub fn move_leaders(
    store: &Arc<StoreDir>,
    moves: &[Move],
    authority: Authority<'_>,
    patience: Duration,
) -> Vec<Result<()>> {
    let mut topics: BTreeMap<&TopicName, Result<(Arc<TopicMeta>, TopicConfigs)>> = BTreeMap::new();
    let mut under: Vec<Result<Under<'_>>> = moves
        .iter()
        .map(|wanted| {
            let read = topics
                .entry(&wanted.tp.topic)
                .or_insert_with(|| read_topic(store, &wanted.tp.topic));
            match read {
                Ok((meta, configs)) => begin(store, wanted, meta, configs),
                Err(e) => Err(Error::new(e.kind(), e.to_string())),
            }
        })
        .collect();
    let deadline = store.clock().monotonic() + patience;
    wait(store, &mut under, deadline, |one| one.first_goal);
    for slot in &mut under {
        if let Ok(one) = slot {
            let leader = (one.wanted.from, one.from_uuid);
            match Sealed::seal(store, &one.wanted.tp, leader, one.wanted.epoch, PATIENCE) {
                Ok(sealed) => one.sealed = Some(sealed),
                Err(e) => *slot = Err(e),
            }
        }
    }
    let sealed: BTreeSet<TopicPartition> = under
        .iter()
        .flatten()
        .map(|one| one.wanted.tp.clone())
        .collect();
    wait(store, &mut under, deadline, |one| {
        one.sealed.as_ref().map_or(Offset::MAX, Sealed::end)
    });
    write(store, &mut under, authority);
    let outcomes: Vec<Result<()>> = under.into_iter().map(|one| one.map(drop)).collect();
    for (outcome, wanted) in outcomes.iter().zip(moves) {
        if outcome.is_err() && sealed.contains(&wanted.tp) {
            // Whoever meets the seal undoes it as well.
            let _ = raise_epoch(store, &wanted.tp, wanted.epoch, STORE_PATIENCE);
        }
    }
    outcomes
}

fn read_topic(store: &StoreDir, name: &TopicName) -> Result<(Arc<TopicMeta>, TopicConfigs)> {
    let (meta, _) = topics::read(store, name)?;
    let configs = meta.configs()?;
    Ok((meta, configs))
}

fn begin<'m>(
    store: &Arc<StoreDir>,
    wanted: &'m Move,
    meta: &TopicMeta,
    configs: &TopicConfigs,
) -> Result<Under<'m>> {
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
    let end = leader.read_page()?.map_or(0, |page| page.tail.end);
    Ok(Under {
        wanted,
        every_message: configs.every_message(),
        from_uuid,
        to_uuid,
        target: Replica::open(store, &wanted.tp, wanted.to)?,
        leader,
        first_goal: end,
        sealed: None,
    })
}

/// Whether the topic file still says what the move goes by.
fn still_is(meta: &TopicMeta, partition: &PartitionMeta, wanted: &Move) -> bool {
    meta.topic_id == wanted.topic_id
        && partition.leader == wanted.from
        && partition.leader_epoch == wanted.epoch
        && wanted.from != wanted.to
        && partition.is_in_sync(wanted.to)
}

/// Waits until each target has reached its goal; those that do not in time have failed.
fn wait(
    store: &StoreDir,
    under: &mut [Result<Under<'_>>],
    deadline: Duration,
    goal: impl Fn(&Under<'_>) -> Offset,
) {
    let mut open: Vec<_> = under.iter_mut().filter(|one| one.is_ok()).collect();
    loop {
        let late_now = store.clock().monotonic() >= deadline;
        open.retain_mut(|slot| {
            let Ok(one) = &**slot else { return false };
            match one.target_reached(store, goal(one)) {
                Ok(true) => false,
                Ok(false) if late_now => {
                    **slot = Err(late(one.wanted));
                    false
                }
                Ok(false) => true,
                Err(e) => {
                    **slot = Err(e);
                    false
                }
            }
        });
        if open.is_empty() {
            return;
        }
        store.clock().sleep(LOOK_INTERVAL);
    }
}

/// Writes the topic files, in one hold.
fn write(store: &Arc<StoreDir>, under: &mut [Result<Under<'_>>], authority: Authority<'_>) {
    let mut by_topic: BTreeMap<TopicName, Vec<usize>> = BTreeMap::new();
    for (at, slot) in under.iter().enumerate() {
        if let Ok(one) = slot {
            let topic = one.wanted.tp.topic.clone();
            by_topic.entry(topic).or_default().push(at);
        }
    }
    if by_topic.is_empty() {
        return;
    }
    let names: Vec<TopicName> = by_topic.keys().cloned().collect();
    let written =
        FencedLock::acquire_store(store, "move leaders", STORE_PATIENCE).and_then(|guard| {
            if !authority(&guard)? {
                return Err(Error::new(Kind::Fenced, "another controller is at work"));
            }
            topics::update_all(store, &guard, &names, |meta| {
                let mut changed = false;
                for at in by_topic.get(&meta.name).into_iter().flatten() {
                    let Some(slot) = under.get_mut(*at) else {
                        continue;
                    };
                    let Ok(one) = slot else { continue };
                    match apply(store, meta, one) {
                        Ok(true) => changed = true,
                        Ok(false) => *slot = Err(moved_on(one.wanted)),
                        Err(e) => *slot = Err(e),
                    }
                }
                Ok(changed)
            })
        });
    if let Err(e) = written {
        for slot in under.iter_mut().filter(|slot| slot.is_ok()) {
            *slot = Err(Error::new(e.kind(), e.to_string()));
        }
    }
}

fn apply(store: &StoreDir, meta: &mut TopicMeta, one: &Under<'_>) -> Result<bool> {
    let wanted = one.wanted;
    let (id, at) = (meta.topic_id, usize::try_from(wanted.tp.partition));
    let current = at.ok().and_then(|at| meta.partitions.get(at));
    if id != wanted.topic_id || !current.is_some_and(|now| still_is(meta, now, wanted)) {
        return Ok(false);
    }
    let Some(sealed) = &one.sealed else {
        return Ok(false);
    };
    let named = current.and_then(|partition| partition.uuid_of(wanted.to)) == Some(one.to_uuid);
    let stands = named
        && sealed.holds()?
        && one.leader.in_place()?
        && one.target.in_place()?
        && one.target_reached(store, sealed.end())?;
    let partition = usize::try_from(wanted.tp.partition)
        .ok()
        .and_then(|at| meta.partitions.get_mut(at));
    let Some(partition) = partition.filter(|_| stands) else {
        return Ok(false);
    };
    partition.leader = wanted.to;
    partition.leader_epoch += 1;
    let stays = |broker: &BrokerId| *broker == wanted.to || !wanted.drop_from_isr.contains(broker);
    partition.isr.retain(stays);
    Ok(true)
}

fn moved_on(wanted: &Move) -> Error {
    Error::new(
        Kind::Fenced,
        format!("the leadership of {} moved on meanwhile", wanted.tp),
    )
    .cure("look at it again with 'mq-topics describe'")
}

fn late(wanted: &Move) -> Error {
    Error::new(
        Kind::Busy,
        format!(
            "broker {} did not reach the end of {} in time to lead it",
            wanted.to, wanted.tp
        ),
    )
    .cure("'mq-topics describe' shows how far it is; see that its daemon runs")
}

/// The moves that leave a broker with nothing to lead, where others that live are in sync.
///
/// # Errors
/// [`Kind::Io`] if the topics cannot be listed.
pub fn moves_away(store: &Arc<StoreDir>, broker: BrokerId) -> Result<Vec<Move>> {
    let liveness = Liveness::new(store);
    let mut moves = Vec::new();
    for name in topics::list(store)? {
        // Of one that cannot be read others tell.
        let Ok(Some((meta, _))) = topics::read_if_there(store, &name) else {
            continue;
        };
        for partition in meta.partitions.iter().filter(|p| p.leader == broker) {
            let others = partition.replicas.iter().map(|replica| replica.broker);
            let to = others
                .filter(|id| *id != broker && partition.is_in_sync(*id))
                .find(|id| liveness.is_alive(*id));
            if let Some(to) = to {
                moves.push(Move {
                    tp: TopicPartition::new(name.clone(), partition.partition),
                    topic_id: meta.topic_id,
                    from: broker,
                    epoch: partition.leader_epoch,
                    to,
                    drop_from_isr: Vec::new(),
                });
            }
        }
    }
    Ok(moves)
}
