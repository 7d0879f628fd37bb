//! Reports whether a store is healthy, and its troubles. Changes nothing and repairs nothing.
//!
//! 1. A store with no daemon and with single replicas only needs no daemon; nor does a single
//!    replica where other daemons run: its directory serves.
//! 2. A broker hangs if its heartbeat does not move for 2 s of this watcher's own watching. So the
//!    check of running brokers takes until each heartbeat moved once, half a second at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::controller::{
    AckedUpTo, ControllerFile, ProbeRequest, ReplicaSnapshot, SnapshotReader, WorkId, open_logs,
};
use crate::error::{Error, Kind, Result};
use crate::store::brokers::{claim, log_dir};
use crate::store::topics::topic_file;
use crate::store::{
    self, LivenessLock, PartitionMeta, Paths, Probe, StoreDir, TopicMeta, layout, not_shared,
};
use crate::timing::{BROKER_STOPPED_AFTER, BROKER_WATCH_BREAK};
use crate::types::{BrokerId, TopicPartition};

/// Partitions that a remedy names.
const NAMED_MAX: usize = 5;
/// The interval between two reads of heartbeats.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The kind of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No controller is alive.
    NoController,
    /// A broker with replicas of partitions that others share does not run.
    BrokerStopped,
    /// A broker hangs.
    BrokerHangs,
    /// A broker's log directory cannot be used.
    LogDirUnusable,
    /// A broker's disk is full.
    DiskFull,
    /// A broker has reached its limit of open files.
    OutOfDescriptors,
    /// A broker's registration cannot be read.
    BrokerUnreadable,
    /// A topic's file cannot be read.
    TopicUnreadable,
    /// The leader of a partition cannot be used.
    Offline,
    /// Fewer replicas are in sync than acks=all needs.
    UnderMinIsr,
    /// A replica is not in sync.
    UnderReplicated,
    /// A follower's replica directory, or its state page, is gone.
    ReplicaGone,
    /// The leader of a partition that other brokers could lead does not run.
    LeaderDead,
    /// Files of a store that belongs to a Unix group do not belong to the group.
    NotShared,
}

impl Trouble {
    /// Its name. Frozen.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::NoController => "no-controller",
            Trouble::BrokerStopped => "broker-stopped",
            Trouble::BrokerHangs => "broker-hangs",
            Trouble::LogDirUnusable => "broker-log-dir",
            Trouble::DiskFull => "broker-disk-full",
            Trouble::OutOfDescriptors => "broker-descriptors",
            Trouble::BrokerUnreadable => "broker-unreadable",
            Trouble::TopicUnreadable => "topic-unreadable",
            Trouble::Offline => "offline",
            Trouble::UnderMinIsr => "under-min-isr",
            Trouble::UnderReplicated => "under-replicated",
            Trouble::ReplicaGone => "replica-gone",
            Trouble::LeaderDead => "leader-dead",
            Trouble::NotShared => "not-shared",
        }
    }
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amiss {
    /// Its kind.
    pub trouble: Trouble,
    /// The broker, if it concerns one.
    pub broker: Option<BrokerId>,
    /// The partition, if it concerns one.
    pub partition: Option<TopicPartition>,
    /// Its description.
    pub text: String,
}

/// The result of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the store is not healthy; empty if it is.
    pub amiss: Vec<Amiss>,
    /// Partitions that another broker leads although the preferred leader could lead them now.
    pub not_preferred: Vec<TopicPartition>,
    /// Partitions whose preferred leader cannot lead yet.
    pub awaiting_preferred: Vec<TopicPartition>,
    /// Whether every running broker is drained: leaders stay where they are.
    pub all_drained: bool,
    /// Partitions that are being reassigned.
    pub reassigning: Vec<TopicPartition>,
}

