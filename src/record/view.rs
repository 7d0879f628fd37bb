//! Reads a batch in place.

use super::header::{ATTRIBUTES_AT, RECORD_COUNT_AT};
use super::{BATCH_HEADER_LEN, BatchHeader, CRC_AT, Corrupt, Decompressor, Headers, Record};
use crate::codec::varint::unzigzag;
use crate::codec::{Malformed, Reader};
use crate::types::{Compression, Offset, Timestamp, TimestampType};

/// Fewest bytes of a record: one each for length, attributes, timestamp, offset, the lengths of
/// key and value, and the count of headers.
const RECORD_LEN_MIN: usize = 7;

const SHORT_VARINT_LEN_MAX: usize = 3;
/// Holds four short varints (length, timestamp, offset, length of the value), the attributes and
/// the length of a null key.
const WINDOW: usize = 16;
const _: () = assert!(4 * SHORT_VARINT_LEN_MAX + 2 <= WINDOW);
const ONE_BYTE_NULL: u8 = 1;
const ONE_BYTE_ZERO: u8 = 0;

/// A whole batch within a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Finds the batch at the start of `bytes`; ignores what follows it.
    ///
    /// # Errors
    /// An implausible header, or a batch that is longer than `bytes`. To tell the two apart, call
    /// [`BatchHeader::parse`] first.
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

    /// The bytes of the batch alone.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as stored, possibly compressed.
    #[inline]
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(BATCH_HEADER_LEN..).unwrap_or_default()
    }

    /// Compares the checksum. It does not cover the first 21 bytes.
    ///
    /// # Errors
    /// The checksum does not match.
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

    /// The records, decompressed into `scratch` if they are compressed, else in place. Does not
    /// check the checksum.
    ///
    /// # Errors
    /// Bytes that do not decompress, or not within the limit of `scratch`; a record count that the
    /// bytes cannot hold.
    pub fn records<'s>(&self, scratch: &'s mut Decompressor) -> Result<Records<'s>, Corrupt>
    where
        'a: 's,
    {
        let compression = self.header.compression();
        if compression == Compression::None {
            return self.records_of(self.records_bytes());
        }
        let raw = scratch
            .decompress(compression, self.records_bytes())
            .map_err(|why| Corrupt::malformed(why, BATCH_HEADER_LEN))?;
        self.records_of(raw)
    }

    /// The records, of bytes that are not compressed any more.
    ///
    /// # Errors
    /// A record count that the bytes cannot hold.
    pub(crate) fn records_of<'s>(&self, raw: &'s [u8]) -> Result<Records<'s>, Corrupt> {
        let header = &self.header;
        let compressed = header.compression() != Compression::None;
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

/// The records of a batch, checked one by one. After an error there are no more; the batch is known
/// to be sound only once the iterator ends without one.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: usize,
    delta_min: i64,
    delta_max: i64,
    base_offset: Offset,
    time_base: Timestamp,
    /// All ones, or zero if the batch has one time for all its records.
    time_mask: i64,
    raw_len: usize,
    compressed: bool,
}

impl<'a> Records<'a> {
    /// The bytes of the records that are still to come.
    pub(crate) fn unread(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of remaining records.
    #[inline]
    pub fn left(&self) -> usize {
        self.left
    }

    /// The fast path for the shape of most records: a value, no key, no headers, every number in at
    /// most three bytes. `None` for all else, damage included: [`read`](Self::read) decides.
    #[inline]
    fn read_plain(&mut self) -> Option<Record<'a>> {
        let window = self.rest.first_chunk::<WINDOW>()?;
        let mut at = 0;
        let len = length(short_varint(window, &mut at)?)?;
        let end = at + len;
        at += size_of::<u8>();
        let time_delta = unzigzag(short_varint(window, &mut at)?);
        let offset_delta = unzigzag(short_varint(window, &mut at)?);
        if offset_delta < self.delta_min || offset_delta > self.delta_max {
            return None;
        }
        if window[at % WINDOW] != ONE_BYTE_NULL {
            return None;
        }
        at += size_of::<u8>();
        let value_len = length(short_varint(window, &mut at)?)?;
        if at + value_len + size_of_val(&ONE_BYTE_ZERO) != end {
            return None;
        }
        let (record, rest) = self.rest.split_at_checked(end)?;
        let [value @ .., ONE_BYTE_ZERO] = record.get(at..)? else {
            return None;
        };
        self.rest = rest;
        self.delta_min = offset_delta + 1;
        Some(Record {
            offset: self.base_offset + offset_delta,
            timestamp: self.time_base.wrapping_add(time_delta & self.time_mask),
            key: None,
            value: Some(value),
            headers: Headers::default(),
        })
    }

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
        if let Some(record) = self.read_plain() {
            return Some(Ok(record));
        }
        Some(self.read().map_err(|why| self.fail(why)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(1), Some(self.left + 1))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// A varint of at most three bytes, still zigzag-encoded. A window is long enough for all the
/// fields that are read from it, so the position never wraps around.
#[inline]
fn short_varint(window: &[u8; WINDOW], at: &mut usize) -> Option<u64> {
    let mut folded = 0;
    for n in 0..SHORT_VARINT_LEN_MAX {
        let byte = window[(*at + n) % WINDOW];
        folded |= u64::from(byte & 0x7f) << (7 * n);
        if byte < 0x80 {
            *at += n + 1;
            return Some(folded);
        }
    }
    None
}

/// A zigzag-encoded number that is not negative.
#[inline]
fn length(folded: u64) -> Option<usize> {
    (folded & 1 == 0).then_some((folded >> 1) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::BatchBuilder;

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_long_one(
            lines in proptest::collection::vec((0i64..9000, 0usize..300), 1..40),
            changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        ) {
            let mut builder = BatchBuilder::new();
            for (time, len) in &lines {
                builder.append_value(*time, &vec![b'x'; *len]).expect("append");
            }
            let mut batch = builder.finish(Compression::None, TimestampType::CreateTime).expect("finish");
            let records_len = batch.len() - BATCH_HEADER_LEN;
            for (at, byte) in &changes {
                batch[BATCH_HEADER_LEN + at % records_len] = *byte;
            }
            let view = BatchView::parse(&batch).expect("the header is sound");
            let mut scratch = Decompressor::default();
            let mut short = view.records(&mut scratch).expect("not compressed");
            let mut long = short.clone();
            let mut plain = 0;
            while short.left > 0 {
                let by_short = short.read_plain();
                plain += usize::from(by_short.is_some());
                match (by_short, long.read()) {
                    (Some(short), long) => prop_assert_eq!(Ok(short), long),
                    (None, Ok(_)) => short = long.clone(),
                    (None, Err(_)) => break,
                }
                prop_assert_eq!((short.rest, short.delta_min), (long.rest, long.delta_min));
                short.left -= 1;
                long.left = short.left;
            }
            if changes.is_empty() {
                // Only the last records, which do not fill the window, need the slow path.
                prop_assert!(plain + 2 >= lines.len());
            }
        }
    }
}
