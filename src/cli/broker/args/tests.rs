use super::*;
use crate::cli::broker::job::{Elect, ElectWhat, HealthJob, Reassign};
use crate::cli::consent::Consent;
use crate::types::{BrokerId, TopicName, TopicPartition};

fn job(line: &[&str]) -> Result<BrokerJob> {
    let args = crate::cli::parse::<Args>(
        ["mq-broker"]
            .into_iter()
            .chain(line.iter().copied())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(false),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

#[test]
fn what_is_asked_for() {
    let started = |line: &[&str]| match job(line).expect("a job") {
        BrokerJob::Start { id, options } => (id, options),
        other => panic!("{other:?}"),
    };
    for line in [&["start"][..], &["start", "--id", "0"]] {
        assert_eq!(started(line), (EMBEDDED_BROKER, BrokerOptions::default()));
    }
    let options = BrokerOptions {
        log_dir: Some("a/b".into()),
        rack: Some("r 1".into()),
    };
    assert_eq!(
        started(&["start", "--log-dir", "a/b", "--rack", "r 1"]),
        (EMBEDDED_BROKER, options)
    );
    assert_eq!(
        started(&["start", "--rack", ""]).1.rack,
        Some(String::new())
    );
    assert!(matches!(
        job(&["stop"]),
        Ok(BrokerJob::Stop { id: None, .. })
    ));
    assert!(matches!(
        job(&["stop", "0"]),
        Ok(BrokerJob::Stop { id: Some(0), .. })
    ));
    assert!(matches!(
        job(&["stop", "2147483647"]),
        Ok(BrokerJob::Stop {
            id: Some(BrokerId::MAX),
            ..
        })
    ));
    assert_eq!(started(&["start", "--id", "3"]).0, 3);
    assert!(matches!(
        job(&["drain", "3", "--timeout", "1s"]),
        Ok(BrokerJob::Drain { id: 3, undo: false, timeout }) if timeout == Duration::from_secs(1)
    ));
    assert!(matches!(
        job(&["drain", "3", "--undo"]),
        Ok(BrokerJob::Drain { undo: true, .. })
    ));
    assert!(matches!(job(&["status"]), Ok(BrokerJob::Status(_))));
    assert!(matches!(job(&["list"]), Ok(BrokerJob::List(_))));
    assert!(matches!(
        job(&["locks", "--format", "json"]),
        Ok(BrokerJob::Locks(_))
    ));
}

#[test]
fn what_is_refused_says_why() {
    for line in [
        &[][..],
        &["start", "--id", "-1"],
        &["start", "--id", "2147483648"],
        &["start", "--id", "+3"],
        &["drain"],
        &["drain", "-1"],
        &["drain", "1", "--timeout", "5"],
        &["start", "--listen", "x"],
        &["start", "--rack", "a\nb"],
        &["start", "--rack", &"r".repeat(256)],
        &["start", "--log-dir", ""],
        &["stop", "x"],
        &["status", "--header"],
    ] {
        assert!(job(line).is_err(), "{line:?}");
    }
}

#[test]
fn clusters() {
    let t = TopicName::new("t").expect("a name");
    let begun = |line: &[&str]| match job(line).expect("a job") {
        BrokerJob::Reassign(Reassign::Begin {
            wanted,
            throttle,
            wait,
            dry_run,
            ..
        }) => {
            let named = wanted.into_iter().map(|(what, to)| (what.to_string(), to));
            (named.collect::<Vec<_>>(), throttle, wait, dry_run)
        }
        other => panic!("{other:?}"),
    };
    let wanted = vec![("t:0".to_owned(), vec![3, 1]), ("t:2".to_owned(), vec![0])];
    let minute = Some(Duration::from_secs(60));
    for (line, rest) in [
        (&[][..], (None, None, false)),
        (
            &["--throttle", "10MB", "--wait"],
            (Some(10_000_000), minute, false),
        ),
        (
            &["--wait", "--timeout", "1h"],
            (None, Some(Duration::from_secs(3600)), false),
        ),
        (&["--dry-run"], (None, None, true)),
    ] {
        let line = [&["reassign", "t:0=3,1", "t:2=0"], line].concat();
        let (throttle, wait, dry_run) = rest;
        assert_eq!(begun(&line), (wanted.clone(), throttle, wait, dry_run));
    }
    assert_eq!(
        begun(&["reassign", "t=1,2"]).0,
        [("t".to_owned(), vec![1, 2])]
    );
    assert!(matches!(
        job(&["reassign", "--wait"]),
        Ok(BrokerJob::Reassign(Reassign::List { wait, .. })) if wait == minute
    ));
    assert!(matches!(
        job(&["reassign", "--cancel", "t:1", "u", "--dry-run"]),
        Ok(BrokerJob::Reassign(Reassign::Cancel { selection, dry_run: true, .. }))
            if selection.to_string() == "t:1, u"
    ));
    assert!(matches!(
        job(&["elect", "preferred"]),
        Ok(BrokerJob::Elect(Elect { what: ElectWhat::Preferred { selection, dry_run: false }, .. }))
            if selection.is_empty()
    ));
    assert!(matches!(
        job(&["elect", "unclean", "t:1", "--to", "3", "--yes"]),
        Ok(BrokerJob::Elect(Elect {
            what: ElectWhat::Unclean { partitions, to: Some(3), consent: Consent::Given },
            ..
        })) if partitions == [TopicPartition::new(t.clone(), 1)]
    ));
    assert!(matches!(
        job(&["health", "--wait", "--timeout", "1s"]),
        Ok(BrokerJob::Health(HealthJob { wait: Some(wait), .. })) if wait == Duration::from_secs(1)
    ));
    for line in [
        &["reassign", "t:0"][..],
        &["reassign", "t:0="],
        &["reassign", "t:0=1,1"],
        &["reassign", "t:0=1,-1"],
        &["reassign", "t:0=1", "t=2"],
        &["reassign", "t:0=1", "t:0=2"],
        &["reassign", "t:0=1", "--throttle", "0"],
        &["reassign", "t:0=1", "--timeout", "1s"],
        &["reassign", "t:0=1", "--wait", "--dry-run"],
        &["reassign", "--dry-run"],
        &["reassign", "--cancel"],
        &["reassign", "--cancel", "t:0=1"],
        &["reassign", "--cancel", "t", "--wait"],
        &["elect"],
        &["elect", "both"],
        &["elect", "unclean", "t:0"],
        &["elect", "unclean", "--yes"],
        &["elect", "unclean", "t", "--yes"],
        &["elect", "unclean", "t:0", "t:0", "--yes"],
        &["elect", "preferred", "--to", "1"],
        &["health", "--timeout", "1s"],
    ] {
        assert!(job(line).is_err(), "{line:?}");
    }
}
