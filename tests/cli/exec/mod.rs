//! `mq-consume -g --exec`: what a command is given, and what its exit status does.

use std::time::{Duration, Instant};

use crate::cli::{Done, Shell};
use crate::tally::Tally;
use rustix::process::Signal;
use serde_json::Value;

/// A topic `t` of one partition with these lines.
fn shell_with(lines: &[&str]) -> Shell {
    let shell = Shell::new();
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    shell.produce(&["t"], input.as_bytes());
    shell
}

fn exec(shell: &Shell, command: &str, more: &[&str]) -> Done {
    let args = [&["-g", "g", "t", "-e", "--exec", command][..], more].concat();
    shell.run("mq-consume", &args, b"")
}

fn committed(shell: &Shell) -> i64 {
    let json = shell.ok("mq-groups", &["describe", "g", "--format", "json"], b"");
    let group: Value = serde_json::from_slice(&json).expect("JSON");
    group["offsets"][0]["committed_offset"]
        .as_i64()
        .expect("an offset")
}

fn file(shell: &Shell, name: &str) -> String {
    std::fs::read_to_string(shell.dir().join(name)).unwrap_or_default()
}

#[test]
fn a_command_sees_its_records() {
    let _tally = Tally::start();
    for (more, command, printed) in [
        (&[][..], "cat", "a\nb\nc\n"),
        (
            &[],
            "echo $MQ_TOPIC $MQ_PARTITION $MQ_OFFSET $MQ_OFFSET_LAST $MQ_COUNT",
            "t 0 0 0 1\nt 0 1 1 1\nt 0 2 2 1\n",
        ),
        (
            &["--batch", "2"],
            "echo $MQ_OFFSET $MQ_OFFSET_LAST $MQ_COUNT; cat",
            "0 1 2\na\nb\n2 2 1\nc\n",
        ),
        (
            &["--batch", "9", "-f", "%o=%v;"],
            "cat; echo",
            "0=a;1=b;2=c;\n",
        ),
        (&["--grep", "b"], "cat; echo $MQ_OFFSET", "b\n1\n"),
        (&["-c", "2"], "cat", "a\nb\n"),
        (&[], "true", ""),
    ] {
        Tally::case();
        let shell = shell_with(&["a", "b", "c"]);
        let done = exec(&shell, command, more);
        assert_eq!(
            (done.status, done.text().as_str()),
            (0, printed),
            "{command} {more:?}: {}",
            done.err
        );
        let all = if more.contains(&"-c") { 2 } else { 3 };
        assert_eq!(committed(&shell), all, "{command} {more:?}");
    }
}

#[test]
fn a_key_is_in_the_environment_if_it_fits() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t", "-J"], b"{\"key\":\"k 1\",\"value\":\"a\"}\n{\"value\":\"b\"}\n{\"key\":\"x\\u0000y\",\"value\":\"c\"}\n{\"key\":\"\",\"value\":\"d\"}\n");
    let done = exec(&shell, "echo \"[${MQ_KEY-none}]\"", &[]);
    assert_eq!(done.text(), "[k 1]\n[none]\n[none]\n[]\n");
}

#[test]
fn nothing_is_committed_before_status_0() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shell_with(&["a", "b", "c"]);
    let done = exec(&shell, "cat; test $MQ_OFFSET != 1", &[]);
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("failed with status 1 at offset 1 of t:0"),
        "{}",
        done.err
    );
    assert_eq!((done.text().as_str(), committed(&shell)), ("a\nb\n", 1));
    let done = exec(&shell, "cat", &[]);
    assert_eq!(
        (done.text().as_str(), committed(&shell)),
        ("b\nc\n", 3),
        "that batch again"
    );
}

#[test]
fn one_that_is_killed_before_its_commit_runs_one_batch_again() {
    let _tally = Tally::start();
    for batch in ["1", "2"] {
        Tally::case();
        let shell = shell_with(&["a", "b", "c", "d", "e", "f"]);
        let command = "cat >> done; if grep -q c done && mkdir once 2> /dev/null; then kill -9 $PPID; fi; true";
        let done = exec(&shell, command, &["--batch", batch]);
        assert_eq!(done.status, 137, "{}", done.err);
        let done = exec(&shell, command, &["--batch", batch]);
        assert_eq!(done.status, 0, "{}", done.err);
        let again = if batch == "1" {
            "a\nb\nc\nc\nd\ne\nf\n"
        } else {
            "a\nb\nc\nd\nc\nd\ne\nf\n"
        };
        assert_eq!(file(&shell, "done"), again, "--batch {batch}");
    }
}

