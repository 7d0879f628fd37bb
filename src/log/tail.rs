//! The end of a log: all that the next append must know without a scan.

use super::offset_index::OffsetIndexEntry;
use super::time_index::TimeIndexEntry;
use crate::record::BatchHeader;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// The last batch of the active segment: enough to check that it is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBatch {
    /// Where it starts in the active segment, bytes.
    pub position: u64,
    /// Its base offset.
    pub base_offset: Offset,
    /// Its checksum as stored.
    pub crc: u32,
}

/// A place in the log between two batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPosition {
    /// The offset of the next record.
    pub offset: Offset,
    /// Base offset of the segment that it is in, or would be.
    pub segment: Offset,
    /// Position in that segment, bytes.
    pub position: u64,
}

/// The committed end of a log, and the state of the indexes' sparse rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// First offset that may be read.
    pub log_start: Offset,
    /// Base offset of the active segment.
    pub active: Offset,
    /// Committed bytes of the active segment.
    pub log_bytes: u64,
    /// Committed bytes of its offset index.
    pub index_bytes: u64,
    /// Committed bytes of its time index.
    pub time_index_bytes: u64,
    /// Log end: the next offset.
    pub end: Offset,
    /// The last batch of the active segment; `None` while that is empty.
    pub last: Option<LastBatch>,
    /// Leader epoch of the last batch of the log.
    pub epoch: LeaderEpoch,
    /// Bytes appended since the last index entry.
    pub unindexed_bytes: u64,
    /// Largest timestamp in the active segment; -1: none.
    pub max_timestamp: Timestamp,
    /// Last offset of the batch that set it.
    pub max_timestamp_offset: Offset,
    /// Timestamp of the last time index entry; -1: none.
    pub time_indexed: Timestamp,
    /// Largest timestamp of the first batch of the active segment; -1: none.
    pub first_timestamp: Timestamp,
}

impl Tail {
    /// An empty log that begins at `start`.
    pub fn empty(start: Offset) -> Self {
        Tail {
            log_start: start,
            active: start,
            log_bytes: 0,
            index_bytes: 0,
            time_index_bytes: 0,
            end: start,
            last: None,
            epoch: 0,
            unindexed_bytes: 0,
            max_timestamp: -1,
            max_timestamp_offset: start,
            time_indexed: -1,
            first_timestamp: -1,
        }
    }

    /// This log with a new, empty active segment at its end.
    #[must_use]
    pub fn rolled(self) -> Self {
        Tail {
            log_start: self.log_start,
            epoch: self.epoch,
            ..Tail::empty(self.end)
        }
    }

    /// Where the next batch goes.
    pub fn place(&self) -> LogPosition {
        LogPosition {
            offset: self.end,
            segment: self.active,
            position: self.log_bytes,
        }
    }

    /// This log with one more batch (already in the file at [`Tail::log_bytes`]), and the index
    /// entries that Kafka's sparse rule asks for (`LogSegment.append`).
    pub fn with_batch(
        mut self,
        header: &BatchHeader,
        index_interval_bytes: u64,
    ) -> (Self, Option<OffsetIndexEntry>, Option<TimeIndexEntry>) {
        let bytes = header.total_len() as u64;
        let position = self.log_bytes;
        let last_offset = header.last_offset();
        if self.last.is_none() {
            self.first_timestamp = header.max_timestamp;
        }
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = last_offset;
        }
        self.last = Some(LastBatch {
            position,
            base_offset: header.base_offset,
            crc: header.crc,
        });
        self.log_bytes += bytes;
        self.end = last_offset + 1;
        self.epoch = header.leader_epoch;
        let (mut index, mut time_index) = (None, None);
        if self.unindexed_bytes > index_interval_bytes {
            index = Some(OffsetIndexEntry {
                offset: last_offset,
                position,
            });
            self.index_bytes += OffsetIndexEntry::BYTES;
            self.unindexed_bytes = 0;
            time_index = self.due_time_entry();
            if time_index.is_some() {
                self.time_index_bytes += TimeIndexEntry::BYTES;
                self.time_indexed = self.max_timestamp;
            }
        }
        self.unindexed_bytes += bytes;
        (self, index, time_index)
    }

    /// The time index entry that is due now (or is forced at a roll): only a larger timestamp.
    pub fn due_time_entry(&self) -> Option<TimeIndexEntry> {
        (self.max_timestamp > self.time_indexed).then_some(TimeIndexEntry {
            timestamp: self.max_timestamp,
            offset: self.max_timestamp_offset,
        })
    }
}

impl Tail {
    /// This log after its last batch's index entries could not be written (`before`: the log
    /// without that batch): they are written with the next batch.
    pub(crate) fn without_entries(mut self, before: &Tail) -> Self {
        self.index_bytes = before.index_bytes;
        self.time_index_bytes = before.time_index_bytes;
        self.time_indexed = before.time_indexed;
        self.unindexed_bytes = before
            .unindexed_bytes
            .saturating_add(self.log_bytes - before.log_bytes);
        self
    }
}
