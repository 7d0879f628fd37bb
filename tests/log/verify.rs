//! `mq-topics verify` and `describe` on stores that are sound but not tidy: what is no damage is at
//! most a note, and live writers are never taken for dead ones.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use crate::common::switches::is_long;
use crate::proc::{Failure, Place, Score};
use serde_json::Value;

const REPLICA: &str = "brokers/0/logs/t-0";
const INDEXES: [&str; 2] = [
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
];

fn lines(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{n} is a line of some length, of which twenty make a batch"))
        .collect()
}

/// A topic whose every batch has an index entry.
fn prepare(place: &Place) -> Result<(), Failure> {
    place
        .run(
            "mq-topics",
            &["create", "t", "-c", "index.interval.bytes=0"],
        )?
        .expect(0)?;
    produce(place, 100)
}

fn produce(place: &Place, count: usize) -> Result<(), Failure> {
    let input = place.input("in", &lines(count));
    place
        .feed("mq-produce", &["-q", "--batch-size", "1KiB", "t"], &input)?
        .expect(0)
        .map(drop)
}

fn append(place: &Place, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = place.store().join(REPLICA).join(name);
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// What verify finds in a store that it calls sound: file name, position, finding.
fn findings(place: &Place, args: &[&str]) -> Result<Vec<(String, i64, String)>, Failure> {
    let args: Vec<&str> = ["verify", "--format", "json"]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let ran = place.run("mq-topics", &args)?.expect(0)?;
    let mut found = Vec::new();
    for line in ran.lines() {
        let row: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
        hold!(row["state"] == "ok", "{line}");
        if let (Some(file), Some(at), Some(what)) = (
            row["file"].as_str(),
            row["position"].as_i64(),
            row["finding"].as_str(),
        ) {
            let name = file.rsplit('/').next().unwrap_or_default();
            found.push((name.to_owned(), at, what.to_owned()));
        }
    }
    Ok(found)
}

/// Bytes behind the published end of an index are named, and hurt nobody.
fn junk(place: &Place, bytes: usize) -> Result<(), Failure> {
    prepare(place)?;
    hold!(
        findings(place, &["--deep"])?.is_empty(),
        "findings at first"
    );
    let mut ends = Vec::new();
    for name in INDEXES {
        let len = fs::metadata(place.store().join(REPLICA).join(name))
            .map_err(|e| e.to_string())?
            .len();
        hold!(len > 0, "{name} is empty");
        ends.push((name.to_owned(), len as i64));
        append(place, name, &vec![b'j'; bytes])?;
    }
    hold!(findings(place, &[])?.is_empty(), "findings without --deep");
    let found = findings(place, &["--deep"])?;
    let places: Vec<_> = found
        .iter()
        .map(|(name, at, _)| (name.clone(), *at))
        .collect();
    hold!(places == ends, "found {found:?}, not {ends:?}");
    hold!(
        found
            .iter()
            .all(|(_, _, what)| what.starts_with(&format!("{bytes} bytes behind"))),
        "found {found:?}"
    );
    let ran = place
        .run("mq-topics", &["verify", "--repair", "truncate", "--yes"])?
        .expect(0)?;
    hold!(
        ran.stderr.contains("nothing needs a repair"),
        "{}",
        ran.stderr
    );
    produce(place, 50)?;
    let count = place
        .run("mq-consume", &["-e", "t"])?
        .expect(0)?
        .lines()
        .len();
    hold!(count == 150, "{count} records");
    findings(place, &["--deep"]).map(drop)
}

/// A store at work has no findings, however often one looks.
fn live(place: &Place, rounds: usize) -> Result<(), Failure> {
    prepare(place)?;
    let input = place.input("many", &lines(60_000));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let args = ["-q", "--batch-size", "1KiB", "t"];
            place.start(&[], "mq-produce", &args, Some(&input))
        })
        .collect::<Result<_, _>>()?;
    let mut outcome = Ok(());
    for n in 0..rounds {
        match findings(place, &["--deep"]) {
            Ok(found) if found.is_empty() => {}
            Ok(found) => outcome = Err(format!("look {n}: {found:?}")),
            Err(failure) => outcome = Err(format!("look {n}: {failure}")),
        }
    }
    for writer in writers {
        writer.signal_group(rustix::process::Signal::TERM);
        let _ = writer.end();
    }
    outcome
}

