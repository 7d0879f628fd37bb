//! The cost of replication: the wait for all in-sync replicas, a producer's rate beside that with
//! one replica, its memory, a broker that catches up, and an idle cluster.

#[path = "common/cluster.rs"]
mod cluster;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use cluster::{BROKERS, Cluster, tool};
use mq::client::{Acks, Producer, ProducerOptions, ProducerRecord};
use mq::types::TopicName;

/// How many bytes are produced to measure a rate, and how many a broker has missed.
const RATE_BYTES: usize = 256 << 20;
const MISSED_BYTES: usize = 1 << 30;
/// How often each is measured, in turns.
const TURNS: usize = 7;
const CATCH_UPS: usize = 3;
const RECORDS: usize = 2_000;
const IDLE: Duration = Duration::from_secs(20);
/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux.
const TICKS: f64 = 100.0;

fn main() -> ExitCode {
    let dir = tempfile::tempdir().expect("a directory");
    let mut fine = true;
    {
        let mut cluster = Cluster::start(&dir.path().join("store"), &BROKERS);
        fine &= latency(&cluster);
        let file = dir.path().join("input");
        write_lines(&file, RATE_BYTES);
        for (config, limit) in [("never", 3.0), ("1", f64::INFINITY)] {
            fine &= rate(&cluster, &file, config, limit);
        }
        fine &= memory(&cluster, &file, dir.path());
        fine &= catch_up(&mut cluster, dir.path());
    }
    let five = Cluster::start(&dir.path().join("five"), &[1, 2, 3, 4, 5]);
    fine &= idle(&five);
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn latency(cluster: &Cluster) -> bool {
    cluster.create("latency", &["-c", "flush.messages=never"]);
    let name = TopicName::new("latency").expect("a name");
    cluster.wait_in_sync(&name);
    let options = ProducerOptions {
        acks: Acks::All,
        ..ProducerOptions::default()
    };
    let mut producer = Producer::open(&cluster.store, &name, options).expect("a producer");
    let mut figures = Vec::new();
    for _ in 0..RECORDS {
        let record = ProducerRecord {
            value: Some(b"a record of some length, as they are"),
            ..ProducerRecord::default()
        };
        let sent = Instant::now();
        producer.send(&record).expect("sent");
        producer.flush().expect("flushed");
        while producer.receipts(Duration::from_millis(100)).is_empty() {}
        figures.push(sent.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    producer.close(|_| {}).expect("all acknowledged");
    figures.sort_unstable();
    let at = |share: usize| figures[(figures.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let (p50, p99) = (at(50), at(99));
    verdict(
        "acks=all, three replicas, flush.messages=never",
        &format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
        "1 ms at p50",
        p50 <= 1.0,
    )
}

/// A producer's rate with one replica over its rate with three, in turns.
fn rate(cluster: &Cluster, file: &Path, flush: &str, limit: f64) -> bool {
    let config = format!("flush.messages={flush}");
    let mut ratios = Vec::new();
    for turn in 0..TURNS {
        let [one, three] = [1, 3].map(|replicas| {
            let topic = format!("rate-{flush}-{replicas}-{turn}");
            let least = if replicas == 1 { "1" } else { "2" };
            let created = tool(env!("CARGO_BIN_EXE_mq-topics"), &cluster.path)
                .args(["create", "-q", &topic, "-r", &replicas.to_string()])
                .args(["-c", &config, "-c", &format!("min.insync.replicas={least}")])
                .stderr(Stdio::null())
                .status();
            assert!(created.expect("run").success());
            cluster.wait_in_sync(&TopicName::new(&topic).expect("a name"));
            let started = Instant::now();
            let produced = tool(env!("CARGO_BIN_EXE_mq-produce"), &cluster.path)
                .args(["-q", &topic])
                .arg(file)
                .status();
            assert!(produced.expect("run").success());
            let took = started.elapsed();
            delete(cluster, &topic);
            took.as_secs_f64()
        });
        ratios.push(three / one);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    verdict(
        &format!("produce to three replicas / to one, {config}"),
        &format!("{median:.2}x"),
        &if limit.is_finite() {
            format!("{limit}x")
        } else {
            "none".to_owned()
        },
        median <= limit,
    )
}

/// The most memory of a producer to many partitions while its batches wait for their replicas.
fn memory(cluster: &Cluster, file: &Path, dir: &Path) -> bool {
    const TIME: &str = "/usr/bin/time";
    let name = "peak memory of produce to 100 partitions of three replicas";
    if !Path::new(TIME).exists() {
        println!("{name}\tskipped: no {TIME}");
        return true;
    }
    let config = ["-p", "100", "-c", "flush.messages=never"];
    cluster.create("memory", &config);
    cluster.wait_in_sync(&TopicName::new("memory").expect("a name"));
    let peak = dir.join("peak");
    let produced = Command::new(TIME)
        .args(["-f", "%M", "-o"])
        .arg(&peak)
        .arg(env!("CARGO_BIN_EXE_mq-produce"))
        .args(["-q", "memory", "--store"])
        .arg(&cluster.path)
        .stdin(File::open(file).expect("the input"))
        .status();
    assert!(produced.expect("run").success());
    delete(cluster, "memory");
    let kib = std::fs::read_to_string(peak).expect("a figure");
    let mib = kib.trim().parse::<f64>().expect("a number") / 1024.0;
    verdict(name, &format!("{mib:.1} MiB"), "32 MiB", mib <= 32.0)
}

/// A broker that missed a gigabyte, beside `cat` and `sync` of the same amount, in turns.
fn catch_up(cluster: &mut Cluster, dir: &Path) -> bool {
    let file = dir.join("missed");
    write_lines(&file, MISSED_BYTES);
    let mut ratios: Vec<f64> = (0..CATCH_UPS)
        .map(|turn| {
            let copied = Instant::now();
            let status = Command::new("sh")
                .args(["-c", "cat \"$1\" > \"$1.copy\" && sync \"$1.copy\"", "sh"])
                .arg(&file)
                .status();
            assert!(status.expect("run").success());
            let cat = copied.elapsed();
            std::fs::remove_file(file.with_extension("copy")).expect("the copy");
            miss(cluster, &file, &format!("missed-{turn}")).as_secs_f64() / cat.as_secs_f64()
        })
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    verdict(
        "a broker that missed 1 GiB is in sync / cat and sync of as much",
        &format!("{median:.2}x"),
        "2x",
        median <= 2.0,
    )
}

/// How long a follower that missed a file takes from its start until it is in sync.
fn miss(cluster: &mut Cluster, file: &Path, topic: &str) -> Duration {
    cluster.create(topic, &["-c", "flush.messages=never"]);
    let name = TopicName::new(topic).expect("a name");
    cluster.wait_in_sync(&name);
    let leader = cluster.meta(&name).partitions[0].leader;
    let away = BROKERS.into_iter().find(|id| *id != leader).expect("one");
    cluster.kill(away);
    let produced = tool(env!("CARGO_BIN_EXE_mq-produce"), &cluster.path)
        .args(["-q", topic])
        .arg(file)
        .status();
    assert!(produced.expect("run").success());
    let synced = Command::new("sync").status();
    assert!(synced.expect("run").success());
    let started = Instant::now();
    cluster.start_broker(away);
    cluster.wait_in_sync(&name);
    let took = started.elapsed();
    delete(cluster, topic);
    took
}

fn delete(cluster: &Cluster, topic: &str) {
    let deleted = tool(env!("CARGO_BIN_EXE_mq-topics"), &cluster.path)
        .args(["delete", "-q", "--yes", topic])
        .status();
    assert!(deleted.expect("run").success());
}

/// Five brokers with a thousand partitions of three replicas, without any client.
fn idle(cluster: &Cluster) -> bool {
    for topic in 0..10 {
        let topic = format!("idle-{topic}");
        cluster.create(&topic, &["-p", "100"]);
    }
    // The work that follows the creation ends meanwhile.
    std::thread::sleep(Duration::from_secs(8));
    let before = cpu_ticks(cluster);
    std::thread::sleep(IDLE);
    let used = (cpu_ticks(cluster) - before) as f64 / TICKS / IDLE.as_secs_f64() * 100.0;
    verdict(
        "five idle brokers, 1,000 partitions of three replicas",
        &format!("{used:.1} % of a core"),
        "5 %",
        used <= 5.0,
    )
}

fn cpu_ticks(cluster: &Cluster) -> u64 {
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
        let times = fields
            .skip(11)
            .take(2)
            .map(|t| t.parse::<u64>().expect("ticks"));
        times.sum::<u64>()
    };
    cluster
        .daemons
        .iter()
        .map(|(_, child)| of(child.id()))
        .sum()
}

fn write_lines(path: &Path, bytes: usize) {
    let line = format!(
        "{}\n",
        "a line of a log, as long as such lines are, or so ".repeat(2)
    );
    let mut out = std::io::BufWriter::new(File::create(path).expect("create"));
    for _ in 0..bytes / line.len() {
        out.write_all(line.as_bytes()).expect("write");
    }
    out.flush().expect("write");
}

fn verdict(name: &str, figure: &str, limit: &str, ok: bool) -> bool {
    println!(
        "{name}\t{figure}\tlimit {limit}\t{}",
        if ok { "ok" } else { "FAIL" }
    );
    ok
}
