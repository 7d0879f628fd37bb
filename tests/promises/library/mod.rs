//! The library as a program embeds it.

mod consumers;
mod front_admin;
mod front_consumers;
mod front_groups;
mod front_positions;
mod front_producers;
mod producers;
mod sessions;

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mq::client::{Admin, Producer, ProducerOptions, StoreDir, TopicRequest};
use mq::types::{TopicName, TopicPartition};

use crate::cli::Shell;

struct Place {
    _dir: tempfile::TempDir,
    store: Arc<StoreDir>,
    admin: Admin,
    topic: TopicName,
}

impl Place {
    /// A store with a topic.
    fn with(partitions: i32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(&dir.path().join("store"));
        let admin = Admin::new(&store, Duration::from_secs(10));
        let place = Place {
            topic: TopicName::new("t").expect("a name"),
            _dir: dir,
            store,
            admin,
        };
        place.create(partitions);
        place
    }

    fn create(&self, partitions: i32) {
        let new = TopicRequest::new(self.topic.clone(), partitions);
        self.admin.create_topic(&new).expect("created");
    }

    fn tp(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), partition)
    }

    fn producer(&self, options: ProducerOptions) -> Producer {
        Producer::open(&self.store, &self.topic, options).expect("opened")
    }

    fn fill(&self, records: u64) {
        let mut producer = self.producer(ProducerOptions::default());
        for _ in 0..records {
            producer.send_value(1, b"x").expect("sent");
        }
        producer.close(|_| ()).expect("closed");
    }

    fn stored(&self) -> i64 {
        let described = self.admin.describe(&self.topic).expect("described");
        let logs = described.partitions.iter().filter_map(|p| p.log.as_ref());
        logs.map(|log| log.log_end_offset).sum()
    }
}

fn open(path: &Path) -> Arc<StoreDir> {
    let clock = Arc::new(mq::clock::SystemClock::default());
    let disk = Arc::new(mq::disk::OsDisk);
    Arc::new(StoreDir::open_or_create(disk, clock, path).expect("a store"))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "not {what}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn partitions_are_made_with_few_descriptors() {
    let shell = Shell::new();
    let limited = |args: &[&str]| {
        let command = shell.command("mq-topics", args);
        let mut limited = std::process::Command::new("sh");
        limited
            .arg("-c")
            .arg("ulimit -n 64 && exec \"$0\" \"$@\"")
            .arg(command.get_program())
            .args(command.get_args())
            .env("MQ_STORE", shell.store())
            .current_dir(shell.dir())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let done = crate::cli::run(limited, b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
    };
    limited(&["create", "wide", "-p", "1100"]);
    limited(&["alter", "wide", "--partitions", "1300"]);
    limited(&["delete", "wide", "--yes"]);
}
