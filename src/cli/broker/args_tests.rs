use super::*;

fn job(line: &[&str]) -> Result<Job> {
    let args = crate::cli::parse::<Args>(
        ["mq-broker"]
            .into_iter()
            .chain(line.iter().copied())
            .map(Into::into),
    );
    match args {
        Ok(args) => args.job(),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

#[test]
fn what_is_asked_for() {
    assert!(matches!(job(&["start"]), Ok(Job::Start(EMBEDDED_BROKER))));
    assert!(matches!(
        job(&["start", "--id", "0"]),
        Ok(Job::Start(EMBEDDED_BROKER))
    ));
    assert!(matches!(job(&["stop"]), Ok(Job::Stop { id: None, .. })));
    assert!(matches!(
        job(&["stop", "0"]),
        Ok(Job::Stop { id: Some(0), .. })
    ));
    assert!(matches!(job(&["status"]), Ok(Job::Status(_))));
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
        &["start", "--id", "3"],
        &["start", "--listen", "x"],
        &["start", "--rack", "r"],
        &["stop", "x"],
        &["status", "--header"],
    ] {
        assert!(job(line).is_err(), "{line:?}");
    }
}
