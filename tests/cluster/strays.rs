//! A deletion is proved or it is none: what a dead deleter left goes, what lost its topic file is
//! kept and reported.
#![allow(
    clippy::disallowed_methods,
    reason = "tests lose files behind the store's back"
)]

use mq::store;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::Shell;
use crate::tally::Tally;
use mq::clock::SystemClock;
use mq::disk::OsDisk;
use mq::store::FencedLock;
use mq::store::StoreDir;
use mq::store::topics::topic_file;
use mq::types::{TopicName, Uuid};

fn open(shell: &Shell) -> Arc<StoreDir> {
    let clock = Arc::new(SystemClock::default());
    Arc::new(StoreDir::open(Arc::new(OsDisk), clock, shell.store()).expect("store"))
}

fn topic_id(shell: &Shell, topic: &str) -> Uuid {
    let name = TopicName::new(topic).expect("name");
    topic_file::read(&open(shell), &name)
        .expect("topic")
        .0
        .topic_id
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("list")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort_unstable();
    names
}

fn stray_of(shell: &Shell, topic: &str) -> PathBuf {
    let found: Vec<_> = names(&shell.logs())
        .into_iter()
        .filter(|name| name.starts_with(topic) && name.ends_with("-stray"))
        .collect();
    assert_eq!(found.len(), 1, "{:?}", names(&shell.logs()));
    shell.logs().join(&found[0])
}

fn count(shell: &Shell) -> String {
    let done = shell.run("mq-broker", &["status", "--format", "tsv"], b"");
    done.text()
        .trim_end()
        .rsplit('\t')
        .next()
        .expect("a field")
        .to_owned()
}

/// Runs a daemon through at least one pass over the leftovers.
fn sweep(shell: &Shell) {
    // A stop ends a sweep early, so it gets its time: what must stay has to outlive that.
    sweep_until(shell, Duration::from_millis(500), || false);
}

/// A daemon that runs until its sweep has done that, for 10 s at most.
fn swept(shell: &Shell, done: impl Fn() -> bool) {
    sweep_until(shell, Duration::from_secs(10), done);
}

fn sweep_until(shell: &Shell, most: Duration, done: impl Fn() -> bool) {
    let broker = shell.start("mq-broker", &["start"]);
    broker.says(" ready: ");
    let until = Instant::now() + most;
    while !done() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    shell.ok("mq-broker", &["stop"], b"");
    assert_eq!(broker.end().status, 0);
}

#[test]
fn a_lost_topic_file_loses_no_record() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"precious\n");
    shell.topics(&["create", "empty"]);
    assert_eq!(count(&shell), "0");
    let backup = shell.dir().join("t.json");
    let file = shell.store().join("topics/t.json");
    fs::rename(&file, &backup).expect("lose");
    fs::remove_file(shell.store().join("topics/empty.json")).expect("lose");
    sweep(&shell);
    for dir in ["t-0", "empty-0"] {
        Tally::case();
        assert!(shell.logs().join(dir).exists(), "{dir}");
    }
    assert_eq!(count(&shell), "2");
    let verify = shell.run("mq-topics", &["verify", "--format", "tsv"], b"");
    assert_eq!(verify.status, 0, "{}", verify.err);
    let path = shell.logs().join("t-0").display().to_string();
    for word in [
        path.as_str(),
        "no topic file names",
        "topics/t.json",
        "remove the directory",
    ] {
        assert!(verify.err.contains(word), "{word}: {}", verify.err);
    }
    assert_eq!(
        verify.text().matches("\tstray\t").count(),
        2,
        "{}",
        verify.text()
    );

    // The name is needed: it is kept under another.
    shell.produce(&["t"], b"new\n");
    assert_eq!(shell.consume_text(&["-e", "t"]), "new\n");
    let stray = stray_of(&shell, "t-0.");
    sweep(&shell);
    assert!(stray.exists());
    assert_eq!(count(&shell), "2");
    let verify = shell.run("mq-topics", &["verify", "t"], b"");
    assert!(
        verify.err.contains(&stray.display().to_string()),
        "{}",
        verify.err
    );
    assert!(
        !verify.err.contains("empty-0"),
        "only what is asked for: {}",
        verify.err
    );

    // As the report says.
    shell.topics(&["delete", "t", "--yes"]);
    assert!(stray.exists(), "of another topic id");
    fs::rename(&backup, &file).expect("restore");
    fs::rename(&stray, shell.logs().join("t-0")).expect("restore");
    shell.topics(&["verify", "--repair", "truncate", "--yes", "t"]);
    assert_eq!(shell.consume_text(&["-e", "t"]), "precious\n");
    assert_eq!(count(&shell), "1");
    Tally::case();
}

