//! Batches without records, which compaction leaves so that batches stay consecutive
//! (`DefaultRecordBatch.writeEmptyHeader`).

use super::stamp::set_crc;
use super::{BATCH_HEADER_LEN, BatchHeader, LENGTH_FROM};
use crate::types::{LeaderEpoch, Offset};

/// Most offsets of a batch: its last offset delta is an i32.
pub const BATCH_OFFSETS_MAX: i64 = i32::MAX as i64 + 1;

const NO_RECORDS: BatchHeader = BatchHeader {
    base_offset: 0,
    batch_length: (BATCH_HEADER_LEN - LENGTH_FROM) as i32,
    leader_epoch: 0,
    crc: 0,
    attributes: 0,
    last_offset_delta: 0,
    base_timestamp: -1,
    max_timestamp: -1,
    producer_id: -1,
    producer_epoch: -1,
    base_sequence: -1,
    record_count: 0,
};

/// A batch that only takes the offsets from `base_offset` to `last_offset`: no records, no producer,
/// no timestamp. `None` if that is no offset, or more than a batch can take.
pub fn filler(
    base_offset: Offset,
    last_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Option<[u8; BATCH_HEADER_LEN]> {
    let delta = last_offset.checked_sub(base_offset)?;
    let last_offset_delta = i32::try_from(delta).ok().filter(|delta| *delta >= 0)?;
    Some(sealed(&BatchHeader {
        base_offset,
        leader_epoch,
        last_offset_delta,
        ..NO_RECORDS
    }))
}

/// The batch of `header` without its records. It keeps what a producer's state is made of (id, epoch,
/// sequence, time), but is no part of a transaction: it would open one that no marker ends.
pub fn emptied(header: &BatchHeader) -> [u8; BATCH_HEADER_LEN] {
    sealed(&BatchHeader {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        last_offset_delta: header.last_offset_delta,
        base_timestamp: header.max_timestamp,
        max_timestamp: header.max_timestamp,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        ..NO_RECORDS
    })
}

fn sealed(header: &BatchHeader) -> [u8; BATCH_HEADER_LEN] {
    let mut bytes = header.to_bytes();
    set_crc(&mut bytes);
    bytes
}

impl BatchHeader {
    /// Whether the batch only takes offsets, as [`filler()`] makes it.
    pub fn is_filler(&self) -> bool {
        self.record_count == 0
            && self.producer_id == -1
            && self.attributes == 0
            && self.total_len() == BATCH_HEADER_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchView, Decompressor};
    use crate::types::{Compression, TimestampType};

    #[test]
    fn a_filler_takes_offsets_and_has_no_record() {
        for (base, last) in [(0, 0), (7, 9), (5, 5 + BATCH_OFFSETS_MAX - 1)] {
            let bytes = filler(base, last, 3).expect("it fits");
            let view = BatchView::parse(&bytes).expect("parsed");
            view.check_crc().expect("sound");
            let header = view.header();
            assert!(header.is_filler());
            assert_eq!((header.base_offset, header.last_offset()), (base, last));
            assert_eq!((header.leader_epoch, header.max_timestamp), (3, -1));
            let mut scratch = Decompressor::default();
            assert_eq!(view.records(&mut scratch).expect("none").count(), 0);
        }
        assert_eq!(filler(5, 4, 0), None);
        assert_eq!(filler(5, 5 + BATCH_OFFSETS_MAX, 0), None);
        assert_eq!(filler(-2, i64::MAX, 0), None);
    }

    /// Byte for byte what Kafka's `writeEmptyHeader` writes for these fields.
    #[test]
    fn the_bytes_are_kafkas() {
        let bytes = filler(1, 3, 2).expect("it fits");
        let mut expected = Vec::new();
        expected.extend_from_slice(&1_i64.to_be_bytes());
        expected.extend_from_slice(&49_i32.to_be_bytes());
        expected.extend_from_slice(&2_i32.to_be_bytes());
        expected.push(2);
        let mut covered = Vec::new();
        covered.extend_from_slice(&0_i16.to_be_bytes());
        covered.extend_from_slice(&2_i32.to_be_bytes());
        covered.extend_from_slice(&[0xff; 8 + 8 + 8 + 2 + 4]);
        covered.extend_from_slice(&0_i32.to_be_bytes());
        expected.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
        expected.extend_from_slice(&covered);
        assert_eq!(bytes.as_slice(), expected);
    }

    #[test]
    fn an_emptied_batch_keeps_its_producer_and_opens_no_transaction() {
        let mut builder = BatchBuilder::new();
        builder.append_value(70, b"v").expect("append");
        let batch = builder.finish(Compression::Zstd, TimestampType::CreateTime);
        let batch = batch.expect("finish");
        let header = BatchHeader {
            base_offset: 4,
            leader_epoch: 2,
            attributes: 1 << 4 | 4,
            producer_id: 9,
            producer_epoch: 1,
            base_sequence: 6,
            ..*BatchView::parse(&batch).expect("parsed").header()
        };
        let bytes = emptied(&header);
        let view = BatchView::parse(&bytes).expect("parsed");
        view.check_crc().expect("sound");
        let empty = view.header();
        assert!(!empty.is_transactional() && !empty.is_filler());
        assert_eq!((empty.producer_id, empty.producer_epoch), (9, 1));
        assert_eq!((empty.base_sequence, empty.max_timestamp), (6, 70));
        assert_eq!((empty.record_count, empty.last_offset()), (0, 4));
    }
}
