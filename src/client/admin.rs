//! Topics: made, listed, described, changed, verified, repaired, deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::consumer::open_now;
use super::followers::{FollowerDescription, followers};
use crate::disk::EntryKind;
use crate::error::{Error, Kind, Result};
use crate::storage::{self, Covered, Finding, LeaderEpochs, Segments};
use crate::store::configs::DescribedConfig;
use crate::store::topics::{self, TopicMeta};
use crate::store::{self, Page, PartitionReader, PartitionWriter, Replica, StoreDir, TopicHandle};
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// Administers the topics of a store.
#[derive(Debug, Clone)]
pub struct Admin {
    store: Arc<StoreDir>,
    patience: Duration,
}

/// A topic, as of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub topic_id: Uuid,
    /// Its configs, sorted by name.
    pub configs: Vec<DescribedConfig>,
    /// Its partitions, from 0.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, as of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: PartitionId,
    /// Who leads it.
    pub leader: BrokerId,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who holds a replica.
    pub replicas: Vec<BrokerId>,
    /// Who of them is in sync.
    pub isr: Vec<BrokerId>,
    /// What the log holds; `None` where it cannot be read.
    pub log: Option<LogDescription>,
    /// Why it is offline, if it is.
    pub offline: Option<store::Offline>,
    /// Who leads it where everybody can.
    pub preferred_leader: BrokerId,
    /// How far the followers are, in the order of the replicas.
    pub followers: Vec<FollowerDescription>,
}

impl PartitionDescription {
    /// Whether nobody can use it: its leader is offline, or its log cannot be read.
    pub fn is_offline(&self) -> bool {
        self.offline.is_some() || self.log.is_none()
    }

    /// Whether a replica is not in sync.
    pub fn is_under_replicated(&self) -> bool {
        self.isr.len() < self.replicas.len()
    }
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDescription {
    /// First offset.
    pub log_start_offset: Offset,
    /// What a consumer may read up to.
    pub high_watermark: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
    /// Bytes of all its files.
    pub size_bytes: u64,
}

/// What a look at one partition found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The partition.
    pub tp: TopicPartition,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub covered: Covered,
    /// Why it is offline, if it is.
    pub offline: Option<store::Offline>,
    /// Where a repair would end the log.
    pub sound_end: Offset,
    /// Where it ends now, as far as that is known.
    pub log_end: Offset,
    /// The small files that a repair makes anew.
    pub renewed: Vec<&'static str>,
}

impl Verified {
    /// Whether records or the page are touched, or the partition is offline.
    pub fn is_damaged(&self) -> bool {
        self.offline.is_some() || self.findings.iter().any(|finding| finding.data)
    }
}

