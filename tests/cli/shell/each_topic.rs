//! `mq-produce --each-topic`: records that name their topic; and topics that nobody asked for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::Shell;
use crate::tally::Tally;

/// What a topic holds, by partition, without offsets' epochs.
fn records(shell: &Shell, topic: &str) -> BTreeMap<i64, Vec<Value>> {
    let text = shell.consume_text(&["-e", "-J", topic]);
    crate::cli::by_partition(&text)
}

fn topics(shell: &Shell) -> String {
    String::from_utf8(shell.ok("mq-topics", &["list", "--format", "tsv"], b"")).expect("text")
}

#[test]
fn an_archive_of_many_topics_is_restored() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "a", "b", "-p", "3"]);
    for topic in ["a", "b"] {
        let input: String = (0..500).map(|n| format!("{topic}{n}={n}\n")).collect();
        shell.produce(&["-K", "=", "-H", "from=here", topic], input.as_bytes());
    }
    let archive = shell.consume(&["-e", "-J", "a", "b"]);
    std::fs::write(shell.dir().join("archive.json"), &archive).expect("written");
    for (args, input) in [
        (
            &["-J", "--each-topic", "--keep-partition"][..],
            &archive[..],
        ),
        (
            &["-J", "--each-topic", "--keep-partition", "archive.json"],
            b"",
        ),
        (
            &["-J", "--each-topic", "-z", "zstd", "--keep-partition", "-"],
            &archive,
        ),
    ] {
        Tally::case();
        let other = Shell::new();
        std::fs::copy(
            shell.dir().join("archive.json"),
            other.dir().join("archive.json"),
        )
        .expect("copied");
        let args = [args, &["--create-partitions", "3"]].concat();
        let done = other.run("mq-produce", &args, input);
        assert_eq!(done.status, 0, "{}", done.err);
        assert!(
            done.err.contains("created topic a with 3 partitions"),
            "{}",
            done.err
        );
        for topic in ["a", "b"] {
            assert_eq!(records(&other, topic), records(&shell, topic), "{topic}");
        }
    }
}

/// More topics than are open at once: each record is where it belongs, and the echo is in the order of
/// the input.
#[test]
fn more_topics_than_are_open_at_once() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    let (topics, rounds) = (70, 4);
    let mut input = String::new();
    let mut wanted = String::new();
    for round in 0..rounds {
        for topic in 0..topics {
            let name = format!("t{topic}");
            input.push_str(&format!(
                "{}\n",
                json!({"topic": name, "value": round.to_string()})
            ));
            wanted.push_str(&format!("{name} {round} {round}\n"));
        }
    }
    let args = ["-q", "-J", "--each-topic", "-o", "%t %o %v\\n"];
    let done = shell.run("mq-produce", &args, input.as_bytes());
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(done.text(), wanted);
    for topic in [0, 33, 69] {
        let held = shell.consume_text(&["-e", &format!("t{topic}")]);
        assert_eq!(held, "0\n1\n2\n3\n");
    }
}

#[test]
fn what_names_no_topic_or_an_unknown_one_is_refused_or_counted() {
    let _tally = Tally::start();
    let good = json!({"topic": "a", "value": "1"});
    for (bad, says) in [
        (json!({"value": "2"}), "the record names no topic"),
        (json!({"topic": "", "value": "2"}), "topic: "),
        (json!({"topic": "a/b", "value": "2"}), "topic: "),
        (json!({"topic": "b", "value": "2"}), "there is no topic 'b'"),
        (json!({"topic": 5, "value": "2"}), "topic: "),
    ] {
        for skip in [false, true] {
            Tally::case();
            let shell = Shell::new();
            shell.topics(&["create", "a"]);
            let input = format!("{good}\n{bad}\n{good}\n");
            let mut args = vec!["-J", "--each-topic", "--no-create"];
            args.extend(skip.then_some(["--on-error", "skip"]).iter().flatten());
            let done = shell.run("mq-produce", &args, input.as_bytes());
            assert_eq!(done.status, 1, "{bad}: {}", done.err);
            assert!(done.err.contains(says), "{bad}: {}", done.err);
            assert!(
                done.err.contains("line 2 of standard input"),
                "{bad}: {}",
                done.err
            );
            let counted = if skip {
                "1 record was skipped"
            } else {
                "1 record is acknowledged"
            };
            assert!(done.err.contains(counted), "{bad}: {}", done.err);
            let held = shell.consume_text(&["-e", "a"]);
            assert_eq!(held, if skip { "1\n1\n" } else { "1\n" }, "{bad}");
            assert_eq!(topics(&shell).lines().count(), 1, "{bad}");
        }
    }
}

