//! A group on a simulated disk.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]
#![allow(dead_code, reason = "each binary uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::sim_disk::SimDisk;
use mq::clock::SystemClock;
use mq::error::Result;
use mq::group::{self, JoinOptions, Membership, OffsetsEntry, Subscription};
use mq::lifecycle::{NewTopic, create_topic};
use mq::store::StoreDir;
use mq::types::{TopicName, TopicPartition, Uuid};

pub const TIMEOUT: Duration = Duration::from_secs(10);
pub const GROUP: &str = "a group";
pub const GROUP_DIR: &str = "/s/groups/a%20group";

pub fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

pub fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new(topic(), partition)
}

pub fn open(sim: &SimDisk) -> Result<Arc<StoreDir>> {
    let clock = Arc::new(SystemClock::default());
    StoreDir::open(Arc::new(sim.clone()), clock, Path::new("/s")).map(Arc::new)
}

/// A store with a topic of three partitions, and the topic's id.
pub fn store() -> (SimDisk, Uuid) {
    store_of(3)
}

/// The same with this many partitions.
pub fn store_of(partitions: i32) -> (SimDisk, Uuid) {
    let sim = SimDisk::new();
    let (disk, clock) = (Arc::new(sim.clone()), Arc::new(SystemClock::default()));
    let store = Arc::new(StoreDir::open_or_create(disk, clock, Path::new("/s")).unwrap());
    let new = NewTopic::embedded(topic(), partitions);
    let topic_id = create_topic(&store, &new, TIMEOUT).unwrap().topic_id;
    (sim, topic_id)
}

/// Joins for the topic; a member alone owns all partitions at once.
pub fn join(sim: &SimDisk) -> Result<Membership> {
    let options = JoinOptions {
        subscription: Subscription::to_names([topic()]),
        assignor: None,
        instance_id: None,
        session_timeout: TIMEOUT,
        ends: None,
        began_with: None,
        lock_timeout: TIMEOUT,
    };
    Membership::join(&open(sim)?, GROUP, &options)
}

pub fn entries(topic_id: Uuid, offsets: &[(i32, i64)]) -> Vec<OffsetsEntry> {
    let entry = |(partition, offset): &(i32, i64)| OffsetsEntry {
        topic: topic(),
        topic_id,
        partition: *partition,
        offset: *offset,
        leader_epoch: 0,
    };
    offsets.iter().map(entry).collect()
}

/// Joins, commits, and dies.
pub fn commit(sim: &SimDisk, topic_id: Uuid, offsets: &[(i32, i64)]) -> Result<()> {
    join(sim)?.commit(entries(topic_id, offsets))
}

/// The committed offsets of the three partitions.
pub type Offsets = [Option<i64>; 3];

pub fn offsets(sim: &SimDisk, topic_id: Uuid) -> Offsets {
    let state = group::committed_offsets(&open(sim).unwrap(), GROUP).unwrap();
    [0, 1, 2].map(|p| state.committed(&topic(), topic_id, p).map(|c| c.offset))
}

/// The same, as a member last read it.
pub fn seen_by(member: &Membership, topic_id: Uuid) -> Offsets {
    [0, 1, 2].map(|p| member.committed(&tp(p), topic_id).map(|c| c.offset))
}