/// Checks controller, brokers and partitions. [`Health::check_modes`] checks the modes of a store
/// that belongs to a Unix group separately: that takes a walk over the whole store.
///
/// # Errors
/// If brokers or topics cannot be listed.
pub fn health(store: &Arc<StoreDir>) -> Result<Health> {
    let mut health = Health::default();
    // First, since it takes time: its result is then as old as the rest.
    let hung = hung(store, &live(store)?)?;
    let mut metas = Vec::new();
    for name in topic_file::list(store)? {
        match topic_file::read_if_there(store, &name) {
            Ok(Some((meta, _))) => metas.push(meta),
            Ok(None) => {}
            Err(e) => health.add(Trouble::TopicUnreadable, None, None, notified(&e)),
        }
    }
    brokers(store, &metas, &hung, &mut health)?;
    let mut reader = SnapshotReader::new(store);
    let (mut willing, mut drained) = (BTreeSet::new(), BTreeSet::new());
    for id in live(store)?.into_keys() {
        // A registration that cannot be read is reported elsewhere.
        match store.broker_file(id) {
            Ok(file) if file.drained => drop(drained.insert(id)),
            Ok(_) => drop(willing.insert(id)),
            Err(_) => {}
        }
    }
    health.all_drained = willing.is_empty() && !drained.is_empty();
    let lives: BTreeSet<_> = willing.union(&drained).copied().collect();
    willing.retain(|id| !hung.contains(id));
    for meta in &metas {
        topic(meta, &mut reader, &willing, &lives, &mut health);
    }
    Ok(health)
}

impl Health {
    /// Adds what does not belong to the group, in a store that belongs to a Unix group.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn check_modes(&mut self, store: &StoreDir) -> Result<()> {
        let Some(group) = store.unix_group()? else {
            return Ok(());
        };
        let Paths { count, first } = not_shared(store, &group)?;
        if let Some(path) = first.first() {
            let others = match count {
                1 => " is".to_owned(),
                _ => format!(" and {} more are", count - 1),
            };
            let (path, name) = (path.display(), group.name);
            let text = format!(
                "{path}{others} not shared with the Unix group {name} of the store \
                 ('mq-broker init --group {name}', run by the owner or root, gives it to the group)"
            );
            self.add(Trouble::NotShared, None, None, text);
        }
        Ok(())
    }

    fn add(
        &mut self,
        trouble: Trouble,
        broker: Option<BrokerId>,
        partition: Option<&TopicPartition>,
        text: String,
    ) {
        self.amiss.push(Amiss {
            trouble,
            broker,
            partition: partition.cloned(),
            text,
        });
    }
}

/// What a daemon's lock shows: its incarnation and its heartbeat, once they are written.
type Heartbeats = Option<(u64, u64)>;

/// The running brokers.
fn live(store: &StoreDir) -> Result<BTreeMap<BrokerId, Heartbeats>> {
    let mut live = BTreeMap::new();
    for id in store.brokers()? {
        if let Some(heartbeats) = heartbeats(store, id)? {
            live.insert(id, heartbeats);
        }
    }
    Ok(live)
}

