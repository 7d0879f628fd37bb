//! Waiting until a group has caught up.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::has;
use super::shop::{groups, member, shop};
use crate::cli::{Done, Running, Shell, TIMEOUT};
use crate::tally::Tally;

/// Less than the period in which looks come by themselves.
const PROMPT: Duration = Duration::from_millis(250);

fn wait(shell: &Shell, args: &[&str]) -> Done {
    shell.run("mq-groups", &[&["wait"], args].concat(), b"")
}

/// Starts a wait that has begun to sleep.
fn start(shell: &Shell, args: &[&str]) -> Running {
    let mut running = shell.start("mq-groups", &[&["wait"], args].concat());
    let says = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("no member reads");
    assert!(running.err.until(TIMEOUT, says), "it did not begin");
    std::thread::sleep(Duration::from_millis(300));
    let ended = running.child.try_wait().expect("wait");
    assert!(ended.is_none(), "{ended:?}");
    running
}

#[test]
fn lag_that_is_low_enough_ends_it_at_once() {
    let _tally = Tally::start();
    let shell = shop();
    for (args, lag) in [
        (&["--lag", "18"][..], "18"),
        (&["--lag", "99"], "18"),
        (&["--lag", "13", "--topic", "t"], "13"),
        (&["--lag", "6", "--topic", "t:1"], "6"),
        (&["--lag", "12", "--topic", "*:0"], "12"),
        (&["--lag", "18", "--timeout", "0ms"], "18"),
    ] {
        Tally::case();
        let done = wait(&shell, &[&["g"], args].concat());
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        assert_eq!(done.text(), "", "{args:?}");
        let says = format!("mq-groups: the lag of group 'g' is {lag}\n");
        assert_eq!(done.err, says, "{args:?}");
    }
    Tally::case();
    let quiet = wait(&shell, &["g", "--lag", "18", "-q"]);
    assert_eq!((quiet.status, quiet.err.as_str()), (0, ""));
    let tsv = wait(
        &shell,
        &["g", "--lag", "6", "--topic", "t:1", "--format", "tsv"],
    );
    assert!(
        tsv.text().starts_with("g\tt\t1\t4\t0\t10\t6\t"),
        "{}",
        tsv.text()
    );
    let json = wait(
        &shell,
        &["g", "--lag", "13", "--topic", "t", "--format", "json"],
    );
    let value: serde_json::Value = serde_json::from_slice(&json.out).expect("JSON");
    let lags: Vec<_> = value["offsets"]
        .as_array()
        .expect("offsets")
        .iter()
        .map(|row| (row["topic"].as_str(), row["lag"].as_i64()))
        .collect();
    assert_eq!(lags, [(Some("t"), Some(7)), (Some("t"), Some(6))]);
    let described = groups(&shell, &["describe", "g", "--format", "json"]);
    let whole: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    let keys = |value: &serde_json::Value| value.as_object().map(|o| o.keys().cloned().collect());
    let (own, other): (Option<Vec<_>>, Option<Vec<_>>) = (keys(&value), keys(&whole));
    assert_eq!(own, other, "as describe prints it");
}

#[test]
fn a_commit_wakes_it() {
    let _tally = Tally::start();
    let mut took = [Vec::new(), Vec::new()];
    for is_log_replaced in [false, true].repeat(3) {
        Tally::case();
        let shell = shop();
        let mut waiting = start(&shell, &["g", "--topic", "t"]);
        if is_log_replaced {
            let log = shell.store().join("groups/g/offsets.log");
            let other = shell.dir().join("other");
            fs::copy(&log, &other).expect("copied");
            fs::rename(&other, &log).expect("replaced");
        }
        groups(&shell, &["commit", "g", "t:0=10"]);
        // What comes meanwhile counts, too.
        shell.produce(&["-p", "1", "t"], b"more\n");
        groups(&shell, &["commit", "g", "t:1=10"]);
        std::thread::sleep(Duration::from_millis(300));
        assert!(waiting.child.try_wait().expect("wait").is_none(), "lag 1");
        let committed = Instant::now();
        groups(&shell, &["commit", "g", "t:1=11"]);
        let done = waiting.end_within(TIMEOUT);
        took[usize::from(is_log_replaced)].push(committed.elapsed());
        assert_eq!(done.status, 0, "{}", done.err);
        assert!(
            done.err.ends_with("the lag of group 'g' is 0\n"),
            "{}",
            done.err
        );
    }
    for took in &mut took {
        took.sort();
        // Looks that come by themselves would be as quick once in a while.
        assert!(took[1] < PROMPT, "it took {took:?}");
    }
}

