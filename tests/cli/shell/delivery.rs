//! `--acks 0` and `--linger`, as far as they can be seen from outside.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Done, Shell, TIMEOUT, run};
use crate::tally::Tally;

/// mq-produce under strace, and how often it synced; `None` without strace.
fn traced(
    shell: &Shell,
    strace: &[&str],
    args: &[&str],
    input: &[u8],
) -> Option<(Done, Vec<String>)> {
    let log = shell.dir().join("trace");
    let inner = shell.command("mq-produce", args);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(strace)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("MQ_STORE", shell.store())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        println!("shell: skipped: syncs, for there is no strace");
        return None;
    }
    let done = run(command, input);
    let trace = std::fs::read_to_string(&log).expect("a trace");
    Some((done, trace.lines().map(str::to_owned).collect()))
}

/// The echo of what is acknowledged comes after the sync, or with `--acks 0` without one.
#[test]
fn acks_0_waits_for_no_sync() {
    let _tally = Tally::start();
    for (acks, waits, sync) in [
        ("all", true, "300000"),
        ("1", true, "300000"),
        ("0", false, "2000000"),
    ] {
        Tally::case();
        let shell = Shell::new();
        shell.topics(&["create", "t"]);
        // A slow sync that is written down at its end: what waits for it echoes after it, what
        // does not echoes before it. (A delay at the exit is written down before the delay.)
        let slow = format!("inject=fdatasync:delay_enter={sync}");
        let strace = ["-e", "trace=fdatasync,write", "-e", &slow];
        let args = ["--acks", acks, "-o", "echo %o\\n", "t"];
        let Some((done, trace)) = traced(&shell, &strace, &args, b"a\nb\n") else {
            return;
        };
        assert_eq!(
            (done.status, done.text().as_str()),
            (0, "echo 0\necho 1\n"),
            "{}",
            done.err
        );
        let at = |what: &str| trace.iter().position(|line| line.contains(what));
        let echoed = at("\"echo 0").expect("an echo");
        let synced = trace
            .iter()
            .position(|line| line.contains("fdatasync") && line.contains("= 0"))
            .expect("a sync at the end, even so");
        assert_eq!(synced < echoed, waits, "{acks}: {trace:#?}");
        assert_eq!(shell.consume_text(&["-e", "t"]), "a\nb\n");
    }
}

#[test]
fn acks_0_never_syncs_where_nothing_has_to_be() {
    let _tally = Tally::start();
    for acks in ["0", "all"] {
        Tally::case();
        let shell = Shell::new();
        shell.topics(&["create", "t", "-c", "flush.messages=never"]);
        let strace = ["-e", "trace=fdatasync"];
        let Some((done, trace)) = traced(&shell, &strace, &["--acks", acks, "t"], b"a\nb\n") else {
            return;
        };
        assert_eq!(done.status, 0, "{}", done.err);
        let syncs = trace.iter().filter(|line| line.contains("sync(")).count();
        assert_eq!(syncs, 0, "{acks}: {trace:#?}");
        assert_eq!(shell.consume_text(&["-e", "t"]), "a\nb\n");
    }
}

/// How many batches a topic has.
fn batches(shell: &Shell) -> usize {
    let dump = shell.ok("mq-topics", &["dump", "t", "--format", "tsv"], b"");
    dump.iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn linger_gathers_and_holds_nothing_beyond_its_time() {
    let _tally = Tally::start();
    for (linger, together) in [("0ms", false), ("700ms", true)] {
        Tally::case();
        let shell = Shell::new();
        shell.topics(&["create", "t"]);
        let mut tool = shell.start("mq-produce", &["--linger", linger, "-o", "%v\\n", "t"]);
        let begun = Instant::now();
        for line in ["a\n", "b\n", "c\n"] {
            tool.feed(line.as_bytes());
            std::thread::sleep(Duration::from_millis(100));
        }
        // The input is idle and open: all three come all the same.
        assert!(
            tool.out.until(TIMEOUT, |out| out == b"a\nb\nc\n"),
            "{linger}"
        );
        let took = begun.elapsed();
        if together {
            assert!(took >= Duration::from_millis(690), "{linger}: {took:?}");
            assert_eq!(batches(&shell), 1, "{linger}");
        } else {
            assert_eq!(batches(&shell), 3, "{linger}");
        }
        assert!(took < Duration::from_secs(5), "{linger}: {took:?}");
        tool.close_stdin();
        assert_eq!(tool.end().status, 0);
    }
}

#[test]
fn the_end_of_the_input_waits_for_no_linger() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let begun = Instant::now();
    shell.produce(&["--linger", "30s", "t"], b"a\nb\n");
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\nb\n");
    assert_eq!(batches(&shell), 1);
}

#[test]
fn a_link_leads_to_the_store_for_every_tool() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    let done = super::outputs::bash(
        &shell,
        r"mkdir real && ln -s real link && export MQ_STORE=$PWD/link || exit 1
seq 3 | mq-produce -q t && mq-consume -q -e -g g t && mq-topics verify --format tsv | cut -f 3
mq-broker start --id 1 > ready 2> reported & for i in $(seq 200); do grep -q ready: ready && break; sleep 0.05; done
mq-groups describe g --format tsv | cut -f 4; mq-broker status --format tsv | cut -f 1,2
mq-broker stop 2> /dev/null; wait; ls real | grep store.json",
    );
    let wanted = "1\n2\n3\nok\n3\n0\tstopped\n1\trunning\nstore.json\n";
    assert_eq!(done.text(), wanted, "{}", done.err);
}
