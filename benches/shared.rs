//! A producer that threads share, beside the engine's producer in a mutex, and a lone thread with
//! each of them, in turns: `cargo bench --bench shared -- [PART OF A NAME]`. Prints a line a
//! figure: name, figure, limit, ok or FAIL. Exits with 1 if any failed. The store is created in the
//! directory BENCH_DIR, if that is set.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mq::client::{Producer, ProducerOptions, ProducerRecord};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::StoreDir;
use mq::types::TopicName;
use mq::{NewTopic, RecordRef, Store};

const THREADS: usize = 16;
const TURNS: usize = 7;
/// How long durable records are sent, each turn.
const TURN: Duration = Duration::from_millis(1500);
const VALUE: [u8; 100] = [b'x'; 100];
/// Records of a stream, each turn.
const STREAM: u64 = 2_000_000;
const TIMESTAMP: i64 = 1_700_000_000_000;

fn main() -> ExitCode {
    let parent = std::env::var("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let path = dir.path().join("store");
    let store = Store::open(&path).expect("a store");
    let clock = Arc::new(SystemClock::default());
    let engine = StoreDir::open(Arc::new(OsDisk), clock, &path).expect("the same store");
    let rig = Rig {
        store,
        engine: Arc::new(engine),
    };
    let admin = rig.store.admin();
    admin.ensure_topic(NewTopic::new("durable")).expect("made");
    let never = u64::from(u32::MAX).to_string();
    let loose = NewTopic::new("loose").config("flush.messages", never);
    admin.ensure_topic(loose).expect("made");

    let args = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let wanted = args.unwrap_or_default();
    let mut fine = true;
    let mut compare = |name: &str, least: f64, ours: &dyn Fn() -> f64, theirs: &dyn Fn() -> f64| {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        if !name.contains(&wanted) {
            return;
        }
        for _ in 0..TURNS {
            old.push(theirs());
            new.push(ours());
        }
        // Other load on the machine only makes them slower.
        let (new, old) = (best(new), best(old));
        let ratio = new / old;
        let word = if ratio >= least { "ok" } else { "FAIL" };
        fine &= ratio >= least;
        println!("{name} {ratio:.2} {least} {word} ({new:.0} beside {old:.0} records/s)");
    };
    compare(
        "16 threads, durable",
        8.0,
        &|| rig.shared_durable(THREADS),
        &|| rig.mutex_durable(),
    );
    // Below one only by the difference between two runs of the same program.
    compare(
        "a lone thread, durable",
        0.95,
        &|| rig.shared_durable(1),
        &|| rig.lone_durable(),
    );
    for topic in ["durable", "loose"] {
        let name = format!("a stream of one thread, {topic}");
        // Each send returns something to wait for, which the engine's does not.
        compare(&name, 0.5, &|| rig.shared_stream(topic), &|| {
            rig.lone_stream(topic)
        });
        let name = format!("a stream of one thread in send_all, {topic}");
        compare(&name, 0.8, &|| rig.shared_send_all(topic), &|| {
            rig.lone_stream(topic)
        });
    }
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Rig {
    store: Store,
    engine: Arc<StoreDir>,
}

impl Rig {
    fn engine_producer(&self, topic: &str) -> Producer {
        let name = TopicName::new(topic).expect("a name");
        Producer::open(&self.engine, &name, ProducerOptions::default()).expect("opened")
    }

    /// Records per second, of threads that each wait for their record.
    fn shared_durable(&self, threads: usize) -> f64 {
        let producer = self.store.producer("durable").open().expect("opened");
        let rate = in_threads(threads, &|| {
            let sent = producer.send(&VALUE).expect("sent");
            sent.wait().expect("durable");
        });
        producer.close().expect("closed");
        rate
    }

    fn mutex_durable(&self) -> f64 {
        let producer = Mutex::new(self.engine_producer("durable"));
        let rate = in_threads(THREADS, &|| {
            let mut producer = producer.lock().expect("no panic");
            producer.send(&record()).expect("sent");
            producer.flush().expect("durable");
        });
        let producer = producer.into_inner().expect("no panic");
        producer.close(|_| ()).expect("closed");
        rate
    }

    fn lone_durable(&self) -> f64 {
        let mut producer = self.engine_producer("durable");
        let started = Instant::now();
        let mut count = 0_u32;
        while started.elapsed() < TURN {
            producer.send(&record()).expect("sent");
            producer.flush().expect("durable");
            count += 1;
        }
        let rate = f64::from(count) / started.elapsed().as_secs_f64();
        producer.close(|_| ()).expect("closed");
        rate
    }

    fn shared_stream(&self, topic: &str) -> f64 {
        let producer = self.store.producer(topic).open().expect("opened");
        stream(|| {
            for _ in 0..STREAM {
                let record = RecordRef::new(&VALUE).timestamp(TIMESTAMP);
                producer.send(record).expect("sent");
            }
            producer.close().expect("closed");
        })
    }

    fn shared_send_all(&self, topic: &str) -> f64 {
        let producer = self.store.producer(topic).open().expect("opened");
        stream(|| {
            let record = RecordRef::new(&VALUE).timestamp(TIMESTAMP);
            for _ in 0..STREAM / 1000 {
                let records = std::iter::repeat_n(record, 1000);
                producer.send_all(records).expect("sent");
            }
            producer.close().expect("closed");
        })
    }

    fn lone_stream(&self, topic: &str) -> f64 {
        let mut producer = self.engine_producer(topic);
        stream(|| {
            for _ in 0..STREAM {
                producer.send_value(TIMESTAMP, &VALUE).expect("sent");
            }
            producer.close(|_| ()).expect("closed");
        })
    }
}

/// Its timestamp is the time of sending, as of all durable records here.
fn record() -> ProducerRecord<'static> {
    ProducerRecord {
        value: Some(&VALUE),
        ..ProducerRecord::default()
    }
}

fn stream(send: impl FnOnce()) -> f64 {
    let started = Instant::now();
    send();
    STREAM as f64 / started.elapsed().as_secs_f64()
}

/// How many times per second the threads together complete `step`.
fn in_threads(threads: usize, step: &(dyn Fn() + Sync)) -> f64 {
    let started = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let spawn = |_| {
            scope.spawn(move || {
                let mut count = 0;
                while started.elapsed() < TURN {
                    step();
                    count += 1;
                }
                count
            })
        };
        let running: Vec<_> = (0..threads).map(spawn).collect();
        let counts = running.into_iter().map(|one| one.join().expect("no panic"));
        counts.sum()
    });
    count as f64 / started.elapsed().as_secs_f64()
}

fn best(figures: Vec<f64>) -> f64 {
    figures.into_iter().fold(0.0, f64::max)
}
