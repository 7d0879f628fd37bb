//! A leader whose disk is full, while others have room.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::brokers::Brokers;
use crate::mounts::Mounts;
use crate::tally::Tally;

const MEGABYTES: u32 = 8;

fn fill(disk: &Path) {
    let full = vec![0; (MEGABYTES as usize) << 20];
    // As much of it as there is room for.
    fs::write(disk.join("filler"), full).expect_err("more than there is room for");
}

#[test]
fn a_full_disk_gives_the_leadership_to_one_with_room_until_it_has_room_again() {
    let _tally = Tally::start();
    let mut brokers = Brokers::of(0);
    let disks: Vec<PathBuf> = (1..=3)
        .map(|id| brokers.shell.dir().join(format!("disk-{id}")))
        .collect();
    let Some(_mounts) = Mounts::new(disks.iter().map(PathBuf::as_path), MEGABYTES) else {
        println!("cluster: a full disk: skipped: may not mount");
        return;
    };
    for (id, disk) in (1..).zip(&disks) {
        let logs = disk.join("logs");
        brokers.start_with(id, &["--log-dir", logs.to_str().expect("text")]);
    }
    let least = "min.insync.replicas=2";
    let create = ["create", "t", "--assign", "1:2:3", "-c", least];
    brokers.shell.topics(&create);
    brokers.healthy();
    let produce = |text: &[u8]| {
        let args = ["-q", "--timeout", "20s", "t"];
        brokers.shell.ok("mq-produce", &args, text);
        Tally::case();
    };
    produce(b"1\n2\n");
    fill(&disks[0]);
    // More than what is left of a page.
    let large = format!("{}\n", "x".repeat(500_000));
    produce(large.as_bytes());
    let leader = brokers.partition("t", 0)["leader"].clone();
    assert!(leader == 2 || leader == 3, "{leader}");
    let full = ("broker-disk-full".to_owned(), json!(1));
    assert!(brokers.amiss().contains(&full), "{:?}", brokers.amiss());
    let text = format!("1\n2\n{large}");
    assert!(brokers.shell.consume_text(&["-e", "t"]) == text);
    fs::remove_file(disks[0].join("filler")).expect("there");
    brokers.healthy();
    brokers.until("t", 0, "leader", json!(1));
    assert_eq!(brokers.amiss(), []);
    produce(b"5\n");

    // Nowhere is room: nobody is worse off than before.
    for disk in &disks {
        fill(disk);
    }
    let args = ["-q", "--timeout", "1s", "t"];
    let done = brokers.shell.run("mq-produce", &args, large.as_bytes());
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("No space left"), "{}", done.err);
    for id in 1..=3 {
        let full = ("broker-disk-full".to_owned(), json!(id));
        assert!(brokers.amiss().contains(&full), "{:?}", brokers.amiss());
    }
    for disk in &disks {
        fs::remove_file(disk.join("filler")).expect("there");
    }
    brokers.healthy();
    produce(b"6\n");
    let text = format!("{text}5\n6\n");
    assert!(brokers.shell.consume_text(&["-e", "t"]) == text);
}
