//! Replica directories in the making: each is made under a name aside, its page locked, and renamed
//! into place; the lock is kept until the topic file names it.

use std::sync::Arc;
use std::time::Duration;

use super::commit_note::SYNC_FILE;
use super::graveyard;
use super::layout;
use super::lifecycle::{NewTopic, exists};
use super::log_dir::LogDir;
use super::open::StoreDir;
use super::page::{Offline, PAGE_FILE, Page, Role};
use super::removal::{move_aside, move_stray, named, remove_dir};
use super::replica::{RETRY, Replica};
use super::strays::{is_garbage, read_ids};
use super::topics::{self, PartitionMeta, ReplicaMeta};
use crate::disk::{Dir, LockKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::storage::{FileKind, LeaderEpochs, PartitionMetadata, SegmentFile};
use crate::types::{PartitionId, TopicName, TopicPartition, Uuid};

/// How long a new page's lock may be in the hands of a probe.
const PROBED: Duration = Duration::from_secs(1);

/// A replica directory that was made and is locked until its topic file is in place.
pub(super) struct Made {
    dir: Arc<dyn Dir>,
    page_file: Arc<dyn crate::disk::File>,
    page: Page,
    meta: ReplicaMeta,
}

impl Made {
    /// The replica directory's id.
    pub(super) fn uuid(&self) -> Uuid {
        self.meta.uuid
    }

    /// Lets the directory go, noting that its name is synced.
    pub(super) fn settle(mut self, version: u64) -> Result<()> {
        self.page.synced_version = version;
        let written = self.page.write(&*self.page_file);
        written.map_err(|e| Error::io("write", join(&*self.dir, PAGE_FILE), e))?;
        let _ = self.page_file.unlock();
        Ok(())
    }
}

/// Makes an empty replica directory beside its place, locked; its name there.
pub(super) fn make_beside(
    store: &StoreDir,
    log_dir: &LogDir,
    tp: &TopicPartition,
    topic_id: Uuid,
    role: Role,
) -> Result<(String, Made)> {
    let aside = layout::aside_dir(tp, &Uuid::random()?);
    let made = fill_replica(store, log_dir, &aside, topic_id, role).inspect_err(|_| {
        remove_dir(&**log_dir.dir(), &aside);
    })?;
    Ok((aside, made))
}

/// Makes the replicas of the partitions from `first` on, or none.
pub(super) fn make_replicas(
    store: &Arc<StoreDir>,
    logs: &LogDir,
    new: &NewTopic,
    first: PartitionId,
    topic_id: Uuid,
    patience: Duration,
) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for partition in first..new.partitions {
        let tp = TopicPartition::new(new.name.clone(), partition);
        match make_replica(store, logs, &tp, topic_id, patience) {
            Ok(replica) => made.push(replica),
            Err(e) => {
                discard(store, logs, &new.name, first, made);
                return Err(e);
            }
        }
    }
    Ok(made)
}

pub(super) fn partition_metas(made: &[Made], first: PartitionId) -> Vec<PartitionMeta> {
    made.iter()
        .zip(first..)
        .map(|(made, n)| partition_meta(n, made))
        .collect()
}

fn partition_meta(partition: PartitionId, made: &Made) -> PartitionMeta {
    PartitionMeta {
        partition,
        leader: made.meta.broker,
        leader_epoch: 0,
        replicas: vec![made.meta],
        isr: vec![made.meta.broker],
        reassignment: None,
    }
}

/// Makes an empty replica directory, locked and in place.
fn make_replica(
    store: &Arc<StoreDir>,
    log_dir: &LogDir,
    tp: &TopicPartition,
    topic_id: Uuid,
    patience: Duration,
) -> Result<Made> {
    let logs = log_dir.dir();
    let (aside, made) = make_beside(store, log_dir, tp, topic_id, Role::Leader)?;
    let name = layout::replica_dir(tp);
    let started = store.clock().monotonic();
    loop {
        match logs.rename_new(&aside, &name) {
            Ok(()) => return Ok(made),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                remove_dir(&**logs, &aside);
                return Err(Error::io("put in place", join(&**logs, &name), e));
            }
        }
        // Somebody's directory stands there: one that is being made (its lock is kept until the
        // topic file is in place), or a leftover.
        let cleared = graveyard::gather(store, patience)
            .and_then(|()| clear_leftover(store, logs, tp, topic_id, patience));
        let late = store.clock().monotonic() - started >= patience;
        if let Err(e) = cleared {
            remove_dir(&**logs, &aside);
            return Err(e);
        }
        if late {
            remove_dir(&**logs, &aside);
            return Err(Error::new(
                Kind::Busy,
                format!("the directory of {tp} keeps being made anew"),
            )
            .cure("others change it all the time: try again"));
        }
    }
}

