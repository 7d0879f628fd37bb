//! Several brokers on one store, as a person or a script meets them: the real `mq-broker`.
#![allow(
    clippy::disallowed_methods,
    reason = "the files of a test are not a store's"
)]

mod brokers;
mod elections;
mod full_disk;
mod health;
mod outages;
mod places;
mod readers;
mod reassignments;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Done, Running, Shell, TIMEOUT};
use crate::tally::Tally;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Starts a broker and waits until it is ready.
fn start(shell: &Shell, args: &[&str]) -> Running {
    let argv: Vec<&str> = ["start"].into_iter().chain(args.iter().copied()).collect();
    let broker = shell.start("mq-broker", &argv);
    broker.says(" ready: ");
    broker
}

fn stop(shell: &Shell, id: &str, broker: Running) -> Done {
    shell.ok("mq-broker", &["stop", id], b"");
    let done = broker.end();
    assert_eq!(done.status, 0, "broker {id}: {}", done.err);
    done
}

/// The lines of `mq-broker list`.
fn list(shell: &Shell) -> Vec<Value> {
    let out = shell.ok("mq-broker", &["list", "--format", "json"], b"");
    let text = String::from_utf8(out).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The ids of the brokers whose `field` is `value`.
fn ids_with(shell: &Shell, field: &str, value: &Value) -> Vec<i64> {
    let listed = list(shell);
    let found = listed.iter().filter(|line| line[field] == *value);
    found
        .map(|line| line["broker"].as_i64().expect("an id"))
        .collect()
}

fn controller(shell: &Shell) -> Option<i64> {
    let found = ids_with(shell, "controller", &json!(true));
    assert!(found.len() < 2, "{found:?}");
    found.first().copied()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Every path below a directory, and what it holds; the is_heartbeat of those that live aside.
fn everything(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            let Ok(found) = path.symlink_metadata() else {
                continue;
            };
            let is_dir = found.is_dir();
            // A daemon that runs takes the store's lock now and then, and leaves it.
            if text(&path).contains("/lock.") {
                continue;
            }
            let is_heartbeat = path.ends_with("broker.lock");
            let bytes = (!is_dir && !is_heartbeat).then(|| fs::read(&path).unwrap_or_default());
            all.insert(text(&path), bytes);
            if is_dir {
                dirs.push(path);
            }
        }
    }
    all
}

/// That it is refused with this status and these words, and leaves everything as it was.
fn refused(shell: &Shell, args: &[&str], status: i32, words: &[&str]) {
    Tally::case();
    let before = everything(shell.dir());
    let done = shell.run("mq-broker", args, b"");
    assert_eq!(done.status, status, "{args:?}: {}", done.err);
    for word in words {
        assert!(
            done.err.contains(word),
            "{args:?}: no {word:?} in {}",
            done.err
        );
    }
    assert!(done.out.is_empty(), "{args:?}");
    let lines = done
        .err
        .lines()
        .filter(|line| line.starts_with("mq-broker"));
    assert_eq!(lines.count(), 1, "{args:?}: {}", done.err);
    let after = everything(shell.dir());
    let changed = |map: &BTreeMap<_, _>| map.keys().cloned().collect::<Vec<String>>();
    assert_eq!(changed(&after), changed(&before), "{args:?}");
    assert!(after == before, "{args:?}: a file was changed");
}

