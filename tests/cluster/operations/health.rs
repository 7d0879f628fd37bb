//! What `mq-broker health` names.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::brokers::Brokers;
use super::{eventually, refused, start, stop};
use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn health_names_each_reason() {
    let _tally = Tally::start();
    let single = Shell::new();
    let done = single.run("mq-broker", &["health"], b"");
    assert_eq!(done.status, 1, "there is no store");
    single.produce(&["t"], b"a\n");
    let done = single.run("mq-broker", &["health"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
    // Nobody misses the daemon of single replicas: their directories serve.
    let zero = start(&single, &[]);
    let one = start(&single, &["--id", "1"]);
    assert_eq!(single.run("mq-broker", &["health"], b"").status, 0);
    stop(&single, "0", zero);
    let done = single.run("mq-broker", &["health", "--format", "tsv"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, ""), "{}", done.err);
    stop(&single, "1", one);
    assert_eq!(single.run("mq-broker", &["health"], b"").status, 0);

    let mut brokers = Brokers::of(3);
    let create = [
        "create",
        "t",
        "--assign",
        "1:2:3",
        "-c",
        "min.insync.replicas=2",
    ];
    brokers.shell.topics(&create);
    brokers.healthy();
    let reason = |name: &str, about: Value| (name.to_owned(), about);
    assert_eq!(brokers.amiss(), []);
    brokers.running[&3].signal(Signal::STOP);
    let hangs = reason("broker-hangs", json!(3));
    assert!(brokers.amiss().contains(&hangs));
    let soon = ["health", "--wait", "--timeout", "300ms"];
    let (status, _, err) = brokers.tool(&soon);
    assert!(
        status == 1 && err.contains("still there after 300ms"),
        "{err}"
    );
    brokers.running[&3].signal(Signal::CONT);
    brokers.healthy();
    assert_eq!(brokers.amiss(), []);

    let replica = brokers.replica("t", 0, 3);
    let (logs, away) = (
        replica.parent().expect("logs"),
        brokers.shell.dir().join("away"),
    );
    fs::rename(logs, &away).expect("moved");
    let unusable = reason("broker-log-dir", json!(3));
    assert!(brokers.amiss().contains(&unusable));
    let (_, out, _) = brokers.tool(&["health"]);
    assert!(out.contains("filled from the other replicas"), "{out}");
    fs::rename(&away, logs).expect("back");
    brokers.healthy();

    brokers.kill(3);
    brokers.kill(2);
    brokers.until("t", 0, "isr", json!([1]));
    let mut expected = vec![
        reason("broker-stopped", json!(2)),
        reason("broker-stopped", json!(3)),
        reason("under-min-isr", json!("t:0")),
        reason("under-replicated", json!("t:0")),
    ];
    eventually("a controller", || brokers.amiss() == expected);
    brokers.kill(1);
    let (_, out, _) = brokers.tool(&["health"]);
    assert!(out.contains("replaced ('mq-broker start --id 1')"), "{out}");
    expected.insert(0, reason("no-controller", json!("null:null")));
    expected.insert(1, reason("broker-stopped", json!(1)));
    assert_eq!(brokers.amiss(), expected);
    fs::rename(brokers.replica("t", 0, 1), brokers.shell.dir().join("away")).expect("moved");
    expected.insert(4, reason("offline", json!("t:0")));
    assert_eq!(brokers.amiss(), expected);
    fs::rename(brokers.shell.dir().join("away"), brokers.replica("t", 0, 1)).expect("back");
    // Nobody else is in sync: an empty directory would be no cure.
    let logs = brokers.shell.store().join("brokers/1/logs");
    fs::rename(&logs, brokers.shell.dir().join("away")).expect("moved");
    let (_, out, _) = brokers.tool(&["health"]);
    assert!(out.contains("no other replica is in sync for t:0"), "{out}");
    assert!(
        out.contains("'mq-broker elect unclean t:0' makes another replica the leader"),
        "{out}"
    );
    assert!(!out.contains("filled from"), "{out}");
    fs::rename(brokers.shell.dir().join("away"), &logs).expect("back");
    for id in [1, 2, 3] {
        brokers.start(id);
    }
    brokers.healthy();
    let topic = brokers.shell.store().join("topics/t.json");
    let sound = fs::read(&topic).expect("read");
    fs::write(&topic, "{").expect("damaged");
    assert_eq!(
        brokers.amiss(),
        [reason("topic-unreadable", json!("null:null"))]
    );
    fs::write(&topic, sound).expect("repaired");
    for args in [
        &["health", "--timeout", "1s"][..],
        &["health", "--wait", "--timeout", "x"],
    ] {
        refused(&brokers.shell, args, 2, &["--timeout"]);
    }
}
