//! A watch, on a terminal and elsewhere.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::has;
use super::shop::{groups, shop};
use crate::cli::{Running, TIMEOUT};
use crate::tally::Tally;

#[test]
fn watch_prints_a_block_for_each_change() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut watch = shell.start("mq-groups", &["watch", "g", "--format", "tsv"]);
    watch.says("g\tt\t0\t3\t0\t10\t7\t");
    groups(&shell, &["commit", "g", "t:0=9"]);
    watch.says("g\tt\t0\t9\t0\t10\t1\t");
    shell.produce(&["-p", "0", "t"], b"more\n");
    watch.says("g\tt\t0\t9\t0\t11\t2\t");
    std::thread::sleep(Duration::from_millis(2500));
    watch.signal(Signal::INT);
    let done = watch.end_within(TIMEOUT);
    assert_eq!(done.status, 130, "{}", done.err);
    assert_eq!(
        done.text().lines().count(),
        9,
        "no block without a change: {}",
        done.text()
    );
}

#[test]
fn watch_ends_with_its_reader_although_nothing_changes() {
    let _tally = Tally::start();
    Tally::case();
    let shell = shop();
    let mut command = shell.command("mq-groups", &["watch", "--format", "tsv"]);
    let mut watch = command.spawn().expect("watch");
    let mut first = [0; 1];
    let mut out = watch.stdout.take().expect("a pipe");
    out.read_exact(&mut first).expect("a block");
    drop(out);
    let until = Instant::now() + TIMEOUT;
    let status = loop {
        if let Some(status) = watch.try_wait().expect("wait") {
            break status;
        }
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_store_that_is_moved_away_or_deleted_ends_a_watch() {
    let _tally = Tally::start();
    for args in [&["watch", "g"][..], &["watch"]] {
        for how in ["moved", "deleted"] {
            Tally::case();
            let shell = shop();
            let mut watch = shell.start("mq-groups", &[args, &["--format", "tsv"]].concat());
            watch.says("g\tt\t0\t3\t0\t10\t7\t");
            match how {
                "deleted" => std::fs::remove_dir_all(shell.store()).expect("deleted"),
                _ => std::fs::rename(shell.store(), shell.dir().join("away")).expect("moved"),
            }
            let done = watch.end_within(TIMEOUT);
            assert_eq!(done.status, 1, "{how} {args:?}: {}", done.err);
            let says = format!(
                "the store at {} was moved or deleted during the wait",
                shell.store().display()
            );
            assert!(done.err.contains(&says), "{how} {args:?}: {}", done.err);
        }
    }
}

#[test]
fn watch_gives_the_terminal_back() {
    let _tally = Tally::start();
    if !has("script") || !has("timeout") || !has("stty") {
        println!("offsets: skipped: script, timeout or stty is missing");
        return;
    }
    let shell = shop();
    let exe = env!("CARGO_BIN_EXE_mq-groups");
    for (how, keys) in [
        (format!("{exe} watch"), &b"q"[..]),
        (format!("{exe} watch g"), b"\x03"),
        (format!("{exe} watch"), b"\x03\x03\x03"),
        (format!("timeout --foreground -s TERM 2 {exe} watch"), b""),
        (
            format!("timeout --foreground -s INT 2 {exe} watch --only-lagging"),
            b"",
        ),
        (format!("timeout --foreground -s HUP 2 {exe} watch"), b""),
    ] {
        Tally::case();
        let inner = format!(
            "stty rows 8 cols 70; trap : INT; echo before $(stty -g); {how}; echo after $(stty -g)"
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &inner, "/dev/null"])
            .env("MQ_STORE", shell.store())
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut script = Running::of(command.spawn().expect("script"));
        script.says("\x1b[?1049h");
        script.says("q quits");
        std::thread::sleep(Duration::from_millis(300));
        script.feed(keys);
        script.says("after ");
        let done = script.end_within(TIMEOUT);
        let text = done.text();
        let line = |word: &str| {
            let at = text.rfind(word).expect(word) + word.len();
            text[at..].lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(line("before "), line("after "), "{how}: {text:?}");
        let (enter, leave) = (text.find("\x1b[?1049h"), text.find("\x1b[?1049l"));
        assert!(enter < leave && enter.is_some(), "{how}: {text:?}");
        assert!(
            text.contains("\x1b[?25l") && text.contains("\x1b[?25h"),
            "{how}: {text:?}"
        );
        let drawn = text[..leave.unwrap_or(0)]
            .rsplit("\x1b[H")
            .next()
            .unwrap_or_default();
        assert!(drawn.lines().count() <= 8, "{how}: {drawn:?}");
    }
}
