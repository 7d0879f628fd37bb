//! Why and where a run stopped.

use super::lines::Place;
use crate::error::Error;

/// A topic whose delivery failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Where the first record began that is not acknowledged.
    pub(crate) first: Option<Place>,
    /// Its topic, for messages.
    pub(crate) topic: String,
}
