//! What an administrator does with a group's offsets: moved, taken back, deleted, cloned, looked
//! at. `MQ_BLESS=1` rewrites the wording in tests/snapshots/offsets.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tally.rs"]
mod tally;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cli::{Done, PATIENCE, Running, Shell, run};
use rustix::process::Signal;
use tally::Tally;

/// The calls that make, change, publish or lock something.
const CALLS: &str =
    "write,pwrite64,fdatasync,fsync,ftruncate,renameat,renameat2,unlinkat,flock,mkdirat";

/// Two topics of two partitions, ten records in each, and group g at 3, 4 and 5.
fn shop() -> Shell {
    let shell = Shell::new();
    for topic in ["t", "u"] {
        shell.topics(&["create", topic, "-p", "2"]);
        for partition in ["0", "1"] {
            let lines: String = (0..10)
                .map(|n| format!("{topic}{partition}-{n}\n"))
                .collect();
            shell.produce(&["-p", partition, topic], lines.as_bytes());
        }
    }
    groups(&shell, &["commit", "g", "t:0=3", "t:1=4", "u:0=5"]);
    shell
}

fn groups(shell: &Shell, args: &[&str]) -> String {
    let out = shell.ok("mq-groups", args, b"");
    String::from_utf8(out).expect("text")
}

fn export(shell: &Shell, group: &str) -> String {
    groups(shell, &["reset", group, "--export"])
}

/// As [`export`]; empty if there is no such group.
fn export_if_there(shell: &Shell, group: &str) -> String {
    let done = shell.run("mq-groups", &["reset", group, "--export"], b"");
    if done.err.contains("GROUP_ID_NOT_FOUND") {
        return String::new();
    }
    assert_eq!(done.status, 0, "{}", done.err);
    done.text()
}

const BEFORE: &str = "t,0,3\nt,1,4\nu,0,5\n";

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
fn a_file_written_anew_keeps_what_can_be_taken_back() {
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
        "not written anew"
    );
    assert_eq!(export(&shell, "g"), "t,0,3\nt,1,4\n");
    for expected in [BEFORE, "t,0,3\nt,1,4\n", BEFORE] {
        groups(&shell, &["undo", "g", "--yes"]);
        assert_eq!(export(&shell, "g"), expected);
    }
}

#[test]
fn the_history_tells_all_of_it() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    shell.ok("mq-consume", &["-g", "g", "-e", "u"], b"");
    groups(&shell, &["delete-offsets", "g", "--topic", "t:0", "--yes"]);
    groups(&shell, &["undo", "g", "--yes"]);
    groups(&shell, &["delete", "g", "--yes"]);
    let tsv = groups(&shell, &["history", "g", "--format", "tsv"]);
    let rows: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    let told: Vec<String> = rows
        .iter()
        .map(|row| [row[1], row[3], row[4], row[5]].join(" "))
        .collect();
    for (at, row) in ["reset t 0 3", "reset t 1 4", "reset u 0 5"]
        .iter()
        .enumerate()
    {
        assert_eq!(told[at], *row, "{tsv}");
    }
    assert!(told.contains(&"commit u 0 10".to_owned()), "{tsv}");
    let last = &told[told.len() - 3..];
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
            assert!(
                done.err.contains("NON_EMPTY_GROUP"),
                "{args:?} {how}: {}",
                done.err
            );
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

