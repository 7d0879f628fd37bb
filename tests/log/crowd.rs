//! Many processes on one store: everything exactly once, without gaps, each producer's order
//! kept. With `MQ_LONG=1` the producers are also held to one pace.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::cli::{Running, Shell};
use crate::common::switches::is_long;
use crate::tally::Tally;
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::StoreDir;

const PRODUCERS: usize = 8;
const FOLLOWERS: usize = 4;

#[test]
fn eight_producers_and_four_followers_on_the_temp_dir() {
    let _tally = Tally::start();
    crowd(&std::env::temp_dir());
}

#[test]
fn eight_producers_and_four_followers_in_memory() {
    let _tally = Tally::start();
    let place = Path::new("/dev/shm");
    if !place.is_dir() {
        println!("crowd: skipped: no /dev/shm");
        return;
    }
    crowd(place);
}

fn crowd(place: &Path) {
    Tally::case();
    let each = 125_000;
    let total = each * PRODUCERS;
    let shell = Shell::on(place);
    shell.topics(&["create", "t", "-p", "4"]);
    let count = total.to_string();
    let mut followers: Vec<Running> = (0..FOLLOWERS)
        .map(|_| shell.start("mq-consume", &["-c", &count, "-f", "%p %o %v\\n", "t"]))
        .collect();
    for producer in 0..PRODUCERS {
        let lines: String = (0..each).map(|n| format!("{producer} {n}\n")).collect();
        std::fs::write(shell.dir().join(format!("in{producer}")), lines).expect("written");
    }
    let started = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            // Small batches, so that they meet at the locks.
            let args = ["--batch-size", "4KiB", "t", &format!("in{producer}")];
            let mut running = shell.start("mq-produce", &args);
            std::thread::spawn(move || {
                let done = running.end_within(Duration::from_secs(300));
                assert_eq!(done.status, 0, "{}", done.err);
                started.elapsed()
            })
        })
        .collect();
    let mut times: Vec<Duration> = producers
        .into_iter()
        .map(|p| p.join().expect("produced"))
        .collect();
    times.sort();
    let (fastest, slowest) = (times[0], times[PRODUCERS - 1]);
    println!(
        "crowd: {total} records on {}: producers took {fastest:?} to {slowest:?}",
        place.display()
    );
    if is_long() {
        assert!(slowest < fastest * 2, "a producer starves: {times:?}");
    }
    let checked: Vec<_> = followers
        .drain(..)
        .map(|mut follower| {
            std::thread::spawn(move || {
                let done = follower.end_within(Duration::from_secs(300));
                assert_eq!(done.status, 0, "{}", done.err);
                check(&done.out, each)
            })
        })
        .collect();
    let mut views: Vec<_> = checked
        .into_iter()
        .map(|c| c.join().expect("a follower saw it all"))
        .collect();
    views.push(check(
        &shell.consume(&["-e", "-f", "%p %o %v\\n", "t"]),
        each,
    ));
    assert!(
        views.windows(2).all(|pair| pair[0] == pair[1]),
        "two readers saw different logs"
    );
    shell.topics(&["verify", "--deep", "t"]);
}

/// What a reader saw, by partition: each offset's producer and number.
type Seen = BTreeMap<u32, Vec<(usize, usize)>>;

fn check(out: &[u8], each: usize) -> Seen {
    let mut seen = Seen::new();
    for line in std::str::from_utf8(out).expect("text").lines() {
        let mut numbers = line
            .split(' ')
            .map(|n| n.parse::<usize>().expect("a number"));
        let mut next = || numbers.next().expect("four numbers");
        let (partition, offset, producer, n) = (next(), next(), next(), next());
        let log = seen.entry(partition as u32).or_default();
        assert_eq!(
            offset,
            log.len(),
            "a gap or repeat in partition {partition}"
        );
        log.push((producer, n));
    }
    let mut counts = vec![vec![0_u32; each]; PRODUCERS];
    for (partition, log) in &seen {
        let mut last = [None; PRODUCERS];
        for (producer, n) in log {
            assert!(
                last[*producer] < Some(*n),
                "producer {producer} is out of order in {partition}"
            );
            last[*producer] = Some(*n);
            counts[*producer][*n] += 1;
        }
    }
    assert!(
        counts.iter().flatten().all(|count| *count == 1),
        "not exactly once"
    );
    seen
}

#[test]
fn eight_processes_make_one_topic() {
    let _tally = Tally::start();
    for round in 0..5 {
        Tally::case();
        let shell = Shell::new();
        let mut running: Vec<Running> = (0..PRODUCERS)
            .map(|_| shell.start("mq-produce", &["--create-partitions", "3", "t"]))
            .collect();
        for (n, producer) in running.iter_mut().enumerate() {
            producer.feed(format!("{n}\n").as_bytes());
            producer.close_stdin();
        }
        let mut made = 0;
        for producer in running {
            let done = producer.end();
            assert_eq!(done.status, 0, "round {round}: {}", done.err);
            made += done.err.matches("created topic").count();
        }
        assert_eq!(made, 1, "round {round}: one process made it");
        let out = shell.consume_text(&["-e", "t"]);
        let mut found: Vec<&str> = out.lines().collect();
        found.sort_unstable();
        assert_eq!(
            found,
            ["0", "1", "2", "3", "4", "5", "6", "7"],
            "round {round}"
        );
        let listed = shell.ok("mq-topics", &["list", "--format", "tsv"], b"");
        assert_eq!(
            String::from_utf8_lossy(&listed).lines().count(),
            1,
            "round {round}"
        );
        let replicas = std::fs::read_dir(shell.logs())
            .expect("listed")
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
        assert_eq!(replicas.count(), 3, "round {round}: no leftovers");
    }
}

#[test]
fn eight_openers_make_one_store() {
    let _tally = Tally::start();
    for round in 0..20 {
        Tally::case();
        let dir = tempfile::tempdir().expect("a directory");
        let path = Arc::new(dir.path().join("deep/store"));
        std::fs::create_dir(dir.path().join("deep")).expect("made");
        let barrier = Arc::new(Barrier::new(PRODUCERS));
        let openers: Vec<_> = (0..PRODUCERS)
            .map(|_| {
                let (path, barrier) = (Arc::clone(&path), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    StoreDir::open_or_create(
                        Arc::new(OsDisk),
                        Arc::new(SystemClock::default()),
                        &path,
                    )
                    .map(|_| ())
                })
            })
            .collect();
        for opener in openers {
            opener
                .join()
                .expect("joined")
                .unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
        let beside = std::fs::read_dir(dir.path().join("deep"))
            .expect("listed")
            .count();
        assert_eq!(beside, 1, "round {round}: leftovers beside the store");
    }
}

#[test]
fn eight_processes_make_one_store() {
    let _tally = Tally::start();
    for round in 0..3 {
        Tally::case();
        let shell = Shell::new();
        let names: Vec<String> = (0..PRODUCERS).map(|n| format!("t{n}")).collect();
        let running: Vec<Running> = names
            .iter()
            .map(|name| shell.start("mq-topics", &["create", name]))
            .collect();
        for process in running {
            let done = process.end();
            assert_eq!(done.status, 0, "round {round}: {}", done.err);
        }
        let listed = shell.ok("mq-topics", &["list", "--format", "tsv"], b"");
        assert_eq!(
            String::from_utf8_lossy(&listed).lines().count(),
            PRODUCERS,
            "round {round}"
        );
        let beside = std::fs::read_dir(shell.dir()).expect("listed").count();
        assert_eq!(beside, 1, "round {round}: leftovers beside the store");
    }
}
