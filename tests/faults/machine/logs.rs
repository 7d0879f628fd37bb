//! The topic of a case, before and after.

use crate::proc::{Failure, Place, Ran, Seen, acknowledged, check_log};

pub const ECHO: &str = "%p %o %v\\n";

pub fn lines(producer: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{producer} {n} is a line of some length, so that files grow {n}"))
        .collect()
}

/// A topic of two batches in a store of its own.
pub fn prepare(place: &Place, configs: &[&str]) -> Result<Vec<Seen>, Failure> {
    let args: Vec<&str> = ["create", "t"]
        .into_iter()
        .chain(configs.iter().copied())
        .collect();
    place.run("mq-topics", &args)?.expect(0)?;
    let old = place.input("old", &lines("old", 30));
    let ran = place.feed(
        "mq-produce",
        &["--batch-size", "1KiB", "-o", ECHO, "t"],
        &old,
    )?;
    acknowledged(&ran.expect(0)?)
}

/// Checks the log with `old` lines in it and `new` ones on the way, of which `ran` has echoed some.
pub fn check(place: &Place, mut owed: Vec<Seen>, ran: &Ran, new: &[String]) -> Result<(), Failure> {
    hold!(
        !ran.stderr.contains("panicked"),
        "{}: {}",
        ran.what,
        ran.stderr
    );
    owed.extend(acknowledged(ran)?);
    if owed.is_empty() && !place.store().join("topics/t.json").exists() {
        return Ok(());
    }
    let there = check_log(place, "t", &[&lines("old", 30), new], &owed)?;
    // Only 74 says that more may be stored than was acknowledged.
    hold!(
        ran.code() == Some(74) || there.len() == owed.len(),
        "{} ended with {}; acknowledged are {}, stored {}",
        ran.what,
        ran.status,
        owed.len(),
        there.len()
    );
    Ok(())
}

/// That an error says what, and how to go on: two lines.
pub fn clear(ran: &Ran) -> Result<(), Failure> {
    hold!(
        ran.stderr.lines().count() >= 2 && !ran.stderr.contains("panicked"),
        "{} says only: {}",
        ran.what,
        ran.stderr
    );
    Ok(())
}
