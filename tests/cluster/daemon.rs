//! The daemon as a person or a script meets it: the real `mq-broker`, on real stores.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::lifecycle::{NewTopic, create_topic};
use mq::partition::Replica;
use mq::store::StoreDir;
use mq::types::{TopicName, TopicPartition};

const TIMEOUT: Duration = Duration::from_secs(10);

struct Store {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("store");
        Store { _dir: dir, path }
    }

    fn command(&self, tool: &str, args: &[&str]) -> Command {
        let exe = match tool {
            "mq-broker" => env!("CARGO_BIN_EXE_mq-broker"),
            "mq-produce" => env!("CARGO_BIN_EXE_mq-produce"),
            other => panic!("no tool {other}"),
        };
        let mut command = Command::new(exe);
        command
            .args(args)
            .env("MQ_STORE", &self.path)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command("mq-broker", args).output().expect("run")
    }

    fn open(&self) -> Arc<StoreDir> {
        let clock = Arc::new(SystemClock::default());
        Arc::new(StoreDir::open_or_create(Arc::new(OsDisk), clock, &self.path).expect("store"))
    }

    fn logs(&self) -> PathBuf {
        self.path.join("brokers/0/logs")
    }

    fn start(&self) -> Broker {
        let mut child = self
            .command("mq-broker", &["start"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("ready line");
        Broker { child, ready }
    }

    fn create(&self, name: &str, configs: &[(&str, &str)]) {
        let configs: BTreeMap<_, _> = configs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let name = TopicName::new(name).expect("name");
        create_topic(
            &self.open(),
            &NewTopic::embedded(name, 1).with_configs(configs),
            TIMEOUT,
        )
        .expect("create");
    }

    /// Durable offset and log end.
    fn page(&self, topic: &str) -> (i64, i64) {
        let tp = TopicPartition::new(TopicName::new(topic).expect("name"), 0);
        let replica = Replica::open(&self.open(), &tp, 0).expect("replica");
        let page = replica.read_page().expect("read").expect("sound");
        (page.durable.offset, page.tail.end)
    }

    /// A producer that has written `records` and lives on until it is dropped.
    fn produce(&self, topic: &str, records: i64) -> Producer {
        let child = self
            .command("mq-produce", &["--no-create", topic])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut producer = Producer(child);
        producer.feed(self, topic, records);
        producer
    }
}

struct Producer(Child);

impl Producer {
    /// Writes so many more, and waits until they are appended.
    fn feed(&mut self, store: &Store, topic: &str, records: i64) {
        use std::io::Write as _;
        let end = store.page(topic).1 + records;
        let stdin = self.0.stdin.as_mut().expect("stdin");
        for n in 0..records {
            writeln!(stdin, "record {n}").expect("feed");
        }
        eventually("appended", || store.page(topic).1 == end);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Broker {
    child: Child,
    ready: String,
}

impl Broker {
    /// Waits for its end; status code, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("wait");
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            use std::io::Read as _;
            stderr.read_to_string(&mut said).expect("stderr");
        }
        (status.code(), said)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !is() {
        assert!(Instant::now() < until, "not within 10 s: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_broker_starts_once_is_seen_and_stops() {
    let store = Store::new();
    let broker = store.start();
    let pid = broker.child.id();
    let expected = format!(
        "mq-broker 0 ready: controller, epoch 1, store {}\n",
        store.path.display()
    );
    assert_eq!(broker.ready, expected);

    let second = store.run(&["start"]);
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains(&format!("process {pid} ")), "{said}");
    assert!(second.stdout.is_empty());

    let status = store.run(&["status", "--format", "tsv"]);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    let row = text(&status.stdout);
    let fields: Vec<_> = row.trim_end().split('\t').collect();
    assert_eq!(
        [&fields[..4], &fields[6..8]].concat(),
        ["0", "running", &pid.to_string(), "1", "true", "1"],
        "{row}"
    );

    let locks = text(&store.run(&["locks", "--format", "tsv"]).stdout);
    for lock in ["broker\t0\t", "controller\t-\t"] {
        let held = format!("{lock}{pid}\t");
        assert!(
            locks.lines().any(|line| line.starts_with(&held)),
            "{held}: {locks}"
        );
    }

    let stop = store.run(&["stop"]);
    assert_eq!(stop.status.code(), Some(0), "{}", text(&stop.stderr));
    let (code, said) = broker.end();
    assert_eq!(code, Some(0), "{said}");
    let status = store.run(&["status", "--format", "tsv"]);
    assert_eq!(status.status.code(), Some(1));
    let expected = format!(
        "0\tstopped\t-\t1\t-\t{}\tfalse\t-\t-\t0\n",
        store.logs().display()
    );
    assert_eq!(text(&status.stdout), expected);
    let again = store.run(&["stop"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("not running"));
    assert_eq!(text(&store.run(&["locks", "--format", "tsv"]).stdout), "");
}

#[test]
fn after_kill_9_the_next_one_starts() {
    let store = Store::new();
    store.start().kill();
    let broker = store.start();
    assert!(
        broker.ready.contains("controller, epoch 2,"),
        "{}",
        broker.ready
    );
    let status = text(&store.run(&["status", "--format", "tsv"]).stdout);
    let pid = broker.child.id();
    assert!(
        status.starts_with(&format!("0\trunning\t{pid}\t2\t")) && status.contains("\ttrue\t2\t"),
        "{status}"
    );
}

#[test]
fn what_is_no_id_is_refused_before_the_store_is_touched() {
    let store = Store::new();
    for args in [
        &["start", "--id", "-1"][..],
        &["start", "--id", "x"],
        &["stop", "x"],
        &["drain", "2147483648"],
    ] {
        let output = store.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!store.path.exists(), "{args:?}");
    }
    assert_eq!(store.run(&["status"]).status.code(), Some(1));
}

#[test]
fn what_is_due_is_synced_with_nobody_else_to_do_it() {
    let store = Store::new();
    store.create("timed", &[("flush.messages", "never"), ("flush.ms", "300")]);
    store.create("counted", &[("flush.messages", "1000")]);
    store.create("never", &[("flush.messages", "never")]);
    let topics = ["timed", "counted", "never"];
    for topic in topics {
        // Killed before it synced anything.
        drop(store.produce(topic, 5));
    }
    assert_eq!(store.page("never"), (0, 5));
    let _broker = store.start();
    eventually("timed is durable", || store.page("timed") == (5, 5));
    eventually("counted is durable", || store.page("counted") == (5, 5));
    assert_eq!(store.page("never"), (0, 5), "never means never");

    // A topic made later, its producer killed too.
    store.create("later", &[("flush.messages", "1000")]);
    drop(store.produce("later", 7));
    eventually("later is durable", || store.page("later") == (7, 7));
}

#[test]
fn a_stopping_broker_syncs_first() {
    let store = Store::new();
    store.create(
        "slow",
        &[("flush.messages", "never"), ("flush.ms", "3600000")],
    );
    let broker = store.start();
    // A producer syncs at its first append, and then every T ms itself.
    let mut producer = store.produce("slow", 1);
    eventually("synced by the producer", || store.page("slow").0 == 1);
    producer.feed(&store, "slow", 2);
    drop(producer);
    assert_eq!(store.page("slow"), (1, 3));
    assert_eq!(store.run(&["stop"]).status.code(), Some(0));
    assert_eq!(broker.end().0, Some(0));
    assert_eq!(store.page("slow"), (3, 3));
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("mkdir");
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
}

#[test]
fn orphans_go_and_what_may_be_alive_stays() {
    let store = Store::new();
    store.create("kept", &[]);
    store.create("lost", &[]);
    store.create("making", &[]);
    let logs = store.logs();
    let aside =
        |topic: &str, digit: &str| logs.join(format!("{topic}-0.{}-delete", digit.repeat(32)));
    // A deleter that died after the topic file was gone, and one that lives and has the lock.
    let deleted = ["lost", "making"].map(|topic| {
        let id = topic_id(&store, topic).hex();
        let deleted = store.path.join(format!("deleted/{id}.json"));
        let file = store.path.join(format!("topics/{topic}.json"));
        std::fs::rename(file, &deleted).expect("moved");
        deleted
    });
    // A creator that died before its directory was in place; one that lives and has the lock; one
    // that is filling its directory.
    copy_dir(&logs.join("lost-0"), &aside("dead", "a"));
    copy_dir(&logs.join("lost-0"), &aside("alive", "b"));
    std::fs::create_dir(aside("filling", "c")).expect("mkdir");
    // A directory that a topic file names stays, whatever its name.
    copy_dir(&logs.join("kept-0"), &aside("kept", "d"));
    let disk = OsDisk;
    let hold = |dir: &Path| {
        use mq::disk::{Disk as _, LockKind, Open};
        let dir = disk.open_dir(dir).expect("open");
        let page = dir
            .open(mq::partition::PAGE_FILE, Open::Write)
            .expect("page");
        assert!(page.try_lock(LockKind::Exclusive).expect("lock"));
        page
    };
    let alive = hold(&aside("alive", "b"));
    let making = hold(&logs.join("making-0"));
    let _broker = store.start();
    eventually("what a deleter and a creator left is gone", || {
        !logs.join("lost-0").exists() && !aside("dead", "a").exists()
    });
    for stays in [
        aside("alive", "b"),
        aside("filling", "c"),
        aside("kept", "d"),
    ] {
        assert!(stays.exists(), "{}", stays.display());
    }
    assert!(logs.join("making-0").exists(), "a living deleter's");
    assert!(logs.join("kept-0").exists());
    // Their makers die.
    drop((alive, making));
    eventually("both are gone", || {
        !aside("alive", "b").exists() && !logs.join("making-0").exists()
    });
    eventually("nothing is left to prove", || {
        deleted.iter().all(|file| !file.exists())
    });
}

fn topic_id(store: &Store, topic: &str) -> mq::types::Uuid {
    let name = TopicName::new(topic).expect("name");
    let (meta, _) = mq::store::topics::topic_file::read(&store.open(), &name).expect("topic");
    meta.topic_id
}

#[test]
fn what_dead_makers_of_stores_and_groups_left_goes() {
    use mq::store::StagingDir;
    let store = Store::new();
    let open = store.open();
    let mut dead = Vec::new();
    let mut alive = Vec::new();
    for (dir, digit) in [(store.path.clone(), "a"), (store.path.join("groups"), "b")] {
        let left = dir.join(format!(".mq-new-{}", digit.repeat(32)));
        std::fs::create_dir_all(left.join("lock.0")).expect("mkdir");
        std::fs::File::create(left.join("lock.0/0")).expect("file");
        dead.push(left);
    }
    for dir in [Arc::clone(open.root()), open.groups_dir().expect("groups")] {
        let staging = StagingDir::make(&dir).expect("made");
        alive.push((dir.path().join(staging.name()), staging));
    }
    let _broker = store.start();
    eventually("both are gone", || dead.iter().all(|path| !path.exists()));
    for (path, _staging) in &alive {
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn topics_come_and_go_under_a_running_broker() {
    let store = Store::new();
    let broker = store.start();
    for round in 0..5 {
        store.create("brief", &[("flush.messages", "never"), ("flush.ms", "20")]);
        drop(store.produce("brief", 2));
        if round % 2 == 0 {
            eventually("synced", || store.page("brief") == (2, 2));
        }
        let name = TopicName::new("brief").expect("name");
        mq::lifecycle::delete_topic(&store.open(), &name, TIMEOUT).expect("delete");
    }
    assert_eq!(store.run(&["stop"]).status.code(), Some(0));
    let (code, said) = broker.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
}
