use jiff::tz::TimeZone;

use super::*;
use crate::cli::consent::Consent;
use crate::cli::groups::job::Move;
use crate::client::unresolved_offset::UnresolvedOffset;

fn job(line: &str) -> Result<GroupsJob> {
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

fn good(line: &str) -> GroupsJob {
    job(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn what_is_asked_for() {
    assert!(matches!(good("list"), GroupsJob::List(_)));
    let GroupsJob::Describe(describe) = good("describe a/b ünï --only-lagging") else {
        panic!("describe")
    };
    assert_eq!(describe.groups, ["a/b", "ünï"]);
    assert!(describe.only_lagging && !describe.members);
    for (line, to) in [
        (
            "reset g --to start --yes",
            Move::To(UnresolvedOffset::Start),
        ),
        (
            "reset g --to -10 --yes",
            Move::To(UnresolvedOffset::Minus(10)),
        ),
        (
            "reset g --to @2026-01-01 --yes",
            Move::To(UnresolvedOffset::Time(1_767_225_600_000)),
        ),
        ("reset g --by -10 --yes", Move::By(-10)),
        ("reset g --by +10 --yes", Move::By(10)),
        ("reset g --by 0 --yes", Move::By(0)),
    ] {
        assert!(
            matches!(good(line), GroupsJob::Reset(r) if r.to == to),
            "{line}"
        );
    }
    let GroupsJob::Reset(reset) = good("reset g --to end --topic a:1 --dry-run") else {
        panic!("reset")
    };
    assert_eq!(reset.topics.to_string(), "a:1");
    assert_eq!(reset.consent, Consent::DryRun);
    let GroupsJob::Delete(delete) = good("delete a* b/c --yes") else {
        panic!("delete")
    };
    assert!(delete.patterns[0].is_glob() && !delete.patterns[1].is_glob());
    // Refused only if there is something to delete.
    assert!(matches!(good("delete g --if-exists"), GroupsJob::Delete(d) if d.consent.is_none()));
    let GroupsJob::Commit(commit) = good("commit g a:0=5 a:1=0") else {
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
fn what_else_is_asked_for() {
    use crate::cli::groups::job::{RecordOutput, Threshold};
    assert!(
        matches!(good("reset g --export --topic a"), GroupsJob::Export(e) if !e.topics.is_empty())
    );
    let file = Move::File("x.csv".into());
    assert!(matches!(good("reset g --from-file x.csv --yes"), GroupsJob::Reset(r) if r.to == file));
    let other = Move::Group("h".to_owned());
    assert!(matches!(good("reset g --to-group h --dry-run"), GroupsJob::Reset(r) if r.to == other));
    let GroupsJob::Alter(alter) =
        good("alter g -c offsets.retention.minutes=5 --dry-run --format tsv")
    else {
        panic!("alter")
    };
    assert_eq!(alter.set["offsets.retention.minutes"], "5");
    assert!(alter.dry_run && alter.unset.is_empty());
    let GroupsJob::Alter(alter) = good("alter g --unset offsets.retention.minutes") else {
        panic!("alter")
    };
    assert_eq!(alter.unset, ["offsets.retention.minutes"]);
    assert!(
        matches!(good("undo g --yes"), GroupsJob::Undo(u) if u.consent == Some(Consent::Given))
    );
    assert!(matches!(good("clone g h"), GroupsJob::Clone(c) if c.consent.is_none()));
    assert!(
        matches!(good("clone g h --yes"), GroupsJob::Clone(c) if c.consent == Some(Consent::Given))
    );
    let GroupsJob::Peek(peek) = good("peek g -B 0 -A 3 -J --topic a:1") else {
        panic!("peek")
    };
    assert_eq!((peek.before, peek.after), (0, 3));
    assert!(matches!(peek.records, RecordOutput::Rendered(_)));
    let GroupsJob::Check(check) = good("check --warn 5 --critical 1m") else {
        panic!("check")
    };
    assert_eq!(check.warn, Some(Threshold::Records(5)));
    let minute = std::time::Duration::from_secs(60);
    assert_eq!(check.critical, Some(Threshold::Age(minute)));
    assert!(matches!(good("watch"), GroupsJob::Watch(w) if w.group.is_none()));
    let GroupsJob::Wait(wait) = good("wait g") else {
        panic!("wait")
    };
    assert_eq!((wait.lag, wait.timeout, wait.topics.len()), (0, None, 0));
    let GroupsJob::Wait(wait) = good("wait g --lag 5 --timeout 1m --topic a:1 --topic b*") else {
        panic!("wait")
    };
    assert_eq!((wait.lag, wait.timeout), (5, Some(minute)));
    assert_eq!(wait.topics.len(), 2);
}

#[test]
fn a_refused_check_has_a_status_of_its_own() {
    let of = |line: &str| {
        let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        Args::usage_status(&args)
    };
    for (line, status) in [
        ("mq-groups check g", 3),
        ("mq-groups -q --store check check", 3),
        ("mq-groups --store check list", 2),
        ("mq-groups undo check", 2),
        ("mq-groups", 2),
    ] {
        assert_eq!(of(line), status, "{line}");
    }
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
        ("reset g --to start:end --yes", "--to takes one point"),
        ("reset g --to 10:20 --yes", "a time begins with @: @10:20"),
        // Errors come before the question of consent.
        ("reset g --to earliest", "that is start here"),
        ("reset g --by x", "--by -10"),
        ("reset g --to end --header", "--format tsv"),
        ("delete g --header", "--format tsv"),
        ("skip g t:0 -f %q", "the fields are"),
        ("reset g --by x --yes", "--by -10"),
        ("reset g --to end --topic a/b --yes", "A-Z a-z 0-9 . _ -"),
        ("delete g[ --yes", "quote it"),
        ("commit g", "required arguments were not provided"),
        ("commit g a:0", "TOPIC:P=N"),
        ("commit g a=5", "TOPIC:P"),
        ("commit g a:0=-5", "TOPIC:P=N"),
        ("commit g a:0=5 a:0=6", "one offset"),
        ("alter g", "required arguments were not provided"),
        ("alter g -c offsets.retention.minutes", "gives no value"),
        ("alter g -c offset.retention.minutes=5", "did you mean"),
        ("alter g --unset segment.ms", "known here: offsets."),
        (
            "alter g -c offsets.retention.minutes=5 --unset offsets.retention.minutes",
            "both set and unset",
        ),
        (
            "alter g -c offsets.retention.minutes=5 -c offsets.retention.minutes=6",
            "set twice",
        ),
        ("delete-offsets g --topic a", "--yes"),
        ("delete-offsets g --yes", "--topic"),
        ("undo", "required arguments were not provided"),
        ("clone g g", "itself"),
        ("clone g", "required arguments were not provided"),
        ("reset g --export --yes", "cannot be used with"),
        ("reset g --export --to end", "cannot be used with"),
        ("reset g --from-file -", "--yes"),
        (
            "reset g --from-file a --to-group b --yes",
            "cannot be used with",
        ),
        ("skip g a:0", "--yes"),
        ("skip g a --yes", "TOPIC:P"),
        ("peek g -J -f value", "cannot be used with"),
        ("peek g -J --format tsv", "leave one of them out"),
        ("peek g -B -1", "for '--before <N>'"),
        ("check g", "required arguments were not provided"),
        ("check g --warn 5 --critical 4", "the smaller lag"),
        ("check g --warn 5m --critical 1m", "the smaller lag"),
        ("check g --warn 5x", "a number of records"),
        ("check g --warn -5", "a number of records"),
        ("watch g h", "unexpected argument"),
        ("wait", "required arguments were not provided"),
        ("wait g --lag -1", "for '--lag <N>'"),
        ("wait g --timeout 5", "it has no unit"),
        ("wait g --topic a/b", "A-Z a-z 0-9 . _ -"),
        ("wait g --header", "--header is for tsv only"),
    ] {
        let e = job(line).expect_err(line);
        let reported = format!("{e} | {}", e.cure_text().unwrap_or_default());
        assert_eq!(
            crate::cli::exit::status(e.kind()),
            crate::cli::exit::USAGE,
            "{line}"
        );
        assert!(reported.contains(says), "{line}: {reported}");
    }
}