fn member(shell: &Shell, group: &str) -> Running {
    let member = shell.start(
        "mq-consume",
        &["-g", group, "--commit-interval", "50ms", "t"],
    );
    member.says("t0-9");
    let until = Instant::now() + PATIENCE;
    while !export(shell, group).contains("t,0,10\nt,1,10") {
        assert!(Instant::now() < until, "nothing is committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    member
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
        let told: String = tsv
            .lines()
            .map(|line| {
                let row: Vec<&str> = line.split('\t').collect();
                format!("{} {} {} {} {}\n", row[1], row[2], row[3], row[4], row[7])
            })
            .collect();
        assert_eq!(told, expected, "{args:?}");
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
        (&["g", "--warn", "x"], 3, "GROUPS UNKNOWN - 'x' is no lag"),
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
}

#[test]
fn verify_tells_of_bad_lines() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let log = shell.store().join("groups/g/offsets.log");
    let sound = fs::read(&log).expect("a log");
    let verify = |names: &[&str]| shell.run("mq-topics", &[&["verify"], names].concat(), b"");
    assert_eq!(verify(&[]).err, "");
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
    assert_eq!(verify(&["t"]).err, "", "only the topic was asked for");
    groups(&shell, &["delete", "g", "--yes"]);
    assert!(verify(&[]).err.contains(&says), "of a deleted group, too");
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
    // Used again it begins anew, and the old offsets do not come back.
    groups(&shell, &["commit", "g", "u:1=2"]);
    assert_eq!(export(&shell, "g"), "u,1,2\n");
    assert!(groups(&shell, &["history", "g"]).contains("expire"));
}

const RETENTION: &str = "offsets.retention.minutes";

/// What `describe` shows of the configs, in its table alone.
fn configs_shown(shell: &Shell) -> String {
    let table = groups(shell, &["describe", "g", "--format", "table"]);
    let shown = table.lines().find(|line| line.contains(RETENTION));
    shown.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_config_is_set_kept_by_members_and_taken_back() {
    let _tally = Tally::start();
    let shell = shop();
    let alter = |args: &[&str]| groups(&shell, &[&["alter", "g"], args].concat());
    let said = |args: &[&str]| {
        let done = shell.run("mq-groups", args, b"");
        (done.status, done.err)
    };
    Tally::case();
    let plan = alter(&[
        "-c",
        &format!("{RETENTION}=90"),
        "--dry-run",
        "--format",
        "tsv",
    ]);
    assert_eq!(plan, format!("g\tset\t{RETENTION}=90\n"));
    assert_eq!(configs_shown(&shell), "");
    Tally::case();
    assert_eq!(alter(&["-c", &format!("{RETENTION}=90")]), "");
    assert_eq!(configs_shown(&shell), format!("{RETENTION}=90"));
    for format in ["json", "tsv"] {
        let described = groups(&shell, &["describe", "g", "--format", format]);
        assert!(!described.contains(RETENTION), "{described}");
    }
    let same = alter(&[
        "-c",
        &format!("{RETENTION}=90"),
        "--dry-run",
        "--format",
        "tsv",
    ]);
    assert_eq!(same, "", "nothing would change");
    // While a member lives, which writes the file anew: it joins, and it leaves.
    Tally::case();
    let mut member = member(&shell, "g");
    assert_eq!(configs_shown(&shell), format!("{RETENTION}=90"));
    alter(&["-c", &format!("{RETENTION}=91")]);
    member.signal(Signal::INT);
    member.end_within(PATIENCE);
    assert_eq!(configs_shown(&shell), format!("{RETENTION}=91"));
    Tally::case();
    let plan = alter(&["--unset", RETENTION, "--dry-run", "--format", "tsv"]);
    assert_eq!(plan, format!("g\tunset\t{RETENTION}\n"));
    alter(&["--unset", RETENTION]);
    assert_eq!(configs_shown(&shell), "");
    for (args, status, says) in [
        (
            &["alter", "gg", "--unset", RETENTION][..],
            1,
            "did you mean 'g'",
        ),
        (
            &["alter", "g", "-c", "offsets.retention.minutes=0"],
            2,
            "1 to 2147483647 minutes",
        ),
        (
            &["alter", "g", "-c", "offsets.retention.minutes=2147483648"],
            2,
            "is not allowed",
        ),
        (
            &["alter", "g", "-c", "offsets.retention.minutes=1h"],
            2,
            "is not allowed",
        ),
    ] {
        Tally::case();
        let (code, err) = said(args);
        assert!(
            code == status && err.contains(says),
            "{args:?}: {code}, {err}"
        );
    }
    Tally::case();
    groups(&shell, &["delete", "g", "--yes"]);
    let (code, err) = said(&["alter", "g", "--unset", RETENTION]);
    assert!(
        code == 1 && err.contains("GROUP_ID_NOT_FOUND"),
        "{code}, {err}"
    );
}

#[test]
fn a_list_warns_of_what_is_damaged_and_goes_on() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(&shell, &["commit", "h", "t:0=1"]);
    let before = groups(&shell, &["list", "--format", "tsv"]);
    fs::write(shell.store().join("groups/g/group.json"), "{").expect("written");
    let done = shell.run("mq-groups", &["list", "--format", "tsv"], b"");
    assert_eq!(
        (done.status, done.err.lines().count()),
        (0, 1),
        "{}",
        done.err
    );
    assert!(
        done.err.contains("warning: ") && done.err.contains("groups/g/group.json"),
        "{}",
        done.err
    );
    assert_eq!(done.text().lines().count(), before.lines().count());
}

#[test]
fn the_plan_of_a_clone_shows_all_of_it() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(&shell, &["commit", "h", "t:0=3", "t:1=9", "u:1=2"]);
    let plan = groups(&shell, &["clone", "g", "h", "--dry-run", "--format", "tsv"]);
    let wanted = "h\tt\t0\t3\t3\nh\tt\t1\t9\t4\nh\tu\t0\t-\t5\nh\tu\t1\t2\t-\n";
    assert_eq!(plan, wanted);
    assert_eq!(export(&shell, "h"), "t,0,3\nt,1,9\nu,1,2\n");
    let asked = shell.run("mq-groups", &["clone", "g", "h"], b"");
    assert!(
        asked.status != 0 && asked.err.contains("--yes"),
        "{}",
        asked.err
    );
    groups(&shell, &["clone", "g", "h", "--yes"]);
    // What is the same already is nothing to ask about.
    groups(&shell, &["clone", "g", "h"]);
    assert_eq!(export(&shell, "h"), BEFORE);
}

