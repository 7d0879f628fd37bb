//! Random histories of elections over three replicas.

use mq::error::Kind::OffsetOutOfRange;
use mq::lifecycle::replace_replica;
use mq::partition::Follower;
use mq::types::{BrokerId, Compression, Offset};

use super::rig::{Cluster, Lies, since, tp};
use crate::common::rig::TIMEOUT;
use crate::common::sim_disk::seeded;
use crate::common::switches::is_long;
use crate::common::tally::Tally;

const CONFIGS: [&[(&str, &str)]; 5] = [
    &[],
    &[("min.insync.replicas", "2"), ("segment.bytes", "1024")],
    &[("flush.messages", "never"), ("min.insync.replicas", "2")],
    &[
        ("flush.messages", "never"),
        ("segment.bytes", "1024"),
        ("index.interval.bytes", "0"),
    ],
    &[("flush.messages", "3"), ("segment.bytes", "1024")],
];

/// What a history is made of, besides appends, copies and joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    CleanElections,
    UncleanElections,
    /// Clean elections, and log starts that rise.
    Trims,
}

struct World {
    cluster: Cluster,
    followers: [Option<Follower>; 3],
    /// All that was ever shown at or above `start`, since the last unclean election.
    shown: Vec<Lies>,
    /// The largest log start there was. An election may bring back a lower one: a replica that leads
    /// before it took the start of the leader before it.
    start: Offset,
}

impl World {
    fn step(&mut self, choose: &mut dyn FnMut(usize) -> usize, kind: Kind) -> String {
        let partition = self.cluster.partition();
        let leader = partition.leader;
        let actions = if kind == Kind::Trims { 14 } else { 12 };
        match choose(actions) {
            0..=3 => {
                let batches: Vec<_> = (0..=choose(4))
                    .map(|_| {
                        let kind = [Compression::None, Compression::Lz4][choose(2)];
                        (1 + choose(3), 20 + choose(200), kind)
                    })
                    .collect();
                self.cluster.try_produce(&batches).expect("appended");
                format!("{} batches at {leader}", batches.len())
            }
            4..=7 => {
                let broker = self.cluster.followers()[choose(2)];
                let (steps, bytes) = (1 + choose(4), 100 + choose(2000));
                self.follow(broker, steps, bytes);
                format!("{broker} follows, {steps} steps of {bytes}")
            }
            8 => {
                let isr = partition.isr;
                let to = isr[choose(isr.len())];
                let stays: Vec<BrokerId> = isr
                    .into_iter()
                    .filter(|id| *id == to || choose(3) > 0)
                    .collect();
                self.cluster.elect(to, &stays);
                format!("{to} elected, {stays:?} in sync")
            }
            9 if kind == Kind::UncleanElections && choose(2) == 0 => {
                let to = choose(3) as BrokerId;
                self.cluster.elect(to, &[to]);
                let log = self.cluster.log(to);
                let same = self
                    .shown
                    .iter()
                    .zip(&log)
                    .take_while(|(a, b)| a == b)
                    .count();
                self.shown.truncate(same);
                format!("{to} elected uncleanly")
            }
            9 => {
                let stays: Vec<BrokerId> = partition
                    .isr
                    .into_iter()
                    .filter(|id| *id == leader || choose(2) > 0)
                    .collect();
                self.cluster
                    .change(|partition| partition.isr.clone_from(&stays));
                format!("{stays:?} stay in sync")
            }
            12 | 13 => {
                let page = self.cluster.page(leader);
                let (start, end) = (page.tail.log_start, page.high_watermark);
                let ahead = usize::try_from(end - start).unwrap_or_default();
                let to = start + choose(ahead + 1) as i64;
                // Only below what this leader shows, which it may not know yet.
                let done = self.cluster.trim(to);
                assert!(done.is_ok(), "{done:?}");
                format!("{leader} starts at {to}")
            }
            10 => {
                let broker = choose(3);
                self.followers[broker] = None;
                format!("the process of {broker} ends")
            }
            _ => {
                let broker = self.cluster.followers()[choose(2)];
                self.follow(broker, 2, 1 << 20);
                let joined = self.followers[broker as usize]
                    .as_mut()
                    .map(|follower| self.cluster.join(follower, broker).expect("joined"));
                format!("{broker} joins: {joined:?}")
            }
        }
    }

    fn follow(&mut self, broker: BrokerId, steps: usize, bytes: usize) {
        let store = &self.cluster.store;
        let follower = self.followers[broker as usize]
            .get_or_insert_with(|| Follower::open(store, &tp(), broker, TIMEOUT).expect("opened"));
        for _ in 0..steps {
            match follower.step(bytes) {
                Err(e) if e.kind() == OffsetOutOfRange => {
                    let cluster = &self.cluster;
                    let uuid = cluster.partition().uuid_of(broker).expect("a replica");
                    replace_replica(store, &tp(), broker, uuid, TIMEOUT).expect("replaced");
                    self.followers[broker as usize] = None;
                    return;
                }
                followed => drop(followed.expect("followed")),
            }
            let error = follower.take_leader_error();
            assert!(error.is_none(), "{}", error.expect("an error"));
        }
    }

    fn check(&mut self, kind: Kind, what: &str) {
        if kind == Kind::UncleanElections {
            return;
        }
        self.cluster.check_shown(what);
        self.start = self.start.max(self.cluster.start());
        let start = self.start;
        let now = since(self.cluster.shown(), start);
        self.shown = since(std::mem::take(&mut self.shown), start);
        let fits = now.starts_with(&self.shown) || self.shown.starts_with(&now);
        assert!(fits, "{what}: something else was shown before");
        if now.len() > self.shown.len() {
            self.shown = now;
        }
    }
}

fn history(seed: u64, kind: Kind) {
    Tally::case();
    let mut choose = seeded(seed);
    let pairs = CONFIGS[choose(CONFIGS.len())];
    let mut world = World {
        cluster: Cluster::new(pairs),
        followers: [None, None, None],
        shown: Vec::new(),
        start: 0,
    };
    let mut reported = vec![format!("history {seed}, {kind:?}, {pairs:?}")];
    for _ in 0..4 + choose(24) {
        reported.push(world.step(&mut choose, kind));
        world.check(kind, &reported.join("\n  "));
    }
    let what = reported.join("\n  ");
    world
        .cluster
        .settle()
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    world.cluster.check_identical(&what);
    let start = world.start.max(world.cluster.start());
    let log = since(world.cluster.log(world.cluster.leader()), start);
    assert!(
        log.starts_with(&since(world.shown, start)),
        "{what}: something that was shown is gone"
    );
}

#[test]
fn histories_of_clean_elections() {
    let _tally = Tally::start();
    let count = if is_long() { 50_000 } else { 300 };
    for seed in 0..count {
        history(seed, Kind::CleanElections);
    }
}

#[test]
fn histories_with_unclean_elections() {
    let _tally = Tally::start();
    let count = if is_long() { 50_000 } else { 300 };
    for seed in 0..count {
        history(1_000_000 + seed, Kind::UncleanElections);
    }
}

#[test]
fn histories_of_rising_log_starts() {
    let _tally = Tally::start();
    let count = if is_long() { 100_000 } else { 300 };
    // Two that found something: an election that brings back a lower start, and a log that begins
    // again with an epoch of what it held before.
    for seed in [1_548, 4_028].into_iter().chain(0..count) {
        history(2_000_000 + seed, Kind::Trims);
    }
}
