//! Where a run stopped, and why.

use super::lines::InputLine;
use crate::error::Error;

/// A topic whose delivery failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Where the first record that is not acknowledged begins.
    pub(crate) first: Option<InputLine>,
    /// Its topic, for messages.
    pub(crate) topic: String,
}
