//! One pass over a replica's log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::closing::{close_followers, close_leaders, leave_closed_segment};
use super::dirty::{compactable, first_dirty};
use super::limits::{Closed, LogFacts, is_in_order, is_past_lag, joined, must_close};
use super::lock::CompactLock;
use super::swap::{Basis, Changed, Swapper};
use crate::clock::Moment;
use crate::disk::join;
use crate::error::{Error, Kind, Result};
use crate::log::compaction::{
    CleanCounts, KeyMap, RetainRules, SegmentRun, map_keys, remove_orphans, rewrite, timestamps,
};
use crate::log::{CLEANED_FILE, LeaderEpochs, log_start_text, sync_failed};
use crate::partition::append::SyncLock;
use crate::partition::clock_note::ClockVerdict;
use crate::partition::log_snapshot::LogSnapshot;
use crate::partition::replica::Replica;
use crate::partition::state_page::StatePage;
use crate::store::{FORMAT_WITH_LOG_START, StoreDir, TopicHandle, is_missing, raise_format};
use crate::types::{BrokerId, Offset, Timestamp, TopicPartition, Uuid};

/// So much stays free on the disk.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// How often a pass begins again because the log changed in what it relies on.
const TRIES: u32 = 5;

/// How much a pass does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Whatever the dirty ratio says; a leader's active segment is closed first.
    pub is_forced: bool,
    /// Most bytes of segments whose keys are looked at; `None`: all.
    pub dirty_bytes_max: Option<u64>,
    /// Most bytes of the map of keys. With more keys the log is gone through more than once.
    pub key_bytes_max: usize,
}

impl Default for Effort {
    /// If one is due, all of the log, within 64 MiB of keys.
    fn default() -> Self {
        Effort {
            is_forced: false,
            dirty_bytes_max: None,
            key_bytes_max: 64 << 20,
        }
    }
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that were read.
    pub done: u64,
    /// Bytes to be read, as far as that is known.
    pub all: u64,
}

/// What became of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassStatus {
    /// The log is compacted, as far as it may be.
    Done,
    /// None is due: too little was written since the last one.
    NotDue,
    /// Another process compacts the log.
    Busy,
    /// The replica is offline, sealed, or waits for its recovery.
    NotReady,
    /// The topic's policy has no `compact`.
    NoPolicy,
    /// It did as much as it was to; more is left.
    More,
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// What became of it.
    pub status: PassStatus,
    /// Bytes of the closed segments before.
    pub bytes_before: u64,
    /// Bytes of those after.
    pub bytes_after: u64,
    /// Their records before.
    pub records_before: u64,
    /// Their records after.
    pub records_after: u64,
    /// Of those, without a key: they stay for ever.
    pub keyless: u64,
    /// Segments that are damaged, and were left as they are.
    pub damaged: Vec<String>,
    /// All below is compacted.
    pub cleaned_to: Offset,
}

impl Compacted {
    fn without_work(status: PassStatus) -> Self {
        Compacted {
            status,
            bytes_before: 0,
            bytes_after: 0,
            records_before: 0,
            records_after: 0,
            keyless: 0,
            damaged: Vec::new(),
            cleaned_to: 0,
        }
    }
}

