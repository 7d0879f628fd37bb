//! What is said when something is not as it should be.

use std::os::unix::fs::MetadataExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Shell;
use crate::tally::Tally;

/// A range that leaves nothing to read is most likely not what was meant.
#[test]
fn an_empty_range_is_noted() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    shell.topics(&["create", "none"]);
    shell.produce(&["t"], b"a\nb\nc\nd\n");
    for (args, noted) in [
        (&["-o", "end:-1", "t"][..], true),
        (&["-e", "-o", "end:-1", "t"], true),
        (&["-o", "1:1", "t"], true),
        (&["-o", "@2020-01-01:@2020-01-02", "t"], true),
        (&["-o", "0=end:-1", "t"], true),
        (&["-q", "-o", "end:-1", "t"], false),
        (&["-o", "0=end:-1,1=0:1", "t"], false),
        (&["-o", "1:2", "t"], false),
        (&["-e", "-o", "end", "t"], false),
        (&["-o", "start:end", "none"], false),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", args, b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        let note = "mq-consume: nothing to read: the range given with -o is empty\n";
        assert_eq!(done.err, if noted { note } else { "" }, "{args:?}");
    }
}

/// A pattern that nothing matches is most likely mistyped; it may be meant for what comes, too.
#[test]
fn a_wait_for_topics_that_match_is_noted_once() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["other"], b"x\n");
    for (args, noted) in [
        (&["nope*"][..], true),
        (&["-r", "no|nope.*"], true),
        (&["--wait", "nope*"], true),
        (&["-e", "--wait", "nope*"], true),
        (&["-g", "g", "nope*"], true),
        (&["-g", "g", "-e", "--wait", "nope*"], true),
        (&["-q", "nope*"], false),
        (&["-q", "-g", "g", "nope*"], false),
        (&["--wait", "nope"], false),
        (&["o*", "nope*"], true),
    ] {
        Tally::case();
        let done = shell.run(
            "mq-consume",
            &[args, &["--idle-timeout", "300ms"]].concat(),
            b"",
        );
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        let times = usize::from(noted);
        assert_eq!(
            done.err.matches("no topic matches 'no").count(),
            times,
            "{args:?}: {}",
            done.err
        );
        assert_eq!(
            done.err.matches("waiting for one").count(),
            times,
            "{args:?}: {}",
            done.err
        );
    }
    for args in [
        &["-c", "0", "nope*"][..],
        &["-o", ":5", "nope*"],
        &["-e", "nope*"],
    ] {
        Tally::case();
        let done = shell.run("mq-consume", args, b"");
        assert!(!done.err.contains("waiting"), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_missing_topic_can_be_waited_for() {
    let shell = Shell::new();
    shell.produce(&["orders"], b"x\n");
    for (args, near) in [
        (&["-e", "ordres"][..], "did you mean orders? --wait waits"),
        (&["-g", "g", "ordres"], "did you mean orders? --wait waits"),
        (&["zebra"], "shows the topics; --wait waits"),
        (&["o*", "zebra"], "shows the topics; --wait waits"),
    ] {
        let done = shell.run("mq-consume", args, b"");
        assert_eq!(done.status, 1, "{args:?}");
        assert!(done.err.contains(near), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_topic_that_is_made_is_named_in_full() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for args in [["create", "t*"], ["create", "a/b"], ["describe", "a/b"]] {
        Tally::case();
        let done = shell.run("mq-topics", &args, b"");
        assert_eq!(done.status, 2, "{args:?}: {}", done.err);
    }
}

/// One damaged topic file is told of by whoever looks at all topics, and harms no other topic.
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
fn a_repair_is_told_once() {
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

#[test]
fn whoever_syncs_a_groups_offsets_is_shown() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-groups", &["commit", "g", "t:0=1"], b"");
    let inode = std::fs::metadata(shell.store().join("groups/g/offsets.log"))
        .expect("a log")
        .ino();
    let lock = format!("groups/g/offsets.{inode}.sync");
    let file = std::fs::File::open(shell.store().join(&lock)).expect("made by the commit");
    let locks = || {
        let out = shell.ok("mq-broker", &["locks", "--format", "json"], b"");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(locks(), "");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    let row: Value = serde_json::from_str(locks().trim_end()).expect("one row");
    assert_eq!((&row["lock"], &row["of"]), (&"sync".into(), &"g".into()));
    assert_eq!(
        row["pids"],
        serde_json::json!([std::process::id()]),
        "{row}"
    );
}

#[test]
fn a_members_lock_names_its_host() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let member = shell.start("mq-consume", &["-g", "g", "t"]);
    member.says("a\n");
    let locks = shell.ok("mq-broker", &["locks", "--format", "json"], b"");
    let locks = String::from_utf8(locks).expect("text");
    let row: Value = locks
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|row: &Value| row["lock"] == "member")
        .expect("a member");
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    assert_eq!(row["host"], host, "{row}");
    assert_eq!(row["pids"], serde_json::json!([member.child.id()]), "{row}");
    member.signal(Signal::INT);
    assert_eq!(member.end().status, 130);
}

#[test]
fn a_deleted_topic_is_told_with_a_cure() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let follower = shell.start("mq-consume", &["t"]);
    follower.says("a\n");
    shell.topics(&["delete", "--yes", "t"]);
    let done = follower.end();
    assert_eq!(done.status, 1, "{}", done.err);
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.err);
    assert!(lines[0].contains("t:0 was deleted"), "{}", done.err);
    assert!(lines[1].contains("mq-topics list"), "{}", done.err);
}

/// What a newcomer mistypes, and what is said: a part of each line.
#[test]
fn mistakes_are_met_with_what_to_do() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["orders"], b"a\n");
    for (tool, args, status, said) in [
        (
            "mq-consume",
            &["-t", "orders"][..],
            2,
            "topics are named without an option",
        ),
        (
            "mq-consume",
            &["orders", "--from-beginning"],
            2,
            "begins at the start",
        ),
        (
            "mq-consume",
            &["-c", "x", "orders"],
            2,
            "expected a whole number from 0",
        ),
        (
            "mq-consume",
            &["-c", "99999999999999999999", "orders"],
            2,
            "it is too large",
        ),
        ("mq-consume", &["-e", "zz*"], 1, "no topic matches 'zz*'"),
        (
            "mq-consume",
            &["-e", "-r", "z|y"],
            1,
            "no topic matches 'z|y'",
        ),
        (
            "mq-consume",
            &["-e", "orders", "--grep", "["],
            2,
            "expression: unclosed",
        ),
        (
            "mq-consume",
            &["-e", "ord*", "order"],
            1,
            "did you mean orders?",
        ),
        (
            "mq-produce",
            &["-p", "x", "orders"],
            2,
            "expected a whole number from 0",
        ),
        (
            "mq-produce",
            &["-J", "orders"],
            1,
            "as mq-consume -J prints it",
        ),
        (
            "mq-produce",
            &["orders", "."],
            1,
            "Is a directory\n            name a file\n",
        ),
        ("mq-topics", &["list", "orde"], 1, "did you mean orders?"),
        (
            "mq-topics",
            &["dump", "--file", "x.log"],
            1,
            "directory\n           name a segment file",
        ),
        (
            "mq-broker",
            &["start", "--log-dir", "elsewhere"],
            1,
            "its log directory stays there",
        ),
        (
            "mq-topics",
            &["create", "t", "-c", "flush.messages=1", "-c", "flush.ms=9"],
            2,
            "--unset flush.ms",
        ),
        (
            "mq-topics",
            &["create", "t", "--replication-factor", "3"],
            1,
            "INVALID_REPLICATION_FACTOR: 3 replicas need as many live brokers, and only broker 0 can take one now",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"no JSON\n");
        assert_eq!(done.status, status, "{tool} {args:?}: {}", done.err);
        assert!(done.err.contains(said), "{tool} {args:?}: {}", done.err);
        assert!(
            !done.err.contains("os error"),
            "{tool} {args:?}: {}",
            done.err
        );
    }
    assert!(!shell.dir().join("elsewhere").exists());
    for (partitions, detail) in [
        ("2", "from 1 to 2 partitions"),
        ("4", "from 1 to 4 partitions"),
    ] {
        Tally::case();
        let args = [
            "alter",
            "orders",
            "--partitions",
            partitions,
            "--dry-run",
            "--format",
            "tsv",
        ];
        let plan = shell.ok("mq-topics", &args, b"");
        let expected = format!("orders\tadd partitions\t{detail}\n");
        assert_eq!(String::from_utf8(plan).expect("text"), expected);
    }
}

