//! `mq-topics stats`: what it counts, by what, and what it leaves out.

use crate::cli::Shell;
use crate::tally::Tally;

/// Three partitions of `t`, with keys, headers, a null value and times of two hours.
fn filled() -> Shell {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "3"]);
    let first = r#"{"key":"a","value":"12345","timestamp":1700000000000}
{"key":"a","value":"1","timestamp":1700000001000}
"#;
    let second = r#"{"key":"bb","value":"a long value of 26 bytes..","timestamp":1700003600000}
{"key":"a","value":null,"timestamp":1700003600001}
{"value":"no key","timestamp":1700003600002,"headers":[["h","123"]]}
"#;
    shell.produce(&["-J", "-p", "0", "t"], first.as_bytes());
    shell.produce(&["-J", "-p", "1", "t"], second.as_bytes());
    shell
}

fn rows(shell: &Shell, args: &[&str]) -> String {
    let args = [&["stats"], args, &["--format", "tsv"]].concat();
    String::from_utf8(shell.ok("mq-topics", &args, b"")).expect("text")
}

#[test]
fn records_are_counted_by_each_grouping() {
    let _tally = Tally::start();
    let shell = filled();
    for (args, expected) in [
        (&["t"][..], "t\t0\t2\t8\nt\t1\t3\t39\nt\t2\t0\t0\n"),
        (
            &["t", "--by", "partition"],
            "t\t0\t2\t8\nt\t1\t3\t39\nt\t2\t0\t0\n",
        ),
        (&["t:1", "--by", "partition"], "t\t1\t3\t39\n"),
        // The most bytes first; without a key last among equals.
        (
            &["t", "--by", "key"],
            "bb\t1\t28\t0\n-\t1\t10\t0\na\t3\t9\t0\n",
        ),
        (&["t", "--by", "key", "-n", "1"], "bb\t1\t28\t0\n"),
        (
            &["t", "--by", "hour"],
            "1699999200000\t2\t8\t0\n1700002800000\t3\t39\t0\n",
        ),
        (
            &["t", "--by", "minute"],
            "1699999980000\t2\t8\t0\n1700003580000\t3\t39\t0\n",
        ),
        (
            &["t", "--by", "size"],
            "1\t1\t1\n2\t1\t2\n4\t1\t6\n8\t1\t10\n16\t1\t28\n",
        ),
        (
            &["t", "-o", "@1700003600000:"],
            "t\t0\t0\t0\nt\t1\t3\t39\nt\t2\t0\t0\n",
        ),
        (&["t:0", "t:1", "-o", "1:2"], "t\t0\t1\t2\nt\t1\t1\t1\n"),
    ] {
        Tally::case();
        assert_eq!(rows(&shell, args), expected, "{args:?}");
    }
}

#[test]
fn a_table_has_bars_and_says_what_it_leaves_out() {
    let _tally = Tally::start();
    Tally::case();
    let shell = filled();
    let done = shell.run("mq-topics", &["stats", "t", "--by", "key", "-n", "2"], b"");
    let lines: Vec<String> = done.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let bar = |line: &String| line.chars().filter(|c| *c == '#').count();
    assert_eq!((bar(&lines[1]), bar(&lines[2])), (30, 10), "{lines:?}");
    assert!(!lines[0].contains("MISSED"), "{}", lines[0]);
    assert!(done.err.contains("1 more: --limit N"), "{}", done.err);
}

#[test]
fn bad_input_is_named_and_the_rest_is_counted() {
    let _tally = Tally::start();
    let shell = filled();
    for (args, status, says) in [
        (&["stats", "t", "-o", "stored:"][..], 2, "a topic has none"),
        (
            &["stats", "t", "--by", "colour"],
            2,
            "[possible values: key, hour",
        ),
        (&["stats"], 2, "required"),
        (&["stats", "nope", "t"], 1, "there is no topic 'nope'"),
        (&["stats", "t", "-o", "99:"], 1, "OFFSET_OUT_OF_RANGE"),
    ] {
        Tally::case();
        let done = shell.run("mq-topics", args, b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
    }
    Tally::case();
    // One flipped byte in partition 0: 65, and the other partitions are counted.
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("a log");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let done = shell.run("mq-topics", &["stats", "t", "--format", "tsv"], b"");
    assert_eq!(done.status, 65, "{}", done.err);
    assert!(done.text().contains("t\t1\t3\t39\n"), "{}", done.text());
}
