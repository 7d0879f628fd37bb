//! Brokers as processes, for measurements of several brokers.
#![allow(dead_code, reason = "each binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::cluster::ControllerFile;
use mq::disk::OsDisk;
use mq::store::StoreDir;
use mq::store::TopicMeta;
use mq::store::topics::topic_file;
use mq::types::{BrokerId, TopicName};

pub const BROKERS: [BrokerId; 3] = [1, 2, 3];
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub path: PathBuf,
    pub store: Arc<StoreDir>,
    pub daemons: Vec<(BrokerId, Child)>,
    killed: Vec<Child>,
}

impl Cluster {
    pub fn start(path: &Path, brokers: &[BrokerId]) -> Self {
        let clock = Arc::new(SystemClock::default());
        let store = StoreDir::open_or_create(Arc::new(OsDisk), clock, path).expect("a store");
        let mut cluster = Cluster {
            path: path.to_owned(),
            store: Arc::new(store),
            daemons: Vec::new(),
            killed: Vec::new(),
        };
        for broker in brokers {
            cluster.start_broker(*broker);
        }
        cluster
    }

    pub fn start_broker(&mut self, broker: BrokerId) {
        for mut child in self.killed.drain(..) {
            child.wait().expect("wait");
        }
        let mut child = tool(env!("CARGO_BIN_EXE_mq-broker"), &self.path)
            .args(["start", "-q", "--id", &broker.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a broker");
        let mut line = String::new();
        let out = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("ready");
        self.daemons.push((broker, child));
    }

    /// Kills a broker; returns the time of the kill.
    pub fn kill(&mut self, broker: BrokerId) -> Instant {
        let at = self.daemons.iter().position(|(id, _)| *id == broker);
        let (_, mut child) = self.daemons.remove(at.expect("it runs"));
        let killed = Instant::now();
        child.kill().expect("kill");
        // Reaped later: the kernel closes its open files first, while the measurement already runs.
        self.killed.push(child);
        killed
    }

    pub fn create(&self, topic: &str, args: &[&str]) {
        let status = tool(env!("CARGO_BIN_EXE_mq-topics"), &self.path)
            .args([
                "create",
                "-q",
                topic,
                "-r",
                "3",
                "-c",
                "min.insync.replicas=2",
            ])
            .args(args)
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("run").success());
    }

    pub fn meta(&self, topic: &TopicName) -> TopicMeta {
        topic_file::read_to_change(&self.store, topic).expect("a topic")
    }

    pub fn controller(&self) -> ControllerFile {
        let file = ControllerFile::read(&self.store).expect("read");
        file.expect("a controller")
    }

    pub fn wait_for(&self, what: &str, mut is: impl FnMut(&Self) -> bool) -> Instant {
        let started = Instant::now();
        while !is(self) {
            assert!(started.elapsed() < TIMEOUT, "{what} did not come");
            std::thread::sleep(Duration::from_micros(200));
        }
        Instant::now()
    }

    pub fn wait_in_sync(&self, topic: &TopicName) {
        self.wait_for("all in sync", |cluster| {
            let meta = cluster.meta(topic);
            meta.partitions
                .iter()
                .all(|p| p.isr.len() == p.replicas.len())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.daemons {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn tool(path: &str, store: &Path) -> Command {
    let mut command = Command::new(path);
    command.arg("--store").arg(store).stdin(Stdio::null());
    command
}
