//! A store that is moved away or deleted while somebody follows it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::{Shell, TIMEOUT};
use crate::tally::Tally;

/// Deletes a store in use: its users may still create a file in a directory that is being removed.
fn delete(store: &Path) {
    let until = Instant::now() + TIMEOUT;
    while let Err(e) = fs::remove_dir_all(store) {
        assert!(Instant::now() < until, "{e}");
    }
}

#[test]
fn a_store_that_is_moved_away_or_deleted_ends_its_followers() {
    let _tally = Tally::start();
    for args in [
        &["t"][..],
        &["-g", "g", "t"],
        &["-g", "g", "-f", "%v;", "t*"],
    ] {
        for how in ["moved", "deleted", "replaced"] {
            Tally::case();
            let shell = Shell::new();
            shell.produce(&["t"], b"a\n");
            let mut reader = shell.start("mq-consume", args);
            assert!(reader.out.until(TIMEOUT, |out| out.starts_with(b"a")));
            match how {
                "deleted" => delete(shell.store()),
                _ => fs::rename(shell.store(), shell.dir().join("away")).expect("moved"),
            }
            if how == "replaced" {
                shell.topics(&["create", "other"]);
            }
            let done = reader.end_within(Duration::from_secs(20));
            assert_eq!(done.status, 1, "{how} {args:?}: {}", done.err);
            let says = format!(
                "the store at {} was moved or deleted during the wait",
                shell.store().display()
            );
            assert!(done.err.contains(&says), "{how} {args:?}: {}", done.err);
            // A topic file that went before the rest of the store may be noted first.
            if how != "deleted" {
                assert_eq!(done.err.lines().count(), 2, "{how} {args:?}: {}", done.err);
            }
        }
    }
}

/// A mistyped path makes a store.
#[test]
fn a_store_that_a_tool_creates_is_noted() {
    let _tally = Tally::start();
    for (tool, words, quiet) in [
        ("mq-produce", &["t"][..], false),
        ("mq-produce", &["-q", "t"], true),
        ("mq-topics", &["create", "--if-not-exists", "t"], false),
        ("mq-topics", &["create", "-q", "--if-not-exists", "t"], true),
    ] {
        Tally::case();
        let shell = Shell::new();
        let typo = shell.dir().join("typo/deeper");
        let typo = typo.to_str().expect("UTF-8");
        let note = format!("created the store {typo}\n");
        let args = [words, &["--store", typo]].concat();
        let done = shell.run(tool, &args, b"a\n");
        assert_eq!(done.status, 0, "{}", done.err);
        assert_eq!(done.err.contains(&note), !quiet, "{}", done.err);
        let again = shell.run(tool, &args, b"a\n");
        assert_eq!(again.status, 0, "{}", again.err);
        assert!(!again.err.contains("store"), "{}", again.err);
    }
}

/// It would maintain files that no other process finds.
#[test]
fn a_store_that_is_moved_away_or_deleted_ends_its_broker() {
    let _tally = Tally::start();
    for how in ["moved", "deleted"] {
        Tally::case();
        let shell = Shell::new();
        shell.produce(&["t"], b"a\n");
        let mut broker = shell.start("mq-broker", &["start"]);
        broker.says(" ready: ");
        match how {
            "deleted" => delete(shell.store()),
            _ => fs::rename(shell.store(), shell.dir().join("away")).expect("moved"),
        }
        let done = broker.end_within(Duration::from_secs(20));
        assert_eq!(done.status, 1, "{how}: {}", done.err);
        let says = format!(
            "the store at {} was moved or deleted\n",
            shell.store().display()
        );
        assert!(done.err.contains(&says), "{how}: {}", done.err);
        assert!(!done.err.contains("start again"), "{how}: {}", done.err);
        assert!(!shell.store().exists(), "{how}");
    }
}
