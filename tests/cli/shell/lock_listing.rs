//! `mq-broker locks` shows each lock with the processes that hold it.

use std::os::unix::fs::MetadataExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn the_process_that_syncs_a_groups_offsets_is_shown() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-groups", &["commit", "g", "t:0=1"], b"");
    let inode = std::fs::metadata(shell.store().join("groups/g/offsets.log"))
        .expect("a log")
        .ino();
    let lock = format!("groups/g/offsets.{inode}.sync");
    let file = std::fs::File::open(shell.store().join(&lock)).expect("made by the commit");
    let locks = || {
        let out = shell.ok("mq-broker", &["locks", "--format", "json"], b"");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(locks(), "");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    let row: Value = serde_json::from_str(locks().trim_end()).expect("one row");
    assert_eq!((&row["lock"], &row["of"]), (&"sync".into(), &"g".into()));
    assert_eq!(
        row["pids"],
        serde_json::json!([std::process::id()]),
        "{row}"
    );
}

#[test]
fn a_members_lock_names_its_host() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let member = shell.start("mq-consume", &["-g", "g", "t"]);
    member.says("a\n");
    let locks = shell.ok("mq-broker", &["locks", "--format", "json"], b"");
    let locks = String::from_utf8(locks).expect("text");
    let row: Value = locks
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|row: &Value| row["lock"] == "member")
        .expect("a member");
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    assert_eq!(row["host"], host, "{row}");
    assert_eq!(row["pids"], serde_json::json!([member.child.id()]), "{row}");
    member.signal(Signal::INT);
    assert_eq!(member.end().status, 130);
}