#[test]
fn several_brokers_on_one_store() {
    let _tally = Tally::start();
    let shell = Shell::new();
    // The first makes the store, whatever its number; broker 0 is there without a daemon.
    let second = start(
        &shell,
        &["--id", "2", "--log-dir", "two", "--rack", "cellar"],
    );
    assert_eq!(ids_with(&shell, "state", &json!("running")), [2]);
    let zero = start(&shell, &[]);
    let seventh = start(&shell, &["--id", "7"]);
    shell.topics(&["create", "t", "-p", "3"]);
    let listed = list(&shell);
    let line = |id: i64, broker: &Running, rack: Value, log_dir: String, here: (bool, i64)| {
        json!({
            "broker": id, "state": "running", "pid": broker.child.id(), "incarnation": 1,
            "rack": rack, "log_dir": log_dir, "controller": here.0,
            "leaders": here.1, "replicas": here.1,
        })
    };
    let logs = |id: i64| text(&shell.store().join(format!("brokers/{id}/logs")));
    let total: i64 = listed
        .iter()
        .map(|l| l["leaders"].as_i64().expect("a count"))
        .sum();
    assert_eq!(total, 3);
    let led = |at: usize| listed[at]["leaders"].as_i64().expect("a count");
    let expected = [
        line(0, &zero, Value::Null, logs(0), (false, led(0))),
        line(
            2,
            &second,
            json!("cellar"),
            text(&shell.dir().join("two")),
            (true, led(1)),
        ),
        line(7, &seventh, Value::Null, logs(7), (false, led(2))),
    ];
    for (listed, expected) in listed.iter().zip(&expected) {
        Tally::case();
        // In that order, too.
        assert_eq!(listed.to_string(), expected.to_string());
    }
    let claim = fs::read_to_string(shell.store().join("brokers/7/logs/meta.properties"));
    assert!(claim.expect("claimed").contains("node.id=7\n"));
    let status = shell.ok("mq-broker", &["status", "--format", "tsv"], b"");
    assert_eq!(String::from_utf8_lossy(&status).lines().count(), 3);
    let locks = shell.ok("mq-broker", &["locks", "--format", "tsv"], b"");
    let locks = String::from_utf8(locks).expect("text");
    assert_eq!(
        locks.lines().filter(|l| l.starts_with("broker\t")).count(),
        3,
        "{locks}"
    );

    refused(
        &shell,
        &["stop"],
        1,
        &["several brokers are running: 0, 2, 7", "stop ID"],
    );
    refused(&shell, &["stop", "3"], 1, &["no broker 3", "0, 2, 7"]);
    let pid = seventh.child.id().to_string();
    refused(
        &shell,
        &["start", "--id", "7"],
        1,
        &["broker 7 runs already", &pid],
    );

    // A graceful end hands the role on; so does a sudden one.
    stop(&shell, "2", second);
    eventually("a new controller", || {
        controller(&shell).is_some_and(|id| id != 2)
    });
    assert_eq!(ids_with(&shell, "state", &json!("stopped")), [2]);
    let (old, dead, other) = if controller(&shell) == Some(0) {
        (0, zero, seventh)
    } else {
        (7, seventh, zero)
    };
    dead.signal(Signal::KILL);
    assert_eq!(dead.end().status, 128 + 9);
    eventually("a new controller", || {
        controller(&shell).is_some_and(|id| id != old)
    });
    Tally::case();
    let found = controller(&shell).expect("a controller").to_string();
    // What ran on its disk is found again.
    let again = start(&shell, &["--id", "2"]);
    assert_eq!(list(&shell)[1]["rack"], json!("cellar"));
    assert_eq!(list(&shell)[1]["incarnation"], json!(2));
    stop(&shell, "2", again);
    shell.ok("mq-broker", &["stop"], b"");
    assert_eq!(other.end().status, 0);
    refused(&shell, &["stop"], 1, &["no broker is running"]);
    refused(&shell, &["stop", &found], 1, &["is not running"]);
    Tally::case();
    assert_eq!(shell.run("mq-broker", &["status"], b"").status, 1);
}

