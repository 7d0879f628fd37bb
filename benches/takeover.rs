//! How long a group's partitions are unread when its members die, leave and join.
//!
//! Three members share eight partitions, into each of which a record is written every two
//! milliseconds. This process stamps each line that a member prints when it reads the line. A round
//! kills a member with `SIGKILL` (or ends it with `SIGTERM`), waits until another member has
//! printed each of its partitions, and starts a new one, which takes partitions from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PARTITIONS: usize = 8;
const MEMBERS: usize = 3;
const EVERY: Duration = Duration::from_millis(2);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long after a start the partitions that keep their member are watched for pauses.
const WINDOW: Duration = Duration::from_millis(300);

/// When which member printed a record of which partition.
type Seen = Arc<Mutex<Vec<(Instant, usize, usize)>>>;

struct Member {
    n: usize,
    child: Child,
    reader: Option<JoinHandle<()>>,
}

struct Figures {
    crash: Vec<Duration>,
    leave: Vec<Duration>,
    pause: Vec<Duration>,
    /// The same while no member joins or leaves: what the machine adds.
    still: Vec<Duration>,
}

fn main() -> ExitCode {
    // cargo adds --bench.
    let rounds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(200);
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("store");
    let topic = ["create", "t", "-p", "8", "-c", "flush.messages=never"];
    assert!(
        tool(env!("CARGO_BIN_EXE_mq-topics"), &store, &topic)
            .status()
            .expect("run")
            .success()
    );
    let stop = Arc::new(AtomicBool::new(false));
    let producer = produce(&store, &stop);
    let figures = measure(&store, rounds);
    stop.store(true, Ordering::Relaxed);
    producer.join().expect("produced");
    let mut fine = true;
    verdict(
        "pause of partitions while nobody comes or goes, for comparison",
        figures.still,
        f64::INFINITY,
    );
    for (name, figures, limit) in [
        (
            "kill -9 of a member to its partitions' first records elsewhere",
            figures.crash,
            100.0,
        ),
        ("the same from a graceful leave", figures.leave, 50.0),
        (
            "pause of the partitions that stay when a member joins",
            figures.pause,
            20.0,
        ),
    ] {
        fine &= verdict(name, figures, limit);
    }
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tool(exe: &str, store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(exe);
    command
        .args(args)
        .env("MQ_STORE", store)
        .stdin(Stdio::null());
    command
}

/// Writes a record into each partition, repeatedly.
fn produce(store: &Path, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    use mq::client::{Producer, ProducerOptions, StoreDir};
    use mq::types::TopicName;
    let clock = Arc::new(mq::clock::SystemClock::default());
    let store = StoreDir::open(Arc::new(mq::disk::OsDisk), clock, store).expect("a store");
    let topic = TopicName::new("t").expect("a name");
    let mut producer =
        Producer::open(&Arc::new(store), &topic, ProducerOptions::default()).expect("a producer");
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..PARTITIONS {
                producer.send_value(1, b"x").expect("sent");
            }
            producer.hand_on().expect("handed on");
            producer.receipts(Duration::ZERO);
            next += EVERY;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        producer.close(|_| ()).expect("closed");
    })
}

fn start(store: &Path, n: usize, seen: &Seen) -> Member {
    let args = ["-q", "-g", "g", "t", "-f", "%p\\n"];
    let mut child = tool(env!("CARGO_BIN_EXE_mq-consume"), store, &args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let out = BufReader::new(child.stdout.take().expect("stdout"));
    let seen = Arc::clone(seen);
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            // The last line of a killed member may be torn.
            if let Ok(partition) = line.parse() {
                seen.lock()
                    .expect("seen")
                    .push((Instant::now(), n, partition));
            }
        }
    });
    Member {
        n,
        child,
        reader: Some(reader),
    }
}

impl Member {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("signalled");
    }

    fn end(mut self) {
        self.child.wait().expect("ended");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("read");
        }
    }
}

