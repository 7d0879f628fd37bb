//! A batch with some of its records left out, as compaction writes it (`MemoryRecords.filterTo`).

use super::header::{DELETE_HORIZON_BIT, LENGTH_FROM};
use super::stamp::set_crc;
use super::{BATCH_HEADER_LEN, BATCH_LEN_MAX, BatchHeader, BatchView, Compressor, Decompressor};
use super::{Corrupt, Record};
use crate::codec::{Reader, varint};
use crate::error::{Error, Kind, Result};
use crate::types::{Compression, Timestamp, TimestampType};

/// Leaves records out of batches, in recycled buffers.
#[derive(Debug, Default)]
pub struct Thinner {
    raw: Vec<u8>,
    compressor: Compressor,
}

impl Thinner {
    /// Replaces `out` with `batch` without the records that `keep` refuses; returns how many are
    /// left. `out` is no batch if that is none.
    ///
    /// Base offset, last offset, epoch, codec and producer stay, and so do offset and timestamp of
    /// each record. With a `horizon` the batch gets that delete horizon; else it keeps its own.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if the records do not decode; [`Kind::Io`] if the codec fails;
    /// [`Kind::MessageTooLarge`] if the result exceeds [`BATCH_LEN_MAX`].
    pub fn thin(
        &mut self,
        batch: &BatchView<'_>,
        horizon: Option<Timestamp>,
        decompressor: &mut Decompressor,
        out: &mut Vec<u8>,
        mut keep: impl FnMut(&Record<'_>) -> bool,
    ) -> Result<usize> {
        let header = batch.header();
        let base_timestamp = horizon.unwrap_or(header.base_timestamp);
        let is_create_time = header.timestamp_type() == TimestampType::CreateTime;
        // Where the log gave one time to all records, their own deltas mean nothing.
        let shift = if is_create_time {
            header.base_timestamp.wrapping_sub(base_timestamp)
        } else {
            0
        };
        self.raw.clear();
        let (mut kept, mut max_timestamp) = (0_usize, Timestamp::MIN);
        let mut records = batch.records(decompressor)?;
        let mut rest = records.unread();
        while let Some(record) = records.next() {
            let record = record?;
            let after = records.unread();
            let bytes = rest.get(..rest.len() - after.len()).unwrap_or_default();
            rest = after;
            if !keep(&record) {
                continue;
            }
            kept += 1;
            max_timestamp = max_timestamp.max(record.timestamp);
            if shift == 0 {
                self.raw.extend_from_slice(bytes);
            } else {
                push_shifted(&mut self.raw, bytes, shift)?;
            }
        }
        out.clear();
        if kept == 0 {
            return Ok(0);
        }
        out.resize(BATCH_HEADER_LEN, 0);
        match header.compression() {
            Compression::None => out.extend_from_slice(&self.raw),
            codec => self.compressor.compress(codec, &self.raw, out)?,
        }
        if out.len() > BATCH_LEN_MAX {
            let text = format!("MESSAGE_TOO_LARGE: a batch of {} bytes", out.len());
            return Err(Error::new(Kind::MessageTooLarge, text));
        }
        let attributes = match horizon {
            Some(_) => header.attributes | DELETE_HORIZON_BIT,
            None => header.attributes,
        };
        let next = BatchHeader {
            batch_length: (out.len() - LENGTH_FROM) as i32,
            attributes,
            base_timestamp,
            max_timestamp: if is_create_time {
                max_timestamp
            } else {
                header.max_timestamp
            },
            record_count: kept as i32,
            ..*header
        };
        if let Some(head) = out.get_mut(..BATCH_HEADER_LEN) {
            head.copy_from_slice(&next.to_bytes());
        }
        set_crc(out);
        Ok(kept)
    }
}

/// A record with its timestamp counted from another base, `shift` ms earlier.
fn push_shifted(out: &mut Vec<u8>, record: &[u8], shift: i64) -> Result<(), Corrupt> {
    let malformed = |why| Corrupt::malformed(why, BATCH_HEADER_LEN);
    let mut reader = Reader::new(record);
    reader.varint().map_err(malformed)?;
    let attributes = reader.u8().map_err(malformed)?;
    let delta = reader.varlong().map_err(malformed)?.wrapping_add(shift);
    let rest = reader.rest();
    varint::push(out, (1 + varint::len(delta) + rest.len()) as i64);
    out.push(attributes);
    varint::push(out, delta);
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchBuilder, Header, stamp, stamp_append_time};

    type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn records(batch: &[u8]) -> Vec<Plain> {
        let view = BatchView::parse(batch).expect("parsed");
        view.check_crc().expect("sound");
        let mut scratch = Decompressor::default();
        let records = view.records(&mut scratch).expect("records");
        records
            .map(|record| {
                let r = record.expect("sound");
                let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let headers = r.headers.into_iter().count();
                (r.offset, r.timestamp, own(r.key), own(r.value), headers)
            })
            .collect()
    }

    fn codec() -> impl Strategy<Value = Compression> {
        prop::sample::select(vec![
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ])
    }

    proptest! {
        #[test]
        fn what_is_kept_does_not_change(
            made in prop::collection::vec((0_i64..1 << 40, any::<Option<u8>>(), prop::option::of(0_usize..300), any::<bool>()), 1..40),
            kept in prop::collection::vec(any::<bool>(), 40),
            codec in codec(),
            horizon in prop::option::of(0_i64..1 << 42),
            append_time in any::<bool>(),
        ) {
            let mut builder = BatchBuilder::new();
            for (time, key, value, header) in &made {
                let key = key.map(|key| vec![key]);
                let value = value.map(|len| vec![b'v'; len]);
                let header = header.then_some(Header { key: b"h", value: Some(b"x") });
                builder.append(*time, key.as_deref(), value.as_deref(), header).expect("append");
            }
            let mut batch = builder.finish(codec, TimestampType::CreateTime).expect("finish");
            if append_time {
                stamp_append_time(&mut batch, 77);
            }
            stamp(&mut batch, 1000, 5);
            let before = records(&batch);
            let view = BatchView::parse(&batch).expect("parsed");
            let mut out = vec![1, 2, 3];
            let mut thinner = Thinner::default();
            let is_kept = |offset: i64| kept[(offset - 1000) as usize];
            let left = thinner
                .thin(&view, horizon, &mut Decompressor::default(), &mut out, |r| is_kept(r.offset))
                .expect("thinned");
            let expected: Vec<Plain> = before.into_iter().filter(|r| is_kept(r.0)).collect();
            prop_assert_eq!(left, expected.len());
            if left == 0 {
                return Ok(());
            }
            prop_assert_eq!(records(&out), expected.clone());
            let (old, new) = (*view.header(), *BatchView::parse(&out).expect("parsed").header());
            prop_assert_eq!(new.base_offset, old.base_offset);
            prop_assert_eq!(new.last_offset_delta, old.last_offset_delta);
            prop_assert_eq!(new.leader_epoch, old.leader_epoch);
            prop_assert_eq!(new.compression(), old.compression());
            prop_assert_eq!(new.delete_horizon(), horizon);
            let newest = expected.iter().map(|r| r.1).max();
            prop_assert_eq!(Some(new.max_timestamp), newest);
            // A second pass keeps the horizon.
            let view = BatchView::parse(&out).expect("parsed");
            let mut again = Vec::new();
            thinner
                .thin(&view, None, &mut Decompressor::default(), &mut again, |_| true)
                .expect("thinned");
            prop_assert_eq!(records(&again), expected);
            let again = *BatchView::parse(&again).expect("parsed").header();
            prop_assert_eq!(again.delete_horizon(), horizon);
        }
    }
}
