//! The 61 bytes before the records of a batch.
//!
//! ```text
//!  0               8       12      16 17      21   23      27
//!  | base offset   | length| epoch |m | crc   |attr| last  |
//!  27              35              43              51   53      57      61
//!  | base time     | max time      | producer id   |epo.| seq.  | count | records
//! ```
//!
//! Big-endian. The length counts what comes after itself. The crc is CRC-32C of everything after
//! itself, so base offset and leader epoch may change without it.

use super::Corrupt;
use crate::codec::Reader;
use crate::error::Result;
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType};

/// Where the base offset stands (i64).
pub const BASE_OFFSET_AT: usize = 0;
/// Where the length stands (i32): of the batch without its first [`LENGTH_FROM`] bytes.
pub const BATCH_LENGTH_AT: usize = BASE_OFFSET_AT + 8;
/// Where the bytes start that the length counts; the partition leader epoch stands there (i32).
pub const LENGTH_FROM: usize = LEADER_EPOCH_AT;
/// Where the partition leader epoch stands (i32).
pub const LEADER_EPOCH_AT: usize = BATCH_LENGTH_AT + 4;
/// Where the format's version stands (i8).
pub const MAGIC_AT: usize = LEADER_EPOCH_AT + 4;
/// Where the checksum stands (u32).
pub const CRC_AT: usize = MAGIC_AT + 1;
/// Where the attributes stand (i16), and where the bytes start that the checksum covers.
pub(super) const ATTRIBUTES_AT: usize = CRC_AT + 4;
pub(super) const LAST_OFFSET_DELTA_AT: usize = ATTRIBUTES_AT + 2;
pub(super) const BASE_TIMESTAMP_AT: usize = LAST_OFFSET_DELTA_AT + 4;
pub(super) const MAX_TIMESTAMP_AT: usize = BASE_TIMESTAMP_AT + 8;
pub(super) const PRODUCER_ID_AT: usize = MAX_TIMESTAMP_AT + 8;
pub(super) const PRODUCER_EPOCH_AT: usize = PRODUCER_ID_AT + 8;
pub(super) const BASE_SEQUENCE_AT: usize = PRODUCER_EPOCH_AT + 2;
pub(super) const RECORD_COUNT_AT: usize = BASE_SEQUENCE_AT + 4;
/// Length of the header in bytes.
pub const BATCH_HEADER_LEN: usize = RECORD_COUNT_AT + 4;

/// The only version of the format read and written here.
pub const MAGIC: u8 = 2;

const COMPRESSION_MASK: i16 = 0b111;
pub(super) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;
const KNOWN_BITS: i16 = (1 << 7) - 1;

/// The header of a batch, as in the file. -1 means none wherever Kafka says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record when the batch was built; compaction may have removed it since.
    pub base_offset: Offset,
    /// Bytes of the batch after [`LENGTH_FROM`].
    pub batch_length: i32,
    /// The leader epoch in which the batch was appended.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of the bytes after it.
    pub crc: u32,
    /// Bits: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Offset of the last record, counted from the base offset.
    pub last_offset_delta: i32,
    /// The base of the records' timestamps; or the delete horizon.
    pub base_timestamp: Timestamp,
    /// The largest timestamp; or the time of the append.
    pub max_timestamp: Timestamp,
    /// Id of an idempotent or transactional producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// The number of records; after compaction perhaps none.
    pub record_count: i32,
}

