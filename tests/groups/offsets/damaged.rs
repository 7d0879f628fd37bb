//! A group with a `group.json` that is unreadable, an `offsets.log` that is missing or has bad
//! lines, or with nothing in it.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use super::shop::{BEFORE, export_if_there, groups, member, shop};
use crate::cli::{Done, Shell, TIMEOUT};
use crate::tally::Tally;

fn file(shell: &Shell, name: &str) -> PathBuf {
    shell.store().join("groups/g").join(name)
}

/// The shop, `group.json` of g unreadable.
fn damaged() -> Shell {
    let shell = shop();
    fs::write(file(&shell, "group.json"), "x").expect("written");
    shell
}

fn run(shell: &Shell, args: &[&str]) -> Done {
    shell.run("mq-groups", args, b"")
}

#[test]
fn the_process_that_recreates_group_json_says_so() {
    let _tally = Tally::start();
    for args in [
        &["reset", "g", "--to", "start", "--yes"][..],
        &["commit", "g", "t:0=5"],
        &["undo", "g", "--yes"],
        &["skip", "g", "t:0", "--yes"],
        &["clone", "h", "g", "--yes"],
        &["delete-offsets", "g", "--topic", "t", "--yes"],
        &["delete", "g", "--yes"],
        &["alter", "g", "-c", "offsets.retention.minutes=90"],
    ] {
        Tally::case();
        let shell = damaged();
        groups(&shell, &["commit", "h", "t:0=1"]);
        let done = run(&shell, args);
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        assert!(
            done.err.contains("warning: ") && done.err.contains("rebuilt from offsets.log"),
            "{args:?}: {}",
            done.err
        );
        assert_eq!(done.err.matches("rebuilt from").count(), 1, "{}", done.err);
        let again = run(&shell, &["list"]);
        assert_eq!((again.status, again.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn what_group_json_would_say_is_unknown() {
    let _tally = Tally::start();
    let shell = damaged();
    for (args, status, out, err) in [
        (
            &["check", "g", "--warn", "1"][..],
            3,
            "GROUPS UNKNOWN - g: ",
            "",
        ),
        (
            &["list", "--format", "tsv"],
            65,
            "g\t-\t-\t-\t-\t3\n",
            "warning: ",
        ),
        (
            &["describe", "g", "--format", "json"],
            65,
            "{\"group\":\"g\",\"state\":null,\"group_epoch\":null,\"assignor\":null,\"members\":null,",
            "warning: ",
        ),
        (&["peek", "g", "--topic", "t:0"], 0, "", "warning: "),
        (&["reset", "g", "--export"], 0, BEFORE, "warning: "),
    ] {
        Tally::case();
        let done = run(&shell, args);
        assert_eq!(
            done.status,
            status,
            "{args:?}: {} {}",
            done.text(),
            done.err
        );
        assert!(done.text().starts_with(out), "{args:?}: {}", done.text());
        let reported = if err.is_empty() {
            done.text()
        } else {
            done.err.clone()
        };
        assert!(
            done.err.contains(err) && reported.contains("groups/g/group.json"),
            "{args:?}: {} {}",
            done.text(),
            done.err
        );
    }
    Tally::case();
    let done = shell.run("mq-topics", &["verify"], b"");
    assert_eq!(done.status, 0, "no data of a topic: {}", done.err);
    assert!(done.err.contains("groups/g/group.json"), "{}", done.err);
}

#[test]
fn bad_lines_are_reported_by_all_their_readers() {
    let _tally = Tally::start();
    let shell = shop();
    let log = file(&shell, "offsets.log");
    let sound = fs::read(&log).expect("a log");
    fs::write(&log, [&sound[..], b"\n0 1 commit - 1 t"].concat()).expect("written");
    for (args, status) in [
        (&["describe", "g"][..], 0),
        (&["check", "g", "--warn", "99"], 0),
        (&["peek", "g"], 0),
        (&["reset", "g", "--export"], 0),
    ] {
        Tally::case();
        let done = run(&shell, args);
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(
            done.err.contains("warning: ") && done.err.contains("is not whole"),
            "{args:?}: {}",
            done.err
        );
    }
}

#[test]
fn the_processes_to_be_ended_are_named() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut member = member(&shell, "g");
    let id = fs::read_dir(file(&shell, "members")).expect("members");
    let line = id
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .find(|line| line.contains(" entered "))
        .expect("a member");
    let pid = line.split(' ').nth(2).expect("a process");
    fs::write(file(&shell, "group.json"), "x").expect("written");
    let done = run(&shell, &["commit", "g", "t:0=5"]);
    assert_eq!(done.status, 65, "{}", done.err);
    let says = format!("alive: process {pid}\n");
    assert!(done.err.ends_with(&says), "{} {says}", done.err);
    member.signal(Signal::KILL);
    member.end_within(TIMEOUT);
}

#[test]
fn a_group_without_its_log_can_be_deleted() {
    let _tally = Tally::start();
    for also in ["", "group.json"] {
        Tally::case();
        let shell = if also.is_empty() { shop() } else { damaged() };
        fs::remove_file(file(&shell, "offsets.log")).expect("removed");
        let done = run(&shell, &["list"]);
        assert_eq!(done.status, 65, "{}", done.err);
        assert!(done.err.contains("'mq-groups delete g'"), "{}", done.err);
        let plan = groups(&shell, &["delete", "g", "--dry-run", "--format", "tsv"]);
        assert_eq!(plan, "g\tdelete\n");
        assert_eq!(run(&shell, &["list"]).status, 65, "a plan changes nothing");
        groups(&shell, &["delete", "g", "--yes"]);
        let done = run(&shell, &["list", "--format", "tsv"]);
        assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
        assert_eq!(run(&shell, &["delete", "g", "--yes"]).status, 1);
        // The name is free.
        groups(&shell, &["commit", "g", "t:0=3"]);
        assert_eq!(export_if_there(&shell, "g"), "t,0,3\n");
        let read = shell.ok("mq-consume", &["-g", "g", "-e", "t"], b"");
        assert_eq!(read.iter().filter(|byte| **byte == b'\n').count(), 17);
    }
    Tally::case();
    let shell = shop();
    let mut member = member(&shell, "g");
    fs::remove_file(file(&shell, "offsets.log")).expect("removed");
    for how in ["--yes", "--dry-run"] {
        let done = run(&shell, &["delete", "g", how]);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(done.err.contains("NON_EMPTY_GROUP"), "{}", done.err);
    }
    fs::write(file(&shell, "group.json"), "x").expect("written");
    let done = run(&shell, &["delete", "g", "--yes"]);
    let named =
        done.err.contains("NON_EMPTY_GROUP") && done.err.contains("end them first: process");
    assert!(done.status == 1 && named, "{}", done.err);
    member.signal(Signal::KILL);
    member.end_within(TIMEOUT);
}

#[test]
fn a_member_that_failed_to_begin_leaves_no_group() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let args = ["-g", "f", "t", "-o", "999", "-e"];
    let done = shell.run("mq-consume", &args, b"");
    assert_ne!(done.status, 0, "{}", done.err);
    let listed = groups(&shell, &["list", "--format", "tsv"]);
    assert!(listed.lines().all(|row| row.starts_with("g\t")), "{listed}");
    let done = run(&shell, &["describe", "f"]);
    assert!(done.err.contains("GROUP_ID_NOT_FOUND"), "{}", done.err);
}
