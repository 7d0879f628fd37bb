//! Daemons and tools with few descriptors.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::{PATIENCE, Running, Shell};
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
    std::thread::sleep(Duration::from_millis(1000));
    tracer.signal(rustix::process::Signal::INT);
    tracer.end_within(PATIENCE);
    std::thread::sleep(Duration::from_millis(1200));
    running[1].child.kill().expect("killed");
    eventually(Duration::from_secs(5), "another leads", || {
        leader(&shell, "t") == 3
    });
    assert!(lines(&running[0]) < 20, "told once");
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
    tracer.end_within(PATIENCE);
    let told = lines(&running[1]) - before;
    println!("{told} lines");
    assert!(told < 20, "{told} lines");
    assert!(running[1].child.try_wait().expect("wait").is_none());
    // All is well again by itself.
    healthy(&shell);
    shell.produce(&["u"], b"a\nb\n");
    running.clear();
}
