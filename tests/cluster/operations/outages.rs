//! All brokers at once.

use super::brokers::Brokers;
use super::eventually;
use crate::cli::{Running, TIMEOUT};
use crate::tally::Tally;

fn three() -> Brokers {
    let brokers = Brokers::of(3);
    let least = "min.insync.replicas=2";
    let create = ["create", "t", "--assign", "1:2:3", "-c", least];
    brokers.shell.topics(&create);
    brokers.healthy();
    brokers
}

fn kill_all(brokers: &mut Brokers) {
    // The leader's first: else the in-sync set would shrink to it.
    (1..=3).for_each(|id| brokers.kill(id));
}

fn has(brokers: &Brokers, text: &str) {
    eventually(&format!("{text:?} is read"), || {
        brokers.shell.consume_text(&["-e", "t"]) == text
    });
    Tally::case();
}

fn waits(producer: &Running, words: &str) {
    let found = producer.err.until(TIMEOUT, |err| {
        memchr::memmem::find(err, words.as_bytes()).is_some()
    });
    let err = producer.err.bytes();
    assert!(found, "{words}: {}", String::from_utf8_lossy(&err));
    Tally::case();
}

#[test]
fn a_running_producer_waits_until_they_are_back() {
    let _tally = Tally::start();
    let mut brokers = three();
    let args = ["--timeout", "60s", "t"];
    let mut producer = brokers.shell.start("mq-produce", &args);
    producer.feed(b"1\n");
    has(&brokers, "1\n");
    kill_all(&mut brokers);
    producer.feed(b"2\n");
    waits(&producer, "waiting: ");
    (1..=3).for_each(|id| brokers.start(id));
    has(&brokers, "1\n2\n");
    producer.feed(b"3\n");
    producer.close_stdin();
    let done = producer.end();
    assert_eq!(done.status, 0, "{}", done.err);
    has(&brokers, "1\n2\n3\n");
}

#[test]
fn a_running_producer_gives_up_after_its_timeout() {
    let _tally = Tally::start();
    let mut brokers = three();
    let args = ["--timeout", "2s", "t"];
    let mut producer = brokers.shell.start("mq-produce", &args);
    producer.feed(b"1\n");
    has(&brokers, "1\n");
    kill_all(&mut brokers);
    producer.feed(b"2\n");
    let done = producer.end();
    assert!(done.status != 0, "{}", done.err);
    // Why it waited is reported once; what came of that refers to it.
    let count = |words: &str| done.err.matches(words).count();
    assert_eq!(
        count("no broker runs that has a replica"),
        1,
        "{}",
        done.err
    );
    assert_eq!(count("NOT_ENOUGH_REPLICAS"), 1, "{}", done.err);
    assert!(done.err.contains("waiting: no broker runs"), "{}", done.err);
    assert!(
        done.err.contains("gave up waiting after 2s"),
        "{}",
        done.err
    );
    has(&brokers, "1\n");
}

#[test]
fn a_producer_that_begins_where_no_broker_runs_is_refused_at_once() {
    let _tally = Tally::start();
    let mut brokers = three();
    kill_all(&mut brokers);
    // Longer than the test may take.
    let args = ["--timeout", "1h", "t"];
    let done = brokers.shell.run("mq-produce", &args, b"1\n");
    assert_eq!(done.status, 75, "{}", done.err);
    let cures = [1, 2, 3].map(|id| format!("mq-broker start --id {id}"));
    let words = ["NOT_ENOUGH_REPLICAS", "no broker runs", "--acks 1"];
    for word in words
        .iter()
        .copied()
        .chain(cures.iter().map(String::as_str))
    {
        assert!(done.err.contains(word), "{word}: {}", done.err);
        Tally::case();
    }
    brokers
        .shell
        .ok("mq-produce", &["--acks", "1", "t"], b"2\n");
    (1..=3).for_each(|id| brokers.start(id));
    brokers.shell.ok("mq-produce", &["t"], b"3\n");
    has(&brokers, "2\n3\n");
}