#[test]
fn members_at_work_end_it() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut member = member(&shell, "m");
    shell.produce(&["-p", "0", "t"], &b"x\n".repeat(5000));
    let done = wait(&shell, &["m", "--timeout", "60s"]);
    assert_eq!(done.status, 0, "{}", done.err);
    let described = groups(&shell, &["describe", "m", "--format", "tsv"]);
    assert!(
        described.contains("m\tt\t0\t5010\t0\t5010\t0\t"),
        "{described}"
    );
    member.signal(Signal::TERM);
    member.end_within(TIMEOUT);
}

#[test]
fn a_time_that_is_up_ends_with_75() {
    let _tally = Tally::start();
    let shell = shop();
    for (args, says) in [
        (
            &["--timeout", "0ms"][..],
            "mq-groups: group 'g' has not caught up after 0ms: lag 18 in 3 partitions\n",
        ),
        (
            &["--timeout", "300ms", "--lag", "17"],
            "after 300ms: lag 18 in 3",
        ),
        (
            &["--timeout", "1ms", "--topic", "u:0"],
            "lag 5 in 1 partition\n",
        ),
    ] {
        Tally::case();
        let done = wait(&shell, &[&["g", "--format", "tsv"], args].concat());
        assert_eq!(done.status, 75, "{args:?}: {}", done.err);
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
        assert!(
            done.err.contains("start one: mq-consume -g g TOPIC"),
            "{}",
            done.err
        );
        assert!(
            done.text().starts_with("g\t"),
            "how it stands: {}",
            done.text()
        );
    }
}

#[test]
fn what_is_not_there_is_reported_at_once() {
    let _tally = Tally::start();
    let shell = shop();
    for (args, says) in [
        (&["gg"][..], "GROUP_ID_NOT_FOUND: there is no group 'gg'"),
        (&["gg"], "did you mean 'g'?"),
        (
            &["g", "--topic", "orders"],
            "has no committed offset of orders",
        ),
        (
            &["g", "--topic", "t", "--topic", "u:1"],
            "offset of u:1, and no member reads any",
        ),
        (&["g", "--topic", "x*"], "of x*"),
        (&["g", "--topic", "x*"], "'mq-groups describe' shows"),
    ] {
        Tally::case();
        let done = wait(&shell, args);
        assert_eq!(done.status, 1, "{args:?}: {}", done.err);
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
    }
    Tally::case();
    let mut waiting = start(&shell, &["g"]);
    groups(&shell, &["delete", "g", "--yes"]);
    let done = waiting.end_within(TIMEOUT);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("GROUP_ID_NOT_FOUND"), "{}", done.err);
}

#[test]
fn a_topic_that_goes_unread_is_not_caught_up_with() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    shell.produce(&["v"], b"read\nunread\n");
    groups(&shell, &["commit", "g", "v:0=1"]);
    let mut waiting = start(&shell, &["g", "--topic", "v"]);
    shell.topics(&["delete", "v", "--yes"]);
    let done = waiting.end_within(TIMEOUT);
    assert_eq!(done.status, 1, "{}", done.err);
    let says = "group 'g' lost v:0 with 1 of its records unread";
    assert!(done.err.contains(says), "{}", done.err);
}

