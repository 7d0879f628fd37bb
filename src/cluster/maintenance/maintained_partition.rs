//! One log that the LogManager maintains: what it needs next, and the work itself.

use std::sync::Arc;
use std::time::Duration;

use super::policy::{LogAction, LogState, LogTask, Policy, step};
use super::retention_due::RetentionDue;
use super::schedule::When;
use crate::disk::{WatchId, Watcher};
use crate::error::{Error, Kind, Result};
use crate::partition::{
    Committer, PAGE_FILE, PartitionWriter, Replica, Role, Seal, StatePage, Watermark,
};
use crate::store::StoreDir;
use crate::store::brokers::failure_reports;
use crate::types::{BrokerId, LeaderEpoch, TopicPartition, Uuid};

/// The timeout for a lock: a stopped holder must not delay the other partitions.
const TIMEOUT: Duration = Duration::from_millis(500);
/// What an unreadable disk answers (`EIO`).
const EIO: i32 = 5;

#[derive(Debug)]
pub(super) struct MaintainedPartition {
    pub tp: TopicPartition,
    pub uuid: Uuid,
    /// The epoch in which this broker leads it; none: it follows.
    pub leads: Option<LeaderEpoch>,
    /// Whether there are other replicas.
    pub replicated: bool,
    pub policy: Policy,
    pub task: LogTask,
    pub retention: RetentionDue,
    pub replica: Option<Replica>,
    pub committer: Option<Committer>,
    pub watch: Option<WatchId>,
}

/// A replica that the broker holds, according to a topic file.
pub(super) struct HeldHere {
    pub tp: TopicPartition,
    pub uuid: Uuid,
    pub leads: Option<LeaderEpoch>,
    pub replicated: bool,
}

/// What is done for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaintenanceTask {
    Commit(i64),
    Recover,
}

impl MaintainedPartition {
    pub fn new(held: HeldHere, policy: Policy, retention: RetentionDue) -> Self {
        MaintainedPartition {
            tp: held.tp,
            uuid: held.uuid,
            leads: held.leads,
            replicated: held.replicated,
            policy,
            task: LogTask::Clean,
            retention,
            replica: None,
            committer: None,
            watch: None,
        }
    }

    pub fn observe(&mut self, store: &StoreDir, broker: BrokerId) -> Result<LogState> {
        let replica = match self.replica.take() {
            Some(replica) => replica,
            None => Replica::open(store, &self.tp, broker)?,
        };
        let page = replica.proven_page()?;
        self.replica = Some(replica);
        let fit = |page: &StatePage| match self.leads {
            Some(epoch) => {
                page.role == Role::Leader
                    && page.leader_epoch >= epoch
                    && page.seal != Some(Seal::Recovered)
            }
            None => page.role == Role::Follower,
        };
        Ok(match page {
            Some(page)
                if page.boot_id == store.boot_id() && page.offline.is_none() && fit(&page) =>
            {
                LogState::Log {
                    durable: page.durable.offset,
                    end: page.tail.end,
                }
            }
            // An offline replica reports its error in its recovery.
            _ => LogState::Unfit,
        })
    }

    pub fn attend(
        &mut self,
        store: &StoreDir,
        broker: BrokerId,
        watcher: &mut dyn Watcher,
        now: Duration,
    ) -> Result<Option<MaintenanceTask>> {
        loop {
            let observe = self.observe(store, broker)?;
            if let LogState::Log { end, .. } = observe {
                self.retention.observed(end, now);
            }
            let (task, effect) = step(self.policy, self.task, observe, now);
            self.task = task;
            match (effect, &self.replica) {
                (LogAction::Watch, Some(replica)) if self.watch.is_none() => {
                    let dir = replica.dir();
                    let watch = watcher.add_file(&**dir, PAGE_FILE);
                    self.watch = Some(watch.map_err(|e| Error::io("watch", dir.path(), e))?);
                    // Check again: it may have changed before it was watched.
                    continue;
                }
                (LogAction::Watch, _) => {
                    // The watch needs no descriptor.
                    self.replica = None;
                    return Ok(None);
                }
                _ => self.unwatch(watcher),
            }
            return Ok(match effect {
                LogAction::Commit(end) => Some(MaintenanceTask::Commit(end)),
                LogAction::Recover => Some(MaintenanceTask::Recover),
                LogAction::Watch | LogAction::Rest | LogAction::Wait => None,
            });
        }
    }

    /// Whether a pass of retention is due for a log that is in order.
    pub fn is_removal_due(&self, now: Duration) -> bool {
        self.is_in_order() && self.retention.is_due(now)
    }

    fn is_in_order(&self) -> bool {
        matches!(self.task, LogTask::Clean | LogTask::Dirty { .. })
    }

    pub fn when(&self) -> When {
        // A log that failed is not removed from: it would be due in a loop.
        let removal = self.retention.due().filter(|_| self.is_in_order());
        let due = self.task.due().into_iter().chain(removal);
        due.min().map_or(When::Changed, When::At)
    }

    fn unwatch(&mut self, watcher: &mut dyn Watcher) {
        if let Some(watch) = self.watch.take() {
            watcher.remove(watch);
        }
    }

    pub fn perform(
        &mut self,
        store: &Arc<StoreDir>,
        broker: BrokerId,
        job: MaintenanceTask,
    ) -> Result<()> {
        match job {
            MaintenanceTask::Commit(end) => {
                let mut committer = match (self.committer.take(), self.leads) {
                    (Some(committer), _) => committer,
                    (None, Some(_)) => Committer::open(store, &self.tp, TIMEOUT)?,
                    (None, None) => Committer::open_at(store, &self.tp, broker, TIMEOUT)?,
                };
                committer.commit(end)?;
                if self.replicated && self.leads.is_some() {
                    Watermark::open(store, &self.tp)?.raise(TIMEOUT)?;
                }
                if matches!(self.policy, Policy::Every(_)) {
                    self.committer = Some(committer);
                }
                Ok(())
            }
            // The fetcher recovers a follower's log.
            MaintenanceTask::Recover if self.leads.is_none() => Ok(()),
            MaintenanceTask::Recover => {
                // Recovery may put another directory in its place.
                self.replica = None;
                self.committer = None;
                let mut writer = PartitionWriter::open(store, &self.tp, TIMEOUT)?;
                writer.make_ready().map(drop)
            }
        }
    }

    /// Leaves the log alone for a while, and opens everything again then.
    pub fn fail(
        &mut self,
        store: &StoreDir,
        watcher: &mut dyn Watcher,
        error: Error,
        now: Duration,
    ) -> (String, Error) {
        if self.replicated && self.leads.is_some() && concerns_the_replica(&error) {
            // A hint: another replica may be able to lead.
            let _ = failure_reports::report(store, &self.tp);
        }
        self.unwatch(watcher);
        self.replica = None;
        self.committer = None;
        self.task = LogTask::failed(now);
        (self.tp.to_string(), error)
    }
}

/// Whether an error may be a reason to let another replica lead: not one of this process, such as a
/// lack of descriptors or memory.
fn concerns_the_replica(error: &Error) -> bool {
    let of_its_disk = |e: &std::io::Error| e.raw_os_error() == Some(EIO);
    match error.kind() {
        Kind::Offline | Kind::Damaged | Kind::DiskFull | Kind::Fenced | Kind::Busy => true,
        _ => error.io_source().is_some_and(of_its_disk),
    }
}
