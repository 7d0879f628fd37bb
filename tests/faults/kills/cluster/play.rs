//! The brokers of a case, of which one is the victim, or a command beside them is.

use mq::store;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::lifecycle::start_reassignment;
use mq::store::StoreDir;
use mq::store::TopicMeta;
use mq::store::topics::topic_file;
use mq::types::{BrokerId, TopicName, TopicPartition};
use rustix::process::{Pid, Signal, kill_process};

use crate::proc::{Failure, Place, Running, Seen, TIMEOUT, acknowledged};

const ECHO: &str = "%p %o %v\\n";
/// Passes lines on one after the other.
const SLOWLY: &str = r#"while read -r line; do echo "$line"; sleep 0.01; done | "$@""#;
const POURED: usize = 50;

/// Whether strace may be tied to a process that runs. In CI it has to be.
///
/// # Panics
///
/// In CI, if it may not.
pub fn may_attach() -> bool {
    let mut other = Command::new("sleep").arg("10").spawn().expect("sleep");
    let id = other.id().to_string();
    let traced = Command::new("strace")
        .args(["-p", &id, "-e", "inject=all:signal=KILL"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    std::thread::sleep(Duration::from_millis(200));
    let _ = other.kill();
    let _ = other.wait();
    let said = traced.and_then(std::process::Child::wait_with_output);
    let said = said.map_or_else(
        |e| e.to_string(),
        |done| String::from_utf8_lossy(&done.stderr).into_owned(),
    );
    if !said.contains("not permitted") {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "kills: {said}");
    println!("kills: skipped: strace may not be tied to a process that runs");
    false
}

enum Victim {
    None,
    /// Started behind strace, or met by it.
    Daemon(BrokerId),
    Command(Running),
}

pub struct Play<'a> {
    pub place: &'a Place,
    /// What strace is reported.
    strace: Vec<String>,
    brokers: BTreeMap<BrokerId, Running>,
    victim: Victim,
    tracer: Option<Running>,
    producer: Option<Running>,
    /// Of each producer.
    pub sent: Vec<Vec<String>>,
    pub owed: Vec<Seen>,
    /// The highest epoch seen of each partition.
    epochs: BTreeMap<(TopicName, i32), i32>,
}

impl<'a> Play<'a> {
    pub fn new(place: &'a Place, strace: &[&str]) -> Self {
        Play {
            place,
            strace: strace.iter().map(|arg| (*arg).to_owned()).collect(),
            brokers: BTreeMap::new(),
            victim: Victim::None,
            tracer: None,
            producer: None,
            sent: Vec::new(),
            owed: Vec::new(),
            epochs: BTreeMap::new(),
        }
    }

    fn behind_strace(&self) -> Vec<&str> {
        let rest = self.strace.iter().map(String::as_str);
        ["strace", "-f", "-qq"].into_iter().chain(rest).collect()
    }

    /// Three live brokers, the first of them the controller, and a topic with records.
    pub fn cluster(&mut self, create: &[&str]) -> Result<(), Failure> {
        for id in 1..=3 {
            self.start(id)?;
        }
        self.command(create)?;
        self.produce(60)
    }

    /// Runs `mq-topics`.
    pub fn command(&self, args: &[&str]) -> Result<(), Failure> {
        self.place.run("mq-topics", args)?.expect(0).map(drop)
    }

    pub fn start(&mut self, id: BrokerId) -> Result<(), Failure> {
        let name = id.to_string();
        let args = ["start", "--id", &name];
        let broker = self.place.start(&[], "mq-broker", &args, None)?;
        self.brokers.insert(id, broker);
        let begun = Instant::now();
        while !self.is_ready(id) {
            hold!(
                begun.elapsed() < TIMEOUT && !self.is_over(id)?,
                "broker {id} does not start: {}",
                self.brokers[&id].said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts those who do not live.
    pub fn start_all(&mut self) -> Result<(), Failure> {
        for id in 1..=3 {
            if !self.lives(id)? {
                self.start(id)?;
            }
        }
        Ok(())
    }

    fn is_ready(&self, id: BrokerId) -> bool {
        self.brokers[&id].lines_so_far() > 0
    }

    pub fn until_ready(&mut self, id: BrokerId) -> Result<(), Failure> {
        self.until("ready", |play| Ok(play.is_ready(id)))
    }

    fn is_over(&mut self, id: BrokerId) -> Result<bool, Failure> {
        let Some(broker) = self.brokers.get_mut(&id) else {
            return Ok(true);
        };
        let status = broker.child.try_wait().map_err(|e| e.to_string())?;
        Ok(status.is_some())
    }

    pub fn lives(&mut self, id: BrokerId) -> Result<bool, Failure> {
        Ok(!self.is_over(id)?)
    }

    /// Starts a broker as the victim.
    pub fn start_victim(&mut self, id: BrokerId) -> Result<(), Failure> {
        let name = id.to_string();
        let args = ["start", "--id", &name];
        let broker = self
            .place
            .start(&self.behind_strace(), "mq-broker", &args, None)?;
        self.brokers.insert(id, broker);
        self.victim = Victim::Daemon(id);
        Ok(())
    }

    pub fn victim_command(&mut self, tool: &str, args: &[&str]) -> Result<(), Failure> {
        let command = self.place.start(&self.behind_strace(), tool, args, None)?;
        self.victim = Victim::Command(command);
        Ok(())
    }

    /// Makes a broker that runs the victim, from now on.
    pub fn meet(&mut self, id: BrokerId) -> Result<(), Failure> {
        let pid = self.brokers[&id].child.id().to_string();
        let mut prefix = vec!["strace", "-f", "-p", &pid];
        prefix.extend(self.strace.iter().map(String::as_str));
        let tracer = self.place.trace(&prefix)?;
        let begun = Instant::now();
        while !tracer.said().contains(" attached") {
            hold!(begun.elapsed() < TIMEOUT, "strace: {}", tracer.said());
            std::thread::sleep(Duration::from_millis(2));
        }
        self.tracer = Some(tracer);
        self.victim = Victim::Daemon(id);
        Ok(())
    }

    /// Kills another at once.
    pub fn kill(&mut self, id: BrokerId) -> Result<(), Failure> {
        let Some(mut broker) = self.brokers.remove(&id) else {
            return Ok(());
        };
        broker.signal_group(Signal::KILL);
        broker.child.wait().map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Tells a broker to stop.
    pub fn stop(&mut self, id: BrokerId) -> Result<(), Failure> {
        if !self.lives(id)? {
            return Ok(());
        }
        // Behind strace the broker is another process.
        let status = self
            .place
            .run("mq-broker", &["status", "--format", "tsv"])?;
        let lines = status.lines();
        let own = |line: &&String| line.starts_with(&format!("{id}\t"));
        let pid = lines
            .iter()
            .find(own)
            .and_then(|line| line.split('\t').nth(2)?.parse().ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
        Ok(())
    }

    /// Sends records, which are all acknowledged.
    pub fn produce(&mut self, count: usize) -> Result<(), Failure> {
        let input = self.lines(count);
        let args = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];
        let ran = self.place.feed("mq-produce", &args, &input)?.expect(0)?;
        self.owed.extend(acknowledged(&ran)?);
        Ok(())
    }

    fn lines(&mut self, count: usize) -> std::path::PathBuf {
        let from: usize = self.sent.iter().map(Vec::len).sum();
        let lines: Vec<String> = (from..from + count)
            .map(|n| format!("record {n} of a cluster that loses somebody"))
            .collect();
        let input = self.place.input(&format!("from-{from}"), &lines);
        self.sent.push(lines);
        input
    }

    /// Records come while the rest happens.
    pub fn pour(&mut self) -> Result<(), Failure> {
        let input = self.lines(POURED);
        let args = ["-q", "-o", ECHO, "t"];
        let prefix = ["bash", "-c", SLOWLY, "slowly"];
        self.producer = Some(
            self.place
                .start(&prefix, "mq-produce", &args, Some(&input))?,
        );
        Ok(())
    }

    pub fn is_poured(&mut self) -> Result<bool, Failure> {
        let Some(producer) = &mut self.producer else {
            return Ok(true);
        };
        let status = producer.child.try_wait().map_err(|e| e.to_string())?;
        Ok(status.is_some())
    }

    /// That all that was poured is acknowledged.
    pub fn poured(&mut self) -> Result<(), Failure> {
        let Some(producer) = self.producer.take() else {
            return Ok(());
        };
        let ran = producer.end()?.expect(0)?;
        let echoed = acknowledged(&ran)?;
        hold!(
            echoed.len() == POURED,
            "{} of {POURED} were acknowledged",
            echoed.len()
        );
        self.owed.extend(echoed);
        Ok(())
    }

    pub fn reassign(&mut self, topic: &str, target: &[BrokerId]) -> Result<(), Failure> {
        let tp = TopicPartition::new(name(topic), 0);
        let change = (tp, target.to_vec());
        start_reassignment(&self.store()?, &[change], None, TIMEOUT)
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// Waits until something holds, or the victim is over.
    pub fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            self.topic_files()?;
            let is_over = match &mut self.victim {
                Victim::None => false,
                Victim::Daemon(id) => {
                    let id = *id;
                    self.is_over(id)?
                }
                Victim::Command(command) => command
                    .child
                    .try_wait()
                    .map_err(|e| e.to_string())?
                    .is_some(),
            };
            if is_over || holds(self)? {
                return Ok(());
            }
            hold!(
                begun.elapsed() < TIMEOUT,
                "never: {what}\n{}",
                self.report()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What there is to know of a case that went wrong.
    pub fn report(&self) -> String {
        let described = self.place.run("mq-topics", &["describe"]);
        let mut text = described.map_or_else(
            |e| e,
            |ran| format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr),
        );
        for (id, broker) in &self.brokers {
            text.push_str(&format!("broker {id} says: {}", broker.said()));
        }
        text
    }

    /// The victim is dead from here on; whether it was killed at the call meant.
    pub fn lose_victim(&mut self) -> Result<bool, Failure> {
        use std::os::unix::process::ExitStatusExt as _;
        let (was_over, id) = match std::mem::replace(&mut self.victim, Victim::None) {
            Victim::None => return Ok(false),
            Victim::Command(command) => {
                let ran = command.end()?;
                hold!(
                    ran.signal() == Some(9) || ran.code() == Some(0),
                    "{}",
                    ran.ending()
                );
                return Ok(ran.signal() == Some(9));
            }
            Victim::Daemon(id) => (self.is_over(id)?, id),
        };
        let Some(mut broker) = self.brokers.remove(&id) else {
            return Ok(false);
        };
        broker.signal_group(Signal::KILL);
        let status = broker.child.wait().map_err(|e| e.to_string())?;
        hold!(
            status.signal() == Some(9) || status.code() == Some(0),
            "broker {id} ended with {status}: {}",
            broker.said()
        );
        if let Some(tracer) = self.tracer.take() {
            tracer.end()?;
        }
        Ok(was_over && status.signal() == Some(9))
    }

    pub fn store(&self) -> Result<Arc<StoreDir>, Failure> {
        let clock = Arc::new(SystemClock::default());
        StoreDir::open(Arc::new(OsDisk), clock, self.place.store())
            .map(Arc::new)
            .map_err(|e| e.to_string())
    }

    /// The topics' files, each of them whole, with epochs that never fell.
    pub fn topic_files(&mut self) -> Result<Vec<TopicMeta>, Failure> {
        let Ok(store) = self.store() else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for name in topic_file::list(&store).map_err(|e| e.to_string())? {
            let Some((meta, _)) =
                topic_file::read_if_there(&store, &name).map_err(|e| e.to_string())?
            else {
                continue;
            };
            for partition in &meta.partitions {
                let holds = |id: &BrokerId| partition.replicas.iter().any(|r| r.broker == *id);
                hold!(
                    partition.isr.contains(&partition.leader) && partition.isr.iter().all(holds),
                    "{name}: {partition:?}"
                );
                let key = (name.clone(), partition.partition);
                let before = self.epochs.insert(key, partition.leader_epoch);
                hold!(
                    before.is_none_or(|before| before <= partition.leader_epoch),
                    "{name}: epoch {before:?} was there, now {partition:?}"
                );
            }
            all.push(std::sync::Arc::unwrap_or_clone(meta));
        }
        Ok(all)
    }

    fn topic(&mut self, topic: &str) -> Result<Option<TopicMeta>, Failure> {
        let all = self.topic_files()?;
        Ok(all.into_iter().find(|meta| meta.name.as_str() == topic))
    }

    fn of_all(
        &mut self,
        topic: &str,
        holds: impl Fn(&store::PartitionMeta) -> bool,
    ) -> Result<bool, Failure> {
        let topic = self.topic(topic)?;
        Ok(topic.is_some_and(|meta| meta.partitions.iter().all(holds)))
    }

    /// Whether these are in sync, in all partitions.
    pub fn in_sync(&mut self, topic: &str, brokers: &[BrokerId]) -> Result<bool, Failure> {
        self.of_all(topic, |p| {
            let mut isr = p.isr.clone();
            isr.sort_unstable();
            isr == brokers
        })
    }

    pub fn all_led_by(&mut self, topic: &str, broker: BrokerId) -> Result<bool, Failure> {
        self.of_all(topic, |p| p.leader == broker)
    }

    /// Whether all replicas are in sync.
    pub fn whole(&mut self, topic: &str) -> Result<bool, Failure> {
        self.of_all(topic, |p| p.isr.len() == p.replicas.len())
    }

    /// Whether a reassignment is over.
    pub fn moved(&mut self, topic: &str, target: &[BrokerId]) -> Result<bool, Failure> {
        let Some(meta) = self.topic(topic)? else {
            return Ok(false);
        };
        let of = |p: &store::PartitionMeta| p.replicas.iter().map(|r| r.broker).collect();
        let replicas: Vec<Vec<BrokerId>> = meta.partitions.iter().map(of).collect();
        let over = meta.partitions.iter().all(|p| p.reassignment.is_none());
        Ok(replicas == [target] && over && meta.retired.is_empty())
    }
}

pub fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("a name")
}

/// Whatever is still at work is ended.
impl Drop for Play<'_> {
    fn drop(&mut self) {
        let command = match std::mem::replace(&mut self.victim, Victim::None) {
            Victim::Command(command) => Some(command),
            _ => None,
        };
        let brokers = std::mem::take(&mut self.brokers).into_values();
        let rest = command.into_iter().chain(self.producer.take());
        for mut running in brokers.chain(rest).chain(self.tracer.take()) {
            running.signal_group(Signal::KILL);
            let _ = running.child.wait();
        }
    }
}
