//! How refusals read.

use std::os::unix::ffi::OsStrExt;

use super::shop::{BEFORE, export, groups, shop};
use crate::cli::{Done, Shell};
use crate::snapshot;
use crate::tally::Tally;

type Provoke = fn(&Shell) -> Done;

/// How refusals read.
const WORDING: [(&str, i32, Provoke); 15] = [
    ("undo-nothing", 1, |shell| {
        shell.ok("mq-consume", &["-g", "m", "-e", "t"], b"");
        shell.run("mq-groups", &["undo", "m", "--yes"], b"")
    }),
    ("undo-unknown", 1, |shell| {
        shell.run("mq-groups", &["undo", "gg", "--yes"], b"")
    }),
    ("undo-unasked", 2, |shell| {
        shell.run("mq-groups", &["undo", "g"], b"")
    }),
    ("delete-offsets-none", 1, |shell| {
        shell.run(
            "mq-groups",
            &["delete-offsets", "g", "--topic", "u:1", "--yes"],
            b"",
        )
    }),
    ("clone-unknown", 1, |shell| {
        shell.run("mq-groups", &["clone", "h", "i"], b"")
    }),
    ("clone-unasked", 2, |shell| {
        groups(shell, &["commit", "h", "t:0=1"]);
        shell.run("mq-groups", &["clone", "g", "h"], b"")
    }),
    ("from-file-bad-row", 1, |shell| {
        let args = ["reset", "g", "--from-file", "-", "--yes"];
        shell.run("mq-groups", &args, b"t,0,1\nt;1;2\n")
    }),
    ("from-file-outside", 1, |shell| {
        let args = ["reset", "g", "--from-file", "-", "--yes"];
        shell.run("mq-groups", &args, b"t,0,1\nt,1,11\n")
    }),
    ("from-file-missing", 1, |shell| {
        shell.run(
            "mq-groups",
            &["reset", "g", "--from-file", "no.csv", "--yes"],
            b"",
        )
    }),
    ("skip-end", 1, |shell| {
        groups(shell, &["commit", "g", "t:0=10"]);
        shell.run("mq-groups", &["skip", "g", "t:0", "--yes"], b"")
    }),
    ("skip-uncommitted", 1, |shell| {
        shell.run("mq-groups", &["skip", "g", "u:1", "--yes"], b"")
    }),
    ("peek-nothing", 1, |shell| {
        shell.run("mq-groups", &["peek", "g", "--topic", "u:1"], b"")
    }),
    ("reset-to-group-none", 1, |shell| {
        groups(shell, &["commit", "z", "t:0=1"]);
        let args = ["reset", "g", "--to-group", "z", "--topic", "u", "--yes"];
        shell.run("mq-groups", &args, b"")
    }),
    ("check-no-lag", 3, |shell| {
        let mut done = shell.run("mq-groups", &["check", "--warn", "x"], b"");
        done.err = done.text();
        done
    }),
    ("name-not-utf-8", 2, |shell| {
        let mut command = shell.command("mq-consume", &["-g"]);
        command.arg(std::ffi::OsStr::from_bytes(b"a\xff")).arg("t");
        command.output().expect("run").into()
    }),
];

#[test]
fn refusals_say_what_and_what_to_do() {
    let _tally = Tally::start();
    let mut wrong = Vec::new();
    for (name, status, provoke) in WORDING {
        Tally::case();
        let shell = shop();
        let done = provoke(&shell);
        let before = (name != "skip-end").then_some(BEFORE);
        if let Some(before) = before {
            assert_eq!(export(&shell, "g"), before, "{name}");
        }
        if done.status != status {
            wrong.push(format!(
                "{name}: status {}, not {status}: {}",
                done.status, done.err
            ));
        }
        let found = done.err.replace(&*shell.store().to_string_lossy(), "STORE");
        wrong.extend(snapshot::differs("offsets", name, &found));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