fn brokers(
    store: &Arc<StoreDir>,
    metas: &[Arc<TopicMeta>],
    hung: &BTreeSet<BrokerId>,
    health: &mut Health,
) -> Result<()> {
    let live = live(store)?;
    let hangs = |id| live.contains_key(&id) && hung.contains(&id);
    let partitions = || metas.iter().flat_map(|meta| &meta.partitions);
    let replicated = || partitions().filter(|p| p.replicas.len() > 1);
    if live.is_empty() && replicated().next().is_none() {
        return Ok(());
    }
    let controller = ControllerFile::read(store).ok().flatten().filter(|file| {
        let incarnation = live.get(&file.broker_id).copied().flatten();
        let runs = incarnation.is_some_and(|(incarnation, _)| incarnation == file.incarnation);
        file.pid.is_some() && runs && !hangs(file.broker_id)
    });
    let holds = |p: &PartitionMeta, id| p.uuid_of(id).is_some();
    let known = store.brokers()?;
    if controller.is_none() {
        let stopped = |id: &&BrokerId| !live.contains_key(*id);
        let of_use = |id: &&BrokerId| stopped(id) && replicated().any(|p| holds(p, **id));
        let starts = known.iter().find(of_use).or(known.iter().find(stopped));
        let cure = match starts {
            // A live broker takes the role as soon as the lock is free, or its holder hangs.
            _ if live.keys().any(|id| !hung.contains(id)) => {
                " (a running broker takes the role in a moment)".to_owned()
            }
            Some(id) => format!(" ('mq-broker start --id {id}')"),
            None => String::new(),
        };
        let text = format!("no controller runs: a leader that dies is not replaced{cure}");
        health.add(Trouble::NoController, None, None, text);
    }
    for id in known {
        let held = partitions().filter(|p| holds(p, id)).count();
        if hangs(id) {
            let text = format!("broker {id} hangs: its heartbeat has stopped");
            health.add(Trouble::BrokerHangs, Some(id), None, text);
        }
        if is_out_of_descriptors(store, id) {
            let text = format!(
                "broker {id} has reached its limit of open files: it retries what it could not \
                 open (raise the limit, 'ulimit -n', and start it again)"
            );
            health.add(Trouble::OutOfDescriptors, Some(id), None, text);
        }
        if held == 0 {
            continue;
        }
        if live.contains_key(&id) {
            match open_logs(store, id) {
                Ok((logs, true)) => {
                    let text = format!(
                        "the disk of broker {id} is full: it leads no partition for which \
                         another broker has room, and copies nothing (make room in {})",
                        logs.path().display()
                    );
                    health.add(Trouble::DiskFull, Some(id), None, text);
                }
                Ok(_) => {}
                Err(e) => {
                    let text = unusable(store, id, e, metas);
                    health.add(Trouble::LogDirUnusable, Some(id), None, text);
                }
            }
            continue;
        }
        if let Err(e) = store.broker_file(id) {
            health.add(Trouble::BrokerUnreadable, Some(id), None, notified(&e));
            continue;
        }
        let copies = replicated().filter(|p| holds(p, id)).count();
        if copies > 0 {
            health.add(
                Trouble::BrokerStopped,
                Some(id),
                None,
                stopped(store, id, held, metas),
            );
        }
    }
    Ok(())
}

/// Describes that a broker does not run, and what would keep it from starting.
fn stopped(store: &StoreDir, id: BrokerId, held: usize, metas: &[Arc<TopicMeta>]) -> String {
    let replicas = if held == 1 { "replica" } else { "replicas" };
    let text = format!("broker {id} does not run, and has {held} {replicas}");
    match claim::refuse_unusable(store, id) {
        Ok(()) => format!("{text} ('mq-broker start --id {id}')"),
        Err(e) => format!("{text}: {}", unusable(store, id, e, metas)),
    }
}

/// The partitions of which this broker alone is in sync.
fn partitions_alone(metas: &[Arc<TopicMeta>], id: BrokerId) -> Vec<TopicPartition> {
    let mut alone = Vec::new();
    for meta in metas {
        let ours = meta.partitions.iter().filter(|p| p.isr == [id]);
        alone.extend(ours.map(|p| TopicPartition::new(meta.name.clone(), p.partition)));
    }
    alone
}

/// Describes why a broker's log directory cannot be used. If it is gone, an empty one in its place
/// is filled from other replicas: that does not restore records that only this one has.
fn unusable(store: &StoreDir, id: BrokerId, e: Error, metas: &[Arc<TopicMeta>]) -> String {
    let gone = store.broker_file(id).ok().and_then(|file| {
        let path = log_dir::registered_path(store, &file);
        store::refuse_gone(store, id, &path).err()
    });
    let Some(gone) = gone else {
        return notified(&e);
    };
    let alone = partitions_alone(metas, id);
    if alone.is_empty() {
        return notified(&gone);
    }
    let names = TopicPartition::first_of(&alone, NAMED_MAX);
    notified(&gone.cure(format!(
        "bring it back: no other replica is in sync for {names}; without it, 'mq-broker elect \
         unclean T:P' makes another replica the leader, if there is one, and the records that it \
         lacks are lost"
    )))
}

