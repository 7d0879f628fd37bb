//! A store with a topic, and members of groups that read it, for this module's tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::membership::{JoinOptions, Membership};
use super::offsets_line::OffsetsEntry;
use super::subscription::Subscription;
use crate::clock::{Clock, SystemClock};
use crate::disk::OsDisk;
use crate::error::Result;
use crate::lifecycle::{NewTopic, create_topic};
use crate::partition::{Committer, PartitionWriter};
use crate::record::BatchBuilder;
use crate::store::StoreDir;
use crate::types::{Compression, PartitionId, TimestampType, TopicName, TopicPartition, Uuid};

pub const LONG: Duration = Duration::from_secs(30);

pub struct Fixture {
    _temp: tempfile::TempDir,
    path: PathBuf,
    pub store: Arc<StoreDir>,
    pub topic_id: Uuid,
}

pub fn named(name: &str) -> TopicName {
    TopicName::new(name).expect("topic")
}

pub fn topic() -> TopicName {
    named("t")
}

/// A store with the topic `t` of three partitions, empty.
pub fn place() -> Fixture {
    let temp = tempfile::tempdir().expect("temp");
    let path = temp.path().join("s");
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, &path);
    let store = Arc::new(store.expect("store"));
    let topic_id = create(&store, "t", 3);
    Fixture {
        _temp: temp,
        path,
        store,
        topic_id,
    }
}

/// Makes a topic; returns its id.
pub fn create(store: &Arc<StoreDir>, name: &str, partitions: PartitionId) -> Uuid {
    let new = NewTopic::embedded(named(name), partitions);
    create_topic(store, &new, LONG).expect("topic").topic_id
}

/// Options to read the topic `t`, with the group's assignor and a long session timeout.
pub fn options() -> JoinOptions {
    JoinOptions {
        subscription: Subscription::to_names([topic()]),
        assignor: None,
        instance_id: None,
        session_timeout: LONG,
        ends: None,
        began_with: None,
        lock_timeout: LONG,
    }
}

impl Fixture {
    pub fn join(&self, group: &str) -> Result<Membership> {
        self.join_with(group, &options())
    }

    pub fn join_with(&self, group: &str, options: &JoinOptions) -> Result<Membership> {
        Membership::join(&self.store, group, options)
    }

    /// The same store as a process with that clock sees it.
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Arc<StoreDir> {
        Arc::new(StoreDir::open(Arc::new(OsDisk), clock, &self.path).expect("store"))
    }

    pub fn entry(&self, partition: PartitionId, offset: i64) -> OffsetsEntry {
        OffsetsEntry {
            topic: topic(),
            topic_id: self.topic_id,
            partition,
            offset,
            leader_epoch: 0,
        }
    }

    pub fn committed(&self, group: &str, partition: PartitionId) -> Option<i64> {
        let state = super::committed_offsets(&self.store, group).expect("offsets");
        state
            .committed(&topic(), self.topic_id, partition)
            .map(|c| c.offset)
    }
}

/// Appends records with these timestamps to partition 0, durably.
pub fn produce(place: &Fixture, timestamps: &[i64]) {
    let tp = TopicPartition::new(topic(), 0);
    let mut writer = PartitionWriter::open(&place.store, &tp, LONG).expect("open");
    let mut builder = BatchBuilder::new();
    for time in timestamps {
        builder.append_value(*time, b"v").expect("append");
    }
    let mut batch = builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("finish");
    writer.append(&mut batch).expect("append");
    let end = writer.make_ready().expect("page").tail.end;
    Committer::open(&place.store, &tp, LONG)
        .expect("open")
        .commit(end)
        .expect("commit");
}

/// A clock that advances only when it is turned or slept by.
#[derive(Debug, Default)]
pub struct HandClock {
    real: SystemClock,
    turned_ms: AtomicU64,
}

impl HandClock {
    pub fn turn(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("not for ever");
        self.turned_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.real.now_ms()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.turned_ms.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        self.turn(duration.max(Duration::from_millis(1)));
        self.real.sleep(duration);
    }
}
