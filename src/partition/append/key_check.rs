//! A compacted topic takes no record without a key: it would stay for ever, since no later record replaces it.

use crate::error::{Error, Kind, Result};
use crate::record::{BatchView, Decompressor};
use crate::store::TopicConfigs;
use crate::types::TopicName;

/// Refuses a batch with a record without a key, if the topic is compacted. Markers have none.
///
/// # Errors
/// [`Kind::InvalidRecord`]; [`Kind::Damaged`] for a batch that does not decode.
pub(super) fn check_keys(batch: &[u8], name: &TopicName, configs: &TopicConfigs) -> Result<()> {
    if !configs.cleanup_policy.compacts() {
        return Ok(());
    }
    let view = BatchView::parse(batch)?;
    if view.header().is_control() {
        return Ok(());
    }
    let mut scratch = Decompressor::new(configs.decompressed_len_max());
    for record in view.records(&mut scratch)? {
        if record?.key.is_none() {
            return Err(needs_key(name));
        }
    }
    Ok(())
}

/// The error for a record without a key.
pub fn needs_key(name: &TopicName) -> Error {
    let text = format!(
        "INVALID_RECORD: a record without a key, and topic {name} is compacted: it keeps the last record of \
         each key"
    );
    Error::new(Kind::InvalidRecord, text)
        .cure("give each record a key: 'mq-produce -K \\t' takes what stands before a tab")
}
