//! Repairs a replica on request: sound batches are kept, the rest is set aside.

use super::replica_recovery::ReplicaRecovery;
use crate::error::Result;
use crate::log::{self, PartitionMetadata, Segments};
use crate::partition::state_page::{Intent, Seal, StatePage, UnseenSync};

impl ReplicaRecovery<'_> {
    /// Repairs the replica, whatever is wrong with it: the log ends at the first break, what follows is set aside, the rest is rewritten, and the offline mark is
    /// cleared. Removes nothing that is sound and in sequence.
    pub fn repair(&mut self, page: Option<StatePage>) -> Result<StatePage> {
        let replica = self.held.replica();
        self.appender.forget();
        let mut page = match page {
            Some(page) => page,
            None => self.page_from_nothing()?,
        };
        self.check_ids(&page)?;
        self.adopt_log_start(&mut page)?;
        self.adopt_deletions_gone(&mut page)?;
        let dir = &**replica.dir();
        log::begin_if_lost(dir, page.tail.log_start)?;
        let segments = Segments::list(dir)?.since(page.tail.log_start);
        let first = segments
            .bases()
            .first()
            .copied()
            .unwrap_or(page.tail.log_start);
        let start = log::LogPosition {
            offset: first,
            segment: first,
            position: 0,
        };
        let newest = self.newest_epoch(&page);
        *self.epochs = log::epochs_that_fit(dir, &segments, replica.epochs()?, newest)?;
        page.intent = Intent::Rewrite;
        page.begin_generation(UnseenSync::Copied);
        self.held.publish(&mut page)?;
        let durable =
            log::last_sound_place(dir, &segments, start, page.durable, Some(&*self.epochs))?;
        page.durable = durable;
        let log_start = page.tail.log_start.max(first).min(durable.offset);
        let recovered = log::copy_from(
            dir,
            log_start,
            durable,
            self.epochs,
            self.expected.index_interval_bytes,
            self.cuts,
        );
        let recovered = self.or_offline(&mut page, recovered)?;
        self.renew_metadata(&mut page)?;
        page.offline = None;
        // Records that were readable may be gone: the next append begins a new epoch.
        page.seal = Some(Seal::Recovered);
        let page = self.settle(page, recovered, true)?;
        self.held.clear_failed()?;
        Ok(page)
    }

    /// Writes `partition.metadata` again if it does not name the topic and the replica of the page
    /// and the topic file.
    fn renew_metadata(&self, page: &mut StatePage) -> Result<()> {
        let replica = self.held.replica();
        let due = PartitionMetadata {
            topic_id: self.expected.topic_id,
            replica_uuid: Some(self.expected.replica_uuid),
        };
        if replica.metadata()? == Some(due) {
            return Ok(());
        }
        let written = replica.replace_small(PartitionMetadata::FILE, due.to_text().as_bytes());
        self.or_offline(page, written)
    }
}
