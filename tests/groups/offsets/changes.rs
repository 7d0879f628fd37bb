//! Offsets that are moved, taken back and done again.

use std::fs;

use super::shop::{BEFORE, export, export_if_there, groups, member, shop};
use crate::tally::Tally;

#[test]
fn what_is_done_is_taken_back_and_done_again() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["commit", "other", "t:1=9", "u:1=1"]);
    fs::write(shell.dir().join("x.csv"), "u,1,7\n\"t\",0,0\r\n").expect("written");
    for (args, after) in [
        (
            &["reset", "g", "--to", "start"][..],
            "t,0,0\nt,1,0\nu,0,0\nu,1,0\n",
        ),
        (
            &["reset", "g", "--by", "-1", "--topic", "t:1"],
            "t,0,3\nt,1,3\nu,0,5\n",
        ),
        (
            &["reset", "g", "--from-file", "x.csv"],
            "t,0,0\nt,1,4\nu,0,5\nu,1,7\n",
        ),
        (
            &["reset", "g", "--from-file", "x.csv", "--topic", "u"],
            "t,0,3\nt,1,4\nu,0,5\nu,1,7\n",
        ),
        (
            &["reset", "g", "--to-group", "other"],
            "t,0,3\nt,1,9\nu,0,5\nu,1,1\n",
        ),
        (
            &["reset", "g", "--to-group", "other", "--topic", "t"],
            "t,0,3\nt,1,9\nu,0,5\n",
        ),
        (&["delete-offsets", "g", "--topic", "t"], "u,0,5\n"),
        (&["delete-offsets", "g", "--topic", "t:1"], "t,0,3\nu,0,5\n"),
        (&["clone", "other", "g"], "t,1,9\nu,1,1\n"),
        (&["skip", "g", "u:0"], "t,0,3\nt,1,4\nu,0,6\n"),
        (&["delete", "g"], ""),
    ] {
        Tally::case();
        let name = args.join(" ");
        assert_eq!(export(&shell, "g"), BEFORE, "before {name}");
        let dry = [args, &["--dry-run"]].concat();
        assert!(!groups(&shell, &dry).is_empty(), "{name}: no plan");
        assert_eq!(export(&shell, "g"), BEFORE, "a dry run of {name}");
        groups(&shell, &[args, &["--yes"]].concat());
        assert_eq!(export_if_there(&shell, "g"), after, "{name}");
        let plan = groups(&shell, &["undo", "g", "--dry-run", "--format", "tsv"]);
        assert!(plan.starts_with("g\t"), "{name}: {plan}");
        assert_eq!(export_if_there(&shell, "g"), after, "a dry run of its undo");
        for expected in [BEFORE, after, BEFORE] {
            groups(&shell, &["undo", "g", "--yes"]);
            assert_eq!(export_if_there(&shell, "g"), expected, "undo of {name}");
        }
    }
    // Groups that are not asked for are as they were.
    assert_eq!(export(&shell, "other"), "t,1,9\nu,1,1\n");
}

#[test]
fn an_export_goes_round() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let exported = export(&shell, "g");
    assert_eq!(exported, BEFORE);
    groups(&shell, &["reset", "g", "--to", "end", "--yes"]);
    let args = ["reset", "h", "--from-file", "-", "--yes"];
    shell.ok("mq-groups", &args, exported.as_bytes());
    assert_eq!(export(&shell, "h"), BEFORE, "a new group");
    shell.ok(
        "mq-groups",
        &["reset", "g", "--from-file", "-", "--yes"],
        b"t,0,3\nt,1,4\nu,0,5\n",
    );
    assert!(
        export(&shell, "g").starts_with(BEFORE),
        "what is not named stays"
    );
    assert_eq!(
        groups(&shell, &["reset", "g", "--export", "--topic", "t:1"]),
        "t,1,4\n"
    );
}

#[test]
fn a_header_of_rows_is_passed_over() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let rows = b"topic,partition,offset\nt,0,1\n";
    let args = ["reset", "h", "--from-file", "-", "--yes"];
    shell.ok("mq-groups", &args, rows);
    assert_eq!(export(&shell, "h"), "t,0,1\n");
    for (rows, said) in [
        (
            &b"group,topic,partition,offset\ng,t,0,1\n"[..],
            "line 1: a header has the words",
        ),
        (
            b"t,0,1\ntopic,partition,offset\n",
            "line 2: a header has the words",
        ),
    ] {
        let done = shell.run("mq-groups", &args, rows);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(done.err.contains(said), "{}", done.err);
    }
}

