//! The removal of old segments: a pass over 1,000 of them, less what the file system takes to remove such
//! files, and the appends beside it: `cargo bench --bench cleaning`. Prints a line a figure: name, figure, limit, ok or FAIL. Exits with 1
//! if any failed. The store is created in the directory BENCH_DIR, else in /dev/shm, where a sync
//! takes no time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::lifecycle::{NewTopic, alter_configs, create_topic};
use mq::partition::{Committer, PartitionWriter, remove_old};
use mq::record::BatchBuilder;
use mq::store::StoreDir;
use mq::types::{Compression, TimestampType, TopicName, TopicPartition};

const TIMEOUT: Duration = Duration::from_secs(30);
const SEGMENTS: usize = 1000;
const SEGMENT_BYTES: usize = 1 << 20;
/// Of a pass over them, besides the removal of the files by the file system, and its syncs.
const PASS_MAX: Duration = Duration::from_millis(50);
/// Of any append meanwhile.
const APPEND_MAX: Duration = Duration::from_millis(5);
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    let parent = std::env::var("BENCH_DIR").unwrap_or("/dev/shm".to_owned());
    let (mut passes, mut appends) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in(&parent).expect("a directory");
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &dir.path().join("store"));
        let (pass, append) = round(&Arc::new(store.expect("a store")));
        passes.push(pass.saturating_sub(plain_removal(dir.path())));
        appends.push(append);
    }
    // Other load on the machine only makes them slower.
    let pass = passes.into_iter().min().unwrap_or_default();
    let append = appends.into_iter().min().unwrap_or_default();
    let mut fine = true;
    for (name, figure, limit) in [
        (
            "a pass that removes 1000 segments of 1 MiB, besides their removal",
            pass,
            PASS_MAX,
        ),
        ("the slowest append beside it", append, APPEND_MAX),
    ] {
        let word = if figure <= limit { "ok" } else { "FAIL" };
        fine &= figure <= limit;
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        println!("{name} {:.2} ms {:.0} ms {word}", ms(figure), ms(limit));
    }
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn configs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

/// How long the pass took, and the slowest append meanwhile.
fn round(store: &Arc<StoreDir>) -> (Duration, Duration) {
    let tp = TopicPartition::new(TopicName::new("t").expect("a name"), 0);
    let bytes = SEGMENT_BYTES.to_string();
    let pairs = [
        ("segment.bytes", bytes.as_str()),
        ("flush.messages", "never"),
    ];
    let topic = NewTopic::embedded(tp.topic.clone(), 1).with_configs(configs(&pairs));
    create_topic(store, &topic, TIMEOUT).expect("created");
    let mut writer = PartitionWriter::open(store, &tp, TIMEOUT).expect("open");
    // One batch fills a segment.
    let value = vec![b'x'; SEGMENT_BYTES - 1024];
    for _ in 0..=SEGMENTS {
        writer.append(&mut batch(&value)).expect("appended");
    }
    // Else the pass syncs a gigabyte first.
    let end = writer.make_ready().expect("a page").tail.end;
    let mut committer = Committer::open(store, &tp, TIMEOUT).expect("open");
    committer.commit(end).expect("synced");
    let limit = configs(&[("retention.bytes", &SEGMENT_BYTES.to_string())]);
    alter_configs(store, &tp.topic, &limit, &[], TIMEOUT).expect("altered");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appends = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Acquire) {
                let mut batch = batch(b"a record");
                let begun = Instant::now();
                writer.append(&mut batch).expect("appended");
                slowest = slowest.max(begun.elapsed());
                std::thread::sleep(Duration::from_micros(100));
            }
            slowest
        });
        std::thread::sleep(Duration::from_millis(20));
        let mut other = PartitionWriter::open(store, &tp, TIMEOUT).expect("open");
        let begun = Instant::now();
        let pass = remove_old(&mut other, TIMEOUT).expect("a pass");
        let took = begun.elapsed();
        done.store(true, Ordering::Release);
        let removed = pass.expect("a topic with a limit").removed.segments;
        assert!(removed >= SEGMENTS as u64 - 1, "{removed} segments");
        (took, appends.join().expect("appends"))
    })
}

/// How long the file system takes to remove such files.
fn plain_removal(dir: &Path) -> Duration {
    let dir = dir.join("plain");
    std::fs::create_dir(&dir).expect("a directory");
    let names: Vec<PathBuf> = (0..3 * SEGMENTS).map(|n| dir.join(n.to_string())).collect();
    for (n, name) in names.iter().enumerate() {
        let bytes = if n % 3 == 0 { SEGMENT_BYTES } else { 8 };
        std::fs::write(name, vec![b'x'; bytes]).expect("written");
    }
    let begun = Instant::now();
    for name in &names {
        std::fs::remove_file(name).expect("removed");
    }
    begun.elapsed()
}

fn batch(value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder
        .append_value(1_700_000_000_000, value)
        .expect("fits");
    let batch = builder.finish(Compression::None, TimestampType::CreateTime);
    batch.expect("a batch")
}
