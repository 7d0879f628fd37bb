//! Daemons and tools with few descriptors.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::{Running, Shell, TIMEOUT};
use crate::common::switches::is_long;
use crate::daemons::{brokers, eventually, healthy, quick_shell, topic_file};

/// Traces a process so that some calls fail, until it is dropped. `None`, and a line that says so,
/// where that cannot be done here.
fn fail_calls(pid: u32, args: &[&str]) -> Option<Running> {
    let pid = pid.to_string();
    let tracer = Command::new("strace")
        .args(["-f", "-qq", "-p", &pid, "-o", "/dev/null"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(tracer) = tracer else {
        println!("skipped: no strace here");
        return None;
    };
    let tracer = Running::of(tracer);
    let status = format!("/proc/{pid}/status");
    let traced = || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let mut lines = status.lines();
        lines.any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    };
    for _ in 0..200 {
        if traced() {
            // Its other threads follow.
            std::thread::sleep(Duration::from_millis(200));
            return Some(tracer);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("skipped: strace may trace nothing here");
    None
}

fn lines(broker: &Running) -> usize {
    let all = [broker.out.bytes(), broker.err.bytes()].concat();
    all.iter().filter(|byte| **byte == b'\n').count()
}

fn leader(shell: &Shell, topic: &str) -> u64 {
    let leader = &topic_file(shell, topic)["partitions"][0]["leader"];
    leader.as_u64().expect("a leader")
}

/// A topic led by a broker that is not the controller, and the controller's place among three.
fn led_by_another() -> (Shell, Vec<Running>) {
    let shell = quick_shell();
    let mut running = brokers(&shell, &[1]);
    running.extend(brokers(&shell, &[2, 3]));
    shell.topics(&["create", "t", "--assign", "2:3"]);
    shell.produce(&["t"], b"a\n");
    healthy(&shell);
    (shell, running)
}

#[test]
fn a_topic_file_that_could_not_be_read_once_is_not_forgotten() {
    let (shell, mut running) = led_by_another();
    let paths = ["t.json", "topics/t.json"].map(String::from);
    let store = shell.store().join("topics/t.json");
    let mut args = vec!["-e", "trace=openat2", "-e", "inject=openat2:error=EMFILE"];
    let full = store.to_str().expect("UTF-8").to_owned();
    for path in paths.iter().chain([&full]) {
        args.extend(["-P", path]);
    }
    let Some(mut tracer) = fail_calls(running[0].child.id(), &args) else {
        return;
    };
    shell.topics(&["alter", "t", "-c", "segment.bytes=100000000"]);
    std::thread::sleep(Duration::from_secs(1));
    tracer.signal(rustix::process::Signal::INT);
    tracer.end_within(TIMEOUT);
    std::thread::sleep(Duration::from_millis(1200));
    running[1].child.kill().expect("killed");
    eventually(Duration::from_secs(5), "another leads", || {
        leader(&shell, "t") == 3
    });
    assert!(lines(&running[0]) < 20, "reported once");
    running.clear();
}

#[test]
fn a_daemon_without_descriptors_goes_on_and_health_says_so() {
    let (shell, mut running) = led_by_another();
    let before = lines(&running[1]);
    let args = [
        "-e",
        "trace=openat2,openat",
        "-e",
        "inject=openat2,openat:error=EMFILE",
    ];
    let Some(mut tracer) = fail_calls(running[1].child.id(), &args) else {
        return;
    };
    // Much to be opened.
    shell.topics(&["create", "u", "--assign", "2:3,3:2"]);
    std::thread::sleep(Duration::from_millis(2500));
    let done = shell.run("mq-broker", &["health"], b"");
    let text = done.text() + &done.err;
    assert!(text.contains("broker-descriptors"), "{text}");
    assert_eq!(leader(&shell, "t"), 2, "that is no reason to fence");
    tracer.signal(rustix::process::Signal::INT);
    tracer.end_within(TIMEOUT);
    let reported = lines(&running[1]) - before;
    println!("{reported} lines");
    assert!(reported < 20, "{reported} lines");
    assert!(running[1].child.try_wait().expect("wait").is_none());
    // All is well again by itself.
    healthy(&shell);
    shell.produce(&["u"], b"a\nb\n");
    running.clear();
}

/// A tool that may have so many descriptors.
fn limited(shell: &Shell, descriptors: usize, tool: &str, args: &[&str]) -> Command {
    let inner = shell.command(tool, args);
    let mut outer = Command::new("prlimit");
    outer
        .arg(format!("--nofile={descriptors}:{descriptors}"))
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(shell.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

fn may_limit() -> bool {
    let there = Command::new("prlimit").arg("--version").output().is_ok();
    if !there {
        println!("skipped: no prlimit here");
    }
    there
}

fn records(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|at| format!("{at}\n").into_bytes())
        .collect()
}

fn open_files(running: &Running) -> usize {
    let fds = format!("/proc/{}/fd", running.child.id());
    std::fs::read_dir(fds).expect("a process").count()
}

#[test]
fn daemons_with_few_descriptors_copy_and_fail_over() {
    if !may_limit() {
        return;
    }
    let (partitions, descriptors) = if is_long() { (2000, 4000) } else { (90, 300) };
    let shell = quick_shell();
    let mut running: Vec<_> = ["1", "2", "3"]
        .map(|id| {
            let args = ["start", "--id", id];
            let mut command = limited(&shell, descriptors, "mq-broker", &args);
            let broker = Running::of(command.spawn().expect("spawn"));
            broker.says(" ready: ");
            broker
        })
        .into();
    let count = partitions.to_string();
    shell.topics(&["create", "t", "-p", &count, "-r", "3"]);
    healthy(&shell);
    shell.produce(&["t"], &records(10 * partitions));
    healthy(&shell);
    for broker in &running {
        let open = open_files(broker);
        assert!(open <= descriptors * 3 / 4 + 64, "{open}");
    }
    running[0].child.kill().expect("killed");
    eventually(TIMEOUT, "all leaders have moved", || {
        let topic = topic_file(&shell, "t");
        let partitions = topic["partitions"].as_array().expect("partitions");
        partitions.iter().all(|p| p["leader"] != 1)
    });
    shell.produce(&["t"], &records(10 * partitions));
    let all = shell.consume(&["-e", "t"]);
    let lines = all.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 20 * partitions);
    for broker in running.iter_mut().skip(1) {
        assert!(
            lines_of_trouble(broker) == 0,
            "{}",
            lines_of_trouble(broker)
        );
        assert!(broker.child.try_wait().expect("wait").is_none());
    }
    running.clear();
}

fn lines_of_trouble(broker: &Running) -> usize {
    let all = broker.err.bytes();
    String::from_utf8_lossy(&all).matches("open files").count()
}

#[test]
fn a_producer_holds_four_descriptors_a_partition_and_works_with_fewer() {
    if !may_limit() {
        return;
    }
    let partitions = 400;
    let shell = quick_shell();
    let count = partitions.to_string();
    shell.topics(&["create", "t", "-p", &count]);
    let mut producer = shell.start("mq-produce", &["t", "-o", "%o\n"]);
    let reported = |producer: &Running, many: usize| {
        let heard = producer.out.until(TIMEOUT, |out| {
            out.iter().filter(|byte| **byte == b'\n').count() >= many
        });
        assert!(heard, "{many} acknowledged");
    };
    producer.feed(&records(2 * partitions));
    reported(&producer, 2 * partitions);
    let open = open_files(&producer);
    println!("{open} descriptors for {partitions} partitions");
    assert!(open <= 4 * partitions + 64, "{open}");
    producer.close_stdin();
    assert_eq!(producer.end().status, 0);
    let few = limited(&shell, 100, "mq-produce", &["t"]);
    let done = crate::cli::run(few, &records(2 * partitions));
    assert_eq!(done.status, 0, "{}", done.err);
    let all = shell.consume(&["-e", "t"]);
    let lines = all.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 4 * partitions);
}

#[test]
fn daemons_with_fewer_descriptors_than_topics_fail_over() {
    if !may_limit() {
        return;
    }
    let (topics, descriptors) = (240, 160);
    let shell = quick_shell();
    let mut running: Vec<_> = ["1", "2"]
        .map(|id| {
            let args = ["start", "--id", id];
            let mut command = limited(&shell, descriptors, "mq-broker", &args);
            let broker = Running::of(command.spawn().expect("spawn"));
            broker.says(" ready: ");
            broker
        })
        .into();
    let names: Vec<_> = (0..topics).map(|at| format!("t{at}")).collect();
    let mut args = vec!["create", "--assign", "1:2"];
    args.extend(names.iter().map(String::as_str));
    shell.topics(&args);
    healthy(&shell);
    for broker in &running {
        let open = open_files(broker);
        println!("{open} descriptors for {topics} topics");
        // The cache has three quarters; what else is open for a moment leaves some free.
        assert!(open < descriptors, "{open}");
    }
    running[0].child.kill().expect("killed");
    eventually(TIMEOUT, "all leaders have moved", || {
        names.iter().all(|name| leader(&shell, name) == 2)
    });
    assert_eq!(lines_of_trouble(&running[1]), 0);
    running.clear();
}