/// What a broker's lock shows; `None` if no process holds it.
fn heartbeats(store: &StoreDir, id: BrokerId) -> Result<Option<Heartbeats>> {
    let dir = match store.broker_dir(id) {
        // Gone since it was listed.
        Err(e) if e.kind() == Kind::BrokerState => return Ok(None),
        dir => dir?,
    };
    Ok(
        match LivenessLock::probe(&**store.disk(), &*dir, layout::BROKER_LOCK)? {
            Probe::Free => None,
            Probe::Held { holder, .. } => Some(holder.map(|h| (h.incarnation, h.counter))),
        },
    )
}

fn is_out_of_descriptors(store: &StoreDir, id: BrokerId) -> bool {
    let observed = store
        .broker_dir(id)
        .and_then(|dir| LivenessLock::probe(&**store.disk(), &*dir, layout::BROKER_LOCK));
    matches!(observed, Ok(Probe::Held { holder: Some(holder), .. }) if holder.out_of_descriptors)
}

/// The running brokers whose heartbeat does not move.
fn hung(store: &StoreDir, live: &BTreeMap<BrokerId, Heartbeats>) -> Result<BTreeSet<BrokerId>> {
    let clock = store.clock();
    let mut still: BTreeMap<BrokerId, Heartbeats> = live.clone();
    let (mut since, mut observed) = (clock.monotonic(), clock.monotonic());
    loop {
        let mut beaten = Vec::new();
        for (id, before) in &still {
            if heartbeats(store, *id)? != Some(*before) {
                beaten.push(*id);
            }
        }
        for id in beaten {
            still.remove(&id);
        }
        let now = clock.monotonic();
        if now.saturating_sub(observed) > BROKER_WATCH_BREAK {
            // This watcher was suspended itself.
            since = now;
        }
        observed = now;
        if still.is_empty() || now.saturating_sub(since) >= BROKER_STOPPED_AFTER {
            return Ok(still.into_keys().collect());
        }
        clock.sleep(POLL_INTERVAL);
    }
}

fn topic(
    meta: &TopicMeta,
    reader: &mut SnapshotReader<'_>,
    willing: &BTreeSet<BrokerId>,
    lives: &BTreeSet<BrokerId>,
    health: &mut Health,
) {
    let configs = match meta.configs() {
        Ok(configs) => configs,
        Err(e) => {
            let text = notified(&e.at(&meta.name));
            return health.add(Trouble::TopicUnreadable, None, None, text);
        }
    };
    for p in &meta.partitions {
        let tp = &TopicPartition::new(meta.name.clone(), p.partition);
        if let Some(why) = of_no_use(p, tp, reader, AckedUpTo::of(&configs)) {
            let cure = if_alone(p, tp, &why);
            let text = format!("{tp} is offline: {}{cure}", why.text);
            health.add(Trouble::Offline, Some(p.leader), Some(tp), text);
        }
        let others = p.isr.iter().any(|id| *id != p.leader && lives.contains(id));
        if others && !lives.contains(&p.leader) {
            let text = format!(
                "{tp}: its leader, broker {}, does not run, and no other leads yet",
                p.leader
            );
            health.add(Trouble::LeaderDead, Some(p.leader), Some(tp), text);
        }
        let least = configs.min_insync_replicas;
        if p.isr.len() < least {
            let text = format!(
                "{tp} has {} in sync of the {least} that acks=all needs",
                p.isr.len()
            );
            health.add(Trouble::UnderMinIsr, None, Some(tp), text);
        }
        // Replicas that a reassignment adds are still catching up.
        let before = p.reassignment.as_ref().map(|r| r.before.as_slice());
        let due = |id: &BrokerId| before.is_none_or(|before| before.contains(id));
        let ids = p.replicas.iter().map(|r| r.broker);
        let missing: Vec<_> = ids
            .filter(|id| due(id) && !p.is_in_sync(*id))
            .map(|id| id.to_string())
            .collect();
        if !missing.is_empty() {
            let text = format!(
                "{tp} is under-replicated: not in sync: {}",
                missing.join(", ")
            );
            health.add(Trouble::UnderReplicated, None, Some(tp), text);
        }
        let holders = p.replicas.iter().map(|r| r.broker);
        for id in holders.filter(|id| *id != p.leader) {
            if reader.is_gone(tp, id) {
                let text = format!(
                    "{tp}: the directory or state page of its replica on broker {id} is gone; \
                     that broker's daemon recreates it"
                );
                health.add(Trouble::ReplicaGone, Some(id), Some(tp), text);
            }
        }
        let preferred = p.preferred_leader();
        if p.leader != preferred {
            let can_lead = p.is_in_sync(preferred) && willing.contains(&preferred);
            let all = if can_lead {
                &mut health.not_preferred
            } else {
                &mut health.awaiting_preferred
            };
            all.push(tp.clone());
        }
        if p.reassignment.is_some() {
            health.reassigning.push(tp.clone());
        }
    }
}

