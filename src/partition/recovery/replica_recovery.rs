//! Recovers a replica under its append lock: what a dead writer, a power cut or a failed sync left
//! behind is finished, adopted, truncated or rewritten before the next append.
//!
//! 1. A page is believed only if it is of this boot, this topic and this replica, and the log
//!    matches it.
//! 2. What is found beyond it in the same boot was written by a process that died: whole sound
//!    batches are kept, the torn rest is cut.
//! 3. With an fsync for every message, no known successful fsync covers the bytes above the durable
//!    offset, so a recovery rewrites them (`log::copy_from`).
//! 4. If anything that was readable may be gone, the log is sealed until a new leader epoch begins:
//!    no (epoch, offset) is used twice.
//! 5. If the epoch checkpoint is lost, or the log contradicts it, it is recreated from the batches.
//!    That is checked at a process's first use, and in every recovery that has a page.

use super::decision::{self, Found, PageFound, SyncFound, Then};
use crate::disk::Open;
use crate::error::{Error, Kind, Result};
use crate::log::{
    self, Appender, Cut, FileKind, LeaderEpochs, RecoverFrom, SegmentFile, Segments, Tail, WalkFrom,
};
use crate::partition::expected_replica::ExpectedReplica;
use crate::partition::replica::{AppendGuard, offline_error};
use crate::partition::replication::JoiningSet;
use crate::partition::state_page::{Intent, Offline, Role, Seal, StatePage, UnseenSync};
use crate::types::{LeaderEpoch, Offset};

/// A replica in recovery.
pub(crate) struct ReplicaRecovery<'a> {
    pub held: &'a AppendGuard<'a>,
    pub expected: ExpectedReplica,
    pub appender: &'a mut Appender,
    pub epochs: &'a mut LeaderEpochs,
    /// What recoveries cut, for the caller to report.
    pub cuts: &'a mut Vec<Cut>,
}

