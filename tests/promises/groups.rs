//! Groups: backlogs, starts, ends, and what they report.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::cli::Shell;

/// Lines with the numbers of a range.
fn numbers(range: std::ops::Range<u32>) -> Vec<u8> {
    let text = range.fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{n}");
        text
    });
    text.into_bytes()
}

/// A store in memory, where there is such a place.
fn quick_shell() -> Shell {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        Shell::on(memory)
    } else {
        Shell::new()
    }
}

/// When the group's members committed, milliseconds.
fn commits(shell: &Shell, group: &str) -> Vec<i64> {
    let log = shell.store().join("groups").join(group).join("offsets.log");
    let text = std::fs::read_to_string(log).expect("read");
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&"commit"))
        .filter_map(|fields| fields.get(1)?.parse().ok())
        .collect()
}

#[test]
fn a_backlog_takes_little_memory_and_is_committed_in_time() {
    let shell = quick_shell();
    shell.produce(&["t"], &numbers(0..3_000_000));
    let mut command = shell.command(
        "mq-consume",
        &["-g", "g", "t", "-e", "--commit-interval", "400ms"],
    );
    let mut child = command.stdout(Stdio::null()).spawn().expect("spawn");
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = kib.unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success());
    assert!(peak < 32 << 10, "{peak} KiB");
    let times = commits(&shell, "g");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        longest.is_some_and(|gap| gap <= 800),
        "{longest:?} ms: {times:?}"
    );
}
