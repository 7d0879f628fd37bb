//! A broker's directory of logs that is gone: what can be done is reported, by every tool.

use crate::cli::Shell;
use crate::tally::Tally;

#[test]
fn logs_that_are_gone_are_reported_as_a_missing_replica() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-groups", &["commit", "g", "t:0=0"], b"");
    let away = shell.dir().join("away");
    std::fs::rename(shell.logs(), &away).expect("moved");
    for (tool, args) in [
        ("mq-consume", &["-e", "t"][..]),
        ("mq-consume", &["-e", "-g", "g", "t"]),
        ("mq-produce", &["t"]),
        ("mq-topics", &["offsets", "t"]),
        ("mq-topics", &["verify", "t"]),
        ("mq-topics", &["create", "u"]),
        ("mq-groups", &["reset", "g", "--to", "end", "--yes"]),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"b\n");
        assert_eq!(done.status, 1, "{tool} {args:?}: {}", done.err);
        let cure = done.err.lines().last().unwrap_or_default();
        assert!(
            cure.contains("put it back, from a backup"),
            "{tool} {args:?}: {}",
            done.err
        );
    }
    Tally::case();
    let done = shell.run("mq-broker", &["health"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(
        done.text()
            .contains("it is the only replica: its records are lost unless it comes back"),
        "{}",
        done.text()
    );
    // What the cures name works.
    shell.topics(&["delete", "t", "--yes"]);
    std::fs::create_dir(shell.logs()).expect("made");
    shell.produce(&["t"], b"new\n");
    assert_eq!(shell.consume_text(&["-e", "t"]), "new\n");
    std::fs::remove_dir_all(shell.logs()).expect("removed");
    std::fs::rename(&away, shell.logs()).expect("back");
    assert!(shell.logs().join("t-0").is_dir());
}