/// A program on the path.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[test]
fn watch_prints_a_block_for_each_change() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut watch = shell.start("mq-groups", &["watch", "g", "--format", "tsv"]);
    watch.says("g\tt\t0\t3\t0\t10\t7\t");
    groups(&shell, &["commit", "g", "t:0=9"]);
    watch.says("g\tt\t0\t9\t0\t10\t1\t");
    shell.produce(&["-p", "0", "t"], b"more\n");
    watch.says("g\tt\t0\t9\t0\t11\t2\t");
    std::thread::sleep(Duration::from_millis(2500));
    watch.signal(Signal::INT);
    let done = watch.end_within(PATIENCE);
    assert_eq!(done.status, 130, "{}", done.err);
    assert_eq!(
        done.text().lines().count(),
        9,
        "no block without a change: {}",
        done.text()
    );
}

#[test]
fn watch_gives_the_terminal_back() {
    let _tally = Tally::start();
    if !has("script") || !has("timeout") || !has("stty") {
        println!("offsets: skipped: script, timeout or stty is missing");
        return;
    }
    let shell = shop();
    let exe = env!("CARGO_BIN_EXE_mq-groups");
    for (how, keys) in [
        (format!("{exe} watch"), &b"q"[..]),
        (format!("{exe} watch g"), b"\x03"),
        (format!("{exe} watch"), b"\x03\x03\x03"),
        (format!("timeout --foreground -s TERM 2 {exe} watch"), b""),
        (
            format!("timeout --foreground -s INT 2 {exe} watch --only-lagging"),
            b"",
        ),
        (format!("timeout --foreground -s HUP 2 {exe} watch"), b""),
    ] {
        Tally::case();
        let inner = format!(
            "stty rows 8 cols 70; trap : INT; echo before $(stty -g); {how}; echo after $(stty -g)"
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &inner, "/dev/null"])
            .env("MQ_STORE", shell.store())
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut script = Running::of(command.spawn().expect("script"));
        script.says("\x1b[?1049h");
        script.says("q quits");
        std::thread::sleep(Duration::from_millis(300));
        script.feed(keys);
        script.says("after ");
        let done = script.end_within(PATIENCE);
        let text = done.text();
        let line = |word: &str| {
            let at = text.rfind(word).expect(word) + word.len();
            text[at..].lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(line("before "), line("after "), "{how}: {text:?}");
        let (enter, leave) = (text.find("\x1b[?1049h"), text.find("\x1b[?1049l"));
        assert!(enter < leave && enter.is_some(), "{how}: {text:?}");
        assert!(
            text.contains("\x1b[?25l") && text.contains("\x1b[?25h"),
            "{how}: {text:?}"
        );
        let drawn = text[..leave.unwrap_or(0)]
            .rsplit("\x1b[H")
            .next()
            .unwrap_or_default();
        assert!(drawn.lines().count() <= 8, "{how}: {drawn:?}");
    }
}

