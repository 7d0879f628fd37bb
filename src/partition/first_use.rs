//! The first use of a replica by a process: its page is held against this boot and against its files
//! before anything that it says is believed.
//!
//! 1. After a reboot, a lost mount or a restored copy a page says nothing of what its log holds.
//! 2. A reader holds the leader's page against its files ([`PartitionReader::in_good_order`]), and so
//!    the pages of the followers in sync that the high watermark waits for.
//! 3. A follower is its daemon's to recover; where none runs, the reader does it.

use std::sync::Arc;
use std::time::Duration;

use super::dir_sync::sync_names;
use super::expected_replica::ExpectedReplica;
use super::read::PartitionReader;
use super::recovery::ReplicaRecovery;
use super::replica::Replica;
use super::replication::{Followed, Follower, Watermark};
use super::state_page::{Intent, StatePage};
use crate::error::{Error, Kind, Result};
use crate::log::Appender;
use crate::store::{Liveness, StoreDir, TopicHandle};
use crate::types::{BrokerId, TopicPartition};

/// How long each lock, and another's sync, is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Steps for one follower, and bytes of a step: in sync, it lacks little.
const STEPS_MAX: usize = 64;
const STEP_BYTES: usize = 1 << 20;

/// Opens a partition's leader with `open` for a reader's first use: what a dead process, another boot
/// or a lost mount left is put in order, there and at the followers whose daemons do not run.
///
/// # Errors
/// As `open` and [`PartitionReader::in_good_order`].
pub fn first_reader(
    store: &Arc<StoreDir>,
    open: impl Fn() -> Result<PartitionReader>,
) -> Result<PartitionReader> {
    let reader = open()?.in_good_order(TIMEOUT, &open)?;
    recover_followers(store, &reader)?;
    Ok(reader)
}

/// Recovers the followers in sync whose daemons do not run, and raises the high watermark as far as
/// they let it. What cannot be recovered is left to their daemons.
fn recover_followers(store: &Arc<StoreDir>, leader: &PartitionReader) -> Result<()> {
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
    let mut anyone_lives = false;
    for broker in followers {
        if liveness.is_alive(broker) {
            anyone_lives = true;
        } else if must_recover(store, tp, broker) {
            // Of a replica that cannot be used its daemon tells, once it runs.
            let _: Result<()> = follow(store, tp, broker);
        }
    }
    if !anyone_lives {
        // A look that took a follower's records in does not raise it. What cannot be raised is as it
        // was.
        let _ = Watermark::open(store, tp).and_then(|mut mark| mark.raise(TIMEOUT));
    }
    Ok(())
}

/// Opens a broker's follower for a reader's first use. Where no daemon cares for it, it is recovered if
/// its page cannot be believed, and learns of the high watermark, as far as its log goes.
///
/// # Errors
/// As [`PartitionReader::open_at`].
pub fn first_follower_reader(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
) -> Result<PartitionReader> {
    let reader = PartitionReader::open_at(store, tp, broker)?;
    let page = reader.replica().proven_page()?;
    let is_done =
        page.is_some_and(|page| is_believed(store, &page) && page.high_watermark >= page.tail.end);
    if is_done || Liveness::new(store).is_alive(broker) {
        return Ok(reader);
    }
    // Of a replica that cannot be used its daemon tells, once it runs.
    let _: Result<()> = follow(store, tp, broker);
    PartitionReader::open_at(store, tp, broker)
}

/// Holds the page of a broker's follower against its files if no daemon cares for it. Without a look at
/// the leader: what that has not stays.
///
/// # Errors
/// As [`Follower::step`]; [`Kind::Busy`] also if the topic file changes meanwhile.
pub(crate) fn make_follower_ready(
    store: &Arc<StoreDir>,
    tp: &TopicPartition,
    broker: BrokerId,
    timeout: Duration,
) -> Result<()> {
    if Liveness::new(store).is_alive(broker) {
        return Ok(());
    }
    let topic = TopicHandle::open(store, &tp.topic)?;
    let replica = Replica::open(store, tp, broker)?;
    sync_names(store, &replica, topic.meta().version, timeout)?;
    let expected = ExpectedReplica::of(store, &topic, tp, broker)?;
    let held = replica.lock(timeout)?;
    if !topic.is_current()? {
        let text = format!("topic {} was changed meanwhile", tp.topic);
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    }
    let mut cuts = Vec::new();
    let ready = ReplicaRecovery {
        held: &held,
        expected,
        appender: &mut Appender::new(Arc::clone(replica.dir())),
        epochs: &mut replica.epochs()?.unwrap_or_default(),
        cuts: &mut cuts,
    }
    .ready(held.page()?, None, true);
    drop(held);
    store.add_cuts(tp, &mut cuts);
    ready.map(drop)
}

/// Whether a replica has a page, and one that cannot be believed.
fn must_recover(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> bool {
    let page = Replica::open(store, tp, broker).and_then(|replica| replica.proven_page());
    matches!(page, Ok(Some(page)) if !is_believed(store, &page))
}

/// Whether a page that was held against its files is of this boot, with nothing begun.
fn is_believed(store: &StoreDir, page: &StatePage) -> bool {
    page.boot_id == store.boot_id() && page.intent == Intent::None
}

fn follow(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Result<()> {
    let mut follower = Follower::open(store, tp, broker, TIMEOUT)?;
    for _ in 0..STEPS_MAX {
        match follower.step(STEP_BYTES)? {
            Followed::Copied(_) => {}
            Followed::CaughtUp if !follower.is_settled() => {}
            Followed::CaughtUp | Followed::Waits | Followed::NoFollower => break,
        }
    }
    Ok(())
}
