//! A store that is moved away or deleted while somebody follows it.

use std::fs;
use std::time::Duration;

use crate::cli::{PATIENCE, Shell};
use crate::tally::Tally;

#[test]
fn a_store_that_is_moved_away_or_deleted_ends_who_follows_it() {
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
            assert!(reader.out.until(PATIENCE, |out| out.starts_with(b"a")));
            match how {
                "deleted" => fs::remove_dir_all(shell.store()).expect("deleted"),
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
            assert_eq!(done.err.lines().count(), 2, "{how} {args:?}: {}", done.err);
        }
    }
}
