//! What changes nothing: history, peek, check, verify.

use std::fs;

use super::shop::{groups, shop};
use crate::tally::Tally;

#[test]
fn the_history_shows_all_of_it() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    shell.ok("mq-consume", &["-g", "g", "-e", "u"], b"");
    groups(&shell, &["delete-offsets", "g", "--topic", "t:0", "--yes"]);
    groups(&shell, &["undo", "g", "--yes"]);
    groups(&shell, &["delete", "g", "--yes"]);
    let tsv = groups(&shell, &["history", "g", "--format", "tsv"]);
    let rows: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    let reported: Vec<String> = rows
        .iter()
        .map(|row| [row[1], row[3], row[4], row[5]].join(" "))
        .collect();
    for (at, row) in ["reset t 0 3", "reset t 1 4", "reset u 0 5"]
        .iter()
        .enumerate()
    {
        assert_eq!(reported[at], *row, "{tsv}");
    }
    assert!(reported.contains(&"commit u 0 10".to_owned()), "{tsv}");
    let last = &reported[reported.len() - 3..];
    assert_eq!(
        last,
        ["delete-offsets t 0 -", "undo t 0 3", "delete - - -"],
        "{tsv}"
    );
    assert!(
        rows.iter().all(|row| row[0].parse::<i64>().is_ok()),
        "{tsv}"
    );
    let member = rows
        .iter()
        .find(|row| row[1] == "commit")
        .expect("a commit");
    assert_eq!(member[2].len(), 22, "a member's id: {tsv}");
    let json = groups(&shell, &["history", "g", "--format", "json"]);
    let first: serde_json::Value =
        serde_json::from_str(json.lines().next().expect("a line")).expect("json");
    assert_eq!(
        (&first["kind"], &first["offset"]),
        (&"reset".into(), &3.into())
    );
}

#[test]
fn peek_shows_where_a_group_is() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["commit", "g", "t:1=10", "u:0=0"]);
    for (args, expected) in [
        (
            &["peek", "g", "--topic", "t:0"][..],
            "t 0 2 read t0-2\nt 0 3 next t0-3\n",
        ),
        (
            &["peek", "g", "--topic", "t:0", "-B", "2", "-A", "2"],
            "t 0 1 read t0-1\nt 0 2 read t0-2\nt 0 3 next t0-3\nt 0 4 unread t0-4\n",
        ),
        (&["peek", "g", "--topic", "t:1"], "t 1 9 read t1-9\n"),
        (&["peek", "g", "--topic", "u"], "u 0 0 next u0-0\n"),
        (
            &["peek", "g", "-B", "0"],
            "t 0 3 next t0-3\nu 0 0 next u0-0\n",
        ),
        (&["peek", "g", "-B", "0", "-A", "0"], ""),
        (
            &["peek", "g", "--topic", "t:0", "-B", "99", "-A", "0"],
            "t 0 0 read t0-0\nt 0 1 read t0-1\nt 0 2 read t0-2\n",
        ),
    ] {
        Tally::case();
        let tsv = groups(&shell, &[args, &["--format", "tsv"]].concat());
        let reported: String = tsv
            .lines()
            .map(|line| {
                let row: Vec<&str> = line.split('\t').collect();
                format!("{} {} {} {} {}\n", row[1], row[2], row[3], row[4], row[7])
            })
            .collect();
        assert_eq!(reported, expected, "{args:?}");
    }
    Tally::case();
    assert_eq!(
        groups(&shell, &["peek", "g", "--topic", "t:0", "-f", "%o %v|"]),
        "2 t0-2|3 t0-3|"
    );
    let json = groups(&shell, &["peek", "g", "--topic", "t:0", "-B", "0", "-J"]);
    let record: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!(
        (&record["offset"], &record["value"]),
        (&3.into(), &"t0-3".into())
    );
}

