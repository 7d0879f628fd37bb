//! A job that ends: members with `-e` share it, and two of them die on the way.

use std::time::Duration;

use rustix::process::Signal;

use super::member::{Member, deliveries};
use super::view::GroupDir;
use crate::cli::Shell;
use crate::common::switches::is_long;
use crate::tally::Tally;

const TIMEOUT: Duration = Duration::from_secs(300);

#[test]
fn a_job_finishes_though_members_die() {
    let _tally = Tally::start();
    Tally::case();
    let records: i64 = if is_long() { 1_000_000 } else { 200_000 };
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "8", "-c", "flush.messages=never"]);
    let input: String = (0..records).map(|n| format!("{n}\n")).collect();
    // Batches of several fetches' worth, so that there is something to crash in.
    shell.produce(&["t", "--batch-size", "64KiB"], input.as_bytes());
    let args = [
        "-g",
        "g",
        "t",
        "-e",
        "-f",
        "%p %o %v\\n",
        "--commit-interval",
        "20ms",
    ];
    let mut members: Vec<Member> = (0..4).map(|n| Member::start(&shell, n, &args)).collect();
    for (n, size) in [(0, 10_000), (1, 40_000)] {
        // Once it has printed something, it dies.
        while std::fs::metadata(&members[n].out).expect("out").len() < size
            && members[n].child.try_wait().expect("wait").is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = members[n]
            .child
            .try_wait()
            .expect("wait")
            .is_none()
            .then(|| members[n].signal(Signal::KILL));
    }
    members[0].end_within(TIMEOUT);
    members[1].end_within(TIMEOUT);
    for member in &mut members[2..] {
        assert_eq!(member.end_within(TIMEOUT), 0, "{}", member.complaint());
    }
    let committed = GroupDir::of(shell.store(), "g").committed();
    assert_eq!(committed.values().sum::<i64>(), records);
    assert_eq!(
        deliveries(&members).len() as i64,
        records,
        "every record came out"
    );
}

#[test]
fn a_spare_waits_and_takes_over() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\nb\nc\n");
    // It holds the only partition, and never prints: its output is a pipe that nobody reads.
    let big: String = (0..40_000).map(|n| format!("{n}\n")).collect();
    shell.produce(&["t"], big.as_bytes());
    let mut holder = shell
        .command("mq-consume", &["-g", "g", "t", "-e"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let group = GroupDir::of(shell.store(), "g");
    while group
        .view()
        .is_none_or(|view| view.members.values().all(|m| m.owned.is_empty()))
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut spare = Member::start(&shell, 0, &["-g", "g", "t", "-e", "-f", "%p %o %v\\n"]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        spare.child.try_wait().expect("wait").is_none(),
        "the work is not done: it waits"
    );
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    assert_eq!(spare.end_within(TIMEOUT), 0, "{}", spare.complaint());
    assert_eq!(
        spare.printed().len(),
        40_003,
        "nothing was taken by the one that died"
    );
}

#[test]
fn members_that_commit_on_exit_or_never_end_as_well() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    let input: String = (0..1000).map(|n| format!("{n}\n")).collect();
    shell.produce(&["t"], input.as_bytes());
    for (group, commit, records) in [("x", "on-exit", 1000), ("n", "never", 0)] {
        Tally::case();
        let args = [
            "-g",
            group,
            "t",
            "-e",
            "-f",
            "%p %o %v\\n",
            "--commit",
            commit,
        ];
        let mut members: Vec<Member> = (0..3).map(|n| Member::start(&shell, n, &args)).collect();
        for member in &mut members {
            assert_eq!(member.end_within(TIMEOUT), 0, "{}", member.complaint());
        }
        let committed = GroupDir::of(shell.store(), group).committed();
        assert_eq!(
            committed.values().sum::<i64>(),
            records,
            "--commit {commit}"
        );
        assert_eq!(deliveries(&members).len(), 1000, "--commit {commit}");
    }
}

#[test]
fn on_exit_commits_with_status_0_only() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\nb\n");
    for (grep, status, committed) in [("nothing", 4, 0), ("a", 0, 2)] {
        Tally::case();
        let args = [
            "-g",
            grep,
            "t",
            "-e",
            "--fail-if-empty",
            "--commit",
            "on-exit",
            "--grep",
            grep,
        ];
        let done = shell.run("mq-consume", &args, b"");
        assert_eq!(done.status, status, "{}", done.err);
        let offsets = GroupDir::of(shell.store(), grep).committed();
        assert_eq!(offsets.values().sum::<i64>(), committed, "--grep {grep}");
    }
}
