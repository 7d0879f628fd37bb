//! Nothing is lost: three brokers are killed, paused, stopped, robbed of replicas and of disk space
//! while producers write and consumers read. The checker finds what cannot be in the history.
//!
//! `MQ_LONG=1`: sixty times as many faults. `MQ_SEED=N`: another order of them. `MQ_KEEP=1`: the
//! place of a good run is kept, too.
#![allow(
    clippy::disallowed_methods,
    reason = "the files of a test are not a store's"
)]

mod checker;
mod cluster;
mod doctored;
mod history;
mod journal;
mod nemesis;
mod watch;

use crate::cli;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::switches::{is_long, keeps};
use crate::mounts::Mounts;
use crate::tally::Tally;
use cluster::{BROKERS, Broker, Producer, Reader, command, copy, wait};
use history::{Event, History, Tp};
use journal::Journal;
use nemesis::{Dice, Nemesis};
use watch::{Places, Watch};

const PARTITIONS: i64 = 3;
/// How long anything is waited for that the checker then judges.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One run: its faults, and where its log directories are.
struct Plan {
    name: &'static str,
    faults: usize,
    fills: bool,
}

#[test]
fn nothing_is_lost() {
    let _alone = crate::alone();
    let _tally = Tally::start();
    run(&Plan {
        name: "failover",
        faults: 12,
        fills: false,
    });
    run(&Plan {
        name: "failover-full",
        faults: 6,
        fills: true,
    });
}

/// Leaving and coming back are one change each.
#[test]
fn a_returning_broker_joins_once() {
    let _alone = crate::alone();
    let _tally = Tally::start();
    let dir = tempfile::tempdir().expect("a directory");
    let places = Places::new(dir.path(), &["quick"]);
    let journal = Journal::new(&dir.path().join("journal"));
    let mut stage = Stage::new(&places, &journal, dir.path(), 1);
    let is_isr = |size: usize| {
        let begun = Instant::now();
        while places.all().iter().any(|led| led.isr.len() != size) {
            assert!(begun.elapsed() < TIMEOUT, "never: an in-sync set of {size}");
            std::thread::sleep(Duration::from_millis(1));
        }
        places.topic("quick").expect("a topic").0
    };
    let follower = |led: &history::Led| {
        let found = BROKERS.iter().position(|id| *id != led.leader);
        found.expect("a follower")
    };
    for _ in 0..5 {
        Tally::case();
        let before = is_isr(3);
        let at = follower(&places.all()[0]);
        stage.brokers[at].kill();
        is_isr(2);
        // For a moment after a death the controller looks again and again.
        std::thread::sleep(Duration::from_millis(300));
        stage.brokers[at].start(&places, &journal);
        is_isr(3);
        // What else its return may bring about has happened by then.
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(is_isr(3), before + 2, "{:?}", dir.keep());
    }
}