fn measure(store: &Path, rounds: usize) -> Figures {
    let seen: Seen = Arc::default();
    let mut members: Vec<Member> = (0..MEMBERS).map(|n| start(store, n, &seen)).collect();
    let mut figures = Figures {
        crash: Vec::new(),
        leave: Vec::new(),
        pause: Vec::new(),
        still: Vec::new(),
    };
    balanced(&seen, &members);
    for round in 0..2 * rounds {
        let crash = round % 2 == 0;
        let victim = members.remove(round % MEMBERS);
        let lost: BTreeSet<usize> = owners(&seen)
            .into_iter()
            .filter(|(_, owner)| *owner == victim.n)
            .map(|(partition, _)| partition)
            .collect();
        let at = Instant::now();
        victim.signal(if crash { Signal::KILL } else { Signal::TERM });
        let taken = taken_over(&seen, &lost, victim.n, at);
        if crash {
            &mut figures.crash
        } else {
            &mut figures.leave
        }
        .push(taken);
        victim.end();
        // What the victim's pipe still contained has been read now.
        balanced(&seen, &members);
        let before = owners(&seen);
        let at = Instant::now();
        std::thread::sleep(WINDOW);
        figures.still.push(longest_pause(&seen, &before, at));
        let at = Instant::now();
        members.push(start(store, MEMBERS + round, &seen));
        std::thread::sleep(WINDOW);
        balanced(&seen, &members);
        figures.pause.push(longest_pause(&seen, &before, at));
        seen.lock().expect("seen").clear();
        balanced(&seen, &members);
    }
    for member in members {
        member.signal(Signal::TERM);
        member.end();
    }
    figures
}

/// The last member that printed each partition.
fn owners(seen: &Seen) -> BTreeMap<usize, usize> {
    let seen = seen.lock().expect("seen");
    seen.iter()
        .map(|(_, member, partition)| (*partition, *member))
        .collect()
}

/// Waits until all of these members print, and no others do.
fn balanced(seen: &Seen, members: &[Member]) {
    let started = Instant::now();
    let wanted: BTreeSet<usize> = members.iter().map(|member| member.n).collect();
    loop {
        let owners = owners(seen);
        let printing: BTreeSet<usize> = owners.values().copied().collect();
        if owners.len() == PARTITIONS && printing == wanted {
            return;
        }
        assert!(started.elapsed() < TIMEOUT, "{owners:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Until the last of these partitions was printed by another member.
fn taken_over(seen: &Seen, lost: &BTreeSet<usize>, victim: usize, at: Instant) -> Duration {
    let started = Instant::now();
    loop {
        let mut first: BTreeMap<usize, Instant> = BTreeMap::new();
        for (when, member, partition) in seen.lock().expect("seen").iter() {
            if *when > at && *member != victim && lost.contains(partition) {
                first.entry(*partition).or_insert(*when);
            }
        }
        if first.len() == lost.len() {
            return first
                .values()
                .max()
                .map_or(Duration::ZERO, |last| *last - at);
        }
        assert!(
            started.elapsed() < TIMEOUT,
            "{lost:?} of {victim}: {first:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The longest time since `at` in which a partition with an unchanged member was not printed.
fn longest_pause(seen: &Seen, before: &BTreeMap<usize, usize>, at: Instant) -> Duration {
    let after = owners(seen);
    let mut last: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (when, _, partition) in seen.lock().expect("seen").iter() {
        if *when < at || *when > at + WINDOW || before.get(partition) != after.get(partition) {
            continue;
        }
        let since = last.insert(*partition, *when).unwrap_or(at);
        longest = longest.max(*when - since);
    }
    longest
}

fn verdict(name: &str, mut figures: Vec<Duration>, limit: f64) -> bool {
    figures.sort_unstable();
    let at = |part: f64| {
        let index = ((figures.len() as f64 * part).ceil() as usize).clamp(1, figures.len());
        figures[index - 1].as_secs_f64() * 1000.0
    };
    let (p50, p99) = (at(0.5), at(0.99));
    let word = if p99 <= limit { "ok" } else { "FAIL" };
    println!("{name:<62} p50 {p50:6.1} p99 {p99:6.1} ms  limit {limit:<5} {word}");
    p99 <= limit
}
