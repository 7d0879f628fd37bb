//! What is said of damaged topic files and logs, and of groups whose log was cut.

use serde_json::Value;

use crate::cli::Shell;
use crate::tally::Tally;

/// One damaged topic file is reported by every command that reads all topics, and harms no other topic.
#[test]
fn a_bad_topic_file_harms_no_other_topic() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "bad", "good", "going"]);
    shell.produce(&["good"], b"a\n");
    shell.consume(&["-e", "-g", "g", "bad", "good"]);
    shell.consume(&["-e", "-g", "h", "good"]);
    let mut broker = None;
    for with_broker in [false, true] {
        std::fs::write(shell.store().join("topics/bad.json"), "{").expect("damaged");
        if with_broker {
            let started = shell.start("mq-broker", &["start"]);
            started.says(" ready: ");
            broker = Some(started);
        }
        for args in [
            &["list"][..],
            &["list", "--sizes"],
            &["describe"],
            &["verify"],
        ] {
            Tally::case();
            let done = shell.run("mq-topics", args, b"");
            assert_eq!(done.status, 65, "{args:?}: {}", done.err);
            assert!(
                done.err.contains("topics/bad.json"),
                "{args:?}: {}",
                done.err
            );
            assert!(done.text().contains("good"), "{args:?}: {}", done.text());
        }
        for (tool, args) in [
            ("mq-topics", &["list", "go*"][..]),
            ("mq-topics", &["describe", "good"]),
            ("mq-topics", &["verify", "--deep", "good"]),
            ("mq-topics", &["offsets", "good"]),
            ("mq-topics", &["create", "new", "--like", "good"]),
            ("mq-topics", &["alter", "new", "--partitions", "2"]),
            ("mq-topics", &["delete", "new", "--yes"]),
            ("mq-produce", &["good"]),
            ("mq-produce", &["made"]),
            ("mq-consume", &["-e", "good"]),
            ("mq-consume", &["-e", "go*"]),
            ("mq-consume", &["-e", "-g", "g", "good"]),
            ("mq-groups", &["list"]),
            (
                "mq-groups",
                &["reset", "g", "--to", "start", "--topic", "good", "--yes"],
            ),
            ("mq-groups", &["commit", "g", "good:0=1"]),
            ("mq-groups", &["check", "h", "--warn", "10"]),
            ("mq-broker", &["locks"]),
        ] {
            Tally::case();
            let done = shell.run(tool, args, b"b\n");
            assert_eq!(done.status, 0, "{tool} {args:?}: {}", done.err);
            assert!(!done.err.contains("bad"), "{tool} {args:?}: {}", done.err);
        }
        Tally::case();
        let done = shell.run("mq-topics", &["delete", "bad", "made", "--yes"], b"");
        assert_eq!(done.status, 0, "{}", done.err);
        assert!(done.err.contains("the file is kept as"), "{}", done.err);
        let listed = shell.run("mq-topics", &["list"], b"");
        assert_eq!(listed.status, 0, "{}", listed.err);
        let listed = listed.text();
        assert!(
            listed.contains("good") && !listed.contains("made"),
            "{listed}"
        );
    }
    if let Some(broker) = broker {
        shell.ok("mq-broker", &["stop"], b"");
        assert_eq!(broker.end().status, 0);
    }
}

fn describe(shell: &Shell) -> (Value, String) {
    let done = shell.run("mq-groups", &["describe", "g", "--format", "json"], b"");
    assert_eq!(done.status, 0, "{}", done.err);
    (serde_json::from_slice(&done.out).expect("JSON"), done.err)
}

