//! A process that only reads stands still before any of its calls while another one goes on: what it
//! reports was true at some moment.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::rig::TIMEOUT;
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;
use mq::clock::SystemClock;
use mq::lifecycle::{NewTopic, Stray, create_topic, delete_topic, strays};
use mq::store::FencedLock;
use mq::store::StoreDir;
use mq::types::{EMBEDDED_BROKER, TopicName};

fn store(sim: &SimDisk) -> Arc<StoreDir> {
    let clock = Arc::new(SystemClock::default());
    Arc::new(StoreDir::open_or_create(Arc::new(sim.clone()), clock, Path::new("/s")).unwrap())
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

/// A store whose topic was to be deleted, by a process that died before its `k`th operation; `None` if
/// it has fewer.
fn half_deleted(k: u64) -> Option<SimDisk> {
    let sim = SimDisk::new();
    create_topic(&store(&sim), &NewTopic::embedded(topic(), 1), TIMEOUT).unwrap();
    let deleter = sim.process();
    let deleters = store(&deleter);
    deleter.stop_at(deleter.ops() + k);
    // Once its proof is in place it is done, whatever comes of the rest.
    let _ = delete_topic(&deleters, &topic(), TIMEOUT);
    deleter.is_dead().then_some(sim)
}

/// What a look finds that stands still before its `n`th call while another finishes the deletion; `None`
/// if it makes fewer calls.
fn observe_before(sim: &SimDisk, n: u64) -> Option<Vec<Stray>> {
    let process = sim.process();
    let opened = store(&process);
    process.freeze_at(process.calls() + n);
    let observer = std::thread::spawn(move || strays(&opened, EMBEDDED_BROKER).unwrap());
    while !observer.is_finished() && !process.is_frozen() {
        std::thread::sleep(Duration::from_micros(20));
    }
    let was_frozen = process.is_frozen();
    if was_frozen {
        let other = store(&sim.process());
        drop(FencedLock::acquire_store(&other, "finish a deletion", TIMEOUT).unwrap());
        process.thaw();
    }
    let found = observer.join().unwrap();
    was_frozen.then_some(found)
}

#[test]
fn a_deletion_under_way_is_no_stray_whenever_it_is_observed() {
    let _tally = Tally::start();
    let mut cases = 0;
    for k in 1.. {
        if half_deleted(k).is_none() {
            break;
        }
        for n in 1.. {
            let sim = half_deleted(k).unwrap();
            let Some(found) = observe_before(&sim, n) else {
                break;
            };
            Tally::case();
            cases += 1;
            assert_eq!(found, [], "deleted before {k}, observed before {n}");
        }
    }
    assert!(cases > 50, "{cases}");
}
