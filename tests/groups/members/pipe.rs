//! Into a pipe, what counts is what its reader took out of it.

use super::view::GroupDir;
use crate::cli::Shell;
use crate::tally::Tally;

/// Runs a script with the tools on its path.
fn run(shell: &Shell, script: &str) {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_mq-consume"))
        .parent()
        .expect("a place");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let status = std::process::Command::new("bash")
        .args(["-c", script])
        .current_dir(shell.dir())
        .env("PATH", path)
        .env("MQ_STORE", shell.store())
        .status()
        .expect("bash");
    assert!(status.success(), "{script}");
}

/// The same; what is committed in group `g` afterwards.
fn committed_after(shell: &Shell, script: &str) -> i64 {
    run(shell, script);
    GroupDir::of(shell.store(), "g").committed().values().sum()
}

#[test]
fn what_the_reader_did_not_take_is_not_committed() {
    let _tally = Tally::start();
    for (script, least, most) in [
        ("mq-consume -g g t -e | true", 0, 0),
        ("mq-consume -g g t -e | (exec < /dev/null; sleep 0.5)", 0, 0),
        ("mq-consume -g g t -e | (sleep 1; cat > all)", 500, 500),
        ("mq-consume -g g t -e > all", 500, 500),
        ("mq-consume -g g -c 7 t | cat > some", 7, 7),
        // head takes a buffer full, of which it prints five lines.
        ("mq-consume -g g t | head -5 > some", 5, 500),
        ("mq-consume -g g t -e --commit never > all", 0, 0),
        ("mq-consume -g g t -e --commit on-exit | true", 0, 0),
    ] {
        Tally::case();
        let shell = Shell::new();
        let lines: String = (0..500).map(|n| format!("line {n}\n")).collect();
        shell.produce(&["t"], lines.as_bytes());
        let committed = committed_after(&shell, script);
        assert!((least..=most).contains(&committed), "{script}: {committed}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_a_member_that_waits_for_records() {
    let _tally = Tally::start();
    for script in [
        "mq-consume t | head -1 > some",
        "mq-consume -g g t | head -1 > some",
        "mq-consume --wait other | true",
        "mq-consume 't*' | head -1 > some",
    ] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["t"], b"one\n");
        let script = format!("timeout 30 bash -c \"{script}\"");
        run(&shell, &script);
    }
}

#[test]
fn a_record_that_was_half_taken_comes_again() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    let line = format!("{}\n", "x".repeat(9_999));
    shell.produce(&["t"], line.repeat(20).as_bytes());
    // Three and a half records are read, byte for byte.
    let script = "mq-consume -g g t | dd of=taken bs=1 count=35000 status=none";
    assert_eq!(committed_after(&shell, script), 3);
}

#[test]
fn members_that_share_a_pipe_do_not_tear_lines() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "6"]);
    let lines: String = (0..60_000)
        .map(|n| format!("line-{n:09}-{}\n", "x".repeat(20)))
        .collect();
    shell.produce(&["t"], lines.as_bytes());
    let script = "( for i in 1 2 3; do mq-consume -g g -e t & done; wait ) | cat > all
        test $(wc -l < all) = 60000 && ! grep -vqE '^line-[0-9]{9}-x{20}$' all";
    assert_eq!(committed_after(&shell, script), 60_000);
}
