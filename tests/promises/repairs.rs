//! Repairs: what one replica lost is not taken from the others, and a repair leaves a replica that can
//! be used.

use std::fs::{self, OpenOptions};

use rustix::process::Signal;

use crate::cli::{Shell, TIMEOUT};
use crate::daemons::{brokers, eventually, healthy, topic_file};

const LOG: &str = "t-0/00000000000000000000.log";
const REPAIR: [&str; 5] = ["verify", "--repair", "truncate", "--yes", "t"];

fn lines(count: usize) -> Vec<u8> {
    (1..=count)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect()
}

#[test]
fn a_leader_is_not_repaired_with_less_than_another_replica_has() {
    let shell = Shell::new();
    let running = brokers(&shell, &[1, 2]);
    shell.topics(&["create", "t", "--assign", "1:2"]);
    healthy(&shell);
    shell.produce(&["t"], &lines(1000));
    // Broker 2 leads alone; what broker 1 has is as much.
    running[0].signal(Signal::KILL);
    eventually(TIMEOUT, "failed over", || {
        let partition = &topic_file(&shell, "t")["partitions"][0];
        partition["leader"] == 2
            && partition["isr"]
                .as_array()
                .is_some_and(|isr| isr.len() == 1)
    });
    let logs = |broker: u32| {
        shell
            .store()
            .join(format!("brokers/{broker}/logs"))
            .join(LOG)
    };
    let whole = fs::read(logs(1)).expect("a log");
    let log = OpenOptions::new().write(true).open(logs(2)).expect("a log");
    log.set_len(0).expect("cut");
    let met = shell.run("mq-produce", &["t", "--timeout", "2s"], b"x\n");
    assert_ne!(met.status, 0, "the damage is not met: {}", met.err);
    let done = shell.run("mq-topics", &REPAIR, b"");
    let refused = done.status != 0 && done.err.contains("mq-broker elect unclean t:0 --to 1");
    assert!(refused, "{}", done.err);
    assert_eq!(fs::read(logs(1)).expect("a log"), whole);
    // The cure is one.
    let again = brokers(&shell, &[1]);
    eventually(TIMEOUT, "broker 1 leads", || {
        let elect = ["elect", "unclean", "t:0", "--to", "1", "--yes"];
        shell.run("mq-broker", &elect, b"").status == 0
    });
    assert_eq!(shell.consume(&["-e", "t"]), lines(1000));
    drop((again, running));
}

#[test]
fn a_log_whose_file_is_gone_is_repaired_as_the_plan_says() {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    shell.produce(&["t"], &lines(1000));
    fs::remove_file(shell.logs().join(LOG)).expect("removed");
    let done = shell.run("mq-topics", &REPAIR, b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        done.err.contains("none of their bytes are left"),
        "{}",
        done.err
    );
    shell.produce(&["t"], b"again\n");
    assert_eq!(shell.consume(&["-e", "t"]), b"again\n");
    // What is there is kept, and that is said.
    let log = OpenOptions::new().write(true).open(shell.logs().join(LOG));
    let log = log.expect("a log");
    std::os::unix::fs::FileExt::write_all_at(&log, b"x", 30).expect("damaged");
    let bytes = log.metadata().expect("a length").len();
    let done = shell.run("mq-topics", &REPAIR, b"");
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(
        done.err
            .contains(&format!("the {bytes} bytes after that point are kept")),
        "{}",
        done.err
    );
    let kept = fs::read_dir(shell.logs().join("t-0")).expect("listed");
    let kept = kept.filter_map(|entry| {
        let entry = entry.expect("an entry");
        let is_cut = entry.file_name().to_string_lossy().ends_with(".cut");
        is_cut.then(|| entry.metadata().expect("a length").len())
    });
    assert_eq!(kept.sum::<u64>(), bytes);
}
