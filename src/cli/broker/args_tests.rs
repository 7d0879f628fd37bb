use super::*;
use crate::types::BrokerId;

fn job(line: &[&str]) -> Result<Job> {
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
        Job::Start { id, options } => (id, options),
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
    assert!(matches!(job(&["stop"]), Ok(Job::Stop { id: None, .. })));
    assert!(matches!(
        job(&["stop", "0"]),
        Ok(Job::Stop { id: Some(0), .. })
    ));
    assert!(matches!(
        job(&["stop", "2147483647"]),
        Ok(Job::Stop {
            id: Some(BrokerId::MAX),
            ..
        })
    ));
    assert_eq!(started(&["start", "--id", "3"]).0, 3);
    assert!(matches!(
        job(&["drain", "3", "--timeout", "1s"]),
        Ok(Job::Drain { id: 3, undo: false, timeout }) if timeout == Duration::from_secs(1)
    ));
    assert!(matches!(
        job(&["drain", "3", "--undo"]),
        Ok(Job::Drain { undo: true, .. })
    ));
    assert!(matches!(job(&["status"]), Ok(Job::Status(_))));
    assert!(matches!(job(&["list"]), Ok(Job::List(_))));
    assert!(matches!(
        job(&["locks", "--format", "json"]),
        Ok(Job::Locks(_))
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
