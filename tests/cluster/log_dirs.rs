//! `mq-broker start --log-dir` and `--rack`: replicas elsewhere, found by every tool through the
//! registration, and never in a place that the registration has left.
#![allow(
    clippy::disallowed_methods,
    reason = "the files of a test are not a store's"
)]

use crate::cli;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::{Done, Running, Shell, TIMEOUT};
use crate::tally::Tally;
use mq::clock::SystemClock;
use mq::cluster::{BrokerOptions, Daemon};
use mq::disk::OsDisk;
use mq::lifecycle::{NewTopic, create_topic};
use mq::partition::Replica;
use mq::store::StoreDir;
use mq::types::{TopicName, TopicPartition};
use rustix::process::{Pid, Signal, kill_process};

/// Starts a broker, waits until it is ready, and stops it.
fn start_and_stop(shell: &Shell, args: &[&str]) -> Done {
    let argv: Vec<&str> = ["start"].into_iter().chain(args.iter().copied()).collect();
    let broker = shell.start("mq-broker", &argv);
    broker.says(" ready: ");
    shell.ok("mq-broker", &["stop"], b"");
    let done = broker.end();
    assert_eq!(done.status, 0, "{args:?}: {}", done.err);
    done
}

/// Every path below a directory, with what kind it is and what it holds.
fn everything(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            let is_dir = path.symlink_metadata().expect("there").is_dir();
            let bytes = (!is_dir).then(|| fs::read(&path).unwrap_or_default());
            all.insert(text(&path), bytes);
            if is_dir {
                dirs.push(path);
            }
        }
    }
    all
}

/// That a start is refused with this status and these words, and leaves everything as it was.
fn refused(shell: &Shell, args: &[&str], status: i32, words: &[&str]) {
    let before = everything(shell.dir());
    refused_loudly(shell, args, status, words);
    assert_eq!(everything(shell.dir()), before, "{args:?}");
}

fn refused_loudly(shell: &Shell, args: &[&str], status: i32, words: &[&str]) {
    Tally::case();
    let argv: Vec<&str> = ["start"].into_iter().chain(args.iter().copied()).collect();
    let done = shell.run("mq-broker", &argv, b"");
    assert_eq!(done.status, status, "{args:?}: {}", done.err);
    for word in words {
        assert!(
            done.err.contains(word),
            "{args:?}: no {word:?} in {}",
            done.err
        );
    }
    assert!(done.out.is_empty(), "{args:?}");
}

