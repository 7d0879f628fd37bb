//! Three brokers, their log directories, and those that write and read.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mq::record::{BatchView, Decompressor};
use rustix::process::{Pid, Signal, kill_process};

use super::history::{Copy, Event, History, Stored, Tp};
use super::journal::Journal;
use super::watch::{Places, log_bytes};
use crate::cli::status_of;

pub const BROKERS: [i64; 3] = [1, 2, 3];

pub fn command(tool: &str, places: &Places) -> Command {
    let exe = match tool {
        "mq-produce" => env!("CARGO_BIN_EXE_mq-produce"),
        "mq-consume" => env!("CARGO_BIN_EXE_mq-consume"),
        "mq-topics" => env!("CARGO_BIN_EXE_mq-topics"),
        "mq-broker" => env!("CARGO_BIN_EXE_mq-broker"),
        other => panic!("no tool {other}"),
    };
    let mut command = Command::new(exe);
    command.env("MQ_STORE", &places.store).stdin(Stdio::null());
    command
}

pub fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // One that has ended is found out when it is waited for.
    let _ = kill_process(pid.expect("a pid"), signal);
}

/// Waits for an end; kills what takes too long, which then counts as an error.
pub fn wait(child: &mut Child, timeout: Duration) -> i32 {
    let until = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status_of(status);
        }
        if Instant::now() > until {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A broker; killed when dropped.
pub struct Broker {
    pub id: i64,
    pub child: Option<Child>,
}

impl Broker {
    pub fn start(&mut self, places: &Places, journal: &Journal) {
        let (_, logs) = places
            .logs
            .iter()
            .find(|(id, _)| *id == self.id)
            .expect("a broker");
        let mut child = command("mq-broker", places)
            .args(["start", "--log-dir"])
            .arg(logs)
            .arg(format!("--id={}", self.id))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let name = format!("broker {} ({})", self.id, child.id());
        journal.listen(&name, child.stdout.take());
        journal.listen(&name, child.stderr.take());
        self.child = Some(child);
    }

    pub fn signal(&self, which: Signal) {
        if let Some(child) = &self.child {
            signal(child, which);
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A producer and the thread that feeds it.
pub struct Producer {
    number: usize,
    topic: String,
    pub pid: Option<Pid>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(i32, usize)>,
    out: PathBuf,
    err: PathBuf,
}

impl Producer {
    pub fn start(number: usize, topic: &str, places: &Places, dir: &Path) -> Producer {
        let out = dir.join(format!("produced-{number}"));
        let err = dir.join(format!("producer-{number}.err"));
        let mut child = command("mq-produce", places)
            .args([
                topic,
                "-q",
                "--acks",
                "all",
                "--timeout",
                "30s",
                "-o",
                "%p %o %v\\n",
            ])
            .stdin(Stdio::piped())
            .stdout(File::create(&out).expect("out"))
            .stderr(File::create(&err).expect("err"))
            .spawn()
            .expect("spawn");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let stop = Arc::new(AtomicBool::new(false));
        let reported = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut input = child.stdin.take().expect("stdin");
            let mut sent = 0;
            while !reported.load(Ordering::Relaxed) {
                let size = 40 + (sent * 7919 + number * 31) % 600;
                let line = format!("{number}-{sent}-{}\n", "x".repeat(size));
                if input.write_all(line.as_bytes()).is_err() {
                    break;
                }
                sent += 1;
                std::thread::sleep(Duration::from_millis(8));
            }
            drop(input);
            (wait(&mut child, Duration::from_secs(60)), sent)
        });
        Producer {
            number,
            topic: topic.to_owned(),
            pid,
            stop,
            thread,
            out,
            err,
        }
    }

    /// It gets no more input.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What it was reported; how many records it was.
    pub fn end(self, history: &mut History) -> usize {
        self.stop();
        let (status, sent) = self.thread.join().expect("fed");
        let said = fs::read_to_string(&self.err).unwrap_or_default();
        let printed = fs::read_to_string(&self.out).expect("text");
        let before = history.len();
        for line in printed
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let mut words = line.trim_end().splitn(3, ' ');
            let mut word = || words.next().expect("three words");
            history.push(Event::Acknowledged {
                producer: self.number,
                tp: (self.topic.clone(), word().parse().expect("a partition")),
                offset: word().parse().expect("an offset"),
                value: word().to_owned(),
            });
        }
        let reported = history.len() - before;
        let what = format!(
            "producer {} with {reported} of {sent} acknowledged",
            self.number
        );
        // One that ends well was notified of all its records.
        let status = if status == 0 && reported != sent {
            -1
        } else {
            status
        };
        history.push(Event::Ended { what, status, said });
        reported
    }
}

/// A consumer of all topics, from their beginning.
pub struct Reader {
    number: usize,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Reader {
    pub fn start(number: usize, args: &[&str], places: &Places, dir: &Path) -> Reader {
        let out = dir.join(format!("read-{number}"));
        let err = dir.join(format!("reader-{number}.err"));
        let child = command("mq-consume", places)
            .args(&places.topics)
            .args(args)
            .args(["-f", "%t %p %o %v\\n"])
            .stdout(File::create(&out).expect("out"))
            .stderr(File::create(&err).expect("err"))
            .spawn()
            .expect("spawn");
        Reader {
            number,
            child,
            out,
            err,
        }
    }

    pub fn lines(&self) -> usize {
        let bytes = fs::read(&self.out).unwrap_or_default();
        memchr::memchr_iter(b'\n', &bytes).count()
    }

    pub fn end(mut self, until: &[(Tp, i64)], history: &mut History) {
        let ended = self.child.try_wait().expect("wait");
        signal(&self.child, Signal::TERM);
        let status = wait(&mut self.child, Duration::from_secs(10));
        let said = fs::read_to_string(&self.err).unwrap_or_default();
        let reader = self.number;
        let what = format!("reader {reader}");
        // One that was asked to end may say so.
        let status = match (ended, status) {
            (None, 0 | 143) => 0,
            (Some(_), 0) => -1,
            _ => status,
        };
        history.push(Event::Ended { what, status, said });
        let printed = fs::read_to_string(&self.out).expect("text");
        for line in printed
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let mut words = line.trim_end().splitn(4, ' ');
            let mut word = || words.next().expect("four words");
            history.push(Event::Read {
                reader,
                tp: (word().to_owned(), word().parse().expect("a partition")),
                offset: word().parse().expect("an offset"),
                value: word().to_owned(),
            });
        }
        for (tp, until) in until {
            let (tp, until) = (tp.clone(), *until);
            history.push(Event::ReadAll { reader, tp, until });
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a replica's log: its records, and its bytes up to the high watermark.
pub fn copy(places: &Places, broker: i64, tp: &Tp) -> Option<Copy> {
    let page = places.page(broker, tp)?;
    let log = log_bytes(&places.replica(broker, tp));
    let mut records = Vec::new();
    let (mut at, mut below) = (0, 0);
    let mut scratch = Decompressor::default();
    while let Ok(batch) = BatchView::parse(log.get(at..)?) {
        if batch.header().base_offset >= page.end {
            break;
        }
        batch.check_crc().ok()?;
        for record in batch.records(&mut scratch).ok()? {
            let record = record.ok()?;
            records.push(Stored {
                offset: record.offset,
                value: String::from_utf8_lossy(record.value?).into_owned(),
            });
        }
        at += batch.bytes().len();
        if batch.header().last_offset() < page.high_watermark {
            below = at;
        }
    }
    Some(Copy {
        tp: tp.clone(),
        broker,
        high_watermark: page.high_watermark,
        records,
        bytes: log.get(..below)?.to_vec(),
    })
}
