//! Reassignments.

use serde_json::{Value, json};

use super::brokers::{Brokers, numbers, sorted};
use super::{eventually, refused};
use crate::tally::Tally;

#[test]
fn reassignments() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(3);
    let shell = &brokers.shell;
    shell.topics(&[
        "create",
        "t",
        "--assign",
        "1:2,2:1",
        "-c",
        "min.insync.replicas=2",
    ]);
    brokers.healthy();
    for (args, status, words) in [
        (&["t:0=1,7"][..], 1, &["no broker 7"][..]),
        (&["t:0=7"], 1, &["no broker 7"]),
        (&["t:0=1,0"], 1, &["broker 0 does not run", "start --id 0"]),
        (&["t:0=1,1"], 2, &["broker 1 twice"]),
        (&["t:0=1,2", "t=2,3"], 2, &["named twice"]),
        (
            &["t:0=1,x"],
            2,
            &["INVALID_REPLICA_ASSIGNMENT", "'x' is not"],
        ),
        (&["t:0=", "t:1=3"], 2, &["INVALID_REPLICA_ASSIGNMENT"]),
        (&["t:0"], 2, &["names no brokers"]),
        (&["t:2=1,2"], 1, &["t has no partition 2"]),
        (&["u:0=1,2"], 1, &["no topic 'u'"]),
        (&["t:0=3"], 1, &["min.insync.replicas=2"]),
        (&["t:0=2,3", "--throttle", "0"], 2, &["--throttle"]),
        (&["--cancel", "t"], 1, &["NO_REASSIGNMENT_IN_PROGRESS"]),
        (&["--cancel", "t:1"], 1, &["NO_REASSIGNMENT_IN_PROGRESS"]),
        (&["--dry-run"], 2, &["nothing to plan"]),
        (&["--throttle", "1MB"], 2, &["BROKERS"]),
        (&["--cancel"], 2, &["BROKERS"]),
        (&["--cancel", "t:0=1,2"], 2, &["t:0=1,2"]),
    ] {
        let args = [&["reassign"], args].concat();
        refused(shell, &args, status, words);
    }
    let plan = [
        "reassign",
        "t:0=3,2",
        "t:1=2,1",
        "--dry-run",
        "--format",
        "tsv",
    ];
    assert_eq!(brokers.tool(&plan).1, "t\t0\t1,2\t3,2\n");
    assert_eq!(brokers.reassignments(), [Value::Null; 0]);

    shell.produce(&["t"], numbers(0..1000).as_bytes());
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3,2", "--wait"]);
    assert_eq!(status, 0, "{err}");
    assert!(err.ends_with("done: reassigned 1 partition\n"), "{err}");
    assert!(!err.contains("shows its progress"), "{err}");
    assert_eq!(brokers.partition("t", 0)["replicas"], json!([3, 2]));
    assert_eq!(brokers.partition("t", 1)["replicas"], json!([2, 1]));
    let gone = brokers.replica("t", 0, 1);
    eventually("the old replica is swept", || !gone.exists());
    let all: Vec<usize> = (0..1000).collect();
    assert_eq!(sorted(&shell.consume_text(&["-e", "t"])), all);
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3,2"]);
    assert!(status == 0 && err.contains("nothing to change"), "{err}");

    // One that takes its time.
    let line = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
    shell.produce(&["-p", "1", "t"], &line.repeat(40));
    let slow = ["reassign", "t:1=3,2", "--throttle", "10kB"];
    assert_eq!(brokers.tool(&slow).0, 0);
    let under_way = brokers.reassignments();
    let lag = under_way[0]["lag"][0].as_i64().expect("a lag");
    assert!(lag > 0, "{under_way:?}");
    let expected = json!({
        "topic": "t", "partition": 1, "from": [2, 1], "to": [3, 2], "adding": [3],
        "lag": [lag], "throttle": 10_000,
    });
    assert_eq!(under_way[0].to_string(), expected.to_string());
    let (status, _, err) = brokers.tool(&["health"]);
    assert!(
        status == 0 && err.contains("being reassigned: t:1"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["reassign", "t:1=1,2"]);
    assert!(
        status == 1 && err.contains("REASSIGNMENT_IN_PROGRESS"),
        "{err}"
    );
    let (status, _, err) = brokers.tool(&["reassign", "--wait", "--timeout", "100ms"]);
    assert!(
        status == 75 && err.contains("still being reassigned: t:1"),
        "{err}"
    );
    let plan = ["reassign", "--cancel", "t", "--dry-run", "--format", "tsv"];
    assert_eq!(brokers.tool(&plan).1, "t\t1\t3,2\t2,1\n");
    assert_eq!(brokers.tool(&["reassign", "--cancel", "t"]).0, 0);
    assert_eq!(brokers.partition("t", 1)["replicas"], json!([2, 1]));
    assert_eq!(brokers.reassignments(), [Value::Null; 0]);

    // A topic's name stands for all of its partitions.
    shell.topics(&["alter", "t", "--unset", "min.insync.replicas"]);
    let (status, _, err) = brokers.tool(&["reassign", "t=2,3", "--wait"]);
    assert_eq!(status, 0, "{err}");
    for partition in [0, 1] {
        assert_eq!(brokers.partition("t", partition)["replicas"], json!([2, 3]));
    }
    // Without a controller it waits for one.
    brokers.healthy();
    for id in [1, 2, 3] {
        brokers.stop(id);
    }
    let (status, _, err) = brokers.tool(&["reassign", "t:0=3"]);
    assert!(status == 0 && err.contains("no controller runs"), "{err}");
    assert_eq!(brokers.reassignments()[0]["to"], json!([3]));
    brokers.start(3);
    brokers.start(2);
    let (status, _, err) = brokers.tool(&["reassign", "--wait"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(brokers.partition("t", 0)["replicas"], json!([3]));
}
