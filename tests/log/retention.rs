//! Retention under a clock that is stepped: what a week of traffic leaves, and what a clock that jumps
//! removes.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use mq::client::{Producer, ProducerOptions};
use mq::clock::Clock;
use mq::disk::{Disk, Open, OsDisk};
use mq::lifecycle::{NewTopic, create_topic};
use mq::log::Segments;
use mq::partition::{Committer, PartitionWriter, Pass, StatePage, remove_old};
use mq::store::StoreDir;
use mq::types::TopicPartition;

use crate::common::rig::{batch, configs, tp};
use crate::common::sim_disk::SimDisk;
use crate::common::switches::is_long;
use crate::tally::Tally;

const TIMEOUT: Duration = Duration::from_secs(10);
const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A clock that goes on as the system's does, and is stepped besides.
#[derive(Debug)]
struct StepClock {
    started: Instant,
    wall: AtomicI64,
    boottime: AtomicI64,
}

impl StepClock {
    fn new() -> Arc<Self> {
        Arc::new(StepClock {
            started: Instant::now(),
            wall: AtomicI64::new(1_700_000_000_000),
            boottime: AtomicI64::new(100_000),
        })
    }

    /// Time passes.
    fn pass(&self, ms: i64) {
        self.boottime.fetch_add(ms, Ordering::SeqCst);
        self.jump(ms);
    }

    /// The wall clock is set.
    fn jump(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }

