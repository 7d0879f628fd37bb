//! Readers that choose their replica.

use std::sync::Arc;

use mq::client::{Chooser, ReadFrom};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::StoreDir;
use mq::types::{BrokerId, TopicName, TopicPartition};
use rustix::process::Signal;
use serde_json::json;

use super::brokers::{Brokers, numbers, sorted};
use super::eventually;
use crate::cli::{Running, TIMEOUT};
use crate::tally::Tally;

#[test]
fn readers_choose_their_replica() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let shell = &brokers.shell;
    shell.topics(&["create", "t", "--assign", "1:2:3,2:3:1"]);
    shell.topics(&["create", "one", "--assign", "1"]);
    shell.produce(&["t"], numbers(0..100).as_bytes());
    brokers.healthy();
    let read = |args: &[&str]| {
        Tally::case();
        sorted(&shell.consume_text(&[&["-e", "t"], args].concat()))
    };
    let first: Vec<usize> = (0..100).collect();
    let all: Vec<usize> = (0..110).collect();
    for id in ["1", "2", "3"] {
        eventually("all is copied", || read(&["--replica", id]) == first);
    }
    for (args, status, words) in [
        (
            &["--replica", "9", "t"][..],
            1,
            "its replicas are on 1, 2, 3",
        ),
        (&["--replica", "2", "one"], 1, "its replicas are on 1"),
        (
            &["-g", "g", "--replica", "2", "one"],
            1,
            "its replicas are on 1",
        ),
        (&["--replica", "x", "t"], 2, "whole numbers"),
        (&["--replica", "1", "--rack", "rack-1", "t"], 2, "--rack"),
        (&["--rack", "", "t"], 2, "--rack is empty"),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &[&["-e"], args].concat(), b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(words), "{args:?}: {}", done.err);
        assert!(done.out.is_empty());
    }
    let done = shell.run("mq-consume", &["-e", "--rack", "attic", "t"], b"");
    assert_eq!(sorted(&done.text()), first);
    assert!(
        done.err.contains("no broker is on rack 'attic'"),
        "{}",
        done.err
    );

    // Who is read.
    let clock = Arc::new(SystemClock::default());
    let store = StoreDir::open(Arc::new(OsDisk), clock, shell.store()).expect("store");
    let store = Arc::new(store);
    let read_by = |read_from: &ReadFrom| -> Vec<BrokerId> {
        let chooser = Chooser::new(&store, read_from.clone());
        let tp = |p| TopicPartition::new(TopicName::new("t").expect("name"), p);
        let open = |p| chooser.open(&tp(p)).expect("open").broker();
        [0, 1].map(open).to_vec()
    };
    let rack = |id: i32| ReadFrom::Rack(format!("rack-{id}"));
    assert_eq!(read_by(&ReadFrom::Leader), [1, 2]);
    assert_eq!(read_by(&ReadFrom::Replica(3)), [3, 3]);
    for id in [1, 2, 3] {
        assert_eq!(read_by(&rack(id)), [id, id]);
    }
    assert_eq!(read_by(&ReadFrom::Rack("attic".to_owned())), [1, 2]);

    // One that is behind shows what it has, and is not in sync.
    brokers.running[&3].signal(Signal::STOP);
    for partition in [0, 1] {
        let isr: &[i32] = if partition == 0 { &[1, 2] } else { &[2, 1] };
        eventually("it left", || {
            let now = &brokers.partition("t", partition)["isr"];
            isr.iter()
                .all(|id| now.as_array().is_some_and(|now| now.contains(&json!(id))))
                && now.as_array().is_some_and(|now| now.len() == 2)
        });
    }
    shell.produce(&["t"], numbers(100..110).as_bytes());
    assert_eq!(read(&[]), all);
    assert_eq!(read(&["--replica", "3"]), first);
    assert_eq!(read(&["--rack", "rack-3"]), all, "by the leaders");
    assert_eq!(read_by(&rack(3)), [1, 2]);
    let tail = read(&["--replica", "3", "--tail", "2"]);
    assert!(tail.len() == 2 && tail.iter().all(|n| *n < 100), "{tail:?}");
    assert_eq!(read(&["--replica", "3", "-o", "-1"]).len(), 2);
    assert!(
        read(&["--replica", "3", "-o", "-1"])
            .iter()
            .all(|n| *n < 100)
    );
    // A group whose other members read further gets no report of lost records.
    assert_eq!(read(&["-g", "far"]), all);
    assert_eq!(read(&["-g", "far", "--replica", "3"]), [0; 0]);
    assert_eq!(read(&["-g", "near", "--replica", "3"]), first);
    let rest = read(&["-g", "near"]);
    assert_eq!(rest, all[100..]);
    brokers.running[&3].signal(Signal::CONT);
    brokers.healthy();
    eventually("it caught up", || read(&["--replica", "3"]) == all);
    assert_eq!(read(&["-g", "racks", "--rack", "rack-3"]), all);

    // Followers go on when a broker dies, without a gap or a repeat.
    let kinds = [
        &["--rack", "rack-3", "t"][..],
        &["--rack", "rack-1", "t"],
        &["--replica", "2", "t"],
        &["-g", "follow", "--rack", "rack-1", "t"],
    ];
    let follow = |args: &&'static [&'static str]| (*args, shell.start("mq-consume", args));
    let followers: Vec<_> = kinds.iter().map(follow).collect();
    let heard = |(args, follower): &(&[&str], Running), n: usize| {
        let lines = |out: &[u8]| memchr::memchr_iter(b'\n', out).count();
        let found = follower.out.until(TIMEOUT, |out| lines(out) >= n);
        let out = String::from_utf8(follower.out.bytes()).expect("text");
        let err = String::from_utf8_lossy(&follower.err.bytes()).into_owned();
        assert!(found, "{args:?}: {} of {n}: {err}", lines(out.as_bytes()));
        assert_eq!(sorted(&out), (0..n).collect::<Vec<_>>());
        Tally::case();
    };
    let mut n = 110;
    for round in 0..2 {
        for follower in &followers {
            heard(follower, n);
        }
        let victim = if round == 0 { 3 } else { 1 };
        brokers
            .running
            .remove(&victim)
            .expect("it runs")
            .signal(Signal::KILL);
        let shell = &brokers.shell;
        shell.produce(&["t"], numbers(n..n + 50).as_bytes());
        n += 50;
        for follower in &followers {
            heard(follower, n);
        }
        brokers.start(victim);
        brokers.healthy();
        brokers.shell.produce(&["t"], numbers(n..n + 50).as_bytes());
        n += 50;
    }
    for follower in &followers {
        heard(follower, n);
    }
}
