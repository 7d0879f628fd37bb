use jiff::tz::TimeZone;

use super::*;
use crate::client::unresolved_offset::{UnresolvedOffset, UnresolvedRange};

fn job(line: &[&str]) -> Result<ConsumeJob> {
    let now = Now {
        now_ms: 1_767_225_600_000,
        zone: TimeZone::UTC,
    };
    let args = crate::cli::parse::<Args>(
        ["mq-consume"]
            .into_iter()
            .chain(line.iter().copied())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(&now),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

fn good(line: &str) -> ConsumeJob {
    let words: Vec<&str> = line.split_whitespace().collect();
    job(&words).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn by_default_everything_and_on() {
    let job = good("b a b");
    let Topics::Names(names) = &job.topics else {
        panic!("names")
    };
    assert_eq!(
        names.iter().map(TopicName::as_str).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(job.selection.is_none() && job.group.is_none() && job.partitions.is_none());
    assert!(!job.to_end && !job.wait && !job.raw && !job.fail_if_empty && job.filter.is_open());
    assert!(!job.ends());
}

#[test]
fn selections() {
    let range = |from, to| Some(ReadRanges::All(UnresolvedRange { from, to }));
    for (line, selection, ends) in [
        (
            "a -o -10",
            range(Some(UnresolvedOffset::Minus(10)), None),
            false,
        ),
        (
            "a -o-10:",
            range(Some(UnresolvedOffset::Minus(10)), None),
            false,
        ),
        ("a -o :end", range(None, Some(UnresolvedOffset::End)), true),
        (
            "a -o 17:+1",
            range(
                Some(UnresolvedOffset::At(17)),
                Some(UnresolvedOffset::Plus(1)),
            ),
            true,
        ),
        (
            "a -g g -o stored",
            range(Some(UnresolvedOffset::Stored), None),
            false,
        ),
    ] {
        let job = good(line);
        assert_eq!(job.selection, selection, "{line}");
        assert_eq!(job.ends(), ends, "{line}");
    }
    assert_eq!(good("a -p 0,2-3").partitions, Some(vec![0, 2, 3]));
    assert_eq!(good("a --tail 5").tail, Some(5));
    assert_eq!(good("a -c 5 -e").count, Some(5));
    assert_eq!(
        good("a --idle-timeout 2s").idle_timeout,
        Some(Duration::from_secs(2))
    );
}

#[test]
fn patterns_match_whole_names() {
    for (line, name, matches) in [
        ("a*", "ab", true),
        ("a* c", "c", true),
        ("a* c", "cc", false),
        ("-r a.", "ab", true),
        ("-r a.", "abc", false),
        ("-r a|bc", "bc", true),
    ] {
        let job = good(line);
        let Topics::Matching(patterns) = &job.topics else {
            panic!("{line}")
        };
        let name = TopicName::new(name).expect("name");
        assert_eq!(
            patterns.iter().any(|p| p.matches(name.as_str())),
            matches,
            "{line} {name}"
        );
    }
}

#[test]
fn groups() {
    let group = good("a -g g/1").group.expect("group");
    assert_eq!(
        (group.name.as_str(), group.commit),
        ("g/1", CommitWhen::AfterWrite)
    );
    assert_eq!(group.interval, Duration::from_secs(1));
    let group = good("a -g g --commit on-exit").group.expect("group");
    assert_eq!(group.commit, CommitWhen::OnExit);
    let group = good("a -g g --commit-interval 5s").group.expect("group");
    assert_eq!(group.interval, Duration::from_secs(5));
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    for (line, says) in [
        (&[][..], "<T[:P]|GLOB>"),
        (&["a/b"], "A-Z a-z 0-9 . _ -"),
        (&["a["], "quote it"),
        (&["-r", "a("], "regular expression"),
        (&["a", "-o", "x"], "a point is"),
        (&["a", "-o", "stored"], "-g"),
        (&["a", "-o", "3:1"], "ends before it begins"),
        (&["a", "-o", "0=1:2,1=3:1"], "ends before it begins"),
        (&["a", "-o", "@today:@yesterday"], "ends before it begins"),
        (&["a", "-g", "g", "-p", "0"], "cannot be used with"),
        (&["a", "-g", "g", "--tail", "5"], "cannot be used with"),
        (
            &["a", "-g", "g", "-o", "0=5:"],
            "a group reads all partitions",
        ),
        (&["a", "-g", ""], "1 to 255 bytes"),
        (&["a", "-p", "0", "-o", "0=5:"], "one of the two"),
        (&["a", "-p", "3-1"], "1-3"),
        (&["a", "--tail", "5", "-o", "5"], "cannot be used with"),
        (&["a", "--tail", "-5"], "a whole number from 0"),
        (&["a", "--idle-timeout", "5"], "it has no unit"),
        (&["a", "--commit", "never"], "--group"),
        (&["a", "--commit-interval", "1s"], "--group"),
        (
            &[
                "a",
                "-g",
                "g",
                "--commit",
                "never",
                "--commit-interval",
                "1s",
            ],
            "after-write",
        ),
        (&["a", "-J", "-f", "%v"], "cannot be used with"),
        (&["a", "-J", "-D", ","], "cannot be used with"),
        (&["a", "-0", "-D", ","], "cannot be used with"),
        (&["a", "-f", "%v", "-K", "="], "cannot be used with"),
        (&["a", "-f", "jsno"], "use value, json"),
        (&["a", "-f", "%q"], "the fields are"),
        (&["a", "-D", ""], "cannot be empty"),
        (&["a", "-K", "\\q"], "escapes are"),
        (&["a", "-J", "--null-marker", "x"], "JSON, which has null"),
        (
            &["a", "-f", "json", "--null-marker", "x"],
            "JSON, which has null",
        ),
        (
            &["a", "-f", "%o\\n", "--null-marker", "x"],
            "no null prints",
        ),
        (
            &["a", "-f", "%k{json} %V{big32}%v", "--null-marker", "x"],
            "no null prints",
        ),
        (&["a", "--invert-match"], "--header or --grep"),
        (&["a", "--header", ""], "names no header"),
        (&["a", "--key-regex", "("], "regular expression"),
        (&["a", "--grep", "("], "regular expression"),
        (&["a", "--latest-per-key"], "unexpected argument"),
        (&["a", "--exec", "x"], "--group"),
    ] {
        let e = job(line).expect_err("refused");
        let reported = format!("{e} | {}", e.cure_text().unwrap_or_default());
        assert_eq!(
            crate::cli::exit::status(e.kind()),
            crate::cli::exit::USAGE,
            "{line:?}"
        );
        assert!(reported.contains(says), "{line:?}: {reported}");
    }
}
