//! Stores that earlier versions wrote, as tests/fixtures keeps them: each is opened by the tools of now,
//! elsewhere and after a reboot, holds what it held, is sound, and goes on.
//!
//! What a later version adds to the tools' JSON is no difference; what it leaves out or changes is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::cli::{Running, Shell, TIMEOUT};
use crate::tally::Tally;

/// The stores that are kept.
fn kept() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut kept: Vec<PathBuf> = fs::read_dir(fixtures)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    kept.sort();
    assert!(!kept.is_empty(), "no store is kept");
    kept
}

/// A shell on a copy of a kept store.
fn copy(kept: &Path) -> Shell {
    let shell = Shell::new();
    let status = Command::new("tar")
        .args(["--no-same-owner", "-xzpf"])
        .arg(kept.join("store.tar.gz"))
        .current_dir(shell.dir())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "tar");
    assert!(shell.store().join("store.json").is_file());
    shell
}

fn lines(text: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(text)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Where something is not as expected. Fields that are not expected are no difference, nor is what
/// depends on the time of day.
fn difference(at: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .filter(|(name, _)| *name != "lag_seconds")
            .find_map(|(name, value)| {
                let at = format!("{at}.{name}");
                match found.get(name) {
                    Some(found) => difference(&at, value, found),
                    None => Some(format!("{at} is missing")),
                }
            }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(n, (e, f))| difference(&format!("{at}[{n}]"), e, f)),
        _ if expected == found => None,
        _ => Some(format!("{at}: {found}, not {expected}")),
    }
}

fn is_as_kept(kept: &Path, file: &str, found: &[u8]) {
    let expected = lines(&fs::read(kept.join(file)).expect(file));
    assert!(!expected.is_empty(), "{file} is empty");
    let different = difference("", &Value::Array(expected), &Value::Array(lines(found)));
    assert_eq!(different, None, "{}", kept.join(file).display());
}

/// The records of the partitions, each from its start to its end.
fn records(shell: &Shell) -> Vec<u8> {
    ["events:0", "orders:0", "orders:1"]
        .iter()
        .flat_map(|tp| shell.consume(&["-e", "-J", tp]))
        .collect()
}

fn start(shell: &Shell, id: &str) -> Running {
    let broker = shell.start("mq-broker", &["start", "--id", id]);
    broker.says(" ready: ");
    broker
}

/// What a deletion that died has left.
fn is_left(shell: &Shell) -> bool {
    let has = |dir: &str, part: &str| {
        fs::read_dir(shell.store().join(dir))
            .expect(dir)
            .any(|entry| {
                let name = entry.expect("an entry").file_name();
                name.to_string_lossy().contains(part)
            })
    };
    has("brokers/2/logs", "doomed-0") || has("deleted", ".json")
}

#[test]
fn a_store_of_an_earlier_version_reads_as_it_did() {
    let _tally = Tally::start();
    for kept in kept() {
        Tally::case();
        let shell = copy(&kept);
        let topics = |command: &[&str]| shell.ok("mq-topics", command, b"");
        is_as_kept(
            &kept,
            "topics.jsonl",
            &topics(&["describe", "--format", "json"]),
        );
        let groups = shell.ok("mq-groups", &["describe", "--format", "json"], b"");
        is_as_kept(&kept, "groups.jsonl", &groups);
        is_as_kept(&kept, "records.jsonl", &records(&shell));
        let batches = topics(&["dump", "events", "orders", "--format", "json"]);
        is_as_kept(&kept, "batches.jsonl", &batches);
        let codecs: BTreeSet<String> = lines(&batches)
            .iter()
            .map(|batch| batch["compression"].as_str().expect("a codec").to_owned())
            .collect();
        assert_eq!(codecs.len(), 5, "{codecs:?}");
        let verified = topics(&["verify", "--deep", "--format", "json"]);
        is_as_kept(&kept, "verify.jsonl", &verified);
        // A look changes nothing: what the deletion left is still there for its brokers.
        assert!(is_left(&shell), "{}", kept.display());
    }
}

#[test]
fn a_store_of_an_earlier_version_goes_on() {
    let _tally = Tally::start();
    for kept in kept() {
        Tally::case();
        let shell = copy(&kept);
        let before = lines(&records(&shell));
        // Without a daemon, then with those of both brokers, the second of which lacks some records.
        shell.produce(&["events"], b"appended\n");
        let brokers = [start(&shell, "1"), start(&shell, "2")];
        shell.ok("mq-broker", &["health", "--wait", "--timeout", "50s"], b"");
        shell.topics(&["alter", "orders", "-c", "min.insync.replicas=2"]);
        for partition in ["0", "1"] {
            let args = ["-p", partition, "--acks", "all", "-z", "zstd", "orders"];
            shell.produce(&args, b"appended\n");
        }
        let after = lines(&records(&shell));
        let (new, old): (Vec<Value>, Vec<Value>) = after
            .into_iter()
            .partition(|record| record["value"] == "appended");
        assert_eq!(old, before);
        let ends: Vec<_> = new.iter().map(|record| record["offset"].as_i64()).collect();
        assert_eq!(ends, [Some(30), Some(30), Some(36)]);
        for partition in ["orders:0", "orders:1"] {
            let [one, other] =
                ["1", "2"].map(|id| shell.consume(&["-e", "-J", "--replica", id, partition]));
            assert_eq!(lines(&one), lines(&other), "{partition}");
        }
        // The group goes on where it was, and its history is still known.
        let group = ["-g", "billing", "-e", "-J", "orders"];
        let read = lines(&shell.consume(&group));
        let of = |partition: i64| {
            let offsets = read
                .iter()
                .filter(move |record| record["partition"] == partition);
            offsets.map(|record| record["offset"].as_i64().expect("an offset"))
        };
        assert!(of(0).eq(4..31), "{:?}", of(0).collect::<Vec<_>>());
        assert!(of(1).eq(30..37), "{:?}", of(1).collect::<Vec<_>>());
        let until = Instant::now() + TIMEOUT;
        while is_left(&shell) {
            assert!(Instant::now() < until, "the deletion is never finished");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        for id in ["1", "2"] {
            shell.ok("mq-broker", &["stop", id], b"");
        }
        drop(brokers);
        shell.topics(&["verify", "--deep"]);
    }
}

/// That the comparison can fail.
#[test]
fn what_is_missing_or_another_is_a_difference() {
    let of = |expected: &str, found: &str| {
        let [expected, found] =
            [expected, found].map(|text| serde_json::from_str(text).expect("JSON"));
        difference("", &expected, &found)
    };
    assert_eq!(
        of(r#"[{"a":1,"lag_seconds":1}]"#, r#"[{"a":1,"b":2}]"#),
        None
    );
    for (expected, found) in [
        (r#"[{"a":1}]"#, r#"[{"a":2}]"#),
        (r#"[{"a":1}]"#, r#"[{"b":1}]"#),
        (r#"[{"a":null}]"#, "[{}]"),
        ("[1,2]", "[1]"),
        ("[1]", "[1,2]"),
    ] {
        assert!(of(expected, found).is_some(), "{expected} {found}");
    }
}
