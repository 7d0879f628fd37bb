//! The log start that a checkpoint knows and a state page does not: the process that raised it died
//! before it published, or the page is lost or older.

use super::replica_recovery::ReplicaRecovery;
use crate::error::Result;
use crate::log::{LogPosition, Segments};
use crate::partition::state_page::StatePage;
use crate::types::Offset;

impl ReplicaRecovery<'_> {
    /// Takes the log start of the checkpoint if that is above the page's. Returns whether it is.
    pub(crate) fn adopt_log_start(&self, page: &mut StatePage) -> Result<bool> {
        let replica = self.held.replica();
        let Some(start) = replica.checkpointed_start()? else {
            return Ok(false);
        };
        if start <= page.tail.log_start {
            return Ok(false);
        }
        page.tail.log_start = start;
        // The log was durable up to the start, and shown, before the checkpoint was put in place.
        page.high_watermark = page.high_watermark.max(start);
        page.last_stable_offset = page.last_stable_offset.max(start);
        let segments = Segments::list(&**replica.dir())?.since(start);
        if let Some(first) = segments.bases().first().copied()
            && page.durable.segment < first
        {
            page.durable = LogPosition {
                offset: first,
                segment: first,
                position: 0,
            };
        }
        Ok(true)
    }

    /// Where the log starts if there is no page: by the checkpoint, or with the first segment; `None`
    /// if there is no segment.
    pub(super) fn start_without_page(&self) -> Result<Option<Offset>> {
        let replica = self.held.replica();
        let segments = Segments::list(&**replica.dir())?;
        let Some(first) = segments.bases().first().copied() else {
            return Ok(None);
        };
        let start = replica.checkpointed_start()?;
        Ok(Some(start.map_or(first, |start| start.max(first))))
    }
}
