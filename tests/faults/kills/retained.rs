//! A producer that removes old segments is killed: what is left is the end of the log, whole.

use std::fs;

use crate::proc::{Failure, Place, Ran, acknowledged, seen, works_on};

/// The topic.
pub const LIMITED: [&str; 5] = [
    "t",
    "-c",
    "segment.bytes=1024",
    "-c",
    "retention.bytes=4096",
];
const SEGMENT_BYTES: u64 = 1024;
const RETENTION_BYTES: u64 = 4096;

/// The log begins somewhere, has no gap, holds all that was acknowledged from there on, and at least as
/// many bytes as are to be kept; the next producer removes what the killed one left.
pub fn retained(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let owed = acknowledged(ran)?;
    let read = || -> Result<_, Failure> {
        seen(
            &place
                .run("mq-consume", &["-q", "-J", "-e", "t"])?
                .expect(0)?,
        )
    };
    let there = read()?;
    let start = there.first().map_or(0, |record| record.offset);
    for (record, offset) in there.iter().zip(start..) {
        hold!(
            record.offset == offset,
            "{record:?} where {offset} is expected"
        );
    }
    for record in owed.iter().filter(|record| record.offset >= start) {
        let found = there.get((record.offset - start) as usize);
        hold!(
            found.is_some_and(|found| found.value == record.value),
            "{record:?} was acknowledged, and there is {found:?}"
        );
    }
    let held = log_bytes(place)?;
    hold!(
        start == 0 || held >= RETENTION_BYTES,
        "{held} bytes are left, and the log begins at {start}"
    );
    place
        .run("mq-topics", &["verify", "--deep", "t"])?
        .expect(0)?;
    works_on(place, "t")?;
    let (held, most) = (log_bytes(place)?, RETENTION_BYTES + 2 * SEGMENT_BYTES);
    hold!(
        held <= most,
        "{held} bytes are left after a pass, of at most {most}"
    );
    let now = read()?.first().map_or(0, |record| record.offset);
    hold!(
        now >= start,
        "the log began at {start}, and begins at {now}"
    );
    Ok(())
}

/// Bytes of the log files of `t`'s only partition.
fn log_bytes(place: &Place) -> Result<u64, Failure> {
    let dir = place.store().join("brokers/0/logs/t-0");
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(|e| e.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "log") {
            bytes += entry.metadata().map_err(|e| e.to_string())?.len();
        }
    }
    Ok(bytes)
}
