//! Reading a batch where it lies.

use super::header::{ATTRIBUTES_AT, RECORD_COUNT_AT};
use super::{BATCH_HEADER_LEN, BatchHeader, CRC_AT, Corrupt, Decompressor, Headers, Record};
use crate::codec::{Malformed, Reader};
use crate::types::{Compression, Offset, Timestamp, TimestampType};

/// Fewest bytes of a record: one each for length, attributes, timestamp, offset, the lengths of
/// key and value, and the count of headers.
const RECORD_LEN_MIN: usize = 7;

/// A whole batch within somebody's bytes.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Finds the batch at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// An implausible header, or a batch that is longer than `bytes`. Who needs to tell the two
    /// apart calls [`BatchHeader::parse`] first.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.get(..header.total_len()) {
            Some(bytes) => Ok(BatchView { header, bytes }),
            None => Err(Corrupt::new("the batch is cut short", bytes.len())),
        }
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes of the batch, and no more.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they lie there, perhaps compressed.
    #[inline]
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default()
    }

    /// Compares the checksum. It does not cover the first 21 bytes.
    ///
    /// # Errors
    /// The checksum is another.
    pub fn check_crc(&self) -> Result<(), Corrupt> {
        let covered = self.bytes.get(ATTRIBUTES_AT..).unwrap_or_default();
        if crc32c::crc32c(covered) == self.header.crc {
            Ok(())
        } else {
            Err(Corrupt::new(
                "the crc of the batch does not match its bytes",
                CRC_AT,
            ))
        }
    }

    /// The records, decompressed into `scratch` where they are compressed, else in place. Does
    /// not look at the checksum.
    ///
    /// # Errors
    /// Bytes that do not decompress, or not within the limit of `scratch`; a record count that
    /// the bytes cannot hold.
    pub fn records<'s>(&self, scratch: &'s mut Decompressor) -> Result<Records<'s>, Corrupt>
    where
        'a: 's,
    {
        let header = &self.header;
        let compressed = header.compression() != Compression::None;
        let raw: &'s [u8] = if compressed {
            scratch
                .decompress(header.compression(), self.records_bytes())
                .map_err(|why| Corrupt::malformed(why, BATCH_HEADER_LEN))?
        } else {
            self.records_bytes()
        };
        let left = header.record_count.max(0) as usize;
        if left > raw.len() / RECORD_LEN_MIN {
            return Err(Corrupt::new(
                "more records than the batch has bytes for",
                RECORD_COUNT_AT,
            ));
        }
        let (time_base, time_mask) = match header.timestamp_type() {
            TimestampType::CreateTime => (header.base_timestamp, -1),
            TimestampType::LogAppendTime => (header.max_timestamp, 0),
        };
        Ok(Records {
            rest: raw,
            left,
            delta_min: 0,
            delta_max: i64::from(header.last_offset_delta),
            base_offset: header.base_offset,
            time_base,
            time_mask,
            raw_len: raw.len(),
            compressed,
        })
    }
}

/// The records of a batch, checked as they come. After an error there is nothing more; only once
/// the iterator ends without one is the batch known to be sound.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: usize,
    delta_min: i64,
    delta_max: i64,
    base_offset: Offset,
    time_base: Timestamp,
    /// All ones, or zero where the batch has one time for all its records.
    time_mask: i64,
    raw_len: usize,
    compressed: bool,
}

impl<'a> Records<'a> {
    /// How many records are still to come.
    #[inline]
    pub fn left(&self) -> usize {
        self.left
    }

    #[inline(always)]
    fn read(&mut self) -> Result<Record<'a>, Malformed> {
        let mut outer = Reader::new(self.rest);
        let len = outer.varint()?;
        let Ok(len) = usize::try_from(len) else {
            return Err(Malformed("the length of a record is negative"));
        };
        let mut reader = Reader::new(outer.bytes(len)?);
        // Attributes: no bit has a meaning yet, and Kafka ignores them.
        reader.u8()?;
        let time_delta = reader.varlong()?;
        let offset_delta = i64::from(reader.varint()?);
        if offset_delta < self.delta_min || offset_delta > self.delta_max {
            return Err(Malformed("the offset of a record is out of order"));
        }
        let key = reader.nullable_bytes()?;
        let value = reader.nullable_bytes()?;
        let header_count = reader.varint()?;
        let headers = if header_count == 0 && reader.is_empty() {
            Headers::default()
        } else {
            Headers::parse(header_count, reader.rest())?
        };
        self.rest = outer.rest();
        self.delta_min = offset_delta + 1;
        Ok(Record {
            offset: self.base_offset + offset_delta,
            timestamp: self.time_base.wrapping_add(time_delta & self.time_mask),
            key,
            value,
            headers,
        })
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, why: Malformed) -> Corrupt {
        let read = if self.compressed {
            0
        } else {
            self.raw_len - self.rest.len()
        };
        self.left = 0;
        self.rest = &[];
        Corrupt::malformed(why, BATCH_HEADER_LEN + read)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Corrupt>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            return Some(Err(
                self.fail(Malformed("bytes follow the last record of the batch"))
            ));
        }
        self.left -= 1;
        Some(match self.read() {
            Ok(record) => Ok(record),
            Err(why) => Err(self.fail(why)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(1), Some(self.left + 1))
    }
}

impl std::iter::FusedIterator for Records<'_> {}
