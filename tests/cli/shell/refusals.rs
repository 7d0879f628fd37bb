//! What is refused, in which words, and with which way out.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn a_topic_that_is_made_is_named_in_full() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for args in [["create", "t*"], ["create", "a/b"], ["describe", "a/b"]] {
        Tally::case();
        let done = shell.run("mq-topics", &args, b"");
        assert_eq!(done.status, 2, "{args:?}: {}", done.err);
    }
}

/// What a newcomer mistypes, and what is said: a part of each line.
#[test]
fn mistakes_are_met_with_what_to_do() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["orders"], b"a\n");
    for (tool, args, status, said) in [
        (
            "mq-consume",
            &["-t", "orders"][..],
            2,
            "topics are named without an option",
        ),
        (
            "mq-consume",
            &["orders", "--from-beginning"],
            2,
            "begins at the start",
        ),
        (
            "mq-consume",
            &["-c", "x", "orders"],
            2,
            "expected a whole number from 0",
        ),
        (
            "mq-consume",
            &["-c", "99999999999999999999", "orders"],
            2,
            "it is too large",
        ),
        ("mq-consume", &["-e", "zz*"], 1, "no topic matches 'zz*'"),
        (
            "mq-consume",
            &["-e", "-r", "z|y"],
            1,
            "no topic matches 'z|y'",
        ),
        (
            "mq-consume",
            &["-e", "orders", "--grep", "["],
            2,
            "expression: unclosed",
        ),
        (
            "mq-consume",
            &["-e", "ord*", "order"],
            1,
            "did you mean 'orders'?",
        ),
        (
            "mq-produce",
            &["-p", "x", "orders"],
            2,
            "expected a whole number from 0",
        ),
        (
            "mq-produce",
            &["-J", "orders"],
            1,
            "as mq-consume -J prints it",
        ),
        (
            "mq-produce",
            &["orders", "."],
            1,
            "Is a directory\n            name a file\n",
        ),
        ("mq-topics", &["list", "orde"], 1, "did you mean 'orders'?"),
        (
            "mq-topics",
            &["dump", "--file", "x.log"],
            1,
            "directory\n           name a segment file",
        ),
        (
            "mq-broker",
            &["start", "--log-dir", "elsewhere"],
            1,
            "its log directory stays there",
        ),
        (
            "mq-topics",
            &["create", "t", "-c", "flush.messages=1", "-c", "flush.ms=9"],
            2,
            "--unset flush.ms",
        ),
        (
            "mq-topics",
            &["create", "t", "--replication-factor", "3"],
            1,
            "INVALID_REPLICATION_FACTOR: 3 replicas need as many live brokers, and only broker 0 can take one now",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"no JSON\n");
        assert_eq!(done.status, status, "{tool} {args:?}: {}", done.err);
        assert!(done.err.contains(said), "{tool} {args:?}: {}", done.err);
        assert!(
            !done.err.contains("os error"),
            "{tool} {args:?}: {}",
            done.err
        );
    }
    assert!(!shell.dir().join("elsewhere").exists());
    for (partitions, detail) in [
        ("2", "from 1 to 2 partitions"),
        ("4", "from 1 to 4 partitions"),
    ] {
        Tally::case();
        let args = [
            "alter",
            "orders",
            "--partitions",
            partitions,
            "--dry-run",
            "--format",
            "tsv",
        ];
        let plan = shell.ok("mq-topics", &args, b"");
        let expected = format!("orders\tadd partitions\t{detail}\n");
        assert_eq!(String::from_utf8(plan).expect("text"), expected);
    }
}

/// Options of later versions get no tip that means something else, and refused text is quoted as
/// it was given.
#[test]
fn what_is_refused_is_said_plainly() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args, said, unsaid) in [
        (
            "mq-consume",
            &["--merge", "t"][..],
            "in this version",
            "--regex",
        ),
        (
            "mq-consume",
            &["--segment", "x", "t"],
            "in this version",
            "--grep",
        ),
        (
            "mq-broker",
            &["start", "--listen", "x"],
            "in this version",
            "--store",
        ),
        ("mq-produce", &["--follow", "f", "t"], "tail -F", "--color"),
        (
            "mq-topics",
            &["create", "--replicas", "1", "t"],
            "create -r N",
            "-- --replicas",
        ),
        ("mq-consume", &["-f", "%q\\n", "t"], "'%q\\n'", "\\\\"),
        (
            "mq-consume",
            &["-f", "\\x41\\x4", "t"],
            "unknown escape",
            "not a format",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{args:?}: {}", done.err);
        let head = done.err.split("the escapes are").next().unwrap_or_default();
        assert!(head.contains(said), "{args:?}: {}", done.err);
        assert!(!head.contains(unsaid), "{args:?}: {}", done.err);
    }
}

#[test]
fn what_is_too_large_says_which_limit_to_raise() {
    let _tally = Tally::start();
    let big = vec![b'x'; 3_000_000];
    let lines = [&big[..], b"\n"].concat();
    let json = [b"{\"value\":\"", &big[..], b"\"}\n"].concat();
    let segment = ["segment.bytes=2000", "max.message.bytes=3100000"];
    for (args, input, configs, twice) in [
        (&["--whole", "t", "big"][..], &b""[..], &[][..], false),
        (&["--whole", "t"], &big, &[], false),
        (&["t"], &lines, &[], true),
        (&["-J", "t"], &json, &[], true),
        (&["-f", "%v\\n", "t"], &lines, &[], true),
        (
            &["-K", "=", "--on-missing-key", "null", "t"],
            &lines,
            &[],
            true,
        ),
        (&["t"], &lines, &segment, true),
    ] {
        Tally::case();
        let shell = Shell::new();
        std::fs::write(shell.dir().join("big"), &big).expect("written");
        let configs: Vec<&str> = configs.iter().flat_map(|one| ["-c", one]).collect();
        shell.ok("mq-topics", &[&["create", "t"], &configs[..]].concat(), b"");
        // The advice holds, taken word for word; where the size is not known yet, more than once.
        let mut rounds = 0;
        loop {
            let done = shell.run("mq-produce", args, input);
            if done.status == 0 {
                break;
            }
            rounds += 1;
            assert!(
                rounds <= if twice { 11 } else { 1 },
                "{args:?}: {}",
                done.err
            );
            assert_eq!(done.status, 1, "{args:?}: {}", done.err);
            let names_line = done.err.contains("stopped at line ");
            assert_eq!(names_line, args[0] != "--whole", "{args:?}: {}", done.err);
            let (_, advice) = done.err.split_once("'mq-topics ").expect("advice");
            let (advice, _) = advice.split_once('\'').expect("advice");
            let words: Vec<&str> = advice.split_whitespace().collect();
            shell.ok("mq-topics", &words, b"");
        }
        assert!(rounds > 0, "{args:?}");
        assert_eq!(shell.consume(&["-e", "t"]).len(), big.len() + 1);
    }
}