impl ReplicaRecovery<'_> {
    /// Recovers the replica if necessary; returns the page, which then matches the log.
    ///
    /// `known` is the sequence number of the page that this process published last, if any: if it
    /// is unchanged, no other process wrote since. `first` is the first use by this process.
    ///
    /// # Errors
    /// [`Kind::Offline`], [`Kind::Damaged`], [`Kind::Fenced`] (another topic or replica).
    pub fn ready(
        &mut self,
        page: Option<StatePage>,
        known: Option<u64>,
        first: bool,
    ) -> Result<StatePage> {
        let Some(mut page) = page else {
            return self.recover(None);
        };
        self.check_ids(&page)?;
        let offline = if first {
            self.held.replica().offline(&page)?
        } else {
            page.offline
        };
        let is_other_boot = page.boot_id != self.expected.boot_id;
        if let Some(why) = offline {
            return Err(offline_error(self.held.replica(), why));
        }
        if is_other_boot {
            self.adopt_deletions_gone(&mut page)?;
        }
        if (first || is_other_boot) && self.adopt_log_start(&mut page)? {
            self.held.publish(&mut page)?;
        }
        if let Intent::Truncate(to) = page.intent {
            return self.finish_truncation(page, to);
        }
        if page.boot_id != self.expected.boot_id {
            return self.recover(Some(page));
        }
        if self.appender.enter(page.generation, page.leader_epoch) {
            // Files or epochs may differ from those that were read before.
            match self.held.replica().epochs()? {
                Some(epochs) if epochs.last() >= Some(page.begun_epoch()) => *self.epochs = epochs,
                _ => return self.recover(Some(page)),
            }
        }
        match page.intent {
            Intent::None => {}
            _ if first => return self.recover(Some(page)),
            Intent::Roll(next) => return self.finish_roll(page, next),
            Intent::Rewrite | Intent::Truncate(_) => return self.rewrite(page),
        }
        let tail = &page.tail;
        let Ok(len) = self.appender.file_len(tail) else {
            return self.recover(Some(page));
        };
        if known == Some(page.sequence) && len == tail.log_bytes {
            return Ok(page);
        }
        if len < tail.log_bytes || !self.last_in_place(tail)? {
            return self.recover(Some(page));
        }
        if first {
            // One listing for both: under the lock no other process creates or removes segments.
            let segments = self.segments(&page)?;
            let sound = len == tail.log_bytes
                && self.sound_since_durable(&page, &segments)?
                && self.epochs_are_right(&page, &segments)?;
            return if sound {
                Ok(page)
            } else {
                self.recover(Some(page))
            };
        }
        if len > tail.log_bytes {
            return self.adopt(page);
        }
        Ok(page)
    }

    pub(crate) fn check_ids(&self, page: &StatePage) -> Result<()> {
        if page.topic_id == self.expected.topic_id
            && page.replica_uuid == self.expected.replica_uuid
        {
            return Ok(());
        }
        Err(Error::new(
            Kind::Fenced,
            format!(
                "NOT_LEADER_OR_FOLLOWER: the directory of {} belongs to another topic or replica",
                self.held.replica().tp()
            ),
        )
        .cure("look at the topic again: it was deleted, or created again"))
    }

    fn last_in_place(&mut self, tail: &Tail) -> Result<bool> {
        let Some(last) = tail.last else {
            return Ok(true);
        };
        let log = self.appender.log_file(tail)?;
        let mut raw = [0; crate::record::BATCH_HEADER_LEN];
        let read = log
            .read_at(&mut raw, last.position)
            .map_err(|e| Error::io("read", self.held.replica().dir().path(), e))?;
        Ok(read == raw.len()
            && crate::record::BatchHeader::parse(&raw).is_ok_and(|header| {
                header.base_offset == last.base_offset && header.crc == last.crc
            }))
    }

    /// The check at a process's first use: no segment that the page does not know, and (if every
    /// message is synced) sound batches from the durable offset to the end.
    fn sound_since_durable(&self, page: &StatePage, segments: &Segments) -> Result<bool> {
        let dir = &**self.held.replica().dir();
        if segments.bases().last() != Some(&page.tail.active) {
            return Ok(false);
        }
        if !self.expected.every_message {
            return Ok(true);
        }
        let mut offset = page.durable.offset;
        for base in segments.from(page.durable.segment).iter().copied() {
            let name = SegmentFile::new(base, FileKind::Log).name();
            let Ok(file) = dir.open(&name, Open::Read) else {
                return Ok(false);
            };
            let error = |e| Error::io("read", dir.path().join(&name), e);
            let len = if base == page.tail.active {
                page.tail.log_bytes
            } else {
                file.len().map_err(error)?
            };
            let position = if base == page.durable.segment {
                page.durable.position
            } else {
                0
            };
            let from = WalkFrom {
                position,
                offset,
                epoch: 0,
            };
            let next = segments.after(base);
            let epochs = Some(&*self.epochs);
            let walked =
                log::walk(&*file, from, len, next, epochs, &mut |_, _, _| Ok(())).map_err(error)?;
            if walked.stopped.is_some() {
                return Ok(false);
            }
            offset = walked.offset;
        }
        Ok(offset == page.tail.end)
    }

    /// Adopts what a dead writer of this boot left in the active segment.
    fn adopt(&mut self, mut page: StatePage) -> Result<StatePage> {
        page.tail = log::adopt(
            self.appender,
            &page.tail,
            self.epochs,
            self.expected.index_interval_bytes,
        )?;
        self.publish_shown(&mut page)?;
        Ok(page)
    }

    /// Publishes with the high watermark that follows from the log.
    fn publish_shown(&self, page: &mut StatePage) -> Result<()> {
        self.expected.raise_high_watermark(page);
        self.held.publish(page)
    }

    /// Finishes a roll that was begun and not published: a segment that holds a sound batch is
    /// adopted, any other one is worthless.
    fn finish_roll(&mut self, mut page: StatePage, next: Offset) -> Result<StatePage> {
        let dir = &**self.held.replica().dir();
        if next == page.tail.end && log::begins_with_a_batch(dir, next, Some(self.epochs))? {
            let rolled = page.tail.rolled();
            page.tail = log::adopt(
                self.appender,
                &rolled,
                self.epochs,
                self.expected.index_interval_bytes,
            )?;
            page.unsynced_names += 3;
        } else {
            // If it stayed, a listing would show the active segment as ended at its base.
            self.appender.remove_segment(next)?;
            page.unsynced_names += 3;
        }
        page.intent = Intent::None;
        self.publish_shown(&mut page)?;
        Ok(page)
    }

    /// Rewrites everything above the durable offset: no fsync covers it.
    pub fn rewrite(&mut self, mut page: StatePage) -> Result<StatePage> {
        let replica = self.held.replica();
        page.intent = Intent::Rewrite;
        page.begin_generation(UnseenSync::Copied);
        self.held.publish(&mut page)?;
        self.appender.forget();
        let recovered = log::copy_from(
            &**replica.dir(),
            page.tail.log_start,
            page.durable,
            self.epochs,
            self.expected.index_interval_bytes,
            self.cuts,
        );
        let recovered = self.or_offline(&mut page, recovered)?;
        self.settle(page, recovered, true)
    }

    /// Walks the log and publishes what it holds. Without a page only the log is known.
    fn recover(&mut self, page: Option<StatePage>) -> Result<StatePage> {
        let replica = self.held.replica();
        self.appender.forget();
        let same_boot = page.is_some_and(|page| page.boot_id == self.expected.boot_id);
        let mut checkpoint = replica.epochs()?;
        if let (Some(page), Some(found)) = (&page, &checkpoint) {
            let known = if same_boot {
                page.tail.end
            } else {
                page.durable.offset
            };
            if let Some(carried) = self.epochs_instead(page, known, found)? {
                checkpoint = Some(carried);
            }
        }
        let from = RecoverFrom {
            log_start: match page {
                Some(page) => Some(page.tail.log_start),
                None => self.start_without_page()?,
            },
            durable: page.map(|page| page.durable),
            index_interval_bytes: self.expected.index_interval_bytes,
        };
        let recovered = log::recover(&**replica.dir(), from, checkpoint.as_ref(), self.cuts);
        let mut next = match page {
            Some(page) => page,
            None => self.page_from_nothing()?,
        };
        let shown_unsynced = !same_boot && !self.expected.every_message;
        if shown_unsynced && self.expected.role == Role::Leader {
            // A page that a dead process wrote for a promotion may be lost before its sync, and
            // with it the fact that others made records of that epoch readable. Only an epoch above
            // the topic file's was never used.
            next.leader_epoch = next.leader_epoch.max(self.expected.leader_epoch);
        }
        let mut recovered = self.or_offline(&mut next, recovered)?;
        begin_epoch(&mut recovered, &next);
        *self.epochs = recovered.epochs.clone();
        let notes = replica.sync_notes()?;
        let decision = decision::decide(Found {
            page: match &page {
                None => PageFound::Lost,
                Some(_) if same_boot => PageFound::OfThisBoot,
                Some(_) => PageFound::OfAnotherBoot,
            },
            sync: if page.is_none() && notes.failed.is_some() {
                SyncFound::Failed
            } else if notes
                .of_page(same_boot || page.is_none())
                .unfinished(page.as_ref())
            {
                SyncFound::Unseen
            } else {
                SyncFound::Clear
            },
            every_message: self.expected.every_message,
            replicated: self.expected.replicated,
            copy_begun: next.intent == Intent::Rewrite,
        });
        if decision.durable_unknown {
            let segments = Segments::list(&**replica.dir())?.since(recovered.tail.log_start);
            let first = segments.bases().first().copied().unwrap_or_default();
            next.tail = recovered.tail;
            next.durable = log::LogPosition {
                offset: first,
                segment: first,
                position: 0,
            };
        }
        if decision.seal {
            next.seal = Some(Seal::Recovered);
        }
        match decision.then {
            Then::Offline => {
                self.held.take_offline(&mut next, Offline::SyncFailed)?;
                Err(offline_error(replica, Offline::SyncFailed))
            }
            Then::Copy if recovered.tail.end > next.durable.offset => self.rewrite(next),
            Then::Keep => self.settle(next, recovered, false),
            // There is nothing to rewrite.
            Then::Copy if same_boot => self.settle(next, recovered, false),
            Then::Copy | Then::Sync => {
                // What was found is made durable before it becomes readable. If this process dies
                // within the syncs, no process believes a later one: the kernel reports a sync
                // error only once.
                self.held
                    .note_recovery(next.generation, recovered.tail.end)?;
                let synced = self.sync_from(if page.is_some() {
                    next.durable.segment
                } else {
                    0
                });
                self.or_offline(&mut next, synced)?;
                let settled = self.settle(next, recovered, true)?;
                self.held.clear_recovery();
                Ok(settled)
            }
        }
    }

    /// The page of a replica of which only the log is known. Its generation is one that no earlier
    /// page can have had.
    pub(crate) fn page_from_nothing(&self) -> Result<StatePage> {
        let replica = self.held.replica();
        if let Some(metadata) = replica.metadata()? {
            let mut probe = StatePage::new(
                self.expected.boot_id,
                metadata.topic_id,
                self.expected.replica_uuid,
                0,
            );
            if let Some(uuid) = metadata.replica_uuid {
                probe.replica_uuid = uuid;
            }
            self.check_ids(&probe)?;
        }
        let mut page = StatePage::new(
            self.expected.boot_id,
            self.expected.topic_id,
            self.expected.replica_uuid,
            0,
        );
        page.generation = replica.clock().now_ms().max(1) as u64;
        self.adopt_deletions_gone(&mut page)?;
        // The lost page may have been of any epoch up to the topic file's: only one above that was
        // never used.
        page.leader_epoch = self.expected.leader_epoch;
        page.role = self.expected.role;
        if page.role == Role::Follower {
            // It has not been compared with the leader of any epoch yet.
            page.leader_epoch = 0;
        }
        Ok(page)
    }

    /// Publishes a recovered log. `synced`: all of it is on disk.
    pub(crate) fn settle(
        &mut self,
        mut page: StatePage,
        mut recovered: log::Recovered,
        synced: bool,
    ) -> Result<StatePage> {
        let before = page;
        let forgotten = self.forget_cleaned_beyond(recovered.tail.end);
        self.or_offline(&mut page, forgotten)?;
        begin_epoch(&mut recovered, &page);
        self.write_epochs(&mut page, &recovered.epochs)?;
        // Followers copy up to the log end.
        let shown = if self.expected.replicated {
            page.tail.end
        } else {
            page.high_watermark
        };
        page.enter_boot(self.expected.boot_id);
        // The recovery has read any note that remains, or has rewritten its bytes.
        page.begin_generation(UnseenSync::Copied);
        page.intent = Intent::None;
        page.tail = recovered.tail;
        if synced {
            page.durable = page.tail.place();
            page.unsynced_names = 0;
        } else {
            // The process that created a segment that was found here may have died before it
            // counted its names.
            page.unsynced_names += 1;
        }
        if page.tail.end < shown {
            page.seal = Some(Seal::Recovered);
            page.high_watermark = page.high_watermark.min(page.tail.end);
            page.last_stable_offset = page.high_watermark;
        }
        *self.epochs = recovered.epochs;
        self.appender.enter(page.generation, page.leader_epoch);
        self.expected.raise_high_watermark(&mut page);
        self.held.publish_synced(&mut page)?;
        if synced {
            return Ok(page);
        }
        self.copy_if_unseen(&before, page)
    }

    /// After a new generation was published: rewrites the bytes of a commit that left its note
    /// before it could see that generation. A commit rereads the page once its note is written, and
    /// gives up if the generation changed; so either the commit sees this generation, or its note
    /// is seen here.
    pub(crate) fn copy_if_unseen(
        &mut self,
        before: &StatePage,
        page: StatePage,
    ) -> Result<StatePage> {
        if self.held.replica().sync_notes()?.unfinished(Some(before)) {
            return self.rewrite(page);
        }
        Ok(page)
    }

    /// Damage and failed syncs take the replica offline for every process.
    pub(crate) fn or_offline<T>(&self, page: &mut StatePage, outcome: Result<T>) -> Result<T> {
        let why = match &outcome {
            Err(e) if e.kind() == Kind::Damaged => Offline::Damaged,
            Err(e) if e.kind() == Kind::Offline => Offline::SyncFailed,
            _ => return outcome,
        };
        self.held.take_offline(page, why)?;
        outcome
    }

    /// Changes the epochs: the checkpoint first, the copy in memory only once that is written.
    pub(crate) fn change_epochs(
        &mut self,
        page: &mut StatePage,
        change: impl FnOnce(&mut LeaderEpochs),
    ) -> Result<()> {
        let mut epochs = self.epochs.clone();
        change(&mut epochs);
        self.write_epochs(page, &epochs)?;
        *self.epochs = epochs;
        Ok(())
    }

    /// Replaces the epoch checkpoint, unless it has these epochs already.
    pub(crate) fn write_epochs(&self, page: &mut StatePage, epochs: &LeaderEpochs) -> Result<()> {
        let replica = self.held.replica();
        if replica.epochs()?.as_ref() == Some(epochs) {
            // The process that renamed it into place may have died before it synced that.
            let dir = replica.dir();
            let synced = dir.sync().map_err(|e| log::sync_failed(dir.path(), e));
            return self.or_offline(page, synced);
        }
        let written = replica.replace_small(LeaderEpochs::FILE, epochs.to_text().as_bytes());
        self.or_offline(page, written)
    }

    pub(crate) fn sync_from(&self, segment: Offset) -> Result<()> {
        let dir = &**self.held.replica().dir();
        for base in Segments::list(dir)?.from(segment).iter().copied() {
            for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
                let name = SegmentFile::new(base, kind).name();
                match dir.open(&name, Open::Write) {
                    Ok(file) => file
                        .sync_data()
                        .map_err(|e| log::sync_failed(dir.path().join(&name), e))?,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io("open", dir.path().join(&name), e)),
                }
            }
        }
        dir.sync().map_err(|e| log::sync_failed(dir.path(), e))
    }

    /// Begins a leader epoch at the log's end, and lifts a seal.
    pub fn promote(&mut self, mut page: StatePage, epoch: LeaderEpoch) -> Result<StatePage> {
        let end = page.tail.end;
        self.change_epochs(&mut page, |epochs| {
            epochs.begin(epoch, end);
        })?;
        page.leader_epoch = epoch;
        page.role = Role::Leader;
        page.seal = None;
        page.joining = JoiningSet::default();
        self.expected.raise_high_watermark(&mut page);
        self.appender.enter(page.generation, epoch);
        self.held.publish_synced(&mut page)?;
        Ok(page)
    }
}

