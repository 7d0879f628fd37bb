//! What a daemon tells whoever started it.

use crate::error::Error;

/// Something a person may want to know.
#[derive(Debug)]
pub enum Notice {
    /// Good to know.
    Note(String),
    /// Went wrong, and the daemon goes on.
    Problem(Error),
}

/// Most elections that are told one by one.
pub const NOTICES_MAX: usize = 8;
