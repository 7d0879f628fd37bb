//! Names of topics and groups.

use std::fs;

use mq::types::TopicName;

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn names_are_refused_before_any_path_is_made() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let long = "x".repeat(250);
    for name in [
        "..",
        ".",
        "",
        "a/b",
        "../x",
        long.as_str(),
        "-dash",
        "a b",
        "a\u{1b}[2J",
        "ä",
        "a\n",
        "a\\b",
    ] {
        for (tool, args) in [
            ("mq-produce", vec!["--", name]),
            ("mq-topics", vec!["create", "--", name]),
            ("mq-topics", vec!["create", "good", "--", name]),
            ("mq-topics", vec!["create", "good", "--like", name]),
        ] {
            // An option's value may not begin with a dash there: clap says so, with 2 as well.
            Tally::case();
            let done = shell.run(tool, &args, b"x\n");
            assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
            assert_eq!(
                fs::read_dir(shell.dir()).expect("listed").count(),
                0,
                "{tool} {args:?} made a path"
            );
        }
    }
    Tally::case();
    assert!(
        TopicName::new("a\0b").is_err(),
        "NUL, which no command line can hold"
    );
    Tally::case();
    let longest = "x".repeat(249);
    shell.produce(&[&longest], b"fits\n");
    assert_eq!(shell.consume_text(&["-e", &longest]), "fits\n");
    Tally::case();
    let done = shell.run(
        "mq-consume",
        &["-e", "-g", "../../etc/x\u{1b}", &longest],
        b"",
    );
    assert_eq!(done.status, 0, "{}", done.err);
    let groups: Vec<String> = fs::read_dir(shell.store().join("groups"))
        .expect("listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        groups,
        ["..%2F..%2Fetc%2Fx%1B"].map(String::from).to_vec(),
        "a group's name is percent-encoded"
    );
}