/// Options of later versions get no tip that means something else, and refused text is quoted as
/// it was given.
#[test]
fn what_is_refused_is_told_plainly() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args, said, unsaid) in [
        (
            "mq-consume",
            &["--merge", "t"][..],
            "in this version",
            "--regex",
        ),
        (
            "mq-consume",
            &["--segment", "x", "t"],
            "in this version",
            "--grep",
        ),
        (
            "mq-broker",
            &["start", "--listen", "x"],
            "in this version",
            "--store",
        ),
        ("mq-produce", &["--follow", "f", "t"], "tail -F", "--color"),
        (
            "mq-topics",
            &["create", "--replicas", "1", "t"],
            "create -r N",
            "-- --replicas",
        ),
        ("mq-consume", &["-f", "%q\\n", "t"], "'%q\\n'", "\\\\"),
        (
            "mq-consume",
            &["-f", "\\x41\\x4", "t"],
            "unknown escape",
            "not a format",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{args:?}: {}", done.err);
        let head = done.err.split("the escapes are").next().unwrap_or_default();
        assert!(head.contains(said), "{args:?}: {}", done.err);
        assert!(!head.contains(unsaid), "{args:?}: {}", done.err);
    }
}

#[test]
fn what_is_too_large_says_which_limit_to_raise() {
    let _tally = Tally::start();
    let big = vec![b'x'; 3_000_000];
    let lines = [&big[..], b"\n"].concat();
    let json = [b"{\"value\":\"", &big[..], b"\"}\n"].concat();
    let segment = ["segment.bytes=2000", "max.message.bytes=3100000"];
    for (args, input, configs, twice) in [
        (&["--whole", "t", "big"][..], &b""[..], &[][..], false),
        (&["--whole", "t"], &big, &[], false),
        (&["t"], &lines, &[], true),
        (&["-J", "t"], &json, &[], true),
        (&["-f", "%v\\n", "t"], &lines, &[], true),
        (
            &["-K", "=", "--on-missing-key", "null", "t"],
            &lines,
            &[],
            true,
        ),
        (&["t"], &lines, &segment, true),
    ] {
        Tally::case();
        let shell = Shell::new();
        std::fs::write(shell.dir().join("big"), &big).expect("written");
        let configs: Vec<&str> = configs.iter().flat_map(|one| ["-c", one]).collect();
        shell.ok("mq-topics", &[&["create", "t"], &configs[..]].concat(), b"");
        // The advice holds, taken word for word; where the size is not known yet, more than once.
        let mut rounds = 0;
        loop {
            let done = shell.run("mq-produce", args, input);
            if done.status == 0 {
                break;
            }
            rounds += 1;
            assert!(
                rounds <= if twice { 11 } else { 1 },
                "{args:?}: {}",
                done.err
            );
            assert_eq!(done.status, 1, "{args:?}: {}", done.err);
            let names_line = done.err.contains("stopped at line ");
            assert_eq!(names_line, args[0] != "--whole", "{args:?}: {}", done.err);
            let (_, advice) = done.err.split_once("'mq-topics ").expect("advice");
            let (advice, _) = advice.split_once('\'').expect("advice");
            let words: Vec<&str> = advice.split_whitespace().collect();
            shell.ok("mq-topics", &words, b"");
        }
        assert!(rounds > 0, "{args:?}");
        assert_eq!(shell.consume(&["-e", "t"]).len(), big.len() + 1);
    }
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
