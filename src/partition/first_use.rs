//! The first use of a replica by a process: before it believes the page, it compares the page with
//! this boot and with the files.
//!
//! 1. After a reboot, a lost mount or a restored copy, a page does not say what its log holds.
//! 2. A reader compares the leader's page with its files ([`PartitionReader::in_good_order`]), and
//!    likewise the pages of the in-sync followers that the high watermark waits for.
//! 3. A follower's own daemon recovers it; if none runs, the reader does.

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

/// Bounds the wait for each lock, and for another process's sync.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The most steps for one follower, and bytes a step: in sync, it lacks little.
const STEPS_MAX: usize = 64;
const STEP_BYTES: usize = 1 << 20;

/// Opens a partition's leader with `open` for a reader's first use. Recovers what a dead process,
/// another boot or a lost mount left, at the leader and at the followers whose daemons do not run.
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

/// Recovers the in-sync followers whose daemons do not run, and raises the high watermark as far as
/// they allow. A follower that cannot be recovered here is left to its daemon.
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
            // A replica that cannot be used is reported by its daemon, once that runs.
            let _: Result<()> = follow(store, tp, broker);
        }
    }
    if !anyone_lives {
        // The recovery of a follower does not raise the high watermark by itself. If it cannot be
        // raised here, the old one stays valid.
        let _ = Watermark::open(store, tp).and_then(|mut mark| mark.raise(TIMEOUT));
    }
    Ok(())
}

/// Opens a broker's follower for a reader's first use. If its daemon does not run and its page
/// cannot be believed, it is recovered, and learns the high watermark as far as its log goes.
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
    // A replica that cannot be used is reported by its daemon, once that runs.
    let _: Result<()> = follow(store, tp, broker);
    PartitionReader::open_at(store, tp, broker)
}

/// Compares the page of a broker's follower with its files if its daemon does not run. Does not
/// read the leader: records that the leader lacks stay.
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

/// Whether a replica has a page that cannot be believed.
fn must_recover(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> bool {
    let page = Replica::open(store, tp, broker).and_then(|replica| replica.proven_page());
    matches!(page, Ok(Some(page)) if !is_believed(store, &page))
}

/// Whether a page that was compared with its files is of this boot, without an open intent.
fn is_believed(store: &StoreDir, page: &StatePage) -> bool {
    page.boot_id == store.boot_id() && page.intent == Intent::None
}

/// Steps a broker's follower until it has what its leader has. For a broker whose daemon does not run.
///
/// # Errors
/// As [`Follower::step`].
pub(crate) fn follow(store: &Arc<StoreDir>, tp: &TopicPartition, broker: BrokerId) -> Result<()> {
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