/// A command whose kills are looked at.
struct Form {
    name: &'static str,
    prepare: &'static [&'static [&'static str]],
    args: &'static [&'static str],
    group: &'static str,
}

const FORMS: [Form; 12] = [
    Form {
        name: "reset --by",
        prepare: &[],
        args: &["reset", "g", "--by", "1"],
        group: "g",
    },
    Form {
        name: "undo of an undo",
        prepare: &[
            &["delete-offsets", "g", "--topic", "t", "--yes"],
            &["undo", "g", "--yes"],
        ],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "delete",
        prepare: &[],
        args: &["delete", "g"],
        group: "g",
    },
    Form {
        name: "reset --to",
        prepare: &[],
        args: &["reset", "g", "--to", "start"],
        group: "g",
    },
    Form {
        name: "reset --from-file",
        prepare: &[],
        args: &["reset", "g", "--from-file", "x.csv"],
        group: "g",
    },
    Form {
        name: "reset --to-group",
        prepare: &[&["commit", "o", "t:0=9", "u:1=9"]],
        args: &["reset", "g", "--to-group", "o"],
        group: "g",
    },
    Form {
        name: "undo of a reset",
        prepare: &[&["reset", "g", "--to", "end", "--yes"]],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "undo of a delete",
        prepare: &[&["delete", "g", "--yes"]],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "delete-offsets",
        prepare: &[],
        args: &["delete-offsets", "g", "--topic", "t"],
        group: "g",
    },
    Form {
        name: "clone into nothing",
        prepare: &[],
        args: &["clone", "g", "h"],
        group: "h",
    },
    Form {
        name: "clone over offsets",
        prepare: &[&["commit", "h", "u:1=7", "t:0=1"]],
        args: &["clone", "g", "h"],
        group: "h",
    },
    Form {
        name: "skip",
        prepare: &[],
        args: &["skip", "g", "t:0"],
        group: "g",
    },
];

fn strace(shell: &Shell, form: &Form, options: &[&str]) -> Done {
    let inner = shell.command("mq-groups", &[form.args, &["--yes"]].concat());
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "trace"])
        .args(options)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("MQ_STORE", shell.store())
        .current_dir(shell.dir())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    run(command, b"")
}

/// How often each call occurs, in the thread with the most of them, as strace counts `when`.
fn counted(trace: &Path) -> Vec<(String, usize)> {
    let mut by_thread: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(trace).expect("a trace").lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if CALLS.split(',').any(|known| known == call) {
            *by_thread
                .entry((thread.to_owned(), call.to_owned()))
                .or_default() += 1;
        }
    }
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, call), times) in by_thread {
        let most = calls.entry(call).or_default();
        *most = times.max(*most);
    }
    calls
        .into_iter()
        .flat_map(|(call, times)| (1..=times).map(move |n| (call.clone(), n)))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.is_ok_and(|status| status.success()), "cp -a");
}

#[test]
fn a_killed_change_is_done_or_not_and_never_half() {
    let _tally = Tally::start();
    if !has("strace") {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        println!("offsets: skipped: strace is missing");
        return;
    }
    let killed = Mutex::new(0);
    std::thread::scope(|scope| {
        for part in 0..2 {
            let killed = &killed;
            scope.spawn(move || {
                for form in FORMS.iter().skip(part).step_by(2) {
                    *killed.lock().expect("killed") += kill_each(form);
                }
            });
        }
    });
    let killed = *killed.lock().expect("killed");
    println!("{killed} commands killed");
    assert!(killed > 100, "too few kills to tell: {killed}");
}