#[test]
fn check_speaks_nagios() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["commit", "h", "t:0=10"]);
    // g lags by 7 + 6 + 5, and its oldest unread record is some seconds old at most.
    for (args, status, begins) in [
        (
            &["g", "--warn", "18", "--critical", "20"][..],
            0,
            "GROUPS OK - 1 group, largest lag 18 records | 'g lag'=18;18;20;0 'g lag time'=",
        ),
        (
            &["g", "--warn", "17", "--critical", "18"],
            1,
            "GROUPS WARNING - g: Empty, 0 members, lag 18 records",
        ),
        (
            &["g", "--warn", "5", "--critical", "17"],
            2,
            "GROUPS CRITICAL - g: ",
        ),
        (&["g", "--critical", "17"], 2, "GROUPS CRITICAL - g: "),
        (
            &["g", "--warn", "1h", "--critical", "2h"],
            0,
            "GROUPS OK - ",
        ),
        (
            &["g", "--warn", "10", "--critical", "2h"],
            1,
            "GROUPS WARNING - ",
        ),
        (&["--warn", "17"], 1, "GROUPS WARNING - 1 of 2 groups: g | "),
        (
            &["h", "--warn", "0", "--critical", "0"],
            0,
            "GROUPS OK - 1 group, largest lag 0 records | 'h lag'=0;0;0;0 'h lag time'=0s;;;0\n",
        ),
        (
            &["nobody", "--warn", "5"],
            3,
            "GROUPS UNKNOWN - nobody: GROUP_ID_NOT_FOUND",
        ),
        (
            &["nobody", "g", "--critical", "5"],
            2,
            "GROUPS CRITICAL - 1 of 2 groups: g | ",
        ),
        (
            &["g", "--warn", "x"],
            3,
            "GROUPS UNKNOWN - 'x' is not a lag",
        ),
        (
            &["g", "--warn", "9", "--critical", "8"],
            3,
            "GROUPS UNKNOWN - --warn is above",
        ),
        (
            &["--store", "/nowhere/at/all", "--warn", "9"],
            3,
            "GROUPS UNKNOWN - ",
        ),
        (&["g"], 3, ""),
        (&["g", "--no-such-option"], 3, ""),
    ] {
        Tally::case();
        let done = shell.run("mq-groups", &[&["check"], args].concat(), b"");
        assert_eq!(
            done.status,
            status,
            "{args:?}: {} {}",
            done.text(),
            done.err
        );
        assert!(done.text().starts_with(begins), "{args:?}: {}", done.text());
        let lines = done
            .text()
            .lines()
            .filter(|line| line.contains('|'))
            .count();
        assert!(lines <= 1, "performance data once: {}", done.text());
    }
    // Its text cannot be written: what was found stays, and nothing becomes a warning.
    for (args, status) in [
        ("g --critical 17", 2),
        ("g --warn 17 --critical 18", 1),
        ("g --warn 1h", 3),
        ("nobody --warn 5", 3),
        ("g --warn x", 3),
    ] {
        Tally::case();
        let mut command = std::process::Command::new("sh");
        let line = format!("\"$0\" check {args} > /dev/full");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_mq-groups")]);
        command.env("MQ_STORE", shell.store());
        let done = crate::cli::run(command, b"");
        assert_eq!(done.status, status, "{args}: {}", done.err);
    }
}

#[test]
fn verify_reports_bad_lines() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let log = shell.store().join("groups/g/offsets.log");
    let sound = fs::read(&log).expect("a log");
    let verify = |names: &[&str]| shell.run("mq-topics", &[&["verify"], names].concat(), b"");
    assert_eq!(verify(&["--deep"]).err, "");
    fs::write(&log, [&sound[..], b"\n0 1 commit - 1 t"].concat()).expect("written");
    let done = verify(&[]);
    assert_eq!(
        done.status, 0,
        "no data of a topic is damaged: {}",
        done.err
    );
    let says = format!(
        "groups/g/offsets.log: the line at byte {} is not whole",
        sound.len()
    );
    assert!(done.err.contains(&says), "{}", done.err);
    assert_eq!(
        verify(&["t", "--deep"]).err,
        "",
        "only the topic was asked for"
    );
    groups(&shell, &["delete", "g", "--yes"]);
    assert!(verify(&[]).err.contains(&says), "of a deleted group, too");
}

#[test]
fn describe_takes_globs_and_notes_a_group_without_offsets() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["commit", "gh", "t:0=1"]);
    let args = ["describe", "g*", "gh", "--format", "tsv"];
    let rows = groups(&shell, &args);
    assert_eq!(rows.lines().filter(|row| row.starts_with("g\t")).count(), 3);
    assert_eq!(
        rows.lines().filter(|row| row.starts_with("gh\t")).count(),
        1
    );
    Tally::case();
    let done = shell.run("mq-groups", &["describe", "x*"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("GROUP_ID_NOT_FOUND"), "{}", done.err);
    Tally::case();
    groups(&shell, &["commit", "new", "t:0=1"]);
    groups(&shell, &["delete-offsets", "new", "--topic", "t", "--yes"]);
    let done = shell.run("mq-groups", &["describe", "new"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
    let note = "group 'new' has no committed offsets";
    assert!(done.err.contains(note), "{}", done.err);
}
