//! What is configured, damaged, and planned: set, reported and shown.

use std::fs;

use rustix::process::Signal;

use super::shop::{BEFORE, export, groups, member, shop};
use crate::cli::{Shell, TIMEOUT};
use crate::tally::Tally;

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
    // While a member lives, which rewrites the file: it joins, and it leaves.
    Tally::case();
    let mut member = member(&shell, "g");
    assert_eq!(configs_shown(&shell), format!("{RETENTION}=90"));
    alter(&["-c", &format!("{RETENTION}=91")]);
    member.signal(Signal::INT);
    member.end_within(TIMEOUT);
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
        (65, 1),
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
