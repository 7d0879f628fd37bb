//! A partition that was to move, and stays.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::play::FOLLOW;
use super::records::{BEFORE, LATER, feed, full};
use crate::proc::{self, Failure, Place, Score, TIMEOUT};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::group::{JoinOptions, Membership, Subscription};
use mq::store::StoreDir;
use mq::types::TopicName;

/// A partition is to move and is no longer read, but its last records are not taken yet; then its
/// next owner is gone: it is read on.
#[test]
fn a_partition_that_was_to_move_and_stays_is_read_on() {
    let _beside = crate::beside_others();
    let score = Score::default();
    for way in ["leaves", "dies"] {
        score.case(way, |place| stays(place, way == "dies"));
    }
    score.close("a partition stays");
}

fn stays(place: &Place, dies: bool) -> Result<(), Failure> {
    full(place)?;
    let mut member = Command::new(proc::tool("mq-consume"))
        .args(FOLLOW)
        .env("MQ_STORE", place.store())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let outcome = stays_with(place, &mut member, dies);
    let _ = member.kill();
    let _ = member.wait();
    outcome
}

fn stays_with(place: &Place, member: &mut Child, dies: bool) -> Result<(), Failure> {
    let moment = Duration::from_millis(300);
    std::thread::sleep(moment);
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, place.store());
    let store = Arc::new(store.map_err(|e| e.to_string())?);
    let options = JoinOptions {
        subscription: Subscription::to_names([TopicName::new("t").expect("a name")]),
        assignor: None,
        instance_id: None,
        session_timeout: TIMEOUT,
        ends: None,
        began_with: None,
        lock_timeout: TIMEOUT,
    };
    let mut other = Membership::join(&store, "g", &options).map_err(|e| e.to_string())?;
    other.assign().map_err(|e| e.to_string())?;
    std::thread::sleep(moment);
    let owned = other.me().map(|me| me.owned.len());
    hold!(
        owned == Some(0),
        "its reader took nothing, but {owned:?} moved"
    );
    if dies {
        drop(other);
    } else {
        other.leave(Vec::new()).map_err(|e| e.to_string())?;
    }
    std::thread::sleep(moment);
    feed(place, BEFORE, LATER)?;
    let stdout = member.stdout.take().ok_or("no pipe")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut printed = Vec::new();
    while printed.len() < BEFORE + LATER {
        match receiver.recv_timeout(TIMEOUT) {
            Ok(line) => printed.push(line),
            Err(_) => return Err(format!("{} of {} came", printed.len(), BEFORE + LATER)),
        }
    }
    let all: BTreeSet<&String> = printed.iter().collect();
    hold!(all.len() == printed.len(), "some came twice");
    Ok(())
}