/// As [`super::pass()`], without a note of it.
pub(super) fn pass_unnoted(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    effort: Effort,
    timeout: Duration,
    go_on: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Compacted> {
    let topic = TopicHandle::open(store, &tp.topic)?;
    if !topic.configs().cleanup_policy.compacts() {
        return Ok(Compacted::without_work(PassStatus::NoPolicy));
    }
    let replica = Replica::open(store, tp, broker)?;
    let Some(lock) = CompactLock::try_take(&**replica.dir())? else {
        return Ok(Compacted::without_work(PassStatus::Busy));
    };
    remove_orphans(&**replica.dir())?;
    // An older program would write zeros over what the page says of deletions.
    raise_format(store, FORMAT_WITH_LOG_START, timeout)?;
    let now_ms = believed_now(store, replica.read_page()?);
    if topic.partition(tp.partition)?.leader == broker {
        close_leaders(store, tp, effort.is_forced, now_ms, timeout)?;
    } else {
        let is_due = |page: &StatePage| {
            let is_old = now_ms.is_some_and(|now| must_close(page, topic.configs(), now));
            effort.is_forced || is_old
        };
        close_followers(store, &replica, broker, is_due, timeout)?;
    }
    leave_closed_segment(&replica, store.boot_id(), timeout)?;
    let mut work = Pass {
        store,
        topic,
        sync: SyncLock::open(&replica)?,
        replica,
        timeout,
        effort,
        go_on,
        progress: Progress::default(),
    };
    let mut last = None;
    for _ in 0..TRIES {
        match work.compact() {
            Ok(Round::Changed) => {}
            Ok(Round::Ended(done)) => {
                last = Some(done);
                break;
            }
            // A segment was removed since it was listed: the log start rose.
            Err(e) if is_missing(&e) => {}
            Err(e) => return Err(e),
        }
    }
    drop(lock);
    last.ok_or_else(|| {
        let text = format!("the log of {tp} keeps changing");
        Error::new(Kind::Busy, text).cure("try again")
    })
}

/// The wall clock, if the page's note of the clocks believes it.
fn believed_now(store: &StoreDir, page: Option<StatePage>) -> Option<Timestamp> {
    let now = Moment::now(&**store.clock());
    let (_, verdict) = page?.clock.step(now);
    (verdict == ClockVerdict::Believed).then_some(now.wall_ms)
}

enum Round {
    Ended(Compacted),
    Changed,
}

struct Pass<'a> {
    store: &'a Arc<StoreDir>,
    topic: TopicHandle,
    replica: Replica,
    sync: SyncLock,
    timeout: Duration,
    effort: Effort,
    go_on: &'a mut dyn FnMut(Progress) -> Result<()>,
    progress: Progress,
}

/// A log at the start of a round.
struct Log {
    page: StatePage,
    basis: Basis,
    epochs: LeaderEpochs,
    closed: Vec<Closed>,
    cleaned_to: Offset,
    now_ms: Option<Timestamp>,
}

/// The keys of a round's segments, and the segments that are damaged, with what is wrong.
struct Mapped {
    keys: KeyMap,
    damaged: BTreeMap<Offset, String>,
}

