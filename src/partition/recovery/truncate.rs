//! Truncates a replica's log: a follower has records that its leader lacks.
//!
//! 1. First the page describes the truncated log, with an intent and a new generation, synced: a
//!    durable offset is never lowered in the cache only.
//! 2. Then segments are removed, the last one first, the active one is shortened, and indexes and
//!    the epoch checkpoint are corrected. All of it is synced before the intent is cleared.
//! 3. A process that finds the intent finishes the truncation, in another boot, too.

use super::replica_recovery::ReplicaRecovery;
use crate::disk::Open;
use crate::error::{Error, Result};
use crate::log::{self, FileKind, LogPosition, RecoverFrom, SegmentFile, Segments, Tail};
use crate::partition::state_page::{Intent, Seal, StatePage, UnseenSync};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

impl ReplicaRecovery<'_> {
    /// Removes the log from `to` on, if that lies between two batches; else from the batch that
    /// holds `to`.
    pub(crate) fn truncate(&mut self, mut page: StatePage, to: Offset) -> Result<StatePage> {
        let to = to.max(page.tail.log_start);
        if to >= page.tail.end {
            return Ok(page);
        }
        let dir = &**self.held.replica().dir();
        let segments = Segments::list(dir)?;
        let at = log::locate(dir, &segments, &page.tail, to)?;
        let place = LogPosition {
            offset: at.offset,
            segment: at.segment,
            position: at.position,
        };
        page.intent = Intent::Truncate(place.offset);
        // The note of a commit of the generation before counts until the truncation is finished:
        // that step reads the notes, and a commit rereads the page once its note is written.
        page.begin_generation(UnseenSync::None);
        page.tail = Tail {
            log_start: page.tail.log_start,
            log_bytes: place.position,
            end: place.offset,
            ..Tail::empty(place.segment)
        };
        if page.durable.offset > place.offset {
            page.durable = place;
        }
        page.high_watermark = page.high_watermark.min(place.offset);
        page.last_stable_offset = page.high_watermark;
        self.held.publish_synced(&mut page)?;
        self.finish_truncation(page, place.offset)
    }

    pub(crate) fn finish_truncation(
        &mut self,
        mut page: StatePage,
        to: Offset,
    ) -> Result<StatePage> {
        let replica = self.held.replica();
        let dir = &**replica.dir();
        self.appender.forget();
        let active = page.tail.active;
        let segments = Segments::list(dir)?;
        for base in segments.from(active + 1).iter().rev() {
            self.appender.remove_segment(*base)?;
        }
        let name = SegmentFile::new(active, FileKind::Log).name();
        let error = |op| {
            let path = dir.path().join(&name);
            move |e| Error::io(op, path, e)
        };
        let log = dir.open(&name, Open::Write).map_err(error("open"))?;
        if log.len().map_err(error("look at"))? > page.tail.log_bytes {
            log.set_len(page.tail.log_bytes).map_err(error("cut"))?;
        }
        let from = RecoverFrom {
            log_start: Some(page.tail.log_start),
            durable: Some(page.durable),
            index_interval_bytes: self.expected.index_interval_bytes,
        };
        let checkpoint = replica.epochs()?;
        let recovered = log::recover(dir, from, checkpoint.as_ref(), self.cuts);
        let mut recovered = self.or_offline(&mut page, recovered)?;
        let forgotten = self.forget_cleaned_beyond(recovered.tail.end);
        self.or_offline(&mut page, forgotten)?;
        // An epoch that begins at the new log end or later is not this log's any more.
        recovered.epochs.cut(recovered.tail.end.min(to).max(1));
        if replica.sync_notes()?.unfinished(Some(&page)) {
            // The note is of an earlier commit, or of a process that died within this truncation:
            // no later sync covers what is left, so it is rewritten.
            self.write_epochs(&mut page, &recovered.epochs)?;
            *self.epochs = recovered.epochs;
            page.tail = recovered.tail;
            if page.boot_id != self.expected.boot_id {
                page.seal = Some(Seal::Recovered);
            }
            let page = self.rewrite(page)?;
            self.held.clear_recovery();
            return Ok(page);
        }
        self.held.note_recovery(page.generation, page.tail.end)?;
        let synced = self.sync_from(page.durable.segment);
        self.or_offline(&mut page, synced)?;
        self.write_epochs(&mut page, &recovered.epochs)?;
        if page.boot_id != self.expected.boot_id {
            page.enter_boot(self.expected.boot_id);
            page.seal = Some(Seal::Recovered);
        }
        page.tail = recovered.tail;
        // A power cut may have taken more than the truncation removes.
        page.high_watermark = page.high_watermark.min(page.tail.end);
        page.last_stable_offset = page.high_watermark;
        page.durable = page.tail.place();
        page.unsynced_names = 0;
        page.intent = Intent::None;
        // A commit does nothing while the intent is published, and rereads the page after its note.
        page.begin_generation(UnseenSync::None);
        *self.epochs = recovered.epochs;
        self.held.publish_synced(&mut page)?;
        self.held.clear_recovery();
        self.appender.enter(page.generation, page.leader_epoch);
        Ok(page)
    }
}

