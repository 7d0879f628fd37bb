//! Copies that keep partitions, into topics that lack them; copies of what was stored compressed.

use crate::cli::Shell;
use crate::tally::Tally;

fn filled(topic: &str, partitions: &str) -> (Shell, Vec<u8>) {
    let shell = Shell::new();
    shell.topics(&["create", topic, "-p", partitions]);
    let lines: String = (0..9).map(|n| format!("{n}\n")).collect();
    shell.produce(&[topic], lines.as_bytes());
    let copy = shell.consume(&["-J", "-e", topic]);
    (shell, copy)
}

/// The command that a cure names, between its quotes.
fn advised(err: &str) -> Vec<&str> {
    let (_, advice) = err.split_once("'mq-topics ").expect(err);
    let (advice, _) = advice.split_once('\'').expect(err);
    advice.split_whitespace().collect()
}

#[test]
fn a_copy_into_a_missing_topic_says_how_it_is_made() {
    let _tally = Tally::start();
    let (shell, copy) = filled("a", "3");
    let keep = ["-J", "--keep-partition", "b"];
    // Nothing is stored, though the first record fits.
    Tally::case();
    let done = shell.run("mq-produce", &keep, &copy);
    assert_eq!(done.status, 1, "{}", done.err);
    assert_eq!(advised(&done.err), ["create", "b", "--like", "a"]);
    assert!(!shell.store().join("topics/b.json").exists());
    shell.topics(&advised(&done.err));
    shell.produce(&keep, &copy);
    let by = |topic| crate::cli::by_partition(&shell.consume_text(&["-J", "-e", topic]));
    let counts = |topic| {
        by(topic)
            .into_values()
            .map(|all| all.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(counts("b"), counts("a"));

    // Where the other is not in this store, the partitions are asked for.
    let other = Shell::new();
    let last = copy.split(|b| *b == b'\n').find(|line| {
        let line = String::from_utf8_lossy(line);
        line.contains("\"partition\":2")
    });
    Tally::case();
    let done = other.run("mq-produce", &keep, last.expect("a record"));
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(
        done.err.contains("'mq-topics create b -p N'"),
        "{}",
        done.err
    );
    assert!(
        done.err
            .contains("b would be created with 1 partition, not with partition 2"),
        "{}",
        done.err
    );

    // Who says how many is believed.
    Tally::case();
    let asked = ["-J", "--keep-partition", "--create-partitions", "1", "c"];
    let first = copy.split_inclusive(|b| *b == b'\n').find(|line| {
        let line = String::from_utf8_lossy(line);
        line.contains("\"partition\":0")
    });
    shell.produce(&asked, first.expect("a record"));
}

#[test]
fn a_copy_into_a_topic_with_fewer_partitions_says_how_to_add_them() {
    let _tally = Tally::start();
    let (shell, copy) = filled("a", "3");
    shell.topics(&["create", "b"]);
    let keep = ["-J", "--keep-partition", "b"];
    Tally::case();
    let done = shell.run("mq-produce", &keep, &copy);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("b has no partition 1"), "{}", done.err);
    assert!(
        done.err
            .contains("it has 1 partition; add some, as many as a has"),
        "{}",
        done.err
    );
    assert_eq!(advised(&done.err), ["alter", "b", "--partitions", "3"]);
    shell.topics(&advised(&done.err));
    shell.produce(&keep, &copy);
    // Without another topic to go by: enough for this record.
    Tally::case();
    let done = shell.run("mq-produce", &keep, b"{\"value\":\"x\",\"partition\":7}\n");
    assert_eq!(advised(&done.err), ["alter", "b", "--partitions", "8"]);
    // One that is named on the command line is no copy.
    Tally::case();
    let done = shell.run("mq-produce", &["-p", "7", "b"], b"x\n");
    assert!(
        done.err.contains("0 to 2") && !done.err.contains("alter"),
        "{}",
        done.err
    );
}

#[test]
fn what_was_stored_compressed_is_copied_as_json() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for topic in ["a", "b"] {
        shell.ok(
            "mq-topics",
            &["create", topic, "-c", "compression.type=zstd"],
            b"",
        );
    }
    let mut big = vec![b'x'; 20_000_000];
    big.extend(b"\"\x01\xff");
    std::fs::write(shell.dir().join("big"), &big).expect("written");
    shell.ok("mq-produce", &["--whole", "a", "big"], b"");
    let copy = shell.ok("mq-consume", &["-J", "-e", "a"], b"");
    shell.produce(&["-J", "b"], &copy);
    Tally::case();
    assert!(shell.consume(&["-e", "-f", "%v", "b"]) == big);
}