impl Pass<'_> {
    /// Goes through the log until all of it is compacted.
    fn compact(&mut self) -> Result<Round> {
        let mut total: Option<Compacted> = None;
        loop {
            let Some(log) = self.observe()? else {
                return Ok(Round::Ended(Compacted::without_work(PassStatus::NotReady)));
            };
            if total.is_none() {
                let facts = LogFacts {
                    closed: &log.closed,
                    cleaned_to: log.cleaned_to,
                    oldest_dirty: self.oldest_dirty(&log)?,
                    now_ms: log.now_ms,
                };
                let is_due = self.effort.is_forced || facts.is_due(self.topic.configs());
                if !is_due {
                    let mut done = Compacted::without_work(PassStatus::NotDue);
                    done.cleaned_to = log.cleaned_to;
                    return Ok(Round::Ended(done));
                }
                let all: u64 = log.closed.iter().map(|it| it.bytes).sum();
                self.progress.all = self.progress.done + all + facts.dirty_bytes();
            }
            let Some(mut done) = self.round(&log)? else {
                return Ok(Round::Changed);
            };
            let end = log.closed.last().map_or(0, |it| it.end);
            let is_stuck = !done.damaged.is_empty() || done.cleaned_to <= log.cleaned_to;
            let is_limited = self.effort.dirty_bytes_max.is_some();
            if let Some(before) = &total {
                // This round went through what the ones before it left.
                done.bytes_before += before.bytes_before.saturating_sub(before.bytes_after);
                done.records_before += before.records_before.saturating_sub(before.records_after);
            }
            if done.cleaned_to >= end || is_stuck {
                return Ok(Round::Ended(done));
            }
            if is_limited {
                done.status = PassStatus::More;
                return Ok(Round::Ended(done));
            }
            total = Some(done);
        }
    }

    /// The log as it is; `None` if no pass may change it now.
    fn observe(&mut self) -> Result<Option<Log>> {
        let boot_id = self.store.boot_id();
        let expected = self.topic.partition(self.replica.tp().partition)?;
        let is_expected = |page: &StatePage| {
            page.topic_id == self.topic.meta().topic_id
                && expected
                    .replicas
                    .iter()
                    .any(|it| it.uuid == page.replica_uuid)
        };
        let ready = |page: &StatePage| is_in_order(page, boot_id) && is_expected(page);
        let Some(page) = self.replica.proven_page()?.filter(ready) else {
            return Ok(None);
        };
        let now_ms = self.note_clock(&page)?;
        let Some(snapshot) = LogSnapshot::take(&self.replica)? else {
            return Ok(None);
        };
        let LogSnapshot {
            page,
            segments,
            epochs,
        } = snapshot;
        let Some(basis) = Basis::of(&page, boot_id).filter(|_| ready(&page)) else {
            return Ok(None);
        };
        let Some(epochs) = epochs else {
            return Ok(None);
        };
        let cleaned_to = first_dirty(&self.replica, &page)?;
        let mut closed = Vec::new();
        for it in compactable(&**self.replica.dir(), &page, &segments)? {
            if it.end > cleaned_to && !self.is_past_lag(it.base, it.end, now_ms)? {
                break;
            }
            closed.push(it);
        }
        Ok(Some(Log {
            page,
            basis,
            epochs,
            closed,
            cleaned_to,
            now_ms,
        }))
    }

    fn is_past_lag(&self, base: Offset, end: Offset, now_ms: Option<Timestamp>) -> Result<bool> {
        let configs = self.topic.configs();
        if configs.min_compaction_lag_ms == 0 {
            return Ok(true);
        }
        let newest = match timestamps(&**self.replica.dir(), base, end) {
            // The walk of the segment says what is wrong.
            Err(e) if e.kind() == Kind::Damaged => None,
            found => found?.map(|(_, newest)| newest),
        };
        Ok(newest.is_none_or(|newest| is_past_lag(newest, configs, now_ms)))
    }

    fn oldest_dirty(&self, log: &Log) -> Result<Option<Timestamp>> {
        let first = log.closed.iter().find(|it| it.end > log.cleaned_to);
        let Some(first) = first.filter(|_| !self.effort.is_forced) else {
            return Ok(None);
        };
        match timestamps(&**self.replica.dir(), first.base, first.end) {
            Err(e) if e.kind() == Kind::Damaged => Ok(None),
            found => Ok(found?.map(|(oldest, _)| oldest)),
        }
    }

    /// Notes the clocks in the page; returns the wall clock if it may age records.
    fn note_clock(&self, page: &StatePage) -> Result<Option<Timestamp>> {
        let now = Moment::now(&**self.store.clock());
        let (note, verdict) = page.clock.step(now);
        let is_believed = verdict == ClockVerdict::Believed;
        if note != page.clock && !(is_believed && page.clock.is_fresh(now)) {
            let held = self.replica.lock(self.timeout)?;
            let boot_id = self.store.boot_id();
            if let Some(mut page) = held.page()?.filter(|page| is_in_order(page, boot_id)) {
                page.clock = page.clock.step(now).0;
                held.publish(&mut page)?;
            }
        }
        Ok(is_believed.then_some(now.wall_ms))
    }

    /// Maps as many keys as the map takes, and rewrites the segments that it covers; `None` if the log
    /// changed meanwhile.
    fn round(&mut self, log: &Log) -> Result<Option<Compacted>> {
        // An older page, whose durable place is a position in a segment that is written again now, must not
        // come back by a power cut.
        self.replica.sync_page_and_names(self.timeout)?;
        let Mapped { keys, damaged } = self.map(log)?;
        let mut done = Compacted::without_work(PassStatus::Done);
        let covered = keys.covers().end;
        let mut is_older_compacted = true;
        let mut first_damaged: Option<Offset> = None;
        let mut basis = log.basis;
        let segment_bytes = self.topic.configs().segment_bytes;
        let (whole, partly): (Vec<Closed>, Vec<Closed>) =
            log.closed.iter().copied().partition(|it| it.end <= covered);
        let mut runs: Vec<&[Closed]> = Vec::new();
        for part in
            whole.chunk_by(|a, b| !damaged.contains_key(&a.base) && !damaged.contains_key(&b.base))
        {
            runs.extend(joined(part, segment_bytes));
        }
        // The map ended within that segment.
        runs.extend(partly.first().map(std::slice::from_ref));
        for run in runs {
            let rules = RetainRules {
                keys: &keys,
                now_ms: log.now_ms,
                delete_retention_ms: self.topic.configs().delete_retention_ms,
                is_older_compacted,
            };
            let bytes: u64 = run.iter().map(|it| it.bytes).sum();
            done.bytes_before += bytes;
            let wrong = run.first().and_then(|first| damaged.get(&first.base));
            let outcome = match wrong {
                Some(why) => Err(Error::new(Kind::Damaged, why.clone())),
                None => self.replace(log, run, &rules, &mut basis),
            };
            match outcome {
                Ok(None) => return Ok(None),
                Ok(Some((counts, after))) => {
                    done.bytes_after += after;
                    done.records_before += counts.records_before;
                    done.records_after += counts.records_after;
                    done.keyless += counts.keyless;
                }
                Err(e) if e.kind() == Kind::Damaged => {
                    // It stays as it is. What it holds, deletions behind it may still have to delete.
                    is_older_compacted = false;
                    done.bytes_after += bytes;
                    if let Some(first) = run.first() {
                        first_damaged.get_or_insert(first.base);
                    }
                    done.damaged.push(e.to_string());
                }
                Err(e) => return Err(e),
            }
        }
        for left in partly.iter().skip(1) {
            done.bytes_before += left.bytes;
            done.bytes_after += left.bytes;
        }
        done.cleaned_to = covered.min(first_damaged.unwrap_or(covered));
        if done.cleaned_to > log.cleaned_to {
            self.checkpoint(&basis, done.cleaned_to)?;
        }
        Ok(Some(done))
    }

    /// The keys of the segments that were not compacted.
    fn map(&mut self, log: &Log) -> Result<Mapped> {
        let mut keys = KeyMap::new(Uuid::random()?.0, self.effort.key_bytes_max, log.cleaned_to);
        let mut damaged = BTreeMap::new();
        let mut left = self.effort.dirty_bytes_max.unwrap_or(u64::MAX);
        for segment in log.closed.iter().filter(|it| it.end > log.cleaned_to) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(segment.bytes);
            let bases = [segment.base];
            let run = run_of(&self.replica, log, &bases, segment.end, &self.topic);
            let mut go_on = step(&mut self.progress, &mut *self.go_on);
            match map_keys(&run, &mut keys, &mut go_on) {
                Ok(true) => keys.cover(segment.end),
                Ok(false) => break,
                Err(e) if e.kind() == Kind::Damaged => {
                    damaged.insert(segment.base, e.to_string());
                    keys.cover(segment.end);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Mapped { keys, damaged })
    }

    /// Rewrites a run of segments, and puts it in place. Returns what was found, and the bytes after it;
    /// `None` if the log changed meanwhile.
    fn replace(
        &mut self,
        log: &Log,
        run: &[Closed],
        rules: &RetainRules<'_>,
        basis: &mut Basis,
    ) -> Result<Option<(CleanCounts, u64)>> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(None);
        };
        let needed: u64 = run.iter().map(|it| it.bytes).sum();
        check_room(&self.replica, needed)?;
        let bases: Vec<Offset> = run.iter().map(|it| it.base).collect();
        let segments = run_of(&self.replica, log, &bases, last.end, &self.topic);
        let interval = self.topic.configs().index_interval_bytes;
        let mut go_on = step(&mut self.progress, &mut *self.go_on);
        let mut written = rewrite(&segments, rules, interval, &mut go_on)?;
        let (counts, bytes_after) = (written.counts, written.bytes_after);
        let Some(cleaned) = &mut written.cleaned else {
            return Ok(Some((counts, bytes_after)));
        };
        let mut swapper = Swapper {
            replica: &self.replica,
            sync: &mut self.sync,
            timeout: self.timeout,
        };
        // The page as of the round's start has what deletions were gone before.
        let gone = counts.dropped_to;
        let gone = if gone > log.page.deletions_gone {
            gone
        } else {
            0
        };
        let changed = Changed {
            base: first.base,
            end: first.end,
        };
        let is_joined = run.len() > 1;
        let Some(generation) = swapper.swap(basis, changed, cleaned, is_joined, gone)? else {
            return Ok(None);
        };
        basis.generation = generation;
        for (at, joined) in run.iter().enumerate().skip(1) {
            let changed = Changed {
                base: joined.base,
                end: joined.end,
            };
            let is_last = at + 1 == run.len();
            let indexes = is_last.then_some(&mut *cleaned);
            let Some(generation) = swapper.remove(basis, changed, indexes)? else {
                return Ok(None);
            };
            basis.generation = generation;
        }
        Ok(Some((counts, bytes_after)))
    }

    /// Notes how far the log is compacted, unless it changed since.
    fn checkpoint(&self, basis: &Basis, to: Offset) -> Result<()> {
        let dir = &**self.replica.dir();
        let temporary = format!("{CLEANED_FILE}.tmp");
        let text = log_start_text(self.replica.tp(), to);
        match dir.remove(&temporary) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", join(dir, &temporary), e));
            }
            _ => {}
        }
        let error = |op| {
            let path = join(dir, &temporary);
            move |e| Error::io(op, path, e)
        };
        let file = dir
            .open(&temporary, crate::disk::Open::CreateNew)
            .map_err(error("make"))?;
        file.write_at(text.as_bytes(), 0).map_err(error("write"))?;
        file.sync_data().map_err(error("sync"))?;
        let held = self.replica.lock(self.timeout)?;
        let page = held
            .page()?
            .and_then(|page| Basis::of(&page, basis.boot_id));
        if page.is_some_and(|now| now.generation == basis.generation) {
            dir.rename(&temporary, CLEANED_FILE)
                .map_err(error("put in place"))?;
        }
        drop(held);
        dir.sync()
            .map_err(|e| sync_failed(dir.path(), e).with_kind(Kind::Io))
    }
}

