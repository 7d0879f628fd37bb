//! What is left of a compacted topic after a kill.

use std::fs;

use crate::proc::{Failure, Place, Ran};

/// A log with deletions that a second run drops, and small segments that it joins.
pub fn prepare(place: &Place) -> Result<(), Failure> {
    let configs = [
        "cleanup.policy=compact",
        "segment.bytes=1024",
        "delete.retention.ms=0",
    ];
    let [policy, bytes, retention] = configs;
    let create = ["create", "t", "-c", policy, "-c", bytes, "-c", retention];
    place.run("mq-topics", &create)?.expect(0)?;
    fill_keyed(place)?;
    place.run("mq-topics", &["compact", "t"])?.expect(0)?;
    fill_keyed(place)
}

/// Sixty records of eleven keys; of each tenth the value is null.
fn fill_keyed(place: &Place) -> Result<(), Failure> {
    let lines: Vec<String> = (0..60)
        .map(|n| {
            let value = if n % 10 == 3 {
                String::new()
            } else {
                format!("{n:040}")
            };
            format!("k{}:{value}", n % 11)
        })
        .collect();
    let input = place.input("keyed", &lines);
    let args = [
        "-q",
        "--batch-size",
        "1KiB",
        "-K",
        ":",
        "--null-marker",
        "",
        "t",
    ];
    place.feed("mq-produce", &args, &input)?.expect(0).map(drop)
}

/// Of each key the last record is there, or its deletion; and the next run goes on.
pub fn check(place: &Place, ran: &Ran) -> Result<(), Failure> {
    let read = |place: &Place| -> Result<Vec<(i64, String, String)>, Failure> {
        let read = place
            .run("mq-consume", &["-q", "-e", "-f", "%o %k %v\n", "t"])?
            .expect(0)?;
        let mut found = Vec::new();
        for line in read.lines() {
            let mut fields = line.splitn(3, ' ').map(str::to_owned);
            let offset = fields
                .next()
                .and_then(|text| text.parse().ok())
                .ok_or("an offset")?;
            let (key, value) = (
                fields.next().ok_or("a key")?,
                fields.next().unwrap_or_default(),
            );
            found.push((offset, key, value));
        }
        Ok(found)
    };
    let last: Vec<(i64, usize)> = (49..60).map(|n| (n as i64, n)).collect();
    let check = |found: &[(i64, String, String)]| -> Result<(), Failure> {
        hold!(
            found.is_sorted_by_key(|record| record.0),
            "out of order: {found:?}"
        );
        for (offset, n) in &last {
            let key = format!("k{}", n % 11);
            let of_key = found.iter().rfind(|record| record.1 == key);
            let is_deletion = n % 10 == 3;
            let due = (60 + offset, format!("{n:040}"));
            hold!(
                match of_key {
                    Some((at, _, value)) if is_deletion => *at == due.0 && value.is_empty(),
                    Some((at, _, value)) => (*at, value) == (due.0, &due.1),
                    None => is_deletion,
                },
                "{key}: {of_key:?}, where {due:?} was written last"
            );
        }
        Ok(())
    };
    check(&read(place)?)?;
    place
        .run("mq-topics", &["verify", "--deep", "t"])?
        .expect(0)?;
    place.run("mq-topics", &["compact", "t"])?.expect(0)?;
    let found = read(place)?;
    check(&found)?;
    hold!(found.len() <= 11, "{} records of 11 keys", found.len());
    let orphans = place.store().join("brokers/0/logs/t-0");
    let names = fs::read_dir(orphans).map_err(|e| e.to_string())?;
    let names: Vec<String> = names
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".cleaned") || name.ends_with(".tmp"))
        .collect();
    hold!(names.is_empty(), "orphans: {names:?} of {}", ran.what);
    place
        .feed(
            "mq-produce",
            &["-q", "-K", ":", "t"],
            &place.input("more", &["k1:more".to_owned()]),
        )?
        .expect(0)
        .map(drop)
}
