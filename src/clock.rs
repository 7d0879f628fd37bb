//! The only place that reads the time and sleeps.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time, monotonic time and sleep, passed in so that tests can control time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch. May jump either way.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;
    /// Blocks this thread for about `duration`.
    fn sleep(&self, duration: Duration);
}

/// The system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the home of now")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the home of sleep")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
