//! `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`, checked at an append.

use crate::error::{Error, Kind, Result};
use crate::record::{BatchHeader, BatchView, Decompressor};
use crate::store::TopicConfigs;
use crate::types::{Timestamp, TopicPartition};

/// Refuses a batch with a record whose timestamp is too far from `now_ms`. Records without a timestamp
/// (-1) are taken, as in Kafka.
///
/// # Errors
/// [`Kind::InvalidRecord`].
pub(super) fn check(
    tp: &TopicPartition,
    configs: &TopicConfigs,
    batch: &[u8],
    header: &BatchHeader,
    now_ms: i64,
) -> Result<()> {
    let after = limit(configs.timestamp_after_max_ms);
    if header.max_timestamp.saturating_sub(now_ms) > after {
        return Err(refused(tp, header.max_timestamp, now_ms, "after", after));
    }
    if configs.timestamp_before_max_ms == TopicConfigs::NEVER {
        return Ok(());
    }
    let before = limit(configs.timestamp_before_max_ms);
    let too_old =
        |timestamp: Timestamp| timestamp >= 0 && now_ms.saturating_sub(timestamp) > before;
    let unsound = |corrupt| {
        let text = format!("a batch for {tp} is not sound: {corrupt}");
        Error::new(Kind::InvalidRecord, text)
    };
    // The smallest timestamp does not stand in the header.
    let mut decompressor = Decompressor::new(configs.decompressed_len_max());
    let view = BatchView::parse(batch).map_err(unsound)?;
    for record in view.records(&mut decompressor).map_err(unsound)? {
        let timestamp = record.map_err(unsound)?.timestamp;
        if too_old(timestamp) {
            return Err(refused(tp, timestamp, now_ms, "before", before));
        }
    }
    Ok(())
}

fn limit(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn refused(
    tp: &TopicPartition,
    timestamp: Timestamp,
    now_ms: i64,
    side: &'static str,
    limit: i64,
) -> Error {
    let apart = timestamp.saturating_sub(now_ms).unsigned_abs();
    let config = format!("message.timestamp.{side}.max.ms");
    let text = format!(
        "INVALID_TIMESTAMP: a record for {tp} has the time {timestamp} ms, which is {apart} ms {side} the \
         present; {config} is {limit}"
    );
    Error::new(Kind::InvalidRecord, text).cure(format!(
        "correct the record's time, or raise the limit with 'mq-topics alter {} -c {config}=MS'",
        tp.topic
    ))
}
