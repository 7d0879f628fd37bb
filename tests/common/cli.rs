//! The real tools on a store of their own, run as a shell runs them.
#![allow(dead_code, reason = "each binary uses a part")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The bound of each wait for which the caller gives none.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A directory with a store in it.
pub struct Shell {
    dir: tempfile::TempDir,
    store: PathBuf,
}

impl Shell {
    pub fn new() -> Self {
        Self::on(&std::env::temp_dir())
    }

    pub fn on(place: &Path) -> Self {
        let dir = tempfile::tempdir_in(place).expect("a directory");
        let store = dir.path().join("store");
        Shell { dir, store }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Where the embedded broker keeps its replicas.
    pub fn logs(&self) -> PathBuf {
        self.store.join("brokers/0/logs")
    }

    pub fn command(&self, tool: &str, args: &[&str]) -> Command {
        let exe = match tool {
            "mq-produce" => env!("CARGO_BIN_EXE_mq-produce"),
            "mq-consume" => env!("CARGO_BIN_EXE_mq-consume"),
            "mq-topics" => env!("CARGO_BIN_EXE_mq-topics"),
            "mq-groups" => env!("CARGO_BIN_EXE_mq-groups"),
            "mq-broker" => env!("CARGO_BIN_EXE_mq-broker"),
            other => panic!("no tool {other}"),
        };
        let mut command = Command::new(exe);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("MQ_STORE", &self.store)
            .env("TZ", "UTC")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a tool to its end.
    pub fn run(&self, tool: &str, args: &[&str], input: &[u8]) -> Done {
        run(self.command(tool, args), input)
    }

    /// Runs a tool that must exit with 0; returns its output.
    pub fn ok(&self, tool: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        let done = self.run(tool, args, input);
        assert_eq!(done.status, 0, "{tool} {args:?}: {}", done.err);
        done.out
    }

    pub fn topics(&self, args: &[&str]) {
        self.ok("mq-topics", args, b"");
    }

    pub fn produce(&self, args: &[&str], input: &[u8]) {
        self.ok("mq-produce", args, input);
    }

    pub fn consume(&self, args: &[&str]) -> Vec<u8> {
        self.ok("mq-consume", args, b"")
    }

    pub fn consume_text(&self, args: &[&str]) -> String {
        String::from_utf8(self.consume(args)).expect("text")
    }

    /// Starts a tool and leaves it running.
    pub fn start(&self, tool: &str, args: &[&str]) -> Running {
        let mut command = self.command(tool, args);
        Running::of(command.stdin(Stdio::piped()).spawn().expect("spawn"))
    }
}

/// How a tool ended.
pub struct Done {
    /// The exit status; 128 plus the signal's number if a signal ended it.
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Done {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Done {
            status: status_of(output.status),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub fn status_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs a command to its end, with `input`; kills it if it takes too long.
pub fn run(mut command: Command, input: &[u8]) -> Done {
    let started = Instant::now();
    let mut running = Running::of(command.stdin(Stdio::piped()).spawn().expect("spawn"));
    let input = input.to_vec();
    let stdin = running.child.stdin.take();
    let feeder = std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A tool that refuses its arguments reads nothing.
            let _ = stdin.write_all(&input);
        }
    });
    let done = running.end_within(TIMEOUT * 2);
    feeder.join().expect("fed");
    assert!(started.elapsed() < TIMEOUT * 2, "{command:?} hangs");
    done
}

/// The output of a pipe so far.
#[derive(Clone, Default)]
pub struct Heard(Arc<(Mutex<(Vec<u8>, bool)>, Condvar)>);

impl Heard {
    fn listen(&self, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let heard = self.clone();
        std::thread::spawn(move || {
            let mut buf = vec![0; 65536];
            loop {
                let n = pipe.read(&mut buf).unwrap_or(0);
                let mut state = heard.0.0.lock().expect("unpoisoned");
                state.0.extend_from_slice(&buf[..n]);
                state.1 = n == 0;
                heard.0.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        })
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().expect("unpoisoned").0.clone()
    }

    /// Waits until `wanted` holds for the output; `false` if it did not in time.
    pub fn until(&self, timeout: Duration, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.0.0.lock().expect("unpoisoned");
        loop {
            if wanted(&state.0) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.1 {
                return false;
            }
            state = self.0.1.wait_timeout(state, left).expect("unpoisoned").0;
        }
    }
}

/// A running tool. Dropping it kills it.
pub struct Running {
    pub child: Child,
    pub out: Heard,
    pub err: Heard,
    listeners: Vec<JoinHandle<()>>,
}

impl Running {
    pub fn of(mut child: Child) -> Self {
        let (out, err) = (Heard::default(), Heard::default());
        let mut listeners = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            listeners.push(out.listen(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            listeners.push(err.listen(pipe));
        }
        Running {
            child,
            out,
            err,
            listeners,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("stdin");
        stdin.write_all(bytes).expect("fed");
    }

    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("signalled");
    }

    /// Waits until the output contains `text`.
    pub fn says(&self, text: &str) {
        let found = self.out.until(TIMEOUT, |bytes| {
            memchr::memmem::find(bytes, text.as_bytes()).is_some()
        });
        let (out, err) = (self.out.bytes(), self.err.bytes());
        assert!(
            found,
            "{text:?} not in {:?}; {}",
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&err)
        );
    }

    /// Waits for its end.
    pub fn end_within(&mut self, timeout: Duration) -> Done {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                for listener in self.listeners.drain(..) {
                    listener.join().expect("heard");
                }
                let err = String::from_utf8_lossy(&self.err.bytes()).into_owned();
                return Done {
                    status: status_of(status),
                    out: self.out.bytes(),
                    err,
                };
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                let err = self.err.bytes();
                panic!(
                    "still running after {timeout:?}: {}",
                    String::from_utf8_lossy(&err)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn end(mut self) -> Done {
        self.end_within(TIMEOUT)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of JSON by partition.
pub fn by_partition(lines: &str) -> BTreeMap<i64, Vec<serde_json::Value>> {
    let mut found: BTreeMap<i64, Vec<serde_json::Value>> = BTreeMap::new();
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        found
            .entry(value["partition"].as_i64().expect("a partition"))
            .or_default()
            .push(value);
    }
    found
}