impl Admin {
    /// For a store; `patience` bounds each wait for a lock.
    pub fn new(store: &Arc<StoreDir>, patience: Duration) -> Self {
        Admin {
            store: Arc::clone(store),
            patience,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<StoreDir> {
        &self.store
    }

    /// How long each wait for a lock may be.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Topics whose names differ from `name` only in `.` and `_`: they share metric names in
    /// Kafka.
    pub fn colliding(&self, name: &TopicName) -> Result<Vec<TopicName>> {
        Ok(self
            .list()?
            .into_iter()
            .filter(|other| other.collides_with(name))
            .collect())
    }

    /// Changes configs.
    pub fn alter_configs(
        &self,
        name: &TopicName,
        set: &BTreeMap<String, String>,
        unset: &[String],
    ) -> Result<TopicMeta> {
        store::alter_configs(&self.store, name, set, unset, self.patience)
    }

    /// Deletes a topic and its data.
    pub fn delete_topic(&self, name: &TopicName) -> Result<()> {
        store::delete_topic(&self.store, name, self.patience)
    }

    /// Deletes a topic whose file is damaged, and keeps that file and the data.
    ///
    /// # Errors
    /// As [`store::set_topic_aside`].
    pub fn set_topic_aside(&self, name: &TopicName) -> Result<PathBuf> {
        store::set_topic_aside(&self.store, name, self.patience)
    }

    /// The names of all topics, sorted.
    pub fn list(&self) -> Result<Vec<TopicName>> {
        topics::list(&self.store)
    }

    /// A topic's metadata alone: no partition is looked at.
    pub fn metadata(&self, name: &TopicName) -> Result<TopicMeta> {
        topics::read(&self.store, name).map(|(meta, _)| meta)
    }

    /// A topic with its configs, partitions and what their logs hold.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::Damaged`] (the topic file); a partition that cannot be read
    /// has no log in what comes back.
    pub fn describe(&self, name: &TopicName) -> Result<TopicDescription> {
        let meta = self.metadata(name)?;
        let configs = meta.configs()?.describe();
        let partitions = meta.partitions.iter().map(|partition| {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            let looked = open_now(&self.store, &tp).and_then(|reader| {
                let page = reader.page()?;
                Ok((page, log_description(&reader, &page)?))
            });
            let (page, log) = looked.map_or((None, None), |(page, log)| (Some(page), Some(log)));
            let end = log.map(|log| log.log_end_offset);
            PartitionDescription {
                partition: partition.partition,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition
                    .replicas
                    .iter()
                    .map(|replica| replica.broker)
                    .collect(),
                isr: partition.isr.clone(),
                log,
                offline: page.and_then(|page| page.offline),
                preferred_leader: partition.preferred_leader(),
                followers: followers(&self.store, &meta, partition, end),
            }
        });
        let partitions = partitions.collect();
        Ok(TopicDescription {
            name: name.clone(),
            topic_id: meta.topic_id,
            configs,
            partitions,
        })
    }

    /// Replica directories that no topic counts on and nobody deleted: their topic file may have
    /// been lost. Of all brokers but those whose log directory is not there now.
    ///
    /// # Errors
    /// If no broker's can be looked at.
    pub fn strays(&self) -> Result<Vec<store::Stray>> {
        let mut found = Vec::new();
        let (mut looked, mut failed) = (false, None);
        for broker in self.store.brokers()? {
            match store::strays(&self.store, broker) {
                Ok(strays) => {
                    looked = true;
                    found.extend(strays);
                }
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        match failed {
            Some(e) if !looked => Err(e),
            _ => Ok(found),
        }
    }

    /// Looks a partition over: how its files fit together, and with `deep` every checksum, record
    /// and index entry. Changes nothing.
    pub fn verify(&self, tp: &TopicPartition, deep: bool) -> Result<Verified> {
        let topic = TopicHandle::open(&self.store, &tp.topic)?;
        let decompressed_len_max = topic.configs()?.decompressed_len_max();
        let partition = topic.partition(tp.partition)?;
        let replica = Replica::open(&self.store, tp, partition.leader).map_err(|e| {
            if e.kind() != Kind::Fenced {
                return e;
            }
            // The topic file names it and it is not there: no try again mends that.
            let e = e.with_kind(Kind::Damaged);
            let name = store::layout::replica_dir(tp);
            match self
                .store
                .logs_dir(partition.leader)
                .map(|logs| logs.id(&name))
            {
                Ok(Err(missing)) if missing.kind() == std::io::ErrorKind::NotFound => {
                    e.cure(format!(
                        "its records are lost unless that directory comes back from a backup; \
                         without one, 'mq-topics delete {}' and create it anew",
                        tp.topic
                    ))
                }
                _ => e.cure("the next read or write makes a lost page anew from the log"),
            }
        })?;
        let dir = &**replica.dir();
        // A log that is repaired while it is looked at is looked at again.
        for _ in 0..100 {
            let mut findings = Vec::new();
            let mut renewed = Vec::new();
            let page = replica.read_page()?;
            let finding = |file: &str, what: &str| Finding {
                file: crate::disk::join(dir, file),
                position: 0,
                what: what.to_owned(),
                data: true,
            };
            for (copy, sound) in replica.page_copies()?.into_iter().enumerate() {
                if !sound {
                    let what = if page.is_some() {
                        "this copy of the page is damaged (the other one is used)"
                    } else {
                        "this copy of the page is damaged, and so is the other one"
                    };
                    let mut bad = finding(store::PAGE_FILE, what);
                    bad.position = copy as u64 * 4096;
                    bad.data = page.is_none();
                    findings.push(bad);
                }
            }
            let uuid = topic.replica_uuid(tp.partition)?;
            let ids = replica.metadata()?;
            if ids.is_none_or(|ids| {
                ids.topic_id != topic.meta().topic_id || ids.replica_uuid != Some(uuid)
            }) {
                let name = storage::PartitionMetadata::FILE;
                findings.push(finding(name, "it does not name this topic and replica"));
                renewed.push(name);
            }
            let mut epochs = replica.epochs()?;
            if epochs.is_none() {
                findings.push(finding(LeaderEpochs::FILE, "it is missing or damaged"));
                renewed.push(LeaderEpochs::FILE);
            }
            let segments = Segments::list(dir)?;
            let first = segments.bases().first().copied().unwrap_or(0);
            let tail =
                page.map_or_else(|| unknown_tail(&segments, dir, first), |page| Ok(page.tail))?;
            let records = deep.then_some(decompressed_len_max);
            let mut of_log = Vec::new();
            let mut covered = storage::verify(dir, &tail, epochs.as_ref(), records, &mut of_log)?;
            if epochs.is_some() && of_log.iter().any(|finding| finding.data) {
                // By the epochs that a repair goes by.
                let newest = partition
                    .leader_epoch
                    .max(page.map_or(0, |page| page.leader_epoch));
                let better = storage::epochs_that_fit(dir, &segments, epochs.clone(), newest)?;
                if epochs.as_ref() != Some(&better) {
                    findings.push(finding(
                        LeaderEpochs::FILE,
                        "it does not fit the log: the batches carry other leader epochs",
                    ));
                    renewed.push(LeaderEpochs::FILE);
                    of_log.clear();
                    let better = epochs.insert(better);
                    covered = storage::verify(dir, &tail, Some(better), records, &mut of_log)?;
                }
            }
            findings.append(&mut of_log);
            let start = storage::Place {
                offset: first,
                segment: first,
                position: 0,
            };
            let until = tail.place();
            let sound_end = if findings.iter().any(|finding| finding.data) {
                storage::last_sound_place(dir, &segments, start, until, epochs.as_ref())?.offset
            } else {
                tail.end
            };
            let again = replica.read_page()?;
            let moved = match (&page, &again) {
                (Some(before), Some(after)) => before.generation != after.generation,
                _ => page.is_some() != again.is_some(),
            };
            if !moved {
                if deep {
                    behind_indexes(&replica, &mut findings)?;
                }
                return Ok(Verified {
                    tp: tp.clone(),
                    findings,
                    covered,
                    offline: match &page {
                        Some(page) => replica.offline(page)?,
                        None => None,
                    },
                    sound_end,
                    log_end: tail.end,
                    renewed,
                });
            }
        }
        Err(
            Error::new(Kind::Busy, format!("the log of {tp} keeps being repaired"))
                .cure("others change it all the time: try again"),
        )
    }

    /// Ends the log at the first damage, sets what is behind it aside, copies what no sync vouches
    /// for, and lifts an offline mark. The caller asked for consent; [`StoreDir::take_cuts`] has
    /// what was cut.
    pub fn repair(&self, tp: &TopicPartition) -> Result<Page> {
        PartitionWriter::open(&self.store, tp, self.patience)?.repair()
    }
}

/// How long a look behind the indexes waits for the append lock. Where a writer keeps it for
/// longer, nobody can tell its unpublished entries from junk, and nothing is said.
const LOOK_PATIENCE: Duration = Duration::from_millis(20);

fn behind_indexes(replica: &Replica, findings: &mut Vec<Finding>) -> Result<()> {
    let Ok(held) = replica.lock(LOOK_PATIENCE) else {
        return Ok(());
    };
    match held.page()? {
        Some(page) => storage::behind_indexes(&**replica.dir(), &page.tail, findings),
        None => Ok(()),
    }
}

fn unknown_tail(
    segments: &Segments,
    dir: &dyn crate::disk::Dir,
    first: Offset,
) -> Result<storage::Tail> {
    let mut tail = storage::Tail::empty(first);
    if let Some(last) = segments.bases().last().copied() {
        let name = storage::SegmentFile::new(last, storage::FileKind::Log).name();
        let len = dir
            .open(&name, crate::disk::Open::Read)
            .and_then(|file| file.len())
            .map_err(|e| Error::io("look at", crate::disk::join(dir, &name), e))?;
        tail.active = last;
        tail.log_bytes = len;
        tail.end = last;
    }
    Ok(tail)
}

fn log_description(reader: &PartitionReader, page: &Page) -> Result<LogDescription> {
    let dir = reader.replica().dir();
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let mut size_bytes = 0;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        let Some(file) = storage::SegmentFile::parse(&entry.name) else {
            continue;
        };
        if matches!(
            file.kind,
            storage::FileKind::Cut(_) | storage::FileKind::Rescue
        ) {
            // Not part of the log.
            continue;
        }
        if file.kind == storage::FileKind::Log && file.base == page.tail.active {
            size_bytes += page.tail.log_bytes;
        } else if let Ok(open) = dir.open(&entry.name, crate::disk::Open::Read) {
            size_bytes += open.len().unwrap_or(0);
        }
    }
    Ok(LogDescription {
        log_start_offset: page.tail.log_start,
        high_watermark: page.high_watermark,
        log_end_offset: page.tail.end,
        size_bytes,
    })
}