fn kill_each(form: &Form) -> usize {
    let shell = shop();
    fs::write(shell.dir().join("x.csv"), "t,0,9\nu,1,9\n").expect("written");
    for args in form.prepare {
        groups(&shell, args);
    }
    let template = shell.dir().join("template");
    copy(shell.store(), &template);
    let old = export_if_there(&shell, form.group);
    let done = strace(&shell, form, &["-e", &format!("trace={CALLS}")]);
    assert_eq!(done.status, 0, "{}: {}", form.name, done.err);
    let new = export_if_there(&shell, form.group);
    assert_ne!(old, new, "{}", form.name);
    let mut killed = 0;
    for (call, n) in counted(&shell.dir().join("trace")) {
        Tally::case();
        let at = format!("{}, killed at {call} {n}", form.name);
        copy(&template, shell.store());
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:signal=KILL:when={n}");
        let done = strace(&shell, form, &["-e", &trace, "-e", &inject]);
        assert!(
            matches!(done.status, 0 | 137),
            "{at}: {} {}",
            done.status,
            done.err
        );
        killed += usize::from(done.status == 137);
        let now = export_if_there(&shell, form.group);
        assert!(
            now == old || now == new,
            "{at}: {now:?} is neither {old:?} nor {new:?}"
        );
        if done.status == 0 {
            assert_eq!(now, new, "{at}");
        }
        // The next one goes on, whatever was left.
        groups(&shell, &["commit", form.group, "u:0=1"]);
        let next = export(&shell, form.group);
        assert!(next.contains("u,0,1\n"), "{at}: {next:?}");
        groups(&shell, &["undo", form.group, "--yes"]);
        assert_eq!(export_if_there(&shell, form.group), now, "{at}");
    }
    killed
}

type Provoke = fn(&Shell) -> Done;

/// How refusals read.
const WORDING: [(&str, i32, Provoke); 12] = [
    ("undo-nothing", 1, |shell| {
        shell.ok("mq-consume", &["-g", "m", "-e", "t"], b"");
        shell.run("mq-groups", &["undo", "m", "--yes"], b"")
    }),
    ("undo-unknown", 1, |shell| {
        shell.run("mq-groups", &["undo", "gg", "--yes"], b"")
    }),
    ("undo-unasked", 2, |shell| {
        shell.run("mq-groups", &["undo", "g"], b"")
    }),
    ("delete-offsets-none", 1, |shell| {
        shell.run(
            "mq-groups",
            &["delete-offsets", "g", "--topic", "u:1", "--yes"],
            b"",
        )
    }),
    ("clone-unknown", 1, |shell| {
        shell.run("mq-groups", &["clone", "h", "i"], b"")
    }),
    ("clone-unasked", 1, |shell| {
        groups(shell, &["commit", "h", "t:0=1"]);
        shell.run("mq-groups", &["clone", "g", "h"], b"")
    }),
    ("from-file-bad-row", 1, |shell| {
        let args = ["reset", "g", "--from-file", "-", "--yes"];
        shell.run("mq-groups", &args, b"t,0,1\nt;1;2\n")
    }),
    ("from-file-outside", 1, |shell| {
        let args = ["reset", "g", "--from-file", "-", "--yes"];
        shell.run("mq-groups", &args, b"t,0,1\nt,1,11\n")
    }),
    ("from-file-missing", 1, |shell| {
        shell.run(
            "mq-groups",
            &["reset", "g", "--from-file", "no.csv", "--yes"],
            b"",
        )
    }),
    ("skip-end", 1, |shell| {
        groups(shell, &["commit", "g", "t:0=10"]);
        shell.run("mq-groups", &["skip", "g", "t:0", "--yes"], b"")
    }),
    ("skip-uncommitted", 1, |shell| {
        shell.run("mq-groups", &["skip", "g", "u:1", "--yes"], b"")
    }),
    ("peek-nothing", 1, |shell| {
        shell.run("mq-groups", &["peek", "g", "--topic", "u:1"], b"")
    }),
];

#[test]
fn refusals_say_what_and_what_to_do() {
    let _tally = Tally::start();
    let bless = std::env::var_os("MQ_BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, status, provoke) in WORDING {
        Tally::case();
        let shell = shop();
        let done = provoke(&shell);
        let before = (name != "skip-end").then_some(BEFORE);
        if let Some(before) = before {
            assert_eq!(export(&shell, "g"), before, "{name}");
        }
        if done.status != status {
            wrong.push(format!(
                "{name}: status {}, not {status}: {}",
                done.status, done.err
            ));
        }
        let found = done.err.replace(&*shell.store().to_string_lossy(), "STORE");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/snapshots/offsets")
            .join(format!("{name}.txt"));
        if bless {
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(&path, &found).expect("written");
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "{name}:\n--- expected\n{expected}+++ found\n{found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
