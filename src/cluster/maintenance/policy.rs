//! Decides what a partition's log needs next: no I/O, no clock.
//!
//! 1. A clean log (all of it durable) is left alone until its state page changes.
//! 2. With `flush.ms=T`, bytes that are not durable are synced T ms after they were first seen.
//! 3. With `flush.messages`, producers sync. If a log neither grows nor becomes durable for a
//!    second, its producer died, and the LogManager syncs the log.
//! 4. A log that cannot be maintained is checked again after a pause, not in a loop.

use std::time::Duration;

use crate::store::TopicConfigs;
use crate::types::Offset;

/// How long a log makes no progress before its unsynced bytes count as left behind.
const LEFT: Duration = Duration::from_secs(1);
/// How long a failed log is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// When a topic's logs are to be synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// So long after the first append that is not durable.
    Every(Duration),
    /// When a producer left unsynced bytes.
    Left,
    /// Never.
    Never,
}

impl Policy {
    /// By the topic's configs.
    pub fn of(configs: &TopicConfigs) -> Self {
        if configs.flush_ms != TopicConfigs::NEVER {
            Policy::Every(Duration::from_millis(configs.flush_ms))
        } else if configs.flush_messages != TopicConfigs::NEVER {
            Policy::Left
        } else {
            Policy::Never
        }
    }
}

/// What a state page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// Of this boot, and sound.
    Log {
        /// Durable up to here.
        durable: Offset,
        /// The log's end.
        end: Offset,
    },
    /// Of another boot, or unreadable: it waits for a recovery.
    Unfit,
}

/// What is known of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTask {
    /// Nothing to do.
    Clean,
    /// Not durable since then.
    Dirty {
        /// When to act.
        due: Duration,
        /// Durable offset and end as of the last check.
        seen: (Offset, Offset),
    },
    /// It failed; check it again then.
    Failed {
        /// When.
        due: Duration,
    },
    /// It was recovered; if it still needs recovery, check it again then.
    Recovered {
        /// When.
        due: Duration,
    },
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogAction {
    /// Wait for the state page to change.
    Watch,
    /// Nothing, whatever the state page shows.
    Rest,
    /// Check again when [`LogTask::due`] says.
    Wait,
    /// Make it durable up to that offset.
    Commit(Offset),
    /// Recover it.
    Recover,
}

impl LogTask {
    /// When to check again if nothing changes.
    pub fn due(self) -> Option<Duration> {
        match self {
            LogTask::Clean => None,
            LogTask::Dirty { due, .. } | LogTask::Failed { due } | LogTask::Recovered { due } => {
                Some(due)
            }
        }
    }

    /// After a failure.
    pub fn failed(now: Duration) -> Self {
        LogTask::Failed { due: now + PAUSE }
    }
}

/// Decides.
pub fn step(
    policy: Policy,
    task: LogTask,
    observe: LogState,
    now: Duration,
) -> (LogTask, LogAction) {
    if let LogTask::Failed { due } = task
        && now < due
    {
        return (task, LogAction::Wait);
    }
    let LogState::Log { durable, end } = observe else {
        return match task {
            LogTask::Recovered { due } if now < due => (task, LogAction::Wait),
            _ => (LogTask::Recovered { due: now + PAUSE }, LogAction::Recover),
        };
    };
    let delay = match policy {
        Policy::Every(delay) => delay,
        Policy::Left => LEFT,
        Policy::Never => return (LogTask::Clean, LogAction::Rest),
    };
    if durable >= end {
        return (LogTask::Clean, LogAction::Watch);
    }
    match task {
        LogTask::Dirty { due, .. } if now < due => (task, LogAction::Wait),
        LogTask::Dirty { seen, .. } if policy == Policy::Left && seen != (durable, end) => (
            LogTask::Dirty {
                due: now + delay,
                seen: (durable, end),
            },
            LogAction::Wait,
        ),
        LogTask::Dirty { .. } => (LogTask::Clean, LogAction::Commit(end)),
        LogTask::Clean | LogTask::Failed { .. } | LogTask::Recovered { .. } => (
            LogTask::Dirty {
                due: now + delay,
                seen: (durable, end),
            },
            LogAction::Wait,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn log(durable: Offset, end: Offset) -> LogState {
        LogState::Log { durable, end }
    }

    #[test]
    fn flush_ms_counts_from_the_first_append() {
        let policy = Policy::Every(ms(100));
        let (task, effect) = step(policy, LogTask::Clean, log(0, 0), ms(0));
        assert_eq!((task, effect), (LogTask::Clean, LogAction::Watch));
        let (task, effect) = step(policy, task, log(0, 1), ms(50));
        assert_eq!((task.due(), effect), (Some(ms(150)), LogAction::Wait));
        let (task, effect) = step(policy, task, log(0, 9), ms(149));
        assert_eq!((task.due(), effect), (Some(ms(150)), LogAction::Wait));
        let (task, effect) = step(policy, task, log(0, 12), ms(150));
        assert_eq!((task, effect), (LogTask::Clean, LogAction::Commit(12)));
        assert_eq!(step(policy, task, log(12, 12), ms(160)).1, LogAction::Watch);
    }

    #[test]
    fn a_living_producer_syncs_for_itself() {
        let mut task = LogTask::Clean;
        for second in 0..10 {
            let moved = log(second, second + 1);
            let (next, effect) = step(Policy::Left, task, moved, ms(second as u64 * 1000));
            assert_eq!(effect, LogAction::Wait, "{second}");
            task = next;
        }
        let (_, effect) = step(Policy::Left, task, log(9, 10), ms(10_000));
        assert_eq!(effect, LogAction::Commit(10));
    }

    #[test]
    fn never_means_never_and_another_boot_is_recovered() {
        let (task, effect) = step(Policy::Never, LogTask::Clean, log(0, 5), ms(0));
        assert_eq!((task, effect), (LogTask::Clean, LogAction::Rest));
        for policy in [Policy::Never, Policy::Left, Policy::Every(ms(1))] {
            assert_eq!(
                step(policy, LogTask::Clean, LogState::Unfit, ms(0)).1,
                LogAction::Recover
            );
        }
    }

    #[test]
    fn a_recovery_that_did_not_help_is_not_repeated_in_a_loop() {
        let (task, effect) = step(Policy::Left, LogTask::Clean, LogState::Unfit, ms(0));
        assert_eq!(effect, LogAction::Recover);
        assert_eq!(
            step(Policy::Left, task, LogState::Unfit, ms(1)),
            (task, LogAction::Wait)
        );
        assert_eq!(
            step(Policy::Left, task, log(1, 1), ms(1)),
            (LogTask::Clean, LogAction::Watch)
        );
        assert_eq!(
            step(Policy::Left, task, LogState::Unfit, ms(10_000)).1,
            LogAction::Recover
        );
    }

    #[test]
    fn a_failure_is_not_tried_in_a_loop() {
        let task = LogTask::failed(ms(0));
        for observe in [log(0, 1), LogState::Unfit, log(1, 1)] {
            assert_eq!(
                step(Policy::Left, task, observe, ms(9_999)),
                (task, LogAction::Wait)
            );
        }
        assert_eq!(
            step(Policy::Left, task, LogState::Unfit, ms(10_000)).1,
            LogAction::Recover
        );
    }
}
