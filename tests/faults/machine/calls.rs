//! Calls of the system that fail.

use std::fs;

use super::logs::{ECHO, check, clear, lines, prepare};
use crate::proc::{Failure, Place, Ran, acknowledged, works_on};

/// Produces with a fault in the calls of the process.
pub fn inject(place: &Place, fault: &str, args: &[&str]) -> Result<Ran, Failure> {
    let inject = format!("inject={fault}");
    let trace = format!("trace={}", fault.split(':').next().unwrap_or_default());
    let prefix = [
        "strace", "-f", "-qq", "-o", "trace", "-e", &trace, "-e", &inject,
    ];
    let new = place.dir().join("new");
    place.start(&prefix, "mq-produce", args, Some(&new))?.end()
}

pub const PRODUCE: [&str; 6] = ["-q", "--batch-size", "1KiB", "-o", ECHO, "t"];

/// The next process finds the partition offline, and the cure works.
pub fn repaired(place: &Place) -> Result<(), Failure> {
    let one = place.input("one", &["refused".to_owned()]);
    let next = place
        .feed("mq-produce", &["-o", ECHO, "t"], &one)?
        .expect(1)?;
    hold!(
        next.stdout.is_empty(),
        "acknowledged by an offline partition"
    );
    hold!(
        next.stderr.contains("mq-topics verify") && next.stderr.contains("--repair truncate"),
        "no cure: {}",
        next.stderr
    );
    place
        .run(
            "mq-topics",
            &["verify", "--repair", "truncate", "--yes", "t"],
        )?
        .expect(0)
        .map(drop)
}

pub fn failed_sync(place: &Place, n: usize, configs: &[&str]) -> Result<(), Failure> {
    let owed = prepare(place, configs)?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = inject(place, &format!("fdatasync:error=EIO:when={n}"), &PRODUCE)?;
    match ran.code() {
        Some(0) => {
            let trace = fs::read_to_string(place.dir().join("trace")).unwrap_or_default();
            hold!(!trace.contains("INJECTED"), "a failed sync, and 0");
        }
        // 1: the sync of a roll, before anything else was appended.
        Some(1 | 74) => {
            clear(&ran)?;
            repaired(place)?;
        }
        _ => {
            return Err(ran.ending());
        }
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

/// A fault after which a run may go on, or end with an error and an offline partition, or without.
pub fn survived(place: &Place, fault: &str, configs: Option<&[&str]>) -> Result<(), Failure> {
    let owed = configs.map_or(Ok(Vec::new()), |configs| prepare(place, configs))?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = inject(place, fault, &PRODUCE)?;
    match ran.code() {
        Some(0) => {
            let count = acknowledged(&ran)?.len();
            hold!(
                count == new.len(),
                "0, but {count} of {} are acknowledged",
                new.len()
            );
        }
        Some(1 | 74 | 75) => clear(&ran)?,
        _ => {
            return Err(ran.ending());
        }
    }
    let one = place.input("one", &["old 0".to_owned()]);
    let dry = place.feed("mq-produce", &["-q", "u"], &one)?;
    hold!(dry.code() == Some(0), "another topic: {}", dry.stderr);
    if matches!(ran.code(), Some(1 | 74)) && place.store().join("topics/t.json").exists() {
        place
            .run("mq-topics", &["verify", "--repair", "truncate", "--yes"])?
            .expect(0)?;
    }
    check(place, owed, &ran, &new)?;
    works_on(place, "t")
}

pub fn few_descriptors(place: &Place, count: usize) -> Result<(), Failure> {
    let owed = prepare(place, &[])?;
    let new = lines("new", 100);
    place.input("new", &new);
    let ran = place.shell(&format!(
        "ulimit -n {count}; exec mq-produce -q --batch-size 1KiB -o '%p %o %v\\n' t < new"
    ))?;
    match ran.code() {
        Some(0) => hold!(
            acknowledged(&ran)?.len() == 100,
            "0, but not all is acknowledged"
        ),
        // The dynamic loader has too few, too.
        Some(127) => {}
        Some(1 | 74) => clear(&ran)?,
        _ => {
            return Err(ran.ending());
        }
    }
    check(place, owed, &ran, &new)?;
    let read = place.shell(&format!("ulimit -n {count}; exec mq-consume -e t"))?;
    match read.code() {
        Some(0) => hold!(read.lines().len() >= 30, "0, but not all was read"),
        Some(127) => {}
        Some(1) => clear(&read)?,
        _ => {
            return Err(format!(
                "{} ended with {}: {}",
                read.what, read.status, read.stderr
            ));
        }
    }
    works_on(place, "t")
}
