//! A session's caller asks before each batch whether what it reads is still its own. A process that
//! stood still may have been taken for dead, and its keeper may not have noticed yet.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::rig::{TIMEOUT, tp};
use crate::common::tally::Tally;
use mq::client::ReadFrom;
use mq::client::unresolved_offset::UnresolvedRange;
use mq::client::{
    CommitWhen, Delivered, End, Generation, GroupOptions, GroupSession, Order, OutputProgress,
};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::group::Subscription;
use mq::lifecycle::{NewTopic, create_topic};
use mq::store::{StoreDir, json_file};
use mq::types::TopicName;

/// An output that takes everything, of which nothing is read here.
#[derive(Debug)]
struct Taken;

impl OutputProgress for Taken {
    fn take(&self) -> Vec<Delivered> {
        Vec::new()
    }

    fn is_settled(&self, _: Generation) -> bool {
        true
    }

    fn is_all_settled(&self) -> bool {
        true
    }

    fn is_closed(&self) -> bool {
        false
    }
}

fn session(path: &Path) -> GroupSession {
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, path).unwrap();
    let store = Arc::new(store);
    let topic = TopicName::new("t").unwrap();
    let new = NewTopic::embedded(topic.clone(), 2);
    create_topic(&store, &new, TIMEOUT).unwrap();
    let options = GroupOptions {
        fails_on_missed: false,
        read_from: ReadFrom::Leader,
        group: "g".to_owned(),
        subscription: Subscription::to_names([topic]),
        assignor: None,
        instance_id: None,
        session_timeout: TIMEOUT,
        commit: CommitWhen::AfterWrite,
        interval: Duration::from_secs(1),
        range: UnresolvedRange::default(),
        to_end: false,
        began: None,
        commits_when_done: false,
        settle: None,
        lock_timeout: TIMEOUT,
    };
    GroupSession::start(&store, options, Arc::new(Taken), Box::new(|| {})).unwrap()
}

/// Takes orders until both partitions are assigned.
fn assigned(session: &GroupSession) -> BTreeSet<Generation> {
    let mut generations = BTreeMap::new();
    let started = Instant::now();
    while generations.len() < 2 {
        assert!(started.elapsed() < TIMEOUT, "only {generations:?}");
        for order in session.take_orders() {
            match order {
                Order::Assign {
                    generation, reader, ..
                } => {
                    generations.insert(reader.replica().tp().clone(), generation);
                }
                Order::Revoke(generation, tp) | Order::Lost(generation, tp) => {
                    generations.remove(&tp);
                    session.stopped(&[generation]);
                }
                Order::Failed(e) => panic!("{e}"),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    generations.into_values().collect()
}

/// Removes all members, as a watcher does.
fn evict_all(group: &Path) {
    let file = group.join("group.json");
    let bytes = fs::read(&file).unwrap();
    let mut json: serde_json::Value = json_file::decode(&bytes, file.display()).unwrap();
    for epoch in ["group_epoch", "assignment_epoch"] {
        json[epoch] = (json[epoch].as_i64().unwrap() + 1).into();
    }
    json["members"] = serde_json::Value::Array(Vec::new());
    let new = group.join("new");
    fs::write(&new, json_file::encode(&json)).unwrap();
    fs::rename(&new, &file).unwrap();
}

#[test]
fn a_member_counted_as_dead_is_notified_before_the_next_batch() {
    let _tally = Tally::start();
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("store");
    let session = session(&path);
    let owned = [tp("t", 0), tp("t", 1)];
    for n in 0..50 {
        Tally::case();
        let generations = assigned(&session);
        assert!(session.confirm(owned.iter()).unwrap(), "{n}");
        assert!(!session.has_orders(), "{n}: nothing changed");
        evict_all(&path.join("groups/g"));
        assert!(!session.confirm(owned.iter()).unwrap(), "{n}");
        assert!(session.has_orders(), "{n}: it would read on");
        let started = Instant::now();
        while !generations.iter().all(|one| session.is_revoked(*one)) {
            assert!(started.elapsed() < TIMEOUT, "{n}: something is read on");
        }
    }
    session.end(End::Aborted, || false).unwrap();
}