#[test]
fn lag_that_is_not_known_is_not_low() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    groups(&shell, &["commit", "g", "t:0=10", "t:1=10"]);
    let (there, away) = (log_of(&shell, "t-0"), shell.dir().join("away"));
    fs::rename(&there, &away).expect("moved");
    let done = wait(&shell, &["g", "--topic", "t", "--timeout", "2500ms"]);
    assert_eq!(done.status, 75, "{}", done.err);
    let warned = "warning: the lag of t:0 is not known";
    assert_eq!(done.err.matches(warned).count(), 1, "{}", done.err);
    assert!(
        done.err.contains(": the lag of t:0 is not known\n"),
        "{}",
        done.err
    );
    Tally::case();
    let mut waiting = start(&shell, &["g", "--topic", "t"]);
    fs::rename(&away, &there).expect("moved back");
    let done = waiting.end_within(TIMEOUT);
    assert_eq!(done.status, 0, "{}", done.err);
    Tally::case();
    let shell = shop();
    let group = shell.store().join("groups/g/group.json");
    fs::write(group, "x").expect("written");
    let done = wait(&shell, &["g", "--lag", "99"]);
    assert_eq!(done.status, 65, "{}", done.err);
    assert!(done.err.contains("groups/g/group.json"), "{}", done.err);
}

/// The directory of a partition's records.
fn log_of(shell: &Shell, partition: &str) -> PathBuf {
    let entries = fs::read_dir(shell.logs()).expect("logs");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(partition))
    };
    paths.into_iter().find(is_it).expect(partition)
}

#[test]
fn an_offset_beyond_the_log_is_no_lag() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let log = log_of(&shell, "t-0");
    let files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&log)
        .expect("files")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect();
    shell.produce(&["-p", "0", "t"], b"more\nmore\n");
    groups(&shell, &["commit", "g", "t:0=12"]);
    // As a backup that was restored.
    for (path, bytes) in files {
        fs::write(path, bytes).expect("written");
    }
    let done = wait(
        &shell,
        &["g", "--topic", "t:0", "--lag", "9", "--timeout", "1500ms"],
    );
    assert_eq!(done.status, 75, "{}", done.err);
    assert_eq!(done.err.matches("warning: ").count(), 1, "{}", done.err);
    assert!(
        done.err.contains("the lag of t:0 is not known"),
        "{}",
        done.err
    );
    Tally::case();
    shell.topics(&["delete", "t", "--yes"]);
    let done = wait(&shell, &["g", "--lag", "5"]);
    assert_eq!(
        done.status, 0,
        "a topic that is gone has no lag: {}",
        done.err
    );
    assert!(
        done.err.contains("the lag of group 'g' is 5"),
        "{}",
        done.err
    );
}

#[test]
fn a_signal_ends_it() {
    let _tally = Tally::start();
    let shell = shop();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut quickest = TIMEOUT;
        for _ in 0..3 {
            Tally::case();
            let mut waiting = start(&shell, &["g"]);
            let sent = Instant::now();
            waiting.signal(signal);
            let done = waiting.end_within(TIMEOUT);
            quickest = quickest.min(sent.elapsed());
            assert_eq!(done.status, status, "{}", done.err);
            let says = "stopped before group 'g' has caught up: lag 18 in 3 partitions";
            assert!(done.err.contains(says), "{}", done.err);
        }
        assert!(
            quickest < Duration::from_millis(200),
            "it took {quickest:?}"
        );
    }
}

/// Times that a process went to sleep, and ms of a processor that it took.
fn cost(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|n| n.trim().parse::<u64>().ok())
            .expect("a number")
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let (_, fields) = stat.rsplit_once(") ").expect("fields");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|n| n.parse::<u64>().ok()).sum();
    (line("voluntary_ctxt_switches:"), ticks * 10)
}

