//! Why a batch was refused.

use std::fmt;

use crate::codec::Malformed;
use crate::error::{Error, Kind};

/// Damage in a batch: what is wrong, and at which byte of the batch. Cheap to create, so that
/// searching for a batch among bytes costs nothing; the caller that reports it adds file and
/// position: `Error::from(corrupt).at(...)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    /// What is wrong.
    pub reason: &'static str,
    /// Where, in bytes from the start of the batch. Within compressed records: where these start.
    pub at: usize,
}

impl Corrupt {
    /// Damage at byte `at` of the batch.
    pub(super) fn new(reason: &'static str, at: usize) -> Self {
        Corrupt { reason, at }
    }

    /// Malformed bytes at byte `at` of the batch.
    pub(super) fn malformed(why: Malformed, at: usize) -> Self {
        Corrupt { reason: why.0, at }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {} of the batch)", self.reason, self.at)
    }
}

impl std::error::Error for Corrupt {}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Error::new(Kind::Damaged, format!("CORRUPT_MESSAGE: {corrupt}"))
    }
}

pub(crate) const TOO_LARGE: Malformed = Malformed("the records decompress to more than the limit");
