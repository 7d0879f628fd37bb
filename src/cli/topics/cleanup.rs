//! What `describe` shows of retention.

use serde_json::{Value, json};

use crate::cli::output::{show_size, show_time};
use crate::cli::{Env, local_zone};
use crate::client::{CleanupDescription, TopicDescription};

/// The line about the most that a topic takes, where its size has a limit.
pub(super) fn size_line(topic: &TopicDescription) -> Option<String> {
    let number = |name: &str| -> Option<u64> {
        let config = topic.configs.iter().find(|config| config.name == name)?;
        config.value.parse().ok()
    };
    let policy = topic.configs.iter().find(|c| c.name == "cleanup.policy");
    if policy.is_none_or(|policy| !policy.value.contains("delete")) {
        return None;
    }
    let (kept, segment) = (number("retention.bytes")?, number("segment.bytes")?);
    let logs: usize = topic.partitions.iter().map(|p| p.replicas.len()).sum();
    // Whole segments go, while at least the limit is left; the active one is not closed yet.
    let most = kept.saturating_add(2 * segment).saturating_mul(logs as u64);
    let logs = match logs {
        1 => "1 log".to_owned(),
        logs => format!("{logs} logs"),
    };
    Some(format!(
        "  takes up to {}: {logs} of retention.bytes and two segments\n",
        show_size(i64::try_from(most).unwrap_or(i64::MAX))
    ))
}

/// Whether anything is to be removed of a topic.
pub(super) fn has_next(topics: &[TopicDescription]) -> bool {
    let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|p| p.cleanup.next.is_some())
}

/// Warns of what keeps records longer than their owner may expect.
pub(super) fn warn(topics: &[TopicDescription], env: &Env) {
    for topic in topics {
        for p in &topic.partitions {
            if let (Some(future), Some(file)) = (p.cleanup.future, p.cleanup.future_file()) {
                env.warn(&format!(
                    "{}:{}: {file} holds a record of the future ({}): until then retention.ms keeps it and \
                     what follows",
                    topic.name,
                    p.partition,
                    show_time(future.timestamp, &local_zone()),
                ));
            }
            let keyless = p
                .cleanup
                .last
                .as_ref()
                .and_then(|last| last.keyless_records);
            if let Some(keyless) = keyless.filter(|keyless| *keyless > 0) {
                env.note(&format!(
                    "{}:{}: {keyless} records without a key stay, whatever is compacted",
                    topic.name, p.partition
                ));
            }
            if let Some(error) = p.cleanup.last.as_ref().and_then(|l| l.last_error.as_ref()) {
                env.warn(&format!(
                    "{}:{}: the last cleanup failed: {error}",
                    topic.name, p.partition
                ));
            }
        }
    }
}

/// The object of a partition in JSON.
pub(super) fn as_json(cleanup: &CleanupDescription) -> Value {
    let last = cleanup.last.as_ref();
    json!({
        "next_removal_offset": cleanup.next.map(|next| next.offset),
        "next_removal_at": cleanup.next.map(|next| next.at_ms),
        "dirty_ratio": cleanup.dirty.map(|dirty| (dirty.ratio() * 1e6).round() / 1e6),
        "first_dirty_offset": cleanup.dirty.map(|dirty| dirty.first_offset),
        "last_pass": last.map(|last| last.last_pass),
        "last_error": last.and_then(|last| last.last_error.as_ref()),
        "keyless_records": last.and_then(|last| last.keyless_records),
    })
}
