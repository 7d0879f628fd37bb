//! Options that say nothing together are refused; the others are honoured.

use crate::cli::{Shell, TIMEOUT};
use crate::tally::Tally;

#[test]
fn what_would_not_be_honoured_is_refused_before_the_store_is_touched() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args, says) in [
        (
            "mq-produce",
            &["--keep-partition", "-f", "%v\\n", "t"][..],
            "a template (-f) that has %p",
        ),
        (
            "mq-produce",
            &["--keep-partition", "-f", "value", "t"],
            "%p",
        ),
        (
            "mq-consume",
            &["--null-marker", "x", "-f", "%o\\n", "t"],
            "no null prints as it",
        ),
        (
            "mq-consume",
            &["--null-marker", "x", "-J", "t"],
            "JSON, which has null",
        ),
        (
            "mq-consume",
            &["--tail", "5", "-o", "3:", "t"],
            "cannot be used with",
        ),
        (
            "mq-groups",
            &["describe", "g", "--members", "--only-lagging"],
            "cannot be used with",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"v\n");
        assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
        assert!(done.err.contains(says), "{tool} {args:?}: {}", done.err);
        assert!(!shell.store().exists(), "{tool} {args:?}");
    }
    // With it, the partition is kept.
    shell.topics(&["create", "t", "-p", "3"]);
    shell.produce(&["--keep-partition", "-f", "%p %v\\n", "t"], b"2 v\n1 w\n");
    assert_eq!(
        shell.consume_text(&["-e", "-f", "%p%v ", "-p", "1,2", "t"]),
        "1w 2v "
    );
    shell.produce(&["-Z", "t"], b"\n");
    let null = shell.consume_text(&["-e", "-f", "%v", "-p", "0-2", "--null-marker", "NIL", "t"]);
    assert!(null.contains("NIL"), "{null}");
}

#[test]
fn members_are_described_as_objects_too() {
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    shell.produce(&["t"], b"a\nb\n");
    let describe = |more: &[&str]| {
        let args = [&["describe", "g", "--format", "json"], more].concat();
        let text = shell.ok("mq-groups", &args, b"");
        let lines = String::from_utf8(text).expect("text");
        let line = |line: &str| serde_json::from_str(line).expect("an object");
        lines.lines().map(line).collect::<Vec<serde_json::Value>>()
    };
    let mut member = shell.start("mq-consume", &["-g", "g", "--instance-id", "me", "t"]);
    member.says("b\n");
    let members = describe(&["--members"]);
    let [one] = members.as_slice() else {
        panic!("{members:?}")
    };
    assert_eq!(
        (&one["group"], &one["instance_id"]),
        (&"g".into(), &"me".into())
    );
    assert_eq!(one["pid"], member.child.id());
    assert!(one.get("offsets").is_none(), "{one}");
    // What the group's own object says of it, and the group.
    let mut within = describe(&[])[0]["members"][0].clone();
    within["group"] = "g".into();
    assert_eq!(&within, one);
    member.signal(rustix::process::Signal::TERM);
    member.end_within(TIMEOUT);
    shell.ok("mq-consume", &["-g", "h", "-e", "t"], b"");
    // What has none is named, and printed as nothing.
    for (args, note) in [
        (
            &["describe", "h", "--members", "--format", "json"][..],
            "group 'h' has no members",
        ),
        (&["describe", "h", "--members"], "group 'h' has no members"),
        (&["describe", "--members"], "no group has members"),
        (&["describe", "-q", "h", "--members"], ""),
    ] {
        let done = shell.run("mq-groups", args, b"");
        assert_eq!((done.status, done.text().as_str()), (0, ""), "{args:?}");
        let reported = done.err.strip_prefix("mq-groups: ").unwrap_or_default();
        assert_eq!(reported.trim_end(), note, "{args:?}: {}", done.err);
    }
}
