//! Outputs that are full, that nobody reads, or that somebody stops reading.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::{Done, Shell, run};
use crate::tally::Tally;

/// A line of bash with the tools on its path.
pub fn bash(shell: &Shell, line: &str) -> Done {
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
fn a_full_output_is_reported() {
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
fn what_was_found_or_done_is_so_without_a_reader() {
    let _tally = Tally::start();
    let shell = filled();
    shell.ok("mq-topics", &["create", "damaged"], b"");
    shell.produce(&["damaged"], b"one\n");
    let log = shell.store().join("brokers/0/logs/damaged-0");
    let log = log.join("00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("read");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(&log, bytes).expect("written");
    for (line, status) in [
        ("mq-groups check g --warn 1", 1),
        ("mq-groups check g --critical 1", 2),
        ("mq-groups check nosuch --warn 1", 3),
        ("mq-topics verify --deep damaged", 65),
        ("mq-groups skip g t:0 --yes", 0),
    ] {
        Tally::case();
        // Its reader is gone before it begins.
        let done = bash(
            &shell,
            &format!("{{ sleep 0.3; {line}; echo $? >&2; }} | true"),
        );
        let said = done.err.lines().last().unwrap_or_default();
        assert_eq!(said, status.to_string(), "{line}: {}", done.err);
    }
    let committed = shell.ok("mq-groups", &["describe", "g", "--format", "tsv"], b"");
    let committed = String::from_utf8(committed).expect("text");
    assert!(committed.contains("\tt\t0\t2\t"), "{committed}");
}

#[test]
fn an_echo_that_nobody_reads_ends() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let limits = ["create", "t", "-c", "max.message.bytes=16000000"];
    shell.ok("mq-topics", &limits, b"");
    let big = "head -c 8000000 /dev/zero | tr '\\0' x";
    for (line, statuses) in [
        (format!("{big} | mq-produce -T t | true"), "0"),
        (
            format!("{big} | mq-produce --whole -o '%v\\n' t | true"),
            "0",
        ),
        (
            "yes | head -c 8000000 | mq-produce -T t | true".to_owned(),
            "0",
        ),
    ] {
        Tally::case();
        let done = bash(&shell, &format!("{line}; echo ${{PIPESTATUS[-2]}} >&2"));
        assert_eq!(
            done.err.lines().last(),
            Some(statuses),
            "{line}: {}",
            done.err
        );
    }
    let ends = shell.consume_text(&["-e", "-o", "-1", "-f", "%o\\n", "t"]);
    assert_eq!(ends, "4000001\n");
}

/// Production goes on without its echo, and says so once.
#[test]
fn an_echo_whose_reader_went_is_reported_once() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let said = "the reader of standard output is gone";
    for (line, reported) in [
        ("seq 500000 | mq-produce -T t | head -1", 1),
        ("seq 500000 | mq-produce -o '%o\\n' t | head -1", 1),
        ("seq 500000 | mq-produce -q -T t | head -1", 0),
        ("seq 500000 | mq-produce -T t | cat > /dev/null", 0),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        assert_eq!(
            done.err.matches(said).count(),
            reported,
            "{line}: {}",
            done.err
        );
    }
    let ends = shell.consume_text(&["-e", "-o", "-1", "-f", "%o\\n", "t"]);
    assert_eq!(ends, "1999999\n", "all is stored");
}

#[test]
fn only_what_somebody_took_is_committed() {
    let _tally = Tally::start();
    let shell = filled();
    // Closed, and what stands in for it; what is thrown away on purpose counts as taken.
    for (line, status, lag) in [
        ("mq-consume -e -g h t >&-", 1, "-"),
        ("mq-consume -e -g h t 1<>/dev/null", 1, "-"),
        ("mq-consume -e -g h t >/dev/null", 0, "0"),
    ] {
        Tally::case();
        let done = bash(&shell, line);
        assert_eq!(done.status, status, "{line}: {}", done.err);
        let reported = done.err.contains("standard output is closed");
        assert_eq!(reported, status == 1, "{line}: {}", done.err);
        let seen = bash(&shell, "mq-groups describe h --format tsv | cut -f 6");
        let seen = seen.text();
        assert_eq!(seen.trim().is_empty(), lag == "-", "{line}: {seen}");
    }
    // How much of it a peer took, a socket does not tell.
    for (args, status) in [
        (&["-e", "-g", "s", "t"][..], 2),
        (&["-e", "-g", "s", "-c", "3", "t"], 0),
        (&["-e", "-g", "s", "--commit", "on-exit", "t"], 0),
        (
            &[
                "-e",
                "-g",
                "s",
                "--exec",
                "cat >/dev/null",
                "--batch",
                "20000",
                "t",
            ],
            0,
        ),
        (&["-e", "t"], 0),
    ] {
        Tally::case();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let reader = std::thread::spawn(move || {
            let mut took = Vec::new();
            std::io::Read::read_to_end(&mut { ours }, &mut took).expect("read");
            took.len()
        });
        let mut command = shell.command("mq-consume", args);
        command.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let done = crate::cli::run(command, b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        let took = reader.join().expect("joined");
        assert!(
            status != 2 || took == 0 && done.err.contains("is a socket"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_signal_waits_for_no_reader() {
    let _tally = Tally::start();
    let shell = filled();
    let many: Vec<String> = (0..400)
        .map(|n| format!("{}{n}", "x".repeat(200)))
        .collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    shell.ok("mq-topics", &[&["create"], &names[..]].concat(), b"");
    let endless = "yes | mq-produce";
    for (line, signal) in [
        ("mq-topics list", Signal::TERM),
        ("mq-topics list --format json", Signal::TERM),
        ("mq-topics describe", Signal::TERM),
        (&format!("{endless} -T u"), Signal::TERM),
        (&format!("{endless} -o '%o\\n' u"), Signal::TERM),
    ] {
        Tally::case();
        // Nobody reads: `sleep` holds the pipe.
        let name = if signal == Signal::INT { "INT" } else { "TERM" };
        let (input, tool) = line.rsplit_once("| ").unwrap_or(("true", line));
        let script = format!(
            "rm -f out; mkfifo out; sleep 60 <out & holder=$!; {input} > >({{ {tool} <&3 >out & }} 3<&0; \
             echo $! >pid; wait $!; echo $? >status) & sleep 1; kill -{name} $(cat pid); for n in $(seq 100); do \
             [ -s status ] && break; sleep 0.1; done; cat status >&2; kill $holder; rm -f status pid"
        );
        let done = bash(&shell, &script);
        let status = (128 + signal.as_raw()).to_string();
        assert_eq!(
            done.err.lines().last(),
            Some(&*status),
            "{line}: {}",
            done.err
        );
    }
}

#[test]
fn a_signal_that_was_not_ignored_waits_for_no_reader() {
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
                started.elapsed() < crate::cli::TIMEOUT,
                "it waits for its reader"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