#[test]
fn a_stopped_controller_is_superseded_and_gives_the_role_up() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let first = start(&shell, &["--id", "1"]);
    let others = [start(&shell, &["--id", "2"]), start(&shell, &["--id", "3"])];
    assert_eq!(controller(&shell), Some(1));
    first.signal(Signal::STOP);
    eventually("superseded", || {
        controller(&shell).is_some_and(|id| id != 1)
    });
    Tally::case();
    let next = controller(&shell);
    first.signal(Signal::CONT);
    let reported = |running: &Running, words: &str| {
        let found = running.err.until(TIMEOUT, |err| {
            memchr::memmem::find(err, words.as_bytes()).is_some()
        });
        assert!(
            found,
            "{words}: {}",
            String::from_utf8_lossy(&running.err.bytes())
        );
        Tally::case();
    };
    reported(&first, "no longer the controller: epoch 2 has begun");
    assert_eq!(controller(&shell), next);
    // The controller says who comes and goes.
    let (controller, other) = if next == Some(2) { (0, 1) } else { (1, 0) };
    first.signal(Signal::KILL);
    reported(&others[controller], "broker 1 no longer runs");
    let first = start(&shell, &["--id", "1"]);
    reported(&others[controller], "broker 1 is running\n");
    stop(&shell, "1", first);
    let said = others[other].err.bytes();
    assert!(
        !String::from_utf8_lossy(&said).contains("is running"),
        "only the controller tells"
    );
}

#[test]
fn what_cannot_be_a_brokers_place_is_refused() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let one = start(&shell, &["--id", "1", "--log-dir", "disk/one"]);
    // The controller makes its directory for reports once it is in office.
    let reports = shell.dir().join("store/reports");
    eventually("a controller at work", || reports.is_dir());
    let start_at =
        |id: &'static str, place: &'static str| ["start", "--id", id, "--log-dir", place];
    // That place is another's.
    refused(
        &shell,
        &start_at("0", "disk/one"),
        1,
        &["disk/one", "broker 1", "--log-dir"],
    );
    refused(
        &shell,
        &start_at("2", "disk/one"),
        1,
        &["disk/one", "broker 1", "--log-dir"],
    );
    refused(
        &shell,
        &start_at("2", "disk/one/deeper/still"),
        1,
        &["within", "broker 1"],
    );
    refused(&shell, &start_at("2", "disk"), 1, &["disk", "broker 1"]);
    refused(
        &shell,
        &start_at("2", "store/brokers/2/logs"),
        1,
        &["within the store"],
    );
    refused(
        &shell,
        &start_at("2", "store/brokers/1/logs"),
        1,
        &["within the store"],
    );
    let other = Shell::new();
    let theirs = start(&other, &["--id", "5", "--log-dir", "theirs"]);
    let place = text(&other.dir().join("theirs"));
    refused(
        &shell,
        &["start", "--id", "5", "--log-dir", &place],
        1,
        &["another store"],
    );
    let deeper = text(&other.dir().join("theirs/deeper"));
    refused(
        &shell,
        &["start", "--id", "5", "--log-dir", &deeper],
        1,
        &["within", "broker 5"],
    );
    stop(&other, "5", theirs);
    fs::create_dir(shell.dir().join("foreign")).expect("mkdir");
    fs::write(shell.dir().join("foreign/thesis.tex"), "x").expect("write");
    refused(&shell, &start_at("2", "foreign"), 1, &["thesis.tex"]);
    fs::write(shell.dir().join("file"), "x").expect("write");
    refused(&shell, &start_at("2", "file"), 1, &["file"]);
    for id in ["-1", "x", "2147483648", "01x"] {
        refused(&shell, &["start", "--id", id], 2, &["whole numbers"]);
    }

    // A place that is gone: its disk may not be there now.
    stop(&shell, "1", one);
    let at = |name: &str| shell.dir().join(name);
    fs::rename(at("disk/one"), at("unmounted")).expect("unmount");
    let words = ["disk/one", "is gone", "mount the disk", "mkdir"];
    refused(&shell, &["start", "--id", "1"], 1, &words);
    refused(&shell, &start_at("1", "disk/one"), 1, &words);
    refused(&shell, &start_at("2", "disk/one"), 1, &["broker 1"]);
    refused(&shell, &start_at("2", "disk/one/deeper"), 1, &["broker 1"]);
    refused(&shell, &start_at("2", "disk"), 1, &["broker 1"]);
    let zero = start(&shell, &[]);
    // It hides nobody else's locks.
    let locks = shell.ok("mq-broker", &["locks", "--format", "tsv"], b"");
    assert!(String::from_utf8_lossy(&locks).contains("broker\t0\t"));
    assert_eq!(list(&shell).len(), 2);
    shell.topics(&["verify"]);
    // An empty one is new.
    let claim = |place: &str| fs::read_to_string(at(place).join("meta.properties")).expect("claim");
    fs::create_dir(at("disk/one")).expect("mkdir");
    let one = start(&shell, &["--id", "1"]);
    assert!(claim("disk/one").contains("node.id=1\n"));
    assert_ne!(
        claim("disk/one"),
        claim("unmounted"),
        "another directory id"
    );
    let done = stop(&shell, "1", one);
    assert!(done.err.contains("claimed as new"), "{}", done.err);
    stop(&shell, "0", zero);
    // So it is for the one beside the registration.
    let logs = shell.store().join("brokers/0/logs");
    fs::rename(&logs, at("zero")).expect("move");
    refused(
        &shell,
        &["start"],
        1,
        &["brokers/0/logs", "is gone", "mkdir"],
    );
    fs::create_dir(&logs).expect("mkdir");
    let done = stop(&shell, "0", start(&shell, &[]));
    assert!(done.err.contains("claimed as new"), "{}", done.err);
    assert!(claim("store/brokers/0/logs").contains("node.id=0\n"));
}