/// The holder of the append lock may have written entries that it has not published yet.
fn appending(place: &Place) -> Result<(), Failure> {
    prepare(place)?;
    for name in INDEXES {
        append(place, name, &[b'j'; 24])?;
    }
    let page = place.store().join(REPLICA).join("partition.state");
    let page = fs::File::open(&page).map_err(|e| format!("{}: {e}", page.display()))?;
    rustix::fs::flock(&page, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|e| e.to_string())?;
    let found = findings(place, &["--deep"])?;
    hold!(found.is_empty(), "while it is locked: {found:?}");
    drop(page);
    let found = findings(place, &["--deep"])?;
    hold!(found.len() == INDEXES.len(), "once it is free: {found:?}");
    Ok(())
}

/// What was cut off is not part of the log.
fn cuts(place: &Place) -> Result<(), Failure> {
    prepare(place)?;
    let size = || -> Result<Value, Failure> {
        let ran = place.run("mq-topics", &["describe", "--format", "json", "t"])?;
        let line = ran.expect(0)?.lines().concat();
        let row: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
        Ok(row["partitions"][0]["size_bytes"].clone())
    };
    let before = size()?;
    hold!(before.as_i64() > Some(0), "a size of {before}");
    append(place, "00000000000000000100.cut", &[7; 1000])?;
    append(place, "00000000000000000100.2.cut", &[8; 2000])?;
    let after = size()?;
    hold!(before == after, "{before} bytes, and {after} with the cuts");
    hold!(findings(place, &["--deep"])?.is_empty(), "findings");
    produce(place, 10)?;
    hold!(findings(place, &["--deep"])?.is_empty(), "findings later");
    for (name, len) in [
        ("00000000000000000100.cut", 1000),
        ("00000000000000000100.2.cut", 2000),
    ] {
        let left = fs::metadata(place.store().join(REPLICA).join(name)).map(|m| m.len());
        hold!(left.as_ref().is_ok_and(|l| *l == len), "{name}: {left:?}");
    }
    Ok(())
}

/// A record that unfolds to more than 64 MiB, which its topic allows, is read by every reader.
fn large_by_config(place: &Place) -> Result<(), Failure> {
    let create = ["create", "t", "-c", "max.message.bytes=100000000"];
    place.run("mq-topics", &create)?.expect(0)?;
    let input = place.input("in", &["0".repeat(70_000_000)]);
    place
        .feed("mq-produce", &["-q", "-z", "zstd", "t"], &input)?
        .expect(0)?;
    hold!(findings(place, &["--deep"])?.is_empty(), "findings");
    place.run("mq-consume", &["-e", "t"])?.expect(0)?;
    let by_time = ["-e", "-o", "@2020-01-01", "t"];
    place.run("mq-consume", &by_time)?.expect(0)?;
    // A lower limit takes them out of reach, and a raised one brings them back.
    let alter = |bytes: &str| {
        let pair = format!("max.message.bytes={bytes}");
        place
            .run("mq-topics", &["alter", "t", "-c", &pair])?
            .expect(0)
    };
    alter("1000000")?;
    place.run("mq-consume", &["-e", "t"])?.expect(65)?;
    alter("100000000")?;
    place.run("mq-consume", &["-e", "t"])?.expect(0)?;
    Ok(())
}

