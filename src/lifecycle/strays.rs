//! Strays: replica directories that no topic file names, and that no deletion accounts for: their
//! topic file may have been lost. They are kept and reported, never removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::maker_lock;
use crate::disk::{Dir, EntryKind, Open, join};
use crate::error::{Error, Kind, Result};
use crate::log::{FileKind, PartitionMetadata, SegmentFile};
use crate::partition::{Replica, StatePage};
use crate::store::{self, KnownTopic, StoreDir, read_small};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// A stray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The partition in its name; if a long topic name was cut, the rest of the name.
    pub tp: TopicPartition,
    /// The topic's id, if it can be read.
    pub topic_id: Option<Uuid>,
    /// The directory.
    pub path: PathBuf,
}

/// The strays in a broker's log directory, sorted. Takes no lock.
///
/// # Errors
/// Those of [`StoreDir::logs_dir`]; [`Kind::Io`].
pub fn strays(store: &StoreDir, broker: BrokerId) -> Result<Vec<Stray>> {
    let logs = store.logs_dir(broker)?;
    let entries = logs
        .list(".")
        .map_err(|e| Error::io("list", logs.path(), e))?;
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Dir) {
        let name = &entry.name;
        let observed = if let Some(tp) = store::parse_stray_dir(name) {
            let ids = read_ids(&*logs, name)?;
            Ok(Some((tp, ids.map(|ids| ids.topic_id))))
        } else if let Some(tp) = store::parse_replica_dir(name) {
            observe(store, &logs, broker, tp)
        } else {
            continue;
        };
        match observed {
            Ok(Some((tp, topic_id))) => found.push(Stray {
                tp,
                topic_id,
                path: join(&*logs, name),
            }),
            Ok(None) => {}
            // Removed or moved meanwhile.
            Err(e) if e.kind() == Kind::Fenced || crate::store::is_missing(&e) => {}
            Err(e) => return Err(e),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

type NamedStray = Option<(TopicPartition, Option<Uuid>)>;

fn observe(
    store: &StoreDir,
    logs: &Arc<dyn Dir>,
    broker: BrokerId,
    tp: TopicPartition,
) -> Result<NamedStray> {
    let name = store::replica_dir(&tp);
    let Ok(topic) = KnownTopic::open(store, &tp.topic) else {
        // There is one, which may name it: that is damage of the topic only.
        return Ok(None);
    };
    let replica = match Replica::open_in(store, &tp, Arc::clone(logs)) {
        Ok(replica) => Some(replica),
        // Its state page is lost.
        Err(e) if e.kind() == Kind::Fenced => None,
        Err(e) => return Err(e),
    };
    let page = replica
        .as_ref()
        .map(Replica::read_page)
        .transpose()?
        .flatten();
    let ids = match &page {
        Some(page) => Some(ReplicaIds::of_page(page)),
        None => read_ids(&**logs, &name)?.and_then(ReplicaIds::of_metadata),
    };
    let Some(ids) = ids else {
        // In a place that a topic needs, it is damage of that topic.
        let needed = topic.is_some_and(|topic| topic.meta().has_replica(tp.partition, broker));
        return Ok((!needed).then_some((tp, None)));
    };
    let found = status(store, &**logs, &tp, page.as_ref(), ids)?;
    // A deletion that is under way, or died, is not finished here: this takes no lock. Its proof
    // may have come into its place since the last check, and is removed from there only once the
    // directory is gone.
    let is_stray = found == ReplicaStatus::Stray
        && !store::is_on_the_way(store, ids.topic_id)
        && !store::is_deleted(store, ids.topic_id, ids.replica)?
        && logs.id(&name).is_ok();
    Ok(is_stray.then_some((tp, Some(ids.topic_id))))
}

/// The ids of a replica directory that mq made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaIds {
    /// The topic's.
    pub topic_id: Uuid,
    /// The replica's own.
    pub replica: Uuid,
}

impl ReplicaIds {
    /// As its state page has them.
    pub fn of_page(page: &StatePage) -> Self {
        ReplicaIds {
            topic_id: page.topic_id,
            replica: page.replica_uuid,
        }
    }

    /// As `partition.metadata` has them; `None` if Kafka wrote that file.
    pub fn of_metadata(metadata: PartitionMetadata) -> Option<Self> {
        Some(ReplicaIds {
            topic_id: metadata.topic_id,
            replica: metadata.replica_uuid?,
        })
    }
}

/// The status of a replica directory in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaStatus {
    /// A topic file names it.
    Named,
    /// It may be removed: its topic was deleted, a reassignment retired it, or its maker died
    /// before it was ever used.
    Worthless,
    /// Its maker is at work: a topic file is about to name it.
    InTheMaking(Uuid),
    /// It is kept.
    Stray,
}

