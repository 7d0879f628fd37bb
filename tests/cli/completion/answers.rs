#![allow(
    clippy::disallowed_methods,
    reason = "spoils files of a store of its own"
)]
//! What a tool answers: bash hands over its line, and the piece of it that is replaced.

use std::time::Instant;

use super::populated;
use crate::cli::{Done, Shell, run};

fn asked(shell: &Shell, line: &str, piece: &str) -> Done {
    let tool = line.split(' ').next().expect("a tool");
    let mut command = shell.command(tool, &["--", line, piece]);
    command.env("MQ_COMPLETE", "bash");
    run(command, b"")
}

/// The kind of answer and what is offered for the last word of a line.
fn offered(shell: &Shell, line: &str) -> (String, Vec<String>) {
    let piece = line.rsplit([' ', '=', ':']).next().expect("a piece");
    let done = asked(shell, line, piece);
    assert_eq!((done.status, done.err.as_str()), (0, ""), "{line}");
    let text = done.text();
    let mut lines = text.lines().map(str::to_owned);
    let kind = lines.next().expect("a kind");
    lines.next().expect("a number");
    (kind, lines.collect())
}

fn check(shell: &Shell, line: &str, kind: &str, wanted: &[&str]) {
    let (reported, offers) = offered(shell, line);
    assert_eq!(
        (reported.as_str(), offers),
        (kind, strings(wanted)),
        "{line}"
    );
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn names_are_those_of_the_store() {
    let shell = populated();
    let topics = &["a.b-c", "orders", "payments"][..];
    let groups = &["audit", "billing"][..];
    for (line, wanted) in [
        ("mq-produce ", topics),
        ("mq-produce -z zstd ", topics),
        ("mq-consume orders ", topics),
        ("mq-consume -e -c 1 pay", &["payments"]),
        ("mq-consume -g ", groups),
        ("mq-consume --group=b", &["billing"]),
        ("mq-consume -gb", &["-gbilling"]),
        (
            "mq-consume -g x orders --exec cat --dead-letter p",
            &["payments"],
        ),
        ("mq-consume --replica ", &["0", "1", "12"]),
        ("mq-consume --assignor r", &["range"]),
        ("mq-topics describe ", topics),
        ("mq-topics --quiet describe --offline or", &["orders"]),
        ("mq-topics describe orders pay", &["payments"]),
        ("mq-topics describe orders:", &["0", "1"]),
        ("mq-topics describe orders:1", &["1"]),
        ("mq-topics describe -- pay", &["payments"]),
        ("mq-topics delete ", topics),
        ("mq-topics alter ", topics),
        ("mq-topics create new --like a", &["a.b-c"]),
        ("mq-topics create x --assign 0:1,1", &["1,1", "1,12"]),
        ("mq-groups describe audit ", groups),
        ("mq-groups reset b", &["billing"]),
        ("mq-topics trim ord", &["orders"]),
        ("mq-groups reset billing --to-group a", &["audit"]),
        ("mq-groups reset billing --topic o", &["orders"]),
        (
            "mq-groups delete-offsets billing --topic orders:",
            &["0", "1"],
        ),
        ("mq-groups clone billing a", &["audit"]),
        ("mq-groups peek bil", &["billing"]),
        ("mq-broker drain 1", &["1", "12"]),
        ("mq-broker start --id ", &["0", "1", "12"]),
        ("mq-broker elect preferred pa", &["payments"]),
        ("mq-broker reassign --cancel pa", &["payments"]),
        ("mq-broker reassign orders:0=1,", &["1,0", "1,1", "1,12"]),
        ("mq-topics describe nothere", &[]),
        ("mq-topics describe nothere:", &[]),
        ("mq-topics create n", &[]),
    ] {
        check(&shell, line, "words", wanted);
    }
    for (line, wanted) in [
        ("mq-groups skip billing or", &["orders:"][..]),
        ("mq-groups commit billing orders:", &["0=", "1="]),
        ("mq-broker reassign or", &["orders="]),
        ("mq-broker reassign orders:1", &["1="]),
    ] {
        check(&shell, line, "joined", wanted);
    }
    // Another store, before or behind the subcommand; where there is none, no name, and none is made.
    let other = Shell::new();
    other.topics(&["create", "elsewhere"]);
    let store = other.store().display();
    for line in [
        format!("mq-topics --store {store} describe "),
        format!("mq-topics describe --store={store} "),
        format!("mq-topics describe --store '{store}' else"),
    ] {
        check(&shell, &line, "words", &["elsewhere"]);
    }
    let nowhere = Shell::new();
    check(&nowhere, "mq-topics describe or", "words", &[]);
    check(&shell, "mq-consume --store /dev/null/x -g b", "words", &[]);
    assert!(!nowhere.store().exists());
}

#[test]
fn configs_their_values_and_codecs() {
    let shell = Shell::new();
    for (line, kind, wanted) in [
        (
            "mq-topics create t -c comp",
            "joined",
            &["compression.type="][..],
        ),
        (
            "mq-topics alter t --config flush.",
            "joined",
            &["flush.messages=", "flush.ms="],
        ),
        (
            "mq-topics alter t -c compression.type=z",
            "words",
            &["zstd"],
        ),
        (
            "mq-topics alter t --config=compression.type=",
            "words",
            &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        ),
        (
            "mq-topics create t -c message.timestamp.type=",
            "words",
            &["CreateTime", "LogAppendTime"],
        ),
        (
            "mq-topics create t -c unclean.leader.election.enable=",
            "words",
            &["true", "false"],
        ),
        ("mq-topics create t -c flush.ms=", "words", &["never"]),
        ("mq-topics create t -c segment.bytes=", "words", &[]),
        (
            "mq-topics alter t --unset segment.i",
            "words",
            &["segment.index.bytes"],
        ),
        (
            "mq-groups alter g -c off",
            "joined",
            &["offsets.retention.minutes="],
        ),
        (
            "mq-groups alter g --unset off",
            "words",
            &["offsets.retention.minutes"],
        ),
        (
            "mq-produce -z ",
            "words",
            &["none", "gzip", "snappy", "lz4", "zstd"],
        ),
        ("mq-produce --compression=l", "words", &["lz4"]),
        ("mq-produce --acks ", "words", &["0", "1", "all"]),
        ("mq-produce --acks a", "words", &["all"]),
        ("mq-produce --partitioner c", "words", &["crc32"]),
        ("mq-consume --assignor ", "words", &["uniform", "range"]),
        ("mq-topics offsets t --at ", "words", &["start", "end"]),
        ("mq-topics trim t --to ", "words", &["start", "end"]),
        ("mq-consume --on-missed ", "words", &["warn", "fail"]),
        ("mq-consume t -o ", "words", &["start", "end", "stored"]),
        (
            "mq-topics list --format ",
            "words",
            &["table", "json", "tsv"],
        ),
        ("mq-consume t --commit on", "words", &["on-exit"]),
        ("mq-produce -k ", "words", &[]),
    ] {
        check(&shell, line, kind, wanted);
    }
}

#[test]
fn subcommands_and_options() {
    let shell = populated();
    for (line, wanted) in [
        ("mq-topics al", &["alter"][..]),
        ("mq-topics create --if", &["--if-not-exists"]),
        ("mq-topics verify orders --rep", &["--repair"]),
        ("mq-topics verify orders --repair ", &["truncate"]),
        ("mq-groups delete-off", &["delete-offsets"]),
        ("mq-groups delete-offsets g --top", &["--topic"]),
        ("mq-groups describe --only", &["--only-lagging"]),
        ("mq-broker reassign --wa", &["--wait"]),
        ("mq-broker elect p", &["preferred"]),
        ("mq-broker elect preferred --q", &["--quiet"]),
        ("mq-produce --key-s", &[]),
        ("mq-consume --idle", &["--idle-timeout"]),
        // Where files are due, a word with a dash is an option for all that.
        ("mq-produce orders --begi", &["--begins"]),
        ("mq-produce orders --acks=a", &["all"]),
        ("mq-produce --key -- orders --begi", &["--begins"]),
        // No line goes on from an unknown flag.
        ("mq-topics list -qx", &[]),
        // Behind -- there are no options, and no subcommands.
        ("mq-topics -- al", &[]),
        ("mq-consume -- --idle", &[]),
    ] {
        check(&shell, line, "words", wanted);
    }
    // Options do not hide the names among them; where nothing else is due they are offered.
    let (_, all) = offered(&shell, "mq-topics ");
    assert!(all.contains(&"create".to_owned()) && all.iter().all(|word| !word.starts_with('-')));
    let (_, all) = offered(&shell, "mq-topics create new ");
    assert!(all.contains(&"--partitions".to_owned()), "{all:?}");
    // Where a name is due that nothing has, no option stands in for it.
    let empty = Shell::new();
    for line in [
        "mq-topics describe ",
        "mq-produce ",
        "mq-consume -e ",
        "mq-groups describe ",
        "mq-broker elect preferred ",
    ] {
        check(&empty, line, "words", &[]);
        let (_, all) = offered(&empty, &format!("{line}-"));
        assert!(all.contains(&"--store".to_owned()), "{line}: {all:?}");
    }
}

#[test]
fn paths_are_the_shells_own() {
    let shell = populated();
    for (line, kind) in [
        ("mq-produce orders ", "files"),
        ("mq-produce orders a.log b", "files"),
        ("mq-produce -J --each-topic ", "files"),
        ("mq-topics dump --file ", "files"),
        ("mq-groups reset billing --from-file x", "files"),
        ("mq-topics list --store ", "dirs"),
        ("mq-topics --store=/t", "dirs"),
        ("mq-produce orders --store=/t", "dirs"),
        ("mq-broker start --log-dir /mnt", "dirs"),
        ("mq-consume -g billing orders --exec ca", "commands"),
        ("mq-broker init --group da", "groups"),
        ("mq-consume -e orders > ou", "files"),
        ("mq-produce orders < ", "files"),
    ] {
        check(&shell, line, kind, &[]);
    }
    // A path that is part of a word: how much stands before it.
    let done = asked(&shell, "mq-topics --store=/t", "/t");
    assert_eq!(done.text(), "dirs\n8\n");
}

#[test]
fn a_name_is_no_code() {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    let evil = "x$(touch pwned)`touch pwned`;'\"\\ & *";
    for group in [evil, "-dash", "new\nline", "bang!", "ünï"] {
        shell.ok("mq-groups", &["commit", "--", group, "t:0=0"], b"");
    }
    let asked = |line: &str, piece: &str| -> Vec<String> {
        let done = asked(&shell, line, piece);
        done.text().lines().skip(2).map(str::to_owned).collect()
    };
    let quoted = r#"x\$\(touch\ pwned\)\`touch\ pwned\`\;\'\"\\\ \&\ \*"#;
    // What is no single line is left out, and a name that would be an option where it stands.
    assert_eq!(asked("mq-groups describe ", ""), [r"bang\!", quoted, "ünï"]);
    assert_eq!(asked("mq-groups describe -- -", "-"), ["-dash"]);
    assert_eq!(asked("mq-consume -g -", "-"), ["-dash"]);
    assert_eq!(
        asked("mq-groups describe 'x", "x"),
        [r#"x$(touch pwned)`touch pwned`;'\''"\ & *"#]
    );
    // Within double quotes an interactive bash looks for its history behind a !.
    assert!(asked("mq-groups describe \"bang", "bang").is_empty());
}

#[test]
fn a_completion_is_quick_and_leaves_nothing() {
    let shell = populated();
    let topics = shell.store().join("topics");
    let one = topics.join("orders.json");
    for n in 0..10_000 {
        std::fs::hard_link(&one, topics.join(format!("many.{n:05}.json"))).expect("a topic");
    }
    // Nothing is opened but directories: what is in the files does not matter.
    std::fs::write(&one, "no topic").expect("written");
    let before = std::fs::metadata(shell.store())
        .expect("there")
        .modified()
        .expect("a time");
    let quickest = (0..5).map(|_| {
        let started = Instant::now();
        let (_, all) = offered(&shell, "mq-consume -e many.");
        assert_eq!(all.len(), 10_000);
        started.elapsed()
    });
    let quickest = quickest.min().expect("a time");
    assert!(quickest.as_millis() < 1000, "{quickest:?}");
    let (_, one) = offered(&shell, "mq-consume -e many.0777");
    assert_eq!(one.len(), 10);
    let after = std::fs::metadata(shell.store())
        .expect("there")
        .modified()
        .expect("a time");
    assert_eq!(before, after);
}

#[test]
fn only_a_known_shell_is_answered() {
    let shell = populated();
    let with = |value: &str, args: &[&str]| {
        let mut command = shell.command("mq-topics", args);
        command.env("MQ_COMPLETE", value);
        run(command, b"")
    };
    let done = with("tcsh", &["list"]);
    assert_eq!((done.status, done.out.as_slice()), (2, &b""[..]));
    assert!(done.err.contains("MQ_COMPLETE is 'tcsh'"), "{}", done.err);
    assert!(
        done.err.contains("set MQ_COMPLETE to bash, zsh or fish"),
        "{}",
        done.err
    );
    let done = with("", &["list", "--format", "tsv"]);
    assert_eq!((done.status, done.text().lines().count()), (0, 3));
    for shell in ["bash", "zsh", "fish"] {
        let file = match shell {
            "bash" => "bash/mq-topics".to_owned(),
            "zsh" => "zsh/_mq-topics".to_owned(),
            _ => "fish/mq-topics.fish".to_owned(),
        };
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
        let committed = std::fs::read_to_string(path.join(file)).expect("a script");
        assert_eq!(with(shell, &[]).text(), committed, "{shell}");
    }
}