#[test]
fn a_deletion_is_proved_until_all_is_gone() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let deleted = shell.store().join("deleted");
    shell.topics(&["create", "t", "-p", "2"]);
    shell.produce(&["t"], b"a\nb\n");
    shell.topics(&["delete", "t", "--yes"]);
    assert!(names(&deleted).is_empty(), "{:?}", names(&deleted));

    // Killed at any step: the file is in the dead holder's directory, or in its place already.
    for moved in [false, true] {
        for next in ["daemon", "create", "delete another"] {
            Tally::case();
            shell.topics(&["create", "t", "-p", "2"]);
            shell.produce(&["t"], b"a\nb\n");
            shell.topics(&["create", "other"]);
            let id = topic_id(&shell, "t").hex();
            let proof = deleted.join(format!("{id}.json"));
            let to = if moved {
                proof.clone()
            } else {
                fs::create_dir(shell.store().join("lock.1/dead")).expect("mkdir");
                shell.store().join(format!("lock.1/dead/deleted.{id}"))
            };
            fs::rename(shell.store().join("topics/t.json"), to).expect("die");
            // A version that was never put in place proves nothing, and goes.
            if !moved {
                fs::write(shell.store().join("lock.1/dead/0"), "{}").expect("write");
            }
            match next {
                "daemon" => swept(&shell, || {
                    let there = |name: &str| shell.logs().join(name).exists();
                    !there("t-0") && !there("t-1") && !shell.store().join("lock.1/dead").exists()
                }),
                "create" => {
                    shell.produce(&["t"], b"new\n");
                    assert_eq!(shell.consume_text(&["-e", "t"]), "new\n");
                    shell.topics(&["delete", "t", "--yes"]);
                }
                _ => shell.topics(&["delete", "other", "--yes"]),
            }
            if next == "daemon" {
                assert!(!shell.logs().join("t-0").exists() && !shell.logs().join("t-1").exists());
            }
            assert!(!shell.store().join("lock.1/dead").exists());
            swept(&shell, || {
                let logs = names(&shell.logs());
                !logs.iter().any(|name| name.starts_with("t-")) && names(&deleted).is_empty()
            });
            let logs = names(&shell.logs());
            assert!(!logs.iter().any(|name| name.starts_with("t-")), "{logs:?}");
            assert!(
                names(&deleted).is_empty(),
                "{moved} {next}: {:?}",
                names(&deleted)
            );
            shell.run(
                "mq-topics",
                &["delete", "other", "--yes", "--if-exists"],
                b"",
            );
        }
    }
}

#[test]
fn a_proof_counts_for_nothing_while_the_topic_is_there() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let id = topic_id(&shell, "t").hex();
    let file = shell.store().join("topics/t.json");
    let proof = shell.store().join(format!("deleted/{id}.json"));
    fs::copy(&file, &proof).expect("as a power cut or a backup may leave it");
    swept(&shell, || !proof.exists());
    assert!(!proof.exists(), "nobody may believe it later");
    fs::rename(&file, shell.dir().join("lost")).expect("lose");
    sweep(&shell);
    assert!(shell.logs().join("t-0").exists());
    // A damaged one proves nothing.
    fs::write(&proof, "{}").expect("write");
    sweep(&shell);
    assert!(shell.logs().join("t-0").exists());
    Tally::case();
}

#[test]
fn a_dead_creators_directories_go() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["used"], b"a\n");
    // Killed while it waited for the lock, its directories in place.
    let guard = FencedLock::acquire_store(&open(&shell), "hold", Duration::from_secs(5));
    let mut creator = shell.start("mq-topics", &["create", "t", "-p", "2"]);
    let until = Instant::now() + Duration::from_secs(20);
    while !shell.logs().join("t-1").exists() {
        assert!(Instant::now() < until, "never made");
        std::thread::sleep(Duration::from_millis(5));
    }
    creator.child.kill().expect("kill");
    creator.child.wait().expect("wait");
    drop(guard);
    assert_eq!(count(&shell), "0", "nobody's loss");
    swept(&shell, || {
        !shell.logs().join("t-0").exists() && !shell.logs().join("t-1").exists()
    });
    assert!(!shell.logs().join("t-0").exists() && !shell.logs().join("t-1").exists());
    assert!(shell.logs().join("used-0").exists());
    Tally::case();
}

