//! Members are started, stopped, killed and paused at random while producers run: each partition
//! has one reader, every record comes out, and only what a crash left uncommitted comes twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::Shell;
use crate::is_long;
use crate::member::{Member, deliveries};
use crate::tally::Tally;
use crate::view::{GroupDir, View};

const PARTITIONS: usize = 24;
const MEMBERS_MAX: usize = 6;
/// How long a rebalance may take here, where builds and other tests may run beside it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Chaos {
    shell: Shell,
    group: GroupDir,
    members: Vec<Member>,
    live: Vec<usize>,
    random: u64,
    /// Who owned a partition in a member epoch.
    owners: HashMap<((String, i64), i64), String>,
    /// Which process is behind a member id.
    pids: HashMap<String, u32>,
    worst: BTreeMap<&'static str, Duration>,
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
    chaos.settle("start");
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
            shell,
            group,
            members: Vec::new(),
            live: Vec::new(),
            random: seed,
            owners: HashMap::new(),
            pids: HashMap::new(),
            worst: BTreeMap::new(),
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
        self.members.push(Member::start(&self.shell, n, &args));
        self.live.push(n);
    }

    /// One to three disturbances, then a look whether all is well again.
    fn disturb(&mut self) {
        let mut kind = "start";
        for _ in 0..=self.next(3) {
            let paused = self.live.iter().position(|n| self.members[*n].is_paused);
            let at = self.next(self.live.len());
            let n = self.live[at];
            let action = self.next(10);
            kind = match action {
                0..=2 if self.live.len() < MEMBERS_MAX => {
                    self.start();
                    "start"
                }
                3..=4 if self.live.len() > 1 && !self.members[n].is_paused => {
                    self.members[n].signal(Signal::TERM);
                    self.members[n].end_within(PATIENCE);
                    self.live.remove(at);
                    "stop"
                }
                5..=7 if self.live.len() > 1 => {
                    self.members[n].is_abnormal = true;
                    self.members[n].signal(Signal::KILL);
                    self.members[n].end_within(PATIENCE);
                    self.live.remove(at);
                    "kill"
                }
                8 if paused.is_none() && self.live.len() > 1 => {
                    self.members[n].is_abnormal = true;
                    self.members[n].is_paused = true;
                    self.members[n].signal(Signal::STOP);
                    "pause"
                }
                9 if paused.is_some() => {
                    let n = self.live[paused.unwrap_or(0)];
                    self.members[n].is_paused = false;
                    self.members[n].signal(Signal::CONT);
                    "resume"
                }
                _ => continue,
            };
            let pause = self.next(30) as u64;
            std::thread::sleep(Duration::from_millis(pause));
            self.look();
        }
        // A pause is noticed after a session timeout: only now and then it is waited for.
        let is_paused = self.live.iter().any(|n| self.members[*n].is_paused);
        if is_paused && self.next(4) > 0 {
            return;
        }
        self.settle(if is_paused { "pause" } else { kind });
    }

    /// Waits until those who live share all partitions evenly.
    fn settle(&mut self, kind: &'static str) {
        let started = Instant::now();
        let pids: BTreeSet<u32> = self
            .live
            .iter()
            .filter(|n| !self.members[**n].is_paused)
            .map(|n| self.members[*n].pid())
            .collect();
        if pids.is_empty() {
            return;
        }
        loop {
            let view = self.look();
            if view
                .as_ref()
                .is_some_and(|view| view.is_shared_by(&pids, PARTITIONS))
            {
                break;
            }
            if started.elapsed() >= PATIENCE {
                let mut told = Vec::new();
                for n in &self.live {
                    let m = &mut self.members[*n];
                    told.push((m.pid(), m.is_paused, m.child.try_wait(), m.complaint()));
                }
                panic!("not balanced {PATIENCE:?} after a {kind}: {told:#?} {view:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let worst = self.worst.entry(kind).or_default();
        *worst = (*worst).max(started.elapsed());
    }

    /// Holds what `group.json` says now against all that it said before.
    fn look(&mut self) -> Option<View> {
        let view = self.group.view()?;
        let mut owned = BTreeSet::new();
        for (id, member) in &view.members {
            self.pids.insert(id.clone(), member.pid);
            for tp in &member.owned {
                assert!(owned.insert(tp.clone()), "{tp:?} has two owners: {view:#?}");
                let before = self
                    .owners
                    .entry((tp.clone(), member.epoch))
                    .or_insert_with(|| id.clone());
                assert_eq!(
                    before, id,
                    "{tp:?} had another owner in epoch {}",
                    member.epoch
                );
            }
        }
        Some(view)
    }

    fn check(&mut self, produced: usize) {
        for n in self.live.clone() {
            if self.members[n].is_paused {
                self.members[n].is_paused = false;
                self.members[n].signal(Signal::CONT);
            }
        }
        self.settle("resume");
        let started = Instant::now();
        while self.group.committed().values().sum::<i64>() < produced as i64 {
            assert!(
                started.elapsed() < PATIENCE,
                "not all is committed: {produced} produced"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        for n in self.live.clone() {
            self.members[n].signal(Signal::TERM);
            self.members[n].end_within(PATIENCE);
        }
        let committed = self.group.committed();
        assert_eq!(committed.values().sum::<i64>(), produced as i64);
        let seen = deliveries(&self.members);
        for ((topic, partition), end) in &committed {
            for offset in 0..*end {
                assert!(
                    seen.contains_key(&(*partition, offset)),
                    "{topic}:{partition} {offset} is lost"
                );
            }
        }
        // The last commit of each member for each partition: a process that was taken for dead
        // and joined again was two members.
        let mut last: HashMap<(String, i64), i64> = HashMap::new();
        for commit in self.group.commits() {
            for ((_, partition), offset) in commit.offsets {
                last.insert((commit.member.clone(), partition), offset);
            }
        }
        let mut owned: BTreeMap<(u32, i64), BTreeSet<&String>> = BTreeMap::new();
        for (((_, partition), _), id) in &self.owners {
            if let Some(pid) = self.pids.get(id) {
                owned.entry((*pid, *partition)).or_default().insert(id);
            }
        }
        let mut again = 0;
        for ((partition, offset), by) in &seen {
            if by.len() == 1 {
                continue;
            }
            again += by.len() - 1;
            let excused = by.iter().filter(|n| {
                let member = &self.members[**n];
                let as_members = owned.get(&(member.pid(), *partition));
                member.is_abnormal
                    && as_members.into_iter().flatten().any(|id| {
                        let commit = last.get(&((*id).clone(), *partition)).copied();
                        commit.unwrap_or(0) <= *offset
                    })
            });
            assert!(
                excused.count() >= by.len() - 1,
                "{partition}:{offset} was printed by {by:?}, though it was committed, or they ended well"
            );
        }
        let complaints: Vec<String> = self
            .members
            .iter()
            .map(Member::complaint)
            .filter(|text| text.lines().any(|line| !line.contains("joining again")))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        println!(
            "chaos: {} members, {produced} records, {again} came again after crashes; worst times to balance: {:?}",
            self.members.len(),
            self.worst
        );
    }
}