    /// The machine boots.
    fn boot(&self) {
        let ran = self.started.elapsed().as_millis() as i64;
        self.boottime.store(1 - ran, Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn now_ms(&self) -> i64 {
        self.wall.load(Ordering::SeqCst) + self.started.elapsed().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn boottime_ms(&self) -> i64 {
        self.boottime.load(Ordering::SeqCst) + self.started.elapsed().as_millis() as i64
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

fn open(disk: Arc<dyn Disk>, clock: &Arc<StepClock>, path: &Path) -> Arc<StoreDir> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Arc::new(StoreDir::open_or_create(disk, clock, path).expect("a store"))
}

fn page(store: &Arc<StoreDir>, tp: &TopicPartition) -> StatePage {
    let mut writer = PartitionWriter::open(store, tp, TIMEOUT).expect("open");
    writer.make_ready().expect("a page")
}

/// What a week of one policy left, checked hour by hour.
struct Week {
    store: Arc<StoreDir>,
    clock: Arc<StepClock>,
    tp: TopicPartition,
    segment_bytes: u64,
    ms: Option<i64>,
    bytes: Option<u64>,
    /// Offset and time of the first record of each hour that may still be there.
    hours: VecDeque<(i64, i64)>,
    sent: i64,
}

impl Week {
    fn hour(&mut self, bytes: u64) {
        self.clock.pass(HOUR);
        self.hours.push_back((self.sent, self.clock.now_ms()));
        let mut producer = Producer::open(&self.store, &self.tp.topic, ProducerOptions::default())
            .expect("a producer");
        let value = vec![b'x'; 1000];
        for _ in 0..bytes.div_ceil(1000) {
            let sent = producer.send_value(self.clock.now_ms(), &value);
            sent.expect("sent");
            self.sent += 1;
        }
        producer.close(|_| {}).expect("all acknowledged");
        self.check();
    }

    /// Nothing that is to stay is gone, and what is to go is gone but for two segments.
    fn check(&mut self) {
        let page = page(&self.store, &self.tp);
        assert_eq!(page.high_watermark, self.sent);
        let start = page.tail.log_start;
        let held = self.held(&page);
        let now = self.clock.now_ms();
        if let Some(limit) = self.bytes {
            let most = limit + 2 * self.segment_bytes;
            assert!(held <= most, "{held} bytes of at most {most}");
            if self.ms.is_none() {
                assert!(
                    start == 0 || held >= limit,
                    "{held} bytes of at least {limit}"
                );
            }
        }
        if let Some(ms) = self.ms {
            // The hour in which the limit falls is checked from its begin.
            while self.hours.get(1).is_some_and(|(_, at)| now - at > ms) {
                self.hours.pop_front();
            }
            let (first, begun) = self.hours.front().copied().expect("an hour");
            let next = self.hours.get(1).map_or(self.sent, |(offset, _)| *offset);
            if self.bytes.is_none() {
                assert!(start <= next, "{start} of {next}, begun at {begun}");
                let late = (first - start).max(0) as u64 * 1000;
                assert!(late <= 2 * self.segment_bytes, "{late} bytes are too old");
            }
        }
    }

    fn held(&self, page: &StatePage) -> u64 {
        let writer = PartitionWriter::open(&self.store, &self.tp, TIMEOUT).expect("open");
        let dir = writer.replica().dir();
        let segments = Segments::list(&**dir)
            .expect("listed")
            .since(page.tail.log_start);
        let names = segments
            .bases()
            .iter()
            .map(|base| format!("{base:020}.log"));
        names.map(|name| dir.len_of(&name).expect("a length")).sum()
    }
}

#[test]
fn a_week_of_traffic_stays_within_its_limits() {
    let _tally = Tally::start();
    // Bytes of a policy's whole week.
    let volume: u64 = if is_long() { 5 << 30 } else { 24 << 20 };
    let hours = 7 * 24;
    let mut removed = 0;
    for (segment_bytes, ms, share) in [
        (64 << 10, Some(DAY), None),
        (1 << 20, None, Some(10)),
        (300_000, Some(2 * DAY), Some(20)),
    ] {
        Tally::case();
        let at = tempfile::tempdir().expect("a place");
        let clock = StepClock::new();
        let store = open(Arc::new(OsDisk), &clock, &at.path().join("store"));
        let bytes = share.map(|share| volume / 3 / share);
        let mut pairs = vec![("segment.bytes", segment_bytes.to_string())];
        pairs.push(("flush.messages", "never".to_owned()));
        pairs.extend(ms.map(|ms: i64| ("retention.ms", ms.to_string())));
        pairs.extend(bytes.map(|bytes| ("retention.bytes", bytes.to_string())));
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let tp = tp("t", 0);
        let topic = NewTopic::embedded(tp.topic.clone(), 1).with_configs(configs(&pairs));
        create_topic(&store, &topic, TIMEOUT).expect("created");
        let mut week = Week {
            store,
            clock,
            tp,
            segment_bytes,
            ms,
            bytes,
            hours: VecDeque::new(),
            sent: 0,
        };
        for hour in 0..hours {
            // More at day than at night.
            let weight = if hour % 24 < 12 { 3 } else { 1 };
            week.hour(volume / 3 / hours as u64 / 2 * weight);
        }
        removed += page(&week.store, &week.tp).tail.log_start;
        // A week of silence: with the next record all that is too old goes.
        if week.ms.is_some() {
            week.clock.pass(7 * DAY);
            week.hour(1000);
            let page = page(&week.store, &week.tp);
            assert_eq!(
                page.tail.log_start,
                week.sent - 1,
                "only the new record is left"
            );
        }
    }
    assert!(removed > 0, "something was removed");
}

/// One topic with ten records in two segments, a minute apart, on a disk that can lose its power.
struct Jumps {
    sim: SimDisk,
    clock: Arc<StepClock>,
    store: Arc<StoreDir>,
}

impl Jumps {
    fn new() -> Self {
        let (sim, clock) = (SimDisk::new(), StepClock::new());
        let store = open(Arc::new(sim.clone()), &clock, Path::new("/store"));
        let pairs = [("segment.bytes", "1024"), ("retention.ms", "7200000")];
        let topic = NewTopic::embedded(tp("t", 0).topic, 1).with_configs(configs(&pairs));
        create_topic(&store, &topic, TIMEOUT).expect("created");
        let jumps = Jumps { sim, clock, store };
        for _ in 0..10 {
            jumps.append();
            jumps.clock.pass(60 * SECOND);
        }
        jumps
    }

    fn append(&self) {
        self.append_at(self.clock.now_ms());
    }

    fn append_at(&self, timestamp: i64) {
        let tp = tp("t", 0);
        let mut writer = PartitionWriter::open(&self.store, &tp, TIMEOUT).expect("open");
        let mut batch = batch(&["x".repeat(100)], timestamp);
        let appended = writer.append(&mut batch).expect("appended");
        let mut committer = Committer::open(&self.store, &tp, TIMEOUT).expect("open");
        committer.commit(appended.last_offset + 1).expect("synced");
    }

    fn pass(&self) -> Pass {
        let mut writer = PartitionWriter::open(&self.store, &tp("t", 0), TIMEOUT).expect("open");
        let pass = remove_old(&mut writer, TIMEOUT).expect("a pass");
        pass.expect("a topic with a limit")
    }

    fn boot(&mut self) {
        self.sim = self.sim.if_crashed(&mut |n| n - 1);
        self.clock.boot();
        self.store = open(Arc::new(self.sim.clone()), &self.clock, Path::new("/store"));
    }
}

/// What happens, and what a pass removes then.
#[derive(Debug, Clone, Copy)]
enum Step {
    Passes(i64),
    Jumps(i64),
    Boots,
    /// A pass, and whether the log start is above 0 then.
    Pass(bool),
    Notices(usize),
}

#[test]
fn a_clock_that_jumps_removes_nothing() {
    use Step::{Boots, Jumps as Jump, Notices, Pass as Removes, Passes};
    let _tally = Tally::start();
    let scenarios: &[&[Step]] = &[
        // Time passes.
        &[Removes(false), Passes(3 * HOUR), Removes(true)],
        // A small step is believed.
        &[
            Passes(HOUR),
            Removes(false),
            Passes(HOUR),
            Jump(30 * SECOND),
            Removes(true),
        ],
        // A large one is not, until it has stood for an hour; it is reported once.
        &[
            Removes(false),
            Jump(2 * HOUR),
            Removes(false),
            Notices(1),
            Removes(false),
            Passes(59 * 60 * SECOND),
            Removes(false),
            Notices(0),
            Passes(2 * 60 * SECOND),
            Removes(true),
        ],
        &[
            Removes(false),
            Jump(YEAR),
            Removes(false),
            Passes(HOUR / 2),
            Removes(false),
            Jump(-YEAR),
            Removes(false),
            Jump(YEAR),
            Removes(false),
            Passes(HOUR / 2 + SECOND),
            Removes(false),
            Passes(HOUR / 2 + SECOND),
            Removes(true),
        ],
        // A clock that is set back keeps records for longer.
        &[
            Removes(false),
            Jump(-YEAR),
            Passes(3 * HOUR),
            Removes(false),
        ],
        // Across a boot the first pass notes, and one ten seconds later acts.
        &[
            Passes(3 * HOUR),
            Boots,
            Removes(false),
            Passes(9 * SECOND),
            Removes(false),
            Passes(SECOND),
            Removes(true),
        ],
        // A note of another boot says nothing, though less time had passed in that one.
        &[
            Passes(3 * HOUR),
            Boots,
            Passes(4 * HOUR),
            Removes(false),
            Passes(10 * SECOND),
            Removes(true),
        ],
        // A clock that was wrong at the boot, and is set right between two passes.
        &[
            Boots,
            Jump(-YEAR),
            Removes(false),
            Jump(YEAR + 3 * HOUR),
            Passes(20 * SECOND),
            Removes(false),
            Notices(1),
            Passes(HOUR + SECOND),
            Removes(true),
        ],
        // A wait that a boot cuts short begins again.
        &[
            Removes(false),
            Jump(2 * HOUR + HOUR / 2),
            Removes(false),
            Passes(30 * 60 * SECOND),
            Boots,
            Removes(false),
            Passes(11 * SECOND),
            Removes(true),
        ],
    ];
    for steps in scenarios {
        Tally::case();
        let mut jumps = Jumps::new();
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Passes(ms) => jumps.clock.pass(ms),
                Jump(ms) => jumps.clock.jump(ms),
                Boots => jumps.boot(),
                Removes(removes) => {
                    let pass = jumps.pass();
                    assert_eq!(
                        pass.log_start > 0,
                        removes,
                        "step {at} of {steps:?}: {pass:?}"
                    );
                    assert_eq!(pass.removed.segments > 0, removes, "step {at} of {steps:?}");
                }
                Notices(times) => {
                    let notes = jumps.store.take_notes();
                    assert_eq!(notes.len(), times, "step {at} of {steps:?}: {notes:?}");
                }
            }
        }
    }
}

/// Segments go one after the other as they become old, and a record that is appended to a log of old
/// records does not keep them.
#[test]
fn an_append_behind_old_records_begins_a_segment() {
    let _tally = Tally::start();
    Tally::case();
    let jumps = Jumps::new();
    jumps.clock.pass(HOUR + 55 * 60 * SECOND + SECOND);
    let first = jumps.pass();
    assert_eq!(first.log_start, 6, "the first segment alone");
    let next = first.next.expect("the next one");
    assert_eq!(next.offset, 10);
    let wait = next.at_ms - jumps.clock.now_ms();
    assert!((1..=5 * 60 * SECOND).contains(&wait), "{wait}");
    jumps.clock.pass(wait);
    jumps.append();
    let last = jumps.pass();
    assert_eq!((last.log_start, last.removed.segments), (10, 1));
}

#[test]
fn what_a_killed_pass_left_goes_with_the_next() {
    let _tally = Tally::start();
    Tally::case();
    let jumps = Jumps::new();
    jumps.clock.pass(3 * HOUR);
    assert_eq!(jumps.pass().log_start, 10);
    let tp = tp("t", 0);
    let writer = PartitionWriter::open(&jumps.store, &tp, TIMEOUT).expect("open");
    let dir = writer.replica().dir();
    let left = format!("{:020}.log", 0);
    let file = dir.open(&left, Open::CreateNew).expect("a file");
    file.write_at(b"left", 0).expect("written");
    let pass = jumps.pass();
    assert_eq!((pass.log_start, pass.removed.segments), (10, 1));
    assert!(dir.id(&left).is_err(), "it is gone");
    assert_eq!(jumps.pass().removed.segments, 0);
}

/// A record that is old itself needs no segment of its own behind old ones.
#[test]
fn old_records_behind_old_ones_share_a_segment() {
    let _tally = Tally::start();
    Tally::case();
    let jumps = Jumps::new();
    let old = jumps.clock.now_ms();
    jumps.clock.pass(30 * DAY);
    let before = page(&jumps.store, &tp("t", 0)).tail.active;
    for _ in 0..2 {
        jumps.append_at(old);
    }
    assert_eq!(page(&jumps.store, &tp("t", 0)).tail.active, before);
    jumps.append();
    assert_eq!(page(&jumps.store, &tp("t", 0)).tail.active, 12);
}
