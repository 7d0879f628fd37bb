//! Verification of replicas.

use std::time::Duration;

use super::admin::Admin;
use crate::error::{Error, Kind, Result};
use crate::lifecycle;
use crate::log::{
    self, Covered, FileKind, Finding, LeaderEpochs, LogPosition, SegmentFile, Segments,
};
use crate::partition::{self, PartitionReader, Replica};
use crate::store::{TopicHandle, layout};
use crate::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// The state of one replica, as verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The partition.
    pub tp: TopicPartition,
    /// The broker of the replica.
    pub broker: BrokerId,
    /// Whether another broker leads: a repair then replaces the replica.
    pub follows: bool,
    /// Whether it is in the in-sync set.
    pub in_sync: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How much was checked.
    pub covered: Covered,
    /// Why it is offline, if it is.
    pub offline: Option<partition::Offline>,
    /// Where a repair would end the log.
    pub sound_end: Offset,
    /// The leader epoch of the last sound record, and where that ends; `None` if there is no sound
    /// record.
    pub sound: Option<(LeaderEpoch, Offset)>,
    /// Where it ends now, as far as that is known.
    pub log_end: Offset,
    /// Whether neither copy of the state page is sound: where the log ended is then unknown.
    pub page_lost: bool,
    /// Bytes of the log behind `sound_end`, zeros apart.
    pub bytes_behind: u64,
    /// Records behind the first damage that are in undamaged batches.
    pub sound_behind: u64,
    /// The small files that a repair creates again.
    pub renewed: Vec<&'static str>,
}

impl Verified {
    /// Whether records or the state page are damaged, or the partition is offline.
    pub fn is_damaged(&self) -> bool {
        self.offline.is_some() || self.findings.iter().any(|finding| finding.data)
    }
}

impl Admin {
    /// Verifies the leader's replica of a partition: how its files fit together, and with `deep`
    /// every checksum, record and index entry. Changes nothing.
    pub fn verify(&self, tp: &TopicPartition, deep: bool) -> Result<Verified> {
        let topic = TopicHandle::open(self.store(), &tp.topic)?;
        self.verify_replica(tp, topic.partition(tp.partition)?.leader, deep)
    }

