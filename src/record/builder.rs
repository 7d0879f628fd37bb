//! Builds a batch in memory, before the caller holds a lock: offsets and epoch are stamped later.

use super::header::{BATCH_LEN_MAX, LENGTH_FROM, LOG_APPEND_TIME_BIT};
use super::stamp::set_crc;
use super::{BATCH_HEADER_LEN, BatchHeader, Compressor, Header, Record};
use crate::codec::varint;
use crate::error::{Error, Kind, Result};
use crate::types::{Compression, Timestamp, TimestampType};

/// Most bytes that a record adds to its key and value if it has no headers: length, attributes,
/// timestamp, offset, lengths of key and value, count of headers.
pub const RECORD_OVERHEAD_MAX: usize = varint::VARINT_LEN_MAX * 5 + 1 + varint::VARLONG_LEN_MAX;

/// Room for the fields of a record before its value, if it has neither key nor headers.
const PREFIX_ROOM: usize = 32;

const ATTRIBUTES: u8 = 0;
const NULL: i64 = -1;

/// Builds batches, one after the other, in recycled buffers: [`finish`](Self::finish) gives one
/// away, [`recycle`](Self::recycle) takes one back, from any builder.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    spare: Vec<u8>,
    /// Made when it is first needed: it is large, and a builder is moved about.
    compressor: Option<Box<Compressor>>,
    count: usize,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        let mut builder = BatchBuilder {
            buffer: Vec::new(),
            spare: Vec::new(),
            compressor: None,
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
        };
        builder.reset();
        builder
    }

    /// How many records were appended.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether no record was appended.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, with its header and without compression.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The largest timestamp so far; -1 in an empty batch.
    #[inline]
    pub fn max_timestamp(&self) -> Timestamp {
        if self.count == 0 {
            -1
        } else {
            self.max_timestamp
        }
    }

    /// The exact value of [`len_bytes`](Self::len_bytes) with this record added.
    pub fn size_with<'h>(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
    ) -> usize {
        let base = if self.count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let (header_count, header_bytes) = headers_len(headers.into_iter());
        let delta = timestamp.wrapping_sub(base);
        let body = body_len(delta, self.count, key, value, header_count, header_bytes);
        self.len_bytes() + varint::len(body as i64) + body
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`Kind::MessageTooLarge`] if the batch would exceed [`BATCH_LEN_MAX`]; nothing was appended.
    pub fn append<'h, H>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<()>
    where
        H: IntoIterator<Item = Header<'h>, IntoIter: Clone>,
    {
        let headers = headers.into_iter();
        let (header_count, headers_len) = headers_len(headers.clone());
        let base = if self.count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let time_delta = timestamp.wrapping_sub(base);
        let body = body_len(
            time_delta,
            self.count,
            key,
            value,
            header_count,
            headers_len,
        );
        check_len(
            self.buffer
                .len()
                .saturating_add(varint::VARINT_LEN_MAX)
                .saturating_add(body),
        )?;
        let out = &mut self.buffer;
        out.reserve(varint::VARINT_LEN_MAX + body);
        varint::push(out, body as i64);
        out.push(ATTRIBUTES);
        varint::push(out, time_delta);
        varint::push(out, self.count as i64);
        push_nullable(out, key);
        push_nullable(out, value);
        varint::push(out, header_count as i64);
        for header in headers {
            push_nullable(out, Some(header.key));
            push_nullable(out, header.value);
        }
        self.count_in(timestamp);
        Ok(())
    }

    /// Appends a record as read from another batch; its offset is not kept.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_record(&mut self, record: &Record<'_>) -> Result<()> {
        self.append(record.timestamp, record.key, record.value, record.headers)
    }

    /// Appends a record that has only a value: the fast path for lines.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    #[inline]
    pub fn append_value(&mut self, timestamp: Timestamp, value: &[u8]) -> Result<()> {
        // The fields come first, so that their length is known when the length is written in
        // front of them.
        const FIELDS_AT: usize = varint::VARINT_LEN_MAX;
        check_len(
            self.buffer
                .len()
                .saturating_add(RECORD_OVERHEAD_MAX)
                .saturating_add(value.len()),
        )?;
        let base = if self.count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let mut prefix = [0; FIELDS_AT + PREFIX_ROOM];
        prefix[FIELDS_AT] = ATTRIBUTES;
        let mut end = FIELDS_AT + 1;
        end = varint::put(&mut prefix, end, timestamp.wrapping_sub(base));
        end = varint::put(&mut prefix, end, self.count as i64);
        end = varint::put(&mut prefix, end, NULL);
        end = varint::put(&mut prefix, end, value.len() as i64);
        let body = (end - FIELDS_AT + value.len() + 1) as i64;
        let start = FIELDS_AT - varint::len(body);
        varint::put(&mut prefix, start, body);
        let before = self.buffer.len();
        // Copying a fixed number of bytes and cutting back is faster than copying the exact number.
        self.buffer
            .extend_from_slice(&prefix[start..start + PREFIX_ROOM]);
        self.buffer.truncate(before + end - start);
        self.buffer.extend_from_slice(value);
        self.buffer.push(0);
        self.count_in(timestamp);
        Ok(())
    }

    /// Completes the batch, gives it away and starts the next one. It has base offset 0, leader
    /// epoch -1 and no producer; its base timestamp is the first record's.
    ///
    /// # Errors
    /// [`Kind::InvalidRecord`] if there is no record; [`Kind::Io`] if a codec fails;
    /// [`Kind::MessageTooLarge`] if compression made it exceed [`BATCH_LEN_MAX`]. The records are
    /// kept.
    pub fn finish(
        &mut self,
        compression: Compression,
        timestamp_type: TimestampType,
    ) -> Result<Vec<u8>> {
        if self.count == 0 {
            return Err(Error::new(
                Kind::InvalidRecord,
                "a batch needs at least one record",
            ));
        }
        if compression != Compression::None {
            self.spare.clear();
            self.spare.resize(BATCH_HEADER_LEN, 0);
            let (_, raw) = self.buffer.split_at(BATCH_HEADER_LEN);
            self.compressor
                .get_or_insert_default()
                .compress(compression, raw, &mut self.spare)?;
            check_len(self.spare.len())?;
            std::mem::swap(&mut self.buffer, &mut self.spare);
        }
        let append_time = match timestamp_type {
            TimestampType::CreateTime => 0,
            TimestampType::LogAppendTime => LOG_APPEND_TIME_BIT,
        };
        let header = BatchHeader {
            base_offset: 0,
            batch_length: (self.buffer.len() - LENGTH_FROM) as i32,
            leader_epoch: -1,
            crc: 0,
            attributes: compression as i16 | append_time,
            last_offset_delta: (self.count - 1) as i32,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: self.count as i32,
        };
        self.buffer[..BATCH_HEADER_LEN].copy_from_slice(&header.to_bytes());
        set_crc(&mut self.buffer);
        let batch = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        self.reset();
        Ok(batch)
    }

    /// Drops the records of the unfinished batch.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER_LEN, 0);
        self.count = 0;
    }

    /// Takes back a buffer, whatever its content, for a later batch.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if self.is_empty() && self.buffer.capacity() < buffer.capacity() {
            self.spare = std::mem::replace(&mut self.buffer, buffer);
            self.reset();
        } else if self.spare.capacity() < buffer.capacity() {
            self.spare = buffer;
        }
    }

    #[inline]
    fn count_in(&mut self, timestamp: Timestamp) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        } else {
            self.max_timestamp = self.max_timestamp.max(timestamp);
        }
        self.count += 1;
    }
}

