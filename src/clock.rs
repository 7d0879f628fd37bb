//! The only place that reads the time and sleeps.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time, monotonic time and sleep, passed in so that tests can control time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch. May jump either way.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;
    /// Milliseconds since the machine was booted, sleep included; above zero. All processes of a
    /// machine read the same, and a change of the wall clock does not move it.
    fn boottime_ms(&self) -> i64 {
        1 + self.monotonic().as_millis() as i64
    }
    /// Blocks this thread for about `duration`.
    fn sleep(&self, duration: Duration);
}

/// One moment, by the wall clock and by the time since the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Milliseconds since the boot, above zero.
    pub boottime_ms: i64,
}

impl Moment {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Moment {
            wall_ms: clock.now_ms(),
            boottime_ms: clock.boottime_ms(),
        }
    }
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

    fn boottime_ms(&self) -> i64 {
        boottime_ms()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the home of sleep")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Linux has a clock that counts sleep; elsewhere the monotonic one has to do.
fn boottime_ms() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(id);
    1 + time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
