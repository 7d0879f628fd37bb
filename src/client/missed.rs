//! Records that were removed before they were read, in words.

use crate::error::{Error, Kind};
use crate::types::{Offset, TopicPartition};

/// Names the offsets from `from` to the one before `to`, which the log of `tp` no longer has.
pub fn missed_text(tp: &TopicPartition, from: Offset, to: Offset) -> String {
    let last = to - 1;
    if last <= from {
        format!("{tp}: offset {from} was removed before it was read")
    } else {
        format!("{tp}: offsets {from} to {last} were removed before they were read")
    }
}

/// The same as an error.
pub fn missed(tp: &TopicPartition, from: Offset, to: Offset) -> Error {
    Error::new(Kind::OffsetOutOfRange, missed_text(tp, from, to)).of_offset(from)
}
