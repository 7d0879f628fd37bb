//! The identity of this process, for lock files and messages.

use std::fmt;
use std::sync::OnceLock;

use crate::clock::Clock;

/// A process as others see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Process id on its host.
    pub pid: u32,
    /// The host's name.
    pub host: String,
    /// About when it started, milliseconds since the epoch: tells two processes of one pid apart.
    pub started_ms: i64,
}

impl Process {
    /// This process. The first call sets `started_ms`.
    pub fn current(clock: &dyn Clock) -> &'static Process {
        static CURRENT: OnceLock<Process> = OnceLock::new();
        CURRENT.get_or_init(|| Process {
            pid: std::process::id(),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            started_ms: clock.now_ms(),
        })
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn knows_itself() {
        let me = Process::current(&SystemClock::default());
        assert_eq!(me.pid, std::process::id());
        assert!(!me.host.is_empty() && me.started_ms > 0);
        assert_eq!(Process::current(&SystemClock::default()), me);
    }
}
