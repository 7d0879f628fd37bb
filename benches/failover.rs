//! How long a partition takes no record when its leader's broker dies, how soon there is another
//! controller, and how soon a broker that leads a third of a thousand partitions is replaced.
//!
//! Three brokers. A producer in this process sends a record each millisecond, acks=all, with at
//! least two replicas in sync. A round kills a broker with `SIGKILL`, waits for the measured event,
//! restarts the broker, and waits until all replicas are in sync.

#[path = "common/cluster.rs"]
mod cluster;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::{BROKERS, Cluster, TIMEOUT};
use mq::client::{Acks, Producer, ProducerOptions, ProducerRecord};
use mq::types::TopicName;

const MANY: usize = 1000;

fn main() -> ExitCode {
    // cargo adds --bench.
    let rounds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(200);
    let dir = tempfile::tempdir().expect("a directory");
    let mut fine = true;
    {
        let mut cluster = Cluster::start(&dir.path().join("store"), &BROKERS);
        for (topic, config, name) in [
            (
                "t",
                "flush.messages=1",
                "kill -9 of the leader's broker to the next append",
            ),
            (
                "n",
                "flush.messages=never",
                "the same with flush.messages=never",
            ),
        ] {
            cluster.create(topic, &["-c", config]);
            let figures = leaders(&mut cluster, topic, rounds);
            fine &= verdict(name, figures, 100.0);
        }
        let figures = controllers(&mut cluster, rounds);
        fine &= verdict("kill -9 of the controller to the next", figures, 100.0);
    }
    let mut cluster = Cluster::start(&dir.path().join("many"), &BROKERS);
    cluster.create(
        "m",
        &["-p", &MANY.to_string(), "-c", "flush.messages=never"],
    );
    let figures = many(&mut cluster, (rounds / 40).max(1));
    fine &= verdict(
        "a broker with 333 of 1,000 leaders to others in its place",
        figures,
        1000.0,
    );
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// From the kill of a leader's broker to the first receipt of another epoch.
fn leaders(cluster: &mut Cluster, topic: &str, rounds: usize) -> Vec<Duration> {
    let name = TopicName::new(topic).expect("a name");
    let options = ProducerOptions {
        acks: Acks::All,
        ..ProducerOptions::default()
    };
    let mut producer = Producer::open(&cluster.store, &name, options).expect("a producer");
    let mut figures = Vec::new();
    for _ in 0..rounds {
        cluster.wait_in_sync(&name);
        let before = &cluster.meta(&name).partitions[0];
        let (leader, epoch) = (before.leader, before.leader_epoch);
        // Unacknowledged when the broker dies.
        for _ in 0..20 {
            send(&mut producer);
        }
        let killed = cluster.kill(leader);
        let first = loop {
            let receipts = send(&mut producer);
            if receipts.iter().any(|r| r.leader_epoch > epoch) {
                break Instant::now();
            }
            assert!(killed.elapsed() < TIMEOUT, "no receipt came");
        };
        figures.push(first - killed);
        cluster.start_broker(leader);
    }
    cluster.wait_in_sync(&name);
    producer.close(|_| {}).expect("all acknowledged");
    figures
}

fn send(producer: &mut Producer) -> Vec<mq::client::Receipt> {
    let record = ProducerRecord {
        value: Some(b"a record of some length, as they are"),
        ..ProducerRecord::default()
    };
    producer.send(&record).expect("sent");
    producer.hand_on().expect("handed on");
    producer.receipts(Duration::from_millis(1))
}

/// From the kill of the controller's broker to the next epoch.
fn controllers(cluster: &mut Cluster, rounds: usize) -> Vec<Duration> {
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let before = cluster.controller();
        let killed = cluster.kill(before.broker_id);
        let elected = cluster.wait_for("a controller", |cluster| {
            cluster.controller().epoch > before.epoch
        });
        figures.push(elected - killed);
        cluster.start_broker(before.broker_id);
    }
    figures
}

/// From the kill of a broker until it leads no partition.
fn many(cluster: &mut Cluster, rounds: usize) -> Vec<Duration> {
    let name = TopicName::new("m").expect("a name");
    let mut figures = Vec::new();
    for round in 0..rounds {
        cluster.wait_in_sync(&name);
        let broker = BROKERS[round % BROKERS.len()];
        // Balanced again: the broker leads a third of the partitions.
        cluster.wait_for("its leaders", |cluster| {
            let meta = cluster.meta(&name);
            let led = meta
                .partitions
                .iter()
                .filter(|p| p.leader == broker)
                .count();
            led >= MANY / BROKERS.len()
        });
        let killed = cluster.kill(broker);
        let replaced = cluster.wait_for("other leaders", |cluster| {
            cluster
                .meta(&name)
                .partitions
                .iter()
                .all(|p| p.leader != broker)
        });
        figures.push(replaced - killed);
        cluster.start_broker(broker);
    }
    figures
}

fn verdict(name: &str, mut figures: Vec<Duration>, limit: f64) -> bool {
    figures.sort_unstable();
    let at = |share: f64| {
        let last = figures.len().saturating_sub(1);
        figures[(last as f64 * share).round() as usize].as_secs_f64() * 1e3
    };
    let ok = at(0.99) <= limit;
    println!(
        "{name}\tp50 {:.1} ms, p99 {:.1} ms\tlimit {limit:.0} ms at p99\t{}",
        at(0.5),
        at(0.99),
        if ok { "ok" } else { "FAIL" }
    );
    ok
}