/// What a leader lost of its files, the others have: it takes nothing away from them.
#[test]
fn a_leader_that_lost_files_gives_way() {
    let _alone = crate::alone();
    let _tally = Tally::start();
    let dir = tempfile::tempdir().expect("a directory");
    let places = Places::new(dir.path(), &["quick", "safe"]);
    let journal = Journal::new(&dir.path().join("journal"));
    let _stage = Stage::new(&places, &journal, dir.path(), 1);
    let mut sent: HashMap<&str, Vec<String>> = HashMap::new();
    let is_log = |name: &str| name.ends_with(".log");
    let lost: [&dyn Fn(&str) -> bool; 3] = [
        &|name| name == "partition.state",
        &|name| is_log(name) && !name.starts_with(&"0".repeat(20)),
        &|name| name == "partition.state" || is_log(name),
    ];
    for round in 0..6 {
        Tally::case();
        for topic in &places.topics {
            let all = sent.entry(topic.as_str()).or_default();
            let more = (0..300).map(|n| format!("{round}-{n}-{}", "x".repeat(400)));
            all.extend(more);
            let input = all[all.len() - 300..].join("\n") + "\n";
            produce(&places, topic, &input);
            let led = places.topic(topic).expect("a topic").1.remove(0);
            let replica = places.replica(led.leader, &led.tp);
            for entry in std::fs::read_dir(&replica).expect("list") {
                let path = entry.expect("entry").path();
                if lost[round % 3](&path.file_name().expect("a name").to_string_lossy()) {
                    // Without its page the log may be on its way to a new directory already.
                    match std::fs::remove_file(path) {
                        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                        removed => removed.expect("remove"),
                    }
                }
            }
            let last = format!("{round}-last");
            produce(&places, topic, &format!("{last}\n"));
            all.push(last);
            let read = command("mq-consume", &places)
                .args([topic, "-e"])
                .output()
                .expect("read");
            let read = String::from_utf8(read.stdout).expect("text");
            assert!(
                read.lines().eq(all.iter()),
                "{topic}, round {round}: {} lines of {}, {:?}",
                read.lines().count(),
                all.len(),
                dir.keep()
            );
            let begun = Instant::now();
            while places.all().iter().any(|led| led.isr.len() < BROKERS.len()) {
                assert!(begun.elapsed() < TIMEOUT, "{topic}: not in sync again");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Writes lines to a topic, acknowledged by all in sync.
fn produce(places: &Places, topic: &str, input: &str) {
    let mut child = command("mq-produce", places)
        .args([topic, "--batch-size", "4KiB"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(input.as_bytes()).expect("fed");
    drop(stdin);
    assert_eq!(wait(&mut child, TIMEOUT), 0, "a producer of {topic}");
}

fn seed() -> u64 {
    let given = std::env::var("MQ_SEED").ok();
    given.map_or(0x5eed, |text| text.parse().expect("MQ_SEED is a number"))
}

fn run(plan: &Plan) {
    let seed = seed();
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() { shm } else { Path::new("/tmp") };
    let dir = tempfile::Builder::new()
        .prefix(&format!("mq-{}-", plan.name))
        .tempdir_in(parent)
        .expect("a directory")
        .keep();
    let places = Places::new(&dir, &["quick", "safe"]);
    let mounts = if plan.fills {
        let disks = places.logs.iter().filter_map(|(_, logs)| logs.parent());
        let Some(mounts) = Mounts::new(disks, 96) else {
            println!("{}: skipped: may not mount", plan.name);
            return;
        };
        Some(mounts)
    } else {
        None
    };
    let faults = if is_long() {
        plan.faults * 60
    } else {
        plan.faults
    };
    println!(
        "{}: MQ_SEED={seed}, {faults} faults, in {}",
        plan.name,
        dir.display()
    );
    let journal = Journal::new(&dir.join("journal"));
    let mut stage = Stage::new(&places, &journal, &dir, PARTITIONS);
    let mut history = stage.play(Dice(seed), faults, plan.fills);
    let broken = stage.close(&mut history);
    drop(stage);
    let found = checker::check(&history, BROKERS.len());
    drop(mounts);
    assert!(
        found.is_empty() && broken.is_none(),
        "{}, MQ_SEED={seed}, kept in {}:\n{}{}",
        plan.name,
        dir.display(),
        checker::report(&found),
        broken.unwrap_or_default()
    );
    if !keeps() {
        let _ = std::fs::remove_dir_all(&dir);
    }
}

/// Everybody who takes part.
struct Stage<'a> {
    places: &'a Places,
    journal: &'a Journal,
    dir: &'a Path,
    brokers: Vec<Broker>,
    producers: Vec<Producer>,
    readers: Vec<Reader>,
    watch: Option<Watch>,
    broken: Option<String>,
}

impl<'a> Stage<'a> {
    /// Starts the brokers and makes the topics.
    fn new(places: &'a Places, journal: &'a Journal, dir: &'a Path, partitions: i64) -> Self {
        let mut brokers: Vec<Broker> = BROKERS
            .iter()
            .map(|id| Broker {
                id: *id,
                child: None,
            })
            .collect();
        for broker in &mut brokers {
            broker.start(places, journal);
        }
        let mut stage = Stage {
            places,
            journal,
            dir,
            brokers,
            producers: Vec::new(),
            readers: Vec::new(),
            watch: None,
            broken: None,
        };
        for topic in &places.topics {
            let flush = if topic == "quick" { "never" } else { "1" };
            stage.create(topic, flush, partitions);
        }
        stage.watch = Some(Watch::start(places.clone(), journal.clone()));
        stage
    }

    fn create(&self, topic: &str, flush: &str, partitions: i64) {
        let begun = Instant::now();
        loop {
            let mut create = command("mq-topics", self.places)
                .args(["create", topic, "-r", "3", "-p", &partitions.to_string()])
                .args(["-c", "min.insync.replicas=2", "-c", "segment.bytes=65536"])
                .args(["-c", &format!("flush.messages={flush}")])
                .stderr(Stdio::null())
                .spawn()
                .expect("spawn");
            if wait(&mut create, TIMEOUT) == 0 {
                return;
            }
            // Not all brokers are there yet.
            assert!(begun.elapsed() < TIMEOUT, "never created: {topic}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets the nemesis loose on those who write and read; waits until all is in sync again.
    fn play(&mut self, dice: Dice, faults: usize, fills: bool) -> History {
        let mut history = History::new();
        for number in 0..4 {
            let topic = &self.places.topics[number % 2];
            let producer = Producer::start(number, topic, self.places, self.dir);
            self.producers.push(producer);
        }
        for args in [&[][..], &["-g", "group"]] {
            let number = self.readers.len();
            let reader = Reader::start(number, args, self.places, self.dir);
            self.readers.push(reader);
        }
        std::thread::sleep(Duration::from_millis(500));
        let mut nemesis = Nemesis {
            dice,
            places: self.places,
            journal: self.journal,
            brokers: &mut self.brokers,
            producers: &self.producers,
            fills,
        };
        for fault in 0..faults {
            Tally::case();
            if let Err(why) = nemesis.strike() {
                self.broken = Some(why);
                break;
            }
            if fault == faults / 2 {
                // One that comes late reads what leaders wrote that lead no more.
                self.readers
                    .push(Reader::start(2, &[], self.places, self.dir));
            }
            if let Some(one) = nemesis.producers.iter().position(Producer::has_ended) {
                self.broken = Some(format!("producer {one} has ended"));
                break;
            }
        }
        self.journal.say("the last fault is over");
        let begun = Instant::now();
        let in_sync = |led: &history::Led| led.isr.len() == BROKERS.len();
        let took = loop {
            let all = self.places.all();
            if all.len() == 2 * PARTITIONS as usize && all.iter().all(in_sync) {
                break Some(begun.elapsed());
            }
            if begun.elapsed() > TIMEOUT {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.journal.say(&format!("in sync after {took:?}"));
        history.push(Event::Settled(took));
        for broker in &mut self.brokers {
            let ended = broker.child.as_mut().map(|child| child.try_wait());
            if let Some(Ok(Some(status))) = ended {
                let what = format!("broker {}", broker.id);
                let status = cli::status_of(status);
                let said = "by itself".to_owned();
                history.push(Event::Ended { what, status, said });
            }
        }
        history
    }

    /// Ends all, and reads what is there.
    fn close(&mut self, history: &mut History) -> Option<String> {
        for producer in &self.producers {
            producer.stop();
        }
        let mut reported = 0;
        for producer in self.producers.drain(..) {
            reported += producer.end(history);
        }
        self.journal
            .say(&format!("{reported} records are acknowledged"));
        println!("    {reported} records are acknowledged");
        let tps: Vec<Tp> = self.places.all().into_iter().map(|led| led.tp).collect();
        // Followers hear of the last high watermark a little later.
        let begun = Instant::now();
        let equal = |tp: &Tp| {
            let ends: Vec<_> = BROKERS
                .iter()
                .map(|id| self.places.page(*id, tp))
                .map(|page| page.map(|page| (page.end, page.high_watermark)))
                .collect();
            let first = ends.first().copied().flatten();
            first.is_some_and(|(end, mark)| end == mark) && ends.iter().all(|one| *one == first)
        };
        while !tps.iter().all(equal) && begun.elapsed() < TIMEOUT {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.journal
            .say(&format!("equal after {:?}", begun.elapsed()));
        let mut ends = Vec::new();
        for tp in &tps {
            let copies: Vec<_> = BROKERS
                .iter()
                .filter_map(|id| copy(self.places, *id, tp))
                .collect();
            let mark = copies.iter().map(|copy| copy.high_watermark).max();
            ends.push((tp.clone(), mark.unwrap_or(0)));
            history.extend(copies.into_iter().map(Event::Copy));
        }
        let all = usize::try_from(ends.iter().map(|(_, end)| end).sum::<i64>());
        let all = all.expect("many");
        let begun = Instant::now();
        for reader in self.readers.drain(..) {
            while reader.lines() < all && begun.elapsed() < TIMEOUT {
                std::thread::sleep(Duration::from_millis(10));
            }
            reader.end(&ends, history);
        }
        if let Some(watch) = self.watch.take() {
            history.extend(watch.end());
        }
        self.broken.take()
    }
}
