//! A process that truncates, copies, appends or raises dies at any of its operations, or leadership moves
//! right before it.

use mq::error::Result;
use mq::partition::{Replica, Watermark};
use mq::types::{BrokerId, Compression};

use super::rig::{Cluster, Lies, since, tp};
use crate::common::rig::TIMEOUT;
use crate::common::sim_disk::seeded;
use crate::common::switches::is_long;
use crate::common::tally::Tally;

const EACH_ROLLS: &[(&str, &str)] = &[
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "100"),
    ("min.insync.replicas", "2"),
];
const NEVER_ROLLS: &[(&str, &str)] = &[
    ("flush.messages", "never"),
    ("segment.bytes", "1024"),
    ("index.interval.bytes", "0"),
];
const FIVE: &[(&str, &str)] = &[("flush.messages", "5"), ("min.insync.replicas", "2")];
const EACH: &[(&str, &str)] = &[("index.interval.bytes", "0")];

/// What comes before, and what broker 0 is to do then.
#[derive(Clone, Copy)]
struct Scene {
    name: &'static str,
    pairs: &'static [(&'static str, &'static str)],
    before: fn(&mut Cluster),
}

fn begin(cluster: &mut Cluster) {
    cluster.produce(5);
    cluster.settle().expect("settled");
}

fn returns_with_more(cluster: &mut Cluster) {
    begin(cluster);
    let all: Vec<_> = (0..30).map(|n| (1 + n % 3, 60, Compression::Lz4)).collect();
    cluster.try_produce(&all).expect("appended");
    cluster.elect(1, &[1, 2]);
    cluster.produce(4);
    cluster.follow(2);
}

fn copies(cluster: &mut Cluster) {
    begin(cluster);
    cluster.elect(1, &[1, 2]);
    cluster.follow(0);
    cluster.follow(2);
    cluster.produce(20);
    cluster.follow(2);
}

fn begins_again(cluster: &mut Cluster) {
    cluster.change(|partition| partition.isr = vec![0]);
    cluster.produce(14);
    cluster.elect(1, &[1, 2]);
    cluster.produce(3);
    cluster.follow(2);
}

/// The leader's log start rose while broker 0 has all that it has.
fn start_rises(cluster: &mut Cluster) {
    begin(cluster);
    cluster.elect(1, &[0, 1, 2]);
    cluster.produce(20);
    cluster.settle().expect("settled");
    cluster.trim(14).expect("trimmed");
    cluster.produce(2);
}

/// All that the leader had is gone.
fn all_goes(cluster: &mut Cluster) {
    begin(cluster);
    cluster.elect(1, &[0, 1, 2]);
    cluster.produce(20);
    cluster.settle().expect("settled");
    let end = cluster.page(1).tail.end;
    cluster.trim(end).expect("trimmed");
}

/// The leader's log start rose beyond what broker 0 has.
fn start_passes(cluster: &mut Cluster) {
    begin(cluster);
    cluster.elect(1, &[1, 2]);
    cluster.produce(20);
    cluster.follow(2);
    cluster.trim(14).expect("trimmed");
}

const SCENES: [Scene; 11] = [
    Scene {
        name: "a truncation of many segments",
        pairs: EACH_ROLLS,
        before: returns_with_more,
    },
    Scene {
        name: "a truncation, unsynced",
        pairs: NEVER_ROLLS,
        before: returns_with_more,
    },
    Scene {
        name: "a copy with rolls",
        pairs: EACH_ROLLS,
        before: copies,
    },
    Scene {
        name: "a copy with rolls, unsynced",
        pairs: NEVER_ROLLS,
        before: copies,
    },
    Scene {
        name: "a copy, some synced",
        pairs: FIVE,
        before: copies,
    },
    Scene {
        name: "a log that goes whole",
        pairs: EACH,
        before: begins_again,
    },
    Scene {
        name: "a log start that rises",
        pairs: EACH_ROLLS,
        before: start_rises,
    },
    Scene {
        name: "a log start that rises, unsynced",
        pairs: NEVER_ROLLS,
        before: start_rises,
    },
    Scene {
        name: "a log start that rises to the end",
        pairs: FIVE,
        before: all_goes,
    },
    Scene {
        name: "a log start beyond the end",
        pairs: EACH_ROLLS,
        before: start_passes,
    },
    Scene {
        name: "a log start beyond the end, unsynced",
        pairs: NEVER_ROLLS,
        before: start_passes,
    },
];

/// What broker 0 does in a process of its own.
fn follow_and_join(cluster: &Cluster) -> Result<()> {
    let mut follower = cluster.caught_up(0)?;
    cluster.join(&mut follower, 0)?;
    cluster.catch_up(&mut follower)
}