/// One topic fails: what is acknowledged is counted over all, and the first record that is not is named
/// with its topic.
#[test]
fn a_topic_that_fails_is_named() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "good", "bad"]);
    shell.produce(&["bad"], b"x\n");
    // A directory stands where the log's file has to be.
    let log = shell.logs().join("bad-0/00000000000000000000.log");
    std::fs::remove_file(&log).expect("removed");
    std::fs::create_dir(&log).expect("a directory");
    let mut input = String::new();
    for n in 0..20 {
        let topic = if n == 7 { "bad" } else { "good" };
        input.push_str(&format!(
            "{}\n",
            json!({"topic": topic, "value": n.to_string()})
        ));
    }
    let done = shell.run("mq-produce", &["-J", "--each-topic"], input.as_bytes());
    assert_ne!(done.status, 0);
    assert!(
        done.err
            .contains("the first one that is not is line 8 of standard input (topic bad)"),
        "{}",
        done.err
    );
    let stored = shell.consume_text(&["-e", "good"]).lines().count();
    let counted = format!("{stored} records are acknowledged");
    assert!(done.err.contains(&counted), "{stored}: {}", done.err);
}

/// A record may be as large as its topic allows, though the topic is known only once it is read.
#[test]
fn a_large_record_goes_where_it_is_allowed() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "small"]);
    shell.topics(&["create", "large", "-c", "max.message.bytes=10000000"]);
    let large = "x".repeat(8_000_000);
    let line = |topic: &str| format!("{}\n", json!({"topic": topic, "value": large}));
    let args = ["-J", "--each-topic"];
    shell.produce(&args, line("large").as_bytes());
    let held = shell.consume(&["-e", "-f", "%v", "large"]);
    assert_eq!(held.len(), large.len());
    let done = shell.run("mq-produce", &args, line("small").as_bytes());
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("topic small allows"), "{}", done.err);
}

#[test]
fn a_failed_run_leaves_no_empty_topic() {
    let _tally = Tally::start();
    let shell = Shell::new();
    std::fs::create_dir(shell.dir().join("dir")).expect("a directory");
    let large = "x".repeat(1_500_000);
    let huge = "x".repeat(3_000_000);
    for (args, input) in [
        (&["t", "dir"][..], ""),
        (&["t", "."], ""),
        (&["--whole", "t", "."], ""),
        (&["-K", "=", "t"], "no key\n"),
        (&["-J", "t"], "no JSON\n"),
        (&["-K", "=", "--on-error", "skip", "t"], "no key\n"),
        (&["-p", "1", "t"], "x\n"),
        (&["t"], &large),
        (&["t"], &huge),
        (&["-K", "x", "t"], &large),
        (&["-f", "%k=%v\\n", "t"], "none"),
    ] {
        Tally::case();
        let done = shell.run("mq-produce", args, input.as_bytes());
        assert_eq!(done.status, 1, "{args:?}: {}", done.err);
        assert_eq!(topics(&shell), "", "{args:?}: {}", done.err);
    }
    // The error for a value too large for a new topic says how to fit it.
    Tally::case();
    let done = shell.run("mq-produce", &["t"], large.as_bytes());
    assert!(
        done.err
            .contains("mq-topics create t -c max.message.bytes="),
        "{}",
        done.err
    );
    // A run that has nothing to store is no failure, and its topic is there.
    Tally::case();
    let done = shell.run("mq-produce", &["t"], b"");
    assert_eq!((done.status, done.out.len()), (0, 0), "{}", done.err);
    assert!(
        done.err.contains("created topic t with 1 partition"),
        "{}",
        done.err
    );
    assert!(topics(&shell).contains('t'));
}