fn overwrite(place: &Place, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = place.store().join(REPLICA).join(name);
    fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn repair(place: &Place) -> Result<(), Failure> {
    let args = ["verify", "--repair", "truncate", "--yes", "t"];
    place.run("mq-topics", &args)?.expect(0).map(drop)
}

fn count(place: &Place) -> Result<usize, Failure> {
    let ran = place.run("mq-consume", &["-e", "t"])?.expect(0)?;
    Ok(ran.lines().len())
}

/// Ids that are not those of the topic are rewritten.
fn ids(place: &Place, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
    prepare(place)?;
    let path = place.store().join(REPLICA).join("partition.metadata");
    let before = fs::read(&path).map_err(|e| e.to_string())?;
    let mut bytes = before.clone();
    change(&mut bytes);
    overwrite(place, "partition.metadata", &bytes)?;
    place.run("mq-topics", &["verify", "t"])?.expect(65)?;
    let args = ["verify", "--repair", "truncate", "--dry-run", "t"];
    let ran = place.run("mq-topics", &args)?.expect(65)?;
    hold!(
        ran.stderr
            .contains("keeps all records, up to offset 100; partition.metadata is rebuilt"),
        "{}",
        ran.stderr
    );
    repair(place)?;
    hold!(findings(place, &["--deep", "t"])?.is_empty(), "findings");
    let after = fs::read(&path).map_err(|e| e.to_string())?;
    hold!(before == after, "other ids than before");
    produce(place, 10)?;
    hold!(count(place)? == 110, "records are gone");
    Ok(())
}

/// A checkpoint that says something else than the log is named, and rewritten without a cut.
fn checkpoint(place: &Place, text: &str) -> Result<(), Failure> {
    prepare(place)?;
    overwrite(place, "leader-epoch-checkpoint", text.as_bytes())?;
    let ran = place.run("mq-consume", &["-e", "t"])?.expect(65)?;
    hold!(
        ran.stderr
            .contains("leader-epoch-checkpoint does not fit the log"),
        "{}",
        ran.stderr
    );
    let args = ["verify", "--repair", "truncate", "--dry-run", "t"];
    let ran = place.run("mq-topics", &args)?.expect(65)?;
    hold!(
        ran.lines().join("\n").contains("it does not fit the log")
            && !ran.lines().join("\n").contains(".log"),
        "{}",
        ran.lines().join("\n")
    );
    hold!(
        ran.stderr
            .contains("keeps all records, up to offset 100; leader-epoch-checkpoint is rebuilt"),
        "{}",
        ran.stderr
    );
    repair(place)?;
    hold!(findings(place, &["--deep", "t"])?.is_empty(), "findings");
    hold!(count(place)? == 100, "records are gone");
    // A writer that comes first puts it in order before it acknowledges anything.
    overwrite(place, "leader-epoch-checkpoint", text.as_bytes())?;
    produce(place, 10)?;
    hold!(count(place)? == 110, "records are gone");
    findings(place, &["--deep", "t"]).map(drop)
}

/// Nothing is said to need no repair that could not be examined.
fn unexamined(place: &Place) -> Result<(), Failure> {
    prepare(place)?;
    let args = ["verify", "--repair", "truncate", "--yes", "nosuch"];
    let ran = place.run("mq-topics", &args)?.expect(1)?;
    hold!(!ran.stderr.contains("needs a repair"), "{}", ran.stderr);
    let replica = place.store().join(REPLICA);
    fs::remove_dir_all(replica).map_err(|e| e.to_string())?;
    let ran = place.run("mq-topics", &["verify", "t"])?.expect(65)?;
    hold!(
        ran.stderr.contains("comes back from a backup") && !ran.stderr.contains("page"),
        "{}",
        ran.stderr
    );
    Ok(())
}

#[test]
fn what_is_damaged_is_named_and_repaired_as_the_plan_says() {
    let score = Score::default();
    score.case("a byte of the ids", |place| {
        ids(place, |bytes| bytes[20] = b'#')
    });
    score.case("other ids", |place| {
        ids(place, |bytes| {
            bytes[24] = if bytes[24] == b'A' { b'B' } else { b'A' };
        })
    });
    score.case("no ids", |place| ids(place, Vec::clear));
    for text in ["0\n1\n0 1\n", "0\n1\n1 0\n", "0\n2\n0 0\n1 40\n"] {
        score.case(&format!("checkpoint {text:?}"), |place| {
            checkpoint(place, text)
        });
    }
    score.case("what could not be examined", unexamined);
    score.close("verify, damaged");
}

#[test]
fn what_is_no_damage_is_at_most_a_note() {
    let score = Score::default();
    for bytes in [1, 7, 8, 12, 24, 5000] {
        score.case(&format!("{bytes} bytes behind the indexes"), |place| {
            junk(place, bytes)
        });
    }
    let rounds = if is_long() { 300 } else { 20 };
    score.case("live writers", |place| live(place, rounds));
    score.case("a writer in the middle", appending);
    score.case("cuts beside the log", cuts);
    score.case("large by its config", large_by_config);
    score.close("verify");
}