/// The status of the replica directory in the place of `tp`, with these ids. Under its append
/// lock the status is final, except for one that is being made.
pub(crate) fn status(
    store: &StoreDir,
    logs: &dyn Dir,
    tp: &TopicPartition,
    page: Option<&StatePage>,
    ids: ReplicaIds,
) -> Result<ReplicaStatus> {
    let ReplicaIds { topic_id, replica } = ids;
    // A proof counts, whether or not the maker is alive.
    if store::is_deleted(store, topic_id, replica)? {
        return Ok(ReplicaStatus::Worthless);
    }
    // Before the topic file is read: a maker that is gone by now changed the file before.
    if let Some(maker) = page.and_then(|page| page.maker)
        && maker_lock::is_alive(store, maker)?
    {
        return Ok(ReplicaStatus::InTheMaking(maker));
    }
    if named(store, tp, replica)? {
        return Ok(ReplicaStatus::Named);
    }
    // It may have been deleted since the first check.
    if store::is_deleted(store, topic_id, replica)? || is_retired(store, tp, topic_id, replica)? {
        return Ok(ReplicaStatus::Worthless);
    }
    // Completing a creation, and the first write, each record a version of the topic file.
    let unused = page.is_some_and(|page| {
        page.synced_version == 0 && page.tail.end == 0 && page.tail.log_bytes == 0
    });
    if !unused {
        return Ok(ReplicaStatus::Stray);
    }
    // A record may have been written that no state page shows yet.
    let name = store::replica_dir(tp);
    let entries = logs
        .list(&name)
        .map_err(|e| Error::io("list", join(logs, &name), e))?;
    for entry in entries {
        let is_log = SegmentFile::parse(&entry.name)
            .is_some_and(|file| !matches!(file.kind, FileKind::Index | FileKind::TimeIndex));
        let path = format!("{name}/{}", entry.name);
        if is_log {
            let len = logs.open(&path, Open::Read).and_then(|file| file.len());
            if len.map_err(|e| Error::io("look at", join(logs, &path), e))? > 0 {
                return Ok(ReplicaStatus::Stray);
            }
        }
    }
    Ok(ReplicaStatus::Worthless)
}

/// The status for a caller that is about to move the directory. If no proof says why no topic file
/// names it, one may be on its way, from a deletion that is under way or died. This waits for that
/// deletion, up to `timeout`: a caller that already holds the store's lock has none to wait for.
///
/// # Errors
/// Those of [`status`]; [`Kind::Busy`] if the deletion takes longer.
pub(crate) fn certain_status(
    store: &StoreDir,
    logs: &dyn Dir,
    tp: &TopicPartition,
    timeout: Duration,
    page: Option<&StatePage>,
    ids: ReplicaIds,
) -> Result<ReplicaStatus> {
    let found = status(store, logs, tp, page, ids)?;
    if found != ReplicaStatus::Stray {
        return Ok(found);
    }
    store::gather_proofs(store, timeout)?;
    Ok(if store::is_deleted(store, ids.topic_id, ids.replica)? {
        ReplicaStatus::Worthless
    } else {
        ReplicaStatus::Stray
    })
}

/// Whether the topic file names that replica directory.
pub(crate) fn named(store: &StoreDir, tp: &TopicPartition, uuid: Uuid) -> Result<bool> {
    let found = KnownTopic::open(store, &tp.topic)?;
    Ok(found.is_some_and(|topic| topic.names(uuid)))
}

/// Whether the topic file says that the replica is retired.
pub(crate) fn is_retired(
    store: &StoreDir,
    tp: &TopicPartition,
    topic_id: Uuid,
    uuid: Uuid,
) -> Result<bool> {
    let found = KnownTopic::open(store, &tp.topic)?;
    Ok(found.is_some_and(|topic| {
        topic.meta().topic_id == topic_id && topic.is_retired(tp.partition, uuid)
    }))
}

pub(crate) fn read_ids(logs: &dyn Dir, name: &str) -> Result<Option<PartitionMetadata>> {
    let text = read_small(logs, &format!("{name}/{}", PartitionMetadata::FILE))?;
    Ok(text.and_then(|text| PartitionMetadata::parse(&text).ok()))
}
