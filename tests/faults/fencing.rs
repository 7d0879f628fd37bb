//! Processes that stand still at any of their calls while leadership moves, and go on then: a
//! producer within its append, a controller within what it decides, a follower within what it
//! copies. What they do late is seen by nobody, and every record is delivered once.
//!
//! As in `kills`, a counting run finds the calls, and the sweep is thinned evenly to a budget
//! (`MQ_LONG=1`: all of them).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::switches::is_long;
use crate::proc::{Failure, Place, Running, Score, Seen, acknowledged, has_strace, seen};
use crate::sweep::{count_of, thinned};
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::partition::PartitionReader;
use mq::store::PartitionMeta;
use mq::store::StoreDir;
use mq::store::topics::topic_file;
use mq::types::{BrokerId, TopicName, TopicPartition};
use rustix::process::Signal;

/// The calls by which something is found, locked, changed or published.
const STOPS: [&str; 9] = [
    "openat",
    "flock",
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "ftruncate",
    "renameat",
    "renameat2",
];
const WORKERS: usize = 2;
/// How long the cluster may take to come to rest.
const SETTLES: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        if holds()? {
            return Ok(());
        }
        hold!(begun.elapsed() < SETTLES, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Three brokers on a store of their own, used by one case after the other.
struct Cluster {
    place: Arc<Place>,
    brokers: BTreeMap<BrokerId, Running>,
    store: Arc<StoreDir>,
    topics: usize,
}

impl Cluster {
    fn start() -> Result<Self, Failure> {
        let place = Arc::new(Place::new("fencing"));
        let mut brokers = BTreeMap::new();
        for id in 0..3 {
            brokers.insert(id, start_broker(&place, id)?);
        }
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open(Arc::new(OsDisk), clock, place.store());
        let store = Arc::new(store.map_err(|e| e.to_string())?);
        Ok(Cluster {
            place,
            brokers,
            store,
            topics: 0,
        })
    }

    /// A topic with three replicas in sync, and what its records are named after.
    fn topic(&mut self, min_insync: usize) -> Result<String, Failure> {
        self.topics += 1;
        let name = format!("t{}", self.topics);
        let config = format!("min.insync.replicas={min_insync}");
        self.place
            .run("mq-topics", &["create", &name, "-r", "3", "-c", &config])?
            .expect(0)?;
        Ok(name)
    }

    fn partition(&self, topic: &str) -> Result<PartitionMeta, Failure> {
        let name = TopicName::new(topic).map_err(|e| e.to_string())?;
        let read = topic_file::read(&self.store, &name).map_err(|e| e.to_string())?;
        Ok(read.0.partitions[0].clone())
    }

    fn produce(&self, topic: &str, what: &str, count: usize) -> Result<Vec<Seen>, Failure> {
        let input = self
            .place
            .input(&format!("{topic}-{what}"), &lines(topic, what, count));
        let args = ["-o", "%p %o %v\n", topic];
        let echo = self.place.feed("mq-produce", &args, &input)?.expect(0)?;
        let echoed = acknowledged(&echo)?;
        hold!(
            echoed.len() == count,
            "{count} sent, {echoed:?} acknowledged"
        );
        Ok(echoed)
    }

    fn pid(&self, id: BrokerId) -> u32 {
        self.brokers[&id].child.id()
    }

    /// `kill -9` of a broker's daemon.
    fn kill(&mut self, id: BrokerId) {
        if let Some(mut broker) = self.brokers.remove(&id) {
            broker.signal_group(Signal::KILL);
            let _ = broker.child.wait();
        }
    }

    fn restart(&mut self) -> Result<(), Failure> {
        for id in 0..3 {
            if !self.brokers.contains_key(&id) {
                self.brokers.insert(id, start_broker(&self.place, id)?);
            }
        }
        Ok(())
    }

    /// Waits until another than `old` leads.
    fn moved_from(&self, topic: &str, old: &PartitionMeta) -> Result<PartitionMeta, Failure> {
        eventually("another leader", || {
            let now = self.partition(topic)?;
            Ok(now.leader != old.leader && now.leader_epoch > old.leader_epoch)
        })?;
        self.partition(topic)
    }

    /// Waits until all are in sync and show everything.
    fn all_in_sync(&self, topic: &str) -> Result<(), Failure> {
        eventually("all in sync", || Ok(self.partition(topic)?.isr.len() == 3))?;
        let tp = TopicPartition::new(TopicName::new(topic).expect("a name"), 0);
        eventually("all show everything", || {
            let mut ends = BTreeSet::new();
            for id in 0..3 {
                let reader = PartitionReader::open_at(&self.store, &tp, id);
                let page = reader.and_then(|r| r.page()).map_err(|e| e.to_string())?;
                ends.extend([page.tail.end, page.high_watermark]);
            }
            Ok(ends.len() == 1)
        })
    }

    /// That each replica holds the same, gapless, each record once and just those that are due;
    /// and those that were acknowledged in their places.
    fn check(&self, topic: &str, due: &[String], acked: &[Seen]) -> Result<(), Failure> {
        self.all_in_sync(topic)?;
        let read = |args: &[&str]| seen(&self.place.run("mq-consume", args)?.expect(0)?);
        let there = read(&["-J", "-e", topic])?;
        for (at, record) in there.iter().enumerate() {
            hold!(
                record.offset == at as i64,
                "{record:?} where {at} is expected"
            );
        }
        let mut values: Vec<&str> = there.iter().map(|record| record.value.as_str()).collect();
        let mut wanted: Vec<&str> = due.iter().map(String::as_str).collect();
        values.sort_unstable();
        wanted.sort_unstable();
        hold!(values == wanted, "found {values:?}, due {wanted:?}");
        for record in acked {
            hold!(
                there.contains(record),
                "acknowledged {record:?} is not in {there:?}"
            );
        }
        let bytes: BTreeSet<Vec<u8>> = (0..3).map(|id| log_bytes(&self.place, id, topic)).collect();
        hold!(bytes.len() == 1, "the replicas' bytes differ");
        self.place
            .run("mq-topics", &["delete", "-y", topic])?
            .expect(0)?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for id in 0..3 {
            self.kill(id);
        }
    }
}

fn log_bytes(place: &Place, id: BrokerId, topic: &str) -> Vec<u8> {
    let dir = place.store().join(format!("brokers/{id}/logs/{topic}-0"));
    fs::read(dir.join("00000000000000000000.log")).unwrap_or_default()
}

fn start_broker(place: &Place, id: BrokerId) -> Result<Running, Failure> {
    let broker = place.start(&[], "mq-broker", &["start", "--id", &id.to_string()], None)?;
    eventually("a broker that is ready", || {
        Ok(String::from_utf8_lossy(&broker.printed()).contains(" ready: "))
    })?;
    Ok(broker)
}

fn lines(topic: &str, what: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{topic} {what} {n} {:.<900}", ""))
        .collect()
}

/// Who is to stand still, and where.
#[derive(Clone, Copy)]
enum Stop {
    /// Nowhere: its calls are counted.
    Count,
    At(&'static str, usize),
}

impl Stop {
    fn args(self, trace: &Path) -> Vec<String> {
        let mut args = vec![
            "-f".to_owned(),
            "-o".to_owned(),
            trace.display().to_string(),
            "-e".to_owned(),
        ];
        match self {
            Stop::Count => args.push(format!("trace={}", STOPS.join(","))),
            Stop::At(call, n) => args.extend([
                format!("trace={call}"),
                "-e".to_owned(),
                format!("inject={call}:signal=STOP:when={n}"),
            ]),
        }
        args
    }
}

fn trace_file(cluster: &Cluster) -> PathBuf {
    let path = cluster
        .place
        .dir()
        .join(format!("trace-{}", cluster.topics));
    let _ = fs::remove_file(&path);
    path
}

fn is_stopped(trace: &Path) -> bool {
    fs::read_to_string(trace).is_ok_and(|text| text.contains("stopped by SIGSTOP"))
}

/// A producer stands still; its leader's daemon is killed meanwhile.
fn producer(cluster: &mut Cluster, stop: Stop, acks: &str) -> Result<String, Failure> {
    let topic = cluster.topic(2)?;
    let mut acked = cluster.produce(&topic, "before", 2)?;
    let mut due = lines(&topic, "before", 2);
    let trace = trace_file(cluster);
    let input = cluster.place.input("victim", &lines(&topic, "victim", 3));
    let args = stop.args(&trace);
    let prefix: Vec<&str> = ["strace"]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect();
    // Each record is a batch.
    let tool = [
        "--acks",
        acks,
        "-o",
        "%p %o %v\n",
        "--batch-size",
        "1KiB",
        &topic,
    ];
    let mut victim = cluster
        .place
        .start(&prefix, "mq-produce", &tool, Some(&input))?;
    eventually("it is_stopped still, or ends", || {
        let ended = victim.child.try_wait().map_err(|e| e.to_string())?;
        Ok(ended.is_some() || is_stopped(&trace))
    })?;
    let old = cluster.partition(&topic)?;
    if matches!(stop, Stop::At(..)) {
        cluster.kill(old.leader);
        cluster.moved_from(&topic, &old)?;
        acked.extend(cluster.produce(&topic, "meanwhile", 2)?);
        due.extend(lines(&topic, "meanwhile", 2));
    }
    // Each of its threads stops at its own nth call.
    eventually("the producer ends", || {
        victim.signal_group(Signal::CONT);
        std::thread::sleep(Duration::from_millis(20));
        let ended = victim.child.try_wait().map_err(|e| e.to_string())?;
        Ok(ended.is_some())
    })?;
    let echo = victim.end()?.expect(0)?;
    let echoed = acknowledged(&echo)?;
    hold!(echoed.len() == 3, "not all acknowledged: {echoed:?}");
    due.extend(lines(&topic, "victim", 3));
    acked.extend(echoed);
    cluster.restart()?;
    cluster.check(&topic, &due, &acked)?;
    Ok(fs::read_to_string(&trace).unwrap_or_default())
}

fn producer_all(cluster: &mut Cluster, stop: Stop) -> Result<String, Failure> {
    producer(cluster, stop, "all")
}

fn producer_one(cluster: &mut Cluster, stop: Stop) -> Result<String, Failure> {
    producer(cluster, stop, "1")
}

/// strace of a daemon that runs already.
fn attach(cluster: &Cluster, id: BrokerId, stop: Stop, trace: &Path) -> Result<Running, Failure> {
    let mut args = stop.args(trace);
    args.extend(["-p".to_owned(), cluster.pid(id).to_string()]);
    let mut command = std::process::Command::new("strace");
    command.args(&args);
    let strace = cluster
        .place
        .spawn(command, format!("strace {}", args.join(" ")), None)?;
    eventually("strace has attached", || {
        Ok(strace.said().contains("attached"))
    })?;
    Ok(strace)
}

fn detach(mut strace: Running) {
    strace.signal_group(Signal::TERM);
    let _ = strace.child.wait();
}

fn controller_epoch(cluster: &Cluster) -> Result<(i64, i64), Failure> {
    let path = cluster.place.store().join("controller.json");
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let number = |name: &str| {
        json[name]
            .as_i64()
            .ok_or_else(|| format!("no {name} in {json}"))
    };
    Ok((number("broker_id")?, number("epoch")?))
}

fn wakes(cluster: &Cluster, id: BrokerId) {
    let pid = i32::try_from(cluster.pid(id))
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(pid.expect("a pid"), Signal::CONT);
}

/// The controller stands still in a failover; another is elected, does it, and more.
fn controller(cluster: &mut Cluster, stop: Stop) -> Result<String, Failure> {
    let (id, epoch) = controller_epoch(cluster)?;
    let id = id as BrokerId;
    // One that is led by another.
    let mut all = Vec::new();
    let topic = loop {
        let topic = cluster.topic(1)?;
        all.push(topic.clone());
        if cluster.partition(&topic)?.leader != id {
            break topic;
        }
        hold!(all.len() < 12, "the controller leads all");
    };
    let mut acked = cluster.produce(&topic, "before", 2)?;
    let old = cluster.partition(&topic)?;
    let trace = trace_file(cluster);
    let strace = attach(cluster, id, stop, &trace)?;
    cluster.kill(old.leader);
    if matches!(stop, Stop::Count) {
        cluster.moved_from(&topic, &old)?;
        std::thread::sleep(Duration::from_millis(300));
    } else {
        let begun = Instant::now();
        while !is_stopped(&trace) && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    if is_stopped(&trace) {
        eventually("another controller", || {
            Ok(controller_epoch(cluster)?.1 > epoch)
        })?;
    }
    let new = cluster.moved_from(&topic, &old)?;
    acked.extend(cluster.produce(&topic, "meanwhile", 2)?);
    let (now, version) = (controller_epoch(cluster)?, new.leader_epoch);
    detach(strace);
    wakes(cluster, id);
    std::thread::sleep(Duration::from_millis(200));
    let after = cluster.partition(&topic)?;
    hold!(
        controller_epoch(cluster)? == now,
        "the controller was {now:?}"
    );
    hold!(
        after.leader == new.leader || after.leader_epoch > version,
        "{new:?} became {after:?}"
    );
    cluster.restart()?;
    let mut due = lines(&topic, "before", 2);
    due.extend(lines(&topic, "meanwhile", 2));
    cluster.check(&topic, &due, &acked)?;
    for other in all.iter().filter(|other| **other != topic) {
        cluster.check(other, &[], &[])?;
    }
    Ok(fs::read_to_string(&trace).unwrap_or_default())
}

/// A follower stands still while it copies; its leader dies, and another leads.
fn follower(cluster: &mut Cluster, stop: Stop) -> Result<String, Failure> {
    let (controls, _) = controller_epoch(cluster)?;
    let topic = cluster.topic(1)?;
    let mut acked = cluster.produce(&topic, "before", 2)?;
    cluster.all_in_sync(&topic)?;
    let old = cluster.partition(&topic)?;
    let id = (0..3).find(|id| *id != old.leader && i64::from(*id) != controls);
    let id = id.ok_or("nobody follows")?;
    let trace = trace_file(cluster);
    let strace = attach(cluster, id, stop, &trace)?;
    acked.extend(cluster.produce(&topic, "copied", 2)?);
    if is_stopped(&trace) {
        cluster.kill(old.leader);
        eventually("another leader", || {
            let now = cluster.partition(&topic)?;
            Ok(now.leader != old.leader && now.leader != id)
        })?;
    }
    acked.extend(cluster.produce(&topic, "meanwhile", 2)?);
    // Without strace: else each of its threads stops at its own nth call.
    detach(strace);
    wakes(cluster, id);
    cluster.restart()?;
    let mut due = lines(&topic, "before", 2);
    due.extend(lines(&topic, "copied", 2));
    due.extend(lines(&topic, "meanwhile", 2));
    cluster.check(&topic, &due, &acked)?;
    Ok(fs::read_to_string(&trace).unwrap_or_default())
}

struct Scene {
    name: &'static str,
    run: fn(&mut Cluster, Stop) -> Result<String, Failure>,
    /// Cases of a default run.
    share: usize,
}

const SCENES: [Scene; 4] = [
    Scene {
        name: "a producer with acks=all",
        run: producer_all,
        share: 12,
    },
    Scene {
        name: "a producer with acks=1",
        run: producer_one,
        share: 6,
    },
    Scene {
        name: "a controller",
        run: controller,
        share: 6,
    },
    Scene {
        name: "a follower",
        run: follower,
        share: 6,
    },
];

#[test]
fn a_process_that_stood_still_is_fenced() {
    if !has_strace("fencing") {
        return;
    }
    let _beside = crate::beside_others();
    let score = Score::default();
    let mut jobs = Vec::new();
    let mut cluster = Cluster::start().expect("a cluster");
    for (at, scene) in SCENES.iter().enumerate() {
        let trace = (scene.run)(&mut cluster, Stop::Count);
        let trace = trace
            .unwrap_or_else(|e| panic!("{}: {e} in {}", scene.name, cluster.place.dir().display()));
        let calls = count_of(&STOPS, &trace);
        let budget = if is_long() {
            calls.values().sum()
        } else {
            scene.share
        };
        let chosen = thinned(&calls, budget);
        println!("{}: {} stops of {calls:?}", scene.name, chosen.len());
        jobs.extend(chosen.into_iter().map(|call| (at, call)));
    }
    end(cluster);
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&jobs, &score));
        }
    });
    score.close("fencing");
}

/// Ends the brokers, and takes the store away.
fn end(cluster: Cluster) {
    let place = Arc::clone(&cluster.place);
    drop(cluster);
    if let Ok(place) = Arc::try_unwrap(place) {
        place.remove();
    }
}

fn work(jobs: &Mutex<Vec<(usize, (&'static str, usize))>>, score: &Score) {
    let mut cluster: Option<Cluster> = None;
    loop {
        let Some((at, (call, n))) = jobs.lock().expect("jobs").pop() else {
            break;
        };
        score.case(
            &format!("{} stopped at {call} {n}", SCENES[at].name),
            |_| {
                let mut used = match cluster.take() {
                    Some(used) => used,
                    None => Cluster::start()?,
                };
                let outcome = (SCENES[at].run)(&mut used, Stop::At(call, n));
                match outcome {
                    Ok(_) => {
                        cluster = Some(used);
                        Ok(())
                    }
                    Err(failure) => {
                        let kept = used.place.dir().display().to_string();
                        for id in 0..3 {
                            used.kill(id);
                        }
                        Err(format!("{failure} (the store: {kept})"))
                    }
                }
            },
        );
    }
    if let Some(cluster) = cluster {
        end(cluster);
    }
}
