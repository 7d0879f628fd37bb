//! Replica directories in the making: each is made under a name aside, and renamed into place. Its page
//! names its maker, which counts as alive until the topic file names the replica (`store::maker`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::commit_note::SYNC_FILE;
use super::graveyard;
use super::inherited::Inherited;
use super::layout;
use super::leftover::clear_leftover;
use super::log_dir::LogDir;
use super::maker::Maker;
use super::open::StoreDir;
use super::page::{PAGE_FILE, Page, Role};
use super::removal::{move_aside, remove_dir};
use super::replica::{RETRY, replace_small};
use super::strays::named;
use super::topics::{PartitionMeta, ReplicaMeta};
use crate::clock::Clock;
use crate::disk::{Dir, File, Identity, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::storage::{FileKind, LeaderEpochs, PartitionMetadata, SegmentFile};
use crate::types::{BrokerId, PartitionId, TopicName, TopicPartition, Uuid};

/// How long a new page's lock may be in the hands of a probe.
const PROBED: Duration = Duration::from_secs(1);

/// How often replicas are made again because a log directory moved meanwhile.
pub(super) const MOVES_MAX: usize = 16;

pub(super) fn keeps_moving() -> Error {
    Error::new(Kind::Busy, "the log directory of a broker keeps moving").cure("try again")
}

/// The log directories that replicas are made in, open, by broker.
#[derive(Debug)]
pub(super) struct LogDirs(BTreeMap<BrokerId, LogDir>);

impl LogDirs {
    /// Opens those of some brokers.
    ///
    /// # Errors
    /// [`Kind::BrokerState`] for a broker that is not known; as [`LogDir::open`].
    pub(super) fn open(
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
    pub(super) fn sync(&self) -> Result<()> {
        for logs in self.0.values() {
            let dir = logs.dir();
            dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        }
        Ok(())
    }

    /// Whether the registrations still name all of them. Certain for as long as the store's fenced
    /// lock is held.
    pub(super) fn are_current(&self, store: &StoreDir) -> Result<bool> {
        for logs in self.0.values() {
            if !logs.is_current(store)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A broker without a directory is one that nobody knows.
fn unknown(broker: BrokerId, e: Error) -> Error {
    if e.kind() == Kind::BrokerState && super::json_file::is_missing(&e) {
        unknown_broker(broker)
    } else {
        e
    }
}

/// INVALID_REPLICA_ASSIGNMENT: a broker that nobody knows.
pub fn unknown_broker(broker: BrokerId) -> Error {
    let text = format!("INVALID_REPLICA_ASSIGNMENT: there is no broker {broker} in this store");
    Error::new(Kind::BrokerState, text)
        .cure(format!("start it once: mq-broker start --id {broker}"))
}

/// A replica directory that was made: in place, and nobody's leftover until it is settled or
/// discarded, or this is dropped. Nothing of it is kept open: thousands are made together.
#[derive(Debug)]
pub struct MadeReplica {
    tp: TopicPartition,
    logs: Arc<dyn Dir>,
    /// Its name in there, as of when it was filled.
    name: String,
    page: Page,
    meta: ReplicaMeta,
    /// The directory, to be told from others that come to its name.
    identity: Identity,
    /// Of this and of those that are made with it.
    maker: Arc<Maker>,
}

impl MadeReplica {
    /// Of which partition.
    pub fn tp(&self) -> &TopicPartition {
        &self.tp
    }

    /// What the topic file is to say of it.
    pub fn meta(&self) -> ReplicaMeta {
        self.meta
    }

    /// Whether it stands in its place, and is taken for one in the making. Whoever names it in a topic
    /// file asks this in the same hold of the store's lock: what is removed by hand meanwhile, nobody
    /// makes again.
    pub(super) fn is_in_place(&self) -> Result<bool> {
        let name = layout::replica_dir(&self.tp);
        match self.logs.identity(&name) {
            Ok(found) => Ok(found == self.identity),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", join(&*self.logs, &name), e)),
        }
    }

    fn open_dir(&self) -> Result<Arc<dyn Dir>> {
        let opened = self.logs.open_dir(&self.name);
        opened.map_err(|e| Error::io("open", join(&*self.logs, &self.name), e))
    }

    /// Removes the empty segment that it was made with: others come into the directory.
    pub(super) fn remove_first_segment(&self) -> Result<()> {
        let dir = self.open_dir()?;
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(0, kind).name();
            let removed = dir.remove(&name);
            removed.map_err(|e| Error::io("remove", join(&*dir, &name), e))?;
        }
        Ok(())
    }

    /// Its page in that directory, locked, and what it says. `None` if another has the lock, or the
    /// directory is another's by now.
    fn lock_page(
        &self,
        clock: &dyn Clock,
        dir: &str,
        patience: Duration,
    ) -> Result<Option<(Arc<dyn File>, Page)>> {
        let path = format!("{dir}/{PAGE_FILE}");
        let error =
            |op| move |e| Error::io(op, join(&*self.logs, &format!("{dir}/{PAGE_FILE}")), e);
        let file = match self.logs.open(&path, Open::Write) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error("open")(e)),
        };
        let started = clock.monotonic();
        while !file.try_lock(LockKind::Exclusive).map_err(error("lock"))? {
            if clock.monotonic().saturating_sub(started) >= patience {
                return Ok(None);
            }
            clock.sleep(RETRY);
        }
        let page = Page::read(&*file, clock).map_err(error("read"))?;
        let own = page.filter(|page| page.replica_uuid == self.meta.uuid);
        Ok(own.map(|page| (file, page)))
    }

    /// Makes it begin with segments that were moved into it. All is synced.
    pub(super) fn begin_with(&mut self, clock: &dyn Clock, inherited: &Inherited) -> Result<()> {
        let opened = self.open_dir()?;
        let (dir, tail) = (&*opened, inherited.tail);
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            let name = SegmentFile::new(tail.active, kind).name();
            let made = dir.open(&name, Open::CreateNew);
            made.map_err(|e| Error::io("make", join(dir, &name), e))?;
        }
        let epochs = inherited.epochs.to_text();
        replace_small(dir, LeaderEpochs::FILE, epochs.as_bytes())?;
        dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;
        self.page.tail = tail;
        self.page.durable = tail.place();
        self.page.high_watermark = tail.log_start;
        self.page.last_stable_offset = tail.log_start;
        let error = |op| move |e| Error::io(op, join(dir, PAGE_FILE), e);
        let Some((file, _)) = self.lock_page(clock, &self.name, PROBED)? else {
            let text = format!("{} was taken from its maker", dir.path().display());
            return Err(Error::new(Kind::Busy, text).cure("try again"));
        };
        self.page.write(&*file).map_err(error("write"))?;
        file.sync_data().map_err(error("sync"))
    }

    /// Lets the directory go, once a topic file of that version names it: its name is synced.
    pub(super) fn settle(&self, store: &StoreDir, version: u64) -> Result<()> {
        let name = layout::replica_dir(&self.tp);
        let clock = &**store.clock();
        // Where a writer has it by now, the writer syncs the names itself.
        let locked = self.lock_page(clock, &name, Duration::ZERO)?;
        let Some((file, mut page)) = locked else {
            if self.is_in_place()? || !named(store, &self.tp, self.meta.uuid)? {
                return Ok(());
            }
            let text = format!(
                "{} was removed while it was made",
                join(&*self.logs, &name).display()
            );
            return Err(Error::new(Kind::Io, text).cure(format!(
                "delete topic {} and create it again",
                self.tp.topic
            )));
        };
        page.synced_version = page.synced_version.max(version);
        page.maker = None;
        let written = page.write(&*file);
        let path = format!("{name}/{PAGE_FILE}");
        written.map_err(|e| Error::io("write", join(&*self.logs, &path), e))
    }
}

/// Makes an empty replica directory beside its place; its name there.
pub(super) fn make_beside(
    store: &StoreDir,
    log_dir: &LogDir,
    maker: &Arc<Maker>,
    plan: &Plan,
) -> Result<(String, MadeReplica)> {
    let aside = layout::aside_dir(&plan.tp, &Uuid::random()?);
    let made = fill_replica(store, log_dir, maker, (&aside, plan)).inspect_err(|_| {
        remove_dir(&**log_dir.dir(), &aside);
    })?;
    Ok((aside, made))
}

/// Whether all of them are in place, and their maker is seen: then a topic file may name them, in the
/// same hold of the store's lock.
pub(super) fn are_in_place<'m>(made: impl IntoIterator<Item = &'m MadeReplica>) -> Result<bool> {
    let mut seen = false;
    for replica in made {
        seen = seen || replica.maker.is_seen()?;
        if !seen || !replica.is_in_place()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A replica to be made.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    pub broker: BrokerId,
    pub role: Role,
}

/// What an assignment asks for, from partition `first` on.
pub(super) fn plans(
    topic: &TopicName,
    topic_id: Uuid,
    first: PartitionId,
    assignment: &[Vec<BrokerId>],
) -> Vec<Plan> {
    let plan = |partition, at, broker| Plan {
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
pub(super) fn make_replicas(
    store: &Arc<StoreDir>,
    logs: &LogDirs,
    mut plans: Vec<Plan>,
    patience: Duration,
) -> Result<Vec<MadeReplica>> {
    plans.sort_by(|a, b| (&a.tp, a.broker).cmp(&(&b.tp, b.broker)));
    let maker = Arc::new(Maker::begin(store)?);
    let mut made = Vec::with_capacity(plans.len());
    for plan in &plans {
        let one = store
            .go_on()
            .and_then(|()| logs.of(plan.broker))
            .and_then(|logs| make_in(store, logs, (&maker, plan), patience));
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
pub(super) fn partition_metas(
    made: &[MadeReplica],
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

/// Makes an empty replica directory of a partition that there is: a follower's, in place, and nobody's
/// leftover until it is settled or discarded. Whoever makes many goes in ascending order, and puts
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
    patience: Duration,
) -> Result<MadeReplica> {
    let plan = Plan {
        tp: tp.clone(),
        topic_id,
        broker,
        role: Role::Follower,
    };
    let maker = Arc::new(Maker::begin(store)?);
    make_in(
        store,
        &LogDir::open(store, broker)?,
        (&maker, &plan),
        patience,
    )
}

fn make_in(
    store: &Arc<StoreDir>,
    log_dir: &LogDir,
    (maker, plan): (&Arc<Maker>, &Plan),
    patience: Duration,
) -> Result<MadeReplica> {
    let tp = &plan.tp;
    let logs = log_dir.dir();
    let (aside, made) = make_beside(store, log_dir, maker, plan)?;
    let name = layout::replica_dir(tp);
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
        // Somebody's directory stands there: one that is being made, or a leftover.
        let cleared = graveyard::gather(store, patience)
            .and_then(|()| clear_leftover(store, logs, plan, patience));
        let late = store.clock().monotonic() - started >= patience;
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
    maker: &Arc<Maker>,
    (aside, plan): (&str, &Plan),
) -> Result<MadeReplica> {
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
        .map_err(error("make the page of"))?;
    // No lock: nobody else writes to a page that is not sound yet.
    let mut page = Page::new(store.boot_id(), plan.topic_id, meta.uuid, 0);
    page.role = plan.role;
    page.maker = Some(maker.id());
    page.write_first(&*page_file)
        .map_err(error("write the page of"))?;
    page_file.sync_data().map_err(error("sync the page of"))?;
    dir.sync().map_err(error("sync"))?;
    Ok(MadeReplica {
        tp: plan.tp.clone(),
        logs: Arc::clone(log_dir.dir()),
        name: aside.to_owned(),
        page,
        meta,
        identity: logs.identity(aside).map_err(error("look at"))?,
        maker: Arc::clone(maker),
    })
}

/// Lets replica directories go, once a topic file of that version names them: their names are
/// synced.
///
/// # Errors
/// [`Kind::Io`].
pub fn settle(store: &StoreDir, made: Vec<MadeReplica>, version: u64) -> Result<()> {
    made.into_iter()
        .try_for_each(|replica| replica.settle(store, version))
}

/// Removes replica directories that no topic file is to name.
pub fn discard(store: &StoreDir, made: Vec<MadeReplica>) {
    for replica in made {
        // The topic file may be in place though its sync failed: then the directory is not ours.
        if named(store, &replica.tp, replica.meta.uuid).unwrap_or(true) {
            continue;
        }
        // What cannot be removed is a leftover that the next creator moves aside.
        let name = layout::replica_dir(&replica.tp);
        if let Ok(Some(_locked)) = replica.lock_page(&**store.clock(), &name, PROBED)
            && replica.is_in_place().unwrap_or(false)
        {
            let _ = move_aside(&*replica.logs, &replica.tp);
        }
    }
}
