//! The result of one fetch from one partition.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::partition::LogEdges;
use crate::record::{BatchView, Corrupt, Decompressor, Record};
use crate::types::{Compression, LeaderEpoch, Offset, TimestampType, TopicPartition};

/// Whole batches of one partition, checked. Records at the edges may lie outside `from..until`;
/// [`Fetched::for_each`] skips them.
#[derive(Debug)]
pub struct Fetched {
    /// The partition.
    pub tp: TopicPartition,
    /// The first offset that was requested.
    pub from: Offset,
    /// The offset after the last that was requested.
    pub until: Offset,
    /// The batches.
    pub bytes: Vec<u8>,
    /// The log's edges at the time of the fetch.
    pub edges: LogEdges,
    /// The most bytes that a batch may decompress to, by the topic's config.
    pub decompressed_len_max: usize,
}

/// What is known of a record besides its own fields, from its batch and log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchInfo {
    /// The epoch in which it was appended.
    pub leader_epoch: LeaderEpoch,
    /// What its timestamp means.
    pub timestamp_type: TimestampType,
    /// The codec that it is stored with.
    pub compression: Compression,
    /// The log's edges at the time of the fetch.
    pub edges: LogEdges,
}

impl Fetched {
    /// Calls `f` with each record, in order, until `f` breaks. Control batches are skipped. The
    /// decompressor's bound is the topic's.
    ///
    /// # Errors
    /// [`Damaged`](crate::error::Kind::Damaged) for records that do not decode, though their checksum holds.
    pub fn for_each<B>(
        &self,
        decompressor: &mut Decompressor,
        mut f: impl FnMut(BatchInfo, Record<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        decompressor.allow(self.decompressed_len_max);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let view = BatchView::parse(rest).map_err(|e| self.damaged(e, "a batch"))?;
            let header = *view.header();
            let at = |e| self.damaged(e, &format!("the batch at offset {}", header.base_offset));
            if !header.is_control() {
                let info = BatchInfo {
                    leader_epoch: header.leader_epoch,
                    timestamp_type: header.timestamp_type(),
                    compression: header.compression(),
                    edges: self.edges,
                };
                let inside = header.base_offset >= self.from && header.last_offset() < self.until;
                for record in view.records(decompressor).map_err(at)? {
                    let record = record.map_err(at)?;
                    if !inside && (record.offset < self.from || record.offset >= self.until) {
                        continue;
                    }
                    if let ControlFlow::Break(stop) = f(info, record) {
                        return Ok(Some(stop));
                    }
                }
            }
            rest = rest.get(header.total_len()..).unwrap_or_default();
        }
        Ok(None)
    }

    fn damaged(&self, corrupt: Corrupt, which: &str) -> Error {
        let topic = &self.tp.topic;
        Error::from(corrupt)
            .at(format!("{which} of {}", self.tp))
            .cure(format!(
                "'mq-topics verify {topic} --deep' names the file and the position"
            ))
    }
}

/// The offset after the last batch in `bytes`, and whether one of them is compressed.
pub(super) fn end_of(bytes: &[u8], from: Offset) -> (Offset, bool) {
    let (mut rest, mut end, mut compressed) = (bytes, from, false);
    while let Ok(header) = crate::record::BatchHeader::parse(rest) {
        end = header.last_offset() + 1;
        compressed |= header.compression() != Compression::None;
        rest = rest.get(header.total_len()..).unwrap_or_default();
    }
    (end, compressed)
}
