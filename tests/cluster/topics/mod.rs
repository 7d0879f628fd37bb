//! Topics with replicas on several brokers: made, described, changed, reassigned, deleted.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make brokers, and lose directories, behind the store's back"
)]

mod alteration;
mod creation;
mod description;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::Shell;
use crate::tally::Tally;
use mq::clock::SystemClock;
use mq::disk::{Disk, File, LockKind, Open, OsDisk};
use mq::error::Kind;
use mq::lifecycle::{
    NewTopic, cancel_reassignment, create_topic, discard, make_replica, start_reassignment,
};
use mq::partition::{Replica, StatePage};
use mq::store::BrokerFile;
use mq::store::topics::topic_file;
use mq::store::{PartitionMeta, TopicMeta};
use mq::store::{StoreDir, json_file};
use mq::types::{BrokerId, TopicName, TopicPartition};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A store with brokers whose daemons are played by this process: it holds their locks.
struct Cluster {
    shell: Shell,
    store: Arc<StoreDir>,
    live: BTreeMap<BrokerId, Arc<dyn File>>,
}

/// Files of a store are replaced whole, never written in place.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("written");
    fs::rename(&new, path).expect("in place");
}

impl Cluster {
    /// Broker 0 without a daemon.
    fn new() -> Self {
        let shell = Shell::new();
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, shell.store());
        Cluster {
            store: Arc::new(store.expect("store")),
            shell,
            live: BTreeMap::new(),
        }
    }

    /// Live brokers 0 to `n` - 1.
    fn of(n: BrokerId) -> Self {
        let mut cluster = Cluster::new();
        for id in 0..n {
            cluster.start(id, |_| {});
        }
        cluster
    }

    fn broker_path(&self, id: BrokerId) -> PathBuf {
        self.shell.store().join(format!("brokers/{id}"))
    }

    fn logs(&self, id: BrokerId) -> PathBuf {
        self.broker_path(id).join("logs")
    }

    fn register(&self, id: BrokerId, change: impl FnOnce(&mut BrokerFile)) {
        fs::create_dir_all(self.logs(id)).expect("directory");
        let mut file = BrokerFile::new(id);
        change(&mut file);
        let path = self.broker_path(id).join("broker.json");
        replace(&path, &json_file::encode(&file));
    }

    fn start(&mut self, id: BrokerId, change: impl FnOnce(&mut BrokerFile)) {
        self.register(id, change);
        let dir = OsDisk.open_dir(&self.broker_path(id)).expect("broker");
        let lock = dir.open("broker.lock", Open::Create).expect("lock");
        assert!(lock.try_lock(LockKind::Exclusive).expect("lock"));
        self.live.insert(id, lock);
    }

    fn meta(&self, topic: &str) -> TopicMeta {
        topic_file::read_to_change(&self.store, &name(topic)).expect("topic")
    }

    fn replica(&self, topic: &str, partition: i32, broker: BrokerId) -> Replica {
        Replica::open(&self.store, &tp(topic, partition), broker).expect("replica")
    }

    fn page(&self, topic: &str, partition: i32, broker: BrokerId) -> StatePage {
        let replica = self.replica(topic, partition, broker);
        // The process that made it has released it.
        drop(replica.lock(Duration::ZERO).expect("free"));
        replica.read_page().expect("page").expect("a sound page")
    }

    fn make(&self, topic: &str, assignment: &[&[BrokerId]]) -> TopicMeta {
        let new = NewTopic {
            name: name(topic),
            assignment: assignment.iter().map(|brokers| brokers.to_vec()).collect(),
            configs: BTreeMap::new(),
        };
        create_topic(&self.store, &new, TIMEOUT).expect("topic")
    }

    fn describe(&self, args: &[&str]) -> Vec<Value> {
        let all = [&["describe", "--format", "json"], args].concat();
        let out = self.shell.ok("mq-topics", &all, b"");
        let text = String::from_utf8(out).expect("UTF-8");
        let topics = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        topics.collect()
    }

    /// Everything in the log directories of some brokers.
    fn directories(&self, brokers: &[BrokerId]) -> Vec<String> {
        let mut all = Vec::new();
        for id in brokers {
            let names = names(&self.logs(*id));
            all.extend(names.into_iter().map(|name| format!("{id}/{name}")));
        }
        all.retain(|name| !name.ends_with("/meta.properties"));
        all
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("list");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort_unstable();
    names
}

fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("name")
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(name(topic), partition)
}

fn brokers(partition: &PartitionMeta) -> Vec<BrokerId> {
    partition.replicas.iter().map(|r| r.broker).collect()
}
