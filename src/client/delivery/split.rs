//! Splits a batch that has become too large for its topic in two.

use crate::error::Result;
use crate::record::{BatchBuilder, BatchView, Decompressor};
use crate::types::{Compression, TimestampType};

/// A finished batch of two records or more as two batches, each with the number of its records.
///
/// # Errors
/// As for building a batch, and for reading one.
pub(super) fn halves(batch: &[u8], compression: Compression) -> Result<[(Vec<u8>, u64); 2]> {
    let view = BatchView::parse(batch)?;
    let half = (view.header().record_count as usize).div_ceil(2);
    let mut decompressor = Decompressor::default();
    // This process built the batch.
    decompressor.allow(usize::MAX);
    let (mut head, mut tail) = (BatchBuilder::new(), BatchBuilder::new());
    for (at, record) in view.records(&mut decompressor)?.enumerate() {
        let record = record?;
        let to = if at < half { &mut head } else { &mut tail };
        to.append_record(&record)?;
    }
    let count = head.count() as u64;
    let rest = tail.count() as u64;
    Ok([
        (head.finish(compression, TimestampType::CreateTime)?, count),
        (tail.finish(compression, TimestampType::CreateTime)?, rest),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_hold_all_records_in_order() {
        for compression in [Compression::None, Compression::Zstd] {
            let mut whole = BatchBuilder::new();
            for at in 0..5_u8 {
                whole.append_value(i64::from(at), &[at; 100]).expect("room");
            }
            let batch = whole
                .finish(compression, TimestampType::CreateTime)
                .expect("a batch");
            let parts = halves(&batch, compression).expect("halves");
            let mut seen = Vec::new();
            for (bytes, count) in &parts {
                let view = BatchView::parse(bytes).expect("a batch");
                assert_eq!(view.header().record_count as u64, *count);
                let mut decompressor = Decompressor::default();
                for record in view.records(&mut decompressor).expect("records") {
                    let record = record.expect("a record");
                    seen.push((
                        record.timestamp,
                        record.value.and_then(|v| v.first().copied()),
                    ));
                }
            }
            let wanted: Vec<_> = (0..5_u8).map(|at| (i64::from(at), Some(at))).collect();
            assert_eq!(seen, wanted);
        }
    }
}
