//! The fields that the log changes in a finished batch.

use super::header::{ATTRIBUTES_AT, LENGTH_FROM, LOG_APPEND_TIME_BIT, MAX_TIMESTAMP_AT};
use super::{
    BASE_OFFSET_AT, BATCH_HEADER_LEN, BATCH_LEN_MAX, BATCH_LENGTH_AT, BatchHeader, BatchView,
    CRC_AT, Compressor, Decompressor, LEADER_EPOCH_AT,
};
use crate::error::{Error, Kind, Result};
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp};

/// Sets a batch's place: the offset of its first record and the leader epoch. The checksum covers
/// neither, so this costs little under a lock.
///
/// # Panics
/// If `batch` is shorter than [`BATCH_HEADER_LEN`]: it has to be a batch that was built or parsed.
#[inline]
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(batch, BASE_OFFSET_AT, &base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, &leader_epoch.to_be_bytes());
}

/// Sets the time of the append (milliseconds since the Unix epoch) in place of the records'
/// timestamps. `batch` is exactly one batch; its checksum is recomputed.
///
/// # Panics
/// As [`stamp`].
pub fn stamp_append_time(batch: &mut [u8], now: Timestamp) {
    // The timestamp type is in the lower byte of the attributes.
    batch[ATTRIBUTES_AT + 1] |= LOG_APPEND_TIME_BIT as u8;
    put(batch, MAX_TIMESTAMP_AT, &now.to_be_bytes());
    set_crc(batch);
}

/// Replaces `out` with `batch` under another codec: the same records, offsets, timestamps and
/// producer. The records are decompressed, not parsed: check them first if they come from outside.
///
/// # Errors
/// [`Kind::Damaged`] if `batch` does not decompress; [`Kind::Io`] if the codec fails;
/// [`Kind::MessageTooLarge`] if the result exceeds [`BATCH_LEN_MAX`].
pub fn recompress(
    batch: &BatchView<'_>,
    compression: Compression,
    decompressor: &mut Decompressor,
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Result<()> {
    let header = batch.header();
    let raw = decompressor
        .decompress(header.compression(), batch.records_bytes())
        .map_err(|why| super::Corrupt::malformed(why, BATCH_HEADER_LEN))?;
    out.clear();
    out.resize(BATCH_HEADER_LEN, 0);
    compressor.compress(compression, raw, out)?;
    if out.len() > BATCH_LEN_MAX {
        return Err(Error::new(
            Kind::MessageTooLarge,
            format!(
                "MESSAGE_TOO_LARGE: a batch of {} bytes with {}",
                out.len(),
                compression.as_str()
            ),
        ));
    }
    let header = BatchHeader {
        batch_length: (out.len() - LENGTH_FROM) as i32,
        attributes: header.attributes_with(compression),
        ..*header
    };
    put(out, 0, &header.to_bytes());
    set_crc(out);
    Ok(())
}

/// Recomputes the checksum of `batch`, which is exactly one batch.
pub(super) fn set_crc(batch: &mut [u8]) {
    debug_assert_eq!(
        batch[BATCH_LENGTH_AT..LENGTH_FROM],
        ((batch.len() - LENGTH_FROM) as i32).to_be_bytes()
    );
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

#[inline]
fn put(batch: &mut [u8], at: usize, field: &[u8]) {
    batch[at..at + field.len()].copy_from_slice(field);
}
