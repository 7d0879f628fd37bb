//! `mq-produce --begins`: records of several lines.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::{Shell, TIMEOUT};
use crate::tally::Tally;

const LOG: &[u8] = b"2026-01-01 up\n2026-01-02 ERROR\n  at a\n\n  at b\n2026-01-03 down\n";

#[test]
fn a_stack_trace_is_one_record() {
    let _tally = Tally::start();
    let shell = Shell::new();
    std::fs::write(shell.dir().join("app.log"), LOG).expect("a file");
    let trace = "2026-01-02 ERROR\n  at a\n\n  at b";
    for (topic, args, input, output) in [
        (
            "file",
            &["app.log"][..],
            &b""[..],
            format!("2026-01-01 up|{trace}|2026-01-03 down|"),
        ),
        (
            "pipe",
            &[],
            LOG,
            format!("2026-01-01 up|{trace}|2026-01-03 down|"),
        ),
        // A record does not span two files.
        (
            "two",
            &["-", "app.log"],
            b"  at c",
            format!("  at c|2026-01-01 up|{trace}|2026-01-03 down|"),
        ),
        (
            "bounded",
            &["--max-lines", "2"],
            LOG,
            "2026-01-01 up|2026-01-02 ERROR\n  at a|\n  at b|2026-01-03 down|".to_owned(),
        ),
    ] {
        Tally::case();
        let args = [&["--begins", "^2026-", topic][..], args].concat();
        shell.produce(&args, input);
        assert_eq!(
            shell.consume_text(&["-e", "-D", "|", topic]),
            output,
            "{topic}"
        );
    }
    Tally::case();
    let keyed = ["--begins", "^2026-", "-K", " ", "-o", "%k@%o\\n", "keyed"];
    let done = shell.run("mq-produce", &keyed, LOG);
    assert_eq!(
        done.text(),
        "2026-01-01@0\n2026-01-02@1\n2026-01-03@2\n",
        "{}",
        done.err
    );
    let value = shell.consume_text(&["-e", "-f", "%v", "-o", "1:2", "keyed"]);
    assert_eq!(value, "ERROR\n  at a\n\n  at b");
    // The next line that begins one is named, not the one behind the bad record's first.
    Tally::case();
    let bad = ["--begins", "^[E2]", "-K", "=", "bad"];
    let done = shell.run("mq-produce", &bad, b"E=1\n at\n at\nE 2\n at=\n");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(
        done.err.contains("line 4 of standard input"),
        "{}",
        done.err
    );
    assert_eq!(
        shell.consume_text(&["-e", "-f", "%k=%v|", "bad"]),
        "E=1\n at\n at|"
    );
}

/// What waits for more lines is stored once none came for a while, or a signal ends the run.
#[test]
fn an_idle_input_or_a_signal_ends_a_record() {
    let _tally = Tally::start();
    for (linger, least, most) in [(None, 950, 20_000), (Some("150ms"), 140, 900)] {
        Tally::case();
        let shell = Shell::new();
        let mut args = vec!["--begins", "^E", "-o", "%v|", "t"];
        args.extend(linger.iter().flat_map(|linger| ["--linger", linger]));
        let mut tool = shell.start("mq-produce", &args);
        tool.feed(b"E1\n at\n");
        tool.feed(b"E2\n at");
        let begun = Instant::now();
        assert!(
            tool.out.until(TIMEOUT, |out| out == b"E1\n at|E2|"),
            "{linger:?}"
        );
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least), "{linger:?}: {took:?}");
        assert!(took < Duration::from_millis(most), "{linger:?}: {took:?}");
        // The rest of a line that was there in part is no part of what was ended.
        tool.feed(b" b\nE3\n");
        assert!(
            tool.out
                .until(TIMEOUT, |out| out == b"E1\n at|E2| at b|E3|")
        );
        tool.feed(b" at\n at");
        tool.close_stdin();
        let done = tool.end();
        assert_eq!(
            (done.status, done.text().as_str()),
            (0, "E1\n at|E2| at b|E3| at\n at|")
        );
    }
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let args = ["--begins", "^E", "--linger", "30s", "-T", "t"];
    let mut tool = shell.start("mq-produce", &args);
    tool.feed(b"E1\n at\nE2\n at\n half");
    std::thread::sleep(Duration::from_millis(300));
    tool.signal(Signal::TERM);
    let done = tool.end();
    assert_eq!(done.status, 128 + 15, "{}", done.err);
    assert!(
        done.err.contains("2 records are acknowledged"),
        "{}",
        done.err
    );
    assert_eq!(done.text(), "E1\n at\nE2\n at\n");
    assert_eq!(
        shell.consume_text(&["-e", "-D", "|", "t"]),
        "E1\n at|E2\n at|"
    );
}

#[test]
fn a_record_that_never_ends_is_bounded() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let mut input = b"E1\n".to_vec();
    (0..200_000).for_each(|_| input.extend_from_slice(b" at some.place\n"));
    input.extend_from_slice(b"E2\n at\n");
    let done = shell.run("mq-produce", &["--begins", "^E", "t"], &input);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("--max-lines"), "{}", done.err);
    let skip = ["--begins", "^E", "--on-error", "skip", "t"];
    let done = shell.run("mq-produce", &skip, &input);
    assert!(
        done.err
            .contains("1 record was skipped; the first: line 1 of"),
        "{}",
        done.err
    );
    assert_eq!(shell.consume_text(&["-e", "-D", "|", "t"]), "E2\n at|");
}
