//! Readers of an output that go away.

use super::logs::lines;
use crate::proc::{Failure, Place, check_log, works_on};

pub fn many(place: &Place) -> Result<Vec<String>, Failure> {
    let all = lines("old", 5000);
    let input = place.input("many", &all);
    place.feed("mq-produce", &["-q", "t"], &input)?.expect(0)?;
    Ok(all)
}

pub fn reader_gone(place: &Place) -> Result<(), Failure> {
    let all = many(place)?;
    let ran = place
        .shell("mq-consume t -e | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(ran.lines() == [all[0].as_str(), "0 0"], "{:?}", ran.lines());
    hold!(ran.stderr.is_empty(), "not quiet: {}", ran.stderr);
    let follow = place
        .shell("mq-consume t | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(
        follow.lines() == [all[0].as_str(), "0 0"],
        "{:?}",
        follow.lines()
    );
    works_on(place, "t")
}

pub fn tee_gone(place: &Place) -> Result<(), Failure> {
    let all = lines("old", 5000);
    place.input("many", &all);
    let ran = place
        .shell("mq-produce -q --batch-size 4KiB -T t < many | head -1; echo ${PIPESTATUS[@]}")?
        .expect(0)?;
    hold!(
        ran.lines() == [all[0].as_str(), "0 0"],
        "{:?}: {}",
        ran.lines(),
        ran.stderr
    );
    let there = check_log(place, "t", &[&all], &[])?;
    hold!(
        there.len() == all.len(),
        "{} of {} are stored",
        there.len(),
        all.len()
    );
    works_on(place, "t")
}
