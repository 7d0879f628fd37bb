//! Arguments that are bytes, and what a failed mq-produce says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::cli::{Done, Shell, run};
use crate::tally::Tally;

fn with_bytes(shell: &Shell, tool: &str, words: &[&[u8]], input: &[u8]) -> Done {
    let mut command = shell.command(tool, &[]);
    command.args(words.iter().map(|word| OsStr::from_bytes(word)));
    run(command, input)
}

#[test]
fn keys_headers_and_markers_are_bytes_as_given() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (produce, input, consume, output) in [
        (
            &[&b"-k"[..], b"\xff", b"a"][..],
            &b"v"[..],
            &[&b"-e"[..], b"-f", b"%k=%v", b"a", b"--key", b"\xff"][..],
            &b"\xff=v"[..],
        ),
        (
            &[b"-H", b"n=\xfe=", b"b"],
            b"v",
            &[b"-e", b"-f", b"%h[n]", b"b"],
            b"\xfe=",
        ),
        (
            &[b"--null-marker=\xff", b"c"],
            b"\xff",
            &[b"-e", b"--null-marker", b"\xfd", b"c"],
            b"\xfd\n",
        ),
    ] {
        Tally::case();
        let done = with_bytes(&shell, "mq-produce", produce, input);
        assert_eq!(done.status, 0, "{}", done.err);
        let done = with_bytes(&shell, "mq-consume", consume, b"");
        assert_eq!(
            (done.status, done.out.as_slice()),
            (0, output),
            "{}",
            done.err
        );
    }
    for (words, said) in [
        (
            &[&b"-H"[..], b"\xff=v", b"a"][..],
            "a name that is not UTF-8",
        ),
        (&[b"a\xff"], "'a\\xff' is not UTF-8"),
        (
            &[b"-k", b"\xff", b"-D", b"\xfe", b"a"],
            "one of '\\xff', '\\xfe'",
        ),
    ] {
        Tally::case();
        let done = with_bytes(&shell, "mq-produce", words, b"v\n");
        assert_eq!(done.status, 2, "{}", done.err);
        assert!(done.err.contains(said), "{}", done.err);
    }
}

/// Quiet or not: how much is acknowledged, and the first line that is not.
#[test]
fn a_failed_produce_counts_and_names_the_line() {
    let _tally = Tally::start();
    let shell = Shell::new();
    std::fs::write(shell.dir().join("f1"), "a\nb\n").expect("a file");
    for (args, input, said) in [
        (
            &["-q", "-K", "=", "t"][..],
            "a=1\nb\n",
            "stopped at line 2 of standard input (1 record is acknowledged): there is no key",
        ),
        (
            &["-q", "t", "f1", "/tmp"],
            "",
            "stopped at line 1 of /tmp (2 records are acknowledged): cannot read /tmp",
        ),
        (
            &["-q", "t", "f1", "/nonexist"],
            "",
            "nothing was stored: cannot open /nonexist",
        ),
        (
            &["-q", "-K", "=", "--on-error", "skip", "t"],
            "a=1\nb\n",
            "1 record was skipped; the first: line 2 of standard input",
        ),
    ] {
        Tally::case();
        let done = shell.run("mq-produce", args, input.as_bytes());
        assert_eq!(done.status, 1, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
        assert!(done.err.lines().count() <= 2, "{args:?}: {}", done.err);
    }
}

/// Behind what is stored it goes on with the lines that are left, where that is known.
#[test]
fn a_partial_stop_says_how_to_go_on() {
    let _tally = Tally::start();
    let shell = Shell::new();
    std::fs::write(shell.dir().join("a file"), "k=1\nbad\nk=3\n").expect("a file");
    std::fs::write(shell.dir().join("bad"), "bad\n").expect("a file");
    for (args, input, cure) in [
        (
            &["-K", "=", "t", "a file"][..],
            "",
            Some(". Then go on from line 2 on: tail -n +2 'a file' | mq-produce ..."),
        ),
        (
            &["-K", "=", "t"],
            "k=1\nk=2\nbad\n",
            Some(". Then send it again from line 3 on: tail -n +3 | mq-produce ..."),
        ),
        (
            &["-J", "t"],
            "{\"value\":\"a\"}\nbad\n",
            Some(". Then send it again from line 2 on: tail -n +2 |"),
        ),
        (&["-K", "=", "t"], "bad\n", None),
        (&["-K", "=", "-D", ";", "t"], "k=1;bad;", None),
        (&["-K", "=", "t", "-", "bad"], "k=1\n", None),
    ] {
        Tally::case();
        let done = shell.run("mq-produce", args, input.as_bytes());
        assert_eq!(done.status, 1, "{args:?}: {}", done.err);
        match cure {
            Some(cure) => assert!(done.err.contains(cure), "{args:?}: {}", done.err),
            None => assert!(!done.err.contains("tail -n"), "{args:?}: {}", done.err),
        }
    }
}

#[test]
fn a_failed_echo_names_the_line_too() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let lines: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    for (input, all) in [(lines.as_str(), false), ("", true)] {
        Tally::case();
        let mut command = shell.command("mq-produce", &["-q", "-T", "t"]);
        let full = std::fs::File::options().write(true).open("/dev/full");
        command.stdout(full.expect("/dev/full"));
        let done = run(command, input.as_bytes());
        if all {
            assert_eq!(done.status, 0, "{}", done.err);
            continue;
        }
        assert_eq!(done.status, 1, "{}", done.err);
        let stored = shell.consume_text(&["-e", "t"]).lines().count();
        let count = format!("({stored} records are acknowledged");
        assert!(done.err.contains(&count), "{}", done.err);
        let line = format!("stopped at line {} of standard input", stored + 1);
        let named = done.err.contains(&line) || done.err.contains("all that were read");
        assert!(named, "{}", done.err);
    }
}