/// Why a leader's replica cannot be used.
struct Unfit {
    /// Its directory is gone.
    is_gone: bool,
    text: String,
}

/// What remains to do if the leader's directory is gone and no other replica may lead.
fn if_alone(p: &PartitionMeta, tp: &TopicPartition, why: &Unfit) -> String {
    if !why.is_gone || p.isr != [p.leader] {
        return String::new();
    }
    if p.replicas.len() > 1 {
        return format!(
            " (no other replica is in sync: bring it back; or 'mq-broker elect unclean {tp}' makes \
             another replica the leader, and the records that it lacks are lost)"
        );
    }
    let topic = &tp.topic;
    format!(
        " (it is the only replica: its records are lost unless it comes back from a backup; \
         without one, 'mq-topics delete {topic}' and create it again)"
    )
}

/// Why the leader's replica cannot be used, if it cannot.
fn of_no_use(
    p: &PartitionMeta,
    tp: &TopicPartition,
    reader: &mut SnapshotReader<'_>,
    acked: AckedUpTo,
) -> Option<Unfit> {
    let at = ProbeRequest {
        job: WorkId(0),
        tp: tp.clone(),
        leader: p.leader,
        brokers: vec![p.leader],
        probe: false,
    };
    let observed = reader.observe(&at, acked);
    let leader = p.leader;
    let observe = observed.replicas.first().map(|(_, observe)| observe);
    let is_gone = matches!(observe, Some(ReplicaSnapshot::Gone));
    let why = match observe {
        Some(ReplicaSnapshot::Page(page)) if Some(page.uuid) == p.uuid_of(leader) => return None,
        Some(ReplicaSnapshot::Page(_)) => "another directory stands in its place",
        Some(ReplicaSnapshot::Gone) => "its directory is gone",
        Some(ReplicaSnapshot::Offline | ReplicaSnapshot::BadDisk) => {
            "it failed, or is damaged; 'mq-topics verify' says why"
        }
        Some(ReplicaSnapshot::Unreadable) => {
            "its state page is damaged; the next read or write recovers it"
        }
        Some(ReplicaSnapshot::Failed) | None => match reader.trouble.take() {
            Some(e) => &notified(&e),
            None => "it cannot be examined",
        },
    };
    Some(Unfit {
        is_gone,
        text: format!("its leader, broker {leader}: {why}"),
    })
}

fn notified(e: &Error) -> String {
    match e.cure_text() {
        Some(cure) => format!("{e} ({cure})"),
        None => e.to_string(),
    }
}