/// A damaged topic file takes nothing with it: the other topics are read, and the topic can be
/// deleted, its file and its data kept.
#[test]
fn a_damaged_topic_file_can_be_got_rid_of() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for topic in ["a", "b", "c"] {
        shell.produce(&[topic], topic.as_bytes());
    }
    let path = shell.store().join("topics/b.json");
    let mut bytes = fs::read(&path).expect("read");
    bytes[10] ^= 1;
    fs::write(&path, &bytes).expect("written");

    Tally::case();
    let done = shell.run("mq-consume", &["-e", "*"], b"");
    assert_eq!(
        (done.status, done.text()),
        (65, "a\nc\n".into()),
        "{}",
        done.err
    );
    assert!(done.err.contains("b.json is damaged"), "{}", done.err);

    Tally::case();
    // Named or not: the rest goes on.
    let done = shell.run("mq-consume", &["-e", "a", "b"], b"");
    assert_eq!(
        (done.status, done.text()),
        (65, "a\n".into()),
        "{}",
        done.err
    );

    Tally::case();
    let done = shell.run("mq-topics", &["delete", "b", "--yes"], b"");
    assert_eq!(done.status, 0, "{}", done.err);
    let kept: Vec<_> = names(&shell.store().join("topics"))
        .into_iter()
        .filter(|name| name.ends_with(".damaged"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(done.err.contains(&kept[0]), "{}", done.err);
    assert!(!path.exists());
    let aside = fs::read(shell.store().join("topics").join(&kept[0])).expect("read");
    assert_eq!(aside, bytes);
    let done = shell.run("mq-topics", &["verify"], b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        done.err.contains("b-0: no topic file names"),
        "{}",
        done.err
    );

    Tally::case();
    shell.topics(&["create", "b"]);
    let log = stray_of(&shell, "b-0").join("00000000000000000000.log");
    assert!(fs::metadata(log).expect("a log").len() > 0);
}

#[test]
fn what_a_topic_moved_off_goes_and_the_entry_with_it() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    shell.produce(&["t", "-p", "0"], b"a\n");
    let other = shell.start("mq-broker", &["start", "--id", "5"]);
    other.says(" ready: ");
    drop(other);
    let store = open(&shell);
    let name = TopicName::new("t").expect("name");
    // As if partition 0 had moved off this broker, and another replica, too, that is gone already.
    let old = {
        let purpose = "a test";
        let guard = FencedLock::acquire_store(&store, purpose, Duration::from_secs(5));
        let guard = guard.expect("lock");
        let mut meta = topic_file::read_to_change(&store, &name).expect("topic");
        let old = meta.partitions[0].replicas[0];
        meta.partitions[0].replicas[0].uuid = Uuid::random().expect("uuid");
        let retired = |uuid, broker| store::Retired {
            partition: 0,
            broker,
            uuid,
        };
        meta.retired = vec![
            retired(old.uuid, 0),
            retired(Uuid::random().expect("uuid"), 0),
            // Another broker's is not this one's to settle.
            retired(Uuid::random().expect("uuid"), 5),
            // One that is not registered has none.
            retired(Uuid::random().expect("uuid"), 6),
            // One that the topic still names never goes.
            retired(meta.partitions[1].replicas[0].uuid, 0),
        ];
        meta.version += 1;
        topic_file::replace(&guard, &meta).expect("replaced");
        old
    };
    assert!(shell.logs().join("t-0").exists());
    assert_eq!(count(&shell), "0", "it is no stray");
    let broker = shell.start("mq-broker", &["start", "--quiet"]);
    broker.says(" ready: ");
    let until = Instant::now() + Duration::from_secs(60);
    let left = loop {
        let (meta, _) = topic_file::read(&store, &name).expect("topic");
        if meta.retired.len() == 2 {
            break meta;
        }
        assert!(Instant::now() < until, "{:?}", meta.retired);
        std::thread::sleep(Duration::from_millis(20));
    };
    Tally::case();
    assert!(left.retired.iter().all(|entry| entry.uuid != old.uuid));
    assert_eq!(left.retired[0].broker, 5);
    assert_eq!(names(&shell.logs()), ["meta.properties", "t-1"]);
}