/// A repair to which somebody said yes beforehand tells in one line what it did.
#[test]
fn a_repair_is_reported_once() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let first = std::fs::metadata(&log).expect("a log").len();
    shell.produce(&["t"], b"b\n");
    shell.produce(&["t"], b"c\nd\n");
    let clean = shell.run("mq-topics", &["verify", "t"], b"");
    assert_eq!((clean.status, clean.err.as_str()), (0, ""));
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[first as usize + 66] ^= 1;
    std::fs::write(&log, bytes).expect("damaged");

    Tally::case();
    let lost = "ends at offset 1 instead of 4: 3 offsets are cut, 2 undamaged records behind the damage \
                among them";
    let dry = ["verify", "t", "--repair", "truncate", "--dry-run"];
    let plan = shell.run("mq-topics", &dry, b"");
    assert_eq!(plan.status, 65, "{}", plan.err);
    assert!(plan.err.contains(&format!("t:0 {lost}")), "{}", plan.err);

    Tally::case();
    let yes = [
        "verify", "t", "--repair", "truncate", "--yes", "--format", "tsv",
    ];
    let done = shell.run("mq-topics", &yes, b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    let (row, size) = (done.text(), first.to_string());
    let cells: Vec<&str> = row.trim_end().split('\t').collect();
    assert_eq!(
        cells[..7],
        ["t", "0", "repaired", "2", "1", "1", &size],
        "{row}"
    );
    assert!(row.contains("; the log ends at offset 1\t"), "{row}");
    let said = format!("t:0 is repaired: {lost}");
    assert!(done.err.contains(&said), "{}", done.err);
    let (_, cut) = done
        .err
        .split_once("mq-topics dump --file ")
        .expect("a command");
    assert!(cut.trim_end().ends_with(".cut"), "{cut}");
    let args = ["dump", "--file", cut.trim_end(), "--format", "tsv"];
    let dumped = shell.run("mq-topics", &args, b"");
    assert_eq!(dumped.text().lines().count(), 2, "{}", dumped.text());

    // Behind a header that is damaged, too.
    Tally::case();
    let mut bytes = std::fs::read(cut.trim_end()).expect("the cut part");
    bytes[16] = 9;
    std::fs::write(shell.dir().join("part"), bytes).expect("a copy");
    let args = ["dump", "--file", "part", "--format", "tsv"];
    let dumped = shell.run("mq-topics", &args, b"");
    assert_eq!(dumped.status, 65, "{}", dumped.err);
    assert_eq!(dumped.text().lines().count(), 1, "{}", dumped.text());

    // A cut file belongs to no topic that could be verified; in a table, too, damage has a word.
    Tally::case();
    let mut bytes = std::fs::read(cut.trim_end()).expect("the cut part");
    bytes[70] ^= 1;
    std::fs::write(shell.dir().join("part.cut"), &bytes).expect("a copy");
    let args = ["dump", "--file", "part.cut", "--format", "table"];
    let dumped = shell.run("mq-topics", &args, b"");
    assert_eq!(dumped.status, 65, "{}", dumped.err);
    assert!(!dumped.err.contains("verify --deep"), "{}", dumped.err);
    assert!(dumped.text().contains(" false"), "{}", dumped.text());
}

/// A group that stands beyond the end: its log lost records.
#[test]
fn the_lag_of_a_group_beyond_the_end_is_unknown() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-c", "flush.messages=never"]);
    shell.produce(&["t"], b"a\n");
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let first = std::fs::metadata(&log).expect("a log").len();
    shell.produce(&["t"], b"b\nc\n");
    shell.consume(&["-e", "-g", "g", "t"]);
    let (seen, err) = describe(&shell);
    assert_eq!(
        (&seen["offsets"][0]["lag"], err.as_str()),
        (&Value::from(0), "")
    );

    Tally::case();
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[first as usize + 66] ^= 1;
    std::fs::write(&log, bytes).expect("damaged");
    shell.ok(
        "mq-topics",
        &["verify", "t", "--repair", "truncate", "--deep", "--yes"],
        b"",
    );
    let (seen, err) = describe(&shell);
    let row = &seen["offsets"][0];
    assert_eq!(row["committed_offset"], 3, "{row}");
    assert_eq!(row["high_watermark"], 1, "{row}");
    assert!(
        row["lag"].is_null() && row["lag_seconds"].is_null(),
        "{row}"
    );
    // The point, and not the end: that moves on with each record that comes meanwhile.
    let cure = "'mq-groups reset g --to 1 --topic t:0'";
    assert!(err.contains(cure), "{err}");
    let table = shell.run("mq-groups", &["describe", "g", "--format", "tsv"], b"");
    assert!(
        table.text().starts_with("g\tt\t0\t3\t0\t1\t-\t-\t"),
        "{}",
        table.text()
    );

    // A wait names the way out, and a check does not take it for a small lag.
    let late = ["wait", "g", "--timeout", "100ms"];
    let late = shell.run("mq-groups", &late, b"");
    assert_eq!(late.status, 75, "{}", late.err);
    assert!(!late.err.contains("mq-consume -g"), "{}", late.err);
    assert!(late.err.contains("shows the reset"), "{}", late.err);
    let checked = shell.run("mq-groups", &["check", "g", "--critical", "5"], b"");
    assert_eq!(checked.status, 3, "{}", checked.text());
    let begins = "GROUPS UNKNOWN - g: the lag of t:0 is not known: the committed offset is beyond";
    assert!(checked.text().starts_with(begins), "{}", checked.text());

    // Records that came behind the cut are not passed over, though the log is still shorter.
    shell.produce(&["t"], b"new\n");
    let (_, err) = describe(&shell);
    assert!(err.contains(cure), "{err}");
    let refused = shell.run("mq-consume", &["-e", "-g", "g", "t"], b"");
    assert!(refused.err.contains(cure), "{}", refused.err);

    // So does a skip.
    let refused = shell.run("mq-groups", &["skip", "g", "t:0", "--yes"], b"");
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains(cure), "{}", refused.err);

    // The reader says the same, and the cure cures.
    let refused = shell.run("mq-consume", &["-e", "-g", "g", "t"], b"");
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains(cure), "{}", refused.err);
    shell.ok(
        "mq-groups",
        &["reset", "g", "--to", "end", "--topic", "t:0", "--yes"],
        b"",
    );
    shell.produce(&["t"], b"d\n");
    let (seen, err) = describe(&shell);
    assert_eq!(
        (&seen["offsets"][0]["lag"], err.as_str()),
        (&Value::from(1), "")
    );
    assert_eq!(shell.consume_text(&["-e", "-g", "g", "t"]), "d\n");
}
