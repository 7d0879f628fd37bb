//! Members are started, stopped, killed and paused at random while producers run; the checker finds
//! what cannot be in their history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::checker::{check, report};
use super::history::{Event, Process, Rules, Violation};
use super::member::{Member, record};
use super::recorder::Recorder;
use super::view::GroupDir;
use crate::cli::Shell;
use crate::common::switches::is_long;
use crate::tally::Tally;

const PARTITIONS: usize = 24;
const MEMBERS_MAX: usize = 6;
const SESSION: Duration = Duration::from_secs(2);
/// How long anything is waited for; that it took too long is found by the checker.
const TIMEOUT: Duration = Duration::from_secs(30);

const RULES: Rules = Rules {
    partitions: PARTITIONS,
    balance: Duration::from_secs(1),
    pause: Duration::from_secs(SESSION.as_secs() + 3),
};

struct Chaos {
    shell: Shell,
    group: GroupDir,
    recorder: Recorder,
    members: Vec<Member>,
    live: Vec<usize>,
    random: u64,
}

#[test]
fn members_come_go_crash_and_hang() {
    let _tally = Tally::start();
    let mut chaos = Chaos::new(0x5eed);
    let count = PARTITIONS.to_string();
    chaos
        .shell
        .topics(&["create", "t", "-p", &count, "-c", "flush.messages=never"]);
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..2).map(|n| chaos.produce_until(n, &stop)).collect();
    for _ in 0..3 {
        chaos.start();
    }
    chaos.settle();
    let rounds = if is_long() { 2000 } else { 200 };
    for _ in 0..rounds {
        Tally::case();
        chaos.disturb();
    }
    stop.store(true, Ordering::Relaxed);
    let produced: usize = producers
        .into_iter()
        .map(|p| p.join().expect("produced"))
        .sum();
    chaos.check(produced);
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let shell = Shell::new();
        let group = GroupDir::of(shell.store(), "g");
        Chaos {
            recorder: Recorder::of(GroupDir::of(shell.store(), "g")),
            shell,
            group,
            members: Vec::new(),
            live: Vec::new(),
            random: seed,
        }
    }

    /// A producer that sends small bunches; how many records in the end.
    fn produce_until(&self, n: usize, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
        let mut running = self.shell.start("mq-produce", &["t"]);
        let stop = Arc::clone(stop);
        std::thread::spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let lines: String = (sent..sent + 20).map(|i| format!("{n}-{i}\n")).collect();
                running.feed(lines.as_bytes());
                sent += 20;
                std::thread::sleep(Duration::from_millis(20));
            }
            running.close_stdin();
            assert_eq!(running.end().status, 0);
            sent
        })
    }

    fn next(&mut self, below: usize) -> usize {
        // xorshift: any spread will do, and the same each time.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below as u64) as usize
    }

    fn start(&mut self) {
        let n = self.members.len();
        let args = [
            "-g",
            "g",
            "t",
            "--session-timeout",
            "2s",
            "--commit-interval",
            "100ms",
            "-f",
            "%p %o %v\\n",
        ];
        // The readers of some leave after a few seconds at most.
        let leaves = (self.next(6) == 0).then(|| 1000 + self.next(40_000) as u64);
        let member = match leaves {
            Some(bytes) => Member::start_into_pipe(&self.shell, n, &args, bytes),
            None => Member::start(&self.shell, n, &args),
        };
        self.recorder.started(n as Process, member.pid());
        if leaves.is_some() {
            self.recorder.push(Event::LeftUnread(n as Process));
        }
        self.members.push(member);
        self.live.push(n);
    }

    /// Signals one, after a look at what it was before.
    fn signal(&mut self, n: usize, signal: Signal) {
        self.recorder.observe();
        let member = &mut self.members[n];
        let process = n as Process;
        self.recorder.push(match signal {
            Signal::TERM => Event::Stopped(process),
            Signal::KILL => Event::Killed(process),
            Signal::STOP => Event::Paused(process),
            _ => Event::Resumed(process),
        });
        member.is_paused = signal == Signal::STOP;
        member.signal(signal);
        if matches!(signal, Signal::TERM | Signal::KILL) {
            self.live.retain(|live| *live != n);
            self.ends(n);
        }
    }

    /// Waits for the end of one.
    fn ends(&mut self, n: usize) {
        let member = &mut self.members[n];
        let status = member.end_within(TIMEOUT);
        self.recorder.observe();
        let reported = member.complaint().lines().map(str::to_owned).collect();
        self.recorder.push(Event::Ended {
            process: n as Process,
            status,
            reported,
        });
    }

    /// One to three disturbances, then a look whether all is well again.
    fn disturb(&mut self) {
        for _ in 0..=self.next(3) {
            self.reap();
            let paused = self.live.iter().position(|n| self.members[*n].is_paused);
            let at = self.next(self.live.len());
            let n = self.live[at];
            match self.next(10) {
                0..=2 if self.live.len() < MEMBERS_MAX => self.start(),
                3..=4 if self.live.len() > 1 && !self.members[n].is_paused => {
                    self.signal(n, Signal::TERM);
                }
                5..=7 if self.live.len() > 1 => self.signal(n, Signal::KILL),
                8 if paused.is_none() && self.live.len() > 1 => self.signal(n, Signal::STOP),
                9 if paused.is_some() => self.signal(self.live[paused.unwrap_or(0)], Signal::CONT),
                _ => continue,
            }
            let pause = self.next(30) as u64;
            self.recorder.sleep(Duration::from_millis(pause));
            self.recorder.observe();
        }
        // A pause is noticed after a session timeout: only now and then it is waited for.
        let mut live = self.live.iter().copied();
        let Some(paused) = live.find(|n| self.members[*n].is_paused) else {
            self.settle();
            return;
        };
        if self.next(4) == 0 {
            self.settle();
            // It was taken for dead by now.
            if self.next(2) == 0 && self.live.contains(&paused) {
                self.signal(paused, Signal::CONT);
                self.settle();
            }
        }
    }

    /// Waits until those who run share all partitions evenly.
    fn settle(&mut self) {
        let started = Instant::now();
        loop {
            self.reap();
            let running: BTreeSet<Process> = self
                .live
                .iter()
                .filter(|n| !self.members[**n].is_paused)
                .map(|n| *n as Process)
                .collect();
            let view = self.recorder.observe();
            let is_shared = view.is_some_and(|view| view.is_shared_by(&running, PARTITIONS));
            if is_shared || running.is_empty() || started.elapsed() >= TIMEOUT {
                return;
            }
            self.recorder.sleep(Duration::from_millis(2));
        }
    }

    /// Those who ended by themselves are started no more; one runs, always.
    fn reap(&mut self) {
        for n in self.live.clone() {
            if self.members[n].child.try_wait().expect("wait").is_some() {
                self.live.retain(|live| *live != n);
                self.ends(n);
            }
        }
        if self.live.is_empty() {
            self.start();
        }
    }

    fn check(&mut self, produced: usize) {
        for n in self.live.clone() {
            if self.members[n].is_paused {
                self.signal(n, Signal::CONT);
            }
        }
        self.settle();
        let started = Instant::now();
        while self.group.committed().values().sum::<i64>() < produced as i64 {
            if started.elapsed() >= TIMEOUT {
                break;
            }
            self.recorder.sleep(Duration::from_millis(20));
            self.recorder.observe();
        }
        for n in self.live.clone() {
            self.signal(n, Signal::TERM);
        }
        self.record_output();
        let (violations, worst) = check(&self.recorder.history, &RULES);
        let (again, rejoined) = report(&self.recorder.history);
        println!(
            "chaos: {} processes, {rejoined} joined again, {produced} records, {again} came again; worst times to balance: {worst:?} ({:?} stalled)",
            self.members.len(),
            self.recorder.stalled(),
        );
        let first = &violations[..violations.len().min(20)];
        let history = &self.recorder.history;
        let late = violations.iter().find_map(|violation| match violation {
            Violation::TooLate { seen, .. } => Some(history.before(*seen)),
            _ => None,
        });
        let again_by = violations.iter().find_map(|violation| match violation {
            Violation::Again { tp, offset, by } => Some(history.of(by, tp, *offset)),
            _ => None,
        });
        assert!(
            first.is_empty(),
            "{} violations: {first:#?}\n{}{}",
            violations.len(),
            late.unwrap_or_default(),
            again_by.unwrap_or_default()
        );
        assert!(
            again > 0 && rejoined > 0,
            "nobody died or stood still in time"
        );
        let committed = self.group.committed().values().sum::<i64>();
        assert_eq!(committed, produced as i64, "committed of those produced");
    }

    /// Enters what came out of the members, and what is in the log.
    fn record_output(&mut self) {
        let args = ["t", "-e", "-f", "%p %o %v\\n"];
        let stored = self.shell.ok("mq-consume", &args, b"");
        let stored = String::from_utf8(stored).expect("text");
        for (partition, offset, payload) in stored.lines().map(record) {
            let tp = ("t".to_owned(), partition);
            self.recorder.push(Event::Stored {
                tp,
                offset,
                payload,
            });
        }
        for (n, member) in self.members.iter().enumerate() {
            for (partition, offset, payload) in member.printed() {
                self.recorder.push(Event::Delivered {
                    process: n as Process,
                    tp: ("t".to_owned(), partition),
                    offset,
                    payload,
                });
            }
        }
    }
}
