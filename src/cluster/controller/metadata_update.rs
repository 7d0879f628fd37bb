//! What a controller changes in one metadata update, and its authority to do so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::assessment::ineligible;
use super::changes::apply;
use super::controller_file::ControllerFile;
use super::controller_role::Me;
use super::leadership_transfer::LeadershipTransfer;
use super::replica_snapshot::{Disks, SnapshotReader};
use super::state::{AckedUpTo, Change, ChangeKind, Forced, Lock, ProbeRequest};
use super::work_id::WorkId;
use crate::cluster::notice::{NOTICES_MAX, Notice};
use crate::error::{Error, Result};
use crate::partition::InSync;
use crate::store::topics::topic_file;
use crate::store::{FencedLock, StoreDir, TopicMeta};
use crate::types::{TopicName, TopicPartition};

/// The authority that a controller acts by, shared with its threads.
#[derive(Debug)]
pub struct Warrant {
    me: Me,
    epoch: u64,
    given_up: AtomicBool,
}

impl Warrant {
    /// Of the daemon `me`, elected in that epoch.
    pub fn new(epoch: u64, me: Me) -> Self {
        Warrant {
            me,
            epoch,
            given_up: AtomicBool::new(false),
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Revokes it, whatever the file says.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// Whether it was revoked.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Whether `controller.json` still names this daemon in this epoch. Checked in each critical
    /// section of the metadata lock.
    pub fn holds(&self, store: &StoreDir) -> Result<bool> {
        let named = ControllerFile::read(store)?.is_some_and(|file| {
            file.epoch == self.epoch
                && file.broker_id == self.me.broker_id
                && file.incarnation == self.me.incarnation
                && file.pid.is_some()
        });
        Ok(named && !self.is_given_up())
    }
}

/// The outcome of changes.
#[derive(Debug, Default)]
pub struct Made {
    /// The jobs of the changes that were made.
    pub jobs: HashSet<WorkId>,
    /// Topics whose file cannot be changed: none of their changes was made.
    pub failed: Vec<(TopicName, Error)>,
}

/// Makes the changes that are still called for, each topic on its own. `None` without authority.
pub fn change_all(
    store: &Arc<StoreDir>,
    warrant: &Warrant,
    disks: &mut Disks,
    changes: &[Change],
    timeout: Duration,
) -> Result<Option<Made>> {
    let mut by_topic: HashMap<&TopicName, Vec<&Change>> = HashMap::new();
    for change in changes {
        by_topic.entry(&change.tp.topic).or_default().push(change);
    }
    let mut names: Vec<TopicName> = by_topic.keys().map(|name| (*name).clone()).collect();
    names.sort_unstable();
    let purpose = "change leaders and in-sync replicas";
    let guard = FencedLock::acquire_store(store, purpose, timeout)?;
    if !warrant.holds(store)? {
        return Ok(None);
    }
    let extents = InSync::new(store);
    let mut made = HashSet::new();
    let updated = topic_file::update_each(store, &guard, &names, |meta| {
        let before = made.len();
        for change in by_topic.get(&meta.name).into_iter().flatten() {
            if is_still_forced(store, disks, meta, change) && apply(&extents, meta, change) {
                made.insert(change.job);
            }
        }
        Ok(made.len() > before)
    })?;
    let failed = updated.failed;
    Ok(Some(Made { jobs: made, failed }))
}

/// Whether the cause of a forced failover still holds: waiting for the store's lock takes time, and
/// a leader whose directory is sound and whose lock is free is never fenced.
fn is_still_forced(store: &StoreDir, disks: &mut Disks, meta: &TopicMeta, change: &Change) -> bool {
    let ChangeKind::Elect(election) = &change.kind else {
        return true;
    };
    let Some(forced) = election.forced else {
        return true;
    };
    let leader = change.leader;
    let at = ProbeRequest {
        job: change.job,
        tp: change.tp.clone(),
        leader,
        brokers: vec![leader],
        probe: matches!(forced, Forced::LockKept(..)),
    };
    let disk = disks.of(leader);
    let observed = SnapshotReader::of_controller(store, &disk).observe(&at, AckedUpTo::LogEnd);
    let Some((_, observe)) = observed.replicas.first() else {
        return false;
    };
    match forced {
        Forced::DirectoryUnusable(_) => {
            let index = usize::try_from(change.tp.partition).unwrap_or(usize::MAX);
            let partition = meta.partitions.get(index);
            ineligible(observe, partition.and_then(|p| p.uuid_of(leader))).is_some()
        }
        Forced::LockKept(sequence, heartbeat) => {
            observed.lock == Lock::Held(heartbeat) && observe.sequence() == sequence
        }
    }
}

/// Describes which brokers were elected, and why.
pub fn notify_elections<'a>(
    made: impl Iterator<Item = &'a Change>,
    notify: &mut dyn FnMut(Notice),
) {
    let mut count = 0;
    for change in made {
        let ChangeKind::Elect(election) = &change.kind else {
            continue;
        };
        count += 1;
        if count <= NOTICES_MAX {
            let unclean = if election.unclean {
                ", which was not in sync: records may be lost"
            } else {
                ""
            };
            notify(Notice::Note(format!(
                "{}: broker {} leads in epoch {}, after broker {} ({}){unclean}",
                change.tp,
                election.to,
                change.epoch.saturating_add(1),
                change.leader,
                election.why
            )));
        }
    }
    if count > NOTICES_MAX {
        notify(Notice::Note(format!(
            "more elections, {} in all",
            leaders(count)
        )));
    }
}

/// Describes the transfers that were made; those with the same reason, source and target share a
/// line.
pub fn notify_moves(
    moved: Vec<(LeadershipTransfer, &'static str)>,
    notify: &mut dyn FnMut(Notice),
) {
    let mut alike: BTreeMap<_, Vec<TopicPartition>> = BTreeMap::new();
    for (what, why) in moved {
        let tps = alike.entry((what.from, what.to, why)).or_default();
        tps.push(what.tp);
    }
    for ((from, to, why), tps) in alike {
        notify(Notice::Note(format!(
            "broker {to} leads {} instead of broker {from}, {why}",
            TopicPartition::first_of(&tps, NOTICES_MAX)
        )));
    }
}

/// A number of leaders, as text.
pub fn leaders(count: usize) -> String {
    match count {
        1 => "1 leader".to_owned(),
        n => format!("{n} leaders"),
    }
}