/// What a daemon reported since it was started, without the times.
fn reported(broker: &Running, words: &str) {
    let found = broker.err.until(TIMEOUT, |err| {
        memchr::memmem::find(err, words.as_bytes()).is_some()
    });
    let err = broker.err.bytes();
    let err = String::from_utf8_lossy(&err);
    assert!(found, "{words}: {err}");
    // `mq-broker: 2026-01-31 23:59:59 what happened`
    let line = err
        .lines()
        .find(|line| line.contains(words))
        .expect("a line");
    let time = line.strip_prefix("mq-broker: ").expect("a name").as_bytes();
    let is_digit = |at: usize| time.get(at).is_some_and(u8::is_ascii_digit);
    assert!(
        is_digit(0) && is_digit(18) && time[4] == b'-' && time[16] == b':',
        "{line}"
    );
    Tally::case();
}

#[test]
fn a_daemon_reports_what_is_asked_of_the_cluster() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let one = start(&shell, &["--id", "1"]);
    let two = start(&shell, &["--id", "2"]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    let healthy = || drop(shell.ok("mq-broker", &["health", "--wait"], b""));
    healthy();
    shell.ok("mq-broker", &["drain", "1"], b"");
    reported(&one, "broker 1 is drained");
    reported(
        &one,
        "broker 2 leads t:0 instead of broker 1, which is drained",
    );
    shell.ok("mq-broker", &["drain", "1", "--undo"], b"");
    reported(&one, "broker 1 is no longer drained");
    shell.ok("mq-broker", &["elect", "preferred"], b"");
    shell.ok("mq-broker", &["reassign", "t:0=2", "--wait"], b"");
    reported(&one, "being reassigned: t:0");
    let led = list(&shell)[2]["leaders"] == json!(1);
    assert!(led, "{:?}", list(&shell));
    shell.ok("mq-broker", &["reassign", "t:0=2,1", "--wait"], b"");
    healthy();
    let two = stop(&shell, "2", two);
    let words = "broker 1 leads t:0 instead of broker 2, which ends";
    assert!(two.err.contains(words), "{}", two.err);
    reported(&one, "broker 1 was given t:0, which broker 2 led");
    stop(&shell, "1", one);
}

