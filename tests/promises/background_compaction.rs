//! Compaction that nobody asks for: by a producer that rolls, and by the broker's daemon.

use crate::cli::{Shell, TIMEOUT};
use crate::daemons::{brokers, eventually};
use crate::scripts::bash_ok;

/// The `cleanup` object of the topic's first partition.
fn cleanup(shell: &Shell) -> serde_json::Value {
    let json = shell.ok("mq-topics", &["describe", "t", "--format", "json"], b"");
    let topic: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    topic["partitions"][0]["cleanup"].clone()
}

/// Records of ten keys.
fn fill(from: u32, to: u32) -> Vec<u8> {
    let lines = (from..to).map(|n| format!("{}\tvalue {n}\n", n % 10));
    lines.collect::<String>().into_bytes()
}

#[test]
fn a_producer_that_rolls_compacts() {
    let shell = Shell::new();
    shell.topics(&[
        "create",
        "t",
        "-c",
        "cleanup.policy=compact",
        "-c",
        "segment.bytes=4096",
    ]);
    for round in 0..10 {
        let args = ["-q", "-K", "\\t", "--batch-size", "1KiB", "t"];
        shell.produce(&args, &fill(round * 200, round * 200 + 200));
    }
    let left = shell.consume_text(&["-e", "t"]).lines().count();
    assert!(left < 1000, "{left} of 2000 records are left");
    // The last value of each key is there.
    let text = shell.consume_text(&["-e", "-f", "%k %v\\n", "t"]);
    for key in 0..10 {
        let last = text
            .lines()
            .rfind(|line| line.starts_with(&format!("{key} ")));
        assert_eq!(last, Some(format!("{key} value {}", 1990 + key).as_str()));
    }
    let cleanup = cleanup(&shell);
    assert!(cleanup["last_pass"].is_i64(), "{cleanup}");
    assert!(
        cleanup["dirty_ratio"]
            .as_f64()
            .is_some_and(|ratio| ratio <= 0.6),
        "{cleanup}"
    );
    assert!(
        cleanup["first_dirty_offset"]
            .as_i64()
            .is_some_and(|at| at > 0),
        "{cleanup}"
    );
    assert_eq!(cleanup["keyless_records"], 0);
    shell.ok("mq-topics", &["verify", "--deep", "t"], b"");
}

#[test]
fn a_daemon_compacts_an_idle_topic() {
    let shell = Shell::new();
    let records = fill(0, 2000);
    shell.topics(&["create", "t", "-c", "segment.bytes=4096"]);
    let args = ["-q", "-K", "\\t", "--batch-size", "1KiB", "t"];
    shell.produce(&args, &records);
    // Made a compacted one while nothing is written.
    shell.topics(&["alter", "t", "-c", "cleanup.policy=compact"]);
    assert_eq!(shell.consume_text(&["-e", "t"]).lines().count(), 2000);
    let daemon = brokers(&shell, &[0]);
    eventually(TIMEOUT, "compacted", || {
        shell.consume_text(&["-e", "t"]).lines().count() < 400
    });
    assert!(cleanup(&shell)["last_pass"].is_i64());
    drop(daemon);
    shell.ok("mq-topics", &["verify", "--deep", "t"], b"");
    // What has no effect is noted, and keyless records are refused.
    let out = bash_ok(
        &shell,
        "mq-topics alter t -c retention.ms=1000 2>&1; echo x | mq-produce -q t 2>&1 | grep -c 'line 1'",
    );
    let expected =
        "mq-topics: retention.ms has no effect with cleanup.policy=compact; it has one with \
                    compact,delete
1
";
    assert_eq!(out, expected);
}

/// Leader and follower of an idle topic: each is compacted by its own broker's daemon.
#[test]
fn an_idle_follower_is_compacted_too() {
    let shell = Shell::new();
    let daemons = brokers(&shell, &[1, 2]);
    shell.topics(&[
        "create",
        "t",
        "--assign",
        "1:2",
        "-c",
        "cleanup.policy=compact",
        "-c",
        "segment.ms=3000",
    ]);
    let args = ["-q", "-K", "\\t", "t"];
    shell.produce(&args, &fill(0, 2000));
    let left = |broker: &str| {
        let text = shell.consume_text(&["-q", "-e", "--replica", broker, "t"]);
        text.lines().count()
    };
    eventually(TIMEOUT, "both are compacted", || {
        left("1") == 10 && left("2") == 10
    });
    // It goes on following.
    shell.produce(&args, &fill(2000, 2010));
    eventually(TIMEOUT, "followed", || left("1") == 20 && left("2") == 20);
    shell.ok("mq-topics", &["verify", "--deep", "t"], b"");
    drop(daemons);
}