impl BatchHeader {
    /// Parses a header from the first 61 of `bytes` and checks its plausibility. The checksum is
    /// checked separately ([`BatchView::check_crc`](super::BatchView::check_crc)); only the caller
    /// can know whether offset, length and epoch fit the batches around it.
    ///
    /// # Errors
    /// The first field that no sound batch can have.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, Corrupt> {
        let Some(bytes) = bytes.get(..BATCH_HEADER_LEN) else {
            return Err(Corrupt::new(
                "the header of the batch is cut short",
                bytes.len(),
            ));
        };
        let mut reader = Reader::new(bytes);
        let (header, magic) = Self::read(&mut reader)
            .map_err(|why| Corrupt::malformed(why, BATCH_HEADER_LEN - reader.len()))?;
        if magic != MAGIC {
            return Err(Corrupt::new("the magic of the batch is not 2", MAGIC_AT));
        }
        header.check()?;
        Ok(header)
    }

    fn read(reader: &mut Reader<'_>) -> Result<(BatchHeader, u8), crate::codec::Malformed> {
        let base_offset = reader.i64()?;
        let batch_length = reader.i32()?;
        let leader_epoch = reader.i32()?;
        let magic = reader.u8()?;
        let header = BatchHeader {
            base_offset,
            batch_length,
            leader_epoch,
            crc: reader.u32()?,
            attributes: reader.i16()?,
            last_offset_delta: reader.i32()?,
            base_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            base_sequence: reader.i32()?,
            record_count: reader.i32()?,
        };
        Ok((header, magic))
    }

    fn check(&self) -> Result<(), Corrupt> {
        let wrong = |reason, at| Err(Corrupt::new(reason, at));
        if self.batch_length < (BATCH_HEADER_LEN - LENGTH_FROM) as i32 {
            return wrong("the batch is shorter than its header", BATCH_LENGTH_AT);
        }
        if self.last_offset_delta < 0 {
            return wrong(
                "the last offset lies before the base offset",
                LAST_OFFSET_DELTA_AT,
            );
        }
        if self.base_offset < 0
            || self
                .base_offset
                .checked_add(i64::from(self.last_offset_delta) + 1)
                .is_none()
        {
            return wrong("the base offset is out of range", BASE_OFFSET_AT);
        }
        if self.leader_epoch < -1 {
            return wrong("the leader epoch is below -1", LEADER_EPOCH_AT);
        }
        if self.attributes & !KNOWN_BITS != 0
            || Compression::from_bits((self.attributes & COMPRESSION_MASK) as u8).is_none()
        {
            return wrong("the attributes have bits without a meaning", ATTRIBUTES_AT);
        }
        if self.producer_id < -1 || self.producer_epoch < -1 || self.base_sequence < -1 {
            return wrong("the producer's fields are below -1", PRODUCER_ID_AT);
        }
        if self.record_count < 0
            || i64::from(self.record_count) > i64::from(self.last_offset_delta) + 1
        {
            return wrong("the record count does not fit the offsets", RECORD_COUNT_AT);
        }
        Ok(())
    }

    /// The header as bytes, with [`MAGIC`].
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_LEN] {
        let mut out = [0; BATCH_HEADER_LEN];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(BASE_OFFSET_AT, &self.base_offset.to_be_bytes());
        put(BATCH_LENGTH_AT, &self.batch_length.to_be_bytes());
        put(LEADER_EPOCH_AT, &self.leader_epoch.to_be_bytes());
        put(MAGIC_AT, &[MAGIC]);
        put(CRC_AT, &self.crc.to_be_bytes());
        put(ATTRIBUTES_AT, &self.attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID_AT, &self.producer_id.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &self.producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE_AT, &self.base_sequence.to_be_bytes());
        put(RECORD_COUNT_AT, &self.record_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included: at least 61 once parsed.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.batch_length as usize + LENGTH_FROM
    }

    /// Offset of the last record when the batch was built.
    #[inline]
    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset after the last: where the next batch starts.
    #[inline]
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// The codec of the records.
    #[inline]
    pub fn compression(&self) -> Compression {
        Compression::from_bits((self.attributes & COMPRESSION_MASK) as u8).unwrap_or_default()
    }

    /// Which time the timestamps are.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a marker (commit or abort) and no message.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The time from which compaction may remove the tombstones and markers in the batch, if set.
    /// Milliseconds since the Unix epoch.
    #[inline]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// The attributes with another codec.
    pub(super) fn attributes_with(&self, compression: Compression) -> i16 {
        self.attributes & !COMPRESSION_MASK | compression as i16
    }
}

/// Most bytes of a batch: its length is an i32.
pub const BATCH_LEN_MAX: usize = i32::MAX as usize;