#[test]
fn retries_wait_longer_each_time() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shell_with(&["a", "b"]);
    let started = Instant::now();
    let command = "cat >> tried; test $(grep -c a tried) = 4";
    let done = exec(&shell, command, &["--retries", "3"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(file(&shell, "tried"), "a\na\na\na\nb\n");
    assert!(
        started.elapsed() >= Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
    let shell = shell_with(&["a"]);
    let done = exec(&shell, "cat >> tried; false", &["--retries", "2"]);
    assert_eq!(
        (done.status, file(&shell, "tried").as_str()),
        (1, "a\na\na\n")
    );
}

#[test]
fn dead_letters_keep_all_and_say_why() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    let record =
        br#"{"key":{"base64":"/w=="},"value":null,"headers":[["h","1"],["h",null]],"timestamp":7}"#;
    let input = [&record[..], b"\n", br#"{"value":"fine"}"#, b"\n"].concat();
    shell.produce(&["t", "-J"], &input);
    let command = "test $MQ_OFFSET = 1";
    let done = exec(
        &shell,
        command,
        &["--retries", "1", "--dead-letter", "dead"],
    );
    assert_eq!((done.status, committed(&shell)), (0, 2), "{}", done.err);
    let dead = shell.consume_text(&["-e", "-J", "dead"]);
    let dead: Value = serde_json::from_str(&dead).expect("one record");
    assert_eq!(dead["key"]["base64"], "/w==");
    assert_eq!(dead["value"], Value::Null);
    assert_eq!(dead["timestamp"], 7);
    let headers = serde_json::json!([
        ["h", "1"],
        ["h", null],
        ["mq.error.topic", "t"],
        ["mq.error.partition", "0"],
        ["mq.error.offset", "0"],
        ["mq.error.status", "1"],
        ["mq.error.attempts", "2"]
    ]);
    assert_eq!(dead["headers"], headers);
    assert!(done.err.contains("sent to dead"), "{}", done.err);

    // One that fails again says where it failed last, and that once.
    let args = [
        "-g",
        "again",
        "dead",
        "-e",
        "--exec",
        "exit 9",
        "--dead-letter",
        "worse",
    ];
    let done = shell.run("mq-consume", &args, b"");
    assert_eq!(done.status, 0, "{}", done.err);
    let worse = shell.consume_text(&["-e", "-J", "worse"]);
    let worse: Value = serde_json::from_str(&worse).expect("one record");
    let headers = serde_json::json!([
        ["h", "1"],
        ["h", null],
        ["mq.error.topic", "dead"],
        ["mq.error.partition", "0"],
        ["mq.error.offset", "0"],
        ["mq.error.status", "9"],
        ["mq.error.attempts", "1"]
    ]);
    assert_eq!(worse["headers"], headers);
}

#[test]
fn a_command_that_cannot_run_is_no_dead_letter() {
    let _tally = Tally::start();
    for (command, status) in [
        ("exit 127", "127"),
        ("exit 126", "126"),
        ("./not-executable", ""),
    ] {
        Tally::case();
        let shell = shell_with(&["a"]);
        let done = exec(
            &shell,
            command,
            &["--retries", "5", "--dead-letter", "dead"],
        );
        if status.is_empty() {
            assert_eq!(done.status, 2, "found before joining: {}", done.err);
            continue;
        }
        assert_eq!((done.status, committed(&shell)), (1, 0), "{}", done.err);
        assert!(done.err.contains(status), "{}", done.err);
        let dead = shell.run("mq-consume", &["-e", "dead"], b"");
        assert_eq!(dead.status, 1, "there is no such topic");
    }
}

#[test]
fn a_signal_lets_the_command_end() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shell_with(&["a", "b"]);
    let mut running = shell.start(
        "mq-consume",
        &[
            "-g",
            "g",
            "t",
            "--exec",
            "touch begun; sleep 0.7; cat >> done",
        ],
    );
    let started = Instant::now();
    while !shell.dir().join("begun").exists() {
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::TERM);
    let done = running.end_within(Duration::from_secs(30));
    assert_eq!(done.status, 143, "{}", done.err);
    assert_eq!(
        (file(&shell, "done").as_str(), committed(&shell)),
        ("a\n", 1)
    );
}

#[test]
fn a_partition_that_moves_waits_for_the_command() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    for partition in ["0", "1"] {
        shell.produce(&["t", "-p", partition], b"x\ny\nz\n");
    }
    // Each takes longer than a partition that is only printed may take to move.
    let command = "echo $MQ_PARTITION:$MQ_OFFSET >> done; sleep 1.3";
    let args = ["-g", "g", "t", "-e", "--exec", command];
    let first = shell.start("mq-consume", &args);
    std::thread::sleep(Duration::from_millis(400));
    let second = shell.start("mq-consume", &args);
    for running in [first, second] {
        let done = running.end();
        assert_eq!(done.status, 0, "{}", done.err);
    }
    let mut done: Vec<String> = file(&shell, "done").lines().map(str::to_owned).collect();
    done.sort();
    assert_eq!(
        done,
        ["0:0", "0:1", "0:2", "1:0", "1:1", "1:2"],
        "each once"
    );
}

