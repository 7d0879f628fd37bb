//! Outputs that are full, that nobody reads, or that somebody stops reading.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::{Done, Shell, run};
use crate::tally::Tally;

/// A line of bash with the tools on its path.
fn bash(shell: &Shell, line: &str) -> Done {
    let tool = shell.command("mq-topics", &[]);
    let tools = std::path::Path::new(tool.get_program())
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["-c", line])
        .env(
            "PATH",
            format!("{}:{}", tools.display(), path.to_string_lossy()),
        )
        .env("MQ_STORE", shell.store())
        .current_dir(shell.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    run(command, b"")
}

fn filled() -> Shell {
    let shell = Shell::new();
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    shell.produce(&["t"], lines.as_bytes());
    shell.ok("mq-groups", &["commit", "g", "t:0=1"], b"");
    shell
}

#[test]
fn a_full_output_is_told() {
    let _tally = Tally::start();
    let shell = filled();
    for line in [
        "mq-consume -e t",
        "mq-topics list",
        "mq-topics list --format json",
        "mq-topics describe",
        "mq-topics dump t --format tsv",
        "mq-topics create u --dry-run",
        "mq-groups list",
        "mq-groups describe --format json",
        "mq-broker status",
        "mq-broker start",
        "seq 3 | mq-produce -o '%o\\n' t",
        "seq 3 | mq-produce -T t",
        "mq-topics --help",
        "mq-topics create --help",
        "mq-consume --version",
    ] {
        Tally::case();
        let done = bash(&shell, &format!("{line} > /dev/full"));
        assert_eq!(done.status, 1, "{line}: {}", done.err);
        let said = "cannot write to standard output: No space left on device";
        assert!(done.err.contains(said), "{line}: {}", done.err);
    }
    Tally::case();
    // What was echoed into nowhere is stored all the same.
    assert_eq!(
        shell.consume_text(&["-e", "-o", "-6", "t"]),
        "1\n2\n3\n1\n2\n3\n"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let _tally = Tally::start();
    let shell = filled();
    for (line, seen) in [
        ("mq-consume -e t | head -1", "line 0\n"),
        ("mq-consume t | head -1", "line 0\n"),
        ("mq-consume -e -g h t | head -1", "line 0\n"),
        ("mq-topics dump t --format tsv | true", ""),
        ("mq-topics list | true", ""),
        ("mq-topics --help | true", ""),
        ("seq 9000 | mq-produce -T u | head -1", "1\n"),
        ("mq-consume -e t | (sleep 0.3; head -2)", "line 0\nline 1\n"),
    ] {
        Tally::case();
        let done = bash(&shell, &format!("{line}; echo ${{PIPESTATUS[*]}} >&2"));
        assert_eq!(done.text(), seen, "{line}: {}", done.err);
        let statuses = done.err.lines().last().unwrap_or_default();
        assert!(
            statuses.split(' ').all(|status| status == "0"),
            "{line}: {}",
            done.err
        );
    }
    Tally::case();
    assert_eq!(
        shell.consume(&["-e", "u"]).split(|b| *b == b'\n').count(),
        9001
    );
}

#[test]
fn without_stderr_the_status_speaks() {
    let _tally = Tally::start();
    let shell = filled();
    for (line, status) in [
        ("mq-consume -e nosuch 2>&-", 1),
        ("mq-consume -e nosuch 2>/dev/full", 1),
        ("mq-topics creat 2>/dev/full", 2),
        ("mq-consume -e -c 1 t 2>&- >out", 0),
        ("mq-produce t <&-", 0),
    ] {
        Tally::case();
        assert_eq!(bash(&shell, line).status, status, "{line}");
    }
}

#[test]
fn a_signal_waits_for_no_reader() {
    let _tally = Tally::start();
    let shell = filled();
    // Under nohup the tools leave HUP alone, as they should.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap_or("0").trim(), 16).unwrap_or(0);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        if ignored & (1 << (signal.as_raw() - 1)) != 0 {
            continue;
        }
        Tally::case();
        // The pipe is full long before all is written, and stays so.
        let started = Instant::now();
        let mut command = shell.command("mq-consume", &["t"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        std::thread::sleep(Duration::from_millis(300));
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("sent");
        loop {
            if let Some(status) = child.try_wait().expect("waited for") {
                assert_eq!(crate::cli::status_of(status), 128 + signal.as_raw());
                break;
            }
            assert!(
                started.elapsed() < crate::cli::PATIENCE,
                "it waits for its reader"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
