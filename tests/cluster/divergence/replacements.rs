//! A follower that is replaced, since a process that stands still keeps its append lock: it takes
//! over the closed segments of the one before, and is held against the leader like any other.

use std::time::Duration;

use mq::lifecycle::replace_replica;
use mq::partition::Replica;
use mq::types::{BrokerId, Offset};

use super::rig::{Cluster, tp};
use crate::common::sim_disk::seeded;
use crate::common::tally::Tally;

const ROLLS: &[(&str, &str)] = &[("segment.bytes", "1024"), ("index.interval.bytes", "100")];
const FEW: &[(&str, &str)] = &[];
const SHORT: Duration = Duration::from_millis(1);

fn replace(cluster: &Cluster, broker: BrokerId) -> mq::error::Result<()> {
    let uuid = cluster.partition().uuid_of(broker).expect("listed");
    replace_replica(&cluster.store, &tp(), broker, uuid, SHORT)
}

/// Broker 2's replica, recreated while another holds its lock; its log end before and after.
fn with_its_lock_kept(cluster: &Cluster, broker: BrokerId) -> (Offset, Offset) {
    let old = cluster.replica(broker);
    let before = cluster.page(broker);
    let held = old.lock(SHORT).expect("free");
    replace(cluster, broker).expect("made replace");
    drop(held);
    let page = cluster.page(broker);
    assert_ne!(page.replica_uuid, before.replica_uuid);
    assert!(!cluster.partition().is_in_sync(broker));
    (before.tail.end, page.tail.end)
}

#[test]
fn closed_segments_are_taken_over() {
    let _tally = Tally::start();
    Tally::case();
    let mut cluster = Cluster::new(ROLLS);
    cluster.produce(40);
    cluster.settle().expect("settled");
    let durable = cluster.page(2).durable.segment;
    let (before, after) = with_its_lock_kept(&cluster, 2);
    assert!(after > before / 2 && after < before, "{after} of {before}");
    assert_eq!(after, durable);
    cluster.check_readable(2, "what was taken over");
    cluster.settle().expect("settled");
    cluster.check_identical("after that");
    cluster.produce(3);
    cluster.settle().expect("settled");
    cluster.check_identical("and on");
}

#[test]
fn a_log_of_one_segment_begins_empty() {
    let _tally = Tally::start();
    Tally::case();
    let mut cluster = Cluster::new(FEW);
    cluster.produce(10);
    cluster.settle().expect("settled");
    let (_, after) = with_its_lock_kept(&cluster, 2);
    assert_eq!(after, 0);
    cluster.settle().expect("settled");
    cluster.check_identical("after that");
}

#[test]
fn one_whose_lock_is_free_begins_empty() {
    let _tally = Tally::start();
    Tally::case();
    let mut cluster = Cluster::new(ROLLS);
    cluster.produce(40);
    cluster.settle().expect("settled");
    // Damaged, perhaps: nothing of it is trusted.
    replace(&cluster, 2).expect("made replace");
    assert_eq!(cluster.page(2).tail.end, 0);
    cluster.settle().expect("settled");
    cluster.check_identical("after that");
}

/// Closed segments of a leader that nobody copied.
fn parted() -> Cluster {
    let mut cluster = Cluster::new(ROLLS);
    cluster.produce(12);
    cluster.settle().expect("settled");
    let all: Vec<_> = (0..40)
        .map(|_| (1, 50, mq::types::Compression::None))
        .collect();
    let appended = cluster.try_produce(&all).expect("appended");
    let end = appended.last().expect("one").last_offset;
    let mut committer =
        mq::partition::Committer::open(&cluster.store, &tp(), SHORT).expect("opened");
    committer.commit(end + 1).expect("synced");
    cluster.elect(1, &[1, 2]);
    cluster.produce(4);
    cluster
}

#[test]
fn what_the_leader_has_not_goes() {
    let _tally = Tally::start();
    Tally::case();
    let cluster = parted();
    let (_, after) = with_its_lock_kept(&cluster, 0);
    assert!(after > 16, "nothing of what parted was taken: {after}");
    cluster.settle().expect("settled");
    cluster.check_identical("after that");
}

#[test]
fn the_process_that_recreates_it_dies() {
    let _tally = Tally::start();
    for parts in [false, true] {
        let prepare = || {
            if parts {
                return parted();
            }
            let mut cluster = Cluster::new(ROLLS);
            cluster.produce(40);
            cluster.settle().expect("settled");
            cluster
        };
        let broker = if parts { 0 } else { 2 };
        let mut done = false;
        for n in 1.. {
            Tally::case();
            let cluster = prepare();
            let shown = cluster.shown();
            let old = cluster.replica(broker);
            let held = old.lock(SHORT).expect("free");
            let first = cluster.next(cluster.sim.process());
            first.sim.stop_at(n);
            done |= replace(&first, broker).is_ok() && !first.sim.is_dead();
            drop((first, held));
            if done {
                break;
            }
            for seed in 0..3 {
                let cut = cluster.next(cluster.sim.if_crashed(&mut seeded(seed * 1000 + n)));
                finished(&cut, broker, &format!("cut at {n} by seed {seed}"), &shown);
            }
            let second = cluster.next(cluster.sim.process());
            finished(&second, broker, &format!("killed at {n}"), &shown);
        }
        assert!(done);
    }
}

/// As the broker's daemon does it: what is not there, or is another's, is recreated.
fn finished(cluster: &Cluster, broker: BrokerId, what: &str, shown: &[super::rig::Lies]) {
    let listed = cluster.partition().uuid_of(broker);
    let there = Replica::open(&cluster.store, &tp(), broker)
        .ok()
        .and_then(|replica| replica.read_page().expect("read"))
        .map(|page| page.replica_uuid);
    if there != listed {
        replace(cluster, broker).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
    cluster.settle().unwrap_or_else(|e| panic!("{what}: {e}"));
    cluster.check_identical(what);
    let log = cluster.log(cluster.leader());
    assert!(log.starts_with(shown), "{what}: something shown is gone");
}