#[test]
fn draining() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    refused(&shell, &["drain", "0"], 1, &["broker 0 is not running"]);
    refused(&shell, &["drain", "4"], 1, &["no broker 4"]);
    refused(&shell, &["drain", "4", "--undo"], 1, &["no broker 4"]);
    let zero = start(&shell, &[]);
    let one = start(&shell, &["--id", "1"]);
    // A broker that leads nothing is drained at once.
    shell.ok("mq-broker", &["drain", "1"], b"");
    assert_eq!(ids_with(&shell, "state", &json!("drained")), [1]);
    Tally::case();
    let done = shell.run("mq-broker", &["drain", "1", "--undo"], b"");
    assert!(
        done.status == 0 && done.err.contains("may lead again"),
        "{}",
        done.err
    );
    assert!(ids_with(&shell, "state", &json!("drained")).is_empty());
    // What has no other replica stays, and is not waited for.
    Tally::case();
    let done = shell.run("mq-broker", &["drain", "0", "--timeout", "1h"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    for word in ["still leads t:0", "drain 0 --undo", "reassign"] {
        assert!(done.err.contains(word), "{}", done.err);
    }
    assert_eq!(ids_with(&shell, "state", &json!("drained")), [0]);
    // Somebody has to be able to lead.
    refused(
        &shell,
        &["drain", "1"],
        1,
        &[
            "no other broker runs that is not drained",
            "drain ID --undo",
        ],
    );
    let all_drained = || {
        Tally::case();
        let done = shell.run("mq-broker", &["health"], b"");
        assert_eq!(done.status, 0, "{}", done.err);
        done.err.contains("every broker that runs is drained")
    };
    assert!(!all_drained());
    stop(&shell, "1", one);
    assert!(all_drained());
    let one = start(&shell, &["--id", "1"]);
    assert!(!all_drained());
    stop(&shell, "0", zero);
    assert_eq!(ids_with(&shell, "state", &json!("stopped")), [0]);
    // A start takes it back.
    let zero = start(&shell, &[]);
    assert_eq!(ids_with(&shell, "state", &json!("running")), [0, 1]);
    let done = stop(&shell, "0", zero);
    assert!(done.err.contains("no longer drained"), "{}", done.err);
    stop(&shell, "1", one);
}

/// A process that dies while it makes a broker leaves nothing that stops the next one.
#[test]
fn a_killed_maker_blocks_nobody() {
    let _tally = Tally::start();
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        println!("cluster: skipped: killed makers, for there is no strace");
        return;
    }
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let mut id = 1;
    for (call, times) in [
        ("mkdirat", 4),
        ("renameat", 3),
        ("renameat2", 2),
        ("fdatasync", 4),
        ("fsync", 5),
    ] {
        for n in 1..=times {
            Tally::case();
            id += 1;
            let name = id.to_string();
            let place = format!("disk-{id}");
            let mut args = vec!["start", "--id", &name];
            if n % 2 == 0 {
                args.extend(["--log-dir", &place]);
            }
            let inner = shell.command("mq-broker", &args);
            let mut command = Command::new("strace");
            command
                .args(["-f", "-qq", "-o", "/dev/null"])
                .args(["-e", &format!("trace={call}")])
                .args(["-e", &format!("inject={call}:signal=KILL:when={n}")])
                .arg(inner.get_program())
                .args(inner.get_args())
                .current_dir(shell.dir())
                .env("MQ_STORE", shell.store())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let maker = Running::of(command.spawn().expect("spawn"));
            // Killed, or through, where there are fewer such calls.
            let through = maker.out.until(TIMEOUT, |out| out.contains(&b'\n'));
            if through {
                shell.ok("mq-broker", &["stop", &name], b"");
            }
            maker.end();
            let what = format!("killed at {call} {n}: {}", !through);
            let next = start(&shell, &args[1..]);
            let done = stop(&shell, &name, next);
            assert!(!done.err.contains("warning"), "{what}: {}", done.err);
            let listed = list(&shell);
            assert_eq!(listed.len(), usize::try_from(id).expect("small"), "{what}");
        }
    }
    shell.topics(&["verify"]);
    // What the dead left is swept by now, but for what nobody had locked yet: that has a minute.
    let brokers = shell.store().join("brokers");
    let left = fs::read_dir(brokers).expect("list");
    let left = left.map(|entry| entry.expect("entry").path());
    let left: Vec<_> = left.filter(|path| path.join("lock.0/0").exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}
