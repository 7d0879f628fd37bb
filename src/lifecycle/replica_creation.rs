//! Makes new replica directories: each is made under another name beside its place, and renamed
//! into place. Its state page names its maker, which counts as alive until the topic file names the
//! replica (`lifecycle::maker_lock`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock::MakerLock;
use super::occupied_place::clear_occupied;
use super::planned_replica::PlannedReplica;
use super::removal::move_aside;
use super::strays::named;
use super::unpublished_replica::UnpublishedReplica;
use crate::clock::Moment;
use crate::disk::{Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{FileKind, LeaderEpochs, PartitionMetadata, SegmentFile};
use crate::partition::{ClockNote, PAGE_FILE, Role, SYNC_FILE, StatePage, remove_dir};
use crate::store::{self, LogDir, PartitionMeta, ReplicaMeta, StoreDir};
use crate::timing::PROBE_WITHIN;
use crate::types::{BrokerId, PartitionId, TopicName, TopicPartition, Uuid};

/// How often replicas are made again because a log directory moved meanwhile.
pub(crate) const MOVES_MAX: usize = 16;

pub(crate) fn keeps_moving() -> Error {
    Error::new(Kind::Busy, "the log directory of a broker keeps moving").cure("try again")
}

/// The log directories that replicas are made in, open, by broker.
#[derive(Debug)]
pub(crate) struct LogDirs(BTreeMap<BrokerId, LogDir>);

impl LogDirs {
    /// Opens those of some brokers.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] for an unknown broker; those of [`LogDir::open`].
    pub(crate) fn open(
        store: &StoreDir,
        brokers: impl IntoIterator<Item = BrokerId>,
    ) -> Result<Self> {
        let mut dirs = BTreeMap::new();
        for broker in brokers {
            if let Entry::Vacant(place) = dirs.entry(broker) {
                place.insert(LogDir::open(store, broker).map_err(|e| unknown(broker, e))?);
            }
        }
        Ok(LogDirs(dirs))
    }

    fn of(&self, broker: BrokerId) -> Result<&LogDir> {
        let text = || format!("the log directory of broker {broker} is not open");
        let found = self.0.get(&broker);
        found.ok_or_else(|| Error::new(Kind::BrokerState, text()))
    }

    /// Makes the names in them durable.
    pub(crate) fn sync(&self) -> Result<()> {
        for logs in self.0.values() {
            let dir = logs.dir();
            dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        }
        Ok(())
    }

    /// Whether the registrations still name all of them. Certain for as long as the store's fenced
    /// lock is held.
    pub(crate) fn are_current(&self, store: &StoreDir) -> Result<bool> {
        for logs in self.0.values() {
            if !logs.is_current(store)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A broker without a directory is unknown.
fn unknown(broker: BrokerId, e: Error) -> Error {
    if e.kind() == Kind::BrokerState && crate::store::is_missing(&e) {
        unknown_broker(broker)
    } else {
        e
    }
}

/// INVALID_REPLICA_ASSIGNMENT: an unknown broker.
pub fn unknown_broker(broker: BrokerId) -> Error {
    let text = format!("INVALID_REPLICA_ASSIGNMENT: there is no broker {broker} in this store");
    Error::new(Kind::BrokerState, text)
        .cure(format!("start it once: mq-broker start --id {broker}"))
}

/// Makes an empty replica directory beside its place; returns its name there.
pub(crate) fn make_beside(
    store: &StoreDir,
    log_dir: &LogDir,
    maker: &Arc<MakerLock>,
    plan: &PlannedReplica,
) -> Result<(String, UnpublishedReplica)> {
    let aside = store::aside_dir(&plan.tp, &Uuid::random()?);
    let made = fill_replica(store, log_dir, maker, &aside, plan).inspect_err(|_| {
        remove_dir(&**log_dir.dir(), &aside);
    })?;
    Ok((aside, made))
}

/// Whether all of them are in place, with their maker's file visible: then a topic file may name
/// them, in the same critical section of the store's lock.
pub(crate) fn are_in_place<'m>(
    made: impl IntoIterator<Item = &'m UnpublishedReplica>,
) -> Result<bool> {
    let mut seen = false;
    for replica in made {
        seen = seen || replica.maker.is_seen()?;
        if !seen || !replica.is_in_place()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The replicas that an assignment asks for, from partition `first` on.
pub(crate) fn plans(
    topic: &TopicName,
    topic_id: Uuid,
    first: PartitionId,
    assignment: &[Vec<BrokerId>],
) -> Vec<PlannedReplica> {
    let plan = |partition, at, broker| PlannedReplica {
        tp: TopicPartition::new(topic.clone(), partition),
        topic_id,
        broker,
        role: if at == 0 {
            Role::Leader
        } else {
            Role::Follower
        },
    };
    (first..)
        .zip(assignment)
        .flat_map(|(partition, brokers)| {
            (brokers.iter().enumerate()).map(move |(at, broker)| plan(partition, at, *broker))
        })
        .collect()
}

/// Makes replicas, all or none, in ascending order: by topic, partition and broker.
pub(crate) fn make_replicas(
    store: &Arc<StoreDir>,
    logs: &LogDirs,
    mut plans: Vec<PlannedReplica>,
    timeout: Duration,
) -> Result<Vec<UnpublishedReplica>> {
    plans.sort_by(|a, b| (&a.tp, a.broker).cmp(&(&b.tp, b.broker)));
    let maker = Arc::new(MakerLock::begin(store)?);
    let mut made = Vec::with_capacity(plans.len());
    for plan in &plans {
        let one = store
            .go_on()
            .and_then(|()| logs.of(plan.broker))
            .and_then(|logs| make_in(store, logs, &maker, plan, timeout));
        match one {
            Ok(replica) => made.push(replica),
            Err(e) => {
                discard(store, made);
                return Err(e);
            }
        }
    }
    Ok(made)
}

/// The partitions of an assignment, from `first` on, once their replicas are made.
pub(crate) fn partition_metas(
    made: &[UnpublishedReplica],
    first: PartitionId,
    assignment: &[Vec<BrokerId>],
) -> Vec<PartitionMeta> {
    let made: BTreeMap<(PartitionId, BrokerId), ReplicaMeta> = made
        .iter()
        .map(|made| ((made.tp.partition, made.meta.broker), made.meta))
        .collect();
    let replica = |partition, broker: &BrokerId| made.get(&(partition, *broker)).copied();
    (first..)
        .zip(assignment)
        .filter_map(|(partition, brokers)| {
            Some(PartitionMeta {
                partition,
                leader: *brokers.first()?,
                leader_epoch: 0,
                replicas: brokers
                    .iter()
                    .map(|broker| replica(partition, broker))
                    .collect::<Option<_>>()?,
                isr: brokers.clone(),
                reassignment: None,
            })
        })
        .collect()
}

/// Makes an empty replica directory of an existing partition: a follower's, in place, and no orphan
/// until it is settled or discarded. A caller that makes many does so in ascending order, and puts
/// the topic file in place only while the broker's log directory is still the registered one.
///
/// # Errors
/// [`Kind::BrokerState`] for an unknown broker; [`Kind::TopicExists`] if the topic is another by
/// now, or the broker holds a replica already; [`Kind::Busy`].
pub fn make_replica(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    topic_id: Uuid,
    timeout: Duration,
) -> Result<UnpublishedReplica> {
    let plan = PlannedReplica {
        tp: tp.clone(),
        topic_id,
        broker,
        role: Role::Follower,
    };
    let maker = Arc::new(MakerLock::begin(store)?);
    make_in(store, &LogDir::open(store, broker)?, &maker, &plan, timeout)
}

fn make_in(
    store: &Arc<StoreDir>,
    log_dir: &LogDir,
    maker: &Arc<MakerLock>,
    plan: &PlannedReplica,
    timeout: Duration,
) -> Result<UnpublishedReplica> {
    let tp = &plan.tp;
    let logs = log_dir.dir();
    let (aside, made) = make_beside(store, log_dir, maker, plan)?;
    let name = store::replica_dir(tp);
    let started = store.clock().monotonic();
    loop {
        match logs.rename_new(&aside, &name) {
            Ok(()) => return Ok(made),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => {
                remove_dir(&**logs, &aside);
                return Err(Error::io("put in place", join(&**logs, &name), e));
            }
        }
        // The place is occupied: by a directory that is being made, or by an orphan.
        let cleared = store::gather_proofs(store, timeout)
            .and_then(|()| clear_occupied(store, logs, plan, timeout));
        let late = store.clock().monotonic() - started >= timeout;
        if let Err(e) = cleared {
            remove_dir(&**logs, &aside);
            return Err(e);
        }
        if late {
            remove_dir(&**logs, &aside);
            return Err(Error::new(
                Kind::Busy,
                format!("the directory of {tp} keeps being recreated"),
            )
            .cure("other processes keep changing it: try again"));
        }
    }
}

fn fill_replica(
    store: &StoreDir,
    log_dir: &LogDir,
    maker: &Arc<MakerLock>,
    aside: &str,
    plan: &PlannedReplica,
) -> Result<UnpublishedReplica> {
    let logs = &**log_dir.dir();
    let error = |op| move |e| Error::io(op, join(logs, aside), e);
    logs.create_dir(aside).map_err(error("make"))?;
    let dir = logs.open_dir(aside).map_err(error("open"))?;
    let meta = ReplicaMeta {
        broker: log_dir.broker(),
        uuid: Uuid::random()?,
    };
    let mut epochs = LeaderEpochs::default();
    epochs.begin(0, 0);
    let ids = PartitionMetadata {
        topic_id: plan.topic_id,
        replica_uuid: Some(meta.uuid),
    };
    for (name, text) in [
        (PartitionMetadata::FILE, ids.to_text()),
        (LeaderEpochs::FILE, epochs.to_text()),
        (&SegmentFile::new(0, FileKind::Log).name(), String::new()),
        (&SegmentFile::new(0, FileKind::Index).name(), String::new()),
        (
            &SegmentFile::new(0, FileKind::TimeIndex).name(),
            String::new(),
        ),
        (SYNC_FILE, String::new()),
    ] {
        let file = dir
            .open(name, Open::CreateNew)
            .map_err(error("make a file in"))?;
        if !text.is_empty() {
            file.write_at(text.as_bytes(), 0)
                .map_err(error("write a file in"))?;
            file.sync_data().map_err(error("sync a file in"))?;
        }
    }
    let page_file = dir
        .open(PAGE_FILE, Open::CreateNew)
        .map_err(error("make the state page of"))?;
    // No lock: no other process writes to a state page that is not sound yet.
    let mut page = StatePage::new(store.boot_id(), plan.topic_id, meta.uuid, 0);
    page.role = plan.role;
    page.clock = ClockNote::created(Moment::now(&**store.clock()));
    page.maker = Some(maker.id());
    page.write_first(&*page_file)
        .map_err(error("write the state page of"))?;
    page_file
        .sync_data()
        .map_err(error("sync the state page of"))?;
    dir.sync().map_err(error("sync"))?;
    Ok(UnpublishedReplica {
        tp: plan.tp.clone(),
        logs: Arc::clone(log_dir.dir()),
        name: aside.to_owned(),
        page,
        meta,
        identity: logs.identity(aside).map_err(error("look at"))?,
        maker: Arc::clone(maker),
    })
}

/// Releases replica directories, once a topic file of that version names them: their names are
/// synced.
///
/// # Errors
/// [`Kind::Io`].
pub fn settle(store: &StoreDir, made: Vec<UnpublishedReplica>, version: u64) -> Result<()> {
    made.into_iter()
        .try_for_each(|replica| replica.settle(store, version))
}

/// Removes replica directories that no topic file will name.
pub fn discard(store: &StoreDir, made: Vec<UnpublishedReplica>) {
    for replica in made {
        // The topic file may be in place although its sync failed: then it needs the directory.
        if named(store, &replica.tp, replica.meta.uuid).unwrap_or(true) {
            continue;
        }
        // A directory that cannot be removed is an orphan that the next creator moves aside.
        let name = store::replica_dir(&replica.tp);
        if let Ok(Some(_locked)) = replica.lock_page(&**store.clock(), &name, PROBE_WITHIN)
            && replica.is_in_place().unwrap_or(false)
        {
            let _ = move_aside(&*replica.logs, &replica.tp);
        }
    }
}