fn fill_replica(
    store: &StoreDir,
    log_dir: &LogDir,
    aside: &str,
    topic_id: Uuid,
    role: Role,
) -> Result<Made> {
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
        topic_id,
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
    // Somebody's probe may have it for a moment; a remover has it for good.
    let started = store.clock().monotonic();
    while !page_file
        .try_lock(LockKind::Exclusive)
        .map_err(error("lock"))?
    {
        if store.clock().monotonic().saturating_sub(started) >= PROBED {
            let text = format!(
                "another process holds the lock of {}",
                join(logs, aside).display()
            );
            return Err(Error::new(Kind::Busy, text).cure("try again"));
        }
        store.clock().sleep(RETRY);
    }
    let mut page = Page::new(store.boot_id(), topic_id, meta.uuid, 0);
    page.role = role;
    page.write_first(&*page_file)
        .map_err(error("write the page of"))?;
    page_file.sync_data().map_err(error("sync the page of"))?;
    dir.sync().map_err(error("sync"))?;
    Ok(Made {
        dir,
        page_file,
        page,
        meta,
    })
}

/// Moves a leftover out of the way of a new replica.
///
/// # Errors
/// [`Kind::TopicExists`] if a topic file names it.
fn clear_leftover(
    store: &Arc<StoreDir>,
    logs: &Arc<dyn Dir>,
    tp: &TopicPartition,
    topic_id: Uuid,
    patience: Duration,
) -> Result<()> {
    let replica = match Replica::open_in(store, tp, Arc::clone(logs)) {
        Ok(replica) => replica,
        Err(e) if e.kind() == Kind::Fenced => {
            // A directory without a page: nobody's, if no topic file names the partition.
            let taken = topics::read_if_there(store, &tp.topic)?
                .is_some_and(|(meta, _)| (tp.partition as usize) < meta.partitions.len());
            if taken {
                return Err(exists(&tp.topic));
            }
            let ids = read_ids(&**logs, &layout::replica_dir(tp))?
                .and_then(|ids| Some((ids.topic_id, ids.replica_uuid?)));
            let garbage = match ids {
                Some((topic_id, uuid)) => graveyard::is_deleted(store, topic_id, uuid)?,
                None => false,
            };
            let moved = if garbage {
                move_aside(&**logs, tp)
            } else {
                move_stray(&**logs, tp)
            };
            return match moved {
                Err(e) if super::json_file::is_missing(&e) => Ok(()),
                other => other,
            };
        }
        Err(e) => return Err(e),
    };
    let held = match replica.lock(patience) {
        Ok(held) => held,
        Err(e) if e.kind() == Kind::Fenced => return Ok(()),
        Err(e) => return Err(e),
    };
    if let Some((meta, _)) = topics::read_if_there(store, &tp.topic)?
        && (meta.topic_id != topic_id || (tp.partition as usize) < meta.partitions.len())
    {
        return Err(exists(&tp.topic));
    }
    let page = held.page()?;
    let ids = match &page {
        Some(page) => Some((page.topic_id, page.replica_uuid)),
        None => replica
            .metadata()?
            .and_then(|ids| Some((ids.topic_id, ids.replica_uuid?))),
    };
    let garbage = match ids {
        Some((id, uuid)) => {
            let name = layout::replica_dir(tp);
            is_garbage(store, &**logs, &name, page.as_ref(), id, uuid)?
        }
        None => false,
    };
    if let Some(mut page) = page {
        held.take_offline(&mut page, Offline::Removed)?;
    }
    if garbage {
        move_aside(&**logs, tp)
    } else {
        move_stray(&**logs, tp)
    }
}

/// Lets the replica directories of a finished creation go, noting that their names are synced.
pub(super) fn settle(made: Vec<Made>, version: u64) -> Result<()> {
    made.into_iter()
        .try_for_each(|replica| replica.settle(version))
}

/// Removes the replica directories of a creation that failed, locks still held.
pub(super) fn discard(
    store: &Arc<StoreDir>,
    logs: &LogDir,
    name: &TopicName,
    first: PartitionId,
    made: Vec<Made>,
) {
    for (replica, partition) in made.into_iter().zip(first..) {
        let tp = TopicPartition::new(name.clone(), partition);
        // The topic file may be in place though its sync failed: then the directory is not ours.
        if named(store, &tp, replica.meta.uuid).unwrap_or(true) {
            continue;
        }
        // What cannot be removed is a leftover that the next creator moves aside.
        let _ = move_aside(&**logs.dir(), &tp);
        drop(replica);
    }
}
