//! Words that begin with a dash: values of options are taken, names are refused.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn a_value_may_begin_with_a_dash() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (produce, input, consume, output) in [
        (
            &["-k", "-1", "a"][..],
            "v",
            &["-f", "%k=%v", "a"][..],
            "-1=v",
        ),
        (&["--key", "-x", "b"], "v", &["--key", "-x", "b"], "v\n"),
        (&["-D", "-", "c"], "x-y-", &["-D", "--", "c"], "x--y--"),
        (&["-K", "-", "d"], "k-v", &["-K", "->", "d"], "k->v\n"),
        (&["-H", "-a=-b", "e"], "v", &["-f", "%h[-a]", "e"], "-b"),
        (&["-f", "-%v\\n", "f"], "-v\n", &["-f", "-%v-", "f"], "-v-"),
        (
            &["--null-marker", "-", "g"],
            "-",
            &["--null-marker", "-0", "g"],
            "-0\n",
        ),
        (&["--timestamp", "-1h", "h"], "v", &["-o", "-1", "h"], "v\n"),
        (&["i"], "-x\ny\n", &["--grep", "-", "i"], "-x\n"),
        (&["j"], "1\n2\n", &["-o", "-1:", "-c", "1", "j"], "2\n"),
        (&["k"], "v", &["-g", "-x", "k"], "v\n"),
        (&["k"], "w", &["--group", "-x", "k"], "w\n"),
    ] {
        Tally::case();
        shell.produce(produce, input.as_bytes());
        let consume = [&["-e"], consume].concat();
        assert_eq!(
            shell.consume_text(&consume),
            output,
            "{produce:?} {consume:?}"
        );
    }
    Tally::case();
    shell.produce(&["-o", "-%v\\n", "l"], b"v\n");
    assert!(
        shell
            .ok("mq-groups", &["list", "--format", "tsv"], b"")
            .starts_with(b"-x\t")
    );
    shell.ok(
        "mq-groups",
        &["reset", "--by", "-1", "--yes", "--", "-x"],
        b"",
    );
}

#[test]
fn a_value_that_is_refused_is_named_with_its_dash() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args) in [
        ("mq-produce", &["-p", "-7", "t"][..]),
        ("mq-produce", &["-z", "-7", "t"]),
        ("mq-produce", &["--acks", "-7", "t"]),
        ("mq-produce", &["--linger", "-7", "t"]),
        ("mq-produce", &["--timeout", "-7", "t"]),
        ("mq-produce", &["--batch-size", "-7", "t"]),
        ("mq-produce", &["--keyless", "-7", "t"]),
        ("mq-produce", &["--partitioner", "-7", "t"]),
        ("mq-produce", &["--on-error", "-7", "t"]),
        ("mq-produce", &["--create-partitions", "-7", "t"]),
        ("mq-produce", &["--color", "-7", "t"]),
        ("mq-consume", &["-p", "-7", "t"]),
        ("mq-consume", &["-c", "-7", "t"]),
        ("mq-consume", &["--tail", "-7", "t"]),
        ("mq-consume", &["--idle-timeout", "-7", "t"]),
        ("mq-consume", &["-g", "g", "--commit", "-7", "t"]),
        ("mq-consume", &["-g", "g", "--commit-interval", "-7", "t"]),
        ("mq-topics", &["create", "t", "-p", "-7"]),
        ("mq-topics", &["create", "t", "-c", "-7"]),
        ("mq-topics", &["create", "t", "--like", "-7"]),
        ("mq-topics", &["alter", "t", "--unset", "-7"]),
        ("mq-topics", &["alter", "t", "--partitions", "-7"]),
        ("mq-topics", &["list", "--format", "-7"]),
        ("mq-topics", &["verify", "--repair", "-7"]),
        ("mq-groups", &["reset", "g", "--to", "-x7", "--yes"]),
        ("mq-groups", &["reset", "g", "--by", "-x7", "--yes"]),
        (
            "mq-groups",
            &["reset", "g", "--to", "end", "--topic", "-7", "--yes"],
        ),
        ("mq-broker", &["start", "--id", "-7"]),
        ("mq-broker", &["stop", "--timeout", "-7"]),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
        assert!(
            done.err.contains("-7") || done.err.contains("-x7"),
            "{tool} {args:?}: {}",
            done.err
        );
        assert!(!shell.store().exists(), "{tool} {args:?}");
    }
}

#[test]
fn a_name_that_begins_with_a_dash_is_refused() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args) in [
        ("mq-produce", &["-x"][..]),
        ("mq-produce", &["--", "-x"]),
        ("mq-consume", &["-e", "-x"]),
        ("mq-consume", &["-e", "--", "-x"]),
        ("mq-topics", &["create", "-x"]),
        ("mq-topics", &["create", "--", "-x"]),
        ("mq-topics", &["describe", "--", "-x"]),
        ("mq-topics", &["delete", "--yes", "--", "-x"]),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
        assert!(done.err.contains("'-x'"), "{tool} {args:?}: {}", done.err);
        assert!(!shell.store().exists(), "{tool} {args:?}");
    }
}

#[test]
fn help_names_the_fields_of_templates() {
    let shell = Shell::new();
    for tool in ["mq-consume", "mq-produce"] {
        let help = String::from_utf8(shell.ok(tool, &["--help"], b"")).expect("text");
        let (_, fields) = help.split_once("Fields of -f").expect(tool);
        let (fields, examples) = fields.split_once("Examples:").expect(tool);
        for field in "%t %p %o %d %k %v %K %V %H %h{ %h[ %i %w %W %% %{ %} escape} \\xNN".split(' ')
        {
            assert!(fields.contains(field), "{tool} {field}: {fields}");
        }
        assert!(examples.contains(tool), "{help}");
        let short = String::from_utf8(shell.ok(tool, &["-h"], b"")).expect("text");
        assert!(
            short.contains("Examples:") && !short.contains("Fields of"),
            "{short}"
        );
    }
}