    /// As [`Admin::verify`], of the replica that a broker holds.
    pub fn verify_replica(
        &self,
        tp: &TopicPartition,
        broker: BrokerId,
        deep: bool,
    ) -> Result<Verified> {
        let topic = TopicHandle::open(self.store(), &tp.topic)?;
        let decompressed_len_max = topic.configs().decompressed_len_max();
        let partition = topic.partition(tp.partition)?;
        let follows = partition.leader != broker;
        let in_sync = partition.is_in_sync(broker);
        let replica = Replica::open(self.store(), tp, broker).map_err(|e| {
            if e.kind() != Kind::Fenced {
                return e;
            }
            // The topic file names it but it is missing: a retry does not help.
            let e = e.with_kind(Kind::Damaged);
            let name = layout::replica_dir(tp);
            if follows {
                return e.cure(format!(
                    "'mq-broker start --id {broker}' recreates it from the leader"
                ));
            }
            match self.store().logs_dir(broker).map(|logs| logs.id(&name)) {
                Ok(Err(missing)) if missing.kind() == std::io::ErrorKind::NotFound => {
                    e.cure(format!(
                        "its records are lost unless that directory comes back from a backup; \
                         without one, 'mq-topics delete {}' and create it again",
                        tp.topic
                    ))
                }
                _ => e.cure("the next read or write restores a lost state page from the log"),
            }
        })?;
        if let Ok(reader) = PartitionReader::open_at(self.store(), tp, broker) {
            reader.take_in_unshown(self.timeout())?;
        }
        let dir = &**replica.dir();
        // If the log is repaired during the check, the check starts again.
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
                        "this copy of the state page is damaged (the other one is used)"
                    } else {
                        "this copy of the state page is damaged, and so is the other one"
                    };
                    let mut bad = finding(partition::PAGE_FILE, what);
                    bad.position = copy as u64 * 4096;
                    bad.data = page.is_none();
                    findings.push(bad);
                }
            }
            let uuid = partition.uuid_of(broker);
            let ids = replica.metadata()?;
            if ids
                .is_none_or(|ids| ids.topic_id != topic.meta().topic_id || ids.replica_uuid != uuid)
            {
                let name = log::PartitionMetadata::FILE;
                findings.push(finding(name, "it does not name this topic and replica"));
                renewed.push(name);
            }
            let mut epochs = replica.epochs()?;
            if epochs.is_none() {
                findings.push(finding(LeaderEpochs::FILE, "it is missing or damaged"));
                renewed.push(LeaderEpochs::FILE);
            }
            let segments = Segments::list(dir)?;
            // Files beyond the active segment come from a roll that was killed: they are no part of
            // the log.
            let segments = match &page {
                Some(page) => segments.up_to(page.tail.active).since(page.tail.log_start),
                None => segments,
            };
            let first = segments.bases().first().copied();
            let first = first.unwrap_or_else(|| page.map_or(0, |page| page.tail.log_start));
            let tail =
                page.map_or_else(|| unknown_tail(&segments, dir, first), |page| Ok(page.tail))?;
            let records = deep.then_some(decompressed_len_max);
            let mut of_log = Vec::new();
            let covered = log::verify(dir, &tail, epochs.as_ref(), records, &mut of_log);
            let was_moved = || -> Result<bool> {
                let now = replica.read_page()?;
                let generation = page.map(|page| page.generation);
                Ok(now.is_some_and(|now| {
                    now.tail.log_start > tail.log_start || Some(now.generation) != generation
                }))
            };
            let mut covered = match covered {
                // A segment below the new log start was removed meanwhile, or joined with another.
                Err(e) if crate::store::is_missing(&e) && was_moved()? => continue,
                covered => covered?,
            };
            if epochs.is_some() && of_log.iter().any(|finding| finding.data) {
                // By the epochs that a repair uses.
                let newest = partition
                    .leader_epoch
                    .max(page.map_or(0, |page| page.leader_epoch));
                let better = log::epochs_that_fit(dir, &segments, epochs.clone(), newest)?;
                if epochs.as_ref() != Some(&better) {
                    findings.push(finding(
                        LeaderEpochs::FILE,
                        "it does not fit the log: the batches carry other leader epochs",
                    ));
                    renewed.push(LeaderEpochs::FILE);
                    of_log.clear();
                    let better = epochs.insert(better);
                    covered = log::verify(dir, &tail, Some(better), records, &mut of_log)?;
                }
            }
            findings.append(&mut of_log);
            let start = log::LogPosition {
                offset: first,
                segment: first,
                position: 0,
            };
            let until = tail.place();
            let sound_place = if findings.iter().any(|finding| finding.data) {
                log::last_sound_place(dir, &segments, start, until, epochs.as_ref())?
            } else {
                until
            };
            let sound_end = sound_place.offset;
            let sound = match &epochs {
                _ if sound_end <= first.max(tail.log_start) => None,
                Some(epochs) => epochs.at(sound_end - 1).map(|epoch| (epoch, sound_end)),
                None => log::epochs_that_fit(dir, &segments, None, partition.leader_epoch)?
                    .at(sound_end - 1)
                    .map(|epoch| (epoch, sound_end)),
            };
            let (bytes_behind, sound_behind) = if sound_end < tail.end {
                (
                    bytes_behind(dir, &segments, sound_place)?,
                    sound_behind(dir, &segments, sound_place, until)?,
                )
            } else {
                (0, 0)
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
                    broker,
                    follows,
                    in_sync,
                    findings,
                    covered,
                    offline: match &page {
                        Some(page) => replica.offline(page)?,
                        None => None,
                    },
                    sound_end,
                    sound,
                    log_end: tail.end.max(sound_end),
                    page_lost: page.is_none(),
                    bytes_behind,
                    sound_behind,
                    renewed,
                });
            }
        }
        Err(
            Error::new(Kind::Busy, format!("the log of {tp} keeps being repaired"))
                .cure("other processes keep changing it: try again"),
        )
    }

    /// Replaces a follower's replica by an empty one, to be filled from the leader.
    ///
    /// # Errors
    /// As [`lifecycle::replace_replica`].
    pub fn replace_follower(&self, tp: &TopicPartition, broker: BrokerId) -> Result<()> {
        let topic = TopicHandle::open(self.store(), &tp.topic)?;
        let uuid = topic.partition(tp.partition)?.uuid_of(broker);
        let Some(uuid) = uuid else {
            let text = format!("broker {broker} holds no replica of {tp} any more");
            return Err(Error::new(Kind::Fenced, text).cure("try again"));
        };
        lifecycle::replace_replica(self.store(), tp, broker, uuid, self.timeout())
    }
}

