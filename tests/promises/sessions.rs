//! Groups: a lost note of a sync, topics that come later, what a check and a commit tell.

use std::time::Duration;

use crate::cli::Shell;
use crate::scripts::{bash_ok, can};

#[test]
fn a_lost_note_of_a_commit_counts_as_a_failed_sync() {
    if !can("lost notes of commits", &["strace"], false) {
        return;
    }
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q s; seq 10 | mq-produce -q s
log() { stat -c %i store/groups/g/offsets.log; }
mq-groups commit -q g s:0=1; first=$(log)
mq-groups commit -q g s:0=2; [ $(log) = $first ] || echo 'a first use is written twice'
for removed in no yes; do
  strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:error=EIO:signal=KILL:when=1 mq-groups commit -q g s:0=5 2> /dev/null
  [ $removed = no ] || rm store/groups/g/offsets.*.sync
  before=$(log); mq-groups commit -q g s:0=6; after=$(log)
  [ $after != $before ] || echo "removed: $removed: the log is trusted"
  mq-groups commit -q g s:0=7; [ $(log) = $after ] || echo "removed: $removed: rewritten again"
done
"#,
    );
    assert_eq!(out, "");
}

#[test]
fn a_check_counts_records_without_a_time() {
    let shell = Shell::new();
    let out = bash_ok(
        &shell,
        r#"
mq-topics create -q t
for i in 1 2 3 4; do echo '{"value":"x","timestamp":-1}'; done | mq-produce -q -J t
mq-groups commit -q g t:0=1
for args in '--warn 10s --critical 2' '--warn 2 --critical 10s' '--warn 10s --critical 3' '--warn 3 --critical 4'; do
  mq-groups check g $args > out; echo "$? $(grep -c 'age of the lag of t:0 is not known' out)"
done
"#,
    );
    assert_eq!(out, "2 0\n1 0\n3 2\n0 0\n");
}

#[test]
fn a_group_reads_what_is_there_while_it_waits_for_a_topic() {
    for (args, out) in [
        (&["--wait", "a", "later"][..], "1\n2\n3\n"),
        (&["--wait", "-o", "end", "a", "later"], "3\n"),
    ] {
        let shell = Shell::new();
        shell.produce(&["a"], b"1\n2\n");
        let args = [&["-g", "g"], args].concat();
        let mut running = shell.start("mq-consume", &args);
        if out.starts_with('1') {
            running.says("2\n");
        } else {
            has_members(&shell, 1);
        }
        shell.produce(&["later"], b"3\n");
        running.says("3\n");
        running.signal(rustix::process::Signal::TERM);
        let done = running.end_within(Duration::from_secs(20));
        assert_eq!(done.text(), out, "{args:?}: {}", done.err);
    }
    let shell = Shell::new();
    shell.produce(&["a"], b"1\n");
    for way in [&["-g", "g"][..], &[]] {
        for args in [&["-c", "0"][..], &["-e", "-c", "0"]] {
            let args = [way, &["--wait", "nothere"], args].concat();
            let mut running = shell.start("mq-consume", &args);
            let done = running.end_within(Duration::from_secs(20));
            assert_eq!((done.status, done.text()), (0, String::new()), "{args:?}");
        }
    }
    // What ends at its end waits: what comes after the end is fixed has none.
    let mut running = shell.start("mq-consume", &["-g", "e", "-e", "--wait", "a", "later"]);
    std::thread::sleep(Duration::from_millis(200));
    shell.produce(&["later"], b"2\n");
    let done = running.end_within(Duration::from_secs(20));
    assert_eq!((done.status, done.text().len()), (0, 4), "{}", done.err);
}

/// Gives the file the boot id of another boot.
fn other_boot(group: &std::path::Path) {
    let text = std::fs::read_to_string(group).expect("read");
    let id = text.split("\"boot_id\": \"").nth(1).expect("a boot id");
    let text = text.replace(&id[..32], &"a5".repeat(16));
    let end = text.find("\n  \"crc32\"").expect("a checksum");
    let sum = crc32fast::hash(&text.as_bytes()[..end]);
    let text = format!("{}\n  \"crc32\": \"{sum:08x}\"\n}}\n", &text[..end]);
    std::fs::write(group, text).expect("write");
}

/// Waits until the group `g` has so many members.
fn has_members(shell: &Shell, count: usize) {
    let file = shell.store().join("groups/g/group.json");
    let started = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.matches("\"member_id\"").count() == count {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{text}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_topic_that_comes_between_two_runs_of_a_group_is_read_from_its_start() {
    use rustix::process::Signal;
    for (signal, reboots) in [
        (Signal::TERM, false),
        (Signal::KILL, false),
        (Signal::TERM, true),
        (Signal::KILL, true),
    ] {
        let shell = Shell::new();
        shell.produce(&["a0"], b"old\n");
        let args = ["-g", "g", "-o", "end", "a*", "--idle-timeout", "700ms"];
        let mut first = shell.start("mq-consume", &args[..5]);
        has_members(&shell, 1);
        shell.produce(&["a0"], b"0\n");
        first.says("0\n");
        first.signal(signal);
        first.end_within(Duration::from_secs(20));
        shell.produce(&["ab"], b"1\n2\n");
        if reboots {
            // Any other boot id than this one's.
            let group = shell.store().join("groups/g/group.json");
            other_boot(&group);
        }
        // What was not committed is read again.
        let text = shell.consume_text(&args);
        let text = text.replace("0\n", "");
        assert_eq!(text, "1\n2\n", "{signal:?}, {reboots}");
        // What it never wanted is as old as its first look at it.
        shell.produce(&["b0"], b"older\n");
        let other = ["-g", "g", "-o", "end", "b*", "--idle-timeout", "300ms"];
        assert_eq!(shell.consume_text(&other), "", "{signal:?}, {reboots}");
        // A group that was deleted begins again.
        shell.ok("mq-groups", &["delete", "--yes", "-q", "g"], b"");
        assert_eq!(shell.consume_text(&args), "", "{signal:?}, {reboots}");
    }
}
