//! The failure of a producer that could not store everything.

use std::fmt;

pub use crate::client::Unacknowledged;
use crate::error::Error;

/// Why a producer failed, what is acknowledged, and what is not. It is also an error, and becomes
/// an [`Error`] by `?`.
///
/// ```
/// use mq::{Failure, Producer, Result};
///
/// fn finish(orders: Producer) -> Result<u64> {
///     Ok(orders.close()?)
/// }
///
/// fn report(failure: &Failure) -> String {
///     format!("{failure}; {} records are stored", failure.acknowledged)
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// How many records are acknowledged.
    pub acknowledged: u64,
    /// The sent records that are not acknowledged, by partition. [`Error::outcome_unknown`] says
    /// whether any of them may be stored nevertheless.
    pub unacknowledged: Vec<Unacknowledged>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}