#[test]
fn waiting_costs_next_to_nothing() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut waiting = start(&shell, &["g"]);
    let pid = waiting.child.id();
    let (sleeps, ms) = cost(pid);
    std::thread::sleep(Duration::from_secs(4));
    let (later_sleeps, later_ms) = cost(pid);
    let (woken, took) = (later_sleeps - sleeps, later_ms - ms);
    assert!(woken <= 12 && took <= 200, "woken {woken} times, {took} ms");
    waiting.signal(Signal::TERM);
    waiting.end_within(TIMEOUT);
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let _tally = Tally::start();
    if !has("script") {
        println!("offsets: skipped: script is missing");
        return;
    }
    Tally::case();
    let shell = shop();
    let exe = env!("CARGO_BIN_EXE_mq-groups");
    let inner = format!("stty cols 80; {exe} wait g --topic t; echo status $?");
    let mut command = std::process::Command::new("script");
    command
        .args(["-qec", &inner, "/dev/null"])
        .env("MQ_STORE", shell.store())
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut script = Running::of(command.spawn().expect("script"));
    script.says("g: lag 13 in 2 partitions");
    shell.produce(&["-p", "0", "t"], b"more\n");
    script.says("g: lag 14 in 2 partitions");
    groups(&shell, &["commit", "g", "t:0=11"]);
    script.says("g: lag 6 in 1 partition");
    groups(&shell, &["commit", "g", "t:1=10"]);
    script.says("the lag of group 'g' is 0");
    script.says("status 0");
    script.end_within(TIMEOUT);
}

/// Starts a wait for something that is not there yet.
fn start_early(shell: &Shell, args: &[&str], says: &str) -> Running {
    let mut running = shell.start("mq-groups", &[&["wait", "--wait"], args].concat());
    reports(&running, says);
    std::thread::sleep(Duration::from_millis(300));
    let ended = running.child.try_wait().expect("wait");
    assert!(ended.is_none(), "{ended:?}");
    running
}

/// Waits until it has reported something on stderr.
fn reports(running: &Running, text: &str) {
    let says = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    assert!(running.err.until(TIMEOUT, says), "it did not tell: {text}");
}

#[test]
fn what_is_not_there_yet_is_waited_for_where_asked() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    let no_store = format!("there is no store at {}", shell.store().display());
    let mut waiting = start_early(&shell, &["new"], &no_store);
    shell.produce(&["t"], b"a\nb\n");
    reports(&waiting, "there is no group 'new'");
    let mut of_topic = start_early(&shell, &["new", "--topic", "v"], "there is no group 'new'");
    groups(&shell, &["commit", "new", "t:0=1"]);
    reports(
        &waiting,
        "no member reads for group 'new' now: lag 1 in 1 partition",
    );
    reports(&of_topic, "has no committed offset of v");
    let committed = Instant::now();
    groups(&shell, &["commit", "new", "t:0=2"]);
    let done = waiting.end_within(TIMEOUT);
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        committed.elapsed() < Duration::from_secs(10),
        "not by looks"
    );
    assert_eq!(done.err.matches("; waiting (Ctrl-C ends)").count(), 2);
    shell.produce(&["v"], b"a\n");
    groups(&shell, &["commit", "new", "v:0=1"]);
    let done = of_topic.end_within(TIMEOUT);
    assert_eq!(done.status, 0, "{}", done.err);
    Tally::case();
    let near = wait(&shell, &["--wait", "neww", "--timeout", "200ms"]);
    assert_eq!(near.status, 75, "{}", near.err);
    assert!(
        near.err.contains("(did you mean 'new'?); waiting"),
        "{}",
        near.err
    );
    let says = "gave up after 200ms: GROUP_ID_NOT_FOUND: there is no group 'neww'";
    assert!(near.err.contains(says), "{}", near.err);
    Tally::case();
    let late = wait(
        &shell,
        &["--wait", "new", "--topic", "x", "--timeout", "0ms", "-q"],
    );
    assert_eq!(late.status, 75, "{}", late.err);
    let says = "gave up after 0ms: group 'new' has no committed offset of x";
    assert!(late.err.contains(says), "{}", late.err);
    Tally::case();
    let nowhere = shell.dir().join("none").display().to_string();
    let late = wait(
        &shell,
        &["--wait", "g", "--store", &nowhere, "--timeout", "100ms"],
    );
    assert_eq!(late.status, 75, "{}", late.err);
    let says = "gave up after 100ms: there is no store at";
    assert!(late.err.contains(says), "{}", late.err);
    for args in [&["other"][..], &["other", "--store", &nowhere]] {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            Tally::case();
            let mut waiting = start_early(&shell, args, "there is no ");
            waiting.signal(signal);
            let done = waiting.end_within(TIMEOUT);
            assert_eq!(done.status, status, "{}", done.err);
            assert!(
                done.err.contains("stopped while it waited: "),
                "{}",
                done.err
            );
        }
    }
}

