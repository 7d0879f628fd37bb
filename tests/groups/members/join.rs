//! Members that are refused, and the text of the refusal; topics that come later.

use std::time::Duration;

use rustix::process::Signal;

use super::member::Member;
use super::view::GroupDir;
use crate::cli::Shell;
use crate::tally::Tally;

const TIMEOUT: Duration = Duration::from_secs(60);

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < TIMEOUT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let group = GroupDir::of(shell.store(), "g");
    let member = Member::start(&shell, 0, &["-g", "g", "t", "--instance-id", "one"]);
    wait_for("the member owns the partition", || {
        group
            .view()
            .is_some_and(|view| view.members.values().any(|m| !m.owned.is_empty()))
    });
    for (args, status, says) in [
        (
            vec!["-g", "g", "t", "-e", "--assignor", "range"],
            1,
            "share partitions by 'uniform'",
        ),
        (
            vec!["-g", "g", "t", "-e", "--instance-id", "one"],
            75,
            "process ",
        ),
        (vec!["-g", "g", "t", "--assignor", "best"], 2, "uniform"),
        (
            vec!["-g", "g", "t", "--session-timeout", "10ms"],
            2,
            "500ms",
        ),
        (
            vec!["-g", "g", "t", "--exec", "no-such-command-here x"],
            2,
            "no-such-command-here",
        ),
        (
            vec!["-g", "g", "t", "--exec", "cat", "--batch", "0"],
            2,
            "--batch",
        ),
        (
            vec!["-g", "g", "t", "--exec", "cat", "--dead-letter", "t"],
            2,
            "is also read here",
        ),
        (
            vec!["-g", "g", "t*", "--exec", "cat", "--dead-letter", "tx"],
            2,
            "is also read here",
        ),
        (vec!["-g", "g", "nope", "-e"], 1, "UNKNOWN_TOPIC"),
        (vec!["-g", "g", "t", "-p", "0"], 2, "cannot be used with"),
        (vec!["t", "--exec", "cat"], 2, "--group"),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", &args, b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
    }
    drop(member);
}

#[test]
fn topics_and_partitions_that_come_later_are_read() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["log.a"], b"a0\n");
    let args = ["-g", "g", "log.*", "-f", "%t %p %v\\n"];
    let members = [0, 1].map(|n| {
        let out = Member::start(&shell, n, &args);
        std::thread::sleep(Duration::from_millis(50));
        out
    });
    let printed = || {
        let texts = [0, 1].map(|n| std::fs::read_to_string(&members[n].out).expect("out"));
        texts.concat()
    };
    wait_for("the first topic", || printed().contains("log.a 0 a0"));
    shell.produce(&["log.b"], b"b0\n");
    shell.produce(&["other"], b"x\n");
    wait_for("a later topic", || printed().contains("log.b 0 b0"));
    shell.topics(&["alter", "log.a", "--partitions", "3"]);
    shell.produce(&["log.a", "-p", "2"], b"a2\n");
    wait_for("a later partition", || printed().contains("log.a 2 a2"));
    shell.topics(&["delete", "log.b", "--yes"]);
    shell.produce(&["log.a", "-p", "1"], b"a1\n");
    wait_for("what is left is read on", || {
        printed().contains("log.a 1 a1")
    });
    shell.produce(&["log.b"], b"again\n");
    wait_for("a topic created again", || {
        printed().contains("log.b 0 again")
    });
    assert!(!printed().contains("other"));
    for mut member in members {
        member.signal(Signal::TERM);
        member.end_within(TIMEOUT);
    }
}

#[test]
fn starting_at_the_end_skips_nothing_for_a_successor() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "6"]);
    shell.produce(&["t"], "old\n".repeat(60).as_bytes());
    let args = ["-g", "g", "t", "-o", "end", "-f", "%p %o %v\\n"];
    let mut members: Vec<Member> = (0..3).map(|n| Member::start(&shell, n, &args)).collect();
    let group = GroupDir::of(shell.store(), "g");
    wait_for("every start is committed", || {
        group.view().is_some() && group.committed().len() == 6
    });
    for member in &members {
        member.signal(Signal::KILL);
    }
    shell.produce(&["t"], "new\n".repeat(60).as_bytes());
    let mut last = Member::start(
        &shell,
        3,
        &["-g", "g", "t", "-o", "end", "-e", "-f", "%p %o %v\\n"],
    );
    assert_eq!(last.end_within(TIMEOUT), 0, "{}", last.complaint());
    members.push(last);
    let seen: Vec<_> = members.iter().flat_map(Member::printed).collect();
    assert!(seen.iter().all(|(_, _, value)| value == "new"));
    let distinct: std::collections::BTreeSet<_> = seen.iter().map(|(p, o, _)| (p, o)).collect();
    assert_eq!(distinct.len(), 60);
}

