//! After a reboot a follower's page says nothing of what its log holds, so the high watermark waits
//! for it. Its daemon recovers it; where none runs, whoever reads does.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Liveness;
use crate::error::Result;
use crate::store::{Followed, Follower, PartitionReader, Replica, StoreDir};
use crate::types::{BrokerId, TopicPartition};

/// How long each lock is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Steps for one follower, and bytes of a step: in sync, it lacks little.
const STEPS_MAX: usize = 64;
const STEP_BYTES: usize = 1 << 20;

/// Recovers the followers in sync that nobody did since the reboot and whose daemons do not run,
/// and raises the high watermark as far as they let it. What cannot be recovered is left to them.
///
/// # Errors
/// [`crate::error::Kind::Io`] if the leader cannot be looked at.
pub(super) fn recover_followers(store: &Arc<StoreDir>, leader: &PartitionReader) -> Result<()> {
    let tp = leader.replica().tp();
    let partition = leader.topic().partition(tp.partition)?;
    let followers = partition.isr.iter().filter(|id| **id != partition.leader);
    let mut followers = followers.copied().peekable();
    if followers.peek().is_none() {
        return Ok(());
    }
    let page = leader.page()?;
    if page.high_watermark >= page.tail.end {
        return Ok(());
    }
    let liveness = Liveness::new(store);
    for broker in followers.filter(|id| !liveness.is_alive(*id)) {
        if is_of_another_boot(store, tp, broker) {
            // Of a replica that cannot be used its daemon tells, once it runs.
            let _: Result<()> = follow(store, tp, broker);
        }
    }
    Ok(())
}

fn is_of_another_boot(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> bool {
    let page = Replica::open(store, tp, broker).and_then(|replica| replica.read_page());
    matches!(page, Ok(Some(page)) if page.boot_id != store.boot_id())
}

fn follow(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Result<()> {
    let mut follower = Follower::open(store, tp, broker, PATIENCE)?;
    for _ in 0..STEPS_MAX {
        match follower.step(STEP_BYTES)? {
            Followed::Copied(_) => {}
            Followed::CaughtUp if !follower.is_settled() => {}
            Followed::CaughtUp | Followed::Waits | Followed::NoFollower => break,
        }
    }
    Ok(())
}
