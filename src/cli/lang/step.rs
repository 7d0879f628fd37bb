//! The result of one call of an input parser.

use super::input_record::InputRecord;
use crate::error::{Error, Kind};

/// The next part of the input.
#[derive(Debug)]
pub enum Step<'a> {
    /// A record from the first `consumed` bytes.
    Record {
        /// The record.
        record: InputRecord<'a>,
        /// Bytes to drop before the next call.
        consumed: usize,
    },
    /// The first `consumed` bytes are not a record: one to skip, or a part of one that is too long.
    Skip {
        /// Bytes to drop before the next call.
        consumed: usize,
    },
    /// The first `consumed` bytes are a record that cannot be used; reading can continue after
    /// them.
    Invalid {
        /// The reason; the caller adds the place.
        error: Error,
        /// Bytes to drop before the next call.
        consumed: usize,
    },
    /// No complete record: call again with more bytes after these, or at the end of the input.
    NeedMore,
    /// The input has ended and no bytes are left.
    End,
}

/// The error for a record of which more than `max` bytes were read or announced.
pub(crate) fn too_large(max: usize) -> Error {
    Error::new(
        Kind::MessageTooLarge,
        format!("a record takes more than {max} bytes of input"),
    )
    .cure("check delimiter and format, or divide the record")
}
