use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::cli::consent::Consent;
use crate::cli::output::OutputFormat;
use crate::error::Error;
use crate::types::TopicName;

fn job(line: &str, can_ask: bool) -> Result<TopicsJob> {
    let now = Now {
        now_ms: 1_767_225_600_000,
        zone: TimeZone::UTC,
    };
    let args = crate::cli::parse::<Args>(
        ["mq-topics"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(&now, can_ask),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

fn good(line: &str) -> TopicsJob {
    job(line, false).unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn reported(e: &Error) -> String {
    format!("{e} | {}", e.cure_text().unwrap_or_default())
}

#[test]
fn create() {
    let TopicsJob::Create(create) =
        good("create a b a -p 6 -c flush.messages=never -c segment.ms=5 --if-not-exists --dry-run")
    else {
        panic!("create")
    };
    assert_eq!(
        create
            .names
            .iter()
            .map(TopicName::as_str)
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        (create.partitions, create.if_not_exists, create.dry_run),
        (Some(6), true, true)
    );
    assert_eq!(
        create.configs.get("segment.ms").map(String::as_str),
        Some("5")
    );
    let TopicsJob::Create(create) = good("create a --assign 2:0,0:1 -p 2 -r 2") else {
        panic!("create")
    };
    assert_eq!(create.assignment, Some(vec![vec![2, 0], vec![0, 1]]));
    // The other topic's configs may complete these: they are checked together later.
    assert!(
        matches!(good("create b --like a -c flush.ms=5"), TopicsJob::Create(c) if c.like.is_some())
    );
}

#[test]
fn alter() {
    let TopicsJob::Alter(alter) = good("alter a -c segment.ms=5 --unset flush.ms --partitions 3")
    else {
        panic!("alter")
    };
    assert_eq!(
        (alter.unset, alter.partitions),
        (vec!["flush.ms".to_owned()], Some(3))
    );
    assert_eq!(alter.set.len(), 1);
}

#[test]
fn delete_asks_or_is_reported() {
    for (line, can_ask, consent) in [
        ("delete a*", true, Some(Consent::Ask)),
        ("delete a --yes", false, Some(Consent::Given)),
        ("delete a -y", true, Some(Consent::Given)),
        ("delete a --dry-run", false, Some(Consent::DryRun)),
        // Refused only if there is something to delete.
        ("delete a", false, None),
    ] {
        let Ok(TopicsJob::Delete(delete)) = job(line, can_ask) else {
            panic!("{line}")
        };
        assert_eq!(delete.consent, consent, "{line}");
    }
    let TopicsJob::Delete(delete) = good("delete a* b --yes --if-exists") else {
        panic!("delete")
    };
    assert_eq!(delete.wanted.to_string(), "a*, b");
}

#[test]
fn trim() {
    for (line, can_ask, to, consent) in [
        (
            "trim a --to -7",
            true,
            UnresolvedOffset::Minus(7),
            Some(Consent::Ask),
        ),
        (
            "trim a --to=+7 -y",
            false,
            UnresolvedOffset::Plus(7),
            Some(Consent::Given),
        ),
        (
            "trim a --to end --dry-run",
            false,
            UnresolvedOffset::End,
            Some(Consent::DryRun),
        ),
        // Refused only if there is something to remove.
        ("trim a:3 b* --to 5", false, UnresolvedOffset::At(5), None),
        (
            "trim a --to @2025-12-31T00:00Z --yes",
            false,
            UnresolvedOffset::Time(1_767_139_200_000),
            Some(Consent::Given),
        ),
    ] {
        let Ok(TopicsJob::Trim(trim)) = job(line, can_ask) else {
            panic!("{line}")
        };
        assert_eq!((trim.to, trim.consent), (to, consent), "{line}");
        assert_eq!(trim.timeout, Duration::from_secs(30), "{line}");
    }
    let TopicsJob::Trim(trim) = good("trim a:3 b* --to 5 --timeout 1m") else {
        panic!("trim")
    };
    assert_eq!(trim.wanted.to_string(), "a:3, b*");
    assert_eq!(trim.timeout, Duration::from_secs(60));
}

#[test]
fn the_others() {
    assert!(matches!(good("list"), TopicsJob::List(l) if l.wanted.is_empty() && !l.sizes));
    let TopicsJob::List(list) = good("list a* --sizes --format tsv --header") else {
        panic!("list")
    };
    assert!(list.sizes && list.output.header && list.output.format == OutputFormat::Tsv);
    assert!(matches!(good("describe"), TopicsJob::Describe(d) if d.wanted.is_empty()));
    for (line, at) in [
        ("offsets a", None),
        ("offsets a --at -10", Some(UnresolvedOffset::Minus(10))),
        ("offsets a --at=+3", Some(UnresolvedOffset::Plus(3))),
        (
            "offsets a --at @2026-01-01",
            Some(UnresolvedOffset::Time(1_767_225_600_000)),
        ),
    ] {
        assert!(
            matches!(good(line), TopicsJob::Offsets(o) if o.at == at),
            "{line}"
        );
    }
    let TopicsJob::Dump(dump) = good("dump a:3 b*") else {
        panic!("dump")
    };
    assert!(matches!(dump.what, DumpWhat::Topics(t) if t.to_string() == "a:3, b*"));
    let TopicsJob::Dump(dump) = good("dump --file x.log") else {
        panic!("dump")
    };
    assert!(matches!(dump.what, DumpWhat::File(f) if f.as_os_str() == "x.log"));
    assert!(matches!(good("verify --deep"), TopicsJob::Verify(v) if v.deep && v.repair.is_none()));
    let TopicsJob::Verify(verify) = good("verify a --repair truncate --yes") else {
        panic!("verify")
    };
    assert_eq!(verify.repair, Some(Consent::Given));
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    for (line, says) in [
        ("", "Usage: mq-topics"),
        ("create", "<NAME>"),
        ("create a/b", "A-Z a-z 0-9 . _ -"),
        ("create a -p 0", "use 1 to 10000"),
        ("create a -p -1", "use 1 to 10000"),
        ("create a -p 10001", "use 1 to 10000"),
        ("create a -c segment.bytes", "KEY=VALUE"),
        ("create a -c segment.byts=5", "did you mean 'segment.bytes'"),
        ("create a -c segment.bytes=5", "1024"),
        (
            "create a -c segment.ms=5 -c segment.ms=6",
            "set each config once",
        ),
        ("create a --like b/c", "A-Z a-z 0-9 . _ -"),
        ("alter a", "required arguments were not provided"),
        (
            "alter a -c segment.ms=5 --unset segment.ms",
            "either -c or --unset",
        ),
        ("alter a --unset nonsense", "known here"),
        ("alter a --partitions x", "use 1 to 10000"),
        ("delete", "required arguments were not provided"),
        ("delete a[ --yes", "quote it"),
        ("delete a/b --yes", "A-Z a-z 0-9 . _ -"),
        ("list --header", "--format tsv"),
        ("list --format xml", "possible values: table, json, tsv"),
        ("offsets a --at stored", "use start, end"),
        ("offsets a --at x", "a point is"),
        ("dump", "required arguments were not provided"),
        ("dump a --file b", "cannot be used with"),
        ("dump a:x", "whole numbers from 0"),
        ("verify --yes", "--repair"),
        ("verify --dry-run", "--repair"),
        ("verify --repair reindex", "possible values: truncate"),
        ("verify --repair truncate", "--yes"),
        ("verify --repair truncate a/b", "A-Z a-z 0-9 . _ -"),
        ("delete a --header", "--format tsv"),
        ("trim", "required arguments were not provided"),
        ("trim a", "--to <POINT>"),
        ("trim --to 5", "<T[:P]|GLOB>"),
        ("trim a --to stored --yes", "a topic has none"),
        ("trim a --to 5:7 --yes", "--to takes one point"),
        ("trim a --to x --yes", "a point is"),
        ("trim a:x --to 5 --yes", "whole numbers from 0"),
        ("trim a --to 5 --timeout soon --yes", "--timeout"),
        ("trim a --to 5 --header", "--format tsv"),
    ] {
        let e = job(line, false).expect_err(line);
        assert_eq!(
            crate::cli::exit::status(e.kind()),
            crate::cli::exit::USAGE,
            "{line}"
        );
        assert!(reported(&e).contains(says), "{line}: {}", reported(&e));
    }
}
