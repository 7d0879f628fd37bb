//! What goes in, and what comes out.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::proc::{Failure, Place};
use mq::group::{Line, LineKind, OffsetsEntry};
use mq::types::{TopicName, Uuid};

/// How many records there are before, and how many come while members are at work.
pub const BEFORE: usize = 60;
pub const LATER: usize = 30;

pub fn lines(from: usize, count: usize) -> Vec<String> {
    (from..from + count)
        .map(|n| format!("record {n} for its readers"))
        .collect()
}

pub fn full(place: &Place) -> Result<(), Failure> {
    place
        .run("mq-topics", &["create", "t", "-p", "3"])?
        .expect(0)?;
    feed(place, 0, BEFORE)
}

/// Keys spread the records over the partitions.
pub fn feed(place: &Place, from: usize, count: usize) -> Result<(), Failure> {
    let keyed: Vec<String> = lines(from, count)
        .iter()
        .enumerate()
        .map(|(n, line)| format!("{}:{line}", from + n))
        .collect();
    let input = place.input(&format!("from {from}"), &keyed);
    place
        .feed("mq-produce", &["-q", "-K", ":", "t"], &input)?
        .expect(0)
        .map(drop)
}

/// A log that the next holder of the group's lock rewrites.
pub fn grow(place: &Place) -> Result<(), Failure> {
    place
        .run("mq-groups", &["commit", "g", "t:0=0"])?
        .expect(0)?;
    let path = place.store().join("groups/g/offsets.log");
    let many: Vec<u8> = (0..20_000)
        .flat_map(|n| other_topics_line(n).encode())
        .collect();
    let mut file = OpenOptions::new()
        .append(true)
        .open(&path)
        .map_err(|e| e.to_string())?;
    file.write_all(&many).map_err(|e| e.to_string())
}

/// A commit for a topic that is no more.
pub fn other_topics_line(offset: i64) -> Line {
    let entry = OffsetsEntry {
        topic: TopicName::new("gone").expect("a name"),
        topic_id: Uuid([1; 16]),
        partition: 0,
        offset,
        leader_epoch: -1,
    };
    Line {
        n: 0,
        time_ms: 1,
        kind: LineKind::Commit,
        member: Some("m".to_owned()),
        epoch: 1,
        entries: vec![entry],
    }
}

/// The whole lines of an output that may be torn at its end: partition, offset, value.
pub fn records(what: &str, bytes: &[u8]) -> Result<Vec<(i64, i64, String)>, Failure> {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| e.to_string())?;
    let parse = |line: &str| {
        let json: serde_json::Value =
            serde_json::from_str(line).map_err(|e| format!("{what}: {e}: {line}"))?;
        let number = |name: &str| json[name].as_i64().unwrap_or(-1);
        let value = json["value"].as_str().unwrap_or_default().to_owned();
        Ok((number("partition"), number("offset"), value))
    };
    text.lines().map(parse).collect()
}
