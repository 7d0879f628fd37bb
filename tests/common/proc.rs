//! The real tools as processes, each case in its own directory, which is kept after a failure.

#![allow(dead_code, reason = "each binary uses a part")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a process may take, including the first one after a kill.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The failure of a case.
pub type Failure = String;

/// Fails a case unless something holds.
macro_rules! hold {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// How a process ended and what it printed.
pub struct Ran {
    /// The command, for messages.
    pub what: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    /// The exit status, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The command, its end and its messages.
    pub fn ending(&self) -> String {
        format!("{} ended with {}: {}", self.what, self.status, self.stderr)
    }

    /// The complete lines that were printed.
    pub fn lines(&self) -> Vec<String> {
        let whole = self
            .stdout
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        String::from_utf8_lossy(&self.stdout[..whole])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Checks that it ended with this status.
    pub fn expect(self, code: i32) -> Result<Ran, Failure> {
        if self.code() == Some(code) {
            return Ok(self);
        }
        Err(format!(
            "{} ended with {}, not {code}: {}",
            self.what, self.status, self.stderr
        ))
    }
}

/// The path of one of the five tools.
pub fn tool(name: &str) -> &'static str {
    match name {
        "mq-produce" => env!("CARGO_BIN_EXE_mq-produce"),
        "mq-consume" => env!("CARGO_BIN_EXE_mq-consume"),
        "mq-topics" => env!("CARGO_BIN_EXE_mq-topics"),
        "mq-groups" => env!("CARGO_BIN_EXE_mq-groups"),
        "mq-broker" => env!("CARGO_BIN_EXE_mq-broker"),
        other => panic!("no tool {other}"),
    }
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Whether strace is installed. In CI it must be.
///
/// # Panics
///
/// In CI, if it is not.
pub fn has_strace(test: &str) -> bool {
    if has("strace") {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{test}: strace is missing; CI needs it (apt-get install strace)"
    );
    println!("{test}: skipped: strace is missing");
    false
}

/// A case's directory: the store is `store` in it, beside the inputs and outputs of its processes.
pub struct Place {
    dir: PathBuf,
    store: PathBuf,
    runs: AtomicUsize,
}

impl Place {
    /// A new directory, in memory if there is a memory file system.
    pub fn new(name: &str) -> Place {
        let shm = Path::new("/dev/shm");
        let parent = if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = tempfile::Builder::new()
            .prefix(&format!("mq-{name}-"))
            .tempdir_in(parent)
            .expect("a directory for the case");
        let dir = dir.keep();
        let store = dir.join("store");
        Place {
            dir,
            store,
            runs: AtomicUsize::new(0),
        }
    }

    /// The same case with its store elsewhere.
    pub fn with_store(&self, store: PathBuf) -> Place {
        Place {
            dir: self.dir.clone(),
            store,
            runs: AtomicUsize::new(50),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn store(&self) -> &Path {
        &self.store
    }

    pub fn remove(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Writes an input file.
    pub fn input(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.dir.join(name);
        let mut text = lines.join("\n");
        text.push('\n');
        fs::write(&path, text).expect("input");
        path
    }

    /// A copy of another place's store, with new inode numbers throughout.
    pub fn copy_store(&self, from: &Path) {
        let done = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(self.store())
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "cp -a {}",
            from.display()
        );
    }

    /// Runs a tool to its end.
    pub fn run(&self, name: &str, args: &[&str]) -> Result<Ran, Failure> {
        self.start(&[], name, args, None)?.end()
    }

    /// The same, with a file as its input.
    pub fn feed(&self, name: &str, args: &[&str], input: &Path) -> Result<Ran, Failure> {
        self.start(&[], name, args, Some(input))?.end()
    }

    /// Runs a shell script in which `$MQ_STORE` is the store and the tools are on the path.
    pub fn shell(&self, script: &str) -> Result<Ran, Failure> {
        let mut command = Command::new("bash");
        command.arg("-c").arg(script);
        self.spawn(command, format!("bash -c '{script}'"), None)?
            .end()
    }

    /// Starts a tool behind a prefix such as strace and its arguments.
    pub fn start(
        &self,
        prefix: &[&str],
        name: &str,
        args: &[&str],
        input: Option<&Path>,
    ) -> Result<Running, Failure> {
        let argv: Vec<&str> = prefix
            .iter()
            .copied()
            .chain([tool(name)])
            .chain(args.iter().copied())
            .collect();
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]);
        let what = prefix
            .iter()
            .copied()
            .chain([name])
            .chain(args.iter().copied());
        self.spawn(command, what.collect::<Vec<_>>().join(" "), input)
    }

    /// Starts strace, or another program that is not one of the tools.
    pub fn trace(&self, argv: &[&str]) -> Result<Running, Failure> {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]);
        self.spawn(command, argv.join(" "), None)
    }

    /// Starts a command in the case's directory.
    pub fn spawn(
        &self,
        mut command: Command,
        what: String,
        input: Option<&Path>,
    ) -> Result<Running, Failure> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let stdout = self.dir.join(format!("{number:02}.out"));
        let stderr = self.dir.join(format!("{number:02}.err"));
        let file = |path: &Path| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
        let stdin = match input {
            Some(path) => {
                Stdio::from(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?)
            }
            None => Stdio::null(),
        };
        let mut path = OsString::from(Path::new(tool("mq-produce")).parent().expect("a parent"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let child = command
            .env("MQ_STORE", self.store())
            .env("PATH", path)
            .current_dir(&self.dir)
            .stdin(stdin)
            .stdout(file(&stdout)?)
            .stderr(file(&stderr)?)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{what}: {e}"))?;
        Ok(Running {
            child,
            what,
            stdout,
            stderr,
        })
    }
}

/// A running process, with all processes that it started.
pub struct Running {
    pub child: std::process::Child,
    what: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Waits for its end; a process that takes too long is killed, which is a failure.
    pub fn end(mut self) -> Result<Ran, Failure> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            if begun.elapsed() > TIMEOUT {
                self.signal_group(rustix::process::Signal::KILL);
                let _ = self.child.wait();
                let said = fs::read_to_string(&self.stderr).unwrap_or_default();
                return Err(format!("{} hangs: {said}", self.what));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Ran {
            what: self.what,
            status,
            stdout: fs::read(&self.stdout).map_err(|e| e.to_string())?,
            stderr: String::from_utf8_lossy(&fs::read(&self.stderr).map_err(|e| e.to_string())?)
                .into_owned(),
        })
    }

    /// Its standard output so far.
    pub fn printed(&self) -> Vec<u8> {
        fs::read(&self.stdout).unwrap_or_default()
    }

    /// Its standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// How many lines it has printed so far.
    pub fn lines_so_far(&self) -> usize {
        let printed = self.printed();
        printed.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Waits until it has printed this many lines.
    pub fn prints(&self, lines: usize) -> Result<(), Failure> {
        let begun = Instant::now();
        while self.lines_so_far() < lines {
            hold!(
                begun.elapsed() < TIMEOUT,
                "{} of {lines} lines were printed",
                self.lines_so_far()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal to it and to all processes that it started.
    pub fn signal_group(&self, signal: rustix::process::Signal) {
        let group = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// Runs cases on two workers, counts them, and keeps their failures.
#[derive(Default)]
pub struct Score {
    cases: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Score {
    /// Runs one case in its own place, which is kept if the case fails.
    pub fn case(&self, name: &str, body: impl FnOnce(&Place) -> Result<(), Failure>) {
        self.cases.fetch_add(1, Ordering::Relaxed);
        let place = Place::new("case");
        match body(&place) {
            Ok(()) => place.remove(),
            Err(failure) => {
                let text = format!("{name}: {failure}\n    kept: {}", place.dir().display());
                println!("FAILED {text}");
                self.failures.lock().expect("failures").push(text);
            }
        }
    }

    /// Prints the closing line.
    ///
    /// # Panics
    ///
    /// If a case failed, or none ran.
    pub fn close(self, test: &str) {
        let cases = self.cases.into_inner();
        let failures = self.failures.into_inner().expect("failures");
        println!("{test}: {cases} cases, {} failures", failures.len());
        assert!(cases > 0, "{test}: nothing ran");
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// A record as `mq-consume -J` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub partition: i64,
    pub offset: i64,
    pub value: String,
}

/// The records in the output of `mq-consume -J`.
pub fn seen(ran: &Ran) -> Result<Vec<Seen>, Failure> {
    hold!(
        ran.stdout.is_empty() || ran.stdout.ends_with(b"\n"),
        "{}: a torn line",
        ran.what
    );
    let parse = |line: String| {
        let json: serde_json::Value =
            serde_json::from_str(&line).map_err(|e| format!("{}: {e}: {line}", ran.what))?;
        let whole = || {
            Some(Seen {
                partition: json.get("partition")?.as_i64()?,
                offset: json.get("offset")?.as_i64()?,
                value: json.get("value")?.as_str()?.to_owned(),
            })
        };
        whole().ok_or_else(|| format!("{}: not a whole record: {line}", ran.what))
    };
    ran.lines().into_iter().map(parse).collect()
}

/// The records that `mq-produce -o '%p %o %v\n'` acknowledged.
pub fn acknowledged(ran: &Ran) -> Result<Vec<Seen>, Failure> {
    let parse = |line: String| {
        let mut parts = line.splitn(3, ' ');
        let mut whole = || {
            Some(Seen {
                partition: parts.next()?.parse().ok()?,
                offset: parts.next()?.parse().ok()?,
                value: parts.next()?.to_owned(),
            })
        };
        whole().ok_or_else(|| format!("{}: a strange echo: {line}", ran.what))
    };
    ran.lines().into_iter().map(parse).collect()
}

/// Reads a topic to its end and checks it: gapless from 0, each value one of those sent, in the
/// order sent within its partition and only once, and every acknowledged record in its place.
/// `sent` is one list for each producer.
pub fn check_log(
    place: &Place,
    topic: &str,
    sent: &[&[String]],
    owed: &[Seen],
) -> Result<Vec<Seen>, Failure> {
    let there = seen(&place.run("mq-consume", &["-J", "-e", topic])?.expect(0)?)?;
    let mut due = std::collections::BTreeMap::new();
    let mut last = std::collections::BTreeMap::new();
    let mut places = std::collections::BTreeMap::new();
    let order: std::collections::HashMap<&str, (usize, usize)> = sent
        .iter()
        .enumerate()
        .flat_map(|(producer, lines)| {
            lines
                .iter()
                .enumerate()
                .map(move |(at, line)| (line.as_str(), (producer, at)))
        })
        .collect();
    for record in &there {
        let due = due.entry(record.partition).or_insert(0);
        hold!(
            record.offset == *due,
            "{topic}-{}: {} where {due} is expected",
            record.partition,
            record.offset
        );
        *due += 1;
        let Some((producer, at)) = order.get(record.value.as_str()) else {
            return Err(format!("{record:?} was never sent"));
        };
        if let Some(before) = last.insert((record.partition, *producer), *at) {
            hold!(
                before < *at,
                "{record:?} is out of order, after line {before}"
            );
        }
        hold!(
            places.insert(&record.value, record).is_none(),
            "{record:?} is there twice"
        );
    }
    for record in owed {
        let found = places.get(&record.value);
        hold!(
            found == Some(&record),
            "acknowledged {record:?}, found {found:?}"
        );
    }
    Ok(there)
}

/// Checks that the store works without repair: one more record can be written and read, and nothing
/// is damaged.
pub fn works_on(place: &Place, topic: &str) -> Result<(), Failure> {
    let line = format!("on and on {}", place.runs.load(Ordering::Relaxed));
    let input = place.input("more", std::slice::from_ref(&line));
    let echo = place
        .feed("mq-produce", &["-o", "%p %o %v\n", topic], &input)?
        .expect(0)?;
    let more = acknowledged(&echo)?;
    hold!(more.len() == 1, "{} echoed {more:?}", echo.what);
    let there = seen(&place.run("mq-consume", &["-J", "-e", topic])?.expect(0)?)?;
    hold!(there.contains(&more[0]), "{:?} is not there", more[0]);
    place.run("mq-topics", &["verify", "--deep"])?.expect(0)?;
    Ok(())
}
