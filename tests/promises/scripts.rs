//! Scripts in bash, in which the tools are on the path.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::{Done, Running, Shell, run};

/// Runs a script in the shell's directory, with its store.
pub fn bash(shell: &Shell, script: &str) -> Done {
    let tool = shell.command("mq-consume", &[]);
    let tools = Path::new(tool.get_program()).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .current_dir(shell.dir())
        .env("MQ_STORE", shell.store())
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    run(command, b"")
}

/// Runs a script that must end with 0; what it printed.
pub fn bash_ok(shell: &Shell, script: &str) -> String {
    let done = bash(shell, script);
    assert_eq!(done.status, 0, "{script}\n{}\n{}", done.text(), done.err);
    done.text()
}

/// Starts a tool under strace, with its standard streams piped. `strace`: what to trace and what to
/// do with it; the trace is written to `trace` in the shell's directory.
pub fn traced(shell: &Shell, strace: &[&str], tool: &str, args: &[&str]) -> Running {
    let plain = shell.command(tool, args);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace"]).args(strace);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(shell.dir());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Running::of(piped.stderr(Stdio::piped()).spawn().expect("strace starts"))
}

/// Whether these programs are there, and root if that is needed. In CI programs have to be.
pub fn can(test: &str, programs: &[&str], root: bool) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &&&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if let Some(missing) = programs.iter().find(|program| !has(program)) {
        assert!(
            std::env::var_os("CI").is_none(),
            "{test}: {missing} is missing; CI needs it"
        );
        println!("{test}: skipped: {missing} is missing");
        return false;
    }
    if root && !rustix::process::geteuid().is_root() {
        println!("{test}: skipped: only root may do that");
        return false;
    }
    true
}

/// The fields of a state page that these tests look at.
pub struct Page {
    pub generation: u64,
    pub intent: u8,
    pub end: i64,
    pub durable: i64,
    pub high_watermark: i64,
}

/// The newer copy of a replica's page.
pub fn page(replica: &Path) -> Page {
    let raw = std::fs::read(replica.join("partition.state")).expect("a page");
    let u64_at = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().expect("8 bytes"));
    let copy = if u64_at(8) > u64_at(4096 + 8) {
        0
    } else {
        4096
    };
    let number = |at| u64_at(copy + at).cast_signed();
    Page {
        generation: u64_at(copy + 64),
        intent: raw[copy + 77],
        end: number(168),
        durable: number(232),
        high_watermark: number(264),
    }
}

/// The parts of a script that starts brokers 1 and 2 and waits until they are ready; it kills them
/// at its end.
pub const TWO_BROKERS: &str = r#"
trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT
for id in 1 2; do mq-broker start --id $id > b$id 2>&1 & echo $! > pid$id; done
until [ "$(cat b1 b2 | grep -c ready:)" = 2 ]; do sleep 0.05; done
"#;

/// Runs a test's cases, up to three at a time, since each of them mostly waits. A case that panics
/// fails the test.
pub fn side_by_side<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(case);
                }
            });
        }
    });
}