/// That all that is below the durable offset survives the loss of all that is not synced.
fn check_durable(cluster: &Cluster, what: &str) {
    // It has none while it is being replaced.
    let Ok(replica) = Replica::open(&cluster.store, &tp(), 0) else {
        return;
    };
    let page = replica.read_page().expect("read");
    let Some(page) = page.filter(|page| page.offline.is_none()) else {
        return;
    };
    let has = cluster.log_to(&replica, page.durable.offset);
    let left = cluster.next(cluster.sim.if_crashed(&mut |_| 0));
    let Some(of_left) = Replica::open(&left.store, &tp(), 0).ok() else {
        return;
    };
    if of_left
        .read_page()
        .expect("read")
        .is_none_or(|of| of.replica_uuid != page.replica_uuid)
    {
        return;
    }
    let kept = left.log_to(&of_left, page.durable.offset);
    let start = page.tail.log_start.max(left.page(0).tail.log_start);
    let (has, kept) = (since(has, start), since(kept, start));
    assert!(
        kept == has,
        "{what}: not all is on disk below {}",
        page.durable.offset
    );
    let end = kept.last().map_or(start, |lies| lies.last + 1);
    assert_eq!(end, page.durable.offset, "{what}: durable");
}

/// The next processes make it identical, and lose nothing that was shown.
fn recovers(what: &str, cluster: &Cluster, shown: &[Lies]) {
    Tally::case();
    cluster.settle().unwrap_or_else(|e| panic!("{what}: {e}"));
    cluster.check_identical(what);
    let log = cluster.log(cluster.leader());
    let shown = since(shown.to_vec(), cluster.start());
    assert!(
        since(log, cluster.start()).starts_with(&shown),
        "{what}: something that was shown is gone"
    );
}

fn stop_everywhere(scene: &Scene, twice: bool) {
    let prepare = || {
        let mut cluster = Cluster::new(scene.pairs);
        (scene.before)(&mut cluster);
        cluster
    };
    let cluster = prepare();
    let first = cluster.next(cluster.sim.process());
    follow_and_join(&first).expect("undisturbed");
    let ops = first.sim.ops();
    let seeds = if is_long() { 12 } else { 2 };
    let stride = match (twice, is_long()) {
        (_, true) => 1,
        (true, false) => 41,
        (false, false) => 17,
    };
    for n in (1..=ops).step_by(stride) {
        let cluster = prepare();
        let first = cluster.next(cluster.sim.process());
        first.sim.stop_at(n);
        let _ = follow_and_join(&first);
        let at = first
            .sim
            .trace()
            .get(n as usize - 1)
            .cloned()
            .unwrap_or_default();
        let what = format!("{}, stopped at {n} ({at})", scene.name);
        assert!(first.sim.is_dead(), "{what}: it did not stop");
        drop(first);
        let second = cluster.next(cluster.sim.process());
        let mut shown = second.shown();
        let leaders = second.log(second.leader());
        // What an unclean election took is gone.
        shown.truncate(common_prefix(&shown, &leaders));
        if twice {
            stop_again(&what, &second, &shown);
            continue;
        }
        check_durable(&second, &what);
        let kept = if second.every_message() {
            &shown[..]
        } else {
            &[]
        };
        for seed in 0..seeds {
            let left = second.next(second.sim.if_crashed(&mut seeded(seed * 1000 + n)));
            recovers(&format!("{what}, lost by seed {seed}"), &left, kept);
        }
        let left = second.next(second.sim.if_crashed(&mut |_| 0));
        recovers(&format!("{what}, lost all"), &left, kept);
        recovers(&format!("{what}, killed"), &second, &shown);
    }
}

