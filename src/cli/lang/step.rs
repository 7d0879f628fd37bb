//! What a reader of input gives next.

use super::input_record::InputRecord;
use crate::error::{Error, Kind};

/// What comes next in the input.
#[derive(Debug)]
pub enum Step<'a> {
    /// A record, made of the first `consumed` bytes.
    Record {
        /// The record.
        record: InputRecord<'a>,
        /// Bytes to drop before the next call.
        consumed: usize,
    },
    /// The first `consumed` bytes make no record: one to be skipped, or more of one too long.
    Skip {
        /// Bytes to drop before the next call.
        consumed: usize,
    },
    /// The first `consumed` bytes hold a record that cannot be used; after them one may go on.
    Invalid {
        /// Why; the caller adds the place.
        error: Error,
        /// Bytes to drop before going on.
        consumed: usize,
    },
    /// No whole record is there: call again with more bytes after these, or at the end.
    NeedMore,
    /// The input is at its end and no bytes are left.
    End,
}

/// A record of which more than `max` bytes are there, or announced.
pub(crate) fn too_large(max: usize) -> Error {
    Error::new(
        Kind::MessageTooLarge,
        format!("a record takes more than {max} bytes of input"),
    )
    .cure("check delimiter and format, or divide the record")
}