#[test]
fn a_move_beyond_an_edge_is_reported() {
    let _tally = Tally::start();
    let shell = shop();
    for (by, consent, said) in [
        (
            "99",
            "--dry-run",
            "t:0: 3 + 99 is beyond the end of the log: using the end, 10",
        ),
        (
            "99",
            "--yes",
            "t:0: 3 + 99 is beyond the end of the log: using the end, 10",
        ),
        (
            "-99",
            "--yes",
            "t:0: 10 - 99 is before the start of the log: using the start, 0",
        ),
        ("10", "--yes", ""),
    ] {
        Tally::case();
        let args = ["reset", "g", "--by", by, "--topic", "t:0", consent];
        let done = shell.run("mq-groups", &args, b"");
        assert_eq!(done.status, 0, "{}", done.err);
        assert!(done.err.contains(said), "{by}: {}", done.err);
        assert_eq!(
            done.err.lines().count(),
            usize::from(!said.is_empty()),
            "{}",
            done.err
        );
    }
    assert!(export(&shell, "g").starts_with("t,0,10\n"));
}

#[test]
fn an_offset_that_was_taken_away_differs_from_an_unknown_one() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["undo", "g", "--yes"]);
    let history = |format: &str| groups(&shell, &["history", "g", "--format", format]);
    for (format, taken) in [
        ("table", "none"),
        ("tsv", "-"),
        ("json", "\"offset\":null}"),
    ] {
        Tally::case();
        let text = history(format);
        let undone: Vec<&str> = text.lines().filter(|line| line.contains("undo")).collect();
        assert_eq!(undone.len(), 3, "{text}");
        assert!(undone.iter().all(|line| line.ends_with(taken)), "{text}");
    }
}

#[test]
fn an_undo_goes_over_what_members_read_since() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(
        &shell,
        &["reset", "g", "--to", "start", "--topic", "t", "--yes"],
    );
    shell.ok("mq-consume", &["-g", "g", "-e", "-c", "4", "t"], b"");
    let read = export(&shell, "g");
    let done = shell.run("mq-groups", &["undo", "g", "--yes"], b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        done.err.contains("members have committed since"),
        "{}",
        done.err
    );
    assert_eq!(export(&shell, "g"), BEFORE);
    groups(&shell, &["undo", "g", "--yes"]);
    assert_eq!(export(&shell, "g"), read);
}

#[test]
fn a_rewritten_file_keeps_what_can_be_taken_back() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(&shell, &["delete-offsets", "g", "--topic", "t", "--yes"]);
    groups(&shell, &["undo", "g", "--yes"]);
    let log = shell.store().join("groups/g/offsets.log");
    // Lines that count for nothing make it grow.
    let mut bytes = fs::read(&log).expect("a log");
    bytes.extend(b"\nno line".repeat(300_000));
    fs::write(&log, bytes).expect("written");
    assert_eq!(export(&shell, "g"), BEFORE);
    groups(&shell, &["delete-offsets", "g", "--topic", "u", "--yes"]);
    assert!(
        fs::metadata(&log).expect("a log").len() < 10_000,
        "not rewritten"
    );
    assert_eq!(export(&shell, "g"), "t,0,3\nt,1,4\n");
    for expected in [BEFORE, "t,0,3\nt,1,4\n", BEFORE] {
        groups(&shell, &["undo", "g", "--yes"]);
        assert_eq!(export(&shell, "g"), expected);
    }
}

