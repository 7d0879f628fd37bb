//! The notices of a daemon to its caller.

use crate::error::Error;

/// Information for the user.
#[derive(Debug)]
pub enum Notice {
    /// An event.
    Note(String),
    /// An error; the daemon continues.
    Problem(Error),
}

/// The maximum number of elections that are reported one by one.
pub const NOTICES_MAX: usize = 8;