#[test]
fn partitions_move_while_a_command_works_on_another() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    for partition in ["0", "1", "2", "3"] {
        shell.produce(&["t", "-p", partition], b"x\ny\n");
    }
    // One takes its time, the other fails and is tried again and again.
    for command in [
        "echo $MQ_PARTITION >> begun; sleep 6",
        "echo $MQ_PARTITION >> begun; false",
    ] {
        Tally::case();
        let group = if command.ends_with("false") { "f" } else { "s" };
        let _ = std::fs::remove_file(shell.dir().join("begun"));
        let slow = ["-g", group, "t", "--exec", command, "--retries", "20"];
        let mut slow = shell.start("mq-consume", &slow);
        let started = Instant::now();
        while !shell.dir().join("begun").exists() {
            assert!(started.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(5));
        }
        let done = format!("echo $MQ_PARTITION >> done-{group}");
        let mut quick = shell.start("mq-consume", &["-g", group, "t", "--exec", &done]);
        let file = shell.dir().join(format!("done-{group}"));
        let lines = || std::fs::read_to_string(&file).unwrap_or_default();
        let started = Instant::now();
        while lines().lines().count() < 4 {
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(4), "{command}: {}", lines());
            std::thread::sleep(Duration::from_millis(20));
        }
        quick.signal(Signal::TERM);
        slow.signal(Signal::KILL);
        quick.end_within(Duration::from_secs(30));
        slow.end_within(Duration::from_secs(30));
    }
}

#[test]
fn a_group_that_breaks_under_a_command_ends_it_with_a_word() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shell_with(&["a", "b"]);
    let command = "touch begun; sleep 1; cat >> done";
    let args = ["-g", "g", "t", "--exec", command, "--retries", "3"];
    let mut running = shell.start("mq-consume", &args);
    let started = Instant::now();
    while !shell.dir().join("begun").exists() {
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    let group = shell.store().join("groups/g");
    std::fs::write(group.join("garbage"), "{").expect("written");
    std::fs::rename(group.join("garbage"), group.join("group.json")).expect("renamed");
    let done = running.end_within(Duration::from_secs(30));
    assert_eq!(done.status, 65, "{}", done.err);
    assert!(done.err.contains("group.json"), "{}", done.err);
    assert!(done.err.contains("rebuilt"), "the cure: {}", done.err);
    // Nobody lives in it now: it is rebuilt, and that batch runs again.
    let done = exec(&shell, "cat", &[]);
    assert_eq!(
        (done.status, done.text().as_str()),
        (0, "a\nb\n"),
        "{}",
        done.err
    );
    assert!(done.err.contains("rebuilt"), "{}", done.err);
}

/// Advice to add an option that was given would be wrong.
#[test]
fn the_advice_names_only_options_that_are_not_given() {
    let _tally = Tally::start();
    for (more, add) in [
        (&[][..], "or add --retries, --dead-letter;"),
        (&["--retries", "1"], "or add --dead-letter;"),
    ] {
        Tally::case();
        let done = exec(&shell_with(&["a"]), "exit 1", more);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(done.err.contains(add), "{}", done.err);
    }
}
