//! How long the appending thread of a shared producer waits for more records.

use std::time::Duration;

/// How long batches may fill, besides their linger.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Pace {
    /// How much longer, since other batches are in flight.
    pub gather: Duration,
    /// A batch that no caller waits for is not handed on before this time.
    pub unawaited_from: Duration,
}
