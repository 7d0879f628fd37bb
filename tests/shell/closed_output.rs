//! Standard output that was closed: who has something to print says so.

use crate::cli::Shell;
use crate::outputs::{bash, filled};
use crate::tally::Tally;

const SAYS: &str = "cannot write to standard output";

/// Runs a line with its output closed, thrown away, and in what stands in for a closed one.
fn each_way(shell: &Shell, line: &str, closed: i32) {
    Tally::case();
    for to in [">&-", "1<>/dev/null"] {
        let done = bash(shell, &format!("{line} {to}"));
        assert_eq!(done.status, closed, "{line} {to}: {}", done.err);
        let told = done.err.matches(SAYS).count();
        assert_eq!(told, usize::from(closed != 0), "{line} {to}: {}", done.err);
        let cured = done.err.contains("'> /dev/null'");
        assert_eq!(cured, closed != 0, "{line} {to}: {}", done.err);
    }
    let done = bash(shell, &format!("{line} >/dev/null"));
    assert_eq!(done.status, 0, "{line} >/dev/null: {}", done.err);
    assert!(!done.err.contains(SAYS), "{line}: {}", done.err);
}

#[test]
fn who_has_something_to_print_says_that_it_was_closed() {
    let _tally = Tally::start();
    let shell = filled();
    for line in [
        "mq-consume -e t",
        "mq-consume -e -J t",
        "mq-consume --tail 1 -e t",
        "mq-consume --help-json",
        "mq-produce --help-json",
        "mq-produce --help",
        "mq-topics list",
        "mq-topics list --format json",
        "mq-topics describe t",
        "mq-topics describe t --format json",
        "mq-topics offsets t --format tsv",
        "mq-topics dump t",
        "mq-topics verify t",
        "mq-topics delete t --dry-run",
        "mq-topics create new --dry-run",
        "mq-topics --version",
        "mq-groups list",
        "mq-groups describe g",
        "mq-groups describe g --format json",
        "mq-groups history g",
        "mq-groups peek g",
        "mq-groups reset g --to start --dry-run",
        "mq-groups reset g --export",
        "mq-groups wait g --lag 99999 --format tsv",
        "mq-broker list",
        "mq-broker init --group 61100 --dry-run",
        "mq-broker --help-json",
    ] {
        each_way(&shell, line, 1);
    }
    let held = bash(&shell, "mq-groups check g --critical 99 >&-");
    assert_eq!(held.status, 3, "{}", held.err);
    assert!(held.err.contains(SAYS), "{}", held.err);
}

#[test]
fn who_prints_nothing_goes_on() {
    let _tally = Tally::start();
    let shell = filled();
    for line in [
        "echo x | mq-produce -q t",
        "mq-topics create -q --if-not-exists new",
        "mq-topics alter -q t -c segment.ms=500000",
        "mq-topics delete -q --if-exists none --yes",
        "mq-groups commit -q g t:0=1",
        "mq-groups wait -q g --lag 99999",
        "mq-consume -e -c 0 t",
        "mq-consume -e -c 1 -g h --exec true t",
        "mq-broker init -q",
        "mq-broker init -q --dry-run",
    ] {
        each_way(&shell, line, 0);
    }
}

#[test]
fn an_echo_that_has_nowhere_to_go_stores_nothing() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for echo in ["-T", "-o '%o\\n'"] {
        Tally::case();
        let done = bash(&shell, &format!("seq 3 | mq-produce {echo} new >&-"));
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(done.err.contains(SAYS), "{}", done.err);
        assert!(!shell.store().exists(), "nothing was made");
    }
    Tally::case();
    let done = bash(&shell, "seq 3 | mq-produce -q -T new >/dev/null");
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert_eq!(shell.consume_text(&["-e", "new"]), "1\n2\n3\n");
}

#[test]
fn a_broker_without_output_runs() {
    let _tally = Tally::start();
    Tally::case();
    let shell = filled();
    let done = bash(
        &shell,
        "mq-broker start --id 1 >&- & p=$!
         for i in $(seq 300); do
             mq-broker status --format tsv | cut -f 1 | grep -qx 1 && break; sleep 0.1
         done
         sleep 0.5; kill $p; wait $p",
    );
    assert_eq!(done.status, 0, "{}", done.err);
}