fn common_prefix(one: &[Lies], other: &[Lies]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// The successor dies as well, within what it has to finish.
fn stop_again(what: &str, second: &Cluster, shown: &[Lies]) {
    let kept = if second.every_message() { shown } else { &[] };
    let stride = if is_long() { 1 } else { 5 };
    for m in (1..).step_by(stride) {
        // Each from the same state: nothing is lost by this power cut but the boot and the locks.
        let left = second.next(second.sim.if_crashed(&mut |n| n - 1));
        let third = left.next(left.sim.process());
        third.sim.stop_at(m);
        let _ = follow_and_join(&third);
        if !third.sim.is_dead() {
            return;
        }
        let what = format!("{what}, again at {m}");
        check_durable(&left, &what);
        let cut = left.next(left.sim.if_crashed(&mut seeded(m)));
        recovers(&format!("{what}, lost by seed"), &cut, kept);
        recovers(&format!("{what}, killed"), &left, kept);
    }
}

#[test]
fn the_follower_dies() {
    let _tally = Tally::start();
    for scene in &SCENES {
        stop_everywhere(scene, false);
    }
}

#[test]
fn the_process_that_finishes_dies_too() {
    let _tally = Tally::start();
    for scene in &SCENES {
        stop_everywhere(scene, true);
    }
}

/// What another process does meanwhile; each of its steps may find a lock taken.
type Meanwhile = fn(&mut Cluster);

fn moves_to(cluster: &mut Cluster, to: BrokerId) {
    let partition = cluster.partition();
    let (epoch, isr) = (partition.leader_epoch, partition.isr);
    if partition.leader == to || !isr.contains(&to) {
        return;
    }
    cluster.change(|partition| {
        if partition.leader_epoch == epoch {
            partition.leader = to;
            partition.leader_epoch += 1;
            partition.isr = isr.iter().copied().filter(|id| *id == to).collect();
        }
    });
    let _ = cluster.try_produce(&[(1, 50, Compression::None); 4]);
}

fn joins(cluster: &mut Cluster, broker: BrokerId) {
    if cluster.leader() == broker {
        return;
    }
    // Another version of the topic file first.
    cluster.change(|_| ());
    if let Ok(mut follower) = mq::partition::Follower::open(&cluster.store, &tp(), broker, TIMEOUT)
    {
        let _ = cluster
            .catch_up(&mut follower)
            .and_then(|()| cluster.join(&mut follower, broker));
    }
}

const MEANWHILE: [(&str, Meanwhile); 5] = [
    ("broker 1 is elected", |cluster| moves_to(cluster, 1)),
    ("broker 2 is elected", |cluster| moves_to(cluster, 2)),
    ("broker 1 joins", |cluster| joins(cluster, 1)),
    ("broker 2 joins", |cluster| joins(cluster, 2)),
    ("broker 2 joins and is elected", |cluster| {
        joins(cluster, 2);
        moves_to(cluster, 2);
    }),
];

/// What is done, in a process of its own, while leadership moves.
struct Act {
    name: &'static str,
    before: fn(&mut Cluster),
    run: fn(&mut Cluster) -> Result<()>,
}

const ACTS: [Act; 6] = [
    Act {
        name: "a leader alone appends",
        before: |cluster| {
            begin(cluster);
            cluster.change(|partition| partition.isr = vec![0]);
        },
        run: |cluster| {
            cluster
                .try_produce(&[(1, 50, Compression::None); 6])
                .map(drop)
        },
    },
    Act {
        name: "a leader appends",
        before: begin,
        run: |cluster| {
            cluster
                .try_produce(&[(2, 300, Compression::None); 3])
                .map(drop)
        },
    },
    Act {
        name: "broker 2, out of sync, follows",
        before: |cluster| {
            begin(cluster);
            cluster.change(|partition| partition.isr = vec![0, 1]);
            cluster.produce(6);
        },
        run: |cluster| {
            let mut follower = mq::partition::Follower::open(&cluster.store, &tp(), 2, TIMEOUT)?;
            cluster.catch_up(&mut follower)?;
            // Listed by another: what waits for the store's lock must not have it.
            let lister = cluster.next(cluster.sim.process());
            lister.join(&mut follower, 2)?;
            cluster.catch_up(&mut follower)
        },
    },
    Act {
        name: "broker 1 follows",
        before: |cluster| {
            begin(cluster);
            cluster.produce(6);
            cluster.follow(2);
        },
        run: |cluster| {
            let mut follower = mq::partition::Follower::open(&cluster.store, &tp(), 1, TIMEOUT)?;
            cluster.catch_up(&mut follower)
        },
    },
    Act {
        name: "a raise",
        before: |cluster| {
            begin(cluster);
            cluster.produce(3);
            cluster.change(|partition| partition.isr = vec![0, 1]);
        },
        run: |cluster| {
            let mut follower = mq::partition::Follower::open(&cluster.store, &tp(), 1, TIMEOUT)?;
            cluster.catch_up(&mut follower)?;
            Watermark::open(&cluster.store, &tp())?
                .raise(TIMEOUT)
                .map(drop)
        },
    },
    Act {
        name: "an epoch begins",
        before: |cluster| {
            begin(cluster);
            cluster.change(|partition| partition.isr = vec![0]);
            cluster.produce(3);
            cluster.elect(0, &[0]);
        },
        run: |cluster| {
            mq::partition::PartitionWriter::open(&cluster.store, &tp(), TIMEOUT)?
                .make_ready()
                .map(drop)
        },
    },
];

fn move_everywhere(act: &Act, pairs: &'static [(&'static str, &'static str)]) {
    for (number, (meanwhile, other)) in (0..).zip(MEANWHILE) {
        let stride = if is_long() { 1 } else { 7 };
        for n in (1 + number..).step_by(stride) {
            Tally::case();
            let mut cluster = Cluster::new(pairs);
            (act.before)(&mut cluster);
            let mut actor = cluster.next(cluster.sim.process());
            let mut others = actor.next(cluster.sim.process());
            let (was, what) = (
                actor.sim.ops(),
                format!("{}, before {n} {meanwhile}", act.name),
            );
            actor.sim.before(was + n, move || other(&mut others));
            let outcome = (act.run)(&mut actor);
            let what = format!(
                "{what} {pairs:?}: {:?}",
                outcome.err().map(|e| e.to_string())
            );
            cluster.check_shown(&what);
            let shown = cluster.shown();
            recovers(&what, &cluster.next(cluster.sim.process()), &shown);
            if actor.sim.ops() < was + n {
                break;
            }
        }
    }
}

#[test]
fn leadership_moves_before_any_operation() {
    let _tally = Tally::start();
    for act in &ACTS {
        for pairs in [EACH, NEVER_ROLLS] {
            move_everywhere(act, pairs);
        }
    }
}
