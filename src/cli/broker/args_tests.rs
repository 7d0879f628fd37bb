use std::path::Path;

use clap::Parser;

use super::*;

fn job(line: &[&str]) -> Result<Job> {
    let args = Args::try_parse_from(std::iter::once("mq-broker").chain(line.iter().copied()));
    match args {
        Ok(args) => args.job(),
        Err(e) => Err(usage(e.render().to_string(), "")),
    }
}

#[test]
fn what_is_asked_for() {
    let Ok(Job::Start(start)) = job(&["start"]) else {
        panic!("start")
    };
    assert_eq!(
        (start.id, start.log_dir, start.rack),
        (EMBEDDED_BROKER, None, None)
    );
    let line = ["start", "--id", "3", "--log-dir", "/d", "--rack", "r 1"];
    let Ok(Job::Start(start)) = job(&line) else {
        panic!("start")
    };
    assert_eq!((start.id, start.rack.as_deref()), (3, Some("r 1")));
    assert_eq!(start.log_dir.as_deref(), Some(Path::new("/d")));
    assert!(matches!(job(&["stop"]), Ok(Job::Stop(None))));
    assert!(matches!(job(&["stop", "2"]), Ok(Job::Stop(Some(2)))));
    assert!(matches!(job(&["status"]), Ok(Job::Status(_))));
    assert!(matches!(
        job(&["locks", "--format", "json"]),
        Ok(Job::Locks(_))
    ));
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    for (line, says) in [
        (&[][..], "Usage: mq-broker"),
        (&["start", "--id", "-1"], "0 to 2147483647"),
        (&["start", "--id", "+1"], "0 to 2147483647"),
        (&["start", "--id", "2147483648"], "0 to 2147483647"),
        (&["start", "--log-dir", ""], "a value is required"),
        (&["start", "--rack", ""], "1 to 249 characters"),
        (&["start", "--rack", "a\nb"], "1 to 249 characters"),
        (&["start", "--listen", "x"], "unexpected argument"),
        (&["stop", "x"], "0 to 2147483647"),
        (&["status", "--header"], "--format tsv"),
    ] {
        let e = job(line).expect_err("refused");
        let told = format!("{e} | {}", e.cure_text().unwrap_or_default());
        assert!(told.contains(says), "{line:?}: {told}");
    }
}