#[test]
fn a_group_that_comes_is_seen_by_its_watch() {
    let _tally = Tally::start();
    let mut took = Vec::new();
    for n in 0..3 {
        Tally::case();
        let shell = shop();
        let group = format!("new{n}");
        let mut waiting = start_early(&shell, &[&group], "there is no group");
        let came = Instant::now();
        groups(&shell, &["commit", &group, "t:0=10"]);
        assert_eq!(waiting.end_within(TIMEOUT).status, 0);
        took.push(came.elapsed());
    }
    took.sort();
    assert!(took[1] < PROMPT, "it took {took:?}");
}

#[test]
fn once_it_was_there_it_does_not_go_unread() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut waiting = start(&shell, &["g", "--wait"]);
    groups(&shell, &["delete", "g", "--yes"]);
    let done = waiting.end_within(TIMEOUT);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("GROUP_ID_NOT_FOUND"), "{}", done.err);
}

#[test]
fn a_store_that_is_moved_away_or_deleted_ends_it() {
    let _tally = Tally::start();
    for args in [&["g"][..], &["g", "--wait"], &["h"]] {
        for how in ["moved", "deleted", "replaced"] {
            Tally::case();
            let shell = shop();
            let mut waiting = match args[0] {
                "g" => start(&shell, args),
                _ => start_early(&shell, args, "there is no group"),
            };
            match how {
                "deleted" => fs::remove_dir_all(shell.store()).expect("deleted"),
                _ => fs::rename(shell.store(), shell.dir().join("away")).expect("moved"),
            }
            if how == "replaced" {
                shell.topics(&["create", "other"]);
            }
            let done = waiting.end_within(Duration::from_secs(20));
            assert_eq!(done.status, 1, "{how} {args:?}: {}", done.err);
            let says = format!(
                "the store at {} was moved or deleted during the wait",
                shell.store().display()
            );
            assert!(done.err.contains(&says), "{how} {args:?}: {}", done.err);
        }
    }
}

#[test]
fn a_reader_that_is_gone_leaves_its_result() {
    let _tally = Tally::start();
    let shell = shop();
    for (args, status) in [
        ("--lag 18", 0),
        ("--lag 17 --timeout 300ms", 75),
        ("--topic x", 1),
    ] {
        for format in ["tsv", "json", "table"] {
            Tally::case();
            let exe = env!("CARGO_BIN_EXE_mq-groups");
            let script = format!(
                "{{ sleep 0.2; {exe} wait g --format {format} {args}; echo $? > status; }} | true"
            );
            let run = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(shell.dir())
                .env("MQ_STORE", shell.store())
                .output()
                .expect("sh");
            assert!(run.status.success());
            let reported = fs::read_to_string(shell.dir().join("status")).expect("status");
            assert_eq!(reported.trim(), status.to_string(), "{args} {format}");
        }
    }
}