fn status(shell: &Shell) -> Vec<String> {
    let done = shell.run("mq-broker", &["status", "--format", "tsv"], b"");
    let text = done.text();
    text.trim_end().split('\t').map(str::to_owned).collect()
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn every_tool_finds_replicas_elsewhere() {
    let _tally = Tally::start();
    let shell = Shell::new();
    // A relative path is registered as an absolute one.
    start_and_stop(&shell, &["--log-dir", "disk/mq", "--rack", "cellar"]);
    let logs = shell.dir().join("disk/mq");
    assert_eq!(status(&shell)[4..6], ["cellar".to_owned(), text(&logs)]);
    let json = shell.run("mq-broker", &["status", "--format", "json"], b"");
    let json: serde_json::Value = serde_json::from_slice(&json.out).expect("json");
    assert_eq!(
        (&json["rack"], &json["log_dir"]),
        (&"cellar".into(), &text(&logs).into())
    );
    let mode = fs::metadata(&logs).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let claim = fs::read_to_string(logs.join("meta.properties")).expect("claimed");
    assert!(
        claim.contains("node.id=0\n") && claim.contains("version=1\n"),
        "{claim}"
    );

    shell.topics(&["create", "t", "-p", "2"]);
    shell.produce(&["t"], b"a\nb\nc\nd\n");
    shell.produce(&["auto"], b"x\n");
    for dir in ["t-0", "t-1", "auto-0"] {
        Tally::case();
        assert!(logs.join(dir).is_dir(), "{dir}");
        assert!(!shell.logs().join(dir).exists(), "{dir}");
    }
    let consumed = shell.consume_text(&["-e", "t"]);
    assert_eq!(consumed.lines().count(), 4, "{consumed}");
    assert_eq!(shell.consume_text(&["-g", "g", "-e", "auto"]), "x\n");
    shell.topics(&["alter", "t", "--partitions", "3"]);
    assert!(logs.join("t-2").is_dir());
    let described = shell.ok("mq-topics", &["describe", "t", "--format", "tsv"], b"");
    assert!(!described.is_empty());
    for args in [
        &["verify", "--deep"][..],
        &["dump", "t:0"],
        &["offsets", "t"],
        &["alter", "t", "-c", "flush.messages=never"],
        &["alter", "t", "-c", "flush.messages=1"],
    ] {
        Tally::case();
        shell.topics(args);
    }
    // What was registered stays, said again or not.
    start_and_stop(&shell, &[]);
    start_and_stop(&shell, &["--log-dir", &text(&logs)]);
    start_and_stop(&shell, &["--log-dir", "disk/../disk/./mq/"]);
    assert_eq!(status(&shell)[4], "cellar");
    start_and_stop(&shell, &["--rack", ""]);
    assert_eq!(status(&shell)[4], "-");
    assert_eq!(shell.consume_text(&["-e", "auto"]), "x\n");

    // What is odd about the store is said once.
    let everyone = fs::Permissions::from_mode(0o777);
    fs::set_permissions(shell.store(), everyone).expect("chmod");
    let done = start_and_stop(&shell, &["--log-dir", &text(&logs)]);
    assert_eq!(done.err.matches("chmod o-w").count(), 1, "{}", done.err);

    shell.topics(&["delete", "t", "--yes"]);
    assert!(!logs.join("t-0").exists() && !logs.join("t-2").exists());
}

#[test]
fn what_cannot_be_its_log_directory_is_refused() {
    let _tally = Tally::start();
    let shell = Shell::new();
    start_and_stop(&shell, &["--log-dir", "mine"]);
    let other = Shell::new();
    let mine = text(&shell.dir().join("mine"));
    // Another store's broker.
    refused(
        &other,
        &["--log-dir", &mine],
        1,
        &[&mine, "another store", "--log-dir"],
    );
    // Another broker's of this store, by its claim.
    let claim = fs::read_to_string(shell.dir().join("mine/meta.properties")).expect("claim");
    fs::create_dir(shell.dir().join("seventh")).expect("mkdir");
    fs::write(
        shell.dir().join("seventh/meta.properties"),
        claim.replace("node.id=0", "node.id=7"),
    )
    .expect("write");
    refused(
        &shell,
        &["--log-dir", "seventh"],
        1,
        &["seventh", "broker 7"],
    );
    // A claim that says nothing.
    fs::create_dir(shell.dir().join("damaged")).expect("mkdir");
    fs::write(shell.dir().join("damaged/meta.properties"), "version=1\n").expect("write");
    refused(
        &shell,
        &["--log-dir", "damaged"],
        65,
        &["damaged/meta.properties"],
    );
    // Somebody's files.
    fs::create_dir(shell.dir().join("foreign")).expect("mkdir");
    fs::write(shell.dir().join("foreign/thesis.tex"), "x").expect("write");
    refused(
        &shell,
        &["--log-dir", "foreign"],
        1,
        &["thesis.tex", "empty directory"],
    );
    assert!(!shell.dir().join("foreign/meta.properties").exists());
    // A link, a file, a place within the store.
    fs::create_dir(shell.dir().join("target")).expect("mkdir");
    symlink(shell.dir().join("target"), shell.dir().join("link")).expect("link");
    refused(
        &shell,
        &["--log-dir", "link"],
        1,
        &["link", "the directory itself"],
    );
    fs::write(shell.dir().join("file"), "x").expect("write");
    refused(&shell, &["--log-dir", "file"], 1, &["file"]);
    refused(
        &shell,
        &["--log-dir", "store/groups"],
        1,
        &["within the store"],
    );
    refused(
        &shell,
        &["--log-dir", "store/topics/deeper"],
        1,
        &["within the store"],
    );
    // Nothing of this moved it.
    assert_eq!(status(&shell)[5], mine);

    // Without replicas it may move, and back to where it came from.
    fs::create_dir(shell.dir().join("second")).expect("mkdir");
    fs::create_dir(shell.dir().join("second/lost+found")).expect("mkdir");
    start_and_stop(&shell, &["--log-dir", "second"]);
    start_and_stop(&shell, &["--log-dir", "store/brokers/0/logs"]);
    let registration = fs::read_to_string(shell.store().join("brokers/0/broker.json"));
    assert!(registration.expect("there").contains("\"log_dir\": null"));
    start_and_stop(&shell, &["--log-dir", "second"]);
    shell.produce(&["t"], b"a\n");
    for elsewhere in ["third", "store/brokers/0/logs"] {
        let words = ["holds replicas in", "second", "topic t"];
        refused(&shell, &["--log-dir", elsewhere], 1, &words);
    }
    // A replica without a topic file counts, too.
    fs::rename(
        shell.store().join("topics/t.json"),
        shell.dir().join("t.json"),
    )
    .expect("move");
    refused(
        &shell,
        &["--log-dir", "third"],
        1,
        &["holds replicas in", "t-0"],
    );
    fs::rename(
        shell.dir().join("t.json"),
        shell.store().join("topics/t.json"),
    )
    .expect("move");
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\n");

    // A disk that is not mounted shows an empty directory.
    fs::rename(shell.dir().join("second"), shell.dir().join("unmounted")).expect("unmount");
    for there in [false, true] {
        if there {
            fs::create_dir(shell.dir().join("second")).expect("mkdir");
        }
        for (tool, args) in [
            ("mq-produce", &["t"][..]),
            ("mq-produce", &["new"]),
            ("mq-consume", &["-e", "t"]),
            ("mq-topics", &["create", "new"]),
            ("mq-topics", &["verify"]),
        ] {
            Tally::case();
            let done = shell.run(tool, args, b"b\n");
            assert_ne!(done.status, 0, "{tool} {args:?}");
            assert!(
                done.err.contains("mount the disk"),
                "{tool} {args:?}: {}",
                done.err
            );
        }
    }
    fs::remove_dir(shell.dir().join("second")).expect("nothing was put there");
    fs::rename(shell.dir().join("unmounted"), shell.dir().join("second")).expect("mount");
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\n");
}

#[test]
fn a_refusal_leaves_no_new_store_behind() {
    let _tally = Tally::start();
    let other = Shell::new();
    start_and_stop(&other, &["--log-dir", "theirs"]);
    let theirs = text(&other.dir().join("theirs"));
    let shell = Shell::new();
    let at = |name: &str| shell.dir().join(name);
    fs::create_dir(at("foreign")).expect("mkdir");
    fs::write(at("foreign/thesis.tex"), "x").expect("write");
    fs::write(at("file"), "x").expect("write");
    fs::create_dir(at("target")).expect("mkdir");
    symlink(at("target"), at("link")).expect("link");
    fs::create_dir(at("frozen")).expect("mkdir");
    let freeze = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(at("frozen"), mode).expect("chmod");
    };
    for (place, words) in [
        ("foreign", &["thesis.tex", "empty directory"][..]),
        (&theirs, &["another store", "another directory"]),
        ("file", &["file", "name a directory"]),
        ("file/below", &["file", "name a directory"]),
        ("link", &["link", "the directory itself"]),
        ("store", &["within the store"]),
        ("store/deeper/still", &["within the store"]),
    ] {
        refused(&shell, &["--log-dir", place], 1, words);
    }
    freeze(0o500);
    // Root may write anywhere.
    if fs::write(at("frozen/probe"), "").is_err() {
        refused(
            &shell,
            &["--log-dir", "frozen/new"],
            1,
            &["run as the user"],
        );
        refused(&shell, &["--log-dir", "frozen"], 1, &["run as the user"]);
    }
    freeze(0o700);
    // The other way round: the place could be made, the store cannot.
    let mut command = shell.command("mq-broker", &["start", "--log-dir", "a/b"]);
    command.env("MQ_STORE", at("file/store"));
    let before = everything(shell.dir());
    let done = cli::run(command, b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert_eq!(everything(shell.dir()), before);
    // Where an empty directory is to become the store, too.
    fs::create_dir(shell.store()).expect("mkdir");
    symlink(shell.store(), at("way")).expect("link");
    for place in ["store/deeper", "way/deeper/still"] {
        refused(&shell, &["--log-dir", place], 1, &["within the store"]);
    }
    start_and_stop(&shell, &["--log-dir", "target"]);
    // And where there is a store, nothing is made within it.
    for place in ["store/topics/deeper", "way/topics/deeper/still", "way/new"] {
        refused(&shell, &["--log-dir", place], 1, &["within the store"]);
    }
}

/// On another file system nothing can be renamed from the log directory into the store.
#[test]
fn a_lost_page_elsewhere_is_recreated() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let memory = Path::new("/dev/shm");
    let elsewhere = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let elsewhere = elsewhere.expect("a directory");
    let logs = elsewhere.path().join("logs");
    start_and_stop(&shell, &["--log-dir", &text(&logs)]);
    shell.topics(&["create", "t", "-c", "segment.bytes=1024"]);
    let mut sent = String::new();
    for n in 0..9 {
        let line = format!("{n}{}\n", "x".repeat(300));
        shell.produce(&["t"], line.as_bytes());
        sent += &line;
    }
    for tool in ["mq-consume", "mq-produce"] {
        Tally::case();
        fs::remove_file(logs.join("t-0/partition.state")).expect("removed");
        if tool == "mq-produce" {
            shell.produce(&["t"], b"more\n");
            sent += "more\n";
        }
        assert_eq!(shell.consume_text(&["-e", "t"]), sent, "{tool}");
        assert!(logs.join("t-0/partition.state").exists());
        let names = fs::read_dir(&logs).expect("list");
        let names: Vec<_> = names.map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(names.len(), 2, "{tool}: {names:?}");
        shell.topics(&["verify", "--deep", "t"]);
    }
}

