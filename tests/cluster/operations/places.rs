//! Brokers that come to be by mistake, or move.

use std::fs;

use serde_json::json;

use super::brokers::Brokers;
use super::{ids_with, list, refused, start, stop, text};
use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn a_broker_that_nothing_counts_on_can_be_unregistered() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let zero = start(&shell, &[]);
    let wrong = start(&shell, &["--id", "77", "--log-dir", "typo"]);
    for (id, words) in [
        ("0", &["broker 0 belongs to the store"][..]),
        ("5", &["no broker 5", "0, 77"]),
        ("77", &["broker 77 runs", "stop 77"]),
    ] {
        refused(&shell, &["unregister", id], 1, words);
    }
    refused(&shell, &["unregister", "x"], 2, &["whole numbers"]);
    shell.topics(&["create", "t", "--assign", "77,0"]);
    stop(&shell, "77", wrong);
    let words = ["has replicas of t:0", "reassign"];
    refused(&shell, &["unregister", "77"], 1, &words);
    shell.topics(&["delete", "t", "--yes"]);
    // What was given to others or deleted goes with it.
    let wrong = start(&shell, &["--id", "77"]);
    shell.topics(&["create", "u", "--assign", "77"]);
    shell.produce(&["u"], b"kept\n");
    shell.ok("mq-broker", &["reassign", "u=0", "--wait"], b"");
    stop(&shell, "77", wrong);
    let logs = shell.dir().join("typo");
    // Nor is what nobody knows taken for that.
    let stray = logs.join("v-0");
    fs::create_dir(&stray).expect("mkdir");
    let done = shell.run("mq-broker", &["unregister", "77"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    let words = done.err.contains("v-0 among them") && done.err.contains("mq-topics verify");
    assert!(words, "{}", done.err);
    fs::remove_dir(&stray).expect("removed");
    let done = shell.run("mq-broker", &["unregister", "77"], b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        done.err.contains("broker 77 is unregistered") && done.err.contains("typo stays"),
        "{}",
        done.err
    );
    Tally::case();
    assert_eq!(list(&shell).len(), 1);
    assert_eq!(fs::read_dir(&logs).expect("list").count(), 0);
    assert_eq!(shell.consume_text(&["-e", "u"]), "kept\n");
    refused(&shell, &["unregister", "77"], 1, &["no broker 77"]);
    // Its place, and its number, are anybody's.
    let place = text(&logs);
    let again = start(&shell, &["--id", "7", "--log-dir", &place]);
    stop(&shell, "7", again);
    let own = start(&shell, &["--id", "77"]);
    assert_eq!(ids_with(&shell, "state", &json!("running")), [0, 77]);
    stop(&shell, "77", own);
    shell.ok("mq-broker", &["unregister", "77"], b"");
    assert!(!shell.store().join("brokers/77").exists());
    stop(&shell, "0", zero);
}

#[test]
fn a_log_directory_that_was_moved_is_named_again() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(0);
    let at = |name: &str| brokers.shell.dir().join(name);
    let (old, new, other) = (at("old"), at("new"), at("other"));
    let (old_text, new_text) = (text(&old), text(&new));
    brokers.start_with(1, &["--log-dir", &old_text]);
    brokers.start_with(2, &[]);
    brokers
        .shell
        .topics(&["create", "t", "--assign", "1:2,1:2"]);
    brokers.healthy();
    brokers.shell.produce(&["-p", "1", "t"], b"one\n");
    brokers.stop(1);
    let named = ["start", "--id", "1", "--log-dir", &new_text];
    let shell = &brokers.shell;
    // Nothing was moved there.
    refused(shell, &named, 1, &["holds replicas in", "move it"]);
    // A copy is no move.
    fs::create_dir(&new).expect("mkdir");
    fs::copy(old.join("meta.properties"), new.join("meta.properties")).expect("copy");
    refused(shell, &named, 1, &["holds replicas in", "move it"]);
    fs::remove_dir_all(&new).expect("removed");
    // Gone, and nothing there.
    fs::rename(&old, &new).expect("moved");
    let elsewhere = text(&other);
    let args = ["start", "--id", "1", "--log-dir", &elsewhere];
    refused(shell, &args, 1, &["holds replicas in"]);
    assert!(!other.exists());
    refused(
        shell,
        &["start", "--id", "1"],
        1,
        &["is gone", "if it was moved", "--log-dir"],
    );
    let (_, out, _) = brokers.tool(&["health"]);
    assert!(
        out.contains("broker 1 does not run") && out.contains("if it was moved"),
        "{out}"
    );
    let done = brokers.shell.run("mq-topics", &["verify"], b"");
    assert!(done.status != 0, "{}", done.err);
    let reported = "mq-topics: broker 1: 2 replicas could not be checked";
    assert!(
        done.err.contains(reported) && done.err.matches("mq-topics: ").count() == 1,
        "{}",
        done.err
    );
    brokers.start_with(1, &["--log-dir", &new_text]);
    brokers.healthy();
    assert_eq!(brokers.shell.consume_text(&["-e", "-p", "1", "t"]), "one\n");
    brokers.stop(1);
    // From now on it is there.
    brokers.start(1);
    assert_eq!(list(&brokers.shell)[1]["log_dir"], json!(new_text));
    brokers.healthy();
}

#[test]
fn a_topic_that_cannot_be_placed_makes_no_store() {
    let _tally = Tally::start();
    for args in [
        &["create", "-r", "3", "t"][..],
        &["create", "--assign", "1:2", "t"],
        &["create", "--assign", "0:1", "t"],
    ] {
        let shell = Shell::new();
        let done = shell.run("mq-topics", args, b"");
        assert_eq!(done.status, 1, "{args:?}: {}", done.err);
        assert!(!shell.store().exists(), "{args:?}");
        Tally::case();
        shell.topics(&["create", "--assign", "0", "t"]);
    }
}
