//! A member as a process whose output goes into a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Shell, status_of};

pub struct Member {
    pub child: Child,
    pub out: PathBuf,
    pub err: PathBuf,
    pub is_paused: bool,
}

impl Member {
    /// Starts one; `n` names its files.
    pub fn start(shell: &Shell, n: usize, args: &[&str]) -> Self {
        let out = File::create(shell.dir().join(format!("out{n}"))).expect("made");
        Member::start_with(shell, n, args, out.into())
    }

    /// Starts one into a pipe, whose reader leaves after so many bytes.
    pub fn start_into_pipe(shell: &Shell, n: usize, args: &[&str], bytes: u64) -> Self {
        let mut member = Member::start_with(shell, n, args, Stdio::piped());
        let pipe = member.child.stdout.take().expect("a pipe");
        let mut out = File::create(&member.out).expect("made");
        std::thread::spawn(move || std::io::copy(&mut pipe.take(bytes), &mut out));
        member
    }

    fn start_with(shell: &Shell, n: usize, args: &[&str], stdout: Stdio) -> Self {
        let out = shell.dir().join(format!("out{n}"));
        let err = shell.dir().join(format!("err{n}"));
        let child = shell
            .command("mq-consume", args)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(File::create(&err).expect("made"))
            .spawn()
            .expect("started");
        Member {
            child,
            out,
            err,
            is_paused: false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("signalled");
    }

    /// Waits for its end; the exit status, 128 and the signal's number where one ended it.
    pub fn end_within(&mut self, timeout: Duration) -> i32 {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status_of(status);
            }
            assert!(
                Instant::now() < until,
                "still running: {}",
                self.complaint()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn complaint(&self) -> String {
        std::fs::read_to_string(&self.err).expect("stderr")
    }

    /// What it printed with `%p %o %v`: whole lines only.
    pub fn printed(&self) -> Vec<(i64, i64, String)> {
        let text = std::fs::read_to_string(&self.out).expect("stdout");
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        text[..whole].lines().map(record).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `%p %o %v`.
pub fn record(line: &str) -> (i64, i64, String) {
    let mut fields = line.splitn(3, ' ');
    let mut number = || {
        let field = fields.next().and_then(|field| field.parse().ok());
        field.expect("a number")
    };
    let (partition, offset) = (number(), number());
    (
        partition,
        offset,
        fields.next().unwrap_or_default().to_owned(),
    )
}

/// How often each record was printed, and by which members.
pub fn deliveries(members: &[Member]) -> BTreeMap<(i64, i64), Vec<usize>> {
    let mut seen: BTreeMap<(i64, i64), Vec<usize>> = BTreeMap::new();
    for (n, member) in members.iter().enumerate() {
        for (partition, offset, _) in member.printed() {
            seen.entry((partition, offset)).or_default().push(n);
        }
    }
    seen
}
