//! Readers that stay: what comes, and what ends them.

use std::time::{Duration, Instant};

use crate::cli::{Shell, TIMEOUT};
use crate::common::switches::is_long;
use crate::tally::Tally;

#[test]
fn a_deleted_topic_ends_the_processes_that_use_it() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"old 1\nold 2\n");
    let consumer = shell.start("mq-consume", &["t"]);
    consumer.says("old 2");
    let mut producer = shell.start("mq-produce", &["-T", "t"]);
    producer.feed(b"old 3\n");
    producer.says("old 3");
    consumer.says("old 3");
    Tally::case();
    shell.topics(&["delete", "t", "--yes"]);
    shell.topics(&["create", "t"]);
    shell.produce(&["t"], b"new\n");
    let done = consumer.end();
    assert_eq!(
        (done.status, done.text().as_str()),
        (1, "old 1\nold 2\nold 3\n"),
        "{}",
        done.err
    );
    assert_eq!(reported(&done.err), 1, "{}", done.err);
    Tally::case();
    producer.feed(b"late\n");
    let done = producer.end();
    assert_ne!(done.status, 0, "{}", done.err);
    assert_eq!(reported(&done.err), 1, "{}", done.err);
    Tally::case();
    assert_eq!(shell.consume_text(&["-e", "t"]), "new\n");
}

/// Failures reported, without their cures.
fn reported(err: &str) -> usize {
    err.lines()
        .filter(|line| line.starts_with("mq-") && !line.contains(": created "))
        .count()
}

#[test]
fn a_follower_sees_what_comes() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "app.a"]);
    let mut follower = shell.start("mq-consume", &["-f", "%t %p %v\\n", "app.*"]);
    shell.produce(&["app.a"], b"first\n");
    follower.says("app.a 0 first");
    // Each is to take less than a second; the deadline is for machines that are busy.
    let mut slowest = Duration::ZERO;
    let mut timed = |what: &str| {
        Tally::case();
        let started = Instant::now();
        follower.says(what);
        slowest = slowest.max(started.elapsed());
    };
    shell.produce(&["app.a"], b"later\n");
    timed("app.a 0 later");
    shell.topics(&["alter", "app.a", "--partitions", "3"]);
    shell.produce(&["-p", "2", "app.a"], b"wider\n");
    timed("app.a 2 wider");
    shell.produce(&["app.b"], b"new topic\n");
    timed("app.b 0 new topic");
    println!("exact: the slowest sight took {slowest:?}");
    if is_long() {
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
    Tally::case();
    follower.signal(rustix::process::Signal::INT);
    let done = follower.end_within(TIMEOUT);
    assert_eq!(done.status, 130, "{}", done.err);
    assert_eq!(done.text().lines().count(), 4);
}