fn run_of<'a>(
    replica: &'a Replica,
    log: &'a Log,
    bases: &'a [Offset],
    end: Offset,
    topic: &TopicHandle,
) -> SegmentRun<'a> {
    SegmentRun {
        dir: &**replica.dir(),
        bases,
        end,
        epochs: &log.epochs,
        decompressed_len_max: topic.configs().decompressed_len_max(),
    }
}

/// Counts the bytes of a batch, and asks whether to go on.
fn step<'p>(
    progress: &'p mut Progress,
    go_on: &'p mut dyn FnMut(Progress) -> Result<()>,
) -> impl FnMut(u64) -> Result<()> + 'p {
    move |bytes| {
        progress.done += bytes;
        progress.all = progress.all.max(progress.done);
        go_on(*progress)
    }
}

fn check_room(replica: &Replica, needed: u64) -> Result<()> {
    let dir = &**replica.dir();
    let free = dir
        .free_bytes()
        .map_err(|e| Error::io("look at", dir.path(), e))?;
    if free >= needed.saturating_add(FREE_BYTES_MIN) {
        return Ok(());
    }
    let text = format!(
        "{} has {free} bytes free, and to compact a segment of {} takes {needed} and leaves 64 MiB",
        dir.path().display(),
        replica.tp()
    );
    Err(Error::new(Kind::DiskFull, text).cure("make room on that disk, then try again"))
}
