//! How long the appending thread of a shared producer waits for company.

use std::time::Duration;

/// How long batches may fill, apart from lingering.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Pace {
    /// So much longer, since others are under way.
    pub gather: Duration,
    /// A batch that nobody waits for is not due before that.
    pub unawaited_from: Duration,
}