#[test]
fn a_bound_ends_the_read_of_a_group() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\nb\nc\nd\n");
    let read = |args: &[&str]| String::from_utf8(shell.ok("mq-consume", args, b"")).expect("text");
    assert_eq!(read(&["-g", "g", "t", "-o", "1:3"]), "b\nc\n");
    assert_eq!(
        read(&["-g", "g", "t", "-o", ":+1"]),
        "d\n",
        "it goes on where it left off"
    );
    assert_eq!(read(&["-g", "h", "t", "-o", "-1", "-e"]), "d\n");
    let done = shell.run("mq-consume", &["-g", "i", "t", "-o", "stored", "-e"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("no offset is committed"), "{}", done.err);
}

#[test]
fn a_topic_that_is_deleted_ends_the_members_that_named_it() {
    let _tally = Tally::start();
    for (topics, more, status) in [("a", "", 1), ("a", "-e", 1), ("a*", "", 143)] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["a"], "x\n".repeat(20_000).as_bytes());
        shell.produce(&["ab"], b"y\n");
        // Its output is a pipe that is not read until the topic is gone.
        let mut args = vec!["-g", "g", topics];
        args.extend((!more.is_empty()).then_some(more));
        let mut child = shell
            .command("mq-consume", &args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        let group = GroupDir::of(shell.store(), "g");
        wait_for("it owns", || {
            group
                .view()
                .is_some_and(|v| v.members.values().any(|m| !m.owned.is_empty()))
        });
        std::thread::sleep(Duration::from_millis(100));
        shell.topics(&["delete", "a", "--yes"]);
        shell.produce(&["a"], b"again\n");
        std::thread::sleep(Duration::from_millis(300));
        let out = child.stdout.take().expect("stdout");
        let read = std::thread::spawn(move || std::io::read_to_string(out).expect("read"));
        let started = std::time::Instant::now();
        let status_seen = loop {
            if let Some(status) = child.try_wait().expect("wait") {
                break status;
            }
            if status == 143 && started.elapsed() > Duration::from_secs(2) {
                let pid = i32::try_from(child.id())
                    .ok()
                    .and_then(rustix::process::Pid::from_raw);
                rustix::process::kill_process(pid.expect("a pid"), Signal::TERM).expect("sent");
                break child.wait().expect("ended");
            }
            assert!(started.elapsed() < TIMEOUT, "{args:?}: it goes on");
            std::thread::sleep(Duration::from_millis(10));
        };
        let reported = std::io::read_to_string(child.stderr.take().expect("stderr")).expect("read");
        assert!(reported.contains("was deleted"), "{args:?}: {reported}");
        let printed = read.join().expect("read");
        if status == 143 {
            assert_eq!(status_seen.code(), None, "{reported}");
            assert!(
                ["again", "y"]
                    .iter()
                    .all(|line| printed.lines().any(|l| l == *line)),
                "the others go on"
            );
        } else {
            assert_eq!(status_seen.code(), Some(status), "{args:?}: {reported}");
        }
    }
}

/// A deletion takes the topic file first, and the directories a little later.
#[test]
fn a_topic_whose_file_is_gone_before_its_directory_is_deleted() {
    let _tally = Tally::start();
    for args in [&["a*"][..], &["-g", "g", "a*"]] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["a"], b"x\n");
        shell.produce(&["ab"], b"y\n");
        let reader = shell.start("mq-consume", args);
        reader.says("x");
        reader.says("y");
        std::fs::remove_file(shell.store().join("topics/a.json")).expect("removed");
        shell.produce(&["ab"], b"z\n");
        reader.says("z");
        reader.signal(Signal::TERM);
        let done = reader.end();
        assert!(done.err.contains("was deleted"), "{args:?}: {}", done.err);
    }
}
