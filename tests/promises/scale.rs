//! Commands over topics of thousands of partitions take linear time.
//!
//! Counted, not timed: how often a command opens the topic file and the broker's registration, and
//! how many system calls it makes for a topic of twice as many partitions.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::cli::{Running, Shell};
use crate::scripts::can;

/// Partitions of the smaller topic.
const FEW: usize = 40;
/// A command over twice as many partitions makes at most so many times the system calls.
const GROWTH_MAX: f64 = 2.2;
/// Topic file, registration and proof of a deletion may be opened so often, whatever the number of partitions.
const OPENS_MAX: usize = 12;

/// What a command does.
struct Count {
    calls: usize,
    topic_file: usize,
    registration: usize,
    proof: usize,
}

fn count(shell: &Shell, tool: &str, args: &[&str]) -> Count {
    let plain = shell.command(tool, args);
    let trace = shell.dir().join("trace");
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-s", "256", "-o"])
        .arg(&trace)
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(shell.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    let done = crate::cli::run(traced, b"");
    assert!(
        matches!(done.status, 0 | 1),
        "{tool} {args:?}: {} {}",
        done.status,
        done.err
    );
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    let opens = |name: &str| {
        let opened = |line: &&str| {
            line.contains("openat") && line.contains(name) && !line.contains(" = -1 ")
        };
        trace.lines().filter(opened).count()
    };
    Count {
        calls: trace.lines().count(),
        topic_file: opens("\"big.json\""),
        registration: opens("broker.json\""),
        proof: opens("\"deleted/"),
    }
}

/// A topic with records in each partition, and a group that read it.
fn store_with(partitions: usize) -> Shell {
    let memory = Path::new("/dev/shm");
    let shell = if memory.is_dir() {
        Shell::on(memory)
    } else {
        Shell::new()
    };
    let count = partitions.to_string();
    shell.topics(&["create", "big", "-p", &count, "-c", "flush.messages=never"]);
    let lines: String = (0..partitions).map(|n| format!("{n}\n")).collect();
    shell.produce(&["--batch-size", "1KiB", "big"], lines.as_bytes());
    shell.consume(&["-e", "-g", "g", "big"]);
    shell
}

/// Every command over a topic or a group, in an order in which each finds what it needs.
const COMMANDS: [&str; 26] = [
    "mq-topics describe big",
    "mq-topics describe big --format json",
    "mq-topics list",
    "mq-topics list --sizes",
    "mq-topics offsets big",
    "mq-topics offsets big --at @-10m",
    "mq-topics verify big",
    "mq-topics dump big",
    "mq-consume -e big",
    "mq-consume -e --tail 3 big",
    "mq-consume -e -g h big",
    "mq-groups describe g",
    "mq-groups check g --warn 10 --critical 100",
    "mq-groups reset g --to start --yes --topic big",
    "mq-groups undo g --yes",
    "mq-groups clone g i",
    "mq-groups list",
    "mq-groups peek g",
    "mq-topics alter big -c flush.messages=1",
    "mq-broker health",
    "mq-broker status",
    "mq-broker list",
    "mq-groups delete-offsets g --topic big --yes",
    "mq-groups delete g --yes",
    "mq-topics delete big --yes",
    "mq-topics list big",
];

#[test]
fn no_command_reads_a_topic_file_for_each_partition() {
    if !can("scale", &["strace"], false) {
        return;
    }
    let (few, many) = (store_with(FEW), store_with(2 * FEW));
    let mut bad = BTreeMap::new();
    for command in COMMANDS {
        let mut words = command.split(' ');
        let tool = words.next().expect("a tool");
        let args: Vec<&str> = words.collect();
        let (few, many) = (count(&few, tool, &args), count(&many, tool, &args));
        let growth = many.calls as f64 / few.calls as f64;
        let opens = [many.topic_file, many.registration, many.proof];
        if opens.iter().any(|n| *n > OPENS_MAX) || growth > GROWTH_MAX {
            let reported = format!(
                "opened the topic file {} times, the registration {} times, the proof of a deletion \
                 {} times; {} system calls, {} for half as many partitions",
                many.topic_file, many.registration, many.proof, many.calls, few.calls
            );
            bad.insert(command, reported);
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// How long a command that is asked to end may go on, and what a busy machine adds.
const END_MAX: Duration = Duration::from_millis(200);
const BUSY: Duration = Duration::from_secs(1);

/// Commands that take their time: each look at a file takes a while.
const LONG: [&str; 18] = [
    "mq-topics describe big",
    "mq-topics list --sizes",
    "mq-topics offsets big",
    "mq-topics verify big",
    "mq-topics dump big",
    "mq-topics create new -p 80",
    "mq-topics alter big --partitions 200",
    "mq-topics alter big -c flush.messages=1",
    "mq-groups describe g",
    "mq-groups check g --warn 10",
    "mq-groups peek g",
    "mq-groups reset g --to start --yes --topic big",
    "mq-broker health",
    "mq-broker status",
    "mq-consume -e big",
    "mq-consume -e --tail 3 big",
    "mq-consume -g j b*",
    "mq-topics delete big --yes",
];

/// The process that strace runs.
fn child_of(pid: u32) -> Pid {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let until = Instant::now() + crate::cli::TIMEOUT;
    loop {
        let found = std::fs::read_to_string(&children).unwrap_or_default();
        let child = found.split_whitespace().next();
        if let Some(child) = child.and_then(|child| child.parse().ok()) {
            return Pid::from_raw(child).expect("a pid");
        }
        assert!(Instant::now() < until, "strace runs nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_signal_ends_a_command_between_partitions() {
    if !can("scale", &["strace"], false) {
        return;
    }
    let shell = store_with(100);
    let mut bad = BTreeMap::new();
    for command in LONG {
        let mut words = command.split(' ');
        let tool = words.next().expect("a tool");
        let args: Vec<&str> = words.collect();
        let plain = shell.command(tool, &args);
        let mut slowed = Command::new("strace");
        let slow = "inject=openat2:delay_enter=5000";
        slowed
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=openat2",
                "-e",
                slow,
            ])
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(shell.dir())
            .env("MQ_STORE", shell.store())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = Running::of(slowed.spawn().expect("strace"));
        std::thread::sleep(Duration::from_millis(250));
        let child = child_of(running.child.id());
        let asked = Instant::now();
        if rustix::process::kill_process(child, Signal::TERM).is_err() {
            bad.insert(command, "ended before it was asked to".to_owned());
        }
        let done = running.end_within(crate::cli::TIMEOUT);
        let took = asked.elapsed();
        // strace ends as what it ran.
        // Replicas that were made for nothing are removed first.
        let removes = args.contains(&"-p") || args.contains(&"--partitions");
        let undone = if removes { 4 * BUSY } else { Duration::ZERO };
        if done.status != 128 + 15 || took > END_MAX + BUSY + undone {
            bad.insert(command, format!("{}, {took:?}: {}", done.status, done.err));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
    // What was being made is gone.
    let left = std::fs::read_dir(shell.logs()).expect("logs");
    let left = left.filter(|entry| {
        let name = entry.as_ref().expect("entry").file_name();
        !name.to_string_lossy().starts_with("big-")
    });
    let left: Vec<_> = left
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert!(left.len() <= 1, "{left:?}");
}

/// A tool that may have so many descriptors.
fn with_descriptors(shell: &Shell, limit: usize, tool: &str, args: &[&str]) -> Command {
    let plain = shell.command(tool, args);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(shell.dir())
        .env("MQ_STORE", shell.store())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    limited
}

#[test]
fn more_partitions_are_read_than_there_are_descriptors() {
    const PARTITIONS: usize = 100;
    const DESCRIPTORS: usize = 96;
    let shell = Shell::new();
    let count = PARTITIONS.to_string();
    shell.topics(&["create", "big", "-p", &count, "-c", "flush.messages=never"]);
    let lines = |round: usize| -> String {
        let numbers = (0..PARTITIONS).map(|n| format!("{round}-{n}\n"));
        numbers.collect()
    };
    let sorted = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let mut all = Vec::new();
    let mut produce = |round: usize| {
        let more = lines(round);
        shell.produce(&["big"], more.as_bytes());
        all.extend(sorted(more.as_bytes()));
        all.sort_unstable();
        all.clone()
    };
    let expected = produce(0);
    let args: [&[&str]; 3] = [
        &["-e", "big"],
        &["-e", "-g", "g", "big"],
        &["-e", "--tail", "1000", "big"],
    ];
    for args in args {
        let command = with_descriptors(&shell, DESCRIPTORS, "mq-consume", args);
        let done = crate::cli::run(command, b"");
        assert_eq!(
            (done.status, sorted(&done.out)),
            (0, expected.clone()),
            "{args:?}: {}",
            done.err
        );
    }
    // Two that follow: what comes while all but some are closed comes, too.
    let follow = |args: &[&str]| {
        let mut command = with_descriptors(&shell, DESCRIPTORS, "mq-consume", args);
        Running::of(command.spawn().expect("spawn"))
    };
    let plain = follow(&["big"]);
    let member = follow(&["-g", "h", "-o", "start", "big"]);
    let mut expected = expected;
    for round in 1..4 {
        for running in [&plain, &member] {
            let came = running.out.until(crate::cli::TIMEOUT, |bytes| {
                memchr::memchr_iter(b'\n', bytes).count() >= expected.len()
            });
            let err = String::from_utf8_lossy(&running.err.bytes()).into_owned();
            assert!(came, "round {round}: {err}");
            assert_eq!(sorted(&running.out.bytes()), expected, "{err}");
        }
        expected = produce(round);
    }
    for mut running in [plain, member] {
        running.signal(Signal::TERM);
        let asked = Instant::now();
        running.end_within(crate::cli::TIMEOUT);
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
}