#[test]
fn partitions_come_with_the_records_of_an_archive() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "a", "b", "-p", "3"]);
    for topic in ["a", "b"] {
        let input: String = (0..50).map(|n| format!("{topic}{n}={n}\n")).collect();
        shell.produce(&["-K", "=", topic], input.as_bytes());
    }
    let archive = shell.consume(&["-e", "-J", "a", "b"]);
    let restore = ["-J", "--each-topic", "--keep-partition"];
    Tally::case();
    let other = Shell::new();
    let done = other.run("mq-produce", &restore, &archive);
    assert_eq!(done.status, 0, "{}", done.err);
    for topic in ["a", "b"] {
        assert_eq!(records(&other, topic), records(&shell, topic), "{topic}");
    }

    // A topic that was there, or whose partitions were said, keeps their number.
    for (before, option, status) in [
        (&["create", "a", "-p", "2"][..], &[][..], 1),
        (&["create", "c"], &["--create-partitions", "2"], 1),
        (&["create", "a", "b", "-p", "3"], &["--no-create"], 0),
    ] {
        Tally::case();
        let other = Shell::new();
        other.topics(before);
        let done = other.run("mq-produce", &[&restore[..], option].concat(), &archive);
        assert_eq!(done.status, status, "{before:?}: {}", done.err);
        if status == 1 {
            assert!(done.err.contains("partition 2"), "{}", done.err);
        }
    }
    let none = br#"{"topic":"n","partition":2000000000,"value":"x"}"#;
    Tally::case();
    let done = other.run("mq-produce", &restore, none);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(!topics(&other).contains("n\t"), "no empty topic");
}

#[test]
fn only_what_the_run_created_gets_partitions_and_only_for_what_is_stored() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let restore = [
        "-q",
        "-J",
        "--each-topic",
        "--keep-partition",
        "--on-error",
        "skip",
    ];
    let partitions = |topic: &str| {
        let text = shell.ok("mq-topics", &["list", topic, "--format", "json"], b"");
        let row: Value = serde_json::from_slice(&text).expect("JSON");
        row["partitions"].as_i64().expect("a number")
    };
    // A record that is too large adds none.
    Tally::case();
    let big = json!({"topic": "g", "partition": 9, "value": "x".repeat(2_000_000)});
    let input = format!(
        "{}\n{big}\n",
        json!({"topic": "g", "partition": 1, "value": "x"})
    );
    let done = shell.run("mq-produce", &restore, input.as_bytes());
    assert_eq!((done.status, partitions("g")), (1, 2), "{}", done.err);

    // Created again by another process in the middle of the run.
    Tally::case();
    let mut run = shell.start("mq-produce", &[&restore[..], &["-o", "%p\\n"]].concat());
    run.feed(format!("{}\n", json!({"topic": "ex", "partition": 2, "value": "x"})).as_bytes());
    assert!(run.out.until(crate::cli::TIMEOUT, |out| out == b"2\n"));
    shell.topics(&["delete", "ex", "--yes"]);
    shell.topics(&["create", "ex"]);
    run.feed(format!("{}\n", json!({"topic": "ex", "partition": 4, "value": "x"})).as_bytes());
    run.close_stdin();
    let done = run.end();
    assert_eq!((done.status, partitions("ex")), (1, 1), "{}", done.err);

    // Several at once: each record is stored, or its run says that the topic lacks the partition.
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let mut run = shell.start("mq-produce", &restore);
            let line = json!({"topic": "at-once", "partition": 3, "value": "x"});
            run.feed(format!("{line}\n").as_bytes());
            run.close_stdin();
            run
        })
        .collect();
    let mut stored = 0;
    for run in runs {
        Tally::case();
        let done = run.end();
        if done.status == 0 {
            stored += 1;
        } else {
            assert!(done.err.contains("has no partition 3"), "{}", done.err);
        }
    }
    assert!(stored >= 1);
    assert_eq!(shell.consume(&["-e", "at-once"]), b"x\n".repeat(stored));
}