/// Every record takes bytes, so this bounds the count of records too.
#[inline]
fn check_len(len: usize) -> Result<()> {
    if len <= BATCH_LEN_MAX {
        Ok(())
    } else {
        Err(too_large(len))
    }
}

#[cold]
fn too_large(len: usize) -> Error {
    Error::new(
        Kind::MessageTooLarge,
        format!("MESSAGE_TOO_LARGE: a batch of {len} bytes; its format allows {BATCH_LEN_MAX}"),
    )
}

/// Count and bytes of the headers.
fn headers_len<'h>(headers: impl Iterator<Item = Header<'h>>) -> (usize, usize) {
    headers.fold((0, 0), |(count, len), header| {
        (
            count + 1,
            len + nullable_len(Some(header.key)) + nullable_len(header.value),
        )
    })
}

fn body_len(
    time_delta: i64,
    offset_delta: usize,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    header_count: usize,
    headers_len: usize,
) -> usize {
    size_of_val(&ATTRIBUTES)
        + varint::len(time_delta)
        + varint::len(offset_delta as i64)
        + nullable_len(key)
        + nullable_len(value)
        + varint::len(header_count as i64)
        + headers_len
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(varint::len(NULL), |bytes| {
        varint::len(bytes.len() as i64) + bytes.len()
    })
}

fn push_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::push(out, NULL),
        Some(bytes) => {
            varint::push(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
