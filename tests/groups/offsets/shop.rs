//! What the tests begin with.

use std::time::{Duration, Instant};

use crate::cli::{Running, Shell, TIMEOUT};

/// Two topics of two partitions, ten records in each, and group g at 3, 4 and 5.
pub fn shop() -> Shell {
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

pub fn groups(shell: &Shell, args: &[&str]) -> String {
    let out = shell.ok("mq-groups", args, b"");
    String::from_utf8(out).expect("text")
}

pub fn export(shell: &Shell, group: &str) -> String {
    groups(shell, &["reset", group, "--export"])
}

/// As [`export`]; empty if there is no such group.
pub fn export_if_there(shell: &Shell, group: &str) -> String {
    let done = shell.run("mq-groups", &["reset", group, "--export"], b"");
    if done.err.contains("GROUP_ID_NOT_FOUND") {
        return String::new();
    }
    assert_eq!(done.status, 0, "{}", done.err);
    done.text()
}

pub const BEFORE: &str = "t,0,3\nt,1,4\nu,0,5\n";

/// A member at work that has read all of the topic t, and committed it.
pub fn member(shell: &Shell, group: &str) -> Running {
    let member = shell.start(
        "mq-consume",
        &["-g", group, "--commit-interval", "50ms", "t"],
    );
    member.says("t0-9");
    let until = Instant::now() + TIMEOUT;
    while !export(shell, group).contains("t,0,10\nt,1,10") {
        assert!(Instant::now() < until, "nothing is committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    member
}