/// A process is stopped in the middle of a rebuild; another breaks its lock, rebuilds and appends;
/// then the first one wakes.
#[test]
fn a_late_process_in_a_lost_state_recovery_spoils_nothing() {
    let _tally = Tally::start();
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        println!("log_dir: skipped: late hands, for there is no strace");
        return;
    }
    // While the new directory is filled, while segments move, and while the old one is removed.
    for (call, n) in [
        ("pwrite64", 5),
        ("renameat", 5),
        ("unlinkat", 9),
        ("unlinkat", 12),
    ] {
        Tally::case();
        let what = format!("stopped at {call} {n}");
        let shell = Shell::new();
        start_and_stop(&shell, &["--log-dir", "logs"]);
        shell.topics(&["create", "t", "-c", "segment.bytes=1024"]);
        for n in 0..6 {
            let line = format!("{n}{}\n", "x".repeat(300));
            shell.produce(&["t"], line.as_bytes());
        }
        fs::remove_file(shell.dir().join("logs/t-0/partition.state")).expect("removed");
        let trace = shell.dir().join("trace");
        let inner = shell.command("mq-produce", &["t"]);
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o"])
            .arg(&trace)
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:signal=STOP:when={n}")])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("MQ_STORE", shell.store())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut late = Running::of(command.spawn().expect("spawn"));
        late.feed(b"late\n");
        late.close_stdin();
        let until = Instant::now() + TIMEOUT;
        let pid = loop {
            let text = fs::read_to_string(&trace).unwrap_or_default();
            if text.contains("stopped by SIGSTOP") {
                break text.split(' ').next().and_then(|pid| pid.parse().ok());
            }
            assert!(Instant::now() < until, "{what}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        };
        shell.produce(&["t"], b"quick\n");
        let pid = pid.and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::CONT).expect("continued");
        let done = late.end();
        assert_eq!(done.status, 75, "{what}: {}", done.err);
        let read = shell.consume_text(&["-e", "t"]);
        let firsts: String = read
            .lines()
            .filter_map(|line| line.chars().next())
            .collect();
        assert_eq!(firsts, "012345q", "{what}");
        shell.topics(&["verify", "--deep", "t"]);
    }
}