#[test]
fn nothing_moves_while_members_live() {
    let _tally = Tally::start();
    let shell = shop();
    groups(&shell, &["commit", "other", "t:0=1"]);
    groups(
        &shell,
        &["reset", "g", "--to", "3", "--topic", "t:0", "--yes"],
    );
    let _member = member(&shell, "g");
    let before = export(&shell, "g");
    fs::write(shell.dir().join("x.csv"), "u,1,7\n").expect("written");
    for args in [
        &["undo", "g"][..],
        &["delete-offsets", "g", "--topic", "t"],
        &["clone", "other", "g"],
        &["skip", "g", "t:0"],
        &["reset", "g", "--from-file", "x.csv"],
        &["reset", "g", "--to-group", "other"],
    ] {
        for how in ["--dry-run", "--yes"] {
            Tally::case();
            let done = shell.run("mq-groups", &[args, &[how]].concat(), b"");
            assert_eq!(done.status, 1, "{args:?} {how}: {}", done.err);
            // Of a topic that no member reads they could be deleted.
            let refusal = match args[0] {
                "delete-offsets" => "GROUP_SUBSCRIBED_TO_TOPIC",
                _ => "NON_EMPTY_GROUP",
            };
            assert!(done.err.contains(refusal), "{args:?} {how}: {}", done.err);
            assert_eq!(export(&shell, "g"), before, "{args:?} {how}");
        }
    }
    // Who only looks may, and so may who takes from it.
    for args in [
        &["peek", "g"][..],
        &["history", "g"],
        &["clone", "g", "copy"],
    ] {
        Tally::case();
        groups(&shell, args);
    }
    assert_eq!(export(&shell, "copy"), before);
}

#[test]
fn skip_gets_a_reader_past_one_record() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let skipped = groups(&shell, &["skip", "g", "t:0", "--yes", "-f", "%p %o %v\\n"]);
    assert_eq!(skipped, "0 3 t0-3\n");
    assert_eq!(export(&shell, "g"), "t,0,4\nt,1,4\nu,0,5\n");
    let rows = groups(
        &shell,
        &["skip", "g", "t:0", "--dry-run", "--format", "tsv"],
    );
    assert!(rows.starts_with("g\tt\t0\t4\t5\t"), "{rows}");
    assert!(rows.ends_with("\t-\tt0-4\n"), "{rows}");
    assert_eq!(export(&shell, "g"), "t,0,4\nt,1,4\nu,0,5\n");
    groups(&shell, &["undo", "g", "--yes"]);
    assert_eq!(export(&shell, "g"), BEFORE);
}

#[test]
fn what_expired_is_gone() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(&shell, &["commit", "h", "t:0=1"]);
    let file = shell.store().join("groups/g/offsets.log");
    let text = fs::read_to_string(&file).expect("a log");
    let aged: String = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
            fields[1] = (fields[1].parse::<i64>().expect("a time") - 8 * 86_400_000).to_string();
            fields.pop();
            let body = format!("{} ", fields.join(" "));
            format!("\n{body}{:08x}", crc32fast::hash(body.as_bytes()))
        })
        .collect();
    fs::write(&file, aged).expect("written");
    assert_eq!(
        groups(&shell, &["list", "--format", "tsv"]).lines().count(),
        1
    );
    let done = shell.run("mq-groups", &["describe", "g"], b"");
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("the offsets of group 'g' have expired"),
        "{}",
        done.err
    );
    // Used again it begins again, and the old offsets do not come back.
    groups(&shell, &["commit", "g", "u:1=2"]);
    assert_eq!(export(&shell, "g"), "u,1,2\n");
    assert!(groups(&shell, &["history", "g"]).contains("expire"));
}

/// A mistyped name makes a group.
#[test]
fn a_group_that_a_change_creates_is_noted() {
    let _tally = Tally::start();
    let shell = shop();
    for (args, note) in [
        (
            &["commit", "bill", "t:0=1"][..],
            Some("created group 'bill'\n"),
        ),
        (
            &["reset", "bil", "--to", "end", "--topic", "t:0", "--yes"],
            Some("created group 'bil' (there is also 'bill')\n"),
        ),
        (&["commit", "bil", "t:0=2"], None),
        (&["commit", "new", "t:0=2", "--dry-run"], None),
        (&["-q", "commit", "newer", "t:0=2"], None),
    ] {
        Tally::case();
        let done = shell.run("mq-groups", args, b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        match note {
            Some(note) => assert!(done.err.ends_with(note), "{args:?}: {}", done.err),
            None => assert_eq!(done.err, "", "{args:?}"),
        }
    }
}
