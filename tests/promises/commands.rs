//! Commands that members run, dead letters, and batches.

use std::fmt::Write as _;
use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::cli::{Done, Shell};
use rustix::process::Signal;
use serde_json::Value;

/// A topic `t` of one partition with so many numbered lines.
fn shell_with(lines: usize) -> Shell {
    let shell = Shell::new();
    let input = (0..lines).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{n}");
        text
    });
    shell.produce(&["t"], input.as_bytes());
    shell
}

fn exec(shell: &Shell, command: &str, more: &[&str]) -> Done {
    let args = [&["-g", "g", "t", "-e", "--exec", command][..], more].concat();
    shell.run("mq-consume", &args, b"")
}

/// Runs a script in which `mq-consume` is the tool; bash, for its `PIPESTATUS`.
fn bash(shell: &Shell, script: &str) -> Done {
    let mut command = std::process::Command::new("bash");
    let tool = shell.command("mq-consume", &[]);
    let exe = std::path::Path::new(tool.get_program());
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = exe.parent().expect("a directory").display();
    command
        .args(["-c", script])
        .current_dir(shell.dir())
        .env("MQ_STORE", shell.store())
        .env("PATH", format!("{tools}:{path}"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    crate::cli::run(command, b"")
}

fn committed(shell: &Shell, group: &str) -> i64 {
    let json = shell.ok("mq-groups", &["describe", group, "--format", "json"], b"");
    let group: Value = serde_json::from_slice(&json).expect("JSON");
    group["offsets"][0]["committed_offset"]
        .as_i64()
        .expect("an offset")
}

#[test]
fn a_reader_that_went_away_is_no_fault_of_the_records() {
    for letters in ["", "--dead-letter dlq", "--dead-letter dlq --retries 3"] {
        let shell = shell_with(100);
        let script =
            format!("mq-consume -g g t -e --exec cat {letters} | head -3; echo ${{PIPESTATUS[0]}}");
        let done = bash(&shell, &script);
        assert_eq!(done.text(), "0\n1\n2\n0\n", "{letters}: {}", done.err);
        // What was in the pipe when its reader went is lost to it, as with cat.
        let at = committed(&shell, "g");
        assert!((3..100).contains(&at), "{letters}: {at}");
        let dead = shell.run("mq-consume", &["-e", "dlq"], b"");
        assert_eq!(dead.text(), "", "{letters}");
    }
}

#[test]
fn nor_is_the_other_end_of_a_socket() {
    let shell = shell_with(100);
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket");
    let args = [
        "-g",
        "g",
        "t",
        "-e",
        "--exec",
        "cat",
        "--dead-letter",
        "dlq",
    ];
    let mut command = shell.command("mq-consume", &args);
    command.stdout(std::os::fd::OwnedFd::from(theirs));
    let child = command.spawn().expect("spawn");
    drop(command);
    ours.read_exact(&mut [0; 6]).expect("three lines");
    drop(ours);
    let done = crate::cli::Running::of(child).end();
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(committed(&shell, "g") < 100);
    assert_eq!(shell.run("mq-consume", &["-e", "dlq"], b"").text(), "");
}

#[test]
fn a_command_that_prints_nothing_needs_no_reader() {
    let shell = shell_with(5);
    let done = bash(
        &shell,
        "mq-consume -g g t -e --exec 'cat >> done' | true; echo ${PIPESTATUS[0]}; cat done",
    );
    assert_eq!(done.text(), "0\n0\n1\n2\n3\n4\n", "{}", done.err);
    assert_eq!(committed(&shell, "g"), 5);
}

#[test]
fn a_key_that_does_not_fit_the_environment_is_left_out_with_a_word() {
    let shell = Shell::new();
    for len in [131_064, 131_065, 200_000] {
        let key = "k".repeat(len);
        let record = format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n");
        shell.produce(&["t", "-J"], record.as_bytes());
    }
    let done = exec(&shell, "printf '%s\\n' ${#MQ_KEY}", &[]);
    assert_eq!(
        (done.status, done.text().as_str()),
        (0, "131064\n0\n0\n"),
        "{}",
        done.err
    );
    assert_eq!(done.err.matches("MQ_KEY").count(), 1, "{}", done.err);
    // Everything together is too long, though each string is not.
    let many: Vec<String> = (0..14).map(|_| "x".repeat(131_000)).collect();
    let mut command = shell.command(
        "mq-consume",
        &["-g", "h", "t", "-e", "--exec", "echo ${#MQ_KEY}"],
    );
    for (at, filler) in many.iter().enumerate() {
        command.env(format!("FILLER_{at}"), filler);
    }
    // 14 times 128 KiB are let in, and 16 are not.
    command.env("FILLER_LAST", "x".repeat(130_000));
    let done = crate::cli::run(command, b"");
    assert_eq!(
        (done.status, done.text().as_str()),
        (0, "0\n0\n0\n"),
        "{}",
        done.err
    );
}

#[test]
fn a_command_finds_the_store_that_an_option_named() {
    let shell = shell_with(1);
    let mut command = shell.command(
        "mq-consume",
        &[
            "--store",
            "store",
            "-g",
            "g",
            "t",
            "-e",
            "--exec",
            "cd / && echo $MQ_STORE",
        ],
    );
    command.env_remove("MQ_STORE");
    let done = crate::cli::run(command, b"");
    let store = format!("{}\n", shell.store().display());
    assert_eq!((done.status, done.text()), (0, store), "{}", done.err);
}

#[test]
fn dead_letters_hold_what_their_source_holds() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-c", "max.message.bytes=2000000"]);
    // As large as it may be, and one that is so compressed.
    shell.produce(&["t"], &[&vec![b'v'; 1_999_900][..], b"\n"].concat());
    shell.produce(
        &["t", "-z", "zstd"],
        &[&vec![b'w'; 3_000_000][..], b"\n"].concat(),
    );
    let done = exec(&shell, "false", &["--dead-letter", "dead"]);
    assert_eq!(
        (done.status, committed(&shell, "g")),
        (0, 2),
        "{}",
        done.err
    );
    let dead = shell.consume_text(&["-e", "-f", "%S\\n", "dead"]);
    assert_eq!(dead, "1999900\n3000000\n");
}

#[test]
fn a_dead_letter_that_cannot_be_stored_is_named_with_a_cure() {
    let shell = Shell::new();
    shell.topics(&["create", "dead", "-c", "max.message.bytes=1000"]);
    shell.produce(&["t"], b"small\n");
    shell.produce(&["t"], &[&vec![b'v'; 5000][..], b"\n"].concat());
    let done = exec(&shell, "false", &["--dead-letter", "dead"]);
    assert_ne!(done.status, 0);
    let (error, cure) = (&done.err, "mq-topics alter dead -c max.message.bytes=");
    assert!(error.contains("offset 1 of t:0"), "{error}");
    assert_eq!(committed(&shell, "g"), 1);
    let at = error.find(cure).expect(error) + cure.len();
    let bytes: String = error[at..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    shell.topics(&["alter", "dead", "-c", &format!("max.message.bytes={bytes}")]);
    let done = exec(&shell, "false", &["--dead-letter", "dead"]);
    assert_eq!(
        (done.status, committed(&shell, "g")),
        (0, 2),
        "{}",
        done.err
    );
}

#[test]
fn dead_letters_of_a_batch_are_weighed_before_one_is_stored() {
    let shell = Shell::new();
    shell.topics(&["create", "dead", "-c", "max.message.bytes=300"]);
    shell.produce(&["t"], b"a\nb\n");
    shell.produce(&["t"], &[&vec![b'v'; 900][..], b"\n"].concat());
    let letters = ["--dead-letter", "dead", "--batch", "4"];
    for _ in 0..3 {
        let done = exec(&shell, "false", &letters);
        assert_ne!(done.status, 0);
        assert!(done.err.contains("offset 2 of t:0"), "{}", done.err);
    }
    assert_eq!(shell.consume(&["-e", "dead"]), b"");
    shell.topics(&["alter", "dead", "-c", "max.message.bytes=3000"]);
    let done = exec(&shell, "false", &letters);
    assert_eq!(
        (done.status, committed(&shell, "g")),
        (0, 3),
        "{}",
        done.err
    );
    assert_eq!(
        shell.consume(&["-e", "-f", "%S\\n", "dead"]),
        b"1\n1\n900\n"
    );
}

#[test]
fn a_dead_letter_keeps_the_codec_of_its_record() {
    let shell = Shell::new();
    let large = [&vec![b'v'; 2_000_000][..], b"\n"].concat();
    shell.produce(&["t"], b"first\n");
    shell.produce(&["t", "-z", "zstd"], &large);
    shell.produce(&["t"], b"last\n");
    let done = exec(&shell, "false", &["--dead-letter", "dead", "--batch", "3"]);
    assert_eq!(
        (done.status, committed(&shell, "g")),
        (0, 3),
        "{}",
        done.err
    );
    let dead = shell.consume_text(&["-e", "-f", "%S\\n", "dead"]);
    assert_eq!(dead, "5\n2000000\n4\n");
}

/// Waits until a file of the shell has so many lines.
fn has_lines(shell: &Shell, name: &str, count: usize) -> String {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(shell.dir().join(name)).unwrap_or_default();
        if text.lines().count() >= count {
            return text;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{text}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_next_owner_waits_for_the_command_of_a_killed_member() {
    let shell = shell_with(1);
    let command = "echo begins >> log; sleep 1; echo ends >> log";
    let args = ["-g", "g", "t", "--exec", command];
    let mut first = shell.start("mq-consume", &args);
    has_lines(&shell, "log", 1);
    first.signal(Signal::KILL);
    first.child.wait().expect("dead");
    let mut second = shell.start("mq-consume", &args);
    let text = has_lines(&shell, "log", 4);
    assert_eq!(text, "begins\nends\nbegins\nends\n");
    second.signal(Signal::TERM);
    let done = second.end_within(Duration::from_secs(20));
    assert!(done.err.contains("waiting for process"), "{}", done.err);
    // Nobody runs one any more.
    let left = std::fs::read_dir(shell.store().join("groups/g/commands")).expect("listed");
    assert_eq!(left.count(), 0);
}

#[test]
fn a_command_that_never_ends_is_waited_for_one_session_timeout() {
    let shell = shell_with(1);
    let command = "echo $$ >> log; test $(wc -l < log) -gt 1 || sleep 20";
    let args = ["-g", "g", "t", "--session-timeout", "1s", "--exec", command];
    let mut first = shell.start("mq-consume", &args);
    let pid = has_lines(&shell, "log", 1);
    first.signal(Signal::KILL);
    first.child.wait().expect("dead");
    let started = Instant::now();
    let mut second = shell.start("mq-consume", &args);
    has_lines(&shell, "log", 2);
    assert!(started.elapsed() >= Duration::from_secs(1));
    second.signal(Signal::TERM);
    let done = second.end_within(Duration::from_secs(20));
    assert!(done.err.contains("going on beside it"), "{}", done.err);
    let pid = pid
        .trim()
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(pid.expect("a pid"), Signal::KILL);
}

#[test]
fn a_dead_members_command_keeps_its_own_partition_only() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    // The partition that has most comes first.
    shell.produce(&["t", "-p", "0"], b"a\nb\nc\n");
    shell.produce(&["t", "-p", "1"], b"d\ne\n");
    let command = "echo $MQ_PARTITION >> log; test $(wc -l < log) -gt 1 || sleep 2; echo >> ends";
    let args = ["-g", "g", "t", "--exec", command];
    let mut first = shell.start("mq-consume", &args);
    has_lines(&shell, "log", 1);
    first.signal(Signal::KILL);
    first.child.wait().expect("dead");
    // Nor is the end reached, or given up, before that partition was read.
    let more = ["-e", "--idle-timeout", "1s"];
    let mut second = shell.start("mq-consume", &[&args[..], &more].concat());
    let done = second.end_within(Duration::from_secs(30));
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(has_lines(&shell, "log", 6), "0\n1\n1\n0\n0\n0\n");
    assert!(done.err.contains("waiting for process"), "{}", done.err);
    assert_eq!(has_lines(&shell, "ends", 6).len(), 6);
}

#[test]
fn what_a_command_leaves_in_the_background_keeps_nobody_waiting() {
    let shell = shell_with(2);
    let command = "sleep 15 > /dev/null 2>&1 < /dev/null & echo $! >> pids; echo done >> log";
    let args = ["-g", "g", "t", "-e", "--exec", command];
    let started = Instant::now();
    let done = shell
        .start("mq-consume", &args)
        .end_within(Duration::from_secs(20));
    assert_eq!(done.status, 0, "{}", done.err);
    shell.produce(&["t"], b"more\n");
    let done = shell
        .start("mq-consume", &args)
        .end_within(Duration::from_secs(20));
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(started.elapsed() < Duration::from_secs(10));
    for pid in has_lines(&shell, "pids", 3).lines() {
        let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a pid"), Signal::KILL);
    }
}

#[test]
fn a_batch_is_gathered_over_fetches() {
    let shell = Shell::new();
    // 30 records of 50 kB: five fetches or more.
    let line = [&vec![b'v'; 50_000][..], b"\n"].concat();
    shell.produce(&["t"], &line.repeat(30));
    let done = exec(&shell, "echo $MQ_COUNT; wc -c", &["--batch", "25"]);
    assert_eq!(done.text(), "25\n1250025\n5\n250005\n", "{}", done.err);
    // Never more than 4 MiB, give or take a record.
    shell.produce(&["t"], &line.repeat(100));
    let done = exec(&shell, "echo $MQ_COUNT", &["--batch", "1000"]);
    let counts: Vec<u32> = done.text().lines().filter_map(|n| n.parse().ok()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 100, "{}", done.err);
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert_eq!(committed(&shell, "g"), 130);
}

#[test]
fn no_command_starts_after_a_stop_signal() {
    if !crate::scripts::can("stop while a batch is gathered", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let line = [&vec![b'v'; 50_000][..], b"\n"].concat();
    shell.produce(&["t"], &line.repeat(30));
    // Each read of the log takes its time, so that the signal comes while a batch is gathered.
    let script = r"
log=$MQ_STORE/brokers/0/logs/t-0/00000000000000000000.log
strace -D -f -qq -o trace -e trace=pread64 -P $log -e inject=pread64:delay_enter=300ms \
  mq-consume -g g t --batch 25 --exec 'echo ran >> ran' & consumer=$!
for i in $(seq 100); do [ $(grep -c pread64 trace 2> /dev/null || true) -ge 3 ] && break; sleep 0.05; done
kill $consumer; wait $consumer; echo $?
[ -e ran ] && echo ran
cat trace >&2
exit 0
";
    let done = crate::scripts::bash(&shell, script);
    assert!(!done.text().contains("ran"), "{}{}", done.text(), done.err);
    let reads = done.err.matches("pread64").count();
    assert!(reads >= 3, "{reads}: {}", done.err);
}