#[test]
fn a_topic_is_never_made_in_a_place_that_was_left() {
    let _tally = Tally::start();
    let temp = tempfile::tempdir().expect("tempdir");
    let mut moved = 0;
    for round in 0..40 {
        Tally::case();
        let at = temp.path().join(round.to_string());
        let open = || {
            let clock = Arc::new(SystemClock::default());
            let path = at.join("store");
            Arc::new(StoreDir::open_or_create(Arc::new(OsDisk), clock, &path).expect("store"))
        };
        let new = NewTopic::embedded(TopicName::new("t").expect("name"), 3);
        let (store, other) = (open(), open());
        let options = BrokerOptions {
            log_dir: Some(at.join("logs")),
            rack: None,
        };
        let started = std::thread::scope(|scope| {
            let creator = scope.spawn(|| create_topic(&store, &new, Duration::from_secs(10)));
            let started = scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(150 * round));
                Daemon::start(&other, 0, &options).is_ok()
            });
            creator.join().expect("joined").expect("created");
            started.join().expect("joined")
        });
        moved += usize::from(started);
        let place = if started {
            at.join("logs")
        } else {
            at.join("store/brokers/0/logs")
        };
        let store = open();
        for partition in 0..3 {
            let tp = TopicPartition::new(new.name.clone(), partition);
            Replica::open(&store, &tp, 0).expect("where the registration says");
            assert!(place.join(format!("t-{partition}")).is_dir());
        }
    }
    println!("the log directory moved in {moved} of 40 rounds");
}