impl ReplicaRecovery<'_> {
    /// The newest epoch that was ever begun: the topic file's is raised first.
    pub(crate) fn newest_epoch(&self, page: &StatePage) -> LeaderEpoch {
        self.expected.leader_epoch.max(page.leader_epoch)
    }

    /// Whether the checkpoint is kept: it fits the log, or the log itself may be damaged.
    fn epochs_are_right(&self, page: &StatePage, segments: &Segments) -> Result<bool> {
        let dir = &**self.held.replica().dir();
        let tail = &page.tail;
        let known = self.known_epochs(page);
        let fit = log::latest_epochs_fit(dir, segments, tail, self.epochs, known);
        Ok(fit || self.epochs_instead(page, tail.end, self.epochs)?.is_none())
    }

    /// The segments from the page's log start on.
    fn segments(&self, page: &StatePage) -> Result<Segments> {
        let all = Segments::list(&**self.held.replica().dir())?;
        Ok(all.since(page.tail.log_start))
    }

    fn known_epochs(&self, page: &StatePage) -> log::KnownEpochs {
        log::KnownEpochs {
            current: page.begun_epoch(),
            newest: self.newest_epoch(page),
        }
    }

    fn epochs_instead(
        &self,
        page: &StatePage,
        until: Offset,
        checkpoint: &LeaderEpochs,
    ) -> Result<Option<LeaderEpochs>> {
        let dir = &**self.held.replica().dir();
        let segments = self.segments(page)?;
        let known = self.known_epochs(page);
        log::epochs_instead(dir, &segments, &page.tail, until, checkpoint, known)
    }
}

/// If no batch of the page's epoch is left, that epoch begins at the log end: the next append needs
/// its entry in the checkpoint. A follower's begins with its first batch.
fn begin_epoch(recovered: &mut log::Recovered, page: &StatePage) {
    if page.role == Role::Leader {
        let end = recovered.tail.end;
        recovered.epochs.begin(page.leader_epoch, end);
    }
}
