//! Elections: preferred leaders, and the unclean one.

use std::fs;

use serde_json::json;

use super::brokers::Brokers;
use super::{eventually, refused};
use crate::tally::Tally;

#[test]
fn preferred_leaders_are_elected() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    brokers
        .shell
        .topics(&["create", "t", "--assign", "1:2:3,2:3:1"]);
    brokers.healthy();
    let (status, out, err) = brokers.tool(&["elect", "preferred"]);
    assert!(status == 0 && out.is_empty() && err.contains("nothing to do"));
    brokers.stop(1);
    brokers.until("t", 0, "leader", json!(2));
    let (_, _, err) = brokers.tool(&["health"]);
    let cannot = "the preferred leader cannot lead now, because it does not run";
    assert!(
        err.contains(cannot) && !err.contains("elect preferred"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["elect", "preferred"]);
    assert_eq!(status, 1);
    for word in [
        "PREFERRED_LEADER_NOT_AVAILABLE",
        "t:0",
        "broker 1",
        "does not run",
    ] {
        assert!(err.contains(word), "{err}");
    }
    let (status, _, err) = brokers.tool(&["elect", "preferred", "t:1"]);
    assert_eq!(status, 0, "{err}");
    brokers.start(1);
    brokers.healthy();
    // The controller would do it, too, after a while.
    let (status, out, err) = brokers.tool(&["elect", "preferred", "t", "--format", "tsv"]);
    assert_eq!(status, 0, "{err}");
    assert!(out == "t\t0\t2\t1\t-\telected\n" || out.is_empty(), "{out}");
    assert_eq!(brokers.partition("t", 0)["leader"], json!(1));
    brokers.tool(&["drain", "1"]);
    let (status, _, err) = brokers.tool(&["elect", "preferred"]);
    assert!(status == 1 && err.contains("is drained"), "{err}");
    for (args, words) in [
        (&["elect", "preferred", "--to", "1"][..], "unclean"),
        (&["elect", "sideways"], "preferred"),
        (&["elect", "unclean", "--yes"], "needs partitions"),
        (&["elect", "unclean", "t:0"], "must be confirmed"),
    ] {
        refused(&brokers.shell, args, 2, &[words]);
    }
    let (status, _, err) = brokers.tool(&["elect", "preferred", "u", "t:7"]);
    assert!(
        status == 1 && err.contains("'u'") && err.contains("no partition 7"),
        "{err}"
    );
}

#[test]
fn an_unclean_election_is_the_last_resort() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let unclean = ["-c", "unclean.leader.election.enable=true"];
    for (topic, configs) in [("t", &[][..]), ("u", &unclean)] {
        let create = [&["create", topic, "--assign", "1:2"][..], configs].concat();
        brokers.shell.topics(&create);
        brokers.shell.produce(&[topic], b"a\nb\n");
    }
    brokers.healthy();
    let elect = ["elect", "unclean", "t:0", "--yes"];
    refused(
        &brokers.shell,
        &elect,
        1,
        &["ELECTION_NOT_NEEDED", "broker 1"],
    );
    brokers.kill(2);
    for topic in ["t", "u"] {
        brokers.until(topic, 0, "isr", json!([1]));
        brokers.shell.produce(&[topic], b"c\n");
    }
    let (status, _, err) = brokers.tool(&elect);
    assert!(status == 1 && err.contains("ELECTION_NOT_NEEDED"), "{err}");
    brokers.kill(1);
    // Its directory serves on.
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\nc\n");
    for topic in ["t", "u"] {
        fs::remove_dir_all(brokers.replica(topic, 0, 1)).expect("lost");
    }
    let (status, _, err) = brokers.tool(&elect);
    assert!(status == 1 && err.contains("start broker 2"), "{err}");
    brokers.start(2);
    // Where the topic allows it, nobody needs to ask.
    brokers.until("u", 0, "leader", json!(2));
    assert_eq!(brokers.shell.consume_text(&["-e", "u"]), "a\nb\n");
    assert!(
        brokers
            .amiss()
            .contains(&("offline".to_owned(), json!("t:0")))
    );
    let (status, _, err) = brokers.tool(&["elect", "unclean", "t:0", "--yes", "--to", "3"]);
    assert!(
        status == 1 && err.contains("broker 3 holds no replica"),
        "{err}"
    );
    let plan = ["elect", "unclean", "t:0", "--dry-run", "--format", "tsv"];
    assert_eq!(brokers.tool(&plan).1, "t\t0\t1\t2\t2\tplanned\n");
    assert_eq!(brokers.partition("t", 0)["leader"], json!(1));
    let elect = ["elect", "unclean", "t:0", "--yes", "--format", "tsv"];
    let (status, out, err) = brokers.tool(&elect);
    assert_eq!(
        (status, out.as_str()),
        (0, "t\t0\t1\t2\t2\telected\n"),
        "{err}"
    );
    assert_eq!(brokers.partition("t", 0)["isr"], json!([2]));
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\n");
    brokers.shell.produce(&["t"], b"d\n");
    brokers.start(1);
    brokers.healthy();
    assert_eq!(brokers.shell.consume_text(&["-e", "t"]), "a\nb\nd\n");
    let copied = || brokers.shell.consume_text(&["-e", "--replica", "1", "t"]) == "a\nb\nd\n";
    eventually("broker 1 has it all", copied);
}