/// How long the check of the indexes waits for the append lock. If a writer holds it for longer,
/// its unpublished entries cannot be told from junk, and nothing is reported.
const PROBE_TIMEOUT: Duration = Duration::from_millis(20);

fn behind_indexes(replica: &Replica, findings: &mut Vec<Finding>) -> Result<()> {
    let Ok(held) = replica.lock(PROBE_TIMEOUT) else {
        return Ok(());
    };
    match held.page()? {
        Some(page) => log::behind_indexes(&**replica.dir(), &page.tail, findings),
        None => Ok(()),
    }
}

/// How many bytes a repair that ends the log there sets aside. A rest that is all zeros is not
/// kept.
fn bytes_behind(dir: &dyn crate::disk::Dir, segments: &Segments, end: LogPosition) -> Result<u64> {
    let mut kept = 0;
    let mut buf = vec![0; 256 * 1024];
    for base in segments.from(end.segment).iter().copied() {
        let name = SegmentFile::new(base, FileKind::Log).name();
        let error = |e| Error::io("read", crate::disk::join(dir, &name), e);
        let file = match dir.open(&name, crate::disk::Open::Read) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(error)?,
        };
        let len = file.len().map_err(error)?;
        let from = if base == end.segment { end.position } else { 0 };
        let mut at = from;
        while at < len {
            let read = file.read_at(&mut buf, at).map_err(error)?;
            let part = buf.get(..read).unwrap_or_default();
            if part.iter().any(|byte| *byte != 0) {
                kept += len - from;
                break;
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
    }
    Ok(kept)
}

/// How many records of undamaged batches a repair that ends the log there removes.
fn sound_behind(
    dir: &dyn crate::disk::Dir,
    segments: &Segments,
    damage: LogPosition,
    end: LogPosition,
) -> Result<u64> {
    let (mut records, mut offset) = (0, damage.offset);
    let bases = segments.from(damage.segment).iter().copied();
    for base in bases.take_while(|base| *base <= end.segment) {
        let name = SegmentFile::new(base, FileKind::Log).name();
        let error = |e| Error::io("read", crate::disk::join(dir, &name), e);
        let file = match dir.open(&name, crate::disk::Open::Read) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(error)?,
        };
        let mut len = file.len().map_err(error)?;
        if base == end.segment {
            len = len.min(end.position);
        }
        let from = if base == damage.segment {
            damage.position
        } else {
            0
        };
        let found = log::sound_records_behind(&*file, from, len, offset).map_err(error)?;
        (records, offset) = (records + found.0, found.1);
    }
    Ok(records)
}

fn unknown_tail(
    segments: &Segments,
    dir: &dyn crate::disk::Dir,
    first: Offset,
) -> Result<log::Tail> {
    let mut tail = log::Tail::empty(first);
    if let Some(last) = segments.bases().last().copied() {
        let name = SegmentFile::new(last, FileKind::Log).name();
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
