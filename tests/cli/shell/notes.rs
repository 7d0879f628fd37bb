//! What is reported to a reader that waits, or that has nothing to read.

use crate::cli::Shell;
use crate::tally::Tally;

/// A range that leaves nothing to read is most likely not what was meant.
#[test]
fn an_empty_range_is_noted() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    shell.topics(&["create", "none"]);
    shell.produce(&["t"], b"a\nb\nc\nd\n");
    for (args, noted) in [
        (&["-o", "end:-1", "t"][..], true),
        (&["-e", "-o", "end:-1", "t"], true),
        (&["-o", "1:1", "t"], true),
        (&["-o", "@2020-01-01:@2020-01-02", "t"], true),
        (&["-o", "0=end:-1", "t"], true),
        (&["-q", "-o", "end:-1", "t"], false),
        (&["-o", "0=end:-1,1=0:1", "t"], false),
        (&["-o", "1:2", "t"], false),
        (&["-e", "-o", "end", "t"], false),
        (&["-o", "start:end", "none"], false),
    ] {
        Tally::case();
        let done = shell.run("mq-consume", args, b"");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        let note = "mq-consume: nothing to read: the range given with -o is empty\n";
        assert_eq!(done.err, if noted { note } else { "" }, "{args:?}");
    }
}

/// A pattern that nothing matches is most likely mistyped; it may be meant for what comes, too.
#[test]
fn a_wait_for_topics_that_match_is_noted_once() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["other"], b"x\n");
    for (args, noted) in [
        (&["nope*"][..], true),
        (&["-r", "no|nope.*"], true),
        (&["--wait", "nope*"], true),
        (&["-e", "--wait", "nope*"], true),
        (&["-g", "g", "nope*"], true),
        (&["-g", "g", "-e", "--wait", "nope*"], true),
        (&["-q", "nope*"], false),
        (&["-q", "-g", "g", "nope*"], false),
        (&["--wait", "nope"], false),
        (&["o*", "nope*"], true),
    ] {
        Tally::case();
        let done = shell.run(
            "mq-consume",
            &[args, &["--idle-timeout", "300ms"]].concat(),
            b"",
        );
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        let times = usize::from(noted);
        assert_eq!(
            done.err.matches("no topic matches 'no").count(),
            times,
            "{args:?}: {}",
            done.err
        );
        assert_eq!(
            done.err.matches("waiting for one").count(),
            times,
            "{args:?}: {}",
            done.err
        );
    }
    for args in [
        &["-c", "0", "nope*"][..],
        &["-o", ":5", "nope*"],
        &["-e", "nope*"],
    ] {
        Tally::case();
        let done = shell.run("mq-consume", args, b"");
        assert!(!done.err.contains("waiting"), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_missing_topic_can_be_waited_for() {
    let shell = Shell::new();
    shell.produce(&["orders"], b"x\n");
    for (args, near) in [
        (&["-e", "ordres"][..], "did you mean 'orders'? --wait waits"),
        (
            &["-g", "g", "ordres"],
            "did you mean 'orders'? --wait waits",
        ),
        (&["zebra"], "shows the topics; --wait waits"),
        (&["o*", "zebra"], "shows the topics; --wait waits"),
    ] {
        let done = shell.run("mq-consume", args, b"");
        assert_eq!(done.status, 1, "{args:?}");
        assert!(done.err.contains(near), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_deleted_topic_is_reported_with_a_cure() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let follower = shell.start("mq-consume", &["t"]);
    follower.says("a\n");
    shell.topics(&["delete", "--yes", "t"]);
    let done = follower.end();
    assert_eq!(done.status, 1, "{}", done.err);
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.err);
    assert!(lines[0].contains("t:0 was deleted"), "{}", done.err);
    assert!(lines[1].contains("mq-topics list"), "{}", done.err);
}