/// The note about records that a follower drops.
pub(crate) fn given_up(tp: &TopicPartition, to: Offset, end: Offset, epoch: LeaderEpoch) -> String {
    let records = end - to;
    format!(
        "{tp}: the log was truncated to offset {to}: {records} records beyond it were dropped, as the \
         leader of epoch {epoch} does not have them"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OsDisk;
    use crate::lifecycle::{NewTopic, create_topic};
    use crate::partition::append::{CommitNote, PartitionWriter, SYNC_FILE};
    use crate::record::BatchBuilder;
    use crate::store::StoreDir;
    use crate::types::{Compression, TimestampType, TopicName, TopicPartition};

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// A partition with three records, of which none is durable, and the inode of its log.
    fn three_records() -> (tempfile::TempDir, Arc<StoreDir>, PartitionWriter) {
        let at = tempfile::tempdir().expect("a place");
        let clock = Arc::new(SystemClock::default());
        let path = at.path().join("store");
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store");
        let store = Arc::new(store);
        let name = TopicName::new("t").expect("a name");
        let configs = BTreeMap::from([("flush.messages".to_owned(), "never".to_owned())]);
        let topic = NewTopic::embedded(name.clone(), 1).with_configs(configs);
        create_topic(&store, &topic, TIMEOUT).expect("topic");
        let tp = TopicPartition::new(name, 0);
        let mut writer = PartitionWriter::open(&store, &tp, TIMEOUT).expect("open");
        for _ in 0..3 {
            let mut builder = BatchBuilder::new();
            builder.append_value(1, b"v").expect("append");
            let mut batch = builder
                .finish(Compression::None, TimestampType::CreateTime)
                .expect("finish");
            writer.append(&mut batch).expect("append");
        }
        (at, store, writer)
    }

    #[test]
    fn a_truncation_copies_what_a_sync_covered_whose_end_nobody_saw() {
        for is_unseen in [false, true] {
            let (_at, store, writer) = three_records();
            let replica = writer.replica();
            let page = replica.read_page().expect("read").expect("a page");
            assert_eq!((page.tail.end, page.durable.offset), (3, 0));
            let log = SegmentFile::new(0, FileKind::Log).name();
            // Kept open: an inode's number is reused.
            let before = replica.dir().open(&log, Open::Read).expect("open");
            if is_unseen {
                let note = CommitNote {
                    boot_id: store.boot_id(),
                    generation: page.generation,
                    end: 2,
                    pid: 1,
                };
                let file = replica.dir().open(SYNC_FILE, Open::Write).expect("open");
                note.write(&*file).expect("write");
            }
            let held = replica.lock(TIMEOUT).expect("lock");
            let expected = crate::partition::expected_replica::ExpectedReplica::of_leader(
                &store,
                writer.topic(),
                writer.tp(),
            );
            let mut appender = log::Appender::new(Arc::clone(replica.dir()));
            let mut epochs = replica.epochs().expect("read").expect("epochs");
            let mut recovery = ReplicaRecovery {
                held: &held,
                expected: expected.expect("judge"),
                appender: &mut appender,
                epochs: &mut epochs,
                cuts: &mut Vec::new(),
            };
            let after = recovery.truncate(page, 2).expect("truncated");
            assert_eq!((after.tail.end, after.durable.offset), (2, 2));
            let is_copied = replica.dir().id(&log).expect("id") != before.id().expect("id");
            assert_eq!(is_copied, is_unseen);
        }
    }
}
