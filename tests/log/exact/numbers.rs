//! What a template says of a record's place: its number in the run, and its log's edges.

use crate::cli::{Shell, TIMEOUT};

#[test]
fn records_are_numbered_in_the_order_in_which_they_are_printed() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    let lines: String = (0..2000).map(|n| format!("{n}\n")).collect();
    shell.produce(&["t"], lines.as_bytes());
    let numbers = |args: &[&str]| {
        let out = shell.consume_text(&[&["-f", "%i\\n"], args, &["t"]].concat());
        let numbers = out.lines().map(|n| n.parse::<usize>().expect("a number"));
        numbers.collect::<Vec<_>>()
    };
    let first = |count: usize| (0..count).collect::<Vec<_>>();
    assert_eq!(numbers(&["-e"]), first(2000));
    assert_eq!(
        numbers(&["-e", "--grep", "7$"]),
        first(200),
        "of the printed ones"
    );
    assert_eq!(numbers(&["-e", "--tail", "1500"]), first(1500));
    assert_eq!(numbers(&["-e", "-g", "g", "-c", "30"]), first(30));
    assert_eq!(numbers(&["-e", "-g", "g"]), first(1970), "of this run");
    let echo = shell.ok("mq-produce", &["-o", "%i:%v ", "t"], b"a\nb\nc\n");
    assert_eq!(echo, b"0:a 1:b 2:c ");
    let peek = ["peek", "g", "-B", "2", "-A", "0", "-f", "%i "];
    assert_eq!(shell.ok("mq-groups", &peek, b""), b"0 1 2 3 ");
    // What is taken literally is reported, as mq-consume does.
    for args in [
        &["peek", "g", "-f", "%{json} "][..],
        &["skip", "g", "t:0", "--dry-run", "-f", "%{json} "],
    ] {
        let done = shell.run("mq-groups", args, b"");
        assert!(done.err.contains("%{json} stands for"), "{}", done.err);
    }
    // What follows the tail goes on with its numbers.
    let mut running = shell.start("mq-consume", &["--tail", "2", "-f", "%i %v\n", "t"]);
    running.says("\n1 ");
    shell.produce(&["t"], b"d\n");
    running.says("2 d\n");
    running.signal(rustix::process::Signal::TERM);
    running.end_within(TIMEOUT);
}

#[test]
fn the_logs_edges_are_those_at_the_time() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    shell.produce(&["-p", "0", "t"], b"a\nb\n");
    shell.produce(&["-p", "1", "t"], b"c\n");
    for args in [&["-e"][..], &["-e", "--tail", "9"], &["-e", "-g", "g"]] {
        let out = shell.consume_text(&[args, &["-f", "%v%w-%W\\n", "t"]].concat());
        let mut lines: Vec<&str> = out.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["a0-2", "b0-2", "c0-1"], "{args:?}");
    }
    let mut running = shell.start("mq-consume", &["-p", "1", "-f", "%v %W\n", "t"]);
    running.says("c 1\n");
    shell.produce(&["-p", "1", "t"], b"d\n");
    running.says("d 2\n");
    running.signal(rustix::process::Signal::TERM);
    running.end_within(TIMEOUT);
    let peek = ["peek", "g", "-f", "%p%W "];
    assert_eq!(shell.ok("mq-groups", &peek, b""), b"02 12 12 ");
    // Nothing of them is reported to a producer, which does not know them.
    shell.produce(&["-f", "%i,%w,%W,%v\\n", "u"], b"5,6,7,v\n");
    assert_eq!(shell.consume_text(&["-e", "-f", "%o %v", "u"]), "0 v");
    let refused = shell.run("mq-produce", &["-o", "%W\\n", "u"], b"w\n");
    assert_eq!(refused.status, 2, "{}", refused.err);
}
