use jiff::tz::TimeZone;

use super::*;
use crate::cli::consent::Consent;

fn job(line: &str) -> Result<Job> {
    let now = Now {
        now_ms: 1_767_225_600_000,
        zone: TimeZone::UTC,
    };
    let args = crate::cli::parse::<Args>(
        ["mq-groups"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(&now, false),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

fn good(line: &str) -> Job {
    job(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn what_is_asked_for() {
    assert!(matches!(good("list"), Job::List(_)));
    let Job::Describe(describe) = good("describe a/b ünï --only-lagging") else {
        panic!("describe")
    };
    assert_eq!(describe.groups, ["a/b", "ünï"]);
    assert!(describe.only_lagging && !describe.members);
    for (line, to) in [
        ("reset g --to start --yes", Move::To(Point::Start)),
        ("reset g --to -10 --yes", Move::To(Point::Minus(10))),
        (
            "reset g --to @2026-01-01 --yes",
            Move::To(Point::Time(1_767_225_600_000)),
        ),
        ("reset g --by -10 --yes", Move::By(-10)),
        ("reset g --by +10 --yes", Move::By(10)),
        ("reset g --by 0 --yes", Move::By(0)),
    ] {
        assert!(matches!(good(line), Job::Reset(r) if r.to == to), "{line}");
    }
    let Job::Reset(reset) = good("reset g --to end --topic a:1 --dry-run") else {
        panic!("reset")
    };
    assert_eq!(
        reset.topic.map(|(t, p)| (t.to_string(), p)),
        Some(("a".to_owned(), Some(1)))
    );
    assert_eq!(reset.consent, Consent::DryRun);
    let Job::Delete(delete) = good("delete a* b/c --yes") else {
        panic!("delete")
    };
    assert!(delete.patterns[0].is_glob() && !delete.patterns[1].is_glob());
    let Job::Commit(commit) = good("commit g a:0=5 a:1=0") else {
        panic!("commit")
    };
    let offsets: Vec<_> = commit
        .offsets
        .iter()
        .map(|(tp, n)| (tp.to_string(), *n))
        .collect();
    assert_eq!(offsets, [("a:0".to_owned(), 5), ("a:1".to_owned(), 0)]);
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    let long = format!("describe {}", "x".repeat(256));
    for (line, says) in [
        ("", "Usage: mq-groups"),
        (long.as_str(), "1 to 255 bytes"),
        ("describe g --members --only-lagging", "cannot be used with"),
        ("reset g", "required arguments were not provided"),
        ("reset g --to start", "--yes"),
        ("reset g --to start --by 1", "cannot be used with"),
        ("reset g --to stored --yes", "--by N"),
        ("reset g --to x --yes", "a point is"),
        ("reset g --by x --yes", "--by -10"),
        ("reset g --to end --topic a/b --yes", "A-Z a-z 0-9 . _ -"),
        ("delete g", "--yes"),
        ("delete g[ --yes", "quote it"),
        ("commit g", "required arguments were not provided"),
        ("commit g a:0", "TOPIC:P=N"),
        ("commit g a=5", "TOPIC:P"),
        ("commit g a:0=-5", "TOPIC:P=N"),
        ("commit g a:0=5 a:0=6", "one offset"),
        ("delete-offsets g --topic a", "unrecognized subcommand"),
    ] {
        let e = job(line).expect_err(line);
        let told = format!("{e} | {}", e.cure_text().unwrap_or_default());
        assert_eq!(
            crate::cli::exit::status(e.kind()),
            crate::cli::exit::USAGE,
            "{line}"
        );
        assert!(told.contains(says), "{line}: {told}");
    }
}
